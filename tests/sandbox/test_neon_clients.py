# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API used through a client that others wrote: `neon-api` from the Python package index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from neon_api import NeonAPI
from neon_api.exceptions import NeonAPIError

from tests.sandbox.neon_account import Account, Project
from tests.support.sandbox import wait_for


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account."""
    with Account() as made:
        yield made


@pytest.fixture
def project(account: Account) -> Project:
    """A fresh project."""
    return account.project(name="tracker")


@pytest.fixture
def neon(account: Account) -> NeonAPI:
    """The client, with an organization's key. It joins paths by concatenation: the slash belongs to the address."""
    return NeonAPI(account.token, base_url=account.url + "/")


def finish(neon: NeonAPI, project: Project, answer: Any) -> None:
    """Waits for the operations of an answer, through the client."""
    for operation in answer.operations:

        def finished(wanted: str = operation.id) -> bool:
            return str(neon.operation(project.id, wanted).operation.status.value) == "finished"

        wait_for(finished, what=f"{operation.action.value} to finish")


def test_given_the_client_when_branches_are_made_changed_and_deleted_then_it_understands_each_answer(
    neon: NeonAPI, project: Project
) -> None:
    made = neon.branch_create(project.id, branch={"name": "preview"}, endpoints=[{"type": "read_write"}])
    assert made.branch.current_state == "init"
    finish(neon, project, made)
    branch = neon.branch(project.id, made.branch.id).branch
    assert (branch.name, branch.current_state, branch.parent_id) == ("preview", "ready", project.main)
    assert {item.name for item in neon.branches(project.id).branches} == {"main", "preview"}
    assert neon.branch_update(project.id, branch.id, branch={"name": "review"}).branch.name == "review"
    finish(neon, project, neon.branch_delete(project.id, branch.id))
    with pytest.raises(NeonAPIError, match="branch not found"):
        neon.branch(project.id, branch.id)


def test_given_the_client_when_computes_start_and_suspend_then_it_sees_their_states(
    neon: NeonAPI, project: Project
) -> None:
    finish(neon, project, neon.endpoint_start(project.id, project.endpoint))
    assert neon.endpoint(project.id, project.endpoint).endpoint.current_state.value == "active"
    finish(neon, project, neon.endpoint_suspend(project.id, project.endpoint))
    assert neon.endpoints(project.id).endpoints[0].current_state.value == "idle"
    changed = neon.endpoint_update(project.id, project.endpoint, endpoint={"disabled": True})
    assert changed.endpoint.disabled is True


def test_given_the_client_when_roles_and_databases_are_made_then_one_can_log_in_with_what_it_returns(
    neon: NeonAPI, project: Project
) -> None:
    made = neon.role_create(project.id, project.main, "painter")
    finish(neon, project, made)
    assert made.role.password
    neon.database_create(project.id, project.main, database={"name": "canvas", "owner_name": "painter"})
    wait_for(lambda: not project.account.service.operations.busy(_record(project)), what="the database")
    uri = neon.connection_uri(project.id, "canvas", "painter").uri
    assert project.sql("SELECT current_user, current_database()", uri) == [("painter", "canvas")]
    reset = neon.role_password_reset(project.id, project.main, "painter")
    finish(neon, project, reset)
    fresh = neon.connection_uri(project.id, "canvas", "painter").uri
    assert reset.role.password in fresh
    assert made.role.password not in fresh
    assert {role.name for role in neon.roles(project.id, project.main).roles} == {project.role, "painter"}
    assert {item.name for item in neon.databases(project.id, project.main).databases} == {project.database, "canvas"}


def test_given_the_client_when_projects_and_keys_are_listed_then_it_understands_the_answers(
    account: Account, neon: NeonAPI, project: Project
) -> None:
    assert project.id in [item.id for item in neon.projects().projects]
    assert neon.project(project.id).project.name == "tracker"
    renamed = neon.project_update(project.id, project={"name": "quests"})
    assert renamed.project.name == "quests"
    personal = NeonAPI(account.key("personal"), base_url=account.url + "/")
    assert personal.me().email
    made = personal.api_key_create(key_name="ci")
    assert made.id in [key.id for key in personal.api_keys()]
    assert personal.api_key_revoke(made.id).revoked is True
    assert neon.operations(project.id).operations == []


def _record(project: Project) -> Any:
    return project.account.service.state.project(project.id)
