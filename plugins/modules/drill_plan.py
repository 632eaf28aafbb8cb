#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_plan
short_description: Make the plan of a drill from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Says whether a restore may be rehearsed on this target, what is rehearsed this time, and what earlier drills have
    left.
  - Refuses a production target, and one whose database or application is a production target's. What cannot be seen
    counts as shared.
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
  consumers:
    description: As RV(rewind.database.coolify_consumer_info#module:consumers).
    type: list
    elements: dict
    default: []
  records:
    description: The catalogue, as RV(rewind.database.run_record#module:records).
    type: list
    elements: dict
    default: []
  drills:
    description: The log of drills, oldest first.
    type: list
    elements: dict
    default: []
  unfinished:
    description: As RV(rewind.database.run_journal#module:unfinished), of every verb.
    type: list
    elements: dict
    default: []
  starting:
    description:
      - What would start on a copy of the database, as RV(rewind.database.postgres_check#module:checks) - the checks
        C(subscriptions), C(extensions) and C(jobs), each with one row of C(names); C(cron) with the database that was
        asked (C(here)) and the one in which pg_cron keeps its jobs (C(keeps_jobs), null where it was not loaded); and,
        where that is another one, C(extensions_of_cron) and C(jobs_of_cron).
      - Empty where the database could not be asked; leave it out where it was not asked yet.
    type: list
    elements: dict
  other_targets:
    description:
      - The targets of the inventory that share the project or the application - C(target), C(environment),
        C(project), C(application).
    type: list
    elements: dict
    default: []
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
      run:
        description: The id of this drill.
        type: str
      now:
        description: The present instant, RFC 3339; the clock's where empty.
        type: str
      started:
        description: When the drill began; the test backup is named after it, and V(pitr) restores to it.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      mode:
        description: What to restore, a backup or an instant. By default what the last drill did not, or the same again
          where that one failed.
        type: str
        choices: [backup, pitr]
      accept_unseen:
        description: Whether a production target of the same project may be one whose branch cannot be seen.
        type: bool
        default: false
      ending:
        description: Whether the plan is made to end a drill, which needs no slots any more.
        type: bool
        default: false
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
seealso:
  - module: rewind.database.restore_plan
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.drill_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    request:
      target: tracker_staging
      environment: staging
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
    mode:
      description: What is restored, V(backup) or V(pitr).
      type: str
    last:
      description: The last drill - C(at), C(ago), C(ok), C(mode), C(run) - or null.
      type: dict
    name:
      description: What the test backup is called.
      type: str
    instant:
      description: The instant that V(pitr) restores to.
      type: str
    primary:
      description: The primary, as RV(rewind.database.restore_plan#module:plan.primary), or null.
      type: dict
    left:
      description:
        - What each drill that was killed has left - its C(run), its C(mode), the restore to take back (C(undo), or
          null), the ids of its C(branches).
      type: list
      elements: dict
    to_delete:
      description: The branches of these drills that can be deleted now, in that order - C(branch_id), C(name).
      type: list
      elements: dict
    kept:
      description: Those that cannot, and C(why).
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
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.drill import MODES, build
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

_LISTS = ("consumers", "records", "drills", "unfinished", "other_targets")
SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "application": {"type": "dict", "required": True},
        **{name: {"type": "list", "elements": "dict", "default": []} for name in _LISTS},
        "starting": {"type": "list", "elements": "dict"},
        "request": {
            "type": "dict",
            "required": True,
            "options": {
                "target": {"type": "str", "required": True},
                "environment": {"type": "str", "default": "production"},
                "run": {"type": "str"},
                "now": {"type": "str"},
                "started": {"type": "str"},
                "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
                "mode": {"type": "str", "choices": list(MODES)},
                "accept_unseen": {"type": "bool", "default": False},
                "ending": {"type": "bool", "default": False},
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
