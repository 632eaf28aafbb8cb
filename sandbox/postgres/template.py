# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The empty cluster that every root timeline starts as. Making one takes a second, copying it a tenth."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.postgres.admin import ADMIN, ROLE_STATEMENTS, TEMPLATE_STATEMENTS, Administrator
from sandbox.postgres.binaries import Binaries
from sandbox.postgres.cluster import CONFIGURATION, Cluster, give, make_folder, remove_folder
from sandbox.postgres.model import Base, EngineError
from sandbox.postgres.wal import read_control
from sandbox.processes import run_as

_TLS_RULES = "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 reject\n"
_REVISION = hashlib.sha256(repr((CONFIGURATION, ROLE_STATEMENTS, TEMPLATE_STATEMENTS)).encode()).hexdigest()[:8]
_PLAIN_RULES = "host all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Template:
    """A cluster that is never started again, and what is known about it."""

    folder: Path
    tls: bool
    """Whether this build of PostgreSQL speaks TLS."""
    base: Base


async def ensure_template(root: Path, binaries: Binaries, password: str) -> Template:
    """Makes ``<root>/template/<version>-…`` when it is not there yet. Raises `EngineError` with what initdb said.

    One that was made by other programs or with other settings stays where it is: forks may start from it.
    """
    folder = root / "template" / f"{binaries.version}-{_REVISION}"
    facts = folder.with_name(folder.name + ".json")
    make_folder(folder.parent, binaries.identity)
    if not facts.exists():
        fresh = folder.with_name(folder.name + ".new")  # not hidden: the watchdog must find a server in it
        await remove_folder(fresh)
        await remove_folder(folder)
        known = await _make(fresh, binaries, password)
        fresh.rename(folder)
        facts.write_text(json.dumps(known))
    known = json.loads(facts.read_text())
    base = Base(str(folder.relative_to(root)), known["start"], known["stop"])
    return Template(folder, known["tls"], base)


async def _make(folder: Path, binaries: Binaries, password: str) -> dict[str, Any]:
    await _initdb(folder, binaries, password)
    _write(folder / "postgresql.conf", CONFIGURATION, binaries)
    _write(folder / "pg_hba.conf", _PLAIN_RULES, binaries)
    cluster = Cluster(folder, binaries, None)
    administrator = Administrator(password, None)
    port = await cluster.start()
    try:
        for statement in ROLE_STATEMENTS:
            await administrator.execute(port, statement)
        for database in ("template1", "postgres"):
            for statement in TEMPLATE_STATEMENTS:
                await administrator.execute(port, statement, database=database)
        tls = bool((await administrator.execute(port, "SHOW ssl_library"))[0][0])
        await administrator.execute(port, "CHECKPOINT")
    finally:
        await cluster.stop()
    cluster.log.unlink(missing_ok=True)
    _write(folder / "pg_hba.conf", _TLS_RULES if tls else _PLAIN_RULES, binaries)
    control = await read_control(binaries, folder)
    return {"tls": tls, "start": control.redo, "stop": control.checkpoint + 1}


async def _initdb(folder: Path, binaries: Binaries, password: str) -> None:
    make_folder(folder, binaries.identity)
    secret = folder.with_name(".password")
    secret.unlink(missing_ok=True)
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password + "\n")
    give(secret, binaries.identity)
    locale = ["--locale=C"]
    if binaries.major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        process = await asyncio.create_subprocess_exec(
            binaries.tool("initdb"),
            *("-D", str(folder), "-U", ADMIN, "-E", "UTF8", "-A", "scram-sha-256", "--pwfile", str(secret)),
            *("--no-sync", "--no-instructions", "--wal-segsize=1", *locale),
            env={"LC_ALL": "C", "PATH": os.defpath},
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            umask=0o077,
            **run_as(binaries.identity),
        )
        output = (await process.communicate())[0].decode(errors="replace")
    finally:
        secret.unlink(missing_ok=True)
    if process.returncode:
        raise EngineError(f"initdb failed: {output[-1500:].strip()}")


def _write(path: Path, content: str, binaries: Binaries) -> None:
    path.write_text(content)
    path.chmod(0o600)
    give(path, binaries.identity)


def time_travel_rules(tls: bool) -> str:
    """Who may log in to a read-only server of the past: with TLS only the sandbox itself, by its certificate.

    The passwords in the past may be others than today's, and a read-only server cannot be given today's.
    """
    return "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n" if tls else _PLAIN_RULES
