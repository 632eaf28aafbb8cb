# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_branch: found again or made once, changed in an order that Neon accepts, removed when nothing hangs on it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.plugins.module_utils._http import READ_ATTEMPTS
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import (
    MAIN,
    NEW,
    OTHER,
    POINT,
    P,
    branch,
    call,
    endpoint,
    expect_tree,
    main_branch,
    operation,
)
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeClock, Script

Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("clock")

BACKUP = branch(NEW, "backup-1", parent_id=MAIN, parent_lsn="0/01a2b3c", parent_timestamp=POINT)


def present(**options: Any) -> Json:
    return call("neon_branch", name="backup-1", **options)


def test_a_new_branch_is_made_waited_for_and_read_back(script: Script) -> None:
    """Given no such branch, then one write, its operations and the branch's own state are waited for."""
    expect_tree(script, [main_branch()])
    body = {
        "branch": {
            "name": "backup-1",
            "parent_id": MAIN,
            "parent_timestamp": POINT,
            "expires_at": "2025-01-20T00:00:00Z",
        },
        "endpoints": [],
        "annotation_value": {"reason": "42"},
    }
    reply = {"branch": {**BACKUP, "current_state": "init"}, "operations": [operation("o1", "create_branch", "running")]}
    script.expect("POST", f"{P}/branches", reply, status=201, json=body)
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch", "running")})
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch")})
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": {**BACKUP, "current_state": "init"}})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    made = {**BACKUP, "expires_at": "2025-01-20T00:00:00Z"}
    expect_tree(script, [main_branch(), made], annotations={NEW: {"reason": "42"}})
    result = present(
        parent="main",
        parent_timestamp="2025-01-13 15:25:00 +01:00",
        endpoints=[],
        expires_at="2025-01-20T00:00:00.700Z",
        annotations={"reason": 42},
    )
    assert result["changed"] is True and "failed" not in result, result
    assert result["branch"]["id"] == NEW and result["branch"]["annotations"] == {"reason": "42"}
    assert result["operations"] == [
        {
            "id": "o1",
            "action": "create_branch",
            "status": "finished",
            "branch_id": NEW,
            "endpoint_id": None,
            "error": None,
            "total_duration_ms": None,
        }
    ]
    assert result["diff"] == {"before": {}, "after": result["branch"]}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"parent": "main"},
        {"parent": MAIN, "parent_timestamp": POINT},
        {"parent_timestamp": "2025-01-13T14:25:00.0004Z"},
        {"parent_lsn": "0/1A2B3C"},
        {"endpoints": []},
        {"protected": False, "expires_at": "never"},
    ],
)
def test_the_same_branch_found_again_is_no_change(script: Script, asked: Json) -> None:
    """Given a branch of that name and origin, however it is written, then two reads and nothing else."""
    expect_tree(script, [main_branch(), BACKUP])
    result = present(**asked)
    assert result["changed"] is False and result["branch"]["id"] == NEW, result
    assert result["diff"]["before"] == result["diff"]["after"] == result["branch"]


@pytest.mark.parametrize(
    "asked",
    [
        {"parent": OTHER},
        {"parent_timestamp": "2025-01-13T14:25:00.001Z"},
        {"parent_lsn": "1/1A2B3C"},
        {"parent": "main", "parent_timestamp": "2025-01-13T14:24:59Z"},
    ],
)
def test_a_branch_of_other_origin_is_an_error_that_names_both(script: Script, asked: Json) -> None:
    """Given a branch of that name from elsewhere, then it is not used, and the message has both origins."""
    expect_tree(script, [main_branch(), BACKUP, branch(OTHER, "dev")])
    result = present(**asked)
    assert result["failed"] and result["error"]["code"] == "other_origin"
    assert MAIN in result["msg"] and POINT in result["msg"] and "asked for" in result["msg"]


def test_a_point_that_neon_does_not_tell_proves_nothing(script: Script) -> None:
    """Given an existing branch whose timestamp Neon leaves empty, then it is not taken for the wanted one."""
    expect_tree(script, [main_branch(), {**BACKUP, "parent_timestamp": None}])
    assert present(parent_timestamp=POINT)["error"]["code"] == "other_origin"


