# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan before a deployment: pure. When in doubt a backup is needed; it costs seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._plan.commits import commit_of, same_commit
from .._plan.instants import instant_or_none
from .._plan.parts import primary_part
from .._plan.point import Backup, known_backups, replaced_since
from .._plan.primary import Primary, find_primary
from .._plan.request import Facts, Findings, Request, read_facts, read_request, running_commit
from .._time import ago, duration, rfc3339
from .files import CONFIGURATION, MIGRATIONS, Pending, matching, pending

# Commits and tags; nothing that a shell or git could take for something else.
_COMMIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,99}", re.ASCII)
_SHOWN = 3
_NEWEST = timedelta(hours=1)
_MAJOR_FILES = 50


@dataclass(frozen=True)
class Wanted:
    """What was said about the deployment. None: nothing was said.

    :param major_files: how many changed files make it a major deployment; 0 where no number does.
    :param changed: the files that the deployment changes.
    :param listed: all files of the code that will be deployed.
    """

    commit: str
    choice: str
    schema_migration: bool | None
    major_deployment: str
    major_files: int
    bulk_operation: str
    configuration_change: str
    changed: tuple[str, ...] | None
    listed: tuple[str, ...] | None
    migration_globs: tuple[str, ...]
    configuration_globs: tuple[str, ...]
    newest: timedelta


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `predeploy_plan`.

    :raises InvalidInput: when `now` cannot be read. Everything else is a problem in the plan.
    """
    given = params["request"]
    request, findings = read_request(given), Findings()
    facts = read_facts(params, request.target)
    wanted = _wanted(given)
    primary = find_primary(facts, request, findings)
    _check_commit(wanted, facts, findings)
    # Not read yet is something else than read and without a table.
    is_read = params.get("manifest") is not None
    found = _pending(wanted, params.get("manifest") or {}, is_read)
    reasons = _reasons(wanted, facts, request, found)
    needed = bool(reasons) and wanted.choice != "never"
    if reasons and wanted.choice == "never":
        findings.warn("A backup is needed by the rules, and none is made, because that was asked for.")
    head = (params.get("manifest") or {}).get("migration") or {}
    plan = {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "commit": wanted.commit,
        "running_commit": running_commit(facts),
        # Code that expects the migrated schema does not fit the data from before it.
        "deploy_commit": running_commit(facts) if any(item["rule"] == "schema_migration" for item in reasons) else None,
        "primary": primary_part(facts, primary) if primary else None,
        "needed": needed,
        "reasons": reasons,
        "reason": _reason(wanted, reasons),
        "migration": {
            "tool": head.get("tool"),
            "head": head.get("head"),
            "pending": list(found.names),
            "known": found.known,
            "compare": bool(_migrations(wanted)),
        },
        **_earlier_part(wanted, facts, request, primary if needed else None),
        "notes": {"before_commit": wanted.commit},
        "problems": findings.problems,
        "warnings": findings.warnings,
    }
    return {**plan, "text": _text(plan)}


def _wanted(given: Mapping[str, Any]) -> Wanted:
    def files(name: str) -> tuple[str, ...] | None:
        value = given.get(name)
        return None if value is None else tuple(str(item).strip() for item in value if str(item).strip())

    flag = given.get("schema_migration")
    seconds = given.get("unless_older_than")
    return Wanted(
        commit=str(given.get("commit") or "").strip(),
        choice=str(given.get("backup") or "auto"),
        schema_migration=None if flag is None else bool(flag),
        major_deployment=_said(given.get("major_deployment")),
        major_files=_MAJOR_FILES if given.get("major_files") is None else int(given["major_files"]),
        bulk_operation=_said(given.get("bulk_operation")),
        configuration_change=_said(given.get("configuration_change")),
        changed=files("changed_files"),
        listed=files("files"),
        migration_globs=tuple(given.get("migration_patterns") or MIGRATIONS),
        configuration_globs=tuple(given.get("configuration_patterns") or CONFIGURATION),
        newest=_NEWEST if seconds is None else timedelta(seconds=float(seconds)),
    )


def _said(value: Any) -> str:
    """A yes, or what is going to be done in words; empty for no."""
    text = str(value if value is not None else "").strip()
    return "" if text.lower() in ("", "false", "no", "none", "0", "off") else text


def _words(text: str) -> str:
    return "" if text.lower() in ("true", "yes", "1", "on") else f": {text}"


def _migrations(wanted: Wanted) -> list[str]:
    return matching(wanted.listed or (), wanted.migration_globs)


def _pending(wanted: Wanted, manifest: Mapping[str, Any], is_read: bool) -> Pending:
    listed = _migrations(wanted)
    if not listed:
        return Pending(True)
    if not is_read:
        return Pending(False, (), "the database's newest migration is not known")
    return pending(listed, manifest.get("migration"))


def _reasons(wanted: Wanted, facts: Facts, request: Request, found: Pending) -> list[dict[str, str]]:
    """Which rules ask for a backup, and why. The rules are the runbook's "When to Create Manual Backups"."""
    reasons: list[dict[str, str]] = []

    def add(rule: str, why: str) -> None:
        reasons.append({"rule": rule, "why": why})

    if wanted.choice == "always":
        add("asked_for", "it was asked for")
    if wanted.schema_migration:
        add("schema_migration", "it was said that the deployment migrates the schema")
    changed = matching(wanted.changed or (), wanted.migration_globs)
    if changed:
        add("schema_migration", f"migrations or schema files change: {_some(changed)}")
    if found.names:
        add("schema_migration", f"migrations are pending: {_some(found.names)}{f' ({found.why})' if found.why else ''}")
    elif not found.known:
        add("schema_migration", f"whether migrations are pending cannot be told: {found.why}")
    if wanted.major_deployment:
        add("major_deployment", f"it was said that this is a major deployment{_words(wanted.major_deployment)}")
    files = len(wanted.changed or ())
    if 0 < wanted.major_files <= files:
        add("major_deployment", f"{files} files change; {wanted.major_files} or more are a major deployment")
    if wanted.bulk_operation:
        add("bulk_operation", f"a bulk operation is going to be run{_words(wanted.bulk_operation)}")
    if wanted.configuration_change:
        add("configuration_change", f"the configuration changes{_words(wanted.configuration_change)}")
    configured = matching(wanted.changed or (), wanted.configuration_globs)
    if configured:
        add("configuration_change", f"files of the configuration change: {_some(configured)}")
    rows = _rows_changed(facts, request)
    if rows:
        add("configuration_change", f"changed in Coolify since the last deployment: {_some(rows)}")
    nothing_said = wanted.changed is None and wanted.listed is None and wanted.schema_migration is None
    if nothing_said and not reasons:
        add("unknown", "nothing says what the deployment changes")
    return reasons


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _rows_changed(facts: Facts, request: Request) -> list[str]:
    """The rows that lead to a database and that the next deployment is the first to read."""
    at = instant_or_none((facts.last_finished or {}).get("finished_at"))
    if at is None:
        return []
    return [
        str(row["key"])
        for row in facts.rows
        if not row.get("is_preview")
        and (row.get("connection") or row.get("key") == request.env_key)
        and (changed := instant_or_none(row.get("updated_at"))) is not None
        and changed > at
    ]


