#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_fence
short_description: Make a database refuse writes, and take it back
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Fences a database against writes - new sessions are read only (C(ALTER DATABASE ... SET
    default_transaction_read_only = on)), the others are ended, the last position in the log is read, and a new session
    proves that a write is refused.
  - Lifts the fence - the setting is taken back, sessions that began under it are ended, so that pools open new ones,
    and a new session proves that a write works, by one that is rolled back.
  - This is the first half of a fence. A session that insists can switch itself to read-write; the full fence disables
    the branch's computes with M(rewind.database.neon_endpoint).
  - Never works through a pooler - O(connection.pooled) is taken to be V(false).
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.connection
  - rewind.database.postgres
  - rewind.database.journal
  - rewind.database.attributes
options:
  state:
    description:
      - V(fenced) - writes are refused. Sessions that are there are ended, also when the database was fenced before;
        those that began after O(since) are left then.
      - V(lifted) - writes are taken. Sessions are ended when the fence was there; when it was not, only those that
        began before O(since).
    type: str
    choices: [fenced, lifted]
    default: fenced
  since:
    description:
      - When the database got into its present state (RFC 3339), for example from RV(fence.at) of the task that did it.
        Sessions that began later know that state already.
      - Makes a second run with an application that has connected again report no change.
    type: str
  end_timeout:
    description: Seconds to wait until the sessions that were told to end are gone.
    type: float
    default: 30.0
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Reads the setting and the sessions through a read-only session, and changes nothing.
seealso:
  - module: rewind.database.postgres_session_info
  - module: rewind.database.neon_endpoint
"""

EXAMPLES = r"""
- name: Stop writes on the old primary
  rewind.database.postgres_fence:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
      role: tracker_owner
      database: tracker
    state: fenced
  register: fenced

- name: Take writes again
  rewind.database.postgres_fence:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
      role: tracker_owner
      database: tracker
    state: lifted
"""

RETURN = r"""
fence:
  description: What the case is now, or would be in check mode. What is not known is null.
  returned: success
  type: dict
  contains:
    read_only:
      description: Whether new sessions of this database are read only.
      type: bool
    was_read_only:
      description: Whether they were before.
      type: bool
    lsn:
      description: The position in the log after the sessions were ended - the last write is before it.
      type: str
      sample: 0/1A2B3C4
    at:
      description: When that was, by the server's clock.
      type: str
    sessions_ended:
      description: How many sessions were ended.
      type: int
    sessions_left:
      description: Sessions that this role may not end, or that did not end in time, each with the C(reason).
      type: list
      elements: dict
    role_overrides:
      description: Roles with a setting of their own, which goes before the database's.
      type: list
      elements: str
    prepared_transactions:
      description: Transactions prepared for a two-phase commit; such a one can still be committed.
      type: int
    proven_refused:
      description: Whether a new session was refused a write (V(fenced)).
      type: bool
    proven_write:
      description: Whether a new session could write (V(lifted)).
      type: bool
    would_end:
      description: In check mode, the sessions that would be ended.
      type: list
      elements: dict
journalled:
  description: What a journal keeps of RV(fence).
  returned: success
  type: dict
skipped_reason:
  description: Why nothing was done.
  returned: when the branch is only predicted
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._postgres.access import access_spec
from ansible_collections.rewind.database.plugins.module_utils._postgres.asking import set_fence
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = access_spec().merge(
    JOURNAL,
    Spec(
        arguments={
            "state": {"type": "str", "choices": ["fenced", "lifted"], "default": "fenced"},
            "since": {"type": "str"},
            "end_timeout": {"type": "float", "default": 30.0},
        }
    ),
)


def run(task: Task) -> dict[str, Any]:
    """Fence, or lift the fence."""
    return journalled(set_fence)(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
