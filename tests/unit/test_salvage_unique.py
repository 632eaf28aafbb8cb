# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: what only one row may have is judged by what the index says, whatever that is."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import states

CLASHES = {
    "citext": ("email public.citext UNIQUE", "", "'A@x'", "'a@X'", "'b@x'"),
    "lower": ("email text", "CREATE UNIQUE INDEX once ON t (lower(email))", "'A@x'", "'a@X'", "'b@x'"),
    "partial": ("email text, gone bool DEFAULT false", "CREATE UNIQUE INDEX once ON t (email) WHERE NOT gone",
                "'a', false", "'a', false", "'a', true"),
    "constant": ("main bool", "CREATE UNIQUE INDEX once ON t ((1)) WHERE main", "true", "true", "false"),
    "coalesce": ("a int, b int", "CREATE UNIQUE INDEX once ON t (a, COALESCE(b, -1))", "1, NULL", "1, -1", "2, NULL"),
    "range": ("room int, at int4range, EXCLUDE USING gist (room WITH OPERATOR(pg_catalog.=), at WITH &&)", "",
              "1, '[1,5)'", "1, '[4,9)'", "1, '[9,10)'"),
    "made": ("email text, \"made %s\" text GENERATED ALWAYS AS (lower(email)) STORED UNIQUE", "",
             "'A@x'", "'a@X'", "'b@x'"),
    "array": ("tags text[] UNIQUE", "", "'{a}'", "'{a}'", "'{b}'"),
    "included": ("a int, b int", "CREATE UNIQUE INDEX once ON t (a) INCLUDE (b)", "1, 1", "1, 2", "2, 1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASHES)
def test_a_clash_is_marked_and_the_rest_comes(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    """Given rows of both sides of which only one may be there, then the new side's stays with all that refers to it."""
    columns, index, old, clashing, free = CLASHES[kind]
    schema = f"""CREATE EXTENSION citext; CREATE EXTENSION btree_gist;
        CREATE TABLE t (id int PRIMARY KEY, {columns}); {index};
        CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t (id))"""
    found, _old, new = states(
        cluster, tmp_path / "x.sql", schema,
        f"INSERT INTO t VALUES (1, {old}), (2, {free}); INSERT INTO c VALUES (1, 1), (2, 2)",
        f"INSERT INTO t VALUES (9, {clashing})",
    )  # fmt: skip
    assert found["by_hand"] == [] and found["total"]["conflicts"] == 2
    assert [row[1] for row in new] == ["2", "9"]


def test_a_clash_within_one_partition_is_marked(cluster: Cluster, tmp_path: Path) -> None:
    """Given an index that only one partition has, then it counts for the rows there."""
    schema = """CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t DEFAULT;
        CREATE UNIQUE INDEX once ON t1 (a)"""
    found, _old, new = states(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO t VALUES (1, 'x'), (11, 'x')",
        "INSERT INTO t VALUES (2, 'x'), (12, 'x')",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 1 and new == ["(11,x)", "(12,x)", "(2,x)"]


def test_a_flag_that_one_row_may_have_moves_on(cluster: Cluster, tmp_path: Path) -> None:
    """Given a default that became another row's, one of a row in conflict, and one of a deleted row, then each waits
    for the one that has it."""
    schema = """CREATE TABLE t (id int PRIMARY KEY, u int, main bool, name text);
        CREATE UNIQUE INDEX once ON t (u) WHERE main;
        INSERT INTO t VALUES (1, 1, false), (2, 1, true), (3, 2, false), (4, 2, true), (5, 3, false), (6, 3, true)"""
    found, _old, new = states(
        cluster, tmp_path / "x.sql", schema,
        "UPDATE t SET main = false WHERE id IN (2, 4); UPDATE t SET main = true WHERE id IN (1, 3);"
        "DELETE FROM t WHERE id = 6; UPDATE t SET main = true WHERE id = 5",
        "UPDATE t SET name = 'x' WHERE id = 4",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 2
    assert new == ["(1,1,t,)", "(2,1,f,)", "(3,2,f,)", "(4,2,t,x)", "(5,3,t,)"]


def test_an_index_of_the_new_side_that_old_rows_do_not_fit_in(cluster: Cluster, tmp_path: Path) -> None:
    """Given an expression that came later and fails for an old row, then the table's rows wait, and no file fails."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, '1')"
    found, _old, new = states(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO t VALUES (2, '2'), (3, 'x'), (4, '01')",
        "CREATE UNIQUE INDEX once ON t ((a::int))",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 3 and new == ["(1,1)"]
    text = (tmp_path / "x.sql").read_text(encoding="utf-8")
    assert "its value in the index once cannot be computed on both sides" in text


def test_an_index_that_the_old_side_cannot_compute_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """Given a function that came with an index after the restore, then that is said, and the rest is judged."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE)"
    found, _old, new = states(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';"
        "CREATE UNIQUE INDEX once ON t (f(a)); INSERT INTO t VALUES (9, 'a')",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 1 and new == ["(2,b)", "(9,a)"]
    assert found["by_hand"] == ["index once of public.t: rows that clash there are not found; the file fails then"]


FOLDERS = """CREATE TABLE t (id int PRIMARY KEY, name text, p int REFERENCES t (id));
    INSERT INTO t VALUES (1, 'r', NULL), (2, 'k', 1), (3, 'k', NULL)"""


@pytest.mark.parametrize(
    "index",
    ["CREATE UNIQUE INDEX u ON t (name) WHERE p IS NULL; CREATE UNIQUE INDEX ON t (p, name)",
     "CREATE UNIQUE INDEX u ON t ((coalesce(p, 0)), name)"],
)  # fmt: skip
def test_what_takes_the_place_of_a_deleted_row_needs_no_null_in_between(
    cluster: Cluster, tmp_path: Path, index: str
) -> None:
    """Given a child that was deleted and made again under another id, then it comes as it is: a null would clash."""
    found, old, new = states(
        cluster,
        tmp_path / "x.sql",
        f"{FOLDERS};{index}",
        "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (9, 'k', 1)",
    )
    assert found["total"]["conflicts"] == 0 and new == old


@pytest.mark.parametrize(
    "index",
    ["CREATE UNIQUE INDEX u ON t (name) WHERE p IS NULL; CREATE UNIQUE INDEX ON t (p, name)",
     "CREATE UNIQUE INDEX u ON t ((coalesce(p, 0)), name)"],
)  # fmt: skip
def test_where_a_null_in_between_would_clash_the_row_waits_for_a_person(
    cluster: Cluster, tmp_path: Path, index: str
) -> None:
    """Given a new child that takes the name of one that goes elsewhere, then the file does not fail."""
    found, _old, new = states(
        cluster, tmp_path / "x.sql", f"{FOLDERS};{index}",
        "UPDATE t SET name = 'moved' WHERE id = 2; INSERT INTO t VALUES (9, 'k', 1); UPDATE t SET p = 9 WHERE id = 2",
    )  # fmt: skip
    assert found["total"]["conflicts"] >= 1 and "(1,r,)" in new and "(3,k,)" in new


def test_keys_of_domains_over_domains_are_compared(cluster: Cluster, tmp_path: Path) -> None:
    """Given a key whose type is a domain over another one, then its table is in the file."""
    schema = """CREATE DOMAIN one AS int CHECK (VALUE > 0); CREATE DOMAIN two AS one;
        CREATE DOMAIN three AS two NOT NULL; CREATE TABLE t (id three PRIMARY KEY, a text);
        INSERT INTO t VALUES (2, 'x'), (10, 'y')"""
    found, old, new = states(
        cluster, tmp_path / "x.sql", schema, "UPDATE t SET a = 'z' WHERE id = 10; INSERT INTO t VALUES (3, 'w')"
    )
    assert found["skipped"] == {} and new == old


@pytest.mark.parametrize("kind", ["numeric", "float8"])
def test_a_number_written_otherwise_is_the_same_key(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    """Given keys that are equal and written differently, then their rows are compared with each other, in order."""
    values = {"numeric": ("1.0", "1.00", "1e3", "1000.0"), "float8": ("0", "-0", "1e300", "1e300")}[kind]
    schema = f"""CREATE TABLE t (id {kind} PRIMARY KEY, a text);
        INSERT INTO t VALUES ({values[0]}, 'x'), ({values[2]}, 'y'), (9, 'z'), ('NaN', 'n'), (-10.5, 'm')"""
    found, _old, new = states(
        cluster, tmp_path / "x.sql", schema,
        f"UPDATE t SET id = '{values[1]}' WHERE a = 'x'; UPDATE t SET a = 'old' WHERE a <> 'x'",
        f"UPDATE t SET id = '{values[3]}', a = 'new' WHERE a = 'y'",
    )  # fmt: skip
    assert found["total"] == {"inserted": 0, "changed": 5, "deleted": 0, "conflicts": 1, "already_there": 0}
    assert sorted(row.rpartition(",")[2] for row in new) == ["new)", "old)", "old)", "old)", "x)"]
    assert any(row.startswith(f"({values[1]},") for row in new)
