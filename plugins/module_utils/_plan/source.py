# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which branch holds the restore point (rule 3).

The source is the branch that was the primary at that instant. It is proven by the recorded cutovers, read backwards
from the primary of now, and by lineage: identity is by id, and a restore in place moves the past of a branch to the
branch that it preserved. A span in which nothing proves which branch was the primary is refused, and the person may
name one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .instants import lsn_or_none, text_or_none
from .lineage import Node
from .point import Point
from .primary import Primary
from .request import Cutover, Facts, Findings, Request, describe

# A recorded restore in place and the reset that Neon shows for it are the same event when this close together.
SAME_EVENT = timedelta(minutes=10)
_BY_HAND = "the application was moved by hand"
_DOUBT = "the cutover before it was taken back, which was not proven,"


@dataclass(frozen=True)
class Source:
    """The branch to restore from, and where on it: an instant, an LSN, or its head."""

    branch_id: str
    name: str
    why: str
    at: datetime | None = None
    lsn: str | None = None
    forced: bool = False

    def public(self, same_as_primary: bool) -> dict[str, Any]:
        return {
            "branch_id": self.branch_id,
            "name": self.name,
            "why": self.why,
            "parent_timestamp": text_or_none(self.at),
            "parent_lsn": self.lsn,
            "head": self.at is None and self.lsn is None,
            "forced": self.forced,
            "is_primary": same_as_primary,
        }


@dataclass(frozen=True)
class Span:
    """A length of time and the branch that was the primary in it.

    `holder_id` is the branch that holds that state now (None: nothing proves which), `then_id` the one that it was.
    `start` is None where the span reaches back to the beginning of what is known.
    """

    start: datetime | None
    end: datetime | None
    holder_id: str | None
    then_id: str | None
    proof: str


def find_source(
    request: Request,
    facts: Facts,
    primary: Primary,
    point: Point,
    findings: Findings,
    resolved: Mapping[str, Any] | None = None,
) -> Source | None:
    """Find the source; None, with a problem that says why, where nothing proves it."""
    if resolved and resolved.get("source_branch_id"):
        node = facts.tree.get(str(resolved["source_branch_id"]))
        if node is not None:
            return _at_point(node, point, "the run that is being continued had found it", forced=False)
    if point.backup is not None:
        why = f"the backup {point.backup.name} was named"
        return Source(point.backup.branch_id, point.backup.name, why)
    if request.source_branch:
        return _forced(request.source_branch, facts, point, findings)
    if point.at is None:
        return _by_lsn(facts, primary, point, findings)
    return _by_time(facts, primary, point, point.at, findings)


def history(facts: Facts, primary: Primary) -> list[Span]:
    """Which branch was the primary when, newest first, from the recorded cutovers of this target."""
    where: dict[str, str | None] = {}
    spans: list[Span] = []
    expected, end = primary.branch_id, None
    for cutover in reversed(facts.cutovers):
        at = _instant_of(cutover, facts)
        if _is_doubtful(cutover):
            spans.extend(_unrecorded(at, end, primary, is_newest=not spans, why=_DOUBT))
        elif cutover.to_branch_id == expected:
            spans.append(Span(at, end, where.get(expected, expected), expected, f"cutover recorded at {describe(at)}"))
        else:
            spans.extend(_unrecorded(at, end, primary, is_newest=not spans))
        if cutover.strategy == "in_place" and cutover.from_branch_id == cutover.to_branch_id:
            kept = cutover.preserved_branch_id
            where[cutover.from_branch_id] = where.get(kept, kept) if kept else None
        expected, end = cutover.from_branch_id, at
    since = _since(facts, primary, expected)
    spans.append(Span(since, end, where.get(expected, expected), expected, "no earlier cutover is recorded"))
    if since is not None:
        spans.append(Span(None, since, None, None, "nothing is recorded"))
    return spans


def _is_doubtful(cutover: Cutover) -> bool:
    """A repoint that was taken back without proof: the string was put back, and the application may not have followed.

    A restore in place that is recorded has happened: there the branch itself holds what was put back.
    """
    return cutover.undone and not cutover.proven and cutover.from_branch_id != cutover.to_branch_id


def _unrecorded(
    at: datetime, end: datetime | None, primary: Primary, *, is_newest: bool, why: str = _BY_HAND
) -> list[Span]:
    """Nothing proves what the application used after this cutover but the row's last change.

    :param why: what makes it so; most often somebody has moved the application by hand.
    """
    changed = primary.row_changed_at
    if is_newest and changed is not None and changed > at:
        proof = f"the connection string was last changed at {describe(changed)}"
        return [
            Span(changed, end, primary.branch_id, primary.branch_id, proof),
            Span(at, changed, None, None, why),
        ]
    return [Span(at, end, None, None, why)]


