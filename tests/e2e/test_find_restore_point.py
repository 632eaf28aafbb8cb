# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When did it break? Searches of known histories: one that was restored, one that flaps, one that was killed half way.

The tests are one story of one target, in the order in which they stand here.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.killing import Point, crash_at, lines_of
from tests.faults.story import Plays
from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control, SandboxProcess, wait_for
from tests.support.targets import STATUS, Target, Targets, text_of, without_probes

PLAYBOOK = "playbooks/find_restore_point.yml"
CHECK = {
    "name": "The status is good",
    "kind": "sql",
    "query": STATUS,
    "expect": "starts_with([0].text, 'good')",
}


@pytest.fixture(scope="module")
def playbooks(sandbox: SandboxProcess, seed: int) -> Plays:
    """Playbooks that can also be left running beside the test."""
    return Plays(sandbox, seed)


@dataclass
class History:
    """What was true when: the instants right before and right after each text was set."""

    target: Target
    said: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def say(self, text: str, *, after: float = 0.0) -> datetime:
        """Sets the text once so many seconds have passed since the last one; an instant at which it is true."""
        if self.said:
            begun = list(self.said.values())[-1][1]
            wait_for(lambda: datetime.now(UTC) - begun > timedelta(seconds=after), what="the time between two texts")
        before = datetime.now(UTC)
        at = self.target.say(text)
        self.said[text] = (before, at)
        return at

    def at(self, text: str) -> datetime:
        """An instant at which this text is true; it is set now where no story before this one has set it."""
        return self.said[text][1] if text in self.said else self.say(text)

    def confirms(self, found: dict[str, Any], last: str, first_bad: str) -> bool:
        """Whether the boundary that was found lies where this text was set after that one."""
        good, bad = (datetime.fromisoformat(found[key]["utc"]) for key in ("last_good", "first_bad"))
        before, after = self.said[first_bad]
        return self.said[last][0] < good <= after and before <= bad


@pytest.fixture(scope="module")
def history(targets: Targets) -> Iterator[History]:
    """The sandbox's tracker: good, and three seconds later broken."""
    made = History(targets.given())
    made.say("good one")
    made.say("broken", after=3)
    yield made


@pytest.fixture(scope="module")
def restored(playbooks: Plays, history: History) -> History:
    """The history with a restore in place in the middle of it, which the default stories make themselves."""
    if not any(name.startswith("rollback-") for name in history.target.branches()):
        playbooks.restore(target="tracker", point_in_time=start_of(history), cutover="in_place").ok()
    return history


def find(playbooks: Playbooks, *options: str, changed: int = 0, **variables: Any) -> tuple[Played, dict[str, Any]]:
    """A search of the tracker that succeeds, and its result as its journal has it."""
    played = playbooks.play(PLAYBOOK, *options, **{"target": "tracker", "check": CHECK, **variables}).ok()
    assert played.changed == changed
    newest = journals(playbooks)[-1]
    found: dict[str, Any] = next(line["data"] for line in newest if line["step"] == "found")
    seconds = [probe["seconds"] for probe in found["probes"]]
    print(f"{found['kind']}: {found['count']} probes in {found['seconds']} s, {sum(seconds) / len(seconds):.2f} s each")
    return played, found


def journals(playbooks: Playbooks) -> list[list[dict[str, Any]]]:
    folder = playbooks.state / "journal" / "tracker"
    return [lines_of(path) for path in sorted(folder.glob("*-find_restore_point-*.jsonl"))]


def probes(target: Target) -> list[str]:
    return [name for name in target.branches() if name.startswith("probe-")]


def _suspend(target: Target, name: str) -> None:
    """As it does by itself after some minutes: a cleanup keeps what has a compute that runs."""
    branch_id = target.branches()[name]["id"]
    (compute,) = target.endpoints(branch_id)
    assert target.neon.post(f"/projects/{target.project}/endpoints/{compute['id']}/suspend").is_success
    wait_for(lambda: target.endpoints(branch_id)[0]["current_state"] == "idle", seconds=30, what="the end of a compute")


def start_of(history: History) -> str:
    return text_of(history.said["good one"][1] + timedelta(seconds=1))


def test_a_check_run_shows_the_plan_and_sends_nothing_but_get(
    playbooks: Plays, control: Control, targets: Targets, history: History
) -> None:
    """Given --check, the interval, the branch and the most probes are shown, and nothing is written anywhere."""
    since = control.last_request()
    played = playbooks.play(PLAYBOOK, "--check", target="tracker", check=CHECK, after=start_of(history)).ok()
    assert without_probes(targets.writes(since)) == []
    assert "at most between the ends" in played.text and "branch main" in played.text
    assert "Nothing was probed" in played.text
    assert journals(playbooks) == []


