//! What the tests of the migrations share: going up and down, rows, and plain SQL questions.

use db_core::{Engine, with_conn};
use db_migrate::catalog::{Catalog, Mode, Scope};
use db_migrate::{MigrateOptions, Migrator, Source, Target};
use db_schema::migrations::{POSTGRES, SQLITE};
use db_testkit::{TestConn, TestDb};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl as _};
use serde_json::Value;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = Nullable<Text>)]
    t: Option<String>,
}

/// The migrations as they are compiled in.
pub(crate) fn migrator() -> Migrator {
    Migrator::new(Source::embedded(SQLITE, POSTGRES))
}

/// Goes up to a position, or to the head.
#[track_caller]
pub(crate) fn up(conn: &mut TestConn, to: Option<usize>) {
    let options = MigrateOptions {
        target: to.map(Target::Ordinal),
        ..MigrateOptions::default()
    };
    migrator().migrate(conn.conn(), &options).unwrap();
}

/// Goes back to a position.
#[track_caller]
pub(crate) fn down(conn: &mut TestConn, to: usize) {
    migrator()
        .rollback_to(conn.conn(), &Target::Ordinal(to))
        .unwrap();
}

/// A database at the head, with a row in every table.
pub(crate) fn filled(db: &TestDb) -> TestConn {
    let mut conn = db.connect();
    up(&mut conn, None);
    for version in 1..=SQLITE.len() {
        conn.execute(&rows(db.engine(), version));
    }
    conn
}

/// What there is now.
pub(crate) fn catalog(conn: &mut TestConn) -> Catalog {
    Catalog::read(&mut conn.conn(), &Scope::default()).unwrap()
}

/// Fails with each difference on a line of its own.
#[track_caller]
pub(crate) fn assert_same(expected: &Catalog, live: &Catalog, when: &str) {
    let lines: Vec<_> = expected
        .compare(live, Mode::Strict)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(lines.is_empty(), "{when}:\n{}", lines.join("\n"));
    assert_eq!(
        expected.strict_fingerprint(),
        live.strict_fingerprint(),
        "{when}"
    );
}

/// The number that a query calls `n`.
#[track_caller]
pub(crate) fn number(conn: &mut TestConn, sql: &str) -> i64 {
    let mut conn = conn.conn();
    with_conn!(conn, |c| diesel::sql_query(sql).get_result::<Number>(c))
        .unwrap_or_else(|error| panic!("{error}\n{sql}"))
        .n
}

/// The text that a query calls `t`.
#[track_caller]
pub(crate) fn text(conn: &mut TestConn, sql: &str) -> Option<String> {
    let mut conn = conn.conn();
    with_conn!(conn, |c| diesel::sql_query(sql).get_result::<Words>(c))
        .unwrap_or_else(|error| panic!("{error}\n{sql}"))
        .t
}

/// The JSON that a query calls `t`.
#[track_caller]
pub(crate) fn json(conn: &mut TestConn, sql: &str) -> Option<Value> {
    text(conn, sql).map(|text| serde_json::from_str(&text).unwrap())
}

/// What an engine says when it refuses.
#[track_caller]
pub(crate) fn refusal(conn: &mut TestConn, sql: &str) -> String {
    match conn.conn().batch_execute(sql) {
        Ok(()) => panic!("it was not refused: {sql}"),
        Err(error) => error.to_string(),
    }
}

/// Bytes as a literal.
pub(crate) fn bytes(engine: Engine, hex: &str) -> String {
    match engine {
        Engine::Sqlite => format!("x'{hex}'"),
        Engine::Postgres => format!("'\\x{hex}'::bytea"),
    }
}

/// A moment, in microseconds from 1970, as an expression.
pub(crate) fn time(engine: Engine, micros: i64) -> String {
    match engine {
        Engine::Sqlite => micros.to_string(),
        Engine::Postgres => format!("(timestamptz 'epoch' + interval '{micros} microseconds')"),
    }
}

/// A stored moment in microseconds from 1970.
pub(crate) fn micros(engine: Engine, column: &str) -> String {
    match engine {
        Engine::Sqlite => column.to_owned(),
        Engine::Postgres => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
    }
}

