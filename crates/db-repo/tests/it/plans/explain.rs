//! How each engine means to run a statement.

use db_testkit::TestConn;
use diesel::prelude::*;
use diesel::sql_types::Text;

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

#[derive(QueryableByName)]
struct Cipher {
    #[diesel(sql_type = Text, column_name = "cipher_version")]
    _version: String,
}

/// Whether it is SQLCipher, which says its version.
pub(super) fn is_sqlcipher(conn: &mut TestConn) -> bool {
    match conn {
        TestConn::Sqlite(c) => {
            let versions: Vec<Cipher> = diesel::sql_query("PRAGMA cipher_version").load(c).unwrap();
            !versions.is_empty()
        }
        TestConn::Postgres(_) => false,
    }
}

/// The steps of the plan, outermost first; none for what has no plan.
pub(super) fn plan(conn: &mut TestConn, sql: &str) -> Vec<String> {
    match conn {
        TestConn::Sqlite(c) => {
            if !is_planned(sql) {
                return Vec::new();
            }
            let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"))
                .load(c)
                .unwrap_or_else(|error| panic!("{error}\n{sql}"));
            steps.into_iter().map(|step| step.detail).collect()
        }
        TestConn::Postgres(c) => {
            if !is_planned(sql) {
                return Vec::new();
            }
            // The values are not known, as for an application's prepared statement. Tables are empty
            // here, and a scan would be the best plan: it is made the worst.
            let count = (1..=99)
                .take_while(|n| sql.contains(&format!("${n}")))
                .count();
            let values = vec!["NULL"; count].join(", ");
            let execute = if count == 0 {
                "EXECUTE one".to_owned()
            } else {
                format!("EXECUTE one({values})")
            };
            let batch = format!(
                "SET enable_seqscan = off; SET enable_bitmapscan = off; \
                 SET plan_cache_mode = force_generic_plan; PREPARE one AS {sql}"
            );
            diesel::connection::SimpleConnection::batch_execute(c, &batch)
                .unwrap_or_else(|error| panic!("{error}\n{sql}"));
            let lines: Vec<Line> = diesel::sql_query(format!("EXPLAIN (COSTS OFF) {execute}"))
                .load(c)
                .unwrap_or_else(|error| panic!("{error}\n{sql}"));
            diesel::connection::SimpleConnection::batch_execute(c, "DEALLOCATE one").unwrap();
            lines.into_iter().map(|line| line.line).collect()
        }
    }
}

fn is_planned(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        .iter()
        .any(|planned| word.eq_ignore_ascii_case(planned))
}

/// The steps that read a whole table, and one that grows. To go along an index is how a page begins;
/// without a limit it is a scan like any other.
pub(super) fn scans<'p>(sql: &str, plan: &'p [String]) -> Vec<&'p str> {
    let limited = sql.to_ascii_uppercase().contains("LIMIT");
    let mut found = Vec::new();
    for (at, step) in plan.iter().enumerate() {
        let words = step.trim().trim_start_matches("->").trim();
        let table = if let Some(rest) = words.strip_prefix("Seq Scan on ") {
            rest
        } else if let Some((scan, rest)) = words.split_once(" on ")
            && scan.starts_with("Index ")
        {
            let bounded = plan
                .get(at + 1)
                .is_some_and(|next| next.contains("Index Cond"));
            if bounded || limited {
                continue;
            }
            rest
        } else if let Some(rest) = words.strip_prefix("SCAN ") {
            let along = rest.contains(" USING ") && limited;
            let is_no_table = rest.starts_with("CONSTANT")
                || rest.ends_with("VALUES CLAUSE")
                || rest.contains("VIRTUAL TABLE");
            if along || is_no_table {
                continue;
            }
            rest
        } else {
            continue;
        };
        let table = table.split_whitespace().next().unwrap_or_default();
        if !SMALL.contains(&table) {
            found.push(step.as_str());
        }
    }
    found
}

/// Tables of a few rows, and what is no table.
const SMALL: &[&str] = &[
    "audit_context",
    "audit_logs_id_seq",
    "pg_database",
    "settings",
    "usage_config",
];
