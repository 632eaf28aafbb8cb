# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The search for the last instant at which a check passed, against histories that are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._find.bisect import (
    NOT_HELD,
    Ask,
    Reply,
    Segment,
    Verdict,
    Wanted,
    most_probes,
    search,
)
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2025, 1, 6, 15, 0, tzinfo=UTC)
WEEK = 7 * 86_400
SECOND = timedelta(seconds=1)
Truth = Callable[[datetime], Reply]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def segment(first: float, last: float, name: str = "main") -> Segment:
    return Segment(at(first), at(last), f"br-{name}", name)


def find(segments: Sequence[Segment], truth: Truth, **wanted: Any) -> tuple[Verdict, list[Ask]]:
    """Search, answering from a known history; no instant is asked twice, and none outside of its segment."""
    running = search(segments, Wanted(**wanted))
    asked: list[Ask] = []
    try:
        question = next(running)
        while True:
            assert question.segment.holds(question.at) and question.at not in [item.at for item in asked]
            asked.append(question)
            assert len(asked) < 300
            question = running.send(truth(question.at))
    except StopIteration as ended:
        return ended.value, asked


def count(asked: list[Ask], *why: str) -> int:
    return sum(item.why in why for item in asked)


def broken_at(seconds: float) -> Truth:
    return lambda moment: moment < at(seconds)


@given(st.integers(1, WEEK))
def test_seven_days_to_the_second_are_twenty_probes(broke: int) -> None:
    """Given a history that broke once, the second before it is found by twenty probes between the ends."""
    verdict, asked = find([segment(0, WEEK)], broken_at(broke))
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(broke - 1), at(broke))
    assert verdict.precise
    assert count(asked, "halving") <= 20 and count(asked, "start", "end") == 2
    assert count(asked, "gap") <= 4 and count(asked, "neighbour") <= 1
    assert len(asked) <= 27
    assert len(asked) <= most_probes([segment(0, WEEK)], Wanted())["most"]
    assert most_probes([segment(0, WEEK)], Wanted())["halving"] == 20


def totals(off: int | None) -> tuple[float, int]:
    """All probes, on average and at most, over breaks at random in a week, with a hint that is wrong by so much."""
    rng, found = random.Random(20250113), []
    for _number in range(400):
        broke = rng.randint(1, WEEK)
        hints = () if off is None else (at(min(max(broke + rng.choice((-off, off)), 0), WEEK)),)
        verdict, asked = find([segment(0, WEEK)], broken_at(broke), hints=hints)
        assert verdict.last_good == at(broke - 1)
        found.append(len(asked))
    return sum(found) / len(found), max(found)


def test_a_hint_saves_probes_or_costs_a_few() -> None:
    """Given a thousand weeks, then all that is asked is counted: ends, halving, hints, steps and confirmations."""
    average, most = totals(None)
    assert average <= 25.6 and most <= 27
    for minutes, fewer in ((0, 7), (5, 7), (9, 7), (60, 4), (115, 4)):
        assert totals(60 * minutes)[0] <= average - fewer, f"a hint off by {minutes} min"
    for hours in (3, 6, 24, 72, 144):
        wrong = totals(3600 * hours)
        assert wrong[0] <= average + 2.5 and wrong[1] <= most + 3, f"a hint off by {hours} h"


@given(st.integers(1, WEEK), st.lists(st.integers(0, WEEK), min_size=1, max_size=3))
def test_hints_never_change_the_answer(broke: int, hints: list[int]) -> None:
    """Given any hints, right or wrong, the same second is found, and wrong ones cost what was announced at most."""
    near = tuple(map(at, hints))
    verdict, asked = find([segment(0, WEEK)], broken_at(broke), hints=near)
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(broke - 1), at(broke))
    assert len(asked) <= most_probes([segment(0, WEEK)], Wanted(hints=near))["most"]


