//! The SQL that reads PostgreSQL's catalogs.
//!
//! Each text states its parameter once, as `$?`, in a `WITH` in front. All run with the home
//! schema as the search path, so that what is at home is written without its schema.

use diesel::sql_types::{Bool, Integer, Oid, Text};

use super::fragments::{columns, constraints, indexes};
use super::query::{PartSql, PreparedText};

/// Schemas, extensions, the members of extensions, and the server's version.
pub(in crate::catalog) struct Spaces;
/// The relations of some schemas.
pub(in crate::catalog) struct Relations;
/// Everything that belongs to some relations.
pub(in crate::catalog) struct RelationParts;
/// Everything that belongs to some schemas, and what belongs to none.
pub(in crate::catalog) struct SpaceParts;
/// The comments on all objects that are not the engine's own.
pub(in crate::catalog) struct AllComments;
/// The comments on some objects.
pub(in crate::catalog) struct SomeComments;
/// Which relations this transaction wrote about.
pub(in crate::catalog) struct Touched;
/// Whether views, policies or functions depend on some relations.
pub(in crate::catalog) struct Dependents;
/// Whether anything that has a text depends on some relations.
pub(in crate::catalog) struct Referrers;

impl PreparedText for Spaces {
    type Row = PartSql;
    const TEXT: &'static str = "\
SELECT 'space', oid, oid, 0, nspname::text, '' FROM pg_namespace
UNION ALL
SELECT 'extension', extnamespace, oid, 0, extname::text, '' FROM pg_extension
UNION ALL
SELECT 'member', d.classid, d.objid, 0, '', ''
FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE d.deptype = 'e'
UNION ALL
SELECT 'version', 0, 0, current_setting('server_version_num')::int, '', ''";
}

impl PreparedText for Relations {
    type Row = PartSql;
    const TEXT: &'static str = "\
SELECT relkind::text, relnamespace, oid, 0, relname::text, '' FROM pg_class
WHERE relnamespace = ANY($?) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND relpersistence <> 't'";
}

impl PreparedText for RelationParts {
    type Row = PartSql;
    const TEXT: &'static str = concat!(
        "\
WITH input AS (SELECT $?::oid[] AS oids)
SELECT 'relation', c.oid, c.oid, 0, c.relkind::text,
  concat_ws(E'\\n',
    CASE WHEN c.relpersistence = 'u' THEN 'UNLOGGED' END,
    CASE WHEN c.relispartition THEN 'PARTITION ' || pg_get_expr(c.relpartbound, c.oid) END,
    (SELECT CASE WHEN c.relispartition THEN 'OF ' ELSE 'INHERITS ' END
       || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
     FROM pg_inherits i WHERE i.inhrelid = c.oid),
    CASE WHEN c.relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(c.oid) END,
    CASE WHEN c.reloftype <> 0 THEN 'OF TYPE ' || format_type(c.reloftype, NULL) END,
    CASE WHEN c.relkind IN ('r', 'm', 'p') AND c.relam <> 0 THEN
      (SELECT 'USING ' || amname FROM pg_am WHERE oid = c.relam AND amname <> 'heap') END,
    CASE WHEN c.relrowsecurity THEN 'ROW LEVEL SECURITY' END,
    CASE WHEN c.relforcerowsecurity THEN 'FORCE ROW LEVEL SECURITY' END,
    CASE c.relreplident WHEN 'f' THEN 'REPLICA IDENTITY FULL' WHEN 'n' THEN
      CASE WHEN c.relkind IN ('r', 'p') THEN 'REPLICA IDENTITY NOTHING' END
      WHEN 'i' THEN 'REPLICA IDENTITY USING INDEX ' || (SELECT indexrelid::regclass::text
        FROM pg_index WHERE indrelid = c.oid AND indisreplident) END,
    'WITH (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o) || ')',
    CASE WHEN c.relkind = 'f' THEN
      (SELECT 'SERVER ' || s.srvname || ' OPTIONS ' || coalesce(ft.ftoptions::text, '{}')
       FROM pg_foreign_table ft JOIN pg_foreign_server s ON s.oid = ft.ftserver
       WHERE ft.ftrelid = c.oid) END,
    CASE WHEN c.relkind IN ('v', 'm') THEN 'AS' || E'\\n' || pg_get_viewdef(c.oid) END)
