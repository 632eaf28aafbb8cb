# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""incident_watch: the three answers, by properties; and the looks themselves, at all that is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _waiter
from ansible_collections.rewind.database.plugins.module_utils._incident.watch import (
    BAD,
    GOOD,
    UNKNOWN,
    Look,
    Rules,
    decide,
    limit_of,
)
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, FakeClock, call_module
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.listeners import SENTRY_TOKEN, Sentry

Json = dict[str, Any]
SOAK = 600.0
RULES = Rules(soak=SOAK)


def counted(per_minute: float, minutes: float = 10.0) -> Json:
    """A rate as Sentry's module returns it."""
    known = per_minute if minutes else None
    return {"events": round(per_minute * minutes), "minutes": minutes, "per_minute": known}


rates = st.one_of(
    st.none(),
    st.builds(counted, st.floats(0, 200).map(lambda value: round(value, 2)), st.sampled_from([0.0, 1.0, 5.0, 10.0])),
)
looks = st.lists(
    st.builds(
        Look,
        since=st.just(0.0),
        well=st.sampled_from([True, True, True, False, None]),
        why=st.just("HTTP 200"),
        deploying=st.sampled_from([False, False, True, None]),
        failed_deployment=st.sampled_from([None, None, "d1: failed"]),
        rate=rates,
        recent=rates,
        counted_to=st.sampled_from([0.0, SOAK / 2, SOAK - 70, SOAK, 2 * SOAK]),
        proven=st.sampled_from([True, True, False]),
    ),
    max_size=8,
)
rules = st.builds(
    Rules,
    soak=st.just(SOAK),
    readings=st.integers(1, 4),
    watches_errors=st.booleans(),
    min_minutes=st.sampled_from([1.0, 5.0]),
    factor=st.floats(1, 5),
    slack=st.floats(0, 5),
    min_events=st.integers(0, 50),
)


def spread(taken: list[Look], until: float) -> list[Look]:
    """The same looks, over the time until then."""
    step = until / max(len(taken) - 1, 1)
    return [replace(look, since=until - step * (len(taken) - 1 - n)) for n, look in enumerate(taken)]


def too_many(look: Look, limit: float | None, rule: Rules) -> bool:
    """Whether enough events were counted, in all or of late, in enough time, and more than are good."""
    return limit is not None and any(
        rate is not None
        and rate["per_minute"] is not None
        and rate["minutes"] >= rule.min_minutes
        and rate["events"] >= rule.min_events
        and rate["per_minute"] > limit
        for rate in (look.rate, look.recent)
    )


@given(taken=looks, baseline=rates, rule=rules, until=st.sampled_from([0.0, SOAK / 2, SOAK, 2 * SOAK]))
def test_good_is_said_only_when_everything_is_known_and_well(
    taken: list[Look], baseline: Json | None, rule: Rules, until: float
) -> None:
    """Given any looks, then good means: soak over, well in a row, no deployment, and an error rate in bounds."""
    seen = spread(taken, until)
    answer = decide(seen, baseline, rule)
    assert answer.reasons, "every answer says why"
    assert answer.final == (answer.answer == BAD or (bool(seen) and until >= SOAK and len(seen) >= rule.readings))
    if answer.answer == GOOD:
        last = seen[-rule.readings :]
        assert until >= SOAK and len(last) == rule.readings and all(look.well is True for look in last)
        assert seen[-1].deploying is False and seen[-1].failed_deployment is None
        settled = [look for look in seen if look.since > rule.grace]
        assert sum(look.well is not True for look in settled) <= rule.most_not_well * len(settled)
        assert rule.watches_errors or all(look.proven for look in last)
        if rule.watches_errors:
            newest = next(look for look in reversed(seen) if look.rate)
            limit, rate = limit_of(baseline, rule), newest.rate
            assert limit is not None and rate is not None and rate["minutes"] >= rule.min_minutes
            assert newest.counted_to is not None and until - newest.counted_to <= rule.settle + rule.poll + 10
            assert not too_many(newest, limit, rule)


