# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real data through the API: points in time, computes that wake, roles that travel, passwords, schemas."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.sandbox.neon_account import Account, Project, pause

DISABLED = "The endpoint has been disabled. Enable it using Neon API and retry."


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account."""
    with Account() as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project with a one-row table."""
    made = account.project()
    made.sql("CREATE TABLE status (text text)")
    made.sql("INSERT INTO status VALUES ('first')")
    return made


def text(project: Project, uri: str | None = None) -> str:
    """The status row."""
    return str(project.sql("SELECT text FROM status", uri)[0][0])


def write(project: Project, value: str, uri: str | None = None) -> None:
    """Changes the status row."""
    project.sql(f"UPDATE status SET text = '{value}'", uri)


def test_given_ten_texts_within_a_second_when_branched_at_each_instant_then_exactly_that_text_is_there(
    project: Project, rng: random.Random
) -> None:
    points: list[tuple[str, str, str]] = []
    for number in range(10):
        write(project, f"text {number}")
        points.append((f"text {number}", project.now(), project.lsn()))
        pause()
    write(project, "lost")
    for number, (expected, instant, lsn) in enumerate(rng.sample(points, 3)):
        at = project.create(f"at-{number}", compute=True, parent_timestamp=instant)
        assert at["parent_timestamp"] == instant
        assert text(project, project.uri_of(at["id"])) == expected
        by_lsn = project.create(f"lsn-{number}", compute=True, parent_lsn=lsn)
        assert by_lsn["parent_lsn"] == lsn
        assert text(project, project.uri_of(by_lsn["id"])) == expected
    assert text(project) == "lost"


def test_given_one_role_and_database_and_a_compute_when_created_then_the_connection_string_comes_along(
    project: Project,
) -> None:
    body = {"branch": {"name": "with"}, "endpoints": [{"type": "read_write"}]}
    made = project.done("POST", "/branches", body)
    details = made["connection_uris"][0]
    assert details["connection_uri"] == project.uri_of(made["branch"]["id"])
    parameters = details["connection_parameters"]
    assert parameters["pooler_host"] == parameters["host"].replace(".", "-pooler.", 1)
    assert text(project, details["connection_uri"]) == "first"
    without = project.done("POST", "/branches", {"branch": {"name": "without"}})
    assert "connection_uris" not in without
    assert without["endpoints"] == []
    project.done("POST", f"/branches/{project.main}/roles", {"role": {"name": "second"}})
    two_roles = project.done("POST", "/branches", body | {"branch": {"name": "two"}})
    assert "connection_uris" not in two_roles


def test_given_a_branch_without_compute_when_read_later_then_it_has_what_was_there_when_it_was_made(
    project: Project,
) -> None:
    backup = project.create("backup-20250113-143000")
    write(project, "after the backup")
    project.done("POST", "/endpoints", {"endpoint": {"branch_id": backup["id"], "type": "read_write"}})
    assert text(project, project.uri_of(backup["id"])) == "first"
    assert text(project, project.uri_of(backup["id"], pooled=True)) == "first"
    assert project.refused("POST", "/endpoints", {"endpoint": {"branch_id": backup["id"], "type": "read_write"}}) == (
        409,
        "",
        f'read_write endpoint already exists; branch_id:"{backup["id"]}"',
    )


def test_given_a_suspended_compute_when_a_client_connects_then_it_wakes_and_when_disabled_it_does_not(
    project: Project,
) -> None:
    path = f"/endpoints/{project.endpoint}"
    assert text(project) == "first"
    assert project.get_endpoint(project.endpoint)["current_state"] == "active"
    with psycopg.connect(project.uri, autocommit=True) as open_session:
        project.done("POST", f"{path}/suspend")
        assert project.get_endpoint(project.endpoint)["current_state"] == "idle"
        with pytest.raises(psycopg.OperationalError):
            open_session.execute("SELECT 1")
    assert text(project, project.pooled_uri) == "first"
    assert project.get_endpoint(project.endpoint)["current_state"] == "active"
    project.done("PATCH", path, {"endpoint": {"disabled": True}})
    for uri in (project.uri, project.pooled_uri):
        with pytest.raises(psycopg.OperationalError, match=re.escape(DISABLED)):
            project.sql("SELECT 1", uri)
    assert project.get_endpoint(project.endpoint)["current_state"] == "idle"
    assert project.refused("POST", f"{path}/start")[0] == 422
    project.ok("PATCH", path, {"endpoint": {"disabled": False}})
    assert text(project) == "first"


