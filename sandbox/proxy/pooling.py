# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transaction pooling: a client has a server connection only while a transaction is open.

Behaves like PgBouncer in transaction mode, which Neon uses: a SET outlives the transaction on the server
connection that happened to run it, a few parameters are kept per client (``TRACKED``), and statements that were
prepared through the protocol work on whichever connection a client gets.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.proxy.messages import Refused, error_text, frame, parse_parameter_status
from sandbox.proxy.scram import Secret
from sandbox.proxy.streams import Server, connect

TRACKED = ("client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "application_name")
IGNORED = ("extra_float_digits", "options")
"""Start-up parameters that clients send by habit and that are dropped (Neon's ``ignore_startup_parameters``)."""
WAIT_SECONDS = 120.0
IDLE_SECONDS = 60.0
_NOBODY = b"rewind_no_such_statement"


@dataclass
class _Idle:
    server: Server
    watch: asyncio.Task[None]
    timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Nobody watches it any more."""
        self.watch.cancel()
        if self.timer:
            self.timer.cancel()


class Pool:
    """The server connections of one role to one database of one compute."""

    def __init__(
        self,
        port: int,
        parameters: Mapping[str, str],
        secret: Secret,
        context: ssl.SSLContext | None,
        size: int,
    ) -> None:
        self._port, self._parameters = port, parameters
        self.secret = secret
        """Of the client that logged in last: a role's password may be changed in SQL."""
        self._context, self._size = context, size
        self._idle: list[_Idle] = []
        self._busy: set[Server] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> Server:
        """A connection for one transaction; waits while all are in use.

        Raises `Refused` after two minutes, OSError and `ServerRefused` when the server cannot be reached.
        """
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            while self._idle:
                idle = self._idle.pop()  # the one used last: the others may then time out
                self._busy.add(idle.server)
                if await self._take(idle):
                    return idle.server
            if len(self._busy) + self._opening < self._size:
                return await self._open()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                async with asyncio.timeout_at(deadline):
                    await turn
            except TimeoutError:
                raise Refused("query_wait_timeout", "08P01") from None
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif turn.cancelled():
                    self._wake()

    async def _take(self, idle: _Idle) -> bool:
        idle.end()
        try:
            await asyncio.wait({idle.watch})
        except asyncio.CancelledError:
            self.release(idle.server, usable=False)
            raise
        if not idle.watch.cancelled():  # something came in or the connection is gone
            self.release(idle.server, usable=False)
            return False
        return True

    async def _open(self) -> Server:
        self._opening += 1
        try:
            server = await connect(self._port, self._parameters, self.secret, self._context)
        except BaseException:
            self._opening -= 1
            self._wake()
            raise
        self._opening -= 1
        self._busy.add(server)
        return server

    def release(self, server: Server, *, usable: bool) -> None:
        """Gives a connection back; one that is not `usable` (in a transaction, broken) is closed."""
        self._busy.discard(server)
        if usable:
            idle = _Idle(server, asyncio.create_task(server.stream.frames.disturbed()))
            idle.timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, idle)
            self._idle.append(idle)
        else:
            server.stream.abort()
        self._wake()

    def _expire(self, idle: _Idle) -> None:
        if idle in self._idle:
            self._idle.remove(idle)
            idle.end()
            idle.server.stream.close()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def close(self) -> None:
        """Closes every connection, also those in use."""
        for idle in self._idle:
            idle.end()
            idle.server.stream.abort()
        for server in self._busy:
            server.stream.abort()
        self._idle.clear()


@dataclass
class Expected:
    """An answer that the server still owes, in order. Only these kinds must be told apart."""

    kind: str
    """``parse``, ``close``, ``sync``, ``query``."""
    action: str = "forward"
    """``forward``; ``swallow``: the client did not ask; ``as_parse``: it asked to prepare what was prepared."""
    name: bytes = b""


