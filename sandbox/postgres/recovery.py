# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the data directory of a position: a base, the log from there, recovery to exactly that record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.postgres.binaries import Binaries
from sandbox.postgres.cluster import copy_data, give, link_or_copy, remove_folder
from sandbox.postgres.model import Base, Catalog, EngineError, Timeline
from sandbox.postgres.wal import SEGMENT, format_lsn, segment_range

# Recovery must read the whole record at the target to see that it is the target, and a record may be long.
_FILES_PAST_TARGET = 16


@dataclass(frozen=True)
class Stretch:
    """A piece of one ancestor's log that recovery needs, as positions in bytes."""

    timeline: Timeline
    start: int
    end: int


@dataclass(frozen=True)
class Plan:
    """From which base, over which logs, to which record."""

    base: Base
    stretches: list[Stretch]
    parent: Timeline
    target: int

    def settings(self, *, read_only: bool) -> dict[str, str]:
        """Server settings for the first start. With the log in place already nothing has to be fetched."""
        return {
            "restore_command": "",
            "recovery_target_timeline": str(self.parent.tli),
            "recovery_target_lsn": format_lsn(self.target),
            "recovery_target_inclusive": "off",
            "recovery_target_action": "pause" if read_only else "promote",
            # Not read-only: "ready" then means that recovery is over.
            "hot_standby": "on" if read_only else "off",
        }


def make_plan(catalog: Catalog, parent: str, target: int) -> Plan:
    """The nearest base on the way up from `parent` that is consistent before `target`.

    Raises `EngineError` when none is: a target before the first timeline's beginning.
    """
    timeline, limit = catalog.any(parent), target
    stretches: list[Stretch] = []
    while True:
        usable = [base for base in timeline.bases if base.stop <= limit]
        if usable:
            base = max(usable, key=lambda candidate: candidate.start)
            stretches.append(Stretch(timeline, base.start, limit))
            return Plan(base, stretches, catalog.any(parent), target)
        if timeline.parent is None:
            raise EngineError(f"no base lies before {format_lsn(limit)} on timeline {timeline.id}")
        stretches.append(Stretch(timeline, timeline.own_from, limit))
        limit = timeline.own_from
        timeline = catalog.any(timeline.parent)


async def build(plan: Plan, target: Path, root: Path, timelines: Path, binaries: Binaries) -> None:
    """Fills `target` so that a server started with the plan's settings recovers to the position.

    Data files are copied (servers change them in place); log files are linked (they are only ever appended to
    by their owner, and the copy's server writes files of its own number).
    """
    await remove_folder(target)
    await copy_data(root / plan.base.path, target, binaries.identity)
    for stretch in plan.stretches:
        link_log(stretch, timelines / stretch.timeline.id / "pg_wal", target / "pg_wal")
    own = timelines / plan.parent.id / "pg_wal"
    for history in own.glob("*.history"):
        link_or_copy(history, target / "pg_wal" / history.name, binaries.identity)
    signal = target / "standby.signal"
    signal.touch(mode=0o600)
    give(signal, binaries.identity)


def link_log(stretch: Stretch, source: Path, target: Path) -> None:
    """Gives the target the log files of one stretch."""
    first = stretch.start - stretch.start % SEGMENT
    last = stretch.end + _FILES_PAST_TARGET * SEGMENT
    for file in sorted(source.iterdir()):
        place = segment_range(file.name)
        if place and place[0] == stretch.timeline.tli and first <= place[1] <= last:
            link_or_copy(file, target / file.name, None)


def unlink_inherited(wal: Path, own_tli: int) -> None:
    """Removes the ancestors' log files from a timeline that now stands on its own."""
    for file in wal.iterdir():
        place = segment_range(file.name)
        if place and place[0] != own_tli:
            file.unlink()
