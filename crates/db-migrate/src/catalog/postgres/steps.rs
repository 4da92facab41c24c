//! The two queries that a small migration costs: what was written, and what it says now.
//!
//! Both are as few round trips and as small plans as can be, because starting a plan over many
//! catalogs costs more than running it for one table.

use diesel::sql_types::{Array, BigInt, Integer, Nullable, Oid, Text};

use super::fragments::{columns, constraints, indexes};
use super::query::{PartSql, PreparedText};

/// What this session wrote to the catalogs; if that is anything, the settings are pinned too.
///
/// The first parameter are the catalogs, the second is that of a change of settings. A row of
/// catalog 0 says whether the server counts, its version, the transaction's number, and what the
/// settings were, if they were changed.
pub(in crate::catalog) struct Look;

/// As [`Look`], and has the counters start from nothing in the next transaction, which only
/// servers from 15 on can be asked for.
pub(in crate::catalog) struct LookAndReset;

/// What the relations have whose own row this transaction wrote, if they are plain tables.
///
/// A relation's row says whether it is one: its number has bit 0 if there is more to read about
/// it, and bit 1 if a view, a policy or a function depends on it. The last column says what was
/// written: of a relation its triggers, of a column its default, of the others the row itself;
/// and one row counts the types of relations. It is restored what the parameter says, if anything,
/// after all else.
pub(in crate::catalog) struct Near;

/// One row of [`Look`].
pub(in crate::catalog) type LookRow = (u32, i64, i64, i64, Option<Vec<String>>);

macro_rules! look {
    ($besides:literal) => {
        concat!(
            "\
WITH counted AS MATERIALIZED (
  SELECT * FROM (SELECT c, pg_stat_get_xact_tuples_inserted(c) AS i,
    pg_stat_get_xact_tuples_updated(c) AS u, pg_stat_get_xact_tuples_deleted(c) AS d
    FROM unnest($?::oid[]) c) all_of_them WHERE i <> 0 OR u <> 0 OR d <> 0
), input AS (SELECT t, cardinality(t) / 2 AS half FROM (SELECT $?::text[] AS t) p),
before AS MATERIALIZED (SELECT (SELECT array_agg(current_setting(name) ORDER BY n)
  FROM unnest(t[:half]) WITH ORDINALITY s (name, n)) AS v, t, half FROM input
  WHERE current_setting('track_counts') <> 'on' OR EXISTS (SELECT FROM counted))
SELECT c, i, u, d, NULL::text[] FROM counted
UNION ALL
SELECT 0, (current_setting('track_counts') = 'on')::int, current_setting('server_version_num')::int,
  coalesce(pg_current_xact_id_if_assigned()::text::bigint, 0),
  (SELECT v FROM before, LATERAL (SELECT count(set_config(name,
    CASE WHEN v IS NOT NULL THEN t[half + n] END, true)) AS done
    FROM unnest(t[:half]) WITH ORDINALITY s (name, n)) changed WHERE done = half)",
            $besides
        )
    };
}

impl PreparedText for Look {
    type Row = (Oid, BigInt, BigInt, BigInt, Nullable<Array<Text>>);
    const TEXT: &'static str = look!("");
}

impl PreparedText for LookAndReset {
    type Row = (Oid, BigInt, BigInt, BigInt, Nullable<Array<Text>>);
    const TEXT: &'static str = look!(" FROM pg_stat_force_next_flush()");
}

impl PreparedText for Near {
    type Row = (PartSql, Integer);
    const TEXT: &'static str = concat!(
        "\
WITH near AS MATERIALIZED (
  SELECT coalesce(i.indrelid, c.oid) AS oid, c.reltype, c.relkind
  FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE age(c.xmin) <= 0
), input AS MATERIALIZED (SELECT array_agg(DISTINCT oid) AS oids FROM near)
SELECT c.relkind::text, c.relnamespace, c.oid,
  (c.relkind <> 'r' OR c.relpersistence <> 'p' OR c.relispartition OR c.reloftype <> 0
    OR c.relam <> 2 OR c.relrowsecurity OR c.relforcerowsecurity OR c.relreplident <> 'd'
    OR c.reloptions IS NOT NULL OR c.relhasrules
    OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
    OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
    OR EXISTS (SELECT FROM pg_trigger t
      WHERE t.tgrelid = c.oid AND (NOT t.tgisinternal OR t.tgenabled <> 'O')))::int
  + 2 * EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 1259 AND d.refobjid = c.oid
      AND d.classid IN (2618, 3256, 1255) AND d.deptype = 'n')::int,
  c.relname::text, '',
  (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND age(t.xmin) <= 0)::int
FROM pg_class c
WHERE c.oid = ANY((SELECT oids FROM input)::oid[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
UNION ALL
",
        columns!(", (d.oid IS NOT NULL AND age(d.xmin) <= 0)::int"),
        "UNION ALL\n",
        constraints!(", (age(k.xmin) <= 0)::int"),
        "UNION ALL\n",
        indexes!(", (age(i.xmin) <= 0)::int"),
        "\
UNION ALL
SELECT 'types', 0, 0, 0, '', '', coalesce(sum(1 + (t.typarray <> 0)::int), 0)::int
FROM near r JOIN pg_type t ON t.oid = r.reltype WHERE r.relkind <> 'c' AND age(t.xmin) <= 0
UNION ALL
SELECT 'restored', 0, 0, 0, '', '', count(set_config(t[n], t[half + n], true))::int
FROM (SELECT t, cardinality(t) / 2 AS half FROM (SELECT $?::text[] AS t) p) input,
  generate_series(1, half) n"
    );
}
