# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""coolify_deployment: what it sends and which deployment it takes for its own, against a script of requests."""

from __future__ import annotations

import httpx
import pytest
from ansible_collections.rewind.database.tests.unit.coolify_world import (
    APP,
    AT,
    LIST,
    OTHER_SHA,
    QUEUED,
    SHA,
    Json,
    application,
    begin,
    call,
    deployment,
    idle,
    page,
)
from ansible_collections.rewind.database.tests.unit.tools import FakeClock, Script


@pytest.fixture(autouse=True)
def _time(clock: FakeClock) -> FakeClock:
    """Nobody waits: time moves only when the module sleeps."""
    return clock


def test_the_running_commit_is_deployed_again_and_proven(script: Script) -> None:
    """Given 4.3.11, then the running commit is rolled back to, followed to its end, and its health is read."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED, json={"commit": SHA})
    script.expect("GET", "/deployments/new", deployment("new", "queued"))
    script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    script.expect("GET", "/deployments/new", deployment("new"))
    script.expect("GET", AT, application())
    result = call()
    assert result["changed"] is True and result["deployment"]["uuid"] == "new"
    assert (result["deployment"]["status"], result["deployment"]["commit"]) == ("finished", SHA)
    assert result["deployment"]["build_skipped"] is None and result["application"]["status"] == "running:healthy"
    assert [phase["name"] for phase in result["phases"]] == ["request", "in_progress", "health"]
    assert result["operations"] == [f"POST {AT}/rollback"]
    assert result["diff"] == {
        "before": {"commit": SHA, "deployment": "old"},
        "after": {"commit": SHA, "deployment": "new"},
    }


def test_every_request_asks_for_json_and_no_action_is_a_get(script: Script) -> None:
    """Given a restart, then each request accepts JSON only, and the action is a POST without a query."""
    begin(script, version="4.2.0", git_commit_sha=SHA)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "new"})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False)).expect("GET", AT, application())
    call()
    assert all(request.headers["accept"] == "application/json" for request in script.requests)
    assert all(not request.url.query for request in script.requests if request.method != "GET")


def test_force_is_sent_only_when_true_and_as_json(script: Script) -> None:
    """Given 4.2 and an application on a commit, then force is a JSON boolean, and absent without it."""
    for force in (True, False):
        begin(script, version="4.2.0", git_commit_sha=SHA)
        body = {"deployments": [{"message": "queued.", "resource_uuid": APP, "deployment_uuid": "new"}]}
        expected = {"uuid": APP, "force": True} if force else {"uuid": APP}
        script.expect("POST", "/deploy", body, json=expected)
        script.expect("GET", "/deployments/new", deployment("new", rollback=False)).expect("GET", AT, application())
        assert call(force=force, commit="running" if force else "configured")["changed"] is True


def test_before_4_3_the_commit_is_pinned_and_put_back(script: Script) -> None:
    """Given 4.2 and an application that follows its branch, then HEAD is put back after the deployment."""
    begin(script, version="4.2.0")
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": SHA})
    script.expect("GET", AT, application(git_commit_sha=SHA))
    idle(script)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "new"})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False))
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": "HEAD"})
    script.expect("GET", AT, application())
    script.expect("GET", AT, application())
    result = call()
    assert result["pin"] == {"field": "git_commit_sha", "value": SHA, "before": "HEAD", "restored": True}


def test_the_commit_is_put_back_also_when_the_deployment_fails(script: Script) -> None:
    """Given a pinned deployment that fails, then HEAD is put back and the error says how the deployment ended."""
    begin(script, version="4.2.0")
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": SHA})
    script.expect("GET", AT, application(git_commit_sha=SHA))
    idle(script)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "new"})
    script.expect("GET", "/deployments/new", deployment("new", "failed"))
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": "HEAD"})
    script.expect("GET", AT, application())
    result = call()
    assert result["error"]["code"] == "deployment_failed" and result["partial"]["pin"]["restored"] is True
    assert result["partial"]["deployment"]["status"] == "failed"


def test_a_pin_that_cannot_be_taken_off_is_said_out_loud(script: Script) -> None:
    """Given a put-back that is refused, then the result says that the commit is still set, and what to do."""
    begin(script, version="4.2.0")
    script.expect("PATCH", AT, {"uuid": APP})
    script.expect("GET", AT, application(git_commit_sha=SHA))
    idle(script)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "new"})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False))
    script.expect("PATCH", AT, {"message": "Missing required permissions: write"}, status=403)
    script.expect("GET", AT, application())
    result = call()
    assert result["pin"]["restored"] is False and f"is still {SHA}" in result["warnings"][0]


def test_a_lost_answer_to_the_put_back_is_read_back(script: Script) -> None:
    """Given a put-back whose answer is lost, then the application is read, and it is written again only if needed."""
    begin(script, version="4.2.0")
    script.expect("PATCH", AT, {"uuid": APP})
    script.expect("GET", AT, application(git_commit_sha=SHA))
    idle(script)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "new"})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False))
    script.expect("PATCH", AT, httpx.ReadError("reset")).expect("GET", AT, application(git_commit_sha=SHA))
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": "HEAD"})
    script.expect("GET", AT, application())
    script.expect("GET", AT, application())
    assert call()["pin"]["restored"] is True


def test_a_pin_that_is_accepted_and_not_set_is_no_pin(script: Script) -> None:
    """Given a commit that Coolify accepts and does not keep, then nothing is deployed: it would be other code."""
    begin(script, version="4.2.0")
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": SHA}).expect("GET", AT, application())
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": "HEAD"}).expect("GET", AT, application())
    result = call()
    assert result["error"]["code"] == "not_verified" and script.writes() == ["PATCH /api/v1" + AT] * 2


@pytest.mark.parametrize(
    ("app", "ended", "words"),
    [
        ({}, {"commit": OTHER_SHA}, f"finished with {OTHER_SHA}"),
        ({"build_pack": "dockerimage", "docker_registry_image_tag": "v2"}, {"docker_registry_image_tag": "v3"}, "v3"),
    ],
    ids=["commit", "tag"],
)
def test_a_deployment_of_other_code_is_no_success(script: Script, app: Json, ended: Json, words: str) -> None:
    """Given a deployment that finishes with another commit or tag than the one asked for, then the task fails."""
    begin(script, **app)
    answer = {"deployments": [{"message": "queued.", "resource_uuid": APP, "deployment_uuid": "new"}]}
    script.expect("POST", "/deploy" if app else f"{AT}/rollback", answer if app else QUEUED)
    script.expect("GET", "/deployments/new", deployment("new", rollback=not app, **ended))
    result = call()
    assert result["error"]["code"] == "wrong_commit" and words in result["msg"], result
    assert result["partial"]["deployment"]["uuid"] == "new"


@pytest.mark.parametrize("shown", ["HEAD", None, SHA[:12], SHA.upper()])
def test_a_commit_that_is_not_told_or_told_otherwise_is_no_contradiction(script: Script, shown: str | None) -> None:
    """Given a row that does not name its commit, or abbreviates it, then the deployment is taken for what it is."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED).expect("GET", "/deployments/new", deployment("new", commit=shown))
    script.expect("GET", AT, application())
    assert call()["deployment"]["status"] == "finished"


