//! Indexes that are broken or idle, statistics that are old, statements that are slow.

use std::time::Duration;

use db_core::duration::show;
use db_core::{Conn, Engine};

use super::super::look::Look;
use super::super::query::{Named, Trouble, count, counted, named, number, size, words};
use super::super::{State, Verdict};

/// How many are named.
const MOST_NAMES: usize = 20;

const INVALID: &str = "SELECT indexrelid::regclass::text AS value FROM pg_catalog.pg_index
    WHERE NOT indisvalid
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index p
                      WHERE p.index_relid = indexrelid)
    ORDER BY 1";

/// Days since statistics of use were reset, or at least since the server started.
const DAYS_WATCHED: &str = "
    SELECT (extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time())))::bigint
           AS value
    FROM pg_catalog.pg_stat_database WHERE datname = current_database()";

/// Indexes that only serve to be read, and never were.
const IDLE: &str = "
    SELECT format('%I.%I', s.schemaname, s.indexrelname) AS name,
           pg_relation_size(s.indexrelid)::bigint AS value
    FROM pg_catalog.pg_stat_user_indexes s
    JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid
    WHERE s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisprimary AND NOT i.indisexclusion
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = s.indexrelid)
    ORDER BY value DESC";

/// Rows changed since ANALYZE, in per cent of the rows.
const STALE: &str = "
    SELECT format('%I.%I', schemaname, relname) AS name,
           (100 * n_mod_since_analyze / greatest(n_live_tup, 1))::bigint AS value
    FROM pg_catalog.pg_stat_user_tables WHERE n_live_tup >= ";

const HAS_STATISTICS: &str =
    "SELECT count(*) AS value FROM sqlite_schema WHERE name = 'sqlite_stat1'";
/// Tables that have an index for which statistics would be of use.
const INDEXED: &str = "
    SELECT DISTINCT t.name AS value FROM pragma_table_list t
    JOIN sqlite_schema i ON i.tbl_name = t.name AND i.type = 'index'
    WHERE t.schema = 'main' AND t.type = 'table' AND NOT t.wr AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const ESTIMATES: &str =
    "SELECT tbl AS name, max(CAST(stat AS INTEGER)) AS value FROM sqlite_stat1 GROUP BY tbl";

/// Only what reads or writes rows: others may hold a password in their text.
const SLOW: &str = "
    SELECT calls || ' times, ' || round(mean_exec_time)::bigint || ' ms each: '
           || left(regexp_replace(query, '\\s+', ' ', 'g'), 200) AS name,
           mean_exec_time::bigint AS value
    FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND query ~* '^\\s*(select|insert|update|delete|with|merge)\\M' AND calls >= ";

/// No index was left half made.
pub(super) fn invalid_indexes(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let names = look.ask(|conn| words(conn, INVALID))?;
    Ok(if names.is_empty() {
        Verdict::ok("all indexes are valid")
    } else {
        let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
        Verdict::fail(format!(
            "{} invalid",
            counted(count, "index is", "indexes are")
        ))
        .names(names)
        .hint("a CREATE INDEX CONCURRENTLY failed: drop it concurrently, and make it again")
    })
}

/// Every large index is read.
pub(super) fn unused_indexes(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let watched = look.ask(|conn| number(conn, DAYS_WATCHED))?;
    let watched = Duration::from_secs(count(watched.unwrap_or_default()));
    if watched < look.limits.unused_after {
        return Ok(Verdict::ok(format!(
            "use is counted for {} only, {} are needed to tell",
            show(watched),
            show(look.limits.unused_after)
        )));
    }
    let least = look.limits.unused_index_least;
    let idle = look.ask(|conn| named(conn, IDLE))?;
    let idle: Vec<Named> = idle
        .into_iter()
        .filter(|row| count(row.value) >= least)
        .collect();
    let observed = format!("{} of {} and more", idle.len(), size(least));
    Ok(if idle.is_empty() {
        Verdict::ok(format!("{observed} unused"))
    } else {
        let shown = |row: Named| format!("{}: {}", row.name, size(count(row.value)));
        Verdict::warn(format!("{observed} were not read in {}", show(watched)))
            .names(idle.into_iter().take(MOST_NAMES).map(shown).collect())
            .hint("each slows down writes; look at standbys too before you drop one in a migration")
    })
}