def test_check_mode_predicts_and_only_reads(script: Script) -> None:
    """Given check mode, then the same shape with a predicted id, and no write."""
    expect_tree(script, [main_branch()])
    predicted = present(
        check_mode=True, parent_timestamp=POINT, endpoints=[{"type": "read_write", "autoscaling_limit_max_cu": 2}]
    )
    assert predicted["changed"] is True
    assert predicted["branch"]["id"] == "predicted:branch/backup-1"
    assert predicted["branch"]["parent_id"] == MAIN and predicted["branch"]["parent_timestamp"] == POINT
    assert predicted["branch"]["endpoints"][0]["id"] == "predicted:endpoint/backup-1"
    expect_tree(script, [main_branch(), BACKUP], [endpoint("ep-1", NEW)])
    found = present()
    assert set(found["branch"]) == set(predicted["branch"])
    assert set(found["branch"]["endpoints"][0]) == set(predicted["branch"]["endpoints"][0])
    assert script.writes() == []


def test_check_mode_accepts_predicted_parents_and_branches(script: Script) -> None:
    """Given ids that an earlier task of a check run predicted, then prediction goes on."""
    expect_tree(script, [main_branch()])
    child = present(check_mode=True, parent="predicted:branch/restore-1")
    assert child["branch"]["parent_id"] == "predicted:branch/restore-1"
    again = call("neon_branch", check_mode=True, branch_id="predicted:branch/x", expires_at="never")
    assert again["branch"]["id"] == "predicted:branch/x" and again["branch"]["name"] == "x"
    gone = call("neon_branch", check_mode=True, branch_id="predicted:branch/x", state="absent")
    assert gone["changed"] is True and gone["branch"] is None


def test_a_predicted_id_outside_of_check_mode_is_refused(script: Script) -> None:
    """Given a predicted id in a real run, then nothing is sent."""
    for state in ("present", "absent"):
        result = call("neon_branch", branch_id="predicted:branch/x", state=state)
        assert result["failed"] and result["error"]["code"] == "predicted_id"


def test_a_lost_answer_to_the_creation_is_read_back(script: Script) -> None:
    """Given a creation whose answer is lost, then the branch is found by its exact name, and not made twice."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches", httpx.ReadTimeout("lost"))
    namesake = branch(OTHER, "backup-10", parent_id=MAIN)
    script.expect("GET", f"{P}/branches", {"branches": [namesake]}, query={"search": "backup-1"})
    script.expect("GET", f"{P}/branches", {"branches": [namesake, BACKUP]}, query={"search": "backup-1"})
    script.expect("GET", f"{P}/operations", {"operations": [operation("o1", "create_branch", "running")]})
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch")})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP, namesake])
    result = present(parent_timestamp=POINT)
    assert result["changed"] is True and result["branch"]["id"] == NEW, result
    assert len(script.writes()) == 1


def test_a_creation_that_left_no_trace_is_an_unknown_outcome(script: Script, clock: FakeClock) -> None:
    """Given a lost answer and no branch of that name for a while, then the error says so and nothing was sent again."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches", httpx.ReadError("reset"))
    script.expect("GET", f"{P}/branches", {"branches": []})
    looks = len(script.calls)
    for _ in range(40):
        script.expect("GET", f"{P}/branches", {"branches": []})
    result = present()
    assert result["failed"] and result["error"]["code"] == "unknown_outcome" and "run the task again" in result["msg"]
    assert sum(clock.slept) >= 10 and len(script.writes()) == 1
    assert len(script.requests) >= looks
    del script.calls[len(script.requests) :]


def test_a_lock_is_waited_out_far_longer_than_a_client_would(script: Script, clock: FakeClock) -> None:
    """Given a project locked for a minute, then the creation succeeds in the end."""
    expect_tree(script, [main_branch()])
    for _ in range(9):
        script.expect("POST", f"{P}/branches", {"message": "project already has running operations"}, status=423)
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": []}, status=201)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP])
    assert present()["changed"] is True
    assert sum(clock.slept) > 30


