# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a change, and what there is to see about it without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .salvage_catalog import Table, Unique
from .salvage_merge import Change, Values
from .session import Session


@dataclass
class Verdict:
    """What becomes of a change.

    :param reason: why it is not made: empty where the new side has changed the row too, None where it is made.
    :param late: columns that can be written only once all new rows are there.
    :param takes: unique values that another row, named by its key, has until it is changed or deleted by this salvage.
    """

    reason: str | None = None
    late: tuple[str, ...] = ()
    takes: tuple[tuple[Unique, Values], ...] = ()


class Sessions(NamedTuple):
    """Where questions are asked, while rows stream from elsewhere or between their batches."""

    base: Session
    old: Session
    new: Session


def differ(table: Table, names: Iterable[str], one: Values, other: Values) -> bool:
    return any(one[table.places[name]] != other[table.places[name]] for name in names)


def written(
    table: Table,
    names: Sequence[str],
    changes: Sequence[Change],
    verdicts: Sequence[Verdict],
    *,
    with_nulls: bool = False,
) -> Iterable[tuple[int, Values]]:
    """The values that the changes write into these columns, with no null among them: a null refers to nothing.

    :param with_nulls: also those, where a null counts.
    """
    for place, change in enumerate(changes):
        if change.old is None or verdicts[place].reason is not None:
            continue
        values = table.values(change.old, names)
        if (with_nulls or None not in values) and (change.base is None or table.values(change.base, names) != values):
            yield place, values
