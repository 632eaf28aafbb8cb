# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch after a restore: what is seen is judged by one pure function, with three answers.

Good and bad need evidence; without it the answer is neither. Whatever is not known is not held for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._time import duration

GOOD, BAD, UNKNOWN = "good", "bad", "not_enough_data"
# Events are counted in whole buckets of so many seconds.
BUCKET = 10.0


@dataclass(frozen=True)
class Rules:
    """What it takes. All lengths of time are in seconds, unless they are called minutes.

    :param soak: how long to watch, from the cutover on.
    :param readings: how many looks in a row make health good, or bad.
    :param watches_errors: whether an error rate is to be judged at all.
    :param min_minutes: how many minutes of counted events an error rate needs, before and after.
    :param factor: how many times the rate before the incident is still good.
    :param slack: events a minute that are good whatever the rate was before.
    :param min_events: fewer events than this are never bad: one user's broken browser proves nothing.
    :param settle: how long an event takes until it is counted, by which an error rate always lags.
    :param poll: how long it is from one look to the next.
    :param grace: how long after the cutover a look may find what is only just starting.
    :param most_not_well: the share of looks after that which may find it not well, or unknown.
    """

    soak: float
    readings: int = 3
    watches_errors: bool = True
    min_minutes: float = 5.0
    factor: float = 2.0
    slack: float = 1.0
    min_events: int = 10
    settle: float = 60.0
    poll: float = 15.0
    grace: float = 60.0
    most_not_well: float = 0.1

    @property
    def recent_minutes(self) -> float:
        """How many of the last minutes are judged by themselves: an hour's average hides what began just now."""
        return max(5.0, self.min_minutes)

    @property
    def lag(self) -> float:
        """By how much an error rate may end before the last look, where that look found none."""
        return self.settle + self.poll + BUCKET


@dataclass(frozen=True)
class Look:
    """One look.

    :param since: seconds since the cutover.
    :param well: whether the application is well; None where nobody can say.
    :param why: how it answered.
    :param deploying: a deployment is queued or runs; None where the deployments could not be read.
    :param failed_deployment: the newest deployment since the cutover, where it failed.
    :param rate: the events since the cutover, as `sentry_event_rate_info` returns them; None where they are not known.
    :param recent: those of the last minutes alone (`Rules.recent_minutes`), where `rate` is known.
    :param counted_to: seconds since the cutover where `rate` ends.
    :param proven: false where `well` says no more than that the container runs: nothing has looked at its health.
    """

    since: float
    well: bool | None
    why: str = ""
    deploying: bool | None = False
    failed_deployment: str | None = None
    rate: Mapping[str, Any] | None = None
    recent: Mapping[str, Any] | None = None
    counted_to: float | None = None
    proven: bool = True


@dataclass(frozen=True)
class Answer:
    """What the looks so far say.

    :param final: whether more looks can change nothing: bad is at once, the others are at the end of the soak.
    """

    answer: str
    final: bool
    reasons: list[str] = field(default_factory=list)
    limit: float | None = None


def limit_of(baseline: Mapping[str, Any] | None, rules: Rules) -> float | None:
    """The events a minute that are still good; None where the time before the incident says nothing."""
    if not _counts(baseline, rules):
        return None
    return round(float((baseline or {})["per_minute"]) * rules.factor + rules.slack, 4)


def decide(looks: Sequence[Look], baseline: Mapping[str, Any] | None, rules: Rules) -> Answer:
    """Judge all looks together.

    :param looks: in the order in which they were taken.
    :param baseline: the events of the time before the incident, like `Look.rate`.
    """
    limit = limit_of(baseline, rules) if rules.watches_errors else None
    bad = [*_bad_health(looks, rules), *_bad_rate(looks, limit, rules)]
    if bad:
        return Answer(BAD, True, bad, limit)
    over = bool(looks) and looks[-1].since >= rules.soak and len(looks) >= rules.readings
    missing = _missing(looks, baseline, limit, rules)
    if missing or not over:
        return Answer(UNKNOWN, over, missing or ["the soak is not over"], limit)
    return Answer(GOOD, True, _good(looks, limit, rules), limit)


def _counts(rate: Mapping[str, Any] | None, rules: Rules) -> bool:
    """Whether a rate is made of enough time to mean something."""
    if not rate or rate.get("per_minute") is None:
        return False
    return float(rate.get("minutes") or 0) >= rules.min_minutes


def _last_in_a_row(looks: Sequence[Look], well: bool) -> list[Look]:
    found: list[Look] = []
    for look in reversed(looks):
        if look.well is not well:
            break
        found.append(look)
    return found[::-1]


