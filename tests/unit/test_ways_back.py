# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `undo` and `promote` refuse before they begin, and say where they stop: their own tasks, and no service."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]
ROLES = Path(__file__).resolve().parents[2] / "roles"
PLAN = {
    "names": {"rollback": "rollback-1"},
    "primary": {"branch_id": "br-old", "name": "main"},
    "strategy": {"chosen": "snapshot"},
    "env": {"base": None},
}
RESTORED = {"id": "br-new", "name": "restore-a", "restored_from": "snap-1", "endpoints": []}
RUN: Json = {
    "id": "RUN",
    "verb": "restore",
    "inputs": {},
    "cutover_begun": True,
    "steps": {"plan": {"data": {"plan": PLAN}}, "verified": {"data": {"branch": RESTORED}}},
}
BRANCHES = [
    {"id": "br-old", "name": "main", "restored_as": None, "endpoints": [{"host": "old.example.com"}]},
    {"id": "br-new", "name": "tracker", "restored_as": "br-old", "endpoints": [{"host": "new.example.com"}]},
    {"id": "br-hot", "name": "hotfix", "restored_as": None, "endpoints": [{"host": "hot.example.com"}]},
]
UNDO: Json = {
    "rewind_neon_project_id": "late-frost-1",
    "rewind_coolify_application": "app",
    "undo_neon_project_id": "late-frost-1",
    "undo_coolify_application": "app",
    "undo_coolify_env_key": "DATABASE_URL",
    "undo_target": "tracker",
    "__undo_journal": {"run": RUN},
    "__undo_branches": {"branches": BRANCHES},
    "__undo_promotion": {},
    "__undo_lock": {},
}
ROW = {"key": "DATABASE_URL", "is_preview": False}
WRITTEN = {"phase": "done", "ids": {"application": "app"}, "undo": {"variables": [ROW]}, "error": None}
TRIAL = {"trial": {"data": {"test_application": "staging"}}}
COPIED = {"id": "COPY", "inputs": {"drill": "RUN"}}
PROMOTE: Json = {
    "promote_target": "tracker",
    "promote_environment": "production",
    "promote_confirm": "",
    "promote_test_application": "staging",
    "__promote_why": "It failed.",
    "__promote_first": {"confirm": {"needed": True}},
    "__promote_ahead": [],
    "__promote_journal": {"run": {"id": "RUN", "steps": {}}},
    "__promote_reached": {"run": {"promotion_begun": False}},
    "__promote_tried": {},
    "restore_result": {},
}
JUDGED = ("undo", "plan.yml", "Plan | Nothing stands in its way")
ROWS = ("undo", "rows.yml", "Rows | Each points to where the run has moved it, or to where it was before")
TEST = ("undo", "trial.yml", "Test | The staging target is not on the copy that the test had made")
AHEAD = ("promote", "look_ahead.yml", "Look ahead | Nothing stands in the way")
FAILED = ("promote", "failed.yml", "Failed | Say it")


def run_with(steps: Json, chosen: str = "snapshot") -> Json:
    """The journal of a run that has these steps as well."""
    run = copy.deepcopy(RUN)
    run["steps"] |= steps
    run["steps"]["plan"]["data"]["plan"]["strategy"]["chosen"] = chosen
    return {"__undo_journal": {"run": run}}


def planned(*problems: Json) -> Json:
    """What the plan of an undo says that stands in its way."""
    return {"__undo_plan": {"plan": {"problems": list(problems)}}}


def on(host: str) -> Json:
    """The application as it is now, on this host, of a run that has repointed it."""
    row = {**ROW, "connection": {"host": host}}
    application = {"application": {"uuid": "app", "environment": [row]}}
    return {**run_with({"env": WRITTEN}, "repoint"), "__undo_application": application, "__undo_others": {}}


