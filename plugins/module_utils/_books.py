# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules run_journal, run_lock and run_record do, from a task's options to its result.

They keep the controller's own books: none of them changes a target, so none reports a change, and none writes in check
mode.
"""

from __future__ import annotations

import os
from typing import Any

from . import _records
from ._errors import InvalidInput
from ._journal import Journal, Run, new_run_id, verb_of
from ._lock import Locks
from ._process import playbook_owner
from ._records import search
from ._secrets import Masker
from ._state import Guard, state_dir
from ._task import Task
from ._time import epoch, rfc3339, utc_now

# Secrets that may be in this process's environment must not get into a file by way of an error's text.
_SECRET_VARIABLES = ("NEON_API_KEY", "COOLIFY_ACCESS_TOKEN", "PGPASSWORD")


def _guard() -> Guard:
    return Guard(Masker(os.environ.get(name) for name in _SECRET_VARIABLES))


def journal(task: Task) -> dict[str, Any]:
    """Start, write, read or end a run's journal."""
    params = task.params
    guard = _guard()
    book = Journal(state_dir(params["state_dir"]), params["target"], write=not task.check_mode, guard=guard)
    action = params["action"]
    run = _ACTIONS[action](book, params) if action != "unfinished" else None
    if guard.masked:
        task.warn(f"{guard.masked} value(s) that look like secrets were masked in the journal.")
    if run is not None and run.torn:
        task.warn(f"The journal {run.path} has lines that are not whole: {', '.join(map(str, run.torn))}.")
    now = utc_now()
    others = [other for other in book.unfinished(params["verb"]) if run is None or other.id != run.id]
    return {
        "run": run.as_dict() if run else None,
        "entries": run.entries if run else [],
        "at": rfc3339(now),
        "epoch": epoch(now),
        "unfinished": [other.as_dict() for other in others if other.id != params["run"]],
    }


def _start(book: Journal, params: dict[str, Any]) -> Run:
    verb = params["verb"] or (verb_of(params["run"]) if params["run"] else None)
    if verb is None:
        raise InvalidInput("start a run: no verb is given", hint="Set verb.")
    before = book.unfinished(verb) if params["resume"] else []
    return book.start(verb, params["inputs"] or params["data"] or {}, run=before[-1].id if before else params["run"])


def _enter(book: Journal, params: dict[str, Any]) -> Run:
    return book.enter(params["run"], _step(params), data=params["data"])


def _append(book: Journal, params: dict[str, Any]) -> Run:
    fields = {name: params[name] for name in ("ids", "undo", "error", "data")}
    return book.append(params["run"], _step(params), params["phase"], **fields)


def _finish(book: Journal, params: dict[str, Any]) -> Run:
    return book.finish(params["run"], params["status"], error=params["error"], data=params["data"])


def _read(book: Journal, params: dict[str, Any]) -> Run | None:
    if params["run"] is None:
        return book.latest(params["verb"])
    run = book.read(params["run"])
    # In check mode a run has no journal. Else an empty answer would look like a run that has done nothing.
    if book.write and not run.entries:
        raise InvalidInput(
            f"read the journal of run {run.id}: there is none at {run.path}",
            code="no_journal",
            hint="Check run, target and state_dir; without its journal a run can be neither continued nor undone.",
        )
    return run


def _step(params: dict[str, Any]) -> str:
    if not params["step"]:
        raise InvalidInput(f"write to the journal of run {params['run']}: no step is given", hint="Set step.")
    return str(params["step"])


_ACTIONS = {"start": _start, "enter": _enter, "append": _append, "finish": _finish, "read": _read}


def lock(task: Task) -> dict[str, Any]:
    """Take, release or list locks."""
    params = task.params
    locks = Locks(state_dir(params["state_dir"]), playbook_owner(), write=not task.check_mode)
    run = params["run"]
    if params["action"] == "list":
        found = locks.listed()
    elif params["action"] == "release":
        found = locks.release(run, params["names"])
    else:
        if run is None and params["verb"] is None:
            raise InvalidInput("take locks: neither run nor verb is given", hint="Set one of them.")
        run = run or new_run_id(params["verb"])
        found = locks.take(params["names"], run, params["target"] or "", break_run=params["break_lock"] or None)
    conflicts = [item for item in found if item.run != run] if params["action"] == "take" else []
    if conflicts:
        task.warn(f"Another run holds {', '.join(f'{item.name} ({item.who})' for item in conflicts)}.")
    return {
        "run": run,
        "locks": [item.as_dict() for item in found],
        "conflicts": [item.as_dict() for item in conflicts],
    }


def record(task: Task) -> dict[str, Any]:
    """Append to a log, and read it."""
    params = task.params
    root = state_dir(params["state_dir"])
    guard = _guard()
    written = None
    if params["record"]:
        written = _records.append(root, params["log"], params["record"], write=not task.check_mode, guard=guard)
    found, torn = _records.read(
        root, params["log"], extra=written if task.check_mode else None, merge_by=params["merge_by"]
    )
    if guard.masked:
        task.warn(f"{guard.masked} value(s) that look like secrets were masked in the record.")
    if torn:
        task.warn(f"The log {params['log']} has lines that are not whole: {', '.join(map(str, torn))}.")
    answer = search(params["query"], found) if params["query"] else found
    return {"record": written, "records": answer, "log_file": str(_records.path_of(root, params["log"]))}
