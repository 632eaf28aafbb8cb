# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that a careless or curious client sends: refused as a whole, never stored, never a server error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.coolify.fields import FIELDS
from sandbox.processes import is_alive
from tests.support.coolify import coolify, until

WRONG: list[tuple[str, Any, str]] = [
    ("health_check_interval", None, "must be an integer"),
    ("health_check_interval", 0, "must be at least 1"),
    ("health_check_timeout", -3, "must be at least 1"),
    ("health_check_retries", "--5", "must be an integer"),
    ("health_check_retries", "²", "must be an integer"),
    ("health_check_return_code", 10**30, "must not be greater than 2147483647"),
    ("health_check_start_period", -1, "must be at least 0"),
    ("health_check_path", "", "must be a string"),
    ("health_check_method", "BREW", "is invalid"),
    ("health_check_scheme", "gopher", "is invalid"),
    ("build_pack", "alpine", "is invalid"),
    ("docker_compose_domains", "x", "must be an array"),
    ("is_spa", "perhaps", "must be true or false"),
    ("name", None, "must be a string"),
    ("colour", "red", "is not allowed"),
]


async def test_one_wrong_field_refuses_the_whole_patch() -> None:
    """Given a good field and a wrong one, when patched, then 422 names the wrong one and nothing has changed."""
    async with coolify() as side:
        made = await side.application()
        url = f"/applications/{made['uuid']}"
        before = await side.get(url)
        for field, value, said in WRONG:
            answer = await side.client.patch(url, json={"description": "changed", field: value})
            assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])
            assert said in answer.json()["errors"][field][0]
            assert await side.get(url) == before


async def test_every_documented_field_is_taken_and_shown() -> None:
    """Given fields that this sandbox does nothing with, when patched, then they are taken and read back."""
    async with coolify() as side:
        made = await side.application()
        url = f"/applications/{made['uuid']}"
        of_row = {
            "limits_memory_swap": "1g",
            "limits_memory_swappiness": 10,
            "limits_cpu_shares": 512,
            "manual_webhook_secret_github": "f2kX0w",
            "docker_compose_domains": [{"name": "web", "domain": "https://example.com"}],
            "preview_url_template": "{{random}}.{{domain}}",
            "max_restart_count": 3,
            "health_check_start_period": 0,
        }
        of_settings = {"is_spa": True, "gpu_count": "all", "stop_grace_period": 45, "docker_images_to_keep": 5}
        placed = {"project_uuid": "x", "server_uuid": "x", "environment_name": "x", "force_domain_override": True}
        answer = await side.client.patch(url, json={**of_row, **of_settings, **placed, "use_build_server": True})
        assert answer.status_code == 200, answer.text
        after = await side.get(url)
        assert {name: after[name] for name in of_row} == of_row
        assert {name: after["settings"][name] for name in of_settings} == of_settings
        assert after["settings"]["is_build_server_enabled"] is True
        assert "project_uuid" not in after
        kept = side.service.state.applications[made["uuid"]]
        for name, field in FIELDS.items():
            assert field.place == "nowhere" or field.column in kept[field.place], f"{name} has no default"


async def test_a_row_that_cannot_run_does_not_keep_the_others_from_starting() -> None:
    """Given a stored row that nobody could run, when the sandbox starts again, then the other application serves."""
    async with coolify() as side:
        broken, sound = [await side.application(name=name, deploy=True) for name in ("broken", "sound")]
        side.service.state.applications[broken["uuid"]]["row"]["health_check_interval"] = None
        await side.stop()
        await side.start()
        assert side.service.runner.live(broken["uuid"]) is None
        assert (await side.client.get(f"{sound['url']}/api/version")).status_code == 200
        assert (await side.get(f"/applications/{broken['uuid']}"))["name"] == "broken"


async def test_what_a_health_command_starts_ends_with_it() -> None:
    """Given a health command that leaves a process behind and never ends, then after its time-out both are gone."""
    async with coolify() as side:
        pids = side.root / "pids"
        command = f"sleep 600 & echo $! >> {pids}; wait"
        check = {"health_check_type": "cmd", "health_check_command": command, "health_check_timeout": 0.2}
        made = await side.application(**check, health_check_retries=2)
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "failed"
        left = [int(line) for line in pids.read_text().split()]
        assert left
        await until(lambda: not [pid for pid in left if is_alive(pid)])


