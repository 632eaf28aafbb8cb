# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens, errors, limits and the env rows: each trap of Coolify's API, by version."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.coolify import Coolify, coolify

VERSIONS = ("4.0.0-beta.434", "4.1.2", "4.2.0", "4.3.11")
URL = "postgresql://owner:f7Qm2xTz81LbWv@ep-cool-frost-a1b2c3d4.eu-central-1.aws.sandbox.localhost:5432/tracker"
FLAGS = ("is_literal", "is_multiline", "is_shown_once", "is_runtime", "is_buildtime")


async def rows(side: Coolify, uuid: str, key: str, *, preview: bool = False) -> list[dict[str, Any]]:
    """The env rows of this key."""
    found = await side.get(f"/applications/{uuid}/envs")
    return [row for row in found if row["key"] == key and row["is_preview"] is preview]


async def test_what_is_wrong_with_a_token_is_said_in_coolifys_order() -> None:
    """Given tokens that each lack something, then status and body are Coolify's, the first lack first."""
    async with coolify() as side:
        make = side.service.create_token
        stories: list[tuple[str | None, str, str, int, dict[str, Any]]] = [
            (None, "GET", "/version", 401, {"message": "Unauthenticated."}),
            ("9|wrong", "GET", "/version", 401, {"message": "Unauthenticated."}),
            (make(expires_in=-1), "GET", "/version", 401, {"message": "Unauthenticated."}),
            (make(team=False), "GET", "/version", 401, {"message": "Invalid token."}),
            (make(abilities=["write"]), "GET", "/version", 403, {"message": "Missing required permissions: read"}),
            (make(abilities=["read"]), "POST", "/deploy", 403, {"message": "Missing required permissions: deploy"}),
            (make(abilities=["write"]), "POST", "/deploy", 403, {"message": "Missing required permissions: deploy"}),
        ]
        for token, method, path, status, body in stories:
            async with side.client_with(token) as client:
                answer = await client.request(method, path)
                assert (answer.status_code, answer.json()) == (status, body)
        async with side.client_with(make(abilities=["deploy"], role="member")) as client:
            answer = await client.post("/deploy")
            assert answer.status_code == 403
            assert "exceed your current role" in answer.json()["message"]


async def test_a_disabled_api_and_a_foreign_address_are_403_with_success_true() -> None:
    """Given the API switched off, then 403 says success: true; enabling works all the same."""
    async with coolify() as side:
        side.service.change_instance(allowed_ips="10.0.0.0/8, 192.0.2.7")
        answer = await side.client.get("/version")
        assert (answer.status_code, answer.json()) == (
            403,
            {"success": True, "message": "You are not allowed to access the API."},
        )
        side.service.change_instance(allowed_ips="127.0.0.0/8", api_enabled=False)
        answer = await side.client.get("/version")
        assert (answer.status_code, answer.json()) == (403, {"success": True, "message": "API is disabled."})
        assert (await side.client.post("/enable")).status_code == 200
        assert (await side.client.get("/version")).status_code == 200


async def test_health_needs_no_token_and_the_version_is_plain_text() -> None:
    """Given no token, then health is OK; with one, the version is text without a leading v."""
    async with coolify() as side, side.client_with(None) as nobody:
        assert (await nobody.get("/health")).text == "OK"
        assert (await nobody.get(f"http://127.0.0.1:{side.port}/api/health")).text == "OK"
        answer = await side.client.get("/version")
        assert answer.text == "4.3.11"
        assert answer.headers["Content-Type"].startswith("text/plain")


async def test_an_unknown_path_is_told_from_an_unknown_application() -> None:
    """Given 4.2.0 without rollback, then its path is unknown; in 4.3.11 it is the application that is."""
    for version, message in (("4.2.0", "Not found."), ("4.3.11", "Application not found.")):
        async with coolify(version) as side:
            answer = await side.client.post("/applications/x/rollback", json={"commit": "abc"})
            assert (answer.status_code, answer.json()["message"]) == (404, message)
            answer = await side.client.get("/applications/x/envs")
            assert (answer.status_code, answer.json()) == (404, {"message": "Application not found"})


