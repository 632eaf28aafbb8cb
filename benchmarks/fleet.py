# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs over many targets cost: wall time, requests, peak memory, and the controller's CPU per target.

    .venv/bin/python benchmarks/fleet.py [--targets 50] [--restored 10] [--forks 10] [--coolify-limit 200]

Starts a sandbox of its own, with short times and the limits that both APIs really have, and stops it. Two targets fail
in different ways. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CLONE))

from tests.support import playbooks as support  # noqa: E402
from tests.support.fleets import (  # noqa: E402
    LIMITS,
    Fleet,
    MemoryWatch,
    children_cpu,
    drilled,
    fleet_report,
    make_fleet,
    most_in_a_minute,
)
from tests.support.sandbox import SandboxProcess  # noqa: E402
from tests.support.targets import Targets, text_of  # noqa: E402

# An audit asks each of the account's applications: with 50 of them, and 200 requests a minute, it is the limit that
# says how long it takes.
LONGEST = 7200.0


def measured(playbooks: support.Playbooks, verb: str, names: list[str], forks: int, **variables: Any) -> None:
    control = playbooks.sandbox.control
    control.call("DELETE", "/requests")
    before = children_cpu()
    with MemoryWatch() as memory:
        played = playbooks.play(
            f"playbooks/{verb}.yml", "--forks", str(forks), timeout=LONGEST, target=",".join(names), **variables
        )
    cpu = children_cpu() - before
    requests = control.requests()
    each = Counter(item["service"] for item in requests)
    refused = sum(1 for item in requests if item["status"] == 429)
    outcomes = Counter(row["outcome"] for row in fleet_report(playbooks, verb).values())
    told = ", ".join(f"{count} {what}" for what, count in outcomes.items())
    print(f"{verb} of {len(names)} at forks {forks}: {played.seconds:.0f} s; {told}; exit code {played.returncode}")
    for service, count in sorted(each.items()):
        most = most_in_a_minute(requests, service)
        print(f"  {service}: {count} requests, {count / len(names):.1f} a target, at most {most} in any minute")
    print(f"  answers 429: {refused}")
    print(f"  peak memory: {memory.peak / 2**20:.0f} MiB in {memory.most_processes} processes")
    print(f"  controller CPU: {cpu:.1f} s, {cpu / len(names):.2f} s a target", flush=True)


def all_of_them(playbooks: support.Playbooks, fleet: Fleet, restored: int, forks: int) -> None:
    names = fleet.names
    point = text_of(max(target.say(f"good {name}") for name, target in fleet.targets.items()))
    for target in fleet.targets.values():
        target.say("bad")
    measured(playbooks, "backup", names, forks, reason="nightly")
    drilled(playbooks, names)
    measured(playbooks, "audit", names, forks)
    measured(playbooks, "restore", names[-restored:], forks, point_in_time=point, cutover="repoint")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--targets", type=int, default=50)
    asked.add_argument("--restored", type=int, default=10)
    asked.add_argument("--forks", type=int, default=10)
    asked.add_argument("--coolify-limit", type=int, default=200, help="requests a minute, Coolify's API_RATE_LIMIT")
    options = asked.parse_args()
    sandbox = SandboxProcess("fleet")
    sandbox.up(**{**LIMITS, "coolify__rate_limit_per_minute": options.coolify_limit})
    try:
        playbooks = support.Playbooks(sandbox, 20250113)
        began = time.monotonic()
        count = options.targets
        fleet = make_fleet(Targets(playbooks, sandbox.control), count, lost=count - 2, unsound=count - 1)
        print(f"{count} targets made in {time.monotonic() - began:.0f} s", flush=True)
        all_of_them(playbooks, fleet, options.restored, options.forks)
    finally:
        sandbox.remove()


if __name__ == "__main__":
    main()
