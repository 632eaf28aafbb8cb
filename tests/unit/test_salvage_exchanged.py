# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: rows that exchange unique values, which no order of single changes does."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import apply, ask, run, states, three

# Free for a moment, as PostgreSQL wants it of whoever exchanges two.
ROTATED = """UPDATE t SET {name} = {away}; UPDATE t SET {name} = {value}"""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("code int UNIQUE", "id % 4 + 1"),
        ("code int NOT NULL UNIQUE", "id % 4 + 1"),
        ("code smallint NOT NULL UNIQUE", "id % 4 + 1"),
        ("code bigint NOT NULL UNIQUE", "5 - id"),
        ("code text NOT NULL UNIQUE", "5 - id"),
        ("code varchar NOT NULL UNIQUE", "id % 4 + 1"),
        ("code text, UNIQUE NULLS NOT DISTINCT (code)", "id % 4 + 1"),
    ],
)
def test_rows_exchange_their_values(cluster: Cluster, tmp_path: Path, column: str, value: str) -> None:
    """Given rows whose values go round, then they do on the new side too, and no row keeps what it held meanwhile."""
    schema = f"CREATE TABLE t (id int PRIMARY KEY, note text, {column}); "
    schema += "INSERT INTO t SELECT g, '', g FROM generate_series(1, 4) AS g"
    away = "-id" if "char" not in column else "'-' || id"
    old = ROTATED.format(name="code", away=away, value=value) + "; UPDATE t SET note = 'x' WHERE id = 2"
    found, there, here = states(cluster, tmp_path / "x.sql", schema, old)
    assert found["total"]["conflicts"] == 0 and found["total"]["changed"] == 4
    assert here == there


def test_places_in_lists_are_exchanged_beside_chains_and_new_rows(cluster: Cluster, tmp_path: Path) -> None:
    """Given places in lists that go round, move on, are left and taken, with two unique values of a row that go
    different ways, then the new side has them as the old one, and its own changes stay."""
    found, there, here = states(
        cluster, tmp_path / "x.sql",
        """CREATE TABLE lists (id int PRIMARY KEY); INSERT INTO lists VALUES (1), (2);
        CREATE TABLE t (id int PRIMARY KEY, list int NOT NULL REFERENCES lists (id), place int NOT NULL,
          slug text NOT NULL UNIQUE, note text NOT NULL DEFAULT '', UNIQUE (list, place));
        INSERT INTO t SELECT g, g % 2 + 1, (g + 1) / 2, 's' || g FROM generate_series(1, 12) AS g""",
        """UPDATE t SET place = place + 100, slug = 'x' || slug;
        UPDATE t SET place = CASE WHEN id < 7 THEN ((id + 1) / 2) % 3 + 1 ELSE (id + 1) / 2 END,
          slug = 's' || CASE WHEN id < 9 THEN 9 - id ELSE id END;
        DELETE FROM t WHERE id = 12; UPDATE t SET place = 9, slug = 's12' WHERE id = 11;
        INSERT INTO t VALUES (20, 2, 6, 's11')""",
        "UPDATE t SET note = 'mine' WHERE id = 10",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0
    assert here == [row.replace('s10,""', "s10,mine") for row in there]


def test_hundreds_of_rows_exchange_their_values(cluster: Cluster, tmp_path: Path) -> None:
    """Given one long round, and as many pairs as there are rows, then both come over."""
    found, there, here = states(
        cluster, tmp_path / "x.sql",
        """CREATE TABLE t (id int PRIMARY KEY, one int NOT NULL UNIQUE, two int NOT NULL UNIQUE);
        INSERT INTO t SELECT g, g, g FROM generate_series(0, 599) AS g""",
        ROTATED.format(name="one", away="-id - 1", value="(id + 1) % 600") + ";"
        + ROTATED.format(name="two", away="-id - 1", value="CASE WHEN id % 2 = 0 THEN id + 1 ELSE id - 1 END"),
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0 and here == there


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("CREATE TABLE t (id int PRIMARY KEY, code int NOT NULL UNIQUE CHECK (code > 0))", "code"),
        ("CREATE TABLE t (id int PRIMARY KEY, code varchar(3) NOT NULL UNIQUE)", "code"),
        (
            "CREATE DOMAIN d AS int CHECK (VALUE > 0); CREATE TABLE t (id int PRIMARY KEY, code d NOT NULL UNIQUE)",
            "code",
        ),
        ("CREATE TABLE t (id int PRIMARY KEY, code int); CREATE UNIQUE INDEX u ON t ((code % 100))", "code"),
        ("CREATE TABLE t (id int PRIMARY KEY, code int NOT NULL UNIQUE); CREATE INDEX u ON t ((100 / code))", "code"),
        ("CREATE TABLE t (id int PRIMARY KEY, code int UNIQUE, x int GENERATED ALWAYS AS (code * 9) STORED)", "code"),
        ("CREATE TABLE t (id int PRIMARY KEY, code numeric UNIQUE)", "code"),
        (
            "CREATE TABLE t (id int PRIMARY KEY, code int UNIQUE); "
            "ALTER TABLE t ADD twice text NOT NULL GENERATED ALWAYS AS (code::text || 'x') STORED",
            "code",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY, code int UNIQUE, "
            "up int GENERATED ALWAYS AS (1) STORED REFERENCES t (code))",
            "code",
        ),
    ],
)
def test_rows_that_cannot_be_without_their_value_are_marked(
    cluster: Cluster, tmp_path: Path, schema: str, name: str
) -> None:
    """Given a check, a limit, an expression or a reference that minds what a row would hold meanwhile, then those rows
    are in conflict, and the others come over."""
    found, _there, here = states(
        cluster, tmp_path / "x.sql",
        f"{schema}; INSERT INTO t (id, {name}) SELECT g, g FROM generate_series(1, 4) AS g",
        f"UPDATE t SET {name} = 90 WHERE id = 3; UPDATE t SET {name} = 3 WHERE id = 2; "
        f"UPDATE t SET {name} = 2 WHERE id = 3; UPDATE t SET {name} = 40 WHERE id = 4",
    )  # fmt: skip
    assert any(row.startswith("(4,40") for row in here)
    assert found["total"]["conflicts"] == 2
    assert [row.split(",")[1].rstrip(")") for row in here[1:3]] == ["2", "3"]


