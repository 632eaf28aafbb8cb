# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of a branch: list, get, create, delete, reveal and reset the password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.calls import Answer, Call, flag_of, text_of
from sandbox.neon.errors import NeonError, invalid, not_found, told
from sandbox.neon.ids import new_password
from sandbox.neon.limits import check_objects
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record, new_role
from sandbox.neon.views import operation_view, role_view

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_RESERVED = ("cloud_admin", "neon_superuser", "postgres", "public", "none")


def check_role_name(name: object) -> str:
    """A name that PostgreSQL and Neon leave to their users. Raises `NeonError` 400."""
    if (
        not isinstance(name, str)
        or not 1 <= len(name.encode()) <= 63
        or name.startswith("pg_")
        or name in _RESERVED
        or "\0" in name
    ):
        raise invalid(told("invalid role name", role_name=name))
    return name


class Roles:
    """Handlers under /projects/{p}/branches/{b}/roles."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    async def _role(self, call: Call) -> Record:
        await self.service.learn(call.project, call.branch)
        role: Record | None = call.branch["roles"].get(call.path("role_name"))
        if role is None:
            raise not_found("role")
        return role

    async def page(self, call: Call) -> Answer:
        """GET all; also those made in SQL when the branch runs."""
        await self.service.learn(call.project, call.branch)
        return 200, {"roles": [role_view(call.branch, role) for role in call.branch["roles"].values()]}

    async def get(self, call: Call) -> Answer:
        """GET one, without its password."""
        return 200, {"role": role_view(call.branch, await self._role(call))}

    async def create(self, call: Call) -> Answer:
        """POST: the answer has the password. Connections of the branch are dropped."""
        project, branch, wanted = call.project, call.branch, call.part("role", required=True)
        name = text_of(wanted, "name") or ""
        no_login = bool(flag_of(wanted, "no_login"))
        check_role_name(name)
        self.service.operations.check_free(project)
        lineage.check_ready(branch)
        await self.service.learn(project, branch)
        if name in branch["roles"]:
            raise NeonError(409, told("role already exists", role_name=name))
        check_objects("role", len(branch["roles"]))
        password = None if no_login else new_password()
        role = new_role(name, self.service.clock.now(), password=password, no_login=no_login)
        branch["roles"][name] = role
        return 201, self._answer(project, branch, role, "create_role")

    async def delete(self, call: Call) -> Answer:
        """DELETE: 204 for one that is gone. A role that owns a database is refused (wording unproven)."""
        project, branch, name = call.project, call.branch, call.path("role_name")
        await self.service.learn(project, branch)
        role = branch["roles"].get(name)
        if role is None:
            return 204, None
        self.service.operations.check_free(project)
        owned = [database["name"] for database in branch["databases"].values() if database["owner_name"] == name]
        if owned:
            raise NeonError(422, told("cannot delete role that owns databases", databases=",".join(owned)))
        lineage.check_ready(branch)
        return 200, self._answer(project, branch, role, "delete_role", password=False)

    async def reveal(self, call: Call) -> Answer:
        """GET /reveal_password: 412 where passwords are not stored, 404 where it is not known."""
        role = await self._role(call)
        if not call.project.record["store_passwords"]:
            raise NeonError(412, "passwords are not stored for this project")  # wording unproven
        if role["password"] is None:
            raise not_found("role password")
        return 200, {"password": role["password"]}

    async def reset(self, call: Call) -> Answer:
        """POST /reset_password: the answer has the new one; the old one works until the operation is finished."""
        project, branch = call.project, call.branch
        self.service.operations.check_free(project)
        lineage.check_ready(branch)
        role = await self._role(call)
        if role["no_login"]:
            raise NeonError(422, "cannot reset password of a role without login")  # wording unproven
        role["new_password"] = new_password()
        return 200, self._answer(project, branch, role, "reset_password")

    def _answer(self, project: Project, branch: Record, role: Record, effect: str, *, password: bool = True) -> Record:
        step = Step("apply_config", effect, branch["id"], arguments={"name": role["name"]})
        operations = self.service.operations.schedule(project, [step])
        shown = [operation_view(project, operation) for operation in operations]
        return {"role": role_view(branch, role, password=password), "operations": shown}
