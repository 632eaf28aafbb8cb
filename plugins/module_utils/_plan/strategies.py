# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategies of a cutover, what each would cost here, and which one is taken when none is asked for (rule 15)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from .._predicted import predicted
from .._time import duration
from .drawing import tree_rows
from .instants import instant_or_none
from .lineage import LineageError, Node, Snapshot, Tree, held_by, with_child
from .obstacles import in_place_obstacles, snapshot_obstacles
from .point import Point
from .primary import Primary, in_use, rows_on
from .request import Facts, Request, slots
from .restores import with_restore
from .runs import Branch
from .snapshots import with_finalized_snapshot, with_restored_snapshot, with_snapshot
from .source import Source

# What a restore in place costs the application: its connections are dropped once (Neon's documentation of restores).
IN_PLACE_SECONDS = 10
# The same for a snapshot that takes the primary's place: its computes are restarted on data that no cache holds yet. No
# document gives a number.
SNAPSHOT_SECONDS = 30
# The runbook's estimate of a redeploy, where no finished deployment of this application is known.
DEPLOY_SECONDS = 300
STRATEGIES = ("repoint", "in_place", "snapshot")
SLOT_WORDS = {"branches": "branches", "roots": "root branches"}
_SNAPSHOT_PRICE = "no restore in place works on the primary afterwards, and its id is another one"


@dataclass(frozen=True)
class Names:
    """The branches that a restore makes.

    :param root: the one that a snapshot, which has the same name, is restored to.
    """

    branch: Branch
    preview: Branch
    root: Branch
    rollback: str

    def of(self, strategy: str) -> Branch:
        """The branch that a strategy works on."""
        return {"repoint": self.branch, "in_place": self.preview}.get(strategy, self.root)

    def public(self) -> dict[str, str]:
        return {
            "branch": self.branch.name,
            "preview": self.preview.name,
            "root": self.root.name,
            "rollback": self.rollback,
        }


@dataclass(frozen=True)
class Case:
    """All that the judgement of a plan rests on."""

    request: Request
    facts: Facts
    primary: Primary
    point: Point
    source: Source
    in_place_source: Source
    names: Names
    resumed: bool

    @property
    def node(self) -> Node:
        return self.facts.tree.nodes[self.primary.branch_id]

    @property
    def branch(self) -> Mapping[str, Any]:
        return self.facts.by_id[self.primary.branch_id]

    @property
    def is_disabled(self) -> bool:
        """Whether the primary's compute is disabled, and not by the fence of the run that is continued."""
        return bool(self.primary.address.endpoint.get("disabled")) and not self.resumed

    @property
    def is_finalized(self) -> bool:
        """Whether the run that is being continued has put its restored root in the primary's place."""
        root = self.names.root.existing
        return self.resumed and root is not None and root.restored_as == self.primary.branch_id


def window_start(request: Request, facts: Facts) -> datetime | None:
    """The first instant that the project's history still holds; None when nothing says so."""
    told = instant_or_none(facts.project.get("window_start"))
    seconds = facts.project.get("history_retention_seconds")
    if told is not None or seconds is None:
        return told
    return request.now - timedelta(seconds=float(seconds))


def window_start_after(request: Request, facts: Facts, seconds: float) -> datetime | None:
    """Where the window will begin some seconds from now."""
    start, edge = window_start(request, facts), window_edge(request, facts)
    return max(start, edge + timedelta(seconds=seconds)) if start and edge else None


def window_edge(request: Request, facts: Facts) -> datetime | None:
    """What slides on with time: the window's start, or what will be that once the project is older than its window."""
    start = window_start(request, facts)
    created = instant_or_none(facts.project.get("created_at"))
    retention = facts.project.get("history_retention_seconds")
    if start is None or created is None or retention is None or start > created:
        return start
    return request.now - timedelta(seconds=float(retention))


def in_place_source(request: Request, facts: Facts, primary: Primary, point: Point, source: Source) -> Source:
    """Where a restore in place takes its data from (rule 14).

    A backup of this primary is restored from the primary itself, at the backup's own LSN, while the window allows it:
    the primary then stays a root.
    """
    backup = point.backup
    node = facts.tree.get(backup.branch_id) if backup else None
    if backup is None or node is None or node.parent_id != primary.branch_id or not (backup.lsn or backup.at):
        return source
    start = window_start_after(request, facts, request.margin)
    reachable = backup.at is not None and start is not None and backup.at >= start
    if not reachable:
        return source
    name = facts.tree.nodes[primary.branch_id].name
    why = f"the backup {backup.name} was made from it, and its point still lies in the history window"
    return Source(primary.branch_id, name, why, at=None if backup.lsn else backup.at, lsn=backup.lsn)


