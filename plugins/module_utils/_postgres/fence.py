# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The write fence: a database that takes no writes any more from ordinary sessions, and the way back.

It is the first half of a fence (rules, number 16): a session that insists can still switch itself to read-write, so a
full fence also disables the branch's endpoints (number 17).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidInput
from .._waiter import clock
from .session import Address, DatabaseError, Limits, Row, Session, connect
from .sessions import sessions_statement
from .tables import identifier

try:
    import psycopg
    from psycopg import errors
except ImportError:
    pass

_PARAMETER = "default_transaction_read_only"
_ON = ("on", "true", "yes", "1")
_POLL_SECONDS = 0.1
# A session that was being opened while the setting changed shows up a moment later.
_QUIET_ROUNDS = 2

# The database's own setting, and those of roles, which would override it.
_STATE = """
SELECT (SELECT split.value FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS c(setting),
               LATERAL (SELECT pg_catalog.split_part(c.setting, '=', 1) AS name,
                               pg_catalog.split_part(c.setting, '=', 2) AS value) AS split
        WHERE s.setdatabase = d.oid AND s.setrole = 0 AND split.name = 'default_transaction_read_only') AS setting,
       (SELECT pg_catalog.json_agg(DISTINCT r.rolname)
        FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,
             pg_catalog.unnest(s.setconfig) AS c(setting)
        WHERE s.setdatabase IN (0, d.oid) AND c.setting LIKE 'default\\_transaction\\_read\\_only=%') AS roles,
       pg_catalog.pg_has_role(d.datdba, 'USAGE') AS is_owner,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts p WHERE p.database = d.datname) AS prepared
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
_LSN = """
SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_insert_lsn() END)::text AS lsn, pg_catalog.clock_timestamp() AS at
"""

Opener = Callable[[], AbstractContextManager[Session]]


@dataclass
class Fence:
    """What the fence of a database is, and what was done to it."""

    read_only: bool
    was_read_only: bool | None = None
    lsn: str | None = None
    at: str | None = None
    sessions_ended: int = 0
    sessions_left: list[Row] = field(default_factory=list)
    role_overrides: list[str] = field(default_factory=list)
    prepared_transactions: int = 0
    proven_refused: bool | None = None
    proven_write: bool | None = None
    would_end: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def change(
    address: Address,
    *,
    fenced: bool,
    check_mode: bool = False,
    since: str | None = None,
    timeout: float = 30.0,
    limits: Limits | None = None,
) -> tuple[bool, Fence]:
    """Fence the database of this address, or lift its fence; say whether anything was changed.

    Sessions that began before the change are ended, since a session keeps what it started with: the old ones would go
    on writing after a fence, and go on refusing to write after a lift.

    :param since: sessions that began after this instant (RFC 3339) know the present state already and are left alone
        when the setting is found as wanted.
    :param timeout: seconds until the sessions told to end must be gone.
    :raises InvalidInput: through a pooler, where another session may answer than the one that asked.
    :raises DatabaseError: when the role may not do it, or when the proof fails; ``partial`` then says what is the case.
    """
    if address.pooled:
        raise InvalidInput(
            f"fence the database {address.database}: {address.host} is a pooler",
            hint="Use the direct address: connection.pooled=false.",
        )
    with connect(address, limits, read_only=check_mode) as session:
        state = session.one(_STATE)
        was_fenced = state["setting"] in _ON
        fence = Fence(
            was_fenced, was_fenced, role_overrides=state["roles"] or [], prepared_transactions=state["prepared"]
        )
        is_change = was_fenced != fenced
        _check_allowed(state, address, fenced, is_change)
        # A database found as wanted may be the work of a run that was killed before it had ended the sessions. Only a
        # fence makes that certain by itself: ending sessions of a database that takes writes anyway would be harm.
        ends_sessions = is_change or fenced or since is not None
        if check_mode:
            fence.would_end = _others(session, None if is_change else since) if ends_sessions else []
            return is_change or bool(fence.would_end), fence
        if is_change:
            _set(session, address.database, fenced)
            fence.read_only = fenced
        if ends_sessions:
            until = since if since is not None and not is_change else str(session.one(_LSN)["at"])
            _end_sessions(session, fence, until, timeout)
        after = session.one(_LSN)
        fence.lsn, fence.at = after["lsn"], after["at"]
    _prove(lambda: connect(address, limits, read_only=False), fence, fenced)
    return is_change or fence.sessions_ended > 0, fence


def _check_allowed(state: Row, address: Address, fenced: bool, is_change: bool) -> None:
    if is_change and not state["is_owner"]:
        raise DatabaseError(
            f"{'fence' if fenced else 'lift the fence of'} the database {address.database}: the role {address.user} "
            "does not own it",
            code="not_owner",
            hint="Use a connection with the role that owns the database.",
        )


def _set(session: Session, database: str, fenced: bool) -> None:
    action = f"SET {_PARAMETER} = on" if fenced else f"RESET {_PARAMETER}"
    timeouts = [str(int(seconds * 1000)) for seconds in (session.limits.statement, session.limits.lock)]
    session.run(
        ("SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)", timeouts),
        # This session may itself have begun under the fence.
        (f"SET {_PARAMETER} = off", None),
    )
    # Not together with what is above: statements sent together are one transaction, which began read only.
    session.run((f"ALTER DATABASE {identifier(database)} {action}", None))


def _others(session: Session, until: str | None) -> list[Row]:
    """Sessions of people and applications, other than this one, that began by an instant of the server's clock."""
    return [row for row in session.run(sessions_statement(until=until))[0] if not row["internal"]]


