# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A target of which every line of an audit is OK; a test breaks what its story needs."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, MAIN_HOST, NOW, World, branch, env_row
from ansible_collections.rewind.database.tests.unit.tools import call_module

Json = dict[str, Any]

HASH = "0a1b2c3d4e5f"
BACKUP = "br-backup-b1"
BACKUP_NAME = "backup-20250113-120000"
BACKUP_AT = "2025-01-13T12:00:00Z"


def failed(reason: str = "read it: the service is away", code: str = "failed", hint: str = "Wait.") -> Json:
    """The registered result of a task that failed and stopped nothing."""
    return {"msg": f"{reason}. {hint}", "error": {"code": code, "hint": hint}, "failed": False}


class AuditWorld:
    """The results of all information modules for a healthy production target."""

    def __init__(self) -> None:
        base = World()
        main = base.branches[0]
        main.update(protected=True, logical_size=30_000_000)
        row = env_row("DATABASE_URL", MAIN_HOST)
        row["connection"]["parameters"] = {"sslmode": "require"}
        base.application["environment"] = [row]
        base.application["auto_deploy"] = True
        self.project: Json = {
            **base.project,
            "plan": "launch",
            "limits": {**base.project["limits"], "manual_snapshots": 100},
            "window_start": "2025-01-06T15:00:00Z",
            "storage": {"used_bytes": 40_000_000, "limit_bytes": None, "branch_limit_bytes": 16 * 2**40},
        }
        self.branches: list[Json] = base.branches
        self.application: Json = base.application
        self.version: str | None = base.version
        self.abilities: Json = base.abilities
        self.deployments: list[Json] = [
            {
                "uuid": "dep1",
                "status": "finished",
                "commit": "c0ffee",
                "build_skipped": True,
                "created_at": "2025-01-12T10:00:00Z",
                "finished_at": "2025-01-12T10:01:00Z",
                "log_tail": [],
            }
        ]
        self.consumers: list[Json] = []
        self.unreadable: list[Json] = []
        self.connection: Json = {"host": MAIN_HOST, "hash": HASH}
        self.sessions: Json = {"count": 1, "connections": {"used": 5, "max": 105, "reserved": 5}, "tls": True}
        self.catalogue: list[Json] = []
        self.backups: list[Json] = []
        self.drills: list[Json] = [
            {"target": "tracker", "at": "2025-01-10T03:00:00Z", "ok": True, "mode": "pitr", "seconds": 252.0}
        ]
        self.journals: list[Json] = []
        self.snapshots: list[Json] = []
        self.request: Json = {"target": "tracker", "environment": "production", "now": NOW, "database": "tracker"}
        # Results that take the place of what the world would give.
        self.instead: Json = {}
        self.add_backup()

    @property
    def main(self) -> Json:
        """The primary."""
        return self.branches[0]

    @property
    def row(self) -> Json:
        """The env row of the target."""
        found: Json = self.application["environment"][0]
        return found

    def add_backup(
        self,
        branch_id: str = BACKUP,
        name: str = BACKUP_NAME,
        at: str = BACKUP_AT,
        lsn: str = "0/2000000",
        **record: Any,
    ) -> Json:
        """A verified backup of the primary; its branch."""
        made = branch(branch_id, name, parent_id=MAIN, parent_timestamp=at, parent_lsn=lsn, created_at=at)
        self.branches.append(made)
        self.backups.append(
            {
                "branch_id": branch_id,
                "name": name,
                "target": "tracker",
                "restore_point": at,
                "lsn": lsn,
                "keep_until": "2025-01-20T12:00:00Z",
                "verified": True,
                **record,
            }
        )
        return made

    def facts(self) -> Json:
        """The option `facts`."""
        return copy.deepcopy(
            {
                "project": {"project": self.project},
                "branches": {"branches": self.branches},
                "application": {
                    "application": self.application,
                    "version": self.version,
                    "abilities": self.abilities,
                },
                "deployments": {
                    "deployments": self.deployments,
                    "running": [],
                    "last_finished": next((item for item in self.deployments if item["status"] == "finished"), None),
                },
                "consumers": {"consumers": self.consumers, "unreadable": self.unreadable},
                "connection": {"connection": self.connection},
                "sessions": self.sessions,
                "catalogue": {"records": self.catalogue},
                "backups": {"records": self.backups},
                "drills": {"records": self.drills},
                "journals": {"unfinished": self.journals},
                "snapshots": {"snapshots": self.snapshots},
                **self.instead,
            }
        )

    def audit(self) -> Json:
        """The audit, through the module."""
        result = call_module("audit_lines", {"facts": self.facts(), "request": self.request})
        assert not result.get("failed") and result["changed"] is False, result
        found: Json = result["audit"]
        return found

    def line(self, name: str) -> Json:
        """One line of it."""
        found: Json = next(item for item in self.audit()["lines"] if item["id"] == name)
        return found
