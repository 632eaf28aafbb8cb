# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_branch_restore: done once, proven by reading back, found again by the name of the branch with the old state."""

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
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeClock, Script

Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("clock")

NAME = "rollback-20250113-150000"
KEPT = branch(NEW, NAME, created_at="2025-01-13T14:59:58.123456789Z")
RESTORED = main_branch(parent_id=NEW, parent_timestamp=POINT, last_reset_at="2025-01-13T15:00:00Z")
# Soon after, a root has no parent any more, and so tells nothing of the point.
DETACHED = {**RESTORED, "parent_id": None, "parent_timestamp": None}
CHILD = branch(OTHER, "dev", parent_id=MAIN)


def restore(*, check_mode: bool = False, **options: Any) -> Json:
    given = {"branch_id": MAIN, "source_timestamp": POINT, "preserve_under_name": NAME, **options}
    return call("neon_branch_restore", check_mode=check_mode, **given)


def reply(*operations: Json) -> Json:
    return {"branch": {**RESTORED, "current_state": "resetting"}, "operations": list(operations)}


def test_a_root_branch_is_restored_from_itself(script: Script) -> None:
    """Given a root, then one write; the parent in the answer is the old state; its detaching is not waited for."""
    expect_tree(script, [main_branch(), CHILD], [endpoint("ep-1", MAIN)])
    script.expect(
        "POST",
        f"{P}/branches/{MAIN}/restore",
        reply(operation("o1", "create_branch", "running"), operation("o2", "detach_parent_branch", "scheduling")),
        json={"source_branch_id": MAIN, "source_timestamp": POINT, "preserve_under_name": NAME},
    )
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "create_branch")})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": {**RESTORED, "current_state": "resetting"}})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": RESTORED})
    expect_tree(script, [RESTORED, KEPT, {**CHILD, "parent_id": NEW}], [endpoint("ep-1", MAIN)])
    result = restore()
    assert result["changed"] is True, result
    assert result["preserved_branch"]["id"] == NEW and result["branch"]["parent_id"] == NEW
    assert result["preserved_branch"]["children"] == sorted([MAIN, OTHER])
    assert [item["status"] for item in result["operations"]] == ["finished", "scheduling"]
    assert result["diff"]["before"]["branch"]["children"] == [OTHER]
    assert result["diff"]["after"]["preserved_branch"] == result["preserved_branch"]


def test_the_old_state_is_found_by_name_where_lineage_does_not_say(script: Script) -> None:
    """Given a restore from another branch, or a detach that was quicker, then the name finds the old state."""
    for source, target in ((OTHER, main_branch(parent_id=OTHER)), (MAIN, main_branch())):
        expect_tree(script, [main_branch(), CHILD])
        script.expect("POST", f"{P}/branches/{MAIN}/restore", {"branch": target, "operations": []})
        script.expect("GET", f"{P}/branches/{MAIN}", {"branch": target})
        expect_tree(script, [target, KEPT, CHILD])
        assert restore(source_branch_id=source)["preserved_branch"]["id"] == NEW


def test_a_source_without_a_point_is_its_head(script: Script) -> None:
    """Given another branch and no point, then its head is asked for; from itself a point is needed."""
    expect_tree(script, [main_branch(), CHILD])
    body = {"source_branch_id": OTHER, "preserve_under_name": NAME}
    script.expect("POST", f"{P}/branches/{MAIN}/restore", {"branch": main_branch(), "operations": []}, json=body)
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": main_branch()})
    expect_tree(script, [main_branch(), KEPT, CHILD])
    assert restore(source_branch_id=OTHER, source_timestamp=None)["changed"] is True
    expect_tree(script, [main_branch()])
    assert "source_timestamp or source_lsn" in restore(source_timestamp=None)["msg"]


