# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cleanup of thousands of old backups costs: requests, seconds, peak memory of the controller's processes.

    .venv/bin/python benchmarks/cleanup.py [number of branches, 4990 by default]

Neon allows 5000 branches in a project. Starts a sandbox of its own without a limit of requests and with short
operations, and stops it: what is measured is the controller. On Neon each deletion takes about half a second during
which the project takes no other, and an account may send 700 requests a minute; both are computed from the numbers.
Nothing is asserted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CLONE))

from tests.support.sandbox import SandboxProcess  # noqa: E402

PLAYBOOK = "playbooks/cleanup.yml"
REQUESTS_PER_MINUTE = 700
SECONDS_PER_DELETION = 0.5


def fill(sandbox: SandboxProcess, number: int) -> None:
    """Backups of the last two years as this collection would have made them, the newest of them verified."""
    project = sandbox.connection["targets"]["tracker"]["neon_project_id"]
    first, step = datetime.now(UTC) - timedelta(days=730), timedelta(days=720) / number
    state = Path(sandbox.connection["state_dir"])
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / "catalogue.jsonl").open("a", encoding="utf-8") as catalogue:
        for start in range(0, number, 500):
            wanted = [backup(first + step * index) for index in range(start, min(start + 500, number))]
            made = sandbox.control.call("POST", f"/projects/{project}/branches", {"branches": wanted})["branches"]
            for branch in made:
                record = {"branch_id": branch["id"], "name": branch["name"], "target": "tracker", "purpose": "backup"}
                for event in ("made", "verified"):
                    catalogue.write(json.dumps({"at": first.isoformat(), "event": event, **record}) + "\n")


def backup(at: datetime) -> dict[str, Any]:
    annotation = {"tool": "rewind.database", "purpose": "backup", "target": "tracker", "reason": "nightly"}
    return {"name": f"backup-{at:%Y%m%d-%H%M%S}", "created_at": at.isoformat(), "annotation": annotation}


class Memory(threading.Thread):
    """The most that a process and its children have resided in, all together, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.ended = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, sum(map(resident, family(self.pid))))


def family(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [pid, *(member for child in listed.split() for member in family(int(child)))]


def resident(pid: int) -> int:
    """Bytes of a process that no other one shares, so that a forked worker does not count twice."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return sizes.get("Pss", 0)


def measured(sandbox: SandboxProcess, *options: str) -> dict[str, Any]:
    """One ansible-playbook."""
    sandbox.control.call("DELETE", "/requests")
    command = [str(CLONE / ".venv/bin/ansible-playbook"), PLAYBOOK, *options]
    environment = {**os.environ, **sandbox.environment}
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=CLONE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    memory = Memory(process.pid)
    memory.start()
    out = process.communicate()[0]
    memory.ended.set()
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(options)} failed:\n{out[-4000:]}")
    counted = Counter(
        f"{item['service']} {item['method']} {item['status']}"
        for item in sandbox.control.call("GET", "/requests")["requests"]
    )
    return {"seconds": seconds, "peak": memory.peak, "requests": counted, "out": out}


def show(name: str, result: dict[str, Any]) -> None:
    total = sum(result["requests"].values())
    print(f"{name:<28} {result['seconds']:7.1f} s   {result['peak'] / 2**20:6.0f} MiB   {total:6} requests")
    print(f"{'':<28} {', '.join(f'{key}: {count}' for key, count in sorted(result['requests'].items()))}")


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 4990
    sandbox = SandboxProcess("cleanup")
    try:
        sandbox.up(profile="test", save_seconds=10)
        began = time.monotonic()
        fill(sandbox, number)
        print(f"{number} backups made in {time.monotonic() - began:.1f} s")
        asked = ("-e", f"max_deletions={number}")
        show("the list alone", measured(sandbox, *asked))
        deleted = measured(sandbox, *asked, "-e", "confirm=tracker")
        show("deleted", deleted)
        show("again", measured(sandbox, *asked, "-e", "confirm=tracker"))
        neon = sum(count for key, count in deleted["requests"].items() if key.startswith("neon"))
        print(
            f"on Neon at least {number * SECONDS_PER_DELETION / 60:.0f} min for the deletions themselves, one after the"
            f" other, and {neon / REQUESTS_PER_MINUTE:.0f} min for {neon} requests at {REQUESTS_PER_MINUTE} a minute"
        )
    finally:
        sandbox.remove()


if __name__ == "__main__":
    main()
