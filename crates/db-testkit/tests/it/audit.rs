//! The audit trail, in plain SQL on both engines: one line per change, and none for no change.

use db_core::Engine;
use db_testkit::{TestConn, TestDb, both_engines};
use serde_json::{Value, json};

use crate::support::{self, bytes, filled, micros, number, time, up};

/// The tables whose changes are recorded.
pub(crate) const AUDITED: [&str; 13] = [
    "users",
    "games",
    "bets",
    "transactions",
    "token_balances",
    "staking_positions",
    "telegram_profiles",
    "house_games",
    "settings",
    "worlds",
    "world_objects",
    "assets",
    "usage_config",
];

/// What is done to each table but `transactions`, which refuses it: which row, a change, and a
/// change that is none.
const CHANGES: [(&str, &str, &str, &str); 12] = [
    (
        "users",
        "id = 'u2'",
        "reputation = 9",
        "updated_at = created_at",
    ),
    ("games", "id = 'g2'", "pot_size = 5", "pot_size = pot_size"),
    ("bets", "amount = 10", "outcome = 'won'", "amount = amount"),
    (
        "token_balances",
        "user_id = 'u1'",
        "balance = 7",
        "balance = balance",
    ),
    (
        "staking_positions",
        "id = 's1'",
        "is_active = FALSE",
        "is_active = is_active",
    ),
    (
        "telegram_profiles",
        "user_id = 'u1'",
        "is_bot = TRUE",
        "updated_at = created_at",
    ),
    (
        "house_games",
        "bet_amount = 3",
        "multiplier = 1.5",
        "multiplier = multiplier",
    ),
    (
        "settings",
        "setting_key = 'limits'",
        "setting_value = '[]'",
        "updated_at = created_at",
    ),
    (
        "world_objects",
        "object_type = 'tree'",
        "name = 'elm'",
        "updated_at = created_at",
    ),
    (
        "worlds",
        "name = 'earth'",
        "description = 'round'",
        "updated_at = created_at",
    ),
    (
        "assets",
        "name = 'oak'",
        "size_bytes = 2",
        "updated_at = created_at",
    ),
    (
        "usage_config",
        "is_active",
        "theme = 'dark'",
        "updated_at = created_at",
    ),
];

fn lines(conn: &mut TestConn, table: &str, action: &str) -> i64 {
    number(
        conn,
        &format!(
            "SELECT count(*) AS n FROM audit_logs \
             WHERE entity_type = '{table}' AND action = '{action}'"
        ),
    )
}

/// A state of the newest line about a table.
pub(crate) fn state(conn: &mut TestConn, which: &str, table: &str) -> Option<Value> {
    support::json(
        conn,
        &format!(
            "SELECT CAST({which}_state AS TEXT) AS t FROM audit_logs \
             WHERE entity_type = '{table}' ORDER BY id DESC LIMIT 1"
        ),
    )
}

/// A column of the newest line, as text.
fn newest(conn: &mut TestConn, column: &str) -> Option<String> {
    let sql =
        format!("SELECT CAST({column} AS TEXT) AS t FROM audit_logs ORDER BY id DESC LIMIT 1");
    support::text(conn, &sql)
}

