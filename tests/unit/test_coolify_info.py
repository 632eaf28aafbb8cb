# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading modules of Coolify and coolify_application, against an ordered script of requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from ansible_collections.rewind.database.plugins.module_utils._coolify.abilities import UNKNOWN
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, Script, call_module

Json = dict[str, Any]

APP = "x8g4kso0gk4ws80gk8c4ogw0"
AT = f"/applications/{APP}"
LIST = f"/deployments/applications/{APP}"
SHA = "3f2c1b0a9e8d7c6b5a4938271605f4e3d2c1b0a9"
PASSWORD = "npgT4wq9ZkR2vXs7"
HOST = "ep-old-hill-a1b2c3d4.eu-central-1.aws.neon.tech"
POOLED = "ep-old-hill-a1b2c3d4-pooler.eu-central-1.aws.neon.tech"
DIRECT_URL = f"postgresql://app:{PASSWORD}@{HOST}/db"
POOLED_URL = f"postgresql://app:{PASSWORD}@{POOLED}/db?sslmode=require"
OPTIONS: Json = {"coolify_access_token": COOLIFY_TOKEN, "coolify_api_url": "https://coolify.example.com/api/v1"}
NOT_FOUND = {"message": "Application not found"}


def application(**more: Any) -> Json:
    return {
        "uuid": APP,
        "name": "tracker",
        "status": "running:healthy",
        "server_status": True,
        "build_pack": "nixpacks",
        "git_branch": "main",
        "git_commit_sha": "HEAD",
        "health_check_enabled": True,
        "health_check_path": "/api/health",
        "health_check_port": "3000",
        "custom_labels": "",
        "settings": {"is_auto_deploy_enabled": True},
        **more,
    }


def row(key: str, value: str, **more: Any) -> Json:
    return {"uuid": f"uuid-{key.lower()}", "key": key, "value": value, "is_preview": False, **more}


def deployment(uuid: str = "d1", status: str = "finished", **more: Any) -> Json:
    return {"deployment_uuid": uuid, "status": status, "commit": SHA, "pull_request_id": 0, **more}


def call(module: str, check_mode: bool = False, **more: Any) -> Json:
    """Run a module, and look for every secret in all that it returns."""
    result = call_module(module, {**OPTIONS, **more}, check_mode=check_mode)
    for secret in (COOLIFY_TOKEN, PASSWORD):
        assert secret not in json.dumps(result)
    return result


def read(script: Script, rows: list[Json], deployments: Any = None) -> None:
    script.expect("GET", "/version", "4.3.11").expect("GET", AT, application()).expect("GET", f"{AT}/envs", rows)
    script.expect("GET", LIST, deployments or {"count": 1, "deployments": [deployment()]})


# -- coolify_application_info ------------------------------------------------------------------------------------------


def test_an_application_is_read_with_its_rows_but_no_values(script: Script, tmp_path: Path) -> None:
    """Given two rows of a key, a preview row, and one that is no connection, then parts and hashes are shown only."""
    rows = [
        row("DATABASE_URL", POOLED_URL, is_buildtime=False),
        row("DATABASE_URL", DIRECT_URL, uuid="second"),
        row("DATABASE_URL", POOLED_URL, uuid="preview", is_preview=True),
        row("MODE", "production"),
    ]
    read(script, rows)
    script.expect("PATCH", f"/applications/{UNKNOWN}/envs/bulk", NOT_FOUND, status=404, json={"data": []})
    script.expect("POST", f"/deployments/{UNKNOWN}/cancel", {"message": "Deployment not found."}, status=404)
    result = call("coolify_application_info", application=APP, state_dir=str(tmp_path))
    found = result["application"]
    assert result["version"] == "4.3.11" and found["commit"] == SHA and found["auto_deploy"] is True
    assert result["abilities"] == {"read": "proven", "read_sensitive": "proven", "write": "proven", "deploy": "proven"}
    assert [item["duplicate"] for item in found["environment"]] == [True, True, False, False]
    first, second, preview, mode = (item["connection"] for item in found["environment"])
    assert first["host"] == POOLED and first["pooled"] is True and second["pooled"] is False
    assert first["template"] == POOLED_URL.replace(f":{PASSWORD}", "") and first["parameters"] == {"sslmode": "require"}
    assert first["hash"] == preview["hash"] != second["hash"] and mode is None
    assert found["rolling"] == {"ok": True, "reasons": []} and result["changed"] is False