def test_given_two_clients_at_once_when_the_compute_sleeps_then_one_start_serves_both(
    account: Account, project: Project
) -> None:
    project.done("POST", f"/endpoints/{project.endpoint}/suspend")
    before = len(project.ok("GET", "/operations", limit=1000)["operations"])

    async def twice() -> None:
        backend = account.service
        for route in [backend.route(host_id=project.endpoint, pooled=False, options={}) for _ in range(2)]:
            await route

    account.run(twice())
    assert len(project.ok("GET", "/operations", limit=1000)["operations"]) == before + 1


def test_given_requests_at_the_same_instant_when_they_would_all_schedule_then_one_does(
    account: Account, project: Project
) -> None:
    account.slow(create_branch=60)
    try:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: project.client.request("POST", project.path("/branches")), range(6)))
    finally:
        account.slow(create_branch=0.02)
    assert sorted(answer.status_code for answer in answers) == [201, 423, 423, 423, 423, 423]


def test_given_an_unknown_host_when_connecting_then_it_is_refused(project: Project) -> None:
    with pytest.raises(psycopg.OperationalError, match="could not be found"):
        project.sql("SELECT 1", project.uri.replace(project.endpoint, "ep-none-at-all"))


def test_given_a_branch_host_when_connecting_with_an_instant_then_the_past_is_read_only_and_nothing_is_made(
    project: Project,
) -> None:
    instant, lsn = project.now(), project.lsn()
    pause()
    write(project, "now")
    past = project.uri.replace(project.endpoint, project.main)
    before = project.branches(), project.ok("GET", "/endpoints")
    assert text(project, f"{past}&options=neon_timestamp:{instant}") == "first"
    assert text(project, f"{past}&options=neon_lsn:{lsn}") == "first"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        write(project, "rewritten", f"{past}&options=neon_timestamp:{instant}")
    assert (project.branches(), project.ok("GET", "/endpoints")) == before
    with pytest.raises(psycopg.OperationalError, match="timestamp is before retention window"):
        project.sql("SELECT 1", f"{past}&options=neon_timestamp:2020-01-01T00:00:00Z")


def test_given_an_instant_that_cannot_be_when_branching_then_400_says_why(account: Account) -> None:
    project = account.project(history_retention_seconds=21600)
    start = project.now()
    child = project.create("child", parent_timestamp=start)

    def refusal(parent: str | None = None, **values: str) -> str:
        wanted = values | ({"parent_id": parent} if parent else {})
        status, code, message = project.refused("POST", "/branches", {"branch": wanted})
        assert (status, code) == (400, "")
        return message

    assert refusal(parent_timestamp="2025-06-04T00:25:59Z") == (
        'timestamp is before retention window; timestamp:"2025-06-04 00:25:59 +0000 UTC", retention_window:"6h0m0s"'
    )
    assert "future" in refusal(parent_timestamp="2999-01-01T00:00:00Z")
    assert "cannot parse" in refusal(parent_timestamp=start.replace("T", " "))
    assert "only one" in refusal(parent_timestamp=start, parent_lsn="0/1")
    assert "future" in refusal(parent_lsn="FFFFFFFF/0")
    assert "before the branch was created" in refusal(parent_lsn="0/1")
    assert "invalid LSN" in refusal(parent_lsn="zero")
    account.advance(7200)
    try:
        project.done("PATCH", "", {"project": {"history_retention_seconds": 3600}})
        assert "retention_window" in refusal(parent_timestamp=start)
        assert refusal(parent_lsn=child["parent_lsn"]).startswith("LSN is before retention window")
        # What a branch holds stays available when its instant has left the window.
        assert project.create("grandchild", parent_id=child["id"])["parent_lsn"] == child["parent_lsn"]
    finally:
        account.advance(-7200)


def test_given_a_child_when_an_instant_before_its_own_beginning_is_asked_for_then_400(project: Project) -> None:
    earlier = project.now()
    pause()
    child = project.create("child")
    body = {"branch": {"parent_id": child["id"], "parent_timestamp": earlier}}
    status, _, message = project.refused("POST", "/branches", body)
    assert status == 400
    assert message.startswith("timestamp is before the branch was created")


