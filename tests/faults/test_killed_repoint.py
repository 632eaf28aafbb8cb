# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore by repoint, its controller killed at each step, and the same command again."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import DEPLOY, DISABLE, ENV, MAKE_BRANCH, PAUSE, Point, points

# Between the effect of a write and its answer is where most can be lost, so that is what is always tried.
TELLING = [
    Point("env", fault=ENV("hang_after")),
    Point("deploy", fault=DEPLOY("hang_after")),
]
ALL_OTHERS = [
    Point("make_branch", fault=MAKE_BRANCH("hang_after")),
    Point("fence_writes", "done"),
    Point("verified", "done"),
    Point("env", "done"),
    Point("prove"),
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
    Point("pause_auto_deploy"),
    Point("pause_auto_deploy", fault=PAUSE("hang_after")),
    Point("pause_auto_deploy", "done"),
    Point("fence_writes"),
    Point("env"),
    Point("env", fault=ENV("hang")),
    Point("deploy"),
    Point("deploy", fault=DEPLOY("hang")),
    Point("deploy", "done"),
    Point("prove", "done"),
    Point("fence"),
    Point("disable_.*"),
    Point("disable_.*", fault=DISABLE("hang")),
    Point("disable_.*", fault=DISABLE("hang_after")),
    Point("disable_.*", "done"),
    Point("resume_auto_deploy"),
    Point("resume_auto_deploy", fault=PAUSE("hang_after")),
    Point("resume_auto_deploy", "done"),
    Point("git_commit"),
    Point("git_commit", "done"),
    Point("record"),
    Point("record", "done"),
]


@pytest.mark.parametrize("point", points(TELLING, ALL_OTHERS), ids=str)
def test_when_the_controller_is_killed_then_the_same_command_ends_where_an_undisturbed_run_ends(
    tell: Tell, point: Point
) -> None:
    """Given a killed restore by repoint, the same command again restores, and one state is served throughout."""
    story = tell("repoint")
    story.crash_at(point)
    story.restore().ok()
    story.assert_restored()


@pytest.mark.long
def test_an_undisturbed_run_ends_as_it_must(tell: Tell) -> None:
    """What the killed ones are held to is what a run does that nobody kills."""
    story = tell("repoint")
    story.restore().ok()
    story.assert_restored()
