# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan that is kept: bound to the facts that it was made from, and refused when one of them has changed."""

from __future__ import annotations

import copy
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.rewind.database.plugins.module_utils._plan.bound import changes
from ansible_collections.rewind.database.plugins.module_utils._plan.document import (
    FORMAT,
    INPUTS,
    check_said,
    document,
    read_document,
)
from ansible_collections.rewind.database.plugins.module_utils._plan.shape import build
from ansible_collections.rewind.database.plugins.modules import restore_plan
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    NOW,
    POINT,
    World,
    branch,
    cutover,
    env_row,
    host_of,
    problem,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]


def kept(world: World, **request: Any) -> Json:
    """The facts that a plan of this world is bound to."""
    found: Json = world.plan(**request)["bound_to"]
    return found


def _dev(world: World) -> None:
    world.add(branch("br-dev", "dev", parent_id=MAIN))


def _commit(world: World) -> None:
    world.application["commit"] = "badf00d"


def _row(world: World) -> None:
    world.application["environment"][0]["connection"]["hash"] = "ffffffffffff"


def _other_row(world: World) -> None:
    world.application["environment"].append(env_row("DIRECT_URL", host_of("ep-main-compute-a1")[0]))


def _reset(world: World) -> None:
    world.branches[0]["last_reset_at"] = "2025-01-13T14:50:00Z"


def _primary(world: World) -> None:
    world.add(branch("br-new", "restored", parent_id=MAIN, compute="ep-new-one-b2")).point_row_to("ep-new-one-b2")


def _project(world: World) -> None:
    world.project["id"] = "other-project-87654321"


CHANGES: dict[str, tuple[Callable[[World], None], str]] = {
    "child": (_dev, "the children of the primary has changed: it was none, it is dev br-dev."),
    "commit": (_commit, "the commit that is running has changed: it was c0ffee, it is badf00d."),
    "row": (_row, "the row DATABASE_URL has changed: it was ep-main-compute-a1.eu.neon.tech (hash 0a1b2c3d4e5f"),
    "another row": (_other_row, "the row DIRECT_URL has changed: it was on another branch, or not there, it is"),
    "reset": (_reset, "last reset has changed: it was unknown, it is 2025-01-13T14:50:00Z."),
    "primary": (_primary, f"the primary has changed: it was main {MAIN}, it is restored br-new."),
    "project": (_project, "the Neon project has changed"),
}


