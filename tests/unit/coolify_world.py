# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scripted Coolify answers about one application and its deployments, for tests of coolify_deployment."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, Script, call_module

Json = dict[str, Any]

APP = "x8g4kso0gk4ws80gk8c4ogw0"
AT = f"/applications/{APP}"
LIST = f"/deployments/applications/{APP}"
SHA = "3f2c1b0a9e8d7c6b5a4938271605f4e3d2c1b0a9"
OTHER_SHA = "a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0"
PASSWORD = "npgT4wq9ZkR2vXs7"
SECRET_VALUE = "plain-value-Rk7Yt2Wq"
OPTIONS: Json = {
    "application": APP,
    "coolify_access_token": COOLIFY_TOKEN,
    "coolify_api_url": "https://coolify.example.com",
    "soak": 0,
    "healthy_readings": 1,
}
QUEUED = {"message": "Rollback deployment queued.", "deployment_uuid": "new"}


def application(status: str = "running:healthy", **more: Any) -> Json:
    return {
        "uuid": APP,
        "status": status,
        "server_status": True,
        "build_pack": "nixpacks",
        "git_commit_sha": "HEAD",
        "health_check_enabled": True,
        **more,
    }


def deployment(uuid: str = "old", status: str = "finished", **more: Any) -> Json:
    return {
        "deployment_uuid": uuid,
        "status": status,
        "commit": SHA,
        "pull_request_id": 0,
        "restart_only": False,
        "rollback": uuid == "new",
        "is_api": True,
        "created_at": "2026-11-22T10:00:00.000000Z",
        "finished_at": "2026-11-22T10:01:00.000000Z" if status == "finished" else None,
        **more,
    }


def page(*deployments: Json) -> Json:
    return {"count": len(deployments), "deployments": list(deployments)}


def log(*lines: str) -> str:
    return json.dumps([{"output": line, "hidden": False} for line in lines])


def call(check_mode: bool = False, **more: Any) -> Json:
    """Run the module, and look for every secret in all that it returns."""
    result = call_module("coolify_deployment", {**OPTIONS, **more}, check_mode=check_mode)
    for secret in (COOLIFY_TOKEN, PASSWORD, SECRET_VALUE):
        assert secret not in json.dumps(result)
    return result


def begin(script: Script, *deployments: Json, version: str = "4.3.11", **app: Any) -> None:
    """What is read before anything is sent, with nothing running."""
    listed = deployments or (deployment(),)
    script.expect("GET", AT, application(**app)).expect("GET", LIST, page(*listed)).expect("GET", "/version", version)


def idle(script: Script, *deployments: Json) -> None:
    script.expect("GET", LIST, page(*(deployments or (deployment(),))))
