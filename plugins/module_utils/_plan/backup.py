# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a backup: which branch is the primary, what the backup is called, until when it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._errors import InvalidInput
from .._time import branch_name, duration, parse_instant, rfc3339
from .lineage import Node, blockers
from .parts import primary_part, supplied_base
from .point import Backup, Point, known_backups, replaced_since
from .primary import Primary, find_primary, in_use, report_duplicates
from .request import Facts, Findings, Request, describe, read_facts, read_request, slots
from .source import Source, find_source
from .strategies import window_start

# A backstop behind the retention (rule 8): Neon deletes by itself what a cleanup forgot, and takes 30 days at most.
EXPIRY_MARGIN = timedelta(days=2)
LONGEST_EXPIRY = timedelta(days=30) - timedelta(minutes=5)
_NAME_LENGTH = 256
# A hundred years; what is longer is a slip of the keyboard and no date either.
_LONGEST_DAYS = 36_500
_SAME_INSTANT = timedelta(milliseconds=1)


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
    report_duplicates(facts, primary, request, findings)
    at = _instant(request, findings)
    plan: dict[str, Any] = {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "reason": wanted.reason,
        "keep": wanted.keep,
        "keep_until": None if wanted.keep else rfc3339(request.now + wanted.retention),
        "expires_at": _expiry(request, wanted, findings),
        "primary": primary_part(facts, primary) if primary else None,
        "env": {"base": supplied_base(primary, request) if primary else None},
        "newest": _public(newest_verified(facts)),
    }
    source = _source(request, facts, primary, at, findings) if primary else None
    name = wanted.name or _free(branch_name("backup", at or request.started.replace(microsecond=0)), facts, source, at)
    new_enough = _new_enough(request, facts, wanted, primary, findings)
    done = _already_done(facts, wanted, name, at) or _found_again(request, new_enough)
    # What was found again keeps its own name, which need not be the one that a new backup would get.
    plan["name"] = facts.tree.nodes[done["branch_id"]].name if done["done"] else name
    plan["source"] = source.public(primary is not None and source.branch_id == primary.branch_id) if source else None
    plan["already_done"] = done
    begun = facts.tree.named(name)
    adds = {"branches": 0 if done["done"] or begun is not None else 1, "roots": 0}
    if not done["done"]:
        if begun is not None:
            _check_found(begun, facts, source, at, findings)
        _check(request, facts, source, at, adds, findings)
    plan["slots"] = slots(facts, adds)
    plan["problems"] = findings.problems
    plan["warnings"] = findings.warnings
    return plan


def _wanted(given: Mapping[str, Any], findings: Findings) -> Wanted:
    reason, keep = str(given.get("reason") or "").strip(), bool(given.get("keep"))
    days = 7.0 if given.get("retention_days") in (None, "") else float(given["retention_days"])
    if keep and not reason:
        findings.problem("reason_missing", "A backup that is kept for good needs a reason.", 'Say -e reason="why".')
    if not 0 < days <= _LONGEST_DAYS:
        findings.problem(
            "retention_invalid",
            f"{days:g} days are no retention.",
            f"Say how many days it is kept, {_LONGEST_DAYS} at most, or keep it for good.",
        )
        days = 7.0
    name = str(given.get("name") or "").strip() or None
    if name is not None and len(name) > _NAME_LENGTH:
        findings.problem("name_too_long", f"The name has {len(name)} characters.", f"Use {_NAME_LENGTH} or fewer.")
    newer = given.get("unless_newer_than")
    return Wanted(reason, name, keep, timedelta(days=days), None if newer in (None, "") else _length(newer))


def _length(text: Any) -> timedelta:
    """A length of time: seconds, or a number with s, m, h or d."""
    value = str(text).strip().lower()
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(value[-1:])
    try:
        seconds = float(value[:-1]) * unit if unit else float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_DAYS * 86_400:
        raise InvalidInput(
            f'read the length of time "{text}": not understood',
            hint="Write seconds, or a number with s, m, h or d: 6h.",
        )
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
        if source and at and _same_origin(node, source, at):
            return candidate
    raise AssertionError("there are more names than branches")


def _same_origin(node: Node, source: Source, at: datetime | None) -> bool:
    """Whether a branch holds what is asked for. One of now, found again by its name, is what its own run made it."""
    if node.parent_id != source.branch_id or at is None:
        return node.parent_id == source.branch_id
    return node.parent_at is not None and abs(node.parent_at - at) < _SAME_INSTANT


def newest_verified(facts: Facts) -> Backup | None:
    """The newest backup of this target that was verified."""
    return next((item for item in known_backups(facts) if item.verified), None)


