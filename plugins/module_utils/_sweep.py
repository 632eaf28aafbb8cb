# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deleting a list of branches: each is read again right before, and one that is no longer what was judged stays.

Two requests a branch: one that reads it, one that deletes it. What can be asked for all of them at once (computes,
the outcome of operations, what is left at the end) is asked for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ._coolify.values import HostSet
from ._errors import ApiError, Locked, NotFound, RewindError, Unauthorized, UnknownOutcome
from ._neon.causes import HAS_CHILDREN, NOT_READY
from ._neon.operations import FAILED, SUCCEEDED, Waiter, outline
from ._neon.pace import Pace
from ._neon.tree import BranchTree
from ._records import add
from ._state import Guard, state_dir
from ._sweep_snapshots import SnapshotItem, shown, sweep_snapshots
from ._sweep_users import Users
from ._task import Task
from ._waiter import Deadline

Json = dict[str, Any]

# A compute that was added since has an address that somebody may use: the list of computes is never older than this.
FRESH_SECONDS = 5.0
# Neon keeps operations for months, but lists 1000 at once.
_BATCH = 100
# Refusals that say something about this one branch; the others can still go.
_ITS_OWN = frozenset({HAS_CHILDREN, NOT_READY, "branch_protected", "expiry_not_allowed"})


@dataclass(frozen=True)
class Item:
    """One branch as it was when it was judged."""

    id: str
    name: str
    endpoint_ids: frozenset[str]
    last_reset_at: str | None
    waits_for: tuple[str, ...]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Item:
        ids = frozenset(map(str, given.get("endpoint_ids") or ()))
        waits = tuple(map(str, given.get("waits_for") or ()))
        return cls(str(given["id"]), str(given["name"]), ids, given.get("last_reset_at") or None, waits)


