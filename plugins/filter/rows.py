# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters that turn a plan's env rows into what coolify_application_env takes. Each is documented beside this file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.primary import locate_in
from ansible_collections.rewind.database.plugins.module_utils._time import parse_instant

# The steps of a cutover that write rows: its own, and those of other consumers.
_ROWS = re.compile(r"env(_(?!flags$).+)?")
# What coolify_application_env says, before it writes anything, of a row that somebody else has written.
_CHANGED = "row_changed"


def rows_moved_to(
    rows: Iterable[Mapping[str, Any]],
    project_id: str,
    branch_id: str,
    application: str,
    with_flags: bool = False,
    expect: bool = False,
) -> list[dict[str, Any]]:
    """The rows pointed to another branch; only the host of each string changes.

    :param rows: of a plan, or as `rows_as_before` made them, where the connection says whether it is pooled.
    :param with_flags: give the build-time flag back too. Without it the flag is dropped, because a build-time variable
        that changes makes Coolify rebuild the image (facts of `ConfigurationDiffer`, Coolify 4.1.0 and newer).
    :param expect: each row must still hold what the plan was made from (rule 21). One that was moved already, or that
        nobody can read, has nothing to compare.
    """
    return [_moved(row, project_id, branch_id, application, with_flags, expect) for row in rows]


def _moved(
    row: Mapping[str, Any], project_id: str, branch_id: str, application: str, with_flags: bool, expect: bool
) -> dict[str, Any]:
    key, is_preview = row["key"], bool(row.get("is_preview"))
    base = _supplied(row) or {"application": application, "env_key": key, "is_preview": is_preview}
    moved: dict[str, Any] = {
        "key": key,
        "is_preview": is_preview,
        "connection": {"project_id": project_id, "branch_id": branch_id, "pooled": _is_pooled(row), **base},
        **_unlocked(row),
    }
    if row.get("is_buildtime"):
        # Left out, a flag stays as it is: of another application's row it is not known, and could not be given back.
        moved["is_buildtime"] = with_flags
    if expect and row.get("hash") and not row.get("moved") and row.get("readable") is not False:
        moved["expected_hash"] = row["hash"]
    return moved


