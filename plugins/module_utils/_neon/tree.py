# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Branches as this collection shows them: one shape for what was created, found or predicted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .._errors import NotFound
from .._predicted import is_predicted, not_made_yet
from .client import NeonClient

Json = dict[str, Any]

_BRANCH_ID = re.compile(r"^br-[a-z0-9-]{1,57}$")

_BRANCH_FIELDS = (
    "id",
    "name",
    "parent_id",
    "parent_lsn",
    "parent_timestamp",
    "created_at",
    "updated_at",
    "current_state",
    "default",
    "protected",
    "expires_at",
    "logical_size",
    "last_reset_at",
    "restore_status",
    "restored_from",
    "restored_as",
    "restricted_actions",
    "init_source",
)
LIMIT_FIELDS = ("autoscaling_limit_min_cu", "autoscaling_limit_max_cu", "suspend_timeout_seconds", "settings")
_ENDPOINT_FIELDS = ("id", "type", "host", "pooler_host", "current_state", "disabled", *LIMIT_FIELDS, "last_active")


def pooler_host(host: str | None) -> str | None:
    """The pooled form of a compute's host: ``ep-x.region...`` -> ``ep-x-pooler.region...``."""
    if not host:
        return None
    first, dot, rest = host.partition(".")
    return f"{first.removesuffix('-pooler')}-pooler{dot}{rest}"


def direct_host(host: str) -> str:
    """The direct form of a compute's host."""
    first, dot, rest = host.partition(".")
    return f"{first.removesuffix('-pooler')}{dot}{rest}"


def shape_endpoint(endpoint: Json) -> Json:
    """A compute as results show it; unknown values are None."""
    shaped: Json = {name: endpoint.get(name) for name in _ENDPOINT_FIELDS}
    shaped["pooler_host"] = pooler_host(endpoint.get("host"))
    shaped["settings"] = endpoint.get("settings") or {}
    return shaped


def shape_branch(branch: Json, annotations: Json, children: Iterable[str], endpoints: Iterable[Json]) -> Json:
    """A branch as results show it; unknown values are None."""
    shaped: Json = {name: branch.get(name) for name in _BRANCH_FIELDS}
    # Neon leaves a time that it does not have empty in some answers and out in others.
    for name in ("parent_id", "parent_lsn", "parent_timestamp", "expires_at", "last_reset_at"):
        shaped[name] = shaped[name] or None
    shaped["restricted_actions"] = branch.get("restricted_actions") or []
    shaped["annotations"] = dict(annotations)
    shaped["children"] = sorted(children)
    shaped["endpoints"] = [shape_endpoint(endpoint) for endpoint in endpoints]
    return shaped


def ids_of(branch: Json | None) -> Json:
    """The ids of a branch and its computes, for a journal: identity is by id (safety rule 2)."""
    if branch is None:
        return {}
    return {"branch_id": branch["id"], "endpoint_ids": [endpoint["id"] for endpoint in branch["endpoints"]]}


class BranchTree:
    """All branches of a project with their annotations and computes, as of one moment: two requests."""

    def __init__(self, branches: list[Json], annotations: dict[str, dict[str, str]], endpoints: list[Json]) -> None:
        self.branches = branches
        self.annotations = annotations
        self.endpoints = endpoints
        self._by_id = {branch["id"]: branch for branch in branches}
        self._children: dict[str, list[Json]] = {}
        for branch in branches:
            self._children.setdefault(branch.get("parent_id") or "", []).append(branch)
        self._endpoints: dict[str, list[Json]] = {}
        for endpoint in endpoints:
            self._endpoints.setdefault(endpoint.get("branch_id") or "", []).append(endpoint)

    @classmethod
    def read(cls, client: NeonClient, project_id: str) -> BranchTree:
        branches, annotations = client.branches(project_id)
        return cls(branches, annotations, client.endpoints(project_id))

    def by_id(self, branch_id: str) -> Json | None:
        return self._by_id.get(branch_id)

    def by_name(self, name: str) -> Json | None:
        """The branch of exactly this name: names are unique in a project."""
        return next((branch for branch in self.branches if branch.get("name") == name), None)

    def find(self, reference: str) -> Json | None:
        """A branch by id or by name. What looks like an id and is one wins."""
        return (self.by_id(reference) if _BRANCH_ID.match(reference) else None) or self.by_name(reference)

    def default(self) -> Json | None:
        return next((branch for branch in self.branches if branch.get("default")), None)

    def children(self, branch_id: str) -> list[Json]:
        return list(self._children.get(branch_id, ()))

    def endpoints_of(self, branch_id: str) -> list[Json]:
        return list(self._endpoints.get(branch_id, ()))

    def shape(self, branch: Json) -> Json:
        """A branch of this tree as results show it."""
        branch_id = branch["id"]
        return shape_branch(
            branch,
            self.annotations.get(branch_id, {}),
            (child["id"] for child in self.children(branch_id)),
            self.endpoints_of(branch_id),
        )

    def require(self, reference: str, option: str, project_id: str) -> Json:
        """The branch that an option names.

        :raises InvalidInput: where it is a predicted id (see `_predicted`); NotFound: where there is none.
        """
        if is_predicted(reference):
            raise not_made_yet(f"use {option} {reference}: it does not exist yet")
        found = self.find(reference)
        if found is None:
            raise NotFound(
                f"find branch {reference} ({option}) in project {project_id}: there is none of that id or name",
                hint="List the branches with neon_branch_info; a branch may have been renamed or deleted.",
            )
        return found
