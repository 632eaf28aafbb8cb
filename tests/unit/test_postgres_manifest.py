# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests: every difference is seen, nothing else is taken for one, and all of it comes from one snapshot."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._postgres import manifest
from ansible_collections.rewind.database.plugins.module_utils._postgres.comparison import compare
from ansible_collections.rewind.database.plugins.module_utils._postgres.manifest import Wanted
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Limits, Session, connect
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.postgres_cluster import OWNER, Cluster, running_cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import (
    NEWEST,
    SCHEMA,
    address,
    expect,
    options,
    serve,
    without_key,
)
from ansible_collections.rewind.database.tests.unit.tools import Script, call_module

Json = dict[str, Any]
PROGRESS = 'public."QuestProgress"'


def take(cluster: Cluster, database: str, **wanted: Any) -> Json:
    with connect(address(cluster, database), Limits(statement=20, lock=0.3)) as session:
        return manifest.take(session, Wanted(**wanted))


def changed_by(cluster: Cluster, database: str, script: str, **wanted: Any) -> Json:
    """The comparison of a database with a physical copy in which a script has run."""
    branch = cluster.copy(database)
    with cluster.connect(branch) as connection:
        connection.execute(script.encode())
    return compare(take(cluster, database, **wanted), take(cluster, branch, **wanted))


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> str:
    return cluster.create_database(SCHEMA)


def test_a_manifest_says_what_the_database_holds(cluster: Cluster, database: str) -> None:
    """Given a tracker's database, when a manifest is taken, then each table's facts are in it."""
    taken = take(cluster, database)
    assert (
        taken["version"] == 1 and taken["database"] == database and taken["server_version"] == cluster.binaries.version
    )
    assert taken["taken_at"].endswith("Z") and "/" in taken["lsn"]
    assert set(taken["tables"]) == {'public."User"', PROGRESS, "public.status"}
    progress = taken["tables"][PROGRESS]
    assert progress["rows"] == 200 and progress["newest"] == NEWEST and progress["newest_column"] == "updatedAt"
    assert progress["primary_key"] == ["id"] and progress["hash"].startswith("r:")
    assert taken["tables"]["public.status"]["newest"] is None
    assert taken["sequences"]['public."User_id_seq"'] == {"last_value": 20, "increment": 1}
    assert taken["extensions"] == {"plpgsql": "1.0"} and taken["migration"] is None and taken["skipped"] == {}


def test_a_branch_that_nobody_touched_is_equal(cluster: Cluster, database: str) -> None:
    """Given a physical copy, when both manifests are compared, then nothing differs, and contents were compared."""
    comparison = changed_by(cluster, database, "SELECT 1")
    assert comparison["equal"] and comparison["summary"] == [] and comparison["hashes_compared"]
    assert comparison["rows_before"] == comparison["rows_after"] == 221


@pytest.mark.parametrize(
    ("script", "table", "status", "difference"),
    [
        ('DELETE FROM "QuestProgress" WHERE id > 50', PROGRESS, "changed", -150),
        ('UPDATE "QuestProgress" SET amount = amount + 0.01 WHERE id = 7', PROGRESS, "changed", 0),
        ('UPDATE "User" SET profile = \'{"level":  1}\' WHERE id = 3', 'public."User"', "changed", 0),
        ("UPDATE \"User\" SET tags = tags || 'b'::text WHERE id = 3", 'public."User"', "changed", 0),
        ("UPDATE status SET text = NULL", "public.status", "changed", 0),
        ("INSERT INTO status SELECT * FROM status", "public.status", "changed", 1),
        ("DROP TABLE status", "public.status", "missing", -1),
        ("CREATE TABLE extra AS SELECT 1 AS n", "public.extra", "extra", 1),
        ('TRUNCATE "User" CASCADE', 'public."User"', "changed", -20),
    ],
)
def test_every_change_of_a_table_is_seen(
    cluster: Cluster, database: str, script: str, table: str, status: str, difference: int
) -> None:
    """Given a change of any kind in one table, then that table is named, with numbers."""
    comparison = changed_by(cluster, database, script)
    item = comparison["tables"][table]
    assert (item["status"], item["difference"]) == (status, difference)
    assert not comparison["equal"] and any(line.startswith(table) for line in comparison["summary"])
    assert comparison["tables"]["public.status" if table != "public.status" else 'public."User"']["status"] in (
        "equal",
        "changed" if "CASCADE" in script else "equal",
    )


