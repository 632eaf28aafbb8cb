# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL over the system catalogs. No answer depends on object ids: it is equal on every branch of a database."""

from __future__ import annotations

from .session import Statement

# Neon's own schemas hold its bookkeeping, which differs from compute to compute.
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> ALL ('{information_schema,neon,neon_migration}'::name[])"


def _not_of_extension(catalog: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass"
        f" AND x.objid = {oid} AND x.deptype = 'e')"
    )


# Types of pg_catalog with an extended hash function since PostgreSQL 14; others are hashed by their text. Enums too:
# their hash function takes the object id of the value. Arrays too: theirs takes no account of dimensions and bounds.
HASHABLE = [
    *("bool", "bytea", "char", "name", "text", "varchar", "bpchar", "uuid", "jsonb", "oid", "pg_lsn"),
    *("int2", "int4", "int8", "float4", "float8", "numeric", "inet", "cidr", "macaddr", "macaddr8"),
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
]

# Of these, those of which two values can be equal and yet be written differently: 1.0 and 1.00, 30 days and 1 mon.
LOOSE = ["jsonb", "float4", "float8", "numeric", "timetz", "interval"]

FACTS: Statement = (
    """
SELECT pg_catalog.current_database() AS database, pg_catalog.transaction_timestamp() AS taken_at,
       pg_catalog.current_setting('server_version') AS server_version,
       pg_catalog.current_setting('server_version_num')::int AS server_version_num,
       (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_insert_lsn() END)::text AS lsn,
       pg_catalog.current_setting('server_encoding') AS server_encoding, d.datcollate AS collation, d.datctype AS ctype,
       (SELECT pg_catalog.array_agg(s.setting ORDER BY s.setting)
        FROM pg_catalog.pg_db_role_setting r, pg_catalog.unnest(r.setconfig) AS s(setting)
        WHERE r.setdatabase = d.oid AND r.setrole = 0) AS database_settings
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
""",
    None,
)

# Tables, and what must be known to read their rows. Partitions are read through their parent.
TABLES: Statement = (
    f"""
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS full_name, n.nspname AS schema, c.relname AS name,
       c.relkind::text AS kind, c.relpersistence::text AS persistence,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
       pg_catalog.row_security_active(c.oid) AS filtered,
       COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', a.attname,
            'instant', base.typcategory = 'D' AND base.typname NOT IN ('time', 'timetz'),
            'virtual', a.attgenerated = 'v',
            'loose', leaf.typname = ANY (%s) OR NOT COALESCE(o.collisdeterministic, true),
            'hashable', base.typcategory <> 'A' AND leaf.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                        AND leaf.typname = ANY (%s)) ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         JOIN pg_catalog.pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
         JOIN pg_catalog.pg_type leaf
           ON leaf.oid = CASE WHEN base.typcategory = 'A' AND base.typelem <> 0 THEN base.typelem ELSE base.oid END
         LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns,
       COALESCE((SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
         FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place),
              pg_catalog.pg_attribute a
         WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts
           AND a.attrelid = c.oid AND a.attnum = k.attnum),
                '[]') AS primary_key
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition AND {_OURS}
  AND {_not_of_extension("pg_class", "c.oid")}
ORDER BY 1
""",
    [LOOSE, HASHABLE],
)

SEQUENCES: Statement = (
    f"""
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, s.last_value, s.increment_by
FROM pg_catalog.pg_sequences s
JOIN pg_catalog.pg_namespace n ON n.nspname = s.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.sequencename
WHERE {_OURS} AND {_not_of_extension("pg_class", "c.oid")}
ORDER BY 1
""",
    None,
)

EXTENSIONS: Statement = ("SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1", None)

