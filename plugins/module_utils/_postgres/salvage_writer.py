# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts the statements of one table into the sections of the file."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from . import salvage_sql, salvage_staged
from .salvage_catalog import Structure, Table
from .salvage_early import Early
from .salvage_file import Sections
from .salvage_merge import Change, Values
from .salvage_order import Order, Turns, in_turn
from .salvage_staged import Staged
from .salvage_verdict import Verdict


class Writer:
    """Writes the changes of a table.

    Deletions come first, for they free unique values, and once more at the end: what another row still refers to at
    first is free by then. In between each table gets its changes, then its new rows, and last what refers to rows that
    come after their own.

    :param freed: by the key of a row that goes only at the end the column that another row wants before.
    """

    def __init__(
        self, table: Table, structure: Structure, order: Order, sections: Sections, freed: Mapping[Values, str]
    ) -> None:
        self.table = table
        self.sections = sections
        self.freed = freed
        self.referring = structure.referring_to(table.full_name)
        own = [key for key in self.referring if key.child == table.full_name]
        number = order.tables.index(table.full_name)
        self._new = Staged(table, f"rewind_new_{number}", lambda text: self._add("inserts", text))
        self._gone = Staged(table, f"rewind_gone_{number}", lambda text: self._add("deletes", text))
        self._stages_new = any(not key.deferrable for key in own)
        self._stages_gone = bool(own)
        self._late = [name for key in order.late.get(table.full_name, ()) for name in key.columns]
        # Where a row of the parent is changed, PostgreSQL may have changed this one by then.
        self._follows = {
            name
            for key in structure.of(table.full_name)
            if key.follows and key.referenced != structure.tables[key.parent].key
            for name in key.columns
        }
        self._deleted = 0
        self._early = Early(table, structure)
        self._instead: dict[Values, dict[str, str]] = {}
        self.takes: dict[Values, tuple[Change, Verdict]] = {}
        """The changes that take another row's unique value, by their keys."""
        self.columns: set[str] | None = None
        """The columns that are changed; None where nothing is written at all."""

    def _add(self, section: str, text: str) -> None:
        self.sections.add(section, text, self.table.full_name)

    def remark(self, change: Change, reason: str) -> None:
        """:param reason: empty where both sides have changed the row."""
        if reason:
            text = salvage_sql.held_back(self.table, change, reason, self.referring)
        else:
            text = salvage_sql.conflict(self.table, change, self.referring)
        # The rows that come in one statement are not to be parted by a comment.
        self._add("remarks", text)

    def write(self, change: Change, verdict: Verdict) -> None:
        self.columns = self.columns or set()
        if verdict.takes:
            self.takes[self.table.key_of(change.row)] = change, verdict
        if change.base is None:
            self._insert(change.row, verdict)
        elif change.old is None:
            self._delete(change.base)
        elif not verdict.takes:
            self._update(change.base, change.old, verdict)

    def _insert(self, row: Values, verdict: Verdict) -> None:
        empty = [name for name in dict.fromkeys(verdict.late) if row[self.table.places[name]] is not None]
        if self._stages_new:
            self._new.row(row, empty)
        else:
            self._add("inserts", salvage_sql.insert(self.table, row, empty))
        if empty:
            self._add("fills", salvage_sql.fill(self.table, row, empty))

    def _update(self, before: Values, after: Values, verdict: Verdict) -> None:
        names = salvage_sql.changed(self.table, before, after)
        self.columns = {*(self.columns or ()), *names}
        late = [name for name in names if name in verdict.late]
        early = self._before_others(names, late) if late else names
        late = [name for name in names if name not in early]
        for section, some in (("updates", early), ("late", late)):
            follows = [name for name in some if name in self._follows]
            for together in (follows, [name for name in some if name not in follows]):
                if together:
                    self._add(section, salvage_sql.update(self.table, before, after, together))

    def _before_others(self, names: Sequence[str], late: Sequence[str]) -> list[str]:
        """Only what another row may wait for comes before the rest: in between it could be what no check allows."""
        apart = [set(unique.columns) for unique in self.table.unique if not set(unique.columns) & set(late)]
        return [name for name in names if any(name in unique for unique in apart)]

    def _delete(self, row: Values) -> None:
        name = self.freed.get(self.table.key_of(row))
        if name is not None:
            self._add("freed", salvage_sql.free(self.table, row, name))
            place = self.table.places[name]
            row = (*row[:place], None, *row[place + 1 :])
        if self._stages_gone:
            self._gone.row(row)
        else:
            self._add("deletes", salvage_sql.delete(self.table, row, self.referring))
        self._deleted += 1

    def end(self, keeping: Container[Values]) -> Turns:
        """All changes are there. Returns in which order they take values; those that are not in it are not written.

        :param keeping: rows of the new side that give up nothing.
        """
        if self._gone.rows:
            self._gone.end()
            for section in ("deletes", "again"):
                self._add(section, salvage_staged.delete(self._gone, self.referring))
        if self._new.rows:
            self._new.end()
            self._add("inserts", salvage_staged.insert(self._new, self._late))
        turns = in_turn(
            {key: [holder for _unique, holder in verdict.takes] for key, (_change, verdict) in self.takes.items()},
            keeping,
            self._may_be_early,
        )
        for key in turns.early:
            change, _verdict = self.takes[key]
            if change.base is not None and change.old is not None:
                self._add("updates", salvage_sql.give_up(self.table, change.base, change.old, self._instead[key]))
        early = set(turns.early)
        for key in turns.order:
            change, verdict = self.takes[key]
            if change.base is not None and change.old is not None:
                instead = self._instead[key] if key in early else {}
                self._update(self._holding(change.base, instead), change.old, verdict)
        again = bool(self.referring and self._deleted and not self._stages_gone)
        self.sections.close(self.table.full_name, again=again)
        return turns

    def _may_be_early(self, key: Values, takers: Sequence[Values]) -> bool:
        change, verdict = self.takes[key]
        # What can be written only late would be missed until then; what follows a parent has changed by then.
        if change.base is None or change.old is None or verdict.late:
            return False
        if self._follows & set(salvage_sql.changed(self.table, change.base, change.old)):
            return False
        wanted = [unique for taker in takers for unique, holder in self.takes[taker][1].takes if holder == key]
        instead = self._early.instead(dict.fromkeys(wanted))
        if instead is not None:
            self._instead[key] = instead
        return instead is not None

    def _holding(self, row: Values, instead: Mapping[str, str]) -> Values:
        places = {self.table.places[name]: value for name, value in instead.items()}
        return tuple(places.get(place, value) for place, value in enumerate(row))
