# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long this target's own past cutovers took, by strategy, from its journals."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from .instants import instant_or_none

# From the first of these steps on the application cannot write, or loses its connections; until the section `cutover`
# has ended, which is when it has been redeployed, or has connected again.
_BEGINS = {"repoint": ("fence_writes", "env"), "in_place": ("restore",), "snapshot": ("finalize",)}
# Old runs say little about a database that has grown since.
NEWEST = 10


def measured(runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By strategy, the median seconds of the newest proven cutovers, and of how many: `{seconds, runs}`.

    A run counts once it has come to its record, also when it was taken back later. One that was killed and gone on with
    does not: its pause is nothing that the next one will have.

    :param runs: of the action `list` of `run_journal`, in any order.
    """
    lengths: dict[str, list[float]] = {}
    for run in sorted(runs, key=lambda item: str(item.get("id")), reverse=True):
        strategy, seconds = str(run.get("strategy")), _seconds(run)
        if seconds is not None and len(lengths.setdefault(strategy, [])) < NEWEST:
            lengths[strategy].append(seconds)
    return {strategy: {"seconds": statistics.median(found), "runs": len(found)} for strategy, found in lengths.items()}


def _seconds(run: Mapping[str, Any]) -> float | None:
    steps: Mapping[str, Mapping[str, Any]] = run.get("steps") or {}
    cutover = steps.get("cutover") or {}
    if run.get("resumed") or "record" not in steps or cutover.get("phase") != "done":
        return None
    began = next((steps[name] for name in _BEGINS.get(str(run.get("strategy")), ()) if name in steps), {})
    start, end = instant_or_none(began.get("began_at")), instant_or_none(cutover.get("at"))
    return (end - start).total_seconds() if start and end and end >= start else None
