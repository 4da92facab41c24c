//! What PostgreSQL's extension `amcheck` reads: every B-tree, and every page of every table.

use db_core::bulk::PostgresBulk;
use db_core::{Access, Error, ErrorKind};

use super::super::look::{LOCK_SECONDS, Look};
use super::super::query::{self, Named, Trouble, named};

/// Findings of one table that are named.
const MOST_OF_A_TABLE: usize = 5;

/// The schema of the extension, and whether it reads tables.
const EXTENSION: &str = "SELECT quote_ident(n.nspname) AS name,
        coalesce((SELECT CASE WHEN has_function_privilege(p.oid, 'EXECUTE') THEN 2 ELSE 1 END
                  FROM pg_catalog.pg_proc p
                  WHERE p.pronamespace = n.oid AND p.proname = 'verify_heapam' LIMIT 1), 0)::bigint AS value
    FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
const BTREES: &str = "SELECT c.oid::regclass::text AS name, c.oid::bigint AS value
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'btree'
    JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid AND i.indisvalid AND i.indisready
    WHERE c.relkind = 'i' AND c.relpersistence <> 't' ORDER BY c.relpages";
/// Tables, what they hold out of line, and views that are stored; the catalogs' too.
const HEAPS: &str = "SELECT c.oid::regclass::text AS name, c.oid::bigint AS value
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'heap'
    WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't' ORDER BY c.relpages";

/// What was read, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) indexes: u64,
    pub(super) tables: u64,
    pub(super) faults: Vec<String>,
    /// What could not be looked at, with the reason.
    pub(super) unseen: Vec<String>,
    /// Whether every table was read.
    pub(super) all_tables: bool,
}

/// Reads everything, or `None` where the extension is not there.
///
/// It is read by a connection of libpq's own, because it is the code that says what is damage: words
/// differ from version to version.
pub(super) fn read(look: &mut Look<'_>) -> Result<Option<Read>, Trouble> {
    let Some(extension) = look.ask(|conn| named(conn, EXTENSION))?.pop() else {
        return Ok(None);
    };
    let schema = extension.name;
    let indexes = look.ask(|conn| named(conn, BTREES))?;
    let heaps = look.ask(|conn| named(conn, HEAPS))?;
    let target = look.target;
    let mut reader = PostgresBulk::open(&target.url, Access::ReadOnly, &target.interrupt)?;
    if !target.is_pooled {
        // A large relation takes longer than the role's statements may.
        reader.execute(&format!(
            "SET statement_timeout = 0; SET lock_timeout = '{LOCK_SECONDS}s'"
        ))?;
    }
    let mut read = Read::default();
    match read.all(&mut reader, &schema, (&indexes, &heaps, extension.value)) {
        // What was found already is not to be lost.
        Err(error) if !read.faults.is_empty() => read.unseen.push(format!("the rest ({error})")),
        done => done?,
    }
    Ok(Some(read))
}

impl Read {
    fn all(
        &mut self,
        reader: &mut PostgresBulk,
        schema: &str,
        (indexes, heaps, reads_tables): (&[Named], &[Named], i64),
    ) -> Result<(), Error> {
        self.indexes = self.each(reader, indexes, |oid| {
            format!(
                "SELECT {schema}.bt_index_check(c.oid::regclass)
                 FROM pg_catalog.pg_class c WHERE c.oid = {oid}"
            )
        })?;
        let reason = match reads_tables {
            2 => {
                let unseen = self.unseen.len();
                self.tables = self.each(reader, heaps, |oid| {
                    format!(
                        "SELECT pg_catalog.concat('block ', v.blkno, ', item ' || v.offnum, ': ', v.msg)
                         FROM pg_catalog.pg_class c, LATERAL {schema}.verify_heapam(c.oid::regclass) v
                         WHERE c.oid = {oid} LIMIT {MOST_OF_A_TABLE}"
                    )
                })?;
                self.all_tables = self.unseen.len() == unseen;
                return Ok(());
            }
            1 => "GRANT EXECUTE ON FUNCTION verify_heapam lets this role check them",
            _ => "ALTER EXTENSION amcheck UPDATE lets them be checked",
        };
        self.unseen.push(format!("tables ({reason})"));
        Ok(())
    }

    /// Runs a query on each relation, and takes what it says as faults. One that is gone by now says
    /// nothing. Returns how many were read.
    fn each(
        &mut self,
        reader: &mut PostgresBulk,
        relations: &[Named],
        query: impl Fn(i64) -> String,
    ) -> Result<u64, Error> {
        let mut count = 0;
        for Named { name, value } in relations {
            match reader.rows_one(&query(*value)) {
                Ok(rows) => {
                    let said = rows.into_iter().flatten().flatten();
                    let faults = said.filter(|text| !text.is_empty());
                    self.faults
                        .extend(faults.map(|text| format!("{name}: {text}")));
                }
                Err(error) if query::is_damage(&error) => {
                    self.faults.push(format!("{name}: {}", error.message()));
                }
                Err(error) if error.kind() == ErrorKind::LockTimeout => {
                    self.unseen
                        .push(format!("{name} (its lock was not free in time)"));
                    continue;
                }
                Err(error) => return Err(error),
            }
            count += 1;
        }
        Ok(count)
    }
}
