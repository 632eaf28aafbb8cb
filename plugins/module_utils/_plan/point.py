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
from .instants import instant_or_none
from .request import Facts, Findings, Request, describe


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
    known = known_backups(facts)
    if wanted == "latest":
        found = known[0] if known else None
    else:
        # One that is named may be another target's: who names it means it.
        found = next((item for item in known_backups(facts, own=False) if wanted in (item.name, item.branch_id)), None)
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
