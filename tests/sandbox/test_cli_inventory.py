# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""inventory/sandbox: finds the running sandbox by itself, hands no secret out, says what to do when there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sandbox import CLONE, SandboxProcess

PLAYBOOK = """
- hosts: tracker,migrator
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ rewind_names | map('extract', vars) | list | to_json }}"
        dest: "{{ output }}/{{ inventory_hostname }}"
        mode: "0600"
      no_log: true
      vars:
        rewind_names: %s
"""
NAMES = [
    "rewind_environment",
    "rewind_neon_project_id",
    "rewind_neon_database",
    "rewind_neon_role",
    "rewind_coolify_application",
    "rewind_coolify_env_key",
    "rewind_application_url",
    "rewind_neon_api_url",
    "rewind_neon_api_key",
    "rewind_coolify_api_url",
    "rewind_coolify_access_token",
    "rewind_state_dir",
]
REAL = {"NEON_API_KEY": "napi_real" + "x9" * 20, "COOLIFY_ACCESS_TOKEN": "1|real" + "y7" * 20}


def ansible(
    program: str, *arguments: str, sandbox: SandboxProcess | None = None, folder: Path
) -> subprocess.CompletedProcess[str]:
    """One of ansible's programs over the sandbox inventory, with tokens of the real services in the environment."""
    environment = {
        "PATH": str(Path(sys.executable).parent) + ":/usr/bin:/bin",
        "HOME": str(folder),
        "ANSIBLE_CONFIG": str(folder / "none.cfg"),
        "REWIND_SANDBOX_CONNECTION": str(sandbox.connection_file if sandbox else folder / "none.json"),
        "LC_ALL": "C.UTF-8",
        **REAL,
    }
    (folder / "none.cfg").touch()
    command = [str(Path(sys.executable).parent / program), "-i", str(CLONE / "inventory" / "sandbox"), *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=90, check=False)


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    """A playbook that writes down every variable of both hosts."""
    path = tmp_path / "play.yml"
    path.write_text(PLAYBOOK % json.dumps(NAMES), encoding="utf-8")
    return path


def test_given_a_running_sandbox_when_a_play_uses_its_hosts_then_every_variable_is_the_sandboxes_own(
    sandbox: SandboxProcess, playbook: Path, tmp_path: Path
) -> None:
    ran = ansible("ansible-playbook", str(playbook), "-e", f"output={tmp_path}", sandbox=sandbox, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    connection = sandbox.connection
    for host in ("tracker", "migrator"):
        found = dict(zip(NAMES, json.loads((tmp_path / host).read_text(encoding="utf-8")), strict=True))
        target = connection["targets"][host]
        assert found == {
            "rewind_environment": "sandbox",
            **{f"rewind_{name}": target[name] for name in target},
            "rewind_neon_api_url": connection["neon_api_url"],
            "rewind_neon_api_key": connection["neon_api_key"],
            "rewind_coolify_api_url": connection["coolify_api_url"],
            "rewind_coolify_access_token": connection["coolify_access_token"],
            "rewind_state_dir": connection["state_dir"],
        }


def test_given_a_running_sandbox_when_the_inventory_is_listed_then_no_token_is_shown_and_migrator_is_no_default_target(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    listed = ansible("ansible-inventory", "--list", sandbox=sandbox, folder=tmp_path)
    assert listed.returncode == 0, listed.stderr
    for secret in ("neon_api_key", "coolify_access_token", "control_token"):
        assert sandbox.connection[secret] not in listed.stdout + listed.stderr
    groups = json.loads(listed.stdout)
    assert groups["rewind_targets"]["hosts"] == ["tracker"]
    assert groups["rewind_more"]["hosts"] == ["migrator"]
    checks = groups["_meta"]["hostvars"]["tracker"]["rewind_checks"]
    assert {"rows", "table", "sql", "connect"} == {check["kind"] for check in checks}


def test_given_no_sandbox_when_a_play_uses_its_hosts_then_it_fails_with_the_command_that_starts_one(
    playbook: Path, tmp_path: Path
) -> None:
    ran = ansible("ansible-playbook", str(playbook), "-e", f"output={tmp_path}", folder=tmp_path)
    assert ran.returncode == 2
    assert "The sandbox is not running. Start it: bin/sandbox up" in ran.stdout + ran.stderr
    assert not (tmp_path / "tracker").exists()


def test_given_a_killed_sandbox_when_a_play_uses_its_hosts_then_it_fails_likewise(
    playbook: Path, tmp_path: Path
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = {"pid": gone.pid, "neon_api_url": "http://127.0.0.1:9", "targets": {}}
    (tmp_path / "none.json").write_text(json.dumps(left), encoding="utf-8")
    ran = ansible("ansible-playbook", str(playbook), "-e", f"output={tmp_path}", folder=tmp_path)
    assert ran.returncode == 2
    assert "bin/sandbox up" in ran.stdout + ran.stderr
