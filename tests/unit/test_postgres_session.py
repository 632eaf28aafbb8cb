# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions: which strings are understood, what is waited for and what is not, and that one snapshot is one instant."""

from __future__ import annotations

import socket
from typing import Any

import psycopg
import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._postgres import session as sessions
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import (
    Address,
    ConnectionFailed,
    DatabaseError,
    Limits,
    connect,
    jsonable,
)
from ansible_collections.rewind.database.tests.unit.postgres_cluster import OWNER, Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import HOST, POOLER, address, uri
from ansible_collections.rewind.database.tests.unit.tools import FakeClock


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> str:
    return cluster.create_database(
        "CREATE SCHEMA app; CREATE TABLE app.notes (n int); INSERT INTO app.notes VALUES (1)"
    )


def test_parameters_of_other_drivers_do_not_get_in_the_way(cluster: Cluster, database: str) -> None:
    """Given a string as an ORM writes it, when a session is opened, then it works and its schema is the search path."""
    parameters = "sslmode=require&schema=app&pgbouncer=true&connection_limit=5&pool_timeout=10"
    with connect(address(cluster, database, parameters=parameters)) as session, session.snapshot():
        assert session.one("SELECT n FROM notes") == {"n": 1}
        assert session.tls


@pytest.mark.parametrize("parameters", ["ssl=true", "sslmode=no-verify"])
def test_other_words_for_tls_still_mean_tls(cluster: Cluster, database: str, parameters: str) -> None:
    """Given what JDBC and node-postgres write, when a session is opened, then TLS is demanded."""
    found = address(cluster, database, parameters=parameters)
    assert "sslmode=require" in found.conninfo
    with connect(found) as session:
        assert session.tls


def test_a_session_says_who_it_is_and_is_read_only(cluster: Cluster, database: str) -> None:
    """Given a reader's session, then it is called rewind, and cannot write, in a snapshot or out of it."""
    with connect(address(cluster, database)) as session:
        assert session.one("SELECT current_setting('application_name') AS name") == {"name": "rewind"}
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            session.run(("CREATE TABLE t (n int)", None))
        with pytest.raises(DatabaseError, match="read-only transaction"), session.snapshot():
            session.run(("DELETE FROM app.notes", None))


def test_a_pooler_is_known_by_its_host_and_gets_no_session_settings(cluster: Cluster, database: str) -> None:
    """Given a pooled address, when it is read from, then no setting stays with the server's connection."""
    pooled = address(cluster, database, pooled=True)
    assert pooled.pooled and pooled.host == POOLER and not address(cluster, database).pooled
    with connect(pooled) as session:
        with session.snapshot():
            session.run(("SELECT 1", None), ("SELECT 2", None))
            assert session.one("SHOW transaction_read_only") == {"transaction_read_only": "on"}
        after = session.one(
            "SELECT current_setting('statement_timeout') AS s, current_setting('default_transaction_read_only') AS r"
        )
        assert after == {"s": "0", "r": "off"}


def test_a_wrong_password_fails_at_once_and_is_not_shown(cluster: Cluster, database: str, clock: FakeClock) -> None:
    """Given a wrong password, when a session is opened, then nothing is tried again and the password is nowhere."""
    wrong = "npg_w7Rk2Zp9Qx4Lm6Tb8Vc1"
    text = uri(cluster, database).replace(cluster.passwords[OWNER], wrong)
    with pytest.raises(ConnectionFailed) as caught, connect(Address.of(text)):
        pass
    assert clock.slept == []
    assert not caught.value.retryable
    assert f"connect to {HOST}:{cluster.port}/{database} as {OWNER}" in caught.value.msg
    assert wrong not in caught.value.msg and wrong not in repr(Address.of(text))


