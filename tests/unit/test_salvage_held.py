# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: what is held back takes along what depends on it, and the rest applies, whatever constraints there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.rewind.database.plugins.module_utils._postgres import salvage_known
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvage_merge import Values
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvage_order import in_turn
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import apply, ask, rows, run, salvaged, three

TEAMS = """CREATE TABLE users (id int PRIMARY KEY, name text, team int);
    CREATE TABLE teams (id int PRIMARY KEY, name text, owner int NOT NULL REFERENCES users (id));
    ALTER TABLE users ADD FOREIGN KEY (team) REFERENCES teams (id);
    INSERT INTO users VALUES (1, 'one', NULL); INSERT INTO teams VALUES (1, 'first', 1)"""


def test_no_row_is_attached_to_a_stranger_across_a_circle(cluster: Cluster, tmp_path: Path) -> None:
    """Given tables that refer to each other, and a team that is another one on the new side, then its user waits."""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", TEAMS,
        "INSERT INTO users VALUES (2, 'two', NULL), (3, 'three', NULL); INSERT INTO teams VALUES (2, 'OLD', 1);"
        "INSERT INTO teams VALUES (3, 'mine', 3); UPDATE users SET team = id WHERE id > 1",
        "INSERT INTO teams VALUES (2, 'a stranger', 1)",
    )  # fmt: skip
    assert found["tables"]["public.users"]["conflicts"] == 1 and found["tables"]["public.teams"]["conflicts"] == 1
    assert rows(cluster, new, "users") == ["(1,one,)", "(3,three,3)"]
    assert rows(cluster, new, "teams") == ["(1,first,1)", '(2,"a stranger",1)', "(3,mine,3)"]


def test_a_conflict_in_a_circle_leaves_the_rest_of_the_file(cluster: Cluster, tmp_path: Path) -> None:
    """Given a user whose team depends on a user that is in conflict, then both wait, and what is beside them comes."""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", TEAMS,
        "INSERT INTO users VALUES (2, 'two', NULL), (4, 'four', NULL); INSERT INTO teams VALUES (7, 'of two', 2);"
        "UPDATE users SET team = 7 WHERE id = 1; UPDATE users SET team = 1 WHERE id = 4",
        "INSERT INTO users VALUES (2, 'a stranger', NULL)",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 3
    assert rows(cluster, new, "users") == ["(1,one,)", '(2,"a stranger",)', "(4,four,1)"]
    assert rows(cluster, new, "teams") == ["(1,first,1)"]


def test_what_is_equal_but_written_differently_is_a_change(cluster: Cluster, tmp_path: Path) -> None:
    """Given values that PostgreSQL takes for equal and writes differently, then they come."""
    changes = {"interval": ("30 days", "1 mon"), "numeric": ("1.0", "1.00"), "float8": ("0", "-0"),
               "jsonb": ('{"a": 1.0}', '{"a": 1.00}'), "numeric[]": ("{1.0}", "{1.00}"),
               "timetz": ("12:00+00", "13:00+01")}  # fmt: skip
    schema = [f"""CREATE TABLE "{kind}" (id int PRIMARY KEY, a {kind});
        INSERT INTO "{kind}" VALUES (1, '{before}')""" for kind, (before, _after) in changes.items()]  # fmt: skip
    old_side = [f"""UPDATE "{kind}" SET a = '{after}'""" for kind, (_before, after) in changes.items()]
    found, old, new = salvaged(cluster, tmp_path / "x.sql", "; ".join(schema), "; ".join(old_side))
    assert found["total"]["changed"] == len(changes), found["tables"]
    for kind in changes:
        assert rows(cluster, new, f'"{kind}"') == rows(cluster, old, f'"{kind}"')


NAMES = """CREATE TABLE {name} (id int PRIMARY KEY, a regclass, b regclass[], c regproc, d regtype, e regprocedure,
      f note, g json, up int {refers});
    INSERT INTO {name} VALUES (1, 'note', '{{far.t,note}}', 'far.f', 'note', 'far.f()', '(far.t,x)', '{{}}'),
      (2, 'note', '{{far.t}}', 'far.f', 'note', 'far.f()', '(note,x)', '{{}}')"""
