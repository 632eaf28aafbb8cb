# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a cleanup, read once, and the command that asks for the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._commands import command
from .._time import parse_instant, utc_now
from .request import Findings

# A hundred years; what is longer is a slip of the keyboard.
_LONGEST_DAYS = 36_500.0
# The options of the playbook by their short names, with their defaults: what differs is said in the command.
SHORT_NAMES: dict[str, Any] = {
    "retention_days": 7.0,
    "scratch_days": 1.0,
    "keep_last": 0,
    "keep_daily": 0,
    "keep_weekly": 0,
    "keep_monthly": 0,
    "min_verified": 1,
    "max_deletions": 100,
}


@dataclass(frozen=True)
class Wanted:
    """The request, typed.

    :param retention: how long backups without a date of their own, restore branches and old primaries are kept.
    :param scratch: the same for previews and for what drills make.
    :param undo: for how long a cutover can be taken back.
    """

    target: str
    environment: str
    now: datetime
    retention: timedelta
    scratch: timedelta
    undo: timedelta
    keep_last: int
    keep_daily: int
    keep_weekly: int
    keep_monthly: int
    min_verified: int
    max_deletions: int
    pin: tuple[str, ...]
    unpin: tuple[str, ...]
    reason: str
    confirm: str
    accept_unreadable: tuple[str, ...]
    defaults: Mapping[str, Any]

    def command(self, confirm: str, *, pins: bool = False) -> str:
        """The command that deletes this list and no other.

        :param pins: it has yet to pin and unpin what the list takes for pinned and unpinned.
        """
        said = {name: self._said(name) for name in self.defaults}
        told: dict[str, object] = {name: f"{value:g}" for name, value in said.items() if value != self.defaults[name]}
        if self.accept_unreadable:
            told["accept_unreadable"] = ",".join(self.accept_unreadable)
        if pins:
            told |= {name: ",".join(names) for name, names in (("pin", self.pin), ("unpin", self.unpin)) if names}
        if pins and self.pin:
            told["reason"] = self.reason
        return command("cleanup", target=self.target, **told, confirm=confirm)

    def _said(self, name: str) -> float:
        lengths = {"retention_days": self.retention, "scratch_days": self.scratch}
        value = lengths[name].total_seconds() / 86_400 if name in lengths else getattr(self, name)
        return float(value)


def read_wanted(given: Mapping[str, Any], findings: Findings) -> Wanted:
    """Read the option `request`.

    :raises InvalidInput: when `now` cannot be read. Everything else that cannot be used is a problem in the plan.
    """

    def days(name: str, usual: float) -> timedelta:
        value = float(given[name]) if given.get(name) is not None else usual
        if not 0 <= value <= _LONGEST_DAYS:
            findings.problem(
                f"{name}_invalid",
                f"{name} is {value:g}, which is no number of days.",
                f"Say a number from 0 to {_LONGEST_DAYS:g}.",
            )
            value = usual
        return timedelta(days=value)

    def count(name: str, least: int = 0) -> int:
        usual = int(SHORT_NAMES[name])
        value = int(given[name]) if given.get(name) is not None else usual
        if value < least:
            why = " The newest verified backup is never deleted." if name == "min_verified" else ""
            findings.problem(f"{name}_invalid", f"{name} is {value}.{why}", f"Say {least} or more.")
            value = max(usual, least)
        return value

    retention = days("retention_days", 7.0)
    wanted = Wanted(
        target=str(given.get("target") or "target"),
        environment=str(given.get("environment") or "production"),
        now=parse_instant(given["now"], future=True) if given.get("now") else utc_now(),
        retention=retention,
        scratch=days("scratch_days", 1.0),
        undo=days("undo_days", 7.0),
        keep_last=count("keep_last"),
        keep_daily=count("keep_daily"),
        keep_weekly=count("keep_weekly"),
        keep_monthly=count("keep_monthly"),
        min_verified=count("min_verified", 1),
        max_deletions=count("max_deletions", 1),
        pin=_names(given.get("pin")),
        unpin=_names(given.get("unpin")),
        reason=str(given.get("reason") or "").strip(),
        confirm=str(given.get("confirm") or "").strip(),
        accept_unreadable=_names(given.get("accept_unreadable")),
        defaults={**SHORT_NAMES, **(given.get("usual") or {})},
    )
    if wanted.pin and not wanted.reason:
        findings.problem("reason_missing", "A branch is pinned with a reason.", 'Say -e reason="why".')
    return wanted


def _names(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(item).strip() for item in value or () if str(item).strip()))
