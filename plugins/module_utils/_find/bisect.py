# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instant to look at next, and what the answers mean. Pure: a generator that is told each answer.

The history is a row of segments, each held by one branch: a cutover in the middle begins a new one. Within a segment
the check is taken to pass up to one instant and to fail from then on; that is tried, not believed: beside the
boundary, and in the widest gaps on both sides. What contradicts it is reported and nothing is guessed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# How far from a hint is looked before the rest is halved. A step that does not reach the boundary is a probe lost, for
# halving would have taken as many without it: with more steps a wrong hint costs far more than none.
_STEPS = (timedelta(minutes=10), timedelta(hours=2))
# As close to the boundary as this, in steps of the precision, halving has looked on a side, or it is looked there once.
_NEAR = 8
LEAST_PRECISION = timedelta(microseconds=10)


@dataclass(frozen=True)
class Segment:
    """A length of time, both ends within it, whose data one branch holds."""

    start: datetime
    end: datetime
    branch_id: str
    name: str

    def holds(self, at: datetime) -> bool:
        return self.start <= at <= self.end


@dataclass(frozen=True)
class Ask:
    """The question whether the check passes at an instant.

    :param why: end, start, hint, halving, before_cutover, neighbour or gap.
    """

    at: datetime
    segment: Segment
    why: str


@dataclass(frozen=True)
class Verdict:
    """What the answers say.

    :param kind: found, passes_at_end, fails_throughout, flapping, or unknown where the check could not be run.
    :param last_good: the last instant at which it is known to have passed.
    :param first_bad: the first after that at which it is known to have failed.
    :param precise: whether the two are not further apart than was asked for; a span that no branch holds, or a
        cutover, may lie between them.
    :param unseen: the widest gap between two probes: what changed and changed back within it was not seen.
    """

    kind: str
    last_good: datetime | None = None
    first_bad: datetime | None = None
    precise: bool = True
    unseen: timedelta = timedelta(0)


# What is sent back: whether it passed; None where the check could not be run at that instant, and NOT_HELD where there
# is no such instant: before the branch's first one, or before the window.
NOT_HELD: Literal["not_held"] = "not_held"
Reply: TypeAlias = "bool | Literal['not_held'] | None"
Search: TypeAlias = "Generator[Ask, Reply, Verdict]"


@dataclass(frozen=True)
class Wanted:
    """How to search.

    :param precision: how close last good and first bad must be.
    :param hints: instants near which it is thought to have broken; two enclose it.
    :param confirmations: how many of the widest gaps are looked into before the boundary, and one more than twice as
        many after it: a break that was mended before is no harm, one that was mended after it makes it the wrong one.
    """

    precision: timedelta = _SECOND
    hints: tuple[datetime, ...] = ()
    confirmations: int = 1

    @property
    def grid(self) -> timedelta:
        """Instants are chosen on whole seconds, or on whole steps where these are finer."""
        return min(self.precision, _SECOND)


def floor(at: datetime, grid: timedelta) -> datetime:
    """The last instant on the grid that is not after this one."""
    return at - (at - _EPOCH) % grid


def ceiling(at: datetime, grid: timedelta) -> datetime:
    """The first instant on the grid that is not before this one."""
    return at + (_EPOCH - at) % grid


def most_probes(segments: Sequence[Segment], wanted: Wanted) -> dict[str, int]:
    """How many probes it takes at most: to find the boundary between the ends, and all in all.

    Hints that are wrong cost more than that: each hint, and the steps away from one.
    """
    longest = max((item.end - item.start for item in segments), default=timedelta(0))
    cells = math.ceil(longest / wanted.precision)
    halving = max(0, (cells - 1).bit_length())
    steps = len(_STEPS) if wanted.hints else 0
    ends = 2 * len(segments)
    # Each segment that fails at its start is looked into before the one before it is.
    confirming = 2 + wanted.confirmations + _looks(wanted) * len(segments)
    return {"halving": halving, "most": ends + len(wanted.hints) + steps + halving + confirming}


