# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaching a compute through the proxy: TLS, the host name, logging in, waking, cancelling, being dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from tests.sandbox.engine_world import DATABASE, OWNER, PASSWORD, wait_until, write
from tests.sandbox.proxy_world import BRANCH, DISABLED, ENDPOINT, Front, running_front, value

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Front]:
    """One proxy for the module."""
    async with running_front() as front:
        yield front


async def test_given_the_string_of_an_endpoint_when_used_then_the_session_is_encrypted_bound_and_on_its_server(
    front: Front,
) -> None:
    """TLS with channel binding required by the client, as the role, in the database."""
    async with await front.connect() as connection:
        assert await value(connection, "SELECT current_user || ' ' || current_database()") == f"{OWNER} {DATABASE}"
        assert await value(connection, "SELECT inet_server_port()") == await front.engine.ensure_running(
            front.computes.timeline
        )
        encrypted = await value(connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert encrypted == front.engine.backend_tls
        assert await value(connection, "SELECT pg_backend_pid()") == connection.info.backend_pid


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
async def test_given_the_sandbox_authority_when_the_client_verifies_then_the_host_name_is_certified(
    front: Front, sslmode: str
) -> None:
    """The certificate names every endpoint of every region, direct and pooled."""
    authority = str(front.engine.certificates.authority)
    async with await front.connect(sslmode=sslmode, sslrootcert=authority) as connection:
        assert await value(connection, "SELECT 1") == 1
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        await front.connect(f"{ENDPOINT}.neon.example", sslmode="verify-full", sslrootcert=authority)


@pytest.mark.parametrize("channel_binding", ["disable", "prefer"])
async def test_given_a_client_without_channel_binding_when_it_logs_in_then_plain_scram_is_enough(
    front: Front, channel_binding: str
) -> None:
    """Not every driver can bind to the channel."""
    async with await front.connect(channel_binding=channel_binding) as connection:
        assert await value(connection, "SELECT 1") == 1


async def test_given_a_client_that_starts_with_tls_at_once_when_it_connects_then_it_is_served(front: Front) -> None:
    """``sslnegotiation=direct`` of libpq 17 and newer saves a round trip."""
    async with await front.connect(sslnegotiation="direct") as connection:
        assert await value(connection, "SELECT 1") == 1


async def test_given_a_wrong_password_or_an_unknown_role_when_logging_in_then_both_read_the_same(front: Front) -> None:
    """Nothing tells a stranger which roles there are."""
    for parameters in ({"password": "wrong"}, {"user": "nobody_here"}):
        user = parameters.get("user", OWNER)
        with pytest.raises(psycopg.OperationalError, match=f"password authentication failed for user '{user}'"):
            await front.connect(**parameters)
    # cloud_admin exists on every server, and its password is nobody's but the engine's
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await front.connect(user="cloud_admin", password=front.engine.admin_password)


async def test_given_no_tls_when_connecting_then_it_is_refused(front: Front) -> None:
    """Neon takes encrypted connections only."""
    with pytest.raises(psycopg.OperationalError, match="connection is insecure"):
        await front.connect(sslmode="disable", channel_binding=None)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("ep-not-there-00000000", "endpoint could not be found"),
        (DISABLED, "endpoint has been disabled. Enable it using Neon API and retry"),
    ],
)
async def test_given_an_unknown_or_disabled_endpoint_when_connecting_then_the_reason_is_read(
    front: Front, host: str, message: str
) -> None:
    """Direct and pooled alike."""
    for name in (host, f"{host}-pooler"):
        with pytest.raises(psycopg.OperationalError, match=message):
            await front.connect(name)


async def test_given_a_client_without_server_name_when_it_names_the_endpoint_in_options_then_it_is_served(
    front: Front,
) -> None:
    """Old drivers send no host name in TLS; the rest of the options still reaches the server."""
    options = f"endpoint={ENDPOINT} -c statement_timeout=4321"
    async with await front.connect(sslsni="0", options=options) as connection:
        assert await value(connection, "SHOW statement_timeout") == "4321ms"
    with pytest.raises(psycopg.OperationalError, match="Endpoint ID is not specified"):
        await front.connect(sslsni="0")
    with pytest.raises(psycopg.OperationalError, match="Inconsistent project name"):
        await front.connect(options="endpoint=ep-other-one-12345678")