async def test_the_rate_limit_is_shared_by_all_tokens_of_a_user() -> None:
    """Given five requests a minute, when two tokens of one user send six, then the sixth is 429 with the headers."""
    async with coolify(rate_limit_per_minute=5) as side, side.client_with(side.service.create_token()) as other:
        for left in (4, 3, 2, 1, 0):
            answer = await (other if left % 2 else side.client).get("/version")
            assert answer.headers["X-RateLimit-Remaining"] == str(left)
        answer = await side.client.get("/version")
        assert (answer.status_code, answer.json()) == (429, {"message": "Too Many Attempts."})
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["X-RateLimit-Limit"] == "5"
        assert "X-RateLimit-Reset" in answer.headers


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_get_on_an_action_acts_before_4_2_and_is_405_since(version: str) -> None:
    """Given a GET on deploy, then old versions deploy and new ones say that they want a POST."""
    async with coolify(version, build_seconds=0) as side:
        made = await side.application()
        answers = [await side.client.get("/deploy", params={"uuid": made["uuid"]})]
        answers += [await side.client.get(f"/applications/{made['uuid']}/{word}") for word in ("start", "restart")]
        listed = await side.get(f"/deployments/applications/{made['uuid']}")
        if version in ("4.2.0", "4.3.11"):
            assert {a.status_code for a in answers} == {405}
            assert answers[0].json() == {"message": "This endpoint has changed to a POST request."}
            assert answers[0].headers["Allow"] == "POST"
            assert listed["count"] == 0
        else:
            assert answers[0].status_code == 200
            assert listed["count"] >= 1


async def test_restart_needs_write_in_the_old_beta_and_deploy_since() -> None:
    """Given a token with deploy only, then it restarts in 4.3.11 and not in beta.434."""
    for version, status in (("4.0.0-beta.434", 403), ("4.3.11", 200)):
        async with coolify(version) as side:
            made = await side.application()
            async with side.client_with(side.service.create_token(abilities=["deploy"])) as client:
                assert (await client.post(f"/applications/{made['uuid']}/restart")).status_code == status


@pytest.mark.parametrize("version", VERSIONS)
async def test_patching_a_row_loses_what_is_left_out(version: str) -> None:
    """Given a literal row, when only key and comment or key come in a PATCH, then value and is_literal are gone."""
    async with coolify(version) as side:
        made = await side.application(env=[{"key": "DATABASE_URL", "value": URL, "is_literal": True}])
        answer = await side.client.patch(f"/applications/{made['uuid']}/envs", json={"key": "DATABASE_URL"})
        assert answer.status_code == 201
        [row] = await rows(side, made["uuid"], "DATABASE_URL")
        assert (row["value"], row["is_literal"], row["is_runtime"]) == (None, False, True)
        [preview] = await rows(side, made["uuid"], "DATABASE_URL", preview=True)
        assert preview["value"] == URL, "the preview row is another row"


async def test_patching_keeps_runtime_buildtime_and_comment() -> None:
    """Given a row that is not needed to build, when value and is_literal are patched, then the rest stays."""
    async with coolify() as side:
        row = {"key": "K", "value": "1", "is_literal": True, "is_buildtime": False, "comment": "by hand"}
        made = await side.application(env=[row])
        await side.client.patch(
            f"/applications/{made['uuid']}/envs", json={"key": "K", "value": "2", "is_literal": True}
        )
        [after] = await rows(side, made["uuid"], "K")
        assert (after["value"], after["is_buildtime"], after["comment"]) == ("2", False, "by hand")


