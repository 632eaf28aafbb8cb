# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module is made of: options, results, errors; and main(), which lets no secret out."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._errors import RewindError, Timeout
from ansible_collections.rewind.database.plugins.module_utils._secrets import MASK, Masker
from ansible_collections.rewind.database.plugins.module_utils._task import (
    CENSORED,
    Spec,
    Task,
    execute,
    plain,
    secrets_in,
)
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeTask

Json = dict[str, Any]


class Colour(enum.StrEnum):
    RED = "red"


class Tagged(str):
    """A text of a class of its own, like those of Ansible."""


@dataclasses.dataclass
class Pair:
    left: int
    right: Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (decimal.Decimal("5"), 5),
        (decimal.Decimal("5.5"), 5.5),
        (float("nan"), "nan"),
        (datetime.timedelta(minutes=1), 60.0),
        (datetime.datetime(2025, 1, 13, tzinfo=datetime.UTC), "2025-01-13T00:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/a"), "/a"),
        (b"a\xff", "a�"),
        ({"b", "a"}, ["a", "b"]),
        ((1, (2,)), [1, [2]]),
        ((number for number in (1, 2)), [1, 2]),
        ({1: {"x": 1}.keys()}, {"1": ["x"]}),
        (Pair(1, Path("/b")), {"left": 1, "right": "/b"}),
        (True, True),
        (None, None),
    ],
)
def test_results_become_plain_json(value: Any, expected: Any) -> None:
    """Given any type that a module may return by accident, then what JSON can hold."""
    result = plain(value)
    assert result == expected and type(result) is type(expected)
    json.dumps(result)


def test_texts_of_other_classes_become_plain_texts() -> None:
    """Given Ansible's tagged texts, then plain ones, as keys too."""
    result = plain({Tagged("a"): [Tagged("b")]})
    assert result == {"a": ["b"]}
    assert {type(item) for item in (*result, *result["a"])} == {str}


def test_a_type_without_a_json_form_is_an_error_and_not_half_a_result() -> None:
    """Given an object of an unknown class, then the task fails and names the class."""
    task = FakeTask({})
    result = execute(lambda _task: {"x": object()}, task, task.masker)
    assert result["failed"] is True and "object" in result["msg"] and "x" not in result


def test_a_result_gets_changed_and_elapsed() -> None:
    """Given a result without them, then they are added."""
    result = execute(lambda _task: {"thing": 1}, FakeTask({}), Masker())
    assert result["changed"] is False and result["elapsed"] >= 0 and "failed" not in result


def test_an_error_becomes_a_failed_result_with_what_is_known() -> None:
    """Given a timeout with a partial, then both reach the user."""

    def run(_task: Task) -> Json:
        raise Timeout("wait for x", partial={"at": Path("/p")}, hint="Wait longer.")

    result = execute(run, FakeTask({}), Masker())
    assert result["failed"] and result["msg"] == "wait for x. Wait longer." and result["partial"] == {"at": "/p"}
    assert result["error"]["code"] == "timeout" and "exception" not in result


def test_an_unexpected_error_names_itself_and_holds_no_secret() -> None:
    """Given an exception whose text holds a secret that was registered on the way, then the result holds none."""
    task = FakeTask({})

    def run(inner: Task) -> Json:
        inner.secret(NEON_KEY)
        raise ValueError(f"cannot use {NEON_KEY}")

    result = execute(run, task, task.masker)
    assert NEON_KEY not in json.dumps(result)
    assert "ValueError" in result["msg"] and "Traceback" in result["exception"]


def test_a_revealed_value_stays_as_it_is_but_not_in_a_failure() -> None:
    """Given a censored result, then its values are whole; given a failed one, then they are masked."""
    masker = Masker([NEON_KEY])
    revealed = execute(lambda _task: {"value": NEON_KEY, CENSORED: True}, FakeTask({}), masker)
    assert revealed["value"] == NEON_KEY and revealed[CENSORED] is True
    failed = execute(lambda _task: {"value": NEON_KEY, CENSORED: True, "failed": True}, FakeTask({}), masker)
    assert failed["value"] == MASK and CENSORED not in failed


def test_specs_are_merged_with_all_their_rules() -> None:
    """Given two parts, then options, rules and host variables of both, and nothing shared with the originals."""
    first = Spec(arguments={"a": {"type": "str"}}, mutually_exclusive=(("a", "b"),), from_host_vars={"a": "rewind_a"})
    second = Spec(arguments={"b": {"type": "list", "choices": ["x"]}}, required_if=(("a", "x", ("b",)),), reveals="b")
    merged = first.merge(second)
    assert set(merged.arguments) == {"a", "b"} and merged.reveals == "b"
    assert merged.rules()["mutually_exclusive"] == [["a", "b"]]
    assert merged.rules()["required_if"] == [["a", "x", ("b",)]]
    assert merged.from_host_vars == {"a": "rewind_a"}
    merged.argument_spec()["b"]["choices"].append("y")
    assert second.arguments["b"]["choices"] == ["x"]


def test_secret_options_are_found_at_any_depth() -> None:
    """Given secret options in a list of dictionaries and under an alias, then all their values are found."""
    arguments: dict[str, Json] = {
        "key": {"no_log": True, "aliases": ["token"]},
        "rows": {"type": "list", "options": {"value": {"no_log": True}, "name": {}}},
    }
    params = {"token": "t", "rows": [{"value": {"deep": ["v"]}, "name": "n"}, {"value": None}]}
    assert sorted(secrets_in(arguments, params)) == ["t", "v"]


SCRIPT = """
import sys
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, run_module
SPEC = Spec(arguments={"key": {"type": "str", "no_log": True}, "way": {"type": "str"}})
def run(task):
    key = task.params["key"]
    generated = task.secret("generated-" + key[::-1])
    task.warn(f"a warning about {key} and {generated}")
    if task.params["way"] == "raise":
        raise ValueError(f"cannot use {key} and {generated}")
    return {"value": key, key: generated, "diff": {"before": key, "after": generated}}
run_module(SPEC, run)
"""


@pytest.mark.parametrize("way", ["return", "raise"])
def test_a_modules_main_lets_no_secret_out(way: str) -> None:
    """Given a module run as Ansible runs it, then nothing it prints holds a secret, in warnings and exceptions too."""
    program = (
        "from ansible.module_utils.testing import patch_module_args\n"
        f"with patch_module_args({{'key': {NEON_KEY!r}, 'way': {way!r}}}):\n"
        f"    exec({SCRIPT!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    printed = done.stdout + done.stderr
    assert printed, done.returncode
    result = json.loads(done.stdout)
    assert NEON_KEY not in printed and NEON_KEY[::-1] not in printed, printed
    assert bool(result.get("failed")) is (way == "raise")
    assert way == "raise" or result["value"] == MASK


def test_a_module_error_has_the_agreed_keys() -> None:
    """Given any typed error, then the result has msg and error with all five keys."""

    def run(_task: Task) -> Json:
        raise RewindError("do it: no")

    result = execute(run, FakeTask({}), Masker())
    assert set(result["error"]) == {"code", "http_status", "request_id", "retryable", "hint"}