def _end_sessions(session: Session, fence: Fence, until: str, timeout: float) -> None:
    """End every session that began before `until`, and wait until they are gone; list those that will not go."""
    refused: dict[int, Row] = {}
    ended: set[int] = set()
    quiet = 0
    for _elapsed in clock(timeout, _POLL_SECONDS):
        left = [row for row in _others(session, until) if row["pid"] not in refused]
        for row in left:
            if row["pid"] not in ended:
                reason = _end(session, row["pid"])
                if reason is None:
                    ended.add(row["pid"])
                else:
                    refused[row["pid"]] = {**row, "reason": reason}
        quiet = 0 if left else quiet + 1
        if quiet >= _QUIET_ROUNDS:
            break
    still = [{**row, "reason": "told to end, and still there"} for row in left if row["pid"] in ended]
    fence.sessions_ended = len(ended) - len(still)
    fence.sessions_left = [*refused.values(), *still]


def _end(session: Session, pid: int) -> str | None:
    """End one session; the reason when this role may not."""
    try:
        session.run(("SELECT pg_catalog.pg_terminate_backend(%s)", [pid]))
    except psycopg.Error as error:
        return session.failure("end a session", error).text
    return None


def _prove(open_session: Opener, fence: Fence, fenced: bool) -> None:
    """Open a new session and try to write: refused under a fence, else done and rolled back, without a trace.

    A temporary table suffices: making one is forbidden in a read-only transaction and allowed to everybody else.
    """
    outcome, reason = "refused", ""
    with open_session() as session:
        try:
            session.run(("BEGIN", None), ("CREATE TEMPORARY TABLE rewind_probe (n int) ON COMMIT DROP", None))
            session.run(("INSERT INTO rewind_probe VALUES (1)", None), ("ROLLBACK", None))
            outcome = "wrote"
        except errors.ReadOnlySqlTransaction:
            reason = "it is read only"
        except psycopg.Error as error:
            outcome, reason = "failed", session.failure("try a write", error).text
    if fenced:
        fence.proven_refused = outcome == "refused"
    else:
        fence.proven_write = outcome == "wrote"
    if fenced and outcome != "refused":
        roles = f"The setting of a role overrides the database's: {', '.join(fence.role_overrides)}."
        raise DatabaseError(
            f"fence the database: {reason or 'a new session can still write'}",
            code="fence_not_proven",
            hint=roles if fence.role_overrides else "Disable the branch's endpoint instead.",
            partial={"fence": fence.as_dict()},
        )
    if not fenced and outcome != "wrote":
        raise DatabaseError(
            f"lift the fence: a new session cannot write: {reason}",
            code="lift_not_proven",
            hint="Look at default_transaction_read_only of the role, and whether the compute is a read replica.",
            partial={"fence": fence.as_dict()},
        )
