# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cutover does where something is not as it should be: what it holds, what it asks, what it does not begin."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles, failure

Json = dict[str, Any]
APP, MAIN, NEW, PROJECT = "n1kz0hg8q4w2e6r8t0y2u4i6", "br-main-root-a1", "br-new-b2", "late-frost-12345678"
WRITTEN = {"comparison": {"equal": False, "hashes_compared": True, "summary": ["Quest: 1 row more"]}}


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def plan(strategy: str = "repoint", **more: Any) -> Json:
    return {
        "strategy": {"chosen": strategy},
        "application": {"uuid": APP, "commit": "c0ffee", "git_commit_sha": "HEAD", "auto_deploy": True},
        "primary": {"branch_id": MAIN, "name": "main", "role": "owner", "pooled": False, "endpoint_ids": ["ep-a1"]},
        "names": {"rollback": "rollback-20250113-150000"},
        "env": {"rows": [], "base": None},
        "consumers": {"repoint": [], "others": []},
        "code": {"deploy_commit": None, "fits_commit": None},
        **more,
    }


def step(phase: str = "done", **more: Any) -> Json:
    return {"phase": phase, "ids": {}, "undo": {}, "data": {}, "error": None, **more}


def run(strategy: str, steps: Json, status: str = "running", **more: Any) -> Json:
    """The variables of a cutover whose journal has these steps."""
    return {
        "cutover_run": "20250113T150000Z-restore-0a1b2c",
        "cutover_target": "tracker",
        "cutover_plan": plan(strategy),
        "cutover_branch": {"id": NEW, "name": "restore-20250113-142500", "endpoints": [], "parent_lsn": "0/1"},
        "cutover_neon_project_id": PROJECT,
        "cutover_cause": "its proof failed",
        "__cutover_journal": {"run": {"status": status, "steps": steps}},
        "__cutover_began": {"epoch": time.time(), "run": {}},
        **more,
    }


HELD_IN_PLACE = {"unprotect": step(undo={"protected": True}), "restore": step()}


def test_a_held_run_protects_a_primary_again_that_it_had_unprotected(roles: StubbedRoles) -> None:
    """Given a run that holds between taking the protection away and giving it back, then it gives it back (rule 9).

    Where Neon refuses that the run holds all the same, and says what a person has to do.
    """
    held = run("in_place", HELD_IN_PLACE, __cutover_written=WRITTEN)
    stories = {
        "unprotected for the restore": Story(held),
        "unprotected for its undo": Story(run("in_place", {"undo_unprotect": step()}, __cutover_written=WRITTEN)),
        "ended long ago": Story(run("in_place", HELD_IN_PLACE, "done", __cutover_written=WRITTEN)),
        "never unprotected": Story(run("in_place", {"restore": step()}, __cutover_written=WRITTEN)),
        "refused": Story(held, {"neon_branch protect": failure("not_accepted", "update branch main: no slot")}),
    }
    told = roles.tell("cutover", "hold", stories)
    for story in told.values():
        assert "the application has written to the restored data since" in story.message
        assert "accept_loss=true" in story.message
    protects = {name: len(story.called("neon_branch", branch_id=MAIN, protected=True)) for name, story in told.items()}
    assert list(protects.values()) == [1, 1, 0, 0, 1]
    assert "THE BRANCH main IS NOT PROTECTED (update branch main: no slot)" in told["refused"].message
    assert "NOT PROTECTED" not in told["unprotected for the restore"].message


