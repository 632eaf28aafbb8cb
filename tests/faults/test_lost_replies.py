# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that are lost, refused, broken or untrue: the run ends right or takes itself back, and never lies."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import (
    DELETE_BRANCH,
    DEPLOY,
    DISABLE,
    ENV,
    MAKE_BRANCH,
    PAUSE,
    RESTORE_IN_PLACE,
    Fault,
    Point,
    inside,
)

WRITES = {
    "repoint": {
        "branch": MAKE_BRANCH,
        "pause": PAUSE,
        "env": ENV,
        "deploy": DEPLOY,
        "disable": DISABLE,
    },
    "in_place": {
        "branch": MAKE_BRANCH,
        "delete": DELETE_BRANCH,
        "restore": RESTORE_IN_PLACE,
    },
}
RUNNING = {"message": "project already has running conflicting operations, scheduling of new ones is prohibited"}


@pytest.mark.parametrize("strategy", WRITES)
def test_when_the_answer_of_every_write_is_lost_once_then_it_is_read_back_and_nothing_is_done_twice(
    tell: Tell, strategy: str
) -> None:
    """Given that every write is done and its answer lost, the run reads back what was done and ends well."""
    story = tell(strategy)
    faults = [story.control.fault(**write("drop_after")) for write in WRITES[strategy].values()]
    since = story.control.last_request()
    story.restore().ok()
    hits = {item["id"]: item["hits"] for item in story.control.call("GET", "/faults")["faults"]}
    assert [hits[fault] for fault in faults] == [1] * len(faults)
    once = [item for item in story.writes(since) if item.endswith(("/branches", "/restore", "/rollback"))]
    assert len(once) == len(set(once)), once
    story.assert_restored()


@pytest.mark.long
@pytest.mark.parametrize("effect", ["drop_before", "drop_after", "malformed", "truncated", "broken_gateway"])
@pytest.mark.parametrize(
    ("strategy", "write"), [(strategy, write) for strategy, writes in WRITES.items() for write in writes]
)
def test_when_one_answer_is_lost_then_the_run_or_the_next_one_ends_right(
    tell: Tell, strategy: str, write: str, effect: str
) -> None:
    """Given one write whose answer is lost, a run that says it succeeded has; one that failed is made good by the next.

    `drop_before`: nobody knows that it was not done. `broken_gateway`: it was done, and a proxy in between says 502.
    """
    story = tell(strategy)
    how: dict[str, Any] = {"status": 502, "body": "<html>Bad Gateway</html>"} if effect == "broken_gateway" else {}
    fault: Fault = WRITES[strategy][write]("status_after" if how else effect)
    story.control.fault(**fault, **how)
    first = story.restore()
    if first.returncode:
        assert "Traceback" not in first.text
        assert first.message
        story.control.calm()
        story.restore().ok()
    story.assert_restored(runs=2)


def test_when_the_services_are_busy_then_they_are_waited_out(tell: Tell) -> None:
    """Given 423 for longer than 15 s, 503, 429 with Retry-After and broken answers to reads, a repoint succeeds."""
    story = tell("repoint")
    writes = WRITES["repoint"]
    busy = {"effect": "status"}
    story.control.fault(**{**writes["branch"](""), **busy, "status": 423, "body": RUNNING, "count": 6})
    story.control.fault(**{**writes["disable"](""), **busy, "status": 503, "body": "<html>busy</html>", "count": 2})
    story.control.fault(**{**writes["env"](""), **busy, "status": 429, "headers": {"Retry-After": "3"}})
    for path in ("/branches$", "/operations", "/endpoints$"):
        story.control.fault(**inside("neon", "GET", path)("malformed"))
    for path in ("/envs$", "/deployments/", "/applications/[^/]+$"):
        story.control.fault(**inside("coolify", "GET", path)("truncated"))
    since = story.control.last_request()
    story.restore().ok()
    log = [item for item in story.control.requests(since) if item["method"] != "GET"]
    asked = [item for item in log if item["path"].endswith("/branches")]
    assert [item["status"] for item in asked] == [423] * 6 + [201]
    assert seconds(asked[0], asked[-1]) > 15
    env = [item for item in log if item["path"].endswith("/envs/bulk") and "rewind0probe" not in item["path"]]
    assert [item["status"] for item in env] == [429, 201]
    assert seconds(env[0], env[1]) >= 3
    story.assert_restored()


@pytest.mark.long
def test_when_a_restore_in_place_is_said_to_have_failed_then_it_is_taken_back(tell: Tell) -> None:
    """Given an operation of the restore in place that ends failed, the run fails and the old state is back."""
    story = tell("in_place")
    # Long enough that it is asked for how far the operation is.
    story.control.settings(neon__operation_seconds__create_branch=3, neon__default_operation_seconds=3)
    try:
        process = story.start()
        process.wait_until(lambda: Point("delete_preview", "done").stands_in(story.lines()), "the deletion")
        operation = {"id": "0", "action": "timeline_restore", "status": "failed", "error": "storage is gone"}
        reading = inside("neon", "GET", "/operations/[^/]+$")("status")
        fault = story.control.fault(**{**reading, "status": 200, "body": {"operation": operation}})
        process.wait()
    finally:
        story.control.settings(neon__operation_seconds__create_branch=0.02, neon__default_operation_seconds=0.02)
    found = {item["id"]: item["hits"] for item in story.control.call("GET", "/faults")["faults"]}
    assert found[fault] == 1
    assert "storage is gone" in process.text
    assert "was taken back" in process.text, process.text[-3000:]
    story.assert_taken_back()


@pytest.mark.long
def test_when_a_deployment_is_said_to_have_failed_then_it_is_taken_back(tell: Tell) -> None:
    """Given a deployment with an unknown status and then `failed`, the run fails and the old string is back."""
    story = tell("repoint")
    process = story.start()
    process.wait_until(lambda: Point("deploy").stands_in(story.lines()), "the deployment")
    said = story.target.deployments()[0]
    reading = inside("coolify", "GET", "/deployments/(?!applications)[^/]+$")("status")
    # It may have ended by now, and what has ended is not asked again.
    for status, ended in (("teleporting", None), ("failed", said["created_at"])):
        body = {**said, "logs": "[]", "status": status, "finished_at": ended}
        story.control.fault(**{**reading, "status": 200, "body": body})
    process.wait()
    assert "was taken back" in process.text, process.text[-2000:]
    story.assert_taken_back()


def seconds(first: dict[str, Any], last: dict[str, Any]) -> float:
    """Between two entries of the request log."""
    began, ended = (datetime.datetime.fromisoformat(item["at"]) for item in (first, last))
    return (ended - began).total_seconds()
