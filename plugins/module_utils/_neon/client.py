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

from .._errors import ApiError, NotFound, UnknownOutcome
from .._http import Api, Reply
from .._task import Task
from .._waiter import Deadline, backoff
from .answers import is_object, listed, mapping, turned, unreadable
from .causes import NOT_READY, explain

Json = dict[str, Any]

# Neon's pages hold 100 by default, and no more than this (API description); what does not fit on one is followed.
PAGE = 10_000
PROJECTS_PAGE = 400
GONE = frozenset({200, 202, 204, 404})


def client_for(task: Task, deadline: Deadline | None = None) -> NeonClient:
    """A client made of a task's options (documentation fragment ``neon``).

    :param deadline: when to stop waiting out locks; by default ``wait_timeout`` from now, where the task has it.
    """
    params = task.params
    if deadline is None:
        deadline = Deadline(params.get("wait_timeout", 300.0))
    api = Api.of(task, "neon", base_url=params["neon_api_url"], token=params.get("neon_api_key"), deadline=deadline)
    return NeonClient(api)


class NeonClient:
    """Typed calls. Every error that they raise says what to do (see `causes`)."""

    def __init__(self, api: Api) -> None:
        self.api = api
        # The service's own clock at its last answer; this machine's may be wrong.
        self.now: datetime.datetime | None = None

    # Projects

    def projects(self, org_id: str | None = None) -> list[Json]:
        """All projects that the key may see (all pages), of one organization where it is named.

        :raises ApiError: 400 for a personal key without `org_id`, 404 for a key that is good for one project only.
        """
        doing = f"list projects of {org_id}" if org_id else "list projects"
        query: Json = {"org_id": org_id, "limit": PROJECTS_PAGE}
        found: list[Json] = []
        seen: set[str] = set()
        slow: dict[str, None] = {}
        while True:
            reply = self._call("GET", "/projects", doing, params=query)
            page = listed(reply, "projects", doing)
            found += page
            named = reply.body.get("unavailable_project_ids") or []
            if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
                raise unreadable(reply, "list of unavailable_project_ids", doing)
            is_new = bool(page) or not slow.keys() >= set(named)
            slow |= dict.fromkeys(named)
            # The cursor is always there: only a page with nothing new is surely the last one.
            if not is_new or not turned(reply, "cursor", query, seen, doing):
                break
        # There, and too slow for the list: to leave one out would be to say that its computes do not exist.
        there = {project.get("id") for project in found}
        for project_id in [name for name in slow if name not in there]:
            # It may have been deleted since.
            with contextlib.suppress(NotFound):
                found.append(self.project(project_id))
        return found

    def organizations(self) -> list[Json]:
        """The organizations of a personal key's user. :raises NotFound: for every other kind of key."""
        doing = "list organizations"
        return listed(self._call("GET", "/users/me/organizations", doing), "organizations", doing)

    def project(self, project_id: str) -> Json:
        return self._object("GET", path(project_id), "project", f"read project {project_id}")

    def operations(self, project_id: str, limit: int = 100) -> list[Json]:
        """The newest operations of the project, at most `limit`; a page may hold fewer than it was asked for."""
        doing = f"list operations of {project_id}"
        query: Json = {"limit": limit}
        found: list[Json] = []
        seen: set[str] = set()
        while True:
            reply = self._call("GET", path(project_id, "operations"), doing, params=query)
            page = listed(reply, "operations", doing)
            found += page
            if not page or len(found) >= limit or not turned(reply, "cursor", query, seen, doing):
                return found[:limit]

    def running_operations(self, project_id: str) -> list[Json]:
        """The operations of the project that have not ended, newest first, of the last hundred."""
        operations = self.operations(project_id)
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
            branches += listed(reply, "branches", doing)
            for branch_id, annotation in mapping(reply, "annotations").items():
                annotations[branch_id] = dict(annotation.get("value") or {})
            if not turned(reply, "next", query, seen, doing):
                return branches, annotations

    def branch(self, project_id: str, branch_id: str) -> Json:
        return self._object("GET", path(project_id, "branches", branch_id), "branch", f"read branch {branch_id}")

    def create_branch(self, project_id: str, body: Json) -> Json:
        name = body.get("branch", {}).get("name", "")
        return self._write("POST", path(project_id, "branches"), f"create branch {name}", body, holds="branch")

    def update_branch(self, project_id: str, branch_id: str, changes: Json) -> Json:
        return self._write(
            "PATCH", path(project_id, "branches", branch_id), f"change branch {branch_id}", {"branch": changes}
        )

    def delete_branch_now(self, project_id: str, branch_id: str) -> Json:
        """The same without waiting out a lock, for who has something better to do meanwhile.

        :raises Locked: where operations of the project run; nothing was done then.
        """
        doing = f"delete branch {branch_id}"
        try:
            reply = self.api.request(
                "DELETE", path(project_id, "branches", branch_id), doing=doing, expect=GONE, not_done={429, 503}
            )
        except ApiError as error:
            raise explain(error) from None
        self._note_time(reply)
        return reply.body if isinstance(reply.body, dict) and reply.status != 404 else {}

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

    # Snapshots

    def snapshots(self, project_id: str) -> list[Json]:
        """All snapshots, oldest first: Neon lists them in no order that it promises, and without pages."""
        doing = f"list snapshots of {project_id}"
        snapshots = listed(self._call("GET", path(project_id, "snapshots"), doing), "snapshots", doing)
        return sorted(snapshots, key=lambda item: (str(item.get("created_at")), str(item["id"])))

    def create_snapshot(self, project_id: str, branch_id: str, query: Json) -> Json:
        """:param query: ``name``, ``slug``, ``timestamp`` or ``lsn``, ``expires_at``. The API takes no body here."""
        return self._write(
            "POST",
            path(project_id, "branches", branch_id, "snapshot"),
            f"make snapshot {query.get('name', '')} of branch {branch_id}",
            params=query,
            holds="snapshot",
        )

    def update_snapshot(self, project_id: str, snapshot_id: str, changes: Json) -> Json:
        return self._write(
            "PATCH", path(project_id, "snapshots", snapshot_id), f"change snapshot {snapshot_id}", {"snapshot": changes}
        )

    def delete_snapshot(self, project_id: str, snapshot_id: str) -> Json:
        """``{}`` where the snapshot had gone already (404)."""
        return self._write(
            "DELETE", path(project_id, "snapshots", snapshot_id), f"delete snapshot {snapshot_id}", expect=GONE
        )

    def restore_snapshot(self, project_id: str, snapshot_id: str, body: Json) -> Json:
        return self._write(
            "POST",
            path(project_id, "snapshots", snapshot_id, "restore"),
            f"restore snapshot {snapshot_id}",
            body,
            holds="branch",
        )

    def finalize_restore(self, project_id: str, branch_id: str, body: Json) -> Json:
        """The answer holds operations and no branch: names and computes are to be read again."""
        return self._write(
            "POST",
            path(project_id, "branches", branch_id, "finalize_restore"),
            f"finalize the restore of branch {branch_id}",
            body,
        )

    def snapshot_schedule(self, project_id: str, branch_id: str) -> list[Json]:
        doing = f"read the schedule of snapshots of branch {branch_id}"
        reply = self._call("GET", path(project_id, "branches", branch_id, "backup_schedule"), doing)
        return listed(reply, "schedule", doing)

    def set_snapshot_schedule(self, project_id: str, branch_id: str, schedule: list[Json]) -> Json:
        """Replaces it; an empty list ends it. The answer says nothing."""
        return self._write(
            "PUT",
            path(project_id, "branches", branch_id, "backup_schedule"),
            f"set the schedule of snapshots of branch {branch_id}",
            {"schedule": schedule},
        )

    # Schemas

    def compare_schema(self, project_id: str, branch_id: str, query: Json) -> str:
        """A unified diff; an empty text where both are equal.

        :param query: ``db_name``, ``base_branch_id``, and the instants of either side.
        """
        doing = f"compare the schema of branch {branch_id} with {query.get('base_branch_id')}"
        reply = self._call("GET", path(project_id, "branches", branch_id, "compare_schema"), doing, params=query)
        found = reply.body.get("diff", "") if isinstance(reply.body, dict) else None
        if not isinstance(found, str):
            raise unreadable(reply, "diff", doing)
        return found

    # Computes, roles, databases

    def endpoints(self, project_id: str, branch_id: str | None = None) -> list[Json]:
        """The computes of a branch, or of the whole project."""
        below = ("branches", branch_id, "endpoints") if branch_id else ("endpoints",)
        subject = f"branch {branch_id}" if branch_id else f"project {project_id}"
        doing = f"list computes of {subject}"
        return listed(self._call("GET", path(project_id, *below), doing), "endpoints", doing)

    def endpoint(self, project_id: str, endpoint_id: str) -> Json:
        return self._object(
            "GET", path(project_id, "endpoints", endpoint_id), "endpoint", f"read compute {endpoint_id}"
        )

    def create_endpoint(self, project_id: str, settings: Json) -> Json:
        doing = f"add a compute to branch {settings.get('branch_id')}"
        return self._write("POST", path(project_id, "endpoints"), doing, {"endpoint": settings}, holds="endpoint")

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
        doing = f"list roles of branch {branch_id}"
        return listed(self._call("GET", path(project_id, "branches", branch_id, "roles"), doing), "roles", doing)

    def databases(self, project_id: str, branch_id: str) -> list[Json]:
        doing = f"list databases of branch {branch_id}"
        return listed(
            self._call("GET", path(project_id, "branches", branch_id, "databases"), doing), "databases", doing
        )

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
        value = reply.body.get(name) if isinstance(reply.body, dict) else None
        if not isinstance(value, str) or not value:
            raise unreadable(reply, name, doing)
        return self.api.task.secret(value)

    def _object(self, method: str, where: str, name: str, doing: str) -> Json:
        reply = self._call(method, where, doing)
        found: Json | None = reply.body.get(name) if isinstance(reply.body, dict) else None
        if found is None or not is_object(found):
            raise unreadable(reply, name, doing)
        return found

    def _call(self, method: str, where: str, doing: str, *, params: Mapping[str, Any] | None = None) -> Reply:
        try:
            reply = self.api.request(method, where, params=params, doing=doing)
        except ApiError as error:
            raise explain(error) from None
        self._note_time(reply)
        return reply

    def _write(
        self,
        method: str,
        where: str,
        doing: str,
        body: Json | None = None,
        expect: frozenset[int] | None = None,
        params: Json | None = None,
        holds: str = "",
    ) -> Json:
        """Send a write. "not ready yet" says that nothing was done, so it is waited out like a lock.

        :param holds: the object that the answer must hold, as whoever sent the write goes on with its id.
        :raises UnknownOutcome: also for an answer of success without that object.
        """
        for pause in backoff(first=1.0):
            try:
                reply = self.api.request(method, where, params=params, json=body, doing=doing, expect=expect)
            except ApiError as error:
                explained = explain(error)
                if explained.code != NOT_READY or self.api.deadline.left() <= pause:
                    raise explained from None
                self.api.task.progress(f"{doing}: it is not ready yet")
                self.api.deadline.sleep(pause)
                continue
            self._note_time(reply)
            answer: Json = reply.body if isinstance(reply.body, dict) and reply.status != 404 else {}
            if holds and not is_object(answer.get(holds)):
                raise UnknownOutcome(
                    f"{doing}: the answer holds no {holds}, so it is not known whether it was done",
                    http_status=reply.status,
                    request_id=reply.request_id,
                    hint="Read the state back before trying again.",
                )
            return answer
        raise NotFound(doing)  # not reached: the pauses never end

    def _note_time(self, reply: Reply) -> None:
        # A date that is missing or wrong says nothing.
        with contextlib.suppress(TypeError, ValueError):
            self.now = email.utils.parsedate_to_datetime(reply.headers.get("date", ""))


ACTIVE = frozenset({"scheduling", "running", "cancelling"})


def path(project_id: str, *parts: str) -> str:
    """The path of something in a project, each part quoted."""
    return "/projects/" + "/".join(quote(part, safe="") for part in (project_id, *parts))
