# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one process of the sandbox: starts every part in order, serves, and stops them in the opposite order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from sandbox import scenario
from sandbox.control import Control
from sandbox.coolify.service import CoolifyService
from sandbox.lock import Lock
from sandbox.neon.service import NeonService
from sandbox.ports import require_free
from sandbox.postgres.binaries import find_binaries
from sandbox.postgres.engine import Engine
from sandbox.processes import Processes, unprivileged_identity
from sandbox.proxy.proxy import Proxy
from sandbox.root import empty_root, forget_connection, make_root, write_private
from sandbox.settings import Settings
from sandbox.web import ServiceName, make_application
from sandbox.world import World

logger = logging.getLogger("sandbox.daemon")

STOP_SECONDS = 10.0


class Report(Protocol):
    """Who started the daemon hears here how far it is."""

    def step(self, text: str) -> None:
        """What is being done now."""

    def ready(self, connection: dict[str, Any]) -> None:
        """It serves."""


class Daemon:
    """One run of the sandbox on one root."""

    def __init__(self, settings: Settings, connection_file: Path, report: Report) -> None:
        self.settings = settings
        self.connection_file = connection_file
        self.report = report
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Starts, serves until SIGTERM or SIGINT, stops. Raises what made the start fail, after cleaning up."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        make_root(self.settings.root)
        Lock(self.settings.root).take()
        # A killed predecessor's would send everybody to ports and a process that are not ours, until we are ready.
        forget_connection(self.settings.root, self.connection_file)
        async with contextlib.AsyncExitStack() as parts:
            start = asyncio.ensure_future(self._start(parts))
            stopped = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await stopped
            else:
                start.cancel()
                await asyncio.gather(start, return_exceptions=True)
            logger.info("stopping")
        logger.info("stopped")

    async def _start(self, parts: contextlib.AsyncExitStack) -> None:
        await Processes(self.settings.root / "processes").await_predecessor()
        world = self._make_world()
        parts.callback(world.store.flush)
        require_free(world.store.section("ports"))
        self.report.step("starting PostgreSQL")
        binaries = await asyncio.to_thread(find_binaries, world.root / "pg", identity=unprivileged_identity())
        logger.info("PostgreSQL %s from %s", binaries.version, binaries.source)
        world.engine = Engine(world.root, binaries, world.store.section("engine"), world.store.save)
        # Before the first server: from here on nothing that this process starts can outlive it.
        world.processes = Processes(world.root / "processes", world.engine.data_folders)
        await world.processes.start()
        self._on_stop(parts, "processes", world.processes.stop)
        self._on_stop(parts, "engine", world.engine.stop)
        await world.engine.start()
        self._on_stop(parts, "background tasks", world.cancel_tasks)
        world.neon = NeonService(world)
        world.proxy = Proxy(world.neon, world.engine)
        self._on_stop(parts, "neon", world.neon.stop)
        await world.neon.start()
        self._on_stop(parts, "proxy", world.proxy.stop)
        await world.proxy.start(world.port("postgres"))
        if world.store.section("scenario").get("built"):
            self.report.step("starting the applications")
        world.coolify = CoolifyService(world)
        self._on_stop(parts, "coolify", world.coolify.stop)
        await world.coolify.start()
        if not world.store.section("scenario").get("built"):
            await scenario.build(world, self.report.step)
        self.report.step("opening the APIs")
        control = Control(world, self._tokens(world)["control"])
        await self._serve(parts, world, "neon", world.neon)
        await self._serve(parts, world, "coolify", world.coolify)
        await self._serve(parts, world, "control", control)
        world.store.save()
        self._publish(parts, world)

    def _make_world(self) -> World:
        world = World(self.settings)
        if not world.store.section("scenario").get("built"):
            # A start that was killed halfway left a world that nobody asked for.
            empty_root(world.root, world.store)
            world = World(self.settings, world.store)
        self._tokens(world)
        world.store.save()
        return world

    def _tokens(self, world: World) -> dict[str, Any]:
        tokens = world.store.section("tokens")
        tokens.setdefault("control", secrets.token_urlsafe(32))
        return tokens

    def _on_stop(self, parts: contextlib.AsyncExitStack, name: str, stop: Callable[[], Awaitable[Any]]) -> None:
        async def stop_part() -> None:
            try:
                await asyncio.wait_for(stop(), timeout=STOP_SECONDS)
            except Exception:
                # The other parts must be stopped all the same, or processes stay behind.
                logger.exception("%s did not stop as it should", name)

        parts.push_async_callback(stop_part)

    async def _serve(self, parts: contextlib.AsyncExitStack, world: World, name: ServiceName, service: Any) -> None:
        application = make_application(
            service=name, world=world, routes=service.routes(), middlewares=service.middlewares()
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        self._on_stop(parts, f"{name} server", runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", world.port(name)).start()

    def _publish(self, parts: contextlib.AsyncExitStack, world: World) -> None:
        connection = connection_of(world)
        for path in (self.connection_file, world.root / "daemon.json"):
            parts.callback(path.unlink, missing_ok=True)
            write_private(path, json.dumps(connection, indent=2) + "\n")
        logger.info("ready on %s", connection["control_url"])
        self.report.ready(connection)


def connection_of(world: World) -> dict[str, Any]:
    """What the connection file holds: addresses, tokens and targets."""
    tokens = world.store.section("tokens")
    state = world.root / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    return {
        "pid": os.getpid(),
        "root": str(world.root),
        "neon_api_url": f"http://127.0.0.1:{world.port('neon')}/api/v2",
        "neon_api_key": tokens["neon"],
        "coolify_api_url": f"http://127.0.0.1:{world.port('coolify')}/api/v1",
        "coolify_access_token": tokens["coolify"],
        "control_url": f"http://127.0.0.1:{world.port('control')}/control",
        "control_token": tokens["control"],
        "postgres_port": world.port("postgres"),
        "neon_requests_per_minute": world.settings.neon.requests_per_minute,
        "coolify_requests_per_minute": world.settings.coolify.rate_limit_per_minute,
        "state_dir": str(state),
        "targets": world.store.section("scenario")["targets"],
    }