@given(st.integers(3600, WEEK - 3600), st.integers(-300, 300))
def test_a_hint_within_five_minutes_saves_probes(broke: int, off: int) -> None:
    """Given a hint that is nearly right, thirteen probes at most find what takes twenty-two without."""
    verdict, asked = find([segment(0, WEEK)], broken_at(broke), hints=(at(broke + off),))
    assert verdict.last_good == at(broke - 1)
    assert count(asked, "hint", "halving", "start", "end") <= 13


@given(st.integers(7200, WEEK - 7200), st.integers(1, 1800), st.integers(1, 1800))
def test_two_hints_enclose_the_break(broke: int, before: int, after: int) -> None:
    """Given the half hour before and after, twelve probes halve an hour."""
    verdict, asked = find([segment(0, WEEK)], broken_at(broke), hints=(at(broke - before), at(broke + after)))
    assert verdict.last_good == at(broke - 1)
    assert count(asked, "hint", "halving", "start", "end") <= 1 + 2 + 12


def test_a_check_that_passes_at_the_end_takes_one_probe() -> None:
    """Given nothing that is broken now, nothing is searched."""
    verdict, asked = find([segment(0, WEEK)], lambda _moment: True)
    assert (verdict.kind, verdict.last_good, len(asked)) == ("passes_at_end", at(WEEK), 1)


def test_a_check_that_failed_at_the_start_too_is_looked_into_before_that_is_said() -> None:
    """Given a check that always failed: both ends and the widest gaps; no boundary is named."""
    verdict, asked = find([segment(0, WEEK)], lambda _moment: False)
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("fails_throughout", None, at(0))
    assert [item.why for item in asked] == ["end", "start", "gap", "gap", "gap"]
    assert verdict.unseen <= timedelta(seconds=WEEK / 4)


def passing_within(good: Iterable[tuple[float, float]]) -> Truth:
    """:param good: from when to when it passes, as parts of the week."""
    spans = [(at(start * WEEK), at(end * WEEK)) for start, end in good]
    return lambda moment: any(start <= moment < end for start, end in spans)


def test_a_break_that_was_mended_is_rarely_taken_for_the_last_one() -> None:
    """Given weeks with two breaks, the first of them mended for a fifth of the week, then the first is named in one of
    twenty at most; that the check does not break once is said in most."""
    rng, named, said, weeks = random.Random(20250113), 0, 0, 300
    for _number in range(weeks):
        first = rng.uniform(0.02, 0.6)
        mended = rng.uniform(first + 0.01, 0.77)
        good = ((0.0, first), (mended, mended + 0.2))
        verdict, _asked = find([segment(0, WEEK)], passing_within(good))
        said += verdict.kind == "flapping"
        named += verdict.first_bad is not None and verdict.kind == "found" and verdict.first_bad < at(mended * WEEK)
    assert named <= weeks / 20 and said >= weeks / 2


@pytest.mark.parametrize("broke", [1, WEEK])
def test_the_edges_of_the_window_are_found(broke: int) -> None:
    """Given a break in the first second or in the last, that is the answer."""
    verdict, _asked = find([segment(0, WEEK)], broken_at(broke))
    assert (verdict.kind, verdict.last_good) == ("found", at(broke - 1))


def test_an_end_that_is_no_whole_second_is_kept_as_it_is() -> None:
    """Given "now" with a fraction and a break within that last second, the second before is the last good."""
    verdict, _asked = find([segment(0, 600.7)], broken_at(600.2))
    assert (verdict.last_good, verdict.first_bad) == (at(600), at(600.7))


def test_a_finer_precision_than_a_second() -> None:
    """Given a minute and a tenth of a millisecond, it is as many probes as for a week to the second."""
    precision = timedelta(microseconds=100)
    verdict, asked = find([segment(0, 60)], broken_at(12.34567), precision=precision)
    assert verdict.last_good == at(12.3456) and verdict.first_bad == at(12.3457)
    assert count(asked, "halving") in (19, 20)


