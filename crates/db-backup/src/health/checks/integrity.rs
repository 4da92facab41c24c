//! Whether what is stored can be read, and is what was written.

use db_core::bulk::PostgresBulk;
use db_core::{Access, Conn, Engine};

use super::super::Verdict;
use super::super::look::{LOCK_SECONDS, Look};
use super::super::query::{self, Trouble, counted, named, number, word, words};

/// More findings than this say nothing more. SQLite itself stops after a hundred.
const MOST_FINDINGS: usize = 20;

const QUICK: &str = "SELECT quick_check AS value FROM pragma_quick_check WHERE quick_check <> 'ok'";

const CHECKSUMS: &str = "SELECT current_setting('data_checksums') AS value";
const BROKEN_PAGES: &str = "SELECT coalesce(checksum_failures, 0)::bigint AS value
    FROM pg_catalog.pg_stat_database WHERE datname = current_database()";
const AMCHECK: &str = "SELECT quote_ident(n.nspname) AS value FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck'";
const UNSEEN: &str = "CREATE EXTENSION amcheck lets indexes be checked, and pg_checksums --enable, on a \
    server that is stopped, pages; `backup verify --restore` reads all of the data meanwhile";
const BTREES: &str = "SELECT c.oid::regclass::text AS name, c.oid::bigint AS value
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'btree'
    JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid AND i.indisvalid AND i.indisready
    WHERE c.relkind = 'i' AND c.relpersistence <> 't' ORDER BY c.relpages";

/// On SQLite a quick check of a copy; on PostgreSQL pages whose checksum was wrong, and with the
/// extension `amcheck` every index that is a B-tree.
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    match look.target.engine() {
        Engine::Sqlite => file(look),
        Engine::Postgres => server(look),
    }
}

fn file(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let found = if look.target.url.path().is_none() {
        look.ask(|conn| words(conn, QUICK))?
    } else {
        let asked = look.copy()?.ask(|conn| words(conn, QUICK));
        match asked {
            Err(trouble) if is_damage(&trouble) => vec![trouble.to_string()],
            other => other?,
        }
    };
    look.has_read = true;
    Ok(judged(found, "a quick check of a copy found nothing")
        .hint("restore the newest verified backup; `bitcraps-db salvage` reads what is left"))
}

fn server(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let has_checksums = look.ask(|conn| word(conn, CHECKSUMS))?.as_deref() == Some("on");
    let broken = look
        .ask(|conn| number(conn, BROKEN_PAGES))?
        .unwrap_or_default();
    let mut found = Vec::new();
    if broken > 0 {
        found.push(format!("{broken} reads met a page whose checksum is wrong"));
    }
    let (mut seen, mut unseen) = (Vec::new(), Vec::new());
    if has_checksums {
        seen.push("no page with a wrong checksum was met".to_owned());
    } else {
        unseen.push("pages of tables (the server keeps no checksums)");
    }
    match look.ask(|conn| word_or_none(conn, AMCHECK))? {
        Some(schema) => {
            let (checked, faults) = btrees(look, &schema)?;
            // Without checksums nobody sees what is wrong in a table's pages.
            look.has_read = has_checksums;
            seen.push(format!("{} checked", counted(checked, "index", "indexes")));
            found.extend(faults);
        }
        None => unseen.push("indexes (the extension amcheck is not there)"),
    }
    if found.is_empty() && !unseen.is_empty() {
        // What nobody looked at is not known to be sound.
        seen.push(format!("not checked: {}", unseen.join(", ")));
        return Ok(Verdict::unknown(seen.join("; ")).hint(UNSEEN));
    }
    Ok(judged(found, &seen.join("; "))
        .hint("restore a backup where pages are damaged; REINDEX where only an index is"))
}

/// How many were checked, and what is wrong with some. They are read by a connection of libpq's own,
/// because it is the code that says what is damage: words differ from version to version.
fn btrees(look: &mut Look<'_>, schema: &str) -> Result<(u64, Vec<String>), Trouble> {
    let indexes = look.ask(|conn| named(conn, BTREES))?;
    let target = look.target;
    let mut reader = PostgresBulk::open(&target.url, Access::ReadOnly, &target.interrupt)?;
    if !target.is_pooled {
        // A large index takes longer than the role's statements may.
        reader.execute(&format!(
            "SET statement_timeout = 0; SET lock_timeout = '{LOCK_SECONDS}s'"
        ))?;
    }
    let (mut checked, mut faults) = (0, Vec::new());
    for index in indexes {
        let sql = format!(
            "SELECT {schema}.bt_index_check({}::oid::regclass)",
            index.value
        );
        match reader.rows_one(&sql) {
            Ok(_) => {}
            Err(error) if query::is_damage(&error) => {
                faults.push(format!("{}: {}", index.name, error.message()));
            }
            Err(error) => return Err(error.into()),
        }
        checked += 1;
    }
    Ok((checked, faults))
}

fn judged(mut found: Vec<String>, sound: &str) -> Verdict {
    let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
    found.truncate(MOST_FINDINGS);
    if found.is_empty() {
        Verdict::ok(sound)
    } else {
        Verdict::fail(counted(count, "fault", "faults")).names(found)
    }
}

fn is_damage(trouble: &Trouble) -> bool {
    trouble.database().is_some_and(query::is_damage)
}

fn word_or_none(conn: &mut Conn<'_>, sql: &str) -> Result<Option<String>, Trouble> {
    Ok(words(conn, sql)?.into_iter().next())
}