@pytest.mark.parametrize("path", ["envs", "envs/bulk"])
@pytest.mark.parametrize("flag", ["is_multiline", "is_shown_once"])
async def test_leaving_out_a_flag_that_is_set_breaks_the_write(path: str, flag: str) -> None:
    """Given a locked or multiline row, when a PATCH leaves the flag out, then 500 and the row as it was."""
    async with coolify() as side:
        made = await side.application(env=[{"key": "K", "value": "old", flag: True}])
        item = {"key": "K", "value": "new"}
        url = f"/applications/{made['uuid']}/{path}"
        answer = await side.client.patch(url, json={"data": [item]} if path.endswith("bulk") else item)
        assert answer.status_code == 500
        assert side.service.state.env(made["uuid"], "K", False)["value"] == "old"  # type: ignore[index]
        whole = {**item, flag: True}
        answer = await side.client.patch(url, json={"data": [whole]} if path.endswith("bulk") else whole)
        assert answer.status_code == 201
        assert side.service.state.env(made["uuid"], "K", False)["value"] == "new"  # type: ignore[index]


async def test_a_single_write_refuses_unknown_fields_and_a_bulk_write_drops_them() -> None:
    """Given is_build_time (the old name), then POST and PATCH are 422 and bulk takes the row without it."""
    async with coolify() as side:
        made = await side.application(env=[])
        url = f"/applications/{made['uuid']}/envs"
        item = {"key": "K", "value": "v", "is_build_time": False, "uuid": "x"}
        answer = await side.client.post(url, json=item)
        assert answer.status_code == 422
        assert answer.json()["errors"] == {key: ["This field is not allowed."] for key in ("is_build_time", "uuid")}
        answer = await side.client.patch(f"{url}/bulk", json={"data": [item]})
        assert answer.status_code == 201
        assert answer.json()[0]["is_buildtime"] is True


async def test_the_old_beta_refuses_the_build_and_lock_flags() -> None:
    """Given beta.434, then the flags that came with beta.435 are unknown fields, and comment, too."""
    async with coolify("4.0.0-beta.434") as side:
        made = await side.application(env=[])
        answer = await side.client.post(
            f"/applications/{made['uuid']}/envs",
            json={"key": "K", "value": "v", "comment": "c", **dict.fromkeys(FLAGS, True)},
        )
        assert set(answer.json()["errors"]) == {*FLAGS, "comment"} - {"is_literal"}


async def test_a_bulk_write_that_fails_half_way_keeps_the_first_half() -> None:
    """Given a second item with a number as its value, then 422, and the first item is saved all the same."""
    async with coolify() as side:
        made = await side.application(env=[])
        url = f"/applications/{made['uuid']}/envs/bulk"
        answer = await side.client.patch(url, json={"data": [{"key": "A", "value": "1"}, {"key": "B", "value": 2}]})
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["value"])
        assert [row["key"] for row in await side.get(f"/applications/{made['uuid']}/envs")] == ["A", "A"]
        answer = await side.client.patch(url, json={"data": []})
        assert (answer.status_code, answer.json()) == (400, {"message": "Bulk data is required."})


async def test_values_are_trimmed_and_an_empty_text_becomes_null() -> None:
    """Given blanks around a value and an empty one, then the first is trimmed and the second is null."""
    async with coolify() as side:
        made = await side.application(env=[])
        url = f"/applications/{made['uuid']}/envs/bulk"
        await side.client.patch(url, json={"data": [{"key": "A", "value": "  x\n"}, {"key": "B", "value": ""}]})
        assert (await rows(side, made["uuid"], "A"))[0]["value"] == "x"
        assert (await rows(side, made["uuid"], "B"))[0]["value"] is None


async def test_a_new_row_gets_a_preview_copy_that_outlives_it() -> None:
    """Given a created row, then a preview copy exists; a second POST is 409; deleting the row leaves the copy."""
    async with coolify() as side:
        made = await side.application(env=[])
        url = f"/applications/{made['uuid']}/envs"
        created = await side.client.post(url, json={"key": "K", "value": "v"})
        assert (created.status_code, list(created.json())) == (201, ["uuid"])
        again = await side.client.post(url, json={"key": "K", "value": "w"})
        assert again.status_code == 409
        assert again.json()["message"].startswith("Environment variable already exists")
        deleted = await side.client.delete(f"{url}/{created.json()['uuid']}")
        assert deleted.json() == {"message": "Environment variable deleted."}
        assert [row["is_preview"] for row in await side.get(url)] == [True]
        assert (await side.client.delete(f"{url}/{created.json()['uuid']}")).status_code == 404


