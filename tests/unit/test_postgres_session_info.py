# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""postgres_session_info: who is there, and what tells that something was written."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from ansible_collections.rewind.database.plugins.module_utils._postgres import fence as fencing
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import connect
from ansible_collections.rewind.database.plugins.module_utils._postgres.sessions import read_sessions
from ansible_collections.rewind.database.tests.unit.postgres_cluster import ADMIN, OWNER, Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import (
    address,
    expect,
    options,
)
from ansible_collections.rewind.database.tests.unit.tools import FakeClock, Script, call_module


@pytest.fixture
def database(cluster: Cluster) -> str:
    return cluster.create_database("CREATE TABLE t (n int)")


def test_sessions_are_listed_with_what_tells_that_something_was_written(cluster: Cluster, database: str) -> None:
    """Given an application's session, it is listed, the reader is not; a write raises the id."""
    with (
        cluster.connect(database, application_name="tracker") as application,
        cluster.connect(database, ADMIN),
        connect(address(cluster, database), read_only=False) as session,
    ):
        first = read_sessions(session)
        application.execute("BEGIN; INSERT INTO t VALUES (1)")
        second = read_sessions(session)
        application.execute("COMMIT")
        third = read_sessions(session, ignore_self=False)
    assert first["count"] == 1 and first["sessions"][0]["application_name"] == "tracker"
    assert first["sessions"][0]["user"] == OWNER and first["sessions"][0]["writing"] is False
    assert first["internal_count"] == 1 and first["read_only"] is False and first["own"] == 0
    assert second["sessions"][0]["writing"] is True and second["sessions"][0]["state"] == "idle in transaction"
    assert int(first["xid"]) < int(third["xid"]) and third["count"] == 2 and third["own"] == 1
    assert first["server_started_at"] == third["server_started_at"]


def test_connections_of_all_databases_count_against_the_servers_maximum(cluster: Cluster, database: str) -> None:
    """Given a session on another database, then this one does not list it, but the server counts it."""
    other = cluster.create_database("CREATE TABLE t (n int)")
    with cluster.connect(other), connect(address(cluster, database), read_only=False) as session:
        found = read_sessions(session)
        assert found["count"] == 0 and found["connections"]["used"] >= 2
        assert found["tls"] is session.tls
        most = session.one("SELECT current_setting('max_connections')::int AS max")["max"]
    assert found["connections"]["max"] == most > found["connections"]["reserved"] > 0


def test_the_list_says_that_a_fence_is_up(script: Script, cluster: Cluster, database: str) -> None:
    """Given a fenced database, then the list says that new sessions are read only."""
    fencing.change(address(cluster, database), fenced=True)
    expect(script, cluster, database)
    assert call_module("postgres_session_info", options(database))["read_only"] is True


