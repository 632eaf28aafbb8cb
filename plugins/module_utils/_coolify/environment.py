# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying out changes of env rows: one bulk write, proven by reading back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from .._errors import ApiError, InvalidInput, NotFound, Refused, UnknownOutcome
from .client import CoolifyClient
from .rows import Change, Row, locked, name_of, only_row, read_rows, unreadable
from .values import shared_references


@dataclasses.dataclass(frozen=True)
class Written:
    """What stands in Coolify now. `unproven` are changes whose rows nobody can read."""

    rows: list[Row]
    unproven: list[Change]


def write(client: CoolifyClient, application: str, changes: Sequence[Change]) -> Written:
    """Write all changed rows at once and read them back.

    After a lost answer, or a refusal in the middle (the bulk call is not atomic), the rows are read before anything
    else; what is missing after a lost answer is sent once more, which is safe: each row is sent whole.

    :raises ApiError: when the rows do not read back as written; `partial` names those that do.
    """
    pending = [change for change in changes if change.changed]
    sent_twice = False
    while True:
        doubt: UnknownOutcome | None = None
        try:
            client.write_environment(application, [change.body(client.version) for change in pending])
        except UnknownOutcome as error:
            doubt = error
        except InvalidInput as error:
            error.partial = _partial(client, application, pending)
            raise
        rows = read_rows(client.environment(application))
        missing = [change for change in pending if change.stands_in(rows, doubtful=doubt is not None) is False]
        if not missing:
            return Written(rows, [change for change in pending if change.stands_in(rows) is None])
        # 503 is what Coolify says while it upgrades itself: the transport has paused, and the deadline ends it.
        is_away = doubt is not None and doubt.http_status == 503 and not client.deadline.passed
        if doubt is None or (sent_twice and not is_away):
            raise _not_written(application, pending, missing, doubt)
        pending, sent_twice = missing, True


def _partial(client: CoolifyClient, application: str, pending: Sequence[Change]) -> dict[str, object]:
    rows = read_rows(client.environment(application))
    saved = [name_of(change.identity) for change in pending if change.stands_in(rows)]
    return {"saved": saved, "not_saved": [name_of(item.identity) for item in pending if not item.stands_in(rows)]}


def _not_written(
    application: str, pending: Sequence[Change], missing: Sequence[Change], doubt: UnknownOutcome | None
) -> ApiError:
    names = [name_of(change.identity) for change in missing]
    partial = {
        "saved": [name_of(change.identity) for change in pending if change not in missing],
        "not_saved": names,
    }
    if doubt is not None:
        doubt.partial = partial
        return doubt
    return ApiError(
        f"write the environment of application {application}: {', '.join(names)} does not read back as written",
        code="not_verified",
        hint="Something else may be writing to the same rows. Look at them in Coolify before you deploy.",
        partial=partial,
    )


def delete(client: CoolifyClient, application: str, doomed: Sequence[Row]) -> list[Row]:
    """Delete rows by uuid and read back that they are gone; the preview copies of production rows stay.

    :returns: the rows that are left.
    :raises ApiError: when one is still there.
    """
    for row in doomed:
        try:
            client.delete_row(application, row.uuid)
        except UnknownOutcome:
            # The read below decides.
            continue
    rows = read_rows(client.environment(application))
    kept = [row for row in doomed if any(other.uuid == row.uuid for other in rows)]
    if kept:
        raise ApiError(
            f"delete env rows of application {application}: {', '.join(name_of(row.identity) for row in kept)} "
            "is still there",
            code="not_verified",
            retryable=True,
        )
    return rows


def preview_copies(before: Sequence[Row], after: Sequence[Row], changes: Sequence[Change]) -> dict[str, str]:
    """Preview rows that Coolify made by itself beside new production rows: key -> uuid."""
    known = {row.uuid for row in before}
    created = {change.identity[0] for change in changes if change.before is None and not change.identity[1]}
    asked = {change.identity for change in changes}
    return {
        row.key: row.uuid
        for row in after
        if row.is_preview and row.key in created and row.uuid not in known and row.identity not in asked
    }


def row_value(client: CoolifyClient) -> Callable[[str, str, bool], str]:
    """What reads the base string of a ``connection`` option: (application, key, is_preview) -> the row's value.

    The value is a secret. It raises Refused where there are several rows, or where the value cannot be read.
    """

    def read(application: str, key: str, is_preview: bool) -> str:
        verb = f"read the environment of application {application}:"
        row = only_row(read_rows(client.environment(application)), (key, is_preview), verb)
        if row is None:
            raise NotFound(f"{verb} it has no variable {name_of((key, is_preview))}", hint="Check env_key.")
        if not row.readable:
            raise locked(row) if row.locked else unreadable(row)
        references = shared_references(row.value)
        if references:
            raise Refused(
                f"{verb} {key} takes its value from the shared variable {', '.join(references)}",
                code="shared_row",
                hint="Write the connection string into the application's own variable.",
            )
        return row.value or ""

    return read
