# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a salvage: written in sections, which are put together at the end in the order in which they must run."""

from __future__ import annotations

import contextlib
import filecmp
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
        self._tables.append(table)
        if again:
            self._again.add(table)
        for place in [place for place in self._open if place[1] == table]:
            self._open.pop(place).close()

    def end(self) -> None:
        """Nothing more comes at all."""
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def parts(self) -> Iterator[tuple[str, Path]]:
        """Headings and files, in the order in which they run."""
        children_first = list(reversed(self._tables))
        # Triggers draw from them while the rows come in.
        wanted = [("sequences", "sequences", "")]
        wanted += [("rows that the old side deleted", "deletes", table) for table in children_first]
        for table in self._tables:
            wanted += [("changes", "updates", table), ("new rows", "inserts", table)]
        wanted += [("what refers to rows that had to come first", "late", "")]
        wanted += [
            ("deleted rows that something still referred to above", "deletes", table)
            for table in children_first
            if table in self._again
        ]
        for heading, section, table in wanted:
            if (section, table) in self._paths:
                yield f"{table}: {heading}" if table else heading, self._paths[section, table]


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
    if path.exists():
        if filecmp.cmp(draft, path, shallow=False):
            return False
        raise Refused(
            f"write {path}: a file with another content is there",
            code="file_exists",
            hint="Delete it, or name another one with -e out=FILE.",
        )
    draft.rename(path)
    return True
