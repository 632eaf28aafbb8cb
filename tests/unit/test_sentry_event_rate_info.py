# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""sentry_event_rate_info: whole and settled buckets only, in few requests, and no number out of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._sentry import client as sentry_client
from ansible_collections.rewind.database.plugins.module_utils._sentry.rate import rate, whole_buckets
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import FakeClock, Script, call_module
from hypothesis import given
from hypothesis import strategies as st

from tests.support.listeners import SENTRY_TOKEN, Sentry

STATS = "/api/0/projects/acme/tracker/stats/"
SINCE, UNTIL = 1_736_774_700, 1_736_778_300  # 2025-01-13, 13:25:00 and 14:25:00 UTC
TIMES = {"since": "2025-01-13T13:25:00Z", "until": "2025-01-13T14:25:00Z"}


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    """Sentry on loopback."""
    server = Sentry()
    yield server
    server.close()


def _ask(url: str = "http://127.0.0.1:1", **options: Any) -> dict[str, Any]:
    given = {"organization": "acme", "project": "tracker", "sentry_auth_token": SENTRY_TOKEN, **TIMES, **options}
    return call_module("sentry_event_rate_info", {"sentry_api_url": url, **given})


def _hour(counts: dict[int, Any] | None = None, width: int = 10) -> list[list[Any]]:
    """Sentry's answer for the hour: a bucket per interval, those without events too."""
    return [[at, (counts or {}).get(at, 0)] for at in range(SINCE, UNTIL, width)]


def test_an_hour_is_counted_in_one_request(script: Script) -> None:
    """Given an hour long ago, then its 360 buckets are asked for at once, and one behind its end does not count."""
    query = {"stat": "received", "since": str(SINCE), "until": str(UNTIL - 1), "resolution": "10s"}
    script.expect("GET", STATS, [*_hour({SINCE: 30, SINCE + 10: 90.0}), [UNTIL, 1000]], query=query)
    result = _ask()
    assert result["rate"] == {
        "since": TIMES["since"],
        "until": TIMES["until"],
        "complete": True,
        "events": 120,
        "minutes": 60,
        "per_minute": 2,
    }
    assert result["buckets"] == [
        {"at": "2025-01-13T13:25:00Z", "events": 30},
        {"at": "2025-01-13T13:25:10Z", "events": 90},
    ]
    assert script.requests[0].headers["Authorization"] == f"Bearer {SENTRY_TOKEN}"


def test_a_long_time_is_asked_for_in_parts_that_meet(sentry: Sentry) -> None:
    """Given a day in buckets of ten seconds, then each bucket is asked for once, and counted once."""
    sentry.events = lambda at: 1 if at % 60 == 0 else 0
    found = _ask(sentry.url, since="2025-01-12T14:25:00Z")["rate"]
    assert (found["events"], found["per_minute"]) == (1440, 1)
    spans = [(int(query["since"][0]), int(query["until"][0]) + 1) for query in sentry.asked]
    assert len(spans) == 4 and spans[0][0] == UNTIL - 86_400 and spans[-1][1] == UNTIL
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_a_limit_is_waited_out_as_long_as_sentry_says(script: Script, clock: FakeClock) -> None:
    """Given 429 with Retry-After, or with the instant of the next window as Sentry sends it, then it waits so long."""
    begins = {"X-Sentry-Rate-Limit-Reset": str(datetime.now(UTC).timestamp() + 40)}
    script.expect("GET", STATS, {"detail": "too fast"}, status=429, headers={"Retry-After": "7"})
    script.expect("GET", STATS, {"detail": "too fast"}, status=429, headers=begins)
    script.expect("GET", STATS, _hour({SINCE: 60}))
    assert _ask()["rate"]["per_minute"] == 1
    assert clock.slept[0] >= 7 and 30 < clock.slept[1] <= 40


def test_a_project_that_is_not_there_is_answered_with_those_that_are(sentry: Sentry) -> None:
    """Given a wrong slug, then the error lists the projects of all pages."""
    result = _ask(sentry.url, project="trackr")
    assert result["failed"] and "The projects of acme are: tracker, website." in result["msg"]
    assert result["error"]["http_status"] == 404


def test_a_token_that_is_refused_is_named_and_not_shown(sentry: Sentry) -> None:
    """Given a wrong token, then the error says where to set it; without one nothing is sent."""
    wrong = "sntrys_Wr0ngWr0ngWr0ngWr0ngWr0ng"
    result = _ask(sentry.url, sentry_auth_token=wrong)
    assert result["error"]["code"] == "unauthorized" and "SENTRY_AUTH_TOKEN" in result["msg"]
    assert wrong not in str(result)
    assert "no token was given" in _ask(sentry.url, sentry_auth_token=None)["msg"]


