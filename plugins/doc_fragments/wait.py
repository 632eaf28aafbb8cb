# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options about waiting."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until everything that was started is done.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait in all, also for operations of others that hold the object.
      - When they have passed the task fails, and RV(ignore:partial) holds what is known.
    type: float
    default: 300.0
  poll_interval:
    description:
      - Seconds between two looks at the state.
    type: float
    default: 1.0
"""
