# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: applied to the new side, its file gives the union of both sides, and nothing else."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.rewind.database.plugins.module_utils._postgres import salvage_sql
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvage_file import (
    put_together,
    sections_beside,
)
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import (
    expect,
    options,
    serve,
    without_key,
)
from ansible_collections.rewind.database.tests.unit.salvage_runs import Json, apply, ask, fires, run, three
from ansible_collections.rewind.database.tests.unit.salvage_world import (
    SCHEMA,
    TABLES,
    History,
    columns_of,
    sequences_of,
    state_of,
    union,
)
from ansible_collections.rewind.database.tests.unit.tools import Script, call_module


def world(cluster: Cluster, rng: random.Random, steps: int) -> tuple[str, str, str]:
    """A database with a history until the restore point, and the two sides with theirs since then."""
    base = cluster.create_database(SCHEMA)
    with cluster.connect(base) as connection:
        History(connection, rng).write(steps)
    old, new = cluster.copy(base), cluster.copy(base)
    for side in (old, new):
        with cluster.connect(side) as connection:
            History(connection, rng).write(steps)
    return base, old, new


@pytest.mark.parametrize("number", range(6))
def test_the_file_gives_exactly_the_union(cluster: Cluster, tmp_path: Path, rng: random.Random, number: int) -> None:
    """Given random histories of both sides, when the file is applied, once or twice, the new side is the union."""
    steps = (20, 60, 120)[number % 3]
    base, old, new = world(cluster, rng, steps)
    states = []
    for name in (base, old, new):
        with cluster.connect(name) as connection:
            states.append(state_of(connection))
            columns = {table: columns_of(connection, table) for table in TABLES}
    wanted, conflicts = union(states[0], states[1], states[2], columns)
    with cluster.connect(old) as connection:
        ahead = sequences_of(connection)
    with cluster.connect(new) as connection:
        behind = sequences_of(connection)
    path, as_before = tmp_path / "salvage.sql", fires(cluster, new)
    found = run(cluster, path, base, old, new)
    for _time in range(2):
        apply(cluster, new, path)
        with cluster.connect(new) as connection:
            after = state_of(connection)
            sequences = sequences_of(connection)
        for table in TABLES:
            assert after[table] == wanted[table], table
    for name, value in sequences.items():
        assert value == max(filter(None, (ahead[name], behind[name])), default=None), name
    assert fires(cluster, new) == as_before, "every trigger fires as it did"
    assert found["total"]["conflicts"] == conflicts
    assert path.read_text(encoding="utf-8").count("-- CONFLICT ") == conflicts
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_draft_bears_the_name_that_was_given(cluster: Cluster, tmp_path: Path) -> None:
    """Given a draft folder, then only its owner can read it, it is gone at the end; one that is there is refused."""
    draft = tmp_path / ".rewind-20250113T150000Z-salvage-abcdef"
    with sections_beside(tmp_path / "x.sql", draft):
        assert draft.is_dir() and draft.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
    draft.mkdir()
    with pytest.raises(InvalidInput, match="File exists"), sections_beside(tmp_path / "x.sql", draft):
        pass
    assert draft.is_dir()


def test_what_cannot_be_compared_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """Given tables without a key, or not alike on all sides, then each is named with its reason."""
    schema = """CREATE TABLE keyless (a int); CREATE TABLE moved (id int PRIMARY KEY, a int);
        CREATE TABLE dropped (id int PRIMARY KEY); CREATE TABLE still (a int); INSERT INTO still VALUES (1);
        CREATE MATERIALIZED VIEW view AS SELECT 1 AS a; CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)"""
    old = """INSERT INTO keyless VALUES (1); INSERT INTO moved VALUES (1); INSERT INTO dropped VALUES (1);
        CREATE TABLE made (id int PRIMARY KEY); INSERT INTO made VALUES (1)"""
    new = "ALTER TABLE moved DROP CONSTRAINT moved_pkey, ADD PRIMARY KEY (a); DROP TABLE dropped"
    found = run(cluster, tmp_path / "x.sql", *three(cluster, schema, old, new))
    assert found["rows"] == 0 and found["tables"] == {}
    assert found["skipped"] == {
        "public.dropped": "it does not exist on the new side (0 rows at the restore point, 1 on the old side)",
        "public.fast": "unlogged table: not restored",
        "public.keyless": "it has no primary key (0 rows at the restore point, 1 on the old side)",
        "public.made": "it does not exist at the restore point and on the new side",
        "public.moved": "its primary key differs between the three states "
        "(0 rows at the restore point, 1 on the old side)",
        "public.view": "materialized view: derived data",
    }
    text = (tmp_path / "x.sql").read_text(encoding="utf-8")
    assert "-- " + "  NOT HERE public.keyless: it has no primary key" in text


