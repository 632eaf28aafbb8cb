# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Branches: list, count, get, create, change, delete, set as default."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sandbox.neon import endpoints, lineage
from sandbox.neon.calls import Answer, Call, flag_of, text_of
from sandbox.neon.connection import connection_details
from sandbox.neon.errors import NeonError, invalid
from sandbox.neon.ids import new_password
from sandbox.neon.limits import check_slots
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record, new_branch, position_record
from sandbox.neon.times import parse_instant, rfc3339
from sandbox.neon.views import (
    annotation_view,
    branch_view,
    database_view,
    endpoint_view,
    operation_view,
    role_view,
)
from sandbox.neon.window import begins_at, locate
from sandbox.postgres.engine import Position

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_SORTABLE = ("name", "created_at", "updated_at")


class Branches:
    """Handlers under /projects/{p}/branches."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    def view(self, project: Project, branch: Record) -> Record:
        """A branch as the API shows it now."""
        restricted = lineage.restricted_actions(project, branch, self.service.clock.now())
        shown = branch_view(project, branch, restricted)
        return shown | ({"restore_status": "detaching"} if branch["optimising"] else {})

    async def page(self, call: Call) -> Answer:
        """GET: search in name or id, sort, and pages by cursor; ``pagination.next`` is absent on the last page."""
        sort_by, order = call.query("sort_by") or "updated_at", call.query("sort_order") or "desc"
        if sort_by not in _SORTABLE or order not in ("asc", "desc"):
            raise invalid("sort_by must be name, created_at or updated_at and sort_order asc or desc")
        found = self._matching(call.project, call.query("search"), in_ids=True)
        found.sort(key=lambda branch: (branch[sort_by], branch["id"]), reverse=order == "desc")
        if (cursor := call.query("cursor")) is not None:
            after = _read_cursor(cursor)
            found = [b for b in found if _is_after((b[sort_by], b["id"]), after, order)]
        limit = call.limit(10000)
        page = found[:limit]
        pagination = {"sort_by": sort_by, "sort_order": order}
        if len(found) > limit:
            pagination["next"] = _write_cursor((page[-1][sort_by], page[-1]["id"]))
        annotations = {branch["id"]: annotation_view(branch) for branch in page if branch["annotation"]}
        shown = [self.view(call.project, branch) for branch in page]
        return 200, {"branches": shown, "annotations": annotations, "pagination": pagination}

    @staticmethod
    def _matching(project: Project, search: str | None, *, in_ids: bool) -> list[Record]:
        wanted = (search or "").lower()
        return [b for b in project.branches.values() if wanted in b["name"].lower() or (in_ids and wanted in b["id"])]

    async def count(self, call: Call) -> Answer:
        """GET /count: how many match the search in their name."""
        return 200, {"count": len(self._matching(call.project, call.query("search"), in_ids=False))}

    async def get(self, call: Call) -> Answer:
        """GET one."""
        return 200, {"branch": self.view(call.project, call.branch), "annotation": annotation_view(call.branch)}

    async def create(self, call: Call) -> Answer:
        """POST: a child at the parent's head, at an instant or at an LSN; computes only where asked for."""
        project, wanted = call.project, call.part("branch")
        options = endpoints.options_of(call.body, self.service.plan(project), project)
        annotation = annotation_of(call.body, self.service.clock.now())
        refuse_other_sources(wanted)
        parent_id = text_of(wanted, "parent_id")
        parent = project.branch(parent_id) if parent_id else project.default_branch()
        lineage.check_ready(parent)
        self.service.operations.check_free(project)
        lineage.check_parent(parent)
        branch_id = self.service.ids.fresh("br", project.branches)
        name = lineage.check_name(project, wanted.get("name") or branch_id)
        now = self.service.clock.now()
        branch = new_branch(branch_id, name, now, parent_id=parent["id"], annotation=annotation)
        branch["protected"] = bool(flag_of(wanted, "protected"))
        check_slots(project, self.service.plan(project), branches=1, protected=int(branch["protected"]))
        if (expires := text_of(wanted, "expires_at")) is not None:
            lineage.check_expiry(project, branch, parse_instant(expires), now)
            lineage.set_expiry(branch, parse_instant(expires), now)
        timestamp = text_of(wanted, "parent_timestamp")
        lsn = text_of(wanted, "parent_lsn")
        await self.service.learn(project, parent)
        position = await locate(self.service, project, parent, timestamp=timestamp, lsn=lsn)
        fork(branch, position, timestamp=timestamp, lsn=lsn)
        branch["roles"], branch["databases"] = self.service.catalogue(position, parent, fresh=parent["protected"])
        project.branches[branch_id] = branch
        made = [endpoints.add(self.service, project, branch_id, option) for option in options]
        steps = [Step("create_branch", "create_branch", branch_id)]
        steps += [Step("start_compute", "start_compute", branch_id, endpoint["id"]) for endpoint in made]
        operations = self.service.operations.schedule(project, steps)
        return 201, self._created(project, branch, made, operations)

    def _created(self, project: Project, branch: Record, made: list[Record], operations: list[Record]) -> Record:
        roles, databases = list(branch["roles"].values()), list(branch["databases"].values())
        body: Record = {
            "branch": self.view(project, branch),
            "endpoints": [endpoint_view(project, endpoint) for endpoint in made],
            "operations": [operation_view(project, operation) for operation in operations],
            "roles": [role_view(branch, role) for role in roles],
            "databases": [database_view(branch, database) for database in databases],
        }
        if made and len(roles) == 1 and len(databases) == 1 and roles[0]["password"]:
            body["connection_uris"] = [connection_details(self.service, made[0], roles[0], databases[0]["name"])]
        return body

    async def change(self, call: Call) -> Answer:
        """PATCH: name, protection, expiry (null clears, absent keeps). Annotations cannot be changed."""
        project, branch, wanted = call.project, call.branch, call.part("branch", required=True)
        now = self.service.clock.now()
        protect = flag_of(wanted, "protected")
        protecting = protect is not None and protect != branch["protected"]
        if protecting:
            self.service.operations.check_free(project)
        trial = branch | ({"protected": protect} if protect is not None else {})
        name = lineage.check_name(project, wanted["name"], but=branch["id"]) if "name" in wanted else branch["name"]
        if "expires_at" in wanted:
            expires = None if wanted["expires_at"] is None else parse_instant(wanted["expires_at"])
            if expires is not None:
                lineage.check_expiry(project, trial, expires, now)
            lineage.set_expiry(trial, expires, now)
        if protect and trial["expires_at"] is not None:
            raise NeonError(422, "cannot protect a branch with an expiration date")  # wording unproven
        if protecting and protect:
            check_slots(project, self.service.plan(project), protected=1)
        branch |= trial | {"name": name, "updated_at": rfc3339(now)}
        steps = [Step("timeline_update_protected_config", branch_id=branch["id"])] if protecting else []
        operations = self.service.operations.schedule(project, steps)
        self.service.state.save()
        return 200, self.with_operations(project, branch, operations)

    def with_operations(self, project: Project, branch: Record, operations: list[Record]) -> Record:
        """``BranchOperations``."""
        shown = [operation_view(project, operation) for operation in operations]
        return {"branch": self.view(project, branch), "operations": shown}

    async def delete(self, call: Call) -> Answer:
        """DELETE: 204 for one that is gone, else its computes and data go once the operations are finished."""
        project = call.project
        branch = project.branches.get(call.path("branch_id"))
        if branch is None:
            return 204, None
        lineage.check_deletable(project, branch)
        self.service.operations.check_free(project)
        return 200, self.with_operations(project, branch, self.remove(project, branch))

    def remove(self, project: Project, branch: Record) -> list[Record]:
        """Takes a branch away with its endpoints and schedules the end of its computes and data."""
        steps = []
        for endpoint in project.endpoints_of(branch["id"]):
            del project.endpoints[endpoint["id"]]
            if endpoint["current_state"] == "active":
                arguments = {"timeline": branch["timeline"], "endpoint": endpoint}
                steps.append(Step("suspend_compute", "suspend_compute", branch["id"], endpoint["id"], arguments))
        del project.branches[branch["id"]]
        branch["updated_at"] = rfc3339(self.service.clock.now())
        timelines = [branch["timeline"]] if branch["timeline"] else []
        steps.append(Step("delete_timeline", "delete_timelines", branch["id"], arguments={"timelines": timelines}))
        return self.service.operations.schedule(project, steps)

    async def set_as_default(self, call: Call) -> Answer:
        """POST: the label moves; no compute and no host does."""
        project, branch = call.project, call.branch
        if branch["expires_at"] is not None:
            raise NeonError(422, "cannot set a branch with an expiration date as default")  # wording unproven
        now = rfc3339(self.service.clock.now())
        if not branch["default"]:
            project.default_branch().update(default=False, updated_at=now)
            branch.update(default=True, updated_at=now)
            self.service.state.save()
        return 200, self.with_operations(project, branch, [])


