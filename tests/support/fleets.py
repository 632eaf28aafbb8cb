# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many targets in one sandbox, two of which fail in different ways, and what a run over them costs."""

from __future__ import annotations

import bisect
import json
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.playbooks import Playbooks
from tests.support.targets import Target, Targets, text_of

IMPOSSIBLE = [{"name": "Nobody has so many users", "kind": "rows", "table": '"User"', "min": 10**9}]
LIMITS = {"coolify__rate_limit_per_minute": 200, "neon__requests_per_minute": 700, "neon__burst_per_second": 40}
"""The limits that the services really have."""


@dataclass
class Fleet:
    """Targets by name.

    :param lost: its Neon project does not exist.
    :param unsound: its data never satisfies its checks.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    lost: str = ""
    unsound: str = ""

    @property
    def names(self) -> list[str]:
        return list(self.targets)

    @property
    def sound(self) -> list[str]:
        return [name for name in self.targets if name not in (self.lost, self.unsound)]


def make_fleet(targets: Targets, count: int, lost: int, unsound: int) -> Fleet:
    """So many targets, each with a project, data and an application of its own."""
    names = [f"t{number:02}" for number in range(count)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda name: targets.make(name, rows=20), names))
    fleet = Fleet(dict(zip(names, made, strict=True)), names[lost], names[unsound])
    add = targets.playbooks.add_host
    for name, target in fleet.targets.items():
        add(name, rewind_sandbox_target=target.facts)
    gone = {**fleet.targets[fleet.lost].facts, "neon_project_id": "gone-river-00000000"}
    add(fleet.lost, rewind_sandbox_target=gone)
    add(fleet.unsound, rewind_sandbox_target=fleet.targets[fleet.unsound].facts, rewind_checks=IMPOSSIBLE)
    return fleet


def drilled(playbooks: Playbooks, names: Iterable[str]) -> None:
    """A drill of each of these was proven two days ago: what the log of drills says, without the drill."""
    at = text_of(datetime.now(UTC) - timedelta(days=2))
    playbooks.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (playbooks.state / "drills.jsonl").open("a", encoding="utf-8") as log:
        for name in names:
            log.write(json.dumps({"at": at, "target": name, "mode": "pitr", "ok": True, "seconds": 84.2}) + "\n")


def fleet_report(playbooks: Playbooks, verb: str) -> dict[str, dict[str, Any]]:
    """The newest report over all targets of a verb, by target."""
    path = sorted((playbooks.state / "reports" / "fleet").glob(f"*-{verb}-*.json"))[-1]
    for form in (".html", ".md"):
        assert path.with_suffix(form).read_text(encoding="utf-8")
    facts = json.loads(path.read_text(encoding="utf-8"))
    return {row["target"]: row for row in facts["fleet"]["targets"]}


def most_in_a_minute(requests: Iterable[dict[str, Any]], service: str, seconds: float = 60.0) -> int:
    """The most requests to a service in any span of so many seconds, by when they arrived."""
    instants = sorted(_instant(item["at"]) for item in requests if item["service"] == service)
    return max(
        (number + 1 - bisect.bisect_right(instants, at - seconds) for number, at in enumerate(instants)), default=0
    )


def _instant(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else datetime.fromisoformat(str(value)).timestamp()


class MemoryWatch:
    """The most memory, in bytes, that the ansible-playbook run by this process and its workers have together.

    As PSS, in which shared pages count once.
    """

    def __init__(self, every: float = 0.5) -> None:
        self.peak = 0
        self.most_processes = 0
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            found = _playbook_processes()
            self.peak = max(self.peak, sum(map(_pss, found)))
            self.most_processes = max(self.most_processes, len(found))


def _playbook_processes() -> list[int]:
    """The ansible-playbook that this process runs, and its workers."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
        except OSError:
            continue
    found: list[int] = []
    roots = [pid for pid in parents.get(os.getpid(), []) if b"ansible-playbook" in _command(pid)]
    while roots:
        found.append(roots.pop())
        roots += parents.get(found[-1], [])
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)


def children_cpu() -> float:
    """CPU seconds of all children that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system
