# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restore points: what is understood, what is refused, how they are shown, and the names made of them."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.rewind.database.plugins.filter.time import FilterModule
from ansible_collections.rewind.database.plugins.module_utils import _time
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._time import (
    RestorePoint,
    branch_name,
    duration,
    lsn_number,
    parse_branch_name,
    parse_instant,
    parse_restore_point,
    rfc3339,
)
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2025, 1, 13, 14, 40, 0, tzinfo=UTC)
POINT = datetime(2025, 1, 13, 14, 25, 0, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")

SECONDS = st.integers(946_771_200, 1_736_640_000)
# The same examples in every run.
repeatable = settings(derandomize=True)


@st.composite
def instants(draw: st.DrawFn) -> datetime:
    return datetime.fromtimestamp(draw(SECONDS), UTC).replace(microsecond=draw(st.integers(0, 999_999)))


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-13T14:25:00Z",
        "2025-01-13t14:25:00z",
        "2025-01-13 14:25:00Z",
        "2025-01-13 14:25:00 UTC",
        "2025-01-13 14:25:00 utc",
        "2025-01-13 14:25:00+00",
        "2025-01-13T15:25:00+01:00",
        "2025-01-13 15:25:00 +0100",
        "2025-01-13T09:25:00.000-05:00",
        "2025-01-13 15:25:00 Europe/Berlin",
        "2025-01-13 20:10:00 Asia/Kathmandu",
        "  2025-01-13 14:25:00 UTC  ",
        "1736778300",
        1736778300,
        1736778300.0,
        "-15m",
        "- 900 s",
        "15 minutes ago",
        "15 min ago",
        "-0.25h",
        "10 minutes and 300 seconds ago",
        POINT,
        POINT.astimezone(ZoneInfo("Asia/Tokyo")),
    ],
)
def test_one_instant_written_in_every_accepted_way_is_the_same(text: object) -> None:
    """Given one instant in one of the accepted forms, when it is read, then it is that instant in UTC."""
    instant = parse_instant(text, now=NOW)
    assert instant == POINT
    assert instant.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2025-01-13 14:25:00", "no time zone"),
        ("2025-01-13T14:25:00.5", "no time zone"),
        (datetime(2025, 1, 13, 14, 25), "no time zone"),  # noqa: DTZ001
        (dt.date(2025, 1, 13), "hours, minutes and seconds"),
        ("2025-01-13", "hours, minutes and seconds"),
        ("2025-01-13 14:25 UTC", "hours, minutes and seconds"),
        ("2025-01-13 14:25:00 CET", "abbreviations"),
        ("2025-01-13 14:25:00 EST", "abbreviations"),
        ("2025-01-13 14:25:00 Etc/GMT+5", "against its sign"),
        ("2025-01-13 14:25:00 Europe/Atlantis", "knows no time zone"),
        ("2025-01-13 14:25:00 ../../etc/passwd", "abbreviations"),
        ("2025-01-13 14:25:00+25:00", "does not exist"),
        ("2025-02-30 14:25:00 UTC", "day"),
        ("2024-12-31 23:59:60 UTC", "second"),
        ("2025-01-13 14:25:00.1234567Z", "microsecond"),
        ("2025-01-13 14:40:00.000001 UTC", "in the future"),
        ("2026-01-01T00:00:00Z", "in the future"),
        ("20250113", "epoch seconds"),
        ("1736778300123", "epoch seconds"),
        (True, "not a text"),
        ("", "empty"),
        (None, "empty"),
        ("15m", "not understood"),
        ("+15m", "not understood"),
        ("-15M", "not understood as a time ago"),
        ("-2 months", "not understood as a time ago"),
        ("1 month ago", "not understood as a time ago"),
        ("-99999999d", "before the calendar"),
        ("0001-01-01T00:00:00+14:00", "outside of the calendar"),
        ("yesterday", "not understood"),
        ("latest", "not understood"),
        ("٢٠٢٥-٠١-١٣ 14:25:00 UTC", "not understood"),
    ],
)
def test_what_would_need_a_guess_is_refused_with_advice(text: object, said: str) -> None:
    """Given something that is no unambiguous instant, when it is read, then the error says why and what to write."""
    with pytest.raises(InvalidInput) as caught:
        parse_instant(text, now=NOW)
    assert said in caught.value.text
    assert caught.value.hint


def test_a_future_point_is_refused_with_the_present_time_in_view() -> None:
    """Given a point an hour ahead, then the message shows both it and now in UTC: a wrong zone is seen at once."""
    with pytest.raises(
        InvalidInput, match=r"2025-01-13T14:45:00Z is in the future; it is now 2025-01-13T14:40:00Z UTC"
    ):
        parse_instant("2025-01-13 15:45:00 Europe/Berlin", now=NOW)


def test_a_local_time_that_was_skipped_is_refused() -> None:
    """Given half past two in the night in which clocks went from two to three, then that time does not exist."""
    with pytest.raises(InvalidInput, match="does not exist in Europe/Berlin"):
        parse_instant("2024-03-31 02:30:00 Europe/Berlin", now=NOW)


