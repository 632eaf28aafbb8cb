# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit's lines about the connection: TLS, whether the string is right, how many connections there are."""

from __future__ import annotations

from .audit_parts import FAILED, OK, UNKNOWN, WARN, Finding, Line, State, World, plainly, states

_VERIFIED = frozenset({"verify-ca", "verify-full"})
_NOT_LOOKED_AT = "not looked at: suspended"


def _tls(world: World) -> Finding:
    primary = world.known_primary
    parameters = primary.connection.get("parameters")
    if parameters is None:
        return Finding(UNKNOWN, "unknown: the parameters of the string cannot be read")
    mode = str(parameters.get("sslmode") or parameters.get("ssl") or "").lower()
    if mode in _VERIFIED:
        return Finding("verified", f"sslmode={mode}")
    if mode in ("require", "true", "1", "no-verify"):
        return Finding("required", f"sslmode={mode}")
    if mode in ("disable", "false", "0"):
        return Finding("off", f"sslmode={mode}")
    return Finding("optional", f"sslmode={mode}" if mode else "the string says nothing about it")


def _string(world: World) -> Finding:
    primary = world.known_primary
    held, told = primary.connection.get("hash"), world.connection.get("hash")
    if not held or not told:
        return Finding(UNKNOWN, "unknown: one of the two strings has no hash")
    if held == told:
        return Finding("same", "as Neon gives it")
    return Finding("differs", "its password or its port is not the one that Neon gives")


def _connections(world: World) -> Finding:
    primary = world.known_primary
    if primary.address.endpoint.get("disabled"):
        return Finding("refused", "refused: the compute is disabled")
    why = world.unread.get("sessions")
    if why is not None:
        if world.asleep:
            return Finding("suspended", _NOT_LOOKED_AT)
        if why.code == "connection_failed":
            return Finding("refused", why.reason)
        return Finding(UNKNOWN, f"unknown: {why.reason}")
    counted = world.sessions.get("connections") or {}
    used, most = counted.get("used"), counted.get("max")
    if used is None or not most:
        return Finding(UNKNOWN, "unknown: the server does not say")
    room = int(most) - int(counted.get("reserved") or 0)
    share = 100 * int(used) / max(room, 1)
    found = f"{used} of {room} ({share:.0f} %)"
    if share >= world.limits.connections_fail:
        return Finding("exhausted", found)
    return Finding("many" if share >= world.limits.connections_warn else "room", found)


LINES = (
    Line(
        "tls",
        "TLS",
        ("primary",),
        plainly("required by the string"),
        _tls,
        states(
            FAILED,
            verified=State(OK),
            required=State(OK),
            optional=State(WARN, "Add sslmode=require to the connection string: Neon refuses anything else."),
            off=State(FAILED, "Write sslmode=require into the connection string: Neon refuses anything else."),
        ),
    ),
    Line(
        "connection_string",
        "Connection string",
        ("primary", "connection"),
        plainly("the one that Neon gives"),
        _string,
        states(
            WARN,
            same=State(OK),
            differs=State(
                FAILED,
                "Take the string from Neon again and write it into the row (the role's password may have been reset), "
                "then deploy.",
            ),
        ),
    ),
    Line(
        "connections",
        "Connections",
        ("primary",),
        lambda world: f"below {world.limits.connections_warn:g} % of the maximum",
        _connections,
        states(
            WARN,
            room=State(OK),
            suspended=State(WARN, "Nothing, if it may sleep; -e wake=true wakes the compute and looks."),
            many=State(WARN, "Use the pooled address, or raise the compute's size."),
            exhausted=State(FAILED, "End idle sessions, use the pooled address, or raise the compute's size."),
            refused=State(
                FAILED,
                "See the lines Connection string, TLS and IP allowlist; is the address of this machine on the list?",
            ),
        ),
    ),
)
