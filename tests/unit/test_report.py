# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report shows: the same facts in three forms, every text escaped, nothing that is unknown made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.rewind.database.plugins.filter.report import report_facts, report_view
from ansible_collections.rewind.database.plugins.module_utils._report import facts, view
from ansible_collections.rewind.database.plugins.module_utils._report_parts import (
    escape_html,
    escape_markdown,
    moment_text,
    nested,
)
from ansible_collections.rewind.database.tests.support.report_example import BACKUP, FAILED, GOOD, hostile
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
NOW = "2025-01-13T15:00:00Z"


def shown(data: Json, form: str = "json", **objectives: float) -> Json:
    return view(data, form, objectives, NOW)


class TestKeyFacts:
    def test_the_restore_point_the_interval_and_the_time_taken_come_first(self) -> None:
        found = {item["label"]: (item["value"], item["notes"]) for item in shown(GOOD)["facts"]}
        assert found["Restore point"][0] == "2025-01-13 14:25:00 UTC"
        assert found["Interval lost"] == ("33 min", ["2025-01-13 14:25:00 UTC to 2025-01-13 14:58:00 UTC"])
        assert found["Time taken"] == ("1 min 10 s", ["objective: at most 15 min", "within the objective"])

    def test_what_was_taken_back_lost_nothing(self) -> None:
        labels = [item["label"] for item in shown(FAILED)["facts"]]
        assert "Interval at stake" in labels
        assert "Interval lost" not in labels

    def test_of_a_run_that_failed_the_plan_says_nothing_about_now(self) -> None:
        rows = [{"id": "a", "name": "main", "parent_id": None, "marks": ["primary"]}]
        plan = {
            "strategy": {"chosen": "repoint", "offered": {"repoint": {"tree_before": rows, "tree_after": rows}}},
            "losses": {"tables": [{"table": "t", "now": 5, "at_point": 9, "lost": 0, "restored": 4}]},
            "env": {"rows": [{"key": "DATABASE_URL", "from_host": "a", "to_host": "predicted:endpoint/restore-1"}]},
        }
        failed = shown({"run": "r", "target": "t", "plan": plan, "verdict": {"ok": False}})
        assert [tree["title"] for tree in failed["trees"]] == ["Before"]
        assert failed["counts"]["rows"] == failed["moved"] == []
        worked = shown({"run": "r", "target": "t", "plan": plan, "verdict": {"ok": True}})
        assert worked["moved"][0]["to_host"] == "the compute of restore-1"

    def test_undo_says_until_when_and_how_long_that_is(self) -> None:
        undo = shown(GOOD)["undo"]
        assert (undo["until"], undo["left"], undo["over"]) == ("Monday 2025-01-20 14:59 UTC", "in 6 days 23 h", False)
        assert view(GOOD, "json", now="2025-01-21T00:00:00Z")["undo"]["over"]

    def test_nothing_known_gives_a_page_without_those_parts(self) -> None:
        empty = shown({"run": "r", "target": "t"})
        assert empty["facts"] == empty["trees"] == empty["counts"]["rows"] == empty["timeline"]["rows"] == []
        assert empty["undo"] is None
        assert empty["title"] == "It did not work"

    def test_what_the_run_left_out_is_taken_from_its_plan(self) -> None:
        rows = [{"id": "a", "name": "main", "parent_id": None, "marks": ["primary"]}]
        plan = {
            "restore_point": {"utc": "2025-01-13T14:25:00Z", "kind": "time"},
            "strategy": {"chosen": "in_place", "offered": {"in_place": {"tree_before": rows, "tree_after": rows}}},
            "losses": {"tables": [{"table": "t", "now": 5, "at_point": 9, "lost": 0, "restored": 4}]},
            "not_restored": ["mail"],
        }
        page = shown({"run": "r", "target": "t", "plan": plan})
        assert [tree["title"] for tree in page["trees"]] == ["Before", "After"]
        assert page["counts"]["rows"][0]["restored"] == "4"
        assert page["not_restored"] == ["mail"]


