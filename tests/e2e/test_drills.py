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
    branches, since, log = target.branches(), control.last_request(), _log(playbooks)
    played = playbooks.play("playbooks/drill.yml", "--check", "--diff").ok()
    assert "a drill of" in played.text
    assert without_probes(targets.writes(since)) == []
    assert (target.branches(), _log(playbooks)) == (branches, log)


def test_a_production_target_is_refused_before_anything_is_made(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given rewind_environment: production, the drill says why it is refused and how to go on."""
    targets.given()
    since = control.last_request()
    played = playbooks.play("playbooks/drill.yml", rewind_environment="production").failed()
    assert "is a production target" in played.message
    assert "rewind_environment: staging" in played.message
    assert without_probes(targets.writes(since)) == []
