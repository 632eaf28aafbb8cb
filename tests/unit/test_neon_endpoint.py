# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_endpoint and neon_branch_info."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import (
    MAIN,
    NEW,
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

EP = "ep-cool-frost-a1b2c3d4"
IDLE = endpoint(EP, MAIN)
ACTIVE = {**IDLE, "current_state": "active"}


def compute(*, check_mode: bool = False, **options: Any) -> Json:
    return call("neon_endpoint", check_mode=check_mode, branch_id=MAIN, **options)


def expect_list(script: Script, *endpoints: Json) -> None:
    script.expect("GET", f"{P}/branches/{MAIN}/endpoints", {"endpoints": list(endpoints)})


def expect_read(script: Script, found: Json) -> None:
    script.expect("GET", f"{P}/endpoints/{EP}", {"endpoint": found})


def test_a_compute_is_added_and_waited_for(script: Script) -> None:
    """Given a branch without compute, then one is added and its operations are waited for."""
    expect_list(script)
    expect_list(script)
    body = {"endpoint": {"branch_id": MAIN, "type": "read_write", "autoscaling_limit_max_cu": 2.0}}
    answer = {
        "endpoint": {**IDLE, "current_state": "init"},
        "operations": [operation("o1", "start_compute", "running")],
    }
    script.expect("POST", f"{P}/endpoints", answer, status=201, json=body)
    script.expect("GET", f"{P}/operations/o1", {"operation": operation("o1", "start_compute")})
    expect_read(script, ACTIVE)
    expect_read(script, ACTIVE)
    result = compute(autoscaling_limit_max_cu=2)
    assert result["changed"] is True and result["endpoint"]["id"] == EP, result
    assert result["endpoint"]["branch_id"] == MAIN and result["diff"]["before"] == {}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"endpoint_id": EP},
        {"autoscaling_limit_min_cu": 0.25, "suspend_timeout_seconds": 300, "disabled": False},
        {"settings": {"pg_settings": {}}},
        {"state": "suspended"},
    ],
)
def test_a_compute_that_is_as_wanted_is_no_change(script: Script, options: Json) -> None:
    """Given a compute with these values, then nothing is sent."""
    expect_list(script, endpoint("ep-replica", MAIN, type="read_only"), IDLE)
    expect_read(script, IDLE)
    assert compute(**options)["changed"] is False


def test_only_what_differs_is_sent(script: Script) -> None:
    """Given other limits, then they alone are patched."""
    expect_list(script, IDLE)
    script.expect(
        "PATCH", f"{P}/endpoints/{EP}", {"endpoint": IDLE, "operations": []}, json={"endpoint": {"disabled": True}}
    )
    for _ in range(2):
        expect_read(script, {**IDLE, "disabled": True})
    result = compute(disabled=True, autoscaling_limit_max_cu=2.0)
    assert result["changed"] is True and result["endpoint"]["disabled"] is True
    assert result["diff"]["before"]["disabled"] is False


@pytest.mark.parametrize(
    ("state", "before", "after", "verb"),
    [("started", IDLE, ACTIVE, "start"), ("suspended", ACTIVE, IDLE, "suspend")],
)
def test_a_compute_is_brought_into_a_state(script: Script, state: str, before: Json, after: Json, verb: str) -> None:
    """Given another state, then the verb is sent, through a lock too, and the state itself is waited for."""
    expect_list(script, before)
    text = "endpoint is in some transitive state, could not suspend"
    script.expect("POST", f"{P}/endpoints/{EP}/{verb}", {"message": text}, status=423)
    script.expect("POST", f"{P}/endpoints/{EP}/{verb}", {"operations": [operation("o1", "apply_config")]})
    expect_read(script, before)
    expect_read(script, after)
    expect_read(script, after)
    result = compute(state=state)
    assert result["changed"] is True and result["endpoint"]["current_state"] == after["current_state"]


def test_a_disabled_compute_is_not_started_by_accident(script: Script) -> None:
    """Given a disabled compute, then starting it needs disabled: false."""
    disabled = {**IDLE, "disabled": True}
    expect_list(script, disabled)
    assert compute(state="started")["error"]["code"] == "compute_disabled"
    expect_list(script, disabled)
    script.expect("PATCH", f"{P}/endpoints/{EP}", {"endpoint": IDLE, "operations": []})
    expect_read(script, ACTIVE)
    expect_read(script, ACTIVE)
    assert compute(state="started", disabled=False)["changed"] is True


def test_a_compute_is_removed_once(script: Script) -> None:
    """Given a compute, then it is removed; where it, or its branch, is gone, nothing changes."""
    expect_list(script, IDLE)
    script.expect(
        "DELETE", f"{P}/endpoints/{EP}", {"endpoint": IDLE, "operations": [operation("o1", "suspend_compute")]}
    )
    expect_list(script, IDLE)
    expect_list(script)
    result = compute(state="absent")
    assert result["changed"] is True and result["endpoint"] is None and result["diff"]["before"]["id"] == EP
    expect_list(script)
    assert compute(state="absent")["changed"] is False
    script.expect("GET", f"{P}/branches/{MAIN}/endpoints", {"message": "branch not found"}, status=404)
    assert compute(state="absent")["changed"] is False