def test_pinning_without_waiting_is_refused(script: Script) -> None:
    """Given wait=false before 4.3, then nothing is sent: nobody would put the commit back."""
    begin(script, version="4.2.0")
    result = call(wait=False)
    assert result["failed"] is True and "Set wait to true" in result["msg"] and script.writes() == []


def test_already_queued_waits_for_the_other_one_and_asks_again(script: Script) -> None:
    """Given "already queued" with a uuid that was never stored, then the running one is waited out first."""
    begin(script, version="4.2.0", git_commit_sha=SHA)
    answer = {"message": "Deployment already queued for this commit.", "resource_uuid": APP, "deployment_uuid": "ghost"}
    script.expect("POST", "/deploy", {"deployments": [answer]})
    other = deployment("other", "in_progress", rollback=False, finished_at=None)
    script.expect("GET", LIST, page(other, deployment()))
    script.expect("GET", "/deployments/other", other)
    script.expect("GET", "/deployments/other", deployment("other"))
    idle(script, deployment("other"), deployment())
    fresh = {"message": "queued.", "resource_uuid": APP, "deployment_uuid": "new"}
    script.expect("POST", "/deploy", {"deployments": [fresh]})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False)).expect("GET", AT, application())
    result = call(commit="configured")
    assert result["deployment"]["uuid"] == "new"
    assert "other_deployment" in [phase["name"] for phase in result["phases"]]


def test_a_phantom_uuid_is_not_followed(script: Script) -> None:
    """Given a restart with a full queue, which answers 200 and a uuid that does not exist, then it asks again."""
    begin(script, version="4.2.0", git_commit_sha=SHA)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "ghost"})
    for _time in range(2):
        script.expect("GET", "/deployments/ghost", {"message": "Deployment not found."}, status=404)
    idle(script)
    idle(script)
    script.expect("POST", f"{AT}/restart", {"message": "Restart request queued.", "deployment_uuid": "new"})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False)).expect("GET", AT, application())
    assert call()["deployment"]["uuid"] == "new"


