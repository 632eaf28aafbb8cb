# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The logs: what is appended is there, whole, whoever else appends at the same time."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _records
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput
from ansible_collections.rewind.database.tests.unit.tools import call_module

_WRITER = """
import sys
from pathlib import Path
from ansible_collections.rewind.database.plugins.module_utils import _records
sys.stdin.readline()
for number in range(50):
    _records.append(Path(sys.argv[1]), "backups", {"writer": sys.argv[2], "number": number, "text": "x" * 9000})
"""


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    """Given two records, when the log is read, then both are there, oldest first, each with its instant."""
    _records.append(tmp_path, "backups", {"name": "one"})
    _records.append(tmp_path, "backups", {"name": "two", "at": "2025-01-13T14:25:00Z"})
    records, torn = _records.read(tmp_path, "backups")
    assert [record["name"] for record in records] == ["one", "two"] and torn == []
    assert records[0]["at"].endswith("Z") and records[1]["at"] == "2025-01-13T14:25:00Z"
    assert stat.S_IMODE((tmp_path / "backups.jsonl").stat().st_mode) == 0o600


def test_a_torn_line_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    """Given a log whose last line was cut, when one is appended, the whole ones are read, the torn is counted."""
    _records.append(tmp_path, "drills", {"n": 1})
    with (tmp_path / "drills.jsonl").open("a") as file:
        file.write('{"n": 2, "te')
    _records.append(tmp_path, "drills", {"n": 3})
    records, torn = _records.read(tmp_path, "drills")
    assert [record["n"] for record in records] == [1, 3] and torn == [2]
    answer = call_module("run_record", {"state_dir": str(tmp_path), "log": "drills"})
    assert "not whole: 2" in answer["warnings"][0]


def test_two_processes_append_at_the_same_time(tmp_path: Path) -> None:
    """Given two processes with fifty long records each, when they write at once, all hundred lines are whole."""
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name], stdin=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    records, torn = _records.read(tmp_path, "backups")
    assert torn == []
    for name in ("a", "b"):
        assert [record["number"] for record in records if record["writer"] == name] == list(range(50))


def test_wrong_queries_and_logs_are_explained(tmp_path: Path) -> None:
    """Given a wrong expression or an unknown log, then the error names it."""
    with pytest.raises(InvalidInput, match="JMESPath"):
        _records.search("[?", [])
    with pytest.raises(InvalidInput, match="catalogue, backups, drills"):
        _records.path_of(tmp_path, "secrets")
