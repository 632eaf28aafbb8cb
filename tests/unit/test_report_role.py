# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role that writes the report: three files, readable by their owner, a page that stands on its own."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_collections.rewind.database.tests.support.reports import STORIES, report_of, write_reports

ROLE = Path(__file__).parents[2] / "roles" / "report"
VOID = {"meta", "link", "br", "img", "input", "hr"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The reports of all stories, written once."""
    folder = tmp_path_factory.mktemp("reports")
    done = write_reports(folder, *STORIES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    yield folder


class Page(HTMLParser):
    """A page's tags, checked for balance, and what was found in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page_of(folder: Path, story: str) -> Page:
    return Page(report_of(folder, story, "html").read_text())


def test_the_path_is_printed_and_no_content_is_in_the_output_even_with_diff(folder: Path) -> None:
    output = (folder / "output.txt").read_text()
    for story in STORIES:
        assert str(report_of(folder, story, "html")) in output
    assert "<!DOCTYPE" not in output


def test_files_and_folders_are_readable_by_their_owner_only(folder: Path) -> None:
    for path in (folder / "state").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_in_check_mode_nothing_is_written(tmp_path: Path) -> None:
    done = write_reports(tmp_path, "good", check=True)
    assert done.returncode == 0, done.stdout
    assert "would be written" in done.stdout
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("story", STORIES)
def test_the_page_needs_nothing_from_outside_and_runs_nothing(folder: Path, story: str) -> None:
    text = report_of(folder, story, "html").read_text()
    page = Page(text)
    assert not page.named("script", "img", "iframe", "object", "embed", "form", "a", "base")
    assert [item.get("href") for item in page.named("link")] == ["data:,"]
    assert not [name for _tag, attributes in page.tags for name in attributes if name.startswith("on")]
    styles = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert styles is not None
    assert "url(" not in styles[1]
    assert "@import" not in styles[1]
    policy = next(item for item in page.named("meta") if item.get("http-equiv") == "Content-Security-Policy")
    assert str(policy["content"]).startswith("default-src 'none'")


@pytest.mark.parametrize("story", STORIES)
def test_the_page_makes_sense_to_a_screen_reader(folder: Path, story: str) -> None:
    page = page_of(folder, story)
    assert page.named("html")[0]["lang"] == "en"
    assert len(page.named("h1")) == len(page.named("main")) == 1
    levels = [int(tag[1]) for tag, _attributes in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _tag, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    labels = {attributes["aria-labelledby"] for _tag, attributes in page.tags if attributes.get("aria-labelledby")}
    assert labels <= set(ids)
    assert all(item.get("scope") in ("row", "col") for item in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table"))


def test_a_person_finds_everything_that_the_report_is_for(folder: Path) -> None:
    words = page_of(folder, "good").words()
    for expected in (
        "Restored to 13 January 2025, 14:25:00 UTC",
        "2025-01-13 14:25:00 UTC",
        "33 min",
        "1 min 10 s",
        "at most 15 min met",
        "48,810",
        "What to do next",
        "until Monday 2025-01-20 14:59 UTC",
        "restore-20250113-142500",
        "ep-warm-river-b5c6d7e8-pooler.eu-central-1.aws.neon.tech",
        "mail, push, webhooks",
    ):
        assert expected in words, expected


def test_hostile_names_are_shown_as_text(folder: Path) -> None:
    page = page_of(folder, "hostile")
    assert "<script>alert(1)</script>" in page.words()
    assert "{{ 7*7 }}{% raw %}" in page.words()
    assert "\u202e" not in page.words()


def test_the_same_facts_are_there_as_json_and_markdown(folder: Path) -> None:
    data = json.loads(report_of(folder, "good", "json").read_text())
    assert data["summary"] == {"total_seconds": 70.3, "objective_seconds": 900, "within_objective": True}
    assert data["counts"][2]["after"] == 50_000
    text = report_of(folder, "good", "md").read_text()
    assert text.startswith("# ✓ Restored to 13 January 2025, 14:25:00 UTC\n\nRestore of **good** (production)\n\n")
    assert '| public."QuestProgress" | 1,402 | 212 | 48,810 | 50,000 |' in text
    assert "  - **restore-20250113-142500** (primary, new), from 2025-01-13 14:25:00 UTC" in text
    assert "\n\n\n" not in text


def test_markdown_of_hostile_names_keeps_its_tables_whole(folder: Path) -> None:
    lines = report_of(folder, "hostile", "md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| public")]
    assert len(rows) == 4
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert not [line for line in lines if "<script" in line and "ansible-playbook" not in line]


def _scheme(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{3,6})", css))


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_every_text_has_the_contrast_that_wcag_asks_for(scheme: str) -> None:
    blocks = re.findall(r":root\s*\{(.*?)\}", (ROLE / "files" / "report.css").read_text(), re.DOTALL)
    colours = _scheme(blocks[["light", "dark", "print"].index(scheme)])
    pairs = [(ink, paper) for ink in ("ink", "soft", "good", "bad", "warm") for paper in ("card", "paper")]
    pairs += [("good", "good-paper"), ("bad", "bad-paper"), ("ink", "good-paper"), ("ink", "bad-paper")]
    pairs += [("soft", "good-paper"), ("soft", "bad-paper"), ("cool", "cool-paper")]
    for ink, paper in pairs:
        light, dark = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {paper}"
