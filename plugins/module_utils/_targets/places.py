# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything in Coolify is: project, environment and server of each application and service."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from .._coolify.client import CoolifyClient
from .._coolify.consumers import Owner, Survey, environments_of, survey
from .._coolify.rows import Row
from .._task import Task

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an application or service is. None is what could not be read."""

    project: Owner | None = None
    environment: Owner | None = None
    server: Owner | None = None

    def scopes(self) -> dict[str, Owner | None]:
        """Whose shared variables it sees, by the scope that a reference names; a team's are everybody's."""
        return {"project": self.project, "environment": self.environment, "server": self.server}


@dataclasses.dataclass(frozen=True)
class Deployed:
    """An application or a service with its rows."""

    owner: Owner
    body: Mapping[str, Any] = dataclasses.field(repr=False)
    place: Place
    rows: tuple[Row, ...]
    # Why no row at all could be listed; empty where they could.
    failure: str = ""
    # Whether that may be otherwise the next time.
    unsure: bool = False


@dataclasses.dataclass(frozen=True)
class Shared:
    """The shared variables that could be read. Their values are secrets."""

    team: Mapping[str, str] = dataclasses.field(repr=False)
    scoped: Mapping[tuple[str, str], Mapping[str, str]] = dataclasses.field(repr=False)

    def seen_by(self, place: Place) -> dict[str, str]:
        """Those that a place sees, by scope and name: ``project.DATABASE_URL``."""
        found = {f"team.{key}": value for key, value in self.team.items()}
        for scope, owner in place.scopes().items():
            values = self.scoped.get((scope, owner.uuid), {}) if owner else {}
            found.update({f"{scope}.{key}": value for key, value in values.items()})
        return found


def read_coolify(client: CoolifyClient, task: Task) -> tuple[list[Deployed], Shared]:
    """All applications and services with where they are, their rows and the shared variables.

    :raises RewindError: when not even the applications can be listed.
    """
    # Without its project a host would have another name, and its journals would belong to nobody.
    found = survey(client, task.progress, needs_lists=True)
    if not client.version.lists_shared:
        _list_places(client, found)
    where = _Places(client, found)
    for line in (*_unlisted(found), *_missed(found)):
        task.warn(line)
    deployed = [
        Deployed(
            owner=owner,
            body=body,
            place=where.of(owner, body),
            rows=tuple(row for other, row in found.rows if other == owner),
            failure=_failure(found, owner),
            unsure=(owner.kind, owner.uuid) in found.passing,
        )
        for owner, body in found.bodies
        if owner.kind in ("application", "service")
    ]
    return deployed, _shared(found)


def _list_places(client: CoolifyClient, found: Survey) -> None:
    """Projects and servers of a Coolify without shared variables in its API (before 4.3.0)."""
    for project in found.listing(Owner("project", "", "all projects"), client.projects):
        found.owner("project", project)
        environments_of(client, found, project)
    for server in found.listing(Owner("server", "", "all servers"), client.servers):
        found.owner("server", server)


def _failure(found: Survey, owner: Owner) -> str:
    for item in found.unreadable:
        if not item["env_keys"] and (item["kind"], item["uuid"]) == (owner.kind, owner.uuid):
            return str(item["reason"])
    return ""


def _unlisted(found: Survey) -> Iterator[str]:
    """What a whole list could not be read of: what is in it is missing, and that must be said."""
    for item in found.unreadable:
        if not item["uuid"] and not item["env_keys"] and item["kind"] != "team":
            yield f"Coolify: {item['name']} could not be read, so what belongs there is missing. {item['reason']}"


def _missed(found: Survey) -> Iterator[str]:
    """A target that is missing for once must not pass for one that is not there."""
    for owner, _body in found.bodies:
        if owner.kind in ("application", "service") and (owner.kind, owner.uuid) in found.passing:
            yield (
                f"Coolify: the variables of the {owner.kind} {owner.name} could not be read this time, so it is no "
                f"target: {_failure(found, owner)}. Try again."
            )


def _shared(found: Survey) -> Shared:
    team: dict[str, str] = {}
    scoped: dict[tuple[str, str], dict[str, str]] = {}
    for owner, row in found.rows:
        if owner.kind in ("application", "service") or not row.readable:
            continue
        values = team if owner.kind == "team" else scoped.setdefault((owner.kind, owner.uuid), {})
        # Of several rows with one name Coolify takes the first that it finds.
        values.setdefault(row.key, row.value or "")
    return Shared(team, scoped)


class _Places:
    """Looks places up. An application names its environment by number; what runs on a server the server tells."""

    def __init__(self, client: CoolifyClient, found: Survey) -> None:
        self._environments: dict[str, tuple[Owner, Owner]] = {}
        self._servers: dict[str, Owner] = {}
        for owner, body in found.bodies:
            if owner.kind == "project":
                self._note_environments(owner, body)
            elif owner.kind == "server":
                self._note_resources(client, found, owner)

    def of(self, owner: Owner, body: Mapping[str, Any]) -> Place:
        project, environment = self._environments.get(str(body.get("environment_id")), (None, None))
        return Place(project, environment, self._servers.get(owner.uuid))

    def _note_environments(self, project: Owner, body: Mapping[str, Any]) -> None:
        for item in body.get("environments") or ():
            uuid, name = str(item.get("uuid") or item.get("id") or ""), str(item.get("name") or "")
            if item.get("id") is not None:
                self._environments[str(item["id"])] = (project, Owner("environment", uuid, name))

    def _note_resources(self, client: CoolifyClient, found: Survey, server: Owner) -> None:
        everything = Owner("resources", "", f"what runs on server {server.name}")
        for item in found.listing(everything, lambda: client.server_resources(server.uuid)):
            self._servers[str(item.get("uuid") or "")] = server


def health_of(body: Mapping[str, Any]) -> str:
    """One word for the group: ``healthy``, ``unhealthy``, ``unknown``; ``exited``, ...; ``unreachable``."""
    if body.get("server_status") is False:
        # The status is a cache and stays what it was.
        return "unreachable"
    state, _colon, rest = str(body.get("status") or "unknown").partition(":")
    return (rest.partition(":")[0] or "unknown") if state == "running" else state
