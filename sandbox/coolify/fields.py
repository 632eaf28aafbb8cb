# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields that Coolify's PATCH of an application takes: what each may hold and where it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.coolify.requests import Body, check_types, php_true
from sandbox.coolify.state import Row

Place = Literal["row", "settings", "nowhere"]
_LARGEST = 2**31 - 1
"""What a column of the type integer holds."""


@dataclass(frozen=True)
class Field:
    """One field. `column` is its name where it is kept, `least` the smallest number it takes."""

    kind: str
    place: Place
    column: str
    nullable: bool = True
    least: int | None = None
    choices: tuple[str, ...] = ()


def _of(kind: str, place: Place, names: Iterable[str], **more: Any) -> dict[str, Field]:
    return {name: Field(kind, place, name, **more) for name in names}


_BUILD_PACKS = ("nixpacks", "railpack", "static", "dockerfile", "dockercompose", "dockerimage")
FIELDS: dict[str, Field] = {
    **_of(
        "string",
        "row",
        (
            "description",
            "git_commit_sha",
            "docker_registry_image_name",
            "docker_registry_image_tag",
            "install_command",
            "build_command",
            "start_command",
            "ports_mappings",
            "base_directory",
            "publish_directory",
            "health_check_command",
            "health_check_port",
            "health_check_response_text",
            "custom_labels",
            "custom_docker_run_options",
            "pre_deployment_command",
            "pre_deployment_command_container",
            "post_deployment_command",
            "post_deployment_command_container",
            "dockerfile",
            "dockerfile_location",
            "docker_compose_raw",
            "docker_compose_location",
            "docker_compose_custom_start_command",
            "docker_compose_custom_build_command",
            "watch_paths",
            "limits_memory",
            "limits_memory_swap",
            "limits_memory_reservation",
            "limits_cpus",
            "limits_cpuset",
            "custom_network_aliases",
            "http_basic_auth_username",
            "http_basic_auth_password",
            "manual_webhook_secret_github",
            "manual_webhook_secret_gitlab",
            "manual_webhook_secret_bitbucket",
            "manual_webhook_secret_gitea",
            "preview_url_template",
        ),
    ),
    "domains": Field("string", "row", "fqdn"),
    **_of(
        "string",
        "row",
        ("name", "git_repository", "git_branch", "ports_exposes", "health_check_path", "health_check_host"),
        nullable=False,
    ),
    "build_pack": Field("string", "row", "build_pack", nullable=False, choices=_BUILD_PACKS),
    "redirect": Field("string", "row", "redirect", nullable=False, choices=("both", "www", "non-www")),
    "health_check_type": Field("string", "row", "health_check_type", nullable=False, choices=("http", "cmd")),
    "health_check_scheme": Field("string", "row", "health_check_scheme", nullable=False, choices=("http", "https")),
    "health_check_method": Field(
        "string", "row", "health_check_method", nullable=False, choices=("GET", "HEAD", "POST", "OPTIONS")
    ),
    **_of(
        "integer",
        "row",
        ("health_check_return_code", "health_check_interval", "health_check_timeout", "health_check_retries"),
        nullable=False,
        least=1,
    ),
    **_of("integer", "row", ("health_check_start_period",), nullable=False, least=0),
    **_of("integer", "row", ("limits_memory_swappiness", "limits_cpu_shares", "max_restart_count"), least=0),
    **_of("array", "row", ("docker_compose_domains", "noindex_domains")),
    **_of("boolean", "row", ("health_check_enabled", "is_http_basic_auth_enabled")),
    **_of(
        "boolean",
        "settings",
        (
            "is_static",
            "is_spa",
            "is_auto_deploy_enabled",
            "is_force_https_enabled",
            "is_preview_deployments_enabled",
            "is_pr_deployments_public_enabled",
            "is_gzip_enabled",
            "is_stripprefix_enabled",
            "is_consistent_container_name_enabled",
            "is_raw_compose_deployment_enabled",
            "is_git_submodules_enabled",
            "is_git_lfs_enabled",
            "is_git_shallow_clone_enabled",
            "is_log_drain_enabled",
            "is_gpu_enabled",
            "is_container_label_escape_enabled",
            "is_preserve_repository_enabled",
            "is_env_sorting_enabled",
            "use_build_secrets",
            "inject_build_args_to_dockerfile",
            "include_source_commit_in_build",
            "disable_build_cache",
            "connect_to_docker_network",
        ),
    ),
    "use_build_server": Field("boolean", "settings", "is_build_server_enabled"),
    **_of("integer", "settings", ("stop_grace_period", "docker_images_to_keep"), least=0),
    **_of(
        "string",
        "settings",
        ("custom_internal_name", "gpu_driver", "gpu_count", "gpu_device_ids", "gpu_options"),
    ),
    # Where it is and how it is fetched does not change by a PATCH; Coolify takes these names all the same.
    **_of(
        "string",
        "nowhere",
        ("project_uuid", "server_uuid", "environment_name", "environment_uuid", "destination_uuid", "github_app_uuid"),
    ),
    **_of("boolean", "nowhere", ("force_domain_override", "instant_deploy")),
}


def problems(body: Body) -> dict[str, list[str]]:
    """What Coolify would say to this body, by field; nothing of it may be applied when there is anything."""
    known = {name: value for name, value in body.items() if name in FIELDS}
    errors = check_types(known, {name: FIELDS[name].kind for name in known})
    for name, value in known.items():
        if name not in errors and (text := _problem(FIELDS[name], name.replace("_", " "), value)):
            errors[name] = [text]
    for name in body.keys() - known.keys():
        errors[name] = ["This field is not allowed."]
    return errors


def _problem(field: Field, label: str, value: Any) -> str | None:
    if value is None:
        article = "an" if field.kind == "integer" else "a"
        return None if field.nullable else f"The {label} field must be {article} {field.kind}."
    if field.choices and value not in field.choices:
        return f"The selected {label} is invalid."
    if field.least is not None:
        if int(value) < field.least:
            return f"The {label} field must be at least {field.least}."
        if int(value) > _LARGEST:
            return f"The {label} field must not be greater than {_LARGEST}."
    return None


def apply(application: Row, body: Body) -> None:
    """Keeps every field of a body that has no `problems`."""
    for name, value in body.items():
        field = FIELDS[name]
        if field.place == "nowhere":
            continue
        kept = value
        if field.kind == "boolean":
            kept = php_true(value)
        elif field.kind == "integer" and value is not None:
            kept = int(value)
        elif name == "git_commit_sha":
            kept = value or "HEAD"
        application[field.place][field.column] = kept
