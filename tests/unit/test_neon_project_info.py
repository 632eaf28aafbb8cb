# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_project_info: what it reads, and that both ways of running it say the same."""

from __future__ import annotations

from typing import Any

from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script, call_module

PROJECT: dict[str, Any] = {
    "id": "late-frost-12345678",
    "name": "tracker",
    "region_id": "aws-eu-central-1",
    "pg_version": 17,
    "created_at": "2024-01-01T00:00:00Z",
    "history_retention_seconds": 86400,
    "store_passwords": True,
    "owner": {"branches_limit": -1, "subscription_type": "launch_v3"},
    "settings": {"allowed_ips": {"ips": ["192.0.2.1"], "protected_branches_only": True}},
}
BRANCHES: list[dict[str, Any]] = [
    {"id": "br-calm-sea-a1b2c3d4", "name": "main", "protected": True, "default": True},
    {"id": "br-warm-sky-e5f6a7b8", "name": "dev", "parent_id": "br-calm-sea-a1b2c3d4", "protected": False},
]
OPERATIONS: list[dict[str, Any]] = [
    {"id": "o1", "action": "start_compute", "status": "running", "branch_id": "br-calm-sea-a1b2c3d4"},
    {"id": "o2", "action": "create_branch", "status": "finished"},
]
PATH = "/projects/late-frost-12345678"


def test_a_project_is_read_with_its_window_limits_and_counts(script: Script) -> None:
    """Given a project of the Launch plan, when it is read, the window starts at its now less the history."""
    script.expect("GET", PATH, {"project": PROJECT}, headers={"Date": "Mon, 13 Jan 2025 14:25:00 GMT"})
    script.expect("GET", f"{PATH}/branches", {"branches": BRANCHES[:1], "pagination": {"next": "c1"}})
    script.expect("GET", f"{PATH}/branches", {"branches": BRANCHES[1:], "pagination": {}}, query={"cursor": "c1"})
    script.expect("GET", f"{PATH}/operations", {"operations": OPERATIONS})
    result = call_module("neon_project_info", {"project_id": PROJECT["id"], "neon_api_key": NEON_KEY})
    project = result["project"]
    assert project["window_start"] == "2025-01-12T14:25:00Z"
    assert project["plan"] == "launch"
    assert project["limits"] == {
        "branches": 5000,
        "root_branches": 5,
        "protected_branches": 2,
        "manual_snapshots": 100,
    }
    assert project["counts"] == {"branches": 2, "root_branches": 1, "protected_branches": 1}
    assert project["allowed_ips"] == ["192.0.2.1"] and project["protected_branches_only"] is True
    assert project["storage"] == {"used_bytes": None, "limit_bytes": None, "branch_limit_bytes": None}
    assert [operation["id"] for operation in project["running_operations"]] == ["o1"]
    assert result["changed"] is False


def test_what_is_stored_is_read_with_what_limits_it(script: Script) -> None:
    """Given a project of the Free plan, then what it uses, what it may, and what a branch may are all in bytes."""
    free = {
        **PROJECT,
        "owner": {"subscription_type": "free_v3"},
        "synthetic_storage_size": 31_000_000,
        "branch_logical_size_limit": 512,
    }
    script.expect("GET", PATH, {"project": free})
    script.expect("GET", f"{PATH}/branches", {"branches": BRANCHES, "pagination": {}})
    script.expect("GET", f"{PATH}/operations", {"operations": []})
    result = call_module("neon_project_info", {"project_id": PROJECT["id"], "neon_api_key": NEON_KEY})
    limit = 512 * 1024 * 1024
    assert result["project"]["storage"] == {
        "used_bytes": 31_000_000,
        "limit_bytes": limit,
        "branch_limit_bytes": limit,
    }


def test_a_key_of_another_project_is_named_as_the_cause(script: Script) -> None:
    """Given a key that is scoped to another project, Neon's 404 is explained."""
    text = 'not allowed to perform actions outside the project this key is scoped to; subject_project_id:"x"'
    script.expect("GET", PATH, {"code": "", "message": text, "request_id": "r-1"}, status=404)
    result = call_module("neon_project_info", {"project_id": PROJECT["id"], "neon_api_key": NEON_KEY})
    assert result["failed"] is True
    assert result["error"]["code"] == "wrong_key_scope"
    assert "(HTTP 404, request id r-1)" in result["msg"] and "another project" in result["msg"]


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a server, when the task runs in the controller's process and as a module, then the results are equal."""
    stub_server.answer("GET", f"/api/v2{PATH}", {"project": {**PROJECT, "history_retention_seconds": None}})
    stub_server.answer("GET", f"/api/v2{PATH}/branches", {"branches": BRANCHES, "pagination": {}})
    stub_server.answer("GET", f"/api/v2{PATH}/operations", {"operations": OPERATIONS})
    variables = {"rewind_neon_api_key": NEON_KEY, "rewind_neon_api_url": f"{stub_server.url}/api/v2"}
    result = both_ways.same("neon_project_info", {"project_id": PROJECT["id"]}, variables=variables)
    assert result["project"]["name"] == "tracker"
    assert {request[3] for request in stub_server.requests} == {f"Bearer {NEON_KEY}"}
