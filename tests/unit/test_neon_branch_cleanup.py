# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_branch_cleanup: a list of branches goes, each read again right before, and what has changed meanwhile stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.plugins.module_utils import _waiter
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal
from ansible_collections.rewind.database.plugins.module_utils._neon.pace import Pace
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import (
    PROJECT,
    P,
    branch,
    call,
    endpoint,
    expect_tree,
    main_branch,
    operation,
)
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, NEON_KEY, FakeClock, Script

Json = dict[str, Any]

OLD = "br-old-leaf-a1a1a1a1"
PARENT = "br-old-stem-b2b2b2b2"
LOCKED = {"code": "", "message": "project already has running conflicting operations, scheduling is prohibited"}
GONE = {"code": "", "message": "branch not found"}


@pytest.fixture(autouse=True)
def _nobody_waits(clock: FakeClock) -> None:
    """The clock moves only when somebody sleeps."""


def item(branch_id: str = OLD, name: str = "backup-1", **more: Any) -> Json:
    return {"id": branch_id, "name": name, **more}


def clean(tmp_path: Path, *items: Json, check_mode: bool = False, **options: Any) -> Json:
    """The module on these branches."""
    usual = {"target": "tracker", "run": "r", "state_dir": str(tmp_path), "coolify_api_url": "https://coolify.example"}
    usual["coolify_access_token"] = COOLIFY_TOKEN
    return call("neon_branch_cleanup", check_mode=check_mode, branches=list(items or [item()]), **usual, **options)


def expect_read(script: Script, branch_id: str = OLD, name: str = "backup-1", **more: Any) -> None:
    script.expect("GET", f"{P}/branches/{branch_id}", {"branch": branch(branch_id, name, **more)})


def expect_deletion(script: Script, branch_id: str = OLD, name: str = "backup-1") -> None:
    expect_read(script, branch_id, name)
    done = {"branch": branch(branch_id, name), "operations": [operation(f"op-{branch_id}", "delete_timeline")]}
    script.expect("DELETE", f"{P}/branches/{branch_id}", done)


def expect_computes(script: Script, *computes: Json) -> None:
    script.expect("GET", f"{P}/endpoints", {"endpoints": list(computes)})


def expect_end(script: Script, *ids: str, left: list[Json] | None = None) -> None:
    """The two requests at the end: the outcome of all operations, and what is left."""
    listed = [operation(f"op-{branch_id}", "delete_timeline") for branch_id in ids]
    script.expect("GET", f"{P}/operations", {"operations": listed}, query={"limit": "1000"})
    script.expect("GET", f"{P}/branches", {"branches": [main_branch(), *(left or [])], "pagination": {}})


def catalogue(tmp_path: Path) -> list[Json]:
    path = tmp_path / "catalogue.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stayed(result: Json) -> list[tuple[str, str]]:
    assert not result.get("failed"), result
    return [(entry["name"], entry["code"]) for entry in result["kept"]]


def test_each_is_read_again_and_deleted_in_the_order_given(script: Script, tmp_path: Path) -> None:
    """Given a leaf and its parent, then two requests for each, three for all, and a line in the catalogue for each."""
    expect_computes(script)
    expect_deletion(script)
    expect_deletion(script, PARENT, "backup-0")
    expect_end(script, OLD, PARENT)
    result = clean(tmp_path, item(), item(PARENT, "backup-0"))
    assert result["changed"] and [entry["name"] for entry in result["deleted"]] == ["backup-1", "backup-0"]
    assert result["kept"] == [] and result["diff"]["before"]["branches"] == ["backup-1", "backup-0"]
    noted = [(line["event"], line["branch_id"], line["target"], line["run"]) for line in catalogue(tmp_path)]
    assert noted == [("deleted", OLD, "tracker", "r"), ("deleted", PARENT, "tracker", "r")]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("default", {"default": True}),
        ("protected", {"protected": True}),
        ("restored", {"last_reset_at": "2025-01-13T14:00:00Z"}),
        ("not_ready", {"current_state": "resetting"}),
        ("not_ready", {"restore_status": "detaching"}),
    ],
)
def test_what_changed_since_it_was_judged_stays(script: Script, tmp_path: Path, code: str, change: Json) -> None:
    """Given a branch that is not what it was any more, then no deletion is asked for."""
    expect_computes(script)
    expect_read(script, **change)
    result = clean(tmp_path)
    assert stayed(result) == [("backup-1", code)] and not result["changed"]
    assert script.writes() == [] and catalogue(tmp_path) == []