def _supplied(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The base of a row whose string a person has supplied: what was read of it, and where its password is."""
    known = row if row.get("password_env") else row.get("connection") or {}
    if not known.get("password_env"):
        return None
    return {"template": known["template"], "password_env": known["password_env"]}


def _unlocked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that cannot be read may be written: the person who supplied its string has it elsewhere."""
    locked = row.get("overwrite_locked") or (row.get("password_env") and row.get("readable") is False)
    return {"overwrite_locked": True} if locked else {}


def _is_pooled(row: Mapping[str, Any]) -> bool:
    told = row.get("pooled")
    return bool((row.get("connection") or {}).get("pooled") if told is None else told)


def rows_as_before(
    rows: Iterable[Mapping[str, Any]], project_id: str, branch_id: str, application: str
) -> list[dict[str, Any]]:
    """The rows as they were: the string without its password, every flag, and the branch that the host belonged to."""
    return [_as_before(row, project_id, branch_id, application) for row in rows]


def _as_before(row: Mapping[str, Any], project_id: str, branch_id: str, application: str) -> dict[str, Any]:
    connection: dict[str, Any] = {"project_id": project_id, "branch_id": branch_id, "pooled": bool(row.get("pooled"))}
    if row.get("template"):
        connection.update(_supplied(row) or {"template": row["template"]})
    else:
        connection.update(application=application, env_key=row["key"], is_preview=bool(row.get("is_preview")))
    flags = {name: value for name, value in (row.get("flags") or {}).items() if value is not None}
    identity = {"key": row["key"], "is_preview": bool(row.get("is_preview"))}
    return {**identity, "connection": connection, **flags, **_unlocked(row)}


def rows_elsewhere(
    steps: Mapping[str, Mapping[str, Any]],
    applications: Iterable[Mapping[str, Any]],
    branches: Iterable[Mapping[str, Any]],
    sides: Iterable[str],
) -> list[dict[str, Any]]:
    """Of the rows that a run has written, those that lead to neither of its two sides any more.

    :param steps: of the run's journal. Where a row was found changed by somebody else, none was written.
    :param applications: as they are now, each as coolify_application_info returns it. Of a row that is gone, or that
        nobody can read, it cannot be said that it leads elsewhere.
    :param branches: with their computes, also one that was deleted since.
    :param sides: the ids of the old primary and of the branch that the run has moved the rows to.
    """
    rows = {
        (str(view.get("uuid")), str(row.get("key")), bool(row.get("is_preview"))): row.get("connection")
        for told in applications
        if (view := told.get("application"))
        for row in view.get("environment") or ()
    }
    known, allowed, found = list(branches), set(sides), []
    names = {str(branch.get("id")): branch.get("name") for branch in known}
    for application, row in _written(steps):
        connection = rows.get((application, str(row["key"]), bool(row.get("is_preview"))))
        if not connection:
            continue
        address = locate_in(known, connection)
        if address is None or address.branch_id not in allowed:
            leads_to = names.get(address.branch_id) if address else None
            found.append(
                {"application": application, "key": row["key"], "leads_to": leads_to or connection.get("host")}
            )
    return found


def rows_to_put_back(steps: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows that the way back of a run writes, as coolify_application_env takes them.

    :param steps: as of `rows_elsewhere`.
    """
    return [dict(row) for _application, row in _written(steps)]


def not_written(results: Iterable[Mapping[str, Any]], key: str = "") -> list[Mapping[str, Any]]:
    """Of these results of coolify_application_env those in which a row is known to have stayed as it was.

    A failure alone does not say so: the bulk call is not atomic, and an answer may be lost.

    :param key: of the row that counts, which is no preview's; empty for any.
    """
    found = []
    for result in results:
        stayed = (result.get("partial") or {}).get("not_saved") or ()
        refused = (result.get("error") or {}).get("code") == _CHANGED
        if result.get("failed") and (refused or (key in stayed if key else bool(stayed))):
            found.append(result)
    return found


def _written(steps: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row that the way back writes, with the application that has it."""
    for name, step in steps.items():
        refused = step.get("phase") == "failed" and (step.get("error") or {}).get("code") == _CHANGED
        if _ROWS.fullmatch(name) and not refused:
            application = str((step.get("ids") or {}).get("application"))
            yield from ((application, row) for row in (step.get("undo") or {}).get("variables") or ())


def rows_recorded(
    records: Iterable[Mapping[str, Any]], target: str, at: str | None = None
) -> dict[str, dict[str, dict[str, int]]]:
    """What the newest verified backup with counted rows says, as far as a manifest says it; empty where there is none.

    What is live is no measure for a restore: it lacks just what the restore is to bring back.

    :param records: the log of backups, oldest first.
    :param at: the instant of the data; backups of a later state do not count.
    """
    until = parse_instant(at, future=True) if at else None
    counted: Mapping[str, int] = {}
    for record in records:
        instant = record.get("restore_point") or record.get("created_at")
        later = until is not None and (not instant or parse_instant(instant, future=True) > until)
        if record.get("target") == target and record.get("verified") and record.get("rows") and not later:
            counted = record["rows"]
    return {"tables": {name: {"rows": rows} for name, rows in counted.items()}} if counted else {}


def rehearsed(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What came of making each row's string again, or of logging in with it, as `restore_plan` and `undo_plan` take it.

    :param results: of a loop of neon_connection_info or postgres_check over the rows. One that was skipped was not
        tried.
    """
    found = []
    for result in results:
        row = result.get("item") or {}
        wrong = "; ".join(str(check.get("message")) for check in result.get("failed_checks") or ())
        good = result["passed"] is True if "passed" in result else bool(result.get("connection"))
        found.append(
            {
                "key": row.get("key"),
                "is_preview": bool(row.get("is_preview")),
                "ok": None if result.get("skipped") else good,
                "message": wrong or ("" if good else str(result.get("msg") or "")),
            }
        )
    return found


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "rows_moved_to": rows_moved_to,
            "rows_as_before": rows_as_before,
            "rows_elsewhere": rows_elsewhere,
            "rows_to_put_back": rows_to_put_back,
            "not_written": not_written,
            "rows_recorded": rows_recorded,
            "rehearsed": rehearsed,
        }
