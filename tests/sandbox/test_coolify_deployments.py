# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue, the build decision, statuses and cancelling: each trap of Coolify's deployments, by version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.tracker import versions
from tests.support.coolify import NO_DATABASE, Coolify, coolify, until

SOMEWHERE: dict[str, Any] = {"key": "DATABASE_URL", "value": NO_DATABASE, "is_literal": True, "is_buildtime": False}


async def lines(side: Coolify, deployment: str, *, hidden: bool = False) -> str:
    """The log of a deployment as one text."""
    row = await side.get(f"/deployments/{deployment}")
    return "\n".join(e["output"] for e in json.loads(row["logs"] or "[]") if hidden or not e["hidden"])


async def deployed(side: Coolify, **options: Any) -> dict[str, Any]:
    """An application after its first good deployment."""
    made = await side.application(deploy=True, **options)
    assert made["deployment_status"] == "finished"
    return made


async def set_env(side: Coolify, uuid: str, key: str, value: str, *, buildtime: bool) -> None:
    """Writes a row with every flag, as a careful client does."""
    row = {"key": key, "value": value, "is_literal": True, "is_buildtime": buildtime, "is_runtime": True}
    answer = await side.client.patch(f"/applications/{uuid}/envs/bulk", json={"data": [row]})
    assert answer.status_code == 201


async def test_a_second_deploy_of_the_same_commit_text_gets_a_uuid_that_does_not_exist() -> None:
    """Given a deployment that still says HEAD, when another is asked for, then its uuid leads nowhere."""
    async with coolify(start_seconds=0.5) as side:
        made = await side.application()
        first = await side.deploy(made["uuid"])
        item = (await side.post("/deploy", {"uuid": made["uuid"]}))["deployments"][0]
        assert item["message"] == "Deployment already queued for this commit."
        assert item["deployment_uuid"] != first
        assert (await side.client.get(f"/deployments/{item['deployment_uuid']}")).status_code == 404
        for word in ("start", "restart"):
            assert await side.post(f"/applications/{made['uuid']}/{word}") == {"message": item["message"]}
        assert (await side.ended(first))["status"] == "finished"


async def test_once_head_became_a_commit_the_next_deploy_is_queued_behind() -> None:
    """Given a running deployment whose commit is known, then another one waits as queued and runs after it."""
    async with coolify(build_seconds=0.6) as side:
        made = await side.application(built=False)
        first = await side.deploy(made["uuid"])

        async def known() -> bool:
            return bool((await side.get(f"/deployments/{first}"))["commit"] == versions.GOOD.sha)

        await until(known)
        second = await side.deploy(made["uuid"])
        assert (await side.get(f"/deployments/{second}"))["status"] == "queued"
        one, two = await side.ended(first), await side.ended(second)
        assert (one["status"], two["status"]) == ("finished", "finished")
        assert one["finished_at"] <= two["finished_at"]


async def test_a_full_queue_is_429_for_deploy_and_a_lie_for_start() -> None:
    """Given a queue with room for one, then deploy says 429, rollback 400, and start answers a phantom uuid."""
    async with coolify(queue_limit=1, concurrent_builds=1, build_seconds=30) as side:
        made = [await side.application(built=False) for _ in range(3)]
        await side.deploy(made[0]["uuid"])
        await side.deploy(made[1]["uuid"])
        answer = await side.client.post("/deploy", json={"uuid": made[2]["uuid"]})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        assert answer.json()["message"].startswith("Deployment queue is full.")
        answer = await side.client.post(f"/applications/{made[2]['uuid']}/rollback", json={"commit": "a" * 40})
        assert answer.status_code == 400
        answer = await side.client.post(f"/applications/{made[2]['uuid']}/start")
        assert answer.status_code == 200
        assert (await side.client.get(f"/deployments/{answer.json()['deployment_uuid']}")).status_code == 404


