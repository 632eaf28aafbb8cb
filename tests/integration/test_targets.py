# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every integration target, played against a running sandbox by ansible-test.

The targets reach the sandbox through its connection file, which ``tests/integration/integration_config.yml`` names; by
hand, with that file written, it is ``ansible-test integration --local <target>`` in a collection's folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.sandbox import SandboxProcess
from tests.support.tree import copy_tree

TARGETS = Path(__file__).parent / "targets"
_BEGIN = re.compile(r"^Running (\w+) integration test role$", re.MULTILINE)


def names() -> list[str]:
    """The targets; those that are only there for others are marked ``hidden`` in their aliases."""
    found = []
    for folder in sorted(path for path in TARGETS.iterdir() if (path / "tasks").is_dir()):
        aliases = folder / "aliases"
        if not (aliases.exists() and "hidden" in aliases.read_text(encoding="utf-8").split()):
            found.append(folder.name)
    return found


@pytest.fixture(scope="module")
def played(
    sandbox: SandboxProcess, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """What ansible-test said about each target that is asked for, all played in one go."""
    home = tmp_path_factory.mktemp("ansible-test")
    tree = home / "ansible_collections" / "rewind" / "database"
    copy_tree(tree, "galaxy.yml", "meta", "plugins", "tests/integration/targets")
    # It looks for its files by git; in a folder above there may be another repository, or none.
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    config = tree / "tests" / "integration" / "integration_config.yml"
    config.write_text(json.dumps({"rewind_sandbox_connection": str(sandbox.connection_file)}), encoding="utf-8")
    functions = [item for item in request.session.items if isinstance(item, pytest.Function) and _is_ours(item)]
    asked = [str(item.callspec.params["name"]) for item in functions]
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        [bin_folder / "ansible-test", "integration", "--local", "--color", "no", "--continue-on-error", *asked],
        cwd=tree,
        env={"HOME": str(home), "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    shutil.rmtree(tree)
    preamble, *parts = _BEGIN.split(done.stdout)
    assert parts, f"ansible-test ended with {done.returncode} and played no target: {preamble}"
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _is_ours(item: pytest.Item) -> bool:
    return item.path == Path(__file__) and hasattr(item, "callspec") and "name" in item.callspec.params


@pytest.mark.timeout(1900)
@pytest.mark.parametrize("name", names())
def test_a_target_passes(played: Mapping[str, str], name: str) -> None:
    """Given a running sandbox, then the target's tasks and all its assertions pass, and nothing warns."""
    assert name in played, f"ansible-test did not play it, but {', '.join(played)}"
    output = played[name]
    assert re.search(r"^testhost +: ok=\d+ .*\bunreachable=0 +failed=0 ", output, re.MULTILINE), output[-6000:]
    assert "[WARNING]" not in output and "[DEPRECATION" not in output, output[-6000:]
