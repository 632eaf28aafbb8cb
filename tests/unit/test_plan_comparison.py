# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All strategies side by side: what each would mean, which is recommended, and how long this target's own runs took."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.compare_text import comparison_lines
from ansible_collections.rewind.database.plugins.module_utils._plan.measured import NEWEST, measured
from ansible_collections.rewind.database.plugins.module_utils._plan.shape import build
from ansible_collections.rewind.database.plugins.module_utils._plan.strategies import STRATEGIES
from ansible_collections.rewind.database.plugins.module_utils._report import view
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, World, branch, deployment

Json = dict[str, Any]
VIEWS = ("html", "markdown", "json")
BEGINS = {"repoint": "fence_writes", "in_place": "restore", "snapshot": "finalize"}


def run(number: int, strategy: str, seconds: int, **more: Any) -> Json:
    """A restore that was proven: its cutover took so many seconds from the step that begins the downtime."""
    step = {"phase": "done", "began_at": "2025-01-10T10:00:10Z", "at": "2025-01-10T10:00:11Z", "seconds": 1.0}
    ended = f"2025-01-10T10:{(10 + seconds) // 60:02d}:{(10 + seconds) % 60:02d}Z"
    cutover = {"phase": "done", "began_at": "2025-01-10T10:00:00Z", "at": ended, "seconds": 10.0 + seconds}
    return {
        "id": f"20250110T{number:06d}Z-restore-0a1b2c",
        "status": "done",
        "resumed": 0,
        "strategy": strategy,
        "steps": {"cutover": cutover, BEGINS[strategy]: step, "record": step},
        **more,
    }


def compared(world: World, past: list[Json] | None = None, **request: Any) -> Json:
    """The plan with its comparison."""
    return build({**world.params(**request), "past": past or []})


def offer(plan: Json, strategy: str) -> Json:
    """One strategy of the comparison."""
    found: Json = next(item for item in plan["comparison"]["strategies"] if item["strategy"] == strategy)
    return found


class TestMeasured:
    def test_the_median_of_the_newest_proven_cutovers_counts_by_strategy(self) -> None:
        runs = [run(1, "repoint", 20), run(2, "repoint", 30), run(3, "repoint", 90), run(4, "in_place", 4)]
        assert measured(runs) == {"repoint": {"seconds": 30, "runs": 3}, "in_place": {"seconds": 4, "runs": 1}}

    def test_only_the_newest_count(self) -> None:
        runs = [run(number, "repoint", 50 if number < 5 else 20) for number in range(5 + NEWEST)]
        assert measured(runs) == {"repoint": {"seconds": 20, "runs": NEWEST}}

    @pytest.mark.parametrize(
        "change",
        [
            {"resumed": 1},
            {"strategy": None},
            {"steps": {}},
            {"steps": {**run(1, "repoint", 5)["steps"], "record": None}},
            {"steps": {**run(1, "repoint", 5)["steps"], "cutover": {"phase": "failed"}}},
        ],
        ids=["killed and gone on with", "no plan", "nothing done", "not recorded", "not proven"],
    )
    def test_what_was_not_one_whole_cutover_does_not_count(self, change: Json) -> None:
        given = {**run(1, "repoint", 5), **change}
        if "record" in given["steps"] and given["steps"]["record"] is None:
            del given["steps"]["record"]
        assert measured([given]) == {}

    def test_one_that_was_taken_back_later_was_a_cutover_all_the_same(self) -> None:
        assert measured([run(1, "snapshot", 7, status="undone")]) == {"snapshot": {"seconds": 7, "runs": 1}}