def choose(case: Case, resolved: Mapping[str, Any] | None) -> tuple[str, str]:
    """The strategy and why. An explicit choice always wins; what stands in its way is then a problem."""
    if resolved and resolved.get("strategy") in STRATEGIES:
        return str(resolved["strategy"]), "the run that is being continued had chosen it"
    if case.request.cutover != "auto":
        return case.request.cutover, "it was asked for"
    if case.request.deploy_commit:
        return "repoint", "a restore in place deploys nothing, and deploy_commit was given"
    obstacles = in_place_obstacles(case)
    if obstacles:
        return "repoint", obstacles[0][1]
    if case.node.protected:
        return "repoint", f"the primary {case.node.name} is protected"
    if case.in_place_source.branch_id != case.primary.branch_id:
        other = case.in_place_source.name
        return "repoint", f"the data is on {other}; restored in place from there, the primary would end as its child"
    start = window_start_after(case.request, case.facts, case.request.margin)
    if case.point.at is None or start is None:
        return "repoint", "nothing says whether the restore point stays inside the history window until the restore"
    if case.point.at < start:
        return "repoint", "the restore point would leave the history window before the restore"
    no_slot = _no_slot_but_for_a_repoint(case)
    if no_slot:
        return "repoint", no_slot
    return "in_place", "the primary is a root, unprotected, and the restore point lies inside the history window"


def _no_slot_but_for_a_repoint(case: Case) -> str:
    """Which slots a restore in place lacks and a repoint does not need; empty where there are none."""
    lacks_too = no_room(case, "repoint")
    for kind, item in no_room(case, "in_place").items():
        if kind not in lacks_too:
            has = f"the project has {item['used']} of {item['limit']} {SLOT_WORDS[kind]}"
            return f"{has}, and a restore in place adds {item['adds']}"
    return ""


def slots_after(case: Case, strategy: str) -> dict[str, Any]:
    """Branches and root branches, with what the strategy adds to each."""
    before, after = case.facts.tree.slots(), tree_after(case, strategy).slots()
    return slots(case.facts, {"branches": after.branches - before.branches, "roots": after.roots - before.roots})


def no_room(case: Case, strategy: str) -> dict[str, Any]:
    """Of these, what the strategy adds more of than are free (rule 7)."""
    counted = slots_after(case, strategy).items()
    return {kind: item for kind, item in counted if item["limit"] is not None and item["adds"] > item["free"]}


def tree_after(case: Case, strategy: str) -> Tree:
    """The tree of branches as the strategy would leave it. Where the operation is impossible, the tree as it is."""
    source = case.source if strategy == "repoint" else case.in_place_source
    tree = _without_expiry(case.facts.tree, source.branch_id)
    try:
        if strategy == "repoint":
            existing = case.names.branch.existing
            new = Node(case.names.branch.id, case.names.branch.name, parent_at=source.at, created_at=case.request.now)
            return tree if existing is not None else with_child(tree, source.branch_id, new)
        if strategy == "snapshot":
            return _after_snapshot(case, tree, source)
        unprotected = Tree({**tree.nodes, case.node.id: replace(tree.nodes[case.node.id], protected=False)})
        kept = Node(predicted("branch", case.names.rollback), case.names.rollback, created_at=case.request.now)
        after = with_restore(unprotected, case.node.id, source.branch_id, kept, at=source.at)
        return Tree({**after.nodes, case.node.id: replace(after.nodes[case.node.id], protected=case.node.protected)})
    except LineageError:
        return case.facts.tree


def _after_snapshot(case: Case, tree: Tree, source: Source) -> Tree:
    if case.is_finalized:
        return tree
    root = case.names.root
    snapshot = Snapshot(predicted("snapshot", root.name), root.name)
    tree = with_snapshot(tree, source.branch_id, snapshot)
    if root.existing is None:
        node = Node(root.id, root.name, created_at=case.request.now)
        tree = with_restored_snapshot(tree, snapshot.id, node, target_id=case.node.id)
    else:
        # The compute that it is verified with is taken away before.
        tree = tree.but(replace(root.existing, endpoints=()))
    return with_finalized_snapshot(tree, case.node.id, root.id, replaced_name=case.names.rollback)


def _without_expiry(tree: Tree, branch_id: str) -> Tree:
    return Tree({**tree.nodes, branch_id: replace(tree.nodes[branch_id], expires_at=None)})


def offers(case: Case, chosen: str) -> dict[str, dict[str, Any]]:
    """What each strategy would mean here: possible or not and why, and its price."""
    possible = {"repoint": ""}
    for strategy, obstacles in (("in_place", in_place_obstacles(case)), ("snapshot", snapshot_obstacles(case))):
        possible[strategy] = " ".join(message for _code, message, _advice in obstacles)
    offered: dict[str, dict[str, Any]] = {}
    for strategy, why_not in possible.items():
        offered[strategy] = {
            "offered": not why_not,
            "chosen": strategy == chosen,
            "why": why_not or (_SNAPSHOT_PRICE if strategy == "snapshot" else "possible"),
            **_price(case, strategy),
        }
    return offered


