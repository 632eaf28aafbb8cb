# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies a commit's migrations, each in its own transaction, recorded as Prisma records them.

python -m sandbox.tracker.migrations --commit bad_migration     (database: $DATABASE_URL or --url)
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from typing import Any

import psycopg
from psycopg import sql

from sandbox.tracker.database import lacks_host
from sandbox.tracker.versions import Commit, Migration, find

# Two new containers may start at once; Prisma takes the same advisory lock.
ADVISORY_LOCK = 72707369

_TABLE = """CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id" varchar(36) PRIMARY KEY,
    "checksum" varchar(64) NOT NULL,
    "finished_at" timestamptz,
    "migration_name" varchar(255) NOT NULL,
    "logs" text,
    "rolled_back_at" timestamptz,
    "started_at" timestamptz NOT NULL DEFAULT now(),
    "applied_steps_count" integer NOT NULL DEFAULT 0
)"""


def migrate(url: str, commit: Commit) -> list[str]:
    """Applies what `commit` has and the database has not; returns the names applied.

    Raises `psycopg.Error`; what was applied before stays (each migration is one transaction).
    """
    applied: list[str] = []
    # No prepared statements: behind a transaction pooler they land on other server connections.
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, connect_timeout=10) as connection:
        for migration in commit.migrations:
            if _apply(connection, migration):
                applied.append(migration.name)
    return applied


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        connection.execute(_TABLE)
        found = connection.execute(
            'SELECT 1 FROM "_prisma_migrations" WHERE "migration_name" = %s AND "rolled_back_at" IS NULL',
            (migration.name,),
        ).fetchone()
        if found:
            return False
        for statement in migration.statements:
            connection.execute(sql.SQL(statement))
        connection.execute(
            'INSERT INTO "_prisma_migrations"'
            ' ("id", "checksum", "finished_at", "migration_name", "applied_steps_count") VALUES (%s, %s, now(), %s, 1)',
            (str(uuid.uuid4()), migration.checksum, migration.name),
        )
    return True


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.tracker.migrations", description="Applies migrations.")
    parser.add_argument("--commit", default="good", help="name or SHA (default: good)")
    parser.add_argument("--url", default=os.environ.get("DATABASE_URL"), help="default: $DATABASE_URL")
    options = parser.parse_args(arguments)
    if lacks_host(options.url or ""):
        parser.error("say which database, with its host: --url or $DATABASE_URL")
    try:
        for name in migrate(options.url, find(options.commit)) or ["nothing to apply"]:
            print(name)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"{type(error).__name__}: {error.diag.message_primary or 'no connection'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
