# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs over many targets: who is left alone, what each says of itself, and the report over all of them."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.rewind.database.plugins.filter.fleet import batches, fleet_failed_before
from ansible_collections.rewind.database.plugins.module_utils import _books, _fleet, _waiter
from ansible_collections.rewind.database.plugins.module_utils._errors import Refused
from ansible_collections.rewind.database.plugins.module_utils._lock import Locks
from ansible_collections.rewind.database.plugins.module_utils._process import Owner, describe
from ansible_collections.rewind.database.plugins.modules import run_lock
from ansible_collections.rewind.database.tests.unit.tools import task_of

MINE, OTHER = "20250113T142500Z-fleet-aaaaaa", "20250113T142500Z-fleet-bbbbbb"


@pytest.fixture(autouse=True)
def _this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process stands in for ansible-playbook."""
    monkeypatch.setattr(_books, "playbook_owner", lambda: describe(os.getpid()))


def take(folder: Path, run: str, seconds: float = 30.0, target: str = "one") -> dict[str, Any]:
    """The module's own ``run``, as a worker calls it."""
    options = {
        "action": "take",
        "names": ["neon:p"],
        "run": run,
        "verb": "fleet",
        "target": target,
        "wait_timeout": seconds,
        "state_dir": str(folder),
    }
    return run_lock.run(task_of(run_lock.SPEC, options))


def test_targets_of_one_run_wait_for_each_other(tmp_path: Path) -> None:
    """Given four targets on one project, then each gets the lock, and never two at once."""
    working, most, done = 0, 0, []
    guard = threading.Lock()

    def work(number: int) -> None:
        nonlocal working, most
        run = f"20250113T142500Z-fleet-{number:06x}"
        take(tmp_path, run, target=f"t{number}")
        with guard:
            working += 1
            most = max(most, working)
        time.sleep(0.01)
        with guard:
            working -= 1
            done.append(number)
        Locks(tmp_path, describe(os.getpid())).release(run)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (most, sorted(done)) == (1, [0, 1, 2, 3])


def test_what_another_run_holds_is_not_waited_for(tmp_path: Path) -> None:
    """Given a lock of another ansible-playbook, or one kept for a stuck run, then it is refused at once."""
    elsewhere = Owner(host="elsewhere", machine="m", boot_id="b", pid_namespace="n", pid=1, start_time="1")
    Locks(tmp_path, elsewhere).take(["neon:p"], OTHER, "two")
    began = time.monotonic()
    with pytest.raises(Refused, match="cannot be seen from"):
        take(tmp_path, MINE)
    locks = Locks(tmp_path / "stuck", describe(os.getpid()))
    locks.take(["neon:p"], OTHER, "two")
    locks.keep(OTHER, OTHER)
    with pytest.raises(Refused, match="it is kept for"):
        take(tmp_path / "stuck", MINE)
    assert time.monotonic() - began < 5.0


def test_waiting_ends_and_without_it_nothing_is_waited_for(tmp_path: Path) -> None:
    """Given a target of the same run that does not get on, then the other one is told after its time, who it was."""
    take(tmp_path, OTHER, target="two")
    for seconds in (0.0, 0.6):
        began = time.monotonic()
        with pytest.raises(Refused, match=OTHER) as caught:
            take(tmp_path, MINE, seconds)
        assert seconds <= time.monotonic() - began < seconds + 5.0
        # One that waited in vain for its own kind has failed; it was not skipped for another run.
        assert caught.value.code == ("queue_timeout" if seconds else "locked_by_run")


class Clock:
    """A clock that each look at the lock moves on; `then` is done at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: dict[float, Callable[[], object]] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)
        for at in [at for at in self.then if at <= self.now]:
            self.then.pop(at)()


def test_a_queue_of_many_is_waited_for_as_long_as_it_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given thirty targets before it that take most of the time each, then the last one gets its turn all the same."""
    clock, locks = Clock(), Locks(tmp_path, describe(os.getpid()))
    monkeypatch.setattr(_waiter, "CLOCK", clock)
    runs = [f"20250113T142500Z-fleet-{number:06x}" for number in range(30)]

    def next_one(number: int) -> None:
        locks.release(runs[number])
        if number + 1 < len(runs):
            locks.take(["neon:p"], runs[number + 1], f"t{number + 1}")
            clock.then[clock.now + 50] = lambda: next_one(number + 1)

    locks.take(["neon:p"], runs[0], "t0")
    clock.then[50] = lambda: next_one(0)
    assert take(tmp_path, MINE, seconds=60)["locks"][0]["run"] == MINE
    assert clock.now >= 30 * 50


def lock(**more: Any) -> dict[str, Any]:
    return {
        "name": "neon:p",
        "state": "held",
        "run": OTHER,
        "owner": {"pid": 7, "host": "db1"},
        "taken_at": "2025-01-13T14:25:00Z",
        **more,
    }


def test_a_target_is_left_alone_only_while_somebody_works_on_it() -> None:
    """Given locks, then one that is held counts; a stale, a stuck run's, another project's and a broken one do not."""
    said = _fleet.held_by_others([lock()], ["neon:p"])
    assert said.startswith(f"Run {OTHER} holds neon:p (process 7 on db1, since 2025-01-13T14:25:00Z)")
    elsewhere = _fleet.held_by_others([lock(state="other_host")], ["neon:p"])
    assert "cannot be seen from this host" in elsewhere and f"-e break_lock={OTHER}" in elsewhere
    assert "break_lock" not in said
    for other in (lock(state="stale"), lock(state="kept"), lock(name="neon:q")):
        assert _fleet.held_by_others([other], ["neon:p"]) == ""
    assert _fleet.held_by_others([lock()], ["neon:p"], break_lock=OTHER) == ""