def test_a_compute_that_is_starting_is_waited_for(
    cluster: Cluster, database: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server that refuses twice because it starts, when a session is opened, then the third attempt gets it."""
    real, answers = psycopg.connect, ["the database system is starting up", "Connection refused"]

    def starting(*arguments: Any, **options: Any) -> psycopg.Connection[Any]:
        if answers:
            raise psycopg.OperationalError(f"connection failed: {answers.pop(0)}")
        return real(*arguments, **options)

    monkeypatch.setattr(psycopg, "connect", starting)
    with connect(address(cluster, database)) as session:
        assert session.one("SELECT 1 AS one") == {"one": 1}
    assert clock.slept == [0.25, 0.5]


def test_a_server_that_never_comes_is_given_up_in_time(cluster: Cluster, clock: FakeClock) -> None:
    """Given a port on which nobody listens, when a session is opened, it is tried until the deadline, no longer."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        text = f"postgresql://u:npg_w7Rk2Zp9Qx4Lm6Tb8Vc1@{HOST}:{port}/d?hostaddr=127.0.0.1"
        with pytest.raises(ConnectionFailed, match="efused") as caught, connect(Address.of(text), Limits(ready=20)):
            pass
    assert caught.value.retryable and "connect_deadline" in caught.value.hint
    assert 10 < sum(clock.slept) <= 20


@pytest.mark.parametrize(
    ("text", "attempts", "said"),
    [
        ("ERROR: The endpoint has been disabled. Enable it using Neon API and retry.", 1, "fenced"),
        ('FATAL: database "x" does not exist', 1, "Check host, role and database"),
        ("something that nobody has seen", 3, "Check host, role and database"),
    ],
)
def test_what_waiting_does_not_mend_is_not_waited_for(
    cluster: Cluster,
    database: str,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    attempts: int,
    said: str,
) -> None:
    """Given a refusal that will stay one, when a session is opened, then it fails soon, with what to do."""
    tried: list[str] = []

    def refuse(*_arguments: Any, **_options: Any) -> None:
        tried.append(text)
        raise psycopg.OperationalError(text)

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(ConnectionFailed) as caught, connect(address(cluster, database)):
        pass
    assert len(tried) == attempts and said in caught.value.hint


def test_a_string_that_cannot_be_read_is_not_quoted() -> None:
    """Given a string whose password breaks the URI, when it is read, then no piece of it is in the error."""
    for text in ("postgresql://u:pa%zzword123456@h.example/d", "postgresql://u:secret12345@h.example/d?sslmode=%zz"):
        with pytest.raises(InvalidInput) as caught:
            Address.of(text)
        assert "zzword" not in caught.value.msg and "secret12345" not in caught.value.msg


def test_a_snapshot_is_one_instant(cluster: Cluster, database: str) -> None:
    """Given a snapshot, when somebody writes meanwhile, then it does not show; in the next snapshot it does."""
    count = "SELECT count(*) AS n FROM app.notes"
    with connect(address(cluster, database)) as session, cluster.connect(database) as other:
        with session.snapshot():
            before = session.one(count)["n"]
            other.execute("INSERT INTO app.notes VALUES (2)")
            assert session.one(count)["n"] == before
        with session.snapshot():
            assert session.one(count)["n"] == before + 1


def test_one_failed_query_of_many_leaves_the_others_and_the_snapshot(cluster: Cluster, database: str) -> None:
    """Given a failing query between two good ones, when all are tried, then two answer, from the same snapshot."""
    with connect(address(cluster, database)) as session, session.snapshot():
        first = session.one("SELECT pg_current_snapshot()::text AS s")
        statements: list[sessions.Statement] = [
            ("SELECT 1 AS n", None),
            ("SELECT nothing", None),
            ("SELECT %s::int AS n", [3]),
        ]
        one, two, three = session.try_each(statements)
        assert one == [{"n": 1}] and three == [{"n": 3}]
        assert isinstance(two, DatabaseError) and 'column "nothing" does not exist' in two.text
        assert two.code == "sqlstate_42703" and not two.retryable
        assert session.one("SELECT pg_current_snapshot()::text AS s") == first


@pytest.mark.parametrize("pooled", [False, True])
def test_what_takes_too_long_is_ended(cluster: Cluster, database: str, pooled: bool) -> None:
    """Given a limit of a fifth of a second, when a query takes longer, then the error says so and can be retried."""
    found = address(cluster, database, pooled=pooled)
    with connect(found, Limits(statement=0.2)) as session, session.snapshot():
        slow = session.try_each([("SELECT pg_sleep(30)", None)])[0]
    assert isinstance(slow, DatabaseError) and "it took longer than 0.2 s" in slow.text and slow.retryable


def test_a_lock_is_not_waited_for_for_ever(cluster: Cluster, database: str) -> None:
    """Given a table locked by a migration, when it is read, then the error says that a lock was in the way."""
    with cluster.connect(database) as other, connect(address(cluster, database), Limits(lock=0.2)) as session:
        other.execute("BEGIN; LOCK TABLE app.notes")
        with session.snapshot():
            answer = session.try_each([("SELECT * FROM app.notes", None)])[0]
        assert isinstance(answer, DatabaseError) and "holds a lock" in answer.text


def test_a_session_that_is_ended_is_an_error_of_the_collection(cluster: Cluster, database: str) -> None:
    """Given a session that the server ends, when it is used, then a typed error comes, without a secret."""
    with (
        cluster.admin() as admin,
        pytest.raises(DatabaseError) as caught,
        connect(address(cluster, database)) as session,
        session.snapshot(),
    ):
        admin.execute("SELECT pg_terminate_backend(%s)", [session.pid])
        session.try_each([("SELECT 1", None), ("SELECT 2", None)])
    assert caught.value.retryable and cluster.passwords[OWNER] not in caught.value.msg


def test_errors_do_not_quote_rows(cluster: Cluster, database: str) -> None:
    """Given an error whose DETAIL quotes a row, then that is not in the message: it may be personal."""
    with connect(address(cluster, database), read_only=False) as session:
        session.run(("CREATE TEMP TABLE people (email text UNIQUE)", None))
        session.run(("INSERT INTO people VALUES ('someone@example.com')", None))
        with pytest.raises(psycopg.Error) as caught:
            session.run(("INSERT INTO people VALUES ('someone@example.com')", None))
        assert "someone" in str(caught.value)
        assert "someone" not in session.failure("insert", caught.value).msg


def test_every_kind_of_value_becomes_plain(cluster: Cluster, database: str) -> None:
    """Given a row with values of many types, then each comes out as JSON can hold it, dates as RFC 3339 texts."""
    query = """SELECT 1.50::numeric AS n, 2::numeric AS whole, '\\x00ff'::bytea AS b, ARRAY[1, 2] AS a,
        '{"x": [1]}'::jsonb AS j, timestamptz '2025-01-13 14:25:00.5+01' AS t, timestamptz 'infinity' AS forever,
        date '2025-01-13' AS d, timestamp '0044-03-15 12:00:00 BC' AS caesar, int4range(1, 5) AS r,
        inet '10.0.0.0/8' AS i, 'nan'::float AS nan,
        interval '1 day' AS v, '6f1f8a52-0000-4000-8000-000000000000'::uuid AS u, NULL::int AS nothing"""
    with connect(address(cluster, database)) as session, session.snapshot():
        row = jsonable(session.one(query))
    assert row == {
        "n": 1.5, "whole": 2, "b": "00ff", "a": [1, 2], "j": {"x": [1]}, "t": "2025-01-13T13:25:00.5Z",
        "forever": "infinity", "d": "2025-01-13", "caesar": "0044-03-15 12:00:00 BC", "r": "[1, 5)",
        "i": "10.0.0.0/8", "nan": "nan", "v": 86400.0, "u": "6f1f8a52-0000-4000-8000-000000000000", "nothing": None,
    }  # fmt: skip


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a Python without psycopg, when a string is read, then the message says how to install it."""
    monkeypatch.setattr(sessions, "PSYCOPG_ERROR", "Traceback ...")
    with pytest.raises(InvalidInput, match="pip install"):
        Address.of("postgresql://u:p@h/d")
