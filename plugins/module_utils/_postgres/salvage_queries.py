# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a salvage asks PostgreSQL's catalogues, with an empty search path."""

from __future__ import annotations

from . import catalog
from .session import Statement

COLUMNS: Statement = (
    """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS full_name, a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, base.typname AS base,
       a.attgenerated <> '' AS generated, a.attnotnull OR base.not_null AS required, a.attidentity = 'a' AS given,
       CASE WHEN a.attgenerated <> '' THEN (SELECT pg_catalog.pg_get_expr(g.adbin, g.adrelid)
            FROM pg_catalog.pg_attrdef g WHERE g.adrelid = c.oid AND g.adnum = a.attnum) END AS computed,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND a.attnum = ANY (k.conkey)
               AND (k.contype = 'c' OR k.contype = 'f' AND k.confmatchtype = 'f'))
       OR EXISTS (SELECT FROM pg_catalog.pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated <> ''
                  AND (g.attnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
                       WHERE k.conrelid = c.oid AND k.contype = 'c' AND g.attnum = ANY (k.conkey)))) AS checked,
       EXISTS (SELECT FROM pg_catalog.pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated <> '')
       OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
                  AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
       OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'x') AS computed_from,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = leaf.oid) AS labels,
       (SELECT pg_catalog.format('OPERATOR(%%I.%%s)', pn.nspname, op.oprname)
        FROM pg_catalog.pg_opclass f
        JOIN pg_catalog.pg_am m ON m.oid = f.opcmethod AND m.amname = 'btree'
        JOIN pg_catalog.pg_amop p ON p.amopfamily = f.opcfamily AND p.amopstrategy = 3
          AND p.amoplefttype = f.opcintype AND p.amoprighttype = f.opcintype
        JOIN pg_catalog.pg_operator op ON op.oid = p.amopopr
        JOIN pg_catalog.pg_namespace pn ON pn.oid = op.oprnamespace
        WHERE f.opcdefault AND f.opcintype = base.oid) AS equality,
       leaf.typtype = 'e' OR (leaf.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                              AND leaf.typname = ANY (%s)) AS comparable,
       COALESCE(o.collisdeterministic, true) AND leaf.typname NOT IN ('jsonb', 'interval', 'timetz')
       AND (base.oid = leaf.oid OR leaf.typname NOT IN ('numeric', 'float4', 'float8')) AS exact
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
-- A domain may be one over another.
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT t.oid, t.typtype, t.typbasetype, t.typnotnull
        UNION ALL
        SELECT n.oid, n.typtype, n.typbasetype, n.typnotnull FROM below JOIN pg_catalog.pg_type n
          ON below.typtype = 'd' AND n.oid = below.typbasetype)
    SELECT p.oid, p.typname, p.typcategory, p.typelem,
           (SELECT pg_catalog.bool_or(typnotnull) FROM below) AS not_null
    FROM below JOIN pg_catalog.pg_type p ON p.oid = below.oid WHERE below.typtype <> 'd') AS base
JOIN pg_catalog.pg_type leaf
  ON leaf.oid = CASE WHEN base.typcategory = 'A' AND base.typelem <> 0 THEN base.typelem ELSE base.oid END
LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY a.attnum
""",
    [catalog.HASHABLE],
)

# A foreign key of a partitioned table has a copy for each partition. One of a single partition counts for the whole
# table: rows are read and written through that.
FOREIGN_KEYS: Statement = (
    """
SELECT DISTINCT pg_catalog.format('%I.%I', cn.nspname, c.relname) AS child, k.conname AS name,
       pg_catalog.format('%I.%I', pn.nspname, p.relname) AS parent, k.condeferrable AS deferrable,
       k.confupdtype = 'c' AS follows,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) FROM pg_catalog.unnest(k.conkey)
          WITH ORDINALITY AS u(attnum, place) JOIN pg_catalog.pg_attribute a
          ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS columns,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) FROM pg_catalog.unnest(k.confkey)
          WITH ORDINALITY AS u(attnum, place) JOIN pg_catalog.pg_attribute a
          ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS referenced
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = COALESCE(pg_catalog.pg_partition_root(k.conrelid), k.conrelid)
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = COALESCE(pg_catalog.pg_partition_root(k.confrelid), k.confrelid)
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY 1, 2
""",
    None,
)

