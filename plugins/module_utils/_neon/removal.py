# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing a branch: only one that nothing hangs on, and gone means gone."""

from __future__ import annotations

from typing import Any

from .._errors import ApiError, NotFound, Refused, UnknownOutcome
from .._predicted import is_predicted, not_made_yet
from .._waiter import backoff
from .causes import HAS_CHILDREN
from .operations import Waiter
from .tree import BranchTree

Json = dict[str, Any]

DETACH = "detach_parent_branch"


def absent(work: Waiter) -> Json:
    """Remove the branch, where it is there and may go.

    :raises Refused: for a default, protected or parent branch, naming the children (safety rule 1).
    """
    params = work.task.params
    reference = str(params.get("branch_id") or params.get("name"))
    if is_predicted(reference):
        return _on_predicted(work, reference)
    tree = BranchTree.read(work.client, work.project_id)
    found = tree.by_id(reference) if params.get("branch_id") else tree.by_name(reference)
    if found is None:
        return {"changed": False, "branch": None, "diff": {"before": {}, "after": {}}}
    before = tree.shape(found)
    work.known["branch"] = before
    _check(work, tree, found)
    if not work.task.check_mode:
        _delete(work, found)
    return {"changed": True, "branch": None, "diff": {"before": before, "after": {}}}


def _on_predicted(work: Waiter, reference: str) -> Json:
    if not work.task.check_mode:
        raise not_made_yet(f"delete branch {reference}: it does not exist yet")
    return {"changed": True, "branch": None, "diff": {"before": {"id": reference}, "after": {}}}


def _check(work: Waiter, tree: BranchTree, found: Json) -> None:
    name = f"{found.get('name')} ({found['id']})"
    if found.get("default"):
        raise Refused(
            f"delete branch {name}: it is the project's default branch",
            code="default_branch",
            hint="Make another branch the default first.",
        )
    if found.get("protected"):
        raise Refused(
            f"delete branch {name}: it is protected",
            code="branch_protected",
            hint="Take the protection off first, in a step of its own: neon_branch with protected: false.",
        )
    children = tree.children(found["id"])
    staying = [child for child in children if not detaching(work, child)] if children else []
    if staying:
        listed = ", ".join(f"{child.get('name')} ({child['id']})" for child in staying)
        raise Refused(
            f"delete branch {name}: it has children: {listed}",
            code=HAS_CHILDREN,
            hint="Delete the children first. A branch that another one was restored from stays its parent.",
        )


def detaching(work: Waiter, child: Json) -> bool:
    """Whether the child is about to become a root: after an in-place restore of a root branch from itself."""
    if child.get("restore_status") == "detaching":
        return True
    running = work.client.running_operations(work.project_id)
    return any(item.get("action") == DETACH and item.get("branch_id") == child["id"] for item in running)


def _delete(work: Waiter, found: Json) -> None:
    """Send the deletion; a child that is being detached is waited out with growing pauses (Neon answers 422)."""
    for pause in backoff(first=1.0, cap=32.0):
        try:
            work.finish(work.client.delete_branch(work.project_id, found["id"]))
            work.until_gone(f"branch {found.get('name')}", lambda: _gone(work, found["id"]))
            return
        except UnknownOutcome:
            if work.read_back(lambda: _gone(work, found["id"])) is None:
                raise
            work.settle(found["id"])
            return
        except ApiError as error:
            if error.code != HAS_CHILDREN or not work.wait:
                raise
            if work.deadline.left() <= pause:
                raise work.timeout(f"delete branch {found.get('name')}: a child is still being detached") from None
        work.task.progress(f"delete branch {found.get('name')}: a child is still being detached")
        work.deadline.sleep(pause)


def _gone(work: Waiter, branch_id: str) -> Json | None:
    try:
        branch = work.client.branch(work.project_id, branch_id)
    except NotFound:
        return {"gone": True}
    # Neon keeps what was deleted for some days, and may show it.
    recovery = branch.get("recovery") or {}
    return {"gone": True} if recovery.get("deleted_at") else None
