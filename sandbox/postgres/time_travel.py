# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read-only servers of the past, for as long as someone looks at it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from sandbox.postgres.cluster import Cluster, give, remove_folder
from sandbox.postgres.model import EngineError, Position, new_id
from sandbox.postgres.recovery import build, make_plan
from sandbox.postgres.site import Site
from sandbox.postgres.template import time_travel_rules
from sandbox.postgres.wal import parse_lsn

IDLE_SECONDS = 10.0
"""A server without sessions is removed after this long."""
_POLL_SECONDS = 1.0


@dataclass
class _Past:
    cluster: Cluster
    timeline: str
    used: float = field(default_factory=time.monotonic)


class TimeTravel:
    """Servers that recovered to a position and stay there: PostgreSQL standbys. Nothing can be written."""

    def __init__(self, site: Site) -> None:
        self.idle_seconds = IDLE_SECONDS
        self._site = site
        self._servers: dict[tuple[str, str], _Past] = {}
        self._lock = asyncio.Lock()
        self._reaper: asyncio.Task[None] | None = None

    def ports(self) -> list[int]:
        """The ports of the servers that run now."""
        return [past.cluster.port for past in self._servers.values() if past.cluster.running]

    async def open(self, position: Position) -> int:
        """The port of the server for a position, made when there is none. Raises `EngineError`."""
        async with self._lock:
            key = (position.timeline, position.lsn)
            past = self._servers.get(key)
            if past is None or not past.cluster.running:
                past = self._servers[key] = _Past(await self._make(position), position.timeline)
            past.used = time.monotonic()
            if self._reaper is None or self._reaper.done():
                self._reaper = asyncio.create_task(self._reap())
            return past.cluster.port

    async def _make(self, position: Position) -> Cluster:
        site = self._site
        data = site.past / new_id()
        plan = make_plan(site.catalog, position.timeline, parse_lsn(position.lsn))
        cluster = site.cluster(data)
        settings = plan.settings(read_only=True)
        if site.template.tls:
            settings["ssl_ca_file"] = str(site.certificates.authority)
        try:
            await build(plan, data, site.root, site.timelines, site.binaries)
            rules = data / "pg_hba.conf"
            rules.write_text(time_travel_rules(site.template.tls))
            give(rules, site.binaries.identity)
            await cluster.start(settings)
            await self._await_target(cluster)
            if await self._is_locked(cluster):
                await self._unlock(cluster, data, settings)
        except BaseException:
            await self._end(cluster, data)
            raise
        return cluster

    async def _await_target(self, cluster: Cluster) -> None:
        # It takes connections as soon as it is consistent, which may be before the position.
        deadline = time.monotonic() + 300
        async with await self._site.administrator.connect(cluster.port) as connection:
            while True:
                cursor = await connection.execute("SELECT pg_get_wal_replay_pause_state() = 'paused'")
                if (await cursor.fetchone()) == (True,):
                    return
                if time.monotonic() > deadline:
                    raise EngineError("recovery did not reach the position asked for")
                await asyncio.sleep(0.01)

    async def _is_locked(self, cluster: Cluster) -> bool:
        # A paused standby holds the table locks of transactions that were under way (a migration that began just
        # before the commit it stopped at): a SELECT would wait for ever. Neon's computes hold no such locks.
        rows = await self._site.administrator.execute(
            cluster.port,
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'"
            " AND pid IS DISTINCT FROM pg_backend_pid())",
        )
        return bool(rows[0][0])

    async def _unlock(self, cluster: Cluster, data: Path, settings: dict[str, str]) -> None:
        """Ends the recovery, which aborts what was under way, and makes a standby of the result."""
        await self._site.administrator.execute(cluster.port, "SELECT pg_promote(true, 60)")
        await self._site.administrator.execute(cluster.port, "CHECKPOINT")
        await cluster.stop()
        signal = data / "standby.signal"
        signal.touch(mode=0o600)
        give(signal, self._site.binaries.identity)
        kept = {name: value for name, value in settings.items() if not name.startswith("recovery_target")}
        await cluster.start(kept)

    async def _reap(self) -> None:
        while self._servers:
            await asyncio.sleep(min(_POLL_SECONDS, self.idle_seconds))
            for key, past in list(self._servers.items()):
                if await self._sessions(past):
                    past.used = time.monotonic()
                elif time.monotonic() - past.used > self.idle_seconds:
                    await self._end_if_idle(key, past)

    async def _end_if_idle(self, key: tuple[str, str], past: _Past) -> None:
        async with self._lock:
            # It may have been asked for again while the lock was waited for.
            if self._servers.get(key) is past and time.monotonic() - past.used > self.idle_seconds:
                del self._servers[key]
                await self._end(past.cluster, past.cluster.data)

    async def _sessions(self, past: _Past) -> int:
        if not past.cluster.running:
            return 0
        try:
            rows = await self._site.administrator.execute(
                past.cluster.port,
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid()",
            )
        except psycopg.Error:
            return 0
        return int(rows[0][0])

    async def _end(self, cluster: Cluster, data: Path) -> None:
        await cluster.stop()
        await remove_folder(data)
        cluster.log.unlink(missing_ok=True)

    async def forget(self, timeline: str) -> None:
        """Ends the servers that show this timeline, also under their clients."""
        async with self._lock:
            for key, past in list(self._servers.items()):
                if past.timeline == timeline:
                    del self._servers[key]
                    await self._end(past.cluster, past.cluster.data)

    async def close(self) -> None:
        """Ends all of them."""
        if self._reaper:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
        async with self._lock:
            for past in self._servers.values():
                await self._end(past.cluster, past.cluster.data)
            self._servers.clear()
