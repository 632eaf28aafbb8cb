# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Triggers and rules while the file is applied: what they did on the old side is in the file, and must not come twice.

A counter that a trigger keeps would count again, an audit log would get each line once more, and an instant of change
would be that of the salvage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .salvage_catalog import Structure, Trigger
from .tables import identifier

_FIRES = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


def concerned(structure: Structure, written: Mapping[str, Iterable[str]]) -> list[Trigger]:
    """The triggers of what the file writes, and of what follows that by itself.

    :param written: by table the columns whose values are changed in rows that others may refer to.
    """
    names = {table: set(columns) for table, columns in written.items()}
    edge = list(names)
    while edge:
        table = edge.pop()
        for key in structure.referring_to(table):
            more = set(key.columns) - names.get(key.child, set())
            if key.follows and more and names[table] & set(key.referenced):
                names.setdefault(key.child, set()).update(more)
                edge.append(key.child)
    return [trigger for trigger in structure.triggers if trigger.table in names]


def disable(triggers: Iterable[Trigger]) -> str:
    return "".join(_alter(trigger, "DISABLE") for trigger in triggers)


def enable(triggers: Iterable[Trigger]) -> str:
    """Each as it was. What still waits for the end is looked at before: no table is altered while something waits."""
    return "SET CONSTRAINTS ALL IMMEDIATE;\n" + "".join(_alter(trigger, _FIRES[trigger.fires]) for trigger in triggers)


def _alter(trigger: Trigger, how: str) -> str:
    return f"ALTER TABLE ONLY {trigger.place} {how} {trigger.kind} {identifier(trigger.name)};\n"
