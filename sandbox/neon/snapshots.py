# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots: create, list, change, delete, restore to a new root branch and put that in the old one's place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.branches import fork
from sandbox.neon.calls import Answer, Call, flag_of, text_of
from sandbox.neon.endpoints import start_step, suspend_step
from sandbox.neon.errors import NeonError, invalid, told
from sandbox.neon.limits import check_slots, check_snapshot_slot
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record, new_branch, position_record
from sandbox.neon.times import parse_instant, rfc3339
from sandbox.neon.views import endpoint_view, operation_view, snapshot_view
from sandbox.neon.window import locate
from sandbox.postgres.engine import Position

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_SLUG = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class Snapshots:
    """Handlers of snapshots and of finalize_restore."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def create(self, call: Call) -> Answer:
        """POST /branches/{b}/snapshot: everything comes in the query. Root branches only."""
        project, branch = call.project, call.branch
        self.check_source(branch)
        slug = call.query("slug")
        if slug is not None:
            if not _SLUG.fullmatch(slug):
                raise invalid(told("invalid snapshot slug", slug=slug))
            if any(slug == snapshot["slug"] for snapshot in project.snapshots.values()):
                raise NeonError(409, told("snapshot already exists", slug=slug))
        expires = call.query("expires_at")
        expires_at = parse_instant(expires) if expires is not None else None
        if expires_at is not None and expires_at <= self.service.clock.now():
            raise invalid("expires_at must be in the future")
        self.service.operations.check_free(project)
        check_snapshot_slot(self.service.plan(project), sum(1 for s in project.snapshots.values() if s["manual"]))
        timestamp, lsn = call.query("timestamp"), call.query("lsn")
        await self.service.learn(project, branch)
        position = await locate(self.service, project, branch, timestamp=timestamp, lsn=lsn)
        snapshot = self.add(project, branch, position, name=call.query("name"), manual=True)
        snapshot["slug"] = slug
        snapshot["expires_at"] = rfc3339(expires_at) if expires_at is not None else None
        if timestamp is not None:
            snapshot["timestamp"] = rfc3339(parse_instant(timestamp))
        operations = self.schedule(project, snapshot)
        return 200, {"snapshot": snapshot_view(snapshot), "operations": self._shown(project, operations)}

    def check_source(self, branch: Record) -> None:
        """Refuses snapshots of anything but a ready root (status and wording unproven). Raises `NeonError` 422."""
        lineage.check_ready(branch)
        if branch["parent_id"] is not None:
            raise NeonError(422, "snapshots can be created only from root branches")

    def add(self, project: Project, branch: Record, position: Position, *, name: str | None, manual: bool) -> Record:
        """Adds a snapshot of `branch` at `position`."""
        now = self.service.clock.now()
        roles, databases = self.service.catalogue(position, branch)
        snapshot = {
            "id": self.service.ids.fresh("snap", project.snapshots),
            "name": name or f"{branch['name']} at {now:%Y-%m-%d %H:%M:%S} UTC",
            "lsn": position.lsn,
            "timestamp": rfc3339(position.time),
            "source_branch_id": branch["id"],
            "created_at": rfc3339(now),
            "expires_at": None,
            "manual": manual,
            "full_size": branch["logical_size"],
            "slug": None,
            "timeline": None,
            "position": position_record(position),
            "roles": roles,
            "databases": databases,
        }
        project.snapshots[snapshot["id"]] = snapshot
        return snapshot

    def schedule(self, project: Project, snapshot: Record) -> list[Record]:
        """The operations that make a snapshot's data its own."""
        source = snapshot["source_branch_id"]
        steps = [
            Step("create_branch", "create_snapshot", source, arguments={"snapshot": snapshot["id"]}),
            Step("timeline_archive", branch_id=source),
        ]
        return self.service.operations.schedule(project, steps)

    async def page(self, call: Call) -> Answer:
        """GET all."""
        return 200, {"snapshots": [snapshot_view(snapshot) for snapshot in call.project.snapshots.values()]}

    async def change(self, call: Call) -> Answer:
        """PATCH: name, expiry (null clears)."""
        snapshot, wanted = call.project.snapshot(call.path("snapshot_id")), call.part("snapshot", required=True)
        name = text_of(wanted, "name")
        if "expires_at" in wanted:
            expires = None if wanted["expires_at"] is None else parse_instant(wanted["expires_at"])
            if expires is not None and expires <= self.service.clock.now():
                raise invalid("expires_at must be in the future")
            snapshot["expires_at"] = rfc3339(expires) if expires is not None else None
        snapshot["name"] = name or snapshot["name"]
        self.service.state.save()
        return 200, {"snapshot": snapshot_view(snapshot)}

    async def delete(self, call: Call) -> Answer:
        """DELETE: 202. Branches that were restored from it stay."""
        project = call.project
        snapshot = project.snapshot(call.path("snapshot_id"))
        self.service.operations.check_free(project)
        return 202, {"operations": self._shown(project, self.remove(project, snapshot))}

    def remove(self, project: Project, snapshot: Record) -> list[Record]:
        """Takes a snapshot away and schedules the end of its data."""
        del project.snapshots[snapshot["id"]]
        timelines = [snapshot["timeline"]] if snapshot["timeline"] else []
        step = Step("delete_timeline", "delete_timelines", arguments={"timelines": timelines})
        return self.service.operations.schedule(project, [step])

    async def restore(self, call: Call) -> Answer:
        """POST /restore: a new root branch, at once in the target's place when ``finalize_restore`` says so."""
        project, wanted = call.project, call.body
        snapshot = project.snapshot(call.path("snapshot_id"))
        target_id = text_of(wanted, "target_branch_id") or snapshot["source_branch_id"]
        finalize = bool(flag_of(wanted, "finalize_restore"))
        target = project.branches.get(target_id)
        if target is None and (finalize or text_of(wanted, "target_branch_id")):
            project.branch(target_id)
        if target is not None and finalize:
            lineage.check_ready(target)
        self.service.operations.check_free(project)
        if snapshot["timeline"] is None:
            raise NeonError(422, "snapshot not ready yet")
        branch_id = self.service.ids.fresh("br", project.branches)
        name = text_of(wanted, "name") or call.query("name")
        name = lineage.check_name(project, name or branch_id)
        check_slots(project, self.service.plan(project), branches=1, roots=1)
        position = await self.service.engine.head(snapshot["timeline"])
        now = self.service.clock.now()
        branch = new_branch(branch_id, name, now, restored_from=snapshot["id"], restore_status="restored")
        fork(branch, position, timestamp=None, lsn=snapshot["lsn"])
        branch |= {"parent_lsn": None, "parent_timestamp": None, "replaces": target_id}
        keep = target["roles"] if target is not None else {}
        branch["roles"], branch["databases"] = self.service.catalogue(position, snapshot, keep=keep)
        project.branches[branch_id] = branch
        steps = [
            Step("timeline_unarchive", branch_id=snapshot["source_branch_id"]),
            Step("create_branch", "create_branch", branch_id, arguments={"optimise": True}),
        ]
        if finalize and target is not None:
            steps += self._replace(project, target, branch, None)
        operations = self.service.operations.schedule(project, steps)
        body = self.service.branches.with_operations(project, branch, operations)
        body["endpoints"] = [endpoint_view(project, endpoint) for endpoint in project.endpoints_of(branch_id)]
        return 200, body

    async def finalize(self, call: Call) -> Answer:
        """POST /branches/{b}/finalize_restore on the new branch; ``name`` is for the branch that it replaces."""
        project, branch = call.project, call.branch
        if branch["restore_status"] != "restored":
            raise NeonError(422, "branch is not awaiting finalization of a restore")  # wording unproven
        lineage.check_ready(branch)
        if branch["expires_at"] is not None:
            # Unproven; but the branch may become the default one, and such a branch cannot expire.
            raise NeonError(422, "cannot finalize the restore of a branch with an expiration date")
        self.service.operations.check_free(project)
        target = project.branch(branch["replaces"])
        lineage.check_ready(target)
        name = text_of(call.body, "name")
        if name is not None:
            lineage.check_name(project, name, but=target["id"])
        operations = self.service.operations.schedule(project, self._replace(project, target, branch, name))
        self.service.state.save()
        return 200, {"operations": self._shown(project, operations)}

    def _replace(self, project: Project, old: Record, new: Record, old_name: str | None) -> list[Step]:
        """Puts `new` in the place of `old`: name, labels and computes move, hosts stay, ids change."""
        now = rfc3339(self.service.clock.now())
        name = old["name"]
        old["name"] = old_name or _free_name(project, f"{name} (old)")
        new["name"] = name
        for label in ("default", "protected"):
            # A restored branch that has become the default one keeps that: a project always has one.
            new[label], old[label] = old[label] or new[label], False
        new |= {"restore_status": "finalized", "restored_as": old["id"], "updated_at": now}
        old["updated_at"] = now
        steps: list[Step] = []
        moving = project.endpoints_of(old["id"])
        preview = project.read_write(new["id"])
        if preview is not None and any(endpoint["type"] == "read_write" for endpoint in moving):
            del project.endpoints[preview["id"]]
            arguments = {"timeline": new["timeline"], "endpoint": preview}
            steps.append(Step("suspend_compute", "suspend_compute", new["id"], preview["id"], arguments))
        for endpoint in moving:
            endpoint["branch_id"] = new["id"]
        running = [endpoint for endpoint in moving if endpoint["current_state"] == "active"]
        steps += [suspend_step(endpoint, old["timeline"]) for endpoint in running]
        return steps + [start_step(endpoint) for endpoint in running]

    @staticmethod
    def _shown(project: Project, operations: list[Record]) -> list[Record]:
        return [operation_view(project, operation) for operation in operations]


def _free_name(project: Project, wanted: str) -> str:
    name, number = wanted, 1
    while project.named(name) is not None:
        number += 1
        name = f"{wanted} {number}"
    return name
