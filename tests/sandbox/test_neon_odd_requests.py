# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that a careless or curious client sends: refused as a whole, never stored, never a server error."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox.neon_account import Account, Project


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account without PostgreSQL."""
    with Account(postgres=False) as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project."""
    return account.project(name="tracker")


def test_given_sizes_that_do_not_fit_when_a_branch_is_made_then_400_and_there_is_none(project: Project) -> None:
    for sizes in ({"autoscaling_limit_min_cu": 4}, {"autoscaling_limit_min_cu": 2, "autoscaling_limit_max_cu": 1}):
        body = {"branch": {"name": "half"}, "endpoints": [{"type": "read_write", **sizes}]}
        assert project.refused("POST", "/branches", body)[0] == 400
        assert list(project.branches()) == ["main"]
    assert project.create("half")["name"] == "half"


@pytest.mark.parametrize(
    "defaults",
    [
        {"autoscaling_limit_min_cu": "big"},
        {"autoscaling_limit_max_cu": 0},
        {"autoscaling_limit_min_cu": 8},
        {"suspend_timeout_seconds": "soon"},
        {"suspend_timeout_seconds": 7},
        {"pg_settings": ["work_mem"]},
    ],
)
def test_given_wrong_defaults_for_computes_when_patched_then_nothing_of_the_project_changes(
    project: Project, defaults: dict[str, Any]
) -> None:
    before = project.ok("GET", "")["project"]
    body = {"name": "other", "history_retention_seconds": 7200, "default_endpoint_settings": defaults}
    assert project.refused("PATCH", "", {"project": body})[0] == 400
    assert project.ok("GET", "")["project"] == before


def test_given_a_project_that_cannot_be_looked_after_when_the_clock_goes_on_then_others_are(account: Account) -> None:
    broken, sound = account.project(name="broken"), account.project(name="sound")
    (endpoint,) = account.service.state.project(broken.id).endpoints.values()
    endpoint |= {"current_state": "active", "suspend_timeout_seconds": "never"}
    try:
        expires = account.call(account.world.clock.now) + timedelta(hours=2)
        sound.create("short-lived", expires_at=expires.isoformat())
        account.advance(3 * 3600)
        sound.wait_until(lambda: list(sound.branches()) == ["main"], "the expired branch to go")
    finally:
        account.advance(-3 * 3600)
        endpoint |= {"current_state": "idle", "suspend_timeout_seconds": 0}


def test_given_a_project_with_options_when_made_then_it_has_them_and_its_branch_is_made_first(
    account: Account,
) -> None:
    client = account.client()
    account.slow(create_timeline=0.5)
    try:
        body = {
            "name": "options",
            "store_passwords": False,
            "settings": {"maintenance_window": {"weekdays": [7], "start_time": "01:00", "end_time": "02:00"}},
            "default_endpoint_settings": {"autoscaling_limit_max_cu": 4},
            "branch": {"database_name": "shop", "annotations": {"team": "blue"}},
        }
        made = client.ok("POST", "/projects", {"project": body})
        project = Project(client, {"id": made["project"]["id"], **_ids(made)})
        assert made["roles"][0]["name"] == "shop_owner"
        assert (made["branch"]["current_state"], made["branch"]["pending_state"]) == ("init", "ready")
        project.wait({"operations": made["operations"][:1]})
        assert project.branch(made["branch"]["id"])["current_state"] == "ready"
        shown = project.ok("GET", "")["project"]
        assert shown["store_passwords"] is False
        assert shown["default_endpoint_settings"] == {"autoscaling_limit_max_cu": 4}
        assert shown["settings"] == body["settings"]
        assert made["endpoints"][0]["autoscaling_limit_max_cu"] == 4
        branch = project.ok("GET", f"/branches/{made['branch']['id']}")
        assert branch["annotation"]["value"] == {"team": "blue"}
        path = f"/branches/{made['branch']['id']}/roles/shop_owner/reveal_password"
        assert project.refused("GET", path)[0] == 412
    finally:
        account.slow(create_timeline=0.02)


