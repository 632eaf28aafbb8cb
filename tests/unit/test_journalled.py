# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``journal``: what stands in a run's journal before, after and in spite of what a module does."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import (
    ApiError,
    InvalidInput,
    Timeout,
    UnknownOutcome,
)
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal
from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._task import Task, execute
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeTask, Script, call_module, task_of

Json = dict[str, Any]
# Long and without any look of a secret: only who was told knows it for one.
PASSWORD = "wonderful-tomatoes-again-and-again"
BRANCH = "/projects/p-1/branches/br-calm-sea-a1b2c3d4"
WRITERS = (
    "neon_branch",
    "neon_branch_restore",
    "neon_endpoint",
    "coolify_application",
    "coolify_application_env",
    "coolify_deployment",
    "postgres_fence",
)


class Book:
    """The journal of one run, and the task of a module that is to write into it."""

    def __init__(self, root: Path, target: str = "tracker") -> None:
        self.root = root
        self.journal = Journal(root, target)
        self.run = self.journal.start("restore", {}).id

    def option(self, **more: Any) -> Json:
        return {"run": self.run, "step": "env", "ids": {"application": "a"}, "undo": {"old": 1}, **more}

    def task(self, *, check_mode: bool = False, **more: Any) -> FakeTask:
        options = {"state_dir": str(self.root), "journal": self.option(**more)}
        return task_of(JOURNAL, options, check_mode=check_mode)

    def phases(self, step: str = "env") -> list[str]:
        return [item["phase"] for item in self.journal.read(self.run).entries if item["step"] == step]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "state")


def test_the_intent_with_the_way_back_is_there_before_anything_is_done(book: Book) -> None:
    """Given a step, when the module begins, then its intent is on the disk with ids and undo; afterwards what came."""
    seen: list[Json] = []

    def run(_task: Task) -> Json:
        seen.extend(book.journal.read(book.run).entries)
        return {"changed": True, "journalled": {"lsn": "0/1"}}

    result = journalled(run)(book.task())
    assert result == {"changed": True, "journalled": {"lsn": "0/1"}}
    assert (seen[-1]["phase"], seen[-1]["ids"], seen[-1]["undo"]) == ("intent", {"application": "a"}, {"old": 1})
    step = book.journal.read(book.run).steps["env"]
    assert step.phase == "done" and step.data == {"changed": True, "lsn": "0/1"} and step.undo == {"old": 1}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError("write the row: refused", code="conflict"), "conflict"),
        (UnknownOutcome("write the row: the answer was lost"), "unknown_outcome"),
        (Timeout("wait for the row: too long"), "timeout"),
    ],
)
def test_a_failure_is_written_with_its_code(book: Book, error: Exception, code: str) -> None:
    """Given a module that fails, then the code in the journal tells whether the outcome is known; it still fails."""

    def run(_task: Task) -> Json:
        raise error

    with pytest.raises(type(error)):
        journalled(run)(book.task())
    step = book.journal.read(book.run).steps["env"]
    assert step.phase == "failed" and step.error["code"] == code and step.undo == {"old": 1}


def test_a_fault_of_the_module_leaves_the_outcome_unknown(book: Book) -> None:
    """Given a module that breaks in the middle, then only the intent stands: it may have been done."""

    def run(_task: Task) -> Json:
        raise KeyError("uuid")

    with pytest.raises(KeyError):
        journalled(run)(book.task())
    assert book.phases() == ["intent"]
    assert [item["step"] for item in book.journal.read(book.run).undo()] == ["env"]


def test_nothing_is_written_in_check_mode_or_without_the_option(book: Book) -> None:
    """Given check mode, or no journal, then the module runs as ever and the file stays as it is."""
    content = book.journal.path(book.run).read_bytes()
    run = journalled(lambda _task: {"changed": True})
    assert run(book.task(check_mode=True)) == {"changed": True}
    assert run(task_of(JOURNAL, {"state_dir": str(book.root)})) == {"changed": True}
    assert book.journal.path(book.run).read_bytes() == content


def test_check_mode_needs_no_journal(tmp_path: Path) -> None:
    """Given check mode, where no journal was begun on the disk, then the module runs, and no folder is made."""
    option = {"run": "20250113T142500Z-restore-1a2b3c", "step": "env"}
    task = task_of(JOURNAL, {"state_dir": str(tmp_path / "state"), "journal": option}, check_mode=True)
    assert journalled(lambda _task: {"changed": True})(task) == {"changed": True}
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("run", ["20250113T142500Z-restore-1a2b3c", "no run id", "../../etc"])
def test_without_its_journal_nothing_is_sent(script: Script, tmp_path: Path, run: str) -> None:
    """Given a run that has no journal, then the module refuses before its first request, and writes no file."""
    options = {
        "neon_api_key": NEON_KEY,
        "state_dir": str(tmp_path / "state"),
        "project_id": "p-1",
        "branch_id": "br-calm-sea-a1b2c3d4",
        "state": "absent",
        "journal": {"run": run, "step": "delete"},
    }
    result = call_module("neon_branch", options)
    assert result["failed"] and script.requests == []
    assert "has no journal" in result["msg"] or "not understood" in result["msg"]
    assert not (tmp_path / "state").exists()


