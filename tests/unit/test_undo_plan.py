# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""undo_plan: what a way back does to the branches, what it needs room for, and what stands in its way."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, NOW, branch, codes, endpoint, problem
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]
RUN, PROMOTION = "20250113T143000Z-restore-0a1b2c", "20250113T142900Z-promote-3d4e5f"
STAMP = "20250113-143000"
KEPT, TAKEN, BACK, RESTORED = "br-kept-b1", "br-taken-c1", "br-back-d1", "br-restored-e1"
COMPUTE = "ep-main-compute-a1"


def run(strategy: str, *steps: str, phase: str = "done", **verified: Any) -> Json:
    """A run whose cutover has come as far as these steps."""
    plan = {
        "strategy": {"chosen": strategy},
        "primary": {"branch_id": MAIN, "name": "main", "default": True, "endpoint_ids": [COMPUTE]},
        "names": {"rollback": f"rollback-{STAMP}"},
    }
    found: Json = {"plan": {"phase": "done", "data": {"plan": plan}}, **{name: {"phase": phase} for name in steps}}
    if verified:
        found["verified"] = {"phase": "done", "data": {"branch": verified}}
    return {"id": RUN, "verb": "restore", "cutover_begun": True, "steps": found, "undo": []}


def plan(the_run: Json, *branches: Json, **more: Any) -> Json:
    """The plan, through the module."""
    project = {"limits": more.pop("limits", {})}
    result = call_module(
        "undo_plan", {"run": the_run, "project": project, "branches": list(branches), "now": NOW, **more}
    )
    assert not result.get("failed") and result["changed"] is False, result
    assert result["text"][0].startswith("takes back:")
    found: Json = result["plan"]
    return found


def main(**more: Any) -> Json:
    return branch(MAIN, "main", default=True, **{"compute": COMPUTE, **more})


def kept(**more: Any) -> Json:
    return branch(KEPT, f"rollback-{STAMP}", created_at="2025-01-13T14:30:00Z", **more)


def drawn(found: Json) -> list[str]:
    return [f"{'  ' * row['depth']}{row['name']}" for row in found["tree_after"]]


IN_PLACE = run("in_place", "restore")


def test_of_a_restore_in_place_the_old_state_is_put_back_and_holds_the_primary_for_good() -> None:
    """Given a root that was restored in place, then it ends below what had kept its old state."""
    found = plan(IN_PLACE, main(), kept(expires_at="2025-01-20T00:00:00Z"))
    assert found["problems"] == [] and found["strategy"] == "in_place"
    assert drawn(found) == [f"rollback-{STAMP}", "  main", f"undone-{STAMP}"]
    assert found["primary"] == {"branch_id": MAIN, "name": "main"}
    assert [item["branch_id"] for item in found["staying"]] == [KEPT]
    assert found["slots"]["branches"] == {"used": 2, "adds": 1, "limit": None, "free": None}
    assert "can then no longer be restored in place or from a snapshot" in found["warnings"][0]


def test_a_way_back_in_place_needs_one_branch_more() -> None:
    """Given a project that is full, then it is said before anything is moved; what a killed undo has made counts."""
    full = plan(IN_PLACE, main(), kept(), limits={"branches": 2})
    assert codes(full) == ["no_room"]
    assert "the project has 2 branches, and its plan allows 2" in problem(full, "no_room")["message"]
    assert f"undone-{STAMP}" in " ".join(drawn(full)), "what would come of it is shown all the same"
    killed = plan(IN_PLACE, main(parent_id=KEPT), kept(), branch("br-u", f"undone-{STAMP}"), limits={"branches": 3})
    assert killed["problems"] == [] and killed["slots"]["branches"]["adds"] == 0
    assert [item["branch_id"] for item in killed["staying"]] == [KEPT]


@pytest.mark.parametrize("phase", ["intent", "done"])
def test_what_kept_the_old_state_must_be_there_once_it_was_made(phase: str) -> None:
    """Given no branch of that name, then a restore that was only about to begin has nothing to be put back."""
    found = plan(run("in_place", "restore", phase=phase), main())
    assert codes(found) == (["gone"] if phase == "done" else [])


