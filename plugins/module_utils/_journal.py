# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal: the record of one run, step by step, from which an undo or the next run goes on.

One file per run, ``journal/<target>/<run>.jsonl``; one line per phase of a step (design, sections 3 and 11). What is
about to be done is written before it is done, so that a killed controller leaves its intent behind.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ._errors import InvalidInput, Refused
from ._state import Guard, Lines, append_line, file_name, read_lines
from ._time import parse_instant, rfc3339, utc_now

VERSION = 1
PHASES = ("intent", "done", "failed", "undone")
# How a run can end. A stuck one is over for its process, but not for the people: it counts as unfinished.
STATUSES = ("done", "failed", "undone", "stuck")
RUN_STEP = "run"
# The steps of a cutover that change what the application uses, or may: from the first of them on there is something to
# take back. One whose outcome is not known counts.
CUTOVER_STEPS = ("pause_auto_deploy", "fence_writes", "env", "unprotect", "restore", "finalize")
# The steps of a promotion that change what a person sees of the branches, beside the cutover inside of it.
PROMOTION_STEPS = (
    "computes",
    "schedule_new",
    "schedule_old",
    "schedule_default",
    "rename_old",
    "rename_new",
    "make_default",
    "protect_new",
    "unprotect_new",
    "unprotect_old",
    "unprotect_default",
)

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-(?P<verb>[a-z][a-z0-9_]*)-[0-9a-f]{6}", re.ASCII)
_VERB = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def new_run_id(verb: str, now: datetime | None = None) -> str:
    """``YYYYMMDDTHHMMSSZ-<verb>-<6 hex>``: sorts by time, and two runs of one second differ.

    :raises InvalidInput: when the verb is not one lower-case word.
    """
    if not _VERB.fullmatch(verb):
        raise InvalidInput(f'start a run: "{verb}" is not a verb', hint="Use one lower-case word such as restore.")
    moment = rfc3339(now or utc_now())[:19].replace("-", "").replace(":", "")
    return f"{moment}Z-{verb}-{secrets.token_hex(3)}"


def verb_of(run: str) -> str:
    """The verb in a run id.

    :raises InvalidInput: when it is no run id.
    """
    found = _RUN_ID.fullmatch(run)
    if found is None:
        raise InvalidInput(
            f'read the run id "{run}": not understood', hint="A run id looks like 20250113T142500Z-restore-1a2b3c."
        )
    return found["verb"]


@dataclass
class Step:
    """Where one step stands.

    :param phase: its last phase. "intent" alone means that the outcome is unknown: read back before anything else.
    :param undo: how to take it back, as the step itself wrote it.
    :param seconds: from the last intent to what followed it; None while unknown.
    """

    name: str
    phase: str = "intent"
    at: str = ""
    began_at: str = ""
    seq: int = 0
    ids: dict[str, Any] = field(default_factory=dict)
    undo: Any = None
    data: dict[str, Any] = field(default_factory=dict)
    error: Any = None
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass
class Run:
    """One run as its journal says.

    :param status: running (no end written), or one of `STATUSES`.
    """

    id: str
    path: Path
    verb: str
    target: str
    inputs: dict[str, Any] = field(default_factory=dict)
    started_at: str = ""
    finished_at: str | None = None
    resumed: int = 0
    status: str = "running"
    steps: dict[str, Step] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    torn: list[int] = field(default_factory=list)

    @property
    def is_unfinished(self) -> bool:
        return self.status in ("running", "stuck")

    @property
    def cutover_begun(self) -> bool:
        """Whether it has begun to make the application use other data, and says from what."""
        planned = self.steps.get("plan")
        return planned is not None and "plan" in planned.data and any(step in self.steps for step in CUTOVER_STEPS)

    @property
    def promotion_begun(self) -> bool:
        """Whether it has begun to move names or flags from one primary to another."""
        return self.verb == "promote" and any(step in self.steps for step in PROMOTION_STEPS)

    def undo(self) -> list[dict[str, Any]]:
        """What would take this run back, last step first. A step without an outcome is there too."""
        # An outcome that is not known may be that it was done.
        open_steps = [step for step in self.steps.values() if step.undo is not None and step.phase != "undone"]
        return [
            {"step": step.name, "phase": step.phase, "undo": step.undo, "ids": step.ids}
            for step in sorted(open_steps, key=lambda step: step.seq, reverse=True)
        ]

    def sections(self) -> list[dict[str, Any]]:
        """The sections of the run in their order, as a report's timeline takes them."""
        entered = [step for step in self.steps.values() if step.data.get("section")]
        return [
            {
                "step": step.name,
                "started": step.began_at,
                "finished": step.at if step.phase != "intent" else None,
                "seconds": step.seconds,
                "status": step.phase,
            }
            for step in sorted(entered, key=lambda step: step.began_at)
        ]

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "path": str(self.path),
            "verb": self.verb,
            "target": self.target,
            "inputs": self.inputs,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "resumed": self.resumed,
            "status": self.status,
            "cutover_begun": self.cutover_begun,
            "promotion_begun": self.promotion_begun,
            "steps": {name: step.as_dict() for name, step in self.steps.items()},
            "sections": self.sections(),
            "undo": self.undo(),
            "torn": self.torn,
        }

    def brief(self) -> dict[str, Any]:
        """What a list of many runs says of each: when, how it ended, by which strategy, and how long its steps took."""
        planned = self.steps.get("plan")
        plan = planned.data.get("plan") if planned is not None else None
        timing = ("phase", "began_at", "at", "seconds")
        return {
            "id": self.id,
            "verb": self.verb,
            "status": self.status,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "resumed": self.resumed,
            "strategy": ((plan or {}).get("strategy") or {}).get("chosen"),
            "steps": {name: {key: getattr(step, key) for key in timing} for name, step in self.steps.items()},
        }


