# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters over hosts and failed results: who shares a target's parts, and which item of a loop failed why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.rewind.database.plugins.filter.failures import failure
from ansible_collections.rewind.database.plugins.filter.inventory import FilterModule, other_targets
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays

Json = dict[str, Any]
PROJECT, APPLICATION = "late-frost-12345678", "n1kz0hg8q4w2e6r8t0y2u4i6"


class Broken(dict[str, Any]):
    """A host whose variables cannot be templated."""

    def get(self, key: str, default: Any = None) -> Any:
        raise AnsibleError(f"{key}: the vault is closed")


def host(**facts: str) -> Json:
    return {f"rewind_{name}": value for name, value in facts.items()}


def test_only_other_targets_that_share_a_part_are_found() -> None:
    """Given a fleet, then a drill on the same application and one in the same project are found, nobody else."""
    hosts: Json = {
        "tracker": host(neon_project_id=PROJECT, coolify_application=APPLICATION),
        "drill": host(neon_project_id="other", coolify_application=APPLICATION, environment="staging"),
        "staging": host(neon_project_id=PROJECT, coolify_application="x", coolify_env_key="DB"),
        "shop": host(neon_project_id="other", coolify_application="y"),
        "web": {"http_port": 80},
        "broken": Broken(),
    }
    assert other_targets(hosts, hosts, "tracker", PROJECT, APPLICATION) == [
        {
            "target": "drill",
            "environment": "staging",
            "project": "other",
            "application": APPLICATION,
            "env_key": "DATABASE_URL",
        },
        {"target": "staging", "environment": "production", "project": PROJECT, "application": "x", "env_key": "DB"},
    ]


def test_each_item_that_failed_is_named_with_its_reason() -> None:
    """Given a loop of which two items failed, then both are said, and not those that went well."""
    result = {
        "msg": "One or more items failed",
        "results": [
            {"item": "ep-a", "changed": True},
            {"item": "ep-b", "failed": True, "msg": "disable it: Neon did not answer"},
            {
                "branch": {"branch_id": "br-1", "name": "main"},
                "ansible_loop_var": "branch",
                "failed": True,
                "msg": "no",
            },
            {"item": {"what": 1}, "failed": True},
        ],
    }
    assert failure(result, "Do it") == (
        "ep-b: disable it: Neon did not answer; main: no; an item: the task Do it failed"
    )


def test_a_plain_failure_says_its_own_reason() -> None:
    """Given a task without a loop, then its message is the reason; without one the task is named."""
    assert failure({"msg": "no slot left", "failed": True}) == "no slot left"
    assert failure({"msg": ["two", "lines"]}) == "two lines"
    assert failure({}, "Make the branch") == "the task Make the branch failed"


def test_ansible_gives_the_filters_what_they_expect(tmp_path: Path) -> None:
    """Given a real play, then host variables are found although one cannot be read, and so are a loop's items."""
    broken = "{{ lookup('ansible.builtin.file', '/nonexistent/rewind') }}"
    tasks: list[Json] = [
        {
            "name": "add",
            "ansible.builtin.add_host": {
                "name": "{{ item.name }}",
                "rewind_neon_project_id": PROJECT,
                "rewind_coolify_application": "{{ item.application }}",
            },
            "loop": [{"name": "one", "application": "a"}, {"name": "two", "application": "b"}],
        },
        {
            "name": "found",
            "ansible.builtin.debug": {
                "msg": "{{ hostvars | rewind.database.other_targets(groups['all'], 'two', 'p', 'a') }}",
            },
        },
        {
            "block": [
                {
                    "name": "loop",
                    "ansible.builtin.fail": {"msg": "{{ item }} is wrong"},
                    "loop": ["a", "b"],
                    "when": "item == 'b'",
                }
            ],
            "rescue": [
                {
                    "name": "why",
                    "ansible.builtin.debug": {
                        "msg": "{{ ansible_failed_result | rewind.database.failure(ansible_failed_task.name) }}"
                    },
                }
            ],
        },
    ]
    variables = {"rewind_neon_project_id": "p", "rewind_coolify_application": broken}
    played = BothWays(tmp_path).play(tasks, variables=variables)
    found = played.results["found"]["msg"]
    assert {item["target"] for item in found} == {"target", "one"}, played.output
    assert played.results["why"]["msg"] == "b: b is wrong"


def test_ansible_finds_both_under_their_names() -> None:
    """Given the collection's filters, then both are among them."""
    assert FilterModule().filters() == {"other_targets": other_targets}
