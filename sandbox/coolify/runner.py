# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs: a container and a stable address per application, and the poll that keeps statuses true."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.coolify.address import Address
from sandbox.coolify.container import Container, HealthCheck, Spawner
from sandbox.coolify.state import Row, State

if TYPE_CHECKING:
    from sandbox.settings import CoolifySettings

logger = logging.getLogger("sandbox.coolify")

_LISTEN_SECONDS = 8.0
_DRAIN_SECONDS = 5.0


class WorldLike(Protocol):
    """What is needed of `sandbox.world.World`."""

    root: Path

    def port(self, name: str) -> int: ...
    def spare_port(self, taken: Iterable[int] = ()) -> int: ...


class Runner:
    """The containers of all applications."""

    def __init__(self, world: WorldLike, state: State, settings: CoolifySettings, processes: Spawner) -> None:
        self._world = world
        self._state = state
        self._settings = settings
        self._processes = processes
        self._addresses: dict[str, Address] = {}
        self._live: dict[str, Container] = {}
        self._picked: deque[int] = deque(maxlen=64)
        self._polled: dict[str, float] = {}

    def address(self, uuid: str) -> Address:
        """The stable address of an application; its port is kept in the store."""
        if uuid not in self._addresses:
            self._addresses[uuid] = Address(self._world.port(f"application/{uuid}"))
        return self._addresses[uuid]

    def live(self, uuid: str) -> Container | None:
        """The container that serves, if any."""
        return self._live.get(uuid)

    def folder(self, uuid: str) -> Path:
        """Where an application's logs are."""
        return self._world.root / "applications" / uuid

    def make(self, application: Row, *, name: str, environment: dict[str, str]) -> Container:
        """A container that is not started yet, on a free port."""
        return Container(
            name=name,
            environment=environment,
            port=self._pick_port(),
            check=HealthCheck.of(application["row"]),
            processes=self._processes,
            folder=self.folder(application["row"]["uuid"]),
            health_delay=self._settings.health_delay,
            probe_seconds=self._settings.probe_seconds,
        )

    def _pick_port(self) -> int:
        # The last ones too: a container that is only just starting does not listen yet.
        port = self._world.spare_port([*self._picked, *(container.port for container in self._live.values())])
        self._picked.append(port)
        return port

    async def run_once(
        self, application: Row, arguments: list[str | Path], *, name: str, environment: dict[str, str]
    ) -> tuple[int, str]:
        """Runs a command beside the containers to its end; returns its exit status and what it printed."""
        folder = self.folder(application["row"]["uuid"])
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = folder / f"{name}.log"
        log.unlink(missing_ok=True)
        process = await self._processes.spawn(arguments, environment=environment, log=log)
        try:
            status = await process.wait()
        finally:
            await self._processes.end(process, grace=0)
        return status, log.read_text(encoding="utf-8", errors="replace")

    async def swap(self, application: Row, container: Container, kept: Row) -> None:
        """Makes `container` the one that serves, then ends the one before. `kept` is what restarts it later."""
        uuid = application["row"]["uuid"]
        old = self._live.get(uuid)
        self._live[uuid] = container
        application["container"] = kept
        self._state.save()
        await self.address(uuid).point_to(container.port, drain=_DRAIN_SECONDS)
        if old is not None and old is not container:
            await old.end(grace=self._settings.stop_seconds)

    async def stop_application(self, application: Row) -> None:
        """Takes the application out of service and ends its container."""
        uuid = application["row"]["uuid"]
        old = self._live.pop(uuid, None)
        application["container"] = None
        self._state.save()
        await self.address(uuid).point_to(None, drain=_DRAIN_SECONDS)
        if old is not None:
            await old.end(grace=self._settings.stop_seconds)

    async def start(self) -> None:
        """Opens every address and starts again what ran: with the environment that it ran with."""
        await asyncio.gather(*(self._revive(application) for application in self._state.applications.values()))

    async def _revive(self, application: Row) -> None:
        uuid = application["row"]["uuid"]
        await self.address(uuid).start()
        kept = application.get("container")
        if not kept:
            return
        try:
            container = self.make(application, name=kept["name"], environment=kept["environment"])
            await container.start()
        except Exception:
            # One row that cannot run must not keep the sandbox from starting: it would be beyond repair.
            logger.exception("application %s could not be started again", application["row"]["name"])
            return
        self._live[uuid] = container
        await self.address(uuid).point_to(container.port, drain=0.0)
        if not await container.listening(_LISTEN_SECONDS):
            logger.warning("application %s does not listen; see %s", application["row"]["name"], container.log)

    async def stop(self) -> None:
        """Ends everything; what ran is started again next time."""
        await asyncio.gather(*(address.stop() for address in self._addresses.values()), return_exceptions=True)
        live, self._live = list(self._live.values()), {}
        await asyncio.gather(*(container.end(grace=2.0) for container in live), return_exceptions=True)

    def finished(self, application: Row, *, healthy: bool) -> None:
        """A deployment ended well: the status is "running" until the next poll, which comes a period later."""
        row = application["row"]
        if healthy:
            # Without a health suffix: everybody reads "running:unhealthy" until the poll.
            row["status"] = "running"
        self._polled[row["uuid"]] = time.monotonic()

    async def poll_for_ever(self) -> None:
        """Corrects the stored statuses, each application once per period."""
        while True:
            period = self._settings.status_poll_seconds
            await asyncio.sleep(min(0.5, max(0.05, period / 4)))
            now = time.monotonic()
            for uuid, application in list(self._state.applications.items()):
                if now - self._polled.setdefault(uuid, now) >= period:
                    self._polled[uuid] = now
                    self.poll(application)

    def poll(self, application: Row) -> None:
        """Sets the stored status to what is true now. A server that cannot be reached changes nothing."""
        row = application["row"]
        if not row["server_status"]:
            return
        container = self._live.get(row["uuid"])
        status = "exited" if container is None else container.status()
        if status != row["status"]:
            row["status"] = status
            row["restart_count"] = container.restarts if container else 0
            self._state.save()
        if status.startswith("running"):
            row["last_online_at"] = self._state.now()

    def public(self, application: Row) -> dict[str, Any]:
        """For the control API."""
        row = application["row"]
        container = self._live.get(row["uuid"])
        return {
            "uuid": row["uuid"],
            "name": row["name"],
            "status": row["status"],
            "url": row["fqdn"],
            "commit": (application.get("container") or {}).get("commit"),
            "container": container.public() if container else None,
        }
