# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: what a database looked like at one instant, read in one snapshot and few round trips."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from . import catalog, migrations
from .session import DatabaseError, Row, Session, Statement
from .tables import identifier

VERSION = 1
# The first of these that a table has says when its rows last changed.
NEWEST_COLUMNS = (
    "updatedAt",
    "updated_at",
    "updatedat",
    "modifiedAt",
    "modified_at",
    "last_modified",
    "lastModified",
    "updated_on",
    "updated",
    "createdAt",
    "created_at",
    "createdat",
    "created_on",
    "inserted_at",
    "insertedAt",
    "created",
    "finished_at",
    "occurred_at",
    "timestamp",
)
# One statement over all tables saves round trips, but planning one over thousands would cost more than it saves.
_ARMS = 100

_NOT_READ = {
    "f": "foreign table: its rows are elsewhere",
    "m": "materialized view: derived data",
}
_UNLOGGED = "unlogged table: not restored"
# Why a table is skipped whose rows a restore does not concern; every other reason hides some that it does.
NOT_RESTORED = frozenset({*_NOT_READ.values(), _UNLOGGED})


@dataclass(frozen=True)
class Wanted:
    """What a manifest is to hold.

    :param include: patterns of table names; empty: all.
    :param hash: also the content hashes.
    :param exact: these tell apart what PostgreSQL takes for equal though it is written differently, as 1.0 and 1.00;
        that takes longer, and they compare with no others.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    newest_columns: Sequence[str] = NEWEST_COLUMNS
    hash: bool = True
    exact: bool = False

    def has(self, table: Mapping[str, Any]) -> bool:
        """Patterns are compared with ``public."User"``, ``public.User`` and ``User``; ``*`` and ``?`` are wildcards."""
        names = (table["full_name"], f"{table['schema']}.{table['name']}", table["name"])

        def fits(patterns: Sequence[str]) -> bool:
            return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

        return (not self.include or fits(self.include)) and not fits(self.exclude)


def take(session: Session, wanted: Wanted | None = None) -> dict[str, Any]:
    """Read a manifest.

    :raises DatabaseError: when the database cannot be read; a single table that cannot be read is listed as skipped.
    """
    want = wanted or Wanted()
    with session.snapshot({"search_path": ""}):
        facts, tables, sequences, extensions, schema = session.run(
            catalog.FACTS, catalog.TABLES, catalog.SEQUENCES, catalog.EXTENSIONS, catalog.SCHEMA
        )
        chosen = [table for table in tables if want.has(table)]
        skipped = {table["full_name"]: reason for table in chosen if (reason := _reason(table))}
        read = [table for table in chosen if table["full_name"] not in skipped]
        heads = migrations.find(table for table in tables if not _reason(table))
        rows, migration = _contents(session, read, heads, want)
    skipped.update({name: row for name, row in rows.items() if isinstance(row, str)})
    parts = {row["part"]: row["hash"] for row in schema}
    return {
        "version": VERSION,
        "taken_at": facts[0]["taken_at"],
        "lsn": facts[0]["lsn"],
        "server_version": facts[0]["server_version"],
        "database": facts[0]["database"],
        "tables": {name: row for name, row in rows.items() if not isinstance(row, str)},
        "skipped": dict(sorted(skipped.items())),
        "sequences": {
            row["name"]: {"last_value": row["last_value"], "increment": row["increment_by"]} for row in sequences
        },
        "extensions": {row["name"]: row["version"] for row in extensions},
        "schema_hash": _combined(parts),
        "schema_parts": parts,
        "migration": migration,
        "settings": _settings(facts[0], want),
    }


def _settings(facts: Row, want: Wanted) -> dict[str, Any]:
    return {
        "server_encoding": facts["server_encoding"],
        "collation": facts["collation"],
        "ctype": facts["ctype"],
        "database": list(facts["database_settings"] or []),
        "hash": want.hash,
    }


def _combined(parts: Mapping[str, str]) -> str:
    text = "\n".join(f"{part} {parts[part]}" for part in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()


def _reason(table: Row) -> str | None:
    """Why the rows of a table are not read, if they are not."""
    if table["kind"] in _NOT_READ:
        return _NOT_READ[table["kind"]]
    if table["persistence"] == "u":
        return _UNLOGGED
    if not table["readable"]:
        return "no privilege to read it"
    if table["filtered"]:
        return "row security hides rows from this role"
    return None


def _contents(
    session: Session, tables: list[Row], heads: list[migrations.Found], want: Wanted
) -> tuple[dict[str, dict[str, Any] | str], dict[str, Any] | None]:
    """Rows, newest change and hash of each table, and the migration head, in one round trip where nothing fails."""
    arms = [_arm(number, table, want) for number, table in enumerate(tables)]
    chunks: list[Statement] = [(" UNION ALL ".join(arms[i : i + _ARMS]), None) for i in range(0, len(arms), _ARMS)]
    answers = session.try_each([*chunks, *(head.statement() for head in heads)])
    counted: dict[int, Row | str] = {}
    for chunk, answer in enumerate(answers[: len(chunks)]):
        if isinstance(answer, DatabaseError):
            numbers = range(chunk * _ARMS, min((chunk + 1) * _ARMS, len(tables)))
            counted.update(_one_by_one(session, tables, want, numbers))
        else:
            counted.update({int(row["arm"]): row for row in answer})
    rows = {table["full_name"]: _row(table, counted[number], want) for number, table in enumerate(tables)}
    return rows, _migration(heads, answers[len(chunks) :])


def _one_by_one(session: Session, tables: list[Row], want: Wanted, numbers: range) -> dict[int, Row | str]:
    """The slow way, for when one table of many cannot be read as the others are."""
    found: dict[int, Row | str] = {}
    for number in numbers:
        answer = session.try_each([(_arm(number, tables[number], want), None)])[0]
        if isinstance(answer, DatabaseError) and want.hash:
            answer = session.try_each([(_arm(number, tables[number], want, as_text=True), None)])[0]
        found[number] = answer.text if isinstance(answer, DatabaseError) else answer[0]
    return found


def _arm(number: int, table: Row, want: Wanted, *, as_text: bool = False) -> str:
    """One row about one table: (arm, rows, hash, newest). Everything is read in a single pass over the table."""
    newest = _newest_column(table, want)
    value = f"pg_catalog.max(rewind_row.{identifier(newest)})::timestamptz" if newest else "NULL::timestamptz"
    # A table with classic children holds their rows too unless ONLY is said; a partitioned one has none of its own.
    only = "" if table["kind"] == "p" else "ONLY "
    source = f"{identifier(table['schema'])}.{identifier(table['name'])}"
    return (
        f"SELECT {number} AS arm, pg_catalog.count(*) AS rows, {_hash(table, want, as_text)} AS hash, {value} AS newest"
        f" FROM {only}{source} AS rewind_row"
    )


def _hash(table: Row, want: Wanted, as_text: bool) -> str:
    """A sum over the rows' hashes: it does not depend on their order, and PostgreSQL can compute it in parallel.

    hash_record_extended exists since PostgreSQL 14 and does not depend on settings; columns of types that it cannot
    hash (json among them) go in as text. It is a linear combination of the columns' hashes, so that in a sum of it two
    rows that exchange a value would not show: therefore its result is hashed once more.
    """
    columns = table["columns"]
    if not want.hash or not columns:
        return "NULL::text"
    if as_text:
        return "'t:' || COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(rewind_row.*::text, 0)), 0)::text"
    as_it_is = {column["name"]: column["hashable"] and not (want.exact and column["loose"]) for column in columns}
    if all(as_it_is[column["name"]] and not column["virtual"] for column in columns):
        row = "rewind_row.*"
    else:
        parts = [
            f"rewind_row.{identifier(column['name'])}{'' if as_it_is[column['name']] else '::text'}"
            for column in columns
            if not column["virtual"]
        ]
        row = f"ROW({', '.join(parts)})"
    hashed = f"pg_catalog.hashtextextended(pg_catalog.hash_record_extended({row}, 0)::text, 0)"
    return f"'r:' || COALESCE(pg_catalog.sum({hashed}), 0)::text"


def _newest_column(table: Row, want: Wanted) -> str | None:
    instants = {column["name"] for column in table["columns"] if column["instant"] and not column["virtual"]}
    return next((name for name in want.newest_columns if name in instants), None)


def _row(table: Row, counted: Row | str, want: Wanted) -> dict[str, Any] | str:
    if isinstance(counted, str):
        return counted
    return {
        "rows": counted["rows"],
        "newest": counted["newest"],
        "newest_column": _newest_column(table, want),
        "hash": counted["hash"],
        "primary_key": table["primary_key"],
    }


def _migration(heads: list[migrations.Found], answers: Sequence[list[Row] | DatabaseError]) -> dict[str, Any] | None:
    read = [
        {"table": head.full_name, "tool": head.tool.name, "head": answer[0]["head"], "count": answer[0]["count"]}
        for head, answer in zip(heads, answers, strict=True)
        if not isinstance(answer, DatabaseError)
    ]
    if not read:
        return None
    # A table that was made and never used says nothing about where the database is.
    best = next((item for item in read if item["count"]), read[0])
    return {**best, "others": [item for item in read if item is not best]}
