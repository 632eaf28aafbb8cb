# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application is, as modules return it: where it runs, whether it deploys rolling, and its env rows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._connection import describe
from .._errors import InvalidInput
from .._task import Task
from .._uri import parse_uri
from .deployments import HEAD, LogScrubber
from .rows import FLAG_DEFAULTS, Row, by_identity, texts_of

Json = dict[str, Any]

_HEALTH_FIELDS = (
    "type",
    "command",
    "path",
    "port",
    "host",
    "method",
    "scheme",
    "return_code",
    "response_text",
    "interval",
    "timeout",
    "retries",
    "start_period",
)
# Run around each deployment, so anything in them may migrate.
_AROUND = ("pre_deployment_command", "post_deployment_command")
_MAY_MIGRATE = ("start_command", "docker_compose_custom_start_command", "build_command", "install_command")
_MIGRATES = re.compile(
    r"migrat|prisma\s+db\s+push|alembic|flyway|liquibase|dbmate|sqitch|goose|db:push|db:schema|knex|sequelize|typeorm"
    r"|drizzle|ecto|rake\s+db|diesel",
    re.IGNORECASE,
)
_OWN_ADDRESS = re.compile(r"(?:^|\s)--ip6?(?:[=\s]|$)")


def application_view(body: Mapping[str, Any], *, commit: str | None = None) -> Json:
    """An application without its env rows.

    :param commit: that of its last finished deployment.
    """
    settings = body.get("settings") if isinstance(body.get("settings"), dict) else {}
    auto_deploy = (settings or {}).get("is_auto_deploy_enabled")
    server = body.get("server_status")
    return {
        "uuid": body.get("uuid"),
        "name": body.get("name"),
        "fqdn": body.get("fqdn"),
        "status": body.get("status"),
        "server_reachable": None if server is None else bool(server),
        "build_pack": body.get("build_pack"),
        "git_repository": body.get("git_repository"),
        "git_branch": body.get("git_branch"),
        "git_commit_sha": body.get("git_commit_sha") or HEAD,
        "image_tag": body.get("docker_registry_image_tag"),
        "commit": commit,
        "auto_deploy": None if auto_deploy is None else bool(auto_deploy),
        "health_check": health_check(body),
        "custom_healthcheck_found": bool(body.get("custom_healthcheck_found")),
        "rolling": rolling(body),
    }


def health_check(body: Mapping[str, Any]) -> Json:
    """The health check of an application; its fields without the prefix ``health_check_``."""
    found = {name: body.get(f"health_check_{name}") for name in _HEALTH_FIELDS}
    return {"enabled": bool(body.get("health_check_enabled")), **found}


def rolling(body: Mapping[str, Any]) -> Json:
    """Whether Coolify starts the new container, waits for its health, and only then stops the old one (rule 6).

    The reasons against it are those of ApplicationDeploymentJob: such applications are stopped first.
    """
    settings = body.get("settings") if isinstance(body.get("settings"), dict) else {}
    reasons = []
    if body.get("ports_mappings"):
        reasons.append("it maps host ports")
    if (settings or {}).get("is_consistent_container_name_enabled"):
        reasons.append("it has a consistent container name")
    if (settings or {}).get("custom_internal_name"):
        reasons.append("it has a custom container name")
    if _OWN_ADDRESS.search(str(body.get("custom_docker_run_options") or "")):
        reasons.append("it has a fixed address (--ip)")
    if body.get("build_pack") == "dockercompose":
        reasons.append("it is a compose application")
    if "swarm" in str(body.get("destination_type") or "").lower():
        reasons.append("it runs on a swarm")
    return {"ok": not reasons, "reasons": reasons}


def migration_hints(body: Mapping[str, Any], rows: Sequence[Row]) -> list[Json]:
    """Commands that run, or may run, a migration when the application is deployed (rule 1), without secrets."""
    scrubber = LogScrubber(texts_of(rows))
    found = [name for name in _AROUND if body.get(name)]
    found += [name for name in _MAY_MIGRATE if _MIGRATES.search(str(body.get(name) or ""))]
    return [{"where": name, "command": scrubber.line(str(body[name]))} for name in found]


def connection_view(value: str | None, task: Task) -> Json | None:
    """What may be shown of a row's value, if it is a connection string of one PostgreSQL host; else None."""
    if value is None:
        return None
    try:
        uri = parse_uri(value)
    except InvalidInput:
        return None
    for secret in (value, uri.password, uri.raw_password):
        if secret:
            task.secret(secret)
    return describe(uri, task)


def environment_view(rows: Sequence[Row], task: Task, supplied: Mapping[str, str] | None = None) -> list[Json]:
    """The env rows, none of their values: of a connection string its parts and a keyed hash.

    :param supplied: values by key that a person has given beside Coolify's; secret.
    """
    several = {identity for identity, found in by_identity(rows).items() if len(found) > 1}
    shown = []
    for row in rows:
        given = None if row.is_preview else (supplied or {}).get(row.key)
        used = given is not None and _stands_for(row, given)
        if given is not None and not used:
            task.warn(f"The string supplied for {row.key} is not the one that stands in the row; it is not used.")
        shown.append(
            {
                "uuid": row.uuid,
                "key": row.key,
                "is_preview": row.is_preview,
                **{name: row.flags[name] for name in FLAG_DEFAULTS},
                "is_shared": row.is_shared,
                "comment": row.flags["comment"],
                "readable": row.readable,
                "supplied": used,
                "duplicate": row.identity in several,
                "updated_at": row.updated_at,
                "connection": connection_view(given if used else row.value, task),
            }
        )
    return shown


def _stands_for(row: Row, given: str) -> bool:
    """A person's word counts where nobody can read the row; elsewhere it must be what stands there."""
    return not row.readable or row.value == given.strip()


def supplied_strings(names: Mapping[str, str], task: Task) -> dict[str, str]:
    """Values that environment variables hold, by the key of the row that they are for. What is not set is left out.

    :raises InvalidInput: for one that is no connection string, without any part of it.
    """
    found = {}
    for key, name in names.items():
        value = os.environ.get(str(name), "").strip()
        if value:
            uri = parse_uri(task.secret(value), f"the environment variable {name}")
            for secret in (uri.password, uri.raw_password):
                if secret:
                    task.secret(secret)
            found[str(key)] = value
    return found