def test_rows_written_in_another_order_are_the_same_rows(cluster: Cluster, database: str) -> None:
    """Given a table rewritten in another order, then it is equal: the order of rows means nothing."""
    script = """CREATE TABLE moved AS SELECT * FROM "QuestProgress" ORDER BY id DESC; TRUNCATE "QuestProgress";
        INSERT INTO "QuestProgress" OVERRIDING SYSTEM VALUE SELECT * FROM moved; DROP TABLE moved"""
    assert changed_by(cluster, database, script)["tables"][PROGRESS]["status"] == "equal"


def test_swapped_values_between_rows_are_seen(cluster: Cluster, database: str) -> None:
    """Given two rows that exchange one value, with equal counts and sums of each column, then that is a change."""
    script = 'UPDATE "QuestProgress" SET amount = 3 - amount WHERE id IN (1, 2)'
    assert changed_by(cluster, database, script)["tables"][PROGRESS]["status"] == "changed"


def test_without_hashes_only_counts_and_newest_changes_are_compared(cluster: Cluster, database: str) -> None:
    """Given hash=false, then a change of content alone is not seen, which the comparison says; a newer row is."""
    quiet = changed_by(cluster, database, 'UPDATE "QuestProgress" SET amount = 0', hash=False)
    assert quiet["equal"] and not quiet["hashes_compared"]
    loud = changed_by(cluster, database, 'UPDATE "QuestProgress" SET "updatedAt" = now() WHERE id = 1', hash=False)
    assert loud["tables"][PROGRESS]["status"] == "changed" and loud["tables"][PROGRESS]["compared_by"] == "rows"


_TYPES = """
CREATE TYPE pair AS (a int, b json);
CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN spot AS point;
CREATE TABLE types (id int PRIMARY KEY, rewind_row int, p pair, m mail, s spot, ss spot[], j json, js json[], b jsonb,
    x xml, t tsvector, r int4range, mr int4multirange, f float8, mo money, ts timestamptz, i interval, by bytea,
    bits bit(3), net cidr, c circle, big text, e text GENERATED ALWAYS AS (m || '!') STORED);
INSERT INTO types SELECT n, n, ROW(n, '{"x": 1}')::pair, 'a@b', point(n, n), ARRAY[point(1, 1)]::spot[], '[1]',
    ARRAY['1'::json], '{"k": 1}', '<a/>', 'fat cat', int4range(1, n + 2), '{[1,3)}', n / 3.0, 12.34,
    '2025-01-13 14:25:00Z', '1 day 2 h', '\\x01', B'101', '10.0.0.0/8', '<(1,2),3>', repeat(md5(n::text), 500)
    FROM generate_series(1, 5) AS n;
ALTER TABLE types DROP COLUMN i;
CREATE TABLE blank ();
INSERT INTO blank DEFAULT VALUES;
CREATE TABLE nulls (a int, b text); INSERT INTO nulls VALUES (NULL, NULL), (NULL, NULL);
"""


@pytest.fixture(scope="module")
def typed(cluster: Cluster) -> str:
    return cluster.create_database(_TYPES)


def test_columns_of_all_types_are_hashed(cluster: Cluster, typed: str) -> None:
    """Given types without a hash function, composites, domains, a dropped column: all is read, and equal."""
    taken = take(cluster, typed)
    assert taken["skipped"] == {} and taken["tables"]["public.types"]["rows"] == 5
    assert taken["tables"]["public.nulls"]["rows"] == 2 and taken["tables"]["public.blank"]["rows"] == 1
    assert changed_by(cluster, typed, "SELECT 1")["equal"]


