# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A branch of a project for the tests of the PostgreSQL modules: Neon's answers, and a real database behind them."""

from __future__ import annotations

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Address
from ansible_collections.rewind.database.tests.unit.both_ways import StubServer
from ansible_collections.rewind.database.tests.unit.postgres_cluster import OWNER, Cluster
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script

PROJECT, BRANCH, ENDPOINT = "late-frost-12345678", "br-calm-sea-a1b2c3d4", "ep-cool-frost-a1b2c3d4"
HOST = f"{ENDPOINT}.eu-central-1.aws.neon.tech"
POOLER = f"{ENDPOINT}-pooler.eu-central-1.aws.neon.tech"
ENDPOINTS = {"endpoints": [{"id": ENDPOINT, "type": "read_write", "host": HOST, "branch_id": BRANCH}]}
_BRANCH_PATH = f"/projects/{PROJECT}/branches/{BRANCH}/endpoints"
_URI_PATH = f"/projects/{PROJECT}/connection_uri"

# What an application of this kind has: mixed case, enums, arrays, milliseconds, JSON.
SCHEMA = """
CREATE TYPE "Role" AS ENUM ('PLAYER', 'ADMIN');
CREATE TABLE "User" (id serial PRIMARY KEY, name text NOT NULL, role "Role" DEFAULT 'PLAYER', tags text[],
                     profile json, "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE "QuestProgress" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "userId" int REFERENCES "User"(id),
                              amount numeric(10, 2), "updatedAt" timestamptz NOT NULL);
CREATE TABLE status (text text);
INSERT INTO "User" (name, tags, profile, "updatedAt")
  SELECT 'user ' || g, ARRAY['a', g::text], '{"level": 1}', '2025-01-13 14:00:00' FROM generate_series(1, 20) AS g;
INSERT INTO "QuestProgress" ("userId", amount, "updatedAt")
  SELECT 1 + g % 20, g, timestamptz '2025-01-13 14:20:00.123456Z' + g * interval '1 s'
  FROM generate_series(1, 200) AS g;
INSERT INTO status VALUES ('before the migration');
"""
# 14:20:00.123456 and 200 seconds.
NEWEST = "2025-01-13T14:23:20.123456Z"


def uri(cluster: Cluster, database: str, *, pooled: bool = False, parameters: str = "sslmode=require") -> str:
    """The connection string that Neon would give; its host does not resolve, so it names the address too."""
    return cluster.uri(database, host=POOLER if pooled else HOST, parameters=parameters)


def address(cluster: Cluster, database: str, **options: Any) -> Address:
    return Address.of(uri(cluster, database, **options))


def expect(script: Script, cluster: Cluster, database: str, *, pooled: bool = False) -> None:
    """One resolution of the connection option: the computes, then the string."""
    script.expect("GET", _BRANCH_PATH, ENDPOINTS)
    script.expect("GET", _URI_PATH, {"uri": uri(cluster, database, pooled=pooled)}, query={"role_name": OWNER})


def serve(server: StubServer, cluster: Cluster, database: str) -> dict[str, Any]:
    """The same answers from a real server, and the host variables that lead to it."""
    server.answer("GET", f"/api/v2{_BRANCH_PATH}", ENDPOINTS)
    server.answer("GET", f"/api/v2{_URI_PATH}", {"uri": uri(cluster, database)})
    return {"rewind_neon_api_key": NEON_KEY, "rewind_neon_api_url": f"{server.url}/api/v2"}


def options(database: str, **more: Any) -> dict[str, Any]:
    """The options of a PostgreSQL module."""
    connection = {"project_id": PROJECT, "branch_id": BRANCH, "role": OWNER, "database": database}
    return {"neon_api_key": NEON_KEY, "connection": connection, **more}


def without_key(given: dict[str, Any]) -> dict[str, Any]:
    """The same options where the key comes from a host variable."""
    return {name: value for name, value in given.items() if name != "neon_api_key"}
