# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promotions: a backup, or what a restore has cut over to, is the primary for good, and all of it can be taken back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._journal import Journal

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import wait_for
from tests.support.targets import Target, Targets, differences, text_of, without_probes

pytestmark = pytest.mark.long


def today() -> str:
    return datetime.now(UTC).strftime("%Y%m%d")


def promote(playbooks: Playbooks, *options: str, **variables: Any) -> Played:
    return playbooks.play("playbooks/promote.yml", *options, **variables)


def back_up(playbooks: Playbooks, target: Target) -> str:
    """A backup of the target; its name."""
    before = set(target.branches())
    playbooks.backup(target=target.name, reason="before the mistake").ok()
    (name,) = set(target.branches()) - before
    return name


def delete(target: Target, branch_id: str) -> tuple[int, str]:
    """Asks the API to delete a branch, as a person would: the status and the message."""
    answer = target.neon.delete(f"/projects/{target.project}/branches/{branch_id}")
    target.settle()
    return answer.status_code, answer.text


def catalogue(playbooks: Playbooks, target: Target) -> list[dict[str, Any]]:
    path = playbooks.state / "catalogue.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [item for item in records if item.get("target") == target.name]


def make_nightly(target: Target, branch_id: str) -> None:
    """Neon makes a snapshot of this branch at three every night."""
    nightly = {"schedule": [{"frequency": "daily", "hour": 3}]}
    path = f"/projects/{target.project}/branches/{branch_id}/backup_schedule"
    assert target.neon.put(path, json=nightly).is_success


def hours(target: Target, branch_id: str) -> list[int]:
    """The hours of a branch's schedule of snapshots."""
    path = f"/projects/{target.project}/branches/{branch_id}/backup_schedule"
    return [item["hour"] for item in target.neon.get(path).json()["schedule"]]


def where_it_points(target: Target) -> None:
    """The env row, the process and the data are of one branch, and it can be written to."""
    assert target.environ()[target.key] == target.string()
    assert target.served() == target.stored()
    assert target.sessions(target.primary()["id"]) > 0


@dataclass
class Story:
    target: Target
    backup: str
    before: dict[str, Any]
    checked: list[str]
    requested: list[str]
    check: Played
    played: Played
    after: dict[str, dict[str, Any]]
    again: Played
    requested_again: list[str]


@pytest.fixture(scope="module")
def story(playbooks: Playbooks, targets: Targets) -> Story:
    """Lived once: a protected primary, a backup, a check, the promotion of the backup, and the same command again."""
    target = targets.make("shop")
    target.change_branch(target.primary()["id"], protected=True)
    target.say("good")
    name = back_up(playbooks, target)
    target.say("spoilt")
    before = {"primary": target.primary(), "branches": target.branches(), "string": target.string()}
    state, since = target.everything(), targets.control.last_request()
    check = promote(playbooks, "--check", "--diff", target="shop", branch=name).ok()
    checked, requested = differences(state, target.everything()), without_probes(targets.writes(since))
    played = promote(playbooks, target="shop", branch=name).ok()
    after = target.branches()
    since = targets.control.last_request()
    again = promote(playbooks, target="shop", branch=name).ok()
    return Story(
        target, name, before, checked, requested, check, played, after, again, without_probes(targets.writes(since))
    )


def test_a_check_shows_the_whole_plan_and_sends_nothing_that_changes_anything(story: Story) -> None:
    """Given --check, then names, tree, what stays and slots are shown, and no request could have changed anything."""
    assert story.requested == [] and story.checked == []
    for shown in (
        f"production-{today()}",
        f"rollback-{today()}",
        "branches afterwards:",
        "Cannot be deleted afterwards:",
        "branches afterwards, and one",
    ):
        assert shown in story.check.text, shown


def test_the_backup_itself_is_the_primary_and_the_default_and_protected(story: Story) -> None:
    """Given a promoted backup, then it has the name of the day, the flags of the old primary, and no expiry."""
    old, backup = story.before["primary"], story.before["branches"][story.backup]
    new = story.after[f"production-{today()}"]
    assert new["id"] == backup["id"] and backup.get("expires_at")
    assert (new["default"], new["protected"], new.get("expires_at")) == (True, True, None)
    kept = story.after[f"rollback-{today()}"]
    assert (kept["id"], kept["default"], kept["protected"]) == (old["id"], False, False)
    backups = [name for name in story.after if name.startswith("backup-")]
    assert len(backups) == 1 and story.after[backups[0]]["parent_id"] == new["id"], "its own first backup"
    assert len(story.after) == 3


