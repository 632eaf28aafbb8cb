# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which run an undo takes back. Cutovers of a target stand on each other: only the newest that stands can go.

Pure: it is told the journals of the target and the cutovers that the catalogue knows. A run counts once its cutover
has begun; a restore that was killed before that hides nothing, and is ended only where it is named or nothing else is
there. A drill or a promotion that was killed comes before an older cutover that had ended. After the newest cutover was
taken back, an older one is never taken back unless a person names it.

A promotion that has begun to move names is taken back as a whole, with the restore inside of it; before that it is
nothing but that restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import InvalidInput, Refused
from ._journal import Run

_RESTORE = "restore"
_PROMOTE = "promote"
_VERBS = frozenset({_RESTORE, _PROMOTE})
_DRILL = "drill"


@dataclass(frozen=True)
class _Cutover:
    """A run whose cutover, or promotion, has begun; `journal` is None where only the catalogue knows it."""

    id: str
    at: str
    journal: Run | None
    undone: bool

    @property
    def is_open(self) -> bool:
        return self.journal is not None and self.journal.is_unfinished

    @property
    def text(self) -> str:
        planned = self.journal.steps.get("plan") if self.journal is not None else None
        plan = planned.data.get("plan") or {} if planned is not None else {}
        point = (plan.get("restore_point") or {}).get("utc") or (plan.get("restore_point") or {}).get("lsn")
        how = (plan.get("strategy") or {}).get("chosen")
        facts = [f"to {point}"] * bool(point) + [f"by {how}"] * bool(how)
        return f"{self.id} ({', '.join(facts)})" if facts else self.id


def choose(target: str, runs: Iterable[Run], records: Iterable[Mapping[str, Any]], wanted: str | None = None) -> Run:
    """The run to take back: the one that is named, else the newest whose cutover stands.

    :param runs: the journals of the target.
    :param records: of the catalogue.
    :raises Refused: when nothing stands, when the newest was taken back already, or when a later cutover stands on the
        one that is named; the message says what can be done.
    :raises InvalidInput: when the run has no journal: nothing tells how to take it back.
    """
    known = list(runs)
    wanted = _inside(known, wanted)
    cutovers = _cutovers(target, known, records)
    if wanted:
        return _named(target, known, cutovers, wanted)
    standing = [item for item in cutovers if not item.undone]
    killed = _killed_since(known, standing)
    if killed is not None:
        return _of_killed(target, known, cutovers, killed)
    if not standing:
        return _never_begun(target, known, cutovers)
    newest = standing[-1]
    if newest is not cutovers[-1] and not newest.is_open:
        raise Refused(
            f"take back a restore of {target}: the newest one, run {cutovers[-1].text}, was taken back already",
            code="already_undone",
            hint=f"The one before it that stands is run {newest.text}. To take that back too: "
            f"{command(target, newest.id)}",
        )
    return _journal_of(target, newest)


def _inside(runs: list[Run], wanted: str | None) -> str | None:
    """What is really taken back where a run is named: the restore inside of a promotion, or the promotion around it."""
    named = next((run for run in runs if run.id == wanted), None)
    if named is None:
        return wanted
    around = next((run for run in runs if run.id == named.inputs.get("promotion") and run.promotion_begun), None)
    if around is not None:
        return around.id
    if named.verb == _PROMOTE and not named.promotion_begun:
        inner = [run for run in runs if run.inputs.get("promotion") == wanted and _can_go(run)]
        return inner[-1].id if inner else wanted
    return wanted


def _can_go(run: Run) -> bool:
    """Whether there is anything to take back, or to end; one that failed before its cutover is over."""
    return run.status != "undone" and (run.is_unfinished or run.cutover_begun)


def _killed_since(runs: list[Run], standing: list[_Cutover]) -> Run | None:
    """The drill or promotion that was killed before anything of it stands, after the newest cutover that does.

    That cutover is legitimate: who types undo now means the run that never ended. One that is open itself goes first.
    """
    killed = [run for run in runs if run.verb in (_DRILL, _PROMOTE) and run.is_unfinished and not run.promotion_begun]
    if not killed or (
        standing
        and (standing[-1].is_open or (standing[-1].at, standing[-1].id) > (killed[-1].started_at, killed[-1].id))
    ):
        return None
    return killed[-1]


def _of_killed(target: str, runs: list[Run], cutovers: list[_Cutover], killed: Run) -> Run:
    if killed.verb == _DRILL:
        return _of_drill(target, runs, cutovers, killed)
    return _named(target, runs, cutovers, _inside(runs, killed.id) or killed.id)


