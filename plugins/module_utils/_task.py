# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module is made of: a specification of its options, and one function that gets a task and returns a result.

A module file holds its documentation, ``SPEC``, ``run(task)`` and a ``main()`` that calls `run_module`. The same
``run`` is called in the controller's process by ``plugin_utils/_in_process.py``.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, Protocol

from ansible.module_utils.basic import AnsibleModule

from ._errors import RewindError
from ._secrets import Masker

# A result with this key true is shown by Ansible as censored and kept as it is in the registered variable.
CENSORED = "_ansible_no_log"
# An ordinary module cannot set the key above (Ansible drops it): the action part translates this one.
CENSORED_BY_MODULE = "rewind_censored"

RunFunction = Callable[["Task"], dict[str, Any]]


class Task(Protocol):
    """What a module's ``run`` may know about the task that it serves."""

    @property
    def params(self) -> dict[str, Any]: ...

    @property
    def check_mode(self) -> bool: ...

    @property
    def diff_mode(self) -> bool: ...

    def progress(self, line: str) -> None:
        """Show one line while the task is still running, where that is possible."""

    def warn(self, text: str) -> None:
        """Add a warning to the result."""

    def secret(self, value: str) -> str:
        """Register a value that must never be shown, and return it unchanged."""

    def scrub(self, value: Any) -> Any:
        """The same structure without any secret that this task knows by now."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """The options of a module, mergeable: a module's own part with those of its documentation fragments.

    :param from_host_vars: option -> host variable that fills it when neither the task nor ``module_defaults`` does.
    :param reveals: an option that, when true, makes the module return a secret on purpose.
    """

    arguments: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    required_if: tuple[tuple[Any, ...], ...] = ()
    required_one_of: tuple[tuple[str, ...], ...] = ()
    required_together: tuple[tuple[str, ...], ...] = ()
    mutually_exclusive: tuple[tuple[str, ...], ...] = ()
    required_by: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    from_host_vars: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reveals: str | None = None

    def merge(self, *others: Spec) -> Spec:
        """This specification and others in one; a later one's option of the same name wins."""
        parts = (self, *others)
        return Spec(
            arguments={name: option for part in parts for name, option in part.arguments.items()},
            required_if=tuple(rule for part in parts for rule in part.required_if),
            required_one_of=tuple(rule for part in parts for rule in part.required_one_of),
            required_together=tuple(rule for part in parts for rule in part.required_together),
            mutually_exclusive=tuple(rule for part in parts for rule in part.mutually_exclusive),
            required_by={name: rule for part in parts for name, rule in part.required_by.items()},
            from_host_vars={name: variable for part in parts for name, variable in part.from_host_vars.items()},
            reveals=next((part.reveals for part in reversed(parts) if part.reveals), None),
        )

    def argument_spec(self) -> dict[str, Any]:
        """The options as Ansible wants them, copied so that nobody can change this object."""
        copied: dict[str, Any] = _copy(self.arguments)
        return copied

    def rules(self) -> dict[str, Any]:
        """The rules between options, by the names that AnsibleModule and ArgumentSpecValidator use."""
        return {
            "required_if": [list(rule) for rule in self.required_if],
            "required_one_of": [list(rule) for rule in self.required_one_of],
            "required_together": [list(rule) for rule in self.required_together],
            "mutually_exclusive": [list(rule) for rule in self.mutually_exclusive],
            "required_by": {name: list(rule) for name, rule in self.required_by.items()},
        }


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def secrets_in(arguments: Mapping[str, Mapping[str, Any]], params: Any) -> Iterable[Any]:
    """The values of all options marked ``no_log``, at any depth."""
    if isinstance(params, list):
        for item in params:
            yield from secrets_in(arguments, item)
    if not isinstance(params, Mapping):
        return
    for name, option in arguments.items():
        value = next((params[key] for key in (name, *option.get("aliases", ())) if params.get(key) is not None), None)
        if value is None:
            continue
        if option.get("no_log"):
            yield from _leaves(value)
        elif option.get("options"):
            yield from secrets_in(option["options"], value)


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def plain(value: Any) -> Any:
    """The value as plain JSON types, the same way for a module and in the controller's process.

    :raises RewindError: for a type that has no such form (a result must never be half readable).
    """
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # str() of a subclass (Ansible tags its texts) gives the plain type.
        return str.__str__(value)
    if isinstance(value, (int, float, decimal.Decimal)):
        return _plain_number(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, memoryview, PurePath)):
        return [plain(item) for item in value]
    return _plain_object(value)


