# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An appointment as a calendar file (RFC 5545): one event, in UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_LONGEST_LINE = 75
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ADDRESS = re.compile(r"[^@\s\"<>,;:]+@[^@\s\"<>,;:]+")


@dataclass(frozen=True)
class Event:
    """One appointment; both instants are aware.

    :param uid: the same for the same appointment: who imports it twice has it once.
    :param sequence: higher with each later version of it (3.8.7.4).
    :param organizer: its mail address. Nobody can be invited where it is none.
    """

    uid: str
    start: datetime
    minutes: int
    summary: str
    description: str
    made: datetime
    sequence: int = 0
    organizer: str = ""
    attendees: Sequence[str] = ()

    @property
    def invited(self) -> list[str]:
        """Who is asked to come: an appointment that only is published names no attendee (3.8.4.1)."""
        return [address for address in self.attendees if is_address(address)] if is_address(self.organizer) else []

    @property
    def method(self) -> str:
        """``REQUEST`` for an invitation, else ``PUBLISH``; the type of the part that carries it says it too (3.7.2).

        Empty where nobody is its organizer: either would need one (RFC 5546, 3.2.1 and 3.2.2), a file of its own not.
        """
        if not is_address(self.organizer):
            return ""
        return "REQUEST" if self.invited else "PUBLISH"


def calendar(event: Event) -> str:
    """The file's text, lines ended by CRLF and folded at 75 octets."""
    # Who cannot be invited for want of an organizer is to be found there all the same.
    named = ", ".join(address for address in event.attendees if address not in event.invited)
    description = f"{event.description}\n\nWith: {named}." if named else event.description
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//rewind.database//incident//EN",
        "CALSCALE:GREGORIAN",
        *([f"METHOD:{event.method}"] if event.method else []),
        "BEGIN:VEVENT",
        f"UID:{text(event.uid)}",
        f"DTSTAMP:{_instant(event.made)}",
        f"SEQUENCE:{event.sequence}",
        f"DTSTART:{_instant(event.start)}",
        f"DTEND:{_instant(event.start + timedelta(minutes=event.minutes))}",
        f"SUMMARY:{text(event.summary)}",
        f"DESCRIPTION:{text(description)}",
        *([f"ORGANIZER:mailto:{event.organizer}"] if is_address(event.organizer) else []),
        *(f"ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:{address}" for address in event.invited),
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{text(event.summary)}",
        "TRIGGER:-PT15M",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{folded}\r\n" for line in lines for folded in fold(line))


def is_address(address: str) -> bool:
    """Whether it can stand behind mailto: as it is."""
    return _ADDRESS.fullmatch(address) is not None and address.isascii()


def text(value: str) -> str:
    """A value of type TEXT (3.3.11): commas, semicolons, backslashes and line ends are escaped."""
    plain = _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
    return plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def fold(line: str) -> list[str]:
    """The line in parts of at most 75 octets, all but the first begun by a space (3.1). No character is torn."""
    parts, current, size = [], "", 0
    for character in line:
        width = len(character.encode())
        if size + width > _LONGEST_LINE:
            parts.append(current)
            current, size = " ", 1
        current += character
        size += width
    return [*parts, current]


def working_days_later(start: datetime, days: int, hour: int) -> datetime:
    """The instant at that hour (UTC), so many working days later: Saturdays and Sundays do not count."""
    day = start.astimezone(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
    left = max(days, 1)
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5
    return day


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
