# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commits that backups were made before, and how two of them are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Git's own abbreviation is seven characters at least.
_ABBREVIATED = re.compile(r"[0-9a-f]{7,64}", re.ASCII | re.IGNORECASE)


def commit_of(record: Mapping[str, Any]) -> str:
    """The commit before whose deployment a backup was made; empty where it was made for another reason."""
    return str(record.get("before_commit") or "")


def same_commit(one: str, other: str) -> bool:
    """Whether two texts name the same commit: equal, or one hash the beginning of the other."""
    if not one or not other:
        return False
    if _ABBREVIATED.fullmatch(one) and _ABBREVIATED.fullmatch(other):
        short, long = sorted((one.lower(), other.lower()), key=len)
        return long.startswith(short)
    return one == other
