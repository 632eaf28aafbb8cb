# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""promote_plan: which branch becomes the primary, under which name, what moves, what stays, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.cleanup_known import read_marks
from ansible_collections.rewind.database.plugins.module_utils._plan.lineage import Tree, deletion_order
from ansible_collections.rewind.database.plugins.module_utils._plan.request import read_facts
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    MAIN_HOST,
    NOW,
    World,
    branch,
    codes,
    cutover,
    endpoint,
    env_row,
    problem,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import given, settings
from hypothesis import strategies as st

Json = dict[str, Any]
RUN = "20250113T145930Z-promote-0a1b2c"
BACKUP, NAME = "br-backup-b1", "backup-20250113-143000"
OURS = {"tool": "rewind.database", "purpose": "backup", "target": "tracker"}
_OPTIONS = ("project", "branches", "snapshots", "deployments", "consumers", "records", "backups", "unfinished")


def options(world: World, **request: Any) -> Json:
    """The options of the module for a world, whose target is a staging one."""
    trial = request.pop("trial", {})
    usual = {"target": "tracker", "environment": "staging", "now": NOW, "started": NOW, "run": RUN}
    params = world.params()
    return copy.deepcopy(
        {
            **{name: params[name] for name in _OPTIONS if params[name] is not None},
            "application": params["application"],
            "trial": trial,
            "request": {**usual, **request},
        }
    )


def plan(world: World, **request: Any) -> Json:
    """The plan, through the module."""
    result = call_module("promote_plan", options(world, **request))
    assert not result.get("failed") and result["changed"] is False, result
    assert all(len(line) <= 80 for line in result["text"])
    found: Json = result["plan"]
    return found


def backup(**more: Any) -> Json:
    """A backup of the primary, half an hour old."""
    usual = {"parent_id": MAIN, "parent_lsn": "0/1AB0000", "parent_timestamp": "2025-01-13T14:30:00Z"}
    return {**branch(BACKUP, NAME, **usual, annotations=OURS), **more}


def with_backup(**more: Any) -> World:
    return World().add(backup(**more))


def promoted_world() -> World:
    """A world in which the backup was promoted on the day before, with its first backup."""
    world = World()
    world.branches = [
        branch(MAIN, "rollback-20250112", compute="ep-main-compute-a1"),
        backup(name="production-20250112", default=True, endpoints=[endpoint("ep-new-compute-b1")]),
    ]
    world.point_row_to("ep-new-compute-b1")
    world.records = [
        {"event": "made", "branch_id": BACKUP, "name": NAME, "target": "tracker"},
        cutover("2025-01-12T15:00:00Z", "repoint", MAIN, BACKUP, backup=NAME),
        {
            "event": "promoted",
            "at": "2025-01-12T15:01:00Z",
            "branch_id": BACKUP,
            "name": "production-20250112",
            "was": NAME,
            "option": "a",
            "old_branch_id": MAIN,
            "old_name": "rollback-20250112",
            "keep_until": "2025-01-19T15:00:00Z",
            "protected": False,
            "backed_up": True,
            "target": "tracker",
        },
    ]
    return world


def steps(found: Json) -> list[str]:
    return [move["step"] for move in found["moves"]]