class TestTimeline:
    def test_bars_lie_where_the_steps_lay_and_stay_inside(self) -> None:
        rows = shown(GOOD)["timeline"]["rows"]
        assert [row["number"] for row in rows] == list(range(1, 10))
        assert rows[0]["left"] == 0
        lefts = [row["left"] for row in rows]
        assert lefts == sorted(lefts)
        assert all(row["left"] + row["width"] <= 101 for row in rows)

    def test_the_runbooks_objectives_hold_until_the_target_has_its_own(self) -> None:
        by_title = {row["title"]: row for row in shown(GOOD)["timeline"]["rows"]}
        assert by_title["Cut over"]["objective"] == "at most 7 min"
        assert by_title["Plan"]["objective"] == ""
        own = {row["title"]: row for row in shown(GOOD, cutover=30, total=60)["timeline"]["rows"]}
        assert own["Cut over"]["within"] is False
        assert shown(GOOD, total=60)["timeline"]["within"] is False

    def test_steps_without_a_title_get_a_readable_one(self) -> None:
        data = {"run": "r", "target": "t", "steps": [{"step": "cutover"}, {"step": "clear_expiry"}]}
        assert [row["title"] for row in shown(data)["timeline"]["rows"]] == ["Cut over", "Clear expiry"]

    def test_a_step_that_says_its_own_objective_is_believed(self) -> None:
        data = {"run": "r", "target": "t", "steps": [{"step": "cutover", "seconds": 10, "objective_seconds": 5}]}
        assert facts(data)["steps"][0]["within_objective"] is False

    def test_from_a_backup_the_shorter_objectives_hold(self) -> None:
        data = {
            **GOOD,
            "restore_point": {**GOOD["restore_point"], "kind": "backup", "backup": "backup-20250113-140000"},
        }
        assert facts(data)["summary"]["objective_seconds"] == 600
        assert facts(GOOD)["summary"]["objective_seconds"] == 900
        assert facts(BACKUP)["summary"]["objective_seconds"] is None

    def test_without_instants_the_steps_follow_each_other(self) -> None:
        data = {"run": "r", "target": "t", "steps": [{"step": "a", "seconds": 1}, {"step": "b", "seconds": 3}]}
        assert [row["left"] for row in shown(data)["timeline"]["rows"]] == [0.0, 25.0]
        assert shown(data)["timeline"]["total"] == "4.0 s"

    @given(
        st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "step": st.sampled_from(["branch", "cutover", "x"]),
                    "seconds": st.one_of(st.none(), st.floats(0, 1e6)),
                    "started": st.sampled_from(["2025-01-13T14:00:00Z", "2025-01-13T15:00:00Z", "rubbish", None]),
                    "finished": st.sampled_from(["2025-01-13T14:30:00Z", "", None]),
                    "status": st.sampled_from(["done", "failed", "odd", None]),
                },
            ),
            max_size=5,
        )
    )
    def test_whatever_is_known_of_the_steps_no_bar_leaves_its_place(self, steps: list[Json]) -> None:
        for row in shown({"run": "r", "target": "t", "steps": steps})["timeline"]["rows"]:
            assert 0 <= row["left"] <= 100
            assert 0 <= row["width"] <= 100


class TestCounts:
    def test_what_is_there_now_follows_from_the_rest_and_the_unknown_stays_unknown(self) -> None:
        counts = shown(GOOD)["counts"]
        by_table = {row["table"]: row for row in counts["rows"]}
        assert by_table['public."QuestProgress"']["after"] == "50,000"
        assert by_table['public."ObjectiveProgress"']["after"] == "unknown"
        assert counts["total"]["lost"] == "at least 214"

    def test_the_least_that_is_lost_is_called_so_and_never_none(self) -> None:
        counts = [
            {"table": "a", "before": 9, "lost": 4, "restored": 0, "after": 5, "exact": False},
            {"table": "b", "before": 2, "lost": 0, "restored": 0, "after": 2, "exact": True},
        ]
        found = shown({"run": "r", "target": "t", "counts": counts})["counts"]
        assert [row["lost"] for row in found["rows"]] == ["at least 4", "0"]
        assert [row["restored"] for row in found["rows"]] == ["unknown", "0"]
        assert (found["total"]["lost"], found["total"]["restored"]) == ("at least 4", "unknown")

    def test_a_single_table_has_no_line_of_totals(self) -> None:
        data = {"run": "r", "target": "t", "counts": [{"table": "a", "before": 1, "lost": 0, "restored": 0}]}
        assert shown(data)["counts"]["total"] is None


