# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored of the Coolify side, and what its rows look like.

Everything lives in one section of the store: plain dicts, so that a row is saved as it is answered.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol

Row = dict[str, Any]
Place = tuple[Row, Row, Row]
"""A project, an environment of it, and a server."""

LETTERS = string.ascii_lowercase + string.digits
ACTIVE = ("queued", "in_progress")
TERMINAL = ("finished", "failed", "cancelled-by-user")

SENSITIVE_FIELDS = (
    "custom_labels",
    "dockerfile",
    "docker_compose",
    "docker_compose_raw",
    "manual_webhook_secret_github",
    "manual_webhook_secret_gitlab",
    "manual_webhook_secret_bitbucket",
    "manual_webhook_secret_gitea",
    "private_key_id",
    "http_basic_auth_password",
)
"""Absent, not null, without ``read:sensitive``."""


class ClockLike(Protocol):
    """What is needed of the control plane's clock."""

    def now(self) -> datetime: ...


class StoreLike(Protocol):
    """What is needed of the store."""

    def section(self, name: str) -> dict[str, Any]: ...
    def save(self) -> None: ...


def stamp(instant: datetime) -> str:
    """As Laravel prints a timestamp: the column keeps whole seconds only."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.000000Z")


class State:
    """The stored rows and how to make new ones."""

    def __init__(self, store: StoreLike, clock: ClockLike, draw: random.Random) -> None:
        self._store = store
        self._clock = clock
        self._draw = draw
        self.data = store.section("coolify")
        for name in ("applications", "envs", "deployments", "services", "servers", "projects"):
            self.data.setdefault(name, {})
        self.data.setdefault("shared", [])
        self.data.setdefault("instance", {"api_enabled": True, "allowed_ips": ""})
        if not self.data["servers"]:
            self._first_rows()

    @property
    def applications(self) -> dict[str, Row]:
        """Applications by uuid: ``row`` and ``settings`` as answered, and what Coolify keeps elsewhere."""
        rows: dict[str, Row] = self.data["applications"]
        return rows

    @property
    def deployments(self) -> dict[str, Row]:
        """Deployments by uuid."""
        rows: dict[str, Row] = self.data["deployments"]
        return rows

    @property
    def tokens(self) -> dict[str, Row]:
        """Tokens by their text. Kept beside the other services' tokens: these outlive a reset."""
        rows: dict[str, Row] = self._store.section("tokens").setdefault("coolify_accepted", {})
        return rows

    def save(self) -> None:
        """Writes everything to disk."""
        self._store.save()

    def next_id(self) -> int:
        """A number that was not given before."""
        self.data["last_id"] = int(self.data.get("last_id", 0)) + 1
        return int(self.data["last_id"])

    def new_uuid(self) -> str:
        """24 lowercase letters and digits, beginning with a letter."""
        return self._draw.choice(string.ascii_lowercase) + "".join(self._draw.choices(LETTERS, k=23))

    def instant(self) -> datetime:
        """The control plane's instant."""
        return self._clock.now()

    def now(self) -> str:
        """The control plane's instant as Coolify prints it."""
        return stamp(self.instant())

    def envs_of(self, owner: str) -> list[Row]:
        """The rows of an application or service: production rows, then preview rows, oldest first."""
        rows = [row for row in self.data["envs"].values() if row["owner"] == owner]
        return sorted(rows, key=lambda row: (bool(row["is_preview"]), row["id"]))

    def env(self, owner: str, key: str | None, is_preview: bool) -> Row | None:
        """The first row with this key: of duplicates the others are never found."""
        return next(
            (r for r in self.envs_of(owner) if r["key"] == key and bool(r["is_preview"]) == is_preview),
            None,
        )

    def deployments_of(self, application: Row) -> list[Row]:
        """Newest first."""
        number = str(application["row"]["id"])
        rows = [row for row in self.deployments.values() if row["application_id"] == number]
        return sorted(rows, key=lambda row: -int(row["id"]))

    def active(self) -> Iterator[Row]:
        """Queued and running deployments, oldest first."""
        rows = sorted(self.deployments.values(), key=lambda row: int(row["id"]))
        return (row for row in rows if row["status"] in ACTIVE)

    def touch(self, row: Row) -> None:
        """Marks a row as changed now."""
        row["updated_at"] = self.now()
        # PostgreSQL returns an updated row after the others: see `deployments.listed`.
        self.data["touched"] = row["touched"] = int(self.data.get("touched", 0)) + 1

    def add_env(self, owner: str, values: Row) -> Row:
        """Stores an env row with Coolify's defaults for what `values` leaves out."""
        row: Row = {
            "id": self.next_id(),
            "uuid": self.new_uuid(),
            "owner": owner,
            "key": None,
            "value": None,
            "is_preview": False,
            "is_literal": False,
            "is_multiline": False,
            "is_shown_once": False,
            "is_runtime": True,
            "is_buildtime": True,
            "is_required": False,
            "comment": None,
            "order": None,
            "created_at": self.now(),
            **values,
        }
        self.touch(row)
        self.data["envs"][row["uuid"]] = row
        return row

    def place(self, project: str | None, environment: str | None, server: str | None) -> Place:
        """The project, environment and server of these names, made where there is none; without a name the first."""
        inside = self._named("projects", project, self._new_project)
        names = [item["name"] for item in inside["environments"]]
        if environment is not None and environment not in names:
            inside["environments"].append(self._new_environment(environment))
        wanted = environment or names[0]
        of = next(item for item in inside["environments"] if item["name"] == wanted)
        return inside, of, self._named("servers", server, self._new_server)

    def _named(self, kind: str, name: str | None, new: Callable[[str], Row]) -> Row:
        rows: dict[str, Row] = self.data[kind]
        for row in rows.values():
            if name in (None, row["name"]):
                return row
        made = new(str(name))
        rows[made["uuid"]] = made
        return made

    def _new_project(self, name: str) -> Row:
        # Coolify makes the environment production in every new project.
        return {
            "id": self.next_id(),
            "uuid": self.new_uuid(),
            "name": name,
            "description": None,
            "environments": [self._new_environment("production")],
        }

    def _new_environment(self, name: str) -> Row:
        return {
            "id": self.next_id(),
            "uuid": self.new_uuid(),
            "name": name,
            "description": None,
            "created_at": self.now(),
            "updated_at": self.now(),
        }

    def _new_server(self, name: str) -> Row:
        return {
            "id": self.next_id(),
            "uuid": self.new_uuid(),
            "name": name,
            "description": None,
            "ip": "192.0.2.10",
            "user": "root",
            "port": 22,
            "proxy_type": "traefik",
            "is_reachable": True,
            "is_usable": True,
        }

    def _first_rows(self) -> None:
        server = self._new_server("localhost") | {
            "id": 0,
            "description": "This is the server where Coolify is running on.",
            "ip": "host.docker.internal",
        }
        project = self._new_project("Trackers")
        self.data["servers"][server["uuid"]] = server
        self.data["projects"][project["uuid"]] = project