def test_given_a_role_made_after_an_instant_when_branched_there_then_the_role_is_not_known(project: Project) -> None:
    before = project.now()
    pause()
    made = project.done("POST", f"/branches/{project.main}/roles", {"role": {"name": "late"}})["role"]
    database = {"database": {"name": "late_data", "owner_name": "late"}}
    project.done("POST", f"/branches/{project.main}/databases", database)
    old = project.create("old", compute=True, parent_timestamp=before)["id"]
    new = project.create("new", compute=True)["id"]
    names = {b: {r["name"] for r in project.ok("GET", f"/branches/{b}/roles")["roles"]} for b in (old, new)}
    assert names == {old: {project.role}, new: {project.role, "late"}}
    # Known without starting anything: a backup has no compute that could be asked.
    bare = project.create("bare", parent_timestamp=before)["id"]
    assert [role["name"] for role in project.ok("GET", f"/branches/{bare}/roles")["roles"]] == [project.role]
    assert project.refused("GET", f"/branches/{old}/roles/late")[0] == 404
    uri = project.uri_of(new, role_name="late", database_name="late_data")
    assert made["password"] in uri
    assert project.sql("SELECT current_user, current_database()", uri) == [("late", "late_data")]
    query = {"branch_id": old, "role_name": project.role, "database_name": "late_data"}
    assert project.refused("GET", "/connection_uri", **query) == (404, "", "database not found")
    gone = {"source_branch_id": project.main, "source_timestamp": before, "preserve_under_name": "kept"}
    project.done("POST", f"/branches/{project.main}/restore", gone)
    assert project.refused("GET", f"/branches/{project.main}/roles/late")[0] == 404
    kept = project.branches()["kept"]["id"]
    assert project.ok("GET", f"/branches/{kept}/roles/late/reveal_password")["password"] == made["password"]


def test_given_a_role_made_in_sql_when_listed_then_it_is_there_without_a_password(project: Project) -> None:
    project.sql("CREATE ROLE in_sql LOGIN PASSWORD 'x1'")
    assert "in_sql" in {role["name"] for role in project.ok("GET", f"/branches/{project.main}/roles")["roles"]}
    assert project.refused("GET", f"/branches/{project.main}/roles/in_sql/reveal_password")[0] == 404
    project.sql("DROP ROLE in_sql")
    assert project.refused("GET", f"/branches/{project.main}/roles/in_sql")[0] == 404


def test_given_a_password_reset_when_restored_to_before_it_then_the_present_password_still_works(
    project: Project,
) -> None:
    before = project.now()
    pause()
    with psycopg.connect(project.uri, autocommit=True) as session:
        reset = project.done("POST", f"/branches/{project.main}/roles/{project.role}/reset_password")["role"]
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        project.sql("SELECT 1")
    present = project.uri_of(project.main)
    assert reset["password"] in present
    project.restore(project.main, source_timestamp=before, preserve_under_name="kept")
    assert project.uri_of(project.main) == present
    assert text(project, present) == "first"
    branched = project.create("then", compute=True, parent_timestamp=before)["id"]
    assert text(project, project.uri_of(branched)) == "first"


def test_given_a_reset_that_is_running_when_connecting_then_the_old_password_still_works(
    account: Account, project: Project
) -> None:
    account.slow(start_compute=0.02)
    assert text(project) == "first"
    account.slow(apply_config=30)
    try:
        project.ok("POST", f"/branches/{project.main}/roles/{project.role}/reset_password")
        word = project.ok("GET", f"/branches/{project.main}/roles/{project.role}/reveal_password")["password"]
        assert word in project.uri
    finally:
        account.slow(apply_config=0.02)