class _Stays(Exception):
    """Why a branch is not deleted after all."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Sweep:
    """The deletion of a list of branches.

    :param note: called with each branch right after Neon has accepted its deletion.
    """

    def __init__(self, work: Waiter, note: Callable[[Item], None]) -> None:
        self.work = work
        self.task: Task = work.task
        self.deleted: list[Item] = []
        self.kept: list[Json] = []
        self._note = note
        self._pace = Pace()
        self._pending: dict[str, Json] = {}
        self._failed: list[Json] = []
        self._computes: dict[str, set[str]] = {}
        self._running: set[str] = set()
        self._hosts: dict[str, str] = {}
        self._computes_age: Deadline | None = None
        self._users = Users(work.task)

    def run(self, items: list[Item]) -> None:
        """Delete them in their order.

        :raises RewindError: for what concerns all of them; ``partial`` says how far it has come.
        """
        try:
            for number, item in enumerate(items, start=1):
                self.work.deadline = self.work.client.api.deadline = Deadline(self.task.params["wait_timeout"])
                self._one(item)
                if number % 25 == 0:
                    self.task.progress(f"deleted {len(self.deleted)} of {len(items)} branches")
                if len(self._pending) >= _BATCH:
                    self._look_at_operations()
            self._finish()
        except RewindError as error:
            error.partial = self.result()
            raise

    def predict(self, items: list[Item]) -> None:
        """What would be deleted, from one reading of everything."""
        tree = BranchTree.read(self.work.client, self.work.project_id)
        self._take_computes(tree.endpoints)
        for item in items:
            try:
                branch = tree.by_id(item.id)
                if branch is None:
                    raise _Stays("gone", "it has gone already")
                self._compare(item, branch)
                self._check_users(item)
            except _Stays as stays:
                self._skip(item, stays)
            else:
                self.deleted.append(item)

    def result(self) -> Json:
        """What was done so far, in the shape of the module's result."""
        deleted = [{"id": item.id, "name": item.name} for item in self.deleted]
        return {
            "changed": bool(deleted),
            "deleted": deleted,
            "kept": self.kept,
            "operations": [outline(item) for item in self._failed],
        }

    # One branch

    def _one(self, item: Item) -> None:
        try:
            self._wait_for_children(item)
            while not self._try(item):
                if self.work.deadline.passed:
                    raise _Stays("locked", f"Neon was busy for {self.work.deadline.seconds:.0f} s")
        except _Stays as stays:
            self._skip(item, stays)

    def _skip(self, item: Item, stays: _Stays) -> None:
        self.kept.append({"id": item.id, "name": item.name, "code": stays.code, "reason": stays.reason})

    def _try(self, item: Item) -> bool:
        """Read it and delete it; false where Neon is busy with something else."""
        self._pace.wait(self.work.deadline)
        self._check_users(item)
        try:
            branch = self.work.client.branch(self.work.project_id, item.id)
        except NotFound:
            raise _Stays("gone", "it has gone already") from None
        self._compare(item, branch)
        try:
            reply = self.work.client.delete_branch_now(self.work.project_id, item.id)
        except Locked:
            self._pace.refused()
            return False
        except UnknownOutcome:
            self._read_back(item)
            return True
        except ApiError as error:
            if isinstance(error, Unauthorized) or error.code not in _ITS_OWN:
                raise
            if error.code == HAS_CHILDREN and item.waits_for and not self.work.deadline.passed:
                self._pace.refused()
                return False
            raise _Stays(error.code, error.text.partition(": ")[2] or error.text) from None
        self._pace.accepted()
        if not reply:
            raise _Stays("gone", "it has gone already")
        self._pending.update({operation["id"]: operation for operation in reply.get("operations") or ()})
        self._done(item)
        return True

    def _done(self, item: Item) -> None:
        self.deleted.append(item)
        self._note(item)

    def _read_back(self, item: Item) -> None:
        """After a deletion whose answer was lost (safety rule 6)."""

        def gone() -> Json | None:
            try:
                self.work.client.branch(self.work.project_id, item.id)
            except NotFound:
                return {"gone": True}
            return None

        if self.work.read_back(gone) is None:
            raise _Stays("unknown", "no answer came to its deletion, and it is still there; the next run tries again")
        self._done(item)

    def _wait_for_children(self, item: Item) -> None:
        """A child that is being detached becomes a root by itself: until then its parent cannot go."""
        for child_id in item.waits_for:
            for pause in self.work.pauses():
                try:
                    child = self.work.client.branch(self.work.project_id, child_id)
                except NotFound:
                    break
                if child.get("parent_id") != item.id:
                    break
                if self.work.deadline.passed or not self.work.wait:
                    raise _Stays("detaching", f"its child {child.get('name')} is still being detached")
                self.task.progress(f"delete branch {item.name}: {child.get('name')} is still being detached")
                self.work.deadline.sleep(pause)

    # What must not have changed

    def _compare(self, item: Item, branch: Json) -> None:
        if branch.get("default"):
            raise _Stays("default", "it is the default branch by now")
        if branch.get("protected"):
            raise _Stays("protected", "it is protected by now")
        if branch.get("name") != item.name:
            raise _Stays("renamed", f"it is called {branch.get('name')} by now")
        if (branch.get("last_reset_at") or None) != item.last_reset_at:
            raise _Stays("restored", "it was restored in place meanwhile")
        if branch.get("current_state") not in ("ready", "archived"):
            raise _Stays("not_ready", f"it is {branch.get('current_state')}")
        if branch.get("restore_status") == "detaching":
            raise _Stays("not_ready", "Neon is detaching it from its parent")

    def _check_users(self, item: Item) -> None:
        if self._computes_age is None or self._computes_age.passed:
            self._take_computes(self.work.client.endpoints(self.work.project_id))
        if self._computes.get(item.id, set()) - item.endpoint_ids:
            raise _Stays("compute_added", "it has got a compute meanwhile")
        if item.id in self._running:
            raise _Stays("compute_active", "a compute of it is running: somebody may be connected")
        if not self._computes.get(item.id):
            return
        try:
            found = self._users.of(HostSet([self._hosts[compute] for compute in self._computes[item.id]]))
        except RewindError as error:
            raise _Stays("unreadable", f"it has a compute, and who uses it cannot be read: {error.text}") from None
        if found:
            raise _Stays("in_use", f"{found[0]['kind']} {found[0]['name']} ({found[0]['key']}) points to it")
        if self._users.unreadable:
            raise _Stays("unreadable", f"what {self._users.unreadable[0]} points to cannot be read")

    def _take_computes(self, listed: list[Json]) -> None:
        self._computes = {}
        for compute in listed:
            self._computes.setdefault(str(compute.get("branch_id")), set()).add(str(compute["id"]))
            self._hosts[str(compute["id"])] = str(compute.get("host") or "")
        self._running = {str(item.get("branch_id")) for item in listed if item.get("current_state") == "active"}
        self._computes_age = Deadline(FRESH_SECONDS)

    # All of them

    def _look_at_operations(self) -> None:
        """Drop what has succeeded, keep what runs, remember what failed."""
        for operation in self.work.client.operations(self.work.project_id, limit=1000):
            if operation["id"] not in self._pending:
                continue
            self._pending[operation["id"]] = operation
            if operation.get("status") in SUCCEEDED:
                del self._pending[operation["id"]]
            elif operation.get("status") in FAILED and not operation.get("retry_at"):
                self._failed.append(self._pending.pop(operation["id"]))

    def _finish(self) -> None:
        """Wait for the last operations, and read once more that everything has gone."""
        if not self.deleted or not self.work.wait:
            return
        self.work.deadline = self.work.client.api.deadline = Deadline(self.task.params["wait_timeout"])
        if self._pending:
            self._look_at_operations()
        self.work.finish({"operations": list(self._pending.values())})
        listed, _annotations = self.work.client.branches(self.work.project_id)
        there = {branch["id"] for branch in listed}
        for item in [item for item in self.deleted if item.id in there]:
            self.deleted.remove(item)
            self._skip(item, _Stays("still_there", "Neon accepted its deletion, and it is still there"))


