//! Two databases, and what is in them.

use db_core::bulk::{CellRef, SqliteBulk};
use db_core::{Access, DatabaseUrl, Interrupt, with_conn};
use db_testkit::TestDb;
use db_transfer::copy::{Copy, CopyReport, Endpoint};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

pub(super) fn endpoint(db: &TestDb) -> Endpoint {
    Endpoint::new(DatabaseUrl::parse(&db.url()).unwrap())
}

/// Copies, and expects that it arrives.
#[track_caller]
pub(super) fn copied(from: &TestDb, to: &TestDb) -> CopyReport {
    let report = Copy::new(endpoint(from), endpoint(to)).run().unwrap();
    assert!(
        report
            .tables
            .iter()
            .all(db_transfer::copy::TableReport::is_equal)
    );
    report
}

/// What a database has become on its way.
pub(super) struct Journey {
    /// On the server.
    pub(super) middle: TestDb,
    /// In a file again.
    pub(super) after: TestDb,
    /// On the server once more.
    pub(super) again: TestDb,
    /// Of the first copy.
    pub(super) report: CopyReport,
}

/// From a file to a server and back, and once more: nothing was lost on the first way.
#[track_caller]
pub(super) fn there_and_back(before: &TestDb) -> Journey {
    let (middle, after, again) = (TestDb::postgres(), TestDb::sqlite(), TestDb::postgres());
    let report = copied(before, &middle);
    let rows = [copied(&middle, &after).rows, copied(&after, &again).rows];
    assert_eq!(rows, [report.rows; 2]);
    assert_eq!(contents(before), contents(&after));
    Journey {
        middle,
        after,
        again,
        report,
    }
}

/// The answer to a query of one text column named `line`.
#[track_caller]
pub(super) fn lines(db: &TestDb, sql: &str) -> Vec<String> {
    let mut connection = db.connect();
    let mut conn = connection.conn();
    let rows: Vec<Line> = with_conn!(conn, |c| sql_query(sql).load(c)).unwrap();
    rows.into_iter()
        .map(|row| row.line.unwrap_or_else(|| "NULL".to_owned()))
        .collect()
}

/// Tables that are visible, with what is left of a copy.
pub(super) fn tables(db: &TestDb) -> Vec<String> {
    let sql = if db.path().is_some() {
        "SELECT name AS line FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    } else {
        "SELECT relname::text AS line FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    };
    lines(db, sql)
}

/// What there is of a reason that a column is not of the type that was expected.
pub(super) fn types(db: &TestDb, table: &str) -> Vec<String> {
    lines(
        db,
        &format!(
            "SELECT attname || ' ' || format_type(atttypid, atttypmod) AS line FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        ),
    )
}

/// All rows of all tables of a SQLite file, each value with its storage class; numbers that are equal
/// look the same.
pub(super) fn contents(db: &TestDb) -> Vec<String> {
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    let bulk = SqliteBulk::open(&url, Access::ReadOnly, None, &Interrupt::default()).unwrap();
    let mut all = Vec::new();
    for table in tables(db) {
        if table.starts_with("sqlite_") {
            continue;
        }
        let sql = format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""));
        let mut statement = bulk.prepare(&sql).unwrap();
        while statement.step().unwrap() {
            let mut row = table.clone();
            for at in 0..statement.column_count() {
                row.push('|');
                row.push_str(&shown(statement.cell(at).unwrap()));
            }
            all.push(row);
        }
    }
    all.sort();
    all
}

/// Whole numbers look the same in both classes.
fn shown(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Null => "NULL".to_owned(),
        CellRef::Integer(number) => format!("{number}"),
        // No exponent, and no sign of a zero's.
        CellRef::Real(number) if number.fract() == 0.0 && number.abs() < 9e18 => {
            format!("{}", number + 0.0)
        }
        CellRef::Real(number) => format!("r{:016x}", number.to_bits()),
        CellRef::Text(text) => format!("t{:?}", String::from_utf8_lossy(text)),
        CellRef::Blob(bytes) => format!("b{bytes:?}"),
    }
}
