# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""postgres_bisect: the probes that it makes on Neon, what it takes for an answer, and that nothing of it stays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils import _http
from ansible_collections.rewind.database.plugins.module_utils._errors import RewindError
from ansible_collections.rewind.database.plugins.module_utils._find import looking
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import ConnectionFailed
from ansible_collections.rewind.database.plugins.module_utils._time import rfc3339
from ansible_collections.rewind.database.plugins.modules import postgres_bisect
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeClock, call_module

Json = dict[str, Any]
START = datetime(2025, 1, 13, 14, 0, tzinfo=UTC)
MAIN = "br-calm-sea-a1b2c3d4"
CHECK = {"name": "Users are there", "kind": "rows", "table": "User", "min": 1}
DATE = {"Date": "Mon, 13 Jan 2025 15:00:00 GMT"}


def at(seconds: float) -> str:
    return rfc3339(START + timedelta(seconds=seconds))


class Neon:
    """A project that makes and deletes branches at once, and remembers how many probes were there at a time."""

    def __init__(self) -> None:
        self.branches: dict[str, Json] = {}
        self.made: list[Json] = []
        self.most = 0
        self.on_create: Callable[[Json], httpx.Response | None] = lambda body: None
        self.on_delete: Callable[[str], httpx.Response | None] = lambda branch_id: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        last = request.url.path.rpartition("/")[2]
        if request.method == "POST" and last == "branches":
            return self._create(json.loads(request.content))
        if request.method == "DELETE":
            told = self.on_delete(last)
            if told is None:
                self.branches.pop(last, None)
            return told or httpx.Response(200, json={"operations": []})
        if last in self.branches:
            return httpx.Response(200, json={"branch": self.branches[last]}, headers=DATE)
        if last == "branches":
            return httpx.Response(200, json={"branches": list(self.branches.values()), "pagination": {}})
        if last == "operations":
            return httpx.Response(200, json={"operations": []})
        if last.startswith("br-"):
            return httpx.Response(404, json={"message": "branch not found"})
        return httpx.Response(200, json={"project": {"id": "late-frost-12345678"}}, headers=DATE)

    def _create(self, body: Json) -> httpx.Response:
        branch = {"id": f"br-probe-{len(self.made):02d}", "current_state": "ready", **body["branch"]}
        self.made.append(body)
        told = self.on_create(body)
        if told is None or told.status_code >= 500:
            self.branches[branch["id"]] = branch
            self.most = max(self.most, len(self.branches))
        return told or httpx.Response(201, json={"branch": branch, "operations": [], "endpoints": []}, headers=DATE)


Truth = Callable[[float], Any]


class World:
    """The project, and what the check says at each second after `START`."""

    def __init__(self, neon: Neon) -> None:
        self.neon = neon
        self.truth: Truth = lambda second: second < 400
        self.asked: list[float] = []
        self.window_start = -3600.0

    def check_data(self, task: Any, access: Any) -> Json:
        assert task.params["connection"]["branch_id"] in self.neon.branches
        point = datetime.fromisoformat(task.params["restore_point"])
        self.asked.append((point - START).total_seconds())
        found = self.truth(self.asked[-1])
        if isinstance(found, BaseException):
            raise found
        outcome = {"ok": bool(found), "answered": found is not None, "message": "as it was found"}
        return {"checks": [outcome]}

    def search(self, **options: Any) -> Json:
        segment = {"start": at(0), "end": at(1000), "branch_id": MAIN, "name": "main"}
        plan = {
            "target": "tracker",
            "check": CHECK,
            "segments": [segment],
            "hints": [],
            "precision": 1.0,
            "confirmations": 2,
            "window_start": at(self.window_start),
            "window_edge": at(self.window_start),
            "window_slides": True,
            "restore_seconds": {"verify_seconds": 300.0, "confirm_seconds": 600.0, "cutover_deadline": 900.0},
            "whole_window": True,
            "until_now": True,
            "before": at(1000),
        }
        # A clock that only sleeps move would make every request one of the same instant.
        neon = {"project_id": "late-frost-12345678", "neon_api_key": NEON_KEY, "neon_requests_per_minute": 0}
        given = {**neon, "plan": plan, "check": CHECK, **options}
        return call_module("postgres_bisect", given)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> World:
    neon = Neon()
    made = World(neon)
    monkeypatch.setattr(_http, "open_transport", lambda **_options: httpx.MockTransport(neon.answer))
    monkeypatch.setattr(looking, "check_data", made.check_data)
    return made


