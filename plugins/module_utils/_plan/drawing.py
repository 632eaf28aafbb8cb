# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of branches as every plan shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .instants import text_or_none
from .lineage import Node, Tree


def tree_rows(tree: Tree, marks: Callable[[Node], list[str]]) -> list[dict[str, Any]]:
    """The tree as rows in the order in which it is drawn, each with its depth.

    :param marks: what a branch is in the plan, such as the primary.
    """
    return [
        {
            "id": node.id,
            "name": node.name,
            "parent_id": node.parent_id,
            "depth": depth,
            "default": node.default,
            "protected": node.protected,
            "parent_timestamp": text_or_none(node.parent_at),
            "created_at": text_or_none(node.created_at),
            "marks": marks(node),
        }
        for depth, node in tree.rows()
    ]
