# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens by the clock: expired branches and snapshots go, schedules run, idle computes suspend."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.endpoints import suspend_step
from sandbox.neon.errors import NeonError
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339, stored

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

logger = logging.getLogger("sandbox.neon")

MEASURE_SECONDS = 30.0
_ACTIVITY = """
    SELECT count(*) FILTER (WHERE state <> 'idle'), max(state_change)::text
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND usename <> 'cloud_admin'
"""


class Housekeeping:
    """The background job of the service."""

    def __init__(self, service: NeonService) -> None:
        self.service = service
        self._measured = time.monotonic()

    async def run(self) -> None:
        """Looks at everything every ``neon.expiry_poll_seconds``, for ever."""
        while True:
            await self.service.clock.sleep(max(0.02, self.service.settings.expiry_poll_seconds))
            try:
                await self.tick()
            except Exception:
                logger.exception("housekeeping failed and will go on")

    async def tick(self) -> None:
        """One look. A project whose operations run is left for the next one."""
        for project in self.service.state.projects():
            try:
                await self._look_at(project)
            except Exception:
                # What is wrong with one project must not stop the clock of the others.
                logger.exception("housekeeping of project %s failed and will go on", project.id)
        if time.monotonic() - self._measured > MEASURE_SECONDS:
            self._measured = time.monotonic()
            await self._measure()

    async def _look_at(self, project: Project) -> None:
        async with self.service.writing(project):
            if not self.service.operations.busy(project):
                self._expire(project)
            if not self.service.operations.busy(project):
                await self.service.schedules.run_due(project)
            if not self.service.operations.busy(project):
                await self._suspend_idle(project)

    def _expire(self, project: Project) -> None:
        now = self.service.clock.now()
        for branch in _due(list(project.branches.values()), rfc3339(now)):
            try:
                lineage.check_deletable(project, branch)
            except NeonError as error:
                logger.warning("branch %s expired and stays: %s", branch["id"], error)
                lineage.set_expiry(branch, None, now)
                self.service.state.save()
            else:
                self.service.branches.remove(project, branch)
        for snapshot in _due(list(project.snapshots.values()), rfc3339(now)):
            self.service.snapshots.remove(project, snapshot)

    async def _suspend_idle(self, project: Project) -> None:
        steps = []
        for endpoint in list(project.endpoints.values()):
            if await self._is_idle(project, endpoint):
                steps.append(suspend_step(endpoint, None))
        self.service.operations.schedule(project, steps)

    async def _is_idle(self, project: Project, endpoint: Record) -> bool:
        timeout = endpoint["suspend_timeout_seconds"] or self.service.settings.suspend_timeout_seconds
        if endpoint["current_state"] != "active" or endpoint["pending_state"] is not None or timeout < 0:
            return False
        now = self.service.clock.now()
        if (now - stored(endpoint["last_active"] or endpoint["created_at"])).total_seconds() < timeout:
            return False
        timeline = project.branches[endpoint["branch_id"]]["timeline"]
        if not timeline or not self.service.engine.is_running(timeline):
            return True
        busy, changed = (await self.service.engine.execute(timeline, _ACTIVITY))[0]
        # An idle connection keeps no compute up, a query since the last look does.
        if busy or (changed is not None and changed != endpoint["seen_state_change"]):
            endpoint |= {"seen_state_change": changed, "last_active": rfc3339(now)}
            return False
        return True

    async def _measure(self) -> None:
        for project in self.service.state.projects():
            for endpoint in list(project.endpoints.values()):
                branch = project.branches.get(endpoint["branch_id"])
                if endpoint["current_state"] == "active" and branch and branch["timeline"]:
                    await self.service.computes.measure(branch["timeline"])


def _due(records: list[Record], now: str) -> list[Record]:
    return [r for r in records if r["expires_at"] is not None and stored(r["expires_at"]) <= stored(now)]
