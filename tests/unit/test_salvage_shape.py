# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: a migration after the restore point costs no rows; what it makes impossible is named or marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import apply, ask, run, states, three

USERS = """CREATE TABLE t (id int PRIMARY KEY, name varchar(9), old int);
    CREATE TABLE c (id int PRIMARY KEY, t int NOT NULL REFERENCES t (id));
    INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3), (4, 'four', 4)"""


def test_a_bad_migration_of_the_old_side_costs_no_rows(cluster: Cluster, tmp_path: Path) -> None:
    """Given columns that the old side added, widened and made otherwise, then rows come with what fits."""
    found, _there, new = states(
        cluster, tmp_path / "x.sql", USERS,
        "ALTER TABLE t ADD plan text NOT NULL DEFAULT 'free', ALTER name TYPE text, ALTER id TYPE bigint,"
        " ALTER old TYPE text; INSERT INTO t VALUES (5, 'five', 'x', 'paid'), (6, 'much too long', 'y', 'free'),"
        " (5000000000, 'far', 'z', 'free'); UPDATE t SET name = 'TWO', plan = 'paid' WHERE id = 2;"
        "UPDATE t SET plan = 'paid' WHERE id = 3; INSERT INTO c VALUES (1, 5), (2, 6)",
        "UPDATE t SET old = 11 WHERE id = 1",
    )  # fmt: skip
    assert new == ["(1,one,11)", "(2,TWO,2)", "(3,three,3)", "(4,four,4)", "(5,five,)"]
    assert found["skipped"] == {
        'public.t."old"': "column: its type is text on the old side, and integer on the new one",
        'public.t."plan"': "column: only the old side has it",
    }
    assert found["tables"]["public.t"] == {
        "inserted": 3, "changed": 1, "deleted": 0, "conflicts": 2, "already_there": 0,
    }  # fmt: skip
    assert found["tables"]["public.c"]["conflicts"] == 1
    text = (tmp_path / "x.sql").read_text(encoding="utf-8")
    assert 'the new side cannot take its "name"' in text and 'the new side cannot take its "id"' in text


def test_what_only_the_new_side_has_is_neither_lost_nor_guessed(cluster: Cluster, tmp_path: Path) -> None:
    """Given columns that the new side has beside, then changes and new rows come, and deletions wait for a person."""
    found, _there, new = states(
        cluster, tmp_path / "x.sql", USERS,
        "ALTER TABLE t DROP old; UPDATE t SET name = 'ONE' WHERE id = 1; DELETE FROM t WHERE id = 2;"
        "INSERT INTO t VALUES (5, 'five')",
        "ALTER TABLE t ADD plan text NOT NULL DEFAULT 'free'; UPDATE t SET plan = 'paid' WHERE id < 3",
    )  # fmt: skip
    assert new == ["(1,ONE,1,paid)", "(2,two,2,paid)", "(3,three,3,free)", "(4,four,4,free)", "(5,five,,free)"]
    assert found["total"]["conflicts"] == 1


