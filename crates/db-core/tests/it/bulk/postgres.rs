//! COPY in both directions, snapshots, and what ends them.

use std::thread;

use db_core::bulk::PostgresBulk;
use db_core::{Access, ConstraintKind, DatabaseUrl, Error, ErrorKind, Interrupt, Position};
use db_testkit::{Proxy, TestDb, cluster};

const MANY: &str = "COPY (SELECT i, repeat('x', 100) FROM generate_series(1, 1000000) i) TO STDOUT";

fn open(db: &TestDb, interrupt: &Interrupt) -> PostgresBulk {
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    PostgresBulk::open(&url, Access::ReadWrite, interrupt).unwrap()
}

fn opened() -> (TestDb, PostgresBulk) {
    let db = TestDb::postgres();
    let bulk = open(&db, &Interrupt::default());
    (db, bulk)
}

fn all(bulk: &mut PostgresBulk, sql: &str) -> Result<Vec<u8>, Error> {
    let mut out = bulk.copy_out(sql)?;
    let mut bytes = Vec::new();
    while let Some(row) = out.next()? {
        bytes.extend_from_slice(row);
    }
    assert!(out.next()?.is_none());
    Ok(bytes)
}

fn one(bulk: &mut PostgresBulk, sql: &str) -> String {
    bulk.rows(sql).unwrap().remove(0).remove(0).unwrap()
}

/// The connection is as good as new.
fn still_works(bulk: &mut PostgresBulk) {
    assert_eq!(one(bulk, "SELECT 1"), "1");
}

#[test]
fn rows_go_in_and_come_out() {
    let (_db, mut bulk) = opened();
    bulk.execute("CREATE TABLE t (a bigint, b text); CREATE INDEX ON t (a)")
        .unwrap();
    let mut load = bulk.copy_in("COPY t FROM STDIN").unwrap();
    let mut sent = Vec::new();
    for i in 0..50_000 {
        // Parts need not end where rows end.
        let row = format!("{i}\tWürfel \\\\ {i}\n");
        let (head, tail) = row.as_bytes().split_at(3);
        load.send(head).unwrap();
        load.send(tail).unwrap();
        sent.extend_from_slice(row.as_bytes());
    }
    assert_eq!(load.finish().unwrap(), 50_000);
    assert_eq!(
        all(&mut bulk, "COPY (SELECT * FROM t ORDER BY a) TO STDOUT").unwrap(),
        sent
    );
    let rows = bulk
        .rows("SELECT a, NULL, b FROM t WHERE a < 2 ORDER BY a")
        .unwrap();
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(
        rows,
        [
            [text("0"), None, text("Würfel \\ 0")],
            [text("1"), None, text("Würfel \\ 1")]
        ]
    );
    // A row of CSV with line ends is one.
    let csv = "COPY (SELECT E'a\\nb\\r\\nc' UNION ALL SELECT NULL) TO STDOUT (FORMAT csv)";
    let mut out = bulk.copy_out(csv).unwrap();
    assert_eq!(out.next().unwrap(), Some(&b"\"a\nb\r\nc\"\n"[..]));
    assert_eq!(out.next().unwrap(), Some(&b"\n"[..]));
    assert_eq!(out.next().unwrap(), None);
}

#[test]
fn what_the_server_refuses_is_told_with_its_place() {
    let (_db, mut bulk) = opened();
    bulk.execute("CREATE TABLE t (a int CONSTRAINT small CHECK (a < 10), b text UNIQUE)")
        .unwrap();
    let mut load = bulk.copy_in("COPY t FROM STDIN").unwrap();
    load.send(b"1\tx\nnine\ty\n").unwrap();
    let error = load.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert_eq!(error.context(), Some("COPY t, line 2, column a: \"nine\""));
    assert!(!error.to_string().contains("nine"), "{error}");
    assert!(error.told().contains("nine"));

    let mut load = bulk.copy_in("COPY t FROM STDIN").unwrap();
    load.send(b"1\tx\n2\tx\n").unwrap();
    let error = load.finish().unwrap_err();
    let violation = error.violation().unwrap();
    assert_eq!(violation.kind(), ConstraintKind::Unique);
    assert_eq!(violation.name(), Some("t_b_key"));
    assert!(error.detail().unwrap().contains("(b)=(x)"));
    assert!(error.context().unwrap().contains("line 2"));

    let error = bulk.execute("SELECT 1; SELEC 2").unwrap_err();
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::Statement, Some(Position::Char(10)))
    );
    assert_eq!(one(&mut bulk, "SELECT count(*) FROM t"), "0");
    for wrong in ["SELECT 1", "COPY t FROM STDIN", "", "COPY nope TO STDOUT"] {
        let error = bulk.copy_out(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Statement, "{wrong}: {error}");
        still_works(&mut bulk);
    }
    for wrong in ["SELECT 1", MANY, "", "COPY nope FROM STDIN"] {
        let error = bulk.copy_in(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Statement, "{wrong}: {error}");
        still_works(&mut bulk);
    }
    // Where no rows are meant to go either way.
    assert!(bulk.execute("COPY t FROM STDIN").is_err());
    bulk.execute("COPY (SELECT 1) TO STDOUT").unwrap();
    still_works(&mut bulk);
}

