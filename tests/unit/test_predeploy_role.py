# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before a deployment: which clone is looked at, and the commands at the end, only for a backup that is there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles, Told

Json = dict[str, Any]
NAME = "backup-20250113-150000"


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def decided(*, made: str = "", found: str = "") -> Story:
    """A run that has decided, and made or found a backup, or predicted its name."""
    plan = {
        "commit": "4f2a9c1",
        "needed": bool(made or found),
        "reasons": [],
        "deploy_commit": "abc1234",
        "found": {"name": found} if found else None,
        "migration": {},
        "now": "2025-01-13T15:00:00Z",
    }
    return Story(
        {
            "predeploy_commit": "4f2a9c1",
            "predeploy_target": "tracker",
            "backup_result": {"name": made, "changed": True} if made else {},
            "__predeploy_plan": {"plan": plan},
            "__predeploy_journal": {"run": {"id": "20250113T150000Z-predeploy-0a1b2c"}},
        }
    )


def told(roles: StubbedRoles) -> dict[str, Told]:
    stories = {"made": decided(made=NAME), "found": decided(found=NAME), "none": decided()}
    return roles.tell("predeploy", "record", stories, result="predeploy_result", text="__predeploy_end_text")


def test_a_check_names_no_backup_that_is_not_there(roles: StubbedRoles) -> None:
    """Given --check, then a backup that would be made has no commands yet, one that is there already has them."""
    roles.options = ["--check"]
    ended = told(roles)
    text = " ".join(ended["made"].shown["text"])
    assert (
        "A backup would be made and verified before 4f2a9c1; there is none yet." in text and "without --check" in text
    )
    assert NAME not in text and "restore.yml" not in text
    assert ended["made"].shown["result"]["restore"] == []
    assert f"-e backup={NAME} -e deploy_commit=abc1234" in " ".join(ended["found"].shown["text"])
    assert len(ended["found"].shown["result"]["restore"]) == 2
    assert "point_in_time=" in ended["none"].shown["text"][1]


def test_a_run_prints_how_to_come_back(roles: StubbedRoles) -> None:
    """Given a run, then the commands of the backup that it has made or found, or an instant where there is none."""
    ended = told(roles)
    for name in ("made", "found"):
        shown = ended[name].shown
        assert shown["text"][0].startswith(f"The backup before 4f2a9c1 is {NAME}."), shown
        assert shown["text"][1:3] == shown["result"]["restore"]
    assert ended["none"].shown["text"][0].startswith("No backup was made before 4f2a9c1.")
    assert ended["none"].shown["result"]["restore"] == []


def asked(**said: Any) -> Story:
    """A run that is to look at what changes, on a target where nothing else is in the way."""
    target = {"predeploy_target": "tracker", "rewind_neon_project_id": "p1", "rewind_coolify_application": "a1"}
    plan: Json = {"migration": {"compare": False}, "primary": None, "text": [], "problems": []}
    return Story(
        {**target, "predeploy_commit": "HEAD", "__predeploy_journal": {"run": {"id": "r1", "started_at": ""}}, **said},
        {
            "run_journal unfinished": {"unfinished": []},
            "neon_branch_info": {"branches": []},
            "run_record": {"records": []},
            "predeploy_plan": {"plan": plan},
        },
    )


def test_changes_without_a_clone_are_refused_before_anything_is_done(roles: StubbedRoles) -> None:
    """Given a range and no repository, then git is not asked about whatever lies around the playbook: it is refused."""
    (story,) = roles.tell("predeploy", "main", {"no clone": asked(predeploy_range="v1.4..HEAD")}).values()
    assert "Which files change in v1.4..HEAD is read from a git clone, and none is named." in story.message
    assert 'Name it, in its folder -e repository="$PWD"' in story.message
    assert story.calls == []


def clone(folder: Path, *files: str) -> Path:
    """A git repository with a commit for each file."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)

    folder.mkdir()
    git("init", "-q")
    for name in files:
        (folder / name).write_text(name)
        git("add", name)
        git("commit", "-q", "-m", name)
    return folder


def test_a_relative_clone_counts_from_where_the_command_was_typed(roles: StubbedRoles, tmp_path: Path) -> None:
    """Given a person in a clone, and a playbook in a folder of its own, then the files are those of the clone."""
    here = clone(tmp_path / "here", "first.ts", "mine.ts")
    other = clone(tmp_path / "other", "first.ts", "other.ts")
    roles.environment = {"PWD": str(here)}
    told = roles.tell(
        "predeploy",
        "decide",
        {
            said: asked(predeploy_repository=said, predeploy_range="HEAD~1..HEAD")
            for said in (".", "../other", str(other))
        },
    )
    looked_at = {}
    for said, story in told.items():
        (planned,) = story.called("predeploy_plan")
        looked_at[said] = planned["request"]["changed_files"], planned["request"]["files"]
    mine, others = (["mine.ts"], ["first.ts", "mine.ts"]), (["other.ts"], ["first.ts", "other.ts"])
    assert looked_at == {".": mine, "../other": others, str(other): others}
