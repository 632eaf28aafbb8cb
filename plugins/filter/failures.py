# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters that say what has failed, and why, also inside of a loop. Each is documented beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# By which keys an item of a loop is called in a message, the most telling first.
_NAMES = ("name", "key", "target", "branch_id", "uuid", "step", "id")


def failure(result: Mapping[str, Any], task: str = "") -> str:
    """Why a task has failed: of a loop each item that did, by its name, with its own reason.

    :param task: the task's name, for a result that gives no reason.
    """
    items = [f"{_label(item, {})}: {_reason(item, task)}" for item in _failed_items(result)]
    return "; ".join(items) or _reason(result, task)


def what_failed(results: Mapping[str, Any], names: Mapping[str, str] | None = None) -> list[str]:
    """The failures among registered results, each with its reason; of a loop, each item that failed.

    :param results: by what a person calls the task, what it registered.
    :param names: what a person calls the things whose ids may stand in a loop's item.
    """
    return [text for name, result in results.items() for text in _failures(name, result, names or {})]


def _failures(name: str, result: Any, names: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(result, Mapping) or not result.get("failed"):
        return
    items = _failed_items(result)
    for item in items:
        yield f"{name} ({_label(item, names)}): {_in_one_line(item, name)}"
    if not items:
        yield f"{name}: {_in_one_line(result, name)}"


def _failed_items(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A loop itself says no more than that one or more items failed."""
    return [item for item in result.get("results") or () if isinstance(item, Mapping) and item.get("failed")]


def _label(item: Mapping[str, Any], names: Mapping[str, str]) -> str:
    value = item.get(str(item.get("ansible_loop_var") or "item"))
    if isinstance(value, Mapping):
        value = next((value[key] for key in _NAMES if value.get(key)), None)
    text = str(value) if value is not None else "an item"
    return next((f"{known}, {text}" for key, known in names.items() if key and key in text), text)


def _reason(result: Mapping[str, Any], task: str) -> str:
    text = result.get("msg")
    if isinstance(text, (list, tuple)):
        text = " ".join(str(line) for line in text)
    return str(text) if text else f"the task {task or '(unnamed)'} failed"


def _in_one_line(result: Mapping[str, Any], task: str) -> str:
    return " ".join(_reason(result, task).split()).rstrip(".")


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"failure": failure, "what_failed": what_failed}