NAMES_CHANGED = """UPDATE {name} SET a = 'far.t', b = '{{note}}', c = 'pi', d = 'far.t', e = 'pi()', f = '(note,)',
      g = '{{ }}' WHERE id = 1; DELETE FROM {name} WHERE id = 2;
    INSERT INTO {name} VALUES (3, 'far.t', '{{note}}', 'far.f', 'far.t', 'far.f()', '(far.t,)', '[]', 3)"""


@pytest.mark.parametrize("refers", ["", "REFERENCES t (id)"])
def test_values_that_name_something_are_found_under_any_path(cluster: Cluster, tmp_path: Path, refers: str) -> None:
    """Given columns of tables, functions, types and the like, whose texts depend on the search path, then they come."""
    schema = """CREATE TYPE note AS (at regclass, text text); CREATE SCHEMA far; CREATE TABLE far.t (a int);
        CREATE FUNCTION far.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema + NAMES.format(name="t", refers=refers), NAMES_CHANGED.format(name="t")
    )
    assert found["total"] == {"inserted": 1, "changed": 1, "deleted": 1, "conflicts": 0, "already_there": 0}
    assert rows(cluster, new, "t") == rows(cluster, old, "t")


def test_large_objects_are_named(cluster: Cluster, tmp_path: Path) -> None:
    found, _old, _new = salvaged(cluster, tmp_path / "x.sql", "SELECT 1", "SELECT lo_from_bytea(0, '\\x00')")
    assert found["skipped"] == {"large objects": "they are in no table, and were not compared"}
    assert "NOT HERE large objects" in (tmp_path / "x.sql").read_text(encoding="utf-8")


USERS = """CREATE TABLE users (id int PRIMARY KEY, email text {null} UNIQUE);
    CREATE TABLE orders (id int PRIMARY KEY, u int NOT NULL REFERENCES users (id) ON UPDATE CASCADE);
    INSERT INTO users VALUES (5, 'five'), (8, 'eight'); INSERT INTO orders VALUES (1, 5), (2, 8)"""


def test_a_changed_key_brings_its_unique_value(cluster: Cluster, tmp_path: Path) -> None:
    """Given a row that others refer to, under another key, then it comes, and they refer to it."""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", USERS.format(null=""),
        "UPDATE users SET id = 6 WHERE id = 5; INSERT INTO users VALUES (9, 'nine')",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0
    assert [rows(cluster, new, table) for table in ("users", "orders")] == [
        rows(cluster, old, table) for table in ("users", "orders")
    ]


def test_a_changed_key_with_a_value_that_cannot_be_null_is_held_back(cluster: Cluster, tmp_path: Path) -> None:
    """Given a unique value that the deleted row must have to the end, then it and what depends on it are marked."""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", USERS.format(null="NOT NULL"),
        "UPDATE users SET id = 6 WHERE id = 5; INSERT INTO users VALUES (9, 'nine'); INSERT INTO orders VALUES (3, 6)",
    )  # fmt: skip
    assert found["tables"]["public.users"]["conflicts"] == 2 and found["tables"]["public.orders"]["conflicts"] == 2
    assert rows(cluster, new, "users") == ["(5,five)", "(8,eight)", "(9,nine)"]
    assert rows(cluster, new, "orders") == ["(1,5)", "(2,8)"]


@pytest.mark.parametrize("null", ["", "NOT NULL"])
def test_a_row_that_is_deleted_with_all_of_its_own_frees_its_value(cluster: Cluster, tmp_path: Path, null: str) -> None:
    """Given a user deleted with the orders, and a new one of the same address, then nothing stands in the way."""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", USERS.format(null=null),
        "DELETE FROM orders WHERE u = 5; DELETE FROM users WHERE id = 5; INSERT INTO users VALUES (6, 'five')",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0 and rows(cluster, new, "users") == rows(cluster, old, "users")


def test_a_tree_whose_rows_must_have_a_parent_comes_in_any_order(cluster: Cluster, tmp_path: Path) -> None:
    """Given new rows that refer to later ones of their table, and must refer to one, then they come."""
    schema = """CREATE TABLE n (id int PRIMARY KEY, up int NOT NULL REFERENCES n (id), t json);
        INSERT INTO n VALUES (50, 50), (51, 50)"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO n VALUES (9, 50, '[ 1]'); INSERT INTO n VALUES (8, 9), (4, 8), (60, 60); INSERT INTO n VALUES"
        "(7, 60); UPDATE n SET up = 60 WHERE id = 51",
    )  # fmt: skip
    assert found["by_hand"] == [] and found["total"]["conflicts"] == 0
    assert rows(cluster, new, "n") == rows(cluster, old, "n")


