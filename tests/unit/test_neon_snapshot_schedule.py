# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_snapshot_schedule: read, replaced as a whole, and not sent where it is so already."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import MAIN, PROJECT, P, call
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script

Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("clock")

AT = f"{P}/branches/{MAIN}/backup_schedule"
NIGHTLY: Json = {"frequency": "daily", "hour": 3}


def schedule(*, check_mode: bool = False, **options: Any) -> Json:
    return call("neon_snapshot_schedule", check_mode=check_mode, branch_id=MAIN, **options)


def test_it_is_read_where_nothing_is_wanted(script: Script) -> None:
    script.expect("GET", AT, {"schedule": [NIGHTLY]})
    result = schedule()
    assert (result["changed"], result["schedule"], result["available"]) == (False, [NIGHTLY], True)


@pytest.mark.parametrize("status", [412, 422])
def test_a_branch_that_can_have_none_has_none(script: Script, status: int) -> None:
    """Given a plan without schedules, or a branch that is no root, then reading is no failure, and setting is one."""
    script.expect("GET", AT, {"message": "not for this one"}, status=status)
    result = schedule()
    assert (result["changed"], result["schedule"], result["available"]) == (False, [], False)
    script.expect("GET", AT, {"message": "not for this one"}, status=status)
    assert schedule(schedule=[NIGHTLY])["error"]["http_status"] == status


def test_a_schedule_that_cannot_be_read_is_not_taken_for_none(script: Script) -> None:
    script.expect("GET", AT, {"message": "no such branch"}, status=404)
    assert schedule()["error"]["code"] == "not_found"


def test_it_is_replaced_as_a_whole_and_read_back(script: Script) -> None:
    """Given another schedule, then one write, whose answer says nothing, and what Neon shows then."""
    script.expect("GET", AT, {"schedule": [{"frequency": "weekly", "day": 1}]})
    script.expect("PUT", AT, {}, json={"schedule": [NIGHTLY]})
    script.expect("GET", AT, {"schedule": [{**NIGHTLY, "retention_seconds": 3024000}]})
    result = schedule(schedule=[NIGHTLY])
    assert result["changed"] is True and result["schedule"][0]["retention_seconds"] == 3024000
    assert result["diff"]["before"] == [{"frequency": "weekly", "day": 1}]


def test_what_neon_adds_to_it_is_no_difference(script: Script) -> None:
    script.expect("GET", AT, {"schedule": [{**NIGHTLY, "retention_seconds": 3024000}]})
    assert schedule(schedule=[NIGHTLY])["changed"] is False


@pytest.mark.parametrize("wanted", [[], [NIGHTLY, {"frequency": "monthly", "day": 1}]])
def test_a_check_sends_nothing(script: Script, wanted: list[Json]) -> None:
    script.expect("GET", AT, {"schedule": [NIGHTLY]})
    result = schedule(check_mode=True, schedule=wanted)
    assert result["changed"] is True and result["schedule"] == wanted


def test_a_lost_answer_is_read_back(script: Script) -> None:
    """Given a write whose answer got lost and that had arrived, then it counts as done, and is not sent again."""
    script.expect("GET", AT, {"schedule": []})
    script.expect("PUT", AT, httpx.ReadTimeout("lost"))
    script.expect("GET", AT, {"schedule": [NIGHTLY]})
    script.expect("GET", AT, {"schedule": [NIGHTLY]})
    assert schedule(schedule=[NIGHTLY])["changed"] is True


def test_a_predicted_branch_has_none_and_nobody_is_asked(script: Script) -> None:
    assert script is not None
    result = call("neon_snapshot_schedule", check_mode=True, branch_id="predicted:branch/main", schedule=[NIGHTLY])
    assert result["changed"] is True and result["schedule"] == [NIGHTLY]


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    stub_server.answer("GET", f"/api/v2{AT}", {"schedule": [NIGHTLY]})
    options = {"project_id": PROJECT, "branch_id": MAIN, "neon_api_url": f"{stub_server.url}/api/v2"}
    result = both_ways.same("neon_snapshot_schedule", options, variables={"rewind_neon_api_key": NEON_KEY})
    assert result["schedule"] == [NIGHTLY]
