# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pooled address: transaction pooling as PgBouncer does it, over very few server connections."""

from __future__ import annotations

import asyncio
import random
import select
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from psycopg import pq

from tests.sandbox.engine_world import wait_until
from tests.sandbox.proxy_world import ENDPOINT, Front, running_front, value

pytestmark = pytest.mark.asyncio(loop_scope="module")
BACKEND = "SELECT pg_backend_pid()"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Front]:
    """One proxy for the module, with a single server connection per role and database."""
    async with running_front(pool_size=1) as front:
        yield front


async def test_given_two_clients_when_their_transactions_take_turns_then_one_server_connection_serves_both(
    front: Front,
) -> None:
    """Neither keeps the server connection between transactions, and neither notices."""
    async with await front.pooled() as first, await front.pooled() as second:
        pids = set()
        for _ in range(3):
            for client in (first, second):
                async with client.transaction():
                    pids.add(await value(client, BACKEND))
                    await client.execute("UPDATE status SET text = text")
                    pids.add(await value(client, BACKEND))
        assert len(pids) == 1
        assert front.proxy.sessions(ENDPOINT) == 2


async def test_given_an_open_transaction_when_another_client_wants_one_then_it_waits_until_the_first_ends(
    front: Front,
) -> None:
    """With one server connection a second transaction starts when the first is over, and not before."""
    async with await front.pooled() as first, await front.pooled(autocommit=False) as second:
        async with first.transaction():
            await first.execute("UPDATE status SET text = 'from the first'")
            waiting = asyncio.create_task(value(second, "SELECT text FROM status"))
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
        assert await waiting == "from the first"
        await second.rollback()


async def test_given_a_failed_transaction_when_it_is_rolled_back_then_the_server_connection_is_free_again(
    front: Front,
) -> None:
    """A transaction in error is still a transaction: it keeps its server connection until it ends."""
    async with await front.pooled(autocommit=False) as first, await front.pooled() as second:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await first.execute("SELECT 1/0")
        waiting = asyncio.create_task(value(second, "SELECT 7"))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        await first.rollback()
        assert await waiting == 7


async def test_given_a_client_that_vanishes_in_a_transaction_when_others_come_then_its_work_is_rolled_back(
    front: Front,
) -> None:
    """Its server connection is not given to anyone else."""
    async with await front.pooled() as other:
        before = await value(other, "SELECT text FROM status")
        pid = await value(other, BACKEND)
        gone = await front.pooled(autocommit=False)
        await gone.execute("UPDATE status SET text = 'never committed'")
        await gone.close()
        assert await value(other, "SELECT text FROM status") == before
        assert await value(other, BACKEND) != pid


async def test_given_session_state_when_another_client_gets_the_connection_then_it_behaves_as_pgbouncer(
    front: Front,
) -> None:
    """In transaction mode a SET stays on the server connection, a temporary table too; SET LOCAL does not.
    The few parameters that are tracked belong to the client."""
    async with (
        await front.pooled(application_name="one") as first,
        await front.pooled(application_name="two") as second,
    ):
        await first.execute("SET statement_timeout = '54321ms'")
        assert await value(second, "SHOW statement_timeout") == "54321ms"
        async with first.transaction():
            await first.execute("SET LOCAL lock_timeout = '777ms'")
        assert await value(second, "SHOW lock_timeout") == "0"
        await first.execute("SET timezone = 'GMT'")
        await first.execute("SET DateStyle = 'German'")
        assert await value(second, "SHOW DateStyle") == "ISO, MDY"
        assert await value(first, "SHOW DateStyle") == "German, DMY"
        assert await value(first, "SHOW application_name") == "one"
        assert await value(second, "SHOW application_name") == "two"
        await second.execute("RESET statement_timeout")


async def test_given_statements_that_clients_prepare_when_they_run_on_a_shared_connection_then_each_is_its_own(
    front: Front,
) -> None:
    """psycopg names its prepared statements alike in every client, as other drivers do."""
    async with await front.pooled() as first, await front.pooled() as second:
        for number in range(4):
            for client, text in ((first, "first"), (second, "second")):
                cursor = await client.execute("SELECT %s::text || " + f"' {text}'", (number,), prepare=True)
                assert await cursor.fetchone() == (f"{number} {text}",)
        await first.execute("DEALLOCATE ALL")
        cursor = await second.execute("SELECT %s::text || ' second'", (9,), prepare=True)
        assert await cursor.fetchone() == ("9 second",)


async def test_given_a_statement_that_cannot_be_prepared_when_others_follow_then_nothing_is_out_of_step(
    front: Front,
) -> None:
    """After an error the server skips what was sent with it; what the pool believes to be prepared must fit."""
    async with await front.pooled() as first, await front.pooled() as second:
        for client in (first, second, first):
            with pytest.raises(psycopg.errors.UndefinedTable):
                await client.execute("SELECT * FROM not_yet_there WHERE 1 = %s", (1,), prepare=True)
        await first.execute("CREATE TABLE not_yet_there AS SELECT 5 AS five")
        for client in (first, second):
            cursor = await client.execute("SELECT * FROM not_yet_there WHERE 1 = %s", (1,), prepare=True)
            assert await cursor.fetchone() == (5,)
        await first.execute("DROP TABLE not_yet_there")


