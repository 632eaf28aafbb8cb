# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""mail_message: a real mail server on loopback, encrypted and not, with a login and without."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import call_module

from tests.support.listeners import Mailbox, mail_server

LETTER: dict[str, Any] = {
    "host": "127.0.0.1",
    "sender": "Öps <ops@example.com>",
    "to": ["team@example.com", "Boss <boss@example.com>"],
    "subject": "Wieder da: ä ö ü ✓",
    "body": "Alles gut.\n.\nEnde\n",
    "timeout": 10,
}


def _send(box: Mailbox, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    known = {"port": box.port, "username": box.username, "password": box.password, "ca_path": str(box.ca)}
    return call_module("mail_message", {**LETTER, **known, **options}, check_mode=check_mode)


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_mail_arrives_whole_and_encrypted(tmp_path: Path, encryption: str) -> None:
    """Given an encrypted server with a login, then the mail arrives as it was written, with its attachment."""
    invitation = {
        "name": "review.ics",
        "content": "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
        "content_type": "text/calendar",
    }
    with mail_server(tmp_path, encryption=encryption) as box:
        result = _send(box, encryption=encryption, message_id="run1@rewind.database", attachments=[invitation])
        assert result["changed"] is True and result["refused"] == {}, result
        (mail,) = box.mails
        assert box.recipients == [["team@example.com", "boss@example.com"]]
        assert encryption == "tls" or box.encrypted == [True]
    assert (mail["Subject"], mail["From"], mail["Message-ID"]) == (
        LETTER["subject"],
        "Öps <ops@example.com>",
        "<run1@rewind.database>",
    )
    body = mail.get_body(("plain",))
    assert body is not None and body.get_content().replace("\r\n", "\n") == LETTER["body"]
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("review.ics", "text/calendar")
    assert attached.get_payload(decode=True) == invitation["content"].encode()


def test_without_encryption_nothing_is_sent_unless_that_is_asked_for(tmp_path: Path) -> None:
    """Given a server without STARTTLS, then it is refused; with encryption=none it is sent."""
    with mail_server(tmp_path, encryption="none", login=False) as box:
        refused = _send(box, username=None, password=None)
        assert refused["error"]["code"] == "no_encryption" and box.mails == []
        assert _send(box, username=None, password=None, encryption="none")["changed"] is True
        assert len(box.mails) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """Given a server whose certificate the system does not know, then nothing is sent, and ca_path is named."""
    with mail_server(tmp_path) as box:
        result = _send(box, ca_path=None)
        assert "certificate verify failed" in result["msg"] and "ca_path" in result["msg"]
        assert box.mails == []


def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path) -> None:
    """Given a wrong password, then the error names what to check, without the password."""
    wrong = "Wr0ng8Xw1Rm6Kp9Yb4Nc7Ld2"
    with mail_server(tmp_path) as box:
        result = _send(box, password=wrong)
        assert result["error"]["code"] == "unauthorized" and wrong not in json.dumps(result)
        assert box.mails == []


def test_recipients_that_are_refused_are_named(tmp_path: Path) -> None:
    """Given one unknown recipient, then the others get it and that one is named; with all unknown it fails."""
    with mail_server(tmp_path) as box:
        box.refuse = {"boss@example.com"}
        result = _send(box)
        assert result["refused"] == {"boss@example.com": "550 no such user here"}
        assert result["told"] == ["team@example.com"]
        assert any("boss@example.com" in warning for warning in result["warnings"])
        box.refuse |= {"team@example.com"}
        assert "every recipient was refused" in _send(box)["msg"] and len(box.mails) == 1


@pytest.mark.parametrize(
    "entry",
    [
        "oncall@example.com, boss@example.com",
        "oncall@example.com; boss@example.com",
        "oncall@example.com boss@example.com",
        "On call <oncall@example.com>, Boss <boss@example.com>",
        '"On, call" <oncall@example.com>, boss@example.com',
        "on.call@example.com <boss@example.com>",
        "ops: oncall@example.com, boss@example.com;",
        "oncall@example.com@example.com",
    ],
)
def test_an_entry_that_is_more_than_one_address_is_refused_before_anything_is_sent(tmp_path: Path, entry: str) -> None:
    """Given two addresses in one entry, then nobody gets the mail, and the entry is named with what to do."""
    with mail_server(tmp_path) as box:
        result = _send(box, to=["team@example.com", entry])
        assert result["error"]["code"] == "invalid_input" and box.mails == []
    assert f'"{entry}" is more than one address' in result["msg"] and "an entry of its own" in result["msg"]


@pytest.mark.parametrize(
    ("entry", "name", "address"),
    [
        (" boss@example.com ", "", "boss@example.com"),
        ("<boss@example.com>", "", "boss@example.com"),
        ("J. R. Boss [prod] <boss@example.com>", "J. R. Boss [prod]", "boss@example.com"),
        ('"Boss, the \\"great\\" @ home" <boss@example.com>', 'Boss, the "great" @ home', "boss@example.com"),
        ("Bös <boss@EXÄMPLE.com>", "Bös", "boss@xn--exmple-cua.com"),
    ],
)
def test_an_entry_may_have_a_name(tmp_path: Path, entry: str, name: str, address: str) -> None:
    """Given one address, with a name and without, then it gets the mail, its domain as all servers know it."""
    with mail_server(tmp_path, utf8=False) as box:
        result = _send(box, to=[entry])
        assert (result["told"], box.recipients) == ([entry], [[address]]), result
        (to,) = box.mails[0]["To"].addresses
    assert (to.display_name, to.addr_spec) == (name, address)


