# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many rows were written since a manifest: never fewer than there were, and unknown where nobody can tell."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._postgres import written
from ansible_collections.rewind.database.plugins.module_utils._postgres.comparison import compare
from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import SCHEMA, expect, options
from ansible_collections.rewind.database.tests.unit.tools import Script, call_module
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
USER, LOG = 'public."User"', 'public."Log"'


def manifest(**tables: tuple[int, str | None, str | None]) -> Json:
    """A manifest: by table, rows, newest row and the column that says so. The hash differs where one of them does."""
    return {
        "version": 1,
        "server_version": "17.2",
        "schema_hash": "a",
        "migration": None,
        "sequences": {"public.s": {"last_value": 100, "increment": 1}},
        "extensions": {},
        "skipped": {},
        "tables": {
            f'public."{name}"': {"rows": rows, "newest": newest, "newest_column": column, "hash": f"r:{rows}{newest}"}
            for name, (rows, newest, column) in tables.items()
        },
    }


VERIFIED = manifest(User=(100, "2025-01-13T14:24:00Z", "updatedAt"), Log=(10, None, None))


def since(after: Json, **newer: int) -> Json:
    """What was written since, where so many rows of the tables are newer."""
    rows = {f'public."{name}"': count for name, count in newer.items()}
    return written.written(compare(VERIFIED, after), after, rows)


def with_(**changes: Any) -> Json:
    return {**copy.deepcopy(VERIFIED), **changes}


def test_only_changed_tables_are_asked() -> None:
    """Given a changed table with a column that says so, then only its newer rows are counted."""
    now = manifest(User=(103, "2025-01-13T14:58:00Z", "updatedAt"), Log=(10, None, None))
    assert written.queries(compare(VERIFIED, now), now) == {
        USER: f"SELECT count(*) AS written FROM {USER} WHERE \"updatedAt\" > '2025-01-13T14:24:00Z'::timestamptz"
    }
    assert since(now, User=3) == {"tables": {USER: 3}, "rows": 3, "why": ""}
    assert since(VERIFIED) == {"tables": {}, "rows": 0, "why": ""}


def test_what_was_not_looked_at_is_unknown() -> None:
    """Given tables that were counted only, or not read, or another schema, then nothing says how many rows it were."""
    uncounted = {name: {**table, "hash": None} for name, table in VERIFIED["tables"].items()}
    cases: dict[str, Json] = {
        "counted and not hashed": with_(tables=uncounted),
        "change of the schema": with_(schema_hash="b"),
        "has done": with_(extensions={"pg_cron": "1.6"}),
        'what is in public."Secret"': with_(skipped={'public."Secret"': "row security hides rows from this role"}),
    }
    for why, after in cases.items():
        found = since(after)
        assert found["rows"] is None and why in found["why"], why
    elsewhere = with_(skipped={"public.far": "foreign table: its rows are elsewhere"})
    assert since(elsewhere)["rows"] == 0
    log = manifest(User=(100, "2025-01-13T14:24:00Z", "updatedAt"), Log=(11, None, None))
    assert since(log) == {"tables": {LOG: None}, "rows": None, "why": f"what changed in {LOG}"}


@pytest.mark.parametrize(("rows", "newer"), [(100, 0), (103, 0), (103, 2)])
def test_a_column_that_is_not_set_each_time_proves_nothing(rows: int, newer: int) -> None:
    """Given a table that has changed by more than its column says, then how much is unknown."""
    now = manifest(User=(rows, "2025-01-13T14:24:00Z", "updatedAt"), Log=(10, None, None))
    now["tables"][USER]["hash"] = "r:other"
    assert since(now, User=newer)["rows"] is None


@pytest.mark.parametrize(
    ("last", "increment", "rows"), [(133, 1, 0), (140, 1, 40), (500, 10, 40), (99, 1, None), (None, 1, None)]
)
def test_a_number_that_was_drawn_counts_as_a_row(last: int | None, increment: int, rows: int | None) -> None:
    """Given sequences that were used and no row for it, then so many were deleted again, or are known elsewhere."""
    before = with_(sequences={"public.s": {"last_value": 100, "increment": increment}})
    after = with_(sequences={"public.s": {"last_value": last, "increment": increment}})
    assert written.written(compare(before, after), after, {})["rows"] == rows
    gone = with_(sequences={})
    assert written.written(compare(before, gone), gone, {})["rows"] is None


def test_rows_and_their_numbers_count_once() -> None:
    """Given rows with a number each, then they are not counted twice."""
    now = manifest(User=(140, "2025-01-13T14:58:00Z", "updatedAt"), Log=(10, None, None))
    now["sequences"] = {"public.s": {"last_value": 140, "increment": 1}}
    assert since(now, User=40)["rows"] == 40
    assert since(now, User=50)["rows"] == 60, "ten of the newer ones were there before, or ten were deleted"


@given(
    verified=st.integers(0, 50),
    inserted=st.integers(0, 30),
    updated=st.integers(0, 30),
    deleted=st.integers(0, 30),
    column=st.sampled_from(["updatedAt", "modified_at", "createdAt", None]),
)
def test_the_bound_is_never_below_what_was_written(
    verified: int, inserted: int, updated: int, deleted: int, column: str | None
) -> None:
    """Given any writes to a table, then the bound is at least their number, or it is unknown."""
    deleted = min(deleted, verified)
    updated = min(updated, verified - deleted)
    before = manifest(User=(verified, "2025-01-13T14:24:00Z" if verified and column else None, column))
    after = manifest(User=(verified + inserted - deleted, "x", column))
    if not inserted and not updated and not deleted:
        after = before
    compared = compare(before, after)
    newer = dict.fromkeys(written.queries(compared, after), inserted + updated)
    bound = written.written(compared, after, newer)["rows"]
    if bound is None:
        assert column is None or column == "createdAt" or not verified
    else:
        assert bound >= inserted + updated + deleted
        assert bound <= 2 * (inserted + updated) + deleted


def test_the_module_counts_in_the_database(script: Script, cluster: Cluster) -> None:
    """Given a manifest and writes since, when it is asked to, then the module says how many, and what it cannot say."""
    database = cluster.create_database(SCHEMA)
    expect(script, cluster, database)
    before = call_module("postgres_manifest", options(database))["manifest"]
    with cluster.connect(database) as connection:
        connection.execute("UPDATE \"User\" SET name = 'x', \"updatedAt\" = '2025-01-13 15:00:00' WHERE id < 4")
        connection.execute('DELETE FROM "QuestProgress" WHERE id > 198')
    compared = {"before": before, "count_written": True}
    expect(script, cluster, database)
    found = call_module("postgres_manifest", options(database, compare=compared))["written"]
    # Three were updated: they might be three new ones, in the place of three that are gone.
    assert found["tables"] == {USER: 6, 'public."QuestProgress"': 2} and found["rows"] == 8
    with cluster.connect(database) as connection:
        connection.execute("UPDATE status SET text = 'y'")
    expect(script, cluster, database)
    found = call_module("postgres_manifest", options(database, compare=compared))["written"]
    assert found["rows"] is None and found["why"] == "what changed in public.status"
    for more in ({"compare": {"count_written": True}}, {"compare": {**compared, "after": before}}):
        assert "an earlier manifest" in call_module("postgres_manifest", options(database, **more))["msg"]
