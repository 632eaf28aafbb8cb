# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back of restores that had succeeded: which run, what a check shows, what is proven, and when it is stuck."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, differences, text_of

QUICK: dict[str, Any] = {"rewind_soak_seconds": 1, "rewind_poll_seconds": 0.2}
UNDO = "playbooks/undo.yml"


class Case:
    """A target and the playbooks that are played on it."""

    def __init__(self, playbooks: Playbooks, target: Target) -> None:
        self.playbooks = playbooks
        self.target = target

    def restore(self, *options: str, **variables: Any) -> Played:
        return self.playbooks.restore(*options, target=self.target.name, **QUICK, **variables)

    def undo(self, *options: str, **variables: Any) -> Played:
        return self.playbooks.play(UNDO, *options, target=self.target.name, **QUICK, **variables)

    def go_back(self, strategy: str, **variables: Any) -> str:
        """Restores to what was before "after", which is then lost; returns the run."""
        at = self.target.say("before")
        self.target.say("after")
        self.restore(point_in_time=text_of(at), cutover=strategy, **variables).ok()
        assert self.target.served() == "before"
        return self.runs()[-1]

    def runs(self) -> list[str]:
        """The restores, oldest first."""
        folder = self.playbooks.state / "journal" / self.target.name
        return sorted(path.stem for path in folder.glob("*-restore-*.jsonl"))

    def ways_back(self) -> list[dict[str, Any]]:
        """What the catalogue says of the cutovers of this target that were taken back."""
        lines = (self.playbooks.state / "catalogue.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return [item for item in records if item.get("target") == self.target.name and item.get("undone")]

    def locks(self) -> list[dict[str, Any]]:
        """The locks that stand in the way of this target."""
        found = [json.loads(path.read_text()) for path in (self.playbooks.state / "locks").glob("*.lock")]
        return [item for item in found if item["target"] == self.target.name]


@pytest.mark.long
def test_each_undo_takes_back_the_newest_cutover_that_stands_and_never_an_older_one_unasked(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given two restores, one on top of the other, then each is taken back when it is the newest, or named."""
    case = Case(playbooks, targets.make("twice"))
    target = case.target
    first = case.go_back("repoint")
    middle = target.primary()["name"]
    second = case.go_back("repoint")

    since, before = control.last_request(), target.everything()
    files = {path: path.read_bytes() for path in playbooks.state.rglob("*") if path.is_file()}
    checked = case.undo("--check", "--diff", "-vvvv").ok()
    assert {r["method"] for r in control.requests(since)} == {"GET"}
    assert differences(before, target.everything()) == []
    assert {path: path.read_bytes() for path in playbooks.state.rglob("*") if path.is_file()} == files
    assert f"Would be taken back: run {second}" in checked.text
    assert "Nothing was written since the cutover" in checked.text
    old_host = target.endpoints(target.branches()[middle]["id"])[0]["host"]
    assert f"- host: {target.host()}" in checked.text and f"+ host: {old_host}" in checked.text

    string = target.string()
    hotfix = target.make_branch("hotfix", compute=True)
    target.point_to(target.uri(hotfix["id"]))
    elsewhere = case.undo(accept_loss=True).failed()
    assert f"{target.key} of" in elsewhere.message and "points to hotfix" in elsewhere.message
    assert target.string() == target.uri(hotfix["id"]), "what a person has written there stays"
    target.point_to(string)
    before = target.everything()

    refused = case.undo(run=first).failed()
    assert f"the later cutover of run {second}" in refused.message
    assert f"-e run={second}" in refused.message
    assert differences(before, target.everything()) == []

    case.undo().ok()
    assert (target.served(), target.primary()["name"]) == ("after", middle)
    assert [(item["run"], item["proven"]) for item in case.ways_back()] == [(second, True)]

    again = case.undo().failed()
    assert f"run {second}" in again.message and "was taken back already" in again.message
    assert f"-e run={first}" in again.message
    assert target.primary()["name"] == middle

    lossy = case.undo(run=first).failed()
    assert "would lose that" in lossy.message, "the second restore's story was written on the first one's branch"
    case.undo(run=first, accept_loss=True).ok()
    assert (target.served(), target.primary()["name"]) == ("after", "main")
    assert case.locks() == []
    nothing = case.undo().failed()
    assert "nothing to take back" in nothing.message


@pytest.mark.long
def test_the_undo_of_a_restore_in_place_protects_the_primary_as_before(playbooks: Playbooks, targets: Targets) -> None:
    """Given a protected primary that a restore in place was allowed to unprotect, then so may its undo."""
    case = Case(playbooks, targets.make("shielded"))
    target = case.target
    target.change_branch(target.primary()["id"], protected=True)
    case.go_back("in_place", allow_unprotect=True)
    assert target.primary()["protected"]
    case.undo("--check", "--diff").ok()
    case.undo().ok()
    assert target.served() == "after"
    assert target.primary()["protected"]


@pytest.mark.long
def test_a_primary_that_was_protected_after_the_restore_is_unprotected_only_where_that_is_allowed(
    playbooks: Playbooks, targets: Targets
) -> None:
    """Given a primary that somebody protected after its restore in place, then the undo asks before it begins."""
    case = Case(playbooks, targets.make("protected"))
    target = case.target
    case.go_back("in_place")
    target.change_branch(target.primary()["id"], protected=True)
    refused = case.undo().failed()
    assert "allow_unprotect=true" in refused.message
    assert target.served() == "before"
    assert case.locks() == []
    case.undo(allow_unprotect=True).ok()
    assert target.served() == "after"
    assert target.primary()["protected"]


@pytest.mark.long
def test_an_undo_that_cannot_be_proven_is_stuck_and_keeps_its_lock_until_it_is(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given an old state that somebody changed, the undo says so; nothing but the undo of that run goes on then."""
    case = Case(playbooks, targets.make("altered"))
    target = case.target
    run = case.go_back("in_place")
    (name,) = (item for item in target.branches() if item.startswith("rollback-"))
    kept = target.branches()[name]["id"]
    body = {"endpoint": {"branch_id": kept, "type": "read_write"}}
    assert target.neon.post(f"/projects/{target.project}/endpoints", json=body).is_success
    target.settle()
    with target.connect(kept) as connection:
        connection.execute('ALTER TABLE "Status" ADD COLUMN "meanwhile" text')

    stuck = case.undo(rewind_health_url=f"{target.url}/api/no-such-address").failed()
    assert stuck.message.startswith("STUCK")
    assert (
        "prove the application's health: The application does not answer well at 127.0.0.1/api/no-such-address"
        in stuck.message
    )
    assert "does not have the schema and the migrations that were live before the cutover" in stuck.message
    assert f"-e run={run}" in stuck.message
    assert [item["proven"] for item in case.ways_back()] == [False], "it was put back, and not proven"
    assert [item["kept_for"] for item in case.locks()] == [run, run]

    since = control.last_request()
    for refused in (
        case.restore(point_in_time="-1m").failed(),
        playbooks.backup(target=target.name, reason="before mending").failed(),
        case.undo(run="20250113T142500Z-restore-1a2b3c").failed(),
    ):
        assert f"run {run}, which is stuck" in refused.message
        assert f"playbooks/undo.yml -e target={target.name} -e run={run}" in refused.message
        assert f"-e break_lock={run}" in refused.message
    case.undo("--check").ok()
    assert {r["method"] for r in control.requests(since)} == {"GET"}
    assert [item["kept_for"] for item in case.locks()] == [run, run]

    with target.connect() as connection:
        connection.execute('ALTER TABLE "Status" DROP COLUMN "meanwhile"')
    case.undo().ok()
    assert target.served() == "after"
    assert [item["proven"] for item in case.ways_back()] == [False, True]
    assert case.locks() == []
    case.restore(point_in_time="-1s", cutover="repoint").ok()


@pytest.mark.parametrize(
    ("method", "path", "what", "recorded"),
    [
        pytest.param("PATCH", "/envs/bulk$", "put the old connection string back", [], marks=pytest.mark.long),
        pytest.param("POST", "/(rollback|restart|deploy)$", "deploy the old image", [False], marks=pytest.mark.long),
    ],
    ids=["env", "deploy"],
)
def test_a_way_back_is_recorded_only_as_far_as_it_went(
    playbooks: Playbooks,
    control: Control,
    targets: Targets,
    method: str,
    path: str,
    what: str,
    recorded: list[bool],
) -> None:
    """Given an undo whose string, or whose deployment, is refused, then the history does not claim that it is back."""
    case = Case(playbooks, targets.make(f"half{len(recorded)}"))
    run = case.go_back("repoint")
    control.fault("status", service="coolify", method=method, path=path, status=403, count=50, body={"message": "no"})
    stuck = case.undo().failed()
    assert f"{what}: " in stuck.message and "HTTP 403" in stuck.message
    assert [item["proven"] for item in case.ways_back()] == recorded
    control.calm()
    case.undo(run=run).ok()
    assert case.target.served() == "after"
    assert [item["proven"] for item in case.ways_back()] == [*recorded, True]
    assert case.locks() == []
