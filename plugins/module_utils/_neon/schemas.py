# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The difference between the schemas of two branches, or of two instants."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .._errors import InvalidInput
from .._predicted import is_predicted
from .client import NeonClient
from .tree import BranchTree
from .wanted import Origin

Json = dict[str, Any]

NOT_YET = "the branch does not exist yet"


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two: a branch, at an instant or as it is now."""

    branch_id: str | None
    name: str | None
    point: Origin

    def public(self) -> Json:
        shown = self.point.body()
        return {
            "branch_id": self.branch_id,
            "name": self.name,
            "timestamp": shown.get("parent_timestamp"),
            "lsn": shown.get("parent_lsn"),
        }

    def query(self, prefix: str) -> Json:
        return {key.replace("parent_", prefix): value for key, value in self.point.body().items()}


def compare_schemas(client: NeonClient, params: Mapping[str, Any], *, check_mode: bool) -> Json:
    """What `neon_schema_diff` returns under ``schema_diff``; `NOT_YET` as the reason where a branch is predicted."""
    points = (_point(params, "base_"), _point(params, ""))
    references = (params.get("base_branch"), params["branch"])
    if check_mode and any(is_predicted(reference) for reference in references):
        sides = [Side(reference, None, point) for reference, point in zip(references, points, strict=True)]
        return {**_shaped(params["database"], sides, None), "skipped_reason": NOT_YET}
    tree = BranchTree(client.branches(params["project_id"])[0], {}, [])
    branch = tree.require(params["branch"], "branch", params["project_id"])
    base = _base(params, tree, branch, points)
    if base["id"] == branch["id"] and points[0] == points[1]:
        raise InvalidInput(
            f"compare the schema of branch {branch.get('name')}: both sides are the same",
            hint="Set base_branch, or an instant for one of the sides.",
        )
    sides = [Side(item["id"], item.get("name"), point) for item, point in zip((base, branch), points, strict=True)]
    query = {
        "db_name": params["database"],
        "base_branch_id": base["id"],
        **sides[0].query("base_"),
        **sides[1].query(""),
    }
    return _shaped(params["database"], sides, client.compare_schema(params["project_id"], branch["id"], query))


def _point(params: Mapping[str, Any], prefix: str) -> Origin:
    return Origin.read({"parent_timestamp": params.get(f"{prefix}timestamp"), "parent_lsn": params.get(f"{prefix}lsn")})


def _base(params: Mapping[str, Any], tree: BranchTree, branch: Json, points: tuple[Origin, Origin]) -> Json:
    """Always named to the API: its own default, the parent, does not exist for a root."""
    if params.get("base_branch"):
        return tree.require(params["base_branch"], "base_branch", params["project_id"])
    if any(point.body() for point in points):
        return branch
    parent = tree.by_id(branch.get("parent_id") or "")
    if parent is None:
        raise InvalidInput(
            f"compare the schema of branch {branch.get('name')}: it has no parent to compare it with",
            hint="Set base_branch, or an instant for one of the sides.",
        )
    return parent


def _shaped(database: str, sides: list[Side], text: str | None) -> Json:
    lines = (text or "").splitlines()
    if lines[:1] and lines[0].startswith("--- "):
        del lines[:2]
    return {
        "database": database,
        "base": sides[0].public(),
        "compared": sides[1].public(),
        "equal": None if text is None else not text.strip(),
        "text": text,
        "lines_added": None if text is None else sum(1 for line in lines if line.startswith("+")),
        "lines_removed": None if text is None else sum(1 for line in lines if line.startswith("-")),
    }
