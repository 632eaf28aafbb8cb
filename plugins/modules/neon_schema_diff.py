#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_schema_diff
short_description: Compare the schemas of two Neon branches or two instants
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Lets Neon compare the schema of a database on two branches, or at two instants of a branch, and returns the
    difference as a unified diff. Data is not compared; see M(rewind.database.postgres_manifest) for that.
  - Nothing is changed. Neon reads the schemas by itself; whether it wakes a compute for that is not documented.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.attributes.info
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
  database:
    description: The name of the database, which must be on both sides.
    type: str
    required: true
  branch:
    description: The branch to compare, by id or name. A predicted id is accepted in check mode.
    type: str
    required: true
  timestamp:
    description: The instant of O(branch) to look at (RFC 3339 with a zone). By default now.
    type: str
  lsn:
    description: The log sequence number of O(branch) to look at.
    type: str
  base_branch:
    description:
      - The branch to compare it with, by id or name. What it lacks is shown as added.
      - By default O(branch) itself where an instant is given for either side, else its parent.
    type: str
  base_timestamp:
    description: The instant of the base to look at (RFC 3339 with a zone). By default now.
    type: str
  base_lsn:
    description: The log sequence number of the base to look at.
    type: str
seealso:
  - module: rewind.database.postgres_manifest
"""

EXAMPLES = r"""
- name: What a migration did since yesterday
  rewind.database.neon_schema_diff:
    project_id: late-frost-12345678
    database: tracker
    branch: main
    base_timestamp: "2025-01-13T14:25:00Z"
  register: since

- name: Stop where the restore branch has another schema than the primary
  rewind.database.neon_schema_diff:
    project_id: late-frost-12345678
    database: tracker
    branch: restore-20250113-142500
    base_branch: main
  register: compared
  failed_when: not compared.schema_diff.equal
"""

RETURN = r"""
schema_diff:
  description: The difference.
  returned: success
  type: dict
  contains:
    equal:
      description: Whether both schemas are the same; null where a branch does not exist yet.
      type: bool
    text:
      description: A unified diff from the base to the branch; empty where they are equal.
      type: str
    lines_added:
      description: How many lines the branch has that the base has not.
      type: int
    lines_removed:
      description: How many lines the base has that the branch has not.
      type: int
    database:
      description: The database.
      type: str
    base:
      description: What it was compared with.
      type: dict
      contains:
        branch_id:
          description: The id of the branch.
          type: str
        name:
          description: Its name.
          type: str
        timestamp:
          description: The instant that was looked at; null is now, or O(lsn).
          type: str
        lsn:
          description: The log sequence number that was looked at.
          type: str
    compared:
      description: What was compared.
      type: dict
      contains:
        branch_id:
          description: The id of the branch.
          type: str
        name:
          description: Its name.
          type: str
        timestamp:
          description: The instant that was looked at; null is now, or O(lsn).
          type: str
        lsn:
          description: The log sequence number that was looked at.
          type: str
    skipped_reason:
      description: Why nothing was compared, in check mode.
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
from ansible_collections.rewind.database.plugins.module_utils._neon.schemas import compare_schemas
from ansible_collections.rewind.database.plugins.module_utils._options import NEON
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "database": {"type": "str", "required": True},
        "branch": {"type": "str", "required": True},
        "timestamp": {"type": "str"},
        "lsn": {"type": "str"},
        "base_branch": {"type": "str"},
        "base_timestamp": {"type": "str"},
        "base_lsn": {"type": "str"},
    },
    mutually_exclusive=(("timestamp", "lsn"), ("base_timestamp", "base_lsn")),
).merge(NEON)


def run(task: Task) -> dict[str, Any]:
    """Compare the schemas."""
    return {"schema_diff": compare_schemas(client_for(task), task.params, check_mode=task.check_mode)}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
