# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""audit_lines: every line in each of its states, what cannot be read, symptoms, and the table for people."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.audit import LINES, SYMPTOMS
from ansible_collections.rewind.database.plugins.module_utils._plan.audit_parts import FACTS, STATUSES, UNKNOWN, Line
from ansible_collections.rewind.database.tests.unit.audit_world import AuditWorld, failed
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, branch, cutover, endpoint, env_row, host_of
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]
Change = Callable[[AuditWorld], Any]
BY_ID = {line.id: line for line in LINES}
COMPUTE = "ep-other-compute-o1"
OLD = "br-old-b0"
GIB = 2**30


def _all(*changes: Change) -> Change:
    def change(world: AuditWorld) -> None:
        for one in changes:
            one(world)

    return change


def _nothing(_world: AuditWorld) -> None:
    """The healthy world."""


def _set(where: str, **values: Any) -> Change:
    """Changes keys of a part of the world: `project`, `main`, `row`, `application`, `request` ..."""
    return lambda world: getattr(world, where).update(values)


def _put(name: str, value: Any) -> Change:
    return lambda world: setattr(world, name, value)


def _unprotected(world: AuditWorld) -> None:
    world.main["protected"] = False


def _other_branch(**more: Any) -> Change:
    return lambda world: world.branches.append(branch("br-other-o1", "other", parent_id=MAIN, **more))


def _snapshots(limit: int) -> Change:
    """One made by hand, and one of a schedule, which does not count; the plan allows so many."""

    def change(world: AuditWorld) -> None:
        world.snapshots = [
            {"id": "snap-1", "name": "a", "manual": True},
            {"id": "snap-2", "name": "b", "manual": False},
        ]
        world.project["limits"]["manual_snapshots"] = limit

    return change


def _old_backup(*, ours: bool = True, **more: Any) -> Change:
    """A backup of two weeks ago beside the newest one."""

    def change(world: AuditWorld) -> None:
        notes = {"tool": "rewind.database", "purpose": "backup", "target": "tracker"} if ours else {}
        at = "2024-12-30T12:00:00Z"
        made = {"parent_id": MAIN, "created_at": at, "parent_timestamp": at, "parent_lsn": "0/1000000"}
        world.branches.append(branch(OLD, "backup-20241230-120000", **{**made, "annotations": notes, **more}))

    return change


def _moved_to_other(world: AuditWorld) -> None:
    """The row leads to a child of main that has a compute."""
    _other_branch(compute=COMPUTE, parent_timestamp="2025-01-12T00:00:00Z")(world)
    row = env_row("DATABASE_URL", host_of(COMPUTE)[0])
    row["connection"]["parameters"] = {"sslmode": "require"}
    world.application["environment"] = [row]


def _cut_over(strategy: str = "repoint", from_id: str = MAIN, to_id: str = "br-other-o1") -> Change:
    return lambda world: world.catalogue.append(cutover("2025-01-12T09:00:00Z", strategy, from_id, to_id))


def _run(status: str, **steps: str) -> Change:
    """An unfinished restore with the phases of its steps."""
    found = {name: {"phase": phase} for name, phase in steps.items()}
    run = {"id": "20250113T140000Z-restore-0a1b2c", "target": "tracker", "verb": "restore"}
    return lambda world: world.journals.append({**run, "status": status, "steps": found})


def _deployment(status: str, began: str, ended: str | None, *log: str) -> Change:
    """A newer deployment than the one that is running."""
    item = {"uuid": "dep2", "status": status, "created_at": began, "finished_at": ended, "log_tail": list(log)}
    return lambda world: world.deployments.insert(0, {**item, "commit": "c0ffee", "build_skipped": None})


def _build(status: str, began: str, ended: str, *log: str, **more: Any) -> Change:
    """An older deployment than the one that is running, which is of its image."""
    item = {"uuid": "dep0", "status": status, "created_at": began, "finished_at": ended, "log_tail": list(log)}
    return lambda world: world.deployments.append({**item, "commit": "c0ffee", "build_skipped": None, **more})


def _backup(**values: Any) -> Change:
    """Changes the branch of the backup."""
    return lambda world: world.branches[1].update(values)


def _consumer(world: AuditWorld) -> None:
    host = world.row["connection"]["host"]
    world.consumers.append(
        {"kind": "application", "uuid": "a2", "name": "reports", "key": "DATABASE_URL", "env_uuid": "r2", "host": host}
    )


def _used(used: int) -> Change:
    return lambda world: world.sessions["connections"].update(used=used)


def _suspended(world: AuditWorld) -> None:
    world.main["endpoints"][0]["current_state"] = "idle"
    world.instead["sessions"] = {"skipped": True, "skip_reason": "Conditional result was False"}


def _drill(**record: Any) -> Change:
    return _put("drills", [{"target": "tracker", "at": "2025-01-10T03:00:00Z", **record}])


def _refused(world: AuditWorld) -> None:
    world.instead["sessions"] = failed("connect to h:5432/tracker as o: timeout", "connection_failed")


