# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that can stand in the way of a restore: each is found, says what to do, and all are found together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    MAIN_HOST,
    POINT,
    World,
    branch,
    codes,
    cutover,
    deployment,
    env_row,
    problem,
)

Json = dict[str, Any]
Change = Callable[[World], object]


def update(part: str, **changes: Any) -> Change:
    """A change of one part of the world."""
    return lambda world: getattr(world, part).update(changes)


def primary(**changes: Any) -> Change:
    return lambda world: world.branches[0].update(changes)


def row(**changes: Any) -> Change:
    return lambda world: world.application["environment"][0].update(changes)


def no_slots(kind: str) -> Change:
    return lambda world: world.project.update(limits={kind: 1})


CONSUMER = {
    "kind": "application",
    "uuid": "w0rk3r",
    "name": "worker",
    "key": "DATABASE_URL",
    "env_uuid": "row-w",
    "is_preview": False,
    "host": MAIN_HOST,
    "pooled": False,
    "application": "w0rk3r",
}
OWN_HOST = {
    **CONSUMER,
    "uuid": "n1kz0hg8q4w2e6r8t0y2u4i6",
    "name": "tracker",
    "key": "PGHOST",
    "env_uuid": "row-pghost",
}
REHEARSED = {"key": "DATABASE_URL", "is_preview": False, "ok": False, "message": "password authentication failed"}
OLDER = {"head": "0041_old", "schema_hash": "bb"}


def older_schema(world: World) -> None:
    """Another schema at the restore point, and nothing that says which commit was running then."""
    world.migration["restore_point"] = OLDER
    world.deployments["deployments"] = []


