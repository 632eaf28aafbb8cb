# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ids of what does not exist yet: check mode answers with them, every id option accepts them, no API sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ._errors import InvalidInput

PREFIX = "predicted:"
_ANYWHERE = re.compile(r"(?:^|[/=&?])predicted:[a-z_]+/")


def predicted(kind: str, name: str) -> str:
    """The id that something of this kind and name would get: ``predicted:branch/backup-20250113-143000``."""
    return f"{PREFIX}{kind}/{name}"


def is_predicted(value: object) -> bool:
    """Whether this is the id of something that does not exist yet."""
    return isinstance(value, str) and value.startswith(PREFIX)


def not_made_yet(text: str) -> InvalidInput:
    """The error of using such an id outside of check mode.

    :param text: what could not be done, and that what it names does not exist yet.
    """
    return InvalidInput(text, code="predicted_id", hint="The id comes from a task that ran in check mode.")


def predicted_in(value: Any) -> str | None:
    """The first predicted id found in a path, a text, a list or a dictionary, at any depth; else None."""
    if isinstance(value, str):
        text = unquote(value)
        return text if _ANYWHERE.search(text) else None
    if isinstance(value, Mapping):
        parts: list[Any] = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    else:
        return None
    return next((found for part in parts if (found := predicted_in(part)) is not None), None)
