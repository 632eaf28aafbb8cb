# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order of tables that foreign keys accept: parents first. Cycles are cut at one that can wait or be null."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .salvage_catalog import ForeignKey, Structure, Table


@dataclass(frozen=True)
class Order:
    """In which order tables are written.

    :param tables: parents first.
    :param late: foreign keys that are null at first and set once every row is there, by the child's name.
    :param by_hand: foreign keys of a cycle that can neither wait nor be null.
    """

    tables: tuple[str, ...]
    late: Mapping[str, tuple[ForeignKey, ...]]
    by_hand: tuple[ForeignKey, ...]


def _nullable(key: ForeignKey, table: Table) -> bool:
    return any(not table.column(name).required for name in key.columns if name in table.places)


def order(structure: Structure, wanted: Iterable[str]) -> Order:
    """Order the tables that are written. A cycle is cut at a key that can wait, else at one that can be null."""
    names = sorted(wanted)
    edges = [key for key in structure.foreign_keys if key.child in names and key.parent in names]
    late: list[ForeignKey] = []
    by_hand: list[ForeignKey] = []
    # A row may refer to one of its own table that comes after it.
    for key in [key for key in edges if key.child == key.parent]:
        edges.remove(key)
        if not key.deferrable:
            (late if _nullable(key, structure.tables[key.child]) else by_hand).append(key)
    while True:
        graph: dict[str, set[str]] = {name: set() for name in names}
        for key in edges:
            graph[key.child].add(key.parent)
        try:
            sorted_names = tuple(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            cut = _cut(structure, edges, error.args[1])
            edges = [key for key in edges if (key.child, key.parent) != (cut.child, cut.parent)]
            for key in [key for key in structure.foreign_keys if (key.child, key.parent) == (cut.child, cut.parent)]:
                if not key.deferrable:
                    (late if _nullable(key, structure.tables[key.child]) else by_hand).append(key)
            continue
        return Order(
            sorted_names, {name: tuple(key for key in late if key.child == name) for name in names}, tuple(by_hand)
        )


def _cut(structure: Structure, edges: list[ForeignKey], cycle: list[str]) -> ForeignKey:
    # graphlib names each node before the one that depends on it.
    steps = set(zip(cycle[1:], cycle, strict=False))
    inside = [key for key in edges if (key.child, key.parent) in steps]
    waiting = [key for key in inside if key.deferrable]
    nullable = [key for key in inside if _nullable(key, structure.tables[key.child])]
    return (waiting or nullable or inside)[0]
