# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's protocol, as much of it as a proxy must understand.

Document: "Frontend/Backend Protocol" in PostgreSQL's manual. A frame is a type byte, a length that counts itself,
and a payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3 = 3 << 16
CHUNK = 256 * 1024
MAXIMUM_STARTUP = 10000
"""PostgreSQL's own limit for a start-up packet."""


class ProtocolError(Exception):
    """The other side sent what the protocol does not allow."""


class Refused(Exception):
    """A connection that is not let through. The text is what the client reads, `code` its SQLSTATE."""

    def __init__(self, message: str, code: str = "XX000") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Startup:
    """A start-up packet: what the client wants, in its own words."""

    parameters: dict[str, str]
    minor: int = 0
    """Minor protocol version asked for."""
    extensions: list[str] = field(default_factory=list)
    """Names of protocol extensions asked for (``_pq_.…``)."""

    @property
    def user(self) -> str:
        """The role."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The database; the role's name when none is given, as in PostgreSQL."""
        return self.parameters.get("database") or self.user


def parse_startup(payload: bytes) -> Startup:
    """`payload` follows the length. Raises `ProtocolError`."""
    (version,) = struct.unpack_from("!I", payload)
    if version >> 16 != 3:
        raise ProtocolError(f"unsupported frontend protocol {version >> 16}.{version & 0xFFFF}")
    parts = payload[4:].split(b"\0")
    pairs: dict[str, str] = {}
    try:
        for name, value in zip(parts[::2], parts[1::2], strict=False):
            if not name:
                break
            pairs[name.decode()] = value.decode()
    except UnicodeDecodeError:
        raise ProtocolError("invalid start-up packet") from None
    if not pairs.get("user"):
        raise ProtocolError("no PostgreSQL user name specified in startup packet")
    extensions = [name for name in pairs if name.startswith("_pq_.")]
    plain = {name: value for name, value in pairs.items() if name not in extensions}
    return Startup(plain, version & 0xFFFF, extensions)


def startup_packet(parameters: Mapping[str, str]) -> bytes:
    """The packet that opens a connection to a server."""
    body = struct.pack("!I", PROTOCOL_3)
    for name, value in parameters.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def request_packet(code: int, *numbers: int) -> bytes:
    """A packet without type byte: an SSL request, a cancel request."""
    return struct.pack(f"!{2 + len(numbers)}I", 8 + 4 * len(numbers), code, *numbers)


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return kind + struct.pack("!I", len(payload) + 4) + payload


def error(message: str, code: str, severity: str = "FATAL") -> bytes:
    """An ErrorResponse frame."""
    fields = (("S", severity), ("V", severity), ("C", code), ("M", message))
    return frame(b"E", b"".join(name.encode() + text.encode() + b"\0" for name, text in fields) + b"\0")


def error_text(payload: bytes) -> str:
    """The primary message of an ErrorResponse."""
    return next((part[1:].decode(errors="replace") for part in payload.split(b"\0") if part[:1] == b"M"), "")


def authentication(code: int, data: bytes = b"") -> bytes:
    """An Authentication… frame."""
    return frame(b"R", struct.pack("!I", code) + data)


def ready(status: bytes = b"I") -> bytes:
    """A ReadyForQuery frame."""
    return frame(b"Z", status)


def parameter_status(name: str, value: str) -> bytes:
    """A ParameterStatus frame."""
    return frame(b"S", name.encode() + b"\0" + value.encode() + b"\0")


def parse_parameter_status(payload: bytes) -> tuple[str, str]:
    """Name and value of a ParameterStatus."""
    name, value, _ = payload.split(b"\0", 2)
    return name.decode(errors="replace"), value.decode(errors="replace")


def negotiate(startup: Startup) -> bytes:
    """What a client hears that asked for a newer protocol; nothing for 3.0 without extensions."""
    if not startup.minor and not startup.extensions:
        return b""
    names = b"".join(name.encode() + b"\0" for name in startup.extensions)
    return frame(b"v", struct.pack("!II", PROTOCOL_3, len(startup.extensions)) + names)


class Frames:
    """Whole frames out of a stream. A cancelled call loses nothing."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    async def one(self) -> tuple[bytes, bytes]:
        """The next frame's type and payload. Raises EOFError at the end of the stream."""
        while True:
            end = self._end(0)
            if end:
                kind, payload = bytes(self._buffer[:1]), bytes(self._buffer[5:end])
                del self._buffer[:end]
                return kind, payload
            await self._more()

    async def exactly(self, count: int) -> bytes:
        """This many bytes, whatever they are. Raises EOFError."""
        while len(self._buffer) < count:
            await self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def chunk(self) -> bytes:
        """Whatever comes next; nothing at the end of the stream."""
        return self.rest() or await self._reader.read(CHUNK)

    async def some(self) -> list[tuple[bytes, bytes]]:
        """Every whole frame that is there, at least one: its type, and the frame as it came. Raises EOFError."""
        while True:
            found = list(self._whole())
            if found:
                del self._buffer[: sum(len(raw) for _, raw in found)]
                return found
            await self._more()

    def _whole(self) -> Iterator[tuple[bytes, bytes]]:
        begin = 0
        while end := self._end(begin):
            raw = bytes(self._buffer[begin:end])
            yield raw[:1], raw
            begin = end

    def _end(self, begin: int) -> int:
        if len(self._buffer) < begin + 5:
            return 0
        (length,) = struct.unpack_from("!I", self._buffer, begin + 1)
        if length < 4:
            raise ProtocolError("invalid message length")
        end: int = begin + 1 + length
        return end if len(self._buffer) >= end else 0

    async def _more(self) -> None:
        chunk = await self._reader.read(CHUNK)
        if not chunk:
            raise EOFError
        self._buffer += chunk

    async def disturbed(self) -> None:
        """Returns when something arrives unasked, or the other side goes away."""
        with contextlib.suppress(EOFError, OSError):
            await self._more()

    def rest(self) -> bytes:
        """What was read but not taken yet."""
        left = bytes(self._buffer)
        self._buffer.clear()
        return left
