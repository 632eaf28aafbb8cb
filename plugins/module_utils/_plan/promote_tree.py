# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a promotion does to the tree, move by move, over the rules of lineage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .._predicted import predicted
from .drawing import tree_rows
from .flags import with_default, with_name, with_protection
from .lineage import Node, Snapshot, Tree, blockers, held_by, no_room, with_child, with_detached
from .promote_names import Subject
from .snapshots import with_finalized_snapshot, with_restored_snapshot, with_snapshot


@dataclass(frozen=True)
class Wanted:
    """How the two branches are to be in the end.

    :param default_id: the branch that had the default label before, where it is neither of the two.
    """

    name: str
    old_name: str
    protected: bool
    default_id: str | None = None


@dataclass(frozen=True)
class Move:
    """One change of one branch, and how it was before: what takes it back.

    :param step: its name in the journal.
    """

    step: str
    branch_id: str
    name: str
    does: str
    change: dict[str, Any]
    undo: dict[str, Any]

    def public(self) -> dict[str, Any]:
        return dict(vars(self))


def after_cutover(tree: Tree, subject: Subject, option: str, now: datetime) -> Tree:
    """The tree once the application has been cut over.

    :raises LineageError: where Neon would refuse it.
    """
    if not subject.needs_cutover:
        return tree
    if option == "a":
        return tree.but(replace(tree.nodes[subject.branch_id], expires_at=None))
    root_id = str(subject.old_id)
    made = tree.get(subject.branch_id)
    if made is not None and made.restored_as == root_id:
        return tree
    if made is not None:
        # The compute that it is verified with is taken away before.
        grown = tree.but(replace(made, endpoints=(), replaces=root_id))
        return with_finalized_snapshot(grown, root_id, made.id)
    grown = tree
    shot = next((item for item in tree.snapshots.values() if item.name == subject.snapshot), None)
    if shot is None:
        shot = Snapshot(predicted("snapshot", "promotion"), "promotion")
        grown = with_snapshot(tree, root_id, shot)
    grown = with_restored_snapshot(
        grown, shot.id, Node(subject.branch_id, subject.name, created_at=now), target_id=root_id
    )
    return with_finalized_snapshot(grown, root_id, subject.branch_id)


def added_root(tree: Tree, subject: Subject, now: datetime) -> Tree:
    """The tree with the new primary, where nothing better can be said of how it comes about."""
    return tree.but(Node(subject.branch_id, subject.name, created_at=now))


def moves(tree: Tree, subject: Subject, wanted: Wanted) -> list[Move]:
    """What differs from what is wanted, in an order that Neon accepts. None where nothing does."""
    new = tree.nodes[subject.branch_id]
    old = tree.get(subject.old_id)
    found = []
    if new.expires_at is not None:
        found.append(
            Move("clear_expiry", new.id, new.name, f"Clears the expiry of {new.name}.", {"expires_at": "never"}, {})
        )
    if old is not None and old.name != wanted.old_name:
        found.append(_renamed("rename_old", old, wanted.old_name))
    if new.name != wanted.name:
        found.append(_renamed("rename_new", new, wanted.name))
    if not new.default:
        before = next((node.id for node in tree.nodes.values() if node.default), None)
        does = f"Makes {wanted.name} the default branch."
        found.append(Move("make_default", new.id, wanted.name, does, {"default": True}, {"default": before}))
    return found + _protections(tree, new, old, wanted)


def _renamed(step: str, node: Node, name: str) -> Move:
    return Move(step, node.id, node.name, f"Renames {node.name} to {name}.", {"name": name}, {"name": node.name})


def _protections(tree: Tree, new: Node, old: Node | None, wanted: Wanted) -> list[Move]:
    """The new one first, so that the primary is never without; the other way round where the plan has no room."""
    off = []
    if new.protected and not wanted.protected:
        off.append(_unprotected("unprotect_new", new, wanted.name))
    if old is not None and old.protected:
        off.append(_unprotected("unprotect_old", old, wanted.old_name))
    other = tree.get(wanted.default_id)
    if other is not None and other.protected:
        off.append(_unprotected("unprotect_default", other, other.name))
    if not wanted.protected or new.protected:
        return off
    does = f"Protects {wanted.name}."
    on = Move("protect_new", new.id, wanted.name, does, {"protected": True}, {"protected": False})
    return [*off, on] if off and no_room(tree, protected=1) else [on, *off]


def _unprotected(step: str, node: Node, name: str) -> Move:
    does = f"Takes the protection of {name} off."
    return Move(step, node.id, name, does, {"protected": False}, {"protected": True})


def carried_out(tree: Tree, made: list[Move]) -> Tree:
    """The tree after these moves.

    :raises LineageError: where Neon would refuse one.
    """
    apply: dict[str, Callable[[Tree, str, Any], Tree]] = {
        "name": with_name,
        "default": lambda grown, branch_id, _value: with_default(grown, branch_id),
        "protected": with_protection,
        "expires_at": lambda grown, branch_id, _value: grown.but(replace(grown.nodes[branch_id], expires_at=None)),
    }
    for move in made:
        for what, value in move.change.items():
            tree = apply[what](tree, move.branch_id, value)
    return tree


def with_backup(tree: Tree, subject: Subject, name: str, now: datetime) -> Tree:
    """The tree with the first backup of the new primary.

    :raises LineageError: where there is no room for it.
    """
    return with_child(tree, subject.branch_id, Node(predicted("branch", name), name, created_at=now))


def staying(tree: Tree, subject: Subject) -> list[dict[str, str]]:
    """The branches that can never be deleted while the new primary exists, and why."""
    name = tree.nodes[subject.branch_id].name
    return [
        {"branch_id": node.id, "name": node.name, "why": f"it stays an ancestor of {name} as long as that exists"}
        for node in held_by(tree, subject.branch_id)
    ]


def old_part(tree: Tree, subject: Subject) -> dict[str, Any] | None:
    """Whether the old primary can be deleted in the end: now, after others, or never."""
    old = tree.get(subject.old_id)
    if old is None:
        return None
    never = any(item["branch_id"] == old.id for item in staying(tree, subject))
    children = [child.name for child in with_detached(tree).children(old.id) if child.id != subject.branch_id]
    return {
        "branch_id": old.id,
        "name": old.name,
        "deletable": "never" if never else "after_others" if children else "yes",
        "waits_for": [] if never else children,
        "why": "; ".join(blockers(tree, old.id)),
    }


def drawn(tree: Tree, subject: Subject, known: Tree) -> list[dict[str, Any]]:
    """The tree as rows, each with what it is in this plan.

    :param known: the tree as it is now.
    """
    still_to_come = tree is known and subject.needs_cutover

    def marks(node: Node) -> list[str]:
        found = ["new"] if node.id not in known.nodes else []
        if node.id == subject.old_id:
            found.append("primary" if still_to_come else "old primary")
        elif node.id == subject.branch_id and not still_to_come:
            found.append("primary")
        return found

    return tree_rows(tree, marks)


def shown(before: Tree, after: Tree, subject: Subject) -> dict[str, Any]:
    """What the plan says of the branches: the new primary, the old one, and both trees."""
    return {
        "branch": {
            "branch_id": subject.branch_id,
            "name": subject.name,
            "backup_id": subject.backup_id,
            "is_root": after.nodes[subject.branch_id].parent_id is None,
        },
        "old": old_part(after, subject),
        "staying": staying(after, subject),
        "tree_before": drawn(before, subject, before),
        "tree_after": drawn(after, subject, before),
    }