# Every state of every line but what only comes from a fact that could not be read: how the world gets there, and the
# status and a piece of the number behind it.
CASES: dict[tuple[str, str], tuple[str, str, Change]] = {
    ("neon_api", "read"): ("OK", "late-frost-12345678, launch plan", _nothing),
    ("history_window", "enough"): ("OK", "7 days", _nothing),
    ("history_window", "short"): ("FAILED", "6 h", _set("project", history_retention_seconds=21_600)),
    ("history_window", "off"): ("FAILED", "no instant", _set("project", history_retention_seconds=0)),
    ("storage", "room"): ("OK", "0 %: 28.6 MiB of 16.0 TiB in the largest branch, main", _nothing),
    ("storage", "near"): (
        "WARN",
        "85 %",
        _all(_set("project", storage={"used_bytes": 85}), _set("request", storage_bytes=100)),
    ),
    ("storage", "full"): (
        "FAILED",
        "100 %: 512.0 MiB of 512.0 MiB in the project",
        _set("project", storage={"used_bytes": GIB // 2, "limit_bytes": GIB // 2, "branch_limit_bytes": None}),
    ),
    ("branch_slots", "free"): ("OK", "2 of 10 used, 8 free", _nothing),
    ("branch_slots", "few"): ("WARN", "9 of 10", _set("project", counts={"branches": 9, "root_branches": 1})),
    ("branch_slots", "none"): ("FAILED", "10 of 10", _set("project", counts={"branches": 10, "root_branches": 1})),
    ("root_slots", "free"): ("OK", "1 of 5", _nothing),
    ("root_slots", "none"): ("WARN", "5 of 5", _set("project", counts={"branches": 6, "root_branches": 5})),
    ("snapshot_slots", "free"): ("OK", "1 of 2 used", _snapshots(limit=2)),
    ("snapshot_slots", "none"): ("WARN", "1 of 1 used", _snapshots(limit=1)),
    ("protected_slots", "free"): ("OK", "1 of 2 used", _nothing),
    ("protected_slots", "not_needed"): ("OK", "1 of 2 used; the primary needs none", _set("request", protected=False)),
    ("protected_slots", "none"): ("WARN", "2 of 2 used", _other_branch(protected=True)),
    ("protection", "protected"): ("OK", "main is protected", _nothing),
    ("protection", "not_needed"): ("OK", "staging", _all(_unprotected, _set("request", environment="staging"))),
    ("protection", "not_possible"): (
        "WARN",
        "allows no protected branch",
        _all(_unprotected, _set("project", limits={"branches": 10, "root_branches": 3, "protected_branches": 0})),
    ),
    ("protection", "unprotected"): ("FAILED", "main is not protected", _unprotected),
    ("protection_kept", "kept"): ("OK", "main is protected", _nothing),
    ("protection_kept", "taken"): (
        "FAILED",
        "20250113T140000Z-restore-0a1b2c has unprotected main",
        _all(_unprotected, _run("running", unprotect="done", restore="intent")),
    ),
    ("protection_kept", "lost"): (
        "FAILED",
        "main was protected and is not",
        _all(_unprotected, _put("catalogue", [{"event": "protected", "branch_id": MAIN, "target": "tracker"}])),
    ),
    ("protection_kept", "left_behind"): ("FAILED", "old primary main is", _all(_moved_to_other, _cut_over())),
    ("expiry_in_use", "none"): ("OK", "1 in use", _nothing),
    ("expiry_in_use", "expires"): ("FAILED", "main (2025-01-14", _set("main", expires_at="2025-01-14T00:00:00Z")),
    ("expiry_in_use", "perhaps"): (
        "WARN",
        "other expires and has a compute; 1 consumers",
        _all(
            _other_branch(compute=COMPUTE, expires_at="2025-01-14T00:00:00Z"),
            _put("unreadable", [{"kind": "service", "uuid": "s1", "name": "queue", "reason": "locked"}]),
        ),
    ),
    ("ip_allowlist", "open"): ("OK", "every address", _nothing),
    ("ip_allowlist", "all"): ("OK", "1 entry, for all", _set("project", allowed_ips=["192.0.2.1"])),
    ("ip_allowlist", "covered"): (
        "OK",
        "2 entries for protected branches",
        _set("project", allowed_ips=["192.0.2.1", "192.0.2.2"], protected_branches_only=True),
    ),
    ("ip_allowlist", "gaps"): (
        "WARN",
        "open to every address: other",
        _all(_set("project", allowed_ips=["192.0.2.1"], protected_branches_only=True), _other_branch(compute=COMPUTE)),
    ),
    ("ip_allowlist", "bypassed"): (
        "FAILED",
        "main is not protected",
        _all(_set("project", allowed_ips=["192.0.2.1"], protected_branches_only=True), _unprotected),
    ),
    ("neon_operations", "quiet"): ("OK", "none", _set("project", running_operations=[{"action": "start_compute"}])),
    ("neon_operations", "busy"): (
        "WARN",
        "create_branch",
        _set("project", running_operations=[{"action": "create_branch"}]),
    ),
    ("coolify_version", "current"): ("OK", "4.3.11", _nothing),
    ("coolify_version", "old"): ("WARN", "4.3.6", _put("version", "4.3.6")),
    ("coolify_version", "too_old"): ("FAILED", "4.0.0-beta.434", _put("version", "4.0.0-beta.434")),
    ("coolify_token", "proven"): ("OK", "read:sensitive", _nothing),
    ("coolify_token", "missing"): ("FAILED", "lacks read:sensitive", _set("abilities", read_sensitive="missing")),
    ("coolify_token_writes", "proven"): ("OK", "proven", _nothing),
    ("coolify_token_writes", "used"): (
        "OK",
        "the drill of 2025-01-10T03:00:00Z",
        _set("abilities", write="unproven", deploy="unproven"),
    ),
    ("coolify_token_writes", "missing"): ("FAILED", "lacks deploy", _set("abilities", deploy="missing")),
    ("primary", "as_recorded"): ("OK", "main (br-main-root-a1), compute ep-main-compute-a1", _nothing),
    ("primary", "by_hand"): ("WARN", "went to other", _all(_other_branch(), _cut_over())),
    ("primary", "other_database"): ("FAILED", "but database tracker", _set("request", database="shop")),
    ("primary", "disabled"): ("FAILED", "disabled", lambda world: world.main["endpoints"][0].update(disabled=True)),
    ("primary", "lost"): ("FAILED", "belongs to no compute", lambda world: world.row["connection"].update(host="db.x")),
    ("primary_default", "default"): ("OK", "main is", _nothing),
    ("primary_default", "other"): ("WARN", "other is not, main is", _moved_to_other),
    ("env_applied", "applied"): ("OK", "2025-01-12T10:00:00Z", _nothing),
    ("env_applied", "pending"): ("WARN", "2025-01-12T11:00:00Z", _set("row", updated_at="2025-01-12T11:00:00Z")),
    ("env_readable", "readable"): ("OK", "all 1", _nothing),
    ("env_readable", "hidden"): (
        "WARN",
        "1 cannot be read: DIRECT_URL",
        lambda world: world.application["environment"].append(
            {"key": "DIRECT_URL", "readable": False, "connection": None, "uuid": "row-2"}
        ),
    ),
    ("env_readable", "locked"): (
        "FAILED",
        "DATABASE_URL is locked",
        _set("row", readable=False, connection=None, is_shown_once=True),
    ),
    ("env_readable", "hidden_own"): ("FAILED", "hidden from this token", _set("row", readable=False, connection=None)),
    ("env_single", "single"): ("OK", "once", _nothing),
    ("env_single", "duplicate"): (
        "FAILED",
        "DATABASE_URL",
        lambda world: world.application["environment"].append({**world.row, "uuid": "row-2"}),
    ),
    ("env_single", "others"): (
        "WARN",
        "LOG_LEVEL",
        lambda world: world.application["environment"].extend(
            {"key": "LOG_LEVEL", "readable": True, "connection": None, "uuid": f"row-{number}"} for number in (2, 3)
        ),
    ),
    ("env_rebuild", "runtime"): ("OK", "1 row points", _nothing),
    ("env_rebuild", "rebuilds"): ("WARN", "DATABASE_URL", _set("row", is_buildtime=True)),
    ("consumers", "alone"): ("OK", "nothing else", _nothing),
    ("consumers", "others"): ("WARN", "application reports (DATABASE_URL)", _consumer),
    ("consumers", "unreadable"): (
        "WARN",
        "queue",
        _put("unreadable", [{"kind": "service", "uuid": "s1", "name": "queue", "reason": "locked"}]),
    ),
    ("application", "healthy"): ("OK", "running:healthy", _nothing),
    ("application", "settling"): (
        "WARN",
        "deployed 30 s ago",
        _all(
            _set("application", status="running:unhealthy"),
            _deployment("finished", "2025-01-13T14:59:00Z", "2025-01-13T14:59:30Z"),
        ),
    ),
    ("application", "unchecked"): ("WARN", "running:unknown", _set("application", status="running:unknown")),
    ("application", "unhealthy"): ("FAILED", "exited:unhealthy", _set("application", status="exited:unhealthy")),
    ("application", "unreachable"): ("FAILED", "does not reach", _set("application", server_reachable=False)),
    ("health_check", "enabled"): ("OK", "/api/health", _nothing),
    ("health_check", "own"): (
        "OK",
        "Dockerfile",
        _set("application", health_check={"enabled": False}, custom_healthcheck_found=True),
    ),
    ("health_check", "off"): ("FAILED", "disabled", _set("application", health_check={"enabled": False})),
    ("auto_deploy", "as_wanted"): ("OK", "on: a push deploys", _nothing),
    ("auto_deploy", "differs"): (
        "WARN",
        "off",
        _all(_set("application", auto_deploy=False), _set("request", auto_deploy="on")),
    ),
    ("last_deployment", "quick"): ("OK", "finished in 1 min (1 day 5 h ago), build skipped", _nothing),
    ("last_deployment", "running"): ("OK", "in_progress", _deployment("in_progress", "2025-01-13T14:58:00Z", None)),
    ("last_deployment", "slow"): (
        "WARN",
        "finished in 15 min",
        _deployment("finished", "2025-01-13T14:00:00Z", "2025-01-13T14:15:00Z"),
    ),
    ("last_deployment", "build_slow"): (
        "WARN",
        "(1 day 5 h ago), build skipped; the last build finished in 20 min (2 days 5 h ago), image built",
        _build("finished", "2025-01-11T10:00:00Z", "2025-01-11T10:20:00Z", build_skipped=False),
    ),
    ("last_deployment", "build_failed"): (
        "WARN",
        "build skipped; the last build failed after 1 min (2 days 5 h ago): no space left",
        _build("failed", "2025-01-11T10:00:00Z", "2025-01-11T10:01:00Z", "no space left"),
    ),
    ("last_deployment", "cancelled"): (
        "WARN",
        "cancelled",
        _deployment("cancelled-by-user", "2025-01-13T14:00:00Z", "2025-01-13T14:01:00Z"),
    ),
    ("last_deployment", "failed"): (
        "FAILED",
        "failed after 1 min (1 h ago): npm ERR! no space left on device",
        _deployment(
            "failed",
            "2025-01-13T14:00:00Z",
            "2025-01-13T14:01:00Z",
            "step 1",
            "npm ERR! no space left on device",
            "Gracefully shutting down",
        ),
    ),
    ("last_deployment", "stuck"): ("FAILED", "queued for 1 h", _deployment("queued", "2025-01-13T14:00:00Z", None)),
    ("last_deployment", "never"): ("WARN", "never deployed", _put("deployments", [])),
    ("newest_backup", "fresh"): ("OK", "backup-20250113-120000, 3 h ago", _nothing),
    ("newest_backup", "stale"): ("FAILED", "3 h ago", _set("request", backup_max_days=0.1)),
    ("newest_backup", "unverified"): (
        "FAILED",
        "none of them verified",
        lambda world: world.backups[0].update(verified=False),
    ),
    ("newest_backup", "none"): ("FAILED", "no backup", _all(lambda world: world.branches.pop(), _put("backups", []))),
    ("backups_past_retention", "none"): ("OK", "none of 1", _nothing),
    ("backups_past_retention", "some"): (
        "WARN",
        "1 of 2: backup-20241230-120000 (7 days 3 h ago)",
        _old_backup(),
    ),
    ("backups_past_retention", "foreign"): (
        "WARN",
        "1 of 2 made by hand: backup-20241230-120000 (7 days 3 h ago)",
        _old_backup(ours=False),
    ),
    ("backup_lsn", "agree"): ("OK", "1 backup says", _nothing),
    ("backup_lsn", "nothing"): ("OK", "no backup", lambda world: world.branches.pop()),
    ("backup_lsn", "incomplete"): (
        "WARN",
        "backup-20250113-120000",
        lambda world: world.branches[1].update(parent_lsn=None),
    ),
    ("backup_lsn", "disagree"): (
        "FAILED",
        "holds LSN 0/2000000, its record says 0/2000001",
        lambda world: world.backups[0].update(lsn="0/2000001"),
    ),
    ("backup_reachable", "no_compute"): ("OK", "no compute, as a backup is left: add one in Neon", _nothing),
    ("backup_reachable", "compute"): ("OK", "at ep-", _backup(endpoints=[endpoint(COMPUTE)])),
    ("backup_reachable", "nothing"): (
        "WARN",
        "no verified backup",
        lambda world: world.backups[0].update(verified=False),
    ),
    ("backup_reachable", "not_ready"): ("WARN", "is resetting", _backup(current_state="resetting")),
    ("backup_reachable", "disabled"): ("WARN", "disabled", _backup(endpoints=[endpoint(COMPUTE, disabled=True)])),
    ("last_drill", "recent"): ("OK", "pitr drill 3 days 12 h ago, took 4 min 12 s: proven", _nothing),
    ("last_drill", "old"): ("WARN", "3 days 12 h ago", _set("request", drill_max_days=3)),
    ("last_drill", "failed"): ("FAILED", "not proven: it was killed", _drill(ok=False, why="it was killed")),
    ("last_drill", "never"): (
        "FAILED",
        "none of tracker",
        _all(_put("drills", []), _set("request", environment="staging")),
    ),
    ("last_drill", "unnamed"): ("FAILED", "tracker is production, and no staging target is named", _put("drills", [])),
    ("unfinished_runs", "none"): ("OK", "none", _nothing),
    ("unfinished_runs", "unfinished"): ("WARN", "20250113T140000Z-restore-0a1b2c", _run("running")),
    ("unfinished_runs", "stuck"): ("FAILED", "stuck: 20250113T140000Z-restore-0a1b2c", _run("stuck")),
    ("tls", "required"): ("OK", "sslmode=require", _nothing),
    ("tls", "verified"): (
        "OK",
        "verify-full",
        lambda world: world.row["connection"].update(parameters={"sslmode": "verify-full"}),
    ),
    ("tls", "optional"): ("WARN", "says nothing", lambda world: world.row["connection"].update(parameters={})),
    ("tls", "off"): (
        "FAILED",
        "sslmode=disable",
        lambda world: world.row["connection"].update(parameters={"sslmode": "disable"}),
    ),
    ("connection_string", "same"): ("OK", "as Neon gives it", _nothing),
    ("connection_string", "differs"): ("FAILED", "password", _set("connection", hash="ffffffffffff")),
    ("connections", "room"): ("OK", "5 of 100 (5 %)", _nothing),
    ("connections", "many"): ("WARN", "80 of 100 (80 %)", _used(80)),
    ("connections", "exhausted"): ("FAILED", "97 of 100 (97 %)", _used(97)),
    ("connections", "suspended"): ("WARN", "not looked at: suspended", _suspended),
    ("connections", "refused"): ("FAILED", "connect to h:5432/tracker as o: timeout", _refused),
}
# Facts that were read and do not hold the number.
SILENT: dict[str, Change] = {
    "history_window": _set("project", history_retention_seconds=None),
    "storage": _all(_set("project", storage={}), _set("main", logical_size=None)),
    "branch_slots": _set("project", limits={}),
    "root_slots": _set("project", limits={}),
    "snapshot_slots": _set("project", limits={}),
    "protected_slots": _set("project", limits={}),
    "ip_allowlist": _set("project", allowed_ips=None),
    "neon_operations": _set("project", running_operations=None),
    "coolify_version": _put("version", "main"),
    "coolify_token": _set("abilities", read_sensitive="unproven"),
    "coolify_token_writes": _all(_set("abilities", write="unproven"), _put("drills", [])),
    "env_applied": _set("row", updated_at=None),
    "application": _set("application", status=None),
    "health_check": _set("application", health_check=None),
    "auto_deploy": _set("application", auto_deploy=None),
    "last_deployment": _deployment("finished", "", ""),
    "backup_reachable": _backup(endpoints=None),
    "last_drill": _drill(),
    "tls": lambda world: world.row["connection"].pop("parameters"),
    "connection_string": _set("connection", hash=None),
    "connections": lambda world: world.sessions.pop("connections"),
}


def _needed(line: Line) -> set[str]:
    """The facts without which a line is unknown."""
    needs = set(line.needs)
    return (needs - {"primary"}) | ({"branches", "application"} if "primary" in needs else set())


def test_a_healthy_target_is_ok_in_every_line() -> None:
    """Given a target that lacks nothing, then every line is OK, with a number, and asks for nothing."""
    audit = AuditWorld().audit()
    assert [line["id"] for line in audit["lines"] if line["status"] != "OK"] == []
    assert all(line["found"] and line["expected"] and not line["what_to_do"] for line in audit["lines"])
    assert audit["worst"] == "OK" and audit["failure"] == ""
    assert audit["summary"] == {"OK": len(LINES), "WARN": 0, "FAILED": 0}
    assert all(symptom["causes"] == [] for symptom in audit["symptoms"])


def test_every_state_of_every_line_has_a_case() -> None:
    """Given the lines as they are defined, then the table above has each of their states, and no other."""
    defined = {(line.id, state) for line in LINES for state in line.states if state != UNKNOWN}
    assert defined == set(CASES)
    assert len(BY_ID) == len(LINES)
    # Not to be known is never fine, for no line.
    assert all(line.states[UNKNOWN].status != "OK" for line in LINES)
    assert {state.status for line in LINES for state in line.states.values()} == set(STATUSES)


@pytest.mark.parametrize(("name", "state"), sorted(CASES), ids="-".join)
def test_a_line_in_each_of_its_states(name: str, state: str) -> None:
    """Given what leads there, then the line has that state, its status, the number, and what to do unless it is OK."""
    status, found, change = CASES[name, state]
    world = AuditWorld()
    change(world)
    line = world.line(name)
    assert (line["state"], line["status"]) == (state, status), line
    assert found in line["found"]
    assert bool(line["what_to_do"]) is (status != "OK")
    assert not re.search(r"\{\w+\}", line["what_to_do"]), "a placeholder was left"


@pytest.mark.parametrize(
    ("name", "fact"),
    [(line.id, fact) for line in LINES for fact in sorted(_needed(line))],
    ids=lambda value: str(value),
)
def test_a_fact_that_could_not_be_read_is_never_ok(name: str, fact: str) -> None:
    """Given a task that failed, then each line that needs it is unknown, says why, and what to do about that."""
    world = AuditWorld()
    world.instead[fact] = failed("list what there is: the token was refused (HTTP 401)", hint="Set a token that works.")
    line = world.line(name)
    assert line["state"] == UNKNOWN and line["status"] in ("WARN", "FAILED")
    assert line["found"].startswith("unknown: list what there is: the token was refused")
    assert line["what_to_do"] == "Set a token that works."


def _says_unknown_itself(line: Line) -> bool:
    """Whether the judge of a line, or what it calls in its own module, can answer that it does not know."""
    module = inspect.getmodule(line.judge)
    told = inspect.getsource(line.judge)
    sources = [
        inspect.getsource(item) for name, item in inspect.getmembers(module, inspect.isfunction) if f"{name}(" in told
    ]
    return any("Finding(UNKNOWN" in source for source in (told, *sources))


def test_every_line_is_tried_without_what_it_needs() -> None:
    """Given the lines, then each is tried unread, and each that can find a fact silent is tried with a silent one."""
    assert all(_needed(line) for line in LINES)
    assert {line.id for line in LINES if _says_unknown_itself(line)} == set(SILENT)


@pytest.mark.parametrize("name", sorted(SILENT))
def test_a_fact_that_says_nothing_is_never_ok(name: str) -> None:
    """Given an answer that lacks the number, then the line is unknown."""
    world = AuditWorld()
    SILENT[name](world)
    line = world.line(name)
    assert line["state"] == UNKNOWN and line["status"] != "OK" and line["what_to_do"]


def test_nothing_read_at_all_leaves_no_line_ok() -> None:
    """Given no fact, then every line is unknown, and the audit is FAILED."""
    audit = call_module("audit_lines", {"facts": {}, "request": {"target": "tracker"}})["audit"]
    assert {line["state"] for line in audit["lines"]} == {UNKNOWN}
    assert audit["worst"] == "FAILED" and audit["summary"]["OK"] == 0
    assert audit["look"] == {"branch_id": None, "endpoint_id": None, "asleep": False, "disabled": False}


@pytest.mark.parametrize(
    ("symptom", "cause", "change"),
    [
        # The runbook's section on troubleshooting, resolution by resolution.
        ("branch_creation_fails", "branch_slots", CASES["branch_slots", "none"][2]),
        ("branch_creation_fails", "neon_api", lambda world: world.instead.update(project=failed())),
        ("branch_creation_fails", "neon_operations", CASES["neon_operations", "busy"][2]),
        ("cannot_connect", "connection_string", CASES["connection_string", "differs"][2]),
        ("cannot_connect", "ip_allowlist", CASES["ip_allowlist", "bypassed"][2]),
        ("cannot_connect", "tls", CASES["tls", "off"][2]),
        ("cannot_connect", "connections", CASES["connections", "refused"][2]),
        ("cannot_connect", "env_applied", CASES["env_applied", "pending"][2]),
        ("cannot_connect", "primary", CASES["primary", "disabled"][2]),
        ("data_missing", "backup_lsn", CASES["backup_lsn", "disagree"][2]),
        ("data_missing", "history_window", CASES["history_window", "short"][2]),
        ("data_missing", "newest_backup", CASES["newest_backup", "stale"][2]),
        ("takes_too_long", "last_deployment", CASES["last_deployment", "failed"][2]),
        ("takes_too_long", "last_deployment", CASES["last_deployment", "slow"][2]),
        ("takes_too_long", "connections", CASES["connections", "exhausted"][2]),
        ("takes_too_long", "env_rebuild", CASES["env_rebuild", "rebuilds"][2]),
    ],
)
def test_a_symptom_leads_to_the_line_that_names_its_cause(symptom: str, cause: str, change: Change) -> None:
    """Given a cause, then the symptom that people see names that line, for programs and in the table."""
    world = AuditWorld()
    change(world)
    audit = world.audit()
    found = next(item for item in audit["symptoms"] if item["id"] == symptom)
    assert cause in found["causes"]
    shown = " ".join(" ".join(audit["text"]).split())
    assert f"- {found['title']}: see " in shown


def test_the_page_says_every_line_state_and_symptom() -> None:
    """Given the definitions, then the page has a row for each line with its states, and one for each symptom."""
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == len(LINES) + len(SYMPTOMS) + 2
    for line in LINES:
        cells = [
            ", ".join(f"`{name}`" for name, state in line.states.items() if state.status == status)
            for status in STATUSES
        ]
        assert f"| `{line.id}` | {line.title} | {' | '.join(cells)} |" in rows
    for symptom in SYMPTOMS:
        assert set(symptom.lines) <= set(BY_ID)
        assert f"| {symptom.title} | {symptom.heading} | {', '.join(f'`{name}`' for name in symptom.lines)} |" in rows


def test_the_page_turns_the_gravest_status_into_an_exit_code() -> None:
    """Given the one-liner of the page, then it knows every status by its name, and a graver one is a higher code."""
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    (table,) = set(re.findall(r"\{[^{}]+\}(?=\[\.worst\])", page))
    codes = json.loads(table)
    assert tuple(codes) == STATUSES and list(codes.values()) == [0, 1, 2]
    assert AuditWorld().audit()["worst"] in codes


def test_the_gravest_cause_comes_first() -> None:
    """Given a WARN and a FAILED cause, then the FAILED one is named first, in the symptom and in the message."""
    world = AuditWorld()
    _used(80)(world)
    CASES["health_check", "off"][2](world)
    audit = world.audit()
    assert next(s for s in audit["symptoms"] if s["id"] == "takes_too_long")["causes"] == [
        "health_check",
        "connections",
    ]
    assert audit["failure"].index("FAILED Health check") < audit["failure"].index("WARN Connections")


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_the_table_fits_into_80_columns(name: str) -> None:
    """Given any line that is not OK, then what Ansible puts around it still leaves all within 80 columns."""
    for (line, _), (_, _, change) in CASES.items():
        if line == name:
            world = AuditWorld()
            change(world)
            text = world.audit()["text"]
            assert max(len(item.replace("'", "''")) for item in text) <= 72 + 2
            assert all(item.startswith(" ") for item in text), "the quotes would come and go"
            assert sum(item.startswith((" OK", " WARN", " FAILED")) for item in text) == len(LINES)


def test_a_suspended_compute_is_listed_before_anybody_connects() -> None:
    """Given a suspended compute, then the first look says so; woken, its connections count as usual."""
    world = AuditWorld()
    world.main["endpoints"][0]["current_state"] = "idle"
    audit = world.audit()
    assert audit["look"] == {"branch_id": MAIN, "endpoint_id": "ep-main-compute-a1", "asleep": True, "disabled": False}
    assert world.line("connections")["state"] == "room"


def test_a_drill_of_the_staging_target_counts_for_the_one_that_names_it() -> None:
    """Given drills of two targets, then the one of the named staging target counts, the newest of them."""
    world = AuditWorld()
    world.drills = [
        {"target": "staging", "at": "2024-11-01T00:00:00Z", "ok": True},
        {"target": "staging", "at": "2025-01-12T15:00:00Z", "ok": False},
        {"target": "elsewhere", "at": "2025-01-13T00:00:00Z", "ok": True},
    ]
    line = world.line("last_drill")
    assert line["state"] == "unnamed"
    assert "Set rewind_drill_target of tracker" in line["what_to_do"], "it says what is to be set, and where"
    world.request["drill_target"] = "shop_staging"
    line = world.line("last_drill")
    assert line["state"] == "never" and "playbooks/drill.yml -e target=shop_staging" in line["what_to_do"]
    world.request["drill_target"] = "staging"
    assert world.line("last_drill")["state"] == "failed"
    world.drills.append({"target": "staging", "at": "2025-01-13T00:00:00Z", "ok": True})
    assert world.line("last_drill")["state"] == "recent"


def test_a_use_that_proves_the_token_must_be_recent_and_have_deployed() -> None:
    """Given no drill, then a proven repoint proves the token, a restore in place or an old one does not."""
    world = AuditWorld()
    world.drills = []
    world.abilities.update(write="unproven", deploy="unproven")
    _cut_over("in_place", MAIN, MAIN)(world)
    assert world.line("coolify_token_writes")["state"] == UNKNOWN
    world.catalogue.append(cutover("2024-01-12T09:00:00Z", "repoint", MAIN, MAIN))
    assert world.line("coolify_token_writes")["state"] == UNKNOWN
    world.catalogue.append(cutover("2025-01-12T10:00:00Z", "repoint", MAIN, MAIN))
    assert "the cutover of 2025-01-12T10:00:00Z" in world.line("coolify_token_writes")["found"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda world: world.branches[1].update(name="backup-20250113-100000"), "holds 2025-01-13T12:00:00Z"),
        (
            lambda world: world.branches[1].update(parent_timestamp="2025-01-13T12:00:05Z"),
            "its record says 2025-01-13T12:00:00Z",
        ),
        (
            lambda world: world.add_backup(
                "br-backup-b2", "backup-20250113-130000", "2025-01-13T13:00:00Z", "0/1000000"
            ),
            "backup-20250113-130000 is of a later instant than backup-20250113-120000 and of an earlier LSN",
        ),
    ],
    ids=["its name", "its record", "the order of the log"],
)
def test_a_backup_that_holds_another_instant_than_it_says_is_found(change: Change, found: str) -> None:
    """Given a name, a record or an order of LSNs that contradicts the branch, then the line says which."""
    world = AuditWorld()
    change(world)
    line = world.line("backup_lsn")
    assert line["status"] == "FAILED" and found in line["found"]


