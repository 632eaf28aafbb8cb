# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples of a report's data: a restore that worked, one that was taken back, a backup, and hostile names."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]


def _row(name: str, parent: str | None, depth: int, *marks: str, **more: Any) -> Json:
    return {
        "id": f"br-{name}",
        "name": name,
        "parent_id": f"br-{parent}" if parent else None,
        "depth": depth,
        "marks": list(marks),
        "default": name == "main",
        "protected": False,
        **more,
    }


def _step(step: str, title: str, start: int, seconds: float, status: str = "done", detail: str = "") -> Json:
    begin, end = start, start + seconds
    return {
        "step": step,
        "title": title,
        "status": status,
        "detail": detail,
        "seconds": seconds,
        "started": f"2025-01-13T14:{58 + begin // 60:02}:{begin % 60:02}Z",
        "finished": f"2025-01-13T14:{58 + int(end) // 60:02}:{end % 60:06.3f}Z",
    }


GOOD: Json = {
    "run": "20250113T145800Z-restore-4f2a9c",
    "target": "tracker",
    "environment": "production",
    "verb": "restore",
    "verdict": {
        "ok": True,
        "title": "Restored to 13 January 2025, 14:25:00 UTC",
        "sentences": [
            "The application serves the data of that instant, and nothing is left on the old database.",
            "48,810 rows came back. 214 rows that were written after that instant are lost.",
        ],
    },
    "restore_point": {
        "kind": "time",
        "utc": "2025-01-13T14:25:00Z",
        "local": "2025-01-13 15:25:00 +0100 (CET)",
        "ago": "33 min ago",
        "lsn": None,
        "backup": None,
    },
    "interval_lost": {
        "seconds": 1980,
        "text": "33 min",
        "from": "2025-01-13T14:25:00Z",
        "to": "2025-01-13T14:58:00Z",
    },
    "plan": {
        "strategy": {
            "chosen": "repoint",
            "why": "it was asked for",
            "offered": {
                "repoint": {
                    "undeletable_afterwards": [
                        {
                            "branch_id": "br-main",
                            "name": "main",
                            "why": "it stays an ancestor of restore-20250113-142500 as long as that exists",
                        }
                    ],
                }
            },
        },
        "source": {"name": "main", "why": "it is the primary and was it at that instant"},
        "env": {
            "rows": [
                {
                    "key": "DATABASE_URL",
                    "from_host": "ep-cool-frost-a1b2c3d4-pooler.eu-central-1.aws.neon.tech",
                    "to_host": "ep-warm-river-b5c6d7e8-pooler.eu-central-1.aws.neon.tech",
                },
                {
                    "key": "DIRECT_URL",
                    "from_host": "ep-cool-frost-a1b2c3d4.eu-central-1.aws.neon.tech",
                    "to_host": "ep-warm-river-b5c6d7e8.eu-central-1.aws.neon.tech",
                },
            ]
        },
        "steps": [
            {
                "number": 6,
                "title": "Cut over",
                "does": [
                    "Refuses new writes on main and records its last LSN and the final loss.",
                    "Moves the rows DATABASE_URL, DIRECT_URL to restore-20250113-142500 in one write.",
                ],
            },
        ],
    },
    "steps": [
        _step("preflight", "Preflight", 0, 1.9, detail="14 requests, no problem found"),
        _step("plan", "Plan", 2, 0.4),
        _step("branch", "Branch at the restore point", 3, 2.6, detail="restore-20250113-142500 from main"),
        _step("verify", "Verify", 6, 4.2, detail="9 of 9 checks passed"),
        _step("confirm", "Confirm", 10, 14.0, detail="confirmed by tracker"),
        _step("cutover", "Cut over", 24, 31.5, detail="the same image, no build; writes refused for 22 s"),
        _step("prove", "Prove", 56, 12.0, detail="5 sessions on the new compute, none on the old"),
        _step("fence", "Fence and keep the old state", 68, 1.8),
        _step("record", "Record", 70, 0.3),
    ],
    "tree_before": [
        _row("main", None, 0, "primary", "source"),
        _row("backup-20250112-020000", "main", 1, parent_timestamp="2025-01-12T02:00:00Z"),
        _row("backup-20250113-020000", "main", 1, parent_timestamp="2025-01-13T02:00:00Z"),
        _row("staging", "main", 1, "in use"),
        _row("experiment", "staging", 2),
    ],
    "tree_after": [
        _row("main", None, 0, "old primary"),
        _row("backup-20250112-020000", "main", 1, parent_timestamp="2025-01-12T02:00:00Z"),
        _row("backup-20250113-020000", "main", 1, parent_timestamp="2025-01-13T02:00:00Z"),
        _row("staging", "main", 1, "in use"),
        _row("experiment", "staging", 2),
        _row("restore-20250113-142500", "main", 1, "primary", "new", parent_timestamp="2025-01-13T14:25:00Z"),
    ],
    "counts": [
        {"table": 'public."User"', "before": 1204, "lost": 2, "restored": 0},
        {"table": 'public."Quest"', "before": 340, "lost": 0, "restored": 0},
        {"table": 'public."QuestProgress"', "before": 1402, "lost": 212, "restored": 48810},
        {"table": 'public."ObjectiveProgress"', "before": None, "lost": None, "restored": None},
    ],
    "next": [
        "Watch the error rate of the application for an hour.",
        "Tell the users that what they did between 14:25 and 14:58 UTC is lost.",
        "Mend what destroyed the data before the next deployment: automatic deployments are paused.",
    ],
    "undo": {
        "possible_until": "2025-01-20T14:59:10Z",
        "command": "ansible-playbook playbooks/undo.yml -e target=tracker -e run=20250113T145800Z-restore-4f2a9c",
    },
    "not_restored": [
        "files and uploads outside of the database",
        "messages already queued or sent (mail, push, webhooks)",
        "payments and anything else that other services did meanwhile",
    ],
    "warnings": ["main stays the parent of restore-20250113-142500 and cannot be deleted as long as that exists."],
}

