# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API without any PostgreSQL: everything but computes works. Also lists, limits and keys, which need no data."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.neon_account import Account, Project


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account without PostgreSQL; settings are put back after each test by the test itself."""
    with Account(postgres=False) as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project."""
    return account.project(name="tracker")


def test_given_no_postgresql_when_a_compute_is_started_then_the_operation_fails_and_says_why(project: Project) -> None:
    started = project.ok("POST", f"/endpoints/{project.endpoint}/start")["operations"][0]

    def failed() -> str | None:
        operation = project.ok("GET", f"/operations/{started['id']}")["operation"]
        return operation["error"] if operation["status"] == "failed" else None

    assert "no PostgreSQL was found" in str(project.wait_until(failed, "the operation to fail"))
    assert project.get_endpoint(project.endpoint)["current_state"] == "idle"
    status, _, message = project.refused("GET", f"/branches/{project.main}/schema", db_name=project.database)
    assert (status, "no PostgreSQL" in message) == (503, True)


def test_given_no_postgresql_when_branches_are_made_restored_and_deleted_then_it_all_works(project: Project) -> None:
    child = project.create("child")
    project.restore(project.main, source_lsn=child["parent_lsn"], preserve_under_name="before")
    project.detached(project.main)
    before = project.branches()["before"]
    assert project.branch(child["id"])["parent_id"] == before["id"]
    project.done("DELETE", f"/branches/{child['id']}")
    project.done("DELETE", f"/branches/{before['id']}")
    assert list(project.branches()) == ["main"]


def test_given_250_branches_when_paged_then_each_comes_once_and_in_order(account: Account, project: Project) -> None:
    account.slow(create_branch=0)
    for number in range(249):
        body = {"branch": {"name": f"feature-{number:03}"}, "annotation_value": {"number": str(number)}}
        project.done("POST", "/branches", body)
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        page = project.ok("GET", "/branches", limit=60, cursor=cursor, sort_by="name", sort_order="asc")
        seen += [branch["name"] for branch in page["branches"]]
        assert set(page["annotations"]) <= {branch["id"] for branch in page["branches"]}
        pages += 1
        cursor = page["pagination"].get("next")
        if cursor is None:
            break
    assert pages == 5
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == 250
    assert project.ok("GET", "/branches/count") == {"count": 250}
    assert project.ok("GET", "/branches/count", search="feature-00")["count"] == 10


def test_given_branches_when_listed_without_a_limit_then_one_page_of_the_usual_size(
    account: Account, project: Project
) -> None:
    account.set(page_size_default=2)
    try:
        for name in ("a", "b", "c"):
            project.create(name)
        page = project.ok("GET", "/branches")
        assert [branch["name"] for branch in page["branches"]] == ["c", "b"]
        assert page["pagination"]["sort_by"] == "updated_at"
        rest = project.ok("GET", "/branches", cursor=page["pagination"]["next"])
        assert [branch["name"] for branch in rest["branches"]] == ["a", "main"]
        assert "next" not in rest["pagination"]
    finally:
        account.set(page_size_default=100)


def test_given_a_part_of_a_name_or_id_when_searched_then_the_branch_is_found(project: Project) -> None:
    branch = project.create("backup-20250113-143000")
    for part in ("BACKUP-2025", branch["id"][3:12]):
        found = project.ok("GET", "/branches", search=part)["branches"]
        assert [item["id"] for item in found] == [branch["id"]]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 10001}, {"sort_by": "id"}, {"sort_order": "up"}, {"cursor": "?"}]
)
def test_given_a_wrong_query_when_listing_then_400(project: Project, query: dict[str, str]) -> None:
    assert project.refused("GET", "/branches", **query)[0] == 400


def test_given_a_name_that_is_taken_when_created_or_renamed_then_409_with_the_code(project: Project) -> None:
    other = project.create("taken")
    expected = (409, "BRANCH_ALREADY_EXISTS", 'branch already exists; branch_name:"taken"')
    assert project.refused("POST", "/branches", {"branch": {"name": "taken"}}) == expected
    assert project.refused("PATCH", f"/branches/{project.main}", {"branch": {"name": "taken"}}) == expected
    project.ok("PATCH", f"/branches/{other['id']}", {"branch": {"name": "taken"}})


def test_given_no_name_when_created_then_it_is_called_like_its_id_and_hangs_on_the_default_branch(
    project: Project,
) -> None:
    branch = project.done("POST", "/branches")["branch"]
    assert branch["name"] == branch["id"]
    assert re.fullmatch(r"br-[a-z0-9]+-[a-z0-9]+-[a-z0-9]+", branch["id"])
    assert branch["parent_id"] == project.main


