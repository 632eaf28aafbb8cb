#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: coolify_consumer_info
short_description: Find everything in Coolify that uses a database host
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads the env rows of all applications and services of the token's team, and since Coolify 4.3.0 the shared rows of
    the team, its projects, environments and servers, and finds those whose value names one of the hosts.
  - What cannot be read is returned too. It is unknown, not absent.
  - No value of a row is returned.
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.attributes.info
options:
  hosts:
    description:
      - The hosts to look for, each as C(host) or C(host:port). The direct and the pooled form of a Neon host are one.
    type: list
    elements: str
    required: true
  ignore:
    description:
      - What to leave out of the answer, by the UUID or name of the owner, by the UUID of the row, or as C(owner/KEY).
    type: list
    elements: str
    default: []
notes:
  - One request is sent for each application, service and scope. Coolify allows 200 requests a minute by default.
"""

EXAMPLES = r"""
- name: Find what uses the primary
  rewind.database.coolify_consumer_info:
    hosts:
      - ep-cool-frost-a1b2c3d4.eu-central-1.aws.neon.tech
  register: users

- name: Stop when something is not known
  ansible.builtin.assert:
    that: users.unreadable | length == 0
"""

RETURN = r"""
consumers:
  description: The rows that name one of the hosts.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What the row belongs to - application, service, team, project, environment or server.
      type: str
    uuid:
      description: The UUID of that.
      type: str
    name:
      description: The name of that.
      type: str
    key:
      description: The name of the variable.
      type: str
    env_uuid:
      description: The UUID of the row.
      type: str
    is_preview:
      description: Whether the row is for preview deployments.
      type: bool
    host:
      description: The host as it stands there.
      type: str
    port:
      description: The port, where the value names one after the host.
      type: str
    pooled:
      description: Whether that is the pooled form.
      type: bool
    application:
      description: The UUID of the application, or null for anything else.
      type: str
    through:
      description: The shared variable that the row takes its value from, or null.
      type: str
      sample: team.DATABASE_URL
    hash:
      description: A keyed hash of the row's value.
      type: str
unreadable:
  description: What could not be read and may use the hosts all the same.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: As in RV(consumers[].kind).
      type: str
    uuid:
      description: The UUID.
      type: str
    name:
      description: The name.
      type: str
    env_keys:
      description: The variables; empty when none could be listed.
      type: list
      elements: str
    reason:
      description: Why.
      type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._coolify.facts import read_consumers
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, STATE
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "hosts": {"type": "list", "elements": "str", "required": True},
        "ignore": {"type": "list", "elements": "str", "default": []},
    }
).merge(COOLIFY, STATE)


def run(task: Task) -> dict[str, Any]:
    """Find the consumers."""
    return read_consumers(client_for(task), task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
