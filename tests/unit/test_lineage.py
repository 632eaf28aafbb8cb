# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lineage of branches: what each operation does to the tree, by properties over random histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.lineage import (
    LineageError,
    Node,
    Tree,
    blockers,
    deletion_order,
    held_by,
    with_child,
    with_root,
    without,
)
from ansible_collections.rewind.database.plugins.module_utils._plan.restores import with_restore
from ansible_collections.rewind.database.plugins.module_utils._plan.snapshots import with_finalized_snapshot
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2025, 1, 1, tzinfo=UTC)
Move = tuple[str, int, int]
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["child", "restore_self", "restore_other", "root"]), st.integers(0, 50), st.integers(0, 50)
    ),
    max_size=12,
)


def grow(moves: list[Move]) -> Tree:
    """A tree that a history of valid operations leads to; `main` is its default branch."""
    tree = Tree({"main": Node("main", "main", default=True, created_at=START)})
    for number, (kind, first, second) in enumerate(moves, start=1):
        tree = step(tree, number, kind, first, second)
    return tree


def step(tree: Tree, number: int, kind: str, first: int, second: int) -> Tree:
    ids = sorted(tree.nodes)
    target, source = ids[first % len(ids)], ids[second % len(ids)]
    new = Node(f"b{number}", f"branch-{number}", created_at=START + timedelta(minutes=number))
    if kind == "child":
        return with_child(tree, target, new)
    if kind == "root":
        return with_root(tree, new)
    return with_restore(tree, target, target if kind == "restore_self" else source, new)


@given(MOVES)
def test_given_any_history_then_every_parent_exists_and_no_branch_is_its_own_ancestor(moves: list[Move]) -> None:
    tree = grow(moves)
    for node in tree.nodes.values():
        assert node.parent_id is None or node.parent_id in tree.nodes
        ancestors = tree.ancestors(node.id)
        assert node.id not in {item.id for item in ancestors}
        assert not ancestors or ancestors[-1].parent_id is None


@given(MOVES)
def test_given_any_history_then_drawing_shows_every_branch_once_and_parents_before_children(moves: list[Move]) -> None:
    tree = grow(moves)
    rows = tree.rows()
    seen: dict[str, int] = {}
    for depth, node in rows:
        assert depth == len(tree.ancestors(node.id))
        assert node.parent_id is None or node.parent_id in seen
        seen[node.id] = depth
    assert len(rows) == len(tree.nodes) == tree.slots().branches
    assert tree.slots().roots == sum(1 for depth in seen.values() if depth == 0)


@given(MOVES, st.integers(0, 50), st.integers(0, 50))
def test_when_a_branch_is_restored_in_place_then_it_keeps_id_and_name_and_its_children_go_to_the_old_state(
    moves: list[Move], first: int, second: int
) -> None:
    before = grow(moves)
    ids = sorted(before.nodes)
    target, source = ids[first % len(ids)], ids[second % len(ids)]
    after = with_restore(before, target, source, Node("kept", "rollback-20250113-142500"))

    assert after.nodes[target].name == before.nodes[target].name
    assert after.nodes[target].default == before.nodes[target].default
    assert set(after.nodes) == {*before.nodes, "kept"}
    assert after.nodes["kept"].parent_id == before.nodes[target].parent_id
    moved = {node.id for node in before.children(target)}
    assert moved <= {node.id for node in after.children("kept")}
    assert {node.id for node in after.children(target)} == set()
    if source != target:
        assert after.nodes[target].parent_id == source
        assert source in {node.id for node in held_by(after, target)}
    elif before.is_root(target):
        assert after.slots().roots == before.slots().roots + 1
        assert held_by(after, target) == []
    else:
        assert after.nodes[target].parent_id == "kept"


@given(MOVES, st.sets(st.integers(0, 12), max_size=8), st.sets(st.integers(0, 12), max_size=3))
def test_whatever_is_to_be_deleted_then_the_order_works_and_the_rest_is_really_blocked(
    moves: list[Move], wanted_numbers: set[int], used_numbers: set[int]
) -> None:
    tree = grow(moves)
    wanted = {f"b{number}" for number in wanted_numbers} & set(tree.nodes) | {"main"}
    used = {f"b{number}" for number in used_numbers} & set(tree.nodes)
    deletion = deletion_order(tree, wanted, in_use=used)

    assert set(deletion.order) | set(deletion.blocked) == wanted
    assert not set(deletion.order) & (used | {"main"})
    left = tree
    for branch_id in deletion.order:
        left = without(left, branch_id, in_use=used)
    for branch_id, reasons in deletion.blocked.items():
        assert reasons
        with pytest.raises(LineageError):
            without(left, branch_id, in_use=used)


