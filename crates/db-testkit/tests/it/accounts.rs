//! V11 to V13 in plain SQL on both engines: accounts and their lines, operations, events, seals.

use db_testkit::{TestConn, TestDb, both_engines};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _};
use serde_json::json;

use crate::audit::state;
use crate::support::{bytes, down, filled, number, refusal, rows, text, up};

/// (statement, the check that refuses it); `HASH` stands for 32 bytes, `SHORT` for 31.
const REFUSED: [(&str, &str); 19] = [
    ("UPDATE accounts SET balance = -1", "ck_accounts_balance"),
    (
        "UPDATE accounts SET game_id = 'g2' WHERE id = 'house'",
        "ck_accounts_game_id",
    ),
    (
        "UPDATE accounts SET game_id = NULL WHERE id = 'pot:g1'",
        "ck_accounts_game_id",
    ),
    (
        "INSERT INTO accounts (id, kind) VALUES ('bank', 'bank')",
        "ck_accounts_kind",
    ),
    (
        "INSERT INTO account_entries (id, account_id, entry_type, amount, balance_before, balance_after)
         VALUES (0, 'house', 'fee', 0, 0, 0)",
        "ck_account_entries_id",
    ),
    (
        "INSERT INTO account_entries (account_id, entry_type, amount, balance_before, balance_after)
         VALUES ('house', 'fee', 1, -1, 0)",
        "ck_account_entries_balance_before",
    ),
    (
        "INSERT INTO account_entries (account_id, entry_type, amount, balance_before, balance_after)
         VALUES ('house', 'fee', -1, 0, -1)",
        "ck_account_entries_balance_after",
    ),
    (
        "INSERT INTO account_entries (account_id, entry_type, amount, balance_before, balance_after)
         VALUES ('house', 'fee', 2, 1, 2)",
        "ck_account_entries_balance",
    ),
    (
        "INSERT INTO operations (kind, reference, content_hash) VALUES ('stake', 'r1', SHORT)",
        "ck_operations_content_hash",
    ),
    (
        "UPDATE operations SET content_hash = SHORT",
        "ck_operations_content_hash",
    ),
    (
        "INSERT INTO game_events (game_id, version, event_type, payload) VALUES ('g1', 0, 'x', '{}')",
        "ck_game_events_version",
    ),
    (
        "INSERT INTO game_events (game_id, version, event_type, payload) VALUES ('g1', 2, 'x', '{')",
        "json",
    ),
    (
        "UPDATE game_snapshots SET version = 0",
        "ck_game_snapshots_version",
    ),
    ("UPDATE game_snapshots SET state = '{'", "json"),
    (
        "INSERT INTO audit_seals (id, first_id, last_id, row_count, marks, previous_hash, hash)
         VALUES (0, 3, 4, 2, HASH, HASH, HASH)",
        "ck_audit_seals_id",
    ),
    (
        "INSERT INTO audit_seals (id, first_id, last_id, row_count, marks, previous_hash, hash)
         VALUES (2, 5, 4, 2, HASH, HASH, HASH)",
        "ck_audit_seals_first_id",
    ),
    (
        "INSERT INTO audit_seals (id, first_id, last_id, row_count, marks, previous_hash, hash)
         VALUES (2, 3, 4, 0, HASH, HASH, HASH)",
        "ck_audit_seals_row_count",
    ),
    (
        "INSERT INTO audit_seals (id, first_id, last_id, row_count, marks, previous_hash, hash)
         VALUES (2, 3, 4, 2, HASH, SHORT, HASH)",
        "ck_audit_seals_previous_hash",
    ),
    (
        "INSERT INTO audit_seals (id, first_id, last_id, row_count, marks, previous_hash, hash)
         VALUES (2, 3, 4, 2, HASH, HASH, SHORT)",
        "ck_audit_seals_hash",
    ),
];

/// A deposit by a program that knows nothing of V11.
const DEPOSIT: &str =
    "INSERT INTO transactions (user_id, transaction_type, amount, balance_before, balance_after)
     VALUES ('u2', 'deposit', 9, 0, 9)";

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text, column_name = "detail")]
    detail: String,
}

#[derive(QueryableByName)]
struct Node {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    text: String,
}

/// How a query would be run. PostgreSQL is kept from reading a small table whole, or sorting it,
/// where an index can do.
fn plan(conn: &mut TestConn, sql: &str) -> String {
    let lines: Vec<String> = match conn {
        TestConn::Sqlite(c) => diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"))
            .load(c)
            .unwrap()
            .into_iter()
            .map(|step: Step| step.detail)
            .collect(),
        TestConn::Postgres(c) => {
            for setting in ["enable_seqscan", "enable_sort", "enable_bitmapscan"] {
                diesel::sql_query(format!("SET {setting} = off"))
                    .execute(c)
                    .unwrap();
            }
            diesel::sql_query(format!("EXPLAIN {sql}"))
                .load(c)
                .unwrap()
                .into_iter()
                .map(|node: Node| node.text)
                .collect()
        }
    };
    lines.join("\n")
}

