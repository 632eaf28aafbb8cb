# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore does between its plan and its cutover, and at its end, where something is not as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.plan_world import World
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles, failure

Json = dict[str, Any]
RUN = "20250113T150000Z-restore-0a1b2c"
JOURNAL = {"run": {"id": RUN, "started_at": "2025-01-13T15:00:00Z", "steps": {}, "sections": []}}
OLD, NEW = {"schema_hash": "aa", "migration": {"head": "0041"}}, {"schema_hash": "bb", "migration": {"head": "0042"}}


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def world(**more: Any) -> Json:
    """The variables of a restore that has read everything, made its plan and verified its branch."""
    made = World().plan(cutover="repoint")
    return {
        "restore_target": "tracker",
        "restore_environment": "production",
        "restore_confirm": "tracker",
        "restore_neon_project_id": "late-frost-12345678",
        "restore_neon_database": "tracker",
        "restore_coolify_application": "n1kz0hg8q4w2e6r8t0y2u4i6",
        "restore_point_in_time": "2025-01-13T14:25:00Z",
        "__restore_journal": JOURNAL,
        "__restore_lock": {"run": RUN},
        "__restore_file": {},
        "__restore_plan": {"plan": made, "confirmation": [], "problem_text": []},
        "__restore_project": {"project": {}},
        "__restore_branches": {"branches": []},
        "__restore_snapshots": {},
        "__restore_application": {},
        "__restore_deployments": {},
        "__restore_consumers": {"consumers": [], "unreadable": []},
        "__restore_catalogue": {"records": []},
        "__restore_backups": {"records": []},
        "__restore_unfinished": {"unfinished": []},
        "__restore_rehearsed": {},
        "__restore_past_runs": {},
        "__restore_difference": {},
        "__restore_live": {"manifest": NEW},
        "__restore_then": {"msg": "time travel is not possible"},
        "__restore_live_again": {"manifest": NEW},
        "__restore_branch": {"branch": {"id": "br-new-b2", "name": "restore-20250113-142500"}},
        "__restore_verified": {"branch": {}, "manifest": OLD, "live": NEW},
        "verify_result": {"manifest": OLD, "comparison": {"tables": {}}},
        **more,
    }


def plan(*codes: str) -> Json:
    """What `restore_plan` answers that has found these problems."""
    made = World().plan(cutover="repoint")
    problems = [{"code": code, "message": f"{code}.", "what_to_do": "Mend it."} for code in codes]
    return {
        "plan": {**made, "problems": problems},
        "confirmation": [],
        "problem_text": [f"- {code}." for code in codes],
    }


def test_before_a_yes_the_code_is_judged_by_what_was_verified(roles: StubbedRoles) -> None:
    """Given a restore point that could not be read beforehand, then what its branch holds is judged (rule 1).

    That the window has slid since the plan stops nobody: the margin was for that.
    """
    stories = {
        "it fits": Story(world(), {"restore_plan": plan()}),
        "it does not": Story(world(), {"restore_plan": plan("schema_mismatch")}),
        "the window": Story(world(), {"restore_plan": plan("window_slides")}),
        "no primary": Story(
            world(
                __restore_live={"msg": "gone"},
                __restore_live_again={"msg": "gone"},
                verify_result={"manifest": OLD, "comparison": {}},
            ),
            {"restore_plan": plan()},
        ),
    }
    told = roles.tell("restore", "confirm", stories)
    assert [name for name, story in told.items() if story.message] == ["it does not"], told["it fits"].message
    assert "schema_mismatch." in told["it does not"].message
    assert "Nothing has been cut over" in told["it does not"].message
    judged = [story.called("restore_plan")[0]["migration"] for story in told.values()]
    then = {"head": "0041", "schema_hash": "aa"}
    assert judged[0] == {"primary": {"head": "0042", "schema_hash": "bb"}, "restore_point": then}
    assert judged[3] == {"primary": None, "restore_point": then}


def test_a_stuck_run_is_known_as_that_although_its_journal_cannot_be_written(roles: StubbedRoles) -> None:
    """Given a disk without room when a stuck run is to be ended, then its lock is kept by what the role says."""
    stuck = world(cutover_result={"outcome": "stuck"}, __restore_why="it could not be taken back", __cutover_began={})
    answers = {"run_journal finish": failure("state_not_written", "no space left on device")}
    told = roles.tell(
        "restore", "failed", {"full": Story(stuck, answers)}, outcome="restore_result.outcome | default('')"
    )
    assert "no space left on device" in told["full"].message
    assert told["full"].shown["outcome"] == "stuck"


def test_an_undo_that_was_killed_keeps_the_bound_that_it_was_given(roles: StubbedRoles) -> None:
    """Given an undo that might lose a few rows at most, and that was killed, then a restore that ends it loses no more.

    What was written cannot be counted here, so it holds; with no bound it would go on.
    """
    told, made = {}, World().plan(cutover="repoint")
    for name, bound in (("bounded", {"max_rows_lost": 3}), ("as it was asked for", {})):
        steps = {
            "plan": {"phase": "done", "data": {"plan": made}},
            "env": {"phase": "done", "ids": {}, "undo": {"variables": []}, "data": {}},
            "deploy": {"phase": "done", "ids": {}, "undo": {}, "data": {}},
            "undo": {"phase": "intent", "data": {"accept_loss": True, **bound}},
            "verified": {"phase": "done", "data": {"branch": {"id": "br-new-b2"}, "manifest": OLD, "live": NEW}},
        }
        run = {"run": {"id": RUN, "status": "running", "steps": steps, "sections": []}}
        told[name] = Story(world(__restore_journal=run), {"run_journal read": run})
    said = roles.tell("restore", "finish_undo", told)
    assert "is not taken back further" in said["bounded"].message, said["bounded"].message
    assert not said["bounded"].called("coolify_application_env")
    assert said["as it was asked for"].called("coolify_application_env")


def test_the_report_is_written_before_the_run_ends(roles: StubbedRoles) -> None:
    """Given a restore that is proven, then a run killed before its report is one that the next run goes on with."""
    answers = {"run_journal": JOURNAL, "run_report": {"report": {"written": True, "html": "/reports/x.html"}}}
    told = roles.tell("restore", "record", {"proven": Story(world(), answers)})
    assert told["proven"].message == ""
    assert told["proven"].order() == ["run_journal enter", "run_journal append", "run_report", "run_journal finish"]