/// One row at least for each table of a migration, in SQL that both engines take but for the
/// literals.
pub(crate) fn rows(engine: Engine, version: usize) -> String {
    let key = bytes(engine, "00ff");
    let hash = bytes(engine, &"5a".repeat(32));
    let (start, end) = (time(engine, 1_000_000), time(engine, 2_000_000));
    match version {
        1 => format!(
            "INSERT INTO users (id, username, public_key, reputation, created_at, updated_at)
             VALUES ('u1', 'alice', {key}, 0.1, {start}, {start}), ('u2', 'bob', {key}, 2, {start}, {start});
             INSERT INTO games (id, state, phase, winner_id)
             VALUES ('g1', 'open', 'come_out', 'u1'), ('g2', 'open', 'come_out', NULL);
             INSERT INTO bets (id, game_id, player_id, bet_type, amount, created_at)
             VALUES ({key}, 'g1', 'u1', 'pass', 10, {start});
             INSERT INTO transactions
                 (user_id, transaction_type, amount, balance_before, balance_after, metadata)
             VALUES ('u1', 'deposit', 5, 0, 5, '{{\"from\": [1, true]}}');"
        ),
        2 => "INSERT INTO peers (id, address) VALUES ('p1', '192.0.2.1:7');
              INSERT INTO peer_connections (peer_id, address) VALUES ('p1', '192.0.2.1:7');"
            .to_owned(),
        3 => format!(
            "INSERT INTO consensus_rounds (round_number, game_id, proposer_id, proposal_hash)
             VALUES (1, 'g1', 'p1', {key});
             INSERT INTO consensus_votes (id, round_number, voter_id, vote_hash, signature)
             VALUES ('v1', 1, 'p1', {key}, {key});"
        ),
        4 => "INSERT INTO game_statistics (game_id) VALUES ('g1');
              INSERT INTO player_statistics (player_id) VALUES ('u1');"
            .to_owned(),
        5 => "UPDATE games SET phase = 'point' WHERE id = 'g1';".to_owned(),
        6 => format!(
            "INSERT INTO token_balances (user_id, balance) VALUES ('u1', 100);
             INSERT INTO staking_positions
                 (id, user_id, amount, lock_period_days, reward_rate, started_at, ends_at)
             VALUES ('s1', 'u1', 50, 30, 0.05, {start}, {end});"
        ),
        7 => "INSERT INTO performance_metrics (name, value) VALUES ('cpu', 0.5);".to_owned(),
        8 => format!(
            "INSERT INTO telegram_profiles (user_id, telegram_id) VALUES ('u1', 7);
             INSERT INTO house_games (user_id, algorithm_type, bet_amount) VALUES ('u1', 'dice', 3);
             INSERT INTO notifications (user_id, notification_type, title, message)
             VALUES ('u1', 'win', 'You won', 'Three.');
             INSERT INTO outbox (outbox_type, payload) VALUES ('mail', '{{}}');
             INSERT INTO settings (setting_key, setting_value, created_at, updated_at)
             VALUES ('limits', '{{\"b\": [1.5], \"a\": null}}', {start}, {start});"
        ),
        9 => format!(
            "INSERT INTO worlds (name) VALUES ('earth');
             INSERT INTO world_objects (world_id, object_type, name, position)
             SELECT id, 'tree', 'oak', '{{\"x\": 1, \"y\": 2.5, \"z\": -3}}' FROM worlds;
             INSERT INTO assets (name, kind, location, size_bytes, hash)
             VALUES ('oak', 'model', 's3://a/oak', 1, {key});"
        ),
        10 => "INSERT INTO sessions (session_id) VALUES ('se1');
               INSERT INTO events (session_id, event_type) VALUES ('se1', 'start');
               INSERT INTO usage_snapshots (session_id, snapshot_data) VALUES ('se1', '{}');"
            .to_owned(),
        11 => format!(
            "INSERT INTO transactions
                 (user_id, transaction_type, amount, balance_before, balance_after,
                  locked_change, staked_change)
             VALUES ('u1', 'bet', -3, 5, 2, 3, 0);
             INSERT INTO accounts (id, kind, game_id, balance) VALUES ('pot:g1', 'pot', 'g1', 3);
             INSERT INTO account_entries
                 (account_id, entry_type, amount, balance_before, balance_after)
             VALUES ('pot:g1', 'bet', 3, 0, 3);
             INSERT INTO operations (kind, reference, content_hash, answer)
             VALUES ('place_bet', 'r1', {hash}, '{{}}');
             INSERT INTO game_players (game_id, player_id) VALUES ('g1', 'u1');"
        ),
        12 => "INSERT INTO game_events (game_id, version, event_type, payload)
               VALUES ('g1', 1, 'opened', '{}');
               INSERT INTO game_snapshots (game_id, version, state) VALUES ('g1', 1, '{}');"
            .to_owned(),
        13 => format!(
            "INSERT INTO audit_seals
                 (id, first_id, last_id, row_count, marks, previous_hash, hash)
             VALUES (1, 1, 2, 2, {key}, {hash}, {hash});"
        ),
        // It brings no table.
        14 => "SELECT 1;".to_owned(),
        other => panic!("V{other} has no rows here yet: add one for each of its tables"),
    }
}
