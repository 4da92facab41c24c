//! Building indexes anew without holding up writers, and what a failed attempt leaves behind.

use diesel::PgConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::{DOING, Done, Skipped, Steps, execute, load, names, number, skip};
use crate::Error;

/// Indexes that this role may build anew; those of partitioned tables are only their parts.
const INDEXES: &str = "
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND t.relkind IN ('r', 'm')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
      AND pg_catalog.pg_has_role(t.relowner, 'USAGE')";

/// What `REINDEX CONCURRENTLY` leaves behind when it fails: a half-built copy (`_ccnew`), or the old
/// one that was about to be dropped (`_ccold`). Both are invalid and cost every write. An index that
/// somebody builds at this moment is none.
const LEFTOVERS: &str = "
    AND NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                    WHERE p.index_relid = i.indexrelid OR p.relid = i.indrelid)";

#[derive(QueryableByName)]
struct Index {
    #[diesel(sql_type = Text)]
    name: String,
    /// The server builds the index of an exclusion constraint only while nobody writes.
    #[diesel(sql_type = Bool)]
    is_exclusion: bool,
}

#[derive(QueryableByName)]
struct IsThere {
    #[diesel(sql_type = Bool)]
    there: bool,
}

/// The indexes that would be built anew.
pub(super) fn indexes(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    Ok(valid(conn)?.into_iter().map(|index| index.name).collect())
}

/// What the largest of them takes: so much is needed beside it for a time.
pub(super) fn largest(conn: &mut PgConnection) -> Result<u64, Error> {
    let sql = format!(
        "SELECT coalesce(max(pg_catalog.pg_relation_size(c.oid)), 0)::bigint AS n {INDEXES}"
    );
    number(conn, &sql)
}

fn valid(conn: &mut PgConnection) -> Result<Vec<Index>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
                i.indisexclusion AS is_exclusion
         {INDEXES} AND NOT (c.relname ~ '_cc(new|old)[0-9]*$' AND NOT i.indisvalid) ORDER BY 1"
    );
    load(conn, &sql)
}

fn leftovers(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
         {INDEXES} {LEFTOVERS} ORDER BY 1"
    );
    names(conn, &sql)
}

pub(super) fn run(conn: &mut PgConnection, steps: &mut Steps<'_>) -> Result<Done, Error> {
    let mut done = Done::default();
    drop_leftovers(conn, &mut done)?;
    let indexes = valid(conn)?;
    for (at, index) in indexes.iter().enumerate() {
        steps.begin(&index.name, at + 1, indexes.len())?;
        if index.is_exclusion {
            done.skipped.push(Skipped {
                object: index.name.clone(),
                reason: "it belongs to an exclusion constraint, which PostgreSQL cannot build \
                         beside writers; REINDEX INDEX does it while nobody writes"
                    .to_owned(),
                is_busy: false,
            });
            continue;
        }
        let built = execute(conn, &format!("REINDEX INDEX CONCURRENTLY {}", index.name));
        match built {
            Ok(()) => done.steps += 1,
            Err(error) => {
                // An interrupt would end the clearing up as well.
                let stopped = steps.interrupt.is_set();
                steps.interrupt.clear();
                let cleared = drop_leftovers(conn, &mut done);
                if stopped {
                    cleared?;
                    return Err(Error::Interrupted);
                }
                cleared?;
                skip(&mut done, &index.name, error)?;
            }
        }
    }
    Ok(done)
}

fn drop_leftovers(conn: &mut PgConnection, done: &mut Done) -> Result<(), Error> {
    for leftover in leftovers(conn)? {
        match execute(
            conn,
            &format!("DROP INDEX CONCURRENTLY IF EXISTS {leftover}"),
        ) {
            Ok(()) => done.notes.push(format!(
                "dropped {leftover}, which an attempt before had left"
            )),
            Err(error) => skip(done, &leftover, error)?,
        }
        if is_there(conn, &leftover)? {
            done.notes.push(format!(
                "{leftover} is invalid and still there: DROP INDEX CONCURRENTLY {leftover}"
            ));
        }
    }
    Ok(())
}

fn is_there(conn: &mut PgConnection, index: &str) -> Result<bool, Error> {
    sql_query("SELECT pg_catalog.to_regclass($1) IS NOT NULL AS there")
        .bind::<Text, _>(index)
        .get_result::<IsThere>(conn)
        .map(|row| row.there)
        .map_err(|e| {
            Error::database(
                DOING,
                db_core::Error::classify(db_core::Engine::Postgres, &e),
            )
        })
}
