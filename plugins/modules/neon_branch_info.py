#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_branch_info
short_description: List the branches of a Neon project
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads all branches of a project with their annotations, children and computes, in few requests, and returns those
    that fit every filter given.
  - Nothing is changed and no compute is woken.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.attributes.info
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
  branch_id:
    description: Only the branch of this id.
    type: str
  name:
    description: Only the branch of exactly this name.
    type: str
  search:
    description: Only branches whose name or id contains this text.
    type: str
  query:
    description:
      - A JMESPath expression that is applied to the list of the branches that are left. What it yields is returned in
        RV(branches); a single value becomes a list of one.
      - Needs the Python library jmespath.
    type: str
seealso:
  - module: rewind.database.neon_branch
  - name: JMESPath
    description: The language of O(query).
    link: https://jmespath.org
"""

EXAMPLES = r"""
- name: Find the newest backup that is ready
  rewind.database.neon_branch_info:
    project_id: late-frost-12345678
    query: "[?starts_with(name, 'backup-') && current_state == 'ready'] | sort_by(@, &created_at)[-1:]"
  register: backups

- name: Look at one branch
  rewind.database.neon_branch_info:
    project_id: late-frost-12345678
    name: main
"""

RETURN = r"""
branches:
  description: The branches, oldest first, or what O(query) made of them. What is not known is null.
  returned: success
  type: list
  elements: dict
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
from ansible_collections.rewind.database.plugins.module_utils._neon.listing import list_branches
from ansible_collections.rewind.database.plugins.module_utils._options import NEON
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "branch_id": {"type": "str"},
        "name": {"type": "str"},
        "search": {"type": "str"},
        "query": {"type": "str"},
    },
).merge(NEON)


def run(task: Task) -> dict[str, Any]:
    """List the branches."""
    return {"branches": list_branches(client_for(task), task.params)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
