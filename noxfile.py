"""The gates: `bin/test` runs the default sessions in this order, `bin/test <session>` one; `nox --list` shows all."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nox

CLONE = Path(__file__).resolve().parent
PYTHON = CLONE / ".venv" / "bin" / "python"
WORK = CLONE / ".nox" / "work"
OLDEST_CORE = "ansible-core==2.19.14"
RUN = str(CLONE / "requirements" / "run.txt")
# What Galaxy gets, and the targets. ansible-test would take every file in bin/ for Python, and judge the sandbox and
# the other tests, which ruff and mypy judge more strictly, by rules for code that must run inside of a module.
COLLECTION = (
    "galaxy.yml",
    "README.md",
    "CHANGELOG.md",
    "COPYING",
    "LICENSES",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "roles",
    "tests/integration/targets",
    "tests/sanity",
)

nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
# Fast ones first. What does not fit into 40 minutes on two cores is the session `long`.
nox.options.sessions = [
    "lint",
    "types",
    "ansible_lint",
    "docs",
    "unit",
    "sandbox",
    "e2e",
    "faults",
]


def in_venv(session: nox.Session, *command: str, **env: str) -> None:
    """Runs a tool of the virtual environment that `bin/setup --dev` made, as a user's shell would."""
    path = f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    session.run(str(PYTHON), "-m", *command, external=True, env={"PATH": path, "PYTHONUNBUFFERED": "1", **env})


def tests(session: nox.Session, folder: str, *options: str) -> None:
    """Two processes, a file of tests in one of them: most of a test is waiting for programs that run beside it."""
    in_venv(
        session, "pytest", f"tests/{folder}", "-n", "2", "--dist", "loadfile", "--durations=5",
        *options, *session.posargs,
    )  # fmt: skip


def collections(session: nox.Session) -> Path:
    """The session's own folder above ``ansible_collections``: sessions may run at the same time."""
    return WORK / session.name


def collection_tree(session: nox.Session, *parts: str) -> Path:
    """A real folder `ansible_collections/rewind/database`, which Ansible's tools want.

    It holds what git tracks or would track, of these parts of the clone only where some are named.
    """
    tree = collections(session) / "ansible_collections" / "rewind" / "database"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    # Where the tools keep what they keep in a home.
    (WORK / "home").mkdir(exist_ok=True)
    # Without a repository of its own ansible-test asks the clone's, which ignores this folder, and tests nothing.
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", *parts],
        cwd=CLONE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = CLONE / name
        if source.is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, tree / name)
    return tree


def interpreters(minor: int) -> Iterator[Path]:
    """Python 3.<minor> executables that answer (a version manager's shim may be there and not run)."""
    name = f"python3.{minor}"
    found = [shutil.which(name), *sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))]
    for candidate in filter(None, found):
        answer = subprocess.run(
            [str(candidate), "-c", "import sys; print(sys.executable)"], capture_output=True, text=True
        )
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())


def interpreter(session: nox.Session, *minors: int) -> Path:
    for minor in minors:
        for python in interpreters(minor):
            return python
    wanted = " or ".join(f"3.{minor}" for minor in minors)
    raise session.skip(f"no Python {wanted} on this machine")


