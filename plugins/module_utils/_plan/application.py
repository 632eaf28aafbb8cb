# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way on Coolify's side: rows, other consumers, deployments, health, code against data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .instants import instant_or_none
from .primary import locate, report_duplicates, rows_on, unreadable_rows
from .request import Findings, describe, running_commit
from .strategies import Case

# Older versions know neither both build flags nor an env file; their rows cannot be written back whole.
OLDEST = (4, 0, 0, 435)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-beta\.(\d+))?")
_ABILITIES = {
    "read": "read",
    "read_sensitive": "read:sensitive",
    "write": "write",
    "deploy": "deploy",
}


def check_application(case: Case, strategy: str, findings: Findings) -> None:
    """Find every problem on Coolify's side."""
    _version(case, findings)
    _abilities(case, strategy, findings)
    _deployments(case, findings)
    _health(case, strategy, findings)
    _rows(case, strategy, findings)
    _rows_without_uri(case, strategy, findings)
    _auto_deploy(case, strategy, findings)
    _rehearsal(case, strategy, findings)
    _failed_reads(case, findings)
    _consumers(case, findings)
    _code(case, findings)


def version_of(text: Any) -> tuple[int, int, int, int] | None:
    """A Coolify version that sorts: a beta comes before the release of the same number."""
    match = _VERSION.fullmatch(str(text or "").strip())
    if match is None:
        return None
    beta = int(match[4]) if match[4] else 1_000_000
    return int(match[1]), int(match[2]), int(match[3]), beta


def _version(case: Case, findings: Findings) -> None:
    version = version_of(case.facts.version)
    if version is None:
        findings.warn("The version of Coolify is not known; what it cannot do shows only when it is asked.")
    elif version < OLDEST:
        findings.problem(
            "coolify_too_old",
            f"Coolify {case.facts.version} cannot write an environment row without losing its flags.",
            "Update Coolify to 4.0.0-beta.435 or newer; 4.3.7 or newer is best.",
        )


def _abilities(case: Case, strategy: str, findings: Findings) -> None:
    """A restore in place writes nothing to Coolify; it may want one restart of the application."""
    for name, shown in _ABILITIES.items():
        state = case.facts.abilities.get(name)
        needed = strategy == "repoint" or name in ("read", "read_sensitive")
        if state == "missing" and needed:
            findings.problem(
                "ability_missing",
                f"The Coolify token lacks the ability {shown}.",
                "Make a token with read, read:sensitive, write and deploy, as an admin of the team.",
            )
        elif state == "missing":
            findings.warn(f"The Coolify token lacks the ability {shown}: the application could not be restarted.")
        elif state == "unproven":
            findings.warn(f"That the Coolify token has the ability {shown} could not be proven beforehand.")


def _deployments(case: Case, findings: Findings) -> None:
    for item in case.facts.running:
        uuid = item.get("uuid") or item.get("deployment_uuid")
        text = f"The deployment {uuid} of the application is {item.get('status')}"
        if case.resumed:
            findings.warn(f"{text}; it is waited for, and a new one is made if it may have read the old environment.")
        else:
            findings.problem(
                "deployment_running",
                f"{text}: it could start code or read the environment in the middle of the cutover.",
                "Wait until it has ended, or cancel it in Coolify, and run this again.",
            )


def _health(case: Case, strategy: str, findings: Findings) -> None:
    application = case.facts.application
    health = application.get("health_check") or {}
    if not health.get("enabled") and not application.get("custom_healthcheck_found"):
        text = "The application has no health check, so Coolify takes any container for a good one"
        if case.request.require_health_check:
            findings.problem(
                "no_health_check",
                f"{text} and a bad cutover would go unseen.",
                "Enable a health check that queries the database, and deploy once, or accept it with "
                "require_health_check=false.",
            )
        else:
            findings.warn(f"{text}.")
    if application.get("server_reachable") is False:
        findings.problem(
            "server_unreachable",
            "Coolify cannot reach the server of the application; its status is old and no deployment would start.",
            "Bring the connection between Coolify and the server back first.",
        )
    rolling = application.get("rolling") or {}
    if rolling.get("ok") is False:
        reasons = ", ".join(str(reason) for reason in rolling.get("reasons") or ()) or "no reason is given"
        text = f"The application does not deploy rolling ({reasons}): it is stopped before the new container starts"
        if strategy == "repoint" and not case.request.accept_downtime:
            findings.problem(
                "not_rolling",
                f"{text}, with no wait for its health.",
                "Accept the downtime with accept_downtime=true, or use cutover=in_place where that is possible.",
            )
        else:
            findings.warn(f"{text}.")
    status = str(application.get("status") or "")
    if status and not status.startswith("running"):
        findings.warn(f"The application is not running now (status {status}).")


