# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a restore: the three answers of the watch, what follows from each, and what people are told.

Sentry, the webhooks and the mail server are spoken to for real, on loopback.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import icalendar
import pytest

from tests.support.listeners import SENTRY_TOKEN, Mailbox, Sentry, Webhook, mail_server
from tests.support.playbooks import Playbooks, Played
from tests.support.targets import Target, Targets, text_of

pytestmark = pytest.mark.long

# One whole bucket of ten seconds must pass after the cutover for an error rate to be known.
WATCH: dict[str, Any] = {
    "soak_seconds": 25,
    "incident_poll_seconds": 1,
    "incident_min_minutes": 0.16,
    "incident_settle_seconds": 0,
    "incident_sentry_organization": "acme",
    "incident_sentry_project": "tracker",
}
# Enough for a few looks at what is the case now.
SHORT: dict[str, Any] = {"soak_seconds": 1, "incident_poll_seconds": 0.5}


@pytest.fixture(scope="module")
def target(targets: Targets) -> Target:
    """The sandbox's tracker."""
    return targets.given()


@pytest.fixture
def sentry(playbooks: Playbooks) -> Iterator[Sentry]:
    """Sentry, with one event in each bucket."""
    server = Sentry()
    server.events = lambda _at: 1
    playbooks.secrets.add(SENTRY_TOKEN)
    yield server
    server.close()


@pytest.fixture
def webhook(playbooks: Playbooks) -> Iterator[Webhook]:
    """A webhook that takes everything."""
    server = Webhook()
    playbooks.secrets.add(server.path)
    yield server
    server.close()


@pytest.fixture
def mailbox(playbooks: Playbooks, tmp_path: Path) -> Iterator[Mailbox]:
    """A mail server with STARTTLS and a login."""
    with mail_server(tmp_path) as box:
        playbooks.secrets.add(box.password)
        yield box


def _restored(playbooks: Playbooks, target: Target, text: str, cutover: str = "auto") -> datetime:
    """Says a text and something worse, and restores to the first; returns the restore point."""
    at = target.say(text)
    target.say(f"worse than {text}")
    playbooks.restore(point_in_time=text_of(at), cutover=cutover).ok()
    assert target.served() == text
    return at


def _incident(playbooks: Playbooks, *options: str, sentry: Sentry | None = None, **variables: Any) -> Played:
    environment = {"SENTRY_AUTH_TOKEN": SENTRY_TOKEN, "SENTRY_API_URL": sentry.url} if sentry else {}
    return playbooks.play("playbooks/incident.yml", *options, environment=environment, **variables)


def _log(playbooks: Playbooks) -> list[dict[str, Any]]:
    path = playbooks.state / "incidents.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _report(playbooks: Playbooks, run: str, form: str) -> Path:
    return playbooks.state / "reports" / "tracker" / f"{run}.{form}"


def _incidents(playbooks: Playbooks) -> list[str]:
    return sorted(path.stem for path in (playbooks.state / "journal" / "tracker").glob("*-incident-*.jsonl"))


def test_a_good_end_is_told_everywhere_and_written_down(
    playbooks: Playbooks, target: Target, sentry: Sentry, webhook: Webhook, mailbox: Mailbox
) -> None:
    """Given a healthy application and a quiet Sentry, then the answer is good, everybody is told, and once only."""
    at = _restored(playbooks, target, "a good end")
    told: dict[str, Any] = {
        "incident_webhooks": [
            {"name": "facts", "kind": "json", "url": webhook.address},
            {"name": "team", "kind": "slack", "url": webhook.address},
        ],
        "incident_mail": {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "username": mailbox.username,
            "password": mailbox.password,
            "sender": "Ops <ops@example.com>",
            "to": ["team@example.com"],
        },
        "incident_contact": "help@example.com",
        "incident_attendees": ["team@example.com"],
        "rewind_ca_path": str(mailbox.ca),
    }
    _incident(playbooks, "-vvv", sentry=sentry, **WATCH, **told).ok()
    (record,) = _log(playbooks)
    assert record["answer"] == "good", record
    assert record["error_rate_before"]["per_minute"] == 6 and record["error_rate"]["per_minute"] == 6
    assert [(item["name"], item["ok"]) for item in record["notifications"]] == [
        ("facts", True),
        ("team", True),
        ("mail", True),
    ]

    lost = record["interval_lost"]
    assert datetime.fromisoformat(lost["from"]) == at and lost["exact"]
    assert at < datetime.fromisoformat(lost["to"]) <= datetime.fromisoformat(record["cutover"]) + timedelta(seconds=20)
    facts, slack = webhook.messages
    assert (facts["event"], facts["answer"], facts["restore"]) == ("rewind.incident", "good", record["restore"])
    assert set(slack) == {"text"} and "tracker is well after its restore" in slack["text"]

    (mail,) = mailbox.mails
    assert mailbox.encrypted == [True] and mailbox.recipients == [["team@example.com"]]
    assert mail["Subject"] == "tracker is well after its restore" and mail["From"] == "Ops <ops@example.com>"
    body = mail.get_body(("plain",))
    assert body is not None and "help@example.com" in body.get_content()
    (attached,) = mail.iter_attachments()
    assert attached.get_content_type() == "text/calendar"

    run = record["run"]
    notice = _report(playbooks, run, "notice.txt").read_text(encoding="utf-8")
    assert f"{at:%Y-%m-%d %H:%M:%S}" in notice and "is lost" in notice and "help@example.com" in notice
    invitation: Any = icalendar.Calendar.from_ical(_report(playbooks, run, "review.ics").read_bytes())
    (event,) = invitation.walk("VEVENT")
    assert str(event["UID"]) == f"{record['restore']}@rewind.database"
    assert event["DTSTART"].dt > datetime.now(UTC)
    page = json.loads(_report(playbooks, run, "json").read_text(encoding="utf-8"))
    titles = [step.get("title") or step["step"] for step in page["incident"]["timeline"]]
    assert titles[0].startswith("Restore point") and "Watched" in titles

    again = _incident(playbooks, sentry=sentry, **WATCH, **told).ok()
    assert again.changed == 0 and "Nothing to do" in again.text
    assert len(webhook.messages) == 2 and len(mailbox.mails) == 1 and len(_log(playbooks)) == 1


