# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in a real browser: it loads nothing, fits a phone, follows the colour scheme, prints, and can be read out.

Headless Chromium is driven by its own protocol. Screenshots are kept beside the test's other files.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.reports import STORIES, report_of, write_reports

Json = dict[str, Any]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
DEADLINE = 60.0
VIEWS = (("phone", 360, "dark"), ("desktop", 1280, "light"))
# A picture of an empty page of these sizes compresses to less.
BLANK_BYTES = 20_000

pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason="no Chromium was found, so the page was opened in no browser; "
    "install one, for example: apt-get install chromium (or google-chrome)",
)


class Browser:
    """One page of a headless browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[Json] = []

    async def call(self, method: str, **params: Any) -> Json:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(DEADLINE):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == number:
                    assert "error" not in message, f"{method}: {message['error']}"
                    result: Json = message["result"]
                    return result
                self.events.append(message)

    async def wait_for(self, event: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while not any(item.get("method") == event for item in self.events):
                self.events.append(await self._socket.receive_json())

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def open(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.events.clear()
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.call("Page.navigate", url=page.as_uri())
        await self.wait_for("Page.loadEventFired")

    def requested(self) -> list[str]:
        sent = [item for item in self.events if item.get("method") == "Network.requestWillBeSent"]
        return [str(item["params"]["request"]["url"]) for item in sent]

    def complaints(self) -> list[Json]:
        return [item for item in self.events if item.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]

    async def screenshot(self, path: Path) -> bytes:
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        content = base64.b64decode(answer["data"])
        path.write_bytes(content)
        return content


@asynccontextmanager
async def browser_in(folder: Path) -> AsyncIterator[Browser]:
    """Start a browser with a profile of its own, and end exactly that one."""
    assert BROWSER is not None
    profile = folder / "profile"
    process = await asyncio.create_subprocess_exec(
        BROWSER,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        port = await _port(process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json()
            url = next(item["webSocketDebuggerUrl"] for item in targets if item["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                yield Browser(socket)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        while line := (await process.stderr.readline()).decode(errors="replace"):
            if "DevTools listening on ws://127.0.0.1:" in line:
                return int(line.split("ws://127.0.0.1:")[1].split("/")[0])
    raise AssertionError("the browser ended before it was ready")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The reports of all stories, written by the role."""
    folder = tmp_path_factory.mktemp("browser")
    done = write_reports(folder, *STORIES)
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder


async def test_every_report_opens_on_a_phone_and_on_a_desktop_without_loading_or_overflowing_anything(
    folder: Path,
) -> None:
    async with browser_in(folder) as browser:
        for story, (device, width, scheme) in itertools.product(STORIES, VIEWS):
            page = report_of(folder, story, "html")
            await browser.open(page, width=width, scheme=scheme)
            name = f"{story} on a {device}, {scheme}"
            assert [url for url in browser.requested() if not url.startswith("data:")] == [page.as_uri()], name
            assert browser.complaints() == [], name
            assert await browser.evaluate("document.documentElement.scrollWidth") <= width, name
            assert await browser.evaluate("document.scripts.length + document.images.length") == 0, name
            picture = await browser.screenshot(folder / f"{story}-{device}-{scheme}.png")
            assert len(picture) > BLANK_BYTES, f"{name} is blank"


async def test_the_colour_scheme_of_the_person_is_followed(folder: Path) -> None:
    backgrounds = {}
    async with browser_in(folder) as browser:
        for scheme in ("light", "dark"):
            await browser.open(report_of(folder, "good", "html"), scheme=scheme)
            backgrounds[scheme] = await browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert backgrounds == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 27)"}


async def test_verdict_restore_point_interval_and_the_way_back_are_on_the_first_screen(folder: Path) -> None:
    async with browser_in(folder) as browser:
        await browser.open(report_of(folder, "good", "html"))
        for selector in ("h1", ".facts", "#next", "#undo", "pre"):
            bottom = await browser.evaluate(
                f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().bottom"
            )
            assert bottom <= 900, f"{selector} begins below the first screen"


async def test_on_a_phone_the_counts_fit_without_scrolling_sideways(folder: Path) -> None:
    async with browser_in(folder) as browser:
        await browser.open(report_of(folder, "good", "html"), width=360)
        hidden = await browser.evaluate(
            "[...document.querySelectorAll('.scroll, td')].filter(box => box.scrollWidth > box.clientWidth).length"
        )
        assert hidden == 0


async def test_a_screen_reader_gets_headings_tables_and_the_whole_tree(folder: Path) -> None:
    async with browser_in(folder) as browser:
        await browser.open(report_of(folder, "good", "html"))
        nodes = (await browser.call("Accessibility.getFullAXTree"))["nodes"]
    found = {(item["role"]["value"], item.get("name", {}).get("value", "")) for item in nodes if item.get("role")}
    headings = {name for role, name in found if role == "heading"}
    assert {"Rows, table by table", "Branches", "Undo", "What to do next"} <= headings
    assert any(role == "table" and "objective of the runbook" in name for role, name in found)
    assert ("rowheader", 'public."QuestProgress"') in found
    assert not [name for role, name in found if role == "heading" and "✓" in name]


async def test_it_prints(folder: Path) -> None:
    async with browser_in(folder) as browser:
        await browser.open(report_of(folder, "good", "html"), scheme="dark")
        answer = await browser.call("Page.printToPDF", printBackground=False)
        await browser.call("Emulation.setEmulatedMedia", media="print")
        assert await browser.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    content = base64.b64decode(answer["data"])
    (folder / "good.pdf").write_bytes(content)
    assert content.startswith(b"%PDF")


async def test_hostile_names_run_nothing(folder: Path) -> None:
    async with browser_in(folder) as browser:
        await browser.open(report_of(folder, "hostile", "html"))
        assert not [item for item in browser.events if item.get("method") == "Page.javascriptDialogOpening"]
        assert "<script>alert(1)</script>" in await browser.evaluate("document.querySelector('h1').textContent")
