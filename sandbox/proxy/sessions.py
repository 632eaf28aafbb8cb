# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that has logged in: passed through to its own server connection, or pooled."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping

from sandbox.proxy.messages import (
    ProtocolError,
    Refused,
    Startup,
    authentication,
    error,
    frame,
    parameter_status,
    ready,
)
from sandbox.proxy.pooling import IGNORED, TRACKED, Conversation, Pool, take_over
from sandbox.proxy.routing import Route
from sandbox.proxy.streams import Server, ServerRefused, Stream

GONE = "terminating connection due to administrator command"
NO_SERVER = "Couldn't connect to compute node"
"""Neon's words when the compute behind cannot be reached."""


class Session(ABC):
    """One client. `number` and `secret` are what it must show to cancel its statement."""

    def __init__(self, client: Stream, route: Route, number: int, secret: int) -> None:
        self.client = client
        self.route = route
        self.number = number
        self.secret = secret

    @abstractmethod
    async def run(self) -> None:
        """Serves the client until one side ends it. Raises `Refused` for what the client must still be told."""

    @abstractmethod
    def server(self) -> Server | None:
        """The server connection that works for the client now."""

    @abstractmethod
    def end(self) -> None:
        """Ends the session from this side, at once."""

    def _greeting(self, parameters: Mapping[str, str], notices: bytes = b"") -> bytes:
        statuses = b"".join(parameter_status(name, value) for name, value in parameters.items())
        key = frame(b"K", struct.pack("!II", self.number, self.secret))
        return authentication(0) + statuses + notices + key + ready()


class DirectSession(Session):
    """Bytes go through as they are."""

    def __init__(self, client: Stream, route: Route, server: Server, secret: int) -> None:
        super().__init__(client, route, server.pid, secret)
        self._server = server

    def server(self) -> Server:
        """Its own connection."""
        return self._server

    async def run(self) -> None:
        """Ends when either side closes."""
        upstream, client = self._server.stream, self.client
        pumps: list[asyncio.Task[None]] = []
        try:
            await client.send(self._greeting(self._server.parameters, self._server.notices))
            pumps = [asyncio.create_task(_pump(client, upstream)), asyncio.create_task(_pump(upstream, client))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            upstream.close()
            await asyncio.gather(*pumps, return_exceptions=True)

    def end(self) -> None:
        """Without a word: the server may be in the middle of one."""
        self._server.stream.abort()
        self.client.abort()


async def _pump(source: Stream, target: Stream) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.frames.chunk():
            await target.send(chunk)


class PooledSession(Session):
    """Has a server connection only while a transaction is open."""

    def __init__(self, client: Stream, route: Route, pool: Pool, startup: Startup, number: int, secret: int) -> None:
        """Raises `Refused` for start-up parameters that a pooled connection cannot have."""
        super().__init__(client, route, number, secret)
        self._pool = pool
        self._wanted = _tracked(startup)
        self._variables: dict[str, str] = {}
        self._statements: dict[bytes, bytes] = {}
        self._conversation: Conversation | None = None
        self._down: asyncio.Task[None] | None = None

    def server(self) -> Server | None:
        """The connection of the transaction that is open, if one is."""
        return self._conversation.server if self._conversation else None

    async def run(self) -> None:
        """Ends when the client closes, or its server connection breaks while in use."""
        try:
            await self._greet()
            await self._serve()
        except OSError:
            raise Refused(NO_SERVER, "08006") from None
        finally:
            if self._down:
                self._down.cancel()
                await asyncio.gather(self._down, return_exceptions=True)
            self._let_go(usable=False)

    async def _greet(self) -> None:
        # A server connection is needed once: to know that the database exists, and what the server reports.
        server = await self._pool.acquire()
        usable = False
        try:
            self._variables = {name: server.parameters[name] for name in TRACKED if name in server.parameters}
            self._variables |= self._wanted
            await take_over(server, self._variables)
            usable = True
        except EOFError:
            raise Refused(NO_SERVER, "08006") from None
        finally:
            self._pool.release(server, usable=usable)
        await self.client.send(self._greeting({**server.parameters, **self._variables}))

    async def _serve(self) -> None:
        while True:
            try:
                frames = await self.client.frames.some()
            except (EOFError, OSError):
                return
            out = bytearray()
            for kind, raw in frames:
                if kind == b"X":
                    return
                if self._conversation is None:
                    if kind in b"dcf":  # the rest of a COPY that has failed already
                        continue
                    await self._attach()
                assert self._conversation
                out += self._conversation.to_server(kind, raw)
            if self._conversation and out:
                await self._conversation.server.stream.send(bytes(out))

    async def _attach(self) -> None:
        server = await self._pool.acquire()
        try:
            await take_over(server, self._variables)
        except EOFError:
            self._pool.release(server, usable=False)
            raise Refused(NO_SERVER, "08006") from None
        except BaseException:
            self._pool.release(server, usable=False)
            raise
        self._conversation = Conversation(server, self._statements, self._variables)
        self._down = asyncio.create_task(self._answer(self._conversation))

    async def _answer(self, conversation: Conversation) -> None:
        try:
            while True:
                frames = await conversation.server.stream.frames.some()
                self.client.writer.write(b"".join(conversation.to_client(kind, raw) for kind, raw in frames))
                if conversation.over:
                    self._let_go(usable=True)
                    await self.client.writer.drain()
                    return
                await self.client.writer.drain()
        except (EOFError, OSError, ProtocolError):
            # What the server said last is on its way to the client; there is nothing to go on with.
            self._let_go(usable=False)
            self.client.close()

    def _let_go(self, *, usable: bool) -> None:
        if self._conversation:
            server, self._conversation = self._conversation.server, None
            self._pool.release(server, usable=usable)

    def end(self) -> None:
        """Tells an idle client why; one in a transaction may be in the middle of an answer."""
        if self._conversation is None:
            self.client.writer.write(error(GONE, "57P01"))
        self.client.abort()


def _tracked(startup: Startup) -> dict[str, str]:
    names = {name.lower(): name for name in TRACKED}
    found: dict[str, str] = {}
    for name, value in startup.parameters.items():
        if name in ("user", "database") or name in IGNORED:
            continue
        if name.lower() not in names:
            raise Refused(f"unsupported startup parameter: {name}", "08P01")  # PgBouncer's words
        found[names[name.lower()]] = value
    return found


__all__ = ["DirectSession", "PooledSession", "ServerRefused", "Session"]