def test_what_has_changed_before_the_file_is_applied_is_not_overwritten(cluster: Cluster, tmp_path: Path) -> None:
    """Given two rows that exchange values, and values that were taken away before the file is applied for the first
    time, or for the second, then they stay away: nothing passes for what the file itself has put there."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, code int UNIQUE); INSERT INTO t VALUES (1, 1), (2, 2)"
    exchanged = "UPDATE t SET code = -id; UPDATE t SET code = 3 + code"
    base, old, new = three(cluster, schema, exchanged)
    run(cluster, tmp_path / "x.sql", base, old, new)
    for first in (True, False):
        side = cluster.copy(new)
        if not first:
            apply(cluster, side, tmp_path / "x.sql")
        with cluster.connect(side) as connection:
            connection.execute(b"UPDATE t SET code = NULL WHERE id = 1; UPDATE t SET code = NULL WHERE id = 2")
        apply(cluster, side, tmp_path / "x.sql")
        assert ask(cluster, side, "SELECT t::text FROM t ORDER BY id") == ["(1,)", "(2,)"]


def test_what_follows_a_parent_meanwhile_is_marked(cluster: Cluster, tmp_path: Path) -> None:
    """Given rows that exchange values and whose reference follows a parent that was renamed, then those whose own
    columns PostgreSQL changes meanwhile are in conflict, and the file applies."""
    found, _there, here = states(
        cluster, tmp_path / "x.sql",
        """CREATE TABLE lists (id int PRIMARY KEY, code text UNIQUE); INSERT INTO lists VALUES (1, 'a');
        CREATE TABLE t (id int PRIMARY KEY, list text REFERENCES lists (code) ON UPDATE CASCADE,
          slug text NOT NULL UNIQUE); INSERT INTO t VALUES (1, 'a', 's1'), (2, 'a', 's2')""",
        "UPDATE lists SET code = 'b'; UPDATE t SET slug = 'x' || id; UPDATE t SET slug = 's' || (3 - id)",
    )  # fmt: skip
    assert found["tables"]["public.t"]["conflicts"] == 2
    assert [row.split(",")[2] for row in here] == ["s1)", "s2)"]