@given(taken=looks, baseline=rates, rule=rules)
def test_bad_needs_evidence(taken: list[Look], baseline: Json | None, rule: Rules) -> None:
    """Given any looks, then bad means that it was not well in a row, or that too many events were really counted."""
    seen = spread(taken, SOAK)
    answer = decide(seen, baseline, rule)
    row = [look for look in seen[-rule.readings :] if look.well is False]
    newest = next((look for look in reversed(seen) if look.rate), None)
    limit = limit_of(baseline, rule) if rule.watches_errors else None
    counted_bad = newest is not None and too_many(newest, limit, rule)
    assert (answer.answer == BAD) == (len(row) == rule.readings or counted_bad)


@given(taken=looks, baseline=rates, rule=rules, more=st.integers(1, 1000))
def test_more_events_never_make_it_better(taken: list[Look], baseline: Json | None, rule: Rules, more: int) -> None:
    """Given the same looks with more events, then the answer is the same or worse."""
    assume(taken)
    order = {GOOD: 2, UNKNOWN: 1, BAD: 0}
    seen = spread(taken, SOAK)
    worse = [
        replace(
            look,
            rate=counted(look.rate["per_minute"] + more, look.rate["minutes"])
            if look.rate and look.rate["per_minute"] is not None
            else look.rate,
        )
        for look in seen
    ]
    before, after = (decide(item, baseline, rule).answer for item in (seen, worse))
    assert order[after] <= order[before]


@given(baseline=rates, rule=rules)
def test_without_a_look_nothing_is_said(baseline: Json | None, rule: Rules) -> None:
    """Given no look at all, then there is not enough data, and it goes on."""
    answer = decide([], baseline, rule)
    assert (answer.answer, answer.final) == (UNKNOWN, False)


def test_a_quiet_application_is_good() -> None:
    """Given no error before and none after, then that is known, and good."""
    seen = spread([Look(0, True, rate=counted(0), counted_to=SOAK - 60)] * 3, SOAK)
    assert decide(seen, counted(0, 60), RULES).answer == GOOD
    assert decide(seen, None, RULES).answer == UNKNOWN, "what was before is not known"
    assert decide([replace(look, rate=None) for look in seen], counted(0, 60), RULES).answer == UNKNOWN


def test_a_broken_browser_proves_nothing() -> None:
    """Given a few events where there was none before, then that is not bad; with many it is, and at once."""
    few = [Look(300, True, rate=counted(1.8, 5))] * 3
    assert decide(few, counted(0, 60), RULES).answer == UNKNOWN
    many = [Look(300, True, rate=counted(20, 5))] * 3
    answer = decide(many, counted(0, 60), RULES)
    assert (answer.answer, answer.final, answer.limit) == (BAD, True, 1.0)
    assert "100 events in 5 minutes (20 a minute); at most 1 a minute" in answer.reasons[0]


def test_a_sentry_that_falls_silent_leaves_the_rate_unknown() -> None:
    """Given a rate of the first minutes only, then it does not stand for the whole soak."""
    first = Look(0, True, rate=counted(0, 6), counted_to=360)
    seen = spread([replace(first), *[Look(0, True)] * 9], SOAK)
    answer = decide(seen, counted(0, 60), RULES)
    assert (answer.answer, answer.final) == (UNKNOWN, True)
    assert "the error rate is not known since 6 min after the cutover" in answer.reasons[0]
    # One look without an answer, the last one, is no silence.
    blink = [*spread([replace(first, counted_to=SOAK - 75)] * 9, SOAK - 15), Look(SOAK, True)]
    assert decide(blink, counted(0, 60), RULES).answer == GOOD


def test_deployments_that_cannot_be_read_are_not_none() -> None:
    """Given deployments that could not be read at the end, then it is not good."""
    seen = spread([Look(0, True)] * 9 + [Look(0, True, deploying=None)], SOAK)
    answer = decide(seen, None, replace(RULES, watches_errors=False))
    assert answer.answer == UNKNOWN and "the deployments could not be read" in answer.reasons


