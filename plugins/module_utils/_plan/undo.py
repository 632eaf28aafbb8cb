# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an undo: what the way back of a run does to the tree, and what stands in its way.

An undo that goes on with a killed one finds some of it done: what is there already is neither made nor counted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .._predicted import predicted
from .._time import parse_instant, utc_now
from .drawing import tree_rows
from .lineage import Limits, LineageError, Node, Snapshot, Tree, held_by, no_room, with_detached
from .request import Findings
from .restores import with_restore
from .snapshots import with_finalized_snapshot, with_restored_snapshot, with_snapshot, without_snapshot

_MORE_ROOM = "Delete what is no longer needed (playbooks/cleanup.yml shows it), or raise the plan, then run this again."
_ELSEWHERE = "Restore to a point in time instead, if one is still inside the history window."
# Only these need the old primary to answer: what came before them has not touched it.
_TOUCHES = ("env", "fence_writes", "disable_")


@dataclass(frozen=True)
class Way:
    """A run, and the branches as its way back finds them: a promotion around it is taken back before.

    :param computes: of each branch, by its id.
    :param strings: what came of making the old connection strings again.
    """

    run: Mapping[str, Any]
    tree: Tree
    computes: Mapping[str, tuple[Mapping[str, Any], ...]]
    strings: tuple[Mapping[str, Any], ...]
    now: datetime

    @property
    def steps(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run.get("steps") or {}
        return found

    def data(self, step: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.steps.get(step) or {}).get("data") or {}
        return found

    def is_done(self, step: str) -> bool:
        return (self.steps.get(step) or {}).get("phase") == "done"

    @property
    def plan(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data("plan").get("plan") or {}
        return found

    @property
    def strategy(self) -> str:
        return str((self.plan.get("strategy") or {}).get("chosen") or "repoint")

    @property
    def primary_id(self) -> str:
        return str(self.plan["primary"]["branch_id"])

    @property
    def primary_name(self) -> str:
        return str(self.plan["primary"]["name"])

    @property
    def rollback(self) -> str:
        return str(self.plan["names"]["rollback"])

    def named_like(self, prefix: str) -> str:
        """What the way back calls what it makes."""
        return self.rollback.replace("rollback-", f"{prefix}-")

    def in_place_of(self, branch_id: str | None) -> Node | None:
        return next((node for node in self.tree.nodes.values() if branch_id and node.restored_as == branch_id), None)


@dataclass(frozen=True)
class End:
    """What a way back leads to. `now_id` is the primary of now, `then_id` that of then."""

    tree: Tree
    now_id: str | None
    then_id: str | None


def build(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make the plan from the options of `undo_plan`.

    :raises InvalidInput: when `now` cannot be read. Everything else is a problem in the plan.
    """
    findings, promotion = Findings(), params.get("promotion") or {}
    project, branches = params["project"], params["branches"]
    tree = Tree.of(
        branches,
        snapshots=params.get("snapshots") or (),
        limits=Limits.of(project),
        operations=project.get("running_operations") or (),
    )
    if params.get("snapshots") is None:
        tree = replace(tree, limits=replace(tree.limits, snapshots=None))
    way = Way(
        params["run"],
        _names_taken_back(tree, promotion),
        {str(item["id"]): tuple(item.get("endpoints") or ()) for item in branches},
        tuple(params.get("strings") or ()),
        parse_instant(params["now"], future=True) if params.get("now") else utc_now(),
    )
    begun = bool(way.run.get("cutover_begun"))
    end = _end(way, findings) if begun else _end_of_names(way.tree, promotion)
    after = with_detached(end.tree)
    stays = _staying(after, end.then_id)
    _say_what_is_closed(way, after, end, findings)
    now, then = tree.slots(), after.slots()
    return {
        "run": way.run.get("id"),
        "promotion": promotion.get("id"),
        "strategy": way.strategy if begun else None,
        "primary": _named(after, end.then_id),
        "staying": stays,
        "slots": {
            "branches": _slot(now.branches, then.branches, tree.limits.branches),
            "roots": _slot(now.roots, then.roots, tree.limits.roots),
        },
        "tree_before": _drawn(tree, end.now_id, tree),
        "tree_after": _drawn(after, end.then_id, tree),
        "problems": findings.problems,
        "warnings": findings.warnings,
    }


def _names_taken_back(tree: Tree, promotion: Mapping[str, Any]) -> Tree:
    """The tree once names and flags that a promotion has moved are back; Neon was asked for no more than that then."""
    for item in promotion.get("undo") or ():
        before = item.get("undo") or {}
        node = tree.get((item.get("ids") or {}).get("branch"))
        if node is None or item.get("step") not in _MOVES:
            continue
        was_default = tree.get(before.get("default"))
        if was_default is not None:
            others = (replace(other, default=False) for other in tree.nodes.values())
            tree = tree.but(*others, replace(was_default, default=True))
            continue
        kept = {key: before[key] for key in ("name", "protected") if key in before}
        tree = tree.but(replace(node, **kept))
    return tree


_MOVES = frozenset(
    {"rename_old", "rename_new", "make_default", "protect_new", "unprotect_new", "unprotect_old", "unprotect_default"}
)


def _end_of_names(tree: Tree, promotion: Mapping[str, Any]) -> End:
    """The application stays where a promotion without a cutover had found it."""
    moved = (promotion.get("undo") or ()) if promotion else ()
    found: Mapping[str, Any] = next((item for item in moved if item.get("step") in ("rename_new", "make_default")), {})
    stays = tree.get((found.get("ids") or {}).get("branch"))
    return End(tree, stays.id if stays else None, stays.id if stays else None)


def _end(way: Way, findings: Findings) -> End:
    ways: dict[str, Callable[[Way, Findings], End]] = {"in_place": _in_place, "snapshot": _snapshot}
    try:
        return ways.get(way.strategy, _repoint)(way, findings)
    except LineageError as error:
        findings.problem("not_allowed", f"{error}.", "Put this right in Neon, then run this again.")
        return End(way.tree, None, None)


def _gone(way: Way, name: str, findings: Findings) -> End:
    findings.problem("gone", f"The branch {name}, which kept the old state, does not exist any more.", _ELSEWHERE)
    return End(way.tree, None, None)


def _in_place(way: Way, findings: Findings) -> End:
    """The primary is overwritten once more, and what it holds is kept under a name of its own."""
    kept, name = way.tree.named(way.rollback), way.named_like("undone")
    as_it_is = End(way.tree, way.primary_id, way.primary_id)
    if kept is None:
        return _gone(way, way.rollback, findings) if way.is_done("restore") else as_it_is
    if way.tree.named(name) is not None:
        return as_it_is
    _room(findings, f"{way.primary_name} is kept as {name} as it is now", no_room(way.tree, branches=1))
    target = way.tree.get(way.primary_id)
    if target is None:
        return _gone(way, way.primary_name, findings)
    # Its protection is taken off for the moment, where that is allowed, and the expiry of what was kept is cleared.
    ready = _unlimited(way.tree).but(replace(target, protected=False), replace(kept, expires_at=None))
    made = Node(predicted("branch", name), name, created_at=way.now)
    after = with_restore(ready, target.id, kept.id, made, now=way.now)
    protected = target.protected or "unprotect" in way.steps
    return replace(as_it_is, tree=after.but(replace(after.nodes[target.id], protected=protected)))


def _snapshot(way: Way, findings: Findings) -> End:
    """A snapshot of the old root as it is now takes the place of what had replaced it."""
    old, taken = way.tree.get(way.primary_id), way.in_place_of(way.primary_id)
    back = way.in_place_of(taken.id) if taken is not None else None
    if old is None:
        return _gone(way, way.rollback if taken is not None else way.primary_name, findings)
    # A plan may allow one snapshot only: that which was restored goes first.
    spent = str((way.data("verified").get("branch") or {}).get("restored_from") or "")
    tree = without_snapshot(way.tree, spent) if spent in way.tree.snapshots else way.tree
    if taken is None:
        return End(tree, old.id, old.id)
    if back is not None:
        return End(tree, back.id, back.id)
    name = way.named_like("undo")
    made = tree.named(name)
    shot = next((item for item in tree.snapshots.values() if item.name == name), None)
    if made is None:
        what = f"a snapshot of {old.name} is made, and a root branch of it"
        _room(findings, what, no_room(tree, branches=1, roots=1, snapshots=int(shot is None)))
    grown = _unlimited(tree)
    if made is None:
        if shot is None:
            shot = Snapshot(predicted("snapshot", name), name)
            grown = with_snapshot(grown, old.id, shot)
        made = Node(predicted("branch", name), name, created_at=way.now)
        grown = with_restored_snapshot(grown, shot.id, made, target_id=taken.id)
    grown = grown.but(replace(grown.nodes[made.id], endpoints=(), default=bool(way.plan["primary"].get("default"))))
    grown = with_finalized_snapshot(grown, taken.id, made.id, replaced_name=way.named_like("undone"))
    return End(without_snapshot(grown, shot.id) if shot is not None else grown, taken.id, made.id)


def _repoint(way: Way, findings: Findings) -> End:
    """The rows lead to the old primary again; no branch is made or moved."""
    old = way.tree.get(way.primary_id)
    if old is None:
        return _gone(way, way.primary_name, findings)
    if any(step.startswith(_TOUCHES) for step in way.steps):
        _reachable(way, old, findings)
    served = way.tree.get((way.data("verified").get("branch") or {}).get("id"))
    return End(way.tree, served.id if served is not None else None, old.id)


def _reachable(way: Way, old: Node, findings: Findings) -> None:
    """Whether the old primary can be connected to again, before the application loses what it is connected to now."""
    computes = way.computes.get(old.id, ())
    there = {str(item["id"]) for item in computes}
    gone = [str(item) for item in way.plan["primary"].get("endpoint_ids") or () if str(item) not in there]
    if not any(item.get("type", "read_write") == "read_write" for item in computes):
        deleted = f" ({', '.join(gone)} was deleted)" if gone else ""
        findings.problem(
            "no_compute",
            f"The branch {old.name} has no compute for reading and writing any more{deleted}: the application could "
            "not be connected to it.",
            f"Add one to {old.name} (rewind.database.neon_endpoint, or the Neon console), then run this again. Or "
            f"{_ELSEWHERE[0].lower()}{_ELSEWHERE[1:]}",
        )
        return
    if gone:
        findings.warn(f"{', '.join(gone)} of {old.name} was deleted; the string gets the host of the compute it has.")
    for item in way.strings:
        if item.get("ok") is False:
            findings.problem(
                "string_unusable",
                f"The connection string that {item.get('key')} had cannot be made again: "
                f"{str(item.get('message') or 'no reason is given').rstrip('.')}.",
                "Put that right, then run this again.",
            )


def _room(findings: Findings, what: str, reasons: Iterable[str]) -> None:
    found = list(reasons)
    if found:
        findings.problem("no_room", f"On the way back {what}, and {'; '.join(found)}.", _MORE_ROOM)


def _unlimited(tree: Tree) -> Tree:
    """What would come of it is shown also where there is no room for it."""
    return replace(tree, limits=Limits())


def _say_what_is_closed(way: Way, after: Tree, end: End, findings: Findings) -> None:
    node = after.get(end.then_id)
    parent = after.parent(node.id) if node is not None else None
    before = way.tree.get(end.now_id)
    was_root = before is not None and (before.parent_id is None or before.detaching)
    if node is not None and parent is not None and way.strategy == "in_place" and was_root:
        findings.warn(
            f"{node.name} ends as a child of {parent.name}: it can then no longer be restored in place or from a "
            "snapshot; a repoint can."
        )


def _staying(tree: Tree, primary_id: str | None) -> list[dict[str, str]]:
    node = tree.get(primary_id)
    if node is None:
        return []
    why = f"it stays an ancestor of {node.name} as long as that exists"
    return [{"branch_id": item.id, "name": item.name, "why": why} for item in held_by(tree, node.id)]


def _named(tree: Tree, branch_id: str | None) -> dict[str, str] | None:
    node = tree.get(branch_id)
    return {"branch_id": node.id, "name": node.name} if node is not None else None


def _slot(now: int, then: int, limit: int | None) -> dict[str, int | None]:
    return {"used": now, "adds": then - now, "limit": limit, "free": None if limit is None else limit - now}


def _drawn(tree: Tree, primary_id: str | None, known: Tree) -> list[dict[str, Any]]:
    def marks(node: Node) -> list[str]:
        found = ["primary"] if node.id == primary_id else []
        return found if node.id in known.nodes else [*found, "new"]

    return tree_rows(tree, marks)
