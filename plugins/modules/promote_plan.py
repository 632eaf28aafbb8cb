#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: promote_plan
short_description: Make the plan of a promotion from facts already gathered
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Says which branch becomes the primary for good, what it and the old primary are called then, which flags move, how
    the tree of branches looks before and after, which branches can never be deleted afterwards, and what that costs in
    slots.
  - Where the application is not on the branch yet, the plan of that cutover is inside, with its problems.
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
  snapshots:
    description: As RV(rewind.database.neon_snapshot_info#module:snapshots). Left out where nobody has read them.
    type: list
    elements: dict
  application:
    description: The whole result of M(rewind.database.coolify_application_info).
    type: dict
    required: true
  deployments:
    description: The whole result of M(rewind.database.coolify_deployment_info).
    type: dict
    default: {}
  consumers:
    description: As RV(rewind.database.coolify_consumer_info#module:consumers).
    type: list
    elements: dict
    default: []
  unreadable:
    description: As RV(rewind.database.coolify_consumer_info#module:unreadable).
    type: list
    elements: dict
    default: []
  records:
    description: The catalogue, as RV(rewind.database.run_record#module:records).
    type: list
    elements: dict
    default: []
  backups:
    description: The log of backups, as RV(rewind.database.run_record#module:records).
    type: list
    elements: dict
    default: []
  unfinished:
    description: As RV(rewind.database.run_journal#module:unfinished), of every verb.
    type: list
    elements: dict
    default: []
  other_targets:
    description:
      - The targets of the inventory that share the project or the application - C(target), C(environment),
        C(project), C(application).
    type: list
    elements: dict
    default: []
  trial:
    description:
      - The staging target whose application is tested against the branch first - C(target), C(environment),
        C(project), C(application), C(unfinished), its runs, C(other_coolify), whether its inventory names another
        address of Coolify, and C(unseen), why its application cannot be read from here. Empty for no test.
    type: dict
    default: {}
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
        description: Its environment; V(production) needs a confirmation.
        type: str
        default: production
      run:
        description: The id of this promotion.
        type: str
      now:
        description: The present instant, RFC 3339; the clock's where empty.
        type: str
      started:
        description: When the promotion began. The day in the names is its, in UTC.
        type: str
      env_key:
        description: The environment row that holds the application's connection string.
        type: str
        default: DATABASE_URL
      branch:
        description:
          - The branch to promote, by id, by name, or by the name that it was made with. Empty for the one that a
            restore has just cut over to.
        type: str
      option:
        description:
          - V(a) makes the branch itself the primary. V(b) makes a root that depends on no other branch the primary, so
            that the old one can be deleted.
        type: str
        choices: [a, b]
        default: a
      grace_days:
        description: Days that the old primary is kept.
        type: float
        default: 7
      protection:
        description: Whether the new primary is protected. V(auto) is as the old one is.
        type: str
        choices: [auto, always, never]
        default: auto
      backup:
        description: Whether the new primary needs a first verified backup.
        type: bool
        default: true
      resolved:
        description: What the run that is gone on with had resolved, as RV(plan.resolved).
        type: dict
        default: {}
      restore:
        description: Options of the request of M(rewind.database.restore_plan), for the cutover inside.
        type: dict
        default: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
seealso:
  - module: rewind.database.restore_plan
  - module: rewind.database.cleanup_plan
"""

EXAMPLES = r"""
- name: Make the plan
  rewind.database.promote_plan:
    project: "{{ neon.project }}"
    branches: "{{ neon_branches.branches }}"
    application: "{{ coolify }}"
    deployments: "{{ coolify_deployments }}"
    records: "{{ catalogue.records }}"
    backups: "{{ backups.records }}"
    request:
      target: tracker
      branch: backup-20250113-143000
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
    option:
      description: V(a) or V(b).
      type: str
    asked:
      description: The branch as it was named, or null.
      type: str
    primary:
      description: The primary of now, as RV(rewind.database.restore_plan#module:plan.primary), or null.
      type: dict
    branch:
      description:
        - What becomes the primary - C(branch_id) (predicted where it is not made yet), C(name), C(backup_id) (what it
          is restored from, or null), C(is_root).
      type: dict
    old:
      description:
        - The old primary - C(branch_id), C(name), C(deletable) (V(yes), V(after_others) or V(never)), C(waits_for).
      type: dict
    default:
      description:
        - The branch that has the default label before - C(branch_id), C(name) - where it is neither of the two, or
          null. Its protection and its schedule of snapshots end as those of the old primary do.
      type: dict
    names:
      description: What both are called then, C(new) and C(old).
      type: dict
    protected:
      description: Whether the new primary is protected then.
      type: bool
    cutover:
      description: The cutover inside - C(strategy), C(restore_point), C(downtime), C(steps) - or null.
      type: dict
    restore_run:
      description: The run of that cutover, where it was begun before, or null.
      type: str
    computes:
      description: The computes that the new primary is to have.
      type: list
      elements: dict
    moves:
      description:
        - What is changed of the two branches then, in this order - C(step), C(branch_id), C(name), C(does),
          C(change), C(undo).
      type: list
      elements: dict
    backup:
      description: Whether a first backup is C(needed), and which was C(found).
      type: dict
    keep_until:
      description: Until when the old primary is kept.
      type: str
    staying:
      description: The branches that can never be deleted while the new primary exists, and C(why).
      type: list
      elements: dict
    slots:
      description: As RV(rewind.database.restore_plan#module:plan).
      type: dict
    tree_before:
      description: The branches as they are drawn, now.
      type: list
      elements: dict
    tree_after:
      description: And afterwards.
      type: list
      elements: dict
    trial:
      description:
        - The test on the staging target - C(target), the runs that a killed one has C(left), the branches of it
          C(to_delete), leaf first, and those that are C(kept), each with C(why) - or null.
      type: dict
    already_done:
      description: Whether nothing is left to do - C(done), C(why).
      type: dict
    resolved:
      description: What a run that goes on with this one must take over; to be journalled.
      type: dict
    confirm:
      description: Whether a person has to say yes, and whether the restore inside asks for it.
      type: dict
    undo:
      description: Until when, and how it is taken back.
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
  description: The plan as lines for a terminal.
  returned: success
  type: list
  elements: str
confirmation:
  description: What a person must have read before saying yes; empty where a problem hides it.
  returned: success
  type: list
  elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.promote import build
from ansible_collections.rewind.database.plugins.module_utils._plan.promote_text import confirmation, lines
from ansible_collections.rewind.database.plugins.module_utils._plan.promote_wanted import PROTECTION
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

_LISTS = ("consumers", "unreadable", "records", "backups", "unfinished", "other_targets")
SPEC = Spec(
    arguments={
        "project": {"type": "dict", "required": True},
        "branches": {"type": "list", "elements": "dict", "required": True},
        "snapshots": {"type": "list", "elements": "dict"},
        "application": {"type": "dict", "required": True},
        "deployments": {"type": "dict", "default": {}},
        **{name: {"type": "list", "elements": "dict", "default": []} for name in _LISTS},
        "trial": {"type": "dict", "default": {}},
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
                "branch": {"type": "str"},
                "option": {"type": "str", "choices": ["a", "b"], "default": "a"},
                "grace_days": {"type": "float", "default": 7},
                "protection": {"type": "str", "choices": list(PROTECTION), "default": "auto"},
                "backup": {"type": "bool", "default": True},
                "resolved": {"type": "dict", "default": {}},
                "restore": {"type": "dict", "default": {}},
            },
        },
    }
)


def run(task: Task) -> dict[str, Any]:
    """Make the plan."""
    plan = build(task.params)
    shown = confirmation(plan) if plan["branch"] else []
    return {"changed": False, "plan": plan, "text": lines(plan), "confirmation": shown}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
