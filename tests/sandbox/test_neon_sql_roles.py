# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, passwords and databases that are made in SQL, behind the API's back, and computes that only read."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.sandbox.neon_account import Account, Project


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account for the module."""
    with Account() as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project with a table."""
    made = account.project(name="tracker")
    made.sql("CREATE TABLE status AS SELECT 'first' AS text")
    return made


def with_login(uri: str, user: str, password: str) -> str:
    """The connection string for somebody else."""
    return make_conninfo(uri, user=user, password=password)


@pytest.mark.parametrize("pooled", [False, True])
def test_given_a_role_made_in_sql_when_it_logs_in_then_its_own_password_counts(project: Project, pooled: bool) -> None:
    project.sql("CREATE ROLE reporter LOGIN PASSWORD 'rEp0rt-91'")
    uri = project.pooled_uri if pooled else project.uri
    assert project.sql("SELECT current_user::text", with_login(uri, "reporter", "rEp0rt-91")) == [("reporter",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        project.sql("SELECT 1", with_login(uri, "reporter", "wrong"))
    project.sql("ALTER ROLE reporter NOLOGIN")
    with pytest.raises(psycopg.OperationalError):
        project.sql("SELECT 1", with_login(uri, "reporter", "rEp0rt-91"))


@pytest.mark.parametrize("pooled", [False, True])
def test_given_a_password_changed_in_sql_when_its_owner_logs_in_then_the_new_one_counts(
    project: Project, pooled: bool
) -> None:
    uri = project.pooled_uri if pooled else project.uri
    assert project.sql("SELECT 1", uri) == [(1,)]
    project.sql(f"ALTER ROLE \"{project.role}\" PASSWORD 'nEw-one-37'")
    changed = with_login(uri, project.role, "nEw-one-37")
    for _ in range(2):
        assert project.sql("SELECT text FROM status", changed) == [("first",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        project.sql("SELECT 1", uri)
    reset = project.done("POST", f"/branches/{project.main}/roles/{project.role}/reset_password")
    assert project.sql("SELECT 1", with_login(uri, project.role, reset["role"]["password"])) == [(1,)]


@pytest.mark.parametrize("pooled", [False, True])
def test_given_a_compute_that_only_reads_when_written_to_then_it_refuses(project: Project, pooled: bool) -> None:
    wanted = {"endpoint": {"branch_id": project.main, "type": "read_only"}}
    replica = project.done("POST", "/endpoints", wanted)["endpoint"]["id"]
    uri = project.uri_of(project.main, pooled=pooled, endpoint_id=replica)
    assert project.sql("SELECT text FROM status", uri) == [("first",)]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        project.sql("UPDATE status SET text = 'second'", uri)
    if not pooled:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            project.sql("UPDATE status SET text = 'x'", uri, options="-c default_transaction_read_only=off")
    project.sql("UPDATE status SET text = 'second'")
    assert project.sql("SELECT text FROM status", uri) == [("second",)]


def test_given_a_parent_changed_in_sql_when_it_is_branched_then_the_child_shows_what_is_there(
    project: Project,
) -> None:
    project.sql("CREATE ROLE reporter LOGIN PASSWORD 'rEp0rt-91'")
    project.sql("CREATE DATABASE archive")
    child = project.create("child")
    roles = project.ok("GET", f"/branches/{child['id']}/roles")["roles"]
    assert {role["name"] for role in roles} == {project.role, "reporter"}
    databases = project.ok("GET", f"/branches/{child['id']}/databases")["databases"]
    assert {database["name"] for database in databases} == {project.database, "archive"}


def test_given_a_database_that_nobody_may_enter_when_its_schema_is_asked_for_then_404(project: Project) -> None:
    assert project.refused("GET", f"/branches/{project.main}/schema", db_name="template0")[0] == 404