class TestComparison:
    def test_without_past_runs_being_given_no_comparison_is_made(self) -> None:
        assert World().plan()["comparison"] is None

    def test_every_strategy_has_its_nine_steps_and_its_price(self) -> None:
        plan = compared(World())
        assert [item["strategy"] for item in plan["comparison"]["strategies"]] == list(STRATEGIES)
        for item in plan["comparison"]["strategies"]:
            assert [step["number"] for step in item["steps"]] == list(range(1, 10))
            assert item["possible"] and item["problems"] == []
            assert item["interval_lost_seconds"] == 35 * 60
            assert item["keeps"]["until"] == "2025-01-20T15:00:00Z"
        cutovers = [item["steps"][5]["does"] for item in plan["comparison"]["strategies"]]
        assert len({tuple(item) for item in cutovers}) == 3

    def test_the_chosen_strategys_part_is_that_of_the_plan_itself(self) -> None:
        for strategy in STRATEGIES:
            plan = compared(World().add(branch("br-dev", "dev", parent_id=MAIN)), cutover=strategy)
            mine = offer(plan, strategy)
            assert mine["steps"] == plan["steps"] and mine["problems"] == plan["problems"]
            assert mine["tree_after"] == plan["strategy"]["offered"][strategy]["tree_after"]

    def test_the_recommendation_is_what_auto_takes_whatever_was_asked_for(self) -> None:
        for strategy in ("auto", *STRATEGIES):
            plan = compared(World(), cutover=strategy)
            assert plan["comparison"]["recommended"]["strategy"] == "in_place"
            assert plan["comparison"]["recommended"]["why"].startswith("the primary is a root")

    def test_what_stands_in_the_way_of_one_stands_with_that_one(self) -> None:
        world = World()
        world.project["limits"]["root_branches"] = 1
        plan = compared(world, cutover="repoint")
        assert plan["problems"] == [] and offer(plan, "repoint")["possible"]
        assert plan["comparison"]["recommended"]["strategy"] == "repoint"
        for strategy in ("in_place", "snapshot"):
            found = offer(plan, strategy)
            assert not found["possible"]
            assert "no_root_slot" in [item["code"] for item in found["problems"]]

    def test_the_downtime_of_past_runs_goes_before_every_estimate_and_says_so(self) -> None:
        world = World()
        world.deployments["deployments"] = [deployment("d1", "c0ffee", "2025-01-12T10:00:00Z", 60)]
        estimated = offer(compared(world), "repoint")["downtime"]
        assert estimated["writes_seconds"] == 60 and estimated["measured_runs"] == 0
        known = offer(compared(world, [run(1, "repoint", 20), run(2, "repoint", 22)]), "repoint")["downtime"]
        assert (known["writes_seconds"], known["reads_seconds"], known["measured_runs"]) == (21, 0, 2)
        assert "measured in 2 runs of this target" in known["text"]
        one = offer(compared(world, [run(1, "in_place", 3)]), "in_place")["downtime"]
        assert "measured in 1 run of this target" in one["text"] and one["reads_seconds"] == 3

    def test_rows_lost_are_those_of_the_plan_or_unknown(self) -> None:
        world = World()
        assert offer(compared(world), "repoint")["rows_lost"] is None
        world.losses = {"tables": {"public.a": {"status": "changed", "rows_before": 9, "rows_after": 4}}}
        plan = compared(world)
        assert {(item["rows_lost"], item["rows_exact"]) for item in plan["comparison"]["strategies"]} == {(5, False)}
        assert "at least 5" in "\n".join(comparison_lines(plan))

    def test_a_root_more_is_counted_whole_and_a_child_by_its_changes(self) -> None:
        plan = compared(World())
        whole = {item["strategy"]: item["keeps"]["counts_whole"] for item in plan["comparison"]["strategies"]}
        assert whole == {"repoint": False, "in_place": True, "snapshot": True}
        names = {item["strategy"]: item["keeps"]["name"] for item in plan["comparison"]["strategies"]}
        assert names["repoint"] == "main" and names["in_place"] == names["snapshot"] == plan["names"]["rollback"]


class TestText:
    def test_it_fits_a_terminal_and_says_everything(self) -> None:
        world = World().add(branch("br-dev", "a-development-branch-with-a-very-long-name-of-its-own", parent_id=MAIN))
        world.branches[0]["logical_size"] = 30_000_000
        plan = compared(world, [run(1, "repoint", 20)])
        lines = comparison_lines(plan)
        assert max(map(len, lines)) <= 72
        text = "\n".join(lines)
        for wanted in (
            "recommended:   in_place: the primary is a root",
            "in_place *",
            "repoint\n",
            "snapshot\n",
            "branches now:",
            "branches afterwards:",
            "28.6 MiB",
            "until 2025-01-20",
            "measured, 1 run",
            "an estimate",
            "Not brought back by any of them:",
            "9. Record.",
        ):
            assert wanted in text, wanted

    def test_a_strategy_that_was_asked_for_is_said_beside_the_recommendation(self) -> None:
        text = "\n".join(comparison_lines(compared(World(), cutover="repoint")))
        assert "recommended:   in_place" in text and "this plan:     repoint: it was asked for" in text

    def test_the_columns_stay_below_one_another(self) -> None:
        lines = comparison_lines(compared(World()))
        start = next(number for number, line in enumerate(lines) if "in_place *" in line)
        column = lines[start].index("in_place")
        rows = lines[start + 1 : lines.index("", start) - 1]
        assert rows and all(line.startswith(" ") and (len(line) <= column or line[column - 1] == " ") for line in rows)

    def test_without_a_comparison_there_is_nothing(self) -> None:
        assert comparison_lines(World().plan()) == []


class TestReport:
    @pytest.mark.parametrize("form", VIEWS)
    def test_a_report_shows_the_table_and_every_strategy_and_claims_nothing_has_happened(self, form: str) -> None:
        world = World().add(branch("br-dev", "<dev>", parent_id=MAIN))
        world.losses = {"tables": {"public.a": {"status": "changed", "rows_before": 9, "rows_after": 4}}}
        plan = compared(world, cutover="repoint")
        data = {"run": "r", "target": "tracker", "verb": "plan", "verdict": {"ok": True}, "plan": plan}
        shown = view({**data, "comparison": plan["comparison"]}, form)
        part = shown["strategies"]
        assert [column["recommended"] for column in part["columns"]] == [False, True, False]
        assert all(len(row["cells"]) == 3 for row in part["rows"]) and len(part["blocks"]) == 3
        assert (shown["trees"], shown["moved"], shown["details"]) == ([], [], [])
        assert shown["counts"]["rows"][0]["lost"] == "at least 5"
        assert any(fact["label"] == "Interval at stake" for fact in shown["facts"])
        name = part["before"][0]["children"][0]["name"]
        assert name == {"html": "&lt;dev&gt;", "markdown": "&lt;dev&gt;", "json": "<dev>"}[form]

    def test_a_run_without_a_comparison_has_no_such_part(self) -> None:
        assert view({"run": "r", "target": "tracker"}, "html")["strategies"]["rows"] == []
