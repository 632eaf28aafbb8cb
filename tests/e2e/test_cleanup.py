# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleanup among a zoo of branches: what may go goes once it is confirmed, and nothing else is ever asked to go."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.ageing import age_catalogue
from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control, wait_for
from tests.support.targets import Target, Targets, text_of

pytestmark = pytest.mark.long

# A page holds less than there is, whatever is asked for.
SANDBOX_SETTINGS = {"save_seconds": 3, "neon__page_size_max": 400}
OURS = {"tool": "rewind.database", "target": "tracker", "run": "20250101T000000Z-backup-0a1b2c"}
# More than two pages of Neon's list, and more than one run may delete.
MANY = 1030
CAP = 12


def ago(days: float) -> str:
    return text_of(datetime.now(UTC) - timedelta(days=days))


def cleanup(playbooks: Playbooks, *options: str, **variables: Any) -> Played:
    return playbooks.play("playbooks/cleanup.yml", *options, **variables)


def command_of(played: Played) -> str:
    """The hash in the command that the run shows."""
    found = re.search(r"playbooks/cleanup\.yml .*?-e confirm=([0-9a-f]{12})", played.text)
    assert found, played.text[-2000:]
    return found.group(1)


class Zoo:
    """The branches of a target's project as they are after two years, with their ids by name."""

    def __init__(self, target: Target, control: Control, playbooks: Playbooks) -> None:
        self.target = target
        self.control = control
        self.state = playbooks.state
        self.ids: dict[str, str] = {}

    def add(self, name: str, days: float, purpose: str = "backup", **more: Any) -> str:
        notes = {**OURS, "purpose": purpose, **more.pop("notes", {})} if more.pop("ours", True) else {}
        return self.add_all([{"name": name, "created_at": ago(days), "annotation": notes, **more}])[0]

    def add_all(self, wanted: list[dict[str, Any]]) -> list[str]:
        path = f"/projects/{self.target.project}/branches"
        made = self.control.call("POST", path, {"branches": wanted})["branches"]
        self.ids.update({item["name"]: item["id"] for item in made})
        return [item["id"] for item in made]

    def compute(self, branch_id: str) -> str:
        """Gives a branch a compute, which falls asleep; its host."""
        body = {"endpoint": {"branch_id": branch_id, "type": "read_write"}}
        answer = self.target.neon.post(f"/projects/{self.target.project}/endpoints", json=body)
        assert answer.is_success, answer.text
        self.target.settle()
        made = answer.json()["endpoint"]
        suspended = self.target.neon.post(f"/projects/{self.target.project}/endpoints/{made['id']}/suspend")
        assert suspended.is_success, suspended.text
        self.target.settle()
        return str(made["host"])

    def note(self, event: str, name: str, **more: Any) -> None:
        record = {"at": ago(0), "event": event, "branch_id": self.ids[name], "name": name, "target": "tracker", **more}
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.state / "catalogue.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def there(self) -> set[str]:
        return set(self.target.branches())

    def asked(self, since: int) -> list[str]:
        """The names, in their order, of the branches whose deletion was asked for."""
        names = {branch_id: name for name, branch_id in self.ids.items()}
        found = []
        for request in self.control.requests(since, "neon"):
            branch_id = request["path"].rpartition("/")[2]
            if request["method"] == "DELETE" and request["status"] != 423:
                found.append(names.get(branch_id, branch_id))
        return found


FORBIDDEN = (
    "main",
    "protected-old",
    "parent-old",
    "dev-of-somebody",
    "restore-in-use",
    "backup-pinned",
    "backup-20240101-000000",
    "backup-of-migrator",
    "backup-new",
    "drill-unfinished",
)