def test_how_to_get_into_a_backup_is_said() -> None:
    """Given a parent that is protected, an allow list and an archived branch, then each is said with the backup."""
    world = AuditWorld()
    assert "new passwords where main was protected then" in world.line("backup_reachable")["found"]
    world.main["protected"] = False
    world.project["allowed_ips"] = ["192.0.2.1"]
    world.branches[1]["current_state"] = "archived"
    found = world.line("backup_reachable")["found"]
    assert "the passwords of main; only from the addresses of the allow list; archived" in found
    world.project["protected_branches_only"] = True
    assert "allow list" not in world.line("backup_reachable")["found"], "a branch that is not protected is open"


def test_an_undo_is_advised_only_for_what_it_takes_back() -> None:
    """Given runs that never ended, then undo.yml is named for restores, promotions and drills alone."""
    for verb, undone in (
        ("restore", True),
        ("promote", True),
        ("drill", True),
        ("incident", False),
        ("cleanup", False),
    ):
        world = AuditWorld()
        run = f"20250113T140000Z-{verb}-0a1b2c"
        world.journals.append({"id": run, "target": "tracker", "verb": verb, "status": "running", "steps": {}})
        advice = world.line("unfinished_runs")["what_to_do"]
        assert "run it again with the same inputs" in advice
        assert (f"playbooks/undo.yml -e run={run}" in advice) is undone, verb


