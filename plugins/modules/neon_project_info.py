#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_project_info
short_description: Read what a Neon project allows and holds
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads a project of Neon - its history window, its limits and how much of them is used, and the operations that run.
  - Nothing is changed and no compute is woken.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.attributes.info
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
seealso:
  - module: rewind.database.neon_branch_info
"""

EXAMPLES = r"""
- name: Read the project
  rewind.database.neon_project_info:
    project_id: late-frost-12345678
  register: neon

- name: Stop when no slot is left for another branch
  ansible.builtin.assert:
    that: neon.project.limits.branches is none or neon.project.counts.branches < neon.project.limits.branches
"""

RETURN = r"""
project:
  description: The project. What is not known is null.
  returned: success
  type: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    region_id:
      description: Where it runs.
      type: str
      sample: aws-eu-central-1
    pg_version:
      description: The major version of PostgreSQL.
      type: int
    created_at:
      description: When it was made.
      type: str
    history_retention_seconds:
      description: The length of the history window in seconds.
      type: int
    window_start:
      description: The earliest instant that can be restored now. It moves on all the time.
      type: str
      sample: "2025-01-12T14:25:00Z"
    plan:
      description: The plan, or null where the API key may not see it.
      type: str
      sample: launch
    limits:
      description: How many branches and snapshots the plan allows; null is unknown or without limit.
      type: dict
      contains:
        branches:
          description: Branches of all kinds.
          type: int
        root_branches:
          description: Branches without a parent.
          type: int
        protected_branches:
          description: Protected branches.
          type: int
        manual_snapshots:
          description: Snapshots that no schedule made.
          type: int
    counts:
      description: How many branches there are now, by the same names as in RV(project.limits).
      type: dict
      contains:
        branches:
          description: Branches of all kinds.
          type: int
        root_branches:
          description: Branches without a parent.
          type: int
        protected_branches:
          description: Protected branches.
          type: int
    storage:
      description: What it stores and may store, in bytes. What Neon does not say, or does not limit, is null.
      type: dict
      contains:
        used_bytes:
          description: What Neon counts as stored in all branches, history included.
          type: int
        limit_bytes:
          description: What the plan allows in all branches together.
          type: int
        branch_limit_bytes:
          description: What one branch may hold.
          type: int
    store_passwords:
      description: Whether Neon keeps the passwords of roles. Without that no connection string can be read.
      type: bool
    allowed_ips:
      description: The addresses from which PostgreSQL connections are allowed; an empty list allows all.
      type: list
      elements: str
    protected_branches_only:
      description: Whether RV(project.allowed_ips) is for protected branches only.
      type: bool
    running_operations:
      description: The operations that have not ended.
      type: list
      elements: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._neon.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._neon.projects import read_project
from ansible_collections.rewind.database.plugins.module_utils._options import NEON
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(arguments={"project_id": {"type": "str", "required": True}}).merge(NEON)


def run(task: Task) -> dict[str, Any]:
    """Read the project."""
    return {"project": read_project(client_for(task), task.params["project_id"])}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