class TestOptionA:
    def test_the_backup_itself_becomes_the_primary(self) -> None:
        """Given a backup of the primary, then it is cut over to, renamed and the default, and the old one is kept."""
        found = plan(with_backup(expires_at="2025-01-25T00:00:00Z"), branch=NAME)
        assert found["problems"] == []
        assert found["branch"]["branch_id"] == BACKUP and found["cutover"]["strategy"] == "repoint"
        assert found["names"] == {"new": "production-20250113", "old": "rollback-20250113"}
        assert steps(found) == ["rename_old", "rename_new", "make_default"]
        assert found["keep_until"] == "2025-01-20T15:00:00Z" and found["backup"]["needed"]
        assert found["old"]["deletable"] == "never"
        assert [item["branch_id"] for item in found["staying"]] == [MAIN]

    def test_the_plan_inside_moves_the_row_to_the_backup_itself(self) -> None:
        found = plan(with_backup(), branch=BACKUP)
        assert found["cutover"]["backup"] == NAME
        (row,) = found["cutover"]["env"]["rows"]
        assert NAME in row["to_host"]

    def test_protection_moves_the_new_one_first(self) -> None:
        """Given a protected primary and room for one more, then the primary is never without protection."""
        world = with_backup()
        world.branches[0]["protected"] = True
        found = plan(world, branch=NAME)
        assert steps(found)[-2:] == ["protect_new", "unprotect_old"] and found["protected"]
        world.project["limits"]["protected_branches"] = 1
        assert steps(plan(world, branch=NAME))[-2:] == ["unprotect_old", "protect_new"]

    def test_protection_can_be_asked_for_or_left_out(self) -> None:
        world = with_backup()
        assert "protect_new" in steps(plan(world, branch=NAME, protection="always"))
        world.branches[0]["protected"] = True
        found = plan(world, branch=NAME, protection="never")
        assert "protect_new" not in steps(found) and "unprotect_old" in steps(found)
        world.branches[1]["protected"] = True
        found = plan(world, branch=NAME, protection="never")
        (move,) = [item for item in found["moves"] if item["step"] == "unprotect_new"]
        assert (move["branch_id"], move["undo"]) == (BACKUP, {"protected": True}) and not found["protected"]
        refused = plan(with_backup_and_limit(0), branch=NAME, protection="always")
        assert codes(refused) == ["not_allowed"]

    def test_what_the_default_branch_has_moves_as_well(self) -> None:
        """Given an application that a restore had moved off the default branch, then that is not left protected."""
        world = _off_the_default()
        found = plan(world, branch=NAME)
        assert found["default"] == {"branch_id": MAIN, "name": "main"} and found["protected"]
        assert steps(found)[-3:] == ["make_default", "protect_new", "unprotect_default"]
        assert found["resolved"]["default_id"] == MAIN
        world.branches[0]["default"], world.branches[1]["default"] = False, True
        again = plan(world, branch=NAME, resolved=found["resolved"])
        assert steps(again)[-2:] == ["protect_new", "unprotect_default"], "the label had moved before the kill"
        assert plan(with_backup(), branch=NAME)["default"] is None

    def test_the_name_of_a_day_gets_a_number_where_it_is_taken(self) -> None:
        """Given a branch of today's name, whichever of the two, then both names have the same next number."""
        for taken in ("production-20250113", "rollback-20250113"):
            world = with_backup().add(branch("br-other-c1", taken))
            assert plan(world, branch=NAME)["names"] == {"new": "production-20250113-2", "old": "rollback-20250113-2"}

    def test_a_schema_that_does_not_fit_or_a_locked_row_is_in_the_one_list(self) -> None:
        world = with_backup()
        world.application["environment"][0]["is_shown_once"] = True
        world.application["health_check"] = {"enabled": False}
        found = plan(world, branch=NAME)
        assert {"no_health_check", "health_check_disabled"} & set(codes(found)) or len(found["problems"]) >= 1

    def test_a_run_that_is_gone_on_with_keeps_its_names(self) -> None:
        """Given a run that was killed between its two renames, and midnight since, then its own names stand."""
        world = promoted_world()
        del world.records[-1]
        world.branches[0]["name"], world.branches[1]["name"] = "rollback-20250112", NAME
        resolved = {
            "asked_id": BACKUP,
            "old_id": MAIN,
            "names": {"new": "production-20250112", "old": "rollback-20250112"},
            "protected": True,
            "keep_until": "2025-01-19T15:00:00Z",
        }
        found = plan(world, branch=NAME, resolved=resolved)
        assert found["cutover"] is None and steps(found) == ["rename_new", "protect_new"]
        assert found["keep_until"] == "2025-01-19T15:00:00Z"

    def test_a_cutover_that_was_killed_is_gone_on_with(self) -> None:
        """Given the application on the branch and the restore inside unfinished, then that comes first."""
        world = with_backup(endpoints=[endpoint("ep-new-compute-b1")]).point_row_to("ep-new-compute-b1")
        inner = {"id": "20250113T145940Z-restore-0a1b2c", "verb": "restore", "status": "running", "target": "tracker"}
        world.unfinished = [{**inner, "inputs": {"backup": BACKUP, "cutover": "repoint", "promotion": RUN}}]
        found = plan(world, branch=NAME)
        assert found["restore_run"] == inner["id"] and found["cutover"] is not None


