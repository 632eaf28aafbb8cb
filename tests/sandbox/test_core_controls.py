# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls against a whole sandbox: worlds that tests need, and what goes wrong on request."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.sandbox import Control, SandboxProcess, wait_for


def application_of(sandbox: SandboxProcess, target: str = "tracker") -> str:
    """The uuid of a target's application."""
    return str(sandbox.connection["targets"][target]["coolify_application"])


def project_of(sandbox: SandboxProcess, target: str = "tracker") -> str:
    """The id of a target's project."""
    return str(sandbox.connection["targets"][target]["neon_project_id"])


def test_given_a_new_project_and_application_when_asked_for_then_they_serve_together(
    sandbox: SandboxProcess, control: Control
) -> None:
    project = control.call("POST", "/projects", {"name": "extra", "database": "shop", "role": "owner", "plan": "free"})
    made = control.call(
        "POST",
        "/applications",
        {
            "name": "shop",
            "env": {"DATABASE_URL": project["connection_uri"]},
            "migrate_at_start": True,
            "built": True,
            "deploy": True,
        },
    )
    assert made["deployment_status"] == "finished"
    with httpx.Client(base_url=made["url"], trust_env=False) as shop:
        assert shop.get("/api/health").status_code == 200
    with sandbox.neon() as neon:
        assert neon.get(f"/projects/{project['project_id']}").json()["project"]["name"] == "extra"
    names = [entry["name"] for entry in control.status()["neon"]["projects"]]
    assert "extra" in names


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/projects", {"plan": "golden"}, 422, "plan must be one of free, launch, scale"),
        ("/projects", {"colour": "red"}, 422, "colour"),
        ("/projects", {"database": ["shop"]}, 400, "invalid database name"),
        ("/projects", {"role": "pg_read"}, 400, "invalid role name"),
        ("/applications", {"name": "x", "repository": ["no-such-commit"]}, 404, "no-such-commit"),
        ("/applications", {"name": "x", "colour": "red"}, 422, "colour"),
        ("/applications/none/envs", {"key": "A", "value": "b"}, 404, "none"),
        ("/repositories/none/push", {"commit": "good"}, 404, "none"),
        ("/tokens", {"service": "coolify", "abilities": ["fly"]}, 422, "fly"),
        ("/tokens", {"service": "neon", "scope": "project"}, 422, "project_id"),
    ],
)
def test_given_a_world_that_cannot_be_when_asked_for_then_the_answer_says_why(
    sandbox: SandboxProcess, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = sandbox.control.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["message"]


def test_given_rows_stored_as_they_are_then_coolify_lists_duplicates_locked_and_preview_ones(
    sandbox: SandboxProcess, control: Control
) -> None:
    uuid = application_of(sandbox)
    for row in (
        {"key": "TWICE", "value": "one"},
        {"key": "TWICE", "value": "two"},
        {"key": "LOCKED", "value": "secret", "is_shown_once": True},
        {"key": "ONLY_PREVIEW", "value": "p", "is_preview": True},
    ):
        control.call("POST", f"/applications/{uuid}/envs", row)
    with sandbox.coolify() as coolify:
        rows = coolify.get(f"/applications/{uuid}/envs").json()
    assert [row["value"] for row in rows if row["key"] == "TWICE"] == ["one", "two"]
    assert "value" not in next(row for row in rows if row["key"] == "LOCKED")
    assert [row["is_preview"] for row in rows if row["key"] == "ONLY_PREVIEW"] == [True]


def test_given_tokens_of_fewer_rights_when_used_then_they_can_do_less(
    sandbox: SandboxProcess, control: Control
) -> None:
    reader = control.call("POST", "/tokens", {"service": "coolify", "abilities": ["read"]})["token"]
    scoped = control.call(
        "POST", "/tokens", {"service": "neon", "scope": "project", "project_id": project_of(sandbox)}
    )["token"]
    uuid = application_of(sandbox)
    with sandbox.coolify() as coolify:
        coolify.headers["Authorization"] = f"Bearer {reader}"
        assert coolify.get(f"/applications/{uuid}").status_code == 200
        assert coolify.post("/deploy", json={"uuid": uuid}).status_code == 403
    with sandbox.neon() as neon:
        neon.headers["Authorization"] = f"Bearer {scoped}"
        assert neon.get(f"/projects/{project_of(sandbox)}").status_code == 200
        assert neon.get(f"/projects/{project_of(sandbox, 'migrator')}").status_code == 404


def test_given_a_push_when_the_repository_is_read_then_its_head_has_moved(
    sandbox: SandboxProcess, control: Control
) -> None:
    uuid = application_of(sandbox, "migrator")
    before = control.call("GET", f"/repositories/{uuid}")
    pushed = control.call("POST", f"/repositories/{uuid}/push", {"commit": "good"})
    after = control.call("GET", f"/repositories/{uuid}")
    assert after["head"] == pushed["sha"]
    assert len(after["commits"]) == len(before["commits"]) + 1


def test_given_stored_fields_when_changed_then_coolify_answers_with_them(
    sandbox: SandboxProcess, control: Control
) -> None:
    uuid = application_of(sandbox, "migrator")
    control.call("PATCH", f"/applications/{uuid}", {"ports_mappings": "8080:3000"})
    with sandbox.coolify() as coolify:
        assert coolify.get(f"/applications/{uuid}").json()["ports_mappings"] == "8080:3000"
    control.call("PATCH", f"/applications/{uuid}", {"ports_mappings": None})


def test_given_other_consumers_when_made_then_coolify_shows_them(sandbox: SandboxProcess, control: Control) -> None:
    service = control.call("POST", "/services", {"name": "reports", "env": {"DATABASE_URL": "postgresql://h/d"}})
    control.call("POST", "/shared-envs", {"kind": "team", "key": "SHARED_URL", "value": "postgresql://h/d"})
    with sandbox.coolify() as coolify:
        rows = coolify.get(f"/services/{service['uuid']}/envs").json()
        assert [row["key"] for row in rows] == ["DATABASE_URL"]
        assert [row["key"] for row in coolify.get("/team/envs").json()] == ["SHARED_URL"]


def test_given_the_instance_api_switched_off_when_asked_then_coolify_refuses_until_it_is_on_again(
    sandbox: SandboxProcess, control: Control
) -> None:
    with sandbox.coolify() as coolify:
        control.call("POST", "/instance", {"api_enabled": False})
        try:
            assert coolify.get("/version").status_code == 403
        finally:
            control.call("POST", "/instance", {"api_enabled": True})
        assert coolify.get("/version").status_code == 200


def test_given_both_services_when_the_log_is_read_then_requests_stand_with_the_tokens_name_not_the_token(
    sandbox: SandboxProcess, control: Control
) -> None:
    since = control.last_request()
    with sandbox.neon() as neon, sandbox.coolify() as coolify:
        neon.get(f"/projects/{project_of(sandbox)}")
        coolify.get("/version")
        neon.get("/auth", headers={"Authorization": "Bearer wrong"})
    entries = control.requests(since)
    assert [(e["service"], e["status"], e["token"]) for e in entries] == [
        ("neon", 200, "sandbox"),
        ("coolify", 200, "sandbox"),
        ("neon", 401, None),
    ]
    text = str(entries)
    assert sandbox.connection["neon_api_key"] not in text
    assert sandbox.connection["coolify_access_token"] not in text


def test_given_a_fault_on_one_service_when_hit_then_its_token_check_is_never_reached(
    sandbox: SandboxProcess, control: Control
) -> None:
    control.fault("status", service="coolify", path="^/api/v1/version$", status=502, body="<html>bad gateway</html>")
    with sandbox.coolify() as coolify:
        assert coolify.get("/version", headers={"Authorization": "Bearer wrong"}).status_code == 502
        assert coolify.get("/version").status_code == 200


def test_given_an_expiring_branch_when_the_clock_is_moved_past_it_then_it_is_deleted(
    sandbox: SandboxProcess, control: Control
) -> None:
    now = control.call("GET", "/clock")["now"]
    expires = (datetime.fromisoformat(now) + timedelta(days=20)).isoformat()
    with sandbox.neon() as neon:
        made = neon.post(
            f"/projects/{project_of(sandbox)}/branches", json={"branch": {"name": "brief", "expires_at": expires}}
        )
        assert made.status_code == 201, made.text
        path = f"/projects/{project_of(sandbox)}/branches/{made.json()['branch']['id']}"
        wait_for(lambda: neon.get(path).json()["branch"]["current_state"] == "ready", what="the branch to be ready")
        control.advance(32 * 86400)
        wait_for(lambda: neon.get(path).status_code == 404, what="the branch to expire")


def test_given_the_daemon_when_its_environment_is_read_then_it_holds_nothing_of_the_shells(
    sandbox: SandboxProcess, control: Control
) -> None:
    for process in control.call("GET", "/processes")["processes"]:
        if process["kind"] == "process":
            names = [
                entry.split("=", 1)[0]
                for entry in Path(f"/proc/{process['pid']}/environ").read_text(encoding="utf-8").split("\0")
            ]
            assert "HOME" not in names
            assert not [name for name in names if name.startswith(("NEON_", "REWIND_", "ANSIBLE_", "PYTEST_"))]
    daemon = Path(f"/proc/{sandbox.connection['pid']}/environ").read_text(encoding="utf-8")
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in daemon
