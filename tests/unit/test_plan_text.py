# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan as text: it fits a terminal whatever things are called, and says what is known and what is not."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.text import (
    WIDTH,
    confirmation,
    lines,
    problem_lines,
)
from ansible_collections.rewind.database.plugins.module_utils._postgres.comparison import compare
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, World, branch, env_row, host_of
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import given, settings
from hypothesis import strategies as st

Json = dict[str, Any]
# What Ansible puts around an item of a list of messages: six columns before it, and quotes.
_AROUND = 8
_LOSSES: Json = {
    "tables": {
        'public."QuestProgress"': {"rows_before": 40, "rows_after": 50, "status": "changed"},
        'public."Trader"': {"rows_before": 12, "rows_after": 9, "status": "changed"},
        "public.status": {"rows_before": 1, "rows_after": 1, "status": "equal"},
        "public.added": {"rows_before": 3, "rows_after": None, "status": "missing"},
    }
}


def one_line(shown: list[str]) -> str:
    """The text without its line breaks."""
    return " ".join(" ".join(shown).split())


def check_fits(shown: list[str]) -> None:
    for line in shown:
        assert len(line) <= WIDTH and len(line) + _AROUND <= 80, line
        assert line.isprintable(), repr(line)


# Any text that may come as a name, control characters and wide ones included; NUL is no text for an API.
_names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=256)


@settings(max_examples=60, deadline=None)
@given(branch_name=_names, target=_names, key=_names, commit=_names, depth=st.integers(0, 40))
def test_the_text_fits_whatever_things_are_called(
    branch_name: str, target: str, key: str, commit: str, depth: int
) -> None:
    """Given names of any length and kind, and a tree of any depth, then no line leaves the terminal or breaks it."""
    world = World()
    parent = MAIN
    for number in range(depth):
        world.add(branch(f"br-{number:03}", f"{branch_name}{number}", parent_id=parent))
        parent = f"br-{number:03}"
    world.branches[0]["name"] = branch_name
    world.application["commit"] = commit
    world.application["environment"].append(env_row(key, host_of("ep-main-compute-a1")[1]))
    world.losses = _LOSSES
    for strategy in ("repoint", "in_place"):
        plan = world.plan(target=target, cutover=strategy)
        check_fits(lines(plan))
        check_fits(confirmation(plan))
        check_fits(problem_lines([{"message": branch_name, "what_to_do": target}]))


def test_an_escape_sequence_in_a_name_draws_nothing() -> None:
    """Given a branch whose name would clear the screen and forge a line, then it is shown as plain text in its line."""
    world = World()
    world.branches[0]["name"] = "main\x1b[2J\nrows lost: 0"
    shown = lines(world.plan())
    check_fits(shown)
    assert not any(line.startswith("rows lost: 0") for line in shown)


def test_a_host_can_be_copied() -> None:
    """Given hosts as long as Neon's pooled ones, then each is whole in one line, and so is each key."""
    world = World()
    world.application["environment"] = [
        env_row("DATABASE_URL", host_of("ep-main-compute-a1")[0]),
        env_row("DATABASE_URL_POOLED_REPORTING", host_of("ep-main-compute-a1")[1]),
    ]
    long = "ep-purple-mountain-a1b2c3d4-pooler.ap-southeast-1.aws.neon.tech"
    world.branches[0]["endpoints"][0]["pooler_host"] = long
    world.application["environment"][1]["connection"]["host"] = long
    shown = lines(world.plan(cutover="repoint"))
    assert any(long in line.split() for line in shown)
    assert any(line.startswith("DATABASE_URL:") for line in shown)
    assert any(line.startswith("DATABASE_URL_POOLED_REPORTING:") for line in shown)


def test_what_is_lost_is_said_table_by_table() -> None:
    """Given both sides, then totals and every table that differs are there, and no table that does not."""
    world = World()
    world.losses = _LOSSES
    text = one_line(lines(world.plan()))
    assert "rows lost: at least 6 (and at least 10 come back)" in text
    assert 'public."QuestProgress": 40 rows now, 50 then (changed; lost: an unknown number)' in text
    assert "public.added: 3 rows now, no then (missing)" in text
    assert "public.status" not in text


