#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_salvage
short_description: Write what one side of a restore has beyond the other as SQL
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Compares three states of a database by primary key - at the restore point, on the old side, and on the new side -
    and writes what the old side has inserted, changed and deleted since the restore point as a SQL file for the new
    side.
  - What both sides have changed differently, and what the new side could not take, is marked C(CONFLICT) and commented
    out. The statements come in an order that foreign keys accept, in one transaction, and do nothing to a row that is
    no longer what it was. Where another row has taken the key of one that is inserted, the transaction fails, and
    changes nothing.
  - Rows are streamed; the memory used does not grow with their number, nor with that of conflicts; what must be
    remembered of these goes to the disk beside the file. It does grow with the rows that take over a unique value of
    another one. A table is read again where what is held back elsewhere concerns its rows.
  - The three databases are only read. No value of any row is in the result.
extends_documentation_fragment:
  - rewind.database.neon
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.postgres
  - rewind.database.attributes.info
options:
  base:
    description:
      - Where the state at the restore point is. The options of each side are those of
        O(rewind.database.postgres_manifest#module:connection).
    type: dict
    required: true
    suboptions: &side
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
        description:
          - Whether to connect through the pooler. By default as in the base string, else directly.
        type: bool
      application:
        description: The UUID of the Coolify application whose environment variable is the base string.
        type: str
      env_key:
        description: The name of that environment variable.
        type: str
      is_preview:
        description: Whether to take the variable's row for preview deployments.
        type: bool
        default: false
      template:
        description:
          - A base string without its password, for example from a journal.
        type: str
      password_env:
        description:
          - The name of an environment variable that holds the password for O(base.template), alone
            or in a whole connection string of the same role and database. Without it the password is read from Neon.
          - Of a whole string the password is used where the string leads, and elsewhere where Neon reveals none.
        type: str
      at:
        description:
          - Read the data as of this instant (RFC 3339 with a zone), on a compute that Neon makes for this connection.
          - Such a connection is read only.
        type: str
      lsn:
        description:
          - Like O(base.at), by log sequence number.
        type: str
  old:
    description: What the application has left.
    type: dict
    required: true
    suboptions: *side
  new:
    description: What the application uses now, and where the file is to be applied.
    type: dict
    required: true
    suboptions: *side
  path:
    description:
      - The file, on the host that the task runs on. It is readable by its owner only. One that is there with another
        content is never overwritten.
    type: path
    required: true
  draft:
    description:
      - A folder for the parts of the file, on the same file system. It must not exist yet, only its owner can read it,
        and it is gone at the end, unless the task is killed; it then holds rows of the database.
      - By default a folder with a random name beside the file.
    type: path
  title:
    description: Lines that stand at the top of the file.
    type: list
    elements: str
    default: []
  statement_timeout:
    description:
      - Seconds that one statement may take. Each table is read in one.
    type: float
    default: 3600.0
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Nothing is compared or written.
seealso:
  - module: rewind.database.salvage_plan
  - module: rewind.database.postgres_manifest
notes:
  - Who applies a file with new or deleted rows of a table that refers to itself needs the privilege TEMPORARY on the
    database, which PostgreSQL gives to everybody unless it was revoked.
  - Not compared, but named, are tables without a primary key, tables whose primary key takes values for equal that are
    written differently (C(citext), collations that are not deterministic), tables whose primary keys differ between the
    states, tables of migration tools, foreign tables, materialized views, large objects, and what the role
    may not read.
  - Of a table whose columns differ between the states those are compared and written that both sides have with the same
    type, or whole numbers or texts of another width; the others are named. Marked C(CONFLICT) are then what the new
    side cannot take (a number or text that is too long, a label that its enum does not have, a null), new rows that
    lack a value which they must have there, deletions where the new side has columns that were not compared, and rows
    in which both sides differ in a column that came only after the restore point.
  - Unique values are given up before another row takes them. Of rows that only exchange theirs one has a number or
    text for a moment that no row has. They are marked C(CONFLICT) where that is not safe (a check, a foreign key,
    another type, a part of the primary key, something in the table that is computed), and so is a row whose value a
    deleted one must keep until nothing refers to that any more, where it cannot be null.
  - What only one row may have is judged by what unique indexes and exclusion constraints say, with expressions and
    conditions. One that the old or the new side cannot compute is named; a clash there makes the transaction fail, and
    changes nothing.
  - Triggers and rules of the tables that are written are disabled while the file is applied, which only the owner of
    the tables may do, and which other sessions wait for that write to them. To let one do its work again for the rows
    of the file, delete the two statements that name it.
"""

EXAMPLES = r"""
- name: Write what would otherwise be lost
  rewind.database.postgres_salvage:
    base:
      project_id: late-frost-12345678
      branch_id: br-then-a1b2c3d4
    old:
      project_id: late-frost-12345678
      branch_id: br-left-a1b2c3d4
    new:
      project_id: late-frost-12345678
      branch_id: br-calm-sea-a1b2c3d4
    path: /srv/salvage/tracker.sql
  register: result
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
bytes:
  description: Its size.
  returned: when the states were compared
  type: int
salvage:
  description: What was found; null when nothing was compared.
  returned: success
  type: dict
  contains:
    tables:
      description:
        - By name, of each table that was compared row by row - the rows that the old side has C(inserted), C(changed)
          and C(deleted), and of these the C(conflicts) and those C(already_there) on the new side.
      type: dict
      sample: {'public."User"': {'inserted': 12, 'changed': 3, 'deleted': 1, 'conflicts': 2, 'already_there': 0}}
    total:
      description: The same over all tables.
      type: dict
    rows:
      description: All rows that the old side has inserted, changed or deleted.
      type: int
    skipped:
      description:
        - Tables, columns and sequences that are not in the file, with the reason; and whether there are large objects.
      type: dict
      sample: {'public.log': 'it has no primary key (10 rows at the restore point, 12 on the old side)'}
    sequences:
      description: Sequences that the old side has advanced, with their value there.
      type: dict
    by_hand:
      description:
        - Foreign keys in a circle for which no order of the statements is right. Rows that need one are in conflict.
        - Unique indexes and exclusion constraints in which no clash can be foreseen.
      type: list
      elements: str
    triggers:
      description:
        - Tables in the file that have triggers or rules. The file disables these before it writes, and leaves them as
          they were - what they did on the old side to rows of this file is in it. What they did to tables that are not
          here, or to rows that are in conflict, is not - a counter or an audit log may have to be set by hand.
      type: list
      elements: str
    owners:
      description: The owners of these tables. Only they, and superusers, can apply the file as it is.
      type: list
      elements: str
skipped_reason:
  description: Why nothing was compared.
  returned: in check mode, and when a branch is only predicted
  type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._postgres.access import access_spec
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvaging import SIDES, salvage_data
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = access_spec(names=SIDES).merge(
    Spec(
        arguments={
            "path": {"type": "path", "required": True},
            "draft": {"type": "path"},
            "title": {"type": "list", "elements": "str", "default": []},
            "statement_timeout": {"type": "float", "default": 3600.0},
        },
    )
)


def run(task: Task) -> dict[str, Any]:
    """Compare the three states and write the file."""
    return salvage_data(task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