def test_a_circle_that_nothing_opens_is_held_back(cluster: Cluster, tmp_path: Path) -> None:
    """Given two tables whose references can neither wait nor be null, then the rows that need each other are marked."""
    schema = """CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL);
        CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL);
        INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1);
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id); ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a (id)"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO b VALUES (2, 1); INSERT INTO a VALUES (2, 2), (3, 1); INSERT INTO b VALUES (3, 3)",
    )  # fmt: skip
    assert len(found["by_hand"]) == 1 and found["total"]["conflicts"] == 1
    assert rows(cluster, new, "a") == ["(1,1)", "(3,1)"] and rows(cluster, new, "b") == ["(1,1)", "(2,1)", "(3,3)"]


def test_a_reference_is_null_at_first_only_where_it_must_be(cluster: Cluster, tmp_path: Path) -> None:
    """Given checks that allow no null in between, then rows with a parent that is there, or of their own, come."""
    schema = """CREATE TABLE users (id int PRIMARY KEY, team int, kind text,
          CHECK (kind <> 'member' OR team IS NOT NULL));
        CREATE TABLE teams (id int PRIMARY KEY, owner int REFERENCES users (id));
        ALTER TABLE users ADD FOREIGN KEY (team) REFERENCES teams (id); INSERT INTO teams VALUES (1), (2);
        INSERT INTO users VALUES (9, NULL, 'guest');
        CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node (id), CHECK (id = 1 OR up IS NOT NULL));
        INSERT INTO node VALUES (1, NULL), (5, 1)"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO users VALUES (2, 1, 'member'); INSERT INTO teams VALUES (7);"
        "UPDATE users SET team = 7, kind = 'member' WHERE id = 9;"
        "INSERT INTO node VALUES (3, 1); INSERT INTO node VALUES (2, 3); UPDATE node SET up = 2 WHERE id = 5",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0
    for table in "users", "teams", "node":
        assert rows(cluster, new, table) == rows(cluster, old, table)


def test_a_row_that_keeps_its_value_keeps_others_from_it(cluster: Cluster, tmp_path: Path) -> None:
    """Given a change that is held back, then the row that took the unique value which it gave up waits too."""
    schema = """CREATE TABLE p (id int PRIMARY KEY, a int); INSERT INTO p VALUES (1), (2);
        CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL UNIQUE, p int NOT NULL REFERENCES p (id));
        INSERT INTO t VALUES (5, 'x', 2)"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "UPDATE t SET name = 'y', p = 1 WHERE id = 5; INSERT INTO t VALUES (1, 'x', 2), (2, 'z', 2)",
        "DELETE FROM p WHERE id = 1",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 2
    assert rows(cluster, new, "t") == ["(2,z,2)", "(5,x,2)"]
    assert "is in conflict and keeps it" in (tmp_path / "x.sql").read_text(encoding="utf-8")


def test_what_a_held_row_refers_to_stays(cluster: Cluster, tmp_path: Path) -> None:
    """Given a child that turned to a row in conflict, and its former parent deleted, then that is marked as well."""
    schema = """CREATE TABLE p (id int PRIMARY KEY, a int); INSERT INTO p VALUES (1);
        CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p (id)); INSERT INTO c VALUES (1, 1)"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO p VALUES (2, 2); UPDATE c SET p = 2; DELETE FROM p WHERE id = 1", "INSERT INTO p VALUES (2, 3)",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 3 and rows(cluster, new, "p") == ["(1,)", "(2,3)"]


