//! The states in the audit trail, column by column, against the row itself.
//!
//! The names of the columns are not enough: a trigger that writes one column under the name of
//! another, or a column of OLD into the state after, would pass. So every column of a row holds a
//! value that no other column of it has, wherever its type and its checks allow that, and an update
//! gives each a new one.

use db_core::Engine;
use db_migrate::catalog::model::{Column, LogicalType, Table};
use db_testkit::schema_check::Live;
use db_testkit::{TestConn, TestDb, both_engines};
use serde_json::{Value, json};

use crate::audit::{AUDITED, state};
use crate::support::{self, bytes, filled, micros, time};

/// What a check, a key or a foreign key asks of a column: (table, column, before, after).
const FORCED: [(&str, &str, &str, &str); 24] = [
    ("games", "winner_id", "'u1'", "'u2'"),
    ("bets", "game_id", "'g1'", "'g2'"),
    ("bets", "player_id", "'u1'", "'u2'"),
    ("transactions", "user_id", "'u1'", "'u2'"),
    ("transactions", "amount", "5", "5"),
    ("transactions", "balance_before", "7", "7"),
    ("transactions", "balance_after", "12", "12"),
    ("transactions", "status", "'completed'", "'completed'"),
    ("token_balances", "user_id", "'u2'", "'u3'"),
    ("staking_positions", "user_id", "'u1'", "'u2'"),
    ("telegram_profiles", "user_id", "'u2'", "'u3'"),
    // No two of them are alike in both rounds.
    ("telegram_profiles", "is_bot", "TRUE", "TRUE"),
    ("telegram_profiles", "is_premium", "TRUE", "FALSE"),
    ("telegram_profiles", "email_verified", "FALSE", "TRUE"),
    ("telegram_profiles", "phone_verified", "FALSE", "FALSE"),
    ("house_games", "user_id", "'u1'", "'u2'"),
    ("house_games", "house_edge", "0.25", "0.125"),
    (
        "world_objects",
        "world_id",
        "(SELECT max(id) FROM worlds)",
        "(SELECT min(id) FROM worlds)",
    ),
    ("usage_config", "plan", "'pro'", "'max5'"),
    ("usage_config", "view", "'daily'", "'monthly'"),
    ("usage_config", "time_format", "'12h'", "'24h'"),
    ("usage_config", "theme", "'light'", "'dark'"),
    ("usage_config", "refresh_per_second", "1.5", "2.5"),
    // Only one row may be active, and there is one.
    ("usage_config", "is_active", "FALSE", "FALSE"),
];

both_engines! {
    fn the_states_are_the_row_before_and_after(db: TestDb) {
        let mut conn = filled(&db);
        let key = bytes(db.engine(), "0a");
        conn.execute(&format!(
            "INSERT INTO users (id, username, public_key) VALUES ('u3', 'carol', {key});
             INSERT INTO worlds (name) VALUES ('mars');"
        ));
        let model = Live::read(&mut conn).model;
        // Both ways round, so that each trigger sees both values of each truth.
        for (old, new) in [(0, 1), (1, 0)] {
            for name in AUDITED {
                each_state_is_the_row(&mut conn, model.table(name).unwrap(), old, new);
            }
        }
    }
}

fn each_state_is_the_row(conn: &mut TestConn, table: &Table, old: usize, new: usize) {
    let name = table.name.as_str();
    let before = values(conn.engine(), table, old);
    insert(conn, table, &before);
    let row = read(conn, table, &before);
    assert_eq!(state(conn, "before", name), None, "{name}");
    assert_eq!(state(conn, "after", name).as_ref(), Some(&row), "{name}");
    if name == "transactions" {
        return; // Append-only: there is nothing more to do to it.
    }

    let after = values(conn.engine(), table, new);
    let sets: Vec<_> = table
        .columns
        .iter()
        .zip(&after)
        .map(|(column, value)| format!("{} = {value}", column.name))
        .collect();
    let which = this(table, &before);
    conn.execute(&format!(
        "UPDATE {name} SET {} WHERE {which}",
        sets.join(", ")
    ));
    let changed = read(conn, table, &after);
    assert_eq!(state(conn, "before", name), Some(row), "{name}");
    assert_eq!(
        state(conn, "after", name).as_ref(),
        Some(&changed),
        "{name}"
    );

    let which = this(table, &after);
    conn.execute(&format!("DELETE FROM {name} WHERE {which}"));
    assert_eq!(state(conn, "before", name), Some(changed), "{name}");
    assert_eq!(state(conn, "after", name), None, "{name}");
}

