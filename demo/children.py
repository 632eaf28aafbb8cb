# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that the demo starts. None outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 8.0
POLL_SECONDS = 0.1


class CommandFailed(RuntimeError):
    """A command ended with another status than 0. The text says which and where its output is."""

    def __init__(self, what: str, status: int, log: Path) -> None:
        super().__init__(f"{what} failed (exit status {status})")
        self.log = log


class Children:
    """Starts commands in sessions of their own: Ctrl-C reaches the demo alone, which then ends them in order."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment = dict(environment)
        self.log = log
        self._running: list[subprocess.Popen[bytes]] = []
        self._starting = False
        self._held: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Raises `error`, but not while a command is being started: it would run on, known to nobody."""
        if not self._starting:
            raise error
        self._held = error

    def start(self, command: Sequence[str], *, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a command whose output is appended to the log."""
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            output.write(f"\n$ {' '.join(command)}\n".encode())
            output.flush()
            self._starting = True
            try:
                child = subprocess.Popen(
                    command,
                    cwd=CLONE,
                    env=self.environment | dict(more or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                self._running.append(child)
            finally:
                self._starting = False
        if self._held is not None:
            held, self._held = self._held, None
            raise held
        return child

    def run(
        self,
        command: Sequence[str],
        what: str,
        *,
        more: Mapping[str, str] | None = None,
        watch: Callable[[], None] | None = None,
    ) -> None:
        """Runs a command to its end; `watch` is called while it runs and once afterwards.

        Raises `CommandFailed`.
        """
        child = self.start(command, more=more)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_SECONDS)
                if watch is not None:
                    watch()
                if child.returncode is not None:
                    break
        finally:
            self.end(child)
        if child.returncode != 0:
            raise CommandFailed(what, child.returncode, self.log)

    def end(self, child: subprocess.Popen[bytes]) -> None:
        """Asks a child to end, by what Ctrl-C would send it, then kills what is left of its session.

        ansible-playbook passes the signal on to its workers, and ``sandbox up`` takes back what it has started.
        """
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child in self._running:
            self._running.remove(child)

    def end_all(self) -> None:
        """Ends everything that still runs, the newest first."""
        for child in reversed(self._running[:]):
            self.end(child)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns once `condition` is true. Raises TimeoutError past the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
