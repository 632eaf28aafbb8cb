# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking for a deployment, and proving that the one that is followed is the one that was asked for.

Coolify answers 200 also when it queued nothing: with "Deployment already queued for this commit." (sometimes beside a
uuid that it never stored), and, on restart and start, with such a uuid when the server's queue is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import ApiError, InvalidInput, Refused, Timeout, UnknownOutcome
from .._http import Reply
from .._waiter import Deadline, clock
from .client import CoolifyClient
from .deployments import Deployment, read_deployments
from .follow import Follower
from .routes import Route

_ALREADY = "already queued"
_FULL = "queue is full"
# How long a deployment that may have been queued, after its answer was lost, is looked for.
_DOUBT_SECONDS = 10.0


def answer_for(reply: Reply, application: str) -> tuple[str | None, str]:
    """The uuid and the message of an answer to deploy, restart, start or rollback; no uuid where nothing was queued.

    :raises Refused: when /deploy left the application out, or refused it inside of a 200.
    :raises UnknownOutcome: for an answer that is none of Coolify's: it says nothing about what was queued.
    """
    item: Any = reply.body
    if isinstance(item, dict) and "deployments" in item:
        items = item["deployments"]
        if not isinstance(items, list) or not all(isinstance(entry, dict) for entry in items):
            raise _not_understood(reply, application)
        item = next((entry for entry in items if entry.get("resource_uuid") == application), None)
        if item is None:
            raise Refused(
                f"deploy application {application}: Coolify's answer does not mention it, so nothing was queued",
                code="not_queued",
                hint="Check that the token's user may deploy this application.",
            )
    if not isinstance(item, dict) or not (item.get("message") or item.get("deployment_uuid")):
        raise _not_understood(reply, application)
    message = str(item.get("message") or "")
    uuid = item.get("deployment_uuid") or None
    if uuid is None and _ALREADY not in message.lower():
        raise Refused(f"deploy application {application}: {message or 'nothing was queued'}", code="not_queued")
    # The uuid beside "already queued" is a fresh one that was never stored.
    return (None if _ALREADY in message.lower() else str(uuid)), message


def _not_understood(reply: Reply, application: str) -> UnknownOutcome:
    return UnknownOutcome(
        f"deploy application {application}: the answer is none of Coolify's, so it is not known whether it was queued",
        http_status=reply.status,
        hint="Look at the application's deployments before trying again.",
    )


class Requester:
    """Sends the request of a route until a deployment of our own is stored.

    A request is sent again only after Coolify said, or a look at its list showed, that the one before queued nothing.
    """

    def __init__(self, client: CoolifyClient, follower: Follower, application: str) -> None:
        self._client = client
        self._follower = follower
        self._application = application
        self._doubts = 0

    def request(self, route: Route, listed: Sequence[Deployment] | None = None) -> Deployment:
        """Ask, and return the deployment as Coolify stored it.

        :param listed: the application's deployments, where they were just read.
        :raises Timeout: when other deployments or a full queue last beyond the deadline.
        :raises UnknownOutcome: when two answers in a row were lost and no deployment appeared.
        """
        while True:
            # Anything that runs may have read an older environment, and the same commit would be taken for a duplicate.
            before = self._follower.until_idle(listed)
            listed = None
            if before is None:
                raise too_late(self._application)
            if self._follower.deadline.passed:
                raise Timeout(
                    f"deploy application {self._application}: Coolify queued nothing in the time given",
                    hint="The queue of its server is full, or the time was too short: look at Coolify's deployments.",
                )
            known = {deployment.uuid for deployment in before}
            self._follower.phases.enter("request")
            stored = self._once(route, known)
            if stored is not None:
                return stored
            self._follower.say(f"deployment of {self._application}: nothing was queued, asking again")
            self._follower.deadline.sleep(self._follower.interval)

    def _once(self, route: Route, known: set[str]) -> Deployment | None:
        try:
            uuid, _message = answer_for(self._send(route), self._application)
        except UnknownOutcome as doubt:
            found = self._look_for(route, known)
            # 503 is what Coolify says while it upgrades itself: that is waited for to the deadline.
            self._doubts += found is None and doubt.http_status != 503
            if found is None and self._doubts > 1:
                raise
            return found
        except InvalidInput as error:
            # Rollback says "queue full" by 400; /deploy by 429, which the transport waits out.
            if _FULL in error.text.lower():
                return None
            raise
        self._doubts = 0
        return self._stored(uuid, known) if uuid is not None else None

    def _send(self, route: Route) -> Reply:
        if route.request == "rollback":
            return self._client.roll_back(self._application, str(route.commit))
        if route.request == "restart":
            return self._client.restart(self._application)
        if route.request == "start":
            return self._client.start(self._application)
        return self._client.deploy(self._application, force=route.force)

    def _stored(self, uuid: str, known: set[str]) -> Deployment | None:
        """The deployment of this uuid, if there is one that was not there before."""
        misses = 0
        for _elapsed in clock(self._follower.deadline, min(self._follower.interval, 1.0)):
            try:
                body = self._client.deployment(uuid)
            except ApiError as error:
                # It was promised, so it is not asked for again only because Coolify is away for a while.
                self._follower.tolerate(error)
                continue
            if body is not None and uuid not in known:
                return Deployment.read(body)
            misses += 1
            if misses > 1:
                break
        listed = self._follower.list()
        return next((item for item in listed if item.uuid == uuid and uuid not in known), None)

    def _look_for(self, route: Route, known: set[str]) -> Deployment | None:
        """After a lost answer: the newest deployment that came since and fits the request."""
        limit = Deadline(min(_DOUBT_SECONDS, max(self._follower.deadline.left(), self._follower.interval)))
        for _elapsed in clock(limit, min(self._follower.interval, 1.0)):
            try:
                listed = read_deployments(self._client.deployments(self._application))
            except ApiError as error:
                if not error.retryable:
                    raise
                continue
            found = next((item for item in listed if item.uuid not in known and _fits(item, route)), None)
            if found is not None:
                return found
        return None


def too_late(application: str) -> Timeout:
    """Other deployments of the application last longer than the time given."""
    return Timeout(
        f"deploy application {application}: other deployments of it did not end in time",
        hint="Look at them in Coolify: one that stays in progress for ever (its worker died) must be cancelled.",
    )


def _fits(deployment: Deployment, route: Route) -> bool:
    """Whether a deployment can be the one that was asked for: not one that a push or a person started."""
    if deployment.is_api is False:
        return False
    if route.request == "rollback":
        return deployment.rollback is not False and deployment.commit in (None, route.commit)
    return not deployment.rollback
