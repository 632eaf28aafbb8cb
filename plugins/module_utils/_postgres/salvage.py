# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: what was written to the old side after the restore point, as a SQL file for the new side.

Three states are compared by key: at the restore point (base), on the old side, and on the new side. Tables whose hashes
say that the old side never touched them are not read any further. The others are streamed from all three and merged.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import catalog, manifest, salvage_catalog, salvage_sql
from .salvage_catalog import Structure, Table, differing
from .salvage_file import Sections
from .salvage_marks import Marks
from .salvage_merge import Change, Values, merge, stream
from .salvage_order import Order, order
from .session import Address, Limits, Session, connect

# As many rows are judged in one round trip.
BATCH = 2000
AT_POINT, ON_OLD, ON_NEW = "at the restore point", "on the old side", "on the new side"


class Sides(NamedTuple):
    """Where the three states are."""

    base: Address
    old: Address
    new: Address


@dataclass
class Counts:
    """What the old side did to a table, and what becomes of it.

    :param conflicts: of these, those that a person must decide.
    :param already_there: of these, those that the new side has done as well.
    """

    inserted: int = 0
    changed: int = 0
    deleted: int = 0
    conflicts: int = 0
    already_there: int = 0

    def as_dict(self) -> dict[str, int]:
        return dict(vars(self))


@dataclass
class Found:
    """All that a salvage says beside its file."""

    tables: dict[str, Counts] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        counts = [item.as_dict() for item in self.tables.values()]
        total = {name: sum(item[name] for item in counts) for name in Counts().as_dict()}
        return {
            "tables": {name: item.as_dict() for name, item in self.tables.items()},
            "total": total,
            "rows": sum(total[name] for name in ("inserted", "changed", "deleted")),
            "skipped": dict(sorted(self.skipped.items())),
            "sequences": self.sequences,
            "by_hand": self.by_hand,
            "triggers": self.triggers,
        }


class _Open(NamedTuple):
    """The sessions; base and new have a second one, for questions while the first one streams."""

    base: Session
    old: Session
    new: Session
    ask_base: Session
    ask_new: Session


def take(sides: Sides, sections: Sections, limits: Limits, progress: Callable[[str], None]) -> Found:
    """Compare the three states and write the statements into `sections`.

    :raises DatabaseError: when one of the states cannot be read.
    """
    with contextlib.ExitStack() as stack:
        places = (sides.base, sides.old, sides.new, sides.base, sides.new)
        opened = _Open(*(stack.enter_context(connect(place, limits)) for place in places))
        progress("hashing the tables at the restore point")
        at_point = manifest.take(opened.base)
        progress("hashing the tables of the old side")
        on_old = manifest.take(opened.old)
        for session in opened:
            stack.enter_context(session.snapshot({"search_path": "", "cursor_tuple_fraction": "1"}))
        return _Salvage(opened, at_point, on_old, sections, progress).run()