def test_a_domain_that_would_become_another_is_refused(tmp_path: Path) -> None:
    """Given a letter that the older rules turn into others, then the mail does not go to the domain of those."""
    with mail_server(tmp_path) as box:
        for entry in ("boss@straße.example", "boss@ä..example"):
            result = _send(box, to=[entry])
            assert result["error"]["code"] == "invalid_input" and "xn--" in result["msg"], entry
        assert box.mails == []


def test_who_cannot_be_told_through_this_server_is_named_and_the_others_are_told(tmp_path: Path) -> None:
    """Given an address that is not ASCII and a server without SMTPUTF8, then that one is refused, as by the server."""
    to = ["jürgen@example.com", "Boss <boss@example.com>"]
    with mail_server(tmp_path, utf8=False) as box:
        result = _send(box, to=to)
        assert (result["told"], box.recipients) == (to[1:], [["boss@example.com"]])
        assert list(result["refused"]) == to[:1] and "SMTPUTF8" in result["refused"][to[0]]
        assert any("jürgen@example.com" in warning for warning in result["warnings"])
        assert [address.addr_spec for address in box.mails[0]["To"].addresses] == ["boss@example.com"]
        box.refuse = {"boss@example.com"}
        none = _send(box, to=to)
        assert "every recipient was refused" in none["msg"] and "jürgen@example.com" in none["msg"]
        assert none["error"]["code"] == _send(box, to=to[:1])["error"]["code"] == "refused"
        from_them = _send(box, sender="jürgen@example.com")
        assert from_them["error"]["code"] == "refused" and "cannot come from jürgen@example.com" in from_them["msg"]
        assert len(box.mails) == 1


def test_an_address_that_is_not_ascii_is_told_where_the_server_can(tmp_path: Path) -> None:
    """Given a server with SMTPUTF8, then who has such an address gets the mail like everybody."""
    to = ["jürgen@exämple.com", "boss@example.com"]
    with mail_server(tmp_path) as box:
        result = _send(box, to=to)
        assert (result["told"], result["refused"]) == (to, {}), result
        assert box.recipients == [["jürgen@xn--exmple-cua.com", "boss@example.com"]]


@pytest.mark.parametrize("without", [(), ("PLAIN",)])
def test_user_and_password_may_be_other_than_ascii(tmp_path: Path, without: tuple[str, ...]) -> None:
    """Given both in UTF-8, then the login succeeds; a wrong one is refused, and not shown."""
    with mail_server(tmp_path, no_mechanisms=without) as box:
        box.username, box.password = "jürgen", "Schlüssel✓Vq3Zt8Xw1Rm6"
        assert _send(box)["told"] == LETTER["to"] and len(box.mails) == 1
        wrong = _send(box, password="Schlüssel✗Vq3Zt8Xw1Rm6")
        assert wrong["error"]["code"] == "unauthorized" and "Schl" not in json.dumps(wrong, ensure_ascii=False)
        assert len(box.mails) == 1


def test_a_server_that_cannot_take_such_a_password_is_named(tmp_path: Path) -> None:
    """Given a server with neither PLAIN nor LOGIN, then it says what to do, and the password is not shown."""
    with mail_server(tmp_path, no_mechanisms=("PLAIN", "LOGIN")) as box:
        result = _send(box, password="Schlüssel✓Vq3Zt8Xw1Rm6")
        assert box.mails == []
    assert result["error"]["code"] == "refused" and "AUTH PLAIN" in result["msg"]
    assert "Schl" not in json.dumps(result, ensure_ascii=False)


def test_a_mail_is_ascii_on_its_way(tmp_path: Path) -> None:
    """Given texts that are not ASCII, short and long, then no server needs to offer 8BITMIME for them."""
    note = {"name": "nöte.txt", "content": "Größe ✓\r\n"}
    with mail_server(tmp_path, utf8=False) as box:
        for body in ("Grüße.\n", "Grüße an alle. " * 500 + "\n"):
            assert _send(box, body=body, attachments=[note])["changed"] is True
            assert box.raw[-1].isascii()
            text = box.mails[-1].get_body(("plain",))
            assert text is not None and text.get_content().replace("\r\n", "\n") == body
            (attached,) = box.mails[-1].iter_attachments()
            assert (attached.get_filename(), attached.get_content_charset()) == (note["name"], "utf-8")
            assert attached.get_payload(decode=True) == note["content"].encode()


