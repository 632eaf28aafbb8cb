# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audits: a healthy target is OK in every line, each broken one in all but its own, and nothing is ever written."""

from __future__ import annotations

import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played
from tests.support.sandbox import Control, wait_for
from tests.support.targets import Target, Targets, differences, text_of, without_probes

pytestmark = pytest.mark.long

WEEK = 7 * 86_400
WRONG_NEON = "napi_w8k3m6x1t9q4z7v2b5n0c8j3h6g1f4d9"


def _audit(playbooks: Playbooks, *options: str, **variables: Any) -> Played:
    return playbooks.play("playbooks/audit.yml", *options, **variables)


def _drilled(playbooks: Playbooks, *names: str) -> None:
    """A drill of each of these was proven two days ago: what the log of drills says, without the drill."""
    at = text_of(datetime.now(UTC) - timedelta(days=2))
    playbooks.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (playbooks.state / "drills.jsonl").open("a", encoding="utf-8") as log:
        for name in names:
            log.write(json.dumps({"at": at, "target": name, "mode": "pitr", "ok": True, "seconds": 84.2}) + "\n")


def _steady(target: Target) -> None:
    """Coolify has seen the container after its deployment."""
    wait_for(lambda: target.shown_status() == "running:healthy", seconds=60, what="a healthy status")


