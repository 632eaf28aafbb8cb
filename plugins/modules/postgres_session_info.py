#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_session_info
short_description: Read who is connected to a database
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Lists the client sessions of the database that a connection leads to, and says whether new ones are read only.
  - Sessions through a pooler show the pooler, not the application behind it.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.connection
  - rewind.database.postgres
  - rewind.database.attributes.info
options:
  expect:
    description:
      - What to wait for - a session (V(some)), or that none is left (V(none)). Sessions of this collection and of the
        platform's own roles do not count, nor do those that O(user) and O(since) leave out.
    type: str
    choices: [any, some, none]
    default: any
  user:
    description: Count only sessions of this role.
    type: str
  since:
    description:
      - Count only sessions that began at this instant or later, by the server's clock (RFC 3339). It is RV(at) of an
        earlier look.
    type: str
  reused:
    description:
      - Whether a session that began before O(since) counts when it was used since. Behind a pooler an application gets
        sessions that others have opened.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for O(expect); then the task fails.
    type: float
    default: 60.0
  ignore_self:
    description: Whether to leave out the session of this task.
    type: bool
    default: true
seealso:
  - module: rewind.database.postgres_fence
"""

EXAMPLES = r"""
- name: Who is still on the old primary
  rewind.database.postgres_session_info:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
  register: old

- name: Wait until the application has connected to the new one
  rewind.database.postgres_session_info:
    connection:
      project_id: late-frost-12345678
      branch_id: br-warm-dune-e5f6a7b8
    expect: some
    user: tracker_owner
    since: "{{ new_before_the_cutover.at }}"

- name: Nobody is
  ansible.builtin.assert:
    that: old.count == 0
"""

RETURN = r"""
sessions:
  description:
    - The sessions, oldest first. Those of the platform's own roles are left out. What the role may not see of other
      roles' sessions is null.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: The server process.
      type: int
    user:
      description: The role.
      type: str
    database:
      description: The database.
      type: str
    application_name:
      description: What the client calls itself; V(rewind) for this collection.
      type: str
    client_addr:
      description: The address that the session comes from.
      type: str
    backend_start:
      description: When it began.
      type: str
    state_change:
      description: When its state last changed; it was used then.
      type: str
    state:
      description: V(active), V(idle), V(idle in transaction) and so on.
      type: str
    writing:
      description: Whether it has an open transaction that has written.
      type: bool
count:
  description: How many those are; null when the branch is only predicted.
  returned: success
  type: int
matching:
  description:
    - How many of them are not this collection's and are of O(user) and from O(since) on, where these are given.
  returned: success
  type: int
own:
  description: How many of them are this collection's.
  returned: success
  type: int
internal_count:
  description: How many sessions of the platform's own roles there are besides.
  returned: success
  type: int
connections:
  description: The connections of the whole server, against its maximum.
  returned: success
  type: dict
  contains:
    used:
      description: How many there are, in all databases, this module's own included.
      type: int
    max:
      description: How many there may be (C(max_connections)).
      type: int
    reserved:
      description: How many of these are kept for the platform.
      type: int
tls:
  description: Whether the connection is encrypted.
  returned: success
  type: bool
read_only:
  description: Whether new sessions are read only (C(default_transaction_read_only)).
  returned: success
  type: bool
xid:
  description: The next transaction id. It rises with each transaction that writes.
  returned: success
  type: str
server_started_at:
  description: When the server started.
  returned: success
  type: str
in_recovery:
  description: Whether the server is a replica.
  returned: success
  type: bool
at:
  description: When this was read, by the server's clock.
  returned: success
  type: str
skipped_reason:
  description: Why nothing was read.
  returned: when the branch is only predicted
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._postgres.access import access_spec
from ansible_collections.rewind.database.plugins.module_utils._postgres.asking import list_sessions
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = access_spec().merge(
    Spec(
        arguments={
            "ignore_self": {"type": "bool", "default": True},
            "expect": {"type": "str", "choices": ["any", "some", "none"], "default": "any"},
            "user": {"type": "str"},
            "since": {"type": "str"},
            "reused": {"type": "bool", "default": False},
            "wait_timeout": {"type": "float", "default": 60.0},
        }
    )
)


def run(task: Task) -> dict[str, Any]:
    """List the sessions."""
    return list_sessions(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
