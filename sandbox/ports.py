# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loopback ports: picking free ones, and saying who has one that is taken."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

# Below the range from which kernels take ports for outgoing connections, so that a kept port stays free.
PORT_RANGE = (20000, 32000)
# Sandboxes that run beside each other and are killed keep their ports only where no other one may pick them.
RANGE_VARIABLE = "REWIND_SANDBOX_PORTS"
LISTENING = "0A"


class PortTaken(OSError):
    """A port that this sandbox keeps is in use by another program. The text says which and what to do."""


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def port_range() -> tuple[int, int]:
    """The ports to pick from: ``$REWIND_SANDBOX_PORTS``, written ``first-last``, else those below the kernels' own.

    Raises `PortTaken` for a range that is none.
    """
    chosen = os.environ.get(RANGE_VARIABLE)
    if not chosen:
        return PORT_RANGE
    first, _, last = chosen.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) < int(last) <= 65535):
        raise PortTaken(errno.EINVAL, f"{RANGE_VARIABLE}={chosen}: write it as first-last, between 1024 and 65535")
    return int(first), int(last) + 1


def pick_port(*, taken: Collection[int] = ()) -> int:
    """A loopback port on which nobody listens.

    Not seeded: two sandboxes with one seed would pick the same ones.
    """
    choose, (first, end) = random.SystemRandom(), port_range()
    for _ in range(2000):
        port = choose.randrange(first, end)
        if port not in taken and port_is_free(port):
            return port
    raise PortTaken(errno.EADDRINUSE, f"no free port between {first} and {end - 1}")


def taken_ports(ports: Mapping[str, int]) -> dict[str, int]:
    """Those of the named ports that cannot be listened on now."""
    return {name: port for name, port in ports.items() if not port_is_free(port)}


def require_free(ports: Mapping[str, int]) -> None:
    """Raises `PortTaken` naming every port that is in use, its owner where that can be found, and the way out."""
    if taken := taken_ports(ports):
        lines = [f"port {port} ({name}) is used by {owner(port)}" for name, port in taken.items()]
        raise PortTaken(
            errno.EADDRINUSE,
            "; ".join(lines) + ". End that program, or let the sandbox pick others: bin/sandbox up --new-ports",
        )


def owner(port: int) -> str:
    """Who listens on a port, as far as this user may know (Linux); else how to find out."""
    inodes = set(_listening_inodes(port))
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    command = (process / "comm").read_text(encoding="utf-8").strip()
                    return f"process {process.name} ({command})"
    return f"another program (lsof -nP -iTCP:{port} shows it)"


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(f"socket:[{fields[9]}]")
    return found
