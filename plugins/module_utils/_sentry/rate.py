# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many events a minute a project has received in a span of time: only of buckets that are whole and settled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from .._errors import InvalidInput
from .._time import rfc3339
from .client import SECONDS, SentryClient


@dataclass(frozen=True)
class Span:
    """The whole buckets of a time: both ends in seconds since 1970, at the beginning of a bucket.

    :param complete: whether it reaches as far as was asked for; the newest buckets may not have settled yet.
    """

    since: int
    until: int
    width: int
    complete: bool

    @property
    def minutes(self) -> float:
        return (self.until - self.since) / 60

    def last(self, minutes: float) -> Span:
        """Its last minutes, in whole buckets; all of it where it is shorter."""
        length = math.ceil(minutes * 60 / self.width) * self.width
        return replace(self, since=max(self.since, self.until - length))


def whole_buckets(since: datetime, until: datetime, *, resolution: str, settle: float, now: datetime) -> Span:
    """The buckets that lie in the time as a whole and that nothing is added to any more.

    :param settle: seconds that events take until they are counted. A bucket grows for a while after its time is over
        (https://github.com/getsentry/sentry/issues/12513).
    :raises InvalidInput: when the time ends before it begins.
    """
    if until < since:
        raise InvalidInput(
            f"read events: {rfc3339(until)}, the end, lies before {rfc3339(since)}, the beginning",
            hint="Exchange since and until.",
        )
    width = SECONDS[resolution]
    first = math.ceil(since.timestamp() / width) * width
    wanted = math.floor(until.timestamp() / width) * width
    settled = math.floor((now.timestamp() - settle) / width) * width
    last = max(first, min(wanted, settled))
    return Span(first, last, width, complete=wanted <= settled)


def rate(counts: Mapping[int, int], span: Span) -> dict[str, Any]:
    """What the module returns, from the count of every bucket in the span.

    The rate is None where not even one bucket is whole: no data is something else than no events.
    """
    events = sum(count for at, count in counts.items() if span.since <= at < span.until)
    return {
        "since": rfc3339(datetime.fromtimestamp(span.since, UTC)),
        "until": rfc3339(datetime.fromtimestamp(span.until, UTC)),
        "complete": span.complete,
        "events": events,
        "minutes": round(span.minutes, 4),
        "per_minute": round(events / span.minutes, 4) if span.minutes else None,
    }


def read_rate(
    client: SentryClient,
    organization: str,
    project: str,
    span: Span,
    *,
    resolution: str,
    stat: str,
) -> tuple[dict[str, Any], dict[int, int]]:
    """The rate of a span, and the counts that it was made of."""
    counts: dict[int, int] = {}
    if span.until > span.since:
        counts = client.counts(
            organization, project, since=span.since, until=span.until, resolution=resolution, stat=stat
        )
    return rate(counts, span), counts
