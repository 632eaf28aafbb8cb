# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup schedules: snapshots that are taken by the clock."""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.neon.calls import Answer, Call
from sandbox.neon.errors import NeonError, invalid
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339, stored

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

MAX_RETENTION = 3024000
_FREQUENCIES = ("daily", "weekly", "monthly")
_RANGES = {"hour": (0, 23), "day": (1, 31), "month": (1, 12), "retention_seconds": (3600, MAX_RETENTION)}


class Schedules:
    """Handlers of /projects/{p}/branches/{b}/backup_schedule, and the job that follows the schedules."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def get(self, call: Call) -> Answer:
        """GET."""
        return 200, {"schedule": [_shown(item) for item in call.branch["schedule"]]}

    async def put(self, call: Call) -> Answer:
        """PUT: replaces it; an empty list disables. Root branches on paid plans only (statuses unproven)."""
        branch, items = call.branch, call.body.get("schedule")
        if not isinstance(items, list):
            raise invalid("schedule must be a list")
        if self.service.plan(call.project).name == "free" and items:
            raise NeonError(412, "backup schedules are not available on your plan")
        if items:
            self.service.snapshots.check_source(branch)
        now = self.service.clock.now()
        checked = [_checked(item) for item in items]
        branch["schedule"] = [item | {"next": rfc3339(next_run(item, now))} for item in checked]
        branch["updated_at"] = rfc3339(now)
        self.service.state.save()
        return 200, {}

    async def run_due(self, project: Project) -> None:
        """Takes the snapshots that are due, one per item however long the clock jumped."""
        now = self.service.clock.now()
        for branch in list(project.branches.values()):
            for item in branch["schedule"]:
                if stored(item["next"]) > now or self.service.operations.busy(project):
                    continue
                item["next"] = rfc3339(next_run(item, now))
                if branch["parent_id"] is not None or branch["timeline"] is None:
                    continue
                position = await self.service.engine.head(branch["timeline"])
                snapshot = self.service.snapshots.add(project, branch, position, name=None, manual=False)
                kept = timedelta(seconds=item.get("retention_seconds") or MAX_RETENTION)
                snapshot["expires_at"] = rfc3339(now + kept)
                self.service.snapshots.schedule(project, snapshot)


def _shown(item: Record) -> Record:
    return {key: value for key, value in item.items() if key != "next"}


def _checked(item: object) -> Record:
    if not isinstance(item, dict) or item.get("frequency") not in _FREQUENCIES:
        raise invalid("frequency must be daily, weekly or monthly")
    found: Record = {"frequency": item["frequency"]}
    for name, (least, most) in _RANGES.items():
        value = item.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise invalid(f"{name} must be between {least} and {most}")
        found[name] = value
    return found


def next_run(item: Record, now: datetime) -> datetime:
    """The first instant after `now` at which a schedule item is due (UTC; day 1 of a week is Monday)."""
    hour = now.replace(hour=item.get("hour", 0), minute=0, second=0, microsecond=0)
    for days in range(400):
        due = hour + timedelta(days=days)
        if due > now and _falls_on(item, due):
            return due
    return now + timedelta(days=400)


def _falls_on(item: Record, day: datetime) -> bool:
    wanted = int(item.get("day", 1))
    if item["frequency"] == "weekly":
        return day.isoweekday() == (wanted - 1) % 7 + 1
    if item["frequency"] == "monthly":
        return day.day == min(wanted, calendar.monthrange(day.year, day.month)[1])
    return True
