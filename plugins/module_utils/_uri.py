# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings as URIs: taken apart, and put together again with nothing changed but what was asked.

An application's driver may read parameters that PostgreSQL's own library does not know, in an encoding of its own:
therefore everything but host, port and password stays byte for byte. No error holds any part of the string but names.
"""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import quote, unquote

from ._errors import InvalidInput, RewindError
from ._secrets import MASK

DEFAULT_PORT = 5432
SCHEME = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?", re.IGNORECASE)
# As PostgreSQL's library reads it: user and password end at the first @ before any slash.
_URI = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^@/:]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<host>\[[^\]/?@]*\]|[^:/?@\[\]]*)(?::(?P<port>[^/?@]*))?"
    r"(?P<path>/[^?]*)?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_ELSEWHERE = frozenset({"host", "port", "user", "password", "dbname"})
_SECRET_PARAMETERS = frozenset({"sslpassword", "password", "passfile"})
# Some clients cannot name the host in TLS and say the compute in `options` or in front of the password (Neon's
# documentation, "Connection errors").
_ENDPOINT_OPTION = re.compile(r"(?P<before>(?:^|[\s&;]|--)endpoint=)(?P<id>[A-Za-z0-9-]+)")
_ENDPOINT_PASSWORD = re.compile(
    r"^(?P<before>endpoint=)(?P<id>[A-Za-z0-9-]+)(?P<between>[;$])(?P<password>.*)$", re.DOTALL
)


@dataclasses.dataclass(frozen=True, repr=False)
class ConnectionUri:
    """A connection string in its parts, each as it was written (percent-encoded)."""

    scheme: str
    raw_user: str
    raw_password: str | None
    raw_host: str
    raw_port: str | None
    raw_path: str | None
    raw_query: str | None

    def __repr__(self) -> str:
        return f"ConnectionUri({self.host}:{self.port})"

    @property
    def value(self) -> str:
        """The whole string, with the password."""
        return self._build(self.raw_password, self.raw_query)

    @property
    def template(self) -> str:
        """The string without its password and without parameters that hold a secret."""
        parts = [part for part in self._query_parts() if part.partition("=")[0] not in _SECRET_PARAMETERS]
        return self._build(None, self.raw_query and "&".join(parts))

    @property
    def user(self) -> str:
        return unquote(self.raw_user)

    @property
    def password(self) -> str | None:
        """The password, without a compute's id in front of it."""
        if self.raw_password is None:
            return None
        password = unquote(self.raw_password)
        prefixed = _ENDPOINT_PASSWORD.match(password)
        return prefixed["password"] if prefixed else password

    @property
    def host(self) -> str:
        """The host in lower case, an IPv6 address without its brackets."""
        return unquote(self.raw_host).strip("[]").lower()

    @property
    def port(self) -> int:
        return int(self.raw_port) if self.raw_port else DEFAULT_PORT

    @property
    def database(self) -> str:
        """The database; as in PostgreSQL's library the user's name where none is given."""
        return unquote((self.raw_path or "")[1:]) or self.user

    @property
    def pooled(self) -> bool:
        """Whether the host is a pooler's: ``ep-cool-frost-a1b2c3d4-pooler.region...``."""
        return self.host.partition(".")[0].endswith("-pooler")

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query, decoded, secrets masked."""
        pairs = [part.partition("=")[::2] for part in self._query_parts()]
        return {unquote(name): MASK if unquote(name) in _SECRET_PARAMETERS else unquote(value) for name, value in pairs}

    def moved(self, *, host: str, port: int | None, password: str | None, endpoint_id: str | None) -> ConnectionUri:
        """The string for another host: user, database and parameters stay byte for byte.

        :param port: the new host's port; None or 5432 is left out where the string had none.
        :param password: the password there; None or the same one leaves the present one as it is written.
        :param endpoint_id: replaces a compute's id in ``options`` or in front of the password, where there is one.
        """
        raw_port = self.raw_port
        if port is not None and port != self.port:
            raw_port = str(port)
        return dataclasses.replace(
            self,
            raw_host=f"[{host}]" if ":" in host else host,
            raw_port=raw_port,
            raw_password=self._moved_password(password, endpoint_id),
            raw_query=self._moved_query(endpoint_id),
        )

    def with_option(self, option: str) -> ConnectionUri:
        """The string with one more thing in its ``options`` parameter (Neon reads ``neon_timestamp`` there)."""
        parts = self._query_parts()
        for number, part in enumerate(parts):
            name, value = part.partition("=")[::2]
            if unquote(name) == "options":
                parts[number] = f"{name}={value}{'%20' if value else ''}{quote(option, safe='')}"
                break
        else:
            parts.append(f"options={quote(option, safe='')}")
        return dataclasses.replace(self, raw_query="&".join(parts))

    def without_option(self, name: str) -> ConnectionUri:
        """The string without one word ``name=...`` in its ``options`` parameter."""
        kept = []
        for part in self._query_parts():
            key, value = part.partition("=")[::2]
            if unquote(key) != "options":
                kept.append(part)
                continue
            words = [word for word in unquote(value).split() if not word.lstrip("-").startswith(f"{name}=")]
            if len(words) == len(unquote(value).split()):
                kept.append(part)
            elif words:
                kept.append(f"{key}={quote(' '.join(words), safe='')}")
        return dataclasses.replace(self, raw_query="&".join(kept) if kept else None)

    def for_libpq(self) -> str:
        """The string as PostgreSQL's own library takes it: parameters of other drivers are left out."""
        known = _libpq_parameters()
        kept = [part for part in self._query_parts() if unquote(part.partition("=")[0]) in known]
        plain = dataclasses.replace(self, scheme="postgresql")
        return plain._build(self.raw_password, "&".join(kept) if kept else None)

    def _query_parts(self) -> list[str]:
        return [part for part in (self.raw_query or "").split("&") if part]

    def _moved_password(self, password: str | None, endpoint_id: str | None) -> str | None:
        prefixed = _ENDPOINT_PASSWORD.match(unquote(self.raw_password or ""))
        new = self.password if password is None else password
        if prefixed is None or endpoint_id is None:
            return self.raw_password if new == self.password else quote(new or "", safe="")
        if new == self.password and prefixed["id"] == endpoint_id:
            return self.raw_password
        return quote(f"{prefixed['before']}{endpoint_id}{prefixed['between']}{new}", safe="")

    def _moved_query(self, endpoint_id: str | None) -> str | None:
        if endpoint_id is None or self.raw_query is None:
            return self.raw_query
        # Not through _query_parts: empty parts stay too.
        parts = self.raw_query.split("&")
        for number, part in enumerate(parts):
            name, value = part.partition("=")[::2]
            found = _ENDPOINT_OPTION.search(unquote(value)) if unquote(name) == "options" else None
            if found and found["id"] != endpoint_id:
                parts[number] = f"{name}={value.replace(found['id'], endpoint_id)}"
        return "&".join(parts)

    def _build(self, raw_password: str | None, raw_query: str | None) -> str:
        password = "" if raw_password is None else f":{raw_password}"
        # An empty user without a password is written without the @ that would come after it.
        user = f"{self.raw_user}{password}@" if self.raw_user or password else ""
        port = "" if self.raw_port is None else f":{self.raw_port}"
        query = "" if raw_query is None else f"?{raw_query}"
        return f"{self.scheme}://{user}{self.raw_host}{port}{self.raw_path or ''}{query}"


