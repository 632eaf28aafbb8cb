# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore in place does to the tree: its target keeps id and name, the old state takes its place (rule 14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from .lineage import Node, Tree, added, moved_below, no_room, refuse, required

# Neon's documentation of snapshots: a child of a branch that came from one cannot be reset for up to a day.
SNAPSHOT_CHILD_LOCK = timedelta(hours=24)


def restore_obstacles(tree: Tree, target_id: str, *, now: datetime | None = None) -> list[str]:
    """Why a branch cannot be restored in place now; empty when it can.

    A branch that came from a snapshot can never be; a child of such a branch cannot be for a day.
    """
    target = required(tree, target_id)
    parent = tree.parent(target_id)
    reasons = []
    if target.protected:
        reasons.append(f"branch {target.name} is protected and cannot be restored")
    if target.restored_from is not None:
        reasons.append(f"branch {target.name} came from a snapshot, and no restore works on such a branch")
    elif parent is not None and parent.restored_from is not None and _is_younger(parent, SNAPSHOT_CHILD_LOCK, now):
        reasons.append(f"its parent {parent.name} came from a snapshot less than a day ago")
    elif target.restricted is not None:
        reasons.append(f"Neon does not allow it for branch {target.name}: {target.restricted}")
    return reasons


def _is_younger(node: Node, age: timedelta, now: datetime | None) -> bool:
    """Where an instant is not known: yes."""
    return now is None or node.created_at is None or now - node.created_at < age


def with_restore(
    tree: Tree,
    target_id: str,
    source_id: str,
    preserved: Node | None,
    *,
    at: datetime | None = None,
    detached: bool = True,
    now: datetime | None = None,
) -> Tree:
    """Restore a branch in place, its old state kept as `preserved`.

    The target keeps its id, name and computes. The preserved branch takes the target's place in the tree and all its
    children. A root that was restored from itself ends as a root again once Neon has detached it
    (`detached=False` shows the tree before that); every other target ends as a child of its source, or of the
    preserved branch where it was its own source. Without a preserved branch the old state is gone: possible only for
    a leaf that is restored from another branch.
    """
    target, source = required(tree, target_id), required(tree, source_id)
    itself = source_id == target_id
    reasons = restore_obstacles(tree, target_id, now=now)
    if source.expires_at is not None and not itself:
        reasons.append(f"branch {source.name} has an expiry, and an expiring branch can have no children")
    was_root = target.parent_id is None or target.detaching
    if preserved is None:
        if itself or tree.children(target_id):
            reasons.append("the old state must be kept under a name")
        refuse(f"branch {target.name} cannot be restored", reasons)
        return tree.but(moved_below(target, source_id, at))
    reasons += no_room(tree, branches=1, roots=int(itself and was_root))
    kept = _kept(target, preserved)
    grown = added(tree, kept, reasons)
    moved = [replace(node, parent_id=kept.id) for node in grown.children(target_id)]
    if not itself:
        return grown.but(*moved, moved_below(target, source_id, at))
    if was_root and detached:
        return grown.but(*moved, moved_below(target, None, None))
    return grown.but(*moved, replace(moved_below(target, kept.id, at), detaching=was_root))


def _kept(target: Node, preserved: Node) -> Node:
    """The branch with the old state: in the target's place in the tree, without its flags and computes."""
    return replace(
        preserved,
        parent_id=target.parent_id,
        parent_at=target.parent_at,
        parent_lsn=target.parent_lsn,
        detaching=target.detaching,
        default=False,
        protected=False,
        expires_at=None,
        endpoints=(),
    )
