# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restore points: reading them without ever guessing, echoing them, and naming branches after them.

A restore point is an instant with a time zone, or an LSN. What is accepted and refused: design, section 7; names of
branches: rules, number 11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from ._errors import InvalidInput

# Epoch seconds outside of 2000..2200 are something else: a compact date (20250113), or milliseconds.
_EPOCH_FIRST = 946_684_800
_EPOCH_LAST = 7_258_118_400

_ACCEPTED = (
    'Write for example "2025-01-13T14:25:00Z", "2025-01-13 14:25:00 UTC", "2025-01-13 15:25:00+01:00", '
    '"2025-01-13 15:25:00 Europe/Berlin", "-15m", "15 minutes ago", or epoch seconds.'
)
_INSTANT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})(?:[Tt]| +)(?P<time>\d{2}:\d{2}:\d{2})(?:\.(?P<fraction>\d+))?(?: *(?P<zone>\S.*))?",
    re.ASCII,
)
_WITHOUT_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}(?:(?:[Tt]| +)\d{2}(?::\d{2})?)?(?: *(?:[A-Za-z+-].*)?)?", re.ASCII)
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z]+(?:/[A-Za-z0-9_+-]+)+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_LSN = re.compile(r"(?P<high>[0-9A-Fa-f]{1,8})/(?P<low>[0-9A-Fa-f]{1,8})")
_RELATIVE = re.compile(r"-\s*(?P<parts>\d.*)|(?P<words>\d.*?)\s+ago", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]+)(?:\s+and\s+|\s*,\s*|\s*)", re.ASCII)
_UNITS = {
    "s sec secs second seconds": 1,
    "m min mins minute minutes": 60,
    "h hr hrs hour hours": 3600,
    "d day days": 86_400,
    "w week weeks": 604_800,
}
_SECONDS_OF = {word: seconds for words, seconds in _UNITS.items() for word in words.split()}

_NAME = re.compile(
    r"(?P<prefix>[a-z][a-z0-9]*(?:-[a-z0-9]+)*?)-"
    r"(?:(?P<stamp>\d{8}-\d{6}(?:-\d{3})?)|lsn-(?P<high>[0-9A-F]{1,8})-(?P<low>[0-9A-F]{1,8}))",
    re.ASCII,
)


@dataclass(frozen=True)
class RestorePoint:
    """An instant (aware, UTC, microseconds kept) or an LSN ("0/1A2B3C4"); exactly one of the two is set."""

    at: datetime | None = None
    lsn: str | None = None

    @property
    def value(self) -> str:
        """The point as an API takes it: RFC 3339 in UTC, or the LSN."""
        return rfc3339(self.at) if self.at is not None else str(self.lsn)

    @property
    def stamp(self) -> str:
        """The part of a branch's name that says this point (rule 11)."""
        return stamp(self.at) if self.at is not None else lsn_stamp(str(self.lsn))

    def echo(self, now: datetime | None = None, zone: tzinfo | None = None) -> dict[str, Any]:
        """The point in every form that a person or a playbook needs; what an LSN does not have is None."""
        if self.at is None:
            return {"utc": None, "local": None, "ago": None, "stamp": self.stamp, "epoch": None, "lsn": self.lsn}
        return {**echo(self.at, now, zone), "stamp": self.stamp, "epoch": epoch(self.at), "lsn": None}


def utc_now() -> datetime:
    """This machine's clock, aware, in UTC."""
    return datetime.now(UTC)


def parse_restore_point(value: object, *, now: datetime | None = None) -> RestorePoint:
    """Read a restore point: an LSN such as ``0/1A2B3C4``, or anything that `parse_instant` reads.

    :raises InvalidInput: with a message that says what to write instead.
    """
    if isinstance(value, str) and _LSN.fullmatch(value.strip()):
        return RestorePoint(lsn=parse_lsn(value))
    return RestorePoint(at=parse_instant(value, now=now))


def parse_instant(value: object, *, now: datetime | None = None, future: bool = False) -> datetime:
    """Read an instant; the answer is aware, in UTC, exact to the microsecond.

    :param value: RFC 3339 text, also with a space, `` UTC`` or the name of a time zone; epoch seconds (number or text);
        a time ago; or an aware datetime, as YAML makes of an unquoted RFC 3339 text.
    :param now: the present instant (default: this machine's clock).
    :param future: accept an instant later than now.
    :raises InvalidInput: for a time without a zone, in the future, impossible, ambiguous, or not understood.
    """
    present = now or utc_now()
    instant = _read(value, present)
    if instant > present and not future:
        raise InvalidInput(
            f'read the time "{value}": {rfc3339(instant)} is in the future; it is now {rfc3339(present)} UTC',
            hint="Check the time zone and this machine's clock.",
        )
    return instant


