# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection strings: as the real API hands them out, plus the loopback address that no resolver knows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from sandbox.neon import lineage
from sandbox.neon.calls import Answer, Call
from sandbox.neon.errors import NeonError, not_found
from sandbox.neon.state import Record
from sandbox.neon.views import host_of

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService


def connection_uri(service: NeonService, endpoint: Record, role: Record, database: str, *, pooled: bool = False) -> str:
    """``postgresql://role:password@ep-…:port/database?sslmode=require&channel_binding=require&hostaddr=127.0.0.1``."""
    user, word, name = (quote(text, safe="") for text in (role["name"], role["password"] or "", database))
    login = f"{user}:{word}" if word else user
    host = host_of(endpoint["id"], pooled=pooled)
    parameters = "sslmode=require&channel_binding=require&hostaddr=127.0.0.1"
    return f"postgresql://{login}@{host}:{service.postgres_port}/{name}?{parameters}"


def connection_details(service: NeonService, endpoint: Record, role: Record, database: str) -> Record:
    """``ConnectionDetails``, as answers to creation carry it."""
    return {
        "connection_uri": connection_uri(service, endpoint, role, database),
        "connection_parameters": {
            "database": database,
            "password": role["password"],
            "role": role["name"],
            "host": host_of(endpoint["id"]),
            "pooler_host": host_of(endpoint["id"], pooled=True),
        },
    }


class Connections:
    """Handler of /projects/{p}/connection_uri."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def get(self, call: Call) -> Answer:
        """GET: branch defaults to the default branch, endpoint to its read-write one. Starts nothing."""
        project = call.project
        database, role_name = call.required("database_name"), call.required("role_name")
        pooled = call.flag("pooled")
        branch_id, endpoint_id = call.query("branch_id"), call.query("endpoint_id")
        branch = project.branch(branch_id) if branch_id else None
        if endpoint_id:
            endpoint = project.endpoint(endpoint_id)
            if branch is not None and endpoint["branch_id"] != branch["id"]:
                raise not_found("endpoint")
            branch = project.branch(endpoint["branch_id"])
        else:
            branch = branch or project.default_branch()
            found = project.read_write(branch["id"])
            if found is None:
                raise NeonError(404, "no read-write endpoint for branch")  # wording unproven
            endpoint = found
        lineage.check_ready(branch)
        await self.service.learn(project, branch)
        if role_name not in branch["roles"]:
            raise not_found("role")
        if database not in branch["databases"]:
            raise not_found("database")
        role = branch["roles"][role_name]
        if not project.record["store_passwords"]:
            role = role | {"password": None}
        return 200, {"uri": connection_uri(self.service, endpoint, role, database, pooled=pooled)}
