# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's proof says no to data that is not exactly that of the instant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from demo.data import PROGRESS, Copy
from demo.proof import Proof, prove
from demo.writes import Trouble, Write, copied, read_log, trouble

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
COPIED, INSTANT, CUTOVER, FOUND = (START + timedelta(seconds=seconds) for seconds in (10, 20, 40, 60))


def write(second: float, name: str, *, good: bool = True, took: float = 0.02) -> Write:
    """One request that was sent so many seconds after the start."""
    begun = START + timedelta(seconds=second)
    row = (name, "user", "7", "IN_PROGRESS", copied(begun + timedelta(seconds=took / 2))) if good else None
    return Write(begun, begun + timedelta(seconds=took), row, created=True)


WRITES = [
    write(5, "before the copy"),
    write(15, "before the instant"),
    write(25, "after the instant"),
    write(45, "since the cutover"),
]
BEFORE = Copy(
    COPIED,
    {PROGRESS: ("id uuid",), "User": ("id uuid",)},
    {PROGRESS: {"old": "old\tuser", WRITES[0].identity: WRITES[0].line}, "User": {"user": "user\tPlayer"}},
)
RESTORED = {**BEFORE.rows[PROGRESS], **{w.identity: w.line for w in (WRITES[1], WRITES[3])}}


def judge(progress: dict[str, str], users: dict[str, str] | None = None) -> Proof:
    """The proof for data that was found after the restore."""
    rows = {PROGRESS: progress, "User": BEFORE.rows["User"] if users is None else users}
    return prove(INSTANT, BEFORE, replace(BEFORE, taken_at=FOUND, rows=rows), WRITES, since=START, cutover=CUTOVER)


def test_given_exactly_that_instant_when_judged_then_it_is_proven_and_later_writes_are_set_aside() -> None:
    """Rows there, writes kept, gone and new are counted."""
    proof = judge(dict(RESTORED))
    assert proof.problems == []
    assert (proof.rows, proof.kept, proof.gone, proof.since) == (4, 2, 1, 1)


def test_given_a_copy_without_an_acknowledged_write_when_judged_then_it_is_not_proven() -> None:
    """What the writer was promised counts, not only what the copy holds."""
    rows = {PROGRESS: {"old": "old\tuser"}, "User": BEFORE.rows["User"]}
    proof = prove(INSTANT, replace(BEFORE, rows=rows), replace(BEFORE, rows=rows), WRITES, since=START, cutover=CUTOVER)
    assert "1 acknowledged writes were not there before the instant either" in proof.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.pop("old"), "QuestProgress: 1 rows missing"),
        (lambda rows: rows.pop("before the instant"), "QuestProgress: 1 rows missing"),
        (lambda rows: rows.update({"old": "old\tanother"}), "QuestProgress: 1 rows changed"),
        (
            lambda rows: rows.update({"new": f"new\tuser\t7\tLOCKED\t{copied(INSTANT)}"}),
            "QuestProgress: 1 rows too many",
        ),
        (lambda rows: rows.update({WRITES[2].identity: WRITES[2].line}), "after the instant, is there"),
    ],
)
def test_given_one_wrong_row_when_judged_then_it_is_not_proven(
    change: Callable[[dict[str, str]], object], said: str
) -> None:
    """A row missing, changed, too many, and a write of after the instant."""
    rows = dict(RESTORED)
    change(rows)
    assert said in "; ".join(judge(rows).problems)


def test_given_another_table_or_column_that_differs_when_judged_then_it_is_not_proven() -> None:
    """Every table counts, and its columns."""
    assert judge(dict(RESTORED), {}).problems == ["User: 1 rows missing"]
    columns = {**BEFORE.columns, PROGRESS: ("id uuid", "archivedAt timestamp")}
    proof = prove(INSTANT, BEFORE, replace(BEFORE, columns=columns), WRITES, since=START, cutover=CUTOVER)
    assert proof.problems == ["the tables or their columns are not those of that instant"]


def test_given_a_request_under_way_at_the_instant_when_judged_then_it_may_be_there_or_not() -> None:
    """Nobody can know whether it was committed before or after."""
    doubtful = write(19.99, "doubtful")
    for rows in (RESTORED, {**RESTORED, doubtful.identity: doubtful.line}):
        found = replace(BEFORE, rows={**BEFORE.rows, PROGRESS: dict(rows)})
        writes = sorted([*WRITES, doubtful], key=lambda one: one.begun)
        assert prove(INSTANT, BEFORE, found, writes, since=START, cutover=CUTOVER).problems == []


def test_given_failed_requests_when_asked_for_trouble_then_a_gap_lasts_from_good_to_good() -> None:
    """Also the longest pause without an error is told."""
    writes = [write(1, "a"), write(2, "", good=False), write(3, "", good=False), write(4, "b"), write(7, "c")]
    assert trouble(writes, START, FOUND) == Trouble(seconds=3.0, failed=2, longest_pause=3.0)


def test_given_a_log_that_is_being_written_when_read_then_the_half_line_is_left_out(tmp_path: Path) -> None:
    """And the row is as COPY prints it."""
    log = tmp_path / "writer.jsonl"
    log.write_text(
        '{"begun": "2026-01-05T12:00:00.000001Z", "ended": "2026-01-05T12:00:00.020000Z", "ok": true, "id": "i",'
        ' "user": "u", "quest": 7, "status": "LOCKED", "updated_at": "2026-01-05T12:00:00.010Z", "created": true}\n'
        '{"begun": "2026-01-05T12:00:01.000001Z", "ended": "2026-01-05T12:00:01.020000Z", "ok": false, "error": "x"}\n'
        '{"begun": "2026'
    )
    first, second = read_log(log)
    assert first.line == "i\tu\t7\tLOCKED\t2026-01-05 12:00:00.01+00" and first.created
    assert second.row is None
