# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person types after -e, with the quotes that the shell takes away, means what it says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible import context
from ansible.parsing.splitter import parse_kv
from ansible_collections.rewind.database.plugins.filter.command_line import as_typed


def _given(monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    """The variables that Ansible makes of what follows each -e."""
    monkeypatch.setattr(context, "CLIARGS", {"extra_vars": options})
    made: dict[str, Any] = {}
    for option in options:
        made |= parse_kv(option) if not option.startswith("{") else {}
    return made


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (["reason=before migration 42"], "reason", "before migration 42"),
        (["point_in_time=2025-01-13 14:25:00 UTC"], "point_in_time", "2025-01-13 14:25:00 UTC"),
        (["point_in_time=15 minutes ago cutover=in_place"], "point_in_time", "15 minutes ago"),
        (["point_in_time=15 minutes ago cutover=in_place"], "cutover", "in_place"),
        (["reason=one two", "reason=three four"], "reason", "three four"),
        (["reason=one two", "point_in_time=-15m"], "reason", "one two"),
        (["reason='in quotes already'"], "reason", "in quotes already"),
        (["reason=a  b"], "reason", "a b"),
        (["reason=one"], "reason", "one"),
    ],
)
def test_every_word_after_the_name_belongs_to_it(
    monkeypatch: pytest.MonkeyPatch, options: list[str], name: str, expected: str
) -> None:
    assert as_typed(_given(monkeypatch, *options)[name], name) == expected


def test_a_value_from_elsewhere_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a file of variables that came later, or no command line at all, the value is what Ansible says."""
    _given(monkeypatch, "reason=one two", "@more.yml", '{"x": 1}')
    assert as_typed("from the file", "reason") == "from the file"
    monkeypatch.setattr(context, "CLIARGS", {})
    assert as_typed("one", "reason") == "one"
    assert as_typed(1736778300, "point_in_time") == 1736778300


def test_what_ansible_could_not_read_is_left_to_ansible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "CLIARGS", {"extra_vars": ("reason=don't do",)})
    assert as_typed("x", "reason") == "x"
