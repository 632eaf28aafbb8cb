# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often an API may be asked, shared by all processes of this user on this machine.

Neon allows 700 requests a minute and account, and 40 a second and route; Coolify 200 a minute and user. Each request
reserves its instant in a file before it is sent, so that no 60 seconds hold more than allowed, however many forks and
runs there are. Tokens are not told apart: several may belong to one account, and the limit is the account's.
"""

from __future__ import annotations

import array
import bisect
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import _waiter
from ._process import boot_id

# Below the limit: a person at the web page and a request that was long under way must fit in as well.
_SHARE = 0.95
_MINUTE = 60.0
_NEON_PER_MINUTE, _NEON_PER_SECOND = 700, 40
# Nobody reserves further ahead; an entry beyond it is not one.
_FURTHEST = 600.0

FOLDER: Path | None = None
"""Where the files are; None for a folder of this user's below the system's temporary one."""


@dataclass(frozen=True)
class Limit:
    """At most so many requests in any span of so many seconds."""

    most: int
    seconds: float


def limits(service: str, per_minute: int) -> tuple[Limit, ...]:
    """What is kept to, for the limit that a service has."""
    found = (Limit(max(1, int(per_minute * _SHARE)), _MINUTE),)
    if service != "neon":
        return found
    # An account with a higher limit is taken to have a higher one for bursts too.
    burst = _NEON_PER_SECOND * max(1.0, per_minute / _NEON_PER_MINUTE)
    return (*found, Limit(max(1, int(burst * _SHARE)), 1.0))


class Shared:
    """The instants at which one service was asked, or will be, by anybody here.

    :param name: of the file: the same for all who share the limit.
    """

    def __init__(self, name: str, kept_to: tuple[Limit, ...]) -> None:
        self._name = f"{name}-{boot_id()[:8] or 'boot'}"
        self._limits = kept_to
        self._span = max(limit.seconds for limit in kept_to)

    def reserve(self, longest: float) -> float:
        """Reserve the next instant that fits, and return the seconds until then; 0 for now.

        What would be later than `longest` seconds from now is returned and not reserved. Reserved instants never
        decrease, so who asks first is first.

        :raises OSError: where the file cannot be used; nobody knows then what the others do.
        """
        with self._instants() as instants:
            # The machine's monotonic clock is the same for all of its processes, and nobody sets it.
            now = _waiter.CLOCK.monotonic()
            self._clean(instants, now)
            # Who has a lower limit may have reserved further ahead than this process would: its turn comes first.
            at = max(
                [now, *instants[-1:], *(instants[-x.most] + x.seconds for x in self._limits if len(instants) >= x.most)]
            )
            if at - now <= longest:
                instants.append(at)
        return at - now

    def fill(self, seconds: float) -> None:
        """Let nobody ask for so many seconds: the service says that the limit is reached, whoever has reached it."""
        with self._instants() as instants:
            now = _waiter.CLOCK.monotonic()
            self._clean(instants, now)
            limit = max(self._limits, key=lambda limit: limit.seconds)
            at = now + min(seconds, limit.seconds) - limit.seconds
            missing = limit.most - (len(instants) - bisect.bisect_left(instants, at))
            if missing > 0:
                instants.extend([at] * missing)
                instants[:] = array.array("d", sorted(instants))

    def _clean(self, instants: array.array[float], now: float) -> None:
        # What cannot be is from another start of the machine, or from a disk that was full; NaN is less than nothing.
        # The rest counts, in whatever order it came: to forget it would be to ask too often.
        instants[:] = array.array("d", sorted(instant for instant in instants if instant <= now + _FURTHEST))
        del instants[: bisect.bisect_right(instants, now - self._span)]

    @contextmanager
    def _instants(self) -> Iterator[array.array[float]]:
        """The instants in the file, written back afterwards, while no other process has it."""
        path = folder() / self._name
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            raw = os.read(handle, os.fstat(handle).st_size)
            instants: array.array[float] = array.array("d")
            instants.frombytes(raw[: len(raw) // 8 * 8])
            yield instants
            data = instants.tobytes()
            os.pwrite(handle, data, 0)
            os.ftruncate(handle, len(data))
        finally:
            os.close(handle)


def shared(service: str, base_url: str, per_minute: int) -> Shared:
    """The instants of a service, by its address."""
    place = hashlib.sha256(base_url.lower().encode()).hexdigest()[:12]
    return Shared(f"{service}-{place}", limits(service, per_minute))


def folder() -> Path:
    """The folder of the files: this user's, closed to all others.

    :raises OSError: where it is somebody else's, or open to others.
    """
    path = FOLDER or Path(tempfile.gettempdir()) / f"rewind-pace-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not a folder of this user's alone")
    return path
