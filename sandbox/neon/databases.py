# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases of a branch: list, get, create, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.calls import Answer, Call, text_of
from sandbox.neon.errors import NeonError, invalid, not_found, told
from sandbox.neon.limits import check_objects
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record, new_database
from sandbox.neon.times import rfc3339
from sandbox.neon.views import database_view, operation_view

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_RESERVED = ("postgres", "template0", "template1")


def check_database_name(name: object) -> str:
    """A name that a database may have and that none has from the beginning. Raises `NeonError` 400."""
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= 63 or name in _RESERVED or "\0" in name:
        raise invalid(told("invalid database name", database_name=name))
    return name


class Databases:
    """Handlers under /projects/{p}/branches/{b}/databases."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def page(self, call: Call) -> Answer:
        """GET all; also those made in SQL when the branch runs."""
        await self.service.learn(call.project, call.branch)
        return 200, {"databases": [database_view(call.branch, d) for d in call.branch["databases"].values()]}

    async def get(self, call: Call) -> Answer:
        """GET one."""
        await self.service.learn(call.project, call.branch)
        return 200, {"database": database_view(call.branch, self._database(call))}

    @staticmethod
    def _database(call: Call) -> Record:
        database: Record | None = call.branch["databases"].get(call.path("database_name"))
        if database is None:
            raise not_found("database")
        return database

    async def create(self, call: Call) -> Answer:
        """POST with a name and an owner that exists."""
        project, branch, wanted = call.project, call.branch, call.part("database", required=True)
        self.service.operations.check_free(project)
        lineage.check_ready(branch)
        await self.service.learn(project, branch)
        name = self._free_name(branch, text_of(wanted, "name"))
        owner = self._owner(branch, text_of(wanted, "owner_name"))
        check_objects("database", len(branch["databases"]))
        database = new_database(name, owner, self.service.state.number(), self.service.clock.now())
        branch["databases"][name] = database
        return 201, self._answer(project, branch, database, "create_database", {"name": name})

    async def change(self, call: Call) -> Answer:
        """PATCH: another name, another owner."""
        project, branch, wanted = call.project, call.branch, call.part("database", required=True)
        self.service.operations.check_free(project)
        lineage.check_ready(branch)
        await self.service.learn(project, branch)
        database = self._database(call)
        old = database["name"]
        name = text_of(wanted, "name") or old
        if name != old:
            self._free_name(branch, name)
        owner = self._owner(branch, text_of(wanted, "owner_name") or database["owner_name"])
        del branch["databases"][old]
        database |= {"name": name, "owner_name": owner, "updated_at": rfc3339(self.service.clock.now())}
        branch["databases"][name] = database
        arguments = {"name": name, "old": old, "owner": owner}
        return 200, self._answer(project, branch, database, "change_database", arguments)

    async def delete(self, call: Call) -> Answer:
        """DELETE: 204 for one that is gone."""
        project, branch = call.project, call.branch
        await self.service.learn(project, branch)
        database = branch["databases"].get(call.path("database_name"))
        if database is None:
            return 204, None
        self.service.operations.check_free(project)
        lineage.check_ready(branch)
        return 200, self._answer(project, branch, database, "delete_database", {"name": database["name"]})

    @staticmethod
    def _free_name(branch: Record, name: str | None) -> str:
        name = check_database_name(name or "")
        if name in branch["databases"]:
            raise NeonError(409, told("database already exists", database_name=name))
        return name

    @staticmethod
    def _owner(branch: Record, owner: str | None) -> str:
        if owner is None or owner not in branch["roles"]:
            raise not_found("role")
        return owner

    def _answer(self, project: Project, branch: Record, database: Record, effect: str, arguments: Record) -> Record:
        step = Step("apply_config", effect, branch["id"], arguments=arguments)
        operations = self.service.operations.schedule(project, [step])
        shown = [operation_view(project, operation) for operation in operations]
        return {"database": database_view(branch, database), "operations": shown}
