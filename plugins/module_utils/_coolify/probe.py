# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the application itself whether it is well, beside Coolify's cached status."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .. import _http
from .._errors import InvalidInput

try:
    import httpx
except ImportError:
    HTTPX_ERROR: str | None = traceback.format_exc()
else:
    HTTPX_ERROR = None

_TIMEOUT = 5.0


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
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput("use health_url: it is not an http or https address", hint="Set it to a whole address.")
        _http.require_httpx()
        verify = ssl.create_default_context(cafile=ca_path) if ca_path else True
        transport = _http.open_transport(verify=verify, proxy=proxy or None, trust_env=False, retries=0)
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