def test_a_value_that_only_postgresql_gives_is_held_back(cluster: Cluster, tmp_path: Path) -> None:
    """Given a column that no update can set, then the row is marked, and the others come."""
    schema = """CREATE TABLE t (id int PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, a text);
        INSERT INTO t (id) VALUES (1), (2)"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "UPDATE t SET n = DEFAULT, a = 'x' WHERE id = 1; UPDATE t SET a = 'y' WHERE id = 2;"
        "INSERT INTO t (id) VALUES (3)",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 1 and rows(cluster, new, "t") == ["(1,1,)", "(2,2,y)", "(3,4,)"]


def test_what_a_single_partition_has_is_seen(cluster: Cluster, tmp_path: Path) -> None:
    """Given a foreign key and a trigger of one partition, then they count."""
    schema = """CREATE TABLE p (id int PRIMARY KEY, a int); INSERT INTO p VALUES (1), (2);
        CREATE TABLE t (id int PRIMARY KEY, p int) PARTITION BY RANGE (id);
        CREATE TABLE t1 PARTITION OF t (FOREIGN KEY (p) REFERENCES p (id)) FOR VALUES FROM (0) TO (10);
        CREATE TABLE t2 PARTITION OF t DEFAULT;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER seen AFTER INSERT ON t2 FOR EACH ROW EXECUTE FUNCTION f()"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO p VALUES (3); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
        "DELETE FROM p WHERE id = 2",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 1 and found["triggers"] == ["public.t"]
    assert rows(cluster, new, "t") == ["(1,1)", "(3,3)"]


@pytest.mark.parametrize("deferrable", ["", "DEFERRABLE"])
def test_unique_values_are_given_up_before_they_are_taken(cluster: Cluster, tmp_path: Path, deferrable: str) -> None:
    """Given values that move on from row to row, then they do; those that go round in a circle that nothing opens are
    marked."""
    schema = f"""CREATE TABLE t (id int PRIMARY KEY, pos int NOT NULL CHECK (pos > 0), UNIQUE (pos) {deferrable});
        INSERT INTO t SELECT g, g FROM generate_series(1, 9) AS g"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "UPDATE t SET pos = pos + 100; UPDATE t SET pos = id + 1 WHERE id < 5; UPDATE t SET pos = id - 1 WHERE id > 7;"
        "DELETE FROM t WHERE id IN (5, 6); UPDATE t SET pos = 9 WHERE id = 7; INSERT INTO t VALUES (0, 1)",
    )  # fmt: skip
    assert found["total"]["conflicts"] == (0 if deferrable else 3)
    moved = "SELECT t::text FROM t WHERE id < 7 ORDER BY 1"
    assert ask(cluster, new, moved) == ask(cluster, old, moved) == ["(0,1)", "(1,2)", "(2,3)", "(3,4)", "(4,5)"]
    rest = ask(cluster, new, "SELECT t::text FROM t WHERE id >= 7 ORDER BY 1")
    assert rest == (["(7,9)", "(8,7)", "(9,8)"] if deferrable else ["(7,7)", "(8,8)", "(9,9)"])


def test_constraints_that_only_the_new_side_has_are_kept_to(cluster: Cluster, tmp_path: Path) -> None:
    """Given a foreign key and a unique value that came after the restore, then what the old side never minded waits."""
    schema = """CREATE TABLE p (id int PRIMARY KEY, a int); INSERT INTO p VALUES (1), (2);
        CREATE TABLE c (id int PRIMARY KEY, p int, name text); INSERT INTO c VALUES (1, 1, 'x')"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO p VALUES (3, 3); INSERT INTO c VALUES (2, 3, 'y'), (3, 7, 'z'), (4, 1, 'x');"
        "INSERT INTO c VALUES (5, 1, 'u'), (6, 1, 'u')",
        "ALTER TABLE c ADD UNIQUE (name); ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p (id)",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 4 and rows(cluster, new, "c") == ["(1,1,x)", "(2,3,y)"]


def test_a_place_in_a_team_is_given_up_before_it_is_taken(cluster: Cluster, tmp_path: Path) -> None:
    """Given unique values of which a part refers to what comes late, then whoever takes them comes later still."""
    schema = """CREATE TABLE users (id int PRIMARY KEY, team int, slot int NOT NULL, UNIQUE (team, slot));
        CREATE TABLE teams (id int PRIMARY KEY, owner int NOT NULL REFERENCES users (id));
        ALTER TABLE users ADD FOREIGN KEY (team) REFERENCES teams (id);
        INSERT INTO users VALUES (1, NULL, 1); INSERT INTO teams VALUES (1, 1);
        INSERT INTO users VALUES (2, 1, 1), (3, 1, 2), (4, 1, 3)"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO teams VALUES (9, 1); UPDATE users SET team = 9, slot = 2 WHERE id = 2;"
        "UPDATE users SET slot = 1 WHERE id = 3; INSERT INTO users VALUES (0, 1, 2)",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0 and rows(cluster, new, "users") == rows(cluster, old, "users")


def test_nulls_may_be_the_same(cluster: Cluster, tmp_path: Path) -> None:
    """Given a column in which only one row may be null, then a second one on the new side is marked."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE UNIQUE INDEX once ON t (a) NULLS NOT DISTINCT"
    with cluster.admin() as connection:
        if connection.info.server_version < 150000:
            schema = schema.replace("NULLS NOT DISTINCT", "") + "; CREATE UNIQUE INDEX one ON t ((0)) WHERE a IS NULL"
            found, _old, _new = salvaged(cluster, tmp_path / "x.sql", schema, "INSERT INTO t VALUES (1, NULL)")
            assert found["total"]["conflicts"] == 0
            return
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO t VALUES (1, NULL), (2, 2)", "INSERT INTO t VALUES (9, NULL)"
    )
    assert found["total"]["conflicts"] == 1 and rows(cluster, new, "t") == ["(2,2)", "(9,)"]