def _lines(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return {line["id"]: line for line in found["lines"]}


@pytest.fixture(scope="module")
def healthy(playbooks: Playbooks, targets: Targets) -> Target:
    """A target with a week of history, a verified backup and a drill."""
    made = targets.make("healthy", history=WEEK)
    playbooks.backup(target="healthy", reason="weekly").ok()
    _drilled(playbooks, "healthy")
    _steady(made)
    return made


def test_a_healthy_target_is_ok_in_every_line_and_only_read(
    playbooks: Playbooks, control: Control, targets: Targets, healthy: Target, tmp_path: Path
) -> None:
    """Given a target that lacks nothing, then every line is OK with its number; only GET was sent; all is as before."""
    before, since = healthy.everything(), control.last_request()
    played = _audit(playbooks, "-vvvv", "--diff", target="healthy", json=f"{tmp_path}/", fail_on="warn").ok()
    asked = control.requests(since)
    assert asked and {request["method"] for request in asked} == {"GET"}
    assert differences(before, healthy.everything()) == []
    assert played.changed == 0

    result = json.loads((tmp_path / "healthy.json").read_text(encoding="utf-8"))
    assert [line for line in result["lines"] if line["status"] != "OK"] == []
    assert result["worst"] == "OK" and result["summary"]["OK"] == len(result["lines"]) > 30
    found = {line["id"]: line["found"] for line in result["lines"]}
    assert found["history_window"].startswith("7 days")
    assert found["branch_slots"].startswith("2 of 5000")
    assert re.fullmatch(r"\d+ of \d+ \(\d+ %\)", found["connections"])
    assert found["newest_backup"].startswith("backup-")
    assert "the drill of" in found["coolify_token_writes"]
    assert stat.S_IMODE((tmp_path / "healthy.json").stat().st_mode) == 0o644


def test_the_table_is_shown_whole_within_80_columns_and_reported(playbooks: Playbooks, healthy: Target) -> None:
    """Given a plain terminal, then each line has its status in one column, nothing is wider, and the report has all."""
    played = _audit(playbooks, target="healthy").ok()
    table = played.stdout.partition("The lines of healthy")[2].partition("TASK [")[0].splitlines()
    shown = [line for line in table if line.startswith("    - ' OK ")]
    assert len(shown) > 30
    assert max(len(line) for line in table[1:]) <= 80
    page = sorted((playbooks.state / "reports" / "healthy").glob("*-audit-*.md"))[-1].read_text(encoding="utf-8")
    assert "## Line by line" in page and page.count("| OK |") == len(shown)
    html = sorted((playbooks.state / "reports" / "healthy").glob("*-audit-*.html"))[-1].read_text(encoding="utf-8")
    assert 'id="lines"' in html and html.count('<span class="outcome">OK</span>') == len(shown)


def test_in_check_mode_the_lines_are_the_same_and_no_file_is_written(
    playbooks: Playbooks, control: Control, targets: Targets, healthy: Target, tmp_path: Path
) -> None:
    """Given --check, also with the proof of abilities asked for, then all is judged by GET, and nothing is left."""
    files = {path for path in playbooks.state.rglob("*") if path.is_file()}
    since = control.last_request()
    options = {"target": "healthy", "json": str(tmp_path / "audit.json"), "prove_abilities": True, "fail_on": "warn"}
    played = _audit(playbooks, "--check", **options).ok()
    assert targets.writes(since) == []
    assert played.stdout.count("    - ' OK ") > 30
    assert {path for path in playbooks.state.rglob("*") if path.is_file()} == files
    assert list(tmp_path.iterdir()) == []


def test_abilities_are_proven_only_when_asked_for(
    playbooks: Playbooks, control: Control, targets: Targets, healthy: Target, tmp_path: Path
) -> None:
    """Given a token that cannot deploy, then the proof finds that; it names things that do not exist, nothing else."""
    made = control.call("POST", "/tokens", {"service": "coolify", "abilities": ["read", "read:sensitive", "write"]})
    playbooks.secrets.add(made["token"].partition("|")[2])
    playbooks.add_host("reader", rewind_sandbox_target=healthy.facts, rewind_coolify_access_token=made["token"])
    since = control.last_request()
    played = _audit(playbooks, target="reader", prove_abilities=True, json=f"{tmp_path}/").failed()
    assert targets.writes(since) and without_probes(targets.writes(since)) == []
    line = _lines(tmp_path, "reader")["coolify_token_writes"]
    assert (line["status"], line["state"], line["found"]) == ("FAILED", "missing", "it lacks deploy")
    assert "it lacks deploy. Make a token with read" in played.message


def test_a_warning_fails_the_play_only_where_that_was_asked_for(playbooks: Playbooks, healthy: Target) -> None:
    """Given one WARN line, then the play succeeds by default and fails with fail_on=warn, the table shown first."""
    wanted = {"target": "healthy", "rewind_auto_deploy": "off"}
    _audit(playbooks, **wanted).ok()
    played = _audit(playbooks, **wanted, fail_on="warn").failed()
    assert "WARN Auto-deploy: on: a push deploys" in played.message
    assert played.stdout.index("' WARN    Auto-deploy") < played.stdout.index("fatal: [healthy]")


def _narrow(target: Target, targets: Targets) -> None:
    path = f"/projects/{target.project}"
    assert target.neon.patch(path, json={"project": {"history_retention_seconds": 3600}}).is_success


def _crowded(target: Target, targets: Targets) -> None:
    for number in range(9):
        target.make_branch(f"somebody-{number}")


def _locked(target: Target, targets: Targets) -> None:
    row = next(item for item in target.rows() if item["key"] == target.key and not item["is_preview"])
    assert target.coolify.delete(f"/applications/{target.application}/envs/{row['uuid']}").is_success
    locked = {"key": target.key, "value": row["value"], "is_shown_once": True, "is_preview": False}
    targets.control.call("POST", f"/applications/{target.application}/envs", locked)


def _doubled(target: Target, targets: Targets) -> None:
    double = {"key": target.key, "value": target.string(), "is_preview": False}
    targets.control.call("POST", f"/applications/{target.application}/envs", double)


def _unchecked(target: Target, targets: Targets) -> None:
    targets.control.call("PATCH", f"/applications/{target.application}", {"health_check_enabled": False})


def _renewed(target: Target, targets: Targets) -> None:
    """Somebody has reset the role's password in the console."""
    path = f"/projects/{target.project}/branches/{target.primary()['id']}/roles/{target.role}/reset_password"
    assert target.neon.post(path).is_success
    target.settle()


def _expiring(target: Target, targets: Targets) -> None:
    """A second row leads to a branch that Neon will delete."""
    ends = text_of(datetime.now(UTC) + timedelta(days=2))
    made = target.make_branch("reports", compute=True, expires_at=f"{ends[:19]}Z")
    row = {"key": "REPORTS_URL", "value": target.uri(made["id"]), "is_preview": False}
    targets.control.call("POST", f"/applications/{target.application}/envs", row)


def _bypassed(target: Target, targets: Targets) -> None:
    allowed = {"ips": ["192.0.2.1"], "protected_branches_only": True}
    body = {"project": {"settings": {"allowed_ips": allowed}}}
    assert target.neon.patch(f"/projects/{target.project}", json=body).is_success


def _failing(target: Target, targets: Targets) -> None:
    """The last commit needs a table that no migration makes."""
    control, application = targets.control, target.application
    control.call("PATCH", f"/applications/{application}", {"health_check_retries": 2})
    control.call("POST", f"/repositories/{application}/push", {"commit": "missing_table", "webhook": True})

    def ended() -> bool:
        return str(target.deployments()[0]["status"]) == "failed"

    wait_for(ended, seconds=90, what="the failed deployment")
    _steady(target)


# A world, how to get there, the line that must name it, its state, and what else it cannot help to break.
BROKEN = {
    "narrow": (_narrow, "history_window", "short", "1 h", set()),
    "crowded": (_crowded, "branch_slots", "none", "10 of 10", set()),
    "locked": (_locked, "env_readable", "locked", "DATABASE_URL is locked", {"primary"}),
    "doubled": (_doubled, "env_single", "duplicate", "DATABASE_URL", {"connection_string", "connections"}),
    "unchecked": (_unchecked, "health_check", "off", "disabled", {"application"}),
    "renewed": (_renewed, "connection_string", "differs", "password", {"application"}),
    "expiring": (_expiring, "expiry_in_use", "expires", "reports (", set()),
    "bypassed": (_bypassed, "ip_allowlist", "bypassed", "main is not protected", set()),
    "failing": (_failing, "last_deployment", "failed", "failed after", set()),
}


@pytest.fixture(scope="module")
def broken(
    playbooks: Playbooks, targets: Targets, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Played, Path, list[str]]:
    """All broken targets audited in one run, as a fleet; what was written meanwhile."""
    folder = tmp_path_factory.mktemp("json")
    made = {}
    for name, (change, *_rest) in BROKEN.items():
        made[name] = targets.make(name, plan="free" if name == "crowded" else None, rows=40)
        _steady(made[name])
        change(made[name], targets)
        if name == "crowded":
            # A free plan has six hours of history.
            playbooks.add_host(name, rewind_sandbox_target=made[name].facts, rewind_history_days=0.25)
    _drilled(playbooks, *BROKEN)
    since = targets.control.last_request()
    # Several targets at a time, each with its own file; the play goes on for the others.
    played = _audit(playbooks, target=",".join(BROKEN), json=f"{folder}/").failed()
    return played, folder, targets.writes(since)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_target_is_named_by_its_line(broken: tuple[Played, Path, list[str]], name: str) -> None:
    """Given what the runbook's symptoms come from, then the line names it, with what to do, and is in the message."""
    played, folder, _writes = broken
    _change, line_id, state, found, _others = BROKEN[name]
    line = _lines(folder, name)[line_id]
    assert (line["status"], line["state"]) == ("FAILED", state), line
    assert found in line["found"]
    assert line["what_to_do"]
    message = played.message_of(name)
    assert f"FAILED {line['title']}: " in message
    assert " ".join(line["what_to_do"].split()) in message


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_no_other_line_of_it_cries_wolf(broken: tuple[Played, Path, list[str]], name: str) -> None:
    """Given one fault, then only its own line fails, what follows from it, and the backup that none of them has."""
    _played, folder, _writes = broken
    _change, line_id, _state, _found, others = BROKEN[name]
    lines = _lines(folder, name)
    bad = {key for key, line in lines.items() if line["status"] == "FAILED" and line["state"] != "unknown"}
    assert line_id in bad
    assert bad - others <= {line_id, "newest_backup"}
    if "primary" not in others:
        assert {key for key, line in lines.items() if line["state"] == "unknown"} <= others


def test_a_fleet_of_broken_targets_is_only_read(broken: tuple[Played, Path, list[str]]) -> None:
    """Given every broken world, then nothing but GET was sent, not even a proof of an ability."""
    _played, _folder, writes = broken
    assert writes == []


def test_a_wrong_key_leaves_what_it_hides_unknown_and_the_rest_judged(
    playbooks: Playbooks, healthy: Target, tmp_path: Path
) -> None:
    """Given a key that Neon refuses, then no line about Neon is OK, each says why, and those about Coolify go on."""
    playbooks.secrets.add(WRONG_NEON)
    playbooks.add_host("stranger", rewind_sandbox_target=healthy.facts, rewind_neon_api_key=WRONG_NEON)
    played = _audit(playbooks, "-vvvv", target="stranger", json=f"{tmp_path}/").failed()
    lines = _lines(tmp_path, "stranger")
    for name in ("neon_api", "history_window", "branch_slots", "primary", "tls", "connections", "newest_backup"):
        assert lines[name]["state"] == "unknown" and lines[name]["status"] != "OK", lines[name]
        assert "401" in lines[name]["found"]
    for name in ("coolify_version", "health_check", "env_readable", "last_deployment"):
        assert lines[name]["status"] == "OK", lines[name]
    assert "FAILED Neon API: unknown" in played.message


def test_a_suspended_compute_is_listed_and_not_woken_unless_asked(
    playbooks: Playbooks, targets: Targets, tmp_path: Path
) -> None:
    """Given a primary that sleeps, then its line says that it was not looked at; with wake it is woken and counted."""
    target = targets.make("sleeper", health_check_interval=3600)
    compute = target.endpoints(target.primary()["id"])[0]["id"]
    _steady(target)
    assert target.neon.post(f"/projects/{target.project}/endpoints/{compute}/suspend").is_success

    def sleeping() -> bool:
        return str(target.endpoints(target.primary()["id"])[0]["current_state"]) == "idle"

    wait_for(sleeping, seconds=30, what="the suspended compute")
    _audit(playbooks, target="sleeper", json=f"{tmp_path}/", fail_on="never").ok()
    line = _lines(tmp_path, "sleeper")["connections"]
    assert (line["status"], line["found"]) == ("WARN", "not looked at: suspended")
    assert sleeping()
    _audit(playbooks, target="sleeper", json=f"{tmp_path}/", fail_on="never", wake=True).ok()
    assert _lines(tmp_path, "sleeper")["connections"]["status"] == "OK"
    assert not sleeping()
