# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one PostgreSQL address of the sandbox: every compute, direct and pooled, behind one port.

A client's TLS ends here, the host name in it says which compute is meant, the client logs in here with SCRAM
(bound to the TLS channel when it likes), and the proxy logs in to the server as the same role.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
import struct
from weakref import WeakKeyDictionary

from sandbox.postgres.engine import Engine
from sandbox.proxy.messages import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    MAXIMUM_STARTUP,
    SSL_REQUEST,
    Frames,
    ProtocolError,
    Refused,
    Startup,
    authentication,
    error,
    negotiate,
    parse_startup,
)
from sandbox.proxy.pooling import Pool
from sandbox.proxy.routing import Address, ProxyBackend, Route, find_address
from sandbox.proxy.scram import BINDING_MECHANISM, MECHANISM, ScramError, ScramServer, Secret
from sandbox.proxy.sessions import NO_SERVER, DirectSession, PooledSession, Session
from sandbox.proxy.streams import Server, ServerRefused, Stream, cancel, connect, stream_of

__all__ = ["Proxy", "ProxyBackend", "Refused", "Route"]

logger = logging.getLogger("sandbox.proxy")

LOGIN_SECONDS = 30.0
_WITHOUT_TLS = "connection is insecure (try using `sslmode=require`)"  # Neon's words
_DIRECT_TLS = b"\x16"  # the first byte of a TLS handshake: sslnegotiation=direct
_TRIES = 3
READ_ONLY = "-c default_transaction_read_only=on"
_STARTING_OR_STOPPING = ("57P01", "57P02", "57P03")