REFUSALS: list[tuple[str, Change, Json]] = [
    ("restore_point_missing", lambda w: None, {"point_in_time": ""}),
    ("restore_point_missing", lambda w: None, {"point_in_time": POINT, "backup": "latest"}),
    ("restore_point_invalid", lambda w: None, {"point_in_time": "2025-01-13 14:25:00"}),
    ("restore_point_invalid", lambda w: None, {"lsn": "not/an/lsn"}),
    ("restore_point_invalid", lambda w: None, {"point_in_time": "2025-03-30 02:30:00 Europe/Berlin"}),
    ("restore_point_future", lambda w: None, {"point_in_time": "2025-01-13T15:00:01Z"}),
    ("before_window", update("project", window_start="2025-01-13T14:25:01Z"), {}),
    ("before_window", update("project", history_retention_seconds=2000), {}),
    ("window_slides", update("project", window_start="2025-01-13T14:24:00Z"), {}),
    ("before_branch_existed", primary(created_at="2025-01-13T14:26:00Z"), {}),
    ("backup_unknown", lambda w: None, {"backup": "backup-20250101-000000"}),
    ("no_slot", no_slots("branches"), {"cutover": "repoint"}),
    ("no_slot", no_slots("branches"), {"cutover": "in_place"}),
    ("no_root_slot", no_slots("root_branches"), {"cutover": "in_place"}),
    ("protected", primary(protected=True), {"cutover": "in_place"}),
    ("not_root", primary(parent_id="br-x"), {"cutover": "in_place"}),
    ("restore_restricted", primary(restricted_actions=[{"name": "restore", "reason": "r"}]), {"cutover": "in_place"}),
    ("branch_detaching", primary(restore_status="detaching"), {"cutover": "in_place"}),
    ("branch_not_ready", primary(current_state="resetting"), {}),
    ("operations_running", update("project", running_operations=[{"id": "op1", "action": "create_branch"}]), {}),
    ("deployment_running", update("deployments", running=[{"uuid": "d1", "status": "queued"}]), {}),
    (
        "deployment_running",
        update("deployments", running=[{"uuid": "d1", "status": "in_progress"}]),
        {"cutover": "repoint"},
    ),
    ("env_row_missing", update("application", environment=[]), {}),
    ("env_row_locked", row(connection=None, readable=False, is_shown_once=True), {}),
    ("env_row_unreadable", row(connection=None, readable=False), {}),
    ("env_row_duplicate", row(duplicate=True), {}),
    ("env_row_duplicate", lambda w: w.application["environment"].append(env_row("DATABASE_URL", MAIN_HOST)), {}),
    ("host_unknown", row(connection={"host": "ep-foreign.eu.neon.tech"}), {}),
    ("no_health_check", update("application", health_check={"enabled": False}), {}),
    ("server_unreachable", update("application", server_reachable=False), {}),
    ("not_rolling", update("application", rolling={"ok": False, "reasons": ["host port"]}), {"cutover": "repoint"}),
    ("coolify_too_old", lambda w: setattr(w, "version", "4.0.0-beta.434"), {}),
    ("ability_missing", update("abilities", write="missing"), {"cutover": "repoint"}),
    ("ability_missing", update("abilities", deploy="missing"), {"cutover": "repoint"}),
    ("ability_missing", update("abilities", read_sensitive="missing"), {"cutover": "in_place"}),
    *[
        ("compute_disabled", lambda w: w.branches[0]["endpoints"][0].update(disabled=True), {"cutover": strategy})
        for strategy in ("repoint", "in_place", "snapshot")
    ],
    ("schema_mismatch", lambda w: older_schema(w), {}),
    ("other_consumers", lambda w: w.consumers.append(CONSUMER), {}),
    ("row_not_a_uri", lambda w: w.consumers.append(OWN_HOST), {"cutover": "repoint"}),
    ("passwords_not_stored", update("project", store_passwords=False), {}),
    (
        "passwords_not_stored",
        lambda w: (
            w.project.update(store_passwords=False),
            w.branches[0].update(protected=True),
            w.application["environment"][0].update(supplied=True),
        ),
        {"cutover": "repoint"},
    ),
    ("other_database", lambda w: None, {"database": "other"}),
    ("undo_not_possible", lambda w: w.rehearsal.append(REHEARSED), {"cutover": "repoint"}),
    ("targets_share", lambda w: w.other_targets.append({"target": "b", "application": w.application["uuid"]}), {}),
    ("targets_share", lambda w: w.other_targets.append({"target": "b", "host": MAIN_HOST}), {}),
    ("targets_share", lambda w: w.other_targets.append({"target": "b", "primary_branch_id": MAIN}), {}),
    ("source_unknown", lambda w: None, {"source_branch": "nothing"}),
]


@pytest.mark.parametrize(
    ("code", "change", "request_"), REFUSALS, ids=[f"{c}-{i}" for i, (c, _, _) in enumerate(REFUSALS)]
)
def test_given_one_thing_wrong_then_exactly_that_is_refused_and_it_is_said_what_to_do(
    code: str, change: Change, request_: Json
) -> None:
    world = World()
    change(world)
    plan = world.plan(**request_)
    assert codes(plan) == [code]
    found = problem(plan, code)
    assert found["message"].endswith(".")
    assert found["what_to_do"].strip()


def test_given_ten_things_wrong_then_all_are_said_together() -> None:
    world = World()
    world.project.update(window_start="2025-01-13T14:30:00Z", limits={"branches": 1, "root_branches": 1})
    world.project["running_operations"] = [{"id": "op1", "action": "create_branch"}]
    world.branches[0]["protected"] = True
    world.deployments["running"] = [{"uuid": "d1", "status": "in_progress"}]
    world.application.update(health_check={}, server_reachable=False)
    world.application["environment"][0]["duplicate"] = True
    world.consumers.append(CONSUMER)
    world.abilities["read_sensitive"] = "missing"
    older_schema(world)
    assert codes(world.plan(cutover="in_place")) == sorted(
        [
            "before_window",
            "no_slot",
            "no_root_slot",
            "operations_running",
            "protected",
            "deployment_running",
            "no_health_check",
            "server_unreachable",
            "env_row_duplicate",
            "other_consumers",
            "ability_missing",
            "schema_mismatch",
        ]
    )


