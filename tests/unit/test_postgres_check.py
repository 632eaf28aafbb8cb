# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks: each kind passing and failing, for the right reason, from one snapshot and in few round trips."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._postgres import manifest
from ansible_collections.rewind.database.plugins.module_utils._postgres.checks import (
    Check,
    Context,
    Outcome,
    run_checks,
)
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Limits, Session, connect
from ansible_collections.rewind.database.plugins.module_utils._postgres.tables import TableName
from ansible_collections.rewind.database.plugins.module_utils._time import RestorePoint
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.postgres_cluster import ADMIN, OWNER, Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import (
    HOST,
    NEWEST,
    POOLER,
    SCHEMA,
    address,
    expect,
    options,
    serve,
    without_key,
)
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script, call_module

POINT = RestorePoint(at=datetime(2025, 1, 13, 14, 25, tzinfo=UTC))
_MORE = """
CREATE VIEW quests AS SELECT * FROM "QuestProgress";
CREATE TABLE empty ("updatedAt" timestamptz);
CREATE TABLE forever (at timestamptz); INSERT INTO forever VALUES ('infinity');
CREATE TABLE days (day date); INSERT INTO days VALUES ('2025-01-13');
CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA "Odd.Name";
CREATE TABLE one.twice (n int); CREATE TABLE two.twice (n int); CREATE TABLE two.once (n int);
CREATE TABLE "Odd.Name"."a""b" (n int);
CREATE TABLE lower (n int);
"""


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> str:
    return cluster.create_database(SCHEMA + _MORE)


def answer(cluster: Cluster, database: str, *checks: dict[str, Any], context: Context | None = None) -> list[Outcome]:
    with connect(address(cluster, database), Limits(statement=5, lock=0.3)) as session:
        return run_checks(session, [Check.of(check) for check in checks], context or Context())


def one(cluster: Cluster, database: str, context: Context | None = None, **check: Any) -> Outcome:
    return answer(cluster, database, check, context=context)[0]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("User", 'public."User"'),
        ('"User"', 'public."User"'),
        ('public."User"', 'public."User"'),
        ("public.User", 'public."User"'),
        ('"public"."User"', 'public."User"'),
        ("Status", "public.status"),
        ("PUBLIC.STATUS", "public.status"),
        ("quests", "public.quests"),
        ("once", "two.once"),
        ("two.twice", "two.twice"),
        ('"Odd.Name"."a""b"', '"Odd.Name"."a""b"'),
    ],
)
def test_a_table_is_found_however_it_is_written(cluster: Cluster, database: str, written: str, found: str) -> None:
    """Given a table's name bare or with its schema, quoted or not, in another case, then it is that table."""
    outcome = one(cluster, database, kind="table", table=written)
    assert outcome.ok and outcome.found == found and found in outcome.message


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Trader", "there is no table Trader"),
        ('"user"', 'there is no table "user"'),
        ("other.User", "there is no table other.User"),
        ("twice", "may be one.twice or two.twice: name the schema"),
        ("pg_toast.x", "there is no table pg_toast.x"),
    ],
)
def test_a_missing_or_ambiguous_table_is_a_failed_check(
    cluster: Cluster, database: str, written: str, said: str
) -> None:
    """Given a name that means no table, or several, then the check fails and says which; the others still answer."""
    for kind in ({"kind": "table"}, {"kind": "rows", "min": 0}, {"kind": "fresh", "column": "x"}):
        failed, other = answer(cluster, database, {**kind, "table": written}, {"kind": "table", "table": "User"})
        assert not failed.ok and said in failed.message and other.ok


@pytest.mark.parametrize("text", ["", "a.b.c", "a.", ".a", '"a', 'a"b"', "  "])
def test_what_is_no_name_is_refused(text: str) -> None:
    """Given something that is no table's name, then it is refused before anything is read."""
    with pytest.raises(InvalidInput, match="not understood"):
        TableName.parse(text)


def test_a_column_can_be_asked_for(cluster: Cluster, database: str) -> None:
    """Given a table with and without a column, then the check says which; quotes around it do no harm."""
    assert one(cluster, database, kind="table", table="User", column="updatedAt").ok
    assert one(cluster, database, kind="table", table="User", column='"updatedAt"').ok
    outcome = one(cluster, database, kind="table", table="User", column="updatedat")
    assert not outcome.ok and outcome.message == 'public."User" has no column updatedat'