def _instant_of(cutover: Cutover, facts: Facts) -> datetime:
    """A restore in place took effect when Neon reset the branch, not when it was written down.

    Neon tells the last reset only, so an earlier restore of the same branch keeps its recorded instant.
    """
    node = facts.tree.get(cutover.to_branch_id)
    same = [
        item for item in facts.cutovers if item.strategy == "in_place" and item.to_branch_id == cutover.to_branch_id
    ]
    reset = node.last_reset_at if node is not None and same and same[-1] is cutover else None
    return reset if reset is not None and abs(reset - cutover.at) <= SAME_EVENT else cutover.at


def _since(facts: Facts, primary: Primary, first_id: str) -> datetime | None:
    """Since when the oldest known primary is proven to have been it; None where lineage says it always was.

    A root is taken for the primary from its creation on: there was nothing before it. A child may have been made long
    before the application was pointed to it; what proves it is the row, or what an earlier run had proven.
    """
    node = facts.tree.get(first_id)
    if node is None or node.parent_id is None:
        return None
    if facts.cutovers:
        return facts.cutovers[0].from_since or facts.cutovers[0].at
    return primary.row_changed_at or node.created_at


def primary_since(facts: Facts, primary: Primary) -> datetime | None:
    """Since when the primary of now is proven to be it."""
    newest = history(facts, primary)[0]
    if newest.start is not None:
        return newest.start
    node = facts.tree.get(primary.branch_id)
    return node.created_at if node else None


def _by_time(facts: Facts, primary: Primary, point: Point, at: datetime, findings: Findings) -> Source | None:
    spans = history(facts, primary)
    span = next(item for item in spans if item.start is None or at >= item.start)
    if span.holder_id is None and span.then_id is None:
        first = facts.tree.get(spans[-2].holder_id) if span is spans[-1] and len(spans) > 1 else None
        ancestor = _ancestor_at(facts, first, at) if first is not None else None
        if first is not None and ancestor is not None:
            return _at_point(ancestor, point, _why_ancestor(facts, first.id, at), forced=False)
        _unprovable(facts, at, span, findings)
        return None
    holder = facts.tree.get(span.holder_id)
    if holder is None:
        _gone(facts, at, span, findings)
        return None
    return _on_holder(facts, primary, point, at, span, holder, findings)


def _on_holder(
    facts: Facts, primary: Primary, point: Point, at: datetime, span: Span, holder: Node, findings: Findings
) -> Source | None:
    then = facts.tree.get(span.then_id) or holder
    is_preserved = span.holder_id != span.then_id
    if not is_preserved and holder.last_reset_at is not None and at < holder.last_reset_at:
        _reset_by_hand(holder, at, findings)
        return None
    born = then.created_at
    if born is None or at >= born:
        return _at_point(holder, point, _why(span, primary, holder), forced=False)
    ancestor = _ancestor_at(facts, holder, at)
    if ancestor is not None:
        return _at_point(ancestor, point, _why_ancestor(facts, holder.id, at), forced=False)
    _before_branch(facts, holder, born, at, span, findings)
    return None


def _why(span: Span, primary: Primary, holder: Node) -> str:
    if holder.id == primary.branch_id:
        return f"it is the primary and was it at that instant ({span.proof})"
    if span.holder_id != span.then_id:
        return f"it keeps what the primary was before a later restore in place ({span.proof})"
    return f"it was the primary at that instant ({span.proof})"


def _why_ancestor(facts: Facts, branch_id: str, at: datetime) -> str:
    return (
        f"it is the ancestor of {facts.tree.nodes[branch_id].name} that held this data at {describe(at)}, "
        "before that branch was made"
    )


def _ancestor_at(facts: Facts, node: Node, at: datetime) -> Node | None:
    """Follow the lineage to the branch that held this data at that instant; None where it is not on the way.

    An instant after the point that a branch was made from and before it existed is on neither: its parent had gone on.
    """
    while node.parent_at is not None and at <= node.parent_at:
        parent = facts.tree.parent(node.id)
        if parent is None or (parent.last_reset_at is not None and at < parent.last_reset_at):
            return None
        if parent.created_at is None or at >= parent.created_at:
            return parent
        node = parent
    return None


