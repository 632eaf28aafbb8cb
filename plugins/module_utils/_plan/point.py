# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore point: an instant, an LSN or a backup, read once and then the same for every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._errors import InvalidInput
from .._time import RestorePoint, parse_branch_name, parse_instant, parse_lsn, rfc3339
from .commits import commit_of, same_commit
from .instants import instant_or_none
from .request import Facts, Findings, Request, describe

# What stands before a commit where the backup is meant that was made before its deployment.
BEFORE = "before:"


@dataclass(frozen=True)
class Backup:
    """A backup that can be restored from: its branch, and the instant and LSN that it holds."""

    branch_id: str
    name: str
    at: datetime | None
    lsn: str | None
    verified: bool


@dataclass(frozen=True)
class Point:
    """Where to restore to. `at` is None for an LSN; `backup` is set when a backup was named."""

    kind: str
    at: datetime | None
    lsn: str | None
    backup: Backup | None = None

    @property
    def stamp(self) -> str:
        """The part of a branch's name that says this point (rule 11)."""
        return RestorePoint(at=self.at, lsn=None if self.at else self.lsn).stamp

    def public(self, request: Request) -> dict[str, Any]:
        shown = RestorePoint(at=self.at, lsn=None if self.at else self.lsn).echo(request.now, request.zone)
        return {**shown, "lsn": self.lsn, "kind": self.kind, "backup": self.backup.name if self.backup else None}


def read_point(request: Request, facts: Facts, findings: Findings, resolved: Mapping[str, Any] | None) -> Point | None:
    """The restore point of this run; that of the run being continued, where there is one (rule 22)."""
    if resolved and resolved.get("restore_point"):
        return _resolved(resolved["restore_point"], facts)
    given = [name for name in ("point_in_time", "lsn", "backup") if getattr(request, name)]
    if len(given) != 1:
        said = f"{' and '.join(given)} are given" if given else "none is given"
        findings.problem(
            "restore_point_missing",
            f"Exactly one of point_in_time, lsn and backup says what to restore to; {said}.",
            'Say one, for example point_in_time="2025-01-13 14:25:00 UTC" or backup=latest.',
        )
        return None
    if request.backup:
        return _backup_point(request.backup, facts, findings)
    try:
        if request.lsn:
            return Point("lsn", None, parse_lsn(request.lsn))
        # A time ago counts from the start of the run: however often a run makes its plan, the point stays the same.
        at = parse_instant(request.point_in_time, now=request.started, future=True)
    except InvalidInput as error:
        findings.problem("restore_point_invalid", f"{error.text[0].upper()}{error.text[1:]}.", error.hint)
        return None
    if at > request.now:
        findings.problem(
            "restore_point_future",
            f"The restore point {rfc3339(at)} lies in the future; it is now {rfc3339(request.now)}.",
            "Check the time zone and this machine's clock, and name an instant that has passed.",
        )
        return None
    return Point("time", at, None)


def _resolved(recorded: Mapping[str, Any], facts: Facts) -> Point:
    at = instant_or_none(recorded.get("utc"))
    backup = None
    if recorded.get("kind") == "backup":
        backups = known_backups(facts, own=False)
        backup = next((item for item in backups if item.name == recorded.get("backup")), None)
    return Point(str(recorded.get("kind") or "time"), at, recorded.get("lsn"), backup)


def known_backups(facts: Facts, *, own: bool = True) -> list[Backup]:
    """The backups that exist as branches, newest first: by their record, or by their name.

    :param own: leave out what is known to be another target's: two targets may share one project.
    """
    records = {str(item.get("branch_id") or item.get("id")): item for item in facts.backups}
    found = []
    for branch in facts.branches:
        branch_id = str(branch["id"])
        told = (records.get(branch_id) or {}).get("target") or (branch.get("annotations") or {}).get("target")
        if own and told not in (None, "", facts.target):
            continue
        name = parse_branch_name(str(branch.get("name") or ""))
        if branch_id in records or (name is not None and name[0] == "backup"):
            found.append(_backup(branch, records.get(branch_id) or {}, facts))
    return sorted(found, key=lambda item: (item.at is not None, item.at.timestamp() if item.at else 0.0), reverse=True)


def _backup(branch: Mapping[str, Any], record: Mapping[str, Any], facts: Facts) -> Backup:
    known = facts.branch_facts.get(str(branch["id"])) or {}
    told = (branch.get("parent_timestamp"), record.get("restore_point"), record.get("at"), branch.get("created_at"))
    return Backup(
        branch_id=str(branch["id"]),
        name=str(branch.get("name")),
        at=next((moment for value in told if (moment := instant_or_none(value)) is not None), None),
        lsn=branch.get("parent_lsn") or record.get("lsn") or None,
        verified=bool(known.get("verified") or record.get("verified")),
    )


