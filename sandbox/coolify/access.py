# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens, their abilities, the switch of the API, the list of allowed addresses and the rate limit."""

from __future__ import annotations

import ipaddress
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from sandbox.coolify.profile import Profile
from sandbox.coolify.requests import Answer, refuse
from sandbox.coolify.state import Row, State
from sandbox.web import TOKEN_NAME

if TYPE_CHECKING:
    from sandbox.settings import CoolifySettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ABILITIES = ("read", "read:sensitive", "write", "write:sensitive", "deploy", "root")
ROLES = ("owner", "admin", "member")
_WINDOW_SECONDS = 60.0
TOKEN: web.RequestKey[Row] = web.RequestKey("token", dict)


class Access:
    """Who may do what."""

    def __init__(self, state: State, settings: CoolifySettings, now: Callable[[], datetime]) -> None:
        self._state = state
        self._settings = settings
        self._now = now
        self._windows: dict[str, tuple[float, int]] = {}

    def create_token(
        self,
        *,
        name: str = "control",
        token: str | None = None,
        abilities: Iterable[str] = ("root",),
        role: str = "owner",
        user_id: int = 0,
        team: bool = True,
        expires_in: float | None = None,
    ) -> str:
        """Registers `token`, or a new one, and returns it. `expires_in` are seconds of the control plane's clock.

        Raises ValueError for an ability or a role that does not exist.
        """
        wanted = [abilities] if isinstance(abilities, str) else list(abilities)
        if unknown := set(wanted) - set(ABILITIES):
            raise ValueError(f"no such ability: {', '.join(sorted(unknown))}; known: {', '.join(ABILITIES)}")
        if role not in ROLES:
            raise ValueError(f"no such role: {role}; known: {', '.join(ROLES)}")
        text = token or self._new_text()
        expires = None if expires_in is None else (self._now() + timedelta(seconds=expires_in)).isoformat()
        self._state.tokens[text] = {
            "name": name,
            "abilities": wanted,
            "role": role,
            "user_id": user_id,
            "team": team,
            "expires_at": expires,
        }
        self._state.save()
        return text

    def _new_text(self) -> str:
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"
        entropy = "".join(secrets.choice(letters) for _ in range(40))
        return f"{self._state.next_id()}|{entropy}{zlib.crc32(entropy.encode()):08x}"

    def _token(self, request: web.Request) -> Row | None:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = self._state.tokens.get(text.strip())
        if token is None:
            return None
        expires = token["expires_at"]
        return None if expires and datetime.fromisoformat(expires) <= self._now() else token

    def count(self, request: web.Request, *, limit: int | None = None) -> dict[str, str]:
        """Counts the request against the limit of its user and returns the headers. Raises `Answer` 429."""
        token = self._token(request)
        who = f"ip {request.remote}" if token is None else f"user {token['user_id']}"
        if token is not None:
            request[TOKEN_NAME] = token["name"]
        most = self._settings.rate_limit_per_minute if limit is None else limit
        who = who if limit is None else f"{who} health"
        now = time.monotonic()
        began, used = self._windows.get(who, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, used = now, 0
        headers = {"X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": str(max(0, most - used - 1))}
        if used >= most:
            wait = max(1, round(_WINDOW_SECONDS - (now - began)))
            headers |= {"Retry-After": str(wait), "X-RateLimit-Reset": str(round(time.time()) + wait)}
            raise Answer(429, {"message": "Too Many Attempts."}, headers)
        self._windows[who] = (began, used + 1)
        return headers

    def check(self, request: web.Request, profile: Profile, *abilities: str) -> None:
        """Everything that stands before a handler, in Coolify's order. Raises `Answer`."""
        token = self._token(request)
        if token is None:
            raise refuse(401, "Unauthenticated.")
        request[TOKEN] = token
        if not token["team"]:
            if profile.has_team_check:
                raise refuse(401, "Invalid token.")
            raise refuse(400, "Invalid token.", docs="https://coolify.io/docs/api-reference/authorization")
        self._check_role(token, profile)
        instance = self._state.data["instance"]
        if not instance["api_enabled"]:
            raise refuse(403, "API is disabled.", success=True)
        if not _address_allowed(request.remote or "", str(instance["allowed_ips"])):
            raise refuse(403, "You are not allowed to access the API.", success=True)
        if abilities and not {"root", *abilities} & set(token["abilities"]):
            raise refuse(403, f"Missing required permissions: {', '.join(abilities)}")

    def _check_role(self, token: Row, profile: Profile) -> None:
        if token["role"] != "member" or not profile.has_team_check:
            return
        elevated = sorted(set(token["abilities"]) - {"read"})
        if not elevated:
            return
        if profile.since("4.2.0"):
            raise refuse(
                403,
                f"This API token has permissions ({', '.join(elevated)}) that exceed your current role."
                " Please create a new token.",
            )
        raise refuse(403, "Missing required team role.")

    def enough_for_instance(self, request: web.Request) -> None:
        """Enabling the API: a root token, whether the API is enabled or not. Raises `Answer`."""
        token = self._token(request)
        if token is None:
            raise refuse(401, "Unauthenticated.")
        request[TOKEN] = token
        if "root" not in token["abilities"]:
            raise refuse(403, "You are not allowed to enable the API.")


def sees_secrets(request: web.Request) -> bool:
    """Whether values, logs and the like are shown to the token of this request."""
    token = request[TOKEN]
    return bool({"root", "read:sensitive"} & set(token["abilities"])) and token["role"] in ("owner", "admin")


def _address_allowed(remote: str, allowed: str) -> bool:
    entries = [entry.strip() for entry in allowed.split(",") if entry.strip()]
    if not entries or "0.0.0.0" in entries:
        return True
    try:
        address = ipaddress.ip_address(remote)
        return any(address in ipaddress.ip_network(entry, strict=False) for entry in entries)
    except ValueError:
        return False
