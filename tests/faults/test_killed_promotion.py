# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A promotion, its controller killed at each step, and the same command again, or an undo."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.killing import (
    ADD_COMPUTE,
    CHANGE_BRANCH,
    DEPLOY,
    DISABLE,
    ENV,
    FINALIZE,
    SET_DEFAULT,
    SET_SCHEDULE,
    Point,
    Process,
    crash_at,
    lines_of,
    nth,
    points,
)
from tests.faults.story import Plays
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets

pytestmark = pytest.mark.long

_NUMBER = itertools.count(1)

# The first change of a branch clears the expiry of the backup.
TELLING = [Point("rename_new", fault=nth(CHANGE_BRANCH("hang_after"), 3))]
ALL_OTHERS = [
    Point("preflight"),
    Point("plan", "done"),
    Point("switch"),
    Point("make_branch", fault=ADD_COMPUTE("hang_after")),
    Point("verified", "done"),
    Point("env", fault=ENV("hang_after")),
    Point("deploy", fault=DEPLOY("hang_after")),
    Point("disable_.*", fault=DISABLE("hang_after")),
    Point("promote"),
    Point("schedule_old", fault=SET_SCHEDULE("hang")),
    Point("schedule_old", fault=SET_SCHEDULE("hang_after")),
    Point("schedule_old", "done"),
    Point("rename_old", fault=nth(CHANGE_BRANCH("hang"), 2)),
    Point("rename_old", fault=nth(CHANGE_BRANCH("hang_after"), 2)),
    Point("rename_new", fault=nth(CHANGE_BRANCH("hang"), 3)),
    Point("make_default", fault=SET_DEFAULT("hang")),
    Point("make_default", fault=SET_DEFAULT("hang_after")),
    Point("protect_new", fault=nth(CHANGE_BRANCH("hang_after"), 4)),
    Point("unprotect_old", fault=nth(CHANGE_BRANCH("hang_after"), 5)),
    Point("unprotect_old", "done"),
    Point("backup"),
]
# From here on there is something to take back.
BEFORE_UNDO = [point for point in ALL_OTHERS if point.step not in ("preflight", "plan", "switch")]