def test_a_new_row_that_lacks_what_it_must_have_is_marked(cluster: Cluster, tmp_path: Path) -> None:
    """Given a column of the new side that must have a value, then new rows are counted and marked, and changes come."""
    found, _there, new = states(
        cluster, tmp_path / "x.sql", USERS, "UPDATE t SET name = 'ONE' WHERE id = 1; INSERT INTO t VALUES (5, 'five')",
        "ALTER TABLE t ADD plan text; UPDATE t SET plan = 'x'; ALTER TABLE t ALTER plan SET NOT NULL",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 1 and new[0] == "(1,ONE,1,x)" and len(new) == 4
    assert 'the new side needs a value for "plan"' in (tmp_path / "x.sql").read_text(encoding="utf-8")


def test_a_migration_of_both_sides_brings_its_column(cluster: Cluster, tmp_path: Path) -> None:
    """Given a column that both sides got after the restore point, then new rows bring it, and where both sides have
    another value nobody knows whose it is."""
    migrate = "ALTER TABLE t ADD plan text DEFAULT 'free';"
    found, _there, new = states(
        cluster, tmp_path / "x.sql", USERS,
        f"{migrate} INSERT INTO t VALUES (5, 'five', 5, 'paid'); UPDATE t SET name = 'ONE' WHERE id = 1;"
        "UPDATE t SET plan = 'paid' WHERE id = 2; DELETE FROM t WHERE id = 3; UPDATE t SET name = 'FOUR' WHERE id = 4",
        f"{migrate} DELETE FROM t WHERE id = 4",
    )  # fmt: skip
    assert found["total"] == {"inserted": 1, "changed": 3, "deleted": 1, "conflicts": 2, "already_there": 0}
    assert new == ["(1,ONE,1,free)", "(2,two,2,free)", "(5,five,5,paid)"]


def test_values_that_the_new_side_does_not_know_are_marked(cluster: Cluster, tmp_path: Path) -> None:
    """Given labels of an enum and nulls that only the old side allows, then rows with them wait, and others come."""
    schema = """CREATE TYPE role AS ENUM ('A', 'B');
        CREATE TABLE t (id int PRIMARY KEY, role role, roles role[], a int);
        INSERT INTO t VALUES (1, 'A', '{A}', 1), (2, 'B', '{}', 2)"""
    found, _there, new = states(
        cluster, tmp_path / "x.sql", schema,
        "ALTER TYPE role RENAME TO was; CREATE TYPE role AS ENUM ('A', 'B', 'it''s');"
        "ALTER TABLE t ALTER role TYPE role USING role::text::role, ALTER roles TYPE role[] USING roles::text::role[];"
        "UPDATE t SET role = 'it''s' WHERE id = 1;"
        "INSERT INTO t VALUES (3, 'A', '{B,it''s}', 3), (4, 'B', '{A}', 4), (5, 'A', '{}', NULL);"
        "UPDATE t SET role = 'A' WHERE id = 2",
        "ALTER TABLE t ALTER a SET NOT NULL",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 3
    assert new == ["(1,A,{A},1)", "(2,A,{},2)", "(4,B,{A},4)"]


def test_a_table_of_another_kind_or_key_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """Given a table that was partitioned, and one whose key is of another type, then nothing is taken for deleted."""
    schema = """CREATE TABLE t (id int PRIMARY KEY, a int); CREATE TABLE k (id int PRIMARY KEY, a int);
        INSERT INTO t VALUES (1, 1); INSERT INTO k VALUES (1, 1)"""
    found, _there, new = states(
        cluster, tmp_path / "x.sql", schema,
        "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t DEFAULT; ALTER TABLE k ALTER id TYPE text; INSERT INTO k VALUES ('x', 2)",
    )  # fmt: skip
    assert new == ["(1,1)"] and found["rows"] == 0
    assert found["skipped"] == {
        "public.k": "its primary key is not the same in the three states: id"
        " (1 rows at the restore point, 2 on the old side)",
        "public.t": "it is not partitioned in all three states (1 rows at the restore point, 0 on the old side)",
    }


def test_an_array_of_another_shape_is_another_value(cluster: Cluster, tmp_path: Path) -> None:
    """Given arrays whose elements stay and whose dimensions or bounds change, then the file has the change."""
    found, _there, new = states(
        cluster, tmp_path / "x.sql",
        "CREATE TABLE t (id int PRIMARY KEY, v int[]); INSERT INTO t VALUES (1, '{1,2,3,4}'), (2, '{1,2}'), (3, '{5}')",
        "UPDATE t SET v = '{{1,2},{3,4}}' WHERE id = 1; UPDATE t SET v = '[0:1]={1,2}' WHERE id = 2",
    )  # fmt: skip
    assert found["total"]["changed"] == 2
    assert new == ['(1,"{{1,2},{3,4}}")', '(2,"[0:1]={1,2}")', "(3,{5})"]


def test_what_a_key_only_includes_is_no_part_of_it(cluster: Cluster, tmp_path: Path) -> None:
    """Given a primary key that includes a column, also a null one, then a change of it changes the row, and both sides'
    new row of one key is a conflict."""
    found, _there, new = states(
        cluster, tmp_path / "x.sql",
        "CREATE TABLE t (id int, qty int, PRIMARY KEY (id) INCLUDE (qty));"
        "CREATE TABLE c (id int PRIMARY KEY, t int NOT NULL REFERENCES t (id));"
        "INSERT INTO t VALUES (1, 10), (2, NULL); INSERT INTO c VALUES (1, 1)",
        "UPDATE t SET qty = qty + 1; UPDATE t SET qty = 5 WHERE id = 2; INSERT INTO t VALUES (3, 30), (4, 40)",
        "INSERT INTO t VALUES (4, 41)",
    )  # fmt: skip
    assert found["tables"]["public.t"] == {
        "inserted": 2, "changed": 2, "deleted": 0, "conflicts": 1, "already_there": 0,
    }  # fmt: skip
    assert new == ["(1,11)", "(2,5)", "(3,30)", "(4,41)"]


def test_a_sequence_that_was_set_to_what_it_gives_next_comes_over(cluster: Cluster, tmp_path: Path) -> None:
    """Given rows loaded with their ids and a sequence set behind them, then the new side goes on there; one that was
    never used stays as it is."""
    base, old, new = three(
        cluster,
        "CREATE TABLE t (id serial PRIMARY KEY, v int); CREATE SEQUENCE unused; INSERT INTO t (v) VALUES (1)",
        "INSERT INTO t VALUES (51, 2), (52, 3); SELECT setval('t_id_seq', 53, false)",
    )
    found = run(cluster, tmp_path / "x.sql", base, old, new)
    apply(cluster, new, tmp_path / "x.sql")
    assert list(found["sequences"]) == ["public.t_id_seq"] and found["skipped"] == {}
    assert ask(cluster, new, "SELECT nextval('t_id_seq')") == [53] and ask(
        cluster, new, "SELECT nextval('unused')"
    ) == [1]


def test_of_wide_rows_fewer_are_held_at_once(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given rows of 300,000 characters, then some dozen of them are fetched at a time, and every change is found."""
    base, old, new = three(
        cluster,
        "CREATE TABLE t (id int PRIMARY KEY, v text);"
        "INSERT INTO t SELECT n, repeat('x', 300000) FROM generate_series(1, 200) n",
        "UPDATE t SET v = v || 'y' WHERE id IN (1, 120, 200)",
    )
    sizes: list[int] = []
    fetch = psycopg.ServerCursor.fetchmany

    def counted(cursor: psycopg.ServerCursor[Any], size: int = 0) -> list[Any]:
        sizes.append(size)
        return fetch(cursor, size)

    monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", counted)
    found = run(cluster, tmp_path / "x.sql", base, old, new)
    assert found["total"]["changed"] == 3
    assert max(sizes) == sizes[0] == 50 and sorted(set(sizes)) == [27, 50]