@dataclass
class Conversation:
    """What one client and one server owe each other during a transaction: all the rewriting is here.

    `to_server` takes the client's frames and `to_client` the server's; both return what to pass on.
    """

    server: Server
    statements: dict[bytes, bytes]
    """The client's prepared statements: its name for each -> the rest of its Parse message."""
    variables: dict[str, str]
    """The client's own values of the tracked parameters."""
    owed: deque[Expected] = field(default_factory=deque)
    open_batch: bool = False
    """Extended-protocol messages were sent and no Sync after them."""
    failed: bool = False
    """The server skips everything up to the next Sync."""
    copying: bool = False
    status: bytes = b"I"

    @property
    def over(self) -> bool:
        """Whether the server connection can be given to someone else."""
        return not self.owed and not self.open_batch and self.status == b"I"

    def to_server(self, kind: bytes, raw: bytes) -> bytes:
        """What to send for one frame of the client."""
        if kind in b"QF":
            self.owed.append(Expected("query"))
        elif kind == b"S":
            self.open_batch = self.failed = False
            if not self.copying:  # while copying the server ignores it
                self.owed.append(Expected("sync"))
        elif kind in b"PBDEC":
            self.open_batch = True
            return self._extended(kind, raw)
        elif kind in b"cf" and self.copying:
            self.copying = False
            # After the extended protocol's COPY the client sends the Sync that counts.
            self.open_batch = not (self.owed and self.owed[0].kind == "query")
        return raw

    def _extended(self, kind: bytes, raw: bytes) -> bytes:
        payload = raw[5:]
        if kind == b"P":
            name, _, rest = payload.partition(b"\0")
            if not name:
                self._owe("parse")
                return raw
            self.statements[name] = rest
            return self._prepare(rest, asked=True)
        if kind == b"B":
            portal, name, rest = payload.split(b"\0", 2)
            if name not in self.statements:
                return raw
            return self._prepare(self.statements[name]) + frame(
                b"B", portal + b"\0" + global_name(self.statements[name]) + b"\0" + rest
            )
        if kind == b"D" and payload[:1] == b"S" and payload[1:-1] in self.statements:
            text = self.statements[payload[1:-1]]
            return self._prepare(text) + frame(b"D", b"S" + global_name(text) + b"\0")
        if kind == b"C":
            self._owe("close")
            if payload[:1] == b"S" and self.statements.pop(payload[1:-1], None) is not None:
                # It stays for others on the server; closing what is not there is answered the same.
                return frame(b"C", b"S" + _NOBODY + b"\0")
        return raw

    def _prepare(self, text: bytes, *, asked: bool = False) -> bytes:
        name = global_name(text)
        if name in self.server.prepared:
            if not asked:
                return b""
            self._owe("close", "as_parse")
            return frame(b"C", b"S" + _NOBODY + b"\0")
        if not self.failed:
            self.server.prepared.add(name)
        self._owe("parse", "forward" if asked else "swallow", name)
        return frame(b"P", name + b"\0" + text)

    def _owe(self, kind: str, action: str = "forward", name: bytes = b"") -> None:
        if not self.failed:
            self.owed.append(Expected(kind, action, name))

    def to_client(self, kind: bytes, raw: bytes) -> bytes:
        """What to send for one frame of the server."""
        if kind in b"13":
            return self._answered(raw)
        if kind == b"Z":
            self.status = raw[5:6]
            while self.owed and self.owed[0].kind not in ("sync", "query"):
                self.owed.popleft()
            if self.owed:
                self.owed.popleft()
        elif kind == b"E":
            self._failed()
        elif kind == b"G":
            self.copying = True
            if not (self.owed and self.owed[0].kind == "query"):
                # Every Sync that was sent with the statement is ignored by the server.
                self.owed = deque(entry for entry in self.owed if entry.kind != "sync")
                self.open_batch = True
        elif kind == b"S":
            name, value = parse_parameter_status(raw[5:])
            self.server.parameters[name] = value
            if name in TRACKED:
                self.variables[name] = value
        elif kind == b"C" and raw[5:-1] in (b"DEALLOCATE ALL", b"DISCARD ALL"):
            self.server.prepared.clear()
            self.statements.clear()
        return raw

    def _answered(self, raw: bytes) -> bytes:
        entry = self.owed.popleft() if self.owed else Expected("parse")
        if entry.action == "swallow":
            return b""
        return frame(b"1") if entry.action == "as_parse" else raw

    def _failed(self) -> None:
        self.copying = False
        while self.owed and self.owed[0].kind not in ("sync", "query"):
            self.server.prepared.discard(self.owed.popleft().name)
        self.failed = self.open_batch and not self.owed


def global_name(text: bytes) -> bytes:
    """One name per statement text, the same for all clients."""
    return b"rewind_" + hashlib.sha256(text).hexdigest()[:24].encode()


async def take_over(server: Server, variables: dict[str, str]) -> None:
    """Gives the server connection a client's own values of the tracked parameters. Raises `Refused`."""
    wanted = {name: value for name, value in variables.items() if server.parameters.get(name) != value}
    if not wanted:
        return
    statement = "; ".join(f"SET {name} = {_quoted(value)}" for name, value in wanted.items())
    await server.stream.send(frame(b"Q", statement.encode() + b"\0"))
    problem = ""
    while True:
        kind, payload = await server.stream.frames.one()
        if kind == b"S":
            name, value = parse_parameter_status(payload)
            server.parameters[name] = value
        elif kind == b"E":
            problem = error_text(payload)
        elif kind == b"Z":
            break
    if problem:
        raise Refused(problem, "22023")
    # The server spells some values in its own way; from now on so does the client's copy.
    variables.update({name: server.parameters[name] for name in wanted if name in server.parameters})


def _quoted(value: str) -> str:
    # Read the same whatever standard_conforming_strings says.
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