@pytest.mark.parametrize(
    ("bounds", "ok"),
    [
        ({"min": 200}, True),
        ({"min": 201}, False),
        ({"max": 200}, True),
        ({"max": 199}, False),
        ({"min": 1, "max": 1000}, True),
    ],
)
def test_rows_are_counted_and_compared(cluster: Cluster, database: str, bounds: dict[str, Any], ok: bool) -> None:
    """Given 200 rows and a bound, then the check says both numbers."""
    outcome = one(cluster, database, kind="rows", table="QuestProgress", **bounds)
    assert outcome.ok is ok and outcome.found == 200 and "200 rows" in outcome.message


@pytest.mark.parametrize(
    ("percent", "rows", "ok"), [(0, 200, True), (0, 201, False), (10, 222, True), (10, 223, False)]
)
def test_rows_are_compared_with_the_manifest(
    cluster: Cluster, database: str, percent: float, rows: int, ok: bool
) -> None:
    """Given a manifest with other numbers, then rows within the percentage pass and the bound itself still does."""
    context = Context(manifest={"tables": {'public."QuestProgress"': {"rows": rows}}})
    outcome = one(cluster, database, context, kind="rows", table="QuestProgress", within_percent=percent)
    assert outcome.ok is ok and outcome.expected["manifest_rows"] == rows
    unknown = one(cluster, database, context, kind="rows", table="User", within_percent=percent)
    assert not unknown.ok and "the manifest has no table" in unknown.message


@pytest.mark.parametrize(("bounds", "ok"), [({}, True), ({"min": 200}, True), ({"min": 201}, False)])
def test_where_no_manifest_is_known_rows_are_not_compared_and_that_is_said(
    cluster: Cluster, database: str, bounds: dict[str, Any], ok: bool
) -> None:
    """Given a first backup, with nothing before it, then a percentage fails nothing; the other bounds still count."""
    outcome = one(cluster, database, kind="rows", table="QuestProgress", within_percent=5, **bounds)
    assert outcome.ok is ok and "200 rows" in outcome.message and "not compared" in outcome.message


@pytest.mark.parametrize(
    ("check", "ok", "said"),
    [
        ({"max_age": 100}, True, "as expected"),
        ({"max_age": 99.876543}, False, "before the restore point"),
        ({}, True, "as expected"),
    ],
)
def test_the_newest_value_is_near_the_restore_point(
    cluster: Cluster, database: str, check: dict[str, Any], ok: bool, said: str
) -> None:
    """Given a newest value 99.876544 s before the point, then it is fresh exactly as long as the limit allows."""
    outcome = one(cluster, database, Context(POINT), kind="fresh", table="QuestProgress", column="updatedAt", **check)
    assert outcome.ok is ok and said in outcome.message and outcome.found == NEWEST


@pytest.mark.parametrize(
    ("micro", "tolerance", "ok"), [(123456, 0, True), (123455, 0, False), (123455, 0.000001, True)]
)
def test_a_value_later_than_the_restore_point_fails(
    cluster: Cluster, database: str, micro: int, tolerance: float, ok: bool
) -> None:
    """Given a restore point a microsecond before the newest row, then too much came back, unless that is tolerated."""
    context = Context(RestorePoint(at=datetime(2025, 1, 13, 14, 23, 20, micro, tzinfo=UTC)))
    check = {"kind": "fresh", "table": "QuestProgress", "column": "updatedAt", "tolerance": tolerance}
    outcome = one(cluster, database, context, **check)
    assert outcome.ok is ok
    assert ok or "later than the restore point" in outcome.message


def test_live_data_is_compared_with_now(cluster: Cluster, database: str) -> None:
    """Given data of 2025 and no restore point, then an hour's limit fails, and no limit passes."""
    check: dict[str, Any] = {"kind": "fresh", "table": "QuestProgress", "column": "updatedAt"}
    assert "before now" in one(cluster, database, **check, max_age=3600).message
    assert one(cluster, database, **check).ok


@pytest.mark.parametrize(
    ("table", "column", "ok", "said"),
    [
        ("empty", "updatedAt", False, "has no value"),
        ("forever", "at", False, "infinity"),
        ("User", "name", False, "holds no dates"),
        ("User", "nope", False, "has no column nope"),
        ("User", "updatedAt", True, "2025-01-13T14:00:00Z"),
        ("days", "day", True, "2025-01-13T00:00:00Z"),
        ("quests", "updatedAt", True, NEWEST),
    ],
)
def test_odd_columns_and_tables_are_judged_too(
    cluster: Cluster, database: str, table: str, column: str, ok: bool, said: str
) -> None:
    """Given empty tables, infinite instants, local timestamps, dates and views, then none is an error of the task."""
    outcome = one(cluster, database, Context(POINT), kind="fresh", table=table, column=column)
    assert outcome.ok is ok and said in outcome.message


