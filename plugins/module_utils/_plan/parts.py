# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a plan that only show, in a fixed shape, what is known or would be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._postgres.comparison import rows_gone
from .._predicted import predicted
from .._time import rfc3339
from .instants import text_or_none
from .primary import Primary, rows_on
from .request import Facts, Request, running_commit
from .runs import Branch
from .source import Source, primary_since
from .strategies import Case

# Everything of a row that Coolify would reset if it were not sent back.
FLAGS = ("is_literal", "is_multiline", "is_shown_once", "is_runtime", "is_buildtime", "comment")


def primary_part(facts: Facts, primary: Primary) -> dict[str, Any]:
    node, branch = facts.tree.nodes[primary.branch_id], facts.by_id[primary.branch_id]
    endpoint = primary.address.endpoint
    endpoints = branch.get("endpoints") or ()
    return {
        "branch_id": node.id,
        "name": node.name,
        "is_root": node.parent_id is None,
        "parent_id": node.parent_id,
        "default": node.default,
        "protected": node.protected,
        "expires_at": text_or_none(node.expires_at),
        "created_at": text_or_none(node.created_at),
        "current_state": branch.get("current_state"),
        "last_reset_at": branch.get("last_reset_at") or None,
        "since": text_or_none(primary_since(facts, primary)),
        "endpoint_id": endpoint.get("id"),
        "endpoint_type": endpoint.get("type"),
        "endpoint_state": endpoint.get("current_state"),
        "disabled": bool(endpoint.get("disabled")),
        "endpoint_ids": [item.get("id") for item in endpoints],
        "host": endpoint.get("host"),
        "pooler_host": endpoint.get("pooler_host"),
        "hosts": [str(item[key]) for item in endpoints for key in ("host", "pooler_host") if item.get(key)],
        "pooled": primary.address.pooled,
        "database": primary.connection.get("database"),
        "role": primary.connection.get("user"),
        "children": [{"branch_id": child.id, "name": child.name} for child in facts.tree.children(node.id)],
    }


def application_part(facts: Facts) -> dict[str, Any]:
    application = facts.application
    kept = "uuid name fqdn status build_pack git_branch git_commit_sha auto_deploy health_check"
    shown = {key: application.get(key) for key in kept.split()}
    return {**shown, "commit": running_commit(facts), "version": facts.version}