def _plain_number(value: int | float | decimal.Decimal) -> int | float | str:
    if isinstance(value, int):
        return int(value)
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, decimal.Decimal) and value == value.to_integral_value():
        return int(value)
    return float(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (uuid.UUID, PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", errors="replace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise RewindError(
        f"return the result: a value of type {type(value).__name__} has no JSON form",
        code="internal_error",
        hint="This is a fault of the module; report it.",
    )


def execute(run: RunFunction, task: Task, masker: Masker) -> dict[str, Any]:
    """Call a module's ``run`` and make its outcome a result that Ansible can show: plain, complete, without secrets.

    Never raises an Exception: a failed task is a result with ``failed: true``.
    """
    started = time.monotonic()
    result: dict[str, Any]
    try:
        result = plain(run(task))
    except RewindError as error:
        result = _failure(error)
    except Exception as error:
        result = _unexpected(error)
    result.setdefault("changed", False)
    result.setdefault("elapsed", round(time.monotonic() - started, 3))
    if result.get("failed") or not result.get(CENSORED):
        result.pop(CENSORED, None)
        result = masker.scrub(result)
    return result


def _failure(error: RewindError) -> dict[str, Any]:
    result = {"failed": True, **error.as_result()}
    try:
        cleaned: dict[str, Any] = plain(result)
    except RewindError:
        cleaned = plain({**result, "partial": None})
    return cleaned


def _unexpected(error: Exception) -> dict[str, Any]:
    failure = RewindError(
        f"run the module: unexpected {type(error).__name__}: {error}",
        code="internal_error",
        hint="This is a fault of the module; report it with the traceback (shown with -vvv).",
    )
    trace = "".join(traceback.format_exception(error))
    return {**_failure(failure), "exception": trace}


class ModuleTask:
    """A task behind which stands an AnsibleModule: the ordinary way."""

    def __init__(self, module: AnsibleModule, masker: Masker) -> None:
        self._module = module
        self._masker = masker
        self.params: dict[str, Any] = plain(module.params)
        self.check_mode = bool(module.check_mode)
        self.diff_mode = bool(module._diff)

    def progress(self, line: str) -> None:
        """Nothing: what a module prints while it runs, nobody sees."""

    def warn(self, text: str) -> None:
        self._module.warn(self._masker.text(text))

    def secret(self, value: str) -> str:
        self._masker.add(value)
        return value

    def scrub(self, value: Any) -> Any:
        return self._masker.scrub(value)


def run_module(spec: Spec, run: RunFunction) -> None:
    """The ``main()`` of every module.

    Nothing can escape from it with a secret in it: Ansible masks neither exceptions nor warnings of a module, not
    even under ``no_log`` (tried on ansible-core 2.19 and 2.21).
    """
    module = AnsibleModule(argument_spec=spec.argument_spec(), supports_check_mode=True, **spec.rules())
    masker = Masker(secrets_in(spec.arguments, module.params))
    result = execute(run, ModuleTask(module, masker), masker)
    # Ansible returns the options too (up to ansible-core 2.20) and masks no keys in them.
    module.params = masker.scrub(plain(module.params))
    if result.pop(CENSORED, False):
        result[CENSORED_BY_MODULE] = True
        # Ansible's own masking would destroy the revealed value; the options were masked above.
        module.no_log_values.clear()
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
