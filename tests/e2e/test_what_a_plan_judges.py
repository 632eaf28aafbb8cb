# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan judges before anything is written, and what is looked at again right before it is."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from tests.support.playbooks import Playbooks
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, differences, text_of, without_probes

VARIABLE = "REWIND_OLD_CONNECTION_STRING"


def _step(playbooks: Playbooks, target: str, step: str) -> dict[str, Any]:
    """The last line about a step in the newest journal of a restore of a target."""
    newest = sorted((playbooks.state / "journal" / target).glob("*-restore-*.jsonl"))[-1]
    lines = [json.loads(line) for line in newest.read_text(encoding="utf-8").splitlines()]
    return dict([line for line in lines if line["step"] == step][-1])


def _lock(target: Target, control: Control) -> None:
    """As a person does in Coolify's UI: the row can then be read by nobody."""
    row = next(item for item in target.rows() if item["key"] == target.key and not item["is_preview"])
    path = f"/applications/{target.application}/envs"
    assert target.coolify.delete(f"{path}/{row['uuid']}").is_success
    control.call("POST", path, {"key": target.key, "value": row["value"], "is_shown_once": True, "is_preview": False})


@pytest.mark.long
def test_a_locked_row_is_moved_and_taken_back_with_the_string_from_the_environment(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a row that nobody can read, its string in the environment suffices: backup, way there and way back."""
    target = targets.make("sealed")
    at = target.say("sealed")
    target.say("later")
    string, old = target.string(), target.primary()
    _lock(target, control)
    options = {"target": "sealed", "point_in_time": text_of(at), "cutover": "repoint"}
    refused = playbooks.restore(**options).failed()
    assert f"export {VARIABLE}=" in refused.message

    supplied = {VARIABLE: string}
    assert f"export {VARIABLE}=" in playbooks.backup(target="sealed", reason="locked").failed().message
    playbooks.backup(environment=supplied, target="sealed", reason="locked").ok()
    played = playbooks.restore("-vvvv", "--diff", environment=supplied, **options)
    assert played.returncode == 0, played.stdout[-4000:]
    assert target.served() == "sealed"
    moved = target.environ()[target.key]
    assert moved != string and moved.partition("@")[0] == string.partition("@")[0], "only the host has changed"
    row = next(item for item in target.rows() if item["key"] == target.key and not item["is_preview"])
    assert row["is_shown_once"] and "value" not in row

    undone = playbooks.play("playbooks/undo.yml", environment=supplied, target="sealed")
    assert undone.returncode == 0, undone.stdout[-4000:]
    assert target.environ()[target.key] == string
    assert target.served() == "later" == target.stored(old["id"])


@pytest.mark.long
def test_what_an_undo_could_not_write_is_told_with_everything_else(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a row of a role that Neon does not know, another database's name and no health check: one list."""
    target = targets.make("crooked")
    foreign = target.string().replace("://tracker_owner:", "://reporter:")
    row = {"key": "REPORT_URL", "value": foreign, "is_preview": False}
    assert target.coolify.post(f"/applications/{target.application}/envs", json=row).is_success
    control.call("PATCH", f"/applications/{target.application}", {"health_check_enabled": False})
    at = target.say("crooked")
    playbooks.add_host("crooked", rewind_sandbox_target=target.facts, rewind_neon_database="tracker_v2")
    playbooks.add_host("twin", rewind_sandbox_target=target.facts)
    since, before = control.last_request(), target.everything()
    played = playbooks.restore(target="crooked", point_in_time=text_of(at), cutover="repoint").failed()
    assert "An undo could not give REPORT_URL its present value back" in played.message
    assert "leads to the database tracker; the inventory names tracker_v2" in played.message
    assert "The target twin has the same application as crooked" in played.message
    assert "has no health check" in played.message
    assert without_probes(targets.writes(since)) == []
    assert differences(before, target.everything()) == []


class Meddler(threading.Thread):
    """Somebody who changes a row as soon as the restore branch is being made."""

    def __init__(self, target: Target, control: Control, value: str) -> None:
        super().__init__(daemon=True)
        self.target, self.control, self.value = target, control, value
        self.since = control.last_request()
        self.has_changed = False

    def run(self) -> None:
        until = time.monotonic() + 120
        made = threading.Event()
        while time.monotonic() < until and not made.wait(0.1):
            for request in self.control.requests(self.since, "neon"):
                if request["method"] == "POST" and request["path"].endswith(f"{self.target.project}/branches"):
                    made.set()
        row = {"key": self.target.key, "value": self.value, "is_preview": False, "is_literal": True}
        answer = self.target.coolify.patch(f"/applications/{self.target.application}/envs", json=row)
        self.has_changed = answer.is_success


@pytest.mark.long
def test_a_row_that_somebody_changes_after_the_plan_stops_the_run_and_stays_as_it_is(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given another controller that writes the row while the branch is verified, then this one writes nothing."""
    target = targets.make("contested")
    at = target.say("contested")
    target.say("later")
    theirs = f"{target.string()}&application_name=theirs"
    meddler = Meddler(target, control, theirs)
    meddler.start()
    played = playbooks.restore(target="contested", point_in_time=text_of(at), cutover="repoint").failed()
    meddler.join(timeout=10)
    assert meddler.has_changed
    assert "the row was changed by somebody else" in played.message
    assert target.string() == theirs, "what they wrote is theirs"
    assert target.served() == "later"
    target.say("it can be written to")


@pytest.mark.parametrize("strategy", ["repoint", pytest.param("in_place", marks=pytest.mark.long)])
def test_the_final_loss_is_measured_table_by_table_and_kept(
    playbooks: Playbooks, targets: Targets, strategy: str
) -> None:
    """Given a restore by either strategy, then what was lost since it was shown stands in journal and report."""
    name = f"counted-{strategy.replace('_', '-')}"
    target = targets.make(name)
    at = target.say("counted")
    target.say("later")
    playbooks.restore(target=name, point_in_time=text_of(at), cutover=strategy).ok()
    loss = _step(playbooks, name, "final_loss")["data"]
    assert (loss["rows"], loss["tables"], loss["fenced"]) == (0, {}, strategy == "repoint")
    report = next(iter((playbooks.state / "reports" / name).glob("*.json")))
    assert json.loads(report.read_text(encoding="utf-8"))["final_loss"]["at"] == loss["at"]
    mark = _step(playbooks, name, "mark")["data"]
    assert mark["at"]
