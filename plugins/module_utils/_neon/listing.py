# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listing branches, filtered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._predicted import is_predicted
from .._records import search
from .client import NeonClient
from .tree import BranchTree

Json = dict[str, Any]


def list_branches(client: NeonClient, params: Mapping[str, Any]) -> list[Any]:
    """The branches that fit every filter, oldest first, or what the JMESPath ``query`` makes of them.

    All branches are always read: the children of one are among the others.
    """
    if is_predicted(params.get("branch_id")):
        return []
    tree = BranchTree.read(client, params["project_id"])
    shaped = [tree.shape(branch) for branch in tree.branches if _fits(branch, params)]
    if not params.get("query"):
        return shaped
    found = search(params["query"], shaped)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _fits(branch: Json, params: Mapping[str, Any]) -> bool:
    branch_id, name, text = params.get("branch_id"), params.get("name"), params.get("search")
    return (
        (branch_id is None or branch["id"] == branch_id)
        and (name is None or branch.get("name") == name)
        and (text is None or text in str(branch.get("name")) or text in branch["id"])
    )