@pytest.fixture(scope="module")
def zoo(targets: Targets, playbooks: Playbooks) -> Zoo:
    """Everything that a cleanup may meet, and many old backups."""
    control, target = targets.control, targets.given()
    playbooks.backup(reason="the last good one").ok()
    made = Zoo(target, control, playbooks)
    made.ids.update({name: item["id"] for name, item in target.branches().items()})
    made.add("protected-old", 300, protected=True)
    made.add("parent-old", 300)
    made.add("dev-of-somebody", 200, ours=False, parent="parent-old")
    made.add("backup-pinned", 300, notes={"keep_until": "for good", "reason": "the audit"})
    made.add("backup-20240101-000000", 300, ours=False)
    made.add("backup-of-migrator", 300, notes={"target": "migrator"})
    made.add("backup-new", 2)
    unfinished = "20250110T000000Z-drill-aaaaaa"
    made.add("drill-unfinished", 30, "drill", notes={"run": unfinished})
    begun = {"v": 1, "run": unfinished, "seq": 1, "at": ago(30), "step": "run", "phase": "intent"}
    journal = playbooks.state / "journal" / "tracker" / f"{unfinished}.jsonl"
    journal.write_text(json.dumps({**begun, "data": {"verb": "drill", "target": "tracker"}}) + "\n", encoding="utf-8")
    in_use = made.compute(made.add("restore-in-use", 300, "restore"))
    string = re.sub(r"@[^:/]+", f"@{in_use.replace('.', '-pooler.', 1)}", target.string())
    targets.application("reports", {"REPORTS_URL": string}, deploy=False)
    # What goes: a chain, an orphan, and the oldest of many. Older than these, so that they are the first.
    made.add("chain-parent", 710)
    made.add("chain-child", 705, "restore", parent="chain-parent")
    made.add("preview-left", 720, "preview", notes={"run": "20250101T000000Z-restore-bbbbbb"})
    first = datetime.now(UTC) - timedelta(days=700)
    many = [first + timedelta(hours=number) for number in range(MANY)]
    notes = {**OURS, "purpose": "backup"}
    made.add_all(
        [{"name": f"backup-{at:%Y%m%d-%H%M%S}", "created_at": text_of(at), "annotation": notes} for at in many]
    )
    return made


def test_without_a_confirmation_the_list_is_shown_and_nothing_is_asked_to_go(
    playbooks: Playbooks, control: Control, zoo: Zoo
) -> None:
    """Given no confirmation, or check mode, then the same list with reasons, the command, no write, and success."""
    before, since = zoo.there(), control.last_request()
    shown = cleanup(playbooks, max_deletions=CAP).ok()
    assert "Nothing was deleted: the list was not confirmed" in shown.text and shown.changed == 0
    plain = " ".join(re.sub(r"['-] | '|' |'", " ", shown.text).split())
    for text in (
        "preview-left: preview that 20250101T000000Z-restore-bbbbbb has left, 720 days old",
        "protected-old: it is protected",
        "parent-old: it is the parent of dev-of-somebody",
        "restore-in-use: application reports (REPORTS_URL) points to it",
        "backup-pinned: pinned: the audit",
        "backup-of-migrator: it belongs to the target migrator",
        "undo.yml -e target=tracker -e run=20250110T000000Z-drill-aaaaaa",
    ):
        assert text in plain, f"{text}: {plain[-6000:]}"
    predicted = cleanup(playbooks, "--check", "--diff", max_deletions=CAP).ok()
    assert command_of(predicted) == command_of(shown), "it is the same list"
    assert f"Would be deleted: {CAP} of" in predicted.text
    writes = [r for r in control.requests(since) if r["method"] != "GET"]
    assert writes == [] and zoo.there() == before


def test_a_confirmation_of_another_list_is_refused(playbooks: Playbooks, control: Control, zoo: Zoo) -> None:
    """Given a hash that is not that of the list, or a mere yes, then it fails, and says the command again."""
    since = control.last_request()
    for word in ("0123456789ab", "true"):
        refused = cleanup(playbooks, max_deletions=CAP, confirm=word).failed()
        assert "neither the target's name nor the hash of the list" in refused.message
        assert "confirm=" in refused.message
    assert zoo.asked(since) == []


