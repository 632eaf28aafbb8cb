# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a salvage must know of the tables: columns, keys, foreign keys, unique indexes; nothing that depends on ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from . import catalog, migrations
from .session import Row, Session, Statement
from .tables import identifier

# Whole numbers are ordered alike everywhere, and by the index of the primary key.
WHOLE_NUMBERS = frozenset({"int2", "int4", "int8"})
_BY_THEMSELVES = WHOLE_NUMBERS | {"uuid"}

_COLUMNS: Statement = (
    """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS full_name, a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, base.typname AS base,
       a.attgenerated <> '' AS generated, a.attnotnull AS required, a.attidentity = 'a' AS given,
       leaf.typtype = 'e' OR (leaf.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                              AND leaf.typname = ANY (%s)) AS comparable,
       COALESCE(o.collisdeterministic, true) AND leaf.typname NOT IN ('jsonb', 'interval', 'timetz') AS exact
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
JOIN pg_catalog.pg_type leaf
  ON leaf.oid = CASE WHEN base.typcategory = 'A' AND base.typelem <> 0 THEN base.typelem ELSE base.oid END
LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY a.attnum
""",
    [catalog.HASHABLE],
)

# A foreign key of a partitioned table has a copy for each partition. One of a single partition counts for the whole
# table: rows are read and written through that.
_FOREIGN_KEYS: Statement = (
    """
SELECT DISTINCT pg_catalog.format('%I.%I', cn.nspname, c.relname) AS child, k.conname AS name,
       pg_catalog.format('%I.%I', pn.nspname, p.relname) AS parent, k.condeferrable AS deferrable,
       k.confupdtype = 'c' AS follows,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) FROM pg_catalog.unnest(k.conkey)
          WITH ORDINALITY AS u(attnum, place) JOIN pg_catalog.pg_attribute a
          ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS columns,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) FROM pg_catalog.unnest(k.confkey)
          WITH ORDINALITY AS u(attnum, place) JOIN pg_catalog.pg_attribute a
          ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS referenced
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = COALESCE(pg_catalog.pg_partition_root(k.conrelid), k.conrelid)
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = COALESCE(pg_catalog.pg_partition_root(k.confrelid), k.confrelid)
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY 1, 2
""",
    None,
)

# indnullsnotdistinct exists since PostgreSQL 15.
# Without expressions and conditions: those of others show only when the file is applied.
_UNIQUE: Statement = (
    """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS full_name, x.relname AS name, i.indisprimary AS is_key,
       (SELECT pg_catalog.json_agg(a.attname ORDER BY u.place)
        FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
        WHERE u.place <= i.indnkeyatts) AS columns, NOT i.indimmediate AS deferrable,
       COALESCE((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) AS with_nulls
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1, 2
""",
    None,
)

# Those of a partition after those of its parent: what is said of the parent may count for its partitions.
_TRIGGERS: Statement = (
    """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS full_name,
       pg_catalog.format('%I.%I', own.nspname, r.relname) AS place, t.kind, t.name, t.fires,
       pg_catalog.pg_get_userbyid(r.relowner) AS owner
FROM (SELECT tgrelid AS relation, 'TRIGGER' AS kind, tgname AS name, tgenabled::text AS fires
      FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
      UNION ALL
      SELECT ev_class, 'RULE', rulename, ev_enabled::text FROM pg_catalog.pg_rewrite) AS t
JOIN pg_catalog.pg_class r ON r.oid = t.relation
JOIN pg_catalog.pg_namespace own ON own.oid = r.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = COALESCE(pg_catalog.pg_partition_root(r.oid), r.oid)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE t.fires <> 'D' AND c.relkind IN ('r', 'p')
ORDER BY full_name, (SELECT pg_catalog.count(*) FROM pg_catalog.pg_partition_ancestors(r.oid)), place, t.kind, t.name
""",
    None,
)


@dataclass(frozen=True)
class Column:
    """A column that is written: not one that is generated.

    :param comparable: whether its type has an equality that needs no search path; json, for one, has none.
    :param given: whether only PostgreSQL gives it its value (GENERATED ALWAYS AS IDENTITY): an update cannot.
    :param exact: whether two of its values are equal only where their texts are; a collation may say otherwise.
    """

    name: str
    type: str
    base: str
    required: bool
    comparable: bool
    exact: bool
    given: bool = False

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


