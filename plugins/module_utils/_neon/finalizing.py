# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restoring a snapshot: to a new root branch first, and then, finalized, in the place of another branch.

Both are steps of their own (API description, ``restoreSnapshot`` with ``finalize_restore: false`` and
``finalizeRestoreBranch``), so that the data can be looked at in between. Finalized, the restored branch takes the
other's name, flags and computes: hosts stay, the branch's id changes. ``restored_as`` of a branch then names the one
that it replaced, which is how a later run knows that this was done.
"""

from __future__ import annotations

import copy
from typing import Any

from .._errors import ApiError, InvalidInput, NotFound, Refused, UnknownOutcome
from .._predicted import is_predicted, not_made_yet, predicted
from .causes import ALREADY_EXISTS, BRANCHES_LIMIT, ROOTS_LIMIT
from .operations import Waiter
from .projects import limits_of, plan_of
from .snapshots import Shelf, shape_snapshot
from .tree import BranchTree, shape_branch

Json = dict[str, Any]

# The branch is a root of its own until it is finalized; Neon shows "detaching" while it copies the data behind it.
AWAITING = ("restored", "detaching")


def restored(work: Waiter) -> Json:
    """The snapshot on a new root branch: made, or found by its name."""
    snapshot, tree = _snapshot(work), BranchTree.read(work.client, work.project_id)
    target_id = _target_id(work, snapshot, tree)
    replacement = _replacement(work, tree, target_id, snapshot)
    if replacement is not None:
        return _unchanged(snapshot, tree, replacement, target_id)
    found = _restored_branch(work, tree, snapshot)
    if found is not None:
        return _unchanged(snapshot, _settled(work, tree, found), found, None)
    _check_room(work, tree)
    if work.task.check_mode:
        return _result(True, snapshot, None, _predicted_branch(work, snapshot), None)
    return _result(True, snapshot, None, _restore(work, snapshot, tree, target_id), None)


def finalized(work: Waiter) -> Json:
    """The snapshot's branch in the place of the target; restored first, where that was not done."""
    params = work.task.params
    snapshot = _snapshot(work) if params.get("snapshot_id") or params.get("name") else None
    tree = BranchTree.read(work.client, work.project_id)
    if is_predicted(params["target_branch_id"]):
        return _on_predicted_target(work, snapshot)
    replacement = _replacement(work, tree, params["target_branch_id"], snapshot)
    if replacement is not None:
        tree = _settled(work, tree, replacement)
        return _unchanged(snapshot, tree, replacement, params["target_branch_id"])
    target = tree.require(params["target_branch_id"], "target_branch_id", work.project_id)
    found = _restored_branch(work, tree, snapshot)
    _check_finalizing(tree, target, found, params.get("replaced_name"))
    if found is None:
        _check_room(work, tree)
        if snapshot is None:
            raise NotFound(
                f"finalize the restore of branch {params['restore_as']}: there is none of that name",
                hint="Name the snapshot to restore it from: name or snapshot_id.",
            )
    before = tree.shape(target)
    if work.task.check_mode:
        made = tree.shape(found) if found is not None else _predicted_branch(work, snapshot or {})
        return _predicted_finalized(snapshot, before, made, params.get("replaced_name"))
    if found is None:
        found = _restore(work, snapshot or {}, tree, target["id"])
    else:
        _settled(work, tree, found)
    _finalize(work, found["id"], target["id"], params.get("replaced_name"))
    return _read_back(work, snapshot, before, found["id"])


# What there is


def _snapshot(work: Waiter) -> Json:
    """The snapshot of the options as results show it; a predicted one in check mode."""
    reference = work.task.params.get("snapshot_id")
    if is_predicted(reference) and work.task.check_mode:
        return shape_snapshot({"id": reference, "name": str(reference).partition("/")[2], "manual": True})
    shelf = Shelf([]) if is_predicted(reference) else Shelf.read(work.client, work.project_id)
    return shape_snapshot(shelf.require(work.task.params, work.project_id))


def _target_id(work: Waiter, snapshot: Json, tree: BranchTree) -> str | None:
    """Which branch a later finalizing is for. Neon's default is the snapshot's source, even once that was replaced."""
    wanted = work.task.params.get("target_branch_id")
    if wanted is not None:
        if not is_predicted(wanted):
            tree.require(wanted, "target_branch_id", work.project_id)
        return str(wanted)
    source = snapshot.get("source_branch_id")
    return str(source) if source and tree.by_id(source) is not None else None


def _replacement(work: Waiter, tree: BranchTree, target_id: str | None, snapshot: Json | None) -> Json | None:
    """The branch that has taken the target's place.

    :raises Refused: where it came from another snapshot: the target is then the old state of something else.
    """
    found = next((item for item in tree.branches if target_id and item.get("restored_as") == target_id), None)
    if found is None or snapshot is None or found.get("restored_from") == snapshot["id"]:
        return found
    raise Refused(
        f"restore snapshot {snapshot['name']} for branch {target_id}: {found.get('name')} ({found['id']}) has taken "
        "that branch's place before",
        code="target_replaced",
        hint=f"Set target_branch_id to the branch that is meant now, for example {found['id']}.",
    )


