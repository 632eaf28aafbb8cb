# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""find_restore_point_plan: from when to when is searched, on which branches, and what stands in the way."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils._find.hurry import hurry
from ansible_collections.rewind.database.plugins.module_utils._find.text import verdict_lines
from ansible_collections.rewind.database.plugins.module_utils._time import parse_instant, rfc3339
from ansible_collections.rewind.database.plugins.modules import find_restore_point_plan
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    NOW,
    World,
    branch,
    codes,
    cutover,
    problem,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]
STARTED = "2025-01-13T14:59:30Z"
USERS = {"name": "Users are there", "kind": "rows", "table": "User", "min": 1}
FRESH = {"kind": "fresh", "table": "Quest", "column": "updatedAt", "max_age": 60}


def options(world: World, checks: list[Json] | None = None, **request: Any) -> Json:
    """The options of the module for a world."""
    application = {"application": world.application, "version": world.version, "abilities": world.abilities}
    return copy.deepcopy(
        {
            "project": world.project,
            "branches": world.branches,
            "application": application,
            "records": world.records,
            "unfinished": world.unfinished,
            "checks": [USERS] if checks is None else checks,
            "request": {"target": "tracker", "now": NOW, "started": STARTED, **request},
        }
    )


def plan(world: World, checks: list[Json] | None = None, **request: Any) -> Json:
    """The plan, through the module."""
    result = call_module("find_restore_point_plan", options(world, checks, **request))
    assert not result.get("failed") and result["changed"] is False, result
    found: Json = result["plan"]
    return found


def held(made: Json) -> list[tuple[str, str, str]]:
    return [(item["start"], item["end"], item["name"]) for item in made["segments"]]


def test_without_limits_the_whole_window_until_now_is_searched() -> None:
    """Given seven days of history and one primary, it takes 20 probes; the window's first minutes slide away."""
    made = plan(World())
    assert made["problems"] == []
    assert held(made) == [("2025-01-06T15:05:00Z", NOW, "main")]
    assert made["probes"] == {"halving": 20, "most": 28}
    assert (made["whole_window"], made["until_now"], made["window_slides"]) == (True, True, True)
    assert made["check"]["name"] == "Users are there"
    assert any("20 at most" in line for line in made["text"])


def test_limits_and_hints_are_read_in_every_form_of_a_time() -> None:
    """Given times ago, they count from the start of the run; a hint may be an instant or a span."""
    made = plan(World(), after="-2h", before="2025-01-13 15:30:00+01:00", hints=["-40m", "-1h30m .. -1h"])
    assert held(made) == [("2025-01-13T12:59:30Z", "2025-01-13T14:30:00Z", "main")]
    assert made["hints"] == ["2025-01-13T13:29:30Z", "2025-01-13T13:59:30Z", "2025-01-13T14:19:30Z"]
    assert not made["until_now"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"after": "2025-01-01 00:00:00 UTC"}, "before_window"),
        ({"after": "2025-01-13 14:00:00"}, "after_invalid"),
        ({"before": "2025-01-14 14:00:00 UTC"}, "before_invalid"),
        ({"after": "-1h", "before": "-2h"}, "interval_empty"),
        ({"after": "-1h", "hints": ["-2h"]}, "hint_outside"),
        ({"hints": ["lunch"]}, "hint_invalid"),
        ({"precision": 0}, "precision_invalid"),
        ({"precision": 100_000}, "precision_invalid"),
        ({"confirmations": -1}, "confirmations_invalid"),
        ({"check": "no such check"}, "check_unknown"),
    ],
)
def test_what_makes_no_sense_is_a_problem_that_says_what_to_do(request_: Json, code: str) -> None:
    """Given a request that cannot be carried out, the plan says so, and the task does not fail."""
    made = plan(World(), **request_)
    assert codes(made) == [code]
    assert problem(made, code)["what_to_do"]


def test_the_oldest_minutes_of_a_window_that_slides_are_said_not_to_be_searched() -> None:
    """Given an instant within them, then it is not called older than the window, and what is left out is named."""
    begins = plan(World())["window_start"]
    message = problem(plan(World(), after=begins), "before_window")["message"]
    assert f"({begins}, and 5 minutes that may leave it during the search)" in message
    made = plan(World())
    assert made["after"] > begins
    found = {"kind": "fails_throughout", "oldest": made["after"], "first_bad": None, "last_good": None, "notes": []}
    text = " ".join(" ".join(verdict_lines({**found, "probes": [], "count": 0, "seconds": 0.0}, made)).split())
    assert f"older than the window, which begins at {begins}, can only be in a backup" in text
    assert "what lies between is left out of a search" in text


def test_one_check_is_chosen_by_its_name() -> None:
    """Given several checks, one must be named; one without a name has that of its kind and table."""
    assert codes(plan(World(), [USERS, FRESH])) == ["check_missing"]
    assert codes(plan(World(), [])) == ["check_missing"]
    made = plan(World(), [USERS, FRESH], check="fresh Quest")
    assert made["problems"] == [] and made["check"]["column"] == "updatedAt"
    assert codes(plan(World(), [{"kind": "rows", "table": "User"}])) == ["check_invalid"]