/// The planner knows how large tables are.
pub(super) fn statistics(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let least = look.limits.statistics_least_rows;
    let stale = match look.target.engine() {
        Engine::Postgres => {
            let sql = format!("{STALE} {least} ORDER BY value DESC");
            look.ask(|conn| named(conn, &sql))?
        }
        Engine::Sqlite => look.ask(|conn| stale_of_file(conn, least))?,
    };
    let limit = &look.limits.stale_statistics;
    let judge = |row: &Named| limit.judge(&(super::super::query::gauge(count(row.value)) / 100.0));
    // Statistics are never a failure: statements are slow, not wrong.
    let state = stale
        .iter()
        .map(judge)
        .max()
        .unwrap_or(State::Ok)
        .min(State::Warn);
    let stale: Vec<Named> = stale
        .into_iter()
        .filter(|row| judge(row) != State::Ok)
        .collect();
    let observed = if stale.is_empty() {
        "statistics are young".to_owned()
    } else {
        let count = u64::try_from(stale.len()).unwrap_or(u64::MAX);
        format!("of {} they are old", counted(count, "table", "tables"))
    };
    let shown = |row: Named| match row.value {
        // Of an empty table, for which there is no share.
        1_000.. => format!("{}: nearly all of its rows are new", row.name),
        share => format!("{}: {share} % of its rows are new", row.name),
    };
    Ok(Verdict::new(state, observed)
        .limit(format!(
            "warn {:.0} % of a table's rows",
            limit.warn * 100.0
        ))
        .names(stale.into_iter().take(MOST_NAMES).map(shown).collect())
        .hint("`bitcraps-db maintenance --analyze`"))
}

/// How far each indexed table has grown or shrunk since ANALYZE, in per cent of what it was; by
/// its row numbers, because counting would read it.
fn stale_of_file(conn: &mut Conn<'_>, least: u64) -> Result<Vec<Named>, Trouble> {
    let estimates = if number(conn, HAS_STATISTICS)? == Some(0) {
        Vec::new()
    } else {
        named(conn, ESTIMATES)?
    };
    let mut stale = Vec::new();
    for table in words(conn, INDEXED)? {
        let quoted = table.replace('"', "\"\"");
        // Asked together, SQLite would read the whole table to find both ends of it.
        let sql = format!(
            "SELECT (SELECT max(rowid) FROM \"{quoted}\") - (SELECT min(rowid) FROM \"{quoted}\") + 1
             AS value"
        );
        let rows = count(number(conn, &sql)?.unwrap_or_default());
        if rows < least {
            continue;
        }
        let estimate = estimates.iter().find(|row| row.name == table);
        let was = count(estimate.map_or(0, |row| row.value));
        let percent = 100 * rows.abs_diff(was) / was.max(1);
        stale.push(Named {
            name: table,
            value: i64::try_from(percent).unwrap_or(i64::MAX),
        });
    }
    stale.sort_by_key(|row| std::cmp::Reverse(row.value));
    Ok(stale)
}

/// No statement is slow on average, where the server counts them.
pub(super) fn slow_queries(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    const IS_THERE: &str = "SELECT count(*) AS value FROM pg_catalog.pg_extension
        WHERE extname = 'pg_stat_statements'";
    if look.ask(|conn| number(conn, IS_THERE))? == Some(0) {
        return Ok(Verdict::unknown(
            "the extension pg_stat_statements is not there",
        ));
    }
    let limit = &look.limits.slow_query;
    let sql = format!(
        "{SLOW} {} AND mean_exec_time >= {} ORDER BY total_exec_time DESC LIMIT {MOST_NAMES}",
        look.limits.slow_query_least_calls,
        limit.warn.as_millis()
    );
    let slow = look.ask(|conn| named(conn, &sql))?;
    let worst = slow
        .iter()
        .map(|row| Duration::from_millis(count(row.value)))
        .max();
    let state = limit.judge(&worst.unwrap_or_default());
    let observed = match worst {
        Some(worst) => format!("the slowest statement takes {} on average", show(worst)),
        None => "no statement is slow on average".to_owned(),
    };
    Ok(Verdict::new(state, observed)
        .at(limit, |time| show(*time))
        .names(slow.into_iter().map(|row| row.name).collect())
        .hint("EXPLAIN (ANALYZE, BUFFERS) shows where the time goes"))
}
