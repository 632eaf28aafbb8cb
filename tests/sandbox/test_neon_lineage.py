# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores do to the tree of branches: told as stories, with the data looked at each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from sandbox.clock import rfc3339
from tests.sandbox.neon_account import Account, Project, pause

CHILDREN = "cannot delete branch that has children: "


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account."""
    with Account() as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project whose status row says "good"."""
    made = account.project()
    made.sql("CREATE TABLE status (text text)")
    made.sql("INSERT INTO status VALUES ('good')")
    return made


def text(project: Project, branch_id: str | None = None) -> str:
    """The status row of a branch that has a compute."""
    return str(project.sql("SELECT text FROM status", project.uri_of(branch_id or project.main))[0][0])


def write(project: Project, value: str, branch_id: str | None = None) -> None:
    """Changes the status row."""
    project.sql(f"UPDATE status SET text = '{value}'", project.uri_of(branch_id or project.main))


def good_point(project: Project, then: str = "bad") -> str:
    """The instant before the row was overwritten with `then`."""
    instant = project.now()
    pause()
    write(project, then)
    return instant


def tomorrow(account: Account) -> str:
    """An instant within the longest time to live."""
    return rfc3339((account.world.clock.now() + timedelta(days=1)).replace(microsecond=0))


def add_compute(project: Project, branch_id: str) -> None:
    """Gives a branch a compute."""
    project.done("POST", "/endpoints", {"endpoint": {"branch_id": branch_id, "type": "read_write"}})


def test_given_a_root_when_restored_to_the_second_before_then_host_and_id_stay_and_the_old_state_is_kept(
    project: Project,
) -> None:
    point = good_point(project)
    uri, before = project.uri_of(project.main), project.branch(project.main)
    with psycopg.connect(uri, autocommit=True) as session:
        first = project.restore(project.main, source_timestamp=point, preserve_under_name="rollback")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    preserved = project.branches()["rollback"]
    assert first["parent_id"] == preserved["id"]
    assert (first["current_state"], first["pending_state"]) == ("resetting", "ready")
    after = project.branch(project.main)
    assert (after["id"], after["name"], after["default"]) == (before["id"], before["name"], True)
    assert after["last_reset_at"] >= before["created_at"]
    assert after["current_state"] == "ready"
    assert project.uri_of(project.main) == uri
    assert text(project) == "good"
    add_compute(project, preserved["id"])
    assert text(project, preserved["id"]) == "bad"


def test_given_a_restored_root_when_it_is_not_detached_yet_then_the_old_one_cannot_go_but_nothing_is_locked(
    account: Account, project: Project
) -> None:
    account.slow(detach_parent_branch=300)
    try:
        project.restore(project.main, source_timestamp=good_point(project), preserve_under_name="old")
        old = project.branches()["old"]["id"]
        assert project.refused("DELETE", f"/branches/{old}") == (422, "", CHILDREN + project.main)
        detaching = project.ok("GET", "/operations")["operations"][0]
        assert (detaching["action"], detaching["status"]) == ("detach_parent_branch", "running")
        project.create("another")
    finally:
        account.slow(detach_parent_branch=0.1)


def test_given_a_detached_root_when_the_preserved_branch_is_deleted_then_the_data_stays_and_so_does_the_past(
    project: Project,
) -> None:
    first = project.now()
    pause()
    write(project, "second")
    second = good_point(project, "third")
    project.restore(project.main, source_timestamp=second, preserve_under_name="old")
    project.detached(project.main)
    project.done("DELETE", f"/branches/{project.branches()['old']['id']}")
    assert text(project) == "second"
    project.restore(project.main, source_timestamp=first, preserve_under_name="old")
    assert text(project) == "good"


def test_given_children_when_their_parent_is_restored_then_a_name_is_required_and_they_move_to_it(
    project: Project,
) -> None:
    child = project.create("child", compute=True)["id"]
    point = good_point(project)
    source = {"source_branch_id": project.main, "source_timestamp": point}
    assert project.refused("POST", f"/branches/{project.main}/restore", source) == (
        422,
        "",
        "Branch has children, preserve_under_name is required",
    )
    project.restore(project.main, source_timestamp=point, preserve_under_name="old")
    old = project.branches()["old"]["id"]
    assert project.branch(child)["parent_id"] == old
    project.detached(project.main)
    assert project.refused("DELETE", f"/branches/{old}") == (422, "", CHILDREN + child)
    assert text(project, child) == "good"


def test_given_a_backup_when_the_root_is_restored_from_it_then_the_original_root_can_never_be_deleted(
    project: Project,
) -> None:
    backup = project.create("backup-20250113-143000")["id"]
    write(project, "bad")
    refusal = project.refused("POST", f"/branches/{project.main}/restore", {"source_branch_id": backup})
    assert refusal[2] == "Branch has children, preserve_under_name is required"
    project.restore(project.main, backup, preserve_under_name="old")
    old = project.branches()["old"]
    assert "parent_id" not in old
    assert project.branch(backup)["parent_id"] == old["id"]
    assert project.branch(project.main)["parent_id"] == backup
    assert text(project) == "good"
    assert project.refused("DELETE", f"/branches/{old['id']}") == (422, "", CHILDREN + backup)
    assert project.refused("DELETE", f"/branches/{backup}") == (422, "", CHILDREN + project.main)
    operations = project.ok("GET", "/operations")["operations"]
    assert "detach_parent_branch" not in {operation["action"] for operation in operations}


