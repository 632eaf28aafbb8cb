# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Computes: what is wanted of one, what differs, and the verbs of `neon_endpoint`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import ApiError, InvalidInput, NotFound, Refused, UnknownOutcome
from .._predicted import is_predicted, not_made_yet, predicted
from .operations import Waiter
from .tree import LIMIT_FIELDS, shape_endpoint

Json = dict[str, Any]

# suspend_timeout_seconds: 0 means Neon's default, which is 300 (API description).
_DEFAULT_SUSPEND = (0, 300)

LIMIT_OPTIONS: dict[str, dict[str, Any]] = {
    "autoscaling_limit_min_cu": {"type": "float"},
    "autoscaling_limit_max_cu": {"type": "float"},
    "suspend_timeout_seconds": {"type": "int"},
    "settings": {"type": "dict"},
}


def limits_in(options: Mapping[str, Any]) -> Json:
    """The limits that are given, as the API takes them."""
    limits = {name: options[name] for name in LIMIT_FIELDS if options.get(name) is not None}
    low, high = limits.get("autoscaling_limit_min_cu"), limits.get("autoscaling_limit_max_cu")
    if low is not None and high is not None and low > high:
        raise InvalidInput(
            f"set the limits of a compute: autoscaling_limit_min_cu {low} is above autoscaling_limit_max_cu {high}",
            hint="Give a minimum that is not above the maximum.",
        )
    return limits


