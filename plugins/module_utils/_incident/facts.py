# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a restore says about it afterwards: when it cut over, and which interval exactly was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._errors import InvalidInput
from .._postgres.comparison import compare, rows_gone
from .._time import duration, parse_instant, rfc3339

# The steps of a repoint after which the application could no longer write to what was replaced: the first that is there
# counts; and whether it is the very moment.
_LAST_WRITE = (("fence_writes", True), ("deploy", False), ("env", False))


@dataclass(frozen=True)
class Restored:
    """A restore that was carried out.

    :param cutover: since when the application uses the restored data.
    :param point: the instant that was restored to; None for an LSN.
    :param last_write: until when the application could write what is lost now; `exact` where that was fenced.
    :param undone: its data is not in use any more, or is just being taken back.
    :param undone_at: since when the application uses the old data again; None while that is not certain.
    """

    run: str
    strategy: str
    cutover: datetime
    point: datetime | None
    point_text: str
    backup: str | None
    last_write: datetime
    exact: bool
    branch_id: str
    primary_name: str
    undone: bool
    sections: Sequence[Mapping[str, Any]] = ()
    not_restored: Sequence[str] = ()
    possible_until: str | None = None
    losses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    undone_at: datetime | None = None

    def interval(self) -> dict[str, Any]:
        """What was written in it is lost: from the restore point to the last moment at which it could be written."""
        if self.point is None:
            return {"from": None, "to": rfc3339(self.last_write), "seconds": None, "text": "unknown", "exact": False}
        seconds = max(0.0, (self.last_write - self.point).total_seconds())
        return {
            "from": rfc3339(self.point),
            "to": rfc3339(self.last_write),
            "seconds": seconds,
            "text": duration(seconds),
            "exact": self.exact,
        }

    def counts(self) -> list[dict[str, Any]]:
        """Per table that differed: the rows before, lost by the restore, brought back by it, and after it."""
        return [
            {
                "table": table,
                "before": item["rows_before"],
                "after": item["rows_after"],
                **rows_gone(item),
            }
            for table, item in self.losses.items()
            if item["status"] != "equal"
        ]


def read_restored(run: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Restored | None:
    """The restore as its journal and the catalogue say; None where it never cut over.

    :param run: as `run_journal` returns it.
    :param records: the catalogue.
    """
    steps = run.get("steps") or {}
    plan = _data(steps, "plan").get("plan") or {}
    point = plan.get("restore_point") or {}
    mine = [item for item in records if item.get("event") == "cutover" and item.get("run") == run.get("id")]
    recorded = next((item for item in mine if not item.get("undone")), {})
    cutover = _instant(recorded.get("at"))
    if not plan or cutover is None:
        return None
    verified = _data(steps, "verified")
    in_place = (plan.get("strategy") or {}).get("chosen") == "in_place"
    # A restore in place ends the writes by itself, at the instant that Neon says and the catalogue has.
    last_write, exact = (cutover, True) if in_place else _last_write(steps, cutover)
    branch = plan.get("primary") if in_place else verified.get("branch")
    return Restored(
        run=str(run["id"]),
        strategy=str((plan.get("strategy") or {}).get("chosen") or ""),
        cutover=cutover,
        point=_instant(point.get("utc")),
        point_text=str(point.get("utc") or (f"LSN {point['lsn']}" if point.get("lsn") else "unknown")),
        backup=point.get("backup"),
        last_write=last_write,
        exact=exact,
        branch_id=str(
            (branch or {}).get("branch_id") or (branch or {}).get("id") or recorded.get("to_branch_id") or ""
        ),
        primary_name=str((plan.get("primary") or {}).get("name") or "the old primary"),
        undone=run.get("status") == "undone" or any(item.get("undone") for item in mine),
        sections=run.get("sections") or (),
        not_restored=plan.get("not_restored") or (),
        possible_until=(plan.get("undo") or {}).get("possible_until"),
        losses=_losses(verified),
        undone_at=_undone_at(run, mine),
    )


def _undone_at(run: Mapping[str, Any], mine: Sequence[Mapping[str, Any]]) -> datetime | None:
    proven = [item for item in mine if item.get("undone") and item.get("proven")]
    ended = run.get("finished_at") if run.get("status") == "undone" else None
    # What was saved between the swap and the end of the undo is there.
    return _instant(proven[-1].get("at") if proven else ended) or _instant(ended)


def _data(steps: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return (steps.get(name) or {}).get("data") or {}


def _last_write(steps: Mapping[str, Any], cutover: datetime) -> tuple[datetime, bool]:
    for name, exact in _LAST_WRITE:
        step = steps.get(name) or {}
        moment = _instant(_data(steps, name).get("at") or step.get("at"))
        if moment is not None and step.get("phase") == "done":
            return moment, exact
    return cutover, False


def _losses(verified: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The difference that the restore made, table by table; empty where one side could not be read."""
    try:
        found = compare(verified.get("live") or {}, verified.get("manifest") or {})
    except InvalidInput:
        return {}
    tables: Mapping[str, Mapping[str, Any]] = found["tables"]
    return tables


def _instant(value: Any) -> datetime | None:
    try:
        return parse_instant(value, future=True) if value else None
    except InvalidInput:
        return None
