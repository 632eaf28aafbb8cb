# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore by snapshot, its controller killed at each step, and the same command again; and its undo, killed too."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import (
    DELETE_SNAPSHOT,
    FINALIZE,
    MAKE_SNAPSHOT,
    REMOVE_COMPUTE,
    RESTORE_SNAPSHOT,
    Point,
    points,
)

pytestmark = pytest.mark.long


TELLING = [
    Point("make_snapshot", fault=MAKE_SNAPSHOT("hang_after")),
    Point("make_branch", fault=RESTORE_SNAPSHOT("hang_after")),
    Point("remove_preview_compute", "done"),
    Point("finalize", fault=FINALIZE("hang_after")),
    Point("finalize", "done"),
    Point("drop_snapshot", fault=DELETE_SNAPSHOT("hang_after")),
]
ALL_OTHERS = [
    Point("make_snapshot", fault=MAKE_SNAPSHOT("hang")),
    Point("make_snapshot", "done"),
    Point("make_branch", fault=RESTORE_SNAPSHOT("hang")),
    Point("make_branch", "done"),
    Point("add_compute", "done"),
    Point("verify"),
    Point("verified", "done"),
    Point("remove_preview_compute", fault=REMOVE_COMPUTE("hang")),
    Point("remove_preview_compute", fault=REMOVE_COMPUTE("hang_after")),
    Point("finalize", fault=FINALIZE("hang")),
    Point("prove"),
    Point("prove", "done"),
    Point("fence"),
    Point("drop_snapshot", "done"),
    Point("record"),
]
UNDO = [Point("undo", fault=FINALIZE("hang_after"))]
UNDO_OTHERS = [
    Point("undo", fault=MAKE_SNAPSHOT("hang_after")),
    Point("undo", fault=RESTORE_SNAPSHOT("hang_after")),
    Point("undo", fault=FINALIZE("hang")),
    Point("undo", fault=DELETE_SNAPSHOT("hang_after")),
]


@pytest.mark.parametrize("point", points(TELLING, ALL_OTHERS), ids=str)
def test_when_the_controller_is_killed_then_the_same_command_ends_where_an_undisturbed_run_ends(
    tell: Tell, point: Point
) -> None:
    """Given a killed restore by snapshot, the same command again restores, and one state is served throughout."""
    story = tell("snapshot")
    story.crash_at(point)
    story.restore().ok()
    story.assert_restored()


@pytest.mark.parametrize("point", points(UNDO, UNDO_OTHERS), ids=str)
def test_when_its_undo_is_killed_then_the_next_one_ends_it(tell: Tell, point: Point) -> None:
    """Given a finished restore and an undo that is killed on the way, the next undo brings the old state back."""
    story = tell("snapshot")
    story.restore().ok()
    story.crash_at(point, "undo")
    story.undo().ok()
    story.assert_taken_back()


def test_a_protected_primary_stays_protected_all_the_time(tell: Tell) -> None:
    """Given a protected root, no protection has to be taken off: it moves with the name."""
    story = tell("snapshot", protected=True)
    since = story.control.last_request()
    story.restore().ok()
    assert not [write for write in story.writes(since) if write.startswith("PATCH") and "/branches/" in write]
    story.assert_restored()
