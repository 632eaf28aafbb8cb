# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a branch in place: the branch keeps its id, name, endpoints and host and gets other data."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.branches import fork
from sandbox.neon.calls import Answer, Call, text_of
from sandbox.neon.endpoints import start_step, suspend_step
from sandbox.neon.errors import NeonError, invalid
from sandbox.neon.limits import check_slots
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record, new_branch
from sandbox.neon.times import rfc3339
from sandbox.neon.window import locate
from sandbox.postgres.engine import Position

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_PRESERVED = (
    "timeline",
    "position",
    "history_start",
    "history_lsn",
    "logical_size",
    "init_source",
    "restored_from",
    "restore_status",
)


class Restores:
    """Handler of /projects/{p}/branches/{b}/restore."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def restore(self, call: Call) -> Answer:
        """POST. The old state becomes a new branch ``preserve_under_name`` that takes all children along.

        For a source that is the branch itself the answer's ``parent_id`` is that preserved branch. Everything that
        a client sees changes in one step; the data follows in operations, and connections are dropped.
        """
        project, target, wanted = call.project, call.branch, call.body
        source_id = text_of(wanted, "source_branch_id")
        if source_id is None:
            raise invalid("source_branch_id is required")
        source = project.branch(source_id)
        timestamp, lsn = text_of(wanted, "source_timestamp"), text_of(wanted, "source_lsn")
        # First: a branch that is just being restored is locked, not unfit.
        self.service.operations.check_free(project)
        lineage.check_restore_target(project, target, self.service.clock.now())
        lineage.check_ready(source)
        itself = source["id"] == target["id"]
        if itself and timestamp is None and lsn is None:
            raise invalid("source_timestamp or source_lsn is required to restore a branch from itself")
        name = text_of(wanted, "preserve_under_name")
        if name is None and lineage.needs_preserve(project, target, source):
            raise NeonError(422, "Branch has children, preserve_under_name is required")
        if not itself:
            lineage.check_parent(source)
        if name is not None:
            lineage.check_name(project, name)
            roots = int(itself and lineage.is_root(target))
            check_slots(project, self.service.plan(project), branches=1, roots=roots)
        await self.service.learn(project, source)
        position = await locate(self.service, project, source, timestamp=timestamp, lsn=lsn)
        roles, databases = self.service.catalogue(position, source, keep=target["roles"])
        becomes_root = itself and lineage.is_root(target)
        old_timeline = target["timeline"]
        preserved = self._preserve(project, target, name) if name is not None else None
        lineage.reparent(project, target, source, preserved)
        self._reset(target, position, timestamp=timestamp, lsn=lsn, itself=itself)
        target["roles"], target["databases"] = roles, databases
        if becomes_root and preserved is not None:
            target["detaching"] = preserved["id"]
        steps = self._steps(project, target, old_timeline, discard=preserved is None)
        operations = self.service.operations.schedule(project, steps)
        return 200, self.service.branches.with_operations(project, target, operations)

    def _preserve(self, project: Project, target: Record, name: str) -> Record:
        now = self.service.clock.now()
        preserved = new_branch(self.service.ids.fresh("br", project.branches), name, now)
        preserved |= {key: target[key] for key in _PRESERVED}
        preserved["roles"] = {key: dict(role) for key, role in target["roles"].items()}
        preserved["databases"] = {key: dict(database) for key, database in target["databases"].items()}
        preserved |= {"current_state": "ready", "pending_state": None}
        project.branches[preserved["id"]] = preserved
        return preserved

    def _reset(
        self, target: Record, position: Position, *, timestamp: str | None, lsn: str | None, itself: bool
    ) -> None:
        now = self.service.clock.now()
        history = {key: target[key] for key in ("history_start", "history_lsn")}
        fork(target, position, timestamp=timestamp, lsn=lsn)
        if itself:
            # Its own past stays reachable: that is what makes a second restore to an earlier instant possible.
            target |= history
        target |= {"timeline": None, "last_reset_at": rfc3339(now), "updated_at": rfc3339(now)}
        target |= {"current_state": "resetting", "pending_state": "ready", "state_changed_at": rfc3339(now)}
        _renew_expiry(target, now)

    def _steps(self, project: Project, target: Record, old_timeline: str, *, discard: bool) -> list[Step]:
        running = [e for e in project.endpoints_of(target["id"]) if e["current_state"] == "active"]
        arguments = {"detach": target["detaching"]} if target["detaching"] else {}
        least = self.service.settings.restore_ready_seconds
        steps = [suspend_step(endpoint, old_timeline) for endpoint in running]
        steps.append(Step("create_branch", "create_branch", target["id"], None, arguments, least))
        steps += [start_step(endpoint) for endpoint in running]
        if discard:
            timelines = {"timelines": [old_timeline]}
            steps.append(Step("delete_timeline", "delete_timelines", target["id"], arguments=timelines))
        return steps


def _renew_expiry(branch: Record, now: datetime) -> None:
    if branch["expires_at"] is not None:
        lineage.set_expiry(branch, now + timedelta(seconds=branch["ttl_interval_seconds"]), now)
