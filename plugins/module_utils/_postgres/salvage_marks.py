# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which changes the new side can take: only it can say whether what a row refers to is still there, and whether its
unique values are free.

What is held back may take others with it: those that refer to it, those that want a value which it keeps. So everything
that is held is remembered, and the tables that it may concern are judged once more until nothing is added. What is
remembered goes to the disk where it is much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from .salvage_ask import Asked, ask, equal
from .salvage_catalog import ForeignKey, Structure, Table
from .salvage_known import Known, Spill
from .salvage_merge import Change, Values
from .salvage_order import Order
from .salvage_shape import Common
from .salvage_unique import Uniques
from .salvage_verdict import Sessions, Verdict, differ, written
from .session import Session
from .tables import identifier

_REFERS = "it refers to a row of {key.parent} that is in conflict ({key.name})"
_NOT_COMPARED = "it refers to a row of {key.parent}, which could not be compared ({key.name})"
_MAY_BE_REFERRED = "a row of {key.child} may refer to it by what is computed otherwise elsewhere ({key.name})"
_REFERRED = "a row of {key.child} that is in conflict refers to it ({key.name})"


class Marks:
    """Judges changes that no row of the new side contradicts by its own key.

    :param before: the structure at the restore point; `old` that of the old, `structure` that of the new side.
    :param salvaged: the tables whose rows are compared; what is new in another one does not come with the salvage.
    :param unread: the tables that this role may not read: nothing can be asked of them.
    """

    def __init__(
        self,
        before: Structure,
        old: Structure,
        structure: Structure,
        order: Order,
        salvaged: Mapping[str, Table],
        sessions: Sessions,
        compared: Mapping[str, Common],
        spill: Spill,
        unread: Collection[str] = (),
    ) -> None:
        self._before = before
        self._structure = structure
        self._order = order
        self._salvaged = salvaged
        self._sessions = sessions
        self._compared = compared
        self._unread = unread
        self._foreign_keys = {_said(key) for key in before.foreign_keys}
        self._held: dict[tuple[str, tuple[str, ...]], Known] = defaultdict(spill.known)
        self._uniques = Uniques(old, order, sessions, spill)
        self._referring: dict[ForeignKey, Known] = defaultdict(spill.known)
        self._refused: dict[str, dict[Values, str]] = defaultdict(dict)
        self.freed: dict[str, dict[Values, str]] = defaultdict(dict)
        """By table and key of a row that is deleted only at the end: the column whose value it gives up before."""
        self.dirty = set(salvaged)
        """The tables that are to be judged, for the first time or once more."""
        self.by_hand: set[ForeignKey] = set()

    def hold(self, table: Table, change: Change) -> None:
        """The change is not made: remember what others may therefore not refer to, and what the new side keeps."""
        if change.old is not None:
            for key in self._structure.referring_to(table.full_name):
                if set(key.referenced) <= table.places.keys() and not _stays(table, key.referenced, change):
                    values = table.plain(key.referenced, table.values(change.old, key.referenced))
                    self._remember(self._held[table.full_name, key.referenced], values, self._children(key))
        if change.base is None or change.base != change.new:
            return
        if self._uniques.hold(table, change):
            self.dirty.add(table.full_name)
        for key in self._structure.of(table.full_name):
            if set(key.columns) <= table.places.keys() and (
                change.old is None or differ(table, key.columns, change.base, change.old)
            ):
                values = table.plain(key.columns, table.values(change.base, key.columns))
                self._remember(self._referring[key], values, {key.parent})

    def refuse(self, table: Table, change: Change, reason: str) -> None:
        """The change cannot be made, for a reason that shows only beside other changes."""
        key = table.key_of(change.row)
        if key not in self._refused[table.full_name]:
            self._refused[table.full_name][key] = reason
            self._uniques.hold(table, change)
            self.dirty.add(table.full_name)

    def keeping(self, table: Table) -> Known:
        """The keys of rows of the new side that were to give up a unique value, and do not."""
        return self._uniques.keeping(table)

    def free(self, table: Table, key: Values, name: str) -> None:
        """The row is deleted only at the end, and another one wants the value of this column before."""
        if key not in self.freed[table.full_name]:
            self.freed[table.full_name][key] = name
            self.dirty.add(table.full_name)

    def _remember(self, known: Known, values: Values, concerned: Iterable[str]) -> None:
        if known.add(values):
            self.dirty.update(name for name in concerned if name in self._salvaged)

    def _children(self, key: ForeignKey) -> set[str]:
        return {item.child for item in self._structure.referring_to(key.parent) if item.referenced == key.referenced}

    def judge(self, table: Table, changes: Sequence[Change]) -> list[Verdict]:
        """For each change what becomes of it."""
        refused = self._refused[table.full_name]
        verdicts = [Verdict(refused.get(table.key_of(change.row)) if refused else None) for change in changes]
        self._given(table, changes, verdicts)
        self._compared[table.full_name].judge(changes, verdicts)
        for key in self._structure.of(table.full_name):
            if set(key.columns) <= table.places.keys():
                self._references(table, key, changes, verdicts)
            elif self._is_computed(table, key.columns):
                self._unknown(_NOT_COMPARED.format(key=key), [item.old for item in changes], verdicts)
        for unique in table.unique:
            self._uniques.judge(table, unique, changes, verdicts)
        for key in self._structure.referring_to(table.full_name):
            if set(key.referenced) <= table.places.keys():
                self._referred(table, key, changes, verdicts)
            elif self._is_computed(table, key.referenced):
                self._unknown(_MAY_BE_REFERRED.format(key=key), [item.base for item in changes], verdicts)
        for key in self._structure.of(table.full_name):
            if key.parent == table.full_name and {*key.columns, *key.referenced} <= table.places.keys():
                self._spread(table, key, changes, verdicts)
        return verdicts

    def _is_computed(self, table: Table, names: Iterable[str]) -> bool:
        """Whether one of these is generated, and otherwise so in another state: nobody knows what it would be here."""
        there = self._structure.tables[table.full_name]
        missing = [name for name in names if name not in table.places]
        return any(there.column(name).computed is not None for name in missing)

    @staticmethod
    def _unknown(reason: str, rows: Sequence[Values | None], verdicts: Sequence[Verdict]) -> None:
        for row, verdict in zip(rows, verdicts, strict=True):
            if row is not None and verdict.reason is None:
                verdict.reason = reason

    @staticmethod
    def _spread(table: Table, key: ForeignKey, changes: Sequence[Change], verdicts: Sequence[Verdict]) -> None:
        """Of rows that refer to each other those that are not made hold back the next: a long chain at once, and not
        one of its links each time that the table is read."""
        children: dict[Values, list[int]] = defaultdict(list)
        for place, values in written(table, key.columns, changes, verdicts):
            children[table.plain(key.columns, values)].append(place)
        parents: dict[Values, list[int]] = defaultdict(list)
        for place, change in enumerate(changes):
            if change.base is not None and verdicts[place].reason is None and _leaves(table, key, change):
                parents[table.plain(key.referenced, table.values(change.base, key.referenced))].append(place)
        edge = [place for place, verdict in enumerate(verdicts) if verdict.reason is not None]
        while edge:
            change = changes[edge.pop()]
            stopped: list[tuple[int, str]] = []
            if change.old is not None and not _stays(table, key.referenced, change):
                values = table.plain(key.referenced, table.values(change.old, key.referenced))
                stopped += ((place, _REFERS.format(key=key)) for place in children.pop(values, ()))
            if change.base is not None and (change.old is None or differ(table, key.columns, change.base, change.old)):
                values = table.plain(key.columns, table.values(change.base, key.columns))
                stopped += ((place, _REFERRED.format(key=key)) for place in parents.pop(values, ()))
            for place, reason in stopped:
                if verdicts[place].reason is None:
                    verdicts[place].reason = reason
                    edge.append(place)

    @staticmethod
    def _given(table: Table, changes: Sequence[Change], verdicts: Sequence[Verdict]) -> None:
        given = [column.name for column in table.columns if column.given]
        if not given:
            return
        for change, verdict in zip(changes, verdicts, strict=True):
            if change.base is not None and change.old is not None:
                names = [name for name in given if differ(table, (name,), change.base, change.old)]
                if names and verdict.reason is None:
                    verdict.reason = f"no update can set {_named(names)} (GENERATED ALWAYS AS IDENTITY)"

    def _references(
        self, table: Table, key: ForeignKey, changes: Sequence[Change], verdicts: Sequence[Verdict]
    ) -> None:
        wanted = list(written(table, key.columns, changes, verdicts))
        parent = self._salvaged.get(key.parent)
        # Which of the parent's rows are held back cannot be said by columns that are not compared.
        if key.parent in self._unread or (parent is not None and self._is_computed(parent, key.referenced)):
            for place, _values in wanted:
                verdicts[place].reason = _NOT_COMPARED.format(key=key)
            return
        held = self._held[key.parent, key.referenced]
        for place, values in wanted:
            if held and table.plain(key.columns, values) in held:
                verdicts[place].reason = _REFERS.format(key=key)
        asked = sorted({values for place, values in wanted if verdicts[place].reason is None})
        # Nobody knows whether what the new side has there since is the row that is meant.
        unknown = set() if key.parent in self._salvaged else set(self._absent_in_base(key, asked))
        gone = self._absent(self._sessions.new, key, [values for values in asked if values not in unknown])
        coming = set(self._absent_in_base(key, gone))
        if coming and _said(key) not in self._foreign_keys:
            # The old side does not know the key: what it refers to need not be anywhere.
            coming -= set(self._absent(self._sessions.old, key, sorted(coming)))
        gone_since = set(gone) - coming
        for place, values in wanted:
            verdict = verdicts[place]
            if verdict.reason is not None:
                continue
            if values in gone_since:
                verdict.reason = f"it refers to a row of {key.parent} that the new side does not have ({key.name})"
            elif values in unknown:
                verdict.reason = _NOT_COMPARED.format(key=key)
            elif values in coming and key in self._order.late.get(table.full_name, ()):
                self._comes_later(table, key, changes[place], verdict)

    def _comes_later(self, table: Table, key: ForeignKey, change: Change, verdict: Verdict) -> None:
        """The row that is meant is in the file too, and may come after this one."""
        fixed = any(table.column(name).computed is not None for name in key.columns)
        if change.base is not None and not fixed:
            verdict.late += key.columns
        elif change.base is not None or key.parent != table.full_name:
            # New rows of one table come in one statement, which may refer to each other.
            empty = () if fixed else tuple(name for name in key.columns if not table.column(name).required)
            if any(unique.may_hold_nulls(empty) for unique in table.unique):
                empty = ()
            verdict.late += empty
            if not empty:
                self.by_hand.add(key)
                verdict.reason = f"it closes a circle with {key.parent}, and can neither wait nor be null ({key.name})"

    def _absent_in_base(self, key: ForeignKey, asked: Sequence[Values]) -> list[Values]:
        return self._absent(self._sessions.base, key, asked) if self._was(key.parent, key.referenced) else list(asked)

    def _was(self, table: str, names: Iterable[str]) -> bool:
        """Whether there was such a table at the restore point, with these columns."""
        found = self._before.tables.get(table)
        return found is not None and set(names) <= found.places.keys()

    def _absent(self, session: Session, key: ForeignKey, values: Sequence[Values]) -> list[Values]:
        if not values:
            return []
        parent = self._structure.tables[key.parent]
        found = ask(
            session,
            f"SELECT k.place FROM {{keys}} WHERE NOT EXISTS (SELECT FROM {parent.full_name} AS r WHERE {{same}})",
            Asked(parent, key.referenced, values),
        )
        return [values[row["place"] - 1] for row in found]

    def _referred(self, table: Table, key: ForeignKey, changes: Sequence[Change], verdicts: Sequence[Verdict]) -> None:
        """What refers to a row that goes must be known to go as well, or to turn to another row."""
        left = [
            (place, table.values(change.base, key.referenced))
            for place, change in enumerate(changes)
            if verdicts[place].reason is None and change.base is not None and _leaves(table, key, change)
        ]
        known = self._referring[key]
        for place, values in left:
            if known and table.plain(key.referenced, values) in known:
                verdicts[place].reason = _REFERRED.format(key=key)
        left = [(place, values) for place, values in left if verdicts[place].reason is None]
        if not left:
            return
        if key.child in self._unread:
            for place, _values in left:
                verdicts[place].reason = f"a row of {key.child}, which cannot be read, may refer to it ({key.name})"
            return
        same = " AND ".join(
            equal(table.column(name), f"c.{identifier(column)}", number)
            for number, (column, name) in enumerate(zip(key.columns, key.referenced, strict=True))
        )
        child = self._salvaged.get(key.child) or self._structure.tables[key.child]
        query = f"SELECT k.place, {child.content('c')} AS row FROM {{keys}} JOIN {key.child} AS c ON {same}"
        asked = Asked(table, key.referenced, [values for _place, values in left])
        new = {(row["place"], row["row"]) for row in ask(self._sessions.new, query, asked)}
        compared = key.child in self._salvaged and self._was(key.child, key.columns)
        base = (
            {(row["place"], row["row"]) for row in ask(self._sessions.base, query, asked)}
            if new and compared
            else set()
        )
        for number, row in new:
            place = left[number - 1][0]
            if (number, row) not in base:
                verdicts[place].reason = f"a row of {key.child} on the new side refers to it ({key.name})"
            elif changes[place].old is not None:
                verdicts[place].reason = f"a row of {key.child} would have to let it go before ({key.name})"


def _said(key: ForeignKey) -> tuple[str, tuple[str, ...], str, tuple[str, ...]]:
    return key.child, key.columns, key.parent, key.referenced


def _stays(table: Table, names: Sequence[str], change: Change) -> bool:
    """Whether the row that others on the old side mean by these values is on the new side, under the same ones."""
    if change.old is None or change.base is None or change.new is None:
        return False
    return not differ(table, names, change.new, change.old)


def _leaves(table: Table, key: ForeignKey, change: Change) -> bool:
    """Whether the row gives up what others may refer to, and nothing makes those follow."""
    if change.old is None or change.base is None:
        return change.old is None
    return not key.deferrable and not key.follows and differ(table, key.referenced, change.base, change.old)


def _named(names: Iterable[str]) -> str:
    return ", ".join(identifier(name) for name in names)
