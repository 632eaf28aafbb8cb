# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over many targets: each has its turn and its line, whatever becomes of the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._lock import Locks
from ansible_collections.rewind.database.plugins.module_utils._process import describe

from tests.support.fleets import LIMITS, drilled, fleet_report, make_fleet, most_in_a_minute
from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control
from tests.support.targets import Target, Targets, instant, text_of, without_probes

OTHER_RUN = "20250113T142500Z-restore-0a1b2c"


@pytest.fixture(scope="module")
def fleet(targets: Targets) -> dict[str, Target]:
    """Three targets that work, two of them on one database, and one whose project does not exist."""
    tracker, migrator = targets.given(), targets.given("migrator")
    add = targets.playbooks.add_host
    add("lost", rewind_sandbox_target={**tracker.facts, "neon_project_id": "gone-river-00000000"})
    add("first", rewind_sandbox_target=tracker.facts)
    add("second", rewind_sandbox_target=tracker.facts)
    add("other", rewind_sandbox_target=migrator.facts)
    return {"first": tracker, "second": tracker, "other": migrator}


@contextmanager
def locked(playbooks: Playbooks, *names: str) -> Iterator[None]:
    """Another run, of this process, is at work."""
    locks = Locks(playbooks.state, describe(os.getpid()))
    locks.take(names, OTHER_RUN, "elsewhere")
    try:
        yield
    finally:
        locks.release(OTHER_RUN)


def table(played: Played) -> list[str]:
    """The lines of the report over all targets, as they were printed."""
    lines = played.stdout.partition("Report | All targets")[2].partition("\nTASK [")[0].splitlines()[1:]
    assert max(map(len, lines)) <= 80, [line for line in lines if len(line) > 80]
    return lines


def span(playbooks: Playbooks, target: str) -> tuple[datetime, datetime]:
    """From when to when the newest run of a target was at work, by its journal."""
    path = sorted((playbooks.state / "journal" / target).glob("*.jsonl"))[-1]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return datetime.fromisoformat(lines[0]["at"]), datetime.fromisoformat(lines[-1]["at"])


def backups(target: Target) -> set[str]:
    return {name for name in target.branches() if name.startswith("backup-")}


def test_each_target_has_its_turn_and_its_line_whatever_becomes_of_the_others(
    playbooks: Playbooks, control: Control, fleet: dict[str, Target]
) -> None:
    """Given two on one project, one that fails and one that another run works on, then two backups are made in turn,
    the locked one is left alone and named, and only the one that failed fails the run."""
    tracker, other = fleet["first"], fleet["other"]
    before, since = backups(other), control.last_request()
    with locked(playbooks, f"neon:{other.project}"):
        played = playbooks.backup(target="lost,first,second,other", reason="nightly").failed()
    assert {host: counts["failed"] for host, counts in played.recap.items() if counts["failed"]} == {"lost": 1}
    assert "gone-river-00000000" in played.message_of("lost")
    assert f"other is skipped: Run {OTHER_RUN} holds neon:{other.project}" in played.text
    assert other.project not in str([r["path"] for r in control.requests(since)]), "it was not even looked at"
    assert backups(other) == before

    assert len(backups(tracker)) == 2
    (first, second) = sorted(span(playbooks, name) for name in ("first", "second"))
    assert first[1] <= second[0], "one after the other"
    assert not list((playbooks.state / "locks").glob("*.lock"))

    found = fleet_report(playbooks, "backup")
    assert list(found) == ["lost", "first", "second", "other"]
    assert [row["outcome"] for row in found.values()] == ["FAILED", "OK", "OK", "skipped"]
    assert {found["first"]["message"], found["second"]["message"]} <= backups(tracker)
    shown = table(played)
    assert any("4 targets: 2 OK, 1 FAILED, 1 skipped" in line for line in shown)
    assert any("--limit lost,other" in line for line in shown)
    assert "Traceback" not in played.text and "WARNING" not in played.text


def test_when_a_canary_fails_the_others_are_not_started(
    playbooks: Playbooks, control: Control, targets: Targets, fleet: dict[str, Target]
) -> None:
    """Given batches of one and then all, then nothing is sent for the second batch, and its line says why."""
    since = control.last_request()
    played = playbooks.backup(target="lost,first,other", reason="canary", batches="1,100%").failed()
    assert without_probes(targets.writes(since)) == []
    found = fleet_report(playbooks, "backup")
    assert [row["outcome"] for row in found.values()] == ["FAILED", "not started", "not started"]
    assert found["other"]["message"] == "lost failed in an earlier batch."
    assert any("--limit lost,first,other" in line for line in table(played))

    wrong = playbooks.backup(target="first,other", batches="few")
    assert wrong.returncode != 0 and 'batches: "few" is no number of targets' in wrong.text


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        (None, ["FAILED", "OK", "OK"]),
        pytest.param("1,100%", ["FAILED", "not started", "not started"], marks=pytest.mark.long),
        pytest.param("2,100%", ["FAILED", "OK", "not started"], marks=pytest.mark.long),
    ],
)
def test_one_that_is_out_before_its_turn_keeps_no_other(
    playbooks: Playbooks, fleet: dict[str, Target], batches: str | None, expected: list[str]
) -> None:
    """Given a target that cannot be recovered, named first, then the others of its batch have their turn; it stops the
    batches after its own only."""
    why = "Its string comes from a shared variable."
    playbooks.add_host(
        "aside", rewind_sandbox_target=fleet["first"].facts, rewind_supported=False, rewind_unsupported_reason=why
    )
    said = {} if batches is None else {"batches": batches}
    shown = table(playbooks.backup("--check", target="aside,first,other", reason="nightly", **said).failed())
    assert "shared variable" in " ".join(shown), "the reason stands in the report, and not in the console alone"
    found = [next(line for line in shown if f"{name}  " in line) for name in ("aside", "first", "other")]
    outcomes = [next(word for word in ("FAILED", "OK", "not started") if f" {word} " in line) for line in found]
    assert outcomes == expected


