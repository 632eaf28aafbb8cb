# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Neon account over real PostgreSQL for tests: its service in a thread of its own, and a client that checks.

Every answer that the client receives is held against the published API description, when that is at hand.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psycopg
from aiohttp import web

from sandbox.neon.service import NeonService
from sandbox.postgres.binaries import find_binaries
from sandbox.postgres.engine import Engine
from sandbox.processes import unprivileged_identity
from sandbox.proxy.proxy import Proxy
from sandbox.settings import PROFILES, Settings
from sandbox.web import make_application
from sandbox.world import World
from tests.sandbox.neon_description import Description
from tests.support.sandbox import memory_folder, wait_for

Row = tuple[Any, ...]


class Account:
    """One service on one state folder. With ``postgres=False`` it keeps metadata only."""

    def __init__(
        self, settings: Mapping[str, Any] | None = None, *, postgres: bool = True, root: Path | None = None
    ) -> None:
        self.root = root or Path(tempfile.mkdtemp(prefix="rewind-neon-", dir=memory_folder()))
        self._postgres = postgres
        self._settings = dict(settings or {})
        self.description = Description.find()
        self.world: World
        self.service: NeonService
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._runner: web.AppRunner
        self._proxy: Proxy | None = None
        self.http: httpx.Client
        self.start()

    def start(self) -> None:
        """Starts the service on what the folder holds."""
        self.http = httpx.Client(timeout=60, trust_env=False, verify=False)  # plain HTTP: no certificates to load
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine on the service's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, function: Callable[[], Any]) -> Any:
        """Calls a function on the service's own loop."""

        async def calling() -> Any:
            return function()

        return self.run(calling())

    async def _start(self) -> None:
        settings = Settings.load(self.root, PROFILES["test"] | {"neon.suspend_timeout_seconds": 300} | self._settings)
        world = self.world = World(settings)
        if self._postgres:
            identity = unprivileged_identity()
            if identity is not None:
                self.root.chmod(0o711)
            binaries = find_binaries(self.root / "pg", identity=identity)
            world.engine = Engine(self.root, binaries, world.store.section("engine"), world.store.save)
            await world.engine.start()
        self.service = world.neon = NeonService(world)
        if self._postgres:
            self._proxy = world.proxy = Proxy(world.neon, world.engine)
        await world.neon.start()
        if self._proxy is not None:
            await self._proxy.start(world.port("postgres"))
        application = make_application(service="neon", world=world, routes=world.neon.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", world.port("neon")).start()
        self.token = world.neon.create_token(name="tests")

    @property
    def url(self) -> str:
        """The API's base address."""
        return f"http://127.0.0.1:{self.world.port('neon')}/api/v2"

    def key(self, scope: Any = "org", project_id: str | None = None) -> str:
        """A new API key."""
        return str(self.call(lambda: self.service.create_token(name=scope, scope=scope, project_id=project_id)))

    def client(self, token: str | None = None) -> Client:
        """A client that checks every answer."""
        return Client(self, self.token if token is None else token)

    def project(self, **values: Any) -> Project:
        """A new project with a root branch, a role, a database and an idle compute."""
        return Project(self.client(), self.run(self.service.create_project(**values)))

    def set(self, **settings: Any) -> None:
        """Changes settings of this side (``plan="free"``)."""
        self.call(lambda: self.world.settings.change({f"neon.{key}": value for key, value in settings.items()}))

    def slow(self, **seconds: float) -> None:
        """Sets how long operations take."""
        self.call(lambda: self.world.settings.neon.operation_seconds.update(seconds))

    def advance(self, seconds: float) -> None:
        """Moves the control plane's clock."""
        self.call(lambda: self.world.clock.advance(seconds))

    def end(self, *, kill: bool = False) -> None:
        """Stops; with `kill` nothing is brought to an end or kept that was not kept already."""

        async def ending() -> None:
            if kill:
                self.world.store.save = lambda: None  # type: ignore[method-assign]
            else:
                await self.service.stop()
            await self.world.cancel_tasks()
            await self._runner.cleanup()
            if self._proxy is not None:
                await self._proxy.stop()
                await self.world.engine.stop()

        self.http.close()
        self.run(ending())
        self.call(gc.collect)  # what a cancelled task held wants the loop once more
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def kill_and_start(self) -> None:
        """What ``kill -9`` leaves is all that the next run has."""
        self.end(kill=True)
        self.start()

    def __enter__(self) -> Account:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
        shutil.rmtree(self.root)


class Client:
    """HTTP with a key; every answer is checked against the API description."""

    def __init__(self, account: Account, token: str) -> None:
        self.account = account
        self.token = token

    def request(self, method: str, path: str, json: Any = None, **query: Any) -> httpx.Response:
        """One request."""
        answer = self.account.http.request(
            method,
            self.account.url + path,
            json=json,
            params={key: value for key, value in query.items() if value is not None},
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json"},
        )
        if self.account.description is not None:
            self.account.description.check(method, path, answer)
        return answer

    def ok(self, method: str, path: str, json: Any = None, **query: Any) -> Any:
        """The body of an answer that must be a success."""
        answer = self.request(method, path, json, **query)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, json: Any = None, **query: Any) -> tuple[int, str, str]:
        """Status, code and message of an answer that must be none."""
        answer = self.request(method, path, json, **query)
        assert answer.is_error, f"{method} {path}: {answer.status_code} {answer.text}"
        body = answer.json()
        return answer.status_code, body["code"], body["message"]


