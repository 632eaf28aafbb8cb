# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""coolify_deployment: when it believes that a deployment worked, against an ordered script of requests."""

from __future__ import annotations

import httpx
import pytest
from ansible_collections.rewind.database.plugins.module_utils._http import READ_ATTEMPTS
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.coolify_world import (
    APP,
    AT,
    LIST,
    OTHER_SHA,
    PASSWORD,
    QUEUED,
    SECRET_VALUE,
    SHA,
    Json,
    application,
    begin,
    call,
    deployment,
    idle,
    log,
    page,
)
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, FakeClock, Script


@pytest.fixture(autouse=True)
def _time(clock: FakeClock) -> FakeClock:
    """Nobody waits: time moves only when the module sleeps."""
    return clock


@pytest.mark.parametrize(
    ("status", "code"), [("failed", "deployment_failed"), ("cancelled-by-user", "deployment_cancelled")]
)
def test_only_finished_is_success(script: Script, status: str, code: str) -> None:
    """Given another terminal status, then the task fails at once with the last line of the log, without secrets."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    text = log("Building.", f"boom postgresql://u:{PASSWORD}@h/db {SECRET_VALUE} end")
    script.expect("GET", "/deployments/new", deployment("new", status, logs=text))
    script.expect("GET", f"{AT}/envs", [{"uuid": "e", "key": "X", "value": SECRET_VALUE}])
    result = call()
    assert result["error"]["code"] == code and result["msg"].split(". ")[0].endswith("end")
    assert result["partial"]["deployment"]["log_tail"][0] == "Building."


def test_a_skipped_build_is_read_from_the_log(script: Script) -> None:
    """Given a log that says so, then build_skipped is true."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    text = log("No build configuration changed & image found (x) with the same Git Commit SHA. Build step skipped.")
    script.expect("GET", "/deployments/new", deployment("new", logs=text))
    script.expect("GET", AT, application()).expect("GET", f"{AT}/envs", [])
    assert call()["deployment"]["build_skipped"] is True


def test_without_values_to_take_out_no_log_is_shown(script: Script) -> None:
    """Given a log and an environment that cannot be read, then no line of it is returned."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new", logs=log(f"x {SECRET_VALUE}")))
    script.expect("GET", AT, application())
    script.expect("GET", f"{AT}/envs", {"message": "Missing required permissions: read"}, status=403)
    assert call()["deployment"]["log_tail"] == []


def test_a_deployment_that_may_have_read_the_old_environment_is_waited_for(script: Script) -> None:
    """Given `after` and a deployment that runs, then it is waited for, and what it brought is deployed after it."""
    other = deployment("other", "in_progress", finished_at=None, created_at="2026-11-22T12:00:00.000000Z")
    begin(script, other, deployment())
    script.expect("GET", "/deployments/other", deployment("other"))
    idle(script, deployment("other", commit=OTHER_SHA), deployment())
    script.expect("POST", f"{AT}/rollback", QUEUED, json={"commit": OTHER_SHA})
    script.expect("GET", "/deployments/new", deployment("new", commit=OTHER_SHA)).expect("GET", AT, application())
    assert call(after="2026-11-22T11:00:00Z")["deployment"]["uuid"] == "new"


def test_nothing_is_done_when_the_environment_was_deployed_already(script: Script) -> None:
    """Given a finished deployment that was asked for after the write, then a second run changes nothing."""
    script.expect("GET", AT, application())
    script.expect("GET", LIST, page(deployment(created_at="2026-11-22T11:00:01.000000Z")))
    script.expect("GET", "/version", "4.3.11").expect("GET", AT, application())
    result = call(after="2026-11-22T11:00:00Z")
    assert result["changed"] is False and result["deployment"]["uuid"] == "old" and result["operations"] == []


@pytest.mark.parametrize("wanted", [SHA, SHA[:12], "configured"])
def test_a_deployment_of_the_commit_that_is_asked_for_is_not_made_again(script: Script, wanted: str) -> None:
    """Given a deployment after the write of that commit, also abbreviated, or of the branch's head: nothing is sent."""
    script.expect("GET", AT, application())
    script.expect("GET", LIST, page(deployment(created_at="2026-11-22T11:00:01.000000Z")))
    script.expect("GET", "/version", "4.3.11").expect("GET", AT, application())
    assert call(after="2026-11-22T11:00:00Z", commit=wanted)["changed"] is False


