# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reading modules return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._connection import hash_of
from .._task import Task
from .abilities import MISSING, PROVEN, probe, sensitive
from .applications import Json, application_view, environment_view, migration_hints, supplied_strings
from .client import PAGE, CoolifyClient
from .consumers import consumers, survey, unknown_references, without
from .deployments import HEAD, Deployment, LogScrubber, last_finished, read_deployments, running
from .follow import check_belongs
from .rows import read_rows, texts_of
from .values import HostSet

# Far enough back to find the last finished deployment behind a series of failures.
_FAR_BACK = 200


def read_application(client: CoolifyClient, task: Task, application: str) -> Json:
    """Everything that a plan needs to know about one application."""
    version = client.version
    body = client.application(application)
    rows = read_rows(client.environment(application))
    last = last_finished(_read_back(client, application, _until_finished, PAGE))
    view = application_view(body, commit=_commit(last))
    view["migration_hints"] = migration_hints(body, rows)
    supplied = supplied_strings(task.params.get("supplied_env") or {}, task)
    view["environment"] = environment_view(rows, task, supplied)
    seen = sensitive(rows, body)
    if seen == MISSING:
        task.warn("The values of env rows are hidden from this token; it needs the ability read:sensitive.")
    abilities = {"read": PROVEN, "read_sensitive": seen, **_probed(client, task)}
    return {"version": str(version), "application": view, "applications": [], "abilities": abilities}


def own_deployments(client: CoolifyClient, application: str, limit: int) -> list[Deployment]:
    """The newest deployments of the application itself, at most so many."""
    return _read_back(client, application, lambda found: len(found) >= limit, limit)[:limit]


def _read_back(
    client: CoolifyClient, application: str, enough: Callable[[list[Deployment]], bool], first: int
) -> list[Deployment]:
    """Deployments of the application itself, page by page until there are enough.

    Coolify lists those of pull requests among them, and a busy day of previews must not hide the application's own.

    :param first: how many rows the first page has.
    """
    found: list[Deployment] = []
    read, take = 0, min(max(first, 1), _FAR_BACK)
    while True:
        rows = client.deployments(application, limit=take, skip=read)
        # One that has begun since the page before has moved the rest.
        known = {deployment.uuid for deployment in found}
        found += [deployment for deployment in read_deployments(rows) if deployment.uuid not in known]
        read += len(rows)
        if enough(found) or len(rows) < take or read >= _FAR_BACK:
            return found
        take = min(PAGE, _FAR_BACK - read)


def _until_finished(found: list[Deployment]) -> bool:
    return last_finished(found) is not None


def _commit(last: Deployment | None) -> str | None:
    if last is None or last.commit == HEAD:
        return None
    return last.commit


def read_applications(client: CoolifyClient, task: Task) -> Json:
    """All applications of the team, without their env rows and running commits (which take requests of their own)."""
    version = client.version
    bodies = client.applications()
    abilities = {"read": PROVEN, "read_sensitive": sensitive([], bodies[0] if bodies else None)}
    return {
        "version": str(version),
        "application": None,
        "applications": [application_view(body) for body in bodies],
        "abilities": {**abilities, **_probed(client, task)},
    }


def _probed(client: CoolifyClient, task: Task) -> dict[str, str]:
    return probe(client, check_mode=task.check_mode or not task.params.get("prove_abilities", True))


def read_deployment_facts(client: CoolifyClient, application: str, *, limit: int, logs: bool) -> Json:
    """An application's deployments, newest first, which of them run, and the last one that finished."""
    known = _read_back(client, application, lambda some: len(some) >= limit and _until_finished(some), limit)
    found, last = known[:limit], last_finished(known)
    scrubber = None
    if logs and any(deployment.lines for deployment in known):
        scrubber = LogScrubber(texts_of(read_rows(client.environment(application))))
    return {
        "deployments": [deployment.public(scrubber) for deployment in found],
        "running": [deployment.public(scrubber) for deployment in running(known)],
        "last_finished": last.public(scrubber) if last is not None else None,
    }


def read_one_deployment(client: CoolifyClient, application: str | None, uuid: str, *, logs: bool) -> Json:
    """One deployment; an empty list where Coolify does not know the uuid, which it may have answered all the same."""
    body = client.deployment(uuid)
    if body is None:
        return {"deployments": [], "running": [], "last_finished": None}
    if application:
        check_belongs(client, application, body)
    deployment = Deployment.read(body)
    scrubber = None
    if logs and application and deployment.lines:
        scrubber = LogScrubber(texts_of(read_rows(client.environment(application))))
    view = deployment.public(scrubber)
    return {
        "deployments": [view],
        "running": [view] if deployment.is_running else [],
        "last_finished": view if deployment.is_finished else None,
    }


def read_consumers(client: CoolifyClient, task: Task) -> Json:
    """Who uses the hosts, and what could not be looked into."""
    ignored: list[Any] = task.params.get("ignore") or []
    found = survey(client, task.progress)
    unreadable = found.unreadable + unknown_references(found, lists_shared=client.version.lists_shared)
    return {
        "consumers": without(
            consumers(found, HostSet(task.params["hosts"]), lambda value: hash_of(value, task)), ignored
        ),
        "unreadable": without(unreadable, ignored),
    }