async def test_the_list_of_running_deployments_is_an_array_or_an_object() -> None:
    """Given rows whose order by id is not the order of their last change, then the list is an object."""
    async with coolify(build_seconds=30, concurrent_builds=1) as side:
        made = [await side.application(built=False) for _ in range(2)]
        assert await side.get("/deployments") == []
        first = await side.deploy(made[0]["uuid"])
        await until(lambda: side.service.state.deployments[first]["commit"] != "HEAD")
        assert isinstance(await side.get("/deployments"), list)
        second = await side.deploy(made[1]["uuid"])
        side.service.state.touch(side.service.state.deployments[first])
        listed = await side.get("/deployments")
        assert {key: row["deployment_uuid"] for key, row in listed.items()} == {"1": first, "0": second}


async def test_the_deployments_of_an_application_come_with_a_count() -> None:
    """Given three deployments, then {count, deployments} newest first, paged by skip and take."""
    async with coolify() as side:
        made = await side.application()
        uuids = []
        for _ in range(3):
            uuids.append(await side.deploy(made["uuid"]))
            await side.ended(uuids[-1])
        listed = await side.get(f"/deployments/applications/{made['uuid']}", skip=1, take=1)
        assert listed["count"] == 3
        assert [row["deployment_uuid"] for row in listed["deployments"]] == [uuids[1]]
        answer = await side.client.get(f"/deployments/applications/{made['uuid']}", params={"skip": "x"})
        assert answer.status_code == 422


async def test_deploy_takes_a_list_or_a_tag_and_not_both() -> None:
    """Given two applications with a tag, then the tag deploys both; unknown uuids are missing from the answer."""
    async with coolify() as side:
        made = [await side.application(tags=["trackers"]) for _ in range(2)]
        listed = await side.post("/deploy", {"uuid": f"{made[0]['uuid']},{'z' * 24}"})
        assert [item["resource_uuid"] for item in listed["deployments"]] == [made[0]["uuid"]]
        await side.ended(listed["deployments"][0]["deployment_uuid"])
        tagged = (await side.client.post("/deploy", params={"tag": "trackers"})).json()
        assert {detail["resource_uuid"] for detail in tagged["details"]} == {m["uuid"] for m in made}
        assert (await side.client.post("/deploy", json={"uuid": "z" * 24})).json() == {"message": "No resources found."}
        assert (await side.client.post("/deploy", json={"uuid": "a", "tag": "b"})).status_code == 400
        assert (await side.client.post("/deploy", json={})).status_code == 400


@pytest.mark.parametrize(("version", "rebuilds"), [("4.1.2", True), ("4.2.0", False), ("4.3.11", False)])
async def test_force_false_in_a_query_forces_before_4_2(version: str, rebuilds: bool) -> None:
    """Given an existing image, when deploy is asked for with force=false in the query, then old versions rebuild."""
    async with coolify(version) as side:
        made = await deployed(side)
        answer = await side.client.post("/deploy", params={"uuid": made["uuid"], "force": "false"})
        row = await side.ended(answer.json()["deployments"][0]["deployment_uuid"])
        assert row["force_rebuild"] is rebuilds
        assert ("Building docker image started." in await lines(side, row["deployment_uuid"])) is rebuilds


@pytest.mark.parametrize(
    ("version", "buildtime", "rebuilds"),
    [
        ("4.0.0-beta.434", False, True),
        ("4.1.2", False, False),
        ("4.1.2", True, True),
        ("4.3.11", False, False),
        ("4.3.11", True, True),
    ],
)
async def test_an_env_change_rebuilds_by_its_impact(version: str, buildtime: bool, rebuilds: bool) -> None:
    """Given a changed row, when restarted, then a row that is needed to build rebuilds (before 4.1: any row)."""
    async with coolify(version) as side:
        row = {"key": "K", "value": "1", "is_literal": True, "is_buildtime": buildtime}
        made = await deployed(side, env=[row, SOMEWHERE])
        await set_env(side, made["uuid"], "K", "2", buildtime=buildtime)
        restart = (await side.post(f"/applications/{made['uuid']}/restart"))["deployment_uuid"]
        row = await side.ended(restart)
        assert row["status"] == "finished"
        assert row["restart_only"] is not rebuilds
        text = await lines(side, restart)
        assert ("onfiguration changed. Rebuilding image." in text) is rebuilds
        assert ("Build step skipped." in text) is not rebuilds
        container = side.service.state.applications[made["uuid"]]["container"]
        assert container["environment"]["K"] == "2", "the new value arrives either way"


