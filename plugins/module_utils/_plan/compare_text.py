# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All strategies of a restore side by side, as a person reads them in a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from .._time import duration
from .audit_parts import size_text
from .text import field, heading, listed, losses_lines, number_text, problem_lines, tree_lines, wrapped

_LABEL = 13
_COLUMN = 19


def comparison_lines(plan: Mapping[str, Any]) -> list[str]:
    """The comparison, line by line; empty where the plan has none."""
    comparison = plan.get("comparison")
    if not comparison:
        return []
    offers: Sequence[Mapping[str, Any]] = comparison["strategies"]
    shown = [*heading(plan), *_recommended(plan, comparison), *losses_lines(plan), ""]
    shown += table(offers, comparison["recommended"]["strategy"])
    shown += ["", *_storage(comparison["storage"]), "branches now:", *tree_lines(offers[0]["tree_before"])]
    for offer in offers:
        shown += ["", *_block(offer, comparison["recommended"]["strategy"])]
    if plan["wakes"]:
        names = ", ".join(f"{item['endpoint_id']} of {item['name']}" for item in plan["wakes"])
        shown += ["", *wrapped(f"Reading would wake: {names}")]
    shown += ["", *listed("Not brought back by any of them", plan["not_restored"])]
    return shown + listed("Worth knowing", plan["warnings"]) + problem_lines(plan["problems"])


def _recommended(plan: Mapping[str, Any], comparison: Mapping[str, Any]) -> list[str]:
    recommended = comparison["recommended"]
    shown = field("recommended", f"{recommended['strategy']}: {recommended['why']}")
    if comparison["chosen"] != recommended["strategy"]:
        shown += field("this plan", f"{comparison['chosen']}: {plan['strategy']['why']}")
    if plan["already_done"]["done"]:
        shown += field("already done", plan["already_done"]["why"])
    if plan["resumes"]:
        shown += field("continues", f"the run {plan['resumes']}, which was killed")
    return shown


def table(offers: Sequence[Mapping[str, Any]], recommended: str) -> list[str]:
    """A column for each strategy; what does not fit into a cell goes on in the next line."""
    shown: list[str] = []
    titles = [f"{item['strategy']}{' *' if item['strategy'] == recommended else ''}" for item in offers]
    for label, cells in [("", titles), *((label, [cell(item) for item in offers]) for label, cell in ROWS)]:
        columns = [textwrap.wrap(_plain(text), _COLUMN - 1) for text in (label, *cells)]
        for first, *rest in zip_longest(*columns, fillvalue=""):
            # A space before every line: YAML then quotes each of them, and the columns stay below one another.
            shown.append((f" {first:<{_LABEL}}" + "".join(f"{part:<{_COLUMN}}" for part in rest)).rstrip())
    return [*shown, f" {'':<{_LABEL}}* recommended"]


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def possible_text(offer: Mapping[str, Any]) -> str:
    """Whether it can be carried out as it was asked for."""
    if offer["possible"]:
        return "yes"
    count = len(offer["problems"])
    return f"no: {count} thing{'' if count == 1 else 's'} in the way" if count else "no"


def seconds_text(seconds: float | None) -> str:
    """How long something is not available."""
    return "none" if not seconds else f"about {duration(seconds)}"


def basis_text(offer: Mapping[str, Any]) -> str:
    """What the downtime is taken from."""
    runs = offer["downtime"]["measured_runs"]
    return f"measured, {runs} run{'' if runs == 1 else 's'}" if runs else "an estimate"


def lost_text(offer: Mapping[str, Any]) -> str:
    """The interval and the rows that are lost."""
    seconds, rows = offer["interval_lost_seconds"], offer["rows_lost"]
    interval = "unknown time" if seconds is None else duration(seconds)
    return f"{interval}, {'unknown' if rows is None else number_text(rows, offer['rows_exact'])} rows"


def slots_text(offer: Mapping[str, Any], kind: str) -> str:
    """How many branches, or root branches, there are afterwards."""
    slots = offer["slots"][kind]
    limit = "" if slots["limit"] is None else f" of {slots['limit']}"
    return f"{slots['used'] + slots['adds']}{limit} ({slots['adds']:+d})"


def undeletable_text(offer: Mapping[str, Any]) -> str:
    """The names of what cannot be deleted afterwards."""
    return ", ".join(item["name"] for item in offer["undeletable_afterwards"]) or "nothing"


def passwords_text(offer: Mapping[str, Any]) -> str:
    """Whose passwords change."""
    roles = ", ".join(offer["passwords_that_change"])
    return f"new for {roles}" if roles else "unchanged"


def keeps_text(offer: Mapping[str, Any]) -> str:
    """The old side, its size and until when it is kept."""
    keeps = offer["keeps"]
    size = "size unknown" if keeps["logical_size"] is None else size_text(keeps["logical_size"])
    return f"{keeps['name']}, {size}, until {str(keeps['until'])[:10]}"


def storage_text(offer: Mapping[str, Any]) -> str:
    """What of the branch that there is more Neon counts as stored."""
    return "a root more: its whole size" if offer["keeps"]["counts_whole"] else "a child more: what changes on it"


ROWS = (
    ("possible", possible_text),
    ("read outage", lambda offer: seconds_text(offer["downtime"]["reads_seconds"])),
    ("write outage", lambda offer: seconds_text(offer["downtime"]["writes_seconds"])),
    ("known from", basis_text),
    ("is lost", lost_text),
    ("branches", lambda offer: slots_text(offer, "branches")),
    ("roots", lambda offer: slots_text(offer, "roots")),
    ("undeletable", undeletable_text),
    ("passwords", passwords_text),
    ("kept", keeps_text),
    ("storage", storage_text),
)


def _block(offer: Mapping[str, Any], recommended: str) -> list[str]:
    """One strategy in full: its downtime, what stands in its way, its steps and the branches that it leaves."""
    mark = " (recommended)" if offer["strategy"] == recommended else ""
    shown = [f"{offer['strategy']}{mark}", *field("  downtime", offer["downtime"]["text"])]
    if offer["why"] != "possible":
        shown += field("  note", offer["why"])
    for problem in offer["problems"]:
        shown += field("  in the way", problem["message"])
    if offer["children_moved"]:
        shown += field("  children", f"{', '.join(offer['children_moved'])} move to the kept branch")
    for item in offer["undeletable_afterwards"]:
        shown += field("  undeletable", f"{item['name']}: {item['why']}")
    for step in offer["steps"]:
        shown += wrapped(f"{step['number']}. {step['title']}. {' '.join(step['does'])}", "     ", "  ")
    return [*shown, "  branches afterwards:", *tree_lines(offer["tree_after"])]


def _storage(storage: Mapping[str, Any]) -> list[str]:
    used, history = storage["used_bytes"], storage["history_seconds"]
    kept = "" if history is None else f", the history of {duration(history)} included"
    text = "unknown" if used is None else f"{size_text(used)} now in all branches{kept}"
    return field("storage", text)
