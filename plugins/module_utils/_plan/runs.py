# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How this run stands to earlier ones: continued, already done, or in the way; and what it may find of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .._predicted import predicted
from .instants import lsn_or_none
from .lineage import Node
from .point import Point
from .primary import Primary, in_use
from .request import SAME_INPUTS, Facts, Findings, Request, describe
from .source import SAME_EVENT, Source

# Verbs whose unfinished run leaves the application between two states; a killed backup leaves at most a branch.
CUTS_OVER = frozenset({"restore", "promote", "drill", "undo"})
_SAME_INSTANT = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Resumed:
    """An unfinished run with the same inputs, and what it had resolved (None where it was killed before its plan)."""

    run: str
    resolved: Mapping[str, Any] | None


def find_resumed(request: Request, facts: Facts, findings: Findings) -> Resumed | None:
    """The unfinished run that this one continues. Any other that cuts over is a problem, as is one that is stuck."""
    found: Resumed | None = None
    for run in sorted(facts.unfinished, key=_run_id, reverse=True):
        run_id = _run_id(run)
        if run_id == request.run or run.get("target") not in (None, request.target):
            continue
        verb = str(run.get("verb") or "restore")
        if run.get("status") == "stuck":
            findings.problem(
                "run_stuck",
                f"The run {run_id} of this target is stuck: it could neither finish nor revert.",
                f"Read its report, then take it back: ansible-playbook playbooks/undo.yml -e run={run_id}",
            )
        elif verb not in CUTS_OVER or (verb == "drill" and not _serves_drill(facts, run_id)):
            findings.warn(f"The run {run_id} ({verb}) of this target never finished; it is left as it is.")
        elif verb == "restore" and found is None and _same_inputs(request, run.get("inputs") or {}):
            found = Resumed(run_id, _resolved(run))
        elif verb == "drill":
            findings.problem(
                "unfinished_run",
                f"The drill {run_id} of this target was killed, and the application is on its data.",
                "Take it back first: ansible-playbook playbooks/undo.yml, or hold the drill again.",
            )
        else:
            findings.problem(
                "unfinished_run",
                f"The run {run_id} ({verb}) of this target never finished, and its inputs are not those of this run"
                f" ({_inputs_text(run.get('inputs') or {})}).",
                "Run it again with the same inputs to finish it, or take it back first: "
                f"ansible-playbook playbooks/undo.yml -e run={run_id}",
            )
    return found


def _serves_drill(facts: Facts, run_id: str) -> bool:
    return any(facts.drill_of(branch_id) == run_id for branch_id in in_use(facts))


def _run_id(run: Mapping[str, Any]) -> str:
    return str(run.get("id") or run.get("run") or "")


def _normal(inputs: Mapping[str, Any]) -> dict[str, str | None]:
    normal = {name: str(inputs[name]).strip() if inputs.get(name) not in (None, "") else None for name in SAME_INPUTS}
    normal["cutover"] = normal["cutover"] or "auto"
    return normal


def _same_inputs(request: Request, inputs: Mapping[str, Any]) -> bool:
    return _normal(inputs) == _normal(request.inputs())


def _inputs_text(inputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in _normal(inputs).items() if value) or "none known"