fn insert(conn: &mut TestConn, table: &Table, values: &[String]) {
    let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
    conn.execute(&format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        names.join(", "),
        values.join(", ")
    ));
}

/// The condition for the row with these values.
fn this(table: &Table, values: &[String]) -> String {
    let key = &table.primary_key.as_ref().unwrap().columns[0];
    let at = table.columns.iter().position(|c| c.name == *key).unwrap();
    format!("{key} = {}", values[at])
}

/// A value for each column, as SQL; `round` tells those before from those after.
fn values(engine: Engine, table: &Table, round: usize) -> Vec<String> {
    let value = |(at, column): (usize, &Column)| {
        let forced = FORCED
            .iter()
            .find(|f| f.0 == table.name && f.1 == column.name);
        if let Some((_, _, before, after)) = forced {
            return (if round == 0 { *before } else { *after }).to_owned();
        }
        // Below 24 for every column, which the hour of a day needs.
        let number = 1 + at + round;
        let micros = 1_756_000_000_000_000 + i64::try_from(100 * at + round).unwrap();
        match kind(table, column) {
            LogicalType::Blob => bytes(engine, &format!("{:02x}{round:02x}", at + 160)),
            LogicalType::Bool => if (at + round).is_multiple_of(2) {
                "TRUE"
            } else {
                "FALSE"
            }
            .to_owned(),
            LogicalType::Timestamp => time(engine, micros),
            LogicalType::Json if column.name == "position" => {
                format!("'{{\"x\": {number}, \"y\": -2.5, \"z\": {at}}}'")
            }
            LogicalType::Json => format!("'{{\"{}\": [{round}, null, 0.1]}}'", column.name),
            LogicalType::Float | LogicalType::Real => format!("{number}.5"),
            LogicalType::Text => format!("'{} {round}'", column.name),
            // Far from the ids that the database has given.
            _ if column.numbered => format!("{}", 7000 + round),
            _ => number.to_string(),
        }
    };
    table.columns.iter().enumerate().map(value).collect()
}

/// The row as JSON, in the form that the trail has: times in microseconds, bytes in hex.
///
/// Read column by column and put together here, not by the functions that the triggers use.
fn read(conn: &mut TestConn, table: &Table, values: &[String]) -> Value {
    let this = this(table, values);
    let engine = conn.engine();
    let mut row = serde_json::Map::new();
    for column in &table.columns {
        let name = &column.name;
        let kind = kind(table, column);
        let sql = match (&kind, engine) {
            (LogicalType::Blob, Engine::Sqlite) => format!("lower(hex({name}))"),
            (LogicalType::Blob, Engine::Postgres) => format!("encode({name}, 'hex')"),
            (LogicalType::Timestamp, _) => micros(engine, name),
            _ => name.clone(),
        };
        let sql = format!(
            "SELECT CAST({sql} AS TEXT) AS t FROM {} WHERE {this}",
            table.name
        );
        let text = support::text(conn, &sql).unwrap();
        let value = match kind {
            LogicalType::Text | LogicalType::Blob => Value::String(text),
            LogicalType::Bool => json!(text == "1" || text == "true"),
            _ => serde_json::from_str(&text).unwrap(),
        };
        row.insert(name.clone(), value);
    }
    Value::Object(row)
}

/// What a column means, which SQLite's own types do not tell: taken from names and checks.
fn kind(table: &Table, column: &Column) -> LogicalType {
    let check = |suffix: &str| {
        let wanted = format!("ck_{}_{}_{suffix}", table.name, column.name);
        table
            .checks
            .iter()
            .any(|check| check.name.as_deref() == Some(wanted.as_str()))
    };
    let integer = column.logical_type.storage() == LogicalType::BigInt.storage();
    if check("json") {
        LogicalType::Json
    } else if check("bool") {
        LogicalType::Bool
    } else if integer && (column.name.ends_with("_at") || column.name == "last_updated") {
        LogicalType::Timestamp
    } else {
        column.logical_type.clone()
    }
}