def test_a_check_that_compares_with_a_manifest_needs_one() -> None:
    """Given within_percent, the manifest must be given."""
    within = {"kind": "rows", "table": "User", "within_percent": 5}
    assert codes(plan(World(), [within])) == ["check_needs_manifest"]
    assert codes(plan(World(), [within], manifest=True)) == []


def test_a_full_project_has_no_room_for_a_probe() -> None:
    """Given no free branch, nothing is searched."""
    world = World()
    world.project["limits"]["branches"] = 1
    world.abilities["read_sensitive"] = "missing"
    assert codes(plan(world)) == ["ability_missing", "no_slot"]


# Which branch held the data when


def restored(strategy: str = "repoint") -> World:
    """The application was cut over at 12:00 on the 12th, to a branch that was made five minutes before."""
    world = World().add(
        branch(
            "br-restored",
            "restore-20250112-090000",
            parent_id=MAIN,
            parent_timestamp="2025-01-12T09:00:00Z",
            created_at="2025-01-12T11:55:00Z",
            compute="ep-restored-b2",
        )
    )
    world.records.append(cutover("2025-01-12T12:00:00Z", strategy, MAIN, "br-restored"))
    return world.point_row_to("ep-restored-b2", updated_at="2025-01-12T12:00:00Z")


def test_a_restore_in_the_middle_begins_a_new_segment_on_its_branch() -> None:
    """Given a repoint, what was before it is looked for on the old primary, and what came after on the new one."""
    made = plan(restored())
    assert made["problems"] == []
    assert held(made) == [
        ("2025-01-06T15:05:00Z", "2025-01-12T11:59:59Z", "main"),
        ("2025-01-12T12:00:00Z", NOW, "restore-20250112-090000"),
    ]


def test_after_a_restore_in_place_the_past_is_on_the_branch_that_was_preserved() -> None:
    """Given a restore in place, the instants before it are on the rollback branch."""
    world = World().add(
        branch(
            "br-kept",
            "rollback-20250112-120000",
            created_at="2025-01-12T12:00:00Z",
        )
    )
    world.branches[0].update(
        parent_id="br-kept", parent_timestamp="2025-01-12T09:00:00Z", last_reset_at="2025-01-12T12:00:03Z"
    )
    world.records.append(cutover("2025-01-12T12:00:01Z", "in_place", MAIN, MAIN, preserved_branch_id="br-kept"))
    made = plan(world)
    assert made["problems"] == []
    assert [item["branch_id"] for item in made["segments"]] == ["br-kept", MAIN]
    assert made["segments"][1]["start"] == "2025-01-12T12:00:03Z"


def test_a_branch_that_expires_cannot_be_searched_and_that_is_said() -> None:
    """Given an old primary with an expiry, its part is left out with a warning; the rest is searched."""
    world = restored()
    world.branches[0]["expires_at"] = "2025-01-20T00:00:00Z"
    made = plan(world)
    assert made["problems"] == []
    assert [item["name"] for item in made["segments"]] == ["restore-20250112-090000"]
    assert "expires at 2025-01-20" in made["left_out"][0]["why"] and "Not searched" in made["warnings"][0]


def test_a_span_that_nothing_proves_is_left_out() -> None:
    """Given an application that was moved by hand, the time between is not searched."""
    world = World().add(branch("br-hand", "by-hand", compute="ep-hand-c3", created_at="2025-01-02T00:00:00Z"))
    world.add(branch("br-else", "elsewhere", created_at="2025-01-02T00:00:00Z"))
    world.records.append(cutover("2025-01-12T12:00:00Z", "repoint", MAIN, "br-else"))
    world.point_row_to("ep-hand-c3", updated_at="2025-01-13T09:00:00Z")
    made = plan(world)
    assert made["problems"] == []
    assert [item["name"] for item in made["segments"]] == ["main", "by-hand"]
    assert [(item["start"], item["end"]) for item in made["left_out"]] == [
        ("2025-01-12T12:00:00Z", "2025-01-13T09:00:00Z")
    ]


def test_a_primary_that_expires_leaves_nothing_to_search() -> None:
    """Given a primary with an expiry, Neon makes no branch from it."""
    world = World()
    world.branches[0]["expires_at"] = "2025-01-20T00:00:00Z"
    assert codes(plan(world)) == ["end_not_held"]


def test_a_young_project_is_searched_from_its_beginning() -> None:
    """Given a project that is younger than its window, the window does not slide."""
    world = World()
    world.project["created_at"] = world.project["window_start"] = "2025-01-13T14:00:00Z"
    world.branches[0]["created_at"] = "2025-01-13T14:00:00Z"
    made = plan(world)
    assert made["after"] == "2025-01-13T14:00:00Z" and not made["window_slides"]


