# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env rows: reading them, planning a change that loses neither a flag nor a value, writing it and proving it.

A PATCH in Coolify is not a partial update (every version up to 4.3.11, coollabsio/coolify#9977): an omitted value is
wiped, an omitted ``is_literal`` becomes false, an omitted ``is_multiline`` of a row that has it is an SQL error. So
rows are read first, and every flag is sent back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._errors import InvalidInput, Refused
from .values import altered, arriving, shared_references, stored
from .versions import Version

# What Coolify gives a new row, so that a new row is written as completely as an old one.
FLAG_DEFAULTS: dict[str, bool] = {
    "is_literal": False,
    "is_multiline": False,
    "is_shown_once": False,
    "is_runtime": True,
    "is_buildtime": True,
}
FLAGS = (*FLAG_DEFAULTS, "comment")

Identity = tuple[str, bool]


@dataclasses.dataclass(frozen=True)
class Row:
    """One env row as Coolify answered it.

    :param readable: false when the answer has no value at all: a locked row since 4.2.0, or a token without
        ``read:sensitive``. A readable row without content has the value None.
    """

    uuid: str
    key: str
    is_preview: bool
    flags: Mapping[str, Any]
    is_shared: bool
    readable: bool
    value: str | None = dataclasses.field(repr=False)
    # What the container gets: escaped, and with shared variables put in. Good for nothing but taking it out of logs.
    resolved: str | None = dataclasses.field(repr=False, default=None, compare=False)
    created_at: str | None = None
    updated_at: str | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Row:
        """What was set is ``value``; ``real_value`` is the escaped and resolved form."""
        flags: dict[str, Any] = {
            name: default if body.get(name) is None else bool(body[name]) for name, default in FLAG_DEFAULTS.items()
        }
        flags["comment"] = body.get("comment")
        value = body.get("value")
        return cls(
            uuid=str(body.get("uuid") or ""),
            key=str(body.get("key") or ""),
            is_preview=bool(body.get("is_preview")),
            flags=flags,
            is_shared=bool(body.get("is_shared")) or bool(shared_references(value)),
            readable="value" in body,
            value=None if value is None else str(value),
            resolved=str(body["real_value"]) if body.get("real_value") is not None else None,
            created_at=body.get("created_at"),
            updated_at=body.get("updated_at"),
        )

    @property
    def identity(self) -> Identity:
        return (self.key, self.is_preview)

    @property
    def locked(self) -> bool:
        return bool(self.flags["is_shown_once"])


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A row as it shall be. A flag that is not in `flags` keeps what the row has.

    :param as_stored: the value is built on one that Coolify held already, so it is written as it is.
    :param expected_hash: refuse when the row's value no longer has this keyed hash.
    """

    key: str
    is_preview: bool
    value: str = dataclasses.field(repr=False)
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    as_stored: bool = False
    expected_hash: str | None = None

    @property
    def identity(self) -> Identity:
        return (self.key, self.is_preview)


@dataclasses.dataclass(frozen=True)
class Change:
    """What happens to one row. `value` is what will stand in it; `before` is None for a new row."""

    identity: Identity
    before: Row | None
    value: str | None = dataclasses.field(repr=False)
    flags: Mapping[str, Any]
    changed: bool
    warnings: tuple[str, ...] = ()

    def body(self, version: Version) -> dict[str, Any]:
        """The row for the bulk write: everything, always. ``comment`` only where the version knows it."""
        sent = {"key": self.identity[0], "value": self.value, "is_preview": self.identity[1], **self.flags}
        if not version.accepts_comment:
            sent.pop("comment", None)
        return sent

    def stands_in(self, rows: Iterable[Row], *, doubtful: bool = False) -> bool | None:
        """Whether these rows have it as written; None when the row cannot be read and so nothing can be proved.

        :param doubtful: the answer to the write was lost.
        """
        row = next((row for row in rows if row.identity == self.identity), None)
        if row is None or any(row.flags[name] != self.flags[name] for name in FLAGS):
            return False
        if row.readable:
            return row.value == self.value
        # Nobody can read it: after a lost answer it was at least touched when Coolify says a later time than before.
        untouched = self.before is not None and row.updated_at == self.before.updated_at
        return False if doubtful and untouched else None


def texts_of(rows: Iterable[Row]) -> list[str]:
    """All that may be seen of the rows' values in a log."""
    return [text for row in rows for text in (row.value, row.resolved) if text]


def read_rows(bodies: Iterable[Mapping[str, Any]]) -> list[Row]:
    return [Row.read(body) for body in bodies]


def by_identity(rows: Iterable[Row]) -> dict[Identity, list[Row]]:
    """Rows by key and ``is_preview``: a production row and its preview copy are two different variables."""
    found: dict[Identity, list[Row]] = {}
    for row in rows:
        found.setdefault(row.identity, []).append(row)
    return found


def name_of(identity: Identity) -> str:
    return f"{identity[0]} (preview)" if identity[1] else identity[0]


def only_row(rows: Sequence[Row], identity: Identity, verb: str) -> Row | None:
    """The row of this identity, if there is one.

    :raises Refused: when there are several: the API changes only the first and the last one wins in the container.
    """
    found = by_identity(rows).get(identity, [])
    if len(found) > 1:
        listed = ", ".join(row.uuid for row in found)
        raise Refused(
            f"{verb} {name_of(identity)}: the application has {len(found)} rows of this name (uuids {listed})",
            code="duplicate_rows",
            hint="Delete all but one in Coolify's UI, or by uuid over its API, and run this again.",
        )
    return found[0] if found else None


@dataclasses.dataclass(frozen=True)
class Permissions:
    """What the user allows beyond the safe case."""

    overwrite_locked: bool = False
    allow_shared: bool = False


def plan_present(rows: Sequence[Row], wanted: Wanted, permissions: Permissions) -> Change:
    """What it takes to make a row as wanted.

    :raises Refused: for a duplicate, locked, shared or unreadable row, unless allowed.
    :raises InvalidInput: for a value that the row cannot carry.
    """
    before = only_row(rows, wanted.identity, "set")
    defaults: dict[str, Any] = {**FLAG_DEFAULTS, "comment": None}
    kept = dict(before.flags) if before is not None else defaults
    flags = {**kept, **{name: value for name, value in wanted.flags.items() if value is not None}}
    # As Coolify does: an empty text becomes null.
    flags["comment"] = stored(flags["comment"])
    literal = bool(flags["is_literal"] or flags["is_multiline"])
    value = wanted.value if wanted.as_stored else arriving(wanted.value, literal=literal, key=wanted.key)
    value_stored = stored(value)
    warnings = _warnings(wanted, value_stored, literal, permissions)
    if before is not None:
        warnings += _admit(before, value_stored, permissions)
    changed = (
        before is None
        or not before.readable
        or before.value != value_stored
        or any(before.flags[name] != flags[name] for name in FLAGS)
    )
    return Change(wanted.identity, before, value_stored, flags, changed, tuple(warnings))


def _warnings(wanted: Wanted, value: str | None, literal: bool, permissions: Permissions) -> list[str]:
    name = name_of(wanted.identity)
    references = shared_references(value)
    if references and not permissions.allow_shared:
        raise InvalidInput(
            f"set {name}: Coolify would replace {', '.join(references)} in the value by a shared variable",
            hint="Set allow_shared to true where that is meant.",
        )
    warnings = [f"{name}: {reason}." for reason in altered(value or "", literal=literal)]
    if value != (wanted.value or None) and wanted.value != wanted.value.strip():
        warnings.append(f"{name}: Coolify trims the white space at the ends of the value.")
    return warnings


def _admit(before: Row, value: str | None, permissions: Permissions) -> list[str]:
    """Refuse to overwrite what must not be, or cannot be seen; return what there is to warn about."""
    name = name_of(before.identity)
    if not before.readable:
        if not before.locked:
            raise unreadable(before)
        if not permissions.overwrite_locked:
            raise Refused(
                f"set {name}: the row is locked, so its value cannot be read and could not be put back",
                code="locked_row",
                hint="Set overwrite_locked to true when you have the old value elsewhere, or unlock the row: "
                "delete it in Coolify and create it again without the lock.",
            )
        return [f"{name}: the row is locked: it is written each time, and what was written cannot be read back."]
    if before.is_shared and before.value != value and not permissions.allow_shared:
        references = ", ".join(shared_references(before.value)) or "a shared variable"
        raise Refused(
            f"set {name}: the row takes its value from {references}, and writing to it would cut that link",
            code="shared_row",
            hint="Change the shared variable instead, or set allow_shared to true.",
        )
    return []


def locked(row: Row) -> Refused:
    """The row is locked: since 4.2.0 nobody is shown its value."""
    return Refused(
        f"read {name_of(row.identity)}: the row is locked, so Coolify shows its value to nobody",
        code="locked_row",
        hint="Delete the row in Coolify and create it again without the lock.",
    )


def unreadable(row: Row) -> Refused:
    """The value of a row that is not locked was left out of the answer: the token may not see it."""
    return Refused(
        f"read {name_of(row.identity)}: Coolify does not show values to this token",
        code="values_hidden",
        hint="Use a token with the ability read:sensitive (or root) of a user who is an admin or owner of the team. "
        "Without the value a row cannot be changed safely.",
    )
