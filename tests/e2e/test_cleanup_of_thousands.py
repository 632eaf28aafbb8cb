# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cleanup of as many branches as Neon allows in a project: what it asks for, what it leaves, what that takes."""

from __future__ import annotations

import json
import math
import resource
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.playbooks import Playbooks
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, text_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

PAGE = 400
SANDBOX_SETTINGS = {"save_seconds": 10, "neon__page_size_max": PAGE}
# Neon allows 5000 in a project; `main` and those that must stay are the others.
MANY = 4990
MOST_MEMORY = 512 * 2**20
# Two requests for each, one after the other.
TIMEOUT = 1800.0

Json = dict[str, Any]


def _wanted(name: str, at: datetime, *, ours: bool = True, **more: Any) -> Json:
    notes = {"tool": "rewind.database", "purpose": "backup", "target": "tracker", **more.pop("notes", {})}
    return {"name": name, "created_at": text_of(at), "annotation": notes if ours else {}, **more}


@pytest.fixture(scope="module")
def target(targets: Targets) -> Target:
    return targets.given()


@pytest.fixture(scope="module")
def old(playbooks: Playbooks, target: Target) -> dict[str, str]:
    """The backups of two years, by their ids, the newest of them verified."""
    first, step = datetime.now(UTC) - timedelta(days=730), timedelta(days=720) / MANY
    path, found = f"/projects/{target.project}/branches", {}
    for start in range(0, MANY, 500):
        moments = [first + step * number for number in range(start, min(start + 500, MANY))]
        wanted = [_wanted(f"backup-{at:%Y%m%d-%H%M%S}", at) for at in moments]
        made = playbooks.sandbox.control.call("POST", path, {"branches": wanted})["branches"]
        found.update({item["id"]: item["name"] for item in made})
    playbooks.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (playbooks.state / "catalogue.jsonl").open("a", encoding="utf-8") as catalogue:
        for branch_id, name in found.items():
            record = {"at": text_of(first), "event": "verified", "branch_id": branch_id, "name": name}
            catalogue.write(json.dumps({**record, "target": "tracker"}) + "\n")
    return found


@pytest.fixture(scope="module")
def staying(playbooks: Playbooks, target: Target, old: dict[str, str]) -> dict[str, str]:
    """What must never be asked to go, by its ids, all of it old: and the newest verified backup."""
    at, path = datetime.now(UTC) - timedelta(days=800), f"/projects/{target.project}/branches"
    wanted = [
        _wanted("backup-protected", at, protected=True),
        _wanted("backup-pinned", at, notes={"keep_until": "for good", "reason": "the audit"}),
        _wanted("backup-of-another", at, notes={"target": "migrator"}),
        _wanted("backup-parent", at),
        _wanted("backup-by-hand", at, ours=False),
        _wanted("somebodys", at, ours=False, parent="backup-parent"),
    ]
    made = playbooks.sandbox.control.call("POST", path, {"branches": wanted})["branches"]
    newest = list(old)[-1]
    return {item["id"]: item["name"] for item in made} | {target.primary()["id"]: "main", newest: old[newest]}


def test_thousands_go_in_one_run_with_two_requests_each_and_nothing_else_is_asked_to(
    playbooks: Playbooks, control: Control, target: Target, old: dict[str, str], staying: dict[str, str]
) -> None:
    """Given 4990 old backups, then one run reads all pages, deletes what may go, and never asks for the others."""
    goes = {branch_id: name for branch_id, name in old.items() if branch_id not in staying}
    since = control.last_request()
    played = playbooks.play("playbooks/cleanup.yml", timeout=TIMEOUT, max_deletions=MANY, confirm="tracker").ok()
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    asked = control.requests(since)
    assert {item["method"] for item in asked} == {"GET", "DELETE"}
    deletions = [item for item in asked if item["method"] == "DELETE"]
    accepted = [item["path"].rpartition("/")[2] for item in deletions if item["status"] != 423]
    assert accepted == list(goes), "once each, the oldest first, and nothing else"
    assert {item["path"].rpartition("/")[2] for item in deletions} == goes.keys()
    assert {item["id"] for item in target.branches().values()} == staying.keys()

    # For each branch one that reads it and one that deletes it; a project that is busy (423) costs both again.
    each = Counter((item["method"], item["path"].rpartition("/")[2]) for item in asked)
    assert all(each["GET", branch_id] == each["DELETE", branch_id] for branch_id in goes)
    assert len(deletions) - len(goes) <= len(goes) // 4, f"{len(deletions) - len(goes)} refusals"
    # What is asked for all of them at once, in pages or every few seconds.
    others = Counter(
        f"{item['service']} {item['path']}" for item in asked if item["path"].rpartition("/")[2] not in old
    )
    pages = others[next(name for name in others if name.endswith(f"{target.project}/branches"))]
    assert pages >= math.ceil((MANY + len(staying)) / PAGE), "every page was read"
    assert others.total() <= 200 + played.seconds, others
    assert memory < MOST_MEMORY, f"{memory / 2**20:.0f} MiB"
