# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing settings of an application that a cutover pauses, pins or needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import ApiError, UnknownOutcome
from .._task import Task
from .applications import Json, application_view
from .client import CoolifyClient

# Option -> field of the API, for what is not part of the health check.
_FIELDS = {"auto_deploy": "is_auto_deploy_enabled", "git_commit_sha": "git_commit_sha"}


def change_application(client: CoolifyClient, task: Task) -> Json:
    """Set what the task names and leave the rest; read back what was set.

    :raises ApiError: when a setting does not read back as written.
    """
    application = str(task.params["application"])
    before = application_view(client.application(application))
    wanted = _wanted(task.params)
    fields = {field: value for field, (path, value) in wanted.items() if _at(before, path) != value}
    changed = [wanted[field][0] for field in fields]
    result: Json = {
        "changed": bool(fields),
        "application": before,
        "before": _chosen(before, [path for path, _value in wanted.values()]),
        "operations": [],
        "diff": {
            "before": _chosen(before, changed),
            "after": _tree({wanted[field][0]: value for field, value in fields.items()}),
        },
    }
    if not fields:
        return result
    if task.check_mode:
        result["application"] = _overlaid(before, {wanted[field][0]: value for field, value in fields.items()})
        return result
    try:
        client.update_application(application, fields)
    except UnknownOutcome as doubt:
        if _missing(_read(client, application), wanted, fields):
            raise doubt
    after = _read(client, application)
    missing = _missing(after, wanted, fields)
    if missing:
        raise ApiError(
            f"change application {application}: {', '.join(missing)} does not read back as written",
            code="not_verified",
            partial={**result, "application": after},
        )
    return {**result, "application": after, "operations": client.sent}


def _read(client: CoolifyClient, application: str) -> Json:
    return application_view(client.application(application))


def _wanted(params: Mapping[str, Any]) -> dict[str, tuple[tuple[str, ...], Any]]:
    """API field -> (where it stands in the view, value), for what the task sets."""
    found: dict[str, tuple[tuple[str, ...], Any]] = {}
    for option, field in _FIELDS.items():
        if params.get(option) is not None:
            found[field] = ((option,), params[option])
    for name, value in (params.get("health_check") or {}).items():
        if value is not None:
            found[f"health_check_{name}"] = (("health_check", name), value)
    return found


def _missing(view: Json, wanted: Mapping[str, tuple[tuple[str, ...], Any]], fields: Mapping[str, Any]) -> list[str]:
    """What does not stand as written. Auto-deploy may not be shown at all; then nothing can be said about it."""
    found = []
    for field, value in fields.items():
        path = wanted[field][0]
        shown = _at(view, path)
        if shown != value and not (shown is None and path == ("auto_deploy",)):
            found.append(".".join(path))
    return found


def _at(view: Json, path: tuple[str, ...]) -> Any:
    value: Any = view
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if path == ("health_check", "port") and value is not None else value


def _chosen(view: Json, paths: list[tuple[str, ...]]) -> Json:
    return _tree({path: _at(view, path) for path in paths})


def _tree(values: Mapping[tuple[str, ...], Any]) -> Json:
    tree: Json = {}
    for path, value in values.items():
        if len(path) == 1:
            tree[path[0]] = value
        else:
            tree.setdefault(path[0], {})[path[1]] = value
    return tree


def _overlaid(view: Json, values: Mapping[tuple[str, ...], Any]) -> Json:
    overlaid = {**view, "health_check": dict(view["health_check"])}
    for path, value in values.items():
        if len(path) == 1:
            overlaid[path[0]] = value
        else:
            overlaid[path[0]][path[1]] = value
    return overlaid
