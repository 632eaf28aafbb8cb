# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request log, faults, latency and the control API, over a service that counts what it really did."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sandbox.control import Control
from sandbox.settings import Settings
from sandbox.web import TOKEN_NAME, make_application, without_secrets
from sandbox.world import World

CONTROL_TOKEN = "control-" + "q7" * 20
PASSWORD = "pw" + "Zx81" * 8


class Service:
    """A service with one route to read and one to write."""

    def __init__(self) -> None:
        self.writes: list[Any] = []

    async def read(self, request: web.Request) -> web.Response:
        request[TOKEN_NAME] = "mine"
        return web.json_response({"writes": len(self.writes), "padding": "x" * 200})

    async def write(self, request: web.Request) -> web.Response:
        self.writes.append(await request.json())
        return web.json_response({"ok": True, "padding": "y" * 200}, status=201)

    async def missing(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text='{"message":"none"}', content_type="application/json")


class Setting:
    """The world, the service and clients of it and of the control API."""

    def __init__(self, world: World, service: Service, client: httpx.AsyncClient, control: httpx.AsyncClient) -> None:
        self.world, self.service, self.client, self.control = world, service, client, control

    async def fault(self, **what: Any) -> str:
        answer = await self.control.post("/control/faults", json=what)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    world = World(Settings(root=tmp_path))
    world.neon = cast(Any, SimpleNamespace(summary=lambda: {"projects": []}))
    world.coolify = cast(Any, SimpleNamespace(summary=lambda: {"applications": []}))
    service = Service()
    routes = [
        web.get("/api/v2/things", service.read),
        web.post("/api/v2/things", service.write),
        web.get("/api/v2/missing", service.missing),
    ]
    control = Control(world, CONTROL_TOKEN)
    served = TestServer(make_application(service="neon", world=world, routes=routes))
    controlled = TestServer(
        make_application(service="control", world=world, routes=control.routes(), middlewares=control.middlewares())
    )
    await served.start_server()
    await controlled.start_server()
    headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
    async with (
        httpx.AsyncClient(base_url=str(served.make_url("")), trust_env=False) as client,
        httpx.AsyncClient(base_url=str(controlled.make_url("")), trust_env=False, headers=headers) as controller,
    ):
        yield Setting(world, service, client, controller)
    await served.close()
    await controlled.close()


async def test_given_requests_when_the_log_is_read_then_each_is_there_once_without_its_secrets(
    setting: Setting,
) -> None:
    await setting.client.get("/api/v2/things", params={"limit": "2"})
    await setting.client.post(
        "/api/v2/things",
        json={"key": "DATABASE_URL", "value": f"postgresql://u:{PASSWORD}@h/d", "is_literal": True, "comment": None},
    )
    await setting.client.get("/api/v2/missing")
    answer = await setting.control.get("/control/requests")
    read, write, missing = answer.json()["requests"]
    assert (read["method"], read["path"], read["query"], read["status"]) == (
        "GET", "/api/v2/things", {"limit": ["2"]}, 200,
    )  # fmt: skip
    assert (read["service"], read["token"], read["body"]) == ("neon", "mine", None)
    assert write["body"] == {"key": "DATABASE_URL", "value": "***", "is_literal": True, "comment": None}
    assert (write["status"], missing["status"]) == (201, 404)
    assert PASSWORD not in answer.text
    later = await setting.control.get("/control/requests", params={"since": read["seq"]})
    assert [entry["seq"] for entry in later.json()["requests"]] == [write["seq"], missing["seq"]]
    assert (await setting.control.delete("/control/requests")).json() == {"removed": 3, "last": 3}
    await setting.client.get("/api/v2/things")
    assert [e["seq"] for e in (await setting.control.get("/control/requests")).json()["requests"]] == [4]


def test_given_nested_json_when_cleaned_then_secret_strings_go_and_everything_else_stays() -> None:
    body = {
        "data": [{"key": "A", "value": "x"}, {"key": "B", "value": None}],
        "text": f"see postgresql://u:{PASSWORD}@host/db?x=1",
        "role": {"password": PASSWORD, "name": "u"},
        "uri": "postgresql://h/d",
        "count": 3,
    }
    assert without_secrets(body) == {
        "data": [{"key": "A", "value": "***"}, {"key": "B", "value": None}],
        "text": "see postgresql://u:***@host/db?x=1",
        "role": {"password": "***", "name": "u"},
        "uri": "***",
        "count": 3,
    }