@pytest.mark.parametrize(
    "target",
    [RESTORED, DETACHED, {**RESTORED, "parent_timestamp": None}],
    ids=["still a child", "detached", "point not told"],
)
def test_a_second_run_finds_the_first_one(script: Script, target: Json) -> None:
    """Given the branch with the old state, then nothing is sent and both branches are returned."""
    expect_tree(script, [target, KEPT])
    result = restore()
    assert result["changed"] is False and result["preserved_branch"]["id"] == NEW, result
    assert result["diff"]["before"] == result["diff"]["after"]


def test_a_restore_from_another_branch_is_found_again(script: Script) -> None:
    """Given a branch whose data comes from the source that is asked for, then it was done; from another it was not."""
    target = main_branch(parent_id=OTHER, parent_timestamp=POINT, last_reset_at="2025-01-13T15:00:00Z")
    for source, changed in ((OTHER, False), (MAIN, None)):
        expect_tree(script, [target, KEPT, CHILD])
        result = restore(source_branch_id=source)
        assert result.get("changed") is changed or result["error"]["code"] == "other_origin", result


def test_a_run_after_a_killed_one_waits_for_what_that_began(script: Script) -> None:
    """Given a restore still in progress, then it is waited for."""
    expect_tree(script, [{**RESTORED, "current_state": "resetting"}, KEPT])
    running = operation("o1", "create_branch", "running", branch_id=MAIN)
    script.expect("GET", f"{P}/operations", {"operations": [running]})
    script.expect("GET", f"{P}/operations/o1", {"operation": {**running, "status": "finished"}})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": RESTORED})
    expect_tree(script, [RESTORED, KEPT])
    result = restore()
    assert result["changed"] is False and result["branch"]["current_state"] == "ready"


@pytest.mark.parametrize(
    ("branches", "words"),
    [
        ([main_branch(), KEPT], "was never restored"),
        ([{**RESTORED, "parent_timestamp": "2025-01-13T14:00:00Z"}, KEPT], "not to 2025-01-13T14:25:00Z"),
        ([main_branch(name=NAME)], "the branch itself"),
        ([{**DETACHED, "last_reset_at": "2025-01-13T16:00:00Z"}, KEPT], "last restored at 2025-01-13T16:00:00Z"),
        ([{**DETACHED, "last_reset_at": "2025-01-13T14:20:00Z"}, KEPT], "before 2025-01-13T14:25:00Z"),
        ([DETACHED, {**KEPT, "created_at": None}], "last restored at"),
        ([{**RESTORED, "parent_id": OTHER}, KEPT], f"comes from {OTHER}, not from {MAIN}"),
    ],
)
def test_a_branch_of_that_name_from_elsewhere_is_an_error(script: Script, branches: list[Json], words: str) -> None:
    """Given a branch of the wanted name that is no old state of this one at this point, then both are named."""
    expect_tree(script, branches)
    result = restore()
    assert result["failed"] and result["error"]["code"] == "other_origin" and words in result["msg"], result["msg"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"protected": True}, "branch_protected"),
        ({"restricted_actions": [{"name": "restore", "reason": "a snapshot is being restored"}]}, "restore_restricted"),
    ],
)
def test_a_branch_that_may_not_be_restored_is_refused(script: Script, flags: Json, code: str) -> None:
    """Given a protected or restricted branch, then the reason and what to do, in check mode too."""
    for check_mode in (False, True):
        expect_tree(script, [main_branch(**flags)])
        assert restore(check_mode=check_mode)["error"]["code"] == code
    assert script.writes() == []


def test_a_child_is_restored_with_a_warning(script: Script) -> None:
    """Given a child branch, which Neon's documentation excludes and its API allowed, then a warning and a try."""
    expect_tree(script, [main_branch(parent_id=OTHER)])
    text = "Point in time restore is supported for root branches only"
    script.expect("POST", f"{P}/branches/{MAIN}/restore", {"message": text}, status=422)
    result = restore()
    assert result["failed"] and text in result["msg"] and "root branches only" in result["warnings"][0]


