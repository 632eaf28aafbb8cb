# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are in Coolify: projects, environments and servers by name, and what runs on a server."""

from __future__ import annotations

from tests.support.coolify import NO_DATABASE, coolify


async def test_what_does_not_exist_yet_is_made_by_its_name() -> None:
    """Given names of places, then applications and services are there, and a second one finds the first one's place."""
    async with coolify() as running:
        first = await running.application(name="first")
        placed = {"project": "Shop", "environment": "staging", "server": "hetzner-1"}
        second = await running.application(name="second", **placed)
        third = await running.application(name="third", project="Shop")
        service = running.service.create_service(name="umami", env={"DATABASE_URL": NO_DATABASE}, **placed)

        projects = await running.get("/projects")
        assert [project["name"] for project in projects] == ["Trackers", "Shop"]
        shop = await running.get(f"/projects/{projects[1]['uuid']}")
        environments = {item["name"]: item for item in shop["environments"]}
        assert list(environments) == ["production", "staging"], "Coolify makes production by itself"
        inside = {
            uuid: (await running.get(f"/applications/{uuid}"))["environment_id"] for uuid in _uuids(second, third)
        }
        assert inside == {
            second["uuid"]: environments["staging"]["id"],
            third["uuid"]: environments["production"]["id"],
        }
        staging = await running.get(f"/projects/{projects[1]['uuid']}/staging")
        assert [item["name"] for item in staging["applications"] + staging["services"]] == ["second", "umami"]

        servers = {item["name"]: item["uuid"] for item in await running.get("/servers")}
        assert list(servers) == ["localhost", "hetzner-1"]
        on = {name: await running.get(f"/servers/{uuid}/resources") for name, uuid in servers.items()}
        assert [item["uuid"] for item in on["localhost"]] == [first["uuid"], third["uuid"]]
        assert [(item["uuid"], item["type"]) for item in on["hetzner-1"]] == [
            (second["uuid"], "application"),
            (service["uuid"], "service"),
        ]
        missing = await running.client.get("/servers/nothing/resources")
        assert (missing.status_code, missing.json()["message"]) == (404, "Server not found.")


async def test_a_shared_variable_belongs_to_the_place_that_is_named() -> None:
    """Given a shared variable of a named project, then only what is in that project sees it."""
    async with coolify() as running:
        row = {"key": "DATABASE_URL", "value": "{{project.DB}}"}
        inside = await running.application(name="inside", env=[row], project="Shop")
        outside = await running.application(name="outside", env=[row])
        running.service.create_shared_env(kind="project", key="DB", value="there", project="Shop")
        seen = {}
        for application in (inside, outside):
            rows = await running.get(f"/applications/{application['uuid']}/envs")
            seen[application["uuid"]] = rows[0]["real_value"]
        assert seen == {inside["uuid"]: "there", outside["uuid"]: "{{project.DB}}"}


def _uuids(*applications: dict[str, str]) -> list[str]:
    return [application["uuid"] for application in applications]
