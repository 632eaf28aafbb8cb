# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of an audit in a report: each with its status, every text escaped, nothing where there are none."""

from __future__ import annotations

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._report import view

LINES: list[dict[str, Any]] = [
    {"id": "tls", "title": "TLS", "status": "OK", "found": "sslmode=require", "expected": "required", "what_to_do": ""},
    {
        "id": "branch_slots",
        "title": "Branch slots",
        "status": "FAILED",
        "found": "10 of 10: <b>x</b> | since 2025-01-13T14:25:00Z",
        "expected": "2 free",
        "what_to_do": "Delete <script> ones.",
    },
]
SYMPTOMS = [
    {"id": "a", "title": "Making a branch fails", "causes": ["branch_slots"]},
    {"id": "b", "title": "No connection", "causes": []},
]
DATA = {"run": "r", "target": "t", "verb": "audit", "lines": LINES, "symptoms": SYMPTOMS}


def test_each_line_is_shown_with_its_status_and_every_text_is_escaped() -> None:
    """Given names that hold markup, then it is text in both forms, and an instant reads as people read it."""
    page = view(DATA, "html")["lines"]
    assert [(row["status"], row["kind"]) for row in page["rows"]] == [("OK", "good"), ("FAILED", "bad")]
    assert page["rows"][1]["found"] == "10 of 10: &lt;b&gt;x&lt;/b&gt; | since 2025-01-13 14:25:00 UTC"
    assert "<script>" not in str(page)
    assert r"\|" in view(DATA, "markdown")["lines"]["rows"][1]["found"], "a bar would end the cell"


def test_only_a_symptom_that_is_explained_is_shown_with_the_titles_of_its_lines() -> None:
    """Given two symptoms, then the one with a cause is shown, and names it as the table does."""
    assert view(DATA, "json")["lines"]["symptoms"] == [{"title": "Making a branch fails", "causes": "Branch slots"}]


def test_a_report_without_lines_shows_none() -> None:
    """Given another verb's facts, then there is nothing to place."""
    assert view({"run": "r", "target": "t"}, "html")["lines"] == {"rows": [], "symptoms": []}