def test_the_application_is_on_it_with_the_data_of_the_backup(story: Story) -> None:
    """Given the promotion, then row, process and data are the new primary's, whose compute is like the old one's."""
    target = story.target
    assert target.served() == target.stored() == "good"
    assert target.primary()["name"] == f"production-{today()}"
    assert target.string() != story.before["string"]
    where_it_points(target)
    (new,) = target.endpoints(target.primary()["id"])
    (old,) = target.endpoints(story.before["primary"]["id"])
    assert old["disabled"]
    for limit in ("autoscaling_limit_min_cu", "autoscaling_limit_max_cu"):
        assert new[limit] == old[limit]


def test_the_same_command_again_changes_nothing(story: Story) -> None:
    """Given the name that the branch has no longer, then it is found by its record, and nothing is left to do."""
    assert story.again.changed == 0 and story.requested_again == []
    assert "Nothing to do" in story.again.text
    assert story.target.branches().keys() == story.after.keys()


def test_the_old_primary_really_cannot_be_deleted(story: Story) -> None:
    """Given a primary that hangs on the old one, then Neon refuses, as the plan had said."""
    status, text = delete(story.target, story.before["primary"]["id"])
    assert status == 422 and "children" in text
    assert f"rollback-{today()}: it stays an ancestor" in story.check.text


def test_what_the_catalogue_and_the_report_say(playbooks: Playbooks, story: Story) -> None:
    """Given the promotion, then audit and cleanup find what they look for, and there is a report."""
    records = catalogue(playbooks, story.target)
    new, old = story.target.primary()["id"], story.before["primary"]["id"]
    assert any(item["event"] == "protected" and item["branch_id"] == new for item in records)
    replaced = next(item for item in records if item["event"] == "replaced")
    assert replaced["branch_id"] == old and replaced["keep_until"]
    reports = list((playbooks.state / "reports" / "shop").glob("*-promote-*.html"))
    assert len(reports) == 1, "one that had something to do"


def test_an_undo_takes_all_of_it_back(playbooks: Playbooks, story: Story) -> None:
    """Given a promotion, then undo brings back names, flags and the application, and says what is lost."""
    target = story.target
    target.say("since then")
    refused = playbooks.play("playbooks/undo.yml", target="shop").failed()
    assert "accept_loss=true" in refused.message
    assert target.primary()["name"] == f"production-{today()}", "nothing was changed"
    playbooks.play("playbooks/undo.yml", target="shop", accept_loss=True).ok()
    branches = target.branches()
    old, backup = story.before["primary"], story.before["branches"][story.backup]
    assert target.primary()["id"] == old["id"] and target.string() == story.before["string"]
    assert target.served() == target.stored() == "spoilt"
    where_it_points(target)
    main = branches["main"]
    assert (main["id"], main["default"], main["protected"]) == (old["id"], True, True)
    back = branches[story.backup]
    assert (back["id"], back["default"], back["protected"]) == (backup["id"], False, False)
    assert target.endpoints(backup["id"]) == []
    again = playbooks.play("playbooks/undo.yml", target="shop").failed()
    assert "nothing" in again.message.lower()


