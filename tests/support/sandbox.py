# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox of a test's own: started, talked to and stopped as a user would, on a folder and ports of its own."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

CLONE = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], Any], *, seconds: float = 15.0, what: str = "the condition") -> Any:
    """The first true value of `condition()`. Raises AssertionError past the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.02)


def memory_folder() -> Path:
    """Where test state goes: memory where there is some, because clusters are many small files."""
    for candidate in (Path("/dev/shm"), Path("/var/tmp")):
        if os.access(candidate, os.W_OK) and shutil.disk_usage(candidate).free > 512 * 1024 * 1024:
            return candidate
    return Path(tempfile.gettempdir())


class Control:
    """The control API of a running sandbox."""

    def __init__(self, url: str, token: str) -> None:
        self.client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30.0, trust_env=False
        )

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """One request; fails the test on any error status."""
        answer = self.client.request(method, path, json=body, params=query)
        assert answer.is_success, f"control {method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def status(self) -> dict[str, Any]:
        """Everything the sandbox says about itself."""
        return dict(self.call("GET", "/status"))

    def fault(self, effect: str, **how: Any) -> str:
        """Registers a fault and returns its id."""
        return str(self.call("POST", "/faults", {"effect": effect, **how})["id"])

    def latency(self, service: str, seconds: float) -> None:
        """Delays every answer of a service."""
        self.call("POST", "/latency", {"service": service, "seconds": seconds})

    def advance(self, seconds: float) -> None:
        """Moves the control planes' clock."""
        self.call("POST", "/clock", {"advance_seconds": seconds})

    def settings(self, **values: Any) -> None:
        """Changes settings; write dots as two underscores (coolify__build_seconds=0.2)."""
        self.call("POST", "/settings", {name.replace("__", "."): value for name, value in values.items()})

    def last_request(self) -> int:
        """The number of the newest request, to ask for what came after it."""
        return int(self.call("GET", "/requests", since=2**40)["last"])

    def requests(self, since: int = 0, service: str | None = None) -> list[dict[str, Any]]:
        """What was asked of the services since then."""
        query: dict[str, Any] = {"since": since} | ({"service": service} if service else {})
        return list(self.call("GET", "/requests", None, **query)["requests"])

    def calm(self) -> None:
        """No faults, no latency, the clock on real time."""
        self.call("DELETE", "/faults")
        for service in ("neon", "coolify"):
            self.latency(service, 0)
        self.call("POST", "/clock", {"offset_seconds": 0})


class _Template:
    """The empty PostgreSQL cluster of the first sandbox, given to the later ones: initdb takes most of a second."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def keep(self, root: Path) -> None:
        """Copies what a stopped or running sandbox made, the first time that its store says the password."""
        if self._folder is not None or not (root / "template").is_dir():
            return
        # With ``save_seconds`` the store is written later.
        kept = json.loads((root / "store.json").read_text(encoding="utf-8")).get("engine", {})
        if "cloud_admin_password" not in kept:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="rewind-template-", dir=memory_folder()))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self._copy(root / "template", self._folder / "template")
        engine = {"cloud_admin_password": kept["cloud_admin_password"]}
        (self._folder / "store.json").write_text(json.dumps({"engine": engine}))

    def give(self, root: Path) -> None:
        """Puts it into the folder of a sandbox that was never started."""
        if self._folder is not None:
            (root / "rewind-sandbox").touch()
            self._copy(self._folder / "template", root / "template")
            shutil.copy(self._folder / "store.json", root / "store.json")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", source, target], check=True)  # with owners, which shutil does not keep


_TEMPLATE = _Template()


def _own_ports() -> str:
    """Ports of this test process's own: a sandbox that a test has killed finds its ports as it left them."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    return f"{20000 + number * 1500}-{21499 + number * 1500}"


class SandboxProcess:
    """One sandbox through its command line."""

    def __init__(self, name: str = "test") -> None:
        self.root = Path(tempfile.mkdtemp(prefix=f"rewind-{name}-", dir=memory_folder()))
        self.connection_file = self.root / "connection.json"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("REWIND_", "NEON_", "COOLIFY_"))},
            "REWIND_SANDBOX_DIR": str(self.root),
            "REWIND_SANDBOX_CONNECTION": str(self.connection_file),
            "REWIND_SANDBOX_PORTS": _own_ports(),
            "PYTHONPATH": str(CLONE),
        }

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command, as ``bin/sandbox`` would run it."""
        result = subprocess.run(
            [sys.executable, "-m", "sandbox", *arguments],
            env=self.environment,
            cwd=CLONE,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"sandbox {' '.join(arguments)}: {result.stdout}{result.stderr}\n{self.log_tail()}")
        return result

    def up(self, *arguments: str, profile: str | None = "test", **settings: Any) -> subprocess.CompletedProcess[str]:
        """Starts it; settings as in `Control.settings`."""
        if not any(self.root.iterdir()):
            _TEMPLATE.give(self.root)
        chosen = [*(["--profile", profile] if profile else [])]
        for name, value in settings.items():
            chosen += ["--set", f"{name.replace('__', '.')}={value}"]
        started = self.run("up", *chosen, *arguments)
        _TEMPLATE.keep(self.root)
        return started

    def down(self) -> subprocess.CompletedProcess[str]:
        """Stops it."""
        return self.run("down")

    def kill(self) -> int:
        """SIGKILL to the daemon; returns its process id."""
        pid = int(self.connection["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    @property
    def connection(self) -> dict[str, Any]:
        """The connection file's content."""
        return dict(json.loads(self.connection_file.read_text(encoding="utf-8")))

    @property
    def control(self) -> Control:
        """A client of the control API."""
        connection = self.connection
        return Control(connection["control_url"], connection["control_token"])

    def neon(self) -> httpx.Client:
        """An HTTP client of the Neon side with the personal key."""
        return _client(self.connection["neon_api_url"], self.connection["neon_api_key"])

    def coolify(self) -> httpx.Client:
        """An HTTP client of the Coolify side with the root token."""
        return _client(self.connection["coolify_api_url"], self.connection["coolify_access_token"])

    def log_tail(self, lines: int = 30) -> str:
        """The end of the daemon's log."""
        with contextlib.suppress(OSError):
            text = (self.root / "daemon.log").read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def processes(self) -> list[str]:
        """Every process whose command line, environment or working folder is this sandbox's (Linux)."""
        found = []
        mark = str(self.root).encode()
        for folder in Path("/proc").glob("[0-9]*"):
            if folder.name == str(os.getpid()):
                continue
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes()
                working = str((folder / "cwd").readlink()).encode()
                if any(mark in text for text in (command, working, (folder / "environ").read_bytes())):
                    found.append(f"{folder.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
        return found

    def remove(self) -> None:
        """Stops it and deletes everything."""
        try:
            self.run("down", check=False)
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def _client(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    return httpx.Client(base_url=url, headers=headers, timeout=30.0, trust_env=False)