def test_a_module_writes_its_own_step(script: Script, book: Book) -> None:
    """Given neon_branch with a journal, when Neon refuses the token, then intent and failure are in it, and no key."""
    script.expect("GET", "/projects/p-1/branches", {"message": f"wrong key {NEON_KEY}"}, status=401)
    options = {"project_id": "p-1", "name": "main", "protected": False, "state_dir": str(book.root)}
    result = call_module("neon_branch", {"neon_api_key": NEON_KEY, "journal": book.option(), **options})
    assert result["failed"] and book.phases() == ["intent", "failed"]
    assert NEON_KEY not in book.journal.path(book.run).read_text()


def test_no_secret_that_the_task_knows_gets_into_the_journal(book: Book) -> None:
    """Given a password that was read on the way, when it is in an error, a result or an id, then it is masked there."""

    def run(task: Task) -> Json:
        task.secret(PASSWORD)
        if task.params["journal"]["step"] == "env":
            raise ApiError(f"connect: password {PASSWORD} is wrong")
        return {"changed": True, "journalled": {"note": f"logged in with {PASSWORD}"}}

    task = book.task()
    assert execute(journalled(run), task, task.masker)["failed"]
    journalled(run)(book.task(step="other"))
    text = book.journal.path(book.run).read_text()
    assert "password ********" in text and "logged in with ********" in text and PASSWORD not in text


def test_a_target_of_any_name_has_its_steps_written(tmp_path: Path) -> None:
    """Given a host whose name is no file's, then the step goes into that target's journal."""
    book = Book(tmp_path / "state", "shop / eu-1 (new) %41")
    journalled(lambda _task: {"changed": False})(book.task())
    assert book.phases() == ["intent", "done"]
    assert len(list((tmp_path / "state" / "journal").iterdir())) == 1


def test_a_step_that_is_begun_again_keeps_its_first_way_back(book: Book) -> None:
    """Given a step of a run that was killed, when the next run does it again, then the undo is of the first time."""
    run = journalled(lambda _task: {"changed": True})
    run(book.task(undo={"old": "before the run"}))
    run(book.task(undo={"old": "what the run itself had written"}))
    step = book.journal.read(book.run).steps["env"]
    assert step.undo == {"old": "before the run"} and book.phases() == ["intent", "done"] * 2
    book.journal.append(book.run, "env", "undone")
    run(book.task(undo={"old": "after it was taken back"}))
    assert book.journal.read(book.run).steps["env"].undo == {"old": "after it was taken back"}


def test_a_step_begun_again_is_open_again(book: Book) -> None:
    """Given a step that failed, when it is begun again and killed, then its outcome is unknown and not failed."""
    book.journal.append(book.run, "env", "failed", error={"code": "conflict"})
    book.journal.append(book.run, "env", "intent")
    step = book.journal.read(book.run).steps["env"]
    assert step.phase == "intent" and step.error is None and step.seconds is None


@pytest.mark.parametrize("name", WRITERS)
def test_every_module_that_a_run_writes_with_has_the_option(name: str, tmp_path: Path) -> None:
    """Given a module that changes something in a run, then it takes a journal, and does nothing without its file."""
    module = importlib.import_module(f"ansible_collections.rewind.database.plugins.modules.{name}")
    assert module.SPEC.arguments["journal"] == JOURNAL.arguments["journal"]
    assert module.SPEC.from_host_vars["state_dir"] == "rewind_state_dir"
    option: Json = {"run": "20250113T142500Z-restore-1a2b3c", "step": "env", "ids": {}, "undo": None}
    with pytest.raises(InvalidInput, match="has no journal"):
        module.run(FakeTask({"journal": option, "state_dir": str(tmp_path)}))


def test_what_is_written_is_whole_lines(book: Book) -> None:
    """Given a step with every part, then its lines are JSON with the agreed keys, numbered without a gap."""
    journalled(lambda _task: {"changed": True})(book.task())
    lines = [json.loads(line) for line in book.journal.path(book.run).read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert all({"v", "run", "seq", "at", "step", "phase", "ids", "undo", "error"} <= set(line) for line in lines)