async def test_pinning_a_commit_by_patch_rebuilds_and_a_rollback_to_it_does_not() -> None:
    """Given the running commit, when it is pinned by PATCH, then the next deploy builds; /rollback finds the image."""
    async with coolify() as side:
        made = await deployed(side)
        rollback = await side.post(f"/applications/{made['uuid']}/rollback", {"commit": versions.GOOD.sha})
        row = await side.ended(rollback["deployment_uuid"])
        assert (row["status"], row["rollback"]) == ("finished", True)
        assert "Build step skipped." in await lines(side, row["deployment_uuid"])
        await side.client.patch(f"/applications/{made['uuid']}", json={"git_commit_sha": versions.GOOD.sha})
        pinned = await side.deploy(made["uuid"])
        await side.ended(pinned)
        assert "Build configuration changed. Rebuilding image." in await lines(side, pinned)


async def test_head_moves_and_a_restart_ships_the_new_commit() -> None:
    """Given a push after the deployment, when restarted, then the new commit runs; a rollback runs the old one."""
    async with coolify() as side:
        made = await deployed(side)
        pushed = side.service.push(made["uuid"], "next")
        restarted = await side.ended((await side.post(f"/applications/{made['uuid']}/restart"))["deployment_uuid"])
        assert restarted["commit"] == pushed["sha"] == versions.NEXT.sha
        images = await side.get(f"/applications/{made['uuid']}/rollback-images")
        assert images["current"] == versions.NEXT.sha
        assert {image["tag"] for image in images["images"]} == {versions.GOOD.sha, versions.NEXT.sha}
        body = {"commit": versions.GOOD.sha}
        back = await side.ended((await side.post(f"/applications/{made['uuid']}/rollback", body))["deployment_uuid"])
        assert (back["status"], back["commit"]) == ("finished", versions.GOOD.sha)
        for wrong in ({"commit": "../x"}, {"other": 1}):
            answer = await side.client.post(f"/applications/{made['uuid']}/rollback", json=wrong)
            assert answer.status_code == 422


async def test_a_push_with_a_webhook_deploys_unless_auto_deploy_is_off() -> None:
    """Given auto-deploy on, then a push that Coolify hears of deploys by itself; off, nothing happens."""
    async with coolify() as side:
        made = await deployed(side)
        own = side.service.push(made["uuid"], "docs", webhook=True)["deployment_uuid"]
        row = await side.ended(own)
        assert (row["is_webhook"], row["commit"]) == (True, versions.DOCS.sha)
        await side.client.patch(f"/applications/{made['uuid']}", json={"is_auto_deploy_enabled": False})
        assert side.service.push(made["uuid"], "next", webhook=True)["deployment_uuid"] is None


async def test_a_good_rollout_reads_unhealthy_until_the_next_poll() -> None:
    """Given a finished rolling deployment, then the status is running:unhealthy first and running:healthy later."""
    async with coolify(status_poll_seconds=30) as side:
        made = await side.application()
        assert (await side.get(f"/applications/{made['uuid']}"))["status"] == "exited:unhealthy"
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "finished"
        assert (await side.get(f"/applications/{made['uuid']}"))["status"] == "running:unhealthy"
        side.set(status_poll_seconds=0.1)

        async def healthy() -> bool:
            return bool((await side.get(f"/applications/{made['uuid']}"))["status"] == "running:healthy")

        await until(healthy)


