# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a promotion hands to the restores inside of it, and what its report is drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, World
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles, failure
from ansible_collections.rewind.database.tests.unit.test_promote_plan import RUN, plan

Json = dict[str, Any]
TASKS = Path(__file__).resolve().parents[2] / "roles" / "promote" / "tasks"
# Of a run that is gone on with, and of what is kept afterwards: the copy of the test is neither.
ONLY_OF_THE_TARGET = {"restore_unfinished", "restore_keep_days"}


def answers(name: str) -> Json:
    """What the restore that this file includes is told."""

    def includes(tasks: list[Json]) -> Iterator[Json]:
        for task in tasks:
            for part in ("block", "rescue", "always"):
                yield from includes(task.get(part, []))
            if task.get("ansible.builtin.include_role", {}).get("name") == "rewind.database.restore":
                yield task["vars"]

    (found,) = includes(yaml.safe_load((TASKS / name).read_text(encoding="utf-8")))
    return found


def test_the_test_on_staging_is_given_the_same_answers() -> None:
    """Given an answer to what a restore asks, then the one of the test has it too, or one of its own."""
    inside, test = answers("restore.yml"), answers("trial.yml")
    assert set(inside) - set(test) == ONLY_OF_THE_TARGET
    for name in ("restore_require_health_check", "restore_fence_writes_before_cutover", "restore_verify_seconds"):
        assert test[name] == inside[name], name


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def recorded(**modules: Any) -> Story:
    """A promotion whose last step is left, with a tree that was planned and one that came about."""
    made = plan(World(), branch="main")
    first = {**made, "tree_after": [{"id": "predicted:branch/x", "name": "planned"}], "warnings": []}
    known: Json = {
        "promote_target": "tracker",
        "promote_environment": "staging",
        "promote_neon_project_id": "late-frost-12345678",
        "promote_coolify_application": "app",
        "promote_coolify_env_key": "DATABASE_URL",
        "promote_option": "a",
        "promote_objectives": {},
        "promote_run": RUN,
        "__promote_plan": {"plan": made},
        "__promote_first": first,
        "__promote_project": {"project": {}},
        "__promote_application": {},
        "__promote_catalogue": {"records": []},
        "__promote_inner": {},
        "__promote_journal": {"run": {"id": RUN, "steps": {}}},
    }
    ended: Json = {
        "run_journal finish": {"run": {"sections": []}},
        "run_report": {"report": {"written": True, "html": "r.html"}},
    }
    drawn = {"plan": {"tree_before": [{"id": MAIN, "name": "read"}]}}
    there = {"branches": [{"id": MAIN}]}
    return Story(known, {**ended, "neon_branch_info": there, "promote_plan": drawn, **modules})


def test_the_report_shows_the_branches_as_they_are_and_not_as_they_were_planned(roles: StubbedRoles) -> None:
    """Given a promotion that is done, then its tree is read again; where that fails, the report says so."""
    stories = {
        "read": recorded(),
        "not read": recorded(neon_branch_info=failure("unreachable")),
        "not drawn": recorded(promote_plan=failure("failed")),
    }
    told = roles.tell("promote", "record", stories)
    shown = {}
    for name, story in told.items():
        assert story.message == "", name
        (report,) = (item["facts"] for item in story.called("run_report"))
        shown[name] = ([row["name"] for row in report["tree_after"]], len(report["warnings"]))
    assert shown == {"read": (["read"], 0), "not read": (["planned"], 1), "not drawn": (["planned"], 1)}