def sweep(task: Task) -> Json:
    """Delete the branches and snapshots of a task's options, as `neon_branch_cleanup` does.

    :raises RewindError: for what concerns all of them; ``partial`` says how far it has come.
    """
    params = task.params
    root, guard = state_dir(params["state_dir"]), Guard()

    def note(item: Item | SnapshotItem) -> None:
        subject = "branch_id" if isinstance(item, Item) else "snapshot_id"
        facts = {"event": "deleted", subject: item.id, "name": item.name}
        add(root, "catalogue", {**facts, "target": params["target"], "run": params["run"]}, guard=guard)

    waiter = Waiter.of(task)
    work = Sweep(waiter, note)
    items = [Item.of(given) for given in params["branches"]]
    if items:
        (work.predict if task.check_mode else work.run)(items)
    result = work.result()
    try:
        snapshots = sweep_snapshots(waiter, params["snapshots"], note)
    except RewindError as error:
        partial = error.partial or {}
        error.partial = {**result, **partial, "kept": result["kept"] + partial["kept"]}
        raise
    return _together(result, shown(snapshots.deleted), snapshots.kept)


def _together(result: Json, snapshots: list[Json], kept: list[Json]) -> Json:
    """Branches and snapshots in one result."""
    names = {
        "branches": [item["name"] for item in result["deleted"]],
        "snapshots": [item["name"] for item in snapshots],
    }
    whole = {
        **result,
        "changed": result["changed"] or bool(snapshots),
        "deleted_snapshots": snapshots,
        "kept": result["kept"] + kept,
        "diff": {"before": names, "after": {"branches": [], "snapshots": []}},
    }
    ids = {name: [item["id"] for item in whole[name]] for name in ("deleted", "deleted_snapshots")}
    return {**whole, "journalled": {**ids, "kept": whole["kept"]}}
