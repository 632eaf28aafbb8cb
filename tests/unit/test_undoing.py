# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which run an undo takes back: stories of restores that followed each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils import _records
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.rewind.database.plugins.module_utils._journal import PROMOTION_STEPS, Journal, Run
from ansible_collections.rewind.database.plugins.module_utils._undoing import choose
from ansible_collections.rewind.database.tests.unit.tools import call_module

CLONE = Path(__file__).resolve().parents[2]
TARGET = "tracker"


class Past:
    """The journals and the catalogue of one target."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = Journal(root, TARGET)

    def run(
        self, number: int, status: str = "running", *, begun: bool = True, verb: str = "restore", **inputs: str
    ) -> str:
        """A run of its minute; `begun` says whether it has begun its cutover."""
        run = f"20250113T14{number:02d}00Z-{verb}-{number:06x}"
        self.journal.start(verb, inputs, run=run)
        if begun:
            plan = {"restore_point": {"utc": f"2025-01-13T13:{number:02d}:00Z"}, "strategy": {"chosen": "repoint"}}
            self.journal.append(run, "plan", "done", data={"plan": plan})
            self.journal.append(run, "env", "done")
        if status != "running":
            self.journal.finish(run, status)
        if status == "done" and begun:
            self.record(run)
        return run

    def promotion(
        self,
        number: int,
        status: str = "running",
        *,
        moved: bool = True,
        inner: str = "done",
        first: str = "rename_old",
    ) -> tuple[str, str]:
        """A promotion and the restore inside of it; `moved` says whether it has begun to move names."""
        run = f"20250113T14{number:02d}00Z-promote-{number:06x}"
        self.journal.start("promote", {}, run=run)
        inside = f"20250113T14{number:02d}05Z-restore-{number:06x}"
        self.journal.start("restore", {"promotion": run}, run=inside)
        self.journal.append(inside, "plan", "done", data={"plan": {"strategy": {"chosen": "repoint"}}})
        self.journal.append(inside, "env", "done")
        if inner != "running":
            self.journal.finish(inside, inner)
            self.record(inside)
        if moved:
            self.journal.append(run, first, "done", undo={"name": "main"})
        if status != "running":
            self.journal.finish(run, status)
        return run, inside

    def record(self, run: str, **more: Any) -> None:
        _records.append(self.root, "catalogue", {"event": "cutover", "target": TARGET, "run": run, **more})

    def choose(self, wanted: str | None = None) -> Run:
        return choose(TARGET, self.journal.runs(), _records.read(self.root, "catalogue")[0], wanted)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


@pytest.mark.parametrize("status", ["done", "running", "stuck"])
def test_the_newest_cutover_that_stands_is_taken_back(past: Past, status: str) -> None:
    """Given two cutovers of which the newer one is done, was killed half way or is stuck, then it is the one."""
    past.run(1, "done")
    newest = past.run(2, status)
    assert past.choose().id == newest
    assert past.choose(newest).id == newest


def test_a_restore_that_was_killed_before_its_cutover_hides_nothing(past: Past) -> None:
    """Given a proven cutover and a later restore killed in its preflight, then the cutover is taken back."""
    proven = past.run(1, "done")
    killed = past.run(2, begun=False)
    assert past.choose().id == proven
    assert past.choose(killed).id == killed, "named, it is ended"


def test_alone_a_restore_that_was_killed_before_its_cutover_is_ended(past: Past) -> None:
    """Given nothing else, or nothing else that stands, then the run that was killed is chosen, to be ended."""
    past.run(1, "undone")
    past.run(2, begun=False, verb="backup")
    killed = past.run(3, begun=False)
    past.run(4, "failed", begun=False)
    assert past.choose().id == killed


@pytest.mark.parametrize("named", [False, True])
def test_of_a_drill_that_was_killed_its_restore_goes_first_and_then_it_is_ended(past: Past, named: bool) -> None:
    """Given a drill killed on the way, then staging comes first; where nothing of it stands, the drill is ended."""
    drill = past.run(1, begun=False, verb="drill")
    wanted = drill if named else None
    assert past.choose(wanted).id == drill
    early = past.run(2, begun=False, drill=drill)
    assert past.choose(wanted).id == early
    past.journal.finish(early, "undone")
    inside = past.run(3, "done", drill=drill)
    assert past.choose(wanted).id == inside
    past.journal.reopen(inside)
    past.journal.finish(inside, "undone")
    past.record(inside, undone=True, proven=True)
    assert past.choose(drill).id == drill


def test_the_end_of_a_drill_takes_back_no_restore_that_was_none_of_it(past: Past) -> None:
    """Given a proven restore and a later drill killed before its own, then the drill, when named, is only ended."""
    past.run(1, "done")
    drill = past.run(2, begun=False, verb="drill")
    assert past.choose(drill).id == drill


@pytest.mark.parametrize("drill_restore", [None, "killed", "failed"])
def test_a_drill_that_was_killed_later_is_meant_and_not_an_older_restore(past: Past, drill_restore: str | None) -> None:
    """Given a finished restore of last week and a drill killed before its cutover, then the restore stays."""
    past.run(1, "done")
    drill = past.run(2, begun=False, verb="drill")
    if drill_restore is not None:
        inside = past.run(3, "failed" if drill_restore == "failed" else "running", begun=False, drill=drill)
        assert past.choose().id == (drill if drill_restore == "failed" else inside)
        return
    assert past.choose().id == drill


@pytest.mark.parametrize("inner", [None, "running", "failed"])
def test_a_promotion_that_was_killed_later_is_meant_and_not_an_older_restore(past: Past, inner: str | None) -> None:
    """Given a finished restore of last week and a promotion killed before its cutover, then the restore stays."""
    past.run(1, "done")
    promotion = past.run(2, begun=False, verb="promote")
    if inner is not None:
        inside = past.run(3, inner, begun=False, promotion=promotion)
        wanted = inside if inner == "running" else promotion
        assert past.choose().id == wanted and past.choose(promotion).id == wanted
        return
    assert past.choose().id == promotion


def test_a_cutover_that_is_open_goes_before_a_drill_that_was_killed_after_it(past: Past) -> None:
    """Given a restore killed half way and a drill killed while it looked around, then the application comes first."""
    half = past.run(1)
    drill = past.run(2, begun=False, verb="drill")
    assert past.choose().id == half
    past.journal.finish(half, "undone")
    assert past.choose().id == drill


@pytest.mark.parametrize("killed_too", [False, True])
def test_after_the_newest_was_taken_back_the_older_one_must_be_named(past: Past, killed_too: bool) -> None:
    """Given two cutovers of which the newer one was taken back, then the older one is named and not taken back."""
    older, newer = past.run(1, "done"), past.run(2, "undone")
    if killed_too:
        past.run(3, begun=False)
    with pytest.raises(
        Refused, match=rf"run {newer} \(to 2025-01-13T13:02:00Z, by repoint\), was taken back"
    ) as caught:
        past.choose()
    assert f"playbooks/undo.yml -e target={TARGET} -e run={older}" in caught.value.hint
    assert past.choose(older).id == older


def test_an_undo_that_was_killed_is_finished_although_a_newer_run_was_taken_back(past: Past) -> None:
    """Given an older cutover whose undo was named and then killed, then it is the one, without being named again."""
    older = past.run(1, "done")
    past.run(2, "undone")
    past.journal.enter(older, "undo")
    past.journal.reopen(older)
    assert past.choose().id == older


def test_a_run_below_another_cutover_is_refused_until_that_is_taken_back(past: Past) -> None:
    """Given three cutovers, when the first is named, then the newest on top of it is what to begin with."""
    first, second, third = past.run(1, "done"), past.run(2, "done"), past.run(3, "done")
    for above in (third, second):
        with pytest.raises(Refused, match=f"the later cutover of run {above} .* stands on top of it") as caught:
            past.choose(first)
        assert f"-e run={above}" in caught.value.hint
        past.journal.finish(above, "undone")
    assert past.choose(first).id == first


def test_what_was_taken_back_already_is_not_taken_back_again(past: Past) -> None:
    """Given a run that was taken back, named or not, then that is what is said."""
    run = past.run(1, "undone")
    with pytest.raises(Refused, match="that was done already"):
        past.choose(run)
    with pytest.raises(Refused, match=f"run {run} .* was taken back already"):
        past.choose()


def test_where_nothing_was_restored_there_is_nothing_to_take_back(past: Past) -> None:
    """Given no run, and runs that changed nothing, then nothing is chosen, and a name does not change that."""
    with pytest.raises(Refused, match="nothing to take back"):
        past.choose()
    failed = past.run(1, "failed", begun=False)
    for wanted in (None, failed):
        with pytest.raises(Refused, match="nothing to take back"):
            past.choose(wanted)
    with pytest.raises(InvalidInput, match="has no journal"):
        past.choose("20250113T150000Z-restore-0a1b2c")


def test_a_cutover_without_a_journal_still_stands(past: Past) -> None:
    """Given a later cutover that only the catalogue knows, then what is below it is not taken back past it."""
    known = past.run(1, "done")
    lost = "20250113T150000Z-restore-0a1b2c"
    past.record(lost, at="2999-01-13T15:00:00Z")
    with pytest.raises(InvalidInput, match=f"{lost} of {TARGET}: it has no journal"):
        past.choose()
    with pytest.raises(Refused, match=f"the later cutover of run {lost} stands on top of it"):
        past.choose(known)
    past.record(lost, undone=True, proven=False)
    with pytest.raises(Refused):
        past.choose(known)
    past.record(lost, undone=True, proven=True)
    assert past.choose(known).id == known


def test_the_module_answers_with_the_run_and_reopens_it(past: Past) -> None:
    """Given the module, then it names the run to take back, opens it again, and says where it has looked in vain."""
    options = {"state_dir": str(past.root), "target": TARGET}
    refused = call_module("run_journal", {**options, "action": "to_undo"})
    assert refused["error"]["code"] == "nothing_to_undo" and str(past.root) in refused["msg"]
    run = past.run(1, "done")
    found = call_module("run_journal", {**options, "action": "to_undo"})
    assert found["run"]["id"] == run and found["run"]["cutover_begun"] is True and found["changed"] is False
    call_module("run_journal", {**options, "action": "reopen", "run": run}, check_mode=True)
    assert past.journal.read(run).status == "done"
    reopened = call_module("run_journal", {**options, "action": "reopen", "run": run})
    assert reopened["run"]["status"] == "running" and reopened["changed"] is False
    listed = call_module("run_journal", {**options, "action": "unfinished"})["unfinished"]
    assert [item["id"] for item in listed] == [run]


@pytest.mark.parametrize("status", ["done", "running"])
def test_a_promotion_is_taken_back_as_a_whole(past: Past, status: str) -> None:
    """Given a promotion that has moved names, then it is the one, also where the restore inside is named."""
    past.run(1, "done")
    promotion, inner = past.promotion(2, status)
    assert past.choose().id == promotion
    assert past.choose(inner).id == promotion


@pytest.mark.parametrize("first", ["computes", "schedule_new", "schedule_old", "schedule_default", "unprotect_new"])
def test_one_killed_before_its_first_rename_is_taken_back_as_a_whole(past: Past, first: str) -> None:
    """Given a promotion killed after it had moved a schedule, then an undo moves that back as well."""
    promotion, inner = past.promotion(2, first=first)
    assert past.choose().id == promotion
    assert past.choose(inner).id == promotion
    assert past.choose(promotion).id == promotion


def test_what_a_promotion_has_begun_with_is_what_is_taken_back() -> None:
    """Given the steps by which a promotion counts as begun, then its role takes back each of them, and no other."""
    told = yaml.safe_load((CLONE / "roles" / "promote" / "vars" / "main.yml").read_text(encoding="utf-8"))
    names = ("__promote_moved", "__promote_schedules", "__promote_limits")
    lists = [re.search(r"'step', 'in', (\[[^]]*\])", told[name]) for name in names]
    taken_back = [step for found in lists if found for step in yaml.safe_load(found[1])]
    assert sorted(taken_back) == sorted(PROMOTION_STEPS)


def test_a_promotion_that_has_moved_nothing_yet_is_its_restore(past: Past) -> None:
    """Given a promotion killed inside of its restore, then that is taken back, by whatever id it is named."""
    promotion, inner = past.promotion(1, moved=False, inner="running")
    assert past.choose().id == inner
    assert past.choose(promotion).id == inner


def test_a_promotion_stands_on_the_restore_before_it(past: Past) -> None:
    """Given a restore and a promotion of what it cut over to, then the restore cannot go first."""
    below = past.run(1, "done")
    promotion, _inner = past.promotion(2, "done")
    with pytest.raises(Refused, match=promotion):
        past.choose(below)
