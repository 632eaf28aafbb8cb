#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: find_restore_point_plan
short_description: Plan a search for the last instant at which a check passed
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Says from when to when is searched, which branch held the data when, how many probes it takes at most, and
    everything that stands in the way.
  - A cutover in the middle of the history begins a new segment, on the branch that was the primary from then on.
  - It reads and changes nothing; M(rewind.database.postgres_bisect) carries the plan out.
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
  application:
    description: The whole result of M(rewind.database.coolify_application_info).
    type: dict
    required: true
  records:
    description: The catalogue, as M(rewind.database.run_record) returns it.
    type: list
    elements: dict
    default: []
  unfinished:
    description: The searches of this target that never ended, as M(rewind.database.run_journal) lists them.
    type: list
    elements: dict
    default: []
  checks:
    description: The checks that the target has, as for M(rewind.database.postgres_check); one of them is searched with.
    type: list
    elements: dict
    default: []
  request:
    description: What is asked for. What is empty counts as not given.
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
      started:
        description: When the run began, RFC 3339; times ago count from then.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      check:
        description: The name of the check. It may be left out where there is only one.
        type: str
      after:
        description: The earliest instant to look at. By default where the history window begins.
        type: str
      before:
        description: The latest instant to look at, at which the check fails. By default now.
        type: str
      hints:
        description: Instants near which it may have broken, or spans such as V(-3h .. -2h). They save probes where they
          are right by two hours; one that is not costs up to three.
        type: list
        elements: str
        default: []
      precision:
        description: How many seconds may lie between the last good instant and the first bad one.
        type: float
        default: 1.0
      confirmations:
        description: How many of the widest gaps between probes are looked into before what was found, and one more than
          twice as many after it.
        type: int
        default: 1
      manifest:
        description: Whether a manifest is given for a check that compares with one.
        type: bool
        default: false
      cutover_deadline:
        description: Seconds that a restore of the target gives its cutover. What leaves the history window before gets
          a command that shortens it.
        type: float
        default: 900
seealso:
  - module: rewind.database.postgres_bisect
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.find_restore_point_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    checks:
      - name: Users are there
        kind: rows
        table: User
        min: 1000
    request:
      target: tracker
      hints: ["2025-01-13 14:25:00 UTC"]
  register: result
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
    check:
      description: The check that is searched with; null where none could be chosen.
      type: dict
    after:
      description: The earliest instant that is looked at.
      type: str
    before:
      description: The latest instant that is looked at.
      type: str
    whole_window:
      description: Whether the earliest is where the window begins, because no other was named.
      type: bool
    until_now:
      description: Whether the latest is now, because no other was named.
      type: bool
    hints:
      description: The hints, as instants.
      type: list
      elements: str
    precision:
      description: Seconds between the last good instant and the first bad one.
      type: float
    confirmations:
      description: The widest gaps that are looked into before what is found; after it one more than twice as many.
      type: int
    window_start:
      description: Where the history window begins.
      type: str
    window_slides:
      description: Whether that moves on with time; not while the project is younger than its window.
      type: bool
    window_edge:
      description: What moves on with time - where the window begins, or, in a project that is younger than its window,
        an instant before that. What it reaches has left the window.
      type: str
    restore_seconds:
      description: Seconds of the window that a restore reserves - C(verify_seconds), C(confirm_seconds),
        C(cutover_deadline).
      type: dict
    segments:
      description: What is looked at, oldest first - C(start), C(end), C(branch_id), C(name), C(why).
      type: list
      elements: dict
    left_out:
      description: What cannot be looked at - C(start), C(end), C(why).
      type: list
      elements: dict
    probes:
      description: How many probes it takes at most - C(halving) between the ends, and C(most) in all.
      type: dict
    primary:
      description: The branch that the application uses now.
      type: dict
    leftovers:
      description: Probe branches that killed searches have left - C(branch_id), C(name), C(run).
      type: list
      elements: dict
    slots:
      description: Branches and root branches - C(used), C(limit), C(adds), C(free).
      type: dict
    problems:
      description: Everything that stands in the way - C(code), C(message), C(what_to_do).
      type: list
      elements: dict
    warnings:
      description: What should be known.
      type: list
      elements: str
    text:
      description: The plan in lines of a terminal's width.
      type: list
      elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._find.plan import build
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "application": {"type": "dict", "required": True},
        "records": {"type": "list", "elements": "dict", "default": []},
        "unfinished": {"type": "list", "elements": "dict", "default": []},
        "checks": {"type": "list", "elements": "dict", "default": []},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "started": {"type": "str"},
                "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
                "check": {"type": "str"},
                "after": {"type": "str"},
                "before": {"type": "str"},
                "hints": {"type": "list", "elements": "str", "default": []},
                "precision": {"type": "float", "default": 1.0},
                "confirmations": {"type": "int", "default": 1},
                "manifest": {"type": "bool", "default": False},
                "cutover_deadline": {"type": "float", "default": 900},
            },
        },
    }
)


def run(task: Task) -> dict[str, Any]:
    """Make the plan."""
    return {"changed": False, "plan": build(task.params)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
