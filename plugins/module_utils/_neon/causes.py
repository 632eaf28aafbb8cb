# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neon's errors, made useful: a code that stays, and what to do.

Neon's own ``code`` is very often empty and its statuses are shared by unlike causes, so the text decides. The texts are
those seen from the real API (GitHub: dyad-sh/dyad, kislerdm/terraform-provider-neon, neondatabase/neon and others).
"""

from __future__ import annotations

import dataclasses
import re

from .._errors import ApiError


@dataclasses.dataclass(frozen=True)
class Cause:
    """One known cause of an error: how to recognise it, its code, and what to do."""

    pattern: re.Pattern[str]
    code: str
    hint: str
    retryable: bool = False


def _cause(pattern: str, code: str, hint: str, *, retryable: bool = False) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE), code, hint, retryable)


NOT_READY = "branch_not_ready"
HAS_CHILDREN = "branch_has_children"
ALREADY_EXISTS = "already_exists"
ROOTS_LIMIT = "root_branches_limit_exceeded"
BRANCHES_LIMIT = "branches_limit_exceeded"
SNAPSHOTS_LIMIT = "snapshots_limit_exceeded"
NOT_ROOT = "not_root"

CAUSES = (
    _cause(
        r"before retention window|history retention window",
        "before_history_window",
        "Choose a later restore point, or a backup made before it. A longer history window (a setting of the project) "
        "does not bring back what has left it.",
    ),
    _cause(
        r"(?:branch|snapshot) not ready yet",
        NOT_READY,
        "Wait until it is ready and try again.",
        retryable=True,
    ),
    _cause(
        r"preserve_under_name is required",
        "preserve_under_name_required",
        "Give preserve_under_name: the branch has children, which move to the branch that keeps the old state.",
    ),
    _cause(
        r"has children",
        HAS_CHILDREN,
        "Delete its children first, or keep the branch.",
    ),
    _cause(
        r"protected branches limit|BRANCHES_PROTECTED_LIMIT_EXCEEDED|maximum number of protected branches",
        "protected_branches_limit_exceeded",
        "Take the protection off another branch, or choose a plan that allows more protected branches.",
    ),
    _cause(
        r"ROOT_BRANCHES_LIMIT_EXCEEDED|root branches? limit",
        ROOTS_LIMIT,
        "Delete a root branch that is no longer needed: an in-place restore of a root branch adds one, and so does a "
        "snapshot's restore.",
    ),
    _cause(
        r"SNAPSHOTS_LIMIT_EXCEEDED|snapshots limit",
        SNAPSHOTS_LIMIT,
        "Delete a manual snapshot that is no longer needed: Neon's plans allow 1 (Free) or 100 of a project.",
    ),
    _cause(
        r"snapshots can be created only from root|only from root branches",
        NOT_ROOT,
        "Neon makes snapshots of root branches only: make a branch (neon_branch) instead.",
    ),
    _cause(
        r"BRANCHES_LIMIT_EXCEEDED|branches limit",
        BRANCHES_LIMIT,
        "Delete branches that are no longer needed, or raise the project's limit of branches.",
    ),
    _cause(
        r"already.exists",
        ALREADY_EXISTS,
        "Use another name, or find out who made the one that exists.",
    ),
    _cause(
        r"expir(?:ation|ing|es)",
        "expiry_not_allowed",
        "Default, protected and parent branches cannot expire, and a branch that expires cannot get children: clear "
        "the expiry first (neon_branch with expires_at: never).",
    ),
    _cause(
        r"protected branch|branch is protected",
        "branch_protected",
        "Take the protection off first, in a step of its own (neon_branch with protected: false), and put it back "
        "afterwards.",
    ),
    _cause(
        r"restore from snapshot on target branch is still ongoing",
        "snapshot_restore_ongoing",
        "Neon offers no point-in-time restore on a branch that came from a snapshot: make a new branch at the restore "
        "point instead.",
    ),
    _cause(
        r"suspend interval",
        "suspend_timeout_not_allowed",
        "Leave suspend_timeout_seconds out: the plan allows only its default.",
    ),
    _cause(
        r"outside the project this key is scoped to",
        "wrong_key_scope",
        "The API key belongs to another project: use one of this project, of its organization, or a personal one.",
    ),
    _cause(
        r"requested history retention seconds exceeds",
        "history_window_too_long",
        "Choose a shorter history window, or a plan that allows a longer one.",
    ),
)


def explain(error: ApiError) -> ApiError:
    """The same error with a stable code and advice, where its cause is known; unchanged otherwise."""
    subject = f"{error.code} {error.text}"
    cause = next((cause for cause in CAUSES if cause.pattern.search(subject)), None)
    if cause is None or error.http_status is None or error.http_status in (401, 423, 429):
        return error
    error.code = cause.code
    error.hint = cause.hint
    error.retryable = error.retryable or cause.retryable
    error.args = (error.msg,)
    return error
