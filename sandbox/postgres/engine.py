# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The branch engine: timelines of real PostgreSQL that fork at any instant or LSN.

A timeline is a data directory of its own; its ``pg_wal`` is kept whole and is the archive from which its
children are made. Forking is metadata. The data of a fork is made when it is first used: the nearest base copy,
the ancestors' logs, and PostgreSQL's own recovery up to exactly the record asked for.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from sandbox.postgres import bases
from sandbox.postgres.binaries import Binaries
from sandbox.postgres.certificates import Certificates
from sandbox.postgres.cluster import copy_data, end_stray, remove_folder
from sandbox.postgres.history import History
from sandbox.postgres.model import (
    BeforeHistory,
    EngineError,
    HasChildren,
    Position,
    Timeline,
    UnknownTimeline,
    new_id,
    now,
)
from sandbox.postgres.recovery import make_plan
from sandbox.postgres.schema import dump
from sandbox.postgres.servers import Servers
from sandbox.postgres.site import Site
from sandbox.postgres.time_travel import TimeTravel
from sandbox.postgres.wal import parse_lsn

__all__ = ["BeforeHistory", "Engine", "EngineError", "HasChildren", "Position", "UnknownTimeline"]

logger = logging.getLogger("sandbox.postgres")


class Engine:
    """All timelines below one folder. One per daemon; every method runs on the daemon's event loop.

    ``on_materialised`` is awaited with a timeline's id after its data was made and before anyone uses it.
    Roles and passwords are data and travel back in time with it: this is the place to apply today's.
    """

    def __init__(self, root: Path, binaries: Binaries, store_section: dict[str, Any], save: Callable[[], None]) -> None:
        """`store_section` is the engine's own part of the store; `save` makes its changes durable."""
        self.root = root
        self.binaries = binaries
        self.on_materialised: Callable[[str], Awaitable[None]] | None = None
        self.site = Site(root, binaries, store_section, save)
        self.time_travel = TimeTravel(self.site)
        self._servers = Servers(self.site, self._materialised)
        self._history = History(self.site, self._servers, self._consider_base)
        self._copying: set[str] = set()

    # -- life ----------------------------------------------------------------------------------------------------

    @property
    def backend_tls(self) -> bool:
        """Whether the servers speak TLS (a matter of the build); known after `start`."""
        return self.site.template.tls

    @property
    def certificates(self) -> Certificates:
        """The sandbox's authority and certificates; there after `start`."""
        return self.site.certificates

    @property
    def admin_password(self) -> str:
        """The password of ``cloud_admin`` on every timeline; known after `start`."""
        return self.site.administrator.password

    @property
    def data_folders(self) -> list[Path]:
        """Folders whose children are data directories: what the watchdog must look through."""
        return self.site.data_folders

    async def start(self) -> None:
        """Makes folders, certificates and template where missing, and repairs what a kill left.

        Raises `EngineError` with what is wrong and what to do.
        """
        await self.site.prepare()
        await self._end_strays()
        for timeline in self.site.catalog:
            await self._recover(timeline)
        for timeline in self.site.catalog:
            if timeline.hidden and not self.children(timeline.id):
                await self._remove(timeline)
        await self._remove_unknown()

    async def _end_strays(self) -> None:
        for folder in (self.site.timelines, self.site.past):
            for data in [entry for entry in folder.iterdir() if entry.is_dir()]:
                await end_stray(data)

    async def _recover(self, timeline: Timeline) -> None:
        data = self.site.timelines / timeline.id
        if timeline.state == "building":  # nobody has used it yet: it is made again when it is needed
            await remove_folder(data)
            if timeline.parent is None:
                self.site.catalog.remove(timeline)
            else:
                timeline.state = "lazy"
                self.site.catalog.put(timeline)
        elif timeline.state == "deleting":
            await self._remove(timeline)
        elif timeline.state == "ready":
            kept = (data / "PG_VERSION").read_text().strip()
            if kept != str(self.binaries.major):
                raise EngineError(
                    f"the data in {self.root} was made by PostgreSQL {kept}, and {self.binaries.source} is "
                    f"{self.binaries.version}: reset the sandbox, or point it to PostgreSQL {kept}"
                )

    async def _remove_unknown(self) -> None:
        known = {timeline.id for timeline in self.site.catalog}
        copies = {self.root / base.path for timeline in self.site.catalog for base in timeline.bases}
        unknown = [entry for entry in self.site.timelines.iterdir() if entry.name.removesuffix(".log") not in known]
        unknown += [entry for entry in self.site.bases.iterdir() if entry not in copies]
        for entry in (*unknown, *self.site.past.iterdir()):
            await remove_folder(entry) if entry.is_dir() else entry.unlink()

    async def stop(self) -> None:
        """Stops every server in order. Nothing is lost by not calling this."""
        await self.time_travel.close()
        await self._servers.stop_all()

    # -- history -------------------------------------------------------------------------------------------------

    async def create_root(self) -> str:
        """A new history: an empty cluster with nothing but the owners' group. Returns the timeline's id."""
        template = self.site.template
        timeline = Timeline(new_id(), "building", tli=1, own_from=template.base.start, bases=[template.base])
        timeline.fork_time = timeline.own_since = now().isoformat()
        self.site.catalog.put(timeline)
        await copy_data(template.folder, self.site.timelines / timeline.id, self.binaries.identity, log=True)
        timeline.state = "ready"
        self.site.catalog.put(timeline)
        return timeline.id

    async def head(self, timeline: str) -> Position:
        """The position after everything that was committed before this call. A suspended timeline stays so."""
        return await self._history.head(timeline)

    async def resolve(self, timeline: str, *, at: datetime | None = None, lsn: str | None = None) -> Position:
        """Where an instant or an LSN lies on a timeline or its ancestors; without either the head.

        `at` needs a zone and is exact to the microsecond against ``pg_xact_commit_timestamp``: what was committed
        at or before it is in. An instant or LSN beyond the head means the head. Raises `BeforeHistory`,
        ValueError for a time without a zone or a malformed LSN.
        """
        known = self.site.catalog.get(timeline)
        if at is not None and lsn is not None:
            raise ValueError("an instant and an LSN cannot both be given")
        if at is not None:
            if at.tzinfo is None:
                raise ValueError("an instant needs a time zone")
            return await self._history.at_instant(known, at)
        if lsn is not None:
            return await self._history.at_lsn(known, parse_lsn(lsn))
        return await self.head(timeline)

    async def branch(self, position: Position) -> str:
        """Forks at a position; nothing is copied yet. Returns the new timeline's id."""
        catalog = self.site.catalog
        parent = catalog.any(position.timeline)
        lsn = parse_lsn(position.lsn)
        while parent.state == "lazy" and parent.parent:  # it has no log of its own to fork from
            lsn = min(lsn, parent.fork_lsn)
            parent = catalog.any(parent.parent)
        make_plan(catalog, parent.id, lsn)  # raises when it could never be made
        instant = position.time.isoformat()
        child = Timeline(new_id(), "lazy", parent.id, lsn, fork_time=instant, size=parent.size)
        catalog.put(child)
        return child.id

    def exists(self, timeline: str) -> bool:
        """Whether there is such a timeline."""
        with contextlib.suppress(UnknownTimeline):
            self.site.catalog.get(timeline)
            return True
        return False

    def timelines(self) -> list[str]:
        """The ids of all timelines."""
        return [timeline.id for timeline in self.site.catalog if self.exists(timeline.id)]

    def children(self, timeline: str) -> list[str]:
        """The ids of those whose history continues from this one's log (a fork of a fork that has no log of its
        own yet belongs to the first one that has)."""
        return self.site.catalog.children(timeline)

    async def delete(self, timeline: str, *, keep_history: bool = False) -> None:
        """Deletes a timeline and its data.

        While others were forked from it this raises `HasChildren`, or with `keep_history` makes it unknown
        at once and removes the data with its last child (what remains of a parent after a detachment).
        """
        known = self.site.catalog.get(timeline)
        if (children := self.children(timeline)) and not keep_history:
            raise HasChildren(timeline, children)
        if children:
            known.hidden = True
            self.site.catalog.put(known)
            await self._servers.stop(timeline)
        else:
            await self._remove(known)

    async def _remove(self, timeline: Timeline) -> None:
        timeline.state = "deleting"
        self.site.catalog.put(timeline)
        await self._servers.stop(timeline.id)
        await self.time_travel.forget(timeline.id)
        await remove_folder(self.site.timelines / timeline.id)
        (self.site.timelines / f"{timeline.id}.log").unlink(missing_ok=True)
        for base in timeline.bases:
            if (self.root / base.path).parent == self.site.bases:
                await remove_folder(self.root / base.path)
        self.site.catalog.remove(timeline)
        self._servers.forget(timeline.id)
        if timeline.parent:
            parent = self.site.catalog.any(timeline.parent)
            if parent.hidden and not self.children(parent.id):
                await self._remove(parent)

    # -- servers -------------------------------------------------------------------------------------------------

    async def ensure_running(self, timeline: str) -> int:
        """Makes the data if there is none yet, starts the server if none runs, and returns its port.

        It runs until `stop_timeline`. Raises `EngineError`.
        """
        return await self._servers.run(timeline)

    async def stop_timeline(self, timeline: str) -> None:
        """Stops the server, also under clients. Nothing happens when none runs."""
        await self._servers.stop(timeline)

    def is_running(self, timeline: str) -> bool:
        """Whether `ensure_running` has started it and it still runs."""
        return self._servers.is_wanted(timeline)

    async def _materialised(self, timeline: str) -> None:
        if self.on_materialised:
            await self.on_materialised(timeline)

    def _consider_base(self, timeline: Timeline, lsn: int) -> None:
        if bases.wanted(timeline, lsn) and timeline.id not in self._copying:
            self._copying.add(timeline.id)
            self._servers.spawn(self._take_base(timeline))

    async def _take_base(self, timeline: Timeline) -> None:
        try:
            async with self._servers.borrow(timeline.id) as port:
                base = await bases.take(self.site, port, self.site.timelines / timeline.id)
            if self.exists(timeline.id):
                timeline.bases.append(base)
                self.site.catalog.put(timeline)
        except (EngineError, psycopg.Error, OSError) as error:  # without it forks only take longer
            logger.info("no base copy of %s: %s", timeline.id, error)
        finally:
            self._copying.discard(timeline.id)

    # -- SQL -----------------------------------------------------------------------------------------------------

    async def size(self, timeline: str) -> int | None:
        """Bytes of all databases: now when the server runs, else when last seen, else None."""
        known = self.site.catalog.get(timeline)
        if self._servers.is_up(timeline):
            rows = await self.execute(timeline, "SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
            known.size = int(rows[0][0])
            self.site.catalog.put(known)
        return known.size

    async def execute(
        self, timeline: str, sql: str, params: Sequence[Any] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """One statement as ``cloud_admin``, outside a transaction block; its rows. A suspended server is started
        for it and stopped again a little later. Raises `EngineError` and psycopg's errors."""
        async with self._servers.borrow(timeline) as port:
            return await self.site.administrator.execute(port, sql, params, database=database)

    async def create_role(self, timeline: str, name: str, password: str | None) -> None:
        """A role as Neon makes them, in the group ``neon_superuser``; without a password it cannot log in."""
        async with self._servers.borrow(timeline) as port:
            await self.site.administrator.create_role(port, name, password)

    async def apply_passwords(self, timeline: str, passwords: Mapping[str, str]) -> None:
        """Sets the password of each of these roles that exists on the timeline."""
        async with self._servers.borrow(timeline) as port:
            await self.site.administrator.apply_passwords(port, passwords)

    async def create_database(self, timeline: str, name: str, owner: str) -> None:
        """A database that belongs to a role."""
        async with self._servers.borrow(timeline) as port:
            await self.site.administrator.create_database(port, name, owner)

    async def dump_schema(self, timeline: str, database: str) -> str:
        """The database's schema as DDL. The same schema gives the same text on every timeline.

        Raises psycopg.OperationalError for a database that does not exist.
        """
        async with (
            self._servers.borrow(timeline) as port,
            await self.site.administrator.connect(port, database) as connection,
        ):
            return await dump(connection)

    async def open_time_travel(self, timeline: str, *, at: datetime | None = None, lsn: str | None = None) -> int:
        """The port of a read-only server that shows the timeline as it was; the same one for the same position.

        It stops and is deleted some seconds after its last session ended. Raises as `resolve` does.
        """
        return await self.time_travel.open(await self.resolve(timeline, at=at, lsn=lsn))
