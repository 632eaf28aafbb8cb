# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a database host: env rows of all applications and services, and shared rows (rule 2).

What cannot be read counts as unknown, never as absent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from .._errors import NotFound, RewindError, Unauthorized
from .client import CoolifyClient, part
from .rows import Row, read_rows
from .values import HostSet, shared_references

Json = dict[str, Any]


# What stays as it is until somebody changes it; anything else may pass.
_NOT_ALLOWED = (NotFound, Unauthorized)


@dataclasses.dataclass(frozen=True)
class Owner:
    """What env rows belong to. `kind`: application, service, team, project, environment or server."""

    kind: str
    uuid: str
    name: str

    def public(self) -> Json:
        return {"kind": self.kind, "uuid": self.uuid, "name": self.name}


@dataclasses.dataclass
class Survey:
    """All env rows that could be read, and what could not."""

    rows: list[tuple[Owner, Row]] = dataclasses.field(default_factory=list)
    unreadable: list[Json] = dataclasses.field(default_factory=list)
    bodies: list[tuple[Owner, Json]] = dataclasses.field(default_factory=list)
    """What each owner is, as Coolify answered it; a project with its environments."""
    needs_lists: bool = False
    """Raise where a list cannot be read for another reason than that the token may not."""
    passing: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    """Kind and uuid of what could not be read for such a reason: the next reading may find it."""

    def owner(self, kind: str, body: Json) -> Owner:
        """The owner that a body describes; the body is kept."""
        owner = Owner(kind, str(body.get("uuid") or ""), str(body.get("name") or ""))
        self.bodies.append((owner, body))
        return owner

    def add(self, owner: Owner, read: Callable[[], list[Json]]) -> None:
        """Read the rows of one owner; a refusal is noted, not raised."""
        try:
            rows = read_rows(read())
        except RewindError as error:
            self.note(owner, error)
            return
        self.rows.extend((owner, row) for row in rows)
        hidden = sorted({row.key for row in rows if not row.readable})
        if hidden:
            locked = all(row.locked for row in rows if not row.readable)
            reason = "locked" if locked else "values are hidden from this token"
            self.unreadable.append({**owner.public(), "env_keys": hidden, "reason": reason})

    def note(self, owner: Owner, error: RewindError) -> None:
        self.unreadable.append({**owner.public(), "env_keys": [], "reason": error.text})
        if not isinstance(error, _NOT_ALLOWED):
            self.passing.add((owner.kind, owner.uuid))

    def listing(self, owner: Owner, read: Callable[[], list[Json]]) -> list[Json]:
        """A list of owners; where it cannot be read that is noted and the list is empty."""
        try:
            return read()
        except RewindError as error:
            # Services name nothing: they are only listed themselves.
            if self.needs_lists and owner.kind != "service" and not isinstance(error, _NOT_ALLOWED):
                raise
            self.note(owner, error)
            return []


def survey(client: CoolifyClient, say: Callable[[str], None], *, needs_lists: bool = False) -> Survey:
    """Read every env row that the token may see: one request per application, service and scope.

    :param needs_lists: whether a list must be there unless the token may not read it.
    :raises RewindError: when not even the applications can be listed.
    """
    found = Survey(needs_lists=needs_lists)
    applications = client.applications()
    for number, body in enumerate(applications, start=1):
        say(f"reading the environment of application {number} of {len(applications)}")
        owner = found.owner("application", body)
        found.add(owner, lambda uuid=owner.uuid: client.environment(uuid))  # type: ignore[misc]
    for body in found.listing(Owner("service", "", "all services"), client.services):
        owner = found.owner("service", body)
        found.add(owner, lambda uuid=owner.uuid: client.service_environment(uuid))  # type: ignore[misc]
    if client.version.lists_shared:
        _survey_shared(client, found)
    return found


