# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a token may do. Coolify has no endpoint that tells, so each ability is proven by a request that needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._errors import RewindError
from .._http import Reply
from .client import CoolifyClient
from .rows import Row

PROVEN, MISSING, UNPROVEN = "proven", "missing", "unproven"

# As long as a uuid of Coolify, of an alphabet that it does not use up: no such thing exists.
UNKNOWN = "rewind0probe0unknown0xyz"
# Present only for tokens that may read sensitive fields.
_SENSITIVE_FIELDS = ("custom_labels", "dockerfile", "docker_compose_raw", "manual_webhook_secret_github")


def sensitive(rows: Sequence[Row], application: Mapping[str, Any] | None) -> str:
    """Whether values are shown. A locked row proves nothing: since 4.2.0 nobody sees its value."""
    plain = [row for row in rows if not row.locked]
    if any(row.readable for row in rows):
        return PROVEN
    if plain:
        return MISSING
    return PROVEN if application and any(field in application for field in _SENSITIVE_FIELDS) else UNPROVEN


def probe(client: CoolifyClient, *, check_mode: bool) -> dict[str, str]:
    """Prove ``write`` and ``deploy`` by requests about things that do not exist, so that they change nothing.

    Coolify looks at abilities before it looks for the thing: a 404 shows that the ability is there. In check mode
    nothing but GET is sent, so both stay unproven.
    """
    if check_mode:
        return {"write": UNPROVEN, "deploy": UNPROVEN}
    write = _outcome(lambda: client.probe_write(UNKNOWN))
    deploy = _outcome(lambda: client.probe_deploy(UNKNOWN)) if client.version.can_cancel else UNPROVEN
    return {"write": write, "deploy": deploy}


def _outcome(send: Callable[[], Reply]) -> str:
    try:
        reply = send()
    except RewindError:
        return UNPROVEN
    if reply.status in (401, 403):
        return MISSING
    # "Not found." with a link to the documentation: the route itself is unknown, so nothing was looked at.
    known_route = not (isinstance(reply.body, dict) and "docs" in reply.body)
    return PROVEN if reply.status in (400, 404, 422) and known_route else UNPROVEN