def test_a_conflict_says_what_each_side_has_and_can_be_taken_by_hand(cluster: Cluster, tmp_path: Path) -> None:
    """Given a row changed on both sides, then it is commented out whatever it holds, and its statement works."""
    evil = "E'\\n; DROP TABLE t; --\\r\\n\\\\'"
    schema = "CREATE TABLE t (id int PRIMARY KEY, a text, b json); INSERT INTO t VALUES (1, 'a', '{}'), (2, 'b', '[]')"
    base, old, new = three(
        cluster, schema, f"UPDATE t SET a = {evil}, b = '[ 1]'; INSERT INTO t VALUES (3, 'x')",
        "UPDATE t SET a = 'new', b = '[2]' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 'y')",
    )  # fmt: skip
    path = tmp_path / "x.sql"
    found = run(cluster, path, base, old, new)
    assert found["total"] == {"inserted": 1, "changed": 2, "deleted": 0, "conflicts": 3, "already_there": 0}
    before = ask(cluster, new, "SELECT t::text FROM t ORDER BY id")
    apply(cluster, new, path)
    assert ask(cluster, new, "SELECT t::text FROM t ORDER BY id") == before
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum("CONFLICT public.t" in line for line in lines) == 3
    assert any("new side has deleted it" in line for line in lines)
    taken = [line.removeprefix("-- ") for line in lines if line.startswith(("-- UPDATE", "-- INSERT"))]
    with cluster.connect(new) as connection:
        for statement in taken:
            connection.execute(statement.encode())
    assert ask(cluster, new, "SELECT t::text FROM t ORDER BY id") == ask(
        cluster, old, "SELECT t::text FROM t ORDER BY id"
    )


def test_foreign_keys_in_circles_are_closed_in_two_steps(cluster: Cluster, tmp_path: Path) -> None:
    """Given rows that refer to each other, deferrable or nullable, or to themselves, then all of them arrive."""
    schema = """CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a(id));
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b(id);
        CREATE TABLE c (id int PRIMARY KEY, d int NOT NULL); CREATE TABLE d (id int PRIMARY KEY, c int NOT NULL);
        ALTER TABLE c ADD FOREIGN KEY (d) REFERENCES d(id) DEFERRABLE INITIALLY DEFERRED;
        ALTER TABLE d ADD FOREIGN KEY (c) REFERENCES c(id);
        CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node(id) ON DELETE CASCADE);
        INSERT INTO node VALUES (1, NULL), (2, 1), (9, 2)"""
    old = """BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1, 1); UPDATE a SET b = 1; COMMIT;
        BEGIN; INSERT INTO c VALUES (1, 1); INSERT INTO d VALUES (1, 1); COMMIT;
        DELETE FROM node WHERE id = 2; INSERT INTO node VALUES (4, 1), (3, 4); UPDATE node SET up = 3 WHERE id = 1"""
    base, before, new = three(cluster, schema, old)
    path = tmp_path / "x.sql"
    found = run(cluster, path, base, before, new)
    assert found["by_hand"] == [] and found["total"]["conflicts"] == 0
    apply(cluster, new, path)
    for table in "a", "b", "c", "d", "node":
        query = f"SELECT t::text FROM {table} AS t ORDER BY id"
        assert ask(cluster, new, query) == ask(cluster, before, query), table


def test_a_cascade_never_takes_what_is_new(cluster: Cluster, tmp_path: Path) -> None:
    """Given a row deleted on the old side to which the new side has added a child, then it stays, and is marked."""
    schema = """CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2);
        CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p(id) ON DELETE CASCADE); INSERT INTO c VALUES (1, 1)"""
    base, old, new = three(cluster, schema, "DELETE FROM p", "INSERT INTO c VALUES (2, 1)")
    path = tmp_path / "x.sql"
    found = run(cluster, path, base, old, new)
    assert found["tables"]["public.p"]["conflicts"] == 1
    assert "a row of public.c on the new side refers to it" in path.read_text(encoding="utf-8")
    with cluster.connect(new) as connection:
        connection.execute("INSERT INTO c VALUES (3, 2)")
    apply(cluster, new, path)
    assert ask(cluster, new, "SELECT id FROM c ORDER BY id") == [2, 3], "one came after the file was made"
    assert ask(cluster, new, "SELECT id FROM p ORDER BY id") == [1, 2]