def fork(branch: Record, position: Position, *, timestamp: str | None, lsn: str | None) -> None:
    """Notes where a branch begins: in its data, for the window, and as the API tells it."""
    branch["position"] = position_record(position)
    branch["parent_lsn"] = position.lsn
    at = parse_instant(timestamp) if timestamp is not None else None if lsn is not None else position.time
    branch["parent_timestamp"] = rfc3339(at) if at is not None else None
    begins_at(branch, Position(position.timeline, position.lsn, at or position.time))


def annotation_of(body: Record, now: datetime) -> Record | None:
    """The annotation of a new branch: up to 50 texts. Raises `NeonError` 400."""
    values = body.get("annotation_value")
    if not values:
        return None
    if not isinstance(values, dict) or len(values) > 50 or not all(isinstance(v, str) for v in values.values()):
        raise invalid("annotation_value must hold at most 50 string values")
    return {"value": values, "created_at": rfc3339(now), "updated_at": rfc3339(now)}


def refuse_other_sources(wanted: Record) -> None:
    """Refuses the ways to make a branch that this sandbox does not offer. Raises `NeonError` 400."""
    if wanted.get("init_source") not in (None, "", "parent-data"):
        raise invalid(f'the sandbox offers init_source "parent-data" only, not "{wanted["init_source"]}"')
    if wanted.get("archived"):
        raise invalid("the sandbox does not archive branches")


def _write_cursor(value: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _read_cursor(text: str) -> tuple[str, str]:
    try:
        value: Any = json.loads(base64.urlsafe_b64decode(text))
        sort_value, branch_id = value
    except (ValueError, TypeError, RecursionError):
        raise invalid("invalid cursor") from None
    return str(sort_value), str(branch_id)


def _is_after(key: tuple[str, str], after: tuple[str, str], order: str) -> bool:
    return key < after if order == "desc" else key > after


def fresh_passwords(roles: Record) -> Record:
    """The roles with new passwords: what the children of a protected branch get."""
    return {name: role | ({"password": new_password()} if role["password"] else {}) for name, role in roles.items()}