def test_a_deployment_of_another_commit_is_not_taken_for_the_one_that_is_asked_for(script: Script) -> None:
    """Given a push that was deployed after the write, then the commit that was asked for is deployed after it."""
    begin(script, deployment(created_at="2026-11-22T11:00:01.000000Z", commit=OTHER_SHA))
    script.expect("POST", f"{AT}/rollback", QUEUED, json={"commit": SHA})
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    result = call(after="2026-11-22T11:00:00Z", commit=SHA)
    assert result["changed"] is True and result["deployment"]["commit"] == SHA


def test_an_image_that_was_deployed_with_another_tag_is_deployed_again(script: Script) -> None:
    """Given an application of an image, whose deployments name no commit, then its tag decides."""
    image = {"build_pack": "dockerimage", "docker_registry_image_tag": "1.4.0"}
    later = {"commit": "HEAD", "created_at": "2026-11-22T11:00:01.000000Z"}
    for tag, changed in (("1.4.0", False), ("1.5.0", True)):
        script.expect("GET", AT, application(**image))
        script.expect("GET", LIST, page(deployment(docker_registry_image_tag=tag, **later)))
        script.expect("GET", "/version", "4.3.11")
        if not changed:
            script.expect("GET", AT, application(**image))
        result = call(after="2026-11-22T11:00:00Z", commit="1.4.0", check_mode=changed)
        assert result["changed"] is changed


def test_the_same_second_counts_as_too_early(script: Script) -> None:
    """Given a deployment of the second in which the row was written, then their order is not known: deploy again."""
    begin(script, deployment(created_at="2026-11-22T11:00:00.000000Z"))
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call(after="2026-11-22T11:00:00.000000Z")["changed"] is True


def test_check_mode_sends_only_get_and_predicts(script: Script) -> None:
    """Given check mode, then the route is worked out by reading, and the deployment's uuid is a predicted one."""
    begin(script, version="4.2.0")
    result = call(check_mode=True)
    assert result["changed"] is True and script.writes() == []
    assert result["deployment"]["uuid"] == f"predicted:deployment/{APP}" and result["deployment"]["commit"] == SHA
    assert result["pin"]["restored"] is None


def test_a_timeout_cancels_and_reads_the_state_whatever_the_cancel_answers(script: Script) -> None:
    """Given a cancel that answers 500 though it took effect (4.1.0 to 4.3.6), then the state that is read counts."""
    begin(script, version="4.3.5")
    script.expect("POST", f"{AT}/rollback", QUEUED)
    for _time in range(5):
        script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    script.expect("POST", "/deployments/new/cancel", {"message": "Server Error"}, status=500)
    script.expect("GET", "/deployments/new", deployment("new", "cancelled-by-user"))
    result = call(wait_timeout=9, poll_interval=3)
    assert result["error"]["code"] == "timeout" and "is cancelled-by-user now" in result["msg"]
    assert result["partial"]["deployment"]["status"] == "cancelled-by-user"


