# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the application itself whether it is well, beside Coolify's cached status."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Mapping
from typing import Any

from .. import _http
from .._errors import InvalidInput
from .._service import http_parts

try:
    import httpx
except ImportError:
    HTTPX_ERROR: str | None = traceback.format_exc()
else:
    HTTPX_ERROR = None

_TIMEOUT = 5.0


def verify(ca_path: str | None) -> ssl.SSLContext:
    """By the public authorities as well: `ca_path` is meant for Coolify, and the application may have another."""
    context = httpx.create_ssl_context(trust_env=False)
    if not ca_path:
        return context
    try:
        context.load_verify_locations(cafile=ca_path)
    except OSError as error:
        raise InvalidInput(
            f"prepare the connection to health_url: {ca_path} cannot be used: {error.strerror or error}",
            hint="Set ca_path to a file with certificates in PEM format.",
        ) from None
    return context


class Probe:
    """One GET per look; any 2xx is good, also a redirect is not.

    :param url: None for no probe: `good` then answers None.
    :raises InvalidInput: for something that is no http address.
    """

    def __init__(self, url: str | None, *, ca_path: str | None = None, proxy: str | None = None) -> None:
        self._client: httpx.Client | None = None
        self._url = url or ""
        self.last = ""
        if not url:
            return
        if http_parts(url) is None:
            raise InvalidInput("use health_url: it is not an http or https address", hint="Set it to a whole address.")
        _http.require_httpx()
        transport = _http.open_transport(verify=verify(ca_path), proxy=proxy or None, trust_env=False, retries=0)
        self._client = httpx.Client(transport=transport, trust_env=False, timeout=_TIMEOUT, follow_redirects=False)

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Probe:
        """From a task's options."""
        return cls(params.get("health_url"), ca_path=params.get("ca_path"), proxy=params.get("proxy"))

    def good(self) -> bool | None:
        """Whether the application answers well right now; `last` says how it answered."""
        if self._client is None:
            return None
        try:
            status = self._client.get(self._url).status_code
        except httpx.HTTPError as error:
            self.last = type(error).__name__
            return False
        self.last = f"HTTP {status}"
        return 200 <= status < 300