both_engines! {
    fn what_does_not_add_up_is_refused_by_name(db: TestDb) {
        let mut conn = filled(&db);
        let (hash, short) = (bytes(db.engine(), &"5a".repeat(32)), bytes(db.engine(), &"5a".repeat(31)));
        for (sql, check) in REFUSED {
            let sql = sql.replace("HASH", &hash).replace("SHORT", &short);
            let says = refusal(&mut conn, &sql);
            assert!(says.contains(check), "{sql}: {says}");
        }
        // And nothing of it was in the way of what does.
        conn.execute(&format!(
            "INSERT INTO account_entries (account_id, entry_type, amount, balance_before, balance_after)
             VALUES ('house', 'fee', 1, 1, 2);
             INSERT INTO game_events (game_id, version, event_type, payload) VALUES ('g1', 2, 'x', '{{}}');
             INSERT INTO audit_seals (id, first_id, last_id, row_count, marks, previous_hash, hash)
             VALUES (2, 3, 3, 1, {hash}, {hash}, {hash});"
        ));
    }

    fn the_house_and_the_treasury_are_there_and_own_nothing(db: TestDb) {
        let mut conn = db.connect();
        up(&mut conn, None);
        let accounts = "SELECT count(*) AS n FROM accounts";
        assert_eq!(number(&mut conn, accounts), 2);
        for id in ["house", "treasury"] {
            let sql = format!("{accounts} WHERE id = '{id}' AND kind = id AND balance = 0");
            assert_eq!(number(&mut conn, &sql), 1, "{id}");
        }
    }

    fn a_game_has_one_pot(db: TestDb) {
        let mut conn = filled(&db);
        let says = refusal(
            &mut conn,
            "INSERT INTO accounts (id, kind, game_id) VALUES ('another', 'pot', 'g1')",
        );
        assert!(says.contains("game_id"), "{says}");
    }

    fn a_line_from_before_says_nothing_of_the_new_balances(db: TestDb) {
        let mut conn = db.connect();
        let changed = "SELECT CAST(sum(abs(locked_change) + abs(staked_change)) AS BIGINT) AS n \
                       FROM transactions";
        up(&mut conn, Some(10));
        conn.execute(&rows(db.engine(), 1));
        up(&mut conn, None);
        assert_eq!(number(&mut conn, changed), 0);

        conn.execute(DEPOSIT);
        let after = state(&mut conn, "after", "transactions").unwrap();
        assert_eq!((&after["locked_change"], &after["staked_change"]), (&json!(0), &json!(0)));
        conn.execute(&rows(db.engine(), 11));
        assert_eq!(number(&mut conn, changed), 3);
        let after = state(&mut conn, "after", "transactions").unwrap();
        assert_eq!((&after["locked_change"], &after["staked_change"]), (&json!(3), &json!(0)));

        // On the way back the lines stay, and the trail is written as before.
        let lines = "SELECT count(*) AS n FROM transactions";
        let before = number(&mut conn, lines);
        down(&mut conn, 10);
        assert_eq!(number(&mut conn, lines), before);
        conn.execute(DEPOSIT);
        let after = state(&mut conn, "after", "transactions").unwrap();
        assert_eq!((&after["amount"], after.get("locked_change")), (&json!(9), None));
    }

    fn an_answer_is_kept_byte_for_byte(db: TestDb) {
        let mut conn = filled(&db);
        let answer = "{\"b\":  1.50, \"a\": 1, \"a\": 2}\n";
        conn.execute(&format!("UPDATE operations SET answer = '{answer}'"));
        let stored = text(&mut conn, "SELECT answer AS t FROM operations");
        assert_eq!(stored.as_deref(), Some(answer));
    }

    fn a_game_takes_its_players_and_states_with_it_but_no_event_and_no_pot(db: TestDb) {
        let mut conn = filled(&db);
        conn.execute(
            "INSERT INTO games (id, state, phase) VALUES ('g3', 'open', 'come_out');
             INSERT INTO game_players (game_id, player_id) VALUES ('g3', 'u2');
             INSERT INTO game_snapshots (game_id, version, state) VALUES ('g3', 1, '{}');",
        );
        let says = refusal(&mut conn, "DELETE FROM users WHERE id = 'u2'");
        assert!(says.to_lowercase().contains("foreign key"), "{says}");
        conn.execute("DELETE FROM games WHERE id = 'g3'");
        for table in ["game_players", "game_snapshots"] {
            let left = format!("SELECT count(*) AS n FROM {table} WHERE game_id = 'g3'");
            assert_eq!(number(&mut conn, &left), 0, "{table}");
        }
        for (game, keeps) in [
            ("g4", "INSERT INTO accounts (id, kind, game_id) VALUES ('pot:g4', 'pot', 'g4')"),
            (
                "g5",
                "INSERT INTO game_events (game_id, version, event_type, payload)
                 VALUES ('g5', 1, 'opened', '{}')",
            ),
        ] {
            conn.execute(&format!(
                "INSERT INTO games (id, state, phase) VALUES ('{game}', 'open', 'come_out')"
            ));
            conn.execute(keeps);
            let says = refusal(&mut conn, &format!("DELETE FROM games WHERE id = '{game}'"));
            assert!(says.to_lowercase().contains("foreign key"), "{keeps}: {says}");
        }
    }

    fn a_leaderboard_is_read_from_its_index_in_order(db: TestDb) {
        let mut conn = filled(&db);
        for column in ["total_won", "total_wagered", "biggest_win", "games_won"] {
            let page = format!(
                "SELECT player_id FROM player_statistics WHERE ({column}, player_id) < (5, 'u1') \
                 ORDER BY {column} DESC, player_id DESC LIMIT 10"
            );
            let index = format!("idx_player_statistics_{column}_player_id");
            let plan = plan(&mut conn, &page);
            assert!(plan.contains(&index) && !plan.to_lowercase().contains("sort"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
