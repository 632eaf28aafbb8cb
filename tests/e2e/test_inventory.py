# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory that writes itself: tokens in the environment, no file, and the playbooks run on what it finds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Played, find_secrets
from tests.support.sandbox import CLONE, Control, SandboxProcess

# Projects and branches come one by one, so that whatever reads only the first page finds nothing.
SANDBOX_SETTINGS = {"neon__page_size_max": 1}
NAME = ["-i", "rewind.database.targets"]


class Inventory:
    """What a new user has: two tokens, the addresses, and ansible-inventory."""

    def __init__(self, playbooks: Playbooks) -> None:
        self.playbooks = playbooks
        connection = playbooks.sandbox.connection
        self.environment = {
            "NEON_API_KEY": connection["neon_api_key"],
            "NEON_API_URL": connection["neon_api_url"],
            "COOLIFY_ACCESS_TOKEN": connection["coolify_access_token"],
            "COOLIFY_API_URL": connection["coolify_api_url"],
            "REWIND_STATE_DIR": connection["state_dir"],
        }

    def ask(self, *options: str, environment: Mapping[str, str] | None = None, fails: bool = False) -> str:
        """What ansible-inventory prints; fails the test on a warning, or when a secret shows at any verbosity."""
        program = str(Path(sys.executable).with_name("ansible-inventory"))
        mine = {**self.playbooks._environment(), **self.environment, **(environment or {})}
        ended = subprocess.run(
            [program, *NAME, *options], cwd=CLONE, env=mine, capture_output=True, text=True, timeout=120, check=False
        )
        shown = {"stdout": ended.stdout, "stderr": ended.stderr}
        assert find_secrets(shown, self.playbooks.known_secrets()) == []
        assert (ended.returncode != 0) == fails, ended.stderr
        assert fails or "[WARNING]" not in ended.stderr, ended.stderr
        return " ".join(ended.stderr.split()) if fails else ended.stdout

    def listed(self, **environment: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Host variables, and the hosts of each group."""
        shown = json.loads(self.ask("--list", environment=environment))
        groups = {name: sorted(item.get("hosts", [])) for name, item in shown.items() if name != "_meta"}
        hosts = {name: _plain(values) for name, values in shown["_meta"]["hostvars"].items()}
        return hosts, groups


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Host variables without the mark that ansible-inventory puts on what is no template."""
    return {
        name: item["__ansible_unsafe"] if isinstance(item, dict) and item else item for name, item in values.items()
    }


@pytest.fixture(scope="module")
def inventory(playbooks: Playbooks) -> Inventory:
    """The module's user."""
    return Inventory(playbooks)


@pytest.fixture(scope="module")
def world(sandbox: SandboxProcess) -> dict[str, str]:
    """A Coolify as one finds it: applications and services on Neon and elsewhere, shared, locked, in two projects."""
    control = sandbox.control
    uuid = sandbox.connection["targets"]["tracker"]["coolify_application"]
    rows = sandbox.coolify().get(f"/applications/{uuid}/envs").json()
    string = next(row["value"] for row in rows if row["key"] == "DATABASE_URL")
    elsewhere = "postgresql://app:9vKd2Lq7@db.internal:5432/app"
    label, _, rest = string.partition("@")[2].partition(".")
    pooled = string.replace(f"{label}.{rest}", f"{label}-pooler.{rest}")

    def application(name: str, env: Any, **place: Any) -> str:
        return str(control.call("POST", "/applications", {"name": name, "env": env, **place})["uuid"])

    second = {"project": "Second Shop", "environment": "staging", "server": "hetzner-1"}
    made = {
        "shop": application("shop", {"DATABASE_URL": pooled}, **second),
        "internal": application("internal", {"DATABASE_URL": elsewhere}, **second),
        "shared": application("shared", {"DATABASE_URL": "{{project.MAIN_DB}}"}, **second),
        "locked": application("locked", [{"key": "DATABASE_URL", "value": string, "is_shown_once": True}]),
        "previewed": application("previewed", {"DATABASE_URL": elsewhere}),
    }
    preview = {"key": "DATABASE_URL", "value": string, "is_preview": True}
    control.call("POST", f"/applications/{made['previewed']}/envs", preview)
    control.call(
        "POST", "/shared-envs", {"kind": "project", "key": "MAIN_DB", "value": string, "project": "Second Shop"}
    )
    control.call("POST", "/services", {"name": "umami", "env": {"DATABASE_URL": string}, **second})
    control.call("POST", "/services", {"name": "plausible", "env": {"DATABASE_URL": elsewhere}})
    return made


def test_two_tokens_show_what_can_be_recovered(inventory: Inventory, world: dict[str, str], control: Control) -> None:
    """Given tokens and no file, then the graph has a host per application on Neon, and nothing but GET was sent."""
    since = control.last_request()
    shown = inventory.ask("--graph", "-vvvv")
    assert {request["method"] for request in control.requests(since)} == {"GET"}
    assert "--tracker_production" in shown and "--shop_staging" in shown
    hosts, groups = inventory.listed()
    targets = ["migrator_production", "shop_staging", "tracker_production"]
    assert groups["rewind_targets"] == targets
    assert groups["rewind_unsupported"] == ["locked_production", "shared_staging", "umami_staging"]
    assert groups["project_trackers"] == groups["environment_production"] == [targets[0], targets[2]]
    assert groups["project_second_shop"] == groups["server_hetzner_1"] == ["shop_staging"]
    assert groups["branch_rewind_sandbox_main"] == targets[1:], "two applications on one branch"
    assert groups["health_healthy"] == [targets[0], targets[2]] and groups["health_exited"] == ["shop_staging"]
    assert sorted(hosts) == sorted([*targets, *groups["rewind_unsupported"]])


@pytest.mark.parametrize("page", ["README.md", pytest.param("docs/inventory.md", marks=pytest.mark.long)])
@pytest.mark.parametrize("installed", [False, True], ids=["clone", "installed"])
def test_the_command_that_a_page_shows_works_as_it_stands(
    inventory: Inventory, world: dict[str, str], tmp_path: Path, page: str, installed: bool
) -> None:
    """Given the tokens, then what a new user copies shows the targets: in the clone, and with the collection alone."""
    lines = [line.strip().removeprefix("$ ") for line in (CLONE / page).read_text(encoding="utf-8").splitlines()]
    command = next(line for line in lines if line.startswith("ansible-inventory ") and line.endswith("--graph"))
    enabled = next(line for line in lines if line.startswith("export ANSIBLE_INVENTORY_ENABLED="))
    mine = {**inventory.playbooks._environment(), **inventory.environment}
    if installed:
        mine = {name: value for name, value in mine.items() if not name.startswith("ANSIBLE_")}
        mine["ANSIBLE_COLLECTIONS_PATH"] = str(CLONE / ".collections")
        command = f"{enabled}\n{command}"
    folder = tmp_path if installed else CLONE
    shown = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=mine, capture_output=True, text=True, timeout=300, check=False
    )
    assert shown.returncode == 0 and "--@rewind_targets:" in shown.stdout, shown.stderr
    assert "--tracker_production" in shown.stdout and "[WARNING]" not in shown.stderr


