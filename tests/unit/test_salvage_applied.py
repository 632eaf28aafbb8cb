# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage, once its file is applied: what was written meanwhile is neither lost nor taken for something else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import apply, ask, run, three


def test_psql_applies_it_with_nothing_secret_on_its_command_line(cluster: Cluster, tmp_path: Path) -> None:
    """Given a service and a password file, then the command at the top of the file works, and fails as a whole."""
    psql = Path(cluster.binaries.tool("psql"))
    if not psql.exists():
        pytest.skip("this PostgreSQL brings no psql")
    schema = """CREATE TABLE t (id int PRIMARY KEY, a text, b bytea, c float8); INSERT INTO t VALUES (1, 'a')
        ; ALTER TABLE t ADD CONSTRAINT once UNIQUE (a) DEFERRABLE INITIALLY DEFERRED"""
    lost = (
        "INSERT INTO t VALUES (2, E'it''s\\n\\\\. :x :''y'' ', '\\x00ff', 0.1::float8 + 0.2), (3, 'three', NULL, 'NaN')"
    )
    base, old, new = three(cluster, schema, lost)
    path = tmp_path / "lost rows.sql"
    run(cluster, path, base, old, new)
    command = next(line for line in path.read_text(encoding="utf-8").splitlines() if "psql" in line)
    assert "PGSERVICE=NAME psql -X -v ON_ERROR_STOP=1 -f" in command and "://" not in command
    service, secret = tmp_path / "service", tmp_path / "pass"
    with cluster.connect(new) as connection:
        known = connection.info
        service.write_text(f"[lost]\nhost=localhost\nport={known.port}\ndbname={new}\nuser={known.user}\n")
        secret.write_text(f"localhost:{known.port}:*:*:{known.password}\n")
    secret.chmod(0o600)
    environment = {"PGSERVICE": "lost", "PGSERVICEFILE": str(service), "PGPASSFILE": str(secret), "HOME": str(tmp_path)}
    arguments = [str(psql), "-X", "-v", "ON_ERROR_STOP=1", "-f", str(path)]
    for _time in range(2):
        ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        query = "SELECT t::text FROM t ORDER BY id"
        assert ask(cluster, new, query) == ask(cluster, old, query)
    with cluster.connect(new) as connection:
        connection.execute("DELETE FROM t WHERE id > 1; INSERT INTO t VALUES (9, 'three')")
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 3 and "once" in ended.stderr, "what is refused at the very end is an error too"
    assert ask(cluster, new, "SELECT id FROM t ORDER BY id") == [1, 9]


def test_what_was_changed_after_the_file_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Given rows changed between making and applying the file, then they win, and what is new comes."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    base, old, new = three(
        cluster, schema,
        "UPDATE t SET a = 'old' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 'old')",
    )  # fmt: skip
    path = tmp_path / "x.sql"
    run(cluster, path, base, old, new)
    with cluster.connect(new) as connection:
        connection.execute("UPDATE t SET a = 'new'")
    apply(cluster, new, path)
    assert ask(cluster, new, "SELECT t::text FROM t ORDER BY id") == ["(1,new)", "(2,new)", "(3,old)"]


@pytest.mark.parametrize("table", ["p", "d"])
def test_a_stranger_with_the_same_key_gets_no_children_of_another(cluster: Cluster, tmp_path: Path, table: str) -> None:
    """Given a sequence that was rewound, and a row with the next id after the file was made, then nothing changes."""
    schema = """CREATE TABLE p (id int PRIMARY KEY, a text, up int REFERENCES p (id));
        CREATE TABLE d (id int PRIMARY KEY DEFERRABLE, a text);
        CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p (id));
        CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'a')"""
    base, old, new = three(
        cluster, schema,
        "INSERT INTO p VALUES (1, 'mine', 1); INSERT INTO d VALUES (1, 'mine'); INSERT INTO c VALUES (1, 1);"
        "UPDATE t SET a = 'mine'",
    )  # fmt: skip
    path = tmp_path / "x.sql"
    run(cluster, path, base, old, new)
    with cluster.connect(new) as connection:
        connection.execute(f"INSERT INTO {table} VALUES (1, 'a stranger')".encode())
    with pytest.raises(psycopg.errors.UniqueViolation):
        apply(cluster, new, path)
    assert ask(cluster, new, f"SELECT a FROM {table}") == ["a stranger"]
    assert ask(cluster, new, "SELECT id FROM c") == [] and ask(cluster, new, "SELECT a FROM t") == ["a"]
    with cluster.connect(new) as connection:
        connection.execute(f"DELETE FROM {table}".encode())
    for _time in range(2):
        apply(cluster, new, path)
        assert ask(cluster, new, "SELECT p::text FROM p") == ["(1,mine,1)"]
        assert ask(cluster, new, "SELECT p FROM c") == [1]


def test_a_parent_that_was_not_compared_is_not_guessed(cluster: Cluster, tmp_path: Path) -> None:
    """Given a parent table that is named as not compared, then a child of a new row of it waits for a person."""
    schema = """CREATE TABLE p (id int UNIQUE, a int); INSERT INTO p VALUES (1);
        CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p (id))"""
    base, old, new = three(
        cluster, schema, "INSERT INTO p VALUES (2); INSERT INTO c VALUES (1, 1), (2, 2)",
        "INSERT INTO p VALUES (2);"
        "CREATE TABLE later (p int REFERENCES p (id), c int REFERENCES c (id))",
    )  # fmt: skip
    path = tmp_path / "x.sql"
    found = run(cluster, path, base, old, new)
    assert "public.p" in found["skipped"] and found["tables"]["public.c"]["conflicts"] == 1
    apply(cluster, new, path)
    assert ask(cluster, new, "SELECT id FROM c") == [1], "the new side's row 2 is another one"


