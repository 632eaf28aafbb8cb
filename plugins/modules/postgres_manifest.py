#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_manifest
short_description: Record what a database holds, and compare two records
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Takes a manifest - per table the number of rows, the newest change and a hash of the content; the sequences, the
    extensions, a hash of the schema, and the migration head. Everything is read in one snapshot, in few round trips.
  - Compares two manifests and says per table what is missing, extra or changed.
  - Nothing is written.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.postgres.optional_connection
  - rewind.database.postgres
  - rewind.database.attributes.info
options:
  compare:
    description:
      - Compares two manifests. The side that is left out is the one taken now; without O(connection) both must be
        given.
      - Without any side nothing is compared.
    type: dict
    suboptions:
      before:
        description: The manifest to compare with.
        type: dict
      after:
        description: The manifest that is compared.
        type: dict
      count_written:
        description:
          - Whether to count as well how many rows were written since O(compare.before), which is what going back to it
            would lose. Needs O(connection), and no O(compare.after).
        type: bool
        default: false
  include:
    description:
      - Only tables that fit one of these patterns. Each is compared with V(public."User"), V(public.User) and V(User);
        V(*) and V(?) are wildcards.
    type: list
    elements: str
    default: []
  exclude:
    description: No tables that fit one of these patterns.
    type: list
    elements: str
    default: []
  hash:
    description:
      - Whether to hash the content. Without it two tables are equal when their numbers of rows and their newest changes
        are.
    type: bool
    default: true
  newest_columns:
    description:
      - Names of columns that say when a row was changed last, the best first. The first one of them that a table has,
        and that holds dates or timestamps, is used.
      - By default names such as V(updatedAt), V(updated_at), V(createdAt) and V(created_at).
    type: list
    elements: str
  statement_timeout:
    description:
      - Seconds that one statement may take. Large tables are read in one.
    type: float
    default: 300.0
seealso:
  - module: rewind.database.postgres_check
notes:
  - Read through their parent are partitions. Not read are views, materialized views, foreign tables, unlogged tables
    (a restore does not bring their rows back) and what belongs to an extension or to PostgreSQL itself.
  - Hashes can be compared only between servers of the same major version.
"""

EXAMPLES = r"""
- name: What the primary holds now
  rewind.database.postgres_manifest:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
  register: live

- name: What would be lost by going back
  rewind.database.postgres_manifest:
    connection:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
      at: "2025-01-13T14:25:00Z"
    compare:
      before: "{{ live.manifest }}"
  register: then

- name: Show it
  ansible.builtin.debug:
    msg: "{{ then.comparison.summary }}"
"""

RETURN = r"""
manifest:
  description: The manifest that was taken; null when none was asked for or the branch is only predicted.
  returned: success
  type: dict
  contains:
    version:
      description: The version of this structure.
      type: int
      sample: 1
    taken_at:
      description: The instant of the snapshot, by the server's clock.
      type: str
      sample: "2025-01-13T14:25:00.123456Z"
    lsn:
      description: The position in the log at that time.
      type: str
      sample: 0/1A2B3C4
    server_version:
      description: The version of PostgreSQL.
      type: str
      sample: "17.5"
    database:
      description: The name of the database.
      type: str
    tables:
      description:
        - By name, as SQL writes it with its schema - a dictionary with the number of C(rows), the C(newest) value of
          C(newest_column), the C(hash) of the content and the columns of the C(primary_key).
      type: dict
      sample: {'public."User"': {'rows': 42, 'newest': '2025-01-13T14:24:58.120Z', 'newest_column': 'updatedAt',
        'hash': 'r:28119437697870362222', 'primary_key': ['id']}}
    skipped:
      description: Tables whose rows were not read, with the reason.
      type: dict
      sample: {'public.cache': 'unlogged table - not restored'}
    sequences:
      description: By name, C(last_value) and C(increment).
      type: dict
    extensions:
      description: By name, the version.
      type: dict
    schema_hash:
      description: A hash of all definitions, equal on every branch that has the same ones.
      type: str
    schema_parts:
      description: The same per kind of object, so that a difference can be named.
      type: dict
    migration:
      description: The migration head - C(table), C(tool), C(head), C(count), C(others) - or null.
      type: dict
    settings:
      description: Encoding, collation and the settings of the database.
      type: dict
comparison:
  description: The difference; null when none was asked for or the branch is only predicted.
  returned: success
  type: dict
  contains:
    equal:
      description: Whether nothing differs. A sequence that stands ahead by what PostgreSQL logs in advance is no
        difference.
      type: bool
    tables:
      description:
        - By name - C(status) (V(equal), V(changed), V(missing), V(extra), or V(unknown) when one side could not be
          read), C(rows_before), C(rows_after), C(difference), C(newest_before), C(newest_after), and C(compared_by)
            (V(hash) or
          V(rows)).
      type: dict
    sequences:
      description: The sequences that differ, by name.
      type: dict
    extensions:
      description: The extensions that differ, by name.
      type: dict
    schema_equal:
      description: Whether the definitions are the same.
      type: bool
    schema_changed:
      description: The kinds of objects that differ.
      type: list
      elements: str
    migration_equal:
      description: Whether the migration head is the same.
      type: bool
    migration_before:
      description: The migration head before, as text.
      type: str
    migration_after:
      description: The migration head after, as text.
      type: str
    hashes_compared:
      description: Whether the content of every table was compared, not only the number of its rows.
      type: bool
    rows_before:
      description: All rows before.
      type: int
    rows_after:
      description: All rows after.
      type: int
    summary:
      description: A sentence for each difference.
      type: list
      elements: str
      sample: ['public."QuestProgress": 50000 rows fewer (51234 -> 1234)']
written:
  description: What was written since O(compare.before); null where O(compare.count_written) is not set.
  returned: success
  type: dict
  contains:
    rows:
      description:
        - At most so many rows were written. Counted by the columns that an application sets with each change, such as
          C(updatedAt); numbers that were drawn from sequences count where they are more. A statement that changes rows
          and leaves these columns alone is not counted beside rows of the same table that have them set.
        - Null where that cannot be said - a table has changed and has no such column, tables were counted and not
          hashed or could not be read, or the schema has changed.
      type: int
    tables:
      description: The same for each table that has changed, by name.
      type: dict
    why:
      description: Why it cannot be said; empty where it can.
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
from ansible_collections.rewind.database.plugins.module_utils._postgres.asking import read_manifest
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

_COMPARE = {
    "before": {"type": "dict"},
    "after": {"type": "dict"},
    "count_written": {"type": "bool", "default": False},
}
SPEC = access_spec(required=False).merge(
    Spec(
        arguments={
            "compare": {"type": "dict", "options": _COMPARE},
            "include": {"type": "list", "elements": "str", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "hash": {"type": "bool", "default": True},
            "newest_columns": {"type": "list", "elements": "str"},
            "statement_timeout": {"type": "float", "default": 300.0},
        },
        required_one_of=(("connection", "compare"),),
    )
)


def run(task: Task) -> dict[str, Any]:
    """Take a manifest, compare two, or both."""
    return read_manifest(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
