# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""coolify_application_env: against an ordered script of requests, what it sends, refuses, proves and never shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, NEON_KEY, Script, call_module

Json = dict[str, Any]

APP = "x8g4kso0gk4ws80gk8c4ogw0"
ENVS = f"/applications/{APP}/envs"
OLD_PASSWORD = "npgT4wq9ZkR2vXs7"
NEW_PASSWORD = "npgL8bn3HcY6mDf1"
OLD_HOST = "ep-old-hill-a1b2c3d4.eu-central-1.aws.neon.tech"
NEW_HOST = "ep-new-lake-e5f6a7b8.eu-central-1.aws.neon.tech"
OLD = f"postgresql://app:{OLD_PASSWORD}@{OLD_HOST}/db?sslmode=require"
NEW = f"postgresql://app:{NEW_PASSWORD}@{NEW_HOST}/db?sslmode=require"


def row(key: str = "DATABASE_URL", value: str | None = OLD, **more: Any) -> Json:
    """A row as Coolify returns it; without `value` where it is not shown."""
    body = {
        "uuid": f"uuid-{key.lower()}",
        "key": key,
        "value": value,
        "real_value": f"'{value}'",
        "is_preview": False,
        "is_literal": True,
        "is_multiline": False,
        "is_shown_once": False,
        "is_runtime": True,
        "is_buildtime": False,
        "is_shared": False,
        "comment": "set by hand",
        "updated_at": "2026-11-22T10:00:00.000000Z",
    }
    body.update(more)
    return body


def hidden(**more: Any) -> Json:
    """A row whose value is left out of the answer."""
    body = row(**more)
    del body["value"], body["real_value"]
    return body


def sent(value: str, key: str = "DATABASE_URL", **more: Any) -> Json:
    """A row as it must be sent: with everything in it."""
    flags = {
        "is_literal": True,
        "is_multiline": False,
        "is_shown_once": False,
        "is_runtime": True,
        "is_buildtime": False,
    }
    return {"key": key, "value": value, "is_preview": False, **flags, "comment": "set by hand", **more}


@pytest.fixture
def options(tmp_path: Path) -> Json:
    return {
        "application": APP,
        "coolify_access_token": COOLIFY_TOKEN,
        "coolify_api_url": "https://coolify.example.com",
        "state_dir": str(tmp_path / "state"),
    }


def call(options: Json, *variables: Json, check_mode: bool = False, **more: Any) -> Json:
    """Run the module, and look for every secret in all that it returns."""
    result = call_module(
        "coolify_application_env", {**options, "variables": list(variables), **more}, check_mode=check_mode
    )
    text = json.dumps(result)
    for secret in (OLD_PASSWORD, NEW_PASSWORD, COOLIFY_TOKEN, NEON_KEY):
        assert secret not in text
    return result


def test_a_value_is_written_with_every_flag_and_read_back(script: Script, options: Json) -> None:
    """Given a literal row with a comment, when its value changes, then one write sends all of it and is proven."""
    script.expect("GET", ENVS, [row(), row("OTHER", "x"), row(is_preview=True, uuid="preview")])
    script.expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent(NEW)]})
    script.expect("GET", ENVS, [row(value=NEW, updated_at="2026-11-22T11:00:00.000000Z"), row("OTHER", "x")])
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    variable = result["variables"][0]
    assert result["changed"] is True and variable["changed"] is True and variable["verified"] is True
    assert variable["before"]["connection"]["host"] == OLD_HOST and variable["after"]["connection"]["host"] == NEW_HOST
    assert variable["before"]["hash"] != variable["after"]["hash"]
    assert variable["flags"]["is_literal"] is True and variable["flags"]["comment"] == "set by hand"
    assert result["written_at"] == "2026-11-22T11:00:00.000000Z"
    assert result["diff"]["after"]["DATABASE_URL"]["host"] == NEW_HOST
    assert all(request.headers["accept"] == "application/json" for request in script.requests)


