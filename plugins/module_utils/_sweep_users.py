# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who points to the computes of a branch that is about to be deleted, in every Coolify that may know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._coolify.client import CoolifyClient, api_url, client_for
from ._coolify.consumers import Survey, consumers, survey, unknown_references
from ._coolify.values import HostSet
from ._http import Api
from ._plan.cleanup_rules import unreadable
from ._task import Task
from ._waiter import Deadline

Json = dict[str, Any]

# Reading every env row of Coolify takes many requests.
SURVEY_SECONDS = 60.0


class Users:
    """The env rows of the task's own Coolify and of its option ``other_coolifies``, read anew when they are old.

    :ivar unreadable: what could not be read and may point anywhere, in words.
    """

    def __init__(self, task: Task) -> None:
        self.unreadable: list[str] = []
        self._task = task
        self._surveys: list[Survey] = []
        self._age: Deadline | None = None

    def of(self, hosts: HostSet) -> list[Json]:
        """The rows that hold one of these hosts.

        :raises RewindError: where one of them does not answer.
        """
        self._read()
        return [row for found in self._surveys for row in consumers(found, hosts, lambda _value: "")]

    def _read(self) -> None:
        if self._age is not None and not self._age.passed:
            return
        accepted = set(self._task.params.get("accept_unreadable") or ())
        surveys, hidden = [], []
        for client in self._clients():
            found = survey(client, self._task.progress)
            surveys.append(found)
            hidden += found.unreadable + unknown_references(found, lists_shared=client.version.lists_shared)
        self._surveys, self.unreadable = surveys, unreadable(hidden, accepted)
        self._age = Deadline(SURVEY_SECONDS)

    def _clients(self) -> Iterator[CoolifyClient]:
        yield client_for(self._task)
        own = self._task.params
        for other in own.get("other_coolifies") or ():
            given = {name: other.get(name) or own.get(name) for name in ("coolify_api_url", "coolify_access_token")}
            yield CoolifyClient(
                Api.of(
                    self._task,
                    "coolify",
                    base_url=api_url(given["coolify_api_url"]),
                    token=given["coolify_access_token"],
                    deadline=Deadline(own.get("wait_timeout") or 300.0),
                )
            )
