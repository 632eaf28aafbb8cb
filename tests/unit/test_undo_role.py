# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an undo leaves behind where it cannot come to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.plan_world import World
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles, failure
from ansible_collections.rewind.database.tests.unit.test_cutover_role import APP, MAIN, PROJECT, run, step

Json = dict[str, Any]
RESTORE, DRILL, UNDO = (f"20250113T150000Z-{verb}-0a1b2c" for verb in ("restore", "drill", "undo"))


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def half_done(**inputs: Any) -> Story:
    """A restore in place that was killed, and a Neon that refuses to put the old state back."""
    made = World().plan(cutover="in_place")
    steps = {"plan": step(data={"plan": made}), "unprotect": step(), "restore": step()}
    run = {
        "id": RESTORE,
        "verb": "restore",
        "status": "running",
        "cutover_begun": True,
        "inputs": inputs,
        "steps": steps,
        "undo": [{"step": "restore"}],
    }
    known = {"endpoints": [], "protected": False, "restored_as": None, "current_state": "ready"}
    branches = [{"id": MAIN, "name": "main", **known}, {"id": "br-kept", "name": made["names"]["rollback"], **known}]
    return Story(
        {
            "undo_target": "staging",
            "undo_environment": "staging",
            "undo_neon_project_id": PROJECT,
            "undo_coolify_application": APP,
            "undo_allow_unprotect": True,
            "undo_accept_loss": True,
        },
        {
            "run_journal to_undo": {"run": run},
            "run_journal read": {"run": run},
            "run_journal unfinished": {"unfinished": []},
            "run_lock take": {"run": UNDO, "locks": [{"name": "drill:staging"}]},
            "neon_branch_info": {"branches": branches},
            "neon_project_info": {"project": {"limits": {}}},
            "undo_plan": {"plan": {"problems": []}, "text": ["the plan"]},
            "neon_branch_restore": failure("api_error", "Neon refused it."),
        },
    )


def test_an_undo_that_ends_stuck_keeps_the_targets_locks_and_gives_the_drills_back(roles: StubbedRoles) -> None:
    """Given a killed drill whose way back fails, then what is stuck is its restore, and the next drill says so."""
    told = roles.tell("undo", "main", {"a drill": half_done(drill=DRILL), "a restore": half_done()})
    for name in ("a drill", "a restore"):
        assert "Neon refused it." in told[name].message, told[name].message
        (kept,) = told[name].called("run_lock", action="keep")
        assert (kept["run"], kept["stuck_run"]) == (UNDO, RESTORE) and "drill:staging" not in kept["names"]
    (released,) = told["a drill"].called("run_lock", action="release")
    assert (released["names"], released["run"]) == (["drill:staging"], UNDO)
    assert told["a restore"].called("run_lock", action="release") == []


PREVIEWS = ("", " (preview)")


def repointed(**answers: Any) -> Story:
    """A repoint that is to be taken back, with the compute of its old primary deleted, and its deployments."""
    steps = {
        "env": step(ids={"application": APP}, undo={"variables": [{"key": "DATABASE_URL", "is_preview": False}]}),
        "deploy": step(),
        "disable_ep-a1": step(),
        "env_other_DATABASE_URL": step(ids={"application": "other"}, undo={"variables": []}),
        "deploy_other": step(ids={"application": "other"}),
    }
    there = {"id": MAIN, "endpoints": [{"id": "ep-a2", "type": "read_write"}]}
    known = {
        "run_journal read": {"run": {"status": "running", "steps": steps}},
        "neon_branch_info": {"branches": [there]},
    }
    return Story(run("repoint", steps, cutover_accept_loss=True, cutover_undo_fails=False), {**known, **answers})


def test_nothing_is_deployed_again_whose_row_could_not_be_put_back(roles: StubbedRoles) -> None:
    """Given a row that is known not to be written, then its application is not deployed on the restored data again.

    One that may be written, as only another row or the answer is missing, is: else a later push would move it.
    """
    refused, half = ({**failure("not_verified"), "partial": {"not_saved": [f"DATABASE_URL{row}"]}} for row in PREVIEWS)
    stories = {
        "refused": repointed(coolify_application_env=refused),
        "half": repointed(coolify_application_env=half),
        "unproven": repointed(coolify_application_env=failure("unreachable")),
        "put back": repointed(),
    }
    told = roles.tell("cutover", "undo", stories)
    deployed = {
        name: [item["application"] for item in story.called("coolify_deployment")] for name, story in told.items()
    }
    assert deployed == {
        "refused": [],
        # The other application has one row only, and it is that which is missing.
        "half": [APP],
        "unproven": [APP, "other"],
        "put back": [APP, "other"],
    }
    assert "put the old connection string back: it went wrong" in told["refused"].message
    # The compute that is gone has another in its place, and need not be enabled.
    assert [story.called("neon_endpoint") for story in told.values()] == [[]] * 4


def test_an_undo_that_cannot_end_is_refused_before_anything_is_moved(roles: StubbedRoles) -> None:
    """Given a plan with a problem, then the undo says all of it and what to do, and writes nothing."""
    story = half_done()
    problem = {"code": "no_room", "message": "There is no room.", "what_to_do": "Delete something."}
    story.answers["undo_plan"] = {"plan": {"problems": [problem]}, "text": ["the plan"]}  # type: ignore[index]
    (told,) = roles.tell("undo", "main", {"no room": story}).values()
    assert "has changed nothing. There is no room. Delete something." in told.message, told.message
    assert not {call["module"] for call in told.calls} & {"neon_branch", "neon_branch_restore", "postgres_fence"}
    assert not told.called("run_lock", action="keep")
