#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: predeploy_plan
short_description: Decide whether a backup is needed before a deployment
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Decides from rules - a schema migration, a major deployment, a bulk operation, a change of the configuration, or
    that it was asked for. Where nothing is known of the deployment, a backup is needed.
  - Pure - it reads and writes nothing. All facts are options, as the information modules returned them.
  - It does not fail on problems. All of them are returned together in RV(plan.problems), each with what to do.
extends_documentation_fragment:
  - rewind.database.attributes.info
options:
  branches:
    description: All branches of the project with computes, as RV(rewind.database.neon_branch_info#module:branches).
    type: list
    elements: dict
    required: true
  application:
    description: The whole result of M(rewind.database.coolify_application_info).
    type: dict
    required: true
  deployments:
    description: The whole result of M(rewind.database.coolify_deployment_info).
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
  manifest:
    description:
      - What the database holds, as RV(rewind.database.postgres_manifest#module:manifest), for its newest migration.
        Without it that is not known.
    type: dict
  request:
    description: What is asked for, and what was said about the deployment. What is empty counts as not given.
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
        description: When the run began, RFC 3339.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      commit:
        description: The commit, or the tag, that is going to be deployed.
        type: str
      backup:
        description: V(auto) - by the rules; V(always) - it is asked for; V(never) - only say what the rules say.
        type: str
        choices: [auto, always, never]
        default: auto
      schema_migration:
        description: Whether the deployment migrates the schema, where a person knows.
        type: bool
      major_deployment:
        description: Whether a person calls it a major deployment, or why.
        type: str
      major_files:
        description: How many changed files make it a major deployment, whatever they are; V(0) for no such number.
        type: int
        default: 50
      bulk_operation:
        description: Whether a bulk operation is going to be run, or which one.
        type: str
      configuration_change:
        description: Whether the configuration changes, or how.
        type: str
      changed_files:
        description: The files that the deployment changes; leave it out where that is not known.
        type: list
        elements: str
      files:
        description: All files of the code that is going to be deployed; leave it out where that is not known.
        type: list
        elements: str
      migration_patterns:
        description:
          - Which files are migrations or define a schema. C(**) is any number of folders. The default is where the
            usual tools keep them.
        type: list
        elements: str
      configuration_patterns:
        description: Which files say how the application reaches its database.
        type: list
        elements: str
      unless_older_than:
        description: Seconds for which a backup of the present primary, made before the same commit, is found again.
        type: float
        default: 3600.0
seealso:
  - module: rewind.database.backup_plan
"""

EXAMPLES = r"""
- name: Is a backup needed
  rewind.database.predeploy_plan:
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    deployments: "{{ coolify_deployments }}"
    request:
      target: tracker
      commit: 4f2a9c1
      changed_files: [src/app.ts, prisma/migrations/20250113_quests/migration.sql]
  register: result
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    commit:
      description: The commit that is going to be deployed.
      type: str
    running_commit:
      description: The one that runs; null where nothing says.
      type: str
    deploy_commit:
      description: What to deploy with a restore to the backup, where the schema migrates; else null.
      type: str
    primary:
      description: The primary, as RV(rewind.database.restore_plan#module:plan.primary), or null.
      type: dict
    needed:
      description: Whether a backup is needed.
      type: bool
    reasons:
      description: >-
        The rules that ask for one - C(rule), one of V(asked_for), V(schema_migration), V(major_deployment),
        V(bulk_operation), V(configuration_change) and V(unknown), and C(why).
      type: list
      elements: dict
    reason:
      description: All of it in one line, for the backup.
      type: str
    migration:
      description: >-
        The database's C(tool) and newest migration (C(head)), those C(pending), whether that is C(known), and whether
        there is anything to C(compare).
      type: dict
    found:
      description: >-
        A backup that was made before this deployment already - C(name), C(branch_id), C(at), C(why) - or null. It was
        made of the primary as it is now; since then nothing was restored, no restore was taken back, and the commit was
        not deployed.
      type: dict
    not_taken:
      description: The newest earlier backup where that is not so, in the same form - C(why) says what is not; or null.
      type: dict
    notes:
      description: What is recorded with the backup.
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
      description: All of it in a few lines.
      type: list
      elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._predeploy.plan import build
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "branches": {"type": "list", "elements": "dict", "required": True},
        "application": {"type": "dict", "required": True},
        "deployments": {"type": "dict", "required": True},
        "records": {"type": "list", "elements": "dict", "default": []},
        "backups": {"type": "list", "elements": "dict", "default": []},
        "manifest": {"type": "dict"},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "now": {"type": "str"},
                "started": {"type": "str"},
                "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
                "commit": {"type": "str"},
                "backup": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
                "schema_migration": {"type": "bool"},
                "major_deployment": {"type": "str"},
                "major_files": {"type": "int", "default": 50},
                "bulk_operation": {"type": "str"},
                "configuration_change": {"type": "str"},
                "changed_files": {"type": "list", "elements": "str"},
                "files": {"type": "list", "elements": "str"},
                "migration_patterns": {"type": "list", "elements": "str"},
                "configuration_patterns": {"type": "list", "elements": "str"},
                "unless_older_than": {"type": "float", "default": 3600.0},
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
