#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_snapshot_info
short_description: List the snapshots of a Neon project
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads all snapshots of a project in one request and returns those that fit every filter given.
  - Nothing is changed and no compute is woken.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.attributes.info
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
  snapshot_id:
    description: Only the snapshot of this id.
    type: str
  name:
    description: Only the snapshots of exactly this name; there may be several.
    type: str
  branch_id:
    description: Only the snapshots that were made of this branch.
    type: str
  search:
    description: Only snapshots whose name or id contains this text.
    type: str
  manual:
    description: Only those that count against the plan's limit, or with V(false) only those of a schedule.
    type: bool
  query:
    description:
      - A JMESPath expression that is applied to the list of the snapshots that are left. What it yields is returned in
        RV(snapshots); a single value becomes a list of one.
      - Needs the Python library jmespath.
    type: str
seealso:
  - module: rewind.database.neon_snapshot
  - name: JMESPath
    description: The language of O(query).
    link: https://jmespath.org
"""

EXAMPLES = r"""
- name: Find the newest snapshot of the primary
  rewind.database.neon_snapshot_info:
    project_id: late-frost-12345678
    branch_id: br-calm-sea-a1b2c3d4
    query: "sort_by(@, &created_at)[-1:]"
  register: newest

- name: Look for those that never go by themselves
  rewind.database.neon_snapshot_info:
    project_id: late-frost-12345678
    manual: true
    query: "[?!expires_at].name"
"""

RETURN = r"""
snapshots:
  description: The snapshots, oldest first, or what O(query) made of them. What is not known is null.
  returned: success
  type: list
  elements: dict
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
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._neon.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._neon.snapshots import list_snapshots
from ansible_collections.rewind.database.plugins.module_utils._options import NEON
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "snapshot_id": {"type": "str"},
        "name": {"type": "str"},
        "branch_id": {"type": "str"},
        "search": {"type": "str"},
        "manual": {"type": "bool"},
        "query": {"type": "str"},
    },
).merge(NEON)


def run(task: Task) -> dict[str, Any]:
    """List the snapshots."""
    return {"snapshots": list_snapshots(client_for(task), task.params)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