def test_well_only_now_and_then_is_not_good() -> None:
    """Given 158 of 241 looks that were not well, the last three well, then it holds; a slow start does not count."""
    rule = replace(RULES, watches_errors=False)
    flaps = [Look(0, n % 3 == 0, why="HTTP 503") for n in range(238)] + [Look(0, True)] * 3
    answer = decide(spread(flaps, SOAK), None, rule)
    assert (answer.answer, answer.final) == (UNKNOWN, True)
    assert "the application was not seen well in" in answer.reasons[0]
    slow = [Look(0, None)] * 24 + [Look(0, True)] * 217
    assert decide(spread(slow, SOAK), None, rule).answer == GOOD


def test_what_began_just_now_is_not_hidden_by_a_quiet_hour() -> None:
    """Given a quiet hour and many events in its last minutes, then it is bad though the average would be good."""
    late = Look(SOAK, True, rate=counted(1.0, 60), recent=counted(11, 5), counted_to=SOAK - 60)
    answer = decide([late] * 3, counted(0, 60), RULES)
    assert answer.answer == BAD and "55 events in 5 minutes (11 a minute)" in answer.reasons[0]


def test_a_container_that_runs_proves_nothing() -> None:
    """Given looks that only found it running, then it is not good, unless few errors were counted as well."""
    seen = spread([Look(0, True, why="Coolify: running:unknown", proven=False)] * 3, SOAK)
    answer = decide(seen, None, replace(RULES, watches_errors=False))
    assert (answer.answer, answer.final) == (UNKNOWN, True)
    assert "it runs, and nothing looks at its health (Coolify: running:unknown)" in answer.reasons[0]
    assert "rewind_health_url" in answer.reasons[0] and len(answer.reasons) == 1
    quiet = [replace(look, rate=counted(1), counted_to=SOAK - 60) for look in seen]
    good = decide(quiet, counted(1, 60), RULES)
    assert good.answer == GOOD and good.reasons[0] == "the application was running 3 times in a row"
    assert decide(quiet, None, RULES).answer == UNKNOWN, "what was before is not known"


# The looks themselves


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    """Sentry on loopback."""
    server = Sentry()
    yield server
    server.close()


def coolify(
    server: StubServer,
    status: str = "running:healthy",
    deployments: list[Json] | None = None,
    *,
    checked: bool = True,
    version: str = "4.3.11",
) -> StubServer:
    """Coolify, and the application's health address beside it."""
    server.answer("GET", "/api/v1/version", version)
    body = {"uuid": "app1", "status": status, "server_status": True, "health_check_enabled": checked}
    server.answer("GET", "/api/v1/applications/app1", body)
    listed = {"count": len(deployments or []), "deployments": deployments or []}
    server.answer("GET", "/api/v1/deployments/applications/app1", listed)
    return server.answer("GET", "/health", {"ok": True})