@pytest.mark.parametrize("status", ["failed", "error", "cancelled"])
def test_an_operation_that_fails_is_an_error_with_neons_text(script: Script, status: str) -> None:
    """Given an operation that ends badly, then its text and what is known."""
    expect_tree(script, [main_branch()])
    failed = operation("o1", "create_branch", status, error="disk on fire")
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": [failed]}, status=201)
    result = present()
    assert result["failed"] and result["error"]["code"] == f"operation_{status}" and "disk on fire" in result["msg"]
    assert result["partial"]["branch"]["id"] == NEW and result["partial"]["operations"][0]["status"] == status


def test_a_failed_operation_that_neon_retries_is_waited_for(script: Script) -> None:
    """Given "failed" with a time of retry, which is no end, then the wait goes on; "skipped" is success."""
    expect_tree(script, [main_branch()])
    failed = operation("o1", "create_branch", "failed", retry_at="2025-01-13T15:00:05Z")
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": [failed]}, status=201)
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch", "skipped")})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP])
    assert present()["changed"] is True


def test_an_unknown_status_is_an_error_only_when_time_is_up(script: Script, clock: FakeClock) -> None:
    """Given a status that nobody knows, then it is waited for until the timeout, which returns what is known."""
    expect_tree(script, [main_branch()])
    strange = operation("o1", "create_branch", "pondering")
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": [strange]}, status=201)
    for _ in range(40):
        script.expect("GET", f"{P}/operations/o1", {"operation": strange})
    result = present(wait_timeout=10)
    assert result["failed"] and result["error"]["code"] == "timeout" and "pondering" in result["msg"]
    assert result["error"]["retryable"] is True and result["partial"]["branch"]["id"] == NEW
    assert sum(clock.slept) == pytest.approx(10)
    del script.calls[len(script.requests) :]


def test_without_wait_nothing_is_waited_for(script: Script) -> None:
    """Given wait: false, then the branch is returned as it is, with its running operations."""
    expect_tree(script, [main_branch()])
    running = operation("o1", "create_branch", "running")
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": [running]}, status=201)
    expect_tree(script, [main_branch(), {**BACKUP, "current_state": "init"}])
    result = present(wait=False)
    assert result["branch"]["current_state"] == "init" and result["operations"][0]["status"] == "running"


def test_a_found_branch_that_is_not_ready_is_waited_for(script: Script) -> None:
    """Given a branch that a killed run has just made, then it is waited for, and it is no change."""
    expect_tree(script, [main_branch(), {**BACKUP, "current_state": "init"}])
    script.expect("GET", f"{P}/operations", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP])
    result = present()
    assert result["changed"] is False and result["branch"]["current_state"] == "ready"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, 'timestamp is before retention window; retention_window:"6h0m0s"', "before_history_window"),
        (422, "", "branches_limit_exceeded"),
        (409, 'branch already exists; branch_name:"backup-1"', "already_exists"),
    ],
)
def test_neons_refusals_say_what_to_do(script: Script, status: int, message: str, code: str) -> None:
    """Given an error that Neon is known for, then a stable code and advice."""
    expect_tree(script, [main_branch()])
    body = {"code": "BRANCHES_LIMIT_EXCEEDED" if not message else "", "message": message or "limit", "request_id": "r"}
    script.expect("POST", f"{P}/branches", body, status=status)
    result = present()
    assert result["error"]["code"] == code and result["error"]["hint"] and f"HTTP {status}" in result["msg"]


def test_a_branch_not_ready_yet_is_waited_out(script: Script) -> None:
    """Given a parent that is still being made (422), then the creation is sent again: nothing was done."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches", {"message": "branch not ready yet"}, status=422)
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": []}, status=201)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP])
    assert present()["changed"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parent_timestamp": "2025-01-13 14:25:00"}, "no time zone"),
        ({"expires_at": "2025-01-13T14:59:59Z"}, "it has passed"),
        ({"expires_at": "2025-03-13T14:59:59Z"}, "30 days"),
        ({"expires_at": "2025-01-20T00:00:00Z", "protected": True}, "cannot expire"),
        ({"new_name": "x" * 257}, "257 characters"),
        ({"endpoints": [{"type": "read_write"}, {"type": "read_write"}]}, "one of type read_write"),
        ({"endpoints": [{"autoscaling_limit_min_cu": 4, "autoscaling_limit_max_cu": 1}]}, "above"),
        ({"parent": "nowhere"}, "nowhere"),
        ({"default": True}, "a task of its own"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(script: Script, options: Json, words: str) -> None:
    """Given options that contradict Neon's rules, then the message says which, and no write is sent."""
    expect_tree(script, [main_branch()])
    result = present(**options)
    assert result["failed"] and words in result["msg"], result["msg"]
    assert script.writes() == []
    del script.calls[len(script.requests) :]


