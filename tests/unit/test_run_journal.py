# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""run_journal: a run from its start to its end, as a playbook sees it."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal, new_run_id
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import call_module

PASSWORD = "npg_q8Zm3Xw6Vt1Kr9Yb4Nc7"  # long and random: that it shows up nowhere is what is proven
STRING = f"postgresql://owner:{PASSWORD}@ep-cool-frost-a1b2c3d4.eu-central-1.aws.neon.tech/tracker?sslmode=require"


def _journal_module(tmp_path: Path, **options: Any) -> dict[str, Any]:
    return call_module("run_journal", {"state_dir": str(tmp_path), "target": "tracker", **options})


def test_the_module_keeps_a_run_from_start_to_end(tmp_path: Path) -> None:
    """Given the module, when a run is started, written, listed, resumed and ended, each answer says how it stands."""
    started = _journal_module(tmp_path, action="start", verb="restore", inputs={"a": 1})
    run = started["run"]["id"]
    assert started["changed"] is False and started["unfinished"] == []
    written = _journal_module(
        tmp_path, action="append", run=run, step="env", phase="intent", undo={"value": STRING}, ids={"env": "e"}
    )
    assert written["run"]["undo"] == [
        {"step": "env", "phase": "intent", "undo": {"value": STRING.replace(PASSWORD, "********")}, "ids": {"env": "e"}}
    ]
    assert "look like secrets" in written["warnings"][0]
    listed = _journal_module(tmp_path, action="unfinished")
    assert listed["run"] is None and [item["id"] for item in listed["unfinished"]] == [run]
    assert _journal_module(tmp_path, action="unfinished", run=run)["unfinished"] == []
    resumed = _journal_module(tmp_path, action="start", verb="restore", resume=True, run=new_run_id("restore"))
    assert resumed["run"]["id"] == run and resumed["run"]["inputs"] == {"a": 1}
    ended = _journal_module(tmp_path, action="finish", run=run, status="stuck", error="why")
    assert ended["run"]["status"] == "stuck"
    assert _journal_module(tmp_path, action="read")["run"]["id"] == run
    assert len(_journal_module(tmp_path, action="read", run=run)["entries"]) == 4


def test_the_module_lists_all_runs_in_brief(tmp_path: Path) -> None:
    """Given runs of two verbs, when they are listed, then each says how it ended, by which strategy, and no more."""
    first = _journal_module(tmp_path, action="start", verb="restore")["run"]["id"]
    data = {"plan": {"strategy": {"chosen": "repoint"}}, "resolved": {"names": {}}}
    _journal_module(tmp_path, action="append", run=first, step="plan", data=data)
    _journal_module(tmp_path, action="finish", run=first, status="done")
    second = _journal_module(tmp_path, action="start", verb="backup")["run"]["id"]
    listed = _journal_module(tmp_path, action="list")
    assert listed["run"] is None and {item["id"] for item in listed["runs"]} == {first, second}
    (found,) = _journal_module(tmp_path, action="list", verb="restore")["runs"]
    assert (found["id"], found["status"], found["strategy"], found["resumed"]) == (first, "done", "repoint", 0)
    assert set(found["steps"]["plan"]) == {"phase", "began_at", "at", "seconds"}
    assert _journal_module(tmp_path, action="read", run=first)["runs"] == []


def test_the_module_says_what_is_missing(tmp_path: Path) -> None:
    """Given incomplete options, when the module runs, then it fails with what to set."""
    missing = _journal_module(tmp_path, action="read", run=new_run_id("restore"))
    assert "there is none at" in missing["msg"] and str(tmp_path) in missing["msg"]
    assert "no verb" in _journal_module(tmp_path, action="start")["msg"]
    started = _journal_module(tmp_path, action="start", verb="restore")
    assert "no step" in _journal_module(tmp_path, action="append", run=started["run"]["id"])["msg"]
    relative = call_module("run_journal", {"state_dir": "x/y", "target": "t", "action": "read"})
    assert "not an absolute path" in relative["msg"]