def test_an_lsn_has_no_time_to_compare_with(cluster: Cluster, database: str) -> None:
    """Given an LSN as restore point, then the newest value is shown and said not to be compared."""
    context = Context(RestorePoint(lsn="0/1"))
    outcome = one(cluster, database, context, kind="fresh", table="QuestProgress", column="updatedAt", max_age=1)
    assert outcome.ok and "not compared" in outcome.message


@pytest.mark.parametrize(
    ("query", "expect_", "ok", "said"),
    [
        ("SELECT text FROM status", "[0].text == 'before the migration'", True, "is true"),
        ("SELECT text FROM status;  ", "length(@) == `2`", False, "is false"),
        ('SELECT count(*) AS n FROM "User" -- all', "[0].n == `20`", True, "1 row;"),
        ('SELECT sum(amount) AS s FROM "QuestProgress"', "[0].s > `20000`", True, "is true"),
        ('SELECT max("updatedAt") AS m FROM "QuestProgress"', f"[0].m == '{NEWEST}'", True, "is true"),
        ("SELECT 1 WHERE false", "length(@) == `0`", True, "0 rows"),
        ("SELECT 0 AS n", "[0].n", False, "gives 0, neither true nor false"),
        ("SELECT 'a%sb' AS t", "[0].t == 'a%sb'", True, "is true"),
        ("WITH x AS (SELECT 1 AS n) SELECT * FROM x ORDER BY n", "[0].n == `1`", True, "is true"),
        ("SELECT nothing", "`true`", False, 'column "nothing" does not exist'),
        ("DELETE FROM status RETURNING text", "`true`", False, "syntax error"),
        ("WITH d AS (DELETE FROM status RETURNING 1) SELECT * FROM d", "`true`", False, "must be at the top level"),
        ("COMMIT", "`true`", False, "syntax error"),
        ("SELECT 1; DROP TABLE status", "`true`", False, "syntax error"),
        ("SELECT 1) AS x; DROP TABLE status; SELECT * FROM (SELECT 1", "`true`", False, "multiple commands"),
        ("SELECT nextval('\"User_id_seq\"')", "`true`", False, "read-only transaction"),
        ("SELECT pg_sleep(30)", "`true`", False, "longer than 5 s"),
    ],
)
def test_a_query_is_judged_by_its_expression_and_can_change_nothing(
    cluster: Cluster, database: str, query: str, expect_: str, ok: bool, said: str
) -> None:
    """Given a query and an expression, then the check is what the expression says; nothing but reading is possible."""
    outcome = one(cluster, database, kind="sql", query=query, expect=expect_)
    assert outcome.ok is ok and said in outcome.message
    assert one(cluster, database, kind="sql", query="SELECT 1 FROM status", expect="length(@) == `1`").ok


@pytest.mark.parametrize(
    ("query", "answered"),
    [
        ("SELECT * FROM no_such_table", True),
        ("SELECT no_such_column FROM status", True),
        ("SELECT 1 / 0", True),
        ("SELECT 'x'::int", True),
        ("SELECT FROM FROM", False),
        ("SELECT * FROM pg_catalog.pg_authid", False),
    ],
)
def test_what_a_failed_query_says_of_the_data(cluster: Cluster, database: str, query: str, answered: bool) -> None:
    """Given a query that fails for what is or is not there, it is a verdict; for any other reason it is none."""
    outcome = one(cluster, database, kind="sql", query=query, expect="`true`")
    assert (outcome.ok, outcome.answered) == (False, answered)


def test_what_is_shown_of_an_answer_is_short(cluster: Cluster, database: str) -> None:
    """Given a query with many rows, then the expression sees up to a thousand and the result shows five."""
    outcome = one(
        cluster, database, kind="sql", query="SELECT generate_series(1, 5000) AS n", expect="length(@) == `1000`"
    )
    assert outcome.ok and outcome.found == [{"n": n} for n in range(1, 6)]


def test_a_wrong_expression_is_an_error_of_the_playbook(cluster: Cluster, database: str) -> None:
    """Given an expression that is none, then the task fails: the data cannot be blamed."""
    with pytest.raises(InvalidInput, match="JMESPath"):
        one(cluster, database, kind="sql", query="SELECT 1", expect="[?")


