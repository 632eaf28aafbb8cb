# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the role that cleans up ends: what was confirmed and did not go fails it, after everything is recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.tests.unit.stubbed_roles import Story, StubbedRoles

Json = dict[str, Any]

_PLAY = """
- hosts: controller
  gather_facts: false
  tasks:
    - rewind.database.run_journal:
        action: start
        verb: cleanup
        target: controller
      register: __cleanup_journal
    - ansible.builtin.include_role:
        name: rewind.database.cleanup
        tasks_from: record
    - ansible.builtin.include_role:
        name: rewind.database.cleanup
        tasks_from: gone
"""
_PLAN: Json = {
    "confirm": {"needed": True, "given": True, "hash": "0123456789ab", "command": "cleanup.yml"},
    "counts": {"branches": 9},
    **{name: [] for name in ("branches", "snapshots", "expiry_to_clear", "warnings")},
}
_LOST = {"id": "br-1", "name": "backup-1", "code": "unknown", "reason": "no answer came to its deletion"}
_USED = {"id": "br-2", "name": "backup-2", "code": "in_use", "reason": "application shop (DATABASE_URL) points to it"}
_BROKEN = {"id": "op-1", "action": "delete_timeline", "branch_id": "br-3", "status": "cancelled", "error": None}


def ended(folder: Path, swept: Json) -> tuple[subprocess.CompletedProcess[str], Json, str]:
    """The run, the last line of its journal, and its report, after a deletion with this result."""
    (folder / "play.yml").write_text(_PLAY)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"controller": host}}}))
    deleted = {"deleted": [{"id": "br-4", "name": "backup-4"}], "deleted_snapshots": []}
    variables: Json = {"rewind_state_dir": str(folder / "state"), "rewind_neon_project_id": "late-frost-12345678"}
    variables |= {"__cleanup_plan": {"plan": _PLAN}, "__cleanup_swept": {**deleted, **swept}}
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    played = subprocess.run(
        [program, "-i", "hosts.yml", "play.yml", "-e", json.dumps(variables)],
        cwd=folder,
        env={**kept, "HOME": str(folder), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    (journal,) = (folder / "state" / "journal" / "controller").glob("*.jsonl")
    (report,) = (folder / "state" / "reports" / "controller").glob("*.json")
    return played, json.loads(journal.read_text().splitlines()[-1]), report.read_text()


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        ({"kept": [_LOST], "operations": []}, "backup-1 could not be deleted: no answer came to its deletion"),
        ({"kept": [], "operations": [_BROKEN]}, "Neon has not finished delete_timeline of the branch br-3"),
    ],
)
def test_what_was_confirmed_and_is_not_surely_gone_fails_the_run_at_its_end(
    tmp_path: Path, swept: Json, said: str
) -> None:
    """Given an answer that was lost, or an operation that Neon cancelled, it says so in report, journal and result."""
    played, last, report = ended(tmp_path, swept)
    assert played.returncode == 2 and said in " ".join(played.stdout.split()), played.stdout + played.stderr
    assert last["data"]["status"] == "failed" and said in last["error"]["message"]
    verdict = json.loads(report)["verdict"]
    assert verdict["ok"] is False and "Deleted: 1 of 9" in verdict["title"]


def test_what_stays_because_somebody_uses_it_by_now_is_no_failure(tmp_path: Path) -> None:
    played, last, report = ended(tmp_path, {"kept": [_USED], "operations": []})
    assert played.returncode == 0, played.stdout + played.stderr
    assert last["data"]["status"] == "done" and json.loads(report)["verdict"]["ok"] is True
    assert "backup-2 stays after all" in report


def test_a_run_that_is_refused_has_pinned_nothing(tmp_path: Path) -> None:
    """Given a pin beside a confirmation of another list, it is refused before the first write; else the pin counts."""
    pin = {"event": "pinned", "branch_id": "br-1", "name": "backup-1", "expires_at": "2030-01-01T00:00:00Z"}
    plan = {**_PLAN, "problems": [], "pins": [pin], "text": ["the list"]}

    def story(refusal: str) -> Story:
        confirm = {**_PLAN["confirm"], "refusal": refusal}
        answers: Json = {
            "neon_project_info": {"project": {}},
            "neon_branch_info": {"branches": []},
            "neon_snapshot_info": {"snapshots": []},
            "coolify_consumer_info": {"consumers": [], "unreadable": []},
            "run_record": {"records": []},
            "run_journal unfinished": {"unfinished": []},
            "cleanup_plan": {"plan": {**plan, "confirm": confirm}},
        }
        variables: Json = {
            "cleanup_neon_project_id": "late-frost-12345678",
            "cleanup_target": "tracker",
            "cleanup_environment": "staging",
            "cleanup_reason": "the audit",
            "rewind_coolify_application": "n1kz0hg8q4w2e6r8t0y2u4i6",
            "__cleanup_journal": {"run": {"id": "20250113T150000Z-cleanup-0a1b2c"}},
        }
        return Story(variables, answers)

    told = StubbedRoles(tmp_path).tell(
        "cleanup", "preflight", {"refused": story("Nothing was deleted, pinned or unpinned."), "fits": story("")}
    )
    refused, fits = told["refused"], told["fits"]
    assert refused.message == "Nothing was deleted, pinned or unpinned."
    assert refused.called("neon_branch") == []
    assert [args for args in refused.called("run_record") if "record" in args] == []
    assert fits.message == "" and [args["branch_id"] for args in fits.called("neon_branch")] == ["br-1"]
    assert [args["record"]["event"] for args in fits.called("run_record") if "record" in args] == ["pinned"]
