# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes a branch and moves nothing: its name, the default label, protection and expiry.

Neon keeps these apart from lineage and from computes: the default label moves no host, and a name is not an identity.
An expiring branch can be neither default nor protected nor a parent (Neon's documentation, "Branch expiration").
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from .lineage import Tree, name_taken, no_room, refuse, required

LONGEST_NAME = 256
LONGEST_EXPIRY = timedelta(days=30)


def with_name(tree: Tree, branch_id: str, name: str) -> Tree:
    """Rename a branch. The name that it has already is no change."""
    node = required(tree, branch_id)
    reasons = name_taken(tree, name, but=branch_id)
    if not 1 <= len(name) <= LONGEST_NAME:
        reasons.append(f"a name has 1 to {LONGEST_NAME} characters")
    refuse(f"branch {node.name} cannot be renamed to {name}", reasons)
    return tree.but(replace(node, name=name))


def with_default(tree: Tree, branch_id: str) -> Tree:
    """Move the default label to a branch."""
    node = required(tree, branch_id)
    refuse(f"branch {node.name} cannot become the default", ["it expires"] if node.expires_at else [])
    others = (replace(other, default=False) for other in tree.nodes.values() if other.default)
    return tree.but(*others, replace(node, default=True))


def with_protection(tree: Tree, branch_id: str, protected: bool) -> Tree:
    """Protect a branch, or take its protection off."""
    node = required(tree, branch_id)
    reasons = []
    if protected:
        reasons = no_room(tree, protected=int(not node.protected))
        if node.expires_at is not None:
            reasons.append("it expires")
    refuse(f"branch {node.name} cannot be protected", reasons)
    return tree.but(replace(node, protected=protected))


def expiry_obstacles(tree: Tree, branch_id: str) -> list[str]:
    """Why a branch cannot expire, whenever; empty when it can."""
    node = required(tree, branch_id)
    children = tree.children(branch_id)
    reasons = []
    if node.default:
        reasons.append("it is the default branch")
    if node.protected:
        reasons.append("it is protected")
    if children:
        reasons.append(f"it is the parent of {', '.join(child.name for child in children)}")
    return reasons


def with_expiry(tree: Tree, branch_id: str, expires_at: datetime | None, *, now: datetime) -> Tree:
    """Let a branch expire, or clear that."""
    node = required(tree, branch_id)
    if expires_at is not None:
        reasons = expiry_obstacles(tree, branch_id)
        if expires_at <= now:
            reasons.append("that instant has passed")
        elif expires_at - now > LONGEST_EXPIRY:
            reasons.append(f"that is more than {LONGEST_EXPIRY.days} days ahead")
        refuse(f"branch {node.name} cannot expire", reasons)
    return tree.but(replace(node, expires_at=expires_at))
