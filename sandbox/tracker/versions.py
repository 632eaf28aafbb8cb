# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commits of the application's repository, as data: what each needs of a database and what it migrates.

A commit is known by its SHA and, in the sandbox's own commands, by its `name`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

TABLES = ("User", "Trader", "Quest", "Objective", "QuestProgress", "ObjectiveProgress")
"""The tables of the application's data, in the order of their foreign keys."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema, named as Prisma names its folders."""

    name: str
    statements: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """SHA-256 of the statements: what ``_prisma_migrations`` records."""
        return hashlib.sha256("\n".join(self.statements).encode()).hexdigest()


@dataclass(frozen=True)
class Commit:
    """One version of the application."""

    name: str
    message: str
    version: str
    migrations: tuple[Migration, ...]
    tables: tuple[str, ...] = TABLES
    """The tables that its health check reads."""

    @property
    def sha(self) -> str:
        """40 hex digits that follow from the name."""
        return hashlib.sha1(f"tracker {self.name}".encode(), usedforsecurity=False).hexdigest()


INIT = Migration(
    "20240901120000_init",
    (
        """CREATE TYPE "Faction" AS ENUM ('NORTH', 'SOUTH', 'FREE')""",
        """CREATE TYPE "ProgressStatus" AS ENUM ('LOCKED', 'AVAILABLE', 'IN_PROGRESS', 'COMPLETED', 'FAILED')""",
        """CREATE TABLE "User" (
    "id" uuid PRIMARY KEY,
    "email" text NOT NULL UNIQUE,
    "displayName" text NOT NULL,
    "faction" "Faction" NOT NULL DEFAULT 'FREE',
    "level" integer NOT NULL DEFAULT 1,
    "favouriteTraders" text[] NOT NULL DEFAULT '{}',
    "createdAt" timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
)""",
        """CREATE TABLE "Trader" (
    "id" text PRIMARY KEY,
    "name" text NOT NULL,
    "colour" text NOT NULL DEFAULT '#888888'
)""",
        """CREATE TABLE "Quest" (
    "id" serial PRIMARY KEY,
    "traderId" text NOT NULL REFERENCES "Trader" ("id"),
    "title" text NOT NULL,
    "requiredLevel" integer NOT NULL DEFAULT 1,
    "rewards" text[] NOT NULL DEFAULT '{}',
    "createdAt" timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
)""",
        """CREATE TABLE "Objective" (
    "id" serial PRIMARY KEY,
    "questId" integer NOT NULL REFERENCES "Quest" ("id"),
    "description" text NOT NULL,
    "target" integer NOT NULL DEFAULT 1
)""",
        """CREATE TABLE "QuestProgress" (
    "id" uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "userId" uuid NOT NULL REFERENCES "User" ("id"),
    "questId" integer NOT NULL REFERENCES "Quest" ("id"),
    "status" "ProgressStatus" NOT NULL DEFAULT 'AVAILABLE',
    "updatedAt" timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE ("userId", "questId")
)""",
        """CREATE TABLE "ObjectiveProgress" (
    "id" bigserial PRIMARY KEY,
    "userId" uuid NOT NULL REFERENCES "User" ("id"),
    "objectiveId" integer NOT NULL REFERENCES "Objective" ("id"),
    "count" integer NOT NULL DEFAULT 0,
    "updatedAt" timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE ("userId", "objectiveId")
)""",
        """CREATE TABLE "Status" (
    "id" integer PRIMARY KEY CHECK ("id" = 1),
    "text" text NOT NULL,
    "updatedAt" timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
)""",
        """INSERT INTO "Status" ("id", "text") VALUES (1, 'fresh')""",
    ),
)

INDEX = Migration(
    "20241015093000_progress_indexes",
    (
        """CREATE INDEX "QuestProgress_updatedAt_idx" ON "QuestProgress" ("updatedAt")""",
        """CREATE INDEX "ObjectiveProgress_updatedAt_idx" ON "ObjectiveProgress" ("updatedAt")""",
    ),
)

# Reads like a tidy-up in a review; takes most of what users did with it.
DESTROY = Migration(
    "20250113142500_archive_stale_progress",
    (
        """ALTER TABLE "QuestProgress" ADD COLUMN "archivedAt" timestamptz(3)""",
        """DELETE FROM "ObjectiveProgress" WHERE "count" < 1000000""",
        """DELETE FROM "QuestProgress" WHERE "status" <> 'COMPLETED'""",
    ),
)

# What comes after it, so that "the newest commit" is not always the bad one.
NOTES = Migration(
    "20250120080000_user_notes",
    ("""ALTER TABLE "User" ADD COLUMN "note" text NOT NULL DEFAULT ''""",),
)

GOOD = Commit("good", "Track progress by quest and objective", "1.4.2", (INIT, INDEX))
BAD_MIGRATION = Commit("bad_migration", "Archive stale progress", "1.5.0", (INIT, INDEX, DESTROY))
MISSING_TABLE = Commit("missing_table", "Show the current season", "1.6.0", (INIT, INDEX), (*TABLES, "Season"))
NEXT = Commit("next", "Let users keep notes", "1.4.3", (INIT, INDEX, NOTES))
DOCS = Commit("docs", "Say in the README how to deploy", "1.4.2", (INIT, INDEX))

COMMITS = (GOOD, DOCS, BAD_MIGRATION, MISSING_TABLE, NEXT)


def find(reference: str) -> Commit:
    """The commit with this name, SHA or beginning of a SHA (7 digits or more). Raises LookupError for none."""
    for commit in COMMITS:
        if commit.name == reference or (len(reference) >= 7 and commit.sha.startswith(reference)):
            return commit
    raise LookupError(f"the repository has no commit {reference!r}; known: {', '.join(c.name for c in COMMITS)}")
