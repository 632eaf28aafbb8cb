# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Neon modules against a running sandbox: what a connection then finds, and what happens when answers are lost."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
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
        self._reach = {
            "neon_api_url": sandbox.connection["neon_api_url"],
            "neon_api_key": sandbox.connection["neon_api_key"],
        }

    def __call__(self, module: str, *, check_mode: bool = False, **options: Any) -> Json:
        where = {} if "connection" in options else {"project_id": self.id}
        extra = {} if module.endswith("_info") else {"poll_interval": 0.1}
        return call_module(module, {**self._reach, **where, **extra, **options}, check_mode=check_mode)

    def connect(self, branch_id: str, **more: Any) -> str:
        connection = {"project_id": self.id, "branch_id": branch_id, **more}
        result = self("neon_connection_info", connection=connection, reveal=True)
        assert "failed" not in result, result
        return str(result["connection_string"])

    def fails(self, effect: str, method: str, path: str, **how: Any) -> None:
        """The next fitting request to Neon gets this fault."""
        self.control.fault(effect, service="neon", method=method, path=path, **how)

    def writes(self, since: int) -> list[str]:
        """The method and status of every write since then that was not just told to wait (423)."""
        found = self.control.requests(since=since, service="neon")
        return [
            f"{item['method']} {item['status']}" for item in found if item["method"] != "GET" and item["status"] != 423
        ]


@pytest.fixture
def project(sandbox: SandboxProcess, control: Control) -> Iterator[Project]:
    made = Project(sandbox, control)
    yield made
    control.settings(neon__operation_seconds__detach_parent_branch=0.02)


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


def test_each_way_to_an_instant_finds_that_instants_data(project: Project) -> None:
    """Given three texts one after the other, then a branch, the past of a branch and a restore each find their own."""
    points = []
    for text in ("one", "two", "three"):
        write(project.uri, text)
        points.append(now())
    restored = project("neon_branch", name="restore-1", parent_timestamp=points[0], endpoints=[{"type": "read_write"}])
    assert read(project.connect(restored["branch"]["id"])) == "one"
    assert read(project.connect(restored["branch"]["id"], pooled=True)) == "one"
    assert read(project.connect(project.main, at=points[1])) == "two"
    backup = project("neon_branch", name="backup-1", parent_timestamp=points[1])
    assert read(project.connect(backup["branch"]["id"], lsn=backup["branch"]["parent_lsn"])) == "two"
    before = project.connect(project.main)
    in_place = project(
        "neon_branch_restore", branch_id=project.main, source_timestamp=points[1], preserve_under_name="rollback-1"
    )
    assert in_place["changed"] is True, in_place
    assert project.connect(project.main) == before
    assert read(before) == "two"
    project("neon_endpoint", branch_id=in_place["preserved_branch"]["id"])
    assert read(project.connect(in_place["preserved_branch"]["id"])) == "three"


@pytest.mark.parametrize("effect", ["drop_after", "malformed"])
def test_lost_answers_are_read_back_and_nothing_is_done_twice(project: Project, effect: str) -> None:
    """Given every write's answer lost after its effect, then each task ends as if it had not been, with one write."""
    since = project.control.last_request()
    point = now()
    steps: list[tuple[str, str, str, Json]] = [
        ("POST", "/branches$", "neon_branch", {"name": "b"}),
        ("PATCH", "/branches/", "neon_branch", {"name": "b", "protected": True}),
        ("PATCH", "/branches/", "neon_branch", {"name": "b", "protected": False}),
        ("POST", "/restore$", "neon_branch_restore", {"source_timestamp": point, "preserve_under_name": "rollback-1"}),
    ]
    for method, path, module, options in steps:
        project.fails(effect, method, f".*{path}", count=1)
        target = {"branch_id": project.main} if module == "neon_branch_restore" else {}
        result = project(module, **target, **options)
        assert result["changed"] is True and "failed" not in result, result
        assert project(module, **target, **options)["changed"] is False
    branch_id = project("neon_branch", name="b")["branch"]["id"]
    for method, path, options in (
        ("POST", "/endpoints$", {}),
        ("PATCH", "/endpoints/", {"disabled": True}),
        ("DELETE", "/endpoints/", {"state": "absent"}),
    ):
        project.fails(effect, method, f".*{path}", count=1)
        result = project("neon_endpoint", branch_id=branch_id, **options)
        assert result["changed"] is True and "failed" not in result, result
    project.fails(effect, "DELETE", ".*/branches/", count=1)
    assert project("neon_branch", name="b", state="absent")["changed"] is True
    methods = [method for method, *_rest in steps] + ["POST", "PATCH", "DELETE", "DELETE"]
    assert [write.partition(" ")[0] for write in project.writes(since)] == methods, project.writes(since)


def test_a_write_lost_before_its_effect_is_not_sent_again(project: Project) -> None:
    """Given a creation that never arrived, then the task fails as unknown, and the next run makes the branch."""
    project.fails("drop_before", "POST", ".*/branches$", count=1)
    since = project.control.last_request()
    result = project("neon_branch", name="b", wait_timeout=3)
    assert result["failed"] and result["error"]["code"] == "unknown_outcome" and result["error"]["retryable"]
    assert len(project.writes(since)) == 1
    assert project("neon_branch", name="b")["changed"] is True


def test_two_tasks_at_once_wait_for_each_other(project: Project) -> None:
    """Given a project whose operations take a while (423 for others), then a second change waits and succeeds."""
    project.control.settings(neon__operation_seconds__create_branch=1.5)
    try:
        first = project("neon_branch", name="a", wait=False)
        assert first["operations"][0]["status"] != "finished"
        second = project("neon_branch", name="b")
        assert second["changed"] is True and second["elapsed"] > 1
    finally:
        project.control.settings(neon__operation_seconds__create_branch=0.02)


def test_an_old_state_that_is_still_being_detached_can_be_removed(project: Project) -> None:
    """Given a detach that takes seconds, then the removal of the old state waits for it instead of failing."""
    project.control.settings(neon__operation_seconds__detach_parent_branch=2.5)
    restored = project(
        "neon_branch_restore", branch_id=project.main, source_timestamp=now(), preserve_under_name="rollback-1"
    )
    assert restored["branch"]["parent_id"] == restored["preserved_branch"]["id"]
    removed = project("neon_branch", name="rollback-1", state="absent")
    assert removed["changed"] is True, removed
    assert project("neon_branch_info", name="main")["branches"][0]["parent_id"] is None


def test_check_mode_sends_only_reads_and_changes_nothing(project: Project) -> None:
    """Given every change in check mode, then the sandbox has seen GET only, and lists the same branches."""
    before = project("neon_branch_info")["branches"]
    since = project.control.last_request()
    tasks: list[tuple[str, Json]] = [
        ("neon_branch", {"name": "b", "endpoints": [{"type": "read_write"}]}),
        ("neon_branch", {"name": "main", "protected": True, "new_name": "x"}),
        ("neon_branch_restore", {"branch_id": project.main, "source_timestamp": now(), "preserve_under_name": "r"}),
        ("neon_endpoint", {"branch_id": project.main, "disabled": True}),
        ("neon_endpoint", {"branch_id": project.main, "state": "absent"}),
    ]
    for module, options in tasks:
        result = project(module, check_mode=True, **options)
        assert result["changed"] is True and "failed" not in result, result
    assert project.writes(since) == []
    assert project("neon_branch_info")["branches"] == before
