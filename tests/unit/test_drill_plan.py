# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""drill_plan: which target may be drilled, what is rehearsed, and what a killed drill has left."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    NOW,
    World,
    branch,
    codes,
    cutover,
    env_row,
    host_of,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]
RUN, KILLED = "20250113T145930Z-drill-0a1b2c", "20250112T145930Z-drill-3d4e5f"
RESTORE = "20250112T150000Z-restore-6a7b8c"
FACTS = ("drills", "unfinished", "starting", "other_targets")
TEST, RESTORED = "br-test-backup-b1", "br-restored-c1"


def options(world: World, **more: Any) -> Json:
    """The options of the module for a world, whose target is a staging one."""
    request = {"target": "tracker", "environment": "staging", "now": NOW, "started": "2025-01-13T14:59:30.5Z"}
    return copy.deepcopy(
        {
            "project": world.project,
            "branches": world.branches,
            "application": {"application": world.application},
            "consumers": world.consumers,
            "records": world.records,
            **{name: value for name, value in more.items() if name in FACTS},
            "request": {**request, "run": RUN, **more.get("request", {})},
        }
    )


def plan(world: World, **more: Any) -> Json:
    """The plan, through the module."""
    result = call_module("drill_plan", options(world, **more))
    assert not result.get("failed") and result["changed"] is False
    found: Json = result["plan"]
    return found


def production(**more: Any) -> Json:
    """A production target of the same project."""
    return {
        "target": "shop",
        "environment": "production",
        "project": "late-frost-12345678",
        "application": "p0000000000000000000shop",
        **more,
    }


def killed_world() -> World:
    """A world in which a drill was killed while the application served the restored test backup."""
    world = World()
    host = host_of("ep-restored-c1")[0]
    world.branches += [
        branch(TEST, "test-backup-20250112-145930", parent_id=MAIN, annotations={"tool": "rewind.database"}),
        branch(
            RESTORED,
            "restore-20250112-145930",
            parent_id=TEST,
            compute="ep-restored-c1",
            annotations={"tool": "rewind.database", "drill": KILLED},
        ),
    ]
    world.records = [
        {"event": "made", "branch_id": TEST, "target": "tracker", "drill": KILLED},
        cutover("2025-01-12T15:01:00Z", "repoint", MAIN, RESTORED, run=RESTORE),
    ]
    world.application["environment"] = [env_row("DATABASE_URL", host)]
    return world


def unfinished(**more: Any) -> Json:
    return {"id": KILLED, "verb": "drill", "status": "running", "inputs": {"mode": "backup"}, **more}


def test_a_staging_target_of_its_own_project_is_drilled() -> None:
    """Given nothing in common with production, there is a name in UTC seconds and the instant of the start."""
    found = plan(World())
    assert found["problems"] == [] and found["warnings"] == []
    assert (found["name"], found["instant"]) == ("test-backup-20250113-145930", "2025-01-13T14:59:30.500000Z")
    assert (found["mode"], found["last"], found["left"], found["to_delete"]) == ("backup", None, [], [])


@pytest.mark.parametrize(
    ("last", "asked", "expected"),
    [("backup", None, "pitr"), ("pitr", None, "backup"), ("backup", "backup", "backup"), (None, "pitr", "pitr")],
)
def test_it_rehearses_what_the_last_one_did_not(last: str | None, asked: str | None, expected: str) -> None:
    drills = [{"target": "tracker", "mode": last, "ok": True, "at": "2025-01-12T15:00:00Z"}] if last else []
    others = [{"target": "shop", "mode": "backup", "ok": True, "at": "2025-01-13T10:00:00Z"}]
    found = plan(World(), drills=[*drills, *others], request={"mode": asked} if asked else {})
    assert found["mode"] == expected
    assert (found["last"] or {}).get("ago") == ("1 day" if last else None)


