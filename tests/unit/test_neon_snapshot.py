# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_snapshot: made once of a root, found by name, restored beside the primary, and put in its place by two steps."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import (
    MAIN,
    NEW,
    OTHER,
    POINT,
    PROJECT,
    P,
    branch,
    call,
    endpoint,
    expect_tree,
    main_branch,
    operation,
)
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script

Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("clock")

NAME = "snapshot-20250113-142500"
ID = "snap-calm-sea-a1b2c3d4"
RESTORE = "restore-20250113-142500"
ROLLBACK = "rollback-20250113-150000"
DATE = {"Date": "Mon, 13 Jan 2025 15:00:00 GMT"}
COMPUTE = endpoint("ep-cool-frost-a1b2c3d4", MAIN)


def snapshot(**more: Any) -> Json:
    return {
        "id": ID,
        "name": NAME,
        "created_at": "2025-01-13T15:00:00Z",
        "source_branch_id": MAIN,
        "timestamp": POINT,
        "lsn": "0/1A2B3C4",
        "manual": True,
        **more,
    }


AWAITING = branch(NEW, RESTORE, restored_from=ID, restore_status="restored")
FINAL = {**AWAITING, "name": "main", "default": True, "restored_as": MAIN, "restore_status": "finalized"}
REPLACED = main_branch(name=ROLLBACK, default=False)


def shelf(script: Script, *snapshots: Json) -> None:
    script.expect("GET", f"{P}/snapshots", {"snapshots": list(snapshots)}, headers=DATE)


def plan(script: Script, name: str = "launch_v3") -> None:
    script.expect("GET", P, {"project": {"id": PROJECT, "owner": {"subscription_type": name}}})


def present(*, check_mode: bool = False, **options: Any) -> Json:
    return call("neon_snapshot", check_mode=check_mode, **{"name": NAME, "branch": "main", **options})


def restored(*, check_mode: bool = False, **options: Any) -> Json:
    given = {"snapshot_id": ID, "state": "restored", "restore_as": RESTORE, **options}
    return call("neon_snapshot", check_mode=check_mode, **given)


def finalized(*, check_mode: bool = False, **options: Any) -> Json:
    given = {
        "snapshot_id": ID,
        "state": "finalized",
        "restore_as": RESTORE,
        "target_branch_id": MAIN,
        "replaced_name": ROLLBACK,
        **options,
    }
    return call("neon_snapshot", check_mode=check_mode, **given)


# Making one


def test_a_snapshot_of_a_root_at_an_instant_is_made_and_waited_for(script: Script) -> None:
    """Given a root, then one write whose parameters are in the query, its operations are waited for, and it is read."""
    shelf(script)
    expect_tree(script, [main_branch()])
    plan(script)
    query = {"name": NAME, "timestamp": POINT, "lsn": None, "expires_at": "2025-03-01T00:00:00Z"}
    reply = {"snapshot": snapshot(), "operations": [operation("o1", "create_branch", "running", branch_id=MAIN)]}
    script.expect("POST", f"{P}/branches/{MAIN}/snapshot", reply, query=query, json=None)
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch")})
    shelf(script, snapshot(expires_at="2025-03-01T00:00:00Z"))
    result = present(timestamp="2025-01-13 15:25:00 +01:00", expires_at="2025-03-01T00:00:00.9Z")
    assert result["changed"] is True and "failed" not in result, result
    assert result["snapshot"]["id"] == ID and result["snapshot"]["expires_at"] == "2025-03-01T00:00:00Z"
    assert result["diff"] == {"before": {}, "after": result["snapshot"]}
    assert [item["status"] for item in result["operations"]] == ["finished"]
    assert (result["branch"], result["replaced_branch"]) == (None, None)


