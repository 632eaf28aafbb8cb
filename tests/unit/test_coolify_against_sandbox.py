# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the Coolify side against a running stand-in of Coolify, under each version profile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._coolify import asking
from ansible_collections.rewind.database.tests.unit.tools import call_module

from sandbox.tracker import versions
from tests.support.coolify import NO_DATABASE, Coolify, coolify, until

Json = dict[str, Any]

VERSIONS = ("4.0.0-beta.434", "4.1.2", "4.2.0", "4.3.11")
WRITING = VERSIONS[1:]
SECRET = "Vq4Zr8Tn2Kx6Wm1P"
DATABASE = f"postgresql://app:{SECRET}@ep-old-hill-a1b2c3d4.eu-central-1.aws.neon.tech/db?sslmode=require"


async def call(side: Coolify, module: str, *, check_mode: bool = False, token: str | None = None, **more: Any) -> Json:
    """Run a module beside the server, and look for every secret in all that it returns."""
    options: Json = {
        "coolify_access_token": token or side.token,
        "coolify_api_url": f"http://127.0.0.1:{side.port}",
        **more,
    }
    if module == "coolify_deployment":
        usual: Json = {"soak": 0.2, "healthy_readings": 2, "poll_interval": 0.05, "wait_timeout": 30}
        options = {**usual, **options}
    if module in ("coolify_application_env", "coolify_application_info"):
        options["state_dir"] = str(side.root / "state")
    result = await asyncio.to_thread(call_module, module, options, check_mode=check_mode)
    for secret in (side.token, SECRET):
        assert secret not in json.dumps(result)
    return result


async def ready(side: Coolify, **options: Any) -> str:
    """An application after its first good deployment."""
    made = await side.application(deploy=True, **options)
    assert made["deployment_status"] == "finished"
    return str(made["uuid"])


def production(rows: list[Json], key: str) -> Json:
    return next(row for row in rows if row["key"] == key and not row["is_preview"])


async def envs(side: Coolify, uuid: str) -> list[Json]:
    found: list[Json] = await side.get(f"/applications/{uuid}/envs")
    return found


def writes(side: Coolify, since: int) -> list[str]:
    entries = side.world.log.since(since, "coolify")
    return [f"{entry['method']} {entry['path']}" for entry in entries if entry["method"] != "GET"]


@pytest.mark.parametrize("version", WRITING)
async def test_a_variable_is_set_without_losing_a_flag_of_any_row(version: str) -> None:
    """Given a row with flags and its preview row, when the value changes, then all else stays; again is no change."""
    async with coolify(version) as side:
        rows: list[Json] = [
            {"key": "DATABASE_URL", "value": NO_DATABASE},
            {"key": "MODE", "value": "on", "is_literal": True},
        ]
        uuid = str((await side.application(env=[{**row, "is_buildtime": False} for row in rows]))["uuid"])
        before = await envs(side, uuid)
        # Makes the key of the hashes, so that check mode's can be compared.
        await call(side, "coolify_application_info", application=uuid)
        wanted: Json = {"application": uuid, "variables": [{"key": "DATABASE_URL", "value": DATABASE}]}
        predicted = await call(side, "coolify_application_env", check_mode=True, **wanted)
        assert predicted["changed"] is True and await envs(side, uuid) == before
        result = await call(side, "coolify_application_env", **wanted)
        assert result["changed"] is True and result["variables"][0]["verified"] is True
        after = await envs(side, uuid)
        changed = {"value", "real_value", "updated_at", "version", "is_shared"}
        for old, new in zip(before, after, strict=True):
            assert {name: old[name] for name in old.keys() - changed} == {
                name: new[name] for name in old.keys() - changed
            }
            assert old["value"] == new["value"] or (new["key"], new["is_preview"]) == ("DATABASE_URL", False)
        assert production(after, "DATABASE_URL")["value"] == DATABASE
        assert predicted["variables"][0]["after"] == result["variables"][0]["after"]
        seen = side.world.log.last
        assert (await call(side, "coolify_application_env", **wanted))["changed"] is False
        assert writes(side, seen) == []


