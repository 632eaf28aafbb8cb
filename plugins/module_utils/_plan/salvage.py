# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a salvage: which three states are compared, whether they can still be read, and until when.

After a restore the old side is what the application had left, and the new side what it uses now. After an undo it is
the other way round. The state at the restore point is read from where the restore itself took it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .._time import branch_name, duration, rfc3339
from .instants import instant_or_none
from .primary import Primary, find_primary
from .request import Facts, Findings, Request, read_facts, read_request, slots
from .strategies import window_start
from .text import wrapped

# Its branches expire by themselves, should a killed salvage never be followed by another.
EXPIRES = timedelta(days=1)
PURPOSE = "salvage"


@dataclass(frozen=True)
class _Restore:
    """A restore as its journal tells it."""

    run: str
    plan: Mapping[str, Any]
    branch: Mapping[str, Any]

    @property
    def strategy(self) -> str:
        return str((self.plan.get("strategy") or {}).get("chosen") or "")

    @property
    def primary_id(self) -> str:
        return str((self.plan.get("primary") or {}).get("branch_id") or "")

    @property
    def point(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.plan.get("restore_point") or {}
        return found

    @property
    def at(self) -> datetime | None:
        return instant_or_none(self.point.get("utc")) or instant_or_none(self.branch.get("parent_timestamp"))


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `salvage_plan`.

    :raises InvalidInput: when `now` or `started` cannot be read. Everything else is a problem in the plan.
    """
    given = params["request"]
    request, findings = read_request(given), Findings()
    facts = read_facts(params, request.target)
    primary = find_primary(facts, request, findings)
    restore = _restore(params.get("run") or {}, request, findings)
    # A cutover that was taken back before it was proven is in no record, only its journal says so.
    undone = restore is not None and (
        (params.get("run") or {}).get("status") == "undone"
        or any(item.undone and item.proven and item.run == restore.run for item in facts.cutovers)
    )
    plan: dict[str, Any] = {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "run": restore.run if restore else None,
        "after": "undo" if undone or given.get("undo") else "restore",
        "restore_point": dict(restore.point) if restore else None,
        "possible_until": None,
        "expires_at": rfc3339(request.now + EXPIRES),
        "left": _left(facts),
        "connection": ((restore.plan.get("env") or {}).get("base") or None) if restore else None,
        "names": {
            side: branch_name(f"{PURPOSE}-{side}", request.started.replace(microsecond=0)) for side in ("base", "old")
        },
        **dict.fromkeys(("base", "old", "new")),
    }
    if restore and primary:
        _sides(plan, restore, facts, primary, findings, undone=undone, undo=bool(given.get("undo")))
        _check_window(plan, restore, request, facts, findings)
        _check_slots(facts, len(plan["left"]), findings)
    plan.update(problems=findings.problems, warnings=findings.warnings)
    return {**plan, "text": _lines(plan)}


def _restore(run: Mapping[str, Any], request: Request, findings: Findings) -> _Restore | None:
    steps = run.get("steps") or {}
    plan = ((steps.get("plan") or {}).get("data") or {}).get("plan")
    branch = ((steps.get("verified") or {}).get("data") or {}).get("branch")
    if not run:
        findings.problem(
            "no_restore",
            f"No cutover of {request.target} is recorded in this state directory, so there is nothing to salvage.",
            "Name the restore with -e run=ID, and check rewind_state_dir.",
        )
    elif not plan or not branch or not run.get("cutover_begun"):
        findings.problem(
            "no_cutover",
            f"The run {run.get('id')} ({run.get('verb')}) has begun no cutover: nothing was left behind by it.",
            "Name another restore with -e run=ID, or none for the newest.",
        )
    else:
        return _Restore(str(run["id"]), plan, branch)
    return None


def _sides(
    plan: dict[str, Any],
    restore: _Restore,
    facts: Facts,
    primary: Primary,
    findings: Findings,
    *,
    undone: bool,
    undo: bool,
) -> None:
    """Which branch holds which state."""
    before, after = _kept(restore, facts, undone=False), _restored(restore, facts, undone=undone)
    old, new = (after, before) if undone or undo else (before, after)
    plan["old"] = _branch(facts, old, "the side that the application has left", findings)
    # Whatever the application uses by now is what the rows are to come into.
    plan["new"] = _branch(facts, new if undo else primary.branch_id, "the side that the application uses", findings)
    if plan["old"] and not undo and primary.branch_id == plan["old"]["branch_id"]:
        findings.problem(
            "still_used",
            f"The application uses {plan['old']['name']}, which is what the run {restore.run} was to leave.",
            "Finish the run or take it back first; then nothing of it is missing.",
        )
    plan["base"] = _base(restore, before, facts, findings)
    for part in filter(None, (plan["old"], plan["base"])):
        branch = facts.by_id[part["branch_id"]]
        if branch.get("expires_at"):
            findings.problem(
                "expires",
                f"The branch {part['name']} has an expiry, and Neon makes no branch from one that has.",
                f"Clear the expiry of {part['name']} in the Neon console, and run this again.",
            )


def _kept(restore: _Restore, facts: Facts, *, undone: bool) -> str:
    """The branch with what the application had before the restore; in place, and taken back, with what it had after."""
    if restore.strategy != "in_place":
        return restore.primary_id
    recorded = [item for item in facts.cutovers if item.run == restore.run and item.undone == undone]
    ids = [item.preserved_branch_id for item in reversed(recorded) if item.preserved_branch_id]
    name = str((restore.plan.get("names") or {}).get("rollback") or "")
    named = facts.tree.named(name.replace("rollback-", "undone-") if undone else name)
    return next(iter(ids), named.id if named else name)


def _restored(restore: _Restore, facts: Facts, *, undone: bool) -> str:
    """The branch with what the application wrote after the restore."""
    if restore.strategy != "in_place":
        return str(restore.branch.get("id") or "")
    return _kept(restore, facts, undone=True) if undone else restore.primary_id


def _base(restore: _Restore, kept: str, facts: Facts, findings: Findings) -> dict[str, Any] | None:
    """Where the state at the restore point is read: at the very position that the restore took it from."""
    source = restore.plan.get("source") or {}
    parent = str(restore.branch.get("parent_id") or source.get("branch_id") or "")
    if restore.strategy == "in_place" and parent == restore.primary_id:
        # Its past is now that of the branch which the restore has kept.
        parent = kept
    found = _branch(facts, parent, "the branch that holds the restore point", findings)
    if found is None:
        return None
    if source.get("head") and source.get("branch_id") == parent:
        return {**found, "parent_lsn": None, "parent_timestamp": None}
    lsn = restore.branch.get("parent_lsn") if restore.branch.get("parent_id") else source.get("parent_lsn")
    at = restore.branch.get("parent_timestamp") if restore.branch.get("parent_id") else source.get("parent_timestamp")
    return {**found, "parent_lsn": lsn or None, "parent_timestamp": None if lsn else at or None}


def _branch(facts: Facts, branch_id: str, what: str, findings: Findings) -> dict[str, Any] | None:
    branch = facts.by_id.get(branch_id)
    if branch is None:
        findings.problem(
            "branch_gone",
            f"There is no branch {branch_id} any more, {what}.",
            "Without it nothing can be compared. Look for a backup of that time.",
        )
        return None
    return {"branch_id": branch_id, "name": str(branch.get("name") or branch_id)}


def _check_window(plan: dict[str, Any], restore: _Restore, request: Request, facts: Facts, findings: Findings) -> None:
    base = plan["base"]
    if base is None or (base["parent_lsn"] is None and base["parent_timestamp"] is None):
        # What a backup holds does not grow old.
        return
    at, retention = restore.at, facts.project.get("history_retention_seconds")
    start = window_start(request, facts)
    if at is not None and retention is not None:
        plan["possible_until"] = rfc3339(at + timedelta(seconds=float(retention)))
    if at is not None and start is not None and at < start:
        findings.problem(
            "left_the_window",
            f"The restore point {rfc3339(at)} has left the history window, which now begins at {rfc3339(start)}: the "
            "state that both sides began with cannot be read any more, so nobody can tell who has changed what.",
            "Look into both sides by hand, or compare them with neon_schema_diff and postgres_manifest.",
        )


def _check_slots(facts: Facts, left: int, findings: Findings) -> None:
    found = slots(facts, {"branches": 2, "roots": 0})["branches"]
    if found["free"] is not None and found["free"] + left < 2:
        findings.problem(
            "no_slots",
            f"A salvage reads two branches of its own for a while, and the project has {found['used']} of "
            f"{found['limit']} branches.",
            "Make room with playbooks/cleanup.yml, or delete branches that nobody needs.",
        )


def _left(facts: Facts) -> list[dict[str, str]]:
    """The branches of salvages of this target that were killed."""
    runs = {str(run.get("id") or run.get("run")) for run in facts.unfinished if run.get("verb") == PURPOSE}
    found = []
    for branch in facts.branches:
        noted = branch.get("annotations") or {}
        if noted.get("purpose") == PURPOSE and noted.get("run") in runs:
            found.append({"branch_id": str(branch["id"]), "name": str(branch["name"]), "run": str(noted["run"])})
    return found


def _lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan as a person reads it."""
    if not (plan["base"] and plan["old"] and plan["new"]):
        return []
    base, point = plan["base"], plan["restore_point"]
    instant = point.get("utc") or point.get("lsn") or f"backup {point.get('backup')}"
    until = instant_or_none(plan["possible_until"])
    now = instant_or_none(plan["now"])
    left = f" (for {duration((until - now).total_seconds())})" if until and now and until > now else ""
    possible = f"{plan['possible_until']}{left}" if until else f"as long as {base['name']} exists"
    parts = [
        ("run", f"{plan['run']}, after its {plan['after']}"),
        (
            "restore point",
            f"{instant}, read on {base['name']} at {base['parent_lsn'] or base['parent_timestamp'] or 'its head'}",
        ),
        ("old side", f"{plan['old']['name']} {plan['old']['branch_id']}"),
        ("new side", f"{plan['new']['name']} {plan['new']['branch_id']}"),
        ("possible until", possible),
    ]
    return [line for label, text in parts for line in wrapped(f"{label + ':':<16}{text}", " " * 16)]