def test_every_id_is_right_and_every_refusal_has_a_reason(inventory: Inventory, world: dict[str, str]) -> None:
    """Given the sandbox's own description of its targets, then the hosts say the same; the others say why not."""
    hosts, _ = inventory.listed()
    for name in ("tracker", "migrator"):
        known = inventory.playbooks.sandbox.connection["targets"][name]
        found = hosts[f"{name}_production"]
        for key in ("neon_project_id", "neon_database", "neon_role", "coolify_application", "coolify_env_key"):
            assert found[f"rewind_{key}"] == known[key]
        assert (found["rewind_supported"], found["rewind_environment"]) == (True, "production")
    shop = hosts["shop_staging"]
    assert (shop["rewind_coolify_application"], shop["rewind_environment"]) == (world["shop"], "staging")
    assert shop["rewind_found_pooled"] is True
    for name, words in (
        ("locked_production", "DATABASE_URL is locked"),
        ("shared_staging", "the shared variable project.MAIN_DB"),
        ("umami_staging", "It is a service of Coolify"),
    ):
        assert hosts[name]["rewind_supported"] is False
        assert words in hosts[name]["rewind_unsupported_reason"]
    assert hosts["shared_staging"]["rewind_neon_project_id"] == shop["rewind_neon_project_id"]


