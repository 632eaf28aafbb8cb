# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants and LSNs as the two APIs write them, where an unreadable one means "unknown" and not an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .._errors import InvalidInput
from .._time import lsn_number, rfc3339


def instant_or_none(value: Any) -> datetime | None:
    """An aware UTC instant from RFC 3339 text; None for what is empty or has no zone (never guessed)."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else None
    if not value or not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo is not None else None


def text_or_none(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, or None where there is no instant."""
    return rfc3339(moment) if moment is not None else None


def lsn_or_none(text: Any) -> int | None:
    """An LSN as a number, so that two can be compared; None when it is not one."""
    if not isinstance(text, str):
        return None
    try:
        return lsn_number(text)
    except InvalidInput:
        return None
