# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that modules share. Each part has a documentation fragment of the same name."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from ._task import Spec

NEON_API_URL = "https://console.neon.tech/api/v2"
# Sentry redirects nothing: an organization that lives in Germany answers at https://de.sentry.io only.
SENTRY_API_URL = "https://sentry.io"

_TRANSPORT: dict[str, dict[str, Any]] = {
    "ca_path": {"type": "path"},
    "proxy": {"type": "str"},
    "request_timeout": {"type": "float", "default": 30.0},
}
_TRANSPORT_VARS = {"ca_path": "rewind_ca_path", "proxy": "rewind_proxy"}

NEON = Spec(
    arguments={
        "neon_api_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["NEON_API_KEY"])},
        "neon_api_url": {"type": "str", "default": NEON_API_URL, "fallback": (env_fallback, ["NEON_API_URL"])},
        "neon_requests_per_minute": {
            "type": "int",
            "default": 700,
            "fallback": (env_fallback, ["REWIND_NEON_REQUESTS_PER_MINUTE"]),
        },
        **_TRANSPORT,
    },
    from_host_vars={
        "neon_api_key": "rewind_neon_api_key",
        "neon_api_url": "rewind_neon_api_url",
        "neon_requests_per_minute": "rewind_neon_requests_per_minute",
        **_TRANSPORT_VARS,
    },
)

COOLIFY = Spec(
    arguments={
        "coolify_access_token": {
            "type": "str",
            "no_log": True,
            "fallback": (env_fallback, ["COOLIFY_ACCESS_TOKEN"]),
        },
        "coolify_api_url": {"type": "str", "fallback": (env_fallback, ["COOLIFY_API_URL"])},
        "coolify_requests_per_minute": {
            "type": "int",
            "default": 200,
            "fallback": (env_fallback, ["REWIND_COOLIFY_REQUESTS_PER_MINUTE"]),
        },
        **_TRANSPORT,
    },
    from_host_vars={
        "coolify_access_token": "rewind_coolify_access_token",
        "coolify_api_url": "rewind_coolify_api_url",
        "coolify_requests_per_minute": "rewind_coolify_requests_per_minute",
        **_TRANSPORT_VARS,
    },
)

SENTRY = Spec(
    arguments={
        "sentry_auth_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["SENTRY_AUTH_TOKEN"])},
        "sentry_api_url": {"type": "str", "default": SENTRY_API_URL, "fallback": (env_fallback, ["SENTRY_API_URL"])},
        **_TRANSPORT,
    },
    from_host_vars={
        "sentry_auth_token": "rewind_sentry_auth_token",
        "sentry_api_url": "rewind_sentry_api_url",
        **_TRANSPORT_VARS,
    },
)

STATE = Spec(
    arguments={"state_dir": {"type": "path", "fallback": (env_fallback, ["REWIND_STATE_DIR"])}},
    from_host_vars={"state_dir": "rewind_state_dir"},
)

WAIT = Spec(
    arguments={
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "float", "default": 300.0},
        "poll_interval": {"type": "float", "default": 1.0},
    }
)

CONNECTION_OPTIONS: dict[str, dict[str, Any]] = {
    "project_id": {"type": "str", "required": True},
    "branch_id": {"type": "str", "required": True},
    "endpoint_id": {"type": "str"},
    "role": {"type": "str"},
    "database": {"type": "str"},
    "pooled": {"type": "bool"},
    "application": {"type": "str"},
    "env_key": {"type": "str", "no_log": False},
    "is_preview": {"type": "bool", "default": False},
    "template": {"type": "str"},
    "password_env": {"type": "str", "no_log": False},
    "at": {"type": "str"},
    "lsn": {"type": "str"},
}
CONNECTION_RULES: dict[str, Any] = {
    "mutually_exclusive": [["at", "lsn"], ["template", "application"]],
    "required_together": [["application", "env_key"]],
    "required_by": {"password_env": ["template"]},
}


def connection_option(*, required: bool) -> dict[str, Any]:
    """The ``connection`` option, for a module's own specification."""
    return {"type": "dict", "required": required, "options": CONNECTION_OPTIONS, **CONNECTION_RULES}


CONNECTION = Spec(arguments={"connection": connection_option(required=True)})
