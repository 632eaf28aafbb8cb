# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a promotion: which branch becomes the primary for good, what that does to the tree, and what stays.

Where the application is not on the branch yet, the plan of that cutover is inside, with all of its problems. Nothing is
journalled of it that a later run could not find again by id: a branch has other names before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from .._time import branch_name, rfc3339
from . import promote_tree as growth
from .instants import instant_or_none
from .lineage import Limits, LineageError, Tree
from .parts import like_computes_of, primary_part
from .primary import Primary, find_primary, in_use, report_duplicates
from .promote_cutover import check_unfinished, cutover_inside, inner_run, own_cutover, run_id
from .promote_names import Subject, find_subject
from .promote_text import no_root
from .promote_trial import trial
from .promote_wanted import Asked, keep_until, resolved, wanted, with_old
from .request import Facts, Findings, Request, read_facts, read_request, slots


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `promote_plan`.

    :raises InvalidInput: when `now` or `started` cannot be read. Everything else is a problem in the plan.
    """
    given = params.get("request") or {}
    request, asked, findings = read_request(given), Asked.read(given), Findings()
    facts = read_facts(params, request.target)
    inner = inner_run(request, facts)
    inner_id = run_id(inner) if inner is not None else None
    check_unfinished(request, facts, inner_id, findings)
    primary = find_primary(facts, request, findings)
    report_duplicates(facts, primary, request, findings)
    plan = _nothing_known(request, asked)
    plan["restore_run"] = inner_id
    if primary is not None:
        plan["primary"] = primary_part(facts, primary)
        named = str(asked.resolved.get("asked_id") or asked.branch or "") or None
        subject = find_subject(facts, primary, wanted=named, option=asked.option, inner=inner, findings=findings)
        if subject is not None:
            plan.update(_of_subject(params, request, asked, facts, primary, subject, findings))
            plan["restore_run"] = inner_id or own_cutover(request, subject)
    done = plan["already_done"]["done"]
    if not done:
        plan["trial"] = trial(params.get("trial"), request, facts, primary, findings)
    plan["confirm"] = {
        "needed": request.environment == "production" and not done,
        # With a cutover the restore inside asks, with the losses in view.
        "by_restore": bool(plan["cutover"]),
        "phrase": request.target,
        "argument": f"-e confirm={request.target}",
    }
    return {**plan, "problems": findings.problems, "warnings": findings.warnings}


def _nothing_known(request: Request, asked: Asked) -> dict[str, Any]:
    """The plan as it is where neither the primary nor the branch to promote is found."""
    unknown = "primary branch old default names protected cutover computes backup keep_until slots resolved trial"
    return {
        "target": request.target,
        "environment": request.environment,
        "now": rfc3339(request.now),
        "option": asked.option,
        "asked": asked.branch,
        **dict.fromkeys(unknown.split()),
        "moves": [],
        "staying": [],
        "tree_before": [],
        "tree_after": [],
        "already_done": {"done": False, "why": ""},
        "undo": {
            "possible_until": rfc3339(request.now + timedelta(days=asked.grace_days)),
            "command": f"ansible-playbook playbooks/undo.yml -e target={request.target}",
        },
    }


def _of_subject(
    params: Mapping[str, Any],
    request: Request,
    asked: Asked,
    facts: Facts,
    primary: Primary,
    subject: Subject,
    findings: Findings,
) -> dict[str, Any]:
    tree = Tree.of(
        facts.branches,
        snapshots=facts.snapshots or (),
        limits=Limits.of(facts.project),
        operations=facts.project.get("running_operations") or (),
    )
    subject = with_old(subject, asked, tree)
    aim = wanted(request, asked, facts, tree, subject)
    cutover = cutover_inside(params, request, asked, subject, findings) if subject.needs_cutover else None
    # Where a cutover is gone on with, the one that points to it may be the target's own.
    if subject.needs_cutover and subject.branch_id != primary.branch_id and subject.branch_id in in_use(facts):
        findings.warn(f"Another application points to {subject.name} already; it shares the database from then on.")
    after, moved = _grow(request, asked, tree, subject, aim, findings)
    backup = _backup(request, asked, facts, subject, after, findings)
    kept_until = keep_until(request, asked, subject)
    shown, default = growth.shown(tree, after, subject), tree.get(aim.default_id)
    _say_what_stays(asked, tree, after, subject, shown["old"], findings)
    done = _done(subject, moved, backup, asked)
    return {
        **shown,
        "default": {"branch_id": default.id, "name": default.name} if default is not None else None,
        "names": {"new": aim.name, "old": aim.old_name},
        "protected": aim.protected,
        "cutover": cutover,
        "computes": _computes(facts, subject),
        "moves": [move.public() for move in moved],
        "backup": backup,
        "keep_until": kept_until,
        "slots": slots(facts, _added(tree, after)),
        "already_done": {
            "done": done,
            "why": f"{aim.name} is the primary, and nothing of it is missing" if done else "",
        },
        "resolved": resolved(asked, tree, subject, aim, kept_until),
    }


def _added(tree: Tree, after: Tree) -> dict[str, int]:
    now, then = tree.slots(), after.slots()
    return {"branches": then.branches - now.branches, "roots": then.roots - now.roots}


def _grow(
    request: Request, asked: Asked, tree: Tree, subject: Subject, aim: growth.Wanted, findings: Findings
) -> tuple[Tree, list[growth.Move]]:
    """The tree afterwards, as far as Neon allows it, and the moves on the way."""
    moved: list[growth.Move] = []
    after = tree
    try:
        after = growth.after_cutover(tree, subject, asked.option, request.now)
        moved = growth.moves(after, subject, aim)
        after = growth.carried_out(after, moved)
    except LineageError as error:
        if not any(
            item["code"] in ("no_independent_root", "no_root_slot", "no_snapshot_slot") for item in findings.problems
        ):
            findings.problem("not_allowed", f"{error}.", "Put this right in Neon, then run this again.")
        if subject.branch_id not in after.nodes:
            after = growth.added_root(tree, subject, request.now)
    return after, moved


def _backup(
    request: Request, asked: Asked, facts: Facts, subject: Subject, after: Tree, findings: Findings
) -> dict[str, Any]:
    """Whether the new primary has a verified backup of its own yet: the data before it is another branch's."""
    since = instant_or_none((subject.record or {}).get("at")) if subject.record else None
    found = [
        node.name
        for node in facts.tree.children(subject.branch_id)
        if since is not None
        and (facts.branch_facts.get(node.id) or {}).get("verified")
        and node.created_at is not None
        and node.created_at >= since
    ]
    needed = asked.backs_up and not found and (subject.record is None or not (subject.record or {}).get("backed_up"))
    name = branch_name("backup", request.now.replace(microsecond=0))
    if needed:
        try:
            growth.with_backup(after, subject, name, request.now)
        except LineageError as error:
            findings.problem(
                "no_backup_slot",
                f"The first backup of the new primary has no room: {'; '.join(error.reasons)}.",
                "Run playbooks/cleanup.yml, raise the plan, or leave the backup out with first_backup=false.",
            )
    return {"needed": needed, "found": found, "retention_days": asked.grace_days}