@pytest.mark.parametrize("asked", [{}, {"timestamp": POINT}, {"lsn": "0/01A2B3C4"}, {"branch": MAIN}])
def test_a_second_run_finds_it(script: Script, asked: Json) -> None:
    """Given the snapshot of that branch and instant, then nothing is sent."""
    shelf(script, snapshot())
    if asked.get("branch") != MAIN:
        script.expect("GET", f"{P}/branches", {"branches": [main_branch()], "pagination": {}})
        script.expect("GET", f"{P}/endpoints", {"endpoints": []})
    result = present(**asked)
    assert result["changed"] is False and result["snapshot"]["id"] == ID, result


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"timestamp": "2025-01-13T14:25:01Z"}, "it is of 2025-01-13T14:25:00Z"),
        ({"lsn": "0/2"}, "it is of 0/1A2B3C4"),
        ({"branch": OTHER}, f"made of branch {MAIN}"),
    ],
)
def test_a_snapshot_of_that_name_from_elsewhere_is_an_error(script: Script, asked: Json, words: str) -> None:
    """Given a snapshot of the name with another point or branch, then both origins are named and nothing is made."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), branch(OTHER, "other")])
    result = present(**asked)
    assert result["error"]["code"] == "other_origin" and words in result["msg"], result["msg"]


def test_a_point_that_neon_does_not_tell_is_taken_on_trust_with_a_warning(script: Script) -> None:
    """Given a snapshot whose answer holds no LSN, then it is found, and the result says what was not proven."""
    shelf(script, snapshot(lsn=None))
    result = present(lsn="0/2", branch=MAIN)
    assert result["changed"] is False and "does not say at which point" in result["warnings"][0]


def test_two_snapshots_of_one_name_are_told_apart_by_their_ids_only(script: Script) -> None:
    """Given a name twice, then the task lists both ids and stops; by id it works."""
    twin = snapshot(id="snap-twin")
    for state in ("present", "absent"):
        shelf(script, snapshot(), twin)
        result = call("neon_snapshot", name=NAME, state=state)
        assert result["error"]["code"] == "ambiguous_name" and ID in result["msg"] and "snap-twin" in result["msg"]
    shelf(script, snapshot(), twin)
    assert call("neon_snapshot", snapshot_id="snap-twin")["snapshot"]["id"] == "snap-twin"


def test_a_child_has_no_snapshots(script: Script) -> None:
    """Given a child, then it is refused before anything is sent, in check mode too."""
    for check_mode in (False, True):
        shelf(script)
        expect_tree(script, [main_branch(), branch(OTHER, "child", parent_id=MAIN)])
        plan(script)
        script.expect("GET", f"{P}/operations", {"operations": []})
        result = present(branch="child", check_mode=check_mode)
        assert result["error"]["code"] == "not_root" and "root branches only" in result["msg"]
    assert script.writes() == []


def test_a_root_that_is_still_being_detached_is_waited_for(script: Script) -> None:
    """Given a primary right after an in-place restore, then its detaching is waited out before the snapshot."""
    shelf(script)
    expect_tree(script, [main_branch(parent_id=OTHER), branch(OTHER, "old")])
    plan(script)
    detaching = operation("o9", "detach_parent_branch", "running", branch_id=MAIN)
    script.expect("GET", f"{P}/operations", {"operations": [detaching]})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": main_branch(parent_id=OTHER)})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": main_branch()})
    script.expect("POST", f"{P}/branches/{MAIN}/snapshot", {"snapshot": snapshot(), "operations": []})
    shelf(script, snapshot())
    assert present()["changed"] is True


def test_the_plans_one_manual_snapshot_is_a_reason_before_anything_is_sent(script: Script) -> None:
    """Given a Free project with its manual snapshot taken, then its name is said; a scheduled one does not count."""
    for check_mode in (False, True):
        shelf(script, snapshot(name="kept"))
        expect_tree(script, [main_branch()])
        plan(script, "free_v2")
        result = present(check_mode=check_mode)
        assert result["error"]["code"] == "snapshots_limit_exceeded" and "(kept)" in result["msg"], result["msg"]
    shelf(script, snapshot(name="daily", manual=False))
    expect_tree(script, [main_branch()])
    plan(script, "free_v2")
    assert present(check_mode=True)["changed"] is True
    assert script.writes() == []


def test_neons_own_refusals_are_explained(script: Script) -> None:
    """Given a limit that only Neon knows, or a point before the window, then the code and what to do."""
    window = 'timestamp is before retention window; timestamp:"2025-01-01", retention_window:"6h0m0s"'
    for status, body, code in (
        (422, {"code": "SNAPSHOTS_LIMIT_EXCEEDED", "message": "too many"}, "snapshots_limit_exceeded"),
        (400, {"code": "", "message": window}, "before_history_window"),
    ):
        shelf(script)
        expect_tree(script, [main_branch()])
        plan(script, "unknown")
        script.expect("POST", f"{P}/branches/{MAIN}/snapshot", body, status=status)
        assert present()["error"]["code"] == code


def test_a_lost_answer_is_read_back_by_the_name(script: Script) -> None:
    """Given a snapshot whose answer is lost, then a new one of that name proves it, and nothing is sent twice."""
    old = snapshot(id="snap-old", name="other")
    shelf(script, old)
    expect_tree(script, [main_branch()])
    plan(script)
    script.expect("POST", f"{P}/branches/{MAIN}/snapshot", httpx.ReadTimeout("lost"))
    shelf(script, old)
    shelf(script, old, snapshot())
    script.expect("GET", f"{P}/operations", {"operations": []})
    shelf(script, old, snapshot())
    assert present()["changed"] is True and len(script.writes()) == 1


def test_a_snapshot_that_never_arrived_is_an_unknown_outcome(script: Script) -> None:
    """Given a lost answer and no such snapshot, then the error says so and that the task may be run again."""
    shelf(script)
    expect_tree(script, [main_branch()])
    plan(script)
    script.expect("POST", f"{P}/branches/{MAIN}/snapshot", httpx.ReadTimeout("lost"))
    for _ in range(60):
        shelf(script)
    result = present()
    assert result["error"]["code"] == "unknown_outcome" and result["error"]["retryable"] and "not made" in result["msg"]
    del script.calls[len(script.requests) :]


def test_check_mode_predicts_the_snapshot(script: Script) -> None:
    """Given check mode, then the usual shape with a predicted id, also of a branch that does not exist yet."""
    shelf(script)
    expect_tree(script, [main_branch()])
    plan(script)
    result = present(check_mode=True, timestamp=POINT)
    assert result["changed"] and result["snapshot"]["id"] == f"predicted:snapshot/{NAME}"
    assert result["snapshot"]["source_branch_id"] == MAIN and result["snapshot"]["timestamp"] == POINT
    shelf(script)
    assert present(check_mode=True, branch="predicted:branch/x")["snapshot"]["source_branch_id"] == "predicted:branch/x"
    again = call("neon_snapshot", snapshot_id=f"predicted:snapshot/{NAME}", new_name="n", check_mode=True)
    assert again["snapshot"]["id"] == "predicted:snapshot/n"
    assert call("neon_snapshot", snapshot_id=f"predicted:snapshot/{NAME}")["error"]["code"] == "predicted_id"
    assert script.writes() == []


# Changing and removing one


def test_expiry_and_name_are_changed_once(script: Script) -> None:
    """Given an expiry and another name wanted, then one PATCH, read back; the renamed one is found the next time."""
    after = snapshot(name="kept", expires_at=None)
    shelf(script, snapshot(expires_at="2025-02-01T00:00:00Z"))
    body = {"snapshot": {"name": "kept", "expires_at": None}}
    script.expect("PATCH", f"{P}/snapshots/{ID}", {"snapshot": after}, json=body)
    shelf(script, after)
    options: Json = {"name": NAME, "new_name": "kept", "expires_at": "never"}
    result = call("neon_snapshot", **options)
    assert result["changed"] and result["diff"]["before"]["expires_at"] == "2025-02-01T00:00:00Z"
    shelf(script, after)
    assert call("neon_snapshot", **options)["changed"] is False
    shelf(script, snapshot())
    predicted = call("neon_snapshot", check_mode=True, **options)
    assert predicted["changed"] and predicted["snapshot"]["name"] == "kept"


def test_a_change_that_neon_did_not_make_is_an_error_and_a_lost_one_is_read_back(script: Script) -> None:
    """Given an expiry that does not show afterwards, then an error; given a lost answer and it shows, success."""
    wanted = "2025-02-01T00:00:00Z"
    shelf(script, snapshot())
    script.expect("PATCH", f"{P}/snapshots/{ID}", {"snapshot": snapshot()})
    shelf(script, snapshot())
    assert call("neon_snapshot", name=NAME, expires_at=wanted)["error"]["code"] == "not_applied"
    shelf(script, snapshot())
    script.expect("PATCH", f"{P}/snapshots/{ID}", httpx.ReadTimeout("lost"))
    for _ in range(2):
        shelf(script, snapshot(expires_at=wanted))
    assert call("neon_snapshot", name=NAME, expires_at=wanted)["changed"] is True
    shelf(script, snapshot())
    past = call("neon_snapshot", name=NAME, expires_at="2025-01-01T00:00:00Z")
    assert past["error"]["code"] == "expiry_not_allowed"


def test_a_snapshot_is_removed_once(script: Script) -> None:
    """Given a snapshot, then one DELETE whose operations are waited for; a missing one is no change."""
    shelf(script, snapshot())
    reply = {"operations": [operation("o1", "delete_timeline", "running")]}
    script.expect("DELETE", f"{P}/snapshots/{ID}", reply, status=202)
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "delete_timeline")})
    shelf(script)
    result = call("neon_snapshot", name=NAME, state="absent")
    assert result["changed"] and result["snapshot"] is None and result["diff"]["before"]["id"] == ID
    shelf(script)
    assert call("neon_snapshot", name=NAME, state="absent")["changed"] is False
    shelf(script, snapshot())
    assert call("neon_snapshot", name=NAME, state="absent", check_mode=True)["changed"] is True
    shelf(script, snapshot())
    script.expect("DELETE", f"{P}/snapshots/{ID}", httpx.ReadTimeout("lost"))
    shelf(script)
    assert call("neon_snapshot", snapshot_id=ID, state="absent")["changed"] is True
    shelf(script, snapshot())
    script.expect("DELETE", f"{P}/snapshots/{ID}", {"message": "snapshot not found"}, status=404)
    shelf(script)
    assert call("neon_snapshot", snapshot_id=ID, state="absent")["changed"] is True
    assert call("neon_snapshot", snapshot_id="predicted:snapshot/x", state="absent", check_mode=True)["changed"] is True


# Restoring one


def test_a_snapshot_is_restored_beside_the_primary(script: Script) -> None:
    """Given a snapshot, then one write that names the target, the new root is waited for and read back."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch()], [COMPUTE])
    plan(script)
    body = {"name": RESTORE, "finalize_restore": False, "target_branch_id": MAIN}
    reply = {"branch": {**AWAITING, "current_state": "init"}, "operations": [operation("o1", "create_branch")]}
    script.expect("POST", f"{P}/snapshots/{ID}/restore", reply, json=body)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": {**AWAITING, "current_state": "init"}})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": {**AWAITING, "restore_status": "detaching"}})
    expect_tree(script, [main_branch(), AWAITING], [COMPUTE])
    result = restored()
    assert result["changed"] and result["branch"]["id"] == NEW and result["branch"]["parent_id"] is None, result
    assert result["branch"]["restored_from"] == ID and result["snapshot"]["id"] == ID
    assert result["replaced_branch"] is None


