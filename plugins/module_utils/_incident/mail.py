# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mail through SMTP (RFC 5321), with the standard library: ansible-core has no module for it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any

from .._errors import ApiError, InvalidInput, Refused, Unauthorized, UnknownOutcome, Unreachable
from .._time import utc_now

PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True)
class Server:
    """How to reach the server.

    :param encryption: ``starttls``, ``tls`` or ``none``.
    :param timeout: seconds for connecting and for each answer.
    """

    host: str
    port: int | None
    encryption: str
    username: str | None
    password: str | None
    ca_path: str | None
    timeout: float

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port or PORTS[self.encryption]}"


def message(
    *,
    sender: str,
    to: Sequence[str],
    subject: str,
    body: str,
    message_id: str | None = None,
    attachments: Sequence[dict[str, Any]] = (),
) -> EmailMessage:
    """A mail, every header written by the library: nothing that is given can add another one.

    :raises InvalidInput: for addresses that are none.
    """
    mail = EmailMessage()
    try:
        mail["From"] = _address(sender)
        mail["To"] = [_address(address) for address in to]
        mail["Subject"] = " ".join(subject.split())
        mail["Date"] = format_datetime(utc_now())
        if message_id:
            mail["Message-ID"] = f"<{message_id}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(body)
        for item in attachments:
            kind, _slash, subtype = str(item.get("content_type") or "text/plain").partition("/")
            data = str(item["content"]).encode()
            mail.add_attachment(data, maintype=kind, subtype=subtype or "plain", filename=str(item["name"]))
    except (ValueError, MessageError) as error:
        raise InvalidInput(f"write the mail: {error}", hint="Check the addresses and the attachments.") from None
    return mail


def _address(text: str) -> Address:
    name, address = parseaddr(text)
    user, at, domain = address.rpartition("@")
    strange = any(character in "\r\n\0" for character in text) or any(character.isspace() for character in address)
    # A parser that is given nonsense may find an address in it.
    if not (user and at and domain) or strange or address not in text:
        raise InvalidInput(
            f'write the mail: "{text}" is no address', hint="Write name@example.com, or Name <name@example.com>."
        )
    return Address(name, user, domain)


def send(mail: EmailMessage, server: Server) -> dict[str, str]:
    """Send it; the answer holds the recipients that were refused, with the reason, where others were not.

    :raises Refused: when encryption is not to be had, or when every recipient, or the mail, is refused.
    :raises UnknownOutcome: when the connection was lost after the mail had been handed over.
    """
    doing = f"send the mail through {server.place}"
    client = _connect(server, doing)
    try:
        _log_in(client, server, doing)
        refused = _hand_over(client, mail, doing)
    finally:
        try:
            client.quit()
        except (smtplib.SMTPException, OSError):
            client.close()
    return {address: _said(answer) for address, answer in refused.items()}


def _connect(server: Server, doing: str) -> smtplib.SMTP:
    port = server.port or PORTS[server.encryption]
    try:
        context = ssl.create_default_context(cafile=server.ca_path)
        if server.encryption == "tls":
            return smtplib.SMTP_SSL(server.host, port, timeout=server.timeout, context=context)
        client = smtplib.SMTP(server.host, port, timeout=server.timeout)
    except (smtplib.SMTPException, OSError) as error:
        raise _unreachable(doing, error) from None
    if server.encryption == "starttls":
        try:
            client.starttls(context=context)
        except smtplib.SMTPNotSupportedError:
            client.close()
            raise Refused(
                f"{doing}: the server offers no STARTTLS, so nothing was sent",
                code="no_encryption",
                hint="Use encryption=tls where the server has it, or encryption=none inside a network that you trust.",
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            client.close()
            raise _unreachable(doing, error) from None
    return client


def _unreachable(doing: str, error: Exception) -> Unreachable:
    reason = str(error) or type(error).__name__
    return Unreachable(f"{doing}: {reason}", retryable=True, hint="Check host, port, encryption and ca_path.")


def _log_in(client: smtplib.SMTP, server: Server, doing: str) -> None:
    if not server.username:
        return
    try:
        client.login(server.username, server.password or "")
    except smtplib.SMTPAuthenticationError as error:
        raise Unauthorized(
            f"{doing}: the server refuses user and password ({error.smtp_code})", hint="Check username and password."
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Refused(
            f"{doing}: logging in failed: {type(error).__name__}",
            hint="The server may ask for a login only after encryption, or know none of our ways to log in.",
        ) from None


def _hand_over(client: smtplib.SMTP, mail: EmailMessage, doing: str) -> dict[str, tuple[int, bytes]]:
    try:
        return client.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        said = "; ".join(f"{address}: {_said(answer)}" for address, answer in error.recipients.items())
        raise Refused(f"{doing}: every recipient was refused: {said}", hint="Check the addresses.") from None
    except smtplib.SMTPResponseException as error:
        said = _said((error.smtp_code, error.smtp_error))
        raise ApiError(
            f"{doing}: the server refused it: {said}", retryable=400 <= error.smtp_code < 500, code="mail_refused"
        ) from None
    except (smtplib.SMTPServerDisconnected, OSError) as error:
        raise UnknownOutcome(
            f"{doing}: the connection was lost ({type(error).__name__}), so it is not known whether it was sent",
            hint="Ask a recipient before sending it again.",
        ) from None


def _said(answer: tuple[int, bytes | str]) -> str:
    code, text = answer
    shown = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(shown.split())}"
