# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an incident's end: pure. Made again whenever more is known: after the watch, and after an undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .._errors import InvalidInput
from .._plan.request import Findings
from .._report_parts import moment_text
from .._time import duration, rfc3339
from . import texts
from .calendar import Event, calendar
from .facts import Restored, read_restored
from .mail import address_of
from .request import Wanted, instant, judge, read_wanted, review_start
from .watch import BAD, GOOD, UNKNOWN

UNDONE = "undone"


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `incident_plan`.

    :raises InvalidInput: when `now` cannot be read. Everything else is a problem in the plan.
    """
    wanted, findings = read_wanted(params["request"]), Findings()
    run, records = params.get("restore") or {}, params.get("records") or []
    restored = read_restored(run, records) if run else None
    closed = _closed(params.get("incidents") or [], restored)
    if wanted.again:
        closed = None
    done = closed is not None and not wanted.unsent
    undone_at = _undone_at(params, closed, restored)
    if closed is None:
        judge(wanted, run, restored, undone_at is not None, records, findings)
    plan: dict[str, Any] = {
        "target": wanted.target,
        "environment": wanted.environment,
        "now": rfc3339(wanted.now),
        "problems": findings.problems,
        "warnings": findings.warnings,
        "already_done": {
            "done": done,
            "why": f"run {closed['run']} has closed this incident ({closed['answer']})" if closed and done else "",
        },
        **dict.fromkeys(_PARTS),
    }
    if restored is None or findings.problems:
        return {**plan, "text": [f"{item['message']} {item['what_to_do']}" for item in findings.problems]}
    watch = params.get("watch") or {}
    for note in watch.get("notes") or ():
        findings.warn(str(note))
    for item in wanted.notifications:
        if not item.get("ok"):
            findings.warn(str(item.get("why") or f"{item.get('name')} was not told."))
    answer, reasons = _answer(params, wanted, restored, closed)
    act = _act(wanted, answer, params.get("written") or {}, undone_at)
    plan.update(
        restored=_restored_part(restored),
        interval_lost=restored.interval(),
        counts=restored.counts(),
        watch=_watch_part(wanted, restored, findings),
        answer=answer,
        reasons=reasons,
        act=act,
        **_told(wanted, restored, watch, answer, reasons, act, undone_at, findings),
    )
    plan["text"] = _text(plan, wanted)
    return plan


_PARTS = (
    "restored",
    "interval_lost",
    "counts",
    "watch",
    "answer",
    "reasons",
    "act",
    "title",
    "next",
    "notice",
    "review",
    "messages",
    "timeline",
    "record",
)


def _closed(incidents: Sequence[Mapping[str, Any]], restored: Restored | None) -> Mapping[str, Any] | None:
    if restored is None:
        return None
    # One that was found to be bad is not over: what became of it is looked at again. Nor is one that was good, where it
    # was taken back since: the users were told something else.
    over = (GOOD, UNDONE) if restored.undone_at is None else (UNDONE,)
    return next((item for item in reversed(_records_of(incidents, restored)) if item.get("answer") in over), None)


def _records_of(incidents: Sequence[Mapping[str, Any]], restored: Restored) -> list[Mapping[str, Any]]:
    return [item for item in incidents if item.get("restore") == restored.run]


def _undone_at(
    params: Mapping[str, Any], closed: Mapping[str, Any] | None, restored: Restored | None
) -> datetime | None:
    """When it was taken back: by this run, by the one that closed this incident, or by somebody."""
    by_run = instant(params.get("undone_at") or (closed or {}).get("undone_at"))
    return by_run or (restored.undone_at if restored else None)


def _why_undone(params: Mapping[str, Any], restored: Restored, undone_at: datetime) -> list[str]:
    """What had spoken for it, where that was seen or said before, and that it was done."""
    before = [*_records_of(params.get("incidents") or [], restored), params.get("watch") or {}]
    bad = next((item for item in before[-2:] if item.get("answer") in (BAD, UNDONE)), {})
    said = [str(reason) for reason in bad.get("reasons") or ()]
    return list(dict.fromkeys([*said, f"the restore was taken back at {moment_text(rfc3339(undone_at))}"]))


def _restored_part(restored: Restored) -> dict[str, Any]:
    return {
        "run": restored.run,
        "strategy": restored.strategy,
        "cutover": rfc3339(restored.cutover),
        "restore_point": restored.point_text,
        "backup": restored.backup,
        "branch_id": restored.branch_id,
        "old_primary": restored.primary_name,
        "undo_possible_until": restored.possible_until,
    }


def _watch_part(wanted: Wanted, restored: Restored, findings: Findings) -> dict[str, Any]:
    """What to watch, from when to when, and which time to compare it with."""
    over = restored.cutover + timedelta(seconds=wanted.soak)
    before = restored.point
    if before is None and wanted.watches_errors:
        findings.warn(
            "The restore went to an LSN: nothing says when the incident began, so error rates are not compared."
        )
    return {
        "since": rfc3339(restored.cutover),
        "until": rfc3339(over),
        "seconds_left": max(0.0, (over - wanted.now).total_seconds()),
        "baseline_since": rfc3339(before - timedelta(minutes=wanted.baseline_minutes)) if before else None,
        "baseline_until": rfc3339(before) if before else None,
    }


def _answer(
    params: Mapping[str, Any], wanted: Wanted, restored: Restored, closed: Mapping[str, Any] | None
) -> tuple[str, list[str]]:
    watch = params.get("watch") or {}
    if closed is not None:
        return BAD if closed["answer"] == UNDONE else GOOD, [str(reason) for reason in closed.get("reasons") or ()]
    if restored.undone_at is not None and not params.get("undone_at"):
        return BAD, _why_undone(params, restored, restored.undone_at)
    if wanted.verdict:
        return wanted.verdict, [f"a person has said so: verdict={wanted.verdict}"]
    if not watch:
        return UNKNOWN, ["nothing was watched yet"]
    return str(watch["answer"]), [str(reason) for reason in watch.get("reasons") or ()]


def _act(wanted: Wanted, answer: str, written: Mapping[str, Any], undone_at: datetime | None) -> dict[str, Any]:
    """What follows from the answer: close, hold, say undo, or undo."""
    rows = written.get("rows")
    command = f"ansible-playbook playbooks/undo.yml -e target={wanted.target}"
    act: dict[str, Any] = {"what": "close", "why": "", "rows_written": rows, "undo_command": command}
    if undone_at is not None:
        return {**act, "what": UNDONE, "why": "it was taken back"}
    if answer == GOOD:
        return act
    if answer == UNKNOWN:
        return {**act, "what": "hold", "why": "there is not enough data for an answer"}
    if wanted.undo_failed:
        return {**act, "what": "say_undo", "why": f"taking it back by itself failed: {wanted.undo_failed}"}
    if not wanted.auto_undo:
        return {**act, "what": "say_undo", "why": "auto_undo is not set"}
    if rows is None:
        unknown = f": unknown is {written['why']}" if written.get("why") else ""
        return {
            **act,
            "what": "say_undo",
            "why": f"how many rows were written since the cutover cannot be said{unknown}",
        }
    if int(rows) > wanted.max_rows_written:
        why = f"up to {rows} rows were written since the cutover; at most {wanted.max_rows_written} may be lost"
        return {**act, "what": "say_undo", "why": why}
    return {**act, "what": "undo", "why": f"at most {rows} rows were written since the cutover"}


def _told(
    wanted: Wanted,
    restored: Restored,
    watch: Mapping[str, Any],
    answer: str,
    reasons: Sequence[str],
    act: Mapping[str, Any],
    undone_at: datetime | None,
    findings: Findings,
) -> dict[str, Any]:
    """Everything that is written and sent."""
    state = UNDONE if undone_at is not None else answer
    heading = texts.title(state, wanted.name)
    steps = _next(wanted, restored, act)
    draft = _notice(wanted, restored, act, undone_at)
    lost = f"Lost: what was saved {texts.span_text(restored.interval())}."
    lines = [*(_sentence(reason) for reason in reasons), lost, *steps]
    record = {
        "restore": restored.run,
        "run": wanted.run,
        "target": wanted.target,
        "answer": state,
        "reasons": list(reasons),
        "restore_point": restored.point_text,
        "cutover": rfc3339(restored.cutover),
        "interval_lost": restored.interval(),
        "looks": watch.get("looks", 0),
        "error_rate": watch.get("rate"),
        "error_rate_before": watch.get("baseline"),
        "error_rate_before_read_at": watch.get("baseline_read_at"),
        "undone_at": rfc3339(undone_at) if undone_at else None,
    }
    logged = {**record, "notifications": [dict(item) for item in wanted.notifications]}
    message = {**record, "title": heading, "environment": wanted.environment, "next": steps, "report": wanted.report}
    return {
        "title": heading,
        "next": steps,
        "notice": draft,
        "review": _review(wanted, restored, state),
        "messages": {
            "json": texts.webhook(message),
            "slack": texts.slack(heading, lines, f"Report: {wanted.report}" if wanted.report else ""),
            "mail": texts.mail(heading, lines, "" if draft["held"] else draft["text"], wanted.report),
        },
        "timeline": [*texts.timeline(restored, watch, undone_at), *texts.told(wanted.notifications)],
        "record": logged,
    }


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _notice(wanted: Wanted, restored: Restored, act: Mapping[str, Any], undone_at: datetime | None) -> dict[str, Any]:
    """The draft to the users; held while it is said that the restore is to be taken back: then it is another one."""
    if act["what"] in ("say_undo", "undo"):
        return {**texts.held_notice(name=wanted.name, again=_again(wanted, restored)), "held": True}
    made = texts.notice(restored, name=wanted.name, contact=wanted.contact, undone_at=undone_at)
    return {**made, "held": False}


def _again(wanted: Wanted, restored: Restored) -> str:
    """Names the run: the restore may not be the newest one by then."""
    return f"ansible-playbook playbooks/incident.yml -e target={wanted.target} -e run={restored.run}"


def _next(wanted: Wanted, restored: Restored, act: Mapping[str, Any]) -> list[str]:
    review = "Import the invitation to the review into your calendar and send it."
    if act["what"] in ("close", UNDONE):
        return ["Complete the draft of the notice and send it to the users.", review]
    if act["what"] == "hold":
        again = f"ansible-playbook playbooks/incident.yml -e target={wanted.target}"
        return [
            f"Is {wanted.name} well? Look yourself, then say so: {again} -e verdict=good (or bad).",
            f"Or watch on, with the same command as before: {again}",
        ]
    if act["what"] == "undo":
        return ["It is being taken back."]
    until = f"; possible until {moment_text(restored.possible_until)}" if restored.possible_until else ""
    return [
        f"Take the restore back: {act['undo_command']} ({act['why']}{until}).",
        "Undo loses what was written since the cutover; it says first how much that is.",
        "Send the users no notice yet. Once the restore was taken back, have it written by "
        f"{_again(wanted, restored)} (where it stays, with -e verdict=good).",
        review,
    ]


def _review(wanted: Wanted, restored: Restored, state: str) -> dict[str, Any]:
    start = review_start(wanted)
    said = texts.review(restored, name=wanted.name, answer=state, run=wanted.run)
    event = Event(
        uid=f"{restored.run}@rewind.database",
        start=start,
        minutes=wanted.review_minutes,
        summary=said["summary"],
        description=said["description"],
        made=wanted.now,
        # It is made anew with each answer, and may have moved by then.
        sequence=max(0, int((wanted.now - restored.cutover).total_seconds())),
        organizer=_organizer(wanted),
        attendees=wanted.attendees,
    )
    end = start + timedelta(minutes=wanted.review_minutes)
    return {"at": rfc3339(start), "until": rfc3339(end), "method": event.method, "calendar": calendar(event)}


def _organizer(wanted: Wanted) -> str:
    """Who invites, where that can be said: else the mail is what it comes from."""
    try:
        return wanted.organizer or (address_of(wanted.sender).addr_spec if wanted.sender else "")
    except InvalidInput:
        return ""


def _text(plan: Mapping[str, Any], wanted: Wanted) -> list[str]:
    """What is shown to the person who runs it."""
    restored, watch = plan["restored"], plan["watch"]
    if plan["answer"] == UNKNOWN and plan["reasons"] == ["nothing was watched yet"]:
        left = duration(watch["seconds_left"])
        return [
            f"Restore {restored['run']} to {moment_text(restored['restore_point'])}, in use since "
            f"{moment_text(restored['cutover'])}.",
            f"Lost: what was saved {texts.span_text(plan['interval_lost'])}.",
            f"Watched until {moment_text(watch['until'])}, for another {left}.",
            *plan["warnings"],
        ]
    return [
        f"{plan['title']}.",
        *(_sentence(reason) for reason in plan["reasons"]),
        f"Lost: what was saved {texts.span_text(plan['interval_lost'])}.",
        *plan["warnings"],
        *plan["next"],
    ]
