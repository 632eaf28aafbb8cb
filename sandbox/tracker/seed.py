# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database with a quest tracker's data, the same data for the same seed.

    python -m sandbox.tracker.seed --rows 50000 --seed 7     (database: $DATABASE_URL or --url)

`--rows` counts progress rows ("QuestProgress" and "ObjectiveProgress" together).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from sandbox.tracker.migrations import migrate
from sandbox.tracker.versions import GOOD, TABLES, Commit

ANCHOR = datetime(2025, 1, 13, 14, 0, tzinfo=UTC)
"""The newest seeded row is a little older than this, so that the same seed gives the same rows on any day."""
SPAN_SECONDS = 90 * 86400

_TRADERS = ("Brass", "Sable", "Quill", "Marrow", "Tinker", "Vesper", "Harrow", "Linden")
_VERBS = ("Recover", "Deliver", "Escort", "Survey", "Repair", "Signal", "Trade", "Guard")
_THINGS = ("the ledger", "a generator", "the courier", "the old mill", "a beacon", "medicine", "the archive", "fuel")
_REWARDS = ("coins", "map", "tool kit", "ration's worth", 'a "lucky" charm', "key, brass", "cable")
_FACTIONS = ("NORTH", "SOUTH", "FREE")
_STATUSES = ("LOCKED", "AVAILABLE", "IN_PROGRESS", "COMPLETED", "FAILED")

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Report:
    """What was made."""

    seed: int
    seconds: float
    rows: dict[str, int]
    migrations: list[str]


def seed_database(
    url: str, *, rows: int = 50_000, seed: int = 20250113, commit: Commit = GOOD, anchor: datetime = ANCHOR
) -> Report:
    """Makes the schema of `commit` and fills it with `rows` progress rows.

    Raises ValueError when there is data already, `psycopg.Error` for everything the database refuses.
    """
    started = time.monotonic()
    applied = migrate(url, commit)
    counts: dict[str, int] = {}
    with psycopg.connect(url, connect_timeout=10, prepare_threshold=None) as connection, connection.cursor() as cursor:
        found = cursor.execute('SELECT EXISTS (SELECT 1 FROM "User")').fetchone()
        if found and found[0]:
            raise ValueError("the database is seeded already; --reset empties it first")
        for name, columns, made in generate(rows, seed, anchor):
            counts[name] = _copy(cursor, name, columns, made)
        for name in ("Quest", "Objective", "ObjectiveProgress"):
            cursor.execute(
                sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT max(\"id\") FROM {}))").format(
                    sql.Literal(f'"{name}"'), sql.Identifier(name)
                )
            )
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("ANALYZE")
    return Report(seed, round(time.monotonic() - started, 3), counts, applied)


def reset(url: str) -> None:
    """Removes the data, not the schema."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        names = sql.SQL(", ").join(sql.Identifier(name) for name in TABLES)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))


def generate(rows: int, seed: int, anchor: datetime = ANCHOR) -> Iterator[tuple[str, tuple[str, ...], Iterable[Row]]]:
    """Yields table, columns and rows, in the order of the foreign keys.

    There are far more pairs of user and quest than rows, so that a writer finds new ones to insert.
    """
    draw = random.Random(seed)
    users = [uuid.UUID(int=draw.getrandbits(128), version=4) for _ in range(max(20, rows // 25))]
    quest_count, per_quest = 240, 3
    in_quests = rows * 2 // 5
    traders = [(name.lower(), name, f"#{draw.randrange(0x1000000):06x}") for name in _TRADERS]
    yield "Trader", ("id", "name", "colour"), traders
    yield "User", *_users(draw, users, anchor)
    yield "Quest", *_quests(draw, quest_count, anchor)
    objectives = [
        (quest * per_quest + step + 1, quest + 1, f"{draw.choice(_VERBS)} {draw.choice(_THINGS)}", draw.randrange(1, 9))
        for quest in range(quest_count)
        for step in range(per_quest)
    ]
    yield "Objective", ("id", "questId", "description", "target"), objectives
    yield "QuestProgress", *_quest_progress(draw, users, quest_count, in_quests, anchor)
    yield "ObjectiveProgress", *_objective_progress(draw, users, len(objectives), rows - in_quests, anchor)


def _users(draw: random.Random, users: list[uuid.UUID], anchor: datetime) -> tuple[tuple[str, ...], Iterable[Row]]:
    columns = ("id", "email", "displayName", "faction", "level", "favouriteTraders", "createdAt")
    names = [name.lower() for name in _TRADERS]
    made = (
        (
            user,
            f"player{number}@example.invalid",
            f"Player № {number}",
            draw.choice(_FACTIONS),
            draw.randrange(1, 72),
            draw.sample(names, draw.randrange(0, 4)),
            _instant(draw, anchor),
        )
        for number, user in enumerate(users)
    )
    return columns, made


def _quests(draw: random.Random, count: int, anchor: datetime) -> tuple[tuple[str, ...], Iterable[Row]]:
    made = (
        (
            number + 1,
            draw.choice(_TRADERS).lower(),
            f"{draw.choice(_VERBS)} {draw.choice(_THINGS)} ({number + 1})",
            draw.randrange(1, 50),
            draw.sample(_REWARDS, draw.randrange(0, 4)),
            _instant(draw, anchor),
        )
        for number in range(count)
    )
    return ("id", "traderId", "title", "requiredLevel", "rewards", "createdAt"), made


def _quest_progress(
    draw: random.Random, users: list[uuid.UUID], quests: int, count: int, anchor: datetime
) -> tuple[tuple[str, ...], Iterable[Row]]:
    pairs = draw.sample(range(len(users) * quests), count)
    made = (
        (
            uuid.UUID(int=draw.getrandbits(128), version=4),
            users[pair // quests],
            pair % quests + 1,
            draw.choice(_STATUSES),
            _instant(draw, anchor),
        )
        for pair in pairs
    )
    return ("id", "userId", "questId", "status", "updatedAt"), made


def _objective_progress(
    draw: random.Random, users: list[uuid.UUID], objectives: int, count: int, anchor: datetime
) -> tuple[tuple[str, ...], Iterable[Row]]:
    pairs = draw.sample(range(len(users) * objectives), count)
    made = (
        (number + 1, users[pair // objectives], pair % objectives + 1, draw.randrange(0, 30), _instant(draw, anchor))
        for number, pair in enumerate(pairs)
    )
    return ("id", "userId", "objectiveId", "count", "updatedAt"), made


def _instant(draw: random.Random, anchor: datetime) -> datetime:
    return anchor - timedelta(milliseconds=draw.randrange(1, SPAN_SECONDS * 1000))


def _copy(cursor: psycopg.Cursor[Any], name: str, columns: tuple[str, ...], rows: Iterable[Row]) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(name), sql.SQL(", ").join(sql.Identifier(column) for column in columns)
    )
    count = 0
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.tracker.seed", description="Fills a database.")
    parser.add_argument("--url", default=os.environ.get("DATABASE_URL"), help="default: $DATABASE_URL")
    parser.add_argument("--rows", type=int, default=50_000, help="progress rows (default: 50000)")
    parser.add_argument("--seed", type=int, default=20250113)
    parser.add_argument("--reset", action="store_true", help="empty the tables first")
    options = parser.parse_args(arguments)
    if not options.url:
        parser.error("say which database: --url or $DATABASE_URL")
    print(f"seed {options.seed}", flush=True)
    try:
        if options.reset:
            migrate(options.url, GOOD)
            reset(options.url)
        report = seed_database(options.url, rows=options.rows, seed=options.seed)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"{type(error).__name__}: {error.diag.message_primary or 'no connection'}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
