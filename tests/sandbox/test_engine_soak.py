# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long random lives of many timelines, held against a model. Repeat one with REWIND_TEST_SEED; lengthen it with
REWIND_TEST_SOAK (operations; a few hundred take minutes)."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from sandbox.postgres import bases
from sandbox.postgres.engine import Engine
from sandbox.processes import postmaster_pid
from tests.sandbox.engine_world import DATABASE, new_database, read, running_engine, wait_until, write

OPERATIONS = int(os.environ.get("REWIND_TEST_SOAK") or 30)


@dataclass
class Known:
    """What a timeline must hold: every text with the instant from which on it was the newest, oldest first."""

    past: list[tuple[datetime, str]]
    lsns: list[tuple[str, str]] = field(default_factory=list)


class Life:
    """An engine, the model of it, and random operations on both."""

    def __init__(self, engine: Engine, rng: random.Random) -> None:
        self.engine = engine
        self.rng = rng
        self.known: dict[str, Known] = {}
        self.story: list[str] = []
        self.number = 0

    async def begin(self) -> None:
        """One root with a first text."""
        root = await new_database(self.engine)
        self.known[root] = Known([])
        await self.write(root)

    async def step(self) -> None:
        """One operation on one timeline."""
        timeline = self.rng.choice(list(self.known))
        operation = self.rng.choices(
            [self.write, self.bulk, self.now, self.instant, self.lsn, self.stop, self.kill, self.delete, self.check],
            [6, 2, 3, 5, 3, 2, 1, 2, 3],
        )[0]
        self.story.append(f"{operation.__name__} {timeline[:6]}")
        await operation(timeline)

    async def write(self, timeline: str) -> None:
        """A new text, and the LSN after it."""
        self.number += 1
        instant = await write(self.engine, timeline, f"text {self.number}")
        known = self.known[timeline]
        known.past.append((instant, f"text {self.number}"))
        lsn = await self.engine.execute(timeline, "SELECT pg_current_wal_insert_lsn()::text")
        known.lsns.append((lsn[0][0], f"text {self.number}"))

    async def bulk(self, timeline: str) -> None:
        """Some log: rows that come and go, an index, a checkpoint."""
        for statement in (
            "CREATE TABLE IF NOT EXISTS bulk AS SELECT 0 AS n, ''::text AS text",
            f"INSERT INTO bulk SELECT n, md5(n::text) FROM generate_series(1, {self.rng.randint(1, 30000)}) n",
            self.rng.choice(["DELETE FROM bulk WHERE n % 2 = 0", "CREATE INDEX ON bulk (text)", "VACUUM FULL bulk"]),
            self.rng.choice(["CHECKPOINT", "SELECT pg_switch_wal()"]),
        ):
            await self.engine.execute(timeline, statement, database=DATABASE)

    async def _fork(self, timeline: str, expected: str, **point: object) -> None:
        position = await self.engine.resolve(timeline, **point)  # type: ignore[arg-type]
        branch = await self.engine.branch(position)
        source = self.known[timeline]
        texts = [text for _, text in source.past]
        kept = source.past[: texts.index(expected) + 1]
        names = {text for _, text in kept}
        self.known[branch] = Known(kept, [(lsn, text) for lsn, text in source.lsns if text in names])
        if self.rng.random() < 0.6:
            await self.check(branch)

    async def now(self, timeline: str) -> None:
        """A fork at the head."""
        await self._fork(timeline, self.known[timeline].past[-1][1])

    async def instant(self, timeline: str) -> None:
        """A fork at an instant that was written at, or up to a microsecond before the next."""
        past = self.known[timeline].past
        index = self.rng.randrange(len(past))
        at = past[index][0]
        if index + 1 < len(past) and self.rng.random() < 0.5:
            at = past[index + 1][0] - timedelta(microseconds=1)
        await self._fork(timeline, past[index][1], at=at)

    async def lsn(self, timeline: str) -> None:
        """A fork at an LSN right after a write."""
        lsn, text = self.rng.choice(self.known[timeline].lsns)
        await self._fork(timeline, text, lsn=lsn)

    async def stop(self, timeline: str) -> None:
        """Suspended in order."""
        await self.engine.stop_timeline(timeline)

    async def kill(self, timeline: str) -> None:
        """The server is killed."""
        await self.engine.ensure_running(timeline)
        pid = postmaster_pid(self.engine.site.timelines / timeline)
        assert pid
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: not self.engine.is_running(timeline))

    async def delete(self, timeline: str) -> None:
        """A leaf goes, a parent does not; the last one stays."""
        if len(self.known) > 3 and not self.engine.children(timeline):
            await self.engine.delete(timeline)
            del self.known[timeline]

    async def check(self, timeline: str) -> None:
        """The newest text is the one that it must be."""
        await self.engine.ensure_running(timeline)
        assert await read(self.engine, timeline) == self.known[timeline].past[-1][1]
        if self.rng.random() < 0.5:
            await self.engine.stop_timeline(timeline)


@pytest.mark.timeout(max(300, OPERATIONS * 5))
async def test_given_random_operations_when_every_timeline_is_read_then_each_holds_what_the_model_says(
    seed: int, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes, bulk loads, forks by now, instant and LSN, forks of forks, stops, kills, deletions, base copies."""
    print(f"REWIND_TEST_SEED={seed} REWIND_TEST_SOAK={OPERATIONS}")
    monkeypatch.setattr(bases, "LOG_BYTES", 4 << 20)
    async with running_engine() as engine:
        life = Life(engine, rng)
        await life.begin()
        try:
            for _ in range(OPERATIONS):
                await life.step()
            for timeline in list(life.known):
                await life.check(timeline)
        except BaseException:
            print("\n".join(life.story))
            raise
