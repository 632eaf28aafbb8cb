# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan allows, and the refusals at its limits.

Numbers: Neon's documentation of March to June 2026. Statuses of the root and protected limits are unproven
(422, like the branch limit).
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.neon.errors import NeonError, told
from sandbox.neon.state import Project


@dataclass(frozen=True)
class Plan:
    """Limits of one plan; times in seconds."""

    name: str
    subscription: str
    branches: int
    roots: int
    protected: int
    history_max: int
    snapshots: int
    suspend_min: int
    suspend_changeable: bool


# Of the names that the API has for a subscription these are the ones that older clients know too.
PLANS = {
    "free": Plan("free", "free_v2", 10, 3, 0, 21600, 1, 300, False),
    "launch": Plan("launch", "launch", 5000, 5, 2, 604800, 100, 300, True),
    "scale": Plan("scale", "scale", 5000, 25, 5, 2592000, 100, 60, True),
}

_OBJECTS_PER_BRANCH = 500


def check_slots(project: Project, plan: Plan, *, branches: int = 0, roots: int = 0, protected: int = 0) -> None:
    """Refuses what would take the project over its plan's limits.

    `branches`, `roots` and `protected` say how many more there will be. Raises `NeonError` 422.
    """
    there = list(project.branches.values())
    if branches and len(there) + branches > plan.branches:
        raise NeonError(422, told("branches limit exceeded", limit=plan.branches), "BRANCHES_LIMIT_EXCEEDED")
    if roots and sum(1 for branch in there if branch["parent_id"] is None) + roots > plan.roots:
        raise NeonError(422, told("root branches limit exceeded", limit=plan.roots), "ROOT_BRANCHES_LIMIT_EXCEEDED")
    if protected and sum(1 for branch in there if branch["protected"]) + protected > plan.protected:
        raise NeonError(
            422,
            "You have reached the maximum number of protected branches for your current plan. "
            "Upgrade your plan to protect more branches.",
            "BRANCHES_PROTECTED_LIMIT_EXCEEDED",
        )


def check_history(plan: Plan, seconds: object) -> int:
    """A history window in seconds that the plan allows. Raises `NeonError` 400."""
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
        raise NeonError(400, "history_retention_seconds must be a non-negative integer")
    if seconds > plan.history_max:
        raise NeonError(
            400,
            told(
                "requested history retention seconds exceeds allowed maximum",
                requested_history_retention_seconds=seconds,
                max=plan.history_max,
            ),
        )
    return seconds


def check_suspend_timeout(plan: Plan, seconds: object) -> int:
    """A ``suspend_timeout_seconds`` that the plan allows (0: default, -1: never). Raises `NeonError` 400 or 412."""
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not (seconds in (-1, 0) or 60 <= seconds <= 604800):
        raise NeonError(400, "suspend_timeout_seconds must be -1, 0 or between 60 and 604800")
    if seconds == 0:
        return 0
    if not plan.suspend_changeable and seconds != 300:
        raise NeonError(412, "suspend interval changing is not allowed for your account")
    if 0 < seconds < plan.suspend_min:
        raise NeonError(412, "suspend interval is too short for your plan")
    return seconds


def check_snapshot_slot(plan: Plan, manual: int) -> None:
    """Refuses one more manual snapshot than the plan has (status and wording unproven). Raises `NeonError` 422."""
    if manual >= plan.snapshots:
        raise NeonError(422, told("snapshots limit exceeded", limit=plan.snapshots), "SNAPSHOTS_LIMIT_EXCEEDED")


def check_objects(kind: str, count: int) -> None:
    """Refuses the 501st role or database of a branch. Raises `NeonError` 422."""
    if count >= _OBJECTS_PER_BRANCH:
        code = f"{kind.upper()}S_LIMIT_EXCEEDED"
        raise NeonError(422, told(f"{kind}s limit exceeded", limit=_OBJECTS_PER_BRANCH), code)
