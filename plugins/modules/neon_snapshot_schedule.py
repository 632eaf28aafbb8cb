#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_snapshot_schedule
short_description: Read or replace the schedule of snapshots of a Neon branch
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Neon makes snapshots of a root branch by a schedule, and deletes them by itself. A schedule belongs to a branch, so
    that a branch which takes a primary's place has none.
  - Without O(schedule) nothing is changed, and a branch that can have no schedule is no failure.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.wait
  - rewind.database.journal
  - rewind.database.state
  - rewind.database.attributes
options:
  project_id:
    description: The id of the project.
    type: str
    required: true
  branch_id:
    description: The id of the branch. Neon allows a schedule on root branches only, and not on every plan.
    type: str
    required: true
  schedule:
    description: What the schedule is to be; an empty list ends it. What is not said of an item is Neon's default.
    type: list
    elements: dict
    suboptions:
      frequency:
        description: How often.
        type: str
        choices: [daily, weekly, monthly]
        required: true
      hour:
        description: The hour of the day, 0 to 23, in UTC.
        type: int
      day:
        description: The day of the week or of the month.
        type: int
      month:
        description: The month.
        type: int
      retention_seconds:
        description: For how long each snapshot is kept.
        type: int
seealso:
  - module: rewind.database.neon_snapshot
"""

EXAMPLES = r"""
- name: Make one every night and keep it for a week
  rewind.database.neon_snapshot_schedule:
    project_id: late-frost-12345678
    branch_id: br-calm-sea-a1b2c3d4
    schedule:
      - frequency: daily
        hour: 3
        retention_seconds: 604800

- name: Read it
  rewind.database.neon_snapshot_schedule:
    project_id: late-frost-12345678
    branch_id: br-calm-sea-a1b2c3d4
  register: found
"""

RETURN = r"""
schedule:
  description: The schedule as it is afterwards, in check mode as it would be.
  returned: success
  type: list
  elements: dict
available:
  description:
    - Whether Neon has said what the schedule is. False where it answers that the plan has no schedules (412), or that
      the branch can have none (422), being no root; RV(schedule) is empty then.
  returned: success
  type: bool
diff:
  description: The schedule before and after.
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
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._neon.operations import Waiter
from ansible_collections.rewind.database.plugins.module_utils._neon.schedules import FREQUENCIES, apply
from ansible_collections.rewind.database.plugins.module_utils._options import NEON, WAIT
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "branch_id": {"type": "str", "required": True},
        "schedule": {
            "type": "list",
            "elements": "dict",
            "options": {
                "frequency": {"type": "str", "choices": list(FREQUENCIES), "required": True},
                **{name: {"type": "int"} for name in ("hour", "day", "month", "retention_seconds")},
            },
        },
    },
).merge(NEON, WAIT, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Bring the schedule into the wanted state."""
    return apply(Waiter.of(task))


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
