# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan: what it shows, which strategy it takes, how it continues and repeats earlier runs."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.plugins.module_utils._plan.shape import build
from ansible_collections.rewind.database.plugins.modules import restore_plan
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    MAIN_HOST,
    NOW,
    POINT,
    World,
    branch,
    codes,
    cutover,
    deployment,
    endpoint,
    env_row,
    host_of,
    problem,
)

Json = dict[str, Any]
PARENT = {"parent_id": MAIN, "parent_timestamp": POINT}


def backup(number: int = 1, **more: Any) -> Json:
    """A backup of `main`, made by this collection at 14:0<number>."""
    at = f"2025-01-13T14:0{number}:00Z"
    return branch(
        f"br-backup-{number}",
        f"backup-20250113-140{number}00",
        **{
            "parent_id": MAIN,
            "parent_timestamp": at,
            "parent_lsn": f"0/200000{number}",
            "created_at": at,
            "annotations": {"tool": "rewind.database"},
            **more,
        },
    )


class TestHealthyTarget:
    def test_then_nothing_stands_in_the_way_and_the_restore_point_is_echoed_in_every_form(self) -> None:
        plan = World().plan()
        assert plan["problems"] == []
        point = plan["restore_point"]
        assert (point["utc"], point["ago"], point["stamp"]) == (POINT, "35 min ago", "20250113-142500")
        assert point["local"].startswith("2025-01-13 15:25:00")
        assert plan["interval_lost"]["seconds"] == 2100

    def test_then_the_steps_are_numbered_and_say_what_they_do(self) -> None:
        steps = World().plan(cutover="repoint")["steps"]
        assert [step["number"] for step in steps] == list(range(1, 10))
        assert all(sentence.endswith((".", "tracker")) for step in steps for sentence in step["does"])
        assert any("commit c0ffee" in sentence for sentence in steps[5]["does"])

    def test_a_point_with_a_fraction_is_in_the_branches_name(self) -> None:
        plan = World().plan(point_in_time="2025-01-13T14:25:00.250Z", cutover="repoint")
        assert plan["names"]["branch"] == "restore-20250113-142500-250"
        assert plan["source"]["parent_timestamp"] == "2025-01-13T14:25:00.250000Z"

    def test_the_rollback_branch_carries_the_start_of_the_run(self) -> None:
        assert World().plan(started="2025-01-13T14:59:30Z")["names"]["rollback"] == "rollback-20250113-145930"

    def test_a_time_ago_counts_from_the_start_of_the_run_however_often_the_plan_is_made(self) -> None:
        for now in ("2025-01-13T15:00:00Z", "2025-01-13T15:07:00Z"):
            plan = World().plan(point_in_time="-15m", started="2025-01-13T14:59:00Z", now=now)
            assert plan["restore_point"]["utc"] == "2025-01-13T14:44:00Z"

    def test_the_plan_is_plain_json_and_its_facts_are_left_untouched(self) -> None:
        params = World().params()
        before = copy.deepcopy(params)
        assert json.loads(json.dumps(build(params))) == build(params)
        assert params == before

    def test_a_target_in_production_needs_a_confirmation_that_names_it(self) -> None:
        plan = World().plan(environment="production")
        assert plan["confirm"] == {"needed": True, "phrase": "tracker", "argument": "-e confirm=tracker"}

    def test_what_a_restore_does_not_bring_back_is_said_with_the_targets_own_additions(self) -> None:
        plan = World().plan(not_restored=["the ledger in the bank"])
        assert plan["not_restored"][-1] == "the ledger in the bank"
        assert any("mail" in line for line in plan["not_restored"])

    def test_the_comparison_becomes_a_loss_per_table(self) -> None:
        world = World()
        world.losses = {
            "tables": {
                'public."User"': {"status": "changed", "rows_before": 12, "rows_after": 10},
                'public."Quest"': {"status": "extra", "rows_before": None, "rows_after": 7},
                'public."Trader"': {"status": "changed", "rows_before": 9, "rows_after": 9},
                "public.hidden": {"status": "unknown", "rows_before": 4, "rows_after": None},
                "public.same": {"status": "equal", "rows_before": 1, "rows_after": 1, "compared_by": "hash"},
                "public.uncompared": {"status": "equal", "rows_before": 1, "rows_after": 1, "compared_by": "rows"},
            }
        }
        losses = world.plan()["losses"]
        assert (losses["rows_lost"], losses["rows_restored"], losses["exact"]) == (3, 8, False)
        assert losses["tables_changed"] == ['public."Trader"', 'public."User"']
        tables = {item.pop("table"): item for item in losses["tables"]}
        assert tables['public."User"'] == {
            "status": "changed",
            "now": 12,
            "at_point": 10,
            "lost": 2,
            "restored": 0,
            "exact": False,
        }
        found = {name: (item["lost"], item["restored"], item["exact"]) for name, item in tables.items()}
        assert found['public."Quest"'] == (0, 7, True) and found['public."Trader"'] == (1, 1, False)
        assert found["public.hidden"] == (None, None, False)
        assert found["public.same"] == (0, 0, True) and found["public.uncompared"] == (0, 0, False)


