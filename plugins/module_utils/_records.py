# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The logs beside the journals: catalogue of branches (rule 12), backups, drills, incidents; one JSON line a record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._errors import InvalidInput
from ._state import Guard, add_line, append_line, read_lines
from ._time import rfc3339, utc_now

try:
    import jmespath
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True

LOGS = ("catalogue", "backups", "drills", "incidents")


def append(
    root: Path, log: str, record: Mapping[str, Any], *, write: bool = True, guard: Guard | None = None
) -> dict[str, Any]:
    """Add a record; ``at`` (UTC) is added where it has none. On the disk before this returns.

    :param write: false in check mode: the record is returned as it would be written.
    """
    cleaned: dict[str, Any] = (guard or Guard()).clean({"at": rfc3339(utc_now()), **record})
    return append_line(path_of(root, log), lambda _before: cleaned) if write else cleaned


def add(root: Path, log: str, record: Mapping[str, Any], *, guard: Guard | None = None) -> None:
    """The same without reading the log, for one of thousands of records."""
    add_line(path_of(root, log), (guard or Guard()).clean({"at": rfc3339(utc_now()), **record}))


def read(
    root: Path, log: str, *, merge_by: str | None = None, extra: Mapping[str, Any] | None = None
) -> tuple[list[dict[str, Any]], list[int]]:
    """All records, oldest first, and the numbers of lines that were torn.

    :param merge_by: a key; records with the same value of it become one, later keys over earlier ones, in the order in
        which each was seen first. Records without the key are left out.
    :param extra: a record that check mode would have written.
    """
    lines = read_lines(path_of(root, log))
    if extra is not None:
        lines.entries.append(dict(extra))
    if merge_by is None:
        return lines.entries, lines.torn
    merged: dict[str, dict[str, Any]] = {}
    for entry in lines.entries:
        if entry.get(merge_by) is not None:
            key = str(entry[merge_by])
            merged[key] = {**merged.get(key, {}), **entry}
    return list(merged.values()), lines.torn


def path_of(root: Path, log: str) -> Path:
    """The file of a log."""
    if log not in LOGS:
        raise InvalidInput(f'use the log "{log}": there is none of that name', hint=f"Use {', '.join(LOGS)}.")
    return root / f"{log}.jsonl"


def search(expression: str, value: Any) -> Any:
    """Evaluate a JMESPath expression.

    :raises InvalidInput: when the expression is wrong, or the library is not there.
    """
    if not HAS_JMESPATH:
        raise InvalidInput(
            f'evaluate the JMESPath "{expression}": the Python library jmespath is missing',
            code="missing_library",
            hint="Install jmespath into the Python that runs ansible-playbook.",
        )
    try:
        return jmespath.search(expression, value)
    except jmespath.exceptions.JMESPathError as error:
        raise InvalidInput(
            f'evaluate the JMESPath "{expression}": {error}', hint="See jmespath.org for the language."
        ) from None