def command(target: str, run: str) -> str:
    """What a person types to take this run back."""
    return f"ansible-playbook playbooks/undo.yml -e target={target} -e run={run}"


def _cutovers(target: str, runs: list[Run], records: Iterable[Mapping[str, Any]]) -> list[_Cutover]:
    """Oldest first. Runs of one target exclude each other, so the order of their starts is that of their cutovers."""
    journals = {run.id: run for run in runs}
    promotions = {run.id for run in runs if run.promotion_begun}
    begun = [run for run in runs if run.cutover_begun and run.inputs.get("promotion") not in promotions]
    begun += [run for run in runs if run.promotion_begun]
    found = [_Cutover(run.id, run.started_at, run, run.status == "undone") for run in begun]
    mine = [item for item in records if item.get("event") == "cutover" and item.get("target") == target]
    back = {item.get("run") for item in mine if item.get("undone") and item.get("proven")}
    for item in mine:
        run = str(item.get("run") or "")
        if run and run not in journals and not item.get("undone"):
            found.append(_Cutover(run, str(item.get("at") or ""), None, run in back))
    return sorted(found, key=lambda item: (item.at, item.id))


def _named(target: str, runs: list[Run], cutovers: list[_Cutover], wanted: str) -> Run:
    found = next((item for item in cutovers if item.id == wanted), None)
    if found is None:
        return _named_without_cutover(target, runs, cutovers, wanted)
    run = _journal_of(target, found)
    if found.undone:
        raise Refused(
            f"take back run {wanted}: that was done already, at {run.finished_at}",
            code="already_undone",
            hint="Nothing was changed.",
        )
    above = [item for item in cutovers[cutovers.index(found) + 1 :] if not item.undone]
    if above:
        raise Refused(
            f"take back run {wanted}: the later cutover of run {above[-1].text} stands on top of it",
            code="not_the_newest",
            hint=f"Nothing was changed. Take back the later one first: {command(target, above[-1].id)}",
        )
    return run


def _named_without_cutover(target: str, runs: list[Run], cutovers: list[_Cutover], wanted: str) -> Run:
    run = next((item for item in runs if item.id == wanted and item.entries), None)
    if run is None:
        raise _no_journal(target, wanted)
    if run.verb == _DRILL and run.is_unfinished:
        return _of_drill(target, runs, cutovers, run)
    if run.verb not in _VERBS:
        raise Refused(
            f"take back run {wanted}: it is a {run.verb}, and only restores and promotions are taken back",
            code="nothing_to_undo",
            hint=f"The next {run.verb} of {target} puts right what it has left. To take back a restore inside of a "
            f"drill, leave run= out: ansible-playbook playbooks/undo.yml -e target={target}",
        )
    if run.is_unfinished:
        return run
    raise Refused(
        f"take back run {wanted}: there is nothing to take back, it has ended ({run.status}) and begun no cutover",
        code="nothing_to_undo",
        hint="Name another run with -e run=ID, or none for the newest cutover that stands.",
    )


def _of_drill(target: str, runs: list[Run], cutovers: list[_Cutover], drill: Run) -> Run:
    """Of a drill that was killed its restore, staging first (rule 25); itself, to be ended, where nothing stands."""
    inside = {run.id: run for run in runs if run.verb == _RESTORE and run.inputs.get("drill") == drill.id}
    begun = [item.id for item in cutovers if item.id in inside and not item.undone]
    if begun:
        return _named(target, runs, cutovers, begun[-1])
    return next((run for run in inside.values() if run.is_unfinished), drill)


def _never_begun(target: str, runs: list[Run], cutovers: list[_Cutover]) -> Run:
    """Where no cutover stands: a run that was killed before its own is ended, so that other inputs are free."""
    drills = [run for run in runs if run.verb == _DRILL and run.is_unfinished]
    killed = [*drills, *(run for run in runs if run.verb in _VERBS and run.is_unfinished)]
    if killed:
        return killed[-1]
    last = f"the newest restore, run {cutovers[-1].text}, was taken back already" if cutovers else ""
    raise Refused(
        f"take back a restore of {target}: there is nothing to take back, "
        f"{last or 'no restore in its journals has begun a cutover'}",
        code="already_undone" if cutovers else "nothing_to_undo",
        hint="Another run is named with -e run=ID.",
    )


def _journal_of(target: str, found: _Cutover) -> Run:
    if found.journal is None:
        raise _no_journal(target, found.id)
    return found.journal


def _no_journal(target: str, run: str) -> InvalidInput:
    return InvalidInput(
        f"take back run {run} of {target}: it has no journal in this state directory",
        code="no_journal",
        hint="Check run, target and state_dir; without its journal a run cannot be taken back.",
    )
