# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web service. Configuration comes from the environment, as in a container:

``DATABASE_URL``, ``HOST``, ``PORT``, ``SOURCE_COMMIT`` (which commit this is), ``MIGRATE_AT_START=1``.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from aiohttp import web
from psycopg import sql
from psycopg_pool import PoolTimeout

from sandbox.tracker.database import Connection, Database
from sandbox.tracker.versions import Commit

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS: LiteralString = """
SELECT "text", "updatedAt", inet_server_port(), current_setting('server_version'),
       pg_is_in_recovery(), current_setting('default_transaction_read_only'),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
       (SELECT count(*) FROM "QuestProgress"), pg_backend_pid()
FROM "Status" WHERE "id" = 1"""

_QUESTS: LiteralString = """
SELECT q."id", q."title", q."requiredLevel", q."rewards", t."name"
FROM "Quest" q JOIN "Trader" t ON t."id" = q."traderId" ORDER BY q."id" LIMIT %s OFFSET %s"""

_COUNTS: LiteralString = """
SELECT (SELECT count(*) FROM "QuestProgress"), (SELECT count(*) FROM "ObjectiveProgress"),
       GREATEST((SELECT max("updatedAt") FROM "QuestProgress"), (SELECT max("updatedAt") FROM "ObjectiveProgress"))"""

# A user and a quest at random without reading the whole table: the first id after a random one.
_PROGRESS: LiteralString = """
INSERT INTO "QuestProgress" ("id", "userId", "questId", "status", "updatedAt")
SELECT %(id)s, u."id", q."id", %(status)s::"ProgressStatus", clock_timestamp()
FROM (SELECT COALESCE((SELECT min("id"::text) FROM "User" WHERE "id" >= %(user)s),
                      (SELECT min("id"::text) FROM "User"))::uuid AS "id") u,
     (SELECT "id" FROM "Quest" ORDER BY "id" OFFSET %(quest)s %% (SELECT count(*) FROM "Quest") LIMIT 1) q
ON CONFLICT ("userId", "questId") DO UPDATE SET "status" = EXCLUDED."status", "updatedAt" = EXCLUDED."updatedAt"
RETURNING "id"::text, "userId"::text, "questId", "status"::text, "updatedAt", "id" = %(id)s"""

STATUSES = ("LOCKED", "AVAILABLE", "IN_PROGRESS", "COMPLETED", "FAILED")


