# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line prints, and its calls to the control API."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from sandbox.launch import StartFailed
from sandbox.settings import CLONE


class Progress:
    """Steps on a terminal: one line each, with how long it took."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._text = ""
        self._since = 0.0

    def step(self, text: str) -> None:
        """A new step begins."""
        self.done()
        self._text, self._since = text, time.monotonic()
        if self._live:
            print(f"  ...     {text}", end="", flush=True)

    def done(self) -> None:
        """The last step is over."""
        if self._text:
            start = "\r" if self._live else ""
            print(f"{start}  {time.monotonic() - self._since:5.1f} s {self._text}", flush=True)
            self._text = ""


def read_info(root: Path, pid: int) -> dict[str, Any] | None:
    """Where the daemon `pid` of `root` is; None while it is not ready. A killed one may have left such a file."""
    with contextlib.suppress(OSError, ValueError):
        info = json.loads((root / "daemon.json").read_text(encoding="utf-8"))
        if isinstance(info, dict) and info.get("pid") == pid:
            return info
    return None


def call(info: dict[str, Any], method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """One request to the control API. Raises `StartFailed` with what it answered."""
    request = urllib.request.Request(
        f"{info['control_url']}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {info['control_token']}", "Content-Type": "application/json"},
    )
    # No proxy: the shell's would be asked for a loopback address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise StartFailed(f"the sandbox answered {error.code}: {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise StartFailed(
            f"the sandbox does not answer ({error}). Start it again: bin/sandbox down; bin/sandbox up"
        ) from None


def addresses(info: dict[str, Any], connection_file: Path) -> str:
    """Where things are."""
    lines = [
        f"  Neon API      {info['neon_api_url']}",
        f"  Coolify API   {info['coolify_api_url']}",
        f"  PostgreSQL    127.0.0.1:{info['postgres_port']}",
    ]
    lines += [f"  {name:<13} {target['application_url']}" for name, target in info["targets"].items()]
    lines.append(f"  tokens in     {_short(connection_file)} (inventory/sandbox reads it)")
    return "\n".join(lines)


def next_commands() -> str:
    """What a newcomer does next."""
    return 'Next: ansible-playbook playbooks/backup.yml -e reason="a first backup"\nStop: bin/sandbox down'


def status(state: dict[str, Any], info: dict[str, Any]) -> str:
    """The human form of ``GET /control/status``."""
    lines = [f"The sandbox runs (pid {state['pid']}), state in {state['root']}."]
    if state["clock_offset"]:
        lines.append(f"Its clock shows {state['now']} ({state['clock_offset']:+.0f} s).")
    lines += [f"  Neon API      {info['neon_api_url']}", f"  Coolify API   {info['coolify_api_url']}"]
    lines.append(f"  PostgreSQL    127.0.0.1:{info['postgres_port']}")
    lines.append(f"  control       {info['control_url']}")
    for project in state["neon"].get("projects", []):
        lines += _project(project)
    for application in state["coolify"].get("applications", []):
        lines += _application(application)
    if faults := [fault for fault in state["faults"] if not fault["spent"]]:
        lines.append("Faults waiting: " + ", ".join(f"{f['id']} {f['effect']} on {f['service']}" for f in faults))
    return "\n".join(lines)


def _project(project: dict[str, Any]) -> list[str]:
    lines = [f"Project {project['name']} ({project['id']})"]
    for branch in project.get("branches", []):
        marks = [mark for mark in ("default", "protected") if branch.get(mark)]
        parent = f" from {branch['parent_id']}" if branch.get("parent_id") else ""
        extra = f" [{', '.join(marks)}]" if marks else ""
        lines.append(f"  {branch['name']:<28} {branch['id']} {branch['current_state']}{parent}{extra}")
        for endpoint in branch.get("endpoints", []):
            disabled = ", disabled" if endpoint.get("disabled") else ""
            lines.append(f"    {endpoint['type']} {endpoint['id']} {endpoint['current_state']}{disabled}")
    return lines


def _application(application: dict[str, Any]) -> list[str]:
    lines = [f"Application {application['name']} ({application['uuid']}) {application['status']}"]
    lines.append(f"  {application.get('url', '')} commit {str(application.get('commit', ''))[:12]}")
    for deployment in application.get("deployments", [])[:3]:
        lines.append(f"  deployment {deployment['deployment_uuid']} {deployment['status']} {deployment['created_at']}")
    return lines


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(CLONE)) if Path.cwd() == CLONE else str(path)
    return os.fspath(path)