def test_what_a_restore_has_cut_over_to_is_promoted_without_another_cutover(
    playbooks: Playbooks, targets: Targets
) -> None:
    """Given a restore and no branch named, then only names and flags move; a second time on that day has a suffix."""
    target = targets.make("mill")
    at = target.say("good")
    target.say("spoilt")
    playbooks.restore(target="mill", point_in_time=text_of(at), cutover="repoint").ok()
    string, deployments = target.string(), len(target.deployments())
    restored = target.primary()
    refused = promote(playbooks, target="mill", rewind_environment="production").failed()
    assert "confirm=mill" in refused.message and "Nothing was changed" in refused.message
    assert set(target.branches()) == {"main", restored["name"]}
    promote(playbooks, target="mill").ok()
    branches = target.branches()
    assert branches[f"production-{today()}"]["id"] == restored["id"] and branches[f"production-{today()}"]["default"]
    assert f"rollback-{today()}" in branches and "main" not in branches
    assert (target.string(), len(target.deployments())) == (string, deployments)
    assert target.served() == "good"
    assert promote(playbooks, target="mill").ok().changed == 0
    name = next(name for name in branches if name.startswith("backup-"))
    promote(playbooks, target="mill", branch=name).ok()
    branches = target.branches()
    assert target.primary()["name"] == f"production-{today()}-2"
    assert branches[f"rollback-{today()}-2"]["id"] == restored["id"]
    assert branches[f"production-{today()}-2"]["default"] and not branches[f"rollback-{today()}-2"]["default"]
    since = targets.control.last_request()
    refused = promote(playbooks, target="mill", option="b").failed()
    assert "option=a" in refused.message and "hangs on" in refused.message
    assert f"rollback-{today()}" in refused.message and "branches" in refused.message
    assert without_probes(targets.writes(since)) == []


def test_a_branch_that_a_person_has_pointed_the_row_to_is_promoted_and_the_default_is_its_old_primary(
    playbooks: Playbooks, targets: Targets
) -> None:
    """Given no restore on record, then the default branch is kept like any old primary; undo brings its flags back."""
    target = targets.make("lathe")
    old = target.primary()
    target.change_branch(old["id"], protected=True)
    target.say("good")
    branch = target.make_branch("hotfix", compute=True)
    target.point_to(target.uri(branch["id"]))
    assert target.coolify.post("/deploy", params={"uuid": target.application}).is_success
    wait_for(lambda: target.environ().get(target.key) == target.string(), seconds=120, what="the new container")
    promote(playbooks, target="lathe", branch="hotfix", first_backup=False).ok()
    branches = target.branches()
    kept, new = branches[f"rollback-{today()}"], branches[f"production-{today()}"]
    assert (kept["id"], kept["default"], kept["protected"]) == (old["id"], False, False)
    assert (new["id"], new["default"], new["protected"]) == (branch["id"], True, True)
    replaced = next(item for item in catalogue(playbooks, target) if item["event"] == "replaced")
    assert replaced["branch_id"] == old["id"] and replaced["keep_until"]
    where_it_points(target)
    taken_back = playbooks.play("playbooks/undo.yml", target="lathe").ok()
    assert "branches afterwards:" in taken_back.text
    main = target.branches()["main"]
    assert (main["id"], main["default"], main["protected"]) == (old["id"], True, True)
    assert target.branches()["hotfix"]["id"] == branch["id"] == target.primary()["id"]


@pytest.fixture(scope="module")
def independent(playbooks: Playbooks, targets: Targets) -> tuple[Target, dict[str, Any], Played]:
    """Lived once: option B from a backup of a root, and the same command again."""
    target = targets.make("forge")
    make_nightly(target, target.primary()["id"])
    target.say("good")
    name = back_up(playbooks, target)
    target.say("spoilt")
    before = {"primary": target.primary(), "string": target.string(), "backup": name}
    promote(playbooks, target="forge", branch=name, option="b").ok()
    again = promote(playbooks, target="forge", branch=name, option="b").ok()
    return target, before, again


def test_option_b_makes_a_root_that_depends_on_no_other(
    playbooks: Playbooks, independent: tuple[Target, dict[str, Any], Played]
) -> None:
    """Given a primary that is a root, then another root has its place, its host and its data of the backup."""
    target, before, again = independent
    new = target.primary()
    assert new["name"] == f"main-restored-{today()}" and new["default"] and "parent_id" not in new
    assert new["id"] != before["primary"]["id"] and target.string() == before["string"]
    assert target.served() == target.stored() == "good"
    where_it_points(target)
    branches = target.branches()
    old = branches[f"rollback-{today()}"]
    assert old["id"] == before["primary"]["id"] and not old["default"]
    assert any(item.get("parent_id") == new["id"] for item in branches.values()), "its first backup"
    assert again.changed == 0 and "Nothing to do" in again.text
    assert (hours(target, new["id"]), hours(target, old["id"])) == ([3], [])