def _ids(made: dict[str, Any]) -> dict[str, Any]:
    return {
        "project_id": made["project"]["id"],
        "branch_id": made["branch"]["id"],
        "endpoint_id": made["endpoints"][0]["id"],
        "role": made["roles"][0]["name"],
        "database": made["databases"][0]["name"],
        "connection_uri": "",
        "pooled_connection_uri": "",
    }


@pytest.mark.parametrize(
    "branch",
    [{"database_name": "postgres"}, {"role_name": "cloud_admin"}, {"role_name": "pg_x"}, {"role_name": "x" * 64}],
)
def test_given_a_reserved_name_when_a_project_is_made_then_400_and_there_is_none(
    account: Account, branch: dict[str, str]
) -> None:
    client = account.client()
    before = client.ok("GET", "/projects")["projects"]
    assert client.refused("POST", "/projects", {"project": {"name": "none", "branch": branch}})[0] == 400
    assert client.ok("GET", "/projects")["projects"] == before


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": _cursor("1")},
        {"cursor": _cursor("null")},
        {"cursor": _cursor('{"a": 1}')},
        {"cursor": "é"},
        {"limit": "²"},
        {"limit": "9" * 5000},
        {"limit": "-1"},
    ],
)
def test_given_an_odd_page_when_asked_for_then_400(project: Project, query: dict[str, str]) -> None:
    assert project.refused("GET", "/branches", **query)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/branches/{main}/restore", "source_branch_id is required"),
        ("POST", "/endpoints", "branch_id is required"),
    ],
)
def test_given_no_id_when_it_is_needed_then_400_says_which(project: Project, method: str, path: str, said: str) -> None:
    body = {"endpoint": {"type": "read_only"}} if path == "/endpoints" else {}
    status, _, message = project.refused(method, path.format(main=project.main), body)
    assert (status, said in message) == (400, True)


@pytest.mark.parametrize(
    "content",
    [
        b'{"branch": {"name": "\\ud800"}}',
        b'{"branch": {"name": NaN}}',
        b'{"branch": ' + b"[" * 5000,
        b"[1]",
        b'{"branch": []}',
        b'{"branch": {"name": 7}}',
        b'{"branch": {"parent_id": {}}}',
        b'{"branch": {"expires_at": 5}}',
        b'{"branch": {"parent_timestamp": "yesterday"}}',
        b'{"branch": {"parent_lsn": "0/\xc2\xb2"}}',
        b'{"endpoints": {}}',
        b'{"endpoints": [{"type": []}]}',
        b'{"annotation_value": [1]}',
        b"\xff\xfe",
    ],
)
def test_given_a_body_that_makes_no_sense_when_posted_then_400_and_there_is_no_branch(
    account: Account, project: Project, content: bytes
) -> None:
    headers = {"Authorization": f"Bearer {account.key()}", "Content-Type": "application/json; charset=nope"}
    answer = account.http.post(account.url + project.path("/branches"), content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert list(project.branches()) == ["main"]


def test_given_twenty_running_computes_when_another_is_asked_for_then_422(account: Account, project: Project) -> None:
    branch = project.create("many")
    endpoints = account.service.state.project(project.id).endpoints
    (usual,) = endpoints.values()
    for number in range(20):
        endpoints[f"ep-{number}"] = usual | {
            "id": f"ep-{number}",
            "branch_id": branch["id"],
            "type": "read_only",
            "current_state": "active",
        }
    body = {"endpoint": {"branch_id": branch["id"], "type": "read_write"}}
    assert project.refused("POST", "/endpoints", body)[:2] == (422, "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED")
    wanted = {"branch": {"name": "one-more"}, "endpoints": [{"type": "read_write"}]}
    assert project.refused("POST", "/branches", wanted)[:2] == (422, "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED")
    assert project.create("without")["name"] == "without"


def test_given_a_branch_that_is_being_restored_when_restored_again_then_423(account: Account, project: Project) -> None:
    child = project.create("child")
    account.slow(create_branch=1.0)
    try:
        body = {"source_branch_id": project.main}
        started = project.ok("POST", f"/branches/{child['id']}/restore", body)
        assert project.refused("POST", f"/branches/{child['id']}/restore", body)[0] == 423
        project.wait(started)
    finally:
        account.slow(create_branch=0.02)
