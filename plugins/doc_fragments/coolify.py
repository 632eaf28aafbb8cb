# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options that reach Coolify."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  coolify_access_token:
    description:
      - The access token of Coolify, in the form C(number|secret).
      - Without this option the host variable C(rewind_coolify_access_token) is used, then the environment variable
        E(COOLIFY_ACCESS_TOKEN).
    type: str
  coolify_api_url:
    description:
      - The address of Coolify, with or without C(/api/v1) at its end.
      - Without this option the host variable C(rewind_coolify_api_url) is used, then the environment variable
        E(COOLIFY_API_URL).
    type: str
  coolify_requests_per_minute:
    description:
      - How many requests the service allows in a minute. Coolify allows a user 200, unless its setting
        E(API_RATE_LIMIT) says otherwise.
      - Kept to, with a margin, by all processes of this user on this machine together - a request that does not fit
        yet waits. V(0) sends at once and leaves it to the service to refuse.
      - Without this option the host variable C(rewind_coolify_requests_per_minute) is used, then the environment
        variable E(REWIND_COOLIFY_REQUESTS_PER_MINUTE).
    type: int
    default: 200
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
  - Reads are repeated after network errors and wait out 429 and 503. A write is sent once; the answer 429, which says
    that nothing was done, is waited out, and after any other doubt what stands in Coolify is read back first.
  - On a local connection the module runs in the controller's own process, unless O(ignore:async) or
    O(ignore:environment) is used.
"""
