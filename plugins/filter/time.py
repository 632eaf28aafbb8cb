# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters about time. Each is documented in the file of its own name beside this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._time import (
    duration as to_duration,
)
from ansible_collections.rewind.database.plugins.module_utils._time import (
    parse_instant,
    parse_restore_point,
)


def restore_point(value: object, now: object = None) -> dict[str, Any]:
    """The restore point in UTC, local, "N min ago", as a branch's stamp, and as epoch seconds.

    :raises AnsibleFilterError: for what is no restore point, with what to write instead.
    """
    try:
        present = None if now is None else parse_instant(now, future=True)
        return parse_restore_point(value, now=present).echo(present)
    except InvalidInput as error:
        raise AnsibleFilterError(error.msg) from None


def duration(value: object) -> str:
    """Seconds as people read them: "1 min 12 s".

    :raises AnsibleFilterError: for what is no number.
    """
    try:
        return to_duration(float(str(value)))
    except (ValueError, OverflowError):
        raise AnsibleFilterError(f'read the duration "{value}": not a number of seconds') from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"restore_point": restore_point, "duration": duration}
