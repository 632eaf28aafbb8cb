# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which branch holds the restore point (rule 3): stories of restores that follow each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    World,
    branch,
    codes,
    cutover,
    env_row,
    host_of,
    problem,
)
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]


def source_of(world: World, at: str, **request: Any) -> str:
    plan = world.plan(point_in_time=at, **request)
    assert plan["source"] is not None, plan["problems"]
    return str(plan["source"]["branch_id"])


def repointed_world() -> World:
    """At 12:00 the application was moved from `main` to a branch of 11:00."""
    world = World()
    restored = branch(
        "br-first-a2",
        "restore-20250113-110000",
        parent_id=MAIN,
        compute="ep-first-a2",
        parent_timestamp="2025-01-13T11:00:00Z",
        created_at="2025-01-13T11:58:00Z",
    )
    world.add(restored).point_row_to("ep-first-a2", updated_at="2025-01-13T11:59:30Z")
    world.records.append(cutover("2025-01-13T12:00:00Z", "repoint", MAIN, "br-first-a2"))
    return world


def restored_in_place_world() -> World:
    """At 12:00 `main` was restored in place; its old state is on a branch that Neon made at that moment."""
    world = World()
    world.branches[0]["last_reset_at"] = "2025-01-13T12:00:00Z"
    world.add(branch("br-kept-a3", "rollback-20250113-115900", created_at="2025-01-13T12:00:00Z"))
    record = cutover("2025-01-13T12:00:00Z", "in_place", MAIN, MAIN, preserved_branch_id="br-kept-a3")
    world.records.append(record)
    return world


def test_given_no_cutover_and_a_root_primary_then_it_is_its_own_source() -> None:
    assert source_of(World(), "2025-01-13T14:25:00Z") == MAIN


@pytest.mark.parametrize(
    ("at", "source"),
    [
        ("2025-01-13T10:00:00Z", MAIN),
        ("2025-01-13T11:30:00Z", MAIN),
        ("2025-01-13T11:59:59.999Z", MAIN),
        ("2025-01-13T12:00:00Z", "br-first-a2"),
        ("2025-01-13T14:00:00Z", "br-first-a2"),
    ],
)
def test_given_one_repoint_then_a_point_before_it_is_on_the_old_primary_and_a_later_one_on_the_new(
    at: str, source: str
) -> None:
    assert source_of(repointed_world(), at) == source


@pytest.mark.parametrize(
    ("at", "source"),
    [
        ("2025-01-13T11:00:00Z", "br-kept-a3"),
        ("2025-01-13T11:59:59.5Z", "br-kept-a3"),
        ("2025-01-13T12:00:00Z", MAIN),
        ("2025-01-13T14:00:00Z", MAIN),
    ],
)
def test_given_one_restore_in_place_then_the_past_is_on_the_branch_that_was_preserved(at: str, source: str) -> None:
    plan = restored_in_place_world().plan(point_in_time=at)
    assert plan["source"]["branch_id"] == source
    if source == "br-kept-a3":
        assert plan["strategy"]["chosen"] == "repoint", (
            "restored from another branch the primary would end as its child"
        )


def test_given_a_record_written_seconds_after_the_reset_then_the_reset_decides() -> None:
    world = restored_in_place_world()
    world.records[0]["at"] = "2025-01-13T12:00:20Z"
    assert source_of(world, "2025-01-13T12:00:10Z") == MAIN


def test_given_a_repoint_and_then_a_restore_in_place_then_each_span_has_its_own_branch() -> None:
    world = repointed_world()
    world.branches[1]["last_reset_at"] = "2025-01-13T13:00:00Z"
    kept = branch(
        "br-kept-a4",
        "rollback-20250113-125900",
        parent_id=MAIN,
        parent_timestamp="2025-01-13T11:00:00Z",
        created_at="2025-01-13T13:00:00Z",
    )
    world.add(kept)
    world.records.append(
        cutover("2025-01-13T13:00:00Z", "in_place", "br-first-a2", "br-first-a2", preserved_branch_id="br-kept-a4")
    )
    assert source_of(world, "2025-01-13T11:59:00Z") == MAIN
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-kept-a4"
    assert source_of(world, "2025-01-13T13:30:00Z") == "br-first-a2"


