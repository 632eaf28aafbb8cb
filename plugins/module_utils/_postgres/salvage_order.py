# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order of tables that foreign keys accept: parents first. Cycles are cut at one that can wait or be null.

And an order of changes that unique values accept: each is given up before another row takes it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .salvage_catalog import ForeignKey, Structure, Table
from .salvage_merge import Values


@dataclass(frozen=True)
class Order:
    """In which order tables are written.

    :param tables: parents first.
    :param late: foreign keys that cannot wait and whose parents' rows may come later, by the child's name.
    """

    tables: tuple[str, ...]
    late: Mapping[str, tuple[ForeignKey, ...]]


def _nullable(key: ForeignKey, table: Table) -> bool:
    return any(not table.column(name).required for name in key.columns if name in table.places)


def order(structure: Structure, wanted: Iterable[str]) -> Order:
    """Order the tables that are written. A cycle is cut at a key that can wait, else at one that can be null."""
    names = sorted(wanted)
    edges = [key for key in structure.foreign_keys if key.child in names and key.parent in names]
    # A row may refer to one of its own table that comes after it.
    cut = [key for key in edges if key.child == key.parent]
    edges = [key for key in edges if key.child != key.parent]
    while True:
        graph: dict[str, set[str]] = {name: set() for name in names}
        for key in edges:
            graph[key.child].add(key.parent)
        try:
            sorted_names = tuple(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            at = _cut(structure, edges, error.args[1])
            cut += [key for key in edges if (key.child, key.parent) == (at.child, at.parent)]
            edges = [key for key in edges if (key.child, key.parent) != (at.child, at.parent)]
            continue
        late = [key for key in cut if not key.deferrable]
        return Order(sorted_names, {name: tuple(key for key in late if key.child == name) for name in names})


def _cut(structure: Structure, edges: list[ForeignKey], cycle: list[str]) -> ForeignKey:
    # graphlib names each node before the one that depends on it.
    steps = set(zip(cycle[1:], cycle, strict=False))
    inside = [key for key in edges if (key.child, key.parent) in steps]
    waiting = [key for key in inside if key.deferrable]
    nullable = [key for key in inside if _nullable(key, structure.tables[key.child])]
    return (waiting or nullable or inside)[0]


def in_turn(takes: Mapping[Values, Iterable[Values]]) -> tuple[list[Values], set[Values]]:
    """The keys of rows, each after those whose values it takes, and those that only exchange theirs in a circle.

    :param takes: by the key of a row those of the rows whose values it takes.
    """
    graph = {key: {other for other in others if other in takes} for key, others in takes.items()}
    circles: set[Values] = set()
    while True:
        try:
            return list(graphlib.TopologicalSorter(graph).static_order()), circles
        except graphlib.CycleError as error:
            circles.update(error.args[1])
            graph = {key: others - circles for key, others in graph.items() if key not in circles}
