# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes that never outlive the daemon, and the user that they run as.

A daemon that is killed with SIGKILL runs no clean-up. So one ``sh`` process holds the reading end of a pipe
whose writing end only the daemon has: when the pipe closes without a farewell it ends every PostgreSQL server
below the given folders and every process group that was registered here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A process is told from a later one with the same number by the instant of its start.
_WATCHDOG = r"""
trap '' HUP INT TERM QUIT
groups=$1; shift
while read -r line; do [ "$line" = farewell ] && exit 0; done
# Sets $mark: when the process $1 started, or nothing. Built-in commands only, for a machine that is busy.
mark_of() {
  mark=
  if [ -r "/proc/$1/stat" ]; then
    read -r stat < "/proc/$1/stat" || return 0
    set -- ${stat##*) }
    [ "$#" -gt 19 ] || return 0
    shift 19; mark=$1
  elif [ ! -d /proc/self ]; then mark=$(ps -o lstart= -p "$1" 2>/dev/null); fi
}
# Whether process $1 serves the data directory $2: a server works in its directory.
serves() {
  if [ -d /proc/self ]; then [ "/proc/$1/cwd" -ef "$2" ]; return; fi
  case " $(ps -o args= -p "$1" 2>/dev/null) " in *" $2 "*) return 0 ;; esac
  return 1
}
# Sends signals to what still runs, $1 to servers and $2 to groups, and sets $left when there was anything.
sweep() {
  to_server=$1; to_group=$2; shift 2
  left=
  for file in "$groups"/*; do
    [ -f "$file" ] || continue
    pid=${file##*/}
    mark_of "$pid"
    kept=
    read -r kept < "$file"
    # Without its leader a group may still have members; a leader with another mark is a stranger.
    if [ -z "$mark" ] || [ "$mark" = "$kept" ]
    then kill -s "$to_group" -- "-$pid" 2>/dev/null && left=yes; fi
  done
  for folder in "$@"; do
    for file in "$folder"/*/postmaster.pid; do
      [ -r "$file" ] || continue
      pid=
      read -r pid < "$file"
      [ -n "$pid" ] && serves "$pid" "${file%/postmaster.pid}" && kill -s "$to_server" "$pid" 2>/dev/null && left=yes
    done
  done
}
round=0
# A server that was just being started has no postmaster.pid yet: look again for a second in any case.
while [ "$round" -lt 80 ]; do
  to_server=INT; to_group=TERM
  [ "$round" -ge 20 ] && to_group=KILL
  [ "$round" -ge 50 ] && to_server=QUIT
  sweep "$to_server" "$to_group" "$@"
  [ -z "$left" ] && [ "$round" -ge 10 ] && exit 0
  round=$((round + 1))
  sleep 0.1
done
"""


@dataclass(frozen=True)
class Identity:
    """The user that children run as when the daemon itself runs as root."""

    uid: int
    gid: int
    name: str


def unprivileged_identity(environment: Mapping[str, str] = os.environ) -> Identity | None:
    """None for an ordinary user. For root: the user who called sudo, else ``nobody``.

    PostgreSQL refuses to run as root. A user without an entry in the user database is not taken: initdb
    looks its name up.
    """
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError, ValueError):
        caller = pwd.getpwuid(int(environment["SUDO_UID"]))
        if caller.pw_uid != 0:
            return Identity(caller.pw_uid, caller.pw_gid, caller.pw_name)
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("nobody")
        return Identity(entry.pw_uid, entry.pw_gid, entry.pw_name)
    return Identity(65534, 65534, "nobody")


def run_as(identity: Identity | None) -> dict[str, Any]:
    """Keyword arguments for `subprocess` and `asyncio.create_subprocess_exec` that change the user."""
    if identity is None:
        return {}
    return {"user": identity.uid, "group": identity.gid, "extra_groups": []}


def is_alive(pid: int) -> bool:
    """Whether a process with this number exists and is not merely waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def arguments_of(pid: int) -> list[str]:
    """The command line of a process; empty when there is none to see."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return listed.stdout.split()
    return []


def start_mark(pid: int) -> str:
    """A text that differs between two processes that had the same number one after the other."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return listed.stdout.strip()
    return ""


def postmaster_pid(data: Path) -> int | None:
    """The process that serves this data directory now: the one its lock file names, if that really is it."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    # The number in a left-over lock file may belong to a stranger by now.
    return pid if is_alive(pid) and str(data) in arguments_of(pid) else None


