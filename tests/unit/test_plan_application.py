# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code against the data, and how far the history window reaches when it is needed: the judgements of a plan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.request import read_facts, read_request
from ansible_collections.rewind.database.plugins.module_utils._plan.strategies import window_start, window_start_after
from ansible_collections.rewind.database.tests.unit.plan_world import NOW, World, codes, deployment, problem
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
OLDER = {"head": "0041_before", "schema_hash": "bb"}
SAME = {"head": "0042_good", "schema_hash": "aa"}


def deployed(*commits: str, then: Any = OLDER) -> World:
    """A world that runs the last of these commits; the others were deployed hourly before the restore point."""
    world = World()
    world.migration["restore_point"] = then
    world.application["commit"] = commits[-1]
    first = datetime(2025, 1, 13, 11, 0, tzinfo=UTC)
    ends = [(first + timedelta(hours=number)).isoformat() for number in range(len(commits) - 1)]
    finished = [*ends, "2025-01-13T14:50:00+00:00"]
    world.deployments["deployments"] = [
        deployment(f"d{number}", commit, at) for number, (commit, at) in enumerate(zip(commits, finished, strict=True))
    ]
    return world


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        (OLDER, ["schema_mismatch"]),
        ({**SAME, "schema_hash": "bb"}, ["schema_mismatch"]),
        ({**SAME, "head": "0041_before"}, ["schema_mismatch"]),
        ({**SAME, "head": None}, ["schema_mismatch"]),
        (SAME, []),
        ({**SAME, "schema_hash": None}, []),
        (None, ["schema_mismatch"]),
    ],
)
def test_another_commit_and_another_schema_stop_the_run(then: Any, expected: list[str]) -> None:
    """Given another commit since, then a schema that differs or could not be read stops the run, an equal one not."""
    assert codes(deployed("beef01", "c0ffee", then=then).plan()) == expected


def test_a_reason_for_each_way_on_is_given() -> None:
    """Given such a stop, then the message names both migrations, and the advice the commit and the other way."""
    found = problem(deployed("beef01", "c0ffee").plan(), "schema_mismatch")
    assert "0041_before" in found["message"] and "0042_good" in found["message"] and "c0ffee" in found["message"]
    assert "deploy_commit=beef01" in found["what_to_do"] and "accept_schema_mismatch=true" in found["what_to_do"]


def test_the_commit_of_the_last_deployment_before_the_point_is_the_one_that_fits() -> None:
    """Given several deployments, then a later, a failed, an unfinished and a nameless one are not taken for it."""
    world = deployed("aaaa01", "bbbb02", "cccc03", "c0ffee")
    more = [
        {**deployment("failed", "dead01", "2025-01-13T14:00:00Z"), "status": "failed"},
        {**deployment("running", "dead02", "2025-01-13T14:00:00Z"), "finished_at": None},
        deployment("nameless", "HEAD", "2025-01-13T14:10:00Z"),
        deployment("after", "dead03", "2025-01-13T14:25:00.000001Z"),
    ]
    world.deployments["deployments"] += more
    assert world.plan()["code"]["fits_commit"] == "cccc03"
    world.deployments["deployments"].append(deployment("exactly", "eeee05", "2025-01-13T14:25:00Z"))
    assert world.plan()["code"]["fits_commit"] == "eeee05"


def test_an_application_without_commits_runs_none() -> None:
    """Given an image, whose deployments Coolify calls HEAD, then no commit is named: HEAD would be taken for a tag."""
    world = World()
    world.application["commit"] = None
    world.deployments["last_finished"] = deployment("d0", "HEAD", "2025-01-13T14:10:00Z")
    plan = world.plan()
    assert plan["application"]["commit"] is None and plan["code"]["running_commit"] is None


@pytest.mark.parametrize(("answer", "said"), [("deploy_commit", "beef01"), ("accept_schema_mismatch", True)])
@pytest.mark.parametrize("then", [OLDER, None])
def test_each_answer_turns_the_stop_into_a_warning(answer: str, said: Any, then: Any) -> None:
    """Given a fitting commit or an explicit yes, then the run goes on, and the plan still says what was accepted."""
    plan = deployed("beef01", "c0ffee", then=then).plan(**{answer: said})
    assert plan["problems"] == [] and any(f"accepted with {answer}" in line for line in plan["warnings"])


def test_the_fitting_commit_may_be_shortened() -> None:
    """Given deploy_commit as the beginning of the commit that ran then, then it is not warned about as another one."""
    plan = deployed("beef0123456789", "c0ffee").plan(deploy_commit="beef01")
    assert not any("was running" in line for line in plan["warnings"])


def test_the_same_commit_needs_no_answer_even_where_nothing_could_be_read() -> None:
    """Given the commit of now at the restore point too, then schemas that cannot be read stop nothing."""
    world = deployed("c0ffee", "c0ffee", then=None)
    assert world.plan()["problems"] == []


_seconds = st.floats(min_value=0, max_value=30 * 86_400, allow_nan=False)


def start_of(after: float | None, retention: float | None, age: float, told: float | None = None) -> datetime | None:
    """The window's start now (None), or some seconds from now, for a project of this age, in seconds."""
    world, now = World(), datetime.fromisoformat(NOW)
    world.project.update(history_retention_seconds=retention, created_at=(now - timedelta(seconds=age)).isoformat())
    if told is not None:
        world.project["window_start"] = (now - timedelta(seconds=told)).isoformat()
    params = world.params()
    request, facts = read_request(params["request"]), read_facts(params, "tracker")
    return window_start(request, facts) if after is None else window_start_after(request, facts, after)


@given(after=_seconds, retention=_seconds, age=_seconds)
def test_the_window_only_ever_slides_forward(after: float, retention: float, age: float) -> None:
    """Given any project, then its window begins later or at the same instant as time goes by, never before it."""
    now = datetime.fromisoformat(NOW)
    later, present = start_of(after, retention, age), start_of(None, retention, age)
    assert later is not None and present is not None and later >= present
    assert later >= now + timedelta(seconds=after - retention) - timedelta(milliseconds=1)


def test_a_window_that_reaches_to_the_beginning_does_not_slide_yet() -> None:
    """Given a project younger than its window, then its first instants stay reachable until the window passes them."""
    hour, day = 3600.0, 86_400.0
    beginning = datetime.fromisoformat(NOW) - timedelta(seconds=hour)
    assert start_of(1800, day, hour, told=hour) == beginning
    # A day and half an hour from now the window has passed the beginning by half an hour and an hour.
    assert start_of(day + 1800, day, hour, told=hour) == beginning + timedelta(seconds=hour + 1800)


def test_a_window_that_nobody_tells_is_not_guessed() -> None:
    """Given no retention and no start, then the window is unknown; a told start alone slides with the clock."""
    assert start_of(600, None, 3600) is None
    now = datetime.fromisoformat(NOW)
    assert start_of(600, None, 7200, told=3600) == now - timedelta(seconds=3000)