def test_given_annotations_when_created_then_they_are_kept_and_cannot_be_changed(project: Project) -> None:
    body = {"branch": {"name": "noted"}, "annotation_value": {"reason": "before migration 42", "tool": "rewind"}}
    branch = project.done("POST", "/branches", body)["branch"]
    note = project.ok("GET", f"/branches/{branch['id']}")["annotation"]
    assert note["value"] == body["annotation_value"]
    assert note["object"] == {"type": "console/branch", "id": branch["id"]}
    project.ok("PATCH", f"/branches/{branch['id']}", {"branch": {}, "annotation_value": {"reason": "x"}})
    assert project.ok("GET", f"/branches/{branch['id']}")["annotation"]["value"] == body["annotation_value"]
    too_many = {"annotation_value": {str(number): "" for number in range(51)}}
    assert project.refused("POST", "/branches", too_many)[0] == 400


def test_given_the_free_plan_when_limits_are_reached_then_422_with_the_codes(account: Account) -> None:
    project = account.project(plan="free")
    for number in range(9):
        project.create(f"b{number}")
    assert project.refused("POST", "/branches")[:2] == (422, "BRANCHES_LIMIT_EXCEEDED")
    body = {"branch": {"protected": True}}
    status, code, message = project.refused("PATCH", f"/branches/{project.main}", body)
    assert (status, code) == (422, "BRANCHES_PROTECTED_LIMIT_EXCEEDED")
    assert message.startswith("You have reached the maximum number of protected branches for your current plan")
    lsn = project.branches()["b0"]["parent_lsn"]
    restore = {"source_branch_id": project.main, "source_lsn": lsn, "preserve_under_name": "old"}
    assert project.refused("POST", f"/branches/{project.main}/restore", restore)[1] == "BRANCHES_LIMIT_EXCEEDED"


def test_given_three_roots_on_the_free_plan_when_another_is_made_then_422(account: Account) -> None:
    project = account.project(plan="free")
    point = project.create("leaf")["parent_lsn"]
    for name in ("old-1", "old-2"):
        project.restore(project.main, source_lsn=point, preserve_under_name=name)
        project.detached(project.main)
    body = {"source_branch_id": project.main, "source_lsn": point, "preserve_under_name": "old-3"}
    status, code, _ = project.refused("POST", f"/branches/{project.main}/restore", body)
    assert (status, code) == (422, "ROOT_BRANCHES_LIMIT_EXCEEDED")


def test_given_a_plan_when_the_history_window_is_too_long_then_400_in_the_real_words(account: Account) -> None:
    project = account.project(plan="free")
    body = {"project": {"history_retention_seconds": 604800}}
    assert project.refused("PATCH", "", body) == (
        400,
        "",
        "requested history retention seconds exceeds allowed maximum; "
        'requested_history_retention_seconds:"604800", max:"21600"',
    )
    shown = project.done("PATCH", "", {"project": {"history_retention_seconds": 0, "name": "renamed"}})["project"]
    assert (shown["history_retention_seconds"], shown["name"]) == (0, "renamed")
    assert project.ok("GET", "/limits")["limits"]["max_branches"] == 10


@pytest.mark.parametrize(
    ("plan", "seconds", "status", "message"),
    [
        ("free", 600, 412, "suspend interval changing is not allowed for your account"),
        ("free", 300, None, None),
        ("launch", 60, 412, "suspend interval is too short for your plan"),
        ("launch", -1, None, None),
        ("scale", 60, None, None),
        ("scale", 30, 400, None),
    ],
)
def test_given_a_plan_when_the_suspend_timeout_is_set_then_it_is_allowed_or_412(
    account: Account, plan: str, seconds: int, status: int | None, message: str | None
) -> None:
    project = account.project(plan=plan)
    body = {"endpoint": {"suspend_timeout_seconds": seconds}}
    answer = project.client.request("PATCH", project.path(f"/endpoints/{project.endpoint}"), body)
    assert answer.status_code == (status or 200)
    if message is not None:
        assert answer.json()["message"] == message