def _by_lsn(facts: Facts, primary: Primary, point: Point, findings: Findings) -> Source | None:
    """An LSN above a fork exists on both sides of it, so lineage proves only what lies before every fork."""
    wanted = lsn_or_none(point.lsn)
    node: Node | None = facts.tree.get(primary.branch_id)
    forks = [lsn_or_none(item.restore_lsn) for item in facts.cutovers]
    if facts.cutovers and (wanted is None or any(fork is None or wanted > fork for fork in forks)):
        candidates = ", ".join(sorted({candidate[0] for candidate in _candidates(facts)}))
        findings.problem(
            "source_unprovable",
            f"The LSN {point.lsn} may exist on several branches since the recorded cutovers; nothing proves which was "
            "the primary.",
            f"Name one with source_branch=, or give an instant instead. Candidates: {candidates}.",
        )
        return None
    while node is not None and node.parent_id and wanted is not None:
        fork = lsn_or_none(node.parent_lsn)
        if fork is None or wanted > fork:
            break
        node = facts.tree.parent(node.id)
    if node is None:
        findings.problem(
            "source_gone", f"The branch that held the LSN {point.lsn} is not listed.", "Name one with source_branch=."
        )
        return None
    held = "it is the primary" if node.id == primary.branch_id else "it is the ancestor of the primary that holds it"
    return _at_point(node, point, held, forced=False)


def _forced(wanted: str, facts: Facts, point: Point, findings: Findings) -> Source | None:
    node = facts.tree.get(wanted) or facts.tree.named(wanted)
    if node is None:
        known = ", ".join(sorted(item.name for item in facts.tree.nodes.values())[:15])
        findings.problem(
            "source_unknown",
            f"The branch {wanted}, given as source_branch, does not exist in this project.",
            f"Name one of: {known}.",
        )
        return None
    before = point.at is not None and node.parent_at is not None and point.at <= node.parent_at
    parent = facts.tree.parent(node.id)
    if before and parent is not None:
        findings.problem(
            "before_branch_existed",
            f"The branch {node.name}, given as source_branch, was made from {parent.name} at "
            f"{describe(node.parent_at)}, after the restore point {describe(point.at)}.",
            f"Name its parent: source_branch={parent.name}.",
        )
        return None
    return _at_point(node, point, "it was named with source_branch", forced=True)


def _at_point(node: Node, point: Point, why: str, *, forced: bool) -> Source:
    if point.backup is not None and point.backup.branch_id == node.id:
        return Source(node.id, node.name, why, forced=forced)
    return Source(node.id, node.name, why, at=point.at, lsn=point.lsn if point.at is None else None, forced=forced)


def _candidates(facts: Facts) -> list[tuple[str, str]]:
    named = [(item.from_branch_id, item.to_branch_id, item.preserved_branch_id) for item in facts.cutovers]
    ids = {branch_id for ids in named for branch_id in ids if branch_id}
    return [(node.name, node.id) for key in sorted(ids) if (node := facts.tree.get(key)) is not None]


def _unprovable(facts: Facts, at: datetime, span: Span, findings: Findings) -> None:
    names = ", ".join(f"{name} ({key})" for name, key in _candidates(facts))
    advice = f" Candidates: {names}." if names else ""
    findings.problem(
        "source_unprovable",
        f"Nothing proves which branch was the primary at {describe(at)}: {span.proof} between "
        f"{describe(span.start)} and {describe(span.end)}.",
        f"If you know it, name it with source_branch=<branch>.{advice}",
    )


def _gone(facts: Facts, at: datetime, span: Span, findings: Findings) -> None:
    which = span.holder_id or span.then_id
    findings.problem(
        "source_gone",
        f"The branch that was the primary at {describe(at)} ({which}) no longer exists ({span.proof}).",
        "Restore from a backup that is old enough, or name another branch with source_branch=.",
    )


def _reset_by_hand(holder: Node, at: datetime, findings: Findings) -> None:
    findings.problem(
        "source_unprovable",
        f"The branch {holder.name} was reset at {describe(holder.last_reset_at)}, which no record of this collection "
        f"explains; its state at {describe(at)} is on another branch, if it was kept.",
        "Find the branch that kept it in the Neon console and name it with source_branch=.",
    )


def _before_branch(facts: Facts, holder: Node, born: datetime, at: datetime, span: Span, findings: Findings) -> None:
    parent = facts.tree.parent(holder.id)
    if parent is None:
        advice = "Name a later instant, or restore from a backup of another origin with source_branch=."
    else:
        advice = f"If {parent.name} was the primary then, say source_branch={parent.name}; else name a later instant."
    findings.problem(
        "before_branch_existed",
        f"At {describe(at)} the branch {holder.name} did not exist yet: it was made at {describe(born)}, and no "
        f"lineage leads to an ancestor that held this data then ({span.proof}).",
        advice,
    )
