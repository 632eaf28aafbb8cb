# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who reads through the application the whole time, and remembers every answer."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass

import httpx

State = tuple[str, int]
"""What tells one state of the data from another: the status text and the number of progress rows."""


@dataclass(frozen=True)
class Answer:
    """One answer of the application, `at` in seconds of the monotonic clock; `state` is None where it gave an error."""

    at: float
    state: State | None
    error: str = ""


class Reader(threading.Thread):
    """Reads every 50 ms until it is stopped. Both parts of an answer come from one statement, so a mix would show."""

    INTERVAL = 0.05

    def __init__(self, url: str) -> None:
        super().__init__(name="reader", daemon=True)
        self.answers: list[Answer] = []
        self._client = httpx.Client(base_url=url, timeout=10.0, trust_env=False)
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(self.INTERVAL):
            self.answers.append(self._ask())

    def _ask(self) -> Answer:
        try:
            answer = self._client.get("/api/status")
        except httpx.TransportError as error:
            return Answer(time.monotonic(), None, type(error).__name__)
        if answer.status_code != 200:
            return Answer(time.monotonic(), None, f"{answer.status_code} {answer.text[:80]}")
        body = answer.json()
        return Answer(time.monotonic(), (body["text"], body["database"]["quest_progress"]))

    def stop(self) -> None:
        """Ends the reading; what was read stays."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def states(self) -> list[State]:
        """The states that were answered, in order, each once per time that it came."""
        seen = [answer.state for answer in self.answers if answer.state is not None]
        return [state for state, _group in itertools.groupby(seen)]

    def longest_gap(self) -> float:
        """The longest time in seconds between two good answers."""
        good = [answer.at for answer in self.answers if answer.state is not None]
        return max((after - before for before, after in itertools.pairwise(good)), default=0.0)
