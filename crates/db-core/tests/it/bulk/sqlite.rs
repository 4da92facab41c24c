//! Cells as SQLite stores them.

use db_core::bulk::{CellRef, SqliteBulk};
use db_core::{Access, ConstraintKind, DatabaseUrl, ErrorKind, Interrupt, with_conn};
use db_testkit::TestDb;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

fn open(db: &TestDb, interrupt: &Interrupt) -> SqliteBulk {
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    SqliteBulk::open(&url, Access::Create, None, interrupt).unwrap()
}

fn opened() -> (TestDb, SqliteBulk) {
    let db = TestDb::sqlite();
    let bulk = open(&db, &Interrupt::default());
    (db, bulk)
}

#[test]
fn cells_come_back_as_they_went_in() {
    let (_db, mut bulk) = opened();
    bulk.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
        .unwrap();
    let values = [
        CellRef::Null,
        CellRef::Integer(i64::MIN),
        CellRef::Integer(i64::MAX),
        CellRef::Real(-0.0),
        CellRef::Real(f64::INFINITY),
        CellRef::Real(5e-324),
        CellRef::Text(b""),
        CellRef::Text("Würfel \u{1f3b2}".as_bytes()),
        CellRef::Text(b"a\0b"),
        CellRef::Text(b"\xff\xfe not UTF-8"),
        CellRef::Blob(b""),
        CellRef::Blob(b"\0\xff"),
    ];
    {
        let mut insert = bulk.prepare("INSERT INTO t (v) VALUES (?1)").unwrap();
        for value in values {
            assert_eq!(insert.run(&[value]).unwrap(), 1);
        }
        // SQLite stores it so.
        insert.run(&[CellRef::Real(f64::NAN)]).unwrap();
    }
    assert_eq!(bulk.total_changes(), values.len() as u64 + 1);
    assert_eq!(bulk.last_insert_rowid(), 13);

    // Two statements at once.
    let mut rows = bulk.prepare("SELECT n, v FROM t ORDER BY n").unwrap();
    let mut count = bulk.prepare("SELECT count(*) FROM t").unwrap();
    assert!(count.step().unwrap());
    assert_eq!(count.cell(0).unwrap(), CellRef::Integer(13));
    assert_eq!(
        (rows.column_count(), rows.column_name(1).as_deref()),
        (2, Some("v"))
    );
    assert_eq!(rows.column_name(2), None);
    // It stands on no row.
    assert_eq!(rows.cell(0).unwrap(), CellRef::Null);
    for value in values {
        assert!(rows.step().unwrap());
        let (number, cell) = (rows.cell(0).unwrap(), rows.cell(1).unwrap());
        assert!(matches!(number, CellRef::Integer(1..)));
        assert_eq!(cell, value);
        if let (CellRef::Real(got), CellRef::Real(put)) = (cell, value) {
            assert_eq!(got.to_bits(), put.to_bits());
        }
        assert_eq!(rows.cell(2).unwrap(), CellRef::Null);
        assert_eq!(rows.cell(usize::MAX).unwrap(), CellRef::Null);
    }
    assert!(rows.step().unwrap());
    assert_eq!(rows.cell(1).unwrap(), CellRef::Null);
    assert!(!rows.step().unwrap());
    // From the start again.
    assert!(rows.step().unwrap());
    assert_eq!(rows.cell(0).unwrap(), CellRef::Integer(1));
}

#[test]
fn text_of_a_utf_16_database_comes_as_utf_8() {
    let (_db, mut bulk) = opened();
    bulk.execute("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (v TEXT)")
        .unwrap();
    let said = "naïve \u{1f3b2}".as_bytes();
    let mut insert = bulk.prepare("INSERT INTO t VALUES (?)").unwrap();
    insert.run(&[CellRef::Text(said)]).unwrap();
    let mut rows = bulk.prepare("SELECT v FROM t").unwrap();
    assert!(rows.step().unwrap());
    let (first, second) = (rows.cell(0).unwrap(), rows.cell(0).unwrap());
    assert_eq!((first, second), (CellRef::Text(said), CellRef::Text(said)));
}

