# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Neon's answers hold: what cannot be read must never pass for nothing."""

from __future__ import annotations

from typing import Any

from .._errors import ApiError
from .._http import Reply

Json = dict[str, Any]


def listed(reply: Reply, name: str, doing: str) -> list[Json]:
    """:raises ApiError: where the answer does not hold it: what cannot be read must never pass for nothing."""
    found = reply.body.get(name) if isinstance(reply.body, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise unreadable(reply, name, doing)
    return found


def mapping(reply: Reply, name: str) -> Json:
    found = reply.body.get(name) if isinstance(reply.body, dict) else None
    return found if isinstance(found, dict) else {}


def turned(reply: Reply, key: str, query: Json, seen: set[str], doing: str) -> bool:
    """Set the cursor of the next page; false where this one is the last."""
    cursor = mapping(reply, "pagination").get(key)
    if not cursor:
        return False
    if cursor in seen:
        raise ApiError(f"{doing}: Neon gave the same page twice", code="endless_pages", retryable=True)
    seen.add(cursor)
    query["cursor"] = cursor
    return True


def is_object(value: Any) -> bool:
    """Whether it is an object of Neon's: each that is asked for alone has an id."""
    return isinstance(value, dict) and bool(value.get("id"))


def unreadable(reply: Reply, name: str, doing: str) -> ApiError:
    return ApiError(
        f"{doing}: the answer holds no {name}",
        code="unreadable_answer",
        http_status=reply.status,
        request_id=reply.request_id,
        retryable=True,
    )
