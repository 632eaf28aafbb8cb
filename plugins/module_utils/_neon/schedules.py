# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schedule by which Neon makes snapshots of a root branch: read, replaced as a whole, and read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._errors import ApiError, UnknownOutcome
from .._predicted import is_predicted
from .operations import Waiter

Json = dict[str, Any]

FREQUENCIES = ("daily", "weekly", "monthly")
# How Neon answers where the plan has no schedules (412), and of a branch that can have none, being no root (422).
_HAS_NONE = frozenset({412, 422})
_FIELDS = ("frequency", "hour", "day", "month", "retention_seconds")


def apply(work: Waiter) -> Json:
    """The verb of `neon_snapshot_schedule`: as wanted, or as it is where nothing is wanted."""
    branch_id, wanted = work.task.params["branch_id"], work.task.params["schedule"]
    if is_predicted(branch_id):
        return _result(bool(wanted), [], _plain(wanted or []))
    try:
        before = _plain(work.client.snapshot_schedule(work.project_id, branch_id))
    except ApiError as error:
        if wanted is not None or error.http_status not in _HAS_NONE:
            raise
        return {**_result(False, [], []), "available": False}
    after = before if wanted is None else _plain(wanted)
    changed = any(not _covers(old, new) for old, new in zip(before, after, strict=False)) or len(before) != len(after)
    if not changed or work.task.check_mode:
        return _result(changed, before, after)
    try:
        work.finish(work.client.set_snapshot_schedule(work.project_id, branch_id, after))
    except UnknownOutcome:
        if work.read_back(lambda: _if_set(work, branch_id, after)) is None:
            raise
    return _result(True, before, _plain(work.client.snapshot_schedule(work.project_id, branch_id)))


def _plain(schedule: Iterable[Mapping[str, Any]]) -> list[Json]:
    return [{name: item[name] for name in _FIELDS if item.get(name) is not None} for item in schedule]


def _covers(existing: Json, wanted: Json) -> bool:
    """Neon shows its defaults for what was not said."""
    return all(existing.get(name) == value for name, value in wanted.items())


def _if_set(work: Waiter, branch_id: str, wanted: list[Json]) -> Json | None:
    now = _plain(work.client.snapshot_schedule(work.project_id, branch_id))
    same = len(now) == len(wanted) and all(_covers(old, new) for old, new in zip(now, wanted, strict=True))
    return {"schedule": now} if same else None


def _result(changed: bool, before: list[Json], after: list[Json]) -> Json:
    return {"changed": changed, "schedule": after, "available": True, "diff": {"before": before, "after": after}}
