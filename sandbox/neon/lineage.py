# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which branch may be deleted, restored, expire or become a parent, and who is whose child afterwards.

Pure rules over a project's records. They follow the API description, the documentation and threads of 2024 to 2026;
wordings of refusals that nobody quoted are unproven and said so.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sandbox.neon.errors import NeonError, branch_exists, invalid, not_ready
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339, stored

MAX_TTL = timedelta(days=30)
SNAPSHOT_CHILD_LOCK = timedelta(hours=24)
_STILL_RESTORING = "restore from snapshot on target branch is still ongoing"


def check_name(project: Project, name: object, *, but: str = "") -> str:
    """A branch name that is free (but for the branch with id `but`). Raises `NeonError` 400 or 409."""
    if not isinstance(name, str) or not 1 <= len(name) <= 256:
        raise invalid("branch name must be between 1 and 256 characters long")
    found = project.named(name)
    if found is not None and found["id"] != but:
        raise branch_exists(name)
    return name


def check_ready(branch: Record) -> None:
    """Refuses a branch that is still being made or reset. Raises `NeonError` 422 ``branch not ready yet``."""
    if branch["current_state"] not in ("ready", "archived"):
        raise not_ready()


def check_parent(branch: Record) -> None:
    """Refuses a branch that cannot have children: one that expires (wording unproven). Raises `NeonError` 422."""
    if branch["expires_at"] is not None:
        raise NeonError(422, "cannot create a child branch from a branch with an expiration date")


def check_deletable(project: Project, branch: Record) -> None:
    """Refuses default, protected, parent and last branches. Raises `NeonError` 422.

    A root that is neither may go: after a restore from itself the preserved root becomes deletable that way.
    """
    if branch["default"] or len(project.branches) == 1:
        raise NeonError(422, "cannot delete default branch")  # wording unproven
    if branch["protected"]:
        raise NeonError(422, "cannot delete protected branch")
    if children := project.children(branch["id"]):
        raise NeonError(422, "cannot delete branch that has children: " + ", ".join(c["id"] for c in children))


def check_expiry(project: Project, branch: Record, expires: datetime, now: datetime) -> None:
    """Refuses an expiry in the past, beyond 30 days, or on a default, protected or parent branch.

    Codes and texts for default and protected are those of the vendor's own client mock (status unproven).
    Raises `NeonError` 400 or 422.
    """
    if branch["default"]:
        raise NeonError(400, "Default branch cannot have an expiration date", "DEFAULT_BRANCH_EXPIRATION_NOT_ALLOWED")
    if branch["protected"]:
        raise NeonError(
            400, "Protected branch cannot have an expiration date", "PROTECTED_BRANCH_EXPIRATION_NOT_ALLOWED"
        )
    if project.children(branch["id"]):
        raise NeonError(422, "branch with children cannot have an expiration date")
    if expires <= now:
        raise invalid("expires_at must be in the future")
    if expires > now + MAX_TTL:
        raise invalid("expires_at must be at most 30 days in the future")


def set_expiry(branch: Record, expires: datetime | None, now: datetime) -> None:
    """Sets (to the second) or clears when a branch goes by itself."""
    if expires is None:
        branch["expires_at"] = branch["ttl_interval_seconds"] = None
        return
    expires = expires.replace(microsecond=0)
    branch["expires_at"] = rfc3339(expires)
    branch["ttl_interval_seconds"] = max(1, round((expires - now).total_seconds()))


def restricted_actions(project: Project, branch: Record, now: datetime) -> list[Record]:
    """What the API says cannot be done with this branch, the only machine-readable signal for it.

    A branch made from a snapshot is no restore target; nor is, for a day, a child of such a branch.
    """
    if branch["restored_from"] is not None:
        return [{"name": "restore", "reason": _STILL_RESTORING}]
    parent = project.branches.get(branch["parent_id"] or "")
    if parent and parent["restored_from"] and now - stored(parent["created_at"]) < SNAPSHOT_CHILD_LOCK:
        return [{"name": "restore", "reason": "restore from snapshot on parent branch is still ongoing"}]
    return []


def check_restore_target(project: Project, branch: Record, now: datetime) -> None:
    """Refuses a restore of a protected, unready or restricted branch. Raises `NeonError` 422."""
    check_ready(branch)
    if branch["protected"]:
        raise NeonError(422, "cannot reset protected branch")  # wording unproven
    for action in restricted_actions(project, branch, now):
        if action["name"] == "restore":
            raise NeonError(422, str(action["reason"]))


def needs_preserve(project: Project, target: Record, source: Record) -> bool:
    """Whether a restore must keep the old state under a name."""
    return target["id"] == source["id"] or bool(project.children(target["id"]))


def is_root(branch: Record) -> bool:
    """A root, also one that was restored from itself and is being detached."""
    return branch["parent_id"] is None or bool(branch["detaching"])


def reparent(project: Project, target: Record, source: Record, preserved: Record | None) -> None:
    """Who is whose child after `target` was restored from `source`.

    The preserved branch takes the target's place in the tree and all its children; the target becomes a child of
    the source, which is the preserved branch when a branch is restored from itself.
    """
    if preserved is not None:
        for name in ("parent_id", "parent_lsn", "parent_timestamp", "detaching"):
            preserved[name] = target[name]
        for child in project.children(target["id"]):
            if child is not preserved:
                child["parent_id"] = preserved["id"]
    from_itself = source["id"] == target["id"]
    target["parent_id"] = preserved["id"] if from_itself and preserved else source["id"]
    target["detaching"] = ""


def detach(target: Record, now: datetime) -> None:
    """Makes a branch a root: what happens to a root some time after it was restored from itself."""
    target["parent_id"] = target["parent_lsn"] = target["parent_timestamp"] = None
    target["detaching"] = ""
    target["updated_at"] = rfc3339(now)
