# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of timelines: making their data, starting, lending and stopping them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from sandbox.postgres.cluster import Cluster, remove_folder
from sandbox.postgres.model import Timeline, now
from sandbox.postgres.recovery import build, make_plan, unlink_inherited
from sandbox.postgres.site import Site
from sandbox.postgres.wal import Control, read_control, switch_point

LINGER_SECONDS = 3.0
"""A server that only the engine itself needed stays up this long for its next question."""
_BUILDS_AT_ONCE = 2


class Servers:
    """At most one server per timeline. One that is wanted runs until `stop`; others are borrowed for a moment."""

    def __init__(self, site: Site, materialised: Callable[[str], Awaitable[None]]) -> None:
        """`materialised` is awaited with the id of a timeline whose data was just made."""
        self._site = site
        self._materialised = materialised
        self._clusters: dict[str, Cluster] = {}
        self._wanted: set[str] = set()
        self._borrowed: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._building = asyncio.Semaphore(_BUILDS_AT_ONCE)

    async def run(self, timeline: str) -> int:
        """Starts the server if none runs, and keeps it; returns its port. Raises `EngineError`."""
        self._site.catalog.get(timeline)
        self._wanted.add(timeline)
        return await self._start(timeline)

    async def stop(self, timeline: str) -> None:
        """Stops the server, also under clients."""
        self._wanted.discard(timeline)
        async with self._lock(timeline):
            if cluster := self._clusters.pop(timeline, None):
                await cluster.stop()

    async def stop_all(self) -> None:
        """Stops every server and what goes on in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._wanted.clear()
        await asyncio.gather(*(cluster.stop() for cluster in self._clusters.values()))
        self._clusters.clear()

    def is_wanted(self, timeline: str) -> bool:
        """Whether it was started to be kept, and runs."""
        return timeline in self._wanted and self.is_up(timeline)

    def is_up(self, timeline: str) -> bool:
        """Whether it runs, for whatever reason."""
        cluster = self._clusters.get(timeline)
        return cluster is not None and cluster.running

    @contextlib.asynccontextmanager
    async def borrow(self, timeline: str) -> AsyncIterator[int]:
        """The port of a running server; one that nobody else wants is stopped a little later."""
        self._site.catalog.get(timeline)
        self._borrowed[timeline] += 1
        try:
            cluster = self._clusters.get(timeline)
            # While data is being made its maker asks questions too, and the lock is taken.
            yield cluster.port if cluster and cluster.running else await self._start(timeline)
        finally:
            self._borrowed[timeline] -= 1
            if timeline not in self._wanted:
                self.spawn(self._give_back(timeline))

    async def _give_back(self, timeline: str) -> None:
        await asyncio.sleep(LINGER_SECONDS)
        async with self._lock(timeline):
            if timeline in self._wanted or self._borrowed[timeline]:
                return
            if cluster := self._clusters.pop(timeline, None):
                await cluster.stop()

    async def control_if_stopped(self, timeline: Timeline) -> Control | None:
        """What the control file of a stopped server says; None while one runs or the data is not there."""
        async with self._lock(timeline.id):
            if self.is_up(timeline.id) or timeline.state != "ready":
                return None
            return await read_control(self._site.binaries, self._site.timelines / timeline.id)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Lets something go on in the background until `stop_all`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, timeline: str) -> None:
        """The timeline is gone."""
        self._locks.pop(timeline, None)

    def _lock(self, timeline: str) -> asyncio.Lock:
        return self._locks.setdefault(timeline, asyncio.Lock())

    async def _start(self, timeline: str) -> int:
        async with self._lock(timeline):
            if self.is_up(timeline):
                return self._clusters[timeline].port
            known = self._site.catalog.get(timeline)
            if known.state == "lazy":
                return await self._materialise(known)
            cluster = self._site.cluster(self._site.timelines / timeline)
            try:
                port = await cluster.start()
            except BaseException:
                await cluster.stop()
                raise
            self._clusters[timeline] = cluster
            return port

    async def _materialise(self, timeline: Timeline) -> int:
        assert timeline.parent
        site = self._site
        data = site.timelines / timeline.id
        plan = make_plan(site.catalog, timeline.parent, timeline.fork_lsn)
        timeline.state = "building"
        site.catalog.put(timeline)
        cluster = site.cluster(data)
        try:
            async with self._building:
                await build(plan, data, site.root, site.timelines, site.binaries)
                port = await cluster.start(plan.settings(read_only=False))
            await self._stand_alone(timeline, port)
            self._clusters[timeline.id] = cluster
            await self._materialised(timeline.id)
        except BaseException:
            self._clusters.pop(timeline.id, None)
            await cluster.stop()
            await remove_folder(data)
            timeline.state = "lazy"
            site.catalog.put(timeline)
            raise
        timeline.state = "ready"
        site.catalog.put(timeline)
        return port

    async def _stand_alone(self, timeline: Timeline, port: int) -> None:
        # Recovery starts at the last checkpoint: until there is one of its own it would need the ancestors' logs.
        administrator, wal = self._site.administrator, self._site.timelines / timeline.id / "pg_wal"
        await administrator.execute(port, "CHECKPOINT")
        rows = await administrator.execute(port, "SELECT timeline_id FROM pg_control_checkpoint()")
        timeline.tli = int(rows[0][0])
        timeline.own_from = switch_point(wal / f"{timeline.tli:08X}.history")
        timeline.own_since = now().isoformat()
        unlink_inherited(wal, timeline.tli)
