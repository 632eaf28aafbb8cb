# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``journal``: a module that changes something writes its own step into the journal of a run.

The intent, with the way back, is on the disk before the module's first request, and what came of it right after its
last one. Nothing can be killed between the step and a task that would have recorded it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ._errors import InvalidInput, RewindError
from ._journal import Journal, find
from ._options import STATE
from ._state import state_dir
from ._task import RunFunction, Spec, Task

JOURNAL = Spec(
    arguments={
        "journal": {
            "type": "dict",
            "options": {
                "run": {"type": "str", "required": True},
                "step": {"type": "str", "required": True},
                "ids": {"type": "dict", "default": {}},
                "undo": {"type": "dict"},
            },
        },
        **STATE.arguments,
    },
    from_host_vars=STATE.from_host_vars,
)


def journalled(run: RunFunction) -> RunFunction:
    """The same ``run``, its intent and its outcome written to the journal that the task names.

    In check mode, and without the option, nothing is written.

    :raises InvalidInput: when the run has no journal; the module's own work is then not begun.
    """

    @functools.wraps(run)
    def run_and_record(task: Task) -> dict[str, Any]:
        wanted = task.params.get("journal")
        if not wanted or task.check_mode:
            return run(task)
        append = _appender(task, wanted)
        append("intent", ids=wanted["ids"], undo=wanted["undo"])
        try:
            result = run(task)
        except RewindError as error:
            # Its own text is for people; the code tells an undo whether the outcome is known.
            append("failed", error={"message": error.msg, "code": error.code})
            raise
        append("done", data={"changed": bool(result.get("changed")), **_said(result)})
        return result

    return run_and_record


def step_appender(task: Task, suffix: str) -> Callable[..., Any]:
    """What writes the phases of one of several steps of a task, named after the journal's step and this suffix.

    Nothing is written in check mode, or without the option ``journal``.
    """
    wanted = task.params.get("journal")
    if not wanted or task.check_mode:
        return lambda phase, **fields: None
    return _appender(task, {**wanted, "step": f"{wanted['step']}_{suffix}"})


def _appender(task: Task, wanted: dict[str, Any]) -> Callable[..., Any]:
    root = state_dir(task.params.get("state_dir"))
    path = find(root, wanted["run"])
    if path is None:
        raise InvalidInput(
            f"journal the step {wanted['step']}: run {wanted['run']} has no journal below {root}",
            hint="Start the run first, with the same state_dir.",
        )
    journal = Journal(root, unquote(path.parent.name))

    def append(phase: str, **fields: Any) -> None:
        # What a service answered may hold what this task knows to be a secret and what does not look like one.
        journal.append(wanted["run"], wanted["step"], phase, **task.scrub(fields))

    return append


def _said(result: dict[str, Any]) -> dict[str, Any]:
    """What a module wants kept in the journal: ids and instants that only it knows."""
    kept = result.get("journalled")
    return dict(kept) if isinstance(kept, dict) else {}