def test_given_two_restores_in_place_then_each_preserved_branch_holds_its_own_span() -> None:
    world = restored_in_place_world()
    world.branches[0]["last_reset_at"] = "2025-01-13T13:00:00Z"
    world.add(branch("br-kept-a5", "rollback-20250113-125900", created_at="2025-01-13T13:00:00Z"))
    world.records.append(cutover("2025-01-13T13:00:00Z", "in_place", MAIN, MAIN, preserved_branch_id="br-kept-a5"))
    assert source_of(world, "2025-01-13T11:00:00Z") == "br-kept-a3"
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-kept-a5"
    assert source_of(world, "2025-01-13T13:30:00Z") == MAIN


def test_given_a_repoint_that_was_undone_then_the_time_in_between_is_on_the_abandoned_branch() -> None:
    world = repointed_world()
    world.point_row_to("ep-main-compute-a1", updated_at="2025-01-13T12:59:00Z")
    world.records.append(cutover("2025-01-13T13:00:00Z", "undo", "br-first-a2", MAIN))
    assert source_of(world, "2025-01-13T11:00:00Z") == MAIN
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-first-a2"
    assert source_of(world, "2025-01-13T13:30:00Z") == MAIN


def test_given_an_undone_repoint_and_then_a_restore_in_place_then_the_first_span_moved_with_the_old_state() -> None:
    world = repointed_world()
    world.point_row_to("ep-main-compute-a1")
    world.branches[0]["last_reset_at"] = "2025-01-13T14:00:00Z"
    world.add(branch("br-kept-a6", "rollback-20250113-135900", created_at="2025-01-13T14:00:00Z"))
    world.records += [
        cutover("2025-01-13T13:00:00Z", "undo", "br-first-a2", MAIN),
        cutover("2025-01-13T14:00:00Z", "in_place", MAIN, MAIN, preserved_branch_id="br-kept-a6"),
    ]
    assert source_of(world, "2025-01-13T11:00:00Z") == "br-kept-a6"
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-first-a2"
    assert source_of(world, "2025-01-13T13:30:00Z") == "br-kept-a6"
    assert source_of(world, "2025-01-13T14:30:00Z") == MAIN


def test_given_a_way_back_that_was_not_proven_then_the_time_until_it_was_is_refused() -> None:
    """Which branch the application wrote to in between, nothing proves: it may not have followed its string."""
    world = repointed_world()
    world.point_row_to("ep-main-compute-a1", updated_at="2025-01-13T13:30:00Z")
    doubtful = cutover("2025-01-13T13:00:00Z", "repoint", "br-first-a2", MAIN, undone=True, proven=False)
    proven = cutover("2025-01-13T13:30:00Z", "repoint", "br-first-a2", MAIN, undone=True)
    world.records += [doubtful, proven]
    assert source_of(world, "2025-01-13T11:00:00Z") == MAIN
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-first-a2"
    assert source_of(world, "2025-01-13T13:45:00Z") == MAIN
    found = problem(world.plan(point_in_time="2025-01-13T13:15:00Z"), "source_unprovable")
    assert "taken back, which was not proven" in found["message"]


def test_given_only_a_way_back_that_was_not_proven_then_the_rows_last_change_decides() -> None:
    world = repointed_world()
    world.point_row_to("ep-main-compute-a1", updated_at="2025-01-13T13:40:00Z")
    world.records.append(cutover("2025-01-13T13:00:00Z", "repoint", "br-first-a2", MAIN, undone=True, proven=False))
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-first-a2"
    assert source_of(world, "2025-01-13T13:45:00Z") == MAIN
    assert "source_unprovable" in codes(world.plan(point_in_time="2025-01-13T13:15:00Z"))


def test_given_a_restore_in_place_that_was_taken_back_without_proof_then_the_branch_itself_tells() -> None:
    """Neon has put the old state back, whatever became of the application: no span is in doubt."""
    world = restored_in_place_world()
    world.branches[0]["last_reset_at"] = "2025-01-13T13:00:00Z"
    world.add(branch("br-undone-a4", "undone-20250113-115900", created_at="2025-01-13T13:00:00Z"))
    back = cutover("2025-01-13T13:00:00Z", "in_place", MAIN, MAIN, preserved_branch_id="br-undone-a4", undone=True)
    world.records.append(back | {"proven": False})
    assert source_of(world, "2025-01-13T11:00:00Z") == "br-kept-a3"
    assert source_of(world, "2025-01-13T12:30:00Z") == "br-undone-a4"
    assert source_of(world, "2025-01-13T13:30:00Z") == MAIN


def test_given_cutovers_of_another_target_then_they_say_nothing_about_this_one() -> None:
    world = World()
    world.records.append(cutover("2025-01-13T12:00:00Z", "repoint", "br-x", "br-y", target="other"))
    assert source_of(world, "2025-01-13T11:00:00Z") == MAIN


