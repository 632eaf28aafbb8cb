# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How instants, durations, LSNs and ids are read and written."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.neon.errors import NeonError
from sandbox.neon.ids import Ids
from sandbox.neon.schedules import next_run
from sandbox.neon.times import go_duration, go_time, lsn_number, parse_instant, parse_lsn, rfc3339

INSTANTS = st.integers(0, 2**51).map(lambda micro: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro))


@given(INSTANTS)
def test_given_any_instant_when_written_and_read_then_no_microsecond_is_lost(instant: datetime) -> None:
    assert parse_instant(rfc3339(instant)) == instant


@given(INSTANTS, st.integers(-14 * 60, 14 * 60))
def test_given_an_offset_when_read_then_the_instant_is_the_same(instant: datetime, minutes: int) -> None:
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    local = (instant + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat(timespec="microseconds")
    assert parse_instant(f"{local}{sign}{hours:02}:{rest:02}") == instant


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2025-01-13 14:25:00+00:00", 'cannot parse " 14:25:00+00:00" as "T"'),
        ("2025-01-13T14:25:00", 'cannot parse "" as "Z07:00"'),
        ("2025-01-13T14:25:00+00", 'cannot parse "+00" as "Z07:00"'),
        ("13.01.2025", 'cannot parse "13.01.2025" as "2006"'),
        ("2025-02-30T14:25:00Z", "value out of range"),
        (None, 'cannot parse "None"'),
    ],
)
def test_given_another_notation_when_read_then_it_is_refused_in_the_words_of_the_real_parser(
    text: object, reason: str
) -> None:
    with pytest.raises(NeonError) as refused:
        parse_instant(text)
    assert refused.value.status == 400
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("seconds", "text"), [(21600, "6h0m0s"), (604800, "168h0m0s"), (61, "1m1s"), (30, "30s"), (0, "0s")]
)
def test_given_seconds_when_told_then_as_go_prints_a_duration(seconds: int, text: str) -> None:
    assert go_duration(seconds) == text


def test_given_an_instant_when_told_then_as_go_prints_it() -> None:
    assert go_time(datetime(2026, 6, 4, 0, 25, 59, tzinfo=UTC)) == "2026-06-04 00:25:59 +0000 UTC"
    assert go_time(datetime(2026, 6, 4, 0, 25, 59, 120000, tzinfo=UTC)) == "2026-06-04 00:25:59.12 +0000 UTC"


@given(st.integers(0, 2**64 - 1))
def test_given_any_position_when_written_as_an_lsn_then_it_is_read_back(number: int) -> None:
    assert lsn_number(parse_lsn(f"{number >> 32:x}/{number & 0xFFFFFFFF:X}")) == number


@pytest.mark.parametrize("text", ["", "0", "0/", "0/123456789", "g/1", "0/1 ", 5])
def test_given_something_else_than_an_lsn_when_read_then_it_is_refused(text: object) -> None:
    with pytest.raises(NeonError):
        parse_lsn(text)


@given(st.integers())
def test_given_any_seed_when_ids_are_made_then_they_look_like_the_real_ones(seed: int) -> None:
    ids = Ids(random.Random(seed))
    assert re.fullmatch(r"br-[a-z0-9]+-[a-z0-9]+-[a-z0-9]+", ids.fresh("br"))
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{8}", ids.project(()))
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ids.operation())


def test_given_an_id_that_is_taken_when_another_is_made_then_it_differs() -> None:
    first = Ids(random.Random(1)).fresh("br")
    assert Ids(random.Random(1)).fresh("br", {first}) != first


@pytest.mark.parametrize(
    ("item", "due"),
    [
        ({"frequency": "daily", "hour": 3}, datetime(2026, 2, 12, 3, tzinfo=UTC)),
        ({"frequency": "daily", "hour": 23}, datetime(2026, 2, 11, 23, tzinfo=UTC)),
        ({"frequency": "weekly", "day": 1}, datetime(2026, 2, 16, tzinfo=UTC)),
        ({"frequency": "monthly", "day": 31, "hour": 1}, datetime(2026, 2, 28, 1, tzinfo=UTC)),
    ],
)
def test_given_a_schedule_item_when_asked_then_the_next_run_is_the_first_that_fits(
    item: dict[str, object], due: datetime
) -> None:
    assert next_run(item, datetime(2026, 2, 11, 12, 30, tzinfo=UTC)) == due
