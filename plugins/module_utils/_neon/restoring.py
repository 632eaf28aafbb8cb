# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The in-place restore: the branch keeps its id, name and compute, its old state moves to a branch of its own.

(Neon's API description, ``restoreProjectBranch``; what it really does is in Neon's documentation under "Instant
restore" and in the clients that rely on it: neonctl, dyad.)
"""

from __future__ import annotations

import copy
import datetime
from typing import Any

from .._errors import InvalidInput, NotFound, Refused, UnknownOutcome
from .._predicted import is_predicted, not_made_yet, predicted
from .._time import lsn_number, parse_instant, parse_lsn, rfc3339
from .operations import Waiter
from .removal import DETACH
from .tree import BranchTree, shape_branch
from .wanted import Origin, api_instant, same_instant

Json = dict[str, Any]

# One restore resets the branch and makes the one with its old state; Neon notes the two one after the other.
_ONE_RESTORE = datetime.timedelta(minutes=1)
# Neon notes most times in whole seconds.
_WHOLE_SECONDS = datetime.timedelta(seconds=1)


def restore(work: Waiter) -> Json:
    """Restore the branch, or find that it was done: the branch with the old state has the wanted name."""
    params = work.task.params
    point = _point(params)
    if is_predicted(params["branch_id"]) or is_predicted(params.get("source_branch_id")):
        return _on_predicted(work, point)
    tree = BranchTree.read(work.client, work.project_id)
    target = tree.require(params["branch_id"], "branch_id", work.project_id)
    source = tree.require(params.get("source_branch_id") or target["id"], "source_branch_id", work.project_id)
    itself = source["id"] == target["id"]
    if itself and not point.body():
        raise InvalidInput(
            f"restore branch {target.get('name')} from itself: no restore point was given",
            hint="Set source_timestamp or source_lsn.",
        )
    name = params["preserve_under_name"]
    preserved = tree.by_name(name)
    if preserved is not None:
        _check_preserved(target, source, preserved, point)
        return _already(work, tree, target, preserved)
    _check(work, target, source, point)
    before = tree.shape(target)
    if work.task.check_mode:
        return _predicted_result(before, name, point, source["id"])
    work.known["branch"] = before
    reply = _send(work, target, _body(source["id"], point, name), name)
    work.finish(reply, ignore=frozenset({DETACH}))
    if work.wait:
        work.ready(target["id"])
    return _read_back(work, target["id"], name, before, itself=itself)


def _point(params: Json) -> Origin:
    at, lsn = params.get("source_timestamp"), params.get("source_lsn")
    return Origin(at=parse_instant(at) if at is not None else None, lsn=parse_lsn(lsn) if lsn is not None else None)


def _body(source_id: str, point: Origin, name: str) -> Json:
    moment = {key.replace("parent_", "source_"): value for key, value in point.body().items()}
    return {"source_branch_id": source_id, **moment, "preserve_under_name": name}


def _check(work: Waiter, target: Json, source: Json, point: Origin) -> None:
    name = f"{target.get('name')} ({target['id']})"
    if target.get("protected"):
        raise Refused(
            f"restore branch {name} in place: it is protected",
            code="branch_protected",
            hint="Take the protection off first, in a step of its own (neon_branch with protected: false), and put it "
            "back afterwards.",
        )
    restricted = next((item for item in target.get("restricted_actions") or [] if item.get("name") == "restore"), None)
    if restricted is not None:
        raise Refused(
            f"restore branch {name} in place: {restricted.get('reason') or 'Neon does not allow it now'}",
            code="restore_restricted",
            hint="Make a new branch at the restore point instead (neon_branch), and point the application to it.",
        )
    if point.body() and (target.get("parent_id") or source.get("parent_id")):
        work.task.warn(
            f"Neon documents a restore to a point in time for root branches only; {name} or its source is a child, so "
            "Neon may refuse."
        )


def _check_preserved(target: Json, source: Json, preserved: Json, point: Origin) -> None:
    """Refuse where it is not proven that the branch of that name was kept by this very restore."""
    reason = _contradiction(target, source, preserved, point)
    if reason:
        raise Refused(
            f"restore branch {target.get('name')} in place: {preserved.get('name')} ({preserved['id']}) exists, and "
            f"{reason}",
            code="other_origin",
            hint="Choose another preserve_under_name.",
        )


def _contradiction(target: Json, source: Json, preserved: Json, point: Origin) -> str | None:
    """Why the branch is no proof; None where it is one.

    Its parent tells where the target's data comes from, and so does the point. A root that was restored from itself is
    detached soon after, and tells nothing any more: then the old state must have been born when the target was reset.
    """
    parent, reset = target.get("parent_id") or None, target.get("last_reset_at") or None
    expected = preserved["id"] if source["id"] == target["id"] else source["id"]
    if preserved["id"] == target["id"]:
        return "it is the branch itself"
    if parent != preserved["id"] and not reset:
        return f"branch {target['id']} was never restored"
    if parent != expected and (parent or source["id"] != target["id"]):
        return f"branch {target['id']} comes from {parent or 'no other branch'}, not from {source['id']}"
    if parent and not _same_point(target, point):
        known = target.get("parent_timestamp") or target.get("parent_lsn")
        return f"it comes from a restore to {known}, not to {point.point()}"
    if reset and point.at is not None and point.at - api_instant(reset) > _WHOLE_SECONDS:
        return f"the last restore was made at {reset}, before {point.point()}"
    if parent != preserved["id"] and not _born_with(preserved, str(reset)):
        return f"it was made at {preserved.get('created_at')}, and branch {target['id']} was last restored at {reset}"
    return None


def _born_with(preserved: Json, reset: str) -> bool:
    """Whether the branch was made by the restore of that time."""
    born = preserved.get("created_at")
    return bool(born) and abs(api_instant(str(born)) - api_instant(reset)) <= _ONE_RESTORE


def _same_point(target: Json, point: Origin) -> bool:
    """Like with like: what Neon does not say contradicts nothing."""
    if point.lsn is not None and target.get("parent_lsn"):
        return lsn_number(target["parent_lsn"]) == lsn_number(point.lsn)
    if point.at is not None and target.get("parent_timestamp"):
        return same_instant(api_instant(target["parent_timestamp"]), point.at)
    return True


def _already(work: Waiter, tree: BranchTree, target: Json, preserved: Json) -> Json:
    """Done before, perhaps by a run that was killed while it waited."""
    if not work.task.check_mode and work.wait and target.get("current_state") != "ready":
        work.known["branch"] = tree.shape(target)
        work.settle(target["id"])
        work.ready(target["id"])
        tree = BranchTree.read(work.client, work.project_id)
        target = tree.require(target["id"], "branch_id", work.project_id)
    branch, kept = tree.shape(target), tree.shape(preserved)
    return _result(False, branch, branch, kept)


def _send(work: Waiter, target: Json, body: Json, name: str) -> Json:
    try:
        return work.client.restore_branch(work.project_id, target["id"], body)
    except UnknownOutcome as error:
        found = work.read_back(lambda: _named(work, name))
        if found is None:
            error.hint = f"No branch {name} is there now, so it was not restored: run the task again."
            error.retryable = True
            raise
        running = work.client.running_operations(work.project_id)
        return {"operations": [item for item in running if item.get("branch_id") in (target["id"], found["id"])]}


def _named(work: Waiter, name: str) -> Json | None:
    branches, _annotations = work.client.branches(work.project_id, search=name)
    return next((branch for branch in branches if branch.get("name") == name), None)


def _read_back(work: Waiter, target_id: str, name: str, before: Json, *, itself: bool) -> Json:
    """The branch and the one with its old state, as they are now: names move and lineage changes in a restore."""
    tree = BranchTree.read(work.client, work.project_id)
    target = tree.require(target_id, "branch_id", work.project_id)
    preserved = tree.by_id(target.get("parent_id") or "") if itself else None
    if preserved is None or preserved.get("name") != name:
        # Detached already, or restored from another branch: the parent then is not the one with the old state.
        preserved = tree.by_name(name)
    if preserved is None:
        raise NotFound(
            f"restore branch {target.get('name')} in place: Neon reports success, but no branch {name} is there",
            code="not_applied",
            hint="Look at the project's branches in Neon's console before anything else: the old state may bear "
            "another name.",
            partial={"branch": tree.shape(target), "operations": work.operations()},
        )
    return _result(True, before, tree.shape(target), tree.shape(preserved))


def _result(changed: bool, before: Json, after: Json, preserved: Json | None) -> Json:
    old: Json = {"branch": before, "preserved_branch": preserved if not changed else {}}
    return {
        "changed": changed,
        "branch": after,
        "preserved_branch": preserved,
        "diff": {"before": old, "after": {"branch": after, "preserved_branch": preserved}},
    }


def _predicted_result(before: Json, name: str, point: Origin, source_id: str) -> Json:
    preserved = copy.deepcopy(before)
    preserved.update(
        id=predicted("branch", name),
        name=name,
        default=False,
        protected=False,
        expires_at=None,
        endpoints=[],
        annotations={},
        created_at=None,
        updated_at=None,
        last_reset_at=None,
    )
    after = copy.deepcopy(before)
    after.update(
        parent_id=preserved["id"] if source_id == before["id"] else source_id,
        parent_lsn=point.lsn,
        parent_timestamp=rfc3339(point.at) if point.at is not None else None,
        children=[],
        last_reset_at=None,
        updated_at=None,
    )
    if source_id == before["id"]:
        preserved["children"] = sorted([*before["children"], before["id"]])
    return _result(True, before, after, preserved)


def _on_predicted(work: Waiter, point: Origin) -> Json:
    params = work.task.params
    if not work.task.check_mode:
        raise not_made_yet(f"restore branch {params['branch_id']} in place: it or its source does not exist yet")
    branch_id, source_id = params["branch_id"], params.get("source_branch_id") or params["branch_id"]
    if is_predicted(branch_id):
        before = shape_branch({"id": branch_id, "name": branch_id.partition("/")[2]}, {}, (), ())
    else:
        tree = BranchTree.read(work.client, work.project_id)
        before = tree.shape(tree.require(branch_id, "branch_id", work.project_id))
    return _predicted_result(before, params["preserve_under_name"], point, source_id)