def test_a_reference_that_follows_its_parent_does_not_lose_what_is_beside_it(cluster: Cluster, tmp_path: Path) -> None:
    """Given a code that was changed with all that refer to it, then other changes of those rows come too."""
    schema = """CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE);
        CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES p (code) ON UPDATE CASCADE, note text);
        CREATE TABLE d (id int PRIMARY KEY, code text REFERENCES p (code));
        INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO c VALUES (1, 'a', 'x');
        INSERT INTO d VALUES (1, 'b')"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "UPDATE p SET code = 'A' WHERE id = 1; UPDATE c SET note = 'y';"
        "UPDATE d SET code = 'c'; UPDATE p SET code = 'B' WHERE id = 2",
    )  # fmt: skip
    assert rows(cluster, new, "c") == rows(cluster, old, "c") == ["(1,A,y)"]
    assert found["total"]["conflicts"] == 1, "the other one would have to be changed after what refers to it"
    assert rows(cluster, new, "p") == ["(1,A)", "(2,b)", "(3,c)"] and rows(cluster, new, "d") == ["(1,c)"]


def test_many_rows_of_one_tree_make_no_statement_of_all_of_them(cluster: Cluster, tmp_path: Path) -> None:
    """Given more rows than one statement should name, then none is written twice, and all go, and come."""
    schema = """CREATE TABLE n (id int PRIMARY KEY, up int REFERENCES n (id), a text);
        INSERT INTO n SELECT g, NULLIF(g - 1, 0), 'gone ' || g FROM generate_series(1, 1200) AS g"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "DELETE FROM n;"
        "INSERT INTO n SELECT g, NULLIF(g + 1, 3300), 'come ' || g FROM generate_series(2000, 3299) AS g",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 0 and rows(cluster, new, "n") == rows(cluster, old, "n")
    text = (tmp_path / "x.sql").read_text(encoding="utf-8")
    assert text.count("'gone 7'") == 1 and text.count("'come 2001'") == 1
    assert max(map(len, text.split(";\n"))) < 50_000


def test_changes_are_ordered_by_what_they_take() -> None:
    """Given chains and circles, then chains are in turn; what is in a circle, or behind one or what is kept, waits."""
    turns = in_turn(
        {("1",): [("2",)], ("2",): [("3",)], ("3",): [("9",)], ("5",): [("6",)], ("6",): [("5",)], ("7",): [("6",)],
         ("8",): [("8",)], ("0",): [("4",)], ("a",): [("0",), ("3",)]},
        {("4",)},
    )  # fmt: skip
    assert turns.order == [("3",), ("2",), ("1",)]
    assert turns.circles == {("5",), ("6",), ("8",)} and turns.behind == {("7",), ("0",), ("a",)}


def test_a_circle_is_opened_at_a_row_that_can_do_without() -> None:
    """Given circles, then a row that may be early opens each, and is still after those whose values it takes; what
    waits for a row that keeps its value waits in a circle too."""
    takes: dict[Values, list[Values]] = {
        ("1",): [("2",)], ("2",): [("3",)], ("3",): [("1",)], ("4",): [("5",)], ("5",): [("4",)],
        ("6",): [("7",)], ("7",): [("6",), ("kept",)],
    }  # fmt: skip
    turns = in_turn(takes, {("kept",)}, lambda key, takers: key in {("2",), ("6",)} and len(takers) == 1)
    assert turns.early == [("2",)] and turns.order == [("1",), ("3",), ("2",)]
    assert turns.circles == {("4",), ("5",)} and turns.behind == {("6",), ("7",)}


