# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Branches as they would be after weeks of use, for rehearsals of a cleanup: old ones, and thousands of them.

What the API cannot give a branch is a past, and thousands made one by one take an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.neon import lineage
from sandbox.neon.branches import annotation_of, fork
from sandbox.neon.limits import check_slots
from sandbox.neon.state import Project, Record, new_branch
from sandbox.neon.times import parse_instant

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_FIELDS = frozenset({"name", "created_at", "parent", "expires_at", "protected", "annotation"})


async def add_branches(service: NeonService, project: Project, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds each of `wanted` without a compute, ready at once, at the head of its parent (a name or an id).

    The plan's limits hold. Raises `NeonError` as the API would, and ValueError for a field that there is none of.
    """
    plan = service.plan(project)
    names = {branch["name"]: branch for branch in project.branches.values()}
    heads: dict[str, Any] = {}
    made: list[dict[str, Any]] = []
    for item in wanted:
        if unknown := item.keys() - _FIELDS:
            raise ValueError(f"a branch has no {', '.join(sorted(unknown))}")
        reference = item.get("parent")
        parent = names.get(reference or "") or (project.branch(reference) if reference else project.default_branch())
        if parent["id"] not in heads:
            heads[parent["id"]] = await service.engine.head(parent["timeline"])
        check_slots(project, plan, branches=1, protected=int(bool(item.get("protected"))))
        branch = _branch(service, project, item, parent, heads[parent["id"]])
        if item["name"] in names:
            lineage.check_name(project, item["name"])
        branch["timeline"] = await service.engine.branch(heads[parent["id"]])
        service.state.note_catalogue(branch["timeline"], heads[parent["id"]].lsn, branch["roles"], branch["databases"])
        project.branches[branch["id"]] = names[branch["name"]] = branch
        made.append({"id": branch["id"], "name": branch["name"]})
    service.state.save()
    return made


def _branch(service: NeonService, project: Project, item: dict[str, Any], parent: Record, head: Any) -> Record:
    now = service.clock.now()
    created = parse_instant(item["created_at"]) if item.get("created_at") else now
    branch = new_branch(
        service.ids.fresh("br", project.branches),
        item["name"],
        created,
        parent_id=parent["id"],
        annotation=annotation_of({"annotation_value": item.get("annotation")}, created),
        current_state="ready",
        pending_state=None,
        protected=bool(item.get("protected")),
    )
    fork(branch, head, timestamp=None, lsn=None)
    branch["parent_timestamp"] = branch["created_at"]
    branch["roles"], branch["databases"] = service.catalogue(head, parent)
    if item.get("expires_at"):
        lineage.set_expiry(branch, parse_instant(item["expires_at"]), now)
    return branch
