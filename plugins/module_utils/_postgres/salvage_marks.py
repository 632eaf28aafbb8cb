# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only the new side can say: whether what a row refers to is still there, and whether its unique values are free.

Asked for many rows at once, by indexes. Rows that are held back are remembered, as others may refer to them: memory
grows with them, and with nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from .salvage_catalog import Column, ForeignKey, Structure, Table
from .salvage_merge import Change, Values
from .session import Session
from .tables import identifier

Reasons = list["str | None"]


class Marks:
    """Judges changes that no row of the new side contradicts by its own key.

    :param before: the structure at the restore point; `structure` is that of the new side.
    :param salvaged: the tables whose rows are compared; what is new in another one does not come with the salvage.
    """

    def __init__(
        self, before: Structure, structure: Structure, salvaged: Collection[str], base: Session, new: Session
    ) -> None:
        self._before = before
        self._structure = structure
        self._salvaged = salvaged
        self._base = base
        self._new = new
        self._held: dict[tuple[str, tuple[str, ...]], set[Values]] = defaultdict(set)

    @property
    def held(self) -> int:
        """How many values are remembered."""
        return sum(map(len, self._held.values()))

    def hold(self, table: Table, change: Change) -> None:
        """The row does not come, or another one has its key: nothing that refers to it may come by itself."""
        if change.old is None or (change.base is not None and change.new is not None):
            return
        for key in self._structure.referring_to(table.full_name):
            if set(key.referenced) <= table.places.keys():
                self._held[table.full_name, key.referenced].add(table.values(change.old, key.referenced))

    def judge(self, table: Table, changes: Sequence[Change]) -> Reasons:
        """For each change the reason why it cannot be made on the new side; None where it can."""
        reasons: Reasons = [None] * len(changes)
        for key in self._structure.of(table.full_name):
            if set(key.columns) <= table.places.keys():
                self._references(table, key, changes, reasons)
        for names in table.unique:
            self._unique(table, names, changes, reasons)
        for key in self._structure.referring_to(table.full_name):
            if set(key.referenced) <= table.places.keys():
                self._referred(table, key, changes, reasons)
        return reasons

    def _references(self, table: Table, key: ForeignKey, changes: Sequence[Change], reasons: Reasons) -> None:
        wanted = list(_written(table, key.columns, changes, reasons))
        held = self._held[key.parent, key.referenced]
        for place, values in wanted:
            if values in held:
                reasons[place] = f"it refers to a row of {key.parent} that is in conflict ({key.name})"
        asked = sorted({values for place, values in wanted if reasons[place] is None})
        # Nobody knows whether what the new side has there since is the row that is meant.
        unknown = set() if key.parent in self._salvaged else set(self._absent_in_base(key, asked))
        gone = self._absent(self._new, key, [values for values in asked if values not in unknown])
        in_base = set(gone) - set(self._absent_in_base(key, gone))
        for place, values in wanted:
            if reasons[place] is not None:
                continue
            if values in in_base:
                reasons[place] = f"it refers to a row of {key.parent} that the new side does not have ({key.name})"
            elif values in unknown:
                reasons[place] = f"it refers to a row of {key.parent}, which could not be compared ({key.name})"

    def _absent_in_base(self, key: ForeignKey, asked: Sequence[Values]) -> list[Values]:
        return self._absent(self._base, key, asked) if self._was(key.parent, key.referenced) else list(asked)

    def _was(self, table: str, names: Iterable[str]) -> bool:
        """Whether there was such a table at the restore point, with these columns."""
        found = self._before.tables.get(table)
        return found is not None and set(names) <= found.places.keys()

    def _absent(self, session: Session, key: ForeignKey, asked: Sequence[Values]) -> list[Values]:
        if not asked:
            return []
        parent = self._structure.tables[key.parent]
        found = _ask(
            session,
            f"SELECT k.place FROM {{keys}} WHERE NOT EXISTS (SELECT FROM {parent.full_name} AS r WHERE {{same}})",
            parent,
            key.referenced,
            asked,
        )
        return [asked[row["place"] - 1] for row in found]

    def _unique(self, table: Table, names: tuple[str, ...], changes: Sequence[Change], reasons: Reasons) -> None:
        """Another row of the new side may have the value; one that is as it was then gives it up with this salvage."""
        wanted = list(_written(table, names, changes, reasons))
        both = [(*values, *table.values(changes[place].row, table.key)) for place, values in wanted]
        if not both:
            return
        keys = " AND ".join(
            _equal(table.column(name), "r", name, len(names) + number) for number, name in enumerate(table.key)
        )
        query = (
            f"SELECT k.place, pg_catalog.md5(r.*::pg_catalog.text) AS row FROM {{keys}} JOIN {table.source} AS r"
            f" ON {{same}} WHERE NOT ({keys})"
        )
        for number in self._only_new(query, table, names, both):
            what = ", ".join(identifier(name) for name in names)
            reasons[wanted[number][0]] = f"another row of the new side has its {what}"

    def _referred(self, table: Table, key: ForeignKey, changes: Sequence[Change], reasons: Reasons) -> None:
        wanted = [
            (place, table.values(change.row, key.referenced))
            for place, change in enumerate(changes)
            if change.old is None and reasons[place] is None
        ]
        if not wanted:
            return
        same = " AND ".join(
            _equal(table.column(name), "c", column, number)
            for number, (column, name) in enumerate(zip(key.columns, key.referenced, strict=True))
        )
        query = (
            f"SELECT k.place, pg_catalog.md5(c.*::pg_catalog.text) AS row FROM {{keys}} JOIN {key.child} AS c ON {same}"
        )
        asked = [values for _place, values in wanted]
        for number in self._only_new(query, table, key.referenced, asked, old=self._was(key.child, key.columns)):
            reasons[wanted[number][0]] = f"a row of {key.child} on the new side refers to it ({key.name})"

    def _only_new(
        self, query: str, table: Table, names: Sequence[str], asked: Sequence[Values], *, old: bool = True
    ) -> set[int]:
        """The numbers of those for which the new side has a row that was not there at the restore point.

        :param old: whether there was anything to ask at the restore point.
        """
        new = {(row["place"], row["row"]) for row in _ask(self._new, query, table, names, asked)}
        if not new or not old:
            return {place - 1 for place, _row in new}
        base = {(row["place"], row["row"]) for row in _ask(self._base, query, table, names, asked)}
        return {place - 1 for place, _row in new - base}


