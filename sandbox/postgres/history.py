# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an instant or an LSN lies: on a timeline, or on one of its ancestors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sandbox.postgres.model import BeforeHistory, Position, Timeline, now
from sandbox.postgres.servers import Servers
from sandbox.postgres.site import Site
from sandbox.postgres.wal import commits, first_commit_after, format_lsn, parse_lsn


class History:
    """Questions about the past of all timelines."""

    def __init__(self, site: Site, servers: Servers, reached: Callable[[Timeline, int], None]) -> None:
        """`reached` hears how far a running timeline's log has grown."""
        self._site = site
        self._servers = servers
        self._reached = reached

    async def head(self, timeline: str) -> Position:
        """The position after everything that was committed before this call."""
        known = self._site.catalog.get(timeline)
        return self._fork_of(known) if known.state == "lazy" else await self._end(known)

    async def _end(self, timeline: Timeline) -> Position:
        instant = now()
        control = await self._servers.control_if_stopped(timeline)
        # A clean shutdown is a record behind everything; the template's own is not one of this timeline.
        if control and control.clean and all(control.checkpoint >= base.stop for base in timeline.bases):
            return Position(timeline.id, format_lsn(control.checkpoint), instant)
        async with (
            self._servers.borrow(timeline.id) as port,
            await self._site.administrator.connect(port) as connection,
        ):
            cursor = await connection.execute("SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()")
            row = await cursor.fetchone()
            assert row
            # A record behind the position must exist for recovery to see that it is reached, and be on disk.
            await connection.execute("SELECT pg_logical_emit_message(true, 'sandbox', 'head')")
        self._reached(timeline, parse_lsn(row[0]))
        return Position(timeline.id, row[0], row[1].astimezone(UTC))

    def _fork_of(self, timeline: Timeline) -> Position:
        assert timeline.parent
        return Position(timeline.parent, format_lsn(timeline.fork_lsn), timeline.forked_at())

    async def at_instant(self, timeline: Timeline, instant: datetime) -> Position:
        """Commits at or before the instant are in. Raises `BeforeHistory`."""
        instant = min(instant.astimezone(UTC), now())
        limit: int | None = None
        while timeline.parent and instant < timeline.forked_at():
            limit = timeline.fork_lsn if limit is None else min(limit, timeline.fork_lsn)
            timeline = self._site.catalog.any(timeline.parent)
        if timeline.state == "lazy" or (timeline.parent and instant < datetime.fromisoformat(timeline.own_since)):
            return Position(self._fork_of(timeline).timeline, format_lsn(timeline.fork_lsn), instant)
        if timeline.parent is None and instant < timeline.forked_at():
            raise BeforeHistory(f"{instant.isoformat()} is before this database existed ({timeline.fork_time})")
        end = parse_lsn((await self._end(timeline)).lsn) if limit is None else limit
        found = await first_commit_after(
            self._site.binaries, self._log(timeline), timeline.tli, timeline.own_from, end, instant
        )
        return Position(timeline.id, format_lsn(end if found is None else found), instant)

    async def at_lsn(self, timeline: Timeline, lsn: int) -> Position:
        """What lies before the LSN is in. Raises `BeforeHistory`."""
        inherited = False
        while timeline.parent and (timeline.state == "lazy" or lsn < timeline.own_from):
            inherited = True
            lsn = min(lsn, timeline.fork_lsn)
            timeline = self._site.catalog.any(timeline.parent)
        if timeline.parent is None and lsn < min(base.stop for base in timeline.bases):
            raise BeforeHistory(f"LSN {format_lsn(lsn)} is before this database existed")
        if not inherited:
            end = await self._end(timeline)
            if lsn >= parse_lsn(end.lsn):
                return end
        return Position(timeline.id, format_lsn(lsn), await self._instant_of(timeline, lsn))

    async def _instant_of(self, timeline: Timeline, lsn: int) -> datetime:
        newest = datetime.fromisoformat(timeline.own_since)
        found = commits(self._site.binaries, self._log(timeline), timeline.tli, timeline.own_from, lsn)
        async with contextlib.aclosing(found):
            async for _, instant in found:
                newest = max(newest, instant)
        return newest

    def _log(self, timeline: Timeline) -> Path:
        return self._site.timelines / timeline.id / "pg_wal"
