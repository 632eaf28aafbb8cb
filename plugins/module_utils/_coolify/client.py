# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Coolify's HTTP API, one method per call, with its traps handled where they arise.

Actions are always POSTed: before 4.2.0 a GET on one of them performs it, since 4.2.0 it is a 405.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import quote

from .._errors import ApiError, InvalidInput, UnknownOutcome
from .._http import Api, Reply
from .._task import Task
from .._waiter import Deadline
from .faults import explain
from .versions import Version

# What this client reads itself; the rest is the transport's business: it waits out 429, retries a GET after 5xx, and
# raises UnknownOutcome for a write that ended in one.
_ANSWERS = frozenset({200, 201, 400, 401, 403, 404, 405, 409, 422})
_CANCEL_ANSWERS = _ANSWERS | {500, 502, 503, 504}

PAGE = 25
# Nobody needs older deployments than this, and each carries its whole log.
MOST_DEPLOYMENTS = 200


def listed(body: Any, *, under: str = "", verb: str) -> list[dict[str, Any]]:
    """A list of objects, however Coolify wrapped it.

    ``GET /deployments`` may answer an object keyed by index instead of an array, and ``GET
    /deployments/applications/{uuid}`` answers ``{count, deployments}``.

    :raises ApiError: for any other shape: an unreadable list must never pass for an empty one, and an empty object is
        one only where the answer is known to be an object around it.
    """
    is_wrapped = isinstance(body, dict) and bool(under) and under in body
    if is_wrapped:
        body = body[under]
    if isinstance(body, dict) and (body or is_wrapped) and all(str(key).isdigit() for key in body):
        body = [body[key] for key in sorted(body, key=int)]
    if isinstance(body, list) and all(isinstance(item, dict) for item in body):
        return body
    raise ApiError(f"{verb}: the answer is not a list", code="unreadable_answer", retryable=True)


def part(name: str) -> str:
    """One part of a path: what a user gives as a uuid may hold anything.

    :raises InvalidInput: for an empty one, which would name the whole list.
    """
    if not name.strip():
        raise InvalidInput("use a uuid of Coolify: it is empty", hint="Coolify's UI has it in the address.")
    return quote(name, safe="")


def api_url(url: str | None) -> str:
    """The address with ``/api/v1`` at its end, whether it was given with it or not.

    :raises InvalidInput: when no address is given at all: unlike Neon, Coolify has no address of its own.
    """
    if not url:
        raise InvalidInput(
            "reach Coolify: no address was given",
            hint="Set coolify_api_url, or COOLIFY_API_URL in the environment, for example https://coolify.example.com.",
        )
    trimmed = url.rstrip("/").removesuffix("/v1").removesuffix("/api")
    return f"{trimmed}/api/v1"


def client_for(task: Task, deadline: Deadline | None = None) -> CoolifyClient:
    """A client made of a task's options (documentation fragment ``coolify``).

    :param deadline: when to stop waiting out 429; by default ``wait_timeout`` from now, where the task has it.
    """
    params = task.params
    api = Api.of(
        task,
        "coolify",
        base_url=api_url(params.get("coolify_api_url")),
        token=params.get("coolify_access_token"),
        deadline=deadline or Deadline(params.get("wait_timeout") or 300.0),
    )
    return CoolifyClient(api)