def test_an_expiring_parent_is_refused(script: Script) -> None:
    """Given a parent with an expiry, which Neon lets have no children, then the message says how to clear it."""
    expect_tree(script, [main_branch(expires_at="2025-01-20T00:00:00Z")])
    result = present()
    assert result["error"]["code"] == "expiry_not_allowed" and "expires_at: never" in result["msg"]


@pytest.mark.parametrize(
    ("existing", "options", "bodies"),
    [
        ({}, {"new_name": "kept"}, [{"name": "kept"}]),
        ({}, {"expires_at": "2025-01-20T00:00:00Z"}, [{"expires_at": "2025-01-20T00:00:00Z"}]),
        ({"expires_at": "2025-01-20T00:00:00Z"}, {"expires_at": "never"}, [{"expires_at": None}]),
        (
            {"expires_at": "2025-01-20T00:00:00Z"},
            {"expires_at": "never", "protected": True},
            [{"expires_at": None}, {"protected": True}],
        ),
        (
            {"protected": True},
            {"expires_at": "2025-01-20T00:00:00Z", "protected": False},
            [{"protected": False}, {"expires_at": "2025-01-20T00:00:00Z"}],
        ),
    ],
)
def test_changes_are_sent_in_an_order_that_neon_accepts(
    script: Script, existing: Json, options: Json, bodies: list[Json]
) -> None:
    """Given changes of a branch, then only what differs is sent, and expiry and protection never meet."""
    before = {**BACKUP, **existing}
    after = {**before, **{name: value for body in bodies for name, value in body.items()}}
    expect_tree(script, [main_branch(), before])
    for body in bodies:
        script.expect("PATCH", f"{P}/branches/{NEW}", {"branch": after, "operations": []}, json={"branch": body})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": after})
    expect_tree(script, [main_branch(), after])
    result = present(**options)
    assert result["changed"] is True, result
    assert result["diff"]["before"]["expires_at"] == before.get("expires_at")
    assert result["diff"]["after"] == result["branch"]


def test_check_mode_predicts_a_change(script: Script) -> None:
    """Given check mode on an existing branch, then its own id, the changed values, and no write."""
    expect_tree(script, [main_branch(), BACKUP], [endpoint("ep-1", NEW)])
    wanted = [{"type": "read_write", "autoscaling_limit_max_cu": 4}, {"type": "read_only"}]
    result = present(check_mode=True, protected=True, endpoints=wanted)
    assert result["changed"] and result["branch"]["id"] == NEW and result["branch"]["protected"] is True
    assert [item["id"] for item in result["branch"]["endpoints"]] == ["ep-1", "predicted:endpoint/backup-1"]
    assert result["branch"]["endpoints"][0]["autoscaling_limit_max_cu"] == 4
    assert result["diff"]["before"]["protected"] is False and script.writes() == []


def test_a_change_that_does_not_stick_is_an_error(script: Script) -> None:
    """Given an API that accepts a change and does not make it, then reading back finds out."""
    expect_tree(script, [main_branch(), {**BACKUP, "expires_at": "2025-01-20T00:00:00Z"}])
    script.expect("PATCH", f"{P}/branches/{NEW}", {"branch": BACKUP, "operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), {**BACKUP, "expires_at": "2025-01-20T00:00:00Z"}])
    result = present(expires_at="never")
    assert result["failed"] and result["error"]["code"] == "not_applied" and "expires_at" in result["msg"]


def test_a_lost_answer_to_a_change_is_read_back(script: Script) -> None:
    """Given a PATCH whose answer is lost and which took effect, then it is not sent again."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("PATCH", f"{P}/branches/{NEW}", httpx.ReadError("reset"))
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": {**BACKUP, "protected": True}})
    script.expect("GET", f"{P}/operations", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": {**BACKUP, "protected": True}})
    expect_tree(script, [main_branch(), {**BACKUP, "protected": True}])
    assert present(protected=True)["changed"] is True


def test_another_branch_becomes_the_default(script: Script) -> None:
    """Given default: true, then the label is moved; default: false on the default branch is refused."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("POST", f"{P}/branches/{NEW}/set_as_default", {"branch": {**BACKUP, "default": True}})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": {**BACKUP, "default": True}})
    expect_tree(script, [main_branch(default=False), {**BACKUP, "default": True}])
    assert present(default=True)["branch"]["default"] is True
    expect_tree(script, [main_branch()])
    assert call("neon_branch", name="main", default=False)["error"]["code"] == "default_branch"


