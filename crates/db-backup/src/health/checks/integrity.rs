//! Whether what is stored can be read, and is what was written.

use db_core::Engine;

use super::super::Verdict;
use super::super::look::Look;
use super::super::query::{self, Trouble, counted, number, word, words};
use super::amcheck;

/// More findings than this say nothing more. SQLite itself stops after a hundred.
const MOST_FINDINGS: usize = 20;

const QUICK: &str = "SELECT quick_check AS value FROM pragma_quick_check WHERE quick_check <> 'ok'";

const CHECKSUMS: &str = "SELECT current_setting('data_checksums') AS value";
const BROKEN_PAGES: &str = "SELECT coalesce(checksum_failures, 0)::bigint AS value
    FROM pg_catalog.pg_stat_database WHERE datname = current_database()";
const UNSEEN: &str = "CREATE EXTENSION amcheck lets indexes and tables be checked, and pg_checksums --enable, on \
    a server that is stopped, all that rows hold; `backup verify --restore` reads all of the data meanwhile";

/// On SQLite a quick check of a copy; on PostgreSQL pages whose checksum was wrong, and with the
/// extension `amcheck` every index that is a B-tree and every page of every table.
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
    let read = amcheck::read(look)?;
    if has_checksums {
        seen.push("no page with a wrong checksum was met".to_owned());
    } else if read.is_some() {
        unseen.push("what rows hold (the server keeps no checksums)".to_owned());
    } else {
        unseen.push("pages (the server keeps no checksums)".to_owned());
    }
    match read {
        Some(read) => {
            // Without checksums nobody sees what is wrong in the middle of a row.
            look.has_read = has_checksums && read.all_tables;
            let indexes = counted(read.indexes, "index", "indexes");
            let tables = counted(read.tables, "table", "tables");
            seen.push(format!("{indexes} and {tables} checked"));
            found.extend(read.faults);
            unseen.extend(read.unseen);
        }
        None => unseen.push("indexes and tables (the extension amcheck is not there)".to_owned()),
    }
    let not_checked = format!("not checked: {}", unseen.join(", "));
    if found.is_empty() && !unseen.is_empty() {
        // What nobody looked at is not known to be sound.
        seen.push(not_checked);
        return Ok(Verdict::unknown(seen.join("; ")).hint(UNSEEN));
    }
    let mut verdict = judged(found, &seen.join("; "));
    if !unseen.is_empty() {
        verdict.observed = format!("{}; {not_checked}", verdict.observed);
    }
    Ok(verdict.hint("restore a backup where pages are damaged; REINDEX where only an index is"))
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
