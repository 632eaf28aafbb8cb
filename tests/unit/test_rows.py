# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters that point env rows to another branch and back: what moves, what stays, and what is given back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.filter.rows import (
    FilterModule,
    not_written,
    rehearsed,
    rows_as_before,
    rows_elsewhere,
    rows_moved_to,
    rows_recorded,
    rows_to_put_back,
)
from ansible_collections.rewind.database.plugins.modules.coolify_application_env import SPEC
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, World, env_row, host_of
from ansible_collections.rewind.database.tests.unit.tools import task_of

Json = dict[str, Any]
PROJECT, NEW, APPLICATION = "late-frost-12345678", "br-new-n1", "n1kz0hg8q4w2e6r8t0y2u4i6"
DIRECT, POOLED = host_of("ep-main-compute-a1")


def rows_of_a_plan(*rows: Json) -> list[Json]:
    """The rows as a plan has them."""
    world = World()
    world.application["environment"] = list(rows)
    found: list[Json] = world.plan(cutover="repoint")["env"]["rows"]
    return found


def moved(rows: list[Json], *, with_flags: bool = False, expect: bool = False) -> list[Json]:
    return rows_moved_to(rows, PROJECT, NEW, APPLICATION, with_flags, expect)


def before(rows: list[Json]) -> list[Json]:
    return rows_as_before(rows, PROJECT, MAIN, APPLICATION)


def test_each_row_keeps_its_key_its_kind_and_its_pool() -> None:
    """Given a direct, a pooled and a preview row, then each is derived from its own value and stays what it was."""
    rows = rows_of_a_plan(
        env_row("DATABASE_URL", DIRECT),
        env_row("POOL_URL", POOLED),
        env_row("DATABASE_URL", DIRECT, is_preview=True),
    )
    shown = [
        (item["key"], item["is_preview"], item["connection"]["pooled"], item["connection"]["branch_id"])
        for item in moved(rows)
    ]
    assert shown == [
        ("DATABASE_URL", False, False, NEW),
        ("POOL_URL", False, True, NEW),
        ("DATABASE_URL", True, False, NEW),
    ]
    for item in moved(rows):
        own = item["connection"]
        assert (own["application"], own["env_key"], own["is_preview"]) == (APPLICATION, item["key"], item["is_preview"])


def test_only_a_build_time_flag_is_dropped_and_given_back() -> None:
    """Given a build-time row and an ordinary one, then the flag of the first goes and returns; nothing else is said."""
    rows = rows_of_a_plan(env_row("DATABASE_URL", DIRECT, is_buildtime=True), env_row("POOL_URL", POOLED))
    assert [item.get("is_buildtime") for item in moved(rows)] == [False, None]
    assert [item.get("is_buildtime") for item in moved(rows, with_flags=True)] == [True, None]


def test_the_flag_given_back_leaves_a_pooled_row_pooled() -> None:
    """Given a pooled build-time row, when the flag is given back from the journal, then the host stays the pooler's."""
    undo = before(rows_of_a_plan(env_row("DATABASE_URL", POOLED, is_buildtime=True)))
    given_back = moved(undo, with_flags=True)[0]
    assert given_back["connection"]["pooled"] is True and given_back["is_buildtime"] is True


def test_what_is_not_known_of_another_applications_row_is_left_as_it_is() -> None:
    """Given a consumer, of whose row no flags are known, then none is written on the way there or back."""
    consumer = {"kind": "application", "uuid": "x" * 24, "name": "worker", "key": "DB", "pooled": True}
    there, back = moved([consumer])[0], before([consumer])[0]
    assert set(there) == set(back) == {"key", "is_preview", "connection"}
    assert there["connection"]["pooled"] is True and back["connection"]["pooled"] is True


