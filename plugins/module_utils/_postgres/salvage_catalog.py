# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a salvage must know of the tables: columns, keys, foreign keys, unique indexes; nothing that depends on ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from . import catalog, migrations
from .salvage_queries import COLUMNS, FOREIGN_KEYS, TRIGGERS, UNIQUE
from .salvage_values import FORMS, RANKS
from .session import Row, Session, Statement
from .tables import identifier

# A privilege to read a table is none to name it.
_CLOSED_SCHEMAS: Statement = (
    """SELECT n.nspname AS name FROM pg_catalog.pg_namespace n
    WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')""",
    None,
)


@dataclass(frozen=True)
class Column:
    """A column that is read, and written unless it is generated.

    :param comparable: whether its type has an equality that needs no search path; json, for one, has none.
    :param given: whether only PostgreSQL gives it its value (GENERATED ALWAYS AS IDENTITY): an update cannot.
    :param exact: whether two of its values are equal only where their texts are; a collation may say otherwise.
    :param checked: whether a check may mind that it is null, or that something is computed from that.
    :param equality: the operator for that where the type is not `comparable` and has one all the same.
    :param labels: of an enum, or of an array of one.
    :param computed_from: whether something in the table may be computed from it: an expression of a column or index.
    :param computed: the expression of one that is generated, which PostgreSQL computes and nothing writes.
    """

    name: str
    type: str
    base: str
    required: bool
    comparable: bool
    exact: bool
    given: bool = False
    checked: bool = False
    equality: str | None = None
    has_default: bool = False
    labels: frozenset[str] = frozenset()
    computed: str | None = None
    computed_from: bool = False

    @cached_property
    def sql(self) -> str:
        return identifier(self.name)


@dataclass(frozen=True)
class ForeignKey:
    """Columns of a child that refer to columns of a parent. Tables by their full names.

    :param follows: whether the child's row takes the new values where those of the parent are changed.
    """

    name: str
    child: str
    parent: str
    columns: tuple[str, ...]
    referenced: tuple[str, ...]
    deferrable: bool
    follows: bool = False


class Part(NamedTuple):
    """What two rows are compared by: an expression over the columns, and the operator, both as SQL with full names.

    :param column: where the expression is just that.
    """

    text: str
    operator: str
    column: str | None = None


