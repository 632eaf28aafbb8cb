# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: where its file may go, as the role asks before anything is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("hosts", "out", "said"),
    [
        (2, "{folder}/lost.sql", "Of several targets each has a file of its own"),
        (2, "{folder}/", ""),
        (1, "{folder}/lost.sql", ""),
        (1, "{folder}/no/lost.sql", "does not exist or cannot be written"),
    ],
)
def test_each_target_has_a_file_of_its_own(tmp_path: Path, hosts: int, out: str, said: str) -> None:
    """Given one target or several, and a file or a folder, then one file for two of them is refused beforehand."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {f"target{number}": local for number in range(hosts)}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    asked = {
        "ansible.builtin.include_role": {"name": "rewind.database.salvage", "tasks_from": "possible"},
        "vars": {
            "salvage_out": out.replace("{folder}", str(tmp_path)),
            "salvage_neon_project_id": "late-frost-12345678",
            "salvage_coolify_application": "app",
            "__salvage_plan": {"plan": {"problems": [], "run": "20250113T140000Z-restore-0a1b2c"}},
        },
    }
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [asked]}]))
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"}
    environment.pop("ANSIBLE_CONFIG", None)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", "play.json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    shown = " ".join(done.stdout.split())
    assert (done.returncode == 0, said in shown) == (not said, True), shown
