# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending an ansible-playbook with SIGKILL at a point of its journal, as a crashed controller would."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import CLONE, Control

Fault = dict[str, Any]
# Generous: the machine may be busy with other work.
PATIENCE = 240.0


def inside(service: str, method: str, path: str) -> Callable[[str], Fault]:
    """What makes a fault of a request: ``hang`` (its work is not done) or ``hang_after`` (it is, and nobody knows)."""
    return lambda effect: {"service": service, "method": method, "path": path, "effect": effect}


MAKE_BRANCH = inside("neon", "POST", "/branches$")
CHANGE_BRANCH = inside("neon", "PATCH", "/branches/[^/]+$")
DELETE_BRANCH = inside("neon", "DELETE", "/branches/[^/]+$")
SET_DEFAULT = inside("neon", "POST", "/branches/[^/]+/set_as_default$")
RESTORE_IN_PLACE = inside("neon", "POST", "/branches/[^/]+/restore$")
FINALIZE = inside("neon", "POST", "/branches/[^/]+/finalize_restore$")
MAKE_SNAPSHOT = inside("neon", "POST", "/branches/[^/]+/snapshot$")
RESTORE_SNAPSHOT = inside("neon", "POST", "/snapshots/[^/]+/restore$")
DELETE_SNAPSHOT = inside("neon", "DELETE", "/snapshots/[^/]+$")
SET_SCHEDULE = inside("neon", "PUT", "/branches/[^/]+/backup_schedule$")
ADD_COMPUTE = inside("neon", "POST", "/endpoints$")
DISABLE = inside("neon", "PATCH", "/endpoints/[^/]+$")
REMOVE_COMPUTE = inside("neon", "DELETE", "/endpoints/[^/]+$")
PAUSE = inside("coolify", "PATCH", "/applications/[^/]+$")
ENV = inside("coolify", "PATCH", "/applications/(?!rewind0probe)[^/]+/envs/bulk$")
DEPLOY = inside("coolify", "POST", "/(rollback|restart|deploy)$")


def nth(fault: Fault, number: int) -> Fault:
    """The same of the request of this number: what a way back sends, for instance, a cutover has sent before."""
    return {**fault, "skip": number - 1}


@dataclass(frozen=True)
class Point:
    """Where a run is killed: when its journal gets a line of this step and phase.

    :param step: a regular expression for the whole name of the step.
    :param fault: the request, after that line, in which it hangs when it is killed: before or after its work was done.
    """

    step: str
    phase: str = "intent"
    fault: Fault | None = None

    def __str__(self) -> str:
        name = re.sub(r"\W+", "", self.step)
        inside = {"hang": "-unsent", "hang_after": "-unanswered"}[self.fault["effect"]] if self.fault else ""
        return f"{name}-{self.phase}{inside}"

    def stands_in(self, lines: Sequence[dict[str, Any]]) -> bool:
        return any(re.fullmatch(self.step, line["step"]) and line["phase"] == self.phase for line in lines)


def points(always: Sequence[Point], others: Sequence[Point]) -> list[Any]:
    """Those that are always tried, and those that are only among the long tests."""
    return [*always, *(pytest.param(point, marks=pytest.mark.long) for point in others)]


def journals(state: Path, target: str) -> list[Path]:
    """The journals of a target's restores, oldest first."""
    return sorted((state / "journal" / target).glob("*-restore-*.jsonl"))


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]


class Process:
    """An ansible-playbook that runs beside the test."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._output = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # `close`
        self._process = subprocess.Popen(
            command,
            cwd=CLONE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def text(self) -> str:
        """All that it has printed, on one line."""
        self._output.seek(0)
        return " ".join(self._output.read().split())

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Looks every few milliseconds. Fails the test when the process ends first, or hangs."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, f"it ended before {what}: {self.text[-3000:]}"
            assert time.monotonic() < deadline, f"{what} did not come true in {PATIENCE} s: {self.text[-3000:]}"
            time.sleep(0.002)

    def wait(self) -> int:
        """Its exit status."""
        return self._process.wait(timeout=PATIENCE)

    def workers(self) -> list[int]:
        """The processes that it has forked for its tasks, and theirs."""
        return list(_descendants(self.pid))

    def crash(self) -> None:
        """SIGKILL to all of it at once: nothing of it can act on the end of another part."""
        os.kill(self.pid, signal.SIGSTOP)
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to its process group, as ``kill -9`` of ansible-playbook does: its workers are not in that."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Ends it where it still runs."""
        if self._process.poll() is None:
            self.crash()
        self._output.close()


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def crash_at(process: Process, point: Point, control: Control, newest: Callable[[], list[dict[str, Any]]]) -> None:
    """Kills `process` at the point; the faults that held it there are gone afterwards.

    :param newest: the lines of the journal that it writes.
    """
    fault = control.fault(**{"seconds": 600.0, **point.fault}) if point.fault else None
    try:
        process.wait_until(lambda: point.stands_in(newest()), f"the line {point}")
        if fault is not None:
            process.wait_until(lambda: _hit(control, fault), f"the request of {point}")
    finally:
        process.crash()
        if fault is not None:
            control.call("DELETE", f"/faults/{fault}")


def _hit(control: Control, fault: str) -> bool:
    found = {item["id"]: item for item in control.call("GET", "/faults")["faults"]}
    return bool(found[fault]["hanging"])