def watch(server: StubServer, *, ago: float = 3600, check_mode: bool = False, **options: Any) -> Json:
    """What the module says about a cutover so many seconds ago."""
    given: Json = {
        "application": "app1",
        "since": (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(),
        "soak": 600,
        "poll_interval": 5,
        "health_url": f"{server.url}/health",
        "coolify_api_url": server.url,
        "coolify_access_token": COOLIFY_TOKEN,
        **options,
    }
    result = call_module("incident_watch", given, check_mode=check_mode)
    assert not result.get("failed"), result["msg"]
    assert result["changed"] is False and {method for method, *_rest in server.requests} == {"GET"}
    found: Json = result["watch"]
    return found


def compared(sentry: Sentry, ago: float = 3600) -> Json:
    """The options that name a project of Sentry, and the hour before."""
    before = datetime.now(UTC) - timedelta(seconds=ago)
    return {
        "sentry_organization": "acme",
        "sentry_project": "tracker",
        "sentry_api_url": sentry.url,
        "sentry_auth_token": SENTRY_TOKEN,
        "baseline_since": (before - timedelta(hours=1)).isoformat(),
        "baseline_until": before.isoformat(),
    }


def test_after_the_soak_a_few_looks_suffice(stub_server: StubServer, clock: FakeClock) -> None:
    """Given a cutover an hour ago and a soak of ten minutes, then three looks say that it is good now."""
    found = watch(coolify(stub_server))
    assert (found["answer"], found["looks"], found["final"]) == (GOOD, 3, True)
    assert clock.slept == [5, 5]
    assert [event["text"] for event in found["events"]] == [
        "Seen well (health address: HTTP 200, Coolify: running:healthy)",
        "Answer: good",
    ]


@pytest.mark.parametrize(
    ("status", "version"), [("running:unknown", "4.3.11"), ("running:unhealthy", "4.0.0-beta.444")]
)
def test_without_a_health_check_a_person_is_asked(
    stub_server: StubServer, sentry: Sentry, clock: FakeClock, status: str, version: str
) -> None:
    """Given no check in Coolify, then only the health address, or a quiet Sentry, lets it be good."""
    server = coolify(stub_server, status, checked=False, version=version)
    found = watch(server, health_url=None)
    assert (found["answer"], found["final"], found["looks"]) == (UNKNOWN, True, 3)
    assert f"nothing looks at its health (Coolify: {status})" in found["reasons"][0]
    assert found["events"][0]["text"] == f"Seen running, and nothing looks at its health (Coolify: {status})"
    assert watch(server)["answer"] == GOOD
    sentry.events = lambda _at: 1
    assert watch(server, health_url=None, **compared(sentry))["answer"] == GOOD


def test_looks_that_take_long_are_as_many(stub_server: StubServer, clock: FakeClock) -> None:
    """Given looks that take longer than the soak has left, then there are still three of them."""
    server = coolify(stub_server)

    class Slow(FakeClock):
        def monotonic(self) -> float:
            self.now += 20
            return self.now

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_waiter, "CLOCK", Slow())
        found = watch(server, ago=590)
    assert (found["answer"], found["looks"]) == (UNKNOWN, 3), "the soak, by the calendar, is not over"


def test_an_application_that_fails_is_bad_at_once(stub_server: StubServer, clock: FakeClock) -> None:
    """Given a health address that answers 503, then three looks suffice, long before the soak is over."""
    server = coolify(stub_server)
    server.answer("GET", "/health", {"database": "gone"}, status=503)
    found = watch(server, ago=100)
    assert (found["answer"], found["looks"], found["looks_not_well"]) == (BAD, 3, 3)
    assert "HTTP 503" in found["reasons"][0]


def test_the_newest_deployment_counts(stub_server: StubServer, clock: FakeClock) -> None:
    """Given a deployment that failed since the cutover, or one that runs, then it is not good."""
    later, earlier = ((datetime.now(UTC) - timedelta(seconds=ago)).isoformat() for ago in (60, 7200))

    def deployment(status: str, at: str) -> Json:
        return {"deployment_uuid": "d1", "status": status, "commit": "abc", "created_at": at, "logs": "[]"}

    failed = watch(coolify(stub_server, deployments=[deployment("failed", later)]))
    assert failed["answer"] == UNKNOWN and "the newest deployment has failed (d1: failed)" in failed["reasons"]
    running = watch(coolify(stub_server, deployments=[deployment("in_progress", later)]))
    assert running["answer"] == UNKNOWN and "a deployment is running" in running["reasons"]
    assert watch(coolify(stub_server, deployments=[deployment("failed", earlier)]))["answer"] == GOOD


def test_previews_do_not_hide_a_failed_deployment(stub_server: StubServer, clock: FakeClock) -> None:
    """Given a page of deployments of pull requests before it, then the application's own failed one is seen."""
    at = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    own = {"deployment_uuid": "d1", "status": "failed", "commit": "abc", "created_at": at, "logs": "[]"}
    previews = [{**own, "deployment_uuid": f"p{n}", "status": "finished", "pull_request_id": 7} for n in range(10)]
    found = watch(coolify(stub_server, deployments=[*previews, own]))
    assert "the newest deployment has failed (d1: failed)" in found["reasons"]


