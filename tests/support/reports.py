# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the example reports with the role, as a playbook would."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.report_example import BACKUP, FAILED, GOOD, hostile

Json = dict[str, Any]
STORIES: dict[str, Json] = {"good": GOOD, "failed": FAILED, "backup": BACKUP, "hostile": hostile()}

_PLAY = """
- hosts: controller
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: rewind.database.report
      vars:
        report_state_dir: "{{ folder }}/state"
        report_data: "{{ lookup('ansible.builtin.file', folder ~ '/' ~ item ~ '.json') | from_json }}"
      loop: "{{ stories }}"
    - ansible.builtin.debug:
        msg: "{{ report_result | to_json }}"
"""


def write_reports(folder: Path, *stories: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the role for each story; its target is named after the story."""
    for story in stories:
        data = copy.deepcopy(STORIES[story])
        data["target"] = story
        (folder / f"{story}.json").write_text(json.dumps(data))
    (folder / "play.yml").write_text(_PLAY)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"controller": host}}}))
    variables = json.dumps({"folder": str(folder), "stories": list(stories)})
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return subprocess.run(
        [program, "-i", "hosts.yml", "play.yml", "-e", variables, "--diff", *(["--check"] if check else [])],
        cwd=folder,
        env={**kept, "HOME": str(folder), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def report_of(folder: Path, story: str, form: str) -> Path:
    """The file of a story's report."""
    (found,) = (folder / "state" / "reports" / story).glob(f"*.{form}")
    return found
