# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Coolify's refusals mean, and what to do about each. Texts are those of Coolify's middleware and controllers."""

from __future__ import annotations

import re
from typing import Any

from .._errors import ApiError, InvalidInput, NotFound, RewindError, Unauthorized
from .._http import error_text

_MISSING = re.compile(r"Missing required permissions?:\s*(?P<names>[\w:, -]+)", re.IGNORECASE)

_WHERE = "Make one in Coolify under Keys & Tokens > API tokens"
NEEDED = "Rewind needs the abilities read, read:sensitive, write and deploy"


def explain(verb: str, status: int, body: Any, request_id: str | None) -> RewindError:
    """The error for an answer that is not success.

    :param verb: what was tried, with its object: "read environment of application x".
    """
    text = error_text(body) or "no reason given"
    facts: dict[str, Any] = {"http_status": status, "request_id": request_id}
    if status == 401:
        return Unauthorized(f"{verb}: {text}", hint=_hint_401(text), code="token_refused", **facts)
    if status == 403:
        code, hint = _forbidden(text)
        return Unauthorized(f"{verb}: {text}", hint=hint, code=code, **facts)
    if status == 404:
        return NotFound(
            f"{verb}: {text}",
            hint="Check the uuid (Coolify's UI has it in the address); a token sees only its own team's resources.",
            **facts,
        )
    if status in (400, 409, 422):
        # Coolify refuses a token without a team by 400 in versions before 4.1.2.
        if status == 400 and "invalid token" in text.lower():
            return Unauthorized(f"{verb}: {text}", hint=_hint_401(text), code="token_refused", **facts)
        return InvalidInput(f"{verb}: {text}", code="not_accepted", **facts)
    return ApiError(f"{verb}: {text}", retryable=status >= 500, **facts)


def _hint_401(text: str) -> str:
    if "invalid token" in text.lower():
        return f"The token belongs to no team, or its user has left that team. {_WHERE} of the right team."
    return (
        "The token is missing, unknown or expired (since Coolify 4.0.0 tokens made in its UI expire after 30 days "
        f"unless told otherwise). {_WHERE} and set coolify_access_token or COOLIFY_ACCESS_TOKEN."
    )


def _forbidden(text: str) -> tuple[str, str]:
    """Code and advice for a 403. Two of them carry ``success: true``, so only the text can tell."""
    lower = text.lower()
    if "api is disabled" in lower:
        return "api_disabled", "Enable the API in Coolify under Settings > Configuration > Advanced > API access."
    if "not allowed to access the api" in lower:
        return (
            "address_not_allowed",
            "Add this machine's public address to Coolify's Settings > Configuration > Advanced > Allowed IPs for API.",
        )
    missing = _MISSING.search(text)
    if missing is not None:
        names = missing["names"].strip()
        return "ability_missing", f"The token lacks the ability {names}. {NEEDED}. {_WHERE} with all four."
    if "team role" in lower or "exceed your current role" in lower:
        return "role_missing", "The token's user must be an admin or the owner of the team."
    return "forbidden", "The token's user may not do this: use a token of an admin or owner of the resource's team."
