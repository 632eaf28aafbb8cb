# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long to wait between two writes to a project that refuses the second while the first still runs.

Neon runs one operation of a project at a time and answers 423 meanwhile. Asking for the operation's status costs a
request for each write, and so does every refusal: the time that a write takes is learned from the refusals instead.
"""

from __future__ import annotations

from .. import _waiter

# What takes longer is somebody else's operation, and says nothing about ours.
_LONGEST = 5.0
_SHORTEST = 0.05
# After a refusal the next try comes a quarter later; without one, each write comes a little earlier than the last.
_LATER = 0.25
_EARLIER = 0.99


class Pace:
    """Seconds from one accepted write to the next that is likely to be accepted."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._accepted: float | None = None
        self._not_before = 0.0
        self._refusals = 0

    def wait(self, deadline: _waiter.Deadline) -> None:
        """Sleep until the next write is likely to be accepted."""
        left = self._not_before - _waiter.CLOCK.monotonic()
        if left > 0:
            deadline.sleep(left)

    def accepted(self) -> None:
        """Note that a write was accepted."""
        now = _waiter.CLOCK.monotonic()
        if self._refusals and self._accepted is not None and now - self._accepted < _LONGEST:
            self.seconds = now - self._accepted
        elif not self._refusals:
            self.seconds *= _EARLIER
        self._accepted, self._refusals = now, 0
        self._not_before = now + self.seconds

    def refused(self) -> None:
        """Note that a write was refused because another one still runs."""
        now = _waiter.CLOCK.monotonic()
        self._refusals += 1
        since = now - self._accepted if self._accepted is not None else self._refusals * 0.25
        self._not_before = now + min(max(since * _LATER, _SHORTEST), _LONGEST)
