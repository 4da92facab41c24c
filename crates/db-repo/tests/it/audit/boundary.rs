//! Up to where the trail can be sealed, on PostgreSQL: lines are numbered in one order and committed
//! in another.

use db_core::{Database, DatabaseFailure, ErrorKind, with_conn};
use db_repo::{AuditRepository, Error, Fault};
use db_testkit::{TestConn, TestDb};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer};

use super::{changes, seal_all, verified};
use crate::support::{at, open, write};

/// Lines under one seal.
const FEW: i64 = 8;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Integer)]
    pid: i32,
}

fn insert(id: &str) -> String {
    format!("INSERT INTO users (id, username, public_key) VALUES ('{id}', '{id}', 'k')")
}

/// Whether somebody vacuums the trail, and who.
fn vacuuming(conn: &mut TestConn) -> Option<i32> {
    let mut conn = conn.conn();
    let found: Found = with_conn!(conn, |c| diesel::sql_query(
        "SELECT count(*) AS n, coalesce(max(pid), 0) AS pid FROM pg_locks
        WHERE relation = 'audit_logs'::regclass AND mode = 'ShareUpdateExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    .get_result(c))
    .unwrap();
    (found.n > 0).then_some(found.pid)
}

fn boundary(database: &Database) -> Option<i64> {
    write(database, AuditRepository::boundary)
}

#[test]
fn a_line_still_to_come_holds_up_the_boundary_on_postgres() {
    let db = TestDb::postgres();
    let database = open(&db);
    let mut slow = db.connect();
    slow.execute(&format!("BEGIN; {}", insert("slow")));
    db.connect().execute(&insert("fast"));
    let held_up = database.write(AuditRepository::boundary).unwrap_err();
    assert_eq!(
        held_up.database_error().map(db_core::Error::kind),
        Some(ErrorKind::LockTimeout)
    );
    // What would be if the newest line were the boundary.
    let sealed = write(&database, |conn| AuditRepository::seal(conn, 2, FEW, at(0))).unwrap();
    assert_eq!((sealed.first_id, sealed.row_count), (2, 1));
    slow.execute("COMMIT");
    assert_eq!(boundary(&database), Some(2));
    let found = verified(&database);
    assert_eq!(found.fault, Some(Fault::LineInserted { id: 1 }));
}

#[test]
fn the_boundary_waits_for_those_before_it_and_for_nobody_else() {
    let db = TestDb::postgres();
    let database = open(&db);
    let mut slow = db.connect();
    slow.execute(&format!("BEGIN; {}", insert("slow")));
    let mut later = db.connect();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| boundary(&database));
        // It holds up nobody, and does not wait for who comes after it began. Should it begin later,
        // its boundary is 3, and it waits for both.
        later.execute(&format!("BEGIN; {}", insert("later")));
        db.connect().execute(&insert("fast"));
        slow.execute("COMMIT");
        later.execute("COMMIT");
        let found = waiting.join().unwrap().unwrap();
        assert!((1..=3).contains(&found), "{found}");
    });
    seal_all(&database, FEW);
    let found = verified(&database);
    assert_eq!((found.fault, found.lines, found.unsealed), (None, 3, 0));
    // A number that nobody has does no harm.
    slow.execute(&format!("BEGIN; {}; ROLLBACK", insert("nobody")));
    assert_eq!(boundary(&database), Some(4));
    assert_eq!(seal_all(&database, FEW).seals, 0);
}

#[test]
fn vacuum_does_not_hold_up_the_boundary() {
    let db = TestDb::postgres();
    let database = open(&db);
    let mut conn = db.connect();
    conn.execute(
        "INSERT INTO audit_logs (action, entity_type, entity_id, after_state)
        SELECT 'insert', 'dice', 'd' || n, '{}' FROM generate_series(1, 20000) AS n",
    );
    std::thread::scope(|scope| {
        let mut vacuum = db.connect();
        // Sleeps after each page: hundreds of pages last longer than the test.
        let running = scope.spawn(move || {
            vacuum.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1");
            vacuum.conn().batch_execute("VACUUM audit_logs")
        });
        let pid = loop {
            match vacuuming(&mut conn) {
                Some(pid) => break pid,
                None => std::thread::yield_now(),
            }
            assert!(!running.is_finished());
        };
        let found = database.write(AuditRepository::boundary);
        let sealed = seal_all(&database, 10_000);
        let still = vacuuming(&mut conn);
        conn.execute(&format!("SELECT pg_terminate_backend({pid})"));
        running.join().unwrap().unwrap_err();
        assert_eq!(found.unwrap(), Some(20_000));
        assert_eq!((sealed.seals, still), (2, Some(pid)));
    });
}

#[test]
fn who_may_only_append_can_seal() {
    let db = TestDb::postgres();
    let database = open(&db);
    changes(&database, 3);
    let mut conn = db.connect();
    // Gone with the transaction.
    conn.execute(
        "BEGIN; CREATE ROLE bitcraps_test_appender;
        GRANT SELECT, INSERT ON audit_logs, audit_seals TO bitcraps_test_appender;
        GRANT SELECT ON SEQUENCE audit_logs_id_seq TO bitcraps_test_appender;
        SET LOCAL ROLE bitcraps_test_appender",
    );
    let boundary = AuditRepository::boundary(&mut conn.conn());
    assert_eq!(boundary.unwrap(), Some(3));
    let sealed = AuditRepository::seal(&mut conn.conn(), 3, FEW, at(0));
    assert_eq!(sealed.unwrap().unwrap().row_count, 3);
    let found = AuditRepository::verify(&mut conn.conn(), &[]).unwrap();
    assert_eq!((found.fault, found.seals), (None, 1));
    conn.execute("ROLLBACK");
}

#[test]
fn a_line_with_a_number_that_was_not_given_yet_is_not_sealed() {
    let db = TestDb::postgres();
    let database = open(&db);
    changes(&database, 3);
    let far = 1_000_000_000_000_000;
    db.connect().execute(&format!(
        "INSERT INTO audit_logs (id, action, entity_type, entity_id, after_state)
        VALUES ({far}, 'insert', 'dice', 'd1', '{{}}')"
    ));
    let ahead = |refused: Result<_, Error>| {
        let refused = refused.map(drop).unwrap_err();
        assert!(
            matches!(refused, Error::TrailBroken(Fault::LineAhead { id }) if id == far),
            "{refused:?}"
        );
    };
    ahead(database.write(AuditRepository::boundary).map(drop));
    ahead(
        database
            .write(|conn| AuditRepository::seal(conn, far, FEW, at(0)))
            .map(drop),
    );
    let clock = db_core::FixedClock(*at(0));
    ahead(AuditRepository::seal_all(&database, FEW, &clock, None).map(drop));
    assert_eq!(verified(&database).seals, 0);
}
