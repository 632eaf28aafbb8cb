# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants, durations and LSNs as the API reads and writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sandbox.clock import rfc3339
from sandbox.neon.errors import NeonError, invalid

__all__ = ["go_duration", "go_time", "lsn_number", "parse_instant", "parse_lsn", "rfc3339", "stored"]

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
_LAYOUT = "2006-01-02T15:04:05Z07:00"


def parse_instant(text: object) -> datetime:
    """An RFC 3339 instant with ``T`` and a zone, kept to the microsecond.

    Raises `NeonError` 400 for anything else, also for PostgreSQL's own ``2025-01-13 14:25:00+00``
    (seen on the real API; the text is that of Go's time parser).
    """
    match = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _unparsable(str(text))
    day, clock, fraction, zone = match.groups()
    micro = (fraction or "0").ljust(6, "0")[:6]
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micro}{zone.replace('Z', '+00:00')}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(f'parsing time "{text}": value out of range') from None


def _unparsable(text: str) -> NeonError:
    rest, part = text, "2006"
    if re.match(r"\d{4}-\d\d-\d\d", text):
        rest, part = text[10:], "T"
        if re.match(r"T\d\d:\d\d:\d\d", rest):
            rest, part = re.sub(r"^T\d\d:\d\d:\d\d(\.\d+)?", "", rest), "Z07:00"
    return invalid(f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{rest}" as "{part}"')


def stored(text: str) -> datetime:
    """An instant that this API wrote itself."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def parse_lsn(text: object) -> str:
    """An LSN ``0/1A2B3C4`` in upper case. Raises `NeonError` 400 for anything else (wording unproven)."""
    if not isinstance(text, str) or not _LSN.fullmatch(text):
        raise invalid(f'invalid LSN; lsn:"{text}"')
    high, low = text.split("/")
    return f"{int(high, 16):X}/{int(low, 16):X}"


def lsn_number(lsn: str) -> int:
    """An LSN as the number of bytes that it stands for."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def go_time(instant: datetime) -> str:
    """``2026-06-04 00:25:59.25 +0000 UTC``: how Go prints an instant, which is what messages carry."""
    instant = instant.astimezone(UTC)
    fraction = f".{instant.microsecond:06d}".rstrip("0") if instant.microsecond else ""
    return f"{instant:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def go_duration(seconds: int) -> str:
    """``6h0m0s``: how Go prints a duration of whole seconds."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
