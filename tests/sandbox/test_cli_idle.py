# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line where nothing runs: what a newcomer sees first."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.launch import StartFailed, environment
from sandbox.ports import pick_port
from sandbox.show import call
from tests.support.sandbox import CLONE, SandboxProcess


@pytest.fixture
def idle() -> Iterator[SandboxProcess]:
    """A sandbox that was never started."""
    process = SandboxProcess("cli")
    yield process
    process.remove()


def test_given_nothing_runs_when_asked_for_status_then_it_says_how_to_start(idle: SandboxProcess) -> None:
    shown = idle.run("status", check=False)
    assert shown.returncode == 3
    assert "bin/sandbox up" in shown.stdout
    machine = idle.run("status", "--json", check=False)
    assert json.loads(machine.stdout) == {"running": False, "root": str(idle.root)}


def test_given_nothing_runs_when_stopped_then_that_is_no_error(idle: SandboxProcess) -> None:
    assert idle.run("down").stdout == "The sandbox is not running.\n"


def test_given_no_log_when_asked_for_it_then_it_says_so(idle: SandboxProcess) -> None:
    shown = idle.run("logs", check=False)
    assert shown.returncode == 1
    assert "There is no log yet" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "coolify.bild_seconds=1"], "there is no setting coolify.bild_seconds; known: coolify.build_seconds"),
        (["--set", "coolify.build_seconds"], "write it as name=value"),
        (["--set", "coolify.version=5"], "one of 4.0.0-beta.434, 4.1.2, 4.2.0, 4.3.11"),
    ],
)
def test_given_a_wrong_setting_when_started_then_one_line_says_what_is_wrong(
    idle: SandboxProcess, arguments: list[str], said: str
) -> None:
    result = idle.run("up", *arguments, check=False)
    assert result.returncode == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (idle.root / "daemon.log").exists()


def test_given_a_folder_of_someone_else_when_started_or_reset_then_it_is_refused_untouched(
    idle: SandboxProcess,
) -> None:
    (idle.root / "letters.txt").write_text("dear", encoding="utf-8")
    for command in ("up", "reset"):
        result = idle.run(command, check=False)
        assert result.returncode == 1
        assert "REWIND_SANDBOX_DIR" in result.stderr
    assert [path.name for path in idle.root.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize("place", ["/dev/null/x", "/etc/passwd"])
@pytest.mark.parametrize("command", ["up", "reset", "down", "status", "logs"])
def test_given_a_place_that_is_no_folder_when_used_then_one_line_says_so(
    idle: SandboxProcess, place: str, command: str
) -> None:
    result = idle.run(command, "--root", place, check=False)
    assert result.returncode in (1, 3) or command == "down"
    assert "Traceback" not in result.stderr
    assert (result.stdout + result.stderr).count("\n") == 1
    if command in ("up", "reset"):
        assert "set REWIND_SANDBOX_DIR to a folder of your own" in result.stderr


def test_given_a_damaged_store_when_started_then_its_name_and_the_way_out_are_said_and_reset_takes_it(
    idle: SandboxProcess,
) -> None:
    (idle.root / "rewind-sandbox").touch()
    (idle.root / "store.json").write_text('{"engine": {', encoding="utf-8")
    result = idle.run("up", check=False)
    assert result.returncode == 1
    assert str(idle.root / "store.json") in result.stderr
    assert "bin/sandbox reset" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "cannot be read; new ones are made" in idle.run("reset").stdout
    assert json.loads((idle.root / "store.json").read_text(encoding="utf-8")) == {"engine": {}}


def test_given_a_daemon_that_starts_after_a_kill_when_asked_then_the_dead_ones_file_is_not_believed(
    idle: SandboxProcess,
) -> None:
    (idle.root / "rewind-sandbox").touch()
    gone = {"pid": 1, "root": str(idle.root), "control_url": "http://127.0.0.1:1/control", "control_token": "x"}
    (idle.root / "daemon.json").write_text(json.dumps(gone), encoding="utf-8")
    with (idle.root / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        shown = idle.run("status", check=False)
        assert (shown.returncode, shown.stderr) == (3, "")
        assert "(pid 4711) is starting or stopping" in shown.stdout
        machine = json.loads(idle.run("status", "--json", check=False).stdout)
        assert machine == {"running": False, "starting": True, "root": str(idle.root)}
        again = idle.run("up", check=False)
        assert again.returncode == 1
        assert "(pid 4711) is starting or stopping" in again.stderr


def test_given_the_script_behind_a_link_when_called_from_elsewhere_then_it_finds_its_clone(
    idle: SandboxProcess, tmp_path: Path
) -> None:
    link = tmp_path / "sandbox"
    link.symlink_to(CLONE / "bin" / "sandbox")
    clean = {name: value for name, value in idle.environment.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [link, "status"], env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (3, "")
    assert "bin/sandbox up" in result.stdout


def test_given_tokens_in_a_shell_when_the_daemon_starts_then_they_do_not_reach_it() -> None:
    shell = {
        "PATH": "/usr/bin",
        "HOME": "/home/u",
        "NEON_API_KEY": "real",
        "COOLIFY_ACCESS_TOKEN": "real",
        "DATABASE_URL": "postgresql://real",
        "PGPASSWORD": "real",
        "PGHOST": "real",
        "HTTPS_PROXY": "real",
        "REWIND_SANDBOX_DIR": "/s",
        "REWIND_STATE_DIR": "real",
    }
    passed = environment(shell)
    assert "real" not in "".join(passed.values())
    assert {"PATH", "HOME", "REWIND_SANDBOX_DIR"} <= set(passed)


def test_given_a_daemon_that_does_not_answer_when_called_then_the_error_says_what_to_do() -> None:
    info = {"control_url": "http://127.0.0.1:9/control", "control_token": "t" * 32}
    with pytest.raises(StartFailed, match="bin/sandbox down; bin/sandbox up"):
        call(info, "GET", "status")


def test_given_a_setting_that_is_kept_when_a_profile_is_chosen_then_the_profile_replaces_it(
    idle: SandboxProcess,
) -> None:
    # Reset keeps settings as `up` does, and starts nothing that did not run.
    idle.run("reset", "--set", "coolify.queue_limit=3")
    assert json.loads((idle.root / "settings.json").read_text(encoding="utf-8")) == {"coolify.queue_limit": 3}
    idle.run("reset", "--profile", "demo", "--set", "coolify.build_seconds=9", "--rows", "50")
    kept = json.loads((idle.root / "settings.json").read_text(encoding="utf-8"))
    assert "coolify.queue_limit" not in kept
    assert (kept["coolify.build_seconds"], kept["rows"], kept["coolify.status_poll_seconds"]) == (9.0, 50, 1.0)
    assert idle.root.stat().st_mode & 0o077 in (0, 0o011)


def test_given_a_range_of_ports_that_is_none_when_started_then_one_line_says_how_to_write_it(
    idle: SandboxProcess,
) -> None:
    idle.environment["REWIND_SANDBOX_PORTS"] = "many"
    result = idle.run("up", check=False)
    assert result.returncode == 1
    assert "REWIND_SANDBOX_PORTS=many: write it as first-last" in result.stderr


def test_given_a_range_of_ports_when_picked_then_they_come_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWIND_SANDBOX_PORTS", "29990-29999")
    taken: list[int] = []
    for _ in range(3):
        taken.append(pick_port(taken=taken))
    assert len(set(taken)) == 3
    assert all(29990 <= port <= 29999 for port in taken)
