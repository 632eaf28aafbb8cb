# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a cleanup: for each branch and snapshot, whether it is kept or deleted, and why."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from .._time import rfc3339
from . import cleanup_text
from .cleanup_known import Known, Marks, mentioned, read_branch, read_marks, read_snapshot, unfinished_runs
from .cleanup_request import Wanted, read_wanted
from .cleanup_rules import (
    BACKUPS,
    SCRATCH,
    Hold,
    Situation,
    due,
    holds,
    kept_backups,
    not_due,
    snapshot_holds,
    unreadable,
    users_of,
    why_deleted,
)
from .cleanup_snapshots import adopt, standing
from .instants import instant_or_none, text_or_none
from .lineage import Tree, deletion_order
from .primary import in_use
from .request import Facts, Findings, read_facts

_DETACH = "detach_parent_branch"
# A cleanup that runs once a week must not come too late for a branch that Neon deletes by itself meanwhile.
_LOOK_AHEAD = timedelta(days=8)


@dataclass
class _Judged:
    """What is known of everything, and what holds it."""

    known: dict[str, Known]
    held: dict[str, list[Hold]]
    order: list[str] = field(default_factory=list)
    waits_for: dict[str, list[str]] = field(default_factory=dict)


def build(params: Mapping[str, Any], *, check_mode: bool = False) -> dict[str, Any]:
    """Make the plan from the options of `cleanup_plan`.

    :param check_mode: no report will be written, so none is named.
    :raises InvalidInput: when `now` cannot be read. Everything else is a problem in the plan.
    """
    findings = Findings()
    wanted = read_wanted(params.get("request") or {}, findings)
    facts = read_facts(params, wanted.target)
    marks = read_marks(facts)
    adopt(marks, facts, params.get("snapshots") or ())
    pins = _pins(facts, marks, wanted, findings)
    situation = _situation(facts, wanted, params.get("other_targets") or ())
    branches = _judge_branches(facts, marks, situation)
    snapshots = _judge_snapshots(params.get("snapshots") or (), marks, situation)
    _cap(branches, snapshots, wanted.max_deletions)
    _warn(branches, snapshots, situation, findings)
    plan = _assemble(facts, wanted, branches, snapshots, situation)
    clear = _expiries(branches, wanted, {item["branch_id"] for item in pins}, findings)
    plan |= {"pins": pins, "expiry_to_clear": clear}
    plan["confirm"] = _confirm(wanted, plan, check_mode=check_mode)
    plan |= {"problems": findings.problems, "warnings": findings.warnings}
    ends_here = bool(findings.problems or plan["confirm"]["refusal"])
    plan["text"] = cleanup_text.lines(plan, reported=not (check_mode or ends_here))
    return plan


