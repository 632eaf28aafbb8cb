# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which branch is the primary, and which rows use it: by the host in the connection string, never by a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .instants import instant_or_none
from .request import Facts, Findings, Request


@dataclass(frozen=True)
class Address:
    """Where a connection string leads: one compute of one branch, directly or through the pooler."""

    branch_id: str
    endpoint: Mapping[str, Any]
    pooled: bool


@dataclass(frozen=True)
class Primary:
    """The branch that the application's connection string points to now."""

    branch_id: str
    address: Address
    connection: Mapping[str, Any]
    row: Mapping[str, Any] | None
    row_changed_at: datetime | None


def locate(facts: Facts, connection: Mapping[str, Any]) -> Address | None:
    """The compute that a connection's host (and port, where computes share a host) belongs to."""
    return locate_in(facts.branches, connection)


def locate_in(branches: Iterable[Mapping[str, Any]], connection: Mapping[str, Any]) -> Address | None:
    """The same among these branches."""
    host = str(connection.get("host") or "").lower().rstrip(".")
    if not host:
        return None
    found = [address for address, known in _addresses(branches) if known == host]
    if len(found) > 1 and connection.get("port"):
        exact = [item for item in found if str(item.endpoint.get("port")) == str(connection["port"])]
        found = exact or found
    return found[0] if found else None


def _addresses(branches: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Address, str]]:
    for branch in branches:
        for endpoint in branch.get("endpoints") or ():
            for key, pooled in (("host", False), ("pooler_host", True)):
                if endpoint.get(key):
                    yield Address(str(branch["id"]), endpoint, pooled), str(endpoint[key]).lower().rstrip(".")


def find_primary(facts: Facts, request: Request, findings: Findings) -> Primary | None:
    """Find the primary; every reason why it cannot be found is a problem of its own."""
    row = _row(facts, request, findings)
    connection = (row or {}).get("connection")
    if row is not None and not connection:
        _unreadable(row, request, findings)
    if not connection:
        return None
    address = locate(facts, connection)
    if address is None:
        findings.problem(
            "host_unknown",
            f"The host {connection.get('host') or '(none)'} in {request.env_key} belongs to no compute of the Neon "
            f"project {facts.project.get('id') or '(unknown)'}.",
            "Check that this target's Neon project and Coolify application belong together, and that the row holds "
            "a Neon address.",
        )
        return None
    _check_database(connection, request, findings)
    return Primary(address.branch_id, address, connection, row, instant_or_none((row or {}).get("updated_at")))


def _check_database(connection: Mapping[str, Any], request: Request, findings: Findings) -> None:
    """The inventory names the target's database: checks, counts and a fence of another one would prove nothing."""
    found = connection.get("database")
    if request.database is None or not found or found == request.database:
        return
    findings.problem(
        "other_database",
        f"The connection string in {request.env_key} leads to the database {found}; the inventory names "
        f"{request.database}.",
        f"Correct rewind_neon_database or rewind_coolify_env_key of {request.target}, whichever is wrong.",
    )


def _unreadable(row: Mapping[str, Any], request: Request, findings: Findings) -> None:
    if row.get("is_shown_once"):
        findings.problem(
            "env_row_locked",
            f"The row {request.env_key} is locked: its value cannot be read, so neither the primary can be found nor "
            "the change be taken back.",
            "Delete the row in Coolify and create it again unlocked, with the same value, or supply that value in the "
            f"environment: export {request.old_connection_env}=<connection string>.",
        )
        return
    findings.problem(
        "env_row_unreadable",
        f"The value of {request.env_key} cannot be read as a connection string, or the token lacks read:sensitive.",
        "Give the token read:sensitive, or write a connection string into the row.",
    )


def _row(facts: Facts, request: Request, findings: Findings) -> Mapping[str, Any] | None:
    rows = [row for row in facts.rows if row.get("key") == request.env_key and not row.get("is_preview")]
    if not rows:
        findings.problem(
            "env_row_missing",
            f"The application has no environment row {request.env_key}.",
            "Create it in Coolify, or name the right one for this target (rewind_coolify_env_key).",
        )
        return None
    return rows[0]


def report_duplicates(facts: Facts, primary: Primary | None, request: Request, findings: Findings) -> None:
    """Two rows with one key: Coolify changes the first and runs the last, so no write is certain (coolify#11117)."""
    seen: dict[tuple[str, bool], int] = {}
    for row in facts.rows:
        slot = (str(row.get("key")), bool(row.get("is_preview")))
        seen[slot] = seen.get(slot, 0) + 1
    concerned = {str(row.get("key")) for row in rows_on(facts, primary.branch_id)} if primary else set()
    flagged = {(str(row.get("key")), bool(row.get("is_preview"))) for row in facts.rows if row.get("duplicate")}
    for key, is_preview in sorted({slot for slot, count in seen.items() if count > 1} | flagged):
        if key in concerned | {request.env_key}:
            kind = "preview rows" if is_preview else "rows"
            findings.problem(
                "env_row_duplicate",
                f"The application has more than one of the {kind} {key}; Coolify would change one and run another.",
                f"Delete all {kind} {key} but the right one in Coolify.",
            )


def rows_on(facts: Facts, branch_id: str) -> list[Mapping[str, Any]]:
    """The application's rows whose host belongs to this branch, direct or pooled, preview rows included (rule 2)."""
    found = []
    for row in facts.rows:
        address = locate(facts, row.get("connection") or {})
        if address is not None and address.branch_id == branch_id:
            found.append(row)
    return found


def unreadable_rows(facts: Facts) -> list[Mapping[str, Any]]:
    """Rows whose value cannot be seen: they count as unknown, not as absent (rule 2)."""
    return [row for row in facts.rows if row.get("readable") is False and not row.get("connection")]


def in_use(facts: Facts) -> set[str]:
    """The branches that some readable row or consumer points to."""
    connections = [row.get("connection") or {} for row in facts.rows] + list(facts.consumers)
    return {address.branch_id for item in connections if (address := locate(facts, item)) is not None}
