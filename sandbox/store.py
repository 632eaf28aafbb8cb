# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox must still know after it was killed: one JSON file, replaced as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class StoreDamaged(ValueError):
    """The file of a store cannot be understood. The text names it and says what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is damaged ({problem}). Start over with an empty world: bin/sandbox reset")


class Store:
    """One JSON object on disk (0600: it holds tokens and role passwords).

    Change `data` (or a `section` of it) in place, then `save()`. A kill between two saves loses what was
    changed since the first, never the file.
    """

    def __init__(self, path: Path, *, delay: Callable[[], float] = lambda: 0.0) -> None:
        """Reads `path`, or starts empty. Raises `StoreDamaged` for a file that is not a JSON object.

        `delay` says for how many seconds a save may wait for others to come: writing thousands of branches after
        each change of one takes longer than the change.
        """
        self.path = path
        self.data: dict[str, Any] = {}
        self._delay = delay
        self._later: asyncio.TimerHandle | None = None
        self._written = ""
        if path.exists():
            try:
                text = path.read_text(encoding="utf-8")
                loaded = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise StoreDamaged(path, str(error)) from None
            if not isinstance(loaded, dict):
                raise StoreDamaged(path, "it does not hold a JSON object")
            if wrong := [name for name, section in loaded.items() if not isinstance(section, dict)]:
                raise StoreDamaged(path, f"{wrong[0]} is not an object")
            self.data = loaded
            self._written = text

    def section(self, name: str) -> dict[str, Any]:
        """The mutable object under `name`, made empty when it is not there."""
        section: dict[str, Any] = self.data.setdefault(name, {})
        return section

    def save(self) -> None:
        """Writes everything durably, at once or with what else changes within the delay."""
        seconds = self._delay()
        if seconds <= 0:
            self.flush()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(seconds, self.flush)

    def flush(self) -> None:
        """Writes everything durably now: a new file, flushed to disk, then put in the old one's place."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        text = json.dumps(self.data, separators=(",", ":"), default=str)
        if text == self._written:
            return
        fresh = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._written = text

    def clear(self, *, keep: Iterable[str]) -> None:
        """Forgets every section but those named, and saves."""
        self.data = {name: self.data[name] for name in keep if name in self.data}
        self.flush()