def test_one_that_was_renamed_stays(script: Script, tmp_path: Path) -> None:
    """Given another name, then somebody uses it for something else by now."""
    expect_computes(script)
    expect_read(script, name="production-20250113")
    assert stayed(clean(tmp_path)) == [("backup-1", "renamed")]


def test_one_that_neon_has_expired_meanwhile_is_no_error(script: Script, tmp_path: Path) -> None:
    """Given a branch that is gone at the reading, or between reading and deletion, then the next one follows."""
    expect_computes(script)
    script.expect("GET", f"{P}/branches/{OLD}", GONE, status=404)
    expect_read(script, PARENT, "backup-0")
    script.expect("DELETE", f"{P}/branches/{PARENT}", status=204)
    result = clean(tmp_path, item(), item(PARENT, "backup-0"))
    assert stayed(result) == [("backup-1", "gone"), ("backup-0", "gone")] and not result["changed"]


def test_one_with_a_new_or_running_compute_stays(script: Script, tmp_path: Path) -> None:
    """Given a compute that was not there, and one that runs, then both branches stay, and neither is even read."""
    running = endpoint("ep-2", PARENT, current_state="active")
    expect_computes(script, endpoint("ep-1", OLD), running)
    result = clean(tmp_path, item(), item(PARENT, "backup-0", endpoint_ids=["ep-2"]))
    assert stayed(result) == [("backup-1", "compute_added"), ("backup-0", "compute_active")]


def coolify(script: Script, value: str | None, **row: Any) -> None:
    """One application with one row; no service, and a version that lists no shared rows."""
    script.expect("GET", "/applications", [{"uuid": "u1", "name": "shop"}])
    content = {} if value is None else {"value": value}
    script.expect("GET", "/applications/u1/envs", [{"uuid": "e1", "key": "DATABASE_URL", **content, **row}])
    script.expect("GET", "/services", [])
    script.expect("GET", "/version", "4.2.0")


def test_before_a_branch_with_a_compute_goes_coolify_is_asked_once_more(script: Script, tmp_path: Path) -> None:
    """Given an application that points to it by now, then it stays; a second such branch asks nothing again."""
    mine, other = endpoint("ep-1", OLD), endpoint("ep-2", PARENT)
    expect_computes(script, mine, other)
    coolify(script, f"postgresql://u:p@{mine['host'].replace('ep-1', 'ep-1-pooler')}/d")
    expect_deletion(script, PARENT, "backup-0")
    expect_end(script, PARENT)
    result = clean(tmp_path, item(endpoint_ids=["ep-1"]), item(PARENT, "backup-0", endpoint_ids=["ep-2"]))
    assert stayed(result) == [("backup-1", "in_use")]
    assert "application shop (DATABASE_URL)" in result["kept"][0]["reason"]
    assert [entry["name"] for entry in result["deleted"]] == ["backup-0"]


def test_every_coolify_is_asked_once_more_and_not_only_the_tasks_own(script: Script, tmp_path: Path) -> None:
    """Given another Coolify whose application points to it by now, then it stays; so it does while that one is mute."""
    mine, other = endpoint("ep-1", OLD), [{"coolify_access_token": "2|other-team-0123456789abcdef"}]
    expect_computes(script, mine)
    coolify(script, "postgresql://u:p@elsewhere.example/d")
    coolify(script, f"postgresql://u:p@{mine['host']}/d")
    asked = item(endpoint_ids=["ep-1"])
    assert stayed(clean(tmp_path, asked, other_coolifies=other)) == [("backup-1", "in_use")]
    expect_computes(script, mine)
    coolify(script, "postgresql://u:p@elsewhere.example/d")
    script.expect("GET", "/applications", {"message": "Unauthenticated."}, status=401)
    assert stayed(clean(tmp_path, asked, other_coolifies=other)) == [("backup-1", "unreadable")]
    assert script.writes() == []


def test_while_a_row_cannot_be_read_a_branch_with_a_compute_stays(script: Script, tmp_path: Path) -> None:
    """Given a locked row, or no Coolify that answers, then it is not known who uses the compute."""
    expect_computes(script, endpoint("ep-1", OLD))
    coolify(script, None, is_shown_once=True)
    assert stayed(clean(tmp_path, item(endpoint_ids=["ep-1"]))) == [("backup-1", "unreadable")]
    expect_computes(script, endpoint("ep-1", OLD))
    script.expect("GET", "/applications", {"message": "Unauthenticated."}, status=401)
    assert stayed(clean(tmp_path, item(endpoint_ids=["ep-1"]))) == [("backup-1", "unreadable")]


