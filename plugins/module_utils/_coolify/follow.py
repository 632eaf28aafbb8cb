# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Following deployments: how long each phase took, what the log says, and when one has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _waiter
from .._errors import ApiError, InvalidInput, NotFound, RewindError
from .._task import Task
from .._waiter import Deadline, clock
from .client import MOST_DEPLOYMENTS, CoolifyClient
from .deployments import Deployment, LogScrubber, read_deployments, running
from .rows import read_rows, texts_of

# A deployment that was there may be missing once, right after a Coolify upgrade for example.
_MISSES = 3
VANISHED = "deployment_vanished"


class Phases:
    """Names the parts of a wait and how many seconds each took."""

    def __init__(self) -> None:
        self._done: list[tuple[str, float]] = []
        self._name: str | None = None
        self._since = _waiter.CLOCK.monotonic()

    def enter(self, name: str | None) -> None:
        """Begin a phase (None: only end the present one). Entering the present one again changes nothing."""
        if name == self._name:
            return
        now = _waiter.CLOCK.monotonic()
        if self._name is not None:
            self._done.append((self._name, now - self._since))
        self._name, self._since = name, now

    def public(self) -> list[dict[str, Any]]:
        shown = list(self._done)
        if self._name is not None:
            shown.append((self._name, _waiter.CLOCK.monotonic() - self._since))
        return [{"name": name, "seconds": round(seconds, 3)} for name, seconds in shown]


class Follower:
    """Watches deployments of one application until they end.

    :param interval: seconds between two looks.
    """

    def __init__(
        self, client: CoolifyClient, task: Task, application: str, deadline: Deadline, interval: float
    ) -> None:
        self.client = client
        self.application = application
        self.deadline = deadline
        self.interval = interval
        self.phases = Phases()
        self._task = task
        self._scrubber: LogScrubber | None = None
        self._values_read = False
        self._started = _waiter.CLOCK.monotonic()

    def scrubber(self, deployment: Deployment) -> LogScrubber | None:
        """What cleans this deployment's log; None where there is no log, or the values to take out cannot be read."""
        if not deployment.lines:
            return None
        if not self._values_read:
            self._values_read = True
            with contextlib.suppress(RewindError):
                rows = read_rows(self.client.environment(self.application))
                self._scrubber = LogScrubber(texts_of(rows))
        return self._scrubber

    def say(self, text: str) -> None:
        self._task.progress(f"{text} ({_waiter.CLOCK.monotonic() - self._started:.0f} s)")

    def list(self) -> Sequence[Deployment]:
        return read_deployments(self.client.deployments(self.application))

    def until_end(self, uuid: str, *, phase: str | None = None) -> Deployment | None:
        """Follow one deployment; None when the deadline passes first.

        While Coolify is away (it upgrades itself) and answers nothing usable, the wait goes on.

        :param phase: the name of the phase; by default the deployment's status is.
        :raises ApiError: when the deployment no longer exists.
        """
        misses = 0
        for _elapsed in clock(self.deadline, self.interval):
            try:
                body = self.client.deployment(uuid)
            except ApiError as error:
                self.tolerate(error)
                continue
            if body is None:
                misses += 1
                if misses >= _MISSES:
                    raise NotFound(
                        f"follow deployment {uuid}: it does not exist any more",
                        code=VANISHED,
                        http_status=404,
                        hint="Coolify forgot it while it ran, so nobody knows how it ended: look at the application.",
                    )
                continue
            misses = 0
            deployment = Deployment.read(body)
            if not deployment.is_running:
                self.phases.enter(None)
                return deployment
            self.phases.enter(phase or deployment.status)
            self._report(deployment)
        return None

    def until_idle(self, listed: Sequence[Deployment] | None = None) -> Sequence[Deployment] | None:
        """Wait until no deployment of the application runs; None when the deadline passes first.

        :param listed: the application's deployments, where they were just read.
        :returns: the application's deployments as they are then, newest first.
        """
        while True:
            found = self.list() if listed is None else listed
            busy = running(found)
            if not busy:
                return found
            # The oldest first: the others wait for it in Coolify's queue.
            try:
                if self.until_end(busy[-1].uuid, phase="other_deployment") is None:
                    return None
            except NotFound:
                # Somebody else's: what matters is whether it still runs, and the list says that.
                self.say(f"deployment {busy[-1].uuid}: it is gone")
            listed = None

    def tolerate(self, error: ApiError) -> None:
        """Go on waiting after an error that may pass; raise any other."""
        if not error.retryable:
            raise error
        self.say(f"deployment of {self.application}: Coolify does not answer, waiting on")

    def _report(self, deployment: Deployment) -> None:
        scrubber = self.scrubber(deployment)
        last = scrubber.tail(deployment.lines, 1) if scrubber is not None else []
        text = f"deployment {deployment.uuid}: {deployment.status}"
        self.say(f"{text}: {last[0]}" if last else text)


def check_belongs(client: CoolifyClient, application: str, body: Mapping[str, Any]) -> None:
    """Refuse a deployment of another application, whose end would prove nothing about this one.

    Newer versions of Coolify show the application in the deployment; elsewhere the application's own list says it.

    :raises InvalidInput: naming both.
    """
    uuid = str(body.get("deployment_uuid") or "")
    shown = body.get("application")
    owner = shown.get("uuid") if isinstance(shown, Mapping) else None
    if owner is None:
        listed = client.deployments(application, limit=MOST_DEPLOYMENTS)
        owner = application if any(item.get("deployment_uuid") == uuid for item in listed) else "another application"
    if owner != application:
        raise InvalidInput(
            f"use deployment {uuid} for application {application}: it is one of {owner}",
            code="other_application",
            hint="Check deployment_uuid and application.",
        )
