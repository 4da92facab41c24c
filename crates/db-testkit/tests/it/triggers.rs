//! The triggers that set `updated_at`, and those that refuse, in plain SQL.

use db_testkit::{TestDb, both_engines};

use crate::support::{filled, micros, number, refusal, time};

/// Tables that say when they were changed: table, that column, and a change of something else.
const TOUCHED: [(&str, &str, &str); 12] = [
    ("accounts", "updated_at", "balance = balance + 1"),
    ("users", "updated_at", "reputation = reputation + 1"),
    ("game_statistics", "updated_at", "bet_count = bet_count + 1"),
    (
        "player_statistics",
        "updated_at",
        "bet_count = bet_count + 1",
    ),
    ("token_balances", "last_updated", "balance = balance + 1"),
    (
        "telegram_profiles",
        "updated_at",
        "telegram_id = telegram_id + 1",
    ),
    ("outbox", "updated_at", "attempts = attempts + 1"),
    ("settings", "updated_at", "setting_value = '[]'"),
    ("worlds", "updated_at", "description = 'round'"),
    ("world_objects", "updated_at", "name = 'elm'"),
    ("assets", "updated_at", "size_bytes = size_bytes + 1"),
    ("usage_config", "updated_at", "theme = 'dark'"),
];

/// Tables whose rows are never changed: table, key, and a change of something else.
const APPEND_ONLY: [(&str, &str, &str); 5] = [
    ("transactions", "id", "metadata = NULL"),
    ("audit_logs", "id", "metadata = NULL"),
    ("account_entries", "id", "reference_id = 'r2'"),
    ("game_events", "version", "event_type = 'closed'"),
    ("audit_seals", "id", "sealed_at = sealed_at"),
];

both_engines! {
    fn a_change_that_says_no_time_gets_one(db: TestDb) {
        let engine = db.engine();
        let mut conn = filled(&db);
        for (table, column, change) in TOUCHED {
            let stored = format!("SELECT max({}) AS n FROM {table}", micros(engine, column));
            conn.execute(&format!("UPDATE {table} SET {column} = {}", time(engine, 5)));
            assert_eq!(number(&mut conn, &stored), 5, "{table}: a time alone is kept");

            conn.execute(&format!("UPDATE {table} SET {change}"));
            let set = number(&mut conn, &stored);
            // 2020-01-01; the clocks of test machines are not that wrong.
            assert!(set > 1_577_836_800_000_000, "{table}: {set}");

            conn.execute(&format!("UPDATE {table} SET {change}, {column} = {}", time(engine, 7)));
            assert_eq!(number(&mut conn, &stored), 7, "{table}: the writer's time is kept");
        }
    }

    fn every_table_that_says_when_has_the_trigger(db: TestDb) {
        let live = db_testkit::schema_check::Live::migrated(db.engine());
        let mut expected: Vec<_> = TOUCHED.iter().map(|(table, ..)| *table).collect();
        expected.sort_unstable();
        let dated: Vec<_> = live
            .model
            .tables
            .iter()
            .filter(|t| t.column("updated_at").is_some() || t.column("last_updated").is_some())
            .map(|t| t.name.as_str())
            .collect();
        assert_eq!(dated, expected);
    }

    fn every_table_that_refuses_changes_is_tried_here(db: TestDb) {
        let live = db_testkit::schema_check::Live::migrated(db.engine());
        let mut expected: Vec<_> = APPEND_ONLY.iter().map(|(table, ..)| *table).collect();
        expected.sort_unstable();
        let refusing: Vec<_> = live
            .model
            .tables
            .iter()
            .filter(|t| t.triggers.iter().any(|t| t.name.ends_with("_append_only_update")))
            .map(|t| t.name.as_str())
            .collect();
        assert_eq!(refusing, expected);
    }

    fn a_line_that_was_written_stays_as_it_is(db: TestDb) {
        let mut conn = filled(&db);
        for (table, key, change) in APPEND_ONLY {
            let count = format!("SELECT count(*) AS n FROM {table}");
            let before = number(&mut conn, &count);
            for sql in [
                format!("UPDATE {table} SET {change}"),
                format!("UPDATE {table} SET {key} = {key}"),
                format!("DELETE FROM {table}"),
            ] {
                let error = refusal(&mut conn, &sql);
                assert!(error.contains(&format!("{table} is append-only")), "{error}");
            }
            assert_eq!(number(&mut conn, &count), before);
        }
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn replace_is_a_change_too() {
        let db = TestDb::sqlite();
        let mut conn = filled(&db);
        for recursive in ["off", "on"] {
            conn.execute(&format!("PRAGMA recursive_triggers = {recursive}"));
            for (table, ..) in APPEND_ONLY {
                let sql = format!("REPLACE INTO {table} SELECT * FROM {table} LIMIT 1");
                let error = refusal(&mut conn, &sql);
                assert!(
                    error.contains(&format!("{table} is append-only")),
                    "{error}"
                );
            }
            // The second key of a seal is none to get round it by.
            let columns = "first_id, last_id, row_count, marks, previous_hash, hash";
            let sql = format!(
                "REPLACE INTO audit_seals (id, {columns}) SELECT id + 1, {columns} FROM audit_seals"
            );
            let error = refusal(&mut conn, &sql);
            assert!(error.contains("audit_seals is append-only"), "{error}");
        }
    }
}

mod postgres {
    use super::*;

    #[test]
    fn truncate_is_refused_where_it_would_leave_no_trace() {
        let db = TestDb::postgres();
        let mut conn = filled(&db);
        for (table, ..) in APPEND_ONLY {
            let error = refusal(&mut conn, &format!("TRUNCATE {table}"));
            assert!(
                error.contains(&format!("{table} is append-only")),
                "{error}"
            );
        }
        for table in crate::audit::AUDITED {
            let error = refusal(&mut conn, &format!("TRUNCATE {table} CASCADE"));
            assert!(error.contains("is refused"), "{table}: {error}");
        }
    }
}