def test_while_neon_is_busy_it_waits_and_reads_again(script: Script, tmp_path: Path) -> None:
    """Given a lock, then the branch is read once more before the second try."""
    expect_computes(script)
    expect_read(script)
    script.expect("DELETE", f"{P}/branches/{OLD}", LOCKED, status=423)
    expect_read(script, protected=True)
    assert stayed(clean(tmp_path)) == [("backup-1", "protected")]


def test_a_lock_that_does_not_end_ends_the_wait_for_this_one(script: Script, tmp_path: Path) -> None:
    """Given a lock for longer than the timeout, then the branch stays and the next one is tried."""
    expect_computes(script)
    for _ in range(2):
        expect_read(script)
        script.expect("DELETE", f"{P}/branches/{OLD}", LOCKED, status=423)
    expect_deletion(script, PARENT, "backup-0")
    expect_end(script, PARENT)
    result = clean(tmp_path, item(), item(PARENT, "backup-0"), wait_timeout=0.03125)
    assert stayed(result) == [("backup-1", "locked")] and len(result["deleted"]) == 1


def test_one_that_has_got_a_child_meanwhile_stays(script: Script, tmp_path: Path) -> None:
    """Given Neon's refusal because of a child, then the others still go."""
    expect_computes(script)
    expect_read(script)
    refusal = {"code": "", "message": "cannot delete branch that has children: br-x"}
    script.expect("DELETE", f"{P}/branches/{OLD}", refusal, status=422)
    expect_deletion(script, PARENT, "backup-0")
    expect_end(script, PARENT)
    assert stayed(clean(tmp_path, item(), item(PARENT, "backup-0"))) == [("backup-1", "branch_has_children")]


def test_a_child_that_is_being_detached_is_waited_for_before_anything_is_asked(script: Script, tmp_path: Path) -> None:
    """Given a child that becomes a root, then the deletion is sent only when it is one."""
    for parent in (OLD, OLD, None):
        script.expect("GET", f"{P}/branches/{main_branch()['id']}", {"branch": main_branch(parent_id=parent)})
    expect_computes(script)
    expect_deletion(script)
    expect_end(script, OLD)
    assert clean(tmp_path, item(waits_for=[main_branch()["id"]]))["changed"]
    for _ in range(2):
        script.expect("GET", f"{P}/branches/{main_branch()['id']}", {"branch": main_branch(parent_id=OLD)})
    result = clean(tmp_path, item(waits_for=[main_branch()["id"]]), wait_timeout=0.03125)
    assert stayed(result) == [("backup-1", "detaching")]


def test_a_lost_answer_is_read_back_and_never_sent_again(script: Script, tmp_path: Path) -> None:
    """Given a deletion without an answer, then the branch being gone counts as done, its being there as unknown."""
    expect_computes(script)
    expect_read(script)
    script.expect("DELETE", f"{P}/branches/{OLD}", httpx.ReadTimeout("lost"))
    script.expect("GET", f"{P}/branches/{OLD}", GONE, status=404)
    script.expect("GET", f"{P}/branches", {"branches": [main_branch()], "pagination": {}})
    assert [entry["id"] for entry in clean(tmp_path)["deleted"]] == [OLD]
    expect_computes(script)
    expect_read(script)
    script.expect("DELETE", f"{P}/branches/{OLD}", httpx.ReadTimeout("lost"))
    for _ in range(2):
        expect_read(script)
    assert stayed(clean(tmp_path, wait_timeout=0.03125)) == [("backup-1", "unknown")]
    assert len(script.writes()) == 2


def test_an_error_that_concerns_all_ends_it_and_says_how_far_it_came(script: Script, tmp_path: Path) -> None:
    """Given a token that is revoked half way, then the task fails with what was deleted, which is in the catalogue."""
    expect_computes(script)
    expect_deletion(script)
    script.expect("GET", f"{P}/branches/{PARENT}", {"code": "", "message": "invalid key"}, status=401)
    result = clean(tmp_path, item(), item(PARENT, "backup-0"))
    assert result["failed"] and [entry["id"] for entry in result["partial"]["deleted"]] == [OLD]
    assert [line["branch_id"] for line in catalogue(tmp_path)] == [OLD]


def test_what_neon_accepted_and_did_not_do_is_told(script: Script, tmp_path: Path) -> None:
    """Given a branch that is still listed at the end, then it does not count as deleted."""
    expect_computes(script)
    expect_deletion(script)
    expect_end(script, OLD, left=[branch(OLD, "backup-1")])
    result = clean(tmp_path)
    assert stayed(result) == [("backup-1", "still_there")] and not result["changed"]