def test_the_way_back_has_every_flag_and_the_string_without_its_password() -> None:
    """Given a row with flags and a template, then both are given back; a flag that was never told is not made up."""
    row = env_row("DATABASE_URL", DIRECT, is_buildtime=True, is_multiline=None, comment="by hand")
    row["connection"]["template"] = f"postgresql://tracker_owner@{DIRECT}/tracker?sslmode=require"
    undo = before(rows_of_a_plan(row))[0]
    assert undo["connection"] == {
        "project_id": PROJECT,
        "branch_id": MAIN,
        "pooled": False,
        "template": row["connection"]["template"],
    }
    flags = {key: value for key, value in undo.items() if key not in ("key", "is_preview", "connection")}
    assert flags == {
        "is_literal": True,
        "is_shown_once": False,
        "is_runtime": True,
        "is_buildtime": True,
        "comment": "by hand",
    }


def test_without_a_template_the_present_row_is_the_base() -> None:
    """Given a row whose string was not journalled, then its present value is used: only the host is put back."""
    undo = before(rows_of_a_plan(env_row("DATABASE_URL", DIRECT)))[0]
    assert undo["connection"]["env_key"] == "DATABASE_URL" and undo["connection"]["application"] == APPLICATION
    assert "template" not in undo["connection"]


OTHER, OTHER_HOST = "br-hotfix-h1", host_of("ep-hotfix-compute-h1")[0]
NEW_HOST = host_of("ep-new-compute-n1")[0]
BRANCHES = [
    {"id": MAIN, "name": "main", "endpoints": [{"host": DIRECT, "pooler_host": POOLED}]},
    {"id": NEW, "name": "restore-a", "endpoints": [{"host": NEW_HOST}]},
    {"id": OTHER, "name": "hotfix", "endpoints": [{"host": OTHER_HOST}]},
]


def elsewhere(host: str, branches: list[Json] | None = None, step: Json | None = None, **more: Any) -> list[Any]:
    """What is found of a row that a run had moved from MAIN to NEW, and that leads to this host now."""
    undo = {"variables": before(rows_of_a_plan(env_row("DATABASE_URL", DIRECT)))}
    steps = {
        "env_flags": {"undo": {"variables": [{"key": "OTHER_URL", "is_preview": False}]}},
        "env": {"phase": "done", "ids": {"application": APPLICATION}, "undo": undo, **(step or {})},
    }
    now = {"application": {"uuid": APPLICATION, "environment": [env_row("DATABASE_URL", host, **more)]}}
    found = rows_elsewhere(steps, [now, {"failed": True}], BRANCHES if branches is None else branches, [MAIN, NEW])
    return [item["leads_to"] for item in found]


@pytest.mark.parametrize("host", [DIRECT, POOLED, NEW_HOST])
def test_a_row_on_either_side_of_the_run_is_its_own(host: str) -> None:
    """Given a row on the new branch, or on the old one as a killed run leaves it, then nothing leads elsewhere."""
    assert elsewhere(host) == []


def test_a_row_that_somebody_has_pointed_to_another_branch_is_named_with_it() -> None:
    """Given a row that a person has pointed to a hotfix branch, or to another host, then that is what is told."""
    assert elsewhere(OTHER_HOST) == ["hotfix"]
    assert elsewhere("db.example.com") == ["db.example.com"]


def test_a_row_that_was_never_written_or_that_nobody_can_read_leads_nowhere_else() -> None:
    """Given a run that found the row changed, a locked row, or a deleted branch known from the journal, then none."""
    refused = {"phase": "failed", "error": {"code": "row_changed"}}
    assert elsewhere(OTHER_HOST, step=refused) == []
    assert elsewhere(OTHER_HOST, step={**refused, "error": {"code": "timeout"}}) == ["hotfix"]
    assert elsewhere(OTHER_HOST, connection=None, readable=False) == []
    assert elsewhere(OTHER_HOST, branches=[*BRANCHES[:2], {**BRANCHES[2], "id": NEW}]) == []