async def test_a_version_that_drops_flags_is_not_written_to() -> None:
    """Given beta.434, then the task fails before any write and names the version that it takes."""
    async with coolify("4.0.0-beta.434") as side:
        uuid = str((await side.application())["uuid"])
        seen = side.world.log.last
        variables = [{"key": "DATABASE_URL", "value": DATABASE}]
        result = await call(side, "coolify_application_env", application=uuid, variables=variables)
        assert "4.0.0-beta.435" in result["msg"] and writes(side, seen) == []


@pytest.mark.parametrize("version", WRITING)
async def test_a_locked_row_is_written_only_on_demand_where_it_cannot_be_read(version: str) -> None:
    """Given a locked row, then 4.1 changes it like any other, and 4.2 only with overwrite_locked, unproven."""
    async with coolify(version) as side:
        row = {"key": "DATABASE_URL", "value": NO_DATABASE, "is_shown_once": True, "is_literal": True}
        uuid = str((await side.application(env=[row]))["uuid"])
        wanted: Json = {"application": uuid, "variables": [{"key": "DATABASE_URL", "value": DATABASE}]}
        result = await call(side, "coolify_application_env", **wanted)
        if version == "4.1.2":
            assert result["variables"][0]["verified"] is True
            return
        assert result["error"]["code"] == "locked_row"
        result = await call(side, "coolify_application_env", overwrite_locked=True, **wanted)
        assert result["changed"] is True and result["variables"][0]["verified"] is None
        stored = side.service.state.env(uuid, "DATABASE_URL", False)
        assert stored is not None and stored["value"] == DATABASE and stored["is_shown_once"] and stored["is_literal"]


async def test_duplicates_shared_and_hidden_values_are_refused() -> None:
    """Given two rows of a key, a shared one, and a token that sees no values, then each is refused without a write."""
    async with coolify() as side:
        env = [{"key": "DATABASE_URL", "value": NO_DATABASE}, {"key": "SHARED", "value": "{{team.X}}"}]
        uuid = str((await side.application(env=env))["uuid"])
        extra = side.service.add_env_row(uuid, {"key": "DATABASE_URL", "value": "x", "is_preview": False})
        seen = side.world.log.last

        async def refused(key: str, token: str | None = None) -> Json:
            given: Json = {"application": uuid, "variables": [{"key": key, "value": DATABASE}], "token": token}
            result = await call(side, "coolify_application_env", **given)
            assert result["failed"] is True
            return result

        assert extra["uuid"] in (await refused("DATABASE_URL"))["msg"]
        assert (await refused("SHARED"))["error"]["code"] == "shared_row"
        blind = side.service.create_token(name="blind", abilities=["read", "write"])
        assert (await refused("SHARED", blind))["error"]["code"] == "values_hidden"
        assert writes(side, seen) == []


@pytest.mark.parametrize("effect", ["drop_before", "drop_after", "status_after"])
async def test_a_write_whose_answer_is_lost_ends_right(effect: str) -> None:
    """Given a bulk write that is lost before or after its effect, then it ends right, sent again only if needed."""
    async with coolify() as side:
        uuid = str((await side.application())["uuid"])
        side.world.faults.add(service="coolify", method="PATCH", path="envs/bulk", effect=effect)
        seen = side.world.log.last
        variables = [{"key": "DATABASE_URL", "value": DATABASE}]
        result = await call(side, "coolify_application_env", application=uuid, variables=variables)
        assert result["changed"] is True and production(await envs(side, uuid), "DATABASE_URL")["value"] == DATABASE
        assert len(writes(side, seen)) == (2 if effect == "drop_before" else 1)


