# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many rows were written since a manifest, or that it is unknown. To go back to it loses them.

An upper bound as far as whoever writes sets the column that says when a row was changed, as an ORM does. What a plain
UPDATE changes without it is seen only where nothing else in its table says more than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from .manifest import NOT_RESTORED
from .session import DatabaseError, Session
from .tables import identifier

# A column that is set again with each change says how many rows changed; one that is set once does not.
_SET_AGAIN = ("updat", "modif")


def count(session: Session, comparison: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the database how many rows were written, as far as the two manifests do not say it.

    :param comparison: of the earlier manifest with the present one.
    :param manifest: the present one.
    """
    asked = queries(comparison, manifest)
    with session.snapshot({"search_path": ""}):
        answers = session.try_each([(query, None) for query in asked.values()])
    newer = {
        table: int(answer[0]["written"])
        for table, answer in zip(asked, answers, strict=True)
        if not isinstance(answer, DatabaseError)
    }
    return written(comparison, manifest, newer)


def queries(comparison: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, str]:
    """By table, the query that counts the rows of each changed one that were inserted or updated since.

    Since the newest row that was seen: the clocks of application and database need not agree for that.
    """
    found = {}
    for table, item in _changed(comparison).items():
        column = _column(manifest, table)
        if column is None or item.get("newest_before") is None:
            continue
        instant = str(item["newest_before"]).replace("'", "''")
        where = f"{identifier(column)} > '{instant}'::timestamptz"
        found[table] = f"SELECT count(*) AS written FROM {table} WHERE {where}"
    return found


def written(
    comparison: Mapping[str, Any], manifest: Mapping[str, Any], newer: Mapping[str, int | None]
) -> dict[str, Any]:
    """The rows that were written, at most; None where that cannot be said.

    :param newer: what the queries have answered.
    :returns: ``tables`` (name -> at most that many, or None), ``rows`` (None where not all is known), and ``why`` not.
    """
    tables = {
        table: _bound(item, newer.get(table), _column(manifest, table)) for table, item in _changed(comparison).items()
    }
    why = [
        *_unseen(comparison, manifest),
        *(f"what changed in {name}" for name, rows in tables.items() if rows is None),
    ]
    drawn = _drawn(comparison, manifest)
    if drawn is None:
        why.append("how often sequences were used")
    rows = sum(rows or 0 for rows in tables.values())
    # A number that no row has was drawn for one that was deleted again, or is known elsewhere.
    return {"tables": tables, "rows": None if why else max(rows, drawn or 0), "why": ", ".join(why)}


def _unseen(comparison: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    """What the comparison did not look at, or what no number of rows describes."""
    if not comparison["hashes_compared"]:
        yield "which rows changed in tables that were counted and not hashed"
    if not comparison["schema_equal"] or comparison["extensions"]:
        yield "what a change of the schema has done"
    hidden = [name for name, reason in (manifest.get("skipped") or {}).items() if reason not in NOT_RESTORED]
    if hidden:
        yield f"what is in {', '.join(hidden)}"


def _changed(comparison: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: item for name, item in comparison["tables"].items() if item["status"] != "equal"}


def _column(manifest: Mapping[str, Any], table: str) -> str | None:
    column = ((manifest.get("tables") or {}).get(table) or {}).get("newest_column")
    return str(column) if column and any(part in str(column).lower() for part in _SET_AGAIN) else None


def _bound(item: Mapping[str, Any], newer: int | None, column: str | None) -> int | None:
    before, after = item.get("rows_before"), item.get("rows_after")
    if item["status"] != "changed" or before is None or after is None:
        return None
    if item.get("newest_before") is None and int(before) == 0:
        return int(after)
    if column is None or newer is None:
        return None
    # Of the newer rows nobody knows which were inserted: were it all of them, so many would have been deleted.
    bound = newer + max(0, int(before) + newer - int(after))
    # More has changed than the column says: somebody writes without setting it.
    return None if bound < max(1, int(after) - int(before)) else bound


def _drawn(comparison: Mapping[str, Any], manifest: Mapping[str, Any]) -> int | None:
    """How many numbers were drawn from sequences, where it is more than a recovery explains."""
    total = 0
    for name, item in comparison["sequences"].items():
        if item["status"] == "ahead":
            continue
        before, after = item["last_value_before"], item["last_value_after"]
        increment = int(((manifest.get("sequences") or {}).get(name) or {}).get("increment") or 0)
        moved = (int(after) - int(before or 0)) / increment if after is not None and increment else 0
        if item["status"] != "changed" or moved <= 0:
            return None
        total += math.ceil(moved)
    return total