def test_a_full_queue_of_a_rollback_is_waited_out(script: Script) -> None:
    """Given 400 "queue is full", then it asks again until there is room."""
    begin(script)
    full = {"message": "Deployment queue is full. Please wait for existing deployments to complete."}
    script.expect("POST", f"{AT}/rollback", full, status=400)
    idle(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call()["deployment"]["uuid"] == "new"


def test_a_full_queue_of_a_deploy_is_waited_out(script: Script, clock: FakeClock) -> None:
    """Given 429 with Retry-After for a full queue, then the request is sent again after that time."""
    begin(script, version="4.2.0", git_commit_sha=SHA)
    full = {"message": "Deployment queue is full. Please wait for existing deployments to complete."}
    script.expect("POST", "/deploy", full, status=429, headers={"Retry-After": "60"})
    fresh = {"message": "queued.", "resource_uuid": APP, "deployment_uuid": "new"}
    script.expect("POST", "/deploy", {"deployments": [fresh]})
    script.expect("GET", "/deployments/new", deployment("new", rollback=False)).expect("GET", AT, application())
    assert call(commit="configured")["changed"] is True and max(clock.slept) >= 60


def test_a_lost_answer_is_settled_by_the_list_and_not_by_asking_again(script: Script) -> None:
    """Given a request whose answer is lost and that took effect, then the new deployment is found and followed."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", httpx.ReadError("reset"))
    webhook = deployment("push", "queued", is_api=False, rollback=False, commit="HEAD")
    script.expect("GET", LIST, page(webhook, deployment("new", "queued"), deployment()))
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    result = call()
    assert result["deployment"]["uuid"] == "new" and len(script.writes()) == 1


def test_nothing_found_after_a_lost_answer_is_asked_once_more(script: Script) -> None:
    """Given a request that never arrived, then after looking for a while it is sent once more, and then never again."""
    begin(script)
    for attempt in range(2):
        if attempt:
            idle(script)
        script.expect("POST", f"{AT}/rollback", {"message": "Server Error"}, status=502)
        for _time in range(11):
            idle(script)
    result = call()
    assert result["error"]["code"] == "unknown_outcome" and len(script.writes()) == 2


@pytest.mark.parametrize(
    "answer",
    [None, "<html>an upgrade</html>", {}, [], {"deployments": "soon"}, {"deployments": [None]}],
    ids=["empty", "html", "object", "list", "text", "nothing listed"],
)
def test_an_answer_that_is_not_understood_says_nothing(script: Script, answer: object) -> None:
    """Given a 200 that is not Coolify's, then the list is asked what was queued, and nothing is sent again."""
    begin(script, version="4.2.0", git_commit_sha=SHA)
    script.expect("POST", "/deploy", answer, headers={"Content-Type": "text/html"} if isinstance(answer, str) else {})
    script.expect("GET", LIST, page(deployment("new", "queued", rollback=False), deployment()))
    script.expect("GET", "/deployments/new", deployment("new", rollback=False)).expect("GET", AT, application())
    result = call(commit="configured")
    assert result["deployment"]["uuid"] == "new" and len(script.writes()) == 1, result


def test_an_upgrade_of_coolify_is_waited_for(script: Script, clock: FakeClock) -> None:
    """Given 503 with Retry-After, then no sooner than that it is looked for what was queued, and it is sent again."""
    begin(script)
    for _time in range(3):
        script.expect("POST", f"{AT}/rollback", "upgrading", status=503, headers={"Retry-After": "20"})
        for _look in range(11):
            idle(script)
        idle(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call()["deployment"]["uuid"] == "new" and clock.slept.count(20.0) == 3


def test_an_answer_that_leaves_the_application_out_is_an_error(script: Script) -> None:
    """Given a 200 that does not mention the application, or refuses it, then nothing was queued and it says so."""
    for item, words in (
        ({"message": "x", "resource_uuid": "another", "deployment_uuid": "d"}, "does not mention it"),
        ({"message": "Unauthorized to deploy this application.", "resource_uuid": APP}, "Unauthorized to deploy"),
    ):
        begin(script, version="4.2.0", git_commit_sha=SHA)
        script.expect("POST", "/deploy", {"deployments": [item]})
        result = call(commit="configured")
        assert result["failed"] is True and words in result["msg"]
