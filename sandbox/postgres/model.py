# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine knows about its timelines, and the errors that it answers with."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal


class EngineError(RuntimeError):
    """Something that the engine refuses or could not do."""


class UnknownTimeline(EngineError):
    """There is no timeline with this id."""


class BeforeHistory(EngineError):
    """The instant or LSN lies before the beginning of the first timeline."""


class HasChildren(EngineError):
    """The timeline cannot be deleted: others were forked from it. `children` are their ids."""

    def __init__(self, timeline: str, children: Sequence[str] = ()) -> None:
        super().__init__(f"timeline {timeline} has children: {', '.join(children) or 'some'}")
        self.children = list(children)


@dataclass(frozen=True)
class Position:
    """A place in the log of a timeline that really has a log."""

    timeline: str
    lsn: str
    """Everything that was written before this LSN is in, nothing of what follows."""
    time: datetime
    """An instant (UTC) with the same meaning: commits up to and at it are in."""


@dataclass
class Base:
    """A copy of a data directory from which recovery may start. Positions are numbers of bytes."""

    path: str
    """Relative to the engine's root."""
    start: int
    stop: int
    """Recovery must reach this before the copy is consistent."""


@dataclass
class Timeline:
    """One line of history: a data directory of its own once it was needed. LSNs are numbers of bytes."""

    id: str
    state: Literal["lazy", "building", "ready", "deleting"]
    parent: str | None = None
    fork_lsn: int = 0
    fork_time: str = ""
    """The instant in the parent's history at which this one leaves it (RFC 3339); for a root, its creation."""
    tli: int = 0
    """PostgreSQL's own number: the parent's plus one."""
    own_from: int = 0
    """Where its own log begins."""
    own_since: str = ""
    """The instant before which nothing was committed in its own log."""
    size: int | None = None
    """Bytes of all databases when last seen."""
    hidden: bool = False
    """Deleted, but its children still need its log."""
    bases: list[Base] = field(default_factory=list)

    def forked_at(self) -> datetime:
        """`fork_time` as an instant."""
        return datetime.fromisoformat(self.fork_time)


class Catalog:
    """All timelines, kept in a section of the store and saved with every change."""

    def __init__(self, section: dict[str, Any], save: Callable[[], None]) -> None:
        self.section = section
        self._save = save
        kept: dict[str, dict[str, Any]] = section.setdefault("timelines", {})
        self._timelines = {
            name: Timeline(**{**values, "bases": [Base(**base) for base in values["bases"]]})
            for name, values in kept.items()
        }

    def __iter__(self) -> Iterator[Timeline]:
        return iter(list(self._timelines.values()))  # a copy: they come and go meanwhile

    def get(self, name: str) -> Timeline:
        """Raises `UnknownTimeline`; also for one that was deleted and only serves its children."""
        timeline = self._timelines.get(name)
        if timeline is None or timeline.hidden or timeline.state == "deleting":
            raise UnknownTimeline(f"there is no timeline {name}")
        return timeline

    def any(self, name: str) -> Timeline:
        """Like `get`, but also what is hidden: for walking up the ancestors."""
        try:
            return self._timelines[name]
        except KeyError:
            raise UnknownTimeline(f"there is no timeline {name}") from None

    def children(self, name: str) -> list[str]:
        """Ids of the timelines whose history continues from this one's log, deleted ones included."""
        return [timeline.id for timeline in self._timelines.values() if timeline.parent == name]

    def put(self, timeline: Timeline) -> None:
        """Adds or changes a timeline, durably."""
        self._timelines[timeline.id] = timeline
        self.section["timelines"][timeline.id] = asdict(timeline)
        self._save()

    def remove(self, timeline: Timeline) -> None:
        """Forgets a timeline, durably."""
        self._timelines.pop(timeline.id, None)
        self.section["timelines"].pop(timeline.id, None)
        self._save()

    def save(self) -> None:
        """Keeps other changes of the section."""
        self._save()


def new_id() -> str:
    """32 hexadecimal digits, as Neon's timelines have."""
    return secrets.token_hex(16)


def now() -> datetime:
    """The real instant: commits carry real time, whatever the control plane's clock says."""
    return datetime.now(UTC)
