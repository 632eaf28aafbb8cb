# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal: what a run leaves behind, whole or killed, and what a later run reads from it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _journal
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal, new_run_id
from ansible_collections.rewind.database.plugins.module_utils._secrets import Masker
from ansible_collections.rewind.database.plugins.module_utils._state import Guard

PASSWORD = "npg_q8Zm3Xw6Vt1Kr9Yb4Nc7"  # long and random: that it shows up nowhere is what is proven
STRING = f"postgresql://owner:{PASSWORD}@ep-cool-frost-a1b2c3d4.eu-central-1.aws.neon.tech/tracker?sslmode=require"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state", "tracker")


def test_a_run_is_found_again_with_its_steps_times_and_undo(journal: Journal) -> None:
    """Given a run with a step done and one begun, when it is read, both stand as they are, the last undo first."""
    run = journal.start("restore", {"point_in_time": "2025-01-13T14:25:00Z"})
    journal.append(run.id, "pause", "intent", undo={"auto_deploy": True})
    journal.append(run.id, "pause", "done", ids={"application": "a"})
    journal.append(run.id, "env", "intent", ids={"env": "e"}, undo={"template": "x"})
    found = journal.read(run.id)
    assert found.status == "running" and found.is_unfinished
    assert found.inputs == {"point_in_time": "2025-01-13T14:25:00Z"}
    assert found.steps["pause"].phase == "done" and found.steps["pause"].ids == {"application": "a"}
    assert found.steps["pause"].seconds is not None and found.steps["pause"].seconds >= 0
    assert found.steps["env"].phase == "intent" and found.steps["env"].seconds is None
    assert [step["step"] for step in found.undo()] == ["env", "pause"]
    assert found.undo()[1]["undo"] == {"auto_deploy": True}


def test_an_undone_step_needs_no_undo_any_more(journal: Journal) -> None:
    """Given a step that was taken back, when the undo is asked for, then it is not among them."""
    run = journal.start("restore", {})
    journal.append(run.id, "pause", "done", undo={"auto_deploy": True})
    journal.append(run.id, "pause", "undone")
    assert journal.read(run.id).undo() == []


def test_each_line_has_the_shape_of_the_design(journal: Journal) -> None:
    """Given a journal, then every line is one JSON object with the agreed keys, numbered without a gap."""
    run = journal.start("backup", {})
    journal.append(run.id, "branch", "failed", error={"code": "limit"})
    lines = [json.loads(line) for line in run.path.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2]
    for line in lines:
        assert {"v", "run", "seq", "at", "step", "phase", "ids", "undo", "error"} <= set(line)
        assert line["run"] == run.id and line["at"].endswith("Z")


