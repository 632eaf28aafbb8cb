# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a drill asks of the running database before there is a copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils._postgres import checks
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Limits, connect
from ansible_collections.rewind.database.tests.unit.postgres_cluster import ADMIN, Cluster
from ansible_collections.rewind.database.tests.unit.postgres_world import address
from ansible_collections.rewind.database.tests.unit.stubbed_roles import CLONE, Story, StubbedRoles

Json = dict[str, Any]
VARIABLES = yaml.safe_load((CLONE / "roles" / "drill" / "vars" / "main.yml").read_text(encoding="utf-8"))


@pytest.fixture
def roles(tmp_path: Path) -> StubbedRoles:
    return StubbedRoles(tmp_path)


def asked(cluster: Cluster, database: str, variable: str = "__drill_starting_checks") -> dict[str, Json]:
    """The checks of the role, answered by a real database."""
    wanted = [checks.Check.of(check) for check in VARIABLES[variable]]
    with connect(address(cluster, database), Limits(statement=20, lock=0.3)) as session:
        outcomes = checks.run_checks(session, wanted, checks.Context())
    return {item.name: item.as_dict() for item in outcomes}


def test_subscriptions_of_all_databases_are_named(cluster: Cluster) -> None:
    """Given an enabled subscription in another database, then it is named with that; one that is not enabled is not."""
    here, there = cluster.create_database(), cluster.create_database()
    with cluster.connect(there, ADMIN) as admin:
        for name in ("orders_in", "asleep"):
            admin.execute(
                f"CREATE SUBSCRIPTION {name} CONNECTION 'host=localhost port=1 dbname=x' PUBLICATION p"
                f" WITH (connect = false, slot_name = '{name}')".encode()
            )
        admin.execute("ALTER SUBSCRIPTION orders_in ENABLE")
        try:
            found = {database: asked(cluster, database)["subscriptions"] for database in (here, there)}
        finally:
            for name in ("orders_in", "asleep"):
                admin.execute(f"ALTER SUBSCRIPTION {name} DISABLE".encode())
                admin.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)".encode())
                admin.execute(f"DROP SUBSCRIPTION {name}".encode())
    assert found[here]["found"] == [{"names": [f"orders_in (database {there})"]}]
    assert found[there]["found"] == [{"names": ["orders_in"]}]


def test_where_pg_cron_was_not_loaded_the_database_says_so(cluster: Cluster) -> None:
    """Given a server without pg_cron, then that is an answer, and only the table of its jobs cannot be read."""
    database = cluster.create_database()
    found = asked(cluster, database)
    assert found["cron"]["ok"] and found["cron"]["found"] == [{"here": database, "keeps_jobs": None}]
    assert found["extensions"]["ok"] and not found["jobs"]["ok"]
    assert not asked(cluster, database, "__drill_cron_checks")["jobs_of_cron"]["ok"]


def preflight(keeps_jobs: str | None) -> Story:
    """A drill about to begin, on a database whose pg_cron keeps its jobs there."""
    plan: Json = {"problems": [], "warnings": [], "left": [], "mode": "pitr", "instant": "now", "last": None}
    cron = {"name": "cron", "ok": True, "found": [{"here": "tracker", "keeps_jobs": keeps_jobs}]}
    empty: Json = {"branches": [], "consumers": [], "records": [], "unfinished": [], "project": {}}
    names = ("neon_project_info", "neon_branch_info", "coolify_consumer_info", "run_record", "run_journal unfinished")
    return Story(
        {
            "drill_target": "staging",
            "drill_neon_project_id": "late-frost-12345678",
            "drill_coolify_application": "n1kz0hg8q4w2e6r8t0y2u4i6",
            "__drill_journal": {"run": {"id": "20250113T150000Z-drill-0a1b2c", "started_at": "2025-01-13T15:00:00Z"}},
            "__drill_starting": {},
            "__drill_starting_cron": {},
        },
        {
            **dict.fromkeys(names, empty),
            "drill_plan": {"plan": {**plan, "name": "none", "primary": {"branch_id": "br-main-root-a1"}}},
            "postgres_check": {"checks": [cron]},
        },
    )


def test_the_database_that_keeps_the_jobs_is_asked_too(roles: StubbedRoles) -> None:
    """Given a pg_cron that keeps its jobs in another database, then that one is asked as well, and no other is."""
    places = {"elsewhere": "postgres", "here": "tracker", "not loaded": None}
    told = roles.tell("drill", "preflight", {name: preflight(place) for name, place in places.items()})
    for name, story in told.items():
        assert story.message == "", name
        first, *others = story.called("postgres_check")
        assert "database" not in first["connection"]
        assert [call["connection"]["database"] for call in others] == (["postgres"] if name == "elsewhere" else [])
        last = story.called("drill_plan")[-1]
        assert len(last["starting"]) == 1 + len(others), "what both have answered is in the plan"