@given(
    st.sets(st.integers(1, 2000), min_size=2, max_size=9).map(sorted),
    st.booleans(),
    st.lists(st.integers(0, 2000), max_size=2),
)
def test_what_is_found_is_true_whatever_the_history(changes: list[int], first: bool, hints: list[int]) -> None:
    """Given a check that flaps, either that is said, or the boundary that is named is one."""

    def truth(moment: datetime) -> bool:
        return first ^ (sum(at(change) <= moment for change in changes) % 2 == 1)

    verdict, asked = find([segment(0, 2000)], truth, hints=tuple(map(at, hints)))
    if verdict.kind == "found":
        assert verdict.last_good and verdict.first_bad
        assert truth(verdict.last_good) and not truth(verdict.first_bad)
        assert verdict.first_bad - verdict.last_good <= SECOND
        known = sorted((item.at, truth(item.at)) for item in asked)
        assert [passed for _at, passed in known] == sorted((passed for _at, passed in known), reverse=True)
    elif verdict.kind == "fails_throughout":
        assert not any(truth(item.at) for item in asked)
    else:
        assert verdict.kind in ("flapping", "passes_at_end")


@given(st.integers(2, 12))
def test_a_check_that_changes_all_the_time_is_reported_as_flapping(period: int) -> None:
    """Given a check that passes in one tenth of an hour and fails in the next, no instant is named."""

    def truth(moment: datetime) -> bool:
        return moment != at(WEEK) and int((moment - START).total_seconds()) // (360 * period) % 2 == 0

    verdict, asked = find([segment(0, WEEK)], truth)
    seen = [truth(item.at) for item in sorted(asked, key=lambda item: item.at)]
    monotonic = seen == sorted(seen, reverse=True)
    assert (verdict.kind == "flapping") is not monotonic
    if verdict.kind == "flapping" and verdict.last_good:
        assert truth(verdict.last_good), "the newest change that was seen is told"


def test_a_disturbance_before_the_boundary_is_seen_in_the_widest_gap() -> None:
    """Given one bad day in the middle of a good week, and a break on the last day: that is no monotonic history."""
    verdict, asked = find([segment(0, WEEK)], lambda m: not at(80_000) < m < at(240_000) and m < at(WEEK - 40_000))
    assert verdict.kind == "flapping"
    assert asked[-1].why == "gap"


def test_right_beside_the_boundary_is_looked_only_where_halving_has_not() -> None:
    """Given a break that halving reaches from one side, then the other side is tried, once and right beside it."""
    for broke in (1 << 10, (1 << 10) + 1):
        verdict, asked = find([segment(0, 1 << 11)], broken_at(broke))
        (beside,) = [item.at for item in asked if item.why == "neighbour"]
        assert beside in (at(broke - 2), at(broke + 1)) and verdict.kind == "found"
    _verdict, asked = find([segment(0, 1 << 11)], broken_at(0b1010101011))
    assert count(asked, "neighbour") == 0


# A restore in the middle


def test_a_break_after_a_restore_is_searched_on_the_branch_of_the_restore_only() -> None:
    """Given what broke before a restore and again after it, the last break is found, on the newer branch."""
    old, new = segment(0, 4000, "main"), segment(4001, 9000, "restore")
    verdict, asked = find([old, new], lambda m: m < at(3000) or at(4001) <= m < at(7000))
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(6999), at(7000))
    assert {item.segment.name for item in asked} == {"restore"}


def test_a_restore_that_did_not_mend_it_is_passed_over() -> None:
    """Given a check that fails on the restored branch from its start, the branch before it is searched."""
    old, new = segment(0, 4000, "main"), segment(4001, 9000, "restore")
    verdict, asked = find([old, new], broken_at(3000))
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(2999), at(3000))
    assert len(asked) <= most_probes([old, new], Wanted())["most"]


def test_a_restore_that_broke_it_is_the_boundary_itself() -> None:
    """Given a check that passed until the cutover and fails since, there is nothing to halve."""
    old, new = segment(0, 4000, "main"), segment(4001, 9000, "restore")
    verdict, asked = find([old, new], lambda m: m <= at(4000))
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(4000), at(4001))
    assert verdict.precise and count(asked, "halving") == 0