def _restored_branch(work: Waiter, tree: BranchTree, snapshot: Json | None) -> Json | None:
    """The branch ``restore_as``, proven to come from the snapshot and to await its finalizing."""
    found = tree.by_name(work.task.params["restore_as"])
    if found is None:
        return None
    reason = None
    if not found.get("restored_from"):
        reason = "was not restored from a snapshot"
    elif snapshot is not None and found["restored_from"] != snapshot["id"]:
        reason = f"comes from snapshot {found['restored_from']}, not from {snapshot['id']}"
    elif found.get("restored_as") or found.get("restore_status") not in (*AWAITING, None):
        reason = f"was finalized already ({found.get('restore_status')}, in place of {found.get('restored_as')})"
    if reason is not None:
        raise Refused(
            f"use branch {found.get('name')} ({found['id']}): it {reason}",
            code="other_origin",
            hint="Choose another restore_as, or rename or delete that branch.",
        )
    return found


def _settled(work: Waiter, tree: BranchTree, found: Json) -> BranchTree:
    """The same branches once the branch is ready: a run that was killed may have left it on its way."""
    if found.get("current_state") in ("ready", "archived") or work.task.check_mode or not work.wait:
        return tree
    work.known["branch"] = tree.shape(found)
    work.settle(found["id"])
    work.ready(found["id"])
    return BranchTree.read(work.client, work.project_id)


def _check_room(work: Waiter, tree: BranchTree) -> None:
    """Refuse a root more than the plan has, also in check mode: plans allow few of them."""
    project = work.client.project(work.project_id)
    limits = limits_of(project, plan_of(project))
    roots = sum(1 for branch in tree.branches if not branch.get("parent_id"))
    for kind, key, used, code in (
        ("root branches", "root_branches", roots, ROOTS_LIMIT),
        ("branches", "branches", len(tree.branches), BRANCHES_LIMIT),
    ):
        if limits[key] is not None and used >= limits[key]:
            raise Refused(
                f"restore to a new root branch {work.task.params['restore_as']}: the project has {used} {kind}, and "
                f"its plan allows {limits[key]}",
                code=code,
                hint="Delete one that is no longer needed.",
            )


def _check_finalizing(tree: BranchTree, target: Json, found: Json | None, replaced_name: str | None) -> None:
    """Refuse what Neon would refuse, and what is not known to be safe."""
    subject = f"put a restored branch in the place of {target.get('name')} ({target['id']})"
    taken = tree.by_name(replaced_name) if replaced_name else None
    if taken is not None and taken["id"] != target["id"]:
        raise Refused(
            f"{subject}: replaced_name {replaced_name} is the name of branch {taken['id']}",
            code=ALREADY_EXISTS,
            hint="Choose another replaced_name.",
        )
    if found is None:
        return
    if found["id"] == target["id"]:
        raise InvalidInput(f"{subject}: it is the restored branch itself", hint="Set target_branch_id to another one.")
    computes = tree.endpoints_of(found["id"])
    if computes:
        raise Refused(
            f"{subject}: {found.get('name')} has computes of its own ({', '.join(item['id'] for item in computes)}), "
            "and nobody says what becomes of them",
            code="has_computes",
            hint="Take them away first: neon_endpoint with state: absent.",
        )
    if found.get("expires_at"):
        raise Refused(
            f"{subject}: {found.get('name')} expires at {found['expires_at']}",
            code="expiry_not_allowed",
            hint="Clear the expiry first, in a step of its own: neon_branch with expires_at: never.",
        )


# The writes


def _restore(work: Waiter, snapshot: Json, tree: BranchTree, target_id: str | None) -> Json:
    """Send the restore once, wait for it, and return the new branch, read back."""
    name = work.task.params["restore_as"]
    body: Json = {"name": name, "finalize_restore": False}
    if target_id is not None:
        body["target_branch_id"] = target_id
    try:
        reply = work.client.restore_snapshot(work.project_id, snapshot["id"], body)
    except UnknownOutcome as error:
        found = work.read_back(lambda: _newly_named(work, tree, name))
        if found is None:
            error.hint = f"No branch {name} is there now, so nothing was restored: run the task again."
            error.retryable = True
            raise
        reply = {"branch": found}
        work.settle(found["id"])
    work.known["branch"] = shape_branch(reply["branch"], {}, (), ())
    branch_id = str(reply["branch"]["id"])
    work.finish(reply)
    if work.wait:
        work.ready(branch_id)
    after = BranchTree.read(work.client, work.project_id)
    made = after.require(branch_id, "branch", work.project_id)
    if made.get("parent_id") or made.get("restored_from") not in (snapshot["id"], None):
        raise ApiError(
            f"restore snapshot {snapshot['name']} to {name}: what came of it is no root branch of that snapshot",
            code="not_applied",
            hint="Look at the branch in Neon's console before anything else.",
            partial={"branch": after.shape(made), "operations": work.operations()},
        )
    return after.shape(made)