def _rows(case: Case, strategy: str, findings: Findings) -> None:
    report_duplicates(case.facts, case.primary, case.request, findings)
    rows = rows_on(case.facts, case.primary.branch_id)
    for row in rows:
        key = row.get("key")
        if strategy == "repoint" and row.get("is_shared"):
            findings.warn(f"The row {key} takes its value from a shared variable; writing it cuts that link.")
        if strategy == "repoint" and row.get("is_buildtime"):
            findings.warn(
                f"The row {key} is a build-time variable: changing it rebuilds the image unless that flag is dropped "
                "in the same write."
            )
    hidden = [str(row.get("key")) for row in unreadable_rows(case.facts) if row.get("key") != case.request.env_key]
    if hidden:
        keys = ", ".join(hidden)
        findings.warn(f"These rows of the application cannot be read and may point to the primary: {keys}.")


def _auto_deploy(case: Case, strategy: str, findings: Findings) -> None:
    """A push in the middle of a cutover deploys other code; it is paused only where Coolify says that it is on."""
    if strategy == "repoint" and case.facts.application.get("auto_deploy") is None:
        findings.warn(
            "Coolify does not say whether a push deploys this application by itself, so that is not paused: a push "
            "during the cutover would deploy other code on the restored data. Switch Auto Deploy off in the "
            "application's advanced settings until the restore has ended, or let nobody push."
        )


def _rehearsal(case: Case, strategy: str, findings: Findings) -> None:
    """Rule 5: what an undo would write has to work before it is needed."""
    # No string logs in to a compute that is disabled, which is said by itself.
    if strategy != "repoint" or case.is_disabled:
        return
    for item in case.facts.rehearsal:
        name = f"{item.get('key')}{' (preview)' if item.get('is_preview') else ''}"
        if item.get("ok") is False:
            supply = (
                f", or supply the present string in the environment: export {case.request.old_connection_env}="
                "<connection string>"
            )
            # One variable holds one string: that of the row which says where the primary is.
            is_main = item.get("key") == case.request.env_key and not item.get("is_preview")
            findings.problem(
                "undo_not_possible",
                f"An undo could not give {name} its present value back: rebuilt from what the journal keeps, the "
                f"string does not log in ({item.get('message') or 'no reason is given'}).",
                f"Make the role's password in Neon and the one in the row the same{supply if is_main else ''}.",
            )
        elif item.get("ok") is None:
            findings.warn(f"Whether an undo could give {name} its present value back is not tried before the restore.")


def _failed_reads(case: Case, findings: Findings) -> None:
    """What could not be read is said with its reason: unknown numbers alone would not tell what to mend."""
    names = {"primary": "The primary", "restore_point": "The data at the restore point"}
    for side, why in case.facts.failed_reads.items():
        findings.warn(f"{names.get(side, side)} could not be read beforehand: {why}")


def _rows_without_uri(case: Case, strategy: str, findings: Findings) -> None:
    """Rule 2: rows of the target move together. One that names the host in another form would stay on the old side."""
    if strategy != "repoint":
        return
    known = {row.get("uuid") for row in case.facts.rows if row.get("connection")}
    for item in _on_primary(case):
        if not _is_own(case, item) or item.get("env_uuid") in known:
            continue
        if _names(item) & set(case.request.ignore_consumers):
            continue
        key = item.get("key")
        findings.problem(
            "row_not_a_uri",
            f"The row {key} of the application names the primary's host, and is no connection URI: a repoint would "
            "leave it on the old primary.",
            f"Have the application take its database from {case.request.env_key} alone and delete {key}, or use "
            f"cutover=in_place, which keeps the host. Where {key} is not used: ignore_consumers="
            f"{case.facts.application.get('name') or item.get('name')}/{key}.",
        )


