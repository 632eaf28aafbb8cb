# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on loopback that stand for what the project talks to beside Neon and Coolify: Sentry, webhooks, mail."""

from __future__ import annotations

import asyncio
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SENTRY_TOKEN = "sntrys_Kq7Zp2Wx9Vt4Rm6Yb1Nc8Ld3Hf5Js0Ga"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class _Listener(ABC):
    """An HTTP server in a thread; a subclass says what it answers."""

    def __init__(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _serve(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body, headers = outer.answer(self.command, self.path, dict(self.headers), content)
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def log_message(self, *_arguments: object) -> None:
                """Nothing: what was asked is remembered."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @abstractmethod
    def answer(
        self, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        """The status, the body and the headers of the answer to a request."""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Sentry(_Listener):
    """The event counts of one project, in buckets of ten seconds, as Sentry's documentation describes them.

    `events` says how many a bucket has that begins at this second.
    """

    organization, project = "acme", "tracker"

    def __init__(self) -> None:
        self.events: Callable[[int], int] = lambda _at: 0
        self.asked: list[dict[str, list[str]]] = []
        self.refuse_next = 0
        self.retry_headers: dict[str, str] = {"Retry-After": "0"}
        super().__init__()

    def answer(
        self, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(path)
        if headers.get("Authorization") != f"Bearer {SENTRY_TOKEN}":
            return 401, {"detail": "Invalid token"}, {}
        if self.refuse_next:
            self.refuse_next -= 1
            return 429, {"detail": "You are attempting to use this endpoint too frequently."}, self.retry_headers
        query = parse_qs(parts.query)
        if parts.path == f"/api/0/organizations/{self.organization}/projects/":
            return self._projects(query)
        if method != "GET" or parts.path != f"/api/0/projects/{self.organization}/{self.project}/stats/":
            return 404, {"detail": "The requested resource does not exist"}, {}
        self.asked.append(query)
        since, until = (int(float(query[name][0])) for name in ("since", "until"))
        if since > until:
            return 400, {"detail": "start must be before or equal to end"}, {}
        first = since - since % 10
        return 200, [[at, self.events(at)] for at in range(first, until + 1, 10)], {}

    def _projects(self, query: dict[str, list[str]]) -> tuple[int, Any, dict[str, str]]:
        """Two pages, with cursors in the header Link, the last one pointing to an empty one."""
        second = query.get("cursor") == ["0:1:0"]
        base = f"{self.url}/api/0/organizations/{self.organization}/projects/"
        more = "false" if second else "true"
        following = "0:2:0" if second else "0:1:0"
        link = (
            f'<{base}?&cursor=0:0:1>; rel="previous"; results="false"; cursor="0:0:1", '
            f'<{base}?&cursor={following}>; rel="next"; results="{more}"; cursor="{following}"'
        )
        return 200, [{"slug": "website" if second else self.project}], {"Link": link}


class Webhook(_Listener):
    """Takes messages; the path of its address is a secret, as with a real one."""

    def __init__(self, path: str = "/hooks/T0/Zx8Kw3Qm7Vp1Rt5Yb9Nc2Ld6") -> None:
        self.path = path
        self.status = 200
        self.messages: list[dict[str, Any]] = []
        super().__init__()

    @property
    def address(self) -> str:
        return f"{self.url}{self.path}"

    def answer(
        self, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        if method != "POST" or path != self.path:
            return 404, {"error": "no_service"}, {}
        if self.status == 200:
            self.messages.append(json.loads(content))
        return self.status, {"ok": self.status == 200}, {}


@dataclass
class Mailbox:
    """A mail server that speaks STARTTLS with a certificate of its own, and wants a login.

    :param refuse: recipients that it does not take.
    :param raw: what it was given, byte by byte.
    """

    username: str = "ops"
    password: str = "Vq3Zt8Xw1Rm6Kp9Yb4Nc7Ld2"
    refuse: set[str] = field(default_factory=set)
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0
    ca: Path = Path()

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuse:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        found = message_from_bytes(content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        self.raw.append(content)
        self.recipients.append(list(envelope.rcpt_tos))
        self.encrypted.append(session.ssl is not None)
        return "250 taken"

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> Any:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (
            self.username.encode(),
            self.password.encode(),
        )
        return AuthResult(success=known, handled=False)


class _FreePort(Controller):
    """On whichever port is free."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        with socket.create_connection((self.hostname, self.port), 5.0):
            pass


@contextmanager
def mail_server(
    folder: Path,
    *,
    encryption: str = "starttls",
    login: bool = True,
    utf8: bool = True,
    no_mechanisms: Iterable[str] = (),
) -> Iterator[Mailbox]:
    """A mail server on a free port, for `encryption` as the module mail_message calls it.

    With ``none`` it offers no encryption.

    :param utf8: whether it offers SMTPUTF8.
    :param no_mechanisms: ways to log in that it does not offer, such as PLAIN.
    """
    box = Mailbox()
    box.ca, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(box.ca, key)
    options: dict[str, Any] = {
        "authenticator": box.authenticate,
        "auth_required": login,
        "enable_SMTPUTF8": utf8,
        "auth_exclude_mechanism": no_mechanisms,
    }
    if encryption == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    else:
        options |= {"auth_require_tls": False}
    if encryption == "tls":
        options["ssl_context"] = context
    controller = _FreePort(box, hostname="127.0.0.1", port=0, ready_timeout=30.0, **options)
    controller.start()
    try:
        box.port = controller.port
        yield box
    finally:
        controller.stop()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "server.pem", folder / "server.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret
