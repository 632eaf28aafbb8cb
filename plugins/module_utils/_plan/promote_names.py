# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which branch is promoted, which one it replaces, and what both are called then.

Identity is by id: a branch that was promoted has another name than the one it was asked for with, so that names are
looked up in the catalogue and in the log of backups as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .._predicted import predicted
from .lineage import Node, Tree
from .primary import Primary, locate, unreadable_rows
from .request import Cutover, Facts, Findings

KINDS = {"a": "production", "b": "main-restored"}


@dataclass(frozen=True)
class Subject:
    """What is promoted.

    :param branch_id: what becomes the primary; predicted where a snapshot has yet to be restored.
    :param backup_id: the backup that is restored first; None where the application has been cut over before.
    :param old_id: what was the primary before; None where nothing says so.
    :param record: what the catalogue says of an earlier promotion of this branch, where that still stands.
    :param snapshot: the name of the snapshot that the cutover inside has made, or is about to make.
    """

    branch_id: str
    name: str
    backup_id: str | None
    old_id: str | None
    cutover: Cutover | None
    record: Mapping[str, Any] | None = None
    snapshot: str | None = None

    @property
    def needs_cutover(self) -> bool:
        return self.backup_id is not None


def find_subject(
    facts: Facts,
    primary: Primary,
    *,
    wanted: str | None,
    option: str,
    inner: Mapping[str, Any] | None,
    findings: Findings,
) -> Subject | None:
    """The branch that was named, or the one that a restore has just cut over to.

    :param inner: the cutover of this promotion that was begun and never ended.
    """
    last = _last_cutover(facts)
    if wanted is None:
        if last is None or last.to_branch_id != primary.branch_id:
            findings.problem(
                "no_branch",
                "No branch was named, and no proven restore of this target is recorded that the application is on.",
                "Name the branch to promote: -e branch=backup-YYYYMMDD-HHMMSS",
            )
            return None
        return _present(facts, primary, last, findings)
    branch_id = _named(wanted, facts)
    if branch_id is None:
        known = ", ".join(sorted(node.name for node in facts.tree.nodes.values())[:15])
        findings.problem(
            "branch_unknown", f"The branch {wanted} does not exist in this project.", f"Name one: {known}."
        )
        return None
    if branch_id == primary.branch_id and not inner:
        return _present(facts, primary, last if last and last.to_branch_id == branch_id else None, findings)
    node = facts.tree.nodes[branch_id]
    if option == "b":
        if inner is not None:
            return _root_of(inner, facts, primary, node.id)
        if last is not None and last.to_branch_id == primary.branch_id and _is_of(last, node.id, facts):
            return _present(facts, primary, last, findings)
        return Subject(predicted("branch", "the new root"), "the new root", node.id, primary.branch_id, None)
    return Subject(node.id, node.name, node.id, _left_by(facts, primary, node.id), None)


def _root_of(inner: Mapping[str, Any], facts: Facts, primary: Primary, backup_id: str) -> Subject:
    """The root that the cutover inside has made, found as that does: by whose place it took, else by its name."""
    data = ((inner.get("steps") or {}).get("plan") or {}).get("data") or {}
    resolved = data.get("resolved") or {}
    old_id = str(resolved.get("primary_branch_id") or primary.branch_id)
    name = str((resolved.get("names") or {}).get("root") or "")
    nodes = facts.tree.nodes.values()
    made = next((node for node in nodes if node.restored_as == old_id), None) or facts.tree.named(name)
    if made is None or made.restored_from is None:
        return Subject(
            predicted("branch", "the new root"), "the new root", backup_id, old_id, None, snapshot=name or None
        )
    return Subject(made.id, made.name, backup_id, old_id, None, snapshot=name or None)


def _left_by(facts: Facts, primary: Primary, branch_id: str) -> str | None:
    """What the application is on, or was before the cutover that is being gone on with."""
    return primary.branch_id if primary.branch_id != branch_id else None


def _is_of(cutover: Cutover, backup_id: str, facts: Facts) -> bool:
    """Whether this cutover was the restore of that backup to a root of its own."""
    return cutover.strategy == "snapshot" and _named(str(cutover.backup or ""), facts) == backup_id


