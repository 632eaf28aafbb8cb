# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A filter over the hosts of an inventory. It is documented beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from jinja2.exceptions import UndefinedError

_DEFAULT_KEY = "DATABASE_URL"
# What a host variable of another target may be called in a plan; see the option `other_targets` of restore_plan.
_FACTS = {
    "environment": "rewind_environment",
    "project": "rewind_neon_project_id",
    "application": "rewind_coolify_application",
    "env_key": "rewind_coolify_env_key",
}


def other_targets(
    hostvars: Mapping[str, Any], hosts: Iterable[str], target: str, project: str, application: str
) -> list[dict[str, Any]]:
    """The other hosts that are targets and share the Neon project or the application of this one.

    A variable that cannot be read counts as not set: a fault in another target's inventory must not stop a restore.
    """
    found = []
    for host in hosts:
        if host == target:
            continue
        facts = _facts(hostvars, host)
        if facts is not None and (facts["project"] == project or facts["application"] == application):
            found.append({"target": host, **facts})
    return found


def _facts(hostvars: Mapping[str, Any], host: str) -> dict[str, Any] | None:
    facts: dict[str, Any] = {}
    for name, variable in _FACTS.items():
        try:
            # A value is computed when it is looked at, and then may turn out not to be one.
            facts[name] = str(hostvars[host].get(variable) or "") or None
        except (AnsibleError, UndefinedError, KeyError, OSError, ValueError):
            facts[name] = None
    if not (facts["project"] or facts["application"]):
        return None
    return {**facts, "env_key": facts["env_key"] or _DEFAULT_KEY, "environment": facts["environment"] or "production"}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"other_targets": other_targets}
