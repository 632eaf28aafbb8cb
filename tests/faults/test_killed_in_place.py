# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore in place, its controller killed at each step, and the same command again."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import CHANGE_BRANCH, DELETE_BRANCH, MAKE_BRANCH, RESTORE_IN_PLACE, Point, points

TELLING = [
    Point("restore", fault=RESTORE_IN_PLACE("hang_after")),
]
ALL_OTHERS = [
    Point("make_branch", fault=MAKE_BRANCH("hang_after")),
    Point("prove"),
    Point("verified", "done"),
    Point("delete_preview", fault=DELETE_BRANCH("hang")),
    Point("delete_preview", "done"),
    Point("restore", fault=RESTORE_IN_PLACE("hang")),
    Point("restore", "done"),
    Point("run"),
    Point("preflight"),
    Point("plan"),
    Point("plan", "done"),
    Point("branch"),
    Point("make_branch"),
    Point("make_branch", fault=MAKE_BRANCH("hang")),
    Point("make_branch", "done"),
    Point("verify"),
    Point("confirm"),
    Point("cutover"),
    Point("delete_preview"),
    Point("delete_preview", fault=DELETE_BRANCH("hang_after")),
    Point("restore"),
    Point("prove", "done"),
    Point("fence"),
    Point("record"),
    Point("record", "done"),
]
PROTECTED = [
    Point("unprotect", fault=CHANGE_BRANCH("hang_after")),
]
PROTECTED_OTHERS = [
    Point("protect"),
    Point("unprotect"),
    Point("unprotect", "done"),
    Point("restore", fault=RESTORE_IN_PLACE("hang_after")),
    Point("restore", "done"),
    Point("protect", fault=CHANGE_BRANCH("hang_after")),
    Point("protect", "done"),
    Point("prove"),
]


@pytest.mark.parametrize("point", points(TELLING, ALL_OTHERS), ids=str)
def test_when_the_controller_is_killed_then_the_same_command_ends_where_an_undisturbed_run_ends(
    tell: Tell, point: Point
) -> None:
    """Given a killed restore in place, the same command again restores, and one state is served throughout."""
    story = tell("in_place")
    story.crash_at(point)
    story.restore().ok()
    story.assert_restored()


@pytest.mark.parametrize("point", points(PROTECTED, PROTECTED_OTHERS), ids=str)
def test_when_the_primary_was_protected_then_it_is_protected_again(tell: Tell, point: Point) -> None:
    """Given a protected primary and a controller killed while it was unprotected, the next run protects it again."""
    story = tell("in_place", protected=True)
    story.crash_at(point)
    story.restore().ok()
    story.assert_restored()


@pytest.mark.long
def test_an_undisturbed_run_ends_as_it_must(tell: Tell) -> None:
    """What the killed ones are held to is what a run does that nobody kills."""
    story = tell("in_place")
    story.restore().ok()
    story.assert_restored()
