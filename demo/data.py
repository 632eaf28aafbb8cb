# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database and the application, seen from outside: whole copies of the data, and what the application says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
from psycopg import sql

PROGRESS = "QuestProgress"

_TABLES = """
SELECT c.relname, array_agg(a.attname::text || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind = 'r' GROUP BY c.relname ORDER BY c.relname"""


@dataclass(frozen=True)
class Copy:
    """Every row of every table at one instant (one repeatable-read snapshot)."""

    taken_at: datetime
    """Not later than the snapshot."""
    columns: dict[str, tuple[str, ...]]
    rows: dict[str, dict[str, str]]
    """By table and key (the first column): the row as COPY prints it."""

    @property
    def total(self) -> int:
        """Rows in all tables."""
        return sum(len(rows) for rows in self.rows.values())

    def fingerprint(self) -> str:
        """SHA-256 over tables, columns and rows, in order."""
        digest = hashlib.sha256()
        for table in sorted(self.rows):
            digest.update("\x00".join((table, *self.columns[table])).encode())
            for key in sorted(self.rows[table]):
                digest.update(f"\n{self.rows[table][key]}".encode())
        return digest.hexdigest()


def take_copy(uri: str) -> Copy:
    """Reads everything. Raises `psycopg.Error`, and ValueError when a table's first column is no key."""
    with psycopg.connect(uri, connect_timeout=20, prepare_threshold=None) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        taken_at = datetime.now(UTC)
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        columns = {table: tuple(names) for table, names in connection.execute(_TABLES).fetchall()}
        rows: dict[str, dict[str, str]] = {}
        for table in columns:
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                lines = b"".join(bytes(block) for block in copy).decode().splitlines()
            rows[table] = {line.partition("\t")[0]: line for line in lines}
            if len(rows[table]) != len(lines):
                raise ValueError(f"the first column of {table} is no key")
    return Copy(taken_at, columns, rows)


def count_rows(uri: str) -> dict[str, int]:
    """Rows by table. Raises `psycopg.Error`."""
    with psycopg.connect(uri, connect_timeout=20, prepare_threshold=None, autocommit=True) as connection:
        tables = [row[0] for row in connection.execute(_TABLES).fetchall()]
        counts = {}
        for table in tables:
            found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            counts[table] = int(found[0]) if found else 0
    return counts


class Tracker:
    """The application by its address, and the database that it says it uses."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self._target = connection["targets"]["tracker"]
        self.url: str = self._target["application_url"]
        # The shell's proxy must not be asked for a loopback address.
        self._application = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False)
        self._neon = httpx.Client(
            base_url=connection["neon_api_url"],
            headers={"Authorization": f"Bearer {connection['neon_api_key']}"},
            timeout=30.0,
            trust_env=False,
        )

    def status(self) -> dict[str, Any]:
        """The application's own answer: status text, process, commit and database host."""
        return dict(self._application.get("/api/status").raise_for_status().json())

    def set_status(self, text: str) -> None:
        """Changes the status text through the application."""
        self._application.post("/api/status", json={"text": text}).raise_for_status()

    def progress(self) -> dict[str, Any]:
        """The application's count of the progress rows."""
        return dict(self._application.get("/api/progress").raise_for_status().json())

    def uri(self) -> str:
        """The connection string of the branch behind the host that the application uses at this moment."""
        host = self.status()["database"]["host"]
        project = f"/projects/{self._target['neon_project_id']}"
        endpoints = self._neon.get(f"{project}/endpoints").raise_for_status().json()["endpoints"]
        branch = next(item["branch_id"] for item in endpoints if item["host"] == host)
        wanted = {
            "branch_id": branch,
            "database_name": self._target["neon_database"],
            "role_name": self._target["neon_role"],
        }
        answer = self._neon.get(f"{project}/connection_uri", params=wanted).raise_for_status().json()
        return str(answer["uri"])