@pytest.mark.parametrize("status", ["restored", "detaching"])
def test_a_second_restore_finds_the_first_one(script: Script, status: str) -> None:
    """Given the branch of that name from this snapshot, then nothing is sent."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), {**AWAITING, "restore_status": status}])
    result = restored()
    assert result["changed"] is False and result["branch"]["id"] == NEW


def test_a_restore_that_was_killed_while_it_waited_is_waited_for(script: Script) -> None:
    """Given the branch still on its way, then its operations and its being ready are waited for."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), {**AWAITING, "current_state": "init"}])
    script.expect("GET", f"{P}/operations", {"operations": [operation("o1", "create_branch", "running")]})
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch")})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": AWAITING})
    expect_tree(script, [main_branch(), AWAITING])
    result = restored()
    assert result["changed"] is False and result["branch"]["current_state"] == "ready"


def test_a_restore_after_its_finalizing_changes_nothing(script: Script) -> None:
    """Given the branch in the target's place already, then both states say that it is done: a second run is safe."""
    for run in (restored, finalized):
        shelf(script, snapshot())
        expect_tree(script, [REPLACED, FINAL], [{**COMPUTE, "branch_id": NEW}])
        result = run()
        assert result["changed"] is False and result["branch"]["id"] == NEW, result
        assert result["replaced_branch"]["name"] == ROLLBACK
    expect_tree(script, [FINAL])
    result = finalized(snapshot_id=None)
    assert result["changed"] is False and result["replaced_branch"] is None, "the old root may have been deleted"