class Processes:
    """What the daemon started, and the watchdog that ends it when the daemon dies."""

    def __init__(self, folder: Path, postgres_folders: Sequence[Path] = ()) -> None:
        """`folder` keeps the list of process groups. Each of `postgres_folders` holds data directories."""
        self.folder = folder
        self.postgres_folders = list(postgres_folders)
        self._groups = folder / "groups"
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._running: dict[int, tuple[asyncio.subprocess.Process, list[str]]] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Waits until the watchdog of a killed predecessor has done its work, then starts a new one.

        Raises RuntimeError when the predecessor's does not end within 40 s.
        """
        self._groups.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self.await_predecessor()
        self.end_leftovers()
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "rewind-sandbox-watchdog", self._groups, *self.postgres_folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # what is sent to the daemon's terminal or group must not reach it
        )
        pid = self._watchdog.pid
        (self.folder / "watchdog").write_text(f"{pid} {start_mark(pid)}\n")

    async def await_predecessor(self) -> None:
        """Waits for the watchdog of a killed predecessor. Until then it ends servers, also ones just started."""
        try:
            pid_text, _, mark = (self.folder / "watchdog").read_text().strip().partition(" ")
            pid = int(pid_text)
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + 40
        while is_alive(pid) and start_mark(pid) == mark:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the watchdog of the sandbox before this one (process {pid}) does not end")
            await asyncio.sleep(0.05)

    def end_leftovers(self) -> None:
        """Ends what a daemon left whose watchdog was killed too. Servers recover at their next start."""
        for file in self._groups.glob("*"):
            if file.name.isdigit() and (mark := file.read_text().strip()) and start_mark(int(file.name)) == mark:
                _signal_group(int(file.name), signal.SIGKILL)
            file.unlink()
        for folder in self.postgres_folders:
            for lock in folder.glob("*/postmaster.pid"):
                if pid := postmaster_pid(lock.parent):
                    os.kill(pid, signal.SIGQUIT)

    async def stop(self) -> None:
        """Ends every child that still runs, then the watchdog."""
        await asyncio.gather(*(self.end(process) for process, _ in list(self._running.values())))
        for watcher in list(self._watchers):
            await watcher
        if self._watchdog and self._watchdog.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(b"farewell\n")
                self._watchdog.stdin.flush()
            self._watchdog.stdin.close()
            await asyncio.to_thread(self._watchdog.wait)
            self._watchdog = None

    async def spawn(
        self,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        log: Path | None = None,
        identity: Identity | None = None,
    ) -> asyncio.subprocess.Process:
        """Starts a child that leads its own process group; the watchdog knows it until the group is gone.

        `environment` is the whole environment. Output is appended to `log`, else dropped. Raises OSError
        when the program cannot be started.
        """
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *map(str, arguments),
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **run_as(identity),
            )
        finally:
            if log:
                os.close(output)
        (self._groups / str(process.pid)).write_text(start_mark(process.pid) + "\n")
        self._running[process.pid] = (process, [str(part) for part in arguments])
        watcher = asyncio.create_task(self._forget_when_done(process))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return process

    async def _forget_when_done(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        _signal_group(process.pid, signal.SIGKILL)  # what it left behind in its group
        self._running.pop(process.pid, None)
        (self._groups / str(process.pid)).unlink(missing_ok=True)

    async def end(self, process: asyncio.subprocess.Process, *, grace: float = 5.0) -> int:
        """SIGTERM to its whole group, SIGKILL after `grace` seconds. Returns the exit status as subprocess does."""
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), grace)
            except TimeoutError:
                _signal_group(process.pid, signal.SIGKILL)
        return await process.wait()

    def list(self) -> list[dict[str, Any]]:
        """Everything that runs: ``{"pid", "kind": "watchdog" | "process" | "postgres", "arguments"}``."""
        found: list[dict[str, Any]] = []
        if self._watchdog and self._watchdog.poll() is None:
            found.append({"pid": self._watchdog.pid, "kind": "watchdog", "arguments": ["sh"]})
        for pid, (_, arguments) in self._running.items():
            found.append({"pid": pid, "kind": "process", "arguments": arguments})
        for folder in self.postgres_folders:
            for lock in sorted(folder.glob("*/postmaster.pid")):
                if server := postmaster_pid(lock.parent):
                    found.append({"pid": server, "kind": "postgres", "arguments": ["postgres", "-D", str(lock.parent)]})
        return found


def send_signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Like the method of that name, which reaps a process that has just ended and so hides its exit status."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
