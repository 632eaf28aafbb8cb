# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What postgres_salvage does, from a task's options to its result. No value of any row is in that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import InvalidInput
from .._task import Task
from . import salvage
from .access import Access, limits
from .salvage_file import put_together, refuse_other, sections_beside

SIDES = ("base", "old", "new")


def salvage_data(task: Task) -> dict[str, Any]:
    """Compare the three states and write the file.

    :raises InvalidInput: when the file cannot be written where it is wanted.
    :raises Refused: when a file with another content is there.
    """
    path = Path(str(task.params["path"])).expanduser()
    result: dict[str, Any] = {"changed": True, "path": str(path), "salvage": None}
    if not path.parent.is_dir():
        raise InvalidInput(
            f"write {path}: the folder {path.parent} does not exist", hint="Make it, or name another file."
        )
    refuse_other(path, task.params["title"])
    addresses = []
    for side in SIDES:
        address = Access(task, name=side).address(pooled=False)
        if isinstance(address, str):
            return {**result, "skipped_reason": address}
        addresses.append(address)
    if task.check_mode:
        return {**result, "skipped_reason": "a check compares no rows"}
    draft = task.params["draft"]
    with sections_beside(path, Path(str(draft)).expanduser() if draft else None) as sections:
        found = salvage.take(salvage.Sides(*addresses), sections, limits(task), task.progress).as_dict()
        result["salvage"] = found
        result["changed"] = put_together(sections, header(task.params["title"], found, path), path)
    result["bytes"] = path.stat().st_size
    return result


def header(title: Sequence[str], found: Mapping[str, Any], path: Path) -> list[str]:
    """What a person reads first. Nothing in it differs from run to run over the same data."""
    total = found["total"]
    lines = [
        *title,
        f"{total['inserted']} rows inserted, {total['changed']} changed, {total['deleted']} deleted on the old side;",
        f"of these {total['conflicts']} in conflict and {total['already_there']} already like that on the new side.",
        "",
    ]
    lines += [f"  {name}: {counts_text(counts)}" for name, counts in found["tables"].items() if _any(counts)]
    lines += [f"  NOT HERE {name}: {reason}" for name, reason in found["skipped"].items()]
    lines += [f"  sequence {name}: at least {value}" for name, value in found["sequences"].items()]
    lines += [f"  BY HAND {text}" for text in found["by_hand"]]
    if found["triggers"]:
        lines += [
            f"  triggers and rules are disabled meanwhile on: {', '.join(found['triggers'])}",
            f"  Only the owner of these tables may do that: {', '.join(found['owners'])}. Who writes to them waits.",
            "  What they did on the old side is in this file, but for tables that are NOT HERE and rows in CONFLICT:",
            "  look there for counters and logs that must be set by hand. To let one of them do its work again for",
            "  these rows, delete the two ALTER TABLE that name it.",
        ]
    lines += [
        "",
        "Conflicts are marked CONFLICT and commented out: the new side keeps what it has. Read them, then apply with",
        f"  PGSERVICE=NAME psql -X -v ON_ERROR_STOP=1 -f {path.name}",
        "NAME is a section of ~/.pg_service.conf, and the password stands in ~/.pgpass (or PGPASSFILE): what stands on",
        "a command line can be read by others. The file is one transaction. A row that was changed in the meantime is",
        "left alone, and one that something else still refers to is not deleted. Where another row has taken the key",
        "of one that is inserted here, nothing at all is changed: make the file again. Twice does no harm.",
    ]
    return lines


def counts_text(counts: Mapping[str, int]) -> str:
    """The counts of a table in words."""
    shown = [f"{counts[name]} {name.replace('_', ' ')}" for name in counts if counts[name]]
    return ", ".join(shown) or "nothing"


def _any(counts: Mapping[str, int]) -> bool:
    return any(counts.values())
