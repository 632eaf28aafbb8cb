# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Coolify and a Neon made of plain dictionaries behind a transport, and the inventory that is made of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import yaml
from ansible import constants as C
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments import constructed, inventory_cache
from ansible_collections.rewind.database.plugins.inventory import targets
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, NEON_KEY

Json = dict[str, Any]

PLUGIN = "rewind.database.targets"
PROXY = "eu-central-1.aws.neon.tech"
PASSWORD = "npgT4wq9ZkR2vXs7"
COOLIFY_URL = "https://coolify.example.com"


def dsn(endpoint: str, *, pooled: bool = False, host: str = "", database: str = "shop") -> str:
    """A connection string that leads to a compute."""
    where = host or f"{endpoint}{'-pooler' if pooled else ''}.{PROXY}"
    return f"postgresql://shop_owner:{PASSWORD}@{where}/{database}?sslmode=require"


OTHER_DATABASE = dsn("", host="postgres.internal:5432")


def row(key: str, value: str | None, **more: Any) -> Json:
    """An env row as Coolify answers it; `hidden` leaves its value out."""
    hidden = more.pop("hidden", False)
    shown = {} if hidden else {"value": value, "real_value": value}
    return {"uuid": f"row-{key}-{len(more)}".lower(), "key": key, "is_preview": False, **shown, **more}


@dataclasses.dataclass
class World:
    """Both services. Everything may be changed before the inventory is read."""

    version: str = "4.3.11"
    applications: list[Json] = dataclasses.field(default_factory=list)
    services: list[Json] = dataclasses.field(default_factory=list)
    envs: dict[str, list[Json]] = dataclasses.field(default_factory=dict)
    projects: list[Json] = dataclasses.field(default_factory=list)
    servers: list[Json] = dataclasses.field(default_factory=list)
    resources: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    shared: dict[str, list[Json]] = dataclasses.field(default_factory=dict)
    neon: list[Json] = dataclasses.field(default_factory=list)
    endpoints: dict[str, list[Json]] = dataclasses.field(default_factory=dict)
    branches: dict[str, list[Json]] = dataclasses.field(default_factory=dict)
    page: int = 400
    slow: set[str] = dataclasses.field(default_factory=set)
    """The ids of Neon projects that are too slow for the list: it names them only."""
    slow_on_each_page: bool = False
    key: str = "org"
    """``org``; ``personal``, which must name an organization; or the id of the only project."""
    answers: dict[str, tuple[int, Any]] = dataclasses.field(default_factory=dict)
    """By path, which is Coolify's unless ``neon:`` is before it: what is answered instead."""
    requests: list[httpx.Request] = dataclasses.field(default_factory=list)

    # -- what is in it -----------------------------------------------------------------------------------------------

    def environment(self, project: str, name: str) -> int:
        """The number of an environment, made with its project where there is none."""
        found = next((item for item in self.projects if item["name"] == project), None)
        if found is None:
            found = {"uuid": f"project-{len(self.projects)}", "name": project, "environments": []}
            self.projects.append(found)
        for item in found["environments"]:
            if item["name"] == name:
                return int(item["id"])
        number = 100 * len(self.projects) + len(found["environments"])
        found["environments"].append({"id": number, "uuid": f"environment-{number}", "name": name})
        return number

    def application(
        self,
        name: str,
        *rows: Json,
        project: str = "Shop",
        environment: str = "production",
        server: str = "hetzner-1",
        kind: str = "application",
        **more: Any,
    ) -> str:
        """An application with these rows in a place; its uuid."""
        listed = self.services if kind == "service" else self.applications
        uuid = f"{len(self.applications)}{len(self.services)}{kind[0]}".ljust(24, "x")
        listed.append(
            {
                "uuid": uuid,
                "name": name,
                "status": "running:healthy",
                "environment_id": self.environment(project, environment),
                **more,
            }
        )
        self.envs[uuid] = list(rows)
        if server not in [item["name"] for item in self.servers]:
            self.servers.append({"uuid": f"server-{len(self.servers)}", "name": server})
        where = next(item["uuid"] for item in self.servers if item["name"] == server)
        self.resources.setdefault(where, []).append(uuid)
        return uuid

    def database(self, endpoint: str, *, project: str = "shop", branch: str = "main", **more: Any) -> Json:
        """A compute of a branch of a Neon project, all made where there are none; the compute."""
        project_id = f"{project}-12345678"
        if project_id not in [item["id"] for item in self.neon]:
            self.neon.append({"id": project_id, "name": project, "proxy_host": PROXY})
        branch_id = f"br-{project}-{branch}"
        branches = self.branches.setdefault(project_id, [])
        if branch_id not in [item["id"] for item in branches]:
            branches.append({"id": branch_id, "name": branch, "protected": branch == "main"})
        made = {"id": endpoint, "branch_id": branch_id, "type": "read_write", "host": f"{endpoint}.{PROXY}", **more}
        self.endpoints.setdefault(project_id, []).append(made)
        return made

    # -- how it answers ----------------------------------------------------------------------------------------------

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def paths(self, service: str = "") -> list[str]:
        """What was asked, in order."""
        return [unquote(r.url.path)[len("/api/v1") :] for r in self.requests if service in str(r.url.host)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "GET", f"an inventory reads: {request.method} {request.url}"
        self.requests.append(request)
        neon = request.url.host == "console.neon.tech"
        token = NEON_KEY if neon else COOLIFY_TOKEN
        if request.headers["Authorization"] != f"Bearer {token}":
            return httpx.Response(401, json={"message": "Unauthenticated."})
        path = unquote(request.url.path)[len("/api/v1") :]
        instead = self.answers.get(f"neon:{path}" if neon else path)
        if instead:
            status, body = instead
        else:
            status, body = self._neon(path, request) if neon else self._coolify(path)
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body)

    def _coolify(self, path: str) -> tuple[int, Any]:
        plain = {
            "/version": self.version,
            "/applications": self.applications,
            "/services": self.services,
            "/projects": [{k: v for k, v in item.items() if k != "environments"} for item in self.projects],
            "/servers": self.servers,
        }
        if path in plain:
            return 200, plain[path]
        kind, uuid, *rest = path.strip("/").split("/")
        if kind in ("applications", "services") and rest == ["envs"] and uuid in self.envs:
            return 200, self.envs[uuid]
        if kind == "projects" and not rest:
            return 200, next(item for item in self.projects if item["uuid"] == uuid)
        if kind == "servers" and rest == ["resources"]:
            return 200, [{"uuid": item, "type": "application"} for item in self.resources.get(uuid, [])]
        if path.endswith("/envs"):
            return 200, self.shared.get(path.removesuffix("/envs").strip("/"), [])
        return 404, {"message": "Not found.", "docs": "https://coolify.io/docs"}

    def _neon(self, path: str, request: httpx.Request) -> tuple[int, Any]:
        query = request.url.params
        if path == "/users/me/organizations":
            return 200, {"organizations": [{"id": "org-a"}, {"id": "org-b"}]}
        if path == "/projects":
            return self._neon_projects(query)
        project, *rest = path.removeprefix("/projects/").split("/")
        found = next((item for item in self.neon if item["id"] == project), None)
        if found is None:
            return 404, {"message": "project not found"}
        if rest == ["endpoints"]:
            return 200, {"endpoints": self.endpoints.get(project, [])}
        if rest == ["branches"]:
            return 200, {"branches": self.branches.get(project, []), "pagination": {}}
        return 200, {"project": found}

    def _neon_projects(self, query: httpx.QueryParams) -> tuple[int, Any]:
        if self.key == "personal" and "org_id" not in query:
            return 400, {"message": "org_id is required"}
        if self.key not in ("org", "personal"):
            reason = "not allowed to perform actions outside the project this key is scoped to"
            return 404, {"message": f'{reason}; subject_project_id:"{self.key}"'}
        listed = self.neon if query.get("org_id") != "org-b" else []
        ids = [item["id"] for item in listed]
        begin = ids.index(query["cursor"]) + 1 if query.get("cursor") in ids else 0
        page = listed[begin : begin + min(self.page, int(query["limit"]))]
        cursor = page[-1]["id"] if page else query.get("cursor", "")
        slow = [item["id"] for item in page if item["id"] in self.slow]
        shown = [item for item in page if item["id"] not in slow]
        # Nobody says whether a page names only its own, or all that there are.
        named = [*sorted(self.slow)] if self.slow_on_each_page else slow
        more = {"unavailable_project_ids": named} if named else {}
        return 200, {"projects": shown, "pagination": {"cursor": cursor}, **more}


