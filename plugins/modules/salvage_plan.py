#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: salvage_plan
short_description: Make the plan of a salvage from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Says which three states a salvage compares - the one at the restore point, what the application has left, and what
    it uses now - and until when that is possible.
  - Names what an earlier salvage, which was killed, has left.
  - Reads and writes nothing; all problems are in the plan.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  project:
    description: As RV(rewind.database.neon_project_info#module:project).
    type: dict
    required: true
  branches:
    description: As RV(rewind.database.neon_branch_info#module:branches).
    type: list
    elements: dict
    required: true
  application:
    description: The whole result of M(rewind.database.coolify_application_info).
    type: dict
    required: true
  records:
    description: The catalogue, as RV(rewind.database.run_record#module:records).
    type: list
    elements: dict
    default: []
  unfinished:
    description: As RV(rewind.database.run_journal#module:unfinished).
    type: list
    elements: dict
    default: []
  run:
    description: The restore, as RV(rewind.database.run_journal#module:run); empty where there is none.
    type: dict
  request:
    description: What is asked for.
    type: dict
    required: true
    suboptions:
      target:
        description: The target.
        type: str
        required: true
      environment:
        description: Its environment.
        type: str
        default: production
      now:
        description: The present instant, RFC 3339; the clock's where empty.
        type: str
      started:
        description: When the salvage began; its branches are named after it.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      undo:
        description: Whether the restore is about to be taken back, and what that would lose is to be salvaged.
        type: bool
        default: false
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
seealso:
  - module: rewind.database.postgres_salvage
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.salvage_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    records: "{{ catalogue.records }}"
    run: "{{ journal.run }}"
    request:
      target: tracker_production
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
    run:
      description: The restore.
      type: str
    after:
      description: V(restore), or V(undo) where that restore was, or is about to be, taken back.
      type: str
    restore_point:
      description: As RV(rewind.database.restore_plan#module:plan.restore_point).
      type: dict
    base:
      description:
        - Where the state at the restore point is read - C(branch_id), C(name), C(parent_lsn), C(parent_timestamp).
          Neither of the last two means its head.
      type: dict
    old:
      description: What the application has left - C(branch_id), C(name).
      type: dict
    new:
      description: What it uses - C(branch_id), C(name).
      type: dict
    names:
      description: What the branches of this salvage are called - C(base), C(old).
      type: dict
    expires_at:
      description: When they expire, should nobody delete them before.
      type: str
    connection:
      description: How the connection string is made again where its row cannot be read, or null.
      type: dict
    possible_until:
      description: Until when a salvage is possible; null as long as the branch exists that holds the restore point.
      type: str
    left:
      description: The branches that killed salvages have left - C(branch_id), C(name), C(run).
      type: list
      elements: dict
    text:
      description: The plan as a person reads it.
      type: list
      elements: str
    problems:
      description: Everything that stands in the way - C(code), C(message), C(what_to_do).
      type: list
      elements: dict
    warnings:
      description: What a person should know.
      type: list
      elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.salvage import build
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "application": {"type": "dict", "required": True},
        "records": {"type": "list", "elements": "dict", "default": []},
        "unfinished": {"type": "list", "elements": "dict", "default": []},
        "run": {"type": "dict"},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "started": {"type": "str"},
                "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
                "undo": {"type": "bool", "default": False},
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
