# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which ansible-playbook a task belongs to, and whether such a process still runs.

A process is known by its id together with the time at which it started, since ids are used again; and these mean
something only until the machine starts again (boot id) and within one PID namespace (container).
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePath

from ._errors import Refused

_PROGRAMS = ("ansible-playbook", "ansible", "ansible-console", "ansible-pull")
_PROC = Path("/proc")
_DEEPEST = 64


@dataclass(frozen=True)
class Owner:
    """A process on a machine, as a lock names it.

    :param machine: a short hash of the machine's id (host names are not unique); "" where there is none.
    :param boot_id: changes with each start of the machine.
    :param start_time: of the process, as the system writes it; only ever compared.
    """

    host: str = "unknown"
    machine: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    pid: int = 0
    start_time: str = ""


def playbook_owner() -> Owner:
    """The ansible-playbook on whose behalf this code runs.

    In an action plugin it is the worker's parent; in an ordinary module an ancestor further up.

    :raises Refused: when there is none: this is not the controller.
    """
    worker_of = multiprocessing.parent_process()
    pid = worker_of.pid if worker_of is not None else _playbook_among_ancestors()
    if pid is None:
        raise Refused(
            "find the ansible-playbook of this task: it is not among this process's ancestors",
            hint="Locks are kept on the controller: run this task with a local connection.",
        )
    return describe(pid)


def describe(pid: int) -> Owner:
    """This machine, and one process on it."""
    return Owner(
        host=socket.gethostname(),
        machine=_machine(),
        boot_id=boot_id(),
        pid_namespace=_pid_namespace(),
        pid=pid,
        start_time=_start_time(pid) or "",
    )


def same_host(one: Owner, other: Owner) -> bool:
    """Whether both are of the same machine, as far as names and ids say."""
    return one.host == other.host and one.machine == other.machine


def same_process(one: Owner, other: Owner) -> bool:
    """Whether both are the very same process."""
    return one == other


def is_running(owner: Owner) -> bool:
    """Whether the process still runs; it must be of this machine, this boot and this namespace."""
    started = _start_time(owner.pid)
    return started is not None and started == owner.start_time


def _playbook_among_ancestors() -> int | None:
    """The top of the first unbroken chain of ansible programs above this process.

    Unbroken, because a playbook may run another one: the nearest is meant, and its workers carry its command line.
    """
    found = None
    pid: int | None = os.getpid()
    for _level in range(_DEEPEST):
        if pid is None or pid <= 1:
            break
        if _is_ansible(pid):
            found = pid
        elif found is not None:
            break
        pid = _parent(pid)
    return found


def _is_ansible(pid: int) -> bool:
    words = _command(pid)[:4]
    # The program itself, or the script that an interpreter runs; never an argument further on.
    names = [PurePath(word).name for word in words if not word.startswith("-")][:2]
    if names and not names[0].startswith(("python", "pypy", "ansible")):
        return False
    return any(name in _PROGRAMS for name in names) or words[1:3] == ["-m", "ansible"]


def _command(pid: int) -> list[str]:
    if _PROC.joinpath("self").exists():
        try:
            raw = (_PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return []
        return [word.decode(errors="replace") for word in raw.split(b"\0") if word]
    return (_ps(pid, "command") or "").split()


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    if fields is not None:
        return int(fields[1])
    text = _ps(pid, "ppid")
    return int(text) if text and text.isdigit() else None


def _start_time(pid: int) -> str | None:
    """When the process started; None when there is none (a zombie has ended too)."""
    if pid <= 0:
        return None
    if _PROC.joinpath("self").exists():
        fields = _stat(pid)
        return None if fields is None or fields[0] in ("Z", "X") else fields[19]
    return _ps(pid, "lstart")


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the third on (proc(5)): state, ppid, ..., start time as the twentieth."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the name in parentheses and may hold anything, also spaces and parentheses.
    return text.rpartition(")")[2].split()


def _ps(pid: int, column: str) -> str | None:
    """One column of ps, for systems without /proc."""
    return _output("ps", "-o", f"{column}=", "-p", str(pid))


def _output(program: str, *arguments: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [path, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={"LC_ALL": "C", "TZ": "UTC"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def boot_id() -> str:
    """What changes with each start of the machine; empty where the system does not say it."""
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return _output("sysctl", "-n", "kern.bootsessionuuid") or ""


def _machine() -> str:
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with contextlib.suppress(OSError):
            text = path.read_text().strip()
            if text:
                # machine-id(5): the id itself is not to be shown.
                return hashlib.sha256(f"rewind:{text}".encode()).hexdigest()[:12]
    return ""


def _pid_namespace() -> str:
    with contextlib.suppress(OSError):
        return str((_PROC / "self/ns/pid").readlink())
    return ""