FAILED: Json = {
    **copy.deepcopy(GOOD),
    "verdict": {
        "ok": False,
        "title": "Not restored: the cutover was taken back",
        "sentences": [
            "The new deployment never became healthy, so the old connection string was put back and deployed again.",
            "The application runs on main as before. No data was lost.",
        ],
    },
    "steps": [
        *copy.deepcopy(GOOD["steps"][:5]),
        _step("cutover", "Cut over", 24, 432.0, "failed", 'health check: relation "Quest" does not exist'),
        {
            "step": "revert",
            "title": "Take the cutover back",
            "seconds": 41.0,
            "status": "done",
            "started": "2025-01-13T15:05:36Z",
            "finished": "2025-01-13T15:06:17Z",
            "detail": "old string, same image",
        },
    ],
    "counts": [],
    "tree_after": copy.deepcopy(GOOD["tree_after"]),
    "undo": {},
    "next": [
        "Read the log of deployment d7x2 in Coolify.",
        "Choose a restore point before the migration of 13:10 UTC.",
    ],
}

BACKUP: Json = {
    "run": "20250113T143000Z-backup-77aa01",
    "target": "tracker",
    "environment": "production",
    "verb": "backup",
    "verdict": {
        "ok": True,
        "title": "Backup backup-20250113-143000 is verified",
        "sentences": ["It holds the data of 2025-01-13 14:30:00 UTC and is kept until 2025-01-20."],
    },
    "steps": [
        _step("preflight", "Preflight", 0, 1.2),
        _step("branch", "Branch", 2, 1.1),
        _step("verify", "Verify", 4, 3.9, detail="9 of 9 checks passed"),
    ],
    "backup": {
        "name": "backup-20250113-143000",
        "branch_id": "br-late-dew-a1b2c3",
        "reason": "before migration 42",
        "who": "ops@controller",
        "keep_until": "2025-01-20T14:30:00Z",
        "verified": True,
        "tables": 6,
        "rows": 51204,
    },
}


def hostile(data: Json = GOOD) -> Json:
    """The same data with every text replaced by one that would break out of any form."""
    text = (
        "\"'><script>alert(1)</script><img src=x onerror=alert(2)>|`_*[x](javascript:alert(3))"
        "\n# h {{ 7*7 }}{% raw %}\u202e"
    )

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoil(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [spoil(item, key) for item in value]
        kept = ("run", "started", "finished", "parent_id", "id", "possible_until", "chosen")
        return value if not isinstance(value, str) or key in kept else f"{value}{text}"

    spoiled: Json = spoil(copy.deepcopy(data))
    return spoiled
