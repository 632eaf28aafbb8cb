# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is connected to a database."""

from __future__ import annotations

from typing import Any

from .session import APPLICATION_NAME, Row, Session, Statement

# The platform's own roles: they watch every compute and are no application's.
INTERNAL_ROLES = ("cloud_admin",)

# A role without pg_read_all_stats sees of others' sessions only process, role and database: even the kind of the
# process and when it began are NULL then.
SESSIONS = """
SELECT a.pid, a.usename AS "user", a.datname AS database,
       NULLIF(a.application_name, '') AS application_name, pg_catalog.host(a.client_addr) AS client_addr,
       a.backend_start, a.state, COALESCE(a.usename = ANY (%s), false) AS internal,
       a.backend_xid IS NOT NULL AS writing
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


def sessions_statement(*, include_self: bool = False, until: str | None = None) -> Statement:
    """The statement that lists the client sessions of this database; `until`: only those that began by that instant."""
    return SESSIONS, [list(INTERNAL_ROLES), include_self, until]


def read_sessions(session: Session, *, ignore_self: bool = True) -> dict[str, Any]:
    """The sessions of this database, and what tells whether anything was written or restarted since.

    ``count`` leaves out the platform's own sessions. ``xid``: the first transaction id not yet given out; a write
    raises it. ``read_only``: what new sessions start with.
    """
    with session.snapshot():
        server, rows = session.run(SERVER, sessions_statement(include_self=not ignore_self))
    shown: list[Row] = [
        {key: value for key, value in row.items() if key != "internal"} for row in rows if not row["internal"]
    ]
    return {
        "sessions": shown,
        "count": len(shown),
        "own": sum(row["application_name"] == APPLICATION_NAME for row in shown),
        "internal_count": len(rows) - len(shown),
        **server[0],
    }
