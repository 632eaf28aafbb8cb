# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that says what failed: a person must read what and why, also of one item among many."""

from __future__ import annotations

from typing import Any

from ansible_collections.rewind.database.plugins.filter.failures import FilterModule

what_failed = FilterModule().filters()["what_failed"]
SKIPPED: dict[str, Any] = {"skipped": True, "changed": False}


def test_a_failure_is_named_with_its_reason_and_the_others_are_not() -> None:
    """Given a task that failed, one that succeeded and one that was skipped, then the first is named, with why."""
    results = {
        "lift the fence": {"failed": True, "msg": "lift the fence of tracker:\n  the role does not own it."},
        "put the string back": {"changed": True},
        "deploy": SKIPPED,
        "prove": {},
    }
    assert what_failed(results) == ["lift the fence: lift the fence of tracker: the role does not own it"]
    assert what_failed({}) == []


def test_of_a_loop_each_item_that_failed_is_named_with_its_own_reason() -> None:
    """Given a loop of which two items failed, then both are named, by what a person calls them where that is known."""
    uuid = "n1kz0hg8q4w2e6r8t0y2u4i6"
    loop = {
        "failed": True,
        "msg": "One or more items failed",
        "results": [
            {"failed": False, "item": "ep-one", "ansible_loop_var": "item"},
            {"failed": True, "item": "ep-two", "ansible_loop_var": "item", "msg": "HTTP 423"},
            {**SKIPPED, "item": "ep-three"},
            {"failed": True, "item": {"key": f"env_{uuid}_row", "value": {}}, "msg": "HTTP 401"},
        ],
    }
    assert what_failed({"put back": loop}, {uuid: "the api"}) == [
        "put back (ep-two): HTTP 423",
        f"put back (the api, env_{uuid}_row): HTTP 401",
    ]


def test_a_failure_without_a_message_is_not_lost() -> None:
    """Given a failure that says nothing, then it is a failure all the same."""
    assert what_failed({"deploy": {"failed": True}}) == ["deploy: the task deploy failed"]