def _bad_health(looks: Sequence[Look], rules: Rules) -> list[str]:
    row = _last_in_a_row(looks, False)
    if len(row) < rules.readings:
        return []
    return [f"the application was not well {len(row)} times in a row ({row[-1].why or 'no reason given'})"]


def _newest_count(looks: Sequence[Look]) -> Look | None:
    """The newest look that knows an error rate."""
    return next((look for look in reversed(looks) if look.rate), None)


def _bad_rate(looks: Sequence[Look], limit: float | None, rules: Rules) -> list[str]:
    newest = _newest_count(looks)
    if newest is None:
        return []
    worst = [rate for rate in (newest.rate, newest.recent) if _too_many(rate, limit, rules)]
    return [f"{_rate_text(rate)}; at most {limit:g} a minute would be good" for rate in worst[:1] if rate is not None]


def _too_many(rate: Mapping[str, Any] | None, limit: float | None, rules: Rules) -> bool:
    if limit is None or rate is None or not _counts(rate, rules):
        return False
    return int(rate["events"]) >= rules.min_events and float(rate["per_minute"]) > limit


def _missing(looks: Sequence[Look], baseline: Mapping[str, Any] | None, limit: float | None, rules: Rules) -> list[str]:
    """Why it cannot be said that all is good."""
    missing = []
    if len(_last_in_a_row(looks, True)) < rules.readings:
        last = looks[-1].why if looks else ""
        missing.append(
            f"the application was not seen well {rules.readings} times in a row{f' ({last})' if last else ''}"
        )
    missing += _unproven(looks, rules)
    missing += _flapping(looks, rules)
    if looks and looks[-1].deploying is None:
        missing.append("the deployments could not be read")
    if looks and looks[-1].deploying:
        missing.append("a deployment is running")
    if looks and looks[-1].failed_deployment:
        missing.append(f"the newest deployment has failed ({looks[-1].failed_deployment})")
    if rules.watches_errors:
        if limit is None:
            missing.append(f"the error rate before the incident is not known: {_counted(baseline, rules)}")
        missing += _missing_rate(looks, rules)
    return missing


def _unproven(looks: Sequence[Look], rules: Rules) -> list[str]:
    """A container runs on when its application can use no database. Few errors, where they are counted, say more."""
    row = _last_in_a_row(looks, True)[-rules.readings :]
    if rules.watches_errors or all(look.proven for look in row):
        return []
    return [
        f"nothing proves that the application is well: it runs, and nothing looks at its health ({row[-1].why}); "
        "set rewind_health_url or rewind_sentry_project, or a health check in Coolify, or look yourself"
    ]


def _flapping(looks: Sequence[Look], rules: Rules) -> list[str]:
    """Three good looks at the end prove little about an application that is well only now and then."""
    settled = [look for look in looks if look.since > rules.grace]
    poor = [look for look in settled if look.well is not True]
    if len(poor) <= rules.most_not_well * len(settled):
        return []
    return [
        f"the application was not seen well in {len(poor)} of {len(settled)} looks; "
        f"at most {100 * rules.most_not_well:g} % would be good"
    ]


def _missing_rate(looks: Sequence[Look], rules: Rules) -> list[str]:
    newest = _newest_count(looks)
    if newest is None or not _counts(newest.rate, rules):
        return [f"the error rate after the restore is not known: {_counted(newest.rate if newest else None, rules)}"]
    to = newest.counted_to or 0.0
    if looks[-1].since - to <= rules.lag:
        return []
    return [f"the error rate is not known since {duration(to)} after the cutover"]


def _counted(rate: Mapping[str, Any] | None, rules: Rules) -> str:
    return f"{float((rate or {}).get('minutes') or 0):g} of {rules.min_minutes:g} minutes were counted"


def _good(looks: Sequence[Look], limit: float | None, rules: Rules) -> list[str]:
    row = _last_in_a_row(looks, True)
    proven = all(look.proven for look in row[-rules.readings :])
    reasons = [f"the application {'was well' if proven else 'was running'} {len(row)} times in a row"]
    newest = _newest_count(looks)
    rate = newest.rate if newest else None
    if rules.watches_errors and rate is not None:
        few = float(rate["per_minute"]) > float(limit or 0)
        bound = f"fewer than {rules.min_events} are never bad" if few else f"at most {limit:g} a minute are good"
        reasons.append(f"{_rate_text(rate)}; {bound}")
    return reasons


def _rate_text(rate: Mapping[str, Any]) -> str:
    events, minutes = int(rate["events"]), float(rate["minutes"])
    return f"Sentry counted {events} events in {minutes:g} minutes ({float(rate['per_minute']):g} a minute)"