class TestChanges:
    @pytest.mark.parametrize("name", CHANGES)
    def test_each_fact_that_has_changed_is_a_problem_that_says_what_it_was_and_is(self, name: str) -> None:
        world = World()
        was = kept(world)
        change, text = CHANGES[name]
        change(world)
        found = build({**world.params(), "bound_to": was})["problems"]
        assert any(text in item["message"] for item in found if item["code"] == "plan_changed"), found

    def test_all_of_them_stand_in_one_list(self) -> None:
        world = World()
        was = kept(world)
        for change in (_dev, _commit, _row, _reset):
            change(world)
        found = build({**world.params(), "bound_to": was})["problems"]
        assert [item["code"] for item in found].count("plan_changed") == 4

    def test_where_nothing_has_changed_nothing_is_said_whatever_time_has_passed(self) -> None:
        world = World()
        was = kept(world)
        plan = build({**world.params(now="2025-01-13T16:00:00Z"), "bound_to": was})
        assert plan["problems"] == [] and changes(was, plan["bound_to"]) == []

    @pytest.mark.parametrize("change", ["another password", "moved away"])
    def test_the_row_of_another_application_that_moves_with_it_counts_too(self, change: str) -> None:
        world = World()
        host = host_of("ep-main-compute-a1")[0]
        row = {"kind": "application", "uuid": "app-worker", "name": "worker", "key": "DATABASE_URL", "host": host}
        world.consumers.append({**row, "env_uuid": "env-worker", "is_preview": False, "hash": "aaaaaaaaaaaa"})
        was = kept(world, also_repoint=["worker"])
        assert changes(was, kept(world, also_repoint=["worker"])) == []
        if change == "another password":
            world.consumers[-1]["hash"] = "bbbbbbbbbbbb"
        else:
            del world.consumers[-1]
        (found,) = changes(was, kept(world, also_repoint=["worker"]))
        assert found["fact"] == "the row DATABASE_URL of worker" and "aaaaaaaaaaaa" in found["was"]
        assert ("bbbbbbbbbbbb" if change == "another password" else "not there") in found["is"]

    def test_a_branch_is_told_by_its_id_and_not_by_its_name(self) -> None:
        world = World()
        was = kept(world)
        world.branches[0]["name"] = "production"
        assert changes(was, kept(world)) == []

    def test_the_facts_of_a_plan_survive_a_file(self) -> None:
        was = kept(World())
        assert changes(json.loads(json.dumps(was)), was) == []

    def test_any_single_difference_is_found(self) -> None:
        was = kept(World().add(branch("br-dev", "dev", parent_id=MAIN)), lsn="0/2000001", point_in_time=None)
        for key in was.keys() - {"also_repoint"}:
            other = copy.deepcopy(was)
            other[key] = [] if isinstance(was[key], list) else "another"
            assert len(changes(was, other)) == 1, key

    @pytest.mark.parametrize("was", [{}, {"commit": "c0ffee"}, {**kept(World()), "children": "x"}])
    def test_what_does_not_say_all_of_them_binds_to_nothing_and_is_refused(self, was: Json) -> None:
        found = problem(build({**World().params(), "bound_to": was}), "plan_incomplete")
        assert "Make the plan again" in found["what_to_do"]

    def test_a_run_that_is_continued_is_not_compared_with_what_it_has_changed_itself(self) -> None:
        world = World()
        plan = world.plan(cutover="repoint")
        inputs = {"point_in_time": POINT, "cutover": "repoint"}
        world.unfinished = [
            {
                "id": "20250113T145000Z-restore-0a1b2c",
                "verb": "restore",
                "target": "tracker",
                "inputs": inputs,
                "steps": {"plan": {"data": {"resolved": plan["resolved"]}}},
            }
        ]
        made = plan["names"]["branch"]
        world.add(branch("br-made", made, parent_id=MAIN, parent_timestamp=POINT, compute="ep-made-one-c3"))
        world.point_row_to("ep-made-one-c3")
        found = build({**world.params(cutover="repoint"), "bound_to": plan["bound_to"]})
        assert found["resumes"] and "plan_changed" not in [item["code"] for item in found["problems"]]

    def test_one_that_was_killed_before_its_plan_is_compared(self) -> None:
        world = World()
        was = kept(world)
        run = {"id": "20250113T145000Z-restore-0a1b2c", "verb": "restore", "target": "tracker"}
        world.unfinished = [{**run, "inputs": {"point_in_time": POINT}, "steps": {}}]
        _commit(world)
        assert problem(build({**world.params(), "bound_to": was}), "plan_changed")

    def test_what_is_done_already_is_done_although_the_cutover_has_changed_the_facts(self) -> None:
        world = World()
        was = kept(world, cutover="repoint")
        _primary(world)
        world.records = [cutover(NOW, "repoint", MAIN, "br-new", restore_point=POINT)]
        found = build({**world.params(cutover="repoint"), "bound_to": was})
        assert found["already_done"]["done"] and found["problems"] == []


def made(**request: Any) -> Json:
    """The document of a plan."""
    plan = build({**World().params(**request), "past": []})
    return document(plan, {"accept_downtime": True, "point_in_time": "-35m", "cutover": "auto"}, "a1b2")


