# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit's lines about backups: the newest verified one, what is past its date, drills, runs that never ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from .._time import ago, duration, parse_branch_name
from .audit_drills import last_drill, may_be_drilled, passed, seconds_of
from .audit_parts import FAILED, OK, UNKNOWN, WARN, Finding, Line, State, World, names_of, plainly, states
from .cleanup import judge
from .cleanup_rules import BACKUPS
from .instants import instant_or_none, lsn_or_none
from .lineage import blockers
from .point import Backup, known_backups, was_used
from .primary import in_use
from .request import describe

# The record and Neon's own answer are the same instant, but for the digits that each of them shows.
_SAME = timedelta(seconds=1)


# What undo.yml can take back; everything else puts right itself, with its next run, what it has left.
_UNDONE = frozenset({"restore", "promote", "drill"})
_READY = frozenset({"ready", "archived"})


def _unused(world: World) -> list[Backup]:
    return [item for item in known_backups(world.facts) if not was_used(item, world.facts)]


def _newest_verified(world: World) -> Backup | None:
    return next((item for item in _unused(world) if item.verified and item.at is not None), None)


def _newest(world: World) -> Finding:
    backups, verified = _unused(world), _newest_verified(world)
    if verified is None or verified.at is None:
        if not backups:
            return Finding("none", "there is no backup")
        return Finding("unverified", f"{len(backups)} there, none of them verified")
    age = world.now - verified.at
    found = f"{verified.name}, {ago(verified.at, world.now)}"
    return Finding("fresh" if age.total_seconds() <= world.limits.backup_age else "stale", found)


def _reachable(world: World) -> Finding:
    """Whether somebody could connect to the newest verified backup, and with which password. It is not tried."""
    backup = _newest_verified(world)
    if backup is None:
        return Finding("nothing", "there is no verified backup")
    names = {"backup": backup.name}
    branch = world.facts.by_id[backup.branch_id]
    state, computes = str(branch.get("current_state") or ""), branch.get("endpoints")
    if computes is None or not state:
        return Finding(UNKNOWN, f"unknown: Neon does not say what state and which computes {backup.name} has")
    if state not in _READY:
        return Finding("not_ready", f"{backup.name} is {state}", names)
    notes = _way_in(world, branch)
    if notes is None:
        return Finding(UNKNOWN, "unknown: Neon does not say whether there is an allow list")
    open_ones = [compute for compute in computes if not compute.get("disabled")]
    if computes and not open_ones:
        return Finding("disabled", f"every compute of {backup.name} is disabled", names)
    if not computes:
        how = "no compute, as a backup is left: add one in Neon (Computes), or restore from it; then"
        return Finding("no_compute", f"{backup.name}: {how} {notes}", names)
    return Finding("compute", f"{backup.name}: at {open_ones[0].get('host')}; {notes}", names)


def _way_in(world: World, branch: Mapping[str, Any]) -> str | None:
    """Which password a backup takes, and from which addresses; None where the allow list is not known."""
    parent = world.facts.by_id.get(str(branch.get("parent_id"))) or {}
    name, allowed = parent.get("name") or "its parent", world.facts.project.get("allowed_ips")
    if allowed is None:
        return None
    # Neon makes new passwords for the child of a protected branch; whether it was protected then, nothing says.
    words = f"new passwords where {name} was protected then, as it is now" if parent.get("protected") else ""
    slow = "; archived, so the first connection takes longer" if branch.get("current_state") == "archived" else ""
    held = allowed and (branch.get("protected") or not world.facts.project.get("protected_branches_only"))
    listed = "; only from the addresses of the allow list" if held else ""
    return f"{words or f'the passwords of {name}'}{listed}{slow}"


def _past(world: World) -> Finding:
    """What a cleanup would delete, as it says itself; and what was made by hand, which it never touches."""
    own = {item.branch_id for item in known_backups(world.facts)}
    rows = [
        row
        for row in judge(world.facts, world.limits.cleanup, world.limits.other_targets)
        if row["id"] in own or (row["kind"] in BACKUPS and row["code"] != "other_target")
    ]
    goes = [row for row in rows if row["decision"] == "delete"]
    by_hand = [row for row in rows if not row["ours"] and _forgotten(world, row)]
    if goes or by_hand:
        shown = names_of([_overdue(world, row) for row in goes or by_hand])
        more = f"; made by hand: {names_of([str(row['name']) for row in by_hand])}" if goes and by_hand else ""
        which = " made by hand" if not goes else ""
        return Finding("some" if goes else "foreign", f"{len(goes or by_hand)} of {len(rows)}{which}: {shown}{more}")
    stays = [
        f"{row['name']}: {row['reason']}"
        for row in rows
        if row["ours"] and (until := instant_or_none(row["due"])) is not None and until < world.now
    ]
    kept = f"; kept past their date: {names_of(stays, 2)}" if stays else ""
    return Finding("none", f"none of {len(rows)}{kept}")