def test_a_hundred_thousand_exchanges_and_a_long_chain_are_ordered_at_once() -> None:
    """Given as many circles and a chain as long, in the worst order, then that takes no longer than to look at each."""
    many = 100_000
    takes: dict[Values, list[Values]] = {(str(number),): [(str(number + 1),)] for number in range(many)}
    takes |= {(f"{number}{side}",): [(f"{number}{other}",)] for number in range(many) for side, other in ("ab", "ba")}
    turns = in_turn(takes, {("none",)})
    assert turns.order == [(str(number),) for number in reversed(range(many))] and len(turns.circles) == 2 * many
    assert len(in_turn(takes, {(str(many),)}).behind) == many
    round_about: dict[Values, list[Values]] = {(str(number),): [(str((number + 1) % many),)] for number in range(many)}
    opened = in_turn({**takes, **round_about}, (), lambda _key, _takers: True)
    assert len(opened.early) == many + 1 and len(opened.order) == 3 * many and not opened.circles


def test_a_long_chain_behind_a_row_in_conflict_is_read_a_few_times_only(cluster: Cluster, tmp_path: Path) -> None:
    """Given values that move on, messages that answer each other, and a tree that goes, each behind a row in conflict,
    then what waits is found at once, and not one row each time that the table is read."""
    schema = """CREATE TABLE pos (id int PRIMARY KEY, pos int UNIQUE, note text);
        CREATE TABLE message (id int PRIMARY KEY, up int REFERENCES message (id));
        CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree (id), note text);
        INSERT INTO pos SELECT g, g FROM generate_series(1, 300) AS g;
        INSERT INTO tree SELECT g, NULLIF(g - 1, 0) FROM generate_series(1, 300) AS g"""
    base, old, new = three(
        cluster, schema,
        "UPDATE pos SET pos = pos + 1000; UPDATE pos SET pos = pos - 999; DELETE FROM tree;"
        "INSERT INTO message SELECT g, NULLIF(g - 1, 0) FROM generate_series(1, 300) AS g",
        "UPDATE pos SET note = 'x' WHERE id = 300; INSERT INTO message VALUES (1, 1);"
        "UPDATE tree SET note = 'x' WHERE id = 300",
    )  # fmt: skip
    lines: list[str] = []
    found = run(cluster, tmp_path / "x.sql", base, old, new, lines.append)
    assert [found["tables"][f"public.{name}"]["conflicts"] for name in ("message", "pos", "tree")] == [300] * 3
    assert sum(line.startswith("comparing") for line in lines) <= 9
    apply(cluster, new, tmp_path / "x.sql")


def test_what_is_remembered_goes_to_the_disk_where_it_is_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more values than memory is meant for, nulls among them, then each is known once, in its own set only."""
    monkeypatch.setattr(salvage_known, "FEW", 3)
    values: list[Values] = [("1",), (None,), ("null",), ("a", None), ("ü\n",), ("2",)]
    with salvage_known.Spill(tmp_path) as spill:
        one, other = spill.known(), spill.known()
        assert not one and [one.add(value) for value in values * 2] == [True] * 6 + [False] * 6
        assert one and all(value in one for value in values) and ("3",) not in one
        assert list(tmp_path.iterdir()) == [tmp_path / "held.sqlite"]
        assert [other.add(value) for value in values] == [True] * 6 and ("3",) not in other


def test_many_conflicts_are_judged_alike(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given both sides with the same new ids, and children of them, also where these are remembered on the disk, then
    all of it is marked, and nothing of that stays beside the file."""
    monkeypatch.setattr(salvage_known, "FEW", 20)
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", TEAMS,
        "INSERT INTO users SELECT g, 'old' FROM generate_series(2, 99) AS g;"
        "INSERT INTO teams SELECT g + 500, 'old', g FROM generate_series(2, 99) AS g",
        "INSERT INTO users SELECT g, 'new' FROM generate_series(2, 99) AS g",
    )  # fmt: skip
    assert found["total"]["conflicts"] == 2 * 98 and rows(cluster, new, "teams") == ["(1,first,1)"]
    assert list(tmp_path.iterdir()) == [tmp_path / "x.sql"]
