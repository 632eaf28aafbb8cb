# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that is killed at any moment, restarted, cleaned up: what is on disk and in the store always fits."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from sandbox.postgres import bases
from sandbox.postgres.engine import Engine, EngineError, HasChildren, UnknownTimeline
from sandbox.processes import Processes, is_alive, postmaster_pid
from tests.sandbox.engine_world import (
    DATABASE,
    engine_in,
    new_database,
    read,
    read_at,
    running_engine,
    scratch_folder,
    wait_until,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    """One engine for the module."""
    async with running_engine() as engine:
        yield engine


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for engines that come and go."""
    with scratch_folder() as folder:
        yield folder


def _folders(engine: Engine) -> set[str]:
    return {path.name for path in engine.site.timelines.iterdir() if path.is_dir()}


async def test_given_timelines_with_children_when_deleted_then_only_leaves_go(engine: Engine) -> None:
    """A parent's log is what its children were made from, and what theirs will be made from."""
    root = await new_database(engine)
    child = await engine.branch(await engine.head(root))
    with pytest.raises(HasChildren) as refusal:
        await engine.delete(root)
    assert refusal.value.children == [child]
    await engine.delete(child)
    await engine.delete(root)
    for timeline in (root, child):
        assert not engine.exists(timeline)
        with pytest.raises(UnknownTimeline):
            await engine.ensure_running(timeline)
    assert _folders(engine).isdisjoint({root, child})


async def test_given_a_detached_parent_when_deleted_then_its_children_keep_its_history_until_they_go(
    engine: Engine,
) -> None:
    """What Neon's detachment leaves: the parent is gone for everybody, and instants before the fork still work."""
    root = await new_database(engine)
    instant = await write(engine, root, "before the fork")
    await write(engine, root, "at the fork")
    child = await engine.branch(await engine.head(root))
    await engine.ensure_running(child)
    await engine.delete(root, keep_history=True)

    assert engine.timelines() == [child] and not engine.is_running(root)
    assert await read_at(engine, child, at=instant) == "before the fork"
    assert root in _folders(engine)
    await engine.delete(child)
    assert root not in _folders(engine)


async def test_given_a_server_that_is_killed_when_used_again_then_everything_committed_is_there(
    engine: Engine,
) -> None:
    """SIGKILL to the server itself; also a branch at its head without starting it first."""
    root = await new_database(engine)
    await write(engine, root, "committed")
    await _kill_server(engine, root)
    assert not engine.is_running(root)
    assert await read_at(engine, root) == "committed"
    await engine.ensure_running(root)
    assert await read(engine, root) == "committed"
    await engine.delete(root)


async def test_given_a_fork_whose_server_is_killed_right_after_it_was_made_when_restarted_then_it_recovers_alone(
    engine: Engine,
) -> None:
    """Its ancestors' log files are unlinked by then: its own checkpoint must not need them."""
    root = await new_database(engine)
    await write(engine, root, "forked")
    child = await engine.branch(await engine.head(root))
    await engine.ensure_running(child)
    await _kill_server(engine, child)
    await engine.ensure_running(child)
    assert await read(engine, child) == "forked"
    assert {path.name[:8] for path in (engine.site.timelines / child / "pg_wal").glob("0" * 7 + "?" * 17)} == {
        "00000002"
    }
    await engine.delete(child)
    await engine.delete(root)


async def _kill_server(engine: Engine, timeline: str) -> None:
    pid = postmaster_pid(engine.site.timelines / timeline)
    assert pid
    os.kill(pid, signal.SIGKILL)
    await wait_until(lambda: not engine.is_running(timeline) and not is_alive(pid))


async def test_given_a_fork_that_cannot_be_made_when_the_reason_is_gone_then_it_is_made(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that fails (or a full disk) leaves nothing half made."""
    root = await new_database(engine)
    child = await engine.branch(await engine.head(root))

    async def fail(timeline: str) -> None:
        assert await read(engine, timeline) == "new"
        raise RuntimeError("the passwords are not at hand")

    monkeypatch.setattr(engine, "on_materialised", fail)
    with pytest.raises(RuntimeError):
        await engine.ensure_running(child)
    assert not engine.is_running(child) and child not in _folders(engine)
    monkeypatch.setattr(engine, "on_materialised", None)
    await engine.ensure_running(child)
    assert await read(engine, child) == "new"
    await engine.delete(child)
    await engine.delete(root)


async def test_given_many_who_ask_at_once_when_a_fork_is_first_used_then_it_is_made_once(engine: Engine) -> None:
    """And a stop in between leaves it usable."""
    root = await new_database(engine)
    child = await engine.branch(await engine.head(root))
    ports = await asyncio.gather(*(engine.ensure_running(child) for _ in range(5)))
    assert len(set(ports)) == 1
    await asyncio.gather(engine.stop_timeline(child), engine.stop_timeline(child))
    assert not engine.is_running(child)
    await engine.ensure_running(child)
    assert await read(engine, child) == "new"
    await engine.delete(child)
    await engine.delete(root)


async def test_given_questions_to_a_suspended_timeline_when_answered_then_its_server_does_not_stay(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine starts it for itself and stops it a little later; nobody else sees it run."""
    monkeypatch.setattr("sandbox.postgres.servers.LINGER_SECONDS", 0.1)
    root = await new_database(engine)
    await engine.stop_timeline(root)
    assert await read(engine, root) == "new"
    assert not engine.is_running(root)
    await wait_until(lambda: postmaster_pid(engine.site.timelines / root) is None)
    assert await engine.size(root) is None
    assert await read(engine, root) == "new"
    size = await engine.size(root)
    assert size and size > 1 << 20
    await engine.delete(root)


async def test_given_much_written_when_branched_then_a_copy_is_taken_from_which_later_forks_start(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is made while writing goes on, and a fork after it does not read the log before it."""
    monkeypatch.setattr(bases, "LOG_BYTES", 2 << 20)
    root = await new_database(engine)
    fill = "INSERT INTO status SELECT repeat(md5(n::text), 8) FROM generate_series(1, 20000) n"
    await engine.execute(root, fill, database=DATABASE)
    early = await engine.branch(await engine.head(root))
    await wait_until(lambda: len(engine.site.catalog.get(root).bases) == 2, what="a copy is taken")
    await engine.execute(root, "DELETE FROM status WHERE text <> 'new'", database=DATABASE)
    instant = await write(engine, root, "after the copy")
    await write(engine, root, "later")

    late = await engine.branch(await engine.resolve(root, at=instant))
    copy = engine.site.catalog.get(root).bases[1]
    first_needed = copy.start - copy.start % (1 << 20)
    hidden = [path for path in _log_files(engine, root) if _position(path) < first_needed]
    assert hidden
    for path in hidden:
        path.rename(path.with_suffix(".hidden"))
    await engine.ensure_running(late)
    assert await read(engine, late) == "after the copy"
    with pytest.raises(EngineError, match="PostgreSQL did not start"):
        monkeypatch.setattr("sandbox.postgres.cluster.START_SECONDS", 2)
        await engine.ensure_running(early)
    for path in hidden:
        path.with_suffix(".hidden").rename(path)
    await engine.ensure_running(early)
    assert await engine.execute(early, "SELECT count(*) FROM status", database=DATABASE) == [(20001,)]
    for timeline in (early, late, root):
        await engine.delete(timeline)
    assert list(engine.site.bases.iterdir()) == []


def _log_files(engine: Engine, timeline: str) -> list[Path]:
    return [path for path in (engine.site.timelines / timeline / "pg_wal").iterdir() if len(path.name) == 24]


def _position(path: Path) -> int:
    return (int(path.name[8:16], 16) << 32) + int(path.name[16:], 16) * (1 << 20)


async def test_given_an_engine_that_was_killed_when_another_starts_then_it_repairs_what_was_under_way(
    folder: Path,
) -> None:
    """Half-made and half-deleted timelines, folders that nobody knows, servers that still run, stale lock files."""
    engine = engine_in(folder)
    await engine.start()
    root = await new_database(engine)
    instant = await write(engine, root, "kept")
    half_made = await engine.branch(await engine.resolve(root, at=instant))
    half_gone = await engine.branch(await engine.head(root))
    await engine.ensure_running(half_gone)
    await engine.open_time_travel(root, at=instant)
    store = json.loads((folder / "store.json").read_text())
    store["timelines"][half_made]["state"] = "building"
    store["timelines"][half_gone]["state"] = "deleting"
    (folder / "store.json").write_text(json.dumps(store))
    for name in (half_made, "unknown"):
        shutil.copytree(engine.site.template.folder, engine.site.timelines / name)
    pids = [pid for data in _running(engine) if (pid := postmaster_pid(data))]
    assert len(pids) == 3

    successor = engine_in(folder)  # the first one is not stopped: its servers still run
    await successor.start()
    assert [pid for pid in pids if is_alive(pid) and postmaster_pid(successor.site.timelines / root) == pid] == []
    assert _folders(successor) == {root}
    assert list(successor.site.past.iterdir()) == []
    assert set(successor.timelines()) == {root, half_made}
    (successor.site.timelines / root / "postmaster.pid").write_text(
        f"{os.getpid()}\n/elsewhere\n1\n5432\n\n\n\nready\n"
    )
    again = engine_in(folder)
    await again.start()
    await again.ensure_running(half_made)
    assert await read(again, half_made) == "kept"
    assert await read(again, root) == "kept"
    await again.stop()
    await engine.stop()


def _running(engine: Engine) -> list[Path]:
    return [path.parent for parent in engine.data_folders for path in parent.glob("*/postmaster.pid")]


KILLED = """
import asyncio, sys
from pathlib import Path
from sandbox.processes import Processes
from tests.sandbox.engine_world import engine_in, new_database, write

async def main(folder):
    engine = engine_in(folder)
    processes = Processes(folder / "processes", engine.data_folders)
    await processes.start()
    await engine.start()
    root = await new_database(engine)
    print(root, flush=True)
    number = 0
    while True:
        number += 1
        await write(engine, root, str(number))
        print(number, flush=True)
        branch = await engine.branch(await engine.head(root))
        await engine.ensure_running(branch)
        if number % 2:
            await engine.delete(branch)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("after", [1, 3])
async def test_given_a_daemon_that_works_when_it_is_killed_then_what_it_reported_is_there_after_the_next_start(
    folder: Path, after: int
) -> None:
    """SIGKILL while it makes and deletes forks: acknowledged writes are kept, every known timeline can be used."""
    clone = Path(__file__).resolve().parents[2]
    daemon = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=clone,
        start_new_session=True,
    )
    assert daemon.stdout
    try:
        root = daemon.stdout.readline().strip()
        seen = [int(daemon.stdout.readline()) for _ in range(after)][-1]
    finally:
        daemon.kill()
    rest = daemon.stdout.read().split()
    daemon.wait()

    engine = engine_in(folder)
    processes = Processes(folder / "processes", engine.data_folders)
    await processes.start()  # once the watchdog of the killed one has done its work
    await engine.start()
    try:
        assert int(await read(engine, root)) >= max([seen, *map(int, rest)])
        for timeline in engine.timelines():
            await engine.ensure_running(timeline)
            assert int(await read(engine, timeline)) >= 1
    finally:
        await engine.stop()
        await processes.stop()


async def test_given_data_of_another_major_version_when_started_then_it_says_what_to_do(folder: Path) -> None:
    """Upgrading the programs does not upgrade the data."""
    engine = engine_in(folder)
    await engine.start()
    root = await engine.create_root()
    await engine.stop()
    (engine.site.timelines / root / "PG_VERSION").write_text("13\n")
    with pytest.raises(EngineError, match=r"made by PostgreSQL 13.*reset the sandbox"):
        await engine_in(folder).start()


async def test_given_an_engine_that_stopped_when_started_again_then_nothing_runs_and_everything_is_there(
    folder: Path,
) -> None:
    """A stop under open sessions ends them; data and roles stay."""
    engine = engine_in(folder)
    await engine.start()
    root = await new_database(engine)
    port = await engine.ensure_running(root)
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user="quests_owner", password="npg_test-5f0c1d7e94b84b1aa3f2", dbname=DATABASE
    )
    await engine.stop()
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    assert _running(engine) == []

    engine = engine_in(folder)
    await engine.start()
    assert not engine.is_running(root)
    assert await read(engine, root) == "new"
    await engine.stop()