async def test_without_a_health_check_it_is_never_healthy() -> None:
    """Given the health check disabled, then the deployment swaps at once and the status is running:unknown."""
    async with coolify() as side:
        made = await side.application(health_check_enabled=False, deploy=True)
        assert (made["deployment_status"], made["status"]) == ("finished", "running:unknown")


@pytest.mark.parametrize(("version", "status"), [("4.1.2", 500), ("4.2.0", 500), ("4.3.11", 200)])
async def test_cancelling_works_and_some_versions_say_500(version: str, status: int) -> None:
    """Given a running and a queued deployment, when the first is cancelled, then it is; since 4.3.7 the queue moves."""
    async with coolify(version, build_seconds=1.5, concurrent_builds=1) as side:
        made = [await side.application(built=False) for _ in range(2)]
        first = await side.deploy(made[0]["uuid"])
        second = await side.deploy(made[1]["uuid"])
        answer = await side.client.post(f"/deployments/{first}/cancel")
        assert answer.status_code == status
        assert (await side.get(f"/deployments/{first}"))["status"] == "cancelled-by-user"
        assert side.service.runner.live(made[0]["uuid"]) is None
        waiting = (await side.get(f"/deployments/{second}"))["status"]
        assert waiting == ("in_progress" if version == "4.3.11" else "queued")
        again = await side.client.post(f"/deployments/{first}/cancel")
        assert (again.status_code, again.json()["message"]) == (
            400,
            "Deployment cannot be cancelled. Current status: cancelled-by-user",
        )
        # The next deploy moves a stalled queue.
        await side.deploy(made[0]["uuid"])
        assert (await side.ended(second))["status"] == "finished"


async def test_the_old_beta_cannot_cancel() -> None:
    """Given beta.434, then the path does not exist."""
    async with coolify("4.0.0-beta.434") as side:
        made = await deployed(side)
        answer = await side.client.post(f"/deployments/{made['deployment_uuid']}/cancel")
        assert (answer.status_code, answer.json()["message"]) == (404, "Not found.")


async def test_a_restart_of_coolify_fails_what_was_under_way() -> None:
    """Given a running and a queued deployment, when Coolify restarts, then both rows are failed."""
    async with coolify(build_seconds=30, concurrent_builds=1) as side:
        made = [await side.application(built=False) for _ in range(2)]
        under_way = [await side.deploy(m["uuid"]) for m in made]
        await side.stop()
        await side.start()
        assert [(await side.get(f"/deployments/{uuid}"))["status"] for uuid in under_way] == ["failed", "failed"]
        assert await side.get("/deployments") == []


async def test_a_commit_that_does_not_exist_fails_in_the_build() -> None:
    """Given a rollback to a commit that nobody has, then it fails and the old container serves."""
    async with coolify() as side:
        made = await deployed(side)
        pid = side.service.runner.live(made["uuid"]).pid  # type: ignore[union-attr]
        queued = await side.post(f"/applications/{made['uuid']}/rollback", {"commit": "f" * 40})
        row = await side.ended(queued["deployment_uuid"])
        assert row["status"] == "failed"
        assert "reference is not a tree" in await lines(side, row["deployment_uuid"])
        assert side.service.runner.live(made["uuid"]).pid == pid  # type: ignore[union-attr]


async def test_an_env_file_that_compose_cannot_read_fails_the_deployment() -> None:
    """Given a literal value with a single quote, then the deployment fails and its log shows no value."""
    async with coolify() as side:
        fine = {"key": "K", "value": "fine", "is_literal": True, "is_buildtime": False}
        made = await deployed(side, env=[fine, SOMEWHERE])
        await set_env(side, made["uuid"], "K", "it's-8Yh2Lq0Zr5", buildtime=False)
        row = await side.ended(await side.deploy(made["uuid"]))
        assert row["status"] == "failed"
        assert "failed to read" in row["logs"]
        assert "8Yh2Lq0Zr5" not in row["logs"]