def test_given_a_protected_parent_when_branched_then_the_childs_passwords_are_new(account: Account) -> None:
    project = account.project()
    project.done("PATCH", f"/branches/{project.main}", {"branch": {"protected": True}})
    child = project.create("child", compute=True)["id"]
    theirs, ours = (urlsplit(uri).password for uri in (project.uri_of(child), project.uri_of(project.main)))
    assert ours == urlsplit(project.uri).password
    assert theirs != ours
    assert project.sql("SELECT 1", project.uri_of(child)) == [(1,)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        project.sql("SELECT 1", project.uri_of(child).replace(str(theirs), str(ours)))
    # A reset of a child that is there keeps the child's own.
    project.restore(child, project.main)
    assert urlsplit(project.uri_of(child)).password == theirs
    assert project.sql("SELECT 1", project.uri_of(child)) == [(1,)]


def test_given_roles_and_databases_when_changed_and_deleted_then_postgresql_has_done_it(project: Project) -> None:
    roles, databases = f"/branches/{project.main}/roles", f"/branches/{project.main}/databases"
    project.done("POST", roles, {"role": {"name": 'odd "name"'}})
    project.done("POST", roles, {"role": {"name": "group", "no_login": True}})
    project.done("POST", databases, {"database": {"name": "one", "owner_name": 'odd "name"'}})
    assert project.refused("POST", roles, {"role": {"name": "group"}})[0] == 409
    assert project.refused("POST", databases, {"database": {"name": "one", "owner_name": "group"}})[0] == 409
    assert project.refused("POST", databases, {"database": {"name": "two", "owner_name": "nobody"}})[0] == 404
    assert project.refused("DELETE", f"{roles}/odd%20%22name%22")[0] == 422
    project.done("PATCH", f"{databases}/one", {"database": {"name": "two", "owner_name": project.role}})
    found = project.sql(
        "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
    )
    assert set(found) == {(project.database, project.role), ("two", project.role)}
    project.done("DELETE", f"{roles}/odd%20%22name%22")
    project.done("DELETE", f"{databases}/two")
    assert project.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'odd%'") == [(0,)]
    assert project.sql("SELECT count(*) FROM pg_database WHERE datname = 'two'") == [(0,)]
    assert project.refused("GET", f"{roles}/group/reveal_password")[0] == 404


def test_given_a_role_change_while_the_compute_sleeps_when_done_then_it_sleeps_again(project: Project) -> None:
    project.done("POST", f"/endpoints/{project.endpoint}/suspend")
    made = project.done("POST", f"/branches/{project.main}/roles", {"role": {"name": "night"}})["role"]
    timeline = project.account.service.state.project(project.id).branch(project.main)["timeline"]
    assert project.get_endpoint(project.endpoint)["current_state"] == "idle"
    assert project.account.call(lambda: project.account.world.engine.is_running(timeline)) is False
    uri = project.uri_of(project.main, role_name="night")
    assert made["password"] in uri
    assert project.sql("SELECT current_user", uri) == [("night",)]


def test_given_a_changed_schema_when_compared_then_the_difference_is_told_also_for_the_past(project: Project) -> None:
    before = project.now()
    pause()
    child = project.create("child", compute=True)["id"]
    uri = project.uri_of(child)
    assert project.ok("GET", f"/branches/{child}/compare_schema", db_name=project.database) == {"diff": ""}
    project.sql("CREATE TABLE trader (id int PRIMARY KEY, name text NOT NULL)", uri)
    diff = project.ok("GET", f"/branches/{child}/compare_schema", db_name=project.database)["diff"]
    assert diff.startswith(f"--- a/{project.database}\n+++ b/{project.database}\n")
    assert re.search(r"^\+.*trader", diff, re.MULTILINE)
    assert not re.search(r"^-(?!--)", diff, re.MULTILINE)
    project.sql("CREATE TABLE later (id int)")
    path = f"/branches/{project.main}/compare_schema"
    past = project.ok("GET", path, db_name=project.database, base_timestamp=before)["diff"]
    assert "later" in past
    tables = project.ok("GET", f"/branches/{child}/schema", db_name=project.database, format="json")["json"]["tables"]
    trader = next(table for table in tables if table["name"] == "trader")
    assert trader["columns"][1] == {"name": "name", "type": "text", "nullable": False, "generated": False}
    assert trader["constraints"][0] == {"type": "primary_key", "columns": ["id"], "name": "trader_pkey"}
    old = project.ok("GET", f"/branches/{project.main}/schema", db_name=project.database, timestamp=before)["sql"]
    assert "status" in old
    assert "later" not in old
    assert project.refused("GET", f"/branches/{child}/schema", db_name="none") == (404, "", "database not found")
    assert set(project.branches()) == {"main", "child"}


def test_given_passwords_that_are_not_stored_when_revealed_then_412(account: Account) -> None:
    project = account.project()
    record = account.service.state.project(project.id).record
    account.call(lambda: record.update(store_passwords=False))
    path = f"/branches/{project.main}/roles/{project.role}/reveal_password"
    assert project.refused("GET", path)[0] == 412
    assert urlsplit(project.uri_of(project.main)).password is None
