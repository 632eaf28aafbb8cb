# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs of `neon_branch`: a branch is made, changed or removed, and read back."""

from __future__ import annotations

import copy
from typing import Any

from .._errors import ApiError, InvalidInput, NotFound, Refused, UnknownOutcome
from .._predicted import is_predicted, not_made_yet, predicted
from .._time import rfc3339
from . import endpoints as computes
from .applied import check_applied, not_shown
from .operations import Waiter
from .tree import BranchTree, shape_branch
from .wanted import Wanted, check_expiry, check_origin, same_expiry

Json = dict[str, Any]


def present(work: Waiter) -> Json:
    """The branch as wanted: created, changed, or found as it is."""
    wanted = Wanted.read(work.task.params)
    if is_predicted(wanted.branch_id):
        return _predicted_only(work, wanted)
    tree = BranchTree.read(work.client, work.project_id)
    check_expiry(wanted, work.client.now)
    found = _locate(tree, wanted, work.project_id)
    return _create(work, tree, wanted) if found is None else _change(work, tree, found, wanted)


def _locate(tree: BranchTree, wanted: Wanted, project_id: str) -> Json | None:
    if wanted.branch_id is not None:
        return tree.require(wanted.branch_id, "branch_id", project_id)
    found = tree.by_name(str(wanted.name))
    renamed = tree.by_name(wanted.new_name) if wanted.new_name else None
    if found is not None and renamed is not None and found["id"] != renamed["id"]:
        raise Refused(
            f"rename branch {wanted.name} to {wanted.new_name}: both exist ({found['id']} and {renamed['id']})",
            code="already_exists",
            hint="Choose another new_name, or rename or delete the branch that has it.",
        )
    return found or renamed


# Creation


def _create(work: Waiter, tree: BranchTree, wanted: Wanted) -> Json:
    if wanted.default:
        raise InvalidInput(
            f"create branch {wanted.subject}: it cannot be made the default in the same task",
            hint="Create it first, and make it the default in a task of its own.",
        )
    parent_id = _parent_id(work, tree, wanted)
    body = _creation_body(wanted, parent_id)
    if work.task.check_mode:
        return _result(True, None, _predicted_branch(wanted, parent_id))
    branch_id = _send_creation(work, tree, body, wanted)
    if work.wait:
        work.ready(branch_id)
    return _result(True, None, _read_back(work, branch_id, wanted, fresh=True))


def _parent_id(work: Waiter, tree: BranchTree, wanted: Wanted) -> str:
    reference = wanted.origin.parent
    if reference is not None and is_predicted(reference) and work.task.check_mode:
        return reference
    parent = tree.require(reference, "parent", work.project_id) if reference is not None else tree.default()
    if parent is None:
        raise NotFound(
            f"create branch {wanted.subject}: project {work.project_id} has no default branch", hint="Set parent."
        )
    if parent.get("expires_at"):
        raise Refused(
            f"create branch {wanted.subject}: its parent {parent.get('name')} expires at {parent['expires_at']}, and "
            "Neon lets no such branch have children",
            code="expiry_not_allowed",
            hint="Clear the expiry first, in a step of its own: neon_branch with expires_at: never.",
        )
    return str(parent["id"])


def _creation_body(wanted: Wanted, parent_id: str) -> Json:
    branch: Json = {"name": wanted.final_name, "parent_id": parent_id, **wanted.origin.body()}
    if wanted.protected is not None:
        branch["protected"] = wanted.protected
    if wanted.expiry() is not None:
        branch["expires_at"] = wanted.expiry()
    endpoints = [{"type": item["type"], **computes.limits_in(item)} for item in wanted.endpoints or []]
    body: Json = {"branch": branch, "endpoints": endpoints}
    if wanted.annotations:
        body["annotation_value"] = wanted.annotations
    return body


def _send_creation(work: Waiter, tree: BranchTree, body: Json, wanted: Wanted) -> str:
    """Send the creation once, wait for its operations, and return the new branch's id."""
    try:
        reply = work.client.create_branch(work.project_id, body)
    except UnknownOutcome as error:
        found = work.read_back(lambda: _newly_named(work, tree, wanted.final_name))
        if found is None:
            error.hint = f"No branch {wanted.final_name} is there now, so it was not created: run the task again."
            error.retryable = True
            raise
        work.known["branch"] = shape_branch(found, {}, (), ())
        work.settle(found["id"])
        return str(found["id"])
    branch = reply["branch"]
    work.known["branch"] = shape_branch(branch, wanted.annotations or {}, (), reply.get("endpoints") or [])
    work.finish(reply)
    return str(branch["id"])