def test_a_bad_end_is_taken_back_while_nothing_was_written(
    playbooks: Playbooks, target: Target, sentry: Sentry
) -> None:
    """Given many more errors than before, with auto_undo, then the restore is taken back, and the notice says so."""
    at = _restored(playbooks, target, "a bad end")
    sentry.events = lambda second: 1 if second < at.timestamp() else 40
    played = _incident(playbooks, sentry=sentry, auto_undo=True, **WATCH).ok()
    assert target.served() == "worse than a bad end", "it was taken back"
    record = _log(playbooks)[-1]
    assert record["answer"] == "undone" and record["undone_at"], played.text
    assert "Sentry counted" in record["reasons"][0]
    notice = _report(playbooks, record["run"], "notice.txt").read_text(encoding="utf-8")
    assert "took that back" in notice
    again = _incident(playbooks, sentry=sentry, auto_undo=True, **WATCH).ok()
    assert again.changed == 0 and "Nothing to do" in again.text


def test_what_a_person_takes_back_is_told_when_it_is_back(
    playbooks: Playbooks, target: Target, webhook: Webhook, mailbox: Mailbox
) -> None:
    """Given bad and an undo by hand, then users get no notice before it, and the right one, once, after it."""
    _restored(playbooks, target, "by hand")
    told: dict[str, Any] = {
        "incident_webhooks": [{"name": "facts", "kind": "json", "url": webhook.address}],
        "incident_mail": {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "username": mailbox.username,
            "password": mailbox.password,
            "sender": "Ops <ops@example.com>",
            "to": ["team@example.com"],
        },
        "incident_attendees": ["team@example.com"],
        "rewind_ca_path": str(mailbox.ca),
    }
    played = _incident(playbooks, verdict="bad", **told, **SHORT).failed()
    assert "Send the users no notice yet" in played.message and "Complete the draft" not in played.message
    said = _log(playbooks)[-1]
    notice = _report(playbooks, said["run"], "notice.txt")
    assert said["answer"] == "bad" and "no notice to the users yet" in notice.read_text(encoding="utf-8")

    playbooks.play("playbooks/undo.yml").ok()
    assert target.served() == "worse than by hand"
    played = _incident(playbooks, **told, **SHORT).ok()
    assert "Complete the draft of the notice" in played.text
    record = _log(playbooks)[-1]
    assert (record["answer"], record["run"], record["restore"]) == ("undone", said["run"], said["restore"])
    assert said["cutover"] < record["undone_at"] and record["reasons"][0] == said["reasons"][0]
    assert "took that back" in notice.read_text(encoding="utf-8")
    assert [message["answer"] for message in webhook.messages] == ["bad", "undone"]
    bodies = [mail.get_body(("plain",)) for mail in mailbox.mails]
    assert ["Draft of the notice" in body.get_content() for body in bodies if body is not None] == [False, True]
    (attached,) = mailbox.mails[-1].iter_attachments()
    assert dict(attached["Content-Type"].params) == {"method": "REQUEST", "charset": "utf-8"}
    invitation: Any = icalendar.Calendar.from_ical(attached.get_content())
    (event,) = invitation.walk("VEVENT")
    assert (str(event["ORGANIZER"]), str(event["ATTENDEE"])) == ("mailto:ops@example.com", "mailto:team@example.com")

    again = _incident(playbooks, **told, **SHORT).ok()
    assert again.changed == 0 and "Nothing to do" in again.text
    assert len(webhook.messages) == len(mailbox.mails) == 2