def test_each_probe_is_a_branch_at_its_instant_alone_and_annotated(world: World) -> None:
    """Given a break, it is found; every branch has a compute, an hour to live, our annotation, and is deleted."""
    found = world.search()["search"]
    assert (found["kind"], found["last_good"]["utc"], found["first_bad"]["utc"]) == ("found", at(399), at(400))
    assert found["command"] == f"ansible-playbook playbooks/restore.yml -e target=tracker -e point_in_time={at(399)}"
    assert found["count"] == len(world.neon.made) == len(found["probes"]) <= 2 + 10 + 7
    assert (world.neon.branches, world.neon.most) == ({}, 1)
    for body, probe in zip(world.neon.made, found["probes"], strict=True):
        assert body["branch"]["parent_id"] == MAIN and body["branch"]["parent_timestamp"] == probe["at"]
        assert body["branch"]["expires_at"] == "2025-01-13T16:00:00Z", "an hour by Neon's own clock"
        assert body["endpoints"] == [{"type": "read_write"}]
        assert body["annotation_value"]["tool"] == "rewind.database"
        assert body["annotation_value"]["purpose"] == "probe"
    names = [body["branch"]["name"] for body in world.neon.made]
    assert len(set(names)) == len(names) and all(name.startswith("probe-20250113-14") for name in names)
    assert any("leaves the history window" in line for line in found["text"]), "it is near the start of a sliding one"


def test_the_command_for_a_point_that_soon_leaves_the_window_shortens_what_a_restore_reserves(world: World) -> None:
    """Given a last good instant that restore.yml would refuse as it is, then the command says what makes it take it,
    and the text beside it why."""
    world.window_start = -900.0
    found = world.search()["search"]
    given = dict(re.findall(r"-e (\w+)=(\S+)", found["command"]))
    assert list(given) == ["target", "point_in_time", "verify_seconds", "confirm_seconds", "cutover_deadline"]
    text = " ".join(" ".join(found["text"]).split())
    assert "A restore reserves 30 min of the history window" in text
    assert f"-e cutover_deadline={given['cutover_deadline']}, and is refused if it is not begun within" in text


def test_a_point_that_leaves_the_window_at_once_gets_no_command(world: World) -> None:
    """Given a last good instant that no restore can be begun for any more, then no command is shown that would be
    refused, and the text says what gives more time."""
    world.window_start = 350.0
    found = world.search()["search"]
    assert (found["kind"], found["last_good"]["utc"], found["command"]) == ("found", at(399), None)
    assert "too short for a restore" in " ".join(" ".join(found["text"]).split())


def test_the_journal_knows_each_probe_before_it_is_made(world: World, tmp_path: Path) -> None:
    """Given a run, its journal names each branch, and says that it is gone."""
    journal = Journal(tmp_path, "tracker")
    run = journal.start("find_restore_point", {})
    world.neon.on_create = lambda body: _known_before(journal, run.id, body)
    world.search(state_dir=str(tmp_path), journal={"run": run.id, "step": "probe"})
    steps = [step for name, step in journal.read(run.id).steps.items() if name.startswith("probe_")]
    assert len(steps) == len(world.neon.made)
    assert {step.phase for step in steps} == {"done"}
    assert all(step.ids["branch"].startswith("br-probe-") for step in steps)
    assert [step.data["passed"] for step in steps[:2]] == [False, True], "what is known survives the controller"


def _known_before(journal: Journal, run: str, body: Json) -> None:
    steps = journal.read(run).steps.values()
    mine = [step for step in steps if step.ids.get("name") == body["branch"]["name"]]
    assert [step.phase for step in mine] == ["intent"]
    assert mine[0].undo == {"remove_branch": body["branch"]["name"]}
    assert body["annotation_value"]["run"] == run


def test_a_check_that_flaps_is_reported_with_every_probe_and_without_a_command(world: World) -> None:
    """Given a check that passed, failed, passed and failed, nothing is guessed."""
    world.truth = lambda second: second < 200 or 600 < second < 900
    found = world.search()["search"]
    assert (found["kind"], found["command"]) == ("flapping", None)
    text = " ".join(" ".join(found["text"]).split())
    assert "does not break once" in text and "No restore point is named" in text
    assert all(probe["at"] in text for probe in found["probes"])


def test_a_lost_answer_to_the_creation_is_read_back(world: World) -> None:
    """Given a creation whose answer is lost, its branch is found by its name, used, and deleted."""
    lost = iter([httpx.Response(502, text="bad gateway")])
    world.neon.on_create = lambda body: next(lost, None)
    found = world.search()["search"]
    assert found["last_good"]["utc"] == at(399)
    assert len({body["branch"]["name"] for body in world.neon.made}) == len(world.neon.made), "each was sent once"
    assert (world.neon.branches, world.neon.most) == ({}, 1)


def test_a_compute_that_does_not_answer_is_tried_once_more_on_another_branch(world: World) -> None:
    """Given one connection that fails for a moment, the answer is that of the second try."""
    failures = iter([ConnectionFailed("connect to it: timed out", retryable=True)])
    world.truth = lambda second: next(failures, second < 400)
    found = world.search()["search"]
    assert found["last_good"]["utc"] == at(399)
    assert len(world.neon.made) == found["count"] + 1


