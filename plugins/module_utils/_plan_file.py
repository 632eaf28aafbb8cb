# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a plan on the disk: what the module plan_file does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ._errors import InvalidInput
from ._plan.document import check_said, document, read_document
from ._secrets import keyed_hash
from ._state import Guard, state_dir, write_file
from ._task import Task

# Hashed with the key of a state directory, it tells whether two plans' hashes can be compared.
_MARK = "rewind plan file"


def plan_file(task: Task) -> dict[str, Any]:
    """Write a plan to its file, or read it again."""
    params = task.params
    path = Path(params["path"]).expanduser()
    mark = keyed_hash(_MARK, state_dir(params["state_dir"]), write=not task.check_mode)
    if params["action"] == "read":
        found = read_document(_text(path), path.name, params["target"], mark)
        check_said(params["said"], found["inputs"], path.name, params["explicit"])
        return {"file": str(path), "written": False, "inputs": found["inputs"], "bound_to": found["bound_to"]}
    made = Guard().clean(document(params["plan"], params["said"], mark))
    if not task.check_mode:
        write_file(path, json.dumps(made, ensure_ascii=False, indent=2) + "\n")
    return {
        "file": str(path),
        "written": not task.check_mode,
        "inputs": made["inputs"],
        "bound_to": made["bound_to"],
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidInput(
            f"read the plan {path}: {reason}", hint="Name the file that playbooks/plan.yml -e out=<file> has written."
        ) from None
