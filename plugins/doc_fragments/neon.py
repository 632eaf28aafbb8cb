# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options that reach Neon."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  neon_api_key:
    description:
      - The API key of Neon. A personal, an organization or a project-scoped key will do.
      - Without this option the host variable C(rewind_neon_api_key) is used, then the environment variable
        E(NEON_API_KEY).
    type: str
  neon_api_url:
    description:
      - The address of Neon's API.
      - Without this option the host variable C(rewind_neon_api_url) is used, then the environment variable
        E(NEON_API_URL).
    type: str
    default: https://console.neon.tech/api/v2
  neon_requests_per_minute:
    description:
      - How many requests the service allows in a minute. Neon allows an account 700.
      - Kept to, with a margin, by all processes of this user on this machine together - a request that does not fit
        yet waits. V(0) sends at once and leaves it to the service to refuse.
      - Without this option the host variable C(rewind_neon_requests_per_minute) is used, then the environment
        variable E(REWIND_NEON_REQUESTS_PER_MINUTE).
    type: int
    default: 700
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
      - Seconds to wait for an answer to one request, and again for its whole body.
    type: float
    default: 30.0
requirements:
  - httpx
notes:
  - Reads are repeated after network errors and wait out 423, 429 and 503. A write is sent once; only these answers,
    which say that nothing was done, are waited out.
  - On a local connection the module runs in the controller's own process, unless O(ignore:async) or
    O(ignore:environment) is used.
"""
