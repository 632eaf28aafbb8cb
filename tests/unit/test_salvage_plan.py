# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""salvage_plan: which three states are compared, until when, and what stands in the way."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    NOW,
    POINT,
    World,
    branch,
    codes,
    cutover,
    problem,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]
RUN, KILLED = "20250113T140000Z-restore-0a1b2c", "20250113T144500Z-salvage-3d4e5f"
NEW, KEPT, UNDONE, LSN = "br-restored-b1", "br-rollback-c1", "br-undone-d1", "0/1A2B3C4"


def restore(strategy: str, **plan: Any) -> Json:
    """The journal of a restore of main."""
    new: Json = {
        "id": NEW,
        "name": "restore-20250113-142500",
        "parent_id": MAIN,
        "parent_lsn": LSN,
        "parent_timestamp": POINT,
    }
    if strategy == "snapshot":
        new.update(parent_id=None, parent_lsn=None, parent_timestamp=None)
    kept = {
        "restore_point": {"utc": POINT},
        "strategy": {"chosen": strategy},
        "primary": {"branch_id": MAIN, "name": "main"},
        "source": {"branch_id": MAIN, "head": False, "parent_timestamp": POINT, "parent_lsn": None},
        "names": {"rollback": "rollback-20250113-140000"},
        "env": {"base": None},
        **plan,
    }
    steps = {"plan": {"data": {"plan": kept}}, "verified": {"data": {"branch": new}}}
    return {"id": RUN, "verb": "restore", "cutover_begun": True, "steps": steps}


def world_after(strategy: str, *, undone: bool = False) -> World:
    """What the restore has left, and the undo, where there was one."""
    world = World()
    if strategy == "in_place":
        world.add(branch(KEPT, "rollback-20250113-140000"))
        world.records.append(cutover("2025-01-13T14:40:00Z", strategy, MAIN, MAIN, preserved_branch_id=KEPT))
        if undone:
            world.add(branch(UNDONE, "undone-20250113-140000"))
            back = cutover("2025-01-13T14:50:00Z", strategy, MAIN, MAIN, preserved_branch_id=UNDONE, undone=True)
            world.records.append(back)
        return world
    world.add(branch(NEW, "restore-20250113-142500", parent_id=MAIN, compute="ep-new-b1"))
    world.records.append(cutover("2025-01-13T14:40:00Z", strategy, MAIN, NEW))
    if undone:
        world.records.append(cutover("2025-01-13T14:50:00Z", strategy, NEW, MAIN, undone=True))
    return world if undone else world.point_row_to("ep-new-b1")


def options(world: World, run: Json | None = None, **request: Any) -> Json:
    return copy.deepcopy(
        {
            "project": world.project,
            "branches": world.branches,
            "application": {"application": world.application},
            "records": world.records,
            "unfinished": world.unfinished,
            "run": run,
            "request": {"target": "tracker", "now": NOW, "started": NOW, **request},
        }
    )


def plan(world: World, run: Json | None = None, **request: Any) -> Json:
    """The plan, through the module."""
    result = call_module("salvage_plan", options(world, run, **request))
    assert not result.get("failed") and result["changed"] is False, result
    found: Json = result["plan"]
    return found


def sides(found: Json) -> tuple[str, str, str]:
    return (found["base"]["branch_id"], found["old"]["branch_id"], found["new"]["branch_id"])


@pytest.mark.parametrize(
    ("strategy", "after", "back"),
    [
        ("repoint", (MAIN, MAIN, NEW), (MAIN, NEW, MAIN)),
        ("in_place", (KEPT, KEPT, MAIN), (KEPT, UNDONE, MAIN)),
        ("snapshot", (MAIN, MAIN, NEW), (MAIN, NEW, MAIN)),
    ],
)
def test_the_sides_are_told_by_ids(strategy: str, after: tuple[str, str, str], back: tuple[str, str, str]) -> None:
    """Given a restore by any strategy, then the sides are what it left and what is used; after an undo, the reverse."""
    found = plan(world_after(strategy), restore(strategy))
    assert found["problems"] == [] and sides(found) == after and found["after"] == "restore"
    expected = (None, POINT) if strategy == "snapshot" else (LSN, None)
    assert (found["base"]["parent_lsn"], found["base"]["parent_timestamp"]) == expected
    assert found["possible_until"] == "2025-01-20T14:25:00Z"
    assert found["names"] == {"base": "salvage-base-20250113-150000", "old": "salvage-old-20250113-150000"}
    undone = plan(world_after(strategy, undone=True), restore(strategy))
    assert undone["problems"] == [] and sides(undone) == back and undone["after"] == "undo"


