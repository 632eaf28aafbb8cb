#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neon_connection_info
short_description: Tell where a connection to a Neon branch leads
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Makes the connection string that a O(connection) describes and returns its parts, without the password, and a keyed
    hash of the whole by which two strings can be compared.
  - No connection is opened and no compute is woken.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.connection
  - rewind.database.state
  - rewind.database.attributes.info
options:
  reveal:
    description:
      - Return the connection string too. The result is then censored in all output, and the registered variable
        holds it.
      - Other modules of this collection take a O(connection) themselves, so that no task needs the string.
      - Works in the controller's own process only, so neither with C(async) nor on another host.
    type: bool
    default: false
notes:
  - Coolify is asked only where O(connection.application) is given.
"""

EXAMPLES = r"""
- name: See where the application would connect to after the cutover
  rewind.database.neon_connection_info:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
      application: "{{ rewind_coolify_application }}"
      env_key: DATABASE_URL
  register: address

- name: Get the string itself, for another tool
  rewind.database.neon_connection_info:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
      pooled: true
    reveal: true
  register: revealed
"""

RETURN = r"""
connection:
  description: Where the connection leads. With a predicted branch its unknown parts are null.
  returned: success
  type: dict
  contains:
    host:
      description: The host.
      type: str
    port:
      description: The port.
      type: int
    database:
      description: The database.
      type: str
    user:
      description: The role.
      type: str
    pooled:
      description: Whether the host is the pooler's.
      type: bool
    parameters:
      description: The parameters of the string, secrets masked.
      type: dict
    branch_id:
      description: The id of the branch.
      type: str
    endpoint_id:
      description: The id of the compute; null for a connection to the past.
      type: str
    hash:
      description: Twelve hexadecimal digits, keyed with a file in O(state_dir).
      type: str
connection_string:
  description: The connection string. A secret.
  returned: when O(reveal) is true
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
error:
  description: What went wrong, for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: A word that stays the same between releases.
      type: str
      sample: before_history_window
    http_status:
      description: The status of the answer, where one was the cause.
      type: int
    request_id:
      description: The request's id, for Neon's support.
      type: str
    retryable:
      description: Whether the same task may succeed later.
      type: bool
    hint:
      description: What to do.
      type: str
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._connection import resolve
from ansible_collections.rewind.database.plugins.module_utils._coolify.client import (
    client_for as coolify_client_for,
)
from ansible_collections.rewind.database.plugins.module_utils._coolify.environment import row_value
from ansible_collections.rewind.database.plugins.module_utils._neon.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._options import CONNECTION, COOLIFY, NEON, STATE
from ansible_collections.rewind.database.plugins.module_utils._task import CENSORED, Spec, Task, run_module

SPEC = Spec(
    arguments={"reveal": {"type": "bool", "default": False}},
    reveals="reveal",
).merge(NEON, COOLIFY, CONNECTION, STATE)


def run(task: Task) -> dict[str, Any]:
    """Make the connection string and tell its parts."""
    connection = task.params["connection"]
    getter = row_value(coolify_client_for(task)) if connection.get("application") else None
    found = resolve(connection, client_for(task), getter, task=task)
    result: dict[str, Any] = {"connection": found.public()}
    if task.params["reveal"]:
        result.update({"connection_string": None if found.predicted else found.value, CENSORED: True})
    return result


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