@pytest.mark.long
def test_the_playbooks_run_on_it(
    inventory: Inventory, world: dict[str, str], playbooks: Playbooks, control: Control
) -> None:
    """Given this inventory and no file, then a backup is made and verified, and a restore shows its whole plan."""
    # Nothing else uses this one's primary, so that a restore has nobody to ask about.
    host = "migrator_production"

    def play(playbook: str, *options: str, **said: Any) -> Played:
        ours = inventory.environment
        return playbooks.play(
            f"playbooks/{playbook}.yml", *options, environment=ours, inventory=NAME, target=host, **said
        )

    refused = playbooks.play(
        "playbooks/backup.yml", environment=inventory.environment, inventory=NAME, target="umami_staging"
    ).failed()
    assert "umami_staging cannot be recovered by Rewind. It is a service of Coolify" in refused.message
    made = play("backup", reason="found by itself").ok()
    assert "made and verified" in made.text and f"PRODUCTION target {host}" in made.text
    since = control.last_request()
    planned = play("restore", "--check", "--diff", backup="latest").ok()
    assert planned.recap[host]["failed"] == 0
    assert "Step 9 of 9" in planned.text, "the whole plan is gone through"
    assert {request["method"] for request in control.requests(since)} == {"GET"}


def test_a_cached_inventory_asks_nothing(
    inventory: Inventory, world: dict[str, str], control: Control, tmp_path: Path
) -> None:
    """Given Ansible's inventory cache, then the second reading sends no request, and no secret is in the file."""
    cache = {
        "ANSIBLE_INVENTORY_CACHE": "1",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(tmp_path),
    }
    first = inventory.listed(**cache)
    since = control.last_request()
    assert inventory.listed(**cache) == first
    assert control.requests(since) == []
    (kept,) = tmp_path.iterdir()
    assert find_secrets({"cache": kept.read_text(encoding="utf-8")}, inventory.playbooks.known_secrets()) == []


@pytest.mark.long
def test_tokens_that_see_less_say_so(inventory: Inventory, world: dict[str, str], control: Control) -> None:
    """Given a token without read:sensitive, a key of one project, and tokens that are refused, then each is clear."""
    weak = control.call("POST", "/tokens", {"service": "coolify", "abilities": ["read"]})["token"]
    inventory.playbooks.secrets.add(weak.partition("|")[2])
    hosts, groups = inventory.listed(COOLIFY_ACCESS_TOKEN=weak)
    assert groups.get("rewind_targets", []) == []
    assert "read:sensitive" in hosts["tracker_production"]["rewind_unsupported_reason"]

    project = inventory.playbooks.sandbox.connection["targets"]["migrator"]["neon_project_id"]
    scoped = control.call("POST", "/tokens", {"service": "neon", "scope": "project", "project_id": project})["token"]
    inventory.playbooks.secrets.add(scoped)
    hosts, groups = inventory.listed(NEON_API_KEY=scoped)
    assert groups["rewind_targets"] == ["migrator_production"]
    assert "no project that this key of Neon may see" in hosts["tracker_production"]["rewind_unsupported_reason"]

    said = inventory.ask("--graph", fails=True, environment={"NEON_API_KEY": "napi_0123456789abcdef"})
    assert "HTTP 401" in said and "Set neon_api_key or NEON_API_KEY" in said
    said = inventory.ask("--graph", fails=True, environment={"COOLIFY_ACCESS_TOKEN": "9|0123456789abcdef"})
    assert "HTTP 401" in said and "COOLIFY_ACCESS_TOKEN" in said
