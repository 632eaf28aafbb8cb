# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The road of snapshots: the only way to a root branch that depends on no other (rule 15).

A snapshot is made of a root, survives it, and is restored to a new root. Finalized, that root takes the place of
another branch: name, flags and computes move to it, its id stays its own, and the replaced branch keeps its children
and can be deleted once these are gone. No restore in place works on the new root afterwards (Neon's documentation of
snapshots, beta).
"""

from __future__ import annotations

from dataclasses import replace

from .lineage import LineageError, Node, Snapshot, Tree, added, name_taken, no_room, refuse, required


def snapshot_obstacles(tree: Tree, branch_id: str) -> list[str]:
    """Why no snapshot of a branch can be made now; empty when it can."""
    node = required(tree, branch_id)
    reasons = no_room(tree, snapshots=1)
    parent = tree.parent(branch_id)
    above = parent.name if parent is not None else node.parent_id
    if node.detaching:
        reasons.append(f"it is still being detached from {above}")
    elif node.parent_id is not None:
        reasons.append(f"it is a child of {above}, and only a root branch has snapshots")
    return reasons


def with_snapshot(tree: Tree, branch_id: str, snapshot: Snapshot) -> Tree:
    """Make a manual snapshot of a branch."""
    node = required(tree, branch_id)
    refuse(f"no snapshot of branch {node.name} can be made", snapshot_obstacles(tree, branch_id))
    made = replace(snapshot, source_id=branch_id, manual=True)
    return replace(tree, snapshots={**tree.snapshots, made.id: made})


def without_snapshot(tree: Tree, snapshot_id: str) -> Tree:
    """Delete a snapshot. What was restored from it stays."""
    _required_snapshot(tree, snapshot_id)
    return replace(tree, snapshots={key: item for key, item in tree.snapshots.items() if key != snapshot_id})


def with_restored_snapshot(tree: Tree, snapshot_id: str, node: Node, *, target_id: str | None = None) -> Tree:
    """Restore a snapshot to a new root branch without a compute.

    :param target_id: whose place it shall take once finalized; by default the snapshot's source, where Neon then finds
        the replaced branch again when the source has been replaced before.
    """
    snapshot = _required_snapshot(tree, snapshot_id)
    if target_id is not None:
        required(tree, target_id)
    root = replace(
        node,
        parent_id=None,
        parent_at=None,
        parent_lsn=None,
        default=False,
        restored_from=snapshot_id,
        replaces=target_id or snapshot.source_id,
        endpoints=(),
    )
    return added(tree, root, no_room(tree, branches=1, roots=1))


def finalize_obstacles(tree: Tree, target_id: str, restored_id: str, *, replaced_name: str | None = None) -> list[str]:
    """Why a restored branch cannot take the target's place; empty when it can.

    What becomes of computes of the restored branch's own is not documented, so there must be none.
    """
    target, restored = required(tree, target_id), required(tree, restored_id)
    reasons = name_taken(tree, replaced_name, but=target_id) if replaced_name else []
    if restored.restored_from is None:
        reasons.append(f"branch {restored.name} was not restored from a snapshot")
    if restored.restored_as is not None:
        reasons.append(f"branch {restored.name} has taken a branch's place before")
    if target_id == restored_id:
        reasons.append(f"branch {target.name} is the restored branch itself")
    if restored.expires_at is not None:
        reasons.append(f"branch {restored.name} expires")
    if restored.endpoints:
        reasons.append(f"branch {restored.name} has computes of its own")
    return reasons


def with_finalized_snapshot(tree: Tree, target_id: str, restored_id: str, *, replaced_name: str | None = None) -> Tree:
    """Finalize a snapshot's restore: the restored root takes over name, flags and computes of the target.

    The target keeps its id and its children and is renamed `<name> (old)`, or as it is told.
    """
    target, restored = required(tree, target_id), required(tree, restored_id)
    refuse(
        f"branch {restored.name} cannot take the place of {target.name}",
        finalize_obstacles(tree, target_id, restored_id, replaced_name=replaced_name),
    )
    old_name = replaced_name or _free_name(tree, f"{target.name} (old)")
    return tree.but(
        replace(target, name=old_name, default=False, protected=False, endpoints=()),
        replace(
            restored,
            name=target.name,
            default=restored.default or target.default,
            protected=restored.protected or target.protected,
            restored_as=target_id,
            endpoints=target.endpoints,
        ),
    )


def _free_name(tree: Tree, wanted: str) -> str:
    name, number = wanted, 1
    while tree.named(name) is not None:
        number += 1
        name = f"{wanted} {number}"
    return name


def _required_snapshot(tree: Tree, snapshot_id: str) -> Snapshot:
    snapshot = tree.snapshots.get(snapshot_id)
    if snapshot is None:
        raise LineageError("the snapshot cannot be found", [f"{snapshot_id} is not a snapshot of this project"])
    return snapshot