def test_the_last_good_second_is_found_with_one_branch_at_a_time_and_the_command_restores_to_it(
    playbooks: Plays, control: Control, targets: Targets, history: History
) -> None:
    """Given a break three seconds after a good state: each probe is shown, and what is printed at the end works."""
    target, since, before = history.target, control.last_request(), history.target.branches()
    played, found = find(playbooks, "-vvvv", "--diff", after=start_of(history), find_restore_point_confirmations=1)
    assert (found["kind"], found["precise"]) == ("found", True)
    assert history.confirms(found, "good one", "broken")
    good, bad = (datetime.fromisoformat(found[key]["utc"]) for key in ("last_good", "first_bad"))
    assert bad - good == timedelta(seconds=1)
    for number, probe in enumerate(found["probes"], start=1):
        assert f"probe {number}: {probe['at']} {'passes' if probe['passed'] else 'fails'}" in played.text

    writes = [item.split()[0] for item in without_probes(targets.writes(since)) if "/branches" in item]
    assert writes == ["POST", "DELETE"] * found["count"], "each is deleted before the next is made"
    assert target.branches().keys() == before.keys()

    command = found["command"]
    assert command in played.text
    program, *options = shlex.split(command)
    said = dict(option.split("=", 1) for option in options if "=" in option)
    # The inventory of this run is that of ansible.cfg, and need not be named.
    assert "-i" not in options and "playbooks/restore.yml" in options
    assert (program, said["target"]) == ("ansible-playbook", "tracker")
    playbooks.restore(**said).ok()
    assert target.stored() == target.served() == "good one"


@pytest.mark.long
def test_a_break_after_that_restore_is_found_on_the_branch_that_it_made(playbooks: Plays, restored: History) -> None:
    """Given a restore in the middle of the history, what came after it is looked at first, on its own branch."""
    history = restored
    history.say("good again")
    history.say("broken again", after=1)
    played, found = find(playbooks, after=start_of(history), precision=0.5, find_restore_point_confirmations=0)
    assert found["kind"] == "found" and history.confirms(found, "good again", "broken again")
    assert {probe["branch"] for probe in found["probes"]} == {"main"}
    assert "branch rollback-" in played.text, "the plan names both"


@pytest.mark.long
def test_the_break_before_that_restore_is_found_on_the_branch_that_kept_it(playbooks: Plays, restored: History) -> None:
    """Given an end before the restore in place, the branch that was preserved is looked at."""
    history = restored
    until = text_of(history.said["broken"][1] + timedelta(seconds=2))
    _played, found = find(playbooks, after=start_of(history), before=until, find_restore_point_confirmations=0)
    assert history.confirms(found, "good one", "broken")
    (branch,) = {probe["branch"] for probe in found["probes"]}
    assert branch.startswith("rollback-")


def test_a_check_that_flaps_is_reported_and_no_instant_is_named(playbooks: Plays, history: History) -> None:
    """Given good, broken, good and broken again: every probe is listed, and no command is printed."""
    first = history.say("good 1")
    history.say("broken 1", after=0.6)
    history.say("good 2", after=1.2)
    history.say("broken 2", after=0.8)
    last = history.said["broken 2"][1] + timedelta(seconds=0.6)
    wait_for(lambda: datetime.now(UTC) > last, what="the end of this history")
    played, found = find(playbooks, after=text_of(first), before=text_of(last), precision=0.1)
    assert (found["kind"], found["command"]) == ("flapping", None)
    assert "does not break once" in played.text and "restore.yml" not in played.text
    passed = [probe["passed"] for probe in sorted(found["probes"], key=lambda probe: str(probe["at"]))]
    assert passed != sorted(passed, reverse=True)


def test_a_check_that_passes_now_takes_one_probe(playbooks: Plays, history: History) -> None:
    """Given nothing that is broken, that is said and the search ends."""
    history.say("good now")
    played, found = find(playbooks)
    assert (found["kind"], found["count"], found["command"]) == ("passes_at_end", 1, None)
    assert "passes now" in played.text


