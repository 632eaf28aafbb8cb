# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The strategy `snapshot` in a plan: when the road is open, what it costs, and how a killed run goes on with it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.text import lines
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, World, branch, codes, problem
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]

NAME = "snapshot-20250113-142500"
ROOT = "br-restored-root-b2"
ROLLBACK = "rollback-20250113-150000"


def world(**limits: int) -> World:
    made = World()
    made.project["limits"] = {"branches": 10, "root_branches": 5, "manual_snapshots": 100, **limits}
    made.snapshots = []
    return made


def plan(made: World, **request: Any) -> Json:
    return made.plan(cutover="snapshot", **request)


def test_a_root_primary_is_replaced_by_an_independent_root() -> None:
    """Given a root, then the plan names one snapshot and one root, and nothing stays undeletable."""
    made = plan(world().add(branch("br-child-c3", "dev", parent_id=MAIN)))
    assert made["problems"] == [] and made["strategy"]["chosen"] == "snapshot"
    offer = made["strategy"]["offered"]["snapshot"]
    assert offer["offered"] and "no restore in place works" in offer["why"]
    after = {row["name"]: row for row in offer["tree_after"]}
    assert after["main"]["marks"] == ["primary", "new"] and after["main"]["parent_id"] is None
    assert after["main"]["default"] is True
    assert after[ROLLBACK]["marks"] == ["old primary"] and after["dev"]["parent_id"] == MAIN
    assert [item["name"] for item in offer["undeletable_afterwards"]] == [ROLLBACK]
    assert offer["slots"]["roots"] == {"used": 1, "limit": 5, "adds": 1, "free": 4}
    assert offer["passwords_that_change"] == []
    assert made["names"]["root"] == NAME and made["reuse"] == {
        "branch_id": None,
        "name": NAME,
        "found": False,
        "why": "no branch and no snapshot of this name exists",
    }
    assert made["env"]["rows"] == [] and made["unprotect"]["needed"] is False
    assert made["resolved"]["names"]["root"] == NAME


def test_its_steps_and_its_price_are_said() -> None:
    """Given the plan as text, then the snapshot, the root, the finalizing and what is lost by it are in view."""
    made = world()
    made.branches[0]["protected"] = True
    shown = " ".join(" ".join(lines(plan(made))).split())
    for words in (
        f"Makes the snapshot {NAME} of main",
        f"Puts {NAME} in the place of main",
        f"main is kept as {ROLLBACK}, without a compute",
        f"Deletes the snapshot {NAME}",
        "No restore in place works on main afterwards",
        "has another id",
        "Snapshots are beta",
    ):
        assert words in shown, words


def test_it_is_never_chosen_by_itself() -> None:
    """Given any world, then auto is in_place or repoint."""
    assert world().plan()["strategy"]["chosen"] == "in_place"
    made = world()
    made.branches[0]["protected"] = True
    assert made.plan()["strategy"]["chosen"] == "repoint"


def test_one_repoint_ends_the_road() -> None:
    """Given a primary that is a child, then it is said why and what to use instead (rule 15)."""
    made = world().add(branch("br-now-n1", "restore-1", parent_id=MAIN, compute="ep-now-n1"))
    made.point_row_to("ep-now-n1", updated_at="2025-01-13T14:30:00Z")
    made.branches[1]["created_at"] = "2025-01-13T14:29:00Z"
    found = plan(made, source_branch=MAIN)
    assert "is a child of main" in problem(found, "not_root")["message"]
    assert "repoint" in problem(found, "not_root")["what_to_do"]
    assert found["strategy"]["offered"]["snapshot"]["offered"] is False


def test_a_backup_is_reached_through_the_primary_or_not_at_all() -> None:
    """Given a backup, which is a child: inside the window the primary has its LSN, outside it has none."""
    made = world()
    made.add(
        branch(
            "br-backup-b1",
            "backup-20250113-140000",
            parent_id=MAIN,
            parent_lsn="0/1A2B3C4",
            parent_timestamp="2025-01-13T14:00:00Z",
            annotations={"tool": "rewind.database"},
        )
    )
    made.backups = [
        {
            "branch_id": "br-backup-b1",
            "name": "backup-20250113-140000",
            "verified": True,
            "restore_point": "2025-01-13T14:00:00Z",
            "lsn": "0/1A2B3C4",
        }
    ]
    inside = plan(made, backup="backup-20250113-140000")
    assert inside["problems"] == [] and inside["source"]["parent_lsn"] == "0/1A2B3C4"
    assert inside["source"]["branch_id"] == MAIN
    made.project["history_retention_seconds"] = 1800
    assert "source_not_root" in codes(plan(made, backup="backup-20250113-140000"))


def test_the_slots_of_the_way_and_of_the_way_back_are_counted() -> None:
    """Given plans that are nearly full, then the missing manual snapshot, root and undo's root are each said."""
    made = world(manual_snapshots=1)
    made.snapshots = [{"id": "snap-1", "name": "kept", "manual": True}, {"id": "snap-2", "name": "d", "manual": False}]
    assert "1 of 1 manual snapshots" in problem(plan(made), "no_snapshot_slot")["message"]
    made.snapshots = made.snapshots[1:]
    assert plan(made)["problems"] == []
    assert codes(plan(world(root_branches=2))) == ["no_undo_slot"]
    assert codes(plan(world(root_branches=1))) == ["no_root_slot"]
    made.snapshots = None
    unknown = plan(made)
    assert unknown["problems"] == [] and any("could not be read" in item for item in unknown["warnings"])


