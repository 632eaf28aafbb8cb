# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three states of a database with everything that makes a salvage hard, random histories, and a reference union."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import psycopg

Row = tuple[str | None, ...]
State = dict[str, dict[Row, Row]]
Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA = """
CREATE SCHEMA "Shop Floor";
CREATE TYPE "Role" AS ENUM ('PLAYER', 'ADMIN', 'it''s');
CREATE DOMAIN "Shop Floor".amount AS numeric(12, 2);
CREATE TABLE "User" (id serial PRIMARY KEY, "e mail" text UNIQUE, role "Role", roles "Role"[], tags text[],
  profile json, extra jsonb, picture bytea, joined timestamp(6), seen timestamptz, code char(6), ok boolean,
  "Name%s" text GENERATED ALWAYS AS (upper("e mail")) STORED);
CREATE TABLE "Quest" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "parentId" bigint REFERENCES "Quest"(id),
  title varchar(200), span interval, place point, net inet, valid daterange);
CREATE TABLE "QuestProgress" ("userId" int REFERENCES "User"(id)
  ON DELETE CASCADE ON UPDATE CASCADE, "questId" bigint
  REFERENCES "Quest"(id) ON DELETE SET NULL, "at" date, price "Shop Floor".amount, ratio float8,
  PRIMARY KEY ("userId", "at"));
CREATE TABLE "Shop Floor"."Or""der" (key text COLLATE "C" PRIMARY KEY, "userId" int NOT NULL REFERENCES "User"(id)
  ON UPDATE CASCADE, note text);
CREATE TABLE "Shop Floor".item (uid uuid PRIMARY KEY, "order" text NOT NULL REFERENCES "Shop Floor"."Or""der"(key)
  ON UPDATE CASCADE);
CREATE TABLE "Team" (id serial PRIMARY KEY, owner int NOT NULL REFERENCES "User"(id) ON DELETE CASCADE
  ON UPDATE CASCADE, name text);
ALTER TABLE "User" ADD team int REFERENCES "Team"(id) ON DELETE SET NULL ON UPDATE CASCADE;
CREATE TABLE measure (day date, sensor text, value real, PRIMARY KEY (day, sensor)) PARTITION BY RANGE (day);
CREATE TABLE measure_1 PARTITION OF measure FOR VALUES FROM ('2025-01-01') TO ('2025-06-01');
CREATE TABLE measure_2 PARTITION OF measure DEFAULT;
CREATE TABLE plain (text text);
CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS n FROM "User";
CREATE TABLE log (id bigserial PRIMARY KEY, line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO log (line) VALUES (TG_TABLE_NAME || ' ' || TG_OP); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON "Quest" FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER "noted ""too" AFTER INSERT ON measure FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER noted AFTER UPDATE ON measure_2 FOR EACH STATEMENT EXECUTE FUNCTION note();
ALTER TABLE measure_2 ENABLE ALWAYS TRIGGER noted;
ALTER TABLE "QuestProgress" ADD touched timestamptz;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.touched := clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON "QuestProgress" FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE "Team" ADD members int NOT NULL DEFAULT 0;
CREATE FUNCTION recount() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP <> 'INSERT' THEN UPDATE "Team" SET members = members - 1 WHERE id = OLD.team; END IF;
  IF TG_OP <> 'DELETE' THEN UPDATE "Team" SET members = members + 1 WHERE id = NEW.team; END IF;
  RETURN NULL; END $$;
CREATE TRIGGER counted AFTER INSERT OR DELETE OR UPDATE OF team ON "User" FOR EACH ROW EXECUTE FUNCTION recount();
"""
TABLES = {
    '"User"': ("id",),
    '"Quest"': ("id",),
    '"QuestProgress"': ('"userId"', '"at"'),
    '"Shop Floor"."Or""der"': ("key",),
    '"Shop Floor".item': ("uid",),
    "measure": ("day", "sensor"),
    '"Team"': ("id",),
    "log": ("id",),
}
# child, its columns, parent.
REFERENCES = [
    ('"Quest"', ('"parentId"',), '"Quest"'),
    ('"QuestProgress"', ('"userId"',), '"User"'),
    ('"QuestProgress"', ('"questId"',), '"Quest"'),
    ('"Shop Floor"."Or""der"', ('"userId"',), '"User"'),
    ('"Shop Floor".item', ('"order"',), '"Shop Floor"."Or""der"'),
    ('"User"', ("team",), '"Team"'),
    ('"Team"', ("owner",), '"User"'),
]
TEXTS = [
    "it's",
    'a "quoted" \\ text',
    "two\nlines; DROP TABLE plain",
    "tab\tand\r\nreturn",
    "",
    "ünï-😀",
    "\u2028--",
    "%s {} :x",
]


def columns_of(connection: Connection, table: str) -> list[str]:
    """The columns that are written, quoted."""
    query = """SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0
               AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"""
    return [row[0] for row in connection.execute(query, (table,)).fetchall()]