def _equal(column: Column, alias: str, name: str, number: int) -> str:
    """The condition that a row has a value asked for; as text where its type has no equality without a search path."""
    if column.comparable:
        return f"{alias}.{identifier(name)} = k.c{number}::{column.type}"
    return f"{alias}.{identifier(name)}::pg_catalog.text = k.c{number}"


def _written(
    table: Table, names: Sequence[str], changes: Sequence[Change], reasons: Reasons
) -> Iterable[tuple[int, Values]]:
    """The values that the changes write into these columns, with no null among them: a null refers to nothing."""
    for place, change in enumerate(changes):
        if change.old is None or reasons[place] is not None:
            continue
        values = table.values(change.old, names)
        if None not in values and (change.base is None or table.values(change.base, names) != values):
            yield place, values


def _ask(
    session: Session, query: str, table: Table, names: Sequence[str], asked: Sequence[Values]
) -> list[dict[str, Any]]:
    """Ask about many rows at once.

    :param query: holds ``{keys}`` for the values asked for, k.c0 and so on, and may hold ``{same}`` for r's columns.
    """
    columns = [f"c{number}" for number in range(len(asked[0]))]
    arrays = ", ".join(["pg_catalog.unnest(%s::pg_catalog.text[])"] * len(columns))
    keys = f"ROWS FROM ({arrays}) WITH ORDINALITY AS k({', '.join(columns)}, place)"
    same = " AND ".join(_equal(table.column(name), "r", name, number) for number, name in enumerate(names))
    # Names may hold braces: nothing is formatted.
    text = query.replace("{same}", same).replace("%", "%%").replace("{keys}", keys)
    return session.run((text, [list(column) for column in zip(*asked, strict=True)]))[0]
