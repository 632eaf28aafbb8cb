# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both sides of SCRAM-SHA-256 as PostgreSQL speaks it (RFC 5802, RFC 7677).

PostgreSQL clients leave the user name inside SCRAM empty (the start-up packet has it), which general libraries
refuse; hence this one. `ScramError` texts say nothing about passwords.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache

MECHANISM = "SCRAM-SHA-256"
BINDING_MECHANISM = "SCRAM-SHA-256-PLUS"
BINDING_TYPE = "tls-server-end-point"
ITERATIONS = 4096


class ScramError(Exception):
    """The other side broke the protocol, or does not know the password."""


@dataclass(frozen=True)
class _Keys:
    client: bytes
    stored: bytes
    server: bytes


@dataclass(frozen=True)
class Verifier:
    """What PostgreSQL keeps of a password (``pg_authid.rolpassword``).

    With `client`, the key that whoever knew the password has shown, it logs in where it came from.
    """

    salt: bytes
    iterations: int
    stored: bytes
    server: bytes
    client: bytes = b""

    @classmethod
    def parse(cls, text: str) -> Verifier | None:
        """``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey``; None for another kind (md5)."""
        match = re.fullmatch(rf"{MECHANISM}\$([0-9]{{1,9}}):([^$:]+)\$([^$:]+):([^$:]+)", text)
        if match is None:
            return None
        try:
            return cls(_decode(match[2]), int(match[1]), _decode(match[3]), _decode(match[4]))
        except ScramError:
            return None

    def is_of(self, password: str) -> bool:
        """Whether it was made of this password."""
        return hmac.compare_digest(_derive(password, self.salt, self.iterations).stored, self.stored)


Secret = str | Verifier
"""A password, or what PostgreSQL keeps of one that nobody told the control plane."""


@lru_cache(maxsize=512)
def _derive(password: str, salt: bytes, iterations: int) -> _Keys:
    # The relevant part of SASLprep; ASCII passwords stay as they are.
    prepared = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return _Keys(client, hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256"))


@lru_cache(maxsize=512)
def _salt_of(password: str) -> bytes:
    # One salt per password for as long as the daemon runs, so that its keys are derived once.
    return secrets.token_bytes(16)


def _fields(message: bytes) -> dict[str, str]:
    try:
        return {name: value for name, _, value in (part.partition("=") for part in message.decode().split(","))}
    except UnicodeDecodeError:
        raise ScramError("malformed SCRAM message") from None


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ScramError("malformed SCRAM message") from None


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


class ScramServer:
    """One login, seen from the server. `secret` None: a role that does not exist; it fails as late as a wrong one."""

    def __init__(self, secret: Secret | None, end_point_hash: bytes) -> None:
        self._secret = secret
        self._iterations = ITERATIONS
        if isinstance(secret, Verifier):
            self._salt, self._iterations = secret.salt, secret.iterations
            self._keys = _Keys(b"", secret.stored, secret.server)
        else:
            self._salt = _salt_of(secret) if secret is not None else secrets.token_bytes(16)
            self._keys = _derive(secret if secret is not None else secrets.token_hex(16), self._salt, ITERATIONS)
        self._binding = end_point_hash
        self._header = b""
        self._first_bare = b""
        self._server_first = b""
        self._nonce = ""
        self.proven: Secret = ""
        """After `final`: what logs in to the server behind as the same role."""

    def first(self, mechanism: str, message: bytes) -> bytes:
        """The answer to the client's first message. Raises `ScramError`."""
        try:
            flag, authorization, bare = message.split(b",", 2)
        except ValueError:
            raise ScramError("malformed SCRAM message") from None
        if mechanism == BINDING_MECHANISM:
            if flag != f"p={BINDING_TYPE}".encode():
                raise ScramError("unsupported SCRAM channel-binding type")
        elif mechanism != MECHANISM:
            raise ScramError("client selected an invalid SASL authentication mechanism")
        elif flag == b"y":
            # It says that the server offered no channel binding, but it did: someone sits in between.
            raise ScramError("SCRAM channel binding negotiation error")
        elif flag != b"n":
            raise ScramError("malformed SCRAM message")
        nonce = _fields(bare).get("r")
        if not nonce:
            raise ScramError("malformed SCRAM message")
        self._header = flag + b"," + authorization + b","
        self._first_bare = bare
        self._nonce = nonce + secrets.token_urlsafe(18)
        salt = base64.b64encode(self._salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={self._iterations}".encode()
        return self._server_first

    def final(self, message: bytes) -> bytes:
        """The answer to the client's second message. Raises `ScramError` for a wrong password too."""
        without_proof, _, proof_text = message.rpartition(b",p=")
        fields = _fields(without_proof)
        bound = self._header + (self._binding if self._header.startswith(b"p=") else b"")
        if fields.get("r") != self._nonce or not hmac.compare_digest(_decode(fields.get("c", "")), bound):
            raise ScramError("SCRAM channel binding check failed")
        signed = b",".join((self._first_bare, self._server_first, without_proof))
        proof = _decode(proof_text.decode(errors="replace"))
        if len(proof) != 32:
            raise ScramError("malformed SCRAM message")
        client = _xor(proof, hmac.digest(self._keys.stored, signed, "sha256"))
        if not hmac.compare_digest(hashlib.sha256(client).digest(), self._keys.stored) or self._secret is None:
            raise ScramError("wrong password")
        self.proven = replace(self._secret, client=client) if isinstance(self._secret, Verifier) else self._secret
        return b"v=" + base64.b64encode(hmac.digest(self._keys.server, signed, "sha256"))


class ScramClient:
    """One login, seen from the client: how the proxy logs in to a server as the role."""

    mechanism = MECHANISM

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._header = b"n,,"
        self._first_bare = f"n=,r={secrets.token_urlsafe(18)}".encode()
        self._expected = b""

    def first(self) -> bytes:
        """The first message."""
        return self._header + self._first_bare

    def final(self, server_first: bytes) -> bytes:
        """The second message, with the proof. Raises `ScramError`."""
        fields = _fields(server_first)
        nonce, own = fields.get("r", ""), _fields(self._first_bare)["r"]
        if not nonce.startswith(own) or nonce == own or not fields.get("i", "").isdigit():
            raise ScramError("malformed SCRAM message")
        keys = self._keys(_decode(fields.get("s", "")), int(fields["i"]))
        bound = base64.b64encode(self._header).decode()
        without_proof = f"c={bound},r={nonce}".encode()
        signed = b",".join((self._first_bare, server_first, without_proof))
        self._expected = b"v=" + base64.b64encode(hmac.digest(keys.server, signed, "sha256"))
        proof = _xor(keys.client, hmac.digest(keys.stored, signed, "sha256"))
        return without_proof + b",p=" + base64.b64encode(proof)

    def _keys(self, salt: bytes, iterations: int) -> _Keys:
        if isinstance(self._secret, str):
            return _derive(self._secret, salt, iterations)
        if (salt, iterations) != (self._secret.salt, self._secret.iterations):
            raise ScramError("the password was changed meanwhile")
        return _Keys(self._secret.client, self._secret.stored, self._secret.server)

    def check(self, server_final: bytes) -> None:
        """Raises `ScramError` when the server does not know the password either."""
        if not hmac.compare_digest(server_final, self._expected):
            raise ScramError("the server did not prove that it knows the password")
