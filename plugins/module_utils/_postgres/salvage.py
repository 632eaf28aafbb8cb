# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: what was written to the old side after the restore point, as a SQL file for the new side.

Three states are compared by key: at the restore point (base), on the old side, and on the new side. Tables whose hashes
say that the old side never touched them are not read any further. The others are streamed from all three and merged,
more than once where what is held back turns out to concern others.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import catalog, manifest, salvage_catalog, salvage_sql, salvage_triggers
from .salvage_ask import waiting
from .salvage_catalog import Structure, Table
from .salvage_early import nullable
from .salvage_file import Sections
from .salvage_known import Spill
from .salvage_marks import Marks
from .salvage_merge import AT_ONCE, Change, merge, stream, width
from .salvage_order import Order, order
from .salvage_shape import AT_POINT, ON_NEW, ON_OLD, Common, common
from .salvage_unique import understood, unseen
from .salvage_verdict import Sessions, Verdict
from .salvage_writer import Writer
from .session import Address, Limits, Session, connect
from .tables import identifier

# Without psycopg nothing connects, and connecting says so.
with contextlib.suppress(ImportError):
    import psycopg

# As many rows are judged in one round trip, or fewer wide ones.
BATCH = 2000
# A session waits while another one streams, and while the file is written; a table may take as long as it may.
_SETTINGS = {
    "search_path": "",
    "cursor_tuple_fraction": "1",
    "idle_in_transaction_session_timeout": str(24 * 3600 * 1000),
}
_MAY_READ_SEQUENCE = """
SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS may
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND pg_catalog.format('%%I.%%I', n.nspname, c.relname) = %s
"""
_LARGE_OBJECTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) AS there"
_BOTH, _NEITHER = Verdict(""), Verdict()
_EXCHANGED = "it exchanges a unique value with other rows, and none of them can be without one for a moment"
_KEPT = "a row of the new side that has its unique value, or waits for it, is in conflict and keeps it"


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
    owners: list[str] = field(default_factory=list)

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
            "owners": self.owners,
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
    # Whether the new side answers at all is not to be found out after an hour.
    with connect(sides.new, limits):
        pass
    hashed = []
    # Each in a session of its own: one that waits for the others to be hashed may be gone by then.
    for place, where in ((sides.base, AT_POINT), (sides.old, "of the old side")):
        progress(f"hashing the tables {where}")
        with connect(place, limits) as session:
            hashed.append(manifest.take(session, manifest.Wanted(exact=True)))
    with contextlib.ExitStack() as stack:
        places = (sides.base, sides.old, sides.new, sides.base, sides.new)
        opened = _Open(*(stack.enter_context(connect(place, limits)) for place in places))
        for session in opened:
            stack.enter_context(session.snapshot(_SETTINGS))
        stack.enter_context(_naming(opened))
        spill = stack.enter_context(Spill(sections.folder))
        return _Salvage(opened, hashed[0], hashed[1], sections, progress, spill).run()


@contextlib.contextmanager
def _naming(opened: _Open) -> Iterator[None]:
    """An error names where it arose: the snapshot that was begun last would take every one for its own."""
    try:
        yield
    except psycopg.Error as error:
        status = psycopg.pq.TransactionStatus
        bad = (status.INERROR, status.UNKNOWN)
        failed = (item for item in opened if item.connection.info.transaction_status in bad)
        raise next(failed, opened.new).failure("read from the database", error) from None


