# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL as ``cloud_admin``, the superuser that no client of the sandbox can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from sandbox.postgres.certificates import Certificates

ADMIN = "cloud_admin"
OWNERS = "neon_superuser"
"""The group that roles belong to, as on Neon: they are no superusers but may do what owners of a project need."""

# In template1, so that every later database has it too: since PostgreSQL 15 only a database's owner could create there.
TEMPLATE_STATEMENTS = (f"GRANT CREATE ON SCHEMA public TO {OWNERS} WITH GRANT OPTION",)
ROLE_STATEMENTS = (
    f"CREATE ROLE {OWNERS} NOLOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS",
    f"GRANT pg_read_all_data, pg_write_all_data, pg_monitor, pg_signal_backend TO {OWNERS} WITH ADMIN OPTION",
)


@dataclass(frozen=True)
class Administrator:
    """How the sandbox itself logs in to its servers."""

    password: str
    certificates: Certificates | None

    async def connect(self, port: int, database: str = "postgres") -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """A connection in autocommit mode. Raises psycopg.OperationalError."""
        parameters: dict[str, str] = {"sslmode": "disable"}
        if self.certificates:
            parameters = {
                "sslmode": "verify-ca",
                "sslrootcert": str(self.certificates.authority),
                "sslcert": str(self.certificates.client),
                "sslkey": str(self.certificates.client_key),
            }
        return await psycopg.AsyncConnection.connect(
            host="127.0.0.1",
            port=port,
            user=ADMIN,
            password=self.password,
            dbname=database,
            application_name="sandbox",
            gssencmode="disable",
            connect_timeout=10,
            autocommit=True,
            prepare_threshold=None,
            **parameters,  # type: ignore[arg-type]
        )

    async def execute(
        self, port: int, statement: str, parameters: Sequence[Any] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """One statement on a connection of its own; its rows, or nothing for a statement without any."""
        async with await self.connect(port, database) as connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def create_role(self, port: int, name: str, password: str | None) -> None:
        """As Neon makes roles: members of the owners' group with its attributes (attributes are not inherited).

        `password` None: a role that cannot log in. Raises psycopg.errors.DuplicateObject and other SQL errors.
        """
        async with await self.connect(port) as connection:
            login = sql.SQL("NOLOGIN")
            if password is not None:
                login = sql.SQL("LOGIN PASSWORD {}").format(_verifier(connection, name, password))  # type: ignore[assignment]
            await connection.execute(
                sql.SQL("CREATE ROLE {} {} INHERIT CREATEROLE CREATEDB BYPASSRLS REPLICATION IN ROLE {}").format(
                    sql.Identifier(name), login, sql.Identifier(OWNERS)
                )
            )

    async def apply_passwords(self, port: int, passwords: Mapping[str, str]) -> None:
        """Sets the passwords of those of these roles that exist."""
        async with await self.connect(port) as connection:
            cursor = await connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND NOT rolsuper", [list(passwords)]
            )
            for (name,) in await cursor.fetchall():
                verifier = _verifier(connection, name, passwords[name])
                await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), verifier))

    async def create_database(self, port: int, name: str, owner: str) -> None:
        """A database with an owner. Raises psycopg.errors.DuplicateDatabase and other SQL errors."""
        async with await self.connect(port) as connection:
            database = sql.Identifier(name)
            await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner)))
            await connection.execute(
                sql.SQL("GRANT ALL PRIVILEGES ON DATABASE {} TO {}").format(database, sql.Identifier(OWNERS))
            )


def _verifier(connection: psycopg.AsyncConnection[Any], role: str, password: str) -> sql.Literal:
    # Sent as a SCRAM verifier, so that no statement holds a password.
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return sql.Literal(made.decode())
