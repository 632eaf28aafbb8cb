# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks: one run at a time per Neon project and per Coolify application (safety rule 5).

A lock is a file made with O_EXCL. It is stale only when the ansible-playbook that took it is gone, which can be known
only on the same machine; age alone never breaks one (rule 21).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ._errors import InvalidInput, Refused
from ._process import Owner, is_running, same_host, same_process
from ._state import exclusive, file_name, make_folder, sync_folder, unusable
from ._time import rfc3339, utc_now

VERSION = 1
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Lock:
    """One lock as found.

    :param state: held (its process runs, here), stale (its process is gone, here), other_host (cannot be known),
        unreadable (the file says nothing), predicted (check mode would take it).
    """

    name: str
    path: Path
    run: str = UNREADABLE
    target: str = ""
    owner: Owner = field(default_factory=Owner)
    taken_at: str = ""
    state: str = "held"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path), "owner": asdict(self.owner)}

    @property
    def who(self) -> str:
        return f"run {self.run} (process {self.owner.pid} on {self.owner.host}, since {self.taken_at})"


class Locks:
    """The locks under one state directory.

    :param owner: the ansible-playbook on whose behalf locks are taken.
    :param write: false in check mode: none is taken, broken or released.
    """

    def __init__(self, root: Path, owner: Owner, *, write: bool = True) -> None:
        self.folder = root / "locks"
        self.owner = owner
        self.write = write

    def path(self, name: str) -> Path:
        return self.folder / f"{file_name(name)}.lock"

    def listed(self) -> list[Lock]:
        """Every lock there is, by name."""
        return [self._read(unquote(path.stem), path) for path in sorted(self.folder.glob("*.lock"))]

    def take(self, names: Iterable[str], run: str, target: str, *, break_run: str | None = None) -> list[Lock]:
        """Take all of the locks, in sorted order, or none.

        A lock that the same run of the same process holds already is simply held; a stale one is taken over.

        :param break_run: the run whose locks may be broken although its process cannot be seen from here.
        :raises Refused: when another run holds one; the message names it and says what to do.
        """
        wanted = sorted(set(names))
        if not wanted:
            raise InvalidInput("take locks: none is named", hint="Set names to at least one.")
        if not self.write:
            return [self._predict(name, run, target) for name in wanted]
        taken: list[Path] = []
        with exclusive(self.folder / ".guard"):
            try:
                return [self._take(name, run, target, break_run, taken) for name in wanted]
            except BaseException:
                # All or none: a run that waits while it holds some could block another for ever.
                for path in taken:
                    path.unlink(missing_ok=True)
                raise

    def release(self, run: str, names: Iterable[str] = ()) -> list[Lock]:
        """Remove the locks of a run: those named, else all of its locks. What does not exist is released already.

        :returns: the locks removed.
        :raises Refused: when a lock named belongs to another run; then none is removed.
        """
        wanted = {file_name(name) for name in names}
        if not self.folder.is_dir():
            return []
        if not self.write:
            return self._released(run, wanted)
        with exclusive(self.folder / ".guard"):
            released = self._released(run, wanted)
            for lock in released:
                lock.path.unlink(missing_ok=True)
        sync_folder(self.folder)
        return released

    def _released(self, run: str, wanted: set[str]) -> list[Lock]:
        found = [lock for lock in self.listed() if not wanted or lock.path.stem in wanted]
        others = [lock for lock in found if lock.run != run]
        if wanted and others:
            raise Refused(
                f"release the lock {others[0].name}: it belongs to {others[0].who}",
                hint="A lock is released by the run that took it.",
            )
        return [lock for lock in found if lock.run == run]

    def _take(self, name: str, run: str, target: str, break_run: str | None, taken: list[Path]) -> Lock:
        path = self.path(name)
        before = self._read(name, path) if path.exists() else None
        if before is not None:
            if before.run == run and same_process(before.owner, self.owner):
                return before
            self._check_breakable(before, break_run)
            path.unlink()
        lock = Lock(name, path, run, target, self.owner, rfc3339(utc_now()))
        self._create(lock)
        taken.append(path)
        return lock

    def _check_breakable(self, lock: Lock, break_run: str | None) -> None:
        if lock.state == "stale":
            return
        if lock.state == "held":
            raise Refused(
                f"take the lock {lock.name}: {lock.who} holds it and is still running",
                code="locked_by_run",
                retryable=True,
                hint="Wait until it ends, or end that process; then run again.",
            )
        if break_run != lock.run:
            raise Refused(
                f"take the lock {lock.name}: {lock.who} holds it; whether it still runs cannot be seen from "
                f"{self.owner.host}",
                code="locked_by_run",
                hint=f"Make sure that it has ended, then run again with -e break_lock={lock.run}.",
            )

    def _create(self, lock: Lock) -> None:
        content = {"v": VERSION, "name": lock.name, "run": lock.run, "target": lock.target, "taken_at": lock.taken_at}
        data = json.dumps({**content, **asdict(lock.owner)}).encode() + b"\n"
        draft = lock.path.with_name(f".{lock.path.stem}.{os.getpid()}.draft")
        try:
            make_folder(self.folder)
            draft.unlink(missing_ok=True)
            _write_new(draft, data)
            try:
                # A link fails like O_EXCL when the name exists, and the file is whole from the first moment: a process
                # killed in between cannot leave an empty lock.
                os.link(draft, lock.path)
            except FileExistsError:
                raise
            except OSError:
                _write_new(lock.path, data)
            finally:
                draft.unlink(missing_ok=True)
            sync_folder(self.folder)
        except FileExistsError:
            other = self._read(lock.name, lock.path)
            raise Refused(
                f"take the lock {lock.name}: {other.who} was faster",
                code="locked_by_run",
                retryable=True,
                hint="Run again when it has ended.",
            ) from None
        except OSError as error:
            raise unusable(lock.path, error) from None

    def _predict(self, name: str, run: str, target: str) -> Lock:
        path = self.path(name)
        found = self._read(name, path) if path.exists() else None
        if found is None or found.state == "stale" or found.run == run:
            return Lock(name, path, run, target, self.owner, "", "predicted")
        return found

    def _read(self, name: str, path: Path) -> Lock:
        try:
            content = json.loads(path.read_bytes())
            owner = Owner(**{key: content[key] for key in Owner.__dataclass_fields__})
            lock = Lock(name, path, str(content["run"]), str(content["target"]), owner, str(content["taken_at"]))
        except (ValueError, KeyError, TypeError):
            return Lock(name, path, state=UNREADABLE)
        except FileNotFoundError:
            return Lock(name, path, state="stale")
        except OSError as error:
            raise unusable(path, error) from None
        return replace(lock, state=self._state(owner))

    def _state(self, owner: Owner) -> str:
        if not same_host(owner, self.owner):
            return "other_host"
        if owner.boot_id != self.owner.boot_id:
            return "stale"
        if owner.pid_namespace != self.owner.pid_namespace:
            # The same machine, but another container: its processes cannot be seen from here.
            return "other_host"
        return "held" if is_running(owner) else "stale"


def _write_new(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