def test_a_token_of_the_environment_is_masked_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a token in the environment and in an error's text, when that is journalled, it is masked."""
    monkeypatch.setenv("COOLIFY_ACCESS_TOKEN", "wonderful-tomatoes-again")
    run = _journal_module(tmp_path, action="start", verb="restore")["run"]
    _journal_module(
        tmp_path, action="append", run=run["id"], step="env", phase="failed", error="wonderful-tomatoes-again"
    )
    assert "wonderful-tomatoes" not in Path(run["path"]).read_text()


def test_both_ways_say_the_same(both_ways: BothWays, tmp_path: Path) -> None:
    """Given a finished run, when it is read in the controller's process and as a module, then the results are equal."""
    journal = Journal(tmp_path / "state", "tracker")
    run = journal.start("restore", {"a": 1})
    journal.append(run.id, "env", "done", ids={"x": 1})
    options = {"action": "read", "target": "tracker", "run": run.id}
    variables = {"rewind_state_dir": str(tmp_path / "state")}
    result = both_ways.same("run_journal", options, variables=variables, volatile=frozenset({"at", "epoch"}))
    assert result["run"]["id"] == run.id and result["run"]["steps"]["env"]["ids"] == {"x": 1}


def test_the_sections_are_what_a_timeline_takes(tmp_path: Path) -> None:
    """Given sections with steps inside, then they come in order, each ended by the next, and without the steps."""
    run = _journal_module(tmp_path, action="start", verb="restore")["run"]["id"]
    for step in ("preflight", "cutover"):
        _journal_module(tmp_path, action="enter", run=run, step=step)
        _journal_module(tmp_path, action="append", run=run, step=f"in_{step}", phase="done")
    first, second = _journal_module(tmp_path, action="read", run=run)["run"]["sections"]
    assert (first["step"], first["status"], second["step"], second["status"]) == (
        "preflight",
        "done",
        "cutover",
        "intent",
    )
    assert first["finished"] >= first["started"] and first["seconds"] >= 0
    assert second["finished"] is None and second["seconds"] is None
    ended = _journal_module(tmp_path, action="finish", run=run, status="done")["run"]
    assert [item["status"] for item in ended["sections"]] == ["done", "done"]


def test_a_run_that_failed_shows_the_section_that_it_failed_in(tmp_path: Path) -> None:
    """Given a run that ends failed in a section, then that section is not shown as done."""
    run = _journal_module(tmp_path, action="start", verb="restore")["run"]["id"]
    _journal_module(tmp_path, action="enter", run=run, step="verify")
    ended = _journal_module(tmp_path, action="finish", run=run, status="failed", error={"message": "why"})["run"]
    assert ended["sections"][0]["status"] != "done"


def test_a_section_that_is_entered_again_is_open_again(tmp_path: Path) -> None:
    """Given a run that is gone on with, then a section that was done is begun anew, and takes its new place."""
    run = _journal_module(tmp_path, action="start", verb="restore")["run"]["id"]
    for step in ("preflight", "cutover", "preflight"):
        entered = _journal_module(tmp_path, action="enter", run=run, step=step)
    assert [(item["step"], item["status"]) for item in entered["run"]["sections"]] == [
        ("cutover", "done"),
        ("preflight", "intent"),
    ]


@pytest.mark.parametrize("check_mode", [False, True])
def test_every_answer_has_its_instant_twice(tmp_path: Path, check_mode: bool) -> None:
    """Given any action, then text and seconds name the same instant; a deadline is counted from it."""
    options = {"state_dir": str(tmp_path), "target": "tracker", "action": "start", "verb": "restore"}
    result = call_module("run_journal", options, check_mode=check_mode)
    assert datetime.fromisoformat(result["at"]).timestamp() == pytest.approx(result["epoch"], abs=1e-5)
    assert abs(result["epoch"] - time.time()) < 60
