# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Coolify side of a test's own, in the test's process, and databases for the application."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from sandbox.coolify.service import CoolifyService
from sandbox.postgres.binaries import find_binaries
from sandbox.postgres.engine import Engine
from sandbox.processes import Processes, unprivileged_identity
from sandbox.settings import PROFILES, Settings
from sandbox.web import make_application
from sandbox.world import World
from tests.support.sandbox import memory_folder

NO_DATABASE = "postgresql://nobody:none@127.0.0.1:1/none"
"""An address where nothing listens, for applications whose health does not ask the database."""


async def until(condition: Callable[[], Awaitable[Any] | Any], *, seconds: float = 15.0) -> Any:
    """The first true value of `condition()`. Fails the test past the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"it did not come true in {seconds} s"
        await asyncio.sleep(0.02)


class Coolify:
    """One running Coolify side and a client with every ability."""

    def __init__(self, root: Path, version: str, **settings: Any) -> None:
        self.root = root
        chosen = Settings(root)
        chosen.change({**PROFILES["test"], "coolify.version": version})
        chosen.change({f"coolify.{name}": value for name, value in settings.items()})
        self._settings = chosen

    async def start(self) -> None:
        """Starts it; also again, on the same state, after `stop`."""
        self.world = World(self._settings)
        self.world.processes = Processes(self.root)
        await self.world.processes.start()
        self.service = CoolifyService(self.world)
        self.world.coolify = self.service
        await self.service.start()
        application = make_application(
            service="coolify",
            world=self.world,
            routes=self.service.routes(),
            middlewares=self.service.middlewares(),
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        self.port = self.world.port("coolify")
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.token = self.service.create_token(name="everything")
        self.client = self.client_with(self.token)

    async def stop(self) -> None:
        """Stops it in order."""
        await self.client.aclose()
        await self._runner.cleanup()
        await self.service.stop()
        await self.world.processes.stop()
        self.world.store.save()

    def client_with(self, token: str | None) -> httpx.AsyncClient:
        """A client with another token, or with none."""
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}/api/v1", headers=headers, trust_env=False, timeout=30.0
        )

    def set(self, **values: Any) -> None:
        """Changes settings of the Coolify side."""
        self._settings.change({f"coolify.{name}": value for name, value in values.items()})

    async def application(self, **options: Any) -> dict[str, Any]:
        """An application; unless told otherwise healthy without a database and with its image built."""
        usual: dict[str, Any] = {
            "name": "tracker",
            "env": {"DATABASE_URL": NO_DATABASE},
            "built": True,
            "health_check_path": "/api/version",
            "health_check_interval": 0.2,
            "health_check_retries": 60,
        }
        return await self.service.create_application(**(usual | options))

    async def get(self, path: str, **query: Any) -> Any:
        """The body of a GET that must succeed."""
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None) -> Any:
        """The body of a POST that must succeed."""
        answer = await self.client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def deploy(self, uuid: str) -> str:
        """Queues a deployment and returns its uuid."""
        return str((await self.post("/deploy", {"uuid": uuid}))["deployments"][0]["deployment_uuid"])

    async def ended(self, deployment: str) -> dict[str, Any]:
        """The deployment once it has a terminal status."""

        async def look() -> dict[str, Any] | None:
            row: dict[str, Any] = await self.get(f"/deployments/{deployment}")
            return row if row["status"] not in ("queued", "in_progress") else None

        found: dict[str, Any] = await until(look, seconds=30.0)
        return found


@contextlib.asynccontextmanager
async def coolify(version: str = "4.3.11", **settings: Any) -> AsyncIterator[Coolify]:
    """A Coolify side of this version; everything is removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="rewind-coolify-", dir=memory_folder()))
    root.chmod(0o711)
    running = Coolify(root, version, **settings)
    try:
        await running.start()
        try:
            yield running
        finally:
            await running.stop()
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Databases:
    """A PostgreSQL server of the engine's that tests take databases from."""

    def __init__(self, engine: Engine, timeline: str, port: int) -> None:
        self.engine = engine
        self.timeline = timeline
        self.port = port
        self._number = 0

    async def new(self) -> str:
        """The connection string of an empty database."""
        self._number += 1
        name = f"tracker_{self._number}"
        await self.engine.execute(self.timeline, f"CREATE DATABASE {name}")
        return (
            f"postgresql://cloud_admin:{self.engine.admin_password}@127.0.0.1:{self.port}/{name}"
            f"?sslmode={'require' if self.engine.backend_tls else 'disable'}"
        )


@contextlib.asynccontextmanager
async def databases() -> AsyncIterator[Databases]:
    """A server for a module's tests."""
    root = Path(tempfile.mkdtemp(prefix="rewind-databases-", dir=memory_folder()))
    root.chmod(0o711)
    processes = Processes(root, [root / "tl"])
    await processes.start()
    try:
        binaries = await asyncio.to_thread(find_binaries, root, identity=unprivileged_identity())
        engine = Engine(root, binaries, {}, lambda: None)
        await engine.start()
        try:
            timeline = await engine.create_root()
            yield Databases(engine, timeline, await engine.ensure_running(timeline))
        finally:
            await engine.stop()
    finally:
        await processes.stop()
        shutil.rmtree(root, ignore_errors=True)