def test_the_old_root_is_deleted_after_its_days_and_not_before(
    playbooks: Playbooks, independent: tuple[Target, dict[str, Any], Played]
) -> None:
    """Given the old root, then cleanup keeps it for its days; then its children go first, and it really can go."""
    target, before, _again = independent
    old = before["primary"]["id"]
    status, text = delete(target, old)
    assert status == 422, f"the backup is its child: {text}"
    kept = playbooks.play("playbooks/cleanup.yml", target="forge").ok()
    goes, stays = re.split(r"(?<!snapshots )kept: \d+", kept.text, maxsplit=1)
    assert f"rollback-{today()}" not in goes and f"- rollback-{today()}: " in stays
    assert f"rollback-{today()}" in target.branches()
    _age(playbooks, target, days=10)
    listed = playbooks.play("playbooks/cleanup.yml", target="forge").ok()
    (confirm,) = set(re.findall(r"confirm=([0-9a-f]{6,})", listed.text))
    playbooks.play("playbooks/cleanup.yml", target="forge", confirm=confirm).ok()
    left = target.branches()
    assert f"rollback-{today()}" not in left and before["backup"] not in left
    assert target.primary()["name"] == f"main-restored-{today()}" and len(left) == 2
    where_it_points(target)


def _age(playbooks: Playbooks, target: Target, *, days: float) -> None:
    """As if everything that the catalogue and the log of backups tell of this target were so much older."""
    for name in ("catalogue.jsonl", "backups.jsonl"):
        path = playbooks.state / name
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record in records:
            for key in ("at", "keep_until") if record.get("target") == target.name else ():
                if record.get(key):
                    record[key] = (datetime.fromisoformat(record[key]) - timedelta(days=days)).isoformat()
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.mark.long
def test_an_undo_of_option_b_brings_the_old_root_and_its_name_back(playbooks: Playbooks, targets: Targets) -> None:
    """Given an independent root and nothing written to it, then undo puts the old state back under the old name."""
    target = targets.make("anvil")
    target.change_branch(target.primary()["id"], protected=True)
    target.say("good")
    name = back_up(playbooks, target)
    target.say("spoilt")
    string = target.string()
    make_nightly(target, target.primary()["id"])
    old = target.primary()["id"]
    promote(playbooks, target="anvil", branch=name, option="b").ok()
    assert target.primary()["protected"] and target.served() == "good"
    playbooks.play("playbooks/undo.yml", target="anvil").ok()
    main = target.primary()
    assert main["id"] != old, "a third root"
    others = [item["id"] for item in target.branches().values() if item["id"] != main["id"]]
    assert hours(target, main["id"]) == [3] and [hours(target, item) for item in others] == [[]] * len(others)
    assert (main["name"], main["default"], main["protected"]) == ("main", True, True)
    assert target.string() == string and target.served() == target.stored() == "spoilt"
    assert name in target.branches() and target.branches()[name]["parent_id"]
    where_it_points(target)


@pytest.mark.long
def test_option_b_twice_on_one_day_from_a_root_that_itself_came_from_a_snapshot(
    playbooks: Playbooks, targets: Targets
) -> None:
    """Given an independent root of this day, then another of its backup has the next number."""
    target = targets.make("smelter")
    target.say("good")
    first = back_up(playbooks, target)
    promote(playbooks, target="smelter", branch=first, option="b", first_backup=False).ok()
    root = target.primary()
    target.say("better")
    second = back_up(playbooks, target)
    target.say("spoilt")
    promote(playbooks, target="smelter", branch=second, option="b", first_backup=False).ok()
    new, branches = target.primary(), target.branches()
    assert new["name"] == f"main-restored-{today()}-2" and new["default"] and "parent_id" not in new
    assert branches[f"rollback-{today()}-2"]["id"] == root["id"] and new["id"] != root["id"]
    assert target.served() == target.stored() == "better"
    where_it_points(target)


@pytest.mark.long
def test_what_a_restore_in_place_has_made_is_promoted_and_its_old_state_can_go(
    playbooks: Playbooks, targets: Targets
) -> None:
    """Given a restore in place of a root, then option B needs no cutover, and the old state really can be deleted."""
    target = targets.make("kiln")
    at = target.say("good")
    target.say("spoilt")
    playbooks.restore(target="kiln", point_in_time=text_of(at), cutover="in_place").ok()
    target.settle()
    string, primary = target.string(), target.primary()
    promote(playbooks, target="kiln", option="b", first_backup=False).ok()
    assert promote(playbooks, target="kiln", option="b", first_backup=False).ok().changed == 0
    branches = target.branches()
    assert branches.keys() == {f"main-restored-{today()}", f"rollback-{today()}"}
    assert target.primary()["id"] == primary["id"] and target.string() == string
    where_it_points(target)
    status, text = delete(target, branches[f"rollback-{today()}"]["id"])
    assert status == 200, text
    assert target.served() == "good"