async def test_of_two_rows_with_one_key_a_patch_hits_the_first() -> None:
    """Given a duplicate (made behind the API's back), then both are listed and only the first is written."""
    async with coolify() as side:
        made = await side.application(env={"K": "one"})
        side.service.add_env_row(made["uuid"], {"key": "K", "value": "two"})
        await side.client.patch(f"/applications/{made['uuid']}/envs", json={"key": "K", "value": "new"})
        assert [row["value"] for row in await rows(side, made["uuid"], "K")] == ["new", "two"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_locked_value_is_shown_to_nobody_since_4_2(version: str) -> None:
    """Given a locked row, then its value is absent for everybody since 4.2.0 and readable before."""
    async with coolify(version) as side:
        made = await side.application(env=[{"key": "K", "value": URL, "is_shown_once": True}])
        [row] = await rows(side, made["uuid"], "K")
        shown = version in ("4.0.0-beta.434", "4.1.2")
        assert ("value" in row, "real_value" in row) == (shown, shown)


async def test_secrets_are_absent_without_read_sensitive() -> None:
    """Given a token with read only, then values, logs and dockerfile are absent keys, not null."""
    async with coolify() as side:
        made = await side.application(env={"K": "v"}, dockerfile="FROM scratch", deploy=True)
        async with side.client_with(side.service.create_token(abilities=["read"])) as client:
            row = (await client.get(f"/applications/{made['uuid']}/envs")).json()[0]
            assert row["key"] == "K"
            assert not {"value", "real_value"} & set(row)
            assert "dockerfile" not in (await client.get(f"/applications/{made['uuid']}")).json()
            deployment = (await client.get(f"/deployments/{made['deployment_uuid']}")).json()
            assert "logs" not in deployment
        assert "logs" in await side.get(f"/deployments/{made['deployment_uuid']}")
        assert (await side.get(f"/applications/{made['uuid']}"))["dockerfile"] == "FROM scratch"


async def test_a_body_that_is_not_json_is_told_apart() -> None:
    """Given a PATCH with the wrong type, broken JSON or an empty object, then 400 names each."""
    async with coolify() as side:
        made = await side.application()
        url = f"/applications/{made['uuid']}/envs"
        json_type = {"Content-Type": "application/json"}
        for content, headers, error in (
            (b"key=K", {"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type must be application/json."),
            (b"{", json_type, "Invalid JSON."),
            (b"{}", json_type, "Empty JSON."),
        ):
            answer: httpx.Response = await side.client.patch(url, content=content, headers=headers)
            assert (answer.status_code, answer.json()) == (400, {"message": "Invalid request.", "error": error})


async def test_keys_are_checked_since_4_2_and_mended_before() -> None:
    """Given a key with a space, then 4.1.2 writes an underscore and 4.3.11 refuses."""
    async with coolify("4.1.2") as side:
        made = await side.application(env=[])
        await side.post(f"/applications/{made['uuid']}/envs", {"key": "MY KEY", "value": "v"})
        assert len(await rows(side, made["uuid"], "MY_KEY")) == 1
    async with coolify() as side:
        made = await side.application(env=[])
        answer = await side.client.post(f"/applications/{made['uuid']}/envs", json={"key": "MY KEY", "value": "v"})
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["key"])


async def test_an_application_is_patched_in_part_and_unknown_fields_are_refused() -> None:
    """Given a PATCH of an application, then what is left out stays (unlike an env row's), settings included."""
    async with coolify() as side:
        made = await side.application()
        url = f"/applications/{made['uuid']}"
        answer = await side.client.patch(url, json={"git_commit_sha": "a" * 40, "is_auto_deploy_enabled": False})
        assert answer.json() == {"uuid": made["uuid"]}
        after = await side.get(url)
        assert (after["git_commit_sha"], after["health_check_enabled"]) == ("a" * 40, True)
        assert after["settings"]["is_auto_deploy_enabled"] is False
        assert "id" not in after
        refused = await side.client.patch(url, json={"status": "running:healthy"})
        assert (refused.status_code, refused.json()["errors"]) == (422, {"status": ["This field is not allowed."]})


async def test_services_patch_flags_in_part_and_still_lose_the_value() -> None:
    """Given a service's literal row, when its key is patched alone, then the flag stays and the value is gone."""
    async with coolify() as side:
        service = side.service.create_service(name="cache", env=[{"key": "K", "value": "v", "is_literal": True}])
        url = f"/services/{service['uuid']}/envs"
        answer = await side.client.patch(url, json={"key": "K", "whatever": 1})
        assert (answer.status_code, answer.json()["value"], answer.json()["is_literal"]) == (201, None, True)
        created = await side.client.post(url, json={"key": "L", "value": "w"})
        assert (created.status_code, created.json()["value"]) == (201, "w")
        assert (await side.client.get("/services/none/envs")).json() == {"message": "Service not found."}
        assert [row["key"] for row in await side.get(url)] == ["K", "L"]


async def test_shared_variables_exist_since_4_3_and_rows_refer_to_them() -> None:
    """Given a team variable, then rows that refer to it say is_shared and show what it resolves to."""
    async with coolify("4.2.0") as side:
        assert (await side.client.get("/team/envs")).json()["message"] == "Not found."
    async with coolify() as side:
        created = (await side.client.post("/team/envs", json={"key": "DB", "value": URL})).json()
        assert isinstance(created["id"], int)
        assert (await side.client.post("/team/envs", json={"key": "DB", "value": "x"})).status_code == 409
        made = await side.application(env=[{"key": "DATABASE_URL", "value": "{{team.DB}}", "is_literal": True}])
        [row] = await rows(side, made["uuid"], "DATABASE_URL")
        assert (row["is_shared"], row["value"], row["real_value"]) == (True, "{{team.DB}}", f"'{URL}'")
        patched = await side.client.patch(f"/team/envs/{created['id']}", json={"comment": "kept"})
        assert (patched.status_code, patched.json()["value"]) == (200, URL)
        project = (await side.get("/projects"))[0]["uuid"]
        server = (await side.get("/servers"))[0]["uuid"]
        for path in (f"/projects/{project}", f"/projects/{project}/environments/production", f"/servers/{server}"):
            assert await side.get(f"{path}/envs") == []


async def test_every_request_is_in_the_log_without_values() -> None:
    """Given a write of a secret, then the request log holds method, path and status, and no secret."""
    async with coolify() as side:
        made = await side.application(env=[])
        await side.client.patch(f"/applications/{made['uuid']}/envs/bulk", json={"data": [{"key": "K", "value": URL}]})
        [entry] = [e for e in side.world.log.since(0) if e["method"] == "PATCH"]
        assert (entry["service"], entry["status"], entry["token"]) == ("coolify", 201, "everything")
        assert "f7Qm2xTz81LbWv" not in str(entry)


async def test_without_asking_for_json_failures_come_as_pages() -> None:
    """Given a client that accepts anything, then a failed validation is a redirect and a 500 is HTML."""
    async with coolify() as side:
        made = await side.application(env=[{"key": "K", "value": "v", "is_shown_once": True}])
        anything = {"Accept": "*/*"}
        answer = await side.client.get(f"/deployments/applications/{made['uuid']}?skip=x", headers=anything)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        body = {"key": "K", "value": "w"}
        answer = await side.client.patch(f"/applications/{made['uuid']}/envs", json=body, headers=anything)
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (500, "text/html")
