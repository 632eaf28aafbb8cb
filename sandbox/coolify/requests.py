# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as Laravel hands them to Coolify's controllers, and the answers."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

Body = dict[str, Any]


class Answer(Exception):
    """Ends a handler with this status and body."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """As a response."""
        return web.json_response(self.body, status=self.status, headers=self.headers)


def refuse(status: int, message: str, **more: Any) -> Answer:
    """``{"message": ...}`` and whatever else belongs to it."""
    return Answer(status, {"message": message, **more})


def not_found_route() -> Answer:
    """What every unknown path below ``/api`` answers."""
    return refuse(404, "Not found.", docs="https://coolify.io/docs")


def invalid(errors: Mapping[str, list[str]]) -> Answer:
    """422 with the messages per field."""
    return refuse(422, "Validation failed.", errors=dict(errors))


def reply(body: Any, status: int = 200) -> web.Response:
    """JSON with a status."""
    return web.json_response(body, status=status)


def _clean(value: Any) -> Any:
    """TrimStrings and ConvertEmptyStringsToNull, which Laravel applies to all input."""
    if isinstance(value, str):
        return value.strip(" \t\n\r\0\x0b") or None
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    return value


def is_json(request: web.Request) -> bool:
    """Laravel's isJson()."""
    kind = request.headers.get("Content-Type", "").lower()
    return "/json" in kind or "+json" in kind


async def inputs(request: web.Request) -> Body:
    """Query and body as one; the body wins. A body that cannot be read counts as empty."""
    merged: Body = dict(request.query)
    if is_json(request):
        try:
            body = json.loads(await request.read() or b"{}")
        except (ValueError, RecursionError):
            body = {}
        if isinstance(body, dict):
            merged |= body
    elif request.can_read_body:
        with contextlib.suppress(ValueError, LookupError):  # a form that cannot be read is an empty one
            merged |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    cleaned: Body = _clean(merged)
    return cleaned


async def json_inputs(request: web.Request) -> Body:
    """The same for actions that insist on a JSON body that is not empty (validateIncomingRequest)."""
    if not is_json(request):
        raise refuse(400, "Invalid request.", error="Content-Type must be application/json.")
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    # PHP counts [], 0, "" and null as false here, but not {}.
    if not body and body != {}:
        raise refuse(400, "Invalid request.", error="Invalid JSON.")
    if body == {}:
        raise refuse(400, "Invalid request.", error="Empty JSON.")
    return await inputs(request)


def wants_json(request: web.Request) -> bool:
    """Whether Laravel would answer a failure of its own as JSON: only when asked for it by name."""
    return "json" in request.headers.get("Accept", "").lower()


def php_true(value: Any) -> bool:
    """PHP's cast to bool: every text but "" and "0" is true, "false" included."""
    return value not in (None, "", "0", 0, False, [])


def laravel_true(value: Any) -> bool:
    """Laravel's boolean(): "1", "true", "on" and "yes"."""
    return value in (True, 1) or str(value).lower() in ("1", "true", "on", "yes")


def check_types(body: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, list[str]]:
    """Laravel's rules ``string``, ``boolean``, ``integer``, ``array`` on the fields that are present; null passes."""
    errors: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        value = body.get(name)
        if value is None:
            continue
        label = name.replace("_", " ")
        if kind == "string" and not isinstance(value, str):
            errors[name] = [f"The {label} field must be a string."]
        elif kind == "boolean" and value not in (True, False, 0, 1, "0", "1"):
            errors[name] = [f"The {label} field must be true or false."]
        elif kind == "integer" and not _is_integer(value):
            errors[name] = [f"The {label} field must be an integer."]
        elif kind == "array" and not isinstance(value, (list, dict)):
            errors[name] = [f"The {label} field must be an array."]
    return errors


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or is_number(value)


def is_number(value: Any) -> bool:
    """Whether a text is a whole number of PHP's: ASCII digits, no more than 64 bits hold."""
    return isinstance(value, str) and re.fullmatch("[+-]?[0-9]{1,18}", value) is not None
