# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a manifest takes, and what the ways of reading the same facts cost beside each other.

    python -m benchmarks.manifest [--rows 5000000] [--tables 50] [--repeat 3]

A server of its own is started and thrown away. What counts are the ratios: seconds depend on what else the
machine does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from ansible_collections.rewind.database.plugins.module_utils._postgres import manifest
from ansible_collections.rewind.database.plugins.module_utils._postgres.manifest import Wanted
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Address, Limits, Session, connect

from tests.unit.postgres_cluster import Cluster, running_cluster

GOAL_SECONDS = 5.0
_TABLE = """CREATE TABLE "Table{n}" (id bigint PRIMARY KEY, "userId" int, name text, amount numeric(10, 2),
    "updatedAt" timestamptz);
INSERT INTO "Table{n}" SELECT g, g % 1000, 'progress ' || g % 97, g / 7.0, timestamptz '2025-01-13 14:25:00Z'
    + g * interval '1 ms' FROM generate_series(1, {rows}) AS g;
"""


def load(cluster: Cluster, rows: int, tables: int) -> str:
    """A database with nine tenths of the rows in one table, as applications have it, the rest in the others."""
    big = rows * 9 // 10
    small = (rows - big) // max(tables - 1, 1)
    sizes = [big, *[small] * (tables - 1)]
    database = cluster.create_database("".join(_TABLE.format(n=n, rows=size) for n, size in enumerate(sizes)))
    with cluster.connect(database) as connection:
        connection.execute("VACUUM ANALYZE")
    return database


def one_by_one(session: Session, expression: str, tables: int) -> None:
    """A statement and a round trip for each table."""
    with session.snapshot():
        for number in range(tables):
            session.run((f'SELECT {expression} FROM "Table{number}" AS t', None))


def together(session: Session, expression: str, tables: int) -> None:
    """One statement for all tables."""
    arms = [f'SELECT {expression} FROM "Table{number}" AS t' for number in range(tables)]
    with session.snapshot():
        session.run((" UNION ALL ".join(arms), None))


def methods(session: Session, tables: int) -> dict[str, Callable[[], object]]:
    """What is measured, the manifest itself first."""
    text = "sum(hashtextextended(t.*::text, 0))"
    record = "sum(hash_record_extended(t.*, 0))"
    return {
        "manifest (as the module takes it)": lambda: manifest.take(session),
        "manifest without hashes": lambda: manifest.take(session, Wanted(hash=False)),
        "count(*), one by one": lambda: one_by_one(session, "count(*)", tables),
        "count(*), together": lambda: together(session, "count(*)", tables),
        "record hash (blind to swapped values), together": lambda: together(session, record, tables),
        "text hash, together": lambda: together(session, text, tables),
        "md5 of all rows in order, one by one": lambda: one_by_one(
            session, "md5(string_agg(md5(t.*::text), '' ORDER BY id))", tables
        ),
    }


def best_of(repeat: int, run: Callable[[], object]) -> float:
    """The shortest of some times: the others were disturbed."""
    times = []
    for _number in range(repeat):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--tables", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    with running_cluster() as cluster:
        database = load(cluster, chosen.rows, chosen.tables)
        address = Address.of(cluster.uri(database))
        with connect(address, Limits(statement=600)) as session:
            size = session.one("SELECT pg_size_pretty(pg_database_size(current_database())) AS size")["size"]
            print(f"{chosen.rows} rows in {chosen.tables} tables, {size}, PostgreSQL {cluster.binaries.version}")
            times = {name: best_of(chosen.repeat, run) for name, run in methods(session, chosen.tables).items()}
    base = next(iter(times.values()))
    for name, seconds in times.items():
        print(f"{seconds:8.2f} s  {seconds / base:5.2f} x  {name}")
    print(f"the goal, {GOAL_SECONDS:g} s for a manifest, is {'met' if base <= GOAL_SECONDS else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
