# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the three states have in common of a table: a migration after the restore point must not cost its rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .salvage_catalog import Column, Table, Unique
from .salvage_merge import Change
from .salvage_verdict import Verdict, differ
from .tables import identifier

AT_POINT, ON_OLD, ON_NEW = "at the restore point", "on the old side", "on the new side"
_WHOLE = {"smallint": 15, "integer": 31, "bigint": 63}
_TEXT = re.compile(r"text|character varying(?:\((\d+)\))?")


@dataclass(frozen=True)
class Common:
    """A table as it is compared.

    :param left_out: columns that are not, with the reason.
    :param unjudged: indexes of the new side that need one of these.
    :param missing: of these those of the new side; a deletion there would take what nobody has compared.
    :param needed: of these those that a new row could not do without.
    """

    table: Table
    left_out: Mapping[str, str] = field(default_factory=dict)
    unjudged: tuple[Unique, ...] = ()
    missing: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    narrow: tuple[Column, ...] = ()
    """Columns in which the old side may have what the new side cannot take."""
    unlike: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By column of an enum the labels that only the old side has."""

    def judge(self, changes: Sequence[Change], verdicts: Sequence[Verdict]) -> None:
        """What the new side cannot take for what its columns are."""
        if not (self.missing or self.narrow):
            return
        for change, verdict in zip(changes, verdicts, strict=True):
            if verdict.reason is None:
                verdict.reason = self._reason(change)

    def _reason(self, change: Change) -> str | None:
        if change.old is None:
            names = ", ".join(map(identifier, self.missing))
            return f"the new side has columns that were not compared: {names}" if names else None
        if change.base is None and self.needed:
            return f"the new side needs a value for {', '.join(map(identifier, self.needed))}"
        for column in self.narrow:
            is_written = change.base is None or differ(self.table, (column.name,), change.base, change.old)
            if is_written and not self._takes(column, change.old[self.table.places[column.name]]):
                return f"the new side cannot take its {column.sql}"
        return None

    def _takes(self, column: Column, value: str | None) -> bool:
        if value is None:
            return not column.required
        if column.type in _WHOLE:
            return -(1 << _WHOLE[column.type]) <= int(value) < 1 << _WHOLE[column.type]
        longest = _TEXT.fullmatch(column.type)
        if longest is not None and longest[1] is not None:
            return len(value) <= int(longest[1])
        unlike = self.unlike.get(column.name, frozenset())
        if not column.type.endswith("[]"):
            return value not in unlike
        # The text of an array has them in it, perhaps as a part of another one.
        return not any(label.replace("\\", r"\\").replace('"', r"\"") in value for label in unlike)


def common(tables: Mapping[str, Table | None]) -> Common | str:
    """What can be compared of a table, as the new side has it; or why nothing can.

    :param tables: by the name of the state.
    """
    missing = [side for side, table in tables.items() if table is None]
    if missing:
        return f"it does not exist {' and '.join(missing)}"
    found = [table for side in (AT_POINT, ON_OLD, ON_NEW) if (table := tables[side]) is not None]
    base, old, new = (_computed_alike(table, found) for table in found)
    if not (base.key and old.key and new.key):
        return "it has no primary key"
    if len({base.kind, old.kind, new.kind}) > 1:
        return "it is not partitioned in all three states"
    if base.key != new.key or old.key != new.key:
        return "its primary key differs between the three states"
    left = {column.name: "the new side does not have it" for column in base.columns if column.name not in new.places}
    for column in old.columns:
        if column.name not in new.places and column.name not in left:
            left[column.name] = "only the old side has it"
    left |= {column.name: _left_out(column, old) for column in new.columns if not _alike(column, old)}
    columns = tuple(column for column in new.columns if column.name not in left)
    unknown = frozenset(column.name for column in columns if not _alike(column, base))
    usable = {column.name for column in columns if column.name not in unknown and column.computed is None}
    if set(new.key) - usable:
        return f"its primary key is not the same in the three states: {', '.join(new.key)}"
    loose = [f"{column.name} ({column.type})" for column in map(new.column, new.key) if not column.exact]
    if loose:
        return f"its primary key takes values for equal that are written differently: {', '.join(loose)}"
    return _reduced(old, new, left, columns, unknown)


def _computed_alike(table: Table, states: Sequence[Table]) -> Table:
    """Without the generated columns that are not computed in the same way in all three states."""
    columns = tuple(
        column
        for column in table.columns
        if column.computed is None
        or all(
            column.name in state.places and state.column(column.name).computed == column.computed for state in states
        )
    )
    return replace(table, columns=columns, places={column.name: place for place, column in enumerate(columns)})


def _reduced(
    old: Table, new: Table, left: Mapping[str, str], columns: tuple[Column, ...], unknown: frozenset[str]
) -> Common:
    unjudged = tuple(unique for unique in new.unique if set(unique.columns) & left.keys())
    table = replace(
        new,
        columns=columns,
        unique=tuple(unique for unique in new.unique if unique not in unjudged),
        places={column.name: place for place, column in enumerate(columns)},
        unknown=unknown,
    )
    missing = tuple(name for name in left if name in new.places)
    needed = tuple(name for name in missing if new.column(name).required and not new.column(name).has_default)
    unlike = {column.name: old.column(column.name).labels - column.labels for column in columns}
    narrow = []
    for column in columns:
        other = old.column(column.name)
        if column.type != other.type or column.required > other.required or unlike[column.name]:
            narrow.append(column)
    return Common(table, left, unjudged, missing, needed, tuple(narrow), unlike)


def _left_out(column: Column, old: Table) -> str:
    if column.name not in old.places:
        return "the old side does not have it"
    return f"its type is {old.column(column.name).type} on the old side, and {column.type} on the new one"


def _alike(column: Column, other: Table) -> bool:
    """Whether its values have the same texts in another state."""
    if column.name not in other.places:
        return False
    types = {column.type, other.column(column.name).type}
    return len(types) == 1 or types <= _WHOLE.keys() or all(map(_TEXT.fullmatch, types))
