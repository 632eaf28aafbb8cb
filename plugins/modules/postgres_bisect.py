#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_bisect
short_description: Find the last instant at which a check passed
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Searches a history by bisection - at each instant a short-lived branch with a compute is made, the check of
    M(rewind.database.postgres_check) is answered on it, and the branch is deleted before the next one is made.
  - What was found is tried in the widest gaps between the probes, and right beside it where no probe has been. A check
    that does not break once is reported as such, and no instant is named.
  - A check that cannot be run at an instant (a timeout, a missing permission, a database that did not exist) counts
    neither as passed nor as failed.
  - Every probe branch carries an annotation, stands in the journal before it is made, and expires after an hour.
  - In check mode no branch is made and nothing is searched.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.journal
  - rewind.database.postgres
  - rewind.database.attributes
options:
  project_id:
    description: The id of the Neon project.
    type: str
    required: true
  application:
    description:
      - The UUID of the Coolify application whose connection string is the base of each connection. Without it the
        string is the one that Neon gives, for the branch's only role and database.
    type: str
  env_key:
    description: The name of the environment variable that holds it.
    type: str
    default: DATABASE_URL
  plan:
    description: What to search, as RV(rewind.database.find_restore_point_plan#module:plan).
    type: dict
    required: true
  check:
    description: The check.
    type: dict
    required: true
    suboptions:
      name:
        description: What the check is called in results and messages. By default its kind and what it looks at.
        type: str
      kind:
        description:
          - V(table) - the table exists, and the column where one is given.
          - V(rows) - the number of rows is between O(check.min) and O(check.max), or within
            O(check.within_percent) of what O(manifest) says.
          - V(fresh) - the newest value of a column is not more than O(check.max_age) older than the instant,
            and not newer than it.
          - V(sql) - a query, and an expression over its rows that must be true.
          - V(connect) - a session can be opened, directly and through the pooler, with TLS, as the role expected.
        type: str
        required: true
        choices: [table, rows, fresh, sql, connect]
      table:
        description:
          - The table - V(User), V("User"), V(public.User) or V(public."User"). A name is looked for as it is written,
            then in lower case. Without a schema it is looked for in the search path, then in all schemas.
        type: str
      column:
        description: The column, in its own case.
        type: str
      min:
        description: The least number of rows.
        type: int
      max:
        description: The greatest number of rows.
        type: int
      within_percent:
        description: How many percent the number of rows may differ from that in O(manifest).
        type: float
      max_age:
        description: Seconds by which the newest value may be older than the instant that is looked at.
        type: float
      tolerance:
        description: Seconds by which the newest value may be newer than that instant; clocks of applications run
          ahead.
        type: float
        default: 0.0
      query:
        description:
          - One query that returns rows. It runs as a subquery, so it cannot change anything.
          - At most 1000 rows are fetched.
        type: str
      expect:
        description:
          - A JMESPath expression over the list of rows, each a dictionary by column, that must give V(true).
          - Dates and timestamps are texts such as V(2025-01-13T14:25:00Z).
        type: str
      pooled:
        description: Whether the kind V(connect) also tries the address of the pooler.
        type: bool
        default: true
      role:
        description: The role that the kind V(connect) must be connected as.
        type: str
      tls:
        description: Whether the kind V(connect) demands TLS.
        type: bool
        default: true
  manifest:
    description: What M(rewind.database.postgres_manifest) returned, for a check that compares with it.
    type: dict
  wait_timeout:
    description: Seconds that one probe branch may take to be made, or to be deleted.
    type: float
    default: 300.0
  poll_interval:
    description: Seconds between two looks at the state.
    type: float
    default: 1.0
seealso:
  - module: rewind.database.find_restore_point_plan
  - module: rewind.database.postgres_check
"""

EXAMPLES = r"""
- name: Search
  rewind.database.postgres_bisect:
    project_id: late-frost-12345678
    application: vgcs8wo48g4kcwg0k4o0cwkk
    plan: "{{ result.plan }}"
    check: "{{ result.plan.check }}"
  register: found

- name: What to do
  ansible.builtin.debug:
    msg: "{{ found.search.command }}"
"""

RETURN = r"""
search:
  description: What was found.
  returned: success
  type: dict
  contains:
    kind:
      description:
        - V(found), V(passes_at_end), V(fails_throughout), V(flapping), or V(unknown) where the check could not be run.
          In check mode V(predicted).
      type: str
    last_good:
      description: The last instant at which it passed - C(utc), C(local), C(ago); null where none is known.
      type: dict
    first_bad:
      description: The first instant after that at which it failed, in the same form.
      type: dict
    precise:
      description: Whether the two are as close as was asked for; a span that cannot be searched may lie between them.
      type: bool
    cutover_between:
      description: Whether the application was moved to another branch between the two.
      type: bool
    unseen:
      description: The widest gap between two probes; what was mended within it was not seen.
      type: str
    oldest:
      description: The oldest instant that was looked at.
      type: str
    unknown_at:
      description: The instant at which the check could not be run, where that ended the search.
      type: str
    reason:
      description: Why it could not.
      type: str
    probes:
      description:
        - Every probe in its order - C(at), C(passed), C(message), C(why), C(branch), C(seconds).
        - C(passed) is null where the check could not be run.
      type: list
      elements: dict
    count:
      description: How many probes it took.
      type: int
    seconds:
      description: How long the search took.
      type: float
    notes:
      description: What should be known.
      type: list
      elements: str
    command:
      description: The command that restores to the last good instant; null where none is known, or where it leaves the
        history window too soon for a restore.
      type: str
    text:
      description: All of that in lines of a terminal's width.
      type: list
      elements: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
error:
  description: What went wrong, for programs.
  returned: failure
  type: dict
partial:
  description: The probes that were answered before it went wrong.
  returned: on failure
  type: dict
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._find.looking import Look, nothing_was_probed
from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, NEON
from ansible_collections.rewind.database.plugins.module_utils._postgres.access import TIMEOUTS
from ansible_collections.rewind.database.plugins.module_utils._postgres.asking import CHECK_OPTIONS
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "project_id": {"type": "str", "required": True},
        "application": {"type": "str"},
        "env_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
        "plan": {"type": "dict", "required": True},
        "check": {"type": "dict", "required": True, "options": CHECK_OPTIONS},
        "manifest": {"type": "dict"},
        "wait_timeout": {"type": "float", "default": 300.0},
        "poll_interval": {"type": "float", "default": 1.0},
        **TIMEOUTS,
    },
).merge(NEON, COOLIFY, JOURNAL)


def run(task: Task) -> dict[str, Any]:
    """Search. The probe branches are gone afterwards, so that nothing has changed."""
    if task.check_mode:
        return {"changed": False, "search": nothing_was_probed(task.params["plan"])}
    return {"changed": False, "search": Look(task).run()}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
