# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications: list, get, patch, and the actions start, stop, restart and rollback."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from sandbox.coolify import fields
from sandbox.coolify.access import sees_secrets
from sandbox.coolify.context import ACTION, Context
from sandbox.coolify.queue import ALREADY_QUEUED, QUEUE_FULL
from sandbox.coolify.requests import inputs, invalid, json_inputs, laravel_true, php_true, refuse, reply
from sandbox.coolify.state import Row, public_application

_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


class Applications:
    """``/applications``."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = context.state

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        route, action = self.context.route, self.context.action
        one = "/applications/{uuid}"
        return [
            route("GET", "/applications", "read", self.index),
            route("GET", one, "read", self.show),
            route("PATCH", one, "write", self.update),
            route("GET", f"{one}/logs", "read", self.logs),
            route("GET", f"{one}/scheduled-tasks", "read", self.tasks, since="4.0.0-beta.464"),
            route("GET", f"{one}/rollback-images", "read", self.images, since="4.3.0"),
            route("POST", f"{one}/rollback", "deploy", self.rollback, since="4.3.0"),
            *action(f"{one}/start", ACTION, self.start),
            *action(f"{one}/restart", ACTION, self.restart),
            *action(f"{one}/stop", ACTION, self.stop),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """All applications of the team, or those with a tag."""
        tag = request.query.get("tag")
        sensitive = sees_secrets(request)
        return reply(
            [
                public_application(application, sensitive=sensitive)
                for application in self.state.applications.values()
                if not tag or tag in application["tags"]
            ]
        )

    async def show(self, request: web.Request) -> web.Response:
        """One application with its settings."""
        application = self.context.application(request)
        return reply(public_application(application, sensitive=sees_secrets(request), settings=True))

    async def update(self, request: web.Request) -> web.Response:
        """Sets what is given; unlike env rows, the rest is kept."""
        application = self.context.application(request)
        body = await json_inputs(request)
        if errors := fields.problems(body):
            raise invalid(errors)
        fields.apply(application, body)
        application["row"]["updated_at"] = self.state.now()
        if php_true(body.get("instant_deploy")):
            self.context.queue.add(application, self.state.new_uuid())
        self.state.save()
        return reply({"uuid": application["row"]["uuid"]})

    async def logs(self, request: web.Request) -> web.Response:
        """The end of the container's log."""
        container = self.context.runner.live(self.context.application(request)["row"]["uuid"])
        if container is None:
            raise refuse(400, "Application is not running.")
        lines = request.query.get("lines", "")
        count = int(lines) if re.fullmatch("[0-9]{1,9}", lines) else 100
        return reply({"logs": "\n".join(container.last_lines(count))})

    async def tasks(self, request: web.Request) -> web.Response:
        """Scheduled tasks."""
        return reply(self.context.application(request)["tasks"])

    async def start(self, request: web.Request) -> web.Response:
        """A deployment; ``instant_deploy`` skips every gate of the queue."""
        application = self.context.application(request)
        body = await inputs(request)
        force = (laravel_true if self.context.profile.start_force_is_boolean else php_true)(body.get("force"))
        at_once = laravel_true(body.get("instant_deploy"))
        return self._queued(application, "Deployment request queued.", force_rebuild=force, at_once=at_once)

    async def restart(self, request: web.Request) -> web.Response:
        """A deployment that uses the existing image if it may."""
        application = self.context.application(request)
        return self._queued(application, "Restart request queued.", restart_only=True)

    def _queued(self, application: Row, message: str, **options: Any) -> web.Response:
        uuid = self.state.new_uuid()
        if self.context.queue.add(application, uuid, **options) == "skipped":
            return reply({"message": ALREADY_QUEUED})
        # A full queue is not looked at: the uuid is answered although there is no such deployment.
        return reply({"message": message, "deployment_uuid": uuid})

    async def stop(self, request: web.Request) -> web.Response:
        """Ends the container, in the background."""
        application = self.context.application(request)
        self.context.spawn(self._stop(application), name=f"stop {application['row']['uuid']}")
        return reply({"message": "Application stopping request queued."})

    async def _stop(self, application: Row) -> None:
        await self.context.runner.stop_application(application)
        application["row"]["status"] = "exited"
        self.state.save()

    async def images(self, request: web.Request) -> web.Response:
        """The images that are on the server."""
        application = self.context.application(request)
        if not application["row"]["server_status"]:
            return reply({"current": None, "images": []})  # any error on the server looks like this
        current = (application.get("container") or {}).get("commit")
        images = sorted(application["images"].items(), key=lambda item: str(item[1]), reverse=True)
        return reply(
            {
                "current": current,
                "images": [{"tag": tag, "created_at": at, "is_current": tag == current} for tag, at in images],
            }
        )

    async def rollback(self, request: web.Request) -> web.Response:
        """A deployment of one commit, whatever the branch says, with the env rows as they are now."""
        application = self.context.application(request)
        body = await json_inputs(request)
        commit = body.get("commit")
        if not commit:
            raise invalid({"commit": ["The commit field is required."]})
        if not isinstance(commit, str) or not _REF.fullmatch(commit) or ".." in commit:
            raise invalid({"commit": ["The commit field format is invalid."]})
        uuid = self.state.new_uuid()
        if self.context.queue.add(application, uuid, commit=commit, rollback=True) == "queue_full":
            raise refuse(400, QUEUE_FULL)
        return reply({"message": "Rollback deployment queued.", "deployment_uuid": uuid})
