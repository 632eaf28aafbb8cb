#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_plan
short_description: Make the plan of a backup from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Finds the primary from the host in the application's connection string, names the backup, and says until when it is
    kept and what stands in the way.
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
  application:
    description: The whole result of M(rewind.database.coolify_application_info).
    type: dict
    required: true
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
        description: When the run began, RFC 3339; a backup of now is named after it.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      old_connection_env:
        description:
          - The name of the environment variable in which a person may supply the present connection string, where the
            row cannot be read. The plan only names it.
        type: str
        default: REWIND_OLD_CONNECTION_STRING
      point_in_time:
        description: The instant to back up; now where empty.
        type: str
      reason:
        description: Why the backup is made.
        type: str
      name:
        description: The backup's name. A verified backup of that name is found again.
        type: str
      keep:
        description: Keep it for good; needs O(request.reason).
        type: bool
        default: false
      retention_days:
        description: Days that it is kept.
        type: float
        default: 7
      unless_newer_than:
        description:
          - Make none when a verified one is at most this old - seconds, or a number with s, m, h or d.
          - One that was made before a restore, or before an undo of one, does not hold today's data and does not count.
        type: str
seealso:
  - module: rewind.database.restore_plan
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.backup_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    request:
      target: tracker
      reason: before migration 42
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
    name:
      description: What the backup is called.
      type: str
    primary:
      description: The primary, as RV(rewind.database.restore_plan#module:plan.primary), or null.
      type: dict
    env:
      description:
        - What the string of a connection to it is made from - C(base), as
          RV(rewind.database.restore_plan#module:plan.env); null where that is the row itself.
      type: dict
    source:
      description: The branch to make it from, as RV(rewind.database.restore_plan#module:plan.source), or null.
      type: dict
    reason:
      description: Why it is made.
      type: str
    keep:
      description: Whether it is kept for good.
      type: bool
    keep_until:
      description: Until when it is kept; null for good.
      type: str
    expires_at:
      description:
        - When Neon deletes it by itself - the retention and a margin, 30 days at most.
        - Null for a backup that is kept for longer than that; only a cleanup deletes it.
      type: str
    newest:
      description: The newest verified backup - C(branch_id), C(name), C(at) - or null.
      type: dict
    already_done:
      description: Whether there is such a backup already - C(done), C(why), C(branch_id).
      type: dict
    slots:
      description: Branches used, free, added.
      type: dict
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

from ansible_collections.rewind.database.plugins.module_utils._plan.backup import build
from ansible_collections.rewind.database.plugins.module_utils._plan.request import OLD_CONNECTION_ENV
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "application": {"type": "dict", "required": True},
        "records": {"type": "list", "elements": "dict", "default": []},
        "backups": {"type": "list", "elements": "dict", "default": []},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "started": {"type": "str"},
                "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
                "old_connection_env": {"type": "str", "default": OLD_CONNECTION_ENV, "no_log": False},
                "point_in_time": {"type": "str"},
                "reason": {"type": "str"},
                "name": {"type": "str"},
                "keep": {"type": "bool", "default": False},
                "retention_days": {"type": "float", "default": 7},
                "unless_newer_than": {"type": "str"},
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