def test_what_is_expected_is_waited_for(
    script: Script, cluster: Cluster, database: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an application that connects at the third look, and later leaves, then both are waited for, no longer."""
    sessions: list[psycopg.Connection[Any]] = []

    def connect_at_the_second_pause(seconds: float) -> None:
        clock.slept.append(seconds)
        clock.now += seconds
        if len(clock.slept) == 2:
            sessions.append(cluster.connect(database))
        if len(clock.slept) == 3:
            sessions.pop().close()

    monkeypatch.setattr(clock, "sleep", connect_at_the_second_pause)
    expect(script, cluster, database)
    found = call_module("postgres_session_info", options(database, expect="some"))
    assert found["count"] == 1 and len(clock.slept) == 2
    expect(script, cluster, database)
    # The server may need a moment to notice that the client has gone: a look more or less.
    assert call_module("postgres_session_info", options(database, expect="none"))["count"] == 0
    assert len(clock.slept) >= 3


@pytest.mark.parametrize(("wanted", "said"), [("some", "wait for a session"), ("none", "the last session to end")])
def test_what_does_not_come_is_an_error_with_what_is_there(
    script: Script, cluster: Cluster, database: str, clock: FakeClock, wanted: str, said: str
) -> None:
    """Given no session where one is expected, or one where none is, then the task fails in time, with the list."""
    application = cluster.connect(database) if wanted == "none" else None
    expect(script, cluster, database)
    result = call_module("postgres_session_info", options(database, expect=wanted, wait_timeout=3))
    assert result["failed"] and said in result["msg"] and result["error"]["code"] == "timeout"
    assert result["partial"]["count"] == (1 if application else 0)
    assert sum(clock.slept) == pytest.approx(3)
    assert cluster.passwords[OWNER] not in str(result)


def test_neither_this_collection_nor_the_platform_counts_as_somebody(
    script: Script, cluster: Cluster, database: str, clock: FakeClock
) -> None:
    """Given only a session of this collection and one of the platform, then nobody is there, and none has to end."""
    with (
        connect(address(cluster, database)),
        cluster.connect(database, ADMIN),
    ):
        expect(script, cluster, database)
        found = call_module("postgres_session_info", options(database, expect="none", wait_timeout=3))
        expect(script, cluster, database)
        waited = call_module("postgres_session_info", options(database, expect="some", wait_timeout=3))
    assert found["count"] == found["own"] == 1 and found["internal_count"] == 1
    assert waited["failed"] and waited["error"]["code"] == "timeout" and sum(clock.slept) == pytest.approx(3)


def test_only_a_new_session_of_the_application_is_taken_for_it(
    script: Script, cluster: Cluster, database: str, clock: FakeClock
) -> None:
    """Given sessions from before the cutover, of another role and of this collection: none of them is the proof."""
    with (
        cluster.connect(database, application_name="somebody with psql"),
        connect(address(cluster, database)),
    ):
        expect(script, cluster, database)
        before = call_module("postgres_session_info", options(database))
        since = {"since": before["at"], "wait_timeout": 2, "expect": "some"}
        with connect(address(cluster, database)):
            expect(script, cluster, database)
            waited = call_module("postgres_session_info", options(database, **since))
        assert before["matching"] == 1
        assert waited["failed"] and "a new session since" in waited["msg"] and "from before" in waited["msg"]
        with cluster.connect(database, application_name="tracker"):
            expect(script, cluster, database)
            other = call_module("postgres_session_info", options(database, user="another_role", **since))
            expect(script, cluster, database)
            proven = call_module("postgres_session_info", options(database, user=OWNER, **since))
    assert other["failed"] and "of another_role" in other["msg"]
    assert proven["matching"] == 1 and proven["count"] == 3 and proven["own"] == 1


def test_behind_a_pooler_a_session_that_is_used_again_counts(
    script: Script, cluster: Cluster, database: str, clock: FakeClock
) -> None:
    """Given a session opened before, then it is the application's once it was used since, and only where asked for."""
    with cluster.connect(database, application_name="pooler") as pooler:
        expect(script, cluster, database)
        since = call_module("postgres_session_info", options(database))["at"]
        given = {"since": since, "expect": "some", "wait_timeout": 2}
        expect(script, cluster, database)
        assert call_module("postgres_session_info", options(database, reused=True, **given))["failed"]
        pooler.execute("SELECT 1")
        expect(script, cluster, database)
        assert call_module("postgres_session_info", options(database, **given))["failed"]
        expect(script, cluster, database)
        assert call_module("postgres_session_info", options(database, reused=True, **given))["matching"] == 1


def test_nothing_is_waited_for_on_a_predicted_branch(script: Script, clock: FakeClock) -> None:
    """Given a branch that does not exist yet, then the shape is the usual one, at once and without a request."""
    given = options("tracker", expect="some")
    given["connection"]["branch_id"] = "predicted:branch/restore-20250113-142500"
    result = call_module("postgres_session_info", given)
    assert "does not exist yet" in result["skipped_reason"] and result["sessions"] == [] and result["count"] is None
    assert script.requests == [] and clock.slept == []
