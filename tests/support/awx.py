# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for AWX's API on loopback, as far as ``awx import`` talks to it.

It knows which fields each kind of object takes, keeps what is posted, links what is associated, and refuses what AWX
refuses: fields that it does not know, references to nothing, a name that exists. It runs nothing. It was made from
AWX's published sources and from what awxkit asks; no AWX was at hand.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PREFIX = "/api/v2/"
_ASKS = {f"ask_{what}_on_launch": "boolean" for what in ("job_type", "verbosity", "variables", "diff_mode", "limit")}
_NAMED = {"name": "string", "description": "string"}
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "organizations": ("organization", _NAMED),
    "users": ("user", {"username": "string"}),
    "teams": ("team", {**_NAMED, "organization": "id"}),
    "credential_types": ("credential_type", {**_NAMED, "kind": "choice", "inputs": "json", "injectors": "json"}),
    "credentials": ("credential", {**_NAMED, "organization": "id", "credential_type": "id", "inputs": "json"}),
    "notification_templates": ("notification_template", {**_NAMED, "organization": "id"}),
    "projects": (
        "project",
        {**_NAMED, "organization": "id", "scm_type": "choice", "scm_url": "string", "scm_branch": "string"}
        | {"scm_update_on_launch": "boolean", "scm_update_cache_timeout": "integer"},
    ),
    "inventories": ("inventory", {**_NAMED, "organization": "id"}),
    "inventory_sources": (
        "inventory_source",
        {**_NAMED, "inventory": "id", "source": "choice", "source_project": "id", "source_path": "string"}
        | {"credential": "integer", "execution_environment": "id", "overwrite": "boolean", "overwrite_vars": "boolean"}
        | {"update_on_launch": "boolean", "update_cache_timeout": "integer"},
    ),
    "job_templates": (
        "job_template",
        {**_NAMED, **_ASKS, "job_type": "choice", "inventory": "id", "project": "id", "playbook": "string"}
        | {"execution_environment": "id", "forks": "integer", "timeout": "integer", "allow_simultaneous": "boolean"}
        | {"diff_mode": "boolean", "survey_enabled": "boolean"},
    ),
    "workflow_job_templates": (
        "workflow_job_template",
        {**_NAMED, "organization": "id", "allow_simultaneous": "boolean", "survey_enabled": "boolean"},
    ),
    "workflow_job_template_nodes": (
        "workflow_job_template_node",
        {"workflow_job_template": "id", "unified_job_template": "id", "identifier": "string", "job_type": "choice"},
    ),
    "workflow_approval_templates": ("workflow_approval_template", {**_NAMED, "timeout": "integer"}),
    "execution_environments": ("execution_environment", {**_NAMED, "image": "string", "pull": "choice"}),
    "applications": ("application", {**_NAMED, "organization": "id"}),
    "schedules": (
        "schedule",
        {**_NAMED, "rrule": "string", "enabled": "boolean", "extra_data": "json", "unified_job_template": "id"},
    ),
}
"""The field types by list endpoint, as an OPTIONS request shows them."""
_OTHER_ROOTS = ("system_job_templates", "instance_groups", "labels", "hosts", "groups", "unified_job_templates")
"""Endpoints that the client looks for, and that nothing here is in."""
_BY_TYPE = {kind: name for name, (kind, _) in KINDS.items()}
_LINKS = {
    "job_template": ("credentials", "schedules", "survey_spec"),
    "workflow_job_template": ("workflow_nodes", "schedules", "survey_spec"),
    "workflow_job_template_node": ("success_nodes", "failure_nodes", "always_nodes", "create_approval_template"),
    "inventory_source": ("credentials", "schedules"),
    "project": ("schedules",),
}
_MADE_HERE = {
    "workflow_nodes": ("workflow_job_template_nodes", "workflow_job_template"),
    "schedules": ("schedules", "unified_job_template"),
}
"""Sub-lists in which objects are made, with the field that then points to the parent."""


class Refused(Exception):
    """A request that AWX would answer with 400."""


