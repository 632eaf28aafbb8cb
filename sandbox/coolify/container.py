# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One application process, treated as Docker treats a container: health checks, and a restart when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import aiohttp

from sandbox.coolify.state import Row
from sandbox.settings import CLONE

Health = Literal["none", "starting", "healthy", "unhealthy"]
_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 10.0
_SHORTEST_INTERVAL = 0.05
_HERE = ("localhost", "127.0.0.1", "0.0.0.0", "::1")  # the hosts by which a container finds itself


class Spawner(Protocol):
    """What is needed of `sandbox.processes.Processes`."""

    async def spawn(
        self,
        arguments: list[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        log: Path | None = None,
    ) -> asyncio.subprocess.Process: ...

    async def end(self, process: asyncio.subprocess.Process, *, grace: float = 5.0) -> int: ...


@dataclass(frozen=True)
class HealthCheck:
    """The ``health_check_*`` columns. Times are seconds.

    `reachable`: whether anything of the container listens where scheme, host and port say.
    """

    enabled: bool
    method: str = "GET"
    path: str = "/"
    return_code: int = 200
    response_text: str | None = None
    command: str | None = None
    interval: float = 5
    timeout: float = 5
    retries: int = 10
    start_period: float = 5
    reachable: bool = True

    @classmethod
    def of(cls, row: Row) -> HealthCheck:
        """As an application's row has them. Raises TypeError or ValueError for what is no check."""
        return cls(
            enabled=bool(row["health_check_enabled"]),
            method=str(row["health_check_method"]),
            path="/" + str(row["health_check_path"] or "/").lstrip("/"),
            return_code=int(row["health_check_return_code"]),
            response_text=row["health_check_response_text"],
            command=row["health_check_command"] if row["health_check_type"] == "cmd" else None,
            # Rows may be stored with less than Coolify would take; a loop without a pause takes a whole CPU.
            interval=max(_SHORTEST_INTERVAL, float(row["health_check_interval"])),
            timeout=float(row["health_check_timeout"]),
            retries=int(row["health_check_retries"]),
            start_period=float(row["health_check_start_period"]),
            reachable=_is_reachable(row),
        )


def _is_reachable(row: Row) -> bool:
    """The application listens on the exposed port, whatever that is called outside, without TLS, and nowhere else."""
    port = str(row["health_check_port"] or "").strip()
    exposed = [part.strip() for part in str(row["ports_exposes"] or "").split(",")]
    return (
        (not port or port in exposed)
        and str(row["health_check_host"] or _HERE[0]).lower() in _HERE
        and str(row["health_check_scheme"] or "http").lower() == "http"
    )


class Container:
    """A process of the application with a port of its own."""

    def __init__(
        self,
        *,
        name: str,
        environment: Mapping[str, str],
        port: int,
        check: HealthCheck,
        processes: Spawner,
        folder: Path,
        health_delay: float = 0.0,
        probe_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self.port = port
        self.check = check
        self.log = folder / f"{name}.log"
        self.health: Health = "starting" if check.enabled else "none"
        self.restarts = 0
        self.changed = asyncio.Event()
        """Set when the health changed; whoever waits clears it."""
        self._environment = dict(environment) | {"PORT": str(port), "HOST": "127.0.0.1"}
        self._processes = processes
        self._folder = folder
        self._health_delay = health_delay
        self._probe_seconds = probe_seconds or check.interval
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Starts the process, its supervision and its health checks. Raises OSError when it cannot be started."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._spawn()
        self._tasks = [asyncio.create_task(self._keep_running(), name=f"supervise {self.name}")]
        if self.check.enabled:
            self._tasks.append(asyncio.create_task(self._watch_health(), name=f"health of {self.name}"))

    async def end(self, *, grace: float) -> None:
        """Ends the process: SIGTERM, after `grace` s SIGKILL."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._process is not None:
            await self._processes.end(self._process, grace=grace)

    async def listening(self, seconds: float) -> bool:
        """Waits until the process accepts connections, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return True
        return False

    def status(self) -> str:
        """What Coolify's aggregator makes of this container.

        A health state of "starting" comes out as healthy: the aggregator only looks for "unhealthy" and "unknown".
        """
        if self.pid is None or (self.restarts and self.health in ("starting", "unhealthy")):
            return "degraded:unhealthy" if self.restarts else "restarting:unknown"
        words = {"none": "unknown", "starting": "healthy", "healthy": "healthy", "unhealthy": "unhealthy"}
        return f"running:{words[self.health]}"

    def last_lines(self, count: int) -> list[str]:
        """The end of the log."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
        except OSError:
            return []

    async def _spawn(self) -> None:
        base = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(CLONE),
            "PYTHONUNBUFFERED": "1",
        }
        self._process = await self._processes.spawn(
            [sys.executable, "-m", "sandbox.tracker"],
            environment=base | self._environment,
            folder=self._folder,
            log=self.log,
        )
        self._started = time.monotonic()

    async def _keep_running(self) -> None:
        """``restart: unless-stopped``."""
        backoff = _FIRST_BACKOFF
        while self._process is not None:
            await self._process.wait()
            self.restarts += 1
            if time.monotonic() - self._started > _LONGEST_BACKOFF:
                backoff = _FIRST_BACKOFF
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            await self._spawn()
            self._set("starting" if self.check.enabled else "none")

    async def _watch_health(self) -> None:
        failures = 0
        began = counted = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=self.check.timeout)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                starting = self.health == "starting"
                await asyncio.sleep(min(self._probe_seconds, self.check.interval) if starting else self.check.interval)
                if await self._probe(session):
                    failures = 0
                    self._set("healthy")
                    continue
                now = time.monotonic()
                # Looking more often while it starts must not make it fail earlier.
                due = not starting or now - counted >= self.check.interval
                if due and (self.health == "healthy" or now - began >= self.check.start_period):
                    counted = now
                    failures += 1
                    if failures >= self.check.retries:
                        self._set("unhealthy")

    async def _probe(self, session: aiohttp.ClientSession) -> bool:
        if self.pid is None or time.monotonic() - self._started < self._health_delay:
            return False
        if self.check.command:
            return await self._probe_by_command(self.check.command)
        if not self.check.reachable:
            return False
        url = f"http://127.0.0.1:{self.port}{self.check.path}"
        try:
            async with session.request(self.check.method, url) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False
        wanted = self.check.response_text
        return answer.status == self.check.return_code and (not wanted or wanted in text)

    async def _probe_by_command(self, command: str) -> bool:
        try:
            # Registered as any child: what the command starts must outlive neither the probe nor the daemon.
            process = await self._processes.spawn(
                ["/bin/sh", "-c", command],
                environment={"PATH": os.environ.get("PATH", os.defpath)} | self._environment,
                folder=self._folder,
            )
        except (OSError, ValueError):
            return False
        try:
            return await asyncio.wait_for(process.wait(), self.check.timeout) == 0
        except TimeoutError:
            return False
        finally:
            await self._processes.end(process, grace=0)

    def _set(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            self.changed.set()

    def public(self) -> dict[str, Any]:
        """For the control API."""
        return {"name": self.name, "pid": self.pid, "port": self.port, "health": self.health, "restarts": self.restarts}