def _off_the_default() -> World:
    """`main` is the default and protected; the application is on a restored branch of it."""
    world = with_backup()
    world.branches[0]["protected"] = True
    world.add(branch("br-restored-c1", "restore-20250113-142500", parent_id=MAIN, compute="ep-restored-c1"))
    return world.point_row_to("ep-restored-c1")


def with_backup_and_limit(protected: int) -> World:
    world = with_backup()
    world.project["limits"]["protected_branches"] = protected
    return world


class TestFromARestore:
    def test_what_a_repoint_has_cut_over_to(self) -> None:
        world = World().add(
            branch("br-restored-c1", "restore-20250113-142500", parent_id=MAIN, compute="ep-restored-c1")
        )
        world.point_row_to("ep-restored-c1")
        world.records = [cutover("2025-01-13T14:50:00Z", "repoint", MAIN, "br-restored-c1")]
        found = plan(world)
        assert found["problems"] == [] and found["cutover"] is None
        assert found["branch"]["branch_id"] == "br-restored-c1" and found["old"]["branch_id"] == MAIN
        assert steps(found) == ["rename_old", "rename_new", "make_default"]

    def test_what_a_restore_in_place_has_made(self) -> None:
        """Given a restore in place, then the primary stays, and the old one is the branch that keeps its old state."""
        world = World().add(branch("br-kept-c1", "rollback-20250113-145000"))
        world.records = [cutover("2025-01-13T14:50:00Z", "in_place", MAIN, MAIN, preserved_branch_id="br-kept-c1")]
        for option, name in (("a", "production-20250113"), ("b", "main-restored-20250113")):
            found = plan(world, option=option)
            assert found["problems"] == [] and found["names"]["new"] == name
            assert (found["branch"]["branch_id"], found["old"]["branch_id"]) == (MAIN, "br-kept-c1")
            assert found["old"]["deletable"] == "yes"

    def test_nothing_is_guessed(self) -> None:
        """Given no branch and no restore that stands, then there is nothing to promote."""
        world = World()
        assert codes(plan(world)) == ["no_branch"]
        world.records = [cutover("2025-01-13T14:50:00Z", "repoint", MAIN, "br-elsewhere-c1")]
        assert codes(plan(world)) == ["no_branch"]
        assert codes(plan(world, branch="backup-of-nothing")) == ["branch_unknown"]

    def test_another_run_that_never_ended_is_in_the_way(self) -> None:
        world = with_backup()
        world.unfinished = [{"id": "20250113T140000Z-restore-0a1b2c", "verb": "restore", "status": "running"}]
        assert "unfinished_run" in codes(plan(world, branch=NAME))


def moved_by_hand(**main: Any) -> World:
    """A person has pointed the row to a branch of `main`; nothing is recorded of that."""
    world = World().add(branch("br-hotfix-c1", "hotfix", parent_id=MAIN, compute="ep-hotfix-c1"))
    world.branches[0].update(main)
    return world.point_row_to("ep-hotfix-c1")