def test_only_a_deployment_that_built_says_how_long_a_build_takes() -> None:
    """Given restarts and deployments without a build, then none of them is the last build."""
    world = AuditWorld()
    _build("finished", "2025-01-11T10:00:00Z", "2025-01-11T10:50:00Z", build_skipped=None)(world)
    _build("failed", "2025-01-11T09:00:00Z", "2025-01-11T09:01:00Z", restart_only=True)(world)
    assert "last build" not in world.line("last_deployment")["found"]
    _build("finished", "2025-01-10T10:00:00Z", "2025-01-10T10:02:00Z", build_skipped=False)(world)
    line = world.line("last_deployment")
    assert (line["status"], line["state"]) == ("OK", "quick") and "the last build finished in 2 min" in line["found"]


KEPT: dict[str, tuple[str, Change]] = {
    "the last verified one": (
        "newest verified",
        lambda world: world.backups[0].update(keep_until="2025-01-13T13:00:00Z"),
    ),
    "for good": (
        "made to be kept",
        _all(_old_backup(), lambda world: world.catalogue.append({"event": "made", "branch_id": OLD, "keep": True})),
    ),
    "pinned": (
        "pinned: the audit",
        _all(
            _old_backup(),
            lambda world: world.catalogue.append({"event": "pinned", "branch_id": OLD, "reason": "the audit"}),
        ),
    ),
    "in use": (
        "application reports (DATABASE_URL) points to it",
        _all(
            _old_backup(compute=COMPUTE),
            lambda world: world.consumers.append(
                {"host": host_of(COMPUTE)[0], "name": "reports", "uuid": "a2", "key": "DATABASE_URL"}
            ),
        ),
    ),
    "of the application itself": (
        "the application points to it",
        _all(
            _old_backup(compute=COMPUTE),
            lambda world: world.application["environment"].append(env_row("OTHER_URL", host_of(COMPUTE)[0])),
        ),
    ),
    "not yet old": ("", _set("request", retention_days=30)),
    "keep_last": ("one of the last 2", _all(_old_backup(), _set("request", keep_last=2))),
    "keep_daily": ("the daily backup of", _all(_old_backup(), _set("request", keep_daily=2))),
    "keep_weekly": ("the weekly backup of", _all(_old_backup(), _set("request", keep_weekly=2))),
    "keep_monthly": ("the monthly backup of", _all(_old_backup(), _set("request", keep_monthly=12))),
    "min_verified": (
        "verified backup 2 of 2",
        _all(
            _old_backup(),
            lambda world: world.catalogue.append({"event": "verified", "branch_id": OLD}),
            _set("request", min_verified=2),
        ),
    ),
    "no newer is verified": (
        "no newer backup is verified",
        _all(_old_backup(), lambda world: world.backups[0].update(verified=False)),
    ),
    "of no target": (
        "nothing says whether it is tracker's or that of shop",
        _all(
            _old_backup(annotations={"tool": "rewind.database", "purpose": "backup"}),
            _set("request", other_targets=["shop"]),
        ),
    ),
    "of a run that never ended": (
        "undo.yml -e run=",
        _all(
            _old_backup(),
            lambda world: world.journals.append(
                {"id": "20250113T140000Z-restore-0a1b2c", "verb": "restore", "inputs": {"branch": OLD}}
            ),
        ),
    ),
    "with what cannot be read": (
        "cannot be read",
        _all(
            _old_backup(compute=COMPUTE),
            lambda world: world.branches[-1]["endpoints"][0].update(current_state="idle"),
            lambda world: world.unreadable.append({"kind": "application", "uuid": "a2", "name": "shop"}),
        ),
    ),
    "by hand and protected": ("", _old_backup(ours=False, protected=True)),
    "by hand and with a day of its own": ("", _old_backup(ours=False, expires_at="2025-01-20T00:00:00Z")),
    "by hand and a parent": (
        "",
        _all(
            _old_backup(ours=False),
            lambda world: world.branches.append(branch("br-child-c1", "child", parent_id=OLD)),
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_what_a_cleanup_keeps_is_not_past_its_date(name: str) -> None:
    """Given what keeps an old backup in a cleanup, then the line asks nobody to run one, and says what keeps it."""
    why, change = KEPT[name]
    world = AuditWorld()
    change(world)
    line = world.line("backups_past_retention")
    assert (line["state"], line["status"]) == ("none", "OK"), line
    assert why in line["found"] and (bool(why) is ("kept past their date" in line["found"]))


def test_what_is_past_its_date_is_what_a_cleanup_deletes() -> None:
    """Given old backups of every kind, then exactly those are named that the plan of a cleanup deletes."""
    world = AuditWorld()
    _old_backup()(world)
    for number, notes in enumerate(({"purpose": "predeploy"}, {"keep_until": "for good"}, {"target": "shop"})):
        annotations = {"tool": "rewind.database", "purpose": "backup", "target": "tracker", **notes}
        at = f"2024-12-0{number + 1}T12:00:00Z"
        made = {"parent_id": MAIN, "created_at": at, "parent_timestamp": at, "annotations": annotations}
        world.branches.append(branch(f"br-more-{number}", f"backup-2024120{number + 1}-120000", **made))
    _old_backup(ours=False)(world)
    world.branches[-1].update(id="br-hand-h1", name="backup-20241231-120000")
    consumers = [{**world.row["connection"], "name": "tracker", "key": "DATABASE_URL"}]
    plan = call_module(
        "cleanup_plan",
        {
            "project": world.project,
            "branches": world.branches,
            "consumers": consumers,
            "backups": world.backups,
            "request": {"target": "tracker", "now": world.request["now"]},
        },
    )["plan"]
    found = world.line("backups_past_retention")["found"]
    deleted = [item["name"] for item in plan["delete"]]
    assert deleted == ["backup-20241201-120000", "backup-20241230-120000"]
    assert found.startswith("2 of 5: backup-20241201-120000 (")
    told, _, by_hand = found.partition("; made by hand: ")
    assert re.findall(r"backup-[\d-]+\d", told) == deleted and by_hand == "backup-20241231-120000"


def test_consumers_that_were_named_do_not_count() -> None:
    """Given another application on the primary that was named, then the line is OK."""
    world = AuditWorld()
    _consumer(world)
    world.request["ignore_consumers"] = ["reports"]
    assert world.line("consumers")["state"] == "alone"


def test_the_limits_that_neon_does_not_show_can_be_given() -> None:
    """Given a key that does not see the plan, then slots are judged by the limits that were given."""
    world = AuditWorld()
    world.project.update(plan=None, limits={})
    world.request["slots"] = {"branches": 10, "root_branches": 3, "protected_branches": 2, "manual_snapshots": 1}
    for name in ("branch_slots", "root_slots", "protected_slots", "snapshot_slots"):
        assert world.line(name)["status"] == "OK", name


def test_names_cannot_draw_lines_of_their_own() -> None:
    """Given a branch whose name holds control characters and braces, then the table shows one line for it."""
    world = AuditWorld()
    world.main["name"] = "ma\x1b[31m\nin {compute}"
    world.main["protected"] = False
    text = world.audit()["text"]
    assert not any("\x1b" in line or "\n" in line for line in text)
    assert "{compute}" in world.line("protection")["what_to_do"]


def test_what_cannot_be_understood_is_refused() -> None:
    """Given a present instant without a zone, then the task fails and says so."""
    result = call_module("audit_lines", {"facts": {}, "request": {"target": "t", "now": "2025-01-13 15:00:00"}})
    assert result["failed"] and "no time zone" in result["msg"]


def test_every_fact_is_an_option(both_ways: BothWays) -> None:
    """Given a world, when it is judged in the controller's process and as a module, then the results are equal."""
    world = AuditWorld()
    assert set(world.facts()) == set(FACTS)
    result = both_ways.same("audit_lines", {"facts": world.facts(), "request": world.request})
    assert result["audit"]["worst"] == "OK"