_PARTS = {
    "schemas": "SELECT n.nspname::text FROM spaces n",
    "tables": """
        SELECT pg_catalog.concat_ws('|', r.full_name, r.relkind, r.relpersistence,
               pg_catalog.pg_get_partkeydef(r.oid), pg_catalog.pg_get_expr(r.relpartbound, r.oid),
               r.relrowsecurity, r.relforcerowsecurity, pg_catalog.array_to_string(r.reloptions, ','),
               (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.regclass::text, ',' ORDER BY i.inhseqno)
                FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid))
        FROM relations r WHERE r.relkind IN ('r', 'p', 'f', 'v', 'm', 'c')""",
    # Columns are numbered as they come: the gaps that dropped columns leave are no part of a schema.
    "columns": """
        SELECT pg_catalog.concat_ws('|', r.full_name,
               pg_catalog.row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum), a.attname,
               pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               pg_catalog.pg_get_expr(d.adbin, d.adrelid), l.collname)
        FROM relations r
        JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
        WHERE r.relkind IN ('r', 'p', 'f', 'v', 'm', 'c')""",
    "constraints": """
        SELECT pg_catalog.concat_ws('|', n.nspname, c.conrelid::pg_catalog.regclass, c.contypid::pg_catalog.regtype,
               c.conname, c.contype, c.convalidated, pg_catalog.pg_get_constraintdef(c.oid))
        FROM pg_catalog.pg_constraint c JOIN spaces n ON n.oid = c.connamespace
        WHERE c.contype <> 'n' AND (c.conrelid = 0 OR c.conrelid IN (SELECT oid FROM relations))""",
    "indexes": """
        SELECT pg_catalog.concat_ws('|', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident)
        FROM pg_catalog.pg_index i WHERE i.indrelid IN (SELECT oid FROM relations)""",
    "sequences": """
        SELECT pg_catalog.concat_ws('|', r.full_name, s.seqtypid::pg_catalog.regtype, s.seqstart, s.seqincrement,
               s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
        FROM relations r JOIN pg_catalog.pg_sequence s ON s.seqrelid = r.oid""",
    "views": """
        SELECT r.full_name || '|' || pg_catalog.pg_get_viewdef(r.oid) FROM relations r WHERE r.relkind IN ('v', 'm')""",
    "functions": """
        SELECT CASE p.prokind
               WHEN 'a' THEN pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                                               pg_catalog.pg_get_function_identity_arguments(p.oid))
               ELSE pg_catalog.pg_get_functiondef(p.oid) END
        FROM pg_catalog.pg_proc p JOIN spaces n ON n.oid = p.pronamespace WHERE {functions}""",
    "triggers": """
        SELECT pg_catalog.pg_get_triggerdef(t.oid) || '|' || t.tgenabled::text
        FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal AND t.tgrelid IN (SELECT oid FROM relations)""",
    "policies": """
        SELECT pg_catalog.concat_ws('|', r.full_name, p.polname, p.polcmd, p.polpermissive,
               pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_catalog.pg_policy p JOIN relations r ON r.oid = p.polrelid""",
    "rules": """
        SELECT pg_catalog.pg_get_ruledef(w.oid) FROM pg_catalog.pg_rewrite w
        WHERE w.rulename <> '_RETURN' AND w.ev_class IN (SELECT oid FROM relations)""",
    "types": """
        SELECT pg_catalog.concat_ws('|', pg_catalog.format('%I.%I', n.nspname, t.typname), t.typtype, t.typnotnull,
               t.typdefault, CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
               (SELECT pg_catalog.string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
                FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
               (SELECT g.rngsubtype::pg_catalog.regtype::text FROM pg_catalog.pg_range g WHERE g.rngtypid = t.oid))
        FROM pg_catalog.pg_type t JOIN spaces n ON n.oid = t.typnamespace
        WHERE t.typtype IN ('d', 'e', 'r') AND {types}""",
}


def _schema() -> Statement:
    filled = {
        **_PARTS,
        "functions": _PARTS["functions"].replace("{functions}", _not_of_extension("pg_proc", "p.oid")),
        "types": _PARTS["types"].replace("{types}", _not_of_extension("pg_type", "t.oid")),
    }
    lines = " UNION ALL ".join(f"SELECT '{part}', q.line FROM ({query}) AS q(line)" for part, query in filled.items())
    return (
        f"""
WITH spaces AS (
    SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n
    WHERE {_OURS} AND {_not_of_extension("pg_namespace", "n.oid")}),
relations AS (
    SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS full_name
    FROM pg_catalog.pg_class c JOIN spaces n ON n.oid = c.relnamespace
    WHERE {_not_of_extension("pg_class", "c.oid")}),
lines(part, line) AS ({lines})
SELECT part, pg_catalog.count(*)::int AS count, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
           pg_catalog.string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') AS hash
FROM lines GROUP BY part ORDER BY part
""",
        None,
    )


# One hash per kind of object, so that a difference can be named. To be run with an empty search path: then every name
# in a definition comes out with its schema.
SCHEMA: Statement = _schema()
