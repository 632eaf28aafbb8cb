# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutovers that must not succeed: they take themselves back; and code that does not fit the data of then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.tracker.versions import find
from tests.support.playbooks import Playbooks
from tests.support.sandbox import CLONE, Control, wait_for
from tests.support.targets import Target, Targets, differences, instant, text_of, without_probes

GOOD, BAD = find("good").sha, find("bad_migration").sha
LONGEST_GAP = 2.0


@contextmanager
def reader(target: Target, folder: Path) -> Iterator[dict[str, Any]]:
    """A client that reads through the application every 50 ms; the dict holds its summary afterwards."""
    out = folder / "reader.json"
    command = [sys.executable, "-m", "sandbox.tracker.writer", "--url", target.url, "--mode", "read", "--out", str(out)]
    process = subprocess.Popen(command, cwd=CLONE, stdout=subprocess.DEVNULL)
    summary: dict[str, Any] = {}
    try:
        yield summary
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    summary |= json.loads(out.read_text(encoding="utf-8"))


def _instant_without_a_table(target: Target) -> datetime:
    """An instant at which the application could not have used its database."""
    with target.connect() as connection:
        connection.execute('ALTER TABLE "Objective" RENAME TO "ObjectiveAside"')
        moment = instant()
        connection.execute('ALTER TABLE "ObjectiveAside" RENAME TO "Objective"')
    return moment


@pytest.fixture(scope="module")
def fragile(playbooks: Playbooks, targets: Targets) -> Target:
    """A target whose checks do not look at a table that its application needs."""
    made = targets.make("fragile")
    checks = [{"kind": "rows", "table": '"User"', "min": 1}]
    playbooks.add_host("fragile", rewind_sandbox_target=made.facts, rewind_checks=checks)
    targets.control.call("PATCH", f"/applications/{made.application}", {"health_check_retries": 4})
    return made


def test_a_repoint_to_a_database_that_the_application_cannot_use_undoes_itself(
    playbooks: Playbooks, control: Control, fragile: Target, tmp_path: Path
) -> None:
    """Given an instant at which a table was missing, the run ends failed and readers of the old data see no gap."""
    at = _instant_without_a_table(fragile)
    fragile.say("before the failed cutover")
    string, status, rows = fragile.string(), fragile.status(), fragile.rows()
    with reader(fragile, tmp_path) as seen:
        played = playbooks.restore(
            "-vvvv", "--diff", target="fragile", point_in_time=text_of(at), cutover="repoint"
        ).failed()
    assert "was taken back: the application serves main again" in played.message
    assert "Cause:" in played.message
    assert seen["good"] > 20
    assert seen["longest_pause"] < LONGEST_GAP, seen
    assert fragile.string() == string
    after = fragile.status()
    assert after["text"] == "before the failed cutover"
    assert after["commit"] == status["commit"]
    assert after["database"]["host"] == status["database"]["host"]
    assert fragile.environ()["DATABASE_URL"] == string
    assert [{k: r[k] for k in r if k != "updated_at"} for r in fragile.rows()] == [
        {k: r[k] for k in r if k != "updated_at"} for r in rows
    ]
    primary = fragile.primary()
    assert primary["name"] == "main"
    assert not any(item["disabled"] for item in fragile.endpoints(primary["id"]))
    fragile.say("and it can be written to")
    assert fragile.stored() == "and it can be written to"
    assert not list((playbooks.state / "locks").glob("*.lock"))
    reports = sorted((playbooks.state / "reports" / "fragile").glob("*.json"))
    assert json.loads(reports[-1].read_text(encoding="utf-8"))["verdict"]["ok"] is False


def test_a_restore_in_place_to_such_a_database_undoes_itself(playbooks: Playbooks, fragile: Target) -> None:
    """Given the same in place, what the primary held before is what it holds again, at the same address."""
    at = _instant_without_a_table(fragile)
    fragile.say("before the failed restore in place")
    string = fragile.string()
    played = playbooks.restore(target="fragile", point_in_time=text_of(at), cutover="in_place").failed()
    assert "was taken back: the application serves main again" in played.message
    assert fragile.string() == string
    assert fragile.served() == fragile.stored() == "before the failed restore in place"
    assert fragile.web.get("/api/health").status_code == 200
    assert not [name for name in fragile.branches() if name.startswith("preview-")]


def _deploy(target: Target) -> None:
    """As a person does in Coolify: deploys the head of the branch and waits for the end."""
    before = len(target.deployments())
    answer = target.coolify.post("/deploy", json={"uuid": target.application})
    assert answer.is_success, answer.text

    def ended() -> bool:
        rows = target.deployments()
        return len(rows) > before and all(row["status"] not in ("queued", "in_progress") for row in rows)

    wait_for(ended, seconds=90, what="the end of the deployment")
    assert target.deployments()[0]["status"] == "finished"
    wait_for(lambda: target.shown_status() == "running:healthy", seconds=60, what="Coolify's look at the health")


@pytest.mark.long
def test_an_application_that_migrates_at_start_is_restored_only_with_a_commit_that_fits(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a deployed migration that destroyed rows, the running commit would destroy them again at its next start.

    The run stops before any write and names the commit that ran then; with it the rows are back, and stay.
    """
    target = targets.given("migrator")
    whole = target.ask('SELECT count(*) FROM "QuestProgress"')
    at = target.say("before the migration")
    control.call("POST", f"/repositories/{target.application}/push", {"commit": "bad_migration"})
    _deploy(target)
    assert target.status()["commit"] == BAD
    assert target.ask('SELECT count(*) FROM "QuestProgress"') < whole

    since, before = control.last_request(), target.everything()
    played = playbooks.restore(target="migrator", point_in_time=text_of(at), cutover="repoint").failed()
    assert without_probes(targets.writes(since)) == [], "nothing but the proofs of abilities"
    assert differences(before, target.everything()) == []
    assert f"deploy_commit={GOOD}" in played.message
    assert "20250113142500_archive_stale_progress" in played.message

    playbooks.restore(target="migrator", point_in_time=text_of(at), cutover="repoint", deploy_commit=GOOD).ok()
    _has_it_back(target, whole)

    control.call("POST", f"/repositories/{target.application}/push", {"commit": "bad_migration", "webhook": True})
    _deploy(target)
    _has_it_back(target, whole)


def _has_it_back(target: Target, whole: int) -> None:
    status = target.status()
    assert status["text"] == "before the migration"
    assert status["commit"] == GOOD
    assert status["database"]["quest_progress"] == whole
    heads = target.ask('SELECT string_agg("migration_name", \',\') FROM "_prisma_migrations"')
    assert "archive_stale_progress" not in heads