def sanity(session: nox.Session, python: Path, core: str) -> None:
    """ansible-test sanity in a copy of the tree, with the package installer it would otherwise download replaced."""
    minor = subprocess.run(
        [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    venv = WORK / f"{session.name}-{minor}-venv"
    # pip is the last thing that a new environment gets: one without it was interrupted while it was made.
    if not (venv / "bin" / "pip").exists():
        session.run(str(python), "-m", "venv", "--clear", str(venv), external=True)
    # Each time, as an earlier run may have been interrupted, had another core, or be older than the newest one.
    session.run(
        str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--upgrade",
        core, "httpx", "psycopg[binary]", "jmespath",
        external=True,
    )  # fmt: skip
    tree = collection_tree(session, *COLLECTION)
    home = WORK / "home"
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("get_pip_24_2.py", "get_pip_25_2.py"):
        shutil.copy2(CLONE / "tests" / "tools" / "get_pip.py", cache / name)
    session.chdir(tree)
    session.run(
        str(venv / "bin" / "ansible-test"), "sanity", "--local", "--python", minor, "--color", "no", *session.posargs,
        external=True,
        env={"HOME": str(home), "PATH": f"{venv / 'bin'}:{python.parent}:/usr/local/bin:/usr/bin:/bin"},
    )  # fmt: skip


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """ruff and yamllint."""
    in_venv(session, "ruff", "check", ".")
    in_venv(session, "ruff", "format", "--check", ".")
    in_venv(session, "yamllint", "-s", ".")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """mypy, strict."""
    in_venv(session, "mypy")


@nox.session(venv_backend="none")
def unit(session: nox.Session) -> None:
    """Pure logic and modules: transport faked at the httpx layer, PostgreSQL real."""
    tests(session, "unit")


@nox.session(venv_backend="none")
def sandbox(session: nox.Session) -> None:
    """The sandbox, by clients that others wrote and by its own rules."""
    tests(session, "sandbox")


@nox.session(venv_backend="none")
def e2e(session: nox.Session) -> None:
    """Every playbook as a user runs it, on real data."""
    tests(session, "e2e")


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """Killed at each step, replies lost, two runs at once."""
    tests(session, "faults")


@nox.session(venv_backend="none")
def long(session: nox.Session) -> None:
    """What the default sessions leave out for its length: a kill at every line of a journal, the other gates."""
    for other in ("integration", "sanity_oldest", "sanity_newest", "galaxy"):
        session.notify(other)
    tests(session, "", "-m", "long")


@nox.session(venv_backend="none")
def integration(session: nox.Session) -> None:
    """A target per module, by Ansible's convention, against the sandbox."""
    tests(session, "integration", "-n", "0")


@nox.session
def ansible_lint(session: nox.Session) -> None:
    """ansible-lint, production profile."""
    session.install("-q", "-r", RUN, "ansible-lint==26.10.1")
    tree = collection_tree(session)
    session.chdir(tree)
    session.run(
        "ansible-lint", "--strict", "--offline", "--profile", "production", "roles", "playbooks", "meta",
        env={"ANSIBLE_COLLECTIONS_PATH": str(collections(session)), "HOME": str(WORK / "home")},
    )  # fmt: skip


@nox.session
def docs(session: nox.Session) -> None:
    """antsibull-docs lint of every plugin and role; the changelog, and that it lists them as they are."""
    session.install("-q", "-r", RUN, "antsibull-docs==2.28.0", "antsibull-changelog==0.36.0")
    tree = collection_tree(session)
    session.chdir(tree)
    where = {"ANSIBLE_COLLECTIONS_PATH": str(collections(session)), "HOME": str(WORK / "home")}
    session.run("antsibull-docs", "lint-collection-docs", "--plugin-docs", ".", env=where)
    session.run("antsibull-changelog", "lint", env=where)
    session.run("antsibull-changelog", "generate", "--reload-plugins", env=where)
    for name in ("changelogs/changelog.yaml", "CHANGELOG.md"):
        if (tree / name).read_bytes() != (CLONE / name).read_bytes():
            session.error(f"{name} does not fit the plugins; what does is {tree / name}")


@nox.session(venv_backend="none")
def sanity_oldest(session: nox.Session) -> None:
    """ansible-test sanity on the oldest supported ansible-core (2.19, Python 3.11)."""
    sanity(session, interpreter(session, 11), OLDEST_CORE)


@nox.session(venv_backend="none")
def sanity_newest(session: nox.Session) -> None:
    """ansible-test sanity on the newest ansible-core that this machine's Pythons can install."""
    sanity(session, interpreter(session, 14, 13, 12), "ansible-core")


@nox.session
def galaxy(session: nox.Session) -> None:
    """The collection as Galaxy would import it."""
    session.install("-q", "-r", RUN, "galaxy-importer==0.4.44")
    tree = collection_tree(session)
    session.chdir(tree)
    out = collections(session) / "build"
    shutil.rmtree(out, ignore_errors=True)
    session.run("ansible-galaxy", "collection", "build", "--force", "--output-path", str(out))
    artifact = next(out.glob("rewind-database-*.tar.gz"))
    session.run("python", "-m", "galaxy_importer.main", str(artifact), env={"HOME": str(WORK / "home")})