def test_computes_are_added_and_changed_and_never_removed(script: Script) -> None:
    """Given wanted computes, then what differs is patched, what is missing is added, and what is extra stays."""
    before = [endpoint("ep-1", NEW), endpoint("ep-2", NEW, type="read_only"), endpoint("ep-3", NEW, type="read_only")]
    expect_tree(script, [main_branch(), BACKUP], before[:1])
    script.expect(
        "PATCH",
        f"{P}/endpoints/ep-1",
        {"endpoint": before[0], "operations": []},
        json={"endpoint": {"autoscaling_limit_max_cu": 4.0}},
    )
    script.expect("GET", f"{P}/branches/{NEW}/endpoints", {"endpoints": before[:1]})
    script.expect(
        "POST",
        f"{P}/endpoints",
        {"endpoint": before[1], "operations": []},
        status=201,
        json={"endpoint": {"branch_id": NEW, "type": "read_only"}},
    )
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    after = [before[1], before[2], {**before[0], "autoscaling_limit_max_cu": 4}]
    expect_tree(script, [main_branch(), BACKUP], after)
    wanted = [
        {
            "type": "read_write",
            "autoscaling_limit_min_cu": 0.25,
            "autoscaling_limit_max_cu": 4,
            "suspend_timeout_seconds": 300,
        },
        {"type": "read_only"},
    ]
    result = present(endpoints=wanted)
    assert result["changed"] is True and len(result["branch"]["endpoints"]) == 3


@pytest.mark.parametrize("after", [[], [endpoint("ep-1", NEW)]], ids=["none", "with other limits"])
def test_computes_that_were_not_made_as_asked_are_an_error(script: Script, after: list[Json]) -> None:
    """Given a creation that is accepted without its compute, or with another one, then the task does not succeed."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches", {"branch": BACKUP, "operations": []}, status=201)
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP], after)
    result = present(endpoints=[{"type": "read_write", "autoscaling_limit_max_cu": 4}])
    assert result["failed"] and result["error"]["code"] == "not_applied", result


def test_annotations_of_an_existing_branch_stay(script: Script) -> None:
    """Given other annotations on an existing branch, which Neon cannot change, then it is found and keeps its own."""
    expect_tree(script, [main_branch(), BACKUP], annotations={NEW: {"reason": "41"}})
    result = present(annotations={"reason": "42"})
    assert result["changed"] is False and result["branch"]["annotations"] == {"reason": "41"}


def test_a_renamed_branch_is_found_by_its_new_name(script: Script) -> None:
    """Given a second run of a renaming, then no change; where both names exist, an error."""
    expect_tree(script, [main_branch(), {**BACKUP, "name": "kept"}])
    assert present(new_name="kept")["changed"] is False
    expect_tree(script, [main_branch(), BACKUP, branch(OTHER, "kept")])
    assert present(new_name="kept")["error"]["code"] == "already_exists"


# Removal


def absent(**options: Any) -> Json:
    return call("neon_branch", name="backup-1", state="absent", **options)


def test_a_branch_is_removed_and_its_operations_waited_for(script: Script) -> None:
    """Given a leaf, then it is deleted; in check mode it only would be; a second run changes nothing."""
    expect_tree(script, [main_branch(), BACKUP])
    assert absent(check_mode=True)["changed"] is True and script.writes() == []
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("DELETE", f"{P}/branches/{NEW}", {"operations": [operation("o1", "delete_timeline", "running")]})
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "delete_timeline")})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    result = absent()
    assert result["changed"] is True and result["branch"] is None and result["diff"]["before"]["id"] == NEW
    expect_tree(script, [main_branch()])
    assert absent()["changed"] is False


@pytest.mark.parametrize(("status", "answer"), [(204, None), (404, {"message": "branch not found"})])
def test_a_branch_that_went_by_itself_is_gone(script: Script, status: int, answer: Json | None) -> None:
    """Given a branch that expires between the look and the deletion, then its absence is success."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("DELETE", f"{P}/branches/{NEW}", answer, status=status)
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    assert "failed" not in absent()


