# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mail through SMTP (RFC 5321), with the standard library: ansible-core has no module for it."""

from __future__ import annotations

import base64
import copy
import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from .._errors import ApiError, InvalidInput, Refused, Unauthorized, UnknownOutcome, Unreachable
from .._time import utc_now

PORTS = {"starttls": 587, "tls": 465, "none": 25}
# No server needs to know 8BITMIME (RFC 6152) for what is ASCII on its way.
_POLICY = policy.default.clone(cte_type="7bit")
# The library's own parsers differ from Python to Python in what they make of more than one address, and some drop all
# but the first.
_ENTRY = re.compile(
    r"""(?: (?: "(?P<quoted> (?: [^"\\] | \\. )* )" | (?P<name> [^"@<>:;,\\]* ) ) \s* < (?P<inside> [^<>]* ) >
          | (?P<bare> [^<>]* ) )""",
    re.VERBOSE,
)
_ADDRESS = re.compile(r"""(?P<user> [^@\s"<>()\[\]:;,\\]+ ) @ (?P<domain> [^@\s"<>():;,\\]+ )""", re.VERBOSE)
_ALONE = "Write each as an entry of its own, name@example.com or Name <name@example.com>; quote a name with a comma."
_NO_UTF8 = "the server takes no address with other letters than ASCII before the @ (it offers no SMTPUTF8)"


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
    mail = EmailMessage(_POLICY)
    try:
        mail["From"] = address_of(sender)
        mail["To"] = [address_of(entry) for entry in to]
        mail["Subject"] = " ".join(subject.split())
        mail["Date"] = format_datetime(utc_now())
        if message_id:
            mail["Message-ID"] = f"<{message_id}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(body)
        for item in attachments:
            _attach(mail, str(item["name"]), str(item["content"]), str(item.get("content_type") or "text/plain"))
    except (ValueError, MessageError) as error:
        raise InvalidInput(f"write the mail: {error}", hint="Check the addresses and the attachments.") from None
    return mail


def _attach(mail: EmailMessage, name: str, content: str, content_type: str) -> None:
    kind = EmailMessage(_POLICY)
    kind["Content-Type"] = content_type
    read = kind["Content-Type"]
    params = dict(read.params)
    if read.maintype == "text":
        params["charset"] = "utf-8"
    mail.add_attachment(content.encode(), maintype=read.maintype, subtype=read.subtype, filename=name, params=params)


def address_of(entry: str) -> Address:
    """The one address of an entry, its domain as the servers of all mail know it (RFC 5890).

    :raises InvalidInput: when it is none, or more than one.
    """
    found = _ENTRY.fullmatch(entry.strip())
    parts = found and _ADDRESS.fullmatch((found["inside"] or found["bare"] or "").strip())
    if found is None or parts is None or any(character in "\r\n\0" for character in entry):
        what = "is more than one address" if entry.count("@") > 1 else "is no address"
        raise InvalidInput(f'write the mail: "{entry}" {what}', hint=_ALONE)
    name = re.sub(r"\\(.)", r"\1", found["quoted"] or "") or (found["name"] or "").strip()
    return Address(name, parts["user"], _ascii_domain(parts["domain"], entry))


def _ascii_domain(domain: str, entry: str) -> str:
    if domain.isascii():
        return domain
    try:
        found = domain.encode("idna").decode()
        # The codec is that of 2003, which leads to another domain for some letters.
        if found.encode().decode("idna") == domain.lower():
            return found
    except UnicodeError:
        pass
    raise InvalidInput(
        f'write the mail: the domain of "{entry}" cannot be translated',
        hint="Write it in ASCII, as its owner registered it (xn--...).",
    )


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
    return refused


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
    user, password = server.username, server.password or ""
    try:
        if (user + password).isascii():
            client.login(user, password)
        else:
            _log_in_utf8(client, user, password, doing)
    except smtplib.SMTPAuthenticationError as error:
        raise Unauthorized(
            f"{doing}: the server refuses user and password ({error.smtp_code})", hint="Check username and password."
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Refused(
            f"{doing}: logging in failed: {type(error).__name__}",
            hint="The server may ask for a login only after encryption, or know none of our ways to log in.",
        ) from None


def _log_in_utf8(client: smtplib.SMTP, user: str, password: str, doing: str) -> None:
    """The library logs in with ASCII only. PLAIN is UTF-8 (RFC 4616), and LOGIN, which no RFC describes, is like it."""
    client.ehlo_or_helo_if_needed()
    offered = client.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in offered:
        code, said = client.docmd("AUTH", f"PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}")
    elif "LOGIN" in offered:
        code, said = client.docmd("AUTH", f"LOGIN {_base64(user)}")
        if code == 334:
            code, said = client.docmd(_base64(password))
    else:
        raise Refused(
            f"{doing}: user or password has letters that are not ASCII, for which the server offers no way to log in",
            hint="Use others that are ASCII, or a server that offers AUTH PLAIN or AUTH LOGIN.",
        )
    # 503: logged in already.
    if code not in (235, 503):
        raise smtplib.SMTPAuthenticationError(code, said)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _hand_over(client: smtplib.SMTP, mail: EmailMessage, doing: str) -> dict[str, str]:
    to, refused = _for_this_server(client, mail, doing)
    try:
        if to:
            letter, sender = _addressed(mail, to), mail["From"].addresses[0].addr_spec
            return refused | _all_said(client.send_message(letter, sender, [address.addr_spec for address in to]))
    except smtplib.SMTPRecipientsRefused as error:
        refused |= _all_said(error.recipients)
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
    said = "; ".join(f"{address}: {why}" for address, why in refused.items())
    raise Refused(f"{doing}: every recipient was refused: {said}", hint="Check the addresses.")


def _for_this_server(client: smtplib.SMTP, mail: EmailMessage, doing: str) -> tuple[list[Address], dict[str, str]]:
    """The recipients whom this server can be told, and why not the others."""
    try:
        client.ehlo_or_helo_if_needed()
    except (smtplib.SMTPException, OSError) as error:
        raise _unreachable(doing, error) from None
    sender, to = mail["From"].addresses[0], list(mail["To"].addresses)
    if client.has_extn("smtputf8"):
        return to, {}
    if not sender.addr_spec.isascii():
        raise Refused(
            f"{doing}: it cannot come from {sender.addr_spec}: {_NO_UTF8}", hint="Use a sender that is ASCII."
        )
    able = [address for address in to if address.addr_spec.isascii()]
    return able, {address.addr_spec: _NO_UTF8 for address in to if address not in able}


def _addressed(mail: EmailMessage, to: Sequence[Address]) -> EmailMessage:
    """The mail to these: an address that its server does not take cannot be written into its header either."""
    letter = copy.copy(mail)
    del letter["To"]
    letter["To"] = list(to)
    return letter


def _all_said(answers: Mapping[str, tuple[int, bytes]]) -> dict[str, str]:
    return {address: _said(answer) for address, answer in answers.items()}


def _said(answer: tuple[int, bytes | str]) -> str:
    code, text = answer
    shown = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(shown.split())}"