def _backup_point(wanted: str, facts: Facts, findings: Findings) -> Point | None:
    # One that was promoted, or that an application has used since, does not hold its instant any more.
    known = [item for item in known_backups(facts) if not was_used(item, facts)]
    if wanted.startswith(BEFORE):
        found = _before(wanted.removeprefix(BEFORE), known, facts, findings)
        if found is None:
            return None
    elif wanted == "latest":
        found = known[0] if known else None
    else:
        # One that is named may be another target's: who names it means it.
        named = (*known_backups(facts, own=False), *_previews(facts))
        found = next((item for item in named if wanted in (item.name, item.branch_id)), None)
    if found is None:
        _unknown_backup(wanted, known, facts, findings)
        return None
    if found.at is None and found.lsn is None:
        findings.problem(
            "backup_without_instant",
            f"Nothing says which instant the backup {found.name} holds.",
            f"Restore with source_branch={found.branch_id} and a point_in_time instead.",
        )
        return None
    if not found.verified:
        findings.warn(f"The backup {found.name} is not recorded as verified; it is verified before the cutover.")
    return Point("backup", found.at, found.lsn, found)


def _previews(facts: Facts) -> list[Backup]:
    """What restores in place have verified and not used (rule 4).

    It still holds its instant when the history window does not. Nobody but the restore that made it has a reason to
    write to it; one that was in use is left out.
    """
    made = [_backup(item, {}, facts) for item in facts.branches if _is_preview(item) and facts.is_ours(str(item["id"]))]
    return [item for item in made if not was_used(item, facts)]


def _is_preview(branch: Mapping[str, Any]) -> bool:
    name = parse_branch_name(str(branch.get("name") or ""))
    return name is not None and name[0] == "preview"


def was_used(backup: Backup, facts: Facts) -> bool:
    """Whether an application has had it for its primary since it was made."""
    known = facts.branch_facts.get(backup.branch_id) or {}
    return bool(known.get("used") or known.get("promoted"))


def replaced_since(backup: Backup, facts: Facts, primary_id: str) -> str:
    """Why a backup does not hold what its target uses today; empty where it does.

    A restore, and an undo of one, gives the application other data. One in place leaves the primary's id and moves its
    children away; a cutover that was taken back leaves the children and is known only from its record.
    """
    at, parent = backup.at, facts.tree.parent(backup.branch_id)
    if at is None:
        return "nothing says which instant it holds"
    if was_used(backup, facts):
        return "an application has used it since"
    moved = next((item for item in reversed(facts.cutovers) if item.at >= at), None)
    if moved is not None:
        what = "a restore was taken back" if moved.undone else "the application was cut over to other data"
        return f"{what} at {describe(moved.at)}"
    if parent is None or parent.id != primary_id:
        name = facts.tree.nodes[primary_id].name
        return f"it was made from {parent.name if parent else 'another branch'}, and the primary is {name}"
    return ""


def _before(commit: str, known: list[Backup], facts: Facts, findings: Findings) -> Backup | None:
    """The newest backup that was made before the deployment of a commit."""
    mine = [item for item in facts.backups if item.get("target") in (None, "", facts.target)]
    records = [item for item in mine if same_commit(commit_of(item), commit)]
    meant = sorted({commit_of(item) for item in records}, key=len)
    if any(not same_commit(one, meant[-1]) for one in meant):
        findings.problem(
            "commit_ambiguous",
            f"Backups were made before several commits that begin with {commit}: {', '.join(meant)}.",
            "Say more of the commit.",
        )
        return None
    branches = {str(item.get("branch_id")) for item in records}
    found = [item for item in known if item.branch_id in branches]
    if not found:
        reason = "its branch no longer exists" if records else "none is recorded"
        listed = ", ".join(dict.fromkeys(commit_of(item) for item in reversed(mine) if commit_of(item)))
        findings.problem(
            "backup_unknown",
            f"There is no backup from before the deployment of {commit}: {reason}.",
            f"Backups were made before: {listed or 'no deployment'}. Name one of them, or backup=NAME, or an instant.",
        )
        return None
    if len(found) > 1:
        others = ", ".join(f"{item.name} ({describe(item.at)})" for item in found[1:])
        findings.warn(
            f"{len(found)} backups were made before the deployment of {commit}; {found[0].name}, the newest, is taken. "
            f"Another one is named with backup=NAME: {others}."
        )
    return found[0]


def _unknown_backup(wanted: str, known: list[Backup], facts: Facts, findings: Findings) -> None:
    gone = any(wanted == item.get("name") for item in facts.backups)
    reason = "it was recorded, but its branch no longer exists" if gone else "there is none of that name"
    listed = ", ".join(f"{item.name} ({describe(item.at)})" for item in known[:10]) or "none"
    more = f" and {len(known) - 10} older ones" if len(known) > 10 else ""
    message = f"The backup {wanted} cannot be used: {reason}."
    findings.problem(
        "backup_unknown",
        "There is no backup to restore from." if wanted == "latest" else message,
        f"Known backups, newest first: {listed}{more}. Name one of them, or give a point_in_time.",
    )