def test_given_an_operation_running_when_another_is_asked_for_then_423_and_renaming_still_works(
    account: Account, project: Project
) -> None:
    text = "project already has running conflicting operations, scheduling of new ones is prohibited"
    account.slow(create_branch=60)
    other = account.project()
    try:
        slow = project.ok("POST", "/branches", {"branch": {"name": "slow"}})
        branch, operation = slow["branch"], slow["operations"][0]
        assert (branch["current_state"], branch["pending_state"]) == ("init", "ready")
        assert operation["status"] in ("scheduling", "running")
        assert project.refused("POST", "/branches", {"branch": {"name": "next"}}) == (423, "", text)
        assert project.refused("POST", f"/endpoints/{project.endpoint}/start") == (423, "", text)
        assert project.refused("DELETE", f"/branches/{branch['id']}") == (423, "", text)
        assert project.refused("POST", "/branches", {"branch": {"parent_id": branch["id"]}}) == (
            422,
            "",
            "branch not ready yet",
        )
        project.ok("PATCH", f"/branches/{project.main}", {"branch": {"name": "production"}})
        # Another project is not locked.
        assert other.ok("PATCH", "", {"project": {"history_retention_seconds": 3600}})["operations"]
    finally:
        account.slow(create_branch=0.02)


def test_given_operations_when_listed_then_newest_first_and_by_cursor(project: Project) -> None:
    for number in range(5):
        project.create(f"b{number}")
    first = project.ok("GET", "/operations", limit=3)
    rest = project.ok("GET", "/operations", limit=3, cursor=first["pagination"]["cursor"])
    listed = [op["id"] for op in first["operations"] + rest["operations"]]
    assert len(set(listed)) == 5
    newest = first["operations"][0]
    assert (newest["action"], newest["status"]) == ("create_branch", "finished")
    assert newest["branch_id"] == project.branches()["b4"]["id"]
    assert project.refused("GET", f"/operations/{uuid.UUID(int=1)}")[0] == 404


def test_given_a_project_key_when_used_elsewhere_then_404_and_it_names_its_project(account: Account) -> None:
    mine, other = account.project(), account.project()
    scoped = account.client(account.key("project", mine.id))
    assert scoped.ok("GET", mine.path())["project"]["id"] == mine.id
    refusal = (
        404,
        "",
        f'not allowed to perform actions outside the project this key is scoped to; subject_project_id:"{mine.id}"',
    )
    assert scoped.refused("GET", other.path()) == refusal
    assert scoped.refused("GET", "/projects") == refusal
    for path in ("/users/me", "/users/me/organizations", "/regions"):
        assert scoped.refused("GET", path) == (404, "", "not allowed for organization API keys")
    assert scoped.ok("GET", "/auth")["auth_method"] == "api_key_org"


def test_given_a_personal_key_when_projects_are_listed_without_an_organization_then_400(account: Account) -> None:
    personal = account.client(account.key("personal"))
    assert personal.refused("GET", "/projects") == (400, "", "org_id is required")
    organization = personal.ok("GET", "/users/me/organizations")["organizations"][0]["id"]
    known = personal.ok("GET", "/projects", org_id=organization)["projects"]
    assert known == account.client().ok("GET", "/projects")["projects"]
    assert personal.ok("GET", "/auth")["auth_method"] == "api_key_user"


def test_given_projects_when_listed_by_pages_then_a_short_page_is_the_last(account: Account) -> None:
    names = {account.project(name=f"paged-{number}").id for number in range(5)}
    client = account.client()
    found: list[str] = []
    cursor = None
    while True:
        page = client.ok("GET", "/projects", limit=2, cursor=cursor, search="paged-")
        found += [project["id"] for project in page["projects"]]
        cursor = page["pagination"]["cursor"]
        if len(page["projects"]) < 2:
            break
    assert len(found) == 5
    assert set(found) == names


def test_given_keys_when_made_through_the_api_and_revoked_then_they_stop_working(account: Account) -> None:
    personal = account.client(account.key("personal"))
    organization = personal.ok("GET", "/users/me/organizations")["organizations"][0]["id"]
    project = account.project()
    keys = f"/organizations/{organization}/api_keys"
    made = personal.ok("POST", keys, {"key_name": "ci", "project_id": project.id})
    assert made["project_id"] == project.id
    scoped = account.client(made["key"])
    assert scoped.ok("GET", project.path())
    assert made["id"] in [key["id"] for key in personal.ok("GET", keys)]
    assert personal.ok("DELETE", f"{keys}/{made['id']}")["revoked"] is True
    assert scoped.refused("GET", project.path())[0] == 401
    own = personal.ok("POST", "/api_keys", {"key_name": "mine"})
    assert account.client(own["key"]).ok("GET", "/users/me")["email"]
    assert personal.ok("DELETE", f"/api_keys/{own['id']}")["revoked"] is True


