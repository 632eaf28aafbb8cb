# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dry run leaves everything untouched and shows the plan; the playbooks by full name, from elsewhere, embedded."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.support.playbooks import Playbooks, find_secrets, secret_forms
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, differences, text_of

LOST = 7


@pytest.fixture(scope="module")
def target(targets: Targets) -> Target:
    """The sandbox's tracker."""
    return targets.given()


@pytest.fixture(scope="module")
def at(target: Target) -> datetime:
    """An instant after which rows were written."""
    moment = target.say("then")
    created = 0
    # Some of what the application writes changes a row that is there.
    while created < LOST:
        answer = target.web.post("/api/progress", json={})
        assert answer.status_code == 201, answer.text
        created += answer.json()["created"]
    target.say("now")
    target.end_sessions()
    return moment


@pytest.mark.parametrize("strategy", ["repoint", "in_place"])
def test_a_check_shows_the_plan_and_touches_nothing(
    playbooks: Playbooks, control: Control, targets: Targets, target: Target, at: datetime, strategy: str
) -> None:
    """Given --check --diff: only GET to both services, no change of state, no transaction that writes."""
    branch = target.primary()
    before, written, since = target.everything(), target.written_rows(), control.last_request()
    files = sorted(str(path) for path in playbooks.state.rglob("*"))
    played = playbooks.restore("--check", "--diff", "-vvvv", point_in_time=text_of(at), cutover=strategy).ok()
    assert {r["method"] for r in control.requests(since)} == {"GET"}
    assert {r["service"] for r in control.requests(since)} == {"neon", "coolify"}
    assert differences(before, target.everything()) == []
    assert target.written_rows() == written, "no row was written, catalogues included"
    assert sorted(str(path) for path in playbooks.state.rglob("*")) == files, "nothing is written to the state folder"
    text = played.text
    assert f"restore point: {text_of(at)}" in text
    assert "(UTC)" in text and " ago)" in text
    assert f"{branch['name']} {branch['id']}" in text
    assert f"{strategy}: it was asked for" in text
    for price in ("repoint:", "in_place:", "snapshot:", "branches now:", "branches afterwards:", "Not brought back"):
        assert price in text
    # The status was changed as well: where content differs, what is counted is the least that it can be.
    (lost,) = set(re.findall(r"rows lost: ([\w ]+?) \(", text.replace("'", "")))
    assert lost == f"at least {LOST + 1}"
    assert "QuestProgress" in text
    if strategy == "repoint":
        assert f"DATABASE_URL: host {target.host()} -> predicted:endpoint/restore-" in _joined(text)
    assert played.changed > 0, "what would change is shown as changed"
    assert target.served() == "now"


def _joined(text: str) -> str:
    """The lines of the plan, which Ansible prints as a list of quoted texts, joined again."""
    return " ".join(text.replace("' - '", " ").replace("' - ", " ").replace("- '", "").split())


def test_a_check_of_a_backup_touches_nothing(
    playbooks: Playbooks, control: Control, target: Target, at: datetime
) -> None:
    """Given --check, the name is predicted and no branch is made."""
    before, written, since = target.everything(), target.written_rows(), control.last_request()
    played = playbooks.backup("--check", "--diff", reason="only looking").ok()
    assert {r["method"] for r in control.requests(since)} == {"GET"}
    assert differences(before, target.everything()) == []
    assert target.written_rows() == written
    assert "would be made: backup-" in played.text


def test_the_playbooks_run_by_full_name_from_another_folder(
    playbooks: Playbooks, targets: Targets, target: Target, at: datetime, tmp_path: Path
) -> None:
    """Given a folder without any configuration, the collection is found and does the same."""
    target.say("by full name")
    played = playbooks.play("rewind.database.backup", folder=tmp_path, reason="by full name").ok()
    name = next(key for key in target.branches() if key.startswith("backup-"))
    assert name in played.text
    checked = playbooks.play("rewind.database.restore", "--check", "--diff", folder=tmp_path, backup=name).ok()
    assert name in checked.text


def test_a_backup_can_be_embedded_before_a_step_of_another_playbook(
    playbooks: Playbooks, target: Target, tmp_path: Path
) -> None:
    """Given import_playbook and include_role in a deploy playbook, the backup is there before the step runs."""
    count = len([key for key in target.branches() if key.startswith("backup-")])
    step = {
        "name": "Deploy",
        "ansible.builtin.debug": {"msg": "deploying after {{ backup_result.name }} ({{ backup_result.changed }})"},
    }
    include = {
        "name": "Back up first",
        "ansible.builtin.include_role": {"name": "rewind.database.backup"},
        "vars": {"backup_reason": "before the deploy", "backup_name": "backup-20250113-143000"},
    }
    plays = [
        {"name": "First", "ansible.builtin.import_playbook": "rewind.database.backup"},
        {"name": "Then", "hosts": "rewind_targets", "gather_facts": False, "tasks": [include, step]},
    ]
    (tmp_path / "deploy.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
    played = playbooks.play(tmp_path / "deploy.yml", folder=tmp_path, reason="embedded").ok()
    assert "deploying after backup-20250113-143000 (True)" in played.text
    assert len([key for key in target.branches() if key.startswith("backup-")]) == count + 2
    again = playbooks.play(tmp_path / "deploy.yml", folder=tmp_path, unless_newer_than="1h").ok()
    assert again.changed == 0, "by name, and by how new the newest is, a second run changes nothing"
    assert "deploying after backup-20250113-143000 (False)" in again.text


def test_what_the_runs_are_looked_through_for_would_be_found(playbooks: Playbooks) -> None:
    """The search for secrets finds each form of one; without this its silence would mean nothing."""
    secrets = playbooks.known_secrets()
    connection = playbooks.sandbox.connection
    assert connection["neon_api_key"] in secrets
    assert connection["coolify_access_token"].partition("|")[2] in secrets
    assert any(secret.startswith("postgresql://") for secret in secrets)
    secret = sorted(secrets)[0]
    for form in secret_forms(secret):
        assert find_secrets({"somewhere": f"x{form}y"}, secrets), form
    assert find_secrets({"log": "postgresql://me:unknown-password@host/db"}, secrets)
    assert not find_secrets({"log": "postgresql://me:***@host/db nothing else"}, secrets)
    for played in playbooks.runs:
        assert playbooks.leaks(played) == []