async def test_a_variable_is_removed_and_again_is_no_change() -> None:
    """Given a variable with a preview row, when it is removed, then only its production row goes."""
    async with coolify() as side:
        uuid = str((await side.application())["uuid"])
        wanted: Json = {"application": uuid, "state": "absent", "variables": [{"key": "DATABASE_URL"}]}
        assert (await call(side, "coolify_application_env", check_mode=True, **wanted))["changed"] is True
        assert (await call(side, "coolify_application_env", **wanted))["changed"] is True
        assert [row["is_preview"] for row in await envs(side, uuid)] == [True]
        assert (await call(side, "coolify_application_env", **wanted))["changed"] is False


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_env_change_is_deployed_on_the_running_commit_though_the_branch_moved(version: str) -> None:
    """Given a branch with a newer commit, when a changed environment is deployed, then the old commit keeps running."""
    async with coolify(version) as side:
        uuid = await ready(side)
        side.service.push(uuid, "next")
        side.service.add_env_row(uuid, {"key": "EXTRA", "value": "1", "is_buildtime": False, "is_literal": True})
        result = await call(side, "coolify_deployment", application=uuid)
        assert result["changed"] is True and result["deployment"]["status"] == "finished", result
        assert result["deployment"]["commit"] == versions.GOOD.sha
        assert result["application"]["status"] == "running:healthy"
        assert (await side.get(f"/applications/{uuid}"))["git_commit_sha"] == "HEAD"
        if version == "4.3.11":
            assert result["pin"] is None and result["deployment"]["rollback"] is True
        else:
            assert result["pin"]["restored"] is True
        # To set the commit counts as a change of what is built; a rollback needs no such thing.
        assert result["deployment"]["build_skipped"] is (version == "4.3.11")


@pytest.mark.parametrize("version", VERSIONS)
async def test_check_mode_sends_nothing_but_get(version: str) -> None:
    """Given check mode, then each module only reads, under every version: before 4.2 a GET could deploy."""
    async with coolify(version) as side:
        uuid = await ready(side)
        before = await side.get(f"/deployments/applications/{uuid}")
        seen = side.world.log.last
        calls: list[tuple[str, Json]] = [
            ("coolify_application_info", {"application": uuid}),
            ("coolify_consumer_info", {"hosts": ["127.0.0.1"]}),
            ("coolify_deployment_info", {"application": uuid}),
            ("coolify_application", {"application": uuid, "git_commit_sha": versions.GOOD.sha}),
            ("coolify_deployment", {"application": uuid}),
            ("coolify_deployment", {"application": uuid, "action": "stop"}),
        ]
        for module, given in calls:
            result = await call(side, module, check_mode=True, **given)
            assert not result.get("failed"), result
        assert writes(side, seen) == []
        assert await side.get(f"/deployments/applications/{uuid}") == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_running_deployment_is_waited_out_and_another_one_made(version: str) -> None:
    """Given a deployment that runs when the environment was written, then it ends first and ours comes after it."""
    async with coolify(version, build_seconds=0.6) as side:
        uuid = await ready(side)
        side.service.push(uuid, "next")
        other = await side.deploy(uuid)
        result = await call(side, "coolify_deployment", application=uuid, after="2020-01-01T00:00:00Z")
        assert result["deployment"]["uuid"] != other and result["deployment"]["status"] == "finished"
        assert "other_deployment" in [phase["name"] for phase in result["phases"]]
        # What runs by then is what the other one brought.
        assert result["deployment"]["commit"] == versions.NEXT.sha


@pytest.mark.parametrize("version", ["4.1.2", "4.2.0"])
async def test_a_phantom_of_a_full_queue_is_not_taken_for_a_deployment(version: str) -> None:
    """Given a queue that is full for a while, then restart's made-up uuids are not followed."""
    async with coolify(version, queue_limit=1, concurrent_builds=1, build_seconds=30) as side:
        uuid = await ready(side, git_commit_sha=versions.GOOD.sha)
        blockers = [await side.application(built=False) for _time in range(2)]
        blocking = [await side.deploy(made["uuid"]) for made in blockers]
        waiting = asyncio.create_task(call(side, "coolify_deployment", application=uuid))
        asked = f"POST /api/v1/applications/{uuid}/restart"
        await until(lambda: writes(side, 0).count(asked) > 1)
        for deployment in reversed(blocking):
            await side.client.post(f"/deployments/{deployment}/cancel")
        result = await waiting
        assert result["deployment"]["status"] == "finished" and result["deployment"]["restart_only"] is True