@pytest.mark.parametrize(
    "answer",
    [
        {"detail": "maintenance"},
        [[SINCE]],
        ["x"],
        "text",
        _hour({SINCE: None}),
        _hour({SINCE: -5.9}),
        _hour({SINCE: 1.5}),
        _hour({SINCE: True}),
        _hour({SINCE: "7"}),
        [],
        _hour()[:-1],
        _hour()[1:],
        _hour(width=300),
        [[at - 500_000, count] for at, count in _hour()],
        [[at + 3, count] for at, count in _hour()],
        [*_hour(), [SINCE, 4]],
    ],
)
def test_what_cannot_be_read_is_no_number(script: Script, answer: Any) -> None:
    """Given another shape, buckets that are missing, of another width or another time, or a number that is none.

    Then it fails: an unreadable number must never pass for none.
    """
    script.expect("GET", STATS, answer)
    assert _ask()["error"]["code"] == "unreadable_answer"


def test_without_a_whole_bucket_nothing_is_asked_and_nothing_known(script: Script) -> None:
    """Given a time of a few seconds, then the rate is null, which is not zero."""
    found = _ask(until="2025-01-13T13:25:09Z")["rate"]
    assert found["per_minute"] is None and (found["events"], found["minutes"]) == (0, 0)


def test_an_end_before_the_beginning_is_refused(script: Script) -> None:
    """Given since and until exchanged, then it says so."""
    result = _ask(since=TIMES["until"], until=TIMES["since"])
    assert "lies before" in result["msg"] and "Exchange" in result["msg"]


@given(
    start=st.integers(1_700_000_000, 1_800_000_000),
    length=st.integers(0, 20_000),
    age=st.integers(0, 20_000),
    settle=st.integers(0, 300),
    counts=st.dictionaries(st.integers(0, 2000).map(lambda number: number * 10), st.integers(0, 100)),
)
def test_only_buckets_inside_that_have_settled_count(
    start: int, length: int, age: int, settle: int, counts: dict[int, int]
) -> None:
    """Given any time, then every bucket that counts lies in it and is older than the settling, and none is half."""
    since, until = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(start + length, UTC)
    now = until + timedelta(seconds=age - 5000)
    span = whole_buckets(since, until, resolution="10s", settle=settle, now=now)
    assert span.since % 10 == span.until % 10 == 0 and span.since <= span.until
    if span.until > span.since:
        assert start <= span.since and span.until <= start + length
        assert span.until <= now.timestamp() - settle
    shifted = {at + span.since - 1000: count for at, count in counts.items()}
    found = rate(shifted, span)
    assert found["events"] == sum(count for at, count in shifted.items() if span.since <= at < span.until)
    assert (found["per_minute"] is None) == (span.since == span.until)


def test_the_next_page_is_the_one_that_has_results() -> None:
    """Given Sentry's own header, then its cursor is read; the last page has a next one too, without results."""
    link = (
        '<https://sentry.io/api/0/organizations/acme/projects/?&cursor=0:0:1>; rel="previous"; results="false"; '
        'cursor="0:0:1", <https://sentry.io/api/0/organizations/acme/projects/?&cursor=0:100:0>; rel="next"; '
        'results="{}"; cursor="0:100:0"'
    )
    assert sentry_client.next_cursor({"link": link.format("true")}) == "0:100:0"
    assert sentry_client.next_cursor({"link": link.format("false")}) is None
    assert sentry_client.next_cursor({}) is None


@pytest.mark.parametrize("url", ["https://de.sentry.io", "https://de.sentry.io/api/0", "https://de.sentry.io/api/0/"])
def test_the_address_may_have_its_path_or_not(url: str) -> None:
    """Given any of the usual spellings, then it is the same address."""
    assert sentry_client.api_url(url) == "https://de.sentry.io/api/0"


def test_both_ways_say_the_same(both_ways: BothWays, sentry: Sentry) -> None:
    """Given Sentry, when it is asked in the controller's process and as a module, then the results are equal."""
    sentry.events = lambda _at: 2
    options = {"organization": "acme", "project": "tracker", "sentry_api_url": sentry.url, **TIMES}
    result = both_ways.same(
        "sentry_event_rate_info", options, variables={"rewind_sentry_auth_token": SENTRY_TOKEN}, check_mode=True
    )
    assert result["rate"]["per_minute"] == 12
