# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application: its data, its patience with a database that comes and goes, its clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from sandbox.ports import pick_port
from sandbox.tracker import seed as seeding
from sandbox.tracker import versions
from sandbox.tracker.migrations import migrate
from sandbox.tracker.writer import Writer
from tests.support.coolify import Databases, databases, until
from tests.support.sandbox import CLONE

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Databases]:
    """A real PostgreSQL server."""
    async with databases() as made:
        yield made


@contextlib.asynccontextmanager
async def tracker(url: str, **environment: str) -> AsyncIterator[httpx.AsyncClient]:
    """An application process and a client of it; waits until it listens."""
    port = pick_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox.tracker",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CLONE), "PORT": str(port), "DATABASE_URL": url}
        | environment,
        stdin=asyncio.subprocess.DEVNULL,
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20.0) as client:

        async def answers() -> bool:
            assert process.returncode is None, "the application ended"
            with contextlib.suppress(httpx.TransportError):
                return (await client.get("/api/version")).status_code == 200
            return False

        try:
            await until(answers)
            yield client
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 10)


class Relay:
    """A TCP relay to the server that can be cut."""

    def __init__(self, target: int) -> None:
        self.port = pick_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Lets connections through."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Refuses new connections and cuts those there are."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.transport.abort()


async def seeded(server: Databases, rows: int = 300) -> str:
    """A database with data."""
    url = await server.new()
    await asyncio.to_thread(seeding.seed_database, url, rows=rows, seed=7)
    return url


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


async def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    """Given two runs with one seed, then every row of every table is equal; with another seed it is not."""

    def rows(seed: int) -> list[tuple[str, list[tuple[Any, ...]]]]:
        return [(name, list(made)) for name, _, made in seeding.generate(500, seed)]

    assert rows(7) == rows(7)
    assert rows(7) != rows(8)


async def test_a_seeded_database_has_the_promised_rows_and_types(server: Databases) -> None:
    """Given 1,000 progress rows asked for, then there are 1,000, with milliseconds, arrays, enums and sequences."""
    url = await server.new()
    report = await asyncio.to_thread(seeding.seed_database, url, rows=1000, seed=11)
    assert report.rows["QuestProgress"] + report.rows["ObjectiveProgress"] == 1000
    assert query(url, 'SELECT count(*) FROM "QuestProgress"') == [(400,)]
    [(milliseconds,)] = query(
        url, 'SELECT count(*) FROM "User" WHERE extract(milliseconds FROM "createdAt")::int % 1000 > 0'
    )
    assert milliseconds > 0
    [(lists,)] = query(url, """SELECT count(*) FROM "Quest" WHERE 'a "lucky" charm' = ANY ("rewards")""")
    assert lists > 0
    [(following, greatest)] = query(
        url, """SELECT nextval('"ObjectiveProgress_id_seq"'), (SELECT max("id") FROM "ObjectiveProgress")"""
    )
    assert following == greatest + 1
    assert query(url, 'SELECT "migration_name" FROM "_prisma_migrations" ORDER BY 1') == [
        (versions.INIT.name,),
        (versions.INDEX.name,),
    ]


async def test_seeding_twice_is_refused_and_reset_allows_it(server: Databases) -> None:
    """Given data, when it is seeded again, then nothing is added; after a reset the same rows come back."""
    url = await seeded(server)
    before = query(url, 'SELECT sum(hash_record_extended(t, 0)) FROM "QuestProgress" t')
    with pytest.raises(ValueError, match="seeded already"):
        seeding.seed_database(url, rows=300, seed=7)
    seeding.reset(url)
    assert query(url, 'SELECT count(*) FROM "QuestProgress"') == [(0,)]
    seeding.seed_database(url, rows=300, seed=7)
    assert query(url, 'SELECT sum(hash_record_extended(t, 0)) FROM "QuestProgress" t') == before


async def test_the_bad_migration_destroys_rows_and_is_recorded_once(server: Databases) -> None:
    """Given data, when the bad commit migrates, then progress is gone; a second run applies nothing."""
    url = await seeded(server)
    assert migrate(url, versions.BAD_MIGRATION) == [versions.DESTROY.name]
    assert query(url, 'SELECT count(*) FROM "ObjectiveProgress"') == [(0,)]
    [(left,)] = query(url, 'SELECT count(*) FROM "QuestProgress"')
    assert 0 < left < 120
    assert migrate(url, versions.BAD_MIGRATION) == []