def test_a_branch_that_stays_after_its_deletion_is_not_called_gone(script: Script, clock: FakeClock) -> None:
    """Given a deletion that is accepted and does nothing, then the task ends with its time, and says so."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("DELETE", f"{P}/branches/{NEW}", {"operations": []})
    for _ in range(8):
        script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    result = absent(wait_timeout=3, poll_interval=1)
    assert result["failed"] and "still there" in result["msg"], result


def test_what_was_deleted_may_still_be_shown(script: Script) -> None:
    """Given a branch that Neon keeps for a while after its deletion, then it counts as gone."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("DELETE", f"{P}/branches/{NEW}", {"operations": []})
    kept = {**BACKUP, "recovery": {"deleted_at": "2025-01-13T15:00:00Z"}}
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": kept})
    assert absent()["changed"] is True


def test_a_list_that_cannot_be_read_is_not_an_empty_one(script: Script) -> None:
    """Given an answer without the branches, then nothing is taken for absent."""
    script.expect("GET", f"{P}/branches", {"pagination": {}})
    result = absent()
    assert result["error"]["code"] == "unreadable_answer" and result["error"]["retryable"], result


def test_a_creation_without_a_branch_in_its_answer_is_read_back(script: Script) -> None:
    """Given 201 with nothing of use, then the branch is looked for, and found by its name."""
    answers: list[Json | None] = [None, {}, {"branch": {}}]
    for answer in answers:
        expect_tree(script, [main_branch()])
        script.expect("POST", f"{P}/branches", answer, status=201)
        made = branch(NEW, "new", parent_id=MAIN)
        script.expect("GET", f"{P}/branches", {"branches": [made]}, query={"search": "new"})
        script.expect("GET", f"{P}/operations", {"operations": []})
        script.expect("GET", f"{P}/branches/{NEW}", {"branch": made})
        expect_tree(script, [main_branch(), made])
        result = call("neon_branch", name="new", endpoints=[])
        assert result["changed"] is True and result["branch"]["id"] == NEW, result


def test_neon_may_be_away_after_an_answer_was_lost(script: Script) -> None:
    """Given a creation whose answer is lost and a service that is away then, then it is read back once that is over."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches", httpx.ReadTimeout("lost"))
    for _ in range(READ_ATTEMPTS * 2):
        script.expect("GET", f"{P}/branches", "<html>bad gateway</html>", status=502)
    script.expect("GET", f"{P}/branches", {"branches": [BACKUP]}, query={"search": "backup-1"})
    script.expect("GET", f"{P}/operations", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    expect_tree(script, [main_branch(), BACKUP])
    assert present(endpoints=[])["changed"] is True and len(script.writes()) == 1


def test_neon_may_be_away_while_an_operation_runs(script: Script) -> None:
    """Given a service that fails for longer than a read is repeated, then the wait goes on to its deadline."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("DELETE", f"{P}/branches/{NEW}", {"operations": [operation("o1", "delete_timeline", "running")]})
    for _ in range(READ_ATTEMPTS + 1):
        script.expect("GET", f"{P}/operations/o1", "<html>bad gateway</html>", status=502)
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "delete_timeline")})
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    assert absent()["changed"] is True