# What a killed search has left


def probe(**more: Any) -> Json:
    notes = {"tool": "rewind.database", "purpose": "probe", "target": "tracker", "run": "one"}
    return branch("br-probe", "probe-20250113-140000-0a1b2c-3", parent_id=MAIN, annotations=notes, **more)


def test_the_probe_of_a_killed_search_is_found_by_its_annotation_and_its_journal() -> None:
    """Given a probe branch of a run that never ended, the next search deletes it."""
    world = World().add(probe())
    assert plan(world)["leftovers"] == [], "its run has ended, or belongs to another controller: a cleanup judges that"
    world.unfinished.append({"id": "one", "verb": "find_restore_point"})
    assert [item["branch_id"] for item in plan(world)["leftovers"]] == ["br-probe"]


def test_the_slot_of_a_killed_searchs_probe_is_the_next_ones() -> None:
    """Given a full project of which one branch is such a probe, then there is room; without it there is none."""
    world = World().add(probe())
    world.project["limits"]["branches"] = 2
    assert "no_slot" in codes(plan(world))
    world.unfinished.append({"id": "one", "verb": "find_restore_point"})
    assert plan(world)["problems"] == []


@pytest.mark.parametrize("is_young", [False, True])
@pytest.mark.parametrize("deadline", [None, 300, 3600])
@pytest.mark.parametrize("left", [301, 700, 1200, 1799, 2000, 5000])
def test_what_a_search_says_of_a_restore_is_what_its_plan_accepts(
    left: int, deadline: int | None, is_young: bool
) -> None:
    """Given an instant near the start of a sliding window, then the restore that is named is not refused for that, also
    if it is begun somewhat later; and nothing is shortened that would do as it is."""
    world = World()
    if is_young:
        # The window reaches to the beginning still, and begins to slide within what a restore reserves.
        born = parse_instant(NOW) - timedelta(seconds=world.project["history_retention_seconds"] - 300)
        world.project["created_at"] = world.project["window_start"] = rfc3339(born)
    made = plan(world) if deadline is None else plan(world, cutover_deadline=deadline)
    assert made["window_slides"] == (not is_young)
    told = hurry(left, made["restore_seconds"])
    point = parse_instant(made["window_edge"]) + timedelta(seconds=left)
    later = rfc3339(parse_instant(NOW) + timedelta(seconds=min(600, left / 3)))
    usual = {} if deadline is None else {"cutover_deadline": deadline}
    asked = {**usual, "point_in_time": rfc3339(point), "cutover": "repoint", "now": later}
    assert told.options is not None
    assert "window_slides" not in codes(world.plan(**{**asked, **told.options}))
    assert bool(told.options) == bool(told.notes) == ("window_slides" in codes(world.plan(**asked)))
    if "cutover_deadline" in told.options:
        assert any("is taken back" in note for note in told.notes)


def test_where_nothing_is_left_of_the_window_no_restore_is_shortened() -> None:
    """Given a point that leaves the window within a minute, then the text says that it is too late for a restore."""
    told = hurry(50, plan(World())["restore_seconds"])
    assert told.options is None and "too short for a restore" in told.notes[0]


@pytest.mark.parametrize("why", ["default", "protected", "used", "parent", "foreign"])
def test_what_must_not_be_deleted_is_no_leftover(why: str) -> None:
    """Given a probe branch that somebody has taken for something else, it stays."""
    made = probe(**({why: True} if why in ("default", "protected") else {}), compute="ep-probe-d4")
    world = World().add(made)
    world.unfinished.append({"id": "one", "verb": "find_restore_point"})
    if why == "used":
        world.point_row_to("ep-probe-d4", updated_at="2025-01-13T14:30:00Z")
    if why == "parent":
        world.add(branch("br-child", "child", parent_id="br-probe"))
    if why == "foreign":
        made["annotations"]["tool"] = "something else"
    assert plan(world)["leftovers"] == []


def test_every_part_of_the_plan_and_every_default_is_the_documented_one() -> None:
    """Given the documentation, then its options, defaults and parts of the plan are those of the module."""
    documented = yaml.safe_load(find_restore_point_plan.DOCUMENTATION)["options"]
    assert set(documented) == set(find_restore_point_plan.SPEC.arguments)
    declared = find_restore_point_plan.SPEC.arguments["request"]["options"]
    assert {name: item.get("default") for name, item in documented["request"]["suboptions"].items()} == {
        name: item.get("default") for name, item in declared.items()
    }
    told = set(yaml.safe_load(find_restore_point_plan.RETURN)["plan"]["contains"])
    assert told == set(plan(World()))


def test_both_ways_of_running_it_give_the_same_plan(both_ways: BothWays) -> None:
    """Given a request, then the plan is the same in the controller's process and as an ordinary module."""
    result = both_ways.same("find_restore_point_plan", options(restored(), hints=["-2h"]))
    assert not result["changed"] and len(result["plan"]["segments"]) == 2
