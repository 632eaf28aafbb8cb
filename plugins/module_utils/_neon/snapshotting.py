# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs of `neon_snapshot` that make, change and remove a snapshot. Restoring one is in `finalizing`.

A snapshot is made of a root branch only, within the history window; it outlives both (Neon's documentation of
snapshots, beta). Its creation takes query parameters and no body (API description).
"""

from __future__ import annotations

import datetime
from typing import Any

from .._errors import InvalidInput, Refused, UnknownOutcome
from .._predicted import is_predicted, predicted
from .._time import lsn_number, rfc3339, utc_now
from .applied import check_applied, not_shown
from .causes import NOT_ROOT, SNAPSHOTS_LIMIT
from .operations import Waiter
from .projects import limits_of, plan_of
from .removal import detaching
from .snapshots import Shelf, shape_snapshot
from .tree import BranchTree
from .wanted import Origin, api_instant, read_expiry, same_expiry, same_instant

Json = dict[str, Any]


def present(work: Waiter) -> Json:
    """The snapshot as wanted: made, changed, or found as it is."""
    params = work.task.params
    point = Origin.read({"parent_timestamp": params.get("timestamp"), "parent_lsn": params.get("lsn")})
    expires = read_expiry(params.get("expires_at"))
    if is_predicted(params.get("snapshot_id")):
        return _predicted_only(work, point, expires)
    shelf = Shelf.read(work.client, work.project_id)
    _check_expiry(expires, work.client.now, str(params.get("name") or params["snapshot_id"]))
    found = _locate(work, shelf)
    if found is None:
        return _create(work, shelf, point, expires)
    return _change(work, found, point, expires)


def absent(work: Waiter) -> Json:
    """Remove the snapshot, where it is there. Branches that were restored from it stay."""
    params = work.task.params
    reference = str(params.get("snapshot_id") or params.get("name"))
    if is_predicted(reference):
        _only_in_check_mode(work, reference)
        return _result(True, {"id": reference}, None)
    found = Shelf.read(work.client, work.project_id).find(params)
    if found is None:
        return _result(False, None, None)
    before = shape_snapshot(found)
    work.known["snapshot"] = before
    if not work.task.check_mode:
        try:
            work.finish(work.client.delete_snapshot(work.project_id, found["id"]))
            work.until_gone(f"snapshot {found.get('name')}", lambda: _gone(work, found["id"]))
        except UnknownOutcome:
            if work.read_back(lambda: _gone(work, found["id"])) is None:
                raise
    return _result(True, before, None)


def _gone(work: Waiter, snapshot_id: str) -> Json | None:
    return {"gone": True} if Shelf.read(work.client, work.project_id).by_id(snapshot_id) is None else None


def _locate(work: Waiter, shelf: Shelf) -> Json | None:
    """The snapshot by its id, by its name, or by the name that it shall get, where an earlier run renamed it."""
    params = work.task.params
    if params.get("snapshot_id"):
        return shelf.require(params, work.project_id)
    found = shelf.find(params)
    if found is None and params.get("new_name"):
        return shelf.find({"name": params["new_name"]})
    return found


# Creation


def _create(work: Waiter, shelf: Shelf, point: Origin, expires: datetime.datetime | str | None) -> Json:
    params = work.task.params
    name = str(params.get("new_name") or params["name"])
    reference = params.get("branch")
    if is_predicted(reference) and work.task.check_mode:
        return _result(True, None, _predicted_snapshot(name, reference, point, expires))
    tree = BranchTree.read(work.client, work.project_id)
    source = tree.require(reference, "branch", work.project_id) if reference else tree.default()
    if source is None:
        raise InvalidInput(f"make snapshot {name}: the project has no default branch", hint="Set branch.")
    check_room(work, shelf, name)
    _check_root(work, source, name)
    if work.task.check_mode:
        return _result(True, None, _predicted_snapshot(name, source["id"], point, expires))
    snapshot_id = _send(work, shelf, source["id"], _query(name, point, expires))
    made = Shelf.read(work.client, work.project_id).require({"snapshot_id": snapshot_id}, work.project_id)
    _check_point(work, made, point)
    return _result(True, None, shape_snapshot(made))


def check_room(work: Waiter, shelf: Shelf, name: str) -> None:
    """Refuse one manual snapshot more than the plan has, also in check mode."""
    project = work.client.project(work.project_id)
    limit = limits_of(project, plan_of(project))["manual_snapshots"]
    if limit is not None and shelf.manual() >= limit:
        kept = ", ".join(str(item.get("name")) for item in shelf.snapshots if item.get("manual"))
        raise Refused(
            f"make snapshot {name}: the project has {shelf.manual()} manual snapshots ({kept}), and its plan allows "
            f"{limit}",
            code=SNAPSHOTS_LIMIT,
            hint="Delete one that is no longer needed: neon_snapshot with state: absent.",
        )


def _check_root(work: Waiter, source: Json, name: str) -> None:
    """Refuse a child; a root that Neon is still detaching after an in-place restore is waited for."""
    if not source.get("parent_id"):
        return
    if not detaching(work, source):
        raise Refused(
            f"make snapshot {name} of branch {source.get('name')} ({source['id']}): it is a child of "
            f"{source['parent_id']}, and Neon makes snapshots of root branches only",
            code=NOT_ROOT,
            hint="Make a branch of it instead (neon_branch), or a snapshot of its root.",
        )
    if not work.task.check_mode and work.wait:
        work.until(
            f"branch {source['id']} to be detached",
            lambda: work.client.branch(work.project_id, source["id"]),
            lambda branch: not branch.get("parent_id"),
            "parent_id",
        )


def _query(name: str, point: Origin, expires: datetime.datetime | str | None) -> Json:
    moment = {key.removeprefix("parent_"): value for key, value in point.body().items()}
    return {"name": name, **moment, "expires_at": _as_text(expires)}


def _send(work: Waiter, shelf: Shelf, branch_id: str, query: Json) -> str:
    try:
        reply = work.client.create_snapshot(work.project_id, branch_id, query)
    except UnknownOutcome as error:
        found = work.read_back(lambda: _newly_named(work, shelf, query["name"]))
        if found is None:
            error.hint = f"No snapshot {query['name']} is there now, so it was not made: run the task again."
            error.retryable = True
            raise
        work.known["snapshot"] = shape_snapshot(found)
        work.settle(branch_id)
        return str(found["id"])
    work.known["snapshot"] = shape_snapshot(reply["snapshot"])
    work.finish(reply)
    return str(reply["snapshot"]["id"])


def _newly_named(work: Waiter, shelf: Shelf, name: str) -> Json | None:
    now = Shelf.read(work.client, work.project_id)
    return next((item for item in now.named(name) if shelf.by_id(item["id"]) is None), None)


def _predicted_snapshot(
    name: str, source_id: str | None, point: Origin, expires: datetime.datetime | str | None
) -> Json:
    return shape_snapshot(
        {
            "id": predicted("snapshot", name),
            "name": name,
            "source_branch_id": source_id,
            "timestamp": rfc3339(point.at) if point.at is not None else None,
            "lsn": point.lsn,
            "expires_at": _as_text(expires),
            "manual": True,
        }
    )


def _predicted_only(work: Waiter, point: Origin, expires: datetime.datetime | str | None) -> Json:
    params = work.task.params
    _only_in_check_mode(work, params["snapshot_id"])
    name = params.get("new_name") or params.get("name") or str(params["snapshot_id"]).partition("/")[2]
    return _result(True, None, _predicted_snapshot(name, params.get("branch"), point, expires))


def _only_in_check_mode(work: Waiter, reference: str) -> None:
    if not work.task.check_mode:
        Shelf([]).require({"snapshot_id": reference}, work.project_id)


# Changes


def _change(work: Waiter, found: Json, point: Origin, expires: datetime.datetime | str | None) -> Json:
    params = work.task.params
    _check_source(work, found)
    _check_point(work, found, point)
    before = shape_snapshot(found)
    changes: Json = {}
    name = params.get("new_name") or (params.get("name") if params.get("snapshot_id") else None)
    if name is not None and before["name"] != name:
        changes["name"] = name
    if expires is not None and not same_expiry(before["expires_at"], expires):
        changes["expires_at"] = _as_text(expires)
    if not changes:
        return _result(False, before, before)
    if work.task.check_mode:
        return _result(True, before, {**before, **changes})
    work.known["snapshot"] = before
    try:
        work.client.update_snapshot(work.project_id, found["id"], changes)
    except UnknownOutcome:
        if work.read_back(lambda: _changed(work, found["id"], changes)) is None:
            raise
    after = Shelf.read(work.client, work.project_id).require({"snapshot_id": found["id"]}, work.project_id)
    check_applied("snapshot", after, changes, {"snapshot": shape_snapshot(after)})
    return _result(True, before, shape_snapshot(after))


def _changed(work: Waiter, snapshot_id: str, changes: Json) -> Json | None:
    found = Shelf.read(work.client, work.project_id).by_id(snapshot_id)
    return found if found is not None and not not_shown(found, changes) else None


def _check_source(work: Waiter, found: Json) -> None:
    """Refuse a snapshot of the wanted name that was made of another branch than the one asked for."""
    reference = work.task.params.get("branch")
    if reference is None or is_predicted(reference) or found.get("source_branch_id") == reference:
        return
    branch = BranchTree.read(work.client, work.project_id).find(reference)
    if branch is None or branch["id"] != found.get("source_branch_id"):
        raise Refused(
            f"use snapshot {found.get('name')} ({found['id']}): it was made of branch {found.get('source_branch_id')}, "
            f"and asked for is {reference}",
            code="other_origin",
            hint="Choose another name, or rename or delete that snapshot.",
        )


def _check_point(work: Waiter, found: Json, point: Origin) -> None:
    """Refuse a snapshot of another instant. What Neon does not say contradicts nothing, and is said."""
    told = found.get("timestamp") if point.at is not None else found.get("lsn")
    if point.at is None and point.lsn is None:
        return
    if not told:
        name = found.get("name")
        work.task.warn(f"Neon does not say at which point snapshot {name} was taken; it counts as {point.point()}.")
        return
    if point.at is not None:
        same = same_instant(api_instant(told), point.at)
    else:
        same = lsn_number(told) == lsn_number(str(point.lsn))
    if not same:
        raise Refused(
            f"use snapshot {found.get('name')} ({found['id']}): it is of {told}, and asked for is {point.point()}",
            code="other_origin",
            hint="Choose another name, or rename or delete that snapshot.",
        )


# Expiry: a snapshot may be kept for longer than a branch, there is no limit of 30 days (Neon's documentation).


def _check_expiry(expires: datetime.datetime | str | None, now: datetime.datetime | None, name: str) -> None:
    if isinstance(expires, datetime.datetime) and expires <= (now or utc_now()):
        raise InvalidInput(
            f"set expires_at of snapshot {name} to {rfc3339(expires)}: it has passed",
            code="expiry_not_allowed",
            hint="Choose an instant in the future, or never.",
        )


def _as_text(expires: datetime.datetime | str | None) -> str | None:
    return rfc3339(expires) if isinstance(expires, datetime.datetime) else None


def _result(changed: bool, before: Json | None, after: Json | None) -> Json:
    return {
        "changed": changed,
        "snapshot": after,
        "branch": None,
        "replaced_branch": None,
        "diff": {"before": before or {}, "after": after or {}},
    }
