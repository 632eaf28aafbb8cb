# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three states of a table, merged by key as their rows stream in: the memory used does not grow with the rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from .._errors import RewindError
from .salvage_catalog import Table, ordering, select
from .session import Session

# Without psycopg nothing connects, and connecting says so.
with contextlib.suppress(ImportError):
    from psycopg.rows import tuple_row

# A message for each row, as COPY sends them, would cost ten times what the row does.
FETCHED = 5000
# How wide a table's rows are only they tell, and so the first ones are few.
_FIRST_FETCHED = 50
# Characters; three sides are read at once, and a change holds two or three rows.
AT_ONCE = 8 * 2**20
Values: TypeAlias = "tuple[str | None, ...]"


@dataclass(frozen=True)
class Change:
    """One row that is not on the old side what it was at the restore point.

    :param base: at the restore point; None where it did not exist then. Likewise on the `old` and on the `new` side.
    """

    base: Values | None
    old: Values | None
    new: Values | None

    @property
    def kind(self) -> str:
        """What the old side did to it."""
        if self.base is None:
            return "inserted"
        return "deleted" if self.old is None else "changed"

    @property
    def is_there(self) -> bool:
        """Whether the new side has come to the same."""
        return self.old == self.new

    @property
    def is_conflict(self) -> bool:
        """Whether the new side has changed it too, and differently."""
        return self.new != self.base and not self.is_there

    @property
    def row(self) -> Values:
        """The old side's row, or the one that it deleted."""
        found = self.old if self.old is not None else self.base
        if found is None:
            raise AssertionError("a row that is written down was on the old side or at the restore point")
        return found


def stream(session: Session, table: Table, absent: Collection[str] = ()) -> Generator[Values, None, None]:
    """The rows of a table in the order of their keys, as texts, fetched some thousand at a time, or fewer wide ones.

    :param absent: columns that there are not.
    """
    with session.connection.cursor(name="rewind_salvage", row_factory=tuple_row) as cursor:
        cursor.execute(select(table, absent).encode())
        number = _FIRST_FETCHED
        while rows := cursor.fetchmany(number):
            yield from rows
            number = max(1, min(FETCHED, AT_ONCE * len(rows) // max(1, sum(map(width, rows)))))


def width(row: Values | None) -> int:
    """The characters of a row."""
    return sum(len(value) for value in row or () if value is not None)


def _key_of(table: Table) -> Callable[[Values], Any]:
    places = ordering(table)
    if len(places) == 1:
        ((place, rank),) = places
        return lambda row: rank(row[place] or "")
    return lambda row: tuple(rank(row[place] or "") for place, rank in places)


def merge(table: Table, base: Iterable[Values], old: Iterable[Values], new: Iterable[Values]) -> Iterator[Change]:
    """What the old side did since the restore point, in the order of the keys."""
    key_of = _key_of(table)
    unknown = [table.places[name] for name in table.unknown]
    sides = [iter(base), iter(old), iter(new)]
    heads: list[Values | None] = [next(side, None) for side in sides]
    keys: list[Any] = [None if head is None else key_of(head) for head in heads]
    while heads[0] is not None or heads[1] is not None:
        lowest = min(key for key, head in zip(keys, heads, strict=True) if head is not None)
        row: list[Values | None] = [None, None, None]
        for number, side in enumerate(sides):
            if heads[number] is not None and keys[number] == lowest:
                row[number] = heads[number]
                heads[number] = following = next(side, None)
                keys[number] = after = None if following is None else key_of(following)
                # A server that orders otherwise than Python would make for wrong statements.
                if after is not None and after <= lowest:
                    raise RewindError(
                        f"compare {table.full_name}: its rows do not come in the order of their keys",
                        code="internal_error",
                        hint="This is a fault of the module; report it with the types of the key's columns.",
                    )
        if unknown:
            row[0] = _assumed(unknown, row[0], row[1], row[2])
        if row[0] != row[1]:
            yield Change(*row)


def _assumed(unknown: Collection[int], base: Values | None, old: Values | None, new: Values | None) -> Values | None:
    """The row at the restore point, with values in columns that were not there: those of both sides where these agree.

    Where they do not, nobody knows who has changed it: a value that no side has makes that a conflict.
    """
    if base is None:
        return None
    row = list(base)
    for place in unknown:
        values = {side[place] for side in (old, new) if side is not None}
        row[place] = values.pop() if len(values) == 1 else "\0" if values else None
    return tuple(row)