def losses_part(comparison: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is about to be lost, table by table: `before` is the primary now, `after` the restore point.

    Unless it is `exact`, a number is the least that it can be.
    """
    if comparison is None:
        unknown = {"exact": False, "rows_lost": None, "rows_restored": None}
        return {"known": False, **unknown, "tables": [], "tables_changed": []}
    tables = [
        {
            "table": name,
            "status": item.get("status"),
            "now": item.get("rows_before"),
            "at_point": item.get("rows_after"),
            **rows_gone(item),
        }
        for name, item in sorted((comparison.get("tables") or {}).items())
    ]
    return {
        "known": True,
        "exact": all(item["exact"] for item in tables),
        "rows_lost": sum(item["lost"] or 0 for item in tables),
        "rows_restored": sum(item["restored"] or 0 for item in tables),
        "tables": tables,
        "tables_changed": [item["table"] for item in tables if item["status"] == "changed"],
    }


def like_computes_of(branch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What makes computes like those of a branch (rule 13): what is at its default is left out, for Free refuses it."""
    endpoints = []
    for item in branch.get("endpoints") or ():
        copied: dict[str, Any] = {"type": item.get("type") or "read_write"}
        for key in ("autoscaling_limit_min_cu", "autoscaling_limit_max_cu"):
            if item.get(key) is not None:
                copied[key] = item[key]
        if item.get("suspend_timeout_seconds"):
            copied["suspend_timeout_seconds"] = item["suspend_timeout_seconds"]
        if item.get("settings"):
            copied["settings"] = item["settings"]
        endpoints.append(copied)
    return sorted(endpoints, key=lambda item: item["type"] != "read_write")


def compute_part(case: Case) -> dict[str, Any]:
    """The computes that the new branch gets."""
    endpoints = like_computes_of(case.branch)
    replicas = sum(1 for item in endpoints if item["type"] == "read_only")
    return {"endpoints": endpoints or [{"type": "read_write"}], "replicas": replicas}


def env_part(case: Case, strategy: str) -> dict[str, Any]:
    """The rows that move together in one write; only the host of each changes (rule 2)."""
    moved = []
    if strategy == "repoint":
        moved = [_moved(case, row, done=False) for row in rows_on(case.facts, case.primary.branch_id)]
        if case.resumed and case.names.branch.existing is not None:
            moved += [_moved(case, row, done=True) for row in rows_on(case.facts, case.names.branch.id)]
    return {
        "key": case.request.env_key,
        "base": supplied_base(case.primary, case.request),
        "rows": moved,
        "keys_moved": sorted({str(row["key"]) for row in moved}),
    }


def supplied_base(primary: Primary, request: Request) -> dict[str, Any] | None:
    """What a connection is made from where the row cannot be read: its string without the password, and the variable
    that holds the whole (rule 5)."""
    row = primary.row
    if row is None or not row.get("supplied"):
        return None
    return {"template": primary.connection.get("template"), "password_env": request.old_connection_env}


def _moved(case: Case, row: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
    """One row that moves, or that the run being continued has moved already (`moved`)."""
    connection = row["connection"]
    pooled = bool(connection.get("pooled"))
    branch = case.facts.by_id[case.names.branch.id] if done else case.branch
    kind = _endpoint_type(branch, str(connection.get("host")))
    made = case.facts.by_id.get(case.names.branch.id)
    return {
        "uuid": row.get("uuid"),
        "key": row.get("key"),
        "is_preview": bool(row.get("is_preview")),
        "pooled": pooled,
        "endpoint_type": kind,
        "from_host": _host(case.branch, kind, pooled) if done else connection.get("host"),
        "to_host": (_host(made, kind, pooled) if made else None) or predicted("endpoint", case.names.branch.name),
        "database": connection.get("database"),
        "user": connection.get("user"),
        "hash": connection.get("hash"),
        "is_buildtime": bool(row.get("is_buildtime")),
        "flags": {flag: row.get(flag) for flag in FLAGS},
        "template": connection.get("template"),
        # The variable that holds the present string, where the row or its password cannot be read (rule 5).
        "password_env": case.request.old_connection_env if row.get("supplied") else None,
        "readable": row.get("readable") is not False,
        "moved": done,
    }


def _endpoint_type(branch: Mapping[str, Any], host: str) -> str:
    for item in branch.get("endpoints") or ():
        if host.lower() in (str(item.get("host")).lower(), str(item.get("pooler_host")).lower()):
            return str(item.get("type") or "read_write")
    return "read_write"


def _host(branch: Mapping[str, Any], kind: str, pooled: bool) -> str | None:
    for item in branch.get("endpoints") or ():
        host = item.get("pooler_host" if pooled else "host")
        if host and (item.get("type") or "read_write") == kind:
            return str(host)
    return None


def wakes_part(case: Case, branch: Branch) -> list[dict[str, Any]]:
    """Computes that are asleep and that reading the data would wake, for which a check therefore does not (rule 26)."""
    read = [(case.node, "the primary is read to show what would be lost")]
    if branch.existing is not None:
        read.append((branch.existing, "the branch of an earlier run is verified"))
    return [
        {"branch_id": node.id, "name": node.name, "endpoint_id": item.get("id"), "why": why}
        for node, why in read
        for item in case.facts.by_id[node.id].get("endpoints") or ()
        if item.get("current_state") == "idle" and not item.get("disabled") and item.get("type") != "read_only"
    ]


def expiries_to_clear(case: Case, source: Source, strategy: str) -> list[dict[str, Any]]:
    """Expiries that must go before the branch becomes a parent or comes into use, each a step of its own (rule 8)."""
    wanted = {source.branch_id: "it becomes the parent of the branch that this restore makes"}
    wanted[case.primary.branch_id] = "it is in use"
    if strategy == "repoint" and case.names.branch.existing is not None:
        wanted[case.names.branch.id] = "the application is about to use it"
    found = []
    for branch_id, why in wanted.items():
        node = case.facts.tree.nodes[branch_id]
        if node.expires_at is not None:
            found.append({"branch_id": node.id, "name": node.name, "expires_at": rfc3339(node.expires_at), "why": why})
    return found
