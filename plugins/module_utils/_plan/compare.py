# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All strategies of one restore side by side, which one is recommended, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .._time import duration, rfc3339
from . import problems, steps
from .measured import measured
from .parts import expiries_to_clear
from .request import Findings
from .strategies import STRATEGIES, Case, choose, offers


def compare(case: Case, chosen: str, past: Iterable[Mapping[str, Any]], losses: Mapping[str, Any]) -> dict[str, Any]:
    """Each strategy with its steps, price and problems; the recommendation is what `auto` would take.

    :param chosen: the strategy of the plan.
    :param past: this target's runs, of the action `list` of `run_journal`.
    :param losses: of the plan.
    """
    auto, why = choose(replace(case, request=replace(case.request, cutover="auto")), None)
    offered, known = offers(case, chosen), measured(past)
    return {
        "recommended": {"strategy": auto, "why": why},
        "chosen": chosen,
        "strategies": [_strategy(case, name, offered[name], known.get(name), losses) for name in STRATEGIES],
        "storage": _storage(case),
    }


def _strategy(
    case: Case,
    strategy: str,
    offer: Mapping[str, Any],
    past: Mapping[str, Any] | None,
    losses: Mapping[str, Any],
) -> dict[str, Any]:
    found = Findings()
    problems.check(case, strategy, found)
    source = case.source if strategy == "repoint" else case.in_place_source
    branch = case.names.of(strategy)
    unprotects = strategy == "in_place" and case.node.protected
    return {
        "strategy": strategy,
        "possible": bool(offer["offered"]) and not found.problems,
        "why": offer["why"],
        "problems": found.problems,
        "steps": steps.build(case, strategy, branch, source, expiries_to_clear(case, source, strategy), unprotects),
        "source": source.public(source.branch_id == case.primary.branch_id),
        "downtime": _downtime(offer["expected_downtime"], strategy, past),
        "interval_lost_seconds": offer["interval_lost_seconds"],
        "rows_lost": losses["rows_lost"],
        "rows_restored": losses["rows_restored"],
        "rows_exact": losses["exact"],
        **{key: offer[key] for key in ("tree_before", "tree_after", "undeletable_afterwards", "children_moved")},
        **{key: offer[key] for key in ("slots", "passwords_that_change")},
        "keeps": _keeps(case, strategy, roots=offer["slots"]["roots"]["adds"]),
    }


def _downtime(expected: Mapping[str, Any], strategy: str, past: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is expected; this target's own past goes before every estimate, and the text says which of both it is."""
    if past is None:
        return {**expected, "measured_runs": 0}
    runs = f"measured in {past['runs']} run{'' if past['runs'] == 1 else 's'} of this target"
    length = duration(past["seconds"])
    refused = bool(expected["writes_seconds"])
    reads = past["seconds"] if expected["reads_seconds"] else 0
    readers = f"{length} for readers" if reads else "none for readers"
    if strategy != "repoint":
        text = f"connections drop once and are back within {length} ({runs}); no deployment"
    elif not refused:
        text = f"{readers}; for {length} ({runs}) the old and the new database both take writes"
    else:
        text = f"{readers}; writes are refused for {length} ({runs})"
    return {
        "reads_seconds": reads,
        "writes_seconds": past["seconds"] if refused else 0,
        "text": text,
        "measured_runs": past["runs"],
    }


def _keeps(case: Case, strategy: str, *, roots: int) -> dict[str, Any]:
    """The old side: a branch of its own for as long as an undo is possible, and what it takes.

    Neon counts a root branch by its size, a child by what has changed since it was made (its documentation of prices).
    """
    name = case.node.name if strategy == "repoint" else case.names.rollback
    return {
        "name": name,
        "logical_size": case.branch.get("logical_size"),
        "until": rfc3339(case.request.now + timedelta(days=case.request.keep_days)),
        "counts_whole": roots > 0,
        "replicas": sum(1 for item in case.branch.get("endpoints") or () if item.get("type") == "read_only"),
    }


def _storage(case: Case) -> dict[str, Any]:
    storage = case.facts.project.get("storage") or {}
    return {
        "used_bytes": storage.get("used_bytes"),
        "limit_bytes": storage.get("limit_bytes"),
        "history_seconds": case.facts.project.get("history_retention_seconds"),
    }
