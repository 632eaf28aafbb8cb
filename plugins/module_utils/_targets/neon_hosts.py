# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where hosts lead on Neon: the compute, its branch and its project, for the hosts that Coolify's rows name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._coolify.values import direct_host
from .._errors import ApiError, NotFound
from .._neon.client import NeonClient

Json = dict[str, Any]

# Neon's own domains (its documentation, "Connect from any application"); what the API names as a project's proxy
# counts too.
_DOMAIN = r"(?:[a-z0-9-]+\.)+neon\.(?:tech|build)"
_ONLY_PROJECT = re.compile(r"subject_project_id:\s*\"?(?P<id>[a-z0-9-]+)")


@dataclasses.dataclass(frozen=True)
class Compute:
    """A compute with the branch and the project that it belongs to, as Neon answered them."""

    project: Mapping[str, Any]
    branch: Mapping[str, Any]
    endpoint: Mapping[str, Any]


class NeonHosts:
    """Recognises hosts of Neon in any text, and tells where they lead.

    :param projects: all that the key may see.
    """

    def __init__(self, projects: Iterable[Json]) -> None:
        self.projects = list(projects)
        proxies = {str(project.get("proxy_host") or "").lower() for project in self.projects} - {""}
        domains = "|".join([_DOMAIN, *(re.escape(proxy) for proxy in sorted(proxies))])
        # Not inside a longer name.
        self._pattern = re.compile(rf"(?<![\w.-])ep-[a-z0-9-]+\.(?:{domains})(?![\w-]|\.\w)", re.IGNORECASE)
        self._computes: dict[str, Compute] = {}

    def named_in(self, text: str) -> list[str]:
        """The hosts of Neon that a text names, in their direct form, in order and each once."""
        return list(dict.fromkeys(direct_host(found[0])[0] for found in self._pattern.finditer(text)))

    def compute(self, host: str) -> Compute | None:
        """Where a direct host leads; None where no project has it."""
        return self._computes.get(host)

    def resolve(self, neon: NeonClient, hosts: Iterable[str], warn: Callable[[str], None]) -> None:
        """Find the computes of these hosts: one request per project until all are found, one more where one was.

        A project that has gone or that the key may only list is passed over with a warning.
        """
        wanted = set(hosts)
        # A host ends in its project's proxy: those projects first.
        ordered = sorted(self.projects, key=lambda project: not self._may_have(project, wanted))
        for project in ordered:
            if not wanted:
                return
            try:
                found = self._resolve_in(neon, project, wanted)
            except ApiError as error:
                if error.http_status not in (403, 404):
                    raise
                warn(f"Neon: project {project['id']} is left out. {error.msg}")
            else:
                wanted -= found

    def _resolve_in(self, neon: NeonClient, project: Mapping[str, Any], wanted: set[str]) -> set[str]:
        """Those of the hosts that a project has."""
        project_id = str(project["id"])
        found = {direct_host(str(item["host"]))[0]: item for item in neon.endpoints(project_id) if item.get("host")}
        found = {host: item for host, item in found.items() if host in wanted}
        if found:
            branches = {branch["id"]: branch for branch in neon.branches(project_id)[0]}
            for host, endpoint in found.items():
                branch = branches.get(endpoint.get("branch_id"), {"id": endpoint.get("branch_id")})
                self._computes[host] = Compute(project, branch, endpoint)
        return set(found)

    @staticmethod
    def _may_have(project: Mapping[str, Any], hosts: Iterable[str]) -> bool:
        proxy = str(project.get("proxy_host") or "").lower()
        return any(host.partition(".")[2] == proxy for host in hosts)


def read_projects(neon: NeonClient, projects: Iterable[str], organizations: Iterable[str]) -> list[Json]:
    """The projects that are named, else those of the organizations that are named, else all that the key may see.

    A personal key must name an organization: then all of its user's are asked. A key that is good for one project
    may list none, and its refusal names that project.

    :raises RewindError: where nothing can be read with this key.
    """
    named = list(projects)
    if named:
        return [neon.project(project_id) for project_id in named]
    asked = list(organizations)
    if not asked:
        try:
            return neon.projects()
        except NotFound as error:
            only = _ONLY_PROJECT.search(error.text)
            if only is None:
                raise
            return [neon.project(only["id"])]
        except ApiError as error:
            if error.http_status != 400 or "org_id" not in error.text:
                raise
        asked = [str(item["id"]) for item in neon.organizations()]
    found = {str(project["id"]): project for org_id in asked for project in neon.projects(org_id)}
    return list(found.values())