def test_a_commit_cannot_be_deployed_with_it() -> None:
    """Given deploy_commit, then it is refused: nothing is deployed."""
    assert "commit_needs_deployment" in codes(plan(world(), deploy_commit="c0ffee"))


def test_a_name_that_a_snapshot_or_branch_has_is_not_taken_again() -> None:
    """Given leftovers of earlier runs, then the next free name is chosen for both."""
    made = world().add(branch("br-left-l1", f"{NAME}-2"))
    made.snapshots = [{"id": "snap-1", "name": NAME, "manual": True}]
    assert plan(made)["names"]["root"] == f"{NAME}-3"


def killed(made: World, first: Json) -> None:
    """The run that made this plan was killed."""
    made.unfinished = [
        {
            "id": "20250113T150000Z-restore-0a1b2c",
            "verb": "restore",
            "target": "tracker",
            "status": "running",
            "inputs": first["inputs"],
            "steps": {"plan": {"data": {"resolved": first["resolved"]}}},
        }
    ]


@pytest.mark.parametrize("found", [True, False])
def test_a_killed_run_goes_on_with_its_snapshot_and_its_root(found: bool) -> None:
    """Given a run killed after its snapshot, then its names are taken, also where the plan allows no other."""
    made = world(manual_snapshots=1)
    killed(made, plan(made))
    made.snapshots = [{"id": "snap-1", "name": NAME, "manual": True, "source_branch_id": MAIN}]
    if found:
        made.add(branch(ROOT, NAME, restored_from="snap-1", restore_status="restored", compute="ep-look-l1"))
    again = plan(made, now="2025-01-13T15:05:00Z")
    assert again["problems"] == [] and again["resumes"]
    assert (again["names"]["root"], again["names"]["rollback"]) == (NAME, ROLLBACK)
    assert again["reuse"]["found"] is found
    after = {row["name"]: row for row in again["strategy"]["offered"]["snapshot"]["tree_after"]}
    assert after["main"]["id"] == (ROOT if found else f"predicted:branch/{NAME}")


def test_a_run_that_was_killed_after_the_finalizing_knows_that_it_is_done() -> None:
    """Given the restored root in the primary's place, then nothing stands in the way, and names are those of before."""
    made = world(root_branches=2)
    first = world()
    killed(made, plan(first))
    made.branches = [
        branch(MAIN, ROLLBACK),
        branch(
            ROOT,
            "main",
            default=True,
            restored_from="snap-1",
            restored_as=MAIN,
            compute="ep-main-compute-a1",
            restore_status="finalized",
            created_at="2025-01-13T15:01:00Z",
            restricted_actions=[{"name": "restore", "reason": "x"}],
        ),
    ]
    made.project["history_retention_seconds"] = 60
    again = plan(made, now="2025-01-13T15:05:00Z")
    assert again["problems"] == [], again["problems"]
    assert again["primary"]["branch_id"] == MAIN and again["primary"]["name"] == "main"
    assert again["strategy"]["chosen"] == "snapshot" and again["reuse"]["branch_id"] == ROOT
    assert again["strategy"]["offered"]["snapshot"]["slots"]["roots"]["adds"] == 0


def test_the_cutover_is_found_again_afterwards() -> None:
    """Given a finished restore by snapshot, then a second run finds it done, and the past is where it was."""
    made = world()
    made.branches = [
        branch(MAIN, ROLLBACK),
        branch(
            ROOT,
            "main",
            default=True,
            restored_from="snap-1",
            restored_as=MAIN,
            compute="ep-main-compute-a1",
            created_at="2025-01-13T14:40:00Z",
            restricted_actions=[{"name": "restore", "reason": "no"}],
        ),
    ]
    made.records = [
        {
            "event": "cutover",
            "at": "2025-01-13T14:45:00Z",
            "target": "tracker",
            "strategy": "snapshot",
            "from_branch_id": MAIN,
            "to_branch_id": ROOT,
            "preserved_branch_id": MAIN,
            "restore_point": "2025-01-13T14:25:00Z",
            "run": "r",
            "proven": True,
        }
    ]
    assert plan(made)["already_done"]["done"] is True
    before = made.plan(point_in_time="2025-01-13T14:30:00Z")
    assert before["source"]["branch_id"] == MAIN and before["strategy"]["chosen"] == "repoint"
    assert made.plan(point_in_time="2025-01-13T14:50:00Z")["source"]["branch_id"] == ROOT
    assert "restore_restricted" in codes(made.plan(point_in_time="2025-01-13T14:50:00Z", cutover="in_place"))


def test_the_module_takes_snapshots() -> None:
    """Given the option of the module, then the plan counts them."""
    made = world(manual_snapshots=1)
    made.snapshots = [{"id": "snap-1", "name": "kept", "manual": True}]
    result = call_module("restore_plan", made.params(cutover="snapshot"))
    assert codes(result["plan"]) == ["no_snapshot_slot"]
