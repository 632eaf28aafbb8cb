# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/audit.yml of several targets: where their results go is settled before anything is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Two targets whose APIs nobody serves."""
    variables = {
        "rewind_neon_project_id": "late-frost-12345678",
        "rewind_neon_database": "tracker",
        "rewind_coolify_application": "a1b2c3d4e5f6g7h8i9j0k1l2",
        "rewind_neon_api_url": NOBODY,
        "rewind_coolify_api_url": NOBODY,
    }
    group = {"hosts": {"one": variables, "two": variables}}
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps({"all": {"children": {"rewind_targets": group}}}), encoding="utf-8")
    return path


def test_one_file_for_several_targets_is_refused(inventory: Path, tmp_path: Path) -> None:
    """Given two targets and a plain file, then nothing is read, and a folder is named that would do."""
    ended = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(inventory),
            "playbooks/audit.yml",
            "-e",
            f"json={tmp_path}/audit.json",
        ],
        cwd=CLONE,
        env={**os.environ, "REWIND_STATE_DIR": str(tmp_path / "state"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = " ".join((ended.stdout + ended.stderr).split())
    assert ended.returncode != 0 and f"2 targets would each write {tmp_path}/audit.json." in said
    assert f"-e json={tmp_path}/" in said
    assert "Read |" not in said and not (tmp_path / "audit.json").exists()
