# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state directory: where journals, logs, locks and reports live (design, section 11), and how lines get there.

Everything in it is readable by its owner only. A line is on the disk, not only in a cache, before a call returns: a
killed controller must find what it had written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from ._errors import InvalidInput, RewindError
from ._secrets import MASK, Masker

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_NAME_LIMIT = 200

# What a secret's key is called, and what is called like one without being one: a variable's name, a hash, a flag.
_SECRET_KEY = re.compile(r"(?i)((^|_)pwd|password|passwd|secret|token|api_?key|authorization|connection_?string)s?$")
_SECRET_TEXT = re.compile(
    r"\b(?:napi|npg|sk|ghp|glpat|xox[abp])[_-][A-Za-z0-9_-]{12,}"  # prefixed tokens, Neon's among them
    r"|\bsntry[a-z]_[A-Za-z0-9_=-]{12,}"  # Sentry's
    r"|\bhttps://hooks\.slack\.com/[A-Za-z0-9/_-]{12,}"  # who knows such an address may write there
    r"|\b\d+\|[A-Za-z0-9]{40,}\b"  # Laravel Sanctum, which Coolify uses
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"  # JWT
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/|=-]{12,}"
)


def default_state_dir() -> Path:
    """``$REWIND_STATE_DIR``, else ``${XDG_STATE_HOME:-~/.local/state}/rewind``."""
    chosen = os.environ.get("REWIND_STATE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "rewind"


def state_dir(value: str | None) -> Path:
    """The state directory that an option names, or the default one; it need not exist.

    :raises InvalidInput: when it is not an absolute path or there is something else of that name.
    """
    path = Path(value).expanduser() if value else default_state_dir()
    if not path.is_absolute():
        raise InvalidInput(
            f'use the state directory "{path}": it is not an absolute path', hint="Set state_dir to one."
        )
    if path.exists() and not path.is_dir():
        raise InvalidInput(
            f'use the state directory "{path}": it is not a folder', hint="Set state_dir to another path."
        )
    return path


def file_name(name: str) -> str:
    """A name made fit to be one file's or folder's, reversibly; most names stay as they are.

    :raises InvalidInput: for an empty or an overlong name.
    """
    encoded = quote(name, safe="@:+=,")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if not encoded or len(encoded) > _NAME_LIMIT:
        raise InvalidInput(
            f'name a file after "{name[:60]}": it is empty or longer than {_NAME_LIMIT} characters', hint="Shorten it."
        )
    return encoded


def make_folder(path: Path) -> None:
    """Make a folder with all its parents, mode 0700 where new, on the disk before this returns."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as error:
        raise unusable(path, error) from None


def sync_folder(path: Path) -> None:
    """Bring the names in a folder onto the disk. A file system that cannot do this for folders is left as it is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def unusable(path: Path, error: OSError) -> RewindError:
    """What to say when the state directory cannot be read or written."""
    return InvalidInput(
        f"use {path}: {error.strerror or error}",
        code="state_unusable",
        hint="Set state_dir to a folder that this user may read and write and that has space left.",
    )


def write_file(path: Path, text: str) -> None:
    """Write a file, mode 0600, whole or not at all, on the disk before this returns. What was there is replaced.

    :raises InvalidInput: when the folder cannot be made or written.
    """
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise unusable(path, error) from None


@dataclass
class Lines:
    """What a file of JSON lines holds: the objects in order, and the numbers of the lines that are not whole."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    torn: list[int] = field(default_factory=list)


def read_lines(path: Path) -> Lines:
    """Read a file of JSON lines. A line torn by a crash or by a full disk is counted and left out.

    A file that does not exist is empty.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Lines()
    except OSError as error:
        raise unusable(path, error) from None
    return _parse(content)


def _parse(content: bytes) -> Lines:
    lines = Lines()
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            entry = json.loads(raw)
        except ValueError:
            entry = None
        if isinstance(entry, dict):
            lines.entries.append(entry)
        else:
            lines.torn.append(number)
    return lines


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[IO[bytes]]:
    """The file, opened for reading and appending, while no other process of this machine has it (flock).

    Made with mode 0600 where it does not exist. The kernel lets go of it when the process ends, however it ends.
    """
    make_folder(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise unusable(path, error) from None
    with os.fdopen(handle, "rb+", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise unusable(path, error) from None
        yield file


def append_line(path: Path, make: Callable[[Lines], Mapping[str, Any]]) -> dict[str, Any]:
    """Append one object as a line and bring file and folder onto the disk.

    :param make: gets what the file holds and returns the object; no other process appends between the two.
    :returns: the object as written.
    """
    is_new = not path.exists()
    with exclusive(path) as file:
        try:
            file.seek(0)
            content = file.read()
            entry = dict(make(_parse(content)))
            line = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"
            # A torn last line gets its own end, so that it cannot swallow the one that follows.
            _write(file, line if content.endswith(b"\n") or not content else b"\n" + line)
            os.fsync(file.fileno())
        except OSError as error:
            raise unusable(path, error) from None
    if is_new:
        sync_folder(path.parent)
    return entry


def add_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append one object as a line and bring it onto the disk, without reading what the file holds.

    For thousands of lines: `append_line` reads the file each time.
    """
    is_new = not path.exists()
    with exclusive(path) as file:
        try:
            line = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                # A torn last line gets its own end, so that it cannot swallow the one that follows.
                line = line if file.read(1) == b"\n" else b"\n" + line
            _write(file, line)
            os.fsync(file.fileno())
        except OSError as error:
            raise unusable(path, error) from None
    if is_new:
        sync_folder(path.parent)


def _write(file: IO[bytes], data: bytes) -> None:
    written = file.write(data)
    while written < len(data):
        data = data[written:]
        written = file.write(data)


class Guard:
    """Keeps secrets out of what is written (safety rule 8), by known value, by key, by look; counts what it masked."""

    def __init__(self, known: Masker | None = None) -> None:
        self._known = known or Masker()
        self.masked = 0

    def clean(self, value: Any, key: str = "") -> Any:
        """The same structure without secrets."""
        if isinstance(value, Mapping):
            return {str(name): self.clean(item, str(name)) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(item, key) for item in value]
        if not isinstance(value, str):
            return value
        is_secret = bool(value) and _SECRET_KEY.search(key) is not None
        cleaned = MASK if is_secret else _SECRET_TEXT.sub(MASK, self._known.text(value))
        self.masked += cleaned != value
        return cleaned