@given(
    now=st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 3), max_size=6), max_size=3),
    then=st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 3), max_size=6), max_size=3),
    hashed=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_rows_that_were_changed_or_exchanged_are_never_called_none(
    now: dict[str, list[int]], then: dict[str, list[int]], hashed: bool
) -> None:
    """Given tables with rows inserted, changed and deleted, then no number is more than is lost, an exact one is just
    that, each changed table is named, and nothing is called 0 that is not."""
    world = World()
    world.losses = compare(manifest(now, hashed), manifest(then, hashed))
    plan = world.plan()
    losses, gone = plan["losses"], sum(lost(now.get(name, []), then.get(name, [])) for name in now)
    back = sum(lost(then.get(name, []), now.get(name, [])) for name in then)
    assert losses["rows_lost"] <= gone and losses["rows_restored"] <= back
    if losses["exact"]:
        assert (losses["rows_lost"], losses["rows_restored"]) == (gone, back)
    differing = {name for name in {*now} & {*then} if sorted(now[name]) != sorted(then[name])}
    assert {*losses["tables_changed"]} <= differing and (not hashed or differing == {*losses["tables_changed"]})
    if gone:
        text = one_line(lines(plan))
        assert "rows lost: 0" not in text and "lost: 0)" not in text
        assert all(f"{name}: {len(now[name])} rows now" in text for name in losses["tables_changed"])


def lost(here: list[int], there: list[int]) -> int:
    """How many rows are here and not there."""
    return (Counter(here) - Counter(there)).total()


def manifest(tables: dict[str, list[int]], hashed: bool) -> Json:
    """A manifest of tables with one column."""
    shown = {
        name: {"rows": len(rows), "newest": None, "hash": f"r:{sorted(rows)}" if hashed else None}
        for name, rows in tables.items()
    }
    return {"version": 1, "tables": shown, "sequences": {}, "schema_hash": "s"}


def test_without_hashes_it_is_said_that_more_may_have_changed() -> None:
    """Given tables with as many rows, then only hashes make that none that are lost."""
    world = World()
    for hashed, wanted in ((True, "rows lost: 0 (and 0 come back)"), (False, "rows lost: an unknown number")):
        world.losses = compare(manifest({"a": [1]}, hashed), manifest({"a": [1]}, hashed))
        text = one_line(lines(world.plan()))
        assert wanted in text and ("Without hashes" in text) is not hashed


def test_what_is_not_known_is_called_unknown() -> None:
    """Given data that cannot be read beforehand and an LSN without a time, then both are called unknown, never 0."""
    world = World()
    text = one_line(lines(world.plan(lsn="0/1A2B3C4")))
    assert "rows lost: unknown" in text and "time lost: unknown" in text
    assert "restore point: 0/1A2B3C4" in text and "None" not in text


def test_the_restore_point_is_shown_in_both_times() -> None:
    """Given an instant, then UTC, local time, how long ago it was and the branch that holds it are in view."""
    text = one_line(lines(World().plan()))
    assert "restore point: 2025-01-13T14:25:00Z = 2025-01-13 15:25:00 +0100 (CET)" in text and "35 min ago" in text
    assert f"from branch: main {MAIN}, it is the primary" in text


def test_both_strategies_are_priced_and_both_trees_are_drawn() -> None:
    """Given a root as primary, then the chosen strategy, the price of each, and the tree before and after are there."""
    shown = lines(World().plan(cutover="repoint"))
    text = one_line(shown)
    assert "strategy: repoint: it was asked for" in text
    assert "in_place: connections drop once" in text and "snapshot: connections drop once" in text
    assert "no restore in place works on the primary afterwards" in text
    assert "cannot be deleted then: main" in text
    after = shown[shown.index("branches afterwards:") + 1 :]
    assert after[0] == "  main (default, old primary)"
    assert after[1] == "    restore-20250113-142500 (primary, new)"


def test_every_problem_is_said_with_what_to_do() -> None:
    """Given two problems, then they are counted, and each has its advice; given none, then nothing is said."""
    found = [{"message": "It is full.", "what_to_do": "Make room."}, {"message": "It is old.", "what_to_do": "Wait."}]
    assert problem_lines(found)[0] == "2 things stand in the way; nothing was changed:"
    assert problem_lines(found)[1:] == ["- It is full.", "  Make room.", "- It is old.", "  Wait."]
    assert problem_lines(found[:1])[0].startswith("1 thing stands")
    assert problem_lines([]) == []


def test_a_plan_that_could_not_be_made_still_says_why() -> None:
    """Given a time without a zone and no primary, then heading and problems are shown, and nothing to confirm."""
    world = World()
    world.application["environment"] = []
    result = call_module("restore_plan", world.params(point_in_time="2025-01-13 14:25:00"))
    check_fits(result["text"])
    assert "2 things stand in the way" in one_line(result["text"])
    assert result["confirmation"] == [] and result["problem_text"] == problem_lines(result["plan"]["problems"])


def test_a_yes_is_asked_for_with_the_numbers_in_view() -> None:
    """Given a plan with losses, then what a person confirms names target, point, loss and downtime."""
    world = World()
    world.losses = _LOSSES
    text = one_line(confirmation(world.plan(cutover="in_place", environment="production")))
    for part in (
        "target: tracker (production)",
        "2025-01-13T14:25:00Z",
        "rows lost: at least 6",
        "time lost: 35 min",
        "downtime:",
    ):
        assert part in text