def _present(facts: Facts, primary: Primary, cutover: Cutover | None, findings: Findings) -> Subject:
    """The branch that the application is on already."""
    node = facts.tree.nodes[primary.branch_id]
    old_id, record = None, promoted(facts, node.id)
    if cutover is not None:
        stays = cutover.from_branch_id == cutover.to_branch_id
        old_id = cutover.preserved_branch_id if stays else cutover.from_branch_id
    elif record is None:
        old_id = _presumably_left(facts, node, findings)
    return Subject(node.id, node.name, None, old_id if facts.tree.get(old_id) else None, cutover, record)


def _presumably_left(facts: Facts, node: Node, findings: Findings) -> str | None:
    """The default branch, where a person has moved the row: no record says what the application was on before.

    Not one that somebody still uses, nor a backup; and not where another target of the project is on a branch that
    cannot be seen from here, for that may be it.
    """
    default = next((item for item in facts.tree.nodes.values() if item.default), None)
    # Who cannot be read may be on it (rule 2).
    if facts.unreadable or unreadable_rows(facts):
        return None
    if default is None or default.id == node.id or default.id in _used(facts) or _is_backup(facts, default.id):
        return None
    seen = {str(item.get("uuid")) for item in facts.consumers} | {str(facts.application.get("uuid"))}
    if any(_shares(facts, item) and str(item.get("application")) not in seen for item in facts.other_targets):
        return None
    findings.warn(
        f"No restore is recorded that led the application to {node.name}: the default branch {default.name} is taken "
        "for the old primary."
    )
    return default.id


def _used(facts: Facts) -> set[str]:
    """What is used by others or by this application; the rows of its previews stay behind when a person moves one."""
    own = str(facts.application.get("uuid"))
    others = [item for item in facts.consumers if not (item.get("is_preview") and str(item.get("uuid")) == own)]
    connections = [row.get("connection") or {} for row in facts.rows if not row.get("is_preview")] + others
    return {address.branch_id for item in connections if (address := locate(facts, item)) is not None}


def _shares(facts: Facts, other: Mapping[str, Any]) -> bool:
    return other.get("project") in (None, "", facts.project.get("id"))


def _is_backup(facts: Facts, branch_id: str) -> bool:
    """Made as a backup by this collection, and no primary since."""
    annotations = (facts.by_id.get(branch_id) or {}).get("annotations") or {}
    told = [annotations, *(item for item in facts.records if item.get("branch_id") == branch_id)]
    made = any(item.get("purpose") == "backup" for item in told)
    logged = any(item.get("branch_id") == branch_id for item in facts.backups)
    return (made or logged) and promoted(facts, branch_id) is None


def _last_cutover(facts: Facts) -> Cutover | None:
    last = facts.cutovers[-1] if facts.cutovers else None
    return last if last is not None and last.proven and not last.undone else None


def _named(wanted: str, facts: Facts) -> str | None:
    """By id, by its name of now, else by the name that it was made with."""
    node = facts.tree.get(wanted) or (facts.tree.named(wanted) if wanted else None)
    if node is not None:
        return node.id
    told = [*facts.backups, *(item for item in facts.records if item.get("event") in ("made", "promoted"))]
    for record in reversed(told):
        if wanted in (record.get("name"), record.get("was")) and facts.tree.get(str(record.get("branch_id"))):
            return str(record["branch_id"])
    return None


def promoted(facts: Facts, branch_id: str) -> Mapping[str, Any] | None:
    """The record of this branch's promotion; None where there is none, or where it was taken back."""
    said = [
        item
        for item in facts.records
        if item.get("branch_id") == branch_id and item.get("event") in ("promoted", "unpromoted")
    ]
    return said[-1] if said and said[-1]["event"] == "promoted" else None


def names(tree: Tree, subject: Subject, option: str, started: datetime) -> tuple[str, str]:
    """What the new primary and the old one are called: of the day (UTC), with one number for both where it is taken."""
    day = started.astimezone(UTC).strftime("%Y%m%d")
    for number in range(1, 2 * len(tree.nodes) + 2):
        ending = day if number == 1 else f"{day}-{number}"
        pair = f"{KINDS[option]}-{ending}", f"rollback-{ending}"
        owners = [tree.named(name) for name in pair]
        allowed = (subject.branch_id, subject.old_id)
        if all(owner is None or owner.id == own for owner, own in zip(owners, allowed, strict=True)):
            return pair
    raise AssertionError("there are more names than branches")