@pytest.mark.parametrize(
    "assignment",
    [
        """p = ROW(1, '{"x": 2}')::pair""", "m = 'c@d'", "s = point(9, 9)",
        "ss = ARRAY[point(2, 2)]::spot[]", "j = '[ 1]'",
        "js = ARRAY['2'::json]", """b = '{"k": 2}'""", "x = '<b/>'", "t = 'thin cat'", "r = int4range(1, 99)",
        "mr = '{[1,4)}'", "f = f + 1e-15", "mo = 12.35", "ts = ts + interval '1 us'", r"by = '\x02'", "bits = B'100'",
        "net = '11.0.0.0/8'", "c = '<(1,2),4>'", "big = big || 'x'", "rewind_row = NULL",
    ],
)  # fmt: skip
def test_a_change_in_a_column_of_any_type_is_seen(cluster: Cluster, typed: str, assignment: str) -> None:
    """Given one value of one row changed, whatever its type, then the table is changed."""
    comparison = changed_by(cluster, typed, f"UPDATE types SET {assignment} WHERE id = 1")
    assert comparison["tables"]["public.types"]["status"] == "changed"


def test_settings_of_role_and_database_do_not_matter(cluster: Cluster, typed: str) -> None:
    """Given a copy with other time zone, date style and number formats, then its contents are equal all the same."""
    other = cluster.copy(typed)
    settings = {
        "timezone": "GMT+5",
        "datestyle": "SQL, DMY",
        "intervalstyle": "iso_8601",
        "extra_float_digits": "-10",
        "bytea_output": "escape",
        "search_path": "pg_catalog",
    }
    with cluster.connect(other) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER DATABASE {other} SET {name} = '{value}'".encode())
    comparison = compare(take(cluster, typed), take(cluster, other))
    assert comparison["equal"], comparison["summary"]
    assert len(take(cluster, other)["settings"]["database"]) == len(settings)


