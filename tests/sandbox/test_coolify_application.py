# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of the real application on a real database: what its users see."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from coolipy import Coolipy
from coolipy.models.common import BulkEnvsUpdate, EnvironmentVariableCreate, EnvironmentVariableUpdate

from sandbox.tracker import seed as seeding
from sandbox.tracker import versions
from sandbox.tracker.writer import Writer
from tests.support.coolify import Coolify, Databases, coolify, databases, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Databases]:
    """A real PostgreSQL server."""
    async with databases() as made:
        yield made


async def seeded(server: Databases, text: str) -> str:
    """A database with data and a status text of its own."""
    url = await server.new()
    await asyncio.to_thread(seeding.seed_database, url, rows=200, seed=3)
    with psycopg.connect(url) as connection:
        connection.execute('UPDATE "Status" SET "text" = %s', (text,))
    return url


async def running(side: Coolify, url: str, **options: Any) -> dict[str, Any]:
    """The tracker on this database, checked by its real health path."""
    usual: dict[str, Any] = {"env": {"DATABASE_URL": url}, "health_check_path": "/api/health", "deploy": True}
    made = await side.application(**(usual | options))
    assert made["deployment_status"] == "finished"
    return made


async def repoint(side: Coolify, uuid: str, url: str) -> None:
    """Writes the connection string with every flag."""
    row = {"key": "DATABASE_URL", "value": url, "is_literal": True, "is_buildtime": False, "is_runtime": True}
    assert (await side.client.patch(f"/applications/{uuid}/envs/bulk", json={"data": [row]})).status_code == 201