def _computes(facts: Facts, subject: Subject) -> list[dict[str, Any]]:
    """Like those of the old primary, where the new one may lack some: before its promotion only (rule 13)."""
    if subject.needs_cutover or subject.record is not None:
        return []
    return like_computes_of(facts.by_id.get(str(subject.old_id)) or {})


def _say_what_stays(
    asked: Asked, tree: Tree, after: Tree, subject: Subject, old: Mapping[str, Any] | None, findings: Findings
) -> None:
    stay = growth.staying(after, subject)
    if old is None:
        findings.warn("Nothing says which branch was the primary before; no branch is renamed to rollback-.")
    if stay:
        listed = ", ".join(item["name"] for item in stay)
        findings.warn(
            f"{listed} can never be deleted while {after.nodes[subject.branch_id].name} exists, which hangs on it; "
            f"that takes {len(stay)} of the project's branches for good."
        )
        if asked.option == "b" and not subject.needs_cutover:
            # By the names of now: those of afterwards will not come about.
            findings.problem(*no_root([], (), subject, tree, growth.staying(tree, subject)))
    elif old is not None and old["waits_for"]:
        findings.warn(f"{old['name']} can be deleted only after its children: {', '.join(old['waits_for'])}.")
    if after.nodes[subject.branch_id].parent_id is not None:
        findings.warn(
            f"{after.nodes[subject.branch_id].name} is a child: Neon makes no snapshots of it, so that no schedule of "
            "snapshots can be set for it, and restores it in place no more."
        )


def _done(subject: Subject, moved: list[growth.Move], backup: Mapping[str, Any], asked: Asked) -> bool:
    record = subject.record
    same = record is not None and record.get("option") == asked.option
    return same and not subject.needs_cutover and not moved and not backup["needed"]