class Awx:
    """What the stand-in holds: objects by endpoint, links by endpoint of the sub-list, and the requests that came."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.links: dict[str, list[str]] = {}
        self.blobs: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.url = ""
        self._ids = 0
        self._lock = threading.RLock()
        self.create("organizations", {"name": "Default"})

    def all(self, name: str) -> list[dict[str, Any]]:
        """The objects of one list endpoint."""
        return [item for item in self.objects.values() if item["type"] == KINDS[name][0]]

    def linked(self, item: dict[str, Any], relation: str) -> list[dict[str, Any]]:
        """The objects that one is linked to."""
        return [self.objects[url] for url in self.links.get(f"{item['url']}{relation}/", [])]

    def survey(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """The questions of a template."""
        return list(self.blobs[f"{item['url']}survey_spec/"]["spec"])

    def create(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        kind, fields = KINDS[name]
        self._judge(name, body)
        self._ids += 1
        url = f"{PREFIX}{name}/{self._ids}/"
        item = {**dict.fromkeys(fields), **body, "id": self._ids, "url": url, "type": kind}
        self.objects[url] = item
        return self._related(item)

    def update(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        item = self.objects[url]
        self._judge(_BY_TYPE[item["type"]], body)
        item |= body
        return self._related(item)

    def _judge(self, name: str, body: dict[str, Any]) -> None:
        fields = KINDS[name][1]
        if unknown := body.keys() - fields.keys():
            raise Refused(f"{name}: fields that are not known: {sorted(unknown)}")
        ids = {item["id"] for item in self.objects.values()}
        for field, value in body.items():
            if (fields[field] == "id" or field == "credential") and value not in ids:
                raise Refused(f"{name} {body.get('name')}: {field} refers to nothing")

    def _related(self, item: dict[str, Any]) -> dict[str, Any]:
        links = {name: f"{item['url']}{name}/" for name in _LINKS.get(item["type"], ())}
        for field, how in KINDS[_BY_TYPE[item["type"]]][1].items():
            if how == "id" and item.get(field):
                links[field] = next(url for url, other in self.objects.items() if other["id"] == item[field])
        if item["type"] == "job_template" and item.get("project"):
            # A template belongs to the organization of its project.
            links["organization"] = self._related(self.objects[links["project"]])["related"]["organization"]
        if item["type"] == "inventory_source" and item.get("inventory"):
            links["organization"] = self._related(self.objects[links["inventory"]])["related"]["organization"]
        status = {"status": "successful"} if item["type"] == "project" else {}
        return {**item, **status, "related": links}

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and body for one request."""
        with self._lock:
            parts = urlsplit(path)
            if method not in ("GET", "OPTIONS"):
                self.requests.append((method, parts.path, body))
            try:
                return self._answer(method, parts.path, dict(parse_qsl(parts.query)), body)
            except Refused as error:
                return 400, {"detail": str(error)}

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if path in ("/api/", PREFIX):
            roots = {"inventory" if name == "inventories" else name: f"{PREFIX}{name}/" for name in KINDS}
            roots |= {name: f"{PREFIX}{name}/" for name in _OTHER_ROOTS}
            return 200, roots if path == PREFIX else {"available_versions": {"v2": PREFIX}, "current_version": PREFIX}
        name, *rest = path.removeprefix(PREFIX).strip("/").split("/")
        if not rest:
            return self._list(method, name, query, body)
        url = f"{PREFIX}{name}/{rest[0]}/"
        if len(rest) == 1:
            return 200, self._related(self.objects[url]) if method == "GET" else self.update(url, body)
        return self._sub(method, url, rest[1], path, body)

    def _list(self, method: str, name: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if method == "OPTIONS":
            return 200, {"actions": {"POST": {field: {"type": how} for field, how in self._fields(name).items()}}}
        if method == "POST":
            if any(item["name"] == body.get("name") for item in self.all(name) if body.get("name")):
                raise Refused(f"{name}: {body['name']} already exists")
            return 201, self.create(name, body)
        if name not in KINDS:
            return 200, self._page([])
        wanted = {key: value for key, value in query.items() if key in KINDS[name][1]}
        found = [i for i in self.all(name) if all(str(i.get(key)) == value for key, value in wanted.items())]
        return 200, self._page(found)

    @staticmethod
    def _fields(name: str) -> dict[str, str]:
        return KINDS[name][1] if name in KINDS else {}

    def _sub(self, method: str, url: str, relation: str, path: str, body: Any) -> tuple[int, Any]:
        made, parent = _MADE_HERE.get(relation, ("", ""))
        if method == "OPTIONS":
            fields = KINDS[made or "credentials"][1]
            return 200, {"actions": {"POST": {field: {"type": how} for field, how in fields.items()}}}
        if method == "GET":
            return 200, self._page([self.objects[item] for item in self.links.get(path, [])])
        if relation == "survey_spec":
            self.blobs[path] = body
            return 200, {}
        if relation == "create_approval_template":
            approval = self.create("workflow_approval_templates", body)
            self.objects[url]["unified_job_template"] = approval["id"]
            return 201, approval
        if relation == "schedules":
            # A required question is open although it has a default.
            asked = [q["variable"] for q in self.blobs.get(f"{url}survey_spec/", {}).get("spec", ()) if q["required"]]
            if missing := [name for name in asked if name not in (body.get("extra_data") or {})]:
                raise Refused(f"schedules {body.get('name')}: value missing for {missing}")
        if made:
            item = self.create(made, {**body, parent: self.objects[url]["id"]})
            self.links.setdefault(path, []).append(item["url"])
            return 201, item
        self.links.setdefault(path, []).append(next(u for u, o in self.objects.items() if o["id"] == body["id"]))
        return 204, None

    def _page(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        return {"count": len(items), "next": None, "previous": None, "results": [self._related(i) for i in items]}


@contextmanager
def serving(awx: Awx) -> Iterator[Awx]:
    """Serves it on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = awx.answer(self.command, self.path, json.loads(raw) if raw else None)
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Allow", "GET, POST, PUT, PATCH, OPTIONS")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_OPTIONS = _handle

        def log_message(self, *arguments: Any) -> None:
            """Says nothing: the requests are kept."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    awx.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield awx
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