def test_a_second_run_changes_nothing(script: Script, options: Json) -> None:
    """Given a row as wanted, then nothing is written, and when it was written is still told."""
    script.expect("GET", ENVS, [row(value=NEW)]).expect("GET", "/version", "4.3.11")
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    assert result["changed"] is False and result["operations"] == [] and result["diff"] == {"before": {}, "after": {}}
    assert result["written_at"] == "2026-11-22T10:00:00.000000Z"


def test_check_mode_sends_only_get_and_shows_the_same_change(script: Script, options: Json) -> None:
    """Given check mode, then the change is predicted by reading alone."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    result = call(options, {"key": "DATABASE_URL", "value": NEW}, check_mode=True)
    assert result["changed"] is True and script.writes() == []
    assert result["variables"][0]["after"]["connection"]["host"] == NEW_HOST
    assert result["variables"][0]["verified"] is None
    assert not Path(options["state_dir"]).exists()


def test_several_rows_are_one_write(script: Script, options: Json) -> None:
    """Given three variables of which one is as wanted, then one request writes the two others."""
    rows = [row(), row("DIRECT_URL"), row("SAME", "same")]
    script.expect("GET", ENVS, rows).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent(NEW), sent(NEW, "DIRECT_URL")]})
    script.expect("GET", ENVS, [row(value=NEW), row("DIRECT_URL", NEW), row("SAME", "same")])
    result = call(
        options,
        {"key": "DATABASE_URL", "value": NEW},
        {"key": "DIRECT_URL", "value": NEW},
        {"key": "SAME", "value": "same"},
    )
    assert [variable["changed"] for variable in result["variables"]] == [True, True, False]


def test_a_new_row_is_written_whole_and_its_preview_copy_is_named(script: Script, options: Json) -> None:
    """Given no such row, when it is set, then Coolify's defaults are sent, and the copy that it adds is told."""
    fresh = {"is_literal": False, "is_buildtime": True, "comment": None}
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent("on-and-on", "MODE", **fresh)]})
    after = [row(), row("MODE", "on-and-on", **fresh), row("MODE", "on-and-on", is_preview=True, uuid="copy", **fresh)]
    script.expect("GET", ENVS, after)
    variable = call(options, {"key": "MODE", "value": "on-and-on"})["variables"][0]
    assert variable["preview_copy"] == "copy" and variable["uuid"] == "uuid-mode"
    assert variable["before"]["present"] is False and variable["after"]["connection"] is None


@pytest.mark.parametrize(
    ("rows", "variable", "words"),
    [
        ([row(), row(uuid="second")], {}, ["uuid-database_url", "second"]),
        ([hidden(is_shown_once=True)], {}, ["locked", "overwrite_locked"]),
        ([hidden()], {}, ["read:sensitive", "admin"]),
        ([row(value="{{team.DB}}", is_shared=True)], {}, ["team.DB", "allow_shared"]),
        ([row()], {"value": "{{project.DB}}"}, ["project.DB", "allow_shared"]),
        ([row()], {"expected_hash": "0123456789ab"}, ["changed by somebody else"]),
        ([row(value="plain")], {"value": "it's"}, ["single quote", "is_literal"]),
    ],
)
def test_what_could_lose_something_is_refused_before_any_write(
    script: Script, options: Json, rows: list[Json], variable: Json, words: list[str]
) -> None:
    """Given a row that is double, locked, hidden, shared or changed, then nothing is written and it says what to do."""
    script.expect("GET", ENVS, rows).expect("GET", "/version", "4.3.11")
    result = call(options, {"key": "DATABASE_URL", "value": NEW, **variable})
    assert result["failed"] is True and script.writes() == []
    for word in words:
        assert word in result["msg"]