FROM pg_class c WHERE c.oid = ANY((SELECT oids FROM input)::oid[]) AND c.relkind NOT IN ('S', 'c')
UNION ALL
",
        columns!(""),
        "UNION ALL
",
        constraints!(""),
        "UNION ALL
",
        indexes!(""),
        "UNION ALL
SELECT 'trigger', t.tgrelid, t.oid, 0, t.tgname::text,
  CASE t.tgenabled WHEN 'D' THEN 'DISABLED ' WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS '
    ELSE '' END || pg_get_triggerdef(t.oid, true)
FROM pg_trigger t
WHERE t.tgrelid = ANY((SELECT oids FROM input)::oid[]) AND NOT t.tgisinternal
UNION ALL
SELECT 'trigger', t.tgrelid, t.oid, 0,
  coalesce(k.conname::text, 'internal') || '/' || t.tgfoid::regproc::text,
  'INTERNAL, NOT ENABLED AS USUAL: ' || t.tgenabled::text
FROM pg_trigger t LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
WHERE t.tgrelid = ANY((SELECT oids FROM input)::oid[]) AND t.tgisinternal AND t.tgenabled <> 'O'
UNION ALL
SELECT 'policy', p.polrelid, p.oid, 0, p.polname::text,
  concat_ws(' ', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
    'FOR', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
      WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
    'TO', (SELECT string_agg(r, ', ' ORDER BY r) FROM (SELECT CASE WHEN role = 0 THEN 'public'
      ELSE pg_get_userbyid(role)::text END AS r FROM unnest(p.polroles) role) names),
    'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
    'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_policy p WHERE p.polrelid = ANY((SELECT oids FROM input)::oid[])
UNION ALL
SELECT 'rule', r.ev_class, r.oid, 0, r.rulename::text,
  CASE r.ev_enabled WHEN 'O' THEN '' ELSE 'ENABLED ' || r.ev_enabled::text || ' ' END
    || pg_get_ruledef(r.oid)
FROM pg_rewrite r
WHERE r.ev_class = ANY((SELECT oids FROM input)::oid[]) AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'sequence', s.seqrelid, s.seqrelid, 0, '',
  concat_ws(' ', 'AS', format_type(s.seqtypid, NULL), 'START', s.seqstart, 'INCREMENT', s.seqincrement,
    'MINVALUE', s.seqmin, 'MAXVALUE', s.seqmax, 'CACHE', s.seqcache,
    CASE WHEN s.seqcycle THEN 'CYCLE' END,
    CASE WHEN c.relpersistence = 'u' THEN 'UNLOGGED' END,
    (SELECT CASE d.deptype WHEN 'i' THEN 'IDENTITY OF ' ELSE 'OWNED BY ' END
       || d.refobjid::regclass::text || '.' || quote_ident(a.attname)
     FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.objsubid = 0
       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1))
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
WHERE s.seqrelid = ANY((SELECT oids FROM input)::oid[])"
    );
}

impl PreparedText for SpaceParts {
    type Row = PartSql;
    const TEXT: &'static str = "\
WITH input AS (SELECT $?::oid[] AS oids)
SELECT 'function', p.pronamespace, p.oid, 0,
  p.proname::text || '(' || pg_get_function_identity_arguments(p.oid) || ')',
  concat_ws(' ', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE'
      WHEN 'w' THEN 'WINDOW FUNCTION' ELSE 'FUNCTION' END,
    '(' || pg_get_function_arguments(p.oid) || ')', 'RETURNS ' || pg_get_function_result(p.oid),
    'LANGUAGE', l.lanname,
    CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' END,
    CASE WHEN p.proisstrict THEN 'STRICT' END,
    CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
    CASE WHEN p.proleakproof THEN 'LEAKPROOF' END,
    CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
    'COST ' || p.procost, CASE WHEN p.proretset THEN 'ROWS ' || p.prorows END,
    CASE WHEN p.prosupport <> 0 THEN 'SUPPORT ' || p.prosupport::regproc::text END,
    'SET ' || array_to_string(p.proconfig, ', '),
    (SELECT concat_ws(' ', 'SFUNC', g.aggtransfn, 'STYPE', format_type(g.aggtranstype, NULL),
       'SSPACE', g.aggtransspace, 'FINALFUNC', g.aggfinalfn, g.aggfinalextra, g.aggfinalmodify,
       'COMBINEFUNC', g.aggcombinefn, 'SERIALFUNC', g.aggserialfn, 'DESERIALFUNC', g.aggdeserialfn,
       'INITCOND ' || quote_literal(g.agginitval), 'MSFUNC', g.aggmtransfn, 'MINVFUNC',
       g.aggminvtransfn, 'MSTYPE ' || format_type(nullif(g.aggmtranstype, 0), NULL), 'MFINALFUNC',
       g.aggmfinalfn, g.aggmfinalextra, g.aggmfinalmodify,
       'MINITCOND ' || quote_literal(g.aggminitval),
       'SORTOP ' || nullif(g.aggsortop, 0)::regoperator::text, 'KIND', g.aggkind)
     FROM pg_aggregate g WHERE g.aggfnoid = p.oid),
    'AS ' || CASE WHEN p.prokind <> 'a' THEN coalesce(pg_get_function_sqlbody(p.oid),
      quote_literal(replace(p.prosrc, E'\\r\\n', E'\\n')) || coalesce(', ' || p.probin, '')) END)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = ANY((SELECT oids FROM input)::oid[])
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
    AND d.objid = p.oid AND d.deptype = 'i')