class CoolifyClient:
    """Typed calls. A refusal is raised as a RewindError that says what to do.

    :param api: the transport; its base URL ends in ``/api/v1``.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def allow(self, seconds: float) -> None:
        """Wait out 429 for at least this long from now, though the task's own time may be over."""
        if self._api.deadline.left() < seconds:
            self._api.deadline = Deadline(seconds)

    @property
    def deadline(self) -> Deadline:
        return self._api.deadline

    @property
    def sent(self) -> list[str]:
        """Every write that was sent, in order: "POST /deploy"."""
        return [f"{method} {path}" for method, path in self._api.writes]

    # -- reading -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def version(self) -> Version:
        """Coolify's version (needs the ability read)."""
        verb = "read Coolify's version"
        return Version.parse(str(self._get("/version", verb).body))

    def applications(self) -> list[dict[str, Any]]:
        """All applications of the token's team."""
        verb = "list applications"
        return listed(self._get("/applications", verb).body, verb=verb)

    def application(self, application: str) -> dict[str, Any]:
        """One application. :raises NotFound: when it does not exist or belongs to another team."""
        return self._object(f"/applications/{part(application)}", f"read application {application}")

    def environment(self, application: str) -> list[dict[str, Any]]:
        """All env rows of an application, production rows first, then those of previews."""
        verb = f"read the environment of application {application}"
        return self._rows(f"/applications/{part(application)}/envs", verb)

    def services(self) -> list[dict[str, Any]]:
        """All services (one-click stacks) of the token's team."""
        verb = "list services"
        return listed(self._get("/services", verb).body, verb=verb)

    def service_environment(self, service: str) -> list[dict[str, Any]]:
        """All env rows of a service."""
        return self._rows(f"/services/{part(service)}/envs", f"read the environment of service {service}")

    def projects(self) -> list[dict[str, Any]]:
        """All projects of the token's team, without their environments."""
        verb = "list projects"
        return listed(self._get("/projects", verb).body, verb=verb)

    def project(self, project: str) -> dict[str, Any]:
        """One project with its environments."""
        return self._object(f"/projects/{part(project)}", f"read project {project}")

    def servers(self) -> list[dict[str, Any]]:
        """All servers of the token's team."""
        verb = "list servers"
        return listed(self._get("/servers", verb).body, verb=verb)

    def server_resources(self, server: str) -> list[dict[str, Any]]:
        """What runs on a server: applications, services and databases, each with its uuid."""
        verb = f"list what runs on server {server}"
        return listed(self._get(f"/servers/{part(server)}/resources", verb).body, verb=verb)

    def shared_environment(self, scope: str) -> list[dict[str, Any]]:
        """Shared env rows (4.3.0) of ``team``, ``projects/x``, ``projects/x/environments/y`` or ``servers/x``."""
        return self._rows(f"/{scope}/envs", f"read the shared environment of {scope}")

    def deployment(self, deployment: str) -> dict[str, Any] | None:
        """One deployment; None when there is none of this uuid (Coolify also answers uuids that it never stored)."""
        verb = f"read deployment {deployment}"
        reply = self._api.get(f"/deployments/{part(deployment)}", expect=_ANSWERS, doing=verb)
        if reply.status == 404:
            return None
        return self._as_object(self._checked(reply, verb), verb)

    def deployments(self, application: str, *, limit: int = PAGE, skip: int = 0) -> list[dict[str, Any]]:
        """An application's deployments, newest first, at most `limit` (paged), behind the first `skip`."""
        verb = f"list deployments of application {application}"
        found: list[dict[str, Any]] = []
        while len(found) < min(limit, MOST_DEPLOYMENTS):
            take = min(PAGE, limit - len(found))
            params = {"skip": skip + len(found), "take": take}
            reply = self._get(f"/deployments/applications/{part(application)}", verb, params)
            page = listed(reply.body, under="deployments", verb=verb)
            found.extend(page)
            if len(page) < take:
                break
        return found

    # -- writing -------------------------------------------------------------------------------------------------

    def update_application(self, application: str, fields: dict[str, Any]) -> None:
        """PATCH an application: fields left out are kept (unlike env rows)."""
        self._write("PATCH", f"/applications/{part(application)}", fields, f"change application {application}")

    def write_environment(self, application: str, rows: list[dict[str, Any]]) -> None:
        """Insert or overwrite env rows in one call. Whatever a row leaves out is wiped, and the call is not atomic.

        :raises UnknownOutcome: when the answer was lost; read the rows back.
        """
        verb = f"write the environment of application {application}"
        self._write("PATCH", f"/applications/{part(application)}/envs/bulk", {"data": rows}, verb)

    def delete_row(self, application: str, row: str) -> bool:
        """Delete one env row by uuid; false when it was gone already."""
        verb = f"delete env row {row} of application {application}"
        reply = self._api.delete(f"/applications/{part(application)}/envs/{part(row)}", expect=_ANSWERS, doing=verb)
        if reply.status == 404:
            return False
        self._checked(reply, verb)
        return True

    def deploy(self, application: str, *, force: bool = False) -> Reply:
        """Queue a deployment by ``POST /deploy``.

        ``force`` is sent only when true and as JSON: before 4.2.0 ``force=false`` in a query forces a rebuild.
        """
        body: dict[str, Any] = {"uuid": application}
        if force:
            body["force"] = True
        return self._write("POST", "/deploy", body, f"deploy application {application}")

    def restart(self, application: str) -> Reply:
        """Queue a deployment that re-creates the containers from the existing image where it can."""
        return self._action(application, "restart")

    def start(self, application: str) -> Reply:
        """Queue a deployment of a stopped application."""
        return self._action(application, "start")

    def stop(self, application: str) -> Reply:
        """Stop an application; there is no deployment to follow."""
        return self._action(application, "stop")

    def roll_back(self, application: str, commit: str) -> Reply:
        """Queue a deployment of exactly this commit (4.3.0): HEAD is not resolved, nothing is taken for a duplicate."""
        verb = f"roll application {application} back to commit {commit}"
        return self._write("POST", f"/applications/{part(application)}/rollback", {"commit": commit}, verb)

    def cancel(self, deployment: str) -> Reply:
        """Ask to cancel a deployment. The answer proves nothing: 4.1.0 to 4.3.6 answer 500 and cancel all the same."""
        path = f"/deployments/{part(deployment)}/cancel"
        return self._api.post(path, expect=_CANCEL_ANSWERS, doing=f"cancel deployment {deployment}")

    # -- probing abilities: requests that change nothing -----------------------------------------------------------

    def probe_write(self, unknown: str) -> Reply:
        """A write to an application that does not exist, with rows that would be refused if it did."""
        path = f"/applications/{part(unknown)}/envs/bulk"
        return self._api.patch(path, json={"data": []}, expect=_ANSWERS, doing="probe the ability write")

    def probe_deploy(self, unknown: str) -> Reply:
        """Cancel a deployment that does not exist."""
        path = f"/deployments/{part(unknown)}/cancel"
        return self._api.post(path, expect=_CANCEL_ANSWERS, doing="probe the ability deploy")

    # -- transport -------------------------------------------------------------------------------------------------

    def _action(self, application: str, action: str) -> Reply:
        path = f"/applications/{part(application)}/{action}"
        return self._write("POST", path, None, f"{action} application {application}")

    def _get(self, path: str, verb: str, params: dict[str, Any] | None = None) -> Reply:
        return self._checked(self._api.get(path, params=params, expect=_ANSWERS, doing=verb), verb)

    def _object(self, path: str, verb: str) -> dict[str, Any]:
        return self._as_object(self._get(path, verb), verb)

    def _rows(self, path: str, verb: str) -> list[dict[str, Any]]:
        return listed(self._get(path, verb).body, verb=verb)

    def _write(self, method: str, path: str, body: dict[str, Any] | None, verb: str) -> Reply:
        """:raises UnknownOutcome: on a lost answer and on 5xx: Coolify may have done it before it failed to say so."""
        reply = self._checked(self._api.request(method, path, json=body, expect=_ANSWERS, doing=verb), verb)
        if not isinstance(reply.body, (dict, list)):
            raise UnknownOutcome(
                f"{verb}: the answer is none of Coolify's, so it is not known whether it was done",
                http_status=reply.status,
                request_id=reply.request_id,
                hint="Read the state back before trying again.",
            )
        return reply

    def _checked(self, reply: Reply, verb: str) -> Reply:
        if reply.status in (200, 201):
            return reply
        raise explain(verb, reply.status, reply.body, reply.request_id)

    @staticmethod
    def _as_object(reply: Reply, verb: str) -> dict[str, Any]:
        if isinstance(reply.body, dict):
            return reply.body
        raise ApiError(f"{verb}: the answer is not an object", code="unreadable_answer", retryable=True)
