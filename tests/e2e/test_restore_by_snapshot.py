# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores by snapshot: an independent root takes the primary's place, its host stays, and all of it can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, differences, instant, text_of, without_probes

pytestmark = pytest.mark.long


def snapshots(target: Target) -> list[str]:
    """The names of the project's snapshots."""
    answer = target.neon.get(f"/projects/{target.project}/snapshots")
    assert answer.is_success, answer.text
    return [str(item["name"]) for item in answer.json()["snapshots"]]


@dataclass
class Story:
    """A target before and after, and the runs between."""

    target: Target
    first: datetime
    options: dict[str, Any]
    before: dict[str, Any]
    checked: list[str]
    requested: list[str]
    played: Played
    after: dict[str, Any]
    again: Played


def seen(target: Target) -> dict[str, Any]:
    status = target.status()
    return {
        "text": status["text"],
        "pid": status["pid"],
        "string": target.string(),
        "primary": target.primary(),
        "branches": target.branches(),
        "deployments": len(target.deployments()),
    }


@pytest.fixture(scope="module")
def story(playbooks: Playbooks, targets: Targets) -> Story:
    """Lived once: a check, the restore, and the same command again."""
    target = targets.make("archive")
    target.make_branch("dev")
    first = target.say("first")
    at = target.say("good")
    target.say("spoilt")
    options = {"target": "archive", "point_in_time": text_of(at), "cutover": "snapshot"}
    before, state, since = seen(target), target.everything(), targets.control.last_request()
    playbooks.restore("--check", "--diff", **options).ok()
    checked, requested = differences(state, target.everything()), without_probes(targets.writes(since))
    played = playbooks.restore(**options).ok()
    after = seen(target)
    again = playbooks.restore(**options).ok()
    return Story(target, first, options, before, checked, requested, played, after, again)


def test_a_check_shows_it_all_and_sends_nothing_that_changes_anything(story: Story) -> None:
    """Given --check, then both services are as before, and no request could have changed them."""
    assert story.requested == [] and story.checked == []


def test_the_data_of_the_instant_is_served_under_the_same_string_by_the_same_process(story: Story) -> None:
    """Given a root, then host, string and process stay; the text is that of the instant."""
    assert (story.before["text"], story.after["text"]) == ("spoilt", "good")
    assert story.target.stored() == "good"
    for what in ("string", "pid", "deployments"):
        assert story.after[what] == story.before[what], what


def test_another_root_has_taken_the_primarys_place(story: Story) -> None:
    """Given the old primary, then it is kept without a compute and with its children; the new one hangs on nothing."""
    old, new = story.before["primary"], story.after["primary"]
    assert new["id"] != old["id"] and "parent_id" not in new
    assert (new["name"], new["default"], new["restored_as"]) == ("main", True, old["id"])
    kept = next(item for item in story.after["branches"].values() if item["id"] == old["id"])
    assert kept["name"].startswith("rollback-") and kept["default"] is False
    assert story.target.endpoints(old["id"]) == []
    assert story.after["branches"]["dev"]["parent_id"] == old["id"]
    assert [name for name in story.after["branches"] if name.startswith("snapshot-")] == []
    assert snapshots(story.target) == [], "what was made for the restore is gone"


def test_the_same_command_again_changes_nothing(story: Story) -> None:
    """Given a finished restore, then it is found as done."""
    assert story.again.changed == 0
    assert "proven by run" in story.again.text


def test_a_later_restore_finds_the_past_on_the_old_root(playbooks: Playbooks, story: Story) -> None:
    """Given an instant before the cutover, then auto is a repoint, and its source is the root that was kept."""
    kept = next(name for name in story.after["branches"] if name.startswith("rollback-"))
    found = playbooks.restore("--check", target="archive", point_in_time=text_of(story.first)).ok()
    assert f"from branch: {kept}" in found.text
    assert "strategy: repoint" in found.text, "the new root came from a snapshot: in place is closed"


def test_what_was_written_since_is_asked_about_and_then_undone_to_the_last_row(
    playbooks: Playbooks, story: Story
) -> None:
    """Given writes since the cutover, then undo refuses; with accept_loss the old root's last state is back."""
    target = story.target
    target.say("after the restore")
    refused = playbooks.play("playbooks/undo.yml", target="archive").failed()
    assert "accept_loss=true" in refused.message and target.served() == "after the restore"
    playbooks.play("playbooks/undo.yml", "--check", target="archive", accept_loss=True).ok()
    assert target.served() == "after the restore"
    playbooks.play("playbooks/undo.yml", target="archive", accept_loss=True).ok()
    now = seen(target)
    assert now["text"] == target.stored() == "spoilt"
    assert now["string"] == story.before["string"] and now["primary"]["name"] == "main"
    assert now["primary"]["default"] is True and "parent_id" not in now["primary"]
    assert [name for name in now["branches"] if name.startswith("undone-")], "what was restored is kept"
    assert snapshots(target) == []
    again = playbooks.play("playbooks/undo.yml", target="archive").failed()
    assert "nothing" in again.message.lower()
    assert target.served() == "spoilt"


def test_a_child_has_no_such_road(playbooks: Playbooks, targets: Targets, control: Control) -> None:
    """Given a primary that a repoint has made a child, then the strategy is refused before anything is written."""
    target = targets.make("grown")
    at = target.say("first")
    target.say("second")
    playbooks.restore(target="grown", point_in_time=text_of(at), cutover="repoint").ok()
    later = target.say("third")
    target.say("fourth")
    since = control.last_request()
    played = playbooks.restore(target="grown", point_in_time=text_of(later), cutover="snapshot").failed()
    assert "is a child of main" in played.message and "cutover=repoint" in played.message
    assert without_probes(targets.writes(since)) == []


def test_a_cutover_that_is_not_proven_goes_back_by_itself(playbooks: Playbooks, targets: Targets) -> None:
    """Given a Free project and restored data on which the application is not healthy, then the old state is back."""
    target = targets.make("tight", plan="free")
    with target.connect() as connection:
        connection.execute('ALTER TABLE "ObjectiveProgress" RENAME TO "Parked"')
        at = instant()
        connection.execute('ALTER TABLE "Parked" RENAME TO "ObjectiveProgress"')
    target.say("to be kept")
    string, pid = target.string(), target.status()["pid"]
    played = playbooks.restore(
        target="tight",
        point_in_time=text_of(at),
        cutover="snapshot",
        accept_schema_mismatch=True,
        rewind_checks=[],
        rewind_health_url=f"{target.url}/api/health",
    ).failed()
    assert "was taken back" in played.message, played.message
    assert target.served() == target.stored() == "to be kept"
    assert (target.string(), target.status()["pid"]) == (string, pid)
    assert target.primary()["name"] == "main" and target.primary()["default"]
    assert snapshots(target) == [], "the plan allows one, and both ways needed it"