def test_what_is_confirmed_goes_leaf_first_and_what_changes_meanwhile_stays(
    playbooks: Playbooks, control: Control, zoo: Zoo
) -> None:
    """Given the hash of the list, then only that goes; one that expires and one that is protected meanwhile do not."""
    shown = cleanup(playbooks, max_deletions=CAP).ok()
    listed = re.findall(r"- '?- ([\w-]+): ", shown.stdout.split("to be deleted")[1].split("kept:")[0])
    assert len(listed) == CAP and not set(listed) & set(FORBIDDEN)
    expires, protected = listed[-1], listed[-2]
    before, since = zoo.there(), control.last_request()
    control.fault("hang_after", service="neon", method="GET", path=f"/branches/{zoo.ids[listed[0]]}$", seconds=4)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cleanup, playbooks, max_deletions=CAP, confirm=command_of(shown))

        def begun() -> bool:
            return any(r["path"].endswith(zoo.ids[listed[0]]) for r in control.requests(since, "neon"))

        wait_for(lambda: begun() or running.done(), seconds=240, what="the first reading of a branch")
        soon = text_of(datetime.now(UTC) + timedelta(seconds=2))
        for name, change in ((expires, {"expires_at": soon}), (protected, {"protected": True})):
            path = f"/projects/{zoo.target.project}/branches/{zoo.ids[name]}"
            assert zoo.target.neon.patch(path, json={"branch": change}).is_success
        played = running.result().ok()
    asked = zoo.asked(since)
    assert asked == [name for name in listed if name not in (expires, protected)], "once each, in the order shown"
    assert asked.index("chain-child") < asked.index("chain-parent")
    assert zoo.there() == before - set(asked) - {expires}
    assert f"{protected} stays after all: it is protected by now" in played.text
    assert f"{expires} stays after all: it has gone already" in played.text
    requests = [(r["method"], r["path"].rpartition("/")[2]) for r in control.requests(since, "neon")]
    for name in asked:
        at = requests.index(("DELETE", zoo.ids[name]))
        assert ("GET", zoo.ids[name]) in requests[max(0, at - 2) : at], "each is read again right before"
    lines = (playbooks.state / "catalogue.jsonl").read_text(encoding="utf-8").splitlines()
    noted = [record["name"] for record in map(json.loads, lines) if record["event"] == "deleted"]
    assert noted == asked
    report = max((playbooks.state / "reports" / "tracker").glob("*-cleanup-*.md")).read_text(encoding="utf-8")
    assert "main" in report and f"Deleted: {len(asked)} of" in report


def test_with_the_targets_name_whatever_is_past_its_date_goes_and_never_what_is_forbidden(
    playbooks: Playbooks, control: Control, zoo: Zoo
) -> None:
    """Given the target's name every night, then each run takes some, and what is forbidden was never asked for."""
    last_good = next(name for name in zoo.there() if name.startswith(f"backup-{datetime.now(UTC):%Y}"))
    since = control.last_request()
    cleanup(playbooks, max_deletions=20, confirm="tracker").ok()
    assert len(zoo.asked(since)) == 20
    ever = zoo.asked(0)
    assert not set(ever) & {*FORBIDDEN, last_good} and len(ever) == len(set(ever))
    assert {*FORBIDDEN, last_good} <= zoo.there()