def test_a_row_that_nobody_can_read_is_known_by_the_string_that_a_person_supplies(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a locked row, then the variable's string stands for it; a row that can be read keeps its own."""
    monkeypatch.setenv("OLD_STRING", f" {DIRECT_URL}\n")
    locked = {key: value for key, value in row("DATABASE_URL", "", is_shown_once=True).items() if key != "value"}
    preview = {**locked, "uuid": "preview", "is_preview": True}
    names = dict.fromkeys(("DATABASE_URL", "SAME_URL", "POOL_URL"), "OLD_STRING") | {"UNSET_URL": "NOT_SET"}
    read(script, [locked, preview, row("SAME_URL", DIRECT_URL), row("POOL_URL", POOLED_URL), row("UNSET_URL", "x")])
    result = call("coolify_application_info", check_mode=True, application=APP, supplied_env=names)
    shown = result["application"]["environment"]
    assert [item["supplied"] for item in shown] == [True, False, True, False, False]
    assert shown[0]["connection"]["host"] == HOST and shown[0]["readable"] is False
    assert shown[1]["connection"] is None and shown[3]["connection"]["host"] == POOLED
    assert [line for line in result["warnings"] if "supplied" in line] == [
        "The string supplied for POOL_URL is not the one that stands in the row; it is not used."
    ]


def test_a_supplied_value_that_is_no_connection_string_is_refused_without_showing_it(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a variable that holds something else, then the message names the variable only."""
    monkeypatch.setenv("OLD_STRING", PASSWORD)
    script.expect("GET", "/version", "4.3.11").expect("GET", AT, application()).expect("GET", f"{AT}/envs", [])
    script.expect("GET", LIST, {"count": 1, "deployments": [deployment()]})
    result = call("coolify_application_info", application=APP, supplied_env={"DATABASE_URL": "OLD_STRING"})
    assert result["failed"] is True and "OLD_STRING" in result["msg"]


def test_in_check_mode_abilities_stay_unproven(script: Script) -> None:
    """Given check mode, then nothing but GET is sent, and what could not be proven is said to be unproven."""
    read(script, [row("DATABASE_URL", DIRECT_URL)])
    result = call("coolify_application_info", check_mode=True, application=APP)
    assert script.writes() == []
    assert (result["abilities"]["write"], result["abilities"]["deploy"]) == ("unproven", "unproven")


def test_missing_abilities_are_told_apart_from_unknown_routes(script: Script) -> None:
    """Given 403 for the write, and a route that an old version does not have, then one is missing, one unproven."""
    read(script, [])
    script.expect(
        "PATCH", f"/applications/{UNKNOWN}/envs/bulk", {"message": "Missing required permissions: write"}, status=403
    )
    body = {"message": "Not found.", "docs": "https://coolify.io/docs"}
    script.expect("POST", f"/deployments/{UNKNOWN}/cancel", body, status=404)
    abilities = call("coolify_application_info", application=APP)["abilities"]
    assert (abilities["write"], abilities["deploy"]) == ("missing", "unproven")


def test_hidden_values_mean_a_missing_ability_and_a_locked_row_does_not(script: Script) -> None:
    """Given rows without values, then read:sensitive is missing; a locked one alone says nothing about it."""
    read(script, [{"uuid": "u", "key": "DATABASE_URL"}])
    result = call("coolify_application_info", application=APP, prove_abilities=False)
    assert result["abilities"]["read_sensitive"] == "missing" and "read:sensitive" in result["warnings"][0]
    read(script, [{"uuid": "u", "key": "DATABASE_URL", "is_shown_once": True}])
    result = call("coolify_application_info", application=APP, prove_abilities=False)
    assert result["abilities"]["read_sensitive"] == "proven"
    assert result["application"]["environment"][0]["readable"] is False


def test_the_running_commit_is_found_behind_failures(script: Script) -> None:
    """Given a page full of failures, then older pages are read until a finished deployment comes."""
    failures = [deployment(f"f{number}", "failed", commit="HEAD") for number in range(25)]
    read(script, [], {"count": 30, "deployments": failures})
    script.expect("GET", LIST, {"deployments": [deployment()]}, query={"skip": "25"})
    assert call("coolify_application_info", application=APP, prove_abilities=False)["application"]["commit"] == SHA


def test_the_running_commit_is_found_behind_previews(script: Script) -> None:
    """Given a page full of deployments of pull requests, then the application's own is found behind it."""
    previews = [deployment(f"p{number}", pull_request_id=7) for number in range(25)]
    read(script, [], {"count": 26, "deployments": previews})
    script.expect("GET", LIST, {"deployments": [deployment()]}, query={"skip": "25"})
    assert call("coolify_application_info", application=APP, prove_abilities=False)["application"]["commit"] == SHA


def test_all_applications_are_listed_without_their_rows(script: Script) -> None:
    """Given no application option, then one request lists all of them."""
    script.expect("GET", "/version", "4.3.11").expect("GET", "/applications", [application(), application(uuid="b")])
    result = call("coolify_application_info", prove_abilities=False)
    assert result["application"] is None and [item["uuid"] for item in result["applications"]] == [APP, "b"]


def test_a_missing_address_and_a_missing_token_say_what_to_set() -> None:
    """Given neither address nor token, then nothing is sent and the message names the options."""
    result = call_module("coolify_application_info", {})
    assert result["failed"] is True and "COOLIFY_API_URL" in result["msg"]
    result = call_module("coolify_application_info", {"coolify_api_url": "https://coolify.example.com"})
    assert result["failed"] is True and "COOLIFY_ACCESS_TOKEN" in result["msg"]


def test_an_empty_uuid_never_asks_for_the_whole_list() -> None:
    """Given an empty uuid, then it is refused: the path would be that of the list."""
    for module in ("coolify_deployment_info", "coolify_deployment"):
        assert "it is empty" in call(module, application=" ")["msg"]


# -- coolify_deployment_info -------------------------------------------------------------------------------------------


def test_deployments_are_listed_with_what_runs_and_what_finished(script: Script) -> None:
    """Given an object keyed by index, then it is read like a list, without logs and without pull requests."""
    listed = {
        "0": deployment("d3", "in_progress"),
        "1": deployment("d2", pull_request_id=4),
        "2": deployment("d1", logs=json.dumps([{"output": f"x {PASSWORD}", "hidden": False}])),
    }
    script.expect("GET", LIST, listed, query={"take": "10"})
    result = call("coolify_deployment_info", application=APP)
    assert [item["uuid"] for item in result["deployments"]] == ["d3", "d1"]
    assert [item["uuid"] for item in result["running"]] == ["d3"] and result["last_finished"]["uuid"] == "d1"
    assert result["last_finished"]["log_tail"] == []


def test_previews_do_not_hide_what_is_asked_for(script: Script) -> None:
    """Given more deployments of pull requests than were asked for, then it is read on until there are enough."""
    previews = [deployment(f"p{number}", pull_request_id=7) for number in range(5)]
    own = [deployment("d2", "failed"), *previews[:2], deployment("d1"), *previews]
    script.expect("GET", LIST, {"deployments": previews}, query={"skip": "0", "take": "5"})
    script.expect("GET", LIST, {"deployments": own}, query={"skip": "5", "take": "25"})
    result = call("coolify_deployment_info", application=APP, limit=5)
    assert [item["uuid"] for item in result["deployments"]] == ["d2", "d1"]
    assert result["last_finished"]["uuid"] == "d1"


def test_deployments_are_read_no_farther_than_200(script: Script) -> None:
    """Given nothing but deployments of pull requests, then it ends, and none is the application's own."""
    page = [deployment(f"p{number}", pull_request_id=7) for number in range(25)]
    script.expect("GET", LIST, {"deployments": page[:10]}, query={"skip": "0", "take": "10"})
    for skip in range(10, 200, 25):
        take = min(25, 200 - skip)
        script.expect("GET", LIST, {"deployments": page[:take]}, query={"skip": str(skip), "take": str(take)})
    result = call("coolify_deployment_info", application=APP)
    assert result["deployments"] == [] and result["last_finished"] is None


def test_logs_are_returned_only_with_the_values_taken_out(script: Script) -> None:
    """Given logs=true, then the environment is read first, and its values are not in the lines."""
    line = json.dumps([{"output": f"using {PASSWORD} now", "hidden": False}])
    script.expect("GET", LIST, {"deployments": [deployment(logs=line)]})
    script.expect("GET", f"{AT}/envs", [row("PGPASSWORD", PASSWORD)])
    result = call("coolify_deployment_info", application=APP, logs=True)
    assert result["deployments"][0]["log_tail"] == ["using ******** now"]


def test_a_phantom_uuid_is_an_empty_answer(script: Script) -> None:
    """Given a uuid that Coolify never stored, then nothing is found, and that is no error."""
    script.expect("GET", "/deployments/ghost", {"message": "Deployment not found."}, status=404)
    result = call("coolify_deployment_info", application=APP, deployment_uuid="ghost")
    assert result["deployments"] == [] and not result.get("failed")


def test_a_deployment_of_another_application_is_refused(script: Script) -> None:
    """Given a deployment that belongs to another application than the one named, then it is not shown as its own."""
    script.expect("GET", "/deployments/theirs", deployment("theirs", application={"uuid": "another"}))
    result = call("coolify_deployment_info", application=APP, deployment_uuid="theirs")
    assert result["error"]["code"] == "other_application" and "another" in result["msg"]


# -- coolify_consumer_info ---------------------------------------------------------------------------------------------


def survey(script: Script, *, version: str = "4.3.11") -> None:
    """Two applications, one of them with hidden rows, a service, and (4.3.0) shared rows."""
    script.expect("GET", "/applications", [{"uuid": "a1", "name": "tracker"}, {"uuid": "a2", "name": "jobs"}])
    rows = [
        row("DATABASE_URL", POOLED_URL),
        row("DIRECT_URL", DIRECT_URL, is_preview=True),
        row("ANALYTICS", "{{project.READ_URL}}"),
        row("OTHER", "postgresql://u:p@elsewhere.example.com/db"),
    ]
    script.expect("GET", "/applications/a1/envs", rows)
    script.expect("GET", "/applications/a2/envs", [{"uuid": "l", "key": "DATABASE_URL", "is_shown_once": True}])
    script.expect("GET", "/services", [{"uuid": "s1", "name": "stack"}])
    script.expect("GET", "/services/s1/envs", [row("PGHOST", HOST)])
    script.expect("GET", "/version", version)


def test_every_row_that_names_the_host_is_found(script: Script) -> None:
    """Given rows with the direct and the pooled host, in a URI, alone, and through a shared variable, all are found."""
    survey(script)
    script.expect("GET", "/team/envs", []).expect("GET", "/projects", [{"uuid": "p1", "name": "main"}])
    script.expect("GET", "/projects/p1/envs", [row("READ_URL", DIRECT_URL)])
    script.expect("GET", "/projects/p1", {"uuid": "p1", "environments": [{"uuid": "e1", "name": "production"}]})
    script.expect("GET", "/projects/p1/environments/e1/envs", [])
    script.expect("GET", "/servers", {"message": "Missing required permissions: read"}, status=403)
    result = call("coolify_consumer_info", hosts=[HOST])
    found = [(item["kind"], item["name"], item["key"], item["pooled"]) for item in result["consumers"]]
    assert found == [
        ("application", "tracker", "DATABASE_URL", True),
        ("application", "tracker", "DIRECT_URL", False),
        ("service", "stack", "PGHOST", False),
        ("project", "main", "READ_URL", False),
        ("application", "tracker", "ANALYTICS", False),
    ]
    hashes = [item["hash"] for item in result["consumers"]]
    assert all(len(text) == 12 for text in hashes), "a write can be made only if the row is still that"
    assert hashes[1] == hashes[3] != hashes[0]
    assert result["consumers"][-1]["through"] == "project.READ_URL" and result["consumers"][1]["is_preview"] is True
    reasons = {(item["kind"], item["name"]): (item["env_keys"], item["reason"]) for item in result["unreadable"]}
    assert reasons["application", "jobs"] == (["DATABASE_URL"], "locked")
    assert "Missing required permissions" in reasons["server", "all servers"][1]


def test_what_stands_in_a_shared_variable_that_cannot_be_read_is_unknown(script: Script) -> None:
    """Given a version that does not list shared variables, then rows that use them are unreadable, not absent."""
    survey(script, version="4.2.0")
    result = call("coolify_consumer_info", hosts=[POOLED], ignore=["jobs", "tracker/DATABASE_URL"])
    assert [item["key"] for item in result["consumers"]] == ["DIRECT_URL", "PGHOST"]
    assert [(item["name"], item["env_keys"]) for item in result["unreadable"]] == [("tracker", ["ANALYTICS"])]


# -- coolify_application -----------------------------------------------------------------------------------------------


def test_settings_are_changed_and_read_back_with_what_was_before(script: Script) -> None:
    """Given two settings of which one is as wanted, then only the other is sent."""
    script.expect("GET", AT, application())
    script.expect("PATCH", AT, {"uuid": APP}, json={"is_auto_deploy_enabled": False})
    script.expect("GET", AT, application(settings={"is_auto_deploy_enabled": False}))
    result = call("coolify_application", application=APP, auto_deploy=False, git_commit_sha="HEAD")
    assert result["changed"] is True and result["before"] == {"auto_deploy": True, "git_commit_sha": "HEAD"}
    assert result["application"]["auto_deploy"] is False
    assert result["diff"] == {"before": {"auto_deploy": True}, "after": {"auto_deploy": False}}


def test_the_same_settings_again_are_no_change(script: Script) -> None:
    """Given a health check as wanted, port as a number or not, then nothing is sent."""
    script.expect("GET", AT, application(health_check_port=3000))
    health = {"enabled": True, "path": "/api/health", "port": "3000"}
    assert call("coolify_application", application=APP, health_check=health)["changed"] is False


def test_check_mode_shows_the_application_as_it_would_be(script: Script) -> None:
    """Given check mode, then nothing is sent and the result has the new values."""
    script.expect("GET", AT, application())
    result = call("coolify_application", check_mode=True, application=APP, health_check={"path": "/up"})
    assert result["changed"] is True and result["application"]["health_check"]["path"] == "/up"
    assert result["diff"]["after"] == {"health_check": {"path": "/up"}} and script.writes() == []


def test_auto_deploy_that_is_not_shown_is_written_each_time(script: Script) -> None:
    """Given a Coolify that does not return the setting, then it is written, and null is what is known of before."""
    hidden = application(settings=None)
    script.expect("GET", AT, hidden).expect("PATCH", AT, {"uuid": APP}).expect("GET", AT, hidden)
    result = call("coolify_application", application=APP, auto_deploy=False)
    assert result["changed"] is True and result["before"] == {"auto_deploy": None}


@pytest.mark.parametrize("effect", [True, False])
def test_a_lost_answer_is_read_back(script: Script, effect: bool) -> None:
    """Given a PATCH without an answer, then the application is read: done is success, not done an unknown outcome."""
    script.expect("GET", AT, application()).expect("PATCH", AT, httpx.ReadError("reset"))
    after = application(git_commit_sha=SHA if effect else "HEAD")
    for _time in range(2 if effect else 1):
        script.expect("GET", AT, after)
    result = call("coolify_application", application=APP, git_commit_sha=SHA)
    assert result.get("error", {}).get("code") == (None if effect else "unknown_outcome")


def test_a_setting_that_does_not_stick_is_an_error(script: Script) -> None:
    """Given a PATCH that answers 200 and changes nothing, then the task fails and names the setting."""
    script.expect("GET", AT, application()).expect("PATCH", AT, {"uuid": APP}).expect("GET", AT, application())
    result = call("coolify_application", application=APP, health_check={"path": "/up"})
    assert result["error"]["code"] == "not_verified" and "health_check.path" in result["msg"]


@pytest.mark.parametrize(
    ("module", "given"),
    [
        ("coolify_application_info", {"application": APP, "prove_abilities": False}),
        ("coolify_deployment_info", {"application": APP, "logs": True}),
        ("coolify_consumer_info", {"hosts": [HOST]}),
        ("coolify_application", {"application": APP, "git_commit_sha": "HEAD"}),
    ],
)
def test_both_ways_say_the_same(
    both_ways: BothWays, stub_server: StubServer, tmp_path: Path, module: str, given: Json
) -> None:
    """Given a server, when a task runs in the controller's process and as a module, then the results are equal."""
    base = "/api/v1"
    stub_server.answer("GET", f"{base}{AT}", application()).answer("GET", f"{base}/version", "4.2.0")
    stub_server.answer("GET", f"{base}/applications", [application()]).answer("GET", f"{base}/services", [])
    stub_server.answer("GET", f"{base}{AT}/envs", [row("DATABASE_URL", POOLED_URL)])
    stub_server.answer("GET", f"{base}{LIST}", {"count": 1, "deployments": [deployment()]})
    variables = {
        "rewind_coolify_access_token": COOLIFY_TOKEN,
        "rewind_coolify_api_url": stub_server.url,
        "rewind_state_dir": str(tmp_path / "state"),
    }
    result = both_ways.same(module, given, variables=variables)
    assert result["changed"] is False and PASSWORD not in json.dumps(result)
    assert {request[3] for request in stub_server.requests} == {f"Bearer {COOLIFY_TOKEN}"}