def test_check_mode_predicts_without_a_write(script: Script) -> None:
    """Given check mode, then each change is predicted in the usual shape."""
    expect_list(script)
    added = compute(check_mode=True, state="started")
    assert added["endpoint"]["id"].startswith("predicted:endpoint/") and added["endpoint"]["current_state"] == "active"
    expect_list(script, IDLE)
    changed = compute(check_mode=True, disabled=True)
    assert changed["changed"] and changed["endpoint"]["id"] == EP and changed["endpoint"]["disabled"] is True
    assert set(changed["endpoint"]) == set(added["endpoint"])
    expect_list(script, IDLE)
    assert compute(check_mode=True, state="absent")["changed"] is True
    on_predicted = call("neon_endpoint", check_mode=True, branch_id="predicted:branch/restore-1")
    assert on_predicted["endpoint"]["id"] == "predicted:endpoint/restore-1"
    assert on_predicted["endpoint"]["branch_id"] == "predicted:branch/restore-1"
    assert call("neon_endpoint", branch_id="predicted:branch/restore-1")["error"]["code"] == "predicted_id"
    assert script.writes() == []


def test_lost_answers_are_read_back(script: Script) -> None:
    """Given writes whose answers are lost, then their effect is looked for, and none is sent twice."""
    expect_list(script)
    expect_list(script)
    script.expect("POST", f"{P}/endpoints", httpx.ReadTimeout("lost"))
    expect_list(script)
    expect_list(script, IDLE)
    script.expect("GET", f"{P}/operations", {"operations": []})
    expect_read(script, IDLE)
    expect_read(script, IDLE)
    assert compute()["changed"] is True
    expect_list(script, IDLE)
    script.expect("PATCH", f"{P}/endpoints/{EP}", httpx.ReadError("reset"))
    expect_read(script, {**IDLE, "disabled": True})
    script.expect("GET", f"{P}/operations", {"operations": []})
    for _ in range(2):
        expect_read(script, {**IDLE, "disabled": True})
    assert compute(disabled=True)["endpoint"]["disabled"] is True
    expect_list(script, IDLE)
    script.expect("DELETE", f"{P}/endpoints/{EP}", httpx.ReadError("reset"))
    expect_list(script)
    script.expect("GET", f"{P}/operations", {"operations": []})
    assert compute(state="absent")["changed"] is True
    assert len(script.writes()) == 3


@pytest.mark.parametrize(
    ("endpoints", "options", "words"),
    [
        ([], {"state": "suspended"}, "there is none"),
        ([IDLE], {"endpoint_id": "ep-other"}, "there is none"),
        (
            [endpoint("ep-1", MAIN, type="read_only"), endpoint("ep-2", MAIN, type="read_only")],
            {"type": "read_only"},
            "ep-1, ep-2",
        ),
    ],
)
def test_a_compute_that_cannot_be_told_is_an_error(
    script: Script, endpoints: list[Json], options: Json, words: str
) -> None:
    """Given none where one must be, or several where one was meant, then the message says what to set."""
    expect_list(script, *endpoints)
    result = compute(**options)
    assert result["failed"] and words in result["msg"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["main", "backup-1", "backup-2"]),
        ({"name": "backup-1"}, ["backup-1"]),
        ({"name": "backup"}, []),
        ({"search": "backup"}, ["backup-1", "backup-2"]),
        ({"branch_id": MAIN}, ["main"]),
        ({"branch_id": "predicted:branch/x"}, []),
        ({"query": "[?parent_id == null]"}, ["main"]),
        ({"query": "[?name == 'none'] | [0]"}, []),
        ({"search": "backup", "query": "sort_by(@, &name)[-1]"}, ["backup-2"]),
    ],
)
def test_branches_are_listed_and_filtered(script: Script, filters: Json, names: list[str]) -> None:
    """Given filters, then exactly the branches that fit all of them, with children and computes."""
    backups = [branch(NEW, "backup-1", parent_id=MAIN), branch("br-2", "backup-2", parent_id=MAIN)]
    if filters.get("branch_id") != "predicted:branch/x":
        expect_tree(script, [main_branch(), *backups], [IDLE], annotations={NEW: {"reason": "42"}})
    result = call("neon_branch_info", **filters)
    assert [item["name"] for item in result["branches"]] == names, result
    for item in result["branches"]:
        assert item["children"] == (sorted([NEW, "br-2"]) if item["name"] == "main" else [])
        assert [compute["id"] for compute in item["endpoints"]] == ([EP] if item["name"] == "main" else [])
        assert item["annotations"] == ({"reason": "42"} if item["id"] == NEW else {})


def test_a_wrong_query_is_named(script: Script) -> None:
    """Given an expression that is none, then the message holds it."""
    expect_tree(script, [main_branch()])
    assert "[?" in call("neon_branch_info", query="[?")["msg"]


def test_pages_that_never_end_are_an_error(script: Script) -> None:
    """Given a server that gives the same cursor again, then the module stops."""
    for _ in range(2):
        script.expect("GET", f"{P}/branches", {"branches": [main_branch()], "pagination": {"next": "same"}})
    assert call("neon_branch_info")["error"]["code"] == "endless_pages"


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a server, then both modules give equal results both ways."""
    stub_server.answer("GET", f"/api/v2{P}/branches", {"branches": [main_branch()], "pagination": {}})
    stub_server.answer("GET", f"/api/v2{P}/endpoints", {"endpoints": [IDLE]})
    stub_server.answer("GET", f"/api/v2{P}/branches/{MAIN}/endpoints", {"endpoints": [IDLE]})
    stub_server.answer("GET", f"/api/v2{P}/endpoints/{EP}", {"endpoint": IDLE})
    variables = {"rewind_neon_api_key": NEON_KEY, "rewind_neon_api_url": f"{stub_server.url}/api/v2"}
    listed = both_ways.same("neon_branch_info", {"project_id": PROJECT}, variables=variables)
    assert listed["branches"][0]["endpoints"][0]["id"] == EP
    options = {"project_id": PROJECT, "branch_id": MAIN}
    assert both_ways.same("neon_endpoint", options, variables=variables)["changed"] is False
