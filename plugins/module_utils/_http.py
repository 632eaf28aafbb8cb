# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP for both APIs: explicit timeouts, a read is retried, a write is sent once.

Neon's rule (GeneralError in its API description): GET is safe to repeat; POST, PATCH, PUT and DELETE are not, except
after 423 and 503, which say that nothing was done. 429 says the same in both APIs.
"""

from __future__ import annotations

import dataclasses
import json as jsonlib
import random
import ssl
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ._answers import Reply, error_text, expected, query_value, retry_after, says_json
from ._errors import (
    ApiError,
    InvalidInput,
    Locked,
    NotFound,
    RewindError,
    Unauthorized,
    UnknownOutcome,
    Unreachable,
)
from ._predicted import predicted_in
from ._task import Task
from ._waiter import Deadline, backoff

__all__ = ["Api", "Reply", "Service", "error_text", "open_transport", "require_httpx", "retry_after"]

try:
    import httpx
except ImportError:
    HTTPX_ERROR: str | None = traceback.format_exc()
else:
    HTTPX_ERROR = None

# Reads are retried this often after network errors, unusable bodies and 5xx; 429 is waited out until the deadline.
READ_ATTEMPTS = 6
# Neither API documents a longer pause; a proxy in between might send nonsense.
LONGEST_RETRY_AFTER = 120.0
LONGEST_CONNECT = 15.0


@dataclasses.dataclass(frozen=True)
class Service:
    """What differs between the APIs: how a token is given, and which statuses of a write mean that nothing was done."""

    name: str
    token_option: str
    token_variable: str
    url_option: str
    not_done: frozenset[int]


SERVICES = {
    "neon": Service("Neon", "neon_api_key", "NEON_API_KEY", "neon_api_url", frozenset({423, 429, 503})),
    "coolify": Service("Coolify", "coolify_access_token", "COOLIFY_ACCESS_TOKEN", "coolify_api_url", frozenset({429})),
}


def open_transport(**options: Any) -> httpx.BaseTransport:
    """The transport of real requests; tests put a scripted one in its place."""
    return httpx.HTTPTransport(**options)


class Api:
    """One API with one token. Give it a `Deadline`, or ``deadline`` stays as long as the task lives.

    :param base_url: with the path that all requests share, without a slash at its end.
    :param timeout: seconds for connecting and for each pause of the answer.
    :param service: ``neon`` or ``coolify``.
    :param deadline: when to stop waiting out 423, 429 and 503.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: str | None,
        task: Task,
        service: str,
        ca_path: str | None = None,
        proxy: str | None = None,
        timeout: float = 30.0,
        deadline: Deadline | None = None,
    ) -> None:
        self.service = SERVICES[service]
        self.base_url = _checked_url(base_url, self.service, task)
        self.task = task
        self.deadline = deadline or Deadline(None)
        # Every write that was sent, for tests and reports: (method, path).
        self.writes: list[tuple[str, str]] = []
        self._timeout = timeout
        self._random = random.Random(f"{service} {base_url}")
        self._headers = _headers(self.service, token, task)
        self._proxy = _checked_proxy(proxy, task)
        self._ca_path = ca_path
        self._opened: httpx.Client | None = None

    def get(self, path: str, **options: Any) -> Reply:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Reply:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Reply:
        return self.request("PATCH", path, **options)

    def put(self, path: str, **options: Any) -> Reply:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Reply:
        return self.request("DELETE", path, **options)

    @property
    def _headers(service: Service, token: str | None, task: Task) -> dict[str, str]:
    require_httpx()
    if not token:
        raise Unauthorized(
            f"authenticate with {service.name}: no token was given",
            hint=f"Set {service.token_option}, or {service.token_variable} in the environment.",
        )
    if not token.isascii() or any(character.isspace() for character in token):
        raise Unauthorized(
            f"authenticate with {service.name}: the token contains characters that no token has",
            hint=f"Look for a line break or a space in {service.token_option}.",
        )
    return {
        "Authorization": f"Bearer {task.secret(token)}",
        "Accept": "application/json",
        "User-Agent": "rewind.database",
    }


def _checked_proxy(proxy: str | None, task: Task) -> str | None:
    if not proxy:
        return None
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(
            "use proxy: it is not an http or https address", hint="Set proxy to an address such as http://host:3128."
        )
    if parts.password:
        task.secret(parts.password)
    return proxy


def _verify(ca_path: str | None, service: Service) -> ssl.SSLContext | bool:
    if not ca_path:
        return True
    try:
        return ssl.create_default_context(cafile=ca_path)
    except OSError as error:
        raise InvalidInput(
            f"prepare the connection to {service.name}: {ca_path} cannot be used: {error.strerror or error}",
            hint="Set ca_path to a file with certificates in PEM format.",
        ) from None


def _checked_url(url: str, service: Service, task: Task) -> str:
    parts = urlsplit(url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidInput(
            f"use {service.url_option}: it is not an http or https address",
            hint=f"Set {service.url_option} to an address such as https://host/path, without user, query or fragment.",
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        task.warn(f"{service.url_option} uses http: the token of {service.name} is sent without encryption.")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
