# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch itself: looks at the application, at Coolify and at Sentry until the answer is final. It only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from .._coolify.client import CoolifyClient
from .._coolify.client import client_for as coolify_for
from .._coolify.deployments import running
from .._coolify.facts import own_deployments
from .._coolify.health import HealthRule, Reading, Verdict
from .._coolify.probe import Probe
from .._errors import RewindError
from .._sentry.client import SentryClient
from .._sentry.client import client_for as sentry_for
from .._sentry.rate import Span, rate, read_rate, whole_buckets
from .._task import Task
from .._time import duration, parse_instant, rfc3339, utc_now
from .._waiter import Deadline
from .watch import Answer, Look, Rules, decide, limit_of

# What a service that does not answer may cost a look.
_PATIENCE = 20.0
# The newest one, and those beside it that may still run.
_NEWEST_DEPLOYMENTS = 10
_WELL = {True: "well", False: "NOT well", None: "not known to be well"}
_DEPLOYING = {
    True: "A deployment began",
    False: "No deployment runs any more",
    None: "The deployments cannot be read",
}


def rules_of(params: Mapping[str, Any]) -> Rules:
    """From a task's options."""
    names = ("soak", "readings", "min_minutes", "factor", "slack", "min_events", "settle", "grace")
    return Rules(
        **{name: params[name] for name in names},
        watches_errors=bool(params["sentry_project"]),
        poll=params["poll_interval"],
        most_not_well=params["max_not_well_percent"] / 100,
    )


