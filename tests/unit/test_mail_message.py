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
