# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes as the API shows them: list, get, create, change, start, suspend, restart, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.neon import lineage
from sandbox.neon.calls import Answer, Call, flag_of, text_of
from sandbox.neon.errors import NeonError, invalid, told, transitive
from sandbox.neon.limits import Plan, check_suspend_timeout
from sandbox.neon.operations import Step
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339
from sandbox.neon.views import endpoint_view, operation_view

if TYPE_CHECKING:
    from sandbox.neon.service import NeonService

_TYPES = ("read_write", "read_only")
USUAL_SIZES = {"autoscaling_limit_min_cu": 0.25, "autoscaling_limit_max_cu": 2}
ACTIVE_ENDPOINTS = 20
_TOO_MANY_ACTIVE = "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED"


def settings_of(values: Record, plan: Plan) -> Record:
    """The settings among `values`, checked. Raises `NeonError` 400 or 412."""
    found: Record = {}
    for name in ("autoscaling_limit_min_cu", "autoscaling_limit_max_cu"):
        if (size := values.get(name)) is not None:
            if not isinstance(size, int | float) or isinstance(size, bool) or size < 0.25:
                raise invalid(f"{name} must be a number of at least 0.25")
            found[name] = size
    if (seconds := values.get("suspend_timeout_seconds")) is not None:
        found["suspend_timeout_seconds"] = check_suspend_timeout(plan, seconds)
    if (settings := values.get("settings")) is not None:
        if not isinstance(settings, dict) or not isinstance(settings.get("pg_settings"), dict):
            raise invalid("settings must not be nil")
        found["settings"] = settings
    for name in ("provisioner", "name"):
        if (text := text_of(values, name)) is not None:
            found[name] = text
    return found


def options_of(body: Record, plan: Plan, project: Project) -> list[Record]:
    """The computes asked for together with a branch. Raises `NeonError` 400, 409, 412 or 422."""
    options = [] if body.get("endpoints") is None else body["endpoints"]
    if not isinstance(options, list) or not all(isinstance(option, dict) for option in options):
        raise invalid("endpoints must be a list of objects")
    checked = [{"type": _type_of(option)} | settings_of(option, plan) for option in options]
    if sum(1 for option in checked if option["type"] == "read_write") > 1:
        raise NeonError(409, "read_write endpoint already exists")
    for option in checked:
        check_sizes(_sizes_of(project) | option)
    check_active(project, len(checked))
    return checked


def _type_of(values: Record) -> str:
    kind = values.get("type")
    if kind not in _TYPES:
        raise invalid("endpoint type must be read_write or read_only")
    return str(kind)


def add(service: NeonService, project: Project, branch_id: str, values: Record) -> Record:
    """Adds an endpoint that is about to start, or idle when it is disabled. Everything is checked already."""
    now = rfc3339(service.clock.now())
    taken = {endpoint_id for other in service.state.projects() for endpoint_id in other.endpoints}
    disabled = bool(values.get("disabled"))
    endpoint = {
        "id": service.ids.fresh("ep", taken),
        "branch_id": branch_id,
        "name": None,
        **_sizes_of(project),
        "current_state": "idle" if disabled else "init",
        "pending_state": None if disabled else "active",
        "settings": {"pg_settings": {}},
        "disabled": disabled,
        "last_active": None,
        "creation_source": "console",
        "created_at": now,
        "updated_at": now,
        "started_at": None,
        "suspended_at": None,
        "suspend_timeout_seconds": project.record["default_endpoint_settings"].get("suspend_timeout_seconds", 0),
        "provisioner": "k8s-neonvm",
        "seen_state_change": None,
    } | values
    check_sizes(endpoint)
    project.endpoints[endpoint["id"]] = endpoint
    return endpoint


def _sizes_of(project: Project) -> Record:
    """The limits of a new compute that asks for none."""
    defaults = project.record["default_endpoint_settings"]
    return {name: defaults.get(name, usual) for name, usual in USUAL_SIZES.items()}