class Journal:
    """The journals of one target.

    :param root: the state directory.
    :param write: false in check mode: nothing is written, the answers are the same.
    """

    def __init__(self, root: Path, target: str, *, write: bool = True, guard: Guard | None = None) -> None:
        self.target = target
        self.folder = root / "journal" / file_name(target)
        self.write = write
        self.guard = guard or Guard()

    def path(self, run: str) -> Path:
        """Where the run's journal is."""
        verb_of(run)
        return self.folder / f"{run}.jsonl"

    def start(self, verb: str, inputs: Mapping[str, Any], *, run: str | None = None) -> Run:
        """Begin a run, or go on with the unfinished one that is named.

        :raises Refused: when the run named is finished (it is never begun again) or is of another verb.
        """
        if run is not None and self.path(run).exists():
            return self._resume(verb, inputs, run)
        run_id = run or new_run_id(verb)
        data = {"verb": verb, "target": self.target, "inputs": dict(inputs)}
        entry = self._append(run_id, {"step": RUN_STEP, "phase": "intent", "data": data}, must_exist=False)
        return self._folded(run_id, entry)

    def _resume(self, verb: str, inputs: Mapping[str, Any], run: str) -> Run:
        found = self.read(run)
        if not found.is_unfinished:
            raise Refused(
                f"go on with run {run}: it has ended ({found.status}) at {found.finished_at}",
                hint="Start a new run; it finds by itself what is already done.",
            )
        if found.verb != verb:
            raise Refused(f"go on with run {run} as {verb}: it is a {found.verb}", hint="Name a run of the same verb.")
        # What it was started with stays what it works with: relative points were resolved once (rule 22).
        data = {"verb": verb, "target": self.target, "inputs": found.inputs or dict(inputs), "resumed": True}
        return self._folded(run, self._append(run, {"step": RUN_STEP, "phase": "intent", "data": data}))

    def append(
        self,
        run: str,
        step: str,
        phase: str,
        *,
        ids: Mapping[str, Any] | None = None,
        undo: Any = None,
        error: Any = None,
        data: Mapping[str, Any] | None = None,
    ) -> Run:
        """Write one phase of one step, on the disk before this returns.

        :raises InvalidInput: for a step or phase that cannot be, or a run without a journal (except in check mode).
        """
        if step == RUN_STEP or not step:
            raise InvalidInput(f'journal the step "{step}": a step needs a name of its own', hint="Name the step.")
        if phase not in PHASES:
            raise InvalidInput(f'journal the step "{step}": "{phase}" is no phase', hint=f"Use {', '.join(PHASES)}.")
        fields = {"step": step, "phase": phase, "ids": dict(ids or {}), "undo": undo, "error": error}
        if data:
            fields["data"] = dict(data)
        return self._folded(run, self._append(run, fields))

    def enter(self, run: str, step: str, *, data: Mapping[str, Any] | None = None) -> Run:
        """Begin a section of a run. The section before it, if it is still open, has come to its end by that."""
        before = self.read(run)
        self._leave(before, step)
        return self.append(run, step, "intent", data={**dict(data or {}), "section": True})

    def _leave(self, run: Run, entered: str = "") -> None:
        for open_step in run.steps.values():
            if open_step.data.get("section") and open_step.phase == "intent" and open_step.name != entered:
                self.append(run.id, open_step.name, "done")

    def finish(self, run: str, status: str, *, error: Any = None, data: Mapping[str, Any] | None = None) -> Run:
        """Write the end of a run. Writing the same end twice changes nothing.

        :param status: one of `STATUSES`.
        """
        if status not in STATUSES:
            raise InvalidInput(f'end the run {run}: "{status}" is no status', hint=f"Use {', '.join(STATUSES)}.")
        found = self.read(run)
        if found.status == status and found.entries:
            return found
        if status == "done":
            self._leave(found)
        phase = "done" if status == "done" else "undone" if status == "undone" else "failed"
        fields = {"step": RUN_STEP, "phase": phase, "error": error, "data": {**dict(data or {}), "status": status}}
        return self._folded(run, self._append(run, fields))

    def reopen(self, run: str, *, data: Mapping[str, Any] | None = None) -> Run:
        """Make a run that has ended unfinished again, before it is taken back: a kill in between is then found.

        One that has no end yet, or is stuck, is unfinished as it is, and stays what it is.

        :raises Refused: when it was taken back already.
        """
        found = self.read(run)
        if found.is_unfinished and found.entries:
            return found
        if found.status == "undone":
            raise Refused(
                f"take back run {run}: that was done already, at {found.finished_at}",
                code="already_undone",
                hint="Nothing is left to do for this run.",
            )
        fields = {"step": RUN_STEP, "phase": "intent", "data": {**dict(data or {}), "reopened": True}}
        return self._folded(run, self._append(run, fields))

    def read(self, run: str) -> Run:
        """The run as far as its journal says; empty when there is none."""
        path = self.path(run)
        return fold(run, path, self.target, read_lines(path))

    def runs(self, verb: str | None = None) -> list[Run]:
        """All runs of this target, oldest first."""
        names = sorted(path.stem for path in self.folder.glob("*.jsonl") if _RUN_ID.fullmatch(path.stem))
        return [self.read(name) for name in names if verb is None or verb_of(name) == verb]

    def latest(self, verb: str | None = None) -> Run | None:
        """The newest run, of a verb where one is named."""
        runs = self.runs(verb)
        return runs[-1] if runs else None

    def unfinished(self, verb: str | None = None) -> list[Run]:
        """Runs without an end, and stuck ones, oldest first."""
        return [run for run in self.runs(verb) if run.is_unfinished]

    def _append(self, run: str, fields: Mapping[str, Any], *, must_exist: bool = True) -> dict[str, Any]:
        path = self.path(run)
        if must_exist and self.write and not path.exists():
            raise InvalidInput(
                f"write to the journal of run {run}: {path} does not exist",
                hint="Start the run first, with the same target and state_dir.",
            )

        def make(before: Lines) -> dict[str, Any]:
            seq = max((_seq(entry) for entry in before.entries), default=0) + 1
            defaults: dict[str, Any] = {"ids": {}, "undo": None, "error": None}
            head = {"v": VERSION, "run": run, "seq": seq, "at": rfc3339(utc_now())}
            cleaned: dict[str, Any] = self.guard.clean({**head, **defaults, **fields})
            return cleaned

        return append_line(path, make) if self.write else make(read_lines(path))

    def _folded(self, run: str, entry: dict[str, Any]) -> Run:
        path = self.path(run)
        lines = read_lines(path)
        if not self.write:
            lines.entries.append(entry)
        return fold(run, path, self.target, lines)


