//! Whether what is stored can be read, and is what was written.

use db_core::{Conn, Engine};

use super::super::Verdict;
use super::super::look::Look;
use super::super::query::{Trouble, counted, named, number, word, words};

/// More findings than this say nothing more. SQLite itself stops after a hundred.
const MOST_FINDINGS: usize = 20;

const QUICK: &str = "SELECT quick_check AS value FROM pragma_quick_check WHERE quick_check <> 'ok'";

const CHECKSUMS: &str = "SELECT current_setting('data_checksums') AS value";
const BROKEN_PAGES: &str = "SELECT coalesce(checksum_failures, 0)::bigint AS value
    FROM pg_catalog.pg_stat_database WHERE datname = current_database()";
const AMCHECK: &str = "SELECT quote_ident(n.nspname) AS value FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck'";
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
    let mut seen = vec![
        if has_checksums {
            "no page with a wrong checksum was met"
        } else {
            "the server keeps no checksums of pages"
        }
        .to_owned(),
    ];
    match look.ask(|conn| word_or_none(conn, AMCHECK))? {
        Some(schema) => {
            let (checked, faults) = look.ask(|conn| btrees(conn, &schema))?;
            seen.push(format!("{} checked", counted(checked, "index", "indexes")));
            found.extend(faults);
        }
        None => seen.push("the extension amcheck is not there to check indexes".to_owned()),
    }
    Ok(judged(found, &seen.join("; "))
        .hint("restore a backup where pages are damaged; REINDEX where only an index is"))
}

/// How many were checked, and what is wrong with some.
fn btrees(conn: &mut Conn<'_>, schema: &str) -> Result<(u64, Vec<String>), Trouble> {
    let (mut checked, mut faults) = (0, Vec::new());
    for index in named(conn, BTREES)? {
        let sql = format!(
            "SELECT 1::bigint AS value FROM (SELECT {schema}.bt_index_check({}::oid::regclass)) x",
            index.value
        );
        match number(conn, &sql) {
            Ok(_) => {}
            Err(trouble) if is_damage(&trouble) => {
                faults.push(format!("{}: {trouble}", index.name));
            }
            Err(trouble) => return Err(trouble),
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
    trouble.database().is_some_and(|error| {
        matches!(
            error.kind(),
            db_core::ErrorKind::Corrupt | db_core::ErrorKind::NotADatabase
        )
    })
}

fn word_or_none(conn: &mut Conn<'_>, sql: &str) -> Result<Option<String>, Trouble> {
    Ok(words(conn, sql)?.into_iter().next())
}