@pytest.mark.parametrize("value", [None, "a'b", "\\", "x\n-- y", "\u2028", "\x85", "a\tb\x0c", "𝄞"])
def test_a_literal_is_one_line_and_means_the_value(cluster: Cluster, value: str | None) -> None:
    """Given any text, then PostgreSQL reads the literal as just that, and it ends no comment."""
    written = salvage_sql.literal(value)
    assert len(written.splitlines()) == 1
    with cluster.admin() as connection:
        assert connection.execute(f"SELECT {written}::text".encode()).fetchone() == (value,)


def given(database: str, path: Path, **more: Any) -> Json:
    """The options of the module, all three sides being the one database that there is."""
    made = options(database)
    sides = {side: dict(made["connection"]) for side in ("base", "old", "new")}
    return {"neon_api_key": made["neon_api_key"], **sides, "path": str(path), **more}


def test_the_module_writes_a_file_once_and_never_over_another(script: Script, cluster: Cluster, tmp_path: Path) -> None:
    """Given a file of the same content, then nothing changes; given another, then it is left as it is."""
    database, path = cluster.create_database("CREATE TABLE t (id int PRIMARY KEY)"), tmp_path / "x.sql"
    results = []
    for _time in range(2):
        for _side in range(3):
            expect(script, cluster, database)
        results.append(
            call_module("postgres_salvage", given(database, path, title=["For the test"], draft=str(tmp_path / "d")))
        )
    assert [result["changed"] for result in results] == [True, False]
    assert results[0]["salvage"]["rows"] == 0 and results[0]["bytes"] == path.stat().st_size
    path.write_text("mine", encoding="utf-8")
    for _side in range(3):
        expect(script, cluster, database)
    refused = call_module("postgres_salvage", given(database, path))
    assert refused["failed"] and refused["error"]["code"] == "file_exists"
    assert path.read_text(encoding="utf-8") == "mine" and list(tmp_path.iterdir()) == [path]
    missing = call_module("postgres_salvage", given(database, tmp_path / "no" / "x.sql"))
    assert "the folder" in missing["msg"] and "does not exist" in missing["msg"]


def test_a_file_of_something_else_is_noticed_at_once(script: Script, tmp_path: Path) -> None:
    """Given a file that does not begin as this one would, then nothing is read before it is refused."""
    path = tmp_path / "x.sql"
    path.write_text("-- Of last week\n", encoding="utf-8")
    refused = call_module("postgres_salvage", given("tracker", path, title=["Of today"]))
    assert refused["failed"] and refused["error"]["code"] == "file_exists" and script.requests == []
    (tmp_path / "y.sql").mkdir()
    refused = call_module("postgres_salvage", given("tracker", tmp_path / "y.sql", title=["Of today"]))
    assert refused["failed"] and "y.sql" in refused["msg"] and script.requests == []


@pytest.mark.parametrize("links", [True, False])
def test_what_somebody_wrote_meanwhile_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Given a file that appears at the very last moment, also where there are no links, then it stays as it is."""
    path, begun = tmp_path / "x.sql", os.link

    def link(one: Path, other: Path) -> None:
        if not links:
            raise PermissionError(1, "Operation not permitted")
        begun(one, other)

    monkeypatch.setattr(os, "link", link)
    with sections_beside(path) as sections:
        assert put_together(sections, ["mine"], path)
        assert path.stat().st_mode & 0o777 == 0o600 and "-- mine" in path.read_text(encoding="utf-8")
        assert not put_together(sections, ["mine"], path)
        with pytest.raises(Refused, match="another content"):
            put_together(sections, ["another"], path)
    assert "-- mine" in path.read_text(encoding="utf-8") and list(tmp_path.iterdir()) == [path]


def test_the_module_compares_nothing_in_check_mode(script: Script, tmp_path: Path) -> None:
    """Given a predicted branch, then the shape is the usual one, and no file is written."""
    wanted = given("tracker", tmp_path / "x.sql")
    wanted["base"] = {**wanted["base"], "branch_id": "predicted:branch/salvage-base"}
    result = call_module("postgres_salvage", wanted, check_mode=True)
    assert result["changed"] and result["salvage"] is None and result["skipped_reason"]
    assert list(tmp_path.iterdir()) == []


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, cluster: Cluster, tmp_path: Path) -> None:
    """Given a database at rest, then both ways find the same."""
    database = cluster.create_database("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE keyless (a int)")
    server = serve(stub_server, cluster, database)
    wanted = without_key(given(database, tmp_path / "x.sql"))
    played = both_ways.play(
        [
            {"name": name, "rewind.database.postgres_salvage": wanted, **more}
            for name, more in (("here", {}), ("ordinary", {"environment": {"A": "b"}}))
        ],
        variables=server,
    )
    here, ordinary = (played.results[way] for way in ("here", "ordinary"))
    assert here["salvage"] == ordinary["salvage"] and (here["changed"], ordinary["changed"]) == (True, False)