def test_a_target_that_another_snapshot_replaced_is_refused(script: Script) -> None:
    """Given the snapshot's source replaced from elsewhere, then the branch to name instead is said."""
    shelf(script, snapshot(id="snap-second"))
    expect_tree(script, [REPLACED, FINAL])
    result = restored(snapshot_id="snap-second")
    assert result["error"]["code"] == "target_replaced" and NEW in result["msg"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (branch(NEW, RESTORE, parent_id=MAIN), "was not restored from a snapshot"),
        ({**AWAITING, "restored_from": "snap-other"}, "comes from snapshot snap-other"),
        ({**AWAITING, "restored_as": OTHER, "restore_status": "finalized"}, "was finalized already"),
    ],
)
def test_a_branch_of_that_name_from_elsewhere_is_not_taken(script: Script, found: Json, words: str) -> None:
    """Given a branch of the wanted name that is something else, then it is named, and nothing is sent."""
    for run in (restored, finalized):
        shelf(script, snapshot())
        expect_tree(script, [main_branch(), found])
        result = run()
        assert result["error"]["code"] == "other_origin" and words in result["msg"], result["msg"]


def test_the_last_root_slot_is_a_reason_before_anything_is_sent(script: Script) -> None:
    """Given a Free project with its three roots, then a restore is refused with the numbers, in check mode too."""
    roots = [main_branch(), branch(OTHER, "a"), branch("br-third-one-x1", "b")]
    for run in (restored, finalized):
        for check_mode in (False, True):
            shelf(script, snapshot())
            expect_tree(script, roots)
            plan(script, "free_v2")
            result = run(check_mode=check_mode)
            assert result["error"]["code"] == "root_branches_limit_exceeded" and "3 root" in result["msg"]
    assert script.writes() == []