class Tale:
    """A protected primary whose data was spoilt after a backup."""

    def __init__(self, targets: Targets, control: Control) -> None:
        assert isinstance(targets.playbooks, Plays)
        self.playbooks, self.control = targets.playbooks, control
        self.target: Target = targets.make(f"tale{next(_NUMBER)}")
        self.target.change_branch(self.target.primary()["id"], protected=True)
        self.target.say("good")
        self.playbooks.backup(target=self.target.name).ok()
        self.target.say("spoilt")
        (self.backup,) = (item for name, item in self.target.branches().items() if name.startswith("backup-"))
        self.old = self.target.primary()
        self.string = self.target.string()
        nightly = {"schedule": [{"frequency": "daily", "hour": 3}]}
        assert self.target.neon.put(self._schedule(self.old["id"]), json=nightly).is_success
        self.variables = {"target": self.target.name, "rewind_soak_seconds": 1, "rewind_poll_seconds": 0.2}
        self._process: Process | None = None

    def _schedule(self, branch_id: str) -> str:
        return f"/projects/{self.target.project}/branches/{branch_id}/backup_schedule"

    def hours(self, branch_id: str) -> list[int]:
        """The hours of a branch's schedule of snapshots."""
        return [item["hour"] for item in self.target.neon.get(self._schedule(branch_id)).json()["schedule"]]

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the promotions and of the restores inside, in the order in which they were written."""
        folder = self.playbooks.state / "journal" / self.target.name
        paths = [path for path in folder.glob("*.jsonl") if "-backup-" not in path.name]
        return sorted((line for path in paths for line in lines_of(path)), key=lambda line: str(line["at"]))

    def crash_at(self, point: Point, playbook: str = "promote", **variables: Any) -> None:
        known = len(self.lines())
        inputs = {"branch": self.backup["name"]} if playbook == "promote" else {}
        self._process = self.playbooks.begin(f"playbooks/{playbook}.yml", **self.variables, **inputs, **variables)
        crash_at(self._process, point, self.control, lambda: self.lines()[known:])

    def play(self, playbook: str, **variables: Any) -> None:
        self.playbooks.play(f"playbooks/{playbook}.yml", **{**self.variables, **variables}).ok()

    def assert_promoted(self) -> None:
        """It ends where an undisturbed run ends."""
        target, day = self.target, datetime.now(UTC).strftime("%Y%m%d")
        new, old = target.primary(), target.branches()[f"rollback-{day}"]
        assert (new["id"], new["name"]) == (self.backup["id"], f"production-{day}")
        assert (new["default"], new["protected"], new.get("expires_at")) == (True, True, None)
        assert (old["id"], old["default"], old["protected"]) == (self.old["id"], False, False)
        assert self.hours(old["id"]) == []
        assert target.served() == target.stored() == "good"
        assert target.environ()[target.key] == target.string()
        assert all(item["disabled"] for item in target.endpoints(old["id"]))
        firsts = [item for item in target.branches().values() if item.get("parent_id") == new["id"]]
        assert len(target.branches()) == 2 + len(firsts) and firsts, "its first backup; a killed one may be left"
        self._assert_settled()

    def assert_independent(self) -> None:
        """It ends where an undisturbed run of option B ends."""
        target, day = self.target, datetime.now(UTC).strftime("%Y%m%d")
        new, old = target.primary(), target.branches()[f"rollback-{day}"]
        assert (new["name"], new["default"], new["protected"]) == (f"main-restored-{day}", True, True)
        assert "parent_id" not in new
        assert (old["id"], old["default"], old["protected"]) == (self.old["id"], False, False)
        assert (self.hours(new["id"]), self.hours(old["id"])) == ([3], [])
        assert target.served() == target.stored() == "good"
        self._assert_settled()

    def assert_taken_back(self) -> None:
        """It is as it was before."""
        target = self.target
        assert target.string() == self.string and target.served() == target.stored() == "spoilt"
        assert target.environ()[target.key] == target.string()
        branches = target.branches()
        main, backup = branches["main"], branches[self.backup["name"]]
        assert (main["id"], main["default"], main["protected"]) == (self.old["id"], True, True)
        assert (backup["id"], backup["default"], backup["protected"]) == (self.backup["id"], False, False)
        assert target.endpoints(backup["id"]) == []
        assert self.hours(main["id"]) == [3]
        assert not any(item["disabled"] for item in target.endpoints(main["id"]))
        self._assert_settled()

    def _assert_settled(self) -> None:
        assert not list((self.playbooks.state / "locks").glob("*.lock"))
        folder = self.playbooks.state / "journal" / self.target.name
        ends = {path.name: lines_of(path)[-1] for path in folder.glob("*.jsonl") if "-backup-" not in path.name}
        assert all(
            (end["step"], end["phase"]) != ("run", "intent") and end["step"] == "run" for end in ends.values()
        ), ends
        assert not self.target.status()["database"]["read_only"]
        assert self.target.web.post("/api/progress", json={}).status_code == 201

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self.target.coolify.post(f"/applications/{self.target.application}/stop")


@pytest.fixture
def begin(targets: Targets, control: Control) -> Iterator[Callable[[], Tale]]:
    """Begins tales, and ends them afterwards."""
    told: list[Tale] = []

    def make() -> Tale:
        told.append(Tale(targets, control))
        return told[-1]

    yield make
    for tale in told:
        tale.close()


@pytest.mark.parametrize("point", points(TELLING, ALL_OTHERS), ids=str)
def test_when_the_controller_is_killed_then_the_same_command_ends_where_an_undisturbed_run_ends(
    begin: Callable[[], Tale], point: Point
) -> None:
    """Given a promotion killed at a step, the same command again promotes, under the names of the first run."""
    tale = begin()
    tale.crash_at(point)
    tale.play("promote", branch=tale.backup["name"])
    tale.assert_promoted()


@pytest.mark.parametrize("point", points([], [*TELLING, *BEFORE_UNDO]), ids=str)
def test_when_the_controller_is_killed_then_an_undo_takes_it_back(begin: Callable[[], Tale], point: Point) -> None:
    """Given a promotion killed at a step, an undo brings back the application, names, flags and computes."""
    tale = begin()
    tale.crash_at(point)
    tale.play("undo", accept_loss=True)
    tale.assert_taken_back()


@pytest.mark.parametrize(
    "point",
    points(
        [],
        [
            Point("back_rename_new", fault=nth(CHANGE_BRANCH("hang_after"), 3)),
            Point("back_make_default", fault=SET_DEFAULT("hang_after")),
            Point("undo", fault=DEPLOY("hang_after")),
            Point("back_compute_.*"),
        ],
    ),
    ids=str,
)
def test_when_its_undo_is_killed_then_the_next_one_ends_it(begin: Callable[[], Tale], point: Point) -> None:
    """Given a finished promotion and an undo killed on the way, the next undo ends it."""
    tale = begin()
    tale.play("promote", branch=tale.backup["name"])
    tale.crash_at(point, "undo", accept_loss=True)
    tale.play("undo", accept_loss=True)
    tale.assert_taken_back()


@pytest.mark.long
@pytest.mark.parametrize(
    "point",
    [
        Point("finalize", fault=FINALIZE("hang")),
        Point("finalize", fault=FINALIZE("hang_after")),
        Point("schedule_new", fault=SET_SCHEDULE("hang_after")),
        Point("schedule_old", fault=nth(SET_SCHEDULE("hang_after"), 2)),
    ],
    ids=str,
)
def test_when_option_b_is_killed_then_the_same_command_ends_it(begin: Callable[[], Tale], point: Point) -> None:
    """Given a root that is made, or has taken its place, the same command takes it and makes no other."""
    tale = begin()
    tale.crash_at(point, option="b")
    tale.play("promote", branch=tale.backup["name"], option="b")
    tale.assert_independent()