def _already_done(facts: Facts, wanted: Wanted, name: str, at: datetime | None) -> dict[str, Any] | None:
    """Rule 22: a backup that was named, or of an instant, is found again by its name."""
    found = next((item for item in known_backups(facts) if item.name == name and item.verified), None)
    holds_it = found is not None and (at is None or (found.at is not None and abs(found.at - at) < _SAME_INSTANT))
    if (wanted.name or at) and found is not None and holds_it:
        return {"done": True, "why": f"the backup {name} exists and is verified", "branch_id": found.branch_id}
    return None


def _new_enough(
    request: Request, facts: Facts, wanted: Wanted, primary: Primary | None, findings: Findings
) -> Backup | None:
    """The newest verified backup that is as new as was asked, of what the application uses now."""
    if not wanted.unless_newer_than or primary is None:
        return None
    for backup in known_backups(facts):
        if not backup.verified or backup.at is None or request.now - backup.at > wanted.unless_newer_than:
            continue
        why_not = replaced_since(backup, facts, primary.branch_id)
        if not why_not:
            return backup
        findings.warn(f"The backup {backup.name} is new enough, and is not taken: {why_not}.")
    return None


def _found_again(request: Request, backup: Backup | None) -> dict[str, Any]:
    if backup is None or backup.at is None:
        return {"done": False, "why": "", "branch_id": None}
    age = duration((request.now - backup.at).total_seconds())
    return {"done": True, "why": f"the backup {backup.name} is {age} old and verified", "branch_id": backup.branch_id}


def _check_found(node: Node, facts: Facts, source: Source | None, at: datetime | None, findings: Findings) -> None:
    """A branch of the wanted name may be what a killed run left; anything else must not be given an expiry."""
    known = facts.branch_facts.get(node.id) or {}
    annotations = facts.by_id[node.id].get("annotations") or {}
    is_backup = any(item.branch_id == node.id for item in known_backups(facts, own=False))
    is_backup = is_backup or "backup" in (annotations.get("purpose"), known.get("purpose"))
    told = str(annotations.get("target") or facts.target)
    if node.id in in_use(facts):
        why = "an application uses it"
    elif not is_backup:
        why = "it is no backup"
    elif told != facts.target:
        why = f"it is a backup of {told}"
    elif source is not None and not _same_origin(node, source, at):
        parent = facts.tree.parent(node.id)
        why = f"it comes from {parent.name if parent else 'no parent'} at {describe(node.parent_at)}"
    else:
        return
    findings.problem("name_taken", f"There is a branch {node.name} already: {why}.", "Choose another name.")


def _check(
    request: Request,
    facts: Facts,
    source: Source | None,
    at: datetime | None,
    adds: Mapping[str, int],
    findings: Findings,
) -> None:
    start = window_start(request, facts)
    if at is not None and start is not None and at < start:
        findings.problem(
            "before_window",
            f"{rfc3339(at)} lies before the history window, which begins at {rfc3339(start)}.",
            "Choose a later instant.",
        )
    node = facts.tree.get(source.branch_id) if source else None
    if node is not None and node.expires_at is not None:
        findings.problem(
            "source_expires",
            f"The branch {node.name} expires at {describe(node.expires_at)}, and Neon makes no branch from such a one.",
            f"Clear the expiry of {node.name} in the Neon console, then run this again.",
        )
    counted = slots(facts, adds)["branches"]
    if counted["limit"] is not None and counted["free"] < counted["adds"]:
        used = in_use(facts)
        idle = [
            item.name
            for _depth, item in facts.tree.rows()
            if not blockers(facts.tree, item.id, in_use=used)
            and not (facts.branch_facts.get(item.id) or {}).get("pinned")
        ]
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


def _expiry(request: Request, wanted: Wanted, findings: Findings) -> str | None:
    """The backstop; none where it would end the backup before its retention does (rule 8)."""
    if wanted.keep:
        return None
    if wanted.retention >= LONGEST_EXPIRY:
        findings.warn(
            f"Neon takes an expiry of {LONGEST_EXPIRY.days + 1} days at most, so this backup gets none: it must be "
            "deleted after its retention."
        )
        return None
    return rfc3339(request.now + min(wanted.retention + EXPIRY_MARGIN, LONGEST_EXPIRY))


def _public(backup: Backup | None) -> dict[str, Any] | None:
    if backup is None:
        return None
    return {"branch_id": backup.branch_id, "name": backup.name, "at": rfc3339(backup.at) if backup.at else None}
