# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back after a kill: a restore killed while it takes itself back, and undo.yml after a kill."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import (
    CHANGE_BRANCH,
    DELETE_BRANCH,
    DEPLOY,
    DISABLE,
    ENV,
    FINALIZE,
    MAKE_SNAPSHOT,
    RESTORE_IN_PLACE,
    RESTORE_SNAPSHOT,
    Point,
    nth,
)


def always(*points: tuple[str, Point]) -> list[object]:
    return [pytest.param(strategy, point, id=f"{strategy}-{point}") for strategy, point in points]


def long(*points: tuple[str, Point]) -> list[object]:
    marks = pytest.mark.long
    return [pytest.param(strategy, point, id=f"{strategy}-{point}", marks=marks) for strategy, point in points]


IN_AN_UNDO = [
    *always(("repoint", Point("undo", fault=nth(DEPLOY("hang_after"), 2)))),
    *long(
        ("in_place", Point("undo", fault=nth(RESTORE_IN_PLACE("hang_after"), 2))),
        ("repoint", Point("undo")),
        ("repoint", Point("undo", fault=nth(ENV("hang"), 2))),
        ("repoint", Point("undo", fault=nth(ENV("hang_after"), 2))),
        ("repoint", Point("undo", "done")),
        ("in_place", Point("undo")),
        ("in_place", Point("undo", fault=nth(RESTORE_IN_PLACE("hang"), 2))),
        ("in_place", Point("undo", "done")),
    ),
]


@pytest.mark.parametrize(("strategy", "point"), IN_AN_UNDO)
def test_when_killed_while_it_takes_itself_back_then_the_same_command_finishes_that(
    tell: Tell, strategy: str, point: Point
) -> None:
    """Given a cutover to data that the application cannot use, killed in its undo, the next run ends the undo."""
    story = tell(strategy, unusable=True)
    story.crash_at(point)
    again = story.restore().failed()
    assert "was taken back" in again.message
    story.assert_taken_back()
    assert len(story.journals()) == 1


BEFORE_UNDO = [
    *always(
        ("repoint", Point("disable_.*", fault=DISABLE("hang_after"))),
        ("in_place", Point("restore", fault=RESTORE_IN_PLACE("hang_after"))),
    ),
    *long(
        ("repoint", Point("env", fault=ENV("hang_after"))),
        ("repoint", Point("pause_auto_deploy", "done")),
        ("repoint", Point("fence_writes", "done")),
        ("repoint", Point("env", "done")),
        ("repoint", Point("deploy", fault=DEPLOY("hang_after"))),
        ("repoint", Point("deploy", "done")),
        ("repoint", Point("prove")),
        ("repoint", Point("resume_auto_deploy")),
        ("in_place", Point("delete_preview", fault=DELETE_BRANCH("hang_after"))),
        ("in_place", Point("restore", fault=RESTORE_IN_PLACE("hang"))),
        ("in_place", Point("restore", "done")),
        ("in_place", Point("prove")),
        ("snapshot", Point("make_snapshot", fault=MAKE_SNAPSHOT("hang_after"))),
        ("snapshot", Point("make_branch", fault=RESTORE_SNAPSHOT("hang_after"))),
        ("snapshot", Point("remove_preview_compute", "done")),
        ("snapshot", Point("finalize", fault=FINALIZE("hang"))),
        ("snapshot", Point("finalize", fault=FINALIZE("hang_after"))),
        ("snapshot", Point("finalize", "done")),
        ("snapshot", Point("prove")),
    ),
]


@pytest.mark.parametrize(("strategy", "point"), BEFORE_UNDO)
def test_when_a_restore_was_killed_then_undo_takes_it_back(tell: Tell, strategy: str, point: Point) -> None:
    """Given a killed restore, undo.yml brings back what was before it, and ends the journal."""
    story = tell(strategy)
    story.crash_at(point)
    story.undo().ok()
    story.assert_taken_back()


@pytest.mark.parametrize(
    "point",
    [
        Point("unprotect", fault=CHANGE_BRANCH("hang_after")),
        pytest.param(Point("restore", "done"), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_when_it_was_killed_unprotected_then_undo_protects_the_primary_again(tell: Tell, point: Point) -> None:
    """Given a primary that a killed restore has unprotected, undo.yml protects it again."""
    story = tell("in_place", protected=True)
    story.crash_at(point)
    story.undo().ok()
    story.assert_taken_back()


@pytest.mark.parametrize(
    ("strategy", "point"),
    long(
        ("repoint", Point("undo", fault=DEPLOY("hang_after"))),
        ("in_place", Point("undo", fault=RESTORE_IN_PLACE("hang_after"))),
    ),
)
def test_when_undo_itself_was_killed_then_undo_again_finishes_it(tell: Tell, strategy: str, point: Point) -> None:
    """Given a proven restore and an undo of it that was killed, the same undo again ends it."""
    story = tell(strategy)
    story.restore().ok()
    story.wait_for_state(story.good)
    story.crash_at(point, "undo")
    story.undo().ok()
    story.assert_taken_back()


@pytest.mark.long
def test_when_killed_before_its_cutover_then_undo_ends_the_run_and_other_inputs_are_free(tell: Tell) -> None:
    """Given a restore killed before it changed anything, other inputs are refused until undo.yml has ended that run."""
    story = tell("repoint")
    story.crash_at(Point("verified", "done"))
    other = {"cutover": "in_place"}
    refused = story.restore(**other).failed()
    assert "never finished" in refused.message
    assert "playbooks/undo.yml" in refused.message
    story.undo().ok()
    story.restore(**other).ok()
    assert story.state() == story.good
    story.assert_settled()


@pytest.mark.parametrize(
    ("strategy", "point"),
    long(
        ("repoint", Point("undo", fault=DEPLOY("hang_after"))),
        ("in_place", Point("undo", fault=RESTORE_IN_PLACE("hang_after"))),
        ("repoint", Point("undo", "done")),
    ),
)
def test_when_the_undo_of_a_finished_restore_was_killed_then_the_next_restore_sees_it(
    tell: Tell, strategy: str, point: Point
) -> None:
    """Given a proven restore and a killed undo of it, other inputs are refused, and the same inputs finish the undo."""
    story = tell(strategy)
    story.restore().ok()
    story.wait_for_state(story.good)
    story.crash_at(point, "undo")
    run = story.lines()[0]["run"]
    refused = story.restore(source_branch=story.old_primary["id"]).failed()
    assert f"The run {run} (restore) of this target never finished" in refused.message
    again = story.restore().failed()
    assert f"The cutover of run {run} was taken back" in again.message
    story.assert_taken_back()
    assert [item["proven"] for item in story.cutovers() if item.get("undone")] == [True]


@pytest.mark.long
def test_when_a_later_restore_was_killed_in_its_preflight_then_undo_takes_back_the_cutover_that_stands(
    tell: Tell,
) -> None:
    """Given a proven restore and one killed before it began anything, undo takes back the first, then ends that."""
    story = tell("repoint")
    story.restore().ok()
    story.wait_for_state(story.good)
    story.crash_at(Point("preflight"), again=True)
    story.undo().ok()
    assert story.state() == story.spoilt
    story.undo().ok()
    story.assert_taken_back()
