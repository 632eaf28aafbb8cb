# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control plane's clock rules: expiry, schedules, suspension, the history window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from sandbox.clock import rfc3339
from tests.sandbox.neon_account import Account, Project, pause

DAY = 86400.0


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account that looks often what is due."""
    with Account({"neon.expiry_poll_seconds": 0.05}) as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project."""
    return account.project()


def later(account: Account, **values: float) -> str:
    """An instant after the control plane's present one."""
    return rfc3339((account.world.clock.now() + timedelta(**values)).replace(microsecond=0))


def test_given_an_expiry_when_the_clock_passes_it_then_the_branch_is_gone(account: Account, project: Project) -> None:
    branch = project.create("short", compute=True, expires_at=later(account, hours=1))
    assert branch["ttl_interval_seconds"] in range(3598, 3602)
    kept = project.create("kept", expires_at=later(account, days=3))["id"]
    account.advance(2 * 3600)
    project.wait_until(lambda: set(project.branches()) == {"main", "kept"}, "the branch to expire")
    assert project.refused("GET", f"/branches/{branch['id']}")[0] == 404
    assert len(project.ok("GET", "/endpoints")["endpoints"]) == 1
    project.wait_until(lambda: not account.service.operations.busy(_record(project)), "the operations to end")
    cleared = project.ok("PATCH", f"/branches/{kept}", {"branch": {"expires_at": None}})["branch"]
    assert "expires_at" not in cleared
    account.advance(4 * DAY)
    account.run(account.service.housekeeping.tick())
    assert kept in {item["id"] for item in project.branches().values()}


def test_given_what_may_not_expire_when_an_expiry_is_set_then_it_is_refused(account: Account, project: Project) -> None:
    soon = later(account, hours=1)
    default = {"branch": {"expires_at": soon}}
    assert project.refused("PATCH", f"/branches/{project.main}", default) == (
        400,
        "DEFAULT_BRANCH_EXPIRATION_NOT_ALLOWED",
        "Default branch cannot have an expiration date",
    )
    protected = {"branch": {"name": "p", "protected": True, "expires_at": soon}}
    assert project.refused("POST", "/branches", protected)[2] == "Protected branch cannot have an expiration date"
    parent = project.create("parent")["id"]
    project.create("leaf", parent_id=parent)
    assert project.refused("PATCH", f"/branches/{parent}", default)[0] == 422
    for wrong in (later(account, days=31), later(account, hours=-1), "2025-01-01 00:00:00Z"):
        assert project.refused("POST", "/branches", {"branch": {"expires_at": wrong}})[0] == 400
    expiring = project.create("expiring", expires_at=later(account, days=29))["id"]
    assert project.refused("POST", "/branches", {"branch": {"parent_id": expiring}})[0] == 422
    assert project.refused("PATCH", f"/branches/{expiring}", {"branch": {"protected": True}})[0] == 422
    assert project.refused("POST", f"/branches/{expiring}/set_as_default")[0] == 422
    both = {"branch": {"protected": True, "expires_at": None}}
    changed = project.done("PATCH", f"/branches/{expiring}", both)["branch"]
    assert changed["protected"] is True


def test_given_an_expiring_child_when_reset_from_its_parent_then_its_time_starts_again(
    account: Account, project: Project
) -> None:
    child = project.create("child", expires_at=later(account, hours=2))
    account.advance(3600)
    project.restore(child["id"], project.main)
    renewed = project.branch(child["id"])
    assert renewed["expires_at"] > child["expires_at"]
    assert renewed["ttl_interval_seconds"] in range(7195, 7205)


def test_given_a_snapshot_with_an_expiry_when_the_clock_passes_it_then_it_is_gone(
    account: Account, project: Project
) -> None:
    path = f"/branches/{project.main}/snapshot"
    project.done("POST", path, expires_at=later(account, hours=1))
    kept = project.done("POST", path, expires_at=later(account, hours=1))["snapshot"]["id"]
    project.ok("PATCH", f"/snapshots/{kept}", {"snapshot": {"expires_at": None, "name": "kept"}})
    account.advance(2 * 3600)
    project.wait_until(
        lambda: [item["name"] for item in project.ok("GET", "/snapshots")["snapshots"]] == ["kept"],
        "the snapshot to expire",
    )