class Tracker:
    """The handlers of one application process."""

    def __init__(self, commit: Commit, database: Database) -> None:
        self.commit = commit
        self.database = database
        self.started_at = datetime.now(UTC)

    def application(self) -> web.Application:
        """The aiohttp application with its routes."""
        application = web.Application(middlewares=[_errors])
        application.add_routes(
            [
                web.get("/api/health", self.health),
                web.get("/api/version", self.version),
                web.get("/api/process", self.process),
                web.get("/api/status", self.status),
                web.post("/api/status", self.set_status),
                web.get("/api/quests", self.quests),
                web.get("/api/progress", self.progress),
                web.post("/api/progress", self.add_progress),
            ]
        )
        application.on_startup.append(self._open)
        application.on_cleanup.append(self._close)
        return application

    async def _open(self, application: web.Application) -> None:
        await self.database.open()

    async def _close(self, application: web.Application) -> None:
        await self.database.close()

    def _process(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "started_at": _text(self.started_at),
            "commit": self.commit.sha,
            "version": self.commit.version,
            "database": self.database.address(),
        }

    async def process(self, request: web.Request) -> web.Response:
        """This process: id, start, commit and where its database is; asks the database nothing."""
        return web.json_response(self._process())

    async def version(self, request: web.Request) -> web.Response:
        """The commit that this process was made of."""
        return web.json_response(
            {"commit": self.commit.sha, "version": self.commit.version, "message": self.commit.message}
        )

    async def health(self, request: web.Request) -> web.Response:
        """200 when the database answers and has every table that this commit needs."""

        async def look(connection: Connection) -> None:
            probes = [sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name)) for name in self.commit.tables]
            await connection.execute(sql.SQL(" UNION ALL ").join(sql.SQL("({})").format(probe) for probe in probes))

        await self.database.read(look)
        return web.json_response({"status": "ok", "commit": self.commit.sha})

    async def status(self, request: web.Request) -> web.Response:
        """The status text and everything that tells which database and which process answered."""

        async def look(connection: Connection) -> tuple[Any, ...] | None:
            return await (await connection.execute(_STATUS)).fetchone()

        row = await self.database.read(look)
        if row is None:
            raise web.HTTPNotFound(text="the status row is gone")
        answer = self._process()
        answer["database"] |= {
            "server_port": row[2],
            "server_version": row[3],
            "read_only": row[4] or row[5] == "on",
            "lsn": row[6],
            "quest_progress": row[7],
            "backend_pid": row[8],
        }
        return web.json_response({"text": row[0], "updated_at": _text(row[1]), **answer})

    async def set_status(self, request: web.Request) -> web.Response:
        """Sets the status text; answers with the instant that the row carries."""
        text = (await _object(request)).get("text")
        if not isinstance(text, str) or not _storable(text):
            raise web.HTTPUnprocessableEntity(text="text must be a string that PostgreSQL can hold")

        async def work(connection: Connection) -> datetime:
            cursor = await connection.execute(
                'INSERT INTO "Status" ("id", "text", "updatedAt") VALUES (1, %s, clock_timestamp())'
                ' ON CONFLICT ("id") DO UPDATE SET "text" = EXCLUDED."text", "updatedAt" = EXCLUDED."updatedAt"'
                ' RETURNING "updatedAt"',
                (text,),
            )
            row = await cursor.fetchone()
            assert row is not None
            return row[0]  # type: ignore[no-any-return]

        updated = await self.database.write(work)
        return web.json_response({"text": text, "updated_at": _text(updated)})

    async def quests(self, request: web.Request) -> web.Response:
        """``?limit=&offset=``: quests with their trader."""
        limit = _integer(request, "limit", 20)
        offset = _integer(request, "offset", 0)

        async def look(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(_QUESTS, (limit, offset))).fetchall()

        names = ("id", "title", "required_level", "rewards", "trader")
        rows = await self.database.read(look)
        return web.json_response({"quests": [dict(zip(names, row, strict=True)) for row in rows]})

    async def progress(self, request: web.Request) -> web.Response:
        """How many progress rows there are and when the newest was written."""

        async def look(connection: Connection) -> tuple[Any, ...] | None:
            return await (await connection.execute(_COUNTS)).fetchone()

        row = await self.database.read(look)
        assert row is not None
        return web.json_response(
            {
                "quest_progress": row[0],
                "objective_progress": row[1],
                "total": row[0] + row[1],
                "newest": _text(row[2]) if row[2] else None,
            }
        )

    async def add_progress(self, request: web.Request) -> web.Response:
        """Records progress of a user (``user``, a uuid) on a quest (``quest``, a number); either may be left out."""
        body = await _object(request)
        status = body.get("status", "IN_PROGRESS")
        if status not in STATUSES:
            raise web.HTTPUnprocessableEntity(text=f"status must be one of {', '.join(STATUSES)}")
        identity = uuid.uuid4()
        try:
            user = uuid.UUID(str(body.get("user") or uuid.uuid4()))
            quest = int(body["quest"]) if body.get("quest") is not None else identity.int % 1_000_003
        except (ValueError, TypeError, OverflowError):
            raise web.HTTPUnprocessableEntity(text="user must be a uuid and quest a number") from None
        if not 0 <= quest < 2**31:
            raise web.HTTPUnprocessableEntity(text="quest must be a number of zero or more")
        values = {"id": identity, "user": user, "quest": quest, "status": status}

        async def work(connection: Connection) -> tuple[Any, ...] | None:
            return await (await connection.execute(_PROGRESS, values)).fetchone()

        row = await self.database.write(work)
        if row is None:
            raise web.HTTPConflict(text="there are no users or no quests")
        names = ("id", "user", "quest", "status")
        answer = dict(zip(names, row[:4], strict=True)) | {"updated_at": _text(row[4]), "created": row[5]}
        return web.json_response(answer, status=201)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": error.text}, status=error.status)
    except (psycopg.Error, PoolTimeout) as error:
        # The class says enough; the text may hold parts of the connection string.
        return web.json_response({"status": "unavailable", "error": type(error).__name__}, status=503)


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        # Not request.json(): it would decode with whatever charset the request names.
        raw = await request.read() if request.can_read_body else b""
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPUnprocessableEntity(text="the body must be an object")
    return body


def _storable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _integer(request: web.Request, name: str, usual: int) -> int:
    try:
        return max(0, min(1000, int(request.query.get(name, usual))))
    except ValueError:
        raise web.HTTPUnprocessableEntity(text=f"{name} must be a number") from None


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