class Read:
    """What the plugin made: hosts, their variables and groups."""

    def __init__(self, data: InventoryData) -> None:
        self.data = data
        text = json.dumps(self.everything(), default=str)
        for secret in (PASSWORD, NEON_KEY, COOLIFY_TOKEN, "postgresql://"):
            assert secret not in text, "a secret became part of the inventory"

    def everything(self) -> Json:
        hosts = {name: dict(host.vars) for name, host in self.data.hosts.items()}
        return {"hosts": hosts, "groups": {name: dict(group.vars) for name, group in self.data.groups.items()}}

    def names(self, group: str = "all") -> list[str]:
        """The hosts of a group; none where there is no such group."""
        if group == "all":
            return sorted(self.data.hosts)
        found = self.data.groups.get(group)
        return sorted(host.name for host in found.get_hosts()) if found else []

    def __getitem__(self, host: str) -> Json:
        ours = self.data.hosts[host].vars.items()
        return {name: value for name, value in ours if name not in ("inventory_file", "inventory_dir")}

    def groups(self, host: str) -> set[str]:
        return {group.name for group in self.data.hosts[host].get_groups()} - {"all", "ungrouped"}


def _plugin() -> targets.InventoryModule:
    """The plugin with its options known, as Ansible's loader gives it. (The loader finds no collection in a test.)"""
    documents = (inventory_cache.ModuleDocFragment, constructed.ModuleDocFragment, targets)
    options = [yaml.safe_load(document.DOCUMENTATION)["options"] for document in documents]
    merged = {name: option for part in options for name, option in part.items()}
    C.config.initialize_plugin_configuration_definitions("inventory", PLUGIN, merged)
    plugin = targets.InventoryModule()
    plugin._load_name, plugin._redirected_names = PLUGIN, [PLUGIN]
    return plugin


def read(
    folder: Path, *, flush: bool = False, name: bool = False, data: InventoryData | None = None, **options: Any
) -> Read:
    """Parse an inventory of these options, or of none, as Ansible does it.

    :param flush: as with ``--flush-cache``.
    :param name: give the plugin's name instead of a file.
    :param data: what other sources of the same inventory have made.
    """
    plugin = _plugin()
    path = folder / (PLUGIN if name else "all.rewind.yml")
    if not name:
        path.write_text(yaml.safe_dump({"plugin": PLUGIN, **options}), encoding="utf-8")
    assert plugin.verify_file(str(path))
    data = data or InventoryData()
    plugin.parse(data, DataLoader(), str(path), cache=not flush)
    if plugin.get_option("cache"):
        plugin.update_cache_if_changed()
    data.reconcile_inventory()
    return Read(data)


def reasons(found: Read, hosts: Iterable[str] | None = None) -> dict[str, str]:
    """Why hosts are not supported."""
    return {name: found[name]["rewind_unsupported_reason"] for name in hosts or found.names("rewind_unsupported")}
