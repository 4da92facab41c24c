//! Whether every row that refers to another finds it.

use db_core::{Conn, Engine, with_conn};
use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, sql_query};

use super::super::look::Look;
use super::super::query::{
    Named, Trouble, classified, count, counted, execute, gauge, named, number,
};
use super::super::{Verdict, metrics};

const CHECK: &str = "SELECT \"table\" || ' to ' || parent AS name, count(*) AS value
    FROM pragma_foreign_key_check GROUP BY 1 ORDER BY 2 DESC";

/// Each foreign key as the query that counts its orphans: MATCH SIMPLE, where a NULL refers to
/// nothing. The keys of partitions are those of their parent, and read with it; tables that inherit
/// have none of it.
const QUERIES: &str = "
    SELECT k.conrelid::regclass::text || ' to ' || k.confrelid::regclass::text
           || ' (' || k.conname || ')' AS name,
           format('SELECT count(*) AS value FROM (SELECT 1 FROM %s%s c WHERE %s AND NOT EXISTS '
                  '(SELECT 1 FROM %s%s p WHERE %s) LIMIT 1000) x',
                  CASE WHEN own.relkind = 'p' THEN '' ELSE 'ONLY ' END, k.conrelid::regclass,
                  string_agg(format('c.%I IS NOT NULL', a.attname), ' AND '),
                  CASE WHEN other.relkind = 'p' THEN '' ELSE 'ONLY ' END, k.confrelid::regclass,
                  string_agg(format('p.%I = c.%I', f.attname, a.attname), ' AND ')) AS query
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class own ON own.oid = k.conrelid
    JOIN pg_catalog.pg_class other ON other.oid = k.confrelid
    CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (own, other)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.own
    JOIN pg_catalog.pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = u.other
    WHERE k.contype = 'f' AND k.conparentid = 0
    GROUP BY k.oid, k.conrelid, k.confrelid, k.conname, own.relkind, other.relkind ORDER BY 1";

#[derive(QueryableByName)]
struct Query {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    query: String,
}

/// No row is an orphan.
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let orphans = match look.target.engine() {
        Engine::Sqlite if look.target.url.path().is_none() => {
            look.ask(|conn| named(conn, CHECK))?
        }
        Engine::Sqlite => look.copy()?.ask(|conn| named(conn, CHECK))?,
        Engine::Postgres => look.ask(on_server)?,
    };
    let total: u64 = orphans.iter().map(|row| count(row.value)).sum();
    let verdict = if total == 0 {
        Verdict::ok("every reference finds its row")
    } else {
        let names = orphans.into_iter();
        Verdict::fail(format!(
            "{} without the row it refers to",
            counted(total, "row", "rows")
        ))
        .names(
            names
                .map(|row| format!("{} of {}", row.value, row.name))
                .collect(),
        )
        .hint("they were written with foreign keys off; put the missing rows back, or delete these")
    };
    Ok(verdict.measure(metrics::ORPHANS, gauge(total)))
}

/// The server guards them, but not against who may turn that off (`session_replication_role`,
/// DISABLE TRIGGER, NOT VALID).
fn on_server(conn: &mut Conn<'_>) -> Result<Vec<Named>, Trouble> {
    let queries: QueryResult<Vec<Query>> = with_conn!(conn, |c| sql_query(QUERIES).load(c));
    let queries = queries.map_err(|e| classified(conn, &e))?;
    let mut found = Vec::new();
    for Query { name, query } in queries {
        // For this statement only: behind a pooler the session is another's next. A policy that hides
        // rows is an error then, and not a table without orphans.
        execute(conn, "BEGIN; SET LOCAL row_security = off")?;
        let counted = number(conn, &query);
        execute(conn, "ROLLBACK")?;
        let value = counted?.unwrap_or_default();
        if value > 0 {
            found.push(Named { name, value });
        }
    }
    Ok(found)
}
