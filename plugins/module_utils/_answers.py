# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes back over HTTP, and how it is read."""

from __future__ import annotations

import dataclasses
import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any

LONGEST_ERROR_TEXT = 400


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer. ``body`` is the parsed JSON, the text where it is not JSON, or None where it is empty."""

    status: int
    body: Any
    headers: Mapping[str, str]
    request_id: str | None


def query_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def expected(reply: Reply, expect: set[int] | frozenset[int] | None) -> bool:
    return 200 <= reply.status < 300 if expect is None else reply.status in expect


def is_foreign(reply: Reply) -> bool:
    """Whether something in between said 404, as a proxy whose service is away does: all APIs here say it in JSON."""
    return reply.status == 404 and not isinstance(reply.body, Mapping)


def says_json(headers: Mapping[str, str]) -> bool:
    return "json" in headers.get("content-type", "json")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that ``Retry-After`` asks for (a number or an HTTP date, RFC 9110), never negative; else None.

    Sentry says instead when its next window begins: ``X-Sentry-Rate-Limit-Reset``, in seconds since 1970
    (https://docs.sentry.io/api/ratelimits/).
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return _window_begins(headers)
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    until = _http_date(text)
    return None if until is None else max(0.0, until - _service_time(headers))


def _window_begins(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers.get("x-sentry-rate-limit-reset", "")) - _service_time(headers))
    except ValueError:
        return None


def _service_time(headers: Mapping[str, str]) -> float:
    """The seconds since 1970 by the clock of who answered: ours may be minutes off."""
    said = _http_date(headers.get("date", ""))
    return time.time() if said is None else said


def _http_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def error_text(body: Any) -> str:
    """What an API says about an error, in one line of at most 400 characters.

    Neon: ``{code, message}``. Coolify: ``{message, errors}`` or ``{error}``. Sentry: ``{detail}``, a text or an object
    with a message. Anything else: its beginning, no tags.
    """
    if isinstance(body, Mapping):
        detail = body.get("detail")
        said = detail.get("message") if isinstance(detail, Mapping) else detail
        text = str(body.get("message") or body.get("error") or said or "")
        details = body.get("errors")
        if isinstance(details, Mapping):
            listed = "; ".join(f"{field}: {_joined(reasons)}" for field, reasons in details.items())
            text = f"{text} ({listed})" if text else listed
    elif isinstance(body, str):
        text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", body, flags=re.DOTALL | re.IGNORECASE)
    else:
        text = ""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_ERROR_TEXT else text[: LONGEST_ERROR_TEXT - 1] + "…"


def _joined(reasons: Any) -> str:
    return ", ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else str(reasons)