# By name: the task, what is the case, what is said (nothing where the task passes), what is not.
CASES: dict[str, tuple[tuple[str, str, str], Json, list[str], list[str]]] = {
    "plan: all is well": (JUDGED, planned(), [], []),
    "plan: problems": (
        JUDGED,
        planned({"message": "No room.", "what_to_do": "Delete."}, {"message": "No compute.", "what_to_do": "Add one."}),
        ["RUN cannot be taken back", "has changed nothing. No room. Delete.", "No compute. Add one."],
        ["without writes"],
    ),
    "plan: problems of a second undo": (
        JUDGED,
        {**planned({"message": "No room.", "what_to_do": "Delete."}), **run_with({"fence_restored": WRITTEN})},
        ["has changed nothing; an undo that was killed may have left its restored data without writes"],
        [],
    ),
    "rows: moved": (ROWS, on("new.example.com"), [], []),
    "rows: as before": (ROWS, on("old.example.com"), [], []),
    "rows: elsewhere": (ROWS, on("hot.example.com"), ["DATABASE_URL of app points to hotfix", "Nothing was"], []),
    "test: on its copy": (
        TEST,
        {**run_with(TRIAL), "__undo_trial": {"run": COPIED}, "__undo_trial_open": {"unfinished": [COPIED]}},
        ["rewind.database.undo -e target=staging -e run=COPY -e accept_loss=true"],
        [],
    ),
    "test: on another's": (
        TEST,
        {
            **run_with(TRIAL),
            "__undo_trial": {"run": {"id": "OLD", "inputs": {}}},
            "__undo_trial_open": {"unfinished": []},
        },
        [],
        [],
    ),
    "test: nothing there": (TEST, {**run_with(TRIAL), "__undo_trial": {"msg": "x"}, "__undo_trial_open": {}}, [], []),
    "ahead: a problem": (AHEAD, {"__promote_ahead": [{"message": "M.", "what_to_do": "W."}]}, ["M. W."], ["confirm"]),
    "ahead: another's yes": (AHEAD, {"promote_confirm": "other"}, ["-e confirm=tracker"], []),
    "ahead: nobody is asked": (AHEAD, {"__fleet_is_at_work": True}, ["-e confirm=tracker"], []),
    "ahead: all is well": (AHEAD, {"promote_confirm": "other, tracker", "__fleet_is_at_work": True}, [], []),
    "failed: closed": (FAILED, {}, ["It failed."], [".undo"]),
    "failed: begun": (
        FAILED,
        {"__promote_reached": {"run": {"promotion_begun": True}}},
        ["rewind.database.undo -e target=tracker -e run=RUN"],
        ["staging"],
    ),
    "failed: in its test": (
        FAILED,
        {"__promote_tried": {"run": "COPY", "outcome": "stuck"}},
        ["rewind.database.undo -e target=staging -e run=COPY", "rewind.database.undo -e target=tracker -e run=RUN"],
        [],
    ),
}


def _play(name: str, folder: Path) -> Json:
    (role, file, task), facts, _said, _unsaid = CASES[name]
    tasks = yaml.safe_load((ROLES / role / "tasks" / file).read_text(encoding="utf-8"))
    found = next(item for item in tasks if item["name"] == task)
    caught = {"name": "keep", "ansible.builtin.set_fact": {"said": "{{ ansible_failed_result.msg }}"}}
    place = {"content": "{{ said }}", "dest": str(folder / f"{list(CASES).index(name)}.txt"), "mode": "0600"}
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLES / role / "vars" / "main.yml")],
        "vars": {**(UNDO if role == "undo" else PROMOTE), **facts},
        "tasks": [
            {"name": "reset", "ansible.builtin.set_fact": {"said": ""}},
            {"name": "try", "block": [found], "rescue": [caught]},
            {"name": "write it down", "ansible.builtin.copy": place},
        ],
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By case, what its task has said when it failed; one run of Ansible for all of them."""
    folder = tmp_path_factory.mktemp("ways-back")
    (folder / "plays.json").write_text(json.dumps([_play(name, folder) for name in CASES]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "plays.json"]
    environment = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0", "AWX_ISOLATED_DATA_DIR": ""}
    environment["ANSIBLE_PYTHON_INTERPRETER"] = sys.executable
    environment.pop("ANSIBLE_CONFIG", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (folder / f"{number}.txt").read_text() for number, name in enumerate(CASES)}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_and_said(said: dict[str, str], name: str) -> None:
    """Given what the services and journals told, then the task says what stands in the way, or nothing."""
    _task, _facts, wanted, unwanted = CASES[name]
    text = " ".join(said[name].split())
    assert [part for part in wanted if part not in text] == [] and bool(wanted) == bool(text)
    assert [part for part in unwanted if part in text] == []