def _price(case: Case, strategy: str) -> dict[str, Any]:
    before, after = case.facts.tree, tree_after(case, strategy)
    source = case.source if strategy == "repoint" else case.in_place_source
    lost = (case.request.now - case.point.at).total_seconds() if case.point.at else None
    return {
        "expected_downtime": _downtime(case, strategy),
        "interval_lost_seconds": lost,
        "tree_before": draw(case, before, after=None),
        "tree_after": draw(case, after, after=strategy),
        "undeletable_afterwards": _undeletable(case, strategy, after),
        "children_moved": [item.name for item in before.children(case.node.id)] if strategy == "in_place" else [],
        "slots": slots_after(case, strategy),
        "passwords_that_change": _passwords(case, strategy, source),
    }


def _downtime(case: Case, strategy: str) -> dict[str, Any]:
    if strategy != "repoint":
        length = IN_PLACE_SECONDS if strategy == "in_place" else SNAPSHOT_SECONDS
        return {
            "reads_seconds": length,
            "writes_seconds": length,
            "text": f"connections drop once, for about {duration(length)} or less; no deployment",
        }
    seconds, known = deploy_seconds(case.facts)
    rolling = (case.facts.application.get("rolling") or {}).get("ok") is not False
    reads = 0 if rolling else seconds
    basis = "the usual length of its deployments" if known else "the runbook's estimate"
    text = (
        "none for readers, the old container serves until the new one is healthy"
        if rolling
        else (f"about {duration(seconds)}: this application is stopped before the new one starts")
    )
    writes = seconds if case.request.fence_writes else reads
    refused = (
        f"; writes are refused for about {duration(writes)} ({basis})"
        if case.request.fence_writes
        else (
            f"; writes are not fenced: for about {duration(seconds)} ({basis}) the old and the new database "
            "both take them"
        )
    )
    return {"reads_seconds": reads, "writes_seconds": writes, "text": text + refused}


def deploy_seconds(facts: Facts) -> tuple[float, bool]:
    """How long a deployment of this application takes, and whether that is measured: the median of the last ten."""
    lengths = []
    for item in facts.deployments:
        began, ended = instant_or_none(item.get("created_at")), instant_or_none(item.get("finished_at"))
        if item.get("status") == "finished" and began and ended and ended > began:
            lengths.append((ended - began).total_seconds())
    return (statistics.median(lengths[:10]), True) if lengths else (float(DEPLOY_SECONDS), False)


def _undeletable(case: Case, strategy: str, after: Tree) -> list[dict[str, str]]:
    result_id = case.node.id if strategy == "in_place" else case.names.of(strategy).id
    if after.get(result_id) is None:
        return []
    name = after.nodes[result_id].name
    found = [
        {"branch_id": node.id, "name": node.name, "why": f"it stays an ancestor of {name} as long as that exists"}
        for node in held_by(after, result_id)
    ]
    kept = after.named(case.names.rollback) if strategy != "repoint" else None
    moved = after.children(kept.id) if kept is not None else []
    if kept is not None and moved and all(item["branch_id"] != kept.id for item in found):
        children = ", ".join(item.name for item in moved)
        found.append({"branch_id": kept.id, "name": kept.name, "why": f"it is the parent of {children} until these go"})
    return found


def _passwords(case: Case, strategy: str, source: Source) -> list[str]:
    """Neon gives the roles of a child of a protected branch new passwords; a restore in place keeps them."""
    parent = case.facts.tree.nodes[source.branch_id]
    if strategy != "repoint" or not parent.protected:
        return []
    rows = rows_on(case.facts, case.primary.branch_id)
    return sorted({str(row["connection"]["user"]) for row in rows if (row.get("connection") or {}).get("user")})


def draw(case: Case, tree: Tree, *, after: str | None) -> list[dict[str, Any]]:
    """The tree as rows, each with what it is in this plan.

    :param after: the strategy whose outcome this is; None for the tree as it is now.
    """
    new_id = case.names.of(after).id if after in ("repoint", "snapshot") else None
    primary_id = new_id or case.node.id
    used = in_use(case.facts) if after is None else set()

    def marks(node: Node) -> list[str]:
        found = []
        if node.id == primary_id:
            found.append("primary")
        elif node.id == case.node.id:
            found.append("old primary")
        elif node.id in used:
            found.append("in use")
        if node.id == case.source.branch_id and after is None:
            found.append("source")
        if node.id not in case.facts.tree.nodes:
            found.append("new")
        return found

    return tree_rows(tree, marks)
