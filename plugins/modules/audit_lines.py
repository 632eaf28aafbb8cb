#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_lines
short_description: Judge the state of a target from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Judges, line by line, whether a target could be restored now - its history window, backups, drills, slots,
    protection, connection string, env rows, token and deployments - and says what to do where it could not.
  - Pure - it reads and writes nothing. All facts are options, as the information modules returned them.
  - The result of a task that failed is understood as well. Whatever needs it is then in the state V(unknown), which is
    never V(OK).
  - It does not fail, whatever it finds. RV(audit.worst) is the gravest status.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  facts:
    description: The whole results of the information modules. What is left out is unknown.
    type: dict
    required: true
    suboptions:
      project:
        description: The result of M(rewind.database.neon_project_info).
        type: dict
      branches:
        description: The result of M(rewind.database.neon_branch_info), all branches.
        type: dict
      application:
        description: The result of M(rewind.database.coolify_application_info).
        type: dict
      deployments:
        description: The result of M(rewind.database.coolify_deployment_info), with its logs.
        type: dict
      consumers:
        description: The result of M(rewind.database.coolify_consumer_info) for all hosts of the project.
        type: dict
      connection:
        description: The result of M(rewind.database.neon_connection_info) for the application's own string.
        type: dict
      sessions:
        description: The result of M(rewind.database.postgres_session_info) for the primary.
        type: dict
      catalogue:
        description: The result of M(rewind.database.run_record) for the catalogue.
        type: dict
      backups:
        description: The result of M(rewind.database.run_record) for the log of backups.
        type: dict
      drills:
        description: The result of M(rewind.database.run_record) for the log of drills.
        type: dict
      journals:
        description: The result of M(rewind.database.run_journal) with the action V(unfinished).
        type: dict
      snapshots:
        description: The result of M(rewind.database.neon_snapshot_info), all snapshots.
        type: dict
  request:
    description: The target, and what its lines are judged by. What is empty has its default.
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
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      database:
        description: The database that the string must name. Any when empty.
        type: str
      history_days:
        description: How long the history window must be.
        type: float
        default: 7
      storage_bytes:
        description: What the project may store. The plan's limit when empty.
        type: float
      storage_warn_percent:
        description: From which share of the storage on the line warns.
        type: float
        default: 80
      storage_fail_percent:
        description: From which share of the storage on the line fails.
        type: float
        default: 95
      slots:
        description:
          - Limits that the API does not show - C(branches), C(root_branches), C(protected_branches),
            C(manual_snapshots).
        type: dict
        default: {}
      free_branches:
        description: How many branches must be free.
        type: int
        default: 2
      protected:
        description: Whether the primary must be protected. By default only that of a production target.
        type: bool
      auto_deploy:
        description: Whether a push to the repository should deploy.
        type: str
        choices: ['any', 'on', 'off']
        default: any
      backup_max_days:
        description: How old the newest verified backup may be.
        type: float
        default: 7
      retention_days:
        description: Days that a backup is kept which does not say so itself.
        type: float
        default: 7
      keep_last:
        description: So many of the newest backups a cleanup keeps whatever their age.
        type: int
        default: 0
      keep_daily:
        description: Of each of the last so many days that have any, a cleanup keeps one backup.
        type: int
        default: 0
      keep_weekly:
        description: The same for weeks.
        type: int
        default: 0
      keep_monthly:
        description: The same for months.
        type: int
        default: 0
      min_verified:
        description: So many of the newest verified backups a cleanup keeps whatever their age.
        type: int
        default: 1
      accept_unreadable:
        description: What of Coolify cannot be read and surely points to no branch - UUID, name or C(owner/KEY).
        type: list
        elements: str
        default: []
      other_targets:
        description: The other targets of the inventory that share the project, by name.
        type: list
        elements: str
        default: []
      drill_max_days:
        description: How long ago the last drill may be.
        type: float
        default: 35
      drill_target:
        description: The target on which restores of this one are rehearsed. The target itself when empty.
        type: str
      time_tolerance:
        description: Seconds by which a backup's name may differ from the instant that it holds.
        type: float
        default: 300
      deploy_seconds:
        description: How long a deployment may take.
        type: float
        default: 600
      connections_warn_percent:
        description: From which share of the connections on the line warns.
        type: float
        default: 80
      connections_fail_percent:
        description: From which share of the connections on the line fails.
        type: float
        default: 95
      ignore_consumers:
        description: Names or UUIDs of applications and services that may use the primary too.
        type: list
        elements: str
        default: []