def _newly_named(work: Waiter, tree: BranchTree, name: str) -> Json | None:
    branches, _annotations = work.client.branches(work.project_id, search=name)
    return next((item for item in branches if item.get("name") == name and tree.by_id(item["id"]) is None), None)


def _predicted_branch(wanted: Wanted, parent_id: str | None) -> Json:
    raw: Json = {
        "id": predicted("branch", wanted.final_name),
        "name": wanted.final_name,
        "parent_id": parent_id,
        "parent_lsn": wanted.origin.lsn,
        "parent_timestamp": rfc3339(wanted.origin.at) if wanted.origin.at else None,
        "default": bool(wanted.default),
        "protected": bool(wanted.protected),
        "expires_at": wanted.expiry(),
    }
    endpoints = [computes.predicted_endpoint(wanted.final_name, item) for item in wanted.endpoints or []]
    return shape_branch(raw, wanted.annotations or {}, (), endpoints)


def _predicted_only(work: Waiter, wanted: Wanted) -> Json:
    """A branch that an earlier task of a check run would have made."""
    if not work.task.check_mode:
        raise not_made_yet(f"use branch {wanted.branch_id}: it does not exist yet")
    name = wanted.new_name or wanted.name or str(wanted.branch_id).partition("/")[2]
    after = _predicted_branch(wanted, wanted.origin.parent)
    after.update(id=predicted("branch", name), name=name)
    return _result(True, None, after)


# Changes


def _change(work: Waiter, tree: BranchTree, found: Json, wanted: Wanted) -> Json:
    check_origin(found, wanted.origin, tree, work.project_id)
    before = tree.shape(found)
    changes = _differences(before, wanted)
    make_default = bool(wanted.default) and not before["default"]
    _check_change(tree, before, wanted, changes)
    wanted_computes = _compute_changes(before, wanted)
    if not (changes or make_default or wanted_computes):
        if work.wait and before["current_state"] not in ("ready", "archived") and not work.task.check_mode:
            work.known["branch"] = before
            work.settle(found["id"])
            work.ready(found["id"])
            return _result(False, before, _read_back(work, found["id"], wanted), same=True)
        return _result(False, before, before)
    if work.task.check_mode:
        return _result(True, before, _predicted_change(before, wanted, changes, wanted_computes))
    work.known["branch"] = before
    for step in _steps(changes):
        _patch(work, found["id"], step)
    if make_default:
        _set_default(work, found["id"])
    for existing_id, options in wanted_computes:
        if existing_id is None:
            computes.create(work, found["id"], options)
        else:
            computes.update(work, existing_id, options)
    if work.wait:
        work.ready(found["id"])
    return _result(True, before, _read_back(work, found["id"], wanted))


def _differences(before: Json, wanted: Wanted) -> Json:
    """What one PATCH of the branch would have to say."""
    changes: Json = {}
    name = wanted.new_name or (wanted.name if wanted.branch_id else None)
    if name is not None and before["name"] != name:
        changes["name"] = name
    if wanted.protected is not None and bool(before["protected"]) != wanted.protected:
        changes["protected"] = wanted.protected
    if wanted.expires_at is not None and not same_expiry(before["expires_at"], wanted.expires_at):
        changes["expires_at"] = wanted.expiry()
    return changes


def _steps(changes: Json) -> list[Json]:
    """The changes in an order that Neon accepts: a branch must neither expire while protected nor the reverse."""
    if "expires_at" not in changes or "protected" not in changes:
        return [changes] if changes else []
    last = "protected" if changes["expires_at"] is None else "expires_at"
    return [{name: value for name, value in changes.items() if name != last}, {last: changes[last]}]


def _check_change(tree: BranchTree, before: Json, wanted: Wanted, changes: Json) -> None:
    name = before["name"]
    taken = tree.by_name(changes["name"]) if "name" in changes else None
    if taken is not None:
        raise Refused(
            f"rename branch {name} to {changes['name']}: branch {taken['id']} has that name",
            code="already_exists",
            hint="Choose another name, or rename or delete that branch.",
        )
    if wanted.default is False and before["default"]:
        raise Refused(
            f"make branch {name} not the default: a project always has one",
            code="default_branch",
            hint="Make another branch the default instead.",
        )
    if changes.get("expires_at") is not None:
        stays_protected = before["protected"] if wanted.protected is None else wanted.protected
        reason = (
            "it is the default branch"
            if before["default"]
            else "it is protected"
            if stays_protected
            else f"it has children ({', '.join(before['children'])})"
            if before["children"]
            else None
        )
        if reason:
            raise Refused(
                f"set expires_at of branch {name}: {reason}, and such a branch cannot expire",
                code="expiry_not_allowed",
                hint="Leave expires_at out for this branch.",
            )
    expires = before["expires_at"] if wanted.expires_at is None else wanted.expiry()
    if expires and ((wanted.default and not before["default"]) or changes.get("protected")):
        raise Refused(
            f"make branch {name} {'protected' if changes.get('protected') else 'the default'}: it expires at {expires}",
            code="expiry_not_allowed",
            hint="Clear the expiry: expires_at: never.",
        )