async def test_given_pipelines_when_clients_send_them_at_once_then_every_answer_is_theirs(front: Front) -> None:
    """Many statements in one go, with errors in between."""
    async with await front.pooled() as first, await front.pooled() as second:

        async def pipeline(client: psycopg.AsyncConnection[object], mark: str) -> None:
            for _ in range(3):
                async with client.pipeline():
                    cursors = [
                        await client.execute("SELECT %s::text || %s::text", (mark, number)) for number in range(20)
                    ]
                    for number, cursor in enumerate(cursors):
                        assert await cursor.fetchone() == (f"{mark}{number}",)
                with pytest.raises(psycopg.errors.DivisionByZero):
                    async with client.pipeline():
                        await client.execute("SELECT 1 / %s::int", (0,))
                        await client.execute("SELECT 1 / %s::int", (1,))

        await asyncio.gather(pipeline(first, "a"), pipeline(second, "b"))


async def test_given_a_copy_that_fails_when_the_client_goes_on_then_the_session_is_sound(front: Front) -> None:
    """Simple and prepared COPY; the rest of the data is dropped."""
    async with await front.pooled() as first, await front.pooled() as second:
        await first.execute("CREATE TABLE IF NOT EXISTS numbers (number int)")
        for _ in range(2):
            async with first.cursor() as cursor:
                with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                    async with cursor.copy("COPY numbers FROM STDIN") as copy:
                        for text in ("1\n", "not a number\n", *(["2\n"] * 5000)):
                            await copy.write(text)
            assert await value(second, "SELECT count(*) FROM numbers") == 0
            async with first.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
                await copy.write("3\n")
            assert await value(second, "SELECT sum(number) FROM numbers") == 3
            await first.execute("TRUNCATE numbers")


async def test_given_a_copy_by_the_extended_protocol_when_it_ends_then_the_connection_is_given_back_in_step(
    front: Front,
) -> None:
    """The server ignores the Sync that a driver sends before the data, and answers the one after it."""
    async with await front.pooled() as first, await front.pooled() as second:
        await first.execute("CREATE TABLE IF NOT EXISTS numbers (number int)")

        def copy_prepared(text: bytes) -> pq.ExecStatus:
            assert first.pgconn.exec_params(b"COPY numbers FROM STDIN", None).status == pq.ExecStatus.COPY_IN
            first.pgconn.put_copy_data(text)
            first.pgconn.put_copy_end()
            while first.pgconn.is_busy():  # waiting inside get_result would hold the interpreter's lock
                select.select([first.pgconn.socket], [], [], 10)
                first.pgconn.consume_input()
            result = first.pgconn.get_result()
            assert result and first.pgconn.get_result() is None
            return pq.ExecStatus(result.status)

        for text, status in (
            (b"1\n2\n", pq.ExecStatus.COMMAND_OK),
            (b"wrong\n", pq.ExecStatus.FATAL_ERROR),
            (b"4\n", pq.ExecStatus.COMMAND_OK),
        ):
            first.pgconn.nonblocking = 0
            assert await asyncio.to_thread(copy_prepared, text) == status
            first.pgconn.nonblocking = 1
            assert await value(second, "SELECT 1") == 1
        assert await value(first, "SELECT sum(number) FROM numbers") == 7
        await first.execute("DROP TABLE numbers")


async def test_given_startup_parameters_when_a_pooled_client_sends_them_then_only_tracked_ones_are_taken(
    front: Front,
) -> None:
    """Options are dropped as on Neon; others are refused in PgBouncer's words."""
    async with await front.pooled(options="-c statement_timeout=1ms", client_encoding="LATIN1") as client:
        assert await value(client, "SHOW client_encoding") == "LATIN1"
        assert await value(client, "SHOW statement_timeout") == "0"
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter: replication"):
        await front.pooled(replication="database")
    with pytest.raises(psycopg.OperationalError, match="encoding"):
        await front.pooled(client_encoding="KLINGON")


async def test_given_a_pooled_server_connection_that_is_ended_when_a_client_comes_back_then_it_gets_another(
    front: Front,
) -> None:
    """An idle one is replaced unseen; a client whose transaction it was is told."""
    async with await front.pooled() as client:
        pid = await value(client, BACKEND)
        await front.engine.execute(front.computes.timeline, "SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert await value(client, BACKEND) != pid
        busy = await front.pooled(autocommit=False)
        pid = await value(busy, BACKEND)
        await front.engine.execute(front.computes.timeline, "SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(psycopg.errors.AdminShutdown):
            await busy.execute("SELECT 1")
        assert await value(client, "SELECT 1") == 1


async def test_given_many_clients_when_they_work_at_random_then_every_sum_is_right(
    front: Front, rng: random.Random
) -> None:
    """Twelve clients, one server connection: transfers between rows keep their total."""
    async with await front.pooled() as client:
        await client.execute("CREATE TABLE purse AS SELECT n AS owner, 100 AS coins FROM generate_series(1, 5) n")

    async def trade(moves: list[tuple[int, int, int]]) -> None:
        async with await front.pooled() as client:
            for giver, taker, coins in moves:
                async with client.transaction(force_rollback=coins == 0):
                    await client.execute("UPDATE purse SET coins = coins - %s WHERE owner = %s", (coins + 7, giver))
                    await client.execute("UPDATE purse SET coins = coins + %s WHERE owner = %s", (coins + 7, taker))

    await asyncio.gather(
        *(trade([(rng.randint(1, 5), rng.randint(1, 5), rng.randint(0, 3)) for _ in range(12)]) for _ in range(12))
    )
    async with await front.pooled() as client:
        assert await value(client, "SELECT sum(coins) FROM purse") == 500
        await client.execute("DROP TABLE purse")
    await wait_until(lambda: front.proxy.sessions(ENDPOINT) == 0)
