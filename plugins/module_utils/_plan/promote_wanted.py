# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the two branches of a promotion are to be in the end.

What a killed run has resolved comes first, then what the record of an earlier promotion says, then what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from .._time import rfc3339
from .lineage import Tree
from .promote_names import Subject, names
from .promote_tree import Wanted
from .request import Facts, Request

PROTECTION = ("auto", "always", "never")


@dataclass(frozen=True)
class Asked:
    """The request of a promotion, beside what it has in common with that of a restore."""

    branch: str | None
    option: str
    grace_days: float
    protection: str
    backs_up: bool
    resolved: Mapping[str, Any]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Asked:
        return cls(
            branch=str(given.get("branch") or "").strip() or None,
            option=str(given.get("option") or "a"),
            grace_days=float(given["grace_days"]) if given.get("grace_days") is not None else 7.0,
            protection=str(given.get("protection") or "auto"),
            backs_up=given.get("backup") is not False,
            resolved=given.get("resolved") or {},
        )


def with_old(subject: Subject, asked: Asked, tree: Tree) -> Subject:
    """What the run that is gone on with, or an earlier promotion of the same branch, knew of the old primary."""
    told = asked.resolved.get("old_id") or (subject.record or {}).get("old_branch_id")
    if subject.old_id is not None or not told or tree.get(str(told)) is None:
        return subject
    return replace(subject, old_id=str(told))


def wanted(request: Request, asked: Asked, facts: Facts, tree: Tree, subject: Subject) -> Wanted:
    known = asked.resolved.get("names") or {}
    record = subject.record or {}
    new, old = names(tree, subject, asked.option, request.started)
    if known:
        new, old = str(known["new"]), str(known["old"])
    elif record.get("name") and record.get("option") == asked.option:
        new, old = str(record["name"]), str(record.get("old_name") or old)
    default_id = _default_before(asked, tree, subject)
    return Wanted(new, old, _protected(asked, facts, tree, subject, default_id), default_id)


def _default_before(asked: Asked, tree: Tree, subject: Subject) -> str | None:
    """The branch whose default label moves, where that is not the old primary: a restore moves no label."""
    if "default_id" in asked.resolved:
        return asked.resolved["default_id"] if tree.get(asked.resolved["default_id"]) is not None else None
    if subject.record is not None:
        # Since that promotion somebody has moved the label; what that branch has is not the promotion's.
        return None
    found = next((node.id for node in tree.nodes.values() if node.default), None)
    return found if found not in (subject.branch_id, subject.old_id) else None


def _protected(asked: Asked, facts: Facts, tree: Tree, subject: Subject, default_id: str | None) -> bool:
    """Whether the new primary is to be protected: as the old one or the default is, or was as the primary."""
    if asked.resolved.get("protected") is not None:
        return bool(asked.resolved["protected"])
    if asked.protection != "auto":
        return asked.protection == "always"
    node, old = tree.get(subject.branch_id), tree.get(subject.old_id)
    if (subject.record or {}).get("protected") or (node is not None and node.protected):
        return True
    default = tree.get(default_id)
    if default is not None and default.protected:
        return True
    said = (facts.branch_facts.get(str(subject.old_id)) or {}).get("protected")
    return old is not None and bool(old.protected or said) and subject.record is None


def keep_until(request: Request, asked: Asked, subject: Subject) -> str:
    told = asked.resolved.get("keep_until") or (subject.record or {}).get("keep_until")
    return str(told or rfc3339((request.now + timedelta(days=asked.grace_days)).replace(microsecond=0)))


def resolved(asked: Asked, tree: Tree, subject: Subject, aim: Wanted, kept_until: str) -> dict[str, Any]:
    """What a run that goes on with this one takes as it is."""
    return {
        "asked_id": subject.backup_id or subject.branch_id,
        "old_id": subject.old_id,
        "default_id": aim.default_id,
        "names": {"new": aim.name, "old": aim.old_name},
        "protected": aim.protected,
        "keep_until": kept_until,
        # With option B nothing is added to the backup.
        "without_computes": asked.option == "a"
        and subject.backup_id is not None
        and not tree.nodes[subject.backup_id].endpoints,
    }
