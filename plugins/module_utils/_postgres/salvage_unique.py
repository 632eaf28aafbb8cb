# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which changes want a value that only one row may have: by the index's own expressions, operators and condition.

Nothing here knows what makes two values the same: PostgreSQL is asked with what the index says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .salvage_ask import Asked, ask, can_ask, equal, try_ask
from .salvage_catalog import Structure, Table, Unique
from .salvage_known import Known, Spill
from .salvage_merge import Change, Values
from .salvage_order import Order
from .salvage_verdict import Sessions, Verdict, differ, written
from .tables import identifier


def understood(tables: Mapping[str, Table], old: Structure, sessions: Sessions) -> tuple[dict[str, Table], list[str]]:
    """The tables with those of their indexes that can be asked for, and a line about each of the others."""
    found, lines = {}, []
    for name, table in tables.items():
        usable = []
        for unique in table.unique:
            asked = [sessions.new] if _is_kept_to(table, unique, old) else [sessions.new, sessions.old]
            query, width = clashing(table, unique), len(unique.columns) + len(table.key)
            if unique.is_plain or all(can_ask(session, query, table, width) for session in asked):
                usable.append(unique)
            else:
                lines.append(unseen(unique, name))
        found[name] = replace(table, unique=tuple(usable))
    return found, lines


def unseen(unique: Unique, table: str) -> str:
    return f"index {unique.name} of {table}: rows that clash there are not found; the file fails then"


def _is_kept_to(table: Table, unique: Unique, old: Structure) -> bool:
    """Whether the rows of the old side cannot clash among themselves."""
    there = old.tables.get(table.full_name)
    return there is not None and unique in there.unique


def clashing(table: Table, unique: Unique) -> str:
    """The query for rows that have what those have that are asked for: ``k`` with the index's columns, then the key."""
    alias = identifier(table.name)
    inside = ", ".join(
        f"k.c{number}::{table.column(name).type} AS {identifier(name)}" for number, name in enumerate(unique.columns)
    )
    row = f"(SELECT {inside}) AS {alias}"
    if unique.computed:
        computed = ", ".join(f"({text}) AS {identifier(name)}" for name, text in unique.computed)
        row = f"(SELECT {alias}.*, {computed} FROM {row}) AS {alias}"
    parts = ", ".join(f"({part.text}) AS e{number}" for number, part in enumerate(unique.parts))
    where = f" WHERE {unique.condition}" if unique.condition else ""
    keys = ", ".join(f"{alias}.{identifier(name)} AS key{number}" for number, name in enumerate(table.key))
    has = ", ".join(f"{alias}.{identifier(name)}::pg_catalog.text" for name in table.key)
    same = []
    for number, part in enumerate(unique.parts):
        both = f"r.e{number} {part.operator} v.e{number}"
        same.append(f"({both} OR r.e{number} IS NULL AND v.e{number} IS NULL)" if unique.with_nulls else both)
    itself = " AND ".join(
        equal(table.column(name), f"r.key{number}", len(unique.columns) + number)
        for number, name in enumerate(table.key)
    )
    return (
        f"SELECT k.place, r.row, r.has FROM {{keys}} CROSS JOIN LATERAL (SELECT {parts} FROM {row}{where}) AS v"
        f" JOIN (SELECT {table.content(alias)} AS row, pg_catalog.array_to_json(ARRAY[{has}]) AS has, {keys}, {parts}"
        f" FROM {table.source} AS {alias}{where}) AS r ON {' AND '.join(same)} WHERE NOT ({itself})"
    )


