# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions about many rows at once, answered by indexes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .salvage_catalog import Column, ForeignKey, Structure, Table
from .salvage_merge import Values
from .session import Session, Statement
from .tables import identifier

Place: TypeAlias = "tuple[str, Values]"


class Asked(NamedTuple):
    """The values that are asked for, in these columns of this table; more than columns where the query needs others."""

    table: Table
    names: Sequence[str]
    values: Sequence[Values]


def equal(column: Column, name: str, number: int) -> str:
    """The condition that a row has a value asked for: as its type has it, else as its text."""
    if column.comparable:
        return f"{name} = k.c{number}::{column.type}"
    if column.equality is not None:
        return f"{name} {column.equality} k.c{number}::{column.type}"
    return f"{name}::pg_catalog.text = k.c{number}"


def _statement(query: str, asked: Asked, width: int) -> Statement:
    columns = [f"c{number}" for number in range(width)]
    arrays = ", ".join(["pg_catalog.unnest(%s::pg_catalog.text[])"] * len(columns))
    keys = f"ROWS FROM ({arrays}) WITH ORDINALITY AS k({', '.join(columns)}, place)"
    same = " AND ".join(
        equal(asked.table.column(name), f"r.{identifier(name)}", number) for number, name in enumerate(asked.names)
    )
    # Names may hold braces: nothing is formatted.
    text = query.replace("{same}", same).replace("%", "%%").replace("{keys}", keys)
    return text, [list(column) for column in zip(*asked.values, strict=True)] or [[] for _column in columns]


def ask(session: Session, query: str, asked: Asked) -> list[dict[str, Any]]:
    """Ask about many rows at once.

    :param query: holds ``{keys}`` for the values asked for, k.c0 and so on, and may hold ``{same}`` for r's columns.
    """
    return session.run(_statement(query, asked, len(asked.values[0])))[0]


def can_ask(session: Session, query: str, table: Table, width: int) -> bool:
    """Whether a question is understood at all."""
    return isinstance(session.try_each([_statement(query, Asked(table, (), ()), width)])[0], list)


def try_ask(session: Session, query: str, asked: Asked) -> tuple[list[dict[str, Any]], list[int]]:
    """Like `ask`, where one of the values may make the question fail: also the numbers of those that do."""
    rows: list[dict[str, Any]] = []
    failed: list[int] = []
    parts = [(0, asked.values)]
    while parts:
        first, values = parts.pop()
        answer = session.try_each([_statement(query, asked._replace(values=values), len(values[0]))])[0]
        if isinstance(answer, list):
            rows += ({**row, "place": row["place"] + first} for row in answer)
        elif answer.retryable:
            raise answer
        elif len(values) == 1:
            failed.append(first)
        else:
            half = len(values) // 2
            parts += [(first, values[:half]), (first + half, values[half:])]
    return rows, failed


def waiting(
    structure: Structure,
    table: Table,
    keys: Collection[Values],
    new: Session,
    old: Session,
    was: Structure,
    unread: Collection[str] = (),
) -> set[Values]:
    """Those of the rows, which the old side has deleted, that go only at the end: others turn away from them before.

    :param keys: of rows on the new side; those that the old side still has are none of these.
    :param was: the old side's structure.
    :param unread: the tables of which nothing can be asked; a row that they may refer to does not go.
    """
    parents: dict[Place, set[Place]] = defaultdict(set)
    blocked: list[Place] = []
    still = _there(old, table, keys)
    start = {(table.full_name, key) for key in keys if key not in still}
    seen, edge = set(start), start
    while edge:
        found: set[Place] = set()
        for name in {name for name, _key in edge}:
            some = [key for other, key in edge if other == name]
            for key in structure.referring_to(name):
                if key.child in unread:
                    continue
                child = structure.tables[key.child]
                pairs = _referring(new, structure.tables[name], child, key, some)
                # Of a table that the old side does not have so, nothing goes.
                other_side = was.tables.get(child.full_name)
                alike = bool(child.key) and other_side is not None and other_side.key == child.key
                on_old = _there(old, child, {one for one, _other in pairs}) if alike else set()
                for one, other in pairs:
                    if (child.full_name, one) == (name, other):
                        continue
                    parents[child.full_name, one].add((name, other))
                    (blocked.append if one in on_old or not alike else found.add)((child.full_name, one))
        edge = found - seen
        seen |= edge
    late = set(blocked)
    while blocked:
        for parent in parents[blocked.pop()] - late:
            late.add(parent)
            blocked.append(parent)
    return {key for name, key in late & start}


def _referring(
    new: Session, parent: Table, child: Table, key: ForeignKey, keys: Sequence[Values]
) -> set[tuple[Values, Values]]:
    """The keys of the rows of the child that refer to these rows, each with that of the one it refers to."""
    pairs = zip(key.columns, key.referenced, strict=True)
    refers = " AND ".join(
        f"c.{identifier(one)}{text} = r.{identifier(other)}{text}"
        for one, other in pairs
        for text in ("" if parent.column(other).comparable else "::pg_catalog.text",)
    )
    query = (
        f"SELECT k.place, {_key('c', child.key)} AS has FROM {{keys}} JOIN {parent.source} AS r ON {{same}}"
        f" JOIN {child.full_name} AS c ON {refers}"
    )
    rows = ask(new, query, Asked(parent, parent.key, keys))
    return {(child.plain(child.key, tuple(row["has"])), keys[row["place"] - 1]) for row in rows}


def _there(session: Session, table: Table, keys: Iterable[Values]) -> set[Values]:
    """Those of the keys that a row has."""
    asked = sorted(keys)
    if not asked:
        return set()
    query = f"SELECT k.place FROM {{keys}} WHERE EXISTS (SELECT FROM {table.source} AS r WHERE {{same}})"
    return {asked[row["place"] - 1] for row in ask(session, query, Asked(table, table.key, asked))}


def _key(alias: str, names: Iterable[str]) -> str:
    values = ", ".join(f"{alias}.{identifier(name)}::pg_catalog.text" for name in names)
    return f"pg_catalog.array_to_json(ARRAY[{values}]::pg_catalog.text[])"