async def test_the_seeder_says_its_seed_and_fails_without_showing_the_password(server: Databases) -> None:
    """Given a wrong password, then the message names the problem and holds no part of the connection string."""
    secret = "w3-vXq81ZsLm20bTtKcPn4"
    url = f"postgresql://cloud_admin:{secret}@127.0.0.1:{server.port}/postgres?sslmode=prefer"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox.tracker.seed",
        "--seed",
        "42",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CLONE), "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert b"seed 42" in output
    assert secret.encode() not in output


async def test_it_starts_without_a_database_and_recovers_when_there_is_one(server: Databases) -> None:
    """Given no schema yet, then the process serves and its health is 503; once the schema is there it is 200."""
    url = await server.new()
    async with tracker(url) as client:
        answer = await client.get("/api/health")
        assert (answer.status_code, answer.json()["error"]) == (503, "UndefinedTable")
        await asyncio.to_thread(migrate, url, versions.GOOD)
        assert (await client.get("/api/health")).status_code == 200


async def test_nothing_listening_is_503_and_no_password_shows() -> None:
    """Given an address where no server is, then health is 503 soon and no answer holds the password."""
    secret = "q7-Lx0vRb29TnWc51MzAa"
    async with tracker(f"postgresql://someone:{secret}@127.0.0.1:1/none") as client:
        answer = await client.get("/api/health")
        shown = answer.text + (await client.get("/api/process")).text
        assert answer.status_code == 503
        assert secret not in shown
        assert "someone" in shown


@pytest.mark.parametrize("url", ["", "dbname=tracker", "postgresql:///tracker"])
async def test_without_a_server_in_its_connection_string_it_serves_none(url: str) -> None:
    """Given a string that leaves the server to libpq, then service and migrations end instead of taking any."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CLONE), "DATABASE_URL": url, "MIGRATE_AT_START": "1"}
    for module, said in (("sandbox.tracker", "DATABASE_URL"), ("sandbox.tracker.migrations", "with its host")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode
        assert said in errors.decode()


async def test_a_body_that_cannot_be_stored_is_the_clients_error() -> None:
    """Given odd values, then 422 and no request fails in the service."""
    bodies = [("progress", f'{{"quest": {value}}}') for value in ("[]", "Infinity", "-1", "1e300", '"²"', "{}")]
    bodies += [("status", f'{{"text": {value}}}') for value in ("null", r'"\u0000"', r'"\ud800"')]
    async with tracker("postgresql://someone@127.0.0.1:1/none") as client:
        for path, content in bodies:
            kind = {"Content-Type": "application/json; charset=nope"}
            answer = await client.post(f"/api/{path}", content=content, headers=kind)
            assert answer.status_code == 422, content


async def test_a_read_survives_connections_cut_under_it(server: Databases) -> None:
    """Given warm connections, when the server cuts all of them, then the next reads and writes succeed at once."""
    url = await seeded(server)
    async with tracker(url) as client:
        await asyncio.gather(*(client.get("/api/status") for _ in range(8)))
        for _ in range(3):
            query(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            assert (await client.get("/api/status")).status_code == 200
            assert (await client.post("/api/progress", json={})).status_code == 201


async def test_a_database_that_is_away_for_a_second_costs_little_more_than_that(server: Databases) -> None:
    """Given warm connections, when the server cannot be reached for a second, then reads end soon after it can."""
    url = await seeded(server)
    relay = Relay(server.port)
    await relay.open()
    async with tracker(url.replace(f":{server.port}/", f":{relay.port}/")) as client:
        await asyncio.gather(*(client.get("/api/status") for _ in range(8)))
        await relay.close()
        waiting = asyncio.gather(*(client.get("/api/status") for _ in range(4)))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        await relay.open()
        began = time.monotonic()
        assert [answer.status_code for answer in await waiting] == [200] * 4
        assert time.monotonic() - began < 1.5
    await relay.close()


async def test_a_write_that_the_database_refuses_is_503_and_reads_go_on(server: Databases) -> None:
    """Given a database fenced read-only, then new connections read and do not write."""
    url = await seeded(server)
    name = query(url, "SELECT current_database()")[0][0]
    query(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with tracker(url) as client:
        refused = await client.post("/api/status", json={"text": "after the fence"})
        assert (refused.status_code, refused.json()["error"]) == (503, "ReadOnlySqlTransaction")
        assert (await client.get("/api/status")).json()["database"]["read_only"] is True


async def test_the_status_text_and_progress_are_written_and_shown(server: Databases) -> None:
    """Given a text and a progress row written through it, then they are read back through it."""
    url = await seeded(server)
    async with tracker(url, SOURCE_COMMIT=versions.NEXT.sha) as client:
        written = (await client.post("/api/status", json={"text": "§ 1: before"})).json()
        shown = (await client.get("/api/status")).json()
        assert (shown["text"], shown["updated_at"]) == ("§ 1: before", written["updated_at"])
        assert shown["commit"] == versions.NEXT.sha
        before = (await client.get("/api/progress")).json()
        made = (await client.post("/api/progress", json={"status": "COMPLETED"})).json()
        after = (await client.get("/api/progress")).json()
        assert after["quest_progress"] == before["quest_progress"] + int(made["created"])
        assert after["newest"] == made["updated_at"]
        assert len((await client.get("/api/quests?limit=3")).json()["quests"]) == 3


async def test_a_commit_whose_table_is_missing_is_unhealthy(server: Databases) -> None:
    """Given a database of the good commit, when a commit that needs another table runs on it, then health is 503."""
    url = await seeded(server)
    async with tracker(url, SOURCE_COMMIT="missing_table") as client:
        answer = await client.get("/api/health")
        assert (answer.status_code, answer.json()["error"]) == (503, "UndefinedTable")


async def test_it_migrates_at_start_when_told(server: Databases) -> None:
    """Given MIGRATE_AT_START=1 and an empty database, then the commit's migrations are there when it listens."""
    url = await server.new()
    async with tracker(url, SOURCE_COMMIT="next", MIGRATE_AT_START="1") as client:
        assert (await client.get("/api/health")).status_code == 200
    assert (versions.NOTES.name,) in query(url, 'SELECT "migration_name" FROM "_prisma_migrations"')


