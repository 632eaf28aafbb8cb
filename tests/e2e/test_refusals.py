# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals: each says what to do, and comes before anything was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control, SandboxProcess
from tests.support.targets import PROBE, Target, Targets, differences, instant, text_of, without_probes

WRONG_NEON = "napi_wrong0wrong0wrong0wrong0wrong0wrong0wrong0wrong0wrong0wrong00"
WRONG_COOLIFY = "99|wrong1WRONG2wrong3WRONG4wrong5WRONG6wrong7WRONG"


@pytest.fixture(scope="module")
def target(targets: Targets) -> Target:
    """The sandbox's tracker: nothing is wrong with it."""
    return targets.given()


Refuse = Callable[..., Played]


@pytest.fixture
def refused(playbooks: Playbooks, control: Control, targets: Targets, target: Target) -> Refuse:
    """Runs a restore that must be refused, and asserts that nothing was written; `probes`: abilities may be proven."""

    def run(*options: str, probes: bool = True, **variables: Any) -> Played:
        since, before = control.last_request(), target.everything()
        played = playbooks.restore(*options, **variables).failed()
        writes = targets.writes(since)
        assert (without_probes(writes) if probes else writes) == []
        assert differences(before, target.everything()) == []
        assert not list((playbooks.state / "locks").glob("*.lock")), "no lock is left"
        return played

    return run


@pytest.mark.parametrize(
    ("point", "says", "advice"),
    [
        ("2025-01-13 14:25:00", "zone", "UTC"),
        ("2999-01-13T14:25:00Z", "lies in the future", "name an instant that has passed"),
        ("2025-01-13T14:25:00Z", "did not exist yet", "Name a later instant"),
    ],
    ids=["naive", "future", "before the branch"],
)
def test_an_instant_that_cannot_be_restored_to_is_refused(refused: Refuse, point: str, says: str, advice: str) -> None:
    """A time without a zone is never guessed; the future and the time before all data are said to be that."""
    played = refused("-vvvv", "--diff", point_in_time=point)
    assert says in played.message
    assert advice in played.message


def test_no_restore_point_and_two_of_them_are_refused(refused: Refuse) -> None:
    """Exactly one of the three says what to restore to."""
    assert "none is given" in refused().message
    played = refused(point_in_time=text_of(instant()), backup="latest")
    assert "point_in_time and backup are given" in played.message
    assert "Known backups, newest first" not in played.message


def test_an_unknown_backup_is_refused_with_those_that_there_are(refused: Refuse) -> None:
    """Also the latest of none."""
    played = refused(backup="backup-20250113-143000")
    assert "The backup backup-20250113-143000 cannot be used: there is none of that name" in played.message
    assert "give a point_in_time" in played.message
    assert "There is no backup to restore from" in refused(backup="latest").message


def test_a_wrong_token_is_refused_by_the_service_that_it_is_for(
    playbooks: Playbooks, target: Target, refused: Refuse
) -> None:
    """The message names each such service and where a token comes from; the token stands nowhere."""
    playbooks.secrets |= {WRONG_NEON, WRONG_COOLIFY.partition("|")[2]}
    # Not by -e: Ansible itself echoes its command line at -vvvv.
    playbooks.add_host("stranger-to-neon", rewind_sandbox_target=target.facts, rewind_neon_api_key=WRONG_NEON)
    known = {"rewind_sandbox_target": target.facts, "rewind_coolify_access_token": WRONG_COOLIFY}
    playbooks.add_host("stranger-to-coolify", **known)
    at = text_of(instant())
    played = refused("-vvvv", "--diff", point_in_time=at, target="stranger-to-neon")
    assert "401" in played.message
    assert "NEON_API_KEY" in played.message
    played = refused("-vvvv", "--diff", point_in_time=at, target="stranger-to-coolify")
    assert "401" in played.message
    assert "COOLIFY_ACCESS_TOKEN" in played.message
    playbooks.add_host("stranger-to-both", **known, rewind_neon_api_key=WRONG_NEON)
    played = refused("-vvvv", "--diff", point_in_time=at, target="stranger-to-both")
    assert ("NEON_API_KEY" in played.message, "COOLIFY_ACCESS_TOKEN" in played.message) == (True, True), played.message


@pytest.mark.parametrize("lacks", ["read", "read:sensitive", "write", "deploy"])
def test_a_token_without_an_ability_is_refused_before_anything_is_written(
    playbooks: Playbooks, control: Control, target: Target, refused: Refuse, lacks: str
) -> None:
    """Reading is proven by GET, writing and deploying by requests about things that do not exist."""
    abilities = [name for name in ("read", "read:sensitive", "write", "deploy") if name != lacks]
    made = control.call("POST", "/tokens", {"service": "coolify", "abilities": abilities})["token"]
    playbooks.secrets.add(made.partition("|")[2])
    playbooks.add_host("lacking", rewind_sandbox_target=target.facts, rewind_coolify_access_token=made)
    played = refused(point_in_time=text_of(instant()), cutover="repoint", target="lacking")
    assert lacks in played.message
    assert "token" in played.message
    if lacks in ("write", "deploy"):
        assert f"lacks the ability {lacks}" in played.message
        assert "Make a token with read, read:sensitive, write and deploy" in played.message


@dataclass(frozen=True)
class Flawed:
    """A target with something wrong in its world, and what the refusal must say."""

    name: str
    says: str
    advice: str


