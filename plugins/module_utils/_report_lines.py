# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of an audit, as a report shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._report_parts import moment_text

Json = dict[str, Any]

_KINDS = {"OK": "good", "WARN": "open", "FAILED": "bad"}


def lines_part(data: Mapping[str, Any]) -> Json:
    """The lines with the class of their status, and which of them explain what a person may see."""
    lines = [line for line in data.get("lines") or () if isinstance(line, Mapping)]
    titles = {str(line.get("id")): str(line.get("title") or line.get("id") or "") for line in lines}
    symptoms = [item for item in data.get("symptoms") or () if isinstance(item, Mapping) and item.get("causes")]
    return {
        "rows": [_row(line) for line in lines],
        "symptoms": [
            {
                "title": str(item.get("title") or item.get("id") or ""),
                "causes": ", ".join(titles.get(str(cause), str(cause)) for cause in item["causes"]),
            }
            for item in symptoms
        ],
    }


def _row(line: Mapping[str, Any]) -> Json:
    status = str(line.get("status") or "unknown")
    shown = {key: moment_text(str(line.get(key) or "")) for key in ("title", "found", "expected", "what_to_do")}
    return {**shown, "status": status, "kind": _KINDS.get(status, "open")}
