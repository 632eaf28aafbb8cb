# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cleanup_plan: what a cleanup deletes and keeps, and why; nothing that is forbidden is ever in its list."""

from __future__ import annotations

import copy
import shlex
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils._plan.cleanup import build
from ansible_collections.rewind.database.plugins.modules import cleanup_plan
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import (
    MAIN,
    NOW,
    branch,
    codes,
    cutover,
    endpoint,
    host_of,
    problem,
)
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import given, settings
from hypothesis import strategies as st

Json = dict[str, Any]
NOW_AT = datetime.fromisoformat(NOW)
RUN = "20250101T000000Z-backup-0a1b2c"


def days_ago(days: float) -> str:
    return (NOW_AT - timedelta(days=days)).isoformat()


class Zoo:
    """A project with a primary `main`; each test adds what its story needs and asks for a plan."""

    def __init__(self) -> None:
        self.branches: list[Json] = [branch(MAIN, "main", default=True, compute="ep-main-compute-a1")]
        self.more: Json = {name: [] for name in ("snapshots", "consumers", "unreadable", "records", "backups")}
        self.more |= {"unfinished": [], "other_targets": []}
        self.running: list[Json] = []
        self.use("ep-main-compute-a1", "tracker")

    def add(self, name: str, days: float, purpose: str = "backup", *, ours: bool = True, **more: Any) -> str:
        """A branch that is so many days old, made by this collection unless told otherwise. Returns its id."""
        branch_id = f"br-{name}"
        annotations = {"tool": "rewind.database", "purpose": purpose, "target": "tracker", "run": RUN} if ours else {}
        usual = {"parent_id": MAIN, "created_at": days_ago(days), "parent_timestamp": days_ago(days)}
        annotations |= more.pop("annotations", {})
        self.branches.append(branch(branch_id, name, **{**usual, "annotations": annotations, **more}))
        return branch_id

    def verified(self, name: str, days: float, **more: Any) -> str:
        branch_id = self.add(name, days, **more)
        self.record("verified", branch_id)
        return branch_id

    def record(self, event: str, branch_id: str, **more: Any) -> None:
        self.more["records"].append({"at": days_ago(0), "event": event, "branch_id": branch_id, **more})

    def use(self, compute: str, name: str, key: str = "DATABASE_URL", *, pooled: bool = False) -> None:
        consumer = {"kind": "application", "uuid": f"u-{name}", "name": name, "key": key}
        self.more["consumers"].append({**consumer, "host": host_of(compute)[pooled], "port": None})

    def params(self, **request: Any) -> Json:
        project = {"id": "late-frost-12345678", "limits": {"branches": 5000}, "running_operations": self.running}
        asked = {"target": "tracker", "environment": "staging", "now": NOW, **request}
        return copy.deepcopy({"project": project, "branches": self.branches, **self.more, "request": asked})

    def plan(self, *, check_mode: bool = False, **request: Any) -> Json:
        """The plan, through the module."""
        result = call_module("cleanup_plan", self.params(**request), check_mode=check_mode)
        assert not result.get("failed") and result["changed"] is False, result
        found: Json = result["plan"]
        return found


def deleted(plan: Json) -> list[str]:
    return [item["name"] for item in plan["delete"]]


def row(plan: Json, name: str) -> Json:
    return next(item for item in plan["branches"] + plan["snapshots"] if item["name"] == name)


def why(plan: Json, name: str) -> str:
    return str(row(plan, name)["code"])


@pytest.fixture
def zoo() -> Zoo:
    """With one verified backup of today, so that older ones may go."""
    made = Zoo()
    made.verified("backup-20250113-120000", 0.1)
    return made


def test_backups_past_their_date_go_oldest_first_and_the_others_stay(zoo: Zoo) -> None:
    """Given backups of 6, 8 and 20 days, then the two past seven days go, the oldest first, with their dates."""
    for days in (6, 8, 20):
        zoo.add(f"backup-{days}", days)
    plan = zoo.plan()
    assert deleted(plan) == ["backup-20", "backup-8"]
    assert "past its date 2024-12-31" in row(plan, "backup-20")["reason"]
    assert why(plan, "backup-6") == "not_due" and why(plan, "main") == "foreign"
    assert plan["counts"]["branches"] == 5 and plan["counts"]["left"] == 3


def test_a_backups_own_date_goes_before_the_days_of_the_cleanup(zoo: Zoo) -> None:
    """Given backups that were made with a date, then that date counts, wherever it is written."""
    zoo.add("on-it", 20, annotations={"keep_until": days_ago(-1)})
    log = zoo.add("in-the-log", 20)
    zoo.more["backups"].append({"branch_id": log, "target": "tracker", "keep_until": days_ago(-1)})
    zoo.add("over", 2, annotations={"keep_until": days_ago(1)})
    assert deleted(zoo.plan()) == ["over"]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("default", {"default": True}),
        ("protected", {"protected": True}),
        ("not_ready", {"current_state": "init"}),
        ("not_ready", {"restore_status": "detaching"}),
        ("foreign", {"annotations": {"tool": "somebody.else"}}),
        ("other_target", {"annotations": {"target": "shop"}}),
        ("pinned", {"annotations": {"keep_until": "for good", "reason": "the audit"}}),
        ("unknown_kind", {"annotations": {"purpose": "experiment"}}),
        ("compute_active", {"endpoints": [endpoint("ep-x", current_state="active")]}),
    ],
)
def test_what_a_branch_itself_says_keeps_it(zoo: Zoo, code: str, change: Json) -> None:
    """Given an old backup and one thing that forbids its deletion, then it stays for that reason."""
    zoo.add("backup-old", 50, **copy.deepcopy(change))
    assert why(zoo.plan(), "backup-old") == code


