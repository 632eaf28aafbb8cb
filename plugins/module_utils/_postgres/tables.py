# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables by the names that people write: bare or with a schema, quoted or not, in any case."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .._errors import InvalidInput
from .session import Row, Statement

_PART = r'(?:"(?P<{0}_quoted>(?:[^"]|"")+)"|(?P<{0}>[^".]*[^".\s][^".]*))'
_NAME = re.compile(f"(?:{_PART.format('schema')}\\.)?{_PART.format('name')}")

# Relations that hold or show rows: tables, partitioned tables, views, materialized views, foreign tables.
FIND = """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS full_name, n.nspname AS schema, c.relname AS name,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
       pg_catalog.row_security_active(c.oid) AS filtered,
       pg_catalog.array_position(pg_catalog.current_schemas(true), n.nspname) AS position,
       COALESCE((SELECT pg_catalog.json_object_agg(a.attname, CASE
                    WHEN t.typcategory = 'D' AND t.typname NOT IN ('time', 'timetz') THEN 'instant' ELSE 'other' END)
                 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}') AS columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY(%s)
  AND n.nspname !~ '^pg_(toast|temp)'
"""


@dataclass(frozen=True)
class TableName:
    """A name as written: its parts, and whether each was quoted (then its case counts)."""

    text: str
    schema: str | None
    schema_quoted: bool
    name: str
    name_quoted: bool

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read ``"User"``, ``User``, ``public."User"`` or ``public.User``.

        :raises InvalidInput: for anything else.
        """
        found = _NAME.fullmatch(text.strip())
        if found is None:
            raise InvalidInput(
                f"read the table's name {text!r}: not understood",
                hint='Write User, "User", public.User or public."User"; a name with a dot in it must be quoted.',
            )
        schema, name = found["schema"], found["name"] or _unquoted(found["name_quoted"])
        return cls(
            text,
            schema if found["schema_quoted"] is None else _unquoted(found["schema_quoted"]),
            found["schema_quoted"] is not None,
            name,
            found["name_quoted"] is not None,
        )

    def spellings(self) -> list[str]:
        """The names that the table may have, the likelier first: as written, then as SQL folds it."""
        return _spellings(self.name, self.name_quoted)


def _unquoted(inside: str) -> str:
    return inside.replace('""', '"')


def _spellings(name: str, quoted: bool) -> list[str]:
    return [name] if quoted or name == name.lower() else [name, name.lower()]


@dataclass(frozen=True)
class Table:
    """A table found.

    :param full_name: schema and name as SQL writes them, quoted where needed: the key in a manifest.
    :param columns: name -> "instant" for dates and timestamps, "other" for the rest.
    """

    full_name: str
    schema: str
    name: str
    columns: dict[str, str]
    readable: bool = True
    filtered: bool = False
    position: int | None = None

    @classmethod
    def of(cls, row: Row) -> Table:
        return cls(**row)


def find_statement(names: Iterable[TableName]) -> Statement:
    """The statement that finds all relations which any of the names may mean."""
    return FIND, [sorted({spelling for name in names for spelling in name.spellings()})]


def match(name: TableName, tables: Iterable[Table]) -> Table | str:
    """The table that a name means, or the reason why there is none.

    A bare name is looked for in the search path, else in all schemas, where it must then be the only one.
    """
    fitting = [table for table in tables if table.name in name.spellings()]
    if name.schema is not None:
        schemas = _spellings(name.schema, name.schema_quoted)
        fitting = [table for table in fitting if table.schema in schemas]
        fitting.sort(key=lambda table: (schemas.index(table.schema), name.spellings().index(table.name)))
        return fitting[0] if fitting else f"there is no table {name.text}"
    for spelling in name.spellings():
        # Exactly as written wins anywhere in the search path: mixed-case names are what people forget to quote.
        on_path = [table for table in fitting if table.name == spelling and table.position is not None]
        if on_path:
            return min(on_path, key=lambda table: table.position or 0)
    if not fitting:
        return f"there is no table {name.text}"
    if len(fitting) > 1:
        return f"{name.text} may be {' or '.join(sorted(table.full_name for table in fitting))}: name the schema"
    return fitting[0]


def identifier(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
