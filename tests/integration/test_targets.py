# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every integration target, played against a running sandbox by ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sandbox import SandboxProcess

TARGETS = Path(__file__).parent / "targets"


def names() -> list[str]:
    """The targets; those that are only there for others are marked ``hidden`` in their aliases."""
    found = []
    for folder in sorted(path for path in TARGETS.iterdir() if (path / "tasks").is_dir()):
        aliases = folder / "aliases"
        if not (aliases.exists() and "hidden" in aliases.read_text(encoding="utf-8").split()):
            found.append(folder.name)
    return found


@pytest.mark.parametrize("name", names())
def test_a_target_passes(sandbox: SandboxProcess, tmp_path: Path, name: str) -> None:
    """Given a running sandbox, then the target's tasks and all its assertions pass, and nothing warns."""
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "roles": [name]}]))
    inventory = tmp_path / "inventory.json"
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": local}}}))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(playbook)],
        cwd=tmp_path,
        env={
            **{key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ},
            "HOME": str(tmp_path),
            "ANSIBLE_ROLES_PATH": str(TARGETS),
            "ANSIBLE_NOCOLOR": "1",
            "REWIND_SANDBOX_CONNECTION": str(sandbox.connection_file),
            "REWIND_SANDBOX_DIR": str(sandbox.root),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    assert "[WARNING]" not in output and "[DEPRECATION" not in output, output[-6000:]
