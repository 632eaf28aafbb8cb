# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state folder: made, recognised and emptied here, so that no other folder is ever emptied by mistake."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from sandbox.store import Store

MARK = "rewind-sandbox"
ENGINE_KEPT = ("cloud_admin_password",)
# What a reset keeps: these cost time to make again, or are the user's.
KEPT_FILES = {MARK, "lock", "settings.json", "store.json", "daemon.log", "pg", "template", "tls"}


class NotOurs(RuntimeError):
    """A folder that cannot be used as the state folder; the text says why and what to do."""


def make_root(root: Path) -> None:
    """Makes the state folder, or takes the one that is there when it is a sandbox's and the user's own.

    Other users may pass through it when the daemon runs as root, because postgres then runs as another user.
    Raises `NotOurs`.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotOurs(f"{error.filename}: {error.strerror}; set REWIND_SANDBOX_DIR to a folder of your own") from None
    if root.is_symlink() or root.stat().st_uid != os.geteuid():
        raise NotOurs(f"{root} belongs to another user; set REWIND_SANDBOX_DIR to a folder of your own")
    if not (root / MARK).exists():
        if any(root.iterdir()):
            raise NotOurs(f"{root} holds other files; set REWIND_SANDBOX_DIR to an empty or new folder")
        (root / MARK).write_text(
            "State of a Rewind sandbox. bin/sandbox reset empties this folder.\n", encoding="utf-8"
        )
    root.chmod(0o711 if os.geteuid() == 0 else 0o700)


def empty_root(root: Path, store: Store) -> None:
    """Deletes data, applications and journals; keeps settings, ports, tokens, the log and what is costly to make."""
    if not (root / MARK).exists():
        raise NotOurs(f"{root} is not a sandbox's folder; nothing was deleted")
    for path in root.iterdir():
        if path.name in KEPT_FILES:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    engine = store.section("engine")
    # The empty cluster that is kept for new projects has this password inside.
    store.data["engine"] = {name: engine[name] for name in ENGINE_KEPT if name in engine}
    store.clear(keep=("ports", "tokens", "engine"))


def forget_connection(root: Path, connection_file: Path) -> None:
    """Removes the files that say where a daemon is, when they speak of this root's."""
    for path in (connection_file, root / "daemon.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(path.read_text(encoding="utf-8")).get("root") == str(root):
                path.unlink()


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
