# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference between two manifests, table by table: what is missing, extra or changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import InvalidInput

# PostgreSQL logs a sequence this many values ahead (SEQ_LOG_VALS in sequence.c): after a recovery it may stand that far
# beyond the value that was really used last, without anything being wrong.
_LOGGED_AHEAD = 32

Manifest = Mapping[str, Any]


def compare(before: Manifest, after: Manifest) -> dict[str, Any]:
    """What is different in ``after``.

    ``equal`` means: tables, sequences, extensions, schema and migration head are the same as far as both manifests say.

    :raises InvalidInput: when one of them is no manifest of this version.
    """
    for name, manifest in (("before", before), ("after", after)):
        if manifest.get("version") != 1 or not isinstance(manifest.get("tables"), Mapping):
            raise InvalidInput(
                f'compare manifests: "{name}" is not a manifest of version 1',
                hint="Pass what postgres_manifest returned as manifest.",
            )
    hashes = _major(before) == _major(after)
    tables = {name: _table(name, before, after, hashes) for name in _names("tables", before, after)}
    sequences = {
        name: difference
        for name in _names("sequences", before, after)
        if (difference := _sequence(before["sequences"].get(name), after["sequences"].get(name)))
    }
    extensions = _versions(before.get("extensions", {}), after.get("extensions", {}))
    schema_equal = before["schema_hash"] == after["schema_hash"]
    migration_equal = _head(before) == _head(after)
    result = {
        "equal": schema_equal
        and migration_equal
        and not extensions
        and all(item["status"] == "equal" for item in tables.values())
        and all(item["status"] in ("equal", "ahead") for item in sequences.values()),
        "tables": tables,
        "sequences": sequences,
        "extensions": extensions,
        "schema_equal": schema_equal,
        "schema_changed": _changed_parts(before, after),
        "migration_equal": migration_equal,
        "migration_before": _head(before),
        "migration_after": _head(after),
        "hashes_compared": hashes and all(item["compared_by"] == "hash" for item in tables.values()),
        "rows_before": _rows(before),
        "rows_after": _rows(after),
    }
    return {**result, "summary": _summary(result)}


def rows_gone(item: Mapping[str, Any]) -> dict[str, Any]:
    """How many rows of one table are there in `before` only, and how many in `after` only, as far as that is known.

    Numbers of rows and hashes tell no more than the least: where 100 rows came and 100 others went, or 1000 were
    changed, the table has as many rows as it had. A row that was changed counts on both sides.

    :param item: a table of `compare`.
    :returns: `lost` and `restored`, the least that each can be (null where one side could not be read), and whether
        they are `exact`.
    """
    status = item.get("status")
    if status == "unknown":
        return {"lost": None, "restored": None, "exact": False}
    difference = (item.get("rows_before") or 0) - (item.get("rows_after") or 0)
    # As many rows with other content: at least one of them is not what it was.
    other = int(status == "changed" and difference == 0)
    return {
        "lost": max(difference, other),
        "restored": max(-difference, other),
        "exact": status in ("missing", "extra") or (status == "equal" and item.get("compared_by") == "hash"),
    }


def _names(key: str, before: Manifest, after: Manifest) -> list[str]:
    return sorted({*before.get(key, {}), *after.get(key, {})})


def _table(name: str, before: Manifest, after: Manifest, hashes: bool) -> dict[str, Any]:
    old, new = before["tables"].get(name), after["tables"].get(name)
    rows_before = old["rows"] if old else None
    rows_after = new["rows"] if new else None
    item: dict[str, Any] = {
        "status": "equal",
        "rows_before": rows_before,
        "rows_after": rows_after,
        "difference": (rows_after or 0) - (rows_before or 0),
        "newest_before": old["newest"] if old else None,
        "newest_after": new["newest"] if new else None,
        "compared_by": "rows",
    }
    if old is None or new is None:
        here, there = ("before", after) if new is None else ("after", before)
        was_skipped = name in there.get("skipped", {})
        item["status"] = "unknown" if was_skipped else "missing" if here == "before" else "extra"
        return item
    # Hashes by record and by text are two different functions; their prefix says which one made them.
    comparable = hashes and old["hash"] and new["hash"] and old["hash"][:2] == new["hash"][:2]
    same = old["rows"] == new["rows"] and old["newest"] == new["newest"]
    if comparable:
        item["compared_by"] = "hash"
        same = same and old["hash"] == new["hash"]
    item["status"] = "equal" if same else "changed"
    return item


def _sequence(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The difference of one sequence; None when there is none."""
    if old is not None and new is not None and old == new:
        return None
    before, after = (item["last_value"] if item else None for item in (old, new))
    item: dict[str, Any] = {"status": "changed", "last_value_before": before, "last_value_after": after}
    if old is None or new is None:
        item["status"] = "missing" if new is None else "extra"
        return item
    increment = int(new["increment"])
    if after is not None and old["increment"] == new["increment"]:
        ahead = (int(after) - int(before or 0)) / increment
        if 0 < ahead <= _LOGGED_AHEAD + 1:
            item["status"] = "ahead"
    return item


def _versions(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, dict[str, str | None]]:
    return {
        name: {"before": old.get(name), "after": new.get(name)}
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def _changed_parts(before: Manifest, after: Manifest) -> list[str]:
    old, new = before.get("schema_parts", {}), after.get("schema_parts", {})
    return [part for part in sorted({*old, *new}) if old.get(part) != new.get(part)]


def _head(manifest: Manifest) -> str | None:
    migration = manifest.get("migration")
    return f"{migration['table']}: {migration['head']} ({migration['count']})" if migration else None


def _major(manifest: Manifest) -> str:
    return str(manifest.get("server_version", "")).partition(".")[0]


def _rows(manifest: Manifest) -> int:
    return sum(int(table["rows"]) for table in manifest["tables"].values())


def _summary(result: Mapping[str, Any]) -> list[str]:
    """One line per difference, as a report or a prompt shows it."""
    lines = [_line(name, item) for name, item in result["tables"].items() if item["status"] != "equal"]
    moved = {name: item["status"] for name, item in result["sequences"].items() if item["status"] != "ahead"}
    lines += [f"sequence {name}: {status}" for name, status in moved.items()]
    lines += [f"extension {name}: {item['before']} -> {item['after']}" for name, item in result["extensions"].items()]
    if not result["schema_equal"]:
        lines.append(f"schema differs: {', '.join(result['schema_changed']) or 'other objects'}")
    if not result["migration_equal"]:
        lines.append(f"migration head {result['migration_before']} -> {result['migration_after']}")
    return lines


def _line(name: str, item: Mapping[str, Any]) -> str:
    if item["status"] == "missing":
        return f"{name}: missing, {item['rows_before']} rows"
    if item["status"] == "extra":
        return f"{name}: extra, {item['rows_after']} rows"
    if item["status"] == "unknown":
        return f"{name}: could not be read on one side"
    difference = item["difference"]
    if difference == 0:
        return f"{name}: same number of rows ({item['rows_after']}), different content"
    how = "fewer" if difference < 0 else "more"
    return f"{name}: {abs(difference)} rows {how} ({item['rows_before']} -> {item['rows_after']})"