def _check_commit(wanted: Wanted, facts: Facts, findings: Findings) -> None:
    if not wanted.commit:
        findings.problem(
            "commit_missing",
            "Nothing says which commit is going to be deployed.",
            'Say it: -e commit="$(git rev-parse HEAD)". A restore finds the backup by it.',
        )
        return
    if not _COMMIT.fullmatch(wanted.commit):
        findings.problem(
            "commit_invalid", f'"{wanted.commit[:60]}" is no commit and no tag.', "Say the commit that is deployed."
        )
        return
    running = [str(item.get("commit")) for item in facts.running]
    if any(same_commit(commit, wanted.commit) for commit in running):
        findings.problem(
            "already_deploying",
            f"Coolify is deploying {wanted.commit} already: a backup made now may hold what it has changed.",
            "Wait for it, then restore to an instant before it if it goes wrong: -e point_in_time=...",
        )
    elif running:
        findings.warn("A deployment is queued or running now: the backup may hold what it changes.")
    if same_commit(running_commit(facts) or "", wanted.commit):
        findings.warn(f"{wanted.commit} is what runs already.")


def _earlier_part(wanted: Wanted, facts: Facts, request: Request, primary: Primary | None) -> dict[str, Any]:
    """The backup from before this deployment, as the one that is found, or that is not taken with the reason why."""
    backup = _earlier(wanted, facts, request) if primary else None
    if backup is None or primary is None:
        return {"found": None, "not_taken": None}
    at = rfc3339(backup.at) if backup.at else None
    shown = {"name": backup.name, "branch_id": backup.branch_id, "at": at}
    why_not = _why_not(backup, wanted, facts, request, primary)
    if why_not:
        why = f"the earlier backup {backup.name} is not taken: {why_not}"
        return {"found": None, "not_taken": {**shown, "why": why}}
    age = f" {ago(backup.at, request.now)}" if backup.at else ""
    why = f"the backup {backup.name} was made before it{age}, and is verified"
    return {"found": {**shown, "why": why}, "not_taken": None}


