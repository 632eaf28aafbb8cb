# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neon's branches form, and what each operation does to it.

A tree of branches is a value: every operation returns a new one, so that a plan can show "before" and "after" and
nothing is changed by looking. The rules are those of Neon's branch documentation: a branch with children, the default
branch and a protected branch cannot be deleted, and an expiring branch can have no children. What a restore in place
does is in `restores`, what changes a branch without moving it in `flags`, and what has to do with snapshots in
`snapshots`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from .instants import instant_or_none


class LineageError(ValueError):
    """An operation that Neon would refuse, with every reason.

    :param doing: what was to be done, as a sentence that the reasons are appended to.
    """

    def __init__(self, doing: str, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{doing}: {'; '.join(self.reasons)}")


@dataclass(frozen=True)
class Node:
    """One branch, as far as lineage is concerned. Instants are aware.

    :param detaching: it was a root that has been restored from itself; Neon makes it one again some time later.
    :param restored_from: the snapshot that it came from: no restore works on it.
    :param restored_as: the branch whose place it took.
    :param replaces: the branch whose place it shall take once it is finalized. Neon does not tell this.
    :param restricted: why Neon says that it is no restore target now.
    :param endpoints: the ids of its computes.
    """

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
    detaching: bool = False
    restored_from: str | None = None
    restored_as: str | None = None
    replaces: str | None = None
    restricted: str | None = None
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One snapshot. Names are not unique."""

    id: str
    name: str
    source_id: str | None = None
    manual: bool = True


@dataclass(frozen=True)
class Slots:
    """How many branches, and how many of them without a parent or protected, and manual snapshots a project holds."""

    branches: int
    roots: int
    protected: int = 0
    snapshots: int = 0


@dataclass(frozen=True)
class Limits:
    """How many of each a project may hold; None is unknown or without limit."""

    branches: int | None = None
    roots: int | None = None
    protected: int | None = None
    snapshots: int | None = None

    @classmethod
    def of(cls, project: Mapping[str, Any]) -> Limits:
        """From a project as `neon_project_info` returns it. A number below 0 is no limit."""
        told = project.get("limits") or {}
        names = ("branches", "root_branches", "protected_branches", "manual_snapshots")
        found = (told.get(name) for name in names)
        return cls(*(None if value is None or int(value) < 0 else int(value) for value in found))


@dataclass(frozen=True)
class Deletion:
    """In which order branches can be deleted, and which cannot, with the reasons.

    :param waits: of those in the order, which can go only once Neon has detached a child of theirs, and its name.
    """

    order: tuple[str, ...]
    blocked: Mapping[str, tuple[str, ...]]
    waits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """The branches of one project, by id, with its snapshots and limits where these matter."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    limits: Limits = Limits()

    @classmethod
    def of(
        cls,
        branches: Iterable[Mapping[str, Any]],
        *,
        snapshots: Iterable[Mapping[str, Any]] = (),
        limits: Limits | None = None,
        operations: Iterable[Mapping[str, Any]] = (),
    ) -> Tree:
        """Build the tree from objects as `neon_branch_info`, `neon_snapshot_info` and `neon_project_info` return them.

        :param operations: those that still run: they tell which branch is being detached.
        """
        detaching = {item.get("branch_id") for item in operations if item.get("action") == "detach_parent_branch"}
        nodes = (_node(branch, detaching=branch["id"] in detaching) for branch in branches)
        shelf = (_snapshot(snapshot) for snapshot in snapshots)
        return cls({node.id: node for node in nodes}, {item.id: item for item in shelf}, limits or Limits())

    def but(self, *changed: Node, without: Collection[str] = ()) -> Tree:
        """The same with these branches changed or added, and others gone."""
        nodes = {**self.nodes, **{node.id: node for node in changed}}
        return replace(self, nodes={key: node for key, node in nodes.items() if key not in without})

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
        nodes = self.nodes.values()
        return Slots(
            len(nodes),
            sum(1 for node in nodes if node.parent_id is None),
            sum(1 for node in nodes if node.protected),
            sum(1 for snapshot in self.snapshots.values() if snapshot.manual),
        )

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


def _node(branch: Mapping[str, Any], *, detaching: bool = False) -> Node:
    restricted = [
        item
        for item in branch.get("restricted_actions") or ()
        if isinstance(item, Mapping) and item["name"] == "restore"
    ]
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
        # "detaching" of a branch without a parent is what Neon shows while it copies a snapshot's data.
        detaching=bool(branch.get("parent_id")) and (detaching or branch.get("restore_status") == "detaching"),
        restored_from=branch.get("restored_from") or None,
        restored_as=branch.get("restored_as") or None,
        restricted=str(restricted[0].get("reason") or "Neon gives no reason") if restricted else None,
        endpoints=tuple(str(item["id"]) for item in branch.get("endpoints") or ()),
    )


def _snapshot(snapshot: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        id=str(snapshot["id"]),
        name=str(snapshot.get("name") or snapshot["id"]),
        source_id=snapshot.get("source_branch_id") or None,
        manual=snapshot.get("manual") is not False,
    )


def with_child(tree: Tree, parent_id: str, node: Node) -> Tree:
    """Create a branch. Refused for an unknown or expiring parent and for an id or a name that is taken."""
    parent = required(tree, parent_id)
    reasons = no_room(tree, branches=1, protected=int(node.protected))
    if parent.expires_at is not None:
        reasons.append(f"branch {parent.name} has an expiry, and an expiring branch can have no children")
    if node.protected and node.expires_at is not None:
        reasons.append("a protected branch cannot expire")
    return added(tree, replace(node, parent_id=parent_id, default=False), reasons)


