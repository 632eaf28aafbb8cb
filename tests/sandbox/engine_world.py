# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A branch engine of a test's own, without the daemon: on memory where there is some, reachable for ``nobody``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from sandbox.postgres.binaries import Binaries, find_binaries
from sandbox.postgres.engine import Engine
from sandbox.processes import Processes, unprivileged_identity

DATABASE = "quests"
OWNER = "quests_owner"
PASSWORD = "npg_test-5f0c1d7e94b84b1aa3f2"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder that other users can reach: PostgreSQL runs as ``nobody`` when the tests run as root."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    folder = Path(tempfile.mkdtemp(prefix="rewind-test-", dir=memory if usable else None))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def binaries_for(folder: Path) -> Binaries:
    """PostgreSQL as the sandbox itself would find it."""
    return find_binaries(folder / "pg", identity=unprivileged_identity())


class Kept:
    """A store section that lives in a file, as the daemon's does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.section: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def save(self) -> None:
        """Writes it."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.section))
        fresh.replace(self.path)


def engine_in(folder: Path) -> Engine:
    """An engine on what the folder holds, not started."""
    kept = Kept(folder / "store.json")
    return Engine(folder, binaries_for(folder), kept.section, kept.save)


@contextlib.asynccontextmanager
async def running_engine() -> AsyncIterator[Engine]:
    """A started engine in a folder of its own; both are gone afterwards."""
    with scratch_folder() as folder:
        engine = engine_in(folder)
        processes = Processes(folder / "processes", engine.data_folders)
        await processes.start()  # its watchdog ends the servers of a test run that is killed
        try:
            await engine.start()
            yield engine
        finally:
            await engine.stop()
            await processes.stop()


async def new_database(engine: Engine) -> str:
    """A root timeline that runs, with an owner and a database with a one-row status table."""
    timeline = await engine.create_root()
    await engine.ensure_running(timeline)
    await engine.create_role(timeline, OWNER, PASSWORD)
    await engine.create_database(timeline, DATABASE, OWNER)
    await engine.execute(timeline, "CREATE TABLE status (text text NOT NULL)", database=DATABASE)
    await engine.execute(timeline, "INSERT INTO status VALUES ('new')", database=DATABASE)
    return timeline


async def write(engine: Engine, timeline: str, text: str) -> datetime:
    """Sets the status and returns the instant at which that was committed, as PostgreSQL recorded it."""
    rows = await engine.execute(
        timeline, "UPDATE status SET text = %s RETURNING pg_current_xact_id()::text", (text,), database=DATABASE
    )
    rows = await engine.execute(timeline, "SELECT pg_xact_commit_timestamp(%s::xid)", rows[0], database=DATABASE)
    instant: datetime = rows[0][0]
    return instant


async def read(engine: Engine, timeline: str) -> str:
    """The status."""
    return str((await engine.execute(timeline, "SELECT text FROM status", database=DATABASE))[0][0])


async def read_at(engine: Engine, timeline: str, at: datetime | None = None, lsn: str | None = None) -> str:
    """The status on a new branch at an instant or LSN; the branch is deleted again."""
    branch = await engine.branch(await engine.resolve(timeline, at=at, lsn=lsn))
    try:
        await engine.ensure_running(branch)
        return await read(engine, branch)
    finally:
        await engine.delete(branch)


def connect_to(port: int, *, password: str = PASSWORD, **parameters: Any) -> Awaitable[psycopg.AsyncConnection[Any]]:
    """A client's own connection to a server's port, as the database's owner."""
    chosen = {"host": "127.0.0.1", "user": OWNER, "dbname": DATABASE, "autocommit": True, "connect_timeout": 10}
    return psycopg.AsyncConnection.connect(port=port, password=password, **{**chosen, **parameters})


async def wait_until(condition: Callable[[], Any], *, seconds: float = 20.0, what: str = "") -> None:
    """Waits for a condition (a function, or one that returns an awaitable). Fails the test after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s: {what or condition}"
        await asyncio.sleep(0.02)
