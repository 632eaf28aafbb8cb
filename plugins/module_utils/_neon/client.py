# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neon's API, one method per call: paths, bodies and pages. What to do with the answers is decided elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .._errors import ApiError, NotFound
from .._http import Api, Reply
from .._task import Task
from .._waiter import Deadline, backoff
from .causes import NOT_READY, explain

Json = dict[str, Any]

# Neon's pages hold 100 by default; asking for more saves requests, the rest is followed.
PAGE = 1000
GONE = frozenset({200, 202, 204, 404})


def client_for(task: Task, deadline: Deadline | None = None) -> NeonClient:
    """A client made of a task's options (documentation fragment ``neon``).

    :param deadline: when to stop waiting out locks; by default ``wait_timeout`` from now, where the task has it.
    """
    params = task.params
    if deadline is None:
        deadline = Deadline(params.get("wait_timeout", 300.0))
    api = Api(
        base_url=params["neon_api_url"],
        token=params.get("neon_api_key"),
        ca_path=params.get("ca_path"),
        proxy=params.get("proxy"),
        timeout=params["request_timeout"],
        task=task,
        service="neon",
        deadline=deadline,
    )
    return NeonClient(api)


class NeonClient:
    """Typed calls. Every error that they raise says what to do (see `causes`)."""

    def __init__(self, api: Api) -> None:
        self.api = api
        # The service's own clock at its last answer; this machine's may be wrong.
        self.now: datetime.datetime | None = None

    # Projects

    def project(self, project_id: str) -> Json:
        return self._object("GET", path(project_id), "project", f"read project {project_id}")

    def running_operations(self, project_id: str) -> list[Json]:
        """The operations of the project that have not ended, newest first, of the last hundred."""
        reply = self._call(
            "GET", path(project_id, "operations"), f"list operations of {project_id}", params={"limit": 100}
        )
        operations: list[Json] = _field(reply, "operations", [])
        return [operation for operation in operations if operation.get("status") in ACTIVE]

    def operation(self, project_id: str, operation_id: str) -> Json:
        return self._object(
            "GET", path(project_id, "operations", operation_id), "operation", f"read operation {operation_id}"
        )

    # Branches

    def branches(self, project_id: str, search: str | None = None) -> tuple[list[Json], dict[str, dict[str, str]]]:
        """All branches (oldest first, all pages) and their annotations by branch id."""
        doing = f"list branches of {project_id}"
        branches: list[Json] = []
        annotations: dict[str, dict[str, str]] = {}
        # By creation, because a change while pages are read moves nothing in this order.
        query: Json = {"search": search, "sort_by": "created_at", "sort_order": "asc", "limit": PAGE}
        seen: set[str] = set()
        while True:
            reply = self._call("GET", path(project_id, "branches"), doing, params=query)
            branches += _field(reply, "branches", [])
            for branch_id, annotation in (_field(reply, "annotations", {}) or {}).items():
                annotations[branch_id] = dict(annotation.get("value") or {})
            cursor = (_field(reply, "pagination", {}) or {}).get("next")
            if not cursor:
                return branches, annotations
            if cursor in seen:
                raise ApiError(f"{doing}: Neon gave the same page twice", code="endless_pages", retryable=True)
            seen.add(cursor)
            query["cursor"] = cursor

    def branch(self, project_id: str, branch_id: str) -> Json:
        return self._object("GET", path(project_id, "branches", branch_id), "branch", f"read branch {branch_id}")

    def create_branch(self, project_id: str, body: Json) -> Json:
        name = body.get("branch", {}).get("name", "")
        return self._write("POST", path(project_id, "branches"), f"create branch {name}", body)

    def update_branch(self, project_id: str, branch_id: str, changes: Json) -> Json:
        return self._write(
            "PATCH", path(project_id, "branches", branch_id), f"change branch {branch_id}", {"branch": changes}
        )

    def delete_branch(self, project_id: str, branch_id: str) -> Json:
        """``{}`` where the branch had gone already (204 and 404)."""
        return self._write("DELETE", path(project_id, "branches", branch_id), f"delete branch {branch_id}", expect=GONE)

    def restore_branch(self, project_id: str, branch_id: str, body: Json) -> Json:
        return self._write(
            "POST", path(project_id, "branches", branch_id, "restore"), f"restore branch {branch_id}", body
        )

    def set_default_branch(self, project_id: str, branch_id: str) -> Json:
        return self._write(
            "POST",
            path(project_id, "branches", branch_id, "set_as_default"),
            f"make branch {branch_id} the default",
        )

    # Computes, roles, databases

    def endpoints(self, project_id: str, branch_id: str | None = None) -> list[Json]:
        """The computes of a branch, or of the whole project."""
        below = ("branches", branch_id, "endpoints") if branch_id else ("endpoints",)
        subject = f"branch {branch_id}" if branch_id else f"project {project_id}"
        reply = self._call("GET", path(project_id, *below), f"list computes of {subject}")
        endpoints: list[Json] = _field(reply, "endpoints", [])
        return endpoints

    def endpoint(self, project_id: str, endpoint_id: str) -> Json:
        return self._object(
            "GET", path(project_id, "endpoints", endpoint_id), "endpoint", f"read compute {endpoint_id}"
        )

    def create_endpoint(self, project_id: str, settings: Json) -> Json:
        doing = f"add a compute to branch {settings.get('branch_id')}"
        return self._write("POST", path(project_id, "endpoints"), doing, {"endpoint": settings})

    def update_endpoint(self, project_id: str, endpoint_id: str, changes: Json) -> Json:
        doing = f"change compute {endpoint_id}"
        return self._write("PATCH", path(project_id, "endpoints", endpoint_id), doing, {"endpoint": changes})

    def delete_endpoint(self, project_id: str, endpoint_id: str) -> Json:
        return self._write(
            "DELETE", path(project_id, "endpoints", endpoint_id), f"delete compute {endpoint_id}", expect=GONE
        )

    def start_endpoint(self, project_id: str, endpoint_id: str) -> Json:
        return self._write("POST", path(project_id, "endpoints", endpoint_id, "start"), f"start compute {endpoint_id}")

    def suspend_endpoint(self, project_id: str, endpoint_id: str) -> Json:
        return self._write(
            "POST", path(project_id, "endpoints", endpoint_id, "suspend"), f"suspend compute {endpoint_id}"
        )

    def roles(self, project_id: str, branch_id: str) -> list[Json]:
        reply = self._call("GET", path(project_id, "branches", branch_id, "roles"), f"list roles of branch {branch_id}")
        roles: list[Json] = _field(reply, "roles", [])
        return roles

    def databases(self, project_id: str, branch_id: str) -> list[Json]:
        reply = self._call(
            "GET", path(project_id, "branches", branch_id, "databases"), f"list databases of branch {branch_id}"
        )
        databases: list[Json] = _field(reply, "databases", [])
        return databases

    def role_password(self, project_id: str, branch_id: str, role: str) -> str:
        """The password of a role on a branch; registered as a secret."""
        doing = f"read the password of role {role} on branch {branch_id}"
        reply = self._call("GET", path(project_id, "branches", branch_id, "roles", role, "reveal_password"), doing)
        return self._secret(reply, "password", doing)

    def connection_uri(self, project_id: str, **query: Any) -> str:
        """The connection string that Neon itself gives; registered as a secret.

        :param query: ``branch_id``, ``endpoint_id``, ``database_name``, ``role_name``, ``pooled``.
        """
        doing = f"read the connection string of branch {query.get('branch_id')}"
        return self._secret(self._call("GET", path(project_id, "connection_uri"), doing, params=query), "uri", doing)

    def _secret(self, reply: Reply, name: str, doing: str) -> str:
        value = _field(reply, name, None)
        if not isinstance(value, str) or not value:
            raise ApiError(f"{doing}: the answer holds none", http_status=reply.status, request_id=reply.request_id)
        return self.api.task.secret(value)

    def _object(self, method: str, where: str, name: str, doing: str) -> Json:
        reply = self._call(method, where, doing)
        found = _field(reply, name, None)
        if not isinstance(found, dict):
            raise ApiError(
                f"{doing}: the answer holds no {name}", http_status=reply.status, request_id=reply.request_id
            )
        return found

    def _call(self, method: str, where: str, doing: str, *, params: Mapping[str, Any] | None = None) -> Reply:
        try:
            reply = self.api.request(method, where, params=params, doing=doing)
        except ApiError as error:
            raise explain(error) from None
        self._note_time(reply)
        return reply

    def _write(
        self, method: str, where: str, doing: str, body: Json | None = None, expect: frozenset[int] | None = None
    ) -> Json:
        """Send a write. "branch not ready yet" says that nothing was done, so it is waited out like a lock."""
        for pause in backoff(first=1.0):
            try:
                reply = self.api.request(method, where, json=body, doing=doing, expect=expect)
            except ApiError as error:
                explained = explain(error)
                if explained.code != NOT_READY or self.api.deadline.left() <= pause:
                    raise explained from None
                self.api.task.progress(f"{doing}: the branch is not ready yet")
                self.api.deadline.sleep(pause)
                continue
            self._note_time(reply)
            return reply.body if isinstance(reply.body, dict) and reply.status != 404 else {}
        raise NotFound(doing)  # not reached: the pauses never end

    def _note_time(self, reply: Reply) -> None:
        # A date that is missing or wrong says nothing.
        with contextlib.suppress(TypeError, ValueError):
            self.now = email.utils.parsedate_to_datetime(reply.headers.get("date", ""))


ACTIVE = frozenset({"scheduling", "running", "cancelling"})


def path(project_id: str, *parts: str) -> str:
    """The path of something in a project, each part quoted."""
    return "/projects/" + "/".join(quote(part, safe="") for part in (project_id, *parts))


def _field(reply: Reply, name: str, default: Any) -> Any:
    value = reply.body.get(name) if isinstance(reply.body, dict) else None
    return default if value is None else value
