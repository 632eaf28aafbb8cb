# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``journal`` of modules that change something."""

from __future__ import annotations


class ModuleDocFragment:
    """The option ``journal``."""

    DOCUMENTATION = r"""
options:
  journal:
    description:
      - Writes this task as a step into the journal of a run that M(rewind.database.run_journal) has started. The
        intent and the way back are on the disk before the first request is sent, the outcome right after the last.
      - Nothing is written in check mode.
    type: dict
    suboptions:
      run:
        description: The run's id.
        type: str
        required: true
      step:
        description: What the step is called in the journal.
        type: str
        required: true
      ids:
        description: Ids of what the step works on.
        type: dict
        default: {}
      undo:
        description: How the step is taken back; an undo gets exactly this.
        type: dict
"""
