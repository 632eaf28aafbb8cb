# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module of this collection in the controller's own process.

Every module has an action file of its name that imports this class. Ansible loads that file before it forks its
workers, so what is imported at the top of this file is paid for once per run instead of once per task.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pkgutil
import re
import threading
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.rewind.database.plugins import module_utils
from ansible_collections.rewind.database.plugins.module_utils import _commands
from ansible_collections.rewind.database.plugins.module_utils._secrets import Masker
from ansible_collections.rewind.database.plugins.module_utils._task import (
    CENSORED,
    CENSORED_BY_MODULE,
    Spec,
    execute,
    plain,
    secrets_in,
)
from ansible_collections.rewind.database.plugins.plugin_utils._this_run import form_of_this_run

try:
    # ansible-core 2.22 and newer mask registered secrets everywhere.
    from ansible.module_utils.secrets import register_secret
except ImportError:
    register_secret = None

MODULES = "ansible_collections.rewind.database.plugins.modules"
QUIET_SECONDS = 3.0
_WATCH_SECONDS = 0.1
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")

display = Display()


def _import_early() -> None:
    """Import what the modules will need, so that no worker has to.

    A library that is missing is not an error here: the module that needs it says so. httpx itself imports httpcore at
    the first request only, which would be in every worker.
    """
    names = [found.name for found in pkgutil.walk_packages(module_utils.__path__, module_utils.__name__ + ".")]
    for name in (*names, "httpx", "httpcore", "psycopg"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


_import_early()
_watching: set[int] = set()


def _end_with_playbook() -> None:
    """See to it that this worker does not outlive its ansible-playbook.

    A worker has a session of its own, so what kills ansible-playbook leaves it running. It would go on writing while
    the lock, which names ansible-playbook's process, counts as stale and lets the next run begin.
    """
    parent = multiprocessing.parent_process()
    # One worker runs all items of a loop.
    if parent is None or os.getpid() in _watching:
        return
    _watching.add(os.getpid())

    def watch() -> None:
        # Asked for in turns: a pipe from the parent would be held open by workers that were forked after this one.
        while os.getppid() == parent.pid:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="rewind-watch", daemon=True).start()


class InProcess(ActionBase):  # type: ignore[misc]  # ansible-core is not typed
    """Calls the module's ``run(task)`` here for a local connection; else hands over to the ordinary module."""

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _end_with_playbook()
        _commands.use(form_of_this_run())
        variables = task_vars or {}
        module = self._module()
        spec: Spec = module.SPEC
        # Plain, because Ansible's own kinds of text would show up in messages.
        arguments: dict[str, Any] = plain({**self._task.args, **self._from_host_vars(spec, variables)})
        masker = Masker(secrets_in(spec.arguments, arguments))
        if not self._runs_here():
            return self._ordinary(spec, arguments, variables, masker)
        params, problem = self._validated(spec, arguments, masker)
        if problem:
            return {"failed": True, "changed": False, "msg": problem}
        task = InProcessTask(params, self._task, str(variables.get("inventory_hostname", "")), masker)
        result: dict[str, Any] = _commands.as_run(execute(module.run, task, masker))
        if task.warnings:
            result["warnings"] = [*result.get("warnings", []), *task.warnings]
        if "exception" in result and display.verbosity < 3:
            del result["exception"]
        return result

    def _module(self) -> ModuleType:
        name = str(self._task.resolved_action or self._task.action).rpartition(".")[2]
        if not _NAME.match(name):
            raise AnsibleActionFail(f"{name} is not the name of a module")
        return importlib.import_module(f"{MODULES}.{name}")

    def _runs_here(self) -> bool:
        if self._task.async_val:
            return False
        if any(self._task.environment or ()):
            # An action cannot see the task's environment, and options may be read from it.
            return False
        return str(self._connection.transport) == "local" and self._connection.become is None

    def _from_host_vars(self, spec: Spec, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The options that neither the task nor ``module_defaults`` sets and a host variable does."""
        found: dict[str, Any] = {}
        for option, variable in spec.from_host_vars.items():
            if option not in spec.arguments or self._task.args.get(option) is not None:
                continue
            if variable not in variables:
                continue
            try:
                value = self._templar.template(variables[variable])
            except AnsibleError as error:
                raise AnsibleActionFail(f"use the variable {variable}: {error.message}") from None
            if isinstance(value, (bool, int, float)) or (isinstance(value, str) and value):
                found[option] = plain(value)
        return found

    def _validated(self, spec: Spec, arguments: dict[str, Any], masker: Masker) -> tuple[dict[str, Any], str]:
        """The options with defaults, and what is wrong with them in the words that a module uses."""
        validator = ArgumentSpecValidator(spec.argument_spec(), **spec.rules())
        outcome = validator.validate(arguments)
        for value in secrets_in(spec.arguments, outcome.validated_parameters):
            masker.add(value)
            if register_secret is not None:
                register_secret(str(value))
        if outcome.error_messages:
            text = outcome.errors.msg
            if isinstance(outcome.errors[0], UnsupportedError):
                text = f"Unsupported parameters for ({self._task.action}) module: {text}"
            return {}, masker.text(text)
        return plain(outcome.validated_parameters), ""

    def _ordinary(
        self, spec: Spec, arguments: dict[str, Any], variables: dict[str, Any], masker: Masker
    ) -> dict[str, Any]:
        reveals = bool(spec.reveals and arguments.get(spec.reveals))
        if reveals and (self._task.async_val or str(self._connection.transport) != "local"):
            raise AnsibleActionFail(
                f"{spec.reveals}: a secret is returned only to the controller's own process, which async and a "
                "connection that is not local rule out"
            )
        result: dict[str, Any] = self._execute_module(
            module_args=arguments, task_vars=variables, wrap_async=self._task.async_val
        )
        # Ansible masks the values of secret options in it, but not keys and not what only resembles them.
        result.pop("invocation", None)
        if result.pop(CENSORED_BY_MODULE, False):
            return {**result, CENSORED: True}
        cleaned: dict[str, Any] = _commands.as_run(masker.scrub(result))
        return cleaned


class InProcessTask:
    """A task that runs in the controller: it can show progress."""

    def __init__(self, params: dict[str, Any], task: Any, host: str, masker: Masker) -> None:
        self.params = params
        self.check_mode = bool(task.check_mode)
        self.diff_mode = bool(task.diff)
        self.warnings: list[str] = []
        self._host = host
        self._masker = masker
        self._silent = bool(task.no_log)
        self._started = time.monotonic()
        self._last = ""

    def progress(self, line: str) -> None:
        """Show a line once the task has run for three seconds, on stderr: stdout into a pipe would be held back."""
        elapsed = time.monotonic() - self._started
        if self._silent or elapsed < QUIET_SECONDS or line == self._last:
            return
        self._last = line
        text = self._masker.text(line)
        display.display(f"  … [{self._host}] {elapsed:5.1f} s  {text}", color=C.COLOR_DEBUG, stderr=True)

    def warn(self, text: str) -> None:
        cleaned = self._masker.text(text)
        if cleaned not in self.warnings:
            self.warnings.append(cleaned)

    def secret(self, value: str) -> str:
        self._masker.add(value)
        if register_secret is not None and value:
            register_secret(value)
        return value

    def scrub(self, value: Any) -> Any:
        return self._masker.scrub(value)
