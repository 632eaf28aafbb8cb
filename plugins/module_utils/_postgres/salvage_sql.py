# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements of a salvage. Each one does nothing where the row is no longer what it was, so twice does no harm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from .salvage_catalog import Column, ForeignKey, Table
from .salvage_merge import Change, Values
from .tables import identifier

# What the texts of the values were made with: they must be read with the same. But for the search path: that is what
# functions in checks and indexes find their tables by, and every name in the file is a full one.
PREAMBLE = """\
BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL timezone = 'GMT';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL lc_monetary = 'C';
SET LOCAL xmloption = 'content';
SET LOCAL row_security = off;
SET CONSTRAINTS ALL DEFERRED;
"""
_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Whatever may end a line, and with it a comment, somewhere; and what draws nothing or something else.
_SPECIAL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINES = re.compile(r"\r\n|[\r\n\v\f\x85\u2028\u2029]")


def literal(value: str | None) -> str:
    """A value for SQL, always on one line: it may stand in a comment."""
    if value is None:
        return "NULL"
    if _SPECIAL.search(value) is None:
        return "'" + value.replace("'", "''") + "'"
    return "E'" + "".join(_escaped(character) for character in value) + "'"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\u{ord(character):04x}" if _SPECIAL.match(character) else character


def comment(text: str) -> str:
    """The text as comment lines. A name with a line end in it must not begin a statement."""
    return "".join(f"-- {line}\n" for line in _LINES.split(text))


def is_value(column: Column, value: str | None, prefix: str = "") -> str:
    """The condition that a column has a value. Texts are both made in the session that applies the file: those of
    regclass, for one, depend on its search path."""
    name = f"{prefix}{column.sql}"
    if value is None:
        return f"{name} IS NULL"
    if column.comparable:
        return f"{name} = {literal(value)}"
    return f"{name}::text = {literal(value)}::{column.type}::text"


def _all(table: Table, row: Values, names: Iterable[str], prefix: str = "") -> str:
    return " AND ".join(is_value(table.column(name), row[table.places[name]], prefix) for name in names)


def key_text(table: Table, row: Values) -> str:
    """The key of a row, as a condition."""
    return _all(table, row, table.key)


def _names(table: Table) -> list[str]:
    # What is generated follows from the others, also where one of them has been freed.
    return [column.name for column in table.columns if column.computed is None]


def others(table: Table) -> list[str]:
    return [name for name in _names(table) if name not in table.key]


def _sets(table: Table, row: Values, names: Sequence[str]) -> str:
    return ", ".join(f"{identifier(name)} = {literal(row[table.places[name]])}" for name in names)


def insert(table: Table, row: Values, empty: Iterable[str] = ()) -> str:
    """Inserts a row that is not there, as it is here.

    With ``ON CONFLICT`` a row that has taken the key meanwhile would pass for this one, and its children would be
    attached to it. Without it the key is a duplicate then, and the whole file changes nothing.

    :param empty: columns that are null at first.
    """
    left = {table.places[name] for name in empty}
    columns = ", ".join(map(identifier, _names(table)))
    places = [table.places[name] for name in _names(table)]
    values = ", ".join(literal(None if place in left else row[place]) for place in places)
    there = f"SELECT FROM {table.source} AS r WHERE {_all(table, row, [*table.key, *others(table)], 'r.')}"
    start = f"INSERT INTO {table.full_name} ({columns}) OVERRIDING SYSTEM VALUE"
    return f"{start} SELECT {values} WHERE NOT EXISTS ({there});\n"


def fill(table: Table, row: Values, names: Sequence[str]) -> str:
    """Sets what `insert` has left empty: by then no other row can have the key, and one that was there is filled."""
    empty = " AND ".join(f"{identifier(name)} IS NULL" for name in names)
    return f"UPDATE {table.source} SET {_sets(table, row, names)} WHERE {key_text(table, row)} AND {empty};\n"


def update(table: Table, before: Values, after: Values, names: Sequence[str] | None = None) -> str:
    """:param names: the columns to set; by default those that differ."""
    chosen = changed(table, before, after) if names is None else names
    return (
        f"UPDATE {table.source} SET {_sets(table, after, chosen)} "
        f"WHERE {key_text(table, before)} AND {_all(table, before, chosen)};\n"
    )


