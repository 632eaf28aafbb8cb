# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a deployment say: which are migrations, which migrations the database has not seen yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

# Where the tools that `_postgres/migrations.py` knows keep their migrations, and files that define a whole schema.
MIGRATIONS = (
    "**/migrations/**",
    "**/migration/**",
    "**/db/migrate/**",
    "**/alembic/versions/**",
    "**/db/changelog/**",
    "**/drizzle/**/*.sql",
    "**/V*__*.sql",
    "**/*.up.sql",
    "**/schema.prisma",
    "**/db/schema.rb",
    "**/db/structure.sql",
)
# What says how the application reaches its database.
CONFIGURATION = (
    "**/.env",
    "**/.env.*",
    "**/database.yml",
    "**/pgbouncer*",
    "**/knexfile.*",
    "**/ormconfig.*",
    "**/drizzle.config.*",
    "**/prisma.config.*",
    "**/docker-compose*.y*ml",
    "**/compose*.y*ml",
)

_LEADING_DIGITS = re.compile(r"(\d+)")
_FLYWAY = re.compile(r"V(\d+(?:[._]\d+)*)__")
# How the tool's table names a migration: by its folder, its file, the file without its ending, or a number.
_FOLDER = {"prisma"}
_FILE = {"knex", "sequelize"}
_STEM = {"laravel", "node-pg-migrate", "kysely", "mikro-orm", "ef-core"}
_NUMBER = {"rails", "golang-migrate", "goose", "sqlx", "diesel", "refinery", "phinx"}


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """A pattern of paths: `**` is any number of folders, `*` and `?` stay within one."""
    parts = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob):
        parts.append({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part))
    return re.compile("".join(parts), re.DOTALL)


def matching(files: Iterable[str], globs: Sequence[str]) -> list[str]:
    """The files that one of the patterns fits, in their order."""
    return [file for file in files if any(_pattern(glob).fullmatch(file) for glob in globs)]


@dataclass(frozen=True)
class Pending:
    """The migrations of the code that the database has not seen.

    :param known: false where that cannot be told; `why` says why.
    """

    known: bool
    names: tuple[str, ...] = ()
    why: str = ""


def name_of(tool: str, file: str) -> str | None:
    """What the tool's table calls the migration of a file; None for a file that is none, and for an unknown tool."""
    path = PurePosixPath(file)
    if tool in _FOLDER:
        return path.parent.name if path.name == "migration.sql" else None
    if tool in _FILE:
        return path.name if path.suffix in (".js", ".ts", ".cjs", ".mjs", ".sql") else None
    if tool in _STEM:
        return path.stem if _LEADING_DIGITS.match(path.stem) else None
    if tool in _NUMBER:
        # Diesel has a folder for each migration, with dashes in its number; the others have a file.
        found = _LEADING_DIGITS.match(path.parent.name.replace("-", "") if tool == "diesel" else path.name)
        return str(int(found[1])) if found else None
    if tool == "flyway":
        versioned = _FLYWAY.match(path.name)
        return versioned[1].replace("_", ".") if versioned else None
    return None


def is_known(tool: str) -> bool:
    """Whether the files of this tool can be compared with its table."""
    return tool in _FOLDER | _FILE | _STEM | _NUMBER | {"flyway"}


def pending(files: Iterable[str], migration: dict[str, Any] | None) -> Pending:
    """The migrations among the files that come after the database's head.

    :param files: all migrations of the code, not only those that changed.
    :param migration: the manifest's migration - tool, head, count; None where the database has no such table.
    """
    listed = list(files)
    if not listed:
        return Pending(True)
    if migration is None or not migration.get("count"):
        return Pending(True, tuple(listed), "the database has seen no migration")
    tool, head = str(migration["tool"]), str(migration["head"])
    if not is_known(tool):
        return Pending(False, (), f"the files of {tool} cannot be compared with its table")
    names = sorted({name for file in listed if (name := name_of(tool, file))}, key=lambda name: _key(tool, name))
    head_key = _key(tool, _plain(tool, head))
    if head_key not in [_key(tool, name) for name in names]:
        return Pending(False, (), f"the database's newest migration, {head}, is not among those of the code")
    older = [name for name in names if _key(tool, name) <= head_key]
    newer = tuple(name for name in names if _key(tool, name) > head_key)
    missing = len(older) - int(migration["count"])
    if missing > 0:
        why = f"{missing} that are older than its newest one, {head}, are not in the database either"
        return Pending(True, newer or (f"{missing} before {head}",), why)
    return Pending(True, newer)


def _plain(tool: str, head: str) -> str:
    if tool in _NUMBER:
        found = _LEADING_DIGITS.match(head)
        return str(int(found[1])) if found else head
    return head


def _key(tool: str, name: str) -> tuple[tuple[int, ...], str]:
    """Numbers in the order of numbers, names in that of names."""
    if tool in _NUMBER or tool == "flyway":
        numbers = re.findall(r"\d+", name)
        return tuple(int(number) for number in numbers), ""
    return (), name
