# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of runs over many targets. Each is documented in the file of its own name beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.rewind.database.plugins.module_utils import _fleet


def batches(value: Any) -> list[str]:
    """The sizes of batches as the play keyword ``serial`` takes them.

    :raises AnsibleFilterError: for what is no number and no share.
    """
    sizes = [str(item).strip() for item in (value if isinstance(value, list) else str(value).split(","))]
    for size in sizes:
        if not size.removesuffix("%").isdigit() or int(size.removesuffix("%")) == 0:
            raise AnsibleFilterError(
                f'batches: "{size}" is no number of targets and no share. Say for example 1,5,100%.'
            )
    return sizes


def fleet_report(rows: Iterable[Mapping[str, Any]], verb: str, check: bool = False) -> dict[str, Any]:
    """The report over all targets of a run."""
    return _fleet.report(f"check of {verb}" if check else verb, rows)


def fleet_said(result: Mapping[str, Any], verb: str, check: bool = False) -> str:
    """What came of a target that succeeded, in a line."""
    told = _fleet.said(verb, result)
    return f"would be: {told}" if check and verb not in ("audit", "plan") else told


def fleet_holder(locks: Iterable[Mapping[str, Any]], names: Iterable[str], break_lock: str = "") -> str:
    """Who works on a target now; empty where nobody does."""
    return _fleet.held_by_others(locks, names, break_lock)


def fleet_refused_by_lock(message: str, registered: Iterable[Any]) -> bool:
    """Whether a target failed only because another run works on it."""
    return _fleet.refused_by_lock(message, registered)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "batches": batches,
            "fleet_report": fleet_report,
            "fleet_said": fleet_said,
            "fleet_holder": fleet_holder,
            "fleet_refused_by_lock": fleet_refused_by_lock,
        }