def _on_primary(case: Case) -> list[Mapping[str, Any]]:
    found = ((item, locate(case.facts, item)) for item in case.facts.consumers)
    return [item for item, address in found if address is not None and address.branch_id == case.primary.branch_id]


def _is_own(case: Case, item: Mapping[str, Any]) -> bool:
    own_uuid = case.facts.application.get("uuid")
    own_rows = {row.get("uuid") for row in case.facts.rows}
    return item.get("env_uuid") in own_rows or (own_uuid is not None and own_uuid == item.get("uuid"))


def other_consumers(case: Case) -> list[dict[str, Any]]:
    """Everything else whose string leads to the primary, and whether the request names it (rule 2)."""
    found = []
    for item in _on_primary(case):
        if _is_own(case, item):
            continue
        address = locate(case.facts, item)
        names = _names(item)
        answer = None
        if names & set(case.request.also_repoint):
            answer = "also_repoint"
        elif names & set(case.request.ignore_consumers):
            answer = "ignore"
        found.append({**item, "pooled": address is not None and address.pooled, "answer": answer})
    return found


def _names(item: Mapping[str, Any]) -> set[str]:
    plain = {str(item[key]) for key in ("uuid", "name", "env_uuid", "application") if item.get(key)}
    return plain | {f"{owner}/{item['key']}" for owner in plain if item.get("key")}


def _consumers(case: Case, findings: Findings) -> None:
    others = other_consumers(case)
    open_ones = [item for item in others if item["answer"] is None]
    if open_ones:
        listed = ", ".join(
            f"{item.get('kind') or 'application'} {item.get('name')} ({item.get('key')})" for item in open_ones
        )
        findings.problem(
            "other_consumers",
            f"The primary is also used by: {listed}.",
            "Name each in also_repoint (it moves too) or in ignore_consumers (it stays), by name or uuid.",
        )
    for item in others:
        if item["answer"] == "also_repoint" and (item.get("kind") or "application") != "application":
            findings.problem(
                "cannot_repoint",
                f"The {item['kind']} {item.get('name')} ({item.get('key')}) is named in also_repoint, and only "
                "applications can be moved.",
                "Move it by hand after the restore, and name it in ignore_consumers.",
            )
        elif item["answer"] == "also_repoint" and item.get("through"):
            findings.problem(
                "cannot_repoint",
                f"{item.get('name')} ({item.get('key')}) has its string from a shared variable, and only rows of its "
                "own can be moved.",
                "Move the shared variable by hand after the restore, and name this one in ignore_consumers.",
            )
    stays = ", ".join(str(item.get("name")) for item in others if item["answer"] == "ignore")
    if stays:
        findings.warn(
            f"{stays} stays on the old primary: that keeps its computes"
            f"{' and is read only after a repoint' if case.request.fence_writes else ' and can still be written to'}; "
            "its sessions are not proven to be gone."
        )
    asked = set(case.request.also_repoint) | set(case.request.ignore_consumers)
    unknown = sorted(asked - {name for item in _on_primary(case) for name in _names(item)})
    if unknown:
        findings.warn(f"Named in also_repoint or ignore_consumers, but not using the primary: {', '.join(unknown)}.")
    if case.facts.unreadable:
        names = ", ".join(str(item.get("name") or item.get("uuid")) for item in case.facts.unreadable)
        findings.warn(f"What these connect to cannot be read; they may use the primary: {names}.")


def code(case: Case) -> dict[str, Any]:
    """The code against the data (rule 1): what the running commit expects, what is there at the restore point."""
    now, then = case.facts.migration.get("primary"), case.facts.migration.get("restore_point")
    mismatch = _differs(now, then) if isinstance(now, Mapping) and isinstance(then, Mapping) else None
    return {
        "known": mismatch is not None,
        "mismatch": mismatch,
        "expected": now if isinstance(now, Mapping) else None,
        "at_point": then if isinstance(then, Mapping) else None,
        "running_commit": running_commit(case.facts),
        "fits_commit": commit_at(case, case.point.at),
        "deploy_commit": case.request.deploy_commit,
        "may_migrate": [_hint(item) for item in case.facts.application.get("migration_hints") or ()],
    }


