# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""run_report: three files of one run, as a playbook sees it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.tools import call_module

RUN = "20250113T145800Z-restore-4f2a9c"


def _report(tmp_path: Path, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    texts = {"facts": {"run": RUN, "ü": 1}, "html": "<p>ü</p>", "markdown": "# ü\n", **options}
    given = {"state_dir": str(tmp_path), "target": "tracker", "run": RUN, **texts}
    return call_module("run_report", given, check_mode=check_mode)


def test_the_three_files_are_whole_and_the_owners_only(tmp_path: Path) -> None:
    """Given a report, when it is written twice, then its newer text is there and no draft is left behind."""
    _report(tmp_path)
    result = _report(tmp_path, html="<p>new</p>")
    folder = tmp_path / "reports" / "tracker"
    assert result["changed"] is False and result["report"]["written"] is True
    assert {path.name for path in folder.iterdir()} == {f"{RUN}.html", f"{RUN}.json", f"{RUN}.md"}
    assert Path(result["report"]["html"]).read_text() == "<p>new</p>"
    assert Path(result["report"]["md"]).read_text() == "# ü\n"
    assert json.loads(Path(result["report"]["json"]).read_text()) == {"run": RUN, "ü": 1}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_secret_that_got_into_a_report_is_masked_with_a_warning(tmp_path: Path) -> None:
    password = "npg_q8Zm3Xw6Vt1Kr9Yb4Nc7"
    found = _report(tmp_path, html=f"<p>postgresql://u:{password}@h/d</p>", facts={"password": password})
    assert "masked in the report" in " ".join(found["warnings"])
    for path in (tmp_path / "reports").rglob("*.*"):
        assert password not in path.read_text()


def test_a_targets_name_cannot_lead_out_of_the_state_directory(tmp_path: Path) -> None:
    result = _report(tmp_path, target="../../etc")
    assert result["report"]["html"] == str(tmp_path / "reports" / "%2E.%2F..%2Fetc" / f"{RUN}.html")
    assert "is empty" in _report(tmp_path, target="")["msg"]


def test_check_mode_says_where_and_writes_nothing(tmp_path: Path) -> None:
    result = _report(tmp_path / "s", check_mode=True)
    assert result["report"]["written"] is False and result["report"]["json"].endswith(f"{RUN}.json")
    assert not (tmp_path / "s").exists()


def test_other_files_of_a_run_stand_beside_its_report(tmp_path: Path) -> None:
    """Given other texts, then each is a file of the same run, and none can take the place of the report or leave."""
    result = _report(tmp_path, files={"notice.txt": "lost: ü\r\n", "../x": "y"})
    folder = tmp_path / "reports" / "tracker"
    assert result["report"]["files"]["notice.txt"] == str(folder / f"{RUN}.notice.txt")
    assert (folder / f"{RUN}.notice.txt").read_bytes() == "lost: ü\r\n".encode()
    assert {path.parent for path in folder.iterdir()} == {folder}
    assert "one of its own three forms" in _report(tmp_path, files={"html": "x"})["msg"]


def test_both_ways_say_the_same(both_ways: BothWays, tmp_path: Path) -> None:
    """Given a report, when it is written in the controller's process and as a module, then the results are equal."""
    options = {"target": "t", "run": RUN, "facts": {"a": 1}, "html": "<p>", "markdown": "#"}
    result = both_ways.same("run_report", {"state_dir": str(tmp_path / "s"), **options})
    assert result["report"]["written"] is True