def test_the_type_of_a_file_keeps_its_parameters(tmp_path: Path) -> None:
    """Given an invitation, then its type says which method it has, and its letters, as RFC 5545 demands."""
    file = {"name": "review.ics", "content": "BEGIN:VCALENDAR\r\n", "content_type": "text/calendar; method=REQUEST"}
    with mail_server(tmp_path) as box:
        assert _send(box, attachments=[file])["changed"] is True
        (attached,) = box.mails[0].iter_attachments()
        kind = attached["Content-Type"]
        assert (kind.content_type, dict(kind.params)) == (
            "text/calendar",
            {"method": "REQUEST", "charset": "utf-8"},
        )
        assert _send(box, attachments=[{**file, "content_type": "text/plain\r\nBcc: spy@example.com"}])["failed"]


def test_a_header_cannot_be_smuggled_in(tmp_path: Path) -> None:
    """Given line ends in subject and addresses, then there is no other header than those that are meant."""
    with mail_server(tmp_path) as box:
        assert _send(box, subject="one\r\nBcc: spy@example.com")["changed"] is True
        assert box.mails[0]["Bcc"] is None and box.mails[0]["Subject"] == "one Bcc: spy@example.com"
        for address in ("a@example.com\r\nBcc: spy@example.com", "nobody", "a@ex ample.com", ""):
            assert _send(box, to=[address])["failed"], address
        assert len(box.mails) == 1


def test_a_connection_lost_after_the_mail_was_handed_over_is_an_unknown_outcome(tmp_path: Path) -> None:
    """Given a server that hangs up instead of answering, then it is not said that the mail was not sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _peer = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 ready\r\n")
            for line in lines:
                if line.upper().startswith(b"DATA"):
                    connection.sendall(b"354 go\r\n")
                elif line == b".\r\n":
                    return
                elif line[:4].upper() in (b"EHLO", b"MAIL", b"RCPT"):
                    connection.sendall(b"250 fine\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    result = call_module("mail_message", {**LETTER, "port": listener.getsockname()[1], "encryption": "none"})
    thread.join(10)
    listener.close()
    assert result["error"]["code"] == "unknown_outcome" and "Ask a recipient" in result["msg"]


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Given a port where nobody listens, then it says which."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = call_module("mail_message", {**LETTER, "port": port})
    assert result["error"]["code"] == "unreachable" and f"127.0.0.1:{port}" in result["msg"]


def test_check_mode_asks_nobody(tmp_path: Path) -> None:
    """Given check mode, then it would be sent, and the server is not even connected to."""
    result = call_module("mail_message", {**LETTER, "port": 1}, check_mode=True)
    assert result["changed"] is True and not result.get("failed")


def test_the_step_is_in_the_journal(tmp_path: Path) -> None:
    """Given a journal, then what was intended and what came of it is in it, without the password."""
    run = Journal(tmp_path / "state", "tracker").start("incident", {}).id
    with mail_server(tmp_path) as box:
        box.refuse = {"boss@example.com"}
        _send(box, state_dir=str(tmp_path / "state"), journal={"run": run, "step": "tell_good_mail"})
        path = next((tmp_path / "state").rglob(f"{run}.jsonl"))
        assert box.password not in path.read_text()
    step = Journal(tmp_path / "state", "tracker").read(run).steps["tell_good_mail"]
    assert step.phase == "done" and step.data["told"] == ["team@example.com"], "who has it needs it no second time"


def test_who_has_it_already_gets_it_no_second_time(tmp_path: Path) -> None:
    """Given one that has it, then the other one alone gets it, both are told then, and nobody is left to tell."""
    with mail_server(tmp_path) as box:
        result = _send(box, already_told=["team@example.com"])
        assert box.recipients == [["boss@example.com"]]
        assert (result["changed"], result["told"]) == (True, LETTER["to"])
        again = _send(box, already_told=result["told"])
        assert (again["changed"], again["told"], len(box.mails)) == (False, LETTER["to"], 1)


def test_a_later_try_that_fails_forgets_nobody(tmp_path: Path) -> None:
    """Given one who was refused twice, then the journal still knows who has it."""
    run = Journal(tmp_path / "state", "tracker").start("incident", {}).id
    known: dict[str, Any] = {
        "state_dir": str(tmp_path / "state"),
        "journal": {"run": run, "step": "tell_good_mail"},
    }
    with mail_server(tmp_path) as box:
        box.refuse = {"boss@example.com"}
        told = _send(box, **known)["told"]
        assert _send(box, already_told=told, **known)["failed"] is True
        assert box.recipients[0] == ["team@example.com"] and len(box.mails) == 1
    step = Journal(tmp_path / "state", "tracker").read(run).steps["tell_good_mail"]
    assert (step.phase, step.data["told"]) == ("failed", ["team@example.com"])


def test_both_ways_say_the_same(both_ways: BothWays, tmp_path: Path) -> None:
    """Given a server, when a mail is sent in the controller's process and as a module, then the results are equal."""
    with mail_server(tmp_path) as box:
        known = {"port": box.port, "username": box.username, "ca_path": str(box.ca)}
        result = both_ways.same("mail_message", {**LETTER, **known}, variables={"rewind_smtp_password": box.password})
        assert result["changed"] is True and len(box.mails) == 2
