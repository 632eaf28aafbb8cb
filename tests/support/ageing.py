# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Days that pass for what the catalogue says: the controller's own clock is this machine's, and nobody moves that."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

_DATES = ("at", "keep_until")


def age_catalogue(state: Path, target: str, days: float) -> None:
    """What stands there of a target is so many days older afterwards."""
    path = state / "catalogue.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    aged = [_aged(record, days) if record.get("target") == target else record for record in records]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in aged), encoding="utf-8")


def _aged(record: dict[str, Any], days: float) -> dict[str, Any]:
    earlier = {
        name: (datetime.fromisoformat(record[name]) - timedelta(days=days)).isoformat()
        for name in _DATES
        if record.get(name)
    }
    return {**record, **earlier}
