# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a person reads it in a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from .._commands import as_run

# What remains of 80 columns beside the indentation and the quotes that Ansible gives a list of messages.
WIDTH = 72
_LABEL = 15
_LEAST = (
    "these are the least, by the number of rows per table: rows that were changed, or that came where others went, do "
    "not show in it."
)
_BY_ROWS = "Without hashes, a table with as many rows as then may have changed too."


def lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan, line by line."""
    shown = [*heading(plan)]
    if plan.get("strategy"):
        shown += [*_strategies(plan), *losses_lines(plan), *_environment(plan), *_steps(plan), *_tree(plan)]
    shown += listed("Not brought back by this", plan.get("not_restored") or ())
    shown += listed("Worth knowing", plan.get("warnings") or ())
    shown += problem_lines(plan.get("problems") or ())
    return shown


def problem_lines(problems: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every problem with what to do; empty where there is none."""
    found = list(problems)
    if not found:
        return []
    count = "1 thing stands" if len(found) == 1 else f"{len(found)} things stand"
    shown = [f"{count} in the way; nothing was changed:"]
    for problem in found:
        shown += wrapped(f"- {problem['message']}", "  ")
        shown += wrapped(f"  {problem['what_to_do']}", "  ")
    return shown


def confirmation(plan: Mapping[str, Any]) -> list[str]:
    """What a person must have read before saying yes."""
    shown = [*heading(plan), *losses_lines(plan)]
    price = plan["strategy"]["offered"][plan["strategy"]["chosen"]]
    return shown + field("downtime", price["expected_downtime"]["text"])


def wrapped(text: str, hang: str = "", indent: str = "") -> list[str]:
    """Lines that fit. A name that is longer than a line is broken, but only then: hosts are there to be copied."""
    # Names are free text: an escape sequence or a line end in one must not draw lines of its own.
    plain = "".join(character if character.isprintable() else " " for character in as_run(text))
    return textwrap.wrap(
        plain, WIDTH, initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False, drop_whitespace=True
    ) or [""]


def field(label: str, value: Any) -> list[str]:
    """A label and its text, the lines after the first hanging below it."""
    return wrapped(f"{label + ':':<{_LABEL}}{value}", " " * _LABEL)


def _known(value: Any) -> str:
    return "unknown" if value is None else str(value)


def listed(title: str, items: Iterable[str]) -> list[str]:
    """A title with a list below it; empty where there is nothing to list."""
    found = [line for item in items for line in wrapped(f"- {item}", "  ")]
    return [f"{title}:", *found] if found else []


def heading(plan: Mapping[str, Any]) -> list[str]:
    """What a plan is about."""
    shown = field("target", f"{plan['target']} ({plan['environment']})")
    point = plan.get("restore_point")
    if point:
        moment = " = ".join(str(point[key]) for key in ("utc", "local") if point.get(key))
        named = f"backup {point['backup']}, " if point.get("backup") else ""
        ago = f" ({point['ago']})" if point.get("ago") else ""
        shown += field("restore point", f"{named}{moment or _known(point.get('lsn'))}{ago}")
    for label, key in (("primary", "primary"), ("from branch", "source")):
        part = plan.get(key)
        if part:
            why = f", {part['why']}" if part.get("why") else ""
            shown += field(label, f"{part['name']} {part['branch_id']}{why}")
    return shown


def _strategies(plan: Mapping[str, Any]) -> list[str]:
    strategy = plan["strategy"]
    shown = field("strategy", f"{strategy['chosen']}: {strategy['why']}")
    for name, offer in strategy["offered"].items():
        if not offer["offered"]:
            shown += field(f"  {name}", f"not possible: {offer['why']}")
            continue
        slots = offer["slots"]["branches"]
        limit = "" if slots["limit"] is None else f" of {slots['limit']}"
        text = f"{offer['expected_downtime']['text']}; {slots['used'] + slots['adds']}{limit} branches afterwards"
        if offer["undeletable_afterwards"]:
            names = ", ".join(item["name"] for item in offer["undeletable_afterwards"])
            text += f"; cannot be deleted then: {names}"
        if offer["why"] != "possible":
            text += f"; {offer['why']}"
        if offer["passwords_that_change"]:
            text += f"; new passwords for: {', '.join(offer['passwords_that_change'])}"
        shown += field(f"  {name}", text)
    return shown


