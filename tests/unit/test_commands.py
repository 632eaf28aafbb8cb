# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that people are told: they work where, and against what, the run that tells them was begun."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible import constants as C
from ansible import context
from ansible.cli.playbook import PlaybookCLI
from ansible_collections.rewind.database.plugins.filter.commands import playbook_command
from ansible_collections.rewind.database.plugins.module_utils import _commands
from ansible_collections.rewind.database.plugins.module_utils._plan.text import field
from ansible_collections.rewind.database.plugins.plugin_utils import _this_run
from ansible_collections.rewind.database.plugins.plugin_utils._this_run import form_of_this_run
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from hypothesis import given
from hypothesis import strategies as st

CLONE = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def as_in_a_clone() -> Iterator[None]:
    """Whatever a test uses, the next one begins with the words of a clone."""
    yield
    _commands.use(_commands.Form())


def begun(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """As if this process were ansible-playbook with these arguments."""
    options = PlaybookCLI(["ansible-playbook", *arguments])
    options.init_parser()
    parsed = options.post_process_args(options.parser.parse_args(list(arguments)))
    monkeypatch.setattr(context, "CLIARGS", vars(parsed))


@pytest.mark.parametrize(
    ("folder", "arguments", "expected"),
    [
        (".", ["playbooks/plan.yml"], "ansible-playbook playbooks/undo.yml"),
        (".", ["-e", "token=secret", "playbooks/plan.yml"], "ansible-playbook playbooks/undo.yml"),
        ("playbooks", ["plan.yml"], "ansible-playbook undo.yml"),
        (
            ".",
            ["-i", "inventory/example", "playbooks/x.yml"],
            "ansible-playbook -i inventory/example playbooks/undo.yml",
        ),
        (
            ".",
            ["-i", "rewind.database.targets", "-i", "my hosts", "rewind.database.plan"],
            "ansible-playbook -i rewind.database.targets -i 'my hosts' rewind.database.undo",
        ),
        (".", ["-i", "a,b", "site.yml"], "ansible-playbook -i a,b rewind.database.undo"),
        ("docs", ["-i", "../inventory/example", "../playbooks/plan.yml"], None),
    ],
)
def test_a_command_is_written_as_the_run_was_begun(
    monkeypatch: pytest.MonkeyPatch, folder: str, arguments: list[str], expected: str | None
) -> None:
    """Given a path or a name and any inventories, then another playbook is told in the same words, and no -e is."""
    monkeypatch.chdir(CLONE / folder)
    begun(monkeypatch, *arguments)
    told = playbook_command("undo", target="tracker")
    if expected is None:
        expected = f"ansible-playbook -i {CLONE / 'inventory/example'} ../playbooks/undo.yml"
    assert told == f"{expected} -e target=tracker"


def test_the_usual_inventory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the inventory that ansible.cfg names, given or not, then it needs no word."""
    monkeypatch.chdir(CLONE)
    monkeypatch.setattr(C, "DEFAULT_HOST_LIST", [str(CLONE / "inventory/sandbox")])
    begun(monkeypatch, "-i", "inventory/sandbox", "playbooks/plan.yml")
    assert playbook_command("undo") == "ansible-playbook playbooks/undo.yml"


def test_a_module_that_is_run_elsewhere_tells_what_works_in_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given no command line, as in a program of its own, then the clone's words stay."""
    monkeypatch.setattr(context, "CLIARGS", {})
    assert form_of_this_run() == _commands.Form()


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30))
def test_any_value_arrives_as_it_is(value: str) -> None:
    """Given any path or name, then a shell and Ansible hand it on whole."""
    program, option, said = shlex.split(_commands.extra("plan", value).replace("-e", "x -e", 1))
    assert (program, option) == ("x", "-e")
    name, _, plain = said.partition("=")
    found = json.loads(said) if said.startswith("{") else {name: plain}
    assert found == {"plan": value}


def test_every_command_in_a_text_is_written_so_before_lines_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an advice of a plan, then its lines hold the command of this run, and doing it twice changes nothing."""
    monkeypatch.setattr(_this_run, "_PLAYBOOKS", Path("/nowhere"))
    begun(monkeypatch, "-i", "rewind.database.targets", "rewind.database.audit")
    _commands.use(form_of_this_run())
    shown = " ".join(line.strip() for line in field("note", "Take it back: ansible-playbook playbooks/undo.yml"))
    assert shown.endswith("Take it back: ansible-playbook -i rewind.database.targets rewind.database.undo")
    given: dict[str, Any] = {"a": ["ansible-playbook playbooks/undo.yml -e run=x", 1], "b": None}
    told = _commands.as_run(given)
    assert told["a"][0] == "ansible-playbook -i rewind.database.targets rewind.database.undo -e run=x"
    assert _commands.as_run(told) == told


def test_a_real_run_writes_the_commands_of_modules_and_roles(both_ways: BothWays) -> None:
    """Given a play of one's own over a file of hosts, then the collection is named, and that file."""
    before = {"version": 1, "tables": {}, "sequences": {}, "schema_hash": "s", "extensions": {}}
    after = {**before, "extensions": {"x": "ansible-playbook playbooks/undo.yml -e run=y"}}
    played = both_ways.play(
        [
            {"name": "module", "rewind.database.postgres_manifest": {"compare": {"before": before, "after": after}}},
            {
                "name": "role",
                "ansible.builtin.debug": {"msg": "{{ 'undo' | rewind.database.playbook_command(run='y') }}"},
            },
        ]
    )
    told = "ansible-playbook -i inventory.yml rewind.database.undo -e run=y"
    assert played.results["module"]["comparison"]["extensions"]["x"]["after"] == told, played.output
    assert told in played.output.partition("TASK [role]")[2]
