//! Makes the schema and fills it by plain SQL, without its triggers and, on SQLite, its indexes.

use anyhow::{Context as _, Result};
use bench_load::repo::GAMES;
use bench_load::{BALANCE, FIRST_USER, Rows};
use db_core::{Conn, with_conn};
use db_schema::migrations::{POSTGRES, SQLITE};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

/// Numbers from 0 up to a bound that is filled in, on each engine.
const SERIES_SQLITE: &str =
    "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT :count) ";
const SERIES_POSTGRES: &str =
    "WITH n (i) AS (SELECT generate_series(CAST(0 AS BIGINT), :count - 1)) ";

/// What is filled, with `:user`, `:game`, `:key` and `:at` in each engine's spelling.
const USERS: &str = "
    INSERT INTO users (id, username, public_key, reputation, created_at, updated_at)
    SELECT :user, 'name of ' || i, :key, 0.5, :at, :at FROM n";
const BALANCES: &str = "
    INSERT INTO token_balances (user_id, balance, locked_balance, staked_balance, last_updated)
    SELECT :user, :balance, 0, 0, :at FROM n";
const LINES: &str = "
    INSERT INTO transactions (user_id, transaction_type, amount, balance_before, balance_after, created_at)
    SELECT :user, 'deposit', :balance, 0, :balance, :at FROM n";
const STATISTICS: &str = "
    INSERT INTO player_statistics (player_id, games_played, games_won, bet_count, total_wagered,
        total_won, biggest_win, last_played_at, created_at, updated_at)
    SELECT :user, 7, i % 7, 20, i * 7919 % 500009, i * 104729 % 300007, i % 10007, :at, :at, :at
    FROM n";
const GAMES_PLAYED: &str = "
    INSERT INTO games (id, state, phase, created_at) SELECT :game, 'active', 'come_out', :at FROM n";
const GAME_STATISTICS: &str = "
    INSERT INTO game_statistics (game_id, created_at, updated_at) SELECT :game, :at, :at FROM n";
const POTS: &str = "
    INSERT INTO accounts (id, kind, game_id, balance, created_at, updated_at)
    SELECT 'pot:' || :game, 'pot', :game, 0, :at, :at FROM n";

#[derive(QueryableByName)]
struct Object {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    text: String,
}

/// Fills an empty database: users, those of them who play, and games.
///
/// # Errors
/// If the database refuses.
pub(super) fn fill(conn: &mut Conn<'_>, rows: Rows) -> Result<()> {
    fill_by(conn, rows, all)
}

/// The same, with a deposit for each balance.
///
/// # Errors
/// If the database refuses.
pub(super) fn fill_with_lines(conn: &mut Conn<'_>, rows: Rows) -> Result<()> {
    fill_by(conn, rows, |conn, rows| {
        all(conn, rows)?;
        run(conn, rows.players, LINES)
    })
}

fn fill_by(
    conn: &mut Conn<'_>,
    rows: Rows,
    all: fn(&mut Conn<'_>, Rows) -> Result<()>,
) -> Result<()> {
    let migrations = match conn {
        Conn::Sqlite(_) => SQLITE,
        Conn::Postgres(_) => POSTGRES,
    };
    for (name, files) in migrations {
        let up = files.iter().find(|(file, _)| *file == "up.sql");
        let (_, up) = up.with_context(|| format!("{name} has no up.sql"))?;
        conn.batch_execute(up).with_context(|| (*name).to_owned())?;
    }
    match conn {
        Conn::Sqlite(_) => {
            let objects = "SELECT type AS kind, name, sql AS text FROM sqlite_master
                WHERE type IN ('index', 'trigger') AND sql IS NOT NULL";
            let objects: Vec<Object> = with_conn!(conn, |c| sql_query(objects).load(c))?;
            for Object { kind, name, .. } in &objects {
                conn.batch_execute(&format!("DROP {kind} {name}"))?;
            }
            all(conn, rows)?;
            for Object { text, .. } in &objects {
                conn.batch_execute(text)?;
            }
        }
        Conn::Postgres(_) => {
            conn.batch_execute("SET session_replication_role = replica")?;
            all(conn, rows)?;
            conn.batch_execute("SET session_replication_role = origin")?;
        }
    }
    Ok(())
}

fn all(conn: &mut Conn<'_>, rows: Rows) -> Result<()> {
    for (count, statement) in [
        (rows.users, USERS),
        (rows.players, BALANCES),
        (rows.players, STATISTICS),
        (GAMES, GAMES_PLAYED),
        (GAMES, GAME_STATISTICS),
        (GAMES, POTS),
    ] {
        run(conn, count, statement)?;
    }
    Ok(())
}

fn run(conn: &mut Conn<'_>, count: u64, statement: &str) -> Result<()> {
    let sql = spelled(conn, statement, count);
    conn.batch_execute(&sql).with_context(|| sql)
}

fn spelled(conn: &Conn<'_>, statement: &str, count: u64) -> String {
    let (series, user, game, key, at) = match conn {
        Conn::Sqlite(_) => (
            SERIES_SQLITE,
            "printf('user%09d', i)",
            "printf('game%06d', i)",
            "zeroblob(32)",
            ":first + i",
        ),
        Conn::Postgres(_) => (
            SERIES_POSTGRES,
            "'user' || lpad(CAST(i AS TEXT), 9, '0')",
            "'game' || lpad(CAST(i AS TEXT), 6, '0')",
            "decode(repeat('00', 32), 'hex')",
            "timestamptz 'epoch' + (:first + i) * interval '1 microsecond'",
        ),
    };
    // The series goes where SQL has it: before the rows of an INSERT.
    statement
        .replace("SELECT ", &format!("{series}SELECT "))
        .replace(":user", user)
        .replace(":game", game)
        .replace(":key", key)
        .replace(":at", at)
        .replace(":first", &FIRST_USER.to_string())
        .replace(":balance", &BALANCE.to_string())
        .replace(":count", &count.to_string())
}

#[cfg(test)]
mod tests {
    use bench_load::repo::game_key;
    use db_core::{Access, Connection, DatabaseUrl};
    use diesel::sql_types::BigInt;

    use super::*;

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        rows: i64,
    }

    #[test]
    fn the_schema_is_whole_and_filled() {
        let url = DatabaseUrl::parse("sqlite::memory:").unwrap();
        let mut connection = Connection::open(&url, Access::Create).unwrap();
        let mut conn = connection.conn();
        let rows = Rows {
            users: 20,
            bets: 0,
            players: 10,
        };
        fill(&mut conn, rows).unwrap();
        for (sql, expected) in [
            ("SELECT count(*) AS rows FROM users", 20),
            ("SELECT count(*) AS rows FROM token_balances", 10),
            ("SELECT count(*) AS rows FROM audit_logs", 0),
            ("SELECT count(*) AS rows FROM pragma_foreign_key_check", 0),
            (
                "SELECT count(*) AS rows FROM sqlite_master WHERE name = 'audit_bets_insert'",
                1,
            ),
        ] {
            let found: Count = with_conn!(conn, |c| sql_query(sql).get_result(c)).unwrap();
            assert_eq!(found.rows, expected, "{sql}");
        }
        let last = format!(
            "SELECT count(*) AS rows FROM games WHERE id = '{}'",
            game_key(GAMES - 1)
        );
        let found: Count = with_conn!(conn, |c| sql_query(last).get_result(c)).unwrap();
        assert_eq!(found.rows, 1);
    }
}
