# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Salvage: what triggers did on the old side is in the file, and is not done once more when it is applied."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from ansible_collections.rewind.database.tests.unit.postgres_cluster import ADMIN, Cluster
from ansible_collections.rewind.database.tests.unit.salvage_runs import Json, apply, ask, fires, run, three

_MAKE = "RETURNS trigger LANGUAGE plpgsql AS"


def salvaged(cluster: Cluster, path: Path, schema: str, old: str, new: str = "") -> tuple[Json, str, str]:
    """A salvage whose file is applied twice; what it found, and the old and the new side. Triggers are as they were."""
    base, old_side, new_side = three(cluster, schema, old, new)
    before = fires(cluster, new_side)
    found = run(cluster, path, base, old_side, new_side)
    for _time in range(2):
        apply(cluster, new_side, path)
    assert fires(cluster, new_side) == before
    return found, old_side, new_side


def test_a_log_that_a_trigger_writes_has_each_line_once(cluster: Cluster, tmp_path: Path) -> None:
    """Given a log with ids of its own, then it is like the old side's, and what comes later gets a free id."""
    schema = f"""CREATE TABLE audit (id bigserial PRIMARY KEY, text text); CREATE TABLE t (id int PRIMARY KEY);
        CREATE FUNCTION note() {_MAKE}
        $$ BEGIN INSERT INTO audit (text) VALUES ('t ' || NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TABLE a_first (id int PRIMARY KEY);
        CREATE TRIGGER noted AFTER INSERT ON a_first FOR EACH ROW EXECUTE FUNCTION note()"""
    found, _old, new = salvaged(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO a_first VALUES (1), (2); INSERT INTO t VALUES (3)"
    )
    assert found["triggers"] == ["public.a_first", "public.t"]
    with cluster.connect(new) as connection:
        connection.execute("INSERT INTO t VALUES (4)")
    assert ask(cluster, new, "SELECT audit::text FROM audit ORDER BY id") == [
        '(1,"t 1")', '(2,"t 2")', '(3,"t 3")', '(4,"t 4")',
    ]  # fmt: skip


def test_counters_and_instants_are_those_of_the_old_side(cluster: Cluster, tmp_path: Path) -> None:
    """Given a counter, an instant of change and a row that triggers keep, also where keys cascade, then nothing is
    counted, dated or made twice."""
    schema = f"""CREATE TABLE u (id int PRIMARY KEY, total int NOT NULL DEFAULT 0);
        CREATE TABLE o (id int PRIMARY KEY, u int REFERENCES u (id) ON UPDATE CASCADE, amount int, at timestamptz);
        CREATE TABLE profile (u int PRIMARY KEY REFERENCES u (id) ON UPDATE CASCADE, text text);
        CREATE FUNCTION make() {_MAKE}
        $$ BEGIN INSERT INTO profile VALUES (NEW.id, 'empty'); RETURN NEW; END $$;
        CREATE FUNCTION add_up() {_MAKE}
        $$ BEGIN UPDATE u SET total = total + NEW.amount WHERE id = NEW.u; RETURN NEW; END $$;
        CREATE FUNCTION touch() {_MAKE} $$ BEGIN NEW.at := clock_timestamp(); RETURN NEW; END $$;
        CREATE TRIGGER made AFTER INSERT ON u FOR EACH ROW EXECUTE FUNCTION make();
        CREATE TRIGGER counted AFTER INSERT ON o FOR EACH ROW EXECUTE FUNCTION add_up();
        CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON o FOR EACH ROW EXECUTE FUNCTION touch();
        INSERT INTO u VALUES (1), (2); INSERT INTO o VALUES (1, 1, 5), (2, 2, 1)"""
    _found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema,
        "INSERT INTO o VALUES (3, 1, 5); INSERT INTO u VALUES (4); UPDATE profile SET text = 'mine' WHERE u = 4;"
        "INSERT INTO o VALUES (4, 4, 7); UPDATE u SET id = 9 WHERE id = 2",
    )  # fmt: skip
    for table in "u", "o", "profile":
        query = f"SELECT t::text FROM {table} AS t ORDER BY 1"
        assert ask(cluster, new, query) == ask(cluster, old, query), table


def test_each_trigger_fires_afterwards_as_it_did(cluster: Cluster, tmp_path: Path) -> None:
    """Given triggers of all kinds, of a partition, a constraint that waits, and a rule, then they are as before."""
    schema = f"""CREATE TABLE log (id serial PRIMARY KEY, text text);
        CREATE TABLE t (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);
        CREATE TABLE "t ""1" PARTITION OF t FOR VALUES FROM (0) TO (10);
        CREATE TABLE t2 PARTITION OF t DEFAULT;
        CREATE TABLE r (id int PRIMARY KEY, t int REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE FUNCTION note() {_MAKE} $$ BEGIN INSERT INTO log (text) VALUES (TG_NAME); RETURN NEW; END $$;
        CREATE TRIGGER "a ""1" AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TRIGGER b AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
        CREATE TRIGGER c AFTER INSERT ON t2 FOR EACH ROW EXECUTE FUNCTION note();
        ALTER TABLE t2 ENABLE ALWAYS TRIGGER c; ALTER TABLE t ENABLE REPLICA TRIGGER b;
        ALTER TABLE t2 DISABLE TRIGGER "a ""1";
        CREATE CONSTRAINT TRIGGER d AFTER INSERT ON r DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION note();
        CREATE RULE e AS ON INSERT TO r DO ALSO INSERT INTO log (text) VALUES ('e')"""
    found, old, new = salvaged(
        cluster, tmp_path / "x.sql", schema, "INSERT INTO t VALUES (1), (11); INSERT INTO r VALUES (1, 11), (2, 1)"
    )
    assert found["triggers"] == ["public.r", "public.t"]
    query = "SELECT text FROM log ORDER BY id"
    assert ask(cluster, new, query) == ask(cluster, old, query) == ['a "1', "c", "e", "e", "d", "d"]
    with cluster.connect(new) as connection:
        connection.execute("INSERT INTO r VALUES (3, 1)")
    assert ask(cluster, new, query)[-2:] == ["e", "d"]


def test_what_only_the_owner_may_do_is_said_and_refused_as_a_whole(cluster: Cluster, tmp_path: Path) -> None:
    """Given a table of another owner with a trigger, then the file names that role, and others change nothing."""
    schema = f"""CREATE TABLE t (id int PRIMARY KEY);
        CREATE FUNCTION note() {_MAKE} $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER noted BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()"""
    base, old, new = three(cluster, schema, "INSERT INTO t VALUES (1)")
    with cluster.connect(new, ADMIN) as connection:
        connection.execute(f"ALTER TABLE t OWNER TO {ADMIN}; GRANT ALL ON t TO PUBLIC")
    path = tmp_path / "x.sql"
    assert run(cluster, path, base, old, new)["owners"] == [ADMIN]
    assert f"Only the owner of these tables may do that: {ADMIN}." in path.read_text(encoding="utf-8")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        apply(cluster, new, path)
    assert ask(cluster, new, "SELECT id FROM t") == []


def test_a_table_that_is_not_written_keeps_its_triggers(cluster: Cluster, tmp_path: Path) -> None:
    """Given nothing but a conflict, then no table is altered."""
    schema = f"""CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1);
        CREATE FUNCTION note() {_MAKE} $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER noted BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()"""
    found, _old, _new = salvaged(cluster, tmp_path / "x.sql", schema, "UPDATE t SET a = 1", "UPDATE t SET a = 2")
    assert found["triggers"] == [] and "ALTER" not in (tmp_path / "x.sql").read_text(encoding="utf-8")
