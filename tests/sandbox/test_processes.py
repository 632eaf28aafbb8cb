# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing outlives the daemon: child processes, PostgreSQL servers, and what they started themselves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.processes import (
    Identity,
    Processes,
    is_alive,
    postmaster_pid,
    start_mark,
    unprivileged_identity,
)
from tests.sandbox.engine_world import scratch_folder, wait_until

CLONE = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}
# A shell that ignores SIGTERM, with a child of its own.
STUBBORN = "trap '' TERM; sleep 600 & echo $! > child; wait"

DAEMON = """
import asyncio, json, sys
from pathlib import Path
from sandbox.processes import Processes
from tests.sandbox.engine_world import engine_in

async def main(folder):
    engine = engine_in(folder)
    processes = Processes(folder / "processes", engine.data_folders)
    await processes.start()
    await engine.start()
    timeline = await engine.create_root()
    await engine.ensure_running(timeline)
    child = await processes.spawn(["/bin/sh", "-c", sys.argv[2]], environment={"PATH": "/usr/bin:/bin"}, folder=folder)
    while not (folder / "child").exists():
        await asyncio.sleep(0.02)
    print(json.dumps(processes.list()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can reach."""
    with scratch_folder() as folder:
        yield folder


@contextlib.contextmanager
def _daemon(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs a script, and its first line of output. It is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CLONE,
        start_new_session=True,
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()


async def test_given_a_daemon_when_it_is_killed_then_everything_that_it_started_ends_and_a_successor_starts(
    folder: Path,
) -> None:
    """SIGKILL to its whole process group: the watchdog stops servers in order and kills what ignores SIGTERM."""
    with _daemon(DAEMON, str(folder), STUBBORN) as (daemon, listed):
        pids = {entry["kind"]: entry["pid"] for entry in json.loads(listed)}
        grandchild = int((folder / "child").read_text())
        assert set(pids) == {"watchdog", "process", "postgres"}
        assert all(is_alive(pid) for pid in (*pids.values(), grandchild))
        os.killpg(daemon.pid, signal.SIGKILL)
    successor = Processes(folder / "processes")
    await successor.start()  # waits for the watchdog
    await successor.stop()
    await wait_until(lambda: not any(is_alive(pid) for pid in (*pids.values(), grandchild)))
    logs = "".join(path.read_text() for path in (folder / "tl").glob("*.log"))
    assert "received fast shutdown request" in logs and "database system is shut down" in logs


async def test_given_children_when_the_daemon_stops_in_order_then_they_and_what_they_started_are_gone(
    folder: Path,
) -> None:
    """One that ignores SIGTERM is killed after its grace."""
    processes = Processes(folder / "processes")
    await processes.start()
    child = await processes.spawn(["/bin/sh", "-c", STUBBORN], environment=ENVIRONMENT, folder=folder)
    await wait_until(lambda: (folder / "child").exists() and (folder / "child").read_text())
    grandchild = int((folder / "child").read_text())
    assert [entry["pid"] for entry in processes.list() if entry["kind"] == "process"] == [child.pid]

    assert await processes.end(child, grace=0.2) == -signal.SIGKILL
    await wait_until(lambda: not is_alive(grandchild))
    watchdog = processes.list()[0]["pid"]
    await processes.stop()
    assert not is_alive(watchdog)
    assert list((folder / "processes" / "groups").iterdir()) == []


async def test_given_a_child_that_ends_by_itself_when_it_left_others_behind_then_those_end_too(folder: Path) -> None:
    """A server that forked into the background would keep its port."""
    processes = Processes(folder / "processes")
    await processes.start()
    script = "sleep 600 & echo $! > child; exit 3"
    child = await processes.spawn(["/bin/sh", "-c", script], environment=ENVIRONMENT, folder=folder, log=folder / "log")
    assert await child.wait() == 3
    grandchild = int((folder / "child").read_text())
    await wait_until(lambda: not is_alive(grandchild))
    await wait_until(lambda: not [entry for entry in processes.list() if entry["kind"] == "process"])
    await processes.stop()


async def test_given_a_number_that_belongs_to_a_stranger_now_when_the_watchdog_acts_then_the_stranger_lives(
    folder: Path,
) -> None:
    """A left-over lock file and a left-over group entry name a process that has nothing to do with the sandbox."""
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        data = folder / "tl" / "timeline"
        data.mkdir(parents=True)
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n")
        assert postmaster_pid(data) is None
        script = (
            "import asyncio,sys,pathlib\nfrom sandbox.processes import Processes\n"
            "async def main():\n"
            f"    folder = pathlib.Path({str(folder)!r})\n"
            "    processes = Processes(folder / 'processes', [folder / 'tl'])\n"
            "    await processes.start()\n"
            f"    (folder / 'processes' / 'groups' / '{stranger.pid}').write_text('1')\n"
            "    print('up', flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())"
        )
        with _daemon(script):
            pass
        successor = Processes(folder / "processes")
        await successor.start()
        await successor.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_given_root_when_children_must_not_be_root_then_the_caller_of_sudo_or_nobody_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ordinary user needs no other one; a number without an entry is not taken, initdb would refuse it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged_identity({}) is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    nobody = unprivileged_identity({})
    assert nobody and nobody.uid != 0
    assert unprivileged_identity({"SUDO_UID": "0"}) == nobody
    assert unprivileged_identity({"SUDO_UID": "987654"}) == nobody
    assert unprivileged_identity({"SUDO_UID": str(nobody.uid)}) == nobody
    assert isinstance(nobody, Identity)


def test_given_a_process_when_marked_then_the_mark_stays_and_ends_with_it() -> None:
    """The mark tells a process from a later one with the same number."""
    child = subprocess.Popen(["sleep", "600"])
    try:
        mark = start_mark(child.pid)
        assert mark and mark == start_mark(child.pid)
    finally:
        child.kill()
        child.wait()
    assert start_mark(child.pid) != mark
    assert not is_alive(child.pid)
