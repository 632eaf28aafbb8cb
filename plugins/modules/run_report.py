#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_report
short_description: Keep the report of a run
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Writes the report of a run below O(state_dir), in up to three forms of the same name. The files are readable by
    their owner only, and each is whole from the first moment - a reader never sees half of one.
  - Never reports a change, and writes nothing in check mode; the answers are the same then.
extends_documentation_fragment:
  - rewind.database.state
  - rewind.database.attributes.info
options:
  target:
    description: The target - the inventory host.
    type: str
    required: true
  run:
    description: The id of the run.
    type: str
    required: true
  facts:
    description: What the report says, as data. Written as JSON.
    type: dict
    required: true
  html:
    description: The page.
    type: str
    required: true
  markdown:
    description: The text.
    type: str
    required: true
  files:
    description:
      - Other files of the same run, by the end of their name - C(notice.txt) becomes C(<run>.notice.txt) beside the
        report.
    type: dict
    default: {}
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
- name: Keep the report
  rewind.database.run_report:
    target: "{{ inventory_hostname }}"
    run: 20250113T142500Z-restore-1a2b3c
    facts: "{{ facts }}"
    html: "{{ lookup('ansible.builtin.template', 'report.html.j2') }}"
    markdown: "{{ lookup('ansible.builtin.template', 'report.md.j2') }}"
  register: report
"""

RETURN = r"""
report:
  description: Where it is.
  returned: success
  type: dict
  contains:
    written:
      description: Whether it was written; false in check mode.
      type: bool
    html:
      description: The path of the page.
      type: str
    json:
      description: The path of the facts.
      type: str
    md:
      description: The path of the text.
      type: str
    files:
      description: The paths of O(files), by the same names.
      type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._books import report
from ansible_collections.rewind.database.plugins.module_utils._options import STATE
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = STATE.merge(
    Spec(
        arguments={
            "target": {"type": "str", "required": True},
            "run": {"type": "str", "required": True},
            "facts": {"type": "dict", "required": True},
            "html": {"type": "str", "required": True},
            "markdown": {"type": "str", "required": True},
            "files": {"type": "dict", "default": {}},
        }
    )
)


def run(task: Task) -> dict[str, Any]:
    """Write the three files."""
    return report(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
