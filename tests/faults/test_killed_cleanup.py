# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cleanup, its controller killed among its deletions, and the next one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.conftest import Tell
from tests.faults.killing import DELETE_BRANCH, DELETE_SNAPSHOT, MAKE_SNAPSHOT, Point, crash_at, lines_of
from tests.faults.story import Plays
from tests.support.ageing import age_catalogue
from tests.support.sandbox import Control
from tests.support.targets import Targets, text_of


@pytest.mark.parametrize("effect", [pytest.param("hang", marks=pytest.mark.long), "hang_after"])
def test_when_a_cleanup_is_killed_then_the_next_one_deletes_the_rest(
    targets: Targets, control: Control, effect: str
) -> None:
    """Given a cleanup killed in a deletion that was not done, or done unheard, the next one goes on and ends both."""
    target = targets.make(f"swept-{effect}".replace("_", "-"))
    playbooks = targets.playbooks
    assert isinstance(playbooks, Plays)
    notes = {"tool": "rewind.database", "purpose": "backup", "target": target.name}
    wanted = [
        {"name": f"backup-{days}", "created_at": text_of(datetime.now(UTC) - timedelta(days=days)), "annotation": notes}
        for days in (1, 50, 60, 70)
    ]
    made = control.call("POST", f"/projects/{target.project}/branches", {"branches": wanted})["branches"]
    playbooks.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (playbooks.state / "catalogue.jsonl").open("a", encoding="utf-8") as catalogue:
        catalogue.write(json.dumps({"event": "verified", "branch_id": made[0]["id"], "target": target.name}) + "\n")
    folder = playbooks.state / "journal" / target.name

    def lines(number: int = -1) -> list[dict[str, Any]]:
        found = sorted(folder.glob("*-cleanup-*.jsonl"))
        return lines_of(found[number]) if found else []

    process = playbooks.begin("playbooks/cleanup.yml", target=target.name, confirm=target.name)
    try:
        crash_at(process, Point("delete_branches", fault=DELETE_BRANCH(effect)), control, lines)
    finally:
        process.close()
    there = {name for name in target.branches() if name.startswith("backup-")}
    assert len(there) == (3 if effect == "hang_after" else 4)
    playbooks.play("playbooks/cleanup.yml", target=target.name, confirm=target.name).ok()
    assert {name for name in target.branches() if name.startswith("backup-")} == {"backup-1"}
    assert "was killed" in json.dumps(lines(0)[-1]["error"]) and lines(0)[-1]["data"]["status"] == "failed"
    assert lines(1)[-1]["data"]["status"] == "done"


@pytest.mark.long
def test_when_a_restore_is_killed_then_the_snapshot_that_it_left_goes_on_its_date(tell: Tell) -> None:
    """Given a snapshot whose answer nobody heard, it stays until undo ends the run, then until its date, then goes.

    The cleanup that deletes it is killed as well, in a deletion that was done unheard; the next one ends both.
    """
    story = tell("snapshot")
    name, playbooks = story.target.name, story.playbooks

    def snapshots() -> list[str]:
        answer = story.target.neon.get(f"/projects/{story.target.project}/snapshots")
        return [item["name"] for item in answer.json()["snapshots"]]

    def lines() -> list[dict[str, Any]]:
        found = sorted((playbooks.state / "journal" / name).glob("*-cleanup-*.jsonl"))
        return lines_of(found[-1]) if found else []

    def clean(**options: Any) -> str:
        return playbooks.play("playbooks/cleanup.yml", target=name, **options).ok().text

    story.crash_at(Point("make_snapshot", fault=MAKE_SNAPSHOT("hang_after")))
    (left,) = snapshots()
    assert f"{left}: the restore" in clean(confirm=name) and snapshots() == [left]
    story.undo().ok()
    assert f"{left}: kept until" in clean(confirm=name) and snapshots() == [left]
    age_catalogue(playbooks.state, name, 10)
    assert f"{left}: snapshot, past its date" in clean() and snapshots() == [left]
    checked = playbooks.play("playbooks/cleanup.yml", "--check", target=name).ok().text
    assert "1 of 1 snapshots" in checked and snapshots() == [left]
    process = playbooks.begin("playbooks/cleanup.yml", target=name, confirm=name)
    try:
        crash_at(process, Point("delete_branches", fault=DELETE_SNAPSHOT("hang_after")), story.control, lines)
    finally:
        process.close()
    assert "Nothing is to be deleted" in clean(confirm=name) and snapshots() == []
    story.assert_taken_back()