def test_a_list_of_deployments_that_fails_is_not_empty(stub_server: StubServer, clock: FakeClock) -> None:
    """Given a Coolify that does not list them, then it is not good, and it says so."""
    server = coolify(stub_server)
    server.answer("GET", "/api/v1/deployments/applications/app1", {"message": "Forbidden"}, status=403)
    found = watch(server)
    assert found["answer"] == UNKNOWN and "the deployments could not be read" in found["reasons"]
    assert found["notes"]


def test_a_service_that_does_not_answer_is_noted(stub_server: StubServer, sentry: Sentry, clock: FakeClock) -> None:
    """Given a Sentry that refuses the token, then the watch goes on, and says what is missing and why."""
    options = {**compared(sentry), "sentry_auth_token": "sntrys_Wr0ngWr0ngWr0ngWr0ngWr0ng"}
    found = watch(coolify(stub_server), **options)
    assert found["answer"] == UNKNOWN and found["rate"] is None
    assert any("Invalid token" in note for note in found["notes"])
    assert any("before the incident is not known" in reason for reason in found["reasons"])


def test_the_error_rate_is_compared_with_the_time_before(
    stub_server: StubServer, sentry: Sentry, clock: FakeClock
) -> None:
    """Given as many events as before, then it is good; with many more it is bad."""
    sentry.events = lambda _at: 2
    found = watch(coolify(stub_server), **compared(sentry))
    assert (found["answer"], found["baseline"]["per_minute"], found["limit"]) == (GOOD, 12, 25)
    cut = datetime.now(UTC).timestamp() - 3600
    sentry.events = lambda at: 2 if at < cut else 20
    worse = watch(coolify(stub_server), **compared(sentry))
    assert worse["answer"] == BAD and worse["rate"]["per_minute"] == 120
    sentry.events = lambda at: 2 if at < cut + 3200 else 9
    late = watch(coolify(stub_server), **compared(sentry))
    assert late["answer"] == BAD and late["recent"]["per_minute"] == 54 and late["rate"]["per_minute"] < late["limit"]


def test_the_time_before_is_read_once_it_can_be(stub_server: StubServer, sentry: Sentry, clock: FakeClock) -> None:
    """Given a Sentry that refuses the time before at first, then the next look reads it, once, and too many are bad."""
    options = compared(sentry)
    until = datetime.fromisoformat(options["baseline_until"]).timestamp()
    sentry.retry_headers = {"Retry-After": "60"}

    def events(at: int) -> int:
        if at >= until and len(sentry.asked) == 1:
            # What is asked for next, after the time since the cutover, is the time before.
            sentry.refuse_next = 1
        return 2 if at < until else 20

    sentry.events = events
    found = watch(coolify(stub_server), **options)
    assert (found["answer"], found["looks"], found["limit"]) == (BAD, 2, 25)
    before = [query for query in sentry.asked if float(query["since"][0]) < until - 60]
    assert (len(before), len(sentry.asked)) == (1, 3), "it is read once, and at most once in a look"
    assert any("too frequently" in note for note in found["notes"])
    (event,) = [event for event in found["events"] if "before the incident could be read" in event["text"]]
    assert event["at"] == found["baseline_read_at"]


def test_check_mode_looks_once(stub_server: StubServer, clock: FakeClock) -> None:
    """Given check mode, then there is one look and no wait, and the answer is not final."""
    found = watch(coolify(stub_server), ago=10, check_mode=True)
    assert (found["looks"], found["final"], found["answer"]) == (1, False, UNKNOWN)
    assert clock.slept == []


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given an application, when it is watched in the controller's process and as a module, then the results agree."""
    server = coolify(stub_server)
    options = {"application": "app1", "since": "2025-01-13T14:52:10Z", "soak": 1, "poll_interval": 0.01}
    reach = {"coolify_api_url": server.url, "coolify_access_token": COOLIFY_TOKEN}
    result = both_ways.same("incident_watch", {**options, **reach}, volatile=frozenset({"watch"}))
    assert result["changed"] is False
