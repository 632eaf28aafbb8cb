# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application's way to its database: a pool that outlives dropped connections, restores and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

T = TypeVar("T")
Connection = AsyncConnection[tuple[Any, ...]]

POOL_SIZE = 4
CHECKOUT_SECONDS = 4.0
# A request that waits in the pool makes it try to connect only when it arrives, so it arrives again.
WAIT_SLICE = 0.4

Unavailable = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What is raised when the connection, not the statement, is the problem."""


def lacks_host(url: str) -> bool:
    """Whether libpq would choose the server by itself: a string without a host leads to whatever runs on this machine.

    A string that cannot be read is not one of these: it leads nowhere.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return False
    return not (parts.get("host") or parts.get("hostaddr") or parts.get("service"))


class Database:
    """A pool on one connection string. Opens no connection before the first one is needed."""

    def __init__(self, url: str, application_name: str) -> None:
        self._url = url
        # reconnect_timeout is short because the pool's own back-off starts at a second: the requests
        # that wait for a connection ask again, and that is what starts the next attempt.
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            open=False,
            min_size=0,
            max_size=POOL_SIZE,
            timeout=CHECKOUT_SECONDS,
            reconnect_timeout=0.2,
            max_idle=120,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "connect_timeout": 5,
                "application_name": application_name,
            },
        )

    def address(self) -> dict[str, Any]:
        """Host, port, name and user of the connection string; never the password."""
        try:
            parts = conninfo_to_dict(self._url)
        except psycopg.Error:
            return {"host": None, "port": None, "name": None, "user": None}
        port = parts.get("port")
        return {
            "host": parts.get("host"),
            "port": int(port) if port else None,
            "name": parts.get("dbname"),
            "user": parts.get("user"),
        }

    async def open(self) -> None:
        """Starts the pool's workers; returns at once, also when there is no database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Gives every connection back."""
        await self._pool.close(timeout=1.0)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that answered just now. Raises one of `Unavailable` after `CHECKOUT_SECONDS`."""
        connection = await self._checkout()
        try:
            yield connection
        finally:
            await self._pool.putconn(connection)

    async def _checkout(self) -> Connection:
        deadline = time.monotonic() + CHECKOUT_SECONDS
        while True:
            left = deadline - time.monotonic()
            try:
                connection = await self._pool.getconn(timeout=max(0.001, min(WAIT_SLICE, left)))
            except PoolTimeout:
                if time.monotonic() >= deadline:
                    raise
                continue
            try:
                await asyncio.wait_for(connection.execute(""), timeout=2.0)
            except (psycopg.Error, TimeoutError):
                await connection.close()
                await self._pool.putconn(connection)  # the pool replaces a closed one
            except BaseException:
                await self._pool.putconn(connection)
                raise
            else:
                return connection

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs a read; once more, on another connection, when the first was lost under it."""
        try:
            async with self.connection() as connection:
                return await work(connection)
        except PoolTimeout:
            raise
        except Unavailable:
            async with self.connection() as connection:
                return await work(connection)

    async def write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs a write in one transaction, never twice: a lost connection leaves it unknown whether it was done."""
        async with self.connection() as connection, connection.transaction():
            return await work(connection)
