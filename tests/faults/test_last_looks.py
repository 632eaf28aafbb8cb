# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens between two looks: rows that are written meanwhile, a primary that goes, a fence that fails."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any

import httpx
import pytest
from psycopg import sql

from tests.faults.conftest import Tell
from tests.faults.killing import DISABLE, Point
from tests.faults.story import Story
from tests.support.sandbox import wait_for
from tests.support.targets import Target, Targets

SECRET = "c2VjcmV0LXF1ZXJ5LXRva2Vu4711"


LONG = pytest.mark.long


class Writer:
    """A client that writes through the application all the time; `rows` counts those that were acknowledged as new."""

    def __init__(self, target: Target) -> None:
        self.rows = 0
        self._url = target.url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20.0, trust_env=False) as web:
            while not self._stop.wait(0.05):
                try:
                    answer = web.post("/api/progress", json={})
                except httpx.HTTPError:
                    continue
                self.rows += answer.status_code == 201 and answer.json()["created"]

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(30)


def final_losses(story: Story) -> list[dict[str, Any]]:
    """What each run measured last."""
    return [line["data"] for line in story.lines() if line["step"] == "final_loss" and line["phase"] == "done"]


@pytest.mark.parametrize("strategy", ["repoint", pytest.param("in_place", marks=LONG)])
def test_rows_written_after_the_loss_was_shown_count_against_the_limit(tell: Tell, strategy: str) -> None:
    """Given an application that writes on, a limit of no row stops the run unharmed; within a limit they are told."""
    story = tell(strategy)
    with Writer(story.target) as writer:
        refused = story.restore(max_extra_loss=0).failed()
    assert "max_extra_loss allows 0" in refused.message
    assert "rows were written or deleted between showing the loss" in refused.message
    assert story.target.string() == story.old_string
    assert story.target.status()["text"] == story.spoilt[0]
    assert writer.rows > 0
    assert story.state()[1] >= story.spoilt[1] + writer.rows, "no acknowledged row is lost"
    assert story.target.web.post("/api/progress", json={}).status_code == 201
    assert story.locks() == []

    with Writer(story.target) as writer:
        story.restore(max_extra_loss=100_000).ok()
    assert story.target.status()["text"] == story.target.stored() == story.good[0]
    first, last = final_losses(story)
    assert first["rows"] > 0 and last["rows"] > 0
    assert last["tables"]['public."QuestProgress"'] == last["rows"], "the table that lost them is named"
    report = sorted((story.playbooks.state / "reports" / story.target.name).glob("*.json"))[-1]
    assert f"{last['rows']} rows were written or deleted" in report.read_text(encoding="utf-8")


@LONG
def test_a_primary_that_cannot_be_read_any_more_stops_the_run_before_its_cutover(tell: Tell) -> None:
    """Given a primary that was read for the plan and then takes no connection, nothing is cut over unmeasured."""
    story = tell("repoint")
    story.control.settings(neon__operation_seconds__create_branch=3)
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format
    name = sql.Identifier(story.target.database)
    with story.target.connect() as connection:
        try:
            process = story.start()
            process.wait_until(lambda: Point("make_branch").stands_in(story.lines()), "the branch")
            connection.execute(limit(name, sql.Literal(0)))
            process.wait()
        finally:
            story.control.settings(neon__operation_seconds__create_branch=0.02)
            connection.execute(limit(name, sql.Literal(-1)))
    assert "was read for the plan and cannot be read now" in process.text
    assert "Nothing has been cut over" in process.text
    assert story.state() == story.spoilt and story.target.string() == story.old_string
    story.restore().ok()
    story.assert_restored(runs=2)


@pytest.mark.long
def test_a_fence_that_fails_leaves_a_proven_cutover_open_until_it_is_finished(tell: Tell) -> None:
    """Given computes of the old primary that cannot be disabled, the run fails, says so, and the next one finishes."""
    story = tell("repoint")
    story.control.fault(**DISABLE("status"), status=422, body={"message": "endpoint is not changed"}, count=100)
    failed = story.restore().failed()
    assert "The cutover is proven: the application serves the restored data" in failed.message
    assert "may still take writes" in failed.message and "run the same command again" in failed.message
    assert story.state() == story.good
    story.control.calm()
    story.restore().ok()
    story.assert_restored()