def check_active(project: Project, more: int) -> None:
    """Refuses one more running compute than a project may have, the default branch's aside. Raises `NeonError` 422."""
    exempt = project.default_branch()["id"]
    running = sum(
        1
        for endpoint in project.endpoints.values()
        if endpoint["branch_id"] != exempt and "active" in (endpoint["current_state"], endpoint["pending_state"])
    )
    if more and running + more > ACTIVE_ENDPOINTS:  # status and wording unproven
        raise NeonError(422, told("active endpoints limit exceeded", limit=ACTIVE_ENDPOINTS), _TOO_MANY_ACTIVE)


def check_sizes(endpoint: Record) -> None:
    """Raises `NeonError` 400 when the smallest size is greater than the largest."""
    if endpoint["autoscaling_limit_min_cu"] > endpoint["autoscaling_limit_max_cu"]:
        raise invalid("autoscaling_limit_min_cu must not be greater than autoscaling_limit_max_cu")


class Endpoints:
    """Handlers under /projects/{p}/endpoints."""

    def __init__(self, service: NeonService) -> None:
        self.service = service

    def _answer(self, project: Project, endpoint: Record, operations: list[Record]) -> Record:
        shown = [operation_view(project, operation) for operation in operations]
        return {"endpoint": endpoint_view(project, endpoint), "operations": shown}

    async def page(self, call: Call) -> Answer:
        """GET all of the project."""
        return 200, {"endpoints": [endpoint_view(call.project, e) for e in call.project.endpoints.values()]}

    async def list_of_branch(self, call: Call) -> Answer:
        """GET those of one branch."""
        found = call.project.endpoints_of(call.branch["id"])
        return 200, {"endpoints": [endpoint_view(call.project, endpoint) for endpoint in found]}

    async def get(self, call: Call) -> Answer:
        """GET one."""
        return 200, {"endpoint": endpoint_view(call.project, call.project.endpoint(call.path("endpoint_id")))}

    async def create(self, call: Call) -> Answer:
        """POST: one read-write endpoint per branch, any number of read-only ones; it starts at once."""
        project, wanted = call.project, call.part("endpoint", required=True)
        kind = _type_of(wanted)
        branch_id = text_of(wanted, "branch_id")
        if branch_id is None:
            raise invalid("branch_id is required")
        branch = project.branch(branch_id)
        values = {"type": kind, "disabled": bool(flag_of(wanted, "disabled"))}
        values |= settings_of(wanted, self.service.plan(project))
        if kind == "read_write" and project.read_write(branch["id"]) is not None:
            raise NeonError(409, told("read_write endpoint already exists", branch_id=branch["id"]))
        self.service.operations.check_free(project)
        lineage.check_ready(branch)
        if not values["disabled"] and branch["id"] != project.default_branch()["id"]:
            check_active(project, 1)
        endpoint = add(self.service, project, branch["id"], values)
        operations = [] if endpoint["disabled"] else self._schedule(project, endpoint, "start_compute")
        self.service.state.save()
        return 201, self._answer(project, endpoint, operations)

    async def change(self, call: Call) -> Answer:
        """PATCH: limits, settings, name, disabled. A disabled endpoint stops and no connection wakes it."""
        project, endpoint = call.project, call.project.endpoint(call.path("endpoint_id"))
        wanted = call.part("endpoint", required=True)
        if text_of(wanted, "branch_id") not in (None, endpoint["branch_id"]):
            raise invalid("the sandbox does not move an endpoint to another branch (deprecated)")
        values = settings_of(wanted, self.service.plan(project))
        disabled = flag_of(wanted, "disabled")
        check_sizes(endpoint | values)
        self.service.operations.check_free(project)
        endpoint |= values | {"updated_at": rfc3339(self.service.clock.now())}
        if disabled is not None:
            endpoint["disabled"] = disabled
        running = endpoint["current_state"] == "active"
        operations: list[Record] = []
        if endpoint["disabled"] and running:
            operations = self._schedule(project, endpoint, "suspend_compute")
        elif values and running:
            operations = self._schedule(project, endpoint, "apply_config", effect="pass_time")
        self.service.state.save()
        return 200, self._answer(project, endpoint, operations)

    async def start(self, call: Call) -> Answer:
        """POST /start: nothing to do when it is active."""
        project, endpoint = call.project, call.project.endpoint(call.path("endpoint_id"))
        self.service.operations.check_free(project)
        self._check_enabled(endpoint)
        lineage.check_ready(project.branch(endpoint["branch_id"]))
        active = endpoint["current_state"] == "active"
        if not active and endpoint["branch_id"] != project.default_branch()["id"]:
            check_active(project, 1)
        operations = [] if active else self._schedule(project, endpoint, "start_compute")
        return 200, self._answer(project, endpoint, operations)

    async def suspend(self, call: Call) -> Answer:
        """POST /suspend: closes its connections; the next one wakes it."""
        project, endpoint = call.project, call.project.endpoint(call.path("endpoint_id"))
        if endpoint["pending_state"] is not None:
            raise transitive()
        self.service.operations.check_free(project)
        idle = endpoint["current_state"] == "idle"
        operations = [] if idle else self._schedule(project, endpoint, "suspend_compute")
        return 200, self._answer(project, endpoint, operations)

    async def restart(self, call: Call) -> Answer:
        """POST /restart."""
        project, endpoint = call.project, call.project.endpoint(call.path("endpoint_id"))
        self.service.operations.check_free(project)
        self._check_enabled(endpoint)
        lineage.check_ready(project.branch(endpoint["branch_id"]))
        if endpoint["current_state"] == "idle":
            return 200, self._answer(project, endpoint, self._schedule(project, endpoint, "start_compute"))
        steps = [_step(endpoint, "suspend_compute"), _step(endpoint, "start_compute")]
        endpoint["pending_state"] = "active"
        return 200, self._answer(project, endpoint, self.service.operations.schedule(project, steps))

    async def delete(self, call: Call) -> Answer:
        """DELETE: 204 for one that is gone."""
        project = call.project
        endpoint = project.endpoints.get(call.path("endpoint_id"))
        if endpoint is None:
            return 204, None
        if project.branch(endpoint["branch_id"])["protected"]:
            raise NeonError(422, "cannot delete endpoint of protected branch")  # wording unproven
        self.service.operations.check_free(project)
        del project.endpoints[endpoint["id"]]
        timeline = project.branch(endpoint["branch_id"])["timeline"]
        step = _step(endpoint, "suspend_compute", {"timeline": timeline, "endpoint": endpoint})
        operations = self.service.operations.schedule(project, [step])
        return 200, self._answer(project, endpoint, operations)

    @staticmethod
    def _check_enabled(endpoint: Record) -> None:
        if endpoint["disabled"]:
            raise NeonError(422, "endpoint is disabled")  # wording unproven

    def _schedule(self, project: Project, endpoint: Record, action: str, *, effect: str | None = None) -> list[Record]:
        pending = {"start_compute": "active", "suspend_compute": "idle"}.get(action)
        if pending is not None:
            endpoint["pending_state"] = pending
        return self.service.operations.schedule(project, [_step(endpoint, action, effect=effect)])


def _step(endpoint: Record, action: str, arguments: Record | None = None, *, effect: str | None = None) -> Step:
    return Step(action, effect or action, endpoint["branch_id"], endpoint["id"], arguments or {})


def start_step(endpoint: Record) -> Step:
    """The operation that starts an endpoint; the endpoint says so from now on."""
    endpoint["pending_state"] = "active"
    return _step(endpoint, "start_compute")


def suspend_step(endpoint: Record, timeline: str | None) -> Step:
    """The operation that suspends an endpoint whose data is on `timeline`; the endpoint says so from now on."""
    endpoint["pending_state"] = "idle"
    return _step(endpoint, "suspend_compute", {"timeline": timeline} if timeline else {})
