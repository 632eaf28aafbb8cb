# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading PostgreSQL's write-ahead log and control file with PostgreSQL's own tools."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.postgres.binaries import Binaries
from sandbox.postgres.model import EngineError
from sandbox.processes import send_signal

SEGMENT = 1 << 20
"""Bytes of one log file. The smallest there is: branches share whole files."""
PAGE = 8192
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC0", "PATH": "/usr/bin:/bin"}
_COMMIT = re.compile(
    r"lsn: ([0-9A-F]+/[0-9A-F]+), .*?desc: COMMIT(?:_PREPARED \d+:)? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})"
)
# First position of a record after the header of a page, or of a file's first page.
_PAGE_STARTS = (24, 40)


def parse_lsn(text: str) -> int:
    """``"0/1A2B3C4"`` as a number. Raises ValueError for anything else."""
    if not re.fullmatch(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", text):
        raise ValueError(f"{text!r} is not an LSN like 0/1A2B3C4")
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    """The inverse of `parse_lsn`, in PostgreSQL's spelling."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def segment_name(tli: int, lsn: int) -> str:
    """The file that holds this position."""
    number = lsn // SEGMENT
    per_file_id = (1 << 32) // SEGMENT
    return f"{tli:08X}{number // per_file_id:08X}{number % per_file_id:08X}"


def segment_range(name: str) -> tuple[int, int] | None:
    """Timeline number and first position of a log file by its name; None for other files."""
    if not re.fullmatch(r"[0-9A-F]{24}", name):
        return None
    return int(name[:8], 16), int(name[8:16], 16) << 32 | int(name[16:], 16) * SEGMENT


@dataclass(frozen=True)
class Control:
    """What the control file of a stopped server says."""

    state: str
    checkpoint: int
    redo: int
    tli: int

    @property
    def clean(self) -> bool:
        """Whether the server was shut down in order, so that nothing waits to be replayed."""
        return self.state == "shut down"


async def read_control(binaries: Binaries, data: Path) -> Control:
    """Raises `EngineError` when the folder holds no readable cluster."""
    process = await asyncio.create_subprocess_exec(
        binaries.tool("pg_controldata"),
        "-D",
        str(data),
        env=_ENVIRONMENT,
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise EngineError(f"pg_controldata {data.name}: {errors.decode(errors='replace').strip()}")
    fields = dict(re.findall(r"^(.+?):\s+(.*)$", output.decode(errors="replace"), re.MULTILINE))
    return Control(
        fields["Database cluster state"],
        parse_lsn(fields["Latest checkpoint location"]),
        parse_lsn(fields["Latest checkpoint's REDO location"]),
        int(fields["Latest checkpoint's TimeLineID"]),
    )


async def commits(
    binaries: Binaries, wal: Path, tli: int, start: int, end: int
) -> AsyncGenerator[tuple[int, datetime], None]:
    """Position and instant of every commit in ``[start, end)`` of one timeline's log, in the log's order.

    `end` must have been written already. Raises `EngineError` when the log cannot be read.
    """
    async for lsn, text in _commit_texts(binaries, wal, tli, start, end):
        yield lsn, datetime.fromisoformat(text).replace(tzinfo=UTC)


async def first_commit_after(
    binaries: Binaries, wal: Path, tli: int, start: int, end: int, instant: datetime
) -> int | None:
    """Position of the first commit in ``[start, end)`` that is later than `instant`, to the microsecond.

    The instant is the one that ``pg_xact_commit_timestamp`` shows. Sessions that commit at the same moment may
    enter the log in another order than their instants; as in PostgreSQL's own recovery the first later one ends it.
    """
    bound = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    async with contextlib.aclosing(_commit_texts(binaries, wal, tli, start, end)) as found:
        async for lsn, text in found:
            if text > bound:
                return lsn
    return None


async def _commit_texts(
    binaries: Binaries, wal: Path, tli: int, start: int, end: int
) -> AsyncGenerator[tuple[int, str], None]:
    # pg_waldump misreads the page when told to end exactly at its first record.
    if end % PAGE in _PAGE_STARTS:
        end -= end % PAGE
    if end <= start:
        return
    process = await asyncio.create_subprocess_exec(
        binaries.tool("pg_waldump"),
        *("-t", str(tli), "-p", str(wal), "-r", "Transaction", "-s", format_lsn(start), "-e", format_lsn(end)),
        # Without both names it guesses the size of files from any file, and where to stop.
        *(segment_name(tli, start), segment_name(tli, end - 1)),
        env=_ENVIRONMENT,
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,  # a commit that ends many subtransactions is one long line
    )
    assert process.stdout and process.stderr
    try:
        async for line in process.stdout:
            if match := _COMMIT.search(line.decode(errors="replace")):
                yield parse_lsn(match[1]), match[2]
        errors = (await process.stderr.read()).decode(errors="replace").strip()
        # Nothing but the rest of one record lies between the two positions.
        if await process.wait() and "could not find a valid record after" not in errors:
            raise EngineError(f"pg_waldump {format_lsn(start)} to {format_lsn(end)}: {errors}")
    finally:
        send_signal(process, signal.SIGKILL)
        await process.wait()


def switch_point(history: Path) -> int:
    """Where a timeline leaves its parent, by its history file: the last line's position."""
    lines = [line.split() for line in history.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return parse_lsn(lines[-1][1])
