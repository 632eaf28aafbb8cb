# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""run_lock: taking, listing and releasing, as a playbook sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _books
from ansible_collections.rewind.database.plugins.module_utils._lock import Locks
from ansible_collections.rewind.database.plugins.module_utils._process import describe
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import call_module

RUN = "20250113T142500Z-restore-aaaaaa"
NAMES = ["neon:late-frost-12345678", "coolify:vgcs8wo48g4kcwg0k4o0cwkk"]


def _lock_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(_books, "playbook_owner", lambda: describe(os.getpid()))
    check_mode = options.pop("check_mode", False)
    return call_module("run_lock", {"state_dir": str(tmp_path), "target": "tracker", **options}, check_mode=check_mode)


def test_the_module_takes_lists_and_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the module, when locks are taken by verb, listed and released, then nothing is ever reported as changed."""
    taken = _lock_module(tmp_path, monkeypatch, action="take", verb="restore", names=NAMES, break_lock="")
    assert taken["changed"] is False and taken["run"].split("-")[1] == "restore" and len(taken["locks"]) == 2
    refused = _lock_module(tmp_path, monkeypatch, action="take", verb="drill", names=NAMES)
    assert refused["failed"] and refused["error"]["code"] == "locked_by_run"
    checked = _lock_module(tmp_path, monkeypatch, action="take", verb="drill", names=NAMES, check_mode=True)
    assert len(checked["conflicts"]) == 2 and "Another run holds" in checked["warnings"][0]
    assert len(_lock_module(tmp_path, monkeypatch, action="list")["locks"]) == 2
    released = _lock_module(tmp_path, monkeypatch, action="release", run=taken["run"])
    assert released["changed"] is False and len(released["locks"]) == 2
    assert _lock_module(tmp_path, monkeypatch, action="list")["locks"] == []


def test_both_ways_lock_for_the_same_playbook(both_ways: BothWays, tmp_path: Path) -> None:
    """Given a playbook that takes a lock in-process and as a module, then both find the one ansible-playbook."""
    options = {"action": "take", "names": ["a"], "run": RUN, "target": "tracker", "state_dir": str(tmp_path / "s")}
    result = both_ways.same("run_lock", options)
    assert "failed" not in result or result["failed"] is False
    assert result["locks"][0]["owner"]["pid"] not in (0, os.getpid())
    listed = Locks(tmp_path / "s", describe(os.getpid())).listed()
    assert [lock.state for lock in listed] == ["stale"]
