# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cutover does where something is not as it should be: what it holds, what it asks, what it does not begin."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.stubbed_roles import StubbedRoles, show

Json = dict[str, Any]
APP, MAIN, NEW, PROJECT = "n1kz0hg8q4w2e6r8t0y2u4i6", "br-main-root-a1", "br-new-b2", "late-frost-12345678"
UNHEALTHY = {"error": {"code": "unhealthy"}, "failed": True, "msg": "watch application: it is not healthy"}
WRITTEN = {"comparison": {"equal": False, "hashes_compared": True, "summary": ["Quest: 1 row more"]}}
UNTOUCHED = {"comparison": {"equal": True, "hashes_compared": True, "summary": []}}


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


@pytest.mark.parametrize(
    ("steps", "status", "protects"),
    [
        (HELD_IN_PLACE, "running", True),
        ({**HELD_IN_PLACE, "undo_unprotect": step()}, "running", True),
        (HELD_IN_PLACE, "done", False),
        ({"restore": step()}, "running", False),
    ],
    ids=["unprotected for the restore", "unprotected for its undo", "ended long ago", "never unprotected"],
)
def test_a_held_run_protects_a_primary_again_that_it_had_unprotected(
    roles: StubbedRoles, steps: Json, status: str, protects: bool
) -> None:
    """Given a run that holds between taking the protection away and giving it back, then it gives it back (rule 9)."""
    played = roles.play("cutover", "hold", run("in_place", steps, status, __cutover_written=WRITTEN))
    assert played.code == 2 and "the application has written to the restored data since" in played.output
    found = roles.called("neon_branch", branch_id=MAIN, protected=True)
    assert bool(found) is protects
    assert all(item["journal"]["step"] == "protect" for item in found)


def test_a_held_run_that_cannot_protect_the_primary_says_so(roles: StubbedRoles) -> None:
    """Given a Neon that refuses it, then the run holds all the same, and the text says what a person has to do."""
    roles.fail("neon_branch protect", "not_accepted", "update branch main: no slot for it")
    played = roles.play("cutover", "hold", run("in_place", HELD_IN_PLACE, __cutover_written=WRITTEN))
    said = " ".join(played.output.split())
    assert "THE BRANCH main IS NOT PROTECTED (update branch main: no slot for it)" in said
    assert "accept_loss=true" in said


@pytest.mark.parametrize(("deployed", "follows"), [(None, "HEAD"), ("abc1234", "abc1234")])
def test_a_held_repoint_lets_go_of_the_commit_and_names_the_pause(
    roles: StubbedRoles, deployed: str | None, follows: str
) -> None:
    """Given a repoint that holds, then the application follows what it did or what was asked for, and the rest is said."""
    steps = {"pause_auto_deploy": step(), "deploy": step("failed", undo={"git_commit_sha": "HEAD"})}
    told = run("repoint", steps, __cutover_written=WRITTEN)
    told["cutover_plan"]["code"]["deploy_commit"] = deployed
    played = roles.play("cutover", "hold", told)
    assert [item["git_commit_sha"] for item in roles.called("coolify_application")] == [follows]
    assert "switch Auto Deploy on in Coolify" in " ".join(played.output.split())


def test_a_run_held_because_rows_were_only_counted_says_that(roles: StubbedRoles) -> None:
    """Given equal counts and no hashes, then the text claims neither a write nor sessions that would not end."""
    counted = {"comparison": {"equal": True, "hashes_compared": False, "summary": []}}
    told = run("repoint", {"deploy": step()}, __cutover_written=counted)
    said = " ".join(roles.play("cutover", "hold", told).output.split())
    assert "tables were counted, not hashed, so a changed row would not show" in said
    assert "could not be stopped" not in said


def test_only_a_deployment_that_was_not_taken_counts_as_never_served(roles: StubbedRoles) -> None:
    """Given an error that may also come from a look at what serves already, then it is looked for writes (rule 19)."""
    never = {"deployment_failed", "deployment_cancelled", "not_queued"}
    codes = [*never, "unauthorized", "forbidden", "not_found", "unreachable", "deployment_vanished", "unhealthy"]
    expression = "__cutover_swapped"
    shown = tuple(
        {
            **show(code, expression),
            "vars": run("repoint", {"deploy": step("failed", error={"code": code})}, __cutover_undo_branches={}),
        }
        for code in codes
    )
    played = roles.play("cutover", "forget", run("repoint", {}), shown)
    assert {code: str(played.results[code]["msg"]) for code in codes} == {code: str(code not in never) for code in codes}


WHOLE = {
    "neon_branch_info": {"branches": [{"id": MAIN, "name": "main"}, {"id": NEW, "name": "r", "parent_lsn": "0/1"}]},
    "coolify_application_env": {"written_at": "2025-01-13T15:01:00Z"},
    "coolify_application_info": {"application": {"uuid": APP}},
}
LEFT = {"user": "operator", "pid": 41, "application_name": "psql", "client_addr": None, "reason": "must be a superuser"}


