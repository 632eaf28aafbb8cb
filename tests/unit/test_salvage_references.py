# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: foreign keys to what the role may not read, and from and to columns that PostgreSQL computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import DatabaseError
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import apply, ask, rows, run, salvaged, three

READ_NO_MORE = "REVOKE SELECT ON parent, kept FROM CURRENT_USER"


def test_a_table_that_may_not_be_read_costs_only_what_depends_on_it(cluster: Cluster, tmp_path: Path) -> None:
    """Given a parent and a child that the role may write and not read, then a row that refers to the one, and the
    deletion of one that the other may refer to, are held back with the reason, and the rest comes over."""
    base, old, new = three(
        cluster,
        """CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
        CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, parent int REFERENCES parent (id));
        CREATE TABLE kept (id int PRIMARY KEY, t int REFERENCES t (id));
        INSERT INTO t VALUES (1, 'a', 1), (2, 'b', NULL), (3, 'c', NULL)""",
        f"""INSERT INTO parent VALUES (3); INSERT INTO t VALUES (4, 'd', 3), (5, 'e', NULL); DELETE FROM t WHERE id = 3;
        UPDATE t SET code = 'c' WHERE id = 2; UPDATE t SET code = 'A' WHERE id = 1; {READ_NO_MORE}""",
    )
    with cluster.connect(base) as connection:
        connection.execute(READ_NO_MORE.encode())
    found = run(cluster, tmp_path / "x.sql", base, old, new)
    apply(cluster, new, tmp_path / "x.sql")
    assert found["skipped"] == dict.fromkeys(("public.kept", "public.parent"), "no privilege to read it")
    assert ask(cluster, new, "SELECT t::text FROM t ORDER BY id") == [
        "(1,A,1)", "(2,b,)", "(3,c,)", "(5,e,)",
    ]  # fmt: skip
    text = (tmp_path / "x.sql").read_text(encoding="utf-8")
    assert "it refers to a row of public.parent, which could not be compared" in text
    assert "a row of public.kept, which cannot be read, may refer to it" in text


@pytest.mark.parametrize("where", ["base", "old", "new"])
@pytest.mark.parametrize(
    "closed",
    [
        "REVOKE SELECT ON far.tenants FROM CURRENT_USER",
        "REVOKE USAGE ON SCHEMA far FROM CURRENT_USER",
        "ALTER TABLE far.tenants ENABLE ROW LEVEL SECURITY; ALTER TABLE far.tenants FORCE ROW LEVEL SECURITY",
    ],
)
def test_a_table_closed_in_one_state_only_costs_as_little(
    cluster: Cluster, tmp_path: Path, where: str, closed: str
) -> None:
    """Given tenants whose rows, schema or policies are closed to the role in one of the states, then the orders that
    refer to a new one are held back, and the others come over."""
    sides = three(
        cluster,
        """CREATE SCHEMA far; CREATE TABLE far.tenants (id int PRIMARY KEY); INSERT INTO far.tenants VALUES (1);
        CREATE TABLE orders (id int PRIMARY KEY, tenant int REFERENCES far.tenants (id))""",
        "INSERT INTO far.tenants VALUES (2); INSERT INTO orders VALUES (1, 2), (2, NULL)",
    )
    with cluster.connect(sides[("base", "old", "new").index(where)]) as connection:
        connection.execute(closed.encode())
    found = run(cluster, tmp_path / "x.sql", *sides)
    assert list(found["skipped"]) == ["far.tenants"] and found["tables"]["public.orders"]["conflicts"] == 1
    if "USAGE" in closed and where == "new":
        # PostgreSQL itself looks into the schema when it checks the reference.
        return
    apply(cluster, sides[2], tmp_path / "x.sql")
    assert rows(cluster, sides[2], "orders") == ["(2,)"]


CODES = """CREATE TABLE t (id int PRIMARY KEY, name text, code text GENERATED ALWAYS AS (upper(name)) STORED UNIQUE);
    CREATE TABLE child (id int PRIMARY KEY, code text REFERENCES t (code));
    INSERT INTO t VALUES (1, 'a'), (2, 'gone'), (3, 'kept'); INSERT INTO child VALUES (9, 'A')"""