class Uniques:
    """Judges changes by what other rows have."""

    def __init__(self, old: Structure, order: Order, sessions: Sessions, spill: Spill) -> None:
        self._old = old
        self._order = order
        self._sessions = sessions
        self._keeping: dict[str, Known] = defaultdict(spill.known)

    def hold(self, table: Table, change: Change) -> bool:
        """The change is not made: its row on the new side keeps what it has. Whether that may concern others."""
        if change.base is None or change.base != change.new:
            return False
        known, key = self._keeping[table.full_name], table.key_of(change.base)
        if not any(
            change.old is None or differ(table, unique.columns, change.base, change.old) for unique in table.unique
        ):
            return False
        return known.add(key)

    def keeping(self, table: Table) -> Known:
        """The keys of the rows that `hold` was told of."""
        return self._keeping[table.full_name]

    def judge(self, table: Table, unique: Unique, changes: Sequence[Change], verdicts: Sequence[Verdict]) -> None:
        """Another row of the new side may have the value; one that is as it was then gives it up with this salvage."""
        with_nulls = unique.with_nulls or not unique.is_plain
        wanted = list(written(table, unique.columns, changes, verdicts, with_nulls=with_nulls))
        asked = [(*values, *table.key_of(changes[place].row)) for place, values in wanted]
        if not asked:
            return
        query, what = clashing(table, unique), unique.what
        if not _is_kept_to(table, unique, self._old):
            rows, failed = try_ask(self._sessions.old, query, Asked(table, (), asked))
            for row in rows:
                verdicts[wanted[row["place"] - 1][0]].reason = f"another row of the old side has its {what} too"
            self._failed([wanted[number][0] for number in failed], unique, verdicts)
        new, failed = try_ask(self._sessions.new, query, Asked(table, (), asked))
        self._failed([wanted[number][0] for number in failed], unique, verdicts)
        holders = [table.plain(table.key, tuple(row["has"])) for row in new]
        before = self._before(table, holders)
        kept = self._keeping[table.full_name]
        stays = self._stays(table, holders) if self._late_columns(table, unique) else set()
        for row, holder in zip(new, holders, strict=True):
            place = wanted[row["place"] - 1][0]
            if before.get(holder) != row["row"]:
                verdicts[place].reason = f"another row of the new side has its {what}"
            elif holder in kept:
                verdicts[place].reason = f"the row of the new side that has its {what} is in conflict and keeps it"
            elif verdicts[place].reason is None and not unique.deferrable:
                self._takes(table, unique, holder, changes[place], verdicts[place], holder in stays)

    @staticmethod
    def _failed(places: Sequence[int], unique: Unique, verdicts: Sequence[Verdict]) -> None:
        for place in places:
            verdicts[place].reason = f"its {unique.what} cannot be computed on both sides"

    def _before(self, table: Table, holders: Sequence[Values]) -> dict[Values, str]:
        """The contents of these rows at the restore point."""
        keys = sorted(set(holders))
        if not keys:
            return {}
        query = f"SELECT k.place, {table.content('r')} AS row FROM {{keys}} JOIN {table.source} AS r ON {{same}}"
        rows = ask(self._sessions.base, query, Asked(table, table.key, keys))
        return {keys[row["place"] - 1]: row["row"] for row in rows}

    def _stays(self, table: Table, holders: Sequence[Values]) -> set[Values]:
        """Those of these rows that the old side still has: the others are deleted, before anything is inserted."""
        keys = sorted(set(holders))
        if not keys or table.full_name not in self._old.tables:
            return set(keys)
        query = f"SELECT k.place FROM {{keys}} JOIN {table.source} AS r ON {{same}}"
        return {keys[row["place"] - 1] for row in ask(self._sessions.old, query, Asked(table, table.key, keys))}

    def _late_columns(self, table: Table, unique: Unique) -> tuple[str, ...]:
        """Those of the index in which a reference may come late."""
        late = {name for key in self._order.late.get(table.full_name, ()) for name in key.columns}
        return tuple(name for name in unique.columns if name in late)

    def _takes(
        self, table: Table, unique: Unique, holder: Values, change: Change, verdict: Verdict, stays: bool
    ) -> None:
        verdict.takes += ((unique, holder),)
        # What has the value may give it up late, where it holds a reference that can come late.
        both = self._late_columns(table, unique)
        if both and change.base is not None:
            verdict.late += unique.columns
            return
        if not stays:
            return
        if any(table.column(name).required for name in both) or any(
            other.may_hold_nulls(both) for other in table.unique
        ):
            verdict.reason = f"the row that has its {unique.what} gives it up too late"
        verdict.late += both
