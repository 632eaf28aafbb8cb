#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_file
short_description: Keep the plan of a restore as a file
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Writes a plan to a file, bound to the facts that it was made from, and reads it again for a restore that is to do
    that and nothing else. Whether the facts are still the same M(rewind.database.restore_plan) says.
  - The file is readable by its owner only. It holds no secret; of connection strings it has keyed hashes, which can be
    compared by runs with the same O(state_dir) only. A plan from another state directory is refused.
  - A file that is no plan, is of another version or is another target's is refused, and so is anything in O(said) that
    differs from what the plan says.
  - Never reports a change, and writes nothing in check mode; the answers are the same then.
extends_documentation_fragment:
  - rewind.database.state
  - rewind.database.attributes.info
options:
  action:
    description: Whether to write the file or to read it.
    type: str
    required: true
    choices: [write, read]
  path:
    description: The file.
    type: path
    required: true
  target:
    description: The target. Only its own plan is read.
    type: str
    required: true
  plan:
    description:
      - The plan to write, RV(rewind.database.restore_plan#module:plan), made with
        O(rewind.database.restore_plan#module:past).
    type: dict
  said:
    description:
      - What was asked for, by the names of RV(inputs). With V(write) the answers among it go into the file; the restore
        point and the strategy are those of the plan. With V(read) it must not differ from the file.
    type: dict
    default: {}
  explicit:
    description:
      - With V(read), the names in O(said) that a person has said, also where that is the default. What is
        neither here nor other than its default counts as not said.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Nothing is written.
seealso:
  - module: rewind.database.restore_plan
"""

EXAMPLES = r"""
- name: Keep the plan
  rewind.database.plan_file:
    action: write
    path: /var/lib/rewind/plan.json
    target: "{{ inventory_hostname }}"
    plan: "{{ planned.plan }}"

- name: Read it again
  rewind.database.plan_file:
    action: read
    path: /var/lib/rewind/plan.json
    target: "{{ inventory_hostname }}"
  register: kept
"""

RETURN = r"""
file:
  description: The file.
  returned: success
  type: str
written:
  description: Whether it was written; false in check mode.
  returned: success
  type: bool
inputs:
  description:
    - What a restore by this plan is asked for - point_in_time, lsn, backup, cutover, source_branch, deploy_commit,
      accept_schema_mismatch, accept_downtime, allow_unprotect, also_repoint, ignore_consumers,
      fence_writes_before_cutover, require_health_check, again.
  returned: success
  type: dict
bound_to:
  description: The facts that it was made from, as RV(rewind.database.restore_plan#module:plan.bound_to).
  returned: success
  type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._options import STATE
from ansible_collections.rewind.database.plugins.module_utils._plan_file import plan_file
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = STATE.merge(
    Spec(
        arguments={
            "action": {"type": "str", "required": True, "choices": ["write", "read"]},
            "path": {"type": "path", "required": True},
            "target": {"type": "str", "required": True},
            "plan": {"type": "dict"},
            "said": {"type": "dict", "default": {}},
            "explicit": {"type": "list", "elements": "str", "default": []},
        },
        required_if=(("action", "write", ("plan",)),),
    )
)


def run(task: Task) -> dict[str, Any]:
    """Write or read the plan."""
    return plan_file(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
