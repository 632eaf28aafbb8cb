# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saying yes to a production target: who is asked on a terminal, who has to be named, and whose answer counts."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
CONFIRM = "Type the target's name ("
TASKS = [
    {"name": "reset", "ansible.builtin.set_fact": {"__cutover_answer": {}, "__cutover_asks": False}},
    {
        "name": "ask",
        "ansible.builtin.include_role": {"name": "rewind.database.cutover", "tasks_from": "ask"},
        "vars": {
            "cutover_target": "{{ inventory_hostname }}",
            "cutover_ask_confirm": "{{ confirm | default('') }}",
            "cutover_ask_needed": "{{ is_production }}",
            "cutover_ask_verb": "cut over",
            "cutover_ask_state": "The branch restore-20250113-142500 is ready and verified.",
        },
    },
]


def targets(folder: Path, **environments: str) -> None:
    """An inventory of targets whose plan is made; the order is that of the batch."""
    hosts = {
        name: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "is_production": environment == "production",
        }
        for name, environment in environments.items()
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))


def play(folder: Path, *options: str, answer: str = "", serial: int = 0, terminal: bool = True) -> tuple[int, str]:
    """Run it on a terminal, where `answer` is typed at every prompt; the exit code and all that was shown."""
    content = {"hosts": "all", "gather_facts": False, "tasks": TASKS, **({"serial": serial} if serial else {})}
    (folder / "play.json").write_text(json.dumps([content]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", *options, "play.json"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "COLUMNS": "200"}
    environment.pop("ANSIBLE_CONFIG", None)
    if not terminal:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return done.returncode, " ".join(done.stdout.split())
    child, screen = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(command[0], command, environment)
    return _on_terminal(child, screen, answer)


def _on_terminal(child: int, screen: int, answer: str) -> tuple[int, str]:
    shown, typed, until = b"", 0, time.monotonic() + 60
    try:
        while time.monotonic() < until:
            quiet = not select.select([screen], [], [], 0.5)[0]
            prompts = shown.count(CONFIRM.encode())
            if quiet and prompts > typed:
                # Only when nothing more is shown: what is typed before Ansible listens is thrown away.
                os.write(screen, f"{answer}\r".encode())
                typed = prompts
            if quiet:
                continue
            try:
                part = os.read(screen, 65536)
            except OSError:
                part = b""
            if not part:
                break
            shown += part
        else:
            os.kill(child, signal.SIGKILL)
            raise AssertionError(f"it did not end: {shown.decode()[-2000:]}")
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), " ".join(shown.decode().split())
    finally:
        os.close(screen)


@pytest.mark.parametrize("order", [("tracker", "staging"), ("staging", "tracker")])
def test_the_only_production_target_of_a_batch_is_asked_for_wherever_it_stands(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """Given a batch of two of which one is production, then it is asked for, and its name is a yes."""
    targets(tmp_path, **{name: {"tracker": "production"}.get(name, "staging") for name in order})
    code, shown = play(tmp_path, answer="tracker")
    assert code == 0, shown
    assert shown.count("Type the target's name (tracker)") >= 1 and "name (staging)" not in shown


def test_anything_else_is_a_no(tmp_path: Path) -> None:
    """Given another answer, then the run stops and says how to go on."""
    targets(tmp_path, tracker="production")
    code, shown = play(tmp_path, answer="yes")
    assert code == 2 and "-e confirm=tracker" in shown and "restore-20250113-142500" in shown


def test_two_production_targets_in_one_batch_have_to_be_named(tmp_path: Path) -> None:
    """Given two, then nobody is asked: both names are wanted, and one name is a yes to one of them."""
    targets(tmp_path, tracker="production", shop="production")
    code, shown = play(tmp_path, answer="tracker")
    assert code == 2 and CONFIRM not in shown and "-e confirm=tracker,shop" in shown
    code, shown = play(tmp_path, "-e", "confirm=tracker", terminal=False)
    assert code == 2 and "shop is a production target" in shown and "tracker is a production target" not in shown
    assert play(tmp_path, "-e", "confirm=tracker,shop", terminal=False)[0] == 0


def test_each_batch_is_asked_for_its_own(tmp_path: Path) -> None:
    """Given serial batches of one, then each target is asked for, and the answer to one is none to the other."""
    targets(tmp_path, tracker="production", shop="production")
    code, shown = play(tmp_path, answer="tracker", serial=1)
    assert code == 2, shown
    assert "Type the target's name (tracker)" in shown and "Type the target's name (shop)" in shown
    assert "shop is a production target" in shown and "tracker is a production target" not in shown


def test_without_a_terminal_it_refuses(tmp_path: Path) -> None:
    """Given no terminal, then nothing is waited for and the command that goes on is shown."""
    targets(tmp_path, tracker="production")
    code, shown = play(tmp_path, terminal=False)
    assert code == 2 and "-e confirm=tracker" in shown
    assert play(tmp_path, "--check", terminal=False)[0] == 0, "a check cuts nothing over"