def state_of(connection: Connection) -> State:
    """Every row of every table by its key, as texts."""
    found: State = {}
    for table, key in TABLES.items():
        columns = columns_of(connection, table)
        keys = ", ".join(f"{name}::text" for name in key)
        values = ", ".join(f"{name}::text" for name in columns)
        rows = connection.execute(f"SELECT {keys}, {values} FROM {table}".encode()).fetchall()
        found[table] = {row[: len(key)]: row[len(key) :] for row in rows}
    return found


def sequences_of(connection: Connection) -> dict[str, int | None]:
    rows = connection.execute("SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences").fetchall()
    return {row[0]: row[1] for row in rows}


class History:
    """Writes at random, as an application does; what a constraint refuses is not written."""

    def __init__(self, connection: Connection, rng: random.Random) -> None:
        self.connection = connection
        self.rng = rng

    def write(self, steps: int) -> None:
        for _step in range(steps):
            try:
                self.rng.choice(self._moves())()
            except (psycopg.errors.IntegrityError, psycopg.errors.RaiseException):
                continue

    def _moves(self) -> list[Callable[[], object]]:
        return [
            self.user,
            self.user,
            self.quest,
            self.progress,
            self.order,
            self.item,
            self.measure,
            self.team,
            self.change,
            self.change,
            self.change,
            self.delete,
            self.move,
            self.address,
        ]

    def _run(self, text: str, *values: Any) -> None:
        self.connection.execute(text.encode(), values)

    def _any(self, table: str) -> list[Any]:
        keys = ", ".join(TABLES[table])
        rows = self.connection.execute(f"SELECT {keys} FROM {table} ORDER BY {keys}".encode()).fetchall()
        return list(self.rng.choice(rows)) if rows else [None] * len(TABLES[table])

    def _text(self) -> str | None:
        return self.rng.choice([*TEXTS, None, f"text {self.rng.randrange(1000)}"])

    def user(self) -> None:
        rng = self.rng
        self._run(
            'INSERT INTO "User" ("e mail", role, roles, tags, profile, extra, picture, joined, seen, code, ok) VALUES'
            " (%s, %s, %s::\"Role\"[], %s, %s::json, %s::jsonb, %s, %s, %s, %s, %s)",
            rng.choice([None, f"{rng.randrange(60)}@example.org"]), rng.choice(["PLAYER", "it's", None]),
            rng.choice([["ADMIN", "it's"], [], None]), [self._text(), self._text()],
            rng.choice(['{"b": 1,  "a": 2}', '{"b":1,"a":2}', None]), rng.choice(['{"x": "\\\\ \\""}', "null", None]),
            rng.randbytes(5), "2025-01-13 14:25:00.123456", f"2025-01-13 14:25:00.{rng.randrange(10**6):06}+05:30",
            rng.choice(["ab", "", None]), rng.choice([True, False, None]),
        )  # fmt: skip

    def quest(self) -> None:
        self._run(
            'INSERT INTO "Quest" ("parentId", title, span, place, net, valid) VALUES (%s, %s, %s, %s, %s, %s)',
            self.rng.choice([None, self._any('"Quest"')[0]]), self._text(), self.rng.choice(["1 day 02:03:04.5", None]),
            f"({self.rng.random()}, 2)", self.rng.choice(["10.0.0.1", "10.0.0.0/8"]), "[2025-01-01,2025-02-01)",
        )  # fmt: skip

    def progress(self) -> None:
        self._run(
            'INSERT INTO "QuestProgress" VALUES (%s, %s, %s::date + %s, %s, %s)',
            self._any('"User"')[0], self.rng.choice([None, self._any('"Quest"')[0]]), "2025-01-01",
            self.rng.randrange(20), self.rng.randrange(10**6) / 100, self.rng.choice([0.1, float("nan"), 1e300]),
        )  # fmt: skip

    def order(self) -> None:
        key = self.rng.choice([*TEXTS, f"Ä{self.rng.randrange(9)}", f"a{self.rng.randrange(9)}"])
        self._run('INSERT INTO "Shop Floor"."Or""der" VALUES (%s, %s, %s)', key, self._any('"User"')[0], self._text())

    def item(self) -> None:
        uid = f"{self.rng.randrange(30):08x}-0000-4000-8000-000000000000"
        self._run('INSERT INTO "Shop Floor".item VALUES (%s, %s)', uid, self._any('"Shop Floor"."Or""der"')[0])

    def measure(self) -> None:
        self._run("INSERT INTO measure VALUES (%s::date + %s, %s, %s)", "2025-05-20", self.rng.randrange(25),
                  self.rng.choice(["a", "b'"]), self.rng.random())  # fmt: skip

    def team(self) -> None:
        self._run('INSERT INTO "Team" (owner, name) VALUES (%s, %s)', self._any('"User"')[0], self._text())

    def address(self) -> None:
        """Takes one that is free, or exchanges two, as nobody could in one step."""
        one, other = self._any('"User"')[0], self._any('"User"')[0]
        if self.rng.random() < 0.5:
            free = f"{self.rng.randrange(60)}@example.org"
            self._run('UPDATE "User" SET "e mail" = %s WHERE id = %s', free, one)
            return
        query = 'SELECT "e mail" FROM "User" WHERE id = %s'
        mails = [(self.connection.execute(query.encode(), (key,)).fetchone() or (None,))[0] for key in (one, other)]
        self._run('UPDATE "User" SET "e mail" = NULL WHERE id IN (%s, %s)', one, other)
        for key, mail in zip((other, one), mails, strict=True):
            self._run('UPDATE "User" SET "e mail" = %s WHERE id = %s', mail, key)

    def change(self) -> None:
        rng = self.rng
        table, column, value = rng.choice([
            ('"User"', "profile", json.dumps({"n": rng.randrange(9)})), ('"User"', "tags", [self._text()]),
            ('"User"', "role", "ADMIN"), ('"User"', '"e mail"', f"new{rng.randrange(10**9)}@example.org"),
            ('"Quest"', "title", self._text()), ('"Quest"', '"parentId"', self._any('"Quest"')[0]),
            ('"QuestProgress"', '"questId"', self._any('"Quest"')[0]), ('"QuestProgress"', "price", rng.randrange(99)),
            ('"Shop Floor"."Or""der"', "note", self._text()), ("measure", "value", rng.random()),
            ('"Shop Floor".item', '"order"', self._any('"Shop Floor"."Or""der"')[0]),
            ('"User"', "team", self._any('"Team"')[0]), ('"Team"', "owner", self._any('"User"')[0]),
        ])  # fmt: skip
        keys = " AND ".join(f"{name} = %s" for name in TABLES[table])
        self._run(f"UPDATE {table} SET {column} = %s WHERE {keys}", value, *self._any(table))

    def delete(self) -> None:
        table = self.rng.choice(list(TABLES))
        keys = " AND ".join(f"{name} = %s" for name in TABLES[table])
        self._run(f"DELETE FROM {table} WHERE {keys}", *self._any(table))

    def move(self) -> None:
        """Changes a key."""
        table, column, new = self.rng.choice([
            ("measure", "day", "2025-07-01"), ('"QuestProgress"', '"at"', "2025-03-01"),
            ('"User"', "id", self.rng.randrange(500, 540)), ('"Team"', "id", self.rng.randrange(500, 540)),
            ('"Shop Floor"."Or""der"', "key", f"moved {self.rng.randrange(20)}"),
        ])  # fmt: skip
        keys = " AND ".join(f"{name} = %s" for name in TABLES[table])
        self._run(f"UPDATE {table} SET {column} = %s WHERE {keys}", new, *self._any(table))


