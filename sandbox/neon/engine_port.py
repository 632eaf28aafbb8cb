# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this service needs of a branch engine, and the engine that has no PostgreSQL.

`MetadataEngine` keeps timelines as bookkeeping only: every request of the API works, no compute starts.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sandbox.neon.errors import ComputeUnavailable
from sandbox.neon.state import Record
from sandbox.neon.times import lsn_number, rfc3339, stored
from sandbox.postgres.engine import BeforeHistory, HasChildren, Position, UnknownTimeline


class BranchEngine(Protocol):
    """Timelines over PostgreSQL; see `sandbox.postgres.engine.Engine`."""

    on_materialised: Callable[[str], Awaitable[None]] | None

    async def create_root(self) -> str: ...
    async def head(self, timeline: str) -> Position: ...
    async def resolve(self, timeline: str, *, at: datetime | None = None, lsn: str | None = None) -> Position: ...
    async def branch(self, position: Position) -> str: ...
    async def ensure_running(self, timeline: str) -> int: ...
    async def stop_timeline(self, timeline: str) -> None: ...
    def is_running(self, timeline: str) -> bool: ...
    def exists(self, timeline: str) -> bool: ...
    def timelines(self) -> list[str]: ...
    async def delete(self, timeline: str, *, keep_history: bool = False) -> None: ...
    async def size(self, timeline: str) -> int | None: ...
    async def execute(
        self, timeline: str, sql: str, params: Sequence[Any] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]: ...
    async def create_role(self, timeline: str, name: str, password: str | None) -> None: ...
    async def apply_passwords(self, timeline: str, passwords: Mapping[str, str]) -> None: ...
    async def create_database(self, timeline: str, name: str, owner: str) -> None: ...
    async def dump_schema(self, timeline: str, database: str) -> str: ...
    async def open_time_travel(self, timeline: str, *, at: datetime | None = None, lsn: str | None = None) -> int: ...


_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_MESSAGE = "no PostgreSQL was found on this machine: the sandbox keeps metadata only and cannot start computes"


class MetadataEngine:
    """Timelines without data. An LSN is the number of microseconds since 2025, so that instants and LSNs agree."""

    def __init__(self, section: Record, save: Callable[[], None]) -> None:
        self.on_materialised: Callable[[str], Awaitable[None]] | None = None
        self._timelines: dict[str, Record] = section.setdefault("timelines", {})
        self._save = save

    def _get(self, timeline: str) -> Record:
        if timeline not in self._timelines:
            raise UnknownTimeline(timeline)
        return self._timelines[timeline]

    def _add(self, parent: str | None, fork: datetime) -> str:
        timeline = uuid.uuid4().hex
        self._timelines[timeline] = {"parent": parent, "fork": rfc3339(fork), "hidden": False}
        self._save()
        return timeline

    @staticmethod
    def _position(timeline: str, at: datetime) -> Position:
        number = (at - _EPOCH) // timedelta(microseconds=1)
        return Position(timeline, f"{number >> 32:X}/{number & 0xFFFFFFFF:X}", at)

    async def create_root(self) -> str:
        """A root timeline that begins now."""
        return self._add(None, datetime.now(UTC))

    async def head(self, timeline: str) -> Position:
        """The present end of a timeline."""
        self._get(timeline)
        return self._position(timeline, datetime.now(UTC))

    async def resolve(self, timeline: str, *, at: datetime | None = None, lsn: str | None = None) -> Position:
        """The position at an instant or LSN, perhaps on an ancestor. Raises BeforeHistory."""
        if lsn is not None:
            at = _EPOCH + timedelta(microseconds=lsn_number(lsn))
        at = min(at or datetime.now(UTC), datetime.now(UTC))
        record = self._get(timeline)
        while at < stored(record["fork"]):
            if record["parent"] is None:
                raise BeforeHistory(timeline)
            timeline = record["parent"]
            record = self._get(timeline)
        return self._position(timeline, at)

    async def branch(self, position: Position) -> str:
        """A new timeline that begins at `position`."""
        self._get(position.timeline)
        return self._add(position.timeline, position.time)

    async def ensure_running(self, timeline: str) -> int:
        """Raises ComputeUnavailable: there is nothing that could run."""
        raise ComputeUnavailable(_MESSAGE)

    async def stop_timeline(self, timeline: str) -> None:
        """Nothing runs."""

    def is_running(self, timeline: str) -> bool:
        """Never."""
        return False

    def exists(self, timeline: str) -> bool:
        """Whether the timeline is known."""
        return timeline in self._timelines

    def timelines(self) -> list[str]:
        """All timelines that were not deleted."""
        return [name for name, record in self._timelines.items() if not record["hidden"]]

    async def delete(self, timeline: str, *, keep_history: bool = False) -> None:
        """Forgets a timeline, or hides it while it has forks. Raises HasChildren without `keep_history`."""
        record = self._get(timeline)
        if any(other["parent"] == timeline for other in self._timelines.values()):
            if not keep_history:
                raise HasChildren(timeline)
            record["hidden"] = True
        else:
            del self._timelines[timeline]
            parent = record["parent"]
            if parent in self._timelines and self._timelines[parent]["hidden"]:
                await self.delete(parent, keep_history=True)
        self._save()

    async def size(self, timeline: str) -> int | None:
        """Unknown."""
        return None

    async def execute(
        self, timeline: str, sql: str, params: Sequence[Any] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Raises ComputeUnavailable."""
        raise ComputeUnavailable(_MESSAGE)

    async def create_role(self, timeline: str, name: str, password: str | None) -> None:
        """Raises ComputeUnavailable."""
        raise ComputeUnavailable(_MESSAGE)

    async def apply_passwords(self, timeline: str, passwords: Mapping[str, str]) -> None:
        """Raises ComputeUnavailable."""
        raise ComputeUnavailable(_MESSAGE)

    async def create_database(self, timeline: str, name: str, owner: str) -> None:
        """Raises ComputeUnavailable."""
        raise ComputeUnavailable(_MESSAGE)

    async def dump_schema(self, timeline: str, database: str) -> str:
        """Raises ComputeUnavailable."""
        raise ComputeUnavailable(_MESSAGE)

    async def open_time_travel(self, timeline: str, *, at: datetime | None = None, lsn: str | None = None) -> int:
        """Raises ComputeUnavailable."""
        raise ComputeUnavailable(_MESSAGE)
