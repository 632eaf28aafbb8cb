# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a salvage of many changed rows takes, what memory it needs, and how long applying its file takes.

    python -m benchmarks.salvage [--rows 1000000] [--still 1000000] [--clashes 1000000]

A server of its own is started and thrown away. A third of the rows is inserted, a third changed and a third deleted on
the old side; as many as `--still` are in a table that nobody touched. With `--clashes` both sides take that many ids
from the same sequence instead, with a child each: all of it is in conflict, as after a restore nobody stopped for.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.rewind.database.plugins.module_utils._postgres import salvage
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvage_file import (
    put_together,
    sections_beside,
)
from ansible_collections.rewind.database.plugins.module_utils._postgres.salvaging import header
from ansible_collections.rewind.database.plugins.module_utils._postgres.session import Address, Limits

from tests.unit.postgres_cluster import Cluster, running_cluster

_SCHEMA = """
CREATE TABLE "User" (id int PRIMARY KEY, name text);
INSERT INTO "User" SELECT g, 'user ' || g FROM generate_series(1, 1000) AS g;
CREATE TABLE "Still" (id bigint PRIMARY KEY, name text);
INSERT INTO "Still" SELECT g, 'still ' || g FROM generate_series(1, {still}) AS g;
CREATE TABLE "Progress" (id bigint PRIMARY KEY, "userId" int REFERENCES "User"(id), name text, amount numeric(10, 2),
    "updatedAt" timestamptz);
INSERT INTO "Progress" SELECT g, 1 + g % 1000, 'progress ' || g % 97, g / 7.0, timestamptz '2025-01-13 14:25:00Z'
    + g * interval '1 ms' FROM generate_series(1, {rows} * 2 / 3) AS g;
"""
_HISTORY = """
UPDATE "Progress" SET name = name || ', changed', amount = amount + 1 WHERE id <= {rows} / 3;
DELETE FROM "Progress" WHERE id > {rows} / 3;
INSERT INTO "Progress" SELECT g, 1 + g % 1000, 'new ' || g % 97, g / 7.0, '2025-01-13 15:00:00Z'
    FROM generate_series({rows} + 1, {rows} + {rows} / 3) AS g;
"""


_CLASHES = """
INSERT INTO "User" SELECT g, '{side} ' || g FROM generate_series(1001, 1000 + {rows}) AS g;
INSERT INTO "Progress" SELECT g, 1000 + g, '{side}', g / 7.0, '2025-01-13 15:00:00Z'
    FROM generate_series(1, {rows}) AS g;
"""


def peak() -> float:
    """The most memory that this process has used, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(cluster: Cluster, rows: int, still: int, folder: Path) -> None:
    """Make the three states, salvage, apply, and print what it took."""
    base = cluster.create_database(_SCHEMA.format(rows=rows, still=still))
    with cluster.connect(base) as connection:
        connection.execute("VACUUM ANALYZE")
    old, new = cluster.copy(base), cluster.copy(base)
    with cluster.connect(old) as connection:
        connection.execute(_HISTORY.format(rows=rows).encode())
    _salvage(cluster, (base, old, new), still, folder)


def clash(cluster: Cluster, rows: int, still: int, folder: Path) -> None:
    """Both sides go on with the same ids."""
    base = cluster.create_database(_SCHEMA.format(rows=0, still=still))
    old, new = cluster.copy(base), cluster.copy(base)
    for side, name in (("old", old), ("new", new)):
        with cluster.connect(name) as connection:
            connection.execute(_CLASHES.format(rows=rows, side=side).encode())
    _salvage(cluster, (base, old, new), still, folder)


def _salvage(cluster: Cluster, names: tuple[str, str, str], still: int, folder: Path) -> None:
    _base, old, new = names
    sides = salvage.Sides(*(Address.of(cluster.uri(name)) for name in names))
    path, before, started = folder / "salvage.sql", peak(), time.perf_counter()
    with sections_beside(path) as sections:
        found = salvage.take(sides, sections, Limits(statement=3600), lambda _line: None).as_dict()
        put_together(sections, header(["A benchmark"], found, path), path)
    print(f"{found['total']}")
    print(f"{time.perf_counter() - started:8.1f} s  salvage of {found['rows']} changed rows beside {still} others")
    print(f"{before:8.0f} MiB peak memory before, {peak():.0f} MiB after; the file has {path.stat().st_size >> 20} MiB")
    started = time.perf_counter()
    psql = [cluster.binaries.tool("psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-f", str(path), cluster.uri(new)]
    subprocess.run(psql, check=True, stdout=subprocess.DEVNULL)
    print(f"{time.perf_counter() - started:8.1f} s  psql applies it")
    sums = []
    for name in (old, new):
        with cluster.connect(name) as connection:
            query = 'SELECT count(*), sum(hashtextextended(p.*::text, 0)) FROM "Progress" AS p'
            sums.append(connection.execute(query).fetchone())
    if found["total"]["conflicts"]:
        print("the new side keeps what is in conflict")
        return
    print("the new side then holds what the old side has" if sums[0] == sums[1] else f"THE SIDES DIFFER: {sums}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--still", type=int, default=1_000_000)
    parser.add_argument("--clashes", type=int, default=0)
    chosen = parser.parse_args()
    with running_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        if chosen.clashes:
            clash(cluster, chosen.clashes, chosen.still, Path(folder))
        else:
            measure(cluster, chosen.rows, chosen.still, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