def test_a_lost_restore_is_read_back_by_the_name_of_its_branch(script: Script) -> None:
    """Given a restore whose answer is lost, then the branch proves it; where there is none, it was not restored."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch()])
    plan(script)
    script.expect("POST", f"{P}/snapshots/{ID}/restore", httpx.RemoteProtocolError("cut off"))
    script.expect("GET", f"{P}/branches", {"branches": [AWAITING]}, query={"search": RESTORE})
    script.expect("GET", f"{P}/operations", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": AWAITING})
    expect_tree(script, [main_branch(), AWAITING])
    assert restored()["changed"] is True and len(script.writes()) == 1
    shelf(script, snapshot())
    expect_tree(script, [main_branch()])
    plan(script)
    script.expect("POST", f"{P}/snapshots/{ID}/restore", httpx.ReadTimeout("lost"))
    for _ in range(60):
        script.expect("GET", f"{P}/branches", {"branches": []})
    result = restored()
    assert result["error"]["code"] == "unknown_outcome" and "nothing was restored" in result["msg"]
    del script.calls[len(script.requests) :]


def test_a_snapshot_that_is_not_there_is_named(script: Script) -> None:
    """Given no such snapshot, then the error says how to find one; a predicted one is for check mode only."""
    shelf(script)
    assert restored()["error"]["code"] == "not_found"
    assert restored(snapshot_id="predicted:snapshot/x")["error"]["code"] == "predicted_id"


def test_a_snapshot_whose_source_is_gone_is_restored_all_the_same(script: Script) -> None:
    """Given the source deleted, then no target is named, for there is none."""
    shelf(script, snapshot(source_branch_id="br-gone-now-x1"))
    expect_tree(script, [main_branch()])
    plan(script)
    body = {"name": RESTORE, "finalize_restore": False}
    script.expect("POST", f"{P}/snapshots/{ID}/restore", {"branch": AWAITING, "operations": []}, json=body)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": AWAITING})
    expect_tree(script, [main_branch(), AWAITING])
    assert restored()["changed"] is True


def test_a_restore_that_made_something_else_is_an_error(script: Script) -> None:
    """Given a branch with a parent in the answer's place, then the run stops and says so."""
    wrong = {**AWAITING, "parent_id": MAIN}
    shelf(script, snapshot())
    expect_tree(script, [main_branch()])
    plan(script)
    script.expect("POST", f"{P}/snapshots/{ID}/restore", {"branch": wrong, "operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": wrong})
    expect_tree(script, [main_branch(), wrong])
    result = restored()
    assert result["error"]["code"] == "not_applied" and result["partial"]["branch"]["id"] == NEW


