# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From env rows to the environment of a process, by way of the ``.env`` file that Coolify writes for compose.

Two programs take part: Coolify renders each row to ``KEY=text``, and compose's dotenv reader gives the text
its meaning. What surprises users (a backslash before a quote, a ``$`` that is gone, a comment after `` #``)
follows from the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from sandbox.coolify.state import Row, State

_SHARED = re.compile(r"\{\{(.*?)\}\}")
_SHARED_TYPES = ("team", "project", "environment", "server")
_ESCAPES = {"\\": "\\\\", "\r": "\\r", "\t": "\\t", "\0": "\\0", '"': '\\"', "'": "\\'"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# Compose's template: $$, $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?error}; else invalid.
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>[_a-zA-Z][_a-zA-Z0-9]*)"
    r"|\{(?P<braced>[_a-zA-Z][_a-zA-Z0-9]*)(?:(?P<operator>:?[-?+])(?P<word>[^}]*))?\}|(?P<invalid>))"
)


class DotenvError(ValueError):
    """The ``.env`` file cannot be read by compose. The text names the line, never a value."""


def is_shared(value: str | None) -> bool:
    """Whether a value is a reference to a shared variable."""
    return bool(value and re.fullmatch(r"\{\{\s*(team|project|environment|server)\..*\}\}", value, re.DOTALL))


def shared_values(state: State, application: Row) -> dict[str, str]:
    """``team.KEY`` and so on with their values, as this application sees them."""
    owners = {
        "team": "team",
        "project": application.get("project"),
        "environment": application.get("environment"),
        "server": application.get("server"),
    }
    found: dict[str, str] = {}
    for row in state.data["shared"]:
        if owners.get(row["type"]) == row["owner"]:
            found.setdefault(f"{row['type']}.{row['key']}", row["value"] or "")
    return found


def resolve_shared(value: str, shared: Mapping[str, str]) -> str:
    """Replaces ``{{team.KEY}}``; a reference to nothing stays as it is."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        kind, _, _ = name.partition(".")
        return shared.get(name, match.group(0)) if kind in _SHARED_TYPES else match.group(0)

    return _SHARED.sub(replace, value.strip())


def real_value(row: Row, shared: Mapping[str, str]) -> str | None:
    """What Coolify writes behind ``KEY=``, and returns as ``real_value``."""
    if row["value"] is None:
        return None
    value = resolve_shared(str(row["value"]), shared)
    if _is_json_container(value):
        return value
    if row["is_literal"] or row["is_multiline"]:
        return f"'{value}'"  # a ' inside is not escaped: Coolify does not, either
    return "".join(_ESCAPES.get(letter, letter) for letter in value)


def _is_json_container(value: str) -> bool:
    if not value.startswith(("{", "[")):
        return False
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def render(rows: list[Row], shared: Mapping[str, str], coolify: Mapping[str, str]) -> str:
    """The text of the ``.env`` file: Coolify's own variables, then the runtime rows in their order.

    Preview rows are left out: they belong to deployments of pull requests.
    """
    lines = [f"{key}={value}" for key, value in coolify.items()]
    used = [row for row in rows if not row["is_preview"]]
    lines += [f"{row['key']}={real_value(row, shared) or ''}" for row in used if row["is_runtime"]]
    keys = {row["key"] for row in used}
    if "PORT" not in keys:
        lines.append("PORT=3000")
    if "HOST" not in keys:
        lines.append("HOST=0.0.0.0")
    return "\n".join(lines) + "\n"


def read_dotenv(text: str) -> dict[str, str]:
    """Reads a ``.env`` file as compose does. The last line of a key wins. Raises `DotenvError`."""
    found: dict[str, str] = {}
    rest = text
    line = 1
    while rest := _skip_blank(rest):
        key, mark, rest = rest.partition("=")
        if not mark or not _NAME.fullmatch(key.strip().removeprefix("export ").strip()):
            raise DotenvError(f"line {line}: unexpected character in variable name")
        value, rest, lines = _value(rest, found, line)
        found[key.strip().removeprefix("export ").strip()] = value
        line += lines
    return found


def _skip_blank(text: str) -> str:
    text = text.lstrip()
    while text.startswith("#"):
        text = text.partition("\n")[2].lstrip()
    return text


def _value(text: str, known: Mapping[str, str], line: int) -> tuple[str, str, int]:
    text = text.lstrip(" \t")
    if text[:1] in ("'", '"'):
        return _quoted(text, known, line)
    value, _, rest = text.partition("\n")
    value = value.partition(" #")[0].rstrip()
    return expand(value, known, line), rest, 1


def _quoted(text: str, known: Mapping[str, str], line: int) -> tuple[str, str, int]:
    quote, letters, escaped = text[0], [], False
    for index, letter in enumerate(text[1:], start=1):
        if letter != quote:
            if not escaped and letter == "\\":
                escaped = True
                continue
            letters.append("\\" + letter if escaped else letter)
            escaped = False
        elif escaped:
            letters.append(letter)
            escaped = False
        else:
            value = "".join(letters)
            if quote == '"':
                value = expand(value.replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\"), known, line)
            return value, text[index + 1 :], 1 + value.count("\n")
    raise DotenvError(f"line {line}: unterminated quoted value")


def expand(value: str, known: Mapping[str, str], line: int = 0) -> str:
    """Compose's interpolation: what is not known is empty, ``$$`` is ``$``, a ``$`` before anything else an error."""

    def replace(match: re.Match[str]) -> str:
        if match.group("escaped"):
            return "$"
        name = match.group("named") or match.group("braced")
        if name is None:
            raise DotenvError(f"line {line}: invalid template")
        word, operator = match.group("word") or "", match.group("operator") or ""
        current = known.get(name)
        present = bool(current) if operator.startswith(":") else current is not None
        if operator.endswith("?") and not present:
            raise DotenvError(f"line {line}: required variable {name} is missing a value")
        if operator.endswith("-"):
            return (current or "") if present else word
        if operator.endswith("+"):
            return word if present else ""
        return current or ""

    return _VARIABLE.sub(replace, value)