@pytest.mark.parametrize("whole_task", [True, False])
def test_a_locked_row_is_overwritten_on_demand_and_called_unproven(
    script: Script, options: Json, whole_task: bool
) -> None:
    """Given a locked row and overwrite_locked, then it is written with its lock, and nothing is claimed about it."""
    before = hidden(is_shown_once=True)
    after = hidden(is_shown_once=True, updated_at="2026-11-22T11:00:00.000000Z")
    script.expect("GET", ENVS, [before]).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent(NEW, is_shown_once=True)]})
    script.expect("GET", ENVS, [after])
    task, variable = ({"overwrite_locked": True}, {}) if whole_task else ({}, {"overwrite_locked": True})
    result = call(options, {"key": "DATABASE_URL", "value": NEW, **variable}, **task)
    assert result["changed"] is True and result["variables"][0]["verified"] is None
    assert "cannot be read back" in result["warnings"][0]


def test_a_locked_row_that_an_old_version_shows_is_an_ordinary_one(script: Script, options: Json) -> None:
    """Given 4.1.2, which shows locked values to a token with read:sensitive, then it is changed and proven."""
    script.expect("GET", ENVS, [row(is_shown_once=True)]).expect("GET", "/version", "4.1.2")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent(NEW, is_shown_once=True)]})
    script.expect("GET", ENVS, [row(value=NEW, is_shown_once=True)])
    assert call(options, {"key": "DATABASE_URL", "value": NEW})["variables"][0]["verified"] is True


def test_a_version_that_drops_flags_is_refused(script: Script, options: Json) -> None:
    """Given 4.0.0-beta.434, then nothing is written, and the message names the version to upgrade to."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.0.0-beta.434")
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    assert result["failed"] is True and "4.0.0-beta.435" in result["msg"] and script.writes() == []


def test_a_value_that_does_not_read_back_fails(script: Script, options: Json) -> None:
    """Given a write that answers 201 and changes nothing, then the task fails and names the row."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201).expect("GET", ENVS, [row()])
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    assert result["error"]["code"] == "not_verified" and "DATABASE_URL" in result["msg"]
    assert result["partial"] == {"saved": [], "not_saved": ["DATABASE_URL"]}


def test_a_wiped_flag_is_noticed(script: Script, options: Json) -> None:
    """Given a row whose flag is another one after the write, then the task fails though the value is right."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201).expect("GET", ENVS, [row(value=NEW, is_literal=False)])
    assert call(options, {"key": "DATABASE_URL", "value": NEW})["error"]["code"] == "not_verified"


def test_a_lost_answer_is_settled_by_reading_back(script: Script, options: Json) -> None:
    """Given a write whose answer is lost but which took effect, then it is not sent again."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", httpx.ReadError("connection reset"))
    script.expect("GET", ENVS, [row(value=NEW)])
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    assert result["changed"] is True and len(script.writes()) == 1


def test_an_upgrade_of_coolify_is_waited_for(script: Script, options: Json) -> None:
    """Given 503 more than once, then the rows are read back each time, and sent again while there is time."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    for _time in range(3):
        script.expect("PATCH", f"{ENVS}/bulk", "upgrading", status=503, headers={"Retry-After": "1"})
        script.expect("GET", ENVS, [row()])
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201).expect("GET", ENVS, [row(value=NEW)])
    assert call(options, {"key": "DATABASE_URL", "value": NEW})["changed"] is True


def test_an_answer_that_is_not_coolifys_is_settled_by_reading_back(script: Script, options: Json) -> None:
    """Given a page of a proxy instead of an answer, then what is missing is sent once more."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    html = {"Content-Type": "text/html"}
    script.expect("PATCH", f"{ENVS}/bulk", "<html>please log in</html>", headers=html).expect("GET", ENVS, [row()])
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201).expect("GET", ENVS, [row(value=NEW)])
    assert call(options, {"key": "DATABASE_URL", "value": NEW})["changed"] is True


def test_what_is_missing_after_a_lost_answer_is_sent_once_more(script: Script, options: Json) -> None:
    """Given a bulk write that stopped half way, then only the row that is missing is sent, once."""
    script.expect("GET", ENVS, [row(), row("DIRECT_URL")]).expect("GET", "/version", "4.3.11")
    script.expect("PATCH", f"{ENVS}/bulk", {"message": "Server Error"}, status=500)
    script.expect("GET", ENVS, [row(value=NEW), row("DIRECT_URL")])
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent(NEW, "DIRECT_URL")]})
    script.expect("GET", ENVS, [row(value=NEW), row("DIRECT_URL", NEW)])
    result = call(options, {"key": "DATABASE_URL", "value": NEW}, {"key": "DIRECT_URL", "value": NEW})
    assert result["changed"] is True and len(script.writes()) == 2


