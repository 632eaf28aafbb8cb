# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An order of tables that foreign keys accept: parents first. Cycles are cut at one that can wait or be null.

And an order of changes that unique values accept: each is given up before another row takes it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    columns = [table.column(name) for name in key.columns if name in table.places]
    return any(not column.required and column.computed is None for column in columns)


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


class Turns(NamedTuple):
    """The keys of changes that take other rows' values.

    :param order: each after those whose values it takes.
    :param early: of these, those that give theirs up before all of them.
    :param circles: those that only exchange theirs.
    :param behind: those that wait, however indirectly, for a row that keeps what it has.
    """

    order: list[Values]
    early: list[Values]
    circles: set[Values]
    behind: set[Values]


def in_turn(
    takes: Mapping[Values, Iterable[Values]],
    keeping: Container[Values] = (),
    may_be_early: Callable[[Values, Sequence[Values]], bool] = lambda _key, _takers: False,
) -> Turns:
    """
    :param takes: by the key of a row those of the rows whose values it takes.
    :param keeping: rows that give up nothing.
    :param may_be_early: whether a row can do without what these others want, until it has taken what it wants itself.
    """
    turns = Turns([], [], set(), set())
    for group in _groups({key: [other for other in others if other in takes] for key, others in takes.items()}):
        wanted = {other for key in group for other in takes[key]}
        opened = _opened({key: [other for other in takes[key] if other in wanted] for key in group}, may_be_early)
        if opened is None:
            turns.circles.update(group)
        elif any(other in turns.circles or other in turns.behind or other in keeping for other in wanted):
            turns.behind.update(group)
        else:
            turns.early.extend(opened.early)
            turns.order.extend(opened.order)
    return turns


class _Opened(NamedTuple):
    early: list[Values]
    order: list[Values]


def _opened(
    takes: Mapping[Values, Sequence[Values]], may_be_early: Callable[[Values, Sequence[Values]], bool]
) -> _Opened | None:
    """An order of rows of which each waits for the others, if need be with some that are early; None for none."""
    left = {key: {other for other in others if other in takes} for key, others in takes.items()}
    takers: dict[Values, list[Values]] = {key: [] for key in takes}
    for key, others in left.items():
        for other in others:
            takers[other].append(key)
    opened = _Opened([], [])
    waiting = [list(takes)]
    while waiting:
        inside = waiting.pop()
        members = set(inside)
        parts = list(_groups({key: left[key] & members for key in inside}))
        if len(parts) > 1:
            waiting.extend(reversed(parts))
        elif len(inside) == 1 and inside[0] not in left[inside[0]]:
            opened.order.append(inside[0])
        else:
            opener = next((one for one in inside if may_be_early(one, takers[one])), None)
            if opener is None:
                return None
            opened.early.append(opener)
            for other in takers[opener]:
                left[other].discard(opener)
            waiting.append(inside)
    return opened


def _groups(graph: Mapping[Values, Collection[Values]]) -> Iterator[list[Values]]:
    """The strongly connected parts of a graph, each after those that it leads to (Tarjan, without recursion)."""
    numbers: dict[Values, int] = {}
    lowest: dict[Values, int] = {}
    path: list[Values] = []
    on_path: set[Values] = set()
    for start in graph:
        work = [] if start in numbers else [(start, iter(graph[start]))]
        while work:
            node, following = work[-1]
            if node not in numbers:
                numbers[node] = lowest[node] = len(numbers)
                path.append(node)
                on_path.add(node)
            for other in following:
                if other not in numbers:
                    work.append((other, iter(graph[other])))
                    break
                if other in on_path:
                    lowest[node] = min(lowest[node], numbers[other])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[node])
                if lowest[node] == numbers[node]:
                    place = len(path) - 1
                    while path[place] != node:
                        place -= 1
                    group = path[place:]
                    del path[place:]
                    on_path.difference_update(group)
                    yield group