@given(MOVES, st.integers(0, 50))
def test_as_long_as_a_branch_exists_then_none_of_its_ancestors_can_be_deleted(moves: list[Move], which: int) -> None:
    tree = grow(moves)
    branch_id = sorted(tree.nodes)[which % len(tree.nodes)]
    kept = set(tree.nodes) - {branch_id}
    deletion = deletion_order(tree, kept)
    for ancestor in held_by(tree, branch_id):
        assert ancestor.id in deletion.blocked


@given(MOVES)
def test_an_operation_never_changes_the_tree_that_it_was_given(moves: list[Move]) -> None:
    tree = grow(moves)
    copy = dict(tree.nodes)
    with_child(tree, "main", Node("new", "new"))
    with_restore(tree, "main", "main", Node("kept", "kept"))
    assert tree.nodes == copy


def test_given_an_expiring_branch_when_a_child_is_made_then_it_is_refused() -> None:
    tree = Tree({"a": Node("a", "backup", expires_at=START)})
    with pytest.raises(LineageError, match="has an expiry"):
        with_child(tree, "a", Node("b", "child"))


def test_given_a_protected_branch_when_it_is_restored_in_place_then_it_is_refused() -> None:
    tree = Tree({"a": Node("a", "main", protected=True)})
    with pytest.raises(LineageError, match="protected"):
        with_restore(tree, "a", "a", Node("b", "rollback"))


@pytest.mark.parametrize("node", [Node("main", "other"), Node("other", "main")])
def test_given_a_taken_id_or_name_then_no_branch_is_added(node: Node) -> None:
    with pytest.raises(LineageError, match="exists already"):
        with_root(grow([]), node)


def test_given_a_root_restored_from_itself_before_neon_detached_it_then_it_is_a_child_of_the_old_state() -> None:
    after = with_restore(grow([]), "main", "main", Node("kept", "rollback"), detached=False)
    assert after.nodes["main"].parent_id == "kept"
    assert blockers(after, "kept") == ["it is the parent of main until Neon has detached that"]
    assert held_by(after, "main") == []
    deletion = deletion_order(after, {"kept"})
    assert (deletion.order, deletion.waits) == (("kept",), {"kept": ("main",)})


def test_when_a_snapshot_is_finalized_then_the_new_root_takes_name_and_flags_and_the_old_can_go() -> None:
    tree = with_root(grow([("child", 0, 0)]), Node("new", "restored", restored_from="snap"))
    tree = Tree({**tree.nodes, "main": replace(tree.nodes["main"], protected=True)})
    after = with_finalized_snapshot(tree, "main", "new")
    assert (after.nodes["new"].name, after.nodes["new"].default, after.nodes["new"].protected) == ("main", True, True)
    assert after.nodes["main"].name == "main (old)"
    assert deletion_order(after, {"main", "b1"}).order == ("b1", "main")


def test_given_a_listing_with_a_parent_that_is_not_in_it_then_the_branch_is_drawn_and_is_no_root() -> None:
    tree = Tree.of([{"id": "a", "name": "a", "parent_id": "gone"}])
    assert [node.id for _depth, node in tree.rows()] == ["a"]
    assert tree.slots().roots == 0
    assert not tree.is_root("a")


def test_given_five_thousand_branches_then_the_order_of_deletion_is_found_in_seconds() -> None:
    """Paid plans allow 5000 branches."""
    nodes = {"main": Node("main", "main", default=True)}
    nodes |= {f"b{n:04}": Node(f"b{n:04}", f"b{n:04}", parent_id="main", created_at=START) for n in range(4999)}
    tree = Tree(nodes)
    assert len(tree.rows()) == 5000
    deletion = deletion_order(tree, set(nodes))
    assert len(deletion.order) == 4999
    assert deletion.blocked == {"main": ("it is the default branch", "it is the last branch of the project")}