#[test]
fn what_is_dropped_half_way_leaves_nothing() {
    let (_db, mut bulk) = opened();
    bulk.execute("CREATE TABLE t (a int)").unwrap();
    let mut load = bulk.copy_in("COPY t FROM STDIN").unwrap();
    for _ in 0..100_000 {
        load.send(b"1\n").unwrap();
    }
    drop(load);
    assert_eq!(one(&mut bulk, "SELECT count(*) FROM t"), "0");
    let mut out = bulk.copy_out(MANY).unwrap();
    assert!(out.next().unwrap().is_some());
    drop(out);
    still_works(&mut bulk);
}

#[test]
fn one_interrupt_ends_all_that_obey_it() {
    let db = TestDb::postgres();
    let interrupt = Interrupt::default();
    let mut streaming = open(&db, &interrupt);
    let mut waiting = open(&db, &interrupt);
    let mut loading = open(&db, &interrupt);
    loading.execute("CREATE TABLE t (a int)").unwrap();
    let mut load = loading.copy_in("COPY t FROM STDIN").unwrap();
    load.send(b"1\n").unwrap();
    let waits = thread::spawn(move || (waiting.execute("SELECT pg_sleep(600)"), waiting));
    let mut out = streaming.copy_out(MANY).unwrap();
    assert!(out.next().unwrap().is_some());
    interrupt.interrupt().unwrap();
    let error = loop {
        match out.next() {
            Ok(row) => assert!(row.is_some(), "it came to its end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    drop(out);
    let (waited, mut waiting) = waits.join().unwrap();
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(load.finish().unwrap_err().kind(), ErrorKind::Cancelled);
    // Nothing begins while it is set.
    assert_eq!(
        waiting.execute("SELECT 1").unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    interrupt.clear();
    for bulk in [&mut streaming, &mut waiting, &mut loading] {
        still_works(bulk);
    }
    assert_eq!(one(&mut loading, "SELECT count(*) FROM t"), "0");
}

#[test]
fn a_snapshot_is_the_same_on_several_connections() {
    let (db, mut first) = opened();
    first
        .execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .unwrap();
    let interrupt = Interrupt::default();
    let (mut second, mut writer) = (open(&db, &interrupt), open(&db, &interrupt));
    let name = first.begin_snapshot().unwrap();
    writer.execute("INSERT INTO t VALUES (2)").unwrap();
    second.join_snapshot(&name).unwrap();
    for bulk in [&mut first, &mut second] {
        assert_eq!(all(bulk, "COPY t TO STDOUT").unwrap(), b"1\n");
        assert_eq!(
            bulk.execute("DELETE FROM t").unwrap_err().kind(),
            ErrorKind::ReadOnly
        );
    }
    let error = writer.join_snapshot("no'body").unwrap_err();
    assert!(error.message().contains("snapshot"), "{error}");
}

#[test]
fn a_lost_connection_is_told() {
    let server = cluster(&[]);
    let proxy = Proxy::to(server.port());
    let url = DatabaseUrl::parse(&server.url_on(proxy.port())).unwrap();
    let interrupt = Interrupt::default();
    let mut bulk = PostgresBulk::open(&url, Access::ReadOnly, &interrupt).unwrap();
    let mut out = bulk.copy_out(MANY).unwrap();
    assert!(out.next().unwrap().is_some());
    proxy.reset();
    let error = loop {
        match out.next() {
            Ok(row) => assert!(row.is_some(), "it came to its end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    drop(out);
    assert_eq!(
        bulk.execute("SELECT 1").unwrap_err().kind(),
        ErrorKind::ConnectionLost
    );
}

#[test]
fn a_refused_connection_shows_no_password() {
    let db = TestDb::postgres();
    let url = db.url();
    let (start, end) = (url.find("://").unwrap() + 3, url.find('@').unwrap());
    let wrong = format!("{}nobody:hunter2{}", &url[..start], &url[end..]);
    let url = DatabaseUrl::parse(&wrong).unwrap();
    let interrupt = Interrupt::default();
    let error = PostgresBulk::open(&url, Access::ReadOnly, &interrupt).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    assert!(!error.to_string().contains("hunter2"));
    let other = DatabaseUrl::parse("sqlite::memory:").unwrap();
    let error = PostgresBulk::open(&other, Access::ReadOnly, &interrupt).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