UNION ALL
SELECT 'type', t.typnamespace, t.oid, 0, t.typname::text,
  CASE t.typtype
    WHEN 'e' THEN 'ENUM (' || coalesce((SELECT string_agg(quote_literal(e.enumlabel), ', '
      ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), '') || ')'
    WHEN 'd' THEN concat_ws(' ', 'DOMAIN', format_type(t.typbasetype, t.typtypmod),
      CASE WHEN t.typcollation <> b.typcollation THEN 'COLLATE ' || t.typcollation::regcollation::text END,
      'DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN 'NOT NULL' END,
      (SELECT string_agg('CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid),
         ' ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
    WHEN 'c' THEN 'COMPOSITE (' || coalesce((SELECT string_agg(quote_ident(a.attname) || ' '
      || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation <> at.typcollation
      THEN ' COLLATE ' || a.attcollation::regcollation::text ELSE '' END, ', ' ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid
      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')'
    WHEN 'r' THEN (SELECT concat_ws(' ', 'RANGE OF', format_type(r.rngsubtype, NULL), 'OPCLASS',
      o.opcname, 'COLLATE ' || nullif(r.rngcollation, 0)::regcollation::text, 'CANONICAL',
      r.rngcanonical, 'DIFF', r.rngsubdiff)
      FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid)
    ELSE concat_ws(' ', 'BASE', t.typlen, t.typbyval, t.typcategory, t.typinput, t.typoutput,
      t.typalign, t.typstorage, 'DEFAULT ' || t.typdefault) END
FROM pg_type t LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE t.typnamespace = ANY((SELECT oids FROM input)::oid[]) AND t.typtype NOT IN ('m', 'p')
  AND NOT (t.typtype = 'b' AND t.typcategory = 'A')
  AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
UNION ALL
SELECT 'collation', collnamespace, oid, 0, collname::text,
  (to_jsonb(c) - '{oid,collname,collnamespace,collowner,collencoding,collversion}'::text[])::text
FROM pg_collation c WHERE collnamespace = ANY((SELECT oids FROM input)::oid[])
UNION ALL
SELECT 'operator', o.oprnamespace, o.oid, 0,
  o.oprname::text || '(' || concat_ws(', ', format_type(nullif(o.oprleft, 0), NULL),
    format_type(nullif(o.oprright, 0), NULL)) || ')',
  concat_ws(' ', o.oprcode, o.oprcanmerge, o.oprcanhash, nullif(o.oprcom, 0)::regoperator,
    nullif(o.oprnegate, 0)::regoperator, o.oprrest, o.oprjoin)
FROM pg_operator o WHERE o.oprnamespace = ANY((SELECT oids FROM input)::oid[])
UNION ALL
SELECT 'statistics', stxnamespace, oid, 0, stxname::text,
  regexp_replace(pg_get_statisticsobjdef(oid), '^CREATE STATISTICS \\S+ ', '')
FROM pg_statistic_ext WHERE stxnamespace = ANY((SELECT oids FROM input)::oid[])
UNION ALL
SELECT 'text search configuration', c.cfgnamespace, c.oid, 0, c.cfgname::text,
  concat_ws(' ', p.prsname, (SELECT string_agg(concat_ws(' ', m.maptokentype, d.dictname), ', '
    ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m
    JOIN pg_ts_dict d ON d.oid = m.mapdict WHERE m.mapcfg = c.oid))
FROM pg_ts_config c JOIN pg_ts_parser p ON p.oid = c.cfgparser
WHERE c.cfgnamespace = ANY((SELECT oids FROM input)::oid[])
UNION ALL
SELECT 'text search dictionary', dictnamespace, oid, 0, dictname::text, coalesce(dictinitoption, '')
FROM pg_ts_dict WHERE dictnamespace = ANY((SELECT oids FROM input)::oid[])
UNION ALL
SELECT 'event trigger', 0, e.oid, 0, e.evtname::text,
  concat_ws(' ', 'ON', e.evtevent, 'WHEN TAG IN ' || e.evttags::text, 'EXECUTE',
    e.evtfoid::regprocedure, CASE e.evtenabled WHEN 'O' THEN NULL ELSE 'ENABLED ' || e.evtenabled::text END)
FROM pg_event_trigger e
UNION ALL
SELECT 'publication', 0, p.oid, 0, p.pubname::text,
  concat_ws(' ', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
    (SELECT string_agg(r.prrelid::regclass::text, ', ' ORDER BY r.prrelid::regclass::text)
     FROM pg_publication_rel r WHERE r.prpubid = p.oid))
FROM pg_publication p
UNION ALL
SELECT 'cast', 0, oid, 0, format_type(castsource, NULL) || ' AS ' || format_type(casttarget, NULL),
  concat_ws(' ', nullif(castfunc, 0)::regprocedure, castcontext, castmethod)
FROM pg_cast c WHERE oid >= 16384
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass
    AND d.objid = c.oid AND d.deptype = 'i')
UNION ALL
SELECT 'language', 0, oid, 0, lanname::text, concat_ws(' ', lanpltrusted, lanplcallfoid::regproc)
FROM pg_language WHERE oid >= 16384
UNION ALL
SELECT 'foreign server', 0, s.oid, 0, s.srvname::text,
  concat_ws(' ', w.fdwname, s.srvtype, s.srvversion, s.srvoptions::text)
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
UNION ALL
SELECT 'foreign data wrapper', 0, oid, 0, fdwname::text,
  concat_ws(' ', fdwhandler::regproc, fdwvalidator::regproc, fdwoptions::text)
FROM pg_foreign_data_wrapper";
}

impl PreparedText for AllComments {
    type Row = (Oid, Oid, Integer, Text);
    const TEXT: &'static str = "\
SELECT classoid, objoid, objsubid, description FROM pg_description WHERE objoid >= 16384";
}

impl PreparedText for SomeComments {
    type Row = (Oid, Oid, Integer, Text);
    const TEXT: &'static str = "\
SELECT classoid, objoid, objsubid, description FROM pg_description WHERE objoid = ANY($?)";
}

/// Rows that this transaction wrote have its identifier or, within savepoints, later ones.
///
/// The numbers say for each of the catalogs of `LOCAL`, in that order, how many rows are to be
/// explained: 0 if there is nothing to look for, -1 if only looking through all of it will do.
/// Most rows are found with the relations whose own row was written, which is what `near` is;
/// only if that does not add up is the whole catalog looked through.
impl PreparedText for Touched {
    type Row = PartSql;
    const TEXT: &'static str = "\
WITH want AS (SELECT $?::bigint[] AS n), near AS MATERIALIZED (
  SELECT coalesce(i.indrelid, c.oid) AS oid, c.reltype, c.relkind
  FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE (SELECT w.n[1] <> 0 FROM want w) AND age(c.xmin) <= 0
), near_oids AS MATERIALIZED (SELECT DISTINCT oid FROM near), touched AS (
  SELECT oid FROM near_oids
  UNION SELECT attrelid FROM pg_attribute WHERE (SELECT w.n[2] <> 0 FROM want w) AND age(xmin) <= 0
  UNION SELECT conrelid FROM pg_constraint WHERE (SELECT w.n[3] <> 0 AND w.n[3] <> (SELECT count(*)
    FROM near_oids r JOIN pg_constraint k ON k.conrelid = r.oid WHERE age(k.xmin) <= 0) FROM want w)
    AND age(xmin) <= 0
  UNION SELECT indrelid FROM pg_index WHERE (SELECT w.n[4] <> 0 AND w.n[4] <> (SELECT count(*)
    FROM near_oids r JOIN pg_index k ON k.indrelid = r.oid WHERE age(k.xmin) <= 0) FROM want w)
    AND age(xmin) <= 0
  UNION SELECT tgrelid FROM pg_trigger WHERE (SELECT w.n[5] <> 0 AND w.n[5] <> (SELECT count(*)
    FROM near_oids r JOIN pg_trigger k ON k.tgrelid = r.oid WHERE age(k.xmin) <= 0) FROM want w)
    AND age(xmin) <= 0
  UNION SELECT adrelid FROM pg_attrdef WHERE (SELECT w.n[6] <> 0 AND w.n[6] <> (SELECT count(*)
    FROM near_oids r JOIN pg_attrdef k ON k.adrelid = r.oid WHERE age(k.xmin) <= 0) FROM want w)
    AND age(xmin) <= 0
  UNION SELECT ev_class FROM pg_rewrite WHERE (SELECT w.n[7] <> 0 FROM want w) AND age(xmin) <= 0
  UNION SELECT polrelid FROM pg_policy WHERE (SELECT w.n[8] <> 0 FROM want w) AND age(xmin) <= 0
  UNION SELECT seqrelid FROM pg_sequence WHERE (SELECT w.n[9] <> 0 FROM want w) AND age(xmin) <= 0
  UNION SELECT inhrelid FROM pg_inherits WHERE (SELECT w.n[10] <> 0 FROM want w) AND age(xmin) <= 0
  UNION SELECT CASE d.classoid
      WHEN 1259 THEN coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = d.objoid), d.objoid)
      WHEN 2606 THEN (SELECT conrelid FROM pg_constraint WHERE oid = d.objoid)
      WHEN 2620 THEN (SELECT tgrelid FROM pg_trigger WHERE oid = d.objoid)
      WHEN 2618 THEN (SELECT ev_class FROM pg_rewrite WHERE oid = d.objoid)
      WHEN 3256 THEN (SELECT polrelid FROM pg_policy WHERE oid = d.objoid)
      ELSE 0 END
    FROM pg_description d WHERE (SELECT w.n[11] <> 0 FROM want w) AND age(d.xmin) <= 0)
SELECT c.relkind::text, c.relnamespace, c.oid, 0, c.relname::text, ''
FROM touched t JOIN pg_class c ON c.oid = t.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
UNION ALL
SELECT 'spaces', 0, 0, 0, '', '' FROM touched WHERE oid = 0
UNION ALL
SELECT 'spaces', 0, 0, 0, '', ''
WHERE (SELECT w.n[12] <> 0 AND w.n[12] <> (SELECT coalesce(sum(1 + (t.typarray <> 0)::int), 0)
    FROM near r JOIN pg_type t ON t.oid = r.reltype WHERE age(t.xmin) <= 0 AND r.relkind <> 'c')
    FROM want w)
  AND EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE age(t.xmin) <= 0 AND NOT (t.typtype = 'b' AND t.typcategory = 'A')
      AND (t.typrelid = 0 OR c.relkind = 'c'))
UNION ALL
SELECT 'all', 0, 0, 0, '', ''
WHERE (SELECT w.n[13] <> 0 FROM want w) AND EXISTS (SELECT FROM pg_proc p
  JOIN pg_proc q ON q.proname = p.proname AND q.oid <> p.oid WHERE age(p.xmin) <= 0)";
}

impl PreparedText for Dependents {
    type Row = Bool;
    const TEXT: &'static str = "\
SELECT EXISTS (SELECT FROM pg_depend d
WHERE d.refclassid = 1259 AND d.refobjid = ANY($?) AND d.classid IN (2618, 3256, 1255)
  AND d.deptype = 'n')";
}

impl PreparedText for Referrers {
    type Row = Bool;
    const TEXT: &'static str = "\
SELECT EXISTS (SELECT FROM pg_depend d
WHERE d.refclassid = 1259 AND d.refobjid = ANY($?) AND d.classid IN (2618, 3256, 1255, 2606, 2604)
  AND d.deptype = 'n')";
}