def test_a_name_alone_makes_no_branch_ours(zoo: Zoo) -> None:
    """Given a branch named like a backup by hand, then it stays and is pointed out; the catalogue makes it ours."""
    by_hand = zoo.add("backup-20240101-000000", 300, ours=False)
    zoo.record("verified", by_hand)
    plan = zoo.plan()
    assert why(plan, "backup-20240101-000000") == "foreign"
    assert any("backup-20240101-000000" in text for text in plan["warnings"])
    zoo.record("made", by_hand, purpose="backup", target="tracker")
    assert deleted(zoo.plan()) == ["backup-20240101-000000"]


def test_what_an_application_points_to_stays_direct_or_pooled(zoo: Zoo) -> None:
    """Given applications on two old branches, one through the pooler, then both stay and the application is named."""
    for number, pooled in enumerate((False, True)):
        compute = endpoint(f"ep-{number}", current_state="idle")
        zoo.add(f"restore-{number}", 50, "restore", endpoints=[compute])
        zoo.use(f"ep-{number}", f"shop-{number}", pooled=pooled)
    plan = zoo.plan()
    assert deleted(plan) == []
    assert row(plan, "restore-1")["reason"] == "application shop-1 (DATABASE_URL) points to it"


def test_while_rows_cannot_be_read_a_branch_with_a_compute_stays(zoo: Zoo) -> None:
    """Given a locked row, then only branches without a compute go, unless a person knows what the row is."""
    zoo.add("backup-bare", 50)
    zoo.add("restore-with", 50, "restore", endpoints=[endpoint("ep-1", current_state="idle")])
    zoo.more["unreadable"] = [{"kind": "application", "uuid": "u1", "name": "shop", "env_keys": ["SECRET"]}]
    plan = zoo.plan()
    assert deleted(plan) == ["backup-bare"] and why(plan, "restore-with") == "unreadable"
    assert any("shop (SECRET)" in text for text in plan["warnings"])
    assert "restore-with" in deleted(zoo.plan(accept_unreadable=["shop/SECRET"]))


def test_a_compute_that_was_used_after_the_application_left_keeps_its_branch(zoo: Zoo) -> None:
    """Given two old primaries, one of them used a day after the cutover, then only the other one goes."""
    for name, later in (("restore-used", 1.0), ("restore-left", 0.01)):
        active = days_ago(30 - later)
        compute = endpoint(f"ep-{name}", current_state="idle", last_active=active)
        old = zoo.add(name, 60, "restore", endpoints=[compute])
        zoo.more["records"].append(cutover(days_ago(30), "repoint", old, MAIN))
    plan = zoo.plan()
    assert deleted(plan) == ["restore-left"]
    assert "after the application left it" in row(plan, "restore-used")["reason"]


def test_a_backup_that_somebody_has_worked_on_stays_until_its_compute_is_taken_away(zoo: Zoo) -> None:
    """Given old backups with idle computes, then the one used since stays, and one used for its verification goes."""
    for name, active in (("backup-used", days_ago(0.02)), ("backup-verified", days_ago(49.98))):
        compute = endpoint(f"ep-{name}", current_state="idle", last_active=active)
        zoo.add(name, 50, endpoints=[compute])
    plan = zoo.plan()
    assert deleted(plan) == ["backup-verified"] and why(plan, "backup-used") == "compute_active"
    assert "somebody gave it a compute" in row(plan, "backup-used")["reason"]
    next(item for item in zoo.branches if item["name"] == "backup-used")["endpoints"] = []
    assert "backup-used" in deleted(zoo.plan())


def test_both_sides_of_a_cutover_stay_while_it_can_be_taken_back(zoo: Zoo) -> None:
    """Given a cutover of three days ago, then what it left and what it preserved stay, and go when it is ten days."""
    old = zoo.add("restore-a", 60, "restore")
    kept = zoo.add("rollback-a", 60, "rollback")
    zoo.more["records"] = [*zoo.more["records"], cutover(days_ago(3), "repoint", old, MAIN, preserved_branch_id=kept)]
    plan = zoo.plan()
    assert why(plan, "restore-a") == why(plan, "rollback-a") == "undo"
    assert set(deleted(zoo.plan(undo_days=2, retention_days=2))) == {"restore-a", "rollback-a"}


def test_the_newest_verified_backup_stays_however_old_and_unverified_ones_do_not_count() -> None:
    """Given only old backups, then the newest verified ones stay, and what is newer than all of them."""
    zoo = Zoo()
    for days in (50, 40, 30):
        zoo.verified(f"verified-{days}", days)
    zoo.add("newer-unverified", 20)
    zoo.add("older-unverified", 45)
    plan = zoo.plan()
    assert why(plan, "verified-30") == "minimum_verified" and why(plan, "newer-unverified") == "no_newer_verified"
    assert set(deleted(plan)) == {"verified-50", "verified-40", "older-unverified"}
    assert "verified-40" not in deleted(zoo.plan(min_verified=2))
    assert codes(zoo.plan(min_verified=0)) == ["min_verified_invalid"]


