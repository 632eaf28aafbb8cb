# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane's side of the PostgreSQL proxy: where a connection goes, what wakes, which password is right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from sandbox.neon import endpoints
from sandbox.neon.errors import ComputeUnavailable, NeonError
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339
from sandbox.neon.window import locate
from sandbox.postgres.engine import EngineError
from sandbox.proxy.proxy import Refused, Route
from sandbox.proxy.scram import Secret, Verifier

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

WAIT_SECONDS = 60.0
_UNKNOWN = (
    "The requested endpoint could not be found, or you don't have access to it. "
    "Please check the provided ID and try again."
)
_DISABLED = "The endpoint has been disabled. Enable it using Neon API and retry."
# Not of superusers: their passwords are the sandbox's own.
_LOGIN = "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = %s AND rolcanlogin AND NOT rolsuper"
_UNREACHABLE = "Couldn't connect to compute node"


class Backend:
    """Implements `sandbox.proxy.proxy.ProxyBackend`."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def route(self, *, host_id: str, pooled: bool, options: dict[str, str]) -> Route:
        """Where a connection to `host_id` goes. Starts a suspended compute and waits out a restore.

        Raises `Refused` with the text for the client.
        """
        if host_id.startswith("br-"):
            return await self._past(host_id, options)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._endpoint(host_id, pooled)
        except (TimeoutError, ComputeUnavailable, EngineError) as error:
            raise Refused(f"{_UNREACHABLE}: {error}" if str(error) else _UNREACHABLE) from error

    async def _endpoint(self, host_id: str, pooled: bool) -> Route:
        while True:
            found = self.service.state.find_endpoint(host_id)
            if found is None:
                raise Refused(_UNKNOWN)
            project, endpoint = found
            if endpoint["disabled"]:
                raise Refused(_DISABLED)
            branch = project.branches[endpoint["branch_id"]]
            if branch["current_state"] == "ready" and endpoint["pending_state"] is None:
                if endpoint["current_state"] == "active":
                    port = await self.service.engine.ensure_running(branch["timeline"])
                    read_only = endpoint["type"] == "read_only"
                    return Route(host_id, branch["timeline"], port, read_only=read_only, pooled=pooled)
                await self._wake(project, endpoint)
            elif self.service.operations.busy(project):
                await self.service.operations.settled(project)
                await self.service.clock.sleep(0.01)
            else:
                # Its operation failed for good: there is nothing left to wait for.
                raise Refused(_UNREACHABLE)

    async def _wake(self, project: Project, endpoint: Record) -> None:
        (operation,) = self.service.operations.schedule(project, [endpoints.start_step(endpoint)])
        await self.service.operations.settled(project)
        if operation["status"] != "finished":
            raise Refused(f"{_UNREACHABLE}: {operation['error'] or operation['status']}")

    async def _past(self, branch_id: str, options: dict[str, str]) -> Route:
        found = self.service.state.find_branch(branch_id)
        if found is None:
            raise Refused(_UNKNOWN)
        project, branch = found
        timestamp, lsn = options.get("neon_timestamp"), options.get("neon_lsn")
        if timestamp is None and lsn is None:
            raise Refused("a branch host needs options=neon_timestamp:… or options=neon_lsn:…")
        if branch["timeline"] is None:
            raise Refused(_UNREACHABLE)
        try:
            position = await locate(self.service, project, branch, timestamp=timestamp, lsn=lsn)
            port = await self.service.engine.open_time_travel(position.timeline, lsn=position.lsn)
        except NeonError as error:
            raise Refused(error.message) from None
        except (ComputeUnavailable, EngineError) as error:
            raise Refused(f"{_UNREACHABLE}: {error}") from error
        return Route(branch_id, branch["timeline"], port, read_only=True, pooled=False)

    async def secret(self, route: Route, role: str) -> Secret | None:
        """The password that a role has on the branch behind a route; None when it cannot log in.

        PostgreSQL has the last word on its own: a role may be made, and any password changed, in SQL.
        """
        branch = self._branch(route.key)
        known = branch["roles"].get(role) if branch is not None else None
        password: str | None = known["password"] if known is not None and not known["no_login"] else None
        if route.key.startswith("br-") or not self.service.computes.real:
            return password  # a server of the past gets no new passwords: what it has is of then
        try:
            rows = await self.service.engine.execute(route.timeline, _LOGIN, (role,))
        except (EngineError, ComputeUnavailable, psycopg.Error, OSError):
            return password  # the login itself will tell
        verifier = Verifier.parse(rows[0][0] or "") if rows else None
        return password if verifier is None or (password is not None and verifier.is_of(password)) else verifier

    def _branch(self, key: str) -> Record | None:
        if key.startswith("br-"):
            found = self.service.state.find_branch(key)
            return found[1] if found else None
        endpoint = self.service.state.find_endpoint(key)
        return endpoint[0].branches.get(endpoint[1]["branch_id"]) if endpoint else None

    def connected(self, route: Route) -> None:
        """Notes activity: it postpones the auto-suspend."""
        self._touch(route)

    def disconnected(self, route: Route) -> None:
        """Notes activity: it postpones the auto-suspend."""
        self._touch(route)

    def _touch(self, route: Route) -> None:
        found = self.service.state.find_endpoint(route.key)
        if found is not None:
            found[1]["last_active"] = rfc3339(self.service.clock.now())
