# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Env rows of applications and services: the part of Coolify's API with the most traps."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from sandbox.coolify import environment
from sandbox.coolify.access import sees_secrets
from sandbox.coolify.context import Context
from sandbox.coolify.requests import Body, check_types, inputs, invalid, json_inputs, php_true, refuse, reply
from sandbox.coolify.state import Row

_KINDS = {
    "key": "string",
    "value": "string",
    "comment": "string",
    **dict.fromkeys(
        ("is_preview", "is_literal", "is_multiline", "is_shown_once", "is_runtime", "is_buildtime"), "boolean"
    ),
}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_EXISTS = "Environment variable already exists. Use PATCH request to update it."
_MISSING = "Environment variable not found."
_HIDDEN = ("owner", "touched", "id")


class Envs:
    """``/applications/{uuid}/envs`` and ``/services/{uuid}/envs``."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = context.state

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        route = self.context.route
        found = []
        for kind in ("applications", "services"):
            base = f"/{kind}/{{uuid}}/envs"
            found += [
                route("GET", base, "read", self.index),
                route("POST", base, "write", self.create),
                route("PATCH", base, "write", self.update),
                route("PATCH", f"{base}/bulk", "write", self.update_many),
                route("DELETE", f"{base}/{{env}}", "write", self.delete),
            ]
        return found

    def _owner(self, request: web.Request) -> tuple[str, bool]:
        uuid = request.match_info["uuid"]
        if request.path.startswith("/api/v1/services/"):
            if uuid not in self.state.data["services"]:
                raise refuse(404, "Service not found.")
            return uuid, False
        self.context.application(request, dot=False)
        return uuid, True

    def public(self, row: Row, request: web.Request) -> Row:
        """A row as it is answered. Values are absent, not null, for those who may not see them."""
        shown = {key: value for key, value in row.items() if key not in _HIDDEN}
        application = self.state.applications.get(row["owner"])
        shared = environment.shared_values(self.state, application) if application else {}
        shown |= {
            "real_value": environment.real_value(row, shared),
            "is_shared": environment.is_shared(row["value"]),
            "is_really_required": bool(row["is_required"]) and not row["value"],
            "is_buildpack_control": str(row["key"]).startswith(("NIXPACKS_", "RAILPACK_")),
            "is_coolify": str(row["key"]).startswith("SERVICE_"),
            "version": self.context.settings.version,
        }
        if not self.context.profile.since("4.0.0-beta.464"):
            shown.pop("comment")
        locked = self.context.profile.locked_values_hidden and row["is_shown_once"]
        if locked or not sees_secrets(request):
            shown.pop("value")
            shown.pop("real_value")
        return shown

    async def index(self, request: web.Request) -> web.Response:
        """Production rows, then preview rows."""
        owner, _ = self._owner(request)
        return reply([self.public(row, request) for row in self.state.envs_of(owner)])

    def _key(self, body: Body) -> str:
        return str(body["key"]).replace(" ", "_")

    def _errors(self, body: Body) -> dict[str, list[str]]:
        errors = check_types(body, _KINDS)
        key = body.get("key")
        if key is None:
            errors["key"] = ["The key field is required."]
        elif isinstance(key, str) and self.context.profile.strict_keys:
            if not _KEY.fullmatch(key):
                errors["key"] = ["The key field format is invalid."]
            elif len(key) > 255:
                errors["key"] = ["The key field must not be greater than 255 characters."]
        comment = body.get("comment")
        if isinstance(comment, str) and len(comment) > 256:
            errors["comment"] = ["The comment field must not be greater than 256 characters."]
        return errors

    def _check(self, body: Body, *, strict: bool) -> None:
        errors = self._errors(body)
        if strict:
            for name in body.keys() - set(self.context.profile.env_fields):
                errors.setdefault(name, []).append("This field is not allowed.")
        if errors:
            raise invalid(errors)

    def _create(self, owner: str, body: Body, *, of_application: bool) -> Row:
        values: dict[str, Any] = {"key": self._key(body), "value": body.get("value"), "comment": body.get("comment")}
        for name, usual in (
            ("is_preview", False),
            ("is_literal", False),
            ("is_multiline", False),
            ("is_shown_once", False),
            ("is_runtime", True),
            ("is_buildtime", True),
        ):
            given = body.get(name)
            values[name] = usual if given is None or name not in self.context.profile.env_fields else php_true(given)
        row = self.state.add_env(owner, values)
        if of_application and not row["is_preview"] and self.state.env(owner, row["key"], True) is None:
            self.state.add_env(owner, {**values, "is_preview": True})
        return row

    def _overwrite(self, row: Row, body: Body, *, of_application: bool) -> None:
        """Coolify's update: what is left out is not kept, with three exceptions. Raises `Answer` 500."""
        row["value"] = body.get("value")
        if of_application:
            row["is_literal"] = php_true(body.get("is_literal"))
        elif body.get("is_literal") is not None:
            row["is_literal"] = php_true(body["is_literal"])
        for name in ("is_multiline", "is_shown_once"):
            given = body.get(name)
            if given is not None:
                row[name] = php_true(given)
            elif row[name] and of_application:
                # It is set to NULL in a column that does not take NULL; nothing of this row is saved.
                raise refuse(500, "Server Error")
        for name in ("is_runtime", "is_buildtime", "comment"):
            if name in body and name in self.context.profile.env_fields:
                row[name] = body[name] if name == "comment" else php_true(body[name])
        self.state.touch(row)

    def _change(self, row: Row, body: Body, *, of_application: bool) -> None:
        trial = dict(row)
        self._overwrite(trial, body, of_application=of_application)
        row.update(trial)

    async def create(self, request: web.Request) -> web.Response:
        """One new row, with its preview copy."""
        owner, of_application = self._owner(request)
        body = await inputs(request)
        self._check(body, strict=of_application)
        if self.state.env(owner, self._key(body), php_true(body.get("is_preview"))) is not None:
            raise refuse(409, _EXISTS)
        row = self._create(owner, body, of_application=of_application)
        self.state.save()
        return reply({"uuid": row["uuid"]} if of_application else self.public(row, request), 201)

    async def update(self, request: web.Request) -> web.Response:
        """Overwrites the first row with this key."""
        owner, of_application = self._owner(request)
        body = await json_inputs(request)
        self._check(body, strict=of_application)
        row = self.state.env(owner, self._key(body), of_application and php_true(body.get("is_preview")))
        if row is None:
            raise refuse(404, _MISSING)
        self._change(row, body, of_application=of_application)
        self.state.save()
        return reply(self.public(row, request), 201)

    async def update_many(self, request: web.Request) -> web.Response:
        """Creates or overwrites one after the other; what was saved before an error stays."""
        owner, of_application = self._owner(request)
        body = await json_inputs(request)
        items = body.get("data")
        if not items or not isinstance(items, list):
            raise refuse(400, "Bulk data is required.")
        changed = []
        for item in items:
            if not isinstance(item, dict):
                raise refuse(500, "Server Error")
            self._check(item, strict=False)
            row = self.state.env(owner, self._key(item), of_application and php_true(item.get("is_preview")))
            if row is None:
                row = self._create(owner, item, of_application=of_application)
            else:
                self._change(row, item, of_application=of_application)
            self.state.save()
            changed.append(row)
        return reply([self.public(row, request) for row in changed], 201)

    async def delete(self, request: web.Request) -> web.Response:
        """Removes one row; a preview copy stays."""
        owner, _ = self._owner(request)
        row = self.state.data["envs"].get(request.match_info["env"])
        if row is None or row["owner"] != owner:
            raise refuse(404, _MISSING)
        del self.state.data["envs"][row["uuid"]]
        self.state.save()
        return reply({"message": "Environment variable deleted."})
