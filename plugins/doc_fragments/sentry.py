# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options that reach Sentry."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  sentry_auth_token:
    description:
      - The token of Sentry. It needs the scope C(project:read).
      - Without this option the host variable C(rewind_sentry_auth_token) is used, then the environment variable
        E(SENTRY_AUTH_TOKEN).
    type: str
  sentry_api_url:
    description:
      - The address of Sentry, with or without C(/api/0) at its end - V(https://de.sentry.io) for an organization whose
        data lie in Germany, or that of a server of one's own.
      - Without this option the host variable C(rewind_sentry_api_url) is used, then the environment variable
        E(SENTRY_API_URL).
    type: str
    default: https://sentry.io
  ca_path:
    description:
      - A file with the certificates of the authorities to trust, instead of those of the system.
      - Without this option the host variable C(rewind_ca_path) is used.
    type: path
  proxy:
    description:
      - The address of an HTTP proxy. The proxy variables of the environment are not read.
      - Without this option the host variable C(rewind_proxy) is used.
    type: str
  request_timeout:
    description:
      - Seconds to wait for an answer to one request.
    type: float
    default: 30.0
requirements:
  - httpx
notes:
  - Reads are repeated after network errors and after 429, as late as Sentry asks for.
  - On a local connection the module runs in the controller's own process, unless O(ignore:async) or
    O(ignore:environment) is used.
"""
