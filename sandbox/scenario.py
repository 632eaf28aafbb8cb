# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of a new sandbox: two projects with data, and an application on each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.tracker.seed import seed_database
from sandbox.world import World

DATABASE = "tracker"
ROLE = "tracker_owner"
ENV_KEY = "DATABASE_URL"
# The first start competes with filling the databases, on a machine that may be busy besides.
PATIENT_RETRIES = 90
COOLIFY_RETRIES = 10


@dataclass(frozen=True)
class Target:
    """One application and its database."""

    name: str
    project: str
    migrate_at_start: bool


TARGETS = (
    Target("tracker", "rewind-sandbox", migrate_at_start=False),
    Target("migrator", "rewind-migrator", migrate_at_start=True),
)


class ScenarioFailed(RuntimeError):
    """The initial world could not be built; the text says which part."""


async def build(world: World, step: Callable[[str], None]) -> None:
    """Builds the initial world and remembers its targets in the store. Raises `ScenarioFailed`."""
    step("creating the projects")
    projects = await asyncio.gather(*(_create_project(world, target) for target in TARGETS))
    step(f"filling the databases ({world.settings.rows} progress rows each) and starting the applications")
    # At once: an application takes longer to start than its schema to be made, and is healthy when both are done.
    applications = await asyncio.gather(
        *(_fill_and_deploy(world, target, project) for target, project in zip(TARGETS, projects, strict=True))
    )
    tokens = world.store.section("tokens")
    tokens["neon"] = world.neon.create_token(name="sandbox", scope="personal", token=tokens.get("neon"))
    if "coolify" not in tokens:
        tokens["coolify"] = world.coolify.create_token(name="sandbox", abilities=["root"])
    scenario = world.store.section("scenario")
    scenario["targets"] = {
        target.name: _described(project, application)
        for target, project, application in zip(TARGETS, projects, applications, strict=True)
    }
    scenario["built"] = True
    world.store.save()


async def _create_project(world: World, target: Target) -> dict[str, Any]:
    return await world.neon.create_project(name=target.project, database=DATABASE, role=ROLE)


async def _fill_and_deploy(world: World, target: Target, project: dict[str, Any]) -> dict[str, Any]:
    filling = asyncio.ensure_future(_fill(world, project))
    application = await _create_application(world, target, project)
    await filling
    return application


async def _fill(world: World, project: dict[str, Any]) -> None:
    settings = world.settings
    # A thread: the connection goes through the proxy, which this event loop serves.
    await asyncio.to_thread(seed_database, project["connection_uri"], rows=settings.rows, seed=settings.seed)


async def _create_application(world: World, target: Target, project: dict[str, Any]) -> dict[str, Any]:
    application = await world.coolify.create_application(
        name=target.name,
        env={ENV_KEY: project["connection_uri"], "LOG_LEVEL": "info"},
        migrate_at_start=target.migrate_at_start,
        built=True,
        deploy=True,
        health_check_retries=PATIENT_RETRIES,
    )
    if application["deployment_status"] != "finished":
        raise ScenarioFailed(
            f"the first deployment of {target.name} ended as {application['deployment_status']}; "
            "the application's log is below the state folder, the daemon's is shown by bin/sandbox logs"
        )
    world.coolify.change_as_deployed(application["uuid"], {"health_check_retries": COOLIFY_RETRIES})
    return application


def _described(project: dict[str, Any], application: dict[str, Any]) -> dict[str, Any]:
    return {
        "neon_project_id": project["project_id"],
        "neon_database": DATABASE,
        "neon_role": ROLE,
        "coolify_application": application["uuid"],
        "coolify_env_key": ENV_KEY,
        "application_url": application["url"],
    }