def test_a_held_run_says_why_and_what_it_leaves(roles: StubbedRoles) -> None:
    """Given a repoint that holds, then the application follows what it did or was asked to, and the rest is said."""
    steps = {"pause_auto_deploy": step(), "deploy": step("failed", undo={"git_commit_sha": "HEAD"})}
    pinned = run("repoint", steps, __cutover_written=WRITTEN)
    pinned["cutover_plan"]["code"]["deploy_commit"] = "abc1234"
    counted = {"comparison": {"equal": True, "hashes_compared": False, "summary": []}}
    stories = {
        "same commit": Story(run("repoint", steps, __cutover_written=WRITTEN)),
        "deploy_commit": Story(pinned),
        "only counted": Story(run("repoint", {"deploy": step()}, __cutover_written=counted)),
    }
    told = roles.tell("cutover", "hold", stories)
    follows = {name: [item["git_commit_sha"] for item in told[name].called("coolify_application")] for name in told}
    assert follows == {"same commit": ["HEAD"], "deploy_commit": ["abc1234"], "only counted": []}
    paused = {name: "switch Auto Deploy on in Coolify" in story.message for name, story in told.items()}
    assert paused == {"same commit": True, "deploy_commit": True, "only counted": False}
    assert "tables were counted, not hashed, so a changed row would not show" in told["only counted"].message
    assert "could not be stopped" not in told["only counted"].message


def test_only_a_deployment_that_was_not_taken_counts_as_never_served(roles: StubbedRoles) -> None:
    """Given an error that may also come from a look at what serves already, then it is looked for writes (rule 19)."""
    never = {"deployment_failed", "deployment_cancelled", "not_queued"}
    codes = [*never, "unauthorized", "forbidden", "not_found", "unreachable", "deployment_vanished", "unhealthy"]
    stories = {
        code: Story(run("repoint", {"deploy": step("failed", error={"code": code})}, __cutover_undo_branches={}))
        for code in codes
    }
    told = roles.tell("cutover", "lift_restored", stories, swapped="__cutover_swapped")
    assert {code: story.shown["swapped"] for code, story in told.items()} == {code: code not in never for code in codes}


WHOLE = {
    "neon_branch_info": {"branches": [{"id": MAIN, "name": "main"}, {"id": NEW, "name": "r", "parent_lsn": "0/1"}]},
    "neon_project_info": {"project": {"window_start": "2025-01-01T00:00:00Z"}},
    "neon_branch_restore": {"branch": {"id": MAIN}, "preserved_branch": {"id": "br-kept"}},
    "neon_snapshot": {"branch": {"id": NEW, "default": True}},
    "coolify_application_env": {"written_at": "2025-01-13T15:01:00Z"},
}
LEFT = {"user": "operator", "pid": 41, "application_name": "psql", "client_addr": None, "reason": "must be a superuser"}


def test_a_fence_that_leaves_a_writer_stops_the_cutover(roles: StubbedRoles) -> None:
    """Given what may still write on the old primary, no row is moved, and it is named with what to do (rule 16)."""
    fences: dict[str, Json] = {
        "a session": {"sessions_left": [LEFT]},
        "a prepared transaction": {"prepared_transactions": 2},
        "both": {"sessions_left": [LEFT, {**LEFT, "pid": 42}], "prepared_transactions": 1},
        "neither": {},
    }
    clean = {"sessions_left": [], "prepared_transactions": 0}
    stories = {
        name: Story(run("repoint", {}), {**WHOLE, "postgres_fence": {"fence": {**clean, **fence}}})
        for name, fence in fences.items()
    }
    told = roles.tell("cutover", "repoint", stories)
    assert [name for name, story in told.items() if story.called("coolify_application_env")] == ["neither"]
    assert told["neither"].message == ""
    one, other = "operator (process 41, psql from this server: must be a superuser)", "(process 42, psql"
    assert f"{one}. End them" in told["a session"].message and "prepared" not in told["a session"].message
    assert "2 prepared transactions could still be committed" in told["a prepared transaction"].message
    assert "pg_prepared_xacts" in told["a prepared transaction"].message
    assert f"{one}, operator {other}" in told["both"].message and "1 prepared transactions" in told["both"].message