class TestFromARowThatAPersonMoved:
    def test_the_default_branch_is_taken_for_the_old_primary_and_that_is_said(self) -> None:
        """Given no cutover on record, then the default is renamed and kept for its days, and its limits are copied."""
        found = plan(moved_by_hand(protected=True), branch="hotfix")
        assert found["problems"] == [] and found["cutover"] is None and found["protected"]
        assert found["old"]["branch_id"] == found["resolved"]["old_id"] == MAIN and found["default"] is None
        assert found["names"]["old"] == "rollback-20250113"
        assert steps(found) == ["rename_old", "rename_new", "make_default", "protect_new", "unprotect_old"]
        assert [item["autoscaling_limit_max_cu"] for item in found["computes"]] == [2]
        assert any("the default branch main is taken for the old primary" in text for text in found["warnings"])

    def test_a_run_that_is_gone_on_with_keeps_it(self) -> None:
        """Given a kill after the label had moved, then what was resolved stands."""
        world = moved_by_hand(default=False, name="rollback-20250113")
        world.branches[1]["default"] = True
        resolved = plan(moved_by_hand(), branch="hotfix")["resolved"]
        found = plan(world, branch="hotfix", resolved=resolved)
        assert found["old"]["branch_id"] == MAIN and steps(found) == ["rename_new"]

    def test_the_row_of_its_previews_that_stayed_behind_changes_nothing(self) -> None:
        """Given a preview row that still leads to the default, then that is no use of it."""
        world = moved_by_hand()
        row = env_row("DATABASE_URL", MAIN_HOST, is_preview=True)
        world.application["environment"].append(row)
        world.consumers = [{"uuid": world.application["uuid"], "host": MAIN_HOST, "is_preview": True}]
        assert plan(world, branch="hotfix")["old"]["branch_id"] == MAIN

    def test_another_target_of_the_project_whose_branch_is_known_changes_nothing(self) -> None:
        """Given a staging target on a branch of its own, then the default is nobody's but the old primary."""
        world = moved_by_hand().add(branch("br-staging-d1", "staging", parent_id=MAIN, compute="ep-staging-d1"))
        world.consumers = [{"uuid": "another", "host": "ep-staging-d1.eu.neon.tech"}]
        given = options(world, branch="hotfix")
        given["other_targets"] = [{"target": "mill", "project": world.project["id"], "application": "another"}]
        assert call_module("promote_plan", given)["plan"]["old"]["branch_id"] == MAIN

    @pytest.mark.parametrize("why", ["itself", "in use", "a backup", "shared", "recorded", "unreadable"])
    def test_it_is_not_taken_where_it_may_be_something_else(self, why: str) -> None:
        """Given a default that others use or that is no old primary, then its name is left, and that is said."""
        world = moved_by_hand()
        if why == "itself":
            world.branches[0]["default"], world.branches[1]["default"] = False, True
        elif why == "in use":
            world.consumers = [{"host": MAIN_HOST}]
        elif why == "a backup":
            world.branches[0]["annotations"] = OURS
        elif why == "recorded":
            world.records = [{"event": "promoted", "branch_id": "br-hotfix-c1", "option": "a", "name": "hotfix"}]
        given = options(world, branch="hotfix")
        if why == "unreadable":
            given["unreadable"] = [{"kind": "application", "uuid": "another", "name": "shop", "reason": "locked"}]
        if why == "shared":
            given["other_targets"] = [{"target": "mill", "project": world.project["id"], "application": "another"}]
        found = call_module("promote_plan", given)["plan"]
        assert found["old"] is None and "rename_old" not in steps(found)
        assert any(text.startswith("Nothing says which branch was the primary") for text in found["warnings"])


class TestOptionB:
    def test_only_option_a_gives_the_backup_a_compute(self) -> None:
        """Given option B, then no compute of the backup is the promotion's to take away."""
        assert plan(with_backup(), branch=NAME)["resolved"]["without_computes"]
        assert not plan(with_backup(), branch=NAME, option="b")["resolved"]["without_computes"]

    def test_a_root_gives_an_independent_root(self) -> None:
        """Given a primary that is a root, then the old one can go once what hangs on it is gone."""
        found = plan(with_backup(), branch=NAME, option="b")
        assert found["problems"] == [] and found["cutover"]["strategy"] == "snapshot"
        assert found["branch"]["is_root"] and found["staying"] == []
        assert found["names"] == {"new": "main-restored-20250113", "old": "rollback-20250113"}
        assert found["old"] | {"why": ""} == {
            "branch_id": MAIN,
            "name": "rollback-20250113",
            "deletable": "after_others",
            "waits_for": [NAME],
            "why": "",
        }

    def test_a_child_gives_none_and_that_is_said_with_what_stays(self) -> None:
        """Given a primary that is a child, then there is no independent root, and the branches that stay are named."""
        world = promoted_world().add(
            branch("br-second-d1", "backup-20250113-140000", parent_id=BACKUP, parent_timestamp="2025-01-13T14:00:00Z")
        )
        found = plan(world, branch="br-second-d1", option="b")
        said = problem(found, "no_independent_root")
        for name in ("backup-20250113-140000", "production-20250112", "rollback-20250112"):
            assert name in said["message"]
        assert "take 3 of the project's 3 branches" in said["message"] and "option=a" in said["what_to_do"]

    def test_a_repointed_primary_cannot_become_one_later(self) -> None:
        found = plan(promoted_world(), option="b")
        assert codes(found) == ["no_independent_root"] and "rollback-20250112" in found["problems"][0]["message"]

    def test_an_instant_that_has_left_the_window_gives_none(self) -> None:
        world = with_backup(parent_timestamp="2024-12-30T14:30:00Z")
        assert "no_independent_root" in codes(plan(world, branch=NAME, option="b"))