class TestPrimary:
    @pytest.mark.parametrize("pooled", [0, 1])
    def test_it_is_found_from_the_host_direct_or_pooled_and_never_from_a_name(self, pooled: int) -> None:
        world = World()
        world.add(branch("br-real-a9", "experiment", compute="ep-real-a9"))
        world.application["environment"] = [env_row("DATABASE_URL", host_of("ep-real-a9")[pooled].upper())]
        primary = world.plan()["primary"]
        assert (primary["branch_id"], primary["pooled"]) == ("br-real-a9", bool(pooled))

    def test_where_computes_share_a_host_the_port_decides(self) -> None:
        world = World()
        world.branches[0]["endpoints"] = [endpoint("ep-a", host="localhost", pooler_host=None, port=5001)]
        world.add(branch("br-b", "b", endpoints=[endpoint("ep-b", host="localhost", pooler_host=None, port=5002)]))
        row = env_row("DATABASE_URL", "localhost")
        row["connection"]["port"] = 5002
        world.application["environment"] = [row]
        assert world.plan()["primary"]["branch_id"] == "br-b"

    def test_all_rows_of_the_target_move_together_and_keep_their_pooledness(self) -> None:
        world = World()
        direct, pooled = host_of("ep-main-compute-a1")
        world.branches[0]["endpoints"].append(endpoint("ep-replica-a1", type="read_only"))
        world.application["environment"] = [
            env_row("DATABASE_URL", pooled),
            env_row("DATABASE_URL", pooled, is_preview=True),
            env_row("DIRECT_URL", direct),
            env_row("REPLICA_URL", host_of("ep-replica-a1")[0]),
            env_row("OTHER_URL", "db.example.com"),
        ]
        plan = world.plan(cutover="repoint")
        moved = {(row["key"], row["is_preview"]): (row["pooled"], row["endpoint_type"]) for row in plan["env"]["rows"]}
        assert moved == {
            ("DATABASE_URL", False): (True, "read_write"),
            ("DATABASE_URL", True): (True, "read_write"),
            ("DIRECT_URL", False): (False, "read_write"),
            ("REPLICA_URL", False): (False, "read_only"),
        }
        assert plan["env"]["keys_moved"] == ["DATABASE_URL", "DIRECT_URL", "REPLICA_URL"]
        assert plan["env"]["rows"][0]["to_host"] == "predicted:endpoint/restore-20250113-142500"
        assert plan["compute"]["replicas"] == 1

    def test_the_new_compute_is_like_the_old_one_and_defaults_are_left_out(self) -> None:
        world = World()
        world.branches[0]["endpoints"][0] |= {
            "autoscaling_limit_max_cu": 4,
            "suspend_timeout_seconds": 0,
            "settings": {"pg_settings": {"a": "b"}},
        }
        assert world.plan()["compute"]["endpoints"] == [
            {
                "type": "read_write",
                "autoscaling_limit_min_cu": 0.25,
                "autoscaling_limit_max_cu": 4,
                "settings": {"pg_settings": {"a": "b"}},
            }
        ]
        world.branches[0]["endpoints"][0]["suspend_timeout_seconds"] = 600
        assert world.plan()["compute"]["endpoints"][0]["suspend_timeout_seconds"] == 600

    def test_a_suspended_primary_is_listed_as_one_that_reading_wakes(self) -> None:
        world = World()
        world.branches[0]["endpoints"][0]["current_state"] = "idle"
        assert [item["endpoint_id"] for item in world.plan()["wakes"]] == ["ep-main-compute-a1"]

    def test_a_branch_of_an_earlier_run_that_sleeps_is_listed_too(self) -> None:
        world = World()
        ours = {"tool": "rewind.database"}
        world.add(branch("br-old-try", "restore-20250113-142500", annotations=ours, compute="ep-old-try", **PARENT))
        assert world.plan(cutover="repoint")["wakes"] == []
        world.branches[-1]["endpoints"][0]["current_state"] = "idle"
        (item,) = world.plan(cutover="repoint")["wakes"]
        assert (item["name"], item["endpoint_id"]) == ("restore-20250113-142500", "ep-old-try")

    def test_a_locked_row_works_with_the_string_supplied_from_the_environment(self) -> None:
        world = World()
        row = world.application["environment"][0]
        known = {**row["connection"], "template": f"postgresql://tracker_owner@{MAIN_HOST}/tracker"}
        row |= {"readable": False, "is_shown_once": True, "connection": None}
        advice = problem(world.plan(), "env_row_locked")["what_to_do"]
        assert "export REWIND_OLD_CONNECTION_STRING=" in advice
        row |= {"connection": known, "supplied": True}
        plan = world.plan(cutover="repoint")
        assert plan["problems"] == []
        moved = plan["env"]["rows"][0]
        assert (moved["key"], moved["password_env"]) == ("DATABASE_URL", "REWIND_OLD_CONNECTION_STRING")
        assert plan["env"]["base"] == {"template": known["template"], "password_env": moved["password_env"]}

    def test_a_row_that_can_be_read_needs_nothing_from_the_environment(self) -> None:
        plan = World().plan(cutover="repoint")
        assert plan["env"]["base"] is None and plan["env"]["rows"][0]["password_env"] is None