def test_a_deployment_that_finished_during_the_cancel_is_reported_as_that(script: Script) -> None:
    """Given a cancel that came too late (400), then the error says that the deployment is in use now."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    for _time in range(3):
        script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    answer = {"message": "Deployment cannot be cancelled. Current status: finished"}
    script.expect("POST", "/deployments/new/cancel", answer, status=400)
    script.expect("GET", "/deployments/new", deployment("new"))
    result = call(wait_timeout=3, poll_interval=3)
    assert "is finished now" in result["msg"] and "in use now" in result["msg"]


def test_without_cancel_a_timeout_only_reads(script: Script) -> None:
    """Given cancel_on_timeout=false, then nothing is cancelled and the error says that it may still end either way."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    for _time in range(4):
        script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    result = call(wait_timeout=3, poll_interval=3, cancel_on_timeout=False)
    assert "may still end either way" in result["msg"] and len(script.writes()) == 1


def test_coolify_may_be_away_for_a_while(script: Script) -> None:
    """Given a Coolify that upgrades itself during the deployment, then the wait goes on until it is back."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    for _time in range(12):
        script.expect("GET", "/deployments/new", httpx.ConnectError("refused"))
    script.expect("GET", "/deployments/new", {"message": "Deployment not found."}, status=404)
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call()["deployment"]["status"] == "finished"


def test_to_watch_is_to_wait_for_health_and_to_send_nothing(script: Script) -> None:
    """Given an application whose status is an old one, then only health that stays good ends the watch."""
    script.expect("GET", "/version", "4.3.11")
    for status in ("healthy", "unhealthy", "healthy", "healthy", "healthy", "healthy"):
        script.expect("GET", AT, application(f"running:{status}"))
    result = call(action="watch", soak=9, poll_interval=3)
    assert result["changed"] is False and result["deployment"] is None and result["operations"] == []
    assert result["application"]["health"] == "healthy"


def test_an_application_that_stays_unhealthy_is_watched_no_longer_than_the_grace(script: Script) -> None:
    """Given bad health beyond the grace, then the watch ends with the status, and nothing is deployed."""
    script.expect("GET", "/version", "4.3.11")
    for _time in range(8):
        script.expect("GET", AT, application("running:unhealthy"))
    result = call(action="watch", soak=9, poll_interval=3, unhealthy_grace=9)
    assert result["error"]["code"] == "unhealthy"
    assert result["msg"].startswith(f"watch application {APP}: it is not healthy (status running:unhealthy)")
    assert script.writes() == []


def test_a_proxy_that_knows_no_route_is_not_coolify(script: Script) -> None:
    """Given the plain 404 of the proxy during an upgrade, then the deployment is not taken for gone."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    for _time in range(30):
        script.expect("GET", "/deployments/new", "404 page not found", status=404)
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call()["deployment"]["status"] == "finished"


def test_a_deployment_that_coolify_forgot_has_a_code_of_its_own(script: Script) -> None:
    """Given a deployment that ran and is no longer known, then nobody may conclude that it never served."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new", "in_progress"))
    for _time in range(3):
        script.expect("GET", "/deployments/new", {"message": "Deployment not found."}, status=404)
    result = call()
    assert result["error"]["code"] == "deployment_vanished" and result["partial"]["deployment"]["uuid"] == "new"


def test_a_deployment_of_others_that_is_gone_is_not_waited_for(script: Script) -> None:
    """Given a deployment of somebody else that vanishes while it is waited for, then the list decides."""
    begin(script, deployment("other", "in_progress", finished_at=None), deployment())
    for _time in range(3):
        script.expect("GET", "/deployments/other", {"message": "Deployment not found."}, status=404)
    idle(script)
    script.expect("POST", f"{AT}/rollback", QUEUED)
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call()["deployment"]["uuid"] == "new"


def test_a_stop_goes_on_while_coolify_is_away(script: Script) -> None:
    """Given a Coolify that cannot be reached after it was told to stop, then the wait goes on."""
    script.expect("GET", AT, application()).expect("POST", f"{AT}/stop", {"message": "stopping"})
    for _time in range(READ_ATTEMPTS):
        script.expect("GET", AT, "<html>bad gateway</html>", status=502)
    script.expect("GET", AT, application("exited"))
    assert call(action="stop")["changed"] is True


def test_health_must_stay_good_for_the_soak_time(script: Script) -> None:
    """Given the unhealthy flicker after a good rollout, then it is waited out, and then it must stay good."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED).expect("GET", "/deployments/new", deployment("new"))
    script.expect("GET", AT, application("running:healthy"))
    for _time in range(5):
        script.expect("GET", AT, application("running:unhealthy"))
    for _time in range(4):
        script.expect("GET", AT, application("running:healthy"))
    result = call(soak=9, healthy_readings=3, poll_interval=3)
    assert result["application"]["health"] == "healthy"
    assert next(phase["seconds"] for phase in result["phases"] if phase["name"] == "health") == 27


