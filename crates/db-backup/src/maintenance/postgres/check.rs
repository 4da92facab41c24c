//! Looking for damage on PostgreSQL: indexes and tables by amcheck, foreign keys by their rows.

use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName};

use super::{Done, Steps, execute, kind, load, names, number, skip};
use crate::Error;
use db_core::ErrorKind;

/// Where the functions of the extension are, if it is installed.
const AMCHECK: &str = "
    SELECT pg_catalog.quote_ident(n.nspname) AS name
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'amcheck'";

/// Valid b-tree indexes of this database, the catalogs' too.
const BTREES: &str = "
    SELECT i.indexrelid::bigint AS oid,
           pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_am a ON a.oid = c.relam
    WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't'
      AND i.indisvalid AND i.indisready
    ORDER BY 2";

/// Tables with rows, the catalogs' too.
const HEAPS: &str = "
    SELECT c.oid::bigint AS oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't'
    ORDER BY 2";

/// For each foreign key a query for the number of rows without a parent. A partitioned table is read
/// with all of its partitions, whose own keys are those of it; tables that inherit have no key of it.
const FOREIGN_KEYS: &str = "
    SELECT pg_catalog.format('%s on %s', pg_catalog.quote_ident(k.conname), k.conrelid::regclass) AS name,
           pg_catalog.format(
               'SELECT count(*) AS n FROM %s%s c WHERE %s AND NOT EXISTS (SELECT FROM %s%s p WHERE %s)',
               CASE WHEN own.relkind = 'p' THEN '' ELSE 'ONLY ' END, k.conrelid::regclass,
               string_agg(pg_catalog.format('c.%I IS NOT NULL', a.attname), ' AND '),
               CASE WHEN other.relkind = 'p' THEN '' ELSE 'ONLY ' END, k.confrelid::regclass,
               string_agg(pg_catalog.format('p.%I = c.%I', f.attname, a.attname), ' AND ')) AS query
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class own ON own.oid = k.conrelid
    JOIN pg_catalog.pg_class other ON other.oid = k.confrelid
    CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(own, other)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.own
    JOIN pg_catalog.pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = pair.other
    WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0
    GROUP BY k.oid, k.conname, k.conrelid, k.confrelid, own.relkind, other.relkind
    ORDER BY 1";

/// What is wrong for good.
const INVALID: &str = "
    SELECT pg_catalog.format('index %s is invalid', i.indexrelid::regclass) AS name
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relkind = 'i' AND NOT ({busy})
    UNION ALL
    SELECT pg_catalog.format('%s pages failed their checksums since %s', checksum_failures,
                             coalesce(checksum_last_failure::text, 'the statistics were reset'))
    FROM pg_catalog.pg_stat_database
    WHERE datname = pg_catalog.current_database() AND checksum_failures > 0";

/// What may be somebody's work or will.
const UNFINISHED: &str = "
    SELECT pg_catalog.format('index %s is not valid, and somebody is building one on its table, or '
                             'vacuums it', i.indexrelid::regclass) AS name
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relkind = 'i' AND ({busy})
    UNION ALL
    SELECT pg_catalog.format('index %s of a partitioned table waits for one on each partition',
                             i.indexrelid::regclass)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relkind = 'I'
    UNION ALL
    SELECT pg_catalog.format('constraint %I on %s is NOT VALID: rows that were there before it are not '
                             'checked', conname, conrelid::regclass)
    FROM pg_catalog.pg_constraint WHERE NOT convalidated";

/// Whoever builds an index beside writers holds this lock from its first step to its last. It is shown
/// to everybody, as the view of progress is not.
const BUSY: &str = "EXISTS (SELECT FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.granted
      AND l.mode = 'ShareUpdateExclusiveLock'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                      WHERE a.pid = l.pid AND a.backend_type = 'autovacuum worker')
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))";

