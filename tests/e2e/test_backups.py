# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups: a verified branch without compute, recorded on itself and on the controller, kept as long as was said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.playbooks import Playbooks
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, text_of, without_probes


@pytest.fixture(scope="module")
def target(targets: Targets) -> Target:
    """The sandbox's tracker."""
    return targets.given()


def _records(playbooks: Playbooks) -> list[dict[str, Any]]:
    lines = (playbooks.state / "backups.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _backups(target: Target) -> dict[str, dict[str, Any]]:
    return {name: item for name, item in target.branches().items() if name.startswith("backup-")}


def _annotations(target: Target, branch_id: str) -> dict[str, Any]:
    answer = target.neon.get(f"/projects/{target.project}/branches/{branch_id}")
    assert answer.is_success, answer.text
    return dict(answer.json()["annotation"]["value"])


def test_a_backup_is_a_verified_branch_without_compute_with_its_reason_on_it(
    playbooks: Playbooks, control: Control, target: Target
) -> None:
    """Given a reason, the branch says why, who and until when; a session was really made; no compute is left."""
    target.say("worth keeping")
    rows = target.ask('SELECT count(*) FROM "QuestProgress"')
    since = control.last_request()
    played = playbooks.backup("-vvvv", "--diff", reason="before migration 42").ok()
    ((name, branch),) = _backups(target).items()
    assert name in played.text and "is made and verified" in played.text
    assert target.endpoints(branch["id"]) == [], "no compute at the end"
    asked = [(r["method"], r["path"].rpartition("/")[2]) for r in control.requests(since, "neon")]
    assert ("POST", "endpoints") in asked, "a compute was added to connect to it"
    assert branch["parent_id"] == target.primary()["id"]

    noted = _annotations(target, branch["id"])
    assert (noted["tool"], noted["reason"]) == ("rewind.database", "before migration 42")
    assert noted["who"]
    kept = datetime.fromisoformat(noted["keep_until"])
    expires = datetime.fromisoformat(branch["expires_at"])
    assert timedelta(days=6, hours=23) < kept - datetime.now(UTC) < timedelta(days=7, minutes=1)
    assert kept < expires < datetime.now(UTC) + timedelta(days=30), "expiry is a backstop behind the retention"

    record = _records(playbooks)[-1]
    assert (record["name"], record["branch_id"]) == (name, branch["id"])
    assert (record["reason"], record["verified"], record["target"]) == ("before migration 42", True, "tracker")
    assert record["rows"]['public."QuestProgress"'] == rows
    assert record["keep_until"] == noted["keep_until"]
    assert datetime.fromisoformat(record["created_at"]) == datetime.fromisoformat(branch["created_at"])


def test_a_backup_that_is_kept_for_good_needs_a_reason_and_has_no_expiry(
    playbooks: Playbooks, control: Control, targets: Targets, target: Target
) -> None:
    """Given keep=true without a reason nothing is made; with one the branch never expires."""
    since, before = control.last_request(), _backups(target)
    played = playbooks.backup(keep=True, reason="").failed()
    assert "kept for good needs a reason" in played.message
    assert without_probes(targets.writes(since)) == []
    assert _backups(target) == before
    playbooks.backup(keep=True, reason="the audit of 2026").ok()
    (name,) = _backups(target).keys() - before.keys()
    branch = _backups(target)[name]
    assert branch.get("expires_at") is None
    assert _annotations(target, branch["id"])["reason"] == "the audit of 2026"
    record = _records(playbooks)[-1]
    assert (record["keep"], record["keep_until"]) == (True, None)


def test_no_backup_is_made_while_a_verified_one_is_new_enough(
    playbooks: Playbooks, control: Control, targets: Targets, target: Target
) -> None:
    """Given unless_newer_than, a second run changes nothing; an instant makes one, and the same instant none."""
    before, since = _backups(target), control.last_request()
    played = playbooks.backup(reason="again", unless_newer_than="2h").ok()
    assert played.changed == 0
    assert "Nothing to do" in played.text
    assert _backups(target) == before
    assert without_probes(targets.writes(since)) == []

    at = target.say("at an instant")
    target.say("later")
    playbooks.backup(reason="as it was", point_in_time=text_of(at)).ok()
    (name,) = _backups(target).keys() - before.keys()
    branch = _backups(target)[name]
    assert datetime.fromisoformat(branch["parent_timestamp"]) == at
    assert name.startswith(f"backup-{at:%Y%m%d-%H%M%S}")
    assert playbooks.backup(reason="as it was", point_in_time=text_of(at)).ok().changed == 0
