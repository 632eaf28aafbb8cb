# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of drills, as the audit reads it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .audit_parts import World
from .instants import instant_or_none


def last_drill(world: World) -> tuple[datetime, Mapping[str, Any]] | None:
    """The newest drill of the target that this one is rehearsed on."""
    dated = [
        (at, record)
        for record in world.drills
        if record.get("target") == world.limits.drill_target and (at := instant_or_none(record.get("at"))) is not None
    ]
    return max(dated, key=lambda item: item[0], default=None)


def may_be_drilled(world: World) -> bool:
    """Whether a drill of the target itself is possible: it refuses a production target (safety rule 9)."""
    return world.request.environment != "production"


def passed(record: Mapping[str, Any]) -> bool | None:
    """Whether a drill was proven; None where its record does not say."""
    told = record.get("ok")
    return told if isinstance(told, bool) else None


def seconds_of(record: Mapping[str, Any]) -> float | None:
    """How long it took."""
    told = record.get("seconds")
    return float(told) if isinstance(told, (int, float)) and not isinstance(told, bool) else None
