# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a change that Neon has accepted can be seen: an answer of success is not believed until it is read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import ApiError
from .._time import parse_instant
from .wanted import NEVER, same_expiry


def not_shown(found: Mapping[str, Any], changes: Mapping[str, Any]) -> list[str]:
    """The names of the changes that the branch or snapshot does not show."""
    return [name for name, value in changes.items() if not _shows(name, found.get(name), value)]


def _shows(name: str, shown: Any, value: Any) -> bool:
    if name == "expires_at":
        return same_expiry(shown, parse_instant(value, future=True) if value else NEVER)
    return bool((shown or None) == (value or None))


def check_applied(kind: str, found: Mapping[str, Any], changes: Mapping[str, Any], partial: Mapping[str, Any]) -> None:
    """:raises ApiError: where the branch or snapshot does not show every change.

    :param kind: ``branch`` or ``snapshot``.
    :param partial: what is known then, in the shape of the result.
    """
    missing = not_shown(found, changes)
    if missing:
        raise ApiError(
            f"change {kind} {found['id']}: Neon accepted it, but {', '.join(missing)} did not change",
            code="not_applied",
            hint=f"Look at the {kind} in Neon's console; somebody else may be changing it.",
            partial=dict(partial),
        )