def test_a_crash_loop_fails_early(script: Script) -> None:
    """Given a container that keeps crashing after the deployment, then the task fails long before its time."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED).expect("GET", "/deployments/new", deployment("new"))
    for _time in range(5):
        script.expect("GET", AT, application("degraded:unhealthy"))
    result = call()
    assert result["error"]["code"] == "unhealthy" and "degraded:unhealthy" in result["msg"]


def test_an_application_that_never_gets_healthy_ends_in_a_timeout(script: Script) -> None:
    """Given a container that never leaves starting, then the task fails when its time is over, with what is known."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED).expect("GET", "/deployments/new", deployment("new"))
    for _time in range(4):
        script.expect("GET", AT, application("starting:unknown"))
    result = call(wait_timeout=9, poll_interval=3)
    assert result["error"]["code"] == "timeout" and result["partial"]["deployment"]["status"] == "finished"


def test_the_application_itself_is_asked_too(script: Script) -> None:
    """Given health_url, then a cached healthy status passes only once the application answers well."""
    begin(script)
    script.expect("POST", f"{AT}/rollback", QUEUED).expect("GET", "/deployments/new", deployment("new"))
    for status in (503, 200):
        script.expect("GET", AT, application()).expect("GET", "/api/health", {"ok": status == 200}, status=status)
    result = call(health_url="https://tracker.example.com/api/health")
    assert result["application"]["probe"] is True
    assert "authorization" not in script.requests[-1].headers


def test_a_deployment_can_be_adopted(script: Script) -> None:
    """Given deployment_uuid, then it is followed and nothing is asked for; one that does not exist is an error."""
    script.expect("GET", AT, application()).expect("GET", LIST, page(deployment()))
    script.expect("GET", "/deployments/mine", deployment("mine", "queued", application={"uuid": APP}))
    script.expect("GET", "/deployments/mine", deployment("mine"))
    script.expect("GET", "/version", "4.3.11").expect("GET", AT, application())
    result = call(deployment_uuid="mine")
    assert result["deployment"]["uuid"] == "mine" and result["changed"] is False
    script.expect("GET", AT, application()).expect("GET", LIST, page(deployment()))
    script.expect("GET", "/deployments/ghost", {"message": "Deployment not found."}, status=404)
    assert "never stored" in call(deployment_uuid="ghost")["msg"]


@pytest.mark.parametrize(
    ("answer", "listed", "code"),
    [
        ({"application": {"uuid": "another"}}, None, "other_application"),
        ({}, [deployment()], "other_application"),
        ({"application": {"uuid": APP}, "pull_request_id": 7}, None, "invalid_input"),
    ],
    ids=["it says so", "not in the list", "of a pull request"],
)
def test_a_deployment_of_something_else_proves_nothing(
    script: Script, answer: Json, listed: list[Json] | None, code: str
) -> None:
    """Given the uuid of a deployment of another application, or of a preview, then it is not followed."""
    script.expect("GET", AT, application()).expect("GET", LIST, page(deployment()))
    script.expect("GET", "/deployments/theirs", deployment("theirs", **answer))
    if listed is not None:
        script.expect("GET", LIST, page(*listed))
    result = call(deployment_uuid="theirs")
    assert result["error"]["code"] == code, result


