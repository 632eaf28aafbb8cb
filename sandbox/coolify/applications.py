# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications: list, get, patch, and the actions start, stop, restart and rollback."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from sandbox.coolify.access import sees_secrets
from sandbox.coolify.context import ACTION, Context
from sandbox.coolify.queue import ALREADY_QUEUED, QUEUE_FULL
from sandbox.coolify.requests import (
    Body,
    check_types,
    inputs,
    invalid,
    json_inputs,
    laravel_true,
    php_true,
    refuse,
    reply,
)
from sandbox.coolify.state import Row, public_application

_TEXTS = [
    "name",
    "description",
    "domains",
    "git_repository",
    "git_branch",
    "git_commit_sha",
    "docker_registry_image_name",
    "docker_registry_image_tag",
    "build_pack",
    "install_command",
    "build_command",
    "start_command",
    "ports_exposes",
    "ports_mappings",
    "base_directory",
    "publish_directory",
    "health_check_type",
    "health_check_command",
    "health_check_path",
    "health_check_port",
    "health_check_host",
    "health_check_method",
    "health_check_scheme",
    "health_check_response_text",
    "custom_labels",
    "custom_docker_run_options",
    "pre_deployment_command",
    "pre_deployment_command_container",
    "post_deployment_command",
    "post_deployment_command_container",
    "dockerfile",
    "dockerfile_location",
    "docker_compose_raw",
    "docker_compose_location",
    "watch_paths",
    "redirect",
    "limits_memory",
    "limits_cpus",
    "custom_network_aliases",
]
_NUMBERS = [
    "health_check_return_code",
    "health_check_interval",
    "health_check_timeout",
    "health_check_retries",
    "health_check_start_period",
]
_COLUMN_FLAGS = ("health_check_enabled", "is_http_basic_auth_enabled")
_SETTING_FLAGS = [
    "is_static",
    "is_auto_deploy_enabled",
    "is_force_https_enabled",
    "is_preview_deployments_enabled",
    "is_gzip_enabled",
    "is_consistent_container_name_enabled",
    "is_raw_compose_deployment_enabled",
    "use_build_secrets",
    "inject_build_args_to_dockerfile",
    "include_source_commit_in_build",
    "disable_build_cache",
    "is_env_sorting_enabled",
]
_KINDS = {
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(_NUMBERS, "integer"),
    **dict.fromkeys((*_COLUMN_FLAGS, *_SETTING_FLAGS, "instant_deploy"), "boolean"),
    "custom_internal_name": "string",
}
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
        errors = check_types(body, _KINDS)
        for name in body.keys() - _KINDS.keys():
            errors[name] = ["This field is not allowed."]
        if errors:
            raise invalid(errors)
        self._apply(application, body)
        application["row"]["updated_at"] = self.state.now()
        if php_true(body.get("instant_deploy")):
            self.context.queue.add(application, self.state.new_uuid())
        self.state.save()
        return reply({"uuid": application["row"]["uuid"]})

    def _apply(self, application: Row, body: Body) -> None:
        for name, value in body.items():
            if name in _SETTING_FLAGS:
                application["settings"][name] = php_true(value)
            elif name == "custom_internal_name":
                application["settings"][name] = value
            elif name in _NUMBERS:
                application["row"][name] = None if value is None else int(value)
            elif name in _COLUMN_FLAGS:
                application["row"][name] = php_true(value)
            elif name == "git_commit_sha":
                application["row"][name] = value or "HEAD"
            elif name != "instant_deploy":
                application["row"]["fqdn" if name == "domains" else name] = value

    async def logs(self, request: web.Request) -> web.Response:
        """The end of the container's log."""
        container = self.context.runner.live(self.context.application(request)["row"]["uuid"])
        if container is None:
            raise refuse(400, "Application is not running.")
        lines = request.query.get("lines", "100")
        return reply({"logs": "\n".join(container.last_lines(int(lines) if lines.isdigit() else 100))})

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
