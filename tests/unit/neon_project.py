# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Neon project made of plain dictionaries, for the tests of the Neon modules."""

from __future__ import annotations

from typing import Any

from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script, call_module

Json = dict[str, Any]

PROJECT = "late-frost-12345678"
P = f"/projects/{PROJECT}"
MAIN = "br-calm-sea-a1b2c3d4"
OTHER = "br-warm-sky-e5f6a7b8"
NEW = "br-new-leaf-c9d0e1f2"
POINT = "2025-01-13T14:25:00Z"


def branch(branch_id: str, name: str, **more: Any) -> Json:
    """A branch as Neon answers it."""
    return {
        "id": branch_id,
        "project_id": PROJECT,
        "name": name,
        "current_state": "ready",
        "default": False,
        "protected": False,
        "created_at": "2025-01-13T10:00:00Z",
        "updated_at": "2025-01-13T10:00:00Z",
        **more,
    }


def main_branch(**more: Any) -> Json:
    return {**branch(MAIN, "main", default=True), **more}


def endpoint(endpoint_id: str, branch_id: str, **more: Any) -> Json:
    """A compute as Neon answers it."""
    return {
        "id": endpoint_id,
        "project_id": PROJECT,
        "branch_id": branch_id,
        "type": "read_write",
        "host": f"{endpoint_id}.eu-central-1.aws.neon.tech",
        "current_state": "idle",
        "disabled": False,
        "autoscaling_limit_min_cu": 0.25,
        "autoscaling_limit_max_cu": 2,
        "suspend_timeout_seconds": 0,
        "settings": {"pg_settings": {}},
        **more,
    }


def operation(operation_id: str, action: str, status: str = "finished", **more: Any) -> Json:
    """An operation as Neon answers it."""
    return {"id": operation_id, "action": action, "status": status, "branch_id": NEW, **more}


def expect_tree(
    script: Script,
    branches: list[Json],
    endpoints: list[Json] | None = None,
    annotations: Json | None = None,
) -> None:
    """The two requests that read all branches of the project."""
    values = {branch_id: {"value": value} for branch_id, value in (annotations or {}).items()}
    listed = {"branches": branches, "annotations": values, "pagination": {}}
    script.expect("GET", f"{P}/branches", listed, headers={"Date": "Mon, 13 Jan 2025 15:00:00 GMT"})
    script.expect("GET", f"{P}/endpoints", {"endpoints": endpoints or []})


def call(module: str, *, check_mode: bool = False, **options: Any) -> Json:
    """Run a Neon module on the project."""
    given = {"project_id": PROJECT, "neon_api_key": NEON_KEY, **options}
    return call_module(module, given, check_mode=check_mode)
