#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_branch_restore
short_description: Restore a Neon branch in place and keep its old state
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Puts a branch back to a restore point. The branch keeps its id, its name, its computes and their hosts; connections
    are dropped for some seconds. All databases of the branch go back together.
  - The old state becomes a branch of its own, named O(preserve_under_name), without a compute. All children of the
    branch move to it.
  - A second run finds the branch of that name and changes nothing, where it is proven that this very restore made it
    (by the source and the point that Neon still shows, else by the time of the last restore). A branch of that name
    from elsewhere, or from another restore, is refused with the code V(other_origin).
  - The task waits for the operations and until the branch is ready, but not for the old state to be detached, which
    Neon does later for root branches.
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
    description: The branch to restore, by id. A predicted id is accepted in check mode.
    type: str
    required: true
  source_branch_id:
    description:
      - The branch whose data to take, by id. By default the branch itself, which needs a restore point.
      - Restored from another branch, it becomes that branch's child, and neither can be detached again.
    type: str
  source_timestamp:
    description: The instant in the source's history (RFC 3339 with a zone).
    type: str
  source_lsn:
    description: The log sequence number in the source's history.
    type: str
  preserve_under_name:
    description: The name of the branch that keeps the old state.
    type: str
    required: true
seealso:
  - module: rewind.database.neon_branch
"""

EXAMPLES = r"""
- name: Put the primary back to an instant
  rewind.database.neon_branch_restore:
    project_id: late-frost-12345678
    branch_id: br-calm-sea-a1b2c3d4
    source_timestamp: "2025-01-13T14:25:00Z"
    preserve_under_name: rollback-20250113-150000
  register: restored

- name: Say where the old state is
  ansible.builtin.debug:
    msg: "{{ restored.preserved_branch.id }}"
"""

RETURN = r"""
branch:
  description: The branch as it is afterwards, in check mode as it would be. What is not known is null.
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
preserved_branch:
  description: The branch with the old state, in the shape of RV(branch).
  returned: success
  type: dict
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
from ansible_collections.rewind.database.plugins.module_utils._neon.operations import Waiter
from ansible_collections.rewind.database.plugins.module_utils._neon.restoring import restore
from ansible_collections.rewind.database.plugins.module_utils._neon.tree import ids_of
from ansible_collections.rewind.database.plugins.module_utils._options import NEON, WAIT
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "branch_id": {"type": "str", "required": True},
        "source_branch_id": {"type": "str"},
        "source_timestamp": {"type": "str"},
        "source_lsn": {"type": "str"},
        "preserve_under_name": {"type": "str", "required": True},
    },
    mutually_exclusive=(("source_timestamp", "source_lsn"),),
).merge(NEON, WAIT, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Restore the branch in place."""
    work = Waiter.of(task)
    result = restore(work)
    kept = {**ids_of(result["branch"]), "preserved_branch_id": result["preserved_branch"]["id"]}
    return {**result, "operations": work.operations(), "journalled": kept}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
