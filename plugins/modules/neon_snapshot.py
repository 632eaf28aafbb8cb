#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_snapshot
short_description: Make, change, remove or restore a snapshot on Neon
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Makes sure that a snapshot of a root branch exists as described or does not exist, that it is restored to a new root
    branch, or that the branch that was restored from it has taken another branch's place.
  - A snapshot survives the history window and the branch that it was made of, takes no branch slot until it is
    restored, and becomes a root branch then. No point-in-time restore works on that branch afterwards. Snapshots are
    beta on Neon.
  - Names of snapshots are not unique on Neon. Where several have the name that was given, the task fails and lists
    their ids.
  - Finalizing keeps the target's name, flags, computes and hosts; the id of the branch behind them changes. The target
    stays, under another name and without a compute; the snapshots stay with it.
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
      - The name of the snapshot. One of this and O(snapshot_id) is needed, except with O(state=finalized) once the
        branch was restored; with both, the snapshot is found by its id and is given this name.
    type: str
  snapshot_id:
    description: The id of an existing snapshot. A predicted id is accepted in check mode.
    type: str
  state:
    description:
      - V(present) makes or changes the snapshot.
      - V(absent) removes it. Branches that were restored from it stay.
      - V(restored) restores it to a new root branch O(restore_as) without a compute, to be looked at.
      - V(finalized) lets that branch take the place of O(target_branch_id), and restores it first where that was not
        done. Where the target's place was taken before, by a branch of this snapshot, nothing is changed.
    type: str
    choices: [present, absent, restored, finalized]
    default: present
  new_name:
    description: Rename the snapshot. One that has this name already is taken for renamed.
    type: str
  branch:
    description:
      - The root branch to make the snapshot of, by id or name. By default the project's default branch for a new
        snapshot, and of an existing one the branch is not looked at.
      - A root branch that Neon is still detaching after an in-place restore is waited for.
    type: str
  timestamp:
    description:
      - The instant to take, within the history window (RFC 3339 with a zone). Compared to the millisecond. By default
        now.
    type: str
  lsn:
    description: The log sequence number to take, within the history window.
    type: str
  expires_at:
    description:
      - When Neon shall delete the snapshot (RFC 3339 with a zone). Whole seconds count.
      - V(never) clears it.
    type: str
  restore_as:
    description:
      - The name of the new root branch. A branch of this name that came from the snapshot and was not finalized yet is
        taken for it; another one is an error.
    type: str
  target_branch_id:
    description:
      - The branch whose place the restored one shall take, by id.
      - With O(state=restored) it is the snapshot's source by default, where that still exists. Neon remembers it from
        then on and does not tell it, so name it in both steps.
    type: str
  replaced_name:
    description: The name that the target gets with O(state=finalized). By default Neon adds C((old)) to its name.
    type: str
seealso:
  - module: rewind.database.neon_snapshot_info
  - module: rewind.database.neon_branch
  - module: rewind.database.neon_branch_restore
"""

EXAMPLES = r"""
- name: Make a snapshot of the primary at an instant
  rewind.database.neon_snapshot:
    project_id: late-frost-12345678
    name: snapshot-20250113-142500
    branch: br-calm-sea-a1b2c3d4
    timestamp: "2025-01-13T14:25:00Z"
  register: made

- name: Restore it to a root branch of its own, and look at the data there
  rewind.database.neon_snapshot:
    project_id: late-frost-12345678
    snapshot_id: "{{ made.snapshot.id }}"
    state: restored
    restore_as: restore-20250113-142500
    target_branch_id: br-calm-sea-a1b2c3d4
  register: restored

- name: Put it in the primary's place
  rewind.database.neon_snapshot:
    project_id: late-frost-12345678
    snapshot_id: "{{ made.snapshot.id }}"
    state: finalized
    restore_as: restore-20250113-142500
    target_branch_id: br-calm-sea-a1b2c3d4
    replaced_name: rollback-20250113-150000

- name: Remove it
  rewind.database.neon_snapshot:
    project_id: late-frost-12345678
    snapshot_id: "{{ made.snapshot.id }}"
    state: absent
"""

RETURN = r"""
snapshot:
  description:
    - The snapshot as it is afterwards, in check mode as it would be. What is not known is null.
    - Null with O(state=absent), and with O(state=finalized) where none was named.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; in check mode C(predicted:snapshot/<name>) for one that does not exist yet.
      type: str
      sample: snap-calm-sea-a1b2c3d4
    name:
      description: Its name. Several snapshots may have the same one.
      type: str
    slug:
      description: Another id, chosen by whoever made it, unique in the project.
      type: str
    source_branch_id:
      description: The id of the branch that it was made of, also once another branch has taken that one's place.
      type: str
    timestamp:
      description: The instant whose data it holds.
      type: str
    lsn:
      description: The log sequence number whose data it holds.
      type: str
    created_at:
      description: When it was made.
      type: str
    expires_at:
      description: When Neon will delete it; null is never.
      type: str
    manual:
      description: Whether it counts against the plan's limit; those of a schedule do not.
      type: bool
    full_size:
      description: The size of its data in bytes.
      type: int
    diff_size:
      description: The size of what differs from the snapshot before it, in bytes.
      type: int
branch:
  description:
    - With O(state=restored) and O(state=finalized) the branch that was restored from the snapshot, else null. In check
      mode as it would be. What is not known is null.
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
replaced_branch:
  description: With O(state=finalized) the branch whose place was taken, in the shape of RV(branch); else null.
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
from ansible_collections.rewind.database.plugins.module_utils._neon.finalizing import finalized, restored
from ansible_collections.rewind.database.plugins.module_utils._neon.operations import Waiter
from ansible_collections.rewind.database.plugins.module_utils._neon.snapshotting import absent, present
from ansible_collections.rewind.database.plugins.module_utils._neon.tree import ids_of
from ansible_collections.rewind.database.plugins.module_utils._options import NEON, WAIT
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

STATES = {"present": present, "absent": absent, "restored": restored, "finalized": finalized}

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "name": {"type": "str"},
        "snapshot_id": {"type": "str"},
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "new_name": {"type": "str"},
        "branch": {"type": "str"},
        "timestamp": {"type": "str"},
        "lsn": {"type": "str"},
        "expires_at": {"type": "str"},
        "restore_as": {"type": "str"},
        "target_branch_id": {"type": "str"},
        "replaced_name": {"type": "str"},
    },
    required_if=(
        ("state", "present", ("name", "snapshot_id"), True),
        ("state", "absent", ("name", "snapshot_id"), True),
        ("state", "restored", ("name", "snapshot_id"), True),
        ("state", "restored", ("restore_as",)),
        ("state", "finalized", ("restore_as", "target_branch_id")),
    ),
    mutually_exclusive=(("timestamp", "lsn"),),
).merge(NEON, WAIT, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Bring the snapshot, or what is restored from it, into the wanted state."""
    work = Waiter.of(task)
    result = STATES[task.params["state"]](work)
    kept = {
        "snapshot_id": (result["snapshot"] or {}).get("id"),
        "replaced_branch_id": (result["replaced_branch"] or {}).get("id"),
        **ids_of(result["branch"]),
    }
    return {**result, "operations": work.operations(), "journalled": kept}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
