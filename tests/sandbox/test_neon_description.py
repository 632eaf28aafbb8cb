# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every operation answers as the published API description says, with real PostgreSQL behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sandbox.neon.service import PREFIX
from tests.sandbox.neon_account import Account, Project
from tests.sandbox.neon_description import MISSING, UNDESCRIBED, Description

pytestmark = pytest.mark.skipif(Description.find() is None, reason=MISSING)


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account on the largest plan."""
    with Account({"neon.plan": "scale"}) as made:
        yield made


def projects_and_keys(account: Account, project: Project) -> None:
    """Everything about the account."""
    client, personal = account.client(), account.client(account.key("personal"))
    client.ok("GET", "/auth")
    for path in ("/users/me", "/users/me/organizations", "/regions", "/api_keys"):
        personal.ok("GET", path)
    own = personal.ok("POST", "/api_keys", {"key_name": "k"})
    personal.ok("DELETE", f"/api_keys/{own['id']}")
    keys = f"/organizations/{project.ok('GET', '')['project']['org_id']}/api_keys"
    made = client.ok("POST", keys, {"key_name": "k"})
    client.ok("GET", keys)
    client.ok("DELETE", f"{keys}/{made['id']}")
    client.ok("GET", "/projects")
    project.ok("GET", "/limits")
    project.done("PATCH", "", {"project": {"history_retention_seconds": 3600}})
    other = client.ok("POST", "/projects", {"project": {}})
    other_path = f"/projects/{other['project']['id']}"

    def settled() -> bool:
        operations = client.ok("GET", f"{other_path}/operations")["operations"]
        return all(operation["status"] == "finished" for operation in operations)

    project.wait_until(settled, "the new project to settle")
    client.ok("DELETE", other_path)


def branches(project: Project) -> None:
    """Everything about branches; leaves main as it was, and one child."""
    child = project.create("child", compute=True)["id"]
    project.ok("GET", "/branches")
    project.ok("GET", f"/branches/{child}")
    project.ok("GET", "/branches/count")
    project.done("PATCH", f"/branches/{child}", {"branch": {"protected": True}})
    project.done("PATCH", f"/branches/{child}", {"branch": {"protected": False}})
    project.done("PATCH", f"/branches/{child}", {"branch": {"name": "renamed", "expires_at": None}})
    for path in ("schema", "compare_schema"):
        project.ok("GET", f"/branches/{child}/{path}", db_name=project.database)
    project.ok("GET", f"/branches/{child}/schema", db_name=project.database, format="json")
    project.ok("GET", f"/branches/{child}/endpoints")
    project.restore(child, project.main, preserve_under_name="kept")
    project.done("POST", f"/branches/{child}/set_as_default")
    project.done("POST", f"/branches/{project.main}/set_as_default")
    kept = project.branches()["kept"]["id"]
    project.done("DELETE", f"/branches/{kept}")
    assert project.client.request("DELETE", project.path(f"/branches/{kept}")).status_code == 204


def computes(project: Project) -> None:
    """Everything about endpoints."""
    path = f"/endpoints/{project.endpoint}"
    for action in ("start", "suspend", "restart"):
        project.done("POST", f"{path}/{action}")
    project.ok("GET", "/endpoints")
    project.ok("GET", path)
    project.done("PATCH", path, {"endpoint": {"autoscaling_limit_max_cu": 4}})
    wanted = {"endpoint": {"branch_id": project.main, "type": "read_only"}}
    made = project.done("POST", "/endpoints", wanted)["endpoint"]
    project.done("DELETE", f"/endpoints/{made['id']}")
    assert project.client.request("DELETE", project.path(f"/endpoints/{made['id']}")).status_code == 204
    project.uri_of(project.main, pooled=True)


def roles_and_databases(project: Project) -> None:
    """Everything about roles and databases."""
    roles, databases = f"/branches/{project.main}/roles", f"/branches/{project.main}/databases"
    project.done("POST", roles, {"role": {"name": "reader"}})
    project.ok("GET", roles)
    project.ok("GET", f"{roles}/reader")
    project.ok("GET", f"{roles}/reader/reveal_password")
    project.done("POST", f"{roles}/reader/reset_password")
    project.done("POST", databases, {"database": {"name": "extra", "owner_name": "reader"}})
    project.ok("GET", databases)
    project.ok("GET", f"{databases}/extra")
    project.done("PATCH", f"{databases}/extra", {"database": {"name": "more"}})
    project.done("DELETE", f"{databases}/more")
    project.done("DELETE", f"{roles}/reader")
    for path in (f"{databases}/more", f"{roles}/reader"):
        assert project.client.request("DELETE", project.path(path)).status_code == 204


def snapshots(project: Project) -> None:
    """Everything about snapshots."""
    made = project.done("POST", f"/branches/{project.main}/snapshot", name="s", slug="first")["snapshot"]
    project.ok("GET", "/snapshots")
    wanted = {"snapshot": {"name": "t", "expires_at": "2100-01-01T00:00:00Z"}}
    project.ok("PATCH", f"/snapshots/{made['id']}", wanted)
    schedule = f"/branches/{project.main}/backup_schedule"
    project.ok("PUT", schedule, {"schedule": [{"frequency": "daily", "hour": 3, "retention_seconds": 86400}]})
    project.ok("GET", schedule)
    project.ok("PUT", schedule, {"schedule": []})
    restored = project.done("POST", f"/snapshots/{made['id']}/restore", {"name": "restored"})["branch"]["id"]
    project.done("POST", f"/branches/{restored}/finalize_restore", {"name": "replaced"})
    project.done("DELETE", f"/snapshots/{made['id']}")


def test_given_the_description_when_every_operation_is_used_then_every_answer_fits_it(account: Account) -> None:
    project = account.project()
    projects_and_keys(account, project)
    branches(project)
    computes(project)
    roles_and_databases(project)
    snapshots(project)
    description = account.description
    assert description is not None
    served = set()
    for method, path, _ in account.service._table():
        # Names of variables differ from those in the description.
        if not UNDESCRIBED.fullmatch(path):
            served.add((method, re.sub(r"\{[^}]+\}", "{}", path)))
    seen = {(method, re.sub(r"\{[^}]+\}", "{}", template)) for method, template, _ in description.seen}
    assert served - seen == set(), f"not used here, or not under {PREFIX}"
