# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: a restore really rehearsed, everything put back, and an answer to when that was last proven."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.playbooks import Playbooks
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, without_probes

pytestmark = pytest.mark.long


def _log(playbooks: Playbooks) -> list[dict[str, Any]]:
    path = playbooks.state / "drills.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _ends(playbooks: Playbooks, target: Target) -> list[str]:
    """How the journals of the drills end: with their status, or the step in which they were left open."""
    folder = playbooks.state / "journal" / target.name
    last = [json.loads(path.read_text().splitlines()[-1]) for path in sorted(folder.glob("*-drill-*.jsonl"))]
    return [line["data"].get("status") if line["step"] == "run" else line["step"] for line in last]


def _left_as_it_was(target: Target, string: str, branches: dict[str, Any], commit: str, text: str) -> None:
    assert target.string() == string, "the application's connection string is the old one"
    assert set(target.branches()) == set(branches), "no branch was left and none is missing"
    assert target.status()["commit"] == commit
    assert target.served() == text, "the application serves its own data"


def test_two_drills_rehearse_a_backup_and_an_instant_and_leave_everything_as_it_was(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a staging target, two drills take turns; each cuts the application over and back, and is measured."""
    target = targets.given()
    target.say("staging as it is")
    string, branches, commit = target.string(), target.branches(), target.status()["commit"]
    for mode in ("backup", "pitr"):
        since = control.last_request()
        played = playbooks.play("playbooks/drill.yml", "-vvvv", "--diff").ok()
        assert playbooks.leaks(played) == []
        _left_as_it_was(target, string, branches, commit, "staging as it is")
        record = _log(playbooks)[-1]
        assert (record["ok"], record["mode"], record["target"]) == (True, mode, target.name)
        assert {"test_backup", "branch", "verify", "cutover", "revert", "delete"} <= set(record["steps"])
        assert record["seconds"] > 0
        asked = [(item["method"], item["path"]) for item in control.requests(since, "coolify")]
        assert [path for method, path in asked if method == "PATCH" and path.endswith("/envs/bulk")], (
            "the application was really moved"
        )
        report = playbooks.state / "reports" / target.name / f"{record['run']}.html"
        assert "A restore works" in report.read_text(encoding="utf-8")


def test_a_check_of_a_drill_shows_it_and_sends_nothing_but_get(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    target = targets.given()
    branches, since, log = set(target.branches()), control.last_request(), _log(playbooks)
    played = playbooks.play("playbooks/drill.yml", "--check", "--diff").ok()
    assert "a drill of" in played.text
    assert without_probes(targets.writes(since)) == []
    assert (set(target.branches()), _log(playbooks)) == (branches, log)


def test_a_production_target_is_refused_before_anything_is_made(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given rewind_environment: production, the drill says why and how to go on; none was held, and none is logged."""
    target = targets.given()
    since, log = control.last_request(), _log(playbooks)
    played = playbooks.play("playbooks/drill.yml", rewind_environment="production").failed()
    assert "is a production target" in played.message
    assert "rewind_environment: staging" in played.message
    assert without_probes(targets.writes(since)) == []
    assert _log(playbooks) == log and _ends(playbooks, target)[-1] == "failed"


def test_a_drill_that_can_read_nothing_comes_to_its_end(playbooks: Playbooks, targets: Targets) -> None:
    """Given a revoked key, the drill fails before there is a plan, and nothing takes it for a killed one."""
    target = targets.given()
    log = _log(playbooks)
    playbooks.play("playbooks/drill.yml", rewind_neon_api_key="napi_revoked0123456789abcdef").failed()
    assert _log(playbooks) == log and _ends(playbooks, target)[-1] == "failed"


def test_an_answer_that_the_restore_asks_for_can_be_given_to_the_drill(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given an application without a health check, the message names the answer, and the drill takes it."""
    target = targets.given()
    control.call("PATCH", f"/applications/{target.application}", {"health_check_enabled": False})
    try:
        refused = playbooks.play("playbooks/drill.yml", "--check", "--diff").failed()
        assert "require_health_check=false" in refused.message
        playbooks.play("playbooks/drill.yml", "--check", "--diff", require_health_check="false").ok()
    finally:
        control.call("PATCH", f"/applications/{target.application}", {"health_check_enabled": True})