@dataclass(frozen=True)
class Unique:
    """What only one row may have: values, or whatever an index computes from them.

    :param name: that of the index.
    :param columns: all that it depends on.
    :param deferrable: whether it may be checked at the end only.
    :param with_nulls: whether one null is the same as another there.
    :param condition: which rows it is about, as SQL.
    :param computed: generated columns that it uses, with their expressions.
    """

    name: str = field(compare=False)
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    deferrable: bool = field(default=False, compare=False)
    with_nulls: bool = False
    condition: str | None = None
    computed: tuple[tuple[str, str], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is about the values of columns, where a null clashes with nothing, and nothing else."""
        return self.condition is None and all(
            part.column in self.columns and part.operator == "OPERATOR(pg_catalog.=)" for part in self.parts
        )

    def may_hold_nulls(self, names: Iterable[str]) -> bool:
        """Whether a row with nulls in these columns may still, or only then, clash with another one there.

        A null among the values that are compared clashes with nothing; a condition, or an expression, may be about it.
        """
        used = set(names) & set(self.columns)
        return bool(used) and (self.with_nulls or not used & {part.column for part in self.parts})

    @property
    def what(self) -> str:
        """For messages: what a row has there."""
        return ", ".join(map(identifier, self.columns)) if self.is_plain else f"value in the index {self.name}"


@dataclass(frozen=True)
class Trigger:
    """A user's trigger or rule: what PostgreSQL does beside what a statement says.

    :param table: what is written; `place` is that table or one of its partitions. Both by their full names.
    :param kind: ``TRIGGER`` or ``RULE``.
    :param fires: as PostgreSQL has it: ``O`` in ordinary sessions, ``R`` in those that replicate, ``A`` always.
    :param owner: the role that may disable it.
    """

    table: str
    place: str
    kind: str
    name: str
    fires: str
    owner: str


@dataclass(frozen=True)
class Table:
    """A table as one of the three states has it.

    :param full_name: schema and name, quoted where SQL needs it: the key everywhere.
    :param kind: ``p`` for a partitioned table, else ``r``.
    :param columns: of the generated ones only those that the primary key or a foreign key needs.
    :param unknown: columns that both sides have, and that were not there, or otherwise, at the restore point.
    """

    full_name: str
    name: str
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[Unique, ...] = ()
    places: Mapping[str, int] = field(default_factory=dict, compare=False)
    unknown: frozenset[str] = frozenset()

    @property
    def source(self) -> str:
        """How it is named where its own rows are meant, and not those of tables that inherit from it."""
        return self.full_name if self.kind == "p" else f"ONLY {self.full_name}"

    def key_of(self, row: tuple[str | None, ...]) -> tuple[str | None, ...]:
        return self.plain(self.key, self.values(row, self.key))

    def plain(self, names: Iterable[str], values: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """The values of these columns in one form where a type takes more than one for the same: 1.0 and 1.00."""
        chosen = [self.column(name).base for name in names]
        if not FORMS.keys() & set(chosen):
            return values
        return tuple(
            value if value is None or base not in FORMS else FORMS[base](value)
            for base, value in zip(chosen, values, strict=True)
        )

    def content(self, alias: str) -> str:
        """An expression that is the same for two rows of the same values, in each of the three states."""
        columns = ", ".join(f"{alias}.{column.sql}" for column in self.columns if column.name not in self.unknown)
        return f"pg_catalog.md5(ROW({columns})::pg_catalog.text)"

    def column(self, name: str) -> Column:
        return self.columns[self.places[name]]

    def values(self, row: tuple[str | None, ...], names: Iterable[str]) -> tuple[str | None, ...]:
        """The values of these columns in one of its rows."""
        return tuple(row[self.places[name]] for name in names)


@dataclass(frozen=True)
class Structure:
    """The tables of one state, and how they refer to each other.

    :param triggers: those that are not disabled.
    :param migrations: tables in which a migration tool keeps its books.
    :param unread: tables of which this role may not read all rows.
    """

    tables: Mapping[str, Table]
    foreign_keys: tuple[ForeignKey, ...]
    triggers: tuple[Trigger, ...]
    migrations: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()

    def referring_to(self, table: str) -> list[ForeignKey]:
        return [item for item in self.foreign_keys if item.parent == table]

    def of(self, table: str) -> list[ForeignKey]:
        return [item for item in self.foreign_keys if item.child == table]


def read(session: Session) -> Structure:
    """Read the structure of a database. To be called inside a snapshot with an empty search path."""
    tables, columns, keys, unique, triggers, closed = session.run(
        catalog.TABLES, COLUMNS, FOREIGN_KEYS, UNIQUE, TRIGGERS, _CLOSED_SCHEMAS
    )
    found = {row["full_name"]: _table(row, columns, unique, keys) for row in tables if row["kind"] in ("r", "p")}
    foreign = tuple(
        ForeignKey(
            row["name"],
            row["child"],
            row["parent"],
            tuple(row["columns"]),
            tuple(row["referenced"]),
            row["deferrable"],
            row["follows"],
        )
        for row in keys
        if row["child"] in found and row["parent"] in found
    )
    tools = frozenset(item.full_name for item in migrations.find(tables))
    schemas = {row["name"] for row in closed}
    unread = frozenset(
        row["full_name"] for row in tables if not row["readable"] or row["filtered"] or row["schema"] in schemas
    )
    return Structure(found, foreign, tuple(_trigger(row) for row in triggers), tools, unread)


def _trigger(row: Row) -> Trigger:
    return Trigger(row["full_name"], row["place"], row["kind"], row["name"], row["fires"], row["owner"])


def _table(row: Row, columns: list[Row], unique: list[Row], keys: list[Row]) -> Table:
    name = row["full_name"]
    own = [item for item in columns if item["full_name"] == name]
    needed = {
        *row["primary_key"],
        *(column for key in keys if key["child"] == name for column in key["columns"]),
        *(column for key in keys if key["parent"] == name for column in key["referenced"]),
    }
    read = tuple(
        Column(
            item["name"],
            item["type"],
            item["base"],
            item["required"],
            item["comparable"],
            item["comparable"] and item["exact"],
            item["given"],
            item["checked"],
            item["equality"],
            item["has_default"],
            frozenset(item["labels"]),
            item["computed"],
            item["computed_from"],
        )
        for item in own
        if not item["generated"] or item["name"] in needed
    )
    generated = {item["name"]: item["computed"] for item in own if item["generated"]}
    mine = [item for item in unique if item["full_name"] == name and not item["is_key"]]
    return Table(
        name,
        row["name"],
        row["kind"],
        read,
        tuple(row["primary_key"]),
        tuple(_unique(item, [column.name for column in read if column.computed is None], generated) for item in mine),
        {column.name: place for place, column in enumerate(read)},
    )


def _unique(row: Row, names: list[str], generated: Mapping[str, str]) -> Unique:
    parts = tuple(Part(item["text"], item["operator"], item["column"]) for item in row["parts"])
    keys = [part.column for part in parts if part.column is not None]
    used = {*keys, *(row["used"] or ())}
    computed = tuple((name, text) for name, text in generated.items() if name in used)
    simple = row["condition"] is None and len(keys) == len(parts)
    # What a generated column is computed from is not known.
    columns = names if row["whole"] or computed else keys if simple else [name for name in names if name in used]
    return Unique(row["name"], tuple(columns), parts, row["deferrable"], row["with_nulls"], row["condition"], computed)


def select(table: Table, absent: Collection[str] = ()) -> str:
    """All rows of a table, in an order that is the same on every server and in Python.

    :param absent: columns that there are not; null comes in their place.

    A collation may differ from server to server, and Python knows none: what is not a number or a UUID is ordered by
    the bytes of its text.
    """
    # By the row's own columns: a bare name would mean the text that is selected under it.
    order = ", ".join(
        f"r.{column.sql}" if column.base in RANKS else f'r.{column.sql}::pg_catalog.text COLLATE "C"'
        for column in map(table.column, table.key)
    )
    chosen = ", ".join(
        "NULL::pg_catalog.text" if column.name in absent else f"r.{column.sql}::pg_catalog.text"
        for column in table.columns
    )
    return f"SELECT {chosen} FROM {table.source} AS r ORDER BY {order}"


def ordering(table: Table) -> tuple[tuple[int, Callable[[str], Any]], ...]:
    """The places of the key's columns in a row, and what makes of each value that by which Python orders likewise."""
    return tuple((table.places[name], RANKS.get(table.column(name).base, str)) for name in table.key)
