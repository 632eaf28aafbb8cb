# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control API: what a test or a rehearsal does to the sandbox that neither Neon nor Coolify offers.

Documented for users in docs/sandbox.md. Errors are ``{"message": ...}``; a wrong body is 422.
"""

from __future__ import annotations

import hmac
import inspect
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.clock import rfc3339
from sandbox.neon.errors import NeonError
from sandbox.settings import SettingError
from sandbox.web import Handler

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from sandbox.world import World

logger = logging.getLogger("sandbox.control")


class Control:
    """The handlers under ``/control``."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Every route with its whole path."""
        return [
            web.get("/control/status", self.status),
            web.get("/control/requests", self.requests),
            web.delete("/control/requests", self.forget_requests),
            web.post("/control/faults", self.add_fault),
            web.get("/control/faults", self.list_faults),
            web.delete("/control/faults", self.remove_faults),
            web.delete("/control/faults/{id}", self.remove_faults),
            web.post("/control/latency", self.set_latency),
            web.get("/control/clock", self.clock),
            web.post("/control/clock", self.move_clock),
            web.get("/control/settings", self.settings),
            web.post("/control/settings", self.change_settings),
            web.post("/control/tokens", self.create_token),
            web.post("/control/projects", self.create_project),
            web.post("/control/projects/{project}/branches", self.create_branches),
            web.post("/control/applications", self.create_application),
            web.patch("/control/applications/{app}", self.change_application),
            web.post("/control/applications/{app}/envs", self.add_env_row),
            web.post("/control/services", self.create_service),
            web.post("/control/services/{app}/envs", self.add_env_row),
            web.post("/control/shared-envs", self.create_shared_env),
            web.post("/control/instance", self.change_instance),
            web.post("/control/repositories/{app}/push", self.push),
            web.get("/control/repositories/{app}", self.repository),
            web.get("/control/processes", self.processes),
        ]

    def middlewares(self) -> list[Middleware]:
        """The token check and the error bodies."""
        return [self._errors(), self._authorise()]

    def _authorise(self) -> Middleware:
        @web.middleware
        async def authorise(request: web.Request, handler: Handler) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
                return web.json_response({"message": "wrong control token; see the connection file"}, status=401)
            return await handler(request)

        return authorise

    def _errors(self) -> Middleware:
        @web.middleware
        async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException as error:
                return web.json_response({"message": error.text or error.reason}, status=error.status)
            except NeonError as error:
                return web.json_response({"message": error.message}, status=error.status)
            except (SettingError, ValueError, TypeError, OverflowError, RecursionError) as error:
                return web.json_response({"message": str(error)}, status=422)
            except LookupError as error:
                return web.json_response({"message": f"not found: {error}"}, status=404)
            except Exception as error:
                logger.exception("%s %s failed", request.method, request.path)
                return web.json_response({"message": f"{type(error).__name__}: {error}"}, status=500)

        return errors

    async def status(self, request: web.Request) -> web.Response:
        """Everything that ``bin/sandbox status`` shows."""
        world = self.world
        return web.json_response(
            {
                "pid": os.getpid(),
                "root": str(world.root),
                "now": rfc3339(world.clock.now()),
                "clock_offset": world.clock.offset,
                "seed": world.settings.seed,
                "starts": world.store.section("world")["starts"],
                "ports": dict(world.store.section("ports")),
                "last_request": world.log.last,
                "faults": [fault.public() for fault in world.faults.list()],
                "neon": world.neon.summary(),
                "coolify": world.coolify.summary(),
            }
        )

    async def requests(self, request: web.Request) -> web.Response:
        """The request log; ``?since=N`` for what came after entry N, ``?service=neon``."""
        since = int(request.query.get("since", "0"))
        log = self.world.log
        return web.json_response({"requests": log.since(since, request.query.get("service")), "last": log.last})

    async def forget_requests(self, request: web.Request) -> web.Response:
        """Empties the log; numbers go on."""
        return web.json_response({"removed": self.world.log.clear(), "last": self.world.log.last})

    async def add_fault(self, request: web.Request) -> web.Response:
        """Registers a fault; see `sandbox.web.Fault`."""
        return web.json_response(self.world.faults.add(**await _object(request)).public(), status=201)

    async def list_faults(self, request: web.Request) -> web.Response:
        """All faults with their hits."""
        return web.json_response({"faults": [fault.public() for fault in self.world.faults.list()]})

    async def remove_faults(self, request: web.Request) -> web.Response:
        """Removes one fault, or all."""
        wanted = request.match_info.get("id")
        removed = self.world.faults.remove(wanted)
        if wanted and not removed:
            raise LookupError(wanted)
        return web.json_response({"removed": removed})

    async def set_latency(self, request: web.Request) -> web.Response:
        """Delays every answer of a service."""
        body = await _object(request)
        self.world.settings.change({f"latency.{body.get('service')}": body.get("seconds", 0)})
        return web.json_response(self.world.settings.latency)

    async def clock(self, request: web.Request) -> web.Response:
        """The control planes' clock."""
        clock = self.world.clock
        return web.json_response({"now": rfc3339(clock.now()), "offset_seconds": clock.offset})

    async def move_clock(self, request: web.Request) -> web.Response:
        """Moves the clock by ``advance_seconds`` or sets ``offset_seconds``."""
        body = await _object(request)
        if set(body) == {"advance_seconds"}:
            self.world.clock.advance(float(body["advance_seconds"]))
        elif set(body) == {"offset_seconds"}:
            self.world.clock.set_offset(float(body["offset_seconds"]))
        else:
            raise ValueError("give advance_seconds or offset_seconds")
        return await self.clock(request)

    async def settings(self, request: web.Request) -> web.Response:
        """All settings by dotted name."""
        return web.json_response(self.world.settings.flat())

    async def change_settings(self, request: web.Request) -> web.Response:
        """Changes settings of the running sandbox; they are not kept over a restart."""
        return web.json_response(self.world.settings.change(await _object(request)))

    async def create_token(self, request: web.Request) -> web.Response:
        """A new token of a service; the rest of the body goes to its ``create_token``."""
        body = await _object(request)
        services: dict[str, Any] = {"neon": self.world.neon, "coolify": self.world.coolify}
        service = services.get(body.pop("service", ""))
        if service is None:
            raise ValueError("service must be neon or coolify")
        token = await _settled(service.create_token(**{"name": "control", **body}))
        return web.json_response({"token": token}, status=201)

    async def create_project(self, request: web.Request) -> web.Response:
        """A Neon project with a root branch, a database, a role and a compute."""
        return web.json_response(await self.world.neon.create_project(**await _object(request)), status=201)

    async def create_branches(self, request: web.Request) -> web.Response:
        """Branches as they would be after some time: made at an instant that has passed, many at once."""
        wanted = (await _object(request)).get("branches")
        if not isinstance(wanted, list):
            raise ValueError("branches must be a list")
        made = await self.world.neon.add_branches(request.match_info["project"], wanted)
        return web.json_response({"branches": made}, status=201)

    async def create_application(self, request: web.Request) -> web.Response:
        """A Coolify application with its repository; it is deployed when the body says so."""
        return web.json_response(await self.world.coolify.create_application(**await _object(request)), status=201)

    async def change_application(self, request: web.Request) -> web.Response:
        """Sets fields of an application as they are stored, without what Coolify's PATCH refuses."""
        changed = self.world.coolify.change_application(request.match_info["app"], await _object(request))
        return web.json_response(await _settled(changed))

    async def add_env_row(self, request: web.Request) -> web.Response:
        """Stores an env row as it is: a duplicate, a locked one, a preview one, a shared one."""
        row = self.world.coolify.add_env_row(request.match_info["app"], await _object(request))
        return web.json_response(await _settled(row), status=201)

    async def create_service(self, request: web.Request) -> web.Response:
        """A Coolify service with env rows; nothing of it runs."""
        return web.json_response(self.world.coolify.create_service(**await _object(request)), status=201)

    async def create_shared_env(self, request: web.Request) -> web.Response:
        """A shared variable of the team, the project, the environment or the server."""
        return web.json_response(self.world.coolify.create_shared_env(**await _object(request)), status=201)

    async def change_instance(self, request: web.Request) -> web.Response:
        """``api_enabled`` and ``allowed_ips`` of the Coolify instance."""
        return web.json_response(self.world.coolify.change_instance(**await _object(request)))

    async def push(self, request: web.Request) -> web.Response:
        """A commit pushed to the application's branch: HEAD moves."""
        commit = self.world.coolify.push(request.match_info["app"], **await _object(request))
        return web.json_response(await _settled(commit), status=201)

    async def repository(self, request: web.Request) -> web.Response:
        """The commits of an application's repository, oldest first."""
        return web.json_response(await _settled(self.world.coolify.repository(request.match_info["app"])))

    async def processes(self, request: web.Request) -> web.Response:
        """Every process that the daemon started and that still runs."""
        return web.json_response({"processes": await _settled(self.world.processes.list())})


async def _object(request: web.Request) -> dict[str, Any]:
    # Not request.json(): it would decode with whatever charset the request names.
    raw = await request.read() if request.can_read_body else b""
    body = json.loads(raw) if raw else {}
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
