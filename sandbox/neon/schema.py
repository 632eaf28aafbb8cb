# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of a branch's database, now or at a point in time, and the difference between two."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.calls import Answer, Call
from sandbox.neon.errors import ComputeUnavailable, NeonError, invalid, not_found
from sandbox.neon.state import Record
from sandbox.neon.window import locate

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
           NOT a.attnotnull, a.attgenerated <> ''
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    ORDER BY n.nspname, c.relname, a.attnum
"""
_NAMES = """
    (SELECT array_agg(a.attname::text ORDER BY k.n)
     FROM unnest({keys}) WITH ORDINALITY k (attnum, n)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = {table} AND a.attnum = k.attnum)
"""
_CONSTRAINTS = f"""
    SELECT n.nspname, c.relname, o.conname,
           CASE o.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' ELSE 'foreign_key' END,
           {_NAMES.format(keys="o.conkey", table="o.conrelid")},
           fn.nspname, fc.relname,
           {_NAMES.format(keys="o.confkey", table="o.confrelid")}
    FROM pg_catalog.pg_constraint o
    JOIN pg_catalog.pg_class c ON c.oid = o.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_class fc ON fc.oid = o.confrelid
    LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
    WHERE o.contype IN ('p', 'u', 'f') AND n.nspname NOT LIKE 'pg\\_%'
    ORDER BY n.nspname, c.relname, o.conname
"""


class Schemas:
    """Handlers of /projects/{p}/branches/{b}/schema and compare_schema."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def get(self, call: Call) -> Answer:
        """GET /schema: DDL text, or tables as JSON with ``format=json``."""
        kind = call.query("format") or "sql"
        if kind not in ("sql", "json"):
            raise invalid("format must be sql or json")
        name = call.required("db_name")
        point = (call.query("timestamp"), call.query("lsn"))
        if kind == "sql":
            return 200, {"sql": await self._sql(call, call.branch, name, point)}
        async with self._timeline(call, call.branch, name, point) as timeline:
            return 200, {"json": await self._tables(timeline, name)}

    async def compare(self, call: Call) -> Answer:
        """GET /compare_schema: a unified diff from the base (default: the parent) to the branch, "" when equal."""
        name, branch = call.required("db_name"), call.branch
        base = call.project.branch(call.query("base_branch_id") or branch["parent_id"] or branch["id"])
        old = await self._sql(call, base, name, (call.query("base_timestamp"), call.query("base_lsn")))
        new = await self._sql(call, branch, name, (call.query("timestamp"), call.query("lsn")))
        lines = difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), fromfile=f"a/{name}", tofile=f"b/{name}"
        )
        return 200, {"diff": "".join(line if line.endswith("\n") else line + "\n" for line in lines)}

    async def _sql(self, call: Call, branch: Record, database: str, point: tuple[str | None, str | None]) -> str:
        async with self._timeline(call, branch, database, point) as timeline:
            return await self.service.engine.dump_schema(timeline, database)

    @asynccontextmanager
    async def _timeline(
        self, call: Call, branch: Record, database: str, point: tuple[str | None, str | None]
    ) -> AsyncIterator[str]:
        """A running timeline with the branch's data at `point` (instant, LSN); made and removed for a past one."""
        lineage.check_ready(branch)
        timestamp, lsn = point
        past = None
        if timestamp is not None or lsn is not None:
            position = await locate(self.service, call.project, branch, timestamp=timestamp, lsn=lsn)
            past = await self.service.engine.branch(position)
        timeline = past or branch["timeline"]
        try:
            async with self.service.computes.hold(timeline):
                found = await self.service.engine.execute(
                    timeline, "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s AND datallowconn", (database,)
                )
                if not found:
                    raise not_found("database")
                yield timeline
        except ComputeUnavailable as error:
            raise NeonError(503, str(error)) from None
        finally:
            if past is not None:
                await self.service.discard(past)

    async def _tables(self, timeline: str, database: str) -> Record:
        tables: dict[tuple[str, str], Record] = {}
        engine = self.service.engine
        for schema, table, column, kind, nullable, generated in await engine.execute(
            timeline, _COLUMNS, database=database
        ):
            found = tables.setdefault(
                (schema, table), {"schema": schema, "name": table, "columns": [], "constraints": []}
            )
            found["columns"].append({"name": column, "type": kind, "nullable": nullable, "generated": generated})
        for schema, table, name, kind, columns, other_schema, other, keys in await engine.execute(
            timeline, _CONSTRAINTS, database=database
        ):
            constraint: Record = {"type": kind, "columns": columns, "name": name}
            if other is not None:
                constraint["referenced_table"] = {"schema": other_schema, "table": other, "columns": keys}
            tables[(schema, table)]["constraints"].append(constraint)
        return {"tables": list(tables.values())}