_COLUMNS: Row = {
    "description": None,
    "status": "exited",
    "server_status": True,
    "build_pack": "nixpacks",
    "git_repository": "example/quest-tracker",
    "git_branch": "main",
    "git_commit_sha": "HEAD",
    "git_full_url": None,
    "docker_registry_image_name": None,
    "docker_registry_image_tag": None,
    "install_command": None,
    "build_command": None,
    "start_command": None,
    "ports_exposes": "3000",
    "ports_mappings": None,
    "base_directory": "/",
    "publish_directory": None,
    "dockerfile": None,
    "dockerfile_location": "/Dockerfile",
    "docker_compose": None,
    "docker_compose_raw": None,
    "docker_compose_location": "/docker-compose.yaml",
    "docker_compose_domains": None,
    "docker_compose_custom_start_command": None,
    "docker_compose_custom_build_command": None,
    "noindex_domains": None,
    "custom_labels": None,
    "custom_docker_run_options": None,
    "custom_network_aliases": None,
    "pre_deployment_command": None,
    "pre_deployment_command_container": None,
    "post_deployment_command": None,
    "post_deployment_command_container": None,
    "health_check_enabled": False,
    "health_check_type": "http",
    "health_check_command": None,
    "health_check_path": "/",
    "health_check_port": None,
    "health_check_host": "localhost",
    "health_check_method": "GET",
    "health_check_scheme": "http",
    "health_check_return_code": 200,
    "health_check_response_text": None,
    "health_check_interval": 5,
    "health_check_timeout": 5,
    "health_check_retries": 10,
    "health_check_start_period": 5,
    "custom_healthcheck_found": False,
    "limits_memory": "0",
    "limits_memory_swap": "0",
    "limits_memory_swappiness": 60,
    "limits_memory_reservation": "0",
    "limits_cpus": "0",
    "limits_cpuset": None,
    "limits_cpu_shares": 1024,
    "swarm_replicas": 1,
    "watch_paths": None,
    "redirect": "both",
    "preview_url_template": "{{pr_id}}.{{domain}}",
    "is_http_basic_auth_enabled": False,
    "http_basic_auth_username": None,
    "http_basic_auth_password": None,
    "manual_webhook_secret_github": None,
    "manual_webhook_secret_gitlab": None,
    "manual_webhook_secret_bitbucket": None,
    "manual_webhook_secret_gitea": None,
    "private_key_id": None,
    "config_hash": None,
    "restart_count": 0,
    "max_restart_count": 10,
    "last_online_at": None,
    "destination_type": "App\\Models\\StandaloneDocker",
    "deleted_at": None,
}
"""The columns of a new application that Coolify fills by itself."""