class Proxy:
    """Listens on a loopback port for the clients of all computes."""

    def __init__(self, backend: ProxyBackend, engine: Engine, *, pool_size: int = 20) -> None:
        """`engine` must have been started: its certificates are used. `pool_size` is per role, database and compute."""
        self._backend = backend
        self._pool_size = pool_size
        self._front = engine.certificates.server_context()
        self._front.sni_callback = self._remember_name
        self._back = engine.certificates.backend_context() if engine.backend_tls else None
        self._end_point_hash = engine.certificates.end_point_hash()
        self._names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: dict[tuple[int, int], Session] = {}
        self._serving: dict[Session, asyncio.Task[None]] = {}
        self._pools: dict[tuple[str, int, str, str], Pool] = {}

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self, port: int) -> None:
        """Listens; 0 takes any free port (see `port`). Raises OSError when the port is taken."""
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(200)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listener
        number: int = self._listener.getsockname()[1]
        return number

    async def stop(self) -> None:
        """Closes the port and every session."""
        if self._accepting:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._listener:
            self._listener.close()
        await self._end(list(self._sessions.values()))
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drop(self, key: str) -> None:
        """Closes every session and pooled server connection of a compute, and returns when they are gone."""
        for name in [name for name in self._pools if name[0] == key]:
            self._pools.pop(name).close()
        await self._end([session for session in self._sessions.values() if session.route.key == key])

    async def _end(self, sessions: list[Session]) -> None:
        tasks = [self._serving[session] for session in sessions if session in self._serving]
        for session in sessions:
            session.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def sessions(self, key: str) -> int:
        """How many clients of a compute are logged in."""
        return sum(session.route.key == key for session in self._sessions.values())

    # -- a new connection ----------------------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as reason:  # out of descriptors: existing sessions must go on
                logger.warning("a connection could not be accepted: %s", reason)
                await asyncio.sleep(0.1)
                continue
            connection.setblocking(False)
            task = asyncio.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        stream: Stream | None = None
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                stream = await self._secure(connection)
                startup = await self._startup(stream) if stream else None
            if stream and startup:
                await self._log_in_and_run(stream, startup)
        except (OSError, EOFError, TimeoutError, ProtocolError, struct.error):
            pass  # a client that went away or speaks something else is no business of ours
        except Exception:
            logger.exception("a connection failed")
        finally:
            if stream:
                stream.close()
            else:
                connection.close()

    async def _secure(self, connection: socket.socket) -> Stream | None:
        loop = asyncio.get_running_loop()
        while True:
            if await _peek(connection) == _DIRECT_TLS:
                return await stream_of(connection, self._front, server_side=True)
            # Not a byte more: what follows an SSL request belongs to TLS.
            length, code = struct.unpack("!II", await _receive(connection, 8))
            if code == SSL_REQUEST:
                await loop.sock_sendall(connection, b"S")
                return await stream_of(connection, self._front, server_side=True)
            if code == CANCEL_REQUEST:
                await self._cancel(await _receive(connection, min(length, MAXIMUM_STARTUP) - 8))
                return None
            if code != GSS_REQUEST:
                await _receive(connection, min(length, MAXIMUM_STARTUP) - 8)
                await loop.sock_sendall(connection, error(_WITHOUT_TLS, "08P01", "ERROR"))
                return None
            await loop.sock_sendall(connection, b"N")

    def _remember_name(self, session: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            self._names[session] = name

    async def _startup(self, stream: Stream) -> Startup | None:
        (length,) = struct.unpack("!I", await stream.frames.exactly(4))
        if not 8 <= length <= MAXIMUM_STARTUP:
            raise ProtocolError("invalid length of startup packet")
        payload = await stream.frames.exactly(length - 4)
        if struct.unpack_from("!I", payload) == (CANCEL_REQUEST,):
            await self._cancel(payload[4:])
            return None
        try:
            return parse_startup(payload)
        except ProtocolError as reason:
            await stream.send(error(str(reason), "08P01"))
            return None

    async def _cancel(self, key: bytes) -> None:
        if len(key) == 8 and (session := self._sessions.get(struct.unpack("!II", key))):
            server = session.server()
            if server:
                await cancel(server.port, server.pid, server.secret)

    # -- logging in ----------------------------------------------------------------------------------------------

    async def _log_in_and_run(self, stream: Stream, startup: Startup) -> None:
        try:
            address = find_address(self._server_name(stream), startup.parameters.get("options", ""))
            route = await self._route(address)
            async with asyncio.timeout(LOGIN_SECONDS):
                secret = await self._authenticate(stream, startup, route)
            session = await self._session(stream, startup, address, route, secret)
            await self._run(session)
        except Refused as reason:
            await stream.send(error(str(reason), reason.code, "ERROR"))
        except ServerRefused as reason:
            await stream.send(reason.raw)

    def _server_name(self, stream: Stream) -> str | None:
        return self._names.get(stream.writer.get_extra_info("ssl_object"))

    async def _route(self, address: Address) -> Route:
        return await self._backend.route(host_id=address.host_id, pooled=address.pooled, options=dict(address.travel))

    async def _authenticate(self, stream: Stream, startup: Startup, route: Route) -> Secret:
        scram = ScramServer(await self._backend.secret(route, startup.user), self._end_point_hash)
        offered = f"{BINDING_MECHANISM}\0{MECHANISM}\0\0".encode()
        await stream.send(negotiate(startup) + authentication(10, offered))
        try:
            mechanism, _, rest = (await _password_message(stream.frames)).partition(b"\0")
            await stream.send(authentication(11, scram.first(mechanism.decode(errors="replace"), rest[4:])))
            await stream.send(authentication(12, scram.final(await _password_message(stream.frames))))
        except ScramError:
            raise Refused(f"password authentication failed for user '{startup.user}'", "28P01") from None
        return scram.proven

    async def _session(
        self, stream: Stream, startup: Startup, address: Address, route: Route, secret: Secret
    ) -> Session:
        if route.pooled:
            name = (route.key, route.port, startup.database, startup.user)
            pool = self._pools.get(name)
            if pool is None:
                own = {"user": startup.user, "database": startup.database}
                own |= {"options": READ_ONLY} if route.read_only else {}
                pool = Pool(route.port, own, secret, self._back, self._pool_size)
                self._pools[name] = pool
            pool.secret = secret
            number = secrets.randbelow(1 << 31)
            return PooledSession(stream, route, pool, startup, number, secrets.randbits(32))
        options = address.options
        if route.read_only:
            options = f"{options} {READ_ONLY}".lstrip()  # last, so that it wins over the client's own
        parameters = {**startup.parameters, "options": options}
        if not options:
            del parameters["options"]
        route, server = await self._connect(parameters, secret, address, route)
        return DirectSession(stream, route, server, secrets.randbits(32))

    async def _connect(
        self, parameters: dict[str, str], secret: Secret, address: Address, route: Route
    ) -> tuple[Route, Server]:
        for remaining in reversed(range(_TRIES)):
            try:
                return route, await connect(route.port, parameters, secret, self._back)
            except (OSError, ProtocolError) as reason:
                logger.info("the server of %s does not answer: %s", route.key, reason)
                if not remaining:
                    raise Refused(NO_SERVER, "08006") from None
            except ServerRefused as reason:
                if not remaining or not any(f"C{code}\0".encode() in reason.raw for code in _STARTING_OR_STOPPING):
                    raise
            # It was suspended or moved between the question and the connection: ask again.
            await asyncio.sleep(0.05)
            route = await self._route(address)
        raise AssertionError("unreachable")

    async def _run(self, session: Session) -> None:
        name = (session.number, session.secret)
        task = asyncio.current_task()
        assert task
        self._sessions[name] = session
        self._serving[session] = task
        self._backend.connected(session.route)
        try:
            await session.run()
        finally:
            del self._sessions[name], self._serving[session]
            self._backend.disconnected(session.route)


async def _password_message(frames: Frames) -> bytes:
    kind, payload = await frames.one()
    if kind != b"p":
        raise ProtocolError("expected a SASL response")
    return payload


async def _peek(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, _settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1, socket.MSG_PEEK)
    return b""


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = await asyncio.get_running_loop().sock_recv(connection, count - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return received