#[derive(QueryableByName)]
struct Relation {
    #[diesel(sql_type = BigInt)]
    oid: i64,
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct ForeignKey {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    query: String,
}

/// Into how many steps the check is divided.
pub(super) fn steps(conn: &mut PgConnection) -> Result<usize, Error> {
    let keys = load::<ForeignKey>(conn, FOREIGN_KEYS)?.len();
    if names(conn, AMCHECK)?.is_empty() {
        return Ok(keys + 1);
    }
    Ok(keys + 1 + load::<Relation>(conn, BTREES)?.len() + load::<Relation>(conn, HEAPS)?.len())
}

pub(super) fn run(conn: &mut PgConnection, steps: &mut Steps<'_>) -> Result<Done, Error> {
    let mut done = Done::default();
    let of = self::steps(conn)?;
    let mut number_of = 1;
    steps.begin("catalog", number_of, of)?;
    done.findings
        .extend(names(conn, &INVALID.replace("{busy}", BUSY))?);
    done.notes
        .extend(names(conn, &UNFINISHED.replace("{busy}", BUSY))?);
    done.steps += 1;
    if let Some(schema) = names(conn, AMCHECK)?.pop() {
        for index in load::<Relation>(conn, BTREES)? {
            number_of += 1;
            steps.begin(&index.name, number_of, of)?;
            let sql = format!(
                "SELECT 'ok' AS name FROM (SELECT {schema}.bt_index_check({}::oid::regclass, true)) x",
                index.oid
            );
            note(&mut done, &index.name, names(conn, &sql))?;
        }
        for heap in load::<Relation>(conn, HEAPS)? {
            number_of += 1;
            steps.begin(&heap.name, number_of, of)?;
            let sql = format!(
                "SELECT pg_catalog.format('%s: block %s, item %s: %s', {}::oid::regclass, blkno,
                                          offnum, msg) AS name
                 FROM {schema}.verify_heapam({}::oid::regclass) LIMIT 20",
                heap.oid, heap.oid
            );
            note(&mut done, &heap.name, names(conn, &sql))?;
        }
    } else {
        done.notes.push(
            "the extension amcheck is not installed, so indexes and tables were not read: \
             CREATE EXTENSION amcheck, as a superuser"
                .to_owned(),
        );
    }
    for key in load::<ForeignKey>(conn, FOREIGN_KEYS)? {
        number_of += 1;
        steps.begin(&key.name, number_of, of)?;
        match orphans(conn, &key.query)? {
            Ok(0) => done.steps += 1,
            Ok(rows) => {
                done.steps += 1;
                done.findings
                    .push(format!("{rows} rows break the foreign key {}", key.name));
            }
            Err(error) => skip(&mut done, &key.name, error)?,
        }
    }
    Ok(done)
}

/// How many rows a query finds, or why it cannot look.
fn orphans(conn: &mut PgConnection, query: &str) -> Result<Result<u64, Error>, Error> {
    // For this statement only: behind a pooler the session is another's next. A policy that hides
    // rows is an error of that step, and not a table that is sound.
    execute(conn, "BEGIN; SET LOCAL row_security = off")?;
    let found = number(conn, query);
    match (execute(conn, "ROLLBACK"), found) {
        // What broke the connection says more than that it is broken.
        (Err(_), Err(error)) => Err(error),
        (ended, found) => ended.map(|()| found),
    }
}

/// Takes what a check of one relation says; that it cannot read on is a finding.
fn note(done: &mut Done, name: &str, found: Result<Vec<String>, Error>) -> Result<(), Error> {
    match found {
        Ok(lines) => {
            done.steps += 1;
            let damage = lines.into_iter().filter(|line| line != "ok");
            done.findings.extend(damage);
            Ok(())
        }
        Err(error)
            if matches!(
                kind(&error),
                Some(ErrorKind::Corrupt | ErrorKind::Io | ErrorKind::Other)
            ) =>
        {
            done.steps += 1;
            done.findings.push(match error {
                Error::Database { error, .. } => format!("{name}: {}", error.told()),
                other => other.to_string(),
            });
            Ok(())
        }
        Err(error) => skip(done, name, error),
    }
}
