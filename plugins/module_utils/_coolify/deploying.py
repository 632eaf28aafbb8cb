# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploying an application, and saying that it worked only when that is proven."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .. import _waiter
from .._errors import ApiError, InvalidInput, NotFound, OperationFailed, Refused, RewindError, Timeout
from .._predicted import predicted
from .._task import Task
from .._time import parse_instant
from .._waiter import Deadline, clock
from .asking import Requester, too_late
from .client import CoolifyClient
from .deployments import HEAD, Deployment, last_finished, read_deployments, running, same_commit
from .follow import Follower, check_belongs
from .health import HealthRule, Reading, Soak
from .pin import Pinned
from .probe import Probe
from .routes import CONFIGURED_COMMIT, RUNNING_COMMIT, Request, Route, Source, choose

# After a cancel Coolify kills the builder first; this is how long its end is waited for beyond the deadline.
_CANCEL_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Order:
    """What a user asked for; see the documentation of coolify_deployment. Times in seconds."""

    application: str
    action: str = "deploy"
    commit: str = RUNNING_COMMIT
    force: bool = False
    after: datetime | None = None
    deployment_uuid: str | None = None
    wait: bool = True
    require_health: bool = True
    soak: float = 10.0
    healthy_readings: int = 3
    unhealthy_grace: float = 90.0
    cancel_on_timeout: bool = True
    poll_interval: float = 3.0

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Order:
        known = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in params.items() if name in known and value is not None}
        if params.get("after"):
            # The service's clock may be ahead of this machine's.
            given["after"] = parse_instant(params["after"], future=True)
        return cls(**given)


