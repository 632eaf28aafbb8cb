# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operations really do. Each effect can be run again after a kill and then finds done what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from sandbox.neon import lineage
from sandbox.neon.operations import Commit, Effect, Step
from sandbox.neon.state import Project, Record, position_of
from sandbox.neon.times import rfc3339

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)


class Effects:
    """The effects by name, as `Step.effect` gives it."""

    def __init__(self, service: NeonService) -> None:
        self.service = service
        self.computes = service.computes

    def table(self) -> dict[str, Effect]:
        """All effects."""
        return {
            "pass_time": self.pass_time,
            "create_branch": self.create_branch,
            "create_snapshot": self.create_snapshot,
            "start_compute": self.start_compute,
            "suspend_compute": self.suspend_compute,
            "restart_compute": self.restart_compute,
            "delete_timelines": self.delete_timelines,
            "detach": self.detach,
            "optimise": self.optimise,
            "create_role": self.create_role,
            "delete_role": self.delete_role,
            "reset_password": self.reset_password,
            "create_database": self.create_database,
            "change_database": self.change_database,
            "delete_database": self.delete_database,
        }

    async def pass_time(self, project: Project, operation: Record) -> Commit | None:
        """Nothing but time."""
        return None

    async def create_branch(self, project: Project, operation: Record) -> Commit | None:
        """Gives a branch its timeline; then it is ready."""
        branch = project.branches.get(operation["branch_id"])
        if branch is None:
            return None
        if branch["timeline"] is None:
            position = position_of(branch["position"])
            timeline = branch["timeline"] = await self.service.engine.branch(position)
            self.service.state.note_catalogue(timeline, position.lsn, branch["roles"], branch["databases"])
            self.service.state.save()

        def ready() -> None:
            self.service.set_state(branch, "ready")
            for effect in ("detach", "optimise"):
                if effect in operation["arguments"]:
                    step = Step("detach_parent_branch", effect, branch["id"], arguments=operation["arguments"])
                    self.service.operations.schedule(project, [step], background=True)

        return ready

    async def create_snapshot(self, project: Project, operation: Record) -> Commit | None:
        """Gives a snapshot a timeline of its own, so that it outlives its source and the history window."""
        snapshot = project.snapshots.get(operation["arguments"]["snapshot"])
        if snapshot is not None and snapshot["timeline"] is None:
            position = position_of(snapshot["position"])
            timeline = snapshot["timeline"] = await self.service.engine.branch(position)
            self.service.state.note_catalogue(timeline, position.lsn, snapshot["roles"], snapshot["databases"])
            self.service.state.save()
        return None

    async def start_compute(self, project: Project, operation: Record) -> Commit | None:
        """Starts an endpoint's compute."""
        endpoint = project.endpoints.get(operation["endpoint_id"])
        if endpoint is None or endpoint["disabled"]:
            return None
        branch = project.branches[endpoint["branch_id"]]
        try:
            await self.computes.start(project, branch)
        except Exception:
            endpoint["current_state"], endpoint["pending_state"] = "idle", None
            raise

        def active() -> None:
            now = rfc3339(self.service.clock.now())
            endpoint.update(current_state="active", pending_state=None, suspended_at=None)
            endpoint.update(started_at=now, last_active=now, updated_at=now)

        return active

    async def suspend_compute(self, project: Project, operation: Record) -> Commit | None:
        """Stops an endpoint's compute; ``timeline`` names it where the branch has another one by now."""
        endpoint = project.endpoints.get(operation["endpoint_id"]) or operation["arguments"].get("endpoint")
        if endpoint is None:
            return None
        timeline = operation["arguments"].get("timeline")
        if timeline is None:
            branch = project.branches.get(endpoint["branch_id"])
            timeline = branch["timeline"] if branch else None
        await self.computes.suspend(endpoint, timeline)

        def idle() -> None:
            endpoint["current_state"], endpoint["pending_state"] = "idle", None

        return idle

    async def restart_compute(self, project: Project, operation: Record) -> Commit | None:
        """Stops an endpoint's compute and starts it again."""
        await self.suspend_compute(project, operation)
        return await self.start_compute(project, operation)

    async def delete_timelines(self, project: Project, operation: Record) -> Commit | None:
        """Removes data that nothing refers to any more; what was forked from it stays whole."""
        for timeline in operation["arguments"]["timelines"]:
            await self.service.discard(timeline)
        return None

    async def detach(self, project: Project, operation: Record) -> Commit | None:
        """Makes the branch a root that waits for this detach, wherever a later restore moved it."""
        token = operation["arguments"]["detach"]

        def detached() -> None:
            for branch in project.branches.values():
                if branch["detaching"] == token:
                    lineage.detach(branch, self.service.clock.now())

        return detached

    async def optimise(self, project: Project, operation: Record) -> Commit | None:
        """A branch that was made from a snapshot is ``detaching`` for a while and then what it was."""
        branch = project.branches.get(operation["branch_id"])
        if branch is None:
            return None
        branch["optimising"] = True
        self.service.state.save()

        def done() -> None:
            branch["optimising"] = False

        return done

    # Roles and databases

    async def create_role(self, project: Project, operation: Record) -> Commit | None:
        """CREATE ROLE."""
        branch, name = self._branch_and_name(project, operation)
        if not self.computes.real:
            await self.computes.note(branch)
            return None
        async with self.computes.hold(branch["timeline"]):
            if not await self._exists(branch, "pg_roles", "rolname", name):
                await self.service.engine.create_role(branch["timeline"], name, branch["roles"][name]["password"])
            await self.computes.note(branch)
        await self._drop_connections(project, branch)
        return None

    async def delete_role(self, project: Project, operation: Record) -> Commit | None:
        """DROP ROLE, after what it owns in any database."""
        branch, name = self._branch_and_name(project, operation)
        if self.computes.real:
            async with self.computes.hold(branch["timeline"]):
                if await self._exists(branch, "pg_roles", "rolname", name):
                    for database in ["postgres", *branch["databases"]]:
                        await self._execute(branch, f"DROP OWNED BY {_identifier(name)} CASCADE", database)
                    await self._execute(branch, f"DROP ROLE {_identifier(name)}")
        branch["roles"].pop(name, None)
        await self.computes.note(branch)
        return None

    async def reset_password(self, project: Project, operation: Record) -> Commit | None:
        """ALTER ROLE … PASSWORD; the old one is good until the operation is finished."""
        branch, name = self._branch_and_name(project, operation)
        role = branch["roles"].get(name)
        if role is None or not role.get("new_password"):
            return None
        if self.computes.real:
            async with self.computes.hold(branch["timeline"]):
                await self.service.engine.apply_passwords(branch["timeline"], {name: role["new_password"]})
        role["password"] = role.pop("new_password")
        role["updated_at"] = rfc3339(self.service.clock.now())
        await self.computes.note(branch)
        await self._drop_connections(project, branch)
        return None

    async def create_database(self, project: Project, operation: Record) -> Commit | None:
        """CREATE DATABASE."""
        branch, name = self._branch_and_name(project, operation)
        if not self.computes.real:
            await self.computes.note(branch)
            return None
        async with self.computes.hold(branch["timeline"]):
            if not await self._exists(branch, "pg_database", "datname", name):
                owner = branch["databases"][name]["owner_name"]
                await self.service.engine.create_database(branch["timeline"], name, owner)
            await self.computes.note(branch)
        return None

    async def change_database(self, project: Project, operation: Record) -> Commit | None:
        """ALTER DATABASE: another name, another owner."""
        branch, name = self._branch_and_name(project, operation)
        old, owner = operation["arguments"]["old"], operation["arguments"]["owner"]
        if self.computes.real:
            async with self.computes.hold(branch["timeline"]):
                if old != name and await self._exists(branch, "pg_database", "datname", old):
                    await self._end_sessions(project, branch, old)
                    await self._execute(branch, f"ALTER DATABASE {_identifier(old)} RENAME TO {_identifier(name)}")
                await self._execute(branch, f"ALTER DATABASE {_identifier(name)} OWNER TO {_identifier(owner)}")
        await self.computes.note(branch)
        return None

    async def delete_database(self, project: Project, operation: Record) -> Commit | None:
        """DROP DATABASE, with whoever is connected to it."""
        branch, name = self._branch_and_name(project, operation)
        if self.computes.real:
            async with self.computes.hold(branch["timeline"]):
                await self._execute(branch, f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")
        branch["databases"].pop(name, None)
        await self.computes.note(branch)
        return None

    @staticmethod
    def _branch_and_name(project: Project, operation: Record) -> tuple[Record, str]:
        return project.branches[operation["branch_id"]], operation["arguments"]["name"]

    async def _execute(self, branch: Record, statement: str, database: str = "postgres") -> None:
        await self.service.engine.execute(branch["timeline"], statement, database=database)

    async def _exists(self, branch: Record, catalogue: str, column: str, name: str) -> bool:
        statement = f"SELECT 1 FROM pg_catalog.{catalogue} WHERE {column} = %s"
        return bool(await self.service.engine.execute(branch["timeline"], statement, (name,)))

    async def _end_sessions(self, project: Project, branch: Record, database: str) -> None:
        await self._drop_connections(project, branch)
        await self.service.engine.execute(
            branch["timeline"],
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (database,),
        )

    async def _drop_connections(self, project: Project, branch: Record) -> None:
        for endpoint in project.endpoints_of(branch["id"]):
            await self.service.drop(endpoint["id"])
