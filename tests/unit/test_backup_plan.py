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
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    NOW,
    POINT,
    World,
    branch,
    codes,
    cutover,
    env_row,
    problem,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import example, given
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
@example(days=29.9)
@example(days=90.0)
def test_neon_never_deletes_a_backup_before_its_day(days: float) -> None:
    """Given any retention, then the backstop comes after it and within Neon's 30 days, or there is none."""
    made = plan(World(), retention_days=days)
    now, keep = datetime.fromisoformat(NOW), datetime.fromisoformat(made["keep_until"])
    if made["expires_at"] is None:
        assert days > 29.9
    else:
        assert keep <= datetime.fromisoformat(made["expires_at"]) < now + timedelta(days=30)


def test_a_backup_of_a_locked_row_is_made_with_the_string_from_the_environment() -> None:
    """Given a row that nobody can read, then the advice names the variable, and with it a string can be made."""
    world = World()
    row = world.application["environment"][0]
    known = {**row["connection"], "template": "postgresql://tracker_owner@x/tracker"}
    assert plan(world)["env"] == {"base": None}
    row |= {"readable": False, "is_shown_once": True, "connection": None}
    advice = problem(plan(world, old_connection_env="OLD_STRING"), "env_row_locked")["what_to_do"]
    assert "export OLD_STRING=" in advice
    row |= {"connection": known, "supplied": True}
    made = plan(world)
    assert made["problems"] == []
    assert made["env"]["base"] == {"template": known["template"], "password_env": "REWIND_OLD_CONNECTION_STRING"}


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


def test_a_backup_from_before_a_restore_is_not_new_enough() -> None:
    """Given a new backup and a restore since, then another is made of today's data, and the plan says why; the backup
    that is made then is found again."""
    world = with_backup("backup-20250113-142500", POINT)
    world.records.append(cutover("2025-01-13T14:30:00Z", "in_place", MAIN, MAIN))
    made = plan(world, unless_newer_than="2h")
    assert not made["already_done"]["done"] and made["problems"] == []
    assert any(
        "backup-20250113-142500 is new enough, and is not taken: the application was cut over" in said
        for said in made["warnings"]
    )
    assert plan(world)["warnings"] == [], "nothing was asked of it"
    later, name = "2025-01-13T14:40:00Z", "backup-20250113-144000"
    world.add(branch("br-backup-b2", name, parent_id=MAIN, parent_timestamp=later))
    world.backups.append({**world.backups[0], "branch_id": "br-backup-b2", "name": name, "at": later})
    again = plan(world, unless_newer_than="2h")["already_done"]
    assert (again["done"], again["branch_id"]) == (True, "br-backup-b2")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"point_in_time": "2025-01-13 14:25:00"}, "restore_point_invalid"),
        ({"point_in_time": "2025-01-13T16:00:00Z"}, "restore_point_future"),
        ({"point_in_time": "2025-01-02T00:00:00Z"}, "before_window"),
        ({"retention_days": -1}, "retention_invalid"),
        ({"retention_days": 0}, "retention_invalid"),
        ({"retention_days": float("nan")}, "retention_invalid"),
        ({"retention_days": 1e9}, "retention_invalid"),
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


@pytest.mark.parametrize("text", ["a while", "-6h", "nan", "inf", "1e300d", "6 hours", "h"])
def test_a_length_of_time_that_cannot_be_read_fails_the_task(text: str) -> None:
    """Given a length that is none, then the task fails and quotes it; it is never taken for "make one"."""
    result = call_module("backup_plan", options(World(), unless_newer_than=text))
    assert result["failed"] and f'"{text}"' in result["msg"] and "6h" in result["msg"]


def test_nothing_can_be_new_enough_for_a_length_of_nought() -> None:
    """Given a limit of 0 seconds, then a new one is made."""
    assert not plan(with_backup("backup-20250113-142500", POINT), unless_newer_than="0")["already_done"]["done"]


def test_a_backup_that_is_found_again_keeps_its_own_name() -> None:
    """Given one that is new enough, then the plan names that one, and not what a new one would have been called."""
    found = plan(with_backup("before-42", POINT), unless_newer_than="2h")
    assert found["name"] == "before-42" and found["already_done"]["branch_id"] == "br-backup-b1"


@pytest.mark.parametrize("where", ["record", "annotation"])
def test_the_backup_of_another_target_in_the_project_is_not_this_ones(where: str) -> None:
    """Given a verified backup of another target, then it is neither new enough, nor latest, nor this one's by name."""
    world = with_backup("backup-20250113-142500", POINT)
    world.backups[0]["target"] = "shop" if where == "record" else None
    world.branches[1]["annotations"] = {"tool": "rewind.database", "purpose": "backup", "target": "shop"}
    made = plan(world, unless_newer_than="2h")
    assert made["newest"] is None and not made["already_done"]["done"]
    taken = plan(world, name="backup-20250113-142500")
    assert not taken["already_done"]["done"]
    assert "backup of shop" in problem(taken, "name_taken")["message"]
    # Restoring: the latest is of this target; one that is named is meant.
    assert codes(world.plan(backup="latest")) == ["backup_unknown"]
    named = world.plan(backup="backup-20250113-142500")
    assert named["problems"] == [] and named["restore_point"]["backup"] == "backup-20250113-142500"


