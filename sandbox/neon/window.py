# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an instant or LSN that a client names to a position, inside the history window or refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.neon.errors import NeonError, invalid, told
from sandbox.neon.state import Project, Record
from sandbox.neon.times import go_duration, go_time, lsn_number, parse_instant, parse_lsn, rfc3339, stored
from sandbox.postgres.engine import BeforeHistory, Position

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService


def window_start(service: NeonService, project: Project) -> datetime:
    """The oldest instant that the project's history window still holds."""
    return service.clock.now() - timedelta(seconds=project.record["history_retention_seconds"])


async def locate(
    service: NeonService, project: Project, branch: Record, *, timestamp: str | None, lsn: str | None
) -> Position:
    """The position on `branch` at `timestamp` or at `lsn`, or its head when neither is given.

    PostgreSQL's commit times are real time, so the instant is looked up as it was given; only the window is the
    control plane's. An instant before a branch's own beginning is refused (what the real API does there is not
    known; a client that relies on it reaching into the parent must fail here). Raises `NeonError` 400.
    """
    if timestamp is not None and lsn is not None:
        raise invalid("only one of timestamp and LSN can be specified")  # wording unproven
    try:
        if timestamp is not None:
            return await _at_instant(service, project, branch, parse_instant(timestamp))
        if lsn is not None:
            return await _at_lsn(service, project, branch, parse_lsn(lsn))
    except BeforeHistory:
        raise invalid("the requested point in time is before the branch was created") from None
    return await service.engine.head(branch["timeline"])


async def _at_instant(service: NeonService, project: Project, branch: Record, at: datetime) -> Position:
    retention = go_duration(project.record["history_retention_seconds"])
    if at > service.clock.now():
        raise invalid(told("timestamp is in the future", timestamp=go_time(at)))  # wording unproven
    if at < window_start(service, project):
        raise NeonError(
            400, told("timestamp is before retention window", timestamp=go_time(at), retention_window=retention)
        )
    start = stored(branch["history_start"])
    if at < start:
        raise invalid(
            told("timestamp is before the branch was created", timestamp=go_time(at), created_at=go_time(start))
        )
    return await service.engine.resolve(branch["timeline"], at=at)


async def _at_lsn(service: NeonService, project: Project, branch: Record, lsn: str) -> Position:
    head = await service.engine.head(branch["timeline"])
    if lsn_number(lsn) > lsn_number(head.lsn):
        raise invalid(told("LSN is in the future", lsn=lsn))  # wording unproven
    if lsn_number(lsn) < lsn_number(branch["history_lsn"]):
        raise invalid(told("LSN is before the branch was created", lsn=lsn))
    start = window_start(service, project)
    if start > stored(branch["history_start"]):
        oldest = await service.engine.resolve(branch["timeline"], at=start)
        if lsn_number(lsn) < lsn_number(oldest.lsn):
            retention = go_duration(project.record["history_retention_seconds"])
            raise invalid(told("LSN is before retention window", lsn=lsn, retention_window=retention))
    return await service.engine.resolve(branch["timeline"], lsn=lsn)


def begins_at(branch: Record, position: Position) -> None:
    """Notes `position` as the first point of a branch that a client can go back to."""
    branch["history_start"] = rfc3339(position.time)
    branch["history_lsn"] = position.lsn