def test_a_pinned_backup_is_kept_from_neon_too_until_it_is_unpinned(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given an old backup that expires, when it is pinned, then its expiry is gone and a cleanup keeps it."""
    target = targets.make("pins")
    zoo = Zoo(target, control, playbooks)
    notes = {"target": "pins"}
    zoo.add("backup-good", 3, notes=notes)
    zoo.note("verified", "backup-good")
    soon = text_of(datetime.now(UTC) + timedelta(days=3))
    zoo.add("backup-old", 60, notes=notes, expires_at=soon)
    pinned = cleanup(playbooks, target="pins", pin="backup-old", reason="the audit").ok()
    assert "pinned: the audit" in pinned.text, pinned.stdout[-5000:]
    assert "Nothing is to be deleted" in pinned.text, pinned.stdout[-5000:]
    assert target.branches()["backup-old"].get("expires_at") is None
    assert cleanup(playbooks, target="pins", confirm="pins").ok().changed == 0
    assert "backup-old" in zoo.there()
    unpinned = cleanup(playbooks, target="pins", unpin="backup-old").ok()
    assert "backup-old" in zoo.there(), "that alone deletes nothing"
    played = cleanup(playbooks, target="pins", confirm=command_of(unpinned)).ok()
    assert played.changed == 1 and "backup-old" not in zoo.there()
    again = cleanup(playbooks, target="pins", confirm="pins").ok()
    assert again.changed == 0 and "Nothing is to be deleted" in again.text


def test_the_old_state_of_a_restored_root_goes_once_neon_has_detached_it(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a root that is being detached from its old state, then that is deleted afterwards, at the first request."""
    target = targets.make("detaching")
    zoo = Zoo(target, control, playbooks)
    control.settings(neon__operation_seconds__detach_parent_branch=20.0)
    main = target.primary()
    body = {"source_branch_id": main["id"], "source_timestamp": text_of(datetime.now(UTC))}
    path = f"/projects/{target.project}/branches/{main['id']}/restore"
    answer = target.neon.post(path, json={**body, "preserve_under_name": "rollback-20250101-000000"})
    assert answer.is_success, answer.text
    kept = target.branches()["rollback-20250101-000000"]
    zoo.ids[kept["name"]] = kept["id"]
    zoo.note("made", kept["name"], purpose="rollback", keep_until=ago(1), target="detaching")

    def ready() -> bool:
        return bool(target.branches()["main"]["current_state"] == "ready")

    wait_for(ready, seconds=60, what="the end of the restore")
    since = control.last_request()
    cleanup(playbooks, target="detaching", confirm="detaching").ok()
    assert kept["name"] not in zoo.there()
    deletions = [r for r in control.requests(since, "neon") if r["method"] == "DELETE" and r["status"] != 423]
    assert [(r["path"].rpartition("/")[2], r["status"]) for r in deletions] == [(kept["id"], 200)]
    assert target.branches()["main"].get("parent_id") is None


def test_the_root_that_a_snapshot_has_replaced_goes_when_its_days_are_over(
    playbooks: Playbooks, targets: Targets, control: Control
) -> None:
    """Given a restore by snapshot, then its old root is kept for the undo, then deleted, and only asked for once."""
    target = targets.make("roots")
    at = target.say("good")
    target.say("spoilt")
    answer = target.neon.post(
        f"/projects/{target.project}/branches/{target.primary()['id']}/snapshot", params={"name": "by-hand"}
    )
    assert answer.is_success, answer.text
    target.settle()
    playbooks.restore(target="roots", point_in_time=text_of(at), cutover="snapshot").ok()
    (old,) = set(target.branches()) - {"main"}
    kept = cleanup(playbooks, target="roots", confirm="roots").ok()
    assert f"{old}: the cutover of" in kept.text and "can be taken back until" in kept.text
    assert "by-hand: not made by this collection" in kept.text
    assert old in target.branches()
    age_catalogue(playbooks.state, "roots", 10)
    shown = cleanup(playbooks, target="roots").ok()
    assert f"{old}: rollback, past its date" in shown.text and old in target.branches()
    played = cleanup(playbooks, target="roots", confirm=command_of(shown)).ok()
    assert played.changed == 1 and set(target.branches()) == {"main"}
    assert target.served() == target.stored() == "good"
    since = control.last_request()
    again = cleanup(playbooks, target="roots", confirm="roots").ok()
    assert again.changed == 0 and "Nothing is to be deleted" in again.text
    assert [r for r in control.requests(since) if r["method"] != "GET"] == []
    listed = target.neon.get(f"/projects/{target.project}/snapshots").json()["snapshots"]
    assert [item["name"] for item in listed] == ["by-hand"]
