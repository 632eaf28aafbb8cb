# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Branches of real PostgreSQL at instants and LSNs: exactly what was committed by then is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from sandbox.postgres.engine import BeforeHistory, Engine
from tests.sandbox.engine_world import (
    DATABASE,
    OWNER,
    connect_to,
    new_database,
    read,
    read_at,
    running_engine,
    wait_until,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
MICROSECOND = timedelta(microseconds=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    """One engine for the module; every test makes its own root."""
    async with running_engine() as engine:
        yield engine


async def _lsn(engine: Engine, timeline: str) -> str:
    return str((await engine.execute(timeline, "SELECT pg_current_wal_insert_lsn()::text"))[0][0])


async def test_given_ten_texts_within_moments_when_branched_at_each_then_exactly_that_text_is_there(
    engine: Engine,
) -> None:
    """Several of the instants lie within one second; each is checked on itself and a microsecond to both sides."""
    root = await new_database(engine)
    texts = [f"restore point {number}" for number in range(10)]
    instants = [await write(engine, root, text) for text in texts]
    assert len({instant.replace(microsecond=0) for instant in instants}) < 10

    for number, (text, instant) in enumerate(zip(texts, instants, strict=True)):
        assert await read_at(engine, root, at=instant) == text
        if number % 3 == 0:
            assert await read_at(engine, root, at=instant + MICROSECOND) == text
            before = texts[number - 1] if number else "new"
            assert await read_at(engine, root, at=instant - MICROSECOND) == before
    await engine.stop_timeline(root)


async def test_given_positions_between_writes_when_branched_at_each_lsn_then_the_writes_before_it_are_there(
    engine: Engine,
) -> None:
    """Also with an LSN in the middle of a record, one beyond the end, and one before the beginning."""
    root = await new_database(engine)
    await write(engine, root, "first")
    between = await _lsn(engine, root)
    await write(engine, root, "second")

    assert await read_at(engine, root, lsn=between) == "first"
    high, low = between.split("/")
    assert await read_at(engine, root, lsn=f"{high}/{int(low, 16) + 3:X}") == "first"
    assert await read_at(engine, root, lsn="FFFF/0") == "second"
    assert (await engine.resolve(root, lsn=between)).time < datetime.now(UTC)
    with pytest.raises(BeforeHistory):
        await engine.resolve(root, lsn="0/1000")
    with pytest.raises(ValueError, match="not an LSN"):
        await engine.resolve(root, lsn="main")
    await engine.stop_timeline(root)


async def test_given_an_instant_without_zone_or_before_the_root_when_resolved_then_it_is_refused(
    engine: Engine,
) -> None:
    """Nothing is guessed: no zone, no answer; no history, no nearest available."""
    root = await new_database(engine)
    with pytest.raises(ValueError, match="time zone"):
        await engine.resolve(root, at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(BeforeHistory):
        await engine.resolve(root, at=datetime(2020, 1, 1, tzinfo=UTC))
    future = await engine.resolve(root, at=datetime.now(UTC) + timedelta(days=1))
    assert future.time <= datetime.now(UTC)
    await engine.stop_timeline(root)


async def test_given_branches_of_branches_when_asked_for_old_instants_then_the_ancestors_answer(
    engine: Engine,
) -> None:
    """A grandchild finds instants of its own, of its parent before the fork, and of the root before that."""
    root = await new_database(engine)
    in_root = await write(engine, root, "root")
    child = await engine.branch(await engine.head(root))
    await engine.ensure_running(child)
    await write(engine, root, "root, after the fork")
    in_child = await write(engine, child, "child")
    grandchild = await engine.branch(await engine.resolve(child, at=in_child))
    await engine.ensure_running(grandchild)
    await write(engine, child, "child, after the fork")
    in_grandchild = await write(engine, grandchild, "grandchild")
    great = await engine.branch(await engine.head(grandchild))
    await engine.ensure_running(great)

    assert await read(engine, great) == "grandchild"
    assert await read_at(engine, great, at=in_grandchild) == "grandchild"
    assert await read_at(engine, great, at=in_child) == "child"
    assert await read_at(engine, great, at=in_child - MICROSECOND) == "root"
    assert await read_at(engine, great, at=in_root) == "root"
    assert await read(engine, root) == "root, after the fork"
    for timeline in (great, grandchild, child, root):
        await engine.delete(timeline)


async def test_given_a_branch_that_was_never_used_when_branched_then_the_result_continues_the_first_with_data(
    engine: Engine,
) -> None:
    """Forking costs nothing until data is needed; a fork of such a fork belongs to the one that has a log."""
    root = await new_database(engine)
    await write(engine, root, "kept")
    lazy = await engine.branch(await engine.head(root))
    lazier = await engine.branch(await engine.head(lazy))
    await write(engine, root, "later")

    assert not (engine.site.timelines / lazier).exists()
    assert engine.children(root) == [lazy, lazier]
    await engine.delete(lazy)
    await engine.ensure_running(lazier)
    assert await read(engine, lazier) == "kept"
    await engine.delete(lazier)
    await engine.stop_timeline(root)


async def test_given_a_suspended_timeline_when_branched_at_its_head_then_everything_is_there_and_it_stays_suspended(
    engine: Engine,
) -> None:
    """The end of a log that nobody writes to is the record of its shutdown."""
    root = await new_database(engine)
    instant = await write(engine, root, "before it was suspended")
    await engine.stop_timeline(root)

    assert await read_at(engine, root) == "before it was suspended"
    assert await read_at(engine, root, at=instant) == "before it was suspended"
    assert not engine.is_running(root)
    await engine.ensure_running(root)
    await write(engine, root, "after it was woken")
    assert await read_at(engine, root, at=instant) == "before it was suspended"
    await engine.stop_timeline(root)


async def test_given_a_root_that_never_ran_when_branched_then_the_branch_is_an_empty_cluster(engine: Engine) -> None:
    """There is no record after the template's end until the first start."""
    root = await engine.create_root()
    branch = await engine.branch(await engine.head(root))
    await engine.ensure_running(branch)
    names = await engine.execute(branch, "SELECT datname FROM pg_database ORDER BY 1")
    assert names == [("postgres",), ("template0",), ("template1",)]


async def test_given_open_and_asynchronous_transactions_when_branched_then_only_what_was_committed_is_there(
    engine: Engine,
) -> None:
    """A transaction that is still open at the restore point is not in, one that did not wait for the disk is."""
    root = await new_database(engine)
    port = await engine.ensure_running(root)
    async with await connect_to(port, autocommit=False) as open_one, await connect_to(port) as relaxed:
        await engine.execute(root, f"ALTER TABLE status OWNER TO {OWNER}", database=DATABASE)
        await open_one.execute("INSERT INTO status VALUES ('open')")
        await relaxed.execute("SET synchronous_commit = off")
        await relaxed.execute("UPDATE status SET text = 'relaxed' WHERE text = 'new'")
        branch = await engine.branch(await engine.head(root))
        await engine.ensure_running(branch)
        assert await engine.execute(branch, "SELECT text FROM status", database=DATABASE) == [("relaxed",)]
    await engine.stop_timeline(root)


async def test_given_writers_that_do_not_stop_when_branched_again_and_again_then_each_branch_is_one_moment_of_it(
    engine: Engine,
) -> None:
    """Each writer commits 1, 2, 3, ... in two tables at once: a branch holds an unbroken beginning of every one's
    numbers, both tables agree, what was acknowledged before the instant is in, and nothing later is."""
    root = await new_database(engine)
    port = await engine.ensure_running(root)
    for table in ("first", "second"):
        await engine.execute(root, f"CREATE TABLE {table} (writer int, number int)", database=DATABASE)
        await engine.execute(root, f"ALTER TABLE {table} OWNER TO {OWNER}", database=DATABASE)
    stop = asyncio.Event()

    async def keep_writing(writer: int) -> None:
        async with await connect_to(port, autocommit=False) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                for table in ("first", "second"):
                    await connection.execute(f"INSERT INTO {table} VALUES (%s, %s)", (writer, number))
                await connection.commit()
                written[writer] = number

    written, enough = dict.fromkeys(range(3), 0), 5
    writers = [asyncio.create_task(keep_writing(writer)) for writer in range(3)]
    try:
        for _ in range(3):
            await _have_written(written, enough)
            acknowledged, instant = dict(written), datetime.now(UTC)
            await _have_written(written, enough := max(written.values()) + 5)
            by_time = await engine.branch(await engine.resolve(root, at=instant))
            now = await engine.branch(await engine.head(root))
            for branch in (by_time, now):
                await engine.ensure_running(branch)
                await _assert_unbroken(engine, branch, acknowledged)
            assert await _newest(engine, by_time) <= instant
            for branch in (by_time, now):
                await engine.delete(branch)
    finally:
        stop.set()
        await asyncio.gather(*writers)
    await engine.stop_timeline(root)


async def _have_written(written: dict[int, int], enough: int) -> None:
    await wait_until(lambda: all(count > enough for count in written.values()))


async def _assert_unbroken(engine: Engine, branch: str, acknowledged: dict[int, int]) -> None:
    for table in ("first", "second"):
        rows = await engine.execute(
            branch, f"SELECT writer, count(*), max(number) FROM {table} GROUP BY 1", database=DATABASE
        )
        assert {writer for writer, _, _ in rows} == set(acknowledged)
        assert all(count == highest >= acknowledged[writer] for writer, count, highest in rows)
    different = "SELECT * FROM first EXCEPT SELECT * FROM second"
    assert await engine.execute(branch, different, database=DATABASE) == []


async def _newest(engine: Engine, branch: str) -> datetime:
    rows = await engine.execute(branch, "SELECT max(pg_xact_commit_timestamp(xmin)) FROM first", database=DATABASE)
    found: datetime = rows[0][0]
    return found


async def test_given_a_primary_when_restored_in_place_then_the_past_is_a_new_timeline_and_the_old_state_stays(
    engine: Engine,
) -> None:
    """What the Neon side does for a restore: fork, use the fork, keep the old timeline under another name."""
    old = await new_database(engine)
    good = await write(engine, old, "good")
    await write(engine, old, "destroyed")

    new = await engine.branch(await engine.resolve(old, at=good))
    await engine.stop_timeline(old)
    await engine.ensure_running(new)
    assert await read(engine, new) == "good"
    after = await write(engine, new, "good, and going on")
    assert await read(engine, old) == "destroyed"

    again = await engine.branch(await engine.resolve(new, at=good))
    await engine.ensure_running(again)
    assert await read(engine, again) == "good"
    assert await read_at(engine, new, at=after) == "good, and going on"
    await engine.delete(again)
    await engine.delete(new)
    await engine.delete(old)