async def test_given_a_database_that_does_not_exist_when_connecting_then_the_servers_own_error_is_read(
    front: Front,
) -> None:
    """Direct and pooled."""
    for host in (ENDPOINT, f"{ENDPOINT}-pooler"):
        with pytest.raises(psycopg.OperationalError, match='database "nothing" does not exist'):
            await front.connect(host, dbname="nothing")


async def test_given_a_suspended_compute_when_a_client_connects_then_it_wakes(front: Front) -> None:
    """And both ends of every session are counted."""
    await front.engine.stop_timeline(front.computes.timeline)
    woken = front.computes.woken
    async with await front.connect() as connection:
        assert await value(connection, "SELECT 1") == 1
        assert front.proxy.sessions(ENDPOINT) == 1
    assert front.computes.woken == woken + 1
    await wait_until(lambda: front.proxy.sessions(ENDPOINT) == 0)
    assert front.computes.connections == front.computes.endings


async def test_given_a_server_that_was_moved_while_a_client_connects_when_asked_again_then_it_is_served(
    front: Front,
) -> None:
    """A compute may be suspended between the answer where it is and the connection to it."""
    real = front.computes.route
    stale: list[int] = []

    async def route_to_a_stopped_server_first(**question: object) -> object:
        route = await real(**question)  # type: ignore[arg-type]
        if not stale:
            stale.append(route.port)
            await front.engine.stop_timeline(route.timeline)
        return route

    front.computes.route = route_to_a_stopped_server_first  # type: ignore[method-assign,assignment]
    try:
        async with await front.connect() as connection:
            assert await value(connection, "SELECT 1") == 1
    finally:
        front.computes.route = real  # type: ignore[method-assign]
    assert stale


@pytest.mark.parametrize("host", [ENDPOINT, f"{ENDPOINT}-pooler"])
async def test_given_a_long_statement_when_the_client_cancels_it_then_it_ends_and_the_session_goes_on(
    front: Front, host: str
) -> None:
    """The cancel request names the proxy's session; the server's own key is never shown."""
    async with await front.connect(host) as connection:
        running = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await wait_until(lambda: _sleeping(front), what="the statement runs")
        await connection.cancel_safe(timeout=10)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running
        assert await value(connection, "SELECT 1") == 1


async def test_given_a_cancel_request_with_a_wrong_key_when_it_arrives_then_nothing_is_cancelled(front: Front) -> None:
    """Also without TLS, as older clients send it."""
    async with await front.connect() as connection:
        running = asyncio.create_task(connection.execute("SELECT pg_sleep(0.6)"))
        await wait_until(lambda: _sleeping(front), what="the statement runs")
        reader, writer = await asyncio.open_connection("127.0.0.1", front.proxy.port)
        writer.write(bytes.fromhex("0000001004d2162e") + connection.info.backend_pid.to_bytes(4) + b"none")
        assert await reader.read() == b""
        writer.close()
        await running


async def _sleeping(front: Front) -> bool:
    rows = await front.engine.execute(
        front.computes.timeline,
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'",
    )
    return bool(rows)


@pytest.mark.parametrize("host", [ENDPOINT, f"{ENDPOINT}-pooler"])
async def test_given_many_rows_when_copied_in_and_out_then_none_is_lost(front: Front, host: str) -> None:
    """A hundred thousand rows each way."""
    count = 100_000
    async with await front.connect(host) as connection:
        await connection.execute("DROP TABLE IF EXISTS many")
        await connection.execute("CREATE TABLE many (number int, text text)")
        block = "".join(f"{number}\trow {number}\n" for number in range(count))
        async with connection.cursor() as cursor:
            async with cursor.copy("COPY many FROM STDIN") as copy:
                for begin in range(0, len(block), 1 << 16):
                    await copy.write(block[begin : begin + (1 << 16)])
            assert await value(connection, "SELECT sum(number) FROM many") == count * (count - 1) // 2
            received = bytearray()
            async with cursor.copy("COPY (SELECT * FROM many ORDER BY number) TO STDOUT") as copy:
                async for chunk in copy:
                    received += chunk
        assert received.decode() == block


