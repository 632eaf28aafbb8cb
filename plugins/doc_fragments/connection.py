# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the option that says where to connect, without a connection string in it."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  connection:
    description:
      - What to connect to. The connection string is made inside the task and never returned.
      - Without O(connection.application) and O(connection.template) the string is the one that Neon gives for the
        branch. With one of them, that string is the base - its user, database, parameters and pooledness stay, and only
        the host changes, with the port and the password where the branch has others.
    type: dict
    required: true
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
          - The name of an environment variable that holds the password for O(connection.template), alone
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
          - Like O(connection.at), by log sequence number.
        type: str
"""
