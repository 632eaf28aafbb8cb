# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is connected to a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .session import APPLICATION_NAME, Row, Session, Statement

# The platform's own roles: they watch every compute and are no application's.
INTERNAL_ROLES = ("cloud_admin",)

_JUDGED = ("internal", "wanted")

# A role without pg_read_all_stats sees of others' sessions only process, role and database: even the kind of the
# process and when it began are NULL then.
SESSIONS = """
SELECT a.pid, a.usename AS "user", a.datname AS database,
       NULLIF(a.application_name, '') AS application_name, pg_catalog.host(a.client_addr) AS client_addr,
       a.backend_start, a.state_change, a.state, COALESCE(a.usename = ANY (%s), false) AS internal,
       a.backend_xid IS NOT NULL AS writing,
       COALESCE(a.usename = %s, true)
         AND COALESCE(CASE WHEN %s THEN GREATEST(a.backend_start, a.state_change) ELSE a.backend_start END, '-infinity')
             >= COALESCE(%s::timestamptz, '-infinity') AS wanted
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = pg_catalog.current_database()
  AND COALESCE(a.backend_type = 'client backend', a.usesysid IS NOT NULL)
  AND (%s OR a.pid <> pg_catalog.pg_backend_pid())
  AND COALESCE(a.backend_start, '-infinity') <= COALESCE(%s::timestamptz, 'infinity')
ORDER BY a.backend_start, a.pid
"""

SERVER: Statement = (
    """
SELECT pg_catalog.current_setting('default_transaction_read_only') = 'on' AS read_only,
       pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text AS xid,
       pg_catalog.pg_postmaster_start_time() AS server_started_at,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.clock_timestamp() AS at
""",
    None,
)

# All client sessions of the server count against its maximum, whichever database and role they are of.
CONNECTIONS: Statement = (
    """
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
        WHERE COALESCE(a.backend_type = 'client backend', a.usesysid IS NOT NULL)) AS used,
       pg_catalog.current_setting('max_connections')::int AS max,
       pg_catalog.current_setting('superuser_reserved_connections')::int
       + COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::int AS reserved
""",
    None,
)


@dataclass(frozen=True)
class Wanted:
    """Which sessions are looked for.

    :param user: only those of this role.
    :param since: only those that began after this instant of the server's clock (RFC 3339). One whose begin is hidden
        from this role is not taken for a new one.
    :param reused: one that began before and was used since counts too: a pooler gives its sessions to anybody.
    """

    user: str | None = None
    since: str | None = None
    reused: bool = False


def sessions_statement(
    *, include_self: bool = False, until: str | None = None, wanted: Wanted | None = None
) -> Statement:
    """The statement that lists the client sessions of this database; `until`: only those that began by that instant."""
    look = wanted or Wanted()
    return SESSIONS, [list(INTERNAL_ROLES), look.user, look.reused, look.since, include_self, until]


def read_sessions(session: Session, *, ignore_self: bool = True, wanted: Wanted | None = None) -> dict[str, Any]:
    """The sessions of this database, and what tells whether anything was written or restarted since.

    ``count`` leaves out the platform's own sessions. ``xid``: the first transaction id not yet given out; a write
    raises it. ``read_only``: what new sessions start with. ``matching``: how many are wanted and are not ours.
    ``connections``: of the whole server, this session included.
    """
    with session.snapshot():
        listing = sessions_statement(include_self=not ignore_self, wanted=wanted)
        server, counted, rows = session.run(SERVER, CONNECTIONS, listing)
    found = [row for row in rows if not row["internal"]]
    shown: list[Row] = [{key: value for key, value in row.items() if key not in _JUDGED} for row in found]
    return {
        "sessions": shown,
        "count": len(shown),
        "matching": sum(row["wanted"] and row["application_name"] != APPLICATION_NAME for row in found),
        "own": sum(row["application_name"] == APPLICATION_NAME for row in shown),
        "internal_count": len(rows) - len(shown),
        "connections": counted[0],
        "tls": session.tls,
        **server[0],
    }
