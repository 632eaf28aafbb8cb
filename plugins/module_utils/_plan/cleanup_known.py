# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cleanup knows of each branch and snapshot, from its annotation, the catalogue and the log of backups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._time import parse_branch_name
from .instants import instant_or_none
from .request import Facts

# What the catalogue must say of a branch before it counts as made by this collection (rule 12). That it was pinned,
# used or verified does not say so: a person may pin any branch.
MADE = frozenset({"made", "preserved", "replaced"})
FOR_GOOD = "for good"
_OF_REPLACED = ("made", "purpose", "target", "run", "keep", "keep_until", "reason")
# How a branch is called whose place was taken. One that has another name by now was given it by a person.
_REPLACED = ("rollback-", "undone-")
# Killed runs of these verbs leave nothing that another run has to find again.
_HOLD_NOTHING = frozenset({"cleanup", "backup", "predeploy", "find_restore_point", "salvage", "incident"})


@dataclass
class Marks:
    """What the catalogue says of one branch or snapshot, its latest word."""

    made: bool = False
    purpose: str | None = None
    target: str | None = None
    run: str | None = None
    drill: str | None = None
    keep: bool = False
    keep_until: datetime | None = None
    reason: str = ""
    verified: bool = False
    used: bool = False
    pinned: str | None = None
    unpinned: bool = False
    # When an application was last cut over away from it, and until when that can be taken back.
    left: datetime | None = None
    cutover: datetime | None = None
    # What was said before it was replaced: an undo of the promotion brings that back.
    before: dict[str, Any] | None = None
    # A branch that was restored from a snapshot has taken its place.
    replaced: bool = False


@dataclass(frozen=True)
class Known:
    """One branch or snapshot, as far as a cleanup is concerned.

    :param kind: what it was made for; None where nothing says so.
    :param at: the instant whose data it holds.
    :param since: from when its days are counted: made, or left by the application.
    :param keep_until: its own date; None where it has none.
    :param pinned: the reason why it is kept for good; None where it is not.
    :param last_active: when a compute of it was last used.
    """

    id: str
    name: str
    ours: bool
    kind: str | None
    target: str | None
    run: str | None
    created: datetime | None
    at: datetime | None
    since: datetime | None
    keep_until: datetime | None
    pinned: str | None
    verified: bool
    used: bool
    left: datetime | None
    cutover: datetime | None
    last_active: datetime | None = None
    computes: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_marks(facts: Facts) -> dict[str, Marks]:
    """Fold the catalogue and the log of backups, by the id of a branch or a snapshot."""
    marks: dict[str, Marks] = {}
    for record in facts.backups:
        _told(marks, record, made=True, purpose="backup", verified=bool(record.get("verified")))
    for record in facts.records:
        event = str(record.get("event") or "")
        if event == "cutover":
            _cutover(marks, record)
        else:
            _told(marks, record, made=event in MADE, verified=event == "verified", used=event == "used", event=event)
    return marks


def _told(
    marks: dict[str, Marks],
    record: Mapping[str, Any],
    *,
    made: bool = False,
    verified: bool = False,
    used: bool = False,
    purpose: str | None = None,
    event: str = "",
) -> None:
    subject = record.get("branch_id") or record.get("snapshot_id")
    if not subject:
        return
    mark = marks.setdefault(str(subject), Marks())
    mark.verified = mark.verified or verified or record.get("verified") is True
    mark.used = mark.used or used
    if event in ("pinned", "unpinned"):
        mark.pinned = str(record.get("reason") or "no reason recorded") if event == "pinned" else None
        mark.unpinned = event == "unpinned"
    elif event == "returned":
        _returned(mark)
    elif used:
        # It was a preview until the cutover.
        mark.purpose = str(record.get("purpose") or mark.purpose or "") or None
    elif made:
        if event == "replaced" and mark.before is None:
            mark.before = {name: getattr(mark, name) for name in _OF_REPLACED}
        mark.made = True
        mark.purpose = str(record.get("purpose") or purpose or mark.purpose or "") or None
        mark.target = str(record.get("target") or mark.target or "") or None
        mark.run = str(record.get("run") or mark.run or "") or None
        mark.drill = str(record.get("drill") or mark.drill or "") or None
        mark.keep = bool(record.get("keep")) or mark.keep
        mark.keep_until = instant_or_none(record.get("keep_until")) or mark.keep_until
        mark.reason = str(record.get("reason") or mark.reason)


def _returned(mark: Marks) -> None:
    """It is the primary again: what made it one of ours, with a day until which it is kept, is over."""
    for name, value in (mark.before or {}).items():
        setattr(mark, name, value)
    mark.before = None