@dataclass(frozen=True)
class Unique:
    """Columns that only one row may have the same values in.

    :param deferrable: whether that may be checked at the end only.
    :param with_nulls: whether one null is the same as another there.
    """

    columns: tuple[str, ...]
    deferrable: bool = False
    with_nulls: bool = False


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
    """

    full_name: str
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[Unique, ...] = ()
    places: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def source(self) -> str:
        """How it is named where its own rows are meant, and not those of tables that inherit from it."""
        return self.full_name if self.kind == "p" else f"ONLY {self.full_name}"

    def key_of(self, row: tuple[str | None, ...]) -> tuple[str | None, ...]:
        return self.values(row, self.key)

    def column(self, name: str) -> Column:
        return self.columns[self.places[name]]

    def values(self, row: tuple[str | None, ...], names: Iterable[str]) -> tuple[str | None, ...]:
        """The values of these columns in one of its rows."""
        return tuple(row[self.places[name]] for name in names)

    def shape(self) -> dict[str, str]:
        """What must be alike on three sides for their rows to be compared."""
        return {column.name: column.type for column in self.columns}


@dataclass(frozen=True)
class Structure:
    """The tables of one state, and how they refer to each other.

    :param triggers: those that are not disabled.
    :param migrations: tables in which a migration tool keeps its books.
    """

    tables: Mapping[str, Table]
    foreign_keys: tuple[ForeignKey, ...]
    triggers: tuple[Trigger, ...]
    migrations: frozenset[str] = frozenset()

    def referring_to(self, table: str) -> list[ForeignKey]:
        return [item for item in self.foreign_keys if item.parent == table]

    def of(self, table: str) -> list[ForeignKey]:
        return [item for item in self.foreign_keys if item.child == table]


def read(session: Session) -> Structure:
    """Read the structure of a database. To be called inside a snapshot with an empty search path."""
    tables, columns, keys, unique, triggers = session.run(catalog.TABLES, _COLUMNS, _FOREIGN_KEYS, _UNIQUE, _TRIGGERS)
    found = {row["full_name"]: _table(row, columns, unique) for row in tables if row["kind"] in ("r", "p")}
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
    return Structure(found, foreign, tuple(_trigger(row) for row in triggers), tools)


def _trigger(row: Row) -> Trigger:
    return Trigger(row["full_name"], row["place"], row["kind"], row["name"], row["fires"], row["owner"])


def _table(row: Row, columns: list[Row], unique: list[Row]) -> Table:
    name = row["full_name"]
    own = [item for item in columns if item["full_name"] == name and not item["generated"]]
    written = tuple(
        Column(
            item["name"],
            item["type"],
            item["base"],
            item["required"],
            item["comparable"],
            item["comparable"] and item["exact"],
            item["given"],
        )
        for item in own
    )
    names = {column.name for column in written}
    mine = [item for item in unique if item["full_name"] == name and item["columns"]]
    return Table(
        name,
        row["kind"],
        written,
        tuple(row["primary_key"]),
        tuple(
            Unique(tuple(item["columns"]), item["deferrable"], item["with_nulls"])
            for item in mine
            if not item["is_key"] and names.issuperset(item["columns"])
        ),
        {column.name: place for place, column in enumerate(written)},
    )


def select(table: Table) -> str:
    """All rows of a table, in an order that is the same on every server and in Python.

    A collation may differ from server to server, and Python knows none: what is not a whole number or a UUID is ordered
    by the bytes of its text.
    """
    # By the row's own columns: a bare name would mean the text that is selected under it.
    order = ", ".join(
        f"r.{column.sql}" if column.base in _BY_THEMSELVES else f'r.{column.sql}::pg_catalog.text COLLATE "C"'
        for column in map(table.column, table.key)
    )
    chosen = ", ".join(f"r.{column.sql}::pg_catalog.text" for column in table.columns)
    return f"SELECT {chosen} FROM {table.source} AS r ORDER BY {order}"


def ordering(table: Table) -> tuple[tuple[int, bool], ...]:
    """The places of the key's columns in a row, and whether each is a whole number."""
    return tuple((table.places[name], table.column(name).base in WHOLE_NUMBERS) for name in table.key)


def differing(tables: Mapping[str, Table | None]) -> str | None:
    """Why the rows of a table cannot be compared between the states; None where they can.

    :param tables: the table by the name of the state; None where that state has none.
    """
    missing = [side for side, table in tables.items() if table is None]
    if missing:
        return f"it does not exist {' and '.join(missing)}"
    present: dict[str, Table] = {side: table for side, table in tables.items() if table is not None}
    if any(not table.key for table in present.values()):
        return "it has no primary key"
    first, *others = present.values()
    names = {name for other in others for name, _type in set(first.shape().items()) ^ set(other.shape().items())}
    if names:
        return f"its columns differ between the three states: {', '.join(sorted(names))}"
    if any(other.key != first.key for other in others):
        return "its primary key differs between the three states"
    if set(first.key) - first.places.keys():
        return "its primary key is a generated column"
    loose = [f"{column.name} ({column.type})" for column in map(first.column, first.key) if not column.exact]
    if loose:
        return f"its primary key takes values for equal that are written differently: {', '.join(loose)}"
    return None
