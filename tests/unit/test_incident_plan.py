# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""incident_plan: which interval was lost, what follows from an answer, what an undo would lose, what people read."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest
from ansible_collections.rewind.database.plugins.module_utils._incident import calendar
from ansible_collections.rewind.database.plugins.module_utils._incident.watch import BAD, GOOD, UNKNOWN
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
RUN = "20250113T143500Z-restore-4f2a9c"
USER, LOG = 'public."User"', 'public."Log"'


def manifest(**tables: tuple[int, str | None, str | None]) -> Json:
    """A manifest: by table, rows, newest row and the column that says so. The hash differs where one of them does."""
    return {
        "version": 1,
        "server_version": "17.2",
        "schema_hash": "a",
        "migration": None,
        "sequences": {},
        "extensions": {},
        "tables": {
            f'public."{name}"': {"rows": rows, "newest": newest, "newest_column": column, "hash": f"r:{rows}{newest}"}
            for name, (rows, newest, column) in tables.items()
        },
    }


VERIFIED = manifest(User=(100, "2025-01-13T14:24:00Z", "updatedAt"), Log=(10, None, None))


def restore(**more: Any) -> Json:
    """The run of a restore by repoint to 14:25:00, whose writes were fenced at 14:52:10."""
    plan = {
        "restore_point": {"utc": "2025-01-13T14:25:00Z", "lsn": None, "backup": None, "kind": "time"},
        "strategy": {"chosen": "repoint"},
        "primary": {"branch_id": "br-main", "name": "main"},
        "undo": {"possible_until": "2025-01-20T14:52:00Z"},
        "not_restored": ["uploaded files"],
    }
    live = manifest(User=(112, "2025-01-13T14:50:00Z", "updatedAt"), Log=(10, None, None))
    verified = {"branch": {"id": "br-restore", "name": "restore-20250113-142500"}, "manifest": VERIFIED, "live": live}
    fence = {"phase": "done", "at": "2025-01-13T14:52:11Z", "data": {"at": "2025-01-13T14:52:10Z", "read_only": True}}
    return {
        "id": RUN,
        "verb": "restore",
        "status": "done",
        "steps": {
            "plan": {"phase": "done", "data": {"plan": plan}},
            "verified": {"phase": "done", "data": verified},
            "fence_writes": fence,
            "env": {"phase": "done", "at": "2025-01-13T14:52:20Z", "data": {}},
            "deploy": {"phase": "done", "at": "2025-01-13T14:53:30Z", "data": {}},
        },
        "sections": [{"step": "branch", "started": "2025-01-13T14:35:05Z", "finished": "2025-01-13T14:36:00Z"}],
        **more,
    }


CUTOVER = {
    "event": "cutover",
    "run": RUN,
    "target": "tracker",
    "at": "2025-01-13T14:52:20Z",
    "from_branch_id": "br-main",
    "to_branch_id": "br-restore",
}
SEEN = {
    "answer": GOOD,
    "reasons": ["the application was well 3 times in a row"],
    "looks": 40,
    "seconds": 600,
    "started": "2025-01-13T14:55:00Z",
    "ended": "2025-01-13T15:05:00Z",
    "events": [{"at": "2025-01-13T14:55:00Z", "text": "Seen well"}],
}


def plan(run: Json | None = None, *, watch: Json | None = None, **more: Any) -> Json:
    """The plan, through the module."""
    options: Json = {
        "restore": restore() if run is None else run,
        "records": more.pop("records", [CUTOVER]),
        "watch": watch,
        **{key: more.pop(key) for key in ("incidents", "written", "undone_at") if key in more},
        "request": {
            "target": "tracker",
            "environment": "staging",
            "now": "2025-01-13T15:05:00Z",
            "run": "20250113T145500Z-incident-0a1b2c",
            "watches_errors": True,
            **more,
        },
    }
    result = call_module("incident_plan", copy.deepcopy(options))
    assert not result.get("failed"), result["msg"]
    found: Json = result["plan"]
    return found


def read_calendar(text: str) -> tuple[Any, Any]:
    """The calendar and its only event, read by a parser that others wrote."""
    read: Any = icalendar.Calendar.from_ical(text.encode())
    (event,) = read.walk("VEVENT")
    return read, event