def test_given_a_child_when_reset_from_its_parent_then_it_has_the_parents_head_and_keeps_its_compute(
    project: Project,
) -> None:
    child = project.create("child", compute=True)["id"]
    write(project, "mine", child)
    write(project, "newer")
    uri = project.uri_of(child)
    operations = project.done("POST", f"/branches/{child}/restore", {"source_branch_id": project.main})["operations"]
    assert [operation["action"] for operation in operations] == [
        "suspend_compute",
        "create_branch",
        "start_compute",
        "delete_timeline",
    ]
    assert project.uri_of(child) == uri
    assert text(project, child) == "newer"
    assert project.branch(child)["parent_id"] == project.main
    assert set(project.branches()) == {"main", "child"}


def test_given_a_child_when_restored_from_itself_then_it_stays_a_child_of_what_it_was(project: Project) -> None:
    child = project.create("child", compute=True)["id"]
    write(project, "one", child)
    uri = project.uri_of(child)
    point = project.sql("SELECT pg_current_wal_insert_lsn()::text", uri)[0][0]
    write(project, "two", child)
    project.restore(child, source_lsn=point, preserve_under_name="child-old")
    old = project.branches()["child-old"]
    assert (project.branch(child)["parent_id"], old["parent_id"]) == (old["id"], project.main)
    assert text(project, child) == "one"
    assert project.refused("DELETE", f"/branches/{old['id']}") == (422, "", CHILDREN + child)


def test_given_two_restores_in_a_row_when_the_first_is_still_detaching_then_all_end_as_roots(
    account: Account, project: Project
) -> None:
    account.slow(detach_parent_branch=0.4)
    try:
        first = project.now()
        pause()
        write(project, "two")
        second = good_point(project, "three")
        project.restore(project.main, source_timestamp=second, preserve_under_name="old-1")
        project.restore(project.main, source_timestamp=first, preserve_under_name="old-2")
        assert text(project) == "good"
        for name in ("main", "old-1", "old-2"):
            project.detached(project.branches()[name]["id"])
    finally:
        account.slow(detach_parent_branch=0.1)


def test_given_what_must_not_be_restored_when_asked_for_then_it_is_refused(account: Account, project: Project) -> None:
    point = good_point(project)
    path = f"/branches/{project.main}/restore"
    itself = {"source_branch_id": project.main, "preserve_under_name": "old"}
    assert project.refused("POST", path, itself)[0] == 400
    assert project.refused("POST", path, itself | {"source_timestamp": point, "source_lsn": "0/1"})[0] == 400
    assert project.refused("POST", path, itself | {"source_timestamp": "2999-01-01T00:00:00Z"})[0] == 400
    assert project.refused("POST", path, {"source_branch_id": "br-none-at-all"}) == (404, "", "branch not found")
    expiring = project.create("expiring", expires_at=tomorrow(account))["id"]
    wanted = {"source_branch_id": expiring, "preserve_under_name": "old"}
    assert project.refused("POST", path, wanted)[0] == 422
    taken = itself | {"source_timestamp": point, "preserve_under_name": "expiring"}
    assert project.refused("POST", path, taken)[:2] == (409, "BRANCH_ALREADY_EXISTS")
    project.done("PATCH", f"/branches/{project.main}", {"branch": {"protected": True}})
    status, _, message = project.refused("POST", path, itself | {"source_timestamp": point})
    assert (status, "protected" in message) == (422, True)
    assert project.refused("DELETE", f"/branches/{project.main}")[0] == 422
    assert text(project) == "bad"
    assert set(project.branches()) == {"main", "expiring"}


def test_given_a_restore_that_runs_when_a_client_connects_then_it_waits_and_reads_the_restored_state(
    account: Account, project: Project
) -> None:
    point = good_point(project)
    account.set(restore_ready_seconds=0.5)
    try:
        wanted = {"source_branch_id": project.main, "source_timestamp": point, "preserve_under_name": "old"}
        answer = project.ok("POST", f"/branches/{project.main}/restore", wanted)
        assert project.branch(project.main)["current_state"] == "resetting"
        assert project.sql("SELECT text FROM status") == [("good",)]
        project.wait(answer)
    finally:
        account.set(restore_ready_seconds=0.05)


def test_given_an_idle_compute_when_restored_then_it_stays_idle_and_wakes_on_the_restored_state(
    project: Project,
) -> None:
    point = good_point(project)
    project.done("POST", f"/endpoints/{project.endpoint}/suspend")
    project.restore(project.main, source_timestamp=point, preserve_under_name="old")
    assert project.get_endpoint(project.endpoint)["current_state"] == "idle"
    assert text(project) == "good"


