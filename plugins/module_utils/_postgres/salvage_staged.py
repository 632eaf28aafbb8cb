# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows that refer to rows of their own table come, and go, in one statement: PostgreSQL looks only at its end.

Such a statement would be as long as all rows together, and be parsed as a whole: the rows are put into a temporary
table before, some hundred at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .salvage_catalog import ForeignKey, Table
from .salvage_merge import Values
from .salvage_sql import literal, others, references
from .tables import identifier

_BATCH = 500
# No column of the table that is written should be called like that.
_EMPTY = '"rewind: null at first"'


class Staged:
    """The rows of a temporary table, written as they come.

    :param name: of the temporary table.
    :param add: takes the statements.
    """

    def __init__(self, table: Table, name: str, add: Callable[[str], None]) -> None:
        self.table = table
        self.name = f"pg_temp.{name}"
        self.rows = 0
        self._add = add

    def row(self, row: Values, empty: Iterable[str] = ()) -> None:
        """:param empty: columns that are null at first."""
        if not self.rows:
            columns = ", ".join(f"{column.sql} text" for column in self.table.columns)
            self._add(f"CREATE TEMPORARY TABLE {self.name} ({columns}, {_EMPTY} text) ON COMMIT DROP;\n")
        first = self.rows % _BATCH == 0
        if first:
            self._add(f"{';' if self.rows else ''}\nINSERT INTO {self.name} VALUES\n".lstrip("\n"))
        left = ",".join(str(self.table.places[name]) for name in empty)
        values = ", ".join(literal(value) for value in (*row, f",{left}," if left else None))
        self._add(f"{'' if first else f',{chr(10)}'}  ({values})")
        self.rows += 1

    def end(self) -> None:
        """All rows are there."""
        self._add(f";\nANALYZE {self.name};\n")


def insert(staged: Staged, late: Sequence[str]) -> str:
    """Inserts the rows that are not there as they are here.

    :param late: columns that may be null at first.
    """
    table = staged.table
    written = [(place, column) for place, column in enumerate(table.columns) if column.computed is None]
    columns = ", ".join(column.sql for _place, column in written)
    values = []
    for place, column in written:
        value = f"staged.{column.sql}::{column.type}"
        empty = f"CASE WHEN staged.{_EMPTY} LIKE '%,{place},%' THEN NULL ELSE {value} END"
        values.append(empty if column.name in late else value)
    there = f"SELECT FROM {table.source} AS r WHERE {_same(table, 'r', [*table.key, *others(table)])}"
    return (
        f"INSERT INTO {table.full_name} ({columns}) OVERRIDING SYSTEM VALUE\n  SELECT {', '.join(values)}\n"
        f"  FROM {staged.name} AS staged WHERE NOT EXISTS ({there});\n"
    )


def delete(staged: Staged, referring: Sequence[ForeignKey]) -> str:
    """Deletes those of the rows that are as they are here and that no row which stays refers to, however indirectly."""
    table = staged.table
    has_key = _same(table, "r", table.key)
    found = f"SELECT r.tableoid, r.ctid FROM {staged.name} AS staged JOIN {table.source} AS r ON {has_key}"
    same = _same(table, "c", [*table.key, *others(table)])
    begin = []
    if alike := _same(table, "r", others(table)):
        begin.append(f"{found} WHERE NOT ({alike})")
    links = []
    for key in referring:
        own = key.child == table.full_name
        not_there = f" AND NOT EXISTS (SELECT FROM {staged.name} AS staged WHERE {same})" if own else ""
        begin.append(f"{found} WHERE EXISTS ({references(key)}{not_there})")
        if own:
            pairs = zip(key.columns, key.referenced, strict=True)
            links.append(" AND ".join(f"c.{identifier(one)} = r.{identifier(other)}" for one, other in pairs))
    upwards = (
        "SELECT r.tableoid, r.ctid FROM stays"
        f" JOIN {table.source} AS c ON (c.tableoid, c.ctid) = (stays.part, stays.place)"
        f" JOIN {table.source} AS r ON ({') OR ('.join(links)})"
    )
    stays = "\n  UNION ".join([*begin, upwards])
    return (
        f"WITH RECURSIVE stays (part, place) AS (\n  {stays}\n)\n"
        f"DELETE FROM {table.source} AS r USING {staged.name} AS staged WHERE {has_key}\n"
        "  AND NOT EXISTS (SELECT FROM stays WHERE (stays.part, stays.place) = (r.tableoid, r.ctid));\n"
    )


def _same(table: Table, alias: str, names: Iterable[str]) -> str:
    """Whether the row of this alias has the values of ``staged`` in these columns; those of the key are never null."""
    parts = []
    for column in map(table.column, names):
        same = "=" if column.name in table.key else "IS NOT DISTINCT FROM"
        if column.comparable:
            parts.append(f"{alias}.{column.sql} {same} staged.{column.sql}::{column.type}")
        else:
            parts.append(f"{alias}.{column.sql}::text {same} staged.{column.sql}::{column.type}::text")
    return " AND ".join(parts)