async def test_an_env_change_during_a_build_comes_too_late() -> None:
    """Given a build under way, when a row is written, then this deployment still starts with the old value."""
    async with coolify(build_seconds=0.6) as side:
        made = await side.application(built=False, env=[{"key": "K", "value": "old", "is_literal": True}, SOMEWHERE])
        first = await side.deploy(made["uuid"])
        await until(lambda: side.service.state.deployments[first]["commit"] != "HEAD")
        await set_env(side, made["uuid"], "K", "new", buildtime=True)
        await side.ended(first)
        container = side.service.state.applications[made["uuid"]]["container"]
        assert container["environment"]["K"] == "old"


async def test_locked_values_are_redacted_in_build_logs_and_others_are_not() -> None:
    """Given a locked and an open build variable, then the hidden build command shows only the open one."""
    async with coolify() as side:
        rows = [
            {"key": "A", "value": "open-2Qx9Vt7Lm", "is_literal": True},
            {"key": "B", "value": "locked-6Rw1Zb3K", "is_literal": True, "is_shown_once": True},
            SOMEWHERE,
        ]
        made = await side.application(built=False, env=rows, deploy=True)
        logs = json.loads((await side.get(f"/deployments/{made['deployment_uuid']}"))["logs"])
        [command] = [e["command"] for e in logs if str(e["command"]).startswith("docker build")]
        assert "open-2Qx9Vt7Lm" in command
        assert "locked-6Rw1Zb3K" not in command
        assert all(e["hidden"] for e in logs if e["command"])


async def test_stopping_and_starting_again() -> None:
    """Given a running application, when stopped, then its address says 503 and it is exited; start deploys it."""
    async with coolify() as side:
        made = await deployed(side)
        assert await side.post(f"/applications/{made['uuid']}/stop") == {
            "message": "Application stopping request queued."
        }

        async def exited() -> bool:
            return bool((await side.get(f"/applications/{made['uuid']}"))["status"] == "exited:unhealthy")

        await until(exited)
        assert (await side.client.get(f"{made['url']}/api/version")).status_code == 503
        started = await side.post(f"/applications/{made['uuid']}/start", {"instant_deploy": True})
        assert started["message"] == "Deployment request queued."
        assert (await side.ended(started["deployment_uuid"]))["status"] == "finished"
        assert (await side.client.get(f"{made['url']}/api/version")).json()["commit"] == versions.GOOD.sha


async def test_a_container_that_ends_by_itself_is_started_again() -> None:
    """Given a running application, when its process is killed, then another one serves on the same address."""
    async with coolify() as side:
        made = await deployed(side)
        container = side.service.runner.live(made["uuid"])
        assert container is not None
        pid = container.pid
        assert container._process is not None
        container._process.kill()
        await until(lambda: container.restarts == 1 and container.pid not in (None, pid))
        assert await container.listening(10)
        assert (await side.client.get(f"{made['url']}/api/process")).json()["pid"] == container.pid


async def test_an_unreachable_server_keeps_its_old_status_and_lists_no_images() -> None:
    """Given a server that is not reachable, then the stored status stays and rollback-images is empty with 200."""
    async with coolify(status_poll_seconds=0.05) as side:
        made = await deployed(side)
        side.service.change_application(made["uuid"], {"server_status": False, "status": "running:healthy"})
        container = side.service.runner.live(made["uuid"])
        assert container is not None
        await container.end(grace=1)
        side.service.runner.poll(side.service.state.applications[made["uuid"]])
        shown = await side.get(f"/applications/{made['uuid']}")
        assert (shown["status"], shown["server_status"]) == ("running:healthy", False)
        assert await side.get(f"/applications/{made['uuid']}/rollback-images") == {"current": None, "images": []}
