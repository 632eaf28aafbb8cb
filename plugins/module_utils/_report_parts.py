# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a report that stand on their own: escaping for each form, and the tree of branches."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

# Control characters show as nothing or as garbage; direction marks let a name pretend to be another.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(?:Z\b|\+00:00(?!\d))")
_MARKDOWN = re.compile(r"([\\`*_\[\]!|~])")
# What would begin a list, a heading, a rule or a numbered item.
_MARKDOWN_START = re.compile(r"^([-+#=]|\d+(?=[.)](?:\s|$)))")


def escape_html(text: str) -> str:
    """Text that is safe between tags and inside a quoted attribute; control and direction characters are dropped."""
    return html.escape(_CONTROL.sub("", text), quote=True)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also in a table."""
    one_line = html.escape(" ".join(_CONTROL.sub("", text).split()), quote=False)
    return _MARKDOWN_START.sub(_escape_start, _MARKDOWN.sub(r"\\\1", one_line))


def _escape_start(found: re.Match[str]) -> str:
    """A digit cannot be escaped; the dot or bracket after it can, with a character that shows as nothing."""
    return f"{found[1]}&#8203;" if found[1].isdigit() else f"\\{found[1]}"


def markdown_code(text: str) -> str:
    """Text for one line of a fenced block: nothing is escaped in it, so what would end the block is replaced."""
    return " ".join(_CONTROL.sub("", text).split()).replace("`", "'")


def moment_text(text: str) -> str:
    """Every instant in UTC that stands in the text as people read it: `2025-01-13 14:25:00 UTC`."""
    return _MOMENT.sub(_moment, text)


def _moment(found: re.Match[str]) -> str:
    fraction = (found[3] or "").rstrip("0")
    return f"{found[1]} {found[2]}{fraction if fraction != '.' else ''} UTC"


def plain(text: str) -> str:
    return text


ESCAPES: Mapping[str, Callable[[str], str]] = {"html": escape_html, "markdown": escape_markdown, "json": plain}


def escaped(value: Any, escape: Callable[[str], str], key: str = "") -> Any:
    """The same structure with every text in it escaped; a command as what stands in a block of code. Keys stay."""
    if isinstance(value, str):
        in_block = key == "command" and escape is escape_markdown
        return markdown_code(value) if in_block else escape(str(value))
    if isinstance(value, Mapping):
        return {str(name): escaped(item, escape, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [escaped(item, escape) for item in value]
    return value


def nested(rows: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Branches inside their parents. A row whose parent is not listed, or that would hold itself, is a root."""
    nodes, parents = {}, {}
    for row in rows:
        key = str(row.get("id") or row.get("name"))
        nodes[key], parents[key] = _branch(row), str(row.get("parent_id") or "")
    roots = []
    for key, node in nodes.items():
        parent = parents[key]
        if parent in nodes and not _holds_itself(key, parents):
            nodes[parent]["children"].append(node)
        else:
            roots.append(node)
    return roots


def _holds_itself(key: str, parents: Mapping[str, str]) -> bool:
    seen: set[str] = set()
    current = key
    while current in parents and current not in seen:
        seen.add(current)
        current = parents[current]
    return current in seen


def _branch(row: Mapping[str, Any]) -> Json:
    marks = [str(mark) for mark in row.get("marks") or () if mark]
    flags = [flag for flag in ("default", "protected") if row.get(flag) is True]
    at = moment_text(str(row.get("parent_timestamp") or ""))
    return {
        "name": str(row.get("name") or row.get("id")),
        "marks": [
            *({"text": mark, "kind": _mark_kind(mark)} for mark in marks),
            *({"text": flag, "kind": "flag"} for flag in flags),
        ],
        "is_primary": "primary" in marks,
        "note": f"from {at}" if at else "",
        "children": [],
    }


def _mark_kind(mark: str) -> str:
    return {"primary": "primary", "new": "new", "source": "source", "old primary": "old"}.get(mark, "flag")
