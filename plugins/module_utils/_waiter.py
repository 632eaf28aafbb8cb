# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting: deadlines and polling over the monotonic clock. Tests replace ``CLOCK`` and so never sleep."""

from __future__ import annotations

import time
from collections.abc import Iterator


class Clock:
    """The machine's own monotonic clock, in seconds."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


CLOCK: Clock = Clock()

# Seconds that one request may wait for its turn: a whole window of either API's limit, and some.
LONGEST_TURN = 90.0


class Deadline:
    """An instant after which nobody waits any more.

    :param seconds: how long from now; None means no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._excused = 0.0
        self.started = CLOCK.monotonic()

    def elapsed(self) -> float:
        """Seconds since this deadline was set."""
        return CLOCK.monotonic() - self.started

    def left(self) -> float:
        """Seconds left, never negative; infinite without a limit."""
        if self.seconds is None:
            return float("inf")
        return max(0.0, self.seconds - self.elapsed())

    def excuse(self, seconds: float) -> None:
        """So much of it was spent waiting for one's turn with a service whose limit others used up."""
        self._excused += seconds

    def patience(self) -> float:
        """Seconds left for a request and its repetitions, which have no less for having been let through late.

        What is waited for as a whole, an operation or a deployment, goes on meanwhile: for it, `left` holds, and no
        single request overruns that by more than `LONGEST_TURN`.
        """
        if self.seconds is None:
            return float("inf")
        return max(0.0, self.left(), min(self.seconds + self._excused - self.elapsed(), LONGEST_TURN))

    @property
    def passed(self) -> bool:
        return self.left() <= 0.0

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline."""
        CLOCK.sleep(max(0.0, min(seconds, self.left())))


def clock(total: float | Deadline | None, interval: float) -> Iterator[float]:
    """Yield the seconds elapsed: at once, then every `interval` seconds, and a last time when the total has passed.

    So the condition is always looked at once more after the last sleep.
    """
    deadline = total if isinstance(total, Deadline) else Deadline(total)
    while True:
        last = deadline.passed
        yield deadline.elapsed()
        if last:
            return
        deadline.sleep(interval)


def backoff(first: float = 0.5, factor: float = 2.0, cap: float = 10.0) -> Iterator[float]:
    """Pauses in seconds that grow up to a cap: 0.5, 1, 2, 4, 8, 10, 10, ..."""
    pause = first
    while True:
        yield min(pause, cap)
        pause = min(pause * factor, cap)