class TestOptionBKilled:
    """The restore inside was killed; the plan allows just what option B needs."""

    OLD_ROOT = "snapshot-20250113-143000"

    def killed(self, *branches: Json) -> World:
        world = with_backup().add(*branches)
        world.project["limits"] = {"branches": 4, "root_branches": 3, "protected_branches": 2, "manual_snapshots": 1}
        world.snapshots = [{"id": "snap-1", "name": self.OLD_ROOT, "source_branch_id": MAIN, "manual": True}]
        steps = {"plan": {"data": {"resolved": self.resolved()}}}
        inputs = {"backup": BACKUP, "cutover": "snapshot", "promotion": RUN}
        run = {"id": "20250113T145940Z-restore-0a1b2c", "verb": "restore", "status": "running", "target": "tracker"}
        world.unfinished = [{**run, "inputs": inputs, "steps": steps}]
        return world

    def resolved(self) -> Json:
        point = {"utc": "2025-01-13T14:30:00Z", "backup": {"branch_id": BACKUP, "name": NAME}}
        names = {"root": self.OLD_ROOT, "rollback": "rollback-20250113-145940"}
        return {
            "restore_point": point,
            "strategy": "snapshot",
            "primary_branch_id": MAIN,
            "primary_name": "main",
            "source_branch_id": MAIN,
            "names": names,
            "commit": "c0ffee",
        }

    def test_a_snapshot_that_was_made_is_not_counted_twice(self) -> None:
        found = plan(self.killed(), branch=NAME, option="b")
        assert found["problems"] == [] and found["old"]["branch_id"] == MAIN

    def test_nor_is_the_root(self) -> None:
        root = branch("br-root-c1", self.OLD_ROOT, restored_from="snap-1", endpoints=[endpoint("ep-look-c1")])
        found = plan(self.killed(root), branch=NAME, option="b")
        assert found["problems"] == [] and found["branch"]["branch_id"] == "br-root-c1"
        assert len(found["tree_after"]) == 3 and found["slots"]["roots"]["adds"] == 0

    def test_one_that_has_taken_its_place_is_the_new_primary(self) -> None:
        root = branch("br-root-c1", "main", restored_from="snap-1", restored_as=MAIN, default=True)
        world = self.killed({**root, "endpoints": [endpoint("ep-main-compute-a1")]})
        world.branches[0] = branch(MAIN, "rollback-20250113-145940")
        found = plan(world, branch=NAME, option="b")
        assert found["problems"] == []
        assert (found["branch"]["branch_id"], found["old"]["branch_id"]) == ("br-root-c1", MAIN)
        assert not [text for text in found["warnings"] if "Another application" in text]


