#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_branch
short_description: Create, change or remove a branch on Neon
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Makes sure that a branch exists as described, or that it does not exist.
  - A branch is found by its name or by its id. One that is found with the same parent and restore point is left as it
    is; one that comes from elsewhere is an error that names both origins.
  - The task waits for the operations of Neon and until the branch is ready.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.wait
  - rewind.database.state
  - rewind.database.journal
  - rewind.database.attributes
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
  name:
    description:
      - The name of the branch. One of this and O(branch_id) is needed; with both, the branch is found by its id and is
        given this name.
    type: str
  branch_id:
    description: The id of an existing branch.
    type: str
  state:
    description:
      - V(present) creates or changes the branch.
      - V(absent) removes it. A default, protected or parent branch is refused; a child that is being detached after an
        in-place restore is waited for.
    type: str
    choices: [present, absent]
    default: present
  new_name:
    description: Rename the branch. One that has this name already is taken for renamed.
    type: str
  parent:
    description:
      - The parent by id or name. By default a new branch gets the project's default branch as its parent, and of an
        existing one the parent is not looked at.
    type: str
  parent_timestamp:
    description:
      - The instant in the parent's history to start from (RFC 3339 with a zone). It is compared to the millisecond.
    type: str
  parent_lsn:
    description:
      - The log sequence number in the parent's history to start from.
    type: str
  endpoints:
    description:
      - The computes that the branch must have. Those that are missing are added, limits that differ are changed, and
        none is removed (see M(rewind.database.neon_endpoint)).
      - A new branch gets none unless they are listed here.
    type: list
    elements: dict
    suboptions:
      type:
        description: What it is for. A branch has one at most for reading and writing.
        type: str
        choices: [read_write, read_only]
        default: read_write
      autoscaling_limit_min_cu:
        description: The smallest size in compute units.
        type: float
      autoscaling_limit_max_cu:
        description: The largest size in compute units.
        type: float
      suspend_timeout_seconds:
        description:
          - Seconds without activity after which it is suspended; V(0) is Neon's default, V(-1) is never.
          - Leave it out on the Free plan, which allows its default only.
        type: int
      settings:
        description: Settings of the compute, for example C(pg_settings). Those that are not named stay as they are.
        type: dict
  protected:
    description: Whether the branch is protected.
    type: bool
  default:
    description: V(true) makes an existing branch the project's default branch.
    type: bool
  expires_at:
    description:
      - When Neon shall delete the branch (RFC 3339 with a zone), at most 30 days ahead. Whole seconds count.
      - V(never) clears it.
      - A default, protected or parent branch cannot expire, and a branch that expires cannot get children.
    type: str
  annotations:
    description:
      - Texts to keep with the branch, by name, 50 at most. Neon sets them at creation only, so an existing branch keeps
        those that it has.
    type: dict
seealso:
  - module: rewind.database.neon_branch_info
  - module: rewind.database.neon_branch_restore
"""

EXAMPLES = r"""
- name: Make a backup without a compute
  rewind.database.neon_branch:
    project_id: late-frost-12345678
    name: backup-20250113-142500
    parent: br-calm-sea-a1b2c3d4
    parent_timestamp: "2025-01-13T14:25:00Z"
    endpoints: []
    expires_at: "2025-01-27T14:25:00Z"
    annotations:
      reason: before migration 42

- name: Make a restore branch with a compute
  rewind.database.neon_branch:
    project_id: late-frost-12345678
    name: restore-20250113-142500
    parent: main
    parent_timestamp: "2025-01-13 14:25:00 UTC"
    endpoints:
      - type: read_write
        autoscaling_limit_min_cu: 0.25
        autoscaling_limit_max_cu: 2

- name: Keep a backup for good
  rewind.database.neon_branch:
    project_id: late-frost-12345678
    name: backup-20250113-142500
    expires_at: never

- name: Remove a branch
  rewind.database.neon_branch:
    project_id: late-frost-12345678
    name: restore-20250113-142500
    state: absent