def differing(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> Json:
    """Those of the wanted values that the compute does not have."""
    return {name: value for name, value in wanted.items() if not _same(name, existing.get(name), value)}


def _same(name: str, existing: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        present = existing if isinstance(existing, Mapping) else {}
        return all(_same(key, present.get(key), value) for key, value in wanted.items())
    if name == "suspend_timeout_seconds" and wanted in _DEFAULT_SUSPEND and existing in _DEFAULT_SUSPEND:
        return True
    if isinstance(wanted, str) or isinstance(existing, str):
        return str(existing) == str(wanted)
    return bool(existing == wanted)


def predicted_endpoint(branch_name: str, options: Mapping[str, Any]) -> Json:
    """A compute that check mode says there would be."""
    raw = {"id": predicted("endpoint", branch_name), "type": options.get("type"), "disabled": False}
    return shape_endpoint({**raw, **limits_in(options), **_given(options, "disabled")})


def _given(options: Mapping[str, Any], name: str) -> Json:
    return {name: options[name]} if options.get(name) is not None else {}


def create(work: Waiter, branch_id: str, options: Mapping[str, Any]) -> str:
    """Add a compute, wait for its operations, and return its id."""
    body = {"branch_id": branch_id, "type": options["type"], **limits_in(options), **_given(options, "disabled")}
    before = {endpoint["id"] for endpoint in work.client.endpoints(work.project_id, branch_id)}
    try:
        reply = work.client.create_endpoint(work.project_id, body)
    except UnknownOutcome:
        found = work.read_back(lambda: _new_one(work, branch_id, before, options["type"]))
        if found is None:
            raise
        work.settle(branch_id)
        return str(found["id"])
    work.finish(reply)
    return str(reply["endpoint"]["id"])


def _new_one(work: Waiter, branch_id: str, before: set[str], kind: str) -> Json | None:
    endpoints = work.client.endpoints(work.project_id, branch_id)
    return next((item for item in endpoints if item["id"] not in before and item.get("type") == kind), None)


def update(work: Waiter, endpoint_id: str, changes: Json) -> None:
    """Change a compute and wait for its operations; a lost answer is read back."""
    try:
        reply = work.client.update_endpoint(work.project_id, endpoint_id, changes)
    except UnknownOutcome:
        done = work.read_back(lambda: _if(not differing(now := _read(work, endpoint_id), changes), now))
        if done is None:
            raise
        work.settle(str(done.get("branch_id")))
    else:
        work.finish(reply)


def _read(work: Waiter, endpoint_id: str) -> Json:
    return work.client.endpoint(work.project_id, endpoint_id)


def _if(condition: bool, value: Json) -> Json | None:
    return value if condition else None


def apply(work: Waiter) -> Json:
    """The verbs of `neon_endpoint`: present, started, suspended, absent."""
    params = work.task.params
    branch_id, state = params["branch_id"], params["state"]
    limits_in(params)
    if is_predicted(branch_id) or is_predicted(params.get("endpoint_id")):
        return _on_predicted(work, state)
    found = _find(work)
    if state == "absent":
        return _absent(work, found)
    before = _shape(found) if found else None
    if found is None:
        if params.get("endpoint_id") or state == "suspended":
            raise NotFound(
                f"find a compute of type {params['type']} on branch {branch_id}: there is none",
                code="no_compute",
                hint="Use state present or started to add one.",
            )
        if work.task.check_mode:
            after = _predicted_after(None, params, state)
            return _result(True, before, after)
        endpoint_id = create(work, branch_id, params)
        found, changed = _read(work, endpoint_id), True
    else:
        changes = differing(found, {**limits_in(params), **_given(params, "disabled")})
        changed = bool(changes)
        if work.task.check_mode:
            running = _would_change_state(found, state, changes)
            return _result(changed or running, before, _predicted_after(found, {**params, **changes}, state))
        if changes:
            update(work, found["id"], changes)
            found = _read(work, found["id"])
    work.known["endpoint"] = _shape(found)
    if _switch(work, found, state):
        changed = True
    return _result(changed, before, _shape(_read(work, found["id"])))


def _result(changed: bool, before: Json | None, after: Json | None) -> Json:
    return {"changed": changed, "endpoint": after, "diff": {"before": before or {}, "after": after or {}}}


def _shape(endpoint: Json) -> Json:
    return {
        "project_id": endpoint.get("project_id"),
        "branch_id": endpoint.get("branch_id"),
        **shape_endpoint(endpoint),
    }


def _find(work: Waiter) -> Json | None:
    params = work.task.params
    wanted_id = params.get("endpoint_id")
    try:
        endpoints = work.client.endpoints(work.project_id, params["branch_id"])
    except NotFound:
        if params["state"] == "absent":
            return None
        raise
    if wanted_id:
        return next((item for item in endpoints if item["id"] == wanted_id), None)
    found = [item for item in endpoints if item.get("type") == params["type"]]
    if len(found) > 1:
        raise InvalidInput(
            f"choose a compute of branch {params['branch_id']}: it has {len(found)} of type {params['type']} "
            f"({', '.join(item['id'] for item in found)})",
            hint="Set endpoint_id.",
        )
    return found[0] if found else None


def _would_change_state(endpoint: Json, state: str, changes: Json) -> bool:
    if state == "started":
        _refuse_disabled({**endpoint, **changes})
        return endpoint.get("current_state") != "active"
    return state == "suspended" and endpoint.get("current_state") != "idle"


def _predicted_after(found: Json | None, params: Mapping[str, Any], state: str) -> Json:
    if found is None:
        fresh = predicted_endpoint(params["branch_id"].removeprefix("predicted:branch/"), params)
        after = {"project_id": params["project_id"], "branch_id": params["branch_id"], **fresh}
    else:
        after = _shape({**found, **limits_in(params), **_given(params, "disabled")})
    if state in ("started", "suspended"):
        after["current_state"] = "active" if state == "started" else "idle"
    return after


def _on_predicted(work: Waiter, state: str) -> Json:
    """On a branch that does not exist yet everything is predicted."""
    params = work.task.params
    if not work.task.check_mode:
        raise not_made_yet(f"use a compute of branch {params['branch_id']}: it does not exist yet")
    if state == "absent":
        return _result(True, None, None)
    return _result(True, None, _predicted_after(None, params, state))


def _refuse_disabled(endpoint: Json) -> None:
    if endpoint.get("disabled"):
        raise Refused(
            f"start compute {endpoint['id']}: it is disabled",
            code="compute_disabled",
            hint="Set disabled to false in the same task.",
        )


def _switch(work: Waiter, endpoint: Json, state: str) -> bool:
    """Bring the compute into the wanted state and wait for it; True where something was sent."""
    wanted = {"started": "active", "suspended": "idle"}.get(state)
    if wanted is None or endpoint.get("current_state") == wanted:
        return False
    if state == "started":
        _refuse_disabled(endpoint)
    send = work.client.start_endpoint if state == "started" else work.client.suspend_endpoint
    try:
        work.finish(send(work.project_id, endpoint["id"]))
    except UnknownOutcome:
        # Looking at the state, as below, is the reading back.
        work.task.progress(f"compute {endpoint['id']}: the answer was lost, looking at its state")
    if work.wait:
        work.until(
            f"compute {endpoint['id']}",
            lambda: _read(work, endpoint["id"]),
            lambda now: now.get("current_state") == wanted,
            "current_state",
        )
    return True


def _absent(work: Waiter, found: Json | None) -> Json:
    if found is None:
        return _result(False, None, None)
    before = _shape(found)
    if work.task.check_mode:
        return _result(True, before, None)
    try:
        work.finish(work.client.delete_endpoint(work.project_id, found["id"]))
        work.until_gone(f"compute {found['id']}", lambda: _gone(work, found["id"]))
    except UnknownOutcome:
        if work.read_back(lambda: _gone(work, found["id"])) is None:
            raise
        work.settle(work.task.params["branch_id"])
    except ApiError:
        work.known["endpoint"] = before
        raise
    return _result(True, before, None)


def _gone(work: Waiter, endpoint_id: str) -> Json | None:
    try:
        listed = work.client.endpoints(work.project_id, work.task.params["branch_id"])
    except NotFound:
        listed = []
    return _if(all(item["id"] != endpoint_id for item in listed), {"gone": True})
