# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the option that names the state directory."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - The directory with the journals, records and locks of this collection, and the key of the hashes that it shows.
        It is made with mode 0700 where something must be written.
      - Without this option the host variable C(rewind_state_dir) is used, then the environment variable
        E(REWIND_STATE_DIR), then C(rewind) below E(XDG_STATE_HOME), then C(~/.local/state/rewind).
    type: path
"""
