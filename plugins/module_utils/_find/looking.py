# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a search: asks the data at each instant by the same check that `postgres_check` answers."""

from __future__ import annotations

import contextlib
import functools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .._commands import command
from .._coolify.client import client_for as coolify_for
from .._coolify.environment import row_value
from .._errors import RewindError
from .._journalled import step_appender
from .._neon.client import client_for as neon_for
from .._postgres.access import Access
from .._postgres.asking import check_data
from .._postgres.session import ConnectionFailed, DatabaseError
from .._task import Task
from .._time import duration, parse_instant, rfc3339, utc_now
from .bisect import NOT_HELD, Ask, Reply, Search, Segment, Verdict, Wanted, search
from .hurry import Hurry, hurry
from .plan import PURPOSE
from .probes import NotHeld, Probe, Probes
from .text import echoed, probe_line, verdict_lines

Json = dict[str, Any]
# The controller shows no progress of a task in its first three seconds; what was said by then is said afterwards.
_QUIET_SECONDS = 3.5
# A probe that gets no answer from the database is made anew this often.
_TRIES = 2
# What leaves the history window this soon cannot wait for tomorrow.
_SOON = timedelta(hours=2)


class _OfProbe:
    """The task as one probe's check sees it: its own options, and silent, because the search says what happens."""

    def __init__(self, task: Task, **params: Any) -> None:
        self._task = task
        self.params = {**task.params, **params}
        self.check_mode = False
        self.diff_mode = False
        self.warn, self.secret, self.scrub = task.warn, task.secret, task.scrub

    def progress(self, line: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Answer:
    """What one probe said; `passed` is None where the check could not be run, and `message` then says why.

    :param held: whether Neon holds that instant of the branch at all.
    """

    passed: bool | None
    message: str
    held: bool = True


class Look:
    """One search, from a task's options to its result."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._plan: Json = task.params["plan"]
        self._quiet = _OfProbe(task)
        self._neon = neon_for(self._quiet)
        self._row_value = functools.cache(row_value(coolify_for(self._quiet))) if task.params["application"] else None
        journal = task.params["journal"] or {}
        run = str(journal.get("run") or "")
        notes = {"tool": "rewind.database", "purpose": PURPOSE, "target": str(self._plan["target"]), "run": run}
        self._probes = Probes(self._quiet, self._neon, notes, run[-6:] or secrets.token_hex(3))
        self._answers: list[Json] = []
        self._unsaid: list[str] = []
        self._began = time.monotonic()
        self._number = 0

    def run(self) -> Json:
        """Search, and tell what was found.

        :raises RewindError: where Neon does not do what a probe needs; the probes that were made are in ``partial``.
        """
        segments = [
            Segment(parse_instant(item["start"]), parse_instant(item["end"]), item["branch_id"], item["name"])
            for item in self._plan["segments"]
        ]
        wanted = Wanted(
            timedelta(seconds=self._plan["precision"]),
            tuple(parse_instant(hint) for hint in self._plan["hints"]),
            self._plan["confirmations"],
        )
        try:
            verdict = self._answer(search(segments, wanted))
        except RewindError as error:
            error.partial = {**(error.partial or {}), "probes": self._answers}
            raise
        return self._found(verdict, segments)

    def _answer(self, running: Search) -> Verdict:
        answer: Reply = None
        question: Ask | None = None
        while True:
            try:
                question = next(running) if question is None else running.send(answer)
            except StopIteration as ended:
                verdict: Verdict = ended.value
                return verdict
            answer = self._look(question)

    def _look(self, ask: Ask) -> Reply:
        began = time.monotonic()
        for attempt in range(1, _TRIES + 1):
            found, final = self._try(ask)
            if final or attempt == _TRIES:
                break
            self._say(f"{rfc3339(ask.at)}: {found.message}; it is tried once more")
        probe = {
            "at": rfc3339(ask.at),
            "passed": found.passed,
            "message": found.message,
            "why": ask.why,
            "branch": ask.segment.name,
            "seconds": round(time.monotonic() - began, 3),
        }
        self._answers.append(probe)
        told = step_appender(self._task, str(self._number))
        told("done", data={"passed": found.passed, "message": found.message})
        self._say(probe_line(len(self._answers), probe))
        return found.passed if found.held else NOT_HELD

    def _try(self, ask: Ask) -> tuple[Answer, bool]:
        """One probe branch; whether its answer is final, or another try may say more."""
        try:
            with self._branch(ask) as probe:
                return self._check(ask, probe), True
        except NotHeld as error:
            return Answer(None, error.text, held=False), True
        except ConnectionFailed as error:
            return Answer(None, error.text), not error.retryable
        except DatabaseError as error:
            return Answer(None, error.text), False

    @contextlib.contextmanager
    def _branch(self, ask: Ask) -> Iterator[Probe]:
        """A probe branch, journalled before it is made, and gone afterwards however this ends."""
        self._number += 1
        name = self._probes.name(ask, self._number)
        append = step_appender(self._task, str(self._number))
        append("intent", ids={"name": name}, undo={"remove_branch": name}, data={"at": rfc3339(ask.at)})
        try:
            probe = self._probes.make(ask, name)
        except NotHeld:
            append("done", data={"made": False})
            raise
        except BaseException:
            # Where that does not succeed either, the next search or a cleanup finds it by its annotation.
            with contextlib.suppress(RewindError):
                self._remove_by_name(name)
                append("failed", error={"message": "the probe branch could not be made, and is not there"})
            raise
        try:
            append("intent", ids={"branch": probe.branch_id})
            yield probe
        finally:
            self._probes.remove(probe.branch_id)
            append("done", data={"removed": True})

    def _remove_by_name(self, name: str) -> None:
        """What was made in part is there under its name."""
        found = self._probes.find(name)
        if found is not None:
            self._probes.remove(str(found["id"]))

    def _check(self, ask: Ask, probe: Probe) -> Answer:
        params = self._task.params
        connection = {"project_id": params["project_id"], "branch_id": probe.branch_id}
        if params["application"]:
            connection |= {"application": params["application"], "env_key": params["env_key"]}
        task = _OfProbe(
            self._task,
            connection=connection,
            checks=[params["check"]],
            restore_point=rfc3339(ask.at),
            fail=False,
        )
        outcome = check_data(task, Access(task, self._neon, self._row_value))["checks"][0]
        return Answer(outcome["ok"] if outcome["answered"] else None, str(outcome["message"]))

    def _say(self, line: str) -> None:
        self._unsaid.append(line)
        if time.monotonic() - self._began > _QUIET_SECONDS:
            for said in self._unsaid:
                self._task.progress(said)
            self._unsaid.clear()

    # The result

    def _found(self, verdict: Verdict, segments: list[Segment]) -> Json:
        now = utc_now()
        good, bad = verdict.last_good, verdict.first_bad
        unasked = [item for item in self._answers if item["passed"] is None and verdict.kind == "unknown"]
        unknown = unasked[-1] if unasked else None
        left = self._left(verdict)
        reserved = self._plan.get("restore_seconds")
        hurried = Hurry() if left is None or reserved is None else hurry(left, reserved)
        found: Json = {
            "kind": verdict.kind,
            "last_good": echoed(good, now),
            "first_bad": echoed(bad, now),
            "precise": verdict.precise,
            "cutover_between": bool(good and bad and verdict.kind == "found" and _crosses(segments, verdict)),
            "unseen": duration(verdict.unseen.total_seconds()),
            "oldest": min((item["at"] for item in self._answers if item["passed"] is not None), default=None),
            "unknown_at": unknown["at"] if unknown else None,
            "reason": unknown["message"] if unknown else None,
            "probes": self._answers,
            "count": len(self._answers),
            "seconds": round(time.monotonic() - self._began, 1),
            "notes": [*_leaving(left), *hurried.notes],
            "command": None,
        }
        if verdict.kind == "found" and good is not None and hurried.options is not None:
            named = {"target": self._plan["target"], "point_in_time": rfc3339(good)}
            found["command"] = command("restore", **named, **hurried.options)
        return {**found, "text": verdict_lines(found, self._plan)}

    def _left(self, verdict: Verdict) -> float | None:
        """The seconds until what was found leaves the window, which has moved on during the search; None for never."""
        edge = self._plan.get("window_edge")
        if verdict.kind != "found" or verdict.last_good is None or edge is None:
            return None
        left = (verdict.last_good - parse_instant(edge)).total_seconds()
        return max(0.0, left - (time.monotonic() - self._began))


def _leaving(left: float | None) -> list[str]:
    if left is None or left > _SOON.total_seconds():
        return []
    return [f"It leaves the history window in {duration(left)}: restore before that."]


def _crosses(segments: list[Segment], verdict: Verdict) -> bool:
    good, bad = verdict.last_good, verdict.first_bad
    if good is None or bad is None:
        return False
    holders = [next(item.branch_id for item in segments if item.holds(at)) for at in (good, bad)]
    return holders[0] != holders[1]


def nothing_was_probed(plan: Json) -> Json:
    """The result in check mode: a search makes branches, and none is made."""
    keys = ("last_good", "first_bad", "precise", "cutover_between", "unseen", "oldest", "unknown_at", "reason")
    nothing: Json = {**dict.fromkeys(keys), "probes": [], "count": 0, "seconds": 0.0, "notes": [], "command": None}
    return {**nothing, "kind": "predicted", "text": ["Nothing was probed: this is a check."]}