def test_given_no_primary_and_no_restore_point_then_both_are_said_and_nothing_else_is_guessed() -> None:
    world = World()
    world.application["environment"] = []
    plan = world.plan(point_in_time="now-ish")
    assert codes(plan) == ["env_row_missing", "restore_point_invalid"]
    assert plan["primary"] is plan["strategy"] is plan["steps"] is None


ACCEPTED: list[tuple[str, Change, Json]] = [
    ("a health check is not required", update("application", health_check={}), {"require_health_check": False}),
    ("a custom health check", update("application", health_check={}, custom_healthcheck_found=True), {}),
    (
        "downtime is accepted",
        update("application", rolling={"ok": False}),
        {"cutover": "repoint", "accept_downtime": True},
    ),
    ("in place needs no rolling deployment", update("application", rolling={"ok": False}), {"cutover": "in_place"}),
    (
        "in place writes nothing to Coolify",
        update("abilities", write="missing", deploy="missing"),
        {"cutover": "in_place"},
    ),
    ("an unproven ability", update("abilities", write="unproven"), {"cutover": "repoint"}),
    ("Neon's own background work", update("project", running_operations=[{"action": "suspend_compute"}]), {}),
    ("no limit of branches", update("project", limits={"branches": -1, "root_branches": None}), {}),
    ("another schema is accepted", lambda w: older_schema(w), {"accept_schema_mismatch": True}),
    ("a commit is deployed with it", lambda w: w.migration.update(restore_point=OLDER), {"deploy_commit": "abc"}),
    ("the schema is not known yet", lambda w: w.migration.update(restore_point=None), {}),
    ("a consumer moves along", lambda w: w.consumers.append(CONSUMER), {"also_repoint": ["worker"]}),
    ("nobody is named, in a survey", lambda w: None, {"also_repoint": [""], "ignore_consumers": [" "]}),
    ("a consumer stays, by uuid", lambda w: w.consumers.append(CONSUMER), {"ignore_consumers": ["w0rk3r"]}),
    (
        "a consumer stays, by name and key",
        lambda w: w.consumers.append(CONSUMER),
        {"ignore_consumers": ["worker/DATABASE_URL"]},
    ),
    ("a consumer of another database", lambda w: w.consumers.append({**CONSUMER, "host": "db.example.com"}), {}),
    (
        "the target's own row among the consumers",
        lambda w: w.consumers.append({**CONSUMER, "env_uuid": "row-database_url"}),
        {},
    ),
    (
        "a host in a row of its own, in place",
        lambda w: w.consumers.append(OWN_HOST),
        {"cutover": "in_place"},
    ),
    (
        "a host in a row that is not used",
        lambda w: w.consumers.append(OWN_HOST),
        {"cutover": "repoint", "ignore_consumers": ["tracker/PGHOST"]},
    ),
    (
        "passwords not stored, string supplied",
        lambda w: (w.project.update(store_passwords=False), w.application["environment"][0].update(supplied=True)),
        {"cutover": "repoint"},
    ),
    ("the database that the inventory names", lambda w: None, {"database": "tracker"}),
    ("an undo that was rehearsed", lambda w: w.rehearsal.append({**REHEARSED, "ok": True}), {"cutover": "repoint"}),
    ("an undo that was not tried", lambda w: w.rehearsal.append({**REHEARSED, "ok": None}), {"cutover": "repoint"}),
    ("in place writes no string back", lambda w: w.rehearsal.append(REHEARSED), {"cutover": "in_place"}),
    ("a released Coolify", lambda w: setattr(w, "version", "4.0.0"), {}),
    ("the oldest Coolify that can do it", lambda w: setattr(w, "version", "4.0.0-beta.435"), {}),
    ("exactly the margin left", update("project", window_start="2025-01-13T13:55:00Z"), {}),
    (
        "another target elsewhere",
        lambda w: w.other_targets.append({"target": "b", "application": "x", "host": "y"}),
        {},
    ),
    (
        "the target itself among the others",
        lambda w: w.other_targets.append({"target": "tracker", "host": MAIN_HOST}),
        {},
    ),
]


