# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of a target: every line, what a symptom comes from, and the whole as a person reads it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._time import rfc3339
from . import audit_backups, audit_coolify, audit_database, audit_env, audit_neon
from .audit_parts import FAILED, OK, STATUSES, UNKNOWN, WARN, Finding, Line, World, read_world
from .text import wrapped

LINES: tuple[Line, ...] = (
    *audit_neon.LINES,
    *audit_coolify.LINES,
    *audit_env.LINES,
    *audit_database.LINES,
    *audit_backups.LINES,
)
_STATUS, _TITLE = 8, 23


@dataclass(frozen=True)
class Symptom:
    """What a person sees, and the lines that can name its cause: the runbook's section on troubleshooting.

    :param heading: what that section calls it.
    """

    id: str
    title: str
    heading: str
    lines: tuple[str, ...]


SYMPTOMS = (
    Symptom(
        "branch_creation_fails",
        "Making a backup branch fails",
        "Backup Branch Creation Fails",
        ("neon_api", "branch_slots", "root_slots", "storage", "neon_operations"),
    ),
    Symptom(
        "cannot_connect",
        "No connection to a branch",
        "Cannot Connect to Backup Branch",
        ("backup_reachable", "connection_string", "ip_allowlist", "tls", "primary", "connections", "env_applied"),
    ),
    Symptom(
        "data_missing",
        "A backup lacks data",
        "Backup Branch Has Missing Data",
        ("backup_lsn", "newest_backup", "primary", "consumers", "history_window"),
    ),
    Symptom(
        "takes_too_long",
        "A restore takes too long",
        "Restoration Takes Too Long",
        ("last_deployment", "env_rebuild", "connections", "application", "health_check", "coolify_version"),
    ),
)


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Judge every line, from the options of `audit_lines`.

    :raises InvalidInput: when `now` cannot be read. What else is missing makes its lines unknown.
    """
    world = read_world(params)
    lines = [judged(line, world) for line in LINES]
    audit = {
        "target": world.request.target,
        "environment": world.request.environment,
        "at": rfc3339(world.now),
        "worst": worst(lines),
        "summary": {status: sum(line["status"] == status for line in lines) for status in STATUSES},
        "lines": lines,
        "symptoms": [_explained(symptom, lines) for symptom in SYMPTOMS],
        "look": _look(world),
    }
    return {**audit, "text": text(audit), "failure": failure(audit)}


def judged(line: Line, world: World) -> dict[str, Any]:
    """One line as it is shown. A fact that is missing makes it unknown, whatever the others say."""
    why = world.missing(line.needs)
    finding = Finding(UNKNOWN, f"unknown: {why.reason}") if why else line.judge(world)
    state = line.states[finding.state]
    advice = state.what_to_do.format_map(finding.names) if state.what_to_do else ""
    return {
        "id": line.id,
        "title": line.title,
        "status": state.status,
        "state": finding.state,
        "found": finding.found,
        "expected": line.expected(world),
        "what_to_do": why.hint if why and why.hint else advice,
    }


def worst(lines: Iterable[Mapping[str, Any]]) -> str:
    """The gravest status of some lines."""
    found = {str(line["status"]) for line in lines}
    return next((status for status in (FAILED, WARN) if status in found), OK)


def _explained(symptom: Symptom, lines: list[dict[str, Any]]) -> dict[str, Any]:
    by_id = {line["id"]: line for line in lines}
    causes = [by_id[name] for name in symptom.lines if by_id[name]["status"] != OK]
    causes.sort(key=lambda line: line["status"] != FAILED)
    return {
        "id": symptom.id,
        "title": symptom.title,
        "lines": list(symptom.lines),
        "causes": [line["id"] for line in causes],
    }


def _look(world: World) -> dict[str, Any]:
    """Where the application's string leads, for who is about to connect, and whether that would wake a compute."""
    primary = world.primary
    endpoint = primary.address.endpoint if primary else {}
    return {
        "branch_id": primary.branch_id if primary else None,
        "endpoint_id": endpoint.get("id"),
        "asleep": world.asleep,
        "disabled": bool(endpoint.get("disabled")),
    }


def text(audit: Mapping[str, Any]) -> list[str]:
    """The whole table for a terminal of 80 columns.

    Each line begins with a space: Ansible shows it in quotes then, as it must show some, and the columns stay straight.
    """
    counts = ", ".join(f"{count} {status}" for status, count in audit["summary"].items())
    moment = f"{audit['at'][:19].replace('T', ' ')} UTC"
    shown = wrapped(f"{audit['target']} ({audit['environment']}) at {moment}: {counts}", "   ", " ")
    for line in audit["lines"]:
        head = f"{line['status']:<{_STATUS}}{line['title']:<{_TITLE}}{line['found']}"
        shown += wrapped(head, " " * (1 + _STATUS + _TITLE), " ")
        if line["status"] != OK:
            shown += wrapped(f"expected: {line['expected']}", " " * 11, " " * 9)
            shown += wrapped(f"do: {line['what_to_do']}", " " * 11, " " * 9)
    titles = {line["id"]: line["title"] for line in audit["lines"]}
    explained = [symptom for symptom in audit["symptoms"] if symptom["causes"]]
    if explained:
        shown.append(" What these lines explain:")
    for symptom in explained:
        causes = ", ".join(titles[name] for name in symptom["causes"])
        shown += wrapped(f"- {symptom['title']}: see {causes}", "   ", " ")
    return shown


def failure(audit: Mapping[str, Any]) -> str:
    """The lines that are not OK in one message, the gravest first; empty where all are."""
    bad = [line for status in (FAILED, WARN) for line in audit["lines"] if line["status"] == status]
    parts = [f"{line['status']} {line['title']}: {line['found']}. {line['what_to_do']}" for line in bad]
    return f"The audit of {audit['target']} found: " + " ".join(parts) if parts else ""
