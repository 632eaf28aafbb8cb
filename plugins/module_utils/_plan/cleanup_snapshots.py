# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots, and which branches that came from them, this collection made; what they are kept for.

A snapshot carries no annotation, and the answer that says its id may be lost. So what makes one writes into the
catalogue beforehand how it will be called and of which branch it will be: the event ``making``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .cleanup_known import Marks
from .instants import instant_or_none
from .request import Facts

# Neon's clock and this machine's may differ by so much.
_SKEW = timedelta(minutes=10)


@dataclass(frozen=True)
class Making:
    """What a run was about to make."""

    name: str
    source: str
    at: datetime
    target: str | None
    run: str | None
    drill: str | None
    keep_until: datetime | None

    def has_made(self, item: Mapping[str, Any]) -> bool:
        """Whether something of this name is not older than the request for it."""
        created = instant_or_none(item.get("created_at"))
        return item.get("name") == self.name and created is not None and created >= self.at - _SKEW

    def tell(self, mark: Marks, purpose: str) -> None:
        mark.made = True
        mark.purpose = mark.purpose or purpose
        mark.target = mark.target or self.target
        mark.run = mark.run or self.run
        mark.drill = mark.drill or self.drill
        if purpose == "snapshot":
            mark.keep_until = mark.keep_until or self.keep_until


def adopt(marks: dict[str, Marks], facts: Facts, snapshots: Iterable[Mapping[str, Any]]) -> None:
    """Tell the marks what was about to be made, and is there, though no record has its id."""
    makings = _makings(facts)
    for snapshot in snapshots:
        mine = [item for item in makings if item.source == snapshot.get("source_branch_id")]
        _adopt(marks, snapshot, mine, "snapshot")
    for branch in facts.branches:
        if branch.get("restored_from") and not branch.get("restored_as"):
            _adopt(marks, branch, makings, "preview")
    until = {item.run: item.keep_until for item in makings if item.run}
    for mark in marks.values():
        if mark.replaced:
            mark.keep_until = mark.keep_until or until.get(mark.run or "")


def _adopt(marks: dict[str, Marks], item: Mapping[str, Any], makings: Iterable[Making], purpose: str) -> None:
    found = next((making for making in makings if making.has_made(item)), None)
    if found is not None:
        found.tell(marks.setdefault(str(item["id"]), Marks()), purpose)


def _makings(facts: Facts) -> list[Making]:
    found = []
    for record in facts.records:
        at = instant_or_none(record.get("at"))
        if record.get("event") == "making" and record.get("snapshot_name") and at is not None:
            found.append(
                Making(
                    name=str(record["snapshot_name"]),
                    source=str(record.get("source_branch_id") or ""),
                    at=at,
                    target=str(record.get("target") or "") or None,
                    run=str(record.get("run") or "") or None,
                    drill=str(record.get("drill") or "") or None,
                    keep_until=instant_or_none(record.get("keep_until")),
                )
            )
    return found


def standing(facts: Facts) -> dict[str, datetime]:
    """When each cutover happened that was not taken back, by its run."""
    undone = {item.run for item in facts.cutovers if item.undone and item.proven}
    return {item.run: item.at for item in facts.cutovers if item.run and not item.undone and item.run not in undone}