@pytest.mark.parametrize("strategy", [pytest.param("repoint", marks=LONG), "in_place"])
def test_what_the_application_wrote_meanwhile_is_never_taken_back_by_itself(tell: Tell, strategy: str) -> None:
    """Given a proof that fails and an application that has written, the run holds, and writes go on as before."""
    story = tell(strategy)
    # In the inventory, as a person sets it: Ansible itself shows what is given on the command line.
    facts = {"rewind_sandbox_target": story.target.facts, "rewind_cutover_timeout": 25}
    address = f"{story.target.url}/nowhere?token={SECRET}"
    story.playbooks.add_host(story.target.name, **facts, rewind_health_url=address)
    with Writer(story.target):
        held = story.playbooks.restore("-vvvv", **story.variables, **story.inputs, max_extra_loss=100_000)
        assert "the application has written to the restored data since" in held.failed().message
        assert "health_url" in held.message
        assert SECRET not in held.text, "an address may hold a token in its query"
    assert story.target.status()["text"] == story.good[0]
    assert story.target.web.post("/api/progress", json={}).status_code == 201, "it takes writes again"
    assert not story.target.status()["database"]["read_only"]

    story.playbooks.add_host(story.target.name, **facts)
    refused = story.undo().failed()
    assert "accept_loss=true" in refused.message
    story.undo(accept_loss=True).ok()
    assert story.target.status()["text"] == story.spoilt[0]
    assert story.target.web.post("/api/progress", json={}).status_code == 201
    lost = [line["data"]["written"] for line in story.lines() if line["step"] == "undo" and line["phase"] == "intent"]
    assert "QuestProgress" in json.dumps(lost[-1]), "what was lost stands in the journal"


@LONG
@pytest.mark.parametrize("strategy", ["repoint", "in_place"])
def test_writes_that_a_killed_undo_had_stopped_are_taken_again_by_the_next_restore(tell: Tell, strategy: str) -> None:
    """Given an undo of a finished restore, killed while it looked, the same restore leaves no read-only database."""
    story = tell(strategy)
    story.restore().ok()
    story.crash_at(Point("fence_restored", "done"), "undo")
    assert story.target.status()["database"]["read_only"]
    story.restore().ok()
    story.assert_restored()


@LONG
def test_a_backup_that_an_undo_has_left_read_only_is_restored_to_take_writes(tell: Tell) -> None:
    """Given a branch that was fenced while an undo looked at it, what is made from it serves and takes writes."""
    story = tell("repoint")
    story.restore().ok()
    first = story.target.primary()["id"]
    story.undo().ok()
    # The fence is data of that branch, and so of every branch that is made from it.
    again = story.restore(point_in_time="", source_branch=first, lsn=head_of(story, first), again=True)
    again.ok()
    assert story.target.primary()["parent_id"] == first
    assert story.state() == story.good
    assert story.target.web.post("/api/progress", json={}).status_code == 201


def head_of(story: Story, branch_id: str) -> str:
    """The last position of a branch's log."""
    with story.target.connect(branch_id) as connection:
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.long
def test_a_check_after_a_run_that_stopped_wakes_nothing(tell: Tell) -> None:
    """Given a restore branch that waits for a yes and has gone to sleep, a check lists its compute and leaves it."""
    story = tell("repoint", variables={"rewind_environment": "production"})
    stopped = story.restore().failed()
    assert "nobody has said yes to it" in stopped.message
    branch = next(item for name, item in story.target.branches().items() if name.startswith("restore-"))
    compute = story.target.endpoints(branch["id"])[0]["id"]
    path = f"/projects/{story.target.project}/endpoints/{compute}/suspend"
    assert story.target.neon.post(path).is_success

    def sleeps() -> bool:
        return str(story.target.endpoints(branch["id"])[0]["current_state"]) == "idle"

    wait_for(sleeps, seconds=30, what="the suspended compute")
    checked = story.playbooks.restore("--check", "--diff", **story.variables, **story.inputs).ok()
    assert sleeps(), "a check wakes no compute"
    assert f"Reading would wake: {compute} of" in checked.text
    story.restore(confirm=story.target.name).ok()
    story.assert_restored(runs=2)


@LONG
@pytest.mark.parametrize(
    "point",
    [Point("deploy_.*"), Point("deploy_.*", "done"), Point("env_.*")],
    ids=str,
)
def test_a_second_application_moves_with_a_killed_run(tell: Tell, targets: Targets, point: Point) -> None:
    """Given a run killed while it moved another application, the next one moves both, and undo brings both back."""
    story = tell("repoint")
    made = targets.application(f"beside-{story.target.name}", {"DATABASE_URL": story.old_string})
    other = Target(f"beside-{story.target.name}", {**story.target.facts, **made}, story.target.sandbox)
    story.inputs["also_repoint"] = [other.name]
    story.crash_at(point)
    story.restore().ok()
    story.assert_restored()
    assert other.string() == story.target.string() == other.environ()["DATABASE_URL"]
    assert other.status()["text"] == story.good[0]
    story.undo(accept_loss=True).ok()
    assert story.target.string() == other.string() == story.old_string
    assert other.environ()["DATABASE_URL"] == story.old_string
    assert other.status()["text"] == story.spoilt[0]