# Finalizing


def test_the_restored_branch_takes_the_primarys_place(script: Script) -> None:
    """Given a restored branch, then one write; name, flags and compute moved, and the primary has the wanted name."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), AWAITING], [COMPUTE])
    reply = {"operations": [operation("o1", "start_compute", "running")]}
    script.expect("POST", f"{P}/branches/{NEW}/finalize_restore", reply, json={"name": ROLLBACK})
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "start_compute")})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": FINAL})
    expect_tree(script, [REPLACED, FINAL], [{**COMPUTE, "branch_id": NEW}])
    result = finalized()
    assert result["changed"] and result["branch"]["name"] == "main" and result["branch"]["id"] == NEW, result
    assert result["branch"]["endpoints"][0]["id"] == COMPUTE["id"]
    assert result["replaced_branch"]["id"] == MAIN and result["replaced_branch"]["endpoints"] == []
    assert result["diff"]["before"]["branch"]["id"] == MAIN
    assert result["journalled"] == {
        "snapshot_id": ID,
        "branch_id": NEW,
        "endpoint_ids": [COMPUTE["id"]],
        "replaced_branch_id": MAIN,
    }


def test_finalizing_restores_first_where_that_was_not_done(script: Script) -> None:
    """Given no restored branch, then both writes in their order; without a snapshot to restore, an error."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch()], [COMPUTE])
    plan(script)
    body = {"name": RESTORE, "finalize_restore": False, "target_branch_id": MAIN}
    script.expect("POST", f"{P}/snapshots/{ID}/restore", {"branch": AWAITING, "operations": []}, json=body)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": AWAITING})
    expect_tree(script, [main_branch(), AWAITING], [COMPUTE])
    script.expect("POST", f"{P}/branches/{NEW}/finalize_restore", {"operations": []}, json={})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": FINAL})
    expect_tree(script, [main_branch(name="main (old)", default=False), FINAL], [{**COMPUTE, "branch_id": NEW}])
    result = finalized(replaced_name=None)
    assert result["changed"] and result["replaced_branch"]["name"] == "main (old)", result
    expect_tree(script, [main_branch()])
    plan(script)
    assert finalized(snapshot_id=None)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("more", "computes", "code"),
    [
        ([branch(OTHER, ROLLBACK)], [], "already_exists"),
        ([], [endpoint("ep-own-one-x1", NEW)], "has_computes"),
    ],
)
def test_what_is_not_known_to_be_safe_is_not_finalized(
    script: Script, more: list[Json], computes: list[Json], code: str
) -> None:
    """Given the wanted name taken, or computes of the restored branch's own, then nothing is sent."""
    for check_mode in (False, True):
        shelf(script, snapshot())
        expect_tree(script, [main_branch(), AWAITING, *more], [COMPUTE, *computes])
        assert finalized(check_mode=check_mode)["error"]["code"] == code
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), {**AWAITING, "expires_at": "2025-01-20T00:00:00Z"}])
    assert finalized()["error"]["code"] == "expiry_not_allowed"
    assert script.writes() == []


