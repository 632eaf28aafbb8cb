# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neon's branches form, and what each operation does to it.

A tree of branches is a value: every operation returns a new one, so that a plan can show "before" and "after" and
nothing is changed by looking. The rules are those of Neon's branch documentation: a branch with children, the default
branch and a protected branch cannot be deleted; an expiring branch can have no children; a restore moves the children
of its target to the branch that keeps the old state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from .instants import instant_or_none


class LineageError(ValueError):
    """An operation that Neon would refuse; the text says why."""


@dataclass(frozen=True)
class Node:
    """One branch, as far as lineage is concerned. Instants are aware."""

    id: str
    name: str
    parent_id: str | None = None
    parent_at: datetime | None = None
    parent_lsn: str | None = None
    created_at: datetime | None = None
    last_reset_at: datetime | None = None
    default: bool = False
    protected: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Slots:
    """How many branches, and how many of them without a parent, a project holds."""

    branches: int
    roots: int


@dataclass(frozen=True)
class Deletion:
    """In which order branches can be deleted, and which cannot, with the reasons."""

    order: tuple[str, ...]
    blocked: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Tree:
    """The branches of one project, by id."""

    nodes: Mapping[str, Node] = field(default_factory=dict)

    @classmethod
    def of(cls, branches: Iterable[Mapping[str, Any]]) -> Tree:
        """Build the tree from branch objects as `neon_branch_info` returns them."""
        return cls({node.id: node for node in map(_node, branches)})

    def get(self, branch_id: str | None) -> Node | None:
        return self.nodes.get(branch_id) if branch_id else None

    def named(self, name: str) -> Node | None:
        return next((node for node in self.nodes.values() if node.name == name), None)

    def parent(self, branch_id: str) -> Node | None:
        return self.get(self.nodes[branch_id].parent_id)

    def is_root(self, branch_id: str) -> bool:
        """A branch whose parent is not listed counts as a child: nothing is known about where it came from."""
        return self.nodes[branch_id].parent_id is None

    def roots(self) -> list[Node]:
        return [node for node in self._sorted() if node.parent_id is None or node.parent_id not in self.nodes]

    def children(self, branch_id: str) -> list[Node]:
        return list(self._by_parent.get(branch_id, ()))

    @cached_property
    def _by_parent(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self._sorted():
            if node.parent_id is not None:
                found.setdefault(node.parent_id, []).append(node)
        return found

    def ancestors(self, branch_id: str) -> list[Node]:
        """From the parent upwards. Ends at a branch met before, should a listing ever be inconsistent."""
        found: list[Node] = []
        node = self.parent(branch_id)
        while node is not None and node.id != branch_id and node not in found:
            found.append(node)
            node = self.get(node.parent_id)
        return found

    def descendants(self, branch_id: str) -> list[Node]:
        return [node for node in self._sorted() if any(a.id == branch_id for a in self.ancestors(node.id))]

    def slots(self) -> Slots:
        return Slots(len(self.nodes), sum(1 for node in self.nodes.values() if node.parent_id is None))

    def rows(self) -> list[tuple[int, Node]]:
        """Every branch with its depth, parents before children: the order in which a tree is drawn."""
        drawn: list[tuple[int, Node]] = []
        stack = [(0, node) for node in reversed(self.roots())]
        while stack:
            depth, node = stack.pop()
            drawn.append((depth, node))
            stack.extend((depth + 1, child) for child in reversed(self.children(node.id)))
        return drawn

    def _sorted(self) -> list[Node]:
        """Oldest first; the id decides between two of one instant, so that the order never depends on a listing's."""
        return sorted(self.nodes.values(), key=lambda n: (n.created_at.timestamp() if n.created_at else 0.0, n.id))


def _node(branch: Mapping[str, Any]) -> Node:
    return Node(
        id=str(branch["id"]),
        name=str(branch.get("name") or branch["id"]),
        parent_id=branch.get("parent_id") or None,
        parent_at=instant_or_none(branch.get("parent_timestamp")),
        parent_lsn=branch.get("parent_lsn") or None,
        created_at=instant_or_none(branch.get("created_at")),
        last_reset_at=instant_or_none(branch.get("last_reset_at")),
        default=bool(branch.get("default")),
        protected=bool(branch.get("protected")),
        expires_at=instant_or_none(branch.get("expires_at")),
    )


def with_child(tree: Tree, parent_id: str, node: Node) -> Tree:
    """Create a branch. Refused for an unknown or expiring parent and for an id or a name that is taken."""
    parent = _required(tree, parent_id)
    if parent.expires_at is not None:
        raise LineageError(f"branch {parent.name} has an expiry, and an expiring branch can have no children")
    return _added(tree, replace(node, parent_id=parent_id))


def with_root(tree: Tree, node: Node) -> Tree:
    """Create a branch without a parent, as a snapshot's restore does."""
    return _added(tree, replace(node, parent_id=None, parent_at=None, parent_lsn=None))


def with_restore(
    tree: Tree, target_id: str, source_id: str, preserved: Node, *, at: datetime | None = None, detached: bool = True
) -> Tree:
    """Restore a branch in place, its old state kept as `preserved`.

    The target keeps its id, name and computes. The preserved branch takes the target's place in the tree and all its
    children. A root that was restored from itself ends as a root again once Neon has detached it
    (`detached=False` shows the tree before that); every other target ends as a child of its source, or of the
    preserved branch where it was its own source.
    """
    target = _required(tree, target_id)
    source = _required(tree, source_id)
    if target.protected:
        raise LineageError(f"branch {target.name} is protected and cannot be restored")
    if source.expires_at is not None and source_id != target_id:
        raise LineageError(f"branch {source.name} has an expiry, and an expiring branch can have no children")
    kept = replace(
        preserved,
        parent_id=target.parent_id,
        parent_at=target.parent_at,
        parent_lsn=target.parent_lsn,
        default=False,
        protected=False,
        expires_at=None,
    )
    grown = _added(tree, kept)
    moved = {
        node.id: replace(node, parent_id=kept.id) if node.parent_id == target_id else node
        for node in grown.nodes.values()
    }
    new_parent: str | None = source_id
    if source_id == target_id:
        new_parent = None if target.parent_id is None and detached else kept.id
    moved[target_id] = replace(target, parent_id=new_parent, parent_at=at if new_parent else None, parent_lsn=None)
    return Tree(moved)


def with_finalized_snapshot(tree: Tree, target_id: str, restored_id: str) -> Tree:
    """Finalize a snapshot's restore: the restored root takes over name, default flag and protection of the target.

    The target keeps its id and its children and is renamed `<name> (old)`.
    """
    target = _required(tree, target_id)
    restored = _required(tree, restored_id)
    if restored.parent_id is not None:
        raise LineageError(f"branch {restored.name} was not restored from a snapshot: it has a parent")
    nodes = dict(tree.nodes)
    nodes[target_id] = replace(target, name=f"{target.name} (old)", default=False, protected=False)
    nodes[restored_id] = replace(restored, name=target.name, default=target.default, protected=target.protected)
    return Tree(nodes)


def without(tree: Tree, branch_id: str, *, in_use: Collection[str] = ()) -> Tree:
    """Delete a branch. Refused with every reason that stands in the way."""
    reasons = blockers(tree, branch_id, in_use=in_use)
    if reasons:
        raise LineageError(f"branch {tree.nodes[branch_id].name} cannot be deleted: {'; '.join(reasons)}")
    return Tree({key: node for key, node in tree.nodes.items() if key != branch_id})


def blockers(tree: Tree, branch_id: str, *, in_use: Collection[str] = ()) -> list[str]:
    """Why a branch cannot be deleted now; empty when it can."""
    node = _required(tree, branch_id)
    reasons = []
    if node.default:
        reasons.append("it is the default branch")
    if node.protected:
        reasons.append("it is protected")
    if branch_id in in_use:
        reasons.append("an application points to it")
    children = tree.children(branch_id)
    if children:
        reasons.append(f"it is the parent of {', '.join(child.name for child in children)}")
    if len(tree.nodes) == 1:
        reasons.append("it is the last branch of the project")
    return reasons


def deletion_order(tree: Tree, wanted: Collection[str], *, in_use: Collection[str] = ()) -> Deletion:
    """Order deletions leaf first. What a kept child, a flag or an application holds is returned as blocked."""
    gone: dict[str, None] = {}
    # Reversed, the order of drawing has children before parents: one pass is enough.
    for _depth, node in reversed(tree.rows()):
        children = tree.children(node.id)
        held = node.default or node.protected or node.id in in_use or any(child.id not in gone for child in children)
        if node.id in wanted and not held and len(tree.nodes) - len(gone) > 1:
            gone[node.id] = None
    left = Tree({key: node for key, node in tree.nodes.items() if key not in gone})
    remaining = [branch_id for branch_id in left.nodes if branch_id in wanted]
    blocked = {branch_id: tuple(blockers(left, branch_id, in_use=in_use)) for branch_id in remaining}
    return Deletion(tuple(gone), blocked)


def held_by(tree: Tree, primary_id: str) -> list[Node]:
    """The branches that can never be deleted as long as this one exists: its ancestors."""
    return tree.ancestors(primary_id)


def _required(tree: Tree, branch_id: str) -> Node:
    node = tree.get(branch_id)
    if node is None:
        raise LineageError(f"branch {branch_id} is not a branch of this project")
    return node


def _added(tree: Tree, node: Node) -> Tree:
    if node.id in tree.nodes:
        raise LineageError(f"a branch with the id {node.id} exists already")
    if tree.named(node.name) is not None:
        raise LineageError(f"a branch with the name {node.name} exists already")
    return Tree({**tree.nodes, node.id: node})
