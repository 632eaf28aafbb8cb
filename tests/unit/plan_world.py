# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small world for tests of plans: a project, an application and a history, in the shapes that the modules return."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.shape import build

Json = dict[str, Any]

NOW = "2025-01-13T15:00:00Z"
POINT = "2025-01-13T14:25:00Z"
MAIN, MAIN_HOST = "br-main-root-a1", "ep-main-compute-a1.eu.neon.tech"


def host_of(endpoint_id: str) -> tuple[str, str]:
    """Direct and pooled host of a compute."""
    return f"{endpoint_id}.eu.neon.tech", f"{endpoint_id}-pooler.eu.neon.tech"


def branch(branch_id: str, name: str, **more: Any) -> Json:
    """A branch object with every key; with `compute`, it has a read-write compute of that id."""
    compute = more.pop("compute", None)
    plain: Json = {
        "id": branch_id,
        "name": name,
        "parent_id": None,
        "parent_lsn": None,
        "parent_timestamp": None,
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-01T00:00:00Z",
        "current_state": "ready",
        "default": False,
        "protected": False,
        "expires_at": None,
        "logical_size": None,
        "last_reset_at": None,
        "restore_status": None,
        "restricted_actions": [],
        "annotations": {},
        "children": [],
        "endpoints": [endpoint(compute)] if compute else [],
    }
    return {**plain, **more}


def endpoint(endpoint_id: str, **more: Any) -> Json:
    """A compute as `neon_branch_info` shows it."""
    direct, pooled = host_of(endpoint_id)
    return {
        "id": endpoint_id,
        "type": "read_write",
        "host": direct,
        "pooler_host": pooled,
        "current_state": "active",
        "disabled": False,
        "autoscaling_limit_min_cu": 0.25,
        "autoscaling_limit_max_cu": 2,
        "suspend_timeout_seconds": 0,
        "settings": {},
        "last_active": None,
        **more,
    }


def env_row(key: str, host: str, **more: Any) -> Json:
    """An environment row that holds a connection string to this host."""
    connection = {
        "host": host,
        "port": 5432,
        "user": "tracker_owner",
        "database": "tracker",
        "pooled": "-pooler" in host,
        "hash": "0a1b2c3d4e5f",
    }
    return {
        "uuid": f"row-{key.lower()}{'-preview' if more.get('is_preview') else ''}",
        "key": key,
        "is_preview": False,
        "is_literal": True,
        "is_multiline": False,
        "is_shown_once": False,
        "is_runtime": True,
        "is_buildtime": False,
        "is_shared": False,
        "readable": True,
        "duplicate": False,
        "updated_at": "2025-01-02T00:00:00Z",
        "connection": connection,
        **more,
    }


def deployment(uuid: str, commit: str, finished_at: str, seconds: int = 60) -> Json:
    """A finished deployment that took this long."""
    return {
        "uuid": uuid,
        "status": "finished",
        "commit": commit,
        "created_at": (datetime.fromisoformat(finished_at) - timedelta(seconds=seconds)).isoformat(),
        "finished_at": finished_at,
    }


def cutover(at: str, strategy: str, from_id: str, to_id: str, **more: Any) -> Json:
    """A recorded cutover of the target."""
    return {
        "event": "cutover",
        "at": at,
        "target": "tracker",
        "strategy": strategy,
        "from_branch_id": from_id,
        "to_branch_id": to_id,
        "preserved_branch_id": None,
        "restore_point": None,
        "restore_lsn": None,
        "run": "20250113T140000Z-restore-0a1b2c",
        "proven": True,
        **more,
    }


class World:
    """A healthy target whose primary is the root `main`; a test changes what its story needs and asks for a plan."""

    def __init__(self) -> None:
        self.project: Json = {
            "id": "late-frost-12345678",
            "created_at": "2025-01-01T00:00:00Z",
            "history_retention_seconds": 7 * 86_400,
            "limits": {"branches": 10, "root_branches": 5, "protected_branches": 2},
            "counts": {},
            "store_passwords": True,
            "allowed_ips": [],
            "protected_branches_only": False,
            "running_operations": [],
        }
        self.branches: list[Json] = [branch(MAIN, "main", default=True, compute="ep-main-compute-a1")]
        self.application: Json = {
            "uuid": "n1kz0hg8q4w2e6r8t0y2u4i6",
            "name": "tracker",
            "status": "running:healthy",
            "server_reachable": True,
            "commit": "c0ffee",
            "auto_deploy": None,
            "health_check": {"enabled": True, "path": "/api/health"},
            "custom_healthcheck_found": False,
            "rolling": {"ok": True, "reasons": []},
            "migration_hints": [],
            "environment": [env_row("DATABASE_URL", MAIN_HOST)],
        }
        self.version: str | None = "4.3.11"
        self.abilities: Json = dict.fromkeys(("read", "read_sensitive", "write", "deploy"), "proven")
        self.deployments: Json = {"deployments": [], "running": [], "last_finished": None}
        self.consumers: list[Json] = []
        self.unreadable: list[Json] = []
        self.records: list[Json] = []
        self.backups: list[Json] = []
        self.unfinished: list[Json] = []
        self.migration: Json = {
            "primary": {"head": "0042_good", "schema_hash": "aa"},
            "restore_point": {"head": "0042_good", "schema_hash": "aa"},
        }
        self.losses: Json | None = None
        self.other_targets: list[Json] = []
        self.rehearsal: list[Json] = []
        self.failed_reads: Json = {}
        self.snapshots: list[Json] | None = None

    def params(self, **request: Any) -> Json:
        """The options of the module. Without another restore point, the request names `POINT`."""
        if not {"point_in_time", "lsn", "backup"} & set(request):
            request["point_in_time"] = POINT
        return copy.deepcopy(
            {
                "project": self.project,
                "branches": self.branches,
                "application": {
                    "application": self.application,
                    "version": self.version,
                    "abilities": self.abilities,
                },
                "deployments": self.deployments,
                "consumers": self.consumers,
                "unreadable": self.unreadable,
                "records": self.records,
                "backups": self.backups,
                "unfinished": self.unfinished,
                "migration": self.migration,
                "losses": self.losses,
                "other_targets": self.other_targets,
                "rehearsal": self.rehearsal,
                "failed_reads": self.failed_reads,
                "snapshots": self.snapshots,
                "request": {
                    "target": "tracker",
                    "environment": "staging",
                    "now": NOW,
                    "timezone": "Europe/Berlin",
                    **request,
                },
            }
        )

    def plan(self, **request: Any) -> Json:
        """The plan for a request."""
        return build(self.params(**request))

    def add(self, *branches: Json) -> World:
        self.branches.extend(branches)
        return self

    def point_row_to(self, endpoint_id: str, key: str = "DATABASE_URL", **more: Any) -> World:
        """The application's row leads to another compute."""
        rows = [row for row in self.application["environment"] if row["key"] != key]
        self.application["environment"] = [*rows, env_row(key, host_of(endpoint_id)[0], **more)]
        return self


def codes(plan: Json) -> list[str]:
    """The codes of a plan's problems, sorted."""
    return sorted(item["code"] for item in plan["problems"])


def problem(plan: Json, code: str) -> Json:
    """The one problem with this code."""
    found: list[Json] = [item for item in plan["problems"] if item["code"] == code]
    assert len(found) == 1, f"{code}: {plan['problems']}"
    return found[0]
