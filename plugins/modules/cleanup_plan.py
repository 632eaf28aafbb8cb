#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cleanup_plan
short_description: Decide which branches and snapshots a cleanup keeps, from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Decides for each branch and each snapshot of a Neon project whether it is kept or deleted, and says why.
  - Only what this collection made can be deleted, as its annotation or the catalogue says. Kept whatever their age are
    default, protected and parent branches, what an application points to, what is pinned, what an unfinished run needs,
    what a cutover can be taken back with, and the newest verified backups.
  - Pure - it reads and writes nothing. All facts are options, as the information modules returned them.
  - It does not fail on problems. All of them are returned together in RV(plan.problems), each with what to do.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  project:
    description: The project, as RV(rewind.database.neon_project_info#module:project).
    type: dict
    required: true
  branches:
    description: All branches of the project with computes, as RV(rewind.database.neon_branch_info#module:branches).
    type: list
    elements: dict
    required: true
  snapshots:
    description: The snapshots of the project, each with at least C(id), C(name) and C(created_at).
    type: list
    elements: dict
    default: []
  consumers:
    description: Who points to the project, as RV(rewind.database.coolify_consumer_info#module:consumers).
    type: list
    elements: dict
    default: []
  unreadable:
    description:
      - What could not be read, as RV(rewind.database.coolify_consumer_info#module:unreadable). As long as there is
        any, no branch that has a compute is deleted.
    type: list
    elements: dict
    default: []
  records:
    description: The catalogue, as M(rewind.database.run_record) returns it.
    type: list
    elements: dict
    default: []
  backups:
    description: The log of backups, as M(rewind.database.run_record) returns it.
    type: list
    elements: dict
    default: []
  unfinished:
    description: The target's unfinished runs, as RV(rewind.database.run_journal#module:unfinished).
    type: list
    elements: dict
    default: []
  other_targets:
    description: The other targets of the inventory that share the project, by name.
    type: list
    elements: str
    default: []
  request:
    description: What is asked for.
    type: dict
    required: true
    suboptions:
      target:
        description: The name of the target.
        type: str
        required: true
      environment:
        description: Its environment.
        type: str
        default: production
      now:
        description: The present instant, RFC 3339. The default is the clock of this machine.
        type: str
      retention_days:
        description: Days that restore branches, old primaries and backups without a date of their own are kept.
        type: float
        default: 7
      scratch_days:
        description: Days that previews, and what drills make, are kept.
        type: float
        default: 1
      undo_days:
        description: Days for which a cutover can be taken back; both of its sides are kept for so long.
        type: float
        default: 7
      keep_last:
        description: Keep so many of the newest backups whatever their age.
        type: int
        default: 0
      keep_daily:
        description: Keep one backup for each of the last so many days (UTC) that have any, a verified one if possible.
        type: int
        default: 0
      keep_weekly:
        description: The same for ISO weeks.
        type: int
        default: 0
      keep_monthly:
        description: The same for months.
        type: int
        default: 0
      min_verified:
        description: Keep so many of the newest verified backups whatever their age; 1 at least.
        type: int
        default: 1
      max_deletions:
        description: Delete so many at most; the rest is left for the next run.
        type: int
        default: 100
      pin:
        description: Backups to keep from now on, by name or id; needs O(request.reason).
        type: list
        elements: str
        default: []
      unpin:
        description: Backups to keep no longer than their date.
        type: list
        elements: str
        default: []
      reason:
        description: Why they are pinned.
        type: str
      confirm:
        description: The confirmation that was given - the target's name, or C(plan.confirm.hash).
        type: str
      accept_unreadable:
        description: Owners or rows among O(unreadable) that surely point to no branch - UUID, name or C(owner/KEY).
        type: list
        elements: str
        default: []
      usual:
        description: Defaults of the target, so that C(plan.confirm.command) says only what differs from them.
        type: dict
        default: {}
seealso:
  - module: rewind.database.neon_branch_cleanup
"""

EXAMPLES = r"""
- name: Decide what goes
  rewind.database.cleanup_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    consumers: "{{ users.consumers }}"
    unreadable: "{{ users.unreadable }}"
    records: "{{ catalogue.records }}"
    backups: "{{ backups.records }}"
    request:
      target: tracker
      keep_monthly: 12
  register: result

- name: Show it
  ansible.builtin.debug:
    msg: "{{ result.plan.text }}"
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    target:
      description: The target.
      type: str
    environment:
      description: Its environment.
      type: str
    now:
      description: The instant that the plan was made for.
      type: str
    branches:
      description: Every branch of the project, oldest first.
      type: list
      elements: dict
      contains:
        id:
          description: Its id.
          type: str
        name:
          description: Its name.
          type: str
        parent_id:
          description: The id of its parent; null for a root branch.
          type: str
        kind:
          description: What it was made for, such as V(backup); null where nothing says so.
          type: str
        decision:
          description: V(keep) or V(delete).
          type: str
        code:
          description:
            - The first reason as a word. For what is deleted V(past_date) or V(orphan). For what is kept V(foreign),
              V(default), V(protected), V(in_use), V(other_target), V(pinned), V(unfinished), V(undo),
              V(compute_active), V(unreadable), V(not_ready), V(unknown_kind), V(minimum_verified),
              V(no_newer_verified), V(keep_last), V(keep_daily), V(keep_weekly), V(keep_monthly), V(not_due),
              V(parent), V(cap) or, for snapshots, V(scheduled).
          type: str
        reason:
          description: The same as a sentence.
          type: str
        also:
          description: What else keeps it.
          type: list
          elements: str
        ours:
          description: Whether this collection made it.
          type: bool
        run:
          description: The run that made it.
          type: str
        created_at:
          description: When it was made.
          type: str
        due:
          description: From when on its age would not keep it.
          type: str
        verified:
          description: Whether it is a verified backup.
          type: bool
        has_compute:
          description: Whether it has a compute.
          type: bool
        marks:
          description: Decision and reason as a mark in the tree of a report.
          type: list
          elements: str
    snapshots:
      description: Every snapshot, in the same shape.
      type: list
      elements: dict
    delete:
      description: What goes, leaf first, as O(rewind.database.neon_branch_cleanup#module:branches) takes it.
      type: list
      elements: dict
    delete_snapshots:
      description: The snapshots that go, as O(rewind.database.neon_branch_cleanup#module:snapshots) takes it.
      type: list
      elements: dict
    counts:
      description: How many branches there are, are ours, are deleted and are left, and how many by code.
      type: dict
    unreadable:
      description: What could not be read, in words.
      type: list
      elements: str
    unfinished:
      description: Runs that never ended - C(run), C(verb).
      type: list
      elements: dict
    pins:
      description: What is pinned and unpinned - C(event), C(branch_id), C(name), C(reason), C(expires_at).
      type: list
      elements: dict
    expiry_to_clear:
      description:
        - What is kept and would be deleted by Neon all the same - C(branch_id), C(name), C(expires_at), C(why).
      type: list
      elements: dict
    confirm:
      description:
        - C(needed), whether there is anything to confirm, C(given), whether it is, C(hash) of the list, the C(command)
          that confirms it, and C(refusal), why a confirmation that was given does not count.
      type: dict
    problems:
      description: Everything that stands in the way - C(code), C(message), C(what_to_do).
      type: list
      elements: dict
    warnings:
      description: What a person should know.
      type: list
      elements: str
    text:
      description: The list as people read it, line by line.
      type: list
      elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.cleanup import build
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

_LISTS: dict[str, dict[str, Any]] = {
    name: {"type": "list", "elements": "dict", "default": []}
    for name in ("snapshots", "consumers", "unreadable", "records", "backups", "unfinished")
}
_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}

SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        **_LISTS,
        "other_targets": _NAMES,
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "retention_days": {"type": "float", "default": 7},
                "scratch_days": {"type": "float", "default": 1},
                "undo_days": {"type": "float", "default": 7},
                "keep_last": {"type": "int", "default": 0},
                "keep_daily": {"type": "int", "default": 0},
                "keep_weekly": {"type": "int", "default": 0},
                "keep_monthly": {"type": "int", "default": 0},
                "min_verified": {"type": "int", "default": 1},
                "max_deletions": {"type": "int", "default": 100},
                "pin": _NAMES,
                "unpin": _NAMES,
                "reason": {"type": "str"},
                "confirm": {"type": "str"},
                "accept_unreadable": _NAMES,
                "usual": {"type": "dict", "default": {}},
            },
        },
    }
)


def run(task: Task) -> dict[str, Any]:
    """Make the plan."""
    return {"changed": False, "plan": build(task.params, check_mode=task.check_mode)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
