# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service knows, as plain JSON in the store: projects with their branches, endpoints, operations, snapshots.

Records are dictionaries that are changed in place and kept by `State.save`. One `save` writes everything, so a
change that must be seen whole or not at all is made without an await in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sandbox.neon.errors import not_found
from sandbox.neon.times import lsn_number, rfc3339, stored
from sandbox.postgres.engine import Position

Record = dict[str, Any]


def position_record(position: Position) -> Record:
    """A position as the store keeps it."""
    return {"timeline": position.timeline, "lsn": position.lsn, "time": rfc3339(position.time)}


def position_of(record: Record) -> Position:
    """The position that `position_record` kept."""
    return Position(record["timeline"], record["lsn"], stored(record["time"]))


class Project:
    """One project's record with the questions that everybody asks about it."""

    def __init__(self, record: Record) -> None:
        self.record = record

    @property
    def id(self) -> str:
        """The project's id."""
        return str(self.record["id"])

    @property
    def branches(self) -> dict[str, Record]:
        """Branches by id, in order of creation."""
        found: dict[str, Record] = self.record["branches"]
        return found

    @property
    def endpoints(self) -> dict[str, Record]:
        """Endpoints by id, in order of creation."""
        found: dict[str, Record] = self.record["endpoints"]
        return found

    @property
    def operations(self) -> dict[str, Record]:
        """Operations by id, in order of creation."""
        found: dict[str, Record] = self.record["operations"]
        return found

    @property
    def snapshots(self) -> dict[str, Record]:
        """Snapshots by id, in order of creation."""
        found: dict[str, Record] = self.record["snapshots"]
        return found

    def branch(self, branch_id: str) -> Record:
        """A branch. Raises `NeonError` 404 ``branch not found``."""
        if branch_id not in self.branches:
            raise not_found("branch")
        return self.branches[branch_id]

    def endpoint(self, endpoint_id: str) -> Record:
        """An endpoint. Raises `NeonError` 404 ``endpoint not found``."""
        if endpoint_id not in self.endpoints:
            raise not_found("endpoint")
        return self.endpoints[endpoint_id]

    def snapshot(self, snapshot_id: str) -> Record:
        """A snapshot by id or slug. Raises `NeonError` 404 ``snapshot not found``."""
        for snapshot in self.snapshots.values():
            if snapshot_id in (snapshot["id"], snapshot["slug"]):
                return snapshot
        raise not_found("snapshot")

    def default_branch(self) -> Record:
        """The branch that carries the default label."""
        return next(branch for branch in self.branches.values() if branch["default"])

    def children(self, branch_id: str) -> list[Record]:
        """The branches whose parent this one is."""
        return [branch for branch in self.branches.values() if branch["parent_id"] == branch_id]

    def endpoints_of(self, branch_id: str) -> list[Record]:
        """The endpoints of one branch."""
        return [endpoint for endpoint in self.endpoints.values() if endpoint["branch_id"] == branch_id]

    def read_write(self, branch_id: str) -> Record | None:
        """The read-write endpoint of a branch, of which there is one at most."""
        return next((e for e in self.endpoints_of(branch_id) if e["type"] == "read_write"), None)

    def named(self, name: str) -> Record | None:
        """The branch of that name."""
        return next((branch for branch in self.branches.values() if branch["name"] == name), None)