class _Salvage:
    def __init__(
        self,
        opened: _Open,
        at_point: Mapping[str, Any],
        on_old: Mapping[str, Any],
        sections: Sections,
        progress: Callable[[str], None],
    ) -> None:
        self.opened = opened
        self.at_point = at_point
        self.on_old = on_old
        self.sections = sections
        self.progress = progress
        self.found = Found()
        self.base, self.old, self.new = (
            salvage_catalog.read(session) for session in (opened.base, opened.old, opened.new)
        )
        # What they say is about the schema of their own side, which no row brings over.
        self.migrations = {name for part in (self.base, self.old, self.new) for name in part.migrations}
        self.tables = dict(self._comparable())
        self.order: Order = order(self.new, self.tables)
        self.marks = Marks(self.base, self.new, self.tables, opened.ask_base, opened.ask_new)

    def run(self) -> Found:
        for name in self.order.tables:
            self._table(self.tables[name])
        self._sequences()
        written = {name for name, counts in self.found.tables.items() if sum(vars(counts).values())}
        self.found.triggers = sorted(written & self.new.triggers)
        self.found.by_hand += [
            f"{key.name} of {key.child}: it closes a circle with {key.parent}, and can neither wait nor be null"
            for key in self.order.by_hand
            if key.child in written
        ]
        return self.found

    def _comparable(self) -> Iterator[tuple[str, Table]]:
        """The tables whose rows the old side has changed and that can be compared; the others that it has are named."""
        states: dict[str, tuple[Structure, Mapping[str, Any]]] = {
            AT_POINT: (self.base, self.at_point),
            ON_OLD: (self.old, self.on_old),
        }
        for name in sorted(self.base.tables.keys() | self.old.tables.keys()):
            before, after = (state[1]["tables"].get(name) for state in states.values())
            unread = next((state[1]["skipped"][name] for state in states.values() if name in state[1]["skipped"]), None)
            if (
                unread is None
                and before
                and after
                and (before["rows"], before["hash"]) == (after["rows"], after["hash"])
            ):
                continue
            tables = {side: structure.tables.get(name) for side, (structure, _read) in states.items()}
            tools = "a migration tool's own table" if name in self.migrations else None
            why = unread or tools or differing({**tables, ON_NEW: self.new.tables.get(name)})
            if why is None:
                yield name, self.new.tables[name]
            else:
                self.found.skipped[name] = f"{why}{_rows(before, after)}"
        for read in (self.at_point, self.on_old):
            for name, reason in read["skipped"].items():
                self.found.skipped.setdefault(name, reason)

    def _table(self, table: Table) -> None:
        self.progress(f"comparing {table.full_name}")
        counts = self.found.tables[table.full_name] = Counts()
        writer = _Writer(table, self.new, self.order, self.sections)
        if any(key.parent == table.full_name for key in self.new.of(table.full_name)):
            self._hold_all(table)
        for number, (change, reason) in enumerate(self._judged(table), start=1):
            setattr(counts, change.kind, getattr(counts, change.kind) + 1)
            counts.already_there += change.is_there
            counts.conflicts += reason is not None
            if reason is not None:
                writer.remark(change, reason)
            elif not change.is_there:
                writer.write(change)
            if number % 100_000 == 0:
                self.progress(f"comparing {table.full_name}: {number} changed rows so far")
        writer.end()

    def _hold_all(self, table: Table) -> None:
        """A row that is held back may have children in its own table, before it or after it, and they have some too."""
        before = -1
        while before != self.marks.held:
            before = self.marks.held
            for _judged in self._judged(table):
                pass

    def _judged(self, table: Table) -> Iterator[tuple[Change, str | None]]:
        """Every change, and why it is not made: empty for one that the new side contradicts by itself."""
        sessions = (self.opened.base, self.opened.old, self.opened.new)
        waiting: list[Change] = []
        with contextlib.ExitStack() as stack:
            # All three name the columns in the order of the new side.
            rows = [stack.enter_context(contextlib.closing(stream(session, table))) for session in sessions]
            for change in merge(table, *rows):
                waiting.append(change)
                if len(waiting) >= BATCH:
                    yield from self._reasons(table, waiting)
                    waiting = []
        yield from self._reasons(table, waiting)

    def _reasons(self, table: Table, changes: Sequence[Change]) -> Iterator[tuple[Change, str | None]]:
        for change in changes:
            if change.is_conflict:
                self.marks.hold(table, change)
        open_ones = [change for change in changes if not change.is_conflict and not change.is_there]
        reasons = deque(self.marks.judge(table, open_ones))
        for change in changes:
            reason = "" if change.is_conflict else None if change.is_there else reasons.popleft()
            if reason:
                self.marks.hold(table, change)
            yield change, reason

    def _sequences(self) -> None:
        (rows,) = self.opened.new.run(catalog.SEQUENCES)
        there = {row["name"]: row for row in rows}
        before = self.at_point["sequences"]
        for name, sequence in self.on_old["sequences"].items():
            value, increment = sequence["last_value"], sequence["increment"]
            was = (before.get(name) or {}).get("last_value")
            if value is None or (was is not None and (value - was) * increment <= 0):
                continue
            if name not in there:
                self.found.skipped[name] = "sequence: it does not exist on the new side"
                continue
            self.found.sequences[name] = value
            self.sections.add("sequences", salvage_sql.setval(name, value, increment))


def _rows(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if not before or not after:
        return ""
    return f" ({before['rows']} rows at the restore point, {after['rows']} on the old side)"


class _Writer:
    """Puts the statements of one table into the sections of the file.

    Deletions come first, for they free unique values, and once more at the end: what another row still refers to at
    first is free by then. In between each table gets its changes, then its new rows.
    """

    def __init__(self, table: Table, structure: Structure, order: Order, sections: Sections) -> None:
        self.table = table
        self.sections = sections
        self.referring = structure.referring_to(table.full_name)
        self.late = order.late.get(table.full_name, ())
        self.late_columns = [name for key in self.late for name in key.columns if not table.column(name).required]
        self.together = any(key.child == table.full_name for key in self.referring)
        self.deleted = 0

    def remark(self, change: Change, reason: str) -> None:
        """:param reason: empty where both sides have changed the row."""
        if reason:
            text = salvage_sql.held_back(self.table, change, reason, self.referring)
        else:
            text = salvage_sql.conflict(self.table, change, self.referring)
        self.sections.add("inserts" if change.base is None else "updates", text, self.table.full_name)

    def write(self, change: Change) -> None:
        if change.base is None:
            self._insert(change.row)
        elif change.old is None:
            self._delete(change.base)
        else:
            self._update(change.base, change.old)

    def _insert(self, row: Values) -> None:
        empty = [name for name in self.late_columns if row[self.table.places[name]] is not None]
        self.sections.add("inserts", salvage_sql.insert(self.table, row, empty), self.table.full_name)
        if empty:
            self.sections.add("late", salvage_sql.fill(self.table, row, empty))

    def _update(self, before: Values, after: Values) -> None:
        names = salvage_sql.changed(self.table, before, after)
        late = [name for name in names if name in self.late_columns and after[self.table.places[name]] is not None]
        early = [name for name in names if name not in late]
        if early:
            text = salvage_sql.update(self.table, before, after, early)
            self.sections.add("updates", text, self.table.full_name)
        if late:
            self.sections.add("late", salvage_sql.update(self.table, before, after, late))

    def _delete(self, row: Values) -> None:
        name = self.table.full_name
        if self.together:
            if not self.deleted:
                self.sections.add("deletes", salvage_sql.delete_together_begin(self.table), name)
            text = salvage_sql.delete_together_row(self.table, row, first=not self.deleted)
        else:
            text = salvage_sql.delete(self.table, row, self.referring)
        self.sections.add("deletes", text, name)
        self.deleted += 1

    def end(self) -> None:
        if self.together and self.deleted:
            text = salvage_sql.delete_together_end(self.table, self.referring)
            self.sections.add("deletes", text, self.table.full_name)
        self.sections.close(self.table.full_name, again=bool(self.referring and self.deleted))
