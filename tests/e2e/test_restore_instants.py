# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten instants, each with a text of its own; five restores through the life of one target; then the other instants.

The restores are one story, because each must find the branch that was the primary at its instant: in place, in place
again, and then by repoint to before the first cutover, to between the two, and to after the third.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, differences, text_of, without_probes


@dataclass
class Chapter:
    """What was the case around one restore."""

    played: Played
    text: str
    before: dict[str, Any]
    after: dict[str, Any]
    stored: str
    old_primary: dict[str, Any]
    new_primary: dict[str, Any]
    branches: dict[str, dict[str, Any]]
    string_before: str
    string_after: str
    rows_before: list[dict[str, Any]]
    rows_after: list[dict[str, Any]]
    environ: dict[str, str]
    deployments_before: int
    deployments: list[dict[str, Any]]
    sessions: int


@dataclass
class Story:
    """The target, the ten texts with their instants, and the five restores."""

    target: Target
    instants: dict[str, datetime]
    chapters: dict[str, Chapter]


def _texts(rng: random.Random, count: int) -> list[str]:
    return [f"instant {number}: {rng.getrandbits(64):016x} ä'\"%" for number in range(1, count + 1)]


def _restore(playbooks: Playbooks, target: Target, text: str, at: datetime, *options: str, cutover: str) -> Chapter:
    before, old, string, rows = target.status(), target.primary(), target.string(), target.rows()
    count = len(target.deployments())
    played = playbooks.restore(*options, point_in_time=text_of(at), cutover=cutover).ok()
    after, new = target.status(), target.primary()
    return Chapter(
        played=played,
        text=text,
        before=before,
        after=after,
        stored=target.stored(),
        old_primary=old,
        new_primary=new,
        branches=target.branches(),
        string_before=string,
        string_after=target.string(),
        rows_before=rows,
        rows_after=target.rows(),
        environ=target.environ(),
        deployments_before=count,
        deployments=target.deployments(),
        sessions=target.sessions(str(new["id"])),
    )


@pytest.fixture(scope="module")
def story(playbooks: Playbooks, targets: Targets, seed: int) -> Iterator[Story]:
    """Lives it once; the tests look at what was seen."""
    target = targets.given()
    texts = _texts(random.Random(f"{seed}:instants"), 11)
    instants = {text: target.say(text) for text in texts[:5]}
    chapters = {"in_place": _restore(playbooks, target, texts[1], instants[texts[1]], cutover="in_place")}
    instants |= {text: target.say(text) for text in texts[5:10]}
    chapters["in_place again"] = _restore(playbooks, target, texts[7], instants[texts[7]], cutover="in_place")
    chapters["before the first"] = _restore(
        playbooks, target, texts[3], instants[texts[3]], "-vvvv", "--diff", cutover="repoint"
    )
    instants[texts[10]] = target.say(texts[10])
    chapters["between the two"] = _restore(playbooks, target, texts[8], instants[texts[8]], cutover="repoint")
    chapters["after the third"] = _restore(playbooks, target, texts[10], instants[texts[10]], cutover="repoint")
    yield Story(target, instants, chapters)


CHAPTERS = ("in_place", "in_place again", "before the first", "between the two", "after the third")
REPOINTS = CHAPTERS[2:]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_exact_text_of_the_instant_is_found_in_the_database_and_through_the_application(
    story: Story, name: str
) -> None:
    """Given a text that was true for milliseconds, after a restore to then it is what everybody reads."""
    chapter = story.chapters[name]
    assert chapter.stored == chapter.text
    assert chapter.after["text"] == chapter.text
    assert chapter.played.changed > 0
    assert chapter.before["text"] != chapter.text


def test_several_of_the_instants_lie_within_one_second(story: Story) -> None:
    """Restoring to the right second is not enough to pass."""
    moments = sorted(story.instants.values())
    assert any((later - first).total_seconds() < 1 for first, later in zip(moments, moments[3:], strict=False))


@pytest.mark.parametrize("name", CHAPTERS[:2])
def test_in_place_keeps_the_string_and_the_process_and_the_old_state_under_a_new_name(story: Story, name: str) -> None:
    """Nothing of the application changes; what was there is a branch that can be read."""
    chapter = story.chapters[name]
    assert chapter.string_after == chapter.string_before
    assert chapter.environ["DATABASE_URL"] == chapter.string_before
    assert (chapter.after["pid"], chapter.after["started_at"]) == (chapter.before["pid"], chapter.before["started_at"])
    assert len(chapter.deployments) == chapter.deployments_before
    assert chapter.new_primary["id"] == chapter.old_primary["id"]
    assert chapter.new_primary["last_reset_at"] > (chapter.old_primary.get("last_reset_at") or "")
    kept = next(item for key, item in chapter.branches.items() if key.startswith("rollback-"))
    assert kept["id"] != chapter.new_primary["id"]
    assert not [key for key in chapter.branches if key.startswith("preview-")], "the preview is gone"


def test_the_state_before_an_in_place_restore_can_be_read_under_its_new_name(story: Story, targets: Targets) -> None:
    """Given the branch that a restore in place preserved, a compute on a child of it shows the last text before."""
    chapter = story.chapters["in_place again"]
    kept = sorted(key for key in chapter.branches if key.startswith("rollback-"))[-1]
    held = story.target.branches()[kept]
    made = story.target.make_branch("look-at-kept", compute=True, parent_id=held["id"])
    assert story.target.stored(made["id"]) == chapter.before["text"]


