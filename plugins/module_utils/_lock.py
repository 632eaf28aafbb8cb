# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks: one run at a time per Neon project and per Coolify application (safety rule 5).

A lock is a file made with O_EXCL. It is stale only when the ansible-playbook that took it is gone, which can be known
only on the same machine; age alone never breaks one (rule 21). A run that could neither finish nor revert keeps its
lock beyond the end of its process (rule 18): it goes only to the undo of that run, or to who breaks it by name.
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
from ._undoing import command

VERSION = 1
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Lock:
    """One lock as found.

    :param state: held (its process runs, here), stale (its process is gone, here), other_host (cannot be known),
        kept (a stuck run's), unreadable (the file says nothing), predicted (check mode would take it).
    :param kept_for: the stuck run on whose behalf it is kept; "" where there is none.
    :param kept_at: since when no process works under it; "" while the undo of that run does.
    """

    name: str
    path: Path
    run: str = UNREADABLE
    target: str = ""
    owner: Owner = field(default_factory=Owner)
    taken_at: str = ""
    state: str = "held"
    kept_for: str = ""
    kept_at: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path), "owner": asdict(self.owner)}

    @property
    def who(self) -> str:
        if self.state == "kept":
            return f"run {self.kept_for}, which is stuck (since {self.kept_at or self.taken_at})"
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

    def take(
        self,
        names: Iterable[str],
        run: str,
        target: str,
        *,
        break_run: str | None = None,
        stuck_run: str | None = None,
    ) -> list[Lock]:
        """Take all of the locks, in sorted order, or none.

        A lock that the same run of the same process holds already is simply held; a stale one is taken over.

        :param break_run: the run whose locks may be broken although its process cannot be seen from here, or although
            it is stuck.
        :param stuck_run: the run that is about to be taken back. A lock that is kept for it is taken over, and is still
            kept for it when this process is killed.
        :raises Refused: when another run holds one; the message names it and says what to do.
        """
        wanted = sorted(set(names))
        if not wanted:
            raise InvalidInput("take locks: none is named", hint="Set names to at least one.")
        if not self.write:
            return [self._predict(name, run, target, stuck_run) for name in wanted]
        with exclusive(self.folder / ".guard"):
            # All or none: a run that waits while it holds some could block another for ever. Who is in the way is
            # looked at for all of them first, so that what a stuck run keeps is not given up for nothing.
            before = {name: self._in_the_way(name, run, break_run, stuck_run) for name in wanted}
            taken: list[Path] = []
            try:
                return [self._take(name, run, target, before[name], stuck_run, taken) for name in wanted]
            except BaseException:
                for path in taken:
                    path.unlink(missing_ok=True)
                raise

    def others(self, names: Iterable[str], run: str) -> list[Lock]:
        """The locks named that other runs hold."""
        found = [self._read(name, self.path(name)) for name in sorted(set(names)) if self.path(name).exists()]
        return [lock for lock in found if lock.run != run and lock.state != "stale"]

    def is_sibling(self, lock: Lock) -> bool:
        """Whether it is held by another target of the same ansible-playbook, which sees to it that it is released."""
        return lock.state == "held" and same_process(lock.owner, self.owner)

    def keep(self, run: str, stuck_run: str, names: Iterable[str] = ()) -> list[Lock]:
        """Keep the locks of a run beyond its process: those named, else all of its locks (rule 18).

        :param stuck_run: the run that must be taken back before anything else may work under these locks. A run that
            goes on with an earlier one, or takes it back, has another id than that one.
        :returns: the locks kept.
        :raises Refused: when a lock named belongs to another run; then none is kept.
        """
        wanted = {file_name(name) for name in names}
        if not self.folder.is_dir() or not self.write:
            return self._of(run, wanted, "keep")
        with exclusive(self.folder / ".guard"):
            now = rfc3339(utc_now())
            kept = [
                replace(lock, state="kept", kept_for=stuck_run, kept_at=now) for lock in self._of(run, wanted, "keep")
            ]
            for lock in kept:
                self._replace(lock)
        sync_folder(self.folder)
        return kept

    def release(self, run: str, names: Iterable[str] = ()) -> list[Lock]:
        """Remove the locks of a run: those named, else all of its locks. What does not exist is released already.

        :returns: the locks removed.
        :raises Refused: when a lock named belongs to another run; then none is removed.
        """
        wanted = {file_name(name) for name in names}
        if not self.folder.is_dir():
            return []
        if not self.write:
            return self._of(run, wanted, "release")
        with exclusive(self.folder / ".guard"):
            released = self._of(run, wanted, "release")
            for lock in released:
                lock.path.unlink(missing_ok=True)
        sync_folder(self.folder)
        return released

    def _of(self, run: str, wanted: set[str], verb: str) -> list[Lock]:
        found = [lock for lock in self.listed() if not wanted or lock.path.stem in wanted]
        others = [lock for lock in found if lock.run != run]
        # A check has taken nothing, so what it names may well be another's.
        if wanted and others and self.write:
            raise Refused(
                f"{verb} the lock {others[0].name}: it belongs to {others[0].who}",
                hint=f"A lock is {'kept' if verb == 'keep' else 'released'} by the run that took it.",
            )
        return [lock for lock in found if lock.run == run]

    def _in_the_way(self, name: str, run: str, break_run: str | None, stuck_run: str | None) -> Lock | None:
        """The lock that is there and may be replaced; None where there is none, or where it is this run's."""
        path = self.path(name)
        before = self._read(name, path) if path.exists() else None
        if before is not None and not self._is_mine(before, run):
            self._check_breakable(before, break_run, stuck_run)
        return before

    def _is_mine(self, lock: Lock, run: str) -> bool:
        return lock.run == run and same_process(lock.owner, self.owner) and lock.state == "held"

    def _take(
        self, name: str, run: str, target: str, before: Lock | None, stuck_run: str | None, taken: list[Path]
    ) -> Lock:
        if before is not None and self._is_mine(before, run):
            return before
        lock = Lock(name, self.path(name), run, target, self.owner, rfc3339(utc_now()))
        if before is not None and before.kept_for and before.kept_for == stuck_run:
            lock = replace(lock, kept_for=before.kept_for)
            self._replace(lock)
            return lock
        if before is not None:
            before.path.unlink(missing_ok=True)
        self._create(lock)
        taken.append(lock.path)
        return lock

    def _check_breakable(self, lock: Lock, break_run: str | None, stuck_run: str | None) -> None:
        if lock.state == "stale":
            return
        if lock.state == "kept":
            if lock.kept_for in (break_run, stuck_run):
                return
            raise Refused(
                f"take the lock {lock.name}: it is kept for {lock.who}",
                code="locked_by_run",
                hint=f"Take that run back: {command(lock.target, lock.kept_for)}. To break the lock instead, after "
                f"putting everything right by hand: -e break_lock={lock.kept_for}",
            )
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

    def _replace(self, lock: Lock) -> None:
        """Rewrite a lock that is there, without a moment in which it is not."""
        draft = _draft_of(lock)
        try:
            draft.unlink(missing_ok=True)
            _write_new(draft, _content_of(lock))
            draft.replace(lock.path)
            sync_folder(self.folder)
        except OSError as error:
            raise unusable(lock.path, error) from None

    def _create(self, lock: Lock) -> None:
        data, draft = _content_of(lock), _draft_of(lock)
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

    def _predict(self, name: str, run: str, target: str, stuck_run: str | None) -> Lock:
        path = self.path(name)
        found = self._read(name, path) if path.exists() else None
        mine = found is not None and (found.run == run or (found.state == "kept" and found.kept_for == stuck_run))
        if found is None or found.state == "stale" or mine:
            return Lock(name, path, run, target, self.owner, "", "predicted")
        return found

    def _read(self, name: str, path: Path) -> Lock:
        try:
            content = json.loads(path.read_bytes())
            owner = Owner(**{key: content[key] for key in Owner.__dataclass_fields__})
            lock = Lock(name, path, str(content["run"]), str(content["target"]), owner, str(content["taken_at"]))
            lock = replace(lock, kept_for=str(content.get("kept_for") or ""), kept_at=str(content.get("kept_at") or ""))
        except (ValueError, KeyError, TypeError):
            return Lock(name, path, state=UNREADABLE)
        except FileNotFoundError:
            return Lock(name, path, state="stale")
        except OSError as error:
            raise unusable(path, error) from None
        state = self._state(owner)
        # Kept with no process under it; or its undo was killed, which can be known only here.
        is_kept = bool(lock.kept_at) or (bool(lock.kept_for) and state == "stale")
        return replace(lock, state="kept" if is_kept else state)

    def _state(self, owner: Owner) -> str:
        if not same_host(owner, self.owner):
            return "other_host"
        if owner.boot_id != self.owner.boot_id:
            return "stale"
        if owner.pid_namespace != self.owner.pid_namespace:
            # The same machine, but another container: its processes cannot be seen from here.
            return "other_host"
        return "held" if is_running(owner) else "stale"


def _content_of(lock: Lock) -> bytes:
    content = {"v": VERSION, "name": lock.name, "run": lock.run, "target": lock.target, "taken_at": lock.taken_at}
    kept = {"kept_for": lock.kept_for, "kept_at": lock.kept_at} if lock.kept_for else {}
    return json.dumps({**content, **kept, **asdict(lock.owner)}).encode() + b"\n"


def _draft_of(lock: Lock) -> Path:
    return lock.path.with_name(f".{lock.path.stem}.{os.getpid()}.draft")


def _write_new(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