def test_given_the_default_label_when_moved_then_no_host_moves_and_the_old_default_can_be_deleted(
    project: Project,
) -> None:
    hosts = {endpoint["id"]: endpoint["host"] for endpoint in project.ok("GET", "/endpoints")["endpoints"]}
    child = project.create("child")["id"]
    assert project.refused("DELETE", f"/branches/{project.main}")[0] == 422
    answer = project.ok("POST", f"/branches/{child}/set_as_default")
    assert answer["operations"] == []
    assert (answer["branch"]["default"], project.branch(project.main)["default"]) == (True, False)
    assert {endpoint["id"]: endpoint["host"] for endpoint in project.ok("GET", "/endpoints")["endpoints"]} == hosts
    query = {"role_name": project.role, "database_name": project.database}
    assert project.refused("GET", "/connection_uri", **query)[0] == 404
    assert project.refused("DELETE", f"/branches/{project.main}") == (422, "", CHILDREN + child)
    assert project.branch(project.done("POST", "/branches")["branch"]["id"])["parent_id"] == child


def test_given_a_snapshot_when_finalized_onto_the_root_then_the_host_stays_and_the_branch_id_changes(
    project: Project,
) -> None:
    made = project.done("POST", f"/branches/{project.main}/snapshot", name="before 42", slug="before-42")["snapshot"]
    write(project, "bad")
    uri = project.uri_of(project.main)
    wanted = {"target_branch_id": project.main, "finalize_restore": True}
    body = project.done("POST", f"/snapshots/{made['id']}/restore", wanted)
    new = body["branch"]["id"]
    assert new != project.main
    assert body["endpoints"][0]["id"] == project.endpoint
    names = {branch["name"]: branch for branch in project.branches().values()}
    assert names["main"]["id"] == new
    assert names["main (old)"]["id"] == project.main
    assert names["main"]["restored_from"] == made["id"]
    assert names["main"]["restored_as"] == project.main
    assert names["main"]["default"] is True
    assert project.uri_of(new) == uri
    assert project.sql("SELECT text FROM status", uri) == [("good",)]
    # No point-in-time restore on it afterwards; the old root may go.
    assert names["main"]["restricted_actions"][0]["name"] == "restore"
    refused = {"source_branch_id": new, "source_timestamp": project.now(), "preserve_under_name": "x"}
    assert project.refused("POST", f"/branches/{new}/restore", refused) == (
        422,
        "",
        "restore from snapshot on target branch is still ongoing",
    )
    project.done("DELETE", f"/branches/{project.main}")
    assert project.sql("SELECT text FROM status", uri) == [("good",)]


def test_given_a_snapshot_when_restored_as_a_preview_then_it_is_looked_at_and_finalized_later(
    project: Project,
) -> None:
    made = project.done("POST", f"/branches/{project.main}/snapshot")["snapshot"]
    write(project, "bad")
    preview = project.done("POST", f"/snapshots/{made['id']}/restore", {"name": "preview"})["branch"]["id"]
    shown = project.branch(preview)
    assert "parent_id" not in shown
    assert shown["restore_status"] in ("restored", "detaching")
    add_compute(project, preview)
    assert text(project, preview) == "good"
    assert text(project) == "bad"
    project.done("POST", f"/branches/{preview}/finalize_restore", {"name": "replaced"})
    assert project.branches()["replaced"]["id"] == project.main
    assert project.branch(preview)["name"] == "main"
    assert [endpoint["id"] for endpoint in project.ok("GET", "/endpoints")["endpoints"]] == [project.endpoint]
    assert project.sql("SELECT text FROM status") == [("good",)]
    assert project.refused("POST", f"/branches/{preview}/finalize_restore")[0] == 422
    project.wait_until(lambda: project.branch(preview)["restore_status"] == "finalized", "the detaching to end")


def test_given_a_snapshot_when_its_source_or_itself_is_deleted_then_what_was_restored_stays(project: Project) -> None:
    made = project.done("POST", f"/branches/{project.main}/snapshot")["snapshot"]
    assert [item["id"] for item in project.ok("GET", "/snapshots")["snapshots"]] == [made["id"]]
    restored = project.done("POST", f"/snapshots/{made['id']}/restore", {"name": "restored"})["branch"]["id"]
    answer = project.client.request("DELETE", project.path(f"/snapshots/{made['id']}"))
    assert answer.status_code == 202
    project.wait(answer.json())
    assert project.ok("GET", "/snapshots") == {"snapshots": []}
    add_compute(project, restored)
    assert text(project, restored) == "good"


def test_given_a_child_or_a_full_plan_when_a_snapshot_is_asked_for_then_422(account: Account) -> None:
    project = account.project(plan="free")
    child = project.create("child")["id"]
    assert project.refused("POST", f"/branches/{child}/snapshot")[0] == 422
    project.done("POST", f"/branches/{project.main}/snapshot", slug="one")
    assert project.refused("POST", f"/branches/{project.main}/snapshot", slug="one")[0] == 409
    assert project.refused("POST", f"/branches/{project.main}/snapshot")[:2] == (422, "SNAPSHOTS_LIMIT_EXCEEDED")
    body = {"schedule": [{"frequency": "daily"}]}
    assert project.refused("PUT", f"/branches/{project.main}/backup_schedule", body)[0] == 412