def test_two_lost_answers_are_an_unknown_outcome_with_what_is_known(script: Script, options: Json) -> None:
    """Given no effect after two lost answers, then it stops and says which rows are not written."""
    script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    for _time in range(2):
        script.expect("PATCH", f"{ENVS}/bulk", httpx.ReadTimeout("slow")).expect("GET", ENVS, [row()])
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    assert result["error"]["code"] == "unknown_outcome" and result["partial"]["not_saved"] == ["DATABASE_URL"]


def test_a_refusal_in_the_middle_says_what_was_saved(script: Script, options: Json) -> None:
    """Given a 422 for the second of two rows, then the first one is reported as saved: the write is not atomic."""
    script.expect("GET", ENVS, [row(), row("DIRECT_URL")]).expect("GET", "/version", "4.3.11")
    answer = {"message": "Validation failed.", "errors": {"comment": ["The comment is too long."]}}
    script.expect("PATCH", f"{ENVS}/bulk", answer, status=422)
    script.expect("GET", ENVS, [row(value=NEW), row("DIRECT_URL")])
    result = call(options, {"key": "DATABASE_URL", "value": NEW}, {"key": "DIRECT_URL", "value": NEW})
    assert "The comment is too long." in result["msg"]
    assert result["partial"] == {"saved": ["DATABASE_URL"], "not_saved": ["DIRECT_URL"]}


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (401, {"message": "Unauthenticated."}, "token_refused", "30 days"),
        (401, {"message": "Invalid token."}, "token_refused", "no team"),
        (400, {"message": "Invalid token.", "docs": "x"}, "token_refused", "no team"),
        (403, {"success": True, "message": "API is disabled."}, "api_disabled", "Enable the API"),
        (
            403,
            {"success": True, "message": "You are not allowed to access the API."},
            "address_not_allowed",
            "Allowed IPs",
        ),
        (403, {"message": "Missing required permissions: write"}, "ability_missing", "lacks the ability write"),
        (403, {"message": "Missing required team role."}, "role_missing", "admin or the owner"),
        (404, {"message": "Application not found"}, "not_found", "uuid"),
    ],
)
def test_each_refusal_says_what_to_do(
    script: Script, options: Json, status: int, body: Json, code: str, words: str
) -> None:
    """Given one of Coolify's refusals, two of which claim success, then the message says what to do about it."""
    script.expect("GET", ENVS, body, status=status)
    result = call(options, {"key": "DATABASE_URL", "value": NEW})
    assert result["error"]["code"] == code and words in result["msg"] and f"HTTP {status}" in result["msg"]


NEON = "/projects/late-frost-12345678"


def neon(script: Script) -> None:
    """Neon's answers for a branch with a compute."""
    endpoint = {"id": "ep-new-lake-e5f6a7b8", "branch_id": "br-1", "type": "read_write", "host": NEW_HOST}
    script.expect("GET", f"{NEON}/branches/br-1/endpoints", {"endpoints": [endpoint]})
    uri = f"postgresql://app:{NEW_PASSWORD}@{NEW_HOST}/db?sslmode=require&channel_binding=require"
    script.expect("GET", f"{NEON}/connection_uri", {"uri": uri})