def test_given_a_backup_schedule_when_the_clock_passes_its_hour_then_one_snapshot_is_taken(
    account: Account, project: Project
) -> None:
    path = f"/branches/{project.main}/backup_schedule"
    items = [{"frequency": "daily", "hour": 3, "retention_seconds": 7200}]
    assert project.ok("PUT", path, {"schedule": items}) == {}
    assert project.ok("GET", path) == {"schedule": items}
    account.advance(DAY)
    taken = project.wait_until(lambda: project.ok("GET", "/snapshots")["snapshots"], "a scheduled snapshot")
    assert [(item["manual"], item["source_branch_id"]) for item in taken] == [(False, project.main)]
    project.ok("PUT", path, {"schedule": []})
    account.advance(DAY)
    project.wait_until(lambda: not project.ok("GET", "/snapshots")["snapshots"], "the retention to end")
    for wrong in ({"frequency": "hourly"}, {"frequency": "daily", "hour": 24}):
        assert project.refused("PUT", path, {"schedule": [wrong]})[0] == 400


def test_given_an_idle_compute_when_its_time_is_over_then_it_suspends_and_an_idle_session_does_not_hold_it(
    account: Account, project: Project
) -> None:
    with psycopg.connect(project.uri, autocommit=True) as session:
        session.execute("SELECT 1")
        # The first look finds a query since the last one; only then does the time begin.
        for _ in range(2):
            assert project.get_endpoint(project.endpoint)["current_state"] == "active"
            account.advance(301)
            account.run(account.service.housekeeping.tick())
        project.wait_until(lambda: project.get_endpoint(project.endpoint)["current_state"] == "idle", "the suspension")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert project.sql("SELECT 1") == [(1,)]


def test_given_a_query_that_runs_when_the_time_is_over_then_the_compute_stays(
    account: Account, project: Project
) -> None:
    with psycopg.connect(project.uri) as session:
        session.execute("SELECT 1")  # and the transaction stays open
        for _ in range(3):
            account.advance(301)
            account.run(account.service.housekeeping.tick())
        assert project.get_endpoint(project.endpoint)["current_state"] == "active"
        assert session.execute("SELECT 2").fetchone() == (2,)


def test_given_a_compute_that_never_suspends_when_days_pass_then_it_stays(account: Account, project: Project) -> None:
    project.ok("PATCH", f"/endpoints/{project.endpoint}", {"endpoint": {"suspend_timeout_seconds": -1}})
    assert project.sql("SELECT 1") == [(1,)]
    account.advance(DAY)
    account.run(account.service.housekeeping.tick())
    assert project.get_endpoint(project.endpoint)["current_state"] == "active"


def test_given_a_point_in_the_window_when_the_clock_moves_past_it_then_only_a_backup_still_has_it(
    account: Account,
) -> None:
    project = account.project(history_retention_seconds=3600)
    project.sql("CREATE TABLE status AS SELECT 'good'::text AS text")
    # A clock that is ahead of PostgreSQL's own would put every instant into the past.
    account.call(lambda: account.world.clock.set_offset(0))
    point = project.now()
    pause()
    backup = project.create("backup", parent_timestamp=point)
    project.sql("UPDATE status SET text = 'bad'")
    account.advance(7200)
    restore = {"source_branch_id": project.main, "source_timestamp": point, "preserve_under_name": "old"}

    def answer() -> tuple[int, str, str] | None:
        # Hours have passed: computes that nobody used may be about to be suspended.
        found = project.refused("POST", f"/branches/{project.main}/restore", restore)
        return found if found[0] != 423 else None

    status, _, message = project.wait_until(answer, "an answer to the restore")
    assert (status, message.split(";")[0]) == (400, "timestamp is before retention window")
    project.restore(project.main, backup["id"], preserve_under_name="old")
    assert project.sql("SELECT text FROM status") == [("good",)]


def _record(project: Project) -> Any:
    return project.account.service.state.project(project.id)