@pytest.mark.long
def test_a_check_that_failed_throughout_names_no_instant(playbooks: Plays, history: History) -> None:
    """Given a check that never passed, what was looked at is said, and where something older may be."""
    at = history.at("good now")
    never = {**CHECK, "name": "Never", "expect": "[0].text == 'never'"}
    played, found = find(playbooks, check=never, after=text_of(at), find_restore_point_confirmations=1, precision=2)
    assert (found["kind"], found["command"]) == ("fails_throughout", None)
    assert "-e after=" in played.text


@pytest.mark.long
def test_two_hints_enclose_the_break(playbooks: Plays, history: History) -> None:
    """Given an instant before the break and one after it, there is little left to halve."""
    at = history.at("good now")
    hinted = history.say("broken for good", after=1)
    until = text_of(hinted + timedelta(seconds=0.4))
    wait_for(lambda: datetime.now(UTC) > hinted + timedelta(seconds=0.5), what="the end of this history")
    _played, found = find(
        playbooks,
        before=until,
        hint=f"{text_of(at)} .. {text_of(hinted)}",
        precision=0.1,
        find_restore_point_confirmations=0,
    )
    assert history.confirms(found, "good now", "broken for good")
    assert found["count"] <= 1 + 2 + 10 + 2


@pytest.mark.long
def test_as_many_instants_as_seven_days_have_seconds_take_twenty_probes(playbooks: Plays, history: History) -> None:
    """Given six seconds and steps of ten microseconds: 604,800 instants, as many as a week has seconds."""
    begun = history.say("good for a week", after=0.5)
    history.say("broken in that week", after=2.3)
    until = begun + timedelta(seconds=6.048)
    wait_for(lambda: datetime.now(UTC) > until, what="the end of this history")
    _played, found = find(playbooks, after=text_of(begun), before=text_of(until), precision=0.00001)
    assert history.confirms(found, "good for a week", "broken in that week")
    why = [probe["why"] for probe in found["probes"]]
    assert why.count("halving") in (19, 20)
    print(f"seven days to the second: {found['count']} probes in {found['seconds']} s, {why.count('halving')} to halve")


def test_what_cannot_be_searched_is_refused_before_anything_is_made(
    playbooks: Plays, control: Control, targets: Targets
) -> None:
    """Given a check that is not there, and an instant without a zone: both are said at once."""
    since = control.last_request()
    played = playbooks.play(PLAYBOOK, target="tracker", check="No such check", after="2025-01-13 14:25:00").failed()
    assert 'no check "No such check"' in played.message and "no time zone" in played.message
    assert '"Users are there"' in played.message, "it says which there are"
    assert without_probes(targets.writes(since)) == []


@pytest.mark.parametrize("after", [pytest.param("cleanup", marks=pytest.mark.long), "find"])
def test_when_it_is_killed_half_way_then_its_probe_is_deleted(
    playbooks: Plays, control: Control, history: History, after: str
) -> None:
    """Given a search that was killed while a probe was there, the next one deletes that, and so does a cleanup."""
    known = len(journals(playbooks))
    history.say(f"broken before {after}")
    process = playbooks.begin(PLAYBOOK, target="tracker", check=CHECK, precision=0.1)

    def newest() -> list[dict[str, Any]]:
        found = journals(playbooks)
        return [line for line in found[-1] if line["ids"].get("branch")] if len(found) > known else []

    try:
        # Not the first; of an instant that Neon does not hold there is no branch.
        crash_at(process, Point(r"probe_(?!1$)\d+"), control, newest)
    finally:
        process.close()
    history.target.settle()
    (left,) = probes(history.target)
    expires = datetime.fromisoformat(history.target.branches()[left]["expires_at"])
    assert expires < datetime.now(UTC) + timedelta(hours=1, minutes=1), "Neon deletes it where nobody else does"
    if after == "cleanup":
        _suspend(history.target, left)
        shown = playbooks.play("playbooks/cleanup.yml", "--check", target="tracker", scratch_days=0).ok()
        confirm = re.search(r"cleanup\.yml .*?-e confirm=([0-9a-f]{12})", shown.text)
        assert confirm and f"{left}" in shown.text, shown.text[-2000:]
        playbooks.play("playbooks/cleanup.yml", target="tracker", scratch_days=0, confirm=confirm.group(1)).ok()
        assert probes(history.target) == []
        return
    find(playbooks, changed=1, before=text_of(history.at("good now")))
    assert probes(history.target) == []
    killed = journals(playbooks)[known]
    assert killed[-1]["data"]["status"] == "failed" and "was killed" in json.dumps(killed[-1]["error"])