def test_check_mode_predicts_both_branches(script: Script) -> None:
    """Given check mode, then the branch keeps its id, the old state a predicted one with the children; no write."""
    expect_tree(script, [main_branch(), CHILD], [endpoint("ep-1", MAIN)])
    result = restore(check_mode=True)
    assert result["changed"] and result["branch"]["id"] == MAIN and result["branch"]["children"] == []
    assert result["preserved_branch"]["id"] == f"predicted:branch/{NAME}"
    assert result["preserved_branch"]["children"] == sorted([MAIN, OTHER])
    assert result["preserved_branch"]["endpoints"] == [] and script.writes() == []
    predicted = restore(check_mode=True, branch_id="predicted:branch/x")
    assert predicted["branch"]["id"] == "predicted:branch/x"
    assert restore(branch_id="predicted:branch/x")["error"]["code"] == "predicted_id"


def test_a_lost_answer_is_read_back_by_the_name(script: Script) -> None:
    """Given a restore whose answer is lost, then the branch with the old state proves it, and it is sent once."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches/{MAIN}/restore", httpx.RemoteProtocolError("cut off"))
    script.expect("GET", f"{P}/branches", {"branches": [KEPT]}, query={"search": NAME})
    running = operation("o1", "start_compute", "running", branch_id=MAIN)
    detaching = operation("o2", "detach_parent_branch", "running", branch_id=MAIN)
    script.expect("GET", f"{P}/operations", {"operations": [detaching, running]})
    script.expect("GET", f"{P}/operations/o1", {"operation": {**running, "status": "finished"}})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": RESTORED})
    expect_tree(script, [RESTORED, KEPT])
    assert restore()["changed"] is True and len(script.writes()) == 1


def test_a_restore_that_left_no_trace_is_an_unknown_outcome(script: Script) -> None:
    """Given a lost answer and no such branch, then the error says that it was not restored."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches/{MAIN}/restore", httpx.ReadTimeout("lost"))
    for _ in range(60):
        script.expect("GET", f"{P}/branches", {"branches": []})
    result = restore()
    assert result["error"]["code"] == "unknown_outcome" and "was not restored" in result["msg"]
    del script.calls[len(script.requests) :]


def test_a_success_without_the_old_state_is_an_error(script: Script) -> None:
    """Given an API that reports success and kept nothing, then the run stops and says so."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches/{MAIN}/restore", {"branch": main_branch(), "operations": []})
    script.expect("GET", f"{P}/branches/{MAIN}", {"branch": main_branch()})
    expect_tree(script, [main_branch()])
    result = restore()
    assert result["failed"] and result["error"]["code"] == "not_applied" and result["partial"]["branch"]["id"] == MAIN


def test_time_that_runs_out_returns_what_is_known(script: Script, clock: FakeClock) -> None:
    """Given a branch that stays "resetting", then a timeout with the operations and the branch."""
    expect_tree(script, [main_branch()])
    script.expect("POST", f"{P}/branches/{MAIN}/restore", reply())
    for _ in range(20):
        script.expect("GET", f"{P}/branches/{MAIN}", {"branch": {**RESTORED, "current_state": "resetting"}})
    result = restore(wait_timeout=5)
    assert result["error"]["code"] == "timeout" and "resetting" in result["msg"]
    assert result["partial"]["branch"]["id"] == MAIN and sum(clock.slept) == pytest.approx(5)
    del script.calls[len(script.requests) :]


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a restore that was done, then both ways give equal results."""
    stub_server.answer("GET", f"/api/v2{P}/branches", {"branches": [RESTORED, KEPT], "pagination": {}})
    stub_server.answer("GET", f"/api/v2{P}/endpoints", {"endpoints": []})
    options = {
        "project_id": PROJECT,
        "branch_id": MAIN,
        "source_timestamp": POINT,
        "preserve_under_name": NAME,
        "neon_api_url": f"{stub_server.url}/api/v2",
    }
    result = both_ways.same("neon_branch_restore", options, variables={"rewind_neon_api_key": NEON_KEY})
    assert result["changed"] is False and result["preserved_branch"]["name"] == NAME
