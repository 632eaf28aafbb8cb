# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module coolify_application_env: from options to a plan of rows, one write, and a result without values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .._connection import ConnectionString, hash_of, resolve
from .._errors import InvalidInput, Refused
from .._neon.client import NeonClient
from .._neon.client import client_for as neon_client_for
from .._predicted import predicted
from .._task import Task
from .applications import Json, connection_view
from .client import CoolifyClient
from .environment import delete, preview_copies, row_value, write
from .rows import FLAGS, Change, Identity, Permissions, Row, Wanted, name_of, only_row, plan_present, read_rows

_STATE_ABSENT = "absent"


@dataclasses.dataclass
class _Item:
    """One variable of the task and what becomes of it. `string` is set where a branch is only predicted."""

    identity: Identity
    change: Change | None = None
    doomed: Row | None = None
    string: ConnectionString | None = None


class Variables:
    """Carries out one task of coolify_application_env."""

    def __init__(self, client: CoolifyClient, task: Task) -> None:
        self._client = client
        self._task = task
        self._application = str(task.params["application"])
        self._neon: NeonClient | None = None

    def run(self) -> Json:
        """Plan everything before anything is written, so that a refusal leaves all rows as they are."""
        options: list[Mapping[str, Any]] = self._task.params["variables"]
        self._once_each(options)
        before = read_rows(self._client.environment(self._application))
        if self._task.params["state"] == _STATE_ABSENT:
            return self._absent(options, before)
        self._client.version.require_flags(f"write the environment of application {self._application}")
        return self._present([self._plan(option, before) for option in options], before)

    def _once_each(self, options: Sequence[Mapping[str, Any]]) -> None:
        identities = [_identity(option) for option in options]
        twice = sorted({name_of(identity) for identity in identities if identities.count(identity) > 1})
        if twice:
            raise InvalidInput(f"set variables of application {self._application}: {', '.join(twice)} is named twice")

    # -- present -------------------------------------------------------------------------------------------------

    def _plan(self, option: Mapping[str, Any], before: Sequence[Row]) -> _Item:
        identity = _identity(option)
        item = _Item(identity)
        value, as_stored = option.get("value"), False
        if option.get("connection") is not None:
            if value is not None:
                raise InvalidInput(f"set {name_of(identity)}: value and connection exclude each other")
            if option["connection"].get("at") or option["connection"].get("lsn"):
                raise InvalidInput(
                    f"set {name_of(identity)}: a connection to the past is read only", hint="Leave at and lsn out."
                )
            item.string = self._string(option["connection"])
            if item.string.predicted:
                row = only_row(before, identity, "set")
                self._expect(option, row)
                return item
            value = item.string.value
            as_stored = self._stood_here(option["connection"], identity)
        if value is None:
            raise InvalidInput(f"set {name_of(identity)}: neither value nor connection is given")
        flags = {name: option[name] for name in FLAGS if option.get(name) is not None}
        if not self._client.version.accepts_comment and flags.pop("comment", None):
            self._task.warn(f"{name_of(identity)}: Coolify {self._client.version} takes no comments over its API.")
        wanted = Wanted(*identity, str(value), flags, as_stored, option.get("expected_hash"))
        permissions = Permissions(self._may_overwrite(option), self._task.params["allow_shared"])
        item.change = plan_present(before, wanted, permissions)
        if item.change.changed:
            self._expect(option, item.change.before)
        for text in item.change.warnings:
            self._task.warn(text)
        return item

    def _may_overwrite(self, option: Mapping[str, Any]) -> bool:
        return bool(self._task.params["overwrite_locked"] or option.get("overwrite_locked"))

    def _stood_here(self, connection: Mapping[str, Any], identity: Identity) -> bool:
        """Whether the string is built on this very row's: what is escaped in it was escaped for the row's flags."""
        if connection.get("template"):
            return True
        base = (connection.get("application"), connection.get("env_key"), bool(connection.get("is_preview")))
        return base == (self._application, *identity)

    def _string(self, connection: Mapping[str, Any]) -> ConnectionString:
        if self._neon is None:
            self._neon = neon_client_for(self._task)
        return resolve(connection, self._neon, row_value(self._client), task=self._task)

    def _expect(self, option: Mapping[str, Any], row: Row | None) -> None:
        """Stop when the row is no longer what the caller had seen (rule 21)."""
        expected = option.get("expected_hash")
        if expected is None:
            return
        found = None if row is None or row.value is None else hash_of(row.value, self._task)
        if found != expected:
            raise Refused(
                f"set {name_of(_identity(option))}: the row was changed by somebody else (its hash is "
                f"{found or 'none'}, not {expected})",
                code="row_changed",
                hint="Read the application again and decide anew.",
            )

    def _present(self, items: list[_Item], before: Sequence[Row]) -> Json:
        changes = [item.change for item in items if item.change is not None and item.change.changed]
        waiting = [item for item in items if item.change is None]
        after: Sequence[Row] = before
        unproven: Sequence[Change] = ()
        if waiting and not self._task.check_mode:
            raise InvalidInput(
                f"set {name_of(waiting[0].identity)}: the branch of its connection does not exist yet",
                hint="The id comes from a task that ran in check mode.",
            )
        if changes and not self._task.check_mode:
            written = write(self._client, self._application, changes)
            after, unproven = written.rows, written.unproven
        copies = preview_copies(before, after, changes)
        views = [self._view(item, before, after, unproven, copies) for item in items]
        return self._result(views, after if changes else before)

    def _view(
        self,
        item: _Item,
        before: Sequence[Row],
        after: Sequence[Row],
        unproven: Sequence[Change],
        copies: Mapping[str, str],
    ) -> Json:
        old = next((row for row in before if row.identity == item.identity), None)
        new = next((row for row in after if row.identity == item.identity), None)
        change = item.change
        changed = True if change is None else change.changed
        if change is None:
            # The branch is predicted: its host is not known yet, the flags are the row's own.
            shown = {**(self._side(old) if old else _nothing()), "present": True, "connection": None, "hash": None}
            if item.string is not None:
                shown["connection"] = {**item.string.public(), "template": None}
        elif changed:
            shown = self._planned(change)
        else:
            shown = self._side(old)
        uuid = new.uuid if new is not None else predicted("variable", item.identity[0])
        return {
            "key": item.identity[0],
            "is_preview": item.identity[1],
            "uuid": uuid,
            "changed": changed,
            "verified": None if change in unproven or self._task.check_mode else True,
            "flags": shown["flags"],
            "before": self._side(old),
            "after": shown,
            "preview_copy": None if item.identity[1] else copies.get(item.identity[0]),
        }

    def _planned(self, change: Change) -> Json:
        return {
            "present": True,
            "readable": True,
            "connection": connection_view(change.value, self._task),
            "hash": hash_of(change.value, self._task) if change.value is not None else None,
            "flags": dict(change.flags),
        }

    def _side(self, row: Row | None) -> Json:
        if row is None:
            return _nothing()
        return {
            "present": True,
            "readable": row.readable,
            "connection": connection_view(row.value, self._task),
            "hash": hash_of(row.value, self._task) if row.value is not None else None,
            "flags": dict(row.flags),
        }

    # -- absent --------------------------------------------------------------------------------------------------

    def _absent(self, options: Sequence[Mapping[str, Any]], before: Sequence[Row]) -> Json:
        doomed: list[Row] = []
        views = []
        for option in options:
            row = only_row(before, _identity(option), "remove")
            if row is not None:
                self._may_go(option, row)
                doomed.append(row)
            views.append(
                {
                    "key": option["key"],
                    "is_preview": bool(option["is_preview"]),
                    "uuid": row.uuid if row is not None else None,
                    "changed": row is not None,
                    "verified": None if self._task.check_mode else True,
                    "flags": None,
                    "before": self._side(row),
                    "after": _nothing(),
                    "preview_copy": None,
                }
            )
        if doomed and not self._task.check_mode:
            delete(self._client, self._application, doomed)
        return self._result(views, [])

    def _may_go(self, option: Mapping[str, Any], row: Row) -> None:
        """A deleted value is gone: the same permissions as for overwriting it."""
        self._expect(option, row)
        if row.locked and not row.readable and not self._may_overwrite(option):
            raise Refused(
                f"remove {name_of(row.identity)}: the row is locked, so its value could not be put back",
                code="locked_row",
                hint="Set overwrite_locked to true when you have the value elsewhere.",
            )

    # -- result --------------------------------------------------------------------------------------------------

    def _result(self, views: list[Json], rows: Sequence[Row]) -> Json:
        touched = {(view["key"], view["is_preview"]) for view in views}
        times = [row.updated_at for row in rows if row.identity in touched and row.updated_at]
        return {
            "changed": any(view["changed"] for view in views),
            "variables": views,
            "written_at": max(times) if times else None,
            "operations": self._client.sent,
            "diff": {
                "before": {_label(view): _shown(view["before"]) for view in views if view["changed"]},
                "after": {_label(view): _shown(view["after"]) for view in views if view["changed"]},
            },
        }


def _identity(option: Mapping[str, Any]) -> Identity:
    return (str(option["key"]), bool(option.get("is_preview")))


def _nothing() -> Json:
    return {"present": False, "readable": None, "connection": None, "hash": None, "flags": None}


def _label(view: Json) -> str:
    return name_of((view["key"], view["is_preview"]))


def _shown(side: Json) -> Json | None:
    """For a diff: the host and the hash, never more of a value."""
    if not side["present"]:
        return None
    connection = side["connection"]
    return {"host": connection["host"] if connection else None, "hash": side["hash"], **(side["flags"] or {})}
