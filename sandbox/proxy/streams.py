# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy's own connections: to the servers behind it, and TLS on those that it accepts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.proxy.messages import (
    CANCEL_REQUEST,
    CHUNK,
    SSL_REQUEST,
    Frames,
    ProtocolError,
    error_text,
    frame,
    parse_parameter_status,
    request_packet,
    startup_packet,
)
from sandbox.proxy.scram import ScramClient, ScramError, Secret

CONNECT_SECONDS = 10.0


class ServerRefused(Exception):
    """A server answered the start-up with an error: `raw` is its ErrorResponse, for the client to read."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(error_text(payload))
        self.raw = frame(b"E", payload)


@dataclass
class Stream:
    """Both directions of one connection."""

    frames: Frames
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Writes and waits while the other side does not keep up."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Ends the connection; what is written already is still sent."""
        self.writer.close()

    def abort(self) -> None:
        """Ends the connection now."""
        self.writer.transport.abort()


async def stream_of(
    connection: socket.socket, context: ssl.SSLContext | None, *, server_side: bool, name: str | None = None
) -> Stream:
    """A connected socket as a stream, with TLS when `context` is given. Raises OSError (ssl.SSLError is one)."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    # One that does not answer the end of TLS must not keep the connection.
    handshake, farewell = (CONNECT_SECONDS, 1.0) if context else (None, None)
    if server_side:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=context,
            ssl_handshake_timeout=handshake,
            ssl_shutdown_timeout=farewell,
        )
    else:
        transport, _ = await loop.create_connection(
            lambda: protocol,
            sock=connection,
            ssl=context,
            server_hostname=name if context else None,
            ssl_handshake_timeout=handshake,
            ssl_shutdown_timeout=farewell,
        )
    return Stream(Frames(reader), asyncio.StreamWriter(transport, protocol, reader, loop))


@dataclass(eq=False)
class Server:
    """A connection to a PostgreSQL server that is logged in and idle."""

    stream: Stream
    parameters: dict[str, str] = field(default_factory=dict)
    """What the server reported about itself."""
    notices: bytes = b""
    pid: int = 0
    secret: int = 0
    port: int = 0
    prepared: set[bytes] = field(default_factory=set)
    """Names of the statements that the pool prepared on it."""


async def connect(port: int, parameters: Mapping[str, str], secret: Secret, context: ssl.SSLContext | None) -> Server:
    """Logs in to the server on a loopback port as the role in `parameters`.

    Raises OSError when none listens, `ServerRefused` with the server's own error, `ProtocolError`.
    """
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.sock_connect(connection, ("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                await loop.sock_sendall(connection, request_packet(SSL_REQUEST))
                if await loop.sock_recv(connection, 1) != b"S":
                    raise ProtocolError("the server speaks no TLS")
            stream = await stream_of(connection, context, server_side=False, name="localhost")
    except BaseException:
        connection.close()
        raise
    server = Server(stream, port=port)
    try:
        await stream.send(startup_packet(parameters))
        await _log_in(server, secret)
    except BaseException:
        stream.abort()
        raise
    return server


async def _log_in(server: Server, secret: Secret) -> None:
    scram = ScramClient(secret)
    while True:
        try:
            kind, payload = await server.stream.frames.one()
        except EOFError:
            raise ProtocolError("the server closed the connection") from None
        if kind == b"R":
            if answer := _answer(scram, payload):
                await server.stream.send(answer)
        elif kind == b"S":
            name, value = parse_parameter_status(payload)
            server.parameters[name] = value
        elif kind == b"K":
            server.pid, server.secret = struct.unpack("!II", payload[:8])
        elif kind == b"E":
            raise ServerRefused(payload)
        elif kind == b"N":
            server.notices += frame(kind, payload)
        elif kind == b"Z":
            return


def _answer(scram: ScramClient, payload: bytes) -> bytes:
    (code,) = struct.unpack_from("!I", payload)
    try:
        if code == 10:
            first = scram.first()
            return frame(b"p", scram.mechanism.encode() + b"\0" + struct.pack("!I", len(first)) + first)
        if code == 11:
            return frame(b"p", scram.final(payload[4:]))
        if code == 12:
            scram.check(payload[4:])
        elif code != 0:
            raise ProtocolError(f"the server asks for an unknown way to log in ({code})")
    except ScramError as reason:
        raise ProtocolError(str(reason)) from None
    return b""


async def cancel(port: int, pid: int, secret: int) -> None:
    """Sends a cancel request to a server and waits until it has taken it."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request_packet(CANCEL_REQUEST, pid, secret))
                await writer.drain()
                await reader.read()
            finally:
                writer.close()