def test_what_an_undo_would_lose_is_planned_before_it() -> None:
    """Given a restore that stands, and its undo about to begin, then the present primary is what is left."""
    found = plan(world_after("repoint"), restore("repoint"), undo=True)
    assert found["problems"] == [] and sides(found) == (MAIN, NEW, MAIN) and found["after"] == "undo"


def test_an_undo_of_a_cutover_that_nobody_recorded_is_told_by_its_journal() -> None:
    """Given a restore that was killed before its cutover was proven, and taken back, then the sides are the undo's."""
    world = World().add(branch(NEW, "restore-20250113-142500", parent_id=MAIN, compute="ep-new-b1"))
    found = plan(world, {**restore("repoint"), "status": "undone"})
    assert found["problems"] == [] and sides(found) == (MAIN, NEW, MAIN) and found["after"] == "undo"


def test_what_a_backup_holds_does_not_grow_old() -> None:
    """Given a restore from a backup, then its own branch is the base, as long as it exists."""
    world = world_after("repoint").add(branch("br-backup-e1", "backup-20250101-000000", parent_id=MAIN))
    source = {"branch_id": "br-backup-e1", "head": True, "parent_timestamp": None, "parent_lsn": None}
    run = restore("repoint", source=source, restore_point={"utc": "2025-01-01T00:00:00Z", "backup": "x"})
    run["steps"]["verified"]["data"]["branch"]["parent_id"] = "br-backup-e1"
    found = plan(world, run)
    assert found["problems"] == [] and found["possible_until"] is None
    assert found["base"] == {
        "branch_id": "br-backup-e1", "name": "backup-20250101-000000", "parent_lsn": None, "parent_timestamp": None,
    }  # fmt: skip
    assert "as long as backup-20250101-000000 exists" in " ".join(" ".join(found["text"]).split())


def test_a_restore_point_that_has_left_the_window_is_refused() -> None:
    """Given a window that has moved on, then the plan says so, and since when."""
    world = world_after("repoint")
    world.project["history_retention_seconds"] = 600
    said = problem(plan(world, restore("repoint")), "left_the_window")
    assert "has left the history window, which now begins at 2025-01-13T14:50:00Z" in said["message"]


def test_everything_in_the_way_is_said_at_once() -> None:
    """Given a branch that is gone, one that expires, and no room, then all of it is in the plan."""
    world = world_after("in_place")
    world.project["limits"]["branches"] = 3
    world.branches[1]["expires_at"] = "2025-01-20T00:00:00Z"
    assert codes(plan(world, restore("in_place"))) == ["expires", "no_slots"]
    del world.branches[1]
    assert "branch_gone" in codes(plan(world, restore("in_place")))
    assert codes(plan(World())) == ["no_restore"]
    assert codes(plan(World(), {**restore("repoint"), "cutover_begun": False})) == ["no_cutover"]
    assert codes(plan(World().add(branch(NEW, "r")), restore("repoint"))) == ["still_used"]


def test_what_a_killed_salvage_has_left_is_found_by_its_annotation() -> None:
    """Given branches of a salvage that never ended, then they are named, and no others."""
    world = world_after("repoint")
    for number, run in enumerate((KILLED, "20250113T144500Z-salvage-ffffff")):
        noted = {"tool": "rewind.database", "purpose": "salvage", "run": run, "target": "tracker"}
        world.add(branch(f"br-left-{number}", f"salvage-{number}", parent_id=MAIN, annotations=noted))
    world.unfinished.append({"id": KILLED, "verb": "salvage"})
    found = plan(world, restore("repoint"))
    assert found["left"] == [{"branch_id": "br-left-0", "name": "salvage-0", "run": KILLED}]


def test_the_plan_of_a_restore_says_until_when_it_can_be_salvaged() -> None:
    """Given a window of seven days and an old side kept for two, then the earlier end counts, in the text too."""
    found = World().plan(keep_days=30)
    assert found["undo"]["salvage_until"] == "2025-01-20T14:25:00Z"
    assert World().plan(keep_days=2)["undo"]["salvage_until"] == "2025-01-15T15:00:00Z"
    assert "playbooks/salvage.yml -e target=tracker" in found["undo"]["salvage_command"]
    result = call_module("restore_plan", World().params(keep_days=2))
    assert "salvage.yml until 2025-01-15T15:00:00Z" in " ".join(" ".join(result["text"]).split())


def test_both_ways_say_the_same(both_ways: BothWays) -> None:
    result = both_ways.same("salvage_plan", options(world_after("repoint"), restore("repoint")))
    assert sides(result["plan"]) == (MAIN, MAIN, NEW)