async def seen(made: dict[str, Any], path: str = "status") -> dict[str, Any]:
    """What a user of the application gets."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{made['url']}/api/{path}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@contextlib.asynccontextmanager
async def reader(made: dict[str, Any]) -> AsyncIterator[Writer]:
    """A client that reads every 20 ms meanwhile."""
    client = Writer(made["url"], every=0.02, mode="read")
    task = asyncio.create_task(client.run())
    await until(lambda: client.good >= 3)
    try:
        yield client
    finally:
        client.stop()
        await task


async def test_a_repoint_without_a_build_swaps_the_process_and_fails_no_request(server: Databases) -> None:
    """Given a reader, when the string is rewritten and restarted, then a new process serves the new data, no gap."""
    old, new = await seeded(server, "old data"), await seeded(server, "new data")
    async with coolify(build_seconds=30) as side:
        made = await running(side, old)
        before = await seen(made)
        async with reader(made) as client:
            await repoint(side, made["uuid"], new)
            assert (await seen(made))["pid"] == before["pid"], "an env row alone changes nothing"
            restart = await side.post(f"/applications/{made['uuid']}/restart")
            row = await side.ended(restart["deployment_uuid"])
            after = await seen(made)
            at_swap = client.good
            await until(lambda: client.good >= at_swap + 5)
        assert row["status"] == "finished"
        assert "Build step skipped." in row["logs"]
        assert (after["text"], after["commit"]) == ("new data", before["commit"])
        assert after["pid"] != before["pid"]
        assert after["database"]["name"] != before["database"]["name"]
        assert client.summary()["failed"] == 0
        assert set(client.summary()["processes"]) == {str(before["pid"]), str(after["pid"])}
        with psycopg.connect(old, autocommit=True) as connection:
            ask = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

            def left() -> bool:
                row = connection.execute(ask).fetchone()
                return row == (0,)

            await until(left)


async def test_an_unhealthy_deployment_ends_failed_and_the_old_one_serves(server: Databases) -> None:
    """Given a database without the tables, when deployed to it, then failed, and the old process served throughout."""
    good, empty = await seeded(server, "still here"), await server.new()
    async with coolify() as side:
        made = await running(side, good, health_check_retries=3, health_check_interval=1)
        before = await seen(made)
        async with reader(made) as client:
            await repoint(side, made["uuid"], empty)
            row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "failed"
        assert "New container is not healthy, rolling back to the old container." in row["logs"]
        after = await seen(made)
        assert (after["pid"], after["text"]) == (before["pid"], "still here")
        assert client.summary()["failed"] == 0
        assert [p["pid"] for p in side.world.processes.list() if p["kind"] == "process"] == [before["pid"]]


async def test_a_commit_that_needs_a_missing_table_never_serves(server: Databases) -> None:
    """Given a push of a commit whose table nobody makes, when deployed, then failed and the good commit serves."""
    url = await seeded(server, "fine")
    async with coolify() as side:
        made = await running(side, url, health_check_retries=3, health_check_interval=1)
        side.service.push(made["uuid"], "missing_table")
        row = await side.ended(await side.deploy(made["uuid"]))
        assert (row["status"], row["commit"]) == ("failed", versions.MISSING_TABLE.sha)
        assert (await seen(made))["commit"] == versions.GOOD.sha


async def test_an_application_that_cannot_roll_stops_first_and_waits_for_nothing(server: Databases) -> None:
    """Given host ports, when deployed to a database without tables, then finished, and the service is broken."""
    good, empty = await seeded(server, "x"), await server.new()
    async with coolify() as side:
        made = await running(side, good, ports_mappings="8080:3000")
        await repoint(side, made["uuid"], empty)
        async with reader(made) as client:
            row = await side.ended(await side.deploy(made["uuid"]))
            await until(lambda: client.failed > 0)
        assert row["status"] == "finished"
        assert client.summary()["failed"] > 0
        async with httpx.AsyncClient(trust_env=False) as http:
            await side.service.runner.live(made["uuid"]).listening(10)  # type: ignore[union-attr]
            assert (await http.get(f"{made['url']}/api/health")).status_code == 503


async def test_an_application_that_migrates_at_start_does_so_before_it_serves(server: Databases) -> None:
    """Given a start command with migrations and the bad commit pushed, when deployed, then its rows are destroyed."""
    url = await seeded(server, "x")
    async with coolify() as side:
        made = await running(side, url, migrate_at_start=True)
        before = await seen(made, "progress")
        shown = await side.get(f"/applications/{made['uuid']}")
        assert "migrate" in shown["start_command"]
        side.service.push(made["uuid"], "bad_migration")
        row = await side.ended(await side.deploy(made["uuid"]))
        assert (row["status"], row["commit"]) == ("finished", versions.BAD_MIGRATION.sha)
        after = await seen(made, "progress")
        assert after["objective_progress"] == 0
        assert after["quest_progress"] < before["quest_progress"]


async def test_a_migration_that_fails_at_start_never_becomes_healthy(server: Databases) -> None:
    """Given a migration that cannot run, then the container ends and is restarted until the deployment fails."""
    url = await seeded(server, "x")
    with psycopg.connect(url) as connection:
        connection.execute('ALTER TABLE "User" ADD COLUMN "note" text')
    async with coolify() as side:
        made = await running(side, url, migrate_at_start=True, health_check_retries=3, health_check_interval=1)
        side.service.push(made["uuid"], "next")
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "failed"
        assert "migration failed: DuplicateColumn" in row["logs"]
        assert (await seen(made))["commit"] == versions.GOOD.sha


async def test_a_migration_before_the_deployment_runs_in_its_own_step(server: Databases) -> None:
    """Given a pre-deployment command, then it migrates before the new container; one that is not there fails."""
    url = await seeded(server, "x")
    async with coolify() as side:
        made = await running(side, url, pre_deployment_command="npx prisma migrate deploy")
        side.service.push(made["uuid"], "next")
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "finished"
        assert versions.NOTES.name in [e["output"] for e in json.loads(row["logs"])]
        await side.client.patch(f"/applications/{made['uuid']}", json={"pre_deployment_command": "make coffee"})
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "failed"
        assert "make: not found" in row["logs"]


async def test_after_a_restart_of_the_sandbox_the_same_thing_runs_at_the_same_address(server: Databases) -> None:
    """Given an env row written but not deployed, when the sandbox restarts, then the deployed one still runs."""
    old, new = await seeded(server, "deployed"), await seeded(server, "only written")
    async with coolify() as side:
        made = await running(side, old)
        before = await seen(made)
        await repoint(side, made["uuid"], new)
        await side.stop()
        await side.start()
        after = await seen(made)
        assert (after["text"], after["commit"]) == ("deployed", before["commit"])
        assert after["pid"] != before["pid"]


async def test_nothing_is_left_running_after_a_stop(server: Databases) -> None:
    """Given a deployment waiting for health, when the sandbox stops, then no process of either container is left."""
    url, empty = await seeded(server, "x"), await server.new()
    async with coolify() as side:
        made = await running(side, url)
        await repoint(side, made["uuid"], empty)
        await side.deploy(made["uuid"])

        def both() -> list[int]:
            pids = [p["pid"] for p in side.world.processes.list() if p["kind"] == "process"]
            return pids if len(pids) == 2 else []

        pids = await until(both)
        await side.stop()
        for pid in pids:
            assert not Path(f"/proc/{pid}").exists()
        await side.start()


async def test_the_password_of_the_database_is_in_no_answer_of_the_application(server: Databases) -> None:
    """Given a running application, then no endpoint and no log of it holds the password."""
    url = await seeded(server, "x")
    async with coolify() as side:
        made = await running(side, url)
        password = server.engine.admin_password
        async with httpx.AsyncClient(trust_env=False) as client:
            for path in ("health", "version", "process", "status", "quests", "progress"):
                assert password not in (await client.get(f"{made['url']}/api/{path}")).text
        for log in side.service.runner.folder(made["uuid"]).glob("*.log"):
            assert password not in log.read_text()
        assert password not in (await side.client.get(f"/applications/{made['uuid']}/logs")).text


async def test_a_client_that_others_wrote_works_against_it(server: Databases) -> None:
    """Given coolipy, then version, health, envs, writes, deploy, restart and its models work as against Coolify."""
    old, new = await seeded(server, "old"), await seeded(server, "new")
    async with coolify() as side:
        made = await running(side, old)

        def work() -> tuple[Any, ...]:
            client = Coolipy(side.token, "127.0.0.1", coolify_port=side.port, http_protocol="http", omit_port=False)
            version, health = client.version().data, client.health().data
            applications = client.applications
            envs = applications.envs(made["uuid"]).data
            row = EnvironmentVariableCreate(key="DATABASE_URL", value=old, is_literal=True, is_preview=False)
            bulk = applications.bulk_update_envs(made["uuid"], BulkEnvsUpdate(data=[row]))
            change = EnvironmentVariableUpdate(key="DATABASE_URL", value=new, is_literal=True)
            applications.update_env(made["uuid"], change)
            queued = client.deployments.deploy(uuid=made["uuid"], force=False).data
            return version, health, envs, bulk, queued

        version, health, envs, bulk, queued = await asyncio.to_thread(work)
        assert (version, health) == ("4.3.11", "OK")
        assert [(env.key, env.is_preview) for env in envs] == [("DATABASE_URL", False), ("DATABASE_URL", True)]
        assert bulk.status_code == 201
        [item] = queued.deployments
        assert (await side.ended(item.deployment_uuid))["status"] == "finished"
        assert (await seen(made))["text"] == "new"

        def read() -> tuple[Any, ...]:
            client = Coolipy(side.token, "127.0.0.1", coolify_port=side.port, http_protocol="http", omit_port=False)
            return client.deployments.get(item.deployment_uuid).data, client.applications.restart(made["uuid"]).data

        deployment, restarted = await asyncio.to_thread(read)
        assert (deployment.status, deployment.force_rebuild) == ("finished", False)
        assert (await side.ended(restarted.deployment_uuid))["status"] == "finished"
