# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records as the API shows them. Fields without a value are left out, as the real API does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sandbox.neon.limits import Plan
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339, stored

REGION = "aws-eu-central-1"
PROXY_HOST = "eu-central-1.aws.sandbox.localhost"
_NO_USAGE = {
    "cpu_used_sec": 0,
    "compute_time_seconds": 0,
    "active_time_seconds": 0,
    "written_data_bytes": 0,
    "data_transfer_bytes": 0,
}

_BRANCH_FIELDS = (
    "id",
    "name",
    "parent_id",
    "parent_lsn",
    "parent_timestamp",
    "current_state",
    "pending_state",
    "state_changed_at",
    "logical_size",
    "creation_source",
    "default",
    "protected",
    "created_at",
    "updated_at",
    "ttl_interval_seconds",
    "expires_at",
    "last_reset_at",
    "init_source",
    "restore_status",
    "restored_from",
    "restored_as",
)
_OPERATION_FIELDS = (
    "id",
    "branch_id",
    "endpoint_id",
    "action",
    "status",
    "error",
    "failures_count",
    "retry_at",
    "created_at",
    "updated_at",
)
_PROJECT_FIELDS = (
    "id",
    "name",
    "pg_version",
    "store_passwords",
    "settings",
    "default_endpoint_settings",
    "org_id",
    "created_at",
    "updated_at",
    "history_retention_seconds",
)


# Shown to the second, as every documented answer does; kept to the microsecond.
_STAMPS = {
    "created_at",
    "updated_at",
    "state_changed_at",
    "last_reset_at",
    "last_active",
    "started_at",
    "suspended_at",
    "retry_at",
}


def _filled(values: Record) -> Record:
    return {key: _whole(value) if key in _STAMPS else value for key, value in values.items() if value is not None}


def _whole(stamp: str) -> str:
    return rfc3339(stored(stamp).replace(microsecond=0))


def host_of(endpoint_id: str, *, pooled: bool = False) -> str:
    """The host name of an endpoint: ``<ep-id>[-pooler].<proxy host>``."""
    return f"{endpoint_id}{'-pooler' if pooled else ''}.{PROXY_HOST}"


def branch_view(project: Project, branch: Record, restricted: list[Record]) -> Record:
    """``Branch`` of the API description; `restricted` are its restricted actions."""
    view = {name: branch[name] for name in _BRANCH_FIELDS}
    view |= {"project_id": project.id, "primary": branch["default"], "created_by": {"name": "Sandbox", "image": ""}}
    return _filled(view) | _NO_USAGE | ({"restricted_actions": restricted} if restricted else {})


def annotation_view(branch: Record) -> Record:
    """``AnnotationData``; an empty value where none was given."""
    kept = branch["annotation"] or {"value": {}}
    return {"object": {"type": "console/branch", "id": branch["id"]}} | _filled(kept)


def endpoint_view(project: Project, endpoint: Record) -> Record:
    """``Endpoint`` of the API description."""
    hidden = {"seen_state_change", "timeline"}
    fixed = {
        "project_id": project.id,
        "host": host_of(endpoint["id"]),
        "proxy_host": PROXY_HOST,
        "region_id": REGION,
        "pooler_enabled": False,
        "pooler_mode": "transaction",
        "passwordless_access": False,
    }
    return _filled({key: value for key, value in endpoint.items() if key not in hidden}) | fixed


def role_view(branch: Record, role: Record, *, password: bool = False) -> Record:
    """``Role``; with its password only where it was just made."""
    view = {
        "branch_id": branch["id"],
        "name": role["name"],
        "protected": False,
        "authentication_method": "no_login" if role["no_login"] else "password",
        "created_at": role["created_at"],
        "updated_at": role["updated_at"],
    }
    secret = role.get("new_password") or role["password"]
    return _filled(view) | ({"password": secret} if password and secret else {})


def database_view(branch: Record, database: Record) -> Record:
    """``Database``."""
    return {"branch_id": branch["id"]} | _filled(database)


def operation_view(project: Project, operation: Record) -> Record:
    """``Operation``."""
    end = stored(operation["updated_at"])
    spent = int((end - stored(operation["started_at"] or operation["updated_at"])).total_seconds() * 1000)
    shown = _filled({name: operation[name] for name in _OPERATION_FIELDS})
    return shown | {"project_id": project.id, "total_duration_ms": max(0, spent)}


def snapshot_view(snapshot: Record) -> Record:
    """``Snapshot``."""
    hidden = {"timeline", "position", "roles", "databases"}
    return _filled({key: value for key, value in snapshot.items() if key not in hidden})


def project_view(project: Project, plan: Plan, now: datetime) -> Record:
    """``Project``."""
    record = project.record
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    view = project_item(project) | {
        "data_storage_bytes_hour": 0,
        "history_retention_seconds": record["history_retention_seconds"],
        "consumption_period_start": rfc3339(start),
        "consumption_period_end": rfc3339(end),
        "owner": {
            "email": "owner@sandbox.localhost",
            "name": "Sandbox",
            "branches_limit": plan.branches,
            "subscription_type": plan.subscription,
        },
    }
    view.pop("active_time")
    return view | _NO_USAGE


def project_item(project: Project) -> Record:
    """``ProjectListItem``."""
    record = project.record
    limit: Any = 16 * 1024 * 1024
    fixed = {
        "platform_id": "aws",
        "region_id": REGION,
        "proxy_host": PROXY_HOST,
        "provisioner": "k8s-neonvm",
        "creation_source": "console",
        "branch_logical_size_limit": limit,
        "branch_logical_size_limit_bytes": limit * 1024 * 1024,
        "active_time": 0,
        "cpu_used_sec": 0,
        "owner_id": record["org_id"],
    }
    return _filled({name: record[name] for name in _PROJECT_FIELDS}) | fixed
