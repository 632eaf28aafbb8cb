# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a drill: whether this target may be drilled, what is rehearsed, and what earlier drills have left.

A drill refuses a target whose database or application is a production target's (safety rule 9). What cannot be seen
counts as shared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._time import branch_name, duration, rfc3339
from . import drill_starting
from .instants import instant_or_none
from .lineage import deletion_order
from .parts import primary_part
from .primary import Primary, find_primary, in_use, locate, report_duplicates
from .request import Facts, Findings, Request, read_facts, read_request, slots
from .runs import CUTS_OVER

MODES = ("backup", "pitr")


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `drill_plan`.

    :raises InvalidInput: when `now` or `started` cannot be read. Everything else is a problem in the plan.
    """
    given = params["request"]
    request, findings = read_request(given), Findings()
    facts = read_facts(params, request.target)
    primary = find_primary(facts, request, findings)
    report_duplicates(facts, primary, request, findings)
    drills = [item for item in params.get("drills") or () if item.get("target") in (None, request.target)]
    last = drills[-1] if drills else None
    left = [_left(run, facts, primary) for run in facts.unfinished if run.get("verb") == "drill"]
    drilled = {run for run in (request.run, *(item["run"] for item in left)) if run}
    _check_environment(request, findings)
    _check_shared(request, facts, primary, bool(given.get("accept_unseen")), findings)
    _check_unfinished(facts, {item["run"] for item in left}, findings)
    if not given.get("ending"):
        _check_slots(facts, sum(len(item["branches"]) for item in left), findings)
    for text in drill_starting.warnings(params.get("starting")):
        findings.warn(text)
    return {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "mode": _mode(given.get("mode"), drills),
        "last": _public(last, request),
        "name": branch_name("test-backup", request.started.replace(microsecond=0)),
        "instant": rfc3339(request.started),
        "primary": primary_part(facts, primary) if primary else None,
        "left": left,
        **deletions(facts, drilled),
        "problems": findings.problems,
        "warnings": findings.warnings,
    }


def _mode(asked: Any, drills: Sequence[Mapping[str, Any]]) -> str:
    """What was asked for, else what the last drill did not do; what failed is rehearsed again."""
    if asked in MODES:
        return str(asked)
    for drill in reversed(drills):
        mode = str(drill.get("mode"))
        if mode in MODES:
            return mode if drill.get("ok") is False else next(other for other in MODES if other != mode)
    return MODES[0]


def _public(last: Mapping[str, Any] | None, request: Request) -> dict[str, Any] | None:
    if last is None:
        return None
    at = instant_or_none(last.get("at"))
    ago = duration((request.now - at).total_seconds()) if at is not None else None
    return {"at": last.get("at"), "ago": ago, "ok": last.get("ok"), "mode": last.get("mode"), "run": last.get("run")}


def _check_environment(request: Request, findings: Findings) -> None:
    if request.environment == "production":
        findings.problem(
            "production",
            f"{request.target} is a production target: a drill cuts its application over and back.",
            "Name a staging target with -e target=, or set rewind_environment: staging if this is one.",
        )


def _check_shared(
    request: Request, facts: Facts, primary: Primary | None, accept_unseen: bool, findings: Findings
) -> None:
    project, application = str(facts.project.get("id") or ""), str(facts.application.get("uuid") or "")
    for other in facts.other_targets:
        if other.get("environment") != "production":
            continue
        name = str(other.get("target"))
        if other.get("application") == application:
            findings.problem(
                "shared_application",
                f"{request.target} and the production target {name} are the same Coolify application.",
                "Give staging an application of its own.",
            )
        if other.get("project") == project and primary is not None:
            _check_database(request, facts, primary, other, accept_unseen, findings)
    names = sorted(
        str(item.get("target"))
        for item in facts.other_targets
        if item.get("environment") == "production" and item.get("project") == project
    )
    if names:
        findings.warn(
            f"{request.target} shares its Neon project with {', '.join(names)}: while the drill works, operations "
            "there wait, and its branches take slots of the same plan."
        )


def _check_database(
    request: Request,
    facts: Facts,
    primary: Primary,
    other: Mapping[str, Any],
    accept_unseen: bool,
    findings: Findings,
) -> None:
    name, uuid = str(other.get("target")), other.get("application")
    theirs = {
        address.branch_id
        for item in facts.consumers
        if uuid in (item.get("application"), item.get("uuid")) and (address := locate(facts, item)) is not None
    }
    branch = facts.tree.nodes[primary.branch_id].name
    if primary.branch_id in theirs:
        findings.problem(
            "shared_database",
            f"{request.target} and the production target {name} use the same branch, {branch}.",
            "Give staging a branch of its own.",
        )
    elif not theirs and not accept_unseen:
        findings.problem(
            "production_unseen",
            f"The production target {name} uses the same Neon project, and which branch it points to cannot be seen.",
            f"If it is surely not {branch}, say -e accept_unseen=true; else give staging a branch of its own.",
        )


def _check_unfinished(facts: Facts, drills: set[str], findings: Findings) -> None:
    for run in facts.unfinished:
        run_id, verb = str(run.get("id") or run.get("run")), str(run.get("verb") or "restore")
        told = str((run.get("inputs") or {}).get("drill") or "")
        if run_id in drills or told in drills or verb == "backup":
            continue
        if verb not in CUTS_OVER:
            findings.warn(f"The run {run_id} ({verb}) of this target never finished; it is left as it is.")
            continue
        findings.problem(
            "unfinished_run",
            f"The run {run_id} ({verb}) of this target never finished, and it is no part of a drill.",
            f"Finish it, or take it back: ansible-playbook playbooks/undo.yml -e run={run_id}",
        )


def _check_slots(facts: Facts, comes_back: int, findings: Findings) -> None:
    """The test backup and the branch that is restored."""
    counted = slots(facts, {"branches": 2, "roots": 0})["branches"]
    if counted["limit"] is not None and counted["free"] + comes_back < counted["adds"]:
        findings.problem(
            "no_slot",
            f"The project has {counted['used']} of {counted['limit']} branches, and a drill needs 2 for a while.",
            "Run playbooks/cleanup.yml, or raise the plan.",
        )


def _left(run: Mapping[str, Any], facts: Facts, primary: Primary | None) -> dict[str, Any]:
    """What a drill that was killed has left: the restore to take back, the branches to delete."""
    run_id = str(run.get("id") or run.get("run"))
    branches = [branch_id for branch_id in facts.tree.nodes if run_id == facts.drill_of(branch_id)]
    restore = next(
        (str(item.get("id")) for item in facts.unfinished if (item.get("inputs") or {}).get("drill") == run_id), None
    )
    if restore is None and facts.cutovers and primary is not None and primary.branch_id in branches:
        last = facts.cutovers[-1]
        restore = last.run if last.to_branch_id == primary.branch_id and not last.undone else None
    return {"run": run_id, "mode": (run.get("inputs") or {}).get("mode"), "undo": restore, "branches": branches}


def deletions(facts: Facts, drilled: Collection[str]) -> dict[str, Any]:
    """The branches of these drills in the order in which they can go, and those that cannot, with the reason.

    They need only be ours, leaves and unused (rule 24).
    """
    wanted = {branch_id for branch_id in facts.tree.nodes if facts.drill_of(branch_id) in drilled}
    found = deletion_order(facts.tree, wanted, in_use=in_use(facts))
    names = facts.tree.nodes
    return {
        "to_delete": [{"branch_id": item, "name": names[item].name} for item in found.order],
        "kept": [
            {"branch_id": item, "name": names[item].name, "why": "; ".join(why)} for item, why in found.blocked.items()
        ],
    }