class TestStrategy:
    def test_a_root_inside_the_window_is_restored_in_place(self) -> None:
        assert World().plan()["strategy"]["chosen"] == "in_place"

    @pytest.mark.parametrize(
        "change",
        [
            {"protected": True},
            {"restricted_actions": [{"name": "restore", "reason": "busy"}]},
            {"restore_status": "detaching"},
            {"parent_id": "br-x"},
        ],
    )
    def test_what_speaks_against_in_place_makes_it_a_repoint(self, change: Json) -> None:
        world = World()
        world.branches[0].update(change)
        plan = world.plan()
        assert plan["strategy"]["chosen"] == "repoint"
        assert plan["strategy"]["why"]
        assert plan["problems"] == []

    def test_an_explicit_choice_wins_even_where_auto_would_choose_otherwise(self) -> None:
        assert World().plan(cutover="repoint")["strategy"]["chosen"] == "repoint"

    def test_the_prices_of_both_are_shown_with_the_tree_afterwards(self) -> None:
        world = World().add(backup())
        offered = world.plan()["strategy"]["offered"]
        repoint, in_place = offered["repoint"], offered["in_place"]
        assert [item["name"] for item in repoint["undeletable_afterwards"]] == ["main"]
        assert {row["name"]: row["marks"] for row in repoint["tree_after"]}["restore-20250113-142500"] == [
            "primary",
            "new",
        ]
        after = {row["name"]: row for row in in_place["tree_after"]}
        assert after["backup-20250113-140100"]["parent_id"] == after["rollback-20250113-150000"]["id"]
        assert in_place["children_moved"] == ["backup-20250113-140100"]
        assert "until these go" in in_place["undeletable_afterwards"][0]["why"]
        kept = {row["name"]: row for row in offered["snapshot"]["tree_after"]}
        assert kept["backup-20250113-140100"]["parent_id"] == kept["rollback-20250113-150000"]["id"]

    def test_the_downtime_is_the_median_of_known_deployments_or_says_that_it_is_an_estimate(self) -> None:
        world = World()
        price = world.plan()["strategy"]["offered"]["repoint"]["expected_downtime"]
        assert (price["writes_seconds"], price["reads_seconds"]) == (300, 0)
        assert "runbook's estimate" in price["text"]
        world.deployments["deployments"] = [
            deployment(f"d{n}", "c", f"2025-01-1{n}T10:00:00Z", seconds) for n, seconds in enumerate([40, 50, 90])
        ]
        assert world.plan()["strategy"]["offered"]["repoint"]["expected_downtime"]["writes_seconds"] == 50
        price = world.plan(fence_writes_before_cutover=False)["strategy"]["offered"]["repoint"]["expected_downtime"]
        assert price["writes_seconds"] == 0
        assert "both take them" in price["text"]

    def test_children_of_a_protected_branch_get_new_passwords(self) -> None:
        world = World()
        world.branches[0]["protected"] = True
        offered = world.plan()["strategy"]["offered"]
        assert offered["repoint"]["passwords_that_change"] == ["tracker_owner"]
        assert offered["in_place"]["passwords_that_change"] == []

    def test_a_protected_primary_restored_in_place_is_unprotected_only_when_allowed(self) -> None:
        world = World()
        world.branches[0]["protected"] = True
        assert codes(world.plan(cutover="in_place")) == ["protected"]
        plan = world.plan(cutover="in_place", allow_unprotect=True)
        assert plan["problems"] == []
        assert plan["unprotect"] == {"needed": True, "allowed": True, "branch_id": MAIN}
        assert any("protection" in line for line in plan["steps"][5]["does"])