def test_what_was_written_since_is_not_lost_by_itself(playbooks: Playbooks, target: Target) -> None:
    """Given rows written since the cutover, more than may be lost, then it says undo, with their number, and fails."""
    _restored(playbooks, target, "written since")
    target.say("new and worth keeping")
    played = _incident(playbooks, verdict="bad", auto_undo=True, max_rows_written=0, **SHORT).failed()
    assert "playbooks/undo.yml -e target=tracker" in played.message and "rows were written" in played.message
    assert target.served() == "new and worth keeping"
    # The same while more may be lost.
    _incident(playbooks, verdict="bad", auto_undo=True, max_rows_written=5, **SHORT).ok()
    assert target.served() == "worse than written since"


def test_without_enough_data_it_holds_and_a_person_answers(
    playbooks: Playbooks, target: Target, sentry: Sentry, webhook: Webhook
) -> None:
    """Given a project that Sentry does not know, then it asks; the person's answer closes the same run."""
    _restored(playbooks, target, "not enough")
    before = _incidents(playbooks)
    hooks = [{"name": "facts", "kind": "json", "url": webhook.address}]
    wrong = {**SHORT, "incident_sentry_organization": "acme", "incident_sentry_project": "other"}
    played = _incident(playbooks, sentry=sentry, incident_webhooks=hooks, **wrong).failed()
    assert "it cannot be said yet" in played.message and "-e verdict=good" in played.message
    assert "The projects of acme are: tracker, website" in played.text
    (held,) = set(_incidents(playbooks)) - set(before)
    assert [message["answer"] for message in webhook.messages] == ["not_enough_data"]
    _incident(playbooks, sentry=sentry, incident_webhooks=hooks, verdict="good", **wrong).ok()
    record = _log(playbooks)[-1]
    assert record["run"] == held, "the run that held was gone on with"
    assert record["looks"] > 0, "what was seen before the answer is in the record"
    page = json.loads(_report(playbooks, held, "json").read_text(encoding="utf-8"))
    assert page["incident"]["watch"]["answer"] == "not_enough_data" and page["incident"]["watch"]["events"]
    assert [message["answer"] for message in webhook.messages] == ["not_enough_data", "good"]


def test_in_check_mode_it_looks_and_tells_nobody(playbooks: Playbooks, target: Target, webhook: Webhook) -> None:
    """Given --check, then what would be told is shown, and nothing is written or sent."""
    _restored(playbooks, target, "only looking")
    before, journals = _log(playbooks), _incidents(playbooks)
    hooks = [{"name": "facts", "kind": "json", "url": webhook.address}]
    played = _incident(playbooks, "--check", incident_webhooks=hooks, **SHORT).ok()
    assert "Lost: what was saved between" in played.text
    assert _log(playbooks) == before and _incidents(playbooks) == journals and webhook.messages == []


def test_a_webhook_that_refuses_is_named_and_spoils_nothing(
    playbooks: Playbooks, target: Target, webhook: Webhook
) -> None:
    """Given a webhook that answers 500, then the incident is closed all the same, and it says who was not told.

    The same command again tells that one, and nobody twice.
    """
    _restored(playbooks, target, "who refuses")
    other = Webhook("/hooks/T1/Bv5Xt2Kq9Rm7Wz4Yc8Nd1Lf6")
    playbooks.secrets.add(other.path)
    webhook.status = 500
    # Without a kind it is json.
    hooks = [{"name": "facts", "url": other.address}, {"name": "team", "kind": "slack", "url": webhook.address}]
    played = _incident(playbooks, incident_webhooks=hooks, **SHORT).ok()
    assert "The webhook team was not told (HTTP 500)" in played.text
    record, journals = _log(playbooks)[-1], _incidents(playbooks)
    assert [(item["name"], item["kind"], item["ok"]) for item in record["notifications"]] == [
        ("facts", "json", True),
        ("team", "slack", False),
    ]
    assert "Could not tell team" in _report(playbooks, record["run"], "md").read_text(encoding="utf-8")

    webhook.status = 200
    _incident(playbooks, incident_webhooks=hooks, **SHORT).ok()
    assert len(webhook.messages) == 1 and len(other.messages) == 1
    last = _log(playbooks)[-1]
    assert last["run"] == record["run"] and last["looks"] == record["looks"] > 0
    assert all(item["ok"] for item in last["notifications"]) and _incidents(playbooks) == journals
    assert "Could not tell team" not in _report(playbooks, record["run"], "md").read_text(encoding="utf-8")
    again = _incident(playbooks, incident_webhooks=hooks, **SHORT).ok()
    other.close()
    assert again.changed == 0 and "Nothing to do" in again.text and len(webhook.messages) == 1


def test_with_nothing_restored_it_says_so(playbooks: Playbooks, target: Target) -> None:
    """Given a run that is no restore of the target, then it fails and names what to do."""
    played = _incident(playbooks, run="20250113T142500Z-restore-000000", **SHORT).failed()
    assert "there is none" in played.message