def codes(made: Json) -> list[str]:
    return [item["code"] for item in made["problems"]]


def test_the_interval_lost_ends_where_the_writes_were_fenced() -> None:
    """Given a fence, then what was lost ends at its instant, exactly; without one at the cutover, and not exactly."""
    made = plan()
    assert made["interval_lost"] == {
        "from": "2025-01-13T14:25:00Z",
        "to": "2025-01-13T14:52:10Z",
        "seconds": 1630,
        "text": "27 min 10 s",
        "exact": True,
    }
    unfenced = restore()
    del unfenced["steps"]["fence_writes"]
    # The old application went on writing until the new one was deployed.
    assert plan(unfenced)["interval_lost"]["to"] == "2025-01-13T14:53:30Z"
    assert plan(unfenced)["interval_lost"]["exact"] is False
    in_place = restore()
    in_place["steps"] = {name: in_place["steps"][name] for name in ("plan", "verified")}
    in_place["steps"]["plan"]["data"]["plan"]["strategy"]["chosen"] = "in_place"
    in_place["steps"]["restore"] = {"phase": "done", "at": "2025-01-13T14:52:30Z", "data": {}}
    found = plan(in_place)
    assert (found["interval_lost"]["to"], found["interval_lost"]["exact"]) == ("2025-01-13T14:52:20Z", True)
    assert found["restored"]["branch_id"] == "br-main" and made["restored"]["branch_id"] == "br-restore"


def test_the_time_before_the_incident_ends_at_the_restore_point() -> None:
    """Given a restore point, then the hour before it is what error rates are compared with; an LSN has none."""
    watch = plan(soak=1800)["watch"]
    assert (watch["baseline_since"], watch["baseline_until"]) == ("2025-01-13T13:25:00Z", "2025-01-13T14:25:00Z")
    assert (watch["since"], watch["until"], watch["seconds_left"]) == (CUTOVER["at"], "2025-01-13T15:22:20Z", 1040)
    run = restore()
    run["steps"]["plan"]["data"]["plan"]["restore_point"] = {"utc": None, "lsn": "0/1A2B3C4", "kind": "lsn"}
    made = plan(run)
    assert made["watch"]["baseline_since"] is None and made["interval_lost"]["text"] == "unknown"
    assert any("LSN" in warning for warning in made["warnings"])
    assert "in the time before 2025-01-13 14:52:10 UTC" in made["notice"]["text"]