def test_a_local_time_that_came_twice_is_refused_and_both_are_offered() -> None:
    """Given half past two in the night in which clocks went from three to two, then both instants are named."""
    with pytest.raises(InvalidInput, match="came twice") as caught:
        parse_instant("2024-10-27 02:30:00 Europe/Berlin", now=NOW)
    assert "2024-10-27 02:30:00+02:00" in caught.value.hint
    assert "2024-10-27 02:30:00+01:00" in caught.value.hint


@repeatable
@given(instants())
def test_microseconds_survive_every_form(instant: datetime) -> None:
    """Given any instant, when it is written as RFC 3339 or epoch seconds and read, then not a microsecond is lost."""
    seconds = f"{int(instant.timestamp())}.{instant.microsecond:06d}"
    assert parse_instant(rfc3339(instant), now=NOW) == instant
    assert parse_instant(seconds, now=NOW) == instant
    assert parse_instant(instant.isoformat(sep=" "), now=NOW) == instant


@repeatable
@given(instants(), st.sampled_from(ZONES))
def test_a_local_time_is_read_right_or_refused(instant: datetime, zone: str) -> None:
    """Given any instant shown on a clock in some zone, when that is read, it is that instant or refused."""
    local = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    try:
        found = parse_instant(f"{local.isoformat(sep=' ')} {zone}", now=NOW)
    except InvalidInput as error:
        assert "came twice" in error.text
    else:
        assert found == instant


@repeatable
@given(instants())
def test_a_branch_name_says_its_point(instant: datetime) -> None:
    """Given any instant, when a branch is named after it, then the name gives it back, to the millisecond."""
    name = branch_name("restore", instant)
    found = parse_branch_name(name)
    assert found is not None and found[0] == "restore" and found[1].at is not None
    assert timedelta(0) <= instant - found[1].at < timedelta(milliseconds=1)
    assert branch_name(*found) == name or instant.microsecond % 1000


@repeatable
@given(st.integers(0, 2**64 - 1))
def test_an_lsn_survives_its_branch_name(number: int) -> None:
    """Given any LSN, when a branch is named after it, then the name gives it back, and no slash is in it."""
    lsn = f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"
    name = branch_name("restore", parse_restore_point(lsn.lower()))
    assert "/" not in name
    assert parse_branch_name(name) == ("restore", RestorePoint(lsn=lsn))
    assert lsn_number(lsn) == number


@repeatable
@given(st.text())
def test_nothing_that_is_no_instant_raises_anything_else(text: str) -> None:
    """Given any text, when it is read, then it is an instant before now or refused in the collection's own way."""
    try:
        assert parse_instant(text, now=NOW) <= NOW
    except InvalidInput as error:
        assert error.msg


def test_names_are_those_of_the_rules() -> None:
    """Given points with and without a fraction, and an LSN, then the names are exactly as rule 11 says."""
    assert branch_name("backup", POINT) == "backup-20250113-142500"
    assert branch_name("restore", POINT.replace(microsecond=250_999)) == "restore-20250113-142500-250"
    assert branch_name("restore", RestorePoint(lsn="0/1A2B3C4")) == "restore-lsn-0-1A2B3C4"
    assert parse_branch_name("main") is None
    assert parse_branch_name("backup-20251399-142500") is None
    assert parse_branch_name("backup-20250113-142500-extra") is None


def test_a_point_is_echoed_in_utc_local_and_ago() -> None:
    """Given a point a quarter of an hour ago, when it is echoed, all forms that a person compares are there."""
    assert RestorePoint(at=POINT).echo(NOW, ZoneInfo("Europe/Berlin")) == {
        "utc": "2025-01-13T14:25:00Z",
        "local": "2025-01-13 15:25:00 +0100 (CET)",
        "ago": "15 min ago",
        "stamp": "20250113-142500",
        "epoch": 1736778300,
        "lsn": None,
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0 s"), (0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (72.4, "1 min 12 s")),
        *((3599.6, "1 h"), (7500, "2 h 5 min"), (97200, "1 day 3 h"), (-72, "-1 min 12 s")),
    ],
)
def test_lengths_of_time_are_written_for_people(seconds: float, text: str) -> None:
    """Given seconds, when they are written, then in the largest units that matter."""
    assert duration(seconds) == text


def test_lsns_are_compared_as_numbers() -> None:
    """Given two LSNs whose texts sort the other way, then their numbers sort right; nonsense is refused."""
    assert lsn_number("0/9000000") < lsn_number("0/A0000000") < lsn_number("1/0")
    with pytest.raises(InvalidInput, match="looks like"):
        lsn_number("0-1")


def test_the_filters_give_the_same_and_fail_as_filters_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the two filters, when they are used in a template, they answer, and what is wrong is a filter's error."""
    monkeypatch.setattr(_time, "utc_now", lambda: NOW)
    filters = FilterModule().filters()
    assert filters["restore_point"]("-15m")["utc"] == "2025-01-13T14:25:00Z"
    assert filters["restore_point"]("2025-01-13 14:25:00 UTC", "2025-01-13T15:25:00Z")["ago"] == "1 h ago"
    assert filters["restore_point"]("0/abc")["stamp"] == "lsn-0-ABC"
    assert filters["duration"]("72.4") == "1 min 12 s"
    with pytest.raises(AnsibleFilterError, match="no time zone"):
        filters["restore_point"]("2025-01-13 14:25:00")
    with pytest.raises(AnsibleFilterError, match="not a number"):
        filters["duration"]("long")