def _cutover(marks: dict[str, Marks], record: Mapping[str, Any]) -> None:
    """Whatever target it was: two may share a project."""
    at = instant_or_none(record.get("at"))
    left, entered = record.get("from_branch_id"), record.get("to_branch_id")
    for branch_id in (left, entered, record.get("preserved_branch_id")):
        if branch_id:
            mark = marks.setdefault(str(branch_id), Marks())
            mark.cutover = max(filter(None, (mark.cutover, at)), default=None)
            mark.used = True
    # In place the application stays where it is.
    if left and left != entered:
        mark = marks[str(left)]
        mark.left = max(filter(None, (mark.left, at)), default=None)
        if record.get("strategy") == "snapshot":
            mark.replaced = True
            mark.target = mark.target or str(record.get("target") or "") or None
            mark.run = mark.run or str(record.get("run") or "") or None


def read_branch(branch: Mapping[str, Any], mark: Marks) -> Known:
    """One branch."""
    annotations = branch.get("annotations") or {}
    annotated = str(annotations.get("tool") or "").startswith("rewind")
    name = str(branch.get("name") or branch["id"])
    replaced = mark.replaced and name.startswith(_REPLACED)
    ours = annotated or mark.made or replaced
    created = instant_or_none(branch.get("created_at"))
    kept = str(annotations.get("keep_until") or "")
    drill = str(annotations.get("drill") or mark.drill or "") or None
    computes = tuple(branch.get("endpoints") or ())
    active = [moment for item in computes if (moment := instant_or_none(item.get("last_active"))) is not None]
    return Known(
        id=str(branch["id"]),
        name=name,
        ours=ours,
        kind=("rollback" if replaced and not drill else _kind(annotations, mark, name, drill)) if ours else None,
        target=str(annotations.get("target") or mark.target or "") or None,
        run=drill or str(annotations.get("run") or mark.run or "") or None,
        created=created,
        at=instant_or_none(branch.get("parent_timestamp")) or created,
        since=max(filter(None, (created, mark.left)), default=None),
        keep_until=mark.keep_until or instant_or_none(kept),
        pinned=_pinned(mark, kept, str(annotations.get("reason") or "")),
        verified=mark.verified,
        used=mark.used,
        left=mark.left,
        cutover=mark.cutover,
        last_active=max(active, default=None),
        computes=computes,
        facts=branch,
    )


def read_snapshot(snapshot: Mapping[str, Any], mark: Marks) -> Known:
    """One snapshot. It carries no annotation: only the catalogue says whose it is.

    One that Neon deletes later than at our date was given that day by a person.
    """
    created = instant_or_none(snapshot.get("created_at"))
    dates = filter(None, (mark.keep_until, instant_or_none(snapshot.get("expires_at"))))
    return Known(
        id=str(snapshot["id"]),
        name=str(snapshot.get("name") or snapshot["id"]),
        ours=mark.made,
        kind=(mark.purpose or "snapshot") if mark.made else None,
        target=mark.target,
        run=mark.run,
        created=created,
        at=instant_or_none(snapshot.get("timestamp")) or created,
        since=created,
        keep_until=max(dates, default=None),
        pinned=_pinned(mark, "", ""),
        verified=mark.verified,
        used=False,
        left=None,
        cutover=None,
        facts=snapshot,
    )


def _kind(annotations: Mapping[str, Any], mark: Marks, name: str, drill: str | None) -> str | None:
    if drill:
        # Whatever a drill makes on its way, a backup among it, it deletes again itself.
        return "drill"
    said = str(annotations.get("purpose") or mark.purpose or "")
    if said == "backup" and (mark.used or mark.left):
        # A backup that an application was cut over to has been written to since: it is an old primary.
        return "rollback"
    if said:
        return said
    parsed = parse_branch_name(name)
    return parsed[0] if parsed else None


def _pinned(mark: Marks, kept: str, reason: str) -> str | None:
    if mark.pinned is not None:
        return mark.pinned
    if mark.unpinned:
        return None
    if mark.keep or kept == FOR_GOOD:
        return mark.reason or reason or "made to be kept for good"
    return None


def unfinished_runs(facts: Facts) -> dict[str, str]:
    """The verbs of this target's runs that never ended and that somebody may still continue or take back, by id."""
    runs = ((str(run.get("id") or run.get("run") or ""), str(run.get("verb") or "")) for run in facts.unfinished)
    return {run: verb for run, verb in runs if run and verb not in _HOLD_NOTHING}


def mentioned(facts: Facts) -> dict[str, str]:
    """The branches and snapshots that stand in the journal of a run that never ended, each with that run."""
    found: dict[str, str] = {}
    held = unfinished_runs(facts)
    for run in facts.unfinished:
        run_id = str(run.get("id") or run.get("run") or "")
        if run_id in held:
            found.update(dict.fromkeys(_ids([run.get("inputs"), run.get("steps")]), run_id))
    return found


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(("br-", "snap-")):
            yield value
        return
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    for part in parts:
        yield from _ids(part)
