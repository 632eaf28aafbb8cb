# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deleting a list of snapshots, like `_sweep` does with branches: what is no longer what was judged stays.

Neon tells of one snapshot only in the list of all of them (API description), which is read before each deletion. There
are few: a plan allows 100 at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import ApiError, RewindError, Unauthorized, UnknownOutcome
from ._neon.operations import Waiter
from ._neon.snapshots import Shelf
from ._waiter import Deadline

Json = dict[str, Any]

# What Neon may answer about this one snapshot; the others can still go.
_ITS_OWN = frozenset({400, 409, 412, 422})


@dataclass(frozen=True)
class SnapshotItem:
    """One snapshot as it was when it was judged."""

    id: str
    name: str
    expires_at: str | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> SnapshotItem:
        return cls(str(given["id"]), str(given["name"]), given.get("expires_at") or None)


class SnapshotSweep:
    """The deletion of a list of snapshots.

    :param note: called with each snapshot right after Neon has accepted its deletion.
    """

    def __init__(self, work: Waiter, note: Callable[[SnapshotItem], None]) -> None:
        self.work = work
        self.deleted: list[SnapshotItem] = []
        self.kept: list[Json] = []
        self._note = note

    def run(self, items: list[SnapshotItem]) -> None:
        """Delete them in their order.

        :raises RewindError: for what concerns all of them.
        """
        for item in items:
            self.work.deadline = self.work.client.api.deadline = Deadline(self.work.task.params["wait_timeout"])
            if self._stays(item, Shelf.read(self.work.client, self.work.project_id)):
                continue
            self._delete(item)

    def predict(self, items: list[SnapshotItem]) -> None:
        """What would be deleted, from one reading of all of them."""
        shelf = Shelf.read(self.work.client, self.work.project_id) if items else Shelf([])
        self.deleted += [item for item in items if not self._stays(item, shelf)]

    def _stays(self, item: SnapshotItem, shelf: Shelf) -> bool:
        found = shelf.by_id(item.id)
        if found is None:
            return self._skip(item, "gone", "it has gone already")
        if found.get("name") != item.name:
            return self._skip(item, "renamed", f"it is called {found.get('name')} by now")
        if (found.get("expires_at") or None) != item.expires_at:
            return self._skip(item, "expiry_changed", "its expiry was changed meanwhile")
        return False

    def _skip(self, item: SnapshotItem, code: str, reason: str) -> bool:
        self.kept.append({"id": item.id, "name": item.name, "code": code, "reason": reason})
        return True

    def _delete(self, item: SnapshotItem) -> None:
        try:
            reply = self.work.client.delete_snapshot(self.work.project_id, item.id)
        except UnknownOutcome:
            if self.work.read_back(lambda: self._gone(item)) is None:
                self._skip(item, "unknown", "no answer came to its deletion, and it is still there")
                return
            reply = {"operations": []}
        except ApiError as error:
            if isinstance(error, Unauthorized) or error.http_status not in _ITS_OWN:
                raise
            self._skip(item, "refused", error.text.partition(": ")[2] or error.text)
            return
        if not reply:
            self._skip(item, "gone", "it has gone already")
            return
        self.deleted.append(item)
        self._note(item)
        self.work.finish(reply)

    def _gone(self, item: SnapshotItem) -> Json | None:
        """Safety rule 6: after an answer that was lost."""
        found = Shelf.read(self.work.client, self.work.project_id).by_id(item.id)
        return {"gone": True} if found is None else None


def sweep_snapshots(
    work: Waiter, given: list[Mapping[str, Any]], note: Callable[[SnapshotItem], None]
) -> SnapshotSweep:
    """Delete the snapshots of a task's option, or in check mode see which would go.

    :raises RewindError: for what concerns all of them; ``partial`` says how far it has come.
    """
    found, items = SnapshotSweep(work, note), [SnapshotItem.of(item) for item in given]
    try:
        if work.task.check_mode:
            found.predict(items)
        else:
            found.run(items)
    except RewindError as error:
        error.partial = {"deleted_snapshots": shown(found.deleted), "kept": found.kept}
        raise
    return found


def shown(items: list[SnapshotItem]) -> list[Json]:
    """As results show them."""
    return [{"id": item.id, "name": item.name} for item in items]
