# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""neon_snapshot_info: all snapshots in one request, oldest first, filtered or queried."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.neon_project import MAIN, OTHER, PROJECT, P, call
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, Script

Json = dict[str, Any]

NEWER: Json = {
    "id": "snap-b",
    "name": "before 42",
    "created_at": "2025-01-13T12:00:00Z",
    "source_branch_id": MAIN,
    "manual": True,
}
OLDER: Json = {
    "id": "snap-a",
    "name": "daily",
    "created_at": "2025-01-12T12:00:00Z",
    "source_branch_id": OTHER,
    "manual": False,
}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["snap-a", "snap-b"]),
        ({"snapshot_id": "snap-b"}, ["snap-b"]),
        ({"name": "before 42"}, ["snap-b"]),
        ({"name": "before"}, []),
        ({"search": "before"}, ["snap-b"]),
        ({"search": "snap-a"}, ["snap-a"]),
        ({"branch_id": OTHER}, ["snap-a"]),
        ({"manual": True}, ["snap-b"]),
        ({"manual": False}, ["snap-a"]),
    ],
)
def test_each_filter_does_its_work(script: Script, asked: Json, found: list[str]) -> None:
    """Given two snapshots, then each filter leaves those that fit, oldest first, in one request."""
    script.expect("GET", f"{P}/snapshots", {"snapshots": [NEWER, OLDER]})
    result = call("neon_snapshot_info", **asked)
    assert [item["id"] for item in result["snapshots"]] == found and result["changed"] is False
    assert all(item["expires_at"] is None and item["lsn"] is None for item in result["snapshots"])


def test_a_query_says_what_is_returned(script: Script) -> None:
    """Given a JMESPath expression, then its value, as a list; a wrong one is explained."""
    for query, found in (
        ("[-1].name", ["before 42"]),
        ("[?manual].id", ["snap-b"]),
        ("[?name == 'none'] | [0]", []),
    ):
        script.expect("GET", f"{P}/snapshots", {"snapshots": [NEWER, OLDER]})
        assert call("neon_snapshot_info", query=query)["snapshots"] == found
    script.expect("GET", f"{P}/snapshots", {"snapshots": []})
    assert "JMESPath" in call("neon_snapshot_info", query="[")["msg"]


def test_a_predicted_id_finds_nothing_and_asks_nobody(script: Script) -> None:
    """Given an id from check mode, then an empty list without a request."""
    asked: list[Json] = [{"snapshot_id": "predicted:snapshot/x"}, {"branch_id": "predicted:branch/x"}]
    for options in asked:
        assert call("neon_snapshot_info", **options)["snapshots"] == []


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a project with two snapshots, then both ways give equal results."""
    stub_server.answer("GET", f"/api/v2{P}/snapshots", {"snapshots": [NEWER, OLDER]})
    options = {"project_id": PROJECT, "neon_api_url": f"{stub_server.url}/api/v2"}
    result = both_ways.same("neon_snapshot_info", options, variables={"rewind_neon_api_key": NEON_KEY})
    assert [item["id"] for item in result["snapshots"]] == ["snap-a", "snap-b"]
