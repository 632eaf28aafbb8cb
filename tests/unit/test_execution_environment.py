# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image that teams run jobs in: what it is made of, as far as that shows without a container engine."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tests.support.tree import copy_tree, tracked

CLONE = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# What each distribution, or what PyPI, calls the package of an import.
PACKAGES = {"httpx": "httpx", "psycopg": "psycopg", "jmespath": "jmespath"}
GIVEN = {"ansible", "ansible_collections", "yaml", "jinja2"}
"""What comes with ansible-core."""


def tool(folder: Path, name: str, *arguments: str) -> str:
    """A command of the test environment with nothing of the clone in its reach; its output."""
    # The environment's .pth file shows the clone as an installed collection, which galaxy would then not install.
    code = (
        "import runpy, sys; sys.path[:] = [p for p in sys.path if not p.endswith('/.collections')];"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code, str(BIN / name), *arguments],
        cwd=folder,
        env={"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{name}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def python_wanted() -> list[str]:
    lines = (CLONE / "meta" / "ee-requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def system_wanted() -> list[str]:
    lines = (CLONE / "meta" / "ee-bindep.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build context, made as docs/teams.md says: the artifact first, then ``ansible-builder create``."""
    folder = tmp_path_factory.mktemp("ee")
    clone = copy_tree(folder / "clone")
    tool(clone, "ansible-galaxy", "collection", "build", "--output-path", "ee")
    tool(clone, "ansible-builder", "create", "-f", "ee/execution-environment.yml", "-c", "ee/context")
    return clone / "ee" / "context"


def containerfile(context: Path) -> str:
    # Named after the engine that is found, and after docker's where none is.
    return next(path for name in ("Containerfile", "Dockerfile") if (path := context / name).exists()).read_text()


def test_the_context_holds_the_artifact_and_a_recipe_that_installs_it(context: Path) -> None:
    """Given a clone, then the context has the collection's artifact, and the recipe its Python, core and runner."""
    version = yaml.safe_load((CLONE / "galaxy.yml").read_text())["version"]
    assert (context / "_build" / "collections" / f"rewind-database-{version}.tar.gz").is_file()
    recipe = containerfile(context)
    found = re.search(r'ANSIBLE_INSTALL_REFS="([^"]+)"', recipe)
    assert found
    core, runner = (Requirement(item) for item in found.group(1).split())
    assert core.name == "ansible-core" and runner.name == "ansible-runner"
    assert core.specifier.contains("2.19.14") and not core.specifier.contains("2.18.9")
    assert 'PYPKG="python3.12"' in recipe
    final = recipe.rpartition("AS final")[2]
    assert "ENV REWIND_STATE_DIR=/var/lib/rewind/state" in final and "USER 1000" in final
    assert "mkdir -p /var/lib/rewind" not in recipe, "without a mount a job must stop"


def test_what_the_recipe_installs_is_the_collection_with_exactly_its_requirements(context: Path) -> None:
    """Given the context, when its galaxy stage and then its introspection are run, then they find what is declared."""
    build, installed = context / "_build", context / "collections"
    tool(
        build, "ansible-galaxy", "collection", "install", "-r", "requirements.yml", "--collections-path", str(installed)
    )
    home = installed / "ansible_collections" / "rewind" / "database"
    assert (home / "playbooks" / "restore.yml").is_file()
    found: dict[str, Any] = yaml.safe_load(tool(context, "ansible-builder", "introspect", str(installed)))
    origin = re.compile(r"\s+# from collection rewind\.database$")
    assert [origin.sub("", line) for line in found["python"]] == python_wanted()
    assert [origin.sub("", line) for line in found["system"]] == system_wanted()
    shutil.rmtree(installed)


def test_the_declared_packages_are_those_that_the_plugins_import() -> None:
    """Given every import of the plugins, then each is the standard library's, ansible-core's, or declared."""
    imported = set()
    for path in tracked("plugins/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").partition(".")[0])
    foreign = imported - sys.stdlib_module_names - GIVEN
    assert {PACKAGES[name] for name in foreign} == {Requirement(line).name for line in python_wanted()}


def test_the_system_packages_say_why_they_are_needed() -> None:
    """Given the list for the distribution: zones by name, and git for a deployment's files; no PostgreSQL client."""
    assert [line.split()[0] for line in system_wanted()] == ["tzdata", "git-core", "git"]
    assert "psycopg[binary]" in " ".join(python_wanted()), "the client library comes with the wheel"
