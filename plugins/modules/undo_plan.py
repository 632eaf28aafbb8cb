#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: undo_plan
short_description: Make the plan of an undo from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Says how the tree of branches looks before and after a run is taken back, which branches can never be deleted
    afterwards, what that costs in slots, and what stands in the way.
  - Of an undo that was killed and is gone on with, what it has made is neither made nor counted again.
  - Reads and writes nothing; all problems are in the plan.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  run:
    description: The run to take back, as RV(rewind.database.run_journal#module:run).
    type: dict
    required: true
  promotion:
    description: The promotion whose names and flags are taken back before, in the same shape; empty for none.
    type: dict
    default: {}
  project:
    description: As RV(rewind.database.neon_project_info#module:project).
    type: dict
    required: true
  branches:
    description: As RV(rewind.database.neon_branch_info#module:branches).
    type: list
    elements: dict
    required: true
  snapshots:
    description: As RV(rewind.database.neon_snapshot_info#module:snapshots). Left out where nobody has read them.
    type: list
    elements: dict
  strings:
    description:
      - What came of making the connection strings again that the way back writes - C(key), C(ok), and C(message) where
        it failed.
    type: list
    elements: dict
    default: []
  now:
    description: The present instant, RFC 3339; the clock's where empty.
    type: str
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
seealso:
  - module: rewind.database.run_journal
  - module: rewind.database.restore_plan
  - module: rewind.database.promote_plan
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.undo_plan:
    run: "{{ journal.run }}"
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
  register: result
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    run:
      description: The run that is taken back.
      type: str
    promotion:
      description: The promotion whose names and flags are taken back before, or null.
      type: str
    strategy:
      description: The strategy of the cutover that is taken back, or null where none had begun.
      type: str
    primary:
      description:
        - What the application is on afterwards - C(branch_id) (predicted where it is not made yet), C(name) - or null
          where that cannot be said.
      type: dict
    staying:
      description: The branches that can never be deleted while that one exists - C(branch_id), C(name), C(why).
      type: list
      elements: dict
    slots:
      description: Of C(branches) and C(roots), how many are C(used), C(adds), C(limit) and C(free).
      type: dict
    tree_before:
      description: The branches as they are drawn, now.
      type: list
      elements: dict
    tree_after:
      description: And afterwards.
      type: list
      elements: dict
    problems:
      description: Everything that stands in the way - C(code), C(message), C(what_to_do).
      type: list
      elements: dict
    warnings:
      description: What a person should know.
      type: list
      elements: str
text:
  description: The plan as lines for a terminal.
  returned: success
  type: list
  elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.undo import build
from ansible_collections.rewind.database.plugins.module_utils._plan.undo_text import lines
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "run": {"type": "dict", "required": True},
        "promotion": {"type": "dict", "default": {}},
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "snapshots": {"type": "list", "elements": "dict"},
        "strings": {"type": "list", "elements": "dict", "default": []},
        "now": {"type": "str"},
    }
)


def run(task: Task) -> dict[str, Any]:
    """Make the plan."""
    plan = build(task.params)
    return {"changed": False, "plan": plan, "text": lines(plan)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
