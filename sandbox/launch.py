# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the daemon in the background and listening to how far it is."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from sandbox.settings import CLONE

START_SECONDS = 120.0
LOG_LIMIT = 5 * 1024 * 1024
# The daemon runs real clients of real services: what a shell has set for those must not reach it.
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "SUDO_UID", "SUDO_GID", "XDG_CACHE_HOME")
_PASSED_PREFIX = "REWIND_SANDBOX_"


class StartFailed(RuntimeError):
    """The daemon did not become ready; the text says why and what to do."""


class Listener(Protocol):
    """Shows progress."""

    def step(self, text: str) -> None:
        """A new step begins."""

    def done(self) -> None:
        """The last step is over."""


def environment(source: Mapping[str, str]) -> dict[str, str]:
    """What the daemon gets of an environment: no token, no ``PG*``, no setting of other tools."""
    kept = {name: value for name, value in source.items() if name in _PASSED or name.startswith(_PASSED_PREFIX)}
    return kept | {"PYTHONPATH": str(CLONE), "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"}


def start(root: Path, connection_file: Path, listener: Listener) -> dict[str, Any]:
    """Starts the daemon of `root` and returns its connection file's content once it is ready.

    Raises `StartFailed`. However this call ends without a result (also by Ctrl-C), nothing is left running.
    """
    log = root / "daemon.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "sandbox", "serve", "--root", str(root), "--report-fd", str(write_end)]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        daemon = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=CLONE,
            env=environment(os.environ) | {"REWIND_SANDBOX_CONNECTION": str(connection_file)},
            pass_fds=(write_end,),
            start_new_session=True,
        )
    os.close(write_end)
    try:
        return _wait(read_end, listener, log)
    except BaseException:
        _end(daemon)
        raise
    finally:
        os.close(read_end)
        listener.done()


def _wait(read_end: int, listener: Listener, log: Path) -> dict[str, Any]:
    for message in _messages(read_end, time.monotonic() + START_SECONDS):
        if "step" in message:
            listener.step(message["step"])
        elif "failed" in message:
            raise StartFailed(message["failed"])
        elif "ready" in message:
            ready: dict[str, Any] = message["ready"]
            return ready
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    raise StartFailed(f"the sandbox ended while it started; its log {log} ends with:\n{tail}")


def _messages(read_end: int, deadline: float) -> Iterator[dict[str, Any]]:
    """JSON lines until the other end is closed. Raises `StartFailed` past the deadline."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(read_end, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise StartFailed(
                    f"the sandbox was not ready after {START_SECONDS:.0f} s and was stopped. See: bin/sandbox logs"
                )
            if not (chunk := os.read(read_end, 65536)):
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                message: dict[str, Any] = json.loads(line)
                yield message


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """Ends a daemon that is not ready. A second Ctrl-C kills it; its watchdog then ends what it had started."""
    daemon.terminate()
    try:
        daemon.wait(timeout=20)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        daemon.kill()
        daemon.wait()
