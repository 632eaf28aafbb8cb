# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control planes' clock: real time plus an offset that tests and rehearsals move.

It rules windows, expiry, ``created_at`` and the like. PostgreSQL's commit timestamps are real time, so an
instant that a client asks to restore to goes to the engine as it is, without this offset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

# Windows, expiries and time-outs are added to what the clock shows: they need room to the end of Python's calendar.
_FIRST_YEAR, _LAST_YEAR = 1971, 9000


class Clock:
    """Real time plus an offset."""

    def __init__(self, offset_seconds: float = 0.0, on_change: Callable[[float], None] | None = None) -> None:
        self._offset = offset_seconds
        self._on_change = on_change
        self._moved: asyncio.Event | None = None

    @property
    def offset(self) -> float:
        """Seconds that this clock is ahead of real time (negative: behind)."""
        return self._offset

    def now(self) -> datetime:
        """The control planes' instant, aware, UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._offset)

    def real(self, instant: datetime) -> datetime:
        """The real instant at which this clock shows `instant`, with the offset of now."""
        return instant - timedelta(seconds=self._offset)

    def advance(self, seconds: float) -> None:
        """Moves the clock by `seconds`; whoever waits in `wait_until` looks again."""
        self.set_offset(self._offset + seconds)

    def set_offset(self, seconds: float) -> None:
        """Makes the clock show real time plus `seconds`. Raises ValueError for an instant that is no date of use."""
        try:
            shown = datetime.now(UTC) + timedelta(seconds=seconds)
        except (OverflowError, ValueError):
            shown = None
        # Before it is kept: with an offset that cannot be added no clock could be read, nor be put right again.
        if shown is None or not _FIRST_YEAR <= shown.year <= _LAST_YEAR:
            raise ValueError(f"the clock goes from the year {_FIRST_YEAR} to {_LAST_YEAR}, not {seconds:g} s from now")
        self._offset = seconds
        if self._on_change is not None:
            self._on_change(seconds)
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    async def sleep(self, seconds: float) -> None:
        """Sleeps real seconds, whatever the offset does meanwhile."""
        await asyncio.sleep(max(0.0, seconds))

    async def wait_until(self, instant: datetime) -> None:
        """Returns once the clock shows `instant`, also when it gets there by being moved."""
        while (left := (instant - self.now()).total_seconds()) > 0:
            if self._moved is None:
                self._moved = asyncio.Event()
            try:
                # No longer than an hour at a time: a suspended laptop's timers stand still, its clock does not.
                await asyncio.wait_for(self._moved.wait(), timeout=min(left, 3600.0))
            except TimeoutError:
                continue


def rfc3339(instant: datetime) -> str:
    """``2025-01-13T14:25:00.123456Z``: UTC, microseconds only when there are any."""
    text = instant.astimezone(UTC).isoformat(timespec="microseconds" if instant.microsecond else "seconds")
    return text.replace("+00:00", "Z")