def test_a_connection_changes_only_the_host_of_the_string_that_stands_there(script: Script, options: Json) -> None:
    """Given a row with parameters of its own, when it moves to a branch, then all but host and password stays."""
    own = f"postgres://app:{OLD_PASSWORD}@{OLD_HOST}/db?sslmode=require&pgbouncer=true&schema=public%20x"
    moved = own.replace(OLD_HOST, NEW_HOST).replace(OLD_PASSWORD, NEW_PASSWORD)
    connection = {
        "project_id": "late-frost-12345678",
        "branch_id": "br-1",
        "application": APP,
        "env_key": "DATABASE_URL",
    }
    script.expect("GET", ENVS, [row(value=own)]).expect("GET", "/version", "4.3.11")
    script.expect("GET", ENVS, [row(value=own)])
    neon(script)
    script.expect("PATCH", f"{ENVS}/bulk", [], status=201, json={"data": [sent(moved)]})
    script.expect("GET", ENVS, [row(value=moved)])
    result = call({**options, "neon_api_key": NEON_KEY}, {"key": "DATABASE_URL", "connection": connection})
    after = result["variables"][0]["after"]["connection"]
    assert after["host"] == NEW_HOST and after["parameters"]["pgbouncer"] == "true"


def test_a_predicted_branch_is_accepted_in_check_mode_only(script: Script, options: Json) -> None:
    """Given a branch that does not exist yet, then check mode shows a change to an unknown host; a real run refuses."""
    connection = {"project_id": "late-frost-12345678", "branch_id": "predicted:branch/restore-x"}
    for _time in range(2):
        script.expect("GET", ENVS, [row()]).expect("GET", "/version", "4.3.11")
    given = ({**options, "neon_api_key": NEON_KEY}, {"key": "DATABASE_URL", "connection": connection})
    result = call(*given, check_mode=True)
    variable = result["variables"][0]
    assert result["changed"] is True and variable["after"]["connection"]["host"] is None
    assert variable["after"]["connection"]["branch_id"] == "predicted:branch/restore-x"
    assert call(*given)["failed"] is True and script.writes() == []


def test_a_row_is_removed_by_uuid_and_its_preview_row_stays(script: Script, options: Json) -> None:
    """Given a production and a preview row, when the variable is removed, then only the production row goes."""
    preview = row(is_preview=True, uuid="preview")
    script.expect("GET", ENVS, [row(), preview])
    script.expect("DELETE", f"{ENVS}/uuid-database_url", {"message": "Environment variable deleted."})
    script.expect("GET", ENVS, [preview])
    result = call(options, {"key": "DATABASE_URL"}, state="absent")
    assert result["changed"] is True and result["variables"][0]["after"]["present"] is False


def test_removing_what_is_not_there_changes_nothing(script: Script, options: Json) -> None:
    """Given no such row, then nothing is sent."""
    script.expect("GET", ENVS, [row()])
    assert call(options, {"key": "GONE"}, state="absent")["changed"] is False


def test_a_lost_answer_to_a_removal_is_settled_by_reading_back(script: Script, options: Json) -> None:
    """Given a DELETE without an answer, then the row that is still there makes the task fail."""
    script.expect("GET", ENVS, [row()])
    script.expect("DELETE", f"{ENVS}/uuid-database_url", httpx.ReadError("reset")).expect("GET", ENVS, [row()])
    assert call(options, {"key": "DATABASE_URL"}, state="absent")["error"]["code"] == "not_verified"


def test_a_variable_named_twice_is_an_error(script: Script, options: Json) -> None:
    """Given the same key twice, then nothing is even read."""
    result = call(options, {"key": "A", "value": "one-1"}, {"key": "A", "value": "two-2"})
    assert result["failed"] is True and "named twice" in result["msg"]


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer, tmp_path: Path) -> None:
    """Given a server, when the task runs in the controller's process and as a module, then the results are equal."""
    stub_server.answer("GET", f"/api/v1{ENVS}", [row()]).answer("GET", "/api/v1/version", "4.3.11")
    variables = {
        "rewind_coolify_access_token": COOLIFY_TOKEN,
        "rewind_coolify_api_url": stub_server.url,
        "rewind_state_dir": str(tmp_path / "state"),
    }
    given = {"application": APP, "variables": [{"key": "DATABASE_URL", "value": OLD}]}
    result = both_ways.same("coolify_application_env", given, variables=variables)
    assert result["changed"] is False and result["variables"][0]["before"]["connection"]["host"] == OLD_HOST
    assert OLD_PASSWORD not in json.dumps(result)
    assert {request[0] for request in stub_server.requests} == {"GET"}