def _looks(wanted: Wanted) -> int:
    """Into how many gaps between failures: those of a segment that fails at both ends are seen as closely as others."""
    return 2 * wanted.confirmations + 1 if wanted.confirmations else 0


def search(segments: Sequence[Segment], wanted: Wanted) -> Search:
    """Find the boundary. `segments` are in the order of time and not empty.

    The newest segment whose start passes holds the last instant at which the check passed.
    """
    return (yield from _Searching(segments, wanted).run())


class _Searching:
    def __init__(self, segments: Sequence[Segment], wanted: Wanted) -> None:
        self.segments = list(segments)
        self.wanted = wanted
        self.answers: dict[datetime, Reply] = {}

    def run(self) -> Search:
        newest = self.segments[-1]
        at_end = yield from self._ask(newest.end, newest, "end")
        if not isinstance(at_end, bool):
            return Verdict("unknown")
        if at_end:
            return Verdict("passes_at_end", last_good=newest.end)
        for number in range(len(self.segments) - 1, -1, -1):
            verdict = yield from self._within(self.segments[number])
            if verdict is not None:
                return verdict
            if number:
                verdict = yield from self._before(self.segments[number - 1], self.segments[number])
                if verdict is not None:
                    return verdict
        oldest = min(at for at, answer in self.answers.items() if answer is False)
        return Verdict("fails_throughout", first_bad=oldest, unseen=self._unseen())

    def _ask(self, at: datetime, segment: Segment, why: str) -> Generator[Ask, Reply, Reply]:
        if at not in self.answers:
            self.answers[at] = yield Ask(at, segment, why)
        return self.answers[at]

    def _within(self, segment: Segment) -> Generator[Ask, Reply, Verdict | None]:
        """The boundary in a segment that fails at its end; None where all of it fails."""
        low, high = segment.start, segment.end
        known = asked = False
        while high - low > self.wanted.precision or not asked:
            at, why = self._next(low, high, segment, asked, known)
            answer = yield from self._ask(at, segment, why)
            asked = asked or at == segment.start or answer is True
            if answer is False and at == segment.start:
                return (yield from self._look_into(segment))
            if known and not isinstance(answer, bool):
                return Verdict("unknown", last_good=low, first_bad=high)
            if answer is False:
                high = at
            else:
                low, known = at, answer is True
        if self.answers[low] == NOT_HELD:
            return (yield from self._look_into(segment))
        if not known:
            return Verdict("unknown", first_bad=high)
        return (yield from self._confirm(low, high, segment, segment))

    def _next(self, low: datetime, high: datetime, segment: Segment, asked: bool, known: bool) -> tuple[datetime, str]:
        """Hints first, then away from a hint in a few steps, then the middle."""
        inside = [hint for hint in map(self._aligned, self.wanted.hints) if low < hint < high]
        if inside:
            return inside[len(inside) // 2], "hint"
        middle = self._aligned(low + (high - low) / 2)
        if middle <= low:
            middle += self.wanted.grid
        stepped = self._stepped(low, high, middle, known)
        if stepped is not None and low < stepped < high:
            return stepped, "hint"
        return (middle, "halving") if asked else (segment.start, "start")

    def _stepped(self, low: datetime, high: datetime, middle: datetime, known: bool) -> datetime | None:
        hints = [self._aligned(hint) for hint in self.wanted.hints]
        below = max((hint for hint in hints if hint <= low), default=None) if known else None
        above = min((hint for hint in hints if hint >= high and hint in self.answers), default=None)
        if below is not None and above is None:
            step = self._step(low - below)
            return self._aligned(below + step) if step and below + step < middle else None
        if above is not None and below is None:
            step = self._step(above - high)
            return self._aligned(above - step) if step and above - step > middle else None
        return None

    def _step(self, gone: timedelta) -> timedelta | None:
        """The next distance from a hint, when it is known as far as `gone`; None where halving is shorter."""
        return next((step for step in _STEPS if step > max(gone, self.wanted.precision)), None)

    def _aligned(self, at: datetime) -> datetime:
        return floor(at, self.wanted.grid)

    def _before(self, segment: Segment, later: Segment) -> Generator[Ask, Reply, Verdict | None]:
        """Whether the check passed until the cutover that ended this segment; None where it failed by then."""
        # The start of the later one may be an instant that does not exist on its branch.
        first_bad = min(at for at, answer in self.answers.items() if answer is False and later.holds(at))
        answer = yield from self._ask(segment.end, segment, "before_cutover")
        if not isinstance(answer, bool):
            return Verdict("unknown", first_bad=first_bad)
        if answer:
            return (yield from self._confirm(segment.end, first_bad, segment, later))
        return None

    def _look_into(self, segment: Segment) -> Generator[Ask, Reply, Verdict | None]:
        """A segment that fails at both ends: whether it passed in between."""
        for _number in range(_looks(self.wanted)):
            failed = [at for at, answer in self.answers.items() if answer is False and segment.holds(at)]
            gap = self._widest([segment], min(failed), segment.end)
            if gap is None:
                break
            if (yield from self._ask(gap, segment, "gap")) is True:
                return self._flapping()
        return None

    def _confirm(self, low: datetime, high: datetime, below: Segment, above: Segment) -> Search:
        """Whether it really passes before the boundary and fails after it."""
        for at, segment, expected in (
            (self._aligned(low - self.wanted.precision), below, True),
            (high + self.wanted.precision, above, False),
        ):
            if not segment.holds(at) or self._near(low if expected else high, expected):
                continue
            if (yield from self._ask(at, segment, "neighbour")) is (not expected):
                return self._flapping()
        known = self.answers.items()
        bottom = max((at for at, answer in known if not isinstance(answer, bool) and at < low), default=below.start)
        later = self.segments[self.segments.index(above) :]
        for parts, first, last, expected, most in (
            (later, high, self.segments[-1].end, False, _looks(self.wanted)),
            ([below], bottom, low, True, self.wanted.confirmations),
        ):
            for _number in range(most):
                gap = self._widest(parts, first, last)
                if gap is None:
                    break
                segment = next(item for item in parts if item.holds(gap))
                if (yield from self._ask(gap, segment, "gap")) is (not expected):
                    return self._flapping()
        return Verdict("found", low, high, precise=high - low <= self.wanted.precision, unseen=self._unseen(bottom))

    def _near(self, edge: datetime, passed: bool) -> bool:
        """Whether it was asked already shortly before the last good instant, or shortly after the first bad one."""
        far = _NEAR * self.wanted.precision
        return any(
            answer is passed and timedelta(0) < (edge - at if passed else at - edge) <= far
            for at, answer in self.answers.items()
        )

    def _widest(self, parts: Sequence[Segment], first: datetime, last: datetime) -> datetime | None:
        """The middle of the widest gap between two known instants of these segments; None where there is none."""
        widest, middle = 2 * self.wanted.precision, None
        for part in parts:
            inside = {at for at in self.answers if part.holds(at) and first <= at <= last}
            known = sorted(inside | {max(part.start, first), min(part.end, last)})
            for left, right in itertools.pairwise(known):
                at = self._aligned(left + (right - left) / 2)
                if right - left > widest and left < at < right:
                    widest, middle = right - left, at
        return middle

    def _unseen(self, first: datetime | None = None) -> timedelta:
        """The widest gap between two answers since `first`."""
        known = sorted(
            at for at, answer in self.answers.items() if isinstance(answer, bool) and (not first or at >= first)
        )
        return max((right - left for left, right in itertools.pairwise(known)), default=timedelta(0))

    def _flapping(self) -> Verdict:
        """Not monotonic. The newest change from passing to failing that was seen is told, not taken for the answer."""
        known = sorted((at, answer) for at, answer in self.answers.items() if isinstance(answer, bool))
        pairs = list(itertools.pairwise(known))
        newest = next(((one[0], two[0]) for one, two in reversed(pairs) if one[1] and not two[1]), None)
        low, high = newest or (None, None)
        return Verdict("flapping", low, high, precise=False, unseen=self._unseen())
