# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All strategies of a restore side by side, as a report shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._plan.compare_text import ROWS
from ._report_parts import moment_text, nested

Json = dict[str, Any]


def strategies_part(data: Mapping[str, Any]) -> Json:
    """The table of a comparison, and each strategy in full; empty where the run made no comparison."""
    comparison = data.get("comparison")
    if not isinstance(comparison, Mapping) or not comparison.get("strategies"):
        return {"columns": [], "rows": [], "blocks": [], "before": []}
    offers, recommended = comparison["strategies"], comparison["recommended"]["strategy"]
    return {
        "columns": [{"name": item["strategy"], "recommended": item["strategy"] == recommended} for item in offers],
        "rows": [{"label": label.capitalize(), "cells": [cell(item) for item in offers]} for label, cell in ROWS],
        "blocks": [_block(item) for item in offers],
        "before": nested(offers[0]["tree_before"]),
    }


def _block(offer: Mapping[str, Any]) -> Json:
    undeletable = [f"{item['name']}: {item['why']}" for item in offer["undeletable_afterwards"]]
    return {
        "name": offer["strategy"],
        "downtime": offer["downtime"]["text"],
        "note": "" if offer["why"] == "possible" else str(offer["why"]),
        "problems": [{key: str(item[key]) for key in ("message", "what_to_do")} for item in offer["problems"]],
        "children": ", ".join(offer["children_moved"]),
        "undeletable": undeletable,
        "steps": [f"{step['title']}. {moment_text(' '.join(step['does']))}" for step in offer["steps"]],
        "after": nested(offer["tree_after"]),
    }