def test_a_primary_that_is_protected_now_is_protected_again() -> None:
    """Given a protected primary, or one that the run had unprotected, then the plan shows it protected again."""
    for found in (
        plan(IN_PLACE, main(protected=True), kept()),
        plan(run("in_place", "unprotect", "restore"), main(), kept()),
    ):
        assert found["problems"] == []
        assert [row["name"] for row in found["tree_after"] if row["protected"]] == ["main"]


SNAPSHOT = run("snapshot", "finalize", id=TAKEN, restored_from="snap-1")
OLD_ROOT = branch(MAIN, f"rollback-{STAMP}")
REPLACED = branch(TAKEN, "main", default=True, restored_as=MAIN, restored_from="snap-1", compute=COMPUTE)
SPENT: Json = {"id": "snap-1", "name": f"restore-{STAMP}", "source_branch_id": MAIN, "manual": True}


def test_of_a_snapshot_the_old_root_comes_back_as_another_root() -> None:
    """Given a root that was replaced, then a new root of it takes that place, and nothing hangs on anything."""
    found = plan(SNAPSHOT, OLD_ROOT, REPLACED, snapshots=[SPENT], limits={"root_branches": 3, "manual_snapshots": 1})
    assert found["problems"] == [] and found["staying"] == []
    assert drawn(found) == [f"rollback-{STAMP}", f"undone-{STAMP}", "main"]
    assert found["primary"]["name"] == "main" and found["primary"]["branch_id"].startswith("predicted:")
    assert [row["name"] for row in found["tree_after"] if row["default"]] == ["main"]
    assert found["slots"]["roots"]["adds"] == 1


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"branches": 2}, "2 branches"),
        ({"root_branches": 2}, "2 root branches"),
        ({"manual_snapshots": 1}, "1 manual snapshots"),
    ],
)
def test_a_way_back_by_snapshot_needs_a_root_and_a_snapshot(limits: Json, words: str) -> None:
    """Given a limit that is reached, then it is said; what a killed undo has made of it needs no room again."""
    other = {**SPENT, "id": "snap-2", "name": "nightly"}
    found = plan(SNAPSHOT, OLD_ROOT, REPLACED, snapshots=[SPENT, other], limits=limits)
    assert codes(found) == ["no_room"] and words in problem(found, "no_room")["message"]
    made = branch(BACK, f"undo-{STAMP}", restored_from="snap-3")
    again = plan(SNAPSHOT, OLD_ROOT, REPLACED, made, snapshots=[other], limits={**limits, "branches": 3})
    assert again["problems"] == [] and again["primary"]["branch_id"] == BACK
    shot = {**SPENT, "id": "snap-3", "name": f"undo-{STAMP}"}
    shots = plan(SNAPSHOT, OLD_ROOT, REPLACED, snapshots=[shot], limits={"manual_snapshots": 1})
    assert shots["problems"] == []


def test_of_a_snapshot_that_took_no_place_or_is_back_already_nothing_moves() -> None:
    """Given a run that was killed before it finalized, or an undo killed after, then no slot is taken."""
    early = plan(run("snapshot", "finalize", phase="intent"), main(), limits={"branches": 1})
    assert early["problems"] == [] and drawn(early) == ["main"]
    replaced = {**REPLACED, "name": f"undone-{STAMP}", "default": False, "endpoints": []}
    back = branch(BACK, "main", default=True, restored_as=TAKEN, restored_from="snap-3", compute=COMPUTE)
    late = plan(SNAPSHOT, OLD_ROOT, replaced, back, limits={"branches": 3})
    assert late["problems"] == [] and late["primary"]["branch_id"] == BACK
    gone = plan(SNAPSHOT, REPLACED)
    assert codes(gone) == ["gone"] and f"rollback-{STAMP}" in problem(gone, "gone")["message"]


REPOINT = run("repoint", "env", "deploy", f"disable_{COMPUTE}", id=RESTORED)
NEW = branch(RESTORED, "restore-20250113-142500", parent_id=MAIN, compute="ep-new-e1")


def test_of_a_repoint_the_branches_stay_as_they_are() -> None:
    """Given a disabled compute and a string that can be made again, then the application can go back to it."""
    strings = [{"key": "DATABASE_URL", "is_preview": False, "ok": True, "message": ""}]
    found = plan(REPOINT, main(), NEW, strings=strings, limits={"branches": 2})
    assert found["problems"] == found["warnings"] == found["staying"] == []
    assert [row["marks"] for row in found["tree_before"]] == [[], ["primary"]]
    assert [row["marks"] for row in found["tree_after"]] == [["primary"], []]


