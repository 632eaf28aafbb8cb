# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stable address of an application: a small reverse proxy whose target changes at a swap."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

# Hop-by-hop headers, and those that the two HTTP libraries set themselves.
_NOT_PASSED_ON = {
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_REQUEST_SECONDS = 60.0


@dataclass
class _Target:
    port: int
    session: aiohttp.ClientSession
    in_flight: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Address:
    """Listens on one loopback port for as long as the application exists."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._target: _Target | None = None
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """What users open."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens. Answers 503 until it points somewhere. Raises OSError when the port is taken."""
        runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.2)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Stops listening."""
        await self.point_to(None, drain=0.0)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def point_to(self, port: int | None, *, drain: float) -> None:
        """Sends new requests to `port` (None: nowhere), then waits up to `drain` s for those on the old one."""
        old = self._target
        if port is None:
            self._target = None
        else:
            self._target = _Target(port, aiohttp.ClientSession(auto_decompress=False))
        if old is None:
            return
        if old.in_flight:
            old.idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(old.idle.wait(), drain)
        await old.session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        target = self._target
        if target is None:
            return web.Response(status=503, text="no available server\n")
        target.in_flight += 1
        try:
            return await self._pass_on(request, body, target)
        except (aiohttp.ClientError, OSError):
            return web.Response(status=502, text="Bad Gateway\n")
        except TimeoutError:
            return web.Response(status=504, text="Gateway Timeout\n")
        finally:
            target.in_flight -= 1
            if not target.in_flight:
                target.idle.set()

    async def _pass_on(self, request: web.BaseRequest, body: bytes, target: _Target) -> web.Response:
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _NOT_PASSED_ON)
        headers["X-Forwarded-For"] = request.remote or ""
        async with target.session.request(
            request.method,
            URL(f"http://127.0.0.1:{target.port}{request.raw_path}", encoded=True),
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
        ) as answer:
            content = await answer.read()
            passed = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in _NOT_PASSED_ON)
            if encoding := answer.headers.get("Content-Encoding"):
                passed["Content-Encoding"] = encoding
            return web.Response(status=answer.status, headers=passed, body=content)
