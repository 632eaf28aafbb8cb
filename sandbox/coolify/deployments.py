# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments: deploy by uuid or tag, list, get, cancel."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp import web

from sandbox.coolify.access import sees_secrets
from sandbox.coolify.context import Context
from sandbox.coolify.queue import ALREADY_QUEUED, QUEUE_FULL
from sandbox.coolify.requests import (
    Answer,
    inputs,
    invalid,
    is_number,
    laravel_true,
    php_true,
    refuse,
    reply,
    wants_json,
)
from sandbox.coolify.state import ACTIVE, Row, public_application

_HIDDEN = ("touched", "logs")


class Deployments:
    """``/deploy`` and ``/deployments``."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = context.state

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        route = self.context.route
        return [
            *self.context.action("/deploy", "deploy", self.deploy),
            route("GET", "/deployments", "read", self.index),
            route("GET", "/deployments/applications/{uuid}", "read", self.of_application, since="4.0.0-beta.402"),
            route("GET", "/deployments/{deployment}", "read", self.show),
            route("POST", "/deployments/{deployment}/cancel", "deploy", self.cancel, since="4.0.0-beta.436"),
        ]

    async def deploy(self, request: web.Request) -> web.Response:
        """``uuid`` (a comma list) or ``tag``, in the query or the body."""
        body = await inputs(request)
        uuids, tags = body.get("uuid"), body.get("tag")
        if uuids and tags:
            raise refuse(400, "You can only use uuid or tag, not both.")
        pull_request = _pull_request(body.get("pr", body.get("pull_request_id")))
        if tags and pull_request:
            raise refuse(400, "You can only use tag or pr, not both.")
        if not uuids and not tags:
            raise refuse(400, "You must provide uuid or tag.")
        force = (laravel_true if self.context.profile.force_is_boolean else php_true)(body.get("force"))
        if tags:
            return self._by_tag(str(tags).split(","), force=force)
        items = []
        for uuid in (part.strip() for part in str(uuids).split(",")):
            item = self._of_pull_request(uuid, pull_request) if pull_request else self._one(uuid, force=force)
            if item is not None:
                items.append(item)
        if not items:
            raise refuse(404, "No resources found.")
        self.state.save()
        return reply({"deployments": items})

    def _of_pull_request(self, uuid: str, number: int) -> Row | None:
        """There are no previews here, and production is not what was asked for."""
        if uuid not in self.state.applications and uuid not in self.state.data["services"]:
            return None
        return {"message": f"Pull request {number} not found for this resource.", "resource_uuid": uuid}

    def _one(self, uuid: str, *, force: bool) -> Row | None:
        """An item of the answer, or None for a uuid that nothing has. Raises `Answer` 429 for a full queue."""
        if service := self.state.data["services"].get(uuid):
            service["status"] = "running:healthy"
            return {
                "message": f"Service {service['name']} started. It could take a while, be patient.",
                "resource_uuid": uuid,
            }
        application = self.state.applications.get(uuid)
        if application is None:
            return None
        deployment = self.state.new_uuid()
        outcome = self.context.queue.add(application, deployment, force_rebuild=force)
        if outcome == "queue_full":
            raise Answer(429, {"message": QUEUE_FULL}, {"Retry-After": "60"})
        # A skipped one gets the uuid all the same: nothing is stored under it.
        message = (
            ALREADY_QUEUED if outcome == "skipped" else f"Application {application['row']['name']} deployment queued."
        )
        return {"message": message, "resource_uuid": uuid, "deployment_uuid": deployment}

    def _by_tag(self, tags: list[str], *, force: bool) -> web.Response:
        messages: list[str] = []
        details: list[Row] = []
        for tag in (part.strip() for part in tags):
            tagged = [a for a in self.state.applications.values() if tag in a["tags"]]
            if not tagged:
                messages.append(f"No resources found with tag {tag}.")
            for application in tagged:
                item = self._one(application["row"]["uuid"], force=force) or {}
                messages.append(item.pop("message"))
                details.append(item)
        if not details:
            raise refuse(404, "No resources found with this tag.", details=messages)
        return reply({"message": messages, "details": details})

    def public(self, deployment: Row, *, logs: bool) -> Row:
        """A deployment as it is answered; ``logs`` is a JSON text inside the JSON."""
        shown = {key: value for key, value in deployment.items() if key not in _HIDDEN}
        if logs:
            shown["logs"] = json.dumps(deployment["logs"]) if deployment["logs"] else None
        return shown

    async def index(self, request: web.Request) -> web.Response:
        """What is queued or in progress: an array, or an object keyed by number.

        Coolify sorts by id and keeps the keys of the unsorted list, in which a row that was updated comes later:
        whenever the two orders differ JSON makes an object of it.
        """
        sensitive = sees_secrets(request)
        unsorted = sorted(self.state.active(), key=lambda row: int(row["touched"]))
        keyed = sorted(enumerate(unsorted), key=lambda pair: int(pair[1]["id"]))
        shown = [(number, self.public(row, logs=sensitive)) for number, row in keyed]
        if [number for number, _ in shown] == list(range(len(shown))):
            return reply([row for _, row in shown])
        return reply({str(number): row for number, row in shown})

    async def of_application(self, request: web.Request) -> web.Response:
        """``?skip=&take=``, newest first."""
        application = self.context.application(request)
        skip, take = self._page(request, "skip", 0, 0), self._page(request, "take", 10, 1)
        rows = self.state.deployments_of(application)
        logs = sees_secrets(request) or not self.context.profile.logs_hidden_in_list
        return reply(
            {"count": len(rows), "deployments": [self.public(row, logs=logs) for row in rows[skip : skip + take]]}
        )

    def _page(self, request: web.Request, name: str, usual: int, least: int) -> int:
        given = request.query.get(name)
        if given is None:
            return usual
        if not is_number(given):
            problem = f"The {name} field must be an integer."
        elif int(given) < least:
            problem = f"The {name} field must be at least {least}."
        else:
            return int(given)
        if not wants_json(request):
            # Laravel's validate() sends a browser back to where it came from.
            raise Answer(302, {}, {"Location": "/"})
        raise invalid({name: [problem]})

    def _deployment(self, request: web.Request) -> Row:
        found = self.state.deployments.get(request.match_info["deployment"])
        if found is None:
            raise refuse(404, "Deployment not found.")
        return found

    async def show(self, request: web.Request) -> web.Response:
        """One deployment, with its application."""
        deployment = self._deployment(request)
        sensitive = sees_secrets(request)
        shown: dict[str, Any] = self.public(deployment, logs=sensitive)
        if self.context.profile.embeds_application:
            for application in self.state.applications.values():
                if str(application["row"]["id"]) == deployment["application_id"]:
                    shown["application"] = public_application(application, sensitive=sensitive)
        return reply(shown)

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancels. Some versions answer 500 after having done it."""
        deployment = self._deployment(request)
        if deployment["status"] not in ACTIVE:
            raise refuse(400, f"Deployment cannot be cancelled. Current status: {deployment['status']}")
        await self.context.queue.cancel(deployment)
        if self.context.profile.cancel_answers_500:
            raise refuse(500, "Failed to cancel deployment: Undefined variable $application")
        return reply(
            {
                "message": "Deployment cancelled successfully.",
                "deployment_uuid": deployment["deployment_uuid"],
                "status": deployment["status"],
            }
        )


def _pull_request(value: Any) -> int:
    """PHP's cast to a number: of a text the digits that it begins with, 0 for none; below 0 counts as 0."""
    if isinstance(value, (bool, int)):
        return max(0, int(value))
    digits = re.match("[0-9]{1,18}", str(value or ""))
    return int(digits[0]) if digits else 0