def _overdue(world: World, row: Mapping[str, Any]) -> str:
    until = instant_or_none(row["due"]) or _due_by_hand(world, row)
    return f"{row['name']} ({ago(until, world.now)})" if until else str(row["name"])


def _due_by_hand(world: World, row: Mapping[str, Any]) -> datetime | None:
    """When a backup that this collection did not make would be past its date, if it had."""
    made = instant_or_none(row["created_at"])
    return made + world.limits.cleanup.retention if made else None


def _forgotten(world: World, row: Mapping[str, Any]) -> bool:
    """Whether a backup made by hand is old and nothing keeps it: no protection, child or user, no day of its own."""
    until = _due_by_hand(world, row)
    if until is None or until >= world.now or world.facts.by_id[row["id"]].get("expires_at"):
        return False
    return not blockers(world.facts.tree, row["id"], in_use=in_use(world.facts))


def _record(world: World, branch_id: str) -> Mapping[str, Any]:
    return next((item for item in reversed(world.facts.backups) if item.get("branch_id") == branch_id), {})


def _times(world: World) -> Finding:
    """Whether each backup holds what it says: by its name, by its record, and by the order of the log."""
    backups = known_backups(world.facts)
    if not backups:
        return Finding("nothing", "there is no backup")
    wrong = [text for item in backups for text in _contradictions(world, item)] + list(_disorder(world, backups))
    if wrong:
        return Finding("disagree", names_of(wrong, 3))
    silent = [
        item.name
        for item in backups
        if not (branch := world.facts.by_id[item.branch_id]).get("parent_lsn") or not branch.get("parent_timestamp")
    ]
    if silent:
        return Finding("incomplete", f"Neon does not say which LSN or time these hold: {names_of(silent)}")
    return Finding("agree", f"{len(backups)} {'backup says' if len(backups) == 1 else 'backups say'} what they hold")


def _contradictions(world: World, backup: Backup) -> Iterator[str]:
    branch, record = world.facts.by_id[backup.branch_id], _record(world, backup.branch_id)
    lsn, recorded = lsn_or_none(branch.get("parent_lsn")), lsn_or_none(record.get("lsn"))
    if lsn is not None and recorded is not None and lsn != recorded:
        yield f"{backup.name} holds LSN {branch['parent_lsn']}, its record says {record['lsn']}"
    at, stated = instant_or_none(branch.get("parent_timestamp")), instant_or_none(record.get("restore_point"))
    if at is not None and stated is not None and abs(at - stated) > _SAME:
        yield f"{backup.name} holds {describe(at)}, its record says {describe(stated)}"
    name = parse_branch_name(backup.name)
    named = name[1].at if name is not None else None
    if named is not None and at is not None and abs(at - named).total_seconds() > world.limits.time_tolerance:
        yield f"{backup.name} holds {describe(at)}"


def _disorder(world: World, backups: list[Backup]) -> Iterator[str]:
    """Of two backups of one branch the later one cannot hold less of its log."""
    by_parent: dict[str, list[tuple[datetime, int, str]]] = {}
    for item in backups:
        branch = world.facts.by_id[item.branch_id]
        at, lsn = instant_or_none(branch.get("parent_timestamp")), lsn_or_none(branch.get("parent_lsn"))
        if at is not None and lsn is not None:
            by_parent.setdefault(str(branch.get("parent_id")), []).append((at, lsn, item.name))
    for found in by_parent.values():
        found.sort()
        for (_at, earlier, first), (_next, later, second) in pairwise(found):
            if later < earlier:
                yield f"{second} is of a later instant than {first} and of an earlier LSN"


def _drill(world: World) -> Finding:
    names = {"target": world.limits.drill_target}
    found = last_drill(world)
    if found is None and world.limits.drill_target == world.request.target and not may_be_drilled(world):
        return Finding("unnamed", f"{world.request.target} is production, and no staging target is named for it", names)
    if found is None:
        return Finding("never", f"none of {world.limits.drill_target} is recorded", names)
    at, record = found
    took = seconds_of(record)
    spent = f", took {duration(took)}" if took is not None else ""
    mode = f"{record['mode']} " if record.get("mode") else ""
    text = f"{mode}drill {ago(at, world.now)}{spent}"
    outcome = passed(record)
    if outcome is None:
        return Finding(UNKNOWN, f"unknown: the {text} has no result in its record")
    if not outcome:
        why = f": {record['why']}" if record.get("why") else ""
        return Finding("failed", f"{text}: not proven{why}", names)
    old = (world.now - at).total_seconds() > world.limits.drill_age
    return Finding("old" if old else "recent", f"{text}: proven", names)


