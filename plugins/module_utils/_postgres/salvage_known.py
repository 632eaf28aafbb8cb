# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of values that may be as many as a table has rows: kept in memory while they are few, then on the disk."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from .salvage_merge import Values

# A Python that was built without SQLite keeps all of them in memory.
with contextlib.suppress(ImportError):
    import sqlite3

FEW = 50_000
_TABLE = "CREATE TABLE known (part INT, value TEXT, PRIMARY KEY (part, value)) WITHOUT ROWID"
_INSERT = "INSERT OR IGNORE INTO known VALUES (?, ?)"
_SETTINGS = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000", "locking_mode = EXCLUSIVE")


class Spill:
    """The file in which the sets go on that have become large. It is made when it is needed.

    :param folder: one that only its owner can read: the values are those of rows.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "held.sqlite"
        self._connection: sqlite3.Connection | None = None
        self._sets = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def known(self) -> Known:
        """A new set."""
        self._sets += 1
        return Known(self, self._sets)

    def open(self) -> sqlite3.Connection | None:
        """The file; None where there is no SQLite."""
        if self._connection is None:
            try:
                self._connection = sqlite3.connect(self._path, isolation_level=None)
            except NameError:
                return None
            for setting in _SETTINGS:
                self._connection.execute(f"PRAGMA {setting}")
            self._connection.execute(_TABLE)
            self._connection.execute("BEGIN")
        return self._connection


class Known:
    """A set of values."""

    def __init__(self, spill: Spill, number: int) -> None:
        self._spill = spill
        self._number = number
        self._few: set[Values] = set()
        self._file: sqlite3.Connection | None = None

    def __bool__(self) -> bool:
        return bool(self._few) or self._file is not None

    def __contains__(self, values: object) -> bool:
        if self._file is None:
            return values in self._few
        query = "SELECT 1 FROM known WHERE part = ? AND value = ?"
        return self._file.execute(query, (self._number, json.dumps(values))).fetchone() is not None

    def add(self, values: Values) -> bool:
        """Whether they were not there yet."""
        if self._file is None:
            if values in self._few:
                return False
            self._few.add(values)
            if len(self._few) > FEW:
                self._move()
            return True
        return self._insert(self._file, values)

    def _insert(self, file: sqlite3.Connection, values: Values) -> bool:
        return file.execute(_INSERT, (self._number, json.dumps(values))).rowcount > 0

    def _move(self) -> None:
        self._file = self._spill.open()
        if self._file is not None:
            for values in self._few:
                self._insert(self._file, values)
            self._few.clear()
