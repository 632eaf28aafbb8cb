# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every HTTP service of the sandbox has in common: the request log, injected faults, latency.

A service's own middlewares (tokens, error bodies) run inside of these, so that a fault hits as a broken
network or gateway would: whatever the token. A service tells the log whose token it was by
``request[TOKEN_NAME] = ...``.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from aiohttp import hdrs, web

from sandbox.clock import rfc3339

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from sandbox.world import World

ServiceName = Literal["neon", "coolify", "control"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Effect = Literal[
    "status",
    "status_after",
    "drop_before",
    "drop_after",
    "malformed",
    "truncated",
    "slow",
    "hang",
    "hang_after",
]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
FAULTY = ("*", "neon", "coolify")
"""What a fault may be about; the control API itself never fails."""

TOKEN_NAME: web.RequestKey[str] = web.RequestKey("token_name", str)
_FAULT: web.RequestKey[str] = web.RequestKey("fault", str)
_DROPPED: web.RequestKey[bool] = web.RequestKey("dropped", bool)

_SECRET_KEYS = re.compile(
    r"(?i)^(value|real_value|uri|.*(password|passwd|secret|token|api_?key|connection_(string|uri)).*)$"
)
_SECRET_TEXT = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@")


def without_secrets(value: Any) -> Any:
    """A copy of plain JSON with every secret string replaced by ``***`` (absent, null and other types stay)."""
    if isinstance(value, dict):
        return {
            key: "***" if isinstance(inner, str) and inner and _SECRET_KEYS.match(key) else without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    if isinstance(value, str):
        return _SECRET_TEXT.sub(r"\1:***@", value)
    return value


class RequestLog:
    """Every request that reached a service, oldest first, the newest `keep`."""

    def __init__(self, keep: int = 50000) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=keep)
        self._number = 0

    @property
    def last(self) -> int:
        """The number of the newest entry (0 when there was none); numbers are never used twice."""
        return self._number

    def add(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Numbers `entry` and keeps it; it may be completed in place afterwards."""
        self._number += 1
        entry["seq"] = self._number
        self._entries.append(entry)
        return entry

    def since(self, number: int, service: str | None = None) -> list[dict[str, Any]]:
        """The entries after `number`, of one service or of all."""
        return [e for e in self._entries if e["seq"] > number and service in (None, e["service"])]

    def clear(self) -> int:
        """Forgets all entries and says how many there were."""
        count = len(self._entries)
        self._entries.clear()
        return count


@dataclass
class Fault:
    """Something that goes wrong with requests that match.

    `count` requests are hit (0: all of them) after `skip` matching ones were let through. Effects:
    ``status`` answers `status`, `body`, `headers` and does nothing else; ``status_after`` does the work first;
    ``drop_before`` and ``drop_after`` close the connection without an answer, before or after the work;
    ``malformed`` does the work and breaks the JSON of the answer; ``truncated`` ends the answer halfway;
    ``slow`` spreads the answer's body over `seconds`; ``hang`` and ``hang_after`` give no answer for `seconds`.
    `hits` counts from when a request came; `hanging` are those that are held now, ``hang_after`` with its work done.
    """

    id: str
    service: str
    method: str
    path: str
    effect: Effect
    count: int = 1
    skip: int = 0
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 5.0
    hits: int = 0
    hanging: int = 0
    _expression: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._expression = re.compile(self.path)

    @property
    def spent(self) -> bool:
        """Whether it will never hit again."""
        return self.count > 0 and self.hits >= self.count

    def matches(self, service: str, method: str, path: str) -> bool:
        """Whether this request is one of its kind (nothing is counted)."""
        return (
            self.service in ("*", service)
            and self.method.upper() in ("*", method)
            and self._expression.search(path) is not None
        )

    def public(self) -> dict[str, Any]:
        """As the control API shows it."""
        names = [known.name for known in fields(self) if known.init]
        return {name: getattr(self, name) for name in names} | {"spent": self.spent}


class Faults:
    """The faults that are registered, in order; the first that matches hits."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._number = 0

    def add(
        self,
        *,
        service: str = "*",
        method: str = "*",
        path: str = "",
        effect: str,
        count: int = 1,
        skip: int = 0,
        status: int = 500,
        body: Any = None,
        headers: dict[str, str] | None = None,
        seconds: float = 5.0,
    ) -> Fault:
        """Registers a fault. Raises ValueError for anything that could not hit or could not be sent."""
        known = next((name for name in EFFECTS if name == effect), None)
        if known is None:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}, not {effect!r}")
        _check_match(service, method, path)
        _check_number("count", count)
        _check_number("skip", skip)
        _check_number("status", status, least=200, most=599)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds must be a number of zero or more, not {seconds!r}")
        _check_answer(body, headers)
        self._number += 1
        try:
            fault = Fault(
                f"fault-{self._number}", service, method, path, known, count, skip, status, body, headers or {}, seconds
            )
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None
        self._faults[fault.id] = fault
        return fault

    def list(self) -> list[Fault]:
        """All of them, also the spent ones."""
        return list(self._faults.values())

    def remove(self, fault_id: str | None = None) -> int:
        """Removes one (or all) and says how many that were."""
        gone = [key for key in self._faults if fault_id in (None, key)]
        for key in gone:
            del self._faults[key]
        return len(gone)

    def take(self, service: str, method: str, path: str) -> Fault | None:
        """The fault that hits this request, if any; counts."""
        for fault in self._faults.values():
            if fault.spent or not fault.matches(service, method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.hits += 1
            return fault
        return None


def _check_match(service: Any, method: Any, path: Any) -> None:
    if service not in FAULTY:
        raise ValueError(f"service must be one of {', '.join(FAULTY)}, not {service!r}")
    if not isinstance(method, str) or method.upper() not in ("*", *hdrs.METH_ALL):
        raise ValueError(f"method must be * or a method of HTTP, not {method!r}")
    if not isinstance(path, str):
        raise ValueError(f"path must be a regular expression, not {path!r}")


def _check_number(name: str, value: Any, *, least: int = 0, most: int = 2**31) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def _check_answer(body: Any, headers: Any) -> None:
    """What would break the answer that the fault gives, not the request that registers it."""
    if isinstance(body, str):
        body.encode()
    if headers is None:
        return
    if not isinstance(headers, dict):
        raise ValueError(f"headers must be an object, not {headers!r}")
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not isinstance(value, str):
            raise ValueError(f"headers must map names to texts, not {name!r} to {value!r}")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ValueError(f"the header {name} cannot hold {value!r}")


def make_application(
    *,
    service: ServiceName,
    world: World,
    routes: Iterable[web.AbstractRouteDef] = (),
    middlewares: Sequence[Middleware] = (),
) -> web.Application:
    """An application with the log, latency and fault middlewares outside and the service's own inside."""
    outer: list[Middleware] = []
    if service != "control":
        outer = [_log(service, world), _latency(service, world), _fault(service, world)]
    application = web.Application(middlewares=[*outer, *middlewares], client_max_size=16 * 1024 * 1024)
    application.add_routes(routes)
    return application


async def _body(request: web.Request) -> Any:
    if not request.can_read_body:
        return None
    raw = await request.read()
    if not raw:
        return None
    try:
        return without_secrets(json.loads(raw))
    except (ValueError, RecursionError):
        return {"not_json": len(raw)}


def _log(service: ServiceName, world: World) -> Middleware:
    @web.middleware
    async def log(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        entry = world.log.add(
            {
                "at": rfc3339(datetime.now(UTC)),
                "service": service,
                "method": request.method,
                "path": request.path,
                "query": without_secrets({key: request.query.getall(key) for key in request.query}),
                "body": await _body(request),
                "status": None,
                "token": None,
                "fault": None,
                "elapsed": None,
            }
        )
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            entry["status"] = answer.status
            raise
        else:
            entry["status"] = None if request.get(_DROPPED) else response.status
            return response
        finally:
            entry["token"] = request.get(TOKEN_NAME)
            entry["fault"] = request.get(_FAULT)
            entry["elapsed"] = round(time.monotonic() - started, 6)

    return log


def _latency(service: ServiceName, world: World) -> Middleware:
    @web.middleware
    async def latency(request: web.Request, handler: Handler) -> web.StreamResponse:
        if seconds := world.settings.latency.get(service, 0.0):
            await asyncio.sleep(seconds)
        return await handler(request)

    return latency


def _fault(service: ServiceName, world: World) -> Middleware:
    @web.middleware
    async def fault(request: web.Request, handler: Handler) -> web.StreamResponse:
        hit = world.faults.take(service, request.method, request.path)
        if hit is None:
            return await handler(request)
        request[_FAULT] = hit.id
        if hit.effect == "status":
            return _answer(hit)
        if hit.effect == "drop_before":
            return _drop(request)
        if hit.effect == "hang":
            return await _hang(request, hit)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.text, content_type=error.content_type)
        if hit.effect == "status_after":
            return _answer(hit)
        if hit.effect == "drop_after":
            return _drop(request)
        if hit.effect == "hang_after":
            return await _hang(request, hit)
        return await _spoil(request, response, hit)

    return fault


def _answer(hit: Fault) -> web.Response:
    if isinstance(hit.body, str):
        headers = {"Content-Type": "text/html; charset=utf-8"} | hit.headers
        return web.Response(status=hit.status, body=hit.body.encode(), headers=headers)
    body = {"message": "injected fault"} if hit.body is None else hit.body
    return web.json_response(body, status=hit.status, headers=hit.headers)


def _drop(request: web.Request) -> web.StreamResponse:
    request[_DROPPED] = True
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _hang(request: web.Request, hit: Fault) -> web.StreamResponse:
    end = time.monotonic() + hit.seconds
    hit.hanging += 1
    try:
        while time.monotonic() < end and request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(min(0.1, hit.seconds))
    finally:
        hit.hanging -= 1
    return _drop(request)


async def _spoil(request: web.Request, response: web.StreamResponse, hit: Fault) -> web.StreamResponse:
    raw = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
    raw = raw or b"{}"
    if hit.effect == "malformed":
        # What a gateway leaves of an answer that it cut: half of it, with a length that is right.
        return web.Response(
            status=response.status, body=raw[: max(1, len(raw) // 2)] + b"\x00<", content_type="application/json"
        )
    stream = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    stream.content_length = max(2, len(raw))
    await stream.prepare(request)
    if hit.effect == "truncated":
        await stream.write(raw[: max(1, len(raw) // 2)])
        request[_DROPPED] = True
        if request.transport is not None:
            request.transport.close()
        return stream
    step = max(1, -(-len(raw) // 10))
    starts = range(0, len(raw), step)
    for start in starts:
        # Before the piece: a client has the whole answer with the last one and waits for nothing after it.
        await asyncio.sleep(hit.seconds / len(starts))
        await stream.write(raw[start : start + step])
    await stream.write_eof()
    return stream
