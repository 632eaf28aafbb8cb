# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the demo lives: a sandbox, a connection file and logs of its own, apart from a sandbox that a user runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from demo.children import CLONE, Children
from demo.screen import Screen
from sandbox.settings import default_root

# What the services' clients and Ansible read: nothing that a shell has set may turn the demo to a real target.
_DROPPED = re.compile(r"(ANSIBLE|NEON|COOLIFY|REWIND|PG)[A-Z_]*$|DATABASE_URL$|PYTHON(PATH|HOME|STARTUP)$")
_KEPT = ("REWIND_SANDBOX_PG_BIN",)
_PHASE = re.compile(r"^ +(\d+\.\d) s (.+)$")


class DemoRuns(RuntimeError):
    """Another demo of this user runs from this clone."""


class Place:
    """The demo's folder. `root` is its sandbox's state folder; the logs stand beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "sandbox"
        self.connection_file = folder / "connection.json"
        self.log = folder / "demo.log"
        self.writer_log = folder / "writer.jsonl"
        self.writer_summary = folder / "writer.json"

    @classmethod
    def default(cls, environment: Mapping[str, str]) -> Place:
        """``$REWIND_DEMO_DIR``, else beside the usual state folder of this user's and clone's sandbox."""
        if chosen := environment.get("REWIND_DEMO_DIR"):
            return cls(Path(chosen).absolute())
        usual = default_root({})
        return cls(usual.with_name(f"{usual.name}-demo"))

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Makes the folder and holds it. Raises `DemoRuns`, or OSError where it cannot be made or is another's."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.is_symlink() or self.folder.stat().st_uid != os.geteuid():
            raise PermissionError(f"{self.folder} belongs to another user; set REWIND_DEMO_DIR to a folder of your own")
        # As root, PostgreSQL runs as another user, who must be able to pass.
        self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoRuns(f"a demo already runs in {self.folder}; wait for it or stop it") from None
            yield

    def environment(self, source: Mapping[str, str]) -> dict[str, str]:
        """What the commands get: the user's environment without what could lead to other targets."""
        kept = {name: value for name, value in source.items() if name in _KEPT or not _DROPPED.match(name)}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{source.get('PATH', os.defpath)}",
            "PYTHONPATH": str(CLONE),
            "PYTHONUNBUFFERED": "1",
            "REWIND_SANDBOX_DIR": str(self.root),
            "REWIND_SANDBOX_CONNECTION": str(self.connection_file),
            # Named, because Ansible ignores the file in a folder that everybody may write to.
            "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
        }

    def connection(self) -> dict[str, Any]:
        """The connection file's content."""
        return dict(json.loads(self.connection_file.read_text(encoding="utf-8")))

    def clear(self, children: Children) -> None:
        """Ends and removes what an earlier demo left; its ports and its empty cluster are kept."""
        for path in (self.log, self.writer_log, self.writer_summary):
            path.unlink(missing_ok=True)
        if self.root.exists():
            self.down(children)
            children.run([sys.executable, "-m", "sandbox", "reset"], "emptying the sandbox")

    def up(self, children: Children, screen: Screen) -> None:
        """Starts the sandbox with short build and start times and shows what it is doing."""
        shown = 0

        def watch() -> None:
            nonlocal shown
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            for line in lines[shown:]:
                if found := _PHASE.match(line):
                    screen.took(float(found[1]), found[2].replace("(0 progress rows each) ", ""))
            shown = len(lines)

        command = [sys.executable, "-m", "sandbox", "up", "--profile", "demo", "--rows", "0", "--new-ports"]
        children.run(command, "starting the sandbox", watch=watch)

    def down(self, children: Children) -> None:
        """Stops the sandbox. Its data stays."""
        children.run([sys.executable, "-m", "sandbox", "down"], "stopping the sandbox")

    def room(self) -> None:
        """Raises OSError when the disk is too full to begin."""
        free = shutil.disk_usage(self.folder).free
        if free < 1024**3:
            raise OSError(f"{self.folder} has only {free // 1024**2} MiB left; the demo needs 1 GiB")
