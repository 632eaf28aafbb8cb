# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations: the work that goes on after an answer, one chain at a time per project.

An operation is ``scheduling``, then ``running`` for at least as long as its action takes, then ``finished``. Every
effect may be run twice: what a kill interrupted is simply driven again at the next start. An effect does its work
while the time passes; what others may see of it only at the end it returns as a function. A background chain (a
detach) locks nothing: while it runs, other requests are let through.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.neon.errors import ComputeUnavailable, locked, not_found
from sandbox.neon.state import Project, Record
from sandbox.neon.times import rfc3339
from sandbox.neon.views import operation_view

if TYPE_CHECKING:
    from sandbox.neon.calls import Answer, Call
    from sandbox.neon.service import NeonService

logger = logging.getLogger("sandbox.neon")

Commit = Callable[[], None]
Effect = Callable[[Project, Record], Awaitable[Commit | None]]
UNFINISHED = ("scheduling", "running")
ATTEMPTS = 3
RETRY_SECONDS = 0.5
KEPT = 5000


@dataclass(frozen=True)
class Step:
    """One operation to be: what the API calls it, what it is about, and the effect with its arguments."""

    action: str
    effect: str = "pass_time"
    branch_id: str | None = None
    endpoint_id: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    least_seconds: float = 0.0


def _nothing() -> None:
    """What most effects have left to do at the end."""