@pytest.mark.parametrize(
    ("run", "records", "code"),
    [
        ({}, [CUTOVER], "no_restore"),
        (restore(verb="backup"), [CUTOVER], "not_a_restore"),
        (restore(status="running"), [CUTOVER], "not_done"),
        (restore(status="failed"), [], "not_done"),
        (restore(status="undone"), [], "undone"),
        (restore(status="stuck"), [CUTOVER, {**CUTOVER, "undone": True, "proven": False}], "undone"),
        (restore(), [CUTOVER, {**CUTOVER, "run": "other", "at": "2025-01-13T15:00:00Z"}], "replaced"),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_to_do(run: Json, records: list[Json], code: str) -> None:
    """Given a run that is no restore in use, then that is a problem, and the text says what to do."""
    made = plan(run, records=records)
    assert codes(made) == [code]
    assert made["problems"][0]["what_to_do"] in made["text"][0] and made["answer"] is None


def test_all_problems_are_said_together() -> None:
    """Given several things that are wrong, then all are listed."""
    made = plan(
        verdict="fine", auto_undo=True, environment="production", organizer="nobody", review_at="2025-01-20 10:00:00"
    )
    assert codes(made) == ["verdict_invalid", "not_confirmed", "address_invalid", "review_invalid"]
    assert "-e confirm=tracker" in made["problems"][1]["what_to_do"]
    assert codes(plan(auto_undo=True, environment="production", confirm="tracker")) == []


def test_each_answer_has_its_consequence() -> None:
    """Given the three answers, then good closes, bad says undo, and not enough data holds and asks."""
    assert plan(watch=SEEN)["act"]["what"] == "close"
    bad = plan(watch={**SEEN, "answer": BAD, "reasons": ["the application was not well 3 times in a row (HTTP 503)"]})
    assert bad["act"]["what"] == "say_undo"
    assert "ansible-playbook playbooks/undo.yml -e target=tracker" in bad["next"][0]
    assert "possible until 2025-01-20 14:52:00 UTC" in bad["next"][0]
    hold = plan(watch={**SEEN, "answer": UNKNOWN, "reasons": ["the error rate after the restore is not known"]})
    assert hold["act"]["what"] == "hold" and "-e verdict=good" in hold["next"][0]
    assert plan(watch={**SEEN, "answer": UNKNOWN}, verdict="good")["act"]["what"] == "close"


def test_it_is_taken_back_by_itself_only_below_the_bound() -> None:
    """Given bad and auto_undo, then it is undone while the rows written are known and few enough, and only then."""
    bad = {**SEEN, "answer": BAD}
    known: Json = {"written": {"rows": 3, "tables": {USER: 3}, "why": ""}}
    few = plan(watch=bad, auto_undo=True, max_rows_written=3, **known)
    assert (few["act"]["what"], few["act"]["rows_written"]) == ("undo", 3)
    many = plan(watch=bad, auto_undo=True, max_rows_written=2, **known)
    assert many["act"]["what"] == "say_undo" and "up to 3 rows" in many["act"]["why"]
    assert plan(watch=bad, max_rows_written=3, **known)["act"]["what"] == "say_undo", "nobody asked for it"
    unknown: Json = {"written": {"rows": None, "tables": {LOG: None}, "why": f"what changed in {LOG}"}}
    for counted, why in (({}, "cannot be said"), (unknown, f"cannot be said: unknown is what changed in {LOG}")):
        act = plan(watch=bad, auto_undo=True, max_rows_written=10**6, **counted)["act"]
        assert act["what"] == "say_undo" and act["why"].endswith(why)
    failed = plan(watch=bad, auto_undo=True, max_rows_written=3, undo_failed="the lock is held", **known)
    assert failed["act"]["what"] == "say_undo" and "failed: the lock is held" in failed["act"]["why"]
    nothing = {"written": {"rows": 0, "tables": {}, "why": ""}}
    assert plan(watch=bad, auto_undo=True, **nothing)["act"]["what"] == "undo"


UNDONE_AT = "2025-01-13T15:04:00Z"
TAKEN_BACK = {**CUTOVER, "at": UNDONE_AT, "undone": True, "proven": True}
UNDONE = restore(status="undone", finished_at="2025-01-13T15:06:00Z")


def test_no_notice_is_drafted_while_the_restore_is_to_be_taken_back() -> None:
    """Given bad, then nothing is to be sent to the users yet, anywhere, and it is said how they get their notice."""
    made = plan(watch={**SEEN, "answer": BAD}, name="Quest Tracker")
    assert made["act"]["what"] == "say_undo" and made["notice"]["held"]
    assert not any("Complete the draft" in step for step in made["next"])
    again = f"ansible-playbook playbooks/incident.yml -e target=tracker -e run={RUN}"
    assert any(again in step and "Send the users no notice yet" in step for step in made["next"])
    assert again in made["notice"]["text"] and "we restored the database" not in made["notice"]["text"]
    assert "Draft of the notice" not in made["messages"]["mail"]["body"]
    kept = plan(watch={**SEEN, "answer": BAD}, verdict="good")
    assert not kept["notice"]["held"] and "Complete the draft" in kept["next"][0]


@pytest.mark.parametrize(
    ("records", "at"), [([CUTOVER, TAKEN_BACK], UNDONE_AT), ([CUTOVER], str(UNDONE["finished_at"]))]
)
def test_a_restore_that_somebody_took_back_is_told_as_one_that_took_itself_back(records: list[Json], at: str) -> None:
    """Given an undo by hand, with a record that said bad or without, then the notice and the interval are the same."""
    by_itself = plan(watch={**SEEN, "answer": BAD}, auto_undo=True, undone_at=at)
    bad = {"restore": RUN, "run": "20250113T145500Z-incident-0a1b2c", "answer": BAD, "reasons": ["HTTP 503"]}
    for before in ([], [bad]):
        made = plan(UNDONE, records=records, incidents=before)
        assert made["problems"] == [] and not made["already_done"]["done"]
        assert (made["act"]["what"], made["record"]["answer"], made["record"]["undone_at"]) == ("undone", "undone", at)
        for part in ("notice", "interval_lost", "counts", "next", "title"):
            assert made[part] == by_itself[part], part
        assert made["reasons"][: len(before)] == [*bad["reasons"]][: len(before)]
        assert "the restore was taken back at 2025-01-13 15:0" in made["reasons"][-1]
        again = plan(UNDONE, records=records, incidents=[*before, made["record"]])
        assert again["already_done"]["done"], "it is told once"


def test_what_was_seen_before_a_kill_is_why_it_was_taken_back() -> None:
    """Given a run that was killed after its own undo, then the one that goes on with it says what was seen."""
    made = plan(
        UNDONE, watch={**SEEN, "answer": BAD, "reasons": ["HTTP 503"]}, auto_undo=True, environment="production"
    )
    assert (made["problems"], made["act"]["what"], made["reasons"][0]) == ([], "undone", "HTTP 503")
    assert any(item["step"] == "watch" for item in made["timeline"])


def test_a_good_end_is_not_the_end_where_it_was_taken_back_since() -> None:
    """Given an incident that was closed as good and an undo after it, then the users have a new notice to get."""
    good = {"restore": RUN, "run": "20250113T145500Z-incident-0a1b2c", "answer": GOOD, "reasons": ["it was well"]}
    made = plan(UNDONE, incidents=[good])
    assert not made["already_done"]["done"] and made["act"]["what"] == "undone"
    assert "took that back" in made["notice"]["text"] and "it was well" not in made["reasons"]


def test_one_that_was_taken_back_is_told_though_another_restore_came_after_it() -> None:
    """Given another restore since, then the one that was taken back still has its notice."""
    later = {**CUTOVER, "run": "other", "at": "2025-01-13T16:00:00Z"}
    made = plan(UNDONE, records=[CUTOVER, TAKEN_BACK, later])
    assert made["problems"] == [] and made["record"]["undone_at"] == UNDONE_AT


@pytest.mark.parametrize(
    ("confirm", "allowed"),
    [("tracker", True), ("tracker,billing", True), ("billing, tracker", True), ("billing", False), ("true", False)],
)
def test_a_yes_may_name_several_targets(confirm: str, allowed: bool) -> None:
    """Given several targets in one run, then each finds its own name in the list, as in every other playbook."""
    made = plan(auto_undo=True, environment="production", confirm=confirm)
    assert codes(made) == ([] if allowed else ["not_confirmed"])


def test_the_notice_says_the_exact_interval_and_nothing_that_only_we_understand() -> None:
    """Given a restore, then the draft names both ends, the rows, what was not touched, and how to reach somebody."""
    notice = plan(watch=SEEN, contact="help@example.com", name="Quest Tracker")["notice"]
    text = notice["text"]
    span = "between 2025-01-13 14:25:00 UTC and 2025-01-13 14:52:10 UTC (27 min 10 s)"
    assert f"Everything that was saved {span} is lost." in text and span in notice["subject"]
    assert f"- {USER}: 12" in text and "uploaded files" in text and "help@example.com" in text
    assert text.startswith("At 2025-01-13 14:52:20 UTC we restored the database of Quest Tracker")
    for word in ("branch", "br-", "cutover", "repoint", RUN):
        assert word not in text
    back = plan(watch={**SEEN, "answer": BAD}, undone_at="2025-01-13T15:04:00Z")["notice"]
    lost = "between 2025-01-13 14:52:20 UTC and 2025-01-13 15:04:00 UTC"
    assert f"Everything that you saved {lost} is lost." in back["text"] and "is there again" in back["text"]


def test_the_messages_say_the_same_and_mention_nobody() -> None:
    """Given names that mean something elsewhere, then Slack shows them as text, and the JSON is whole."""
    made = plan(watch=SEEN, name="<!channel> & co", report="/state/x.html")
    slack = made["messages"]["slack"]
    assert set(slack) == {"text"} and "<!channel>" not in slack["text"]
    assert "&lt;!channel&gt; &amp; co" in slack["text"]
    facts = json.loads(json.dumps(made["messages"]["json"]))
    assert (facts["event"], facts["answer"], facts["restore"]) == ("rewind.incident", GOOD, RUN)
    assert facts["interval_lost"]["to"] == "2025-01-13T14:52:10Z" and facts["report"] == "/state/x.html"
    mail = made["messages"]["mail"]
    assert "> At 2025-01-13" in mail["body"] and "Report: /state/x.html" in mail["body"]


def test_the_timeline_is_in_the_order_of_time() -> None:
    """Given journal and watch, then restore point, steps, cutover and looks stand one after the other."""
    made = plan(watch=SEEN)["timeline"]
    steps = [item["step"] for item in made]
    assert steps[:4] == ["restore_point", "branch", "last_write", "in_use"] and set(steps[4:]) == {"watch", "seen"}
    assert [str(item["started"]) for item in made] == sorted(str(item["started"]) for item in made)


def test_an_incident_is_closed_once() -> None:
    """Given a closed one, then there is nothing left to do, unless it is asked for; one that was bad is not over."""
    closed = {"restore": RUN, "run": "20250113T145500Z-incident-0a1b2c", "answer": GOOD}
    assert plan(incidents=[closed])["already_done"]["done"]
    assert not plan(incidents=[closed], again=True)["already_done"]["done"]
    assert not plan(incidents=[{**closed, "answer": BAD}])["already_done"]["done"]
    undone = plan(restore(status="undone"), incidents=[{**closed, "answer": "undone"}])
    assert undone["already_done"]["done"] and undone["problems"] == []


def test_a_closed_one_is_gone_on_with_for_those_who_were_not_told() -> None:
    """Given a run that closed it and did not reach all, then what it answered is said again, to them."""
    closed = {"restore": RUN, "run": "20250113T145500Z-incident-0a1b2c", "answer": GOOD, "reasons": ["it was well"]}
    made = plan(incidents=[closed], unsent=["team"], watch=SEEN)
    assert not made["already_done"]["done"] and made["problems"] == []
    assert (made["answer"], made["reasons"], made["act"]["what"]) == (GOOD, ["it was well"], "close")
    back = {**closed, "answer": "undone", "undone_at": "2025-01-13T15:04:00Z"}
    made = plan(restore(status="undone"), incidents=[back], unsent=["mail"])
    assert (made["act"]["what"], made["record"]["answer"]) == ("undone", "undone")
    assert made["record"]["undone_at"] == "2025-01-13T15:04:00Z"


def test_who_was_told_is_in_the_record_and_in_the_timeline() -> None:
    """Given one who was told and one who was not, then both are in record and timeline, and that one is a warning."""
    why = "The webhook team was not told (HTTP 500)."
    sent = [{"name": "facts", "kind": "json", "ok": True, "why": ""}, {"name": "team", "ok": False, "why": why}]
    made = plan(watch=SEEN, notifications=sent)
    assert made["record"]["notifications"] == sent and why in made["warnings"] and why in made["text"]
    rows = [(item["title"], item["status"], item["detail"]) for item in made["timeline"] if item["step"] == "told"]
    assert rows == [("Told facts", "done", ""), ("Could not tell team", "failed", why)]


def test_what_was_watched_before_a_persons_answer_stays_in_the_record() -> None:
    """Given a watch that held and a person's answer, then the record has the watch's numbers, as it answered."""
    held = {**SEEN, "answer": UNKNOWN, "rate": {"events": 3}, "baseline": {"events": 2}}
    made = plan(watch=held, verdict="good")
    assert (made["record"]["looks"], made["record"]["error_rate"]) == (40, {"events": 3})
    (watched,) = [item for item in made["timeline"] if item["step"] == "watch"]
    assert watched["status"] == "running" and made["act"]["what"] == "close"


def test_the_review_is_a_working_day_that_others_can_read() -> None:
    """Given a Friday, then two working days later is Tuesday at ten, and a calendar by others reads it."""
    made = plan(now="2025-01-17T15:05:00Z", attendees=["a@example.com"], organizer="o@example.com", review_minutes=45)
    assert (made["review"]["at"], made["review"]["until"]) == ("2025-01-21T10:00:00Z", "2025-01-21T10:45:00Z")
    read, event = read_calendar(made["review"]["calendar"])
    assert event["DTSTART"].dt == datetime(2025, 1, 21, 10, tzinfo=UTC)
    assert event["DTEND"].dt - event["DTSTART"].dt == timedelta(minutes=45)
    assert str(event["UID"]) == f"{RUN}@rewind.database" and str(event["ORGANIZER"]) == "mailto:o@example.com"
    assert read["VERSION"] == "2.0" and read["PRODID"] and event["DTSTAMP"].dt.tzinfo is not None
    assert "Lost: what was saved between 2025-01-13 14:25:00 UTC" in str(event["DESCRIPTION"])
    fixed = plan(review_at="2025-01-20 11:00:00 Europe/Berlin")
    assert fixed["review"]["at"] == "2025-01-20T10:00:00Z"


@pytest.mark.parametrize(
    ("options", "organizer"),
    [
        ({"organizer": "o@example.com", "sender": "Ops <ops@example.com>"}, "o@example.com"),
        ({"sender": "Ops <ops@example.com>"}, "ops@example.com"),
        ({"sender": "öps@example.com"}, None),
        ({"sender": "nobody"}, None),
        ({}, None),
    ],
)
def test_who_is_invited_is_invited_by_somebody(options: Json, organizer: str | None) -> None:
    """Given attendees, then it is a request of the organizer, or of the mail's sender; by nobody, nobody is invited."""
    asked = ["a@example.com", "b@example.com"]
    made = plan(watch=SEEN, attendees=asked, **options)
    read, event = read_calendar(made["review"]["calendar"])
    attendees = [str(item) for item in event.get("ATTENDEE", [])]
    assert made["review"]["method"] == str(read.get("METHOD", "")) == ("REQUEST" if organizer else "")
    if organizer:
        assert str(event["ORGANIZER"]) == f"mailto:{organizer}"
        assert attendees == [f"mailto:{address}" for address in asked]
        assert "a@example.com" not in str(event["DESCRIPTION"])
    else:
        assert "ORGANIZER" not in event and attendees == []
        assert "With: a@example.com, b@example.com." in str(event["DESCRIPTION"])
    alone = plan(watch=SEEN, **options)["review"]
    assert alone["method"] == ("PUBLISH" if organizer else "") and "ATTENDEE" not in alone["calendar"]


def test_a_later_invitation_replaces_the_earlier_one() -> None:
    """Given the same restore with another answer later, then its appointment is the same one, in a later version."""
    first, second = (
        read_calendar(plan(now=now, watch=SEEN)["review"]["calendar"])[1]
        for now in ("2025-01-13T15:05:00Z", "2025-01-14T09:00:00Z")
    )
    assert first["UID"] == second["UID"] and 0 < int(first["SEQUENCE"]) < int(second["SEQUENCE"])


@given(
    summary=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
    description=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=400),
)
def test_any_text_comes_out_of_the_calendar_as_it_went_in(summary: str, description: str) -> None:
    """Given any text, then lines are at most 75 octets, ended by CRLF, and a parser by others reads the same text."""
    event = calendar.Event(
        uid="x@rewind.database",
        start=datetime(2025, 1, 21, 10, tzinfo=UTC),
        minutes=60,
        summary=summary,
        description=description,
        made=datetime(2025, 1, 13, tzinfo=UTC),
    )
    text = calendar.calendar(event)
    lines = text.split("\r\n")
    assert lines[-1] == "" and all(len(line.encode()) <= 75 and "\n" not in line for line in lines)
    _calendar, read = read_calendar(text)
    assert str(read["SUMMARY"]) == summary and str(read["DESCRIPTION"]) == description


def test_both_ways_say_the_same(both_ways: BothWays) -> None:
    """Given a restore, when its plan is made in the controller's process and as a module, then both are equal."""
    request = {"target": "tracker", "now": "2025-01-13T15:05:00Z", "environment": "staging"}
    options = {"restore": restore(), "records": [CUTOVER], "request": request}
    assert both_ways.same("incident_plan", options, check_mode=True)["plan"]["problems"] == []