def _newly_named(work: Waiter, tree: BranchTree, name: str) -> Json | None:
    branches, _annotations = work.client.branches(work.project_id, search=name)
    return next((item for item in branches if item.get("name") == name and tree.by_id(item["id"]) is None), None)


def _finalize(work: Waiter, branch_id: str, target_id: str, replaced_name: str | None) -> None:
    try:
        reply = work.client.finalize_restore(
            work.project_id, branch_id, {"name": replaced_name} if replaced_name else {}
        )
    except UnknownOutcome:
        if work.read_back(lambda: _has_replaced(work, branch_id, target_id)) is None:
            raise
        work.settle(branch_id)
        work.settle(target_id)
    else:
        work.finish(reply)
    if work.wait:
        work.ready(branch_id)


def _has_replaced(work: Waiter, branch_id: str, target_id: str) -> Json | None:
    branch = work.client.branch(work.project_id, branch_id)
    return branch if branch.get("restored_as") == target_id or branch.get("restore_status") == "finalized" else None


def _read_back(work: Waiter, snapshot: Json | None, before: Json, branch_id: str) -> Json:
    """Both branches as they are now: name, flags and every compute of the target must have moved."""
    tree = BranchTree.read(work.client, work.project_id)
    branch = tree.shape(tree.require(branch_id, "branch", work.project_id))
    replaced = tree.by_id(before["id"])
    moved = {item["id"] for item in branch["endpoints"]}
    left = [item["id"] for item in before["endpoints"] if item["id"] not in moved]
    wrong = [
        text
        for text, is_so in (
            (f"it is called {branch['name']} and not {before['name']}", branch["name"] != before["name"]),
            (f"it replaced {branch['restored_as']}", branch["restored_as"] not in (before["id"], None)),
            (f"the computes {', '.join(left)} did not move to it", bool(left)),
        )
        if is_so
    ]
    if wrong:
        raise ApiError(
            f"put branch {branch_id} in the place of {before['name']} ({before['id']}): Neon accepted it, but "
            + " and ".join(wrong),
            code="not_applied",
            hint="Look at both branches in Neon's console before anything else.",
            partial={"branch": branch, "operations": work.operations()},
        )
    return _result(True, snapshot, before, branch, tree.shape(replaced) if replaced is not None else None)


# What check mode says


def _predicted_branch(work: Waiter, snapshot: Json) -> Json:
    name = work.task.params["restore_as"]
    raw = {
        "id": predicted("branch", name),
        "name": name,
        "default": False,
        "protected": False,
        "restore_status": "restored",
        "restored_from": snapshot.get("id"),
    }
    return shape_branch(raw, {}, (), ())


def _predicted_finalized(snapshot: Json | None, before: Json, made: Json, replaced_name: str | None) -> Json:
    after, replaced = copy.deepcopy(made), copy.deepcopy(before)
    after.update({name: before[name] for name in ("name", "default", "protected")})
    after.update(endpoints=copy.deepcopy(before["endpoints"]), restored_as=before["id"], restore_status="finalized")
    replaced.update(name=replaced_name or f"{before['name']} (old)", default=False, protected=False, endpoints=[])
    return _result(True, snapshot, before, after, replaced)


def _on_predicted_target(work: Waiter, snapshot: Json | None) -> Json:
    target_id = work.task.params["target_branch_id"]
    if not work.task.check_mode:
        raise not_made_yet(f"put a restored branch in the place of {target_id}: that does not exist yet")
    before = shape_branch({"id": target_id, "name": str(target_id).partition("/")[2]}, {}, (), ())
    made = _predicted_branch(work, snapshot or {})
    return _predicted_finalized(snapshot, before, made, work.task.params.get("replaced_name"))


def _unchanged(snapshot: Json | None, tree: BranchTree, found: Json, target_id: str | None) -> Json:
    branch = tree.shape(tree.by_id(found["id"]) or found)
    replaced = tree.by_id(target_id) if target_id else None
    return {
        "changed": False,
        "snapshot": snapshot,
        "branch": branch,
        "replaced_branch": tree.shape(replaced) if replaced is not None else None,
        "diff": {"before": branch, "after": branch},
    }


def _result(changed: bool, snapshot: Json | None, before: Json | None, after: Json, replaced: Json | None) -> Json:
    old: Json = {"branch": before, "replaced_branch": None} if before is not None else {}
    new: Json = {"branch": after, "replaced_branch": replaced} if before is not None else after
    return {
        "changed": changed,
        "snapshot": snapshot,
        "branch": after,
        "replaced_branch": replaced,
        "diff": {"before": old, "after": new},
    }