class TestBackups:
    def test_a_backup_is_found_by_name_and_latest_is_the_newest_instant(self) -> None:
        world = World().add(backup(1), backup(3), backup(2))
        assert world.plan(backup="backup-20250113-140200")["restore_point"]["backup"] == "backup-20250113-140200"
        plan = world.plan(backup="latest")
        assert plan["restore_point"]["backup"] == "backup-20250113-140300"
        assert plan["restore_point"]["kind"] == "backup"

    def test_by_repoint_the_new_branch_is_a_child_of_the_backup_at_its_head(self) -> None:
        plan = World().add(backup()).plan(backup="backup-20250113-140100", cutover="repoint")
        assert (plan["source"]["branch_id"], plan["source"]["head"]) == ("br-backup-1", True)
        assert plan["names"]["branch"] == "restore-20250113-140100"

    def test_in_place_it_is_restored_from_the_primary_itself_at_the_backups_own_lsn(self) -> None:
        plan = World().add(backup()).plan(backup="backup-20250113-140100")
        assert plan["strategy"]["chosen"] == "in_place"
        assert (plan["source"]["branch_id"], plan["source"]["parent_lsn"]) == (MAIN, "0/2000001")

    def test_outside_the_window_the_primary_would_end_as_a_child_of_the_backup_and_the_plan_says_so(self) -> None:
        world = World().add(backup())
        world.project["history_retention_seconds"] = 3600
        assert world.plan(backup="latest")["strategy"]["chosen"] == "repoint"
        plan = world.plan(backup="latest", cutover="in_place")
        assert plan["source"]["branch_id"] == "br-backup-1"
        assert any("ends as a child of backup-20250113-140100" in line for line in plan["warnings"])
        assert plan["problems"] == []

    def test_a_backup_needs_no_history_window(self) -> None:
        world = World().add(backup())
        world.project["history_retention_seconds"] = 60
        assert world.plan(backup="latest", cutover="repoint")["problems"] == []

    def test_the_expiry_of_a_backup_is_cleared_before_it_becomes_a_parent(self) -> None:
        plan = World().add(backup(expires_at="2025-01-20T00:00:00Z")).plan(backup="latest", cutover="repoint")
        assert plan["problems"] == []
        assert [item["branch_id"] for item in plan["expiry_to_clear"]] == ["br-backup-1"]
        assert plan["steps"][2]["does"][0].startswith("Clears the expiry of backup-20250113-140100")

    def test_an_unknown_backup_is_answered_with_the_known_ones(self) -> None:
        found = problem(World().add(backup(1), backup(2)).plan(backup="backup-20250113-999999"), "backup_unknown")
        assert "backup-20250113-140200" in found["what_to_do"]

    def test_a_recorded_backup_whose_branch_is_gone_is_said_to_be_gone(self) -> None:
        world = World()
        world.backups = [{"branch_id": "br-gone", "name": "backup-20250101-000000"}]
        assert "no longer exists" in problem(world.plan(backup="backup-20250101-000000"), "backup_unknown")["message"]

    def test_no_backup_at_all_is_said(self) -> None:
        assert "none" in problem(World().plan(backup="latest"), "backup_unknown")["what_to_do"]