def test_what_only_the_new_side_has_is_asked_of_it_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Given a table that only the new side has, and that refers to a deleted row, then the row stays."""
    schema = "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2)"
    base, old, new = three(
        cluster, schema, "DELETE FROM p",
        "CREATE TABLE later (id int PRIMARY KEY, p int REFERENCES p (id) ON DELETE CASCADE);"
        "INSERT INTO later VALUES (1, 1)",
    )  # fmt: skip
    path = tmp_path / "x.sql"
    assert run(cluster, path, base, old, new)["total"]["conflicts"] == 1
    taken = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("-- DELETE")]
    with cluster.connect(new) as connection:
        connection.execute(taken[0].removeprefix("-- ").encode())
    assert ask(cluster, new, "SELECT id FROM p ORDER BY id") == [1, 2], "by hand it takes nothing along either"
    apply(cluster, new, path)
    assert ask(cluster, new, "SELECT id FROM p") == [1]


def test_what_a_migration_tool_keeps_does_not_come(cluster: Cluster, tmp_path: Path) -> None:
    """Given migrations on the old side, then their table is named, and the new side's own is left."""
    schema = "CREATE TABLE alembic_version (version_num text PRIMARY KEY); INSERT INTO alembic_version VALUES ('one')"
    sides = three(cluster, schema, "UPDATE alembic_version SET version_num = 'two'")
    found = run(cluster, tmp_path / "x.sql", *sides)
    assert found["skipped"] == {
        "public.alembic_version": "a migration tool's own table (1 rows at the restore point, 1 on the old side)"
    }


def test_a_key_whose_equality_is_not_that_of_its_text_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """Given keys that take different texts for the same, then they are not compared by text."""
    schema = """CREATE TYPE pair AS (a int, b int); CREATE TABLE spans (id interval PRIMARY KEY);
        CREATE TABLE pairs (id pair PRIMARY KEY)"""
    found = run(
        cluster, tmp_path / "x.sql",
        *three(cluster, schema, "INSERT INTO spans VALUES ('1 day'); INSERT INTO pairs VALUES ('(1,2)')"),
    )  # fmt: skip
    for name, key in (("spans", "id (interval)"), ("pairs", "id (public.pair)")):
        reason = f"its primary key takes values for equal that are written differently: {key}"
        assert found["skipped"][f"public.{name}"].startswith(reason)


def test_values_without_an_equality_of_their_own_are_compared_as_text(cluster: Cluster, tmp_path: Path) -> None:
    """Given foreign and unique keys of a type that is not PostgreSQL's own, then they are judged all the same."""
    schema = """CREATE TYPE pair AS (a int, b int); CREATE TABLE p (id int PRIMARY KEY, at pair UNIQUE);
        CREATE TABLE c (id int PRIMARY KEY, at pair REFERENCES p (at));
        INSERT INTO p VALUES (1, '(1,1)'), (2, '(2,2)')"""
    base, old, new = three(
        cluster, schema,
        "INSERT INTO p VALUES (3, '(3,3)'), (4, '(4,4)'); INSERT INTO c VALUES (1, '(3,3)'), (2, '(2,2)');"
        "DELETE FROM p WHERE id = 1",
        "INSERT INTO p VALUES (5, '(4,4)'); INSERT INTO c VALUES (9, '(1,1)'); DELETE FROM p WHERE id = 2",
    )  # fmt: skip
    path = tmp_path / "x.sql"
    assert run(cluster, path, base, old, new)["total"]["conflicts"] == 3
    apply(cluster, new, path)
    assert ask(cluster, new, "SELECT id FROM p ORDER BY id") == [1, 3, 5]
    assert ask(cluster, new, "SELECT id FROM c ORDER BY id") == [1, 9]


@pytest.mark.parametrize("cascade", ["", "ON DELETE CASCADE"])
def test_of_rows_that_refer_to_each_other_those_stay_that_are_still_used(
    cluster: Cluster, tmp_path: Path, cascade: str
) -> None:
    """Given a tree deleted on the old side, and a leaf of it changed or used after the file, then its branch stays."""
    schema = f"""CREATE TABLE n (id int PRIMARY KEY, up int REFERENCES n (id) {cascade}, extra json);
        CREATE TABLE used (n int REFERENCES n (id) {cascade});
        INSERT INTO n (id, up) VALUES (1, 1), (2, 1), (3, 2), (4, 1), (5, 4), (6, NULL), (7, 6)"""
    base, old, new = three(cluster, schema, "DELETE FROM used; DELETE FROM n")
    path = tmp_path / "x.sql"
    run(cluster, path, base, old, new)
    untouched = cluster.copy(new)
    apply(cluster, untouched, path)
    assert ask(cluster, untouched, "SELECT id FROM n") == []
    with cluster.connect(new) as connection:
        connection.execute("UPDATE n SET extra = '[1]' WHERE id = 7; INSERT INTO used VALUES (3)")
    for _time in range(2):
        apply(cluster, new, path)
        assert ask(cluster, new, "SELECT id FROM n ORDER BY id") == [1, 2, 3, 6, 7]
    assert ask(cluster, new, "SELECT n FROM used") == [3]