def instant(text: str | None) -> datetime | None:
    """An instant of Coolify; one without a zone is in UTC, the only zone in which it stores them."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _is_of(deployment: Deployment, order: Order, source: Source) -> bool:
    """Whether a deployment runs the commit, or of an image the tag, that is asked for.

    What `running` means is what it runs. The head of a branch may have moved since, and only Coolify knows where to.
    """
    if order.action != "rollback" and (order.commit == RUNNING_COMMIT or source.inline_dockerfile):
        return True
    is_image = source.build_pack == "dockerimage"
    runs = (deployment.tag or source.tag) if is_image else deployment.commit
    wanted = order.commit
    if wanted == CONFIGURED_COMMIT:
        wanted = (source.tag or "") if is_image else source.commit
    if wanted == HEAD:
        return True
    return runs == wanted or (not is_image and same_commit(runs or "", wanted))


class Deployer:
    """Carries out one order."""

    def __init__(self, client: CoolifyClient, task: Task, order: Order, deadline: Deadline, probe: Probe) -> None:
        self._client = client
        self._task = task
        self._order = order
        self._deadline = deadline
        self._probe = probe
        self._follower = Follower(client, task, order.application, deadline, order.poll_interval)
        self._before: Deployment | None = None
        self._deployment: Deployment | None = None
        self._reading: Reading | None = None
        self._notes: tuple[str, ...] = ()
        self._pinned: Pinned | None = None
        self._changed = False

    def run(self) -> dict[str, Any]:
        """Do it, and return the module's result.

        :raises RewindError: with what is known in `partial`, whatever the reason.
        """
        try:
            return self._run()
        except RewindError as error:
            if self._changed or self._deployment is not None:
                error.partial = {**self._result(), **(error.partial or {})}
            raise

    def _run(self) -> dict[str, Any]:
        if self._order.action == "watch":
            return self._proven()
        body = self._client.application(self._order.application)
        self._reading = Reading.read(body)
        if self._order.action == "stop":
            return self._stop()
        found = read_deployments(self._client.deployments(self._order.application))
        self._before = last_finished(found) or self._older()
        if self._order.deployment_uuid is not None:
            return self._adopt(self._order.deployment_uuid)
        if self._order.action == "start" and self._reading.state == "running" and not running(found):
            self._deployment = self._before
            return self._result()
        done = self._already(found, Source.read(body))
        if done is not None:
            self._deployment = done
            return self._proven()
        return self._deploy(body, found)

    def _older(self) -> Deployment | None:
        """The last finished one where the newest page holds none."""
        return last_finished(read_deployments(self._client.deployments(self._order.application, limit=200)))

    def _already(self, found: Sequence[Deployment], source: Source) -> Deployment | None:
        """The deployment that did what is asked for: began after `after`, on the commit asked for, and still runs."""
        after, last, order = self._order.after, last_finished(found), self._order
        if after is None or order.force or last is None or running(found):
            return None
        created = instant(last.created_at)
        # In the same second the order of the two is not known.
        if created is None or created <= after:
            return None
        return last if _is_of(last, order, source) else None

    def _deploy(self, body: dict[str, Any], found: Sequence[Deployment]) -> dict[str, Any]:
        order = self._order
        self._client.version.require_deployments(f"deploy application {order.application}")
        if not self._task.check_mode:
            # What runs is known only when nothing deploys: another deployment may bring other code.
            found = self._idle(found)
            self._before = last_finished(found) or self._before
        history = [*found, *([self._before] if self._before is not None and self._before not in found else [])]
        action: Request = order.action  # type: ignore[assignment]  # the option's choices, less stop and watch
        route = choose(
            self._client.version, Source.read(body), history, action=action, commit=order.commit, force=order.force
        )
        self._notes = route.notes
        self._changed = True
        if route.pin is not None and not order.wait:
            raise InvalidInput(
                f"deploy application {order.application}: to stay on commit {route.commit}, this version of Coolify "
                "needs the commit set on the application until the deployment has ended",
                hint="Set wait to true, or commit to configured.",
            )
        if self._task.check_mode:
            return self._predict(route)
        self._carry_out(route, found)
        return self._proven() if order.wait else self._result()

    def _idle(self, found: Sequence[Deployment]) -> Sequence[Deployment]:
        idle = self._follower.until_idle(found)
        if idle is None:
            raise too_late(self._order.application)
        return idle

    def _carry_out(self, route: Route, found: Sequence[Deployment]) -> None:
        """Request it and follow it to its end. Nothing else deploys when the pin is set; it is taken off after."""
        with Pinned(self._client, self._task, self._order.application, route.pin) as self._pinned:
            requester = Requester(self._client, self._follower, self._order.application)
            self._deployment = requester.request(route, None if route.pin is not None else found)
            if self._order.wait:
                self._follow()
                self._check_commit(route)
            self._follower.phases.enter("put_back" if route.pin is not None else None)
        self._follower.phases.enter(None)

    def _adopt(self, uuid: str) -> dict[str, Any]:
        body = self._client.deployment(uuid)
        if body is None:
            raise NotFound(
                f"follow deployment {uuid}: Coolify does not know it",
                http_status=404,
                hint="Coolify also answers uuids of deployments that it never stored: look at the application's list "
                "with coolify_deployment_info.",
            )
        check_belongs(self._client, self._order.application, body)
        self._deployment = Deployment.read(body)
        if self._deployment.is_preview:
            raise InvalidInput(
                f"follow deployment {uuid}: it is one of a pull request, and says nothing about the application itself",
                hint="Set deployment_uuid to a deployment of the application.",
            )
        if not self._order.wait or (self._task.check_mode and self._deployment.is_running):
            return self._result()
        self._follow()
        return self._proven()

    def _follow(self) -> None:
        """Wait for the end of the deployment and accept only ``finished``."""
        current = self._known()
        ended = self._follower.until_end(current.uuid) if current.is_running else current
        if ended is None:
            raise self._give_up()
        self._deployment = ended
        if not ended.is_finished:
            raise self._failed(ended)

    def _check_commit(self, route: Route) -> None:
        """Refuse to call other code a success: somebody may have set another commit before it was its turn."""
        ended = self._known()
        if ended.runs_other(route.commit, is_image=route.is_image):
            raise OperationFailed(
                f"deploy application {self._order.application}: deployment {ended.uuid} finished with "
                f"{ended.tag if route.is_image else ended.commit}, and asked for was {route.commit}",
                code="wrong_commit",
                hint="That code runs now. Look at who else deploys this application, and run again.",
            )

    def _known(self) -> Deployment:
        if self._deployment is None:
            raise Refused(f"follow a deployment of {self._order.application}: there is none", code="internal_error")
        return self._deployment

    def _failed(self, ended: Deployment) -> OperationFailed:
        scrubber = self._follower.scrubber(ended)
        last = scrubber.tail(ended.lines, 1) if scrubber is not None else []
        text = f"deploy application {self._order.application}: deployment {ended.uuid} ended {ended.status}"
        return OperationFailed(
            f"{text}: {last[0]}" if last else text,
            code="deployment_cancelled" if ended.status == "cancelled-by-user" else "deployment_failed",
            hint="Its log is in Coolify. After a failed rolling update the old containers keep serving; elsewhere the "
            "application may be down.",
        )

    def _give_up(self) -> Timeout:
        """The deadline passed: cancel where asked, and say how things really stand, whatever the cancel answered."""
        uuid = self._known().uuid
        cancel = self._order.cancel_on_timeout and self._client.version.can_cancel
        if cancel:
            self._follower.phases.enter("cancel")
            self._client.allow(_CANCEL_SECONDS)
            try:
                self._client.cancel(uuid)
            except ApiError as error:
                self._follower.say(f"deployment {uuid}: {error.text}")
        state = self._state_after(uuid, _CANCEL_SECONDS if cancel else 0.0)
        hint = {
            "finished": "It finished just after: its environment and commit are in use now.",
            "cancelled-by-user": "It was cancelled; the containers that ran before keep serving.",
            "failed": "It failed; the containers that ran before keep serving after a rolling update.",
        }.get(state, "It may still end either way: read it with coolify_deployment_info before doing anything else.")
        return Timeout(
            f"deploy application {self._order.application}: deployment {uuid} did not end within "
            f"{self._deadline.seconds:.0f} s and is {state} now",
            hint=hint,
        )

    def _state_after(self, uuid: str, seconds: float) -> str:
        limit = Deadline(seconds)
        for _elapsed in clock(limit, self._order.poll_interval):
            try:
                body = self._client.deployment(uuid)
            except ApiError:
                continue
            if body is not None:
                self._deployment = Deployment.read(body)
                if not self._deployment.is_running:
                    break
        return self._known().status

    def _proven(self) -> dict[str, Any]:
        """Wait until health was good for the whole soak time."""
        if not self._order.wait or not self._order.require_health or self._task.check_mode:
            self._reading = self._look()
            return self._result()
        order = self._order
        soak = Soak(HealthRule(self._client.version, order.soak, order.healthy_readings, order.unhealthy_grace))
        self._follower.phases.enter("health")
        ended = _waiter.CLOCK.monotonic()
        for _elapsed in clock(self._deadline, order.poll_interval):
            try:
                reading = self._look()
            except ApiError as error:
                self._follower.tolerate(error)
                continue
            self._reading = reading
            since = _waiter.CLOCK.monotonic() - ended
            verdict = soak.feed(reading, since)
            good = f"good for {soak.good_for(since):.0f} of {order.soak:.0f} s"
            self._follower.say(f"health of {order.application}: {reading.status}, {good}")
            if verdict is not None:
                self._follower.phases.enter(None)
            if verdict:
                return self._result()
            if verdict is False:
                raise self._unhealthy("is not healthy")
        raise self._unhealthy(f"was not healthy for {order.soak:.0f} s within the time given")

    def _look(self) -> Reading:
        return Reading.read(self._client.application(self._order.application), self._probe.good())

    def _unhealthy(self, what: str) -> RewindError:
        reading = self._reading
        status = reading.status if reading is not None else "unknown"
        probe = "" if reading is None or reading.probe is not False else f"; health_url: {self._probe.last}"
        server = "; Coolify cannot reach the server" if reading is not None and reading.reachable is False else ""
        doing = "watch" if self._order.action == "watch" else "deploy"
        text = f"{doing} application {self._order.application}: it {what} (status {status}{probe}{server})"
        hint = "Look at the application's log in Coolify."
        if self._deadline.passed:
            return Timeout(text, hint=f"{hint} Raise wait_timeout or lower soak where it only needs longer.")
        return OperationFailed(text, code="unhealthy", hint=hint)

    def _stop(self) -> dict[str, Any]:
        """Stop the application. There is no deployment to follow, only the status."""
        reading = self._reading
        if reading is not None and reading.state == "exited":
            return self._result()
        self._changed = True
        if self._task.check_mode:
            return self._result()
        doubt: RewindError | None = None
        try:
            self._client.stop(self._order.application)
        except ApiError as error:
            if error.code != "unknown_outcome":
                raise
            doubt = error
        if not self._order.wait:
            if doubt is not None:
                raise doubt
            return self._result()
        self._follower.phases.enter("stop")
        for _elapsed in clock(self._deadline, self._order.poll_interval):
            try:
                self._reading = self._look()
            except ApiError as error:
                self._follower.tolerate(error)
                continue
            if self._reading.state == "exited":
                self._follower.phases.enter(None)
                return self._result()
        raise doubt or Timeout(f"stop application {self._order.application}: it did not stop within the time given")

    def _predict(self, route: Route) -> dict[str, Any]:
        result = self._result()
        result["deployment"] = {
            "uuid": predicted("deployment", self._order.application),
            **dict.fromkeys(("status", "build_skipped", "restart_only", "created_at", "finished_at")),
            "commit": route.commit,
            "rollback": route.request == "rollback",
            "log_tail": [],
        }
        if route.pin is not None:
            result["pin"] = route.pin.public(None)
        result["diff"] = self._diff(route.commit)
        return result

    def _result(self) -> dict[str, Any]:
        deployment = self._deployment
        scrubber = self._follower.scrubber(deployment) if deployment is not None else None
        reading = self._reading
        return {
            "changed": self._changed,
            "deployment": deployment.public(scrubber) if deployment is not None else None,
            "application": {"uuid": self._order.application, **(reading.public() if reading is not None else {})},
            "phases": self._follower.phases.public(),
            "pin": self._pinned.public() if self._pinned is not None else None,
            "notes": list(self._notes),
            "operations": self._client.sent,
            "diff": self._diff(deployment.commit if deployment is not None else None),
        }

    def _diff(self, commit: str | None) -> dict[str, Any]:
        before = self._before
        old = {"commit": before.commit if before else None, "deployment": before.uuid if before else None}
        if not self._changed or self._order.action == "stop":
            status = self._reading.status if self._reading is not None else None
            return {"before": {"status": status}, "after": {"status": "exited" if self._changed else status}}
        uuid = self._deployment.uuid if self._deployment else predicted("deployment", self._order.application)
        return {"before": old, "after": {"commit": commit, "deployment": uuid}}
