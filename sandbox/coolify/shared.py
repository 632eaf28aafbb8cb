# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared variables, which rows refer to as ``{{team.KEY}}`` (since 4.3.0). Their ids are integers."""

from __future__ import annotations

from aiohttp import web

from sandbox.coolify.access import sees_secrets
from sandbox.coolify.context import Context
from sandbox.coolify.requests import Body, check_types, inputs, invalid, php_true, refuse, reply
from sandbox.coolify.state import Row

_KINDS = {
    "key": "string",
    "value": "string",
    "comment": "string",
    **dict.fromkeys(("is_literal", "is_multiline", "is_shown_once"), "boolean"),
}


class SharedEnvs:
    """The four scopes: team, project, environment and server."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = context.state

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        found = []
        for base in (
            "/team/envs",
            "/projects/{uuid}/envs",
            "/projects/{uuid}/environments/{name}/envs",
            "/servers/{uuid}/envs",
        ):
            for method, path, ability, handler in (
                ("GET", base, "read", self.index),
                ("POST", base, "write", self.create),
                ("PATCH", f"{base}/{{env}}", "write", self.update),
                ("DELETE", f"{base}/{{env}}", "write", self.delete),
            ):
                found.append(self.context.route(method, path, ability, handler, since="4.3.0"))
        return found

    def _scope(self, request: web.Request) -> tuple[str, str]:
        match = request.match_info
        if "/team/" in request.path:
            return "team", "team"
        if "/servers/" in request.path:
            if match["uuid"] not in self.state.data["servers"]:
                raise refuse(404, "Server not found.")
            return "server", match["uuid"]
        project = self.state.data["projects"].get(match["uuid"])
        if project is None:
            raise refuse(404, "Project not found.")
        if "name" not in match:
            return "project", match["uuid"]
        for environment in project["environments"]:
            if match["name"] in (environment["name"], environment["uuid"]):
                return "environment", environment["uuid"]
        raise refuse(404, "Environment not found.")

    def _rows(self, request: web.Request) -> list[Row]:
        kind, owner = self._scope(request)
        return [row for row in self.state.data["shared"] if (row["type"], row["owner"]) == (kind, owner)]

    def _row(self, request: web.Request) -> Row:
        wanted = request.match_info["env"]
        for row in self._rows(request):
            if str(row["id"]) == wanted:
                return row
        raise refuse(404, "Environment variable not found.")

    def _public(self, row: Row, request: web.Request) -> Row:
        shown = {key: value for key, value in row.items() if key != "owner"}
        if row["is_shown_once"] or not sees_secrets(request):
            shown.pop("value")
        return shown

    async def index(self, request: web.Request) -> web.Response:
        """The variables of one scope."""
        return reply([self._public(row, request) for row in self._rows(request)])

    def _check(self, body: Body, *, need_key: bool) -> None:
        errors = check_types(body, _KINDS)
        if need_key and body.get("key") is None:
            errors["key"] = ["The key field is required."]
        for name in body.keys() - _KINDS.keys():
            errors[name] = ["This field is not allowed."]
        if errors:
            raise invalid(errors)

    async def create(self, request: web.Request) -> web.Response:
        """A new variable."""
        kind, owner = self._scope(request)
        body = await inputs(request)
        self._check(body, need_key=True)
        if any(row["key"] == body["key"] for row in self._rows(request)):
            raise refuse(409, "Environment variable already exists. Use PATCH request to update it.")
        row = self.add(kind, owner, body)
        return reply({"id": row["id"]}, 201)

    def add(self, kind: str, owner: str, body: Body) -> Row:
        """Stores a shared variable."""
        now = self.state.now()
        row = {
            "id": self.state.next_id(),
            "type": kind,
            "owner": owner,
            "key": body["key"],
            "value": body.get("value"),
            "comment": body.get("comment"),
            **{name: php_true(body.get(name)) for name in ("is_literal", "is_multiline", "is_shown_once")},
            "created_at": now,
            "updated_at": now,
        }
        self.state.data["shared"].append(row)
        self.state.save()
        return row

    async def update(self, request: web.Request) -> web.Response:
        """A true partial update, unlike that of an application's rows."""
        row = self._row(request)
        body = await inputs(request)
        self._check(body, need_key="key" in body)
        if not body:
            raise refuse(422, "At least one field must be provided.")
        for name, value in body.items():
            row[name] = php_true(value) if name.startswith("is_") else value
        row["updated_at"] = self.state.now()
        self.state.save()
        return reply(self._public(row, request))

    async def delete(self, request: web.Request) -> web.Response:
        """Removes a variable."""
        self.state.data["shared"].remove(self._row(request))
        self.state.save()
        return reply({"message": "Environment variable deleted."})