class TestSecondRun:
    def proven(self, **more: Any) -> World:
        world = World()
        restored = branch(
            "br-new", "restore-20250113-142500", compute="ep-new", created_at="2025-01-13T14:30:00Z", **PARENT
        )
        world.add(restored).point_row_to("ep-new")
        record = {"restore_point": POINT, **more}
        world.records.append(cutover("2025-01-13T14:31:00Z", "repoint", MAIN, "br-new", **record))
        return world

    def test_with_the_same_absolute_point_there_is_nothing_to_do_and_no_problem(self) -> None:
        world = self.proven()
        world.application["health_check"] = {}
        world.deployments["running"] = [{"uuid": "d1", "status": "queued"}]
        plan = world.plan()
        assert plan["already_done"]["done"]
        assert plan["problems"] == []

    @pytest.mark.parametrize(
        ("request_", "record"),
        [
            ({"point_in_time": "2025-01-13T14:26:00Z"}, {}),
            ({"point_in_time": "-35m"}, {}),
            ({"cutover": "in_place"}, {}),
            ({"again": True}, {}),
            ({}, {"proven": False}),
            ({}, {"restore_point": "2025-01-13T14:24:59Z"}),
        ],
    )
    def test_with_anything_else_it_is_not_done(self, request_: Json, record: Json) -> None:
        assert not self.proven(**record).plan(**request_)["already_done"]["done"]

    def test_after_the_application_was_moved_elsewhere_it_is_not_done(self) -> None:
        world = self.proven().point_row_to("ep-main-compute-a1")
        assert not world.plan()["already_done"]["done"]

    def test_the_branch_of_an_unfinished_cutover_is_taken_again_when_it_is_clean(self) -> None:
        world = World()
        world.add(branch("br-old-try", "restore-20250113-142500", annotations={"tool": "rewind.database"}, **PARENT))
        plan = world.plan(cutover="repoint")
        assert plan["reuse"]["branch_id"] == "br-old-try"
        assert plan["strategy"]["offered"]["repoint"]["slots"]["branches"]["adds"] == 0

    def test_a_branch_that_nothing_proves_unwritten_is_not_taken_again(self) -> None:
        world = World()
        world.add(branch("br-old-try", "restore-20250113-142500", annotations={"tool": "rewind.database"}, **PARENT))
        plan = world.plan(cutover="repoint", reuse=False)
        assert plan["names"]["branch"] == "restore-20250113-142500-2" and not plan["reuse"]["found"]
        assert "the restore point itself cannot be read" in plan["reuse"]["why"]

    @pytest.mark.parametrize(
        "change",
        [
            {"annotations": {}},
            {"parent_id": "br-other"},
            {"parent_timestamp": "2025-01-13T14:24:00Z"},
        ],
    )
    def test_a_branch_of_that_name_that_is_not_ours_or_of_another_origin_gets_a_suffix(self, change: Json) -> None:
        world = World()
        old = branch("br-old-try", "restore-20250113-142500", annotations={"tool": "rewind.database"}, **PARENT)
        world.add({**old, **change})
        plan = world.plan(cutover="repoint")
        assert plan["names"]["branch"] == "restore-20250113-142500-2"
        assert not plan["reuse"]["found"]
        assert "is not used" in plan["reuse"]["why"]

    @pytest.mark.parametrize(
        "record",
        [
            {"event": "used", "branch_id": "br-old-try"},
            cutover("2025-01-13T13:00:00Z", "undo", "br-old-try", MAIN),
        ],
    )
    def test_a_branch_that_was_used_gets_a_suffix(self, record: Json) -> None:
        world = World()
        world.add(branch("br-old-try", "restore-20250113-142500", annotations={"tool": "rewind.database"}, **PARENT))
        world.records.append(record)
        assert world.plan(cutover="repoint")["names"]["branch"] == "restore-20250113-142500-2"