def test_a_lost_finalizing_is_read_back_from_the_branch(script: Script) -> None:
    """Given an answer that is lost, then the branch that names the one it replaced proves it; sent once."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), AWAITING], [COMPUTE])
    script.expect("POST", f"{P}/branches/{NEW}/finalize_restore", httpx.ReadTimeout("lost"))
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": AWAITING})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": FINAL})
    running = operation("o1", "start_compute", "running")
    script.expect("GET", f"{P}/operations", {"operations": [running]})
    script.expect("GET", f"{P}/operations/o1", {"operation": {**running, "status": "finished"}})
    script.expect("GET", f"{P}/operations", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": FINAL})
    expect_tree(script, [REPLACED, FINAL], [{**COMPUTE, "branch_id": NEW}])
    assert finalized()["changed"] is True and len(script.writes()) == 1
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), AWAITING], [COMPUTE])
    script.expect("POST", f"{P}/branches/{NEW}/finalize_restore", httpx.ReadTimeout("lost"))
    for _ in range(60):
        script.expect("GET", f"{P}/branches/{NEW}", {"branch": AWAITING})
    assert finalized()["error"]["code"] == "unknown_outcome"
    del script.calls[len(script.requests) :]


@pytest.mark.parametrize(
    ("branches", "computes", "words"),
    [
        ([REPLACED, FINAL], [COMPUTE], "did not move"),
        ([REPLACED, {**FINAL, "name": "other"}], [{**COMPUTE, "branch_id": NEW}], "is called other"),
        ([REPLACED, {**FINAL, "restored_as": OTHER}], [{**COMPUTE, "branch_id": NEW}], f"it replaced {OTHER}"),
    ],
)
def test_a_finalizing_that_did_something_else_is_an_error(
    script: Script, branches: list[Json], computes: list[Json], words: str
) -> None:
    """Given a compute left behind, another name or another branch replaced, then the run stops and says so."""
    shelf(script, snapshot())
    expect_tree(script, [main_branch(), AWAITING], [COMPUTE])
    script.expect("POST", f"{P}/branches/{NEW}/finalize_restore", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": FINAL})
    expect_tree(script, branches, computes)
    result = finalized()
    assert result["error"]["code"] == "not_applied" and words in result["msg"], result["msg"]


def test_check_mode_predicts_both_steps(script: Script) -> None:
    """Given check mode from the snapshot on, then each step answers with what the one before predicted; no write."""
    made = f"predicted:snapshot/{NAME}"
    expect_tree(script, [main_branch()], [COMPUTE])
    plan(script)
    first = restored(check_mode=True, snapshot_id=made, target_branch_id=MAIN)
    assert first["changed"] and first["branch"]["id"] == f"predicted:branch/{RESTORE}"
    assert first["branch"]["restored_from"] == made
    expect_tree(script, [main_branch()], [COMPUTE])
    plan(script)
    second = finalized(check_mode=True, snapshot_id=made)
    assert second["changed"] and second["branch"]["id"] == f"predicted:branch/{RESTORE}"
    assert (second["branch"]["name"], second["branch"]["default"]) == ("main", True)
    assert second["branch"]["endpoints"][0]["id"] == COMPUTE["id"]
    assert (second["replaced_branch"]["id"], second["replaced_branch"]["name"]) == (MAIN, ROLLBACK)
    assert second["replaced_branch"]["endpoints"] == []
    expect_tree(script, [main_branch()])
    third = finalized(check_mode=True, snapshot_id=made, target_branch_id="predicted:branch/x")
    assert third["branch"]["name"] == "x"
    expect_tree(script, [main_branch()])
    assert finalized(snapshot_id=None, target_branch_id="predicted:branch/x")["error"]["code"] == "predicted_id"
    assert script.writes() == []


@pytest.mark.parametrize("state", ["present", "restored", "finalized"])
def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, state: str) -> None:
    """Given what is there already, then both ways give equal results."""
    stub_server.answer("GET", f"/api/v2{P}/snapshots", {"snapshots": [snapshot()]})
    stub_server.answer("GET", f"/api/v2{P}/branches", {"branches": [REPLACED, FINAL], "pagination": {}})
    stub_server.answer("GET", f"/api/v2{P}/endpoints", {"endpoints": [{**COMPUTE, "branch_id": NEW}]})
    options = {
        "project_id": PROJECT,
        "name": NAME,
        "state": state,
        "neon_api_url": f"{stub_server.url}/api/v2",
        **({} if state == "present" else {"restore_as": RESTORE, "target_branch_id": MAIN}),
    }
    result = both_ways.same("neon_snapshot", options, variables={"rewind_neon_api_key": NEON_KEY})
    assert result["changed"] is False and result["snapshot"]["id"] == ID, result