def test_all_checks_see_one_instant_in_few_round_trips(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given forty checks and a writer that writes while they run, then they agree, in four round trips."""
    count: dict[str, Any] = {"kind": "sql", "query": "SELECT count(*) AS n FROM lower", "expect": "[0].n == `0`"}
    checks: list[dict[str, Any]] = [
        count,
        *[{"kind": "rows", "table": "lower", "max": 0}] * 20,
        *[{**count, "name": str(n)} for n in range(19)],
    ]
    calls: list[int] = []
    real = Session.run
    with cluster.connect(database) as writer:

        def run(self: Session, *statements: Any) -> Any:
            answer = real(self, *statements)
            calls.append(len(statements))
            writer.execute("INSERT INTO lower VALUES (1)")
            return answer

        monkeypatch.setattr(Session, "run", run)
        outcomes = answer(cluster, database, *checks)
        monkeypatch.undo()
        writer.execute("TRUNCATE lower")
    assert len(outcomes) == 40 and all(outcome.ok for outcome in outcomes)
    assert len(calls) <= 4


def test_a_table_that_cannot_be_read_fails_alone(cluster: Cluster) -> None:
    """Given a locked table, one without privilege and one with row security, then only their checks fail."""
    database = cluster.create_database(
        "CREATE TABLE locked (n int); CREATE TABLE good (n int); CREATE TABLE good2 (n int)"
    )
    with cluster.connect(database, "cloud_admin") as admin:
        admin.execute("CREATE TABLE public.hidden (n int); CREATE TABLE public.partly (n int)")
        admin.execute(f"GRANT SELECT ON public.partly TO {OWNER}; ALTER TABLE public.partly ENABLE ROW LEVEL SECURITY")
        admin.execute("BEGIN; LOCK TABLE public.locked")
        names = ["good", "locked", "hidden", "partly", "good2"]
        outcomes = answer(cluster, database, *[{"kind": "rows", "table": name, "max": 0} for name in names])
    assert [outcome.ok for outcome in outcomes] == [True, False, False, False, True]
    assert "holds a lock" in outcomes[1].message
    assert "may not read public.hidden" in outcomes[2].message
    assert "row security hides rows" in outcomes[3].message
    assert [outcome.answered for outcome in outcomes] == [True, False, False, False, True], "that is no verdict"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"kind": "rows", "table": "t"}, "needs min, max or within_percent"),
        ({"kind": "fresh", "table": "t"}, "needs column"),
        ({"kind": "sql", "query": "SELECT 1"}, "needs expect"),
        ({"kind": "table"}, "needs table"),
        ({"kind": "magic"}, "there is no kind magic"),
    ],
)
def test_incomplete_checks_are_refused(check: dict[str, Any], said: str) -> None:
    """Given a check without what its kind needs, then it is refused, and never passes unread."""
    with pytest.raises(InvalidInput, match=said):
        Check.of(check)


def _module(script: Script, cluster: Cluster, database: str, resolutions: int = 1, **more: Any) -> dict[str, Any]:
    for _number in range(resolutions):
        expect(script, cluster, database)
    return call_module("postgres_check", options(database, **more))


def test_the_module_reports_and_does_not_fail(script: Script, cluster: Cluster, database: str) -> None:
    """Given a check that passes and one that does not, then the task is ok, and says which one failed."""
    checks = [
        {"kind": "table", "table": "User"},
        {"name": "quests are there", "kind": "rows", "table": "Quest", "min": 1},
    ]
    result = _module(script, cluster, database, checks=checks, restore_point="2025-01-13 14:25:00 UTC")
    assert not result.get("failed") and result["changed"] is False
    assert result["passed"] is False and [check["name"] for check in result["failed_checks"]] == ["quests are there"]
    assert {"name", "kind", "ok", "expected", "found", "message", "answered"} == set(result["checks"][0])
    assert script.writes() == []


def test_the_module_fails_when_asked(script: Script, cluster: Cluster, database: str) -> None:
    """Given fail=true, then the task fails with the messages of the failed checks, and with all results beside them."""
    checks = [{"kind": "table", "table": "User"}, {"kind": "table", "table": "Quest"}]
    result = _module(script, cluster, database, checks=checks, fail=True)
    assert result["failed"] is True and "1 of 2 checks failed: table Quest: there is no table Quest" in result["msg"]
    assert result["error"]["code"] == "checks_failed" and len(result["partial"]["checks"]) == 2


def test_connect_tries_both_ways_with_tls(script: Script, cluster: Cluster, database: str) -> None:
    """Given the kind connect, then a session is opened directly and through the pooler, and both are described."""
    checks = [
        {"kind": "connect", "role": OWNER},
        {"kind": "connect", "name": "direct", "pooled": False, "role": "nobody"},
    ]
    result = _module(script, cluster, database, resolutions=4, checks=checks)
    both, direct = result["checks"]
    assert both["ok"], both
    assert both["found"]["direct"]["host"] == HOST and both["found"]["pooled"]["host"] == POOLER
    assert all(way["tls"] and way["role"] == OWNER for way in both["found"].values())
    assert not direct["ok"] and set(direct["found"]) == {"direct"} and "expected nobody" in direct["message"]


def test_that_nobody_gets_in_is_an_answer_where_only_that_is_asked(script: Script, cluster: Cluster) -> None:
    """Given a database that takes no connection, when only connect is checked, then it is a failed check, no error."""
    database = cluster.create_database()
    with cluster.connect("postgres", ADMIN) as admin:
        admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    checks = [{"kind": "connect", "name": "the old primary", "pooled": True}]
    result = _module(script, cluster, database, resolutions=3, checks=checks)
    assert not result.get("failed") and result["passed"] is False
    refused = result["failed_checks"][0]
    assert refused["name"] == "the old primary" and "not currently accepting connections" in refused["message"]
    assert {"direct", "pooled"} == set(refused["found"]) and all("error" in way for way in refused["found"].values())
    assert cluster.passwords[OWNER] not in str(result)


def test_beside_another_check_a_refusal_is_an_error(script: Script, cluster: Cluster) -> None:
    """Given the same database, when a table is asked for too, then the task fails: nothing of it can be answered."""
    database = cluster.create_database()
    with cluster.connect("postgres", ADMIN) as admin:
        admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    result = _module(script, cluster, database, checks=[{"kind": "connect"}, {"kind": "table", "table": "User"}])
    assert result["failed"] and "not currently accepting connections" in result["msg"]


def test_a_refusal_fails_the_task_when_asked(script: Script, cluster: Cluster) -> None:
    """Given fail=true and a connection that is refused, then the task fails with the server's own words."""
    result = _module(
        script, cluster, "nowhere", resolutions=2, fail=True, checks=[{"kind": "connect", "pooled": False}]
    )
    assert result["failed"] and result["error"]["code"] == "checks_failed"
    assert 'database "nowhere" does not exist' in result["msg"] and cluster.passwords[OWNER] not in str(result)


def test_a_predicted_branch_is_not_connected_to(script: Script) -> None:
    """Given the id of a branch that check mode predicted, then no request is sent, and the shape is the usual one."""
    given = options("tracker", checks=[{"kind": "connect"}])
    given["connection"]["branch_id"] = "predicted:branch/restore-20250113-142500"
    result = call_module("postgres_check", given)
    assert result["checks"] == [] and result["failed_checks"] == [] and result["passed"] is None
    assert "predicted:branch/restore-20250113-142500 does not exist yet" in result["skipped_reason"]
    assert script.requests == []


def test_no_secret_is_in_a_failure(script: Script, cluster: Cluster) -> None:
    """Given a database that does not exist, then the error names it, and neither password nor key."""
    result = _module(script, cluster, "nowhere", checks=[{"kind": "table", "table": "x"}])
    assert result["failed"] and 'database "nowhere" does not exist' in result["msg"]
    assert cluster.passwords[OWNER] not in str(result) and NEON_KEY not in str(result)


def test_a_manifest_of_the_module_is_what_checks_take(script: Script, cluster: Cluster, database: str) -> None:
    """Given a real manifest, when rows are checked within no percent of it, then they pass."""
    with connect(address(cluster, database)) as session:
        taken = manifest.take(session)
    check = {"kind": "rows", "table": "QuestProgress", "within_percent": 0}
    assert _module(script, cluster, database, checks=[check], manifest=taken)["passed"] is True


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, cluster: Cluster, database: str) -> None:
    """Given checks of several kinds, then both ways of running them give equal results."""
    checks = [
        {"kind": "rows", "table": "User", "min": 1},
        {"kind": "sql", "query": "SELECT 1.5 AS n, now() - now() AS d", "expect": "[0].n == `1.5`"},
        {"kind": "table", "table": "Missing"},
    ]
    given = without_key(options(database, checks=checks, restore_point="2025-01-13 14:25:00 UTC"))
    result = both_ways.same("postgres_check", given, variables=serve(stub_server, cluster, database))
    assert [check["ok"] for check in result["checks"]] == [True, True, False]
