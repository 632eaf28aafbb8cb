# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for one's turn: each request keeps to its service's limit, together with everybody here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from . import _waiter
from ._answers import retry_after
from ._errors import ApiError
from ._pace import Shared
from ._service import Service
from ._task import Task
from ._waiter import LONGEST_TURN, Deadline

# Seconds: a shorter wait for one's turn is not worth a line.
_QUIET = 3.0


class Turns:
    """The turns of one client.

    :param pace: when the service was asked, or will be; None for no limit.
    """

    def __init__(self, service: Service, pace: Shared | None, task: Task) -> None:
        self._service = service
        self._pace = pace
        self._task = task

    def wait(self, deadline: Deadline, doing: str) -> None:
        """Wait until this request may be sent; what others use up is not taken from the deadline's patience.

        :raises ApiError: where that would be after the deadline.
        """
        if self._pace is None:
            return
        # The limit is a window: after a burst nobody is let through for a minute, which is no fault of a short step.
        longest = max(deadline.patience(), LONGEST_TURN)
        try:
            seconds = self._pace.reserve(longest)
        except OSError as error:
            self._task.warn(
                f"The limit of {self._service.name} cannot be kept to together with other processes: {error}."
            )
            self._pace = None
            return
        if seconds > longest:
            raise ApiError(
                f"{doing}: other requests to {self._service.name} come first, and its limit lets this one through in "
                f"{seconds:.0f} s, which is after the deadline",
                code="rate_limited",
                retryable=True,
                hint="Run again with fewer forks, or later.",
            )
        if seconds > _QUIET:
            self._task.progress(f"{doing}: waiting {seconds:.0f} s, to stay within the limit of {self._service.name}")
        if seconds > 0:
            before = _waiter.CLOCK.monotonic()
            _waiter.CLOCK.sleep(seconds)
            deadline.excuse(_waiter.CLOCK.monotonic() - before)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Somebody else may have used up the limit: nobody here needs to ask before it is over."""
        asked = retry_after(headers)
        if self._pace is None or status != 429 or asked is None:
            return
        # Coolify's other 429, a full queue of deployments, concerns no other request.
        if headers.get("x-ratelimit-remaining") == "0":
            with contextlib.suppress(OSError):
                self._pace.fill(asked)