both_engines! {
    fn each_change_leaves_one_line(db: TestDb) {
        let mut conn = filled(&db);
        for table in AUDITED {
            let rows = number(&mut conn, &format!("SELECT count(*) AS n FROM {table}"));
            // The default row of usage_config came before its triggers.
            let expected = if table == "usage_config" { 0 } else { rows };
            assert_eq!(lines(&mut conn, table, "insert"), expected, "{table}");
        }
        for (table, row, change, _) in CHANGES {
            let before = lines(&mut conn, table, "update");
            conn.execute(&format!("UPDATE {table} SET {change} WHERE {row}"));
            assert_eq!(lines(&mut conn, table, "update"), before + 1, "{table}");
            let (old, new) = (state(&mut conn, "before", table), state(&mut conn, "after", table));
            assert_ne!(old, new, "{table}");
            let fields = |state: Option<Value>| -> Vec<String> {
                state.unwrap().as_object().unwrap().keys().cloned().collect()
            };
            let columns = db_columns(&mut conn, table);
            assert_eq!(fields(old), columns, "{table}: the whole row");
            assert_eq!(fields(new), columns, "{table}: the whole row");
        }
        for (table, row, ..) in CHANGES {
            conn.execute(&format!("DELETE FROM {table} WHERE {row}"));
            assert_eq!(lines(&mut conn, table, "delete"), 1, "{table}");
            assert_eq!(state(&mut conn, "after", table), None);
            assert!(state(&mut conn, "before", table).is_some());
        }
    }

    fn a_change_of_nothing_leaves_no_line(db: TestDb) {
        let mut conn = filled(&db);
        let all = "SELECT count(*) AS n FROM audit_logs";
        for (table, row, _, none) in CHANGES {
            let before = number(&mut conn, all);
            conn.execute(&format!("UPDATE {table} SET {none} WHERE {row}"));
            assert_eq!(number(&mut conn, all), before, "{table}");
        }
    }

    fn the_same_change_leaves_the_same_states_on_both_engines(db: TestDb) {
        let mut conn = filled(&db);
        assert_eq!(
            state(&mut conn, "after", "bets"),
            Some(json!({
                "id": "00ff", "game_id": "g1", "player_id": "u1", "bet_type": "pass",
                "amount": 10, "outcome": null, "created_at": 1_000_000, "resolved_at": null,
            }))
        );
        assert_eq!(
            state(&mut conn, "after", "staking_positions"),
            Some(json!({
                "id": "s1", "user_id": "u1", "amount": 50, "lock_period_days": 30,
                "reward_rate": 0.05, "started_at": 1_000_000, "ends_at": 2_000_000,
                "claimed_rewards": 0, "is_active": true,
            }))
        );
        let id = number(&mut conn, "SELECT id AS n FROM settings");
        assert_eq!(
            state(&mut conn, "after", "settings"),
            Some(json!({
                "id": id, "setting_key": "limits", "setting_value": {"a": null, "b": [1.5]},
                "created_at": 1_000_000, "updated_at": 1_000_000,
            }))
        );
        let public_key = bytes(db.engine(), "c0ffee");
        let at = time(db.engine(), -1);
        conn.execute(&format!(
            "UPDATE users SET public_key = {public_key}, updated_at = {at} WHERE id = 'u1'"
        ));
        let user = |key: &str, updated_at: i64| json!({
            "id": "u1", "username": "alice", "public_key": key, "reputation": 0.1,
            "created_at": 1_000_000, "updated_at": updated_at,
        });
        assert_eq!(state(&mut conn, "before", "users"), Some(user("00ff", 1_000_000)));
        assert_eq!(state(&mut conn, "after", "users"), Some(user("c0ffee", -1)));
        assert_eq!(newest(&mut conn, "entity_id").as_deref(), Some("u1"));
    }

    fn a_rolled_back_change_leaves_no_line(db: TestDb) {
        let mut conn = filled(&db);
        let all = "SELECT count(*) AS n FROM audit_logs";
        let before = number(&mut conn, all);
        conn.execute("BEGIN; UPDATE games SET pot_size = 1; ROLLBACK;");
        assert_eq!(number(&mut conn, all), before);
    }

    fn who_did_it_is_recorded_and_forgotten(db: TestDb) {
        let mut conn = db.connect();
        up(&mut conn, None);
        let (set, clear) = match db.engine() {
            Engine::Sqlite => (
                "UPDATE audit_context SET user_id = 'u9', ip_address = '192.0.2.7', \
                 user_agent = 'app/1.0', at = 1756000000000001 WHERE id = 1",
                "UPDATE audit_context SET user_id = NULL, ip_address = NULL, \
                 user_agent = NULL, at = NULL WHERE id = 1",
            ),
            Engine::Postgres => (
                "SELECT set_config('bitcraps.audit_user', 'u9', true), \
                 set_config('bitcraps.audit_ip', '192.0.2.7', true), \
                 set_config('bitcraps.audit_agent', 'app/1.0', true), \
                 set_config('bitcraps.audit_at', '1756000000000001', true)",
                "SELECT 1",
            ),
        };
        conn.execute(&format!(
            "BEGIN; {set}; INSERT INTO worlds (name) VALUES ('mars'); {clear}; COMMIT;"
        ));
        let at = micros(db.engine(), "created_at");
        for (column, expected) in [
            ("user_id", "u9"),
            ("ip_address", "192.0.2.7"),
            ("user_agent", "app/1.0"),
            (at.as_str(), "1756000000000001"),
        ] {
            assert_eq!(newest(&mut conn, column).as_deref(), Some(expected));
        }
        conn.execute("INSERT INTO worlds (name) VALUES ('venus')");
        for column in ["user_id", "ip_address", "user_agent"] {
            assert_eq!(newest(&mut conn, column), None, "by hand, {column}");
        }
        let now = newest(&mut conn, &at).unwrap();
        assert!(now.as_str() > "1756000000000001", "{now}");
    }

    fn no_other_table_is_audited(db: TestDb) {
        let live = db_testkit::schema_check::Live::migrated(db.engine());
        let mut expected = AUDITED.to_vec();
        expected.sort_unstable();
        let audited: Vec<_> = live
            .model
            .tables
            .iter()
            .filter(|table| table.triggers.iter().any(|t| t.name.starts_with("audit_")
                && !t.name.contains("append_only")))
            .map(|table| table.name.as_str())
            .collect();
        assert_eq!(audited, expected);
    }
}

/// The columns of a table, in the order of their names.
fn db_columns(conn: &mut TestConn, table: &str) -> Vec<String> {
    let live = db_testkit::schema_check::Live::read(conn);
    let table = live.model.table(table).unwrap();
    let mut names: Vec<_> = table.columns.iter().map(|c| c.name.clone()).collect();
    names.sort_unstable();
    names
}