def changed(table: Table, before: Values, after: Values) -> list[str]:
    """The names of the columns that differ, of those that are written."""
    pairs = zip(table.columns, before, after, strict=True)
    return [column.name for column, one, other in pairs if one != other and column.computed is None]


def give_up(table: Table, before: Values, after: Values, instead: Mapping[str, str]) -> str:
    """Sets columns of a row that is still to be changed to what it holds meanwhile, while it is as it was."""
    sets = ", ".join(f"{identifier(name)} = {literal(value)}" for name, value in instead.items())
    same = _all(table, before, dict.fromkeys((*changed(table, before, after), *instead)))
    return f"UPDATE {table.source} SET {sets} WHERE {key_text(table, before)} AND {same};\n"


def delete(table: Table, row: Values, referring: Sequence[ForeignKey] = ()) -> str:
    """Deletes the row as it is here, and only while nothing refers to it: a cascade would take what nobody has seen."""
    alone = "".join(f" AND NOT EXISTS ({references(key)})" for key in referring)
    return f"DELETE FROM {table.source} AS r WHERE {_all(table, row, _names(table), 'r.')}{alone};\n"


def references(key: ForeignKey) -> str:
    pairs = zip(key.columns, key.referenced, strict=True)
    same = " AND ".join(f"c.{identifier(one)} = r.{identifier(other)}" for one, other in pairs)
    # A row that refers to itself goes with itself.
    other = " AND (c.tableoid, c.ctid) <> (r.tableoid, r.ctid)" if key.child == key.parent else ""
    return f"SELECT FROM {key.child} AS c WHERE {same}{other}"


def free(table: Table, row: Values, name: str) -> str:
    """Sets a column of a row null that is deleted only at the end, while the row is as it is here."""
    same = _all(table, row, _names(table), "r.")
    return f"UPDATE {table.source} AS r SET {identifier(name)} = NULL WHERE {same};\n"


# Conflicts


def conflict(table: Table, change: Change, referring: Sequence[ForeignKey]) -> str:
    """Both sides have changed the row: what each has, and the statement that would take the old side's.

    :param referring: what may refer to the row: a deletion never takes that with it.
    """
    base, old, new = change.base, change.old, change.new
    where = f"CONFLICT {table.full_name} {key_text(table, change.row)}"
    if old is not None and new is not None:
        names = changed(table, new, old)
        how = "inserted on both sides" if base is None else "changed on both sides"
        text = f"{where}: {how}; old side has {_shown(table, old, names)}, new side has {_shown(table, new, names)}"
        return comment(text) + comment(update(table, new, old, names).rstrip("\n"))
    if old is not None and base is not None:
        shown = _shown(table, old, changed(table, base, old))
        text = f"{where}: old side has {shown}, new side has deleted it"
        return comment(text) + comment(insert(table, old).rstrip("\n"))
    if new is None or base is None:
        raise AssertionError("a row that the old side has deleted, and that is a conflict, is on the other two")
    text = f"{where}: old side has deleted it, new side has {_shown(table, new, changed(table, base, new))}"
    return comment(text) + comment(delete(table, new, referring).rstrip("\n"))


def held_back(table: Table, change: Change, reason: str, referring: Sequence[ForeignKey]) -> str:
    """Only the old side has changed the row, and the new side could not take it."""
    done = {"inserted": "inserted it", "changed": "changed it", "deleted": "deleted it"}[change.kind]
    text = f"CONFLICT {table.full_name} {key_text(table, change.row)}: old side has {done}, but {reason}"
    return comment(text) + comment(_statement(table, change, referring).rstrip("\n"))


def _statement(table: Table, change: Change, referring: Sequence[ForeignKey]) -> str:
    """What the old side did to a row, as it is written where nothing else has to be minded."""
    if change.base is None:
        return insert(table, change.row)
    if change.old is None:
        return delete(table, change.base, referring)
    return update(table, change.base, change.old)


def _shown(table: Table, row: Values, names: Iterable[str]) -> str:
    return ", ".join(f"{identifier(name)} = {literal(row[table.places[name]])}" for name in names)


def setval(name: str, value: int, increment: int) -> str:
    """Moves a sequence on, never back."""
    further = "GREATEST" if increment > 0 else "LEAST"
    return f"SELECT pg_catalog.setval({literal(name)}, {further}((SELECT last_value FROM {name}), {value}));\n"