class Watch:
    """One watch of one application after one cutover."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.params = task.params
        self.rules = rules_of(task.params)
        self.cutover = parse_instant(task.params["since"], future=True)
        self.started = utc_now()
        self.looks: list[Look] = []
        self.events: list[dict[str, str]] = []
        self.notes: list[str] = []
        self.baseline: dict[str, Any] | None = None
        self.baseline_read_at: str | None = None
        self._coolify: CoolifyClient | None = None
        self._sentry: SentryClient | None = None
        self._probe = Probe.of(task.params)

    def run(self) -> dict[str, Any]:
        """Look until the answer is final; in check mode once."""
        self._connect()
        interval = float(self.params["poll_interval"])
        soak = Deadline(max(0.0, self.rules.soak - (self.started - self.cutover).total_seconds()))
        while True:
            self.looks.append(self._look())
            self._read_baseline()
            answer = decide(self.looks, self.baseline, self.rules)
            self._say(answer)
            self.task.progress(f"watch: {self._state()}, {duration(soak.left())} left")
            # Where the soak is over already, what is the case now still takes as many looks as ever.
            enough = soak.passed and len(self.looks) >= self.rules.readings
            if answer.final or enough or self.task.check_mode:
                return self._result(answer)
            pause = interval if soak.passed else min(interval, soak.left())
            Deadline(None).sleep(pause)

    def _connect(self) -> None:
        deadline = Deadline(_PATIENCE)
        self._coolify = coolify_for(self.task, deadline)
        if self.rules.watches_errors:
            self._sentry = sentry_for(self.task, deadline)

    def _read_baseline(self) -> None:
        """Read it once; at each look, until it could be read: without it no rate is ever bad."""
        since, until = self.params["baseline_since"], self.params["baseline_until"]
        # Where Sentry has just not answered for this look, it need not be asked twice.
        if self.baseline is not None or self.looks[-1].rate is None or not since or not until:
            return
        read = self._rate(parse_instant(since, future=True), parse_instant(until, future=True))
        if read is None:
            return
        self.baseline = read[0]
        self.baseline_read_at = rfc3339(utc_now().replace(microsecond=0))
        if len(self.looks) > 1:
            text = f"The error rate before the incident could be read, at look {len(self.looks)}"
            self.events.append({"at": self.baseline_read_at, "text": text})

    def _rate(self, since: datetime, until: datetime) -> tuple[dict[str, Any], dict[str, Any], Span] | None:
        """The events of a time, those of its last minutes, and the time; None, with a note, where Sentry cannot say."""
        if self._sentry is None:
            return None
        self._sentry.allow(_PATIENCE)
        try:
            span = whole_buckets(since, until, resolution="10s", settle=self.params["settle"], now=utc_now())
            found, counts = read_rate(
                self._sentry,
                self.params["sentry_organization"],
                self.params["sentry_project"],
                span,
                resolution="10s",
                stat="received",
            )
        except RewindError as error:
            self._note(error.msg)
            return None
        return found, rate(counts, span.last(self.rules.recent_minutes)), span

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _look(self) -> Look:
        now = utc_now()
        since = (now - self.cutover).total_seconds()
        probe = self._probe.good()
        verdict, status, looked_at = self._coolify_says(probe, since)
        well = self._well(probe, verdict)
        why = ", ".join(
            item for item in (f"health address: {self._probe.last}" if probe is not None else "", status) if item
        )
        deploying, failed = self._deployments()
        until = min(now, self.cutover + timedelta(seconds=max(self.rules.soak, since)))
        look = Look(since, well, why, deploying, failed, proven=bool(probe) or looked_at)
        read = self._rate(self.cutover, until)
        if read is None:
            return look
        found, recent, span = read
        return replace(look, rate=found, recent=recent, counted_to=span.until - self.cutover.timestamp())

    def _client(self) -> CoolifyClient:
        if self._coolify is None:
            raise AssertionError("Coolify is looked at before there is a client")
        return self._coolify

    def _coolify_says(self, probe: bool | None, since: float) -> tuple[Verdict | None, str, bool]:
        """What it says, how, and whether anything has looked at the health: a container without a check only runs."""
        coolify = self._client()
        coolify.allow(_PATIENCE)
        try:
            body = coolify.application(self.params["application"])
            reading = Reading.read(body, probe)
            verdict = HealthRule(coolify.version, soak=0.0).judge(reading, since)
        except RewindError as error:
            self._note(error.msg)
            return None, "Coolify does not say", False
        return verdict, f"Coolify: {reading.status or 'no status'}", reading.health == "healthy"

    @staticmethod
    def _well(probe: bool | None, verdict: Verdict | None) -> bool | None:
        if probe is False or verdict is Verdict.BAD:
            return False
        # The application's own answer counts before Coolify's cache, which may be a minute old.
        return True if probe or verdict is Verdict.GOOD else None

    def _deployments(self) -> tuple[bool | None, str | None]:
        """Whether one runs, None where that cannot be read; and the newest one, where it failed."""
        try:
            found = own_deployments(self._client(), self.params["application"], _NEWEST_DEPLOYMENTS)
        except RewindError as error:
            self._note(error.msg)
            return None, None
        newest = found[0].public(None) if found else {}
        failed = newest.get("status") not in (None, "finished", "queued", "in_progress") and self._is_later(newest)
        return bool(running(found)), f"{newest['uuid']}: {newest['status']}" if failed else None

    def _is_later(self, deployment: Mapping[str, Any]) -> bool:
        at = deployment.get("created_at")
        return bool(at) and parse_instant(at, future=True) > self.cutover

    def _say(self, answer: Answer) -> None:
        """Keep what changed, for the timeline."""
        look, before = self.looks[-1], self.looks[-2] if len(self.looks) > 1 else None
        at = rfc3339(utc_now().replace(microsecond=0))
        if before is None or _words(before) != _words(look):
            self.events.append({"at": at, "text": f"Seen {_words(look)} ({look.why})"})
        if before is not None and before.deploying is not look.deploying:
            self.events.append({"at": at, "text": _DEPLOYING[look.deploying]})
        if answer.final:
            self.events.append({"at": at, "text": f"Answer: {answer.answer.replace('_', ' ')}"})

    def _state(self) -> str:
        look = self.looks[-1]
        rate = (
            f", {look.rate['per_minute']:g} events a minute"
            if look.rate and look.rate["per_minute"] is not None
            else ""
        )
        return f"{_words(look)} ({look.why}){rate}"

    def _result(self, answer: Answer) -> dict[str, Any]:
        ended = utc_now()
        return {
            "answer": answer.answer,
            "final": answer.final,
            "reasons": answer.reasons,
            "notes": self.notes,
            "started": rfc3339(self.started.replace(microsecond=0)),
            "ended": rfc3339(ended.replace(microsecond=0)),
            "seconds": round((ended - self.started).total_seconds(), 3),
            "looks": len(self.looks),
            "looks_not_well": sum(look.well is False for look in self.looks),
            "baseline": self.baseline,
            "baseline_read_at": self.baseline_read_at,
            "rate": next((dict(look.rate) for look in reversed(self.looks) if look.rate), None),
            "recent": next((dict(look.recent) for look in reversed(self.looks) if look.recent), None),
            "limit": limit_of(self.baseline, self.rules) if self.rules.watches_errors else None,
            "events": self.events,
        }


def _words(look: Look) -> str:
    return _WELL[look.well] if look.well is not True or look.proven else "running, and nothing looks at its health"
