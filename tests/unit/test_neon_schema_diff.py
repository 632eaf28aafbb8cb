# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_schema_diff: which two sides are compared, and what the difference says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import MAIN, NEW, POINT, PROJECT, P, branch, call
from ansible_collections.rewind.database.tests.unit.neon_project import main_branch as main
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script

Json = dict[str, Any]

CHILD = branch(NEW, "restore-1", parent_id=MAIN)
# A dropped comment and an added one look like the header's lines.
TEXT = """--- a/tracker
+++ b/tracker
@@ -1,3 +1,3 @@
 CREATE TABLE "User" (id integer);
--- the old remark
+++ the new remark
+CREATE TABLE "Quest" (id integer);
"""


def listed(script: Script) -> None:
    script.expect("GET", f"{P}/branches", {"branches": [main(), CHILD], "pagination": {}})


def diff(*, check_mode: bool = False, **options: Any) -> Json:
    return call("neon_schema_diff", check_mode=check_mode, **{"database": "tracker", **options})


@pytest.mark.parametrize(
    ("asked", "compared", "query"),
    [
        ({"branch": NEW}, NEW, {"base_branch_id": MAIN}),
        ({"branch": "restore-1", "base_branch": "main"}, NEW, {"base_branch_id": MAIN, "timestamp": None}),
        ({"branch": "main", "base_timestamp": POINT}, MAIN, {"base_branch_id": MAIN, "base_timestamp": POINT}),
        (
            {"branch": NEW, "lsn": "0/2", "base_lsn": "0/1"},
            NEW,
            {"base_branch_id": NEW, "lsn": "0/2", "base_lsn": "0/1"},
        ),
        (
            {"branch": NEW, "timestamp": "2025-01-13 15:25:00 +01:00", "base_branch": MAIN},
            NEW,
            {"base_branch_id": MAIN, "timestamp": POINT, "base_timestamp": None},
        ),
    ],
)
def test_both_sides_are_named_to_neon(script: Script, asked: Json, compared: str, query: Json) -> None:
    """Given a branch and what to compare it with, then one question with both sides and their instants."""
    listed(script)
    wanted = {"db_name": "tracker", **query}
    script.expect("GET", f"{P}/branches/{compared}/compare_schema", {"diff": ""}, query=wanted)
    result = diff(**asked)["schema_diff"]
    assert result["equal"] is True and result["text"] == "" and result["lines_added"] == 0, result
    assert result["compared"]["branch_id"] == compared and result["base"]["branch_id"] == query["base_branch_id"]


def test_a_difference_is_returned_as_text_and_counted(script: Script) -> None:
    """Given two schemas, then the unified diff as it is, and its lines without the header's."""
    listed(script)
    script.expect("GET", f"{P}/branches/{NEW}/compare_schema", {"diff": TEXT})
    result = diff(branch=NEW)
    shown = result["schema_diff"]
    assert result["changed"] is False and shown["equal"] is False and shown["text"] == TEXT
    assert (shown["lines_added"], shown["lines_removed"]) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"branch": "main"}, "no parent to compare it with"),
        ({"branch": "main", "base_branch": MAIN}, "both sides are the same"),
        ({"branch": "main", "timestamp": POINT, "base_timestamp": POINT}, "both sides are the same"),
        ({"branch": "none"}, "there is none of that id or name"),
    ],
)
def test_a_question_without_two_sides_is_not_asked(script: Script, asked: Json, words: str) -> None:
    """Given a root without a base, or the same twice, then an error that says what to set."""
    listed(script)
    assert words in diff(**asked)["msg"]


def test_an_instant_before_the_window_is_explained(script: Script) -> None:
    """Given Neon's refusal of an instant, then its code."""
    listed(script)
    text = 'timestamp is before retention window; timestamp:"2025", retention_window:"6h0m0s"'
    script.expect("GET", f"{P}/branches/{MAIN}/compare_schema", {"code": "", "message": text}, status=400)
    assert diff(branch="main", base_timestamp=POINT)["error"]["code"] == "before_history_window"


def test_a_branch_that_does_not_exist_yet_is_not_compared(script: Script) -> None:
    """Given a predicted branch in check mode, then the usual shape with a reason; outside of it an error."""
    shown = diff(branch="predicted:branch/x", base_branch="main", check_mode=True)["schema_diff"]
    assert shown["equal"] is None and shown["text"] is None and shown["skipped_reason"]
    listed(script)
    assert diff(branch="predicted:branch/x")["error"]["code"] == "predicted_id"


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a difference, then both ways give equal results."""
    stub_server.answer("GET", f"/api/v2{P}/branches", {"branches": [main(), CHILD], "pagination": {}})
    stub_server.answer("GET", f"/api/v2{P}/branches/{NEW}/compare_schema", {"diff": TEXT})
    options = {
        "project_id": PROJECT,
        "database": "tracker",
        "branch": NEW,
        "neon_api_url": f"{stub_server.url}/api/v2",
    }
    result = both_ways.same("neon_schema_diff", options, variables={"rewind_neon_api_key": NEON_KEY})
    assert result["schema_diff"]["text"] == TEXT
