# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of an incident's end, and what stands in its way: all of it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._errors import InvalidInput
from .._plan.request import Findings
from .._time import parse_instant, utc_now
from .calendar import is_address, working_days_later
from .facts import Restored
from .watch import BAD, GOOD

REVIEW_HOUR = 10


@dataclass(frozen=True)
class Wanted:
    """What is asked for, read once."""

    target: str
    environment: str
    now: datetime
    run: str
    name: str
    soak: float
    baseline_minutes: float
    verdict: str
    auto_undo: bool
    undo_failed: str
    max_rows_written: int
    confirm: frozenset[str]
    again: bool
    has_health: bool
    watches_errors: bool
    contact: str
    review_at: str
    review_days: int
    review_minutes: int
    organizer: str
    sender: str
    attendees: tuple[str, ...]
    report: str
    unsent: tuple[str, ...]
    notifications: tuple[Mapping[str, Any], ...]


def read_wanted(given: Mapping[str, Any]) -> Wanted:
    def text(name: str) -> str:
        return str(given.get(name) or "").strip()

    target = text("target") or "target"
    return Wanted(
        target=target,
        environment=text("environment") or "production",
        now=parse_instant(given["now"], future=True) if given.get("now") else utc_now(),
        run=text("run"),
        name=text("name") or target,
        soak=float(given.get("soak") or 0),
        baseline_minutes=float(given.get("baseline_minutes") or 60),
        verdict=text("verdict"),
        auto_undo=bool(given.get("auto_undo")),
        undo_failed=text("undo_failed"),
        max_rows_written=int(given.get("max_rows_written") or 0),
        confirm=frozenset(name.strip() for name in text("confirm").split(",")),
        again=bool(given.get("again")),
        has_health=bool(given.get("has_health")),
        watches_errors=bool(given.get("watches_errors")),
        contact=text("contact"),
        review_at=text("review_at"),
        review_days=int(given.get("review_days") or 2),
        review_minutes=int(given.get("review_minutes") or 60),
        organizer=text("organizer"),
        sender=text("sender"),
        attendees=tuple(str(item) for item in given.get("attendees") or ()),
        report=text("report"),
        unsent=tuple(str(name) for name in given.get("unsent") or ()),
        notifications=tuple(given.get("notifications") or ()),
    )


def instant(value: Any) -> datetime | None:
    """An instant that a record says; None where it says none."""
    return parse_instant(value, future=True) if value else None


def review_start(wanted: Wanted) -> datetime:
    if not wanted.review_at:
        return working_days_later(wanted.now, wanted.review_days, REVIEW_HOUR)
    return parse_instant(wanted.review_at, now=wanted.now, future=True)


def judge(
    wanted: Wanted,
    run: Mapping[str, Any],
    restored: Restored | None,
    is_undone: bool,
    records: Sequence[Mapping[str, Any]],
    findings: Findings,
) -> None:
    """Everything that stands in the way, together."""
    _judge_run(wanted, run, restored, is_undone, records, findings)
    if wanted.verdict not in ("", GOOD, BAD):
        findings.problem(
            "verdict_invalid",
            f'"{wanted.verdict}" is no verdict.',
            "Say -e verdict=good or -e verdict=bad, or leave it out to watch.",
        )
    asks = wanted.auto_undo and not is_undone
    if asks and wanted.environment == "production" and wanted.target not in wanted.confirm:
        findings.problem(
            "not_confirmed",
            f"{wanted.target} is a production target, and nobody has said yes to taking its restore back by itself.",
            f"Add -e confirm={wanted.target}, or leave auto_undo out.",
        )
    if not wanted.has_health:
        findings.warn(
            "No health address is set (rewind_health_url): only Coolify's own status says whether it is well, and "
            "without a health check in Coolify nothing does."
        )
    if not wanted.watches_errors:
        findings.warn("No project of Sentry is set (rewind_sentry_project): the error rate is not watched.")
    for address in (wanted.organizer, *wanted.attendees):
        if address and not is_address(address):
            findings.problem(
                "address_invalid", f'"{address}" is no mail address.', "Write name@example.com, without a name."
            )
    try:
        review_start(wanted)
    except InvalidInput as error:
        findings.problem("review_invalid", f"{error.text[0].upper()}{error.text[1:]}.", error.hint)


def _judge_run(
    wanted: Wanted,
    run: Mapping[str, Any],
    restored: Restored | None,
    is_undone: bool,
    records: Sequence[Mapping[str, Any]],
    findings: Findings,
) -> None:
    if not run:
        findings.problem(
            "no_restore",
            f"No restore of {wanted.target} is in its journal.",
            "Name its run with -e run=ID; the journals lie below the state directory.",
        )
        return
    if run.get("verb") != "restore":
        findings.problem(
            "not_a_restore", f"The run {run.get('id')} is a {run.get('verb')}.", "Name a restore with -e run=ID."
        )
        return
    status = run.get("status")
    if restored is None and status == "undone":
        findings.problem(
            "undone",
            f"The restore {run.get('id')} was taken back before it was proven: nothing of it was left in use.",
            "Name another one with -e run=ID.",
        )
        return
    if restored is None or (status != "done" and not restored.undone):
        findings.problem(
            "not_done",
            f"The restore {run.get('id')} of {wanted.target} is {status}: there is nothing to watch yet.",
            "Finish it with the command that began it, or take it back: ansible-playbook playbooks/undo.yml "
            f"-e target={wanted.target}",
        )
        return
    if is_undone:
        return
    if restored.undone:
        findings.problem(
            "undone",
            f"The restore {restored.run} is being taken back, and that has not ended.",
            f"End it: ansible-playbook playbooks/undo.yml -e target={wanted.target} -e run={restored.run}",
        )
    later = [item for item in records if _is_later(item, wanted, restored)]
    if later:
        findings.problem(
            "replaced",
            f"Run {later[-1].get('run') or '(unknown)'} has cut {wanted.target} over to other data since.",
            "Leave -e run out to watch the newest one.",
        )


def _is_later(record: Mapping[str, Any], wanted: Wanted, restored: Restored) -> bool:
    if record.get("event") != "cutover" or record.get("target") not in (None, wanted.target):
        return False
    at = instant(record.get("at"))
    return record.get("run") != restored.run and at is not None and at > restored.cutover
