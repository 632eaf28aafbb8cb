# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects: list, get, create, change (the history window above all), delete; and the limits of their plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.neon import endpoints, lineage
from sandbox.neon.branches import annotation_of
from sandbox.neon.calls import Answer, Call, allow_project, flag_of, text_of
from sandbox.neon.connection import connection_details
from sandbox.neon.databases import check_database_name
from sandbox.neon.errors import NeonError, invalid, told
from sandbox.neon.ids import new_password
from sandbox.neon.keys import ORG_ID
from sandbox.neon.limits import PLANS, Plan, check_history
from sandbox.neon.operations import Step
from sandbox.neon.roles import check_role_name
from sandbox.neon.state import Project, Record, new_branch, new_database, new_role
from sandbox.neon.times import rfc3339
from sandbox.neon.views import database_view, endpoint_view, operation_view, project_item, project_view, role_view
from sandbox.neon.window import begins_at

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService


_COMPUTE = ("autoscaling_limit_min_cu", "autoscaling_limit_max_cu", "suspend_timeout_seconds")


class Projects:
    """Handlers under /projects."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    def _view(self, project: Project) -> Record:
        return project_view(project, self.service.plan(project), self.service.clock.now())

    async def page(self, call: Call) -> Answer:
        """GET: pages by cursor; the cursor is always there, a short page is the last one."""
        org_id = call.query("org_id")
        if call.key["personal"] and org_id is None:
            raise NeonError(400, "org_id is required")
        if call.key["project_id"] is not None:
            allow_project(call.key, "")
        wanted, cursor = (call.query("search") or "").lower(), call.query("cursor")
        found = [p for p in self.service.state.projects() if org_id in (None, p.record["org_id"])]
        found = [p for p in found if wanted in p.record["name"].lower() or wanted in p.id]
        if cursor is not None:
            ids = [project.id for project in found]
            found = found[ids.index(cursor) + 1 :] if cursor in ids else []
        page = found[: call.limit(400)]
        following = page[-1].id if page else cursor or ""
        return 200, {
            "projects": [project_item(project) for project in page],
            "pagination": {"cursor": following},
            "applications": {},
            "integrations": {},
        }

    async def get(self, call: Call) -> Answer:
        """GET one: works with every kind of key that may see it."""
        return 200, {"project": self._view(call.project)}

    async def limits(self, call: Call) -> Answer:
        """GET /limits, which the API description does not have; -1 means unlimited."""
        plan = self.service.plan(call.project)
        return 200, {
            "limits": {
                "max_projects": 100,
                "max_branches": plan.branches,
                "max_root_branches": plan.roots,
                "max_protected_branches": plan.protected,
                "max_history_retention_seconds": plan.history_max,
                "max_snapshots": plan.snapshots,
                "max_active_endpoints": endpoints.ACTIVE_ENDPOINTS,
                "max_read_only_endpoints": -1,
                "min_autosuspend_seconds": plan.suspend_min,
                "max_branch_roles": 500,
                "max_branch_databases": 500,
                "max_concurrent_executing_operation_chains_per_project": 1,
            }
        }

    async def create(self, call: Call) -> Answer:
        """POST: a project with a root branch, a role, a database and a compute."""
        wanted = call.part("project", required=True)
        if call.key["project_id"] is not None:
            allow_project(call.key, "")
        branch_wanted = wanted.get("branch") or {}
        if not isinstance(branch_wanted, dict):
            raise invalid("branch must be an object")
        database = text_of(branch_wanted, "database_name") or "neondb"
        made = await self.make(
            name=text_of(wanted, "name"),
            plan=None,
            database=database,
            role=text_of(branch_wanted, "role_name") or f"{database}_owner",
            history_retention_seconds=wanted.get("history_retention_seconds"),
            branch_name=text_of(branch_wanted, "name") or "main",
            options=self._options(wanted),
            annotation=annotation_of({"annotation_value": branch_wanted.get("annotations")}, self.service.clock.now()),
        )
        project = self.service.state.project(made.id)
        branch, endpoint = project.default_branch(), next(iter(project.endpoints.values()))
        role, database = next(iter(branch["roles"].values())), next(iter(branch["databases"].values()))
        # It is there at once, but clients must see what they would see of the real one: `init` until it is made.
        branch |= {"current_state": "init", "pending_state": "ready"}
        steps = [Step("create_timeline", "create_branch", branch["id"]), endpoints.start_step(endpoint)]
        operations = self.service.operations.schedule(project, steps)
        return 201, {
            "project": self._view(project),
            "connection_uris": [connection_details(self.service, endpoint, role, database["name"])],
            "roles": [role_view(branch, role, password=True)],
            "databases": [database_view(branch, database)],
            "operations": [operation_view(project, operation) for operation in operations],
            "branch": self.service.branches.view(project, branch),
            "endpoints": [endpoint_view(project, endpoint)],
        }

    def _options(self, wanted: Record) -> Record:
        """What a body says of the project's record. Raises `NeonError` 400 or 412."""
        older = {name: wanted[name] for name in endpoints.USUAL_SIZES if wanted.get(name) is not None}
        plan = self.service.plan(None)
        parts = parts_of(wanted, plan, {"default_endpoint_settings": endpoints.settings_of(older, plan)})
        store = flag_of(wanted, "store_passwords")
        return parts | {
            "default_endpoint_settings": older | parts["default_endpoint_settings"],
            "store_passwords": store is not False,
        }

    async def make(
        self,
        *,
        name: str | None,
        plan: str | None,
        database: str,
        role: str,
        history_retention_seconds: int | None,
        branch_name: str,
        options: Record | None = None,
        annotation: Record | None = None,
    ) -> Project:
        """Makes a project whose root branch is ready and whose compute is idle. Raises `NeonError`.

        `options` are further parts of its record.
        """
        check_database_name(database)
        check_role_name(role)
        limits = PLANS[plan or self.service.settings.plan]
        window = history_retention_seconds
        if window is None:
            window = min(self.service.settings.history_retention_seconds, limits.history_max)
        check_history(limits, window)
        now = self.service.clock.now()
        project = self._new(name, plan, window)
        project.record |= options or {}
        branch = new_branch(
            self.service.ids.fresh("br"), lineage.check_name(project, branch_name), now, default=True, init_source=None
        )
        branch["annotation"] = annotation
        branch["roles"] = {role: new_role(role, now, password=new_password())}
        branch["databases"] = {database: new_database(database, role, self.service.state.number(), now)}
        branch["timeline"] = await self._root_data(branch, role, database)
        begins_at(branch, await self.service.engine.head(branch["timeline"]))
        self.service.set_state(branch, "ready")
        project.branches[branch["id"]] = branch
        endpoint = endpoints.add(self.service, project, branch["id"], {"type": "read_write"})
        endpoint |= {"current_state": "idle", "pending_state": None}
        # Kept only now, whole: a kill before this leaves a timeline that nothing refers to.
        self.service.state.section["projects"][project.id] = project.record
        await self.service.computes.note(branch)
        return project

    def _new(self, name: str | None, plan: str | None, window: int) -> Project:
        project_id = self.service.ids.project(self.service.state.section["projects"])
        stamp = rfc3339(self.service.clock.now())
        return Project(
            {
                "id": project_id,
                "name": name or project_id,
                "org_id": ORG_ID,
                "plan": plan,
                "pg_version": self.service.pg_version,
                "store_passwords": True,
                "history_retention_seconds": window,
                "settings": {},
                "default_endpoint_settings": {},
                "created_at": stamp,
                "updated_at": stamp,
                "branches": {},
                "endpoints": {},
                "operations": {},
                "snapshots": {},
            }
        )

    async def _root_data(self, branch: Record, role: str, database: str) -> str:
        engine = self.service.engine
        timeline = await engine.create_root()
        if self.service.computes.real:
            async with self.service.computes.hold(timeline):
                await engine.create_role(timeline, role, branch["roles"][role]["password"])
                await engine.create_database(timeline, database, role)
                branch["logical_size"] = await engine.size(timeline)
        return timeline

    async def change(self, call: Call) -> Answer:
        """PATCH: name, history window, settings. The window takes effect at once, also backwards."""
        project, wanted = call.project, call.part("project", required=True)
        record, plan = project.record, self.service.plan(project)
        window = wanted.get("history_retention_seconds")
        changing = window is not None and window != record["history_retention_seconds"]
        if window is not None:
            check_history(plan, window)
        name = text_of(wanted, "name")
        parts = {part: record[part] | value for part, value in parts_of(wanted, plan, record).items()}
        if changing:
            self.service.operations.check_free(project)
            record["history_retention_seconds"] = window
        record |= parts | ({"name": name} if name is not None else {})
        record["updated_at"] = rfc3339(self.service.clock.now())
        steps = [Step("apply_storage_config")] if changing else []
        operations = self.service.operations.schedule(project, steps)
        self.service.state.save()
        shown = [operation_view(project, operation) for operation in operations]
        return 200, {"project": self._view(project), "operations": shown}

    async def delete(self, call: Call) -> Answer:
        """DELETE: everything goes at once (the real one can be recovered for some days). Protected branches block."""
        project = call.project
        protected = [branch["id"] for branch in project.branches.values() if branch["protected"]]
        if protected:
            raise NeonError(422, told("cannot delete project with protected branches", branches=",".join(protected)))
        self.service.operations.check_free(project)
        view = self._view(project)
        del self.service.state.section["projects"][project.id]
        self.service.state.save()
        for endpoint_id in project.endpoints:
            await self.service.drop(endpoint_id)
        for record in [*project.branches.values(), *project.snapshots.values()]:
            if record["timeline"]:
                await self.service.discard(record["timeline"])
        return 200, {"project": view}


def parts_of(wanted: Record, plan: Plan, record: Record) -> dict[str, Record]:
    """``settings`` and ``default_endpoint_settings`` of a body, checked. Raises `NeonError` 400 or 412."""
    parts: dict[str, Record] = {}
    for part in ("settings", "default_endpoint_settings"):
        value = wanted.get(part) or {}
        if not isinstance(value, dict):
            raise invalid(f"{part} must be an object")
        parts[part] = value
    defaults = parts["default_endpoint_settings"]
    for name in ("pg_settings", "pgbouncer_settings"):
        if not isinstance(defaults.get(name) or {}, dict):
            raise invalid(f"{name} must be an object")
    checked = {name: value for name, value in defaults.items() if value is not None}
    checked |= endpoints.settings_of({name: value for name, value in checked.items() if name in _COMPUTE}, plan)
    endpoints.check_sizes(endpoints.USUAL_SIZES | record["default_endpoint_settings"] | checked)
    return parts | {"default_endpoint_settings": checked}