def test_given_no_or_a_wrong_key_when_asked_then_401(account: Account, project: Project) -> None:
    for token in ("none", "napi_wrong"):
        assert account.client(token).refused("GET", project.path())[0] == 401
    assert httpx.get(account.url + project.path(), trust_env=False).status_code == 401


def test_given_a_request_id_when_refused_then_it_is_echoed_else_one_is_made(account: Account, project: Project) -> None:
    url, key = account.url + project.path("/branches/br-none-at-all"), {"Authorization": f"Bearer {account.token}"}
    echoed = httpx.get(url, headers=key | {"X-Request-ID": "run-7"}, trust_env=False)
    assert echoed.json() == {"request_id": "run-7", "code": "", "message": "branch not found"}
    assert uuid.UUID(httpx.get(url, headers=key, trust_env=False).json()["request_id"])


@pytest.mark.parametrize("path", ["/projects/Bad_Id", "/projects/a%20b", "/nothing", "/projects/x/recover"])
def test_given_a_path_that_is_none_when_asked_then_404_in_the_real_words(account: Account, path: str) -> None:
    answer = httpx.post if path.endswith("recover") else httpx.get
    got = answer(account.url + path, headers={"Authorization": f"Bearer {account.token}"}, trust_env=False)
    assert (got.status_code, got.json()["message"]) == (404, "this route does not exist")


@pytest.mark.parametrize("body", ["[1]", "{", '"text"', '{"branch": 5}', '{"endpoints": [5]}'])
def test_given_a_malformed_body_when_posted_then_400(account: Account, project: Project, body: str) -> None:
    headers = {"Authorization": f"Bearer {account.token}", "Content-Type": "application/json"}
    url = account.url + project.path("/branches")
    assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 400


def test_given_a_rate_limit_when_it_is_used_up_then_429(account: Account, project: Project) -> None:
    account.set(burst_per_second=5)
    try:
        answers = [project.client.request("GET", project.path("/branches/count")).status_code for _ in range(30)]
    finally:
        account.set(burst_per_second=100000)
    assert 200 in answers
    assert 429 in answers
    account.set(requests_per_minute=1)
    try:
        assert project.refused("GET", "")[0] == 429
    finally:
        account.set(requests_per_minute=100000)
    assert project.ok("GET", "")


def test_given_a_branch_that_is_gone_when_deleted_then_204_and_when_read_then_404(project: Project) -> None:
    branch = project.create("short-lived")
    project.done("DELETE", f"/branches/{branch['id']}")
    answer = project.client.request("DELETE", project.path(f"/branches/{branch['id']}"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert project.refused("GET", f"/branches/{branch['id']}") == (404, "", "branch not found")
    for path in ("/endpoints/ep-none-at-all", f"/branches/{project.main}/roles/x"):
        assert project.client.request("DELETE", project.path(path)).status_code == 204


def test_given_ways_to_make_a_branch_that_are_not_offered_when_asked_for_then_400_says_so(project: Project) -> None:
    for wanted in ({"init_source": "schema-only"}, {"archived": True}):
        status, _, message = project.refused("POST", "/branches", {"branch": wanted})
        assert (status, "the sandbox" in message) == (400, True)


def test_given_a_project_when_made_through_the_api_then_it_can_be_deleted_again(account: Account) -> None:
    client = account.client()
    made = client.ok("POST", "/projects", {"project": {"name": "via api", "branch": {"name": "production"}}})
    project_id = made["project"]["id"]
    assert made["branch"]["name"] == "production"
    assert made["roles"][0]["password"] in made["connection_uris"][0]["connection_uri"]

    def settled() -> bool:
        operations = client.ok("GET", f"/projects/{project_id}/operations")["operations"]
        return all(operation["status"] in ("finished", "failed", "cancelled") for operation in operations)

    Project(client, _as_made(made)).wait_until(settled, "the operations to end")
    assert client.ok("DELETE", f"/projects/{project_id}")["project"]["id"] == project_id
    assert client.refused("GET", f"/projects/{project_id}") == (404, "", "project not found")


def _as_made(answer: dict[str, object]) -> dict[str, object]:
    """An answer of the API in the shape of the world hook's, as far as a test needs it."""
    project, branch = answer["project"], answer["branch"]
    assert isinstance(project, dict)
    assert isinstance(branch, dict)
    empty: dict[str, object] = dict.fromkeys(
        ("endpoint_id", "role", "database", "connection_uri", "pooled_connection_uri"), ""
    )
    return empty | {"project_id": project["id"], "branch_id": branch["id"]}
