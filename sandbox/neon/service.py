# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Neon side of the sandbox: everything wired together, its routes, and what other parts may ask of it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.neon.backend import Backend
from sandbox.neon.branches import Branches, fresh_passwords
from sandbox.neon.calls import Answer, Call, Guard, Handle
from sandbox.neon.computes import Computes
from sandbox.neon.connection import Connections, connection_uri
from sandbox.neon.databases import Databases
from sandbox.neon.effects import Effects
from sandbox.neon.endpoints import Endpoints
from sandbox.neon.engine_port import BranchEngine, MetadataEngine
from sandbox.neon.errors import no_route
from sandbox.neon.housekeeping import Housekeeping
from sandbox.neon.ids import Ids
from sandbox.neon.keys import Keys, Scope
from sandbox.neon.limits import PLANS, Plan
from sandbox.neon.many import add_branches
from sandbox.neon.operations import Operations, Step
from sandbox.neon.projects import Projects
from sandbox.neon.restore import Restores
from sandbox.neon.roles import Roles
from sandbox.neon.schedules import Schedules
from sandbox.neon.schema import Schemas
from sandbox.neon.snapshots import Snapshots
from sandbox.neon.state import Project, Record, State
from sandbox.neon.times import rfc3339
from sandbox.neon.views import host_of
from sandbox.postgres.engine import EngineError, Position
from sandbox.proxy.proxy import Route
from sandbox.proxy.scram import Secret

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from sandbox.clock import Clock
    from sandbox.settings import NeonSettings
    from sandbox.world import World

logger = logging.getLogger("sandbox.neon")

PREFIX = "/api/v2"


