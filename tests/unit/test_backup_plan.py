# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""backup_plan: what a backup is called, how long it is kept, when there is one already, and what stands in the way."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.plugins.modules import backup_plan
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, NOW, POINT, World, branch, codes, problem
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
# Not the same as NOW: the run began before its plan was made.
STARTED = "2025-01-13T14:59:30Z"


def options(world: World, **request: Any) -> Json:
    """The options of the module for a world."""
    return copy.deepcopy(
        {
            "project": world.project,
            "branches": world.branches,
            "application": {
                "application": world.application,
                "version": world.version,
                "abilities": world.abilities,
            },
            "records": world.records,
            "backups": world.backups,
            "request": {"target": "tracker", "now": NOW, "started": STARTED, **request},
        }
    )


def plan(world: World, **request: Any) -> Json:
    """The plan, through the module."""
    result = call_module("backup_plan", options(world, **request))
    assert not result.get("failed") and result["changed"] is False
    found: Json = result["plan"]
    return found


def with_backup(name: str, at: str, *, verified: bool = True) -> World:
    """A world with one backup, which the log knows."""
    world = World().add(
        branch("br-backup-b1", name, parent_id=MAIN, parent_timestamp=at, created_at="2025-01-13T14:30:00Z")
    )
    world.backups = [{"branch_id": "br-backup-b1", "name": name, "target": "tracker", "at": at, "verified": verified}]
    return world


def test_a_backup_of_now_is_named_after_the_start_of_its_run() -> None:
    """Given a healthy target, then the backup is made from the primary, now, for seven days and a backstop of two."""
    made = plan(World(), reason="before migration 42")
    assert made["problems"] == [] and not made["already_done"]["done"]
    assert made["name"] == "backup-20250113-145930"
    assert made["primary"]["branch_id"] == made["source"]["branch_id"] == MAIN
    assert made["keep_until"] == "2025-01-20T15:00:00Z" and made["expires_at"] == "2025-01-22T15:00:00Z"
    assert made["slots"]["branches"] == {"used": 1, "limit": 10, "adds": 1, "free": 9}


def test_a_backup_of_an_instant_is_named_after_it() -> None:
    """Given an instant with a fraction, then the name has it; a name that another branch has gets a number."""
    assert plan(World(), point_in_time="2025-01-13 14:25:00 UTC")["name"] == "backup-20250113-142500"
    assert plan(World(), point_in_time="2025-01-13T14:25:00.120Z")["name"] == "backup-20250113-142500-120"
    taken = World().add(branch("br-other-o1", "backup-20250113-142500", parent_id=MAIN, parent_timestamp=NOW))
    assert plan(taken, point_in_time=POINT)["name"] == "backup-20250113-142500-2"


@given(days=st.floats(min_value=0.01, max_value=3650, allow_nan=False))
def test_neon_never_deletes_a_backup_before_its_day(days: float) -> None:
    """Given any retention, then the backstop comes after it, or at Neon's limit of 30 days where that is sooner."""
    made = plan(World(), retention_days=days)
    now = datetime.fromisoformat(NOW)
    keep, expires = (datetime.fromisoformat(made[key]) for key in ("keep_until", "expires_at"))
    assert now < expires < now + timedelta(days=30)
    assert expires > keep or days > 27


def test_a_backup_that_is_kept_for_good_has_no_end_and_needs_a_reason() -> None:
    """Given keep, then nothing ends it; without a reason that is a problem that says what to do."""
    kept = plan(World(), keep=True, reason="end of the year")
    assert kept["keep_until"] is None and kept["expires_at"] is None and kept["problems"] == []
    assert "reason" in problem(plan(World(), keep=True), "reason_missing")["what_to_do"]


def test_a_verified_backup_of_that_name_or_instant_is_found_again() -> None:
    """Given a verified backup, then asking for the same one adds nothing, even to a full project."""
    world = with_backup("backup-20250113-142500", POINT)
    world.project["limits"]["branches"] = 2
    for request in ({"name": "backup-20250113-142500"}, {"point_in_time": POINT}):
        found = plan(world, **request)
        assert found["already_done"]["done"] and found["already_done"]["branch_id"] == "br-backup-b1"
        assert found["problems"] == [] and found["slots"]["branches"]["adds"] == 0
    other = plan(world, name="before-42")
    assert not other["already_done"]["done"] and codes(other) == ["no_slot"]


def test_a_backup_that_was_not_verified_is_not_found_again() -> None:
    """Given a backup that was never verified, then it is none."""
    world = with_backup("backup-20250113-142500", POINT, verified=False)
    assert not plan(world, name="backup-20250113-142500")["already_done"]["done"]
    assert plan(world, unless_newer_than="2h")["newest"] is None


@pytest.mark.parametrize(("newer", "done"), [("35m", True), ("2100", True), ("34m", False), ("0.5h", False)])
def test_none_is_made_when_the_newest_is_new_enough(newer: str, done: bool) -> None:
    """Given a verified backup that is 35 minutes old, then a limit of that or more finds it."""
    found = plan(with_backup("backup-20250113-142500", POINT), unless_newer_than=newer)
    assert found["already_done"]["done"] is done
    assert found["newest"] == {"branch_id": "br-backup-b1", "name": "backup-20250113-142500", "at": POINT}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"point_in_time": "2025-01-13 14:25:00"}, "restore_point_invalid"),
        ({"point_in_time": "2025-01-13T16:00:00Z"}, "restore_point_future"),
        ({"point_in_time": "2025-01-02T00:00:00Z"}, "before_window"),
        ({"retention_days": -1}, "retention_invalid"),
        ({"name": "x" * 300}, "name_too_long"),
    ],
)
def test_what_cannot_be_is_a_problem_that_says_what_to_do(request_: Json, expected: str) -> None:
    """Given a request that cannot be met, then the task does not fail and the plan says what to do."""
    made = plan(World(), **request_)
    assert expected in codes(made)
    assert problem(made, expected)["what_to_do"]


def test_all_problems_are_found_together() -> None:
    """Given a full project and a token that cannot read values, then both are said."""
    world = World()
    world.project["limits"]["branches"] = 1
    world.abilities["read_sensitive"] = "missing"
    assert codes(plan(world, keep=True)) == ["ability_missing", "no_slot", "reason_missing"]


def test_a_length_of_time_that_cannot_be_read_fails_the_task() -> None:
    """Given a length that is none, then the task fails and quotes it."""
    result = call_module("backup_plan", options(World(), unless_newer_than="a while"))
    assert result["failed"] and '"a while"' in result["msg"] and "6h" in result["msg"]


def test_every_part_of_the_plan_and_every_default_is_the_documented_one() -> None:
    """Given the documentation, then its options, defaults and parts of the plan are those of the module."""
    documented = yaml.safe_load(backup_plan.DOCUMENTATION)["options"]
    assert set(documented) == set(backup_plan.SPEC.arguments)
    declared = backup_plan.SPEC.arguments["request"]["options"]
    assert {name: item.get("default") for name, item in documented["request"]["suboptions"].items()} == {
        name: item.get("default") for name, item in declared.items()
    }
    told = set(yaml.safe_load(backup_plan.RETURN)["plan"]["contains"])
    assert told == set(plan(World()))


def test_both_ways_of_running_it_give_the_same_plan(both_ways: BothWays) -> None:
    """Given a request, then the plan is the same in the controller's process and as an ordinary module."""
    result = both_ways.same("backup_plan", options(with_backup("before-42", POINT), name="before-42"))
    assert not result["changed"] and result["plan"]["already_done"]["done"]
