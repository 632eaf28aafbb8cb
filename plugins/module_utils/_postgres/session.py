# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions: connecting with an application's own string, waiting for its compute, one snapshot for all reads."""

from __future__ import annotations

import contextlib
import functools
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from .._errors import InvalidInput, RewindError
from .._secrets import Masker
from .._task import plain
from .._uri import parse_uri
from .._waiter import Deadline, backoff

try:
    import psycopg
    from psycopg import pq
    from psycopg.adapt import Buffer, Loader
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import dict_row
except ImportError:
    PSYCOPG_ERROR: str | None = traceback.format_exc()
else:
    PSYCOPG_ERROR = None

APPLICATION_NAME = "rewind"
Row = dict[str, Any]
Statement: TypeAlias = "tuple[str, Sequence[Any] | None]"

# What other drivers write for libpq's sslmode: ssl=true (JDBC), sslmode=no-verify (node-postgres).
_OTHER_SSL = {"true": "require", "no-verify": "require"}

_NEVER = re.compile(
    r"password authentication failed|no password supplied|role \S+ does not exist|database \S+ does not exist"
    r"|endpoint has been disabled|endpoint \S* ?(?:could not be found|not found|does not exist)|certificate"
    r"|channel binding|no pg_hba\.conf entry|permission denied|not permitted to log in"
    r"|invalid (?:sslmode|connection option)"
    r"|server does not support SSL|SSL is not enabled|unsupported startup parameter|quota",
    re.IGNORECASE,
)
_SOON = re.compile(
    r"starting up|shutting down|not yet accepting|recovery|connection refused|time(?:d )?\s?out|closed the connection"
    r"|reset by peer|too many (?:clients|connections)|remaining connection slots|control plane|compute node"
    r"|console request|could not (?:connect|receive|send)|broken pipe|terminated by administrator|EOF detected"
    r"|temporar|translate host name|name resolution|no route to host|network is unreachable|locked",
    re.IGNORECASE,
)
_UNKNOWN_ATTEMPTS = 3
_LONGEST_TEXT = 400

# Every text that a hash or a comparison is made of must not depend on how a role or a database is configured.
# GMT, not UTC: it is built in, where UTC needs time zone files that some installations lack.
_SETTINGS = {
    "timezone": "GMT",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "row_security": "off",
    "jit": "off",
}
_INSTANTS = b"SET timezone = 'GMT'; SET datestyle = 'ISO, YMD'"
_READ_ONLY = b"; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"


@dataclass(frozen=True)
class Limits:
    """How long anything may take, in seconds.

    :param connect: one attempt to connect.
    :param ready: all attempts together; a suspended compute needs some seconds to start.
    :param statement: one statement.
    :param lock: waiting for one lock.
    """

    connect: float = 15.0
    ready: float = 60.0
    statement: float = 60.0
    lock: float = 5.0


class DatabaseError(RewindError):
    """PostgreSQL, or something before it, refused or did not answer."""

    default_code = "database_error"


class ConnectionFailed(DatabaseError):
    """No session could be opened."""

    default_code = "connection_failed"


def require_psycopg() -> None:
    """:raises InvalidInput: when psycopg cannot be imported here."""
    if PSYCOPG_ERROR is not None:
        raise InvalidInput(
            "connect to PostgreSQL: the Python library psycopg (version 3) is missing or does not load",
            code="missing_library",
            hint='Install it into the Python that runs this task: pip install "psycopg[binary]>=3.2".',
        )


@dataclass(frozen=True, repr=False)
class Address:
    """Where to connect, fit for libpq.

    :param conninfo: secret.
    :param schema: the value of the parameter ``schema``, which some clients turn into the search path.
    :param pooled: it goes through a transaction pooler: no session settings, no pipelining.
    """

    conninfo: str
    host: str
    port: int
    database: str
    user: str
    schema: str | None
    pooled: bool
    masker: Masker

    def __repr__(self) -> str:
        return f"Address({self.place})"

    @classmethod
    def of(cls, connection_string: str) -> Address:
        """Read a connection string.

        :raises InvalidInput: without showing any of it.
        """
        require_psycopg()
        uri = parse_uri(connection_string)
        masker = Masker([connection_string, uri.value, uri.password, uri.raw_password])
        try:
            parts = conninfo_to_dict(uri.for_libpq())
        except psycopg.Error:
            # libpq quotes what it could not read, and that may be a part of the password.
            raise InvalidInput(
                f"read the connection string of {uri.host}: PostgreSQL's library does not understand it",
                hint="Check its parameters and their percent-encoding.",
            ) from None
        masker.add(parts.get("sslpassword"))
        if parts.get("sslmode") is None or parts["sslmode"] in _OTHER_SSL:
            other = _OTHER_SSL.get(str(parts.get("sslmode") or uri.parameters.get("ssl")))
            parts["sslmode"] = other or parts.get("sslmode")
        return cls(
            make_conninfo("", **parts),
            uri.host,
            uri.port,
            uri.database,
            uri.user,
            uri.parameters.get("schema"),
            uri.pooled,
            masker,
        )

    @property
    def place(self) -> str:
        """For messages: host, port and database."""
        return f"{self.host}:{self.port}/{self.database}"