@pytest.mark.long
def test_a_limit_is_kept_to_and_one_target_alone_needs_no_table(playbooks: Playbooks, fleet: dict[str, Target]) -> None:
    """Given --limit, then only those run; a single one has its own output; of none, nothing passes for success."""
    folder = playbooks.state / "reports" / "fleet"
    files = set(folder.glob("*"))
    played = playbooks.backup("--limit", "other", "--check", target="first,other", reason="one").ok()
    assert "outcome" not in played.stdout and "would be made" in played.text
    assert set(played.recap) == {"other"}
    assert set(folder.glob("*")) == files
    none = playbooks.backup("--limit", "migrator", target="first,other")
    assert none.returncode != 0 and "--limit names none of" in none.text


@pytest.mark.long
def test_a_single_target_that_is_locked_fails_as_ever_and_several_may_be_told_to(
    playbooks: Playbooks, fleet: dict[str, Target]
) -> None:
    """Given a lock, then one target alone fails; of several, a locked one fails where locked=fail says so."""
    other = fleet["other"]
    with locked(playbooks, f"neon:{other.project}"):
        alone = playbooks.backup(target="other").failed()
        assert OTHER_RUN in alone.message and "still running" in alone.message
        several = playbooks.backup(target="lost,other", reason="x", locked="fail").failed()
    assert [row["outcome"] for row in fleet_report(playbooks, "backup").values()] == ["FAILED", "FAILED"]
    assert OTHER_RUN in several.message_of("other")


@pytest.mark.long
def test_a_cutover_that_fails_holds_up_nobody(playbooks: Playbooks, targets: Targets) -> None:
    """Given two restores to an instant at which one application lacked a table, then that one alone is taken back."""
    made = [targets.make(f"side{number}") for number in range(2)]
    made[0].say("good side0")
    with made[1].connect() as connection:
        connection.execute('ALTER TABLE "Objective" RENAME TO "ObjectiveAside"')
        point = text_of(instant())
        connection.execute('ALTER TABLE "ObjectiveAside" RENAME TO "Objective"')
    for target in made:
        target.say("bad")
    # Checks that do not look at the table that the application needs.
    checks = [{"kind": "rows", "table": '"User"', "min": 1}]
    playbooks.add_host("side1", rewind_sandbox_target=made[1].facts, rewind_checks=checks)
    targets.control.call("PATCH", f"/applications/{made[1].application}", {"health_check_retries": 4})
    played = playbooks.restore(target="side0,side1", point_in_time=point, cutover="repoint").failed()
    found = fleet_report(playbooks, "restore")
    assert [row["outcome"] for row in found.values()] == ["OK", "FAILED"], found
    assert "repoint" in found["side0"]["message"]
    assert (made[0].served(), made[1].served()) == ("good side0", "bad")
    assert "was taken back: the application serves main again" in played.message_of("side1")
    assert {host: counts["failed"] for host, counts in played.recap.items() if counts["failed"]} == {"side1": 1}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_targets_are_backed_up_audited_and_ten_of_them_restored(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given 50 targets at forks 10, of which one has no project and one fails its checks, then all others succeed, each
    has its line, and neither API ever refuses a request."""
    fleet = make_fleet(targets, 50, lost=48, unsound=49)
    point = text_of(max(target.say(f"good {name}") for name, target in fleet.targets.items()))
    for target in fleet.targets.values():
        target.say("bad")
    limits: dict[str, Any] = {"rewind_coolify_requests_per_minute": 1200, "rewind_neon_requests_per_minute": 700}

    def run(verb: str, names: list[str], **variables: Any) -> dict[str, dict[str, Any]]:
        control.settings(**{**LIMITS, "coolify__rate_limit_per_minute": 1200})
        since = control.last_request()
        played = playbooks.play(
            f"playbooks/{verb}.yml", "--forks", "10", target=",".join(names), **limits, **variables
        ).failed()
        found = fleet_report(playbooks, verb)
        assert list(found) == names and len(table(played)) > len(names)
        wrong = {name: row["message"] for name, row in found.items() if row["outcome"] != "OK"}
        assert wrong.keys() == {fleet.lost, fleet.unsound}, wrong
        assert "gone-river-00000000" in wrong[fleet.lost] or verb == "audit"
        assert wrong[fleet.lost] != wrong[fleet.unsound]
        requests = control.requests(since)
        assert [r["path"] for r in requests if r["status"] == 429] == []
        assert most_in_a_minute(requests, "coolify", 59.0) <= 1200
        assert most_in_a_minute(requests, "neon", 59.0) <= 700
        # The run may have used up what a minute allows; looking at what it made is the test's own.
        control.settings(neon__requests_per_minute=100_000, neon__burst_per_second=100_000)
        return found

    run("backup", fleet.names, reason="nightly")
    assert all(len(backups(fleet.targets[name])) == 1 for name in fleet.sound)
    drilled(playbooks, fleet.names)
    run("audit", fleet.names)
    restored = fleet.names[-10:]
    run("restore", restored, point_in_time=point, cutover="repoint")
    served = {name: fleet.targets[name].served() for name in restored}
    bad = {fleet.lost: "bad", fleet.unsound: "bad"}
    assert served == {**{name: f"good {name}" for name in restored}, **bad}
