# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a row holds for a moment where another one must have its unique value first: what no row has.

Not null: the statement that ends it must find only what the file itself has put there, also where the file is applied
late, or twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from .salvage_catalog import Column, Structure, Table, Unique

# From the least number of a type on: nobody numbers rows there, and where somebody does, the file fails and changes
# nothing. What a length limits, or a domain checks, is not in here.
_NUMBERS = {"smallint": -(2**15), "integer": -(2**31), "bigint": -(2**63)}
_TEXTS = frozenset({"text", "character varying"})
# As many as even the smallest type has room for where nobody numbers rows.
_MOST = 10_000


def nullable(table: Table, unique: Unique) -> str | None:
    """A column of these that frees the values of all of them by being null."""
    if unique.with_nulls:
        return None
    return next((item.name for item in _alone(table, unique) if not item.required), None)


def _alone(table: Table, unique: Unique) -> Iterable[Column]:
    """The columns that are compared as they are, and that an update may set to what it likes."""
    compared = {part.column for part in unique.parts}
    found = (table.column(name) for name in unique.columns if name in compared and name not in table.key)
    return (item for item in found if not (item.given or item.checked))


class Early:
    """Finds what the rows of a table may hold for a moment, each of them something else.

    :param structure: of the side where that happens.
    """

    def __init__(self, table: Table, structure: Structure) -> None:
        self._table = table
        self._tied = {name for key in structure.of(table.full_name) for name in key.columns}
        self._tied |= {name for key in structure.referring_to(table.full_name) for name in key.referenced}
        self._count = 0

    def instead(self, uniques: Iterable[Unique]) -> dict[str, str] | None:
        """By column what frees all that the row has in these; None where nothing surely does."""
        found: dict[str, str] = {}
        for unique in uniques:
            if found.keys() & {part.column for part in unique.parts}:
                continue
            usable = [item for item in _alone(self._table, unique) if item.name not in self._tied]
            free = next(((item.name, value) for item in usable if (value := self._value(item)) is not None), None)
            if free is None:
                return None
            found[free[0]] = free[1]
        return found

    def _value(self, column: Column) -> str | None:
        # A partition takes only what it is for.
        if column.computed_from or self._table.kind == "p":
            return None
        if column.type in _NUMBERS and self._count < _MOST:
            self._count += 1
            return str(_NUMBERS[column.type] + self._count)
        if column.type in _TEXTS:
            self._count += 1
            return f"rewind, for a moment: {self._count}"
        return None