@pytest.mark.parametrize("version", ["4.1.2", "4.3.11"])
async def test_a_timeout_cancels_and_says_how_things_stand(version: str) -> None:
    """Given a build that takes too long, then it is cancelled, also where that answers 500."""
    async with coolify(version, build_seconds=30) as side:
        uuid = await ready(side)
        result = await call(side, "coolify_deployment", application=uuid, force=True, wait_timeout=0.5)
        assert result["error"]["code"] == "timeout" and "is cancelled-by-user now" in result["msg"], result["msg"]
        assert result["partial"]["deployment"]["status"] == "cancelled-by-user"
        assert (await side.get(f"/applications/{uuid}"))["git_commit_sha"] == "HEAD"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_deployment_that_never_gets_healthy_fails_and_the_old_one_serves_on(version: str) -> None:
    """Given a commit whose health check fails, then the task fails as soon as the deployment does."""
    async with coolify(version) as side:
        uuid = await ready(side)
        side.service.change_application(uuid, {"health_check_path": "/nowhere", "health_check_retries": 2})
        result = await call(side, "coolify_deployment", application=uuid)
        assert result["error"]["code"] == "deployment_failed"
        assert result["partial"]["deployment"]["status"] == "failed"
        assert (await side.get(f"/applications/{uuid}"))["git_commit_sha"] == "HEAD"