@pytest.mark.parametrize(
    ("strategy", "decisive"),
    [("repoint", "coolify_application_env"), ("in_place", "neon_branch_restore"), ("snapshot", "neon_snapshot")],
)
def test_past_the_deadline_nothing_is_begun(roles: StubbedRoles, strategy: str, decisive: str) -> None:
    """Given a deadline that has passed before the decisive step, then that step is not begun."""
    made = plan(
        strategy,
        restore_point={"epoch": time.time() - 60},
        source={"is_primary": True, "branch_id": MAIN},
        unprotect={"needed": True},
        undo={"possible_until": "2025-01-20T00:00:00Z"},
    )
    made["names"]["root"] = "snapshot-20250113-142500"
    made["primary"]["default"] = True
    stories = {
        name: Story(
            run(strategy, {}, cutover_plan=made, __cutover_began={"epoch": time.time() - ago, "run": {}}), WHOLE
        )
        for name, ago in (("late", 1000), ("in time", 0))
    }
    told = roles.tell("cutover", strategy, stories)
    assert told["late"].called(decisive) == [] and told["in time"].called(decisive)
    assert "The deadline of 900 s has passed" in told["late"].message and told["in time"].message == ""
    waits = [args["wait_timeout"] for args in told["in time"].called("neon_branch")]
    assert all(890 < float(wait) <= 900 for wait in waits) and (strategy != "in_place" or len(waits) == 3)


def test_without_a_deployment_health_is_watched_and_one_restart_is_tried(roles: StubbedRoles) -> None:
    """Given a restore in place, then its application's health is watched; only where it is bad a restart may mend it.

    One that was restarted already, because it had not connected, is not restarted again.
    """
    verified = {"schema_hash": "aa", "migration": {}}
    restored = run("in_place", {}, cutover_verified=verified, cutover_soak_seconds=90)
    answers: Json = {
        "coolify_deployment restart": {"changed": True, "deployment": {}},
        "postgres_manifest": {"manifest": verified},
        "postgres_check": {"passed": True, "failed_checks": []},
    }
    watched = {
        "healthy": {},
        "unhealthy": failure("unhealthy"),
        "no time left": failure("timeout"),
        "no answer": failure("unauthorized"),
        "no reason": {"failed": True, "msg": "it broke"},
    }
    stories = {name: Story(restored, {**answers, "coolify_deployment": watch}) for name, watch in watched.items()}
    again = {**restored, "__cutover_restarted": {"deployment": {}}}
    stories["again"] = Story(again, {**answers, "coolify_deployment": failure("unhealthy")})
    told = roles.tell("cutover", "soak", stories)
    assert told["unhealthy"].message == ""
    assert [name for name, story in told.items() if story.message] == ["no time left", "no answer", "no reason", "again"]
    assert [name for name, story in told.items() if story.called("coolify_deployment", action="restart")] == [
        "unhealthy"
    ]
    assert told["unhealthy"].called("postgres_check"), "the application may have migrated when it started"
    assert not told["healthy"].called("postgres_check")
    assert [args["soak"] for args in told["healthy"].called("coolify_deployment", action="watch")] == [90]


def test_only_an_answer_is_a_refusal(roles: StubbedRoles) -> None:
    """Given an old string that cannot be tried, then the fence is not proven by that (rule 17)."""
    no, yes = {"error": "disabled"}, {"tls": True}
    tried = {"refused": (no, no, True), "open": (no, yes, True), "unreachable": (no, no, False)}
    stories = {}
    for name, (direct, pooled, answered) in tried.items():
        found = {"direct": direct, "pooled": pooled}
        check = {"found": found, "answered": answered, "expected": {"ways": list(found)}, "message": "no route to host"}
        answers = {"postgres_check": {"checks": [check]}, "run_journal read": {"run": {"steps": {}}}}
        stories[name] = Story(run("repoint", {}), answers)
    told = roles.tell("cutover", "fence", stories)
    assert told["refused"].message == ""
    assert "still takes connections" in told["open"].message
    assert "could not be tried: no route to host" in told["unreachable"].message