def _read(value: object, now: datetime) -> datetime:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise _no_zone(value.isoformat(sep=" "))
        return value.astimezone(UTC)
    if isinstance(value, date):
        raise _no_clock_time(value.isoformat())
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _from_epoch(str(value))
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(
            "read the time: it is empty" if value in ("", None) else "read the time: not a text", hint=_ACCEPTED
        )
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _from_epoch(text)
    ago = _RELATIVE.fullmatch(text)
    if ago:
        return _shifted(text, now, _seconds(ago["parts"] or ago["words"], text))
    found = _INSTANT.fullmatch(text)
    if found:
        return _from_calendar(found, text)
    if _WITHOUT_SECONDS.fullmatch(text):
        raise _no_clock_time(text)
    raise InvalidInput(f'read the time "{text}": not understood', hint=_ACCEPTED)


def _no_zone(text: str) -> InvalidInput:
    return InvalidInput(
        f'read the time "{text}": it has no time zone, and one is never guessed',
        hint=f'Add it, for example "{text} UTC" or "{text} Europe/Berlin"; quote the value in YAML.',
    )


def _no_clock_time(text: str) -> InvalidInput:
    return InvalidInput(f'read the time "{text}": hours, minutes and seconds must all be given', hint=_ACCEPTED)


def _from_epoch(text: str) -> datetime:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InvalidInput(f'read the time "{text}": not understood', hint=_ACCEPTED) from None
    if not number.is_finite() or not _EPOCH_FIRST <= number < _EPOCH_LAST:
        raise InvalidInput(
            f'read the time "{text}": as epoch seconds it is not between the years 2000 and 2200',
            hint="Epoch seconds have ten digits today; divide milliseconds by 1000. " + _ACCEPTED,
        )
    whole = int(number)
    return datetime.fromtimestamp(whole, UTC) + timedelta(microseconds=_microseconds(str(number - whole)[2:], text))


def _microseconds(digits: str, text: str) -> int:
    if digits[6:].strip("0"):
        raise InvalidInput(
            f'read the time "{text}": it is finer than a microsecond, PostgreSQL\'s own precision',
            hint="Write at most six digits after the decimal point.",
        )
    return int(digits[:6].ljust(6, "0"))


def _seconds(parts: str, text: str) -> Decimal:
    total = Decimal(0)
    position = 0
    while position < len(parts):
        found = _PART.match(parts, position)
        unit = found["unit"] if found else ""
        # Words may have any case, single letters not: "-15M" may mean months.
        factor = _SECONDS_OF.get(unit if len(unit) == 1 else unit.lower())
        if found is None or factor is None:
            raise InvalidInput(
                f'read the time "{text}": not understood as a time ago',
                hint='Use s, m, h, d, w or their words, for example "-15m", "-1h30m", "2 days ago".',
            )
        total += Decimal(found["count"]) * factor
        position = found.end()
    return total


def _shifted(text: str, now: datetime, seconds: Decimal) -> datetime:
    try:
        return (now - timedelta(microseconds=int(seconds * 1_000_000))).astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f'read the time "{text}": it lies before the calendar begins', hint=_ACCEPTED) from None


def _from_calendar(found: re.Match[str], text: str) -> datetime:
    if found["zone"] is None:
        raise _no_zone(text)
    micro = _microseconds(found["fraction"] or "", text)
    try:
        naive = datetime.fromisoformat(f"{found['date']}T{found['time']}").replace(microsecond=micro)
    except ValueError as error:
        raise InvalidInput(
            f'read the time "{text}": {error}', hint="PostgreSQL knows no leap seconds either: the last second is :59."
        ) from None
    try:
        return _in_zone(naive, found["zone"], text).astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f'read the time "{text}": it lies outside of the calendar', hint=_ACCEPTED) from None


def _in_zone(naive: datetime, zone: str, text: str) -> datetime:
    if zone.upper() in ("Z", "UTC", "GMT"):
        return naive.replace(tzinfo=UTC)
    offset = _OFFSET.fullmatch(zone)
    if offset:
        hours, minutes = int(offset["hours"]), int(offset["minutes"] or 0)
        if hours > 23 or minutes > 59:
            raise InvalidInput(f'read the time "{text}": the offset {zone} does not exist', hint=_ACCEPTED)
        shift = timedelta(hours=hours, minutes=minutes)
        return naive.replace(tzinfo=timezone(-shift if offset["sign"] == "-" else shift))
    return _in_named_zone(naive, zone, text)


