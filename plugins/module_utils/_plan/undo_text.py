# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An undo's plan as a person reads it in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import field, listed, problem_lines, tree_lines


def lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan, line by line."""
    around = f", inside of {plan['promotion']}" if plan["promotion"] not in (None, plan["run"]) else ""
    shown = field("takes back", f"{plan['run']}{around}")
    if plan["primary"]:
        shown += field("primary then", f"{plan['primary']['name']} {plan['primary']['branch_id']}")
    shown += ["branches now:", *tree_lines(plan["tree_before"])]
    shown += ["branches afterwards:", *tree_lines(plan["tree_after"])]
    counted = plan["slots"]["branches"]
    limit = "" if counted["limit"] is None else f" of {counted['limit']}"
    shown += field("slots", f"{counted['used'] + counted['adds']}{limit} branches afterwards")
    shown += listed("Cannot be deleted afterwards", [f"{item['name']}: {item['why']}" for item in plan["staying"]])
    shown += listed("Worth knowing", plan["warnings"])
    return shown + problem_lines(plan["problems"])
