# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which compute a client means: by the host name in TLS, or by ``options=endpoint=…``, as on Neon."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from sandbox.proxy.messages import Refused
from sandbox.proxy.scram import Secret

_POOLER = "-pooler"
_TRAVEL = ("neon_timestamp", "neon_lsn")
# Neon's own words (document: "Connection errors"), its address shortened.
_NO_ENDPOINT = (
    "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support or pass "
    "the endpoint ID (first part of the domain name) as a parameter: '?options=endpoint%3D<endpoint-id>'."
)


@dataclass(frozen=True)
class Route:
    """Where a client's connection goes."""

    key: str
    """The endpoint's id: what `Proxy.drop` and `Proxy.sessions` take."""
    timeline: str
    port: int
    """Of the PostgreSQL server behind."""
    read_only: bool
    pooled: bool


class ProxyBackend(Protocol):
    """What the proxy must be told, by whoever keeps computes and roles."""

    async def route(self, *, host_id: str, pooled: bool, options: dict[str, str]) -> Route:
        """Finds the compute, and wakes it when it is suspended. Raises `Refused`.

        `host_id` is ``ep-…`` (without ``-pooler``) or ``br-…``; `options` holds what was said of
        ``neon_timestamp`` and ``neon_lsn``. Called again when the server has just gone.
        """
        ...

    async def secret(self, route: Route, role: str) -> Secret | None:
        """The role's password there, or its verifier; None for a role that does not exist or cannot log in."""
        ...

    def connected(self, route: Route) -> None:
        """A client has logged in."""
        ...

    def disconnected(self, route: Route) -> None:
        """A client that had logged in is gone."""
        ...


@dataclass(frozen=True)
class Address:
    """What a client said about where it wants to go."""

    host_id: str
    pooled: bool
    travel: dict[str, str]
    options: str
    """What remains of the start-up packet's ``options`` for the server."""


def find_address(server_name: str | None, options: str) -> Address:
    """Raises `Refused` when no endpoint is named, or two different ones are."""
    named, travel, rest = _split(options)
    from_host = _first_label(server_name)
    if named and from_host and _strip(named) != _strip(from_host):
        raise Refused(
            f"Inconsistent project name inferred from SNI ('{from_host}') and project option ('{named}').", "08P01"
        )
    chosen = named or from_host
    if not chosen:
        raise Refused(_NO_ENDPOINT, "08P01")
    pooled = chosen.endswith(_POOLER) or bool(from_host and from_host.endswith(_POOLER))
    return Address(_strip(chosen), pooled, travel, rest)


def _strip(name: str) -> str:
    return name.removesuffix(_POOLER)


def _first_label(server_name: str | None) -> str | None:
    if not server_name or "." not in server_name:  # "localhost" names no endpoint
        return None
    return server_name.split(".", 1)[0].lower()


def _split(options: str) -> tuple[str | None, dict[str, str], str]:
    named: str | None = None
    travel: dict[str, str] = {}
    rest: list[str] = []
    # PostgreSQL's rule: spaces separate, a backslash keeps the next character.
    for word in re.findall(r"(?:\\.|[^\s\\])+", options):
        plain = re.sub(r"\\(.)", r"\1", word)
        option = re.fullmatch(r"(endpoint|project)=(.+)", plain)
        past = re.fullmatch(rf"({'|'.join(_TRAVEL)})[:=](.+)", plain)
        if option:
            named = option[2]
        elif past:
            travel[past[1]] = past[2]
        elif not plain.startswith("neon_"):
            rest.append(word)
    return named, travel, " ".join(rest)
