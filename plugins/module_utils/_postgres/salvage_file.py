# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a salvage: written in sections, which are put together at the end in the order in which they must run."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .._errors import InvalidInput, Refused
from . import salvage_sql

_MODE = 0o600


class Sections:
    """Pieces of the file, on the disk: a section of the whole, or one for each table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[tuple[str, str], BinaryIO] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self._tables: list[str] = []
        self._again: set[str] = set()

    def add(self, section: str, text: str, table: str = "") -> None:
        """Append to a section; parents must be added before their children."""
        place = (section, table)
        if place not in self._paths:
            self._paths[place] = self.folder / f"{len(self._paths)}.sql"
        if place not in self._open:
            self._open[place] = self._paths[place].open("ab", buffering=1 << 18)
        self._open[place].write(text.encode())

    def close(self, table: str, *, again: bool = False) -> None:
        """Nothing more comes for a table.

        :param again: its deletions are tried once more at the end.
        """
        if table not in self._tables:
            self._tables.append(table)
        if again:
            self._again.add(table)
        for place in [place for place in self._open if place[1] == table]:
            self._open.pop(place).close()

    def discard(self, table: str) -> None:
        """What was written for a table does not count."""
        self._again.discard(table)
        for place in [place for place in self._paths if place[1] == table]:
            if place in self._open:
                self._open.pop(place).close()
            self._paths[place].write_bytes(b"")

    def end(self) -> None:
        """Nothing more comes at all."""
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def parts(self) -> Iterator[tuple[str, Path]]:
        """Headings and files, in the order in which they run."""
        children_first = list(reversed(self._tables))
        wanted = [
            ("what PostgreSQL must not do by itself meanwhile", "disabled", ""),
            ("sequences", "sequences", ""),
        ]
        wanted += [("rows that the old side deleted", "deletes", table) for table in children_first]
        for table in self._tables:
            wanted += [
                ("what is not made", "remarks", table),
                ("values that deleted rows must give up", "freed", table),
                ("changes", "updates", table),
                ("new rows", "inserts", table),
            ]
        for table in self._tables:
            wanted += [
                ("changes that refer to rows that had to come first", "late", table),
                ("what new rows refer to that had to come first", "fills", table),
            ]
        for table in children_first:
            section = "deletes" if table in self._again else "again"
            wanted += [("deleted rows that something still referred to above", section, table)]
        wanted.append(("what is disabled above, as it was", "enabled", ""))
        for heading, section, table in wanted:
            path = self._paths.get((section, table))
            if path is not None and path.stat().st_size:
                yield f"{table}: {heading}" if table else heading, path


@contextlib.contextmanager
def sections_beside(path: Path, draft: Path | None = None) -> Iterator[Sections]:
    """Sections in a folder that only their owner can read, beside the file that they become.

    :param draft: that folder, which must not exist yet: who names it can delete it after a kill.
    :raises InvalidInput: when nothing can be written there.
    """
    try:
        if draft is None:
            folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        else:
            folder = draft
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise InvalidInput(
            f"write {draft or path}: {error.strerror or error}",
            hint="Name a file in a folder that exists and can be written.",
        ) from None
    sections = Sections(folder)
    try:
        yield sections
    finally:
        sections.end()
        shutil.rmtree(folder, ignore_errors=True)


def refuse_other(path: Path, title: Iterable[str]) -> None:
    """Refuse a file that is there and does not begin as this one will; whether the rest is the same shows at the end.

    :raises Refused: for such a file.
    """
    begin = "".join(map(salvage_sql.comment, title)).encode()
    try:
        with path.open("rb") as stream:
            same = stream.read(len(begin)) == begin
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidInput(f"read {path}: {error.strerror or error}", hint="Name another file.") from None
    if not same:
        raise _other(path)


def _other(path: Path) -> Refused:
    return Refused(
        f"write {path}: a file with another content is there",
        code="file_exists",
        hint="Delete it, or name another one with -e out=FILE.",
    )


def put_together(sections: Sections, header: Iterable[str], path: Path) -> bool:
    """Write the file, readable by its owner only; whether it was not there yet with just this content.

    :raises Refused: when a file with another content is there: a person may have worked on it.
    """
    sections.end()
    draft = sections.folder / "whole.sql"
    draft.touch(_MODE)
    with draft.open("wb") as whole:
        whole.write("".join(map(salvage_sql.comment, header)).encode())
        whole.write(f"\n{salvage_sql.PREAMBLE}".encode())
        for heading, part in sections.parts():
            whole.write(f"\n{salvage_sql.comment(heading)}".encode())
            with part.open("rb") as text:
                shutil.copyfileobj(text, whole, 1 << 20)
        whole.write(b"\nCOMMIT;\n")
    try:
        _place(draft, path)
    except FileExistsError:
        if filecmp.cmp(draft, path, shallow=False):
            return False
        raise _other(path) from None
    draft.unlink()
    return True


def _place(draft: Path, path: Path) -> None:
    """Unlike a rename this never replaces what somebody has put there in the meantime."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has links.
        with (
            draft.open("rb") as text,
            os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as to,
        ):
            shutil.copyfileobj(text, to, 1 << 20)