def test_operations_are_read_from_every_page(script: Script) -> None:
    """Given pages that hold fewer than was asked for, then what runs on a later one is seen too."""
    running = operation("o2", "detach_parent_branch", "running", branch_id=MAIN)
    expect_tree(script, [main_branch(parent_id=NEW), BACKUP])
    first = {"operations": [operation("o1", "start_compute")], "pagination": {"cursor": "c1"}}
    script.expect("GET", f"{P}/operations", first, query={"cursor": None})
    script.expect(
        "GET", f"{P}/operations", {"operations": [running], "pagination": {"cursor": "c2"}}, query={"cursor": "c1"}
    )
    script.expect("GET", f"{P}/operations", {"operations": [], "pagination": {"cursor": "c2"}}, query={"cursor": "c2"})
    script.expect("DELETE", f"{P}/branches/{NEW}", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    assert absent()["changed"] is True


@pytest.mark.parametrize(
    ("flags", "code"), [({"default": True}, "default_branch"), ({"protected": True}, "branch_protected")]
)
def test_default_and_protected_branches_are_never_removed(script: Script, flags: Json, code: str) -> None:
    """Given a branch that must stay, then it is refused, in check mode too."""
    for check_mode in (False, True):
        expect_tree(script, [{**BACKUP, **flags}])
        result = absent(check_mode=check_mode)
        assert result["failed"] and result["error"]["code"] == code
    assert script.writes() == []


def test_a_parent_is_refused_with_the_names_of_its_children(script: Script) -> None:
    """Given children that stay, then they are named and nothing is deleted."""
    expect_tree(script, [main_branch(), BACKUP, branch(OTHER, "dev", parent_id=NEW)])
    script.expect("GET", f"{P}/operations", {"operations": []})
    result = absent()
    assert result["error"]["code"] == "branch_has_children" and f"dev ({OTHER})" in result["msg"]


@pytest.mark.parametrize(
    ("status", "operations"),
    [("detaching", None), (None, [operation("o1", "detach_parent_branch", "running", branch_id=MAIN)])],
)
def test_a_child_that_is_being_detached_is_waited_out(
    script: Script, clock: FakeClock, status: str | None, operations: list[Json] | None
) -> None:
    """Given a child that becomes a root after an in-place restore, then 422 is retried with growing pauses."""
    expect_tree(script, [main_branch(parent_id=NEW, restore_status=status), BACKUP])
    if operations is not None:
        script.expect("GET", f"{P}/operations", {"operations": operations})
    for _ in range(3):
        text = f"cannot delete branch that has children: {MAIN}"
        script.expect("DELETE", f"{P}/branches/{NEW}", {"message": text}, status=422)
    script.expect("DELETE", f"{P}/branches/{NEW}", {"operations": []})
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    assert absent()["changed"] is True
    assert clock.slept == [1.0, 2.0, 4.0]


def test_a_lost_answer_to_a_deletion_is_read_back(script: Script) -> None:
    """Given a deletion whose answer is lost, then the branch's absence proves it."""
    expect_tree(script, [main_branch(), BACKUP])
    script.expect("DELETE", f"{P}/branches/{NEW}", httpx.ReadTimeout("lost"))
    script.expect("GET", f"{P}/branches/{NEW}", {"branch": BACKUP})
    script.expect("GET", f"{P}/branches/{NEW}", {"message": "branch not found"}, status=404)
    script.expect("GET", f"{P}/operations", {"operations": []})
    assert absent()["changed"] is True and len(script.writes()) == 1


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given an existing branch, a prediction and a refusal, then both ways give equal results."""
    stub_server.answer("GET", f"/api/v2{P}/branches", {"branches": [main_branch(), BACKUP], "pagination": {}})
    stub_server.answer("GET", f"/api/v2{P}/endpoints", {"endpoints": [endpoint("ep-1", NEW)]})
    variables = {"rewind_neon_api_key": NEON_KEY, "rewind_neon_api_url": f"{stub_server.url}/api/v2"}
    options = {"project_id": P.rpartition("/")[2], "name": "backup-1"}
    found = both_ways.same("neon_branch", options, variables=variables)
    assert found["changed"] is False and found["branch"]["endpoints"][0]["pooler_host"].startswith("ep-1-pooler.")
    changed = both_ways.same("neon_branch", {**options, "protected": True}, variables=variables, check_mode=True)
    assert changed["changed"] is True
    other = {**options, "parent": "main", "parent_lsn": "0/1"}
    assert both_ways.same("neon_branch", other, variables=variables)["error"]["code"] == "other_origin"
