# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One daemon per root: a lock that the kernel drops when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class AlreadyRunning(RuntimeError):
    """Another daemon holds the lock; `pid` is its process id (0 when it has not said so yet)."""

    def __init__(self, root: Path, pid: int) -> None:
        super().__init__(f"a sandbox already runs on {root} (pid {pid}). See it: bin/sandbox status")
        self.pid = pid


class Lock:
    """The lock file of a root. It is never deleted: that would let two daemons lock two files of one name."""

    def __init__(self, root: Path) -> None:
        self.path = root / "lock"
        self._root = root

    def take(self) -> None:
        """Takes the lock until this process ends. Raises `AlreadyRunning`.

        It is never given back before: whoever sees it free may rely on the holder being gone.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(self._root, holder(self._root) or 0) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def holder(root: Path) -> int | None:
    """The process id of the daemon that runs on `root`; None when none does. 0: it runs and has not said its id."""
    try:
        descriptor = os.open(root / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            return int(text) if text.isdigit() else 0
        return None
    finally:
        os.close(descriptor)
