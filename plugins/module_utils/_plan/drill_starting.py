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

    :param answers: the checks `subscriptions`, `extensions`, `cron` and `jobs`, and those of the database in which
        pg_cron keeps its jobs, each with one row; none of them where the database could not be asked; None where it was
        not asked yet.
    """
    if answers is None:
        return []
    rows = {str(item.get("name")): _row(item) for item in answers}
    subscriptions, extensions = _names(rows, "subscriptions"), _names(rows, "extensions")
    jobs = _jobs(rows)
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


def _jobs(rows: Mapping[str, Mapping[str, Any] | None]) -> list[str] | None:
    """The jobs of pg_cron, which keeps those of all databases in one of them; None where nobody can tell."""
    extensions = _names(rows, "extensions")
    if extensions is None or _CRON in extensions:
        return _names(rows, "jobs")
    cron = rows.get("cron")
    if cron is None:
        return None
    if cron.get("keeps_jobs") in (None, "", cron.get("here")):
        return []
    extensions = _names(rows, "extensions_of_cron")
    return [] if extensions is not None and _CRON not in extensions else _names(rows, "jobs_of_cron")


def _names(rows: Mapping[str, Mapping[str, Any] | None], check: str) -> list[str] | None:
    row = rows.get(check)
    return None if row is None else [str(name) for name in row.get("names") or ()]


def _row(check: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of one answer; None where it is none."""
    rows = check.get("found")
    return rows[0] if check.get("ok") and rows else None
