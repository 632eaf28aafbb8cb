# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service killed in the middle: what was under way is brought to its end, and nothing is half done."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.sandbox.neon_account import Account, Project, pause

LONG = 300.0


@pytest.fixture
def account() -> Iterator[Account]:
    """An account of the test's own."""
    with Account() as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project whose status row says "good"."""
    made = account.project()
    made.sql("CREATE TABLE status AS SELECT 'good'::text AS text")
    return made


def settle(project: Project) -> None:
    """Waits until no operation runs."""

    def settled() -> bool:
        operations = project.ok("GET", "/operations", limit=1000)["operations"]
        assert not [operation for operation in operations if operation["status"] in ("failed", "cancelled")]
        return all(operation["status"] == "finished" for operation in operations)

    project.wait_until(settled, "all operations to finish")


def text(project: Project, branch_id: str) -> str:
    """The status row of a branch that has a compute."""
    return str(project.sql("SELECT text FROM status", project.uri_of(branch_id))[0][0])


@pytest.mark.parametrize("action", ["suspend_compute", "create_branch", "start_compute"])
def test_given_a_restore_when_killed_in_each_of_its_operations_then_it_is_completed_at_the_next_start(
    account: Account, project: Project, action: str
) -> None:
    point = project.now()
    pause()
    project.sql("UPDATE status SET text = 'bad'")
    account.slow(**{action: LONG})
    wanted = {"source_branch_id": project.main, "source_timestamp": point, "preserve_under_name": "old"}
    answer = project.ok("POST", f"/branches/{project.main}/restore", wanted)
    under_way = next(operation["id"] for operation in answer["operations"] if operation["action"] == action)

    def running() -> bool:
        return str(project.ok("GET", f"/operations/{under_way}")["operation"]["status"]) == "running"

    project.wait_until(running, f"{action} to run")
    account.kill_and_start()
    settle(project)
    assert text(project, project.main) == "good"
    branch = project.branch(project.main)
    assert branch["current_state"] == "ready"
    project.detached(project.main)
    old = project.branches()["old"]["id"]
    project.done("POST", "/endpoints", {"endpoint": {"branch_id": old, "type": "read_write"}})
    assert text(project, old) == "bad"


def test_given_a_branch_being_made_when_killed_then_it_is_ready_afterwards_with_its_compute(
    account: Account, project: Project
) -> None:
    point = project.now()
    pause()
    project.sql("UPDATE status SET text = 'bad'")
    account.slow(create_branch=LONG)
    body = {"branch": {"name": "then", "parent_timestamp": point}, "endpoints": [{"type": "read_write"}]}
    branch = project.ok("POST", "/branches", body)["branch"]["id"]
    account.kill_and_start()
    settle(project)
    assert project.branch(branch)["current_state"] == "ready"
    assert text(project, branch) == "good"


def test_given_a_branch_that_could_not_be_made_when_started_again_then_the_project_is_free_and_it_is_made(
    account: Account, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(position: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(account.world.engine, "branch", broken)
    body = {"branch": {"name": "child"}, "endpoints": [{"type": "read_write"}]}
    answer = project.ok("POST", "/branches", body)
    branch, ids = answer["branch"]["id"], [operation["id"] for operation in answer["operations"]]

    def statuses() -> list[str]:
        return [project.ok("GET", f"/operations/{i}")["operation"]["status"] for i in ids]

    project.wait_until(lambda: statuses() == ["failed", "cancelled"], "the operations to fail")
    failed = project.ok("GET", f"/operations/{ids[0]}")["operation"]
    assert (failed["error"], failed["failures_count"]) == ("no space left on device", 3)
    assert project.refused("POST", "/branches", {"branch": {"parent_id": branch}})[2] == "branch not ready yet"
    with pytest.raises(psycopg.OperationalError, match="Couldn't connect to compute node"):
        endpoint = answer["endpoints"][0]["id"]
        project.sql("SELECT 1", project.uri.replace(project.endpoint, endpoint))
    project.done("POST", f"/endpoints/{project.endpoint}/suspend")
    account.kill_and_start()
    project.wait_until(lambda: project.branch(branch)["current_state"] == "ready", "the branch to be made")
    project.wait_until(lambda: not account.service.operations.busy(account.service.state.project(project.id)), "rest")
    assert text(project, branch) == "good"


def test_given_a_branch_being_deleted_when_killed_then_its_data_is_gone_afterwards(
    account: Account, project: Project
) -> None:
    branch = project.create("short", compute=True)["id"]
    account.slow(suspend_compute=LONG, delete_timeline=LONG)
    project.ok("DELETE", f"/branches/{branch}")
    account.kill_and_start()
    settle(project)
    assert set(project.branches()) == {"main"}
    assert len(account.call(account.world.engine.timelines)) == 1


def test_given_a_password_reset_when_killed_then_the_new_password_works_afterwards(
    account: Account, project: Project
) -> None:
    account.slow(apply_config=LONG)
    reset = project.ok("POST", f"/branches/{project.main}/roles/{project.role}/reset_password")["role"]
    account.kill_and_start()
    settle(project)
    assert reset["password"] in project.uri_of(project.main)
    assert text(project, project.main) == "good"


def test_given_everything_at_rest_when_killed_then_all_is_as_before_and_computes_wake_again(
    account: Account, project: Project
) -> None:
    project.create("child", compute=True)
    snapshot = project.done("POST", f"/branches/{project.main}/snapshot")["snapshot"]
    before = project.branches()
    account.kill_and_start()
    assert project.branches() == before
    assert [item["id"] for item in project.ok("GET", "/snapshots")["snapshots"]] == [snapshot["id"]]
    assert project.get_endpoint(project.endpoint)["current_state"] == "idle"
    assert project.sql("SELECT text FROM status") == [("good",)]
    assert project.create("after the restart")["id"] not in {branch["id"] for branch in before.values()}


def test_given_data_that_nothing_refers_to_when_started_then_it_is_removed(account: Account, project: Project) -> None:
    timeline = account.service.state.project(project.id).branch(project.main)["timeline"]

    async def lose() -> str:
        head = await account.world.engine.head(timeline)
        return await account.world.engine.branch(head)

    lost = account.run(lose())
    account.kill_and_start()
    assert lost not in account.call(account.world.engine.timelines)
    assert project.sql("SELECT text FROM status") == [("good",)]


def test_given_an_ordinary_stop_when_started_again_then_data_and_keys_are_still_good(
    account: Account, project: Project
) -> None:
    token = account.key("project", project.id)
    account.end()
    account.start()
    assert account.client(token).ok("GET", project.path())["project"]["id"] == project.id
    assert project.sql("SELECT text FROM status") == [("good",)]