def _compute_changes(before: Json, wanted: Wanted) -> list[tuple[str | None, Json]]:
    """For each wanted compute: (None, options) to add one, or (id, changes). Computes are never taken away here."""
    result: list[tuple[str | None, Json]] = []
    free = list(before["endpoints"])
    for options in wanted.endpoints or []:
        existing = next((item for item in free if item["type"] == options["type"]), None)
        if existing is None:
            result.append((None, options))
            continue
        free.remove(existing)
        changes = computes.differing(existing, computes.limits_in(options))
        if changes:
            result.append((existing["id"], changes))
    return result


def _predicted_change(
    before: Json, wanted: Wanted, changes: Json, wanted_computes: list[tuple[str | None, Json]]
) -> Json:
    after = copy.deepcopy(before)
    after.update(changes)
    if wanted.default:
        after["default"] = True
    for existing_id, options in wanted_computes:
        if existing_id is None:
            after["endpoints"].append(computes.predicted_endpoint(after["name"], options))
        for endpoint in after["endpoints"]:
            if endpoint["id"] == existing_id:
                endpoint.update(options)
    return after


def _patch(work: Waiter, branch_id: str, changes: Json) -> None:
    try:
        work.finish(work.client.update_branch(work.project_id, branch_id, changes))
    except UnknownOutcome:
        if work.read_back(lambda: _has(work, branch_id, changes)) is None:
            raise
        work.settle(branch_id)


def _has(work: Waiter, branch_id: str, changes: Json) -> Json | None:
    branch = work.client.branch(work.project_id, branch_id)
    return branch if not not_shown(branch, changes) else None


def _set_default(work: Waiter, branch_id: str) -> None:
    try:
        work.finish(work.client.set_default_branch(work.project_id, branch_id))
    except UnknownOutcome:
        if work.read_back(lambda: _has(work, branch_id, {"default": True})) is None:
            raise


def _read_back(work: Waiter, branch_id: str, wanted: Wanted, *, fresh: bool = False) -> Json:
    """The branch as it is now, proven to be as wanted."""
    tree = BranchTree.read(work.client, work.project_id)
    branch = tree.require(branch_id, "branch", work.project_id)
    expected: Json = {}
    if wanted.new_name or not wanted.branch_id:
        expected["name"] = wanted.final_name
    if wanted.protected is not None:
        expected["protected"] = wanted.protected
    if wanted.default:
        expected["default"] = True
    if wanted.expires_at is not None:
        expected["expires_at"] = wanted.expiry()
    partial = {"branch": tree.shape(branch), "operations": work.operations()}
    check_applied("branch", branch, expected, partial)
    if work.wait:
        _check_computes(partial, wanted)
    check_origin(branch, wanted.origin, tree, work.project_id, fresh=fresh)
    return tree.shape(branch)


def _check_computes(partial: Json, wanted: Wanted) -> None:
    """:raises ApiError: where one of the computes asked for is not there, or not with its limits."""
    free = list(partial["branch"]["endpoints"])
    # Those of whom most is asked choose first: Neon lists computes in no order that it promises.
    for options in sorted(wanted.endpoints or [], key=lambda item: -len(computes.limits_in(item))):
        limits = computes.limits_in(options)
        fitting = (item for item in free if item["type"] == options["type"] and not computes.differing(item, limits))
        found = next(fitting, None)
        if found is None:
            raise ApiError(
                f"change branch {partial['branch']['id']}: Neon accepted it, but no compute of type {options['type']} "
                "is as asked for",
                code="not_applied",
                hint="Look at the branch in Neon's console; somebody else may be changing it.",
                partial=partial,
            )
        free.remove(found)


def _result(changed: bool, before: Json | None, after: Json | None, *, same: bool = False) -> Json:
    return {
        "changed": changed,
        "branch": after,
        "diff": {"before": (after if same else before) or {}, "after": after or {}},
    }