def test_given_that_somebody_moved_the_application_by_hand_then_only_the_time_since_the_rows_change_is_provable() -> (
    None
):
    world = repointed_world()
    by_hand = branch("br-hand-a7", "hotfix", parent_id=MAIN, compute="ep-hand-a7", created_at="2025-01-13T12:40:00Z")
    world.add(by_hand).point_row_to("ep-hand-a7", updated_at="2025-01-13T13:00:00Z")

    assert source_of(world, "2025-01-13T13:30:00Z") == "br-hand-a7"
    assert source_of(world, "2025-01-13T11:30:00Z") == MAIN
    plan = world.plan(point_in_time="2025-01-13T12:30:00Z")
    found = problem(plan, "source_unprovable")
    assert "moved by hand" in found["message"]
    assert "source_branch=" in found["what_to_do"]
    assert source_of(world, "2025-01-13T12:30:00Z", source_branch="restore-20250113-110000") == "br-first-a2"


def test_given_that_the_branch_of_that_time_was_deleted_then_the_plan_says_so_and_takes_no_other() -> None:
    world = restored_in_place_world()
    world.branches = [item for item in world.branches if item["id"] != "br-kept-a3"]
    plan = world.plan(point_in_time="2025-01-13T11:00:00Z")
    assert codes(plan) == ["source_gone"]
    assert plan["source"] is None
    assert plan["strategy"] is None


def test_given_a_reset_that_nothing_explains_then_an_earlier_point_is_refused() -> None:
    world = World()
    world.branches[0]["last_reset_at"] = "2025-01-13T12:00:00Z"
    assert "no record" in problem(world.plan(point_in_time="2025-01-13T11:00:00Z"), "source_unprovable")["message"]
    assert source_of(world, "2025-01-13T12:30:00Z") == MAIN


class TestPrimaryThatIsAChild:
    """The application has always used a child of `main`; nothing was ever recorded."""

    def world(self, *, row_changed: str = "2025-01-05T00:10:00Z") -> World:
        world = World()
        child = branch(
            "br-child-b1",
            "production",
            parent_id=MAIN,
            parent_timestamp="2025-01-05T00:00:00Z",
            created_at="2025-01-05T00:00:02Z",
            compute="ep-child-b1",
        )
        world.project["history_retention_seconds"] = 30 * 86_400
        return world.add(child).point_row_to("ep-child-b1", updated_at=row_changed)

    def test_since_the_row_was_last_changed_it_is_its_own_source(self) -> None:
        assert source_of(self.world(), "2025-01-13T14:00:00Z") == "br-child-b1"

    def test_between_its_creation_and_the_rows_change_nothing_proves_anything(self) -> None:
        world = self.world(row_changed="2025-01-10T00:00:00Z")
        assert codes(world.plan(point_in_time="2025-01-07T00:00:00Z")) == ["source_unprovable"]

    def test_before_its_creation_the_ancestor_is_named_explicitly(self) -> None:
        plan = self.world().plan(point_in_time="2025-01-04T12:00:00Z")
        assert plan["source"]["branch_id"] == MAIN
        assert "ancestor of production" in plan["source"]["why"]

    def test_between_the_point_that_it_was_made_from_and_its_creation_no_branch_is_provable(self) -> None:
        plan = self.world().plan(point_in_time="2025-01-05T00:00:01Z")
        assert codes(plan) == ["source_unprovable"]

    def test_a_grandparent_is_found_through_the_parent(self) -> None:
        world = self.world()
        world.branches[0]["created_at"] = "2025-01-03T00:00:00Z"
        world.branches[0] |= {"parent_id": "br-old-b0", "parent_timestamp": "2025-01-03T00:00:00Z"}
        world.add(branch("br-old-b0", "first"))
        assert source_of(world, "2025-01-02T00:00:00Z") == "br-old-b0"

    def test_before_everything_the_point_is_refused(self) -> None:
        plan = self.world().plan(point_in_time="2024-12-31T00:00:00Z")
        assert codes(plan) == ["source_unprovable"]

    def test_what_an_earlier_run_had_proven_still_counts_after_its_cutover(self) -> None:
        world = self.world()
        world.add(branch("br-new-b2", "restore-20250112-000000", parent_id="br-child-b1", compute="ep-new-b2"))
        world.point_row_to("ep-new-b2", updated_at="2025-01-12T01:00:00Z")
        world.records.append(
            cutover("2025-01-12T01:00:00Z", "repoint", "br-child-b1", "br-new-b2", from_since="2025-01-05T00:10:00Z")
        )
        assert source_of(world, "2025-01-10T00:00:00Z") == "br-child-b1"
        del world.records[0]["from_since"]
        assert codes(world.plan(point_in_time="2025-01-10T00:00:00Z")) == ["source_unprovable"]