def test_a_deployment_of_an_older_coolify_is_found_in_the_list(script: Script) -> None:
    """Given a version that does not show the application in a deployment, then its list says whose it is."""
    script.expect("GET", AT, application()).expect("GET", LIST, page(deployment("mine")))
    script.expect("GET", "/deployments/mine", deployment("mine")).expect("GET", LIST, page(deployment("mine")))
    script.expect("GET", "/version", "4.0.0").expect("GET", AT, application())
    assert call(deployment_uuid="mine")["deployment"]["uuid"] == "mine"


def test_an_unknown_running_commit_stops_it(script: Script) -> None:
    """Given no finished deployment on any page, then nothing is deployed: the branch's head might be other code."""
    failed = deployment("f", "failed")
    begin_with = page(failed)
    script.expect("GET", AT, application()).expect("GET", LIST, begin_with).expect("GET", LIST, begin_with)
    script.expect("GET", "/version", "4.3.11")
    result = call()
    assert result["error"]["code"] == "running_commit_unknown" and script.writes() == []


def test_deployments_of_pull_requests_do_not_count(script: Script) -> None:
    """Given a running preview deployment with another commit, then it is neither waited for nor taken for what runs."""
    preview = deployment("pr", "in_progress", pull_request_id=7, commit=OTHER_SHA)
    begin(script, preview, deployment())
    script.expect("POST", f"{AT}/rollback", QUEUED, json={"commit": SHA})
    script.expect("GET", "/deployments/new", deployment("new")).expect("GET", AT, application())
    assert call()["changed"] is True


def test_stop_waits_for_the_status_and_a_second_one_changes_nothing(script: Script) -> None:
    """Given a running application, when it is stopped, then the status is waited for; stopped again it is no change."""
    script.expect("GET", AT, application())
    script.expect("POST", f"{AT}/stop", {"message": "Application stopping request queued."})
    script.expect("GET", AT, application()).expect("GET", AT, application("exited:unhealthy"))
    result = call(action="stop")
    assert result["changed"] is True and result["application"]["status"] == "exited:unhealthy"
    assert result["diff"]["after"] == {"status": "exited"}
    script.expect("GET", AT, application("exited:unhealthy"))
    assert call(action="stop")["changed"] is False


def test_starting_what_runs_changes_nothing(script: Script) -> None:
    """Given a running application, then start does nothing."""
    script.expect("GET", AT, application()).expect("GET", LIST, page(deployment()))
    assert call(action="start")["changed"] is False


def test_a_token_without_the_ability_is_told(script: Script) -> None:
    """Given a token without deploy, then the message names the ability, and the commit that was set is put back."""
    begin(script, version="4.2.0")
    script.expect("PATCH", AT, {"uuid": APP}).expect("GET", AT, application(git_commit_sha=SHA))
    idle(script)
    script.expect("POST", f"{AT}/restart", {"message": "Missing required permissions: deploy"}, status=403)
    script.expect("PATCH", AT, {"uuid": APP}, json={"git_commit_sha": "HEAD"}).expect("GET", AT, application())
    result = call()
    assert result["error"]["code"] == "ability_missing" and "lacks the ability deploy" in result["msg"]


def test_both_ways_say_the_same(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a server, when a deployment is predicted in the controller's process and as a module, both say the same."""
    stub_server.answer("GET", f"/api/v1{AT}", application()).answer("GET", "/api/v1/version", "4.2.0")
    stub_server.answer("GET", f"/api/v1{LIST}", page(deployment()))
    variables = {"rewind_coolify_access_token": COOLIFY_TOKEN, "rewind_coolify_api_url": stub_server.url}
    result = both_ways.same("coolify_deployment", {"application": APP}, variables=variables, check_mode=True)
    assert result["changed"] is True and result["deployment"]["commit"] == SHA
    assert {request[0] for request in stub_server.requests} == {"GET"}