def test_without_any_verified_backup_none_is_deleted() -> None:
    """Given backups that nothing says were verified, as after a lost state directory, then all stay."""
    zoo = Zoo()
    for days in (50, 40, 30):
        zoo.add(f"backup-{days}", days)
    plan = zoo.plan()
    assert deleted(plan) == [] and any("No backup" in text for text in plan["warnings"])


def test_a_backup_that_became_the_primary_is_no_backup_any_more() -> None:
    """Given a verified backup that an application was on, then it is not the last good backup: it was written to."""
    zoo = Zoo()
    used = zoo.verified("backup-used", 20)
    zoo.more["records"].append(cutover(days_ago(15), "repoint", MAIN, used))
    zoo.more["records"].append(cutover(days_ago(10), "repoint", used, MAIN))
    zoo.verified("backup-old", 40)
    plan = zoo.plan()
    assert why(plan, "backup-old") == "minimum_verified" and row(plan, "backup-used")["kind"] == "rollback"
    assert deleted(plan) == ["backup-used"]


def test_policies_keep_the_last_and_one_of_each_day_week_and_month(zoo: Zoo) -> None:
    """Given a backup every 12 hours for 100 days, then each policy keeps as many as it says, verified ones first."""
    for half in range(20, 200):
        name = f"b{half:03}"
        zoo.verified(name, half / 2) if half % 2 else zoo.add(name, half / 2)
    assert len(deleted(zoo.plan(max_deletions=1000))) == 180
    assert len(deleted(zoo.plan(max_deletions=1000, keep_last=11))) == 170
    kept = {row["name"] for row in zoo.plan(keep_daily=11)["branches"] if row["code"] == "keep_daily"}
    assert len(kept) == 10 and all(int(name[1:]) % 2 for name in kept), "of each day the verified one"
    weekly = zoo.plan(keep_weekly=5, max_deletions=1000)
    assert weekly["counts"]["by_code"]["keep_weekly"] == 4 and len(deleted(weekly)) == 176
    monthly = zoo.plan(keep_monthly=12, max_deletions=1000)
    assert monthly["counts"]["by_code"]["keep_monthly"] == 3, "October to December; January's is the newest"


def test_leaves_go_before_their_parents_and_a_parent_of_what_stays_stays(zoo: Zoo) -> None:
    """Given an old backup with an old child, and one with a child of somebody else, then only the first pair goes."""
    first = zoo.add("parent-goes", 60)
    zoo.add("child-goes", 30, "restore", parent_id=first)
    second = zoo.add("parent-stays", 60)
    zoo.add("dev", 30, ours=False, parent_id=second)
    plan = zoo.plan()
    assert deleted(plan) == ["child-goes", "parent-goes"]
    assert row(plan, "parent-stays")["reason"] == "it is the parent of dev"


def test_a_child_that_is_being_detached_is_waited_for(zoo: Zoo) -> None:
    """Given the old state of a root that was just restored, then it goes, after waiting for the root."""
    kept = zoo.add("rollback-1", 30, "rollback", parent_id=None)
    zoo.branches[0]["parent_id"] = kept
    assert why(zoo.plan(), "rollback-1") == "parent"
    zoo.running = [{"action": "detach_parent_branch", "branch_id": MAIN, "status": "running"}]
    plan = zoo.plan()
    assert deleted(plan) == ["rollback-1"] and plan["delete"][0]["waits_for"] == [MAIN]


def test_what_dead_runs_left_goes_by_its_annotation_and_an_unfinished_run_keeps_its_branches(zoo: Zoo) -> None:
    """Given previews and drill branches, then those of ended runs go after a day, those of a killed drill are told."""
    drill = "20250110T000000Z-drill-aaaaaa"
    zoo.add("preview-1", 2, "preview")
    zoo.add("preview-2", 0.5, "preview")
    zoo.add("salvage-base-1", 2, "salvage", annotations={"run": "20250112T000000Z-salvage-eeeeee"})
    zoo.add("drill-1", 3, "drill", annotations={"run": drill})
    ended = zoo.add("test-backup-1", 3, annotations={"drill": "20250109T000000Z-drill-bbbbbb"})
    zoo.record("verified", ended)
    zoo.more["records"].append(cutover(days_ago(3), "repoint", ended, MAIN))
    named = zoo.add("restore-1", 50, "restore")
    steps = {"make_branch": {"ids": {"deep": [{"branch": named}]}}}
    zoo.more["unfinished"] = [
        {"id": drill, "verb": "drill", "steps": {}},
        {"id": "20250112T000000Z-restore-cccccc", "verb": "restore", "steps": steps},
        {"id": "20250112T000000Z-cleanup-dddddd", "verb": "cleanup", "steps": {"delete": {"ids": ["br-preview-1"]}}},
        {"id": "20250112T000000Z-salvage-eeeeee", "verb": "salvage", "steps": {}},
    ]
    plan = zoo.plan()
    assert set(deleted(plan)) == {"preview-1", "test-backup-1", "salvage-base-1"} and why(plan, "preview-1") == "orphan"
    assert why(plan, "drill-1") == why(plan, "restore-1") == "unfinished" and why(plan, "preview-2") == "not_due"
    assert any(f"undo.yml -e target=tracker -e run={drill}" in text for text in plan["warnings"])