def test_the_primary_is_found_by_its_host_and_not_by_its_name() -> None:
    """Given an application whose string leads to another branch than main, then that one is backed up."""
    world = World().add(branch("br-new-n1", "restore-20250110-120000", parent_id=MAIN, compute="ep-new-n1"))
    made = plan(world.point_row_to("ep-new-n1"))
    assert made["source"]["branch_id"] == "br-new-n1" and made["source"]["head"] and made["source"]["is_primary"]


def test_an_instant_before_a_cutover_is_backed_up_from_the_branch_that_held_it() -> None:
    """Given an application that was repointed at 14:30, then 14:25 is on the old primary and 14:45 on the new."""
    world = World().add(
        branch(
            "br-new-n1",
            "restore-x",
            parent_id=MAIN,
            parent_timestamp="2025-01-13T14:00:00Z",
            created_at="2025-01-13T14:29:00Z",
            compute="ep-new-n1",
        )
    )
    world.point_row_to("ep-new-n1").records = [cutover("2025-01-13T14:30:00Z", "repoint", MAIN, "br-new-n1")]
    for at, holder in (("2025-01-13T14:25:00Z", MAIN), ("2025-01-13T14:45:00Z", "br-new-n1")):
        made = plan(world, point_in_time=at)
        assert (made["source"]["branch_id"], made["source"]["parent_timestamp"]) == (holder, at)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"compute": "ep-dev-d1"}, "it is no backup"),
        ({"annotations": {"tool": "rewind.database", "purpose": "restore"}}, "it is no backup"),
        (
            {"parent_id": "br-dev-d2", "annotations": {"tool": "rewind.database", "purpose": "backup"}},
            "it comes from no parent",
        ),
    ],
)
def test_a_branch_that_only_has_the_wanted_name_is_left_alone(more: Json, said: str) -> None:
    """Given a branch of somebody else with that name, then it is refused: a backup's expiry would delete it."""
    world = World().add(branch("br-dev-d1", "before-42", **{"parent_id": MAIN, **more}))
    assert said in problem(plan(world, name="before-42"), "name_taken")["message"]


def test_the_name_of_a_branch_in_use_is_refused() -> None:
    """Given the name of the primary itself, then it is refused, and nothing would be made from it under its name."""
    assert "an application uses it" in problem(plan(World(), name="main"), "name_taken")["message"]


def test_a_verified_backup_of_that_name_but_of_another_instant_is_refused() -> None:
    """Given a backup of 14:25, when 14:30 is asked for under its name, then both are told apart."""
    made = plan(with_backup("before-42", POINT), name="before-42", point_in_time="2025-01-13T14:30:00Z")
    assert not made["already_done"]["done"]
    assert "main at 2025-01-13T14:25:00Z" in problem(made, "name_taken")["message"]


def test_what_a_killed_run_has_made_is_gone_on_with() -> None:
    """Given a branch that a killed backup left, when asked again in a full project, then it needs no slot."""
    left: Json = {"parent_id": MAIN, "annotations": {"tool": "rewind.database", "purpose": "backup"}}
    world = World().add(branch("br-left-l1", "before-42", **left))
    world.project["limits"]["branches"] = 2
    made = plan(world, name="before-42")
    assert made["problems"] == [] and not made["already_done"]["done"] and made["name"] == "before-42"
    assert made["slots"]["branches"]["adds"] == 0


def test_a_full_project_is_told_what_could_go() -> None:
    """Given no slot, then branches are offered that could be deleted: not the default, a protected or a used one."""
    world = World().add(
        branch("br-idle-i1", "idle", parent_id=MAIN),
        branch("br-kept-k1", "kept", parent_id=MAIN, protected=True),
        branch("br-pin-p1", "pinned", parent_id=MAIN),
        branch("br-busy-b1", "busy", parent_id=MAIN, compute="ep-busy-b1"),
    )
    world.application["environment"].append(env_row("REPORTING_URL", "ep-busy-b1.eu.neon.tech"))
    world.records = [{"event": "pinned", "branch_id": "br-pin-p1", "pinned": True}]
    world.project["limits"]["branches"] = 5
    advice = problem(plan(world), "no_slot")["what_to_do"]
    assert "(nothing uses idle)" in advice


def test_a_source_that_expires_is_refused_before_anything_is_sent() -> None:
    """Given a primary with an expiry, then Neon would make no branch from it, and the plan says what to do."""
    world = World()
    world.branches[0]["expires_at"] = "2025-01-20T00:00:00Z"
    assert "Clear the expiry of main" in problem(plan(world), "source_expires")["what_to_do"]


def test_two_rows_of_one_key_are_a_problem_here_too() -> None:
    """Given two rows DATABASE_URL, then which of them leads to the primary is not known."""
    world = World()
    world.application["environment"].append(env_row("DATABASE_URL", "ep-main-compute-a1.eu.neon.tech"))
    assert "env_row_duplicate" in codes(plan(world))


def test_without_a_primary_everything_else_is_still_judged() -> None:
    """Given a locked row in a full project, then both are said together."""
    world = World()
    row = world.application["environment"][0]
    row.update(connection=None, readable=False, is_shown_once=True)
    world.project["limits"]["branches"] = 1
    made = plan(world, point_in_time="2025-01-02T00:00:00Z")
    assert codes(made) == ["before_window", "env_row_locked", "no_slot"]
    assert made["primary"] is None and made["source"] is None


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