class TestDone:
    def test_the_same_command_again(self) -> None:
        """Given a promotion of yesterday, then its names stand, by whatever name the branch is asked for."""
        for wanted in (NAME, "production-20250112", BACKUP, None):
            found = plan(promoted_world(), branch=wanted)
            assert found["already_done"]["done"] and found["problems"] == [], wanted
            assert found["moves"] == [] and not found["backup"]["needed"]

    def test_a_test_is_not_judged_where_nothing_is_left_to_test(self) -> None:
        world = promoted_world()
        world.project["limits"]["branches"] = 2
        found = plan(world, branch=NAME, trial=STAGING)
        assert found["problems"] == [] and found["trial"] is None

    def test_what_is_missing_is_put_right(self) -> None:
        world = promoted_world()
        world.branches[1]["name"] = "by-hand"
        found = plan(world, branch=NAME)
        assert not found["already_done"]["done"] and steps(found) == ["rename_new"]

    def test_one_that_was_taken_back_is_done_anew(self) -> None:
        world = with_backup()
        world.records = [
            *promoted_world().records,
            {"event": "unpromoted", "branch_id": BACKUP, "target": "tracker"},
            cutover("2025-01-13T10:00:00Z", "repoint", BACKUP, MAIN, undone=True),
        ]
        found = plan(world, branch=NAME)
        assert found["cutover"] is not None and found["names"]["new"] == "production-20250113"


STAGING = {"target": "staging", "environment": "staging", "project": "late-frost-12345678", "application": "s" * 24}


class TestTrial:
    def test_a_staging_target_of_the_same_project(self) -> None:
        found = plan(with_backup(), branch=NAME, trial=STAGING)
        assert found["problems"] == [] and found["trial"] == {
            "target": "staging",
            "left": [],
            "to_delete": [],
            "kept": [],
        }

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"environment": "production"}, "trial_is_production"),
            ({"project": "other-project-1"}, "trial_in_other_project"),
            ({"target": "tracker"}, "trial_is_target"),
            ({"other_coolify": True}, "trial_other_coolify"),
            ({"unseen": "read application s: not found"}, "trial_other_coolify"),
            ({"unfinished": [{"id": "20250113T140000Z-restore-0a1b2c", "verb": "restore"}]}, "trial_unfinished"),
        ],
    )
    def test_what_is_refused(self, changed: Json, code: str) -> None:
        assert codes(plan(with_backup(), branch=NAME, trial={**STAGING, **changed})) == [code]

    @pytest.mark.parametrize("verb", ["backup", "predeploy", "incident", "cleanup", "salvage", "find_restore_point"])
    def test_a_killed_run_that_cut_nothing_over_stands_in_no_ones_way(self, verb: str) -> None:
        killed = {"id": f"20250113T140000Z-{verb}-0a1b2c", "verb": verb}
        assert plan(with_backup(), branch=NAME, trial={**STAGING, "unfinished": [killed]})["problems"] == []

    def test_one_that_is_on_the_primary_itself(self) -> None:
        world = with_backup()
        world.consumers = [
            {"uuid": "s" * 24, "name": "staging", "key": "DATABASE_URL", "host": "ep-main-compute-a1.eu.neon.tech"}
        ]
        found = plan(world, branch=NAME, trial=STAGING, restore={"ignore_consumers": ["staging"]})
        assert "trial_shares" in codes(found)

    def test_what_a_killed_test_has_left_is_put_back(self) -> None:
        left = {"id": "20250113T145935Z-restore-0a1b2c", "verb": "restore", "inputs": {"drill": RUN}}
        found = plan(with_backup(), branch=NAME, trial={**STAGING, "unfinished": [left]})
        assert found["trial"]["left"] == [left["id"]]

    def test_a_killed_test_whose_restore_had_ended_is_put_back(self) -> None:
        """Given staging on the copy and its restore finished, then that is taken back before another copy is made."""
        world = _on_the_copy()
        assert plan(world, branch=NAME, trial=STAGING)["trial"]["left"] == ["20250113T145935Z-restore-0a1b2c"]
        world.records.append({**world.records[-1], "at": "2025-01-13T14:59:50Z", "undone": True})
        assert plan(world, branch=NAME, trial=STAGING)["trial"]["left"] == []
        world.records = [{**_on_the_copy().records[-1], "target": "another"}]
        assert plan(world, branch=NAME, trial=STAGING)["trial"]["left"] == []

    def test_a_copy_that_is_in_use_is_not_deleted(self) -> None:
        """Given two copies, one of which staging points to, then only the other one goes."""
        world = _on_the_copy().add(
            branch("br-copy-c2", "restore-20250113-143000-2", parent_id=BACKUP, annotations={**OURS, "drill": RUN})
        )
        found = plan(world, branch=NAME, trial=STAGING)["trial"]
        assert [item["branch_id"] for item in found["to_delete"]] == ["br-copy-c2"]
        (kept,) = found["kept"]
        assert kept["branch_id"] == "br-copy-c1" and "an application points to it" in kept["why"]


