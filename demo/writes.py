# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the writer knows: each of its requests, when it was sent and when it was acknowledged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Write:
    """One request of the writer. `row` is what the application answered; None when it gave no good answer."""

    begun: datetime
    ended: datetime
    row: tuple[str, str, str, str, str] | None
    created: bool = False

    @property
    def identity(self) -> str:
        """The id of the row that was written ("" when nobody knows)."""
        return self.row[0] if self.row else ""

    @property
    def line(self) -> str:
        """The row as COPY prints it."""
        return "\t".join(self.row or ())


@dataclass(frozen=True)
class Trouble:
    """What the writer noticed between two instants."""

    seconds: float
    """From the last good answer before an error to the next good one, summed."""
    failed: int
    longest_pause: float
    """Seconds between two good answers, at most."""


def read_log(path: Path) -> list[Write]:
    """The writer's log so far, in its order. A last line that is half written is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [_write(json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _write(entry: dict[str, Any]) -> Write:
    row = None
    if entry["ok"]:
        row = (entry["id"], entry["user"], str(entry["quest"]), entry["status"], copied(parse(entry["updated_at"])))
    return Write(parse(entry["begun"]), parse(entry["ended"]), row, bool(entry.get("created")))


def parse(instant: str) -> datetime:
    """An RFC 3339 instant."""
    return datetime.fromisoformat(instant.replace("Z", "+00:00"))


def copied(instant: datetime) -> str:
    """A timestamptz(3) as COPY prints it in UTC: no zeros at the end of the fraction."""
    text = instant.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3].rstrip("0").rstrip(".")
    return f"{text}+00"


def trouble(writes: list[Write], began: datetime, ended: datetime) -> Trouble:
    """What a user of the application noticed between two instants."""
    seconds = longest = 0.0
    failed = 0
    last_good: datetime | None = None
    in_gap = False
    for write in writes:
        if write.ended < began or write.begun > ended:
            if write.row:
                last_good = write.ended if write.ended < began else last_good
            continue
        if write.row is None:
            failed += 1
            in_gap = True
            continue
        pause = (write.ended - (last_good or began)).total_seconds()
        longest = max(longest, pause)
        if in_gap:
            seconds += pause
        in_gap, last_good = False, write.ended
    if in_gap:
        seconds += (ended - (last_good or began)).total_seconds()
    return Trouble(round(seconds, 2), failed, round(longest, 2))
