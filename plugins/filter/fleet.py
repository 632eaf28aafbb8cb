# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of runs over many targets. Each is documented in the file of its own name beside this one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.helpers import pct_to_int
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


def fleet_failed_before(rows: Iterable[Mapping[str, Any]], first: str, sizes: Any) -> list[str]:
    """The targets that failed in the batches before that of `first`.

    One without an outcome was out before its turn: that stops the batches after its own, and says nothing about the
    others of it.
    """
    found = list(rows)
    begins = _batch_begins(len(found), [row["target"] for row in found].index(first), batches(sizes))
    failed = []
    for number, row in enumerate(found):
        if row["target"] == first:
            break
        if row.get("outcome", _fleet.FAILED if number < begins else _fleet.OK) == _fleet.FAILED:
            failed.append(str(row["target"]))
    return failed


def _batch_begins(total: int, place: int, sizes: list[str]) -> int:
    """Where the batch of a place begins, as Ansible counts: among all targets, those that are out as well."""
    begins = 0
    for size in itertools.chain(sizes, itertools.repeat(sizes[-1])):
        ends = begins + pct_to_int(size, total)
        if place < ends:
            break
        begins = ends
    return begins


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
            "fleet_failed_before": fleet_failed_before,
            "fleet_report": fleet_report,
            "fleet_said": fleet_said,
            "fleet_holder": fleet_holder,
            "fleet_refused_by_lock": fleet_refused_by_lock,
        }
