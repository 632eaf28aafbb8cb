# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From env rows to a process's environment: what Coolify escapes and what compose makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.coolify.environment import DotenvError, is_shared, read_dotenv, real_value, render


def row(key: str, value: str | None, **flags: bool) -> dict[str, Any]:
    """A stored env row."""
    usual: dict[str, Any] = dict.fromkeys(("is_literal", "is_multiline", "is_preview", "is_shown_once"), False)
    return {"key": key, "value": value, "is_runtime": True, "is_buildtime": True} | usual | flags


def arrives(*rows: dict[str, Any], shared: dict[str, str] | None = None) -> dict[str, str]:
    """What the process sees."""
    found = read_dotenv(render(list(rows), shared or {}, {}))
    return {key: value for key, value in found.items() if key not in ("PORT", "HOST")}


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("plain", "plain"),
        ("postgresql://u:p@h/d?sslmode=require#x", "postgresql://u:p@h/d?sslmode=require#x"),
        ("secret$word", "secret"),
        ("a$$b", "a$b"),
        ("${NOWHERE:-spare}", "spare"),
        ("it's", "it\\'s"),
        ('say "hi"', 'say \\"hi\\"'),
        ("before # after", "before"),
        ('{"a": "b"}', '{"a": "b"}'),
        ("back\\slash", "back\\\\slash"),
    ],
)
def test_an_ordinary_row_is_escaped_and_interpolated(value: str, seen: str) -> None:
    """Given a row without flags, then the process sees what compose makes of Coolify's escaping."""
    assert arrives(row("KEY", value)) == {"KEY": seen}


@pytest.mark.parametrize("value", ["secret$word", 'say "hi"', "before # after", "back\\slash", "two\nlines"])
def test_a_literal_row_arrives_as_it_is(value: str) -> None:
    """Given is_literal, then nothing is interpolated or cut."""
    assert arrives(row("KEY", value, is_literal=True)) == {"KEY": value}


def test_a_quote_in_a_literal_row_breaks_the_file() -> None:
    """Given a literal value with a single quote, then compose cannot read the file: the deployment fails."""
    with pytest.raises(DotenvError, match="line"):
        arrives(row("KEY", "it's", is_literal=True), row("NEXT", "x"))


def test_a_lone_dollar_is_an_invalid_template() -> None:
    """Given a $ before something that is no name, then compose refuses the file."""
    with pytest.raises(DotenvError, match="invalid template"):
        arrives(row("KEY", "cost: 5$."))


def test_a_row_sees_the_rows_before_it_and_the_last_duplicate_wins() -> None:
    """Given rows that refer to earlier ones and a key twice, then references resolve and the last line counts."""
    seen = arrives(row("USER_NAME", "ada"), row("URL", "http://${USER_NAME}@h"), row("URL", "http://second"))
    assert seen == {"USER_NAME": "ada", "URL": "http://second"}
    assert arrives(row("USER_NAME", "ada"), row("URL", "http://${USER_NAME}@h"))["URL"] == "http://ada@h"


def test_preview_rows_and_build_only_rows_are_not_used() -> None:
    """Given a preview copy and a row without is_runtime, then the process sees neither."""
    seen = arrives(row("KEY", "production"), row("KEY", "preview", is_preview=True), row("CI", "1", is_runtime=False))
    assert seen == {"KEY": "production"}


def test_a_shared_reference_is_resolved_and_one_to_nothing_stays() -> None:
    """Given {{team.KEY}}, then its value arrives; an unknown reference arrives as text."""
    seen = arrives(row("A", "{{team.TOKEN}}"), row("B", "{{ project.NONE }}"), shared={"team.TOKEN": "t0"})
    assert seen == {"A": "t0", "B": "{{ project.NONE }}"}
    assert is_shared("{{team.TOKEN}}")
    assert not is_shared("x{{team.TOKEN}}")


def test_real_value_is_the_rendered_form() -> None:
    """Given a literal and an empty row, then real_value is quoted, or null."""
    assert real_value(row("KEY", "a b", is_literal=True), {}) == "'a b'"
    assert real_value(row("KEY", None), {}) is None
    assert arrives(row("KEY", None)) == {"KEY": ""}


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="'\r\0"), max_size=60))
def test_any_literal_value_without_a_quote_arrives_unchanged(value: str) -> None:
    """Given any text without a single quote (trimmed, as Coolify stores it), then it arrives byte for byte."""
    stored = value.strip()
    if stored.startswith(("{", "[")) or "{{" in stored or stored.endswith("\\"):
        return  # JSON is written raw, references are replaced, a last backslash escapes the closing quote
    assert arrives(row("KEY", stored, is_literal=True)) == {"KEY": stored}
