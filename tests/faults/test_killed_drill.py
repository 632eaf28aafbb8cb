# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill, its controller killed at each step: undo and a cleanup, or the next drill, leave staging as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import (
    DELETE_BRANCH,
    DEPLOY,
    DISABLE,
    ENV,
    MAKE_BRANCH,
    Point,
    crash_at,
    lines_of,
    nth,
)
from tests.faults.story import Story

pytestmark = pytest.mark.long


POINTS = [
    Point("preflight"),
    Point("test_backup"),
    Point("make.*", fault=MAKE_BRANCH("hang_after")),
    Point("test_backup", "done"),
    Point("restore"),
    Point("make_branch", fault=nth(MAKE_BRANCH("hang_after"), 2)),
    Point("verified", "done"),
    Point("fence_writes", "done"),
    Point("env", fault=ENV("hang_after")),
    Point("deploy", fault=DEPLOY("hang_after")),
    Point("prove"),
    Point("disable_.*", fault=DISABLE("hang_after")),
    Point("revert"),
    Point("undo", fault=nth(ENV("hang_after"), 2)),
    Point("undo", fault=nth(DEPLOY("hang_after"), 2)),
    Point("undo", "done"),
    Point("delete"),
    Point("delete_br-.*", fault=DELETE_BRANCH("hang_after")),
    Point("delete_br-.*", "done"),
]


class Rehearsal:
    """A staging target, the drill of it, and everything that must be as it was."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.state = story.playbooks.state
        self.branches = story.target.branches()

    def play(self, playbook: str, **more: Any) -> Any:
        return self.story.playbooks.play(f"playbooks/{playbook}.yml", **{**self.story.variables, **more})

    def lines(self) -> list[dict[str, Any]]:
        """Of the drill's journal and of those of the backup and of the restore inside."""
        folder = self.state / "journal" / self.story.target.name
        return [line for path in sorted(folder.glob("*.jsonl")) for line in lines_of(path)] if folder.exists() else []

    def crash_at(self, point: Point) -> None:
        crash_at(self.story.start("drill", mode="backup"), point, self.story.control, self.lines)

    def log(self) -> list[dict[str, Any]]:
        """What the log of drills says of this target."""
        path = self.state / "drills.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [item for item in records if item["target"] == self.story.target.name]

    def suspend(self) -> None:
        """Minutes pass, and the computes that nobody uses any more fall asleep."""
        target = self.story.target
        for name in set(target.branches()) - set(self.branches):
            for endpoint in target.endpoints(target.branches()[name]["id"]):
                answer = target.neon.post(f"/projects/{target.project}/endpoints/{endpoint['id']}/suspend")
                assert answer.is_success, answer.text
                target.settle()

    def assert_as_it_was(self) -> None:
        story = self.story
        assert set(story.target.branches()) == set(self.branches), "nothing that the drill made is left"
        story.assert_taken_back()
        unended = [lines[-1] for lines in self._journals("drill") if lines[-1]["step"] != "run"]
        assert unended == [], "no drill is left open"

    def _journals(self, verb: str) -> list[list[dict[str, Any]]]:
        folder = self.state / "journal" / self.story.target.name
        return [lines_of(path) for path in sorted(folder.glob(f"*-{verb}-*.jsonl"))]


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_when_a_drill_is_killed_then_undo_and_cleanup_leave_staging_as_it_was(tell: Tell, point: Point) -> None:
    """Given a killed drill, cleanup only reports it; undo puts staging back, then a cleanup deletes what is left."""
    drill = Rehearsal(tell("repoint", variables={"rewind_environment": "staging"}))
    drill.crash_at(point)
    left = set(drill.story.target.branches())
    reported = drill.play("cleanup", confirm=drill.story.target.name, scratch_days=0).ok()
    assert "never ended" in reported.text and set(drill.story.target.branches()) == left, "it only reports it"
    drill.play("undo").ok()
    drill.suspend()
    drill.play("cleanup", confirm=drill.story.target.name, scratch_days=0).ok()
    drill.assert_as_it_was()
    assert [(record["ok"], record["why"]) for record in drill.log()] == [(False, "it was killed")]


@pytest.mark.parametrize("point", [POINTS[2], POINTS[8], POINTS[14], POINTS[17]], ids=str)
def test_when_a_drill_is_killed_then_the_next_one_puts_staging_back_first(tell: Tell, point: Point) -> None:
    """Given a killed drill and no undo, the next drill takes it back, deletes what it left, and is held to its end."""
    drill = Rehearsal(tell("repoint", variables={"rewind_environment": "staging"}))
    drill.crash_at(point)
    drill.play("drill").ok()
    drill.assert_as_it_was()
    assert [record["ok"] for record in drill.log()] == [False, True]