@pytest.mark.parametrize("effect", ["drop_before", "drop_after", "status_after"])
async def test_a_lost_answer_to_a_deployment_never_makes_two(effect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a request that is lost before or after its effect, then exactly one deployment comes of it."""
    monkeypatch.setattr(asking, "_DOUBT_SECONDS", 1.0)
    async with coolify() as side:
        uuid = await ready(side)
        side.world.faults.add(service="coolify", method="POST", path="/rollback$", effect=effect)
        count = (await side.get(f"/deployments/applications/{uuid}"))["count"]
        result = await call(side, "coolify_deployment", application=uuid)
        assert result["deployment"]["status"] == "finished", result
        assert (await side.get(f"/deployments/applications/{uuid}"))["count"] == count + 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_flicker_after_a_good_rollout_is_no_failure(version: str) -> None:
    """Given a status that is corrected only after a while, then the wait goes on until it is, and longer."""
    async with coolify(version, status_poll_seconds=1.0) as side:
        uuid = await ready(side)
        result = await call(side, "coolify_deployment", application=uuid, soak=0.3)
        assert result["application"]["status"] == "running:healthy", result


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_health_check_needs_none(version: str) -> None:
    """Given an application without a health check, then the state of its container is enough."""
    async with coolify(version) as side:
        uuid = await ready(side, health_check_enabled=False)
        result = await call(side, "coolify_deployment", application=uuid)
        assert result["deployment"]["status"] == "finished", result
        assert result["application"]["health"] != "healthy"


@pytest.mark.parametrize("pack", ["dockercompose", "dockerfile"])
@pytest.mark.parametrize("version", ["4.2.0", "4.3.11"])
async def test_other_packs_stay_on_their_commit_too(version: str, pack: str) -> None:
    """Given a compose or Dockerfile application whose branch moved, then its running commit is deployed again."""
    async with coolify(version) as side:
        uuid = await ready(side, build_pack=pack)
        side.service.push(uuid, "next")
        result = await call(side, "coolify_deployment", application=uuid)
        assert not result.get("failed"), result
        assert result["deployment"]["commit"] == versions.GOOD.sha
        assert (await side.get(f"/applications/{uuid}"))["git_commit_sha"] == "HEAD"


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_commit_is_deployed_by_name(version: str) -> None:
    """Given two commits, when the older one is rolled back to, then it runs, and the branch is followed as before."""
    async with coolify(version) as side:
        uuid = await ready(side, repository=["good", "next"])
        result = await call(side, "coolify_deployment", application=uuid, action="rollback", commit=versions.GOOD.sha)
        assert (
            result["deployment"]["commit"] == versions.GOOD.sha
            and result["diff"]["before"]["commit"] == versions.NEXT.sha
        )
        assert (await side.get(f"/applications/{uuid}"))["git_commit_sha"] == "HEAD"


async def test_stop_and_start() -> None:
    """Given a running application, then it is stopped and started, and each of them again changes nothing."""
    async with coolify() as side:
        uuid = await ready(side)
        for action, state in (("stop", "exited"), ("start", "running")):
            assert (await call(side, "coolify_deployment", application=uuid, action=action))["changed"] is True
            result = await call(side, "coolify_deployment", application=uuid, action=action)
            assert result["changed"] is False and result["application"]["status"].startswith(state)


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_a_token_may_do_is_told_ability_by_ability(version: str) -> None:
    """Given tokens with single abilities, then each is proven or missing, and the probes change nothing."""
    async with coolify(version) as side:
        uuid = await ready(side)
        before = (await envs(side, uuid), await side.get(f"/deployments/applications/{uuid}"))
        for abilities in (["read"], ["read", "write"], ["read", "read:sensitive", "deploy"]):
            token = side.service.create_token(name="some", abilities=abilities)
            result = await call(side, "coolify_application_info", application=uuid, token=token)
            found = result["abilities"]
            assert found["write"] == ("proven" if "write" in abilities else "missing")
            assert found["read_sensitive"] == ("proven" if "read:sensitive" in abilities else "missing")
            expected = "proven" if "deploy" in abilities else "missing"
            assert found["deploy"] == ("unproven" if version == "4.0.0-beta.434" else expected)
        assert (await envs(side, uuid), await side.get(f"/deployments/applications/{uuid}")) == before


async def test_a_disabled_api_an_unlisted_address_and_an_expired_token_are_told_apart() -> None:
    """Given each of Coolify's refusals, then the code tells which it is."""
    async with coolify() as side:

        async def code(token: str | None = None) -> str:
            result = await call(side, "coolify_application_info", token=token)
            return str(result["error"]["code"])

        assert await code("4|" + "x" * 40) == "token_refused"
        assert await code(side.service.create_token(name="late", expires_in=-1)) == "token_refused"
        assert await code(side.service.create_token(name="deployer", abilities=["deploy"])) == "ability_missing"
        side.service.change_instance(allowed_ips="192.0.2.1")
        assert await code() == "address_not_allowed"
        side.service.change_instance(api_enabled=False)
        assert await code() == "api_disabled"


async def test_every_consumer_is_found_and_what_is_hidden_is_named() -> None:
    """Given an application, another with a locked row, a service, and a shared variable that one of them uses."""
    host, pooled = "ep-old-hill-a1b2c3d4.eu.aws.neon.tech", "ep-old-hill-a1b2c3d4-pooler.eu.aws.neon.tech"
    async with coolify() as side:
        direct, through = f"postgresql://u:{SECRET}@{host}/db", f"postgresql://u:{SECRET}@{pooled}/db"
        await side.application(name="tracker", env={"DATABASE_URL": through, "STATS": "{{team.STATS_URL}}"})
        await side.application(name="jobs", env=[{"key": "DATABASE_URL", "value": direct, "is_shown_once": True}])
        side.service.create_service(name="metabase", env={"MB_DB_HOST": host})
        side.service.create_shared_env(kind="team", key="STATS_URL", value=direct)
        result = await call(side, "coolify_consumer_info", hosts=[host])
        found = {
            (item["kind"], item["name"], item["key"], item["is_preview"], item["pooled"])
            for item in result["consumers"]
        }
        assert {
            ("application", "tracker", "DATABASE_URL", False, True),
            ("application", "tracker", "STATS", False, False),
            ("service", "metabase", "MB_DB_HOST", False, False),
            ("team", "team", "STATS_URL", False, False),
        } <= found
        assert [(item["name"], item["env_keys"]) for item in result["unreadable"]] == [("jobs", ["DATABASE_URL"])]


async def test_settings_are_paused_and_put_back() -> None:
    """Given an application, when auto-deploy and its commit are set, then they read back, and again is no change."""
    async with coolify() as side:
        uuid = str((await side.application())["uuid"])
        wanted: Json = {"application": uuid, "auto_deploy": False, "git_commit_sha": versions.GOOD.sha}
        result = await call(side, "coolify_application", **wanted)
        assert result["changed"] is True and result["before"] == {"auto_deploy": True, "git_commit_sha": "HEAD"}
        assert (await call(side, "coolify_application", **wanted))["changed"] is False
        health: Json = {"enabled": True, "path": "/api/health", "retries": 4, "port": "3000"}
        result = await call(side, "coolify_application", application=uuid, health_check=health, **result["before"])
        assert result["application"]["auto_deploy"] is True and result["application"]["health_check"]["retries"] == 4
        assert (await call(side, "coolify_application", application=uuid, health_check=health))["changed"] is False