def union(base: State, old: State, new: State, columns: dict[str, list[str]]) -> tuple[State, int]:
    """What the new side must be like after the salvage, and how many conflicts there are.

    Row by row where only one side has changed it; what the new side cannot take is left out, until nothing is left that
    it cannot take.
    """
    refused: set[tuple[str, Row]] = set()
    for table in TABLES:
        for key in base[table].keys() | old[table].keys():
            b, o, n = (side[table].get(key) for side in (base, old, new))
            if b != o and n not in (b, o):
                refused.add((table, key))
    while True:
        result = _merged(base, old, new, refused)
        more = _refused(base, old, new, result, refused, columns)
        if not more - refused:
            return result, len(refused)
        refused |= more


def _merged(base: State, old: State, new: State, refused: set[tuple[str, Row]]) -> State:
    result: State = {}
    for table in TABLES:
        rows = dict(new[table])
        for key in base[table].keys() | old[table].keys():
            row = old[table].get(key)
            if base[table].get(key) != row and (table, key) not in refused:
                rows.pop(key, None)
                if row is not None:
                    rows[key] = row
        result[table] = rows
    return result


def _refused(
    base: State, old: State, new: State, result: State, refused: set[tuple[str, Row]], columns: dict[str, list[str]]
) -> set[tuple[str, Row]]:
    more: set[tuple[str, Row]] = set()
    for child, names, parent in REFERENCES:
        places = [columns[child].index(name) for name in names]
        referred = {}
        for key, row in result[child].items():
            values = tuple(row[place] for place in places)
            if None not in values:
                referred[values] = key
            mine = row == old[child].get(key) != base[child].get(key) and row != new[child].get(key)
            before = base[child].get(key)
            written = before is None or tuple(before[place] for place in places) != values
            # Another row of the new side has the key of the one that is meant.
            other = (parent, values) in refused and not (values in base[parent] and values in new[parent])
            if None not in values and mine and written and (values not in result[parent] or other):
                more.add((child, key))
        for key in base[parent].keys() - old[parent].keys() - result[parent].keys():
            if key in referred and key in new[parent]:
                more.add((parent, key))
    emails: dict[str, list[Row]] = {}
    place = columns['"User"'].index('"e mail"')
    for key, row in result['"User"'].items():
        if (email := row[place]) is not None:
            emails.setdefault(email, []).append(key)
    for keys in emails.values():
        if len(keys) > 1:
            more |= {('"User"', key) for key in keys if new['"User"'].get(key) != result['"User"'][key]}
    return more