FLAWED = (
    Flawed("full", "The project has 10 of 10 branches", "Delete branches that are no longer needed"),
    Flawed("locked", "The row DATABASE_URL is locked", "create it again unlocked"),
    Flawed("doubled", "more than one of the rows DATABASE_URL", "Delete all rows DATABASE_URL but the right one"),
    Flawed("split", "The row PGHOST of the application names the primary's host", "or use cutover=in_place"),
    Flawed("unchecked", "has no health check", "Enable a health check that queries the database"),
    Flawed("slid", "lies before the history window", "Choose a later point, or restore from a backup"),
)


def _flaw(targets: Targets, control: Control, name: str) -> Target:
    plan = "free" if name == "full" else None
    if name == "slid":
        control.call("POST", "/clock", {"offset_seconds": -7200})
    made = targets.make(name, plan=plan, rows=40, history=3600 if name == "slid" else None)
    control.call("POST", "/clock", {"offset_seconds": 0})
    if name == "full":
        for number in range(9):
            made.make_branch(f"somebody-{number}")
    elif name == "locked":
        row = next(item for item in made.rows() if item["key"] == "DATABASE_URL" and not item["is_preview"])
        value = row["value"]
        assert made.coolify.delete(f"/applications/{made.application}/envs/{row['uuid']}").is_success
        locked = {"key": "DATABASE_URL", "value": value, "is_shown_once": True, "is_preview": False}
        control.call("POST", f"/applications/{made.application}/envs", locked)
    elif name == "doubled":
        double = {"key": "DATABASE_URL", "value": made.string(), "is_preview": False}
        control.call("POST", f"/applications/{made.application}/envs", double)
    elif name == "split":
        row = {"key": "PGHOST", "value": made.host(), "is_preview": False}
        control.call("POST", f"/applications/{made.application}/envs", row)
    elif name == "unchecked":
        control.call("PATCH", f"/applications/{made.application}", {"health_check_enabled": False})
    return made


@pytest.fixture(scope="module")
def flawed(playbooks: Playbooks, targets: Targets) -> dict[str, Any]:
    """All flawed targets in one run, as a fleet: each is refused for its own reason."""
    control = targets.control
    made = {item.name: _flaw(targets, control, item.name) for item in FLAWED}
    for name, one in made.items():
        point = "-90m" if name == "slid" else text_of(instant())
        playbooks.add_host(name, rewind_sandbox_target=one.facts, point_in_time=point)
    since = control.last_request()
    before = {name: one.everything() for name, one in made.items()}
    played = playbooks.restore(target=",".join(made), cutover="repoint").failed()
    return {
        "played": played,
        "writes": targets.writes(since),
        "before": before,
        "after": {name: one.everything() for name, one in made.items()},
    }


@pytest.mark.parametrize("case", FLAWED, ids=lambda case: case.name)
def test_a_target_that_something_is_wrong_with_is_refused(flawed: dict[str, Any], case: Flawed) -> None:
    """No slot left, a locked row, doubled rows, a host in a row of its own, no health check, an instant too old."""
    message = flawed["played"].message_of(case.name)
    assert case.says in message
    assert case.advice in message
    assert differences(flawed["before"][case.name], flawed["after"][case.name]) == []
    assert without_probes(flawed["writes"]) == []
    assert all(PROBE in item for item in flawed["writes"])


def test_a_pattern_that_matches_no_target_is_an_error(refused: Refuse) -> None:
    """Ansible itself would report success."""
    played = refused(probes=False, point_in_time="-1m", target="trakcer")
    assert 'No host of this inventory matches "trakcer"' in played.message
    assert "tracker" in played.message.replace("trakcer", "")
    assert "-e target=" in played.message


@pytest.mark.parametrize("name", ["cutover_deadline", "verify_seconds"])
def test_a_length_of_time_that_is_no_number_is_refused_and_not_taken_for_zero(refused: Refuse, name: str) -> None:
    """Given 15m where seconds are meant, nothing begins: a deadline of zero would take the cutover back at once."""
    played = refused(probes=False, point_in_time="-1m", **{name: "15m"})
    assert "15m" in played.message and "int" in played.message


def test_a_variable_that_is_missing_is_named(playbooks: Playbooks, refused: Refuse, tmp_path: Path) -> None:
    """Given a host of which half is not written down, the message says which variable."""
    inventory = tmp_path / "hosts.yml"
    half = {"rewind_environment": "staging", "rewind_neon_project_id": "x-1", "rewind_neon_database": "x"}
    hosts = {"rewind_targets": {"hosts": {"half": half}}}
    inventory.write_text(json.dumps(hosts), encoding="utf-8")
    state = {"rewind_state_dir": str(playbooks.state)}
    played = refused(probes=False, inventory=["-i", str(inventory)], point_in_time="-1m", **state)
    assert "rewind_coolify_application" in played.message
    assert "rewind_neon_project_id" not in played.message
    assert "inventory" in played.message


def test_a_sandbox_that_does_not_run_is_said_to_be_not_running(
    playbooks: Playbooks, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    """Given no connection file, the message says how to start it."""
    where = {"REWIND_SANDBOX_CONNECTION": str(tmp_path / "connection.json"), "REWIND_SANDBOX_DIR": str(tmp_path)}
    played = playbooks.restore(environment=where, point_in_time="-1m").failed()
    assert "The sandbox is not running. Start it: bin/sandbox up" in played.text