def test_given_a_root_made_after_the_point_then_the_point_is_before_the_branch_existed() -> None:
    world = World()
    world.branches[0]["created_at"] = "2025-01-13T14:30:00Z"
    found = problem(world.plan(), "before_branch_existed")
    assert "2025-01-13T14:30:00Z" in found["message"]
    assert found["what_to_do"]


class TestForcedSource:
    def test_it_is_taken_by_name_or_by_id(self) -> None:
        world = repointed_world()
        for given_as in ("restore-20250113-110000", "br-first-a2"):
            plan = world.plan(point_in_time="2025-01-13T14:00:00Z", source_branch=given_as)
            assert (plan["source"]["branch_id"], plan["source"]["forced"]) == ("br-first-a2", True)

    def test_an_unknown_one_is_refused_with_the_known_ones(self) -> None:
        assert "main" in problem(World().plan(source_branch="mian"), "source_unknown")["what_to_do"]

    def test_a_point_before_it_was_made_is_never_left_to_neon(self) -> None:
        plan = repointed_world().plan(point_in_time="2025-01-13T10:00:00Z", source_branch="br-first-a2")
        assert "source_branch=main" in problem(plan, "before_branch_existed")["what_to_do"]


class TestLsn:
    def test_without_any_cutover_it_is_on_the_primary(self) -> None:
        plan = World().plan(lsn="0/1a2b3c4")
        assert plan["source"]["branch_id"] == MAIN
        assert plan["source"]["parent_lsn"] == "0/1A2B3C4"
        assert plan["names"]["branch"] == "restore-lsn-0-1A2B3C4"
        assert plan["interval_lost"]["seconds"] is None

    def test_below_the_fork_it_is_on_the_ancestor(self) -> None:
        world = World()
        world.add(branch("br-c", "production", parent_id=MAIN, parent_lsn="0/2000000", compute="ep-c"))
        world.point_row_to("ep-c")
        assert world.plan(lsn="0/1FFFFFF")["source"]["branch_id"] == MAIN
        assert world.plan(lsn="0/2000001")["source"]["branch_id"] == "br-c"

    def test_after_a_cutover_an_lsn_above_its_fork_is_on_two_branches_and_refused(self) -> None:
        world = repointed_world()
        world.branches[1]["parent_lsn"] = world.records[0]["restore_lsn"] = "0/2000000"
        assert "several branches" in problem(world.plan(lsn="0/2000001"), "source_unprovable")["message"]
        assert world.plan(lsn="0/1FFFFFF")["source"]["branch_id"] == MAIN


@given(st.lists(st.sampled_from(["repoint", "in_place"]), max_size=6), st.integers(0, 6), st.integers(1, 599))
def test_whatever_was_restored_before_then_every_instant_leads_to_the_branch_that_was_primary_then(
    strategies: list[str], which: int, second: int
) -> None:
    """A model that keeps, beside the records, which branch holds each span; the plan must find the same."""
    world, start = World(), datetime(2025, 1, 13, 8, 0, tzinfo=UTC)
    holder, spans, endpoint_id = MAIN, [], "ep-main-compute-a1"
    for number, strategy in enumerate(strategies):
        at = (start + timedelta(minutes=10 * (number + 1))).isoformat()
        new = f"br-new-{number}"
        if strategy == "repoint":
            spans.append(holder)
            endpoint_id = f"ep-new-{number}"
            world.add(branch(new, f"restore-{number}", parent_id=holder, created_at=at, compute=endpoint_id))
            world.records.append(cutover(at, "repoint", holder, new))
            holder = new
        else:
            spans.append(new)
            world.add(branch(new, f"rollback-{number}", created_at=at))
            next(item for item in world.branches if item["id"] == holder)["last_reset_at"] = at
            spans = [new if item == holder else item for item in spans]
            world.records.append(cutover(at, "in_place", holder, holder, preserved_branch_id=new))
    spans.append(holder)
    world.application["environment"] = [env_row("DATABASE_URL", host_of(endpoint_id)[0])]
    wanted = min(which, len(strategies))
    instant = start + timedelta(minutes=10 * wanted, seconds=second)
    assert source_of(world, instant.isoformat()) == spans[wanted]