class TestDocument:
    def test_what_was_relative_is_absolute_and_auto_is_the_chosen_strategy(self) -> None:
        inputs = made(point_in_time="-35m", started=NOW)["inputs"]
        assert (inputs["point_in_time"], inputs["cutover"], inputs["accept_downtime"]) == (POINT, "in_place", True)
        assert set(inputs) == set(INPUTS)

    def test_of_an_lsn_and_a_backup_the_input_is_that(self) -> None:
        assert made(lsn="0/2000001", cutover="repoint")["inputs"]["lsn"] == "0/2000001"

    def test_it_is_read_as_it_was_written(self) -> None:
        found = read_document(json.dumps(made()), "plan.json", "tracker", "a1b2")
        assert found == made()

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"rewind_plan"', "null", "\x00"])
    def test_what_is_no_plan_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="it is not the file of a plan"):
            read_document(text, "plan.json", "tracker", "a1b2")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"rewind_plan": FORMAT + 1}, "it is of version"),
            ({"bound_to": None}, "parts of it are missing"),
            ({"bound_to": {}}, "parts of it are missing"),
            ({"bound_to": {**kept(World()), "more": None}}, "parts of it are missing"),
            ({"inputs": {"point_in_time": POINT}}, "parts of it are missing"),
            ({"target": "shop"}, "it was made for the target shop, not for tracker"),
            ({"state_mark": "ffff"}, "another state directory"),
        ],
    )
    def test_another_version_target_or_state_directory_is_refused(self, change: Json, message: str) -> None:
        with pytest.raises((InvalidInput, Refused), match=message):
            read_document(json.dumps({**made(), **change}), "plan.json", "tracker", "a1b2")

    @pytest.mark.parametrize("fact", sorted(kept(World())))
    @pytest.mark.parametrize("wrong", [None, [1], [{}], {"branch_id": "br-x"}, {}], ids=str)
    def test_a_plan_that_is_torn_in_what_it_is_bound_to_is_refused(self, fact: str, wrong: Any) -> None:
        """Given a fact that is not there, or is no text, branch or list as it must be, then it is no plan any more.

        As any other value it is one, and a fact that has changed.
        """
        whole = made()
        missing = {name: value for name, value in whole["bound_to"].items() if name != fact}
        torn = missing if wrong is None else {**missing, fact: wrong}
        with pytest.raises(InvalidInput, match="parts of it are missing") as caught:
            read_document(json.dumps({**whole, "bound_to": torn}), "plan.json", "tracker", "a1b2")
        assert "playbooks/plan.yml -e out=<file>" in caught.value.hint

    @pytest.mark.parametrize("fact", ["children", "env", "also_repoint"])
    def test_so_is_one_whose_branches_or_rows_are_torn(self, fact: str) -> None:
        world = World().add(branch("br-dev", "dev", parent_id=MAIN))
        host = host_of("ep-main-compute-a1")[0]
        row = {"kind": "application", "uuid": "app-worker", "name": "worker", "key": "DATABASE_URL", "host": host}
        world.consumers.append({**row, "env_uuid": "env-worker", "is_preview": False, "hash": "aaaaaaaaaaaa"})
        plan = build({**world.params(also_repoint=["worker"]), "past": []})
        whole = document(plan, {"also_repoint": ["worker"]}, "a1b2")
        assert read_document(json.dumps(whole), "plan.json", "tracker", "a1b2") == whole
        (item,) = whole["bound_to"][fact]
        for key in item:
            for torn in ({name: value for name, value in item.items() if name != key}, {**item, key: ["x"]}):
                text = json.dumps({**whole, "bound_to": {**whole["bound_to"], fact: [torn]}})
                with pytest.raises(InvalidInput, match="parts of it are missing"):
                    read_document(text, "plan.json", "tracker", "a1b2")

    def test_what_is_said_beside_it_must_be_the_same(self) -> None:
        inputs = made()["inputs"]
        check_said({}, inputs, "plan.json")
        check_said({**INPUTS, "accept_downtime": True, "point_in_time": POINT}, inputs, "plan.json")
        with pytest.raises(InvalidInput) as caught:
            check_said({"cutover": "repoint", "also_repoint": ["shop"], "lsn": "0/1"}, inputs, "plan.json")
        for part in ("cutover=repoint (the plan: in_place)", "also_repoint=shop (the plan: nothing)", "lsn=0/1"):
            assert part in str(caught.value)

    def test_a_safe_answer_that_is_said_is_never_overruled(self) -> None:
        unfenced = {**made()["inputs"], "fence_writes_before_cutover": False, "again": True}
        check_said(INPUTS, unfenced, "plan.json")
        with pytest.raises(InvalidInput, match=r"fence_writes_before_cutover=true \(the plan: false\)"):
            check_said(INPUTS, unfenced, "plan.json", ["fence_writes_before_cutover"])

    def test_a_restore_that_is_to_be_done_again_is_one_in_the_file_too(self) -> None:
        plan = build({**World().params(), "past": []})
        assert document(plan, {"again": True}, "a1b2")["inputs"]["again"] is True


def _options(folder: Path, action: str, **more: Any) -> Json:
    return {
        "action": action,
        "path": str(folder / "plans" / "plan.json"),
        "target": "tracker",
        "state_dir": str(folder / "state"),
        **more,
    }


class TestModule:
    def test_it_writes_a_file_for_its_owner_only_and_reads_it_again(self, tmp_path: Path) -> None:
        plan = build({**World().params(), "past": []})
        written = call_module("plan_file", _options(tmp_path, "write", plan=plan))
        assert written["changed"] is False and written["written"] is True
        assert stat.S_IMODE(Path(written["file"]).stat().st_mode) == 0o600
        found = call_module("plan_file", _options(tmp_path, "read"))
        assert (found["inputs"], found["bound_to"]) == (written["inputs"], plan["bound_to"])

    def test_in_check_mode_nothing_is_written(self, tmp_path: Path) -> None:
        plan = build({**World().params(), "past": []})
        told = call_module("plan_file", _options(tmp_path, "write", plan=plan), check_mode=True)
        assert told["written"] is False and list(tmp_path.iterdir()) == []

    def test_a_file_that_is_not_there_is_said(self, tmp_path: Path) -> None:
        assert "No such file" in call_module("plan_file", _options(tmp_path, "read"))["msg"]

    def test_both_ways_read_the_same(self, tmp_path: Path, both_ways: BothWays) -> None:
        plan = build({**World().params(), "past": []})
        call_module("plan_file", _options(tmp_path, "write", plan=plan))
        result = both_ways.same("plan_file", _options(tmp_path, "read"))
        assert result["inputs"]["cutover"] == "in_place"

    def test_the_module_that_plans_passes_on_both(self) -> None:
        params = {**World().params(), "past": [], "bound_to": kept(World())}
        found = call_module(restore_plan.__name__.rpartition(".")[2], params)
        assert found["plan"]["comparison"] and found["comparison_text"]
