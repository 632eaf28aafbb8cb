# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets that are not as simple as the first one: several rows and applications, protection, expiry, suspension."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.playbooks import Playbooks
from tests.support.sandbox import Control, wait_for
from tests.support.targets import Target, Targets, instant, text_of, without_probes


def _pooled(host: str) -> bool:
    return "-pooler." in host


def _direct(host: str) -> str:
    return host.replace("-pooler.", ".")


@pytest.fixture(scope="module")
def shared(targets: Targets) -> tuple[Target, Target]:
    """A target with a pooled and a direct row, and a second application that uses the same primary."""
    first = targets.make("shop", pooled_row=True)
    made = targets.application("reports", {"REPORTS_URL": first.string("DIRECT_URL"), "DATABASE_URL": first.string()})
    second = Target("reports", {**first.facts, **made}, first.sandbox)
    return first, second


@pytest.mark.long
def test_other_consumers_of_the_primary_stop_the_run_until_each_is_named(
    playbooks: Playbooks, control: Control, targets: Targets, shared: tuple[Target, Target]
) -> None:
    """Given two rows and a second application, the run names it; named in also_repoint it moves with all its rows."""
    first, second = shared
    at = first.say("both")
    first.say("later")
    since = control.last_request()
    played = playbooks.restore(target="shop", point_in_time=text_of(at), cutover="repoint").failed()
    assert "The primary is also used by:" in played.message
    assert "application reports (REPORTS_URL)" in played.message
    assert "also_repoint" in played.message and "ignore_consumers" in played.message
    assert without_probes(targets.writes(since)) == []

    options = {"target": "shop", "point_in_time": text_of(at), "cutover": "repoint", "also_repoint": ["reports"]}
    playbooks.restore(**options).ok()
    moved = {_direct(first.host(key)) for key in ("DATABASE_URL", "DIRECT_URL")}
    moved |= {_direct(second.host(key)) for key in ("DATABASE_URL", "REPORTS_URL")}
    assert len(moved) == 1, "every row leads to the new primary"
    assert _pooled(first.host()) and not _pooled(first.host("DIRECT_URL")), "pooled stays pooled, direct direct"
    assert _pooled(second.host()) and not _pooled(second.host("REPORTS_URL"))
    assert first.served() == second.served() == first.stored() == "both"
    assert first.environ()["DIRECT_URL"] == first.string("DIRECT_URL")
    assert second.environ()["REPORTS_URL"] == second.string("REPORTS_URL")


@pytest.mark.long
def test_a_consumer_that_is_to_be_ignored_stays_where_it_is(
    playbooks: Playbooks, shared: tuple[Target, Target]
) -> None:
    """Given ignore_consumers, the other application is neither touched nor deployed, and can still read the old data.

    It cannot write it: what it wrote would be on no branch that anybody restores from.
    """
    first, second = shared
    at = first.say("only the first")
    first.say("later still")
    rows, status, count = second.rows(), second.status(), len(second.deployments())
    assert status["text"] == "later still", "both use one database"
    options = {"target": "shop", "point_in_time": text_of(at), "cutover": "repoint", "ignore_consumers": ["reports"]}
    playbooks.restore(**options).ok()
    assert first.served() == first.stored() == "only the first"
    assert second.rows() == rows
    assert len(second.deployments()) == count
    assert _direct(first.host()) != _direct(second.host())
    after = second.status()
    assert (after["pid"], after["text"]) == (status["pid"], "later still")
    assert second.web.post("/api/status", json={"text": "too late"}).status_code == 503
    assert second.stored() == "later still"


def test_a_protected_primary_is_unprotected_only_when_allowed_and_protected_again(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a protected root, in_place needs allow_unprotect=true; afterwards it is protected as before."""
    target = targets.make("vault")
    primary = target.primary()
    target.change_branch(primary["id"], protected=True)
    at = target.say("protected")
    target.say("later")
    since = control.last_request()
    options = {"target": "vault", "point_in_time": text_of(at), "cutover": "in_place"}
    played = playbooks.restore(**options).failed()
    assert "The primary main is protected" in played.message
    assert "allow_unprotect=true" in played.message
    assert without_probes(targets.writes(since)) == []
    assert target.primary()["protected"] is True

    playbooks.restore(**options, allow_unprotect=True).ok()
    assert target.served() == target.stored() == "protected"
    after = target.primary()
    assert (after["id"], after["protected"]) == (primary["id"], True)


def test_the_latest_backup_is_restored_from_although_it_expires_and_the_primary_sleeps(
    playbooks: Playbooks, control: Control, targets: Targets
) -> None:
    """Given a suspended primary and a backup with an expiry: a check wakes nothing; the restore clears it first."""
    # Its health is looked at once, for a look asks the database and so wakes it.
    target = targets.make("sleeper", health_check_interval=3600)
    target.say("in the backup")
    playbooks.backup(target="sleeper", reason="before the night").ok()
    name = next(key for key in target.branches() if key.startswith("backup-"))
    backup = target.branches()[name]
    expires = datetime.fromisoformat(backup["expires_at"])
    assert timedelta(days=8) < expires - datetime.now(UTC) < timedelta(days=30)
    target.say("after the backup")
    primary = target.primary()
    compute = target.endpoints(primary["id"])[0]["id"]
    assert target.neon.post(f"/projects/{target.project}/endpoints/{compute}/suspend").is_success

    def sleeping() -> bool:
        return str(target.endpoints(primary["id"])[0]["current_state"]) == "idle"

    wait_for(sleeping, seconds=30, what="the suspended compute")
    options = {"target": "sleeper", "backup": "latest", "cutover": "repoint"}
    since = control.last_request()
    checked = playbooks.restore("--check", "--diff", **options).ok()
    assert targets.writes(since) == []
    assert sleeping(), "a check wakes no compute"
    assert name in checked.text
    assert f"Reading would wake: {compute} of main" in checked.text

    since = control.last_request()
    playbooks.restore(**options).ok()
    assert target.served() == target.stored() == "in the backup"
    assert target.primary()["parent_id"] == backup["id"]
    assert target.branches()[name].get("expires_at") is None
    writes = [r for r in control.requests(since, "neon") if r["method"] in ("POST", "PATCH")]
    cleared = next(i for i, r in enumerate(writes) if r["path"].endswith(backup["id"]))
    made = next(i for i, r in enumerate(writes) if r["path"].endswith("/branches"))
    assert cleared < made, "the expiry is cleared before the backup becomes a parent"


@pytest.mark.long
def test_an_instant_can_be_restored_to_by_a_relative_time(playbooks: Playbooks, targets: Targets) -> None:
    """Given "-1s" after a quiet second, the check resolves it once and shows it in UTC."""
    at = instant()
    played = playbooks.restore("--check", point_in_time="-1s").ok()
    shown = played.text.partition("restore point: ")[2].split(" ")[0]
    resolved = datetime.fromisoformat(shown)
    assert at - timedelta(seconds=2) < resolved < datetime.now(UTC)
