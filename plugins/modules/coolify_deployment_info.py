#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: coolify_deployment_info
short_description: Read the deployments of an application of Coolify
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads the newest deployments of an application, which of them run now, and the last one that finished.
  - Deployments of pull requests are left out, and do not count for O(limit).
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.attributes.info
options:
  application:
    description: The UUID of the application.
    type: str
    required: true
  deployment_uuid:
    description:
      - Read only this deployment. RV(deployments) is empty when Coolify does not know it - Coolify also answers UUIDs
        of deployments that it never stored.
    type: str
  limit:
    description: How many deployments to read, the newest first, at most 200.
    type: int
    default: 10
  logs:
    description:
      - Whether to return the last lines of the logs. Coolify hides only the values of locked variables in them, so the
        values of all env rows are taken out first.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Which commit runs
  rewind.database.coolify_deployment_info:
    application: x8g4kso0gk4ws80gk8c4ogw0
  register: found

- name: Show it
  ansible.builtin.debug:
    var: found.last_finished.commit
"""

RETURN = r"""
deployments:
  description: The deployments, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    uuid:
      description: Its UUID.
      type: str
    status:
      description: V(queued), V(in_progress), V(finished), V(failed) or V(cancelled-by-user).
      type: str
    commit:
      description: The commit, or V(HEAD) as long as Coolify has not looked it up.
      type: str
    build_skipped:
      description: Whether the existing image was used. Null when the log does not say or cannot be read.
      type: bool
    restart_only:
      description: Whether a restart was asked for.
      type: bool
    rollback:
      description: Whether a rollback was asked for.
      type: bool
    created_at:
      description: When it was asked for.
      type: str
    finished_at:
      description: When it ended.
      type: str
    log_tail:
      description: The last lines of its log without secrets, with O(logs=true); else empty.
      type: list
      elements: str
running:
  description: Those that are queued or in progress, each like RV(deployments[]).
  returned: success
  type: list
  elements: dict
last_finished:
  description: The last one that finished, like RV(deployments[]), also when it is older than the others; or null.
  returned: success
  type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._coolify.facts import (
    read_deployment_facts,
    read_one_deployment,
)
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "application": {"type": "str", "required": True},
        "deployment_uuid": {"type": "str"},
        "limit": {"type": "int", "default": 10},
        "logs": {"type": "bool", "default": False},
    }
).merge(COOLIFY)


def run(task: Task) -> dict[str, Any]:
    """Read the deployments, or one."""
    params, client = task.params, client_for(task)
    application, logs = params["application"], params["logs"]
    if params["deployment_uuid"] is not None:
        return read_one_deployment(client, application, params["deployment_uuid"], logs=logs)
    return read_deployment_facts(client, application, limit=params["limit"], logs=logs)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
