# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a deployment: the backup that the rules ask for, recorded with its commit; and the way back to it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, without_probes

pytestmark = pytest.mark.long

COMMIT = "4f2a9c1e8b7d6053a1c2e4f60718293a4b5c6d7e"


@pytest.fixture(scope="module")
def target(targets: Targets) -> Target:
    """The sandbox's tracker."""
    return targets.given()


@pytest.fixture
def repository(tmp_path: Path, target: Target) -> Path:
    """A clone whose migrations are those that the database has seen."""
    with target.connect() as connection:
        names = [row[0] for row in connection.execute('SELECT migration_name FROM "_prisma_migrations"')]
    for name in names:
        _write(tmp_path / "prisma" / "migrations" / name / "migration.sql", "SELECT 1;")
    _write(tmp_path / "src" / "app.ts", "console.log(1)")
    _git(tmp_path, "init", "-q", "-b", "main")
    _commit(tmp_path)
    return tmp_path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _commit(folder: Path) -> str:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "change")
    return _git(folder, "rev-parse", "HEAD")


def _predeploy(playbooks: Playbooks, *options: str, **variables: Any) -> Played:
    return playbooks.play("playbooks/predeploy.yml", *options, **variables)


def _backups(target: Target) -> set[str]:
    return {name for name in target.branches() if name.startswith("backup-")}


def _records(playbooks: Playbooks) -> list[dict[str, Any]]:
    path = playbooks.state / "backups.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def test_without_a_commit_nothing_is_made_and_it_says_what_to_say(playbooks: Playbooks, target: Target) -> None:
    """Given no commit, then it fails, names the option, and makes no branch."""
    before = _backups(target)
    played = _predeploy(playbooks, schema_migration=True).failed()
    assert "which commit is going to be deployed" in played.message and "-e commit=" in played.message
    assert _backups(target) == before


def test_in_check_mode_it_decides_and_writes_nothing(
    playbooks: Playbooks, control: Control, targets: Targets, target: Target
) -> None:
    """Given --check, then the decision is shown and no name that does not exist; only GET is sent, nothing recorded."""
    since, before = control.last_request(), _records(playbooks)
    played = _predeploy(playbooks, "--check", "--diff", commit=COMMIT, bulk_operation="merge users").ok()
    assert "a bulk operation is going to be run: merge users" in played.text
    assert f"A backup would be made and verified before {COMMIT}" in played.text
    assert "before_deploy=" not in played.text and "backup=backup-" not in played.text
    assert without_probes(targets.writes(since)) == []
    assert _records(playbooks) == before


def test_a_backup_is_made_before_an_unknown_change_and_found_again(
    playbooks: Playbooks, control: Control, targets: Targets, target: Target
) -> None:
    """Given only a commit, then a verified backup is made, with commit and migration head; a second run makes none."""
    target.say("before the deployment")
    before = _backups(target)
    played = _predeploy(playbooks, commit=COMMIT).ok()
    (name,) = _backups(target) - before
    assert "nothing says what the deployment changes" in played.text
    assert f"before_deploy={COMMIT}" in played.text and f"backup={name}" in played.text

    record = _records(playbooks)[-1]
    assert (record["name"], record["before_commit"], record["verified"]) == (name, COMMIT, True)
    assert record["commit"] != COMMIT, "the one that runs is another"
    head = target.ask('SELECT migration_name FROM "_prisma_migrations" ORDER BY started_at DESC, 1 DESC LIMIT 1')
    assert record["migration"]["head"] == head
    noted = target.neon.get(f"/projects/{target.project}/branches/{record['branch_id']}").json()["annotation"]["value"]
    assert noted["before_commit"] == COMMIT and noted["tool"] == "rewind.database"

    since = control.last_request()
    again = _predeploy(playbooks, commit=COMMIT[:10]).ok()
    assert again.changed == 0 and f"backup={name}" in again.text
    assert without_probes(targets.writes(since)) == [] and len(_backups(target)) == len(before) + 1


def _killed(playbooks: Playbooks, target: Target) -> Path:
    """The journal of a run that was killed after its first line."""
    folder = playbooks.state / "journal" / target.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = "20250101T000000Z-predeploy-0a1b2c"
    line = {"v": 1, "run": run, "seq": 1, "at": "2025-01-01T00:00:00Z", "step": "run", "phase": "intent", "ids": {}}
    data = {"verb": "predeploy", "target": target.name, "inputs": {"commit": COMMIT}}
    path = folder / f"{run}.jsonl"
    path.write_text(json.dumps({**line, "undo": None, "error": None, "data": data}) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_code_without_a_migration_needs_no_backup(playbooks: Playbooks, target: Target, repository: Path) -> None:
    """Given a range that changes only code, then none is made, and an instant is named; a killed run is ended."""
    before, killed = _backups(target), _killed(playbooks, target)
    old = _git(repository, "rev-parse", "HEAD")
    _write(repository / "src" / "app.ts", "console.log(2)")
    new = _commit(repository)
    played = _predeploy(playbooks, commit=new, repository=str(repository), changes=f"{old}..{new}").ok()
    assert "A backup is not needed" in played.text and "-e point_in_time=" in played.text
    assert _backups(target) == before
    assert json.loads(killed.read_text(encoding="utf-8").splitlines()[-1])["data"]["status"] == "failed"


def test_a_pending_migration_asks_for_a_backup(playbooks: Playbooks, target: Target, repository: Path) -> None:
    """Given a migration that the database has not seen, then it is named, and a backup is made, without any range."""
    before = _backups(target)
    _write(repository / "prisma" / "migrations" / "29990101000000_quests" / "migration.sql", "SELECT 1;")
    new = _commit(repository)
    played = _predeploy(playbooks, commit=new, repository=str(repository)).ok()
    assert "migrations are pending: 29990101000000_quests" in played.text
    assert len(_backups(target) - before) == 1
    assert _records(playbooks)[-1]["reason"] == f"before deploying {new}: schema migration"


def test_a_commit_that_the_clone_does_not_have_is_named(playbooks: Playbooks, target: Target, repository: Path) -> None:
    """Given a commit that git does not know, then it fails with what git says, and makes nothing."""
    before = _backups(target)
    played = _predeploy(playbooks, commit=COMMIT, repository=str(repository)).failed()
    assert COMMIT in played.message
    assert _backups(target) == before


def test_a_deployment_that_went_wrong_is_taken_back_by_its_commit(playbooks: Playbooks, target: Target) -> None:
    """Given the backup from before a commit, then before_deploy finds it; another commit is answered with the known."""
    target.say("after the deployment")
    played = playbooks.restore("--check", before_deploy="abcdef0").failed()
    assert "no backup from before the deployment of abcdef0" in played.message and COMMIT in played.message
    playbooks.restore(before_deploy=COMMIT[:10]).ok()
    assert target.served() == "before the deployment"
    again = playbooks.restore(before_deploy=COMMIT[:10]).ok()
    assert again.changed == 0 and "Nothing to do" in again.text