def _survey_shared(client: CoolifyClient, found: Survey) -> None:
    found.add(Owner("team", "", "team"), lambda: client.shared_environment("team"))
    for project in found.listing(Owner("project", "", "all projects"), client.projects):
        owner = found.owner("project", project)
        scope = f"projects/{part(owner.uuid)}"
        found.add(owner, lambda scope=scope: client.shared_environment(scope))  # type: ignore[misc]
        for environment in environments_of(client, found, project):
            inner = found.owner("environment", environment)
            path = f"{scope}/environments/{part(inner.uuid or inner.name)}"
            found.add(inner, lambda path=path: client.shared_environment(path))  # type: ignore[misc]
    for server in found.listing(Owner("server", "", "all servers"), client.servers):
        owner = found.owner("server", server)
        scope = f"servers/{part(owner.uuid)}"
        found.add(owner, lambda scope=scope: client.shared_environment(scope))  # type: ignore[misc]


def environments_of(client: CoolifyClient, found: Survey, project: Json) -> list[Json]:
    """The environments of a project, which are kept in its body; where they cannot be read that is noted."""
    owner = Owner("environment", "", f"environments of project {project.get('name') or ''}")
    read = found.listing(owner, lambda: client.project(str(project.get("uuid") or "")).get("environments") or [])
    project["environments"] = read
    return read


def consumers(found: Survey, hosts: HostSet, hash_value: Callable[[str], str]) -> list[Json]:
    """The rows whose value names one of the hosts, direct or pooled, also through a shared variable.

    :param hash_value: the keyed hash by which a value is shown.
    """
    shared: dict[str, tuple[str, bool, str | None]] = {}
    matched: list[Json] = []
    for owner, row in found.rows:
        hit = hosts.find(row.value)
        if hit is None:
            continue
        if owner.kind not in ("application", "service"):
            shared[f"{owner.kind}.{row.key}"] = hit
        matched.append(_consumer(owner, row, hit, None, hash_value))
    for owner, row in found.rows:
        for reference in shared_references(row.value):
            if reference in shared and owner.kind in ("application", "service"):
                matched.append(_consumer(owner, row, shared[reference], reference, hash_value))
    return matched


def _consumer(
    owner: Owner,
    row: Row,
    hit: tuple[str, bool, str | None],
    through: str | None,
    hash_value: Callable[[str], str],
) -> Json:
    host, pooled, port = hit
    return {
        **owner.public(),
        "key": row.key,
        "env_uuid": row.uuid,
        "is_preview": row.is_preview,
        "host": host,
        "port": port,
        "pooled": pooled,
        "application": owner.uuid if owner.kind == "application" else None,
        "through": through,
        "hash": hash_value(row.value) if row.value is not None else None,
    }


def unknown_references(found: Survey, *, lists_shared: bool) -> list[Json]:
    """Rows whose content comes from a shared variable that could not be read: they may name a host all the same."""
    readable = {f"{owner.kind}.{row.key}" for owner, row in found.rows if row.readable} if lists_shared else set()
    unknown: dict[Owner, set[str]] = {}
    for owner, row in found.rows:
        if any(reference not in readable for reference in shared_references(row.value)):
            unknown.setdefault(owner, set()).add(row.key)
    return [
        {**owner.public(), "env_keys": sorted(keys), "reason": "taken from a shared variable that cannot be read"}
        for owner, keys in unknown.items()
    ]


def without(items: Iterable[Json], ignored: Iterable[str]) -> list[Json]:
    """The entries that nobody asked to leave out, by uuid, name, row, or ``owner/KEY``."""
    names = set(ignored)
    return [item for item in items if not names & _names(item)]


def _names(item: Json) -> set[str]:
    owners = {str(item[name]) for name in ("uuid", "name") if item.get(name)}
    keys = [item["key"]] if item.get("key") else []
    return owners | {f"{owner}/{key}" for owner in owners for key in keys} | {str(item.get("env_uuid") or "")} - {""}