@pytest.mark.parametrize(
    "answer",
    [None, ConnectionFailed("connect to it: timed out", retryable=True), ConnectionFailed("connect to it: refused")],
    ids=["not answered", "not reached", "refused"],
)
def test_what_cannot_be_run_is_neither_passed_nor_failed(world: World, answer: Any) -> None:
    """Given a check without an answer at the end, the search stops and says why."""
    world.truth = lambda second: answer
    found = world.search()["search"]
    assert (found["kind"], found["command"], found["unknown_at"]) == ("unknown", None, at(1000))
    assert [probe["passed"] for probe in found["probes"]] == [None]
    assert found["reason"] and world.neon.branches == {}


def test_instants_before_the_branch_are_the_edge_of_the_history(world: World) -> None:
    """Given a branch that is younger than the window, the search goes on above its first instant."""

    def refuse(body: Json) -> httpx.Response | None:
        if body["branch"]["parent_timestamp"] >= at(100):
            return None
        return httpx.Response(400, json={"message": "timestamp is before the branch was created; timestamp: x"})

    world.neon.on_create = refuse
    assert world.search()["search"]["last_good"]["utc"] == at(399)
    world.truth = lambda second: False
    found = world.search()["search"]
    assert (found["kind"], found["oldest"]) == ("fails_throughout", at(100))


def test_a_clock_that_runs_ahead_is_waited_for(world: World, clock: FakeClock) -> None:
    """Given a controller whose "now" Neon has not reached yet, the search waits for it, and not for ever."""
    late = iter([httpx.Response(400, json={"message": "timestamp is in the future"})] * 2)
    world.neon.on_create = lambda body: next(late, None)
    assert world.search()["search"]["last_good"]["utc"] == at(399)
    assert sum(clock.slept) == 1.5
    world.neon.on_create = lambda body: httpx.Response(400, json={"message": "timestamp is in the future"})
    assert "in the future" in world.search()["msg"]


def test_when_neon_refuses_then_the_task_fails_with_what_is_known_and_nothing_stays(world: World) -> None:
    """Given a quota that ends in the middle, the probes so far are in the result."""
    world.neon.on_create = lambda body: (
        httpx.Response(422, json={"message": "branches limit exceeded"}) if len(world.neon.made) > 3 else None
    )
    result = world.search()
    assert result["failed"] and "branches limit exceeded" in result["msg"]
    assert len(result["partial"]["probes"]) == 3
    assert world.neon.branches == {}


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RewindError("read it: something else")], ids=["stopped", "fault"]
)
def test_a_probe_branch_is_deleted_however_its_check_ends(world: World, error: BaseException) -> None:
    """Given a person who stops the run, or a fault, the branch of that moment is deleted."""
    world.truth = lambda second: error if len(world.asked) == 3 else second < 400
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            world.search()
    else:
        assert world.search()["failed"]
    assert len(world.neon.made) == 3 and world.neon.branches == {}


def test_a_probe_that_cannot_be_deleted_stays_open_in_the_journal(world: World, tmp_path: Path) -> None:
    """Given a deletion that is refused, the run fails, and its journal leads the next one to the branch."""
    journal = Journal(tmp_path, "tracker")
    run = journal.start("find_restore_point", {})
    world.neon.on_delete = lambda branch_id: httpx.Response(422, json={"message": "branch is not deleted"})
    result = world.search(state_dir=str(tmp_path), journal={"run": run.id, "step": "probe"})
    assert result["failed"] and "branch is not deleted" in result["msg"]
    assert journal.read(run.id).steps["probe_1"].phase == "intent"
    assert journal.read(run.id).steps["probe_1"].ids["branch"] in world.neon.branches


def test_the_parts_of_the_result_are_the_documented_ones(world: World) -> None:
    """Given a search, and one in check mode, both have every part that is documented."""
    told = set(yaml.safe_load(postgres_bisect.RETURN)["search"]["contains"])
    assert told == set(world.search()["search"])
    assert set(yaml.safe_load(postgres_bisect.DOCUMENTATION)["options"]) <= set(postgres_bisect.SPEC.arguments)
    assert told == set(looking.nothing_was_probed({})), "and the same in check mode"


def test_both_ways_say_the_same_in_check_mode(both_ways: BothWays) -> None:
    """Given check mode, nothing is sent, in the controller's process and as a module."""
    given = {"project_id": "late-frost-12345678", "plan": {"target": "tracker"}, "check": CHECK}
    result = both_ways.same("postgres_bisect", given, check_mode=True)
    assert result["search"]["kind"] == "predicted" and not result["changed"]