def losses_lines(plan: Mapping[str, Any]) -> list[str]:
    """The time and the rows that would be lost, table by table."""
    interval, losses = plan["interval_lost"], plan["losses"]
    shown = field("time lost", interval["text"])
    if not losses["known"]:
        shown += field("rows lost", "unknown: the data at the restore point could not be read beforehand")
        return shown + _salvage(plan)
    lost, back = (number_text(losses[key], losses["exact"]) for key in ("rows_lost", "rows_restored"))
    shown += field("rows lost", f"{lost} (and {back} come back)")
    if not losses["exact"]:
        shown += field("  note", f"{_LEAST} {_BY_ROWS if _only_counted(losses) else ''}".rstrip())
    shown += _salvage(plan)
    for table in losses["tables"]:
        if table["status"] != "equal":
            shown += wrapped(f"{'':<{_LABEL}}{_table_text(table)}", " " * 17)
    return shown


def number_text(number: int | None, exact: bool) -> str:
    """A number of rows; where it is the least that it can be, that is said, and none is never claimed."""
    if exact:
        return str(number)
    return f"at least {number}" if number else "an unknown number"


def _table_text(table: Mapping[str, Any]) -> str:
    text = f"{table['table']}: {_count(table['now'])} rows now, {_count(table['at_point'])} then ({table['status']}"
    if table["status"] == "changed":
        text += f"; lost: {number_text(table['lost'], table['exact'])}"
    return f"{text})"


def _only_counted(losses: Mapping[str, Any]) -> bool:
    return any(table["status"] == "equal" and not table["exact"] for table in losses["tables"])


def _salvage(plan: Mapping[str, Any]) -> list[str]:
    until = (plan.get("undo") or {}).get("salvage_until")
    return field("salvage", f"they can be written down with salvage.yml until {until}") if until else []


def _count(number: Any) -> str:
    return "no" if number is None else str(number)


def _environment(plan: Mapping[str, Any]) -> list[str]:
    shown: list[str] = []
    for row in plan["env"]["rows"]:
        shown += wrapped(f"{row['key']}: host {_known(row['from_host'])} -> {_known(row['to_host'])}", "  ")
    return shown


def _steps(plan: Mapping[str, Any]) -> list[str]:
    shown = ["steps:"]
    for step in plan["steps"]:
        shown += wrapped(f"{step['number']}. {step['title']}. {' '.join(step['does'])}", "   ")
    if plan["wakes"]:
        names = ", ".join(f"{item['endpoint_id']} of {item['name']}" for item in plan["wakes"])
        shown += wrapped(f"Reading would wake: {names}", "   ")
    return shown


def _tree(plan: Mapping[str, Any]) -> list[str]:
    price = plan["strategy"]["offered"][plan["strategy"]["chosen"]]
    before, after = tree_lines(price["tree_before"]), tree_lines(price["tree_after"])
    return ["branches now:", *before, "branches afterwards:", *after]


def tree_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A tree of branches, each line indented by its depth."""
    shown: list[str] = []
    for row in rows:
        marks = [
            *(["default"] if row["default"] else []),
            *(["protected"] if row["protected"] else []),
            *row["marks"],
        ]
        suffix = f" ({', '.join(marks)})" if marks else ""
        # A chain of restores grows deeper with each; half of the width is left for the names.
        indent = "  " * min(row["depth"] + 1, WIDTH // 4)
        shown += wrapped(f"{row['name']}{suffix}", f"{indent}  ", indent)
    return shown
