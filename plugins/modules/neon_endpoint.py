#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_endpoint
short_description: Add, change, start, suspend or remove a compute on Neon
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Makes sure that a branch has a compute as described, or that it has not.
  - The task waits for the operations of Neon, and for the state that was asked for.
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
  branch_id:
    description: The id of the branch. A predicted id is accepted in check mode.
    type: str
    required: true
  endpoint_id:
    description: The id of an existing compute. By default it is found by O(type).
    type: str
  type:
    description: What it is for.
    type: str
    choices: [read_write, read_only]
    default: read_write
  state:
    description:
      - V(present) adds or changes it.
      - V(started) does the same and starts it.
      - V(suspended) suspends one that exists. A connection wakes it again; to keep everybody out use O(disabled).
      - V(absent) removes it. A branch that is gone has none.
    type: str
    choices: [present, absent, started, suspended]
    default: present
  disabled:
    description: Whether connections are refused. Disabling ends the sessions that there are.
    type: bool
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
seealso:
  - module: rewind.database.neon_branch
"""

EXAMPLES = r"""
- name: Add a compute to a backup, to look into it
  rewind.database.neon_endpoint:
    project_id: late-frost-12345678
    branch_id: br-calm-sea-a1b2c3d4

- name: Keep everybody out of the old primary
  rewind.database.neon_endpoint:
    project_id: late-frost-12345678
    branch_id: br-warm-sky-e5f6a7b8
    disabled: true

- name: Remove the compute again
  rewind.database.neon_endpoint:
    project_id: late-frost-12345678
    branch_id: br-calm-sea-a1b2c3d4
    state: absent
"""

RETURN = r"""
endpoint:
  description: The compute as it is afterwards, in check mode as it would be. Null when removed.
  returned: success
  type: dict
  contains:
    project_id:
      description: The id of its project.
      type: str
    branch_id:
      description: The id of its branch.
      type: str
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
from ansible_collections.rewind.database.plugins.module_utils._neon.endpoints import LIMIT_OPTIONS, apply
from ansible_collections.rewind.database.plugins.module_utils._neon.operations import Waiter
from ansible_collections.rewind.database.plugins.module_utils._options import NEON, WAIT
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "branch_id": {"type": "str", "required": True},
        "endpoint_id": {"type": "str"},
        "type": {"type": "str", "choices": ["read_write", "read_only"], "default": "read_write"},
        "state": {
            "type": "str",
            "choices": ["present", "absent", "started", "suspended"],
            "default": "present",
        },
        "disabled": {"type": "bool"},
        **LIMIT_OPTIONS,
    },
).merge(NEON, WAIT, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Bring the compute into the wanted state."""
    work = Waiter.of(task)
    result = apply(work)
    kept = {"endpoint_id": result["endpoint"]["id"]} if result["endpoint"] else {}
    return {**result, "operations": work.operations(), "journalled": kept}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
