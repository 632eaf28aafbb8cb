#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: coolify_application_env
short_description: Set or remove env rows of an application of Coolify
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Sets any number of environment variables of an application in one request, keeps every flag that is not named, and
    reads back what was written.
  - The API of Coolify wipes whatever a write leaves out. This module reads the rows first and sends them back whole.
  - No value is ever returned. Before and after are shown as host and keyed hash.
  - Changing a variable does not reach the application until it is deployed - see
    M(rewind.database.coolify_deployment), whose option O(rewind.database.coolify_deployment#module:after) takes
    RV(written_at).
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.neon
  - rewind.database.state
  - rewind.database.journal
  - rewind.database.attributes
options:
  application:
    description: The UUID of the application.
    type: str
    required: true
  state:
    description: Whether the variables are to be there.
    type: str
    choices: [present, absent]
    default: present
  variables:
    description: The variables.
    type: list
    elements: dict
    required: true
    suboptions:
      key:
        description: The name.
        type: str
        required: true
      value:
        description:
          - The value. With O(state=present) this or O(variables[].connection) is required.
          - In a connection URI, characters that would not reach the container as they are get percent-encoded.
        type: str
      connection:
        description:
          - The value is the connection string of a Neon branch, made inside the task.
          - With O(variables[].connection.application) or O(variables[].connection.template) it is that string with
            another host, and everything else in it stays byte for byte.
        type: dict
        suboptions:
          project_id:
            description: The id of the Neon project.
            type: str
            required: true
          branch_id:
            description: The id of the branch. A predicted id is accepted in check mode.
            type: str
            required: true
          endpoint_id:
            description: The id of the compute. By default the branch's compute for reading and writing.
            type: str
          role:
            description: The role to connect as. By default that of the base string, else the only one of the branch.
            type: str
          database:
            description: The database. By default that of the base string, else the only one of the branch.
            type: str
          pooled:
            description: Whether to connect through the pooler. By default as in the base string, else directly.
            type: bool
          application:
            description: The UUID of the application whose environment variable is the base string.
            type: str
          env_key:
            description: The name of that environment variable.
            type: str
          is_preview:
            description: Whether to take the variable's row for preview deployments.
            type: bool
            default: false
          template:
            description: A base string without its password, for example from a journal.
            type: str
          password_env:
            description:
              - The name of an environment variable that holds the password for
                O(variables[].connection.template), alone or in a whole connection string of the same role and
                database. Without it the password is read from Neon.
              - Of a whole string the password is used where the string leads, and elsewhere where Neon reveals none.
            type: str
          at:
            description: Not for an application, whose connection must be able to write.
            type: str
          lsn:
            description: Not for an application, whose connection must be able to write.
            type: str
      is_preview:
        description:
          - Whether the row for preview deployments is meant. The two rows of a key are two variables - the other one is
            left alone.
          - Where a production row is new, Coolify adds a preview row with the same value by itself.
        type: bool
        default: false
      is_literal:
        description: Whether C($NAME) in the value stays as it is. Kept where not set.
        type: bool
      is_multiline:
        description: Whether the value has several lines. Kept where not set.
        type: bool
      is_shown_once:
        description:
          - Whether the row is locked - since Coolify 4.2.0 its value can then never be read. Kept where not set.
        type: bool
      is_runtime:
        description: Whether the container gets it. Kept where not set.
        type: bool
      is_buildtime:
        description:
          - Whether the build gets it. With V(true), which is Coolify's own default, a change of the value makes the
            next deployment build the image again. Kept where not set.
        type: bool
      comment:
        description: A comment of at most 256 characters. Kept where not set.
        type: str
      expected_hash:
        description:
          - The hash that the row's value must still have, as M(rewind.database.coolify_application_info) showed it.
            Otherwise nothing is written and the task fails.
        type: str
      overwrite_locked:
        description: O(overwrite_locked) for this row alone.
        type: bool
        default: false
  overwrite_locked:
    description:
      - Whether a row may be changed though its present value cannot be read because it is locked.
      - Such a row is written each time, and what was written cannot be proven.
    type: bool
    default: false
  allow_shared:
    description:
      - Whether a row may be changed that takes its value from a shared variable, which cuts that link, and whether a
        value may itself refer to a shared variable, which Coolify then puts in its place.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Point the application to the restore branch
  rewind.database.coolify_application_env:
    application: x8g4kso0gk4ws80gk8c4ogw0
    variables:
      - key: DATABASE_URL
        connection:
          project_id: late-frost-12345678
          branch_id: br-calm-sea-a1b2c3d4
          application: x8g4kso0gk4ws80gk8c4ogw0
          env_key: DATABASE_URL
  register: env

- name: Deploy it, unless a deployment has begun since
  rewind.database.coolify_deployment:
    application: x8g4kso0gk4ws80gk8c4ogw0
    after: "{{ env.written_at }}"

- name: Remove a variable
  rewind.database.coolify_application_env:
    application: x8g4kso0gk4ws80gk8c4ogw0
    state: absent
    variables:
      - key: OLD_DATABASE_URL
"""

RETURN = r"""
variables:
  description: The variables, in the order of O(variables).
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: The name.
      type: str
    is_preview:
      description: Whether this is the row for preview deployments.
      type: bool
    uuid:
      description: The UUID of the row.
      type: str
    changed:
      description: Whether it was changed.
      type: bool
    verified:
      description: Whether the row reads as wanted; null where it cannot be read, and in check mode.
      type: bool
    flags:
      description: Its flags and comment.
      type: dict
    before:
      description: The row before.
      type: dict
      contains: &side
        present:
          description: Whether there is one.
          type: bool
        readable:
          description: Whether its value could be read.
          type: bool
        connection:
          description: Where it leads, if it is a connection string of PostgreSQL - without its password.
          type: dict
        hash:
          description: A keyed hash of the value.
          type: str
        flags:
          description: Its flags and comment.
          type: dict
    after:
      description: The row after.
      type: dict
      contains: *side
    preview_copy:
      description: The UUID of the preview row that Coolify added beside a new production row.
      type: str
written_at:
  description: When the newest of the rows was last written, by Coolify's clock.
  returned: success
  type: str
operations:
  description: The requests that changed something.
  returned: success
  type: list
  elements: str
diff:
  description: Host, hash and flags before and after.
  returned: success
  type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._coolify.variables import Variables
from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, NEON, STATE, connection_option
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "application": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "variables": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "key": {"type": "str", "required": True, "no_log": False},
                "value": {"type": "str", "no_log": True},
                "connection": connection_option(required=False),
                "is_preview": {"type": "bool", "default": False},
                "is_literal": {"type": "bool"},
                "is_multiline": {"type": "bool"},
                "is_shown_once": {"type": "bool"},
                "is_runtime": {"type": "bool"},
                "is_buildtime": {"type": "bool"},
                "comment": {"type": "str"},
                "expected_hash": {"type": "str"},
                "overwrite_locked": {"type": "bool", "default": False},
            },
            "mutually_exclusive": [["value", "connection"]],
        },
        "overwrite_locked": {"type": "bool", "default": False},
        "allow_shared": {"type": "bool", "default": False},
    }
).merge(COOLIFY, NEON, STATE, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Set or remove the variables."""
    return Variables(client_for(task), task).run()


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