def test_only_the_message_of_a_lock_counts_as_being_refused_by_it() -> None:
    """Given what tasks that take locks have registered, then another failure, or a stuck run, is a failure."""
    held = {"msg": "take the lock neon:p: held", "error": {"code": "locked_by_run", "retryable": True}}
    stuck = {**held, "error": {"code": "locked_by_run", "retryable": False}}
    assert _fleet.refused_by_lock("Not restored: take the lock neon:p: held", [{}, held])
    assert not _fleet.refused_by_lock("the project does not exist", [{}, held])
    assert not _fleet.refused_by_lock("take the lock neon:p: held", [{}, stuck])


@pytest.mark.parametrize(
    ("verb", "result", "text"),
    [
        ("backup", {"name": "backup-x", "changed": True}, "backup-x"),
        ("backup", {"name": "backup-x", "changed": False}, "backup-x, there already"),
        ("audit", {"summary": {"OK": 37, "WARN": 1, "FAILED": 0}}, "37 OK, 1 WARN"),
        ("cleanup", {"confirmed": True, "deleted": [1, 2], "deleted_snapshots": [3]}, "3 deleted"),
        ("drill", {"mode": "pitr", "seconds": 41.4}, "pitr, proven in 41 s"),
        ("incident", {"outcome": "already_done"}, "already done"),
        ("undo", {"run": "r"}, "run r is taken back"),
        ("predeploy", {"backup": ""}, "no backup is needed"),
        ("promote", {"branch": {"name": "main"}}, "main is the primary"),
        (
            "restore",
            {"changed": True, "plan": {"restore_point": {"utc": "14:25"}, "strategy": {"chosen": "repoint"}}},
            "14:25 by repoint",
        ),
        ("restore", {}, "the restore point by a cutover, there already"),
    ],
)
def test_a_target_says_in_a_line_what_came_of_it(verb: str, result: dict[str, Any], text: str) -> None:
    """Given the public fact of a role, then the line says what a person wants to know of it."""
    assert _fleet.said(verb, result) == text


def test_the_report_has_a_line_per_target_within_the_width(seed: int) -> None:
    """Given any outcomes, names and messages, then every target is there once, nothing is too wide, all is counted."""
    rng = random.Random(seed)
    words = ["branch", "br-calm-sea-a1b2c3d4", "does", "not", "exist", "in", "x" * 90]
    rows: list[dict[str, Any]] = [
        {
            "target": f"{rng.choice(('shop', 'a-rather-long-name-of-a-target-in-production'))}-{number}",
            "outcome": rng.choice(_fleet.OUTCOMES),
            "seconds": rng.random() * 2000,
            "message": " ".join(rng.choices(words, k=rng.randrange(60))),
        }
        for number in range(50)
    ]
    made = _fleet.report("restore", rows)
    assert max(map(len, made["text"])) <= 71 or any(len(row["target"]) > 60 for row in rows)
    assert sum(made["counts"].values()) == 50 == len(made["lines"]) == len(made["targets"])
    text = "\n".join(made["text"])
    assert all(row["target"] in text for row in rows)
    assert made["again"] == [row["target"] for row in rows if row["outcome"] != "OK"]
    assert made["ok"] == (made["counts"]["FAILED"] == 0)


def test_a_target_without_an_outcome_has_failed() -> None:
    """Given a target of which nothing is known, then nobody takes it for a success."""
    made = _fleet.report("backup", [{"target": "shop"}])
    assert (made["ok"], made["counts"]["FAILED"]) == (False, 1)


@pytest.mark.parametrize(
    ("said", "sizes"),
    [
        ("100%", ["100%"]),
        ("1,5,100%", ["1", "5", "100%"]),
        (5, ["5"]),
        ([1, "50%"], ["1", "50%"]),
        (" 1 , 2 ", ["1", "2"]),
    ],
)
def test_batches_are_read_as_a_person_writes_them(said: Any, sizes: list[str]) -> None:
    """Given numbers and shares, as text or as a list, then they are what the play keyword takes."""
    assert batches(said) == sizes


@pytest.mark.parametrize("said", ["few", "0", "1,,2", "-1", "1.5", ""])
def test_other_batches_are_refused(said: str) -> None:
    """Given what is no size, then it is named."""
    with pytest.raises(AnsibleFilterError, match="is no number of targets and no share"):
        batches(said)


@pytest.mark.parametrize(
    ("sizes", "first", "expected"),
    [
        ("100%", "b", []),
        ("100%", "e", ["d"]),
        ("1,100%", "b", ["a"]),
        ("2,100%", "b", []),
        ("2", "c", ["a"]),
        ("2", "e", ["a", "d"]),
        ("10%,30%", "c", ["a"]),
        (["1", "40%"], "b", ["a"]),
        ("4", "e", ["a", "d"]),
    ],
)
def test_a_batch_waits_for_those_before_it_and_not_for_who_is_out(sizes: Any, first: str, expected: list[str]) -> None:
    """Given a target that was out before its turn, and one that failed in it, then the one stops the batches after its
    own only, and the other all that come after it."""
    rows = [{"target": "a"}, {"target": "b", "outcome": "OK"}, {"target": "c", "outcome": "skipped"},
            {"target": "d", "outcome": "FAILED"}, {"target": "e"}]  # fmt: skip
    assert fleet_failed_before(rows, first, sizes) == expected