class State:
    """The service's section of the store."""

    def __init__(self, section: Record, save: Callable[[], None]) -> None:
        self.section = section
        self.save = save
        section.setdefault("projects", {})
        section.setdefault("keys", {})
        section.setdefault("catalogues", {})
        section.setdefault("doomed", [])
        section.setdefault("next_number", 1)

    def projects(self) -> Iterator[Project]:
        """All projects, oldest first."""
        return (Project(record) for record in list(self.section["projects"].values()))

    def project(self, project_id: str) -> Project:
        """A project. Raises `NeonError` 404 ``project not found``."""
        if project_id not in self.section["projects"]:
            raise not_found("project")
        return Project(self.section["projects"][project_id])

    @property
    def keys(self) -> dict[str, Record]:
        """API keys by number."""
        found: dict[str, Record] = self.section["keys"]
        return found

    def number(self) -> int:
        """The next number for what the API numbers (keys, databases)."""
        number = int(self.section["next_number"])
        self.section["next_number"] = number + 1
        return number

    def find_endpoint(self, endpoint_id: str) -> tuple[Project, Record] | None:
        """An endpoint of any project."""
        for project in self.projects():
            if endpoint_id in project.endpoints:
                return project, project.endpoints[endpoint_id]
        return None

    def find_branch(self, branch_id: str) -> tuple[Project, Record] | None:
        """A branch of any project."""
        for project in self.projects():
            if branch_id in project.branches:
                return project, project.branches[branch_id]
        return None

    def branch_on(self, timeline: str) -> Record | None:
        """The branch whose data is on this timeline."""
        return next((b for p in self.projects() for b in p.branches.values() if b["timeline"] == timeline), None)

    def timelines(self) -> set[str]:
        """Every timeline that something refers to."""
        kept = {entry["timeline"] for p in self.projects() for entry in [*p.branches.values(), *p.snapshots.values()]}
        return {timeline for timeline in kept if timeline}

    # What roles and databases there were on a timeline: they are data, so a branch at an instant has those of then.

    def note_catalogue(self, timeline: str, lsn: str, roles: Record, databases: Record) -> None:
        """Keeps what the roles and databases of `timeline` are from `lsn` on."""
        versions: list[Record] = self.section["catalogues"].setdefault(timeline, [])
        copy = {
            "lsn": lsn,
            "roles": {name: dict(role) for name, role in roles.items()},
            "databases": {name: dict(database) for name, database in databases.items()},
        }
        if versions and versions[-1]["roles"] == copy["roles"] and versions[-1]["databases"] == copy["databases"]:
            return
        versions.append(copy)

    def catalogue_at(self, timeline: str, lsn: str) -> tuple[Record, Record]:
        """Copies of the roles and databases of `timeline` at `lsn`."""
        found: Record = {"roles": {}, "databases": {}}
        for version in self.section["catalogues"].get(timeline, []):
            if lsn_number(version["lsn"]) > lsn_number(lsn):
                break
            found = version
        roles = {name: dict(role) for name, role in found["roles"].items()}
        return roles, {name: dict(database) for name, database in found["databases"].items()}


def new_branch(branch_id: str, name: str, now: datetime, **values: Any) -> Record:
    """A branch record with everything that is not in `values` at its beginning."""
    stamp = rfc3339(now)
    record: Record = {
        "id": branch_id,
        "name": name,
        "parent_id": None,
        "parent_lsn": None,
        "parent_timestamp": None,
        "current_state": "init",
        "pending_state": "ready",
        "state_changed_at": stamp,
        "created_at": stamp,
        "updated_at": stamp,
        "default": False,
        "protected": False,
        "expires_at": None,
        "ttl_interval_seconds": None,
        "last_reset_at": None,
        "init_source": "parent-data",
        "creation_source": "console",
        "restore_status": None,
        "restored_from": None,
        "restored_as": None,
        "annotation": None,
        "logical_size": None,
        "schedule": [],
        "detaching": "",
        "timeline": None,
        "position": None,
        "history_start": None,
        "history_lsn": None,
        "replaces": None,
        "optimising": False,
        "roles": {},
        "databases": {},
    }
    return record | values


def new_role(name: str, now: datetime, *, password: str | None, no_login: bool = False) -> Record:
    """A role as a branch keeps it; `password` is None for a role that was made in SQL or cannot log in."""
    stamp = rfc3339(now)
    return {"name": name, "password": password, "no_login": no_login, "created_at": stamp, "updated_at": stamp}


def new_database(name: str, owner: str, number: int, now: datetime) -> Record:
    """A database as a branch keeps it."""
    stamp = rfc3339(now)
    return {"id": number, "name": name, "owner_name": owner, "created_at": stamp, "updated_at": stamp}