def test_a_span_that_no_branch_holds_lies_between() -> None:
    """Given a gap in which nothing proves the primary, the answer says that it is not to the second."""
    old, new = segment(0, 4000, "main"), segment(5000, 9000, "moved")
    verdict, _asked = find([old, new], lambda m: m <= at(4500))
    assert (verdict.last_good, verdict.first_bad, verdict.precise) == (at(4000), at(5000), False)


@given(
    st.lists(st.integers(50, 3000), min_size=1, max_size=4),
    st.integers(0, 12_000),
    st.lists(st.integers(0, 12_000), max_size=2),
)
def test_one_break_is_found_however_often_the_branch_changed(lengths: list[int], broke: int, hints: list[int]) -> None:
    """Given several cutovers and one break, the second is found, or it is said that all fails or passes."""
    segments, first = [], 0
    for number, length in enumerate(lengths):
        segments.append(segment(first, first + length, f"b{number}"))
        first += length + 1
    end = first - 1
    verdict, asked = find(segments, broken_at(broke), hints=tuple(map(at, hints)))
    if broke > end:
        assert verdict.kind == "passes_at_end"
    elif broke == 0:
        assert verdict.kind == "fails_throughout"
    else:
        assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(broke - 1), at(broke))
    assert len(asked) <= most_probes(segments, Wanted(hints=tuple(map(at, hints))))["most"]


# A check that cannot be run


def test_a_check_that_cannot_be_run_now_is_no_answer() -> None:
    """Given a role that may not read the table, nothing is searched."""
    verdict, asked = find([segment(0, 100)], lambda _m: None)
    assert (verdict.kind, len(asked)) == ("unknown", 1)


def test_a_database_that_did_not_exist_at_first_is_no_failed_check() -> None:
    """Given a young database, what was before it is left out, and the break after it is found."""
    verdict, _asked = find([segment(0, 5000)], lambda m: None if m < at(700) else m < at(4000))
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(3999), at(4000))


def test_where_it_could_never_be_run_before_it_failed_no_boundary_is_named() -> None:
    """Given a check that fails from the first instant at which it can be run, that is said."""
    verdict, _asked = find([segment(0, 5000)], lambda m: None if m < at(700) else False)
    assert (verdict.kind, verdict.last_good) == ("unknown", None)
    assert verdict.first_bad == at(700)


def test_a_hole_between_passing_and_failing_is_not_guessed_over() -> None:
    """Given instants in the middle at which it cannot be run, the search ends there."""
    verdict, _asked = find([segment(0, 5000)], lambda m: None if at(2000) < m < at(3000) else m < at(2500))
    assert verdict.kind == "unknown"
    assert verdict.last_good and verdict.last_good <= at(2000)


def test_what_neon_does_not_hold_is_the_edge_of_the_history() -> None:
    """Given instants from before the branch's first one, what fails from there on fails throughout."""
    verdict, asked = find([segment(0, 5000)], lambda m: NOT_HELD if m < at(3) else False)
    assert (verdict.kind, verdict.first_bad) == ("fails_throughout", at(3))
    assert count(asked, "gap") == 3
    verdict, _asked = find([segment(0, 5000)], lambda m: NOT_HELD if m < at(3) else m < at(4))
    assert (verdict.kind, verdict.last_good, verdict.first_bad) == ("found", at(3), at(4))


def test_a_start_that_neon_does_not_hold_is_not_said_to_have_failed() -> None:
    """Given a restore that did not mend it, the first instant of its branch not held, then one that failed is named."""
    parts = [segment(0, 1000), segment(1000.5, 2000, "restore")]
    answers: dict[datetime, Reply] = {at(1000.5): NOT_HELD, at(1000): None}
    verdict, asked = find(parts, lambda moment: answers.get(moment, False))
    assert verdict.kind == "unknown"
    failed = [item.at for item in asked if answers.get(item.at, False) is False and item.at > at(1000)]
    assert verdict.first_bad == min(failed)
    answers[at(1000)] = True
    verdict, asked = find(parts, lambda moment: answers.get(moment, moment < at(1000)))
    assert (verdict.kind, verdict.last_good) == ("found", at(1000))
    assert verdict.first_bad in [item.at for item in asked] and verdict.first_bad != at(1000.5)