def _unfinished(world: World) -> Finding:
    runs = [
        run
        for run in world.facts.unfinished
        if run.get("target") in (None, world.request.target) and run.get("verb") != "audit"
    ]
    stuck = [run for run in runs if run.get("status") == "stuck"]
    if stuck:
        return Finding("stuck", f"stuck: {names_of([str(run.get('id')) for run in stuck])}", {"way": _way_out(stuck)})
    if runs:
        listed = names_of([str(run.get("id")) for run in runs])
        return Finding("unfinished", f"never ended, or still going on: {listed}", {"way": _way_out(runs)})
    return Finding("none", "none")


def _way_out(runs: list[Mapping[str, Any]]) -> str:
    """How to end runs: each by the same command again, some by an undo as well."""
    again = "run it again with the same inputs to finish it"
    undone = [run for run in runs if run.get("verb") in _UNDONE]
    if not undone:
        return again
    return f"{again}, or take it back: ansible-playbook playbooks/undo.yml -e run={undone[-1].get('id')}"


LINES = (
    Line(
        "newest_backup",
        "Newest backup",
        ("branches", "catalogue", "backups"),
        lambda world: f"verified, at most {duration(world.limits.backup_age)} old",
        _newest,
        states(
            FAILED,
            fresh=State(OK),
            stale=State(FAILED, "Make one: ansible-playbook playbooks/backup.yml"),
            unverified=State(FAILED, "Make one that is verified: ansible-playbook playbooks/backup.yml"),
            none=State(FAILED, "Make one: ansible-playbook playbooks/backup.yml"),
        ),
    ),
    Line(
        "backups_past_retention",
        "Past retention",
        ("branches", "application", "consumers", "catalogue", "backups", "journals"),
        plainly("no backup past its date that nothing keeps"),
        _past,
        states(
            WARN,
            none=State(OK),
            some=State(WARN, "Delete them: ansible-playbook playbooks/cleanup.yml. One to keep gets a reason."),
            foreign=State(
                WARN,
                "Delete them by hand in Neon, for a cleanup touches only what this collection made; protect or rename "
                "what is to stay.",
            ),
        ),
    ),
    Line(
        "backup_lsn",
        "Backup LSN and time",
        ("branches", "catalogue", "backups"),
        plainly("each backup holds what its name and record say"),
        _times,
        states(
            WARN,
            agree=State(OK),
            nothing=State(OK),
            incomplete=State(WARN, "Verify such a backup's data before it is restored from, or make a new one."),
            disagree=State(
                FAILED,
                "Do not restore from it unseen: make a new backup of the wanted instant "
                "(playbooks/backup.yml -e point_in_time=...) and compare.",
            ),
        ),
    ),
    Line(
        "backup_reachable",
        "Backup reachable",
        ("project", "branches", "catalogue", "backups"),
        plainly("the newest verified backup is ready, and how to connect to it is known"),
        _reachable,
        states(
            WARN,
            no_compute=State(OK),
            compute=State(OK),
            nothing=State(WARN, "Make one: ansible-playbook playbooks/backup.yml"),
            not_ready=State(WARN, "Wait until Neon shows {backup} as ready; where it stays so, make another backup."),
            disabled=State(WARN, "Enable a compute of {backup} in Neon, or add one."),
        ),
    ),
    Line(
        "last_drill",
        "Last drill",
        ("drills",),
        lambda world: f"proven, at most {duration(world.limits.drill_age)} ago",
        _drill,
        states(
            FAILED,
            recent=State(OK),
            old=State(WARN, "Rehearse: ansible-playbook playbooks/drill.yml -e target={target}"),
            failed=State(FAILED, "Read its report, mend the cause, and rehearse again: playbooks/drill.yml"),
            never=State(FAILED, "Rehearse: ansible-playbook playbooks/drill.yml -e target={target}"),
            unnamed=State(
                FAILED,
                "A drill never touches production. Set rewind_drill_target of {target} to the host of its staging "
                "target (see docs/targets.md), then: ansible-playbook playbooks/drill.yml -e target=<that host>",
            ),
        ),
    ),
    Line(
        "unfinished_runs",
        "Unfinished runs",
        ("journals",),
        plainly("none"),
        _unfinished,
        states(
            WARN,
            none=State(OK),
            unfinished=State(
                WARN,
                "Where none is going on now: {way}",
            ),
            stuck=State(FAILED, "Read its report, then {way}"),
        ),
    ),
)