def recorded(number: int, **more: Any) -> Json:
    """A verified backup of its minute, with as many users."""
    made = {"created_at": f"2025-01-13T14:{number:02d}:05Z", "restore_point": None, "rows": {'public."User"': number}}
    return {"target": "tracker", "verified": True, **made, **more}


@pytest.mark.parametrize(
    ("at", "users"),
    [(None, 30), ("2025-01-13T14:30:00Z", 20), ("2025-01-13T14:20:05Z", 20), ("2025-01-13T14:10:00Z", None)],
)
def test_rows_are_measured_by_the_last_backup_before(at: str | None, users: int | None) -> None:
    """Given backups, then the newest verified one of this target that is not of a later state is what counts."""
    log = [
        recorded(20),
        recorded(30),
        recorded(40, verified=False),
        recorded(50, target="other"),
        recorded(55, rows={}),
    ]
    found = rows_recorded(log, "tracker", at)
    assert found == ({"tables": {'public."User"': {"rows": users}}} if users else {})
    assert rows_recorded([recorded(50, restore_point="2025-01-13T14:01:00Z")], "tracker", "2025-01-13T14:02:00Z")
    assert rows_recorded([], "tracker") == {}


def test_a_row_is_moved_only_if_it_is_still_what_the_plan_was_made_from() -> None:
    """Given rows of a plan, then each carries the hash that was seen, and only where that is asked for."""
    rows = rows_of_a_plan(env_row("DATABASE_URL", DIRECT))
    assert [item.get("expected_hash") for item in moved(rows)] == [None]
    assert [item.get("expected_hash") for item in moved(rows, expect=True)] == ["0a1b2c3d4e5f"]
    for nothing_to_compare in ({"moved": True}, {"readable": False}, {"hash": None}):
        assert "expected_hash" not in moved([{**rows[0], **nothing_to_compare}], expect=True)[0]
    assert "expected_hash" not in before(rows)[0], "the way back is gone whatever stands in the row"


def test_a_row_that_nobody_can_read_is_made_from_the_string_that_was_supplied() -> None:
    """Given a locked row and its string in the environment, then both ways start from that, and may overwrite it."""
    row = env_row("DATABASE_URL", DIRECT, is_shown_once=True, is_buildtime=True, readable=False, supplied=True)
    template = f"postgresql://tracker_owner@{DIRECT}/tracker"
    row["connection"]["template"] = template
    rows = rows_of_a_plan(row)
    there, back = moved(rows, expect=True)[0], before(rows)[0]
    for item, branch_id in ((there, NEW), (back, MAIN), (moved([back], with_flags=True)[0], NEW)):
        assert item["overwrite_locked"] is True
        assert item["connection"] == {
            "project_id": PROJECT,
            "branch_id": branch_id,
            "pooled": False,
            "template": template,
            "password_env": "REWIND_OLD_CONNECTION_STRING",
        }
    assert "expected_hash" not in there and back["is_shown_once"] is True


def test_a_readable_row_whose_password_is_supplied_is_not_overwritten_blindly() -> None:
    """Given a project that does not reveal passwords, then the row can be read and stays subject to its own rules."""
    row = env_row("DATABASE_URL", DIRECT, supplied=True)
    row["connection"]["template"] = f"postgresql://tracker_owner@{DIRECT}/tracker"
    there, back = moved(rows_of_a_plan(row), expect=True)[0], before(rows_of_a_plan(row))[0]
    assert "overwrite_locked" not in there and "overwrite_locked" not in back
    assert there["expected_hash"] and back["connection"]["password_env"] == "REWIND_OLD_CONNECTION_STRING"


