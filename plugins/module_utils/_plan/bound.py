# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan rests on, and what of it has changed since: the difference between looking and acting.

A plan that is kept as a file is bound to the facts that it was made from. A restore that takes it compares them with
what it finds, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .request import Facts, Findings
from .runs import Resumed

_UNKNOWN = "unknown"
_MAKE_ANOTHER = "Make the plan again with playbooks/plan.yml, and look at it."
_LABELS = {
    "project": "the Neon project",
    "application": "the Coolify application",
    "commit": "the commit that is running",
    "primary": "the primary",
    "endpoint": "the compute that the application connects to",
    "last_reset_at": "the instant at which the primary was last reset",
    "source": "the branch that holds the restore point",
    "source_last_reset_at": "the instant at which the branch that holds the restore point was last reset",
    "restore_point": "the instant of the restore point",
    "lsn": "the LSN of the restore point",
}
_BRANCHES = ("primary", "source")
_BRANCH = frozenset({"branch_id", "name"})
_ROW = frozenset({"uuid", "key", "is_preview", "host", "hash"})
# The facts that are lists, with what each of their items says.
_LISTS = {"children": _BRANCH, "env": _ROW, "also_repoint": _ROW | {"of"}}

# What cannot be known while another fact is not. That one is said to have changed; of these nothing can be.
_RESTS_ON = {
    "endpoint": "primary",
    "last_reset_at": "primary",
    "children": "primary",
    "source": "source",
    "source_last_reset_at": "source",
    "lsn": "source",
}


def bound_to(plan: Mapping[str, Any], facts: Facts, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts that a plan is bound to. What is not known is null.

    :param plan: as far as it has been made.
    :param rows: the application's rows that lead to the primary.
    """
    primary, source = plan.get("primary") or {}, plan.get("source") or {}
    point, application = plan.get("restore_point") or {}, plan.get("application") or {}
    return {
        "project": facts.project.get("id"),
        "application": application.get("uuid"),
        "commit": application.get("commit"),
        "primary": _named(primary),
        "endpoint": primary.get("endpoint_id"),
        "last_reset_at": primary.get("last_reset_at"),
        "source": _named(source),
        "source_last_reset_at": _reset_of(source, primary, facts),
        "restore_point": point.get("utc"),
        "lsn": source.get("parent_lsn") or point.get("lsn"),
        "children": [_named(child) for child in primary.get("children") or ()],
        "env": [_row(row) for row in rows],
        "also_repoint": [_consumer(item) for item in (plan.get("consumers") or {}).get("repoint") or ()],
    }


def _reset_of(source: Mapping[str, Any], primary: Mapping[str, Any], facts: Facts) -> Any:
    """When another branch than the primary was last reset, with which its past has moved away."""
    if source.get("branch_id") == primary.get("branch_id"):
        return None
    return (facts.by_id.get(str(source.get("branch_id"))) or {}).get("last_reset_at")


def _named(item: Mapping[str, Any]) -> dict[str, Any] | None:
    return {"branch_id": item["branch_id"], "name": item.get("name")} if item.get("branch_id") else None


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    connection = row.get("connection") or {}
    shown = {key: row.get(key) for key in ("uuid", "key", "is_preview")}
    return {**shown, "host": connection.get("host"), "hash": connection.get("hash")}


def _consumer(item: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: item.get(key) for key in ("key", "is_preview", "host", "hash")}
    return {**shown, "uuid": item.get("env_uuid"), "of": item.get("name") or item.get("uuid")}


def is_whole(bound: Any) -> bool:
    """Whether each fact that a plan is bound to is there, in its shape: one that is not would bind it to nothing."""
    if not isinstance(bound, Mapping) or bound.keys() != _LABELS.keys() | _LISTS.keys():
        return False
    texts = [bound[name] for name in _LABELS if name not in _BRANCHES]
    branches = [bound[name] for name in _BRANCHES if bound[name] is not None]
    lists = all(isinstance(bound[name], list) for name in _LISTS)
    return (
        lists
        and all(_is_plain(value) for value in texts)
        and all(_says(value, _BRANCH) for value in branches)
        and all(_says(item, keys) for name, keys in _LISTS.items() for item in bound[name])
    )


def _says(item: Any, keys: frozenset[str]) -> bool:
    return isinstance(item, Mapping) and item.keys() == keys and all(_is_plain(value) for value in item.values())


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every fact that differs: `{fact, was, is}`, as texts. Branches are told apart by their ids, not their names.

    :param was: is whole.
    """
    found = []
    known = {key for key in was if key not in _RESTS_ON or now.get(_RESTS_ON[key]) is not None}
    for key, label in _LABELS.items():
        if key in known and _identity(was.get(key)) != _identity(now.get(key)):
            found.append({"fact": label, "was": _text(was.get(key)), "is": _text(now.get(key))})
    before, after = _by_id(was.get("children")), _by_id(now.get("children"))
    if "children" in known and before.keys() != after.keys():
        found.append({"fact": "the children of the primary", "was": _listed(before), "is": _listed(after)})
    return [*found, *_row_changes(was, now, "env"), *_row_changes(was, now, "also_repoint")]


def _row_changes(was: Mapping[str, Any], now: Mapping[str, Any], fact: str) -> list[dict[str, str]]:
    before, after = ({_place(row): row for row in facts.get(fact) or ()} for facts in (was, now))
    found = []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old is None or new is None or (old.get("uuid"), old.get("hash")) != (new.get("uuid"), new.get("hash")):
            owner, key, is_preview = place
            label = f"the row {key}{f' of {owner}' if owner else ''}{' (preview)' if is_preview else ''}"
            found.append({"fact": label, "was": _row_text(old), "is": _row_text(new)})
    return found


def _place(row: Mapping[str, Any]) -> tuple[str, str, bool]:
    return str(row.get("of") or ""), str(row.get("key")), bool(row.get("is_preview"))


def _row_text(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "on another branch, or not there"
    return f"{row.get('host') or _UNKNOWN} (hash {row.get('hash') or _UNKNOWN}, row {row.get('uuid') or _UNKNOWN})"


def _identity(value: Any) -> Any:
    return value.get("branch_id") if isinstance(value, Mapping) else value


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('name')} {value.get('branch_id')}"
    return _UNKNOWN if value in (None, "") else str(value)


def _by_id(items: Any) -> dict[str, Mapping[str, Any]]:
    return {str(item.get("branch_id")): item for item in items or ()}


def _listed(items: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{item.get('name')} {key}" for key, item in items.items()) or "none"


def check_bound(
    was: Mapping[str, Any] | None, now: Mapping[str, Any], resumed: Resumed | None, found: Findings
) -> None:
    """A problem for each fact that has changed since the plan was written to its file, or that it does not say.

    A run that is continued was compared when it began; what is different now, it may have changed itself.
    """
    if was is None or (resumed is not None and resumed.resolved is not None):
        return
    if not is_whole(was):
        found.problem("plan_incomplete", "Parts of what the plan was made from are missing.", _MAKE_ANOTHER)
        return
    for change in changes(was, now):
        found.problem(
            "plan_changed",
            f"Since the plan was made, {change['fact']} has changed: it was {change['was']}, it is {change['is']}.",
            _MAKE_ANOTHER,
        )
