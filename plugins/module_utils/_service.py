# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services: how each is reached and how it is told who asks."""

from __future__ import annotations

import dataclasses
import ssl
from urllib.parse import SplitResult, urlsplit

from ._errors import InvalidInput, Unauthorized
from ._task import Task


@dataclasses.dataclass(frozen=True)
class Service:
    """What differs between the APIs: how a token is given, and which statuses of a write mean that nothing was done.

    ``objects`` is set where every answer of success but 204 holds a JSON object, so that anything else is none of its.
    """

    name: str
    token_option: str
    token_variable: str
    url_option: str
    not_done: frozenset[int]
    objects: bool = False


SERVICES = {
    "neon": Service("Neon", "neon_api_key", "NEON_API_KEY", "neon_api_url", frozenset({423, 429, 503}), objects=True),
    "coolify": Service("Coolify", "coolify_access_token", "COOLIFY_ACCESS_TOKEN", "coolify_api_url", frozenset({429})),
    "sentry": Service("Sentry", "sentry_auth_token", "SENTRY_AUTH_TOKEN", "sentry_api_url", frozenset({429})),
}


def headers(service: Service, token: str | None, task: Task) -> dict[str, str]:
    """What every request carries; the token is registered as a secret.

    :raises Unauthorized: where there is no token, or one that cannot be one.
    """
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


def checked_proxy(proxy: str | None, task: Task) -> str | None:
    """The proxy, its password registered as a secret.

    :raises InvalidInput: where it is not an http or https address.
    """
    if not proxy:
        return None
    parts = http_parts(proxy)
    if parts is None:
        raise InvalidInput(
            "use proxy: it is not an http or https address", hint="Set proxy to an address such as http://host:3128."
        )
    if parts.password:
        task.secret(parts.password)
    return proxy


def verify(ca_path: str | None, service: Service) -> ssl.SSLContext | bool:
    """How to verify certificates: by the system's authorities, or by those of a file.

    :raises InvalidInput: where the file cannot be used.
    """
    if not ca_path:
        return True
    try:
        return ssl.create_default_context(cafile=ca_path)
    except OSError as error:
        raise InvalidInput(
            f"prepare the connection to {service.name}: {ca_path} cannot be used: {error.strerror or error}",
            hint="Set ca_path to a file with certificates in PEM format.",
        ) from None


def checked_url(url: str, service: Service, task: Task) -> str:
    """The address without a slash at its end; one without encryption is warned about, except on this machine.

    :raises InvalidInput: where it is none.
    """
    parts = http_parts(url or "")
    if parts is None or parts.username or parts.query or parts.fragment:
        raise InvalidInput(
            f"use {service.url_option}: it is not an http or https address",
            hint=f"Set {service.url_option} to an address such as https://host/path, without user, query or fragment.",
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        task.warn(f"{service.url_option} uses http: the token of {service.name} is sent without encryption.")
    # As it was taken apart: "HTTPS://" is https too, and must be treated so by whoever looks at the beginning.
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def http_parts(url: str) -> SplitResult | None:
    """The parts of an http or https address; None where it is none."""
    try:
        parts = urlsplit(url.strip())
        # Reading the port is what checks it.
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
