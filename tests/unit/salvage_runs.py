# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvages of real databases: three states are made, compared, and the file is applied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.rewind.database.plugins.module_utils._postgres import salvage
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvage_file import (
    put_together,
    sections_beside,
)
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvaging import header
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Limits
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import address

Json = dict[str, Any]


def run(
    cluster: Cluster, path: Path, base: str, old: str, new: str, progress: Callable[[str], None] = lambda _line: None
) -> Json:
    """A salvage of three databases; what it found."""
    sides = salvage.Sides(*(address(cluster, name) for name in (base, old, new)))
    with sections_beside(path) as sections:
        found = salvage.take(sides, sections, Limits(statement=60), progress).as_dict()
        put_together(sections, header(["A test"], found, path), path)
    return found


def apply(cluster: Cluster, database: str, path: Path) -> None:
    """As psql does: one string, in its own session with the settings of somebody else."""
    with psycopg.connect(cluster.uri(database), autocommit=True) as connection:
        connection.execute("SET datestyle = 'German'; SET timezone = 'Asia/Kolkata'; SET intervalstyle = 'iso_8601'")
        connection.execute(path.read_bytes())


def three(cluster: Cluster, schema: str, old: str = "", new: str = "") -> tuple[str, str, str]:
    """A database and two copies of it, each with a script of its own."""
    base = cluster.create_database(schema)
    sides = cluster.copy(base), cluster.copy(base)
    for side, script in zip(sides, (old, new), strict=True):
        if script:
            with cluster.connect(side) as connection:
                connection.execute(script.encode())
    return base, *sides


def salvaged(cluster: Cluster, path: Path, schema: str, old: str, new: str = "") -> tuple[Json, str, str]:
    """A salvage whose file is applied twice; what it found, and the old and the new side."""
    base, old_side, new_side = three(cluster, schema, old, new)
    found = run(cluster, path, base, old_side, new_side)
    for _time in range(2):
        apply(cluster, new_side, path)
    return found, old_side, new_side


def rows(cluster: Cluster, database: str, table: str = "t") -> list[str]:
    return ask(cluster, database, f"SELECT t::text FROM {table} AS t ORDER BY 1")


def states(cluster: Cluster, path: Path, schema: str, old: str, new: str = "") -> tuple[Json, list[str], list[str]]:
    """As `salvaged`, with the rows of ``t`` on the old and the new side."""
    found, *sides = salvaged(cluster, path, schema, old, new)
    there, here = (rows(cluster, side) for side in sides)
    return found, there, here


def ask(cluster: Cluster, database: str, query: str) -> list[Any]:
    with cluster.connect(database) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def fires(cluster: Cluster, database: str) -> list[str]:
    """How each trigger fires."""
    query = "SELECT tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text FROM pg_trigger ORDER BY 1"
    return ask(cluster, database, query)
