# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a restore in place, or the road of snapshots, is closed for a target (rules 14 and 15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .request import Facts, slots

if TYPE_CHECKING:
    from .strategies import Case


def in_place_obstacles(case: Case) -> list[tuple[str, str, str]]:
    """Why a restore in place is not possible here: code, message and what to do, for each reason."""
    found = []
    node, branch = case.node, case.branch
    instead = "Use cutover=repoint."
    if node.parent_id is not None:
        parent = case.facts.tree.parent(node.id)
        found.append(
            (
                "not_root",
                f"The primary {node.name} is a child of {parent.name if parent else node.parent_id}; only a root "
                "branch can be restored in place.",
                instead,
            )
        )
    restricted = [item for item in branch.get("restricted_actions") or () if _action(item) == "restore"]
    if restricted:
        found.append(
            (
                "restore_restricted",
                f"Neon does not allow a restore of the primary {node.name} now: {_reason(restricted[0])}.",
                f"Wait until it does, or: {instead[0].lower()}{instead[1:]}",
            )
        )
    if branch.get("restore_status") in ("detaching", "restored"):
        found.append(
            (
                "branch_detaching",
                f"An earlier restore of the primary {node.name} is still going on in the background "
                f"({branch['restore_status']}).",
                "Wait until it has ended (for a detaching branch minutes, after a snapshot's restore up to a day), or: "
                f"{instead[0].lower()}{instead[1:]}",
            )
        )
    return found + _no_undo_slot(case)


def _no_undo_slot(case: Case) -> list[tuple[str, str, str]]:
    """An undo keeps what the restore has brought as a branch of its own: with the last slot taken there is no way back.

    The preview is gone by then, also that of a run that is gone on with.
    """
    found = slots(case.facts, {"branches": 1, "roots": 0})["branches"]
    used, limit, free = (found[key] for key in ("used", "limit", "free"))
    if free is None or free + int(case.names.preview.existing is not None) != 1:
        return []
    return [
        (
            "no_undo_slot",
            f"The project has {used} of {limit} branches: a restore in place takes the last one, and an undo of it "
            "needs one more.",
            "Delete a branch that is no longer needed (playbooks/cleanup.yml shows which), raise the plan, or use "
            "cutover=repoint, whose undo needs none.",
        )
    ]


def snapshot_obstacles(case: Case) -> list[tuple[str, str, str]]:
    """Why the road of snapshots is closed here (rule 15): code, message and what to do, for each reason."""
    if case.is_finalized:
        return []
    found = []
    tree, node, source = case.facts.tree, case.node, case.in_place_source
    instead = "Use cutover=repoint."
    if node.parent_id is not None:
        parent = tree.parent(node.id)
        found.append(
            (
                "not_root",
                f"The primary {node.name} is a child of {parent.name if parent else node.parent_id}; what is restored "
                "from a snapshot takes the place of a root branch only.",
                instead,
            )
        )
    holder = tree.nodes[source.branch_id]
    if holder.id != node.id and holder.parent_id is not None:
        found.append(
            (
                "source_not_root",
                f"The data is on {holder.name}, which is a child; Neon makes snapshots of root branches only.",
                instead,
            )
        )
    limit, used = _manual_snapshots(case.facts)
    made = case.resumed and any(item.get("name") == case.names.root.name for item in case.facts.snapshots or ())
    if limit is not None and used is not None and used >= limit and not made:
        found.append(
            (
                "no_snapshot_slot",
                f"The project has {used} of {limit} manual snapshots, and this restore makes one.",
                "Delete one that is no longer needed (neon_snapshot with state: absent), or raise the plan.",
            )
        )
    return found


def _manual_snapshots(facts: Facts) -> tuple[int | None, int | None]:
    """How many manual snapshots the plan allows and how many there are; None where it is not known."""
    limit = (facts.project.get("limits") or {}).get("manual_snapshots")
    used = None if facts.snapshots is None else sum(1 for item in facts.snapshots if item.get("manual") is not False)
    return (None if limit is None or int(limit) < 0 else int(limit)), used


def _action(item: Any) -> str:
    return str(item.get("name") if isinstance(item, Mapping) else item)


def _reason(item: Any) -> str:
    return str((item.get("reason") if isinstance(item, Mapping) else None) or "no reason is given")
