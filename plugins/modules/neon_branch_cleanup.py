#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_branch_cleanup
short_description: Delete a list of branches and snapshots of a Neon project
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Deletes the branches in the order given, which must be leaf first, as M(rewind.database.cleanup_plan) makes it.
  - Each branch is read again right before its deletion. One that is default or protected by now, that was renamed,
    restored or given a compute, whose compute runs, or that an application points to by now, is left as it is and
    returned in RV(kept). So is one that Neon does not delete, such as one that has got a child.
  - Before a branch with a compute is deleted the env rows of Coolify, and of O(other_coolifies), are read again. As
    long as some of them cannot be read, such a branch stays.
  - A child that is being detached from its parent is waited for.
  - Then deletes the snapshots. One that was renamed or given another expiry meanwhile stays.
  - Each deletion is noted in the catalogue right after Neon has accepted it.
  - Two requests a branch or snapshot, one that reads it and one that deletes it, and a few for all of them.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.journal
  - rewind.database.attributes
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
  branches:
    description: The branches, as RV(rewind.database.cleanup_plan#module:plan.delete).
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Its id.
        type: str
        required: true
      name:
        description: Its name. When it has another one by now, it stays.
        type: str
        required: true
      endpoint_ids:
        description: The computes that it may have. When it has another one by now, it stays.
        type: list
        elements: str
        default: []
      last_reset_at:
        description: When it was last restored in place. When that differs by now, it stays.
        type: str
      waits_for:
        description: The ids of its children that are being detached.
        type: list
        elements: str
        default: []
  snapshots:
    description: The snapshots, as RV(rewind.database.cleanup_plan#module:plan.delete_snapshots).
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Its id.
        type: str
        required: true
      name:
        description: Its name. When it has another one by now, it stays.
        type: str
        required: true
      expires_at:
        description: When Neon will delete it by itself. When that differs by now, it stays.
        type: str
  target:
    description: The name of the target, for the catalogue.
    type: str
    required: true
  run:
    description: The id of the run, for the catalogue.
    type: str
  accept_unreadable:
    description: What of Coolify surely points to no branch though it cannot be read - UUID, name or C(owner/KEY).
    type: list
    elements: str
    default: []
  other_coolifies:
    description:
      - Where else applications may point to a branch - every other Coolify, and every other token of the same one, for
        what one team's token sees is not what another's sees.
    type: list
    elements: dict
    default: []
    suboptions:
      coolify_api_url:
        description: Its address. By default that of the task.
        type: str
      coolify_access_token:
        description: A token of it. By default that of the task.
        type: str
  wait:
    description: Whether to wait until the branches have really gone, and for children that are being detached.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for one branch, also for operations of others that hold the project.
    type: float
    default: 300.0
  poll_interval:
    description: Seconds between two looks at the state.
    type: float
    default: 1.0
seealso:
  - module: rewind.database.cleanup_plan
  - module: rewind.database.neon_branch
"""

EXAMPLES = r"""
- name: Delete what the plan says
  rewind.database.neon_branch_cleanup:
    project_id: late-frost-12345678
    target: tracker
    branches: "{{ result.plan.delete }}"
    snapshots: "{{ result.plan.delete_snapshots }}"
  register: cleaned

- name: Say what stayed after all
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.reason }}"
  loop: "{{ cleaned.kept }}"
"""

RETURN = r"""
deleted:
  description: What was deleted, in check mode what would be, in the order of deletion - C(id), C(name).
  returned: success
  type: list
  elements: dict
deleted_snapshots:
  description: The same of snapshots.
  returned: success
  type: list
  elements: dict
kept:
  description: What stayed after all.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    code:
      description:
        - Why, as a word - V(gone), V(default), V(protected), V(renamed), V(restored), V(not_ready), V(compute_added),
          V(compute_active), V(in_use), V(unreadable), V(detaching), V(branch_has_children), V(locked), V(unknown),
          V(still_there) or, for snapshots, V(expiry_changed), V(refused).
      type: str
    reason:
      description: Why, as a sentence.
      type: str
operations:
  description: The operations of Neon that failed.
  returned: success
  type: list
  elements: dict
journalled:
  description: What is kept in the journal of O(journal) beside the outcome.
  returned: success
  type: dict
diff:
  description: The names of the branches and snapshots before and after.
  returned: success
  type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
error:
  description: What went wrong, for programs.
  returned: failure
  type: dict
partial:
  description: What was deleted before it failed, in the shape of the result.
  returned: failure
  type: dict
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, NEON, WAIT
from ansible_collections.rewind.database.plugins.module_utils._sweep import sweep
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "branches": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "id": {"type": "str", "required": True},
                "name": {"type": "str", "required": True},
                "endpoint_ids": {"type": "list", "elements": "str", "default": []},
                "last_reset_at": {"type": "str"},
                "waits_for": {"type": "list", "elements": "str", "default": []},
            },
        },
        "snapshots": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "id": {"type": "str", "required": True},
                "name": {"type": "str", "required": True},
                "expires_at": {"type": "str"},
            },
        },
        "target": {"type": "str", "required": True},
        "run": {"type": "str"},
        "accept_unreadable": {"type": "list", "elements": "str", "default": []},
        "other_coolifies": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "coolify_api_url": {"type": "str"},
                "coolify_access_token": {"type": "str", "no_log": True},
            },
        },
    },
).merge(NEON, COOLIFY, WAIT, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Delete the branches and the snapshots."""
    return sweep(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
