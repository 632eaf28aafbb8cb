# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects: list, get, create, change (the history window above all), delete; and the limits of their plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.neon import endpoints, lineage
from sandbox.neon.calls import Answer, Call, allow_project, text_of
from sandbox.neon.connection import connection_details
from sandbox.neon.errors import NeonError, invalid, told
from sandbox.neon.ids import new_password
from sandbox.neon.keys import ORG_ID
from sandbox.neon.limits import PLANS, check_history
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record, new_branch, new_database, new_role
from sandbox.neon.times import rfc3339
from sandbox.neon.views import database_view, endpoint_view, operation_view, project_item, project_view, role_view
from sandbox.neon.window import begins_at

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService


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
                "max_active_endpoints": 20,
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
        window = wanted.get("history_retention_seconds")
        made = await self.make(
            name=text_of(wanted, "name"),
            plan=None,
            database=text_of(branch_wanted, "database_name") or "neondb",
            role=text_of(branch_wanted, "role_name") or "neondb_owner",
            history_retention_seconds=window,
            branch_name=text_of(branch_wanted, "name") or "main",
        )
        project = self.service.state.project(made.id)
        branch, endpoint = project.default_branch(), next(iter(project.endpoints.values()))
        role, database = next(iter(branch["roles"].values())), next(iter(branch["databases"].values()))
        steps = [Step("create_timeline", branch_id=branch["id"]), endpoints.start_step(endpoint)]
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

    async def make(
        self,
        *,
        name: str | None,
        plan: str | None,
        database: str,
        role: str,
        history_retention_seconds: int | None,
        branch_name: str,
    ) -> Project:
        """Makes a project whose root branch is ready and whose compute is idle. Raises `NeonError`."""
        limits = PLANS[plan or self.service.settings.plan]
        window = history_retention_seconds
        if window is None:
            window = min(self.service.settings.history_retention_seconds, limits.history_max)
        check_history(limits, window)
        now = self.service.clock.now()
        project = self._new(name, plan, window)
        branch = new_branch(
            self.service.ids.fresh("br"), lineage.check_name(project, branch_name), now, default=True, init_source=None
        )
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
        record = project.record
        window = wanted.get("history_retention_seconds")
        changing = window is not None and window != record["history_retention_seconds"]
        if window is not None:
            check_history(self.service.plan(project), window)
        if changing:
            self.service.operations.check_free(project)
            record["history_retention_seconds"] = window
        if (name := text_of(wanted, "name")) is not None:
            record["name"] = name
        for part in ("settings", "default_endpoint_settings"):
            value = wanted.get(part) or {}
            if not isinstance(value, dict):
                raise invalid(f"{part} must be an object")
            record[part] = record[part] | value
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