def test_a_type_that_only_claims_to_be_hashable_is_read_as_text(
    cluster: Cluster, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a column that cannot be hashed after all, then its table is hashed by text, and the others as before."""
    real = manifest._hash

    def hopeful(table: Any, want: Any, as_text: bool) -> str:
        for column in table["columns"]:
            column["hashable"] = True
        return real(table, want, as_text)

    before = take(cluster, typed)
    monkeypatch.setattr(manifest, "_hash", hopeful)
    after = take(cluster, typed)
    assert after["tables"]["public.types"]["hash"].startswith("t:")
    assert after["tables"]["public.nulls"] == before["tables"]["public.nulls"]
    comparison = compare(before, after)
    assert comparison["tables"]["public.types"]["compared_by"] == "rows" and not comparison["hashes_compared"]


_SHAPES = """
CREATE TABLE parts (id int, "updatedAt" timestamptz) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
CREATE TABLE parts_2a PARTITION OF parts_2 FOR VALUES IN (11);
INSERT INTO parts VALUES (1, '2025-01-13 14:00:00Z'), (11, '2025-01-13 14:10:00Z');
CREATE TABLE parent (n int); CREATE TABLE child (m int) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 2);
CREATE VIEW seen AS SELECT * FROM parts;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM parts;
CREATE UNLOGGED TABLE cache (n int);
CREATE EXTENSION citext;
CREATE TABLE words (w citext); INSERT INTO words VALUES ('A');
CREATE SCHEMA "Odd.Name"; CREATE TABLE "Odd.Name"."a""b%s" ("c""d" int, "created_at" date);
INSERT INTO "Odd.Name"."a""b%s" VALUES (1, '2025-01-13');
"""


def test_every_kind_of_relation_is_counted_once_or_said_to_be_left_out(cluster: Cluster) -> None:
    """Given partitions, inheritance, views, unlogged tables, odd names: each is counted once or has a reason."""
    taken = take(cluster, cluster.create_database(_SHAPES))
    rows = {name: table["rows"] for name, table in taken["tables"].items()}
    assert rows == {
        "public.parts": 2,
        "public.parent": 1,
        "public.child": 1,
        "public.words": 1,
        '"Odd.Name"."a""b%s"': 1,
    }
    assert taken["tables"]["public.parts"]["newest"] == "2025-01-13T14:10:00Z"
    assert taken["tables"]['"Odd.Name"."a""b%s"']["newest"] == "2025-01-13T00:00:00Z"
    assert set(taken["skipped"]) == {"public.cache", "public.kept"}
    assert "not restored" in taken["skipped"]["public.cache"]
    assert "citext" in taken["extensions"]


def test_what_cannot_be_read_is_said_and_never_counted_as_gone(cluster: Cluster) -> None:
    """Given a table without privilege, one with row security and a locked one, each is skipped with a reason."""
    database = cluster.create_database("CREATE TABLE good (n int); CREATE TABLE locked (n int)")
    before = take(cluster, database)
    with cluster.connect(database, "cloud_admin") as admin:
        admin.execute("CREATE TABLE public.hidden (n int); CREATE TABLE public.partly (n int)")
        admin.execute(f"GRANT SELECT ON public.partly TO {OWNER}; ALTER TABLE public.partly ENABLE ROW LEVEL SECURITY")
        admin.execute("BEGIN; LOCK TABLE public.locked")
        after = take(cluster, database)
    assert set(after["tables"]) == {"public.good"}
    assert "no privilege" in after["skipped"]["public.hidden"]
    assert "row security" in after["skipped"]["public.partly"]
    assert "holds a lock" in after["skipped"]["public.locked"]
    comparison = compare(before, after)
    assert comparison["tables"]["public.locked"]["status"] == "unknown" and not comparison["equal"]


_DEFINITIONS = [
    ("ALTER TABLE status ADD COLUMN n int", ["columns"]),
    ("ALTER TABLE status ALTER COLUMN text SET DEFAULT 'x'", ["columns"]),
    ("ALTER TABLE status ALTER COLUMN text TYPE varchar(99)", ["columns"]),
    ('ALTER TABLE "User" ALTER COLUMN name DROP NOT NULL', ["columns"]),
    ("CREATE INDEX later ON status (text)", ["indexes"]),
    ("ALTER TABLE status ADD CONSTRAINT short CHECK (length(text) < 99)", ["constraints"]),
    ("ALTER TYPE \"Role\" ADD VALUE 'GUEST'", ["types"]),
    ("CREATE DOMAIN mail AS text", ["types"]),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", ["functions"]),
    ("CREATE VIEW seen AS SELECT text FROM status", ["columns", "tables", "views"]),
    ("CREATE SCHEMA app", ["schemas"]),
    ('ALTER SEQUENCE "User_id_seq" INCREMENT 5', ["sequences"]),
    ("ALTER TABLE status ENABLE ROW LEVEL SECURITY", ["tables"]),
    ("CREATE POLICY p ON status USING (true)", ["policies"]),
    ("CREATE RULE r AS ON DELETE TO status DO INSTEAD NOTHING", ["rules"]),
    (
        "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER t BEFORE INSERT ON status FOR EACH ROW EXECUTE FUNCTION t()",
        ["functions", "triggers"],
    ),
]


@pytest.mark.parametrize(("script", "parts"), _DEFINITIONS, ids=[script[:40] for script, _parts in _DEFINITIONS])
def test_every_change_of_a_definition_is_named(cluster: Cluster, database: str, script: str, parts: list[str]) -> None:
    """Given one change of the schema, when the manifests are compared, then its kind and no other is named."""
    comparison = changed_by(cluster, database, script)
    assert not comparison["schema_equal"] and comparison["schema_changed"] == parts
    assert f"schema differs: {', '.join(parts)}" in comparison["summary"]


def test_a_schema_made_anew_has_the_same_hash(cluster: Cluster, database: str) -> None:
    """Given the same definitions made in another database, by another way, then the hash is the same."""
    detour = "CREATE TABLE gone (n int); DROP TABLE gone;" + SCHEMA.replace(
        "CREATE TABLE status (text text);",
        "CREATE TABLE status (old int, text text); ALTER TABLE status DROP COLUMN old;",
    )
    again = cluster.create_database(detour)
    assert take(cluster, again)["schema_hash"] == take(cluster, database)["schema_hash"]
    assert compare(take(cluster, database), take(cluster, again))["equal"]


_PRISMA = """CREATE TABLE "_prisma_migrations" (id text, migration_name text, started_at timestamptz,
    finished_at timestamptz, rolled_back_at timestamptz);
    INSERT INTO "_prisma_migrations" VALUES ('1', '20250101_init', '2025-01-01', '2025-01-01', NULL),
    ('2', '20250102_good', '2025-01-02', '2025-01-02', NULL), ('3', '20250103_failed', '2025-01-03', NULL, NULL),
    ('4', '20250104_back', '2025-01-04', '2025-01-04', '2025-01-05');"""
_TOOLS = [
    ("prisma", _PRISMA, "20250102_good", 2),
    ("golang-migrate", "CREATE TABLE schema_migrations (version bigint, dirty bool);"
     "INSERT INTO schema_migrations VALUES (42, false)", "42", 1),
    ("rails", "CREATE TABLE schema_migrations (version varchar);"
     "INSERT INTO schema_migrations VALUES ('20250102000000'), ('20250101000000')", "20250102000000", 2),
    ("django", "CREATE TABLE django_migrations (id int, app text, name text, applied timestamptz);"
     "INSERT INTO django_migrations VALUES (1, 'auth', '0001', now()), (2, 'quest', '0002', now())", "quest.0002", 2),
    ("alembic", "CREATE TABLE alembic_version (version_num text);"
     "INSERT INTO alembic_version VALUES ('b2'), ('a1')", "a1,b2", 2),
    ("flyway", "CREATE TABLE flyway_schema_history (installed_rank int, version text, success bool);"
     "INSERT INTO flyway_schema_history VALUES (1, '1', true), (2, '10', true), (3, '11', false), (4, NULL, true)",
     "10", 2),
    ("liquibase", "CREATE TABLE databasechangelog (id text, author text, orderexecuted int);"
     "INSERT INTO databasechangelog VALUES ('b', 'x', 1), ('a', 'x', 2)", "a", 2),
    ("knex", "CREATE TABLE knex_migrations (id int, name text, batch int);"
     "INSERT INTO knex_migrations VALUES (1, 'a.js', 1), (2, 'b.js', 1)", "b.js", 2),
    ("drizzle", "CREATE SCHEMA drizzle;"
     'CREATE TABLE drizzle."__drizzle_migrations" (id int, hash text, created_at bigint);'
     "INSERT INTO drizzle.\"__drizzle_migrations\" VALUES (1, 'h1', 1), (2, 'h2', 2)", "h2", 2),
    ("typeorm", "CREATE TABLE migrations (id int, timestamp bigint, name text);"
     "INSERT INTO migrations VALUES (1, 1, 'A1'), (2, 2, 'B2')", "B2", 2),
    ("laravel", "CREATE TABLE migrations (id int, migration text, batch int);"
     "INSERT INTO migrations VALUES (1, 'a', 1), (2, 'b', 2)", "b", 2),
    ("sequelize", 'CREATE TABLE "SequelizeMeta" (name text);'
     "INSERT INTO \"SequelizeMeta\" VALUES ('1-a'), ('2-b')", "2-b", 2),
    ("goose", "CREATE TABLE goose_db_version (id int, version_id bigint, is_applied bool);"
     "INSERT INTO goose_db_version VALUES (1, 0, true), (2, 9, true), (3, 10, false)", "9", 2),
    ("sqlx", "CREATE TABLE _sqlx_migrations (version bigint, success bool);"
     "INSERT INTO _sqlx_migrations VALUES (9, true), (10, true)", "10", 2),
    ("ef-core", "CREATE TABLE \"__EFMigrationsHistory\" (\"MigrationId\" text);"
     "INSERT INTO \"__EFMigrationsHistory\" VALUES ('1_a'), ('2_b')", "2_b", 2),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "script", "head", "count"), _TOOLS, ids=[item[0] for item in _TOOLS])
def test_the_migration_head_is_that_of_the_tool(
    cluster: Cluster, tool: str, script: str, head: str, count: int
) -> None:
    """Given the books of a migration tool, with failed and undone entries, then the head is the newest that applies."""
    found = take(cluster, cluster.create_database(script))["migration"]
    assert (found["tool"], found["head"], found["count"], found["others"]) == (tool, head, count, [])


def test_a_later_migration_is_seen(cluster: Cluster) -> None:
    """Given a branch on which one more migration ran, then the heads before and after are named."""
    database = cluster.create_database(_PRISMA)
    script = "INSERT INTO _prisma_migrations VALUES ('5', '20250106_bad', '2025-01-06', '2025-01-06', NULL)"
    comparison = changed_by(cluster, database, script)
    assert not comparison["migration_equal"] and comparison["schema_equal"]
    assert "20250102_good (2) -> public._prisma_migrations: 20250106_bad (3)" in comparison["summary"][-1]


@pytest.mark.parametrize(
    ("script", "status", "equal"),
    [
        ("SELECT setval('s', 133)", "ahead", True),
        ("SELECT setval('s', 134)", "changed", False),
        ("SELECT setval('s', 99)", "changed", False),
        ("DROP SEQUENCE s", "missing", False),
    ],
)
def test_a_sequence_may_stand_ahead_by_what_is_logged_in_advance(
    cluster: Cluster, script: str, status: str, equal: bool
) -> None:
    """Given a sequence at 100 that a recovery may put up to 33 further, then only more, or less, is a difference."""
    database = cluster.create_database("CREATE SEQUENCE s; SELECT setval('s', 100)")
    comparison = changed_by(cluster, database, script)
    assert comparison["sequences"]["public.s"]["status"] == status
    assert all(item["status"] in ("equal",) for item in comparison["tables"].values())
    assert comparison["equal"] is equal


def test_a_recovery_that_put_a_sequence_ahead_is_equal() -> None:
    """Given a server that was killed after nextval, when it has recovered, then both manifests are equal."""
    with running_cluster() as own:
        database = own.create_database("CREATE SEQUENCE s; CREATE SEQUENCE unused; CREATE TABLE t (n int)")
        with own.connect(database) as connection:
            connection.execute("SELECT nextval('s')")
        before = take(own, database)
        own.crash()
        after = take(own, database)
    assert after["sequences"]["public.s"]["last_value"] > before["sequences"]["public.s"]["last_value"]
    assert compare(before, after)["equal"], compare(before, after)["summary"]


def test_tables_can_be_chosen_by_pattern(cluster: Cluster, database: str) -> None:
    """Given patterns for what to read and what not, then names match with and without schema and quotes."""
    assert set(take(cluster, database, include=["Quest*", "public.status"])["tables"]) == {PROGRESS, "public.status"}
    assert set(take(cluster, database, exclude=['public."User"', "stat?s"])["tables"]) == {PROGRESS}


def test_many_tables_are_read_in_three_round_trips(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given 250 tables, when a manifest is taken, then three round trips suffice, and all of them are right."""
    script = ";".join(f"CREATE TABLE t{n} AS SELECT generate_series(1, {n}) AS n" for n in range(250))
    database = cluster.create_database(script)
    calls: list[int] = []
    real = Session.run
    monkeypatch.setattr(Session, "run", lambda self, *s: (calls.append(len(s)), real(self, *s))[1])  # type: ignore[func-returns-value]
    taken = take(cluster, database)
    assert {name: table["rows"] for name, table in taken["tables"].items()} == {f"public.t{n}": n for n in range(250)}
    assert len(calls) == 3


