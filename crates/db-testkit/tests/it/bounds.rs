//! What no column takes, on either engine: numbers that are none, and counts beyond reading.

use db_core::Engine;
use db_testkit::{TestDb, both_engines};

use crate::support::{filled, refusal};

/// Each float, and a row that has one.
const FLOATS: [(&str, &str); 5] = [
    ("users", "reputation"),
    ("staking_positions", "reward_rate"),
    ("performance_metrics", "value"),
    ("house_games", "multiplier"),
    ("house_games", "house_edge"),
];

/// (table, column, too much).
const BEYOND: [(&str, &str, &str); 7] = [
    ("staking_positions", "lock_period_days", "36501"),
    ("staking_positions", "lock_period_days", "-1"),
    ("staking_positions", "reward_rate", "-0.1"),
    ("staking_positions", "reward_rate", "1000001"),
    ("outbox", "attempts", "1000001"),
    ("house_games", "multiplier", "-0.5"),
    ("house_games", "house_edge", "1.5"),
];

both_engines! {
    fn nothing_but_finite_numbers_is_stored(db: TestDb) {
        let mut conn = filled(&db);
        // A NaN is NULL to SQLite, which NOT NULL refuses; PostgreSQL holds it for the greatest
        // of all numbers.
        let odd = match db.engine() {
            Engine::Sqlite => ["9e999", "-9e999", "9e999 - 9e999"],
            Engine::Postgres => ["'Infinity'", "'-Infinity'", "'NaN'"],
        };
        for (table, column) in FLOATS {
            for value in odd {
                let says = refusal(&mut conn, &format!("UPDATE {table} SET {column} = {value}"));
                let named = says.contains(&format!("ck_{table}_{column}"))
                    || says.contains("NOT NULL");
                assert!(named, "{table}.{column} = {value}: {says}");
            }
        }
    }

    fn each_bound_is_named_by_its_check(db: TestDb) {
        let mut conn = filled(&db);
        for (table, column, value) in BEYOND {
            let says = refusal(&mut conn, &format!("UPDATE {table} SET {column} = {value}"));
            assert!(says.contains(&format!("ck_{table}_{column}")), "{column}: {says}");
        }
        conn.execute("UPDATE staking_positions SET lock_period_days = 36500, reward_rate = 1000000");
        conn.execute("UPDATE outbox SET attempts = 1000000");
        conn.execute("UPDATE users SET reputation = -1e308");
    }

    fn a_position_is_three_finite_numbers(db: TestDb) {
        let mut conn = filled(&db);
        for member in ["x", "y", "z"] {
            for value in ["1e309", "-1e309", "1e400", "\"1\"", "null", "[]"] {
                let mut position = serde_json::json!({"x": 0, "y": 0, "z": 0}).to_string();
                position = position.replace(
                    &format!("\"{member}\":0"),
                    &format!("\"{member}\":{value}"),
                );
                let sql = format!("UPDATE world_objects SET position = '{position}'");
                let says = refusal(&mut conn, &sql);
                let check = format!("ck_world_objects_position_{member}");
                assert!(says.contains(&check), "{position}: {says}");
            }
        }
        conn.execute(
            "UPDATE world_objects \
             SET position = '{\"x\": -1e308, \"y\": 1e308, \"z\": -9223372036854775808}'",
        );
    }
}
