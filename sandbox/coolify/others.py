# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rest: version, health, the switch of the API, services, projects and servers, as far as clients read them."""

from __future__ import annotations

from aiohttp import web

from sandbox.coolify.access import sees_secrets
from sandbox.coolify.context import PREFIX, Context
from sandbox.coolify.requests import Answer, not_found_route, refuse, reply
from sandbox.coolify.state import Row, public_application, shown_status


class Others:
    """Handlers that belong to no other group."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = context.state

    def routes(self) -> list[web.RouteDef]:
        """All of them; the last one catches every unknown path."""
        route = self.context.route
        return [
            web.get("/api/health", self.health),
            web.get(f"{PREFIX}/health", self.health),
            web.route("*", f"{PREFIX}/enable", self.enable),
            web.route("*", f"{PREFIX}/disable", self.disable),
            route("GET", "/version", "read", self.version),
            route("GET", "/services", "read", self.services),
            route("GET", "/services/{uuid}", "read", self.service),
            *(item for word in ("start", "stop", "restart") for item in self._service_action(word)),
            route("GET", "/projects", "read", self.projects),
            route("GET", "/projects/{uuid}", "read", self.project),
            route("GET", "/projects/{uuid}/environments", "read", self.environments),
            route("GET", "/projects/{uuid}/{name}", "read", self.environment),
            route("GET", "/servers", "read", self.servers),
            route("GET", "/servers/{uuid}", "read", self.server),
            route("GET", "/servers/{uuid}/resources", "read", self.resources),
            route("GET", "/databases", "read", self.databases),
            web.route("*", "/api/{tail:.*}", self.unknown),
        ]

    async def unknown(self, request: web.Request) -> web.Response:
        """No such path."""
        raise not_found_route()

    async def health(self, request: web.Request) -> web.Response:
        """Says nothing but that it is there; no version, no token."""
        return web.Response(text="OK")

    async def version(self, request: web.Request) -> web.Response:
        """Plain text, without a leading v."""
        return web.Response(text=self.context.settings.version)

    async def enable(self, request: web.Request) -> web.Response:
        """Works also while the API is disabled."""
        return self._switch(request, enabled=True)

    async def disable(self, request: web.Request) -> web.Response:
        """Nothing but enabling works afterwards."""
        return self._switch(request, enabled=False)

    def _switch(self, request: web.Request, *, enabled: bool) -> web.Response:
        if request.method == "GET" and not self.context.profile.get_acts:
            raise Answer(405, {"message": "This endpoint has changed to a POST request."}, {"Allow": "POST"})
        if request.method not in ("GET", "POST"):
            raise not_found_route()
        self.context.access.enough_for_instance(request)
        self.state.data["instance"]["api_enabled"] = enabled
        self.state.save()
        return reply({"message": "API enabled." if enabled else "API disabled."})

    def _public_service(self, service: Row, *, sensitive: bool) -> Row:
        hidden = () if sensitive else ("docker_compose", "docker_compose_raw")
        shown = {key: value for key, value in service.items() if key not in ("id", *hidden)}
        shown["status"] = shown_status(str(service["status"]))
        return shown

    async def services(self, request: web.Request) -> web.Response:
        """All services."""
        sensitive = sees_secrets(request)
        return reply([self._public_service(s, sensitive=sensitive) for s in self.state.data["services"].values()])

    def _service(self, request: web.Request) -> Row:
        found: Row | None = self.state.data["services"].get(request.match_info["uuid"])
        if found is None:
            raise refuse(404, "Service not found.")
        return found

    async def service(self, request: web.Request) -> web.Response:
        """One service."""
        return reply(self._public_service(self._service(request), sensitive=sees_secrets(request)))

    def _service_action(self, word: str) -> list[web.RouteDef]:
        async def act(request: web.Request) -> web.Response:
            service = self._service(request)
            running = str(service["status"]).startswith("running")
            if word == "start" and running:
                raise refuse(400, "Service is already running.")
            if word == "stop" and not running:
                raise refuse(400, "Service is already stopped.")
            service["status"] = "exited" if word == "stop" else "running:healthy"
            self.state.save()
            done = {"start": "starting", "stop": "stopping", "restart": "restarting"}[word]
            return reply({"message": f"Service {done} request queued."})

        return self.context.action(f"/services/{{uuid}}/{word}", "action", act)

    async def databases(self, request: web.Request) -> web.Response:
        """Coolify's own databases: there are none here."""
        return reply([])

    def _public_project(self, project: Row, *, whole: bool) -> Row:
        shown = {key: value for key, value in project.items() if key != "environments"}
        if whole:
            shown["environments"] = project["environments"]
        return shown

    async def projects(self, request: web.Request) -> web.Response:
        """All projects, without their environments."""
        return reply([self._public_project(p, whole=False) for p in self.state.data["projects"].values()])

    def _project(self, request: web.Request) -> Row:
        found: Row | None = self.state.data["projects"].get(request.match_info["uuid"])
        if found is None:
            raise refuse(404, "Project not found.")
        return found

    async def project(self, request: web.Request) -> web.Response:
        """One project with its environments."""
        return reply(self._public_project(self._project(request), whole=True))

    async def environments(self, request: web.Request) -> web.Response:
        """The environments of a project."""
        return reply(self._project(request)["environments"])

    async def environment(self, request: web.Request) -> web.Response:
        """One environment, by name or uuid, with what is in it."""
        for environment in self._project(request)["environments"]:
            if request.match_info["name"] in (environment["name"], environment["uuid"]):
                sensitive = sees_secrets(request)
                inside = [
                    public_application(a, sensitive=sensitive)
                    for a in self.state.applications.values()
                    if a["environment"] == environment["uuid"]
                ]
                services = [
                    self._public_service(service, sensitive=sensitive)
                    for service in self.state.data["services"].values()
                    if service.get("environment_id") == environment["id"]
                ]
                return reply({**environment, "applications": inside, "services": services})
        raise refuse(404, "Environment not found.")

    def _public_server(self, server: Row) -> Row:
        hidden = ("id", "is_reachable", "is_usable")
        shown = {key: value for key, value in server.items() if key not in hidden}
        limits = self.context.settings
        shown["settings"] = {
            "is_reachable": server["is_reachable"],
            "is_usable": server["is_usable"],
            "concurrent_builds": limits.concurrent_builds,
            "dynamic_timeout": 3600,
        }
        if self.context.profile.has_queue_limit:
            shown["settings"]["deployment_queue_limit"] = limits.queue_limit
        return shown

    async def servers(self, request: web.Request) -> web.Response:
        """All servers."""
        return reply([self._public_server(server) for server in self.state.data["servers"].values()])

    def _server(self, request: web.Request) -> Row:
        found: Row | None = self.state.data["servers"].get(request.match_info["uuid"])
        if found is None:
            raise refuse(404, "Server not found.")
        return found

    async def server(self, request: web.Request) -> web.Response:
        """One server."""
        return reply(self._public_server(self._server(request)))

    async def resources(self, request: web.Request) -> web.Response:
        """What runs on a server, with its type and status."""
        server = self._server(request)
        running = [("application", a["row"]) for a in self.state.applications.values() if a["server"] == server["uuid"]]
        services = self.state.data["services"].values()
        running += [("service", item) for item in services if item.get("server_id") == server["id"]]
        names = ("id", "uuid", "name", "created_at", "updated_at")
        return reply(
            [
                {name: row[name] for name in names} | {"type": kind, "status": shown_status(str(row["status"]))}
                for kind, row in running
            ]
        )