def test_everything_is_of_one_instant(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a writer that writes between the round trips, then the manifest does not see it."""
    database = cluster.create_database("CREATE TABLE t (n int)")
    real = Session.run
    with cluster.connect(database) as writer:

        def run(self: Session, *statements: Any) -> Any:
            answer = real(self, *statements)
            writer.execute("INSERT INTO t VALUES (1)")
            return answer

        monkeypatch.setattr(Session, "run", run)
        taken = take(cluster, database)
        # The first round trip takes the snapshot.
        assert taken["tables"]["public.t"]["rows"] == 0


def test_hashes_of_two_major_versions_are_not_compared(cluster: Cluster, database: str) -> None:
    """Given manifests of two major versions, then contents are not compared, and the comparison says so."""
    before = take(cluster, database)
    after = copy.deepcopy(before)
    after["server_version"] = "99.1"
    after["tables"][PROGRESS]["hash"] = "r:1"
    comparison = compare(before, after)
    assert comparison["equal"] and not comparison["hashes_compared"]


@pytest.mark.parametrize("wrong", [{}, {"version": 2, "tables": {}}, {"version": 1}])
def test_what_is_no_manifest_is_refused(cluster: Cluster, database: str, wrong: Json) -> None:
    """Given something that is no manifest, then it is refused instead of being found equal."""
    for before, after in ((wrong, take(cluster, database)), (take(cluster, database), wrong)):
        with pytest.raises(InvalidInput, match="not a manifest"):
            compare(before, after)


def test_the_module_takes_and_compares(script: Script, cluster: Cluster, database: str) -> None:
    """Given a manifest from before, when the module takes one now, then the result holds both it and the difference."""
    expect(script, cluster, database)
    before = call_module("postgres_manifest", options(database))
    assert before["comparison"] is None and before["changed"] is False
    branch = cluster.copy(database)
    with cluster.connect(branch) as connection:
        connection.execute('DELETE FROM "QuestProgress"')
    expect(script, cluster, branch)
    after = call_module("postgres_manifest", options(branch, compare={"before": before["manifest"]}))
    assert after["comparison"]["summary"] == [f"{PROGRESS}: 200 rows fewer (200 -> 0)"]
    both = {"before": after["manifest"], "after": before["manifest"]}
    pure = call_module("postgres_manifest", {"compare": both})
    assert pure["manifest"] is None and pure["comparison"]["tables"][PROGRESS]["difference"] == 200


def test_the_module_says_what_is_missing_and_what_is_predicted(script: Script) -> None:
    """Given one side only, then that is refused; given a predicted branch, then the shape is the usual one."""
    assert "only one side" in call_module("postgres_manifest", {"compare": {"before": {"version": 1}}})["msg"]
    given = options("tracker", compare={"before": {"version": 1}})
    given["connection"]["branch_id"] = "predicted:branch/x"
    result = call_module("postgres_manifest", given, check_mode=True)
    assert result["manifest"] is None and result["comparison"] is None and result["skipped_reason"]
    assert script.requests == []


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, cluster: Cluster, database: str) -> None:
    """Given a database at rest, when manifests are taken both ways, then they differ in nothing but their instant."""
    server = serve(stub_server, cluster, database)
    given = without_key(options(database, include=["User"]))
    played = both_ways.play(
        [
            {"name": name, "rewind.database.postgres_manifest": given, **more}
            for name, more in (("here", {}), ("ordinary", {"environment": {"A": "b"}}))
        ],
        variables=server,
    )
    here, ordinary = (played.results[way]["manifest"] for way in ("here", "ordinary"))
    assert here.pop("taken_at") <= ordinary.pop("taken_at")
    assert here.pop("lsn") and ordinary.pop("lsn")
    assert here == ordinary and list(here["tables"]) == ['public."User"']