@pytest.mark.parametrize("verb", ["predeploy", "incident"])
def test_a_killed_run_that_no_undo_takes_back_holds_no_branch(zoo: Zoo, verb: str) -> None:
    """Given a branch in the journal of a killed run that made none, then it goes, and nothing advises to undo that."""
    run = f"20250110T000000Z-{verb}-aaaaaa"
    steps = {"decided": {"data": {"branch": zoo.add("backup-old", 50)}}}
    zoo.more["unfinished"] = [{"id": run, "verb": verb, "steps": steps}]
    plan = zoo.plan()
    assert deleted(plan) == ["backup-old"] and not any("undo.yml" in text for text in plan["warnings"])


def test_the_probe_branch_of_a_killed_search_goes_although_its_run_never_ended(zoo: Zoo) -> None:
    """Given a search that was killed, then its probe branch goes after a day, unless its compute runs."""
    run = "20250110T000000Z-find_restore_point-aaaaaa"
    zoo.add("probe-20250110-000000-aaaaaa-3", 3, "probe", annotations={"run": run})
    zoo.add("probe-20250110-000000-aaaaaa-4", 3, "probe", annotations={"run": run}, compute="ep-probe-running-b2")
    zoo.add("probe-20250113-000000-bbbbbb-1", 0.5, "probe")
    zoo.more["unfinished"] = [{"id": run, "verb": "find_restore_point", "steps": {}}]
    plan = zoo.plan()
    assert deleted(plan) == ["probe-20250110-000000-aaaaaa-3"]
    assert why(plan, "probe-20250110-000000-aaaaaa-4") == "compute_active"
    assert why(plan, "probe-20250113-000000-bbbbbb-1") == "not_due"


def test_the_date_of_a_drills_test_backup_does_not_keep_it_beyond_the_days_of_drills(zoo: Zoo) -> None:
    """Given a test backup whose drill has ended, then its days are those of what drills make, whatever its date."""
    notes = {"drill": "20250113T140000Z-drill-bbbbbb", "keep_until": days_ago(-1)}
    zoo.add("test-backup-1", 0.1, annotations=notes)
    assert why(zoo.plan(), "test-backup-1") == "not_due"
    assert deleted(zoo.plan(scratch_days=0)) == ["test-backup-1"]


def test_a_project_that_targets_share_is_cleaned_for_each_alone(zoo: Zoo) -> None:
    """Given a second target in the project, then what is not surely this one's stays."""
    zoo.add("mine", 50)
    zoo.add("theirs", 50, annotations={"target": "shop"})
    zoo.add("somebodys", 50, "restore", annotations={"target": ""})
    zoo.more["other_targets"] = ["shop"]
    plan = zoo.plan()
    assert deleted(plan) == ["mine"] and why(plan, "somebodys") == "other_target"


def test_a_pin_needs_a_reason_keeps_at_once_and_can_be_taken_back(zoo: Zoo) -> None:
    """Given a pin, then the backup stays though it is past its date, and its expiry is to be cleared."""
    pinned = zoo.add("backup-old", 50, expires_at=days_ago(-2))
    assert codes(zoo.plan(pin=["backup-old"])) == ["reason_missing"]
    plan = zoo.plan(pin=["backup-old"], reason="the audit")
    assert row(plan, "backup-old")["reason"] == "pinned: the audit" and deleted(plan) == []
    assert plan["pins"] == [
        {
            "event": "pinned",
            "branch_id": pinned,
            "name": "backup-old",
            "reason": "the audit",
            "expires_at": days_ago(-2),
        }
    ]
    zoo.record("pinned", pinned, reason="the audit")
    assert zoo.plan(pin=["backup-old"], reason="the audit")["pins"] == [], "a second run changes nothing"
    assert deleted(zoo.plan(unpin=["backup-old"])) == ["backup-old"]
    assert "was not made by" in problem(zoo.plan(pin=["main"], reason="x"), "pin_unknown")["message"]
    assert "does not exist" in problem(zoo.plan(pin=["nobody"], reason="x"), "pin_unknown")["message"]


def test_what_stays_for_good_must_not_be_deleted_by_neon_either() -> None:
    """Given the last verified backup with an expiry in two days, then that is to be cleared; a later one is not."""
    zoo = Zoo()
    zoo.verified("backup-1", 20, expires_at=days_ago(-2))
    plan = zoo.plan()
    assert [item["name"] for item in plan["expiry_to_clear"]] == ["backup-1"] and plan["confirm"]["needed"]
    zoo.branches[-1]["expires_at"] = days_ago(-9)
    assert zoo.plan()["expiry_to_clear"] == []


def test_one_run_deletes_no_more_than_its_cap_and_parents_last(zoo: Zoo) -> None:
    """Given a cap of two, then the two oldest leaves go and the rest is said to go the next time."""
    parent = zoo.add("parent", 90)
    for days in (50, 60, 70):
        zoo.add(f"child-{days}", days, parent_id=parent)
    zoo.add("backup-40", 40)
    plan = zoo.plan(max_deletions=2)
    assert deleted(plan) == ["child-70", "child-60"]
    assert why(plan, "child-50") == "cap" and why(plan, "parent") == "cap"
    assert deleted(zoo.plan()) == ["child-70", "child-60", "child-50", "parent", "backup-40"]


