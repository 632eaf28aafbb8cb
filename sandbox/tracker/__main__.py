# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m sandbox.tracker``: one application process, as a container's start command runs it."""

from __future__ import annotations

import logging
import os
import sys

import psycopg
from aiohttp import web

from sandbox.tracker.app import Tracker
from sandbox.tracker.database import Database, lacks_host
from sandbox.tracker.migrations import migrate
from sandbox.tracker.versions import find

logger = logging.getLogger("tracker")


def main() -> int:
    """Serves until SIGTERM. Exit status 1 without a database to serve and when the migrations at start fail."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    url = os.environ.get("DATABASE_URL", "")
    commit = find(os.environ.get("SOURCE_COMMIT", "good"))
    logger.info("tracker %s (%s) starts", commit.version, commit.sha[:7])
    if lacks_host(url):
        logger.error("DATABASE_URL %s", "names no host" if url.strip() else "is not set")
        return 1
    if os.environ.get("MIGRATE_AT_START") == "1":
        try:
            for name in migrate(url, commit):
                logger.info("migration %s applied", name)
        except psycopg.Error as error:
            logger.error("migration failed: %s %s", type(error).__name__, error.diag.message_primary or "")
            return 1
    tracker = Tracker(commit, Database(url, f"tracker {commit.sha[:7]}"))
    web.run_app(
        tracker.application(),
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "3000")),
        access_log=None,
        print=None,
        shutdown_timeout=5.0,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
