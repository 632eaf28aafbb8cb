# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is worth knowing about a project before anything is changed in it."""

from __future__ import annotations

import datetime
from typing import Any

from .._time import parse_instant, rfc3339, utc_now
from .client import NeonClient
from .operations import outline

Json = dict[str, Any]

# By plan, as documented in 2026 (Neon's plans page, March to June): branches, root branches, protected branches and
# manual snapshots.
_LIMITS: dict[str, tuple[int, int, int, int]] = {
    "free": (10, 3, 0, 1),
    "launch": (5000, 5, 2, 100),
    "scale": (5000, 25, 5, 100),
}
# The whole project's storage by plan, in bytes (same page); the other plans have a limit for each branch only.
_STORAGE: dict[str, int] = {"free": 512 * 1024 * 1024}


def read_project(client: NeonClient, project_id: str) -> Json:
    """The project as `neon_project_info` returns it, in three requests."""
    project = client.project(project_id)
    now = client.now or utc_now()
    branches, _annotations = client.branches(project_id)
    plan = plan_of(project)
    settings = project.get("settings") or {}
    allowed = settings.get("allowed_ips") or {}
    return {
        "id": project.get("id"),
        "name": project.get("name"),
        "region_id": project.get("region_id"),
        "pg_version": project.get("pg_version"),
        "created_at": project.get("created_at"),
        "history_retention_seconds": project.get("history_retention_seconds"),
        "window_start": window_start(project, now),
        "plan": plan,
        "limits": limits_of(project, plan),
        "counts": {
            "branches": len(branches),
            "root_branches": sum(1 for branch in branches if not branch.get("parent_id")),
            "protected_branches": sum(1 for branch in branches if branch.get("protected")),
        },
        "storage": storage_of(project, plan),
        "store_passwords": project.get("store_passwords"),
        "allowed_ips": list(allowed.get("ips") or []),
        "protected_branches_only": bool(allowed.get("protected_branches_only", False)),
        "running_operations": [outline(operation) for operation in client.running_operations(project_id)],
    }


def window_start(project: Json, now: datetime.datetime) -> str | None:
    """The earliest instant of the history window, RFC 3339 in UTC: never before the project itself."""
    seconds = project.get("history_retention_seconds")
    if seconds is None:
        return None
    start = now - datetime.timedelta(seconds=seconds)
    if project.get("created_at"):
        start = max(start, parse_instant(project["created_at"], future=True))
    return rfc3339(start)


def plan_of(project: Json) -> str | None:
    """``free``, ``launch``, ``scale`` or another word that Neon uses; None where the key may not see it."""
    subscription = (project.get("owner") or {}).get("subscription_type")
    return str(subscription).partition("_")[0] if subscription else None


def limits_of(project: Json, plan: str | None) -> Json:
    """How many branches and snapshots the plan allows; None where that is not known or has no limit."""
    branches, roots, protected, snapshots = _LIMITS.get(plan or "", (None, None, None, None))
    told = (project.get("owner") or {}).get("branches_limit")
    if isinstance(told, int) and told > 0:
        branches = told
    return {
        "branches": branches,
        "root_branches": roots,
        "protected_branches": protected,
        "manual_snapshots": snapshots,
    }


def storage_of(project: Json, plan: str | None) -> Json:
    """What the project stores and may store, in bytes; None where Neon does not say or there is no such limit."""
    megabytes = project.get("branch_logical_size_limit")
    branch_limit = project.get("branch_logical_size_limit_bytes")
    if branch_limit is None and megabytes is not None:
        branch_limit = int(megabytes) * 1024 * 1024
    return {
        "used_bytes": project.get("synthetic_storage_size"),
        "limit_bytes": _STORAGE.get(plan or ""),
        "branch_limit_bytes": branch_limit or None,
    }
