//! Constraints of the schema by name, from errors of both engines and the generated map.

use db_core::{
    Access, Connection, ConstraintKind, ConstraintMap, DatabaseUrl, Engine, Error, ErrorKind,
    Violation,
};
use db_migrate::catalog::model::{LogicalType, Model, Table};
use db_schema::constraints::{CHECK, FOREIGN_KEY, UNIQUE};
use db_testkit::schema_check::{Live, constraints};
use db_testkit::{TestDb, both_engines};

use crate::support::{bytes, filled, number};

const MAP: ConstraintMap = ConstraintMap {
    unique: UNIQUE,
    foreign_key: FOREIGN_KEY,
    check: CHECK,
};

/// Tables whose keys a trigger keeps on SQLite.
const APPEND_ONLY: [&str; 5] = [
    "account_entries",
    "audit_logs",
    "audit_seals",
    "game_events",
    "transactions",
];

/// A database with a row in every table, and a connection as an application opens it.
fn opened(db: &TestDb) -> Connection {
    let mut conn = filled(db);
    if number(&mut conn, "SELECT count(*) AS n FROM usage_config") == 0 {
        conn.execute("INSERT INTO usage_config (is_active) VALUES (TRUE)");
    }
    Connection::open(&DatabaseUrl::parse(&db.url()).unwrap(), Access::Create).unwrap()
}

/// The constraint that a statement breaks.
#[track_caller]
fn broken(conn: &mut Connection, sql: &str) -> Violation {
    let error = Error::from(conn.conn().batch_execute(sql).expect_err(sql));
    assert_eq!(error.kind(), ErrorKind::Constraint, "{error}\n{sql}");
    error.constraint(&MAP).expect(sql)
}

fn table<'m>(model: &'m Model, name: &str) -> &'m Table {
    model.tables.iter().find(|t| t.name == name).expect(name)
}

/// The columns of a table's unique constraints and indexes.
fn unique_columns(table: &str) -> impl Iterator<Item = &'static str> {
    let rows = UNIQUE.iter().filter(move |row| row.0 == table);
    rows.flat_map(|row| row.1.iter().copied())
}

/// Adds a row that is like the one there is, but for a value of its own in some columns.
fn copy(engine: Engine, table: &Table, own: &[&str]) -> String {
    let columns = table.columns.iter().filter(|c| c.generated.is_none());
    let (names, values): (Vec<_>, Vec<_>) = columns
        .map(|column| {
            let name = column.name.as_str();
            let value = match column.logical_type {
                _ if !own.contains(&name) => name.to_owned(),
                _ if name == "is_active" => "FALSE".to_owned(),
                LogicalType::Text => "'of its own'".to_owned(),
                LogicalType::Blob => bytes(engine, "77"),
                _ => "1000".to_owned(),
            };
            (name, value)
        })
        .unzip();
    // Of the accounts only a pot has a value in every column.
    let which = if table.name == "accounts" {
        "WHERE kind = 'pot'"
    } else {
        ""
    };
    format!(
        "INSERT INTO {name} ({}) SELECT {} FROM {name} {which} LIMIT 1",
        names.join(", "),
        values.join(", "),
        name = table.name,
    )
}

both_engines! {
    fn each_unique_of_the_schema_is_named(db: TestDb) {
        let model = Live::migrated(db.engine()).model;
        let mut conn = opened(&db);
        for (name, columns, constraint) in UNIQUE {
            if *name == "audit_context" && db.engine() == Engine::Postgres {
                continue; // SQLite alone has it.
            }
            let others: Vec<_> = unique_columns(name).filter(|c| !columns.contains(c)).collect();
            let sql = copy(db.engine(), table(&model, name), &others);
            let broken = broken(&mut conn, &sql);
            // Its own trigger is faster than SQLite's key.
            if APPEND_ONLY.contains(name) && db.engine() == Engine::Sqlite {
                assert_eq!(broken.kind(), ConstraintKind::Trigger, "{sql}");
                continue;
            }
            assert_eq!(broken.kind(), ConstraintKind::Unique, "{sql}");
            assert_eq!((broken.name(), broken.table()), (Some(*constraint), Some(*name)), "{sql}");
            assert_eq!(broken.columns(), *columns);
        }
    }

    fn each_foreign_key_of_the_schema_is_named_by_postgresql(db: TestDb) {
        let model = Live::migrated(db.engine()).model;
        let mut conn = opened(&db);
        for (name, columns, constraint) in FOREIGN_KEY {
            let others = FOREIGN_KEY.iter().filter(|row| row.0 == *name && row.2 != *constraint);
            let others: Vec<_> = others.flat_map(|row| row.1).collect();
            let own = unique_columns(name).filter(|c| !others.contains(&c));
            let own: Vec<_> = own.chain(columns.iter().copied()).collect();
            let sql = copy(db.engine(), table(&model, name), &own);
            let broken = broken(&mut conn, &sql);
            assert_eq!(broken.kind(), ConstraintKind::ForeignKey, "{sql}");
            match db.engine() {
                Engine::Sqlite => assert_eq!(broken.name(), None),
                Engine::Postgres => {
                    assert_eq!((broken.name(), broken.table()), (Some(*constraint), Some(*name)));
                    assert_eq!(broken.columns(), *columns);
                }
            }
        }
    }

    fn it_is_named_on_a_connection_that_records_no_codes(db: TestDb) {
        let mut conn = filled(&db);
        let sql = "UPDATE users SET username = 'alice'";
        let error = Error::from(conn.conn().batch_execute(sql).expect_err(sql));
        let broken = error.constraint(&MAP).unwrap();
        assert!(broken.is("uq_users_username"), "{broken:?}");
        assert_eq!(broken.table(), Some("users"));
    }

    fn a_check_is_named_with_its_table_and_a_missing_value_with_its_column(db: TestDb) {
        let mut conn = opened(&db);
        for (sql, name, table) in [
            ("UPDATE token_balances SET balance = -1", "ck_token_balances_balance", "token_balances"),
            ("UPDATE bets SET amount = -1", "ck_bets_amount", "bets"),
            ("UPDATE outbox SET status = 'no such'", "ck_outbox_status", "outbox"),
        ] {
            let broken = broken(&mut conn, sql);
            assert_eq!(broken.kind(), ConstraintKind::Check, "{sql}");
            assert_eq!((broken.name(), broken.table()), (Some(name), Some(table)), "{sql}");
        }
        let broken = broken(&mut conn, "UPDATE users SET username = NULL");
        assert_eq!(broken.kind(), ConstraintKind::NotNull);
        assert_eq!(broken.table(), Some("users"));
        assert_eq!(broken.columns(), ["username"]);
    }
}

#[test]
fn postgres_has_the_names_of_uniques_over_the_same_columns() {
    let sqlite = Live::migrated(Engine::Sqlite).model;
    let postgres = Live::migrated(Engine::Postgres).model;
    assert_eq!(constraints::check(&sqlite, &postgres), []);
    let mut bad = sqlite;
    let users = bad.tables.iter_mut().find(|t| t.name == "users").unwrap();
    let mut twin = users.uniques[0].clone();
    twin.name = Some("uq_users_twin".to_owned());
    users.uniques.push(twin);
    let found = constraints::ambiguous(&bad, &postgres);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().contains("uq_users_twin"), "{found:?}");
    // The file would say otherwise, too.
    assert_eq!(constraints::check(&bad, &postgres).len(), 2);
}