@pytest.mark.parametrize(
    ("check", "status"),
    [
        ({"health_check_port": "3000"}, "finished"),
        ({"health_check_port": "8080"}, "failed"),
        ({"health_check_port": "8080", "ports_exposes": "3000, 8080"}, "finished"),
        ({"health_check_host": "127.0.0.1"}, "finished"),
        ({"health_check_host": "example.com"}, "failed"),
        ({"health_check_scheme": "https"}, "failed"),
    ],
)
async def test_health_is_asked_where_the_check_says(check: dict[str, str], status: str) -> None:
    """Given a check on a port, host or scheme on which the application is not, then its deployment fails."""
    async with coolify() as side:
        made = await side.application()
        answer = await side.client.patch(f"/applications/{made['uuid']}", json={**check, "health_check_retries": 5})
        retries = 100 if status == "finished" else 2
        side.service.change_application(made["uuid"], {"health_check_retries": retries})
        assert answer.status_code == 200, answer.text
        assert (await side.ended(await side.deploy(made["uuid"])))["status"] == status


async def test_a_deployment_of_a_pull_request_never_touches_production() -> None:
    """Given no preview, when a pull request is to be deployed, then the item says so and nothing is queued."""
    async with coolify() as side:
        made = await side.application()
        item = {"message": "Pull request 7 not found for this resource.", "resource_uuid": made["uuid"]}
        for wanted in ({"pr": 7}, {"pull_request_id": "7"}, {"pr": "7abc"}):
            answer = await side.client.post("/deploy", json={"uuid": made["uuid"], **wanted})
            assert (answer.status_code, answer.json()) == (200, {"deployments": [item]})
        assert (await side.get(f"/deployments/applications/{made['uuid']}"))["count"] == 0
        none = await side.client.post("/deploy", json={"uuid": made["uuid"], "pr": 0})
        assert "deployment_uuid" in none.json()["deployments"][0]


async def test_what_waits_on_one_server_holds_up_no_other() -> None:
    """Given a server with a full queue, when an application of another server is deployed, then it starts at once."""
    async with coolify(queue_limit=1, concurrent_builds=1, build_seconds=30) as side:
        here = [await side.application(built=False) for _ in range(3)]
        there = await side.application(server="hetzner-1")
        await side.deploy(here[0]["uuid"])
        await side.deploy(here[1]["uuid"])
        assert (await side.client.post("/deploy", json={"uuid": here[2]["uuid"]})).status_code == 429
        assert (await side.ended(await side.deploy(there["uuid"])))["status"] == "finished"


async def test_a_number_in_a_query_that_is_none_is_no_server_error() -> None:
    """Given odd digits, then paging says 422 and the number of log lines falls back to the usual one."""
    async with coolify() as side:
        made = await side.application(deploy=True)
        for text in ("--5", "²", "1e3", "9" * 5000, "-"):
            for name in ("skip", "take"):
                answer = await side.client.get(f"/deployments/applications/{made['uuid']}", params={name: text})
                assert (answer.status_code, list(answer.json()["errors"])) == (422, [name])
            logs = await side.client.get(f"/applications/{made['uuid']}/logs", params={"lines": text})
            assert "starts" in logs.json()["logs"]


async def test_the_log_of_a_deployment_shows_the_moved_clock() -> None:
    """Given a clock that is a year ahead, then the lines of a deployment's log are of then."""
    async with coolify() as side:
        side.world.clock.advance(365 * 86400)
        made = await side.application(deploy=True)
        logs = json.loads((await side.get(f"/deployments/{made['deployment_uuid']}"))["logs"])
        queued = side.service.state.deployments[made["deployment_uuid"]]["created_at"].partition(".")[0]
        assert queued > datetime.now(UTC).isoformat()
        assert all(line["timestamp"] >= queued for line in logs)


async def test_an_application_without_its_connection_string_serves_no_other_database() -> None:
    """Given a row that a careless PATCH emptied, when deployed, then it fails instead of asking libpq's default."""
    async with coolify() as side:
        made = await side.application(deploy=True, health_check_retries=30)
        answer = await side.client.patch(
            f"/applications/{made['uuid']}/envs", json={"key": "DATABASE_URL", "is_literal": True}
        )
        assert (answer.status_code, answer.json()["value"]) == (201, None)
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "failed"
        assert "DATABASE_URL is not set" in row["logs"]
        assert (await side.client.get(f"{made['url']}/api/version")).status_code == 200