@pytest.fixture(scope="module")
def pair(targets: Targets, playbooks: Playbooks) -> tuple[Target, Target]:
    """A target, and a staging target whose database is a branch of the same project."""
    target = targets.make("shown")
    target.say("good")
    branch = target.make_branch("staging", compute=True)
    uri = target.uri(branch["id"])
    made = targets.application("rehearsal", {"DATABASE_URL": uri})
    facts = {**target.facts, **made}
    playbooks.add_host("rehearsal", rewind_sandbox_target=facts, rewind_environment="staging")
    return target, Target("rehearsal", facts, targets.sandbox)


def test_the_staging_application_is_tested_first_and_put_back(
    playbooks: Playbooks, pair: tuple[Target, Target]
) -> None:
    """Given test_application, then staging runs on a copy of the backup before the row of the target is touched."""
    target, staging = pair
    name = back_up(playbooks, target)
    target.say("spoilt")
    staging.say("of staging")
    string, deployments = staging.string(), len(staging.deployments())
    played = promote(playbooks, target="shown", branch=name, test_application="rehearsal").ok()
    assert staging.string() == string and staging.served() == "of staging"
    assert len(staging.deployments()) == deployments + 2, "there and back"
    assert not [item for item in target.branches() if item.startswith("restore-")], "the copy is deleted"
    assert target.primary()["name"] == f"production-{today()}" and target.served() == "good"
    assert played.text.index("Test | Delete the copy") < played.text.index("Cut over | Make the application use")


def test_a_staging_application_that_fails_on_it_stops_the_promotion(
    playbooks: Playbooks, pair: tuple[Target, Target]
) -> None:
    """Given a check that the branch does not pass, then staging is put back and nothing of the target has changed."""
    target, staging = pair
    name = back_up(playbooks, target)
    staging.say("of staging")
    state, string = target.primary(), staging.string()
    checks = [{"name": "never", "kind": "sql", "query": "SELECT 1 AS one", "expect": "[0].one == `2`"}]
    played = promote(
        playbooks, target="shown", branch=name, test_application="rehearsal", rewind_checks=checks
    ).failed()
    assert "checks failed" in played.message
    now = target.primary()
    assert (now["id"], now["name"], now["default"]) == (state["id"], state["name"], state["default"])
    assert staging.string() == string and staging.served() == "of staging"
    assert not [item for item in target.branches() if item.startswith("restore-")]


@pytest.mark.long
def test_of_a_promotion_killed_in_its_test_the_staging_target_goes_first(
    playbooks: Playbooks, pair: tuple[Target, Target]
) -> None:
    """Given staging on the copy of a killed test, then the undo of the promotion says so, and ends it afterwards."""
    target, staging = pair
    at = target.say("good")
    staging.say("of staging")
    run = "29990113T142500Z-promote-0a1b2c"
    journal = Journal(playbooks.state, "shown")
    journal.start("promote", {}, run=run)
    journal.append(run, "trial", "intent", data={"test_application": "rehearsal"})
    copied: dict[str, Any] = {"source_branch": target.primary()["id"], "point_in_time": text_of(at)}
    playbooks.restore(target="rehearsal", restore_drill=run, cutover="repoint", **copied).ok()
    assert staging.served() == "good"

    refused = playbooks.play("playbooks/undo.yml", target="shown").failed()
    assert run in refused.message and "still on the copy" in refused.message
    (command,) = re.findall(r"playbooks/undo.yml -e target=rehearsal -e run=(\S+)", refused.message)
    assert staging.served() == "good" and journal.read(run).is_unfinished
    playbooks.play("playbooks/undo.yml", target="rehearsal", run=command, accept_loss=True).ok()
    assert staging.served() == "of staging"
    playbooks.play("playbooks/undo.yml", target="shown").ok()
    assert journal.read(run).status == "undone" and target.served() == "good"
