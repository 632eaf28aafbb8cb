# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of a target: each one that something reads is documented and in the example, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

CLONE = Path(__file__).resolve().parents[2]
EXAMPLE = CLONE / "inventory" / "example"
# Groups of the inventory, and what only the inventory plugin sets (docs/inventory.md).
NO_VARIABLES = {"rewind_targets", "rewind_supported", "rewind_unsupported_reason"}


def _names(paths: Iterable[Path], pattern: str = r"\brewind_[a-z_]+\b") -> set[str]:
    found = {name for path in paths for name in re.findall(pattern, path.read_text(encoding="utf-8"))}
    return found - NO_VARIABLES


def _read() -> set[str]:
    """What defaults of roles, tasks and playbooks read, and what modules take from the host."""
    yaml = [path for part in ("roles/*/defaults", "roles/*/vars", "roles/*/tasks") for path in CLONE.glob(f"{part}/*")]
    names = _names([*yaml, *CLONE.glob("playbooks/*.yml")])
    code = [CLONE / "plugins" / "module_utils" / "_options.py", *CLONE.glob("plugins/modules/*.py")]
    return names | _names(code, r"\"(rewind_[a-z_]+)\"")


def test_every_variable_that_is_read_is_documented() -> None:
    """Given everything that reads a host's variables, then docs/targets.md lists each, and no line twice."""
    page = CLONE / "docs" / "targets.md"
    assert _read() - _names([page]) == set()
    rows = re.findall(r"^\| `(rewind_[a-z_]+)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(set(rows))


def test_every_variable_that_is_read_is_in_the_example() -> None:
    """Given the example, then it has each of them, in place or commented out, and none that nothing reads."""
    files = [path for path in EXAMPLE.rglob("*.yml") if path.is_file()]
    assert _names(files, r"(?m)^(?:# )?(rewind_[a-z_]+):") == _read()


@pytest.mark.parametrize("host", ["tracker_staging", "tracker_production"])
def test_a_vault_beside_it_takes_nothing_from_the_example(host: str, tmp_path: Path) -> None:
    """Given a copy with a vault where the example says to make one, then both are read."""
    for path in EXAMPLE.rglob("*.yml"):
        copy = tmp_path / path.relative_to(EXAMPLE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    told = re.search(
        r"`ansible-vault create inventory/example/(.*)`", (EXAMPLE / "group_vars/all/main.yml").read_text()
    )
    assert told is not None
    (tmp_path / told[1]).write_text("rewind_neon_api_key: a key\n", encoding="utf-8")
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(tmp_path / "hosts.yml")])
    variables = VariableManager(loader, inventory).get_vars(host=inventory.get_host(host))
    assert variables["rewind_neon_api_key"] == "a key"
    assert variables["rewind_retention_days"] == 7 and variables["ansible_connection"] == "local"
