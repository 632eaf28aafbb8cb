# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list that a cleanup shows before anything is deleted, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .text import WIDTH, problem_lines

# So many lines of what is kept: it may be thousands. What goes is shown whole, for it is what gets confirmed (rule 23).
MOST = 60
_IN_THE_REPORT = "the report names them all"
# A dry run writes no report, and neither does one that ends here.
_ELSEWHERE = "the report of a run without --check and confirm names them all"


def lines(plan: Mapping[str, Any], *, reported: bool) -> list[str]:
    """The plan, line by line.

    :param reported: whether a report is written that holds what is cut here.
    """
    where = _IN_THE_REPORT if reported else _ELSEWHERE
    counts = plan["counts"]
    limit = f" of {counts['limit']}" if counts["limit"] else ""
    shown = _wrapped(f"target: {plan['target']} ({plan['environment']})")
    shown += _wrapped(f"branches: {counts['branches']}{limit}, {counts['ours']} of them made by this collection")
    goes = [row for row in plan["branches"] if row["decision"] == "delete"]
    order = {item["id"]: number for number, item in enumerate(plan["delete"])}
    goes.sort(key=lambda row: order[row["id"]])
    shown += _section("to be deleted, leaf first", goes)
    shown += _section("snapshots to be deleted", [row for row in plan["snapshots"] if row["decision"] == "delete"])
    kept = [row for row in plan["branches"] if row["decision"] == "keep" and row["ours"]]
    capped = [row for row in kept if row["code"] == "cap"]
    if capped:
        shown += _wrapped(f"left for the next run: {len(capped)}, because {capped[0]['reason'].partition(';')[0]}")
    # What is only too new yet interests least.
    kept = sorted((row for row in kept if row["code"] != "cap"), key=lambda row: row["code"] == "not_due")
    shown += _section("kept", kept[:MOST], len(kept))
    if len(kept) > MOST:
        shown += _wrapped(f"  and {len(kept) - MOST} more: {where}", "  ")
    shown += _section("snapshots kept", [row for row in plan["snapshots"] if row["decision"] == "keep"])
    foreign = [row["name"] for row in plan["branches"] if not row["ours"]]
    if foreign:
        more = f" and {len(foreign) - 10} more ({where})" if len(foreign) > 10 else ""
        shown += _wrapped(f"not made by this collection, never touched: {', '.join(foreign[:10])}{more}", "  ")
    for pin in plan["pins"]:
        shown += _wrapped(f"{pin['event']} by this run: {pin['name']}", "  ")
    shown += _listed("worth knowing", plan["warnings"])
    return shown + problem_lines(plan["problems"])


def _section(title: str, rows: Sequence[Mapping[str, Any]], count: int | None = None) -> list[str]:
    if not rows:
        return [f"{title}: none"]
    shown = [f"{title}: {len(rows) if count is None else count}"]
    for row in rows:
        shown += _wrapped(f"- {row['name']}: {row['reason']}", "  ")
    return shown


def _listed(title: str, texts: Iterable[str]) -> list[str]:
    found = [line for text in texts for line in _wrapped(f"- {text}", "  ")]
    return [f"{title}:", *found] if found else []


def _wrapped(text: str, hang: str = "") -> list[str]:
    # Names are free text: an escape sequence or a line end in one must not draw lines of its own.
    plain = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.wrap(plain, WIDTH, subsequent_indent=hang, break_on_hyphens=False) or [""]