def test_a_repoint_needs_a_compute_to_go_back_to() -> None:
    """Given an old primary whose compute was deleted, then the undo is refused; with another one it is not."""
    none = plan(REPOINT, main(compute=None), NEW)
    assert codes(none) == ["no_compute"]
    assert f"({COMPUTE} was deleted)" in problem(none, "no_compute")["message"]
    assert "Add one to main" in problem(none, "no_compute")["what_to_do"]
    replica = main(compute=None, endpoints=[endpoint("ep-replica", type="read_only")])
    assert codes(plan(REPOINT, replica, NEW)) == ["no_compute"]
    another = plan(REPOINT, main(compute="ep-another-a2"), NEW)
    assert another["problems"] == [] and COMPUTE in another["warnings"][0]
    untouched = plan(run("repoint", "pause_auto_deploy", id=RESTORED), main(compute=None), NEW)
    assert untouched["problems"] == [], "nothing of it has to be connected to"
    assert codes(plan(REPOINT, NEW)) == ["gone"]


def test_a_repoint_needs_the_strings_that_it_goes_back_to() -> None:
    """Given a role that was dropped since, then the undo says which string cannot be made again, and why."""
    strings = [
        {"key": "DATABASE_URL", "ok": False, "message": "read branch main: it has no role tracker_owner."},
        {"key": "OTHER_URL", "ok": None},
    ]
    found = plan(REPOINT, main(), NEW, strings=strings)
    assert codes(found) == ["string_unusable"]
    assert "DATABASE_URL had cannot be made again: read branch main" in problem(found, "string_unusable")["message"]


def promotion(**more: Any) -> Json:
    def moved(step: str, branch_id: str, **undo: Any) -> Json:
        return {"step": step, "phase": "done", "ids": {"branch": branch_id}, "undo": undo}

    return {
        "id": PROMOTION,
        "verb": "promote",
        "cutover_begun": False,
        "steps": {},
        "undo": [
            moved("unprotect_old", MAIN, protected=True),
            moved("protect_new", RESTORED, protected=False),
            moved("make_default", RESTORED, default=MAIN),
            moved("rename_new", RESTORED, name="restore-20250113-142500"),
            moved("rename_old", MAIN, name="main"),
            moved("computes", RESTORED, computes=[]),
        ],
        **more,
    }


def test_names_and_flags_of_a_promotion_come_back_first() -> None:
    """Given a promotion, with a cutover of its own or without, then the tree afterwards has them as they were."""
    old = branch(MAIN, "rollback-20250113", compute=COMPUTE)
    new = {**NEW, "name": "production-20250113", "default": True, "protected": True}
    inside = plan(REPOINT, old, new, promotion=promotion())
    alone = plan(promotion(), old, new, promotion=promotion())
    for found in (inside, alone):
        assert found["problems"] == [] and found["promotion"] == PROMOTION
        assert drawn(found) == ["main", "  restore-20250113-142500"]
        (flagged,) = (row for row in found["tree_after"] if row["default"])
        assert (flagged["name"], flagged["protected"]) == ("main", True)
    assert inside["primary"]["branch_id"] == MAIN
    assert alone["primary"]["branch_id"] == RESTORED and alone["strategy"] is None
    assert [item["name"] for item in alone["staying"]] == ["main"]


def test_what_neon_would_refuse_is_a_problem_in_the_plan() -> None:
    """Given a branch that has taken the name that a root must get, then nothing is begun."""
    taken = branch("br-x", f"undone-{STAMP}")
    assert codes(plan(SNAPSHOT, OLD_ROOT, REPLACED, taken)) == ["not_allowed"]


def test_the_module_answers_the_same_in_both_ways(both_ways: BothWays) -> None:
    """Given the controller's process or an ordinary module run, then the plan is the same."""
    options = {"run": IN_PLACE, "project": {"limits": {"branches": 2}}, "branches": [main(), kept()], "now": NOW}
    result = both_ways.same("undo_plan", options)
    assert codes(result["plan"]) == ["no_room"]