def test_an_operation_that_fails_fails_the_task(script: Script, tmp_path: Path) -> None:
    """Given a deletion whose operation is cancelled, then it is among the operations that failed."""
    expect_computes(script)
    expect_deletion(script)
    cancelled = operation(f"op-{OLD}", "delete_timeline", "cancelled")
    script.expect("GET", f"{P}/operations", {"operations": [cancelled]})
    script.expect("GET", f"{P}/branches", {"branches": [main_branch()], "pagination": {}})
    assert [entry["status"] for entry in clean(tmp_path)["operations"]] == ["cancelled"]


def test_check_mode_predicts_from_one_reading(script: Script, tmp_path: Path) -> None:
    """Given check mode, then two reads for any number of branches, the same comparison, and nothing is written."""
    expect_tree(script, [main_branch(), branch(OLD, "backup-1"), branch(PARENT, "backup-0", protected=True)])
    result = clean(tmp_path, item(), item(PARENT, "backup-0"), item("br-no-one-00000000", "x"), check_mode=True)
    assert result["changed"] and [entry["name"] for entry in result["deleted"]] == ["backup-1"]
    assert stayed(result) == [("backup-0", "protected"), ("x", "gone")]
    assert script.writes() == [] and catalogue(tmp_path) == []


def test_an_empty_list_asks_nothing(script: Script, tmp_path: Path) -> None:
    """Given nothing to delete, then no request at all."""
    result = call("neon_branch_cleanup", branches=[], target="tracker", state_dir=str(tmp_path))
    assert result["changed"] is False and result["deleted"] == [] and script.requests == []


def snapshot(snapshot_id: str = "snap-1", name: str = "snapshot-1", **more: Any) -> Json:
    return {"id": snapshot_id, "name": name, "created_at": "2025-01-01T00:00:00Z", "manual": True, **more}


def expect_shelf(script: Script, *listed: Json) -> None:
    script.expect("GET", f"{P}/snapshots", {"snapshots": list(listed)})


def expect_snapshot_deletion(script: Script, snapshot_id: str, *listed: Json) -> None:
    expect_shelf(script, *listed)
    done = operation(f"op-{snapshot_id}", "delete_timeline", "finished")
    script.expect("DELETE", f"{P}/snapshots/{snapshot_id}", {"operations": [done]}, status=202)


def clean_snapshots(tmp_path: Path, *items: Json, **options: Any) -> Json:
    usual: Json = {"branches": [], "snapshots": list(items), "target": "tracker", "run": "r"}
    return call("neon_branch_cleanup", **usual, state_dir=str(tmp_path), **options)


def test_snapshots_go_each_read_again_right_before(script: Script, tmp_path: Path) -> None:
    """Given two snapshots, then the list is read before each deletion, and both stand in the catalogue."""
    expect_snapshot_deletion(script, "snap-1", snapshot(), snapshot("snap-2", "snapshot-2"))
    expect_snapshot_deletion(script, "snap-2", snapshot("snap-2", "snapshot-2"))
    result = clean_snapshots(tmp_path, item("snap-1", "snapshot-1"), item("snap-2", "snapshot-2"))
    assert result["changed"] and result["deleted"] == [] and result["kept"] == []
    assert [entry["id"] for entry in result["deleted_snapshots"]] == ["snap-1", "snap-2"]
    assert result["diff"]["before"]["snapshots"] == ["snapshot-1", "snapshot-2"]
    noted = [(line["event"], line["snapshot_id"], line["run"]) for line in catalogue(tmp_path)]
    assert noted == [("deleted", "snap-1", "r"), ("deleted", "snap-2", "r")]


@pytest.mark.parametrize(
    ("code", "listed"),
    [
        ("gone", []),
        ("renamed", [snapshot(name="evidence")]),
        ("expiry_changed", [snapshot(expires_at="2025-03-01T00:00:00Z")]),
    ],
)
def test_a_snapshot_that_is_not_what_it_was_stays(
    script: Script, tmp_path: Path, code: str, listed: list[Json]
) -> None:
    """Given one that somebody has changed or deleted meanwhile, then no deletion is asked for, with a check neither."""
    for check_mode in (False, True):
        expect_shelf(script, *listed)
        result = clean_snapshots(tmp_path, item("snap-1", "snapshot-1"), check_mode=check_mode)
        assert stayed(result) == [("snapshot-1", code)] and not result["changed"]
    assert script.writes() == [] and catalogue(tmp_path) == []