async def test_given_a_status_fault_when_hit_then_nothing_was_done_and_the_next_request_passes(
    setting: Setting,
) -> None:
    await setting.fault(service="neon", method="POST", path="/things$", effect="status", status=503,
                        headers={"Retry-After": "1"}, body={"message": "busy"})  # fmt: skip
    assert (await setting.client.get("/api/v2/things")).status_code == 200
    hit = await setting.client.post("/api/v2/things", json={})
    assert (hit.status_code, hit.headers["Retry-After"], hit.json()) == (503, "1", {"message": "busy"})
    assert setting.service.writes == []
    assert (await setting.client.post("/api/v2/things", json={"n": 1})).status_code == 201
    assert setting.service.writes == [{"n": 1}]


async def test_given_a_page_as_body_when_hit_then_html_is_sent(setting: Setting) -> None:
    await setting.fault(effect="status", status=524, body="<html>timeout</html>")
    hit = await setting.client.get("/api/v2/things")
    assert (hit.status_code, hit.headers["Content-Type"], hit.text) == (
        524, "text/html; charset=utf-8", "<html>timeout</html>",
    )  # fmt: skip


@pytest.mark.parametrize(("effect", "done"), [("drop_before", 0), ("drop_after", 1)])
async def test_given_a_dropped_connection_when_a_write_is_hit_then_only_drop_after_did_the_work(
    setting: Setting, effect: str, done: int
) -> None:
    await setting.fault(effect=effect, method="POST")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await setting.client.post("/api/v2/things", json={})
    assert len(setting.service.writes) == done
    entry = setting.world.log.since(0)[-1]
    assert (entry["status"], entry["fault"]) == (None, "fault-1")


async def test_given_status_after_when_hit_then_the_work_was_done_although_it_says_500(setting: Setting) -> None:
    await setting.fault(effect="status_after", status=500)
    assert (await setting.client.post("/api/v2/things", json={})).status_code == 500
    assert len(setting.service.writes) == 1


async def test_given_a_malformed_answer_when_hit_then_the_status_is_right_and_the_json_is_not(
    setting: Setting,
) -> None:
    await setting.fault(effect="malformed")
    hit = await setting.client.post("/api/v2/things", json={})
    assert hit.status_code == 201
    with pytest.raises(ValueError, match=r".+"):
        json.loads(hit.content)
    assert len(setting.service.writes) == 1


