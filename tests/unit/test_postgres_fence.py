# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The write fence and the list of sessions, against a real server with sessions that resist."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal
from ansible_collections.rewind.database.plugins.module_utils._postgres import fence as fencing
from ansible_collections.rewind.database.plugins.module_utils._postgres.fence import Fence
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import DatabaseError
from ansible_collections.rewind.database.plugins.module_utils._time import lsn_number
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.postgres_cluster import ADMIN, OWNER, Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import (
    address,
    expect,
    options,
    serve,
    without_key,
)
from ansible_collections.rewind.database.tests.unit.tools import Script, call_module

_COUNTS = """SELECT (SELECT count(*) FROM pg_class) AS relations, (SELECT count(*) FROM pg_namespace) AS schemas,
    (SELECT count(*) FROM t) AS rows"""


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    name = cluster.create_database("CREATE TABLE t (n int)")
    yield name
    with cluster.admin() as admin:
        admin.execute(f"ALTER ROLE {OWNER} IN DATABASE {name} RESET ALL")


def change(cluster: Cluster, database: str, *, fenced: bool, **more: Any) -> tuple[bool, Fence]:
    return fencing.change(address(cluster, database), fenced=fenced, timeout=10, **more)


def is_open(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def test_a_fenced_database_refuses_writes_and_its_old_sessions_are_gone(cluster: Cluster, database: str) -> None:
    """Given sessions at rest and one in a transaction, then a fence ends all, and nothing can be written."""
    old, writing = cluster.connect(database), cluster.connect(database)
    writing.execute("BEGIN; INSERT INTO t VALUES (1)")
    changed, fence = change(cluster, database, fenced=True)
    assert changed and fence.read_only and fence.proven_refused and fence.sessions_ended == 2
    assert fence.sessions_left == [] and fence.was_read_only is False
    assert not is_open(old) and not is_open(writing)
    with cluster.connect(database) as new, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        new.execute("INSERT INTO t VALUES (2)")
    with cluster.connect(database) as new:
        assert new.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_no_write_comes_after_the_position_that_is_recorded(cluster: Cluster, database: str) -> None:
    """Given a writer that reconnects and writes without pause, then its last row is older than the fence's LSN."""
    stop = threading.Event()
    ready = threading.Event()
    written: list[str] = []

    def write() -> None:
        while not stop.is_set():
            try:
                with cluster.connect(database) as connection:
                    while not stop.is_set():
                        row = connection.execute(
                            "WITH i AS (INSERT INTO t VALUES (1)) SELECT pg_current_wal_insert_lsn()::text"
                        ).fetchone()
                        assert row is not None
                        written.append(row[0])
                        ready.set()
            except psycopg.Error:
                continue

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert ready.wait(30)
        _changed, fence = change(cluster, database, fenced=True)
        rows_then = len(written)
        with cluster.connect(database) as connection:
            first = connection.execute("SELECT count(*) FROM t").fetchone()
            connection.execute("SELECT pg_sleep(0.3)")
            second = connection.execute("SELECT count(*) FROM t").fetchone()
    finally:
        stop.set()
        writer.join()
    assert fence.proven_refused and fence.sessions_ended >= 1 and first == second
    assert rows_then == len(written) and max(map(lsn_number, written)) <= lsn_number(str(fence.lsn))


def test_a_lifted_database_takes_writes_and_the_proof_leaves_no_trace(cluster: Cluster, database: str) -> None:
    """Given a fence and a session that began under it, when it is lifted, that one ends, and a write works untraced."""
    with cluster.connect(database) as connection:
        before = connection.execute(_COUNTS.encode()).fetchone()
    change(cluster, database, fenced=True)
    under = cluster.connect(database)
    under.execute("SELECT 1")
    changed, fence = change(cluster, database, fenced=False)
    assert changed and not fence.read_only and fence.proven_write and fence.sessions_ended == 1
    assert not is_open(under)
    with cluster.connect(database) as connection:
        assert connection.execute(_COUNTS.encode()).fetchone() == before
        connection.execute("INSERT INTO t VALUES (1)")
        assert connection.execute(
            "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone() == (0,)


def test_doing_it_twice_changes_nothing(cluster: Cluster, database: str) -> None:
    """Given a database as it is wanted, when the same is asked again, then nothing changes, and it is proven."""
    assert change(cluster, database, fenced=False)[0] is False
    change(cluster, database, fenced=True)
    changed, fence = change(cluster, database, fenced=True)
    assert not changed and fence.read_only and fence.was_read_only and fence.proven_refused
    change(cluster, database, fenced=False)
    changed, fence = change(cluster, database, fenced=False)
    assert not changed and fence.proven_write


def test_a_lift_that_is_not_needed_ends_nobody(cluster: Cluster, database: str) -> None:
    """Given a database without a fence and a session on it, when a lift is asked for, then the session stays."""
    with cluster.connect(database) as connection:
        changed, fence = change(cluster, database, fenced=False)
        assert not changed and fence.sessions_ended == 0 and is_open(connection)


def test_a_run_that_was_killed_half_way_is_completed(cluster: Cluster, database: str) -> None:
    """Given a setting made and sessions not ended yet, when it is fenced again, then they end, and that is a change."""
    old = cluster.connect(database)
    with cluster.connect(database) as connection:
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
    changed, fence = change(cluster, database, fenced=True)
    assert changed and fence.sessions_ended == 1 and not is_open(old)


def test_sessions_that_know_the_state_are_left_alone(cluster: Cluster, database: str) -> None:
    """Given an application that has connected again under the fence, then since makes a second run no change."""
    _changed, first = change(cluster, database, fenced=True)
    with cluster.connect(database) as again:
        changed, fence = change(cluster, database, fenced=True, since=first.at)
        assert not changed and fence.sessions_ended == 0 and is_open(again)
        changed, fence = change(cluster, database, fenced=True)
        assert changed and fence.sessions_ended == 1


def test_sessions_that_may_not_be_ended_are_listed(cluster: Cluster, database: str) -> None:
    """Given a session of a superuser of the operator's, it is listed with the reason; the platform's is not."""
    with cluster.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS operator")
        admin.execute("CREATE ROLE operator SUPERUSER LOGIN PASSWORD 'x'")
    cluster.passwords["operator"] = "x"
    with cluster.connect(database, "operator") as operator, cluster.connect(database, ADMIN) as platform:
        changed, fence = change(cluster, database, fenced=True)
        assert is_open(operator) and is_open(platform)
    assert changed and fence.sessions_ended == 0
    assert [row["user"] for row in fence.sessions_left] == ["operator"]
    assert "SUPERUSER" in fence.sessions_left[0]["reason"] or "ermission" in fence.sessions_left[0]["reason"]


def test_a_role_with_a_setting_of_its_own_is_found_out(cluster: Cluster, database: str) -> None:
    """Given a role whose own setting goes before the database's, then the proof fails and names the role."""
    with cluster.admin() as admin:
        admin.execute(f"ALTER ROLE {OWNER} IN DATABASE {database} SET default_transaction_read_only = off")
    with pytest.raises(DatabaseError, match="can still write") as caught:
        change(cluster, database, fenced=True)
    assert caught.value.code == "fence_not_proven" and OWNER in caught.value.hint
    assert caught.value.partial is not None and caught.value.partial["fence"]["proven_refused"] is False
    with cluster.admin() as admin:
        admin.execute(f"ALTER ROLE {OWNER} IN DATABASE {database} SET default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="a new session cannot write") as caught:
        change(cluster, database, fenced=False)
    assert caught.value.code == "lift_not_proven"


def test_only_the_owner_can_do_it(cluster: Cluster, database: str) -> None:
    """Given a role that does not own the database, then it is refused with advice, and no session is ended."""
    with cluster.admin() as admin:
        admin.execute(f"ALTER DATABASE {database} OWNER TO {ADMIN}")
    with cluster.connect(database) as other:
        with pytest.raises(DatabaseError, match="does not own it") as caught:
            change(cluster, database, fenced=True)
        assert caught.value.code == "not_owner" and is_open(other)


def test_a_pooler_is_refused(cluster: Cluster, database: str) -> None:
    """Given a pooled address, then nothing is tried: another session might answer than the one that asked."""
    with pytest.raises(InvalidInput, match="is a pooler"):
        fencing.change(address(cluster, database, pooled=True), fenced=True)


def test_check_mode_says_whom_it_would_end_and_does_nothing(cluster: Cluster, database: str) -> None:
    """Given check mode, then sessions that would end are listed, they stay, and writes go on."""
    with cluster.connect(database) as connection:
        changed, fence = change(cluster, database, fenced=True, check_mode=True)
        assert changed and len(fence.would_end) == 1 and fence.sessions_ended == 0
        connection.execute("INSERT INTO t VALUES (1)")
    changed, fence = change(cluster, database, fenced=False, check_mode=True)
    assert not changed and fence.would_end == []


def test_prepared_transactions_are_counted(cluster: Cluster, database: str) -> None:
    """Given the fence of a database without prepared transactions, then it says that there are none."""
    assert change(cluster, database, fenced=True)[1].prepared_transactions == 0


def test_a_name_that_needs_quotes_is_fenced(cluster: Cluster) -> None:
    """Given a database with a name that is no plain word, then it is fenced and lifted like any other."""
    name = cluster.create_database(name='Odd "name')
    found = address(cluster, "Odd%20%22name")
    assert found.database == name
    assert fencing.change(found, fenced=True)[1].proven_refused
    assert fencing.change(found, fenced=False)[1].proven_write


def test_the_module_fences_and_journals_its_step(
    script: Script, cluster: Cluster, database: str, tmp_path: Path
) -> None:
    """Given a run's journal, when the module fences, then intent, undo and outcome are in it, without a secret."""
    run = Journal(tmp_path, "tracker").start("restore", {})
    expect(script, cluster, database)
    journal = {"run": run.id, "step": "fence_writes", "undo": {"state": "lifted"}}
    result = call_module("postgres_fence", options(database, state_dir=str(tmp_path), journal=journal))
    assert result["changed"] and result["fence"]["proven_refused"]
    step = Journal(tmp_path, "tracker").read(run.id).steps["fence_writes"]
    assert step.phase == "done" and step.undo == {"state": "lifted"} and step.data["lsn"] == result["fence"]["lsn"]
    assert cluster.passwords[OWNER] not in run.path.read_text() + json.dumps(result)
    expect(script, cluster, database)
    assert call_module("postgres_fence", options(database, state="lifted"))["fence"]["proven_write"]


def test_the_module_takes_the_direct_way_and_refuses_the_past(script: Script, cluster: Cluster, database: str) -> None:
    """Given pooled=true, the direct address is used; given a point in the past, it is refused."""
    expect(script, cluster, database)
    given = options(database)
    given["connection"]["pooled"] = True
    assert call_module("postgres_fence", given, check_mode=True)["changed"] is True
    assert script.requests[-1].url.params.get("pooled") in (None, "false")
    given["connection"]["lsn"] = "0/1"
    assert "read the past" in call_module("postgres_fence", given)["msg"]


def test_a_predicted_branch_is_neither_fenced_nor_listed(script: Script) -> None:
    """Given a branch that check mode predicted, then both modules answer in their shape, without a request."""
    given = options("tracker")
    given["connection"]["branch_id"] = "predicted:branch/x"
    fenced = call_module("postgres_fence", given, check_mode=True)
    assert fenced["changed"] and fenced["fence"]["read_only"] is True and fenced["fence"]["lsn"] is None
    listed = call_module("postgres_session_info", given, check_mode=True)
    assert listed["sessions"] == [] and listed["count"] is None and listed["skipped_reason"]
    assert script.requests == []


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, cluster: Cluster, database: str) -> None:
    """Given a database, then listing and fencing, in the controller's process and as modules, give equal results."""
    variables = serve(stub_server, cluster, database)
    given = without_key(options(database))
    volatile = frozenset({"at", "xid"})
    listed = both_ways.same("postgres_session_info", given, variables=variables, volatile=volatile)
    assert listed["count"] == 0
    change(cluster, database, fenced=True)
    result = both_ways.same("postgres_fence", given, variables=variables, volatile=frozenset({"fence", "journalled"}))
    assert result["changed"] is False