def test_snapshots_go_by_the_catalogue_and_those_of_a_schedule_stay(zoo: Zoo) -> None:
    """Given snapshots, then one of ours past its date goes; scheduled, foreign, pinned and new ones stay."""
    for name, days in (("old", 50), ("new", 1), ("foreign", 50), ("scheduled", 50), ("pinned", 50)):
        made = {"id": f"snap-{name}", "name": name, "created_at": days_ago(days), "manual": name != "scheduled"}
        zoo.more["snapshots"].append(made)
        if name != "foreign":
            about = {"snapshot_id": f"snap-{name}", "purpose": "snapshot", "target": "tracker"}
            zoo.more["records"].append({"event": "made", **about})
    zoo.more["records"].append({"event": "pinned", "snapshot_id": "snap-pinned", "reason": "why not"})
    plan = zoo.plan()
    assert plan["delete_snapshots"] == [{"id": "snap-old", "name": "old", "expires_at": None}]
    found = {item["name"]: item["code"] for item in plan["snapshots"]}
    assert found["scheduled"] == "scheduled" and found["foreign"] == "foreign"
    assert found["pinned"] == "pinned" and found["new"] == "not_due"


def snapshot(zoo: Zoo, name: str, days: float, **more: Any) -> None:
    made = {"id": f"snap-{name}", "name": name, "created_at": days_ago(days), "manual": True, "source_branch_id": MAIN}
    zoo.more["snapshots"].append({**made, **more})


def making(zoo: Zoo, name: str, days: float, **more: Any) -> None:
    """What a restore by snapshot writes down before it asks for one."""
    about = {"snapshot_name": name, "source_branch_id": MAIN, "target": "tracker", "run": SNAPSHOT_RUN}
    record = {"event": "making", "at": days_ago(days), "keep_until": days_ago(days - 7), **about}
    zoo.more["records"].append({**record, **more})


SNAPSHOT_RUN = "20250101T000000Z-restore-5a5a5a"


def test_a_snapshot_is_ours_when_it_was_about_to_be_made_under_that_name(zoo: Zoo) -> None:
    """Given a run killed before it heard the id, then name, source and time say whose it is; one thing else, and no."""
    making(zoo, "snapshot-20241201-000000", 20)
    snapshot(zoo, "snapshot-20241201-000000", 20)
    snapshot(zoo, "snapshot-20241201-000000", 19, id="snap-elsewhere", source_branch_id="br-other")
    snapshot(zoo, "snapshot-20241201-000000", 30, id="snap-before")
    snapshot(zoo, "snapshot-20241202-000000", 20)
    plan = zoo.plan()
    assert [item["id"] for item in plan["delete_snapshots"]] == ["snap-snapshot-20241201-000000"]
    kept = {item["id"]: item["code"] for item in plan["snapshots"] if item["decision"] == "keep"}
    assert kept == dict.fromkeys(("snap-elsewhere", "snap-before", "snap-snapshot-20241202-000000"), "foreign")
    (gone,) = (item for item in plan["snapshots"] if item["decision"] == "delete")
    assert "snapshot, past its date 2024-12-31" in gone["reason"]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("not_due", {"made": {"keep_until": days_ago(-1)}}),
        ("not_due", {"shown": {"expires_at": days_ago(-2)}}),
        ("scheduled", {"shown": {"manual": False}}),
        ("other_target", {"made": {"target": "shop"}}),
        ("undo", {"cutover": 3}),
    ],
)
def test_what_keeps_a_snapshot_of_ours(zoo: Zoo, code: str, change: Json) -> None:
    """Given an old snapshot and one thing that needs it, or a day that a person gave it, then it stays for that."""
    making(zoo, "snapshot-1", 20, **change.get("made", {}))
    snapshot(zoo, "snapshot-1", 20, **change.get("shown", {}))
    if "cutover" in change:
        moved = cutover(days_ago(change["cutover"]), "snapshot", "br-gone", MAIN)
        zoo.more["records"].append({**moved, "run": SNAPSHOT_RUN})
    plan = zoo.plan()
    assert why(plan, "snapshot-1") == code and plan["delete_snapshots"] == []


def test_the_snapshot_of_a_cutover_that_was_taken_back_goes_on_its_date(zoo: Zoo) -> None:
    """Given a cutover and its way back, both recent, then no undo needs the snapshot any more."""
    making(zoo, "snapshot-1", 20)
    snapshot(zoo, "snapshot-1", 20)
    for days, left, entered, undone in ((3, "br-gone", MAIN, False), (2, MAIN, "br-gone", True)):
        moved = cutover(days_ago(days), "snapshot", left, entered, undone=undone)
        zoo.more["records"].append({**moved, "run": SNAPSHOT_RUN, "proven": True})
    assert why(zoo.plan(), "snapshot-1") == "past_date"


def test_the_snapshot_of_a_run_that_never_ended_stays_and_the_run_is_named(zoo: Zoo) -> None:
    """Given an unfinished restore, then what it is continued with stays, and the warning lists it."""
    making(zoo, "snapshot-1", 20)
    snapshot(zoo, "snapshot-1", 20)
    zoo.more["unfinished"] = [{"id": SNAPSHOT_RUN, "verb": "restore", "steps": {}}]
    plan = zoo.plan()
    assert why(plan, "snapshot-1") == "unfinished"
    assert any(f"The restore {SNAPSHOT_RUN} never ended. It has left snapshot-1." in text for text in plan["warnings"])