class NeonService:
    """One Neon account: projects, keys, operations. `world.engine` must be there, or no compute can start."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = State(world.store.section("neon"), world.store.save)
        self.ids = Ids(world.random("neon.ids"))
        self.engine: BranchEngine = getattr(world, "engine", None) or MetadataEngine(
            self.state.section.setdefault("metadata_engine", {}), world.store.save
        )
        self.computes = Computes(self)
        self.operations = Operations(self)
        self.operations.effects = Effects(self).table()
        self.guard = Guard(self)
        self.projects = Projects(self)
        self.branches = Branches(self)
        self.restores = Restores(self)
        self.endpoints = Endpoints(self)
        self.roles = Roles(self)
        self.databases = Databases(self)
        self.connections = Connections(self)
        self.snapshots = Snapshots(self)
        self.schedules = Schedules(self)
        self.schemas = Schemas(self)
        self.keys = Keys(self)
        self.backend = Backend(self)
        self.housekeeping = Housekeeping(self)
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # What the rest of the service asks

    @property
    def clock(self) -> Clock:
        """The control plane's clock."""
        return self.world.clock

    @property
    def settings(self) -> NeonSettings:
        """The settings of this side; they may change at any time."""
        return self.world.settings.neon

    @property
    def postgres_port(self) -> int:
        """The one port of all computes."""
        return self.world.port("postgres")

    @property
    def pg_version(self) -> int:
        """PostgreSQL's major version."""
        return int(getattr(getattr(self.engine, "binaries", None), "major", 17))

    def plan(self, project: Project | None) -> Plan:
        """The plan of a project: its own, else the one in the settings."""
        own = project.record["plan"] if project is not None else None
        return PLANS[own or self.settings.plan]

    @asynccontextmanager
    async def writing(self, project: Project) -> AsyncIterator[None]:
        """One request that changes a project at a time."""
        async with self._writing[project.id]:
            yield

    def set_state(self, branch: Record, state: str) -> None:
        """A branch is in `state` now."""
        now = rfc3339(self.clock.now())
        branch |= {"current_state": state, "pending_state": None, "state_changed_at": now, "updated_at": now}

    async def drop(self, endpoint_id: str) -> None:
        """Closes every client of an endpoint."""
        proxy = getattr(self.world, "proxy", None)
        if proxy is not None:
            await proxy.drop(endpoint_id)

    async def discard(self, timeline: str) -> None:
        """Deletes a timeline's data; what was forked from it stays whole."""
        if self.engine.exists(timeline):
            await self.engine.delete(timeline, keep_history=True)

    async def learn(self, project: Project, branch: Record) -> None:
        """Reads roles and databases from a running branch, unless an operation is just changing them."""
        if not self.operations.busy(project) and branch["timeline"] and self.computes.real:
            await self.computes.learn(project, branch)

    def catalogue(
        self, position: Position, source: Record, *, fresh: bool = False, keep: Record | None = None
    ) -> tuple[Record, Record]:
        """Roles and databases at a position, with the passwords that they will have on a branch made from there.

        A role of `keep` keeps its password (a branch that is restored), else it has that of `source`; one that
        neither has any more has what it had. With `fresh` (a protected parent) all passwords are new.
        """
        roles, databases = self.state.catalogue_at(position.timeline, position.lsn)
        for name, role in roles.items():
            present = (keep or {}).get(name) or source["roles"].get(name)
            if present is not None:
                role["password"] = present["password"]
            role.pop("new_password", None)
        return (fresh_passwords(roles) if fresh else roles), databases

    # Life

    async def start(self) -> None:
        """Takes up what an earlier run left: unfinished operations go on, what nothing refers to is removed."""
        self.engine.on_materialised = self.computes.materialised
        self._settle_endpoints()
        await self._remove_orphans()
        self.state.save()
        count = self.operations.resume() + self._make_again()
        if count:
            logger.info("%d unfinished operations are driven on", count)
        self.world.spawn(self.housekeeping.run(), name="neon housekeeping")

    async def stop(self) -> None:
        """Keeps everything; running operations go on at the next start."""
        self.state.save()

    def _settle_endpoints(self) -> None:
        """Nothing runs after a start: a compute is idle until it is woken or its operation starts it."""
        for project in self.state.projects():
            awaited = {op["endpoint_id"] for op in project.operations.values() if op["status"] in _UNFINISHED}
            for endpoint in project.endpoints.values():
                if endpoint["id"] not in awaited:
                    endpoint |= {"current_state": "idle", "pending_state": None, "seen_state_change": None}

    def _make_again(self) -> int:
        """Tries once more to make branches whose operation had failed for good; returns how many."""
        count = 0
        for project in self.state.projects():
            for branch in project.branches.values():
                if branch["timeline"] is None and not self.operations.busy(project):
                    self.operations.schedule(project, [Step("create_branch", "create_branch", branch["id"])])
                    count += 1
        return count

    async def _remove_orphans(self) -> None:
        wanted = self.state.timelines()
        for project in self.state.projects():
            for operation in project.operations.values():
                if operation["status"] in _UNFINISHED:
                    wanted |= set(operation["arguments"].get("timelines", []))
        for timeline in self.engine.timelines():
            if timeline not in wanted:
                try:
                    await self.discard(timeline)
                except EngineError as error:
                    logger.warning("timeline %s stays: %s", timeline, error)

    # What other parts of the sandbox ask

    async def create_project(
        self,
        *,
        name: str | None = None,
        plan: str | None = None,
        database: str = "neondb",
        role: str = "neondb_owner",
        history_retention_seconds: int | None = None,
        branch_name: str = "main",
    ) -> dict[str, Any]:
        """A project with one root branch, a role, a database and a read-write endpoint that wakes on connection.

        `plan` is ``free``, ``launch`` or ``scale`` (else that of the settings). The answer holds the ids, the
        password and both connection strings. Raises `NeonError` for values that the API would refuse.
        """
        if plan is not None and plan not in PLANS:
            raise ValueError(f"plan must be one of {', '.join(PLANS)}")
        project = await self.projects.make(
            name=name,
            plan=plan,
            database=database,
            role=role,
            history_retention_seconds=history_retention_seconds,
            branch_name=branch_name,
        )
        branch, endpoint = project.default_branch(), next(iter(project.endpoints.values()))
        known = branch["roles"][role]
        return {
            "id": project.id,
            "project_id": project.id,
            "branch_id": branch["id"],
            "endpoint_id": endpoint["id"],
            "host": host_of(endpoint["id"]),
            "role": role,
            "database": database,
            "password": known["password"],
            "connection_uri": connection_uri(self, endpoint, known, database),
            "pooled_connection_uri": connection_uri(self, endpoint, known, database, pooled=True),
        }

    async def add_branches(self, project_id: str, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Branches without a compute at the head of their parent, ready at once; see `sandbox.neon.many`."""
        return await add_branches(self, self.state.project(project_id), wanted)

    def create_token(
        self, *, name: str = "control", scope: Scope = "org", project_id: str | None = None, token: str | None = None
    ) -> str:
        """An API key: ``org``, ``personal`` or ``project`` (with `project_id`). A given `token` is taken as it is."""
        if scope not in ("org", "personal", "project") or (scope == "project") != (project_id is not None):
            raise ValueError("scope is org, personal or project; only a project's has a project_id")
        made, _ = self.keys.make(name, project_id=project_id, personal=scope == "personal", token=token)
        return made

    def summary(self) -> dict[str, Any]:
        """What ``bin/sandbox status`` shows of this side."""
        shown = [
            {
                "id": project.id,
                "name": project.record["name"],
                "branches": [_branch_summary(project, branch) for branch in project.branches.values()],
                "operations": [op["action"] for op in project.operations.values() if op["status"] in _UNFINISHED],
            }
            for project in self.state.projects()
        ]
        return {"projects": shown, "postgres": self.pg_version if self.computes.real else None}

    # ProxyBackend

    async def route(self, *, host_id: str, pooled: bool, options: dict[str, str]) -> Route:
        """See `Backend.route`."""
        return await self.backend.route(host_id=host_id, pooled=pooled, options=options)

    async def secret(self, route: Route, role: str) -> Secret | None:
        """See `Backend.secret`."""
        return await self.backend.secret(route, role)

    def connected(self, route: Route) -> None:
        """See `Backend.connected`."""
        self.backend.connected(route)

    def disconnected(self, route: Route) -> None:
        """See `Backend.disconnected`."""
        self.backend.disconnected(route)

    # Routes

    def middlewares(self) -> list[Middleware]:
        """None: every handler is guarded by itself."""
        return []

    def routes(self) -> list[web.RouteDef]:
        """Every route with its whole path; whatever else is asked for below the prefix does not exist."""
        made = [
            web.route(method, PREFIX + path, self.guard.wrap(handle, write=method != "GET"))
            for method, path, handle in self._table()
        ]
        return [*made, web.route("*", "/{tail:.*}", self.guard.wrap(_nowhere, write=False))]

    def _table(self) -> list[tuple[str, str, Handle]]:
        return [*self._account_table(), *self._project_table(), *self._branch_table(), *self._data_table()]

    def _account_table(self) -> list[tuple[str, str, Handle]]:
        keys = self.keys
        return [
            ("GET", "/auth", keys.auth),
            ("GET", "/users/me", keys.me),
            ("GET", "/users/me/organizations", keys.organizations),
            ("GET", "/regions", keys.regions),
            ("GET", "/api_keys", keys.page),
            ("POST", "/api_keys", keys.create),
            ("DELETE", "/api_keys/{key_id}", keys.revoke),
            ("GET", "/organizations/{org_id}/api_keys", keys.page),
            ("POST", "/organizations/{org_id}/api_keys", keys.create),
            ("DELETE", "/organizations/{org_id}/api_keys/{key_id}", keys.revoke),
        ]

    def _project_table(self) -> list[tuple[str, str, Handle]]:
        one, endpoint = "/projects/{project_id}", "/projects/{project_id}/endpoints/{endpoint_id}"
        return [
            ("GET", "/projects", self.projects.page),
            ("POST", "/projects", self.projects.create),
            ("GET", one, self.projects.get),
            ("PATCH", one, self.projects.change),
            ("DELETE", one, self.projects.delete),
            ("GET", f"{one}/limits", self.projects.limits),
            ("GET", f"{one}/connection_uri", self.connections.get),
            ("GET", f"{one}/operations", self.operations.page),
            ("GET", f"{one}/operations/{{operation_id}}", self.operations.get),
            ("GET", f"{one}/endpoints", self.endpoints.page),
            ("POST", f"{one}/endpoints", self.endpoints.create),
            ("GET", endpoint, self.endpoints.get),
            ("PATCH", endpoint, self.endpoints.change),
            ("DELETE", endpoint, self.endpoints.delete),
            ("POST", f"{endpoint}/start", self.endpoints.start),
            ("POST", f"{endpoint}/suspend", self.endpoints.suspend),
            ("POST", f"{endpoint}/restart", self.endpoints.restart),
            ("GET", f"{one}/snapshots", self.snapshots.page),
            ("PATCH", f"{one}/snapshots/{{snapshot_id}}", self.snapshots.change),
            ("DELETE", f"{one}/snapshots/{{snapshot_id}}", self.snapshots.delete),
            ("POST", f"{one}/snapshots/{{snapshot_id}}/restore", self.snapshots.restore),
        ]

    def _branch_table(self) -> list[tuple[str, str, Handle]]:
        many, one = "/projects/{project_id}/branches", "/projects/{project_id}/branches/{branch_id}"
        return [
            ("GET", many, self.branches.page),
            ("POST", many, self.branches.create),
            ("GET", f"{many}/count", self.branches.count),
            ("GET", one, self.branches.get),
            ("PATCH", one, self.branches.change),
            ("DELETE", one, self.branches.delete),
            ("POST", f"{one}/restore", self.restores.restore),
            ("POST", f"{one}/set_as_default", self.branches.set_as_default),
            ("POST", f"{one}/finalize_restore", self.snapshots.finalize),
            ("POST", f"{one}/snapshot", self.snapshots.create),
            ("GET", f"{one}/backup_schedule", self.schedules.get),
            ("PUT", f"{one}/backup_schedule", self.schedules.put),
            ("GET", f"{one}/schema", self.schemas.get),
            ("GET", f"{one}/compare_schema", self.schemas.compare),
            ("GET", f"{one}/endpoints", self.endpoints.list_of_branch),
        ]

    def _data_table(self) -> list[tuple[str, str, Handle]]:
        branch = "/projects/{project_id}/branches/{branch_id}"
        role, database = f"{branch}/roles/{{role_name}}", f"{branch}/databases/{{database_name}}"
        return [
            ("GET", f"{branch}/roles", self.roles.page),
            ("POST", f"{branch}/roles", self.roles.create),
            ("GET", role, self.roles.get),
            ("DELETE", role, self.roles.delete),
            ("GET", f"{role}/reveal_password", self.roles.reveal),
            ("POST", f"{role}/reset_password", self.roles.reset),
            ("GET", f"{branch}/databases", self.databases.page),
            ("POST", f"{branch}/databases", self.databases.create),
            ("GET", database, self.databases.get),
            ("PATCH", database, self.databases.change),
            ("DELETE", database, self.databases.delete),
        ]


_UNFINISHED = ("scheduling", "running")


def _branch_summary(project: Project, branch: Record) -> dict[str, Any]:
    endpoints = project.endpoints_of(branch["id"])
    return {
        **{name: branch[name] for name in ("id", "name", "parent_id", "current_state", "default", "protected")},
        "endpoints": [{name: e[name] for name in ("id", "type", "current_state", "disabled")} for e in endpoints],
    }


async def _nowhere(call: Call) -> Answer:
    raise no_route()
