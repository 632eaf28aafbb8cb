# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that writes (or reads) through the application at a steady pace and tells when it could not.

    python -m sandbox.tracker.writer --url http://127.0.0.1:8080 --every 0.05 --out gaps.json

Runs until SIGTERM, SIGINT or `--seconds`, then prints a summary as JSON (and writes it to `--out`).
A gap lasts from the last answer that was good to the next one that is.

With `--log`, one JSON line per request: `begun` and `ended` (microseconds, UTC), `ok`, then what the application
answered (`id`, `user`, `quest`, `status`, `updated_at`, `created`) or the `error`. A write that was acknowledged was
committed between the two instants; of one that was not, nobody knows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import aiohttp

Mode = Literal["write", "read"]


@dataclass
class Gap:
    """A time without a good answer. `seconds` counts from the last good answer to the next."""

    began: str
    seconds: float = 0.0
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    ended: str | None = None


class Writer:
    """One client; `run` it, `stop` it, then read `summary`."""

    def __init__(
        self, url: str, *, every: float = 0.05, mode: Mode = "write", timeout: float = 5.0, log: TextIO | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.log = log
        self.every = every
        self.mode = mode
        self.timeout = timeout
        self.good = 0
        self.failed = 0
        self.pids: Counter[int] = Counter()
        self.hosts: Counter[str] = Counter()
        self.gaps: list[Gap] = []
        self.started_at = ""
        self.ended_at = ""
        self.longest_pause = 0.0
        """Seconds between two good answers, at most: also slow answers count."""
        self._gap: Gap | None = None
        self._last_good = 0.0
        self._last_good_at = ""
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ends `run` after the request that is under way."""
        self._stop.set()

    async def run(self, seconds: float | None = None) -> None:
        """Sends a request every `every` seconds, one at a time, until stopped or for `seconds`."""
        self.started_at = self._last_good_at = _now()
        began = self._last_good = time.monotonic()
        following = began
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.timeout)) as session:
            while not self._stop.is_set() and (seconds is None or time.monotonic() - began < seconds):
                await self._one(session)
                following = max(following + self.every, time.monotonic())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), timeout=max(0.0, following - time.monotonic()))
        if self._gap is not None:
            self._gap.seconds = round(time.monotonic() - self._last_good, 3)
        self.ended_at = _now()

    async def _one(self, session: aiohttp.ClientSession) -> None:
        begun = _now("microseconds")
        problem: str | None = None
        answer: dict[str, Any] = {}
        try:
            if self.mode == "write":
                async with session.post(f"{self.url}/api/progress", json={}) as response:
                    body = await response.read()
                    if response.status == 201:
                        answer = json.loads(body)
                    else:
                        problem = f"HTTP {response.status}"
            else:
                async with session.get(f"{self.url}/api/status") as response:
                    if response.status == 200:
                        answer = await response.json()
                        self.pids[answer["pid"]] += 1
                        self.hosts[str(answer["database"]["host"])] += 1
                    else:
                        problem = f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            problem = type(error).__name__
        self._count(problem)
        if self.log is not None:
            outcome = {"ok": True, **answer} if problem is None else {"ok": False, "error": problem}
            self.log.write(json.dumps({"begun": begun, "ended": _now("microseconds"), **outcome}) + "\n")
            self.log.flush()

    def _count(self, problem: str | None) -> None:
        now = time.monotonic()
        if problem is None:
            self.good += 1
            pause = now - self._last_good
            self.longest_pause = max(self.longest_pause, pause)
            if self._gap is not None:
                self._gap.seconds = round(pause, 3)
                self._gap.ended = _now()
                self._gap = None
            self._last_good = now
            self._last_good_at = _now()
            return
        self.failed += 1
        if self._gap is None:
            self._gap = Gap(self._last_good_at)
            self.gaps.append(self._gap)
        self._gap.failed += 1
        self._gap.errors[problem] += 1

    def summary(self) -> dict[str, Any]:
        """Plain JSON: counts, gaps and, when reading, which processes and database hosts answered."""
        return {
            "mode": self.mode,
            "url": self.url,
            "every": self.every,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "good": self.good,
            "failed": self.failed,
            "longest_pause": round(self.longest_pause, 3),
            "longest_gap": max((gap.seconds for gap in self.gaps), default=0.0),
            "gaps": [
                {
                    "from": gap.began,
                    "to": gap.ended,
                    "seconds": gap.seconds,
                    "failed": gap.failed,
                    "errors": dict(gap.errors),
                }
                for gap in self.gaps
            ],
            "processes": {str(pid): count for pid, count in self.pids.items()},
            "database_hosts": dict(self.hosts),
        }


def _now(precision: Literal["milliseconds", "microseconds"] = "milliseconds") -> str:
    return datetime.now(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(options.log.open("a", encoding="utf-8")) if options.log else None
        writer = Writer(options.url, every=options.every, mode=options.mode, timeout=options.timeout, log=log)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, writer.stop)
        watch = asyncio.create_task(_end_with(options.parent, writer)) if options.parent else None
        await writer.run(options.seconds)
        if watch is not None:
            watch.cancel()
        return writer.summary()


async def _end_with(parent: int, writer: Writer) -> None:
    """A parent that is killed cannot end what it started; its children then get another one."""
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    writer.stop()


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit status 0 also when requests failed: the summary says which."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.tracker.writer", description=__doc__)
    parser.add_argument("--url", required=True, help="address of the application")
    parser.add_argument("--every", type=float, default=0.05, help="seconds between two requests (default: 0.05)")
    parser.add_argument("--mode", choices=("write", "read"), default="write")
    parser.add_argument("--seconds", type=float, help="stop after so long (default: when told)")
    parser.add_argument("--parent", type=int, help="stop when this process, which started it, is gone")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds that one answer may take")
    parser.add_argument("--out", type=Path, help="write the summary here, too")
    parser.add_argument("--log", type=Path, help="append one JSON line per request to this file")
    options = parser.parse_args(arguments)
    summary = json.dumps(asyncio.run(_run(options)), indent=2)
    if options.out:
        fresh = options.out.with_name(options.out.name + ".new")
        fresh.write_text(summary + "\n", encoding="utf-8")
        fresh.replace(options.out)
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
