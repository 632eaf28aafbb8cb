# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of lineage against the sandbox's Neon API: what they predict is what then happens.

Histories of operations are generated; each operation is asked of the rules and of the API. Both must accept it or
both refuse it, and afterwards both must have the same tree. In the end everything is deleted in the order that the
rules give, and what they say cannot be deleted is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.lineage import Node, Tree, held_by
from ansible_collections.rewind.database.plugins.module_utils._plan.restores import restore_obstacles
from ansible_collections.rewind.database.plugins.module_utils._plan.snapshots import (
    finalize_obstacles,
    snapshot_obstacles,
)
from ansible_collections.rewind.database.tests.unit.lineage_world import MADE, Move, Refusal, World
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sandbox.store import Store
from tests.conftest import SEED
from tests.sandbox.neon_account import Account

# An operation that is more often refused, or that many others need, takes part more than once.
KINDS = (
    *("child", "child", "protected_child", "expiring_child", "delete", "delete", "rename", "default"),
    *("protect", "unprotect", "expire", "keep", "restore", "restore", "restore_from", "restore_from", "reset"),
    *(
        "detach",
        "snapshot",
        "snapshot",
        "drop_snapshot",
        "restore_snapshot",
        "restore_snapshot",
        "finalize",
        "finalize",
    ),
)
NUMBERS = st.integers(0, 30)
MOVES = st.lists(st.builds(Move, st.sampled_from(KINDS), NUMBERS, NUMBERS, NUMBERS), min_size=4, max_size=25)
# A detaching takes longer than any history here: it ends when the history says so.
LONG = 3600.0


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account without PostgreSQL, whose operations take no time."""
    quick = {"neon.default_operation_seconds": 0, "neon.restore_ready_seconds": 0, "neon.expiry_poll_seconds": 3600}
    with pytest.MonkeyPatch.context() as patch, Account(quick, postgres=False) as made:
        # Nothing is killed here, so nothing must be found again: writing all projects down each time is half the work.
        patch.setattr(Store, "save", lambda _store: None)
        made.call(lambda: made.world.settings.neon.operation_seconds.clear())
        made.slow(detach_parent_branch=LONG)
        # Other tests hold the answers against the API's description; here it would be most of the time.
        made.description = None
        yield made


@pytest.fixture
def world(account: Account) -> World:
    """A fresh project."""
    return World(account, "launch")


def play(world: World, *moves: tuple[str, int, int]) -> None:
    """Operations by kind and numbers, each under a name of its own."""
    for kind, first, second in moves:
        world.play(Move(kind, first, second, 1))


@seed(SEED)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plan=st.sampled_from(["free", "launch", "scale", "scale"]), moves=MOVES)
def test_whatever_is_done_then_the_rules_said_so_before(account: Account, plan: str, moves: list[Move]) -> None:
    """Given any history on any plan, then rules and API agree after each step and about what can be deleted."""
    world = World(account, plan)
    for move in moves:
        world.play(move)
    world.clear()


def test_the_histories_are_of_some_use(account: Account) -> None:
    """Given a history with one of everything, then the rules were asked for both answers, many times."""
    world = World(account, "scale")
    for number in range(6):
        for kind in dict.fromkeys(KINDS):
            world.play(Move(kind, number * 7 + len(kind), number * 5, number + 1))
    assert world.accepted > 40 and world.refused > 20
    world.clear()


def test_a_disagreement_would_be_seen(world: World) -> None:
    """Given rules that forget something, then the next step fails: the comparison has teeth."""
    play(world, ("child", 0, 0))
    child = list(world.tree.nodes.values())[1]
    for broken in (replace(child, protected=True), replace(child, name="x"), replace(child, parent_id=None)):
        right, world.tree = world.tree, world.tree.but(broken)
        with pytest.raises(Refusal):
            world.agree("on purpose")
        world.tree = right
    assert {field.name for field in fields(Node)} >= {"detaching", "restored_from", "restored_as", "endpoints"}
    with pytest.raises(Refusal):
        world.ask("DELETE", f"/branches/{child.id}", None, lambda: Tree({MADE: child}).but())


def test_a_root_restored_from_itself_is_free_of_its_old_state_only_after_the_detaching(world: World) -> None:
    """Given a root restored in place twice, then each old state waits for one detaching, and then all can go."""
    play(world, ("restore", 0, 0), ("restore", 0, 0))
    main, *old = world.tree.nodes.values()
    assert main.detaching and [node.detaching for node in old].count(True) == 1
    assert held_by(world.tree, main.id) == []
    play(world, ("delete", 1, 0), ("delete", 2, 0))
    assert world.refused == 2
    play(world, ("detach", 0, 0), ("delete", 1, 0))
    assert world.tree.slots().roots == 2
    world.clear()


def test_a_root_restored_from_its_backup_can_never_be_free_again(world: World) -> None:
    """Given a root restored from a child of it, then it hangs below both, and neither can be deleted any more."""
    play(world, ("child", 0, 0), ("restore_from", 0, 1), ("detach", 0, 0))
    main = next(node for node in world.tree.nodes.values() if node.default)
    assert len(held_by(world.tree, main.id)) == 2
    assert snapshot_obstacles(world.tree, main.id) == [
        f"it is a child of {world.tree.nodes[str(main.parent_id)].name}, and only a root branch has snapshots"
    ]
    world.clear()


def test_the_snapshot_road_ends_at_a_root_that_holds_nobody(world: World) -> None:
    """Given a root with a child, then finalized its place is taken; the old root goes once its child has gone."""
    play(world, ("child", 0, 0), ("snapshot", 0, 0), ("restore_snapshot", 0, 0), ("finalize", 0, 1))
    new = next(node for node in world.tree.nodes.values() if node.default)
    old = world.tree.nodes[str(new.restored_as)]
    assert new.endpoints and not old.endpoints and new.parent_id is None and held_by(world.tree, new.id) == []
    assert "came from a snapshot" in restore_obstacles(world.tree, new.id)[0]
    assert finalize_obstacles(world.tree, old.id, new.id) == [
        f"branch {new.name} has taken a branch's place before",
        f"branch {new.name} has computes of its own",
    ]
    play(world, ("restore", list(world.tree.nodes).index(new.id), 0), ("delete", 0, 0))
    assert world.refused == 2, "neither a restore of the new root nor a deletion of a parent"
    play(world, ("delete", 1, 0), ("delete", 0, 0))
    assert list(world.tree.nodes) == [new.id]


def test_a_child_of_a_restored_root_can_be_reset_after_a_day(account: Account, world: World) -> None:
    """Given a branch of a root that came from a snapshot, then it is locked for a day, on both sides."""
    play(world, ("snapshot", 0, 0), ("restore_snapshot", 0, 0), ("child", 1, 0), ("reset", 2, 1))
    assert world.refused == 1
    account.advance(timedelta(hours=24, minutes=1).total_seconds())
    play(world, ("reset", 2, 1))
    assert world.refused == 1


def test_a_free_project_is_full_when_the_rules_say_so(account: Account) -> None:
    """Given the Free plan, then its three roots, ten branches and one snapshot are all that both allow."""
    world = World(account, "free")
    play(world, ("snapshot", 0, 0), ("snapshot", 0, 0), ("protect", 0, 0))
    assert world.refused == 2
    play(world, *[("restore_snapshot", 0, 0)] * 3)
    assert (world.tree.slots().roots, world.refused) == (3, 3)
    play(world, *[("child", 0, 0)] * 8)
    assert (world.tree.slots().branches, world.refused) == (10, 4)
    assert "allows 10" in str(world.tree.limits) or world.tree.limits.branches == 10
    world.clear()


def test_what_was_restored_is_changed_before_it_is_finalized(world: World) -> None:
    """Given a restored root that expires, or has become the default, then both know what finalizing does to it."""
    play(world, ("snapshot", 0, 0), ("restore_snapshot", 0, 0), ("expire", 1, 0), ("finalize", 0, 1))
    assert world.refused == 1
    play(world, ("keep", 1, 0), ("default", 1, 0), ("finalize", 0, 1))
    new = next(node for node in world.tree.nodes.values() if node.restored_as)
    assert (new.default, new.name, world.refused) == (True, "main", 1)