@pytest.mark.parametrize("with_flags", [False, True])
def test_the_module_takes_what_the_filters_make(with_flags: bool) -> None:
    """Given any rows, then what the filters make of them is valid for coolify_application_env."""
    locked = env_row("POOL_URL", POOLED, readable=False, supplied=True)
    locked["connection"]["template"] = f"postgresql://tracker_owner@{POOLED}/tracker"
    rows = rows_of_a_plan(env_row("DATABASE_URL", DIRECT, is_buildtime=True), locked)
    common = {"coolify_access_token": "t", "coolify_api_url": "http://127.0.0.1:1", "application": APPLICATION}
    for variables in (moved(rows, with_flags=with_flags), before(rows), moved(before(rows), with_flags=with_flags)):
        task = task_of(SPEC, {**common, "variables": variables})
        assert [item["key"] for item in task.params["variables"]] == ["DATABASE_URL", "POOL_URL"]


def test_a_rehearsal_says_which_rows_could_be_given_back() -> None:
    """Given a login that worked, one that was refused, one that could not be made and one not tried, each is told."""
    results = [
        {"item": {"key": "A"}, "passed": True, "failed_checks": [], "msg": "all is well"},
        {"item": {"key": "B", "is_preview": True}, "passed": False, "failed_checks": [{"message": "direct: no"}]},
        {"item": {"key": "C"}, "failed": False, "msg": "connect to branch x: no password is known for role y"},
        {"item": {"key": "D"}, "skipped": True, "msg": "All items skipped"},
    ]
    assert rehearsed(results) == [
        {"key": "A", "is_preview": False, "ok": True, "message": ""},
        {"key": "B", "is_preview": True, "ok": False, "message": "direct: no"},
        {
            "key": "C",
            "is_preview": False,
            "ok": False,
            "message": "connect to branch x: no password is known for role y",
        },
        {"key": "D", "is_preview": False, "ok": None, "message": "All items skipped"},
    ]


def test_ansible_finds_them_under_their_names() -> None:
    """Given the collection's filters, then all are among them."""
    names = {
        "rows_moved_to": rows_moved_to,
        "rows_as_before": rows_as_before,
        "rows_elsewhere": rows_elsewhere,
        "rows_to_put_back": rows_to_put_back,
        "not_written": not_written,
        "rows_recorded": rows_recorded,
        "rehearsed": rehearsed,
    }
    assert FilterModule().filters() == names


def test_what_somebody_else_has_written_is_not_put_back() -> None:
    """Given a journal, then its rows are put back, other applications' too, but for one that the run never wrote."""

    def step(key: str, phase: str = "done", code: str = "") -> Json:
        variables = [{"key": key, "is_preview": False}]
        return {"phase": phase, "error": {"code": code} if code else None, "undo": {"variables": variables}}

    steps = {
        "env": step("DATABASE_URL"),
        "env_worker_DATABASE_URL": step("WORKER_URL", "failed", "unknown_outcome"),
        "env_shop_DATABASE_URL": step("SHOP_URL", "failed", "row_changed"),
        "env_flags": step("FLAGS"),
        "deploy": {"phase": "done", "undo": {}},
    }
    assert [row["key"] for row in rows_to_put_back(steps)] == ["DATABASE_URL", "WORKER_URL"]


@pytest.mark.parametrize(
    ("result", "own", "any_row"),
    [
        ({}, False, False),
        ({"failed": False, "partial": {"not_saved": ["DATABASE_URL"]}}, False, False),
        ({"failed": True, "error": {"code": "unreachable"}}, False, False),
        ({"failed": True, "error": {"code": "row_changed"}}, True, True),
        ({"failed": True, "partial": {"not_saved": ["DATABASE_URL"]}}, True, True),
        ({"failed": True, "partial": {"not_saved": ["DATABASE_URL (preview)"]}}, False, True),
        ({"failed": True, "partial": {"saved": ["DATABASE_URL"], "not_saved": []}}, False, False),
    ],
)
def test_a_row_has_stayed_only_where_that_is_known(result: Json, own: bool, any_row: bool) -> None:
    """Given a write that failed, then only what was read back, or refused before it was sent, was not written."""
    assert bool(not_written([result], "DATABASE_URL")) is own
    assert bool(not_written([result])) is any_row