def judge(facts: Facts, wanted: Wanted, other_targets: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Every branch as the plan shows it, for who only wants to know what a cleanup would say of it."""
    marks = read_marks(facts)
    adopt(marks, facts, facts.snapshots or ())
    situation = _situation(facts, wanted, other_targets)
    # An audit has read the application itself, whatever became of the list of those who connect.
    users = {branch_id: ["the application"] for branch_id in in_use(facts)} | dict(situation.users)
    judged = _judge_branches(facts, marks, replace(situation, users=users))
    return [_row(item, judged, wanted) for item in sorted(judged.known.values(), key=_age_key)]


def _situation(facts: Facts, wanted: Wanted, other_targets: Iterable[str]) -> Situation:
    return Situation(
        wanted,
        users_of(facts),
        unreadable(facts.unreadable, set(wanted.accept_unreadable)),
        unfinished_runs(facts),
        mentioned(facts),
        {str(name) for name in other_targets} - {wanted.target},
        standing(facts),
    )


# Pins


def _pins(facts: Facts, marks: dict[str, Marks], wanted: Wanted, findings: Findings) -> list[dict[str, Any]]:
    """What is pinned and unpinned by this run. It counts at once."""
    found = []
    for event, names in (("pinned", wanted.pin), ("unpinned", wanted.unpin)):
        for name in names:
            branch = facts.by_id.get(name) or next((item for item in facts.branches if item.get("name") == name), None)
            mark = marks.setdefault(str(branch["id"]), Marks()) if branch else Marks()
            if branch is None or not read_branch(branch, mark).ours:
                why = "was not made by this collection, so no cleanup ever deletes it" if branch else "does not exist"
                findings.problem("pin_unknown", f"The branch {name} {why}.", "Name a backup by its name or its id.")
                continue
            before = read_branch(branch, mark).pinned
            mark.pinned = (wanted.reason or "no reason given") if event == "pinned" else None
            mark.unpinned = event == "unpinned"
            if before != mark.pinned:
                shown = {"event": event, "branch_id": branch["id"], "name": branch["name"], "reason": mark.pinned}
                # A pin keeps it from Neon's own deletion as well.
                expires = branch.get("expires_at") if event == "pinned" else None
                found.append({**shown, "expires_at": expires})
    return found


# Judging


def _judge_branches(facts: Facts, marks: Mapping[str, Marks], situation: Situation) -> _Judged:
    known = {str(item["id"]): read_branch(item, marks.get(str(item["id"]), Marks())) for item in facts.branches}
    held = {item.id: holds(item, situation) for item in known.values()}
    others = {"foreign", "other_target"}
    backups = [
        item
        for item in known.values()
        if item.kind in BACKUPS and not any(hold.code in others for hold in held[item.id])
    ]
    for branch_id, more in kept_backups(backups, situation.wanted).items():
        held[branch_id] += more
    for item in known.values():
        if item.ours:
            held[item.id] += not_due(item, situation.wanted)
    judged = _Judged(known, held)
    _order(judged, facts, set(situation.users))
    return judged


def _order(judged: _Judged, facts: Facts, used: Collection[str]) -> None:
    """Leaf first, oldest first; what a branch that stays hangs on is held. A child being detached is waited for."""
    detaching = _detaching(facts)
    moved = {
        node.id: replace(node, parent_id=None) if node.id in detaching else node for node in facts.tree.nodes.values()
    }
    tree = Tree(moved)
    wanted = [branch_id for branch_id, found in judged.held.items() if not found]
    deletion = deletion_order(tree, wanted, in_use=used)
    for branch_id, reasons in deletion.blocked.items():
        judged.held[branch_id] += [Hold("parent", reason) for reason in reasons]
    for branch_id in deletion.order:
        waits = [child.id for child in facts.tree.children(branch_id) if child.id in detaching]
        if waits:
            judged.waits_for[branch_id] = waits
    judged.order = _oldest_first(judged, tree, deletion.order)


def _oldest_first(judged: _Judged, tree: Tree, order: Sequence[str]) -> list[str]:
    """The oldest that has no child left, again and again: any beginning of it is a leaf-first order too."""
    left = set(order)
    children = {key: sum(child.id in left for child in tree.children(key)) for key in order}
    free = [(_age_key(judged.known[key]), key) for key in order if not children[key]]
    heapq.heapify(free)
    found = []
    while free:
        _age, branch_id = heapq.heappop(free)
        found.append(branch_id)
        parent = tree.nodes[branch_id].parent_id
        if parent in children:
            children[parent] -= 1
            if not children[parent]:
                heapq.heappush(free, (_age_key(judged.known[parent]), parent))
    return found


def _age_key(item: Known) -> float:
    return item.created.timestamp() if item.created else 0.0


def _detaching(facts: Facts) -> set[str]:
    """Branches that will be roots in a moment: after a restore in place of a root from itself."""
    running = facts.project.get("running_operations") or ()
    found = {str(item.get("branch_id")) for item in running if item.get("action") == _DETACH}
    return found | {str(item["id"]) for item in facts.branches if item.get("restore_status") == "detaching"}


def _judge_snapshots(listed: Iterable[Mapping[str, Any]], marks: Mapping[str, Marks], situation: Situation) -> _Judged:
    known = {str(item["id"]): read_snapshot(item, marks.get(str(item["id"]), Marks())) for item in listed}
    held = {item.id: snapshot_holds(item, situation) for item in known.values()}
    for item in known.values():
        if item.ours:
            held[item.id] += not_due(item, situation.wanted)
    order = sorted((key for key, found in held.items() if not found), key=lambda key: (_age_key(known[key]), key))
    return _Judged(known, held, order)


def _cap(branches: _Judged, snapshots: _Judged, most: int) -> None:
    """What is over the cap waits for the next run. Any beginning of a leaf-first order is one itself."""
    for judged, room in ((branches, most), (snapshots, max(0, most - len(branches.order)))):
        for left in judged.order[room:]:
            judged.held[left].append(Hold("cap", f"more than {most} in one run; a later one deletes it"))
        judged.order = judged.order[:room]


# What else a person must know


def _warn(branches: _Judged, snapshots: _Judged, situation: Situation, findings: Findings) -> None:
    ours = [item for item in branches.known.values() if item.kind in BACKUPS]
    if ours and not any(hold.code == "minimum_verified" for found in branches.held.values() for hold in found):
        findings.warn("No backup of this target is recorded as verified, so no backup is deleted.")
    for text in situation.unreadable:
        findings.warn(f"Cannot be read, so no branch that has a compute is deleted: {text}.")
    for run, verb in situation.runs.items():
        made = (*branches.known.values(), *snapshots.known.values())
        found = [item.name for item in made if item.run == run]
        left = f" It has left {', '.join(sorted(found))}." if found else ""
        findings.warn(
            f"The {verb} {run} never ended.{left} Finish it by running it again, or take it back: ansible-playbook"
            f" playbooks/undo.yml -e target={situation.wanted.target} -e run={run}"
        )
    for branch_id in situation.users:
        item = branches.known[branch_id]
        if not item.ours and (expires := instant_or_none(item.facts.get("expires_at"))) is not None:
            findings.warn(
                f"{item.name} is in use, and Neon deletes it at {rfc3339(expires)}. Clear its expiry in Neon's console."
            )
    look_alikes = [
        item.name
        for item in branches.known.values()
        if not item.ours and item.name.startswith(tuple(f"{kind}-2" for kind in sorted(BACKUPS | SCRATCH)))
    ]
    if look_alikes:
        findings.warn(
            f"Named like ours, and kept because nothing says that this collection made them: {_some(look_alikes)}."
        )


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _expiries(branches: _Judged, wanted: Wanted, pins: Collection[str], findings: Findings) -> list[dict[str, Any]]:
    """Ours that stay for good or until further notice, and that Neon would delete all the same (rule 8)."""
    found = []
    for item in branches.known.values():
        expires = instant_or_none(item.facts.get("expires_at"))
        lasting = [hold for hold in branches.held[item.id] if hold.lasting]
        if not item.ours or expires is None or not lasting or item.id in pins:
            continue
        if expires > wanted.now + _LOOK_AHEAD and lasting[0].code not in ("in_use", "pinned"):
            continue
        found.append(
            {"branch_id": item.id, "name": item.name, "expires_at": rfc3339(expires), "why": lasting[0].reason}
        )
        findings.warn(
            f"Neon deletes {item.name} at {rfc3339(expires)}, though {lasting[0].reason}. A confirmed run clears that."
        )
    return found


# The plan


def _assemble(
    facts: Facts, wanted: Wanted, branches: _Judged, snapshots: _Judged, situation: Situation
) -> dict[str, Any]:
    rows = [_row(item, branches, wanted) for item in sorted(branches.known.values(), key=_age_key)]
    codes = Counter(row["code"] for row in rows)
    limit = (facts.project.get("limits") or {}).get("branches")
    return {
        "target": wanted.target,
        "environment": wanted.environment,
        "now": rfc3339(wanted.now),
        "branches": rows,
        "snapshots": [_row(item, snapshots, wanted) for item in sorted(snapshots.known.values(), key=_age_key)],
        "delete": [_deletion(branches, key) for key in branches.order],
        "delete_snapshots": [_snapshot_deletion(snapshots.known[key]) for key in snapshots.order],
        "counts": {
            "branches": len(rows),
            "limit": limit,
            "ours": sum(1 for item in branches.known.values() if item.ours),
            "deleted": len(branches.order),
            "left": len(rows) - len(branches.order),
            "snapshots_deleted": len(snapshots.order),
            "by_code": dict(sorted(codes.items())),
        },
        "unreadable": list(situation.unreadable),
        "unfinished": [{"run": run, "verb": verb} for run, verb in situation.runs.items()],
    }


def _row(item: Known, judged: _Judged, wanted: Wanted) -> dict[str, Any]:
    found = judged.held[item.id]
    code, reason = (found[0].code, found[0].reason) if found else why_deleted(item, wanted)
    return {
        "id": item.id,
        "name": item.name,
        "parent_id": item.facts.get("parent_id"),
        "kind": item.kind,
        "decision": "keep" if found else "delete",
        "code": code,
        "reason": reason,
        "also": [hold.reason for hold in found[1:]],
        "ours": item.ours,
        "run": item.run,
        "created_at": text_or_none(item.created),
        "due": text_or_none(due(item, wanted)) if item.ours else None,
        "verified": item.verified,
        "has_compute": bool(item.computes),
        # The same as a mark in the tree of a report.
        "marks": [f"{'kept' if found else 'deleted'}: {reason}"],
    }


def _deletion(judged: _Judged, branch_id: str) -> dict[str, Any]:
    """What the deletion needs, so that it can see whether the branch is still the one that was judged."""
    item = judged.known[branch_id]
    return {
        "id": branch_id,
        "name": item.name,
        "endpoint_ids": [str(compute["id"]) for compute in item.computes],
        "last_reset_at": item.facts.get("last_reset_at"),
        "waits_for": judged.waits_for.get(branch_id, []),
    }


def _snapshot_deletion(item: Known) -> dict[str, Any]:
    return {"id": item.id, "name": item.name, "expires_at": item.facts.get("expires_at")}


def _confirm(wanted: Wanted, plan: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Rule 23: a confirmation names the target or the hash of this list, never just "yes"."""
    subjects = [
        wanted.target,
        sorted(item["id"] for item in plan["delete"]),
        sorted(item["id"] for item in plan["delete_snapshots"]),
        sorted(item["branch_id"] for item in plan["expiry_to_clear"]),
    ]
    digest = hashlib.sha256(json.dumps(subjects).encode()).hexdigest()[:12]
    needed = any(subjects[1:])
    # Of several targets all are named, separated by commas, as everywhere.
    given = not {wanted.target, digest}.isdisjoint(part.strip() for part in wanted.confirm.split(","))
    refused = bool(wanted.confirm and needed and not given)
    # A dry run and a refused one pin nothing, and their list counts on it.
    command = wanted.command(digest, pins=bool(plan["pins"]) and (check_mode or refused))
    refusal = ""
    if refused:
        undone = "Nothing was deleted, pinned or unpinned" if plan["pins"] else "Nothing was deleted"
        refusal = (
            f"{undone}: {wanted.confirm} is neither the target's name nor the hash of the list as it is now,"
            " which may have changed since it was shown. Look at it again, then confirm it:"
            f" {command}"
        )
    return {
        "needed": needed,
        "given": given and needed,
        "hash": digest,
        "command": command,
        "refusal": refusal,
    }
