# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks: who gets them, who is kept out, and which are stale."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _process
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.rewind.database.plugins.module_utils._lock import Locks
from ansible_collections.rewind.database.plugins.module_utils._process import Owner, describe

RUN, OTHER = "20250113T142500Z-restore-aaaaaa", "20250113T142501Z-backup-bbbbbb"
NAMES = ["neon:late-frost-12345678", "coolify:vgcs8wo48g4kcwg0k4o0cwkk"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Some process that runs until it is told to end."""
    running = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield running
    running.kill()
    running.communicate()


@pytest.fixture
def mine() -> Owner:
    return describe(os.getpid())


@pytest.fixture
def locks(tmp_path: Path, mine: Owner) -> Locks:
    return Locks(tmp_path, mine)


def test_a_lock_names_its_run_and_its_process(locks: Locks, mine: Owner) -> None:
    """Given free locks, when they are taken, then private files say which run, machine and process hold them."""
    taken = locks.take(NAMES, RUN, "tracker")
    assert [lock.name for lock in taken] == sorted(NAMES)
    content = json.loads(taken[0].path.read_text())
    assert content["run"] == RUN and content["target"] == "tracker"
    assert {key: content[key] for key in ("host", "boot_id", "pid", "start_time")} == {
        "host": mine.host,
        "boot_id": mine.boot_id,
        "pid": os.getpid(),
        "start_time": mine.start_time,
    }
    assert mine.boot_id and mine.start_time
    assert stat.S_IMODE(taken[0].path.stat().st_mode) == 0o600
    assert [lock.state for lock in locks.listed()] == ["held", "held"]


def test_the_same_run_may_take_its_locks_again(locks: Locks) -> None:
    """Given locks that a run holds, when the same process takes them for it again, then they are simply held."""
    first = locks.take(NAMES, RUN, "tracker")
    assert locks.take(NAMES, RUN, "tracker") == first


def test_another_run_is_kept_out_and_told_who_is_inside(
    locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    """Given a lock of a living process, when another run takes it, then it is refused, and may not break it either."""
    Locks(tmp_path, describe(process.pid)).take(NAMES[:1], OTHER, "tracker")
    for broken in (None, OTHER):
        with pytest.raises(Refused, match=f"run {OTHER} .process {process.pid} .* is still running"):
            locks.take(NAMES, RUN, "tracker", break_run=broken)
    assert [lock.run for lock in locks.listed()] == [OTHER]


def test_all_are_taken_or_none(locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    """Given the last of three locks held by another, when all are taken, then none of the first two is kept."""
    Locks(tmp_path, describe(process.pid)).take(["c"], OTHER, "tracker")
    with pytest.raises(Refused):
        locks.take(["a", "b", "c"], RUN, "tracker")
    assert [(lock.name, lock.run) for lock in locks.listed()] == [("c", OTHER)]


def test_the_lock_of_a_killed_process_is_taken_over(
    locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    """Given a lock whose process was killed, when another run takes it, then it gets it."""
    Locks(tmp_path, describe(process.pid)).take(["a"], OTHER, "tracker")
    process.kill()
    process.wait()
    assert [lock.state for lock in locks.listed()] == ["stale"]
    assert locks.take(["a"], RUN, "tracker")[0].run == RUN


def test_a_zombie_holds_nothing(locks: Locks, tmp_path: Path) -> None:
    """Given a process that ended and that nobody has waited for yet, then its lock is stale."""
    ended = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    Locks(tmp_path, describe(ended.pid)).take(["a"], OTHER, "tracker")
    assert ended.stdout is not None
    ended.stdout.read()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert locks.listed()[0].state == "stale"
    ended.wait()


def test_a_pid_used_again_does_not_keep_a_lock_alive(locks: Locks, tmp_path: Path, mine: Owner) -> None:
    """Given a lock whose pid now belongs to a later process, then it is stale: the start times differ."""
    Locks(tmp_path, replace(mine, start_time="1")).take(["a"], OTHER, "tracker")
    assert locks.listed()[0].state == "stale"


def test_a_lock_from_before_the_last_boot_is_stale(locks: Locks, tmp_path: Path, mine: Owner) -> None:
    """Given a lock of this machine with another boot id, then it is stale although its pid runs."""
    Locks(tmp_path, replace(mine, boot_id="another")).take(["a"], OTHER, "tracker")
    assert locks.listed()[0].state == "stale"


@pytest.mark.parametrize("difference", [{"host": "elsewhere"}, {"machine": "other"}, {"pid_namespace": "pid:[1]"}])
def test_a_lock_from_elsewhere_is_broken_only_by_naming_its_run(
    locks: Locks, tmp_path: Path, mine: Owner, difference: dict[str, str]
) -> None:
    """Given a lock of another machine or container, however old, then only its own run's name breaks it."""
    away = Locks(
        tmp_path, replace(mine, pid=1, start_time="1", boot_id=difference.get("host", mine.boot_id), **difference)
    )
    path = away.take(["a"], OTHER, "tracker")[0].path
    os.utime(path, (0, 0))
    for broken in (None, RUN):
        with pytest.raises(Refused) as caught:
            locks.take(["a"], RUN, "tracker", break_run=broken)
        assert f"-e break_lock={OTHER}" in caught.value.hint
    assert locks.take(["a"], RUN, "tracker", break_run=OTHER)[0].run == RUN


def _stuck(tmp_path: Path, process: subprocess.Popen[bytes]) -> Locks:
    """The locks of a run that ended stuck, in a process that is gone; it had gone on with the run `OTHER`."""
    ended = Locks(tmp_path, describe(process.pid))
    ended.take(NAMES, "20250113T142502Z-restore-cccccc", "tracker")
    kept = ended.keep("20250113T142502Z-restore-cccccc", OTHER, NAMES)
    assert [(lock.state, lock.kept_for) for lock in kept] == [("kept", OTHER)] * 2
    process.kill()
    process.wait()
    return ended


def test_a_stuck_run_keeps_its_locks_beyond_its_process(
    locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    """Given locks kept for a stuck run, others are refused, and told how to take that run back and how to break it."""
    _stuck(tmp_path, process)
    assert [lock.state for lock in locks.listed()] == ["kept", "kept"]
    for broken in (None, RUN):
        with pytest.raises(Refused, match=f"run {OTHER}, which is stuck") as caught:
            locks.take(NAMES, RUN, "tracker", break_run=broken)
        assert f"playbooks/undo.yml -e target=tracker -e run={OTHER}" in caught.value.hint
        assert f"-e break_lock={OTHER}" in caught.value.hint
    assert locks.take(NAMES, RUN, "tracker", break_run=OTHER)[0].kept_for == ""
    assert locks.release(RUN, NAMES)
    assert locks.listed() == []


def test_the_undo_of_a_stuck_run_takes_its_locks_over_and_releases_them(
    locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    """Given locks kept for a stuck run, the undo of that run gets them and frees them; that of another run does not."""
    _stuck(tmp_path, process)
    with pytest.raises(Refused):
        locks.take(NAMES, RUN, "tracker", stuck_run="20250113T142500Z-restore-dddddd")
    taken = locks.take(NAMES, RUN, "tracker", stuck_run=OTHER)
    assert [(lock.state, lock.kept_for, lock.kept_at) for lock in taken] == [("held", OTHER, "")] * 2
    assert locks.take(NAMES, RUN, "tracker", stuck_run=OTHER) == taken
    assert len(locks.release(RUN, NAMES)) == 2
    assert locks.listed() == []


def test_an_undo_of_a_stuck_run_that_is_killed_leaves_the_locks_kept(
    locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    """Given an undo that took the locks of a stuck run over and is killed, then they are as they were before it."""
    _stuck(tmp_path, process)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as undo:
        Locks(tmp_path, describe(undo.pid)).take(NAMES, RUN, "tracker", stuck_run=OTHER)
        with pytest.raises(Refused, match="is still running"):
            locks.take(NAMES, "20250113T142503Z-undo-eeeeee", "tracker", stuck_run=OTHER)
        undo.kill()
        undo.wait()
    assert [lock.state for lock in locks.listed()] == ["kept", "kept"]
    assert locks.take(NAMES, "20250113T142503Z-undo-eeeeee", "tracker", stuck_run=OTHER)


def test_what_a_stuck_run_keeps_is_not_given_up_when_another_lock_is_refused(
    locks: Locks, tmp_path: Path, process: subprocess.Popen[bytes], mine: Owner
) -> None:
    """Given one lock kept for a stuck run and one that another run holds, the undo gets neither, and both stay."""
    _stuck(tmp_path, process)
    held = sorted(NAMES)[1]
    Locks(tmp_path, replace(mine, host="elsewhere")).take([held], RUN, "tracker", break_run=OTHER)
    with pytest.raises(Refused, match="cannot be seen"):
        locks.take(NAMES, "20250113T142503Z-undo-eeeeee", "tracker", stuck_run=OTHER)
    assert [lock.state for lock in locks.listed()] == ["kept", "other_host"]


def test_a_run_keeps_only_its_own_locks(locks: Locks, tmp_path: Path) -> None:
    """Given locks of another run, then they cannot be kept; in check mode nothing is."""
    locks.take(["a"], OTHER, "tracker")
    with pytest.raises(Refused, match=f"belongs to run {OTHER}"):
        locks.keep(RUN, RUN, ["a"])
    Locks(tmp_path, locks.owner, write=False).keep(OTHER, OTHER, ["a"])
    assert [lock.state for lock in locks.listed()] == ["held"]


def test_a_check_of_the_undo_of_a_stuck_run_finds_no_conflict(
    tmp_path: Path, process: subprocess.Popen[bytes], mine: Owner
) -> None:
    """Given locks kept for a stuck run, check mode predicts them for its undo, and names that run to all others."""
    _stuck(tmp_path, process)
    checking = Locks(tmp_path, mine, write=False)
    assert {lock.state for lock in checking.take(NAMES, RUN, "tracker", stuck_run=OTHER)} == {"predicted"}
    assert {lock.who.split(",")[0] for lock in checking.take(NAMES, RUN, "tracker")} == {f"run {OTHER}"}
    assert [lock.state for lock in checking.listed()] == ["kept", "kept"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run": 1}', b"\xff\xfe"])
def test_an_unreadable_lock_is_held_until_somebody_says_so(locks: Locks, content: bytes) -> None:
    """Given a lock file that says nothing, then it keeps everybody out until break_lock=unreadable."""
    locks.take(["a"], OTHER, "tracker")[0].path.write_bytes(content)
    with pytest.raises(Refused, match="run unreadable"):
        locks.take(["a"], RUN, "tracker")
    assert locks.take(["a"], RUN, "tracker", break_run="unreadable")[0].run == RUN


def test_only_the_owner_releases(locks: Locks) -> None:
    """Given locks of two runs, when one names the other's, then that is refused; without names it releases its own."""
    locks.take(["a", "b"], RUN, "tracker")
    locks.take(["c"], OTHER, "tracker")
    with pytest.raises(Refused, match=f"belongs to run {OTHER}"):
        locks.release(RUN, ["b", "c"])
    assert len(locks.listed()) == 3
    assert [lock.name for lock in locks.release(RUN)] == ["a", "b"]
    assert [lock.name for lock in locks.listed()] == ["c"]
    assert locks.release(RUN, ["a"]) == []


def test_of_many_at_once_exactly_one_gets_it(tmp_path: Path, mine: Owner) -> None:
    """Given twenty runs that take one stale lock at the same time, then one has it and the others are refused."""
    Locks(tmp_path, replace(mine, start_time="1")).take(["a"], OTHER, "tracker")
    barrier = threading.Barrier(20)
    got: list[str] = []

    def attempt(number: int) -> None:
        run = f"20250113T142500Z-restore-{number:06x}"
        barrier.wait()
        with contextlib.suppress(Refused):
            got.append(Locks(tmp_path, mine).take(["a"], run, "tracker")[0].run)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert [lock.run for lock in Locks(tmp_path, mine).listed()] == got


def test_it_works_where_files_cannot_be_linked(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a file system without hard links, then locks are taken, and exclude each other all the same."""

    def refuse(*_paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert locks.take(["a"], RUN, "tracker")[0].run == RUN
    with pytest.raises(Refused):
        locks.take(["a"], OTHER, "tracker")
    assert not list(locks.folder.glob(".*draft"))


def test_check_mode_takes_breaks_and_releases_nothing(tmp_path: Path, mine: Owner) -> None:
    """Given check mode, when locks are taken and released, the folder is as it was."""
    checking = Locks(tmp_path / "state", mine, write=False)
    assert [lock.state for lock in checking.take(["a"], RUN, "tracker")] == ["predicted"]
    assert not (tmp_path / "state").exists()
    Locks(tmp_path / "state", mine).take(["a"], OTHER, "tracker")
    assert [lock.run for lock in checking.take(["a"], RUN, "tracker")] == [OTHER]
    assert [lock.run for lock in checking.release(OTHER)] == [OTHER]
    assert checking.release(RUN, ["a"]) == checking.keep(RUN, RUN, ["a"]) == []
    assert [lock.run for lock in checking.listed()] == [OTHER]


def test_hostile_names_stay_in_the_folder(locks: Locks) -> None:
    """Given a name with slashes and dots, then its file lies in the folder and the name comes back as it was."""
    lock = locks.take(["../../x", ".guard"], RUN, "tracker")
    assert all(item.path.parent == locks.folder for item in lock)
    assert {item.name for item in locks.listed()} == {"../../x", ".guard"}
    with pytest.raises(InvalidInput, match="none is named"):
        locks.take([], RUN, "tracker")


def test_without_an_ansible_playbook_there_is_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a process that no ansible-playbook has started, then nothing is locked."""
    monkeypatch.setattr(_process, "_is_ansible", lambda _pid: False)
    with pytest.raises(Refused, match="not among this process's ancestors"):
        _process.playbook_owner()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/venv/bin/python3", "/venv/bin/ansible-playbook", "x.yml"], True),
        (["/venv/bin/python3.11", "-u", "/venv/bin/ansible-playbook"], True),
        (["ansible-playbook", "x.yml"], True),
        (["python3", "-m", "ansible", "playbook"], True),
        (["/bin/sh", "-c", "ansible-playbook x.yml"], False),
        (["vim", "/venv/bin/ansible-playbook"], False),
        (["python3", "/var/tmp/ansible-tmp-1/AnsiballZ_run_lock.py"], False),
        ([], False),
    ],
)
def test_an_ansible_program_is_told_by_what_runs(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: bool
) -> None:
    """Given a command line, then it is ansible's only where that is the program, never where it is an argument."""
    monkeypatch.setattr(_process, "_command", lambda _pid: words)
    assert _process._is_ansible(1234) is expected
