#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_record
short_description: Keep and query the logs of branches, backups and drills
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Appends records to a log below O(state_dir), one JSON line each, and reads it.
  - A record is on the disk before the task ends. Several processes may append at the same time. Values that look like
    secrets are masked, with a warning.
  - Never reports a change, and writes nothing in check mode; the answers are the same then.
extends_documentation_fragment:
  - rewind.database.state
  - rewind.database.attributes.info
options:
  log:
    description:
      - V(catalogue) - what cannot be written on a branch, by branch id.
      - V(backups) - the backups that were made.
      - V(drills) - the drills that were held.
      - V(incidents) - what became of a restore afterwards.
    type: str
    required: true
    choices: [catalogue, backups, drills, incidents]
  record:
    description: The record to append. C(at), the present instant, is added where it has none.
    type: dict
  query:
    description: A JMESPath expression over the list of records.
    type: str
  merge_by:
    description:
      - A key. Records that have the same value of it become one, later keys over earlier ones, before O(query) sees
        them.
    type: str
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Nothing is written.
seealso:
  - module: rewind.database.run_journal
"""

EXAMPLES = r"""
- name: Remember that a backup was verified
  rewind.database.run_record:
    log: catalogue
    record:
      branch_id: br-calm-sea-a1b2c3d4
      verified: true

- name: Which branches are verified
  rewind.database.run_record:
    log: catalogue
    merge_by: branch_id
    query: "[?verified].branch_id"
  register: verified
"""

RETURN = r"""
record:
  description: The record as it was written; null when none was given.
  returned: success
  type: dict
records:
  description: All records, oldest first, or what O(query) makes of them.
  returned: success
  type: raw
log_file:
  description: The file of the log.
  returned: success
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._books import record
from ansible_collections.rewind.database.plugins.module_utils._options import STATE
from ansible_collections.rewind.database.plugins.module_utils._records import LOGS
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = STATE.merge(
    Spec(
        arguments={
            "log": {"type": "str", "required": True, "choices": list(LOGS)},
            "record": {"type": "dict"},
            "query": {"type": "str"},
            "merge_by": {"type": "str"},
        }
    )
)


def run(task: Task) -> dict[str, Any]:
    """Append, then read."""
    return record(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