@pytest.mark.parametrize("host", [ENDPOINT, f"{ENDPOINT}-pooler"])
async def test_given_clients_of_a_compute_when_it_is_dropped_then_all_are_gone_and_new_ones_are_served(
    front: Front, host: str
) -> None:
    """What a restore does to connections: the same string works again a moment later."""
    idle, busy = await front.connect(host), await front.connect(host)
    running = asyncio.create_task(busy.execute("SELECT pg_sleep(60)"))
    await wait_until(lambda: _sleeping(front), what="the statement runs")
    await front.proxy.drop(ENDPOINT)

    assert front.proxy.sessions(ENDPOINT) == 0
    for connection, work in ((idle, idle.execute("SELECT 1")), (busy, running)):
        with pytest.raises(psycopg.OperationalError):
            await work
        assert connection.closed
    async with await front.connect(host) as connection:
        assert await value(connection, "SELECT 1") == 1


async def test_given_a_server_that_stops_when_a_client_is_idle_on_it_then_the_client_reads_why(front: Front) -> None:
    """The server's last words go through."""
    connection = await front.connect()
    await front.engine.stop_timeline(front.computes.timeline)
    with pytest.raises(psycopg.errors.AdminShutdown):
        await connection.execute("SELECT 1")


async def test_given_a_host_of_a_branch_and_an_instant_when_connecting_then_the_past_is_read_and_cannot_be_written(
    front: Front,
) -> None:
    """Time travel works with today's password even when that role had another one then."""
    timeline = front.computes.timeline
    instant = await write(front.engine, timeline, "as it was")
    await write(front.engine, timeline, "as it is")
    past = {"host": BRANCH, "options": f"neon_timestamp:{instant.isoformat()}"}
    # Without TLS behind the proxy (a matter of the build) the password of that time counts.
    changed = {OWNER: "npg_changed-0d9b7a3c51e24f68" if front.engine.backend_tls else PASSWORD}
    await front.engine.apply_passwords(timeline, changed)
    before, front.computes.passwords = front.computes.passwords, changed
    try:
        async with await front.connect(password=changed[OWNER], **past) as connection:
            assert await value(connection, "SELECT text FROM status") == "as it was"
            for statement in ("UPDATE status SET text = 'x'", "SET transaction_read_only = off"):
                with pytest.raises(psycopg.errors.Error):
                    await connection.execute(statement.encode())
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await front.connect(password="wrong", **past)
    finally:
        front.computes.passwords = before
        await front.engine.apply_passwords(timeline, before)


async def test_given_garbage_when_it_is_sent_then_the_connection_is_closed_and_others_go_on(front: Front) -> None:
    """Port scanners, HTTP clients, half-open connections."""
    async with await front.connect() as connection:
        for garbage in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x00\x05hello",
            b"\0\0\0\x08\x04\xd2\x16\x2fgarbage",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.proxy.port)
            writer.write(garbage)
            if writer.can_write_eof():
                writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 10)
            writer.close()
        assert await value(connection, "SELECT 1") == 1


async def test_given_secrets_when_the_proxy_and_the_engine_work_then_no_file_in_clear_holds_them(front: Front) -> None:
    """Server logs and data directories hold no password of a role."""
    secret = "npg_never-written-7c1f2e9a4b"
    await front.engine.apply_passwords(front.computes.timeline, {OWNER: secret})
    for path in Path(front.engine.root).rglob("*"):
        if path.is_file() and path.name != "store.json":
            assert secret.encode() not in path.read_bytes(), path
    await front.engine.apply_passwords(front.computes.timeline, front.computes.passwords)