class TestUnfinishedRun:
    RUN = "20250113T143000Z-restore-aabbcc"

    def killed(self, inputs: Json, **more: Any) -> World:
        world = World()
        world.unfinished = [
            {"id": self.RUN, "verb": "restore", "target": "tracker", "status": "running", "inputs": inputs, **more}
        ]
        return world

    def test_with_the_same_inputs_it_is_continued(self) -> None:
        plan = self.killed({"point_in_time": POINT, "cutover": "auto"}).plan()
        assert plan["resumes"] == self.RUN
        assert plan["problems"] == []

    def test_with_a_relative_point_the_value_of_the_first_run_is_taken(self) -> None:
        first = World().plan(point_in_time="-15m", now="2025-01-13T14:30:00Z", cutover="repoint")
        world = self.killed({"point_in_time": "-15m", "cutover": "repoint", "resolved": first["resolved"]})
        plan = world.plan(point_in_time="-15m", cutover="repoint")
        assert plan["restore_point"]["utc"] == "2025-01-13T14:15:00Z"
        assert plan["names"] == first["names"]

    def test_killed_after_the_environment_was_written_it_still_knows_its_old_primary_and_rows(self) -> None:
        first = World().plan(cutover="repoint")
        world = self.killed({"point_in_time": POINT, "cutover": "repoint"}, steps={"plan": {"data": first["resolved"]}})
        world.add(
            branch("br-new", first["names"]["branch"], compute="ep-new", annotations={"tool": "rewind"}, **PARENT)
        )
        world.point_row_to("ep-new", updated_at="2025-01-13T14:58:00Z")
        plan = world.plan(cutover="repoint")
        assert plan["problems"] == []
        assert plan["primary"]["branch_id"] == MAIN
        assert plan["source"]["branch_id"] == MAIN
        assert plan["reuse"]["branch_id"] == "br-new"
        assert [(row["from_host"], row["to_host"], row["moved"]) for row in plan["env"]["rows"]] == [
            (MAIN_HOST, host_of("ep-new")[0], True)
        ]

    def test_killed_after_a_restore_in_place_it_goes_on_though_the_primary_is_detaching_and_no_root(self) -> None:
        first = World().plan()
        assert first["strategy"]["chosen"] == "in_place"
        world = self.killed({"point_in_time": POINT}, steps={"plan": {"data": {"resolved": first["resolved"]}}})
        world.add(branch("br-kept", first["names"]["rollback"]))
        world.branches[0] |= {
            "parent_id": "br-kept",
            "restore_status": "detaching",
            "last_reset_at": "2025-01-13T14:59:00Z",
        }
        plan = world.plan()
        assert plan["problems"] == []
        assert plan["strategy"]["chosen"] == "in_place"
        assert plan["names"]["rollback"] == first["names"]["rollback"]

    def test_with_other_inputs_the_plan_says_how_to_finish_or_revert_it(self) -> None:
        found = problem(self.killed({"point_in_time": "2025-01-13T14:00:00Z"}).plan(), "unfinished_run")
        assert "point_in_time=2025-01-13T14:00:00Z" in found["message"]
        assert f"-e run={self.RUN}" in found["what_to_do"]

    def test_a_stuck_one_stops_even_with_the_same_inputs(self) -> None:
        world = self.killed({"point_in_time": POINT})
        world.unfinished[0]["status"] = "stuck"
        assert codes(world.plan()) == ["run_stuck"]

    def test_the_runs_own_journal_and_a_killed_backup_are_no_obstacle(self) -> None:
        world = self.killed({"point_in_time": "other"})
        world.unfinished.append({"id": "20250113T120000Z-backup-aabbcc", "verb": "backup", "status": "running"})
        plan = world.plan(run=self.RUN)
        assert plan["problems"] == []
        assert any("20250113T120000Z-backup-aabbcc" in line for line in plan["warnings"])


class TestModule:
    def test_a_clock_that_cannot_be_read_is_the_only_failure(self) -> None:
        with pytest.raises(InvalidInput):
            World().plan(now="yesterday")
        with pytest.raises(InvalidInput, match="time zone"):
            World().plan(timezone="Mars/Olympus")

    def test_every_option_is_documented_and_every_default_is_the_documented_one(self) -> None:
        documented = yaml.safe_load(restore_plan.DOCUMENTATION)["options"]
        assert set(documented) == set(restore_plan.SPEC.arguments)
        suboptions = documented["request"]["suboptions"]
        declared = restore_plan.SPEC.arguments["request"]["options"]
        assert {name: item.get("default") for name, item in suboptions.items()} == {
            name: item.get("default") for name, item in declared.items()
        }
        assert set(yaml.safe_load(restore_plan.RETURN)["plan"]["contains"]) == set(World().plan())

    def test_both_ways_of_running_it_give_the_same_plan(self, both_ways: BothWays) -> None:
        world = World().add(backup(expires_at="2025-01-20T00:00:00Z"))
        result = both_ways.same("restore_plan", world.params(backup="latest", cutover="repoint"))
        assert not result["changed"]
        assert result["plan"]["restore_point"]["utc"] == "2025-01-13T14:01:00Z"
        assert result["plan"]["now"] == NOW
        assert result["plan"]["problems"] == []

    def test_both_ways_refuse_a_strategy_that_does_not_exist(self, both_ways: BothWays) -> None:
        result = both_ways.same("restore_plan", World().params(cutover="teleport"))
        assert "teleport" in result["msg"]
