# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: one object, computed once, that every later step reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from .._commands import command
from .._time import branch_name, duration, rfc3339
from . import problems, steps
from .application import code, other_consumers
from .bound import bound_to, check_bound
from .compare import compare
from .parts import (
    application_part,
    compute_part,
    env_part,
    expiries_to_clear,
    losses_part,
    primary_part,
    wakes_part,
)
from .point import Point, read_point
from .primary import Address, Primary, find_primary, report_duplicates, rows_on, unreadable_rows
from .request import Facts, Findings, Request, read_facts, read_request
from .runs import Branch, Resumed, already_done, choose_branch, choose_root, find_resumed
from .source import Source, find_source
from .strategies import Case, Names, choose, in_place_source, offers

# What a restore of a database never brings back (safety rule 10); a target may add its own.
NOT_RESTORED = (
    "files and uploads outside of the database",
    "messages already queued or sent (mail, push, webhooks)",
    "payments and anything else that other services did meanwhile",
    "caches and search indexes, which may still show what is no longer in the database",
)
# Problems that stand even where the restore itself is already done.
_ALWAYS = frozenset({"run_stuck", "unfinished_run"})


@dataclass(frozen=True)
class _Found:
    """What could be found before the strategies are judged; None where a problem says why not."""

    primary: Primary | None
    point: Point | None
    source: Source | None


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `restore_plan`.

    :raises InvalidInput: when `now`, `started` or `timezone` cannot be read. Everything else is a problem in the plan.
    """
    request = read_request(params.get("request") or {})
    facts = read_facts(params, request.target)
    findings = Findings()
    resumed = find_resumed(request, facts, findings)
    resolved = resumed.resolved if resumed else None
    primary = find_primary(facts, request, findings)
    now_primary = primary
    if primary is not None and resolved:
        primary = _primary_of_run(primary, resolved, facts)
    if primary is None:
        report_duplicates(facts, None, request, findings)
    point = read_point(request, facts, findings, resolved)
    source = None
    done = (False, "the primary or the restore point is not known")
    if resolved is not None:
        # A cutover that is recorded is not yet fenced: the run that was killed has its own end to come to.
        done = (False, "an unfinished run is continued")
    elif now_primary is not None and point is not None:
        done = already_done(request, facts, now_primary, point)
    if primary is not None and point is not None:
        source = find_source(request, facts, primary, point, Findings() if done[0] else findings, resolved)
    return _assemble(request, facts, findings, _Found(primary, point, source), resumed, done, params)


def _primary_of_run(primary: Primary, resolved: Mapping[str, Any], facts: Facts) -> Primary:
    """The primary that the continued run started from: the application may point to its new branch already."""
    branch = facts.by_id.get(str(resolved.get("primary_branch_id")))
    if branch is None or branch["id"] == primary.branch_id:
        return primary
    endpoints = branch.get("endpoints") or ()
    endpoint = next((item for item in endpoints if item.get("type") != "read_only"), None) or {}
    return replace(
        primary, branch_id=str(branch["id"]), address=Address(str(branch["id"]), endpoint, primary.address.pooled)
    )


def _assemble(
    request: Request,
    facts: Facts,
    findings: Findings,
    found: _Found,
    resumed: Resumed | None,
    done: tuple[bool, str],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    resolved = resumed.resolved if resumed else None
    plan: dict[str, Any] = {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "inputs": request.inputs(),
        "already_done": {"done": done[0], "why": done[1]},
        "resumes": resumed.run if resumed else None,
        "restore_point": found.point.public(request) if found.point else None,
        "interval_lost": _interval(request, found.point),
        "primary": primary_part(facts, found.primary) if found.primary else None,
        "application": application_part(facts),
        "not_restored": [*NOT_RESTORED, *request.not_restored],
        "losses": losses_part(facts.losses),
        "undo": _undo_part(request, facts, found),
        "confirm": {
            "needed": request.environment == "production",
            "phrase": request.target,
            "argument": f"-e confirm={request.target}",
        },
        **dict.fromkeys(_CASE_KEYS),
    }
    if found.primary and found.point and found.source:
        if resolved and resolved.get("primary_name"):
            # A restored root that has taken its place has its name by now.
            plan["primary"]["name"] = resolved["primary_name"]
        case = _case(request, facts, found.primary, found.point, found.source, resumed)
        plan.update(_of_case(case, findings, resolved, done[0]))
        if params.get("past") is not None:
            plan["comparison"] = compare(case, plan["strategy"]["chosen"], params["past"], plan["losses"])
    plan["bound_to"] = bound_to(plan, facts, rows_on(facts, found.primary.branch_id) if found.primary else ())
    check_bound(params.get("bound_to"), plan["bound_to"], resumed, findings)
    plan["resolved"] = _resolved(plan) if plan["strategy"] else resolved
    plan["problems"] = [item for item in findings.problems if not done[0] or item["code"] in _ALWAYS]
    plan["warnings"] = findings.warnings
    plan["hash"] = _fingerprint(plan)
    return plan


def _undo_part(request: Request, facts: Facts, found: _Found) -> dict[str, Any]:
    return {
        "possible_until": rfc3339(request.now + timedelta(days=request.keep_days)),
        "command": command("undo", target=request.target),
        "salvage_until": salvage_until(request, facts, found.point),
        "salvage_command": command("salvage", target=request.target),
    }


_CASE_KEYS = (
    "source",
    "strategy",
    "names",
    "steps",
    "compute",
    "env",
    "consumers",
    "wakes",
    "reuse",
    "expiry_to_clear",
    "unprotect",
    "code",
    "comparison",
)


def _case(
    request: Request, facts: Facts, primary: Primary, point: Point, source: Source, resumed: Resumed | None
) -> Case:
    resolved = resumed.resolved if resumed else None
    inner = in_place_source(request, facts, primary, point, source)
    names = _names(request, facts, primary, point, source, inner, resolved)
    return Case(request, facts, primary, point, source, inner, names, resumed=resumed is not None)


def _of_case(case: Case, findings: Findings, resolved: Mapping[str, Any] | None, done: bool) -> dict[str, Any]:
    """All that depends on knowing the primary, the restore point and the source."""
    request, facts, primary, names = case.request, case.facts, case.primary, case.names
    strategy, why = choose(case, resolved)
    problems.check(case, strategy, Findings() if done else findings)
    used = case.source if strategy == "repoint" else case.in_place_source
    branch = names.of(strategy)
    expiring = expiries_to_clear(case, used, strategy)
    unprotects = strategy == "in_place" and case.node.protected
    others = other_consumers(case)
    return {
        "source": used.public(used.branch_id == primary.branch_id),
        "strategy": {"chosen": strategy, "why": why, "offered": offers(case, strategy)},
        "names": names.public(),
        "steps": steps.build(case, strategy, branch, used, expiring, unprotects),
        "compute": compute_part(case),
        "env": env_part(case, strategy),
        "consumers": {
            "others": others,
            "repoint": [item for item in others if item["answer"] == "also_repoint"],
            "unreadable": [
                *facts.unreadable,
                *({"kind": "row", "name": row.get("key")} for row in unreadable_rows(facts)),
            ],
        },
        "wakes": wakes_part(case, branch),
        "reuse": branch.public(),
        "expiry_to_clear": expiring,
        "unprotect": {
            "needed": unprotects,
            "allowed": request.allow_unprotect,
            "branch_id": primary.branch_id,
        },
        "code": code(case),
    }


def _names(
    request: Request,
    facts: Facts,
    primary: Primary,
    point: Point,
    source: Source,
    inner: Source,
    resolved: Mapping[str, Any] | None,
) -> Names:
    """The names of rule 11; those of the run that is being continued, where it had any."""
    known = (resolved or {}).get("names") or {}
    resumed = resolved is not None
    wanted = branch_name("rollback", request.started.replace(microsecond=0))
    rollback = str(known.get("rollback") or _free(wanted, facts))

    def chosen(kind: str, name: str, origin: Source) -> Branch:
        if kind == "branch" and request.promotes_backup and point.backup is not None:
            node = facts.tree.nodes[point.backup.branch_id]
            return Branch(node.name, node, "it is promoted: the application uses the backup itself")
        return choose_branch(str(known.get(kind) or name), origin, facts, resumed=resumed, reuse=request.reuse)

    return Names(
        chosen("branch", f"restore-{point.stamp}", source),
        chosen("preview", f"preview-{point.stamp}", inner),
        choose_root(str(known.get("root") or f"snapshot-{point.stamp}"), primary, facts, resumed=resumed),
        rollback,
    )


def _free(name: str, facts: Facts) -> str:
    tries = (name if number == 1 else f"{name}-{number}" for number in range(1, len(facts.branches) + 2))
    return next(item for item in tries if facts.tree.named(item) is None)


def salvage_until(request: Request, facts: Facts, point: Point | None) -> str | None:
    """Until when what the restore loses can be salvaged: while its restore point can be read, and the old side is kept.

    What a backup holds does not grow old. None where nothing says how long the history reaches back.
    """
    kept = request.now + timedelta(days=request.keep_days)
    retention = facts.project.get("history_retention_seconds")
    if point is None:
        return None
    if point.backup is not None:
        return rfc3339(kept)
    if point.at is None or retention is None:
        return None
    return rfc3339(min(kept, point.at + timedelta(seconds=float(retention))))


def _interval(request: Request, point: Point | None) -> dict[str, Any]:
    if point is None or point.at is None:
        return {"seconds": None, "text": "unknown", "from": None, "to": rfc3339(request.now)}
    seconds = (request.now - point.at).total_seconds()
    return {"seconds": seconds, "text": duration(seconds), "from": rfc3339(point.at), "to": rfc3339(request.now)}


def _resolved(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a run that continues this one must take over unchanged; to be journalled."""
    return {
        "restore_point": plan["restore_point"],
        "strategy": plan["strategy"]["chosen"],
        "primary_branch_id": plan["primary"]["branch_id"],
        "primary_name": plan["primary"]["name"],
        "source_branch_id": plan["source"]["branch_id"],
        "names": plan["names"],
        "commit": plan["application"]["commit"],
    }


def _fingerprint(plan: Mapping[str, Any]) -> str:
    """A short hash of what would be done, for a confirmation that names the plan (rule 23)."""
    resolved = dict(plan["resolved"] or {})
    point = resolved.pop("restore_point", None) or {}
    names = {key: value for key, value in (resolved.pop("names", None) or {}).items() if key != "rollback"}
    facts = [plan["target"], resolved, names, point.get("utc"), point.get("lsn"), plan["inputs"]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