def _resolved(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the run had resolved: with its inputs, or with its step `plan`, whichever its journal holds."""
    inside = (run.get("inputs") or {}).get("resolved")
    if isinstance(inside, Mapping):
        return inside
    data = ((run.get("steps") or {}).get("plan") or {}).get("data") or {}
    inner = data.get("resolved", data)
    return inner if isinstance(inner, Mapping) and inner.get("restore_point") else None


def already_done(request: Request, facts: Facts, primary: Primary, point: Point) -> tuple[bool, str]:
    """Whether the same absolute request has been carried out and proven, and still stands (rules 10 and 22)."""
    if not facts.cutovers:
        return False, "no cutover of this target is recorded"
    last = facts.cutovers[-1]
    if not last.proven:
        return False, f"the last cutover ({describe(last.at)}) is not recorded as proven"
    if last.to_branch_id != primary.branch_id:
        return False, "the application does not point to the branch of the last recorded cutover"
    node = facts.tree.get(primary.branch_id)
    if node is not None and node.last_reset_at is not None and node.last_reset_at > last.at + SAME_EVENT:
        return False, f"its branch was reset since the last recorded cutover, at {describe(node.last_reset_at)}"
    named = facts.tree.get(request.source_branch) or facts.tree.named(request.source_branch or "")
    if request.source_branch and (named is None or named.id != last.source_branch_id):
        return False, "the last cutover was made from another branch than source_branch"
    if request.deploy_commit and request.deploy_commit != last.deploy_commit:
        return False, "the last cutover deployed another commit than deploy_commit"
    if request.cutover not in ("auto", last.strategy):
        return False, f"the last cutover was done by {last.strategy}"
    if not _same_point(last.restore_point, last.restore_lsn, last.backup, point):
        return False, f"the last cutover ({describe(last.at)}) went to another restore point"
    if not request.is_absolute:
        return False, "a relative restore point and `latest` are resolved anew after a finished run"
    if request.again:
        return False, "it was done before, and is asked for again"
    return True, f"the application points to it since {describe(last.at)}, proven by run {last.run or '(unknown)'}"


def _same_point(at: Any, lsn: str | None, backup: str | None, point: Point) -> bool:
    if point.backup is not None and backup:
        return backup in (point.backup.name, point.backup.branch_id)
    if point.at is not None:
        return at is not None and abs(at - point.at) < _SAME_INSTANT
    return lsn is not None and lsn_or_none(lsn) == lsn_or_none(point.lsn)


@dataclass(frozen=True)
class Branch:
    """The branch that a run works on: one found from an earlier run, or one to be made under a free name."""

    name: str
    existing: Node | None
    why: str

    @property
    def id(self) -> str:
        return self.existing.id if self.existing else predicted("branch", self.name)

    def public(self) -> dict[str, Any]:
        return {
            "branch_id": self.existing.id if self.existing else None,
            "name": self.name,
            "found": self.existing is not None,
            "why": self.why,
        }


def choose_branch(wanted: str, source: Source, facts: Facts, *, resumed: bool, reuse: bool = True) -> Branch:
    """Find the branch of an earlier run by its name if it is clean, else a free name with a suffix (rule 10).

    That no session has written to it is for the caller to prove on the branch; what is known beforehand is judged here.

    :param reuse: false where the caller has nothing to compare such a branch with. The branch of the run that is being
        continued is taken all the same: nobody was told of it.
    """
    reasons: list[str] = []
    for number in range(1, len(facts.branches) + 2):
        name = wanted if number == 1 else f"{wanted}-{number}"
        node = facts.tree.named(name)
        if node is None:
            return Branch(name, None, "; ".join(reasons) or "no branch of this name exists")
        reason = _unclean(node, source, facts, resumed=resumed)
        if reason is None and not (reuse or resumed):
            reason = "nothing proves that nobody has written to it, for the restore point itself cannot be read"
        if reason is None:
            return Branch(name, node, "an earlier run made it from the same source at the same point, and it is clean")
        reasons.append(f"{name} is not used: {reason}")
    raise AssertionError("there are more names than branches")


def choose_root(wanted: str, primary: Primary, facts: Facts, *, resumed: bool) -> Branch:
    """The name of a snapshot and of the root that it is restored to: that of the run being continued, else a free one.

    Names of snapshots are not unique on Neon; here they are, for the snapshot is found again by its name. Once it is
    finalized the root has the primary's name, and says itself whose place it took.
    """
    if resumed:
        nodes = facts.tree.nodes.values()
        taken = next((node for node in nodes if node.restored_as == primary.branch_id), None)
        node = taken or facts.tree.named(wanted)
        if node is not None and node.restored_from is not None:
            return Branch(wanted, node, "the run that is being continued has restored it")
        if node is None:
            return Branch(wanted, None, "the run that is being continued chose this name")
    shelf = {str(item.get("name")) for item in facts.snapshots or ()}
    tries = (
        wanted if number == 1 else f"{wanted}-{number}" for number in range(1, len(facts.branches) + len(shelf) + 2)
    )
    name = next(item for item in tries if facts.tree.named(item) is None and item not in shelf)
    return Branch(name, None, "no branch and no snapshot of this name exists")


def _unclean(node: Node, source: Source, facts: Facts, *, resumed: bool) -> str | None:
    if not facts.is_ours(node.id):
        return "this collection did not make it"
    if node.parent_id != source.branch_id:
        return "it has another parent"
    if source.at is not None and (node.parent_at is None or abs(node.parent_at - source.at) >= _SAME_INSTANT):
        return "it was made at another instant"
    if source.lsn is not None and lsn_or_none(node.parent_lsn) != lsn_or_none(source.lsn):
        return "it was made at another LSN"
    if any(node.id in (item.from_branch_id, item.to_branch_id, item.preserved_branch_id) for item in facts.cutovers):
        return "an application was cut over to it"
    if resumed:
        # The run being continued may have been killed after the cutover and before it was recorded.
        return None
    if (facts.branch_facts.get(node.id) or {}).get("used"):
        return "it has been written to"
    return "an application points to it" if node.id in in_use(facts) else None
