# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a search says to people, in lines of a terminal's width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._plan.text import wrapped
from .._time import duration, echo, parse_instant

Json = Mapping[str, Any]
ANSWERS = {True: "passes", False: "fails", None: "could not be run"}


def plan_lines(plan: Json) -> list[str]:
    """What a search would look at."""
    segments, probes = plan["segments"], plan["probes"]
    lines = wrapped(f"check: {(plan['check'] or {}).get('name', '(none)')}", "  ")
    if segments:
        span = (_at(plan["before"]) - _at(plan["after"])).total_seconds()
        lines += wrapped(f"searched: {plan['after']} to {plan['before']} ({duration(span)})", "  ")
        lines += wrapped(
            f"probes: {probes['halving']} at most between the ends to come to {plan['precision']:g} s,"
            f" {probes['most']} at most in all",
            "  ",
        )
    for item in segments:
        lines += wrapped(f"from {item['start']}: branch {item['name']} ({item['branch_id']}); {item['why']}", "  ")
    lines += [line for hint in plan["hints"] for line in wrapped(f"hint: {hint}", "  ")]
    lines += [line for text in plan["warnings"] for line in wrapped(f"WARNING: {text}", "  ")]
    return lines


def probe_line(number: int, probe: Json) -> str:
    """One probe, while the search goes on."""
    return f"probe {number}: {probe['at']} {ANSWERS[probe['passed']]} ({probe['message']})"


def verdict_lines(found: Json, plan: Json) -> list[str]:
    """What was found, what to do, and how sure it is."""
    lines = [line for text in _sentences(found, plan) for line in wrapped(text, "  ")]
    lines += ["", *_table(found["probes"])]
    return lines


def _sentences(found: Json, plan: Json) -> Iterable[str]:
    yield _first(found, plan)
    if found["first_bad"]:
        failed = [item["message"] for item in found["probes"] if item["at"] == found["first_bad"]["utc"]]
        yield f"What failed then: {failed[0]}."
    if found["kind"] == "found":
        if not found["precise"]:
            yield (
                "Between these two lies a span that could not be searched, so that it is not known more closely when"
                " it broke."
            )
        elif found["cutover_between"]:
            yield "The application was moved to another branch between these two: that is what broke it."
        yield f"No probe contradicts that. What broke and was mended within {found['unseen']} would not have been seen."
    yield from found["notes"]
    if found["kind"] == "flapping" and found["last_good"]:
        yield (
            f"The newest change that was seen lies between {found['last_good']['utc']} and {found['first_bad']['utc']}."
            " If that is the one that you mean, search between them with -e after=... and -e before=...; or use a"
            " check that does not mend itself."
        )
    yield f"{found['count']} probes in {duration(found['seconds'])}."


def _first(found: Json, plan: Json) -> str:
    name = (plan["check"] or {}).get("name")
    kind = found["kind"]
    if kind == "found":
        good, bad = found["last_good"], found["first_bad"]
        return (
            f'"{name}" passed for the last time at {good["utc"]} ({good["local"]}, {good["ago"]}),'
            f" and failed at {bad['utc']}."
        )
    if kind == "passes_at_end":
        when = "now" if plan["until_now"] else f"at {plan['before']}"
        return f'"{name}" passes {when}: nothing is broken that it could tell. There is nothing to search.'
    if kind == "fails_throughout":
        older = _older(plan) if plan["whole_window"] else "search from earlier on with -e after=..."
        return (
            f'"{name}" failed at every instant that was looked at. The oldest is {found["oldest"]}. If it ever passed,'
            f" that was before: {older}."
        )
    if kind == "flapping":
        return f'"{name}" does not break once: it passes, fails and passes again. No restore point is named.'
    reason = found["reason"] or "it could not be run"
    known = []
    if found["last_good"]:
        known.append(f" It passed at {found['last_good']['utc']}.")
    if found["first_bad"]:
        known.append(f" It failed at {found['first_bad']['utc']}.")
    return f'"{name}" could not be run at {found["unknown_at"]}: {reason}.{"".join(known)} No restore point is named.'


def _older(plan: Json) -> str:
    """What there may be before the whole window: its oldest minutes leave it while it is searched."""
    begins = plan.get("window_start")
    if not (begins and plan["window_slides"]):
        return "only a backup may be older"
    return (
        f"what is older than the window, which begins at {begins}, can only be in a backup, and what lies between "
        "is left out of a search, because it leaves the window meanwhile"
    )


def _table(probes: Sequence[Json]) -> list[str]:
    """All probes in the order of time."""
    lines = []
    for probe in sorted(probes, key=lambda item: _at(item["at"])):
        lines += wrapped(f"{probe['at']:<28} {ANSWERS[probe['passed']]:<16} {probe['branch']}", " " * 29)
    return lines


def echoed(at: Any, now: Any) -> dict[str, str] | None:
    """An instant in UTC, in this machine's time, and how long ago."""
    return echo(at, now) if at is not None else None


def _at(text: str) -> Any:
    return parse_instant(text, future=True)