@pytest.mark.parametrize(
    ("drills", "expected"),
    [
        ([("backup", True), ("pitr", False)], "pitr"),
        ([("pitr", True), ("backup", False), ("backup", False)], "backup"),
        ([("backup", True), ("unknown", False)], "pitr"),
    ],
)
def test_what_failed_is_rehearsed_again(drills: list[tuple[str, bool]], expected: str) -> None:
    """Given a drill that failed, or one killed before its mode was known, no kind of restore is left out by that."""
    records = [{"target": "tracker", "mode": mode, "ok": ok, "at": "2025-01-12T15:00:00Z"} for mode, ok in drills]
    assert plan(World(), drills=records)["mode"] == expected


def answer(name: str, *names: str, ok: bool = True) -> Json:
    """One check of what would start, as postgres_check answers it."""
    return {"name": name, "ok": ok, "found": [{"names": list(names) or None}] if ok else None}


def cron(keeps_jobs: str | None, here: str = "tracker") -> Json:
    return {"name": "cron", "ok": True, "found": [{"here": here, "keeps_jobs": keeps_jobs}]}


class TestWhatStarts:
    def test_on_the_copy_is_named_before_it_is_made(self) -> None:
        starting = [answer("subscriptions", "orders_in"), answer("extensions", "pg_cron", "pg_partman")]
        told = plan(World(), starting=[*starting, answer("jobs", "nightly", "job 7")])["warnings"]
        assert [text for text in told if "Subscriptions" in text and "orders_in" in text]
        assert [text for text in told if "pg_cron" in text and "nightly, job 7" in text]
        assert [text for text in told if "pg_partman" in text] and len(told) == 3

    def test_is_nothing_to_tell_of_where_there_is_nothing(self) -> None:
        """Given no subscription and no pg_cron, whose table cannot be read then, there is nothing to warn of."""
        starting = [answer("subscriptions"), answer("extensions"), answer("jobs", ok=False)]
        for where in (cron(None), cron("tracker")):
            assert plan(World(), starting=[*starting, where])["warnings"] == []
        elsewhere = [cron("postgres"), answer("extensions_of_cron"), answer("jobs_of_cron", ok=False)]
        assert plan(World(), starting=[*starting, *elsewhere])["warnings"] == []

    def test_may_stand_in_another_database(self) -> None:
        """Given a pg_cron that keeps the jobs of all databases in another one, then they are named from there."""
        starting = [answer("subscriptions"), answer("extensions"), answer("jobs", ok=False), cron("postgres")]
        there = [answer("extensions_of_cron", "pg_cron"), answer("jobs_of_cron", "nightly")]
        (told,) = plan(World(), starting=[*starting, *there])["warnings"]
        assert told == "Jobs of pg_cron that start on the copy as well: nightly."

    @pytest.mark.parametrize(
        ("starting", "unknown"),
        [
            ([], "subscriptions and scheduled jobs"),
            ([answer("subscriptions"), answer("extensions", "pg_cron"), answer("jobs", ok=False)], "scheduled jobs"),
            ([answer("subscriptions"), answer("extensions")], "scheduled jobs"),
            ([answer("subscriptions"), answer("extensions"), cron("postgres")], "scheduled jobs"),
        ],
    )
    def test_may_be_unknown(self, starting: list[Json], unknown: str) -> None:
        """Given a compute that sleeps, or a table that the role may not read, the plan does not say all is well."""
        (told,) = plan(World(), starting=starting)["warnings"]
        assert told.startswith(f"Which {unknown} would start on the copy is unknown")


