# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows were written since a cutover: an upper bound, or unknown. An undo loses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._postgres.tables import identifier

# A column that is set again with each change says how many rows changed; one that is set once does not.
_SET_AGAIN = ("updat", "modif")
_NAME = "rows written to "


def queries(comparison: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The checks (kind sql) that count the rows of each changed table that were inserted or updated since.

    Since the newest row that was verified: the clocks of application and database need not agree for that.

    :param comparison: of the verified manifest with the present one.
    :param manifest: the present one.
    """
    found = []
    for table, item in _changed(comparison).items():
        column = _column(manifest, table)
        if column is None or item.get("newest_before") is None:
            continue
        instant = str(item["newest_before"]).replace("'", "''")
        where = f"{identifier(column)} > '{instant}'::timestamptz"
        query = f"SELECT count(*) AS written FROM {table} WHERE {where}"
        found.append({"name": f"{_NAME}{table}", "kind": "sql", "query": query, "expect": "length(@) == `1`"})
    return found


def written(
    comparison: Mapping[str, Any], manifest: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The rows that were written, at most; None where that cannot be said.

    :returns: ``tables`` (name -> at most that many, or None) and ``rows`` (their sum, None where one is not known).
    """
    if not comparison or "tables" not in comparison:
        return {"tables": {}, "rows": None}
    counted = {str(check["name"]).removeprefix(_NAME): _count(check) for check in checks}
    tables = {
        table: _bound(item, counted.get(table), _column(manifest, table))
        for table, item in _changed(comparison).items()
    }
    known = [rows for rows in tables.values() if rows is not None]
    return {"tables": tables, "rows": sum(known) if len(known) == len(tables) else None}


def _changed(comparison: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: item for name, item in comparison.get("tables", {}).items() if item["status"] != "equal"}


def _column(manifest: Mapping[str, Any], table: str) -> str | None:
    column = ((manifest.get("tables") or {}).get(table) or {}).get("newest_column")
    return str(column) if column and any(part in str(column).lower() for part in _SET_AGAIN) else None


def _count(check: Mapping[str, Any]) -> int | None:
    found = check.get("found")
    row = found[0] if isinstance(found, list) and found else found
    number = row.get("written") if isinstance(row, Mapping) else None
    return int(number) if isinstance(number, (int, float, str)) and str(number).isdigit() else None


def _bound(item: Mapping[str, Any], newer: int | None, column: str | None) -> int | None:
    before, after = item.get("rows_before"), item.get("rows_after")
    if item["status"] == "extra" and after is not None:
        return int(after)
    if item["status"] != "changed" or before is None or after is None:
        return None
    if item.get("newest_before") is None and int(before) == 0:
        return int(after)
    if column is None or newer is None:
        return None
    # Of the newer rows nobody knows which were inserted: were it all of them, so many would have been deleted.
    return newer + max(0, int(before) + newer - int(after))