@pytest.mark.parametrize(
    ("fence", "said"),
    [
        ({"sessions_left": [LEFT]}, ["operator (process 41, psql from this server: must be a superuser)"]),
        ({"prepared_transactions": 2}, ["2 prepared transactions could still be committed", "pg_prepared_xacts"]),
        ({"sessions_left": [LEFT], "prepared_transactions": 1}, ["must be a superuser", "1 prepared transactions"]),
        ({}, []),
    ],
    ids=["a session", "a prepared transaction", "both", "neither"],
)
def test_a_fence_that_leaves_a_writer_stops_the_cutover(roles: StubbedRoles, fence: Json, said: list[str]) -> None:
    """Given what may still write on the old primary, then no row is moved, and it is named with what to do (rule 16)."""
    left = {"sessions_left": [], "prepared_transactions": 0, "proven_refused": True, **fence}
    roles.answers = {**WHOLE, "postgres_fence": {"fence": left}}
    played = roles.play("cutover", "repoint", run("repoint", {}))
    text = " ".join(played.output.split())
    assert [words for words in said if words not in text] == []
    assert bool(roles.called("coolify_application_env")) is not bool(said), text
    assert (played.code == 0) is not bool(said), text


@pytest.mark.parametrize(
    ("strategy", "module"),
    [
        ("repoint", "coolify_application_env"),
        ("in_place", "neon_branch_restore"),
        ("snapshot", "neon_snapshot"),
    ],
)
def test_past_the_deadline_nothing_is_begun(roles: StubbedRoles, strategy: str, module: str) -> None:
    """Given a deadline that has passed before the decisive step, then that step is not begun."""
    roles.answers = {
        **WHOLE,
        "neon_project_info": {"project": {"window_start": "2025-01-01T00:00:00Z"}},
        "neon_branch_restore": {"branch": {"id": MAIN}, "preserved_branch": {"id": "br-kept"}},
        "neon_snapshot": {"branch": {"id": NEW, "default": True}},
    }
    for late in (True, False):
        began = time.time() - (1000 if late else 0)
        told = run(strategy, {}, __cutover_began={"epoch": began, "run": {}})
        told["cutover_plan"] |= {
            "restore_point": {"epoch": time.time() - 60},
            "source": {"is_primary": True, "branch_id": MAIN},
            "unprotect": {"needed": False},
            "undo": {"possible_until": "2025-01-20T00:00:00Z"},
        }
        told["cutover_plan"]["names"]["root"] = "snapshot-20250113-142500"
        told["cutover_plan"]["primary"]["default"] = True
        played = roles.play("cutover", strategy, told)
        assert bool(roles.called(module)) is not late, played.output
        assert ("The deadline of 900 s has passed" in " ".join(played.output.split())) is late


@pytest.mark.parametrize(
    ("watched", "restarts", "code"),
    [
        ({}, 0, 0),
        (UNHEALTHY, 1, 0),
        ({**UNHEALTHY, "error": {"code": "timeout"}}, 0, 2),
        ({**UNHEALTHY, "error": {"code": "unauthorized"}}, 0, 2),
    ],
    ids=["healthy", "unhealthy", "no time left", "no answer"],
)
def test_without_a_deployment_health_is_watched_and_one_restart_is_tried(
    roles: StubbedRoles, watched: Json, restarts: int, code: int
) -> None:
    """Given a restore in place, then its application's health is watched; only where it is bad a restart may mend it."""
    roles.answers = {
        "coolify_deployment": watched,
        "coolify_deployment restart": {"changed": True, "deployment": {}},
        "postgres_manifest": {"manifest": {"schema_hash": "aa", "migration": {}}},
        "postgres_check": {"passed": True},
    }
    told = run("in_place", {}, cutover_verified={"schema_hash": "aa", "migration": {}}, cutover_soak_seconds=90)
    played = roles.play("cutover", "soak", told)
    assert played.code == code, played.output
    assert [item["soak"] for item in roles.called("coolify_deployment", action="watch")] == ["90"] or watched
    assert len(roles.called("coolify_deployment", action="restart")) == restarts
    assert len(roles.called("postgres_check")) == restarts, "the application may have migrated when it started"


def test_an_unhealthy_application_is_restarted_only_once(roles: StubbedRoles) -> None:
    """Given one that was restarted because it had not connected, and is unhealthy, then it is not restarted again."""
    roles.answers = {"coolify_deployment": UNHEALTHY}
    told = run("in_place", {}, __cutover_restarted={"deployment": {}})
    assert roles.play("cutover", "soak", told).code == 2
    assert roles.called("coolify_deployment", action="restart") == []


@pytest.mark.parametrize(
    ("found", "answered", "said"),
    [
        ({"direct": {"error": "disabled"}, "pooled": {"error": "disabled"}}, True, None),
        ({"direct": {"error": "disabled"}, "pooled": {}}, True, "still takes connections"),
        ({"direct": {"error": "no route"}, "pooled": {"error": "no route"}}, False, "could not be tried"),
    ],
)
def test_only_an_answer_is_a_refusal(roles: StubbedRoles, found: Json, answered: bool, said: str | None) -> None:
    """Given an old string that cannot be tried, then the fence is not proven by that (rule 17)."""
    check = {"found": found, "answered": answered, "expected": {"ways": ["direct", "pooled"]}, "message": "no route"}
    roles.answers = {"postgres_check": {"checks": [check]}, "run_journal read": {"run": {"steps": {}}}}
    played = roles.play("cutover", "fence", run("repoint", {}))
    assert (played.code == 0) is (said is None), played.output
    assert said is None or said in " ".join(played.output.split())
