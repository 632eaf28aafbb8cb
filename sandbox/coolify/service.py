# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Coolify side as the daemon and the control API see it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.coolify import configuration
from sandbox.coolify.access import Access, Handler
from sandbox.coolify.applications import Applications
from sandbox.coolify.container import HealthCheck
from sandbox.coolify.context import Context
from sandbox.coolify.deployments import Deployments
from sandbox.coolify.envs import Envs
from sandbox.coolify.others import Others
from sandbox.coolify.queue import Queue
from sandbox.coolify.requests import Answer, refuse, wants_json
from sandbox.coolify.runner import Runner
from sandbox.coolify.shared import SharedEnvs
from sandbox.coolify.state import ACTIVE, Place, Row, State, application_row, application_settings
from sandbox.tracker import versions

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from sandbox.world import World

logger = logging.getLogger("sandbox.coolify")

_HEALTH_LIMIT = 1000
_MIGRATING_START = "npx prisma migrate deploy && node server.js"


class CoolifyService:
    """Everything below ``/api`` of the Coolify side, and what tests do to it behind its back."""

    def __init__(self, world: World) -> None:
        settings = world.settings.coolify
        self.state = State(world.store, world.clock, world.random("coolify"))
        self.runner = Runner(world, self.state, settings, world.processes)
        self.queue = Queue(self.state, self.runner, settings)
        self.access = Access(self.state, settings, world.clock.now)
        self.context = Context(self.state, self.access, self.runner, self.queue, settings)
        self._poll: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Marks what was under way as failed, starts again what ran, keeps statuses true."""
        self.queue.recover()
        await self.runner.start()
        self._poll = asyncio.create_task(self.runner.poll_for_ever(), name="status poll")

    async def stop(self) -> None:
        """Ends deployments under way and every application process."""
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poll
        await self.queue.stop()
        await self.context.finish()
        await self.runner.stop()

    def routes(self) -> list[web.RouteDef]:
        """Every route with its whole path."""
        groups = (Applications, Envs, Deployments, SharedEnvs, Others)
        return [route for group in groups for route in group(self.context).routes()]

    def middlewares(self) -> list[Middleware]:
        """The rate limit with its headers, and the error bodies."""
        return [self._answers()]

    def _answers(self) -> Middleware:
        @web.middleware
        async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
            headers: dict[str, str] = {}
            try:
                limit = _HEALTH_LIMIT if request.path in ("/api/health", "/api/v1/health") else None
                headers = self.access.count(request, limit=limit)
                response = await handler(request)
            except Answer as answer:
                response = answer.response() if answer.status != 500 or wants_json(request) else _server_error()
            except web.HTTPException:
                raise
            except Exception:
                logger.exception("%s %s broke", request.method, request.path)
                response = refuse(500, "Server Error").response() if wants_json(request) else _server_error()
            response.headers.extend(headers)
            return response

        return answers

    def create_token(self, **options: Any) -> str:
        """See `Access.create_token`."""
        return self.access.create_token(**options)

    async def create_application(
        self,
        *,
        name: str,
        env: Mapping[str, str] | Iterable[Mapping[str, Any]] = (),
        repository: Iterable[str] = ("good",),
        build_pack: str = "nixpacks",
        migrate_at_start: bool = False,
        built: bool = False,
        deploy: bool = False,
        wait: bool = True,
        tags: Iterable[str] = (),
        tasks: Iterable[Mapping[str, Any]] = (),
        project: str | None = None,
        environment: str | None = None,
        server: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """An application of the demo's repository.

        `env` is a mapping, or rows with their flags; production rows get their preview copies. `repository` names
        commits of `sandbox.tracker.versions`, oldest first; the last one is the head. `built`: an image of each
        exists, so that no deployment builds until something with an impact on the build changes. `deploy` queues
        a deployment and, with `wait`, waits for its end. `project`, `environment` and `server` are names; what does
        not exist yet is made. `fields` are columns or settings of the application
        (``health_check_enabled``, ``ports_mappings``, ``is_auto_deploy_enabled``, ...). Health is checked on
        ``/api/health`` unless they say else.
        Raises LookupError for an unknown commit and ValueError for an unknown field.
        """
        application = self._new_application(name, self.state.place(project, environment, server))
        row = application["row"]
        row["build_pack"] = build_pack
        application |= {"tags": list(tags), "tasks": [dict(task) for task in tasks]}
        if migrate_at_start:
            row["start_command"] = _MIGRATING_START
        self._set_fields(application, fields)
        for reference in repository:
            self._push(application, reference)
        self.state.applications[row["uuid"]] = application
        address = self.runner.address(row["uuid"])
        row["fqdn"] = address.url
        await address.start()
        rows = _env_rows(env)
        for values in rows:
            self.state.add_env(row["uuid"], values)
        for values in rows:
            # As Coolify does when a production row is created.
            if not values.get("is_preview") and self.state.env(row["uuid"], values["key"], True) is None:
                self.state.add_env(row["uuid"], {**values, "is_preview": True})
        if built:
            application["images"] = {commit["sha"]: self.state.now() for commit in application["commits"]}
            application["snapshot"] = configuration.snapshot(application, self.state.envs_of(row["uuid"]))
        self.state.save()
        return await self._described(application, deploy=deploy, wait=wait)

    def _new_application(self, name: str, place: Place) -> Row:
        project, environment, server = place
        row = application_row(self.state, name=name, url="", server=server, environment=environment)
        row |= {
            "health_check_enabled": True,
            "health_check_path": "/api/health",
            "health_check_start_period": 0,
            "health_check_interval": 1,
        }
        return {
            "row": row,
            "settings": application_settings(),
            "server": server["uuid"],
            "project": project["uuid"],
            "environment": environment["uuid"],
            "tags": [],
            "tasks": [],
            "commits": [],
            "images": {},
            "snapshot": None,
            "container": None,
        }

    async def _described(self, application: Row, *, deploy: bool, wait: bool) -> dict[str, Any]:
        answer = self.runner.public(application) | {"port": self.runner.address(application["row"]["uuid"]).port}
        if deploy:
            uuid = self.state.new_uuid()
            self.queue.add(application, uuid)
            deployment = await self.queue.ended(uuid) if wait else self.state.deployments[uuid]
            self.runner.poll(application)
            answer |= self.runner.public(application)
            answer |= {"deployment_uuid": uuid, "deployment_status": deployment["status"]}
        return answer

    def create_service(
        self,
        *,
        name: str,
        env: Mapping[str, str] | Iterable[Mapping[str, Any]] = (),
        project: str | None = None,
        environment: str | None = None,
        server: str | None = None,
    ) -> Row:
        """A service with env rows; nothing runs. It is placed as an application is."""
        now = self.state.now()
        _, inside, where = self.state.place(project, environment, server)
        service = {
            "id": self.state.next_id(),
            "uuid": self.state.new_uuid(),
            "name": name,
            "description": None,
            "status": "running:healthy",
            "docker_compose_raw": "services: {}\n",
            "service_type": None,
            "environment_id": inside["id"],
            "server_id": where["id"],
            "destination_id": where["id"],
            "created_at": now,
            "updated_at": now,
        }
        self.state.data["services"][service["uuid"]] = service
        for values in _env_rows(env):
            self.state.add_env(str(service["uuid"]), values)
        self.state.save()
        return service

    def create_shared_env(
        self,
        *,
        kind: str,
        key: str,
        value: str,
        owner: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        server: str | None = None,
    ) -> Row:
        """A shared variable of the team, or of a project, environment or server: the first ones, or those named."""
        inside, of, where = self.state.place(project, environment, server)
        owners = {"team": "team", "project": inside["uuid"], "environment": of["uuid"], "server": where["uuid"]}
        return SharedEnvs(self.context).add(kind, owner or owners[kind], {"key": key, "value": value})

    def change_application(self, uuid: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Sets columns and settings as they are stored (``status`` and ``server_status`` too)."""
        application = self.state.applications[uuid]
        self._set_fields(application, fields)
        self.state.save()
        return self.runner.public(application)

    def change_as_deployed(self, uuid: str, fields: Mapping[str, Any]) -> None:
        """Sets fields as if the last deployment had been made with them: the next one finds no difference."""
        application = self.state.applications[uuid]
        self._set_fields(application, fields)
        application["snapshot"] = configuration.snapshot(application, self.state.envs_of(uuid))
        if (container := self.runner.live(uuid)) is not None:
            container.check = HealthCheck.of(application["row"])
        self.state.save()

    def _set_fields(self, application: Row, fields: Mapping[str, Any]) -> None:
        """All of them or none. Raises ValueError or TypeError for what could not be stored or run."""
        trial = application | {part: dict(application[part]) for part in ("row", "settings")}
        for name, value in fields.items():
            for part in ("row", "settings"):
                if name in application[part]:
                    trial[part][name] = value
                    break
            else:
                if name not in ("tags", "tasks", "images"):
                    raise ValueError(f"an application has no field {name}")
                trial[name] = value
        HealthCheck.of(trial["row"])
        for part in ("row", "settings"):
            application[part].update(trial.pop(part))
        application.update(trial)

    def add_env_row(self, uuid: str, values: Mapping[str, Any]) -> Row:
        """Stores an env row as it is, duplicates included; no preview copy is made."""
        if uuid not in self.state.applications and uuid not in self.state.data["services"]:
            raise LookupError(uuid)
        row = self.state.add_env(uuid, dict(values))
        self.state.save()
        return row

    def push(self, uuid: str, commit: str, *, webhook: bool = False) -> dict[str, Any]:
        """The branch's head moves to `commit`. With `webhook` Coolify hears of it and may deploy by itself."""
        application = self.state.applications[uuid]
        pushed = self._push(application, commit)
        deployment = None
        if webhook and application["settings"]["is_auto_deploy_enabled"]:
            deployment = self.state.new_uuid()
            self.queue.add(application, deployment, commit=pushed["sha"], is_webhook=True)
        self.state.save()
        return {**pushed, "deployment_uuid": deployment}

    def _push(self, application: Row, reference: str) -> Row:
        commit = versions.find(reference)
        pushed = {"sha": commit.sha, "name": commit.name, "message": commit.message, "pushed_at": self.state.now()}
        application["commits"].append(pushed)
        return pushed

    def repository(self, uuid: str) -> dict[str, Any]:
        """The commits of an application's branch, oldest first."""
        application = self.state.applications[uuid]
        commits = application["commits"]
        return {"branch": application["row"]["git_branch"], "head": commits[-1]["sha"], "commits": commits}

    def change_instance(self, **values: Any) -> dict[str, Any]:
        """``api_enabled`` and ``allowed_ips`` of the instance."""
        instance: dict[str, Any] = self.state.data["instance"]
        if unknown := values.keys() - instance.keys():
            raise ValueError(f"the instance has no setting {', '.join(sorted(unknown))}")
        instance.update(values)
        self.state.save()
        return instance

    def _latest(self, application: Row, count: int = 3) -> list[dict[str, Any]]:
        names = ("deployment_uuid", "status", "commit", "created_at", "finished_at")
        return [{name: row[name] for name in names} for row in self.state.deployments_of(application)[:count]]

    def summary(self) -> dict[str, Any]:
        """For ``bin/sandbox status``: no values of env rows."""
        rows = self.state.deployments.values()
        return {
            "version": self.context.settings.version,
            "applications": [
                self.runner.public(application) | {"deployments": self._latest(application)}
                for application in self.state.applications.values()
            ],
            "deployments": {"all": len(rows), "active": sum(row["status"] in ACTIVE for row in rows)},
        }


def _server_error() -> web.Response:
    text = "<!DOCTYPE html><html><head><title>Server Error</title></head><body>500 | Server Error</body></html>"
    return web.Response(status=500, text=text, content_type="text/html")


def _env_rows(env: Mapping[str, str] | Iterable[Mapping[str, Any]]) -> list[Row]:
    if isinstance(env, Mapping):
        # What a careful operator would have set: taken literally, not needed to build.
        return [{"key": key, "value": value, "is_literal": True, "is_buildtime": False} for key, value in env.items()]
    return [dict(row) for row in env]
