# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one object that every part of a running sandbox holds: settings, clock, store, log, and the other parts."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.clock import Clock
from sandbox.ports import pick_port
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.web import Faults, RequestLog

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Middleware

    from sandbox.coolify.service import CoolifyService
    from sandbox.neon.service import NeonService
    from sandbox.postgres.engine import Engine
    from sandbox.processes import Processes
    from sandbox.proxy.proxy import Proxy

logger = logging.getLogger("sandbox")


class Service(Protocol):
    """What the daemon asks of the Neon side and of the Coolify side.

    The control API hands the bodies of its ``/control/projects``, ``/control/applications`` and
    ``/control/tokens`` on as keyword arguments to ``create_project``, ``create_application``, ``create_token``.
    """

    async def start(self) -> None:
        """Takes up what the store holds: half-done work is finished or marked failed, applications run again."""

    async def stop(self) -> None:
        """Ends what it runs; the store is saved."""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Every route with its whole path (``/api/v2/...``)."""

    def middlewares(self) -> Sequence[Middleware]:
        """Tokens and error bodies; they run inside the log, latency and fault middlewares."""

    def summary(self) -> dict[str, Any]:
        """What ``bin/sandbox status`` shows, without secrets."""

    def create_token(self, *, name: str, token: str | None = None, **what: Any) -> str:
        """Registers a token (a new one when `token` is None) and returns it."""


class World:
    """Everything in one daemon. The daemon fills in the parts in the order in which they start.

    - ``spawn(coroutine, name=...)``: a background task that ends with the daemon; its failure is logged.
    - ``port(name)``: a port that is picked free once and then kept.
    - ``random(name)``: a stream of `random.Random` that follows from the seed, another one after each start.
    """

    engine: Engine
    processes: Processes
    proxy: Proxy
    neon: NeonService
    coolify: CoolifyService

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self.settings = settings
        self.root: Path = settings.root
        self.store = store or Store(settings.root / "store.json", delay=lambda: settings.save_seconds)
        self.log = RequestLog(settings.keep_requests)
        self.faults = Faults()
        kept = self.store.section("world")
        kept["starts"] = int(kept.get("starts", 0)) + 1
        self.clock = Clock(float(kept.get("clock_offset", 0.0)), self._keep_offset)
        self._streams: dict[str, random.Random] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def _keep_offset(self, seconds: float) -> None:
        self.store.section("world")["clock_offset"] = seconds
        self.store.save()

    def random(self, name: str) -> random.Random:
        """The random stream `name`. It differs after each start, so that ids are never given twice."""
        if name not in self._streams:
            starts = self.store.section("world")["starts"]
            self._streams[name] = random.Random(f"{self.settings.seed}:{name}:{starts}")
        return self._streams[name]

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Runs `coroutine` in the background until it ends or the daemon does."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("background task %s failed", task.get_name(), exc_info=error)

    async def cancel_tasks(self) -> None:
        """Ends every background task and waits for it."""
        current = asyncio.current_task()
        # Once is not always enough: a task may begin another one while it ends, and a wait_for of Python 3.11 whose
        # work is done at that very moment loses the cancellation (cpython#86296).
        while tasks := [task for task in self._tasks if task is not current and not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)

    def port(self, name: str) -> int:
        """The port kept under `name`, picked free the first time (``neon``, ``application/<uuid>``, ...)."""
        kept: dict[str, int] = self.store.section("ports")
        if name not in kept:
            kept[name] = pick_port(taken=set(kept.values()))
            self.store.save()
        return kept[name]

    def spare_port(self, taken: Iterable[int] = ()) -> int:
        """A free port that is not kept: neither one of `taken` nor one whose owner has not opened it yet."""
        return pick_port(taken={*self.store.section("ports").values(), *taken})

    def drop_port(self, name: str) -> None:
        """Forgets a kept port: its owner is gone."""
        if self.store.section("ports").pop(name, None) is not None:
            self.store.save()
