# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a running timeline's data, so that later forks do not replay its log from the beginning."""

from __future__ import annotations

from pathlib import Path

from sandbox.postgres.cluster import copy_data, give, remove_folder
from sandbox.postgres.model import Base, Timeline, new_id
from sandbox.postgres.site import Site
from sandbox.postgres.wal import parse_lsn

LOG_BYTES = 24 << 20
"""A fork that would replay more than this is worth a copy: replaying takes about 5 s a gigabyte."""


def wanted(timeline: Timeline, lsn: int) -> bool:
    """Whether much was written since the last copy (or since the timeline began): more than a copy is big, too,
    so that copies never take more space than the log."""
    written = lsn - max([timeline.own_from, *(base.start for base in timeline.bases)])
    return written > max(LOG_BYTES, timeline.size or 0)


async def take(site: Site, port: int, data: Path) -> Base:
    """Copies the data directory while the server runs. Raises `EngineError` and psycopg's errors."""
    target = site.bases / new_id()
    begin, end = "pg_backup_start('sandbox', true)", "pg_backup_stop(false)"
    if site.binaries.major < 15:
        begin, end = "pg_start_backup('sandbox', true, false)", "pg_stop_backup(false)"
    try:
        async with await site.administrator.connect(port) as connection:
            cursor = await connection.execute(f"SELECT {begin}::text")
            started = await cursor.fetchone()
            await copy_data(data, target, site.binaries.identity)
            cursor = await connection.execute(f"SELECT lsn::text, labelfile FROM {end}")
            stopped = await cursor.fetchone()
    except BaseException:
        await remove_folder(target)
        raise
    assert started and stopped
    label = target / "backup_label"
    label.write_text(stopped[1])
    label.chmod(0o600)
    give(label, site.binaries.identity)
    return Base(str(target.relative_to(site.root)), parse_lsn(started[0]), parse_lsn(stopped[0]))
