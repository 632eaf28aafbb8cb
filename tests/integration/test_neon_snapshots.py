# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots and schema differences against a running sandbox: the data that is found, and what lost answers do."""

from __future__ import annotations

import datetime
from typing import Any

import psycopg
import pytest
from ansible_collections.rewind.database.tests.unit.tools import call_module

from tests.support.sandbox import Control, SandboxProcess

Json = dict[str, Any]


class Project:
    """A project of the test's own, and the modules called on it."""

    def __init__(self, sandbox: SandboxProcess, control: Control) -> None:
        self.control = control
        made = control.call("POST", "/projects", {"name": "test"})
        self.id, self.main, self.uri = made["project_id"], made["branch_id"], made["connection_uri"]
        self.database, self.compute = made["database"], made["endpoint_id"]
        self._reach = {
            "neon_api_url": sandbox.connection["neon_api_url"],
            "neon_api_key": sandbox.connection["neon_api_key"],
        }

    def __call__(self, module: str, *, check_mode: bool = False, **options: Any) -> Json:
        where = {} if "connection" in options else {"project_id": self.id}
        extra = {} if module.endswith(("_info", "_diff")) else {"poll_interval": 0.1}
        return call_module(module, {**self._reach, **where, **extra, **options}, check_mode=check_mode)

    def did(self, module: str, **options: Any) -> Json:
        """The same, and it must have changed something."""
        result = self(module, **options)
        assert result["changed"] is True and "failed" not in result, result
        return result

    def uri_of(self, branch_id: str) -> str:
        connection = {"project_id": self.id, "branch_id": branch_id}
        result = self("neon_connection_info", connection=connection, reveal=True)
        assert "failed" not in result, result
        return str(result["connection_string"])

    def writes(self, since: int) -> list[str]:
        """The method of every write since then that was not just told to wait (423)."""
        found = self.control.requests(since=since, service="neon")
        return [item["method"] for item in found if item["method"] != "GET" and item["status"] != 423]


@pytest.fixture
def project(sandbox: SandboxProcess, control: Control) -> Project:
    return Project(sandbox, control)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def write(uri: str, text: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS status (text text)")
        connection.execute("DELETE FROM status")
        connection.execute("INSERT INTO status VALUES (%s)", (text,))


def read(uri: str) -> str:
    with psycopg.connect(uri) as connection:
        row = connection.execute("SELECT text FROM status").fetchone()
        return str(row[0]) if row else ""


def test_a_snapshot_of_an_instant_is_looked_at_and_takes_the_primarys_place(project: Project) -> None:
    """Given "good" and then "bad", then the preview holds "good", and after finalizing so does the same host."""
    write(project.uri, "good")
    point = now()
    write(project.uri, "bad")
    made = project.did("neon_snapshot", name="s", branch=project.main, timestamp=point)["snapshot"]
    steps = {"snapshot_id": made["id"], "restore_as": "preview", "target_branch_id": project.main}
    preview = project.did("neon_snapshot", state="restored", **steps)["branch"]
    project.did("neon_endpoint", branch_id=preview["id"])
    assert read(project.uri_of(preview["id"])) == "good"
    assert read(project.uri) == "bad"
    refused = project("neon_snapshot", state="finalized", **steps)
    assert refused["error"]["code"] == "has_computes", refused
    project.did("neon_endpoint", branch_id=preview["id"], state="absent")
    final = project.did("neon_snapshot", state="finalized", replaced_name="old", **steps)
    assert final["branch"]["id"] == preview["id"] and final["branch"]["endpoints"][0]["id"] == project.compute
    assert read(project.uri) == "good"
    project.did("neon_endpoint", branch_id=final["replaced_branch"]["id"])
    assert read(project.uri_of(final["replaced_branch"]["id"])) == "bad"


@pytest.mark.parametrize("effect", ["drop_after", "malformed"])
def test_lost_answers_are_read_back_and_nothing_is_done_twice(project: Project, effect: str) -> None:
    """Given every write's answer lost after its effect, then each task ends as if it had not been, with one write."""
    since = project.control.last_request()
    restore: Json = {"name": "s", "restore_as": "preview", "target_branch_id": project.main}
    for method, path, options in (
        ("POST", "/snapshot$", {"name": "s"}),
        ("PATCH", "/snapshots/", {"name": "s", "expires_at": "2999-01-01T00:00:00Z"}),
        ("POST", "/restore$", {"state": "restored", **restore}),
        ("POST", "/finalize_restore$", {"state": "finalized", **restore}),
        ("DELETE", "/snapshots/", {"name": "s", "state": "absent"}),
    ):
        project.control.fault(effect, service="neon", method=method, path=f".*{path}", count=1)
        project.did("neon_snapshot", **options)
        assert project("neon_snapshot", **options)["changed"] is False
    assert project.writes(since) == ["POST", "PATCH", "POST", "POST", "DELETE"]


def test_a_write_lost_before_its_effect_is_not_sent_again(project: Project) -> None:
    """Given a snapshot that never arrived, then the task fails as unknown, and the next run makes it."""
    project.control.fault("drop_before", service="neon", method="POST", path=".*/snapshot$", count=1)
    since = project.control.last_request()
    result = project("neon_snapshot", name="s", wait_timeout=3)
    assert result["failed"] and result["error"]["code"] == "unknown_outcome" and result["error"]["retryable"]
    assert project.writes(since) == ["POST"]
    project.did("neon_snapshot", name="s")


def test_a_snapshot_right_after_a_restore_in_place_waits_for_the_detaching(project: Project) -> None:
    """Given a primary that is still being detached from its old state, then the snapshot waits until it is a root."""
    project.control.settings(neon__operation_seconds__detach_parent_branch=1.5)
    try:
        project.did("neon_branch_restore", branch_id=project.main, source_timestamp=now(), preserve_under_name="old")
        made = project.did("neon_snapshot", name="s", branch=project.main)
        assert made["elapsed"] > 0.5
    finally:
        project.control.settings(neon__operation_seconds__detach_parent_branch=0.02)


def test_check_mode_sends_only_reads(project: Project) -> None:
    """Given every change in check mode, then the sandbox has seen GET only."""
    snapshot_id = project.did("neon_snapshot", name="s")["snapshot"]["id"]
    since = project.control.last_request()
    restore: Json = {"snapshot_id": snapshot_id, "restore_as": "preview", "target_branch_id": project.main}
    for options in (
        {"name": "t"},
        {"name": "s", "new_name": "u"},
        {"name": "s", "state": "absent"},
        {"state": "restored", **restore},
        {"state": "finalized", **restore},
    ):
        result = project("neon_snapshot", check_mode=True, **options)
        assert result["changed"] is True and "failed" not in result, result
    assert project.writes(since) == []


def test_a_schema_is_compared_between_branches_and_between_instants(project: Project) -> None:
    """Given a column added after a branch was made, then it shows against the branch and against that instant."""
    write(project.uri, "x")
    project.did("neon_branch", name="child")
    point = now()
    with psycopg.connect(project.uri, autocommit=True) as connection:
        connection.execute("ALTER TABLE status ADD COLUMN seen_at timestamptz")
    asked: Json = {"database": project.database, "branch": "main"}
    bases: list[Json] = [{"base_branch": "child"}, {"base_timestamp": point}]
    for base in bases:
        found = project("neon_schema_diff", **asked, **base)["schema_diff"]
        assert found["equal"] is False and "seen_at" in found["text"], found
        assert found["lines_added"] > 0
    before = project("neon_schema_diff", **asked, timestamp=point, base_branch="child")["schema_diff"]
    assert before["equal"] is True and before["text"] == ""
