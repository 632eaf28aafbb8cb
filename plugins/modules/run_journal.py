#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_journal
short_description: Keep the journal of a run
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Keeps the record of one run, step by step - what was intended, what came of it, with which ids, and how to undo
    it. A run that was killed is found again by its journal.
  - Each line is on the disk before the task ends. Values that look like secrets are masked, with a warning.
  - Never reports a change, and writes nothing in check mode; the answers are the same then.
extends_documentation_fragment:
  - rewind.database.state
  - rewind.database.attributes.info
options:
  action:
    description:
      - V(start) - begin a run, or go on with one.
      - V(enter) - begin a section of the run; the one before it ends by that.
      - V(append) - write one phase of a step.
      - V(finish) - end the run.
      - V(reopen) - make a run that has ended unfinished again, because it is about to be taken back. A run that is
        unfinished stays as it is; one that was taken back is refused.
      - V(read) - read a run, by default the newest of the target.
      - V(unfinished) - list the runs of the target that have no end, or ended stuck.
      - V(list) - list all runs of the target, of O(verb) where that is set, in brief.
      - V(to_undo) - read the run that an undo takes back, which is O(run), or by default the newest whose cutover
        stands. Refused where none stands, where the newest was taken back already, and where a later cutover stands on
        top of the one that is named.
    type: str
    required: true
    choices: [start, enter, append, finish, reopen, read, unfinished, list, to_undo]
  target:
    description: The target - the inventory host.
    type: str
    required: true
  verb:
    description: What the run does, in one lower-case word. With V(read), V(unfinished) and V(list) only runs of this
      verb.
    type: str
  run:
    description:
      - The run's id. V(start) makes one where none is given; one that exists already and is unfinished is gone on with.
      - With V(unfinished), a run to leave out.
    type: str
  resume:
    description:
      - Whether V(start) goes on with the newest unfinished run of the same target and verb, where there is one. Its
        inputs stay those it was started with.
    type: bool
    default: false
  inputs:
    description: What the run was asked to do, for V(start).
    type: dict
  step:
    description: The name of the step, for V(enter) and V(append).
    type: str
  phase:
    description:
      - What to write about the step. V(intent) comes before anything is done.
    type: str
    choices: [intent, done, failed, undone]
    default: done
  status:
    description: How the run ended, for V(finish). V(stuck) means that a person must act; such a run counts as
      unfinished.
    type: str
    choices: [done, failed, undone, stuck]
    default: done
  ids:
    description: Ids of what the step works on. Later ones are added to those of earlier phases.
    type: dict
  undo:
    description: How to take the step back.
    type: raw
  error:
    description: What went wrong.
    type: raw
  data:
    description: Anything else that is to be kept.
    type: dict
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Nothing is written.
seealso:
  - module: rewind.database.run_lock
  - module: rewind.database.run_record
"""

EXAMPLES = r"""
- name: Begin
  rewind.database.run_journal:
    action: start
    verb: restore
    target: "{{ inventory_hostname }}"
    inputs:
      point_in_time: "2025-01-13T14:25:00Z"
  register: journal

- name: Say what is about to be done, and how to take it back
  rewind.database.run_journal:
    action: append
    target: "{{ inventory_hostname }}"
    run: "{{ journal.run.id }}"
    step: pause_auto_deploy
    phase: intent
    undo:
      auto_deploy: true

- name: End
  rewind.database.run_journal:
    action: finish
    target: "{{ inventory_hostname }}"
    run: "{{ journal.run.id }}"
    status: done
"""

RETURN = r"""
run:
  description: The run as its journal says; null with V(unfinished) and V(list), and when there is none to read.
  returned: success
  type: dict
  contains:
    id:
      description: Its id.
      type: str
      sample: 20250113T142500Z-restore-1a2b3c
    path:
      description: The file of its journal.
      type: str
    verb:
      description: What it does.
      type: str
    target:
      description: To which target.
      type: str
    inputs:
      description: What it was asked to do.
      type: dict
    started_at:
      description: When it began first.
      type: str
    finished_at:
      description: When it ended; null while it has not.
      type: str
    resumed:
      description: How often it was gone on with.
      type: int
    status:
      description: V(running), V(done), V(failed), V(undone) or V(stuck).
      type: str
    cutover_begun:
      description: Whether it has begun to make the application use other data.
      type: bool
    promotion_begun:
      description: Whether it has begun to move names or flags from one primary to another.
      type: bool
    steps:
      description:
        - By name, each step's last C(phase), when that was (C(at)), when it began (C(began_at)), how long it took
          (C(seconds)), its C(ids), C(undo), C(data) and C(error). The phase V(intent) means that the outcome is
            unknown.
      type: dict
    sections:
      description: The sections in their order - C(step), C(started), C(finished), C(seconds), C(status).
      type: list
      elements: dict
    undo:
      description: What takes the run back, last step first - C(step), C(phase), C(undo), C(ids).
      type: list
      elements: dict
    torn:
      description: Numbers of lines that are not whole, for example after a crash.
      type: list
      elements: int
at:
  description: The instant of this task, by the controller's clock.
  returned: success
  type: str
epoch:
  description: The same in seconds since 1970.
  returned: success
  type: float
entries:
  description: The lines of the journal.
  returned: success
  type: list
  elements: dict
unfinished:
  description: Other unfinished runs of the target, oldest first, each like RV(run).
  returned: success
  type: list
  elements: dict
runs:
  description:
    - With V(list) the runs of the target, oldest first, else empty - C({id, verb, status, started_at, finished_at,
      resumed, strategy, steps}). C(strategy) is null for a run without a plan; C(steps) has each step's C(phase),
      C(began_at), C(at) and C(seconds).
  returned: success
  type: list
  elements: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._books import journal
from ansible_collections.rewind.database.plugins.module_utils._journal import PHASES, STATUSES
from ansible_collections.rewind.database.plugins.module_utils._options import STATE
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

_ACTIONS = ["start", "enter", "append", "finish", "reopen", "read", "unfinished", "list", "to_undo"]
SPEC = STATE.merge(
    Spec(
        arguments={
            "action": {"type": "str", "required": True, "choices": _ACTIONS},
            "target": {"type": "str", "required": True},
            "verb": {"type": "str"},
            "run": {"type": "str"},
            "resume": {"type": "bool", "default": False},
            "inputs": {"type": "dict"},
            "step": {"type": "str"},
            "phase": {"type": "str", "choices": list(PHASES), "default": "done"},
            "status": {"type": "str", "choices": list(STATUSES), "default": "done"},
            "ids": {"type": "dict"},
            "undo": {"type": "raw"},
            "error": {"type": "raw"},
            "data": {"type": "dict"},
        },
        required_if=tuple(("action", action, ("run",)) for action in ("enter", "append", "finish", "reopen")),
    )
)


def run(task: Task) -> dict[str, Any]:
    """Do what the action says."""
    return journal(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