def application_row(state: State, *, name: str, url: str, server: Row, environment: Row) -> Row:
    """The columns of a new application with Coolify's defaults."""
    return {
        "id": state.next_id(),
        "uuid": state.new_uuid(),
        "name": name,
        "fqdn": url,
        "environment_id": environment["id"],
        "destination_id": server["id"],
        "created_at": state.now(),
        "updated_at": state.now(),
        **_COLUMNS,
    }


def application_settings() -> Row:
    """The settings of a new application."""
    return {
        "is_static": False,
        "is_spa": False,
        "is_auto_deploy_enabled": True,
        "is_force_https_enabled": True,
        "is_preview_deployments_enabled": False,
        "is_pr_deployments_public_enabled": False,
        "is_consistent_container_name_enabled": False,
        "custom_internal_name": None,
        "is_raw_compose_deployment_enabled": False,
        "is_build_server_enabled": False,
        "is_env_sorting_enabled": False,
        "is_gzip_enabled": True,
        "is_stripprefix_enabled": True,
        "is_git_submodules_enabled": True,
        "is_git_lfs_enabled": True,
        "is_git_shallow_clone_enabled": True,
        "is_log_drain_enabled": False,
        "is_gpu_enabled": False,
        "gpu_driver": "nvidia",
        "gpu_count": None,
        "gpu_device_ids": None,
        "gpu_options": None,
        "is_container_label_escape_enabled": True,
        "is_preserve_repository_enabled": False,
        "connect_to_docker_network": False,
        "use_build_secrets": False,
        "inject_build_args_to_dockerfile": True,
        "include_source_commit_in_build": False,
        "disable_build_cache": False,
        "docker_images_to_keep": 2,
        "stop_grace_period": None,
    }


def shown_status(status: str) -> str:
    """A status without a health suffix is shown as unhealthy: also "running", right after a good rollout."""
    return status if ":" in status else f"{status}:unhealthy"


def public_application(application: Row, *, sensitive: bool, settings: bool = False) -> Row:
    """An application as the API shows it; ``id`` stays hidden."""
    row = {key: value for key, value in application["row"].items() if key != "id"}
    row["status"] = shown_status(str(row["status"]))
    if not sensitive:
        for name in SENSITIVE_FIELDS:
            row.pop(name, None)
    if settings:
        row["settings"] = dict(application["settings"])
    return row