def _on_the_copy() -> World:
    """Staging is on the copy that a killed test had made, by a restore that had come to its end."""
    copied = branch(
        "br-copy-c1",
        "restore-20250113-143000",
        parent_id=BACKUP,
        compute="ep-copy-c1",
        annotations={**OURS, "drill": RUN},
    )
    world = with_backup().add(copied)
    world.consumers = [{"uuid": "s" * 24, "name": "staging", "key": "DATABASE_URL", "host": "ep-copy-c1.eu.neon.tech"}]
    record = cutover("2025-01-13T14:59:40Z", "repoint", "br-staging-s1", "br-copy-c1", target="staging")
    world.records = [{**record, "run": "20250113T145935Z-restore-0a1b2c"}]
    return world


def test_an_old_primary_is_ours_until_a_promotion_is_taken_back() -> None:
    """Given the catalogue, then cleanup counts the old primary as ours, and no longer after an undo."""
    replaced = {"event": "replaced", "branch_id": MAIN, "purpose": "rollback", "target": "tracker"}
    replaced["keep_until"] = "2025-01-19T15:00:00Z"
    world = promoted_world()
    world.records.append(replaced)
    marks = read_marks(read_facts(world.params(), "tracker"))
    assert marks[MAIN].made and marks[MAIN].purpose == "rollback" and marks[MAIN].keep_until is not None
    world.records += [replaced, {"event": "returned", "branch_id": MAIN, "target": "tracker"}]
    marks = read_marks(read_facts(world.params(), "tracker"))
    assert (marks[MAIN].made, marks[MAIN].purpose, marks[MAIN].keep_until) == (False, None, None)


@settings(max_examples=60, deadline=None)
@given(
    parents=st.lists(st.integers(min_value=0, max_value=5), max_size=6),
    taken=st.sets(st.sampled_from(["production-20250113", "rollback-20250113", "production-20250113-2"])),
    protected=st.booleans(),
    limit=st.sampled_from([0, 1, 2]),
    option=st.sampled_from(["a", "b"]),
)
def test_what_a_plan_without_problems_promises_is_what_the_rules_say(
    parents: list[int], taken: set[str], protected: bool, limit: int, option: str
) -> None:
    """Given any tree, then its moves end in one default, distinct names, and a fate of the old one that is true."""
    world = with_backup()
    world.project["limits"] = {"branches": 40, "root_branches": 20, "protected_branches": limit}
    world.branches[0]["protected"] = protected
    for number, parent in enumerate(parents):
        world.add(branch(f"br-x{number}", f"x{number}", parent_id=world.branches[parent % len(world.branches)]["id"]))
    for name in sorted(taken):
        world.add(branch(f"br-{name}", name))
    found = plan(world, branch=NAME, option=option, protection="auto" if limit else "never")
    if found["problems"]:
        return
    rows = found["tree_after"]
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names))
    (default,) = [row for row in rows if row["default"]]
    assert default["id"] == found["branch"]["branch_id"] and default["name"] == found["names"]["new"]
    after = Tree.of({**row, "parent_timestamp": None, "created_at": None} for row in rows)
    free = {node.id for node in after.nodes.values() if node.id != default["id"]}
    possible = deletion_order(after, free).order
    fate = found["old"]["deletable"]
    assert (MAIN in possible) is (fate != "never")
    assert (fate == "yes") is (not after.children(MAIN))
    assert {item["branch_id"] for item in found["staying"]}.isdisjoint(possible)


def test_both_ways_say_the_same(both_ways: BothWays) -> None:
    result = both_ways.same("promote_plan", options(with_backup(), branch=NAME))
    assert result["plan"]["problems"] == []