class TestRefused:
    def test_a_production_target(self) -> None:
        assert codes(plan(World(), request={"environment": "production"})) == ["production"]

    def test_the_application_of_a_production_target(self) -> None:
        world = World()
        other = production(application=world.application["uuid"], project="another-project")
        assert codes(plan(world, other_targets=[other])) == ["shared_application"]

    def test_the_branch_of_a_production_target(self) -> None:
        """Given a production application whose row points to the same primary, pooled, it is refused."""
        world = World()
        shop = production()
        world.consumers = [{"application": shop["application"], "host": host_of("ep-main-compute-a1")[1]}]
        found = plan(world, other_targets=[shop])
        assert codes(found) == ["shared_database"]
        assert "shop" in found["problems"][0]["message"] and found["warnings"]

    def test_a_production_target_whose_branch_cannot_be_seen_unless_somebody_knows(self) -> None:
        found = plan(World(), other_targets=[production()])
        assert codes(found) == ["production_unseen"]
        assert plan(World(), other_targets=[production()], request={"accept_unseen": True})["problems"] == []

    def test_a_project_without_two_free_slots(self) -> None:
        world = World()
        world.project["limits"]["branches"] = 2
        assert codes(plan(world)) == ["no_slot"]
        assert plan(world, request={"ending": True})["problems"] == []

    def test_a_restore_that_somebody_must_finish_first(self) -> None:
        run = {"id": RESTORE, "verb": "restore", "status": "running", "inputs": {}}
        assert codes(plan(World(), unfinished=[run])) == ["unfinished_run"]

    @pytest.mark.parametrize("verb", ["predeploy", "incident", "cleanup", "salvage", "find_restore_point"])
    def test_by_no_run_that_cuts_nothing_over_and_that_no_undo_takes_back(self, verb: str) -> None:
        """Given a killed run that leaves the application as it is, the drill is held, and the run is pointed out."""
        run = {"id": f"20250112T145930Z-{verb}-3d4e5f", "verb": verb, "status": "running", "inputs": {}}
        found = plan(World(), unfinished=[run])
        assert found["problems"] == []
        assert [text for text in found["warnings"] if run["id"] in text and "left as it is" in text]


def test_a_production_target_on_another_branch_is_a_warning_only() -> None:
    """Given a shared project, the plan says that operations and slots are shared, and nothing is refused."""
    world = World()
    shop = production()
    world.branches.append(branch("br-shop-d1", "shop", parent_id=MAIN, compute="ep-shop-d1"))
    world.consumers = [{"application": shop["application"], "host": host_of("ep-shop-d1")[0]}]
    found = plan(world, other_targets=[shop])
    assert found["problems"] == []
    assert "shares its Neon project with shop" in found["warnings"][0]


def test_a_killed_drill_that_had_cut_over_is_taken_back_and_its_branches_are_kept_until_then() -> None:
    """Given an application on the drill's branch, the plan names the run to undo, and deletes nothing in use."""
    found = plan(killed_world(), unfinished=[unfinished()])
    assert found["problems"] == []
    assert found["left"] == [{"run": KILLED, "mode": "backup", "undo": RESTORE, "branches": [TEST, RESTORED]}]
    assert found["to_delete"] == []
    assert {item["branch_id"]: item["why"] for item in found["kept"]} == {
        TEST: "it is the parent of restore-20250112-145930",
        RESTORED: "an application points to it",
    }


def test_a_killed_drill_whose_restore_was_killed_too_is_taken_back_by_that_run() -> None:
    inner = {"id": RESTORE, "verb": "restore", "status": "running", "inputs": {"drill": KILLED}}
    world = killed_world()
    world.records = world.records[:1]
    found = plan(world, unfinished=[unfinished(), inner])
    assert found["problems"] == []
    assert found["left"][0]["undo"] == RESTORE


def test_once_the_application_is_back_the_branches_go_leaf_first() -> None:
    """Given a reverted drill, its branches are deleted, the child before its parent, and nothing else is."""
    world = killed_world()
    world.application["environment"] = World().application["environment"]
    world.branches.append(branch("br-other-e1", "backup-20250111-000000", parent_id=MAIN))
    world.records.append(cutover("2025-01-12T16:00:00Z", "repoint", RESTORED, MAIN, run=RESTORE, undone=True))
    found = plan(world, unfinished=[unfinished()])
    assert [item["branch_id"] for item in found["to_delete"]] == [RESTORED, TEST]
    assert found["kept"] == [] and found["left"][0]["undo"] is None


def test_both_ways_say_the_same(both_ways: BothWays) -> None:
    result = both_ways.same("drill_plan", options(killed_world(), unfinished=[unfinished()]))
    assert result["plan"]["left"][0]["run"] == KILLED
