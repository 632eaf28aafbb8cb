# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy in front of a branch engine, with a short list of computes instead of the Neon side."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from sandbox.postgres.engine import Engine
from sandbox.proxy.proxy import Proxy, Refused, Route
from tests.sandbox.engine_world import DATABASE, OWNER, PASSWORD, new_database, running_engine

ENDPOINT = "ep-cool-frost-a1b2c3d4"
DISABLED = "ep-still-night-e5f6a7b8"
BRANCH = "br-quiet-lake-c9d0e1f2"
DOMAIN = "eu-central-1.aws.sandbox.localhost"


@dataclass
class Computes:
    """One compute on one timeline; it is woken by a connection."""

    engine: Engine
    timeline: str
    passwords: dict[str, str] = field(default_factory=lambda: {OWNER: PASSWORD})
    woken: int = 0
    connections: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)

    async def route(self, *, host_id: str, pooled: bool, options: dict[str, str]) -> Route:
        """As the Neon side would answer."""
        if host_id == BRANCH and "neon_timestamp" in options:
            at = datetime.fromisoformat(options["neon_timestamp"])
            port = await self.engine.open_time_travel(self.timeline, at=at)
            return Route(f"past-{port}", self.timeline, port, read_only=True, pooled=False)
        if host_id == DISABLED:
            raise Refused("The endpoint has been disabled. Enable it using Neon API and retry.")
        if host_id != ENDPOINT:
            raise Refused("The requested endpoint could not be found, or you don't have access to it.")
        if not self.engine.is_running(self.timeline):
            self.woken += 1
        port = await self.engine.ensure_running(self.timeline)
        return Route(ENDPOINT, self.timeline, port, read_only=False, pooled=pooled)

    async def secret(self, route: Route, role: str) -> str | None:
        """Of a known role."""
        return self.passwords.get(role)

    def connected(self, route: Route) -> None:
        """Counts."""
        self.connections[route.key] += 1

    def disconnected(self, route: Route) -> None:
        """Counts."""
        self.endings[route.key] += 1


@dataclass
class Front:
    """A proxy that listens, and what is behind it."""

    proxy: Proxy
    computes: Computes

    @property
    def engine(self) -> Engine:
        """The engine behind."""
        return self.computes.engine

    async def connect(self, host: str = ENDPOINT, **parameters: Any) -> psycopg.AsyncConnection[Any]:
        """Connects as a client would with the connection string of an endpoint."""
        chosen: dict[str, Any] = {
            "host": host if "." in host else f"{host}.{DOMAIN}",
            "hostaddr": "127.0.0.1",
            "port": self.proxy.port,
            "user": OWNER,
            "password": PASSWORD,
            "dbname": DATABASE,
            "sslmode": "require",
            "channel_binding": "require",
            "connect_timeout": 20,
            "autocommit": True,
            **parameters,
        }
        return await psycopg.AsyncConnection.connect(**{name: v for name, v in chosen.items() if v is not None})

    async def pooled(self, **parameters: Any) -> psycopg.AsyncConnection[Any]:
        """The same through the pooled address."""
        return await self.connect(f"{ENDPOINT}-pooler", **parameters)


@contextlib.asynccontextmanager
async def running_front(*, pool_size: int = 20) -> AsyncIterator[Front]:
    """A proxy on any free port over a new database."""
    async with running_engine() as engine:
        computes = Computes(engine, await new_database(engine))
        await engine.execute(computes.timeline, f"ALTER TABLE status OWNER TO {OWNER}", database=DATABASE)
        proxy = Proxy(computes, engine, pool_size=pool_size)
        await proxy.start(0)
        try:
            yield Front(proxy, computes)
        finally:
            await proxy.stop()


async def value(connection: psycopg.AsyncConnection[Any], statement: str, *parameters: Any) -> Any:
    """The first column of the first row."""
    cursor = await connection.execute(statement.encode(), parameters or None)
    row = await cursor.fetchone()
    return row[0] if row else None
