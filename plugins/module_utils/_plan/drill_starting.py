# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts by itself on a copy of a database: subscriptions and scheduled jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_CRON = "pg_cron"


def warnings(answers: Iterable[Mapping[str, Any]] | None) -> list[str]:
    """What a person should know before there is a copy.

    :param answers: the checks `subscriptions`, `extensions` and `jobs`, each with one row of `names`; none of them
        where the database could not be asked; None where it was not asked yet.
    """
    if answers is None:
        return []
    found = {str(item.get("name")): _names(item) for item in answers}
    subscriptions, extensions = found.get("subscriptions"), found.get("extensions")
    jobs = [] if extensions is not None and _CRON not in extensions else found.get("jobs")
    told = []
    if subscriptions:
        told.append(f"Subscriptions that start on the copy as well: {', '.join(subscriptions)}.")
    if jobs:
        told.append(f"Jobs of pg_cron that start on the copy as well: {', '.join(jobs)}.")
    others = [name for name in extensions or () if name != _CRON]
    if others:
        told.append(f"The copy has {', '.join(others)}, whose jobs may start on it as well.")
    unknown = [what for what, names in (("subscriptions", subscriptions), ("scheduled jobs", jobs)) if names is None]
    if unknown:
        told.append(
            f"Which {' and '.join(unknown)} would start on the copy is unknown: the database could not be asked, or its"
            " role may not read them."
        )
    return told


def _names(check: Mapping[str, Any]) -> list[str] | None:
    """The names of one answer; None where it is none."""
    rows = check.get("found")
    if not check.get("ok") or not rows:
        return None
    return [str(name) for name in rows[0].get("names") or ()]