def _earlier(wanted: Wanted, facts: Facts, request: Request) -> Backup | None:
    """The newest verified backup that was made before a deployment of this commit."""
    there = {item.branch_id: item for item in known_backups(facts) if item.verified}
    made = [
        str(record.get("branch_id"))
        for record in facts.backups
        if record.get("target") in (None, "", request.target) and same_commit(commit_of(record), wanted.commit)
    ]
    return next((there[branch_id] for branch_id in reversed(made) if branch_id in there), None)


def _why_not(found: Backup, wanted: Wanted, facts: Facts, request: Request, primary: Primary) -> str:
    """Why a backup is not what this deployment would have to come back to; empty where it is."""
    if found.at is not None and request.now - found.at > wanted.newest:
        longest = duration(wanted.newest.total_seconds())
        return f"it was made {ago(found.at, request.now)}, and is found again for {longest}"
    replaced = replaced_since(found, facts, primary.branch_id)
    if replaced or found.at is None:
        return replaced
    if any(moment >= found.at for moment in _deployed(wanted, facts)):
        return f"{wanted.commit} was deployed since"
    return ""


def _deployed(wanted: Wanted, facts: Facts) -> list[datetime]:
    """When this commit was deployed, as far as Coolify tells."""
    same = [item for item in facts.deployments if same_commit(str(item.get("commit") or ""), wanted.commit)]
    return [at for item in same if (at := instant_or_none(item.get("created_at"))) is not None]


def _reason(wanted: Wanted, reasons: Sequence[Mapping[str, str]]) -> str:
    """Why it is made, for the branch and the log; short, because Neon keeps it with the branch."""
    rules = list(dict.fromkeys(item["rule"].replace("_", " ") for item in reasons))
    return f"before deploying {wanted.commit[:40]}: {', '.join(rules)}"


def _text(plan: Mapping[str, Any]) -> list[str]:
    if plan["problems"]:
        return [f"{item['message']} {item['what_to_do']}" for item in plan["problems"]]
    lines = [f"A backup is {'needed' if plan['needed'] else 'not needed'} before deploying {plan['commit']}."]
    lines += [f"- {item['why']}" for item in plan["reasons"]]
    if plan["found"]:
        lines.append(f"There is one: {plan['found']['why']}.")
    if plan["not_taken"]:
        lines.append(f"There is none yet: {plan['not_taken']['why']}.")
    return [*lines, *plan["warnings"]]
