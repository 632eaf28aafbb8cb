# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as a whole: every module has all of its parts, and what is installed works without the rest."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tree import copy_tree, tracked

CLONE = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.rewind.database"
MODULES = sorted(path.stem for path in (CLONE / "plugins" / "modules").glob("*.py") if path.stem != "__init__")
ROLES = sorted(path.name for path in (CLONE / "roles").iterdir() if (path / "tasks").is_dir())
INSTALLED = ("meta", "plugins", "roles", "playbooks")
LICENCE = """\
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""
ACTION_FILE = f"""\
{LICENCE}
from __future__ import annotations

from {COLLECTION}.plugins.plugin_utils._in_process import InProcess as ActionModule

__all__ = ["ActionModule"]
"""
# The option of a service that says where it is: a module that has it talks to that service.
SERVICES = {"neon": "neon_api_url", "coolify": "coolify_api_url", "sentry": "sentry_api_url"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def documentation(module: str) -> dict[str, Any]:
    """The module's own documentation, without its fragments."""
    found = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}").DOCUMENTATION
    return dict(yaml.safe_load(found))


def imports(path: Path) -> Iterator[str]:
    """The absolute names of all that a file imports, at any depth in it."""
    package = path.relative_to(CLONE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            yield ".".join(filter(None, (base, node.module)))


def flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All tasks, those in blocks too."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flat(task.get(part, []))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_action_file(module: str) -> None:
    """Given a module, then its action file exists and says nothing but the shared class."""
    assert (CLONE / "plugins" / "action" / f"{module}.py").read_text(encoding="utf-8") == ACTION_FILE


def test_no_action_file_is_left_over() -> None:
    """Given the action files, then each one belongs to a module."""
    assert {path.stem for path in (CLONE / "plugins" / "action").glob("*.py")} - {"__init__"} == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_documented(module: str) -> None:
    """Given a module, then it has all parts of a documentation, its name, an author and the version it came with."""
    loaded = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")
    said = documentation(module)
    assert said["module"] == module
    assert said["short_description"] and not said["short_description"].endswith(".")
    assert said["author"] and said["description"]
    assert f"rewind.database.{module}:" in loaded.EXAMPLES
    assert yaml.safe_load(loaded.RETURN)["elapsed"]
    assert "rewind.database.attributes" in " ".join(said["extends_documentation_fragment"])


def test_the_versions_agree() -> None:
    """Given the version of the collection, then no plugin came later, and the changelog speaks of it."""
    version = load(CLONE / "galaxy.yml")["version"]
    for module in MODULES:
        assert documentation(module)["version_added"] <= version, module
    for path in (CLONE / "plugins" / "filter").glob("*.yml"):
        assert load(path)["DOCUMENTATION"]["version_added"] <= version, path.name
    releases = load(CLONE / "changelogs" / "changelog.yaml")["releases"]
    assert version in releases
    announced = {module["name"] for release in releases.values() for module in release.get("modules", [])}
    assert announced == set(MODULES), "run antsibull-changelog: it lists what is new"
    inventory = {item["name"] for release in releases.values() for item in release["plugins"].get("inventory", [])}
    assert inventory == {path.stem for path in (CLONE / "plugins" / "inventory").glob("*.py")}


@pytest.mark.parametrize("group", sorted(SERVICES))
def test_an_action_group_holds_the_modules_of_its_service(group: str) -> None:
    """Given a service, then its action group is exactly the modules that have the option with its address."""
    groups = load(CLONE / "meta" / "runtime.yml")["action_groups"]
    having = [
        module
        for module in MODULES
        if SERVICES[group] in importlib.import_module(f"{COLLECTION}.plugins.modules.{module}").SPEC.arguments
    ]
    assert groups[group] == having


def test_there_are_no_other_action_groups() -> None:
    """Given the metadata, then there is a group for each service, and no other."""
    assert set(load(CLONE / "meta" / "runtime.yml")["action_groups"]) == set(SERVICES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_unit_tests_and_a_target(module: str) -> None:
    """Given a module, then a unit test calls it by its name, and a target uses it by the convention."""
    unit = [path for path in (CLONE / "tests" / "unit").glob("test_*.py") if path.name != "test_meta.py"]
    called = re.compile(rf"""["'/]{module}["']|modules import .*\b{module}\b|modules\.{module}\b""")
    assert any(called.search(path.read_text(encoding="utf-8")) for path in unit), "no unit test calls it"
    target = CLONE / "tests" / "integration" / "targets" / module
    tasks = list(flat(load(target / "tasks" / "main.yml")))
    used = {key for task in tasks for key in task}
    assert {f"rewind.database.{module}", "ansible.builtin.assert"} <= used
    # The convention: what is missing is named, and check mode is tried.
    assert any(task.get("ignore_errors") for task in tasks), "nothing is asked in a wrong way"
    assert any(task.get("check_mode") for task in tasks), "check mode is not tried"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_described(role: str) -> None:
    """Given a role, then it has a page that names it, and its argument spec says of each option what it is."""
    folder = CLONE / "roles" / role
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page.startswith(f"# rewind.database.{role}\n")
    main = load(folder / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    for name, option in main["options"].items():
        assert option["description"] and option["type"], name
        assert name.startswith(f"{role}_"), name
    for name in re.findall(rf"`({role}_\w+)`", page):
        assert name in main["options"] or name == f"{role}_result", f"the page speaks of {name}, which is no option"


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_defaults_and_options_agree(role: str) -> None:
    """Given a role, then what has a default is an option, and an option that is not required has a default.

    A constant is documented as it is; of what is computed, the description names the variables that it comes from.
    """
    defaults = load(CLONE / "roles" / role / "defaults" / "main.yml") or {}
    options = load(CLONE / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(defaults) <= set(options)
    assert {name for name, option in options.items() if not option.get("required")} <= set(defaults)
    for name, value in defaults.items():
        option = options[name]
        if isinstance(value, str) and "{{" in value:
            for source in re.findall(r"rewind_\w+|inventory_hostname", value):
                assert source in str(option["description"]), f"{name} comes from {source}, which is not documented"
            assert "default" not in option, f"{name} is computed: a documented constant would hide that"
        else:
            assert not option.get("required"), f"{name} is required, and a default would let nobody notice"
            assert "default" in option and option["default"] == value, f"{name}: {value!r} is not documented"


@pytest.mark.parametrize("role", ROLES)
def test_a_default_inside_an_option_stands_where_it_is_read(role: str) -> None:
    """Given an option of an option with a default, then whoever reads it says it: Ansible checks it, and drops it."""
    folder = CLONE / "roles" / role
    options = load(folder / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    inner = {name for option in options.values() for name, sub in option.get("options", {}).items() if "default" in sub}
    text = "".join(path.read_text(encoding="utf-8") for part in ("tasks", "vars") for path in (folder / part).glob("*"))
    for name in inner:
        assert not re.search(rf"\.{name}\b(?! \| default\()", text), f"{name} has a default that is not written back"


def test_modules_and_what_they_are_made_of_import_nothing_above_them() -> None:
    """Given the plugins, then module_utils know no plugin, nothing knows the sandbox, and the sandbox only itself."""
    for path in tracked("plugins/*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in ("sandbox", "tests", "demo"), f"{path}: {name}"
    utils = f"{COLLECTION}.plugins.module_utils"
    for path in tracked("plugins/module_utils/*.py"):
        for name in imports(path):
            if name.startswith("ansible_collections"):
                assert name.startswith(utils), f"{path}: {name}"
            elif name.startswith("plugins"):
                assert name.startswith("plugins.module_utils"), f"{path}: {name}"
            else:
                assert not name.startswith("ansible.") or name.startswith("ansible.module_utils"), f"{path}: {name}"
    for path in tracked("sandbox/*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in ("ansible", "ansible_collections", "plugins", "tests"), f"{path}: {name}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_writes_no_command_of_its_own(role: str) -> None:
    """What a person copies must name this run's inventory and playbooks: the filter `playbook_command` writes it."""
    found = [
        f"{path.name}: {line.strip()}"
        for folder in ("defaults", "tasks", "vars")
        for path in sorted((CLONE / "roles" / role / folder).glob("*.yml"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if "ansible-playbook playbooks/" in line
    ]
    assert found == []


def test_every_test_file_has_a_name_of_its_own() -> None:
    """pytest imports them by their names alone: with two of one name no run can hold both, as `bin/test long` must."""
    names = [path.name for path in tracked("tests/**/test_*.py")]

    assert len(names) > 100
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_source_file_says_its_licence() -> None:
    """Given a Python file, then its header names the owner and the licence."""
    missing = [
        str(path.relative_to(CLONE))
        for path in tracked("plugins/*.py", "sandbox/*.py", "tests/*.py", "demo/*.py")
        if path.stat().st_size and LICENCE not in path.read_text(encoding="utf-8")
    ]
    assert missing == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the collection installed from its artifact, as a user's would be."""
    folder = tmp_path_factory.mktemp("installed")
    source = copy_tree(folder / "source")
    run(folder, "ansible-galaxy", "collection", "build", str(source), "--output-path", str(folder))
    artifact = next(folder.glob("rewind-database-*.tar.gz"))
    run(folder, "ansible-galaxy", "collection", "install", str(artifact), "-p", str(folder / "collections"), "--force")
    shutil.rmtree(source)
    return folder


# The clone's own collection, which the test environment makes findable, must not stand in for the installed one.
ISOLATED = """
import runpy, sys
sys.path[:] = [entry for entry in sys.path if not entry.endswith("/.collections")]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(folder: Path, command: str, *arguments: str) -> str:
    """A command of Ansible's, with nothing of the clone or of this process's settings in its reach; its output."""
    script = shutil.which(command, path=str(Path(sys.executable).parent))
    assert script, command
    done = subprocess.run(
        [sys.executable, "-P", "-c", ISOLATED, script, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0 and "[WARNING]" not in output and "[DEPRECATION" not in output, output
    return done.stdout


def test_the_artifact_holds_what_is_needed_and_nothing_of_the_workshop(installed: Path) -> None:
    """Given the artifact, then it has plugins, roles, playbooks and pages, and no tests, sandbox or settings."""
    with tarfile.open(next(installed.glob("*.tar.gz"))) as archive:
        top = {name.split("/")[0] for name in archive.getnames()}
    assert {*INSTALLED, "README.md", "CHANGELOG.md", "COPYING", "LICENSES"} <= top
    assert not top & {"bin", "sandbox", "tests", "demo", "benchmarks", "inventory", "requirements", "ansible.cfg"}
    assert not [name for name in top if name.startswith(".")]


def test_the_installed_collection_documents_every_module(installed: Path) -> None:
    """Given only what is installed, then ansible-doc shows every module with the options of its fragments."""
    shown: Mapping[str, Any] = json.loads(
        run(installed, "ansible-doc", "-j", *(f"rewind.database.{m}" for m in MODULES))
    )
    assert sorted(shown) == [f"rewind.database.{module}" for module in MODULES]
    where = str(installed / "collections")
    for module in MODULES:
        doc = shown[f"rewind.database.{module}"]["doc"]
        assert doc["filename"].startswith(where), "another collection than the installed one was read"
        spec = importlib.import_module(f"{COLLECTION}.plugins.modules.{module}").SPEC
        assert set(doc["options"]) == set(spec.arguments), module


@pytest.mark.parametrize("playbook", sorted(path.stem for path in (CLONE / "playbooks").glob("*.yml")))
def test_the_installed_playbooks_are_found_by_their_full_name(installed: Path, playbook: str) -> None:
    """Given meta/, plugins/, roles/ and playbooks/ and nothing else, then a playbook and all it uses is found."""
    folder = installed / "collections" / "ansible_collections" / "rewind" / "database"
    for path in folder.iterdir():
        if path.name not in (*INSTALLED, "MANIFEST.json", "FILES.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    inventory = installed / "hosts.yml"
    inventory.write_text("rewind_targets:\n  hosts:\n    tracker:\n", encoding="utf-8")
    shown = run(installed, "ansible-playbook", "-i", str(inventory), f"rewind.database.{playbook}", "--syntax-check")
    assert str(folder / "playbooks" / f"{playbook}.yml") in shown or f"rewind.database.{playbook}" in shown