def test_what_a_killed_run_has_restored_from_its_snapshot_is_left_over_too(zoo: Zoo) -> None:
    """Given a root of the name that was about to be made, then it goes; not one that has taken a branch's place."""
    making(zoo, "snapshot-1", 20)
    more: Json = {"ours": False, "parent_id": None, "restored_from": "snap-gone"}
    zoo.add("snapshot-1", 20, **more)
    assert deleted(zoo.plan()) == ["snapshot-1"]
    zoo.branches[-1]["restored_as"] = "br-old"
    assert why(zoo.plan(), "snapshot-1") == "foreign"


def test_the_root_that_a_snapshot_has_replaced_goes_after_its_date(zoo: Zoo) -> None:
    """Given the replaced primary, then it is ours by the cutover; kept for undo, its date, children and a new name."""
    making(zoo, "snapshot-1", 30, keep_until=days_ago(10))
    moved = cutover(days_ago(20), "snapshot", "br-rollback-20241224-150000", MAIN)
    zoo.more["records"].append({**moved, "run": SNAPSHOT_RUN})
    zoo.add("rollback-20241224-150000", 400, ours=False, parent_id=None)
    plan = zoo.plan()
    assert deleted(plan) == ["rollback-20241224-150000"]
    assert row(plan, "rollback-20241224-150000")["kind"] == "rollback"
    assert why(zoo.plan(undo_days=30), "rollback-20241224-150000") == "undo"
    zoo.add("dev", 1, ours=False, parent_id="br-rollback-20241224-150000")
    assert why(zoo.plan(), "rollback-20241224-150000") == "parent"
    zoo.branches.pop()
    zoo.more["records"][-2]["keep_until"] = days_ago(-1)
    assert why(zoo.plan(), "rollback-20241224-150000") == "not_due"
    zoo.branches[-1]["name"] = "evidence"
    assert why(zoo.plan(), "evidence") == "foreign"


def test_a_root_from_a_snapshot_is_no_preview_once_it_was_used(zoo: Zoo) -> None:
    """Given a restored root that was the primary for a while, then the days of an old primary count for it."""
    used = zoo.add("main-of-2024", 60, ours=False, parent_id=None)
    zoo.record("made", used, purpose="preview", target="tracker")
    zoo.record("used", used, purpose="restore")
    zoo.more["records"].append(cutover(days_ago(3), "repoint", used, MAIN))
    assert why(zoo.plan(), "main-of-2024") == "undo"


def test_a_confirmation_is_the_hash_of_this_list_or_the_target(zoo: Zoo) -> None:
    """Given a list, then its hash and the target's name confirm it; another word is refused with the command."""
    zoo.add("backup-old", 50)
    shown = zoo.plan(keep_last=1, retention_days=5)["confirm"]
    assert shown["needed"] and not shown["given"] and shown["refusal"] == ""
    command = "ansible-playbook playbooks/cleanup.yml -e target=tracker -e retention_days=5 -e keep_last=1"
    assert shown["command"] == f"{command} -e confirm={shown['hash']}"
    for word in (shown["hash"], "tracker", "shop, tracker"):
        assert zoo.plan(confirm=word)["confirm"]["given"]
    zoo.add("backup-older", 60)
    changed = zoo.plan(confirm=shown["hash"])["confirm"]
    assert not changed["given"] and changed["hash"] in changed["refusal"] and changed["hash"] != shown["hash"]
    assert not zoo.plan(confirm="true")["confirm"]["given"]


def test_the_list_says_everything_in_lines_that_fit(zoo: Zoo) -> None:
    """Given a name with an escape sequence and many branches, then no line is too long and none draws by itself."""
    zoo.add("backup-\x1b[31m-red", 50)
    for number in range(70):
        zoo.add(f"backup-{number}", 30 + number)
    text = zoo.plan()["text"]
    assert all(len(line) <= 72 and line.isprintable() for line in text)
    assert "to be deleted, leaf first: 71" in text
    assert any("main" in line for line in text)


def test_what_goes_is_shown_whole_and_the_report_is_named_only_where_there_is_one(zoo: Zoo) -> None:
    """Given more branches than a terminal shows, then each that goes is there: its hash is of what was shown."""
    for number in range(150):
        zoo.add(f"backup-old-{number:03}", 50)
        zoo.add(f"backup-new-{number:03}", 1)
        zoo.add(f"somebodys-{number:03}", 50, ours=False)
    zoo.more["snapshots"] = [
        {"id": f"snap-{number}", "name": f"by-hand-{number:03}", "created_at": days_ago(9)} for number in range(80)
    ]
    written = zoo.plan()
    shown = "\n".join(written["text"])
    assert len(deleted(written)) == 100 and all(f"- {name}: " in shown for name in deleted(written))
    assert "left for the next run: 50" in shown
    assert all(f"- by-hand-{number:03}: " in shown for number in range(80)), "the report has no snapshots"
    assert "kept: 151" in shown and "and 91 more: the report names them all" in shown
    assert "and 141 more (the report names them all)" in " ".join(shown.split())
    assert "to be deleted, leaf first: 150" in "\n".join(zoo.plan(max_deletions=150)["text"])
    for plan in (
        zoo.plan(check_mode=True),
        zoo.plan(confirm="0123456789ab"),
        zoo.plan(max_deletions=0),
    ):
        elsewhere = " ".join(" ".join(plan["text"]).split())
        assert "and 91 more: the report of a run without --check and confirm names them all" in elsewhere
        assert "more: the report names" not in elsewhere and "(the report names" not in elsewhere
        assert all(f"- {name}: " in elsewhere for name in deleted(plan))