class Operations:
    """Schedules, drives and shows operations."""

    def __init__(self, service: NeonService) -> None:
        self.service = service
        self.effects: dict[str, Effect] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._chains: dict[str, asyncio.Task[Any]] = {}

    def busy(self, project: Project) -> bool:
        """Whether operations run that keep others from being scheduled."""
        return any(op["status"] in UNFINISHED and not op["background"] for op in project.operations.values())

    def check_free(self, project: Project) -> None:
        """Raises `NeonError` 423 while operations of the project run."""
        if self.busy(project):
            raise locked()

    def schedule(self, project: Project, steps: Sequence[Step], *, background: bool = False) -> list[Record]:
        """Keeps and starts a chain of operations; returns their records. The caller has checked that it may."""
        if not steps:
            return []
        stamp = rfc3339(self.service.clock.now())
        made: list[Record] = []
        for step in steps:
            operation: Record = {
                "id": self.service.ids.operation(),
                "action": step.action,
                "effect": step.effect,
                "arguments": step.arguments,
                "least_seconds": step.least_seconds,
                "branch_id": step.branch_id,
                "endpoint_id": step.endpoint_id,
                "status": "scheduling",
                "error": None,
                "failures_count": 0,
                "retry_at": None,
                "background": background,
                "chain": "",
                "created_at": stamp,
                "updated_at": stamp,
                "started_at": None,
            }
            operation["chain"] = made[0]["id"] if made else operation["id"]
            project.operations[operation["id"]] = operation
            made.append(operation)
        self._forget_old(project)
        self.service.state.save()
        self._drive(project, made)
        return made

    def _forget_old(self, project: Project) -> None:
        done = [op["id"] for op in project.operations.values() if op["status"] not in UNFINISHED]
        for operation_id in done[: max(0, len(project.operations) - KEPT)]:
            del project.operations[operation_id]

    def resume(self) -> int:
        """Drives on what an earlier run left unfinished; returns how many operations that were."""
        count = 0
        for project in self.service.state.projects():
            chains: dict[str, list[Record]] = {}
            for operation in project.operations.values():
                if operation["status"] in UNFINISHED:
                    chains.setdefault(operation["chain"], []).append(operation)
            for chain in chains.values():
                count += len(chain)
                self._drive(project, chain)
        return count

    def _drive(self, project: Project, chain: list[Record]) -> None:
        key = chain[0]["chain"]
        task = self.service.world.spawn(self._run(project, chain), name=f"neon operations {key}")
        self._chains[key] = task
        task.add_done_callback(lambda _: self._chains.pop(key, None))

    async def settled(self, project: Project, *, background: bool = False) -> None:
        """Returns once no chain of the project runs (with `background`: none of those either)."""
        while waited := [
            self._chains[op["chain"]]
            for op in project.operations.values()
            if op["status"] in UNFINISHED and op["chain"] in self._chains and (background or not op["background"])
        ]:
            await asyncio.wait(waited)

    async def _run(self, project: Project, chain: list[Record]) -> None:
        if chain[0]["background"]:
            await self._run_steps(project, chain)
            return
        async with self._locks[project.id]:
            await self._run_steps(project, chain)

    async def _run_steps(self, project: Project, chain: list[Record]) -> None:
        for number, operation in enumerate(chain):
            if await self._run_one(project, operation):
                continue
            for rest in chain[number + 1 :]:
                self._give_up(project, rest)
            return

    def _give_up(self, project: Project, operation: Record) -> None:
        endpoint = project.endpoints.get(operation["endpoint_id"] or "")
        if endpoint is not None:
            endpoint["pending_state"] = None
            endpoint["current_state"] = "idle" if endpoint["current_state"] == "init" else endpoint["current_state"]
        self._mark(operation, "cancelled")

    async def _run_one(self, project: Project, operation: Record) -> bool:
        if operation["started_at"] is None:
            operation["started_at"] = rfc3339(self.service.clock.now())
        # Not saved: after a kill it makes no difference whether it was running or about to.
        operation["status"], operation["updated_at"] = "running", rfc3339(self.service.clock.now())
        settings = self.service.settings
        seconds = settings.operation_seconds.get(operation["action"], settings.default_operation_seconds)
        patience = asyncio.ensure_future(self.service.clock.sleep(max(seconds, operation["least_seconds"])))
        try:
            commit = await self._attempt(project, operation)
            await patience
            if commit is not None:
                commit()
        except Exception as error:
            # Whatever it was: an operation that never ends would lock the project for good.
            logger.exception("operation %s of %s failed at its end", operation["action"], project.id)
            commit, operation["error"] = None, str(error)
        finally:
            patience.cancel()
        self._mark(operation, "failed" if commit is None else "finished")
        return commit is not None

    async def _attempt(self, project: Project, operation: Record) -> Commit | None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                commit = await self.effects[operation["effect"]](project, operation)
            except Exception as error:
                operation["failures_count"] += 1
                operation["error"] = str(error) or type(error).__name__
                hopeless = isinstance(error, ComputeUnavailable) or attempt == ATTEMPTS
                if hopeless:
                    logger.error("operation %s of %s failed: %s", operation["action"], project.id, error)
                    return None
                operation["retry_at"] = rfc3339(self.service.clock.now())
                logger.warning("operation %s of %s will be retried: %s", operation["action"], project.id, error)
                await self.service.clock.sleep(RETRY_SECONDS)
            else:
                operation["error"] = None
                return commit or _nothing
        return None

    def _mark(self, operation: Record, status: str) -> None:
        operation["status"] = status
        operation["updated_at"] = rfc3339(self.service.clock.now())
        self.service.state.save()

    # Handlers

    async def page(self, call: Call) -> Answer:
        """GET /projects/{p}/operations, newest first, by cursor."""
        newest_first = list(reversed(call.project.operations.values()))
        cursor = call.query("cursor")
        if cursor is not None:
            ids = [operation["id"] for operation in newest_first]
            newest_first = newest_first[ids.index(cursor) + 1 :] if cursor in ids else []
        page = newest_first[: call.limit(1000)]
        following = page[-1]["id"] if page else cursor or ""
        shown = [operation_view(call.project, operation) for operation in page]
        return 200, {"operations": shown, "pagination": {"cursor": following}}

    async def get(self, call: Call) -> Answer:
        """GET /projects/{p}/operations/{operation}."""
        operation = call.project.operations.get(call.path("operation_id"))
        if operation is None:
            raise not_found("operation")
        return 200, {"operation": operation_view(call.project, operation)}