seealso:
  - module: rewind.database.backup_plan
  - module: rewind.database.restore_plan
"""

EXAMPLES = r"""
- name: Judge what was read
  rewind.database.audit_lines:
    facts:
      project: "{{ neon }}"
      branches: "{{ neon_branches }}"
      application: "{{ coolify }}"
      deployments: "{{ deployments }}"
    request:
      target: tracker
      environment: staging
  register: result
"""

RETURN = r"""
audit:
  description: The audit.
  returned: success
  type: dict
  contains:
    target:
      description: The target.
      type: str
    environment:
      description: Its environment.
      type: str
    at:
      description: The instant that it was judged for.
      type: str
    worst:
      description: The gravest status of all lines - V(OK), V(WARN) or V(FAILED).
      type: str
    summary:
      description: How many lines have each status, by its name.
      type: dict
    lines:
      description: The lines, always all of them and in the same order.
      type: list
      elements: dict
      contains:
        id:
          description: What it is about; stays the same between releases.
          type: str
          sample: history_window
        title:
          description: The same for people.
          type: str
        status:
          description: V(OK), V(WARN) or V(FAILED).
          type: str
        state:
          description: Which of the line's states it is in; stays the same between releases. V(unknown) is one of each.
          type: str
          sample: short
        found:
          description: The number or the fact behind it.
          type: str
        expected:
          description: What should be found.
          type: str
        what_to_do:
          description: What to do; empty where the line is OK.
          type: str
    symptoms:
      description: What a person may see, and which lines explain it.
      type: list
      elements: dict
      contains:
        id:
          description: What it is about; stays the same between releases.
          type: str
          sample: cannot_connect
        title:
          description: The same for people.
          type: str
        lines:
          description: The ids of the lines that can name a cause.
          type: list
          elements: str
        causes:
          description: Those of them that are not OK, the gravest first.
          type: list
          elements: str
    look:
      description: Where the application's string leads - C(branch_id), C(endpoint_id), C(asleep), C(disabled).
      type: dict
    text:
      description: The whole as a table for a terminal of 80 columns.
      type: list
      elements: str
    failure:
      description: The lines that are not OK in one message; empty where all are.
      type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.audit import build
from ansible_collections.rewind.database.plugins.module_utils._plan.audit_parts import FACTS
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "facts": {"type": "dict", "required": True, "options": {name: {"type": "dict"} for name in FACTS}},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
                "database": {"type": "str"},
                "history_days": {"type": "float", "default": 7},
                "storage_bytes": {"type": "float"},
                "storage_warn_percent": {"type": "float", "default": 80},
                "storage_fail_percent": {"type": "float", "default": 95},
                "slots": {"type": "dict", "default": {}},
                "free_branches": {"type": "int", "default": 2},
                "protected": {"type": "bool"},
                "auto_deploy": {"type": "str", "choices": ["any", "on", "off"], "default": "any"},
                "backup_max_days": {"type": "float", "default": 7},
                "retention_days": {"type": "float", "default": 7},
                "keep_last": {"type": "int", "default": 0},
                "keep_daily": {"type": "int", "default": 0},
                "keep_weekly": {"type": "int", "default": 0},
                "keep_monthly": {"type": "int", "default": 0},
                "min_verified": {"type": "int", "default": 1},
                "accept_unreadable": {"type": "list", "elements": "str", "default": []},
                "other_targets": {"type": "list", "elements": "str", "default": []},
                "drill_max_days": {"type": "float", "default": 35},
                "drill_target": {"type": "str"},
                "time_tolerance": {"type": "float", "default": 300},
                "deploy_seconds": {"type": "float", "default": 600},
                "connections_warn_percent": {"type": "float", "default": 80},
                "connections_fail_percent": {"type": "float", "default": 95},
                "ignore_consumers": {"type": "list", "elements": "str", "default": []},
            },
        },
    }
)


def run(task: Task) -> dict[str, Any]:
    """Judge the lines."""
    return {"changed": False, "audit": build(task.params)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
