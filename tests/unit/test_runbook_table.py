# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/runbook.md: what it names exists, and each line that something runs has a test that proves it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from ansible_collections.rewind.database.plugins.module_utils._plan.audit import LINES, SYMPTOMS

CLONE = Path(__file__).resolve().parents[2]
PAGE = CLONE / "docs" / "runbook.md"
# The checklists of the runbook, by how many lines each has.
CHECKLISTS = {
    "Pre-Deployment Backup Checklist": 8,
    "Post-Incident Restoration Checklist": 12,
    "Weekly Checks": 4,
    "Monthly Tests": 4,
}
HEADINGS = (
    "Database Backup Procedures",
    "Overview",
    "Neon Backup Features",
    "Automatic Point-in-Time Recovery (PITR)",
    "Manual Backups via Branching",
    "When to Create Manual Backups",
    "Manual Backup Procedure",
    "Step 1: Create Backup Branch",
    "Step 2: Document the Backup",
    "Step 3: Verify Backup",
    "Backup Retention Policy",
    "Deleting Old Backups",
    "Restoration Procedures",
    "Scenario 1: Restore from Manual Backup Branch",
    "Scenario 2: Restore from Point-in-Time Recovery (PITR)",
    "Scenario 3: Promote Backup Branch to Primary",
    "Recovery Time Objectives",
    "Testing Backup Procedures",
    "Monthly Backup Test",
    "Backup Checklist",
    "Pre-Deployment Backup Checklist",
    "Post-Incident Restoration Checklist",
    "Monitoring Backup Health",
    "Weekly Checks",
    "Monthly Tests",
    "Troubleshooting",
    "Issue: Backup Branch Creation Fails",
    "Issue: Cannot Connect to Backup Branch",
    "Issue: Backup Branch Has Missing Data",
    "Issue: Restoration Takes Too Long",
    "Related Documentation",
    "Additional Resources",
    "Revision History",
)


def rows() -> list[tuple[str, str, str]]:
    """Every row of the page's tables: what the runbook says, what runs it, what proves it."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] != "the runbook":
            assert len(cells) == 3, line
            found.append((cells[0], cells[1], cells[2].rstrip(" |")))
    return found


ROWS = rows()
AUTOMATED = [row for row in ROWS if not row[2].startswith(("a person", "A person")) and row[1] != "a person"]


def named(text: str, pattern: str) -> list[str]:
    return re.findall(rf"`({pattern})`", text)


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((CLONE / path).read_text(encoding="utf-8"))
    return {item.name for item in tree.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_every_heading_and_every_line_of_the_checklists_has_a_row() -> None:
    """Given the runbook's headings and checklists, then the page has each of them, in the runbook's order."""
    page = PAGE.read_text(encoding="utf-8")
    places = [page.find(heading) for heading in HEADINGS]
    missing = [heading for heading, place in zip(HEADINGS, places, strict=True) if place < 0]
    assert missing == []
    said = [row[0] for row in ROWS]
    for checklist, count in CHECKLISTS.items():
        at = said.index(f"**{checklist}**")
        following = [text.startswith("[ ]") for text in said[at + 1 : at + 1 + count]]
        assert following == [True] * count, checklist
        assert not said[at + 1 + count : at + 2 + count] or not said[at + 1 + count].startswith("[ ]"), checklist


def test_the_readme_has_the_headings_and_the_checklists() -> None:
    """Given the rows of headings and checklists, then the README's table has the same, with what runs them."""
    table = (CLONE / "README.md").read_text(encoding="utf-8").partition("## The runbook, line by line")[2]
    shown = [tuple(line.strip("| ").split(" | ")) for line in table.splitlines() if line.startswith("| ")][1:]
    assert shown == [(said, in_readme(runs)) for said, runs, _ in ROWS if said.startswith(("**", "[ ]"))]
    assert [said.strip("*") for said, _ in shown if said.startswith("**")] == list(HEADINGS)


def in_readme(runs: str) -> str:
    """A cell as the README has it: links lead from the folder above, playbooks go by their names."""
    return re.sub(r"\]\((?=\w+\.md\))", "](docs/", runs.replace("playbooks/", ""))


@pytest.mark.parametrize(
    "page", [CLONE / "README.md", *sorted((CLONE / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    """Given a page, then each of its links that is no address is a path to a file that is there."""
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_each_row_is_run_and_proven_or_says_why_a_person_does_it() -> None:
    """Given any row, then it names what runs it and a test, or it is a person's and the reason stands there."""
    assert len(AUTOMATED) > len(ROWS) / 2
    for said, runs, proof in ROWS:
        if (said, runs, proof) in AUTOMATED:
            assert "`playbooks/" in runs or "`tests/" in runs, said
            assert len(named(proof, r"tests/\S+")) == 1, said
        else:
            assert len(proof) > 15 and "tests/" not in proof, said


@pytest.mark.parametrize("said", [row[0] for row in AUTOMATED])
def test_everything_that_the_table_names_exists(said: str) -> None:
    """Given an automated line, then its playbooks, its options, its lines of the audit and its test are there."""
    _, runs, proof = next(row for row in AUTOMATED if row[0] == said)
    playbooks = re.findall(r"playbooks/\w+\.yml", runs)
    path, _, name = named(proof, r"tests/\S+")[0].partition("::")
    for playbook in playbooks:
        assert (CLONE / playbook).is_file(), playbook
    for option in re.findall(r"`(?:[^`]*?)-e (\w+)=", runs):
        texts = [(CLONE / playbook).read_text(encoding="utf-8") for playbook in playbooks]
        assert any(re.search(rf"\b{option}\b", text) for text in texts), option
    ids = {line.id for line in LINES}
    for part in re.findall(r"`playbooks/audit\.yml`: ((?:`\w+`(?:, )?)+)", runs):
        assert set(named(part, r"\w+")) <= ids, part
    assert (CLONE / path).is_file(), path
    assert name in functions_of(path), name


def test_the_issues_of_the_troubleshooting_lead_to_the_lines_of_their_symptoms() -> None:
    """Given an issue of the runbook, then its row has exactly the lines that the audit's symptom has."""
    for symptom in SYMPTOMS:
        (runs,) = (row[1] for row in ROWS if row[0] == f"**Issue: {symptom.heading}**")
        assert named(runs.partition(": ")[2], r"\w+") == list(symptom.lines)


def test_every_playbook_stands_in_the_table() -> None:
    """Given the playbooks, then each that a person runs is there."""
    runs = " ".join(row[1] for row in ROWS)
    for path in (CLONE / "playbooks").glob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
        assert path.name.startswith("targets") or f"playbooks/{path.name}" in runs, path.name