def fold(run: str, path: Path, target: str, lines: Lines) -> Run:
    """Read the state of a run from its journal's lines."""
    folded = Run(id=run, path=path, verb=verb_of(run), target=target, entries=lines.entries, torn=lines.torn)
    for entry in sorted(lines.entries, key=_seq):
        if entry.get("step") == RUN_STEP:
            _fold_run(folded, entry)
        elif isinstance(entry.get("step"), str):
            _fold_step(folded.steps.setdefault(entry["step"], Step(entry["step"])), entry)
    return folded


def _seq(entry: Mapping[str, Any]) -> int:
    seq = entry.get("seq")
    return seq if isinstance(seq, int) else 0


def _fold_run(run: Run, entry: Mapping[str, Any]) -> None:
    data = entry.get("data") or {}
    at = str(entry.get("at") or "")
    if entry.get("phase") == "intent":
        run.resumed += bool(data.get("resumed"))
        run.started_at = run.started_at or at
        run.inputs = run.inputs or dict(data.get("inputs") or {})
        run.status, run.finished_at = "running", None
    else:
        run.status, run.finished_at = str(data.get("status") or "failed"), at


def _fold_step(step: Step, entry: Mapping[str, Any]) -> None:
    phase, at = str(entry.get("phase")), str(entry.get("at") or "")
    if phase == "intent":
        step.began_at, step.seconds, step.error = at, None, None
    elif step.began_at and phase != "undone":
        step.seconds = _between(step.began_at, at)
    step.phase, step.at, step.seq = phase, at, _seq(entry)
    step.ids = {**step.ids, **(entry.get("ids") or {})}
    step.data = {**step.data, **(entry.get("data") or {})}
    if phase == "undone" or step.undo is None:
        # A step that is begun again by the next run keeps the way back of its first time: that was the old truth.
        step.undo = entry.get("undo")
    step.error = entry["error"] if entry.get("error") is not None else step.error


def _between(began: str, ended: str) -> float | None:
    try:
        span = parse_instant(ended, future=True) - parse_instant(began, future=True)
    except InvalidInput:
        return None
    return round(span.total_seconds(), 3)


def find(root: Path, run: str) -> Path | None:
    """The journal of a run whose target is not known; None when there is none (an undo without it refuses)."""
    verb_of(run)
    return next(iter(sorted((root / "journal").glob(f"*/{run}.jsonl"))), None)
