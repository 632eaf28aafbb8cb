# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last screen: what was lost, what came back, how long it took, where the reports are."""

from __future__ import annotations

from demo.playbooks import WORDS
from demo.screen import Screen
from demo.story import MIGRATION, Ending, Round


def show(ending: Ending, screen: Screen) -> None:
    """Prints it, in plain words and at most 80 columns (but for paths)."""
    screen.line()
    screen.line("=" * 80, "dim")
    if ending.problems:
        screen.line("NOT PROVEN: the data is not that of the instant before the migration.", "bold", "red")
        for problem in ending.problems:
            screen.say(problem, "red")
    else:
        screen.line("Both times, exactly the instant before the migration is back.", "bold", "green")
    _lost(ending, screen)
    _back(ending, screen)
    _times(ending, screen)
    screen.chapter("The reports")
    for one in ending.rounds:
        screen.line(f"  {one.strategy}:")
        screen.line(f"  {one.run.page or 'none'}")


def _lost(ending: Ending, screen: Screen) -> None:
    screen.chapter("What was lost")
    for one in ending.rounds:
        tables = ", ".join(f"{count:,} of {table}" for table, count in one.loss.lost.items())
        total = sum(one.loss.lost.values())
        share = round(100 * total / one.proof.rows) if one.proof.rows else 0
        screen.say(
            f"{one.loss.instant:%H:%M:%S} UTC: the migration {MIGRATION}, run by hand, destroyed {total:,} rows, "
            f"{share} % of all ({tables}), and added a column."
        )


def _back(ending: Ending, screen: Screen) -> None:
    screen.chapter("What came back")
    _row(screen, "", [one.strategy for one in ending.rounds])
    rows: list[tuple[str, list[str]]] = [
        ("restored to (UTC)", [f"{one.loss.instant:%H:%M:%S.%f}" for one in ending.rounds]),
        ("rows that must be there, compared one by one", [f"{one.proof.rows:,}" for one in ending.rounds]),
        ("of them missing, changed or too many", [_differences(one) for one in ending.rounds]),
        ("content hash, then and now", [_hash(one) for one in ending.rounds]),
        ("writes acknowledged before it: all there", [f"{one.proof.kept:,}" for one in ending.rounds]),
        ("writes after it, until the cutover: all gone", [f"{one.proof.gone:,}" for one in ending.rounds]),
        ("status text in the database", [_alike(one, one.status_database) for one in ending.rounds]),
        ("status text through the application", [_alike(one, one.status_application) for one in ending.rounds]),
        ("the application's process", ["the same" if one.same_process else "a new one" for one in ending.rounds]),
        ("its connection string", ["the same" if one.same_host else "a new one" for one in ending.rounds]),
        ("the writer saw errors for", [f"{one.trouble.seconds:.1f} s" for one in ending.rounds]),
        ("its longest wait for an answer", [f"{one.trouble.longest_pause:.1f} s" for one in ending.rounds]),
    ]
    for label, values in rows:
        _row(screen, label, values)


def _differences(one: Round) -> str:
    return "none" if not one.proof.problems else "SOME, see above"


def _hash(one: Round) -> str:
    return one.proof.fingerprint[:12] if not one.proof.problems else "DIFFERENT"


def _alike(one: Round, text: str) -> str:
    return "exactly as then" if text == one.loss.status else "ANOTHER"


def _row(screen: Screen, label: str, values: list[str]) -> None:
    screen.line(f"  {label:<46}" + "".join(f"{value:>16}" for value in values))


def _times(ending: Ending, screen: Screen) -> None:
    screen.chapter("How long it took")
    columns = "".join(f"{one.strategy:>16}" for one in ending.rounds)
    screen.line(f"  {'step':<34}{'objective':>12}{columns}")
    late: list[str] = []
    for step, words in WORDS.items():
        cells, objective = [], None
        for one in ending.rounds:
            facts = next((s for s in (one.run.report or {}).get("steps", []) if s["step"] == step), None)
            cells.append("" if facts is None else f"{facts['seconds']:.1f} s")
            if facts is not None and facts.get("objective_seconds") is not None:
                objective = facts["objective_seconds"]
                if facts["seconds"] > objective:
                    late.append(f"{one.strategy}: {words}")
        screen.line(f"  {words:<34}{_objective(objective):>12}" + "".join(f"{cell:>16}" for cell in cells))
    objective = next(
        ((one.run.report or {}).get("summary", {}).get("objective_seconds") for one in ending.rounds), None
    )
    cells = [f"{one.run.seconds:.1f} s" for one in ending.rounds]
    late += [one.strategy for one in ending.rounds if objective is not None and one.run.seconds > objective]
    screen.line(
        f"  {'the whole command':<34}{_objective(objective):>12}" + "".join(f"{cell:>16}" for cell in cells), "bold"
    )
    screen.line()
    if late:
        screen.say(f"Objectives of the runbook that were missed: {'; '.join(late)}.", "red")
    else:
        screen.say("Every objective of the runbook was met.")
    screen.say(
        f"The backup took {ending.backup.seconds:.1f} s, for which the runbook has no objective. The writer had "
        f"{ending.writes:,} writes acknowledged. Builds and starts are shorter here than a real Coolify's."
    )


def _objective(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.0f} min"
