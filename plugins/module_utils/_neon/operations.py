# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for what Neon does in the background: operations, and the branch being ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._errors import ApiError, NotFound, OperationFailed, Timeout
from .._task import Task
from .._waiter import Deadline, backoff
from .client import ACTIVE, NeonClient, client_for

Json = dict[str, Any]

SUCCEEDED = frozenset({"finished", "skipped"})
FAILED = frozenset({"failed", "error", "cancelled"})
# Neon's own tests repeat a GET that answers 404 right after a creation.
LAG_SECONDS = 15.0
READ_BACK_SECONDS = 15.0


def outline(operation: Json) -> Json:
    """An operation as results show it."""
    wanted = ("id", "action", "status", "branch_id", "endpoint_id", "error", "total_duration_ms")
    return {name: operation.get(name) for name in wanted}


class Waiter:
    """Waits within one deadline and remembers every operation it has seen.

    :param interval: the longest pause between two looks, in seconds; the first pauses are shorter.
    """

    def __init__(
        self, client: NeonClient, project_id: str, task: Task, *, deadline: Deadline, interval: float, wait: bool = True
    ) -> None:
        self.client = client
        self.project_id = project_id
        self.task = task
        self.deadline = deadline
        self.interval = interval
        self.wait = wait
        # What is known of the object so far, for an error that ends the wait.
        self.known: Json = {}
        self._seen: dict[str, Json] = {}

    @classmethod
    def of(cls, task: Task) -> Waiter:
        """The waiter of a task with the options of the documentation fragments ``neon`` and ``wait``."""
        deadline = Deadline(task.params["wait_timeout"])
        return cls(
            client_for(task, deadline),
            task.params["project_id"],
            task,
            deadline=deadline,
            interval=task.params["poll_interval"],
            wait=task.params["wait"],
        )

    def operations(self) -> list[Json]:
        """All operations seen so far, with their last known status."""
        return [outline(operation) for operation in self._seen.values()]

    def pauses(self) -> Iterable[float]:
        """Yield the pause after each look, short ones first."""
        return backoff(first=min(0.1, self.interval), factor=1.5, cap=self.interval)

    def note(self, reply: Json) -> list[Json]:
        """Remember the operations of an answer, and return them."""
        operations: list[Json] = reply.get("operations") or []
        for operation in operations:
            self._seen[operation["id"]] = operation
        return operations

    def finish(self, reply: Json, *, ignore: frozenset[str] = frozenset()) -> None:
        """Wait until the operations of an answer have succeeded.

        :param ignore: actions that nobody needs to wait for.
        :raises OperationFailed: with Neon's text; Timeout: with the operations as they are.
        """
        for operation in self.note(reply):
            if self.wait and operation.get("action") not in ignore:
                self._finish(operation)

    def settle(self, branch_id: str) -> None:
        """Wait for whatever still runs for a branch: where the answer with the operations was lost."""
        if self.wait:
            running = self.client.running_operations(self.project_id)
            self.finish({"operations": [item for item in running if item.get("branch_id") == branch_id]})

    def _finish(self, operation: Json) -> None:
        subject = f"{operation.get('action')} {operation['id']}"
        lag = Deadline(LAG_SECONDS)
        for pause in self.pauses():
            status = str(operation.get("status"))
            if status in SUCCEEDED:
                return
            if status in FAILED and not (status == "failed" and operation.get("retry_at")):
                raise self._failed(operation, subject)
            if self.deadline.passed:
                raise self.timeout(f"wait for operation {subject}: it is still {status}")
            self.task.progress(f"{operation.get('action')}: {status}")
            self.deadline.sleep(pause)
            operation = self._look(operation, lag)
            self._seen[operation["id"]] = operation

    def _look(self, operation: Json, lag: Deadline) -> Json:
        try:
            return self.client.operation(self.project_id, operation["id"])
        except NotFound:
            if lag.passed:
                raise
        except ApiError as error:
            self._tolerate(error)
        return operation

    def _tolerate(self, error: ApiError) -> None:
        """Go on waiting while Neon does not answer; raise what will not pass, or came after the deadline."""
        if not error.retryable or self.deadline.passed:
            error.partial = error.partial or {**self.known, "operations": self.operations()}
            raise error
        self.task.progress(f"{error.text}; waiting on")

    def _failed(self, operation: Json, subject: str) -> OperationFailed:
        # A status that ends nothing keeps its text in `error`; Neon leaves it out for a cancelled one.
        reason = operation.get("error") or f"it is {operation.get('status')}"
        return OperationFailed(
            f"wait for operation {subject}: {reason}",
            code=f"operation_{operation.get('status')}",
            hint="Look at the operation in Neon's console; the change may be done in part.",
            partial={**self.known, "operations": self.operations()},
        )

    def until(self, what: str, look: Callable[[], Json], done: Callable[[Json], bool], state: str) -> Json:
        """Look until something is as wanted; what was just created may answer 404 for a moment.

        :param state: the field that is shown while waiting.
        """
        known: Json = {}
        lag = Deadline(LAG_SECONDS)
        for pause in self.pauses():
            try:
                known = look()
            except NotFound:
                if lag.passed or self.deadline.passed:
                    raise
            except ApiError as error:
                self._tolerate(error)
            if known and (done(known) or not self.wait):
                return known
            if self.deadline.passed:
                raise self.timeout(f"wait for {what}: it is still {known.get(state, 'unknown')}")
            self.task.progress(f"{what}: {known.get(state, 'unknown')}")
            self.deadline.sleep(pause)
        return known

    def read_back(self, look: Callable[[], Json | None]) -> Json | None:
        """After a write whose answer was lost: look for its effect for a while; None where there is none.

        The request may still be on its way when its answer is given up, so one look is not enough.
        """
        patience = Deadline(min(READ_BACK_SECONDS, self.deadline.left()))
        for pause in self.pauses():
            try:
                found = look()
            except ApiError as error:
                # Not to see is not to see that there is nothing.
                self._tolerate(error)
            else:
                if found is not None or patience.passed:
                    return found
            self.task.progress("the answer to a write was lost: reading back")
            (self.deadline if patience.passed else patience).sleep(pause)
        return None

    def until_gone(self, what: str, look: Callable[[], Json | None]) -> None:
        """After a deletion that was accepted: wait until the object is no longer there.

        :param look: None while it is there.
        """
        for pause in self.pauses() if self.wait else ():
            try:
                if look() is not None:
                    return
            except ApiError as error:
                self._tolerate(error)
            if self.deadline.passed:
                raise self.timeout(f"delete {what}: Neon accepted it, but it is still there")
            self.task.progress(f"{what}: still there")
            self.deadline.sleep(pause)

    def ready(self, branch_id: str) -> Json:
        """Wait until the branch can be used: its operations alone do not say so (vm0-ai/vm0#5866)."""
        return self.until(
            f"branch {branch_id}",
            lambda: self.client.branch(self.project_id, branch_id),
            lambda branch: branch.get("current_state") in ("ready", "archived"),
            "current_state",
        )

    def timeout(self, text: str) -> Timeout:
        return Timeout(
            f"{text} after {self.deadline.elapsed():.0f} s",
            retryable=True,
            hint="Run the task again: it continues where it is. Or raise wait_timeout.",
            partial={**self.known, "operations": self.operations()},
        )


def active(operation: Json) -> bool:
    """Whether an operation has neither succeeded nor failed."""
    return operation.get("status") in ACTIVE
