# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof by the data: what must be there at an instant, and what is found after a restore to it.

Neither side asks the tool that restored. What must be there is a whole copy taken shortly before the instant, plus
every write that the application acknowledged from then until the instant. What is found is a whole copy taken
afterwards. Every difference must be a write that was begun after the cutover.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from demo.data import PROGRESS, Copy
from demo.writes import Write


@dataclass
class Proof:
    """What was compared and found. It holds when there are no `problems`."""

    rows: int = 0
    """Rows that must be there, each compared in every column."""
    kept: int = 0
    """Writes acknowledged before the instant: there."""
    gone: int = 0
    """Writes begun after the instant and acknowledged before the cutover: not there."""
    since: int = 0
    """Rows written through the application since the cutover, set aside in the comparison."""
    fingerprint: str = ""
    """Of what must be there; the same of what was found, without what was written since."""
    problems: list[str] = field(default_factory=list)


def expected_at(instant: datetime, before: Copy, writes: list[Write]) -> Copy:
    """The data at `instant`: a copy taken before it, and the writes acknowledged from the copy until then.

    Applying a write that the copy holds already changes nothing, because they are applied in their order.
    """
    progress = dict(before.rows[PROGRESS])
    for write in writes:
        if write.row and before.taken_at < write.ended <= instant:
            progress[write.identity] = write.line
    return replace(before, taken_at=instant, rows={**before.rows, PROGRESS: progress})


def prove(
    instant: datetime, before: Copy, found: Copy, writes: list[Write], *, since: datetime, cutover: datetime
) -> Proof:
    """Compares every row.

    `instant` is the restore point, `cutover` when the change to the restored data began, `since` the end of an earlier
    restore (what was acknowledged before it may have been undone by it); `writes` must reach beyond the instant at
    which `found` was taken.
    """
    expected = expected_at(instant, before, writes)
    # A request that was under way at the instant: before or after it, nobody can know.
    doubtful = [write for write in writes if write.begun <= instant < write.ended]
    later = [write for write in writes if write.begun >= cutover]
    proof = Proof(expected.total, fingerprint=expected.fingerprint())
    acknowledged = [write for write in writes if write.row and write.begun >= since and write.ended <= instant]
    lost = sum(1 for write in acknowledged if write.identity not in expected.rows[PROGRESS])
    proof.kept = len(acknowledged) - lost
    if lost:
        proof.problems.append(f"{lost} acknowledged writes were not there before the instant either")
    if found.columns != expected.columns:
        proof.problems.append("the tables or their columns are not those of that instant")
        return proof
    cleaned = {table: dict(rows) for table, rows in found.rows.items()}
    proof.since = _set_aside(cleaned[PROGRESS], expected.rows[PROGRESS], doubtful, later)
    _differences(proof, expected, cleaned)
    if not proof.problems and replace(found, rows=cleaned).fingerprint() != proof.fingerprint:
        proof.problems.append("the content hash differs")
    _writes_gone(proof, found, [w for w in writes if w.row and w.begun > instant and w.ended < cutover])
    return proof


def _set_aside(found: dict[str, str], expected: dict[str, str], doubtful: list[Write], later: list[Write]) -> int:
    """Takes the writes since the cutover out of `found`, and puts back what they replaced. Returns how many rows."""
    known = {write.line for write in (*later, *doubtful) if write.row}
    unanswered = [write for write in (*later, *doubtful) if write.row is None]
    count = 0
    for key, line in list(found.items()):
        if expected.get(key) == line:
            continue
        if line in known or any(_may_be_of(line, write) for write in unanswered):
            count += 1
            if key in expected:
                found[key] = expected[key]
            else:
                del found[key]
    return count


def _may_be_of(line: str, write: Write) -> bool:
    """Whether a row can come from a request that was not answered: by its timestamp."""
    updated = datetime.fromisoformat(line.rpartition("\t")[2])
    return write.begun.replace(microsecond=write.begun.microsecond // 1000 * 1000) <= updated <= write.ended


def _differences(proof: Proof, expected: Copy, found: dict[str, dict[str, str]]) -> None:
    for table, rows in expected.rows.items():
        there = found[table]
        missing = sum(1 for key in rows if key not in there)
        extra = sum(1 for key in there if key not in rows)
        changed = sum(1 for key, line in rows.items() if key in there and there[key] != line)
        for count, what in ((missing, "missing"), (extra, "too many"), (changed, "changed")):
            if count:
                proof.problems.append(f"{table}: {count} rows {what}")


def _writes_gone(proof: Proof, found: Copy, writes: list[Write]) -> None:
    for write in writes:
        line = found.rows[PROGRESS].get(write.identity)
        if line == write.line or (write.created and line is not None):
            proof.problems.append(f"a write begun at {write.begun.isoformat()}, after the instant, is there")
        else:
            proof.gone += 1