"""

RETURN = r"""
branch:
  description:
    - The branch as it is afterwards, in check mode as it would be. What is not known is null. Null when removed.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; in check mode C(predicted:branch/<name>) for one that does not exist yet.
      type: str
      sample: br-calm-sea-a1b2c3d4
    name:
      description: Its name.
      type: str
    parent_id:
      description: The id of its parent; null for a root branch.
      type: str
    parent_lsn:
      description: The log sequence number of the parent that it starts from.
      type: str
    parent_timestamp:
      description: The instant of the parent that it starts from.
      type: str
    created_at:
      description: When it was made.
      type: str
    updated_at:
      description: When it was last changed.
      type: str
    current_state:
      description: V(init), V(resetting), V(ready) or V(archived).
      type: str
    default:
      description: Whether it is the project's default branch.
      type: bool
    protected:
      description: Whether it is protected.
      type: bool
    expires_at:
      description: When Neon will delete it; null is never.
      type: str
    logical_size:
      description: The size of its data in bytes.
      type: int
    last_reset_at:
      description: When it was last restored or reset in place.
      type: str
    restore_status:
      description: V(restored), V(finalized) or V(detaching); else null.
      type: str
    restored_from:
      description: The id of the snapshot that it was restored from.
      type: str
    restored_as:
      description: The id of the branch that it replaced.
      type: str
    restricted_actions:
      description: What Neon does not allow on it now, each with C(name) and C(reason).
      type: list
      elements: dict
    init_source:
      description: What it was made from.
      type: str
    annotations:
      description: The texts that were set at its creation, by name.
      type: dict
    children:
      description: The ids of its children.
      type: list
      elements: str
    endpoints:
      description: Its computes.
      type: list
      elements: dict
      contains:
        id:
          description: Its id; in check mode C(predicted:endpoint/<branch name>) for one that does not exist yet.
          type: str
          sample: ep-cool-frost-a1b2c3d4
        type:
          description: V(read_write) or V(read_only).
          type: str
        host:
          description: Its host name for direct connections.
          type: str
        pooler_host:
          description: Its host name for connections through the pooler.
          type: str
        current_state:
          description: V(init), V(active) or V(idle).
          type: str
        disabled:
          description: Whether connections are refused.
          type: bool
        autoscaling_limit_min_cu:
          description: The smallest size in compute units.
          type: float
        autoscaling_limit_max_cu:
          description: The largest size in compute units.
          type: float
        suspend_timeout_seconds:
          description: Seconds without activity after which it is suspended; 0 is Neon's default, -1 is never.
          type: int
        settings:
          description: Its settings.
          type: dict
        last_active:
          description: When it was last used.
          type: str
operations:
  description:
    - The operations that Neon ran for this task, with their last known status. Of a failed task they are in RV(partial)
      as far as they are known.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    action:
      description: What it does.
      type: str
      sample: create_branch
    status:
      description: V(finished) and V(skipped) are success.
      type: str
    branch_id:
      description: The branch that it belongs to.
      type: str
    endpoint_id:
      description: The compute that it belongs to.
      type: str
    error:
      description: What went wrong.
      type: str
    total_duration_ms:
      description: How long it took in milliseconds.
      type: int
journalled:
  description: What is kept in the journal of O(journal) beside the outcome.
  returned: success
  type: dict
diff:
  description: The objects before and after.
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
  contains:
    code:
      description: A word that stays the same between releases.
      type: str
      sample: before_history_window
    http_status:
      description: The status of the answer, where one was the cause.
      type: int
    request_id:
      description: The request's id, for Neon's support.
      type: str
    retryable:
      description: Whether the same task may succeed later.
      type: bool
    hint:
      description: What to do.
      type: str
partial:
  description: What is known, where a wait ended too early.
  returned: on timeout
  type: dict
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._neon.branches import present
from ansible_collections.rewind.database.plugins.module_utils._neon.endpoints import LIMIT_OPTIONS
from ansible_collections.rewind.database.plugins.module_utils._neon.operations import Waiter
from ansible_collections.rewind.database.plugins.module_utils._neon.removal import absent
from ansible_collections.rewind.database.plugins.module_utils._neon.tree import ids_of
from ansible_collections.rewind.database.plugins.module_utils._options import NEON, WAIT
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "name": {"type": "str"},
        "branch_id": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "new_name": {"type": "str"},
        "parent": {"type": "str"},
        "parent_timestamp": {"type": "str"},
        "parent_lsn": {"type": "str"},
        "endpoints": {
            "type": "list",
            "elements": "dict",
            "options": {
                "type": {"type": "str", "choices": ["read_write", "read_only"], "default": "read_write"},
                **LIMIT_OPTIONS,
            },
        },
        "protected": {"type": "bool"},
        "default": {"type": "bool"},
        "expires_at": {"type": "str"},
        "annotations": {"type": "dict"},
    },
    required_one_of=(("name", "branch_id"),),
    mutually_exclusive=(("parent_timestamp", "parent_lsn"),),
).merge(NEON, WAIT, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Bring the branch into the wanted state."""
    work = Waiter.of(task)
    result = present(work) if task.params["state"] == "present" else absent(work)
    return {**result, "operations": work.operations(), "journalled": ids_of(result["branch"])}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
