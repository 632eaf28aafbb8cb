# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo does, one chapter after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.children import Children, wait_for
from demo.data import Copy, Tracker, count_rows, take_copy
from demo.place import Place
from demo.playbooks import Playbooks, Run
from demo.proof import Proof, prove
from demo.screen import Screen
from demo.writes import Trouble, read_log, trouble
from sandbox.tracker.versions import DESTROY

ROWS = 50_000
EVERY_SECONDS = 0.05
MIGRATION = DESTROY.name
# The sub-step of a cutover from which on the application may reach the restored data.
SWITCH = {"in_place": "restore", "repoint": "env"}


@dataclass
class Loss:
    """A migration that destroyed rows, and what was there the instant before it."""

    instant: datetime
    status: str
    before: Copy
    lost: dict[str, int] = field(default_factory=dict)
    """Rows destroyed, by table; tables without a loss are left out."""


@dataclass
class Round:
    """One restore and its proof."""

    strategy: str
    loss: Loss
    run: Run
    proof: Proof
    trouble: Trouble
    status_database: str
    status_application: str
    same_process: bool
    same_host: bool

    @property
    def problems(self) -> list[str]:
        """Why it is not proven; empty when it is."""
        found = list(self.proof.problems)
        for where, text in (("database", self.status_database), ("application", self.status_application)):
            if text != self.loss.status:
                found.append(f"the status text in the {where} is {text!r}, not {self.loss.status!r}")
        if self.run.page is None:
            found.append("the run wrote no report")
        return [f"{self.strategy}: {problem}" for problem in found]


@dataclass
class Ending:
    """Everything that the last screen tells."""

    seed: int
    backup: Run
    rounds: list[Round]
    writes: int = 0
    """Acknowledged in all."""

    @property
    def problems(self) -> list[str]:
        """All that is not proven."""
        return [problem for one in self.rounds for problem in one.problems]