def _differs(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool | None:
    """None where nothing can be compared. A head of null is a fact (no migration yet), a hash of null is unknown."""
    compared = []
    if "head" in now and "head" in then:
        compared.append(now["head"] != then["head"])
    if now.get("schema_hash") and then.get("schema_hash"):
        compared.append(now["schema_hash"] != then["schema_hash"])
    return any(compared) if compared else None


def _hint(item: Any) -> str:
    if isinstance(item, Mapping):
        return ": ".join(str(value) for value in item.values() if value)
    return str(item)


def commit_at(case: Case, at: datetime | None) -> str | None:
    """The commit that ran at an instant: that of the last deployment that had finished by then."""
    if at is None:
        return None
    found: tuple[datetime, str] | None = None
    for item in case.facts.deployments:
        ended = instant_or_none(item.get("finished_at"))
        commit = item.get("commit")
        if item.get("status") != "finished" or ended is None or ended > at or commit in (None, "", "HEAD"):
            continue
        if found is None or ended > found[0]:
            found = (ended, str(commit))
    return found[1] if found else None


def _code(case: Case, findings: Findings) -> None:
    """Rule 1. What a commit expects is known from what it ran with: no API tells it.

    The commit that is running now fits the data of now; one that was running at the restore point fits the data of
    then. Only where these are two commits, or where it is not known, can the running one fail on the restored data.
    """
    facts = code(case)
    if facts["may_migrate"]:
        findings.warn(f"The application may migrate when it is deployed: {'; '.join(facts['may_migrate'])}.")
    same_commit = facts["fits_commit"] is not None and facts["fits_commit"] == facts["running_commit"]
    if facts["mismatch"] is None:
        _code_unknown(case, facts, same_commit, findings)
        return
    if not facts["mismatch"]:
        return
    then, now = facts["at_point"] or {}, facts["expected"] or {}
    text = (
        f"The schema at the restore point (migration {then.get('head') or 'none'}) is not the one of now (migration "
        f"{now.get('head') or 'none'})"
    )
    if same_commit:
        findings.warn(f"{text}, but the same commit {facts['running_commit']} was running then: it fits that data.")
        return
    _judge_commit(
        case, facts, f"{text}, which the running commit {facts['running_commit'] or '(unknown)'} expects", findings
    )


def _code_unknown(case: Case, facts: Mapping[str, Any], same_commit: bool, findings: Findings) -> None:
    """The schemas could not be compared. It was tried when the caller gives both sides, be they null."""
    tried = "primary" in case.facts.migration and "restore_point" in case.facts.migration
    changed = facts["fits_commit"] is not None and not same_commit
    if tried and changed:
        text = (
            f"At the restore point another commit was running than now ({facts['running_commit'] or 'unknown'}), and "
            "whether the schema has changed since cannot be read beforehand"
        )
        _judge_commit(case, facts, text, findings)
    elif facts["at_point"] is not None and facts["expected"] is None:
        findings.warn(
            "Whether the running code fits the data at the restore point cannot be told: the schema that it runs with "
            "cannot be read from the primary."
        )
    else:
        findings.warn("Whether the running code fits the data at the restore point is not known yet; it is verified.")


def _judge_commit(case: Case, facts: Mapping[str, Any], text: str, findings: Findings) -> None:
    deploy, fits = case.request.deploy_commit, facts["fits_commit"]
    if deploy and fits and not (fits.startswith(deploy) or deploy.startswith(fits)):
        findings.warn(f"deploy_commit is {deploy}, but at the restore point {fits} was running.")
    if deploy or case.request.accept_schema_mismatch:
        findings.warn(f"{text}; accepted with {'deploy_commit' if deploy else 'accept_schema_mismatch'}.")
        return
    findings.problem("schema_mismatch", f"{text}.", _which_commit(facts, case.point.at))


def _which_commit(facts: Mapping[str, Any], at: datetime | None) -> str:
    fits, running = facts["fits_commit"], facts["running_commit"]
    accept = "accept it with accept_schema_mismatch=true"
    if fits and fits != running:
        return f"Commit {fits} was running at {describe(at)}: deploy_commit={fits} restores it too; or {accept}."
    return f"Find the commit that ran at {describe(at)} and name it with deploy_commit=<commit>; or {accept}."
