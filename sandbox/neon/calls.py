# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request as the handlers see it, and the guard around all of them: tokens, rate limit, error bodies."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.neon.errors import NeonError, invalid, no_route, told
from sandbox.neon.state import Project, Record
from sandbox.web import TOKEN_NAME

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

logger = logging.getLogger("sandbox.neon")

Answer = tuple[int, Any]
Handle = Callable[["Call"], Awaitable[Answer]]
_PROJECT_ID = re.compile(r"[a-z0-9-]{1,60}")


class Call:
    """A request with its key, its project and its checked parts."""

    def __init__(self, service: NeonService, request: web.Request, key: Record, body: Any) -> None:
        self.service = service
        self.key = key
        self._request = request
        self._body = body
        self._project: Project | None = None

    @property
    def project(self) -> Project:
        """The project in the path, if the key may see it. Raises `NeonError` 404."""
        if self._project is None:
            project_id = self.path("project_id")
            if not _PROJECT_ID.fullmatch(project_id):
                raise no_route()
            allow_project(self.key, project_id)
            self._project = self.service.state.project(project_id)
        return self._project

    def path(self, name: str) -> str:
        """A part of the path, percent-decoded."""
        return self._request.match_info[name]

    @property
    def request_parts(self) -> frozenset[str]:
        """The names of the variable parts of the path."""
        return frozenset(self._request.match_info)

    @property
    def branch(self) -> Record:
        """The branch in the path. Raises `NeonError` 404."""
        return self.project.branch(self.path("branch_id"))

    def query(self, name: str) -> str | None:
        """A query parameter; an empty one counts as absent."""
        return self._request.query.get(name) or None

    def required(self, name: str) -> str:
        """A query parameter that must be there. Raises `NeonError` 400."""
        value = self.query(name)
        if value is None:
            raise invalid(f"{name} is required")
        return value

    def flag(self, name: str) -> bool:
        """A boolean query parameter."""
        value = (self.query(name) or "false").lower()
        if value not in ("true", "false", "1", "0"):
            raise invalid(f"{name} must be a boolean")
        return value in ("true", "1")

    def limit(self, most: int) -> int:
        """The page size asked for, else the default. Raises `NeonError` 400 outside 1..`most`."""
        text = self.query("limit")
        if text is None:
            return self.service.settings.page_size_default
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise invalid(f"limit must be between 1 and {most}")
        return min(int(text), self.service.settings.page_size_max)

    @property
    def body(self) -> Record:
        """The JSON object of the body; empty when there was none. Raises `NeonError` 400."""
        if self._body is None:
            return {}
        if not isinstance(self._body, dict):
            raise invalid("request body must be a JSON object")
        return self._body

    def part(self, name: str, *, required: bool = False) -> Record:
        """The object under `name` in the body. Raises `NeonError` 400."""
        value = self.body.get(name)
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            raise invalid(f"{name} must be an object")
        return value


def allow_project(key: Record, project_id: str) -> None:
    """Lets a project-scoped key reach its own project only. Raises `NeonError` 404, as the real API does."""
    if key["project_id"] is not None and key["project_id"] != project_id:
        raise NeonError(
            404,
            told(
                "not allowed to perform actions outside the project this key is scoped to",
                subject_project_id=key["project_id"],
            ),
        )


def text_of(values: Record, name: str) -> str | None:
    """A text in a body; absent, null and empty are the same. Raises `NeonError` 400 for another type."""
    value = values.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    return value


def flag_of(values: Record, name: str) -> bool | None:
    """A boolean in a body, None when absent. Raises `NeonError` 400 for another type."""
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(f"{name} must be a boolean")
    return value


class Guard:
    """What stands before every handler."""

    def __init__(self, service: NeonService) -> None:
        self.service = service
        self._minute: deque[float] = deque()
        self._second: defaultdict[str, deque[float]] = defaultdict(deque)

    def wrap(self, handle: Handle, *, write: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """`handle` as an aiohttp handler."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            request_id = request.headers.get("X-Request-ID") or str(uuid.uuid4())
            try:
                status, body = await self._serve(request, handle, write=write)
            except NeonError as error:
                return web.json_response(error.body(request_id), status=error.status)
            except Exception:
                logger.exception("%s %s failed", request.method, request.path)
                return web.json_response(NeonError(500, "internal error").body(request_id), status=500)
            return web.json_response(body, status=status) if body is not None else web.Response(status=status)

        return guarded

    async def _serve(self, request: web.Request, handle: Handle, *, write: bool) -> Answer:
        key = self._key(request)
        self._count(f"{request.method} {request.match_info.route.resource}")
        call = Call(self.service, request, key, await _json(request))
        if not write or "project_id" not in call.request_parts:
            return await handle(call)
        # Two writes that both found the project free must not both schedule.
        async with self.service.writing(call.project):
            return await handle(call)

    def _key(self, request: web.Request) -> Record:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode()).hexdigest()
        for key in self.service.state.keys.values():
            if scheme.lower() == "bearer" and key["sha256"] == digest and not key["revoked"]:
                request[TOKEN_NAME] = key["name"]
                return key
        raise NeonError(401, "supplied credentials do not pass authentication")

    def _count(self, route: str) -> None:
        now = time.monotonic()
        settings = self.service.settings
        windows = (
            (self._minute, 60.0, settings.requests_per_minute),
            (self._second[route], 1.0, settings.burst_per_second),
        )
        for seen, seconds, most in windows:
            while seen and seen[0] <= now - seconds:
                seen.popleft()
            if len(seen) >= most:
                raise NeonError(429, "too many requests")  # wording unproven
        for seen, _, _ in windows:
            seen.append(now)


async def _json(request: web.Request) -> Any:
    # Not `can_read_body`: the request log has read it before.
    raw = await request.read()
    if not raw.strip():
        return None
    try:
        # Not request.json(): it would decode with whatever charset the request names.
        body = json.loads(raw, parse_constant=_refuse)
        # Half of a pair of surrogates can be read but neither answered nor stored as a name.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise invalid("request body is not valid JSON") from None
    return body


def _refuse(constant: str) -> None:
    raise ValueError(constant)
