# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a backup: which branch is the primary, what the backup is called, until when it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._errors import InvalidInput
from .._time import branch_name, duration, parse_instant, rfc3339
from .instants import instant_or_none
from .parts import primary_part
from .point import Backup, Point, known_backups
from .primary import Primary, find_primary, in_use
from .request import Facts, Findings, Request, read_facts, read_request
from .source import Source, find_source
from .strategies import slots, window_start

# A backstop behind the retention (rule 8): Neon deletes by itself what a cleanup forgot, and takes 30 days at most.
EXPIRY_MARGIN = timedelta(days=2)
LONGEST_EXPIRY = timedelta(days=30) - timedelta(minutes=5)
_NAME_LENGTH = 256


@dataclass(frozen=True)
class Wanted:
    """What is asked of a backup, beside what every plan is asked."""

    reason: str
    name: str | None
    keep: bool
    retention: timedelta
    unless_newer_than: timedelta | None


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `backup_plan`.

    :raises InvalidInput: when `now` or a length of time cannot be read. Everything else is a problem in the plan.
    """
    given = params["request"]
    request, findings = read_request(given), Findings()
    facts = read_facts(params, request.target)
    wanted = _wanted(given, findings)
    primary = find_primary(facts, request, findings)
    at = _instant(request, findings)
    plan: dict[str, Any] = {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "reason": wanted.reason,
        "keep": wanted.keep,
        "keep_until": None if wanted.keep else rfc3339(request.now + wanted.retention),
        "expires_at": _expiry(request, wanted),
        "primary": primary_part(facts, primary) if primary else None,
        "newest": _public(newest_verified(facts)),
    }
    source = _source(request, facts, primary, at, findings) if primary else None
    name = wanted.name or branch_name("backup", at or request.started.replace(microsecond=0))
    plan["name"] = _free(name, facts, source, at) if wanted.name is None else name
    plan["source"] = source.public(primary is not None and source.branch_id == primary.branch_id) if source else None
    plan["already_done"] = _already_done(request, facts, wanted, plan["name"], at)
    if primary and not plan["already_done"]["done"]:
        _check(request, facts, at, findings)
    plan["slots"] = slots(facts, {"branches": 0 if plan["already_done"]["done"] else 1, "roots": 0})
    plan["problems"] = findings.problems
    plan["warnings"] = findings.warnings
    return plan


def _wanted(given: Mapping[str, Any], findings: Findings) -> Wanted:
    reason = str(given.get("reason") or "").strip()
    keep, days = bool(given.get("keep")), float(given.get("retention_days") or 7)
    if keep and not reason:
        findings.problem("reason_missing", "A backup that is kept for good needs a reason.", 'Say -e reason="why".')
    if days <= 0:
        findings.problem("retention_invalid", f"A retention of {days:g} days is none.", "Say 1 day or more, or keep.")
    name = str(given.get("name") or "").strip() or None
    if name is not None and len(name) > _NAME_LENGTH:
        findings.problem("name_too_long", f"The name has {len(name)} characters.", f"Use {_NAME_LENGTH} or fewer.")
    newer = given.get("unless_newer_than")
    return Wanted(reason, name, keep, timedelta(days=max(days, 0)), _length(newer) if newer else None)


def _length(text: Any) -> timedelta:
    """A length of time: seconds, or a number with s, m, h or d."""
    value = str(text).strip().lower()
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(value[-1:])
    try:
        seconds = float(value[:-1]) * unit if unit else float(value)
    except ValueError:
        raise InvalidInput(
            f'read the length of time "{text}": not understood',
            hint="Write seconds, or a number with s, m, h or d: 6h.",
        ) from None
    return timedelta(seconds=seconds)


def _instant(request: Request, findings: Findings) -> datetime | None:
    """The instant that was asked for; None for now."""
    if not request.point_in_time or request.point_in_time == "now":
        return None
    try:
        at = parse_instant(request.point_in_time, now=request.started, future=True)
    except InvalidInput as error:
        findings.problem("restore_point_invalid", f"{error.text[0].upper()}{error.text[1:]}.", error.hint)
        return None
    if at > request.now:
        findings.problem(
            "restore_point_future",
            f"{rfc3339(at)} lies in the future; it is now {rfc3339(request.now)}.",
            "Leave it out to back up what is there now, or name an instant that has passed.",
        )
    return at


def _source(request: Request, facts: Facts, primary: Primary, at: datetime | None, findings: Findings) -> Source | None:
    if at is None:
        name = facts.tree.nodes[primary.branch_id].name
        return Source(primary.branch_id, name, "it is the primary")
    return find_source(request, facts, primary, Point("time", at, None), findings)


def _free(name: str, facts: Facts, source: Source | None, at: datetime | None) -> str:
    """A name that no other branch has; one of the same origin is the same backup, found again."""
    for number in range(1, len(facts.branches) + 2):
        candidate = name if number == 1 else f"{name}-{number}"
        node = facts.tree.named(candidate)
        if node is None:
            return candidate
        if source and at and node.parent_id == source.branch_id and node.parent_at == at:
            return candidate
    raise AssertionError("there are more names than branches")


def newest_verified(facts: Facts) -> Backup | None:
    """The newest backup of this target that was verified."""
    return next((item for item in known_backups(facts) if item.verified), None)


def _already_done(request: Request, facts: Facts, wanted: Wanted, name: str, at: datetime | None) -> dict[str, Any]:
    """Rule 22: a backup is found again by its name, or by how new the newest one is."""
    known = {item.name: item for item in known_backups(facts)}
    for record in facts.backups:
        branch = facts.by_id.get(str(record.get("branch_id")))
        if branch is not None and record.get("verified") and branch.get("name") == name:
            known.setdefault(name, Backup(str(branch["id"]), name, instant_or_none(record.get("at")), None, True))
    found = known.get(name)
    if (wanted.name or at) and found is not None and found.verified:
        return {"done": True, "why": f"the backup {name} exists and is verified", "branch_id": found.branch_id}
    newest = newest_verified(facts)
    if wanted.unless_newer_than and newest and newest.at:
        age = request.now - newest.at
        if age <= wanted.unless_newer_than:
            return {
                "done": True,
                "why": f"the backup {newest.name} is {duration(age.total_seconds())} old and verified",
                "branch_id": newest.branch_id,
            }
    return {"done": False, "why": "", "branch_id": None}


def _check(request: Request, facts: Facts, at: datetime | None, findings: Findings) -> None:
    start = window_start(request, facts)
    if at is not None and start is not None and at < start:
        findings.problem(
            "before_window",
            f"{rfc3339(at)} lies before the history window, which begins at {rfc3339(start)}.",
            "Choose a later instant.",
        )
    counted = slots(facts, {"branches": 1, "roots": 0})["branches"]
    if counted["limit"] is not None and counted["free"] < 1:
        used = in_use(facts)
        idle = [str(item.get("name")) for item in facts.branches if item["id"] not in used and not item.get("children")]
        named = f" (nothing uses {', '.join(idle[:5])})" if idle else ""
        findings.problem(
            "no_slot",
            f"The project has {counted['used']} of {counted['limit']} branches, and a backup adds 1.",
            f"Delete branches that are no longer needed{named}, or raise the plan.",
        )
    for name in ("read", "read_sensitive"):
        if facts.abilities.get(name) == "missing":
            findings.problem(
                "ability_missing",
                f"The Coolify token lacks the ability {name.replace('_', ':')}.",
                "Make a token with read and read:sensitive.",
            )


def _expiry(request: Request, wanted: Wanted) -> str | None:
    if wanted.keep:
        return None
    return rfc3339(request.now + min(wanted.retention + EXPIRY_MARGIN, LONGEST_EXPIRY))


def _public(backup: Backup | None) -> dict[str, Any] | None:
    if backup is None:
        return None
    return {"branch_id": backup.branch_id, "name": backup.name, "at": rfc3339(backup.at) if backup.at else None}