def test_the_command_pins_where_the_run_that_showed_it_has_not(zoo: Zoo) -> None:
    """Given a pin, then the command of a dry run and of a refused one pins too, for its list counts on that."""
    for name in ("backup-a", "backup-b"):
        zoo.add(name, 50)
    asked: Json = {"pin": ["backup-a"], "reason": "the audit of 2025"}
    done = zoo.plan(**asked)["confirm"]
    assert "pin=" not in done["command"], "it is pinned by now"
    dry, refused = zoo.plan(check_mode=True, **asked)["confirm"], zoo.plan(confirm="0123456789ab", **asked)["confirm"]
    assert dry["command"] == refused["command"] and done["hash"] == dry["hash"] == refused["hash"]
    words = shlex.split(dry["command"])
    assert ["-e", "pin=backup-a", "-e", '{"reason": "the audit of 2025"}', "-e", f"confirm={dry['hash']}"] == words[-6:]
    assert refused["refusal"].startswith("Nothing was deleted, pinned or unpinned: ")
    assert refused["command"] in refused["refusal"]
    assert zoo.plan(confirm="0123456789ab")["confirm"]["refusal"].startswith("Nothing was deleted: ")


# Properties

FLAGS = ("default", "protected")
KINDS = st.sampled_from(["backup", "restore", "rollback", "preview", "drill", "probe", "test-backup", "odd", ""])


@st.composite
def worlds(draw: st.DrawFn) -> Zoo:
    """Any project: what a branch is, who uses it and what is written about it are independent of each other."""
    zoo = Zoo()
    ids = [MAIN]
    for number in range(draw(st.integers(0, 12))):
        annotations = {"target": draw(st.sampled_from(["tracker", "tracker", "", "shop"]))}
        if draw(st.integers(0, 9)) == 0:
            annotations["keep_until"] = draw(st.sampled_from(["for good", days_ago(2), days_ago(-2)]))
        if draw(st.integers(0, 4)) == 0:
            annotations["run"] = "20250110T000000Z-drill-aaaaaa"
        more: Json = {"parent_id": draw(st.sampled_from([*ids, None])), "annotations": annotations}
        for flag in FLAGS:
            more[flag] = draw(st.integers(0, 9)) == 0
        more["current_state"] = draw(st.sampled_from(["ready"] * 8 + ["init", "archived"]))
        if draw(st.integers(0, 2)) == 0:
            state = draw(st.sampled_from(["idle", "idle", "active"]))
            active = draw(st.sampled_from([None, days_ago(1), days_ago(40)]))
            more["endpoints"] = [endpoint(f"ep-{number}", current_state=state, last_active=active)]
        ours = draw(st.integers(0, 4)) > 0
        branch_id = zoo.add(f"b{number}", draw(st.sampled_from([0.2, 3, 10, 40])), draw(KINDS), ours=ours, **more)
        ids.append(branch_id)
        for event in draw(st.lists(st.sampled_from(["verified", "pinned", "unpinned", "made", "used"]), max_size=2)):
            about = {"purpose": "backup", "target": "tracker"} if event == "made" else {}
            zoo.record(event, branch_id, **about)
    for branch_id in draw(st.lists(st.sampled_from(ids), max_size=2)):
        at = draw(st.sampled_from([2, 20]))
        zoo.more["records"].append(cutover(days_ago(at), "repoint", branch_id, draw(st.sampled_from(ids))))
    for number in draw(st.lists(st.integers(0, 12), max_size=2)):
        zoo.use(f"ep-{number}", "shop", pooled=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        zoo.more["unreadable"] = [{"kind": "application", "uuid": "u", "name": "locked", "env_keys": ["X"]}]
    if draw(st.integers(0, 2)) == 0:
        steps = {"x": {"ids": {"branch": draw(st.sampled_from(ids))}}}
        zoo.more["unfinished"] = [{"id": "20250110T000000Z-drill-aaaaaa", "verb": "drill", "steps": steps}]
    return zoo


def forbidden(zoo: Zoo, item: Json) -> list[str]:
    """Why safety rule 1 and rules 12, 24 and 25 forbid the deletion of a branch; said again, without the plan."""
    events = [r["event"] for r in zoo.more["records"] if r.get("branch_id") == item["id"]]
    moves = [r for r in zoo.more["records"] if r["event"] == "cutover"]
    hosts = {e[key] for e in item["endpoints"] for key in ("host", "pooler_host")}
    notes, run = item["annotations"], zoo.more["unfinished"]
    pins = [event for event in events if event in ("pinned", "unpinned")]
    left = [NOW_AT.fromisoformat(m["at"]) for m in moves if m["from_branch_id"] == item["id"] != m["to_branch_id"]]
    used = [NOW_AT.fromisoformat(e["last_active"]) for e in item["endpoints"] if e["last_active"]]
    recent = [m for m in moves if NOW_AT - NOW_AT.fromisoformat(m["at"]) < timedelta(days=7)]
    # What a drill or a preview makes needs only to be ours, a leaf and unused (rule 24).
    scratch = notes.get("purpose") in ("drill", "preview", "probe", "test-backup")
    rules = {
        "foreign": not str(notes.get("tool", "")).startswith("rewind") and "made" not in events,
        "flag": item["default"] or item["protected"] or item["current_state"] not in ("ready", "archived"),
        "in use": any(c["host"] in hosts for c in zoo.more["consumers"]),
        "other target": notes.get("target") == "shop",
        "pinned": pins[-1:] == ["pinned"] or (notes.get("keep_until") == "for good" and not pins),
        "active": any(e["current_state"] == "active" for e in item["endpoints"]),
        "active since it left": not scratch and bool(left and used and max(used) > max(left) + timedelta(hours=1)),
        "a backup in use": notes.get("purpose") in ("backup", "predeploy")
        and bool(used and not left and max(used) > NOW_AT.fromisoformat(item["created_at"]) + timedelta(hours=1)),
        "unreadable rows": bool(item["endpoints"] and zoo.more["unreadable"]),
        "undo": not scratch and any(item["id"] in (m["from_branch_id"], m["to_branch_id"]) for m in recent),
        "unfinished": bool(run and notes.get("run") == run[0]["id"]),
        "in a journal": bool(run and run[0]["steps"]["x"]["ids"]["branch"] == item["id"]),
        "too new": "keep_until" not in notes
        and (NOW_AT - NOW_AT.fromisoformat(item["created_at"])) < timedelta(days=1),
    }
    return [name for name, applies in rules.items() if applies]


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 5), st.integers(1, 20))
def test_whatever_the_project_is_nothing_forbidden_is_ever_deleted(zoo: Zoo, verified: int, most: int) -> None:
    """Given any project, then no rule forbids what goes, children go first, and enough verified backups are left."""
    plan = build(zoo.params(min_verified=verified, max_deletions=most))
    by_id = {item["id"]: item for item in zoo.branches}
    goes = [item["id"] for item in plan["delete"]]
    assert len(goes) == len(set(goes)) <= most
    there = dict(by_id)
    for branch_id in goes:
        assert forbidden(zoo, by_id[branch_id]) == []
        del there[branch_id]
        assert all(item["parent_id"] != branch_id for item in there.values()), "a parent goes after its children"
    assert {row["id"]: row["decision"] for row in plan["branches"]} == {
        branch_id: "delete" if branch_id in goes else "keep" for branch_id in by_id
    }
    assert all(row["reason"] for row in plan["branches"])
    backups = [row for row in plan["branches"] if row["kind"] == "backup" and row["code"] != "other_target"]
    good = [row for row in backups if row["verified"]]
    left = [row for row in good if row["decision"] == "keep"]
    assert len(left) >= min(verified, len(good)), "verified backups are always left"
    for row in backups:
        if row["decision"] == "delete":
            at = NOW_AT.fromisoformat(row["created_at"])
            others = [NOW_AT.fromisoformat(item["created_at"]) for item in left if item["id"] != row["id"]]
            assert others and max(others) >= at, "a newer verified one is left"


