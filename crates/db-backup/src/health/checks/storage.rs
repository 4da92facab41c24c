//! What is stored, and how much of it is waste.

use db_core::Engine;

use super::super::look::Look;
use super::super::query::{Named, Trouble, count, gauge, named, number, percent, size};
use super::super::{Limit, State, Verdict, metrics};

/// Tables and indexes that are named.
const MOST_NAMES: usize = 20;

const PAGES: &str = "SELECT page_count AS value FROM pragma_page_count";
const FREE_PAGES: &str = "SELECT freelist_count AS value FROM pragma_freelist_count";
const PAGE_SIZE: &str = "SELECT page_size AS value FROM pragma_page_size";

/// Tables with the most dead rows, and the share of them in per mille.
const DEAD: &str = "
    SELECT format('%I.%I: %s dead of %s rows', schemaname, relname, n_dead_tup, n_live_tup + n_dead_tup)
           AS name,
           (1000 * n_dead_tup / (n_live_tup + n_dead_tup))::bigint AS value
    FROM pg_catalog.pg_stat_user_tables WHERE n_dead_tup >= ";

/// Tables with all that belongs to them, and indexes, the largest first.
const SIZES: &str = "
    SELECT format('%I.%I', schemaname, relname) AS name,
           pg_total_relation_size(relid)::bigint AS value FROM pg_catalog.pg_stat_user_tables
    UNION ALL
    SELECT format('index %I.%I', schemaname, indexrelname), pg_relation_size(indexrelid)::bigint
    FROM pg_catalog.pg_stat_user_indexes ORDER BY value DESC";
const DATABASE_SIZE: &str =
    "SELECT pg_catalog.pg_database_size(current_database())::bigint AS value";

/// `dbstat` reads every page, which is why it is asked of a copy.
const FILE_SIZES: &str = "
    SELECT iif(s.type = 'index', 'index ', '') || d.name AS name, d.pgsize AS value
    FROM dbstat d LEFT JOIN sqlite_schema s ON s.name = d.name
    WHERE d.aggregate ORDER BY value DESC";

/// Little of the file is free, or of the tables dead.
pub(super) fn bloat(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    match look.target.engine() {
        Engine::Sqlite => free_pages(look),
        Engine::Postgres => dead_rows(look),
    }
}

fn free_pages(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let [pages, free, bytes] = look.ask(|conn| {
        let mut ask = |sql| number(conn, sql).map(|n| count(n.unwrap_or_default()));
        Ok([ask(PAGES)?, ask(FREE_PAGES)?, ask(PAGE_SIZE)?])
    })?;
    let share = if pages == 0 {
        0.0
    } else {
        gauge(free) / gauge(pages)
    };
    let (free, whole) = (free * bytes, pages * bytes);
    let limit = &look.limits.bloat;
    let state = if free < look.limits.bloat_least {
        State::Ok
    } else {
        limit.judge(&share)
    };
    let observed = format!(
        "{} of {} is free ({})",
        size(free),
        size(whole),
        percent(share)
    );
    Ok(bloated(
        state,
        observed,
        (share, limit),
        "`bitcraps-db maintenance --vacuum` gives it back",
    ))
}

fn dead_rows(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let least = look.limits.dead_rows_least;
    let sql = format!("{DEAD} {least} ORDER BY value DESC LIMIT {MOST_NAMES}");
    let tables = look.ask(|conn| named(conn, &sql))?;
    let share = tables
        .first()
        .map_or(0.0, |row| gauge(count(row.value)) / 1_000.0);
    let limit = &look.limits.bloat;
    let observed = if tables.is_empty() {
        format!("no table has {least} dead rows")
    } else {
        format!("{} of a table's rows are dead", percent(share))
    };
    let wasteful = tables
        .into_iter()
        .filter(|row| limit.judge(&(gauge(count(row.value)) / 1_000.0)) != State::Ok);
    let names = wasteful.map(|row| row.name).collect();
    let hint = "find out why autovacuum does not get there: a long transaction, a slot, its settings; \
                `bitcraps-db maintenance --vacuum`";
    Ok(bloated(limit.judge(&share), observed, (share, limit), hint).names(names))
}

fn bloated(
    state: State,
    observed: String,
    (share, limit): (f64, &Limit<f64>),
    hint: &'static str,
) -> Verdict {
    Verdict::new(state, observed)
        .at(limit, |share| percent(*share))
        .hint(hint)
        .measure(metrics::BLOAT, share)
}

/// How large everything is; there is no limit to it.
pub(super) fn sizes(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let (parts, whole) = match look.target.engine() {
        Engine::Postgres => look.ask(|conn| {
            let whole = number(conn, DATABASE_SIZE)?.unwrap_or_default();
            Ok((named(conn, SIZES)?, count(whole)))
        })?,
        Engine::Sqlite => {
            let whole = look.ask(|conn| {
                let pages = number(conn, PAGES)?.unwrap_or_default();
                let bytes = number(conn, PAGE_SIZE)?.unwrap_or_default();
                Ok(count(pages) * count(bytes))
            })?;
            let parts = if look.target.url.path().is_none() {
                look.ask(|conn| named(conn, FILE_SIZES))?
            } else {
                look.copy()?.ask(|conn| named(conn, FILE_SIZES))?
            };
            (parts, whole)
        }
    };
    let shown = |row: Named| format!("{}: {}", row.name, size(count(row.value)));
    let names = parts.into_iter().take(MOST_NAMES).map(shown).collect();
    Ok(Verdict::ok(format!("{} in all", size(whole)))
        .names(names)
        .measure(metrics::SIZE, gauge(whole)))
}