async def test_the_writer_tells_how_long_it_could_not_write(server: Databases) -> None:
    """Given a writer, when the table is locked away for a while, then one gap of about that length is reported."""
    url = await seeded(server)
    async with tracker(url) as client:
        writer = Writer(str(client.base_url), every=0.02)
        running = asyncio.create_task(writer.run())
        await until(lambda: writer.good >= 5)
        await asyncio.to_thread(query, url, 'ALTER TABLE "QuestProgress" RENAME TO "Away"')
        await until(lambda: writer.failed >= 10)
        await asyncio.to_thread(query, url, 'ALTER TABLE "Away" RENAME TO "QuestProgress"')
        good = writer.good
        await until(lambda: writer.good >= good + 5)
        writer.stop()
        await running
    told = writer.summary()
    assert len(told["gaps"]) == 1
    assert told["gaps"][0]["errors"] == {"HTTP 503": told["failed"]}
    assert told["longest_gap"] == told["gaps"][0]["seconds"] >= 0.15
    assert told["good"] >= 10


async def test_the_writer_as_a_program_saves_its_summary(server: Databases, tmp_path: Path) -> None:
    """Given the reader as a program, when it is ended by SIGTERM, then its summary names the process that answered."""
    url = await seeded(server)
    out = tmp_path / "gaps.json"
    async with tracker(url) as client:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sandbox.tracker.writer",
            "--url",
            str(client.base_url),
            "--mode",
            "read",
            "--out",
            str(out),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CLONE)},
            stdout=asyncio.subprocess.PIPE,
        )
        pid = (await client.get("/api/process")).json()["pid"]
        backends = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tracker %'"
        await until(lambda: query(url, backends)[0][0] > 0)
        process.terminate()
        output, _ = await process.communicate()
    assert process.returncode == 0
    told = json.loads(out.read_text())
    assert told == json.loads(output)
    assert told["failed"] == 0
    assert set(told["processes"]) == {str(pid)}


async def test_the_writer_ends_when_what_started_it_was_killed() -> None:
    """Given a program that starts the writer and is killed by SIGKILL, then the writer ends by itself."""
    starts = (
        "import os, subprocess, sys, time\n"
        "command = [sys.executable, '-m', 'sandbox.tracker.writer', '--url', 'http://127.0.0.1:9', '--parent',"
        " str(os.getpid())]\n"
        "print(subprocess.Popen(command, stdout=subprocess.DEVNULL).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CLONE)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", starts, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    writer = Path("/proc") / (await process.stdout.readline()).decode().strip()
    assert writer.exists()
    process.kill()
    await process.wait()

    def ended() -> bool:
        try:
            return (writer / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    await until(ended)