@pytest.mark.parametrize(
    ("story", "change", "request_"), ACCEPTED, ids=[item[0].replace(" ", "-") for item in ACCEPTED]
)
def test_given_what_only_looks_wrong_then_nothing_is_refused(story: str, change: Change, request_: Json) -> None:
    world = World()
    change(world)
    assert world.plan(**request_)["problems"] == []


def test_given_a_full_project_then_the_branches_that_nothing_holds_are_named() -> None:
    world = World().add(
        branch("br-1", "old-experiment", parent_id=MAIN),
        branch("br-2", "pinned-backup", parent_id=MAIN),
    )
    world.records.append({"event": "pinned", "branch_id": "br-2"})
    world.project["limits"] = {"branches": 3}
    advice = problem(world.plan(), "no_slot")["what_to_do"]
    assert "old-experiment" in advice
    assert "pinned-backup" not in advice
    assert "main" not in advice


def test_given_an_expiring_source_that_is_not_ours_then_its_expiry_is_left_to_its_owner() -> None:
    world = World().add(branch("br-1", "colleague", parent_id=MAIN, expires_at="2025-01-20T00:00:00Z"))
    plan = world.plan(source_branch="colleague", cutover="repoint")
    assert "clear" in problem(plan, "source_expires")["what_to_do"].lower()


def test_given_a_child_as_source_then_a_past_instant_of_it_cannot_be_restored_in_place() -> None:
    world = World().add(branch("br-1", "colleague", parent_id=MAIN))
    assert "source_not_root" in codes(world.plan(source_branch="colleague", cutover="in_place"))


def test_given_unreadable_rows_then_they_count_as_unknown_and_are_said() -> None:
    world = World()
    world.unreadable = [{"kind": "service", "uuid": "s1", "name": "metabase"}]
    world.application["environment"].append(env_row("SECRET_URL", "x", readable=False, connection=None))
    plan = world.plan()
    assert any("metabase" in line for line in plan["warnings"])
    assert any("SECRET_URL" in line for line in plan["warnings"])
    assert len(plan["consumers"]["unreadable"]) == 2


def test_given_an_undo_that_cannot_log_in_then_it_is_said_with_everything_else() -> None:
    world = World()
    world.rehearsal = [REHEARSED, {**REHEARSED, "key": "DIRECT_URL", "is_preview": True}]
    world.application["health_check"] = {}
    plan = world.plan(cutover="repoint", old_connection_env="TRACKER_STRING")
    assert codes(plan) == ["no_health_check", "undo_not_possible", "undo_not_possible"]
    found = [item for item in plan["problems"] if item["code"] == "undo_not_possible"]
    assert "password authentication failed" in found[0]["message"] and "DIRECT_URL (preview)" in found[1]["message"]
    assert ["export TRACKER_STRING=" in item["what_to_do"] for item in found] == [True, False]


def test_given_a_disabled_compute_then_the_undo_that_could_not_log_in_is_not_blamed_on_a_password() -> None:
    world = World()
    world.branches[0]["endpoints"][0]["disabled"] = True
    world.rehearsal = [{**REHEARSED, "message": "the endpoint has been disabled"}]
    plan = world.plan(cutover="repoint")
    assert codes(plan) == ["compute_disabled"]
    found = problem(plan, "compute_disabled")
    assert "ep-main-compute-a1" in found["what_to_do"] and "playbooks/undo.yml" in found["what_to_do"]


