# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs on one target: one works, the other is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import MAKE_BRANCH, Point

# Long enough for the second run to begin and be refused, on a machine that is busy.
HELD_SECONDS = 30


@pytest.mark.parametrize("other", ["restore", pytest.param("undo", marks=pytest.mark.long)])
def test_when_a_run_is_under_way_then_a_second_one_is_refused_and_writes_nothing(tell: Tell, other: str) -> None:
    """Given a restore that works on a target, another run names it, writes nothing, and the first one ends well."""
    story = tell("repoint")
    held = MAKE_BRANCH("hang_after")
    story.control.fault(**held, seconds=HELD_SECONDS)
    first = story.start()
    first.wait_until(lambda: Point("make_branch").stands_in(story.lines()), "the branch")
    (lines,) = story.journals()
    locks = story.locks()
    since = story.control.last_request()
    refused = (story.restore if other == "restore" else story.undo)().failed()
    assert first.runs, f"the first run ended too early: {first.text[-2000:]}"
    assert lines[0]["run"] in refused.message
    assert f"process {first.pid}" in refused.message
    assert "still running" in refused.message
    assert [item for item in story.writes(since) if not item.endswith("/branches")] == []
    assert len(story.journals()) == 1
    assert story.locks() == locks
    assert first.wait() == 0, first.text[-3000:]
    story.assert_restored()


@pytest.mark.long
def test_when_the_lock_is_another_controllers_then_it_must_be_broken_by_name(tell: Tell) -> None:
    """Given a killed run whose locks another host holds, only break_lock with its name lets the next run go on."""
    story = tell("repoint")
    story.crash_at(Point("fence_writes", "done"))
    names = story.locks()
    assert len(names) == 2
    run = ""
    for name in names:
        path = Path(story.playbooks.state / "locks" / name)
        lock = json.loads(path.read_text(encoding="utf-8"))
        run = lock["run"]
        path.write_text(json.dumps({**lock, "host": "other-controller", "machine": "0123456789ab"}), encoding="utf-8")
    since = story.control.last_request()
    for broken in ({}, {"break_lock": "20250113T142500Z-restore-1a2b3c"}):
        refused = story.restore(**broken).failed()
        assert "other-controller" in refused.message
        assert f"-e break_lock={run}" in refused.message
    assert story.writes(since) == []
    story.restore(break_lock=run).ok()
    story.assert_restored()