def test_what_refers_to_a_generated_column_comes_over(cluster: Cluster, tmp_path: Path) -> None:
    """Given a foreign key to a column that is computed, and new, changed and deleted rows on both sides of it, then
    all of them come over."""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", CODES,
        "INSERT INTO t VALUES (4, 'b'); INSERT INTO child VALUES (1, 'B'), (2, NULL), (3, 'A'); "
        "UPDATE t SET name = 'other' WHERE id = 3; UPDATE child SET code = 'OTHER' WHERE id = 9; "
        "DELETE FROM t WHERE id = 2",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0
    assert [rows(cluster, new, name) for name in ("t", "child")] == [
        rows(cluster, old, name) for name in ("t", "child")
    ]


def test_what_refers_to_a_generated_column_waits_with_its_row(cluster: Cluster, tmp_path: Path) -> None:
    """Given a row whose computed value others refer to, and that the new side has otherwise, then what refers to it is
    held back; likewise the deletion of one that a row of the new side refers to, and nothing else."""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", CODES,
        "INSERT INTO t VALUES (4, 'b'), (5, 'c'); INSERT INTO child VALUES (1, 'B'), (2, 'C'); "
        "DELETE FROM t WHERE id = 2; UPDATE t SET name = 'other' WHERE id = 3",
        "INSERT INTO t VALUES (4, 'stranger'); INSERT INTO child VALUES (7, 'GONE'), (8, 'KEPT')",
    )  # fmt: skip
    assert found["tables"]["public.t"]["conflicts"] == 3 and found["tables"]["public.child"]["conflicts"] == 1
    assert rows(cluster, new, "t") == ["(1,a,A)", "(2,gone,GONE)", "(3,kept,KEPT)", "(4,stranger,STRANGER)", "(5,c,C)"]
    assert rows(cluster, new, "child") == ["(2,C)", "(7,GONE)", "(8,KEPT)", "(9,A)"]


def test_a_generated_column_may_itself_refer(cluster: Cluster, tmp_path: Path) -> None:
    """Given a foreign key of a column that is computed, also within its own table, then what refers to a row in
    conflict waits, and the rest comes over."""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql",
        """CREATE TABLE p (code text PRIMARY KEY, note text);
        CREATE TABLE c (id int PRIMARY KEY, name text, code text GENERATED ALWAYS AS (upper(name)) STORED
          REFERENCES p (code), up int REFERENCES c (id));
        INSERT INTO p VALUES ('A', ''); INSERT INTO c VALUES (1, 'a')""",
        "INSERT INTO p VALUES ('B', 'mine'), ('C', ''); "
        "INSERT INTO c (id, name, up) VALUES (2, 'b', NULL), (3, 'c', 3), (4, 'a', 3); "
        "UPDATE c SET name = 'c' WHERE id = 1",
        "INSERT INTO p VALUES ('B', 'a stranger')",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 2
    assert rows(cluster, new, "c") == ["(1,c,C,)", "(3,c,C,3)", "(4,a,A,3)"]


def test_what_is_computed_in_two_ways_is_marked(cluster: Cluster, tmp_path: Path) -> None:
    """Given a column that the new side computes otherwise, then what refers by it is held back, and the rest comes."""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", CODES + ", (10, NULL)",
        "INSERT INTO t VALUES (4, 'b'); INSERT INTO child VALUES (1, 'B'), (2, NULL); DELETE FROM t WHERE id = 2",
        "ALTER TABLE child DROP CONSTRAINT child_code_fkey; ALTER TABLE t DROP code; UPDATE child SET code = NULL;"
        "ALTER TABLE t ADD code text GENERATED ALWAYS AS (lower(name)) STORED UNIQUE;"
        "ALTER TABLE child ADD FOREIGN KEY (code) REFERENCES t (code)",
    )  # fmt: skip
    assert found["tables"]["public.child"]["conflicts"] == 1 and found["tables"]["public.t"]["conflicts"] == 1
    assert rows(cluster, new, "t") == ["(1,a,a)", "(2,gone,gone)", "(3,kept,kept)", "(4,b,b)"]
    assert "(2,)" in rows(cluster, new, "child") and "(1,B)" not in rows(cluster, new, "child")


@pytest.mark.parametrize("side", [0, 1, 2])
def test_an_error_names_the_place_where_it_arose(cluster: Cluster, tmp_path: Path, side: int) -> None:
    """Given a state whose sessions end while the rows are compared, then the error names its database, and no other."""
    sides = three(cluster, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 9)")

    def end(line: str) -> None:
        if line.startswith("comparing"):
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = "
            ask(cluster, "postgres", f"{ended}'{sides[side]}'")

    with pytest.raises(DatabaseError) as raised:
        run(cluster, tmp_path / "x.sql", *sides, progress=end)
    assert f"/{sides[side]}:" in raised.value.text