@pytest.mark.parametrize("name", REPOINTS)
def test_after_a_repoint_deployment_process_and_sessions_are_on_the_new_compute(story: Story, name: str) -> None:
    """The stored row, the process's own environment and its sessions agree; commit and image are the same."""
    chapter = story.chapters[name]
    assert chapter.new_primary["name"].startswith("restore-")
    assert chapter.string_after != chapter.string_before
    assert chapter.environ["DATABASE_URL"] == chapter.string_after, "the process runs with the row as stored"
    assert chapter.after["database"]["host"] in chapter.string_after
    assert chapter.after["pid"] != chapter.before["pid"]
    assert chapter.after["commit"] == chapter.before["commit"], "the commit is unchanged"
    assert chapter.sessions >= 1
    assert len(chapter.deployments) == chapter.deployments_before + 1, "one deployment"
    newest = chapter.deployments[0]
    assert newest["status"] == "finished"
    assert newest["commit"] == chapter.before["commit"]
    log = [str(line["output"]) for line in json.loads(newest["logs"])]
    assert any("Build step skipped" in line for line in log)
    assert not any("Building docker image" in line for line in log)


@pytest.mark.parametrize("name", REPOINTS)
def test_a_repoint_changes_nothing_of_the_rows_but_the_value_of_one(story: Story, name: str) -> None:
    """Every flag of every row is what it was; only the host of the moved string is another one."""
    chapter = story.chapters[name]
    moved = {"value", "real_value", "updated_at"}

    def rest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k not in moved} for row in sorted(rows, key=lambda r: r["uuid"])]

    assert rest(chapter.rows_after) == rest(chapter.rows_before)
    others = {r["uuid"]: r["value"] for r in chapter.rows_before if r["key"] != "DATABASE_URL"}
    assert {r["uuid"]: r["value"] for r in chapter.rows_after if r["uuid"] in others} == others
    old, new = chapter.string_before, chapter.string_after
    host = chapter.before["database"]["host"]
    assert new == old.replace(host, chapter.after["database"]["host"]), "user, password, database, parameters stay"


@pytest.mark.parametrize("name", REPOINTS)
def test_the_old_primary_is_kept_and_takes_no_connection(story: Story, name: str) -> None:
    """Disabled, not suspended: a connection would wake a suspended one."""
    chapter = story.chapters[name]
    assert chapter.old_primary["name"] in chapter.branches
    computes = story.target.endpoints(chapter.old_primary["id"])
    assert computes and all(item["disabled"] for item in computes)
    with pytest.raises(psycopg.OperationalError, match="disabled"):
        psycopg.connect(chapter.string_before, connect_timeout=10)


@pytest.mark.parametrize(
    ("name", "source"),
    [("before the first", 0), ("between the two", 1)],
)
def test_an_instant_before_a_cutover_is_found_on_the_branch_that_was_the_primary_then(
    story: Story, name: str, source: int
) -> None:
    """A restore in place moves the past of the primary to the branch that it preserved: there it is looked for."""
    chapter = story.chapters[name]
    kept = sorted(key for key in chapter.branches if key.startswith("rollback-"))
    assert chapter.new_primary["parent_id"] == chapter.branches[kept[source]]["id"]
    assert f"from branch: {kept[source]}" in chapter.played.text


def test_an_instant_after_a_cutover_is_found_on_the_branch_that_it_made(story: Story) -> None:
    """What was written after the third restore is on its branch, although the application left it since."""
    chapter = story.chapters["after the third"]
    third = story.chapters["before the first"].new_primary
    assert chapter.new_primary["parent_id"] == third["id"]
    assert f"from branch: {third['name']}" in chapter.played.text


def test_every_other_instant_can_be_restored_and_served(story: Story, playbooks: Playbooks, targets: Targets) -> None:
    """The six instants that no playbook restored: a branch at each, and an application on it that says the text."""
    target = story.target
    branches = target.branches()
    kept = sorted(key for key in branches if key.startswith("rollback-"))
    done = {chapter.text for chapter in story.chapters.values()}
    texts = list(story.instants)
    left = [text for text in texts[:10] if text not in done]
    assert len(left) == 6
    for text in left:
        source = branches[kept[0] if texts.index(text) < 5 else kept[1]]
        name = f"instant-{texts.index(text)}"
        made = target.make_branch(
            name, compute=True, parent_id=source["id"], parent_timestamp=text_of(story.instants[text])
        )
        assert target.stored(made["id"]) == text
        shown = targets.application(name, {"DATABASE_URL": target.uri(made["id"])})
        assert Target(name, {**target.facts, **shown}, target.sandbox).served() == text


def test_a_second_run_with_the_same_absolute_inputs_changes_nothing(
    story: Story, playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a restore that was carried out and proven, the same command again writes nothing to either service."""
    text = list(story.instants)[10]
    since, before = control.last_request(), story.target.everything()
    played = playbooks.restore(
        *("-vvvv", "--diff"),
        point_in_time=text_of(story.instants[text]),
        cutover="repoint",
        ignore_consumers=[f"instant-{number}" for number in range(10)],
    ).ok()
    assert played.changed == 0
    assert "Nothing to do: the application points to it since" in played.text
    assert without_probes(targets.writes(since)) == []
    assert differences(before, story.target.everything()) == []
    assert story.target.served() == text