def parse_uri(value: str, what: str = "the connection string") -> ConnectionUri:
    """Take a connection string apart.

    :param what: what it is called in an error, for example ``DATABASE_URL of application x``.
    :raises InvalidInput: saying what is wrong, without any part of the string.
    """
    found = _URI.fullmatch(value.strip() if value.strip() != value and "\n" not in value.strip() else value)
    if found is None:
        raise _unusable(what, _why(value))
    uri = ConnectionUri(
        found["scheme"],
        found["user"] or "",
        found["password"],
        found["host"],
        found["port"],
        found["path"],
        found["query"],
    )
    _check(uri, what)
    return uri


def _why(value: str) -> str:
    if not value.strip():
        return "it is empty"
    if "://" not in value:
        return "it is not a URI such as postgresql://user:password@host/database"
    if value.strip().lower().startswith("jdbc:"):
        return "it is a JDBC URL (jdbc:...), which only Java reads; its user and password may be elsewhere"
    rest = value.partition("://")[2]
    if rest.partition("/")[0].count("@") > 1:
        return "it has more than one @: write those in user and password as %40"
    return "its host cannot be told; characters such as / and @ in the password must be percent-encoded"


def _check(uri: ConnectionUri, what: str) -> None:
    if not SCHEME.fullmatch(uri.scheme):
        raise _unusable(what, f"it is not one of PostgreSQL but of {uri.scheme}")
    if "," in uri.raw_host or "," in (uri.raw_port or ""):
        raise _unusable(what, "it names several hosts")
    elsewhere = sorted(_ELSEWHERE & set(uri.parameters))
    if elsewhere:
        raise _unusable(what, f"it gives {', '.join(elsewhere)} as a parameter after the question mark")
    if not uri.raw_host:
        raise _unusable(what, "it names no host")
    if uri.raw_port and not (uri.raw_port.isascii() and uri.raw_port.isdigit() and 0 < int(uri.raw_port) < 65536):
        raise _unusable(what, "its port is not a number between 1 and 65535")
    if not uri.raw_user:
        raise _unusable(what, "it names no user")


def _unusable(what: str, reason: str) -> InvalidInput:
    return InvalidInput(
        f"use {what}: {reason}",
        code="connection_string_unusable",
        hint="Write it as postgresql://user:password@host:port/database?parameters, with one host.",
    )


def _libpq_parameters() -> frozenset[str]:
    try:
        from psycopg import pq
    except ImportError:
        raise RewindError(
            "import psycopg: the Python library is missing",
            code="missing_library",
            hint="Install it for the Python that runs Ansible: pip install 'psycopg[binary]'.",
        ) from None
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