async def test_given_a_truncated_answer_when_hit_then_the_client_sees_the_connection_end(setting: Setting) -> None:
    await setting.fault(effect="truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        await setting.client.get("/api/v2/things")


async def test_given_a_slow_body_when_hit_then_it_arrives_whole_and_late(setting: Setting) -> None:
    await setting.fault(effect="slow", seconds=0.4)
    began = time.monotonic()
    assert (await setting.client.get("/api/v2/things")).json()["padding"] == "x" * 200
    assert time.monotonic() - began >= 0.3


async def test_given_a_short_body_when_it_is_slow_then_it_takes_as_long_as_a_long_one(setting: Setting) -> None:
    await setting.fault(effect="slow", seconds=0.4, path="missing")
    began = time.monotonic()
    assert (await setting.client.get("/api/v2/missing")).json() == {"message": "none"}
    assert time.monotonic() - began >= 0.39


@pytest.mark.parametrize(("effect", "done"), [("hang", 0), ("hang_after", 1)])
async def test_given_a_hang_when_the_client_gives_up_then_only_hang_after_did_the_work(
    setting: Setting, effect: str, done: int
) -> None:
    await setting.fault(effect=effect, method="POST", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        await setting.client.post("/api/v2/things", json={}, timeout=0.3)
    assert len(setting.service.writes) == done
    assert (await setting.client.get("/api/v2/things")).status_code == 200


async def test_given_count_and_skip_when_requests_come_then_exactly_those_are_hit(setting: Setting) -> None:
    fault = await setting.fault(effect="status", method="GET", count=2, skip=1)
    assert [(await setting.client.get("/api/v2/things")).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    shown = (await setting.control.get("/control/faults")).json()["faults"]
    assert [(f["id"], f["hits"], f["spent"]) for f in shown] == [(fault, 2, True)]


async def test_given_an_endless_fault_when_it_is_removed_then_requests_pass_again(setting: Setting) -> None:
    fault = await setting.fault(effect="status", count=0)
    assert [(await setting.client.get("/api/v2/things")).status_code for _ in range(3)] == [500] * 3
    assert (await setting.control.delete(f"/control/faults/{fault}")).json() == {"removed": 1}
    assert (await setting.client.get("/api/v2/things")).status_code == 200
    assert (await setting.control.delete(f"/control/faults/{fault}")).status_code == 404


async def test_given_a_fault_of_another_service_when_asked_then_it_does_not_hit(setting: Setting) -> None:
    await setting.fault(service="coolify", effect="status")
    assert (await setting.client.get("/api/v2/things")).status_code == 200


async def test_given_latency_when_asked_then_answers_are_late_until_it_is_taken_back(setting: Setting) -> None:
    await setting.control.post("/control/latency", json={"service": "neon", "seconds": 0.2})
    began = time.monotonic()
    await setting.client.get("/api/v2/things")
    assert time.monotonic() - began >= 0.2
    answer = await setting.control.post("/control/latency", json={"service": "neon", "seconds": 0})
    assert answer.json()["neon"] == 0


async def test_given_no_or_a_wrong_token_when_control_is_asked_then_401_and_nothing_happens(setting: Setting) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer " + CONTROL_TOKEN[:-1]}):
        answer = await setting.control.post("/control/clock", json={"advance_seconds": 99}, headers=headers)
        assert answer.status_code == 401
    assert setting.world.clock.offset == 0


async def test_given_clock_and_settings_when_changed_then_status_and_settings_show_it(setting: Setting) -> None:
    await setting.control.post("/control/clock", json={"advance_seconds": 60})
    await setting.control.post("/control/clock", json={"advance_seconds": 60})
    assert (await setting.control.get("/control/status")).json()["clock_offset"] == 120
    await setting.control.post("/control/clock", json={"offset_seconds": 0})
    assert (await setting.control.get("/control/clock")).json()["offset_seconds"] == 0
    changed = await setting.control.post("/control/settings", json={"coolify.build_seconds": 0.2})
    assert changed.json() == {"coolify.build_seconds": 0.2}
    assert setting.world.settings.coolify.build_seconds == 0.2
    assert (await setting.control.get("/control/settings")).json()["coolify.build_seconds"] == 0.2


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("faults", {"effect": "explode"}, "effect must be one of status, status_after"),
        ("faults", {"effect": "status", "path": "("}, "not a regular expression"),
        ("faults", {"effect": "status", "colour": "red"}, "colour"),
        ("faults", {"effect": "status", "count": "2"}, "count must be a whole number"),
        ("faults", {"effect": "status", "skip": -1}, "skip must be a whole number"),
        ("faults", {"effect": "status", "status": "500"}, "status must be a whole number from 200 to 599"),
        ("faults", {"effect": "status", "status": 999}, "status must be a whole number from 200 to 599"),
        ("faults", {"effect": "status", "method": None}, "method must be * or a method of HTTP"),
        ("faults", {"effect": "status", "method": "GTE"}, "method must be * or a method of HTTP"),
        ("faults", {"effect": "status", "service": "nein"}, "service must be one of *, neon, coolify"),
        ("faults", {"effect": "status", "path": 7}, "path must be a regular expression"),
        ("faults", {"effect": "slow", "seconds": "5"}, "seconds must be a number"),
        ("faults", {"effect": "hang", "seconds": -1}, "seconds must be a number"),
        ("faults", {"effect": "status", "headers": {"X": "a\r\nb"}}, "the header X cannot hold"),
        ("faults", {"effect": "status", "headers": {"X Y": "a"}}, "headers must map names to texts"),
        ("clock", {}, "advance_seconds or offset_seconds"),
        ("clock", {"advance_seconds": 1e12}, "the clock goes from the year 1971 to 9000"),
        ("clock", {"offset_seconds": "nan"}, "the clock goes from the year 1971 to 9000"),
        ("clock", {"advance_seconds": 10**400}, "too large"),
        ("settings", {"coolify.nothing": 1}, "there is no setting coolify.nothing"),
        ("latency", {"service": "mars", "seconds": 1}, "there is no setting latency.mars"),
        ("tokens", {"service": "mars"}, "neon or coolify"),
    ],
)
async def test_given_a_wrong_body_when_posted_then_422_says_what_is_wrong(
    setting: Setting, path: str, body: dict[str, Any], said: str
) -> None:
    answer = await setting.control.post(f"/control/{path}", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["message"]
    assert (await setting.control.get("/control/faults")).json() == {"faults": []}
    assert (await setting.control.get("/control/clock")).json()["offset_seconds"] == 0
    assert (await setting.client.get("/api/v2/things")).status_code == 200


@pytest.mark.parametrize("content", [b"[1]", b"{", b"[" * 5000, b"\xff"])
async def test_given_a_body_that_is_no_object_when_sent_anywhere_then_it_is_the_clients_error(
    setting: Setting, content: bytes
) -> None:
    kind = {"Content-Type": "application/json; charset=nope"}
    answer = await setting.control.post("/control/clock", content=content, headers=kind)
    assert answer.status_code == 422
    logged = await setting.client.get("/api/v2/missing")
    assert logged.status_code == 404
    assert (await setting.client.request("GET", "/api/v2/things", content=content, headers=kind)).status_code == 200


async def test_given_many_requests_at_once_when_one_fault_waits_then_exactly_one_is_hit(setting: Setting) -> None:
    await setting.fault(effect="status", count=1)
    answers = await asyncio.gather(*(setting.client.get("/api/v2/things") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [500]
