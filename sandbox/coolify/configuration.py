# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Coolify compares to decide whether an existing image will do.

Since 4.1.0 every item of a snapshot carries its impact, ``build`` or ``redeploy``, and only a difference with
an impact on the build rebuilds. An env row with ``is_buildtime`` (the default) has it, and so has
``git_commit_sha``. Before, one hash over everything was compared.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sandbox.coolify.profile import Profile
from sandbox.coolify.state import Row

_BUILD_COLUMNS = (
    "git_repository",
    "git_branch",
    "git_commit_sha",
    "private_key_id",
    "build_pack",
    "base_directory",
    "publish_directory",
    "install_command",
    "build_command",
    "dockerfile",
    "dockerfile_location",
    "docker_compose_location",
    "docker_compose_raw",
)
_REDEPLOY_COLUMNS = (
    "custom_docker_run_options",
    "docker_registry_image_name",
    "docker_registry_image_tag",
    "start_command",
    "pre_deployment_command",
    "post_deployment_command",
    "ports_exposes",
    "ports_mappings",
    "fqdn",
    "redirect",
    "custom_labels",
    "health_check_enabled",
    "health_check_path",
    "health_check_port",
    "health_check_host",
    "health_check_method",
    "health_check_return_code",
    "health_check_scheme",
    "health_check_response_text",
    "health_check_interval",
    "health_check_timeout",
    "health_check_retries",
    "health_check_start_period",
    "health_check_type",
    "health_check_command",
    "limits_memory",
    "limits_cpus",
)
_BUILD_SETTINGS = (
    "is_static",
    "is_env_sorting_enabled",
    "use_build_secrets",
    "inject_build_args_to_dockerfile",
    "include_source_commit_in_build",
    "disable_build_cache",
    "is_build_server_enabled",
)

Snapshot = dict[str, dict[str, Any]]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def snapshot(application: Row, envs: list[Row]) -> Snapshot:
    """Every compared item with a hash of its value and its impact. Shared values are not looked into."""
    row, settings = application["row"], application["settings"]
    items: Snapshot = {}
    for name in _BUILD_COLUMNS:
        items[name] = {"value": _hash(row.get(name) or None), "impact": "build"}
    for name in _REDEPLOY_COLUMNS:
        items[name] = {"value": _hash(row.get(name) or None), "impact": "redeploy"}
    for name in _BUILD_SETTINGS:
        items[f"settings.{name}"] = {"value": _hash(settings.get(name)), "impact": "build"}
    for env in envs:
        if env["is_preview"]:
            continue
        compared = [env["value"], env["is_multiline"], env["is_literal"], env["is_buildtime"], env["is_runtime"]]
        impact = "build" if env["is_buildtime"] else "redeploy"
        items[f"environment.{env['key']}"] = {"value": _hash(compared), "impact": impact}
    return items


def needs_build(profile: Profile, before: Snapshot | None, now: Snapshot) -> bool:
    """Whether the image of a commit cannot be used although it exists. `before`: at the last finished deployment."""
    if before is None:
        return True
    for key in before.keys() | now.keys():
        old, new = before.get(key), now.get(key)
        if (old or {}).get("value") == (new or {}).get("value"):
            continue
        item = new or old or {}
        if not profile.build_by_impact or item["impact"] == "build":
            return True
    return False


def config_hash(taken: Snapshot) -> str:
    """What the column ``config_hash`` holds after a finished deployment."""
    return _hash({key: item["value"] for key, item in taken.items()})


def is_rolling(application: Row) -> bool:
    """Whether the new container starts beside the old one.

    Host ports, fixed container names, a fixed address and compose exclude it: two could not run at once.
    """
    row, settings = application["row"], application["settings"]
    return not (
        row.get("ports_mappings")
        or settings.get("is_consistent_container_name_enabled")
        or settings.get("custom_internal_name")
        or "--ip" in str(row.get("custom_docker_run_options") or "")
        or row["build_pack"] == "dockercompose"
    )