@pytest.mark.parametrize("hashed", [True, False])
def test_given_tables_that_are_only_counted_then_it_is_said_that_nothing_is_taken_back_by_itself(hashed: bool) -> None:
    plan = World().plan(hash=hashed)
    assert plan["problems"] == []
    assert any("not taken back by itself" in line for line in plan["warnings"]) is not hashed


def test_given_a_primary_that_cannot_be_read_when_the_branch_is_verified_then_that_is_said() -> None:
    world = World()
    world.migration = {"primary": None, "restore_point": OLDER}
    world.deployments["deployments"] = []
    plan = world.plan()
    assert plan["problems"] == []
    assert any("cannot be told: the schema that it runs with" in line for line in plan["warnings"])
    assert not any("not known yet" in line for line in plan["warnings"])


def test_given_sides_that_could_not_be_read_then_each_is_said_with_its_reason() -> None:
    world = World()
    world.failed_reads = {"primary": "connect to main: too many connections", "restore_point": ""}
    plan = world.plan()
    assert plan["problems"] == []
    assert any("too many connections" in line for line in plan["warnings"])
    assert not any("data at the restore point could not be read" in line for line in plan["warnings"])


@pytest.mark.parametrize(("told", "said"), [(None, True), (True, False), (False, False)])
def test_given_that_nobody_says_whether_pushes_deploy_then_the_plan_does(told: bool | None, said: bool) -> None:
    world = World()
    world.application["auto_deploy"] = told
    plan = world.plan(cutover="repoint")
    assert any("Switch Auto Deploy off" in line for line in plan["warnings"]) is said
    pauses = any("Pauses automatic deployments" in line for line in plan["steps"][5]["does"])
    assert pauses is bool(told)


def test_given_a_restore_in_place_then_it_is_said_that_nothing_fences_writes() -> None:
    assert any("has no write fence" in line for line in World().plan(cutover="in_place")["warnings"])
    assert not any("has no write fence" in line for line in World().plan(cutover="repoint")["warnings"])


def test_given_another_target_in_the_same_project_then_it_is_told_and_not_refused() -> None:
    world = World()
    world.other_targets = [{"target": "staging", "project": world.project["id"], "application": "x"}]
    plan = world.plan()
    assert plan["problems"] == [] and any("The target staging" in line for line in plan["warnings"])


class TestCodeAgainstData:
    def world(self) -> World:
        world = World()
        world.migration["restore_point"] = OLDER
        world.application["migration_hints"] = [{"kind": "start_command", "command": "prisma migrate deploy"}]
        world.deployments["deployments"] = [
            deployment("d3", "c0ffee", "2025-01-13T14:40:00Z"),
            deployment("d2", "beef01", "2025-01-13T14:00:00Z"),
            {**deployment("d4", "dead02", "2025-01-13T14:20:00Z"), "status": "failed"},
            deployment("d1", "beef00", "2025-01-12T14:00:00Z"),
        ]
        return world

    def test_the_commit_that_ran_at_the_restore_point_is_named(self) -> None:
        plan = self.world().plan()
        assert plan["code"]["fits_commit"] == "beef01"
        assert "deploy_commit=beef01" in problem(plan, "schema_mismatch")["what_to_do"]
        assert any("prisma migrate deploy" in line for line in plan["warnings"])

    def test_another_commit_than_the_fitting_one_is_warned_about(self) -> None:
        plan = self.world().plan(deploy_commit="beef00")
        assert plan["problems"] == []
        assert any("beef01 was running" in line for line in plan["warnings"])

    def test_with_no_deployment_before_the_point_the_person_is_told_to_find_it(self) -> None:
        world = self.world()
        world.deployments["deployments"] = []
        assert "deploy_commit=<commit>" in problem(world.plan(), "schema_mismatch")["what_to_do"]

    def test_the_same_commit_ran_with_the_older_schema_so_it_fits_it(self) -> None:
        world = self.world()
        world.deployments["deployments"] = [deployment("d2", "c0ffee", "2025-01-13T14:00:00Z")]
        plan = world.plan()
        assert plan["problems"] == []
        assert any("c0ffee was running then" in line for line in plan["warnings"])

    def test_another_commit_and_schemas_that_could_not_be_read_are_refused_too(self) -> None:
        world = self.world()
        world.migration.update(primary=None, restore_point=None)
        assert "deploy_commit=beef01" in problem(world.plan(), "schema_mismatch")["what_to_do"]

    def test_before_either_side_was_read_nothing_is_refused_yet(self) -> None:
        world = self.world()
        world.migration.clear()
        assert world.plan()["problems"] == []

    def test_a_hash_that_is_not_known_is_not_a_difference_but_a_missing_migration_is(self) -> None:
        world = self.world()
        world.migration["restore_point"] = {"head": "0042_good", "schema_hash": None}
        assert world.plan()["code"]["mismatch"] is False
        world.migration["restore_point"] = {"head": None, "schema_hash": None}
        assert world.plan()["code"]["mismatch"] is True