def test_files_are_private_and_on_the_disk_before_the_call_returns(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a new state directory, when a run starts, only its owner can read it, and files and folders are synced."""
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    run = journal.start("restore", {})
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o600
    for folder in (run.path.parent, run.path.parent.parent, run.path.parent.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert str(run.path) in synced and str(run.path.parent) in synced


def test_a_torn_last_line_loses_only_itself(journal: Journal) -> None:
    """Given a journal whose last line a crash has cut, when it goes on, then all whole lines are there, old and new."""
    run = journal.start("restore", {"a": 1})
    journal.append(run.id, "branch", "done", ids={"branch": "br-1"})
    with run.path.open("ab") as file:
        file.write(b'{"v":1,"run":"x","seq":3,"st')
    found = journal.append(run.id, "env", "intent")
    assert found.torn == [3]
    assert [entry["seq"] for entry in found.entries] == [1, 2, 3]
    assert found.steps["branch"].ids == {"branch": "br-1"} and found.steps["env"].phase == "intent"


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_journal_cut_anywhere_is_readable(journal: Journal, cut: int) -> None:
    """Given a journal cut at any byte, when it is read and written to, then nothing raises and no line is invented."""
    run = journal.start("restore", {})
    journal.append(run.id, "branch", "done", ids={"branch": "br-1"})
    content = run.path.read_bytes()
    run.path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n") if cut < len(content) else 2
    found = journal.append(run.id, "env", "done")
    # A line that lacks only its end is whole.
    assert len(found.entries) - 1 in (whole, whole + 1)
    assert found.steps["env"].phase == "done"


def test_secrets_do_not_get_into_a_journal(journal: Journal) -> None:
    """Given ids, undo, error and data with secrets in them, when they are journalled, they are masked."""
    token = "napi_k7w2m9x4t6q1z8v3b5n0c7j2h4g6f8d1"
    run = journal.start("restore", {"api_key": "plain-but-secret-value", "env_key": "DATABASE_URL"})
    journal.append(run.id, "env", "intent", undo={"value": STRING}, data={"note": f"key {token} used"})
    journal.append(run.id, "env", "failed", error=f"could not connect with {STRING}")
    journal.append(run.id, "x", "done", data={"row": {"password": "short"}, "header": "Bearer abcdefghijklmnop1234"})
    journal.append(
        run.id, "y", "done", data={"accessToken": "camel-case-secret", "hash": "a1b2c3", "primary_key": ["id"]}
    )
    text = run.path.read_text()
    for secret in ("camel-case-secret", PASSWORD, token, "plain-but-secret-value", "short", "abcdefghijklmnop1234"):
        assert secret not in text
    assert "ep-cool-frost-a1b2c3d4" in text and "DATABASE_URL" in text and "a1b2c3" in text
    assert journal.guard.masked == 7


def test_a_known_secret_is_masked_wherever_it_stands(tmp_path: Path) -> None:
    """Given a secret without any telling form that is known, when it is written in a sentence, then it is masked."""
    guard = Guard(Masker(["wonderful-tomatoes-again"]))
    assert guard.clean({"note": ["they said wonderful-tomatoes-again"]}) == {"note": ["they said ********"]}


def test_an_unfinished_run_is_gone_on_with_and_keeps_its_inputs(journal: Journal) -> None:
    """Given a killed run, when it is resumed with other inputs, then those it was started with stay (rule 22)."""
    run = journal.start("restore", {"point_in_time": "2025-01-13T14:25:00Z"})
    journal.append(run.id, "branch", "done", ids={"branch": "br-1"})
    again = journal.start("restore", {"point_in_time": "-15m"}, run=run.id)
    assert again.id == run.id and again.resumed == 1
    assert again.inputs == {"point_in_time": "2025-01-13T14:25:00Z"}
    assert again.started_at == run.started_at
    assert again.steps["branch"].phase == "done"


def test_a_finished_run_is_never_begun_again(journal: Journal) -> None:
    """Given a run that has ended, when it is started by its id, then that is refused and the file is as it was."""
    run = journal.start("restore", {})
    journal.finish(run.id, "done")
    before = run.path.read_bytes()
    with pytest.raises(Refused, match=r"it has ended \(done\)"):
        journal.start("restore", {}, run=run.id)
    with pytest.raises(Refused):
        journal.start("backup", {}, run=run.id)
    assert run.path.read_bytes() == before


def test_only_runs_without_an_end_and_stuck_ones_are_unfinished(journal: Journal) -> None:
    """Given runs that ended in each way and one that did not, then that one and the stuck one are unfinished."""
    runs = {status: journal.start("restore", {}).id for status in ("done", "failed", "undone", "stuck", "killed")}
    for status, run in runs.items():
        if status != "killed":
            journal.finish(run, status)
            assert journal.read(run).status == status
    other = Journal(journal.folder.parents[1], "another")
    other.start("restore", {})
    assert {run.id for run in journal.unfinished()} == {runs["stuck"], runs["killed"]}
    assert journal.unfinished("backup") == []
    assert {run.id for run in journal.runs()} == set(runs.values())
    latest = journal.latest("restore")
    assert latest is not None and latest.id == max(runs.values())


@pytest.mark.parametrize("ended", ["done", "failed"])
def test_a_run_that_is_about_to_be_taken_back_is_unfinished_again(journal: Journal, ended: str) -> None:
    """Given a run that has ended, when it is reopened, then a kill right after that leaves it to be found."""
    run = journal.start("restore", {"cutover": "repoint"})
    journal.append(run.id, "env", "done", ids={"branch": "b"})
    journal.finish(run.id, ended)
    assert journal.unfinished() == []
    reopened = journal.reopen(run.id, data={"why": "undo"})
    assert reopened.status == "running" and reopened.finished_at is None and reopened.resumed == 0
    (found,) = journal.unfinished("restore")
    assert found.inputs == {"cutover": "repoint"} and found.steps["env"].ids == {"branch": "b"}
    assert journal.finish(run.id, "undone").status == "undone"
    assert journal.unfinished() == []


def test_a_run_that_is_unfinished_is_not_reopened(journal: Journal) -> None:
    """Given a run without an end and a stuck one, then reopening adds nothing: a stuck one stays stuck."""
    running, stuck = journal.start("restore", {}), journal.start("restore", {})
    journal.finish(stuck.id, "stuck")
    before = [run.path.read_bytes() for run in (running, stuck)]
    assert [journal.reopen(run.id).status for run in (running, stuck)] == ["running", "stuck"]
    assert [run.path.read_bytes() for run in (running, stuck)] == before


def test_a_run_is_taken_back_only_once(journal: Journal) -> None:
    """Given a run that was taken back, then it is not reopened."""
    run = journal.start("restore", {})
    journal.finish(run.id, "undone")
    with pytest.raises(Refused, match="that was done already"):
        journal.reopen(run.id)


@pytest.mark.parametrize("step", ["pause_auto_deploy", "fence_writes", "env", "unprotect", "restore"])
def test_a_cutover_has_begun_with_the_intent_of_its_first_step(journal: Journal, step: str) -> None:
    """Given a plan and one step that was about to be done, then there may be something to take back."""
    run = journal.start("restore", {})
    assert not journal.append(run.id, "plan", "done", data={"plan": {}}).cutover_begun
    assert not journal.append(run.id, "delete_preview", "intent").cutover_begun
    assert journal.append(run.id, step, "intent").as_dict()["cutover_begun"] is True


def test_writing_the_same_end_twice_writes_once(journal: Journal) -> None:
    """Given a run that has ended, when the same end is written again, then nothing is added."""
    run = journal.start("backup", {})
    journal.finish(run.id, "done")
    before = run.path.read_bytes()
    assert journal.finish(run.id, "done").status == "done"
    assert run.path.read_bytes() == before


def test_sections_end_one_another_and_the_last_ends_with_the_run(journal: Journal) -> None:
    """Given sections that were entered one after the other, each has a length, and an ordinary step stays."""
    run = journal.start("restore", {})
    journal.enter(run.id, "preflight")
    journal.append(run.id, "env", "intent")
    journal.enter(run.id, "plan")
    journal.finish(run.id, "done")
    steps = journal.read(run.id).steps
    assert {name: step.phase for name, step in steps.items()} == {"preflight": "done", "plan": "done", "env": "intent"}
    assert steps["preflight"].seconds is not None and steps["plan"].seconds is not None


def test_check_mode_answers_and_writes_nothing(tmp_path: Path) -> None:
    """Given check mode, when a run starts and writes, then the answers have their shape and no file is made."""
    journal = Journal(tmp_path / "state", "tracker", write=False)
    run = journal.start("restore", {"a": 1})
    assert run.inputs == {"a": 1} and run.status == "running"
    assert journal.append(run.id, "branch", "intent").steps["branch"].phase == "intent"
    assert journal.enter(run.id, "plan").steps["plan"].phase == "intent"
    assert journal.finish(run.id, "done").status == "done"
    assert not (tmp_path / "state").exists()


def test_names_and_ids_that_would_leave_the_folder_are_harmless(tmp_path: Path) -> None:
    """Given hostile targets, runs and verbs, then files stay below the journal, or the name is refused."""
    for target in ("../../etc", "..", ".", "a/b", "host.example.com"):
        run = Journal(tmp_path, target).start("restore", {})
        assert run.path.parent.parent == tmp_path / "journal"
    folders = {folder.name for folder in (tmp_path / "journal").iterdir()}
    assert {"a%2Fb", "%2E.", "%2E", "host.example.com"} <= folders
    with pytest.raises(InvalidInput):
        Journal(tmp_path, "")
    with pytest.raises(InvalidInput, match="not understood"):
        Journal(tmp_path, "t").path("../../../etc/passwd")
    with pytest.raises(InvalidInput, match="not a verb"):
        new_run_id("Restore it")


def test_a_journal_is_found_by_its_run_alone(journal: Journal) -> None:
    """Given only a run's id, when its journal is looked for, then it is found, or nothing is."""
    run = journal.start("restore", {})
    root = journal.folder.parents[1]
    assert _journal.find(root, run.id) == run.path
    assert _journal.find(root, new_run_id("restore")) is None


def test_a_step_needs_a_name_a_phase_and_a_run(journal: Journal) -> None:
    """Given what cannot be journalled, when it is tried, then it is refused with advice."""
    run = journal.start("restore", {})
    for step, phase in (("", "intent"), ("run", "intent"), ("env", "begun")):
        with pytest.raises(InvalidInput):
            journal.append(run.id, step, phase)
    with pytest.raises(InvalidInput, match="does not exist"):
        journal.append(new_run_id("restore"), "env", "intent")
    with pytest.raises(InvalidInput, match="is no status"):
        journal.finish(run.id, "perfect")
