# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup, its controller killed, and the next one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.killing import ADD_COMPUTE, REMOVE_COMPUTE, Point, crash_at, lines_of
from tests.faults.story import Plays
from tests.support.sandbox import Control
from tests.support.targets import Targets


@pytest.mark.parametrize(
    "point",
    [
        Point("add_compute", fault=ADD_COMPUTE("hang_after")),
        pytest.param(Point("make_branch", "done"), marks=pytest.mark.long),
        pytest.param(Point("add_compute", "done"), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_when_a_backup_is_killed_then_the_next_one_takes_its_compute_away(
    targets: Targets, control: Control, point: Point
) -> None:
    """Given a killed backup, the next one leaves no compute of either and ends both journals; no branch is lost."""
    target = targets.make(f"kept-{point}".lower().replace("_", "-"))
    playbooks = targets.playbooks
    assert isinstance(playbooks, Plays)
    folder = playbooks.state / "journal" / target.name

    def lines(number: int = -1) -> list[dict[str, Any]]:
        found = sorted(folder.glob("*-backup-*.jsonl"))
        return lines_of(found[number]) if found else []

    process = playbooks.begin("playbooks/backup.yml", target=target.name, reason="killed")
    try:
        crash_at(process, point, control, lines)
    finally:
        process.close()
    killed = {name: item["id"] for name, item in target.branches().items() if name.startswith("backup-")}
    assert len(killed) == 1
    played = playbooks.backup(target=target.name, reason="the next one").ok()
    backups = {name: item["id"] for name, item in target.branches().items() if name.startswith("backup-")}
    assert killed.items() < backups.items(), "what the killed one had made is kept"
    assert [target.endpoints(branch) for branch in backups.values()] == [[], []]
    assert "was killed" in json.dumps(lines(0)[-1]["error"]), played.text
    assert lines(0)[-1]["data"]["status"] == "failed"
    assert lines(1)[-1]["data"]["status"] == "done"


@pytest.mark.long
def test_when_the_compute_of_a_backup_cannot_be_removed_then_that_is_said_and_the_next_one_does_it(
    targets: Targets, control: Control
) -> None:
    """Given a removal that Neon refuses, the backup is no success although its branch is there and verified."""
    target = targets.make("kept-compute")
    fault = REMOVE_COMPUTE("status") | {"status": 422, "body": {"message": "endpoint is not deleted"}, "count": 100}
    control.fault(**fault)
    failed = targets.playbooks.backup(target=target.name, reason="refused").failed()
    assert "endpoint is not deleted" in failed.message
    (first,) = (item["id"] for name, item in target.branches().items() if name.startswith("backup-"))
    assert len(target.endpoints(first)) == 1
    control.calm()
    targets.playbooks.backup(target=target.name, reason="the next one").ok()
    backups = [item["id"] for name, item in target.branches().items() if name.startswith("backup-")]
    assert first in backups and [target.endpoints(branch) for branch in backups] == [[], []]
