# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a search for the last instant at which a check passed: what is searched, on which branches. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._errors import InvalidInput
from .._plan.instants import text_or_none
from .._plan.parts import primary_part
from .._plan.point import Point
from .._plan.primary import Primary, find_primary, in_use, report_duplicates
from .._plan.request import Facts, Findings, Request, read_facts, read_request, slots
from .._plan.source import Source, find_source, history
from .._plan.strategies import window_edge, window_start_after
from .._postgres.checks import Check
from .._time import parse_instant, rfc3339
from .bisect import LEAST_PRECISION, Segment, Wanted, ceiling, floor, most_probes
from .hurry import RESERVED
from .text import plan_lines

PURPOSE = "probe"
# The oldest instants must still be inside the window while they are looked at: it slides (rule 4).
_MARGIN_SECONDS = 300.0
_LEAST_MARGIN = timedelta(microseconds=1)
_LONGEST_PRECISION = timedelta(days=1)
_MOST_CONFIRMATIONS = 20


@dataclass(frozen=True)
class Part:
    """A length of the history, up to but without its end, and the branch that holds it; None where none is proven."""

    start: datetime
    end: datetime
    source: Source | None
    why: str


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `find_restore_point_plan`.

    :raises InvalidInput: when `now` cannot be read. Everything else is a problem in the plan.
    """
    given = params["request"]
    request, findings = read_request(given), Findings()
    facts = read_facts(params, request.target)
    primary = find_primary(facts, request, findings)
    report_duplicates(facts, primary, request, findings)
    check = _check(params.get("checks") or (), given, findings)
    wanted = _wanted(given, request, findings)
    limits = _limits(given, request, facts, findings)
    parts = _parts(request, facts, primary, *limits) if primary and limits else []
    segments, left_out = _segments(parts, facts, wanted)
    if limits and primary:
        _report_nothing(segments, left_out, limits, findings)
        _check_hints(wanted, limits, findings)
    counted = slots(facts, {"branches": 1, "roots": 0})
    leftovers = _leftovers(params, facts)
    _check_room(counted, len(leftovers), facts, findings)
    plan = {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "check": check,
        "after": text_or_none(segments[0].start if segments else None),
        "before": text_or_none(segments[-1].end if segments else None),
        "whole_window": given.get("after") in (None, ""),
        "until_now": given.get("before") in (None, ""),
        "hints": [rfc3339(hint) for hint in wanted.hints],
        "precision": wanted.precision.total_seconds(),
        "confirmations": wanted.confirmations,
        "window_start": text_or_none(window_start_after(request, facts, 0)),
        "window_edge": text_or_none(window_edge(request, facts)),
        "window_slides": window_start_after(request, facts, 1) != window_start_after(request, facts, 0),
        "restore_seconds": {name: getattr(request, name) for name in RESERVED},
        "segments": [_public(item, parts) for item in segments],
        "left_out": left_out,
        "probes": most_probes(segments, wanted),
        "primary": primary_part(facts, primary) if primary else None,
        "leftovers": leftovers,
        "slots": counted,
        "problems": findings.problems,
        "warnings": findings.warnings,
    }
    return {**plan, "text": plan_lines(plan)}


# What is asked


def _check(checks: Sequence[Mapping[str, Any]], given: Mapping[str, Any], findings: Findings) -> dict[str, Any] | None:
    """The one check: that of this name, or the only one there is."""
    name = str(given.get("check") or "").strip()
    try:
        known = {Check.of(options).name: dict(options) for options in checks}
    except InvalidInput as error:
        findings.problem("check_invalid", f"{error.text[0].upper()}{error.text[1:]}.", error.hint)
        return None
    listed = ", ".join(f'"{item}"' for item in known) or "none"
    if not name and len(known) != 1:
        findings.problem(
            "check_missing",
            f"One check says what is broken; the target has {len(known)}: {listed}.",
            'Name one with -e check="its name", or describe one in find_restore_point_check.',
        )
        return None
    chosen = name or next(iter(known))
    if chosen not in known:
        findings.problem("check_unknown", f'The target has no check "{chosen}".', f"Name one of: {listed}.")
        return None
    check = known[chosen]
    if check.get("within_percent") is not None and not given.get("manifest"):
        findings.problem(
            "check_needs_manifest",
            f'The check "{chosen}" compares with a manifest, and none is given.',
            "Use a check with min or max, or give find_restore_point_manifest.",
        )
    return {**check, "name": chosen}


def _wanted(given: Mapping[str, Any], request: Request, findings: Findings) -> Wanted:
    said = given.get("precision")
    precision = timedelta(seconds=float(said)) if said not in (None, "") else timedelta(seconds=1)
    if not LEAST_PRECISION <= precision <= _LONGEST_PRECISION:
        findings.problem(
            "precision_invalid",
            f"{precision.total_seconds():g} seconds are no precision to search with.",
            "Name one between 0.00001 seconds and a day (86400).",
        )
        precision = timedelta(seconds=1)
    tries = given.get("confirmations")
    confirmations = Wanted.confirmations if tries in (None, "") else int(tries)
    if not 0 <= confirmations <= _MOST_CONFIRMATIONS:
        findings.problem(
            "confirmations_invalid",
            f"{confirmations} is no number of gaps to look into.",
            f"Name one from 0 to {_MOST_CONFIRMATIONS}.",
        )
        confirmations = Wanted.confirmations
    said_hints = [part for text in given.get("hints") or () for part in _halves(str(text))]
    hints = [at for text in said_hints if (at := _instant("hint", text, request, findings)) is not None]
    return Wanted(precision, tuple(sorted(set(hints))), confirmations)


def _halves(text: str) -> list[str]:
    """A hint may be a span: ``2025-01-13T14:00:00Z .. 2025-01-13T15:00:00Z``."""
    return [part.strip() for part in text.split("..") if part.strip()]


def _instant(name: str, value: Any, request: Request, findings: Findings) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        # A time ago counts from the start of the run.
        return parse_instant(value, now=request.started)
    except InvalidInput as error:
        findings.problem(f"{name}_invalid", f"{name}: {error.text}.", error.hint)
        return None


def _limits(
    given: Mapping[str, Any], request: Request, facts: Facts, findings: Findings
) -> tuple[datetime, datetime] | None:
    """From when to when is searched: as was said, else from where the window begins until now."""
    after, before = (_instant(name, given.get(name), request, findings) for name in ("after", "before"))
    if any(item["code"] in ("after_invalid", "before_invalid") for item in findings.problems):
        return None
    first = window_start_after(request, facts, _MARGIN_SECONDS)
    if first is None:
        findings.problem(
            "window_unknown", "Neon does not say where the history window begins.", "Say -e after=<instant>."
        )
        first = after
    if first is None:
        return None
    end = before or request.now
    start = after or first
    if start < first:
        begins = window_start_after(request, facts, 0)
        slides = (
            ""
            if begins is None or begins == first
            else (f" ({rfc3339(begins)}, and {_MARGIN_SECONDS / 60:g} minutes that may leave it during the search)")
        )
        findings.problem(
            "before_window",
            f"{rfc3339(start)} lies before {rfc3339(first)}, from where on the history window can be searched{slides}.",
            "Leave after= out, or name a later instant. What is older than the window can only be in a backup.",
        )
        return None
    if start >= end:
        findings.problem(
            "interval_empty",
            f"Nothing lies between {rfc3339(start)} and {rfc3339(end)}.",
            "Name an earlier instant with after=, or a later one with before=.",
        )
        return None
    return start, end


def _check_hints(wanted: Wanted, limits: tuple[datetime, datetime], findings: Findings) -> None:
    for hint in wanted.hints:
        if not limits[0] <= hint <= limits[1]:
            findings.problem(
                "hint_outside",
                f"The hint {rfc3339(hint)} does not lie between {rfc3339(limits[0])} and {rfc3339(limits[1])}.",
                "Name one that does, or leave it out.",
            )


# What is searched


def _parts(request: Request, facts: Facts, primary: Primary, start: datetime, end: datetime) -> list[Part]:
    """Which branch holds each instant (rule 3). It changes only at known instants, so one of each span is asked for."""
    edges = sorted({start, *(at for at in _edges(facts, primary) if start < at < end), end})
    found: list[Part] = []
    for left, right in itertools.pairwise(edges):
        doubts = Findings()
        source = find_source(request, facts, primary, Point("time", left + (right - left) / 2, None), doubts)
        why = source.why if source else " ".join(f"{item['message']}" for item in doubts.problems)
        same = found and (found[-1].source and found[-1].source.branch_id) == (source and source.branch_id)
        if same and source is not None:
            found[-1] = Part(found[-1].start, right, found[-1].source, found[-1].why)
        else:
            found.append(Part(left, right, source, why))
    return found


def _edges(facts: Facts, primary: Primary) -> Iterator[datetime]:
    for span in history(facts, primary):
        yield from (at for at in (span.start, span.end) if at is not None)
    for node in facts.tree.nodes.values():
        yield from (at for at in (node.created_at, node.parent_at, node.last_reset_at) if at is not None)


def _segments(parts: Sequence[Part], facts: Facts, wanted: Wanted) -> tuple[list[Segment], list[dict[str, str]]]:
    """The parts that can be looked at, and the others with the reason."""
    segments: list[Segment] = []
    left_out: list[dict[str, str]] = []
    for number, part in enumerate(parts):
        why = part.why if part.source is None else _unusable(part.source, facts)
        start = ceiling(part.start, wanted.grid)
        # An edge belongs to what comes after it. The last end is an instant that was asked for, or now.
        end = part.end if number == len(parts) - 1 else floor(part.end - _LEAST_MARGIN, wanted.grid)
        if part.source is None or why:
            left_out.append({"start": rfc3339(part.start), "end": rfc3339(part.end), "why": why})
        elif start <= end:
            segments.append(Segment(start, end, part.source.branch_id, part.source.name))
    return segments, left_out


def _unusable(source: Source, facts: Facts) -> str:
    node = facts.tree.get(source.branch_id)
    if node is not None and node.expires_at is not None:
        return (
            f"The branch {node.name} holds it and expires at {rfc3339(node.expires_at)}; Neon makes no branch from such"
            " a one. Clear its expiry in the Neon console to have it searched."
        )
    return ""


def _public(segment: Segment, parts: Sequence[Part]) -> dict[str, Any]:
    why = next((part.why for part in parts if part.start <= segment.end <= part.end and part.source), "")
    return {
        "start": rfc3339(segment.start),
        "end": rfc3339(segment.end),
        "branch_id": segment.branch_id,
        "name": segment.name,
        "why": why,
    }


# What stands in the way


def _report_nothing(
    segments: Sequence[Segment],
    left_out: Sequence[Mapping[str, str]],
    limits: tuple[datetime, datetime],
    findings: Findings,
) -> None:
    for item in left_out:
        findings.warn(f"Not searched: {item['start']} to {item['end']}. {item['why']}")
    newest = left_out[-1] if left_out and left_out[-1]["end"] == rfc3339(limits[1]) else None
    if not segments or newest is not None:
        why = newest["why"] if newest else "No branch holds any of it."
        findings.problem(
            "end_not_held", f"The newest instants cannot be searched. {why}", "Name an earlier end with before=."
        )


def _check_room(counted: Mapping[str, Any], leftovers: int, facts: Facts, findings: Findings) -> None:
    branches = counted["branches"]
    # What a killed search has left is deleted before the first probe.
    if branches["limit"] is not None and branches["free"] + leftovers < 1:
        findings.problem(
            "no_slot",
            f"The project has {branches['used']} of {branches['limit']} branches, and a probe needs one.",
            "Delete a branch that is no longer needed (cleanup.yml lists what may go), or raise the plan.",
        )
    for name in ("read", "read_sensitive"):
        if facts.abilities.get(name) == "missing":
            findings.problem(
                "ability_missing",
                f"The Coolify token lacks the ability {name.replace('_', ':')}.",
                "Make a token with read and read:sensitive.",
            )


def _leftovers(params: Mapping[str, Any], facts: Facts) -> list[dict[str, str]]:
    """The probe branches of searches that were killed. Ours, a leaf, used by nobody, and in the journal of that run."""
    runs = {str(run.get("id") or run.get("run")) for run in params.get("unfinished") or ()}
    used = in_use(facts)
    found = []
    for branch_id, branch in facts.by_id.items():
        noted = branch.get("annotations") or {}
        node = facts.tree.nodes[branch_id]
        ours = noted.get("tool") == "rewind.database" and noted.get("purpose") == PURPOSE and noted.get("run") in runs
        if ours and branch_id not in used and not (node.default or node.protected or facts.tree.children(branch_id)):
            found.append({"branch_id": branch_id, "name": node.name, "run": str(noted["run"])})
    return found
