# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes: which timeline runs for whom, and that its roles are those that the API promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sandbox.neon.engine_port import BranchEngine, MetadataEngine
from sandbox.neon.state import Project, Record, new_database, new_role
from sandbox.neon.times import rfc3339

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_ROLES = """
    SELECT rolname, rolcanlogin FROM pg_catalog.pg_roles
    WHERE rolname NOT LIKE 'pg\\_%' AND rolname NOT IN ('cloud_admin', 'neon_superuser') ORDER BY oid
"""
_DATABASES = """
    SELECT datname, pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database
    WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY oid
"""


class Computes:
    """Starts and stops timelines on behalf of endpoints and of the API's own short work."""

    def __init__(self, service: NeonService) -> None:
        self.service = service
        self._held: Counter[str] = Counter()

    @property
    def engine(self) -> BranchEngine:
        """The branch engine."""
        return self.service.engine

    @property
    def real(self) -> bool:
        """Whether there is a PostgreSQL at all."""
        return not isinstance(self.engine, MetadataEngine)

    def _in_use(self, timeline: str) -> bool:
        if self._held[timeline]:
            return True
        for project in self.service.state.projects():
            for endpoint in project.endpoints.values():
                branch = project.branches.get(endpoint["branch_id"])
                if endpoint["current_state"] == "active" and branch is not None and branch["timeline"] == timeline:
                    return True
        return False

    async def stop_if_unused(self, timeline: str) -> None:
        """Stops the timeline when no active endpoint and none of the API's own work needs it."""
        if self.engine.exists(timeline) and self.engine.is_running(timeline) and not self._in_use(timeline):
            await self.engine.stop_timeline(timeline)

    @asynccontextmanager
    async def hold(self, timeline: str) -> AsyncIterator[None]:
        """Keeps a timeline running for a while, whatever its endpoints do. Raises ComputeUnavailable."""
        self._held[timeline] += 1
        try:
            await self.engine.ensure_running(timeline)
            yield
        finally:
            self._held[timeline] -= 1
            await self.stop_if_unused(timeline)

    async def start(self, project: Project, branch: Record) -> None:
        """Starts a branch's timeline and learns what roles and databases are really there."""
        await self.engine.ensure_running(branch["timeline"])
        await self.learn(project, branch)

    async def suspend(self, endpoint: Record, timeline: str | None) -> None:
        """Closes an endpoint's connections, makes it idle and stops the timeline if nobody else needs it."""
        await self.service.drop(endpoint["id"])
        if endpoint["current_state"] == "active":
            endpoint["current_state"] = "idle"
            endpoint["suspended_at"] = rfc3339(self.service.clock.now())
        if timeline is not None:
            await self.measure(timeline)
            await self.stop_if_unused(timeline)

    async def measure(self, timeline: str) -> None:
        """Notes the size of a running branch; the API shows the last one known."""
        branch = self.service.state.branch_on(timeline)
        if branch is not None and self.engine.exists(timeline) and self.engine.is_running(timeline):
            branch["logical_size"] = await self.engine.size(timeline) or branch["logical_size"]

    async def materialised(self, timeline: str) -> None:
        """Gives the roles on fresh data their present passwords: those in the data are of the restore point."""
        branch = self.service.state.branch_on(timeline)
        if branch is not None:
            known = {name: role["password"] for name, role in branch["roles"].items() if role["password"]}
            await self.engine.apply_passwords(timeline, known)

    async def learn(self, project: Project, branch: Record) -> None:
        """Brings the branch's lists of roles and databases in line with its running PostgreSQL.

        What was made or dropped in SQL counts like what was made through the API; only its password is not known.
        """
        timeline = branch["timeline"]
        if not timeline or not self.engine.is_running(timeline):
            return
        found_roles = await self.engine.execute(timeline, _ROLES)
        found_databases = await self.engine.execute(timeline, _DATABASES)
        now = self.service.clock.now()
        roles = {
            name: branch["roles"].get(name) or new_role(name, now, password=None, no_login=not login)
            for name, login in found_roles
        }
        databases = {}
        for name, owner in found_databases:
            known = branch["databases"].get(name) or new_database(name, owner, self.service.state.number(), now)
            databases[name] = known | {"owner_name": owner}
        if roles.keys() == branch["roles"].keys() and databases == branch["databases"]:
            return
        branch["roles"], branch["databases"] = roles, databases
        await self.note(branch)

    async def note(self, branch: Record) -> None:
        """Keeps the branch's roles and databases as those of its timeline from now on."""
        head = await self.engine.head(branch["timeline"])
        self.service.state.note_catalogue(branch["timeline"], head.lsn, branch["roles"], branch["databases"])
        self.service.state.save()