class TestTree:
    def test_children_lie_inside_their_parents(self) -> None:
        (before, _after) = shown(GOOD)["trees"]
        (main,) = before["roots"]
        assert [child["name"] for child in main["children"]][-1] == "staging"
        assert main["children"][-1]["children"][0]["name"] == "experiment"

    @given(st.lists(st.tuples(st.integers(0, 8), st.one_of(st.none(), st.integers(0, 8))), max_size=9))
    def test_every_branch_is_drawn_once_even_when_a_listing_contradicts_itself(
        self, pairs: list[tuple[int, int | None]]
    ) -> None:
        rows = [{"id": str(key), "name": f"b{key}", "parent_id": None if up is None else str(up)} for key, up in pairs]
        drawn: list[str] = []
        stack = nested(rows)
        while stack:
            node = stack.pop()
            drawn.append(node["name"])
            stack.extend(node["children"])
        assert sorted(drawn) == sorted({str(row["name"]) for row in rows})


class TestEscaping:
    @given(st.text())
    def test_no_text_leaves_its_place_in_html(self, text: str) -> None:
        safe = escape_html(text)
        assert not set(safe) & set("<>\"'")
        assert "&" not in safe.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").replace(
            "&quot;", ""
        ).replace("&#x27;", "")

    @given(st.text())
    def test_no_text_begins_a_line_or_a_cell_in_markdown(self, text: str) -> None:
        safe = escape_markdown(text)
        assert not set(safe) & set("\n\r<>")
        bare = safe.replace("\\\\", "").replace("\\|", "").replace("\\`", "").replace("\\[", "").replace("\\*", "")
        assert not set(bare) & set("|`[*")
        assert not safe.startswith(("- ", "# ", "+ ", "1. "))

    @pytest.mark.parametrize("form", ["html", "markdown"])
    def test_every_text_of_a_hostile_world_is_escaped(self, form: str) -> None:
        def texts(value: Any, key: str = "") -> list[str]:
            if isinstance(value, dict):
                return [text for name, item in value.items() for text in texts(item, name)]
            if isinstance(value, list):
                return [text for item in value for text in texts(item, key)]
            return [value] if isinstance(value, str) and key != "command" else []

        found = texts(shown(hostile(), form))
        assert len(found) > 100
        assert not [text for text in found if "<" in text or ">" in text]

    def test_secrets_are_masked_in_every_form(self) -> None:
        password = "npg_Xk3vQ9sLw7TzR2mB5yHc8Jd4"
        data = {
            **GOOD,
            "verdict": {"ok": True, "title": f"postgresql://u:{password}@h/db", "sentences": [f"password={password}"]},
            "backup": {"password": password, "note": f"key {password}"},
        }
        for form in ("html", "markdown", "json"):
            assert password not in json.dumps(shown(data, form))
        assert password not in json.dumps(facts(data))


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("2025-01-13T14:25:00Z", "2025-01-13 14:25:00 UTC"),
        ("2025-01-13T14:25:00.250000Z", "2025-01-13 14:25:00.25 UTC"),
        ("2025-01-13T14:25:00+00:00", "2025-01-13 14:25:00 UTC"),
        ("2025-01-13T14:25:00+01:00", "2025-01-13T14:25:00+01:00"),
        ("backup", "backup"),
        ("from 2025-01-13T14:25:00Z, it was", "from 2025-01-13 14:25:00 UTC, it was"),
        ("restore-20250113-142500", "restore-20250113-142500"),
    ],
)
def test_an_instant_is_shown_as_people_read_it(text: str, people: str) -> None:
    assert moment_text(text) == people


class TestFilters:
    def test_what_is_no_dictionary_and_a_form_that_does_not_exist_are_refused(self) -> None:
        with pytest.raises(AnsibleFilterError, match="dictionary"):
            report_facts("text")
        with pytest.raises(AnsibleFilterError, match="html, markdown, json"):
            report_view(GOOD, "pdf")
