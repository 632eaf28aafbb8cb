# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots as this collection shows them, and how one is found: their names are not unique, their ids are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import NotFound, Refused
from .._predicted import is_predicted, not_made_yet
from .._records import search
from .client import NeonClient

Json = dict[str, Any]

_FIELDS = (
    "id",
    "name",
    "slug",
    "source_branch_id",
    "timestamp",
    "lsn",
    "created_at",
    "expires_at",
    "manual",
    "full_size",
    "diff_size",
)


def shape_snapshot(snapshot: Json) -> Json:
    """A snapshot as results show it; unknown values are None."""
    shaped: Json = {name: snapshot.get(name) for name in _FIELDS}
    for name in ("timestamp", "lsn", "expires_at", "source_branch_id"):
        shaped[name] = shaped[name] or None
    return shaped


def list_snapshots(client: NeonClient, params: Mapping[str, Any]) -> list[Any]:
    """The snapshots that fit every filter, oldest first, or what the JMESPath ``query`` makes of them. One request."""
    wanted = [params.get(name) for name in ("snapshot_id", "branch_id")]
    if any(is_predicted(value) for value in wanted):
        return []
    found = [shape_snapshot(item) for item in client.snapshots(params["project_id"]) if _fits(item, params)]
    if not params.get("query"):
        return found
    answer = search(params["query"], found)
    if answer is None:
        return []
    return answer if isinstance(answer, list) else [answer]


def _fits(snapshot: Json, params: Mapping[str, Any]) -> bool:
    snapshot_id, name, branch_id = params.get("snapshot_id"), params.get("name"), params.get("branch_id")
    text, manual = params.get("search"), params.get("manual")
    return (
        (snapshot_id is None or snapshot["id"] == snapshot_id)
        and (name is None or snapshot.get("name") == name)
        and (branch_id is None or snapshot.get("source_branch_id") == branch_id)
        and (text is None or text in str(snapshot.get("name")) or text in snapshot["id"])
        and (manual is None or bool(snapshot.get("manual")) == manual)
    )


class Shelf:
    """All snapshots of a project, as of one moment."""

    def __init__(self, snapshots: list[Json]) -> None:
        self.snapshots = snapshots

    @classmethod
    def read(cls, client: NeonClient, project_id: str) -> Shelf:
        return cls(client.snapshots(project_id))

    def by_id(self, snapshot_id: str) -> Json | None:
        return next((item for item in self.snapshots if item["id"] == snapshot_id), None)

    def named(self, name: str) -> list[Json]:
        return [item for item in self.snapshots if item.get("name") == name]

    def manual(self) -> int:
        """How many count against the plan's limit: scheduled ones do not."""
        return sum(1 for item in self.snapshots if item.get("manual"))

    def find(self, params: Mapping[str, Any]) -> Json | None:
        """The snapshot of the id, or of the name, in the options.

        :raises Refused: where several have that name: Neon does not keep them apart.
        """
        if params.get("snapshot_id"):
            return self.by_id(params["snapshot_id"])
        found = self.named(str(params.get("name")))
        if len(found) > 1:
            listed = ", ".join(f"{item['id']} of {item.get('created_at')}" for item in found)
            raise Refused(
                f"find snapshot {params.get('name')}: {len(found)} have that name: {listed}",
                code="ambiguous_name",
                hint="Name the one that is meant by snapshot_id.",
            )
        return found[0] if found else None

    def require(self, params: Mapping[str, Any], project_id: str) -> Json:
        """The snapshot of the options.

        :raises InvalidInput: where it is a predicted id; NotFound: where there is none.
        """
        reference = params.get("snapshot_id") or params.get("name")
        if is_predicted(reference):
            raise not_made_yet(f"use snapshot {reference}: it does not exist yet")
        found = self.find(params)
        if found is None:
            raise NotFound(
                f"find snapshot {reference} in project {project_id}: there is none of that id or name",
                hint="List the snapshots with neon_snapshot_info; one may have expired or been deleted.",
            )
        return found