def test_a_snapshot_that_neon_does_not_delete_stays_and_the_next_one_goes(script: Script, tmp_path: Path) -> None:
    """Given a refusal of the one, then its text is the reason; given a bad key, then the task fails and says so far."""
    both = [snapshot(), snapshot("snap-2", "snapshot-2")]
    expect_shelf(script, *both)
    refusal = {"code": "", "message": "snapshot is being restored"}
    script.expect("DELETE", f"{P}/snapshots/snap-1", refusal, status=422)
    expect_snapshot_deletion(script, "snap-2", *both)
    result = clean_snapshots(tmp_path, item("snap-1", "snapshot-1"), item("snap-2", "snapshot-2"))
    assert stayed(result) == [("snapshot-1", "refused")] and "being restored" in result["kept"][0]["reason"]
    expect_snapshot_deletion(script, "snap-1", *both)
    expect_shelf(script, *both)
    script.expect("DELETE", f"{P}/snapshots/snap-2", {"message": "no"}, status=401)
    failed = clean_snapshots(tmp_path, item("snap-1", "snapshot-1"), item("snap-2", "snapshot-2"))
    assert failed["failed"] and [entry["id"] for entry in failed["partial"]["deleted_snapshots"]] == ["snap-1"]


def test_after_a_lost_answer_the_snapshots_are_read_back(script: Script, tmp_path: Path) -> None:
    """Given a deletion without an answer, then it counts as done only where the snapshot has gone."""
    expect_shelf(script, snapshot())
    script.expect("DELETE", f"{P}/snapshots/snap-1", httpx.ReadTimeout("lost"))
    expect_shelf(script)
    result = clean_snapshots(tmp_path, item("snap-1", "snapshot-1"))
    assert [entry["id"] for entry in result["deleted_snapshots"]] == ["snap-1"]


def test_the_journal_knows_the_list_before_and_the_outcome_after(script: Script, tmp_path: Path) -> None:
    """Given a run's journal, then the intent is in it with its ids, and what was deleted."""
    book = Journal(tmp_path, "tracker")
    run = book.start("cleanup", {}).id
    expect_computes(script)
    expect_deletion(script)
    expect_end(script, OLD)
    clean(tmp_path, journal={"run": run, "step": "delete_branches", "ids": {"branches": [OLD]}})
    phases = [entry for entry in book.read(run).entries if entry["step"] == "delete_branches"]
    assert [entry["phase"] for entry in phases] == ["intent", "done"]
    assert phases[0]["ids"] == {"branches": [OLD]} and phases[1]["data"]["deleted"] == [OLD]


def test_the_time_that_a_deletion_takes_is_learned_from_refusals(clock: FakeClock) -> None:
    """Given a service that takes half a second for each write, then after a while hardly any try is refused."""
    pace, deadline = Pace(), _waiter.Deadline(None)
    free, refused, began = 0.0, 0, clock.now
    for _ in range(300):
        while True:
            pace.wait(deadline)
            if clock.now >= free:
                break
            refused += 1
            pace.refused()
        pace.accepted()
        free = clock.now + 0.5
    assert refused < 40, "fewer requests than one look at each operation"
    assert clock.now - began < 300 * 0.5 * 1.25, "and hardly more time than Neon itself takes"


def test_somebody_elses_long_operation_teaches_nothing(clock: FakeClock) -> None:
    """Given one lock of a minute, then the deletions after it are not a minute apart."""
    pace, deadline = Pace(), _waiter.Deadline(None)
    pace.accepted()
    free = clock.now + 60
    while clock.now < free:
        pace.refused()
        pace.wait(deadline)
    pace.accepted()
    assert pace.seconds < 1


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, tmp_path: Path) -> None:
    """Given a branch that stays, when it is tried in the controller's process and as a module, then results agree."""
    base = f"/api/v2/projects/{PROJECT}"
    stub_server.answer("GET", f"{base}/endpoints", {"endpoints": []})
    stub_server.answer("GET", f"{base}/branches/{OLD}", {"branch": branch(OLD, "backup-1", protected=True)})
    options: Json = {"neon_api_url": f"{stub_server.url}/api/v2", "neon_api_key": NEON_KEY, "project_id": PROJECT}
    options |= {"branches": [item()], "target": "tracker", "state_dir": str(tmp_path / "state")}
    result = both_ways.same("neon_branch_cleanup", options)
    assert stayed(result) == [("backup-1", "protected")]
