# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`bin/demo` as a newcomer runs it: to its end, and stopped by Ctrl-C in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import CLONE, memory_folder, wait_for

DEADLINE = 900
# Tokens of the real services, and ways to other targets, that a newcomer's shell may hold: none may be used.
SHELL = {
    "NEON_API_KEY": "napi_" + "n7Qd" * 16,
    "COOLIFY_ACCESS_TOKEN": "1|" + "c0Lf" * 12,
    "ANSIBLE_INVENTORY": "/nonexistent/production",
    "DATABASE_URL": "postgresql://nobody:never@127.0.0.1:1/nothing",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """The demo's folder, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="rewind-demo-", dir=memory_folder()))
    try:
        yield path / "demo"
    finally:
        shutil.rmtree(path, ignore_errors=True)


def start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own as a shell would start it."""
    folder.parent.chmod(0o711)  # PostgreSQL runs as another user when this is root
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REWIND_", "ANSIBLE_"))}
    with output.open("wb") as file:
        return subprocess.Popen(
            [CLONE / "bin" / "demo", "--seed", "42"],
            env=environment | SHELL | {"REWIND_DEMO_DIR": str(folder)},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def still_running(folder: Path) -> list[str]:
    """Every process that has to do with the demo's folder (Linux)."""
    found = []
    mark = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            working = str((process / "cwd").readlink()).encode()
            if any(mark in text for text in (command, working, (process / "environ").read_bytes())):
                found.append(f"{process.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def secrets_of(folder: Path) -> set[str]:
    """Everything that the sandbox's store keeps under the name of a secret."""
    found: set[str] = set()

    def search(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                search(inner, str(key))
        elif isinstance(value, list):
            for inner in value:
                search(inner, name)
        elif isinstance(value, str) and len(value) >= 12 and re.search("token|password|api_key|secret", name):
            found.add(value)

    search(json.loads((folder / "sandbox" / "store.json").read_text(encoding="utf-8")), "")
    return found


def test_given_a_fresh_clone_when_the_demo_runs_then_both_restores_are_proven_and_nothing_is_left(folder: Path) -> None:
    """The last screen says what was lost, what came back and how long it took; the reports outlive the demo."""
    output = folder.parent / "output"
    demo = start(folder, output)
    try:
        status = demo.wait(DEADLINE)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGTERM)
            demo.wait(60)
    text = output.read_text(encoding="utf-8")
    assert status == 0, text
    assert still_running(folder) == []

    screen = text.partition("=" * 80)[2]
    assert "Both times, exactly the instant before the migration is back." in screen
    assert "seed 42" in text and "\033" not in text
    lost = [int(count.replace(",", "")) for count in re.findall(r"destroyed\s+([\d,]+)\s+rows", screen)]
    assert len(lost) == 2 and min(lost) > 40_000
    assert min(figures(screen, "rows that must be there, compared one by one")) > 50_000
    assert min(figures(screen, "writes acknowledged before it: all there")) > 0
    assert min(figures(screen, "writes after it, until the cutover: all gone")) > 0
    assert row(screen, "of them missing, changed or too many") == ["none", "none"]
    assert screen.count("exactly as then") == 4
    assert row(screen, "the application's process") == ["the same", "a new one"]
    for step, objective in (("make the branch", 3), ("connect to it, check and count", 5), ("cut over", 7)):
        assert re.search(rf"{step} +{objective} min +\d+\.\d s +\d+\.\d s", screen), step

    pages = [Path(line.strip()) for line in screen.splitlines() if line.endswith(".html")]
    assert len(pages) == 2 and all(page.stat().st_size > 10_000 for page in pages)
    too_wide = [line for line in text.splitlines() if len(line) > 80 and str(folder) not in line]
    assert too_wide == []

    written = text + (folder / "demo.log").read_text(encoding="utf-8")
    secrets = secrets_of(folder) | {SHELL["NEON_API_KEY"], SHELL["COOLIFY_ACCESS_TOKEN"]}
    assert len(secrets) > 4
    assert not [secret for secret in secrets if secret in written]


def test_given_a_demo_when_ctrl_c_is_pressed_in_a_playbook_then_everything_stops_and_it_says_so(folder: Path) -> None:
    """The writer, ansible-playbook with its workers, the sandbox, its servers and applications: all are gone."""
    output = folder.parent / "output"
    demo = start(folder, output)
    try:
        wait_for(
            lambda: "make the branch" in output.read_text(encoding="utf-8") or demo.poll() is not None,
            seconds=DEADLINE,
            what="the backup's branch",
        )
        assert demo.poll() is None, output.read_text(encoding="utf-8")
        assert len(still_running(folder)) > 5
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(60) == 128 + signal.SIGINT
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait(60)
    assert still_running(folder) == []
    text = output.read_text(encoding="utf-8")
    assert "Stopped by SIGINT." in text and "Nothing is left running." in text
    assert "Traceback" not in text


def row(screen: str, label: str) -> list[str]:
    """The two values beside a label."""
    line = next(line for line in screen.splitlines() if line.strip().startswith(label))
    return re.split(r" {2,}", line.strip()[len(label) :].strip())


def figures(screen: str, label: str) -> list[int]:
    """The two numbers beside a label."""
    return [int(value.replace(",", "")) for value in row(screen, label)]
