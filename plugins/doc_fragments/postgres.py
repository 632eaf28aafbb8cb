# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of what the modules that connect to PostgreSQL share."""

from __future__ import annotations

from ansible_collections.rewind.database.plugins.doc_fragments.connection import ModuleDocFragment as Connection


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  connect_timeout:
    description:
      - Seconds for one attempt to connect.
    type: float
    default: 15.0
  connect_deadline:
    description:
      - Seconds for all attempts to connect together. A suspended compute needs some to start; a wrong password or a
        disabled compute is not tried again.
    type: float
    default: 60.0
  statement_timeout:
    description:
      - Seconds that one statement may take.
    type: float
    default: 60.0
  lock_timeout:
    description:
      - Seconds to wait for a lock that another session holds.
    type: float
    default: 5.0
requirements:
  - psycopg >= 3.2
notes:
  - A connection wakes a suspended compute, also in check mode.
  - In check mode, when the branch is only predicted, the task returns its usual shape with RV(ignore:skipped_reason).
"""

    # The option ``connection`` of a module that can do something without it.
    OPTIONAL_CONNECTION: str


# Not in the class: ansible-test's yamllint reads what is assigned there, and understands only plain texts.
ModuleDocFragment.OPTIONAL_CONNECTION = Connection.DOCUMENTATION.replace("required: true", "required: false", 1)
