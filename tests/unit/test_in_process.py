# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules in the controller's process, with real ansible-playbook: options, fall-backs, secrets."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, Played, StubServer
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY

Json = dict[str, Any]
PATH = "/api/v2/projects/late-frost-12345678"
OPTIONS = {"project_id": "late-frost-12345678"}
MODULE = "rewind.database.neon_project_info"
ORDINARY = {"environment": {"REWIND_ORDINARY_WAY": "true"}}


def serve(server: StubServer, project: Json | None = None, status: int = 200, body: Any = None) -> StubServer:
    """A project without branches."""
    content = body if body is not None else {"project": {"id": "late-frost-12345678", **(project or {})}}
    server.answer("GET", PATH, content, status)
    server.answer("GET", f"{PATH}/branches", {"branches": [], "pagination": {}})
    return server.answer("GET", f"{PATH}/operations", {"operations": []})


def play(both_ways: BothWays, server: StubServer, *arguments: str, **more: Any) -> Played:
    """One task of this name, with the address from a host variable and no key but what the test gives."""
    task = {"name": "read", MODULE: {**OPTIONS, **more.pop("options", {})}, **more.pop("task", {})}
    variables = {"rewind_neon_api_url": f"{server.url}/api/v2", **more.pop("variables", {})}
    return both_ways.play([task], variables=variables, arguments=arguments, **more)


def key_sent(server: StubServer) -> str:
    return server.requests[0][3].removeprefix("Bearer ")


