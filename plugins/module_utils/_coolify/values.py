# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to an env row's value on its way into a container, and what it takes to arrive unchanged.

From Coolify's source: a literal or multiline row is written ``KEY='value'`` and an inner ``'`` is not escaped; any
other is written ``KEY=value`` with ``\\ " '`` backslash-escaped, and compose then expands ``$NAME``. The API trims
white space at both ends and stores an empty text as null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._errors import InvalidInput

_URI = re.compile(r"(?P<scheme>postgres(?:ql)?(?:\+[a-z0-9_]+)?://)(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
_SHARED = re.compile(r"\{\{\s*(?P<scope>team|project|environment|server)\.(?P<key>[^{}\s]+?)\s*\}\}")
_POOLER = "-pooler"

# What a row that is not literal does not carry unchanged, as it is written in a URI.
_ENCODED_PLAIN = {"$": "%24", "'": "%27", '"': "%22", "\\": "%5C"}
_ENCODED_LITERAL = {"'": "%27"}


def stored(value: str | None) -> str | None:
    """The value as Coolify will store it: trimmed, and null when nothing is left."""
    text = (value or "").strip()
    return text or None


def is_uri(value: str) -> bool:
    """Whether this is a PostgreSQL connection URI (also with a driver: ``postgresql+asyncpg://``)."""
    return _URI.fullmatch(value) is not None


def shared_references(value: str | None) -> list[str]:
    """The shared variables that a value takes its content from: ``team.DATABASE_URL``."""
    return [f"{found['scope']}.{found['key']}" for found in _SHARED.finditer(value or "")]


def with_shared(value: str, shared: Mapping[str, str]) -> str:
    """The value with each shared variable that is known put in; a reference to any other stays as it is.

    :param shared: by scope and name: ``team.DATABASE_URL``.
    """
    return _SHARED.sub(lambda found: shared.get(f"{found['scope']}.{found['key']}", found[0]), value)


def arriving(value: str, *, literal: bool, key: str) -> str:
    """The value so written that the container gets what was meant.

    In a connection URI the characters that would change are percent-encoded: every client decodes them.

    :raises InvalidInput: for a value that is no URI and that such a row cannot carry.
    """
    encoded = _ENCODED_LITERAL if literal else _ENCODED_PLAIN
    found = _URI.fullmatch(value)
    if found is not None:
        rest = "".join(encoded.get(character, character) for character in found["rest"])
        return found["scheme"] + _without_fragment(rest)
    if literal and "'" in value:
        raise InvalidInput(
            f"set {key}: a literal row cannot carry a single quote (Coolify writes it unescaped into the .env file)",
            hint="Set is_literal to false for this row, or change the value.",
        )
    return value


def _without_fragment(rest: str) -> str:
    """Encode ``#`` in user and password: many URL parsers take it for the start of a fragment."""
    user, at, host = rest.rpartition("@")
    return user.replace("#", "%23") + at + host


def altered(value: str, *, literal: bool) -> list[str]:
    """Why a value that is no connection URI would reach the container changed; empty when it arrives as it is."""
    if literal or is_uri(value) or value[:1] in "{[":
        return []
    reasons = []
    if "$" in value:
        reasons.append("compose expands $NAME in a row that is not literal")
    if " #" in value:
        reasons.append("a # after a space starts a comment in a row that is not literal")
    if any(character in value for character in "\\\"'"):
        reasons.append("quotes and backslashes reach the container with a backslash before them")
    return reasons


def direct_host(host: str) -> tuple[str, bool]:
    """The direct form of a Neon host and whether the given one was the pooled form (``<endpoint>-pooler.<rest>``)."""
    label, dot, rest = host.lower().partition(".")
    if label.endswith(_POOLER):
        return label.removesuffix(_POOLER) + dot + rest, True
    return label + dot + rest, False


class HostSet:
    """Hosts whose users are looked for, direct and pooled alike.

    :param hosts: ``host`` or ``host:port``; the port counts only where the value names one too.
    """

    def __init__(self, hosts: list[str]) -> None:
        self._ports: dict[str, set[str]] = {}
        for entry in hosts:
            before, _colon, after = entry.strip().rpartition(":")
            name, port = (before, after) if after.isdigit() else (entry, "")
            self._ports.setdefault(direct_host(name.strip())[0], set()).add(port)
        forms = []
        for host in self._ports:
            label, dot, rest = host.partition(".")
            forms.append(f"{re.escape(label)}(?:{_POOLER})?{re.escape(dot + rest)}")
        # Not inside a longer name: ep-a must not match in ep-a-b or x.ep-a.
        self._pattern = re.compile(
            rf"(?<![\w.-])(?P<host>{'|'.join(forms)})(?![\w-]|\.\w)(?::(?P<port>\d+))?", re.IGNORECASE
        )

    def find(self, value: str | None) -> tuple[str, bool, str | None] | None:
        """The host named in a value as written there, whether it is the pooled form, and its port; else None.

        Any text counts, not only URIs: applications also take the host from a row of its own, or as JDBC.
        """
        for found in self._pattern.finditer(value or "") if self._ports else ():
            host, pooled = direct_host(found["host"])
            wanted = self._ports[host]
            if "" in wanted or found["port"] is None or found["port"] in wanted:
                return found["host"], pooled, found["port"]
        return None
