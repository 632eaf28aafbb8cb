# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules run_journal, run_lock, run_record and run_report do, from a task's options to its result.

They keep the controller's own books: none of them changes a target, so none reports a change, and none writes in check
mode.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import _records, _undoing
from ._errors import InvalidInput, Refused, RewindError
from ._journal import Journal, Run, new_run_id, verb_of
from ._lock import Lock, Locks
from ._process import playbook_owner
from ._records import search
from ._secrets import Masker
from ._state import Guard, file_name, state_dir, write_file
from ._task import Task
from ._time import duration, epoch, rfc3339, utc_now
from ._waiter import Deadline

# Seconds between two looks at a lock that is waited for.
_QUEUE_POLL = 0.25
# Secrets that may be in this process's environment must not get into a file by way of an error's text.
_SECRET_VARIABLES = (
    "NEON_API_KEY",
    "COOLIFY_ACCESS_TOKEN",
    "PGPASSWORD",
    "SENTRY_AUTH_TOKEN",
    "REWIND_SMTP_PASSWORD",
)


def _guard() -> Guard:
    return Guard(Masker(os.environ.get(name) for name in _SECRET_VARIABLES))


def journal(task: Task) -> dict[str, Any]:
    """Start, write, read or end a run's journal."""
    params = task.params
    guard = _guard()
    root = state_dir(params["state_dir"])
    book = Journal(root, params["target"], write=not task.check_mode, guard=guard)
    action = params["action"]
    run = _to_undo(root, book, params) if action == "to_undo" else _ACTIONS[action](book, params)
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
        "runs": [item.brief() for item in book.runs(params["verb"])] if action == "list" else [],
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


def _reopen(book: Journal, params: dict[str, Any]) -> Run:
    return book.reopen(params["run"], data=params["data"])


def _to_undo(root: Path, book: Journal, params: dict[str, Any]) -> Run:
    try:
        return _undoing.choose(book.target, book.runs(), _records.read(root, "catalogue")[0], params["run"])
    except RewindError as error:
        # Whoever looks for a run in vain looks, more often than not, in the wrong folder.
        error.hint = f"{error.hint} The journals of {book.target}: {book.folder}"
        raise


def _no_run(_book: Journal, _params: dict[str, Any]) -> None:
    return None


def _step(params: dict[str, Any]) -> str:
    if not params["step"]:
        raise InvalidInput(f"write to the journal of run {params['run']}: no step is given", hint="Set step.")
    return str(params["step"])


_ACTIONS: dict[str, Callable[[Journal, dict[str, Any]], Run | None]] = {
    "start": _start,
    "enter": _enter,
    "append": _append,
    "finish": _finish,
    "reopen": _reopen,
    "read": _read,
    "unfinished": _no_run,
    "list": _no_run,
}


def lock(task: Task) -> dict[str, Any]:
    """Take, keep, release or list locks."""
    params = task.params
    locks = Locks(state_dir(params["state_dir"]), playbook_owner(), write=not task.check_mode)
    run = params["run"]
    if params["action"] == "list":
        found = locks.listed()
    elif params["action"] == "release":
        found = locks.release(run, params["names"])
    elif params["action"] == "keep":
        found = locks.keep(run, params["stuck_run"] or run, params["names"])
    else:
        if run is None and params["verb"] is None:
            raise InvalidInput("take locks: neither run nor verb is given", hint="Set one of them.")
        run = run or new_run_id(params["verb"])
        found = _take(locks, task, run)
    conflicts = [item for item in found if item.run != run] if params["action"] == "take" else []
    if conflicts:
        task.warn(f"Another run holds {', '.join(f'{item.name} ({item.who})' for item in conflicts)}.")
    return {
        "run": run,
        "locks": [item.as_dict() for item in found],
        "conflicts": [item.as_dict() for item in conflicts],
    }


def _take(locks: Locks, task: Task, run: str) -> list[Lock]:
    """Take locks, and wait for those that other targets of this ansible-playbook hold.

    ``wait_timeout`` is for each of them anew: a queue of many is as long as it is, and ends as long as it moves.
    """
    params = task.params
    deadline, waited_for = Deadline(params["wait_timeout"]), None
    while True:
        try:
            return locks.take(
                params["names"],
                run,
                params["target"] or "",
                break_run=params["break_lock"] or None,
                stuck_run=params["stuck_run"] or None,
            )
        except Refused as error:
            others = locks.others(params["names"], run)
            mine = all(locks.is_sibling(lock) for lock in others)
            if error.code != "locked_by_run" or not params["wait_timeout"] or not mine:
                raise
            if deadline.passed:
                raise Refused(
                    f"{error.text}; it was waited for during {duration(params['wait_timeout'])}",
                    code="queue_timeout",
                    hint="Name fewer targets of one project at once, or wait longer.",
                ) from None
            holders = sorted(lock.run for lock in others)
            if holders and holders != waited_for:
                deadline, waited_for = Deadline(params["wait_timeout"]), holders
            # It may have been released just now.
            for lock in others[:1]:
                task.progress(f"waiting until {lock.target or lock.run} is done with {lock.name}")
        deadline.sleep(_QUEUE_POLL)


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


def report(task: Task) -> dict[str, Any]:
    """Write the report of a run in its three forms."""
    params = task.params
    guard = _guard()
    folder = state_dir(params["state_dir"]) / "reports" / file_name(params["target"])
    name = file_name(params["run"])
    facts = json.dumps(guard.clean(params["facts"]), ensure_ascii=False, indent=2) + "\n"
    texts = {"html": guard.clean(params["html"]), "json": facts, "md": guard.clean(params["markdown"])}
    others = {file_name(other): guard.clean(text) for other, text in params["files"].items()}
    if taken := sorted(others.keys() & texts.keys()):
        raise InvalidInput(
            f"write the report: {taken[0]} is one of its own three forms", hint="Give the file another name."
        )
    if guard.masked:
        task.warn(f"{guard.masked} value(s) that look like secrets were masked in the report.")
    paths = {form: folder / f"{name}.{form}" for form in (*texts, *others)}
    if not task.check_mode:
        for form, text in {**texts, **others}.items():
            write_file(paths[form], text)
    return {
        "report": {
            "written": not task.check_mode,
            **{form: str(paths[form]) for form in texts},
            "files": {form: str(paths[form]) for form in others},
        }
    }