def test_a_local_task_runs_in_the_controllers_process(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a local connection, when the task runs, then nothing is copied and no module process starts."""
    played = play(both_ways, serve(stub_server), "-vvvv", variables={"rewind_neon_api_key": NEON_KEY})
    assert played.code == 0, played.output
    assert "AnsiballZ" not in played.output and "EXEC " not in played.output


@pytest.mark.parametrize("way", [{"environment": {"A_VARIABLE": "1"}}, {"async": 60, "poll": 1}])
def test_environment_and_async_use_the_ordinary_way(both_ways: BothWays, stub_server: StubServer, way: Json) -> None:
    """Given a keyword that an action cannot honour, then the ordinary module runs, with the same options."""
    played = play(both_ways, serve(stub_server), "-vvv", task=way, variables={"rewind_neon_api_key": NEON_KEY})
    assert played.code == 0, played.output
    assert "EXEC " in played.output
    assert key_sent(stub_server) == NEON_KEY


def test_a_connection_that_is_not_local_uses_the_ordinary_way(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given another connection plugin, then the ordinary module runs there."""
    plugins = both_ways.folder / "connection"
    plugins.mkdir()
    (plugins / "elsewhere.py").write_text(
        "from ansible.plugins.connection.local import Connection as Local, DOCUMENTATION\n"
        "class Connection(Local):\n    transport = 'elsewhere'\n"
    )
    variables = {"rewind_neon_api_key": NEON_KEY, "ansible_connection": "elsewhere"}
    environment = {"ANSIBLE_CONNECTION_PLUGINS": str(plugins)}
    played = play(both_ways, serve(stub_server), "-vvv", variables=variables, environment=environment)
    assert played.code == 0, played.output
    assert "EXEC " in played.output and key_sent(stub_server) == NEON_KEY


@pytest.mark.parametrize("way", [{}, ORDINARY], ids=["in process", "ordinary"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("task defaults variable environment", "task"),
        ("defaults variable environment", "defaults"),
        ("variable environment", "variable"),
        ("environment", "environment"),
    ],
)
def test_an_option_is_taken_from_the_nearest_place(
    both_ways: BothWays, stub_server: StubServer, way: Json, given: str, expected: str
) -> None:
    """Given a key in several places, then: task, module_defaults group, host variable, environment, in this order."""
    keys = {place: f"napi_{place}_{NEON_KEY[5:]}" for place in ("task", "defaults", "variable", "environment")}
    places = given.split()
    group = {"group/rewind.database.neon": {"neon_api_key": keys["defaults"]}}
    played = play(
        both_ways,
        serve(stub_server),
        options={"neon_api_key": keys["task"]} if "task" in places else {},
        task=way,
        play={"module_defaults": group} if "defaults" in places else {},
        variables={"rewind_neon_api_key": keys["variable"]} if "variable" in places else {},
        environment={"NEON_API_KEY": keys["environment"]} if "environment" in places else {},
    )
    assert played.code == 0, played.output
    assert key_sent(stub_server) == keys[expected]


def test_host_variables_are_templated_when_they_are_needed(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given variables that refer to others, and one that nobody needs and that cannot be templated, then it works."""
    variables = {
        "rewind_neon_api_key": "{{ keys[name_of_key] }}",
        "keys": {"main": "{{ lookup('ansible.builtin.env', 'HIDDEN') }}"},
        "name_of_key": "main",
        "rewind_coolify_access_token": "{{ nobody_defined_this }}",
        "rewind_proxy": "",
    }
    played = play(both_ways, serve(stub_server), variables=variables, environment={"HIDDEN": NEON_KEY})
    assert played.code == 0, played.output
    assert key_sent(stub_server) == NEON_KEY


def test_a_host_variable_that_cannot_be_templated_is_named(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a variable that refers to nothing, then the message names the variable."""
    played = play(both_ways, serve(stub_server), variables={"rewind_neon_api_key": "{{ nobody_defined_this }}"})
    assert played.code != 0
    assert "rewind_neon_api_key" in played.results["read"]["msg"]


@pytest.mark.parametrize("way", [{}, ORDINARY], ids=["in process", "ordinary"])
def test_a_vaulted_host_variable_is_decrypted(both_ways: BothWays, stub_server: StubServer, way: Json) -> None:
    """Given a key encrypted in the inventory, then its plain value is sent."""
    (both_ways.folder / "password").write_text("a password for the vault\n")
    vault = str(Path(sys.executable).with_name("ansible-vault"))
    encrypted = subprocess.run(
        [vault, "encrypt_string", "--vault-password-file", "password", NEON_KEY],
        cwd=both_ways.folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(both_ways.folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    group_vars = both_ways.folder / "group_vars"
    group_vars.mkdir()
    (group_vars / "all.yml").write_text(f"rewind_neon_api_key: {encrypted}\n")
    arguments = ("--vault-password-file", str(both_ways.folder / "password"), "-vvvv")
    for options in ({}, {"neon_api_key": "{{ rewind_neon_api_key }}"}):
        played = play(both_ways, serve(stub_server), *arguments, task=way, options=options)
        assert played.code == 0, played.output
        assert key_sent(stub_server) == NEON_KEY
        assert NEON_KEY not in played.output
        stub_server.requests.clear()


def test_without_a_key_the_message_says_where_to_put_one(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given no key anywhere, then nothing is sent and both ways say the same."""
    result = both_ways.same(
        "neon_project_info", OPTIONS, variables={"rewind_neon_api_url": f"{stub_server.url}/api/v2"}
    )
    assert result["failed"] and "NEON_API_KEY" in result["msg"] and result["error"]["code"] == "unauthorized"
    assert stub_server.requests == []


@pytest.mark.parametrize("options", [{"no_such_option": 1, **OPTIONS}, {}, {**OPTIONS, "request_timeout": "soon"}])
def test_wrong_options_are_told_the_same_way(both_ways: BothWays, options: Json) -> None:
    """Given an unknown option, a missing one, or one of a wrong type, then both messages are equal."""
    assert both_ways.same("neon_project_info", options)["failed"]


# Every form in which a service might send a secret back.
ECHOES = [
    NEON_KEY,
    f"the key {NEON_KEY} is fine",
    quote(f"a/{NEON_KEY}|b", safe=""),
    base64.b64encode(f"user:{NEON_KEY}".encode()).decode(),
    base64.b64encode(f"us:{NEON_KEY}x".encode()).decode(),
    base64.b64encode(f"u:{NEON_KEY}".encode()).decode(),
    NEON_KEY.encode().hex(),
    [{"deep": {NEON_KEY: NEON_KEY}}],
]


@pytest.mark.parametrize("way", [{}, ORDINARY], ids=["in process", "ordinary"])
def test_a_secret_that_comes_back_is_masked_in_results(both_ways: BothWays, stub_server: StubServer, way: Json) -> None:
    """Given a service that sends the key back in every form, then no output at -vvvv holds it in any."""
    serve(stub_server, {"name": NEON_KEY, "settings": {"allowed_ips": {"ips": ECHOES}}})
    played = play(
        both_ways,
        stub_server,
        "-vvvv",
        "--diff",
        task=way,
        options={"neon_api_key": "{{ the_key }}"},
        variables={"the_key": NEON_KEY},
    )
    assert played.code == 0, played.output
    assert len(played.results["read"]["project"]["allowed_ips"]) == len(ECHOES)
    assert_clean(played)


@pytest.mark.parametrize("way", [{}, ORDINARY], ids=["in process", "ordinary"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": NEON_KEY, "message": f"bad key {NEON_KEY}", "request_id": NEON_KEY}),
        (200, {"project": {"id": "x", "history_retention_seconds": 60, "created_at": NEON_KEY}}),
        (200, {"project": {"id": "x", "owner": {"subscription_type": {NEON_KEY: NEON_KEY}}}}),
        (200, {"project": {"id": "x", "settings": [NEON_KEY]}}),
    ],
    ids=["api error", "unusable value", "dictionary key", "unexpected exception"],
)
def test_a_secret_in_an_error_is_masked(
    both_ways: BothWays, stub_server: StubServer, way: Json, status: int, body: Json
) -> None:
    """Given an error whose text holds the key, then message, traceback and structured error are clean at -vvvv."""
    serve(stub_server, status=status, body=body)
    played = play(both_ways, stub_server, "-vvvv", task=way, variables={"rewind_neon_api_key": NEON_KEY})
    assert_clean(played)


@pytest.mark.parametrize("way", [{}, ORDINARY], ids=["in process", "ordinary"])
def test_a_secret_in_a_warning_is_masked(both_ways: BothWays, stub_server: StubServer, way: Json) -> None:
    """Given a warning whose text holds the key, then it is shown without it."""
    branch = {"id": "br-calm-sea-a1b2c3d4", "name": f"main-{NEON_KEY}", "current_state": "ready", "parent_id": "br-x"}
    stub_server.answer("GET", f"{PATH}/branches", {"branches": [branch], "pagination": {}})
    stub_server.answer("GET", f"{PATH}/endpoints", {"endpoints": []})
    options = {
        **OPTIONS,
        "branch_id": branch["id"],
        "source_timestamp": "2025-01-13T14:25:00Z",
        "preserve_under_name": "rollback-1",
    }
    played = both_ways.play(
        [{"name": "restore", "rewind.database.neon_branch_restore": options, "check_mode": True, **way}],
        variables={"rewind_neon_api_url": f"{stub_server.url}/api/v2", "rewind_neon_api_key": NEON_KEY},
        arguments=("-vvvv",),
    )
    assert played.code == 0, played.output
    assert "root branches only" in played.output and "WARNING" in played.output
    assert_clean(played)


def assert_clean(played: Played) -> None:
    text = played.output + json.dumps(played.results)
    core = NEON_KEY[4:-4]
    forms = [core, core.encode().hex()]
    forms += [base64.b64encode(b"\0" * shift + core.encode()).decode()[4:-4] for shift in range(3)]
    for form in forms:
        assert form not in text, text[max(0, text.index(form) - 300) : text.index(form) + 100]