class Story:
    """The chapters, on a place of their own."""

    def __init__(self, place: Place, screen: Screen, children: Children, seed: int) -> None:
        self._place = place
        self._screen = screen
        self._children = children
        self._seed = seed
        self._writer: subprocess.Popen[bytes] | None = None

    def tell(self) -> Ending:
        """Runs everything. Raises `CommandFailed` and what the clients raise; stops nothing."""
        screen = self._screen
        screen.chapter("1. Start a sandbox: PostgreSQL, a Neon, a Coolify and an application")
        with screen.step("clear what an earlier demo left"):
            self._place.clear(self._children)
        with screen.step("start the sandbox") as step:
            self._place.up(self._children, screen)
            step.text = "the sandbox is ready"
        connection = self._place.connection()
        self._tracker = Tracker(connection)
        self._playbooks = Playbooks(self._children, screen, Path(connection["state_dir"]))

        screen.chapter(f"2. Fill the tracker's database from the seed {self._seed}, and keep writing")
        writing_since = self._fill()
        screen.chapter("3. Take a backup")
        backup = self._playbooks.run("backup", reason="before the migration")

        screen.chapter("4. Lose data: somebody runs a bad migration by hand")
        loss = self._lose("first")
        screen.chapter("5. Restore the instant before it, in place")
        in_place = self._restore(loss, "in_place", writing_since)

        screen.chapter("6. The same migration again")
        loss = self._lose("second")
        screen.chapter("7. Restore the instant before it, this time by repoint")
        screen.say(
            "In this order, because a repointed primary is a branch of the old one, and only a root branch can be "
            "restored in place."
        )
        repoint = self._restore(loss, "repoint", in_place.run.ended)
        return self._end(Ending(self._seed, backup, [in_place, repoint]))

    def _end(self, ending: Ending) -> Ending:
        assert self._writer is not None
        if self._writer.poll() is not None:
            raise RuntimeError("the writer ended by itself")
        self._children.end(self._writer)
        ending.writes = sum(1 for write in read_log(self._place.writer_log) if write.row)
        return ending

    def _fill(self) -> datetime:
        """Fills the database and starts the writer; returns when that was."""
        seeding = ["-m", "sandbox.tracker.seed", "--reset", "--rows", str(ROWS), "--seed", str(self._seed)]
        self._screen.command("python", *seeding)
        with self._screen.step(f"{ROWS:,} progress rows"):
            self._python(*seeding, what="filling the database")
        writing = ["-m", "sandbox.tracker.writer", "--url", self._tracker.url, "--every", str(EVERY_SECONDS)]
        self._screen.command("python", *writing, background=True)
        log = ["--out", str(self._place.writer_summary), "--log", str(self._place.writer_log)]
        log += ["--parent", str(os.getpid())]
        with self._screen.step("a writer writes through the application, 20 times a second"):
            began = datetime.now(UTC)
            self._writer = self._children.start([sys.executable, *writing, *log])
            self._writes_after(began, 5)
        return began

    def _python(self, *arguments: str, what: str) -> None:
        # By the environment, because a process list shows arguments to everybody.
        self._children.run([sys.executable, *arguments], what, more={"DATABASE_URL": self._tracker.uri()})

    def _writes_after(self, instant: datetime, count: int, seconds: float = 30.0) -> None:
        """Waits until so many writes that were begun after an instant are acknowledged."""

        def there() -> bool:
            writes = read_log(self._place.writer_log)
            return sum(1 for write in writes if write.row and write.begun >= instant) >= count

        wait_for(there, seconds, f"{count} more writes through the application")

    def _lose(self, which: str) -> Loss:
        screen = self._screen
        text = f"All is well before the {which} loss ({datetime.now(UTC):%H:%M:%S.%f})"
        with screen.step("set the status text, copy every row aside, for the proof"):
            self._tracker.set_status(text)
            uri = self._tracker.uri()
            before = take_copy(uri)
            self._writes_after(datetime.now(UTC), 5)
        loss = Loss(datetime.now(UTC), text, before)
        screen.say(f"The instant before it: {loss.instant:%Y-%m-%dT%H:%M:%S.%fZ}", "bold")
        migration = ["-m", "sandbox.tracker.migrations", "--commit", "bad_migration"]
        screen.command("python", *migration)
        with screen.step(MIGRATION) as step:
            self._python(*migration, what="the migration")
            after = count_rows(uri)
            self._tracker.set_status(f"After the {which} loss")
            for table, rows in before.rows.items():
                if (gone := len(rows) - after.get(table, 0)) > 0:
                    loss.lost[table] = gone
            step.text = f"{MIGRATION}: {sum(loss.lost.values()):,} rows gone"
        if not loss.lost:
            raise RuntimeError("the migration destroyed nothing")
        return loss

    def _restore(self, loss: Loss, strategy: str, since: datetime) -> Round:
        earlier = self._tracker.status()
        instant = f"{loss.instant:%Y-%m-%dT%H:%M:%S.%fZ}"
        run = self._playbooks.run("restore", point_in_time=instant, cutover=strategy)
        with self._screen.step("prove it: compare every row, ask the application") as step:
            cutover = _switched(run, strategy)
            self._writes_after(run.ended, 5)
            answer = self._tracker.status()
            found = take_copy(self._tracker.uri())
            self._count_alike(found)
            self._writes_after(datetime.now(UTC), 2)
            writes = read_log(self._place.writer_log)
            proof = prove(loss.instant, loss.before, found, writes, since=since, cutover=cutover)
            one = Round(
                strategy,
                loss,
                run,
                proof,
                trouble(writes, run.began, run.ended),
                _status_text(found),
                str(answer["text"]),
                answer["pid"] == earlier["pid"],
                answer["database"]["host"] == earlier["database"]["host"],
            )
            verdict = "NOT proven" if one.problems else "exactly that instant is back"
            step.text = f"{proof.rows:,} rows compared: {verdict}"
        for problem in one.problems:
            self._screen.say(problem, "red")
        return one

    def _count_alike(self, found: Copy) -> None:
        """The application counts what the database holds (the writer may add a little meanwhile)."""
        counted: dict[str, Any] = self._tracker.progress()
        least = sum(len(found.rows[table]) for table in ("QuestProgress", "ObjectiveProgress"))
        if not least <= counted["total"] <= least + 1000:
            raise RuntimeError(f"the application counts {counted['total']} progress rows, the database holds {least}")


def _switched(run: Run, strategy: str) -> datetime:
    try:
        return run.at(SWITCH[strategy])
    except LookupError:
        return run.at("cutover")


def _status_text(copy: Copy) -> str:
    return copy.rows["Status"]["1"].split("\t")[1]