class _Salvage:
    def __init__(
        self,
        opened: _Open,
        at_point: Mapping[str, Any],
        on_old: Mapping[str, Any],
        sections: Sections,
        progress: Callable[[str], None],
        spill: Spill,
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
        asked = Sessions(opened.ask_base, opened.old, opened.ask_new)
        compared = dict(self._comparable())
        self.unread = {name for part in (self.base, self.old, self.new) for name in part.unread}
        # What has failed once while it was hashed would fail again.
        self.unread |= {
            name
            for state in (at_point, on_old)
            for name, reason in state["skipped"].items()
            if reason not in manifest.NOT_RESTORED
        }
        self.tables, lines = understood({name: item.table for name, item in compared.items()}, self.old, asked)
        self.found.by_hand += lines
        self.order: Order = order(self.new, self.tables)
        self.marks = Marks(self.base, self.old, self.new, self.order, self.tables, asked, compared, spill, self.unread)
        self.written: dict[str, set[str]] = {}
        """The tables that the file writes, and the columns that it changes there."""

    def run(self) -> Found:
        # What is held back in one table may concern another that was written already, or the same one.
        while self.marks.dirty:
            for name in self.order.tables:
                if name in self.marks.dirty:
                    self._table(self.tables[name])
        self._sequences()
        self._large_objects()
        self._triggers()
        self.found.by_hand += sorted(
            f"{key.name} of {key.child}: it closes a circle with {key.parent}, and can neither wait nor be null"
            for key in self.marks.by_hand
        )
        return self.found

    def _triggers(self) -> None:
        triggers = salvage_triggers.concerned(self.new, self.written)
        if triggers:
            self.sections.add("disabled", salvage_triggers.disable(triggers))
            self.sections.add("enabled", salvage_triggers.enable(triggers))
        self.found.triggers = sorted({trigger.table for trigger in triggers})
        self.found.owners = sorted({trigger.owner for trigger in triggers})

    def _comparable(self) -> Iterator[tuple[str, Common]]:
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
            closed = "this role may not read all of it on the new side" if name in self.new.unread else None
            compared = unread or tools or closed or common({**tables, ON_NEW: self.new.tables.get(name)})
            if isinstance(compared, str):
                self.found.skipped[name] = f"{compared}{_rows(before, after)}"
                continue
            yield name, compared
            for column, reason in compared.left_out.items():
                self.found.skipped[f"{name}.{identifier(column)}"] = f"column: {reason}"
            for unique in compared.unjudged:
                self.found.by_hand.append(unseen(unique, name))
        for read in (self.at_point, self.on_old):
            for name, reason in read["skipped"].items():
                self.found.skipped.setdefault(name, reason)

    def _table(self, table: Table) -> None:
        self.progress(f"comparing {table.full_name}")
        counts = self.found.tables[table.full_name] = Counts()
        self.marks.dirty.discard(table.full_name)
        self.sections.discard(table.full_name)
        writer = Writer(table, self.new, self.order, self.sections, self.marks.freed[table.full_name])
        for number, (change, verdict) in enumerate(self._judged(table), start=1):
            setattr(counts, change.kind, getattr(counts, change.kind) + 1)
            counts.already_there += change.is_there
            counts.conflicts += verdict.reason is not None
            if verdict.reason is not None:
                writer.remark(change, verdict.reason)
            elif not change.is_there:
                writer.write(change, verdict)
            if number % 100_000 == 0:
                self.progress(f"comparing {table.full_name}: {number} changed rows so far")
        turns = writer.end(self.marks.keeping(table))
        for keys, reason in ((turns.circles, _EXCHANGED), (turns.behind, _KEPT)):
            for key in keys:
                self.marks.refuse(table, writer.takes[key][0], reason)
        self.written.pop(table.full_name, None)
        if writer.columns is not None:
            self.written[table.full_name] = writer.columns
        if table.full_name not in self.marks.dirty:
            self._give_up(table, writer)

    def _give_up(self, table: Table, writer: Writer) -> None:
        """A deleted row that goes only at the end keeps its unique values until then, and another row wants one."""
        holders = {holder for _change, verdict in writer.takes.values() for _unique, holder in verdict.takes}
        if not holders or not writer.referring:
            return
        late = waiting(self.new, table, holders, self.opened.ask_new, self.opened.old, self.old, self.unread)
        for change, verdict in writer.takes.values():
            for unique, holder in verdict.takes:
                if holder not in late or self.marks.freed[table.full_name].get(holder) in unique.columns:
                    continue
                name = nullable(table, unique)
                if name is not None and holder not in self.marks.freed[table.full_name]:
                    self.marks.free(table, holder, name)
                else:
                    self.marks.refuse(
                        table, change, f"a deleted row has its {unique.what} until nothing refers to it any more"
                    )

    def _judged(self, table: Table) -> Iterator[tuple[Change, Verdict]]:
        """Every change, and what becomes of it."""
        sessions = (self.opened.base, self.opened.old, self.opened.new)
        waiting: list[Change] = []
        size = 0
        with contextlib.ExitStack() as stack:
            # All three name the columns in the order of the new side.
            streams = [stream(session, table, table.unknown if session is sessions[0] else ()) for session in sessions]
            rows = [stack.enter_context(contextlib.closing(some)) for some in streams]
            for change in merge(table, *rows):
                waiting.append(change)
                size += width(change.base) + width(change.old) + width(change.new)
                if len(waiting) >= BATCH or size >= AT_ONCE:
                    yield from self._verdicts(table, waiting)
                    waiting, size = [], 0
        yield from self._verdicts(table, waiting)

    def _verdicts(self, table: Table, changes: Sequence[Change]) -> Iterator[tuple[Change, Verdict]]:
        for change in changes:
            if change.is_conflict:
                self.marks.hold(table, change)
        open_ones = [change for change in changes if not change.is_conflict and not change.is_there]
        verdicts = deque(self.marks.judge(table, open_ones))
        for change in changes:
            verdict = _BOTH if change.is_conflict else _NEITHER if change.is_there else verdicts.popleft()
            if verdict.reason:
                self.marks.hold(table, change)
            yield change, verdict

    def _sequences(self) -> None:
        (rows,) = self.opened.new.run(catalog.SEQUENCES)
        there = {row["name"]: row for row in rows}
        before = self.at_point["sequences"]
        for name, sequence in self.on_old["sequences"].items():
            increment = sequence["increment"]
            value = _stands_at(self.opened.old, name, sequence)
            if value is None:
                self.found.skipped[name] = "sequence: this role may not read it"
                continue
            was = _stands_at(self.opened.base, name, before[name]) if name in before else None
            if was is not None and (value - was) * increment <= 0:
                continue
            if name not in there:
                self.found.skipped[name] = "sequence: it does not exist on the new side"
                continue
            self.found.sequences[name] = value
            self.sections.add("sequences", salvage_sql.setval(name, value, increment))

    def _large_objects(self) -> None:
        sides = (self.opened.base, self.opened.old)
        if any(session.one(_LARGE_OBJECTS)["there"] for session in sides):
            self.found.skipped["large objects"] = "they are in no table, and were not compared"


def _stands_at(session: Session, name: str, sequence: Mapping[str, Any]) -> int | None:
    """The value after which a sequence goes on; None where the role may not read it.

    The catalogue has none for one that was set to what it gives next (``setval(..., false)``, ``RESTART``).
    """
    if sequence["last_value"] is not None:
        return int(sequence["last_value"])
    if not session.one(_MAY_READ_SEQUENCE, [name])["may"]:
        return None
    own = session.one(f"SELECT last_value, is_called FROM {name}")
    return int(own["last_value"] if own["is_called"] else own["last_value"] - sequence["increment"])


def _rows(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if not before or not after:
        return ""
    return f" ({before['rows']} rows at the restore point, {after['rows']} on the old side)"
