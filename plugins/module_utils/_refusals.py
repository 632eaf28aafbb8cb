# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an answer whose status is an error means, and what to do about it."""

from __future__ import annotations

from typing import Any

from ._answers import Reply, error_text, is_foreign
from ._errors import ApiError, Locked, NotFound, Unauthorized
from ._service import Service


def failure_of(service: Service, reply: Reply, doing: str) -> ApiError:
    """The typed error of an answer whose status is an error."""
    text = f"{doing}: {error_text(reply.body) or 'no reason given'}"
    common: dict[str, Any] = {"http_status": reply.status, "request_id": reply.request_id}
    code = reply.body.get("code") if isinstance(reply.body, dict) else None
    if isinstance(code, str) and code:
        common["code"] = code.lower()
    if reply.status in (401, 403):
        hint = (
            f"Set {service.token_option} or {service.token_variable} to a token of {service.name} that is valid "
            "and has the ability that this needs."
        )
        return Unauthorized(text, hint=hint, **common)
    if is_foreign(reply):
        return ApiError(
            f"{text}; this is no answer of {service.name}",
            code="foreign_answer",
            retryable=True,
            hint=f"{service.name} may be starting, or {service.url_option} may lead elsewhere.",
            **common,
        )
    if reply.status == 404:
        return NotFound(
            text,
            hint=f"Check the id, and that the token may see it: {service.name} answers 404 for both.",
            **common,
        )
    if reply.status == 423:
        return Locked(text, retryable=True, hint="Wait for the running operations, or raise wait_timeout.", **common)
    if 300 <= reply.status < 400:
        return ApiError(text, hint=f"The service redirects elsewhere: correct {service.url_option}.", **common)
    return ApiError(text, retryable=reply.status == 429 or reply.status >= 500, **common)
