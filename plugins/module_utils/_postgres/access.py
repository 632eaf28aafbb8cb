# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a task's ``connection`` option to an address: what the PostgreSQL modules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._connection import resolve
from .._coolify.client import client_for as coolify_for
from .._coolify.environment import row_value
from .._neon.client import NeonClient
from .._neon.client import client_for as neon_for
from .._options import COOLIFY, NEON, STATE, connection_option
from .._task import Spec, Task
from .session import Address, Limits

TIMEOUTS: dict[str, dict[str, Any]] = {
    "connect_timeout": {"type": "float", "default": Limits.connect},
    "connect_deadline": {"type": "float", "default": Limits.ready},
    "statement_timeout": {"type": "float", "default": Limits.statement},
    "lock_timeout": {"type": "float", "default": Limits.lock},
}


def access_spec(*, required: bool = True, names: Sequence[str] = ("connection",)) -> Spec:
    """The options of a module that connects (documentation fragments neon, coolify, state, connection, postgres).

    :param names: of the options that say where; more than one where a module reads several branches.
    """
    places = {name: connection_option(required=required) for name in names}
    return NEON.merge(COOLIFY, STATE, Spec(arguments={**TIMEOUTS, **places}))


def limits(task: Task) -> Limits:
    """The timeouts that a task sets."""
    params = task.params
    return Limits(
        params["connect_timeout"], params["connect_deadline"], params["statement_timeout"], params["lock_timeout"]
    )


class Access:
    """Resolves a connection option of one task, as often and in as many ways as it is asked for.

    :param neon: a client that is there already.
    :param row_value: what reads the base string, where that is read once for many connections.
    :param name: of the option, where a module has several.
    """

    def __init__(
        self,
        task: Task,
        neon: NeonClient | None = None,
        row_value: Callable[[str, str, bool], str] | None = None,
        *,
        name: str = "connection",
    ) -> None:
        self._task = task
        self._neon = neon
        self._read = row_value
        self.option: Mapping[str, Any] = task.params[name]

    @property
    def is_past(self) -> bool:
        """Whether the connection reads the past: then it is read only and has no pooled form."""
        return self.option.get("at") is not None or self.option.get("lsn") is not None

    def address(self, *, pooled: bool | None = None) -> Address | str:
        """Where to connect, or the reason why there is nothing to connect to yet.

        :param pooled: None: as the option says, and directly where it says nothing: checks and manifests use the direct
            host even where the application's string is pooled (rules, number 20).
        """
        said = self.option.get("pooled")
        wanted = pooled if pooled is not None else bool(said)
        found = resolve({**self.option, "pooled": wanted}, self._client(), self._row_value(), task=self._task)
        if found.predicted:
            return found.skipped_reason or "the branch does not exist yet"
        return Address.of(found.value)

    def _client(self) -> NeonClient:
        self._neon = self._neon or neon_for(self._task)
        return self._neon

    def _row_value(self) -> Callable[[str, str, bool], str] | None:
        if not self.option.get("application"):
            return None
        return self._read or row_value(coolify_for(self._task))
