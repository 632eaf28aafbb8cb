# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every group of handlers holds, and how their routes are guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.coolify.access import Access
from sandbox.coolify.profile import Profile
from sandbox.coolify.queue import Queue
from sandbox.coolify.requests import Answer, not_found_route, refuse
from sandbox.coolify.runner import Runner
from sandbox.coolify.state import Row, State

if TYPE_CHECKING:
    from sandbox.settings import CoolifySettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PREFIX = "/api/v1"
ACTION = "action"
"""In place of an ability: what actions on applications need, which depends on the version."""


@dataclass(frozen=True)
class Context:
    """The parts of the Coolify side."""

    state: State
    access: Access
    runner: Runner
    queue: Queue
    settings: CoolifySettings
    _jobs: set[asyncio.Task[Any]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Runs what an answer does not wait for."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def finish(self) -> None:
        """Waits for everything that `spawn` started."""
        await asyncio.gather(*self._jobs, return_exceptions=True)

    @property
    def profile(self) -> Profile:
        """The version as it is set now: it may be changed while the sandbox runs."""
        return Profile(self.settings.version)

    def route(
        self, method: str, path: str, ability: str, handler: Handler, *, since: str = "4.0.0-beta.400"
    ) -> web.RouteDef:
        """A guarded route below ``/api/v1``. Before version `since` the path does not exist."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            profile = self.profile
            if not profile.since(since):
                raise not_found_route()
            needed = profile.action_ability if ability == ACTION else ability
            self.access.check(request, profile, needed)
            return await handler(request)

        return web.route(method, PREFIX + path, guarded)

    def action(self, path: str, ability: str, handler: Handler) -> list[web.RouteDef]:
        """A POST route whose GET does the same work before 4.2.0, and is 405 since."""

        async def by_get(request: web.Request) -> web.StreamResponse:
            profile = self.profile
            if profile.get_acts:
                self.access.check(request, profile, profile.action_ability if ability == ACTION else ability)
                return await handler(request)
            self.access.check(request, profile)
            raise Answer(405, {"message": "This endpoint has changed to a POST request."}, {"Allow": "POST"})

        return [
            self.route("POST", path, ability, handler),
            web.get(PREFIX + path, by_get, allow_head=False),
        ]

    def application(self, request: web.Request, *, dot: bool = True) -> Row:
        """The application of the path. Raises `Answer` 404; the env routes spell it without a full stop."""
        found = self.state.applications.get(request.match_info["uuid"])
        if found is None:
            raise refuse(404, "Application not found." if dot else "Application not found")
        return found