class Session:
    """One connection. `run` sends statements together where the way there allows it."""

    def __init__(self, connection: psycopg.Connection[Any], address: Address, limits: Limits) -> None:
        self.connection = connection
        self.address = address
        self.limits = limits

    @property
    def tls(self) -> bool:
        """Whether this side of the connection is encrypted; what lies behind a pooler cannot be seen from here."""
        return bool(self.connection.pgconn.ssl_in_use)

    @property
    def pid(self) -> int:
        """The server process of this session; of no meaning behind a pooler."""
        return int(self.connection.info.backend_pid)

    def run(self, *statements: Statement) -> list[list[Row]]:
        """Run statements in order, in one round trip where possible, and return the rows of each.

        :raises psycopg.Error: of the first that fails; what follows it is not run.
        """
        cursors = []
        with self._together(len(statements)):
            for text, params in statements:
                cursor = self.connection.cursor(row_factory=dict_row)
                cursor.execute(text.encode(), params)
                cursors.append(cursor)
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def one(self, text: str, params: Sequence[Any] | None = None) -> Row:
        """The only row of a statement."""
        return self.run((text, params))[0][0]

    def try_each(self, statements: Sequence[Statement]) -> list[list[Row] | DatabaseError]:
        """Run statements that may fail inside the open transaction; a failed one does not touch the others.

        First all in one round trip; only when one fails, each on its own.
        """
        if not statements:
            return []
        savepoint = ("SAVEPOINT rewind", None)
        try:
            return list(self.run(savepoint, *statements, ("RELEASE SAVEPOINT rewind", None))[1:-1])
        except psycopg.Error as error:
            if len(statements) == 1:
                self._recover(error)
                return [self.failure("run a query", error)]
            self._recover(error)
        return [result for statement in statements for result in self.try_each([statement])]

    def _recover(self, error: psycopg.Error) -> None:
        if self.connection.closed or self.connection.pgconn.transaction_status == pq.TransactionStatus.UNKNOWN:
            raise self.failure("run a query", error) from None
        try:
            self.run(("ROLLBACK TO SAVEPOINT rewind", None), ("RELEASE SAVEPOINT rewind", None))
        except psycopg.Error:
            raise self.failure("run a query", error) from None

    @contextlib.contextmanager
    def snapshot(self, settings: dict[str, str] | None = None) -> Iterator[None]:
        """One repeatable-read, read-only transaction with timeouts: everything inside sees the same instant."""
        values = {
            **_SETTINGS,
            "statement_timeout": str(int(self.limits.statement * 1000)),
            "lock_timeout": str(int(self.limits.lock * 1000)),
            "idle_in_transaction_session_timeout": str(int((self.limits.statement + self.limits.ready) * 1000)),
            **({"search_path": _quoted(self.address.schema)} if self.address.schema else {}),
            **(settings or {}),
        }
        calls = ", ".join(["set_config(%s, %s, true)"] * len(values))
        flat = [part for item in values.items() for part in item]
        try:
            self.run(("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", None), (f"SELECT {calls}", flat))
            yield
        except psycopg.Error as error:
            raise self.failure("read from the database", error) from None
        finally:
            if not self.connection.closed:
                with contextlib.suppress(psycopg.Error):
                    self.connection.execute("ROLLBACK")

    def failure(self, doing: str, error: psycopg.Error) -> DatabaseError:
        """The error without any secret, and without DETAIL, which may quote data."""
        text = error.diag.message_primary or str(error)
        if error.sqlstate == "57014":
            text = f"it took longer than {self.limits.statement:g} s"
        if error.sqlstate == "55P03":
            text = f"another session holds a lock on it (waited {self.limits.lock:g} s)"
        return DatabaseError(
            f"{doing} on {self.address.place}: {_clean(text, self.address.masker)}",
            code=f"sqlstate_{error.sqlstate}" if error.sqlstate else "",
            retryable=error.sqlstate in ("57014", "55P03") or isinstance(error, psycopg.OperationalError),
        )

    @contextlib.contextmanager
    def _together(self, count: int) -> Iterator[None]:
        if count > 1 and not self.address.pooled and psycopg.capabilities.has_pipeline():
            with self.connection.pipeline():
                yield
        else:
            yield