# indnullsnotdistinct exists since PostgreSQL 15.
# Two rows clash where the operators say so of all parts: those of an exclusion constraint, else the equality of the
# index's own operator classes. An index of a single partition is about the rows there.
UNIQUE: Statement = (
    """
SELECT pg_catalog.format('%I.%I', n.nspname, r.relname) AS full_name, x.relname AS name,
       i.indisprimary AND NOT i.indisexclusion AS is_key, NOT i.indimmediate AS deferrable,
       COALESCE((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) AS with_nulls,
       (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'column', a.attname,
            'text', pg_catalog.pg_get_indexdef(i.indexrelid, u.place::int, false)
                    || COALESCE((SELECT pg_catalog.format(' COLLATE %I.%I', ln.nspname, l.collname)
                                 FROM pg_catalog.pg_collation l
                                 JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
                                 WHERE l.oid = (i.indcollation::oid[])[u.place - 1]), ''),
            'operator', (SELECT pg_catalog.format('OPERATOR(%I.%s)', pn.nspname, o.oprname)
                         FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace pn ON pn.oid = o.oprnamespace
                         WHERE o.oid = COALESCE(k.conexclop[u.place],
                           (SELECT p.amopopr FROM pg_catalog.pg_opclass f JOIN pg_catalog.pg_amop p
                              ON p.amopfamily = f.opcfamily AND p.amopstrategy = 3
                              AND p.amoplefttype = f.opcintype AND p.amoprighttype = f.opcintype
                            WHERE f.oid = (i.indclass::oid[])[u.place - 1])))) ORDER BY u.place)
        FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u(attnum, place)
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
        WHERE u.place <= i.indnkeyatts) AS parts,
       NULLIF(pg_catalog.concat_ws(' AND ', '(' || pg_catalog.pg_get_expr(i.indpred, i.indrelid) || ')',
              CASE WHEN c.relispartition THEN '(' || pg_catalog.pg_get_partition_constraintdef(c.oid) || ')' END),
              '') AS condition,
       c.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
              AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid
              AND d.refobjsubid = 0) AS whole,
       (SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
              AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid
              AND d.refobjsubid = a.attnum)) AS used
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class r ON r.oid = COALESCE(pg_catalog.pg_partition_root(c.oid), c.oid)
JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE (i.indisunique OR i.indisexclusion) AND c.relkind IN ('r', 'p') AND NOT x.relispartition
ORDER BY 1, 2
""",
    None,
)

# Those of a partition after those of its parent: what is said of the parent may count for its partitions. Before
# PostgreSQL 15 a partition's copy counts as internal, and one of a foreign key does so always.
TRIGGERS: Statement = (
    """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS full_name,
       pg_catalog.format('%I.%I', own.nspname, r.relname) AS place, t.kind, t.name, t.fires,
       pg_catalog.pg_get_userbyid(r.relowner) AS owner
FROM (SELECT tgrelid AS relation, 'TRIGGER' AS kind, tgname AS name, tgenabled::text AS fires
      FROM pg_catalog.pg_trigger WHERE NOT tgisinternal OR (tgparentid <> 0 AND tgconstraint = 0)
      UNION ALL
      SELECT ev_class, 'RULE', rulename, ev_enabled::text FROM pg_catalog.pg_rewrite) AS t
JOIN pg_catalog.pg_class r ON r.oid = t.relation
JOIN pg_catalog.pg_namespace own ON own.oid = r.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = COALESCE(pg_catalog.pg_partition_root(r.oid), r.oid)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE t.fires <> 'D' AND c.relkind IN ('r', 'p')
ORDER BY full_name, (SELECT pg_catalog.count(*) FROM pg_catalog.pg_partition_ancestors(r.oid)), place, t.kind, t.name
""",
    None,
)