class Project:
    """One project as a test works with it: requests that wait for their operations, and SQL."""

    def __init__(self, client: Client, made: dict[str, Any]) -> None:
        self.client = client
        self.account = client.account
        self.id: str = made["project_id"]
        self.main: str = made["branch_id"]
        self.endpoint: str = made["endpoint_id"]
        self.role: str = made["role"]
        self.database: str = made["database"]
        self.uri: str = made["connection_uri"]
        self.pooled_uri: str = made["pooled_connection_uri"]

    def path(self, rest: str = "") -> str:
        """``/projects/<id>`` and what follows."""
        return f"/projects/{self.id}{rest}"

    def ok(self, method: str, rest: str, json: Any = None, **query: Any) -> Any:
        """As `Client.ok` below the project."""
        return self.client.ok(method, self.path(rest), json, **query)

    def refused(self, method: str, rest: str, json: Any = None, **query: Any) -> tuple[int, str, str]:
        """As `Client.refused` below the project."""
        return self.client.refused(method, self.path(rest), json, **query)

    def done(self, method: str, rest: str, json: Any = None, **query: Any) -> Any:
        """A request and all its operations, which must succeed."""
        body = self.ok(method, rest, json, **query)
        self.wait(body)
        return body

    def wait(self, body: dict[str, Any]) -> None:
        """Waits for the operations in an answer as a client has to."""
        for operation in body["operations"]:

            def finished(operation: dict[str, Any] = operation) -> bool:
                status = self.ok("GET", f"/operations/{operation['id']}")["operation"]["status"]
                assert status not in ("failed", "error", "cancelled"), operation
                return status in ("finished", "skipped")

            wait_for(finished, what=f"{operation['action']} to finish", seconds=30)

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Waits for anything."""
        return wait_for(condition, what=what, seconds=20)

    def create(self, name: str, *, compute: bool = False, **values: Any) -> dict[str, Any]:
        """A branch, once it is ready; with a compute or without."""
        body: dict[str, Any] = {"branch": {"name": name} | values}
        if compute:
            body["endpoints"] = [{"type": "read_write"}]
        made = self.done("POST", "/branches", body)
        return dict(made["branch"])

    def branch(self, branch_id: str) -> dict[str, Any]:
        """A branch as it is now."""
        return dict(self.ok("GET", f"/branches/{branch_id}")["branch"])

    def branches(self) -> dict[str, dict[str, Any]]:
        """All branches by name."""
        return {branch["name"]: branch for branch in self.ok("GET", "/branches", limit=10000)["branches"]}

    def get_endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """An endpoint as it is now."""
        return dict(self.ok("GET", f"/endpoints/{endpoint_id}")["endpoint"])

    def restore(self, branch_id: str, source_id: str | None = None, **values: Any) -> dict[str, Any]:
        """An in-place restore, once it is ready; the branch as the first answer showed it."""
        wanted = {"source_branch_id": source_id or branch_id} | values
        return dict(self.done("POST", f"/branches/{branch_id}/restore", wanted)["branch"])

    def detached(self, branch_id: str) -> None:
        """Waits until a branch is a root again."""
        self.wait_until(lambda: "parent_id" not in self.branch(branch_id), "the branch to be detached")

    def uri_of(self, branch_id: str, *, pooled: bool = False, **query: Any) -> str:
        """A branch's connection string."""
        asked = {"branch_id": branch_id, "role_name": self.role, "database_name": self.database} | query
        return str(self.ok("GET", "/connection_uri", pooled=str(pooled).lower(), **asked)["uri"])

    def sql(self, statement: str, uri: str | None = None, **parameters: Any) -> list[Row]:
        """One statement through the proxy."""
        with psycopg.connect(uri or self.uri, autocommit=True, connect_timeout=30, **parameters) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def now(self) -> str:
        """The database's own instant, as the API takes it, later than all that was committed."""
        rows = self.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        return str(rows[0][0])

    def lsn(self) -> str:
        """The database's present position."""
        return str(self.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0])


def pause() -> None:
    """Lets a little time pass between two commits, so that an instant lies between them."""
    end = time.monotonic() + 0.002
    while time.monotonic() < end:
        os.sched_yield()
