# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""run_record: appending and querying, as a playbook sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.rewind.database.plugins.module_utils import _records
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import call_module


def _record(tmp_path: Path, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    return call_module("run_record", {"state_dir": str(tmp_path), **options}, check_mode=check_mode)


def test_records_of_one_branch_become_one(tmp_path: Path) -> None:
    """Given several records of a branch, when they are merged by its id, then the latest of each key counts."""
    for record in ({"branch_id": "b", "verified": False, "pinned": True}, {"branch_id": "c"}, {"x": 1}):
        _records.append(tmp_path, "catalogue", record)
    _records.append(tmp_path, "catalogue", {"branch_id": "b", "verified": True})
    result = _record(tmp_path, log="catalogue", merge_by="branch_id", query="[?verified].[branch_id, pinned]")
    assert result["records"] == [["b", True]] and result["changed"] is False


def test_the_module_appends_masks_and_queries(tmp_path: Path) -> None:
    """Given a record with a connection string, when it is appended, then the password is not in the file."""
    password = "npg_q8Zm3Xw6Vt1Kr9Yb4Nc7"
    result = _record(tmp_path, log="backups", record={"name": "one", "note": f"postgresql://u:{password}@h/d"})
    assert result["record"]["note"] == "postgresql://u:********@h/d" and result["changed"] is False
    assert password not in Path(result["log_file"]).read_text()
    assert _record(tmp_path, log="backups", query="[0].name")["records"] == "one"


def test_check_mode_answers_as_if_and_writes_nothing(tmp_path: Path) -> None:
    """Given check mode, when a record is appended, then it is in the answer and in no file."""
    result = _record(tmp_path / "s", check_mode=True, log="backups", record={"name": "one"}, query="[].name")
    assert result["records"] == ["one"]
    assert not (tmp_path / "s").exists()


def test_both_ways_say_the_same(both_ways: BothWays, tmp_path: Path) -> None:
    """Given a log, when it is queried in the controller's process and as a module, then the results are equal."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "backups.jsonl").write_text(json.dumps({"name": "one", "at": "x"}) + "\n")
    result = both_ways.same("run_record", {"log": "backups", "state_dir": str(tmp_path / "s"), "query": "[].name"})
    assert result["records"] == ["one"]
