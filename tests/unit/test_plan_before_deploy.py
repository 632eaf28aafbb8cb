# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore to the backup that was made before the deployment of a commit."""

from __future__ import annotations

from typing import Any

from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, World, branch, codes, problem

COMMIT = "4f2a9c1e8b7d6053a1c2e4f60718293a4b5c6d7e"
OTHER = "4f2a9c1ffffffffffffffffffffffffffffffff0"


def world_with(*backups: tuple[int, str], **more: Any) -> World:
    """A world with a backup at each of these minutes past 14 o'clock, made before a commit."""
    world = World()
    for minute, commit in backups:
        name, at = f"backup-20250113-14{minute:02d}00", f"2025-01-13T14:{minute:02d}:00Z"
        world.add(branch(f"br-backup-{minute}", name, parent_id=MAIN, parent_timestamp=at, parent_lsn="0/2000001"))
        record = {"branch_id": f"br-backup-{minute}", "name": name, "target": "tracker", "verified": True, **more}
        world.backups.append({**record, "before_commit": commit})
    return world


def test_the_backup_is_found_by_the_commit_or_its_beginning() -> None:
    """Given backups before several deployments, then the commit finds its own, in full or abbreviated."""
    world = world_with((1, "abcdef0123"), (2, COMMIT), (3, "v1.5.0"))
    for wanted, name in ((COMMIT, "1402"), (COMMIT[:8], "1402"), ("v1.5.0", "1403"), ("abcdef0", "1401")):
        made = world.plan(backup=f"before:{wanted}")
        assert made["problems"] == [] and made["restore_point"]["backup"] == f"backup-20250113-{name}00", wanted
        assert made["restore_point"]["kind"] == "backup"


def test_the_newest_of_several_is_taken_and_the_others_are_named() -> None:
    """Given two deployments of one commit, then the newer backup is taken, with a warning that names the other."""
    made = world_with((1, COMMIT), (5, COMMIT)).plan(backup=f"before:{COMMIT}")
    assert made["restore_point"]["backup"] == "backup-20250113-140500"
    assert any("backup-20250113-140100" in warning for warning in made["warnings"])


def test_an_abbreviation_of_two_commits_is_refused() -> None:
    """Given a beginning that two commits share, then neither is guessed."""
    found = problem(world_with((1, COMMIT), (2, OTHER)).plan(backup="before:4f2a9c1"), "commit_ambiguous")
    assert COMMIT in found["message"] and OTHER in found["message"]


def test_without_such_a_backup_the_known_commits_are_listed() -> None:
    """Given another commit, another target's backup, or a branch that is gone, then it says which it is."""
    known = problem(world_with((1, COMMIT)).plan(backup="before:abcdef0"), "backup_unknown")
    assert "none is recorded" in known["message"] and COMMIT in known["what_to_do"]
    foreign = world_with((1, COMMIT), target="website").plan(backup=f"before:{COMMIT}")
    assert "none is recorded" in problem(foreign, "backup_unknown")["message"]
    gone = world_with((1, COMMIT))
    gone.branches = [item for item in gone.branches if item["id"] == MAIN]
    assert "no longer exists" in problem(gone.plan(backup=f"before:{COMMIT}"), "backup_unknown")["message"]
    assert codes(gone.plan(backup=f"before:{COMMIT}")) == ["backup_unknown"]