#[test]
fn what_fails_is_classified_and_the_statement_goes_on() {
    let (_db, mut bulk) = opened();
    bulk.execute("CREATE TABLE t (v TEXT NOT NULL UNIQUE)")
        .unwrap();
    let mut insert = bulk.prepare("INSERT INTO t VALUES (?)").unwrap();
    insert.run(&[CellRef::Text(b"a")]).unwrap();
    let twice = insert.run(&[CellRef::Text(b"a")]).unwrap_err();
    assert_eq!(twice.violation().unwrap().kind(), ConstraintKind::Unique);
    let missing = insert.run(&[CellRef::Null]).unwrap_err();
    assert_eq!(missing.violation().unwrap().kind(), ConstraintKind::NotNull);
    let few = insert.run(&[]).unwrap_err();
    assert_eq!(few.kind(), ErrorKind::Statement);
    assert!(
        few.message().contains("0 values for a statement of 1"),
        "{few}"
    );
    assert_eq!(insert.run(&[CellRef::Text(b"b")]).unwrap(), 1);
    for wrong in [
        "SELEC 1",
        "",
        " -- nothing",
        "SELECT 1; SELECT 2",
        "SELECT '\0'",
    ] {
        let error = bulk.prepare(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Statement, "{wrong}");
    }
    drop(bulk.prepare("SELECT 1 ; \n ").unwrap());
    drop(insert);
    let error = bulk.execute("INSERT INTO t VALUES ('c'); INSERT INTO nope VALUES (1)");
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Statement);
    assert_eq!(bulk.total_changes(), 3);
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[test]
fn diesel_sees_the_same_transaction() {
    let (db, mut bulk) = opened();
    bulk.execute("CREATE TABLE t (v); BEGIN; INSERT INTO t VALUES (1)")
        .unwrap();
    assert!(bulk.in_transaction());
    let count: Count = bulk
        .with_conn(|conn| {
            let count = sql_query("SELECT count(*) AS n FROM t");
            with_conn!(conn, |c| count.get_result(c))
        })
        .unwrap()
        .unwrap();
    assert_eq!(count.n, 1);
    let beside = open(&db, &Interrupt::default());
    let mut rows = beside.prepare("SELECT * FROM t").unwrap();
    assert!(!rows.step().unwrap());
    bulk.execute("ROLLBACK").unwrap();
    assert!(!bulk.in_transaction());
}

#[test]
fn triggers_fire_or_not() {
    let (_db, mut bulk) = opened();
    bulk.execute(
        "CREATE TABLE t (v); CREATE TABLE seen (v);
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (new.v); END;",
    )
    .unwrap();
    for (on, total) in [(true, 2), (false, 3), (true, 5)] {
        bulk.triggers(on).unwrap();
        bulk.execute("INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(bulk.total_changes(), total);
    }
}

#[test]
fn an_interrupt_ends_a_statement() {
    let db = TestDb::sqlite();
    let interrupt = Interrupt::default();
    let bulk = open(&db, &interrupt);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut rows = bulk.prepare(endless).unwrap();
    for _ in 0..10 {
        assert!(rows.step().unwrap());
    }
    interrupt.interrupt().unwrap();
    let error = loop {
        match rows.step() {
            Ok(more) => assert!(more),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    interrupt.clear();
    assert!(rows.step().unwrap());
}

#[test]
fn it_opens_what_a_connection_opens() {
    let interrupt = Interrupt::default();
    let missing = DatabaseUrl::parse("sqlite:///nowhere/at/all.db").unwrap();
    let error = SqliteBulk::open(&missing, Access::ReadOnly, None, &interrupt).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseMissing);
    let other = DatabaseUrl::parse("postgres://h/d").unwrap();
    let error = SqliteBulk::open(&other, Access::ReadOnly, None, &interrupt).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let db = TestDb::sqlite();
    open(&db, &interrupt).execute("CREATE TABLE t (v)").unwrap();
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    let mut read = SqliteBulk::open(&url, Access::ReadOnly, None, &interrupt).unwrap();
    let error = read.execute("INSERT INTO t VALUES (1)").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    // It can go to another thread.
    std::thread::spawn(move || read.execute("SELECT * FROM t"))
        .join()
        .unwrap()
        .unwrap();
}