def test_no_secret_can_be_in_a_plan_because_only_public_parts_are_taken() -> None:
    world = World()
    password = "npg_Xk3vQ9sLw7TzR2mB5yHc8Jd4"
    connection = world.application["environment"][0]["connection"]
    connection.update(value=f"postgresql://u:{password}@h/db", password=password, template="postgresql://u@h/db")
    world.records.append(cutover("2025-01-13T12:00:00Z", "repoint", "x", MAIN, note=password))
    for strategy in ("repoint", "in_place"):
        assert password not in str(world.plan(cutover=strategy))


def test_given_one_slot_left_then_a_restore_in_place_that_no_undo_could_take_back_is_refused() -> None:
    """Its way back keeps what it has brought as one branch more; a repoint takes the last slot and needs none."""
    world = World().add(branch("br-1", "old-experiment", parent_id=MAIN))
    world.project["limits"] = {"branches": 3}
    asked = world.plan(cutover="in_place")
    assert codes(asked) == ["no_undo_slot"]
    assert "2 of 3 branches" in problem(asked, "no_undo_slot")["message"]
    chosen = world.plan()
    assert chosen["problems"] == [] and chosen["strategy"]["chosen"] == "repoint"
    assert "an undo of it needs one more" in chosen["strategy"]["why"]
    world.project["limits"] = {"branches": 4}
    assert world.plan()["strategy"]["chosen"] == "in_place"


def test_given_no_slot_for_a_root_more_then_a_repoint_is_taken_and_says_so() -> None:
    """The old state of a root that is restored in place is a root too; the new branch of a repoint is a child."""
    world = World().add(branch("br-1", "sales"), branch("br-2", "staging"))
    world.project["limits"] = {"branches": 10, "root_branches": 3}
    chosen = world.plan()
    assert chosen["problems"] == [] and chosen["strategy"]["chosen"] == "repoint"
    assert chosen["strategy"]["why"] == "the project has 3 of 3 root branches, and a restore in place adds 1"
    assert codes(world.plan(cutover="in_place")) == ["no_root_slot"], "who asks for it is told what is in the way"
    world.project["limits"]["root_branches"] = 4
    assert world.plan()["strategy"]["chosen"] == "in_place"


def test_given_no_slot_but_the_branch_of_an_earlier_restore_then_that_is_taken() -> None:
    """A second run finds it (rule 10), and a repoint to it adds nothing."""
    made = World().plan(cutover="repoint")["names"]["branch"]
    notes = {"tool": "rewind.database", "target": "tracker"}
    world = World().add(branch("br-1", made, parent_id=MAIN, parent_timestamp=POINT, annotations=notes))
    world.project["limits"] = {"branches": 2}
    chosen = world.plan()
    assert chosen["problems"] == [] and chosen["strategy"]["chosen"] == "repoint"
    assert chosen["strategy"]["why"] == "the project has 2 of 2 branches, and a restore in place adds 1"