@settings(max_examples=40, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_in_which_neon_lists_them_changes_nothing(zoo: Zoo, order: Any) -> None:
    """Given the same branches in another order, then the list and its hash are the same."""
    plan = build(zoo.params())
    order.shuffle(zoo.branches)
    again = build(zoo.params())
    assert again["delete"] == plan["delete"] and again["confirm"]["hash"] == plan["confirm"]["hash"]


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_after_the_deletion_a_second_plan_finds_nothing(zoo: Zoo) -> None:
    """Given a plan without a cap that was carried out, then the next one deletes nothing."""
    plan = build(zoo.params(max_deletions=1000))
    gone = {item["id"] for item in plan["delete"]}
    zoo.branches = [item for item in zoo.branches if item["id"] not in gone]
    assert build(zoo.params(max_deletions=1000))["delete"] == []


def test_every_option_every_default_and_every_part_is_the_documented_one(zoo: Zoo) -> None:
    """Given the documentation, then its options, defaults and parts of the plan are those of the module."""
    documented = yaml.safe_load(cleanup_plan.DOCUMENTATION)["options"]
    assert set(documented) == set(cleanup_plan.SPEC.arguments)
    declared = cleanup_plan.SPEC.arguments["request"]["options"]
    assert {name: item.get("default") for name, item in documented["request"]["suboptions"].items()} == {
        name: item.get("default") for name, item in declared.items()
    }
    told = yaml.safe_load(cleanup_plan.RETURN)["plan"]["contains"]
    plan = zoo.plan()
    assert set(told) == set(plan)
    assert set(told["branches"]["contains"]) == set(plan["branches"][0])


def test_both_ways_of_running_it_give_the_same_plan(both_ways: BothWays, zoo: Zoo) -> None:
    """Given a request, then the plan is the same in the controller's process and as an ordinary module."""
    zoo.add("backup-old", 50)
    result = both_ways.same("cleanup_plan", zoo.params())
    assert not result["changed"] and deleted(result["plan"]) == ["backup-old"]


def test_an_instant_without_a_zone_is_refused() -> None:
    """Given a `now` that cannot be read, then the task fails and says so."""
    result = call_module("cleanup_plan", {**Zoo().params(), "request": {"target": "x", "now": "2025-01-13 15:00:00"}})
    assert result["failed"] and "zone" in result["msg"]
