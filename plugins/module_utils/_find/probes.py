# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probe branches on Neon: one at a time, with a compute, for as long as one check takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._errors import ApiError, NotFound, UnknownOutcome
from .._neon.client import NeonClient
from .._neon.operations import Waiter
from .._task import Task
from .._time import branch_name, rfc3339, utc_now
from .._waiter import Deadline, backoff
from .bisect import Ask

# The backstop where nobody is left to delete a probe: long beyond what one takes, short for what it costs.
EXPIRES_AFTER = timedelta(hours=1)
# Neon's clock may be a little behind the controller's, for which "now" is then in the future.
_SKEW_SECONDS = 15.0
_NOT_HELD = re.compile(r"before (?:the branch was created|retention window|the history)|history retention", re.I)


class NotHeld(ApiError):
    """Neon holds no such instant of this branch: before its first one, or before the window, which slides."""


@dataclass(frozen=True)
class Probe:
    """A probe branch that exists now."""

    name: str
    branch_id: str


class Probes:
    """Makes and removes probe branches. The caller sees to it that the one is gone before the next is made.

    :param notes: what is kept on each branch as its annotation: whose it is, and for which run.
    """

    def __init__(self, task: Task, client: NeonClient, notes: Mapping[str, str], suffix: str) -> None:
        self._task = task
        self._client = client
        self._notes = dict(notes)
        self._suffix = suffix
        self._project = str(task.params["project_id"])

    def name(self, ask: Ask, number: int) -> str:
        """What the branch of the n-th probe is called: no two are called the same, however close their instants."""
        return f"{branch_name('probe', ask.at)}-{self._suffix}-{number}"

    def make(self, ask: Ask, name: str) -> Probe:
        """Make the branch and wait until its compute runs.

        :raises NotHeld: where Neon does not hold this instant.
        """
        work = self._work()
        try:
            reply = self._create(ask, name)
        except UnknownOutcome as error:
            found = work.read_back(lambda: self.find(name))
            if found is None:
                error.retryable = True
                raise
            work.settle(found["id"])
            return Probe(name, str(found["id"]))
        except ApiError as error:
            # How Neon words it that a branch did not exist yet is not known; only its first instant can be meant then.
            if error.http_status == 400 and (ask.why == "start" or _NOT_HELD.search(error.msg)):
                told = error.text.partition(": ")[2].partition(";")[0]
                raise NotHeld(f"Neon does not hold this instant of the branch ({told})", http_status=400) from None
            raise
        branch_id = str(reply["branch"]["id"])
        work.finish(reply)
        work.ready(branch_id)
        return Probe(name, branch_id)

    def _create(self, ask: Ask, name: str) -> dict[str, Any]:
        patience = Deadline(_SKEW_SECONDS)
        for pause in backoff(first=0.5, cap=4.0):
            try:
                return self._client.create_branch(self._project, self._body(ask, name))
            except ApiError as error:
                is_future = error.http_status == 400 and "in the future" in error.msg
                if not is_future or patience.left() <= pause:
                    raise
            patience.sleep(pause)
        raise AssertionError("unreachable: the pauses never end")

    def find(self, name: str) -> dict[str, Any] | None:
        """The branch of this name."""
        branches, _annotations = self._client.branches(self._project, search=name)
        return next((item for item in branches if item.get("name") == name), None)

    def remove(self, branch_id: str) -> None:
        """Delete a probe branch and wait until its compute is gone."""
        work = self._work()
        try:
            work.finish(self._client.delete_branch(self._project, branch_id))
        except UnknownOutcome:
            if work.read_back(lambda: self._gone(branch_id)) is None:
                raise
            work.settle(branch_id)

    def _body(self, ask: Ask, name: str) -> dict[str, Any]:
        branch = {
            "name": name,
            "parent_id": ask.segment.branch_id,
            "parent_timestamp": rfc3339(ask.at),
            "expires_at": rfc3339((self._now() + EXPIRES_AFTER).replace(microsecond=0)),
        }
        return {"branch": branch, "endpoints": [{"type": "read_write"}], "annotation_value": self._notes}

    def _now(self) -> datetime:
        """Neon's clock decides when a branch expires."""
        if self._client.now is None:
            self._client.project(self._project)
        return self._client.now or utc_now()

    def _gone(self, branch_id: str) -> dict[str, Any] | None:
        try:
            self._client.branch(self._project, branch_id)
        except NotFound:
            return {"gone": True}
        return None

    def _work(self) -> Waiter:
        """A waiter with a deadline for one probe; the search as a whole has none."""
        deadline = Deadline(self._task.params["wait_timeout"])
        self._client.api.deadline = deadline
        interval = self._task.params["poll_interval"]
        return Waiter(self._client, self._project, self._task, deadline=deadline, interval=interval)