def _in_named_zone(naive: datetime, name: str, text: str) -> datetime:
    if not _ZONE_NAME.fullmatch(name) or name.startswith(("Etc/GMT+", "Etc/GMT-", "right/")):
        raise InvalidInput(
            f'read the time "{text}": the time zone "{name}" is not a name like Europe/Berlin; abbreviations such as '
            "CST or IST mean several zones, and Etc/GMT+5 lies west, against its sign",
            hint="Write an offset (+01:00), UTC, or a name like Europe/Berlin.",
        )
    try:
        zone = ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InvalidInput(
            f'read the time "{text}": this machine knows no time zone "{name}"',
            hint="Write an offset (+01:00) or UTC, or install the time zone data (package tzdata).",
        ) from None
    early, late = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        raise InvalidInput(
            f'read the time "{text}": this time does not exist in {name}: the clocks were put forward over it',
            hint=f'Write UTC or an offset, for example "{_with_offset(early)}".',
        )
    raise InvalidInput(
        f'read the time "{text}": this time came twice in {name}, when the clocks were put back',
        hint=f'Say which one: "{_with_offset(early)}" or "{_with_offset(late)}".',
    )


def _with_offset(local: datetime) -> str:
    return local.isoformat(sep=" ")


def rfc3339(instant: datetime) -> str:
    """The instant in UTC with a Z, with microseconds where it has a fraction: never rounded."""
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text}Z"


def epoch(instant: datetime) -> int | float:
    """Seconds since 1970; a whole number where the instant has no fraction."""
    return instant.timestamp() if instant.microsecond else int(instant.timestamp())


def echo(instant: datetime, now: datetime | None = None, zone: tzinfo | None = None) -> dict[str, str]:
    """How an instant is shown to people: UTC, this machine's local time, and how long ago.

    :param zone: the local time zone (default: this machine's).
    """
    local = instant.astimezone(zone)
    return {
        "utc": rfc3339(instant),
        "local": f"{local.replace(tzinfo=None).isoformat(sep=' ')} {local.strftime('%z')} ({local.tzname()})",
        "ago": ago(instant, now),
    }


def ago(instant: datetime, now: datetime | None = None) -> str:
    """How long ago, in the largest units that matter: "12 s ago", "15 min ago", "3 h 5 min ago", "2 days 4 h ago"."""
    seconds = ((now or utc_now()) - instant).total_seconds()
    text = _rounded(abs(seconds))
    return f"in {text}" if seconds < 0 else f"{text} ago"


def _rounded(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        hours, minutes = divmod(whole // 60, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(whole // 3600, 24)
    text = f"{days} day{'s' if days != 1 else ''}"
    return f"{text} {hours} h" if hours else text


def duration(seconds: float) -> str:
    """A length of time for people: "0.4 s", "12 s", "1 min 12 s", "2 h 5 min", "1 day 3 h"."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60 or whole >= 3600:
        return _rounded(whole)
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def stamp(instant: datetime) -> str:
    """``YYYYMMDD-HHMMSS`` in UTC, with ``-mmm`` (milliseconds, cut) when the instant has a fraction (rule 11)."""
    moment = instant.astimezone(UTC)
    text = moment.isoformat()[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{text}-{moment.microsecond // 1000:03d}" if moment.microsecond else text


def lsn_stamp(lsn: str) -> str:
    """``lsn-X-Y`` for the LSN ``X/Y`` (rule 11): a slash is not allowed everywhere that a branch's name goes."""
    return "lsn-" + parse_lsn(lsn).replace("/", "-")


def branch_name(prefix: str, point: datetime | RestorePoint) -> str:
    """The name of a branch: ``backup-20250113-142500``, ``restore-20250113-142500-250``, ``restore-lsn-0-1A2B3C4``."""
    return f"{prefix}-{point.stamp if isinstance(point, RestorePoint) else stamp(point)}"


def parse_branch_name(name: str) -> tuple[str, RestorePoint] | None:
    """The prefix and the point that a name made by `branch_name` says; None for any other name.

    The point is exact to the second or to the millisecond only: identity is by id, never by name (safety rule 2).
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    if found["stamp"] is None:
        return found["prefix"], RestorePoint(lsn=parse_lsn(f"{found['high']}/{found['low']}"))
    digits = found["stamp"].replace("-", "")
    try:
        moment = datetime.strptime(digits[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return found["prefix"], RestorePoint(at=moment.replace(microsecond=int(digits[14:] or 0) * 1000))


def parse_lsn(text: str) -> str:
    """An LSN in PostgreSQL's own spelling: upper case, no leading zeros.

    :raises InvalidInput: when it is none.
    """
    found = _LSN.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(f'read the LSN "{text}": not understood', hint='An LSN looks like "0/1A2B3C4".')
    return f"{int(found['high'], 16):X}/{int(found['low'], 16):X}"


def lsn_number(lsn: str) -> int:
    """The LSN as a byte position, for comparing: LSNs must not be compared as texts."""
    high, low = parse_lsn(lsn).split("/")
    return (int(high, 16) << 32) + int(low, 16)