@contextlib.contextmanager
def connect(address: Address, limits: Limits | None = None, *, read_only: bool = True) -> Iterator[Session]:
    """Open a session, waiting for a compute that still starts, and close it afterwards.

    :param read_only: make read-only the default of every transaction (not through a pooler: there a setting would stay
        with the pooler's own connection; `Session.snapshot` is read only by itself).
    :raises ConnectionFailed: at once for what waiting does not mend, else when the time is over.
    """
    require_psycopg()
    bounds = limits or Limits()
    connection = _open(address, bounds)
    session = Session(connection, address, bounds)
    try:
        if not address.pooled:
            connection.execute(_INSTANTS + (_READ_ONLY if read_only else b""))
        yield session
    except psycopg.Error as error:
        raise session.failure("use the database", error) from None
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()


def _open(address: Address, limits: Limits) -> psycopg.Connection[Any]:
    deadline = Deadline(limits.ready)
    unknown = 0
    for pause in backoff(first=0.25, cap=5.0):
        try:
            return _attempt(address, min(limits.connect, max(deadline.left(), 2.0)))
        except psycopg.Error as error:
            text = _clean(str(error), address.masker)
            unknown += not _SOON.search(text)
            final = bool(_NEVER.search(text)) or unknown >= _UNKNOWN_ATTEMPTS
            if final or deadline.left() <= pause:
                raise _connection_failed(address, text, final, deadline) from None
        deadline.sleep(pause)
    raise AssertionError("unreachable: the pauses never end")


def _connection_failed(address: Address, text: str, final: bool, deadline: Deadline) -> ConnectionFailed:
    if "disabled" in text:
        hint = "The branch is fenced: enable its endpoint first if it is to be used again."
    elif "password" in text:
        hint = "Take the connection string from the API again; the role's password may have been reset."
    elif final:
        hint = "Check host, role and database."
    else:
        hint = f"Gave up after {deadline.elapsed():.0f} s; raise connect_deadline if the compute needs longer."
    return ConnectionFailed(f"connect to {address.place} as {address.user}: {text}", retryable=not final, hint=hint)


def _attempt(address: Address, timeout: float) -> psycopg.Connection[Any]:
    connection = psycopg.connect(
        address.conninfo,
        autocommit=True,
        # A pooler gives each transaction another server connection, where the prepared statement is not.
        prepare_threshold=None,
        application_name=APPLICATION_NAME,
        client_encoding="utf8",
        connect_timeout=max(2, round(timeout)),
    )
    for kind in ("timestamptz", "timestamp", "date", "time", "timetz"):
        connection.adapters.register_loader(kind, _instant_text())
    return connection


def _clean(text: str, masker: Masker) -> str:
    """One line without secrets. Addresses that were tried are named once, not once per IP version."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    cleaned = masker.text(" ".join(dict.fromkeys(lines)))
    return cleaned if len(cleaned) <= _LONGEST_TEXT else f"{cleaned[:_LONGEST_TEXT]}…"


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


@functools.cache
def _instant_text() -> type[Loader]:
    """Loads dates and times as text in the manner of RFC 3339: Python has no "infinity" and no years before Christ."""

    class InstantText(Loader):
        def load(self, data: Buffer) -> str:
            text = bytes(data).decode()
            if re.match(r"\d{4}-\d{2}-\d{2} ", text) and not text.endswith("BC"):
                return re.sub(r"\+00$", "Z", text.replace(" ", "T", 1))
            return text

    return InstantText


def jsonable(value: Any) -> Any:
    """A value from a row in plain JSON types; what has no such form becomes a text."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if value is None or isinstance(value, (bool, int, float, str, Decimal, timedelta, UUID)):
        return plain(value)
    # Ranges, networks (iterating over one would list its addresses), and whatever extensions bring.
    return str(value)
