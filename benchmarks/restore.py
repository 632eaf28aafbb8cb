# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a backup and a restore cost: wall time, the controller's CPU, requests, and what a writing client notices.

    .venv/bin/python benchmarks/restore.py

Starts a sandbox of its own, with short Coolify times, and stops it. The two strategies are measured side by side in one
run, each against an empty play. Nothing is asserted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CLONE))

from tests.support.sandbox import SandboxProcess  # noqa: E402

EMPTY_PLAY = "- hosts: tracker\n  gather_facts: false\n  tasks: []\n"


def timed(sandbox: Any, *arguments: str) -> dict[str, Any]:
    """One ansible-playbook: seconds, CPU seconds of the controller, requests by service and method."""
    sandbox.control.call("DELETE", "/requests")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, **sandbox.environment}
    command = [str(CLONE / ".venv/bin/ansible-playbook"), *arguments]
    ran = subprocess.run(command, cwd=CLONE, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}")
    requests = Counter(
        f"{item['service']} {item['method']}" for item in sandbox.control.call("GET", "/requests")["requests"]
    )
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "requests": dict(requests)}


def with_writer(sandbox: Any, *arguments: str) -> dict[str, Any]:
    """The same while a client writes through the application every 50 ms; adds what it noticed."""
    url = sandbox.connection["targets"]["tracker"]["application_url"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "writer.json"
        command = [sys.executable, "-m", "sandbox.tracker.writer", "--url", url, "--every", "0.05", "--out", str(out)]
        writer = subprocess.Popen(command, cwd=CLONE, stdout=subprocess.DEVNULL)
        try:
            measured = timed(sandbox, *arguments)
        finally:
            writer.terminate()
            writer.wait(timeout=30)
        noticed = json.loads(out.read_text())
    return {**measured, "writer": {key: noticed.get(key) for key in ("good", "failed", "longest_gap", "gaps")}}


def show(name: str, measured: dict[str, Any], empty: float) -> None:
    requests = ", ".join(f"{key} {count}" for key, count in sorted(measured["requests"].items()))
    ratio = measured["wall"] / empty
    print(f"{name:<22} {measured['wall']:6.1f} s  CPU {measured['cpu']:5.1f} s  {ratio:5.1f} x empty play")
    print(f"{'':<22} requests: {requests or 'none'}")
    if "writer" in measured:
        print(f"{'':<22} writer: {measured['writer']}")


def main() -> None:
    sandbox = SandboxProcess()
    sandbox.up(profile="demo")
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as play:
            play.write(EMPTY_PLAY)
            play.flush()
            empty = timed(sandbox, play.name)
        show("empty play", empty, empty["wall"])
        show("backup", timed(sandbox, "playbooks/backup.yml", "-e", "reason=benchmark"), empty["wall"])
        for strategy in ("in_place", "repoint"):
            point = datetime.now(UTC).isoformat(timespec="milliseconds")
            time.sleep(1.1)
            asked = ("playbooks/restore.yml", "-e", f"point_in_time={point}", "-e", f"cutover={strategy}")
            show(f"{strategy} --check", timed(sandbox, *asked, "--check"), empty["wall"])
            show(strategy, with_writer(sandbox, *asked), empty["wall"])
            show(f"{strategy} again", timed(sandbox, *asked), empty["wall"])
    finally:
        sandbox.down()


if __name__ == "__main__":
    main()
