# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbered steps of a restore, each with what it would do here (design, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._time import duration
from .application import other_consumers
from .primary import rows_on
from .request import describe, running_commit
from .runs import Branch
from .source import Source
from .strategies import Case


def build(
    case: Case, strategy: str, branch: Branch, source: Source, expiring: Iterable[Mapping[str, Any]], unprotect: bool
) -> list[dict[str, Any]]:
    """The nine steps; `does` is a list of whole sentences."""
    if strategy == "repoint":
        cutover = _repoint(case)
    elif strategy == "snapshot":
        cutover = _snapshot(case)
    else:
        cutover = _in_place(case, branch, source, unprotect)
    plain = [
        ("preflight", "Preflight", ["Reads everything once and collects all problems."]),
        ("plan", "Plan", ["Shows this plan, its price and the price of the other strategies."]),
        ("branch", "Branch at the restore point", _branch(case, strategy, branch, source, expiring)),
        ("verify", "Verify", _verify(strategy, branch)),
        ("confirm", "Confirm", _confirm(case)),
        ("cutover", "Cut over", cutover),
        ("prove", "Prove", _prove(case, strategy)),
        ("fence", "Fence and keep the old state", _fence(case, strategy)),
        ("record", "Record", ["Writes the journal, the catalogue and the report."]),
    ]
    return [
        {"number": number, "id": step, "title": title, "does": does}
        for number, (step, title, does) in enumerate(plain, start=1)
    ]


def _branch(
    case: Case, strategy: str, branch: Branch, source: Source, expiring: Iterable[Mapping[str, Any]]
) -> list[str]:
    does = [f"Clears the expiry of {item['name']}, because {item['why']}." for item in expiring]
    where = "its head" if source.at is None and source.lsn is None else (source.lsn or describe(source.at))
    if strategy == "snapshot":
        if branch.existing is None:
            does.append(f"Makes the snapshot {branch.name} of {source.name} at {where} and waits until it is made.")
        does.append(f"Restores it to the new root branch {branch.name}, and adds a compute to look at it.")
    elif case.request.promotes_backup:
        does.append(f"Takes {branch.name} itself, with computes like those of {case.node.name}.")
    elif branch.existing is not None:
        does.append(f"Takes the branch {branch.name} of an earlier run, once it is proven that nobody wrote to it.")
    else:
        kind = "" if strategy == "repoint" else "short-lived preview "
        does.append(f"Makes the {kind}branch {branch.name} from {source.name} at {where} and waits until it is ready.")
    return does


def _verify(strategy: str, branch: Branch) -> list[str]:
    exact = "with the exact string that the application will get, " if strategy == "repoint" else ""
    return [
        f"Connects to {branch.name} {exact}direct and pooled, and runs the checks.",
        "Counts every table there and in the primary, and shows what would be lost.",
    ]


def _confirm(case: Case) -> list[str]:
    if case.request.environment != "production":
        return [f"Asks nothing: the target is marked {case.request.environment}."]
    return [f"Asks for an explicit yes with these numbers in view: -e confirm={case.request.target}"]


def _repoint(case: Case) -> list[str]:
    rows = rows_on(case.facts, case.primary.branch_id)
    keys = ", ".join(f"{row.get('key')}{' (preview)' if row.get('is_preview') else ''}" for row in rows)
    does = []
    if case.facts.application.get("auto_deploy"):
        does.append("Pauses automatic deployments.")
    if case.request.fence_writes:
        does.append(f"Refuses new writes on {case.node.name} and records its last LSN and the final loss.")
    does.append(f"Moves the rows {keys or case.request.env_key} to {case.names.branch.name} in one write.")
    others = [item for item in other_consumers(case) if item["answer"] == "also_repoint"]
    also = [f"{item.get('name')} ({item.get('key')})" for item in others]
    if also:
        does.append(f"Moves these too: {', '.join(also)}.")
    commit = case.request.deploy_commit or running_commit(case.facts)
    how = "Deploys" if case.request.deploy_commit else "Redeploys the same image, without a build:"
    limit = duration(case.request.cutover_deadline)
    does.append(f"{how} commit {commit or '(unknown)'}, within {limit}; past that everything is taken back.")
    return does


def _in_place(case: Case, branch: Branch, source: Source, unprotect: bool) -> list[str]:
    does = [
        "Checks the history window once more and measures the final loss; writes are not fenced, so what is written "
        "between that and the restore is only kept, not counted.",
        f"Deletes the preview {branch.name} and waits.",
    ]
    if unprotect:
        does.append(f"Takes the protection of {case.node.name} away, and gives it back on every way out.")
    origin = "itself" if source.branch_id == case.node.id else source.name
    does.append(
        f"Restores {case.node.name} from {origin} at the LSN that the preview was made from, keeping its present state "
        f"as {case.names.rollback}; connections drop once."
    )
    children = [child.name for child in case.facts.tree.children(case.node.id)]
    if children:
        does.append(f"Moves its children to {case.names.rollback}: {', '.join(children)}.")
    return does


def _snapshot(case: Case) -> list[str]:
    name, root = case.node.name, case.names.root.name
    return [
        "Measures the final loss; writes are not fenced, so what is written between that and the cutover is only kept, "
        "not counted.",
        f"Takes the compute of {root} away again.",
        f"Puts {root} in the place of {name}: it gets its name, flags and computes, hosts stay, and connections drop "
        f"once. {name} is kept as {case.names.rollback}, without a compute.",
    ]


def _prove(case: Case, strategy: str) -> list[str]:
    proof = (
        "Waits until the deployment is finished and its health has stayed good."
        if strategy == "repoint"
        else "Waits until the application has connected again and its health has stayed good; restarts it once if not."
    )
    return [proof, "Proves that the application's sessions are on the restored data, and runs the checks again."]


def _fence(case: Case, strategy: str) -> list[str]:
    keep = duration(case.request.keep_days * 86_400)
    if strategy == "repoint":
        return [f"Disables every compute of {case.node.name} and proves it; keeps the branch for {keep}."]
    kept = f"Keeps {case.names.rollback}, without compute, for {keep}."
    return [kept, f"Deletes the snapshot {case.names.root.name}."] if strategy == "snapshot" else [kept]