def with_root(tree: Tree, node: Node) -> Tree:
    """Create a branch without a parent, as a snapshot's restore does."""
    reasons = no_room(tree, branches=1, roots=1)
    return added(tree, replace(node, parent_id=None, parent_at=None, parent_lsn=None, default=False), reasons)


def with_detached(tree: Tree) -> Tree:
    """The tree once Neon has detached what it detaches in the background: each is a root then."""
    waiting = [node for node in tree.nodes.values() if node.detaching]
    return tree.but(*(moved_below(node, None, None) for node in waiting))


def moved_below(node: Node, parent_id: str | None, at: datetime | None) -> Node:
    """The branch as a child of another, or as a root."""
    return replace(node, parent_id=parent_id, parent_at=at, parent_lsn=None, detaching=False)


def without(tree: Tree, branch_id: str, *, in_use: Collection[str] = ()) -> Tree:
    """Delete a branch, and its computes with it. Refused with every reason that stands in the way."""
    node = required(tree, branch_id)
    refuse(f"branch {node.name} cannot be deleted", blockers(tree, branch_id, in_use=in_use))
    return tree.but(without=(branch_id,))


def blockers(tree: Tree, branch_id: str, *, in_use: Collection[str] = ()) -> list[str]:
    """Why a branch cannot be deleted now; empty when it can."""
    node = required(tree, branch_id)
    reasons = _held(node, in_use)
    children = tree.children(branch_id)
    staying = [child.name for child in children if not child.detaching]
    leaving = [child.name for child in children if child.detaching]
    if staying:
        reasons.append(f"it is the parent of {', '.join(staying)}")
    if leaving:
        reasons.append(f"it is the parent of {', '.join(leaving)} until Neon has detached that")
    if len(tree.nodes) == 1:
        reasons.append("it is the last branch of the project")
    return reasons


def _held(node: Node, in_use: Collection[str]) -> list[str]:
    reasons = []
    if node.default:
        reasons.append("it is the default branch")
    if node.protected:
        reasons.append("it is protected")
    if node.id in in_use:
        reasons.append("an application points to it")
    return reasons


def deletion_order(tree: Tree, wanted: Collection[str], *, in_use: Collection[str] = ()) -> Deletion:
    """Order deletions leaf first. What a kept child, a flag or an application holds is returned as blocked.

    A child that Neon is detaching holds its parent for a while only: the parent is in the order, and has to wait.
    """
    gone: dict[str, None] = {}
    waits: dict[str, tuple[str, ...]] = {}
    # Reversed, the order of drawing has children before parents: one pass is enough.
    for _depth, node in reversed(tree.rows()):
        children = [child for child in tree.children(node.id) if child.id not in gone]
        held = _held(node, in_use) or any(not child.detaching for child in children)
        if node.id in wanted and not held and len(tree.nodes) - len(gone) > 1:
            gone[node.id] = None
            if children:
                waits[node.id] = tuple(child.name for child in children)
    left = with_detached(tree.but(without=gone))
    remaining = [branch_id for branch_id in left.nodes if branch_id in wanted]
    blocked = {branch_id: tuple(blockers(left, branch_id, in_use=in_use)) for branch_id in remaining}
    return Deletion(tuple(gone), blocked, waits)


def held_by(tree: Tree, primary_id: str) -> list[Node]:
    """The branches that can never be deleted as long as this one exists: its ancestors.

    Neon can change a branch's parent in one way only, by overwriting its data, so nothing but the end of this branch
    frees them. Those above a branch that is being detached are free in a while, and are not among them.
    """
    return with_detached(tree).ancestors(primary_id)


def no_room(tree: Tree, *, branches: int = 0, roots: int = 0, protected: int = 0, snapshots: int = 0) -> list[str]:
    """Which limits would be passed with so many more of each."""
    used = tree.slots()
    return [
        f"the project has {held} {words}, and its plan allows {limit}"
        for words, held, limit, more in (
            ("branches", used.branches, tree.limits.branches, branches),
            ("root branches", used.roots, tree.limits.roots, roots),
            ("protected branches", used.protected, tree.limits.protected, protected),
            ("manual snapshots", used.snapshots, tree.limits.snapshots, snapshots),
        )
        if more and limit is not None and held + more > limit
    ]


def refuse(doing: str, reasons: Collection[str]) -> None:
    """:raises LineageError: where there is a reason."""
    if reasons:
        raise LineageError(doing, reasons)


def required(tree: Tree, branch_id: str) -> Node:
    """:raises LineageError: where the project has no such branch."""
    node = tree.get(branch_id)
    if node is None:
        raise LineageError("the branch cannot be found", [f"{branch_id} is not a branch of this project"])
    return node


def added(tree: Tree, node: Node, reasons: Iterable[str] = ()) -> Tree:
    """The tree with one branch more.

    :raises LineageError: for these reasons, and where the id or the name is taken.
    """
    found = list(reasons)
    if node.id in tree.nodes:
        found.append(f"a branch with the id {node.id} exists already")
    found += name_taken(tree, node.name)
    refuse(f"branch {node.name} cannot be made", found)
    return tree.but(node)


def name_taken(tree: Tree, name: str, *, but: str = "") -> list[str]:
    """Why a branch cannot have this name: names are unique in a project."""
    other = tree.named(name)
    return [f"a branch with the name {name} exists already"] if other is not None and other.id != but else []
