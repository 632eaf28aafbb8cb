# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migration heads: which migration a database is at, read from the table that the migration tool keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .session import Statement
from .tables import identifier


@dataclass(frozen=True)
class Tool:
    """How one migration tool keeps its books.

    :param head: SQL expression over all applied rows (alias m): the name of the newest.
    :param applied: SQL condition for rows that count as applied.
    :param without: columns that mean that another tool uses the same table name.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    head: str
    applied: str = "true"
    without: tuple[str, ...] = ()


def _last(value: str, *order: str) -> str:
    keys = ", ".join(f"{key} DESC" for key in order)
    return f"(pg_catalog.array_agg({value} ORDER BY {keys}))[1]"


# Names and columns are the tools' own defaults, from their documentation. The first that fits wins; where two tools use
# one name, the one with more columns of its own comes first.
TOOLS = (
    Tool(
        "prisma",
        "_prisma_migrations",
        ("migration_name", "finished_at", "rolled_back_at", "started_at"),
        _last("m.migration_name", "m.started_at", "m.migration_name"),
        "m.finished_at IS NOT NULL AND m.rolled_back_at IS NULL",
    ),
    Tool("golang-migrate", "schema_migrations", ("version", "dirty"), "max(m.version)::text"),
    Tool(
        "rails",
        "schema_migrations",
        ("version",),
        _last("m.version::text", "length(m.version::text)", "m.version::text"),
    ),
    Tool("django", "django_migrations", ("id", "app", "name", "applied"), _last("m.app || '.' || m.name", "m.id")),
    Tool("alembic", "alembic_version", ("version_num",), "string_agg(m.version_num, ',' ORDER BY m.version_num)"),
    Tool(
        "flyway",
        "flyway_schema_history",
        ("installed_rank", "version", "success"),
        _last("m.version::text", "m.installed_rank"),
        "m.success AND m.version IS NOT NULL",
    ),
    Tool("liquibase", "databasechangelog", ("id", "author", "orderexecuted"), _last("m.id::text", "m.orderexecuted")),
    Tool("knex", "knex_migrations", ("id", "name", "batch"), _last("m.name", "m.id")),
    Tool("drizzle", "__drizzle_migrations", ("id", "hash", "created_at"), _last("m.hash", "m.created_at", "m.id")),
    Tool(
        "typeorm",
        "migrations",
        ("id", "timestamp", "name"),
        _last("m.name::text", "m.timestamp", "m.id"),
        without=("batch",),
    ),
    Tool("laravel", "migrations", ("id", "migration", "batch"), _last("m.migration::text", "m.id")),
    Tool("sequelize", "SequelizeMeta", ("name",), 'max(m.name::text COLLATE "C")'),
    Tool("goose", "goose_db_version", ("id", "version_id", "is_applied"), "max(m.version_id)::text", "m.is_applied"),
    Tool("sqlx", "_sqlx_migrations", ("version", "success"), "max(m.version)::text", "m.success"),
    Tool("diesel", "__diesel_schema_migrations", ("version",), 'max(m.version::text COLLATE "C")'),
    Tool("refinery", "refinery_schema_history", ("version", "name"), "max(m.version)::text"),
    Tool("ef-core", "__EFMigrationsHistory", ("MigrationId",), 'max(m."MigrationId"::text COLLATE "C")'),
    Tool("node-pg-migrate", "pgmigrations", ("id", "name", "run_on"), _last("m.name::text", "m.id")),
    Tool("kysely", "kysely_migration", ("name", "timestamp"), 'max(m.name::text COLLATE "C")'),
    Tool("mikro-orm", "mikro_orm_migrations", ("id", "name", "executed_at"), _last("m.name::text", "m.id")),
    Tool("doctrine", "doctrine_migration_versions", ("version",), 'max(m.version::text COLLATE "C")'),
    Tool("phinx", "phinxlog", ("version", "migration_name"), "max(m.version)::text"),
    Tool("atlas", "atlas_schema_revisions", ("version", "applied"), 'max(m.version::text COLLATE "C")'),
)


@dataclass(frozen=True)
class Found:
    """A migration tool's table in this database."""

    tool: Tool
    schema: str
    full_name: str

    def statement(self) -> Statement:
        """Reads the head and the number of applied migrations."""
        source = f"{identifier(self.schema)}.{identifier(self.tool.table)}"
        return f"SELECT {self.tool.head} AS head, count(*) AS count FROM {source} m WHERE {self.tool.applied}", None


def find(tables: Iterable[Mapping[str, Any]]) -> list[Found]:
    """The migration tables among a catalog's tables (full_name, schema, name, columns), the most telling first."""
    found: list[tuple[int, Found]] = []
    for table in tables:
        columns = {column["name"] for column in table["columns"]}
        for rank, tool in enumerate(TOOLS):
            fits = tool.table == table["name"] and columns.issuperset(tool.columns)
            if fits and columns.isdisjoint(tool.without) and table["readable"]:
                found.append((rank, Found(tool, table["schema"], table["full_name"])))
                break
    return [item for _rank, item in sorted(found, key=lambda pair: (pair[0], pair[1].full_name))]
