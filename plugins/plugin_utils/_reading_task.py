# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an inventory plugin asks the services: what a module's ``run`` knows of its task, for code that has none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display
from ansible_collections.rewind.database.plugins.module_utils._secrets import Masker

try:
    # ansible-core 2.22 and newer mask registered secrets everywhere.
    from ansible.module_utils.secrets import register_secret
except ImportError:
    register_secret = None

QUIET_SECONDS = 3.0

display = Display()


class ReadingTask:
    """A task that reads: the transport sends nothing but GET for it."""

    check_mode = True
    diff_mode = False

    def __init__(self, name: str, params: Mapping[str, Any], masker: Masker) -> None:
        self.params = dict(params)
        self._name = name
        self._masker = masker
        self._started = time.monotonic()

    def progress(self, line: str) -> None:
        """Show a line on stderr, once there is something to wait for."""
        elapsed = time.monotonic() - self._started
        if elapsed >= QUIET_SECONDS:
            display.display(f"  … [{self._name}] {elapsed:5.1f} s  {self._masker.text(line)}", stderr=True)

    def warn(self, text: str) -> None:
        display.warning(self._masker.text(text))

    def secret(self, value: str) -> str:
        self._masker.add(value)
        if register_secret is not None and value:
            register_secret(value)
        return value

    def scrub(self, value: Any) -> Any:
        return self._masker.scrub(value)
