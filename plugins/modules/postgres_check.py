#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_check
short_description: Check the data of a branch in one snapshot
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Answers a list of checks about the data of a branch, each with what was expected and what was found.
  - All of them are answered from one snapshot (a repeatable-read, read-only transaction) in few round trips. The kind
    V(connect) opens sessions of its own.
  - A missing table or column is a failed check. The task itself fails only when O(fail=true), so that
    M(ansible.builtin.assert) can say what a failed check means.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.connection
  - rewind.database.postgres
  - rewind.database.attributes.info
options:
  checks:
    description: What to check.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the check is called in results and messages. By default its kind and what it looks at.
        type: str
      kind:
        description:
          - V(table) - the table exists, and the column where one is given.
          - V(rows) - the number of rows is between O(checks[].min) and O(checks[].max), or within
            O(checks[].within_percent) of what O(manifest) says.
          - V(fresh) - the newest value of a column is not more than O(checks[].max_age) older than the restore point,
            and not newer than it.
          - V(sql) - a query, and an expression over its rows that must be true.
          - V(connect) - a session can be opened, directly and through the pooler, with TLS, as the role expected.
        type: str
        required: true
        choices: [table, rows, fresh, sql, connect]
      table:
        description:
          - The table - V(User), V("User"), V(public.User) or V(public."User"). A name is looked for as it is written,
            then in lower case. Without a schema it is looked for in the search path, then in all schemas.
        type: str
      column:
        description: The column, in its own case.
        type: str
      min:
        description: The least number of rows.
        type: int
      max:
        description: The greatest number of rows.
        type: int
      within_percent:
        description:
          - How many percent the number of rows may differ from that in O(manifest). Without one nothing is compared,
            and the message of the check says so.
        type: float
      max_age:
        description: Seconds by which the newest value may be older than O(restore_point), or than now without one.
        type: float
      tolerance:
        description: Seconds by which the newest value may be newer than O(restore_point); clocks of applications run
          ahead.
        type: float
        default: 0.0
      query:
        description:
          - One query that returns rows. It runs as a subquery, so it cannot change anything.
          - At most 1000 rows are fetched.
        type: str
      expect:
        description:
          - A JMESPath expression over the list of rows, each a dictionary by column, that must give V(true).
          - Dates and timestamps are texts such as V(2025-01-13T14:25:00Z).
        type: str
      pooled:
        description: Whether the kind V(connect) also tries the address of the pooler.
        type: bool
        default: true
      role:
        description: The role that the kind V(connect) must be connected as.
        type: str
      tls:
        description: Whether the kind V(connect) demands TLS.
        type: bool
        default: true
  restore_point:
    description:
      - The restore point of the data - an instant with a time zone, or an LSN. Without it the data is taken to be live.
    type: str
  manifest:
    description: What M(rewind.database.postgres_manifest) returned as
      RV(rewind.database.postgres_manifest#module:manifest).
    type: dict
  fail:
    description: Whether the task fails when a check does.
    type: bool
    default: false
seealso:
  - module: rewind.database.postgres_manifest
"""

EXAMPLES = r"""
- name: Check the restored data
  rewind.database.postgres_check:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
      application: vgcs8wo48g4kcwg0k4o0cwkk
      env_key: DATABASE_URL
    restore_point: "2025-01-13 14:25:00 UTC"
    checks:
      - kind: connect
      - kind: table
        table: User
      - kind: rows
        table: QuestProgress
        min: 50000
      - kind: fresh
        table: QuestProgress
        column: updatedAt
        max_age: 3600
      - name: The status is the one of that moment
        kind: sql
        query: SELECT text FROM status
        expect: "length(@) == `1` && [0].text == 'before the migration'"
  register: verified

- name: Every check has passed
  ansible.builtin.assert:
    that: verified.passed
    fail_msg: "{{ verified.failed_checks | map(attribute='message') | join('; ') }}"
"""

RETURN = r"""
checks:
  description: Every check, in the order given. Empty when O(connection) leads to a predicted branch.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    kind:
      description: Its kind.
      type: str
    ok:
      description: Whether it has passed.
      type: bool
    expected:
      description: What was expected.
      type: raw
    found:
      description: What was found; of a query at most five rows.
      type: raw
    answered:
      description:
        - Whether the data was judged at all. V(false) where something else stood in the way, such as a timeout or a
          permission that the role lacks; RV(checks[].ok) is false then too.
      type: bool
    message:
      description: Both in one sentence.
      type: str
      sample: 'public."QuestProgress" has 51234 rows, as expected: 50000 or more'
failed_checks:
  description: Those of RV(checks) that have not passed.
  returned: success
  type: list
  elements: dict
passed:
  description: Whether all have passed; null when nothing could be checked yet.
  returned: success
  type: bool
skipped_reason:
  description: Why nothing was checked.
  returned: when the branch is only predicted
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._postgres.access import access_spec
from ansible_collections.rewind.database.plugins.module_utils._postgres.asking import CHECK_OPTIONS, check_data
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = access_spec().merge(
    Spec(
        arguments={
            "checks": {"type": "list", "elements": "dict", "required": True, "options": CHECK_OPTIONS},
            "restore_point": {"type": "str"},
            "manifest": {"type": "dict"},
            "fail": {"type": "bool", "default": False},
        }
    )
)


def run(task: Task) -> dict[str, Any]:
    """Answer the checks."""
    return check_data(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
