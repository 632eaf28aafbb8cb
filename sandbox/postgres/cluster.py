# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One PostgreSQL server: its files, its start, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sandbox.postgres.binaries import Binaries
from sandbox.postgres.certificates import Certificates
from sandbox.postgres.model import EngineError
from sandbox.processes import Identity, arguments_of, is_alive, postmaster_pid, run_as, send_signal

# No socket files (no limit on the length of paths), nothing in the background, the whole log kept: it is the
# archive from which branches are made. Shared memory lives in the data directory, so that a server that is killed
# leaves none behind. fsync is off because only the end of the machine could lose data so.
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
superuser_reserved_connections = 5
shared_buffers = 16MB
huge_pages = off
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
synchronous_commit = on
wal_level = replica
wal_compression = on
wal_init_zero = on
min_wal_size = 4MB
max_wal_size = 1GB
checkpoint_timeout = 1h
archive_mode = off
max_wal_senders = 0
max_replication_slots = 0
autovacuum = off
max_logical_replication_workers = 0
max_worker_processes = 4
bgwriter_lru_maxpages = 0
jit = off
logging_collector = off
log_min_messages = warning
log_min_error_statement = panic
track_commit_timestamp = on
password_encryption = scram-sha-256
timezone = 'GMT'
log_timezone = 'GMT'
"""
# A statement in the server's log could hold a password: none is logged (log_min_error_statement above).

# On the command line, where no ALTER SYSTEM of a branch reaches: the log of a parent must never be reused.
_ALWAYS = {"wal_recycle": "off", "wal_keep_size": "1000GB"}
START_SECONDS = 300.0
"""Replaying a long log counts as starting."""


class Cluster:
    """The server of one data directory. Ports are given at each start; only the proxy knows them."""

    def __init__(self, data: Path, binaries: Binaries, certificates: Certificates | None) -> None:
        """`certificates` None: the server speaks no TLS (its build cannot)."""
        self.data = data
        self.log = data.with_name(data.name + ".log")
        self._binaries = binaries
        self._certificates = certificates
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self, settings: Mapping[str, str] | None = None) -> int:
        """Starts the server and waits until it takes connections; returns its port.

        `settings` hold for this start only. Raises `EngineError` with the end of the server's log.
        """
        for _ in range(5):
            self.port = free_port()
            if await self._start_once(dict(settings or {})):
                return self.port
        raise EngineError(f"no free port was found for {self.data.name}")

    async def _start_once(self, settings: dict[str, str]) -> bool:
        options = {**settings, **_ALWAYS, "port": str(self.port)}
        if self._certificates:
            options |= {
                "ssl": "on",
                "ssl_cert_file": str(self._certificates.server),
                "ssl_key_file": str(self._certificates.server_key),
            }
        if self._binaries.major >= 18:
            options["io_method"] = "sync"  # the default keeps worker processes per server
        begin = self.log.stat().st_size if self.log.exists() else 0
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._binaries.tool("postgres"),
                "-D",
                str(self.data),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
                env={"LC_ALL": "C", "PATH": os.defpath},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon, which stops its servers in order
                umask=0o077,
                **run_as(self._binaries.identity),
            )
        finally:
            os.close(output)
        if await self._await_ready():
            return True
        end = self._log_since(begin)
        if "could not create any TCP/IP sockets" in end or "could not bind" in end:
            return False
        raise EngineError(f"PostgreSQL did not start on {self.data.name}: {end[-1500:].strip() or 'it said nothing'}")

    async def _await_ready(self) -> bool:
        assert self._process
        deadline = time.monotonic() + START_SECONDS
        pause = 0.004
        while self._process.returncode is None:
            with contextlib.suppress(OSError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                    return True
            if time.monotonic() > deadline:
                await self.stop()
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, 0.05)
        return False

    def _log_since(self, begin: int) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")
        return ""

    async def stop(self) -> None:
        """Ends the server in order; sessions are told so. Harder after 10 s, hardest after 5 more."""
        if self._process is None:
            return
        for number, patience in ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0)):
            if self._process.returncode is not None:
                break
            send_signal(self._process, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience)
        self._process = None


async def end_stray(data: Path) -> None:
    """Ends a server that a killed daemon left on this data directory, and removes a left-over lock file."""
    for number, patience in ((signal.SIGINT, 5.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        pid = postmaster_pid(data)
        if pid is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while is_alive(pid) and str(data) in arguments_of(pid) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    # Its number may belong to another process by now, and PostgreSQL would then refuse to start.
    (data / "postmaster.pid").unlink(missing_ok=True)


def free_port() -> int:
    """A port that is free on the loopback address at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def give(path: Path, identity: Identity | None) -> None:
    """Makes a file or folder (not what is in it) the server user's."""
    if identity is not None:
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


def make_folder(path: Path, identity: Identity | None) -> None:
    """A folder for the server's user alone, when it is not there yet."""
    path.mkdir(mode=0o700, exist_ok=True)
    give(path, identity)


async def copy_data(source: Path, target: Path, identity: Identity | None, *, log: bool = False) -> None:
    """Copies a data directory to `target`, sharing blocks where the file system can.

    Without `log` the copy's own log folder is empty. Raises `EngineError` (disk full, for example).
    """
    make_folder(target, identity)
    skipped = {"postmaster.pid", "postmaster.opts", "standby.signal", "pg_dynshmem", *(() if log else ("pg_wal",))}
    entries = [str(entry) for entry in sorted(source.iterdir()) if entry.name not in skipped]
    sharing = ["-c"] if sys.platform == "darwin" else ["--reflink=auto"]
    # A cp that cannot share blocks refuses the option (small systems), or the file system does (macOS).
    problem = await _copy(sharing, entries, target) and await _copy([], entries, target)
    if problem:
        raise EngineError(f"copying {source.name}: {problem}")
    for name in ("pg_dynshmem", *(() if log else ("pg_wal", "pg_wal/archive_status", "pg_wal/summaries"))):
        make_folder(target / name, identity)


async def _copy(options: list[str], entries: list[str], target: Path) -> str:
    command = ["cp", *options, "-R", "-p", *entries, str(target)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    errors = (await process.communicate())[1].decode(errors="replace")
    # A server that runs removes files while they are copied; recovery does not need those.
    serious = [line for line in errors.splitlines() if "No such file or directory" not in line]
    return serious[0] if process.returncode and serious else ""


def link_or_copy(source: Path, target: Path, identity: Identity | None) -> None:
    """The same log file in another folder: a second name where that is possible, else a copy."""
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:
            shutil.copyfile(source, target)
            target.chmod(0o600)
            give(target, identity)


async def remove_folder(path: Path) -> None:
    """Deletes a folder with everything in it; one that is not there is fine."""
    await asyncio.to_thread(shutil.rmtree, path, True)
