# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the repository, and copies of them where a tool wants a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.sandbox import CLONE


def tracked(*patterns: str) -> list[Path]:
    """The files that are in the repository, or would be with the next commit; of these patterns only, if any."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", *patterns],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [CLONE / name for name in listed.split("\0") if name and (CLONE / name).is_file()]


def copy_tree(target: Path, *patterns: str) -> Path:
    """Copies `tracked` files to a folder and returns that."""
    for path in tracked(*patterns):
        copied = target / path.relative_to(CLONE)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copied)
    return target
